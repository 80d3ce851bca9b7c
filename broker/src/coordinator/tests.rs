//! The coordinator over real logs in a temporary directory, with the real controller, without sockets.
//!
//! Nothing here sleeps: every wait is for an answer.

use std::path::Path;
use std::sync::Arc;

use logspine_cluster::group::request::*;
use logspine_cluster::group::response::*;
use logspine_cluster::group::{GroupRequest, GroupResponse};
use logspine_cluster::metadata::{NewTopic, Request, TopicRef};
use logspine_protocol::error::ErrorCode;
use logspine_protocol::types::{BrokerId, TopicId};
use logspine_storage::disk::Disk;
use logspine_storage::{LogDir, RealDisk};

use super::Coordinator;
use crate::config::{BrokerConfig, properties};
use crate::controller::{self, ControllerThread, MetadataHandle};
use crate::identity;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::partition::{Checkpoints, Committer, CommitterThread, Registry};

/// What a broker is without its sockets.
struct Bench {
    coordinator: Coordinator,
    metadata: MetadataHandle,
    partitions: Arc<Registry>,
    controller: ControllerThread,
    committer: CommitterThread,
}

impl Bench {
    fn open(dir: &Path) -> Bench {
        let text = format!(
            "log.dirs={}\noffsets.topic.num.partitions=3\ngroup.initial.rebalance.delay.ms=0\n\
             group.min.session.timeout.ms=1\n",
            dir.display()
        );
        let config = BrokerConfig::from_properties(properties::parse(&text), false, "box").unwrap();
        let config = Arc::new(config);
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let log_dir = Arc::new(LogDir::open(disk, dir).unwrap());
        let identity = identity::establish(&log_dir, &config).unwrap();
        let committer = Committer::start(Arc::new(Metrics::new())).unwrap();
        let partitions = Arc::new(Registry::new(
            log_dir,
            committer.committer(),
            Checkpoints::default(),
            BrokerId(identity.node_id),
            config.log_dir.producer_id_expiration_ms,
        ));
        let started = controller::start(controller::Start {
            config: Arc::clone(&config),
            identity,
            partitions: Arc::clone(&partitions),
            lifecycle: Arc::new(Lifecycle::new(0)),
        })
        .unwrap();
        started.recovery.wait();
        let (metadata, controller) = (started.metadata, started.controller);
        let coordinator = Coordinator::start(config, metadata.clone(), Arc::clone(&partitions));
        Bench { coordinator, metadata, partitions, controller, committer }
    }

    async fn stop(self) {
        self.coordinator.stop();
        let Bench { partitions, controller, committer, .. } = self;
        let stopping = move || {
            controller.stop();
            committer.stop();
            partitions.close_all().unwrap();
        };
        tokio::task::spawn_blocking(stopping).await.unwrap();
    }

    async fn topic(&self, name: &str) -> TopicId {
        let topic_id = identity::random_id().unwrap();
        let topic = NewTopic {
            name: name.into(),
            topic_id,
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        };
        let request = Request::CreateTopics { topics: vec![topic], validate_only: false };
        self.metadata.propose(request).await.unwrap();
        topic_id
    }

    /// As a client does: a coordinator that loads is asked again.
    async fn ask(&self, request: GroupRequest) -> GroupResponse {
        loop {
            match self.coordinator.request("g", request.clone()).await {
                GroupResponse::Error(ErrorCode::CoordinatorLoadInProgress) => tokio::task::yield_now().await,
                response => return response,
            }
        }
    }

    async fn fetch(&self) -> Vec<(String, i64)> {
        let fetch = FetchOffsets { group_id: "g".into(), topics: None, require_stable: true };
        match self.ask(GroupRequest::FetchOffsets(fetch)).await {
            GroupResponse::Fetched(topics) => {
                topics.into_iter().map(|topic| (topic.topic, topic.partitions[0].offset)).collect()
            }
            other => panic!("{other:?}"),
        }
    }
}

fn commit(topic: &str, topic_id: TopicId, offset: i64) -> GroupRequest {
    let offset = OffsetToCommit {
        topic: topic.into(),
        topic_id,
        partition: 0,
        offset,
        leader_epoch: -1,
        metadata: String::new(),
    };
    GroupRequest::CommitOffsets(CommitOffsets {
        group_id: "g".into(),
        generation_id: -1,
        member_id: String::new(),
        group_instance_id: None,
        retention_time_ms: None,
        knows_group_id_not_found: true,
        offsets: vec![offset],
    })
}

fn join(client: &str, member_id: &str, session_timeout_ms: i32) -> GroupRequest {
    GroupRequest::Join(Join {
        group_id: "g".into(),
        member_id: member_id.into(),
        group_instance_id: None,
        client_id: client.into(),
        client_host: "/127.0.0.1".into(),
        rebalance_timeout_ms: 60_000,
        session_timeout_ms,
        protocol_type: "consumer".into(),
        protocols: vec![Protocol { name: "range".into(), metadata: Vec::new() }],
        new_member_uuid: super::random_uuid(),
        requires_known_member_id: false,
        supports_skipping_assignment: true,
    })
}

fn joined(response: GroupResponse) -> Joined {
    match response {
        GroupResponse::Joined(joined) => joined,
        other => panic!("{other:?}"),
    }
}

