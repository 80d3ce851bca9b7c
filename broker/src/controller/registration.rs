//! How this broker presents itself to the cluster: its listeners as clients reach them, its rack, its directory.

use logspine_cluster::metadata::{Endpoint, RegisterBroker};
use logspine_protocol::types::{BrokerId, TopicId};

use crate::config::{BrokerConfig, Listener};
use crate::identity::Identity;

/// Kafka's number of the PLAINTEXT protocol, the only one served.
const PLAINTEXT: i16 = 0;

pub fn registration(config: &BrokerConfig, identity: &Identity, incarnation_id: TopicId) -> RegisterBroker {
    RegisterBroker {
        broker_id: BrokerId(identity.node_id),
        incarnation_id,
        endpoints: config.listeners.iter().map(endpoint).collect(),
        rack: config.rack.clone(),
        log_dirs: vec![identity.directory_id],
    }
}

fn endpoint(listener: &Listener) -> Endpoint {
    Endpoint {
        listener: listener.name.to_string(),
        host: listener.advertised_host.clone(),
        port: if listener.advertised_port == 0 { listener.port } else { listener.advertised_port },
        security_protocol: PLAINTEXT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BrokerConfig, properties};

    #[test]
    fn clients_are_told_the_advertised_address_of_each_listener() {
        let text = "listeners=IN://0.0.0.0:9092,OUT://:9094\n\
                    advertised.listeners=IN://b0.internal:9092,OUT://203.0.113.9:30094\n\
                    listener.security.protocol.map=IN:PLAINTEXT,OUT:PLAINTEXT\n\
                    broker.rack=a\n";
        let config = BrokerConfig::from_properties(properties::parse(text), true, "box").unwrap();
        let directory_id = TopicId([2; 16]);
        let identity = Identity { cluster_id: "c".to_owned(), node_id: 0, directory_id };
        let registration = registration(&config, &identity, TopicId([1; 16]));
        let told: Vec<_> =
            registration.endpoints.iter().map(|e| (e.listener.as_str(), e.host.as_str(), e.port)).collect();
        assert_eq!(told, [("IN", "b0.internal", 9092), ("OUT", "203.0.113.9", 30094)]);
        assert_eq!(registration.rack.as_deref(), Some("a"));
        assert_eq!(registration.log_dirs, [directory_id]);
    }
}
