//! The power goes after every single operation, and what was acknowledged is there.
//!
//! A random workload runs once on a recorded disk; then the recording is cut after each operation, the log is
//! recovered and compared with what was known at that moment. `LOGSPINE_SEEDS=100000` widens the run,
//! `LOGSPINE_SEED=7` replays one. Each planted bug is caught from its recorded seed by the same checker.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "../support/mod.rs"]
mod support;

mod check;
mod model;
mod workload;

use logspine_storage::planted::{Bug, Planted};

/// Seeds that show each bug; found by `find_seeds_of_planted_bugs`.
const CAUGHT: [(Bug, u64); 5] = [
    (Bug::SyncForgottenAtRoll, 0),
    (Bug::DirectoryNotSynced, 0),
    (Bug::CheckpointBeforeData, 4),
    (Bug::FailedSyncRetried, 6),
    (Bug::DurableEndMovedInBeginFlush, 0),
];

/// Runs one seed: the workload, then a cut after each of its operations.
fn run(seed: u64, planted: Planted) -> Result<u64, String> {
    let (recording, history) = workload::run(seed, planted);
    check::every_cut(seed, &recording, &history).map_err(|error| format!("LOGSPINE_SEED={seed}: {error}"))
}

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

#[test]
fn what_was_acknowledged_survives_a_cut_after_every_operation() {
    let (first, count) = match env("LOGSPINE_SEED") {
        Some(seed) => (seed, 1),
        None => (0, env("LOGSPINE_SEEDS").unwrap_or(1_000)),
    };
    let halves = [0, 1].map(|half| {
        std::thread::spawn(move || -> Result<u64, String> {
            (first..first + count)
                .filter(|seed| seed % 2 == half)
                .map(|seed| run(seed, Planted::default()))
                .sum()
        })
    });
    let cuts: u64 =
        halves.into_iter().map(|half| half.join().unwrap().unwrap_or_else(|error| panic!("{error}"))).sum();
    println!("{count} seeds, {cuts} power cuts");
}

#[test]
fn each_planted_bug_is_caught_from_its_recorded_seed() {
    for (bug, seed) in CAUGHT {
        let caught =
            run(seed, Planted::bug(bug)).expect_err(&format!("{bug:?} is not caught by seed {seed}"));
        println!("{bug:?}: {caught}");
        run(seed, Planted::default()).unwrap_or_else(|error| panic!("without the bug: {error}"));
    }
}

#[test]
#[ignore = "prints the table above; run it when the workload changes"]
fn find_seeds_of_planted_bugs() {
    for bug in Bug::ALL {
        let seed = (0..2_000).find(|seed| run(*seed, Planted::bug(bug)).is_err());
        println!("    (Bug::{bug:?}, {}),", seed.map_or("NOT CAUGHT".to_owned(), |seed| seed.to_string()));
    }
}

#[test]
fn one_seed_twice_is_the_same_run() {
    for seed in [1, 42] {
        let runs = [0, 1].map(|_| workload::run(seed, Planted::default()));
        assert_eq!(runs[0].0, runs[1].0);
        assert_eq!(run(seed, Planted::default()), run(seed, Planted::default()));
    }
}
