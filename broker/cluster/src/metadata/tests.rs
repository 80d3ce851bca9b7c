//! Each test is one promise of the metadata decisions. `Controller` drives the machine as the broker does.

use logspine_protocol::types::{BrokerId, LeaderEpoch, PartitionIndex, ProducerId, TopicId};

use super::*;
use crate::machine::{Effect, Machine};

/// A controller whose log commits at once.
struct Controller {
    machine: MetadataMachine,
    ids: u8,
}

impl Controller {
    fn new(brokers: i32) -> Self {
        Self::configured(brokers, &[])
    }

    fn configured(brokers: i32, file: &[(&str, &str)]) -> Self {
        let file = file.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut controller = Self { machine: MetadataMachine::new(Settings { file }), ids: 0 };
        for id in 0..brokers {
            controller.register(id, 1).unwrap();
        }
        controller
    }

    fn ask(&mut self, request: Request) -> Result<Outcome, RequestError> {
        let mut effects = self.machine.step(0, Input { token: 7, request });
        assert_eq!(effects.len(), 1);
        let mut replies = match effects.remove(0) {
            Effect::Reply(reply) => vec![reply],
            Effect::Append { records, then } => {
                records.iter().for_each(|record| self.machine.stage(record));
                records.iter().for_each(|record| self.machine.replay(record));
                then
            }
        };
        assert_eq!(self.machine.image(), self.machine.staged_image());
        let reply = replies.remove(0);
        assert_eq!(reply.token, 7);
        reply.result
    }

    fn register(&mut self, id: i32, incarnation: u8) -> Result<Outcome, RequestError> {
        self.ask(Request::RegisterBroker(RegisterBroker {
            broker_id: BrokerId(id),
            incarnation_id: TopicId([incarnation; 16]),
            endpoints: vec![],
            rack: None,
            log_dirs: vec![],
        }))
    }

    fn topic(&mut self, name: &str) -> NewTopic {
        self.ids += 1;
        NewTopic {
            name: name.to_owned(),
            topic_id: TopicId([self.ids; 16]),
            num_partitions: -1,
            replication_factor: -1,
            ..NewTopic::default()
        }
    }

    fn create(&mut self, topic: NewTopic) -> Result<CreatedTopic, RequestError> {
        self.create_all(vec![topic]).remove(0)
    }

    fn create_all(&mut self, topics: Vec<NewTopic>) -> Vec<Result<CreatedTopic, RequestError>> {
        match self.ask(Request::CreateTopics { topics, validate_only: false }) {
            Ok(Outcome::TopicsCreated(results)) => results,
            other => panic!("{other:?}"),
        }
    }

    fn create_named(&mut self, name: &str) -> CreatedTopic {
        let topic = self.topic(name);
        self.create(topic).unwrap()
    }

    fn alter(
        &mut self,
        resource: ConfigResource,
        ops: &[(&str, AlterOp, Option<&str>)],
    ) -> Result<(), RequestError> {
        let configs = ops.iter().map(|(name, op, value)| IncrementalAlteration {
            name: (*name).to_owned(),
            op: *op,
            value: value.map(str::to_owned),
        });
        let resources = vec![ResourceIncrementalAlteration { resource, configs: configs.collect() }];
        match self.ask(Request::IncrementalAlterConfigs { resources, validate_only: false }) {
            Ok(Outcome::ConfigsAltered(mut results)) => results.remove(0),
            other => panic!("{other:?}"),
        }
    }

    fn setting(&self, topic: &str, name: &str) -> Option<&str> {
        self.machine.image().configs(&ConfigResource::topic(topic)).get(name).map(String::as_str)
    }
}

fn code(result: Result<CreatedTopic, RequestError>) -> (RequestErrorCode, String) {
    let refusal = result.unwrap_err();
    (refusal.code, refusal.message)
}

#[test]
fn a_topic_gets_the_defaults_of_the_file_when_it_does_not_say() {
    let mut controller =
        Controller::configured(3, &[("num.partitions", "4"), ("default.replication.factor", "2")]);
    let created = controller.create_named("orders");
    assert_eq!((created.num_partitions, created.replication_factor), (4, 2));
    let topic = controller.machine.image().topic_by_name("orders").unwrap().clone();
    let partition = &topic.partitions[&PartitionIndex(3)];
    assert_eq!(partition.isr, partition.replicas);
    assert_eq!(partition.leader, partition.replicas[0]);
    assert_eq!((partition.leader_epoch, partition.partition_epoch), (LeaderEpoch(0), 0));
}

