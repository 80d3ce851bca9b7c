//! The power goes after every single operation, and what was acknowledged is there.
//!
//! A random workload runs once on a recorded disk; then the recording is cut after each operation, the log is
//! recovered and compared with what was known at that moment. `LOGSPINE_SEEDS=100000` widens
//! it, `LOGSPINE_FIRST_SEED=1` says where it begins, `LOGSPINE_SEED=7` replays one. Each planted bug is caught from its
//! recorded seed by the same checker, and every seed that ever failed is run again.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "../support/mod.rs"]
mod support;

mod check;
mod model;
mod reads;
mod replayed;
mod rot;
mod seeds;
mod workload;

use logspine_storage::planted::{Bug, Planted};
use logspine_storage::sim_disk::FaultCounts;

use seeds::{CAUGHT, FAILED};

/// Runs one seed: the workload, then a cut after each of its operations. Returns what the disks dealt out.
fn run(seed: u64, planted: Planted) -> Result<FaultCounts, String> {
    let words = |error| format!("LOGSPINE_SEED={seed}: {error}");
    let life = workload::run(seed, planted).map_err(words)?;
    let mut faults = check::every_cut(seed, &life.recording, &life.history, planted).map_err(words)?;
    faults.add(life.faults);
    Ok(faults)
}

/// Fresh in every run, unless it is given.
fn first_seed() -> u64 {
    let clock = || std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_micros() as u64;
    env("LOGSPINE_FIRST_SEED").unwrap_or_else(clock)
}

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

#[test]
fn what_was_acknowledged_survives_a_cut_after_every_operation() {
    let (first, count) = match env("LOGSPINE_SEED") {
        Some(seed) => (seed, 1),
        None => (first_seed(), env("LOGSPINE_SEEDS").unwrap_or(1_000)),
    };
    println!("FIGURE simulated seeds: {count}, from {first} on");
    let halves = [0, 1].map(|half| {
        std::thread::spawn(move || -> Result<FaultCounts, String> {
            let mut faults = FaultCounts::default();
            for seed in (first..first + count).filter(|seed| seed % 2 == half) {
                faults.add(run(seed, Planted::default())?);
            }
            Ok(faults)
        })
    });
    let mut faults = FaultCounts::default();
    for half in halves {
        // The seed is in the words; so is that of the first, to run all of them again.
        let dealt = half.join().unwrap_or_else(|_| panic!("LOGSPINE_FIRST_SEED={first}: a panic, see above"));
        faults.add(dealt.unwrap_or_else(|error| panic!("LOGSPINE_FIRST_SEED={first}, {error}")));
    }
    for (kind, count) in faults.by_name() {
        println!("FIGURE simulated {kind}: {count}");
    }
}

#[test]
fn every_seed_that_ever_failed_passes() {
    for (seed, found) in FAILED {
        run(seed, Planted::default()).unwrap_or_else(|error| panic!("again, {found}: {error}"));
    }
    println!("FIGURE seeds that once failed: {}", FAILED.len());
}

#[test]
fn each_planted_bug_is_caught_from_its_recorded_seed() {
    for (bug, seed, promise) in CAUGHT {
        let caught =
            run(seed, Planted::bug(bug)).expect_err(&format!("{bug:?} is not caught by seed {seed}"));
        let promise_broken = format!("LOGSPINE_SEED={seed}: {promise}: ");
        assert!(caught.starts_with(&promise_broken), "{bug:?} breaks another promise: {caught}");
        run(seed, Planted::default()).unwrap_or_else(|error| panic!("without {bug:?}: {error}"));
    }
    let missing = Bug::ALL.iter().find(|bug| !CAUGHT.iter().any(|(caught, ..)| caught == *bug));
    assert_eq!(missing, None, "a planted bug without a seed");
    println!("FIGURE planted bugs caught: {}", Bug::ALL.len());
}

#[test]
#[ignore = "prints the table of seeds.rs; run it when the workload changes"]
fn find_seeds_of_planted_bugs() {
    for bug in Bug::ALL {
        let mut promises = std::collections::BTreeSet::new();
        for seed in FAILED.iter().map(|(seed, _)| *seed).chain(0..1_000) {
            let Err(words) = run(seed, Planted::bug(bug)) else { continue };
            let promise = words.split(": ").nth(1).unwrap_or_default().to_owned();
            if promises.insert(promise.clone()) {
                println!("    (Bug::{bug:?}, {seed}, {promise:?}),");
            }
            // The first that is found will do; a few more leave a choice.
            if seed > 100 {
                break;
            }
        }
        assert!(!promises.is_empty(), "{bug:?} is not caught");
    }
}

#[test]
fn one_seed_twice_is_the_same_run() {
    for seed in [1, 42, 260, 299] {
        let lives = [0, 1].map(|_| workload::run(seed, Planted::default()).expect("a healthy log").recording);
        assert_eq!(lives[0], lives[1]);
        assert_eq!(run(seed, Planted::default()), run(seed, Planted::default()));
    }
}
