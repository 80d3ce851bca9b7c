//! One Fetch request and the records in its answer.
//!
//! Runs as a task: waiting, checksums and decompression happen beside the caller. No fetch session is kept
//! (epoch -1, KIP-227). A batch may begin before the offset asked for and is then cut at the front; control
//! batches are skipped, and so move the position without a record.

use std::sync::Arc;

use logspine_protocol::batch::{BatchError, BatchView, iter_batches};
use logspine_protocol::messages::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData,
};
use logspine_protocol::types::{BrokerId, LeaderEpoch, Offset, TopicId};

use super::{ConsumerConfig, ConsumerRecord};
use crate::client::Client;
use crate::error::ClientError;
use crate::metadata::TopicPartition;
use crate::reply::Reply;

/// The last Fetch version that names topics instead of giving their ids (KIP-516).
const NAMED_TOPICS: i16 = 12;

/// What one leader is asked for.
#[derive(Debug, Default)]
pub(super) struct FetchPlan {
    pub wanted: Vec<PartitionWanted>,
}

#[derive(Debug, Clone)]
pub(super) struct PartitionWanted {
    pub partition: TopicPartition,
    pub topic_id: TopicId,
    pub from: Offset,
    pub leader_epoch: LeaderEpoch,
}

/// What it brought.
#[derive(Debug)]
pub(super) struct Fetched {
    pub leader: BrokerId,
    pub partitions: Vec<PartitionFetched>,
}

#[derive(Debug)]
pub(super) struct PartitionFetched {
    pub wanted: PartitionWanted,
    pub outcome: Result<Progress, ClientError>,
}

/// How far a partition came.
#[derive(Debug)]
pub(super) struct Progress {
    pub records: Vec<ConsumerRecord>,
    pub next: Offset,
    pub high_watermark: Offset,
}

/// Asks the leader. An error of the whole request is the outcome of each partition in it.
pub(super) async fn fetch(
    client: Client,
    config: ConsumerConfig,
    leader: BrokerId,
    plan: FetchPlan,
) -> Fetched {
    let partitions = match exchange(&client, &config, leader, &plan).await {
        Ok(reply) => read_answer(&reply, plan, config.check_crcs),
        Err(error) => failed(plan, &error),
    };
    Fetched { leader, partitions }
}

fn failed(plan: FetchPlan, error: &ClientError) -> Vec<PartitionFetched> {
    plan.wanted.into_iter().map(|wanted| PartitionFetched { wanted, outcome: Err(error.clone()) }).collect()
}

async fn exchange(
    client: &Client,
    config: &ConsumerConfig,
    leader: BrokerId,
    plan: &FetchPlan,
) -> Result<Reply, ClientError> {
    let connection = client.connection(leader).await?;
    let all_have_ids = plan.wanted.iter().all(|wanted| !wanted.topic_id.is_zero());
    let cap = if all_have_ids { i16::MAX } else { NAMED_TOPICS };
    let version = connection.version_of::<FetchRequest<'_>>(cap)?;
    let limit = config.max_wait + client.request_timeout();
    connection.call_at(&request(config, plan), version, limit).await
}

fn request<'a>(config: &ConsumerConfig, plan: &'a FetchPlan) -> FetchRequest<'a> {
    let bytes = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
    let mut topics: Vec<FetchTopic<'a>> = Vec::new();
    for wanted in &plan.wanted {
        let partition = FetchPartition {
            partition: wanted.partition.partition.0,
            current_leader_epoch: wanted.leader_epoch.0,
            fetch_offset: wanted.from.0,
            partition_max_bytes: bytes(config.partition_max_bytes),
            ..FetchPartition::default()
        };
        let name = wanted.partition.topic.as_str();
        match topics.iter_mut().find(|topic| topic.topic == name) {
            Some(topic) => topic.partitions.push(partition),
            None => topics.push(FetchTopic {
                topic: name.into(),
                topic_id: wanted.topic_id,
                partitions: vec![partition],
            }),
        }
    }
    FetchRequest {
        max_wait_ms: i32::try_from(config.max_wait.as_millis()).unwrap_or(i32::MAX),
        min_bytes: bytes(config.min_bytes),
        max_bytes: bytes(config.max_bytes),
        topics,
        ..FetchRequest::default()
    }
}

