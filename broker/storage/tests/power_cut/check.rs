//! The checker: recovers what a cut left and compares it with what was known.
//!
//! Each broken promise begins with its name. `acknowledged`: what was acknowledged is there, byte for byte, compacted
//! ranges as before or as after. `reused`: no offset is given away twice. `invented`: nothing is served that was never
//! appended there. `contiguous`: reads of any budget leave nothing out. `keys`: each has its last value. `log start`:
//! between its checkpoint and its orders. `epochs`, `time`, `producers`, `transactions`, `from scratch`: as the batches
//! alone say. `twice`: a second recovery, after another cut or not, changes nothing. `goes on`: a retry is known, new
//! data takes the log end. `damage`: a cut is never called one. `rot`: see there.

use std::path::Path;

use logspine_protocol::batch::BatchView;
use logspine_protocol::types::LeaderEpoch;
use logspine_storage::disk::Access;
use logspine_storage::planted::Planted;
use logspine_storage::sim_disk::{FaultCounts, Op, Replay, Rng, SimDisk};
use logspine_storage::{Disk, Log, LogConfig};

use crate::model::{Event, Model};
use crate::reads::{self, Found, look};
use crate::replayed;
use crate::rot;
use crate::support::{self, NOW_MS};
use crate::workload::{self, History};

/// Cuts after each operation; returns what the disks dealt out.
pub fn every_cut(
    seed: u64,
    recording: &[Op],
    history: &History,
    planted: Planted,
) -> Result<FaultCounts, String> {
    let mut replay = Replay::new();
    let mut model = Model::default();
    let mut events = history.iter().peekable();
    let mut faults = FaultCounts::default();
    for (number, op) in recording.iter().enumerate() {
        let operations = number as u64 + 1;
        let around = |error: String| {
            let around: Vec<_> = recording[number.saturating_sub(25)..=number].iter().map(name).collect();
            let known: Vec<_> = history.iter().filter(|(at, _)| *at <= operations).map(brief).collect();
            let known = &known[known.len().saturating_sub(12)..];
            format!("{error}\ncut after operation {operations}\noperations {around:#?}\nknown {known:#?}")
        };
        replay.apply(op);
        while let Some((_, event)) = events.next_if(|(known, _)| *known <= operations) {
            model.apply(event).map_err(around)?;
        }
        let disk = replay.power_cut(seed.wrapping_mul(0x1_0001).wrapping_add(operations));
        let cut =
            Cut { disk: &disk, model: &model, config: workload::config(seed, planted), seed, operations };
        faults.add(cut.check().map_err(around)?);
        faults.add(disk.fault_counts());
    }
    Ok(faults)
}

fn brief((at, event): &(u64, Event)) -> String {
    match event {
        Event::Attempted(batch) => format!("{at}: attempted {}..{}", batch.base, batch.next),
        Event::SwapBegan { from, end, after } => {
            let after: Vec<_> = after.iter().map(|batch| (batch.base, batch.next)).collect();
            format!("{at}: replaces {from}..{end} by {after:?}")
        }
        Event::Recovered { start, end, batches } => {
            format!("{at}: recovered {start} to {end}, {} batches", batches.len())
        }
        event => format!("{at}: {event:?}"),
    }
}

fn name(op: &Op) -> String {
    let mut words = format!("{op:?}");
    words.truncate(90);
    words
}

/// One cut.
struct Cut<'c> {
    disk: &'c SimDisk,
    model: &'c Model,
    config: LogConfig,
    seed: u64,
    operations: u64,
}

impl Cut<'_> {
    /// Returns what other disks than this one dealt out.
    fn check(&self) -> Result<FaultCounts, String> {
        let Cut { disk, model, config, seed, operations } = self;
        let random = seed ^ operations;
        let marker = Path::new(support::DATA_DIR).join(".kafka_cleanshutdown");
        let was_clean = disk.open(&marker, Access::Read).is_ok();
        let start = || workload::start_and_flush(disk, config, model.incarnation);
        let (dir, log, recovered) = start().map_err(|error| format!("opens: {error}"))?;
        if let Some(damage) = &recovered.damage {
            return Err(format!("damage: a cut is called damage: {damage}"));
        }
        let found = look(disk, &log, random)?;
        against_the_model(&log, &found, model)
            .map_err(|error| format!("{error}\nrecovered {recovered:?} {:#?}", names(&disk.dump())))?;
        replayed::from_scratch(disk, &log, &found, model, *seed)?;
        drop((dir, log));
        if was_clean {
            // A clean start believes what an unclean one rebuilds: compare unclean with unclean.
            let (_, log, _) = start()?;
            if look(disk, &log, random)? != found {
                return Err("twice: an unclean start finds something else than a clean one".to_owned());
            }
        }
        let rotten = match random % 4 {
            0 => rot::one_bit(disk, config, model.incarnation, &found, random)?,
            _ => FaultCounts::default(),
        };
        self.again(&found, random)?;
        Ok(rotten)
    }

    /// Once more: as a restart of the process, or after one more cut.
    fn again(&self, found: &Found, random: u64) -> Result<(), String> {
        let Cut { disk, model, config, .. } = self;
        let cut_again = random.is_multiple_of(2);
        let before = disk.dump();
        if cut_again {
            disk.power_cut(random);
        }
        let (dir, mut log, recovered) = workload::start_and_flush(disk, config, model.incarnation)?;
        if recovered.truncated_bytes != 0 || look(disk, &log, random)? != *found {
            return Err(format!("twice: a second recovery found something else: {recovered:?}"));
        }
        let after = disk.dump();
        if !cut_again && before != after {
            let (before, after) = (names(&before), names(&after));
            return Err(format!("twice: a second recovery changed files: {before:#?} to {after:#?}"));
        }
        goes_on(&mut log, found, model)?;
        drop(dir);
        Ok(())
    }
}

