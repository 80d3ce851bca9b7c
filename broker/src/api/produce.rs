//! Produce: check each partition's batch, append, and for acks=all wait until it is committed.
//!
//! Appends keep the connection's order: each request takes its turn, and gives it up when it has appended; it waits
//! only if one before it inflates or compresses batches away from this thread. Errors are per partition. acks=0 has
//! no answer; if it failed, Kafka closes the connection, and so do we. Versions: 3 to 13 (topic ids from 13, zstd
//! from 7, record errors from 8). Exactly one v2 batch per partition, no control batches, no transactions yet; the
//! records are judged in `admission`. Kafka: KafkaApis.handleProduceRequest, ReplicaManager.appendRecords.

mod admission;

use std::sync::Arc;
use std::time::Instant;

use logspine_cluster::metadata::configs::TopicConfig;
use logspine_protocol::api_key::ApiKey;
use logspine_protocol::batch::{self, BatchView, RecordFault, Refused};
use logspine_protocol::compression::Codec;
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::produce::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, ProduceRequest,
    ProduceResponse, TopicProduceData, TopicProduceResponse,
};
use logspine_protocol::types::Offset;
use logspine_protocol::wire::{Message, Reader};
use logspine_replica::{Appended, LeaderAppend};
use tokio::sync::oneshot;
use tracing::{debug, warn};

use super::{Outcome, Refusal, RequestContext, duplicates, encode_answer, partition_errors};
use crate::partition::{Lookup, PartitionError, PartitionHandle, Produced};

/// The client id under which Kafka's admin tools may write to internal topics.
const ADMIN_CLIENT_ID: &str = "__admin_client";

/// The first version whose clients can read zstd.
const ZSTD_VERSION_MIN: i16 = 7;

/// What a partition's answer waits for.
enum Awaited {
    /// The watermark.
    Commit(Offset),
    /// A slow disk, and for acks=all the watermark after it.
    Append {
        appended: oneshot::Receiver<Result<Appended, PartitionError>>,
        bytes: u64,
        records: u64,
        acks: i16,
    },
}

/// A wait, and where its answer stands.
struct Pending {
    partition: Arc<PartitionHandle>,
    awaited: Awaited,
    topic: usize,
    index: usize,
}

/// The appends of a request that wait. Most requests carry one partition: that one costs no allocation.
#[derive(Default)]
struct Waiting {
    first: Option<Pending>,
    more: Vec<Pending>,
}

impl Waiting {
    fn push(&mut self, pending: Pending) {
        match self.first {
            None => self.first = Some(pending),
            Some(_) => self.more.push(pending),
        }
    }
}

/// Why one partition's data was not appended.
struct Failure {
    code: ErrorCode,
    message: String,
    /// The records of the batch that are to blame, with Kafka's words, if some are.
    records: Vec<BatchIndexAndErrorMessage<'static>>,
}

impl Failure {
    fn new(code: ErrorCode, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into(), records: Vec::new() }
    }
}

pub async fn respond(context: &RequestContext, body: &[u8]) -> Result<Outcome, Refusal> {
    let mut reader = Reader::new(body);
    let request = ProduceRequest::decode(&mut reader, context.api_version)
        .map_err(|error| Refusal::malformed(context, error))?;
    let acks = request.acks;
    let deadline = context.deadline(request.timeout_ms);
    let mut waiting = Waiting::default();
    let turn = context.connection.produce_turn.lock().await;
    let mut responses = append_all(context, &request, &mut waiting).await;
    drop(turn);
    wait_all(context, &mut responses, waiting, deadline).await;
    let response = ProduceResponse { responses, ..ProduceResponse::default() };
    if acks != 0 {
        return encode_answer(context, &response);
    }
    let mut failed = false;
    response.for_each_error(&mut |code| {
        context.broker.metrics.error(ApiKey::Produce, code);
        failed |= code != 0;
    });
    Ok(if failed { Outcome::Close } else { Outcome::NoAnswer })
}

async fn append_all<'a>(
    context: &RequestContext,
    request: &ProduceRequest<'a>,
    waiting: &mut Waiting,
) -> Vec<TopicProduceResponse<'a>> {
    let names = request
        .topic_data
        .iter()
        .flat_map(|topic| topic.partition_data.iter().map(|data| (&topic.name, topic.topic_id, data.index)));
    let mut again = duplicates::named_again_later(names).unwrap_or_default().into_iter();
    let mut responses = Vec::with_capacity(request.topic_data.len());
    for topic in &request.topic_data {
        let mut partitions = Vec::with_capacity(topic.partition_data.len());
        for data in &topic.partition_data {
            if again.next().unwrap_or_default() {
                continue;
            }
            let place = (responses.len(), partitions.len());
            partitions.push(match append_one(context, request, topic, data, place, waiting).await {
                Ok(response) => response,
                Err(failure) => failed(context, topic, data.index, failure),
            });
        }
        responses.push(TopicProduceResponse {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partition_responses: partitions,
        });
    }
    responses
}

