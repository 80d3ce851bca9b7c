//! The command line: `logspine topic|produce|consume|group|cluster`, for people and for scripts.
//!
//! Thin: every command is a few calls of `logspine_client` and a way to show the answer. Invariant: nothing in
//! here knows the broker's other modules; what it does, any client could. `main.rs` embeds `ClientCommand` and
//! calls `run`, which owns its runtime and turns the outcome into an exit code (`failure.rs`).

mod cluster;
mod connect;
mod consume;
mod failure;
mod format;
mod group;
mod lines;
mod offset;
pub(crate) mod output;
mod pairs;
mod produce;
mod topic;

use std::process::ExitCode;

use clap::Subcommand;

use failure::Failure;

/// What every help text ends with.
const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 refused by the broker, 2 wrong usage, 3 no broker answers, 4 no such topic or group.
Output: --output table for people (default), --output json for scripts; -o is its short form everywhere except
in `consume`, where -o is the offset to begin at, as in kcat.";

fn with_exit_codes(examples: &str) -> String {
    format!("{examples}\n{EXIT_CODES}")
}

/// The commands that talk to a running cluster.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// List, create, describe, change and delete topics
    Topic(topic::TopicCommand),
    /// Write the lines of standard input to a topic
    Produce(produce::ProduceCommand),
    /// Read records of a topic and print them
    Consume(consume::ConsumeCommand),
    /// List, describe, move and delete consumer groups
    Group(group::GroupCommand),
    /// Show the cluster's brokers and their configs
    Cluster(cluster::ClusterCommand),
}

/// Runs one command to its end.
pub fn run(command: ClientCommand) -> ExitCode {
    // Two threads, so that heartbeats go on while the other one waits for a slow terminal.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(command)),
        Err(error) => Err(Failure::of_system("cannot start threads", &error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn dispatch(command: ClientCommand) -> Result<(), Failure> {
    match command {
        ClientCommand::Topic(command) => command.run().await,
        ClientCommand::Produce(command) => command.run().await,
        ClientCommand::Consume(command) => command.run().await,
        ClientCommand::Group(command) => command.run().await,
        ClientCommand::Cluster(command) => command.run().await,
    }
}

#[cfg(test)]
mod tests;
