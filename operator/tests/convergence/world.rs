//! What lives around the operator: the StatefulSet's controller, the kubelet, the garbage collector, and
//! brokers whose data is on volumes.
//!
//! `tick` is one beat of all of them. Brokers are in-memory Kafka: topics belong to the volume, so a
//! recreated Cluster finds them again, and a broker whose configured cluster id differs from the one on
//! its volume refuses to start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use logspine_operator::brokers::{
    ActualCluster, ActualPartition, ActualTopic, AdminError, BrokerAdmin, BrokerProbe, BrokerReport,
    ConfigChange, ConfigValue, NewTopic,
};
use logspine_operator::kube::apply::hash;
use serde_json::{Value, json};

use crate::api::{Api, Key};

/// The address that every ready pod has.
pub const POD_IP: &str = "10.0.0.1";

/// Brokers and their volumes.
#[derive(Clone)]
pub struct World {
    pub api: Api,
    pub kafka: Arc<Mutex<Kafka>>,
}

/// What is on the volumes, by the claim's uid, and which of them a broker serves.
#[derive(Default)]
pub struct Kafka {
    volumes: BTreeMap<String, Volume>,
    serving: Option<Serving>,
    ids: u64,
    /// Topics ever created.
    pub created: usize,
    /// Pods ever started.
    pub started: usize,
}

#[derive(Clone, Default, Debug, PartialEq)]
pub struct Volume {
    pub cluster_id: String,
    pub topics: BTreeMap<String, ActualTopic>,
}

#[derive(Clone)]
struct Serving {
    volume: String,
    config_hash: String,
}

impl World {
    pub fn new(api: Api) -> Self {
        Self { api, kafka: Arc::default() }
    }

    /// The topics that brokers serve.
    pub fn topics(&self) -> BTreeMap<String, ActualTopic> {
        let kafka = self.kafka.lock().unwrap();
        kafka
            .serving
            .as_ref()
            .map(|serving| kafka.volumes[&serving.volume].topics.clone())
            .unwrap_or_default()
    }

    /// Delete a topic as a Kafka tool would.
    pub fn delete_topic_elsewhere(&self, name: &str) {
        self.on_volume(|volume| volume.topics.remove(name));
    }

    /// Set a topic's configuration as a Kafka tool would.
    pub fn set_elsewhere(&self, name: &str, key: &str, value: &str) {
        let entry = ConfigValue { value: value.into(), overridden: true };
        self.on_volume(|volume| volume.topics.get_mut(name).unwrap().config.insert(key.into(), entry));
    }

    fn on_volume<T>(&self, change: impl FnOnce(&mut Volume) -> T) -> T {
        let mut kafka = self.kafka.lock().unwrap();
        let serving = kafka.serving.clone().expect("a broker serves");
        change(kafka.volumes.get_mut(&serving.volume).unwrap())
    }

    /// One beat of everything around the operator.
    pub fn tick(&self) {
        self.collect_garbage();
        let mut state = self.api.0.lock().unwrap();
        let keys = |plural: &str, state: &crate::api::State| -> Vec<Key> {
            state.objects.keys().filter(|key| key.0 == plural).cloned().collect()
        };
        for set in keys("statefulsets", &state) {
            let generation = state.objects[&set]["metadata"]["generation"].clone();
            state.update(&set, |set| {
                set["status"] = json!({ "observedGeneration": generation, "replicas": 1 })
            });
            let set = state.objects[&set].clone();
            self.make_pod(&mut state, &set);
        }
        let pods = keys("pods", &state);
        if pods.is_empty() {
            self.kafka.lock().unwrap().serving = None;
        }
    }

