//! One campaign: batches of one test until enough strikes fell, its state kept in the cache after each.
//!
//! The first batch has the campaign's seed, each next one the number after it. A failed batch ends the campaign and
//! its line in the ledger says so, with the seed that replays it.

use std::collections::BTreeMap;
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
    pub package: &'static str,
    /// The test binary.
    pub test: &'static str,
    /// What the names of its tests contain; of a simulation one world.
    pub filter: &'static str,
    /// How it is told how often.
    variable: &'static str,
    /// Strikes of one batch.
    batch: u32,
    /// Whether each strike has a seed of its own; else a batch has one.
    is_seeded: bool,
    /// The figure that the test prints about what it checked.
    figure: &'static str,
    /// Further figures that are added up for the ledger: faults by kind.
    faults: &'static [&'static str],
    /// What a campaign without a failure may say.
    success: &'static str,
}

const NOTHING_LOST: &str = "0 lost, 0 duplicated, 0 reordered";

pub const KILLS: Kind = Kind {
    name: "kill -9",
    package: "logspine-e2e",
    test: "crash_kill",
    filter: "",
    variable: "LOGSPINE_KILLS",
    batch: 50,
    is_seeded: false,
    figure: "acknowledged records checked",
    faults: &[],
    success: NOTHING_LOST,
};
pub const POWER_CUTS: Kind = Kind {
    name: "power cut",
    package: "logspine-e2e",
    test: "power_cut",
    filter: "",
    variable: "LOGSPINE_CUTS",
    batch: 50,
    is_seeded: false,
    figure: "acknowledged records checked",
    faults: &[],
    success: NOTHING_LOST,
};
/// Every world of the simulator.
pub const SIMULATED: [Kind; 4] = [
    SIMULATED_LOG,
    world("simulated partition", "nothing_that_a_partition", "power cuts within simulated partitions"),
    world("simulated offsets", "offsets_that_were_answered", "power cuts within simulated group offsets"),
    world("simulated metadata", "metadata_that_was_answered", "power cuts within simulated metadata"),
];

const fn world(name: &'static str, filter: &'static str, figure: &'static str) -> Kind {
    Kind {
        name,
        package: "logspine-replica",
        test: "simulation",
        filter,
        figure,
        faults: &[],
        ..SIMULATED_LOG
    }
}

const SIMULATED_LOG: Kind = Kind {
    name: "simulated log",
    package: "logspine-storage",
    test: "power_cut",
    filter: "what_was_acknowledged",
    variable: "LOGSPINE_SEEDS",
    batch: 1_000,
    is_seeded: true,
    figure: "simulated power cuts",
    faults: &[
        "simulated torn sectors",
        "simulated lost names",
        "simulated short writes",
        "simulated short reads",
        "simulated EIO writes",
        "simulated EIO syncs",
        "simulated EIO names",
        "simulated ENOSPC",
        "simulated rotten files",
    ],
    success: "no promise broken",
};

/// What is kept between batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub wanted: u32,
    pub done: u32,
    pub first_seed: u64,
    pub next_seed: u64,
    /// Acknowledged records whose fate was checked, or simulated power cuts.
    pub checked: u64,
    /// By kind.
    #[serde(default)]
    pub faults: BTreeMap<String, u64>,
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
        let path = cache.path(&format!("crash/{}.json", kind.name.replace(' ', "-")))?;
        let commit = ledger::commit()?;
        let kept = std::fs::read(&path).ok().and_then(|json| serde_json::from_slice::<State>(&json).ok());
        let kept = kept.filter(|state| seed.is_none() && state.wanted == wanted && state.commit == commit);
        let first_seed = seed.unwrap_or_else(clock_seed);
        let fresh = || State {
            wanted,
            done: 0,
            first_seed,
            next_seed: first_seed,
            checked: 0,
            faults: BTreeMap::new(),
            commit,
        };
        let state = kept.unwrap_or_else(fresh);
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
            let variable = if self.kind.is_seeded { "LOGSPINE_FIRST_SEED" } else { "LOGSPINE_SEED" };
            let finished = test.env(variable, seed.to_string()).finish(None)?;
            if !finished.status.success() {
                self.write_down(&format!("FAILED in the batch of seed {seed}"))?;
                bail!("the batch of seed {seed} failed\n{}", finished.output);
            }
            let figure = figure(&finished.output, self.kind.figure);
            self.state.checked += figure.context("the test printed no figure")?;
            for name in self.kind.faults {
                let count =
                    self::figure(&finished.output, name).context("the test printed no count of faults")?;
                *self.state.faults.entry((*name).to_owned()).or_default() += count;
            }
            self.state.done += batch;
            self.state.next_seed += if self.kind.is_seeded { u64::from(batch) } else { 1 };
            std::fs::write(&self.path, serde_json::to_vec(&self.state)?)?;
        }
        step.finish(self.kind.success);
        self.write_down(self.kind.success)?;
        Ok(std::fs::remove_file(&self.path)?)
    }

    fn write_down(&self, result: &str) -> anyhow::Result<()> {
        let line = ledger::line(self.kind.name, self.kind.figure, &self.state, result)?;
        ledger::append(&checkout().join(ledger::PATH), &line)?;
        println!("{line}");
        Ok(())
    }
}

fn clock_seed() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_secs())
}

/// A figure that the batch printed.
fn figure(output: &str, name: &str) -> Option<u64> {
    let start = format!("FIGURE {name}: ");
    let figure = output.lines().find_map(|line| line.split_once(&start))?;
    figure.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_is_found_wherever_nextest_indents_it() {
        let output = "x\n    FIGURE acknowledged records checked: 12\ny";
        assert_eq!(figure(output, "acknowledged records checked"), Some(12));
        assert_eq!(figure("FIGURE power cuts: 10", "acknowledged records checked"), None);
    }
}
