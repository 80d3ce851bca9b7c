//! Promise: `helm upgrade` carries changed resource definitions, and restarts no broker.

use std::path::Path;

use anyhow::{Context as _, ensure};
use logspine_e2e::kube::{Brokers, Kubernetes, Story, operator};

/// A column that the changed chart adds to `kubectl get topics`.
const COLUMN: &str = "E2e";

#[test]
fn helm_upgrade_carries_a_changed_resource_definition() -> anyhow::Result<()> {
    let Some(kube) = Kubernetes::for_test("kube_upgrade") else { return Ok(()) };
    let mut story = Story::begin("helm upgrade with a changed resource definition");
    story.step("the operator is installed", 60, || operator::install(&kube, &[]))?;
    let brokers = Brokers::create(&kube, &mut story, "e2e-upgrade", 30197)?;
    brokers.create_topic(&mut story, "orders", 1)?;
    let (pod, _) = brokers.pod_and_claim()?;
    let uid = kube.uid("e2e-upgrade", "pod", &pod)?;

    let folder = tempfile::tempdir()?;
    let chart = folder.path().join("logspine");
    story.step("change the Topic's definition in a copy of the chart", 5, || {
        copy(&operator::chart(), &chart)?;
        add_column(&chart.join("templates/crds/topics.yaml"))
    })?;
    story.step("helm upgrade", 60, || operator::install_chart(&kube, &chart, &[]))?;
    story.until("the API server serves the changed definition", 10, || {
        let columns = kube.kubectl(&["get", "topics.logspine.dev", "--namespace", "e2e-upgrade"])?;
        Ok(columns.contains(&COLUMN.to_uppercase()))
    })?;
    brokers.await_ready(&mut story, 30)?;
    ensure!(kube.uid("e2e-upgrade", "pod", &pod)? == uid, "the upgrade restarted a broker");
    story.step("helm upgrade back", 60, || operator::install(&kube, &[]))?;
    story.end();
    Ok(())
}

/// Adds a printer column in front of the first one.
fn add_column(path: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    const KEY: &str = "additionalPrinterColumns:";
    let line = text.lines().find(|line| line.contains(KEY)).context("the definition has no columns")?;
    let indent = " ".repeat(line.find(KEY).unwrap_or_default());
    let column = format!(
        "{line}\n{indent}- name: {COLUMN}\n{indent}  type: string\n{indent}  jsonPath: .metadata.name"
    );
    std::fs::write(path, text.replacen(line, &column, 1))?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
