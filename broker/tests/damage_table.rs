//! Each kind of file in a data directory, each kind of damage, on the real broker: it starts, other partitions are served,
//! the damaged one serves what is sound and Kafka's code for the rest, and the broker says which file it was.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod support;

use std::path::{Path, PathBuf};

use logspine_protocol::batch::iter_batches;
use logspine_protocol::error::ErrorCode;
use support::Broker;
use support::calls::{batch, create_topic, fetch, fetch_request, produce};
use support::raw::RawClient;

/// Two and a half segments of the smallest size that Kafka allows.
const BATCHES: i64 = 10;
const VALUE_BYTES: usize = 260 << 10;

/// A file of a partition's directory that is damaged, and whether records may be lost by it.
struct Kind {
    topic: &'static str,
    file: fn(&Path) -> PathBuf,
    may_lose: bool,
}

fn first(dir: &Path, suffix: &str) -> PathBuf {
    files(dir, suffix).remove(0)
}

fn last(dir: &Path, suffix: &str) -> PathBuf {
    files(dir, suffix).pop().unwrap()
}

fn files(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == suffix)).collect();
    files.sort();
    files
}

const KINDS: [Kind; 8] = [
    Kind { topic: "first-log", file: |dir| first(dir, "log"), may_lose: true },
    Kind { topic: "last-log", file: |dir| last(dir, "log"), may_lose: true },
    Kind { topic: "index", file: |dir| first(dir, "index"), may_lose: false },
    Kind { topic: "timeindex", file: |dir| first(dir, "timeindex"), may_lose: false },
    Kind { topic: "last-timeindex", file: |dir| last(dir, "timeindex"), may_lose: false },
    Kind { topic: "snapshot", file: |dir| last(dir, "snapshot"), may_lose: false },
    Kind { topic: "epochs", file: |dir| dir.join("leader-epoch-checkpoint"), may_lose: false },
    Kind { topic: "id", file: |dir| dir.join("partition.metadata"), may_lose: false },
];

const OF_THE_DIRECTORY: [&str; 4] = [
    "recovery-point-offset-checkpoint",
    "log-start-offset-checkpoint",
    "replication-offset-checkpoint",
    ".kafka_cleanshutdown",
];

#[derive(Debug, Clone, Copy)]
enum Damage {
    Truncated,
    Emptied,
    Filled,
    Directory,
}

const DAMAGES: [Damage; 4] = [Damage::Truncated, Damage::Emptied, Damage::Filled, Damage::Directory];

impl Damage {
    fn strike(self, path: &Path) {
        let mut content = std::fs::read(path).unwrap();
        let mut random = content.len() as u64 | 1;
        match self {
            Damage::Truncated => content.truncate(content.len() / 2),
            Damage::Emptied => content.clear(),
            Damage::Filled => content.iter_mut().for_each(|byte| {
                random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                *byte = (random >> 56) as u8;
            }),
            Damage::Directory => {
                std::fs::remove_file(path).unwrap();
                return std::fs::create_dir(path).unwrap();
            }
        }
        std::fs::write(path, content).unwrap();
    }
}

fn value(topic: &str, offset: i64) -> String {
    format!("{topic} {offset} {}", "x".repeat(VALUE_BYTES))
}

/// A topic for each kind and one that is left alone.
fn filled() -> (Broker, RawClient) {
    let broker = Broker::start(&["log.retention.check.interval.ms=50"]);
    let mut client = RawClient::connect(&broker.address());
    for topic in KINDS.iter().map(|kind| kind.topic).chain(["whole"]) {
        create_topic(&mut client, topic, 1, &[("segment.bytes", "1048576"), ("retention.ms", "-1")]);
        for offset in 0..BATCHES {
            let sent = batch(1_000 + offset, &[&value(topic, offset)]);
            assert_eq!(produce(&mut client, topic, 0, &sent).error_code, 0);
        }
    }
    (broker, client)
}

