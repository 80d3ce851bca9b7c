//! The offsets of partitions: where they begin, where they end, where a moment in time lies.
//!
//! ListOffsets goes to the leader of each partition: partitions are grouped by leader, one request each. An
//! answer that the leader has moved makes the whole call start over with fresh metadata.

use std::collections::BTreeMap;
use std::sync::Arc;

use logspine_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use logspine_protocol::types::{BrokerId, Offset, PartitionIndex};

use super::Admin;
use crate::client::Client;
use crate::error::ClientError;
use crate::metadata::{TopicDescription, TopicPartition};

/// Which offset of a partition is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The log start offset: the first record that is still there.
    Earliest,
    /// The end: the offset that the next record will get, as far as consumers may see.
    Latest,
    /// The record with the greatest timestamp (KIP-734).
    MaxTimestamp,
    /// The first record whose timestamp is at least this many milliseconds since the epoch.
    Timestamp(i64),
}

impl OffsetSpec {
    /// Kafka's number for it (`ListOffsetsRequest.java`).
    fn to_wire(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::MaxTimestamp => -3,
            Self::Timestamp(timestamp_ms) => timestamp_ms,
        }
    }
}

/// Where a partition was found to have what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedOffset {
    /// -1 when no record is that young, or there is no record at all.
    pub offset: Offset,
    /// The record's timestamp when asked by time, -1 otherwise.
    pub timestamp_ms: i64,
}

/// Which broker each partition's question goes to.
pub(super) type ByLeader<T> = BTreeMap<BrokerId, BTreeMap<String, Vec<(PartitionIndex, T)>>>;

impl Admin {
    /// The offset asked for, per partition.
    pub async fn list_offsets(
        &self,
        specs: &BTreeMap<TopicPartition, OffsetSpec>,
    ) -> Result<BTreeMap<TopicPartition, ListedOffset>, ClientError> {
        self.client.retrying(|| self.list_offsets_once(specs)).await
    }

    /// The same question about all of these partitions; a missing answer counts as the end.
    pub async fn offsets_at(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
        spec: OffsetSpec,
    ) -> Result<BTreeMap<TopicPartition, ListedOffset>, ClientError> {
        self.list_offsets(&partitions.into_iter().map(|partition| (partition, spec)).collect()).await
    }

    async fn list_offsets_once(
        &self,
        specs: &BTreeMap<TopicPartition, OffsetSpec>,
    ) -> Result<BTreeMap<TopicPartition, ListedOffset>, ClientError> {
        let (by_leader, topics) = by_leader(&self.client, specs).await?;
        let mut found = BTreeMap::new();
        for (leader, partitions) in by_leader {
            let outcome = self.list_offsets_at(leader, partitions, &mut found).await;
            outcome.inspect_err(|error| forget_if_stale(&self.client, error, &topics))?;
        }
        Ok(found)
    }

    async fn list_offsets_at(
        &self,
        leader: BrokerId,
        partitions: BTreeMap<String, Vec<(PartitionIndex, OffsetSpec)>>,
        found: &mut BTreeMap<TopicPartition, ListedOffset>,
    ) -> Result<(), ClientError> {
        let partition = |(index, spec): (PartitionIndex, OffsetSpec)| ListOffsetsPartition {
            partition_index: index.0,
            timestamp: spec.to_wire(),
            ..ListOffsetsPartition::default()
        };
        let topic = |(name, partitions): (String, Vec<_>)| ListOffsetsTopic {
            name: name.into(),
            partitions: partitions.into_iter().map(partition).collect(),
        };
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: partitions.into_iter().map(topic).collect(),
            ..ListOffsetsRequest::default()
        };
        let reply = self.client.call(leader, &request).await?;
        let response = reply.decode::<ListOffsetsResponse<'_>>()?;
        for topic in &response.topics {
            for partition in &topic.partitions {
                let subject = TopicPartition::new(topic.name.clone(), partition.partition_index);
                reply.check(partition.error_code, &subject.to_string(), None)?;
                let offset = Offset(partition.offset);
                found.insert(subject, ListedOffset { offset, timestamp_ms: partition.timestamp });
            }
        }
        Ok(())
    }
}

/// Sorts questions about partitions by who can answer them. The topics are returned too, to be forgotten should
/// they prove wrong.
pub(super) async fn by_leader<T: Copy>(
    client: &Client,
    questions: &BTreeMap<TopicPartition, T>,
) -> Result<(ByLeader<T>, Vec<Arc<TopicDescription>>), ClientError> {
    let mut sorted = ByLeader::new();
    let mut topics: Vec<Arc<TopicDescription>> = Vec::new();
    for (TopicPartition { topic: name, partition }, question) in questions {
        // Questions are in order of topic, so each topic is looked up once.
        if topics.last().is_none_or(|topic| topic.name != *name) {
            topics.push(client.topic_once(name).await?);
        }
        let topic = topics.last().expect("pushed above when it was not there");
        let leader = topic.leader(*partition).inspect_err(|error| forget_if_stale(client, error, &topics))?;
        sorted.entry(leader).or_default().entry(name.clone()).or_default().push((*partition, *question));
    }
    Ok((sorted, topics))
}

pub(super) fn forget_if_stale(client: &Client, error: &ClientError, topics: &[Arc<TopicDescription>]) {
    if error.is_stale_metadata() {
        topics.iter().for_each(|topic| client.forget(topic));
    }
}
