//! One bit of a batch turns on the disk, behind everybody's back, and the log is opened again.
//!
//! `rot`: it opens, the batch is never served, what is before it is, and nothing below the recovery point is cut away.

use std::path::Path;

use logspine_protocol::types::Offset;
use logspine_storage::sim_disk::{FaultCounts, Rng, SimDisk};
use logspine_storage::{Disk, LogConfig, LogDir, LogReader};

use crate::model;
use crate::reads::Found;
use crate::support::DATA_DIR;
use crate::workload;

/// Where the checksum of a batch begins, behind which every bit counts.
const CHECKED_FROM: u64 = 17;

/// Turns a bit of a copy of the disk.
pub fn one_bit(
    disk: &SimDisk,
    config: &LogConfig,
    incarnation: u8,
    found: &Found,
    seed: u64,
) -> Result<FaultCounts, String> {
    let (disk, mut rng) = (disk.copy(), Rng::new(seed));
    if found.batches.is_empty() {
        return Ok(FaultCounts::default());
    }
    let number = rng.below(found.batches.len() as u64) as usize;
    let rotten = &found.batches[number];
    let holds = |bytes: &[u8]| bytes.windows(rotten.bytes.len()).position(|window| window == rotten.bytes);
    let is_log = |path: &Path| path.extension().is_some_and(|end| end == "log");
    let mut files = disk.dump().into_iter().filter(|(path, _)| is_log(path));
    let at = files.find_map(|(path, bytes)| holds(&bytes).map(|position| (path, position)));
    let (path, position) = at.ok_or("rot: the batch is in no file")?;
    let bit = CHECKED_FROM + rng.below(rotten.bytes.len() as u64 - CHECKED_FROM);
    let turn = |bytes: &mut Vec<u8>| bytes[position + bit as usize] ^= 1 << rng.below(8);
    disk.damage(&path, turn).map_err(|error| error.to_string())?;

    let recovery_point = recovery_point(&disk)?;
    let (_dir, log, recovered) = workload::start_and_flush(&disk, config, incarnation)
        .map_err(|error| format!("rot: it does not open: {error}"))?;
    let was_safe = rotten.base < recovery_point;
    if was_safe && (recovered.truncated_bytes > 0 || log.log_end().0 < recovery_point) {
        return Err(format!("rot: what was safe up to {recovery_point} is cut away: {recovered:?}"));
    }
    let reader = log.reader();
    for (other, batch) in found.batches.iter().enumerate() {
        let from = Offset(batch.base.max(found.log_start));
        let served = served(&reader, from)?;
        if served.as_deref() == Some(&batch.bytes) && other != number {
            continue;
        }
        if served.is_some() {
            return Err(format!("rot: at {from} something is served that was never appended there"));
        }
        if other < number {
            return Err(format!("rot: nothing is served at {from}, before the damage at {}", rotten.base));
        }
    }
    Ok(disk.fault_counts())
}

fn recovery_point(disk: &SimDisk) -> Result<i64, String> {
    let path = Path::new(DATA_DIR).join("recovery-point-offset-checkpoint");
    let disk: std::sync::Arc<dyn Disk> = std::sync::Arc::new(disk.clone());
    let points = logspine_storage::checkpoint::read(&*disk, &path).map_err(|error| error.to_string())?;
    Ok(LogDir::offset_of(&points, "topic", 0).0)
}

/// The batch that a reader gets who checks everything.
fn served(reader: &LogReader, from: Offset) -> Result<Option<Vec<u8>>, String> {
    if from >= reader.log_end() {
        return Ok(None);
    }
    let Ok(read) = reader.read_verified(from, reader.log_end(), 1, true, 0) else { return Ok(None) };
    let bytes = read.slice.to_vec().map_err(|error| format!("rot: {error}"))?;
    Ok(model::batches(&bytes)?.into_iter().next().map(|batch| batch.bytes))
}