    fn make_pod(&self, state: &mut crate::api::State, set: &Value) {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (namespace, name) =
            (text(&set["metadata"]["namespace"]), format!("{}-0", text(&set["metadata"]["name"])));
        let claim = ("persistentvolumeclaims".to_owned(), namespace.clone(), format!("data-{name}"));
        if !state.objects.contains_key(&claim) {
            let mut template = set["spec"]["volumeClaimTemplates"][0].clone();
            template["metadata"].as_object_mut().unwrap().remove("creationTimestamp");
            state.create(claim.clone(), template);
        }
        let pod = ("pods".to_owned(), namespace.clone(), name);
        if state.objects.contains_key(&pod) {
            return;
        }
        let config_map = text(&set["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"]);
        let file = text(
            &state.objects[&("configmaps".to_owned(), namespace, config_map)]["data"]["server.properties"],
        );
        let mut object = set["spec"]["template"].clone();
        object["metadata"]["ownerReferences"] = json!([{ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": set["metadata"]["name"], "uid": set["metadata"]["uid"] }]);
        object["status"] = json!({ "phase": "Running", "podIP": POD_IP,
            "conditions": [{ "type": "Ready", "status": "True" }],
            "containerStatuses": [{ "name": "broker", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "started": true, "state": { "running": {} } }] });
        state.create(pod, object);
        self.start_broker(text(&state.objects[&claim]["metadata"]["uid"]), &file);
    }

    fn start_broker(&self, volume: String, file: &str) {
        let cluster_id =
            file.lines().find_map(|line| line.strip_prefix("cluster.id=")).expect("the file has an id");
        let mut kafka = self.kafka.lock().unwrap();
        kafka.started += 1;
        let on_disk = kafka.volumes.entry(volume.clone()).or_default();
        if on_disk.cluster_id.is_empty() {
            on_disk.cluster_id = cluster_id.into();
        }
        assert_eq!(on_disk.cluster_id, cluster_id, "a broker was given another cluster's volume");
        kafka.serving = Some(Serving { volume, config_hash: hash(file.as_bytes()) });
    }

    /// Objects go when the object that owns them is gone.
    fn collect_garbage(&self) {
        let mut state = self.api.0.lock().unwrap();
        let uids: BTreeSet<String> = state
            .objects
            .values()
            .map(|object| object["metadata"]["uid"].as_str().unwrap().to_owned())
            .collect();
        let orphaned = |object: &Value| {
            let owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
            !owners.is_empty() && owners.iter().all(|owner| !uids.contains(owner["uid"].as_str().unwrap()))
        };
        let orphans: Vec<Key> =
            state.objects.iter().filter(|(_, object)| orphaned(object)).map(|(key, _)| key.clone()).collect();
        orphans.iter().for_each(|key| state.remove(key));
    }

    /// A call that changes a topic: counted like any other write.
    fn write(
        &self,
        what: String,
        change: impl FnOnce(&mut Kafka, &str) -> Result<(), AdminError>,
    ) -> Result<(), AdminError> {
        let mut state = self.api.0.lock().unwrap();
        let mut kafka = self.kafka.lock().unwrap();
        let volume = match (&kafka.serving, state.dead) {
            (Some(serving), false) => serving.volume.clone(),
            _ => return Err(silent()),
        };
        change(&mut kafka, &volume)?;
        state.wrote(what);
        Ok(())
    }

    fn read<T>(&self, read: impl FnOnce(&Volume) -> T) -> Result<T, AdminError> {
        let dead = self.api.0.lock().unwrap().dead;
        let kafka = self.kafka.lock().unwrap();
        match (&kafka.serving, dead) {
            (Some(serving), false) => Ok(read(&kafka.volumes[&serving.volume])),
            _ => Err(silent()),
        }
    }
}

fn silent() -> AdminError {
    AdminError::Unreachable { message: "nobody is there".into(), silent_for: Duration::ZERO }
}

fn refused(code: &str) -> AdminError {
    AdminError::Refused { code: code.into(), message: code.into() }
}

fn partition() -> ActualPartition {
    ActualPartition { leader: Some(0), replicas: 1, in_sync: 1 }
}

impl BrokerProbe for World {
    fn report<'a>(&'a self, pod_ip: &'a str) -> BoxFuture<'a, Option<BrokerReport>> {
        assert_eq!(pod_ip, POD_IP);
        let kafka = self.kafka.lock().unwrap();
        let report = kafka.serving.as_ref().map(|serving| BrokerReport {
            state: "running".into(),
            ready: true,
            version: "0.1.0".into(),
            config_hash: serving.config_hash.clone(),
            disk_total_bytes: 100,
            ..BrokerReport::default()
        });
        Box::pin(async move { report })
    }
}

impl BrokerAdmin for World {
    fn cluster(&self) -> BoxFuture<'_, Result<ActualCluster, AdminError>> {
        let answer = self.read(|volume| ActualCluster {
            cluster_id: volume.cluster_id.clone(),
            controller_id: Some(0),
            brokers: vec![0],
        });
        Box::pin(async move { answer })
    }

    fn describe_topic<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<ActualTopic>, AdminError>> {
        let answer = self.read(|volume| volume.topics.get(name).cloned());
        Box::pin(async move { answer })
    }

    fn create_topic<'a>(&'a self, topic: &'a NewTopic) -> BoxFuture<'a, Result<(), AdminError>> {
        let result = self.write(format!("createTopic {}", topic.name), |kafka, volume| {
            kafka.ids += 1;
            kafka.created += 1;
            let id = format!("topic-{}", kafka.ids);
            let topics = &mut kafka.volumes.get_mut(volume).unwrap().topics;
            if topics.contains_key(&topic.name) {
                return Err(refused("TOPIC_ALREADY_EXISTS"));
            }
            let entry = |(key, value): (&String, &String)| {
                (key.clone(), ConfigValue { value: value.clone(), overridden: true })
            };
            let partitions = vec![partition(); usize::try_from(topic.partitions).unwrap()];
            topics.insert(
                topic.name.clone(),
                ActualTopic { id, partitions, config: topic.config.iter().map(entry).collect() },
            );
            Ok(())
        });
        Box::pin(async move { result })
    }

    fn add_partitions<'a>(&'a self, name: &'a str, total: i32) -> BoxFuture<'a, Result<(), AdminError>> {
        let result = self.write(format!("addPartitions {name}"), |kafka, volume| {
            let topic = kafka.volumes.get_mut(volume).unwrap().topics.get_mut(name).unwrap();
            let total = usize::try_from(total).unwrap();
            assert!(total > topic.partitions.len(), "partitions only grow");
            topic.partitions.resize(total, partition());
            Ok(())
        });
        Box::pin(async move { result })
    }

    fn alter_config<'a>(
        &'a self,
        name: &'a str,
        change: &'a ConfigChange,
    ) -> BoxFuture<'a, Result<(), AdminError>> {
        let result = self.write(format!("alterConfig {name}"), |kafka, volume| {
            let topic = kafka.volumes.get_mut(volume).unwrap().topics.get_mut(name).unwrap();
            for (key, value) in &change.set {
                topic.config.insert(key.clone(), ConfigValue { value: value.clone(), overridden: true });
            }
            change.reset.iter().for_each(|key| drop(topic.config.remove(key)));
            Ok(())
        });
        Box::pin(async move { result })
    }

    fn delete_topic<'a>(&'a self, topic_id: &'a str) -> BoxFuture<'a, Result<(), AdminError>> {
        let result = self.write(format!("deleteTopic {topic_id}"), |kafka, volume| {
            let topics = &mut kafka.volumes.get_mut(volume).unwrap().topics;
            let Some(name) =
                topics.iter().find(|(_, topic)| topic.id == topic_id).map(|(name, _)| name.clone())
            else {
                return Err(refused("UNKNOWN_TOPIC_ID"));
            };
            topics.remove(&name);
            Ok(())
        });
        Box::pin(async move { result })
    }
}
