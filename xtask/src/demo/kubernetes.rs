//! The story in Kubernetes: Helm, a Cluster, a Topic, a client in a pod.
//!
//! Invariants: all of the demo's objects live in two namespaces of their own; an existing cluster gets back what it
//! gave (but for the resource definitions, which Helm keeps). Called by the demo.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::cache::{Cache, checkout};
use crate::debian;
use crate::demo::place::{Background, Place};
use crate::demo::prometheus::{free_port, get};
use crate::demo::transcript::Transcript;
use crate::demo::{Args, existing, story};
use crate::image::{self, Product};
use crate::interrupt;
use crate::kube::{Kube, kubectl_and_helm};
use crate::process::{Program, signal};

const SYSTEM: &str = "logspine-system";
const DEMO: &str = "logspine-demo";
const NAME: &str = "main";
const NODE_PORT: u16 = 30092;

/// The cluster that the demo uses.
pub struct Cluster {
    kubeconfig: PathBuf,
    /// Where kubectl and helm are: versions that are known, not those that the person happens to have.
    bin: PathBuf,
    /// Ours, or nothing if it is the person's.
    own: Option<Kube>,
}

impl Cluster {
    pub fn own(cache: &Cache) -> anyhow::Result<Cluster> {
        let kube = Kube::build(cache)?;
        Ok(Cluster { kubeconfig: kube.kubeconfig(), bin: kube.bin(), own: Some(kube) })
    }

    pub fn existing(cache: &Cache, file: &Path) -> anyhow::Result<Cluster> {
        let kubeconfig = file.canonicalize().with_context(|| format!("no such file: {}", file.display()))?;
        Ok(Cluster { kubeconfig, bin: kubectl_and_helm(cache)?, own: None })
    }

    /// Removes what a demo left.
    pub fn remove(&self) -> anyhow::Result<()> {
        if let Some(kube) = &self.own {
            return kube.down();
        }
        self.kubectl(&["delete", "namespace", DEMO, "--ignore-not-found"])?;
        self.helm(&["uninstall", "logspine", "--namespace", SYSTEM, "--ignore-not-found", "--wait"])?;
        self.kubectl(&["delete", "namespace", SYSTEM, "--ignore-not-found"])?;
        Ok(())
    }

    fn program(&self, name: &str) -> Program {
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", self.bin.display());
        // `env` finds the program on the path that it is given.
        Program::new("env").arg(format!("PATH={path}")).arg(name).env("KUBECONFIG", &self.kubeconfig)
    }

    fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.program("kubectl").args(arguments).run(None)
    }

    fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.program("helm").args(arguments).run(None)
    }

    fn apply(&self, objects: &[Value], file: &Path) -> anyhow::Result<String> {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        std::fs::write(file, serde_json::to_vec_pretty(&list)?)?;
        self.kubectl(&["apply", "--server-side", "-f", &file.display().to_string()])
    }

    fn await_ready(&self, object: &str) -> anyhow::Result<String> {
        self.kubectl(&["wait", "-n", DEMO, "--for=condition=Ready", object, "--timeout=120s"])
    }

    fn get(&self, kind: &str, name: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.kubectl(&["get", kind, name, "-n", DEMO, "-o", "json"])?)?)
    }
}

pub fn run(cache: &Cache, cluster: &Cluster, args: &Args) -> anyhow::Result<()> {
    let archives = [Product::Broker.write(cache)?.path, Product::Operator.write(cache)?.path];
    let mut transcript = Transcript::begin();
    if args.keep {
        tell(cache, cluster, args, &archives, &mut transcript)?;
        transcript.end("The end. Everything is left running");
        println!("Look around:  eval \"$(cargo xtask kube env)\"; kubectl -n {DEMO} get all");
        println!("Remove it:    cargo xtask demo --down");
    } else {
        let told = || tell(cache, cluster, args, &archives, &mut transcript);
        interrupt::cleaning_up(told, || cluster.remove())?;
        transcript.end("The end. Everything is removed again; --keep would leave it running");
    }
    args.check.as_ref().map_or(Ok(()), |document| transcript.compare(document))
}

