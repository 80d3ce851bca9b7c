//! Creating and deleting topics. Kafka: `ReplicationControlManager`, `ControllerApis`; the sentences are theirs.
//!
//! The parts of one request see each other: a name asked for twice is refused, and two new names that would be one
//! metric collide as if the first existed already.

use std::collections::{BTreeMap, BTreeSet};

use logspine_protocol::types::{BrokerId, LeaderEpoch, PartitionIndex, TopicId};

use super::configs::{ConfigMap, broker_number, validate_topic_change, validate_topic_set};
use super::image::{ConfigResource, MetadataImage, Partition};
use super::machine::Decision;
use super::placement;
use super::record::MetadataRecord;
use super::request::{
    CreatedTopic, DeletedTopic, NewTopic, Outcome, RequestError, RequestErrorCode, Settings, TopicRef,
};
use super::topic_name::{CLUSTER_METADATA_TOPIC_NAME, validate_topic_name};

/// Most partitions that one request may create.
pub(super) const PARTITIONS_PER_REQUEST_MAX: i64 = 10_000;

fn refuse<T>(code: RequestErrorCode, message: impl Into<String>) -> Result<T, RequestError> {
    Err(RequestError::new(code, message))
}

pub(super) fn create(
    image: &MetadataImage,
    settings: &Settings,
    topics: Vec<NewTopic>,
    validate_only: bool,
) -> Decision {
    let mut draft = image.clone();
    let mut records = Vec::new();
    let mut results = Vec::new();
    let mut left = PARTITIONS_PER_REQUEST_MAX;
    let repeated = repeated(topics.iter().map(|topic| topic.name.as_str()));
    for topic in &topics {
        let planned = if repeated.contains(topic.name.as_str()) {
            refuse(RequestErrorCode::InvalidRequest, "Duplicate topic name.")
        } else {
            plan(&draft, settings, topic, left)
        };
        results.push(planned.map(|(plan, created)| {
            left -= i64::from(created.num_partitions);
            plan.iter().for_each(|record| draft.replay(record));
            records.extend(plan);
            created
        }));
    }
    if validate_only {
        records.clear();
    }
    Decision { records, outcome: Outcome::TopicsCreated(results) }
}

/// Elements that occur more than once.
pub(super) fn repeated<T: Ord + Copy>(all: impl Iterator<Item = T>) -> BTreeSet<T> {
    let mut seen = BTreeSet::new();
    all.filter(|element| !seen.insert(*element)).collect()
}

fn plan(
    image: &MetadataImage,
    settings: &Settings,
    topic: &NewTopic,
    partitions_left: i64,
) -> Result<(Vec<MetadataRecord>, CreatedTopic), RequestError> {
    check_name(image, &topic.name)?;
    assert!(
        !topic.topic_id.is_zero() && image.topic_by_id(topic.topic_id).is_none(),
        "a topic id is drawn once"
    );
    let configs = check_configs(&topic.configs)?;
    let replicas = match topic.assignments.is_empty() {
        true => automatic(image, settings, topic, partitions_left)?,
        false => manual(image, topic, partitions_left)?,
    };
    let created = CreatedTopic {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        num_partitions: i32::try_from(replicas.len()).expect("bounded by PARTITIONS_PER_REQUEST_MAX"),
        replication_factor: replicas.first().map_or(0, |r| i16::try_from(r.len()).expect("one per broker")),
        configs: configs.clone(),
    };
    let mut records = vec![MetadataRecord::Topic { name: topic.name.clone(), topic_id: topic.topic_id }];
    let resource = ConfigResource::topic(&topic.name);
    records.extend(configs.into_iter().map(|(name, value)| MetadataRecord::Config {
        resource: resource.clone(),
        name,
        value: Some(value),
    }));
    records.extend(partition_records(image, topic.topic_id, 0, replicas));
    Ok((records, created))
}

