//! `cargo xtask footprint`: how small and how quick the broker is, printed; with `--check` a gate.
//!
//! Invariants: the program is the one that ships; a start is measured from its exec until a record with acks=all is
//! acknowledged, so the record is on stable storage; the client is two requests made by hand, so its own share is
//! a fraction of a millisecond. The operator needs a Kubernetes to rest in: the tests there print its memory.
//! Called by people and by the table of tests.

mod wire;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::Serialize;

use crate::cache::Cache;
use crate::console::{Step, bytes};
use crate::demo::{Background, free_port};
use crate::image;
use crate::process::{Program, signal, tail};
use wire::Client;

/// What `--check` allows, and what we aim at.
const START_MAX_MS: f64 = 400.0;
const REST_MAX_BYTES: u64 = 40 << 20;
const AIMS: &str = "aims: 100 ms and 20 MiB; gates: 400 ms and 40 MiB";

const REST: Duration = Duration::from_secs(5);
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(30);
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

#[derive(clap::Args)]
pub struct Args {
    /// A table for people, JSON for scripts
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
    /// Fail above 400 ms of start or 40 MiB at rest
    #[arg(long)]
    check: bool,
    /// Starts of each kind; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    starts: u32,
    /// Measure this program instead of building the one that ships
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
}

/// Everything that is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Footprint {
    program_bytes: u64,
    /// An empty directory: formatted, topic created, record acknowledged.
    first_start_ms: f64,
    /// After a clean stop, to the next record of the topic.
    restart_ms: f64,
    /// After SIGKILL.
    restart_after_kill_ms: f64,
    /// Five seconds after the first record, nobody connected.
    rest_bytes: u64,
    threads: u64,
    /// Archives in the cache, by name; `cargo xtask image` makes them.
    image_bytes: Vec<(String, u64)>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let cache = Cache::open()?;
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => image::broker_program(&cache)?,
    };
    let step = Step::start("Measuring", &format!("{} starts of three kinds", args.starts));
    let footprint = measure(&cache, &binary, args.starts)?;
    step.finish("");
    match args.output {
        Format::Table => print(&footprint),
        Format::Json => println!("{}", serde_json::to_string_pretty(&footprint)?),
    }
    if args.check { check(&footprint) } else { Ok(()) }
}

fn measure(cache: &Cache, binary: &Path, starts: u32) -> anyhow::Result<Footprint> {
    let (mut first, mut again, mut killed) = (Vec::new(), Vec::new(), Vec::new());
    let (mut rest_bytes, mut threads) = (0, 0);
    for _ in 0..starts {
        let place = Place::new(cache, binary)?;
        let (broker, took_ms) = place.start(Client::create_topic)?;
        first.push(took_ms);
        std::thread::sleep(REST); // The figure is what is left after this rest.
        rest_bytes = rest_bytes.max(status(&broker, "VmRSS:")? * 1024);
        threads = threads.max(status(&broker, "Threads:")?);
        stop(broker)?;
        let (broker, took_ms) = place.start(|_| Ok(()))?;
        again.push(took_ms);
        drop(broker); // SIGKILL
        killed.push(place.start(|_| Ok(()))?.1);
    }
    Ok(Footprint {
        program_bytes: std::fs::metadata(binary)?.len(),
        first_start_ms: median(&mut first),
        restart_ms: median(&mut again),
        restart_after_kill_ms: median(&mut killed),
        rest_bytes,
        threads,
        image_bytes: images(cache)?,
    })
}

/// A directory and a port of one broker's life.
struct Place<'a> {
    binary: &'a Path,
    data: PathBuf,
    log: PathBuf,
    port: u16,
}

