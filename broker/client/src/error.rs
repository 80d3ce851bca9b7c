//! What can go wrong between this client and a cluster, in one enum.
//!
//! Every variant names the broker and the API it happened at, so that a message is enough to act on without a
//! trace. `is_retriable` is the only place that decides whether the same call may succeed later; Kafka's own
//! error codes carry that property themselves (`ErrorCode::is_retriable`, Kafka's `Errors.java`).

use std::sync::Arc;
use std::time::Duration;

use logspine_protocol::error::ErrorCode;

/// Why a call did not succeed. Cloning is cheap: one broken connection fails every call that waits on it.
#[allow(missing_docs)]
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// No address of the bootstrap list, and no broker known from metadata, accepted a connection.
    #[error("no broker answers at {addresses}: {last}")]
    NoBrokerAnswers { addresses: String, last: Box<ClientError> },

    /// The TCP connection could not be opened.
    #[error("cannot connect to {broker}: {source}")]
    Connect { broker: Arc<str>, source: Arc<std::io::Error> },

    /// The connection ended while answers were outstanding. Whether the request took effect is unknown.
    #[error("connection to {broker} was lost during {api}: {reason}")]
    Disconnected { broker: Arc<str>, api: &'static str, reason: Arc<str> },

    /// No answer within the time allowed. Whether the request took effect is unknown.
    #[error("{broker} did not answer {api} within {} ms", after.as_millis())]
    Timeout { broker: Arc<str>, api: &'static str, after: Duration },

    /// The answer's bytes are not what the schema says.
    #[error("{broker} sent an unreadable answer to {api} version {version}: {reason}")]
    Unreadable { broker: Arc<str>, api: &'static str, version: i16, reason: String },

    /// The request cannot be written at the version that was agreed on.
    #[error("cannot encode {api} version {version}: {reason}")]
    Unwritable { api: &'static str, version: i16, reason: String },

    /// The broker serves no version of this API that we speak.
    #[error(
        "{broker} serves no version of {api} that this client speaks (ours {ours_min} to {ours_max}, its {theirs})"
    )]
    NoCommonVersion { broker: Arc<str>, api: &'static str, ours_min: i16, ours_max: i16, theirs: String },

    /// The broker understood the request and refused it.
    #[error("{subject}: {}{} ({api} at {broker})", code.name(), colon(message))]
    Api { broker: Arc<str>, api: &'static str, code: ErrorCode, subject: String, message: Option<String> },

    /// The cluster has no broker with this id at present.
    #[error("broker {id} is not part of the cluster at present")]
    UnknownBroker { id: i32 },

    /// The partition has no leader at present.
    #[error("partition {topic}-{partition} has no leader at present")]
    NoLeader { topic: String, partition: i32 },

    /// The topic exists, this partition of it does not.
    #[error("topic {topic} has {partitions} partitions: there is no partition {partition}")]
    NoSuchPartition { topic: String, partition: i32, partitions: usize },

    /// A batch failed its checks, or could not be decompressed: the data on the broker or on the way is damaged.
    #[error("{topic}-{partition} at offset {offset}: damaged record batch: {reason}")]
    DamagedBatch { topic: String, partition: i32, offset: i64, reason: String },

    /// The caller asked for something that no broker could answer.
    #[error("{0}")]
    Invalid(String),

    /// The producer or consumer was closed while the call waited.
    #[error("{0} is closed")]
    Closed(&'static str),
}

fn colon(message: &Option<String>) -> String {
    message.as_deref().filter(|text| !text.is_empty()).map(|text| format!(": {text}")).unwrap_or_default()
}

impl ClientError {
    /// Kafka's code, where a broker gave one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Api { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// True when the same call may succeed later without anybody changing it.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Api { code, .. } => code.is_retriable(),
            Self::NoBrokerAnswers { .. }
            | Self::Connect { .. }
            | Self::Disconnected { .. }
            | Self::Timeout { .. }
            | Self::UnknownBroker { .. }
            | Self::NoLeader { .. } => true,
            Self::Unreadable { .. }
            | Self::Unwritable { .. }
            | Self::NoCommonVersion { .. }
            | Self::NoSuchPartition { .. }
            | Self::DamagedBatch { .. }
            | Self::Invalid(_)
            | Self::Closed(_) => false,
        }
    }

    /// True when no broker could be reached at all: the address or the network is at fault, not the request.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::NoBrokerAnswers { .. }
                | Self::Connect { .. }
                | Self::Disconnected { .. }
                | Self::Timeout { .. }
        )
    }

    /// True when what we believe about leaders is wrong or unknown, so that a retry needs fresh metadata.
    pub fn is_stale_metadata(&self) -> bool {
        match self {
            Self::Api { code, .. } => matches!(
                code,
                ErrorCode::NotLeaderOrFollower
                    | ErrorCode::LeaderNotAvailable
                    | ErrorCode::FencedLeaderEpoch
                    | ErrorCode::UnknownLeaderEpoch
                    | ErrorCode::UnknownTopicOrPartition
                    | ErrorCode::UnknownTopicId
                    | ErrorCode::InconsistentTopicId
                    | ErrorCode::KafkaStorageError
                    | ErrorCode::ReplicaNotAvailable
                    | ErrorCode::ListenerNotFound
            ),
            Self::Connect { .. }
            | Self::Disconnected { .. }
            | Self::Timeout { .. }
            | Self::UnknownBroker { .. }
            | Self::NoLeader { .. } => true,
            _ => false,
        }
    }

    /// True when the topic or partition does not exist, as far as the broker that was asked knows.
    pub fn is_unknown_topic(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId))
    }

    /// True when the request may have taken effect although this call failed.
    pub fn is_outcome_unknown(&self) -> bool {
        match self {
            Self::Api { code, .. } => {
                matches!(code, ErrorCode::RequestTimedOut | ErrorCode::NotEnoughReplicasAfterAppend)
            }
            Self::Disconnected { .. } | Self::Timeout { .. } | Self::Unreadable { .. } => true,
            _ => false,
        }
    }
}
