//! Events on the custom resource, with the pod as the related object.
//!
//! An event that cannot be written is logged and forgotten: nothing depends on it. Event types are a
//! closed set (operator reasons in `docs/operations`); kube's recorder folds repetitions.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use super::labels;

/// Publishes events as the operator.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

/// One thing worth telling.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// Reason, a word of the closed vocabulary.
    pub reason: &'static str,
    /// The same in a sentence.
    pub note: String,
    /// True for something that a person should look at.
    pub warning: bool,
    /// The pod it is about, if it is about one.
    pub related: Option<ObjectReference>,
}

impl Notice {
    /// Something that went as it should.
    pub fn normal(reason: &'static str, note: impl Into<String>) -> Self {
        Self { reason, note: note.into(), warning: false, related: None }
    }

    /// Something that a person should look at.
    pub fn warning(reason: &'static str, note: impl Into<String>) -> Self {
        Self { warning: true, ..Self::normal(reason, note) }
    }

    /// The same about a pod.
    pub fn about_pod(mut self, namespace: &str, name: &str, uid: &str) -> Self {
        self.related = Some(ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            namespace: Some(namespace.into()),
            name: Some(name.into()),
            uid: Some(uid.into()),
            ..ObjectReference::default()
        });
        self
    }
}

impl Events {
    /// Events of this process; `instance` is the pod's name.
    pub fn new(client: Client, instance: &str) -> Self {
        let reporter = Reporter { controller: labels::OPERATOR.into(), instance: Some(instance.into()) };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Tell about `object`.
    pub async fn publish(&self, object: &ObjectReference, notice: &Notice) {
        tracing::info!(
            kind = object.kind,
            namespace = object.namespace,
            name = object.name,
            reason = notice.reason,
            "{}",
            notice.note
        );
        let event = Event {
            type_: if notice.warning { EventType::Warning } else { EventType::Normal },
            reason: notice.reason.into(),
            note: Some(notice.note.chars().take(1000).collect()),
            action: notice.reason.into(),
            secondary: notice.related.clone(),
        };
        if let Err(error) = self.recorder.publish(&event, object).await {
            tracing::warn!(%error, reason = notice.reason, "an event could not be written");
        }
    }
}
