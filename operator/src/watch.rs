//! The watches that wake the controllers, for one namespace or for all.
//!
//! A Cluster is looked at when it, one of its objects or one of its pods changes; a Topic when it or the
//! availability of its Cluster changes. Objects of others are filtered at the API server by label. Two
//! controllers share nothing but their caches.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use futures::{Stream, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, Resource, ResourceExt};

use crate::controllers::topic::TopicContext;
use crate::controllers::topic::gather::Caches;
use crate::controllers::{Context, PassError, cluster, topic};
use crate::crd::{Cluster, Topic};
use crate::kube::{conditions, labels};
use crate::run::Stop;

/// Passes that run at the same time.
const CLUSTERS_AT_ONCE: u16 = 8;
const TOPICS_AT_ONCE: u16 = 16;
/// Events of one object that come within this time cause one pass.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// What one pair of controllers watches.
#[derive(Clone, Debug)]
pub enum Scope {
    /// Every namespace.
    All,
    /// One namespace.
    Namespace(String),
}

impl Scope {
    fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match self {
            Self::All => Api::all(client.clone()),
            Self::Namespace(name) => Api::namespaced(client.clone(), name),
        }
    }
}

/// A pair of controllers.
pub struct Watching {
    /// What they have seen.
    pub caches: Caches,
    /// Their work; ends when told to stop.
    pub work: BoxFuture<'static, ()>,
}

/// Start the two controllers of one scope.
pub fn start(scope: &Scope, context: Arc<Context>, stop: Stop) -> Watching {
    let client = &context.client;
    let clusters = Controller::new(scope.api::<Cluster>(client), watcher::Config::default());
    let topics = Controller::new(scope.api::<Topic>(client), watcher::Config::default());
    let caches = Caches { clusters: clusters.store(), topics: topics.store() };
    let clusters = run_clusters(scope, clusters, context.clone(), stop.clone());
    let topics = run_topics(scope, topics, context, caches.clone(), stop);
    Watching {
        caches,
        work: async move {
            futures::join!(clusters, topics);
        }
        .boxed(),
    }
}

fn run_clusters(
    scope: &Scope,
    controller: Controller<Cluster>,
    context: Arc<Context>,
    stop: Stop,
) -> BoxFuture<'static, ()> {
    let ours = watcher::Config::default().labels(&labels::managed());
    let client = context.client.clone();
    let results = controller
        .with_config(Config::default().debounce(DEBOUNCE).concurrency(CLUSTERS_AT_ONCE))
        .owns(scope.api::<StatefulSet>(&client), ours.clone())
        .owns(scope.api::<ConfigMap>(&client), ours.clone())
        .owns(scope.api::<Service>(&client), ours.clone())
        .owns(scope.api::<ServiceAccount>(&client), ours.clone())
        .owns(scope.api::<PodDisruptionBudget>(&client), ours.clone())
        .watches(scope.api::<Pod>(&client), ours, |pod| {
            let cluster = pod.labels().get(labels::CLUSTER)?.clone();
            Some(ObjectRef::new(&cluster).within(&pod.namespace()?))
        })
        .graceful_shutdown_on(stop)
        .run(cluster::reconcile, give_up::<Cluster, Context>, context);
    drain("Cluster", results).boxed()
}

fn run_topics(
    scope: &Scope,
    controller: Controller<Topic>,
    context: Arc<Context>,
    caches: Caches,
    stop: Stop,
) -> BoxFuture<'static, ()> {
    let clusters = scope.api::<Cluster>(&context.client);
    let news = News::default();
    let all: Store<Topic> = caches.topics.clone();
    let context = Arc::new(TopicContext { common: context, caches });
    let results = controller
        .with_config(Config::default().debounce(DEBOUNCE).concurrency(TOPICS_AT_ONCE))
        .watches(clusters, watcher::Config::default(), move |cluster: Cluster| {
            if !news.concerns_topics(&cluster) {
                return Vec::new();
            }
            let (name, namespace) = (cluster.name_any(), cluster.namespace());
            let of_cluster = move |topic: &Arc<Topic>| {
                topic.spec.cluster_ref.name == name && topic.namespace() == namespace
            };
            all.state()
                .into_iter()
                .filter(of_cluster)
                .map(|topic| ObjectRef::from_obj(topic.as_ref()))
                .collect::<Vec<_>>()
        })
        .graceful_shutdown_on(stop)
        .run(topic::reconcile, give_up::<Topic, TopicContext>, context);
    drain("Topic", results).boxed()
}

/// What Topics care about in each Cluster, as last seen: a Cluster's status changes with every new topic,
/// and its Topics must not all be woken by that. One entry per Cluster name.
#[derive(Default)]
struct News(Mutex<HashMap<(Option<String>, String), Seen>>);

/// What Topics care about.
#[derive(PartialEq)]
struct Seen {
    uid: Option<String>,
    paused: bool,
    available: bool,
}

impl News {
    /// Whether the Cluster is new, gone for another, paused or available otherwise than before.
    fn concerns_topics(&self, cluster: &Cluster) -> bool {
        let available = cluster
            .status
            .as_ref()
            .is_some_and(|status| conditions::is_true(&status.conditions, "Available"));
        let seen = Seen { uid: cluster.uid(), paused: cluster.spec.paused, available };
        let key = (cluster.namespace(), cluster.name_any());
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = last.get(&key) != Some(&seen);
        last.insert(key, seen);
        is_new || cluster.metadata.deletion_timestamp.is_some()
    }
}

/// `run_pass` turns every error into a requeue, so this is never asked; if it were, this is calm.
fn give_up<K, C>(_: Arc<K>, error: &PassError, _: Arc<C>) -> Action {
    tracing::warn!(%error, "a pass failed without being handled");
    Action::requeue(Duration::from_secs(60))
}

/// Run the controller. Errors of its watches are logged when their words change: an API server that is
/// away for an hour is one line, not thousands.
async fn drain<K, R, E, Q>(kind: &'static str, results: R)
where
    K: Debug,
    E: std::fmt::Display,
    Q: std::fmt::Display,
    R: Stream<Item = Result<(K, Action), kube::runtime::controller::Error<E, Q>>> + Send,
    E: std::error::Error + 'static,
    Q: std::error::Error + 'static,
{
    let mut last = String::new();
    let mut results = std::pin::pin!(results);
    while let Some(result) = results.next().await {
        match result {
            Ok(_) => last.clear(),
            // The object went away between the wake-up and the pass.
            Err(kube::runtime::controller::Error::ObjectNotFound(_)) => {}
            Err(error) => {
                let words = chain(&error);
                if words != last {
                    tracing::warn!(kind, "watching: {words}");
                    last = words;
                }
            }
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        words.push_str(": ");
        words.push_str(&inner.to_string());
        source = inner.source();
    }
    words
}