fn check_name(image: &MetadataImage, name: &str) -> Result<(), RequestError> {
    if name == CLUSTER_METADATA_TOPIC_NAME {
        let message = format!("Creation of internal topic {CLUSTER_METADATA_TOPIC_NAME} is prohibited.");
        return refuse(RequestErrorCode::InvalidRequest, message);
    }
    validate_topic_name(name).or_else(|why| refuse(RequestErrorCode::InvalidTopicException, why))?;
    if image.topic_by_name(name).is_some() {
        return refuse(RequestErrorCode::TopicAlreadyExists, format!("Topic '{name}' already exists."));
    }
    match image.colliding_topic(name) {
        Some(other) => refuse(
            RequestErrorCode::InvalidTopicException,
            format!("Topic '{name}' collides with existing topic: {}", other.name),
        ),
        None => Ok(()),
    }
}

fn check_configs(configs: &[(String, Option<String>)]) -> Result<ConfigMap, RequestError> {
    let mut set = ConfigMap::new();
    for (name, value) in configs {
        let Some(value) = value else {
            let message = format!("Null value not supported for topic configs: {name}");
            return refuse(RequestErrorCode::InvalidConfig, message);
        };
        validate_topic_change(name, value)?;
        set.insert(name.clone(), value.clone());
    }
    validate_topic_set(&set)?;
    Ok(set)
}

fn automatic(
    image: &MetadataImage,
    settings: &Settings,
    topic: &NewTopic,
    partitions_left: i64,
) -> Result<Vec<Vec<BrokerId>>, RequestError> {
    let layers = image.broker_layers(BrokerId(-1), &settings.file);
    let default = |name| broker_number(name, &layers).unwrap_or(1);
    let replication_factor = match topic.replication_factor {
        -1 => i16::try_from(default("default.replication.factor")).unwrap_or(i16::MAX),
        given => given,
    };
    if replication_factor < 1 {
        let message = "Replication factor must be larger than 0, or -1 to use the default value.";
        return refuse(RequestErrorCode::InvalidReplicationFactor, message);
    }
    let count = match topic.num_partitions {
        -1 => default("num.partitions"),
        given => i64::from(given),
    };
    if count < 1 {
        let message = "Number of partitions was set to an invalid non-positive value.";
        return refuse(RequestErrorCode::InvalidPartitions, message);
    }
    let count = within_bound(count, partitions_left)?;
    placement::place(image, topic.topic_id, 0, count, replication_factor).or_else(|why| {
        let message = format!("Unable to replicate the partition {replication_factor} time(s): {why}");
        refuse(RequestErrorCode::InvalidReplicationFactor, message)
    })
}

pub(super) fn within_bound(count: i64, partitions_left: i64) -> Result<i32, RequestError> {
    match i32::try_from(count) {
        Ok(fitting) if count <= partitions_left => Ok(fitting),
        _ => refuse(RequestErrorCode::PolicyViolation, "Excessively large number of partitions per request."),
    }
}

fn manual(
    image: &MetadataImage,
    topic: &NewTopic,
    partitions_left: i64,
) -> Result<Vec<Vec<BrokerId>>, RequestError> {
    let given_too = |what: &str| {
        let message = format!("A manual partition assignment was specified, but {what} was not set to -1.");
        refuse(RequestErrorCode::InvalidRequest, message)
    };
    if topic.replication_factor != -1 {
        return given_too("replication factor");
    }
    if topic.num_partitions != -1 {
        return given_too("numPartitions");
    }
    within_bound(i64::try_from(topic.assignments.len()).unwrap_or(i64::MAX), partitions_left)?;
    let mut replicas_by_index: BTreeMap<PartitionIndex, Vec<BrokerId>> = BTreeMap::new();
    let mut expected = None;
    for (index, replicas) in &topic.assignments {
        if replicas_by_index.contains_key(index) {
            let message = format!("Found multiple manual partition assignments for partition {index}");
            return refuse(RequestErrorCode::InvalidReplicaAssignment, message);
        }
        check_assignment(image, replicas, expected)?;
        expected = Some(replicas.len());
        replicas_by_index.insert(*index, replicas.clone());
    }
    if replicas_by_index.keys().enumerate().any(|(expected, index)| i64::from(index.0) != expected as i64) {
        let message = "partitions should be a consecutive 0-based integer sequence";
        return refuse(RequestErrorCode::InvalidReplicaAssignment, message);
    }
    Ok(replicas_by_index.into_values().collect())
}

