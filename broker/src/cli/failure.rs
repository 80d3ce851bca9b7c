//! How a command fails: one sentence that says what is wrong, one that says what to do, one exit code.
//!
//! The only place where errors of the client become words for people. Codes: see `EXIT_CODES` in `mod.rs`.

use std::process::ExitCode;

use logspine_client::ClientError;
use logspine_protocol::error::ErrorCode;

const REFUSED: u8 = 1;
const USAGE: u8 = 2;
const UNREACHABLE: u8 = 3;
const NOT_FOUND: u8 = 4;

/// Why a command did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What is wrong.
    pub sentence: String,
    /// What helps, where anything is known to.
    pub remedy: Option<String>,
    pub exit_code: u8,
}

impl Failure {
    /// The arguments make no sense together.
    pub fn of_usage(sentence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), remedy: Some(remedy.into()), exit_code: USAGE }
    }

    /// This machine, not the cluster, is at fault.
    pub fn of_system(what: &str, error: &std::io::Error) -> Self {
        Self { sentence: format!("{what}: {error}"), remedy: None, exit_code: REFUSED }
    }

    /// Says it on standard error.
    pub fn report(&self) -> ExitCode {
        eprintln!("error: {}", self.sentence);
        if let Some(remedy) = &self.remedy {
            eprintln!("  {remedy}");
        }
        ExitCode::from(self.exit_code)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit_code = match &error {
            _ if error.is_unreachable() => UNREACHABLE,
            ClientError::NoSuchPartition { .. } => NOT_FOUND,
            ClientError::Invalid(_) => USAGE,
            _ if error.is_unknown_topic() || error.code() == Some(ErrorCode::GroupIdNotFound) => NOT_FOUND,
            _ => REFUSED,
        };
        Self { sentence: sentence_of(&error), remedy: remedy_of(&error).map(str::to_owned), exit_code }
    }
}

/// Kafka's own message where it sent one, else ours; the code's name stays in it, for searching.
fn sentence_of(error: &ClientError) -> String {
    match error {
        ClientError::Api { code: ErrorCode::UnknownTopicOrPartition, subject, .. } => {
            format!("{subject} does not exist (UNKNOWN_TOPIC_OR_PARTITION)")
        }
        ClientError::Api { code: ErrorCode::GroupIdNotFound, subject, .. } => {
            format!("{subject} does not exist (GROUP_ID_NOT_FOUND)")
        }
        ClientError::Api { code, subject, message: Some(message), .. } if !message.is_empty() => {
            format!("{subject}: {} ({})", message.trim_end_matches('.'), code.name())
        }
        other => other.to_string(),
    }
}

fn remedy_of(error: &ClientError) -> Option<&'static str> {
    if error.is_unreachable() {
        return Some("Is the broker running, and is -b/--bootstrap (or LOGSPINE_BOOTSTRAP) its address?");
    }
    Some(match error.code()? {
        ErrorCode::UnknownTopicOrPartition => {
            "`logspine topic list` shows the topics there are, `logspine topic create NAME` makes one."
        }
        ErrorCode::GroupIdNotFound => "`logspine group list` shows the groups there are.",
        ErrorCode::TopicAlreadyExists => {
            "`logspine topic describe NAME` shows it; `create --if-not-exists` accepts it as it is."
        }
        ErrorCode::NonEmptyGroup | ErrorCode::UnknownMemberId => {
            "The group has members that are reading: stop them first, `logspine group describe` shows them."
        }
        ErrorCode::GroupSubscribedToTopic => "The group still reads the topic: stop its members first.",
        ErrorCode::InvalidPartitions => "Partitions can only be added: give a larger total.",
        ErrorCode::InvalidReplicationFactor => {
            "There must be as many brokers as replicas: `logspine cluster describe` shows them."
        }
        ErrorCode::OffsetOutOfRange => {
            "`logspine topic describe NAME` shows the first and last offset of each partition."
        }
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => {
            "The topic's max.message.bytes is the limit: `logspine topic alter NAME --set max.message.bytes=N`."
        }
        ErrorCode::NotEnoughReplicas | ErrorCode::NotEnoughReplicasAfterAppend => {
            "Fewer replicas are in sync than min.insync.replicas asks for: `logspine topic describe NAME` shows them."
        }
        ErrorCode::TopicAuthorizationFailed
        | ErrorCode::GroupAuthorizationFailed
        | ErrorCode::ClusterAuthorizationFailed => {
            "This user lacks the right; an administrator can grant it by an ACL."
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(code: ErrorCode, subject: &str, message: Option<&str>) -> ClientError {
        let message = message.map(str::to_owned);
        ClientError::Api {
            broker: "b:9092".into(),
            api: "CreateTopics",
            code,
            subject: subject.to_owned(),
            message,
        }
    }

    #[test]
    fn an_unknown_topic_is_said_in_words_and_has_its_own_exit_code() {
        let failure = Failure::from(api(ErrorCode::UnknownTopicOrPartition, "topic orders", None));
        assert_eq!(failure.sentence, "topic orders does not exist (UNKNOWN_TOPIC_OR_PARTITION)");
        assert!(failure.remedy.is_some_and(|remedy| remedy.contains("logspine topic list")));
        assert_eq!(failure.exit_code, 4);
    }

    #[test]
    fn the_brokers_own_message_is_told() {
        let message = "Invalid value abc for configuration retention.ms.";
        let failure = Failure::from(api(ErrorCode::InvalidConfig, "topic orders", Some(message)));
        assert_eq!(
            failure.sentence,
            "topic orders: Invalid value abc for configuration retention.ms (INVALID_CONFIG)"
        );
        assert_eq!(failure.exit_code, 1);
    }
}
