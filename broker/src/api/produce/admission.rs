//! How far a produced batch is looked into, where that is done, and what a refusal says.
//!
//! Most batches are judged on the connection's thread: the header, and records that are not compressed. A batch that
//! must be inflated or compressed goes to the blocking pool unless it is small; the number of those that run at the
//! same time is bounded, and with it their memory. The first compressed batch of a connection and codec is always
//! looked into, so that a producer that compresses wrongly is refused before it has done harm. Called by `produce.rs`.

use std::borrow::Cow;
use std::sync::Arc;

use logspine_cluster::metadata::configs::{CompressionType, TimestampType, TopicConfig};
use logspine_protocol::batch::{
    self, BatchError, BatchView, DECOMPRESSED_BYTES_MAX, RecordFault, RecordRules, Refused, TimestampWindow,
    TopicRules,
};
use logspine_protocol::compression::{Codec, CompressionError, Level};

use crate::api::RequestContext;

/// A batch up to here, which inflates to no more than the second figure, is worth no change of threads: some
/// hundred microseconds at most.
const HERE_BYTES_MAX: usize = 16 << 10;
const HERE_INFLATED_BYTES_MAX: usize = 256 << 10;

/// The bytes to append, or why there are none.
pub async fn admit<'a>(
    context: &RequestContext,
    config: &TopicConfig,
    batch: &BatchView<'a>,
) -> Result<Cow<'a, [u8]>, Refused> {
    let codec = batch.codec()?;
    let is_new = codec != Codec::None && !context.connection.trusts(codec);
    let rules = rules(config, context.received_ms, is_new);
    if !rules.looks_inside(batch)? {
        return batch::admit(batch, &rules, usize::MAX);
    }
    let admitted = inside(context, batch, rules).await?;
    context.connection.trust(codec);
    Ok(admitted)
}

async fn inside<'a>(
    context: &RequestContext,
    batch: &BatchView<'a>,
    rules: TopicRules,
) -> Result<Cow<'a, [u8]>, Refused> {
    if batch.bytes().len() <= HERE_BYTES_MAX {
        match batch::admit(batch, &rules, HERE_INFLATED_BYTES_MAX) {
            Err(Refused::Batch(BatchError::Compression(CompressionError::TooLarge { .. }))) => {}
            judged => return judged,
        }
    }
    let inflating = Arc::clone(&context.broker.inflating);
    let permit = inflating.acquire_owned().await.expect("the semaphore is never closed");
    let bytes = batch.bytes().to_vec();
    let judged = tokio::task::spawn_blocking(move || {
        // Held to the end of the work, even if the client has gone meanwhile.
        let _permit = permit;
        let (batch, _) = BatchView::parse(&bytes)?;
        match batch::admit(&batch, &rules, DECOMPRESSED_BYTES_MAX)? {
            Cow::Owned(rewritten) => Ok::<_, Refused>(Some(rewritten)),
            Cow::Borrowed(_) => Ok(None),
        }
    });
    let rewritten = judged.await.expect("judging a batch does not panic")?;
    Ok(rewritten.map_or(Cow::Borrowed(batch.bytes()), Cow::Owned))
}

fn rules(config: &TopicConfig, now_ms: i64, is_new: bool) -> TopicRules {
    let window = TimestampWindow {
        now_ms,
        before_max_ms: config.message_timestamp_before_max_ms,
        after_max_ms: config.message_timestamp_after_max_ms,
    };
    let (timestamp_type, window) = match config.message_timestamp_type {
        TimestampType::CreateTime => (batch::TimestampType::CreateTime, Some(window)),
        TimestampType::LogAppendTime => (batch::TimestampType::LogAppendTime, None),
    };
    TopicRules {
        records: RecordRules { needs_keys: config.cleanup_policy.compact, window },
        timestamp_type,
        codec: match config.compression_type {
            CompressionType::Producer => None,
            CompressionType::Uncompressed => Some((Codec::None, Level::DEFAULT)),
            CompressionType::Gzip { level } => Some((Codec::Gzip, Level(level))),
            CompressionType::Snappy => Some((Codec::Snappy, Level::DEFAULT)),
            CompressionType::Lz4 => Some((Codec::Lz4, Level::DEFAULT)),
            CompressionType::Zstd { level } => Some((Codec::Zstd, Level(level))),
        },
        is_strict: is_new || config.is_validated_by_record,
    }
}

/// What a producer is told of each record, in Kafka's words.
pub fn words(fault: RecordFault, index: i32, partition: &str, window: &TopicConfig, now_ms: i64) -> String {
    match fault {
        RecordFault::NoKey => {
            format!("Compacted topic cannot accept message without key in topic partition {partition}")
        }
        RecordFault::Timestamp(timestamp) => format!(
            "Timestamp {timestamp} of message with offset {index} is out of range. The timestamp should be within \
             [{}, {}]",
            now_ms.wrapping_sub(window.message_timestamp_before_max_ms),
            now_ms.wrapping_add(window.message_timestamp_after_max_ms),
        ),
        RecordFault::LogAppendTime => {
            "Invalid timestamp type in message. Producer should not set timestamp type to LogAppendTime."
                .to_owned()
        }
    }
}
