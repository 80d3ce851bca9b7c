//! The command line: one subcommand per kind of load, the same options everywhere.
//!
//! Invariants: a default is the workload that most people mean; every subcommand makes its topic if it is not there.
//! Called by main.rs.

mod commands;

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use logspine_protocol::compression::Codec;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::broker::Broker;
use crate::floor;
use crate::load::Window;
use crate::payload::Shape;

/// Load for every broker that speaks Kafka's protocol; prints one JSON value.
#[derive(Parser)]
#[command(name = "kblast", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Produce as fast as the broker acknowledges, or at a fixed rate
    Produce(commands::Produce),
    /// Fetch from the beginning to the end, again and again
    Fetch(commands::Fetch),
    /// One producer at a fixed rate, many consumers of the same partition
    Fanout(commands::Fanout),
    /// Latency from the time a batch is due until a consumer has it
    E2e(commands::E2e),
    /// Many idle connections, and producers at a fixed rate beside them
    Conns(commands::Conns),
    /// Delete a topic of an earlier load
    Delete {
        #[arg(short, long, default_value = "127.0.0.1:9092")]
        bootstrap: String,
        #[arg(short, long, default_value = "kblast")]
        topic: String,
    },
    /// What this machine can do at best: probes without a broker
    #[command(subcommand)]
    Floor(floor::Probe),
}

/// Whom to talk to, about what, how long.
#[derive(Args)]
pub struct Target {
    /// ADDRESS:PORT of the broker
    #[arg(short, long, default_value = "127.0.0.1:9092")]
    pub bootstrap: String,
    #[arg(short, long, default_value = "kblast")]
    pub topic: String,
    /// Partitions of the topic when it has to be made
    #[arg(short, long, default_value_t = 1)]
    pub partitions: u32,
    /// Settings of the topic when it has to be made, such as flush.messages=1
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub config: Vec<(String, String)>,
    /// Not measured, at the beginning
    #[arg(long, default_value_t = 1.0)]
    pub warm_up_seconds: f64,
    /// The measured window
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// End the window earlier, after so many bytes
    #[arg(long, default_value_t = u64::MAX)]
    pub bytes: u64,
    /// End the window earlier, after so many requests
    #[arg(long, default_value_t = u64::MAX)]
    pub requests: u64,
    /// The broker's process: its processor time, memory and switches are reported
    #[arg(long)]
    pub pid: Option<u32>,
    /// Stay on this processor
    #[arg(long)]
    pub cpu: Option<usize>,
}

/// What the batches look like.
#[derive(Args)]
pub struct Batches {
    /// Bytes of a record's value
    #[arg(short = 's', long, default_value_t = 1024)]
    pub record_bytes: usize,
    /// Bytes of a batch, before compression
    #[arg(short = 'B', long, default_value_t = 65_536)]
    pub batch_bytes: usize,
    /// Records of a batch, instead of its bytes
    #[arg(short = 'n', long)]
    pub records: Option<u32>,
    /// Compression of the batches; the records shrink to a quarter
    #[arg(short = 'z', long, value_enum, default_value = "none")]
    pub codec: CodecName,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum CodecName {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Cli {
    pub fn run(self) -> anyhow::Result<String> {
        let outcome = match self.command {
            Command::Floor(probe) => return Ok(serde_json::to_string_pretty(&probe.run()?)?),
            Command::Delete { bootstrap, topic } => {
                Broker::connect(&bootstrap)?.delete_topic(&topic)?;
                return Ok("{}".to_owned());
            }
            Command::Produce(command) => command.run()?,
            Command::Fetch(command) => command.run()?,
            Command::Fanout(command) => command.run()?,
            Command::E2e(command) => command.run()?,
            Command::Conns(command) => command.run()?,
        };
        Ok(serde_json::to_string_pretty(&outcome)?)
    }
}

impl Target {
    pub fn window(&self) -> Window {
        Window {
            warm_up: Duration::from_secs_f64(self.warm_up_seconds),
            length: Duration::from_secs_f64(self.seconds),
            bytes_max: self.bytes,
            requests_max: self.requests,
        }
    }

    pub fn pin(&self) -> anyhow::Result<()> {
        self.cpu.map_or(Ok(()), pin_to)
    }
}

/// Keeps the calling thread on one processor.
pub fn pin_to(cpu: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

impl Batches {
    pub fn shape(&self) -> Shape {
        Shape {
            record_bytes: self.record_bytes,
            batch_bytes: self.batch_bytes,
            records: self.records,
            codec: match self.codec {
                CodecName::None => Codec::None,
                CodecName::Gzip => Codec::Gzip,
                CodecName::Snappy => Codec::Snappy,
                CodecName::Lz4 => Codec::Lz4,
                CodecName::Zstd => Codec::Zstd,
            },
        }
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is expected")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
