//! The Topic controller: gather, validate, plan, apply, status.
//!
//! `reconcile` shows the whole pass on one screen. A pass either records what it is about to do (its
//! memory differs from what status holds) or does it, never both; so a crash after any call is understood
//! by the next process. When no broker answers, the pass is short and says so at most once.

mod apply;
pub mod deletion;
pub mod gather;
pub mod plan;
pub mod status;
pub mod validate;

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::controller::Action;

use self::deletion::Step;
use self::gather::{Caches, Found};
use self::plan::{Actual, Plan};
use self::validate::ValidTopic;
use super::{Context, Pass, PassError, run_pass};
use crate::brokers::AdminError;
use crate::crd::{Topic, TopicDeletionPolicy, TopicStatus};
use crate::kube::conditions::Verdict;
use crate::kube::{finalizer, labels, status as kube_status};

/// When nothing happens, drift is looked for this often.
const RESYNC: Duration = Duration::from_secs(60);
/// When the condition is one that may pass by itself.
const SOON: Duration = Duration::from_secs(5);
/// When no broker answers; a Cluster that becomes available wakes its Topics anyway.
const SILENT: Duration = Duration::from_secs(15);
/// When a refused change is tried again: only somebody else's change can make a difference.
const LATER: Duration = Duration::from_secs(120);
/// When the pass only recorded its intent, or acted.
const NOW: Duration = Duration::from_millis(50);

/// Refusals that say that the topic has appeared or disappeared since it was looked at.
const OVERTAKEN: [&str; 3] = ["TOPIC_ALREADY_EXISTS", "UNKNOWN_TOPIC_OR_PARTITION", "UNKNOWN_TOPIC_ID"];

/// What a pass of a Topic needs beside the common context.
pub struct TopicContext {
    /// The common context.
    pub common: Arc<Context>,
    /// The watch caches.
    pub caches: Caches,
}

/// One pass, with its deadline.
pub async fn reconcile(topic: Arc<Topic>, context: Arc<TopicContext>) -> Result<Action, PassError> {
    run_pass(&context.common, topic.as_ref(), pass(&context, &topic)).await
}

async fn pass(context: &TopicContext, topic: &Topic) -> Result<Pass, PassError> {
    let wanted = match validate::validate(topic) {
        Ok(wanted) => wanted,
        Err(words) if topic.metadata.deletion_timestamp.is_some() => {
            tracing::debug!(words, "an invalid Topic is deleted");
            return release(context, topic).await;
        }
        Err(words) => return say(context, topic, Verdict::no("InvalidSpec", words), LATER).await,
    };
    if topic.metadata.deletion_timestamp.is_some() {
        return delete(context, topic, &wanted).await;
    }
    if keep_finalizer(context, topic, &wanted).await? {
        return Ok(Pass { changed: true, again: NOW });
    }
    let found = gather::gather(&context.common, &context.caches, topic, &wanted).await;
    let memory = status::memory(topic.status.as_ref());
    let plan = plan::plan(&wanted, &memory, &found.actual, status::settled(topic));
    if plan.actions.is_empty() || plan.memory != memory {
        let status = status::status(topic, &wanted, &found.actual, &plan, (context.common.now)());
        let changed = write(context, topic, &status).await?;
        let again = if plan.actions.is_empty() { pause(&found.actual) } else { NOW };
        return Ok(Pass { changed, again });
    }
    act(context, topic, &wanted, &found, &plan).await
}

