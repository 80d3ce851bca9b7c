//! Configs of topics, brokers and groups: what holds, where it comes from, and single changes to it.
//!
//! Changes are incremental (KIP-339): what is not named stays as it is. A broker's own configs are asked of and
//! changed at that broker, everything else anywhere. Sources and types are Kafka's `DescribeConfigsResponse`.

use logspine_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
};
use logspine_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use logspine_protocol::types::BrokerId;

use super::Admin;
use crate::error::ClientError;
use crate::reply::Reply;

/// What a config belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// A topic, by name.
    Topic(String),
    /// One broker.
    Broker(BrokerId),
    /// The dynamic default of all brokers.
    AllBrokers,
    /// A group, by its id.
    Group(String),
}

impl Resource {
    /// Kafka's number for the kind (`ConfigResource.Type`).
    fn kind(&self) -> i8 {
        match self {
            Self::Topic(_) => 2,
            Self::Broker(_) | Self::AllBrokers => 4,
            Self::Group(_) => 32,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Topic(name) | Self::Group(name) => name.clone(),
            Self::Broker(id) => id.0.to_string(),
            Self::AllBrokers => String::new(),
        }
    }
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::Broker(id) => write!(f, "broker {id}"),
            Self::AllBrokers => write!(f, "the default of all brokers"),
            Self::Group(name) => write!(f, "group {name}"),
        }
    }
}

/// Where a value comes from (Kafka's `ConfigSource`); the first that is set in this order wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic.
    Topic,
    /// Set on the group.
    Group,
    /// A broker's log level.
    DynamicBrokerLogger,
    /// Set on one broker while it runs.
    DynamicBroker,
    /// Set on all brokers while they run.
    DynamicDefaultBroker,
    /// A subscription to client metrics.
    ClientMetrics,
    /// In the broker's own configuration.
    StaticBroker,
    /// Nobody's choice.
    Default,
    /// A source that this client does not know.
    Unknown,
}

impl ConfigSource {
    fn from_number(number: i8) -> Self {
        match number {
            1 => Self::Topic,
            2 => Self::DynamicBroker,
            3 => Self::DynamicDefaultBroker,
            4 => Self::StaticBroker,
            5 => Self::Default,
            6 => Self::DynamicBrokerLogger,
            7 => Self::ClientMetrics,
            8 => Self::Group,
            _ => Self::Unknown,
        }
    }

    /// Kafka's name, as its own tools print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Topic => "DYNAMIC_TOPIC_CONFIG",
            Self::Group => "DYNAMIC_GROUP_CONFIG",
            Self::DynamicBrokerLogger => "DYNAMIC_BROKER_LOGGER_CONFIG",
            Self::DynamicBroker => "DYNAMIC_BROKER_CONFIG",
            Self::DynamicDefaultBroker => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            Self::ClientMetrics => "DYNAMIC_CLIENT_METRICS_CONFIG",
            Self::StaticBroker => "STATIC_BROKER_CONFIG",
            Self::Default => "DEFAULT_CONFIG",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// One config that holds for a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Kafka's key.
    pub name: String,
    /// `None` when it has none, or when it is sensitive and not told.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Nobody has set it.
    pub is_default: bool,
    /// It cannot be changed while the broker runs.
    pub read_only: bool,
    /// Its value is not told.
    pub sensitive: bool,
}

/// One change to one config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigOp {
    /// Kafka's key.
    pub name: String,
    /// What happens to it.
    pub change: ConfigChange,
}

/// Kafka's `AlterConfigOp.OpType`; append and subtract work on lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigChange {
    /// To this value.
    Set(String),
    /// Back to the default.
    Delete,
    /// To the list.
    Append(String),
    /// From the list.
    Subtract(String),
}

impl ConfigOp {
    /// Sets one config.
    pub fn set(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), change: ConfigChange::Set(value.into()) }
    }

    /// Gives one config its default again.
    pub fn delete(name: impl Into<String>) -> Self {
        Self { name: name.into(), change: ConfigChange::Delete }
    }

    fn to_wire(&self) -> AlterableConfig<'_> {
        let (config_operation, value) = match &self.change {
            ConfigChange::Set(value) => (0, Some(value)),
            ConfigChange::Delete => (1, None),
            ConfigChange::Append(value) => (2, Some(value)),
            ConfigChange::Subtract(value) => (3, Some(value)),
        };
        let value = value.map(|value| value.as_str().into());
        AlterableConfig { name: self.name.as_str().into(), config_operation, value }
    }
}

impl Admin {
    /// Every config of the resource, in the broker's order.
    pub async fn describe_configs(&self, resource: &Resource) -> Result<Vec<ConfigEntry>, ClientError> {
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: resource.kind(),
                resource_name: resource.name().into(),
                configuration_keys: None,
            }],
            ..DescribeConfigsRequest::default()
        };
        self.client.retrying(|| self.describe_configs_once(resource, &request)).await
    }

    async fn describe_configs_once(
        &self,
        resource: &Resource,
        request: &DescribeConfigsRequest<'_>,
    ) -> Result<Vec<ConfigEntry>, ClientError> {
        let reply = match resource {
            Resource::Broker(id) => self.client.call(*id, request).await?,
            _ => self.client.call_any(request).await?,
        };
        let response = reply.decode::<DescribeConfigsResponse<'_>>()?;
        let result = response.results.first().ok_or_else(|| reply.incomplete("the resource"))?;
        reply.check(result.error_code, &resource.to_string(), result.error_message.as_deref())?;
        Ok(result.configs.iter().map(ConfigEntry::from_response).collect())
    }

    /// Applies all of these changes to the resource, or none. With `validate_only` they are only judged.
    pub async fn incremental_alter_configs(
        &self,
        resource: &Resource,
        ops: &[ConfigOp],
        validate_only: bool,
    ) -> Result<(), ClientError> {
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: resource.kind(),
                resource_name: resource.name().into(),
                configs: ops.iter().map(ConfigOp::to_wire).collect(),
            }],
            validate_only,
        };
        self.client.retrying(|| self.alter_configs_once(resource, &request)).await
    }

    async fn alter_configs_once(
        &self,
        resource: &Resource,
        request: &IncrementalAlterConfigsRequest<'_>,
    ) -> Result<(), ClientError> {
        let reply: Reply = match resource {
            Resource::Broker(id) => self.client.call(*id, request).await?,
            _ => self.client.call_controller(request).await?,
        };
        let response = reply.decode::<IncrementalAlterConfigsResponse<'_>>()?;
        let result = response.responses.first().ok_or_else(|| reply.incomplete("the resource"))?;
        reply.check(result.error_code, &resource.to_string(), result.error_message.as_deref())
    }
}

impl ConfigEntry {
    fn from_response(config: &DescribeConfigsResourceResult<'_>) -> Self {
        let source = ConfigSource::from_number(config.config_source);
        Self {
            name: config.name.clone().into_owned(),
            value: config.value.clone().map(|value| value.into_owned()),
            source,
            is_default: source == ConfigSource::Default,
            read_only: config.read_only,
            sensitive: config.is_sensitive,
        }
    }
}
