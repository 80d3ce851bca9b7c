//! One seed twice gives one trace, and what was decided live equals what is replayed from the log.
//!
//! Random conversations with the metadata machine: requests, commits that lag behind, lost leaderships. After every
//! step the live image must equal the image that the committed records rebuild, read back from their bytes.

use logspine_cluster::machine::{Effect, Machine};
use logspine_cluster::metadata::*;
use logspine_protocol::types::{BrokerId, TopicId};
use proptest::prelude::*;

/// What happens next in a conversation.
#[derive(Debug, Clone)]
enum Event {
    Ask(Request),
    /// The oldest append commits.
    Commit,
    /// Everything in flight is lost.
    Lost,
}

fn topic_name() -> impl Strategy<Value = String> {
    // Few names, so that requests meet each other; some collide, some are invalid.
    prop::sample::select(vec!["a", "b", "a.b", "a_b", "c", "", "bad name"]).prop_map(str::to_owned)
}

fn topic_id() -> impl Strategy<Value = TopicId> {
    any::<[u8; 16]>().prop_filter("zero is no id", |id| *id != [0; 16]).prop_map(TopicId)
}

fn setting() -> impl Strategy<Value = (String, Option<String>)> {
    let names = vec!["retention.ms", "cleanup.policy", "flush.messages", "no.such.key", "log.retention.ms"];
    let values = vec![Some("5"), Some("compact"), Some("delete"), Some("-1"), None];
    (prop::sample::select(names), prop::sample::select(values))
        .prop_map(|(name, value)| (name.to_owned(), value.map(str::to_owned)))
}

fn new_topic() -> impl Strategy<Value = NewTopic> {
    let configs = prop::collection::vec(setting(), 0..2);
    (topic_name(), topic_id(), -1..4i32, -1..3i16, configs).prop_map(
        |(name, topic_id, num_partitions, replication_factor, configs)| NewTopic {
            name,
            topic_id,
            num_partitions,
            replication_factor,
            assignments: vec![],
            configs,
        },
    )
}

fn resource() -> impl Strategy<Value = ConfigResource> {
    prop_oneof![
        topic_name().prop_map(|name| ConfigResource::topic(&name)),
        (0..3).prop_map(|id| ConfigResource::broker(BrokerId(id))),
        Just(ConfigResource::cluster()),
    ]
}

fn incremental() -> impl Strategy<Value = ResourceIncrementalAlteration> {
    let op = prop::sample::select(vec![AlterOp::Set, AlterOp::Delete, AlterOp::Append, AlterOp::Subtract]);
    let config = (setting(), op).prop_map(|((name, value), op)| IncrementalAlteration { name, op, value });
    (resource(), prop::collection::vec(config, 0..3))
        .prop_map(|(resource, configs)| ResourceIncrementalAlteration { resource, configs })
}

