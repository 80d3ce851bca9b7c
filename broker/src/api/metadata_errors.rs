//! From what the metadata refuses to Kafka's codes: one `match`, used by every API that asks the controller.

use logspine_cluster::metadata::{RequestError, RequestErrorCode};
use logspine_protocol::error::ErrorCode;

use crate::controller::ProposeError;

pub fn of_code(code: RequestErrorCode) -> ErrorCode {
    match code {
        RequestErrorCode::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
        RequestErrorCode::UnknownTopicId => ErrorCode::UnknownTopicId,
        RequestErrorCode::InvalidTopicException => ErrorCode::InvalidTopicException,
        RequestErrorCode::TopicAlreadyExists => ErrorCode::TopicAlreadyExists,
        RequestErrorCode::InvalidPartitions => ErrorCode::InvalidPartitions,
        RequestErrorCode::InvalidReplicationFactor => ErrorCode::InvalidReplicationFactor,
        RequestErrorCode::InvalidReplicaAssignment => ErrorCode::InvalidReplicaAssignment,
        RequestErrorCode::InvalidConfig => ErrorCode::InvalidConfig,
        RequestErrorCode::InvalidRequest => ErrorCode::InvalidRequest,
        RequestErrorCode::PolicyViolation => ErrorCode::PolicyViolation,
        RequestErrorCode::DuplicateBrokerRegistration => ErrorCode::DuplicateBrokerRegistration,
        RequestErrorCode::BrokerIdNotRegistered => ErrorCode::BrokerIdNotRegistered,
        RequestErrorCode::StaleBrokerEpoch => ErrorCode::StaleBrokerEpoch,
        RequestErrorCode::NotController => ErrorCode::NotController,
    }
}

/// The code of one part's refusal, and the sentence that goes with it.
pub fn of_request(refusal: &RequestError) -> (ErrorCode, String) {
    (of_code(refusal.code), refusal.message.clone())
}

/// The refusal of a whole request. A controller that stops is one that is no longer the controller.
pub fn of_propose(error: &ProposeError) -> (ErrorCode, String) {
    match error {
        ProposeError::Refused(refusal) => of_request(refusal),
        ProposeError::TimedOut => (ErrorCode::RequestTimedOut, error.to_string()),
        ProposeError::NotWritable { .. } => (ErrorCode::KafkaStorageError, error.to_string()),
        ProposeError::Stopped => (ErrorCode::NotController, error.to_string()),
    }
}
