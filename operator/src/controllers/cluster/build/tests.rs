//! The manifests of a few clusters, as committed in `testdata/`.
//!
//! A reader sees there what the operator makes; a change of a builder shows up as a diff.
//! `LOGSPINE_BLESS=1` rewrites them.

use serde_json::json;

use super::super::validate::tests::cluster;
use super::super::validate::{ValidCluster, validate};
use super::*;

fn known() -> Known {
    Known { cluster_id: "5L6g3nShT-eMCtK--X86sw".into(), ..Known::default() }
}

fn plain() -> ValidCluster {
    validate(&cluster(json!({}))).unwrap()
}

fn full() -> ValidCluster {
    validate(&cluster(json!({
        "image": "registry.example/logspine:1.2.3",
        "pools": [{
            "name": "main",
            "storage": { "size": "100Gi", "class": "fast" },
            "resources": { "requests": { "cpu": 2, "memory": "4Gi" }, "limits": { "memory": "4Gi" } },
            "nodeSelector": { "disk": "nvme" },
            "tolerations": [{ "key": "dedicated", "operator": "Equal", "value": "logspine", "effect": "NoSchedule" }],
            "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
                { "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "noisy": "yes" } } }
            ] } },
            "topologySpreadConstraints": [
                { "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule" }
            ],
            "priorityClassName": "data",
            "imagePullSecrets": ["registry"],
            "labels": { "team": "shop" },
            "annotations": { "note": "x" },
            "terminationGracePeriodSeconds": 90
        }],
        "listeners": [
            { "name": "internal", "type": "internal", "port": 9092 },
            { "name": "external", "type": "nodePort", "port": 9094, "nodePort": 30092 }
        ],
        "config": { "log.retention.hours": "24", "num.partitions": "3" }
    })))
    .unwrap()
}

fn golden(name: &str, cluster: &ValidCluster) {
    let manifests = build(cluster, &known());
    let mut found = String::new();
    let mut add = |value: serde_json::Value| {
        found.push_str("---\n");
        found.push_str(serde_saphyr::to_string(&value).unwrap().trim_end());
        found.push('\n');
    };
    add(serde_json::to_value(&manifests.service_account).unwrap());
    add(serde_json::to_value(&manifests.config_map).unwrap());
    manifests.services.iter().for_each(|service| add(serde_json::to_value(service).unwrap()));
    add(serde_json::to_value(&manifests.disruption_budget).unwrap());
    add(serde_json::to_value(&manifests.stateful_set).unwrap());
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
    if std::env::var_os("LOGSPINE_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &found).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "{name} differs from what is built: read the diff, then LOGSPINE_BLESS=1\n{found}"
    );
}

#[test]
fn the_smallest_cluster_is_built_as_committed() {
    golden("cluster-plain.yaml", &plain());
}

#[test]
fn every_field_of_the_spec_reaches_an_object() {
    golden("cluster-full.yaml", &full());
}

#[test]
fn there_is_no_stateful_set_before_the_outside_port_is_known() {
    let mut cluster = full();
    cluster.listeners[1].node_port = None;
    assert!(build(&cluster, &known()).stateful_set.is_none());
    let mut known = known();
    known.node_ports.insert("external".into(), 31234);
    let set = serde_json::to_string(&build(&cluster, &known).stateful_set.unwrap()).unwrap();
    assert!(set.contains("EXTERNAL://$(HOST_IP):31234"));
}

#[test]
fn each_input_moves_the_hash_that_names_it_and_no_other() {
    let base = build(&plain(), &known()).wanted;
    let wanted = |mutate: fn(&mut ValidCluster)| {
        let mut cluster = plain();
        mutate(&mut cluster);
        build(&cluster, &known()).wanted
    };

    let config = wanted(|cluster| {
        cluster.config.insert("num.partitions".into(), "3".into());
    });
    assert_ne!(config.config_inputs, base.config_inputs);
    assert_ne!(config.config_file, base.config_file);
    assert_eq!(config.pod_inputs, base.pod_inputs);

    let grace = wanted(|cluster| cluster.pool.termination_grace_period_seconds = 5);
    assert_ne!(grace.pod_inputs, base.pod_inputs);
    assert_eq!(grace.config_inputs, base.config_inputs);

    let storage = wanted(|cluster| cluster.pool.storage.size = "20Gi".into());
    assert_eq!(storage, base, "a volume is not a reason to restart");
}

#[test]
fn claim_templates_that_exist_are_kept_as_they_are() {
    let existing =
        build(&plain(), &known()).stateful_set.unwrap().spec.unwrap().volume_claim_templates.unwrap();
    let mut known = known();
    known.claim_templates = Some(existing.clone());
    let mut grown = plain();
    grown.pool.storage.size = "20Gi".into();
    let set = build(&grown, &known).stateful_set.unwrap();
    assert_eq!(set.spec.unwrap().volume_claim_templates.unwrap(), existing);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let first = serde_json::to_vec(&build(&full(), &known()).stateful_set).unwrap();
    let second = serde_json::to_vec(&build(&full(), &known()).stateful_set).unwrap();
    assert_eq!(first, second);
}