fn request() -> impl Strategy<Value = Request> {
    let validate_only = prop::bool::weighted(0.1);
    prop_oneof![
        2 => (0..3i32, any::<[u8; 16]>()).prop_map(|(id, incarnation)| Request::RegisterBroker(RegisterBroker {
            broker_id: BrokerId(id),
            incarnation_id: TopicId(incarnation),
            endpoints: vec![],
            rack: (id == 1).then(|| "far".to_owned()),
            log_dirs: vec![],
        })),
        6 => (prop::collection::vec(new_topic(), 1..4), validate_only)
            .prop_map(|(topics, validate_only)| Request::CreateTopics { topics, validate_only }),
        2 => prop::collection::vec(topic_name().prop_map(TopicRef::Name), 1..3)
            .prop_map(|topics| Request::DeleteTopics { topics }),
        2 => (topic_name(), 1..6i32, validate_only).prop_map(|(name, count, validate_only)| {
            let topics = vec![NewPartitions { name, count, assignments: None }];
            Request::CreatePartitions { topics, validate_only }
        }),
        3 => (prop::collection::vec(incremental(), 1..3), validate_only)
            .prop_map(|(resources, validate_only)| Request::IncrementalAlterConfigs { resources, validate_only }),
        1 => (0..3i32, 1..6i64).prop_map(|(id, broker_epoch)| {
            Request::AllocateProducerIds { broker_id: BrokerId(id), broker_epoch }
        }),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![6 => request().prop_map(Event::Ask), 5 => Just(Event::Commit), 1 => Just(Event::Lost)]
}

/// A cluster of two brokers, then anything.
fn conversation(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Event>> {
    let register = |id| {
        Event::Ask(Request::RegisterBroker(RegisterBroker {
            broker_id: BrokerId(id),
            incarnation_id: TopicId([1; 16]),
            endpoints: vec![],
            rack: None,
            log_dirs: vec![],
        }))
    };
    let start = vec![register(0), register(1), Event::Commit, Event::Commit];
    prop::collection::vec(event(), len).prop_map(move |events| [start.clone(), events].concat())
}

/// Plays the conversation; returns everything observable, in order, and the committed log.
fn play(events: &[Event]) -> (Vec<String>, Vec<Vec<u8>>) {
    let mut machine = MetadataMachine::new(Settings::default());
    let mut flight: Vec<(Vec<MetadataRecord>, Vec<Reply>)> = Vec::new();
    let mut log: Vec<Vec<u8>> = Vec::new();
    let mut trace = Vec::new();
    for (token, event) in (0..).zip(events) {
        match event {
            Event::Ask(request) => {
                for effect in machine.step(0, Input { token, request: request.clone() }) {
                    trace.push(format!("{effect:?}"));
                    match effect {
                        Effect::Append { records, then } => {
                            records.iter().for_each(|record| machine.stage(record));
                            flight.push((records, then));
                        }
                        Effect::Reply(_) => {
                            assert!(flight.is_empty(), "a reply overtook records it may rest on");
                        }
                    }
                }
            }
            Event::Commit if flight.is_empty() => {}
            Event::Commit => {
                let (records, then) = flight.remove(0);
                for record in &records {
                    log.push(record.encode());
                    machine.replay(record);
                }
                trace.push(format!("{then:?}"));
            }
            Event::Lost => {
                let waiting = flight.drain(..).flat_map(|(_, then)| then).collect();
                let refused = machine.abandon(waiting);
                assert!(
                    refused.iter().all(|reply| reply.result.is_err()),
                    "a lost record was answered as success"
                );
                trace.push(format!("{refused:?}"));
            }
        }
        assert_eq!(*machine.image(), rebuild(&log), "live and replayed images differ");
        let mut expected = machine.image().clone();
        flight.iter().flat_map(|(records, _)| records).for_each(|record| expected.replay(record));
        assert_eq!(*machine.staged_image(), expected, "the staged image is not committed plus in flight");
    }
    (trace, log)
}

fn rebuild(log: &[Vec<u8>]) -> MetadataImage {
    let mut image = MetadataImage::default();
    for bytes in log {
        image.replay(&MetadataRecord::decode(bytes).expect("what was written can be read"));
    }
    image
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_decided_live_is_what_is_replayed(events in conversation(1..60)) {
        let (trace, log) = play(&events);
        prop_assert_eq!(&trace, &play(&events).0, "the same events gave another trace");
        let image = rebuild(&log);
        let mut from_snapshot = MetadataImage::default();
        image.records().iter().for_each(|record| from_snapshot.replay(record));
        prop_assert_eq!(image.records(), from_snapshot.records(), "a snapshot is not the image");
    }
}

/// The conversations must reach the interesting places, or the property above says little.
#[test]
fn the_conversations_are_rich() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut topics, mut refusals, mut barriers) = (0, 0, 0);
    for _ in 0..50 {
        let events = conversation(40..41).new_tree(&mut runner).expect("a tree").current();
        let (trace, log) = play(&events);
        topics += rebuild(&log).topic_count();
        barriers += trace.iter().filter(|line| line.contains("[NoOp]")).count();
        refusals += trace.iter().filter(|line| line.contains("Err(")).count();
    }
    let reached = format!("{topics} topics, {refusals} refusals, {barriers} replies that wait for others");
    assert!(topics > 20 && refusals > 50 && barriers > 20, "{reached}");
}