/// One partition's replicas as a caller chose them; `expected` is how many the others have.
pub(super) fn check_assignment(
    image: &MetadataImage,
    replicas: &[BrokerId],
    expected: Option<usize>,
) -> Result<(), RequestError> {
    let invalid = |message: String| refuse(RequestErrorCode::InvalidReplicaAssignment, message);
    if replicas.is_empty() {
        return invalid("The manual partition assignment includes an empty replica list.".to_owned());
    }
    if let Some(unknown) = replicas.iter().find(|id| image.broker(**id).is_none()) {
        return invalid(format!(
            "The manual partition assignment includes broker {unknown}, but no such broker is registered."
        ));
    }
    if let Some(twice) = repeated(replicas.iter()).first() {
        return invalid(format!(
            "The manual partition assignment includes the broker {twice} more than once."
        ));
    }
    match expected {
        Some(others) if others != replicas.len() => invalid(format!(
            "The manual partition assignment includes a partition with {} replica(s), but this is not consistent \
             with previous partitions, which have {others} replica(s).",
            replicas.len()
        )),
        _ if replicas.iter().all(|id| image.broker(*id).is_none_or(|broker| broker.fenced)) => {
            invalid("All brokers specified in the manual partition assignment are fenced.".to_owned())
        }
        _ => Ok(()),
    }
}

/// New partitions begin with every usable replica in sync, led by the first of them.
pub(super) fn partition_records(
    image: &MetadataImage,
    topic_id: TopicId,
    first: i32,
    replicas: Vec<Vec<BrokerId>>,
) -> impl Iterator<Item = MetadataRecord> {
    let usable = |id: &BrokerId| image.broker(*id).is_some_and(|broker| !broker.fenced);
    let record = move |(index, replicas): (i32, Vec<BrokerId>)| {
        let isr: Vec<BrokerId> = replicas.iter().copied().filter(usable).collect();
        let partition = Partition {
            leader: isr.first().copied().unwrap_or(BrokerId(-1)),
            isr,
            leader_epoch: LeaderEpoch(0),
            directories: vec![TopicId::ZERO; replicas.len()],
            replicas,
            ..Partition::default()
        };
        MetadataRecord::Partition { topic_id, index: PartitionIndex(index), partition }
    };
    (first..).zip(replicas).map(record)
}

pub(super) fn delete(image: &MetadataImage, topics: Vec<TopicRef>) -> Decision {
    let mut draft = image.clone();
    let mut records = Vec::new();
    let results = topics.iter().map(|topic| {
        let found = find(&draft, topic)?;
        let record = MetadataRecord::RemoveTopic { topic_id: found.topic_id };
        draft.replay(&record);
        records.push(record);
        Ok(found)
    });
    let results = results.collect();
    Decision { records, outcome: Outcome::TopicsDeleted(results) }
}

fn find(image: &MetadataImage, topic: &TopicRef) -> Result<DeletedTopic, RequestError> {
    let found = match topic {
        TopicRef::Name(name) => image.topic_by_name(name).ok_or_else(RequestError::unknown_topic),
        TopicRef::Id(topic_id) => image.topic_by_id(*topic_id).ok_or_else(|| {
            RequestError::new(RequestErrorCode::UnknownTopicId, "This server does not host this topic ID.")
        }),
    };
    found.map(|topic| DeletedTopic { name: topic.name.to_string(), topic_id: topic.topic_id })
}
