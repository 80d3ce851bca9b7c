//! `cargo xtask bench`: processor time per gigabyte, ours beside Apache Kafka's, in one run on one machine.
//!
//! Thin on purpose: one produce and one consume of the same bytes by Apache's own performance tools, each broker
//! alone on the machine while it is measured, rounds interleaved so that a slow minute hits both. Processor time is
//! the broker process's own, from the kernel. Called by people.

mod contender;

use anyhow::Context as _;

use crate::cache::Cache;
use crate::console::{Step, bytes};
use crate::kafka;
use crate::process::Program;
use contender::{Contender, Running};

#[derive(clap::Args)]
pub struct Args {
    /// Records of 1 KiB in each round
    #[arg(long, default_value_t = 500_000)]
    records: u64,
    /// Rounds; the median is shown
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The compression of the producer: none, gzip, snappy, lz4 or zstd
    #[arg(long, default_value = "none")]
    compression: String,
}

const RECORD_BYTES: u64 = 1024;
const TOPIC: &str = "bench";

/// What one round of one contender measured.
#[derive(Clone, Copy)]
struct Figures {
    produce_cpu_s: f64,
    produce_s: f64,
    consume_cpu_s: f64,
    consume_s: f64,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let cache = Cache::open()?;
    let contenders = [Contender::logspine(&cache)?, Contender::kafka(&cache)?];
    let mut figures: [Vec<Figures>; 2] = [Vec::new(), Vec::new()];
    for round in 1..=args.rounds {
        for (contender, figures) in contenders.iter().zip(&mut figures) {
            let step = Step::start(&format!("Round {round}, {}", contender.name()), "");
            let running = contender.start(&cache)?;
            figures.push(measure(&cache, &running, args)?);
            drop(running);
            step.finish("");
        }
    }
    let volume = args.records * RECORD_BYTES;
    println!("{} in records of 1 KiB, {} rounds, medians\n", bytes(volume), args.rounds);
    println!(
        "{:<16} {:>16} {:>16} {:>16} {:>16}",
        "", "produce CPU-s/GB", "produce MB/s", "consume CPU-s/GB", "consume MB/s"
    );
    let gigabytes = volume as f64 / 1e9;
    for (contender, figures) in contenders.iter().zip(&figures) {
        let median = |pick: fn(&Figures) -> f64| {
            let mut values: Vec<f64> = figures.iter().map(pick).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
        };
        println!(
            "{:<16} {:>16.2} {:>16.0} {:>16.2} {:>16.0}",
            contender.name(),
            median(|round| round.produce_cpu_s) / gigabytes,
            gigabytes * 1000.0 / median(|round| round.produce_s),
            median(|round| round.consume_cpu_s) / gigabytes,
            gigabytes * 1000.0 / median(|round| round.consume_s),
        );
    }
    Ok(())
}

fn measure(cache: &Cache, broker: &Running, args: &Args) -> anyhow::Result<Figures> {
    let bootstrap = broker.bootstrap();
    tool(
        cache,
        "org.apache.kafka.tools.TopicCommand",
        &["--bootstrap-server", &bootstrap, "--create", "--topic", TOPIC, "--partitions", "3"],
    )?;
    let before = broker.cpu_s()?;
    let produced = tool(
        cache,
        "org.apache.kafka.tools.ProducerPerformance",
        &[
            "--topic",
            TOPIC,
            "--num-records",
            &args.records.to_string(),
            "--record-size",
            &RECORD_BYTES.to_string(),
            "--throughput",
            "-1",
            "--producer-props",
            &format!("bootstrap.servers={bootstrap}"),
            "acks=all",
            &format!("compression.type={}", args.compression),
            "linger.ms=5",
            "batch.size=262144",
        ],
    )?;
    let between = broker.cpu_s()?;
    let consumed = tool(
        cache,
        "org.apache.kafka.tools.ConsumerPerformance",
        &[
            "--bootstrap-server",
            &bootstrap,
            "--topic",
            TOPIC,
            "--messages",
            &args.records.to_string(),
            "--timeout",
            "60000",
            "--hide-header",
        ],
    )?;
    let after = broker.cpu_s()?;
    Ok(Figures {
        produce_cpu_s: between - before,
        produce_s: args.records as f64 / produce_rate(&produced)?,
        consume_cpu_s: after - between,
        consume_s: consume_seconds(&consumed)?,
    })
}

fn tool(cache: &Cache, class: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let libs = kafka::libs(cache)?;
    Program::new("java").arg("-cp").arg(format!("{}/*", libs.display())).arg(class).args(arguments).run(None)
}

/// Records a second, from the last line of `kafka-producer-perf-test`: `..., 123456.7 records/sec (...)`.
fn produce_rate(output: &str) -> anyhow::Result<f64> {
    let line = output
        .lines()
        .rev()
        .find(|line| line.contains("records/sec"))
        .context("no figures of the producer")?;
    let before = line.split(" records/sec").next().unwrap_or_default();
    let rate = before.rsplit(' ').next().unwrap_or_default();
    rate.parse().with_context(|| format!("no rate in: {line}"))
}

/// The fetch time of `kafka-consumer-perf-test`: column 8 (fetch.time.ms) of its comma-separated line.
fn consume_seconds(output: &str) -> anyhow::Result<f64> {
    let line = output
        .lines()
        .rev()
        .find(|line| line.matches(',').count() >= 9)
        .context("no figures of the consumer")?;
    let field = line.split(',').nth(7).unwrap_or_default().trim();
    let fetch_ms: f64 = field.parse().with_context(|| format!("no fetch time in: {line}"))?;
    Ok(fetch_ms / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_apache_s_tools_are_found() {
        let line = "500000 records sent, 123456.7 records/sec (120.56 MB/sec), 3.2 ms avg latency, 99 ms max latency.";
        assert_eq!(produce_rate(line).expect("a rate"), 123_456.7);
        let line = "2026-06-17 14:47:00:000, 2026-06-17 14:47:03:000, 488.2, 162.7, 500000, 166666.6, 300, 2700, 180.8, 185185.1";
        assert_eq!(consume_seconds(line).expect("a time"), 2.7);
    }
}
