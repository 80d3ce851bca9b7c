//! The Services: a DNS name per pod, one address to bootstrap from, and one per outside listener.
//!
//! The headless Service publishes addresses of pods that are not ready, because brokers must find each
//! other before any of them is. The bootstrap Service lists ready ones only. The node port answers on every
//! node, so that a client may bootstrap from any of them; the advertised address is the broker's own node.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{ValidCluster, labels, owned};
use crate::brokers::status::ADMIN_PORT;
use crate::crd::{Listener, ListenerType};

/// Label of a Service that belongs to one listener.
pub const LISTENER: &str = "logspine.dev/listener";

pub(super) fn build(cluster: &ValidCluster) -> Vec<Service> {
    let mut services = vec![headless(cluster), bootstrap(cluster)];
    let outside = cluster.listeners.iter().filter(|listener| listener.type_ == ListenerType::NodePort);
    services.extend(outside.map(|listener| node_port(cluster, listener)));
    services
}

fn headless(cluster: &ValidCluster) -> Service {
    let mut ports: Vec<ServicePort> = cluster.listeners.iter().map(port).collect();
    ports.push(ServicePort {
        name: Some("admin".into()),
        port: ADMIN_PORT,
        target_port: Some(IntOrString::Int(ADMIN_PORT)),
        protocol: Some("TCP".into()),
        ..ServicePort::default()
    });
    Service {
        metadata: owned(cluster, cluster.headless_service()),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".into()),
            publish_not_ready_addresses: Some(true),
            selector: Some(labels::selector(&cluster.name, &cluster.pool.name)),
            ports: Some(ports),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn bootstrap(cluster: &ValidCluster) -> Service {
    Service {
        metadata: owned(cluster, cluster.bootstrap_service()),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".into()),
            selector: Some(labels::selector(&cluster.name, &cluster.pool.name)),
            ports: Some(vec![port(cluster.internal())]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn node_port(cluster: &ValidCluster, listener: &Listener) -> Service {
    let mut metadata = owned(cluster, cluster.listener_service(listener));
    metadata.labels.get_or_insert_default().insert(LISTENER.into(), listener.name.clone());
    let mut selector = labels::selector(&cluster.name, &cluster.pool.name);
    selector.insert("statefulset.kubernetes.io/pod-name".into(), cluster.pod(0));
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some("NodePort".into()),
            publish_not_ready_addresses: Some(true),
            selector: Some(selector),
            ports: Some(vec![ServicePort { node_port: listener.node_port, ..port(listener) }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn port(listener: &Listener) -> ServicePort {
    ServicePort {
        name: Some(listener.name.clone()),
        port: listener.port,
        target_port: Some(IntOrString::Int(listener.port)),
        protocol: Some("TCP".into()),
        ..ServicePort::default()
    }
}
