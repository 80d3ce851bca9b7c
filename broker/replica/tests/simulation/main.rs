//! Promise: whatever a replica acknowledged or showed to a consumer survives every crash, and nothing comes twice.
//!
//! The shipped `Partition` runs on a simulated disk that forgets what was not synced. A seed decides what happens
//! next: a producer that retries like an idempotent client, flushes torn apart into their three steps, reads,
//! checkpoints, DeleteRecords, retention, the end of the process, the end of the power. After each the checker
//! compares with what was promised. `LOGSPINE_SEEDS=n` runs more seeds, `LOGSPINE_SEED=n` replays one.
//! Every planted bug must be found from its recorded seed.

mod world;

use logspine_replica::planted::Planted;
use logspine_storage::planted::{Bug, Planted as StoragePlanted};
use world::World;

const STEPS: usize = 150;

/// Runs one seed; the first broken promise, or nothing.
fn run(seed: u64, replica: Planted, storage: StoragePlanted) -> Result<Vec<String>, String> {
    let mut world = World::new(seed, replica, storage);
    for _ in 0..STEPS {
        world.step().map_err(|broken| format!("seed {seed}: {broken}"))?;
    }
    world.power_cut().map_err(|broken| format!("seed {seed}, at the end: {broken}"))?;
    Ok(world.trace)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn nothing_promised_is_lost_and_nothing_comes_twice() {
    let seeds = match number("LOGSPINE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("LOGSPINE_SEEDS").unwrap_or(1000),
    };
    println!("seeds {seeds:?}");
    for seed in seeds {
        if let Err(broken) = run(seed, Planted::default(), StoragePlanted::default()) {
            panic!("{broken}\nreplay it with LOGSPINE_SEED={seed}");
        }
    }
}

#[test]
fn one_seed_twice_gives_one_trace() {
    for seed in 0..20 {
        let first = run(seed, Planted::default(), StoragePlanted::default()).expect("a healthy replica");
        let second = run(seed, Planted::default(), StoragePlanted::default()).expect("a healthy replica");
        assert_eq!(first, second, "seed {seed}");
    }
}

/// The bug must show within the first 200 seeds; the same ones in every run.
fn caught(replica: Planted, storage: StoragePlanted, name: &str) {
    for seed in 0..200 {
        if let Err(broken) = run(seed, replica, storage) {
            println!("{name}: {broken}");
            return;
        }
    }
    panic!("{name} was not caught by 200 seeds");
}

#[test]
fn a_watermark_over_unsynced_data_is_caught() {
    let planted = Planted { watermark_from_log_end: true, ..Planted::default() };
    caught(planted, StoragePlanted::default(), "watermark from log end");
}

#[test]
fn a_durable_end_that_moves_before_the_sync_is_caught() {
    caught(
        Planted::default(),
        StoragePlanted::bug(Bug::DurableEndMovedInBeginFlush),
        "durable end in begin_flush",
    );
}

#[test]
fn a_directory_that_is_never_synced_is_caught() {
    caught(Planted::default(), StoragePlanted::bug(Bug::DirectoryNotSynced), "directory not synced");
}

#[test]
fn a_segment_forgotten_at_its_roll_is_caught() {
    caught(Planted::default(), StoragePlanted::bug(Bug::SyncForgottenAtRoll), "sync forgotten at roll");
}

#[test]
fn a_poisoned_log_that_takes_writes_is_caught() {
    caught(Planted::default(), StoragePlanted::bug(Bug::FailedSyncRetried), "failed sync retried");
}
