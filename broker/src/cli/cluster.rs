//! `logspine cluster`: the brokers there are, and their configs.

use clap::{Args, Subcommand};
use serde_json::json;

use logspine_client::{Admin, BrokerDescription, ConfigEntry, ConfigOp, ConfigSource, Resource};
use logspine_protocol::types::BrokerId;

use super::connect::ConnectArgs;
use super::failure::Failure;
use super::output::{OutputArgs, or_dash, table};
use super::pairs::key_value;
use super::with_exit_codes;

const EXAMPLES: &str = "\
Examples:
  logspine cluster describe
  logspine cluster config --broker 0
  logspine cluster config --set log.retention.ms=86400000
";

/// `logspine cluster`.
#[derive(Debug, Args)]
#[command(after_help = with_exit_codes(EXAMPLES))]
pub struct ClusterCommand {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    action: ClusterAction,
}

#[derive(Debug, Subcommand)]
enum ClusterAction {
    /// Show the cluster's id, controller and brokers
    Describe,
    /// Show or change configs of one broker, or the default of all
    Config(ConfigArgs),
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// Of this broker; without it, show any broker and change the default of all
    #[arg(long, value_name = "ID")]
    broker: Option<i32>,
    /// Show every config, also those that have their default
    #[arg(long)]
    all: bool,
    /// Give a config this value; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Give a config its default again; may be given several times
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
}

impl ClusterCommand {
    /// Runs it.
    pub async fn run(self) -> Result<(), Failure> {
        let admin = self.connect.connect().await?.admin();
        match self.action {
            ClusterAction::Describe => describe(&admin, &self.output).await,
            ClusterAction::Config(args) if args.set.is_empty() && args.unset.is_empty() => {
                show_configs(&admin, &self.output, &args).await
            }
            ClusterAction::Config(args) => change_configs(&admin, &self.output, &args).await,
        }
    }
}

async fn describe(admin: &Admin, output: &OutputArgs) -> Result<(), Failure> {
    let cluster = admin.describe_cluster().await?;
    let is_controller = |broker: &BrokerDescription| cluster.controller == Some(broker.endpoint.id);
    let row = |broker: &BrokerDescription| {
        let role = match (is_controller(broker), broker.fenced) {
            (true, _) => "controller",
            (false, true) => "fenced",
            (false, false) => "",
        };
        let endpoint = &broker.endpoint;
        vec![endpoint.id.to_string(), endpoint.address(), or_dash(endpoint.rack.as_ref()), role.to_owned()]
    };
    let entry = |broker: &BrokerDescription| {
        let endpoint = &broker.endpoint;
        json!({
            "id": endpoint.id.0, "host": endpoint.host, "port": endpoint.port, "rack": endpoint.rack,
            "controller": is_controller(broker), "fenced": broker.fenced,
        })
    };
    output.print(
        || {
            let brokers = table(&["BROKER", "ADDRESS", "RACK", "ROLE"], cluster.brokers.iter().map(row).collect());
            format!("Cluster {}\n{brokers}", cluster.cluster_id)
        },
        || {
            let brokers: Vec<_> = cluster.brokers.iter().map(entry).collect();
            json!({"clusterId": cluster.cluster_id, "controller": cluster.controller.map(|id| id.0), "brokers": brokers})
        },
    )
}

async fn show_configs(admin: &Admin, output: &OutputArgs, args: &ConfigArgs) -> Result<(), Failure> {
    let broker = match args.broker {
        Some(id) => BrokerId(id),
        None => {
            let cluster = admin.describe_cluster().await?;
            let first = cluster.brokers.iter().find(|broker| !broker.fenced);
            first.map(|broker| broker.endpoint.id).unwrap_or_default()
        }
    };
    let mut configs = admin.describe_configs(&Resource::Broker(broker)).await?;
    configs.retain(|config| args.all || config.source != ConfigSource::Default);
    configs.sort_by(|a, b| a.name.cmp(&b.name));
    let shown = |config: &ConfigEntry| match &config.value {
        Some(value) => value.clone(),
        None if config.sensitive => "(hidden)".to_owned(),
        None => "-".to_owned(),
    };
    let row = |config: &ConfigEntry| {
        let changeable = if config.read_only { "no" } else { "yes" };
        vec![config.name.clone(), shown(config), config.source.name().to_owned(), changeable.to_owned()]
    };
    let entry = |config: &ConfigEntry| {
        json!({
            "name": config.name, "value": config.value, "source": config.source.name(),
            "readOnly": config.read_only, "sensitive": config.sensitive,
        })
    };
    output.print(
        || {
            let rows = configs.iter().map(row).collect();
            format!("Broker {broker}\n{}", table(&["CONFIG", "VALUE", "SOURCE", "CHANGEABLE"], rows))
        },
        || json!({"broker": broker.0, "configs": configs.iter().map(entry).collect::<Vec<_>>()}),
    )
}

async fn change_configs(admin: &Admin, output: &OutputArgs, args: &ConfigArgs) -> Result<(), Failure> {
    let resource = args.broker.map_or(Resource::AllBrokers, |id| Resource::Broker(BrokerId(id)));
    let set = args.set.iter().map(|(key, value)| ConfigOp::set(key, value));
    let ops: Vec<_> = set.chain(args.unset.iter().map(ConfigOp::delete)).collect();
    admin.incremental_alter_configs(&resource, &ops, false).await?;
    let json = json!({"resource": resource.to_string(), "outcome": "changed"});
    output.print(|| format!("{resource} changed"), || json)
}
