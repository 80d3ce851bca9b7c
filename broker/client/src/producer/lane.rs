//! One partition's way to its leader: gather, number, send, retry, tell the senders.
//!
//! One batch is in flight at a time. A batch that is resent carries the same bytes, so the same sequence
//! numbers; a refused batch has used no numbers; a batch whose outcome stays unknown ends the numbering. A
//! batch that the broker finds too large is halved (`MESSAGE_TOO_LARGE`, as Kafka's `Sender` does).

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use logspine_protocol::types::{BrokerId, Offset, PartitionIndex, TopicId};
use logspine_protocol::wire::Records;

use super::batch::{Gathered, PendingRecord, encode, gather};
use super::identity::{Identities, Sequence};
use super::{Acks, ProducerConfig, RecordMetadata};
use crate::client::Client;
use crate::error::ClientError;
use crate::metadata::TopicPartition;
use crate::retry::Backoff;

/// The last Produce version that names topics instead of giving their ids (KIP-516).
const NAMED_TOPICS: i16 = 12;

/// What a producer asks of a lane.
#[derive(Debug)]
pub(super) enum Command {
    Record(PendingRecord),
    Flush(oneshot::Sender<()>),
}

/// Where the broker put a batch.
#[derive(Debug, Clone, Copy)]
struct Written {
    base_offset: Offset,
    /// -1 with CreateTime.
    log_append_time_ms: i64,
}

/// The state of one partition's task.
#[derive(Debug)]
pub(super) struct Lane {
    client: Client,
    config: Arc<ProducerConfig>,
    identities: Arc<Identities>,
    topic: Arc<str>,
    partition: PartitionIndex,
    sequence: Sequence,
}

impl Lane {
    pub(super) fn new(
        client: Client,
        config: Arc<ProducerConfig>,
        identities: Arc<Identities>,
        target: &TopicPartition,
    ) -> Self {
        let topic = target.topic.as_str().into();
        Self { client, config, identities, topic, partition: target.partition, sequence: Sequence::default() }
    }

