//! `BrokerAdmin` over Kafka's protocol, through `logspine_client`.
//!
//! The only file that knows the client. It connects when it is first asked, so that an operator starts
//! without any broker. Short deadlines: a pass must end, and silence is an answer. Errors that may pass by
//! themselves become `Unreachable`, everything else is a refusal with Kafka's name of the error.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use logspine_client::{
    Client, ClientConfig, ClientError, ConfigEntry, ConfigOp, ConfigSource, PartitionDescription, Resource,
    TopicRef,
};
use logspine_protocol::types::TopicId;
use tokio::sync::OnceCell;

use super::{
    ActualCluster, ActualPartition, ActualTopic, AdminError, AdminFactory, BrokerAdmin, ConfigChange,
    ConfigValue, NewTopic,
};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const API_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Makes admin clients that speak Kafka's protocol.
pub fn factory() -> AdminFactory {
    Arc::new(|bootstrap| Arc::new(WireAdmin { bootstrap: bootstrap.into(), client: OnceCell::new() }))
}

/// The admin client of one cluster.
struct WireAdmin {
    bootstrap: String,
    client: OnceCell<Client>,
}

impl WireAdmin {
    async fn client(&self) -> Result<&Client, AdminError> {
        let connect = || {
            Client::connect(ClientConfig {
                client_id: "logspine-operator".into(),
                request_timeout: REQUEST_TIMEOUT,
                api_timeout: API_TIMEOUT,
                connect_timeout: CONNECT_TIMEOUT,
                // A topic that does not exist is an ordinary answer here.
                unknown_topic_timeout: Duration::ZERO,
                ..ClientConfig::new(&self.bootstrap)
            })
        };
        self.client.get_or_try_init(connect).await.map_err(translate)
    }
}

impl BrokerAdmin for WireAdmin {
    fn cluster(&self) -> BoxFuture<'_, Result<ActualCluster, AdminError>> {
        Box::pin(async move {
            let cluster = self.client().await?.admin().describe_cluster().await.map_err(translate)?;
            Ok(ActualCluster {
                cluster_id: cluster.cluster_id,
                controller_id: cluster.controller.map(|id| id.0),
                brokers: cluster
                    .brokers
                    .iter()
                    .filter(|broker| !broker.fenced)
                    .map(|broker| broker.endpoint.id.0)
                    .collect(),
            })
        })
    }

    fn describe_topic<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<ActualTopic>, AdminError>> {
        Box::pin(async move {
            let admin = self.client().await?.admin();
            let topic = match admin.describe_topics(&[name]).await {
                Ok(topics) => topics.into_iter().next(),
                Err(error) if error.is_unknown_topic() => None,
                Err(error) => return Err(translate(error)),
            };
            let Some(topic) = topic else { return Ok(None) };
            let config = match admin.describe_configs(&Resource::Topic(name.into())).await {
                Ok(config) => config,
                // Deleted in between.
                Err(error) if error.is_unknown_topic() => return Ok(None),
                Err(error) => return Err(translate(error)),
            };
            Ok(Some(ActualTopic {
                id: topic.topic_id.to_string(),
                partitions: topic.partitions.iter().map(partition).collect(),
                config: values(config),
            }))
        })
    }

    fn create_topic<'a>(&'a self, topic: &'a NewTopic) -> BoxFuture<'a, Result<(), AdminError>> {
        Box::pin(async move {
            let factor = topic.replication_factor.and_then(|factor| i16::try_from(factor).ok()).unwrap_or(-1);
            let admin = self.client().await?.admin();
            admin
                .create_topic(&topic.name, topic.partitions, factor, &topic.config, false)
                .await
                .map(drop)
                .map_err(translate)
        })
    }

    fn add_partitions<'a>(&'a self, name: &'a str, total: i32) -> BoxFuture<'a, Result<(), AdminError>> {
        Box::pin(async move {
            self.client().await?.admin().create_partitions(name, total).await.map_err(translate)
        })
    }

    fn alter_config<'a>(
        &'a self,
        name: &'a str,
        change: &'a ConfigChange,
    ) -> BoxFuture<'a, Result<(), AdminError>> {
        Box::pin(async move {
            let sets = change.set.iter().map(|(key, value)| ConfigOp::set(key, value));
            let ops: Vec<ConfigOp> = sets.chain(change.reset.iter().map(ConfigOp::delete)).collect();
            let admin = self.client().await?.admin();
            admin
                .incremental_alter_configs(&Resource::Topic(name.into()), &ops, false)
                .await
                .map_err(translate)
        })
    }

    fn delete_topic<'a>(&'a self, topic_id: &'a str) -> BoxFuture<'a, Result<(), AdminError>> {
        Box::pin(async move {
            let id: TopicId = topic_id.parse().map_err(|_| AdminError::Refused {
                code: "UNKNOWN_TOPIC_ID".into(),
                message: format!("{topic_id:?} is no topic id"),
            })?;
            self.client().await?.admin().delete_topic(TopicRef::Id(id)).await.map_err(translate)
        })
    }
}

fn partition(partition: &PartitionDescription) -> ActualPartition {
    let count = |ids: usize| i32::try_from(ids).unwrap_or(i32::MAX);
    ActualPartition {
        leader: partition.leader.map(|id| id.0),
        replicas: count(partition.replicas.len()),
        in_sync: count(partition.isr.len()),
    }
}

fn values(entries: Vec<ConfigEntry>) -> BTreeMap<String, ConfigValue> {
    entries
        .into_iter()
        .filter_map(|entry| {
            let overridden = entry.source == ConfigSource::Topic;
            Some((entry.name, ConfigValue { value: entry.value?, overridden }))
        })
        .collect()
}

fn translate(error: ClientError) -> AdminError {
    // Kafka retries an unknown topic because it may be on its way; here it is an answer.
    let passes = (error.is_retriable() || error.is_unreachable()) && !error.is_unknown_topic();
    match &error {
        _ if passes => AdminError::Unreachable { message: error.to_string(), silent_for: Duration::ZERO },
        ClientError::Api { code, message, .. } => AdminError::Refused {
            code: code.name().into(),
            message: match message.as_deref().filter(|words| !words.is_empty()) {
                Some(words) => format!("{}: {words}", code.name()),
                None => code.name().into(),
            },
        },
        _ => AdminError::Refused { code: "CLIENT_ERROR".into(), message: error.to_string() },
    }
}
