//! How a command finds the cluster: the options that all of them share.

use std::time::Duration;

use clap::Args;

use logspine_client::{Client, ClientConfig};

use super::failure::Failure;

/// Where the cluster is and how long to wait for it.
#[derive(Debug, Clone, Args)]
pub struct ConnectArgs {
    /// Brokers to begin with: host:port, several separated by commas
    #[arg(
        short,
        long,
        global = true,
        env = "LOGSPINE_BOOTSTRAP",
        default_value = "127.0.0.1:9092",
        value_name = "HOST:PORT"
    )]
    pub bootstrap: String,

    /// How long to try, in seconds
    #[arg(long, global = true, default_value_t = 10, value_name = "SECONDS")]
    pub timeout: u64,
}

impl ConnectArgs {
    /// A client of the cluster, once a broker has answered.
    pub async fn connect(&self) -> Result<Client, Failure> {
        let timeout = Duration::from_secs(self.timeout.max(1));
        let config = ClientConfig {
            client_id: "logspine-cli".to_owned(),
            api_timeout: timeout,
            request_timeout: timeout.max(Duration::from_secs(5)),
            unknown_topic_timeout: Duration::from_millis(500),
            connect_timeout: timeout.min(Duration::from_secs(5)),
            ..ClientConfig::new(&self.bootstrap)
        };
        Ok(Client::connect(config).await?)
    }
}
