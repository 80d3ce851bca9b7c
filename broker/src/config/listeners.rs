//! `listeners`, `advertised.listeners` and what maps a listener's name to a security protocol.
//!
//! Pure: properties in, sockets to open and addresses to tell clients out. Only PLAINTEXT is served so far;
//! any other protocol stops the start, because ignoring it would open to everybody what was meant to be
//! closed. Kafka: SocketServerConfigs, EndPoint, KafkaConfig.validateValues.

use std::fmt;
use std::sync::Arc;

use super::ConfigError;
use super::properties::Properties;

/// A listener's name in upper case, as in `listeners=INTERNAL://...`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerName(pub Arc<str>);

impl fmt::Display for ListenerName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// One socket to open and the address that clients of it are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    pub name: ListenerName,
    /// Empty = every interface. An IPv6 address stands without brackets.
    pub host: String,
    /// 0 = any free port.
    pub port: u16,
    pub advertised_host: String,
    /// 0 = the port that was bound.
    pub advertised_port: u16,
}

/// `NAME://host:port`, before anything is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Endpoint {
    name: ListenerName,
    host: String,
    port: u16,
}

/// The listeners of the broker role. `default` is used where `listeners` is not set.
pub fn resolve(properties: &Properties, default: &str, hostname: &str) -> Result<Vec<Listener>, ConfigError> {
    let text = properties.get("listeners").map_or(default, String::as_str);
    let controller_names = names(properties, "controller.listener.names");
    let advertised = match properties.get("advertised.listeners") {
        Some(text) if !text.trim().is_empty() => endpoints("advertised.listeners", text)?,
        _ => Vec::new(),
    };
    let mut listeners: Vec<Listener> = Vec::new();
    for endpoint in endpoints("listeners", text)? {
        require_plaintext(properties, &endpoint.name, "listeners")?;
        if controller_names.contains(&endpoint.name) {
            continue;
        }
        if listeners.iter().any(|other| other.name == endpoint.name) {
            return Err(ConfigError::invalid("listeners", text, "each listener name may appear once"));
        }
        listeners.push(advertise(endpoint, &advertised, hostname)?);
    }
    if listeners.is_empty() {
        return Err(ConfigError::invalid("listeners", text, "at least one listener of the broker role"));
    }
    for endpoint in &advertised {
        let is_served = listeners.iter().any(|listener| listener.name == endpoint.name);
        if !is_served && !controller_names.contains(&endpoint.name) {
            let why = format!("{} is advertised but not in listeners", endpoint.name);
            return Err(ConfigError::invalid("advertised.listeners", &endpoint.name.0, why));
        }
    }
    inter_broker_listener(properties, &listeners)?;
    Ok(listeners)
}

fn advertise(own: Endpoint, advertised: &[Endpoint], hostname: &str) -> Result<Listener, ConfigError> {
    let (advertised_host, advertised_port) = match advertised.iter().find(|other| other.name == own.name) {
        Some(told) => (told.host.clone(), told.port),
        None if own.host.is_empty() => (hostname.to_owned(), own.port),
        None => (own.host.clone(), own.port),
    };
    if matches!(advertised_host.as_str(), "" | "0.0.0.0" | "::") {
        let why = "no client can connect to this address; set advertised.listeners to one that they reach";
        return Err(ConfigError::invalid("advertised.listeners", &advertised_host, why));
    }
    Ok(Listener { name: own.name, host: own.host, port: own.port, advertised_host, advertised_port })
}

/// `inter.broker.listener.name` must be one of ours; security.inter.broker.protocol must be PLAINTEXT.
fn inter_broker_listener(properties: &Properties, listeners: &[Listener]) -> Result<(), ConfigError> {
    let key = "security.inter.broker.protocol";
    if let Some(protocol) = properties.get(key).filter(|protocol| !protocol.eq_ignore_ascii_case("PLAINTEXT"))
    {
        return Err(ConfigError::security(key, format!("only PLAINTEXT is supported, not {protocol}")));
    }
    let Some(name) = properties.get("inter.broker.listener.name") else { return Ok(()) };
    if listeners.iter().any(|listener| listener.name.0.eq_ignore_ascii_case(name.trim())) {
        return Ok(());
    }
    Err(ConfigError::invalid("inter.broker.listener.name", name, "the name of one of the listeners"))
}

fn require_plaintext(properties: &Properties, name: &ListenerName, key: &str) -> Result<(), ConfigError> {
    let protocol = protocol_of(properties, name)?;
    if protocol == "PLAINTEXT" {
        return Ok(());
    }
    let why = format!(
        "listener {name} asks for {protocol}, and this version serves PLAINTEXT only; it will not open \
         without protection what was meant to be protected"
    );
    Err(ConfigError::security(key, why))
}

