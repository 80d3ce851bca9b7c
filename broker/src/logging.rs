//! Where log lines go and how they look: standard error, text for people or JSON for collectors.
//!
//! The level is `--log-level`, or the environment variable LOGSPINE_LOG, which also takes filters per module.
//! Set up once by `main.rs`, before anything can go wrong.

use tracing_subscriber::EnvFilter;

/// `--log-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// The environment variable that takes a level or filters.
pub const ENV: &str = "LOGSPINE_LOG";

/// Installs the subscriber. An unusable filter is an error in words.
pub fn install(level: &str, format: LogFormat) -> Result<(), String> {
    let filter = EnvFilter::try_new(level)
        .map_err(|error| format!("--log-level {level:?} is not a level or filter: {error}"))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = match format {
        LogFormat::Text => subscriber.with_target(false).with_ansi(is_terminal()).try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).with_current_span(false).try_init(),
    };
    installed.map_err(|error| format!("cannot set up logging: {error}"))
}

fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}
