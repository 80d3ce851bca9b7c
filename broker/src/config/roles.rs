//! `process.roles`, `node.id` and `controller.quorum.*`: what of a KRaft file makes sense here.
//!
//! Every broker carries the voter role itself, so Kafka's combined mode is the only one; a file for a pure
//! broker, a pure controller or several voters describes a cluster that this version cannot be a part of,
//! and stops the start. Pure.

use super::ConfigError;
use super::properties::Properties;
use super::values::{list, number, text};

/// `node.id`, or its old name `broker.id`; 0 where neither is set.
pub fn node_id(properties: &Properties) -> Result<i32, ConfigError> {
    let old = number(properties, "broker.id", 0, 0..=i32::MAX)?;
    let new = number(properties, "node.id", old, 0..=i32::MAX)?;
    if text(properties, "node.id").is_some() && text(properties, "broker.id").is_some() && old != new {
        return Err(ConfigError::invalid(
            "broker.id",
            &old.to_string(),
            format!("the same as node.id={new}"),
        ));
    }
    Ok(new)
}

/// Combined mode with one voter, which is us.
pub fn require_combined(properties: &Properties, node_id: i32) -> Result<(), ConfigError> {
    let roles = list(properties, "process.roles");
    if let Some(other) = roles.iter().find(|role| !matches!(role.as_str(), "broker" | "controller")) {
        return Err(ConfigError::invalid("process.roles", other, "broker,controller"));
    }
    if roles.len() == 1 {
        let why = format!(
            "it asks for the role {} alone; every broker here is also a voter of the metadata quorum, so \
             write broker,controller",
            roles[0]
        );
        return Err(ConfigError::not_supported("process.roles", why));
    }
    let voters = list(properties, "controller.quorum.voters");
    if voters.len() > 1 {
        let why = format!("it names {} voters and this version runs with one", voters.len());
        return Err(ConfigError::not_supported("controller.quorum.voters", why));
    }
    match voters.first().map(|voter| voter.split_once('@').and_then(|(id, _)| id.parse::<i32>().ok())) {
        None => Ok(()),
        Some(Some(id)) if id == node_id => Ok(()),
        Some(_) => Err(ConfigError::invalid(
            "controller.quorum.voters",
            &voters[0],
            format!("{node_id}@host:port, since node.id={node_id}"),
        )),
    }
}
