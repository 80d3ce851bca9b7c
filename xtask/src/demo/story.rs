//! The story itself: a million records, three readers with their own bookmarks, a replay, a kill under load, and
//! Prometheus beside Apache's own tool.
//!
//! Invariants: every record is a number, so that what is read can be checked by count and sum; the same story is
//! told in every place. Called by `local` and `kubernetes`.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::cache::Cache;
use crate::demo::apache;
use crate::demo::place::Place;
use crate::demo::prometheus::Prometheus;
use crate::demo::transcript::Transcript;

const RECORDS: u64 = 1_000_000;
/// Records sent while the broker is killed.
const UNDER_LOAD: u64 = 200_000;
/// In so many pieces, a tenth of a second apart.
const CHUNKS: u64 = 50;
const GROUPS: [&str; 3] = ["billing", "analytics", "audit"];
/// By default kcat pauses for a second whenever it has read 100,000 records ahead.
const READ_AHEAD: &str = "-X queued.min.messages=2000000";
/// How long Prometheus may take to see what Apache's tool says: a few scrapes.
const SEEN_WITHIN: Duration = Duration::from_secs(20);

/// Tells the whole story.
pub fn tell(place: &dyn Place, cache: &Cache, transcript: &mut Transcript) -> anyhow::Result<()> {
    produce(place, transcript)?;
    read_by_groups(place, transcript)?;
    replay(place, transcript)?;
    let more = kill_under_load(place, cache, transcript)?;
    read_again(place, transcript, more)?;
    compare_lag(place, cache, transcript)
}

fn produce(place: &dyn Place, transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.chapter(
        "A million records, by a stock client (kcat), acks=all: on stable storage before each answer",
    );
    let line = format!(
        "seq 1 {RECORDS} | kcat -P -b $BROKERS -t {} -X acks=all -X partitioner=random",
        place.topic()
    );
    transcript.command(&line);
    let started = Instant::now();
    place.shell(&line)?;
    let seconds = started.elapsed().as_secs_f64();
    transcript
        .fact(&format!("{RECORDS} acknowledged in {seconds:.1} s, {:.0} a second", RECORDS as f64 / seconds));
    Ok(())
}

fn read_by_groups(place: &dyn Place, transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.chapter("Three consumer groups read them, each with its own bookmark");
    for group in GROUPS {
        read_in_group(place, transcript, group, RECORDS, sum_to(RECORDS))?;
    }
    Ok(())
}

/// Reads `count` records in a group and checks that they add up to `sum`.
fn read_in_group(
    place: &dyn Place,
    transcript: &Transcript,
    group: &str,
    count: u64,
    sum: u64,
) -> anyhow::Result<()> {
    let reader = format!(
        "kcat -b $BROKERS -G {group} -c {count} -q {READ_AHEAD} -X auto.offset.reset=earliest {}",
        place.topic()
    );
    transcript.command(&reader);
    let started = Instant::now();
    check_sum(&place.shell(&format!("{reader} 2>/dev/null {ADD_UP}"))?, count, sum)?;
    let seconds = started.elapsed().as_secs_f64();
    transcript.fact(&format!("{group} read {count} records in {seconds:.1} s; their sum is right: {sum}"));
    Ok(())
}

fn replay(place: &dyn Place, transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.chapter("Replay: the log is still there, from the beginning");
    let line = format!("kcat -C -b $BROKERS -t {} -o beginning -e -q {READ_AHEAD}", place.topic());
    transcript.command(&line);
    let started = Instant::now();
    check_sum(&place.shell(&format!("{line} {ADD_UP}"))?, RECORDS, sum_to(RECORDS))?;
    transcript.fact(&format!("all {RECORDS} again, in {:.1} s", started.elapsed().as_secs_f64()));
    Ok(())
}

/// Kills the broker while a client writes, and returns how many more records there are then.
fn kill_under_load(place: &dyn Place, cache: &Cache, transcript: &mut Transcript) -> anyhow::Result<u64> {
    transcript.chapter("SIGKILL of the broker's process under load");
    let Some(bootstrap) = place.address_for_tools() else {
        transcript.fact(
            "no load: Apache's producer runs on this machine, and the brokers are not reachable from it",
        );
        kill(place, transcript)?;
        return Ok(0);
    };
    // kcat as a producer gives up when its only broker is away; Apache's own producer waits for it.
    let arguments = ["--bootstrap-server", &bootstrap, "--topic", place.topic()];
    transcript
        .command(&format!("... | kafka-console-producer {}   # acks=all, idempotent", arguments.join(" ")));
    let started = Instant::now();
    std::thread::scope(|scope| {
        let load = scope.spawn(|| apache::produce_lines(cache, &arguments, &paced_numbers()));
        std::thread::sleep(Duration::from_secs(3)); // The load runs: the kill shall not find it finished.
        kill(place, transcript)?;
        load.join().expect("the thread does not panic").context("the load failed")
    })?;
    let seconds = started.elapsed().as_secs_f64();
    transcript
        .fact(&format!("the client saw a pause and no error: {UNDER_LOAD} more records in {seconds:.1} s"));
    Ok(UNDER_LOAD)
}

