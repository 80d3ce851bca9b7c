//! The controllers: one folder per kind, the same five verbs in each.
//!
//! gather (reads only) -> validate (pure) -> build or plan (pure) -> apply (writes only) -> status (one
//! value, one patch). This file holds what the kinds share: the context, the deadline of a pass, the
//! backoff after errors, and the rule that an error is logged once, where it is handled. kube-runtime
//! never runs two passes of one object at a time.

pub mod cluster;
pub mod topic;

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::{Client, Resource, ResourceExt};

use crate::brokers::BrokerProbe;
use crate::brokers::connections::Connections;
use crate::kube::apply::ApplyError;
use crate::kube::events::Events;
use crate::metrics::{Metrics, Outcome};

/// A pass that takes longer than this is given up; the next one starts from what it finds.
pub const PASS_DEADLINE: Duration = Duration::from_secs(60);
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(120);

/// What every pass needs. Holds no decision: everything that matters is read anew.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Events on custom resources.
    pub events: Events,
    /// Kafka's protocol, one connection per Cluster.
    pub brokers: Connections,
    /// The brokers' admin endpoint.
    pub probe: Arc<dyn BrokerProbe>,
    /// The operator's metrics.
    pub metrics: Metrics,
    /// The clock, so that tests can set it.
    pub now: fn() -> Timestamp,
    failures: Failures,
}

impl Context {
    /// A context for one process.
    pub fn new(
        client: Client,
        instance: &str,
        brokers: Connections,
        probe: Arc<dyn BrokerProbe>,
        metrics: Metrics,
    ) -> Self {
        Self {
            events: Events::new(client.clone(), instance),
            client,
            brokers,
            probe,
            metrics,
            now: Timestamp::now,
            failures: Failures::default(),
        }
    }
}

/// Why a pass ended early. The next one starts over.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The API server refused or did not answer.
    #[error("{doing}: {source}")]
    Api {
        /// What was being done.
        doing: &'static str,
        /// What went wrong.
        source: Box<kube::Error>,
    },
    /// An object could not be applied.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The pass took too long.
    #[error("the pass took longer than {PASS_DEADLINE:?}")]
    Deadline,
}

impl PassError {
    /// Puts an API error into words.
    pub fn api(doing: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api { doing, source: Box::new(source) }
    }

    /// A conflict or an object that is gone: somebody else was faster, and a new view settles it.
    fn is_stale_view(&self) -> bool {
        let (Self::Api { source, .. } | Self::Apply(ApplyError::Api { source, .. })) = self else {
            return false;
        };
        matches!(source.as_ref(), kube::Error::Api(status) if status.is_conflict() || status.is_not_found())
    }
}

/// How a pass ended: whether it wrote, and when to look again.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// True when something was written.
    pub changed: bool,
    /// When to look again at the latest.
    pub again: Duration,
}

/// Run one pass with its deadline, count it, and turn an error into a quiet retry.
pub async fn run_pass<K>(
    context: &Context,
    object: &K,
    pass: impl Future<Output = Result<Pass, PassError>>,
) -> Result<Action, PassError>
where
    K: Resource<DynamicType = ()> + Debug,
{
    let kind = K::kind(&());
    let began = Instant::now();
    let result = tokio::time::timeout(PASS_DEADLINE, pass).await.unwrap_or(Err(PassError::Deadline));
    let outcome = match &result {
        Ok(Pass { changed: false, .. }) => Outcome::Steady,
        Ok(Pass { changed: true, .. }) => Outcome::Changed,
        Err(_) => Outcome::Failed,
    };
    let now = Timestamp::now().as_millisecond() as f64 / 1000.0;
    context.metrics.reconciled(&kind, began.elapsed().as_secs_f64(), &outcome, now);
    let key = format!("{kind}/{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    match result {
        Ok(pass) => {
            context.failures.clear(&key);
            Ok(Action::requeue(pass.again))
        }
        Err(error) if error.is_stale_view() => {
            tracing::debug!(%error, key, "a newer version exists, looking again");
            Ok(Action::requeue(BACKOFF_FIRST))
        }
        Err(error) => {
            let (pause, news) = context.failures.count(&key, &error.to_string());
            if news {
                tracing::warn!(%error, key, retry_in_s = pause.as_secs(), "a pass failed");
            } else {
                tracing::debug!(%error, key, retry_in_s = pause.as_secs(), "a pass failed again");
            }
            Ok(Action::requeue(pause))
        }
    }
}

/// Consecutive failures per object: the pause doubles, and the same words are logged once.
///
/// Bounded by the number of objects: an entry goes when a pass succeeds or the object is gone.
#[derive(Default)]
struct Failures(Mutex<HashMap<String, (u32, String)>>);

impl Failures {
    fn clear(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn count(&self, key: &str, message: &str) -> (Duration, bool) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = failures.entry(key.to_owned()).or_insert_with(|| (0, String::new()));
        let pause = BACKOFF_FIRST.saturating_mul(1 << entry.0.min(8)).min(BACKOFF_MAX);
        let news = entry.1 != message;
        *entry = (entry.0.saturating_add(1), message.to_owned());
        (pause, news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_its_limit_and_the_same_words_are_no_news() {
        let failures = Failures::default();
        let pauses: Vec<u64> = (0..10).map(|_| failures.count("a", "no answer").0.as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 120, 120, 120]);
        assert!(!failures.count("a", "no answer").1);
        assert!(failures.count("a", "refused").1);
        failures.clear("a");
        assert_eq!(failures.count("a", "no answer"), (BACKOFF_FIRST, true));
    }
}
