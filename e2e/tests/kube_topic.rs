//! Promise: a Topic is what its resource says: partitions grow when allowed, settings are set, corrected and taken
//! back, what cannot be is refused in words, and a topic deleted behind the operator's back is not hidden.

use anyhow::{Context as _, ensure};
use logspine_e2e::kube::brokers::TOPIC;
use logspine_e2e::kube::manifest::{topic, with};
use logspine_e2e::kube::{Brokers, Kubernetes, Story, operator};
use serde_json::{Value, json};

#[test]
fn a_topic_follows_its_resource() -> anyhow::Result<()> {
    let Some(kube) = Kubernetes::for_test("kube_topic") else { return Ok(()) };
    let mut story = Story::begin("a Topic's partitions and settings follow its resource");
    story.step("the operator is installed", 60, || operator::install(&kube, &[]))?;
    let brokers = Brokers::create(&kube, &mut story, "e2e-topic", 30194)?;
    brokers.create_topic(&mut story, "orders", 3)?;
    let wanted = |partitions| topic("e2e-topic", "main", "orders", partitions);

    story.step("ask for six partitions", 5, || kube.apply(&[wanted(6)]))?;
    story.until("it is refused in words: keys would spread differently", 30, || {
        let ready = kube.condition("e2e-topic", TOPIC, "orders", "Ready")?;
        Ok(ready.is_some_and(|ready| {
            ready.reason == "PartitionIncreaseRefused" && ready.message.contains("keys")
        }))
    })?;
    let allowed = with(wanted(6), "allowPartitionIncrease", json!(true));
    story.step("allow it", 5, || kube.apply(std::slice::from_ref(&allowed)))?;
    story.until("the topic has six partitions and is Ready", 30, || {
        Ok(status(&kube)?["partitions"] == 6 && kube.is_ready("e2e-topic", TOPIC, "orders")?)
    })?;
    story.step("the client sees six partitions", 10, || {
        let line = format!("kcat -L -b {} -t orders", brokers.inside()?);
        let listing = kube.in_client("e2e-topic", &line)?;
        ensure!(listing.contains("with 6 partitions"), "{listing}");
        Ok(())
    })?;
    story.step("ask for two partitions: the API server refuses, in words", 5, || {
        let shrunk = with(with(wanted(2), "allowPartitionIncrease", json!(true)), "partitions", json!(2));
        let error = kube.apply(&[shrunk]).err().context("it was accepted")?;
        ensure!(error.to_string().contains("partitions cannot be decreased"), "{error}");
        Ok(())
    })?;
    settings(&kube, &mut story, &allowed)?;
    lost(&kube, &brokers, &mut story)?;
    story.end();
    Ok(())
}

/// Settings are set, and taken back when they leave the resource.
fn settings(kube: &Kubernetes, story: &mut Story, topic: &Value) -> anyhow::Result<()> {
    let ready = || kube.is_ready("e2e-topic", TOPIC, "orders");
    let config = json!({ "retention.ms": "3600000", "max.message.bytes": "2000000" });
    story.step("set two settings", 5, || kube.apply(&[with(topic.clone(), "config", config)]))?;
    story.until("both are in effect", 30, || Ok(ready()? && managed(kube)? == 2))?;
    story.step("take one out of the resource", 5, || {
        kube.apply(&[with(topic.clone(), "config", json!({ "retention.ms": "3600000" }))])
    })?;
    story.until("it has its default again", 30, || Ok(ready()? && managed(kube)? == 1))
}

/// A topic deleted behind the operator's back is reported, not replaced by an empty one.
fn lost(kube: &Kubernetes, brokers: &Brokers, story: &mut Story) -> anyhow::Result<()> {
    let id = status(kube)?["topicId"].clone();
    story.step("delete the topic behind the operator's back", 30, || {
        logspine_e2e::foreign::delete_topic(&brokers.outside(), "orders")
    })?;
    story.until("the resource says TopicLost and keeps the id", 90, || {
        let ready = kube.condition("e2e-topic", TOPIC, "orders", "Ready")?;
        Ok(ready.is_some_and(|ready| ready.reason == "TopicLost") && status(kube)?["topicId"] == id)
    })
}

fn status(kube: &Kubernetes) -> anyhow::Result<Value> {
    Ok(kube.get("e2e-topic", TOPIC, "orders")?.context("the Topic does not exist")?["status"].clone())
}

/// How many settings the operator holds.
fn managed(kube: &Kubernetes) -> anyhow::Result<usize> {
    Ok(status(kube)?["managedConfig"].as_array().map_or(0, Vec::len))
}
