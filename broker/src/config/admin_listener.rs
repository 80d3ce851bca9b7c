//! `admin.listeners`: where health, metrics and status are served over HTTP.
//!
//! Our own key: `http://host:port`, comma-separated, without a path. With a configuration file nothing is
//! opened unless the key is set, because what answers there is not authenticated. Pure.

use super::ConfigError;
use super::properties::Properties;
use super::values;

const KEY: &str = "admin.listeners";

/// `host:port` of each socket to bind.
pub fn resolve(properties: &Properties, default: &str) -> Result<Vec<String>, ConfigError> {
    let text = properties.get(KEY).map_or(default, String::as_str);
    let with_default = Properties::from([(KEY.to_owned(), text.to_owned())]);
    values::list(&with_default, KEY).iter().map(|entry| address(entry)).collect()
}

fn address(entry: &str) -> Result<String, ConfigError> {
    let invalid = || ConfigError::invalid(KEY, entry, "http://host:port");
    let address = entry.strip_prefix("http://").ok_or_else(invalid)?.trim_end_matches('/');
    let (host, port) = address.rsplit_once(':').ok_or_else(invalid)?;
    port.parse::<u16>().map_err(|_| invalid())?;
    if host.contains('/') {
        return Err(invalid());
    }
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    Ok(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_addresses_are_taken_and_anything_else_is_refused() {
        let read = |text: &str| resolve(&Properties::new(), text);
        assert_eq!(read("http://0.0.0.0:9644").unwrap(), ["0.0.0.0:9644"]);
        assert_eq!(read("http://:9644,http://[::1]:9645/").unwrap(), ["0.0.0.0:9644", "[::1]:9645"]);
        assert!(read("").unwrap().is_empty());
        assert!(read("https://0.0.0.0:9644").is_err() && read("http://host").is_err());
    }
}
