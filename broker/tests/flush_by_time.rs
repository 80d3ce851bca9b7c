//! Promise: with `flush.ms` a record that was acknowledged from the page cache is on disk that much later, and nothing is
//! synced for a topic that leaves it to the operating system. Kafka: `log.flush.interval.ms`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod support;

use std::time::{Duration, Instant};

use support::Broker;
use support::calls::{batch, create_topic, produce};
use support::raw::RawClient;

const DEADLINE: Duration = Duration::from_secs(20);
const PAGE_CACHE: (&str, &str) = ("flush.messages", "9223372036854775807");

fn rounds(broker: &Broker) -> f64 {
    let (_, page) = broker.http("/metrics").unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix("kafka_log_logflushstats_rounds_total "));
    line.expect("rounds are counted").parse().unwrap()
}

#[test]
fn a_record_is_synced_when_its_time_is_over_and_one_without_a_time_is_not() {
    // What the checkpoint flushes would blur the picture.
    let broker = Broker::start(&["log.flush.offset.checkpoint.interval.ms=600000"]);
    let mut client = RawClient::connect(&broker.address());
    create_topic(&mut client, "never", 1, &[PAGE_CACHE]);
    create_topic(&mut client, "soon", 1, &[PAGE_CACHE, ("flush.ms", "100")]);
    let one = batch(1_700_000_000_000, &["v"]);

    let at_first = rounds(&broker);
    for _ in 0..20 {
        assert_eq!(produce(&mut client, "never", 0, &one).error_code, 0);
    }
    assert_eq!(rounds(&broker), at_first, "acknowledged from the page cache");

    for wave in 1..=3 {
        let (before, began) = (rounds(&broker), Instant::now());
        for _ in 0..5 {
            assert_eq!(produce(&mut client, "soon", 0, &one).error_code, 0);
        }
        while rounds(&broker) == before {
            assert!(began.elapsed() < DEADLINE, "wave {wave} is not synced");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(began.elapsed() >= Duration::from_millis(100), "wave {wave} was synced at once");
    }
    let (_, page) = broker.http("/metrics").unwrap();
    assert!(page.contains("kafka_log_log_logendoffset{topic=\"soon\",partition=\"0\"} 15"), "{page}");
}

#[test]
fn the_brokers_default_of_flush_ms_is_that_of_its_scheduler() {
    let broker = Broker::start(&["log.flush.scheduler.interval.ms=100"]);
    let mut client = RawClient::connect(&broker.address());
    create_topic(&mut client, "t", 1, &[PAGE_CACHE]);
    let (before, began) = (rounds(&broker), Instant::now());
    assert_eq!(produce(&mut client, "t", 0, &batch(1_700_000_000_000, &["v"])).error_code, 0);
    while rounds(&broker) == before {
        assert!(began.elapsed() < DEADLINE, "nothing is synced");
        std::thread::sleep(Duration::from_millis(10));
    }
}
