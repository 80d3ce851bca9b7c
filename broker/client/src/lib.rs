//! A small Kafka client: it knows the wire, not the server.
//!
//! For the command line, the operator and the tests: administration, an idempotent producer, a consumer by
//! partition and a member of a classic consumer group. It speaks to any broker from Kafka 2.1 on (the baseline
//! of KIP-896) at the highest version both sides know. Every queue has a bound, every call a deadline.
//! Invariant: nothing in here depends on the broker's crates; the only floor below is `logspine_protocol`.
//!
//! ```no_run
//! # async fn example() -> Result<(), logspine_client::ClientError> {
//! use std::collections::BTreeMap;
//! use std::time::Duration;
//! use logspine_client::{Client, ClientConfig, ConsumerConfig, ProducerConfig, ProducerRecord, StartAt};
//!
//! let client = Client::connect(ClientConfig::new("127.0.0.1:9092")).await?;
//! client.admin().create_topic("orders", 3, -1, &BTreeMap::new(), false).await?;
//!
//! let producer = client.producer(ProducerConfig::default())?;
//! let delivery = producer.send(ProducerRecord::new("orders", "one coffee").with_key("table 4")).await?;
//! println!("written at offset {}", delivery.await?.offset);
//!
//! let mut consumer = client.consumer(ConsumerConfig::default());
//! consumer.assign_topic("orders", StartAt::Earliest).await?;
//! consumer.stop_at_end().await?;
//! while !consumer.is_finished() {
//!     for record in consumer.poll(Duration::from_secs(1)).await? {
//!         println!("{} {:?}", record.offset, record.value);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod admin;
mod client;
mod config;
mod connection;
mod connections;
mod consumer;
mod error;
mod group;
mod metadata;
mod negotiate;
#[cfg(test)]
mod played_broker;
mod producer;
mod reply;
mod retry;

pub use admin::{
    Admin, BrokerDescription, ClusterDescription, CommittedOffset, ConfigChange, ConfigEntry, ConfigOp,
    ConfigSource, GroupDescription, GroupListing, GroupMember, ListedOffset, OffsetSpec, Resource, TopicRef,
};
pub use client::Client;
pub use config::ClientConfig;
pub use consumer::{Consumer, ConsumerConfig, ConsumerRecord, OffsetReset, StartAt, TimestampType};
pub use error::ClientError;
pub use group::{GroupConfig, GroupConsumer};
pub use metadata::{BrokerEndpoint, ClusterView, PartitionDescription, TopicDescription, TopicPartition};
pub use producer::{
    Acks, Codec, Delivery, Producer, ProducerConfig, ProducerRecord, RecordMetadata, murmur2,
    partition_of_key,
};
pub use reply::Reply;