#[test]
fn creation_is_refused_in_kafkas_words() {
    use RequestErrorCode::*;
    let mut controller = Controller::new(1);
    controller.create_named("a.b");
    let mut refusal = |change: &dyn Fn(&mut NewTopic)| {
        let mut topic = controller.topic("fresh");
        change(&mut topic);
        code(controller.create(topic))
    };
    assert_eq!(
        refusal(&|t| t.name = "a.b".into()),
        (TopicAlreadyExists, "Topic 'a.b' already exists.".into())
    );
    assert_eq!(
        refusal(&|t| t.name = "a_b".into()),
        (InvalidTopicException, "Topic 'a_b' collides with existing topic: a.b".into())
    );
    assert_eq!(refusal(&|t| t.name = "a b".into()).0, InvalidTopicException);
    assert_eq!(refusal(&|t| t.name = "__cluster_metadata".into()).0, InvalidRequest);
    assert_eq!(refusal(&|t| t.num_partitions = 0).0, InvalidPartitions);
    assert_eq!(refusal(&|t| t.num_partitions = 10_001).0, PolicyViolation);
    assert_eq!(refusal(&|t| t.replication_factor = 0).0, InvalidReplicationFactor);
    assert_eq!(
        refusal(&|t| t.replication_factor = 3),
        (
            InvalidReplicationFactor,
            "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached \
             because only 1 broker(s) are registered."
                .into()
        )
    );
    assert_eq!(
        refusal(&|t| t.configs = vec![("retention.ms".into(), Some("soon".into()))]),
        (
            InvalidConfig,
            "Invalid value soon for configuration retention.ms: Not a number of type LONG".into()
        )
    );
    assert_eq!(refusal(&|t| t.configs = vec![("retention.ms".into(), None)]).0, InvalidConfig);
    assert_eq!(controller.machine.image().topic_count(), 1, "a refused topic leaves nothing behind");
}

#[test]
fn manual_assignments_are_kept_or_refused() {
    use RequestErrorCode::*;
    let mut controller = Controller::new(3);
    let mut attempt = |assignments: &[(i32, &[i32])]| {
        let mut topic = controller.topic("fresh");
        let brokers = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect();
        topic.assignments = assignments.iter().map(|(i, ids)| (PartitionIndex(*i), brokers(ids))).collect();
        controller.create(topic)
    };
    let refused = |result| code(result).0;
    assert_eq!(refused(attempt(&[(0, &[])])), InvalidReplicaAssignment);
    assert_eq!(refused(attempt(&[(0, &[9])])), InvalidReplicaAssignment);
    assert_eq!(refused(attempt(&[(0, &[1, 1])])), InvalidReplicaAssignment);
    assert_eq!(refused(attempt(&[(0, &[1]), (1, &[1, 2])])), InvalidReplicaAssignment);
    assert_eq!(refused(attempt(&[(0, &[1]), (2, &[1])])), InvalidReplicaAssignment);
    assert_eq!(refused(attempt(&[(0, &[1]), (0, &[2])])), InvalidReplicaAssignment);
    assert_eq!(attempt(&[(1, &[2, 0]), (0, &[1, 2])]).unwrap().replication_factor, 2);
    let topic = controller.machine.image().topic_by_name("fresh").unwrap().clone();
    assert_eq!(topic.partitions[&PartitionIndex(1)].replicas, [BrokerId(2), BrokerId(0)]);
    let mut topic = controller.topic("both");
    topic.assignments = vec![(PartitionIndex(0), vec![BrokerId(0)])];
    topic.num_partitions = 1;
    assert_eq!(code(controller.create(topic)).0, InvalidRequest);
}

