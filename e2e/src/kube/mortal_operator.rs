//! The operator as a bare pod that exits right after its Nth write to the API server or the brokers.
//!
//! Same account, rights and settings as the installed one: its pod is a copy of the Deployment's template with the
//! image that has the feature `fault-injection`. Each watches one namespace, so that several work side by side. Used by `tests/kube_operator_crash.rs`.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::kube::Kubernetes;
use crate::kube::operator::NAMESPACE;

/// The exit code of an operator that reached its Nth write.
const EXIT_AFTER_WRITES: u64 = 86;

/// Makes operator pods for one namespace, one at a time.
pub struct MortalOperator<'k> {
    kube: &'k Kubernetes,
    template: &'k Value,
    watched: String,
    made: u32,
}

/// How an operator pod is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Starting,
    Running,
    /// It exited after its Nth write.
    ReachedItsWrite,
}

/// Scales the installed operator to nothing and returns the template of its pods.
pub fn take_over(kube: &Kubernetes) -> anyhow::Result<Value> {
    let deployments = kube.list(NAMESPACE, "deployments", "")?;
    let deployment = deployments.first().context("no operator is installed")?;
    let name = deployment["metadata"]["name"].as_str().context("a deployment has a name")?;
    kube.kubectl(&["scale", "deployment", name, "--replicas=0", "--namespace", NAMESPACE])?;
    // Two at once would do each other's work.
    kube.kubectl(&["delete", "pods", "--all", "--namespace", NAMESPACE, "--wait=true"])?;
    Ok(deployment["spec"]["template"].clone())
}

impl<'k> MortalOperator<'k> {
    pub fn new(kube: &'k Kubernetes, template: &'k Value, watched: &str) -> MortalOperator<'k> {
        MortalOperator { kube, template, watched: watched.to_owned(), made: 0 }
    }

    /// Starts an operator that exits after `writes` writes, or one that lives.
    pub fn start(&mut self, writes: Option<u64>) -> anyhow::Result<()> {
        self.stop()?;
        self.made += 1;
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": self.name(), "namespace": NAMESPACE, "labels": { "e2e": self.watched } },
            "spec": self.spec(writes)?,
        });
        self.kube.apply(&[pod])?;
        Ok(())
    }

    fn spec(&self, writes: Option<u64>) -> anyhow::Result<Value> {
        let mut spec = self.template["spec"].clone();
        spec["restartPolicy"] = json!("Never");
        // Not 0: then the pod would be gone from the API before its process is.
        spec["terminationGracePeriodSeconds"] = json!(1);
        let container = &mut spec["containers"][0];
        container["image"] = json!(std::env::var("LOGSPINE_E2E_FAULTY_OPERATOR_IMAGE")?);
        let arguments = container["args"].as_array_mut().context("the operator has arguments")?;
        arguments.retain(|argument| !argument.as_str().is_some_and(|text| text.starts_with("--lease-name=")));
        // Never two at once in a namespace: no lease is needed, which a dead one would leave to time out.
        arguments.push(json!("--no-leader-election"));
        arguments.push(json!(format!("--watch-namespaces={}", self.watched)));
        if let Some(writes) = writes {
            let environment = container["env"].as_array_mut().context("the operator has an environment")?;
            environment.push(json!({ "name": "LOGSPINE_EXIT_AFTER_WRITES", "value": writes.to_string() }));
        }
        Ok(spec)
    }

    /// Ends it and waits until its process is gone.
    pub fn stop(&self) -> anyhow::Result<()> {
        let selector = format!("e2e={}", self.watched);
        self.kube.kubectl(&[
            "delete",
            "pods",
            "--selector",
            &selector,
            "--namespace",
            NAMESPACE,
            "--wait=true",
        ])?;
        Ok(())
    }

    pub fn life(&self) -> anyhow::Result<Life> {
        let pod = self.kube.get(NAMESPACE, "pod", &self.name())?.context("the operator's pod is gone")?;
        let state = &pod["status"]["containerStatuses"][0]["state"];
        if let Some(code) = state["terminated"]["exitCode"].as_u64() {
            let log = self.kube.kubectl(&["logs", &self.name(), "--namespace", NAMESPACE, "--tail=20"])?;
            ensure!(code == EXIT_AFTER_WRITES, "the operator ended with exit code {code}:\n{log}");
            return Ok(Life::ReachedItsWrite);
        }
        Ok(if state["running"].is_object() { Life::Running } else { Life::Starting })
    }

    /// The name of the present pod; the audit log names writers by it.
    pub fn name(&self) -> String {
        format!("{}-{}", self.watched, self.made)
    }
}
