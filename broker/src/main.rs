//! The `logspine` binary: the broker, and the command line that talks to brokers.
//!
//! Only argument parsing and exit codes live here. `logspine broker` runs `server`; everything else is `cli`.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use logspine::cli::{self, ClientCommand};
use logspine::config::{BrokerConfig, ConfigSources};
use logspine::kafka::export::ExportKafkaCommand;
use logspine::kafka::import::ImportKafkaCommand;
use logspine::logging::{self, LogFormat};
use logspine::reference::Page;

/// A Kafka-compatible broker and its tools
#[derive(Debug, Parser)]
#[command(name = "logspine", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a broker; without options on 127.0.0.1:9092 with its data in ./data
    Broker(BrokerArguments),
    #[command(flatten)]
    Client(ClientCommand),
    /// Take over the directories of a stopped Apache Kafka node
    ImportKafka(ImportKafkaCommand),
    /// Give partitions back to a stopped Apache Kafka node
    ExportKafka(ExportKafkaCommand),
    /// Print a page of docs/reference
    #[command(hide = true)]
    Reference {
        #[arg(value_enum)]
        page: Page,
    },
}

#[derive(Debug, Args)]
struct BrokerArguments {
    /// Where logs are kept; stronger than log.dirs of the file
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Kafka's server.properties
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One key of the configuration; may be repeated, stronger than the file
    #[arg(long = "override", value_name = "KEY=VALUE", value_parser = key_value)]
    overrides: Vec<(String, String)>,
    /// error, warn, info, debug, trace, or filters per module
    #[arg(long, value_name = "LEVEL", default_value = "info", env = logging::ENV)]
    log_level: String,
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err(format!("{text:?} is not KEY=VALUE")),
    }
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Broker(arguments) => run_broker(arguments),
        Command::Client(command) => cli::run(command),
        Command::ImportKafka(command) => command.run(),
        Command::ExportKafka(command) => command.run(),
        Command::Reference { page } => {
            print!("{}", page.markdown());
            ExitCode::SUCCESS
        }
    }
}

fn run_broker(arguments: BrokerArguments) -> ExitCode {
    let BrokerArguments { data_dir, config, overrides, log_level, log_format } = arguments;
    if let Err(sentence) = logging::install(&log_level, log_format) {
        eprintln!("logspine: {sentence}");
        return ExitCode::from(2);
    }
    let config = match BrokerConfig::load(&ConfigSources { file: config, data_dir, overrides }) {
        Ok(config) => config,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("cannot start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(logspine::server::run(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
