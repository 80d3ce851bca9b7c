//! The `logspine-operator` binary: runs the operator, or prints what is generated from its types.
//!
//! `crd` needs no cluster: `crds/`, the chart and the reference page are written with it, and a test
//! compares them.

#![forbid(unsafe_code)]

use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use logspine_operator::crd;
use logspine_operator::run::{self, Settings};
use tracing_subscriber::EnvFilter;

/// Runs Logspine clusters on Kubernetes.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator (the default).
    Run(RunArgs),
    /// Print the custom resource definitions as YAML.
    Crd {
        /// One kind (`cluster` or `topic`); both when absent.
        kind: Option<String>,
        /// Print as templates of the Helm chart.
        #[arg(long, conflicts_with = "reference")]
        chart: bool,
        /// Print the reference page instead.
        #[arg(long)]
        reference: bool,
    },
}

#[derive(Args, Clone)]
struct RunArgs {
    /// Namespaces to watch, separated by commas; all when empty.
    #[arg(long, env = "LOGSPINE_WATCH_NAMESPACES", value_delimiter = ',', default_value = "")]
    watch_namespaces: Vec<String>,
    /// Address of the port for health and metrics.
    #[arg(long, env = "LOGSPINE_HTTP_ADDRESS", default_value = "0.0.0.0:8080")]
    http_address: SocketAddr,
    /// Run without a lease. Two such processes would fight.
    #[arg(long, env = "LOGSPINE_NO_LEADER_ELECTION")]
    no_leader_election: bool,
    /// Name of the lease.
    #[arg(long, default_value = "logspine-operator")]
    lease_name: String,
    /// Namespace of the lease; the operator's own when absent.
    #[arg(long, env = "POD_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Name of this process, for the lease and for events.
    #[arg(long, env = "POD_NAME", default_value_t = default_identity())]
    identity: String,
    /// What is logged: `error`, `warn`, `info`, `debug`, or a filter such as `info,kube=debug`.
    #[arg(long, env = "LOGSPINE_LOG", default_value = "info")]
    log_level: String,
    /// How it is logged.
    #[arg(long, value_enum, env = "LOGSPINE_LOG_FORMAT", default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Crd { kind, chart, reference }) => print_crds(kind.as_deref(), chart, reference),
        Some(Command::Run(args)) => start(args),
        None => start(cli.run),
    }
}

fn start(args: RunArgs) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&args.log_level)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    let settings = Settings {
        namespaces: args.watch_namespaces.into_iter().filter(|name| !name.is_empty()).collect(),
        http_address: args.http_address,
        identity: args.identity,
        lease_namespace: args.lease_namespace,
        lease: (!args.no_leader_election).then_some(args.lease_name),
    };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "logspine-operator");
    // Two threads: the work is waiting, and memory per thread counts.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(run::run(settings))
}

fn print_crds(kind: Option<&str>, chart: bool, reference: bool) -> anyhow::Result<()> {
    if reference {
        print!("{}", crd::reference::markdown());
        return Ok(());
    }
    let wanted: Vec<_> = crd::all()
        .into_iter()
        .filter(|crd| kind.is_none_or(|kind| crd.spec.names.kind.eq_ignore_ascii_case(kind)))
        .collect();
    anyhow::ensure!(
        !wanted.is_empty(),
        "there is no kind {}: cluster and topic are the kinds",
        kind.unwrap_or("")
    );
    for (index, crd) in wanted.iter().enumerate() {
        let text = if chart { self::crd::chart_template(crd) } else { self::crd::yaml(crd) };
        print!("{}{text}", if index > 0 { "---\n" } else { "" });
    }
    Ok(())
}

fn default_identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}", host.trim(), std::process::id())
}
