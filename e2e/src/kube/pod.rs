//! Pods: a stock Kafka client inside the cluster, and the broker's process behind its pod.
//!
//! Used by `tests/kube_*.rs`. The client is kcat on librdkafka, from Debian's packages; the node runs on this
//! machine's kernel, so the broker's process can be found and killed like any other, by its id.

use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::kube::Kubernetes;

/// The name of the client's pod in its namespace.
pub const CLIENT: &str = "client";

/// A pod that waits for commands.
pub fn client(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": CLIENT, "namespace": namespace },
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65534, "seccompProfile": { "type": "RuntimeDefault" },
            },
            "containers": [{
                "name": CLIENT,
                "image": "localhost/kafka-client:1",
                "command": ["sleep", "86400"],
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            }],
        },
    })
}

impl Kubernetes {
    /// Runs a shell line in the client's pod and returns what it wrote.
    pub fn in_client(&self, namespace: &str, line: &str) -> anyhow::Result<String> {
        self.kubectl(&["exec", "--namespace", namespace, CLIENT, "--", "sh", "-c", line])
    }

    /// Whether all containers of the pod are ready.
    pub fn pod_is_ready(&self, namespace: &str, name: &str) -> anyhow::Result<bool> {
        let pod = self.get(namespace, "pod", name)?;
        let conditions =
            pod.and_then(|pod| pod["status"]["conditions"].as_array().cloned()).unwrap_or_default();
        Ok(conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True"))
    }

    /// The process of the pod's only container, by its id on this machine.
    pub fn process_of_pod(&self, namespace: &str, name: &str) -> anyhow::Result<u32> {
        let pod = self.get(namespace, "pod", name)?.with_context(|| format!("there is no pod {name}"))?;
        let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().unwrap_or_default();
        let Some((_, id)) = id.split_once("://") else { bail!("pod {name} has no running container") };
        let processes = std::fs::read_dir("/proc")?.flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let is_in_container = |process: &u32| {
            std::fs::read_to_string(format!("/proc/{process}/cgroup")).is_ok_and(|text| text.contains(id))
        };
        // The oldest process of the container is the one that its image starts.
        ids.filter(is_in_container).min().with_context(|| format!("no process runs in pod {name}"))
    }

    /// Memory that the process of a pod holds in RAM, as the kernel counts it.
    pub fn resident_bytes_of_pod(&self, namespace: &str, name: &str) -> anyhow::Result<u64> {
        let process = self.process_of_pod(namespace, name)?;
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in status")?;
        let kibibytes: u64 = line.split_whitespace().next().unwrap_or_default().parse()?;
        Ok(kibibytes * 1024)
    }

    /// Kills the broker's process as the kernel would: without a word.
    pub fn kill_process_of_pod(&self, namespace: &str, name: &str) -> anyhow::Result<()> {
        let process = self.process_of_pod(namespace, name)?;
        let status = Command::new("kill").args(["-KILL", &process.to_string()]).status()?;
        ensure!(status.success(), "cannot kill process {process} of pod {name}");
        Ok(())
    }

    /// The unique id of an object: another one under the same name has another.
    pub fn uid(&self, namespace: &str, kind: &str, name: &str) -> anyhow::Result<String> {
        let object =
            self.get(namespace, kind, name)?.with_context(|| format!("there is no {kind} {name}"))?;
        Ok(object["metadata"]["uid"].as_str().unwrap_or_default().to_owned())
    }

    /// How often the pod's container was started again.
    pub fn restarts(&self, namespace: &str, name: &str) -> anyhow::Result<u64> {
        let pod = self.get(namespace, "pod", name)?.with_context(|| format!("there is no pod {name}"))?;
        Ok(pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or(0))
    }
}
