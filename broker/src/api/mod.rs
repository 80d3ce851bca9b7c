//! THE table: which API keys and versions this broker serves, and which function answers each.
//!
//! `ApiVersions`, the docs and the metrics are read off the same rows. A handler is
//! `api/<api_snake>.rs::handle(&RequestContext, XRequest<'_>) -> XResponse<'static>`; the table decodes the
//! body before it and encodes the answer after it. Produce and Fetch have richer entries (no answer for
//! acks=0, record bytes left to sendfile). Files in here never import each other's handlers.
//! Everything a handler does up to its first `.await` keeps the order of its connection.

mod answer;
mod context;

pub mod alter_configs;
pub mod api_versions;
pub mod config_resource;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_topic_partitions;
pub mod duplicates;
pub mod fetch;
pub mod find_coordinator;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod metadata;
pub mod metadata_errors;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod partition_errors;
pub mod produce;
pub mod sync_group;
pub mod topology;

pub use answer::{Answer, Outcome, Refusal, encode_answer, encode_answer_in};
pub use context::{ConnectionInfo, RequestContext};

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::wire::{Message, Reader};

/// One row as `ApiVersions` and the metrics see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServedApi {
    pub key: ApiKey,
    pub name: &'static str,
    pub min_version: i16,
    pub max_version: i16,
    /// Where the answer is not what Kafka's would be; empty if nowhere.
    pub difference: &'static str,
}

/// Decodes the body, calls the handler, encodes its answer: what every ordinary row does.
macro_rules! ordinary {
    ($context:ident, $body:ident, $module:ident, $request:ident) => {{
        let mut reader = Reader::new($body);
        let request =
            logspine_protocol::messages::$module::$request::decode(&mut reader, $context.api_version)
                .map_err(|error| Refusal::malformed($context, error))?;
        // Boxed, so that a connection's task is not as large as the largest handler.
        let response = Box::pin($module::handle($context, request)).await;
        encode_answer($context, &response)
    }};
}

/// Empty if there is none.
macro_rules! difference {
    () => {
        ""
    };
    ($text:literal) => {
        $text
    };
}

macro_rules! apis {
    ($($key:ident, $module:ident, $request:ident, $min:literal..=$max:literal $(, $difference:literal)?;)+) => {
        /// Every API that is served, in the order of the rows. Produce and Fetch come first.
        pub const SERVED: &[ServedApi] = &[
            ServedApi {
                key: ApiKey::Produce,
                name: "Produce",
                min_version: 3,
                max_version: 13,
                difference: "acks=all is answered after the sync (`flush.messages=1`). Transactional batches are \
                             refused: INVALID_TXN_STATE. How far records are checked: `message.validation`.",
            },
            ServedApi {
                key: ApiKey::Fetch,
                name: "Fetch",
                min_version: 4,
                max_version: 18,
                difference: "A read ends at the end of a segment; the next one goes on there.",
            },
            $(ServedApi {
                key: ApiKey::$key,
                name: stringify!($key),
                min_version: $min,
                max_version: $max,
                difference: difference!($($difference)?),
            },)+
        ];

        async fn call(context: &RequestContext, body: &[u8]) -> Result<Outcome, Refusal> {
            match context.api_key {
                ApiKey::Produce => produce::respond(context, body).await,
                ApiKey::Fetch => fetch::respond(context, body).await,
                $(ApiKey::$key => ordinary!(context, body, $module, $request),)+
                _ => Err(Refusal::not_served(context)),
            }
        }
    };
}

