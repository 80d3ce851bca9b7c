//! The scrubber of a whole broker: it goes on where the last process stopped, and costs nothing while it has time.
//!
//! Judged by what it counts itself and by the kernel's account of its thread.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod support;

use std::time::{Duration, Instant};

use support::Broker;
use support::calls::{batch, create_topic, produce};
use support::raw::RawClient;

const RECORDS: i64 = 160;
const VALUE_BYTES: usize = 100_000;
const TOTAL_BYTES: u64 = RECORDS as u64 * VALUE_BYTES as u64;
/// Read between two pauses, and a batch before and one behind that are needed to judge it.
const PIECE_BYTES: u64 = (1 << 20) + 2 * VALUE_BYTES as u64;

fn sample(broker: &Broker, series: &str) -> u64 {
    let (_, page) = broker.http("/metrics").unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{series} is not exported")).parse().unwrap()
}

fn until(broker: &Broker, what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}:\n{}", broker.log());
        std::thread::sleep(Duration::from_millis(5)); // Polls the process outside.
    }
}

fn fill(broker: &Broker) {
    let mut client = RawClient::connect(&broker.address());
    create_topic(&mut client, "scrubbed", 1, &[("segment.bytes", "4194304")]);
    let value = "v".repeat(VALUE_BYTES);
    for offset in 0..RECORDS {
        assert_eq!(produce(&mut client, "scrubbed", 0, &batch(1_000, &[&value])).base_offset, offset);
    }
}

#[test]
fn a_pass_goes_on_in_the_next_process_where_the_last_one_stopped() {
    let slow = ["log.scrub.interval.ms=1000", "log.scrub.max.bytes.per.second=8388608"];
    let mut broker = Broker::prepared(&["log.scrub.interval.ms=0"]);
    broker.start_again();
    fill(&broker);
    broker.stop();
    broker.reconfigure(&slow);
    broker.start_again();
    until(&broker, "a third is read", || sample(&broker, "logspine_scrub_pass_bytes") > TOTAL_BYTES / 3);
    broker.stop();
    broker.start_again();
    until(&broker, "the pass ends", || sample(&broker, "logspine_scrub_passes_total") > 0);
    let line =
        broker.log().lines().rfind(|line| line.contains("has read everything once")).unwrap().to_owned();
    let digits = line.split("bytes=").nth(1).unwrap();
    let second: u64 = digits.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
    println!("FIGURE read after a restart within a pass: {second} of {TOTAL_BYTES} bytes");
    assert!(second <= TOTAL_BYTES * 4 / 5, "{second} bytes: it began anew");
    assert!(second >= PIECE_BYTES, "{second} bytes: the rest was left out");
}

/// How often a thread of the broker has run, as the kernel counts.
fn runs_of(broker: &Broker, thread: &str) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", broker.id())).unwrap();
    let tasks = tasks.map(|task| task.unwrap().path());
    let task = tasks
        .into_iter()
        .find(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == thread));
    let status = std::fs::read_to_string(task.expect("the thread runs").join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    line.trim().parse().unwrap()
}

#[test]
fn a_broker_that_holds_little_is_not_woken_by_its_scrubber() {
    let broker = Broker::start(&[]);
    fill(&broker);
    // It sleeps by now: nothing wakes it for an hour.
    let before = runs_of(&broker, "scrubber");
    let mut client = RawClient::connect(&broker.address());
    for number in 0..200 {
        let produced = produce(&mut client, "scrubbed", 0, &batch(1_000, &["more"]));
        assert_eq!(produced.base_offset, RECORDS + number);
    }
    assert_eq!(runs_of(&broker, "scrubber"), before, "it was woken meanwhile");
}
