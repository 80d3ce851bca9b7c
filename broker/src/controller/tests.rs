//! The controller over a real directory: what it answered is there after a restart, and its partitions are open.

use std::path::Path;
use std::sync::Arc;

use logspine_cluster::metadata::{
    AlterOp, ConfigResource, IncrementalAlteration, NewPartitions, NewTopic, RequestErrorCode,
    ResourceIncrementalAlteration, TopicRef,
};
use logspine_protocol::types::{LeaderEpoch, PartitionIndex, TopicId};
use logspine_storage::{LogDir, RealDisk};

use super::*;
use crate::config::properties;
use crate::metrics::Metrics;
use crate::partition::{Checkpoints, Committer, CommitterThread};

/// A broker without sockets.
struct Node {
    metadata: MetadataHandle,
    partitions: Arc<Registry>,
    controller: ControllerThread,
    committer: CommitterThread,
    lifecycle: Arc<Lifecycle>,
}

impl Node {
    fn try_start(dir: &Path, file: &str) -> Result<Node, StartError> {
        let config = BrokerConfig::from_properties(properties::parse(file), false, "box").unwrap();
        let log_dir = Arc::new(LogDir::open(Arc::new(RealDisk), dir).unwrap());
        let identity = identity::establish(&log_dir, &config).unwrap();
        let committer = Committer::start(Arc::new(Metrics::new())).unwrap();
        let broker = BrokerId(identity.node_id);
        let checkpoints = Checkpoints::default();
        let partitions =
            Arc::new(Registry::new(log_dir, committer.committer(), checkpoints, broker, 86_400_000));
        let lifecycle = Arc::new(Lifecycle::new(0));
        let (config, partitions_given) = (Arc::new(config), Arc::clone(&partitions));
        let Started { metadata, controller, recovery } = start(Start {
            config,
            identity,
            partitions: partitions_given,
            lifecycle: Arc::clone(&lifecycle),
        })?;
        recovery.wait();
        Ok(Node { metadata, partitions, controller, committer, lifecycle })
    }

    fn start(dir: &Path) -> Node {
        Node::try_start(dir, "").unwrap()
    }

    fn stop(self) {
        self.controller.stop();
        self.committer.stop();
        assert!(self.partitions.close_all().is_some(), "every log closed cleanly");
    }

    fn ask(&self, request: Request) -> Result<Outcome, ProposeError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.metadata.propose(request))
    }

    fn create(&self, name: &str, partitions: i32) -> Result<(), RequestErrorCode> {
        let topic = NewTopic {
            name: name.to_owned(),
            topic_id: identity::random_id().unwrap(),
            num_partitions: partitions,
            replication_factor: 1,
            ..NewTopic::default()
        };
        match self.ask(Request::CreateTopics { topics: vec![topic], validate_only: false }) {
            Ok(Outcome::TopicsCreated(mut results)) => results.remove(0).map(|_| ()).map_err(|e| e.code),
            other => panic!("{other:?}"),
        }
    }

    fn set(&self, resource: ConfigResource, name: &str, value: &str) {
        let config =
            IncrementalAlteration { name: name.to_owned(), op: AlterOp::Set, value: Some(value.to_owned()) };
        let resources = vec![ResourceIncrementalAlteration { resource, configs: vec![config] }];
        let outcome = self.ask(Request::IncrementalAlterConfigs { resources, validate_only: false });
        assert_eq!(outcome, Ok(Outcome::ConfigsAltered(vec![Ok(())])));
    }

    fn delete(&self, name: &str) {
        let topics = vec![TopicRef::Name(name.to_owned())];
        assert!(self.ask(Request::DeleteTopics { topics }).is_ok());
    }

    fn epoch(&self, name: &str, index: i32) -> LeaderEpoch {
        let image = self.metadata.image();
        image.topic_by_name(name).unwrap().partitions[&PartitionIndex(index)].leader_epoch
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_answer_means_that_the_partitions_are_open() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    node.create("orders", 3).unwrap();
    for index in 0..3 {
        let partition = node.partitions.by_name("orders", index).unwrap();
        assert!(partition.view().is_leader());
    }
    assert_eq!(node.create("orders", 1), Err(RequestErrorCode::TopicAlreadyExists));
    let topics = vec![NewPartitions { name: "orders".to_owned(), count: 4, assignments: None }];
    node.ask(Request::CreatePartitions { topics, validate_only: false }).unwrap();
    assert!(node.partitions.by_name("orders", 3).is_some());
    node.delete("orders");
    assert!(node.partitions.by_name("orders", 0).is_none());
    assert!(!names(dir.path()).iter().any(|name| name.starts_with("orders-") && !name.ends_with("-delete")));
    node.stop();
}