apis! {
    ListOffsets, list_offsets, ListOffsetsRequest, 1..=11,
        "There is no remote storage: timestamps -4, -5 and -6 answer as Kafka does without it.";
    ApiVersions, api_versions, ApiVersionsRequest, 0..=4,
        "Of the features only `metadata.version` is reported: no clients' transactions v2, no `group.version`.";
    DeleteRecords, delete_records, DeleteRecordsRequest, 0..=2;
    OffsetForLeaderEpoch, offset_for_leader_epoch, OffsetForLeaderEpochRequest, 2..=4;
    OffsetCommit, offset_commit, OffsetCommitRequest, 2..=10;
    OffsetFetch, offset_fetch, OffsetFetchRequest, 1..=10;
    FindCoordinator, find_coordinator, FindCoordinatorRequest, 0..=6,
        "Groups only. A transaction's coordinator is refused for good: UNSUPPORTED_VERSION, before version 4 \
         TRANSACTIONAL_ID_AUTHORIZATION_FAILED, the one code at which librdkafka stops asking.";
    JoinGroup, join_group, JoinGroupRequest, 0..=9;
    Heartbeat, heartbeat, HeartbeatRequest, 0..=4;
    LeaveGroup, leave_group, LeaveGroupRequest, 0..=5;
    SyncGroup, sync_group, SyncGroupRequest, 0..=5;
    DescribeGroups, describe_groups, DescribeGroupsRequest, 0..=6;
    ListGroups, list_groups, ListGroupsRequest, 0..=5;
    DeleteGroups, delete_groups, DeleteGroupsRequest, 0..=2;
    OffsetDelete, offset_delete, OffsetDeleteRequest, 0..=0;
    Metadata, metadata, MetadataRequest, 0..=13,
        "The answer waits for a topic that is created on the way, and shows it.";
    CreateTopics, create_topics, CreateTopicsRequest, 2..=7;
    DeleteTopics, delete_topics, DeleteTopicsRequest, 1..=6;
    CreatePartitions, create_partitions, CreatePartitionsRequest, 0..=3;
    DescribeConfigs, describe_configs, DescribeConfigsRequest, 1..=4;
    AlterConfigs, alter_configs, AlterConfigsRequest, 0..=2,
        "A key that is not honoured yet is refused, with words: see configs.md.";
    IncrementalAlterConfigs, incremental_alter_configs, IncrementalAlterConfigsRequest, 0..=1,
        "As AlterConfigs.";
    DescribeCluster, describe_cluster, DescribeClusterRequest, 0..=2;
    DescribeTopicPartitions, describe_topic_partitions, DescribeTopicPartitionsRequest, 0..=0;
    ListPartitionReassignments, list_partition_reassignments, ListPartitionReassignmentsRequest, 0..=0,
        "Nothing moves yet: the answer is empty.";
    InitProducerId, init_producer_id, InitProducerIdRequest, 0..=5,
        "A transactional id is refused.";
    DescribeLogDirs, describe_log_dirs, DescribeLogDirsRequest, 1..=5;
}

/// The row of a key, if it is served at all.
pub fn served(key: ApiKey) -> Option<&'static ServedApi> {
    SERVED.iter().find(|row| row.key == key)
}

/// Whether this key is served in this version.
pub fn serves(key: ApiKey, version: i16) -> bool {
    served(key).is_some_and(|row| (row.min_version..=row.max_version).contains(&version))
}

/// Answers one request whose header has been read. `Err` closes the connection, as Kafka does.
pub async fn dispatch(context: &RequestContext, body: &[u8]) -> Result<Outcome, Refusal> {
    if serves(context.api_key, context.api_version) {
        return call(context, body).await;
    }
    match context.api_key {
        // KIP-511: a client asks first with its newest version; the answer in v0 tells it ours.
        ApiKey::ApiVersions => api_versions::unsupported_version(context),
        _ => Err(Refusal::not_served(context)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_row_and_its_versions_lie_within_kafkas() {
        for (position, row) in SERVED.iter().enumerate() {
            assert!(SERVED[..position].iter().all(|other| other.key != row.key), "{} twice", row.name);
            assert_eq!(row.name, row.key.name());
            let known = row.key.valid_versions();
            assert!(known.contains(&row.min_version) && known.contains(&row.max_version), "{}", row.name);
        }
    }
}
