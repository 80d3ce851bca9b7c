//! More partitions for an existing topic; never fewer. Kafka: `ReplicationControlManager.createPartitions`.

use logspine_protocol::types::BrokerId;

use super::create_topics::{
    PARTITIONS_PER_REQUEST_MAX, check_assignment, partition_records, repeated, within_bound,
};
use super::image::{MetadataImage, Topic};
use super::machine::Decision;
use super::placement;
use super::record::MetadataRecord;
use super::request::{NewPartitions, Outcome, RequestError, RequestErrorCode};

pub(super) fn create(image: &MetadataImage, topics: Vec<NewPartitions>, validate_only: bool) -> Decision {
    let mut records = Vec::new();
    let mut left = PARTITIONS_PER_REQUEST_MAX;
    let repeated = repeated(topics.iter().map(|topic| topic.name.as_str()));
    let plan_one = |topic: &NewPartitions| {
        if repeated.contains(topic.name.as_str()) {
            return Err(RequestError::new(RequestErrorCode::InvalidRequest, "Duplicate topic in request."));
        }
        let planned = plan(image, topic, left)?;
        left -= i64::try_from(planned.len()).expect("bounded by PARTITIONS_PER_REQUEST_MAX");
        records.extend(planned);
        Ok(())
    };
    let results = topics.iter().map(plan_one).collect();
    if validate_only {
        records.clear();
    }
    Decision { records, outcome: Outcome::PartitionsCreated(results) }
}

fn plan(
    image: &MetadataImage,
    wanted: &NewPartitions,
    left: i64,
) -> Result<Vec<MetadataRecord>, RequestError> {
    let topic = image.topic_by_name(&wanted.name).ok_or_else(RequestError::unknown_topic)?;
    let current = i32::try_from(topic.partitions.len()).expect("partition indexes are i32");
    let invalid = |message: String| Err(RequestError::new(RequestErrorCode::InvalidPartitions, message));
    if wanted.count == current {
        return invalid(format!("Topic already has {current} partition(s)."));
    }
    if wanted.count < current {
        return invalid(format!(
            "The topic {} currently has {current} partition(s); {} would not be an increase.",
            wanted.name, wanted.count
        ));
    }
    let additional = within_bound(i64::from(wanted.count - current), left)?;
    let replicas = match &wanted.assignments {
        Some(assignments) => manual(image, topic, additional, assignments)?,
        None => automatic(image, topic, current, additional)?,
    };
    Ok(partition_records(image, topic.topic_id, current, replicas).collect())
}

fn manual(
    image: &MetadataImage,
    topic: &Topic,
    additional: i32,
    assignments: &[Vec<BrokerId>],
) -> Result<Vec<Vec<BrokerId>>, RequestError> {
    if i64::try_from(assignments.len()) != Ok(i64::from(additional)) {
        let message = format!(
            "Attempted to add {additional} additional partition(s), but only {} assignment(s) were specified.",
            assignments.len()
        );
        return Err(RequestError::new(RequestErrorCode::InvalidReplicaAssignment, message));
    }
    for replicas in assignments {
        check_assignment(image, replicas, Some(topic.replication_factor()))?;
    }
    Ok(assignments.to_vec())
}

fn automatic(
    image: &MetadataImage,
    topic: &Topic,
    current: i32,
    additional: i32,
) -> Result<Vec<Vec<BrokerId>>, RequestError> {
    let factor = i16::try_from(topic.replication_factor()).expect("one replica per broker");
    placement::place(image, topic.topic_id, current, additional, factor).map_err(|why| {
        let message = format!("Unable to replicate the partition {factor} time(s): {why}");
        RequestError::new(RequestErrorCode::InvalidReplicationFactor, message)
    })
}