/// Carry out the plan, and look again at once; a refusal becomes a condition.
async fn act(
    context: &TopicContext,
    topic: &Topic,
    wanted: &ValidTopic,
    found: &Found,
    plan: &Plan,
) -> Result<Pass, PassError> {
    let Some(connection) = &found.connection else { return Ok(Pass { changed: false, again: SOON }) };
    let mut again = NOW;
    for action in &plan.actions {
        match apply::apply(&context.common, connection, topic, wanted, action).await {
            Ok(()) => {}
            Err(AdminError::Refused { code, .. }) if OVERTAKEN.contains(&code.as_str()) => {
                // Somebody was faster; the next pass sees what there is and judges anew.
                again = SOON;
            }
            Err(AdminError::Refused { message, .. }) => {
                return say(context, topic, Verdict::no("InvalidSpec", message), LATER).await;
            }
            Err(AdminError::Unreachable { .. }) => return Ok(Pass { changed: false, again: SOON }),
        }
    }
    Ok(Pass { changed: true, again })
}

fn pause(actual: &Actual) -> Duration {
    match actual {
        Actual::Present(_) => RESYNC,
        Actual::Conflict(_) | Actual::Refused(_) | Actual::Paused | Actual::NoCluster | Actual::Absent => {
            LATER
        }
        Actual::Silent { .. } => SILENT,
    }
}

/// Only a policy that deletes takes a finalizer: what keeps its data can then never hang a namespace.
async fn keep_finalizer(
    context: &TopicContext,
    topic: &Topic,
    wanted: &ValidTopic,
) -> Result<bool, PassError> {
    let deletes = wanted.deletion_policy == TopicDeletionPolicy::Delete;
    finalizer::set(&context.common.client, topic, labels::TOPIC_FINALIZER, deletes)
        .await
        .map_err(PassError::api("setting the finalizer"))
}

async fn delete(context: &TopicContext, topic: &Topic, wanted: &ValidTopic) -> Result<Pass, PassError> {
    if !finalizer::present(topic, labels::TOPIC_FINALIZER) {
        return Ok(Pass { changed: false, again: LATER });
    }
    let found = gather::gather(&context.common, &context.caches, topic, wanted).await;
    let memory = status::memory(topic.status.as_ref());
    match deletion::decide(wanted, &memory, &found.actual) {
        Step::Release => release(context, topic).await,
        Step::Hold { reason, words } => say(context, topic, Verdict::no(reason, words), SOON).await,
        Step::Record(id) => {
            let mut status = topic.status.clone().unwrap_or_default();
            status.topic_id = Some(id);
            status.intent = None;
            let changed = write(context, topic, &status).await?;
            Ok(Pass { changed, again: NOW })
        }
        Step::Delete(id) => {
            let Some(connection) = &found.connection else { return Ok(Pass { changed: false, again: SOON }) };
            match apply::delete(&context.common, connection, topic, &id).await {
                Ok(()) => Ok(Pass { changed: true, again: NOW }),
                Err(AdminError::Refused { code, .. }) if code == "UNKNOWN_TOPIC_ID" => {
                    release(context, topic).await
                }
                Err(error) => {
                    say(
                        context,
                        topic,
                        Verdict::no("BrokerUnreachable", format!("deletion waits: {error}")),
                        SOON,
                    )
                    .await
                }
            }
        }
    }
}

async fn release(context: &TopicContext, topic: &Topic) -> Result<Pass, PassError> {
    let changed = finalizer::set(&context.common.client, topic, labels::TOPIC_FINALIZER, false)
        .await
        .map_err(PassError::api("removing the finalizer"))?;
    Ok(Pass { changed, again: LATER })
}

/// Write a status in which only the condition is new.
async fn say(
    context: &TopicContext,
    topic: &Topic,
    verdict: Verdict,
    again: Duration,
) -> Result<Pass, PassError> {
    tracing::debug!(topic = topic.name_any(), reason = verdict.reason, "{}", verdict.message);
    let status = status::said(topic, verdict, (context.common.now)());
    let changed = write(context, topic, &status).await?;
    Ok(Pass { changed, again })
}

async fn write(context: &TopicContext, topic: &Topic, status: &TopicStatus) -> Result<bool, PassError> {
    kube_status::write(&context.common.client, topic, topic.status.as_ref(), status)
        .await
        .map_err(PassError::api("writing the status of a Topic"))
}
