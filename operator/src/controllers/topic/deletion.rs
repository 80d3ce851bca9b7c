//! What happens when a Topic is deleted. Pure.
//!
//! `retain` has no finalizer: the object simply goes. `delete` deletes the topic whose id this object
//! recorded, and no other of that name; it holds the finalizer while brokers are unreachable, because the
//! user ordered a deletion that has not happened, and lets go when the Cluster itself is gone.

use super::plan::{Actual, Memory};
use super::validate::ValidTopic;
use crate::brokers::ActualTopic;
use crate::crd::{TopicDeletionPolicy, TopicIntent};

/// The next step of a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Delete the topic with this id.
    Delete(String),
    /// Remember that the topic with this id is ours, before it is deleted.
    Record(String),
    /// Nothing can be done now.
    Hold {
        /// A word of the vocabulary.
        reason: &'static str,
        /// The same in a sentence.
        words: String,
    },
    /// Remove the finalizer.
    Release,
}

/// Decide upon the next step.
pub fn decide(wanted: &ValidTopic, memory: &Memory, actual: &Actual) -> Step {
    if wanted.deletion_policy == TopicDeletionPolicy::Retain {
        return Step::Release;
    }
    match actual {
        Actual::NoCluster | Actual::Conflict(_) | Actual::Absent => Step::Release,
        Actual::Paused => {
            Step::Hold { reason: "Paused", words: "deletion waits: the Cluster is paused".into() }
        }
        Actual::Silent { .. } => Step::Hold {
            reason: "BrokerUnreachable",
            words: format!("deletion waits: no broker of Cluster {} answers", wanted.cluster),
        },
        Actual::Refused(words) => {
            Step::Hold { reason: "BrokerUnreachable", words: format!("deletion waits: {words}") }
        }
        Actual::Present(topic) => present(memory, topic),
    }
}

fn present(memory: &Memory, topic: &ActualTopic) -> Step {
    match (&memory.topic_id, memory.intent) {
        (Some(id), _) if *id == topic.id => Step::Delete(topic.id.clone()),
        // Created a moment ago, and the process died before it could record the id.
        (None, Some(TopicIntent::Create)) => Step::Record(topic.id.clone()),
        _ => Step::Release,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::validate::tests::topic as topic_of;
    use super::super::validate::validate;
    use super::*;

    fn step(policy: &str, memory: &Memory, actual: &Actual) -> Step {
        decide(&validate(&topic_of(json!({ "deletionPolicy": policy }))).unwrap(), memory, actual)
    }

    fn present(id: &str) -> Actual {
        Actual::Present(ActualTopic { id: id.into(), ..ActualTopic::default() })
    }

    #[test]
    fn only_the_topic_that_is_ours_is_deleted() {
        let ours = Memory { topic_id: Some("A".into()), ..Memory::default() };
        assert_eq!(step("delete", &ours, &present("A")), Step::Delete("A".into()));
        assert_eq!(step("delete", &ours, &present("B")), Step::Release);
        assert_eq!(step("delete", &Memory::default(), &present("A")), Step::Release);
        assert_eq!(step("retain", &ours, &present("A")), Step::Release);
        let begun = Memory { intent: Some(TopicIntent::Create), ..Memory::default() };
        assert_eq!(step("delete", &begun, &present("A")), Step::Record("A".into()));
    }

    #[test]
    fn the_finalizer_holds_while_brokers_are_silent_and_goes_with_the_cluster() {
        let ours = Memory { topic_id: Some("A".into()), ..Memory::default() };
        let silent = Actual::Silent { silent_for: Duration::ZERO };
        assert!(matches!(step("delete", &ours, &silent), Step::Hold { reason: "BrokerUnreachable", .. }));
        assert!(matches!(step("delete", &ours, &Actual::Paused), Step::Hold { reason: "Paused", .. }));
        assert_eq!(step("delete", &ours, &Actual::NoCluster), Step::Release);
        assert_eq!(step("delete", &ours, &Actual::Absent), Step::Release);
    }
}
