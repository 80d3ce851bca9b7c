//! Leader election on a `coordination/v1` Lease.
//!
//! One process works, the others wait. Every change is a `replace` that carries the resource version read
//! before it, so two processes can never both succeed. The holder renews every third of the duration; when
//! it has not managed to renew for two thirds of it, it must stop at once, before anybody else may take
//! over: `hold` returns and main exits the process. On an orderly shutdown the lease is given up, so that
//! the next process need not wait. Whether a foreign lease has expired is judged by watching it stay
//! unchanged by our own clock, never by comparing clocks of two machines.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::time::Instant;

/// How long a lease lasts without renewal.
pub const DURATION: Duration = Duration::from_secs(15);
const RENEW_EVERY: Duration = Duration::from_secs(5);
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
const RETRY_EVERY: Duration = Duration::from_secs(2);

/// A lease and who wants to hold it.
#[derive(Clone)]
pub struct Election {
    api: Api<Lease>,
    name: String,
    identity: String,
}

/// Why the holder must stop.
#[derive(Debug, thiserror::Error)]
pub enum LeaseLost {
    /// Somebody else holds it.
    #[error("the lease is held by {0}")]
    Taken(String),
    /// It could not be renewed in time.
    #[error("the lease could not be renewed for {0:?}: {1}")]
    NotRenewed(Duration, kube::Error),
}

/// A foreign lease as we last saw it change.
struct Seen {
    version: Option<String>,
    at: Instant,
}

impl Election {
    /// Take part under `identity` (the pod's name) for the lease `name`.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), name: name.into(), identity: identity.into() }
    }

    /// Wait until this process holds the lease.
    pub async fn acquire(&self) {
        let mut seen: Option<Seen> = None;
        let mut warned = false;
        loop {
            match self.try_acquire(&mut seen).await {
                Ok(true) => return tracing::info!(lease = self.name, identity = self.identity, "leading"),
                Ok(false) => warned = false,
                Err(error) if !warned => {
                    warned = true;
                    tracing::warn!(%error, lease = self.name, "the lease cannot be read or written");
                }
                Err(_) => {}
            }
            tokio::time::sleep(RETRY_EVERY).await;
        }
    }

    async fn try_acquire(&self, seen: &mut Option<Seen>) -> Result<bool, kube::Error> {
        let Some(lease) = self.api.get_opt(&self.name).await? else {
            let lease = self.held(None, 0);
            return won(self.api.create(&PostParams::default(), &lease).await);
        };
        let version = lease.metadata.resource_version.clone();
        let holder = holder(&lease).to_owned();
        if !holder.is_empty() && holder != self.identity {
            let changed = seen.as_ref().is_none_or(|seen| seen.version != version);
            if changed {
                tracing::info!(lease = self.name, holder, "waiting");
                *seen = Some(Seen { version, at: Instant::now() });
                return Ok(false);
            }
            if seen.as_ref().is_some_and(|seen| seen.at.elapsed() < duration(&lease)) {
                return Ok(false);
            }
        }
        let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or(0);
        let taken = self.held(lease.metadata.resource_version, transitions.saturating_add(1));
        won(self.api.replace(&self.name, &PostParams::default(), &taken).await)
    }

    /// Keep the lease. Returns only when it is lost; the process must then exit at once.
    pub async fn hold(&self) -> LeaseLost {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            loop {
                let left = RENEW_DEADLINE.saturating_sub(renewed.elapsed());
                let attempt = tokio::time::timeout(left.max(Duration::from_millis(1)), self.renew());
                match attempt.await {
                    Ok(Ok(None)) => {
                        renewed = Instant::now();
                        break;
                    }
                    Ok(Ok(Some(other))) => return LeaseLost::Taken(other),
                    Ok(Err(error)) if renewed.elapsed() >= RENEW_DEADLINE => {
                        return LeaseLost::NotRenewed(renewed.elapsed(), error);
                    }
                    Ok(Err(error)) => tracing::warn!(%error, "renewing the lease failed, trying again"),
                    Err(_) => {
                        let silent = kube::Error::Service("no answer".into());
                        return LeaseLost::NotRenewed(renewed.elapsed(), silent);
                    }
                }
                tokio::time::sleep(RETRY_EVERY.min(RENEW_DEADLINE.saturating_sub(renewed.elapsed()))).await;
            }
        }
    }

    /// Renew once; the other holder's name when it is no longer ours.
    async fn renew(&self) -> Result<Option<String>, kube::Error> {
        let lease = self.api.get(&self.name).await?;
        let holder = holder(&lease);
        if holder != self.identity {
            return Ok(Some(holder.to_owned()));
        }
        let mut renewed = lease.clone();
        if let Some(spec) = &mut renewed.spec {
            spec.renew_time = Some(MicroTime(Timestamp::now()));
        }
        self.api.replace(&self.name, &PostParams::default(), &renewed).await?;
        Ok(None)
    }

    /// Give the lease up, if it is ours.
    pub async fn release(&self) {
        let Ok(mut lease) = self.api.get(&self.name).await else { return };
        if holder(&lease) != self.identity {
            return;
        }
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(Timestamp::now()));
        }
        match self.api.replace(&self.name, &PostParams::default(), &lease).await {
            Ok(_) => tracing::info!(lease = self.name, "released"),
            Err(error) => tracing::warn!(%error, lease = self.name, "the lease could not be released"),
        }
    }

    fn held(&self, resource_version: Option<String>, transitions: i32) -> Lease {
        let now = MicroTime(Timestamp::now());
        Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), resource_version, ..ObjectMeta::default() },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                lease_transitions: Some(transitions),
                ..LeaseSpec::default()
            }),
        }
    }
}

fn holder(lease: &Lease) -> &str {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or("")
}

fn duration(lease: &Lease) -> Duration {
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
    u64::try_from(seconds).map_or(DURATION, Duration::from_secs)
}

/// A conflict means that another process was faster; that is an answer and no failure.
fn won(result: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match result {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "lease/tests.rs"]
mod tests;