/// From an empty machine, or an existing cluster, to the end of the story.
fn tell(
    cache: &Cache,
    cluster: &Cluster,
    args: &Args,
    archives: &[PathBuf],
    transcript: &mut Transcript,
) -> anyhow::Result<()> {
    transcript.chapter("Kubernetes");
    match &cluster.own {
        Some(kube) => {
            kube.up(1)?;
            kube.import(archives)?;
        }
        None if args.images_loaded => {}
        None => {
            debian::ensure(&["busybox-static", "kcat"], "The image of the demo's client")?;
            let context = cluster.kubectl(&["config", "current-context"])?;
            existing::load(context.trim(), &[archives, &[image::client(cache)?.path]].concat())?;
        }
    }
    transcript.command("kubectl get nodes");
    transcript.output(&cluster.kubectl(&["get", "nodes"])?);
    install(cluster, transcript)?;
    let place = create(cache, cluster, transcript)?;
    story::tell(&place, cache, transcript)?;
    transcript.chapter("What the resources say");
    // The operator saw the broker die, and looks again within seconds.
    cluster.await_ready(&format!("cluster.logspine.dev/{NAME}"))?;
    transcript.command("kubectl get clusters,topics,pods,pvc");
    transcript.output(&cluster.kubectl(&["get", "clusters,topics,pods,pvc", "-n", DEMO])?);
    Ok(())
}

fn install(cluster: &Cluster, transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.chapter("The operator, by Helm");
    let line = format!(
        "helm upgrade --install logspine charts/logspine --namespace {SYSTEM} --create-namespace --wait"
    );
    transcript.command(&line);
    let name = Product::Operator.image_name();
    let (path, tag) = name.rsplit_once(':').context("an image name has a tag")?;
    let registry = path.rsplit_once('/').map_or("", |(registry, _)| registry);
    let chart = checkout().join("charts/logspine").display().to_string();
    let mut arguments = vec!["upgrade", "--install", "logspine", &chart, "--namespace", SYSTEM];
    let (registry, tag) = (format!("image.registry={registry}"), format!("image.tag={tag}"));
    arguments.extend([
        "--create-namespace",
        "--wait",
        "--timeout",
        "120s",
        "--set",
        &registry,
        "--set",
        &tag,
    ]);
    cluster.helm(&arguments)?;
    transcript.output(&cluster.kubectl(&["get", "deployments,pods", "-n", SYSTEM])?);
    Ok(())
}

/// Applies Cluster, Topic and client, and waits for them.
fn create<'a>(cache: &Cache, cluster: &'a Cluster, transcript: &mut Transcript) -> anyhow::Result<Demo<'a>> {
    transcript.chapter("A Cluster and a Topic");
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": DEMO } });
    let objects = [namespace, cluster_object(), topic_object(), client_object()];
    let file = cache.path("demo/objects.json")?;
    transcript.command("kubectl apply -f cluster.yaml -f topic.yaml");
    let started = Instant::now();
    transcript.output(&cluster.apply(&objects, &file)?);
    for object in [&*format!("cluster.logspine.dev/{NAME}"), "topic.logspine.dev/orders", "pod/client"] {
        cluster.await_ready(object)?;
    }
    transcript.fact(&format!("Cluster and Topic are ready after {:.1} s", started.elapsed().as_secs_f64()));
    transcript.command("kubectl get clusters,topics");
    transcript.output(&cluster.kubectl(&["get", "clusters,topics", "-n", DEMO])?);
    let status = cluster.get("cluster.logspine.dev", NAME)?;
    let listeners = status["status"]["listeners"].as_array().cloned().unwrap_or_default();
    let internal = listeners.iter().find(|listener| listener["name"] == "internal");
    let bootstrap =
        internal.and_then(|listener| listener["bootstrap"].as_str()).context("no bootstrap in status")?;
    let pod = status["status"]["brokers"][0]["pod"].as_str().context("no broker in status")?.to_owned();
    Ok(Demo { cluster, bootstrap: bootstrap.to_owned(), pod })
}

