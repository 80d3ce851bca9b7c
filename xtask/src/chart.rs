//! `cargo xtask chart`: the Helm chart renders in every shape, and every alert is fired by a test and has a runbook.
//!
//! Invariants: Helm and promtool are the released programs; nothing is installed anywhere. Called by people and by the
//! test table.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

use crate::cache::{Cache, checkout};
use crate::console::Step;
use crate::process::Program;
use crate::{debian, kube};

/// The digest of nothing: any will do.
const DIGEST: &str = "image.digest=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Shapes in which the chart must render: a name and its `--set` values.
const SHAPES: &[(&str, &[&str])] = &[
    ("defaults", &[]),
    (
        "monitoring",
        &[
            "monitoring.podMonitor.enabled=true",
            "monitoring.rules.enabled=true",
            "monitoring.dashboards.enabled=true",
        ],
    ),
    ("two namespaces", &["watchNamespaces={a,b}"]),
    (
        "without definitions, roles and lease",
        &["crds.install=false", "rbac.create=false", "leaderElection.enabled=false"],
    ),
    ("a digest in place of a tag", &["image.registry=registry.example", DIGEST]),
];

pub fn run() -> anyhow::Result<()> {
    let cache = Cache::open()?;
    let helm = kube::kubectl_and_helm(&cache)?.join("helm");
    let promtool = debian::unpack(&cache, "prometheus")?.join("usr/bin/promtool");
    let chart = checkout().join("charts/logspine");
    let step = Step::start("Checking the chart", "");
    Program::new(&helm).args(["lint", "--strict"]).arg(&chart).run(Some(&step))?;
    println!("PASSED helm lint");
    for (shape, values) in SHAPES {
        let set = values.iter().flat_map(|value| ["--set", value]);
        let rendered =
            Program::new(&helm).args(["template", "logspine"]).arg(&chart).args(set).run(Some(&step));
        let rendered = rendered.with_context(|| format!("the chart does not render: {shape}"))?;
        ensure!(rendered.contains("kind: Deployment"), "no Deployment in the shape: {shape}");
        println!("PASSED helm template: {shape}");
    }
    refuses_unknown_values(&helm, &chart)?;
    alerts(&promtool, &chart, &step)?;
    step.finish("");
    Ok(())
}

/// The values' schema catches a key that does nothing.
fn refuses_unknown_values(helm: &Path, chart: &Path) -> anyhow::Result<()> {
    let finished = Program::new(helm)
        .args(["template", "logspine"])
        .arg(chart)
        .args(["--set", "replica=2"])
        .finish(None)?;
    ensure!(!finished.status.success(), "the chart accepts a misspelt value: replica");
    println!("PASSED a misspelt value is refused");
    Ok(())
}

fn alerts(promtool: &Path, chart: &Path, step: &Step) -> anyhow::Result<()> {
    let rules = chart.join("files/rules/logspine.yaml");
    let tests = chart.join("tests/alerts.yaml");
    Program::new(promtool).args(["check", "rules"]).arg(&rules).run(Some(step))?;
    println!("PASSED promtool check rules");
    Program::new(promtool).args(["test", "rules"]).arg(&tests).run(Some(step))?;
    println!("PASSED promtool test rules");
    let names = alert_names(&std::fs::read_to_string(&rules)?);
    let fired = fired_alerts(&std::fs::read_to_string(&tests)?);
    let unfired: Vec<&String> = names.iter().filter(|name| !fired.contains(name)).collect();
    ensure!(unfired.is_empty(), "no promtool case fires {unfired:?}");
    let without: Vec<PathBuf> =
        names.iter().map(|name| runbook(name)).filter(|path| !path.is_file()).collect();
    if !without.is_empty() {
        bail!("alerts without a runbook: {without:?}");
    }
    println!("FIGURE alerts, each fired by promtool and with a runbook: {}", names.len());
    Ok(())
}

fn runbook(alert: &str) -> PathBuf {
    checkout().join("docs/operations").join(format!("{alert}.md"))
}

/// The names behind `alert:` in a file of rules.
fn alert_names(rules: &str) -> Vec<String> {
    let lines = rules.lines().map(|line| line.trim().trim_start_matches("- "));
    lines
        .filter_map(|line| line.strip_prefix("alert:"))
        .map(|name| name.trim().trim_matches('"').to_owned())
        .collect()
}

/// The names of alerts that a test expects to fire: `alertname:` with expectations behind it.
fn fired_alerts(tests: &str) -> Vec<String> {
    let mut fired = Vec::new();
    let mut current = None;
    for line in tests.lines().map(|line| line.trim().trim_start_matches("- ")) {
        if let Some(name) = line.strip_prefix("alertname:") {
            current = Some(name.trim().trim_matches('"').to_owned());
        } else if line.starts_with("exp_labels:") || line.starts_with("exp_annotations:") {
            fired.extend(current.take());
        }
    }
    fired
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_counts_as_fired_only_with_an_expectation() {
        let tests = "- eval_time: 1m\n  alertname: A\n  exp_alerts:\n    - exp_labels: {}\n- eval_time: 1m\n  alertname: B\n  exp_alerts: []\n";
        assert_eq!(fired_alerts(tests), ["A"]);
        assert_eq!(alert_names("rules:\n  - alert: A\n    expr: x\n  - alert: \"B\"\n"), ["A", "B"]);
    }
}
