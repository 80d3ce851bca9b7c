//! What the operator asks of brokers, asked of a real one.
//!
//! The binary is the one that `LOGSPINE_BIN` names, as in the other tests that run brokers. It is started
//! with the very file that the operator writes, so that both sides agree about every key in it.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use logspine_operator::brokers::{AdminError, ConfigChange, NewTopic, status, wire};
use logspine_operator::controllers::cluster::build::{Known, build};
use logspine_operator::controllers::cluster::validate::validate;
use logspine_operator::crd::Cluster;
use logspine_operator::kube::apply::hash;
use serde_json::json;

const CLUSTER_ID: &str = "5L6g3nShT-eMCtK--X86sw";

/// A broker that ends with this value.
struct Broker {
    child: Child,
    bootstrap: String,
    admin_port: u16,
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn cluster() -> Cluster {
    serde_json::from_value(json!({
        "apiVersion": "logspine.dev/v1alpha1", "kind": "Cluster",
        "metadata": { "name": "events", "namespace": "shop", "uid": "u" },
        "spec": { "image": "l:1", "pools": [{ "name": "main", "storage": { "size": "1Gi" } }],
            "listeners": [{ "name": "internal", "type": "internal", "port": 9092 }],
            "config": { "log.retention.hours": "24" } }
    }))
    .unwrap()
}

/// The file as the operator writes it; only addresses and the directory are another's here.
fn server_properties() -> String {
    let known = Known { cluster_id: CLUSTER_ID.into(), ..Known::default() };
    let manifests = build(&validate(&cluster()).unwrap(), &known);
    manifests.config_map.data.unwrap()["server.properties"].clone()
}

fn start(binary: &Path, dir: &Path) -> Broker {
    let (port, admin_port) = (free_port(), free_port());
    let file = dir.join("server.properties");
    std::fs::write(&file, server_properties()).unwrap();
    let log = std::fs::File::create(dir.join("broker.log")).unwrap();
    let child = Command::new(binary)
        .args(["broker", "--log-format", "json", "--config"])
        .arg(&file)
        .arg("--override")
        .arg(format!("log.dirs={}", dir.join("log").display()))
        .arg("--override")
        .arg(format!("listeners=INTERNAL://127.0.0.1:{port}"))
        .arg("--override")
        .arg(format!("advertised.listeners=INTERNAL://127.0.0.1:{port}"))
        .arg("--override")
        .arg(format!("admin.listeners=http://127.0.0.1:{admin_port}"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    Broker { child, bootstrap: format!("127.0.0.1:{port}"), admin_port }
}

async fn ready(broker: &Broker, dir: &Path) -> logspine_operator::brokers::BrokerReport {
    let began = Instant::now();
    loop {
        match status::fetch("127.0.0.1", broker.admin_port).await {
            Ok(report) if report.ready => return report,
            other => assert!(
                began.elapsed() < Duration::from_secs(20),
                "{other:?}; {}",
                std::fs::read_to_string(dir.join("broker.log")).unwrap()
            ),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_real_broker_takes_the_operators_file_and_does_what_it_is_asked() {
    let Some(binary) = std::env::var_os("LOGSPINE_BIN") else {
        let words = "SKIPPED a_real_broker_takes_the_operators_file: LOGSPINE_BIN names no broker";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{words}");
        return println!("{words}");
    };
    let dir = tempfile::tempdir().unwrap();
    let broker = start(Path::new(&binary), dir.path());
    let report = ready(&broker, dir.path()).await;
    assert_eq!(report.state, "running");
    assert_eq!(report.cluster_id, CLUSTER_ID);
    assert_eq!(report.config_hash, hash(server_properties().as_bytes()), "both hash the same bytes");
    assert!(report.disk_total_bytes > 0);

    let admin = wire::factory()(&broker.bootstrap);
    let cluster = admin.cluster().await.unwrap();
    assert_eq!((cluster.cluster_id.as_str(), cluster.brokers.as_slice()), (CLUSTER_ID, &[0][..]));
    assert_eq!(admin.describe_topic("orders").await.unwrap(), None);

    let config = BTreeMap::from([("retention.ms".to_owned(), "1000000".to_owned())]);
    let new = NewTopic { name: "orders".into(), partitions: 2, replication_factor: None, config };
    admin.create_topic(&new).await.unwrap();
    let again = admin.create_topic(&new).await.unwrap_err();
    assert!(matches!(again, AdminError::Refused { code, .. } if code == "TOPIC_ALREADY_EXISTS"));
    let topic = admin.describe_topic("orders").await.unwrap().unwrap();
    assert_eq!((topic.id.len(), topic.partitions.len()), (22, 2));
    assert_eq!((topic.partitions[0].leader, topic.partitions[0].in_sync), (Some(0), 1));
    let retention = &topic.config["retention.ms"];
    assert_eq!((retention.value.as_str(), retention.overridden), ("1000000", true));
    assert!(!topic.config["segment.bytes"].overridden);

    admin.add_partitions("orders", 5).await.unwrap();
    let change = ConfigChange {
        set: BTreeMap::from([("max.message.bytes".into(), "2000000".into())]),
        reset: BTreeSet::from(["retention.ms".into()]),
    };
    admin.alter_config("orders", &change).await.unwrap();
    let topic = admin.describe_topic("orders").await.unwrap().unwrap();
    assert_eq!(topic.partitions.len(), 5);
    assert!(!topic.config["retention.ms"].overridden && topic.config["max.message.bytes"].overridden);
    let set = BTreeMap::from([("retention.ms".into(), "soon".into())]);
    let wrong = ConfigChange { set, ..ConfigChange::default() };
    let refusal = admin.alter_config("orders", &wrong).await.unwrap_err();
    assert!(matches!(&refusal, AdminError::Refused { code, .. } if code == "INVALID_CONFIG"), "{refusal:?}");

    admin.delete_topic(&topic.id).await.unwrap();
    assert_eq!(admin.describe_topic("orders").await.unwrap(), None);
    let gone = admin.delete_topic(&topic.id).await.unwrap_err();
    assert!(
        matches!(gone, AdminError::Refused { code, .. } if code == "UNKNOWN_TOPIC_ID"),
        "the operator lets go then"
    );
    drop(broker);
    assert!(
        matches!(admin.cluster().await, Err(AdminError::Unreachable { .. })),
        "silence is told from refusal"
    );
}