    /// Runs until no producer is left.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        while let Some(Gathered { records, flushes }) = gather(&mut queue, &self.config).await {
            self.deliver(records).await;
            for done in flushes {
                // Whoever asked may have gone away.
                let _ = done.send(());
            }
        }
    }

    /// Writes the records, in pieces where they are too large as one, and tells their senders.
    async fn deliver(&mut self, records: Vec<PendingRecord>) {
        let mut pieces = vec![records];
        while let Some(mut records) = pieces.pop() {
            let Some(first) = records.first() else { continue };
            let deadline = first.sent_at + self.config.delivery_timeout;
            let outcome = self.write(&records, deadline).await;
            if records.len() > 1 && outcome.as_ref().is_err_and(is_too_large) {
                let second_half = records.split_off(records.len() / 2);
                pieces.push(second_half);
                pieces.push(records);
                continue;
            }
            self.tell(records, outcome);
        }
    }

    /// Tries until the batch is stored, refused for good, or the deadline has passed.
    async fn write(&mut self, records: &[PendingRecord], deadline: Instant) -> Result<Written, ClientError> {
        let mut backoff = Backoff::until(self.client.config(), deadline);
        let mut perhaps_stored = false;
        loop {
            let numbering = self.sequence.numbering(&self.identities).await?;
            let batch = encode(records, self.config.codec, numbering);
            let error = loop {
                match self.attempt(&batch).await {
                    Ok(written) => {
                        self.sequence.advance(records.len());
                        return Ok(written);
                    }
                    Err(error) if is_lost_numbering(&error) => break error,
                    Err(error) => {
                        perhaps_stored |= error.is_outcome_unknown();
                        if let Err(error) = backoff.pause(error).await {
                            return Err(self.give_up(error, perhaps_stored));
                        }
                    }
                }
            };
            // The broker does not know our numbers any more. If this batch cannot be in its log, new numbers
            // are safe; if it may be, sending it again under new ones might store it twice.
            self.sequence.start_over();
            if perhaps_stored || numbering.is_none() || Instant::now() >= deadline {
                return Err(error);
            }
            tokio::time::sleep(self.client.config().retry_backoff).await;
        }
    }

    fn give_up(&mut self, error: ClientError, perhaps_stored: bool) -> ClientError {
        if perhaps_stored {
            self.sequence.start_over();
        }
        error
    }

    /// One Produce request for one batch.
    async fn attempt(&self, batch: &[u8]) -> Result<Written, ClientError> {
        let topic = self.client.topic_once(&self.topic).await?;
        let outcome = match topic.leader(self.partition) {
            Ok(leader) => self.produce(leader, topic.topic_id, batch).await,
            Err(error) => Err(error),
        };
        outcome.inspect_err(|error| {
            if error.is_stale_metadata() {
                self.client.forget(&topic);
            }
        })
    }

    async fn produce(
        &self,
        leader: BrokerId,
        topic_id: TopicId,
        batch: &[u8],
    ) -> Result<Written, ClientError> {
        let connection = self.client.connection(leader).await?;
        let cap = if topic_id.is_zero() { NAMED_TOPICS } else { i16::MAX };
        let version = connection.version_of::<ProduceRequest<'_>>(cap)?;
        let request = ProduceRequest {
            acks: self.config.acks.to_wire(),
            timeout_ms: self.client.request_timeout_ms(),
            topic_data: vec![TopicProduceData {
                name: (&*self.topic).into(),
                topic_id,
                partition_data: vec![PartitionProduceData {
                    index: self.partition.0,
                    records: Some(Records::from(batch)),
                }],
            }],
            ..ProduceRequest::default()
        };
        if self.config.acks == Acks::None {
            connection.send_only(&request, version).await?;
            return Ok(Written { base_offset: Offset(-1), log_append_time_ms: -1 });
        }
        let reply = connection.call_at(&request, version, self.client.request_timeout()).await?;
        let response = reply.decode::<ProduceResponse<'_>>()?;
        let answer = response.responses.first().and_then(|topic| topic.partition_responses.first());
        let answer = answer.ok_or_else(|| reply.incomplete("the partition"))?;
        if answer.error_code == ErrorCode::DuplicateSequenceNumber.code() {
            // The broker has the batch from an earlier attempt, too long ago to remember its offset.
            return Ok(Written { base_offset: Offset(-1), log_append_time_ms: -1 });
        }
        let why = answer.record_errors.iter().find_map(|record| record.batch_index_error_message.as_deref());
        let subject = format!("{}-{}", self.topic, self.partition.0);
        reply.check(answer.error_code, &subject, why.or(answer.error_message.as_deref()))?;
        Ok(Written { base_offset: Offset(answer.base_offset), log_append_time_ms: answer.log_append_time_ms })
    }

    fn tell(&self, records: Vec<PendingRecord>, outcome: Result<Written, ClientError>) {
        for (position, pending) in (0i64..).zip(records) {
            let metadata = |written: Written| RecordMetadata {
                topic: self.topic.clone(),
                partition: self.partition,
                offset: if written.base_offset.0 < 0 {
                    written.base_offset
                } else {
                    written.base_offset + position
                },
                timestamp_ms: if written.log_append_time_ms < 0 {
                    pending.timestamp_ms
                } else {
                    written.log_append_time_ms
                },
            };
            let outcome = outcome.clone().map(metadata);
            // The room is given back before the sender hears of it, so that it may send again at once.
            drop(pending.room);
            let _ = pending.delivered.send(outcome);
        }
    }
}

fn is_too_large(error: &ClientError) -> bool {
    matches!(error.code(), Some(ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge))
}

/// The broker cannot continue our numbering: it has forgotten the producer, or misses batches of it.
fn is_lost_numbering(error: &ClientError) -> bool {
    matches!(
        error.code(),
        Some(
            ErrorCode::UnknownProducerId
                | ErrorCode::OutOfOrderSequenceNumber
                | ErrorCode::InvalidProducerEpoch
        )
    )
}
