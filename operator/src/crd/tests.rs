//! Each CEL rule refuses what it is for and nothing else; the CRDs stay small and current.
//!
//! The rules run here through kube's own CEL evaluator; the end-to-end tests run the same ones through a
//! real API server.

use kube::CustomResourceExt;
use serde_json::json;

use super::*;

/// A Cluster that every rule accepts; a test says only what is odd about its own.
fn cluster() -> Cluster {
    serde_json::from_value(json!({
        "apiVersion": "logspine.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": { "name": "events" },
        "spec": {
            "image": "logspine:0.1.0",
            "pools": [{ "name": "main", "storage": { "size": "10Gi" } }],
            "config": { "log.retention.hours": "24" }
        }
    }))
    .unwrap()
}

fn topic() -> Topic {
    serde_json::from_value(json!({
        "apiVersion": "logspine.dev/v1alpha1",
        "kind": "Topic",
        "metadata": { "name": "orders" },
        "spec": {
            "clusterRef": { "name": "events" },
            "partitions": 3,
            "replicationFactor": 1,
            "config": { "retention.ms": "1000", "cleanup.policy": "delete", "segment.bytes": null }
        }
    }))
    .unwrap()
}

#[track_caller]
fn refused<E: std::fmt::Debug>(result: Result<(), E>, words: &str) {
    let error = format!("{:?}", result.expect_err("the rule must refuse this"));
    assert!(error.contains(words), "expected the words {words:?} in {error}");
}

#[test]
fn a_plain_cluster_and_a_plain_topic_are_accepted() {
    cluster().validate_cel().unwrap();
    cluster().validate_cel_update(&cluster()).unwrap();
    topic().validate_cel().unwrap();
    topic().validate_cel_update(&topic()).unwrap();
}

