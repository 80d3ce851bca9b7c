//! The ConfigMap with the broker's `server.properties`.
//!
//! The file holds what is the same for each pod; addresses that only the kubelet knows come as
//! `--override` arguments of the container. Keys are written in order, so that equal input gives equal
//! bytes: the broker reports a hash of them, and the operator compares.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::api::core::v1::ConfigMap;

use super::{ValidCluster, owned};
use crate::brokers::status::ADMIN_PORT;

/// Name of the file in the ConfigMap and in the container.
pub const FILE_NAME: &str = "server.properties";
/// Where the volume is mounted.
pub(super) const DATA_MOUNT: &str = "/data";
/// The brokers' directory inside the volume: a fresh file system may hold `lost+found` at its root.
const LOG_DIR: &str = "/data/log";

pub(super) fn build(cluster: &ValidCluster, file: String) -> ConfigMap {
    ConfigMap {
        metadata: owned(cluster, cluster.config_map()),
        data: Some(BTreeMap::from([(FILE_NAME.into(), file)])),
        ..ConfigMap::default()
    }
}

/// The whole file.
pub(super) fn render(cluster: &ValidCluster, cluster_id: &str) -> String {
    let each = |text: &dyn Fn(&crate::crd::Listener) -> String| {
        cluster.listeners.iter().map(text).collect::<Vec<_>>().join(",")
    };
    let name = |listener: &crate::crd::Listener| listener.name.to_uppercase();
    let owned = [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", "0".to_owned()),
        ("cluster.id", cluster_id.to_owned()),
        ("log.dirs", LOG_DIR.to_owned()),
        ("listeners", each(&|listener| format!("{}://0.0.0.0:{}", name(listener), listener.port))),
        ("listener.security.protocol.map", each(&|listener| format!("{}:PLAINTEXT", name(listener)))),
        ("inter.broker.listener.name", name(cluster.internal())),
        ("admin.listeners", format!("http://0.0.0.0:{ADMIN_PORT}")),
    ];
    let mut file = String::from("# Written by the Logspine operator; changes are overwritten.\n");
    for (key, value) in owned {
        let _ = writeln!(file, "{key}={value}");
    }
    for (key, value) in &cluster.config {
        let _ = writeln!(file, "{key}={value}");
    }
    file
}