#[test]
fn what_was_answered_is_there_after_a_restart_and_each_start_is_a_new_reign() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    node.create("orders", 2).unwrap();
    node.set(ConfigResource::topic("orders"), "retention.ms", "5");
    assert_eq!(node.epoch("orders", 0), LeaderEpoch(0));
    let before = node.metadata.image();
    node.stop();
    let node = Node::start(dir.path());
    assert_eq!(node.metadata.image().configs(&ConfigResource::topic("orders"))["retention.ms"], "5");
    assert_eq!(node.lifecycle.recovery(), (2, 2));
    assert_eq!(node.epoch("orders", 0), LeaderEpoch(1));
    assert_eq!(node.partitions.by_name("orders", 1).unwrap().view().leader_epoch(), LeaderEpoch(1));
    assert!(node.metadata.broker_epoch() > before.last_broker_epoch());
    node.stop();
}

#[test]
fn settings_reach_open_partitions_from_every_layer() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::try_start(dir.path(), "log.retention.ms=1\n").unwrap();
    node.create("orders", 1).unwrap();
    let retention = || node.partitions.by_name("orders", 0).unwrap().config().retention_ms;
    assert_eq!(retention(), 1, "from the file");
    node.set(ConfigResource::cluster(), "log.retention.ms", "2");
    assert_eq!(retention(), 2, "from the default of all brokers");
    node.set(ConfigResource::topic("orders"), "retention.ms", "3");
    assert_eq!(retention(), 3, "its own");
    node.stop();
}

#[test]
fn producer_ids_are_never_given_twice_not_even_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let next = |node: &Node| runtime.block_on(node.metadata.producer_ids().next(&node.metadata)).unwrap().0;
    let node = Node::start(dir.path());
    assert_eq!([next(&node), next(&node)], [0, 1]);
    node.stop();
    let node = Node::start(dir.path());
    assert_eq!(next(&node), 1000, "what was left of the first block is gone");
    node.stop();
}

#[test]
fn a_directory_that_no_topic_claims_is_set_aside_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    node.create("orders", 1).unwrap();
    node.stop();
    // As a crash between the deletion in the metadata and on disk leaves it.
    let stray = dir.path().join("gone-0");
    std::fs::create_dir(&stray).unwrap();
    std::fs::write(stray.join("00000000000000000000.log"), b"bytes").unwrap();
    let node = Node::start(dir.path());
    let kept: Vec<_> = names(dir.path()).into_iter().filter(|name| name.ends_with("-stray")).collect();
    assert_eq!(kept, [format!("gone-0.{:032x}-stray", 0)]);
    assert!(dir.path().join(&kept[0]).join("00000000000000000000.log").exists());
    assert!(node.partitions.by_name("orders", 0).is_some());
    node.stop();
}

#[test]
fn partitions_without_their_metadata_log_stop_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    node.create("orders", 2).unwrap();
    node.stop();
    std::fs::remove_dir_all(dir.path().join("__cluster_metadata-0")).unwrap();
    let refused = Node::try_start(dir.path(), "").map(|_| ()).unwrap_err();
    assert!(matches!(refused, StartError::MetadataMissing { partitions: 2, .. }), "{refused}");
    assert!(dir.path().join("orders-0").exists());
}

#[test]
fn a_default_that_cannot_be_read_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let refused = Node::try_start(dir.path(), "log.segment.bytes=many\n").map(|_| ()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the configuration is not valid: Invalid value many for configuration log.segment.bytes: Not a number of \
         type INT"
    );
}

#[test]
fn a_topic_that_is_deleted_and_created_again_starts_empty_under_a_new_id() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let id = |node: &Node| -> TopicId { node.metadata.image().topic_by_name("orders").unwrap().topic_id };
    node.create("orders", 1).unwrap();
    let first = id(&node);
    node.delete("orders");
    node.create("orders", 1).unwrap();
    assert_ne!(first, id(&node));
    assert_eq!(node.partitions.by_name("orders", 0).unwrap().view().log_end_offset().0, 0);
    node.stop();
    let node = Node::start(dir.path());
    assert!(node.partitions.get(first, 0).is_none());
    node.stop();
}

#[test]
fn many_who_ask_at_once_are_all_answered() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let request = |n: i32| {
        let topic = NewTopic {
            name: format!("topic-{n}"),
            topic_id: identity::random_id().unwrap(),
            num_partitions: 1,
            replication_factor: 1,
            ..NewTopic::default()
        };
        Request::CreateTopics { topics: vec![topic], validate_only: false }
    };
    let asked = (0..50).map(|n| node.metadata.propose(request(n)));
    let answers = runtime.block_on(futures::future::join_all(asked));
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Outcome::TopicsCreated(r)) if r[0].is_ok())));
    assert_eq!(node.metadata.image().topic_count(), 50);
    node.stop();
}