#[test]
fn the_topics_of_one_request_see_each_other() {
    let mut controller = Controller::new(1);
    let topics = vec![
        controller.topic("twice"),
        controller.topic("twice"),
        controller.topic("x.y"),
        controller.topic("x_y"),
    ];
    let codes: Vec<_> = controller
        .create_all(topics)
        .into_iter()
        .map(|result| result.map(|c| c.name).map_err(|e| e.code))
        .collect();
    assert_eq!(
        codes,
        [
            Err(RequestErrorCode::InvalidRequest),
            Err(RequestErrorCode::InvalidRequest),
            Ok("x.y".to_owned()),
            Err(RequestErrorCode::InvalidTopicException),
        ]
    );
}

#[test]
fn validate_only_answers_as_if_and_changes_nothing() {
    let mut controller = Controller::new(1);
    let topics = vec![controller.topic("maybe")];
    let before = controller.machine.image().clone();
    let outcome = controller.ask(Request::CreateTopics { topics, validate_only: true }).unwrap();
    assert!(matches!(outcome, Outcome::TopicsCreated(results) if results[0].is_ok()));
    assert_eq!(*controller.machine.image(), before);
}

#[test]
fn a_deleted_topic_takes_its_settings_along_and_its_name_is_free_again() {
    let mut controller = Controller::new(1);
    let first = controller.create_named("orders");
    controller.alter(ConfigResource::topic("orders"), &[("retention.ms", AlterOp::Set, Some("5"))]).unwrap();
    let gone = TopicId([99; 16]);
    let topics = vec![TopicRef::Id(first.topic_id), TopicRef::Name("orders".into()), TopicRef::Id(gone)];
    let Ok(Outcome::TopicsDeleted(results)) = controller.ask(Request::DeleteTopics { topics }) else {
        panic!()
    };
    let codes: Vec<_> = results.into_iter().map(|r| r.map(|t| t.name).map_err(|e| e.code)).collect();
    assert_eq!(
        codes,
        [
            Ok("orders".to_owned()),
            Err(RequestErrorCode::UnknownTopicOrPartition),
            Err(RequestErrorCode::UnknownTopicId)
        ]
    );
    assert_eq!(controller.setting("orders", "retention.ms"), None);
    let second = controller.create_named("orders");
    assert_ne!(first.topic_id, second.topic_id);
}

