//! Everything that a reader can see of a log, read in every way: by single batches, by random budgets that end inside
//! of batches and segments, all at once; compared with what the segment files hold.

use std::path::Path;

use logspine_protocol::batch::iter_batches;
use logspine_protocol::types::Offset;
use logspine_storage::sim_disk::{Rng, SimDisk};
use logspine_storage::{Log, LogReader};

use crate::model::{self, Batch};
use crate::support;

/// Everything that a reader can see.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    pub log_start: i64,
    pub log_end: i64,
    pub batches: Vec<Batch>,
    epoch_starts: Vec<(i32, i64)>,
}

pub fn look(disk: &SimDisk, log: &Log, seed: u64) -> Result<Found, String> {
    let reader = log.reader();
    let (log_start, log_end) = (reader.log_start(), reader.log_end());
    if log.durable_end() != log_end {
        return Err(format!("acknowledged: recovered to {log_end}, durable only to {}", log.durable_end()));
    }
    let batches = in_files(disk, log_start.0)?;
    let mut rng = Rng::new(seed);
    let random = rng.next_u64();
    for (what, sizes) in [("one batch", 1), ("random numbers of bytes", 0), ("everything", 1 << 20)] {
        let mut rng = Rng::new(random);
        let read = read_from(&reader, log_start, log_end, || match sizes {
            0 => 1 + rng.below(900) as u32,
            size => size,
        })?;
        if read != batches {
            return Err(format!("contiguous: reads of {what} find something else than the files hold"));
        }
    }
    from_anywhere(&reader, &batches, &mut rng)?;
    let epoch_starts = epochs(&reader, &batches)?;
    Ok(Found { log_start: log_start.0, log_end: log_end.0, batches, epoch_starts })
}

/// The batches of all segment files, from the one that holds the log start on.
fn in_files(disk: &SimDisk, log_start: i64) -> Result<Vec<Batch>, String> {
    let dir = Path::new(support::DATA_DIR).join("topic-0");
    let is_log =
        |path: &Path| path.parent() == Some(&dir) && path.extension().is_some_and(|end| end == "log");
    let files = disk.dump().into_iter().filter(|(path, _)| is_log(path));
    let bytes: Vec<u8> = files.flat_map(|(_, bytes)| bytes).collect();
    let mut batches = model::batches(&bytes).map_err(|error| format!("contiguous: in the files: {error}"))?;
    batches.retain(|batch| batch.next > log_start);
    Ok(batches)
}

/// Everything from an offset on, in slices of budgets: each begins with the batch that holds its offset, or with the
/// next one if compaction left none.
pub fn read_from(
    reader: &LogReader,
    from: Offset,
    end: Offset,
    mut budget: impl FnMut() -> u32,
) -> Result<Vec<Batch>, String> {
    let (mut found, mut next) = (Vec::new(), from);
    while next < end {
        let at = next;
        let words = |error: &dyn std::fmt::Display| format!("contiguous: reading at {at}: {error}");
        let slice = reader.read(next, end, budget(), true).map_err(|error| words(&error))?;
        let content = slice.to_vec().map_err(|error| words(&error))?;
        for batch in iter_batches(&content) {
            let batch = batch.map_err(|error| words(&error))?;
            if batch.last_offset() < next {
                return Err(format!("contiguous: the batch at {} is read at {next}", batch.base_offset()));
            }
            next = batch.next_offset();
            found.push(Batch::of(&batch));
        }
        if next == at {
            return Err(format!("contiguous: nothing at {next} below {end}"));
        }
    }
    Ok(found)
}

/// One slice from an offset of choice begins with its batch and leaves nothing out.
fn from_anywhere(reader: &LogReader, batches: &[Batch], rng: &mut Rng) -> Result<(), String> {
    let (start, end) = (reader.log_start(), reader.log_end());
    if start == end {
        return Ok(());
    }
    let from = start + rng.below((end - start) as u64) as i64;
    let words = |error: &dyn std::fmt::Display| format!("contiguous: reading at {from}: {error}");
    let slice = reader.read(from, end, 1 + rng.below(2_000) as u32, true).map_err(|error| words(&error))?;
    let read = model::batches(&slice.to_vec().map_err(|error| words(&error))?)?;
    let first = batches.partition_point(|batch| batch.next <= from.0);
    match read.is_empty() || batches.get(first..first + read.len()) != Some(&read[..]) {
        true => Err(format!("contiguous: a slice at {from} is not what the files hold there")),
        false => Ok(()),
    }
}

fn epochs(reader: &LogReader, batches: &[Batch]) -> Result<Vec<(i32, i64)>, String> {
    let mut starts: Vec<(i32, i64)> = Vec::new();
    for batch in batches {
        let view =
            logspine_protocol::batch::BatchView::parse(&batch.bytes).map_err(|error| error.to_string())?.0;
        let epoch = view.partition_leader_epoch();
        let known = reader.epoch_of(view.last_offset());
        if known != Some(epoch) {
            return Err(format!("epochs: epoch of {} is {known:?}, its batch says {epoch}", batch.base));
        }
        if starts.last().is_none_or(|(last, _)| *last != epoch.0) {
            starts.push((epoch.0, batch.base));
        }
    }
    Ok(starts)
}
