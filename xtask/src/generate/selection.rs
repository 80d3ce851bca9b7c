//! Which of Kafka's schemas become code. Adding a row here is all it takes to get another codec.
//!
//! Not every schema is generated: the code would be compiled and never called. `api_key/table.rs` knows every
//! API nevertheless.

/// The APIs with a codec, by key.
pub const APIS: &[&str] = &[
    "Produce",
    "Fetch",
    "ListOffsets",
    "Metadata",
    "OffsetCommit",
    "OffsetFetch",
    "FindCoordinator",
    "JoinGroup",
    "Heartbeat",
    "LeaveGroup",
    "SyncGroup",
    "DescribeGroups",
    "ListGroups",
    "SaslHandshake",
    "ApiVersions",
    "CreateTopics",
    "DeleteTopics",
    "DeleteRecords",
    "InitProducerId",
    "OffsetForLeaderEpoch",
    "AddPartitionsToTxn",
    "AddOffsetsToTxn",
    "EndTxn",
    "WriteTxnMarkers",
    "TxnOffsetCommit",
    "DescribeAcls",
    "CreateAcls",
    "DeleteAcls",
    "DescribeConfigs",
    "AlterConfigs",
    "DescribeLogDirs",
    "SaslAuthenticate",
    "CreatePartitions",
    "DeleteGroups",
    "ElectLeaders",
    "IncrementalAlterConfigs",
    "AlterPartitionReassignments",
    "ListPartitionReassignments",
    "OffsetDelete",
    "DescribeClientQuotas",
    "AlterClientQuotas",
    "DescribeUserScramCredentials",
    "AlterUserScramCredentials",
    "DescribeQuorum",
    "DescribeCluster",
    "DescribeProducers",
    "DescribeTransactions",
    "ListTransactions",
    "ConsumerGroupHeartbeat",
    "ConsumerGroupDescribe",
    "DescribeTopicPartitions",
];

/// A family of record schemas.
pub struct Records {
    /// The module below `records`.
    pub module: &'static str,
    /// The folder below `broker/protocol/schema`.
    pub folder: &'static str,
    /// Only these schemas of the folder; empty for all.
    pub only: &'static [&'static str],
    /// One line about the family.
    pub about: &'static str,
    /// How a record says which schema it has.
    pub framing: Framing,
}

/// How a record says which schema it has.
#[derive(PartialEq, Eq)]
pub enum Framing {
    /// Key and value, each behind an `i16` (KIP-915): in the key the record type, in the value its version.
    Coordinator,
    /// Frame version, record type and version as varints (KIP-631).
    Metadata,
    /// The schema is known from where the record stands.
    None,
}

/// The record families with codecs.
pub const RECORDS: &[Records] = &[
    Records {
        module: "group",
        folder: "group",
        only: &[],
        about: "What `__consumer_offsets` holds: keys and values of the group coordinator.",
        framing: Framing::Coordinator,
    },
    Records {
        module: "transaction",
        folder: "transaction",
        only: &[],
        about: "What `__transaction_state` holds: keys and values of the transaction coordinator.",
        framing: Framing::Coordinator,
    },
    Records {
        module: "metadata",
        folder: "metadata",
        only: &[],
        about: "What `__cluster_metadata` holds: the records of the metadata log (KIP-631).",
        framing: Framing::Metadata,
    },
    Records {
        module: "storage",
        folder: "storage",
        only: &["ProducerSnapshot"],
        about: "Files beside a log: the snapshot of producer states.",
        framing: Framing::None,
    },
    Records {
        module: "control",
        folder: "messages",
        only: &[
            "ControlRecordTypeSchema",
            "EndTxnMarker",
            "KRaftVersionRecord",
            "LeaderChangeMessage",
            "SnapshotFooterRecord",
            "SnapshotHeaderRecord",
            "VotersRecord",
        ],
        about: "Control records: transaction markers, and what Raft writes into its own log and snapshots.",
        framing: Framing::None,
    },
    Records {
        module: "consumer",
        folder: "messages",
        only: &["ConsumerProtocolAssignment", "ConsumerProtocolSubscription"],
        about: "The consumer's embedded protocol: opaque bytes to the broker, inside JoinGroup and SyncGroup.",
        framing: Framing::None,
    },
];
