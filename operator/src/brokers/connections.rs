//! One admin client per Cluster, with a memory for silence.
//!
//! When no broker answers, the next callers of the same Cluster are told so at once for a short while
//! instead of each waiting for a timeout: ten thousand Topics stay calm. The entry counts how long the
//! silence has lasted, so that a restart of a few seconds is not reported as an outage. One entry per
//! Cluster; `forget` drops it when the Cluster is gone.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{AdminError, AdminFactory, BrokerAdmin};
use crate::metrics::Metrics;

/// For how long callers are turned away after a failed attempt.
const PAUSE: Duration = Duration::from_secs(2);

/// Admin clients by the Cluster's uid.
pub struct Connections {
    factory: AdminFactory,
    metrics: Metrics,
    by_cluster: Mutex<HashMap<String, Arc<Connection>>>,
}

/// The admin client of one Cluster.
pub struct Connection {
    bootstrap: String,
    admin: Arc<dyn BrokerAdmin>,
    metrics: Metrics,
    silence: Mutex<Option<Silence>>,
}

#[derive(Clone)]
struct Silence {
    since: Instant,
    until: Instant,
    message: String,
}

impl Connections {
    /// No connections yet; `factory` makes them.
    pub fn new(factory: AdminFactory, metrics: Metrics) -> Self {
        Self { factory, metrics, by_cluster: Mutex::default() }
    }

    /// The connection of the Cluster with this uid.
    pub fn get(&self, cluster_uid: &str, bootstrap: &str) -> Arc<Connection> {
        let mut by_cluster = self.by_cluster.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = by_cluster.get(cluster_uid)
            && connection.bootstrap == bootstrap
        {
            return connection.clone();
        }
        let connection = Arc::new(Connection {
            bootstrap: bootstrap.into(),
            admin: (self.factory)(bootstrap),
            metrics: self.metrics.clone(),
            silence: Mutex::default(),
        });
        by_cluster.insert(cluster_uid.into(), connection.clone());
        connection
    }

    /// Keep only the connections of Clusters that exist.
    pub fn retain(&self, exists: impl Fn(&str) -> bool) {
        self.by_cluster.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| exists(uid));
    }
}

impl Connection {
    /// The brokers themselves, for `ask`.
    pub fn admin(&self) -> &dyn BrokerAdmin {
        self.admin.as_ref()
    }

    /// Ask the brokers, unless they were silent a moment ago. `call` is the metric's label.
    pub async fn ask<T>(
        &self,
        call: &'static str,
        question: impl Future<Output = Result<T, AdminError>>,
    ) -> Result<T, AdminError> {
        if let Some(silence) = self.silence()
            && Instant::now() < silence.until
        {
            return Err(AdminError::Unreachable {
                message: silence.message,
                silent_for: silence.since.elapsed(),
            });
        }
        let began = Instant::now();
        let answer = question.await;
        self.metrics.admin_call(call, began.elapsed().as_secs_f64(), answer.is_err());
        match answer {
            Err(AdminError::Unreachable { message, .. }) => Err(self.remember(began, message)),
            answer => {
                *self.silence.lock().unwrap_or_else(PoisonError::into_inner) = None;
                answer
            }
        }
    }

    fn silence(&self) -> Option<Silence> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, began: Instant, message: String) -> AdminError {
        let mut silence = self.silence.lock().unwrap_or_else(PoisonError::into_inner);
        let since = silence.as_ref().map_or(began, |old| old.since);
        *silence = Some(Silence { since, until: Instant::now() + PAUSE, message: message.clone() });
        AdminError::Unreachable { message, silent_for: since.elapsed() }
    }
}
