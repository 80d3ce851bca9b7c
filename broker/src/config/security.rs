//! Keys that must not be ignored: each one asks for protection that this version does not give yet.
//!
//! A broker that starts anyway would be open where its operator believes it closed, so the start stops with
//! one sentence that names the key. Never the value: it may be a secret. Pure; called once at start.

use super::ConfigError;
use super::properties::Properties;

/// Prefixes of whole families. `listener.name.<listener>.` may stand before each.
const PREFIXES: &[&str] = &["ssl.", "sasl.", "delegation.token."];

/// Single keys beside the families.
const KEYS: &[&str] = &[
    "authorizer.class.name",
    "super.users",
    "principal.builder.class",
    "allow.everyone.if.no.acl.found",
    "connections.max.reauth.ms",
    "security.providers",
    "client.quota.callback.class",
];

/// Fails on the first key, in key order, that asks for protection.
pub fn refuse_unprotected(properties: &Properties) -> Result<(), ConfigError> {
    match properties.iter().find(|(key, value)| !value.trim().is_empty() && asks_for_protection(key)) {
        Some((key, _)) => Err(ConfigError::security(
            key,
            "this version cannot honour it, and ignoring it would weaken security; remove the key, or do not \
             run this broker where it is needed",
        )),
        None => Ok(()),
    }
}

fn asks_for_protection(key: &str) -> bool {
    if let Some((_listener, rest)) = key.strip_prefix("listener.name.").and_then(|rest| rest.split_once('.'))
    {
        // A mechanism may stand between: listener.name.x.scram-sha-512.sasl.jaas.config
        let without_mechanism = rest.split_once('.').map_or(rest, |(_mechanism, family)| family);
        return asks_for_protection(rest) || asks_for_protection(without_mechanism);
    }
    KEYS.contains(&key) || PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_and_each_key_stops_the_start_without_showing_its_value() {
        for key in [
            "ssl.keystore.location",
            "sasl.enabled.mechanisms",
            "authorizer.class.name",
            "listener.name.internal.ssl.keystore.password",
            "listener.name.internal.scram-sha-512.sasl.jaas.config",
            "super.users",
        ] {
            let properties = Properties::from([(key.to_owned(), "hunter2".to_owned())]);
            let sentence = refuse_unprotected(&properties).expect_err(key).to_string();
            assert!(sentence.contains(key) && !sentence.contains("hunter2"), "{sentence}");
        }
    }

    #[test]
    fn an_empty_value_asks_for_nothing() {
        let properties = Properties::from([("authorizer.class.name".to_owned(), String::new())]);
        assert!(refuse_unprotected(&properties).is_ok());
    }
}
