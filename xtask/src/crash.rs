//! `cargo xtask crash`: kills and power cuts under load, as many as one likes, written down when they are done.
//!
//! The same tests that CI runs with twenty kills and ten cuts, in batches that each begin on an empty directory. What
//! is done is kept after every batch: the same command goes on where it was ended. A campaign that ends, well or
//! not, becomes a line of `docs/reliability/ledger.md`. Called by people.

mod campaign;
mod ledger;

use anyhow::Context as _;

use crate::cache::{Cache, checkout};
use crate::cargo_tools::CargoTool;
use crate::console::Step;
use crate::process::Program;
use crate::{debian, python};

use campaign::{Campaign, KILLS, Kind, POWER_CUTS, SIMULATED};

#[derive(clap::Args)]
pub struct Args {
    /// How often the broker is killed
    #[arg(long)]
    kills: Option<u32>,
    /// How often the power goes; needs root and FUSE
    #[arg(long)]
    cuts: Option<u32>,
    /// How many seeds of each world on the simulated disk (a log, cut after every operation; a partition, group
    /// offsets, metadata); runs in release
    #[arg(long)]
    seeds: Option<u32>,
    /// The seed of the first batch, to replay an earlier campaign
    #[arg(long)]
    seed: Option<u64>,
}

/// Without a number, that many kills.
const KILLS_DEFAULT: u32 = 200;

pub fn run(args: &Args) -> anyhow::Result<()> {
    let cache = Cache::open()?;
    if let Some(seeds) = args.seeds {
        for kind in &SIMULATED {
            simulate(&cache, kind, seeds, args.seed)?;
        }
        if args.kills.is_none() && args.cuts.is_none() {
            return Ok(());
        }
    }
    debian::ensure(&["kcat"], "The crash tests")?;
    let build = Step::start("Building the broker", "some minutes the first time");
    let cargo = || Program::cargo().folder(checkout()).env("CARGO_TARGET_DIR", cache.target());
    cargo().args(["build", "--locked", "--package", "logspine"]).run(Some(&build))?;
    build.finish("");
    // A copy: a campaign outlives the next build.
    let broker = cache.path("crash/logspine")?;
    std::fs::copy(cache.target().join("debug/logspine"), &broker)?;
    let kills = args.kills.or(args.cuts.is_none().then_some(KILLS_DEFAULT));
    let wanted: [(&Kind, Option<u32>); 2] = [(&KILLS, kills), (&POWER_CUTS, args.cuts)];
    for (kind, wanted) in wanted {
        let Some(wanted) = wanted else { continue };
        let test = Program::new(CargoTool::Nextest.fetch(&cache)?)
            .args(["nextest", "run", "--locked", "-p", kind.package, "-E"])
            .arg(format!("binary({})", kind.test))
            .folder(checkout())
            .env("CARGO_TARGET_DIR", cache.target())
            .env("LOGSPINE_BIN", &broker)
            .env("CI", "true") // A campaign that cannot run is a failure, not a skip.
            .env(python::VARIABLE, python::with_clients(&cache)?);
        Campaign::resume(&cache, kind, wanted, args.seed)?.run(&test)?;
    }
    Ok(())
}

/// A world on the simulated disk: no files, so the program is copied and run beside anything else.
fn simulate(cache: &Cache, kind: &Kind, seeds: u32, first: Option<u64>) -> anyhow::Result<()> {
    let build = Step::start("Building the simulation", "a minute the first time");
    let output = Program::cargo()
        .folder(checkout())
        .env("CARGO_TARGET_DIR", cache.target())
        .args(["test", "--locked", "--release", "-p", kind.package, "--test", kind.test])
        .args(["--no-run", "--message-format", "short"])
        .finish(Some(&build))?
        .output;
    let built = output.rsplit_once('(').and_then(|(_, path)| path.split_once(')')).map(|(path, _)| path);
    let built = built.with_context(|| format!("cargo names no program:\n{output}"))?;
    let program = cache.path(&format!("crash/{}", kind.name.replace(' ', "-")))?;
    std::fs::copy(checkout().join(built), &program)?;
    build.finish("");
    let test = Program::new(&program).args(["--nocapture", kind.filter]).env("CI", "true");
    Campaign::resume(cache, kind, seeds, first)?.run(&test)
}