fn cluster_object() -> Value {
    json!({
        "apiVersion": "logspine.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": { "name": NAME, "namespace": DEMO },
        "spec": {
            "image": Product::Broker.image_name(),
            "pools": [{ "name": "brokers", "replicas": 1, "storage": { "size": "5Gi" } }],
            "listeners": [
                { "name": "internal", "type": "internal", "port": 9092 },
                { "name": "external", "type": "nodePort", "port": 9094, "nodePort": NODE_PORT },
            ],
        },
    })
}

fn topic_object() -> Value {
    json!({
        "apiVersion": "logspine.dev/v1alpha1",
        "kind": "Topic",
        "metadata": { "name": "orders", "namespace": DEMO },
        "spec": { "clusterRef": { "name": NAME }, "partitions": 3, "config": { "retention.ms": "604800000" } },
    })
}

fn client_object() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "client", "namespace": DEMO },
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "client", "image": "localhost/kafka-client:1", "command": ["sleep", "86400"],
            }],
        },
    })
}

/// A Cluster in Kubernetes, its broker's pod and its client's.
struct Demo<'a> {
    cluster: &'a Cluster,
    bootstrap: String,
    pod: String,
}

impl Demo<'_> {
    fn container_id(&self) -> anyhow::Result<String> {
        let pod = self.cluster.get("pod", &self.pod)?;
        let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().unwrap_or_default();
        Ok(id.rsplit('/').next().unwrap_or_default().to_owned())
    }

    /// The oldest process of the broker's container: our nodes run on this machine's own kernel.
    fn process(&self) -> anyhow::Result<u32> {
        let id = self.container_id()?;
        let processes = std::fs::read_dir("/proc")?.flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let group =
            |process: &u32| std::fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
        ids.filter(|process| group(process).contains(&id))
            .min()
            .context("the broker's container has no process")
    }
}

impl Place for Demo<'_> {
    fn shell(&self, line: &str) -> anyhow::Result<String> {
        let line = format!("BROKERS={}; {line}", self.bootstrap);
        self.cluster.kubectl(&["exec", "-n", DEMO, "client", "--", "sh", "-c", &line])
    }

    fn address_for_tools(&self) -> Option<String> {
        self.cluster.own.as_ref().map(|kube| format!("{}:{NODE_PORT}", kube.node_address()))
    }

    fn kill_broker(&self) -> anyhow::Result<String> {
        if self.cluster.own.is_none() {
            // Somebody else's nodes are out of reach: the nearest thing is to have the kubelet kill it at once.
            let arguments = ["delete", "pod", &self.pod, "-n", DEMO, "--grace-period=0", "--force"];
            self.cluster.kubectl(&arguments)?;
            return Ok(format!("kubectl {}", arguments.join(" ")));
        }
        let process = self.process()?;
        signal(process, "KILL");
        Ok(format!("kill -KILL {process}   # the broker's process in pod {}", self.pod))
    }

    fn await_broker(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        let line = "kcat -L -b $BROKERS -m 2 >/dev/null";
        while self.shell(line).is_err() {
            interrupt::check()?;
            if started.elapsed() > Duration::from_secs(90) {
                bail!("the broker does not serve again within 90 s");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    fn metrics(&self) -> anyhow::Result<(String, Option<Background>)> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let port = address.rsplit(':').next().unwrap_or_default().to_owned();
        let forward = self
            .cluster
            .program("kubectl")
            .args(["port-forward", "-n", DEMO, &format!("pod/{}", self.pod), &format!("{port}:9644")])
            .start()?;
        let forward = Background(forward);
        let started = Instant::now();
        while get(&address, "/readyz").is_err() {
            interrupt::check()?;
            if started.elapsed() > Duration::from_secs(30) {
                bail!("the broker's admin port is not reachable through kubectl port-forward");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok((address, Some(forward)))
    }
}