async fn append_one(
    context: &RequestContext,
    request: &ProduceRequest<'_>,
    topic: &TopicProduceData<'_>,
    data: &PartitionProduceData<'_>,
    place: (usize, usize),
    waiting: &mut Waiting,
) -> Result<PartitionProduceResponse<'static>, Failure> {
    let acks = request.acks;
    if !matches!(acks, -1..=1) {
        let message = format!("acks={acks}: only -1, 0 and 1 are defined");
        return Err(Failure::new(ErrorCode::InvalidRequiredAcks, message));
    }
    let partition = find(context, topic, data.index)?;
    let bytes = data.records.as_ref().and_then(|records| records.as_bytes()).unwrap_or_default();
    let config = partition.config();
    let max_bytes = config.max_message_bytes;
    check_size(bytes, max_bytes)?;
    let batch = check(context, bytes, request.transactional_id.is_some())?;
    let admitted = admission::admit(context, &config, &batch)
        .await
        .map_err(|refused| blame(context, &partition, &config, refused))?;
    check_size(&admitted, max_bytes)?;
    let append = LeaderAppend { require_min_isr: acks == -1, now_ms: context.received_ms };
    let (bytes_len, records) = (admitted.len() as u64, batch.record_count().unsigned_abs().into());
    let (topic, index) = place;
    let mut response = PartitionProduceResponse { index: data.index, ..PartitionProduceResponse::default() };
    let awaited = match partition.append_produced(&admitted, append)? {
        Produced::Now(appended) => {
            partition.traffic.appended(bytes_len, records);
            fill(&mut response, &appended);
            (acks == -1).then_some(Awaited::Commit(appended.end_offset))
        }
        Produced::Later(appended) => Some(Awaited::Append { appended, bytes: bytes_len, records, acks }),
    };
    if let Some(awaited) = awaited {
        waiting.push(Pending { partition, awaited, topic, index });
    }
    Ok(response)
}

fn fill(response: &mut PartitionProduceResponse<'_>, appended: &Appended) {
    response.base_offset = appended.info.first_offset.0;
    response.log_append_time_ms = appended.info.log_append_time_ms;
    response.log_start_offset = appended.log_start_offset.0;
}

fn find(
    context: &RequestContext,
    topic: &TopicProduceData<'_>,
    index: i32,
) -> Result<Arc<PartitionHandle>, Failure> {
    let registry = &context.broker.partitions;
    let by_id = context.api_version >= 13;
    let topic_id = if by_id { Some(topic.topic_id) } else { registry.topic_id(&topic.name) };
    let lookup = topic_id.map_or(Lookup::Unknown, |topic_id| registry.lookup(topic_id, index));
    let (code, message) = match lookup {
        Lookup::Here(partition) => return may_write(context, partition),
        Lookup::Opening => (partition_errors::OPENING, "the partition is being recovered after a start"),
        Lookup::Offline => (ErrorCode::KafkaStorageError, "the partition's log cannot be opened"),
        Lookup::Unknown if by_id && context.broker.metadata.image().topic_by_id(topic.topic_id).is_none() => {
            (ErrorCode::UnknownTopicId, "no topic has this id")
        }
        Lookup::Unknown => (ErrorCode::UnknownTopicOrPartition, "there is no such topic or partition"),
    };
    Err(Failure::new(code, message))
}

fn may_write(
    context: &RequestContext,
    partition: Arc<PartitionHandle>,
) -> Result<Arc<PartitionHandle>, Failure> {
    let is_internal = matches!(&*partition.topic, "__consumer_offsets" | "__transaction_state");
    if is_internal && context.client_id.as_deref() != Some(ADMIN_CLIENT_ID) {
        let message = format!("Cannot append to internal topic {}", partition.topic);
        return Err(Failure::new(ErrorCode::InvalidTopicException, message));
    }
    Ok(partition)
}

/// `max.message.bytes`, before and after the broker has compressed.
fn check_size(bytes: &[u8], max_bytes: i32) -> Result<(), Failure> {
    if bytes.len() <= usize::try_from(max_bytes).unwrap_or(0) {
        return Ok(());
    }
    let message = format!("the record batch has {} bytes, max.message.bytes is {max_bytes}", bytes.len());
    Err(Failure::new(ErrorCode::MessageTooLarge, message))
}

/// What can be said about a batch without its log and its records.
fn check<'a>(
    context: &RequestContext,
    bytes: &'a [u8],
    is_transactional: bool,
) -> Result<BatchView<'a>, Failure> {
    let batch = batch::validate_produced(bytes)
        .map_err(|error| Failure::new(partition_errors::of_batch(&error), error.to_string()))?;
    if context.api_version < ZSTD_VERSION_MIN && matches!(batch.codec(), Ok(Codec::Zstd)) {
        let message = "Produce requests with version < 7 may not use zstd";
        return Err(Failure::new(ErrorCode::UnsupportedCompressionType, message));
    }
    if batch.is_transactional() {
        let (code, message) = match is_transactional {
            true => (ErrorCode::InvalidTxnState, "transactions are not supported by this version"),
            false => (
                ErrorCode::TransactionalIdAuthorizationFailed,
                "a transactional batch without transactional id",
            ),
        };
        return Err(Failure::new(code, message));
    }
    Ok(batch)
}

