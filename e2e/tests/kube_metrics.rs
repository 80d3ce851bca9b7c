//! Promise: a real Prometheus scrapes broker and operator, and every query of every panel of the chart's dashboards
//! returns a series.

use anyhow::{Context as _, ensure};
use logspine_e2e::kube::prometheus::{Prometheus, Target};
use logspine_e2e::kube::{Brokers, Kubernetes, Story, dashboards, operator};
use serde_json::json;

const NAMESPACE: &str = "e2e-metrics";

#[test]
fn every_panel_of_every_dashboard_shows_something() -> anyhow::Result<()> {
    let Some(kube) = Kubernetes::for_test("kube_metrics") else { return Ok(()) };
    let mut story = Story::begin("dashboards over a real Prometheus");
    story.step("the operator is installed", 60, || operator::install(&kube, &[]))?;
    let brokers = Brokers::create(&kube, &mut story, NAMESPACE, 30200)?;
    brokers.create_topic(&mut story, "orders", 3)?;
    let (pod, _) = brokers.pod_and_claim()?;
    let broker = kube.forward(NAMESPACE, &pod, 9644, "/metrics")?;
    let operator_pod = operator::running_pod(&kube)?;
    let operator = kube.forward(operator::NAMESPACE, &operator_pod, 8080, "/metrics")?;
    let folder = tempfile::tempdir()?;
    let broker_labels = json!({ "namespace": NAMESPACE, "pod": pod, "cluster": "main" });
    let operator_labels = json!({ "namespace": operator::NAMESPACE, "pod": operator_pod });
    let prometheus = story.step("Prometheus scrapes both", 40, || {
        Prometheus::start(
            folder.path(),
            &[
                Target { job: "logspine-broker", address: &broker.address, labels: broker_labels },
                Target { job: "logspine-operator", address: &operator.address, labels: operator_labels },
            ],
        )
    })?;
    story.step("clients write, read in a group, and meet an error", 60, || traffic(&kube, &brokers))?;
    let queries = dashboards::queries(&operator::chart().join("files/dashboards"))?;
    ensure!(!queries.is_empty(), "the dashboards have no queries");
    let mut silent = Vec::new();
    // Rates need two scrapes; what is not there after this time is not there.
    let waited = story.until("every query of every panel returns a series", 60, || {
        silent.clear();
        for query in &queries {
            let results = prometheus.query(&query.expression);
            if !results.is_ok_and(|results| !results.is_empty()) {
                silent.push(format!("{} / {}: {}", query.dashboard, query.panel, query.expression));
            }
        }
        Ok(silent.is_empty())
    });
    waited.with_context(|| {
        format!("{} of {} queries are silent:\n{}", silent.len(), queries.len(), silent.join("\n"))
    })?;
    println!("FIGURE dashboard queries that return a series: {}", queries.len());
    story.end();
    Ok(())
}

fn traffic(kube: &Kubernetes, brokers: &Brokers) -> anyhow::Result<()> {
    brokers.produce_numbers("orders", 1, 50_000)?;
    let bootstrap = brokers.inside()?;
    let group =
        format!("kcat -b {bootstrap} -G readers -c 40000 -q -X auto.offset.reset=earliest orders >/dev/null");
    kube.in_client(NAMESPACE, &group)?;
    // A request that fails: a topic that does not exist and is not made by asking.
    let wrong =
        format!("kcat -C -b {bootstrap} -t no-such-topic -e -q -X allow.auto.create.topics=false || true");
    kube.in_client(NAMESPACE, &wrong)?;
    Ok(())
}
