//! Promise: whatever was acknowledged, answered or shown survives every crash, nothing comes twice, and nothing appears
//! that was never decided: for a partition, for the groups' offsets, and for the metadata with its vote.
//!
//! The shipped code runs on a simulated disk that forgets what was not synced. A seed decides what happens next; the
//! power goes after any single operation, writes and syncs fail, the disk fills up. Three worlds, each compared with a
//! model of what it promised: `partition.rs`, `offsets.rs`, `metadata.rs`; `seeds.rs` says which seeds run. Every
//! planted bug must be found from its recorded seed.

mod metadata;
mod offsets;
mod partition;
mod seeds;
mod weather;

use logspine_replica::planted::{Bug, Planted};
use logspine_storage::planted::{Bug as StorageBug, Planted as StoragePlanted};

/// How often a world is stepped before its power goes for the last time.
const STEPS: usize = 150;

/// One seed of one world, with bugs or without: what it did, or the first broken promise.
type Run = fn(u64, Planted, StoragePlanted) -> Result<Lived, String>;

/// A life that broke no promise.
#[derive(Debug, Default, PartialEq, Eq)]
struct Lived {
    cuts: u64,
    /// Compactions, or logs that were opened again: what the workload must have reached to mean anything.
    rare: u64,
    answers: u64,
    trace: Vec<String>,
}

fn partition(seed: u64, replica: Planted, storage: StoragePlanted) -> Result<Lived, String> {
    let mut world = partition::World::new(seed, replica, storage);
    let mut done = Ok(());
    for _ in 0..STEPS {
        done = done.and_then(|()| world.step());
    }
    let done = done.and_then(|()| world.power_cut());
    finish(seed, done, &world.trace)?;
    Ok(Lived { cuts: world.cuts, trace: world.trace, ..Lived::default() })
}

fn offsets(seed: u64, replica: Planted, storage: StoragePlanted) -> Result<Lived, String> {
    let mut world = offsets::World::new(seed, replica, storage);
    let mut done = Ok(());
    for _ in 0..STEPS {
        done = done.and_then(|()| world.step());
    }
    let done = done.and_then(|()| world.power_cut());
    finish(seed, done, &world.trace)?;
    Ok(Lived { cuts: world.cuts, rare: world.compactions, answers: world.answers, trace: world.trace })
}

fn metadata(seed: u64, replica: Planted, _storage: StoragePlanted) -> Result<Lived, String> {
    let mut world = metadata::World::new(seed, replica);
    let mut done = Ok(());
    for _ in 0..STEPS {
        done = done.and_then(|()| world.step());
    }
    let done = done.and_then(|()| world.power_cut());
    finish(seed, done, &world.trace)?;
    Ok(Lived { cuts: world.cuts, rare: world.reopened, answers: world.answers, trace: world.trace })
}

/// The broken promise with its seed and what happened last.
fn finish(seed: u64, done: Result<(), String>, trace: &[String]) -> Result<(), String> {
    let last = &trace[trace.len().saturating_sub(20)..];
    done.map_err(|broken| format!("seed {seed}: {broken}\nlast {last:#?}"))
}

fn healthy(run: Run, seed: u64) -> Result<Lived, String> {
    run(seed, Planted::default(), StoragePlanted::default())
}

#[test]
fn nothing_that_a_partition_promised_is_lost_and_nothing_comes_twice() {
    seeds::each("partitions", 200, 300, |seed| Ok(healthy(partition, seed)?.cuts));
}

#[test]
fn offsets_that_were_answered_are_there_after_every_crash() {
    seeds::each("group offsets", 200, 300, |seed| Ok(healthy(offsets, seed)?.cuts));
}

#[test]
fn metadata_that_was_answered_is_there_after_every_crash_and_no_vote_goes_back() {
    seeds::each("metadata", 100, 200, |seed| Ok(healthy(metadata, seed)?.cuts));
}

