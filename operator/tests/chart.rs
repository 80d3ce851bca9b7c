//! The chart holds together: every alert has a runbook and a case that makes it fire, everything it asks
//! the operator for is really exported, and Helm accepts it.
//!
//! `promtool` and `helm` judge where they are installed.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use logspine_operator::metrics::{Brokers, Census, Metrics, Outcome, Seen};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn alerts() -> BTreeSet<String> {
    let rules = read("charts/logspine/files/rules/logspine.yaml");
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect()
}

/// Words of a text that begin with `prefix`.
fn words(text: &str, prefix: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with(prefix))
        .map(str::to_owned)
        .collect()
}

fn skip(name: &str, reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "SKIPPED {name}: {reason}");
    println!("SKIPPED {name}: {reason}");
}

fn available(program: &str) -> bool {
    Command::new(program).arg("--help").output().is_ok()
}

#[test]
fn every_alert_has_a_runbook_and_a_case_that_makes_it_fire() {
    let alerts = alerts();
    assert!(!alerts.is_empty() && alerts.len() <= 20, "{} alerts", alerts.len());
    let cases = read("charts/logspine/tests/alerts.yaml");
    for alert in &alerts {
        assert!(cases.contains(&format!("name: {alert} fires")), "no case makes {alert} fire");
        let page = read(&format!("docs/operations/{alert}.md"));
        for heading in ["## What it means", "## Where to look", "## What to do"] {
            assert!(page.contains(heading), "{alert}.md lacks {heading:?}");
        }
    }
    let pages = std::fs::read_dir(root().join("docs/operations")).unwrap().flatten();
    for page in pages.map(|entry| entry.file_name().into_string().unwrap()) {
        let name = page.trim_end_matches(".md");
        assert!(!name.starts_with("Logspine") || alerts.contains(name), "{page} is about no alert");
    }
}

#[test]
fn rules_and_dashboards_use_only_operator_metrics_that_exist() {
    let metrics = Metrics::new();
    metrics.reconciled("Topic", 0.1, &Outcome::Steady, 1.0);
    metrics.reconciled("Topic", 0.1, &Outcome::Failed, 1.0);
    metrics.api_write("topics", "patch", 200);
    metrics.admin_call("describeTopic", 0.1, true);
    let seen =
        Seen { kind: "Topic", namespace: "n".into(), not_ready: Some("TopicLost".into()), paused: false };
    let brokers = Brokers {
        namespace: "n".into(),
        cluster: "c".into(),
        desired: 1,
        ready: 1,
        conditions: vec![("Ready".into(), true)],
    };
    metrics.set_resources(&Census { resources: vec![seen], brokers: vec![brokers] });
    let exported = words(&String::from_utf8(metrics.render()).unwrap(), "logspine_operator_");

    let mut used = words(&read("charts/logspine/files/rules/logspine.yaml"), "logspine_operator_");
    for entry in std::fs::read_dir(root().join("charts/logspine/files/dashboards")).unwrap().flatten() {
        used.extend(words(&std::fs::read_to_string(entry.path()).unwrap(), "logspine_operator_"));
    }
    let missing: Vec<_> = used.difference(&exported).collect();
    assert!(missing.is_empty(), "not exported: {missing:?}");
}

#[test]
fn promtool_makes_every_alert_fire() {
    if !available("promtool") {
        return skip("promtool_makes_every_alert_fire", "promtool is not installed (Debian: prometheus)");
    }
    let output = Command::new("promtool")
        .args(["test", "rules", "alerts.yaml"])
        .current_dir(root().join("charts/logspine/tests"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn promtool_can_read_every_panel() {
    if !available("promtool") {
        return skip("promtool_can_read_every_panel", "promtool is not installed (Debian: prometheus)");
    }
    let mut rules = String::from("groups:\n  - name: panels\n    rules:\n");
    let mut panels = 0;
    for entry in std::fs::read_dir(root().join("charts/logspine/files/dashboards")).unwrap().flatten() {
        let board: serde_json::Value = serde_json::from_slice(&std::fs::read(entry.path()).unwrap()).unwrap();
        let targets =
            board["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array());
        for target in targets.flatten() {
            let variables = ["$cluster", "$topic", "$group"];
            let query = variables
                .iter()
                .fold(target["expr"].as_str().unwrap().to_owned(), |query, name| query.replace(name, ".*"));
            assert!(!query.contains('$'), "{query}: a variable that nobody sets");
            panels += 1;
            rules += &format!(
                "      - record: panel:{panels}\n        expr: {}\n",
                serde_json::to_string(&query).unwrap()
            );
        }
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rules).unwrap();
    let output = Command::new("promtool").args(["check", "rules"]).arg(file.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    println!("{panels} queries of panels");
}

#[test]
fn helm_accepts_the_chart_and_refuses_wrong_values() {
    if !available("helm") {
        return skip("helm_accepts_the_chart_and_refuses_wrong_values", "helm is not installed");
    }
    let chart = root().join("charts/logspine");
    let helm = |arguments: &[&str]| {
        let output = Command::new("helm").args(arguments).arg(&chart).output().unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (accepted, words) = helm(&["lint", "--strict"]);
    assert!(accepted, "{words}");
    let everything =
        "monitoring.podMonitor.enabled=true,monitoring.rules.enabled=true,monitoring.dashboards.enabled=true";
    let (accepted, rendered) = helm(&["template", "--set", everything, "logspine"]);
    assert!(accepted, "{rendered}");
    assert_eq!(rendered.matches("helm.sh/resource-policy: keep").count(), 2);
    assert!(
        !rendered.contains("cluster-admin") && !rendered.contains("secrets"),
        "a right that is not needed"
    );
    for wrong in
        ["image.tag=latest", "image.digest=abc", "watchNamespaces={A}", "nonsense=1", "log.format=xml"]
    {
        assert!(!helm(&["template", "--set", wrong, "logspine"]).0, "{wrong} was accepted");
    }
}
