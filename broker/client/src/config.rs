//! What a caller chooses about a client: where to start, how long to wait, how much to keep in memory.
//!
//! Names and defaults are those of Kafka's Java client where it has the same thing; every bound that the client
//! keeps on memory or time is a field here.

use std::time::Duration;

/// Settings of one `Client`, shared by its admin calls, producers and consumers.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// `host:port` of a few brokers; the rest of the cluster is learnt from the first that answers.
    pub bootstrap: Vec<String>,
    /// Sent with every request; brokers show it in their logs, quotas and group descriptions.
    pub client_id: String,
    /// How long one request may take before its connection is given up.
    pub request_timeout: Duration,
    /// How long a call may go on with retries (Kafka's `default.api.timeout.ms`).
    pub api_timeout: Duration,
    /// How long a topic or partition that does not exist is looked for: it may be on its way to this broker.
    pub unknown_topic_timeout: Duration,
    /// How long opening one TCP connection may take.
    pub connect_timeout: Duration,
    /// First and longest pause between retries; it doubles in between.
    pub retry_backoff: Duration,
    /// See `retry_backoff`.
    pub retry_backoff_max: Duration,
    /// After this time metadata is fetched again even if nothing failed.
    pub metadata_max_age: Duration,
    /// Requests sent on one connection that wait for their answers; further calls wait for a place.
    pub max_in_flight: usize,
    /// The longest answer that is read; a longer one costs the connection.
    pub max_response_bytes: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            bootstrap: vec!["127.0.0.1:9092".to_owned()],
            client_id: "logspine-client".to_owned(),
            request_timeout: Duration::from_secs(30),
            api_timeout: Duration::from_secs(60),
            unknown_topic_timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(5),
            retry_backoff: Duration::from_millis(50),
            retry_backoff_max: Duration::from_secs(1),
            metadata_max_age: Duration::from_secs(300),
            max_in_flight: 32,
            max_response_bytes: 128 << 20,
        }
    }
}

impl ClientConfig {
    /// The defaults with this bootstrap list: `host:port`, several separated by commas.
    pub fn new(bootstrap: &str) -> Self {
        let bootstrap =
            bootstrap.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect();
        Self { bootstrap, ..Self::default() }
    }
}
