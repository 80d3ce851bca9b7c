//! The power goes after every single operation of a compaction, and the log opens: nothing that survives is lost,
//! nothing comes back that was never written, and a second recovery changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use logspine_protocol::types::Offset;
use logspine_storage::planted::{Bug, Planted};
use logspine_storage::sim_disk::{Replay, SimDisk};
use logspine_storage::{Disk, Log};

use crate::life::{Life, ROOMY, Record, compact, open_args, read, within};
use crate::{DATA, LATER_MS};

/// Compacts a log and cuts the power after each operation; returns how many cuts were fine.
fn every_cut(seed: u64, planted: Planted) -> Result<u64, String> {
    let disk = SimDisk::new();
    disk.record();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut args = open_args(&shared, Path::new(DATA));
    args.config.planted = planted;
    let mut life = Life::with(seed, args, 40);
    let begun = disk.operations() as usize;
    let (mut checkpoint, last_stable) = (None, life.last_stable());
    let before = read(&life.log.reader(), 1 << 20)?;
    compact(&mut life.log, &mut checkpoint, last_stable, ROOMY, LATER_MS, |_| {}).unwrap();
    let must = life.expected(checkpoint.unwrap());
    let ends = (life.log.log_start(), life.log.log_end(), life.log.durable_end());
    let recorded = disk.recorded();
    let (mut replay, mut cuts) = (Replay::new(), 0);
    recorded[..begun].iter().for_each(|op| replay.apply(op));
    for (number, op) in recorded[begun..].iter().enumerate() {
        replay.apply(op);
        for fate in 0..3 {
            let cut = replay.power_cut(seed * 1_000 + number as u64 * 3 + fate);
            recover(&cut, ends, &before, &must)
                .map_err(|error| format!("LOGSPINE_SEED={seed}, operation {number}, fate {fate}: {error}"))?;
            cuts += 1;
        }
    }
    Ok(cuts)
}

/// Opens what a cut left, twice: nothing but the log start is believed, then everything that was durable.
fn recover(
    cut: &SimDisk,
    (log_start, log_end, durable_end): (Offset, Offset, Offset),
    before: &[Record],
    must: &[Record],
) -> Result<(), String> {
    let shared: Arc<dyn Disk> = Arc::new(cut.clone());
    for recovery_point in [log_start, durable_end] {
        let mut args = open_args(&shared, Path::new(DATA));
        args.recovery_point = recovery_point;
        let (log, recovered) = Log::open(args).map_err(|error| error.to_string())?;
        if let Some(damage) = recovered.damage {
            return Err(damage.to_string());
        }
        if (recovered.truncated_bytes, log.log_start(), log.log_end()) != (0, log_start, log_end) {
            return Err(format!(
                "{} bytes cut, {} to {}",
                recovered.truncated_bytes,
                log.log_start(),
                log.log_end()
            ));
        }
        for max_bytes in [1, 1 << 20] {
            within(&read(&log.reader(), max_bytes)?, before, must)?;
        }
        let is_unfinished = |path: &PathBuf| {
            let name = path.to_string_lossy();
            name.ends_with(".swap") || name.ends_with(".cleaned")
        };
        if let Some((path, _)) = cut.dump().into_iter().find(|(path, _)| is_unfinished(path)) {
            return Err(format!("{} is left", path.display()));
        }
    }
    Ok(())
}

#[test]
fn the_log_opens_whole_after_a_power_cut_at_any_operation_of_a_swap() {
    let cuts: u64 = (0..6).map(|seed| every_cut(seed, Planted::default()).unwrap()).sum();
    assert!(cuts > 1_000, "a compaction has steps: {cuts}");
    println!("FIGURE power cuts within compactions: {cuts}");
}

#[test]
fn a_step_that_is_not_synced_is_caught() {
    for bug in Bug::COMPACTION {
        let caught = (0..6).find_map(|seed| every_cut(seed, Planted::bug(bug)).err());
        println!("{bug:?}: {}", caught.unwrap_or_else(|| panic!("{bug:?} is not caught")));
    }
}