#[test]
fn a_cluster_is_refused_in_words() {
    type Case = (&'static str, fn(&mut Cluster));
    let cases: &[Case] = &[
        ("at most 32 characters", |c| c.metadata.name = Some("a".repeat(33))),
        ("begin with a letter", |c| c.metadata.name = Some("1st".into())),
        ("begin with a letter", |c| c.metadata.name = Some("a.b".into())),
        ("exactly one pool", |c| {
            let mut second = c.spec.pools[0].clone();
            second.name = "second".into();
            c.spec.pools.push(second);
        }),
        ("replicas must be 1", |c| c.spec.pools[0].replicas = 3),
        ("belong to the operator", |c| {
            c.spec.pools[0].labels.insert("app.kubernetes.io/name".into(), "x".into());
        }),
        ("annotations under logspine.dev/", |c| {
            c.spec.pools[0].annotations.insert("logspine.dev/config-hash".into(), "x".into());
        }),
        ("exactly one listener must be of type internal", |c| {
            c.spec.listeners[0].type_ = ListenerType::NodePort
        }),
        ("a port of its own", |c| {
            c.spec.listeners.push(Listener {
                name: "external".into(),
                type_: ListenerType::NodePort,
                port: 9092,
                node_port: None,
            });
        }),
        ("only on a listener of type nodePort", |c| c.spec.listeners[0].node_port = Some(30092)),
        ("admin port", |c| c.spec.listeners[0].port = 9644),
        ("config keys consist of", |c| config(c, "Log.Dirs", "x")),
        ("line break", |c| config(c, "log.retention.hours", "1\nlog.dirs=/")),
        ("line break", |c| config(c, "log.retention.hours", "1\\")),
        ("belong to the operator", |c| config(c, "advertised.listeners", "x")),
        ("belong to the operator", |c| config(c, "log.dirs", "/")),
        ("belong to the operator", |c| config(c, "controller.quorum.voters", "0@x:1")),
        ("not supported yet", |c| config(c, "ssl.keystore.location", "/x")),
        ("not supported yet", |c| config(c, "sasl.enabled.mechanisms", "PLAIN")),
        ("not supported yet", |c| config(c, "authorizer.class.name", "x")),
    ];
    for (words, mutate) in cases {
        let mut odd = cluster();
        mutate(&mut odd);
        refused(odd.validate_cel(), words);
    }
}

fn config(cluster: &mut Cluster, key: &str, value: &str) {
    cluster.spec.config.insert(key.into(), value.into());
}

#[test]
fn a_change_that_would_lose_data_is_refused() {
    let mut renamed = cluster();
    renamed.spec.pools[0].name = "other".into();
    refused(renamed.validate_cel_update(&cluster()), "cannot be removed or renamed");

    let mut resized = cluster();
    resized.spec.pools[0].storage.size = "20Gi".into();
    refused(resized.validate_cel_update(&cluster()), "storage cannot be changed");

    let mut fewer = topic();
    fewer.spec.partitions = 2;
    refused(fewer.validate_cel_update(&topic()), "partitions cannot be decreased");
    let mut more = topic();
    more.spec.partitions = 4;
    more.validate_cel_update(&topic()).unwrap();
}

#[test]
fn the_identity_of_a_topic_cannot_be_changed() {
    let mut moved = topic();
    moved.spec.cluster_ref.name = "other".into();
    refused(moved.validate_cel_update(&topic()), "clusterRef cannot be changed");

    let mut named = topic();
    named.spec.topic_name = Some("a".into());
    refused(named.validate_cel_update(&topic()), "topicName cannot be changed");
    refused(topic().validate_cel_update(&named), "topicName cannot be changed");
    let mut renamed = named.clone();
    renamed.spec.topic_name = Some("b".into());
    refused(renamed.validate_cel_update(&named), "topicName cannot be changed");

    let mut copies = topic();
    copies.spec.replication_factor = Some(3);
    refused(copies.validate_cel_update(&topic()), "replicationFactor cannot be changed");
    copies.spec.replication_factor = None;
    refused(copies.validate_cel_update(&topic()), "replicationFactor cannot be changed");
}

#[test]
fn a_topic_is_refused_in_words() {
    type Case = (&'static str, fn(&mut Topic));
    let cases: &[Case] = &[
        ("at most 249 characters", |t| t.metadata.name = Some("a".repeat(250))),
        ("must not be '.' or '..'", |t| t.spec.topic_name = Some("..".into())),
        ("belong to the brokers", |t| t.spec.topic_name = Some("__consumer_offsets".into())),
        ("config keys consist of", |t| {
            t.spec.config.insert("Retention".into(), Some("1".into()));
        }),
        ("cleanup.policy must be", |t| {
            t.spec.config.insert("cleanup.policy".into(), Some("shred".into()));
        }),
        ("must not exceed replicationFactor", |t| {
            t.spec.config.insert("min.insync.replicas".into(), Some("2".into()));
        }),
    ];
    for (words, mutate) in cases {
        let mut odd = topic();
        mutate(&mut odd);
        refused(odd.validate_cel(), words);
    }
}

#[test]
fn null_in_a_topic_config_is_kept_and_accepted() {
    let mut topic = topic();
    topic.spec.config.insert("cleanup.policy".into(), None);
    topic.spec.config.insert("min.insync.replicas".into(), None);
    topic.validate_cel().unwrap();
    let written = serde_json::to_value(&topic).unwrap();
    assert!(written["spec"]["config"]["segment.bytes"].is_null());
    assert!(written["spec"]["config"].as_object().unwrap().contains_key("segment.bytes"));
}

#[test]
fn each_crd_is_far_below_what_an_annotation_can_hold() {
    for crd in all() {
        let bytes = serde_json::to_vec(&crd).unwrap().len();
        println!("{}: {bytes} bytes", crd.spec.names.kind);
        assert!(bytes < 100_000, "{} weighs {bytes} bytes", crd.spec.names.kind);
    }
}

#[test]
fn a_new_object_has_every_condition_before_the_first_pass() {
    for (crd, types) in [(Cluster::crd(), &CLUSTER_CONDITIONS[..]), (Topic::crd(), &TOPIC_CONDITIONS[..])] {
        let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
        let default = &schema["openAPIV3Schema"]["properties"]["status"]["default"];
        let named: Vec<&str> = default["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|condition| {
                assert_eq!(condition["status"], "Unknown");
                assert_eq!(condition["reason"], NOT_RECONCILED);
                condition["type"].as_str().unwrap()
            })
            .collect();
        assert_eq!(named, types);
    }
}

#[test]
fn printer_columns_read_paths_that_exist() {
    for crd in all() {
        let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
        for column in crd.spec.versions[0].additional_printer_columns.iter().flatten() {
            if column.json_path.starts_with(".metadata") {
                continue;
            }
            let mut at = &schema["openAPIV3Schema"];
            for step in column.json_path.trim_start_matches('.').split('.') {
                let name = step.split('[').next().unwrap();
                // A filter such as conditions[?(@.type=="Ready")] splits at its inner dot.
                if name.ends_with(')') || name.contains('=') {
                    continue;
                }
                at = &at["properties"][name];
                assert!(at.is_object(), "{}: {name} is not in the schema", column.json_path);
                if step.contains('[') {
                    at = &at["items"];
                }
            }
        }
    }
}

/// Files of the repository that are printed by this crate.
fn generated() -> Vec<(String, String)> {
    let mut files = vec![("docs/reference/crds.md".to_owned(), reference::markdown())];
    for crd in all() {
        let plural = &crd.spec.names.plural;
        files.push((format!("crds/{plural}.yaml"), yaml(&crd)));
        files.push((format!("charts/logspine/templates/crds/{plural}.yaml"), chart_template(&crd)));
    }
    files
}

/// `LOGSPINE_BLESS=1 cargo test -p logspine-operator` writes them.
#[test]
fn generated_files_are_current() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (path, wanted) in generated() {
        let file = root.join(&path);
        if std::env::var_os("LOGSPINE_BLESS").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, &wanted).unwrap();
        }
        let found = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(found == wanted, "{path} differs from what the types say: run with LOGSPINE_BLESS=1");
    }
}