#[test]
fn one_seed_twice_gives_one_trace() {
    for run in [partition as Run, offsets, metadata] {
        for seed in 0..5 {
            assert_eq!(healthy(run, seed), healthy(run, seed), "seed {seed}");
        }
    }
}

#[test]
fn the_workloads_reach_what_is_rare() {
    let (mut compactions, mut answers, mut reopened) = (0, 0, 0);
    for seed in 0..60 {
        let lived = healthy(offsets, seed).expect("a healthy shard");
        compactions += lived.rare;
        answers += lived.answers;
        reopened += healthy(metadata, seed).expect("a healthy metadata log").rare;
    }
    println!("{compactions} compactions, {answers} answers to groups, {reopened} logs opened again");
    assert!(compactions > 10 && answers > 1_000 && reopened > 5);
}

/// A bug, the world that catches it, and the seed from which it does; found by `find_seeds_of_planted_bugs`.
const CAUGHT: [(&str, Run, Result<Bug, StorageBug>, u64); 16] = [
    ("partition", partition, Ok(Bug::WatermarkFromLogEnd), 0),
    ("partition", partition, Err(StorageBug::DurableEndMovedInBeginFlush), 0),
    ("partition", partition, Err(StorageBug::DirectoryNotSynced), 0),
    ("partition", partition, Err(StorageBug::SyncForgottenAtRoll), 0),
    ("partition", partition, Err(StorageBug::FailedSyncRetried), 4),
    ("partition", partition, Err(StorageBug::CheckpointBeforeData), 0),
    ("offsets", offsets, Ok(Bug::WatermarkFromLogEnd), 0),
    ("offsets", offsets, Ok(Bug::ResponseBeforeCommit), 0),
    ("offsets", offsets, Ok(Bug::PendingKeptAfterLoss), 4),
    ("offsets", offsets, Ok(Bug::ReplaySkipsTail), 0),
    ("offsets", offsets, Err(StorageBug::CheckpointBeforeData), 10),
    ("offsets", offsets, Err(StorageBug::SwapNotSynced), 103),
    ("metadata", metadata, Ok(Bug::CommitBeforeSync), 0),
    ("metadata", metadata, Ok(Bug::VoteNotSynced), 0),
    ("metadata", metadata, Ok(Bug::ReplaySkipsTail), 0),
    ("metadata", metadata, Ok(Bug::ResponseBeforeCommit), 0),
];

fn with_bug(run: Run, bug: Result<Bug, StorageBug>, seed: u64) -> Result<Lived, String> {
    match bug {
        Ok(bug) => run(seed, Planted::bug(bug), StoragePlanted::default()),
        Err(bug) => run(seed, Planted::default(), StoragePlanted::bug(bug)),
    }
}

#[test]
fn each_planted_bug_is_caught_from_its_recorded_seed() {
    for (world, run, bug, seed) in CAUGHT {
        let caught = with_bug(run, bug, seed);
        let caught = caught.expect_err(&format!("{bug:?} is not caught in {world} by seed {seed}"));
        println!("{bug:?}: {}", caught.chars().take(160).collect::<String>());
        healthy(run, seed).unwrap_or_else(|error| panic!("without the bug: {error}"));
    }
    println!("FIGURE planted bugs caught over partitions, offsets and metadata: {}", CAUGHT.len());
}

#[test]
#[ignore = "prints the table above; run it when a workload changes"]
fn find_seeds_of_planted_bugs() {
    for (world, run, bug, _) in CAUGHT {
        let seed = (0..300).find(|seed| with_bug(run, bug, *seed).is_err());
        let seed = seed.map_or("NOT CAUGHT".to_owned(), |seed| seed.to_string());
        let bug = match bug {
            Ok(bug) => format!("Ok(Bug::{bug:?})"),
            Err(bug) => format!("Err(StorageBug::{bug:?})"),
        };
        println!("    (\"{world}\", {world}, {bug}, {seed}),");
    }
}
