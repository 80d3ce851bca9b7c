//! From the resource types of DescribeConfigs, AlterConfigs and IncrementalAlterConfigs to what has settings here.

use logspine_cluster::metadata::{ConfigResource, ResourceType};
use logspine_protocol::error::ErrorCode;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

/// The resource, or the code and the sentence of its refusal.
pub fn parse(resource_type: i8, name: &str) -> Result<ConfigResource, (ErrorCode, String)> {
    let why = match resource_type {
        TOPIC => return Ok(ConfigResource { kind: ResourceType::Topic, name: name.to_owned() }),
        BROKER => return Ok(ConfigResource { kind: ResourceType::Broker, name: name.to_owned() }),
        BROKER_LOGGER => {
            "log levels are set when the broker starts (--log-level), not while it runs".to_owned()
        }
        CLIENT_METRICS => "client metrics subscriptions are not served by this version".to_owned(),
        GROUP => "settings of single groups are not served by this version".to_owned(),
        other => format!("Unexpected resource type {other} for resource {name}"),
    };
    Err((ErrorCode::InvalidRequest, why))
}