/// Matches the answer to what was asked. A partition that the answer leaves out has simply nothing new.
fn read_answer(reply: &Reply, plan: FetchPlan, check_crcs: bool) -> Vec<PartitionFetched> {
    let response = reply.decode::<FetchResponse<'_>>();
    let response = response.and_then(|r| reply.check(r.error_code, "fetch", None).map(|()| r));
    let response = match response {
        Ok(response) => response,
        Err(error) => return failed(plan, &error),
    };
    let find = |wanted: &PartitionWanted| {
        let same_topic = |topic: &&logspine_protocol::messages::fetch::FetchableTopicResponse<'_>| {
            if reply.version() > NAMED_TOPICS {
                topic.topic_id == wanted.topic_id
            } else {
                topic.topic == wanted.partition.topic
            }
        };
        let topics = response.responses.iter().filter(same_topic);
        topics.flat_map(|topic| &topic.partitions).find(|p| p.partition_index == wanted.partition.partition.0)
    };
    let outcome = |wanted: PartitionWanted| {
        let outcome = find(&wanted).ok_or_else(|| reply.incomplete(&wanted.partition.to_string()));
        let outcome = outcome.and_then(|answer| read_partition(reply, &wanted, answer, check_crcs));
        PartitionFetched { wanted, outcome }
    };
    plan.wanted.into_iter().map(outcome).collect()
}

fn read_partition(
    reply: &Reply,
    wanted: &PartitionWanted,
    answer: &PartitionData<'_>,
    check_crcs: bool,
) -> Result<Progress, ClientError> {
    let subject = format!("{} at offset {}", wanted.partition, wanted.from);
    reply.check(answer.error_code, &subject, None)?;
    let mut progress =
        Progress { records: Vec::new(), next: wanted.from, high_watermark: Offset(answer.high_watermark) };
    let topic: Arc<str> = wanted.partition.topic.as_str().into();
    let bytes = answer.records.as_ref().and_then(|records| records.as_bytes()).unwrap_or_default();
    for batch in iter_batches(bytes) {
        let whole = progress.records.len();
        let taken = batch.and_then(|batch| take_batch(&batch, &topic, wanted, check_crcs, &mut progress));
        let Err(error) = taken else { continue };
        progress.records.truncate(whole);
        // What came before is good. A batch that max bytes cut off comes whole once its partition is the first of
        // a fetch; a damaged one is the first of the next fetch, which then fails.
        if progress.next > wanted.from || matches!(error, BatchError::Truncated { .. }) {
            break;
        }
        return Err(ClientError::DamagedBatch {
            topic: wanted.partition.topic.clone(),
            partition: wanted.partition.partition.0,
            offset: progress.next.0,
            reason: error.to_string(),
        });
    }
    Ok(progress)
}

fn take_batch(
    batch: &BatchView<'_>,
    topic: &Arc<str>,
    wanted: &PartitionWanted,
    check_crcs: bool,
    progress: &mut Progress,
) -> Result<(), BatchError> {
    if batch.last_offset() < wanted.from {
        return Ok(());
    }
    if check_crcs {
        batch.verify_crc()?;
    }
    if !batch.is_control() {
        for record in &batch.records()? {
            let record = record?;
            if record.offset >= wanted.from {
                let partition = wanted.partition.partition;
                progress.records.push(ConsumerRecord::from_view(
                    topic,
                    partition,
                    batch.timestamp_type(),
                    &record,
                ));
            }
        }
    }
    progress.next = batch.next_offset();
    Ok(())
}
