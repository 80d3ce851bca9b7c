//! The checker: recovers what a cut left and compares it with what was known.
//!
//! 1 what was acknowledged is there, byte for byte; 2 nothing is served that was never appended; 3 the log start is
//! between its checkpoint and its orders; 4 epochs, time and retries are answered as before; 5 a second recovery,
//! after another cut or not, changes nothing; 6 the next append takes the log end.

use std::path::Path;

use logspine_protocol::batch::{BatchView, iter_batches};
use logspine_protocol::types::{LeaderEpoch, Offset};
use logspine_storage::disk::Access;
use logspine_storage::planted::Planted;
use logspine_storage::sim_disk::{Op, Replay, SimDisk};
use logspine_storage::{Disk, Log, LogReader};

use crate::model::{Event, Model};
use crate::support::{self, NOW_MS};
use crate::workload::{self, History};

/// Cuts after each operation; returns the number of cuts.
pub fn every_cut(seed: u64, recording: &[Op], history: &History) -> Result<u64, String> {
    let mut replay = Replay::new();
    let mut model = Model::default();
    let mut events = history.iter().peekable();
    for (number, op) in recording.iter().enumerate() {
        let operations = number as u64 + 1;
        replay.apply(op);
        while let Some((_, event)) = events.next_if(|(known, _)| *known <= operations) {
            model.apply(event);
        }
        let disk = replay.power_cut(seed.wrapping_mul(0x1_0001).wrapping_add(operations));
        one_cut(&disk, &model, seed ^ operations).map_err(|error| {
            let around: Vec<_> = recording[number.saturating_sub(25)..=number].iter().map(name).collect();
            let known: Vec<_> = history.iter().filter(|(at, _)| *at <= operations).map(brief).collect();
            let known = &known[known.len().saturating_sub(12)..];
            format!("cut after operation {operations}: {error}\noperations {around:#?}\nknown {known:#?}")
        })?;
    }
    Ok(recording.len() as u64)
}

fn brief((at, event): &(u64, Event)) -> String {
    match event {
        Event::Attempted(batch) => format!("{at}: attempted {}..{}", batch.base, batch.next),
        event => format!("{at}: {event:?}"),
    }
}

fn name(op: &Op) -> String {
    let mut words = format!("{op:?}");
    words.truncate(90);
    words
}

fn one_cut(disk: &SimDisk, model: &Model, seed: u64) -> Result<(), String> {
    let config = workload::config(Planted::default());
    let marker = Path::new(support::DATA_DIR).join(".kafka_cleanshutdown");
    let was_clean = disk.open(&marker, Access::Read).is_ok();
    let (dir, log, recovered) = workload::start(disk, &config)?;
    if let Some(damage) = &recovered.damage {
        return Err(format!("called damaged: {damage}"));
    }
    let found = look(&log)?;
    let names: Vec<_> =
        disk.dump().iter().map(|(path, bytes)| format!("{} {}", path.display(), bytes.len())).collect();
    against_the_model(&log, &found, model)
        .map_err(|error| format!("{error}\nrecovered {recovered:?} {names:#?}"))?;
    drop((dir, log));
    if was_clean {
        // A clean start believes what an unclean one rebuilds: compare unclean with unclean.
        let (_, log, _) = workload::start(disk, &config)?;
        if look(&log)? != found {
            return Err("an unclean start finds something else than a clean one".to_owned());
        }
    }

    // Again: as a restart of the process, or after one more cut.
    let cut_again = seed.is_multiple_of(2);
    let before = if cut_again { Vec::new() } else { disk.dump() };
    if cut_again {
        disk.power_cut(seed);
    }
    let (dir, mut log, recovered) = workload::start(disk, &config)?;
    if recovered.truncated_bytes != 0 || look(&log)? != found {
        return Err(format!("a second recovery found something else: {recovered:?}"));
    }
    let after = if cut_again { Vec::new() } else { disk.dump() };
    if before != after {
        let names = |files: &[(std::path::PathBuf, Vec<u8>)]| -> Vec<String> {
            files.iter().map(|(path, bytes)| format!("{} {}", path.display(), bytes.len())).collect()
        };
        return Err(format!(
            "a second recovery changed files: {:#?} to {:#?}",
            names(&before),
            names(&after)
        ));
    }
    goes_on(&mut log, &found, model)?;
    drop(dir);
    Ok(())
}

/// Everything that a reader can see.
#[derive(PartialEq, Eq)]
struct Found {
    log_start: i64,
    log_end: i64,
    bytes: Vec<u8>,
    epoch_starts: Vec<(i32, i64)>,
}

