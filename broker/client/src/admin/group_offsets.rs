//! The bookmarks of a group: read them, set them, take them away.
//!
//! OffsetFetch and OffsetCommit stop at version 9 here: version 10 replaces topic names by ids and adds nothing
//! else, while a bookmark may well outlive its topic and then has a name only. Setting is a commit without a
//! member, which the coordinator accepts while the group is empty. APIs: OffsetFetch, OffsetCommit, OffsetDelete
//! (KIP-496).

use std::collections::BTreeMap;

use logspine_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use logspine_protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic, OffsetDeleteResponse,
};
use logspine_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchResponse,
};
use logspine_protocol::types::{BrokerId, LeaderEpoch, Offset};

use super::{Admin, find_coordinator};
use crate::client::Client;
use crate::error::ClientError;
use crate::metadata::TopicPartition;
use crate::reply::Reply;

/// The last version that names topics.
pub(crate) const NAMED_TOPICS: i16 = 9;

/// A bookmark: the next offset that the group will read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The first offset that the group has not read.
    pub offset: Offset,
    /// -1 when the committer did not know it.
    pub leader_epoch: LeaderEpoch,
    /// What the committer wanted to remember with it.
    pub metadata: String,
}

type CommittedOffsets = BTreeMap<TopicPartition, CommittedOffset>;

impl Admin {
    /// Every offset that the group has committed; empty for a group that does not exist.
    pub async fn group_offsets(&self, group_id: &str) -> Result<CommittedOffsets, ClientError> {
        self.client.retrying(|| self.group_offsets_once(group_id)).await
    }

    async fn group_offsets_once(&self, group_id: &str) -> Result<CommittedOffsets, ClientError> {
        let coordinator = find_coordinator(&self.client, group_id).await?;
        committed_offsets(&self.client, coordinator, group_id, None).await
    }

    /// Moves the bookmarks of a group that has no members at present.
    pub async fn alter_group_offsets(
        &self,
        group_id: &str,
        offsets: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), ClientError> {
        let request = OffsetCommitRequest {
            group_id: group_id.into(),
            topics: topics_to_commit(offsets),
            ..Default::default()
        };
        self.client.retrying(|| self.alter_group_offsets_once(group_id, &request)).await
    }

    async fn alter_group_offsets_once(
        &self,
        group_id: &str,
        request: &OffsetCommitRequest<'_>,
    ) -> Result<(), ClientError> {
        let connection = self.client.connection(find_coordinator(&self.client, group_id).await?).await?;
        let version = connection.version_of::<OffsetCommitRequest<'_>>(NAMED_TOPICS)?;
        let reply = connection.call_at(request, version, self.client.request_timeout()).await?;
        check_committed(&reply, group_id)
    }

    /// Takes bookmarks away, so that the group starts there as if it had never read.
    pub async fn delete_group_offsets(
        &self,
        group_id: &str,
        partitions: &[TopicPartition],
    ) -> Result<(), ClientError> {
        let mut topics: BTreeMap<&str, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
        for TopicPartition { topic, partition } in partitions {
            let partition = OffsetDeleteRequestPartition { partition_index: partition.0 };
            topics.entry(topic).or_default().push(partition);
        }
        let topic = |(name, partitions): (&str, Vec<_>)| OffsetDeleteRequestTopic {
            name: name.to_owned().into(),
            partitions,
        };
        let request = OffsetDeleteRequest {
            group_id: group_id.into(),
            topics: topics.into_iter().map(topic).collect(),
        };
        self.client.retrying(|| self.delete_group_offsets_once(group_id, &request)).await
    }

    async fn delete_group_offsets_once(
        &self,
        group_id: &str,
        request: &OffsetDeleteRequest<'_>,
    ) -> Result<(), ClientError> {
        let reply = self.client.call(find_coordinator(&self.client, group_id).await?, request).await?;
        let response = reply.decode::<OffsetDeleteResponse<'_>>()?;
        reply.check(response.error_code, &format!("group {group_id}"), None)?;
        for topic in &response.topics {
            for partition in &topic.partitions {
                let subject =
                    format!("offset of group {group_id} in {}-{}", topic.name, partition.partition_index);
                reply.check(partition.error_code, &subject, None)?;
            }
        }
        Ok(())
    }
}

