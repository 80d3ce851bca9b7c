//! `cargo xtask fuzz`: runs every fuzz target of the protocol crate, each for its share of the time.
//!
//! Invariants: the corpus is kept in the cache, so that each run goes on where the last one ended; a crash is
//! reported with the file that replays it. Called by people and by the test table.

use anyhow::{Context as _, bail};

use crate::cache::{Cache, checkout};
use crate::cargo_tools::CargoTool;
use crate::console::Step;
use crate::process::Program;

#[derive(clap::Args)]
pub struct Args {
    /// Seconds for all targets together; LOGSPINE_FUZZ_SECONDS when left out, else 60
    #[arg(long, env = "LOGSPINE_FUZZ_SECONDS", default_value_t = 60)]
    seconds: u64,
}

const FOLDER: &str = "broker/protocol/fuzz";

pub fn run(args: &Args) -> anyhow::Result<()> {
    let cache = Cache::open()?;
    let targets = targets()?;
    let seconds = (args.seconds / targets.len() as u64).max(1);
    for target in &targets {
        let step = Step::start(&format!("Fuzzing {target}"), &format!("{seconds} s"));
        let output = fuzz(&cache, target, seconds, &step)?;
        let executions =
            output.lines().rev().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        let executions = executions.map_or("?", str::trim);
        step.finish(&format!("{executions} executions"));
        println!("PASSED {target}\nFIGURE fuzz {target}: {executions} executions in {seconds} s");
    }
    Ok(())
}

/// The names of the targets: one file each.
fn targets() -> anyhow::Result<Vec<String>> {
    let folder = checkout().join(FOLDER).join("fuzz_targets");
    let entries =
        std::fs::read_dir(&folder).with_context(|| format!("no fuzz targets in {}", folder.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".rs")?.to_owned()))
        .collect();
    names.sort();
    if names.is_empty() {
        bail!("no fuzz target in {}", folder.display());
    }
    Ok(names)
}

fn fuzz(cache: &Cache, target: &str, seconds: u64, step: &Step) -> anyhow::Result<String> {
    let cargo_fuzz = CargoTool::Fuzz.fetch(cache)?;
    let corpus = cache.folder(&format!("fuzz/corpus/{target}"))?;
    let artifacts = cache.folder(&format!("fuzz/crashes/{target}"))?;
    Program::new(cargo_fuzz)
        // No sanitizer: the code has no unsafe blocks, and this way stable Rust will do.
        .args(["fuzz", "run", "-s", "none", "--fuzz-dir"])
        .arg(checkout().join(FOLDER))
        .arg(target)
        .arg(&corpus)
        .args(["--", "-malloc_limit_mb=1000", "-rss_limit_mb=2000", "-timeout=10", "-print_final_stats=1"])
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .folder(checkout())
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", cache.folder("fuzz/target")?)
        .run(Some(step))
}
