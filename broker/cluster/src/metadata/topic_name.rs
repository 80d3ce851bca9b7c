//! Which names a topic may have, and which names would fall together in a metric. Kafka: `internals.Topic`.

/// The topic that holds group offsets.
pub const GROUP_METADATA_TOPIC_NAME: &str = "__consumer_offsets";
/// The topic that will hold transactions.
pub const TRANSACTION_STATE_TOPIC_NAME: &str = "__transaction_state";
/// The metadata log bears this name; no topic may.
pub const CLUSTER_METADATA_TOPIC_NAME: &str = "__cluster_metadata";

/// A name becomes a directory name together with a partition number, and file systems end at 255.
const MAX_NAME_LENGTH: usize = 249;

/// Whether a topic belongs to the broker itself, as Metadata's `is_internal` says.
pub fn is_internal(name: &str) -> bool {
    name == GROUP_METADATA_TOPIC_NAME || name == TRANSACTION_STATE_TOPIC_NAME
}

/// Kafka's rule and Kafka's words.
pub fn validate_topic_name(name: &str) -> Result<(), String> {
    let invalid = |why: String| Err(format!("Topic name is invalid: {why}"));
    match name {
        "" => invalid("the empty string is not allowed".to_owned()),
        "." => invalid("'.' is not allowed".to_owned()),
        ".." => invalid("'..' is not allowed".to_owned()),
        _ if name.chars().count() > MAX_NAME_LENGTH => {
            invalid(format!("the length of '{name}' is longer than the max allowed length {MAX_NAME_LENGTH}"))
        }
        _ if !name.chars().all(is_legal) => invalid(format!(
            "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        )),
        _ => Ok(()),
    }
}

fn is_legal(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// Two names with the same collision key would be one metric, because '.' becomes '_' there.
pub(super) fn collision_key(name: &str) -> String {
    name.replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_in_kafkas_words() {
        let refusal = |name: &str| validate_topic_name(name).unwrap_err();
        assert_eq!(refusal(""), "Topic name is invalid: the empty string is not allowed");
        assert_eq!(refusal(".."), "Topic name is invalid: '..' is not allowed");
        assert!(refusal("a b").ends_with("other than ASCII alphanumerics, '.', '_' and '-'"));
        assert!(refusal("größe").starts_with("Topic name is invalid: 'größe' contains"));
        let long = "x".repeat(250);
        assert!(refusal(&long).ends_with("longer than the max allowed length 249"));
        validate_topic_name(&long[1..]).unwrap();
        validate_topic_name("Orders.v2_eu-west").unwrap();
    }

    #[test]
    fn dots_and_underscores_collide() {
        assert_eq!(collision_key("a.b_c"), collision_key("a_b.c"));
        assert_ne!(collision_key("a-b"), collision_key("a_b"));
    }
}
