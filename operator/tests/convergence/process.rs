//! The operator's process as the tests run it: real reconcile functions, a fresh memory after each death.
//!
//! `converge` lets world and operator take turns until a whole round writes nothing. A dead process is
//! replaced by a new one, as Kubernetes would. With `lag` the watch caches show each round what the
//! previous one left, so that every pass works on a stale view.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::Event;
use logspine_operator::brokers::BrokerAdmin;
use logspine_operator::brokers::connections::Connections;
use logspine_operator::controllers::topic::TopicContext;
use logspine_operator::controllers::topic::gather::Caches;
use logspine_operator::controllers::{Context, cluster, topic};
use logspine_operator::crd::{Cluster, Topic};
use logspine_operator::metrics::Metrics;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::Api;
use crate::world::World;

/// Time between two rounds, on a clock that the test holds.
const BEAT: std::time::Duration = std::time::Duration::from_secs(30);
/// Rounds after which a test that has not converged fails.
const ROUNDS_MAX: usize = 400;

pub struct Process {
    world: World,
    context: Arc<Context>,
    seen: (Vec<Value>, Vec<Value>),
    pub lag: bool,
    /// Processes started so far.
    pub lives: usize,
    /// Every process dies after its first write.
    one_write_each: bool,
}

impl Process {
    pub fn start(world: &World) -> Self {
        Self {
            context: context(world),
            world: world.clone(),
            seen: Default::default(),
            lag: false,
            lives: 1,
            one_write_each: false,
        }
    }

    /// From now on every process dies after its first write.
    pub fn die_after_each_write(&mut self) {
        self.one_write_each = true;
        let mut state = self.world.api.0.lock().unwrap();
        state.crash_after = Some(state.writes + 1);
    }

    /// Let everything take turns until nothing is written any more.
    pub async fn converge(&mut self) {
        let mut quiet = 0;
        for _ in 0..ROUNDS_MAX {
            let before = self.world.api.0.lock().unwrap().writes;
            self.round().await;
            let mut state = self.world.api.0.lock().unwrap();
            if state.dead {
                state.dead = false;
                state.crash_after = self.one_write_each.then_some(state.writes + 1);
                drop(state);
                self.context = context(&self.world);
                self.lives += 1;
                quiet = 0;
                continue;
            }
            quiet = if state.writes == before { quiet + 1 } else { 0 };
            if quiet == 3 {
                return;
            }
        }
        let journal = self.world.api.0.lock().unwrap().journal.clone();
        panic!(
            "not converged after {ROUNDS_MAX} rounds; last writes: {:?}",
            &journal[journal.len().saturating_sub(20)..]
        );
    }

    async fn round(&mut self) {
        tokio::time::advance(BEAT).await;
        self.world.tick();
        let now = (list(&self.world.api, "clusters"), list(&self.world.api, "topics"));
        let shown = if self.lag { std::mem::replace(&mut self.seen, now) } else { now };
        let (clusters, topics): (Vec<Arc<Cluster>>, Vec<Arc<Topic>>) = (typed(&shown.0), typed(&shown.1));
        let caches = Caches { clusters: store(&clusters), topics: store(&topics) };
        let context = Arc::new(TopicContext { common: self.context.clone(), caches });
        for cluster in clusters {
            let _ = cluster::reconcile(cluster, self.context.clone()).await;
        }
        // Topics run at the same time; passes of a dead process end at their next call.
        for topic in topics {
            let _ = topic::reconcile(topic, context.clone()).await;
        }
    }
}

fn context(world: &World) -> Arc<Context> {
    let metrics = Metrics::new();
    let brokers: Arc<dyn BrokerAdmin> = Arc::new(world.clone());
    let connections = Connections::new(Arc::new(move |_| brokers.clone()), metrics.clone());
    let mut context = Context::new(world.api.client(), "test", connections, Arc::new(world.clone()), metrics);
    context.now = || Timestamp::UNIX_EPOCH;
    Arc::new(context)
}

fn list(api: &Api, plural: &str) -> Vec<Value> {
    let state = api.0.lock().unwrap();
    state.objects.iter().filter(|(key, _)| key.0 == plural).map(|(_, object)| object.clone()).collect()
}

fn typed<K: DeserializeOwned>(objects: &[Value]) -> Vec<Arc<K>> {
    objects.iter().map(|object| Arc::new(serde_json::from_value(object.clone()).unwrap())).collect()
}

fn store<K>(objects: &[Arc<K>]) -> Store<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + 'static,
{
    let (store, mut writer) = reflector::store();
    writer.apply_watcher_event(&Event::Init);
    for object in objects {
        writer.apply_watcher_event(&Event::InitApply(object.as_ref().clone()));
    }
    writer.apply_watcher_event(&Event::InitDone);
    store
}
