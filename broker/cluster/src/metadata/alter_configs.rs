//! Changing the settings of topics and brokers, whole (AlterConfigs) or one by one (IncrementalAlterConfigs).
//!
//! A setting that already has the value asked for makes no record. Kafka: `ConfigurationControlManager`,
//! `ControllerConfigurationValidator`; the sentences are theirs.

use std::collections::BTreeSet;

use logspine_protocol::types::BrokerId;

use super::configs::{
    ConfigKey, ConfigMap, broker_key, resolve_broker, resolve_topic, topic_key, validate_broker_change,
    validate_topic_change, validate_topic_set,
};
use super::create_topics::repeated;
use super::image::{ConfigResource, MetadataImage, ResourceType};
use super::machine::Decision;
use super::record::MetadataRecord;
use super::request::{
    AlterOp, IncrementalAlteration, Outcome, RequestError, RequestErrorCode, ResourceAlteration,
    ResourceIncrementalAlteration, Settings,
};
use super::topic_name::is_internal;

/// AlterConfigs: what the request does not name falls back to its default.
pub(super) fn replace(
    image: &MetadataImage,
    resources: Vec<ResourceAlteration>,
    validate_only: bool,
) -> Decision {
    let parts = resources.iter().map(|part| {
        let wanted = |_: &ConfigMap| {
            let mut set = ConfigMap::new();
            for config in &part.configs {
                let value = config.value.clone().ok_or_else(|| null_value(&config.name))?;
                set.insert(config.name.clone(), value);
            }
            Ok(set)
        };
        (&part.resource, part.configs.iter().map(|config| config.name.as_str()).collect(), wanted)
    });
    alter(image, parts.collect(), validate_only)
}

/// IncrementalAlterConfigs: only what the request names changes.
pub(super) fn change(
    image: &MetadataImage,
    settings: &Settings,
    resources: Vec<ResourceIncrementalAlteration>,
    validate_only: bool,
) -> Decision {
    let parts = resources.iter().map(|part| {
        let wanted = |current: &ConfigMap| {
            let mut set = current.clone();
            for config in &part.configs {
                apply(image, settings, &part.resource, config, &mut set)?;
            }
            Ok(set)
        };
        (&part.resource, part.configs.iter().map(|config| config.name.as_str()).collect(), wanted)
    });
    alter(image, parts.collect(), validate_only)
}

/// A resource, the names that the request mentions, and its settings after the request.
type Part<'a, W> = (&'a ConfigResource, Vec<&'a str>, W);

fn alter<W>(image: &MetadataImage, parts: Vec<Part<'_, W>>, validate_only: bool) -> Decision
where
    W: Fn(&ConfigMap) -> Result<ConfigMap, RequestError>,
{
    let repeated = repeated(parts.iter().map(|(resource, ..)| *resource));
    let mut records = Vec::new();
    let plan_one = |(resource, names, wanted): &Part<'_, W>| {
        if repeated.contains(*resource) {
            return invalid_request("Each resource must appear at most once.");
        }
        records.extend(plan(image, resource, names, wanted)?);
        Ok(())
    };
    let results = parts.iter().map(plan_one).collect();
    if validate_only {
        records.clear();
    }
    Decision { records, outcome: Outcome::ConfigsAltered(results) }
}

fn plan<W>(
    image: &MetadataImage,
    resource: &ConfigResource,
    names: &[&str],
    wanted: &W,
) -> Result<Vec<MetadataRecord>, RequestError>
where
    W: Fn(&ConfigMap) -> Result<ConfigMap, RequestError>,
{
    check_exists(image, resource)?;
    if !repeated(names.iter()).is_empty() {
        return invalid_request("Error due to duplicate config keys");
    }
    let before = image.configs(resource);
    let after = wanted(before)?;
    for name in names {
        if let Some(value) = after.get(*name) {
            validate(resource, name, value)?;
        }
    }
    if resource.kind == ResourceType::Topic {
        validate_topic_set(&after)?;
    }
    let touched: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed = touched.into_iter().filter(|name| before.get(*name) != after.get(*name));
    Ok(changed
        .map(|name| MetadataRecord::Config {
            resource: resource.clone(),
            name: name.clone(),
            value: after.get(name).cloned(),
        })
        .collect())
}

