//! W13: how long after its start a broker with ten thousand partitions acknowledges a record.
//!
//! Invariants: time counts from exec to the answer to the first record, the topic's metadata included; first of a topic
//! of one partition, then of the large one, for which all of its partitions must have a leader. Before the kill there
//! are bytes that no flush has seen. Each contender alone. Called by the benchmark.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::contender::{Contender, Home, Running};
use super::pairs::{Bench, settle};
use super::results::{Pair, VariantResult};

const TOPIC: &str = "restart";
const SMALL_TOPIC: &str = "one";
const FILL: &str = "produce -p 10000 --warm-up-seconds 0 --seconds 600 --bytes 2000000000 \
                    --config flush.messages=9223372036854775807";
const UNFLUSHED: &str = "produce --warm-up-seconds 0 --seconds 600 --bytes 300000000";
const FIRST_RECORD: &str = "produce -n 1 --warm-up-seconds 0 --seconds 600 --requests 1";

/// The variants of the cell, in the order of `starts`.
const NAMES: [&str; 4] = [
    "after a clean stop",
    "after a clean stop, all partitions",
    "after kill -9",
    "after kill -9, all partitions",
];

pub fn measure(bench: &Bench<'_>) -> anyhow::Result<Vec<VariantResult>> {
    let (ours, kafkas) = (starts(bench, Contender::Logspine)?, starts(bench, Contender::Kafka)?);
    let lost_percent = bench.lost_percent()?;
    let results = NAMES.into_iter().zip(ours).zip(kafkas).map(|((name, logspine), kafka)| VariantResult {
        name: name.to_owned(),
        pairs: vec![Pair { logspine, kafka: Some(kafka), floors: BTreeMap::new(), lost_percent }],
        system_calls_per_1000_requests: BTreeMap::new(),
    });
    Ok(results.collect())
}

/// After a clean stop, after a kill.
fn starts(bench: &Bench<'_>, contender: Contender) -> anyhow::Result<[Value; 4]> {
    let home = Home::new(bench.cache, &bench.programs, contender, "restart", "")?;
    let running = home.start()?;
    bench.kblast.load(&running, FIRST_RECORD, SMALL_TOPIC)?;
    let filled = bench.kblast.load(&running, FILL, TOPIC)?;
    running.stop()?;
    settle();
    let (running, stopped) = start(bench, &home)?;
    bench.kblast.load(&running, UNFLUSHED, TOPIC)?;
    drop(running); // SIGKILL
    let (_running, killed) = start(bench, &home)?;
    let figure = |start_s: f64| json!({"start_s": start_s, "topic_ready_s": filled["topic_ready_s"]});
    Ok([stopped[0], stopped[1], killed[0], killed[1]].map(figure))
}

/// Seconds to the first record of the small topic, and of the large one.
fn start(bench: &Bench<'_>, home: &Home) -> anyhow::Result<(Running, [f64; 2])> {
    let started = Instant::now();
    let running = home.start()?;
    let mut seconds = [0.0; 2];
    for (topic, seconds) in [SMALL_TOPIC, TOPIC].into_iter().zip(&mut seconds) {
        bench.kblast.load(&running, FIRST_RECORD, topic)?;
        *seconds = started.elapsed().as_secs_f64();
    }
    Ok((running, seconds))
}
