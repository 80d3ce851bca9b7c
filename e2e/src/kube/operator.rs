//! Installs the operator by Helm, as a user does, with the images that `cargo xtask image` wrote.
//!
//! Used by `tests/kube_*.rs`. One release for the whole cluster: tests run one after the other.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::kube::Kubernetes;

/// The Helm release and its namespace.
pub const RELEASE: &str = "logspine";
pub const NAMESPACE: &str = "logspine-system";

/// The folder of the chart.
pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("e2e is a folder of the checkout")
        .join("charts/logspine")
}

/// Installs or upgrades the release and waits until the operator is ready; `set` are values, `key=value`.
pub fn install(kube: &Kubernetes, set: &[&str]) -> anyhow::Result<()> {
    install_chart(kube, &chart(), set)
}

/// The same from another folder, such as a chart with a changed resource definition.
pub fn install_chart(kube: &Kubernetes, chart: &Path, set: &[&str]) -> anyhow::Result<()> {
    let chart = chart.display().to_string();
    let mut arguments =
        vec!["upgrade", "--install", RELEASE, &chart, "--namespace", NAMESPACE, "--create-namespace"];
    arguments.extend(["--wait", "--timeout", "90s"]);
    arguments.extend(set.iter().flat_map(|value| ["--set", value]));
    let (repository, tag) = image("LOGSPINE_E2E_OPERATOR_IMAGE");
    let own = [format!("image.registry={repository}"), format!("image.tag={tag}")];
    arguments.extend(own.iter().flat_map(|value| ["--set", value.as_str()]));
    kube.helm(&arguments)?;
    Ok(())
}

pub fn uninstall(kube: &Kubernetes) -> anyhow::Result<()> {
    kube.helm(&["uninstall", RELEASE, "--namespace", NAMESPACE, "--ignore-not-found", "--wait"])?;
    Ok(())
}

/// The operator's running pod.
pub fn running_pod(kube: &Kubernetes) -> anyhow::Result<String> {
    let pods = kube.list(NAMESPACE, "pods", "")?;
    let running = pods.iter().find(|pod| pod["status"]["phase"] == "Running").context("no operator runs")?;
    Ok(running["metadata"]["name"].as_str().unwrap_or_default().to_owned())
}

/// The broker's image, as a Cluster names it.
pub fn broker_image() -> String {
    std::env::var("LOGSPINE_E2E_BROKER_IMAGE").unwrap_or_else(|_| "localhost/logspine:0.1.0".into())
}

/// Registry and tag of an image that a variable names.
fn image(variable: &str) -> (String, String) {
    let name = std::env::var(variable).unwrap_or_else(|_| "localhost/logspine-operator:0.1.0".into());
    let (path, tag) = name.rsplit_once(':').unwrap_or((&name, "latest"));
    let registry = path.rsplit_once('/').map_or("", |(registry, _)| registry);
    (registry.to_owned(), tag.to_owned())
}