fn look(log: &Log) -> Result<Found, String> {
    let reader = log.reader();
    let (log_start, log_end) = (reader.log_start(), reader.log_end());
    if log.durable_end() != log_end {
        return Err(format!("recovered to {log_end}, durable only to {}", log.durable_end()));
    }
    let bytes = read_from(&reader, log_start, log_end)?;
    let mut epoch_starts: Vec<(i32, i64)> = Vec::new();
    for batch in iter_batches(&bytes) {
        let batch = batch.map_err(|error| error.to_string())?;
        let epoch = batch.partition_leader_epoch();
        if reader.epoch_of(batch.last_offset()) != Some(epoch) {
            return Err(format!(
                "epoch of {} is {:?}, its batch says {epoch}",
                batch.base_offset(),
                reader.epoch_of(batch.last_offset())
            ));
        }
        if epoch_starts.last().is_none_or(|(last, _)| *last != epoch.0) {
            epoch_starts.push((epoch.0, batch.base_offset().0));
        }
    }
    Ok(Found { log_start: log_start.0, log_end: log_end.0, bytes, epoch_starts })
}

/// Small reads, so that every way to find a batch is used.
fn read_from(reader: &LogReader, mut next: Offset, end: Offset) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while next < end {
        let slice = reader.read(next, end, 150, true).map_err(|error| error.to_string())?;
        let content = slice.to_vec().map_err(|error| error.to_string())?;
        let last = iter_batches(&content).last().ok_or(format!("nothing at {next} below {end}"))?;
        next = last.map_err(|error| error.to_string())?.next_offset();
        bytes.extend(content);
    }
    Ok(bytes)
}

fn against_the_model(log: &Log, found: &Found, model: &Model) -> Result<(), String> {
    if found.log_end < model.acknowledged {
        return Err(format!("the log ends at {}, {} was acknowledged", found.log_end, model.acknowledged));
    }
    if found.log_start < model.log_start_min || found.log_start > model.log_start_max.max(model.log_start_min)
    {
        return Err(format!(
            "the log starts at {}, expected {}..={}",
            found.log_start, model.log_start_min, model.log_start_max
        ));
    }
    let mut there = Vec::new();
    for batch in iter_batches(&found.bytes) {
        let batch = batch.map_err(|error| error.to_string())?;
        batch.verify_crc().map_err(|error| error.to_string())?;
        if !model.allows(batch.base_offset().0, batch.bytes()) {
            return Err(format!("a batch at {} that was never appended there", batch.base_offset()));
        }
        there.push(batch.base_offset().0);
    }
    for batch in
        model.branch.values().filter(|batch| batch.next <= model.acknowledged && batch.next > found.log_start)
    {
        let here =
            there.binary_search(&batch.base).is_ok() && bytes_at(found, batch.base) == Some(&batch.bytes);
        if !here {
            return Err(format!("the acknowledged batch at {} is not there", batch.base));
        }
    }
    let youngest = log.reader().max_timestamp().map_err(|error| error.to_string())?;
    if youngest.is_some() == there.is_empty() {
        return Err(format!("the youngest record is {youngest:?} among {} batches", there.len()));
    }
    Ok(())
}

fn bytes_at(found: &Found, base: i64) -> Option<&[u8]> {
    iter_batches(&found.bytes)
        .filter_map(Result::ok)
        .find(|batch| batch.base_offset().0 == base)
        .map(|batch| batch.bytes())
}

/// A retry of the producer's last acknowledged batch is known, and new data takes the log end.
fn goes_on(log: &mut Log, found: &Found, model: &Model) -> Result<(), String> {
    let epoch = LeaderEpoch(1_000);
    // Batches of the same producer that survived behind it, unacknowledged, would make the retry an old one.
    let newest =
        iter_batches(&found.bytes).filter_map(Result::ok).filter(|batch| batch.has_producer_id()).last();
    let last = newest.and_then(|newest| model.branch.get(&newest.base_offset().0));
    if let Some(batch) = last.filter(|batch| batch.produced.is_some() && batch.next <= model.acknowledged) {
        let records = BatchView::parse(&batch.bytes).map_err(|error| error.to_string())?.0.record_count();
        let (producer, producer_epoch, sequence) = batch.produced.unwrap_or_default();
        let retry = support::produced(producer, producer_epoch, sequence, records as usize);
        let info =
            log.append_as_leader(&retry, epoch, NOW_MS).map_err(|error| format!("a retry: {error}"))?;
        if !info.duplicate || info.first_offset.0 != batch.base {
            return Err(format!("a retry of the batch at {} was taken as new: {info:?}", batch.base));
        }
    }
    let end = log.log_end();
    let info =
        log.append_as_leader(&support::batch(1, 1, 10), epoch, NOW_MS).map_err(|error| error.to_string())?;
    if info.first_offset != end || !support::flush(log) || log.durable_end() != end + 1 {
        return Err(format!("the next append landed at {} instead of {end}", info.first_offset));
    }
    read_from(&log.reader(), log.log_start(), log.log_end()).map(|_| ())
}
