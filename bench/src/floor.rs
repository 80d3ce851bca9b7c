//! `kblast floor`: what this machine can do at best, measured in the same run as the brokers.
//!
//! Invariants: a probe does what a perfect broker would have to do and nothing else; processor time is that of the one
//! thread that plays the broker. Called by people and by `cargo xtask bench`.

mod append;
mod commit;
mod hiccups;
mod idle;
mod ingest;
mod rtt;
mod sendfile;

use std::fs::{File, OpenOptions};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;

use crate::cli::pin_to;

/// Where the probe plays the broker, and where its client is.
const BROKER_CPU: usize = 0;
const CLIENT_CPU: usize = 1;

#[derive(Subcommand)]
pub enum Probe {
    /// sendfile from the page cache in pieces of 1 MiB to a reader that drops them
    Sendfile(Options),
    /// recv, CRC-32C and pwrite of requests of one size, over pages that are cached
    Ingest {
        #[command(flatten)]
        options: Options,
        #[arg(long, default_value_t = 65_536)]
        request_bytes: usize,
        /// Append to a file that grows instead of writing over cached pages
        #[arg(long)]
        append: bool,
    },
    /// Batches of 16 KiB, so many per fdatasync
    Commit {
        #[command(flatten)]
        options: Options,
        #[arg(long, default_value_t = 64)]
        batches: usize,
    },
    /// 64 bytes there and back between two processors
    Rtt(Options),
    /// A record's bytes there and an answer back, 100 a second: both processors sleep in between
    Idle(Options),
    /// Time that a loop loses to others, on each processor
    Hiccups(Options),
    /// pwrite of one size to a file that grows
    Append {
        #[command(flatten)]
        options: Options,
        #[arg(long, default_value_t = 65_536)]
        write_bytes: usize,
        /// Allocate ahead
        #[arg(long)]
        fallocate: bool,
    },
}

#[derive(clap::Args)]
pub struct Options {
    /// For the file of the probe
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

/// What a probe found; a field that has no meaning for it is null.
#[derive(Debug, Default, Serialize)]
pub struct Floor {
    pub probe: String,
    pub seconds: f64,
    pub cpu_s_per_gb: Option<f64>,
    pub gb_per_s: Option<f64>,
    pub per_s: Option<f64>,
    pub cpu_us_each: Option<f64>,
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
    pub lost_percent: Option<f64>,
}

impl Probe {
    pub fn run(&self) -> anyhow::Result<Floor> {
        match self {
            Probe::Sendfile(options) => sendfile::run(options),
            Probe::Ingest { options, request_bytes, append } => ingest::run(options, *request_bytes, *append),
            Probe::Commit { options, batches } => commit::run(options, *batches),
            Probe::Rtt(options) => rtt::run(options),
            Probe::Idle(options) => idle::run(options),
            Probe::Hiccups(options) => hiccups::run(options),
            Probe::Append { options, write_bytes, fallocate } => {
                append::run(options, *write_bytes, *fallocate)
            }
        }
    }
}

impl Options {
    fn length(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    fn file(&self) -> anyhow::Result<Scratch> {
        Scratch::new(&self.folder)
    }
}

impl Floor {
    fn new(probe: String, seconds: f64) -> Floor {
        Floor { probe, seconds, ..Floor::default() }
    }

    fn of_bytes(probe: String, seconds: f64, bytes: u64, cpu_s: f64) -> Floor {
        let gigabytes = bytes as f64 / 1e9;
        Floor {
            cpu_s_per_gb: Some(cpu_s / gigabytes),
            gb_per_s: Some(gigabytes / seconds),
            ..Floor::new(probe, seconds)
        }
    }
}

/// A file that is gone with the value.
struct Scratch {
    file: File,
    path: PathBuf,
}

impl Scratch {
    fn new(folder: &Path) -> anyhow::Result<Scratch> {
        let path = folder.join(format!("kblast-floor-{}", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        Ok(Scratch { file, path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A file that stays is in the way of nobody.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Two ends of a connection on loopback: the broker's and the client's.
fn connection() -> anyhow::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (broker, _) = listener.accept()?;
    for end in [&broker, &client] {
        end.set_nodelay(true)?;
    }
    Ok((broker, client))
}

/// Pins the calling thread where the machine has more than one processor.
fn pin(cpu: usize) {
    // On a machine with one processor both ends share it; the probe still says something.
    let _ = pin_to(cpu);
}
