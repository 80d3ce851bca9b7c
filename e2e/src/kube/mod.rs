//! A real Kubernetes as the tests on it see it: kubectl, helm, and the machine that its one node runs on.
//!
//! Invariants: only the cluster that `LOGSPINE_E2E_KUBECONFIG` names is ever touched, never the one that the
//! person's own kubectl would talk to; without it a test is skipped by name. `cargo xtask e2e` starts the cluster,
//! loads the images and sets the variables. Used by `tests/kube_*.rs`.

pub mod audit;
pub mod brokers;
pub mod dashboards;
pub mod manifest;
pub mod mortal_operator;
pub mod operator;
pub mod pod;
pub mod prometheus;
pub mod story;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

pub use brokers::Brokers;
pub use story::Story;

/// The cluster under test.
#[derive(Clone, Debug)]
pub struct Kubernetes {
    kubeconfig: PathBuf,
    /// An address of the node, where node ports are reached.
    pub node_address: String,
    audit_log: PathBuf,
}

impl Kubernetes {
    /// The running cluster, or nothing after saying `SKIPPED <test>: ...`; panics with it under `CI=true`.
    pub fn for_test(test: &str) -> Option<Kubernetes> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let Some(kubeconfig) = variable("LOGSPINE_E2E_KUBECONFIG") else {
            let words =
                format!("SKIPPED {test}: no cluster is running for tests (cargo xtask e2e starts one)");
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{words}");
            println!("{words}");
            return None;
        };
        Some(Kubernetes {
            kubeconfig: kubeconfig.into(),
            node_address: variable("LOGSPINE_E2E_NODE_ADDRESS").unwrap_or_else(|| "127.0.0.1".into()),
            audit_log: variable("LOGSPINE_E2E_AUDIT_LOG").unwrap_or_default().into(),
        })
    }

    /// Runs kubectl and returns what it wrote.
    pub fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        run(self.command("kubectl").args(arguments), None)
    }

    /// Runs helm and returns what it wrote.
    pub fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        run(self.command("helm").args(arguments), None)
    }

    /// `kubectl apply --server-side` of one or more objects, as a person would.
    pub fn apply(&self, objects: &[Value]) -> anyhow::Result<String> {
        let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        let arguments = ["apply", "--server-side", "--field-manager=person", "-f", "-"];
        run(self.command("kubectl").args(arguments), Some(&list.to_string()))
    }

    /// The object, or nothing if there is none.
    pub fn get(&self, namespace: &str, kind: &str, name: &str) -> anyhow::Result<Option<Value>> {
        let arguments =
            ["get", kind, name, "--namespace", namespace, "--ignore-not-found", "--output", "json"];
        let text = self.kubectl(&arguments)?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(&text)?))
    }

    /// All objects of a kind in a namespace, restricted by a label selector (empty for all).
    pub fn list(&self, namespace: &str, kind: &str, selector: &str) -> anyhow::Result<Vec<Value>> {
        let arguments = ["get", kind, "--namespace", namespace, "--selector", selector, "--output", "json"];
        let list: Value = serde_json::from_str(&self.kubectl(&arguments)?)?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// An empty namespace of this name, whatever was in it before.
    pub fn fresh_namespace(&self, name: &str) -> anyhow::Result<()> {
        self.kubectl(&["delete", "namespace", name, "--ignore-not-found", "--wait=true", "--timeout=90s"])?;
        self.kubectl(&["create", "namespace", name])?;
        // Every pod of the product must run under the strictest of Kubernetes' own standards.
        let label = "pod-security.kubernetes.io/enforce=restricted";
        self.kubectl(&["label", "namespace", name, label])?;
        Ok(())
    }

    /// The condition of an object, once it speaks of the object's present generation.
    pub fn condition(
        &self,
        namespace: &str,
        kind: &str,
        name: &str,
        of: &str,
    ) -> anyhow::Result<Option<Condition>> {
        let Some(object) = self.get(namespace, kind, name)? else { return Ok(None) };
        if object["status"]["observedGeneration"] != object["metadata"]["generation"] {
            return Ok(None);
        }
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(conditions.iter().find(|condition| condition["type"] == of).map(|condition| Condition {
            status: text(&condition["status"]),
            reason: text(&condition["reason"]),
            message: text(&condition["message"]),
        }))
    }

    /// Whether the object's Ready condition is true for its present generation.
    pub fn is_ready(&self, namespace: &str, kind: &str, name: &str) -> anyhow::Result<bool> {
        let ready = self.condition(namespace, kind, name, "Ready")?;
        Ok(ready.is_some_and(|ready| ready.status == "True"))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("KUBECONFIG", &self.kubeconfig);
        command
    }
}

/// One condition of a custom resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub status: String,
    pub reason: String,
    pub message: String,
}

/// Runs a program to its end; its words on failure become the error.
fn run(command: &mut Command, input: Option<&str>) -> anyhow::Result<String> {
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {shown}"))?;
    if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
        std::io::Write::write_all(&mut pipe, input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{shown}: {}", words.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