/// Bookmarks as an OffsetCommit request lists them.
pub(crate) fn topics_to_commit(
    offsets: &BTreeMap<TopicPartition, Offset>,
) -> Vec<OffsetCommitRequestTopic<'_>> {
    let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition<'_>>> = BTreeMap::new();
    for (TopicPartition { topic, partition }, offset) in offsets {
        topics.entry(topic).or_default().push(OffsetCommitRequestPartition {
            partition_index: partition.0,
            committed_offset: offset.0,
            committed_metadata: Some("".into()),
            ..Default::default()
        });
    }
    let topics = topics.into_iter();
    topics
        .map(|(name, partitions)| OffsetCommitRequestTopic {
            name: name.into(),
            partitions,
            ..Default::default()
        })
        .collect()
}

/// The first refusal in an OffsetCommit answer, if any.
pub(crate) fn check_committed(reply: &Reply, group_id: &str) -> Result<(), ClientError> {
    let response = reply.decode::<OffsetCommitResponse<'_>>()?;
    for topic in &response.topics {
        for partition in &topic.partitions {
            let subject =
                format!("offset of group {group_id} in {}-{}", topic.name, partition.partition_index);
            reply.check(partition.error_code, &subject, None)?;
        }
    }
    Ok(())
}

/// Asks this coordinator for the group's offsets, of all partitions or of these topics' partitions.
pub(crate) async fn committed_offsets(
    client: &Client,
    coordinator: BrokerId,
    group_id: &str,
    wanted: Option<&[TopicPartition]>,
) -> Result<CommittedOffsets, ClientError> {
    let connection = client.connection(coordinator).await?;
    let version = connection.version_of::<OffsetFetchRequest<'_>>(NAMED_TOPICS)?;
    // All are fetched and the wanted ones kept: a group's bookmarks are few, and null means all since version 2.
    let request = if version < 8 {
        OffsetFetchRequest { group_id: group_id.into(), topics: None, ..Default::default() }
    } else {
        let group = OffsetFetchRequestGroup { group_id: group_id.into(), topics: None, ..Default::default() };
        OffsetFetchRequest { topics: Some(Vec::new()), groups: vec![group], ..Default::default() }
    };
    let reply = connection.call_at(&request, version, client.request_timeout()).await?;
    let mut committed = read_committed_offsets(&reply, group_id)?;
    if let Some(wanted) = wanted {
        committed.retain(|partition, _| wanted.contains(partition));
    }
    Ok(committed)
}

fn read_committed_offsets(reply: &Reply, group_id: &str) -> Result<CommittedOffsets, ClientError> {
    let response = reply.decode::<OffsetFetchResponse<'_>>()?;
    let group = format!("group {group_id}");
    let mut committed = CommittedOffsets::new();
    let mut take = |topic: &str, partition: i32, offset: i64, epoch: i32, metadata: Option<&str>| {
        // -1 means that nothing is committed for the partition.
        if offset >= 0 {
            let metadata = metadata.unwrap_or_default().to_owned();
            let bookmark =
                CommittedOffset { offset: Offset(offset), leader_epoch: LeaderEpoch(epoch), metadata };
            committed.insert(TopicPartition::new(topic, partition), bookmark);
        }
    };
    if reply.version() < 8 {
        reply.check(response.error_code, &group, None)?;
        for topic in &response.topics {
            for p in &topic.partitions {
                reply.check(
                    p.error_code,
                    &format!("{group} in {}-{}", topic.name, p.partition_index),
                    None,
                )?;
                let metadata = p.metadata.as_deref();
                take(&topic.name, p.partition_index, p.committed_offset, p.committed_leader_epoch, metadata);
            }
        }
        return Ok(committed);
    }
    let answer = response.groups.first().ok_or_else(|| reply.incomplete("the group"))?;
    reply.check(answer.error_code, &group, None)?;
    for topic in &answer.topics {
        for p in &topic.partitions {
            reply.check(p.error_code, &format!("{group} in {}-{}", topic.name, p.partition_index), None)?;
            let metadata = p.metadata.as_deref();
            take(&topic.name, p.partition_index, p.committed_offset, p.committed_leader_epoch, metadata);
        }
    }
    Ok(committed)
}
