//! Promise: data outlives what it was made for. A deleted Cluster that is created again finds its records, and so
//! does one after the operator was uninstalled and installed again.

use anyhow::ensure;
use logspine_e2e::kube::brokers::{CLUSTER, all_up_to};
use logspine_e2e::kube::{Brokers, Kubernetes, Story, operator, pod};

const RECORDS: u64 = 20_000;

#[test]
fn a_recreated_cluster_finds_its_records() -> anyhow::Result<()> {
    let Some(kube) = Kubernetes::for_test("kube_volumes") else { return Ok(()) };
    let mut story = Story::begin("delete and create a Cluster over kept volumes");
    let brokers = with_records(&kube, &mut story, "e2e-volumes", 30195)?;
    let (volume, id) = (brokers.volume()?, brokers.status()?["clusterId"].clone());
    story.step("delete the Cluster", 60, || {
        kube.kubectl(&["delete", CLUSTER, "main", "--namespace", "e2e-volumes", "--timeout=50s"])
    })?;
    story.until("its pods are gone, its claim stays", 60, || {
        let pods = kube.list("e2e-volumes", "pods", "logspine.dev/cluster=main")?;
        let claims = kube.list("e2e-volumes", "persistentvolumeclaims", "logspine.dev/cluster=main")?;
        Ok(pods.is_empty() && claims.len() == 1)
    })?;
    story.step("create it again", 5, || kube.apply(&[brokers.manifest()]))?;
    brokers.await_ready(&mut story, 60)?;
    ensure!(brokers.volume()? == volume, "the broker came up on another volume");
    ensure!(brokers.status()?["clusterId"] == id, "the Cluster has another id than its data");
    let read = story.step("read everything", 30, || brokers.count_and_sum("orders"))?;
    ensure!(read == all_up_to(RECORDS), "read (count, sum) {read:?}");
    story.end();
    Ok(())
}

#[test]
fn uninstall_leaves_the_data_and_install_works_over_it() -> anyhow::Result<()> {
    let Some(kube) = Kubernetes::for_test("kube_volumes") else { return Ok(()) };
    let mut story = Story::begin("uninstall and install the operator over a living Cluster");
    let brokers = with_records(&kube, &mut story, "e2e-uninstall", 30196)?;
    let (broker_pod, _) = brokers.pod_and_claim()?;
    let uid = kube.uid("e2e-uninstall", "pod", &broker_pod)?;
    story.step("helm uninstall", 60, || operator::uninstall(&kube))?;
    let read = story
        .step("the brokers go on serving without an operator", 30, || brokers.count_and_sum("orders"))?;
    ensure!(read == all_up_to(RECORDS), "read (count, sum) {read:?}");
    ensure!(kube.get("e2e-uninstall", CLUSTER, "main")?.is_some(), "the Cluster is gone");
    story.step("helm install, over the kept resource definitions", 60, || operator::install(&kube, &[]))?;
    brokers.await_ready(&mut story, 60)?;
    ensure!(
        kube.uid("e2e-uninstall", "pod", &broker_pod)? == uid,
        "the operator restarted a broker for no reason"
    );
    story.step("write and read on", 30, || {
        brokers.produce_numbers("orders", RECORDS + 1, 2 * RECORDS)?;
        let read = brokers.count_and_sum("orders")?;
        ensure!(read == all_up_to(2 * RECORDS), "read (count, sum) {read:?}");
        Ok(())
    })?;
    story.end();
    Ok(())
}

fn with_records(
    kube: &Kubernetes,
    story: &mut Story,
    namespace: &str,
    node_port: u16,
) -> anyhow::Result<Brokers> {
    story.step("the operator is installed", 60, || operator::install(kube, &[]))?;
    let brokers = Brokers::create(kube, story, namespace, node_port)?;
    brokers.create_topic(story, "orders", 3)?;
    story.step("produce 20,000 records", 30, || brokers.produce_numbers("orders", 1, RECORDS))?;
    story.step("the client's pod is still there", 5, || kube.uid(namespace, "pod", pod::CLIENT))?;
    Ok(brokers)
}