fn assert_committed(response: GroupResponse) {
    assert_eq!(response, GroupResponse::Committed(vec![ErrorCode::NONE]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_question_creates_the_topic_and_a_commit_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path());
    let refused = bench.coordinator.request("g", commit("orders", TopicId::ZERO, 1)).await;
    assert_eq!(refused, GroupResponse::Error(ErrorCode::NotCoordinator), "there is no topic yet");
    assert_eq!(bench.coordinator.find("g").await, Ok(BrokerId(0)));
    let orders = bench.topic("orders").await;
    assert_committed(bench.ask(commit("orders", orders, 42)).await);
    bench.stop().await;

    let bench = Bench::open(dir.path());
    assert_eq!(bench.fetch().await, [("orders".to_owned(), 42)]);
    let figures = bench.coordinator.figures();
    assert_eq!(figures.len(), 1);
    assert_eq!((figures[0].group_id.as_str(), figures[0].members), ("g", 0));
    assert_eq!(figures[0].offsets, [("orders".into(), 0, 42)]);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_falls_silent_makes_room_for_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path());
    bench.coordinator.find("g").await.unwrap();
    let anna = joined(bench.ask(join("anna", "", 50)).await);
    assert_eq!(anna.leader, anna.member_id);
    // Answered once the timer has ended Anna's session.
    let bob = joined(bench.ask(join("bob", "", 60_000)).await);
    assert_eq!((bob.error, &bob.leader, bob.generation_id), (ErrorCode::NONE, &bob.member_id, 2));
    let sync = Sync {
        group_id: "g".into(),
        generation_id: bob.generation_id,
        member_id: bob.member_id.clone(),
        group_instance_id: None,
        protocol_type: None,
        protocol_name: None,
        assignments: vec![(bob.member_id.clone(), b"all".to_vec())],
    };
    match bench.ask(GroupRequest::Sync(sync)).await {
        GroupResponse::Synced(synced) => assert_eq!(synced.assignment, b"all"),
        other => panic!("{other:?}"),
    }
    bench.stop().await;

    // Who was stable is a member after a restart.
    let bench = Bench::open(dir.path());
    match bench.ask(GroupRequest::Describe { group_id: "g".into() }).await {
        GroupResponse::Described(Some(group)) => assert_eq!(group.members[0].member_id, bob.member_id),
        other => panic!("{other:?}"),
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_of_a_deleted_topic_go_at_once_or_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path());
    bench.coordinator.find("g").await.unwrap();
    for name in ["early", "kept", "late"] {
        let topic_id = bench.topic(name).await;
        assert_committed(bench.ask(commit(name, topic_id, 7)).await);
    }
    bench.coordinator.metadata_published();
    let delete = |name: &str| Request::DeleteTopics { topics: vec![TopicRef::Name(name.into())] };
    bench.metadata.propose(delete("early")).await.unwrap();
    bench.coordinator.metadata_published();
    assert_eq!(bench.fetch().await, [("kept".to_owned(), 7), ("late".to_owned(), 7)]);
    // Nobody tells the coordinator of this one.
    bench.metadata.propose(delete("late")).await.unwrap();
    bench.stop().await;

    let bench = Bench::open(dir.path());
    while bench.fetch().await != [("kept".to_owned(), 7)] {
        tokio::task::yield_now().await;
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_log_is_gone_everybody_is_refused_and_nobody_waits() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path());
    bench.coordinator.find("g").await.unwrap();
    let anna = joined(bench.ask(join("anna", "", 60_000)).await);
    let parked = tokio::spawn({
        let coordinator = bench.coordinator.clone();
        async move { coordinator.request("g", join("bob", "", 60_000)).await }
    });
    // Bob is in the group once Anna is asked to join again.
    let heartbeat = GroupRequest::Heartbeat(Heartbeat {
        group_id: "g".into(),
        generation_id: anna.generation_id,
        member_id: anna.member_id,
        group_instance_id: None,
    });
    while bench.ask(heartbeat.clone()).await != GroupResponse::Error(ErrorCode::RebalanceInProgress) {
        tokio::task::yield_now().await;
    }
    bench.partitions.close_all().unwrap();
    let refused = bench.coordinator.request("g", commit("orders", TopicId::ZERO, 1)).await;
    assert!(matches!(refused, GroupResponse::Error(error) if error.is_retriable()), "{refused:?}");
    bench.coordinator.stop();
    assert_eq!(parked.await.unwrap(), GroupResponse::Error(ErrorCode::NotCoordinator));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_sends_the_parked_away_and_still_answers_what_is_on_its_way_to_disk() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path());
    bench.coordinator.find("g").await.unwrap();
    let anna = joined(bench.ask(join("anna", "", 60_000)).await);
    let mut alone = commit("orders", TopicId::ZERO, 9);
    let GroupRequest::CommitOffsets(offsets) = &mut alone else { unreachable!("built as a commit") };
    offsets.group_id = "alone".into();
    // Polled in this order: both requests are under way when the stop comes.
    let (parked, committed, ()) = tokio::join!(
        bench.coordinator.request("g", join("bob", "", 60_000)),
        bench.coordinator.request("alone", alone),
        async { bench.coordinator.stop() },
    );
    assert_eq!(parked, GroupResponse::Error(ErrorCode::NotCoordinator));
    assert_committed(committed);
    let late = bench.coordinator.request("g", join("anna", &anna.member_id, 60_000)).await;
    assert_eq!(late, GroupResponse::Error(ErrorCode::NotCoordinator));
    bench.stop().await;
}
