//! `cargo xtask test`: runs the table of stages and ends with a table of times and one line of counts.
//!
//! Invariants: every stage runs, whatever failed before it; what a machine cannot run is reported by name and
//! reason, and is a failure under CI's rules; the last line is `N passed, N failed, N skipped`.
//! Called by people and, unchanged, by CI.

mod needs;
mod report;
mod stages;
mod tally;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::cache::{Cache, checkout};
use crate::console::{self, Step, say};
use crate::process::{Program, tail};
use report::{Ending, Row};
use stages::Stage;
use tally::Tally;

#[derive(clap::Args)]
pub struct Args {
    /// Run only this stage; may be given more than once
    #[arg(long = "only", value_name = "STAGE")]
    only: Vec<String>,
    /// Leave this stage out; may be given more than once
    #[arg(long = "except", value_name = "STAGE")]
    except: Vec<String>,
    /// Run the full counts of seeds and rounds instead of CI's share
    #[arg(long)]
    full: bool,
    /// Print the table of stages and stop
    #[arg(long)]
    list: bool,
}

/// Whether a skipped test is told or is a failure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    Person,
    Ci,
}

impl Rules {
    pub fn from_environment() -> Rules {
        if std::env::var_os("CI").is_some_and(|value| value == "true") { Rules::Ci } else { Rules::Person }
    }
}

pub fn run(args: &Args, rules: Rules) -> anyhow::Result<()> {
    let stages = chosen(args)?;
    if args.list {
        println!("{}", report::listing(&stages, args.full));
        return Ok(());
    }
    let cache = Cache::open()?;
    let own_copy = OwnCopy::make(&cache)?;
    say(&format!("Logs and build output: {}", cache.folder("logs")?.display()));
    let started = Instant::now();
    let rows: Vec<Row> =
        stages.iter().map(|stage| run_stage(stage, args.full, rules, &cache, &own_copy)).collect();
    for row in &rows {
        if let Ending::Failed(reason) = &row.ending {
            say(&format!("\n---- {} failed ----\n{reason}", row.name));
        }
    }
    let total = rows.iter().fold(Tally::default(), |total, row| total.plus(&row.tally(rules)));
    println!("{}", report::times(&rows, started.elapsed()));
    println!("{}", report::closing_line(&total));
    if total.failed > 0 {
        bail!("{} of the tests failed", total.failed);
    }
    Ok(())
}

fn chosen(args: &Args) -> anyhow::Result<Vec<&'static Stage>> {
    for name in args.only.iter().chain(&args.except) {
        if !stages::STAGES.iter().any(|stage| stage.name == name) {
            let names: Vec<&str> = stages::STAGES.iter().map(|stage| stage.name).collect();
            bail!("there is no stage {name}; the stages are {}", names.join(", "));
        }
    }
    let wanted = |stage: &&Stage| {
        (args.only.is_empty() || args.only.iter().any(|name| name == stage.name))
            && !args.except.iter().any(|name| name == stage.name)
    };
    Ok(stages::STAGES.iter().filter(wanted).collect())
}

fn run_stage(stage: &'static Stage, full: bool, rules: Rules, cache: &Cache, own_copy: &OwnCopy) -> Row {
    let is_cold = !was_here_before(stage, cache);
    let started = Instant::now();
    let mut row = Row {
        name: stage.name,
        budget: stage.budget,
        is_cold,
        took: Duration::ZERO,
        ending: Ending::Passed(Tally::default()),
    };
    row.ending = match needs::meet(stage.needs, cache) {
        Err(refusal) => refusal.into_ending(),
        Ok(environment) => match run_commands(stage, full, rules, cache, own_copy, &environment) {
            Ok(ending) => ending,
            Err(error) => Ending::Failed(format!("{error:#}")),
        },
    };
    row.took = started.elapsed();
    if matches!(row.ending, Ending::Passed(_)) {
        // Only a note for the table of times: without it the next run is called cold.
        let _ = cache.path(&format!("stages/{}", stage.name)).map(|path| std::fs::write(path, ""));
    }
    row
}

fn was_here_before(stage: &Stage, cache: &Cache) -> bool {
    cache.path(&format!("stages/{}", stage.name)).is_ok_and(|path| path.is_file())
}

fn run_commands(
    stage: &'static Stage,
    full: bool,
    rules: Rules,
    cache: &Cache,
    own_copy: &OwnCopy,
    environment: &BTreeMap<String, String>,
) -> anyhow::Result<Ending> {
    let step = Step::start(stage.name, stage.promise);
    let mut tally = Tally::default();
    for (number, command) in stage.commands.iter().enumerate() {
        let log = cache.path(&format!("logs/{}-{}.log", stage.name, number + 1))?;
        let mut program =
            program(command, cache, own_copy).folder(checkout()).log(&log).deadline(stage.deadline());
        for (name, value) in environment {
            program = program.env(name, value);
        }
        for share in stage.shares {
            program = program.env(share.variable, if full { share.full } else { share.ci });
        }
        let finished = program.finish(Some(&step))?;
        let counted = Tally::read(&finished.output);
        tally = tally.plus(&counted);
        if finished.overran || !finished.status.success() {
            let how = if finished.overran {
                "took too long and was ended".into()
            } else {
                finished.status.to_string()
            };
            step.finish(&how);
            let reason = format!(
                "`{}`: {how}\n{}\n(all of it: {})",
                program.command_line(),
                tail(&finished.output),
                log.display()
            );
            return Ok(Ending::Failed(reason));
        }
    }
    // A stage without test counts is one check.
    let tally = if tally.passed == 0 { Tally { passed: 1, ..tally } } else { tally };
    let ending = Ending::Passed(tally);
    let skips_are_failures = rules == Rules::Ci;
    step.finish(&report::summary(&ending, skips_are_failures));
    for line in report::remarks(&ending) {
        console::say(&format!("      {line}"));
    }
    Ok(ending)
}

/// `cargo xtask X` in the table means this very program.
fn program(command: &str, cache: &Cache, own_copy: &OwnCopy) -> Program {
    let words: Vec<&str> = command.split_whitespace().collect();
    let program = match words.as_slice() {
        ["cargo", "xtask", rest @ ..] => Program::new(&own_copy.0).args(rest),
        ["cargo", rest @ ..] => Program::cargo().args(rest),
        [name, rest @ ..] => Program::new(name).args(rest),
        [] => unreachable!("a test of the table refuses empty commands"),
    };
    program
        .env("CARGO_TARGET_DIR", cache.target())
        .env("CARGO_TERM_COLOR", "never")
        .env("RUST_BACKTRACE", "0")
}

/// A copy of this program, as long as the tests run. The original is replaced when a stage builds xtask, and by
/// another checkout that shares the cache: from then on it would test that one.
struct OwnCopy(PathBuf);

impl OwnCopy {
    fn make(cache: &Cache) -> anyhow::Result<OwnCopy> {
        let copy = cache.path(&format!("running/xtask-{}", std::process::id()))?;
        std::fs::copy(std::env::current_exe()?, &copy).context("cannot copy this program into the cache")?;
        Ok(OwnCopy(copy))
    }
}

impl Drop for OwnCopy {
    fn drop(&mut self) {
        // A copy that stays is only a file too many in the cache.
        let _ = std::fs::remove_file(&self.0);
    }
}
