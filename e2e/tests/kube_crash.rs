//! Promise: when the broker's process is killed or its pod deleted under acks=all load, everything that was
//! acknowledged is there, once, in order, on the same volume, and no client has to give up a record.

use std::time::Duration;

use anyhow::ensure;
use logspine_e2e::checker::check;
use logspine_e2e::checker::planted::prove_the_checker;
use logspine_e2e::foreign;
use logspine_e2e::kube::{Brokers, Kubernetes, Story, operator};
use logspine_e2e::load::Load;

const WRITERS: u32 = 3;
const RECORDS_PER_SECOND: u32 = 3000;
const TOPIC: &str = "crash";

#[test]
fn what_was_acknowledged_survives_sigkill_and_pod_deletion_on_the_same_volume() -> anyhow::Result<()> {
    let Some(kube) = Kubernetes::for_test("kube_crash") else { return Ok(()) };
    if foreign::skip_without("kube_crash", &[foreign::PYTHON_WITH_LIBRDKAFKA, foreign::KCAT]) {
        return Ok(());
    }
    let mut story = Story::begin("SIGKILL and pod deletion under load lose nothing");
    story.step("the operator is installed", 60, || operator::install(&kube, &[]))?;
    let brokers = Brokers::create(&kube, &mut story, "e2e-crash", 30193)?;
    brokers.create_topic(&mut story, TOPIC, WRITERS)?;
    let (pod, _) = brokers.pod_and_claim()?;
    let volume = brokers.volume()?;
    let namespace = brokers.namespace.as_str();

    let dir = tempfile::tempdir()?;
    let load = story.step("start idempotent load from outside", 5, || {
        Load::start(&brokers.outside(), TOPIC, WRITERS, RECORDS_PER_SECOND, dir.path())
    })?;
    await_progress(&mut story, &load)?;

    let restarts = kube.restarts(namespace, &pod)?;
    story.step("SIGKILL the broker's process", 5, || kube.kill_process_of_pod(namespace, &pod))?;
    story.until("Kubernetes has started it again", 30, || Ok(kube.restarts(namespace, &pod)? > restarts))?;
    await_progress(&mut story, &load)?;

    let uid = kube.uid(namespace, "pod", &pod)?;
    story.step("delete the pod", 60, || kube.kubectl(&["delete", "pod", &pod, "--namespace", namespace]))?;
    story.until("another pod of that name is ready", 60, || {
        Ok(kube.pod_is_ready(namespace, &pod)? && kube.uid(namespace, "pod", &pod)? != uid)
    })?;
    await_progress(&mut story, &load)?;

    let mut history = story.step("end the load: every record has an answer", 95, || load.stop())?;
    history.read = story.step("read every partition from the beginning", 60, || {
        foreign::read_all(&brokers.outside(), TOPIC)
    })?;
    println!("{} acknowledged, {} in the log", history.acked.len(), history.read.len());
    prove_the_checker(&history).map_err(anyhow::Error::msg)?;
    let anomalies = check(&history);
    ensure!(anomalies.is_empty(), "{} anomalies, the first: {:#?}", anomalies.len(), anomalies[0]);
    ensure!(brokers.volume()? == volume, "the broker came back on another volume");
    story.end();
    Ok(())
}

/// Waits until a thousand more records have been acknowledged.
fn await_progress(story: &mut Story, load: &Load) -> anyhow::Result<()> {
    let before = load.acknowledged()?;
    story
        .until("a thousand more records are acknowledged", 60, || Ok(load.acknowledged()? > before + 1000))?;
    std::thread::sleep(Duration::from_millis(300)); // The next fault shall not always fall on the same record.
    Ok(())
}
