//! The operator as a bare pod that exits right after its Nth write to the API server or the brokers.
//!
//! Same account, rights and settings as the installed one: its pod is a copy of the Deployment's template with the
//! image that has the feature `fault-injection`. Used by `tests/kube_operator_crash.rs`.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::kube::Kubernetes;
use crate::kube::operator::NAMESPACE;

/// The exit code of an operator that reached its Nth write.
const EXIT_AFTER_WRITES: u64 = 86;

/// Makes operator pods from the installed Deployment, one at a time.
pub struct MortalOperator<'k> {
    kube: &'k Kubernetes,
    template: Value,
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

impl<'k> MortalOperator<'k> {
    /// Takes over from the installed Deployment, which is scaled to nothing.
    pub fn take_over(kube: &'k Kubernetes) -> anyhow::Result<MortalOperator<'k>> {
        let deployments = kube.list(NAMESPACE, "deployments", "")?;
        let deployment = deployments.first().context("no operator is installed")?;
        let name = deployment["metadata"]["name"].as_str().context("a deployment has a name")?;
        kube.kubectl(&["scale", "deployment", name, "--replicas=0", "--namespace", NAMESPACE])?;
        Ok(MortalOperator { kube, template: deployment["spec"]["template"].clone(), made: 0 })
    }

    /// Starts an operator that exits after `writes` writes, or one that lives.
    pub fn start(&mut self, writes: Option<u64>) -> anyhow::Result<()> {
        self.stop()?;
        // A killed operator leaves its Lease to time out, which is another test's promise.
        self.kube.kubectl(&["delete", "leases", "--all", "--namespace", NAMESPACE])?;
        self.made += 1;
        let mut spec = self.template["spec"].clone();
        spec["restartPolicy"] = json!("Never");
        spec["terminationGracePeriodSeconds"] = json!(0);
        let container = &mut spec["containers"][0];
        container["image"] = json!(std::env::var("LOGSPINE_E2E_FAULTY_OPERATOR_IMAGE")?);
        if let Some(writes) = writes {
            let variable = json!({ "name": "LOGSPINE_EXIT_AFTER_WRITES", "value": writes.to_string() });
            match container["env"].as_array_mut() {
                Some(environment) => environment.push(variable),
                None => container["env"] = json!([variable]),
            }
        }
        let labels = json!({ "e2e": "mortal-operator" });
        self.kube.apply(&[json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": self.name(), "namespace": NAMESPACE, "labels": labels },
            "spec": spec,
        })])?;
        Ok(())
    }

    pub fn stop(&self) -> anyhow::Result<()> {
        let selector = ["--selector", "e2e=mortal-operator", "--namespace", NAMESPACE];
        self.kube.kubectl(
            &[&["delete", "pods", "--grace-period=0", "--force", "--wait=true"], &selector[..]].concat(),
        )?;
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

    fn name(&self) -> String {
        format!("mortal-operator-{}", self.made)
    }
}
