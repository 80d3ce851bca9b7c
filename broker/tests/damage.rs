//! Damaged files: what no recovery point vouches for is cut and kept aside, what one vouches for is never cut.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod support;

use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

use logspine_protocol::error::ErrorCode;
use support::Broker;
use support::calls::{batch, create_topic, fetch, fetch_request, offsets, produce};
use support::raw::RawClient;

const RECORDS: i64 = 20;

/// Two topics of twenty one-record batches each.
fn with_two_topics() -> (Broker, RawClient) {
    let broker = Broker::start(&[]);
    let mut client = RawClient::connect(&broker.address());
    for topic in ["broken", "whole"] {
        create_topic(&mut client, topic, 1, &[]);
        for number in 0..RECORDS {
            let response = produce(&mut client, topic, 0, &batch(1_000 + number, &["some value"]));
            assert_eq!(response.base_offset, number);
        }
    }
    (broker, client)
}

fn segment(broker: &Broker, topic: &str) -> PathBuf {
    broker.data_dir().join(format!("{topic}-0")).join("00000000000000000000.log")
}

fn overwrite(path: &PathBuf, position: u64, bytes: &[u8]) {
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(position)).unwrap();
    file.write_all(bytes).unwrap();
}

fn read_all(client: &mut RawClient, topic: &str) -> usize {
    offsets(&fetch(client, &fetch_request(topic, 0, 0, i32::MAX))).len()
}

#[test]
fn a_torn_tail_after_a_kill_is_cut_and_kept_aside_and_no_record_is_lost() {
    let (mut broker, _client) = with_two_topics();
    broker.kill();
    let path = segment(&broker, "broken");
    let end = std::fs::read(&path).unwrap().iter().rposition(|&byte| byte != 0).unwrap() as u64 + 1;
    // Half of a batch, as a power cut leaves it.
    overwrite(&path, end, &batch(1, &["never finished"])[..40]);
    broker.start_again();
    let mut client = RawClient::connect(&broker.address());
    assert_eq!(read_all(&mut client, "broken"), RECORDS as usize);
    assert_eq!(read_all(&mut client, "whole"), RECORDS as usize);
    assert!(broker.log().contains("aside"), "{}", broker.log());
    assert_eq!(produce(&mut client, "broken", 0, &batch(1, &["next"])).base_offset, RECORDS);
}

#[test]
fn damage_below_the_recovery_point_is_served_around_and_never_cut() {
    let (mut broker, _client) = with_two_topics();
    assert!(broker.stop().success());
    let path = segment(&broker, "broken");
    let before = std::fs::metadata(&path).unwrap().len();
    let batch_bytes = batch(1_000, &["some value"]).len() as u64;
    // The length of the eleventh batch.
    overwrite(&path, 10 * batch_bytes + 8, &[0xff; 4]);
    broker.start_again();
    let mut client = RawClient::connect(&broker.address());
    let served = fetch(&mut client, &fetch_request("broken", 0, 0, i32::MAX));
    let before_damage = offsets(&served);
    assert_eq!(before_damage.last(), Some(&(9, 9)), "up to the damage: {before_damage:?}");
    let beyond = fetch(&mut client, &fetch_request("broken", 0, 10, i32::MAX));
    assert_eq!(beyond.responses[0].partitions[0].error_code, ErrorCode::KafkaStorageError.code());
    assert_eq!(read_all(&mut client, "whole"), RECORDS as usize, "another partition is not concerned");
    assert_eq!(produce(&mut client, "whole", 0, &batch(1, &["x"])).base_offset, RECORDS);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), before, "nothing is cut");
    assert!(broker.log().contains("is damaged at byte"), "{}", broker.log());
}

#[test]
fn a_metadata_log_that_cannot_be_read_stops_the_start_with_file_and_advice() {
    let (mut broker, _client) = with_two_topics();
    assert!(broker.stop().success());
    let dir = broker.data_dir().join("__cluster_metadata-0");
    let mut logs: Vec<PathBuf> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    logs.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
    overwrite(logs.last().unwrap(), 30, &[0xff; 8]);
    let (status, said) = broker.run_to_end(broker.command());
    assert!(!status.success(), "{said}");
    assert!(said.contains("__cluster_metadata-0") && said.contains(".log"), "{said}");
}
