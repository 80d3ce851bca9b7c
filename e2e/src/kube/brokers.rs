//! A Cluster of the tests with everything a test asks of it: where it is reached, its pod, its volume.
//!
//! Used by `tests/kube_*.rs`. Everything is read from the custom resource's status, as a user would.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

use crate::kube::{Kubernetes, Story, manifest, pod};

/// Kinds, as kubectl wants them: `topic` alone could be somebody else's.
pub const CLUSTER: &str = "cluster.logspine.dev";
pub const TOPIC: &str = "topic.logspine.dev";

/// How long a client may fail to connect to a Cluster that is Ready.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);

/// One Cluster in a namespace.
pub struct Brokers {
    pub kube: Kubernetes,
    pub namespace: String,
    pub name: String,
    node_port: u16,
}

impl Brokers {
    /// Applies a Cluster and a client pod in a fresh namespace and waits until both are ready.
    pub fn create(
        kube: &Kubernetes,
        story: &mut Story,
        namespace: &str,
        node_port: u16,
    ) -> anyhow::Result<Brokers> {
        story.step("an empty namespace under the restricted pod security standard", 100, || {
            kube.fresh_namespace(namespace)
        })?;
        let brokers = Brokers::of(kube, namespace, node_port);
        story.step("apply a Cluster and a pod with a stock client", 10, || {
            kube.apply(&[brokers.manifest(), pod::client(namespace)])
        })?;
        brokers.await_ready(story, 60)?;
        story.until("the client's pod is ready", 30, || kube.pod_is_ready(namespace, pod::CLIENT))?;
        Ok(brokers)
    }

    /// The Cluster `main` of a namespace, there or not.
    pub fn of(kube: &Kubernetes, namespace: &str, node_port: u16) -> Brokers {
        Brokers { kube: kube.clone(), namespace: namespace.into(), name: "main".into(), node_port }
    }

    /// The Cluster as it is applied.
    pub fn manifest(&self) -> Value {
        manifest::cluster(&self.namespace, &self.name, self.node_port)
    }

    pub fn await_ready(&self, story: &mut Story, bound_s: u64) -> anyhow::Result<()> {
        story.until("the Cluster is Ready", bound_s, || {
            self.kube.is_ready(&self.namespace, CLUSTER, &self.name)
        })
    }

    /// Applies a Topic and waits until it is ready.
    pub fn create_topic(&self, story: &mut Story, name: &str, partitions: u32) -> anyhow::Result<()> {
        let topic = manifest::topic(&self.namespace, &self.name, name, partitions);
        story.step(&format!("apply a Topic of {partitions} partitions"), 10, || self.kube.apply(&[topic]))?;
        story.until("the Topic is Ready", 30, || self.kube.is_ready(&self.namespace, TOPIC, name))
    }

    /// The Cluster's status.
    pub fn status(&self) -> anyhow::Result<Value> {
        let object =
            self.kube.get(&self.namespace, CLUSTER, &self.name)?.context("the Cluster does not exist")?;
        Ok(object["status"].clone())
    }

    /// The bootstrap address for pods, from the status.
    pub fn inside(&self) -> anyhow::Result<String> {
        let status = self.status()?;
        let listeners = status["listeners"].as_array().context("the status names no listeners")?;
        let internal = listeners.iter().find(|listener| listener["name"] == "internal");
        let bootstrap = internal.and_then(|listener| listener["bootstrap"].as_str());
        Ok(bootstrap.context("the status names no bootstrap address for pods")?.to_owned())
    }

    /// The bootstrap address for clients outside of Kubernetes.
    pub fn outside(&self) -> String {
        format!("{}:{}", self.kube.node_address, self.node_port)
    }

    /// The broker's pod and its claim, from the status.
    pub fn pod_and_claim(&self) -> anyhow::Result<(String, String)> {
        let status = self.status()?;
        let field = |name: &str| {
            let text = status["brokers"][0][name].as_str();
            Ok::<_, anyhow::Error>(text.with_context(|| format!("the status names no {name}"))?.to_owned())
        };
        Ok((field("pod")?, field("pvc")?))
    }

    /// The volume behind the broker's claim, by name: another volume has another.
    pub fn volume(&self) -> anyhow::Result<String> {
        let (_, claim) = self.pod_and_claim()?;
        let claim =
            self.kube.get(&self.namespace, "persistentvolumeclaim", &claim)?.context("the claim is gone")?;
        Ok(claim["spec"]["volumeName"].as_str().context("the claim has no volume")?.to_owned())
    }

    /// Writes the numbers `from..=to` into a topic with kcat in the client's pod, acks=all.
    pub fn produce_numbers(&self, topic: &str, from: u64, to: u64) -> anyhow::Result<()> {
        let bootstrap = self.inside()?;
        let line =
            format!("seq {from} {to} | kcat -P -b {bootstrap} -t {topic} -X acks=all -X partitioner=random");
        self.kube.in_client(&self.namespace, &line).map(|_| ())
    }

    /// Reads a topic from its beginning to its end in the client's pod: how many numbers, and their sum.
    ///
    /// A client that cannot connect tries again for a while: an address that Kubernetes has just changed reaches
    /// every node's rules a moment later. What was read is never read again.
    pub fn count_and_sum(&self, topic: &str) -> anyhow::Result<(u64, u64)> {
        let add = "awk '{ n++; s += $1 } END { printf \"%.0f %.0f\", n, s }'";
        let bootstrap = self.inside()?;
        let line = format!("set -o pipefail; kcat -C -b {bootstrap} -t {topic} -o beginning -e -q | {add}");
        let started = Instant::now();
        loop {
            match self.kube.in_client(&self.namespace, &line) {
                Ok(output) => {
                    let pair = output.trim().split_once(' ');
                    let (count, sum) = pair.with_context(|| format!("awk printed {output:?}"))?;
                    return Ok((count.parse()?, sum.parse()?));
                }
                Err(error) if started.elapsed() > CONNECT_WITHIN => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(500)),
            }
        }
    }
}

/// What `count_and_sum` gives for the numbers `1..=n`.
pub fn all_up_to(n: u64) -> (u64, u64) {
    (n, n * (n + 1) / 2)
}
