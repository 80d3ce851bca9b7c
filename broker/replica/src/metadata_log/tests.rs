//! Promises of the metadata machine over its log: an answer is durable, and a restart finds the same image.

use std::path::Path;
use std::sync::Arc;

use logspine_cluster::metadata::{Input, NewTopic, Outcome, RegisterBroker, Request, Settings};
use logspine_cluster::quorum::QuorumConfig;
use logspine_protocol::types::{BrokerId, Offset, TopicId};
use logspine_storage::RealDisk;

use super::MetadataLog;
use crate::raft_log::OpenRaftLog;

fn open(dir: &Path) -> MetadataLog {
    let open = OpenRaftLog {
        disk: Arc::new(RealDisk),
        data_dir: dir.to_path_buf(),
        recovery_point: Offset(0),
        quorum: QuorumConfig::single(0),
        now_ms: 0,
    };
    let mut log = MetadataLog::open(open, Settings::default()).expect("the log opens");
    assert!(log.advance().expect("the disk works").is_empty(), "nobody asked yet");
    log
}

fn ask(log: &mut MetadataLog, token: u64, request: Request) -> Outcome {
    let mut replies = log.submit(1000, Input { token, request });
    replies.extend(log.advance().expect("the disk works"));
    let [reply] = &replies[..] else { panic!("one question, {} answers", replies.len()) };
    assert_eq!(reply.token, token);
    reply.result.clone().expect("granted")
}

fn register() -> Request {
    Request::RegisterBroker(RegisterBroker {
        broker_id: BrokerId(0),
        incarnation_id: TopicId([7; 16]),
        endpoints: Vec::new(),
        rack: None,
        log_dirs: Vec::new(),
    })
}

fn create(name: &str, id: u8) -> Request {
    let topic = NewTopic {
        name: name.to_owned(),
        topic_id: TopicId([id; 16]),
        num_partitions: 3,
        replication_factor: 1,
        ..NewTopic::default()
    };
    Request::CreateTopics { topics: vec![topic], validate_only: false }
}

#[test]
fn a_restart_without_warning_finds_the_same_image() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut log = open(dir.path());
    ask(&mut log, 1, register());
    let Outcome::TopicsCreated(created) = ask(&mut log, 2, create("orders", 9)) else { panic!("topics") };
    assert!(created.iter().all(Result::is_ok), "{created:?}");
    let image = log.image().clone();
    drop(log);

    let again = open(dir.path());
    assert_eq!(again.image(), &image);
    let topic = again.image().topic_by_name("orders").expect("the topic is there");
    assert_eq!(topic.topic_id, TopicId([9; 16]));
}

#[test]
fn many_requests_before_one_advance_are_answered_together() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut log = open(dir.path());
    ask(&mut log, 0, register());
    for token in 1..=20u8 {
        let request = create(&format!("t{token}"), token);
        assert!(log.submit(0, Input { token: u64::from(token), request }).is_empty(), "not before the sync");
    }
    let tokens: Vec<_> = log.advance().expect("the disk works").iter().map(|reply| reply.token).collect();
    assert_eq!(tokens, (1..=20).collect::<Vec<u64>>());
    assert_eq!(log.image().topic_count(), 20);
}