#[test]
fn partitions_grow_and_never_shrink() {
    let mut controller = Controller::new(1);
    controller.create_named("orders");
    let mut grow = |name: &str, count| {
        let topics = vec![NewPartitions { name: name.to_owned(), count, assignments: None }];
        match controller.ask(Request::CreatePartitions { topics, validate_only: false }) {
            Ok(Outcome::PartitionsCreated(mut results)) => results.remove(0).map_err(|e| (e.code, e.message)),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        grow("orders", 1),
        Err((RequestErrorCode::InvalidPartitions, "Topic already has 1 partition(s).".to_owned()))
    );
    assert_eq!(grow("orders", 3), Ok(()));
    assert_eq!(
        grow("orders", 2),
        Err((
            RequestErrorCode::InvalidPartitions,
            "The topic orders currently has 3 partition(s); 2 would not be an increase.".to_owned()
        ))
    );
    assert_eq!(grow("nowhere", 2).unwrap_err().0, RequestErrorCode::UnknownTopicOrPartition);
    let topic = controller.machine.image().topic_by_name("orders").unwrap();
    assert_eq!(topic.partitions.keys().map(|index| index.0).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn settings_change_one_by_one_and_lists_element_by_element() {
    use AlterOp::*;
    let mut controller = Controller::new(1);
    controller.create_named("orders");
    let topic = || ConfigResource::topic("orders");
    controller
        .alter(topic(), &[("retention.ms", Set, Some("5")), ("flush.messages", Set, Some("9"))])
        .unwrap();
    controller.alter(topic(), &[("cleanup.policy", Append, Some("compact"))]).unwrap();
    assert_eq!(
        controller.setting("orders", "cleanup.policy"),
        Some("delete,compact"),
        "appended to the default"
    );
    controller
        .alter(topic(), &[("cleanup.policy", Subtract, Some("delete")), ("flush.messages", Delete, None)])
        .unwrap();
    assert_eq!(controller.setting("orders", "cleanup.policy"), Some("compact"));
    assert_eq!(controller.setting("orders", "flush.messages"), None);
    assert_eq!(controller.setting("orders", "retention.ms"), Some("5"));
    let refusal = |result: Result<(), RequestError>| result.unwrap_err().message;
    assert_eq!(
        refusal(controller.alter(topic(), &[("retention.ms", Append, Some("1"))])),
        "Can't APPEND to key retention.ms because its type is not LIST."
    );
    assert_eq!(
        refusal(controller.alter(ConfigResource::topic("nowhere"), &[])),
        "The topic 'nowhere' does not exist."
    );
    assert_eq!(
        refusal(controller.alter(ConfigResource::broker(BrokerId(8)), &[])),
        "No broker with id 8 found."
    );
    let twice = [("retention.ms", Set, Some("1")), ("retention.ms", Delete, None)];
    assert_eq!(refusal(controller.alter(topic(), &twice)), "Error due to duplicate config keys");
}

#[test]
fn the_older_alter_configs_resets_what_it_does_not_name() {
    let mut controller = Controller::new(1);
    controller.create_named("orders");
    controller.alter(ConfigResource::topic("orders"), &[("retention.ms", AlterOp::Set, Some("5"))]).unwrap();
    let configs = vec![ConfigAlteration { name: "segment.ms".into(), value: Some("7".into()) }];
    let resources = vec![ResourceAlteration { resource: ConfigResource::topic("orders"), configs }];
    controller.ask(Request::AlterConfigs { resources, validate_only: false }).unwrap();
    assert_eq!(controller.setting("orders", "retention.ms"), None);
    assert_eq!(controller.setting("orders", "segment.ms"), Some("7"));
}

#[test]
fn the_brokers_own_topics_are_never_trimmed_by_age_or_size() {
    let mut controller = Controller::new(1);
    controller.create_named(GROUP_METADATA_TOPIC_NAME);
    let topic = ConfigResource::topic(GROUP_METADATA_TOPIC_NAME);
    let refused = controller.alter(topic, &[("cleanup.policy", AlterOp::Set, Some("delete"))]).unwrap_err();
    assert_eq!(refused.code, RequestErrorCode::InvalidConfig);
    let policy = |controller: &Controller| {
        let image = controller.machine.image();
        image.topic_config(GROUP_METADATA_TOPIC_NAME, BrokerId(0), &Default::default()).cleanup_policy
    };
    assert!(!policy(&controller).delete, "not even by the default, when the topic says nothing");
    controller
        .alter(ConfigResource::cluster(), &[("log.cleanup.policy", AlterOp::Set, Some("delete"))])
        .unwrap();
    assert!(!policy(&controller).delete);
}

#[test]
fn a_dynamic_broker_default_reaches_every_topic_without_its_own() {
    let mut controller = Controller::new(1);
    controller.create_named("orders");
    controller.alter(ConfigResource::cluster(), &[("log.retention.ms", AlterOp::Set, Some("77"))]).unwrap();
    let config = controller.machine.image().topic_config("orders", BrokerId(0), &Default::default());
    assert_eq!(config.retention_ms, 77);
    let refusal = controller.alter(ConfigResource::cluster(), &[("num.io.threads", AlterOp::Set, Some("9"))]);
    assert_eq!(refusal.unwrap_err().message, "Cannot update these configs dynamically: Set(num.io.threads)");
}

#[test]
fn a_new_process_begins_a_new_leader_epoch_and_the_same_one_does_not() {
    let mut controller = Controller::new(1);
    controller.create_named("orders");
    let epochs = |controller: &Controller| {
        let partition =
            &controller.machine.image().topic_by_name("orders").unwrap().partitions[&PartitionIndex(0)];
        (partition.leader_epoch.0, partition.partition_epoch)
    };
    assert_eq!(controller.register(0, 1), Ok(Outcome::BrokerRegistered { epoch: 1 }));
    assert_eq!(epochs(&controller), (0, 0));
    assert_eq!(controller.register(0, 2), Ok(Outcome::BrokerRegistered { epoch: 2 }));
    assert_eq!(epochs(&controller), (1, 1));
    assert_eq!(controller.machine.image().features().get("metadata.version"), Some(&30));
}

#[test]
fn blocks_of_producer_ids_never_overlap() {
    let mut controller = Controller::new(2);
    let mut allocate = |id, broker_epoch| {
        controller
            .ask(Request::AllocateProducerIds { broker_id: BrokerId(id), broker_epoch })
            .map_err(|e| e.code)
    };
    let block =
        |first| Ok(Outcome::ProducerIdsAllocated(ProducerIdBlock { first: ProducerId(first), count: 1000 }));
    assert_eq!(allocate(0, 1), block(0));
    assert_eq!(allocate(1, 2), block(1000));
    assert_eq!(allocate(0, 9), Err(RequestErrorCode::StaleBrokerEpoch));
    assert_eq!(allocate(5, 1), Err(RequestErrorCode::BrokerIdNotRegistered));
}

#[test]
fn requests_in_flight_see_each_other_and_are_refused_together_when_the_log_is_lost() {
    let mut controller = Controller::new(1);
    let mut topic = |token, name: &str| {
        let topics = vec![controller.topic(name)];
        controller
            .machine
            .step(0, Input { token, request: Request::CreateTopics { topics, validate_only: false } })
    };
    let Effect::Append { records, then: first } = topic(1, "orders").remove(0) else { panic!() };
    records.iter().for_each(|record| controller.machine.stage(record));
    let mut topic = |token, name: &str| {
        let topics = vec![controller.topic(name)];
        controller
            .machine
            .step(0, Input { token, request: Request::CreateTopics { topics, validate_only: false } })
    };
    let Effect::Append { records, then: second } = topic(2, "orders").remove(0) else {
        panic!("a refusal that rests on what is not committed may not leave before it is")
    };
    assert_eq!(records, [MetadataRecord::NoOp]);
    assert!(matches!(&second[0].result, Ok(Outcome::TopicsCreated(r)) if r[0].is_err()));
    let waiting = first.into_iter().chain(second).collect();
    let refused = controller.machine.abandon(waiting);
    assert!(
        refused
            .iter()
            .all(|reply| matches!(&reply.result, Err(e) if e.code == RequestErrorCode::NotController))
    );
    assert_eq!(controller.machine.image(), controller.machine.staged_image());
    controller.create_named("orders");
}

#[test]
fn a_snapshot_rebuilds_the_image() {
    let mut controller = Controller::new(3);
    controller.create_named("a");
    controller.create_named("b");
    controller.alter(ConfigResource::topic("a"), &[("retention.ms", AlterOp::Set, Some("5"))]).unwrap();
    controller.register(1, 9).unwrap();
    controller.ask(Request::AllocateProducerIds { broker_id: BrokerId(0), broker_epoch: 1 }).unwrap();
    let mut rebuilt = MetadataImage::default();
    controller.machine.image().records().iter().for_each(|record| rebuilt.replay(record));
    assert_eq!(rebuilt, *controller.machine.image());
}

#[test]
fn the_difference_of_two_images_is_what_the_publisher_must_do() {
    let mut controller = Controller::new(1);
    controller.create_named("kept");
    controller.create_named("grown");
    controller.create_named("gone");
    let before = controller.machine.image().clone();
    let topics = vec![NewPartitions { name: "grown".into(), count: 2, assignments: None }];
    controller.ask(Request::CreatePartitions { topics, validate_only: false }).unwrap();
    controller.ask(Request::DeleteTopics { topics: vec![TopicRef::Name("gone".into())] }).unwrap();
    controller.create_named("new");
    let delta = controller.machine.image().topics_since(&before);
    let names =
        |topics: &[std::sync::Arc<Topic>]| topics.iter().map(|t| t.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&delta.changed), ["grown", "new"]);
    assert_eq!(names(&delta.removed), ["gone"]);
    assert_eq!(controller.machine.image().configs_since(&before), []);
    controller.alter(ConfigResource::topic("kept"), &[("retention.ms", AlterOp::Set, Some("5"))]).unwrap();
    let configured = controller.machine.image().clone();
    assert_eq!(configured.configs_since(&before), [ConfigResource::topic("kept")]);
    assert_eq!(
        before.configs_since(&configured),
        [ConfigResource::topic("kept")],
        "a setting that went, too"
    );
}
