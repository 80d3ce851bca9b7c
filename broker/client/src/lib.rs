//! A small Kafka client: knows the wire, not the server.
