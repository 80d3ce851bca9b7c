//! One campaign: batches of one test until enough strikes fell, its state kept in the cache after each.
//!
//! The first batch has the campaign's seed, each next one the number after it. A failed batch ends the campaign and
//! its line in the ledger says so, with the seed that replays it.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::ledger;
use crate::cache::{Cache, checkout};
use crate::console::Step;
use crate::process::Program;

/// What strikes.
pub struct Kind {
    pub name: &'static str,
    /// The test binary.
    pub test: &'static str,
    /// How it is told how often.
    variable: &'static str,
    /// Strikes of one batch.
    batch: u32,
}

pub const KILLS: Kind = Kind { name: "kill -9", test: "crash_kill", variable: "LOGSPINE_KILLS", batch: 50 };
pub const POWER_CUTS: Kind =
    Kind { name: "power cut", test: "power_cut", variable: "LOGSPINE_CUTS", batch: 50 };

/// What is kept between batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub wanted: u32,
    pub done: u32,
    pub first_seed: u64,
    pub next_seed: u64,
    /// Acknowledged records whose fate was checked.
    pub checked: u64,
    /// The commit that was tested.
    pub commit: String,
}

pub struct Campaign<'a> {
    kind: &'a Kind,
    state: State,
    path: PathBuf,
}

impl<'a> Campaign<'a> {
    /// Goes on with a campaign of this size that was ended early on the same commit, or begins one.
    pub fn resume(cache: &Cache, kind: &'a Kind, wanted: u32, seed: Option<u64>) -> anyhow::Result<Self> {
        let path = cache.path(&format!("crash/{}.json", kind.test))?;
        let commit = ledger::commit()?;
        let kept = std::fs::read(&path).ok().and_then(|json| serde_json::from_slice::<State>(&json).ok());
        let kept = kept.filter(|state| seed.is_none() && state.wanted == wanted && state.commit == commit);
        let first_seed = seed.unwrap_or_else(clock_seed);
        let state =
            kept.unwrap_or(State { wanted, done: 0, first_seed, next_seed: first_seed, checked: 0, commit });
        Ok(Campaign { kind, state, path })
    }

    pub fn run(mut self, test: &Program) -> anyhow::Result<()> {
        let wanted = self.state.wanted;
        let step = Step::start(&format!("{wanted} x {}", self.kind.name), "one to two seconds each");
        while self.state.done < wanted {
            step.progress(&format!("{} of {wanted}", self.state.done));
            let batch = self.kind.batch.min(wanted - self.state.done);
            let seed = self.state.next_seed;
            let test = test.clone().env(self.kind.variable, batch.to_string());
            let finished = test.env("LOGSPINE_SEED", seed.to_string()).finish(None)?;
            if !finished.status.success() {
                self.write_down(&format!("FAILED in the batch of seed {seed}"))?;
                bail!("the batch of seed {seed} failed\n{}", finished.output);
            }
            self.state.checked += checked(&finished.output).context("the test printed no figure")?;
            self.state.done += batch;
            self.state.next_seed += 1;
            std::fs::write(&self.path, serde_json::to_vec(&self.state)?)?;
        }
        step.finish("nothing lost, nothing twice, nothing out of order");
        self.write_down("0 lost, 0 duplicated, 0 reordered")?;
        Ok(std::fs::remove_file(&self.path)?)
    }

    fn write_down(&self, result: &str) -> anyhow::Result<()> {
        let line = ledger::line(self.kind.name, &self.state, result)?;
        ledger::append(&checkout().join(ledger::PATH), &line)?;
        println!("{line}");
        Ok(())
    }
}

fn clock_seed() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_secs())
}

/// How many acknowledged records the batch followed to the end.
fn checked(output: &str) -> Option<u64> {
    let figure = output.lines().find_map(|line| line.split_once("FIGURE acknowledged records checked: "))?;
    figure.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_is_found_wherever_nextest_indents_it() {
        assert_eq!(checked("x\n    FIGURE acknowledged records checked: 12\ny"), Some(12));
        assert_eq!(checked("FIGURE power cuts: 10"), None);
    }
}
