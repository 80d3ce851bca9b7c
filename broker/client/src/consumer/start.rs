//! Where reading begins, as people say it, turned into offsets.
//!
//! Pure words in, ListOffsets answers out. A time that no record has reached is the end; a distance from the
//! end that is longer than the log is its beginning.

use std::collections::BTreeMap;

use logspine_protocol::types::Offset;

use crate::admin::OffsetSpec;
use crate::client::Client;
use crate::error::ClientError;
use crate::metadata::TopicPartition;

/// Where to begin with a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// The first record that is there.
    Earliest,
    /// The end: only what comes.
    Latest,
    /// This offset.
    Offset(Offset),
    /// So many offsets before the end.
    BeforeEnd(i64),
    /// The first record at or after this time, in milliseconds since the epoch.
    Timestamp(i64),
}

/// The offset to begin with, per partition.
pub(crate) async fn resolve(
    client: &Client,
    starts: BTreeMap<TopicPartition, StartAt>,
) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
    let ask = async |wanted: fn(StartAt) -> Option<OffsetSpec>| {
        let specs = starts.iter().filter_map(|(partition, start)| Some((partition.clone(), wanted(*start)?)));
        client.admin().list_offsets(&specs.collect()).await
    };
    let found = ask(|start| match start {
        StartAt::Earliest => Some(OffsetSpec::Earliest),
        StartAt::Latest | StartAt::BeforeEnd(_) => Some(OffsetSpec::Latest),
        StartAt::Timestamp(timestamp_ms) => Some(OffsetSpec::Timestamp(timestamp_ms)),
        StartAt::Offset(_) => None,
    })
    .await?;
    let ends = ask(|start| matches!(start, StartAt::Timestamp(_)).then_some(OffsetSpec::Latest)).await?;
    let begins = ask(|start| matches!(start, StartAt::BeforeEnd(_)).then_some(OffsetSpec::Earliest)).await?;
    let resolved = starts.iter().map(|(partition, start)| {
        let at = |answers: &BTreeMap<_, crate::admin::ListedOffset>| {
            let missing = || ClientError::Invalid(format!("no broker told an offset of {partition}"));
            answers.get(partition).map(|listed| listed.offset).ok_or_else(missing)
        };
        let offset = match start {
            StartAt::Offset(offset) => *offset,
            StartAt::Earliest | StartAt::Latest => at(&found)?,
            StartAt::BeforeEnd(distance) => Offset((at(&found)?.0 - distance).max(at(&begins)?.0)),
            StartAt::Timestamp(_) => match at(&found)? {
                Offset(..0) => at(&ends)?,
                offset => offset,
            },
        };
        Ok((partition.clone(), offset))
    });
    resolved.collect()
}
