//! One process: health port, lease, then the controllers of every watched namespace until told to stop.
//!
//! Only the holder of the lease reconciles. Losing it ends the process at once; an orderly stop lets
//! running passes finish, then gives the lease up so that the next process need not wait.

use std::collections::HashSet;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use futures::future::{BoxFuture, FutureExt, Shared, join_all};
use kube::{Client, ResourceExt};

use crate::brokers::connections::Connections;
use crate::brokers::status::HttpProbe;
use crate::brokers::wire;
use crate::controllers::Context;
use crate::crd::{Cluster, Topic};
use crate::http::{self, Page};
use crate::kube::conditions;
use crate::kube::lease::Election;
use crate::metrics::{Brokers, Census, Metrics, Seen};
use crate::watch::{self, Scope, Watching};

/// How the process is to run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespaces to watch; empty means all.
    pub namespaces: Vec<String>,
    /// Address of the health and metrics port.
    pub http_address: SocketAddr,
    /// Name of this process, for the lease and for events.
    pub identity: String,
    /// Namespace of the lease; that of the client when absent.
    pub lease_namespace: Option<String>,
    /// Name of the lease; `None` runs without one.
    pub lease: Option<String>,
}

/// Completes when the process is told to stop.
pub type Stop = Shared<BoxFuture<'static, ()>>;

/// Run until told to stop.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let stop: Stop = stop_signal().boxed().shared();
    let metrics = Metrics::new();
    let page = Page {
        metrics: metrics.clone(),
        ready: Arc::new(AtomicBool::new(false)),
        count: Arc::new(OnceLock::new()),
    };
    let served = tokio::spawn(http::serve(settings.http_address, page.clone()));
    let client = crate::kube::client::connect(metrics.clone())
        .await
        .context("no way to reach an API server is configured")?;
    tokio::select! {
        result = served => return result?.context("the health port cannot be served"),
        () = reach(&client) => page.ready.store(true, Ordering::Relaxed),
        () = stop.clone() => return Ok(()),
    }
    let namespace = settings.lease_namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let election = settings
        .lease
        .as_ref()
        .map(|name| Election::new(client.clone(), &namespace, name, &settings.identity));
    if let Some(election) = &election {
        tokio::select! {
            () = election.acquire() => {}
            () = stop.clone() => return Ok(()),
        }
    }
    metrics.set_leader(true);
    let work = lead(client, &settings, metrics, page, stop);
    match election {
        None => work.await,
        Some(election) => tokio::select! {
            () = work => election.release().await,
            lost = election.hold() => anyhow::bail!("{lost}"),
        },
    }
    Ok(())
}

/// Reconcile every watched namespace until told to stop.
async fn lead(client: Client, settings: &Settings, metrics: Metrics, page: Page, stop: Stop) {
    let connections = Connections::new(wire::factory(), metrics.clone());
    let context =
        Arc::new(Context::new(client, &settings.identity, connections, Arc::new(HttpProbe), metrics));
    let scopes: Vec<Scope> = match settings.namespaces.as_slice() {
        [] => vec![Scope::All],
        names => names.iter().cloned().map(Scope::Namespace).collect(),
    };
    tracing::info!(?scopes, "reconciling");
    let watching: Vec<Watching> =
        scopes.iter().map(|scope| watch::start(scope, context.clone(), stop.clone())).collect();
    let caches: Vec<_> = watching.iter().map(|watching| watching.caches.clone()).collect();
    let counted = context.clone();
    let _ = page.count.set(Arc::new(move || {
        let clusters: Vec<Arc<Cluster>> = caches.iter().flat_map(|caches| caches.clusters.state()).collect();
        let uids: HashSet<String> = clusters.iter().filter_map(|cluster| cluster.uid()).collect();
        counted.brokers.retain(|uid| uids.contains(uid));
        census(&clusters, &caches.iter().flat_map(|caches| caches.topics.state()).collect::<Vec<_>>())
    }));
    join_all(watching.into_iter().map(|watching| watching.work)).await;
}

fn census(clusters: &[Arc<Cluster>], topics: &[Arc<Topic>]) -> Census {
    let reason = |found: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition]| {
        conditions::find(found, "Ready")
            .filter(|ready| ready.status != "True")
            .map(|ready| ready.reason.clone())
    };
    let mut census = Census::default();
    for cluster in clusters {
        let namespace = cluster.namespace().unwrap_or_default();
        let status = cluster.status.clone().unwrap_or_default();
        census.resources.push(Seen {
            kind: "Cluster",
            namespace: namespace.clone(),
            not_ready: reason(&status.conditions),
            paused: cluster.spec.paused,
        });
        let ready = status
            .ready_brokers
            .as_deref()
            .and_then(|text| text.split('/').next()?.parse().ok())
            .unwrap_or(0);
        let known = status.conditions.iter().filter(|condition| condition.status != "Unknown");
        let conditions = known.map(|known| (known.type_.clone(), known.status == "True")).collect();
        let desired = cluster.spec.pools.iter().map(|pool| i64::from(pool.replicas)).sum();
        census.brokers.push(Brokers { namespace, cluster: cluster.name_any(), desired, ready, conditions });
    }
    for topic in topics {
        let conditions = topic.status.as_ref().map_or(&[][..], |status| &status.conditions);
        let namespace = topic.namespace().unwrap_or_default();
        census.resources.push(Seen {
            kind: "Topic",
            namespace,
            not_ready: reason(conditions),
            paused: false,
        });
    }
    census
}

/// Wait until the API server has answered once.
async fn reach(client: &Client) {
    let mut said = false;
    while let Err(error) = client.apiserver_version().await {
        if !said {
            tracing::warn!(%error, "the API server does not answer yet");
            said = true;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

fn stop_signal() -> impl Future<Output = ()> + Send {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("a signal handler can be installed");
    let mut interrupt = signal(SignalKind::interrupt()).expect("a signal handler can be installed");
    async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop");
    }
}