fn kill(place: &dyn Place, transcript: &Transcript) -> anyhow::Result<()> {
    let how = place.kill_broker()?;
    transcript.command(&how);
    let killed = Instant::now();
    place.await_broker()?;
    transcript
        .fact(&format!("the broker serves again {:.1} s after its death", killed.elapsed().as_secs_f64()));
    Ok(())
}

/// A shell line that writes the numbers behind the first million, slowly, so that the kill falls into the middle.
fn paced_numbers() -> String {
    let (first, chunk) = (RECORDS + 1, UNDER_LOAD / CHUNKS);
    format!(
        "i=0; while [ $i -lt {CHUNKS} ]; do a=$(({first} + i * {chunk})); seq $a $((a + {chunk} - 1)); \
         i=$((i + 1)); sleep 0.1; done"
    )
}

fn read_again(place: &dyn Place, transcript: &mut Transcript, more: u64) -> anyhow::Result<()> {
    transcript.chapter("Everything that was acknowledged is there, once");
    let total = RECORDS + more;
    let line = format!("kcat -C -b $BROKERS -t {} -o beginning -e -q {READ_AHEAD}", place.topic());
    transcript.command(&line);
    check_sum(&place.shell(&format!("{line} {ADD_UP}"))?, total, sum_to(total))?;
    transcript.fact(&format!("{total} records, none lost, none twice"));
    // Two groups go on where their bookmarks were; the third stays behind, to have something to show.
    for group in GROUPS[..2].iter().filter(|_| more > 0) {
        read_in_group(place, transcript, group, more, sum_to(total) - sum_to(RECORDS))?;
    }
    Ok(())
}

fn compare_lag(place: &dyn Place, cache: &Cache, transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.chapter("Offsets and lag: a real Prometheus beside Apache's kafka-consumer-groups");
    let Some(bootstrap) = place.address_for_tools() else {
        transcript
            .fact("skipped: Apache's tools run on this machine, and the brokers are not reachable from it");
        return Ok(());
    };
    transcript
        .command(&format!("kafka-consumer-groups --bootstrap-server {bootstrap} --describe --all-groups"));
    let table = apache::consumer_groups(cache, &bootstrap, &["--describe", "--all-groups"])?;
    transcript.output(&apache::one_table(&table, place.topic()));
    let told = apache::positions(&table, place.topic())?;
    ensure!(
        told.len() >= GROUPS.len(),
        "the tool shows {} bookmarks, {} groups have read",
        told.len(),
        GROUPS.len()
    );

    let (target, _forward) = place.metrics()?;
    let prometheus = Prometheus::start(cache, &target)?;
    let started = Instant::now();
    loop {
        let offsets = prometheus.by_bookmark("kafka_consumergroup_current_offset", place.topic())?;
        let lags = prometheus.by_bookmark("kafka_consumergroup_lag", place.topic())?;
        let seen: std::collections::BTreeMap<_, _> =
            offsets.iter().filter_map(|(at, offset)| Some((at.clone(), (*offset, *lags.get(at)?)))).collect();
        if seen == told {
            break;
        }
        ensure!(started.elapsed() < SEEN_WITHIN, "Prometheus says {seen:?}, the tool says {told:?}");
        std::thread::sleep(Duration::from_millis(500));
    }
    transcript.command("kafka_consumergroup_current_offset, kafka_consumergroup_lag");
    let lag: u64 = told.values().map(|(_, lag)| lag).sum();
    transcript.fact(&format!(
        "{} bookmarks: Prometheus ({}) and the tool agree on every offset and lag, {lag} in sum",
        told.len(),
        prometheus.page()
    ));
    Ok(())
}

/// Adds up the numbers that come in, and counts them.
const ADD_UP: &str = "| awk '{ n++; s += $1 } END { printf \"%.0f %.0f\\n\", n, s }'";

fn check_sum(output: &str, count: u64, sum: u64) -> anyhow::Result<()> {
    let words: Vec<u64> = output.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    ensure!(words == [count, sum], "read (count, sum) {words:?}, and it should be [{count}, {sum}]");
    Ok(())
}

/// 1 + 2 + ... + n.
fn sum_to(n: u64) -> u64 {
    n * (n + 1) / 2
}
