//! Promise: Helm installs the operator, a Cluster and a Topic become ready, and stock clients use them from inside
//! the cluster and from outside.

use std::process::Command;

use anyhow::ensure;
use logspine_e2e::kube::brokers::all_up_to;
use logspine_e2e::kube::{Brokers, Kubernetes, Story, operator};

const RECORDS: u64 = 100_000;

#[test]
fn helm_install_gives_a_cluster_that_clients_use_inside_and_outside() -> anyhow::Result<()> {
    let Some(kube) = Kubernetes::for_test("kube_install") else { return Ok(()) };
    let mut story = Story::begin("from helm install to records read inside and outside");
    story.step("nothing is installed", 60, || operator::uninstall(&kube))?;
    story.step("helm install", 60, || operator::install(&kube, &[]))?;
    let brokers = Brokers::create(&kube, &mut story, "e2e-install", 30192)?;
    brokers.create_topic(&mut story, "orders", 6)?;
    story.step("produce 100,000 records inside, with acks=all", 30, || {
        brokers.produce_numbers("orders", 1, RECORDS)
    })?;
    let read = story.step("read them inside", 30, || brokers.count_and_sum("orders"))?;
    ensure!(read == all_up_to(RECORDS), "read (count, sum) {read:?}");
    let outside = brokers.outside();
    let read =
        story.step("read them outside, through the node port", 30, || count_outside(&outside, "orders"))?;
    ensure!(read == RECORDS, "read {read} records outside");
    story.step("the resources say what is there", 10, || {
        let columns = kube.kubectl(&["get", "clusters,topics", "--namespace", "e2e-install"])?;
        println!("{columns}");
        ensure!(columns.contains("1/1"), "the Cluster's columns do not show its broker");
        Ok(())
    })?;
    story.end();
    Ok(())
}

fn count_outside(bootstrap: &str, topic: &str) -> anyhow::Result<u64> {
    let output = Command::new("kcat")
        .args(["-C", "-b", bootstrap, "-t", topic, "-o", "beginning", "-e", "-q"])
        .output()?;
    ensure!(output.status.success(), "kcat: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout.iter().filter(|byte| **byte == b'\n').count() as u64)
}