/// How many records are served, each as it was sent; whatever else is answered is Kafka's storage error.
fn served(client: &mut RawClient, topic: &str) -> i64 {
    let mut served = 0;
    for offset in 0..BATCHES {
        let response = fetch(client, &fetch_request(topic, 0, offset, 1));
        let partition = &response.responses[0].partitions[0];
        let code = ErrorCode::from_code(partition.error_code).unwrap();
        let bytes = partition.records.as_ref().and_then(|records| records.as_bytes()).unwrap_or_default();
        let is_refused = matches!(code, ErrorCode::KafkaStorageError | ErrorCode::OffsetOutOfRange);
        assert!(code == ErrorCode::None || is_refused, "{topic} at {offset}: {code:?}");
        for batch in iter_batches(bytes) {
            let batch = batch.unwrap();
            for record in &batch.records().unwrap() {
                let record = record.unwrap();
                let sent = value(topic, record.offset.0);
                assert_eq!(record.value.unwrap(), sent.as_bytes(), "{topic} at {}", record.offset);
            }
            served += i64::from(batch.base_offset().0 == offset);
        }
    }
    served
}

fn after(broker: &mut Broker, damage: Damage, stopped: &str) {
    let mut paths = Vec::new();
    for kind in &KINDS {
        let path = (kind.file)(&broker.data_dir().join(format!("{}-0", kind.topic)));
        damage.strike(&path);
        paths.push(path);
    }
    broker.start_again();
    let mut client = RawClient::connect(&broker.address());
    assert_eq!(served(&mut client, "whole"), BATCHES);
    let sent = batch(1, &[&value("whole", BATCHES)]);
    assert_eq!(produce(&mut client, "whole", 0, &sent).base_offset, BATCHES);
    for (kind, path) in KINDS.iter().zip(&paths) {
        let what = format!("{stopped}, {damage:?} {}", path.display());
        let served = served(&mut client, kind.topic);
        assert!(served == BATCHES || kind.may_lose, "{what}: {served} of {BATCHES} served");
        let (_, status) = broker.http("/status").unwrap();
        let name = path.strip_prefix(broker.data_dir()).unwrap().to_str().unwrap();
        if kind.may_lose {
            assert!(served == BATCHES || status.contains(name), "{what} is not in {status}");
            assert!(served == BATCHES || broker.log().contains(name), "{what} is not in the log");
        }
    }
}

#[test]
fn a_stopped_broker_starts_whatever_was_done_to_one_file_of_each_partition() {
    for damage in DAMAGES {
        let (mut broker, _client) = filled();
        assert!(broker.stop().success());
        after(&mut broker, damage, "stopped");
    }
}

#[test]
fn a_killed_broker_starts_whatever_was_done_to_one_file_of_each_partition() {
    for damage in DAMAGES {
        let (mut broker, _client) = filled();
        // A stop and a start write every file; the kill makes the next start look at the logs.
        assert!(broker.stop().success());
        broker.start_again();
        broker.kill();
        after(&mut broker, damage, "killed");
    }
}

#[test]
fn a_broker_starts_without_the_files_of_its_data_directory_and_names_them() {
    for damage in DAMAGES {
        let (mut broker, _client) = filled();
        assert!(broker.stop().success());
        for name in OF_THE_DIRECTORY {
            damage.strike(&broker.data_dir().join(name));
        }
        broker.start_again();
        let mut client = RawClient::connect(&broker.address());
        for topic in KINDS.iter().map(|kind| kind.topic).chain(["whole"]) {
            assert_eq!(served(&mut client, topic), BATCHES, "{damage:?}: {topic}");
        }
        let (_, status) = broker.http("/status").unwrap();
        for name in &OF_THE_DIRECTORY[..3] {
            assert!(status.contains(&format!("{name}.unreadable-0")), "{damage:?}: {name} in {status}");
        }
        let (_, metrics) = broker.http("/metrics").unwrap();
        assert!(!metrics.contains("logspine_files_set_aside_total 0"), "they are counted");
    }
}