impl<'a> Place<'a> {
    fn new(cache: &Cache, binary: &'a Path) -> anyhow::Result<Place<'a>> {
        let data = cache.folder("footprint/data")?;
        std::fs::remove_dir_all(&data)?;
        Ok(Place { binary, data, log: cache.path("footprint/broker.log")?, port: free_port()? })
    }

    /// Starts the broker; the milliseconds from exec until, after `prepare`, a record is acknowledged.
    fn start(
        &self,
        prepare: impl Fn(&mut Client) -> anyhow::Result<()>,
    ) -> anyhow::Result<(Background, f64)> {
        let admin_port = free_port()?;
        let program = Program::new(self.binary)
            .args(["broker", "--data-dir"])
            .arg(&self.data)
            .args(["--override", &format!("listeners=PLAINTEXT://127.0.0.1:{}", self.port)])
            .args(["--override", &format!("admin.listeners=http://127.0.0.1:{admin_port}")])
            .log(&self.log);
        let started = Instant::now();
        let mut broker = Background(program.start()?);
        let mut client = loop {
            if let Ok(client) = Client::connect(self.port) {
                break client;
            }
            if broker.0.try_wait()?.is_some() || started.elapsed() > ACKNOWLEDGED_WITHIN {
                bail!("the broker does not serve:\n{}", tail(&std::fs::read_to_string(&self.log)?));
            }
            // Short against what is measured, long enough to leave the processor to the broker.
            std::thread::sleep(Duration::from_micros(500));
        };
        prepare(&mut client)?;
        client.produce()?;
        Ok((broker, started.elapsed().as_secs_f64() * 1000.0))
    }
}

/// SIGTERM, and the end.
fn stop(mut broker: Background) -> anyhow::Result<()> {
    signal(broker.0.id(), "TERM");
    let asked = Instant::now();
    while broker.0.try_wait()?.is_none() {
        ensure!(asked.elapsed() < STOPPED_WITHIN, "the broker does not stop");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// A number of the kernel's about a process.
fn status(process: &Background, field: &str) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{}/status", process.0.id()))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let number =
        line.and_then(|line| line.split_whitespace().next()).with_context(|| format!("no {field}"))?;
    Ok(number.parse()?)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The archives that `cargo xtask image` has left.
fn images(cache: &Cache) -> anyhow::Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(cache.folder("images")?)? {
        let entry = entry?;
        if let Some(name) = entry.file_name().to_string_lossy().strip_suffix(".tar") {
            found.push((name.to_owned(), entry.metadata()?.len()));
        }
    }
    found.sort();
    Ok(found)
}

fn print(footprint: &Footprint) {
    let line = |name: &str, value: String| println!("FIGURE {name}: {value}");
    let ms = |value: f64| format!("{value:.0} ms");
    line("program of the broker", bytes(footprint.program_bytes));
    line(
        "start to first acknowledged record, empty directory, topic made on the way",
        ms(footprint.first_start_ms),
    );
    line("start to first acknowledged record, after a clean stop", ms(footprint.restart_ms));
    line("start to first acknowledged record, after kill -9", ms(footprint.restart_after_kill_ms));
    line("memory at rest", format!("{}, {} threads", bytes(footprint.rest_bytes), footprint.threads));
    for (name, size) in &footprint.image_bytes {
        line(&format!("image {name}"), bytes(*size));
    }
    println!("{AIMS}");
}

fn check(footprint: &Footprint) -> anyhow::Result<()> {
    let starts = [footprint.first_start_ms, footprint.restart_ms, footprint.restart_after_kill_ms];
    let slowest = starts.into_iter().fold(0.0, f64::max);
    ensure!(slowest <= START_MAX_MS, "a start takes {slowest:.0} ms, more than {START_MAX_MS:.0}");
    let rest_bytes = footprint.rest_bytes;
    ensure!(
        rest_bytes <= REST_MAX_BYTES,
        "{} at rest, more than {}",
        bytes(rest_bytes),
        bytes(REST_MAX_BYTES)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footprint() -> Footprint {
        Footprint {
            program_bytes: 1,
            first_start_ms: 90.0,
            restart_ms: 80.0,
            restart_after_kill_ms: START_MAX_MS,
            rest_bytes: REST_MAX_BYTES,
            threads: 9,
            image_bytes: Vec::new(),
        }
    }

    #[test]
    fn the_gates_hold_every_kind_of_start_and_the_memory() {
        assert!(check(&footprint()).is_ok());
        let late = Footprint { restart_ms: START_MAX_MS + 1.0, ..footprint() };
        assert_eq!(check(&late).expect_err("late").to_string(), "a start takes 401 ms, more than 400");
        assert!(check(&Footprint { rest_bytes: REST_MAX_BYTES + 1, ..footprint() }).is_err());
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&mut [9.0, 1.0, 5.0]), 5.0);
    }
}
