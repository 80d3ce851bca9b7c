//! `cargo xtask bench`: the broker's processor time beside Apache Kafka's, in one run on one machine.
//!
//! Invariants: both brokers live in one private network with one congestion control; windows come in the order
//! A B B A and a pair counts by its ratio; every cell is one file of JSON, and a cell that has one for these very
//! programs is not measured again. `report` writes docs/benchmarks and the README's table from those files alone.
//! Called by people; `gates` by the table of tests.

mod ballast;
mod cells;
mod contender;
mod gates;
mod kblast;
mod librdkafka;
mod machine;
mod network;
mod pairs;
mod replay;
mod report;
mod restart;
mod results;
mod statistics;
mod tools;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{bail, ensure};

use crate::cache::{Cache, checkout};
use crate::console::{duration, say};
use crate::process::Program;
use crate::{debian, image, kafka};
use cells::{CELLS, Cell};
use results::Folder;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// A few cells with short windows, in five minutes; the results stay out of the checkout
    #[arg(long)]
    quick: bool,
    /// Only these cells, such as W1,W5
    #[arg(long, value_delimiter = ',', value_name = "CELLS")]
    only: Vec<String>,
    /// Measure cells again that have a result
    #[arg(long)]
    again: bool,
    /// Measure this program instead of building the one that ships
    #[arg(long, value_name = "FILE")]
    broker: Option<PathBuf>,
    /// Exactly so many pairs a cell, whatever disturbs them; otherwise two to five undisturbed ones are tried for
    #[arg(long)]
    pairs: Option<usize>,
    /// Leave out Kafka's own tools and librdkafka's
    #[arg(long)]
    without_tools: bool,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Write docs/benchmarks and the README's table from the committed results
    Report {
        /// Fail if they are not what the results say
        #[arg(long)]
        check: bool,
    },
    /// Count the instructions and system calls of a request, and hold them to the gates
    Gates(gates::Args),
}

/// The cells of `--quick`.
const QUICK: &[&str] = &["W1", "W2", "W5", "W8"];

pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.action {
        Some(Action::Report { check }) => return report::run(*check),
        Some(Action::Gates(args)) => return gates::run(args),
        None => {}
    }
    let cells = chosen(args)?;
    let cache = Cache::open()?;
    let programs = match Programs::from_environment() {
        Some(programs) => programs,
        None => {
            debian::ensure(&["iproute2", "util-linux"], "The benchmark")?;
            return network::enter(&Programs::build(&cache, args)?);
        }
    };
    network::prepare()?;
    let started = Instant::now();
    let folder = Folder::open(&cache, args.quick)?;
    let mut bench = pairs::Bench::new(&cache, programs, folder, args.effort())?;
    let mut failed = Vec::new();
    for cell in cells {
        if !args.again && bench.has_result(cell)? {
            say(&format!("{} has a result for these programs", cell.id));
        } else if let Err(error) = bench.measure(cell) {
            // The other cells are worth their time; this one is missing from the report, and named.
            say(&format!("{} failed: {error:#}", cell.id));
            failed.push(cell.id);
        }
    }
    drop(bench);
    say(&format!("All of it took {}", duration(started.elapsed())));
    if args.quick {
        report::print(&Folder::open(&cache, true)?)?
    } else {
        report::run(false)?
    }
    ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
}

impl Args {
    fn effort(&self) -> pairs::Effort {
        pairs::Effort { quick: self.quick, pairs: self.pairs, with_tools: !self.without_tools && !self.quick }
    }
}

fn chosen(args: &Args) -> anyhow::Result<Vec<&'static Cell>> {
    let known = |id: &String| CELLS.iter().any(|cell| cell.id == id);
    if let Some(id) = args.only.iter().find(|id| !known(id)) {
        let ids: Vec<&str> = CELLS.iter().map(|cell| cell.id).collect();
        bail!("there is no cell {id}; the cells are {}", ids.join(", "));
    }
    let wanted = |cell: &&Cell| match (args.only.is_empty(), args.quick) {
        (false, _) => args.only.iter().any(|id| id == cell.id),
        (true, true) => QUICK.contains(&cell.id),
        (true, false) => true,
    };
    Ok(CELLS.iter().filter(wanted).collect())
}

/// What is measured, and what measures; built before the private network is entered.
pub struct Programs {
    pub logspine: PathBuf,
    pub kblast: PathBuf,
    pub kafka_libs: PathBuf,
    /// `None` where no foreign tool is to run.
    pub rdkafka_performance: Option<PathBuf>,
}

impl Programs {
    /// Carry the paths into the private network.
    const LOGSPINE: &'static str = "LOGSPINE_BENCH_BROKER";
    const KBLAST: &'static str = "LOGSPINE_BENCH_KBLAST";
    const KAFKA: &'static str = "LOGSPINE_BENCH_KAFKA";
    const RDKAFKA_PERFORMANCE: &'static str = "LOGSPINE_BENCH_RDKAFKA_PERFORMANCE";

    fn build(cache: &Cache, args: &Args) -> anyhow::Result<Programs> {
        let logspine = match &args.broker {
            Some(broker) => broker.canonicalize()?,
            None => image::broker_program(cache)?,
        };
        let rdkafka_performance =
            args.effort().with_tools.then(|| librdkafka::performance_tool(cache)).transpose()?;
        Ok(Programs {
            logspine,
            kblast: kblast::build(cache)?,
            kafka_libs: kafka::libs(cache)?,
            rdkafka_performance,
        })
    }

    fn from_environment() -> Option<Programs> {
        let path = |name| std::env::var_os(name).map(PathBuf::from);
        Some(Programs {
            logspine: path(Self::LOGSPINE)?,
            kblast: path(Self::KBLAST)?,
            kafka_libs: path(Self::KAFKA)?,
            rdkafka_performance: path(Self::RDKAFKA_PERFORMANCE),
        })
    }

    fn environment(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        let tool = self.rdkafka_performance.as_ref().map(|path| (Self::RDKAFKA_PERFORMANCE, path));
        let always =
            [(Self::LOGSPINE, &self.logspine), (Self::KBLAST, &self.kblast), (Self::KAFKA, &self.kafka_libs)];
        always.into_iter().chain(tool)
    }

    /// The last commit that changed the broker, for the reader; what decides whether a result is current is the program.
    pub fn commit() -> String {
        let git = |words: &str| {
            let text = Program::new("git").args(words.split(' ')).folder(checkout()).run(None)?;
            anyhow::Ok(text.trim().to_owned())
        };
        let commit = git("log -1 --abbrev=10 --format=%h -- broker").unwrap_or_else(|_| "unknown".to_owned());
        let is_clean = git("status --porcelain -- broker").is_ok_and(|changes| changes.is_empty());
        if is_clean { commit } else { commit + " and changes" }
    }
}