/// Names the records that are to blame, in Kafka's words.
fn blame(
    context: &RequestContext,
    partition: &PartitionHandle,
    config: &TopicConfig,
    refused: Refused,
) -> Failure {
    let faults = match refused {
        Refused::Batch(error) => return Failure::new(partition_errors::of_batch(&error), error.to_string()),
        Refused::Records(faults) => faults,
    };
    let name = format!("{}-{}", partition.topic, partition.index);
    let records = faults.iter().map(|&(index, fault)| BatchIndexAndErrorMessage {
        batch_index: index,
        batch_index_error_message: Some(
            admission::words(fault, index, &name, config, context.received_ms).into(),
        ),
    });
    let is_timestamp = |fault: &RecordFault| !matches!(fault, RecordFault::NoKey);
    let (code, message) = match faults.iter().any(|(_, fault)| is_timestamp(fault)) {
        true => {
            (ErrorCode::InvalidTimestamp, "One or more records have been rejected due to invalid timestamp")
        }
        false => (ErrorCode::InvalidRecord, "One or more records have been rejected: they have no key"),
    };
    Failure { code, message: message.to_owned(), records: records.collect() }
}

impl From<PartitionError> for Failure {
    fn from(error: PartitionError) -> Failure {
        Failure::new(partition_errors::of_partition(&error), error.to_string())
    }
}

fn failed(
    context: &RequestContext,
    topic: &TopicProduceData<'_>,
    index: i32,
    failure: Failure,
) -> PartitionProduceResponse<'static> {
    let Failure { code, message, records } = failure;
    context.broker.metrics.failed_produce_requests.inc();
    let name: &dyn std::fmt::Display = if context.api_version >= 13 { &topic.topic_id } else { &topic.name };
    // What a client does wrong by being new or slow is no news; broken bytes are.
    match code {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId | ErrorCode::NotLeaderOrFollower => {
            debug!(topic = %name, partition = index, client = context.client(), "not produced: {message}");
        }
        // The disk's troubles are said once, where they are known; clients try again and again.
        ErrorCode::KafkaStorageError => {
            debug!(topic = %name, partition = index, client = context.client(), "not produced: {message}");
        }
        _ => warn!(topic = %name, partition = index, client = context.client(), "not produced: {message}"),
    }
    PartitionProduceResponse {
        index,
        error_code: code.code(),
        base_offset: -1,
        log_append_time_ms: -1,
        log_start_offset: -1,
        record_errors: records,
        error_message: Some(message.into()),
        ..PartitionProduceResponse::default()
    }
}

/// Waits for each append in turn: they commit independently, and all share one deadline.
async fn wait_all(
    context: &RequestContext,
    responses: &mut [TopicProduceResponse<'_>],
    waiting: Waiting,
    deadline: Instant,
) {
    for Pending { partition, awaited, topic, index } in waiting.first.into_iter().chain(waiting.more) {
        let response = &mut responses[topic].partition_responses[index];
        let end_offset = match awaited {
            Awaited::Commit(end_offset) => Ok(Some(end_offset)),
            Awaited::Append { appended, bytes, records, acks } => {
                wait_appended(&partition, appended, deadline).await.map(|appended| {
                    partition.traffic.appended(bytes, records);
                    fill(response, &appended);
                    (acks == -1).then_some(appended.end_offset)
                })
            }
        };
        let waited = match end_offset {
            Ok(None) => continue,
            Ok(Some(end_offset)) => partition.wait_committed(end_offset, deadline).await.map_err(|error| {
                warn!(topic = %partition.topic, partition = partition.index, "appended but not committed: {error}");
                Failure::new(partition_errors::of_wait(error), error.to_string())
            }),
            Err(failure) => Err(failure),
        };
        let Err(failure) = waited else { continue };
        context.broker.metrics.failed_produce_requests.inc();
        response.error_code = failure.code.code();
        response.base_offset = -1;
        response.error_message = Some(failure.message.into());
    }
}

/// Waits for a slow disk. Whether it takes the batch after the deadline is not known.
async fn wait_appended(
    partition: &PartitionHandle,
    appended: oneshot::Receiver<Result<Appended, PartitionError>>,
    deadline: Instant,
) -> Result<Appended, Failure> {
    match tokio::time::timeout_at(deadline.into(), appended).await {
        Ok(Ok(appended)) => Ok(appended?),
        Ok(Err(_)) => Err(PartitionError::Closed.into()),
        Err(_) => {
            let message = format!("the disk of {}-{} is slow", partition.topic, partition.index);
            Err(Failure::new(ErrorCode::RequestTimedOut, message))
        }
    }
}