fn check_exists(image: &MetadataImage, resource: &ConfigResource) -> Result<(), RequestError> {
    let name = resource.name.as_str();
    match resource.kind {
        ResourceType::Topic if name.is_empty() => invalid_request("Default topic resources are not allowed."),
        ResourceType::Topic if image.topic_by_name(name).is_none() => Err(RequestError::new(
            RequestErrorCode::UnknownTopicOrPartition,
            format!("The topic '{name}' does not exist."),
        )),
        ResourceType::Broker if name.is_empty() => Ok(()),
        ResourceType::Broker => match name.parse().map(BrokerId) {
            Ok(id) if image.broker(id).is_some() => Ok(()),
            Ok(id) => Err(RequestError::new(
                RequestErrorCode::BrokerIdNotRegistered,
                format!("No broker with id {id} found."),
            )),
            Err(_) => invalid_request(&format!("Invalid broker name {name}")),
        },
        ResourceType::Topic => Ok(()),
    }
}

/// What would trim the broker's own topics by age or size is refused, not only ignored.
fn check_internal(resource: &ConfigResource, name: &str, value: &str) -> Result<(), RequestError> {
    let is_own = resource.kind == ResourceType::Topic && is_internal(&resource.name);
    if !is_own || name != "cleanup.policy" || value.trim() == "compact" {
        return Ok(());
    }
    let topic = &resource.name;
    let message =
        format!("cleanup.policy of {topic} stays compact: it holds state that no age or size may remove");
    Err(RequestError::new(RequestErrorCode::InvalidConfig, message))
}

fn validate(resource: &ConfigResource, name: &str, value: &str) -> Result<(), RequestError> {
    check_internal(resource, name, value)?;
    match resource.kind {
        ResourceType::Topic => validate_topic_change(name, value)?,
        ResourceType::Broker => validate_broker_change(name, value)?,
    }
    Ok(())
}

fn apply(
    image: &MetadataImage,
    settings: &Settings,
    resource: &ConfigResource,
    config: &IncrementalAlteration,
    set: &mut ConfigMap,
) -> Result<(), RequestError> {
    let name = &config.name;
    if config.op == AlterOp::Delete {
        set.remove(name);
        return Ok(());
    }
    let Some(value) = &config.value else {
        return invalid_request(&format!("Null value not supported for : {name}"));
    };
    let value = match config.op {
        AlterOp::Set | AlterOp::Delete => value.clone(),
        AlterOp::Append | AlterOp::Subtract => {
            let key = list_key(resource, name, config.op)?;
            let current = set.get(name).cloned().or_else(|| inherited(image, settings, resource, key));
            edit_list(&current.unwrap_or_default(), value, config.op)
        }
    };
    set.insert(name.clone(), value);
    Ok(())
}

fn list_key(resource: &ConfigResource, name: &str, op: AlterOp) -> Result<&'static ConfigKey, RequestError> {
    let key = match resource.kind {
        ResourceType::Topic => topic_key(name),
        ResourceType::Broker => broker_key(name),
    };
    key.filter(|key| key.is_list()).ok_or_else(|| {
        let verb = if op == AlterOp::Append { "APPEND" } else { "SUBTRACT" };
        let message = format!("Can't {verb} to key {name} because its type is not LIST.");
        RequestError::new(RequestErrorCode::InvalidConfig, message)
    })
}

/// The value that a resource has without a setting of its own.
fn inherited(
    image: &MetadataImage,
    settings: &Settings,
    resource: &ConfigResource,
    key: &ConfigKey,
) -> Option<String> {
    let layers = image.broker_layers(BrokerId(-1), &settings.file);
    match resource.kind {
        ResourceType::Topic => resolve_topic(key, &layers).value,
        ResourceType::Broker => resolve_broker(key, &layers).value,
    }
}

fn edit_list(current: &str, operand: &str, op: AlterOp) -> String {
    let elements = |list: &str| -> Vec<String> {
        list.split(',').map(str::trim).filter(|element| !element.is_empty()).map(str::to_owned).collect()
    };
    let mut list = elements(current);
    for element in elements(operand) {
        match op {
            AlterOp::Subtract => list.retain(|present| *present != element),
            _ if !list.contains(&element) => list.push(element),
            _ => {}
        }
    }
    list.join(",")
}

fn null_value(name: &str) -> RequestError {
    RequestError::new(
        RequestErrorCode::InvalidConfig,
        format!("Null value not supported for topic configs: {name}"),
    )
}

fn invalid_request<T>(message: &str) -> Result<T, RequestError> {
    Err(RequestError::new(RequestErrorCode::InvalidRequest, message))
}
