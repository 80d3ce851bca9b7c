//! Promise: a converged cluster is left alone, and rests in little memory. For five minutes nothing is written for it
//! to the API server, but for the operator's own Lease; proof is the API server's audit log.

use std::time::{Duration, Instant};

use anyhow::ensure;
use logspine_e2e::kube::audit::Write;
use logspine_e2e::kube::{Brokers, Kubernetes, Story, operator};

const NAMESPACE: &str = "e2e-rest";
/// What operator and broker may hold in RAM when nothing happens.
const REST_MAX_BYTES: u64 = 40 << 20;

#[test]
fn nothing_is_written_at_rest() -> anyhow::Result<()> {
    let Some(kube) = Kubernetes::for_test("kube_rest") else { return Ok(()) };
    let rest_s: u64 = std::env::var("LOGSPINE_REST_SECONDS").map_or(Ok(300), |text| text.parse())?;
    let mut story = Story::begin("zero writes at rest");
    story.step("the operator is installed", 60, || operator::install(&kube, &[]))?;
    let brokers = Brokers::create(&kube, &mut story, NAMESPACE, 30198)?;
    brokers.create_topic(&mut story, "orders", 3)?;
    // A broker is busy only with what it holds: a few records, so that there are offsets to report.
    story.step("produce some records", 30, || brokers.produce_numbers("orders", 1, 1000))?;
    // The Cluster's status counts what its broker leads, and is looked at once a minute.
    story.until("the Cluster's status knows of the topic", 90, || {
        Ok(brokers.status()?["brokers"][0]["leaders"].as_i64().is_some_and(|leaders| leaders >= 3))
    })?;
    let bound_s = rest_s + 30;
    let writes = story.step("rest", bound_s, || rest(&kube, Duration::from_secs(rest_s)))?;
    println!("FIGURE writes at rest in {rest_s} s: {}", writes.len());
    let words: Vec<String> = writes.iter().map(Write::to_string).collect();
    ensure!(words.is_empty(), "written at rest:\n{}", words.join("\n"));
    let (pod, _) = brokers.pod_and_claim()?;
    for (who, namespace, pod) in
        [("operator", operator::NAMESPACE, operator::running_pod(&kube)?), ("broker", NAMESPACE, pod)]
    {
        let resident = kube.resident_bytes_of_pod(namespace, &pod)?;
        println!("FIGURE memory of the {who} at rest: {:.1} MiB", resident as f64 / f64::from(1 << 20));
        ensure!(
            resident <= REST_MAX_BYTES,
            "the {who} holds {resident} bytes at rest, at most {REST_MAX_BYTES}"
        );
    }
    story.end();
    Ok(())
}

/// Lets the last events of the creation settle, then watches.
fn rest(kube: &Kubernetes, duration: Duration) -> anyhow::Result<Vec<Write>> {
    std::thread::sleep(Duration::from_secs(20)); // Kubernetes' own controllers write about new objects for a while.
    let mark = kube.audit_mark()?;
    let started = Instant::now();
    while started.elapsed() < duration {
        std::thread::sleep(Duration::from_secs(1)); // The promise is about time that passes.
    }
    let writes = kube.writes_since(&mark)?;
    Ok(writes.into_iter().filter(concerns_us).collect())
}

/// What the operator writes anywhere, and what anybody writes in the Cluster's namespace; the Lease is the clock's.
fn concerns_us(write: &Write) -> bool {
    let is_operator = write.user.starts_with(&format!("system:serviceaccount:{}:", operator::NAMESPACE));
    (is_operator || write.namespace == NAMESPACE) && write.resource != "leases"
}
