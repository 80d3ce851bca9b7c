//! `cargo xtask crash`: `kill -9` under load, as often and from whatever seed one likes.
//!
//! The same test that the table of tests runs with twenty kills; here it is a campaign. The seed is printed and
//! replays the run. Called by people.

use crate::cache::{Cache, checkout};
use crate::cargo_tools::CargoTool;
use crate::console::Step;
use crate::process::Program;
use crate::{debian, python};

#[derive(clap::Args)]
pub struct Args {
    /// How often the broker is killed
    #[arg(long, default_value_t = 200)]
    kills: u32,
    /// Replays the moments of the kills of an earlier run
    #[arg(long)]
    seed: Option<u64>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let cache = Cache::open()?;
    debian::ensure(&["kcat"], "The crash test")?;
    let build = Step::start("Building the broker", "some minutes the first time");
    let cargo = || Program::cargo().folder(checkout()).env("CARGO_TARGET_DIR", cache.target());
    cargo().args(["build", "--locked", "--package", "logspine"]).run(Some(&build))?;
    build.finish("");
    let step = Step::start(&format!("{} kills", args.kills), "");
    let mut test = Program::new(CargoTool::Nextest.fetch(&cache)?)
        .args(["nextest", "run", "--locked", "-p", "logspine-e2e", "-E", "binary(crash_kill)"])
        .folder(checkout())
        .env("CARGO_TARGET_DIR", cache.target())
        .env("LOGSPINE_BIN", cache.target().join("debug/logspine"))
        .env(python::VARIABLE, python::with_clients(&cache)?)
        .env("LOGSPINE_KILLS", args.kills.to_string());
    if let Some(seed) = args.seed {
        test = test.env("LOGSPINE_SEED", seed.to_string());
    }
    let output = test.run(Some(&step))?;
    step.finish("nothing lost, nothing twice, nothing out of order");
    println!("{output}");
    Ok(())
}
