//! Deleting records from the front of a log (KIP-107).
//!
//! The leader of each partition moves its log start offset; records below it are gone for every consumer at
//! once, their space is freed later.

use std::collections::BTreeMap;

use logspine_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};
use logspine_protocol::types::{BrokerId, Offset, PartitionIndex};

use super::Admin;
use super::offsets::{by_leader, forget_if_stale};
use crate::error::ClientError;
use crate::metadata::TopicPartition;

impl Admin {
    /// Deletes everything below the given offset (-1: up to the high watermark) and returns the new start of
    /// each partition.
    pub async fn delete_records(
        &self,
        before: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        self.client.retrying(|| self.delete_records_once(before)).await
    }

    async fn delete_records_once(
        &self,
        before: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        let (by_leader, topics) = by_leader(&self.client, before).await?;
        let mut starts = BTreeMap::new();
        for (leader, partitions) in by_leader {
            let outcome = self.delete_records_at(leader, partitions, &mut starts).await;
            outcome.inspect_err(|error| forget_if_stale(&self.client, error, &topics))?;
        }
        Ok(starts)
    }

    async fn delete_records_at(
        &self,
        leader: BrokerId,
        partitions: BTreeMap<String, Vec<(PartitionIndex, Offset)>>,
        starts: &mut BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), ClientError> {
        let partition = |(index, before): (PartitionIndex, Offset)| DeleteRecordsPartition {
            partition_index: index.0,
            offset: before.0,
        };
        let topic = |(name, partitions): (String, Vec<_>)| DeleteRecordsTopic {
            name: name.into(),
            partitions: partitions.into_iter().map(partition).collect(),
        };
        let request = DeleteRecordsRequest {
            topics: partitions.into_iter().map(topic).collect(),
            timeout_ms: self.client.request_timeout_ms(),
        };
        let reply = self.client.call(leader, &request).await?;
        let response = reply.decode::<DeleteRecordsResponse<'_>>()?;
        for topic in &response.topics {
            for partition in &topic.partitions {
                let subject = TopicPartition::new(topic.name.clone(), partition.partition_index);
                reply.check(partition.error_code, &subject.to_string(), None)?;
                starts.insert(subject, Offset(partition.low_watermark));
            }
        }
        Ok(())
    }
}