/// The protocol from `listener.security.protocol.map`; without a map a listener is named after its protocol.
fn protocol_of(properties: &Properties, name: &ListenerName) -> Result<String, ConfigError> {
    let map_key = "listener.security.protocol.map";
    let mapped = properties.get(map_key).and_then(|map| {
        map.split(',')
            .filter_map(|pair| pair.split_once(':'))
            .find(|(listener, _)| listener.trim().eq_ignore_ascii_case(&name.0))
            .map(|(_, protocol)| protocol.trim().to_ascii_uppercase())
    });
    if let Some(protocol) = mapped {
        return Ok(protocol);
    }
    match &*name.0 {
        "PLAINTEXT" | "SSL" | "SASL_PLAINTEXT" | "SASL_SSL" => Ok(name.0.to_string()),
        // Kafka's own default for a controller listener that the map does not mention.
        _ if names(properties, "controller.listener.names").contains(name) => Ok("PLAINTEXT".to_owned()),
        _ => Err(ConfigError::invalid(map_key, &name.0, format!("a security protocol for listener {name}"))),
    }
}

fn names(properties: &Properties, key: &str) -> Vec<ListenerName> {
    let text = properties.get(key).map_or("", String::as_str);
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(listener_name).collect()
}

fn listener_name(text: &str) -> ListenerName {
    ListenerName(text.to_ascii_uppercase().into())
}

fn endpoints(key: &'static str, text: &str) -> Result<Vec<Endpoint>, ConfigError> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(|part| endpoint(key, part)).collect()
}

fn endpoint(key: &'static str, text: &str) -> Result<Endpoint, ConfigError> {
    let invalid = || ConfigError::invalid(key, text, "NAME://host:port");
    let (name, address) = text.split_once("://").ok_or_else(invalid)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(invalid)?;
    let port: u16 = port.parse().map_err(|_| invalid())?;
    let host = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
    if name.is_empty() || host.contains(['/', ' ']) {
        return Err(invalid());
    }
    Ok(Endpoint { name: listener_name(name), host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(pairs: &[(&str, &str)]) -> Properties {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    fn resolved(pairs: &[(&str, &str)]) -> Result<Vec<Listener>, ConfigError> {
        resolve(&properties(pairs), "PLAINTEXT://:9092", "box.example")
    }

    #[test]
    fn an_empty_host_opens_every_interface_and_advertises_the_hosts_name() {
        let listeners = resolved(&[]).unwrap();
        assert_eq!((listeners[0].host.as_str(), listeners[0].port), ("", 9092));
        assert_eq!(listeners[0].advertised_host, "box.example");
    }

    #[test]
    fn kafkas_combined_mode_file_serves_the_broker_listener_only() {
        let listeners = resolved(&[
            ("listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"),
            ("controller.listener.names", "CONTROLLER"),
            ("inter.broker.listener.name", "PLAINTEXT"),
            ("advertised.listeners", "PLAINTEXT://localhost:9092"),
            ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL"),
        ])
        .unwrap();
        assert_eq!(listeners.len(), 1);
        assert_eq!(listeners[0].advertised_host, "localhost");
    }

    #[test]
    fn a_listener_that_is_not_plaintext_stops_the_start_with_its_name() {
        let error = resolved(&[("listeners", "SSL://:9093")]).unwrap_err().to_string();
        assert!(error.contains("SSL") && error.contains("PLAINTEXT only"), "{error}");
        let error = resolved(&[
            ("listeners", "OUTSIDE://:9093"),
            ("listener.security.protocol.map", "OUTSIDE:SASL_SSL"),
        ])
        .unwrap_err()
        .to_string();
        assert!(error.contains("OUTSIDE") && error.contains("SASL_SSL"), "{error}");
    }

    #[test]
    fn mistakes_are_named() {
        for (pairs, word) in [
            (&[("listeners", "PLAINTEXT:9092")][..], "NAME://host:port"),
            (&[("listeners", "PLAINTEXT://:99999")], "NAME://host:port"),
            (&[("listeners", "EDGE://:9092")], "EDGE"),
            (&[("listeners", "PLAINTEXT://0.0.0.0:9092")], "advertised.listeners"),
            (&[("inter.broker.listener.name", "OTHER")], "inter.broker.listener.name"),
            (&[("advertised.listeners", "OTHER://a:1")], "OTHER"),
        ] {
            let error = resolved(pairs).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn an_ipv6_address_loses_its_brackets() {
        let listeners = resolved(&[("listeners", "PLAINTEXT://[::1]:9092")]).unwrap();
        assert_eq!(listeners[0].host, "::1");
    }
}