fn names(files: &[(std::path::PathBuf, Vec<u8>)]) -> Vec<String> {
    files.iter().map(|(path, bytes)| format!("{} {}", path.display(), bytes.len())).collect()
}

fn against_the_model(log: &Log, found: &Found, model: &Model) -> Result<(), String> {
    let (log_start, log_end) = (found.log_start, found.log_end);
    if log_start < model.log_start_min || log_start > model.log_start_max.max(model.log_start_min) {
        let (min, max) = (model.log_start_min, model.log_start_max);
        return Err(format!("log start: it is {log_start}, expected {min}..={max}"));
    }
    for batch in &found.batches {
        let view = BatchView::parse(&batch.bytes).map_err(|error| error.to_string())?.0;
        view.verify_crc().map_err(|error| format!("invented: {error}"))?;
        if !model.allows(batch.base, &batch.bytes) {
            return Err(format!("invented: a batch at {} that was never appended there", batch.base));
        }
    }
    for batch in model.must_be_there(log_start) {
        let here = found.batches.binary_search_by_key(&batch.base, |found| found.base);
        if here.is_err() || here.is_ok_and(|here| found.batches[here].bytes != batch.bytes) {
            return Err(format!("acknowledged: the batch at {} is not there", batch.base));
        }
    }
    if !model.is_before_or_after(&found.batches, log_start, log_end) {
        return Err("acknowledged: a compaction is neither as before nor as after".to_owned());
    }
    if log_end < model.acknowledged {
        let acknowledged = model.acknowledged;
        return Err(format!("reused: the log ends at {log_end}, up to {acknowledged} it was acknowledged"));
    }
    if !model.keys_unknown {
        replayed::same_values(found, model)?;
    }
    let youngest = log.reader().max_timestamp().map_err(|error| error.to_string())?;
    let has_records = replayed::has_records(found)?;
    if youngest.is_some() != has_records {
        return Err(format!("time: the youngest record is {youngest:?}, there are some: {has_records}"));
    }
    Ok(())
}

/// A retry of the producer's last acknowledged batch is known, and new data takes the log end.
fn goes_on(log: &mut Log, found: &Found, model: &Model) -> Result<(), String> {
    let epoch = LeaderEpoch(1_000);
    // Batches of the same producer that survived behind it, unacknowledged, would make the retry an old one.
    let has_producer = |bytes: &[u8]| BatchView::parse(bytes).is_ok_and(|(view, _)| view.has_producer_id());
    let newest = found.batches.iter().rfind(|batch| has_producer(&batch.bytes));
    let last = newest.and_then(|newest| model.branch.get(&newest.base));
    if let Some(batch) = last.filter(|batch| batch.next <= model.acknowledged)
        && let Some((producer, producer_epoch, sequence)) = batch.produced
    {
        let retry = support::produced(producer, producer_epoch, sequence, (batch.next - batch.base) as usize);
        let info = log
            .append_as_leader(&retry, epoch, NOW_MS)
            .map_err(|error| format!("goes on: a retry: {error}"))?;
        if !info.duplicate || info.first_offset.0 != batch.base {
            return Err(format!("goes on: a retry of the batch at {} is taken as new: {info:?}", batch.base));
        }
    }
    let end = log.log_end();
    let info =
        log.append_as_leader(&support::batch(1, 1, 10), epoch, NOW_MS).map_err(|error| error.to_string())?;
    if info.first_offset != end || !support::flush(log) || log.durable_end() != end + 1 {
        return Err(format!("reused: the next append landed at {} instead of {end}", info.first_offset));
    }
    let mut rng = Rng::new(end.0 as u64);
    reads::read_from(&log.reader(), log.log_start(), log.log_end(), || 1 + rng.below(900) as u32).map(drop)
}
