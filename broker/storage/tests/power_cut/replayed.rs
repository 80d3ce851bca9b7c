//! What a log's files beside the batches say, compared with what the batches alone say: producers, transactions, times,
//! and of each key the last value.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use logspine_protocol::batch::{BatchView, ControlRecord, ControlRecordType, iter_batches};
use logspine_protocol::types::Offset;
use logspine_storage::planted::Planted;
use logspine_storage::producers::ProducerState;
use logspine_storage::sim_disk::SimDisk;
use logspine_storage::{AbortedTxn, Disk, Log, LogReader, OpenLog};

use crate::model::{Batch, Model};
use crate::reads::{self, Found};
use crate::support::{self, NOW_MS};
use crate::workload;

/// What the same log says when every file but the batches is gone.
pub fn from_scratch(
    disk: &SimDisk,
    log: &Log,
    found: &Found,
    model: &Model,
    seed: u64,
) -> Result<(), String> {
    let words = |error: std::io::Error| error.to_string();
    let bare = disk.copy();
    let dir = Path::new(support::DATA_DIR).join("topic-0");
    let is_derived = |name: &str| {
        [".index", ".timeindex", ".txnindex", ".snapshot", "checkpoint"].iter().any(|end| name.ends_with(end))
    };
    for entry in bare.list(&dir).map_err(words)? {
        if is_derived(&entry.name) {
            bare.remove_file(&dir.join(&entry.name)).map_err(words)?;
        }
    }
    let shared: Arc<dyn Disk> = Arc::new(bare.clone());
    let args = OpenLog {
        topic_id: workload::topic_id(model.incarnation),
        log_start: Offset(found.log_start),
        ..support::args(&shared, &workload::config(seed, Planted::default()))
    };
    let (mut fresh, _) = Log::open(args).map_err(|error| format!("from scratch: {error}"))?;
    support::flush(&mut fresh);
    if reads::look(&bare, &fresh, seed)? != *found {
        return Err("from scratch: the log is another one".to_owned());
    }
    // What lies in segments that are gone only a snapshot knows.
    let first = found.batches.first().map_or(found.log_end, |batch| batch.base);
    if !model.has_swapped {
        same_producers(log, &fresh, first)?;
    }
    let [here, there] = [log, &fresh].map(Log::first_unstable_offset);
    let begins_in_sight = here.is_none_or(|offset| offset.0 > first);
    // A truncation may take the marker back of what compaction dropped: where that began only a snapshot knows.
    let began_earlier = model.has_swapped && here.is_some_and(|here| there.is_none_or(|there| here < there));
    if here != there && begins_in_sight && !began_earlier {
        return Err(format!("transactions: the first open one is {here:?}, from scratch {there:?}"));
    }
    let records = records(&found.batches, found.log_start)?;
    committed(&log.reader(), &records)?;
    times(&log.reader(), &records)
}

/// Producers of batches that are there.
fn same_producers(log: &Log, fresh: &Log, first: i64) -> Result<(), String> {
    // Not its time: a snapshot has only that of the producer's last marker.
    let last = |state: &ProducerState| {
        let batch = state.batches().last().filter(|batch| batch.last_offset.0 >= first);
        let batch = batch.map(|batch| (batch.first_sequence, batch.last_sequence, batch.last_offset));
        (state.epoch, batch)
    };
    let known: BTreeMap<_, _> = log.producers().iter().collect();
    for (id, there) in fresh.producers().iter() {
        let here = known.get(&id).ok_or(format!("producers: {id:?} is known from scratch alone"))?;
        let opened = here.current_txn_first_offset;
        let is_same_txn =
            opened == there.current_txn_first_offset || opened.is_some_and(|offset| offset.0 < first);
        if last(here) != last(there) || !is_same_txn {
            return Err(format!("producers: {id:?} is {here:?}, from scratch {there:?}"));
        }
    }
    let mut batches = known.values().flat_map(|state| state.batches());
    match batches.find(|batch| batch.last_offset >= log.log_end()) {
        Some(batch) => Err(format!("producers: a batch behind the log's end is known: {batch:?}")),
        None => Ok(()),
    }
}

/// A record that producers wrote, and whether its transaction was aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    offset: i64,
    timestamp: i64,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    /// A marker: time leads to it, consumers do not see it.
    is_control: bool,
    is_aborted: bool,
}

/// Every record from the log start on, and what the markers among them decide.
fn records(batches: &[Batch], log_start: i64) -> Result<Vec<Record>, String> {
    let (mut records, mut open): (Vec<Record>, BTreeMap<i64, Vec<usize>>) = (Vec::new(), BTreeMap::new());
    for batch in batches {
        let view = BatchView::parse(&batch.bytes).map_err(|error| error.to_string())?.0;
        if is_abort(&view) {
            open.remove(&view.producer_id().0)
                .unwrap_or_default()
                .iter()
                .for_each(|at| records[*at].is_aborted = true);
        } else if view.is_control() {
            open.remove(&view.producer_id().0);
        }
        for record in view.records().map_err(|error| error.to_string())?.iter() {
            let record = record.map_err(|error| error.to_string())?;
            if record.offset.0 < log_start {
                continue;
            }
            if view.is_transactional() && !view.is_control() {
                open.entry(view.producer_id().0).or_default().push(records.len());
            }
            records.push(Record {
                offset: record.offset.0,
                timestamp: record.timestamp,
                key: record.key.unwrap_or_default().to_vec(),
                value: record.value.map(<[u8]>::to_vec),
                is_control: view.is_control(),
                is_aborted: false,
            });
        }
    }
    Ok(records)
}

fn is_abort(batch: &BatchView<'_>) -> bool {
    let first = || batch.records().ok()?.iter().next()?.ok().and_then(|record| ControlRecord::parse(&record));
    batch.is_control() && first().is_some_and(|control| control.kind == ControlRecordType::Abort)
}

/// Whether anything is left to lead a time to.
pub fn has_records(found: &Found) -> Result<bool, String> {
    Ok(!records(&found.batches, found.log_start)?.is_empty())
}

/// What a consumer sees that leaves out what it is told to, as Kafka's does.
fn committed(reader: &LogReader, records: &[Record]) -> Result<(), String> {
    let words = |error: &dyn std::fmt::Display| format!("transactions: {error}");
    let (start, end) = (reader.log_start(), reader.log_end());
    let (mut seen, mut next) = (Vec::new(), start);
    while next < end {
        let slice = reader.read(next, end, 300, true).map_err(|error| words(&error))?;
        let told = reader.aborted_transactions(&slice, end).map_err(|error| words(&error))?;
        let bytes = slice.to_vec().map_err(|error| words(&error))?;
        next = consume(&bytes, start, told, &mut seen).map_err(|error| words(&error))?;
    }
    let expected = records.iter().filter(|record| !record.is_aborted && !record.is_control);
    let expected: Vec<i64> = expected.map(|record| record.offset).collect();
    if seen != expected {
        return Err(format!("transactions: a consumer sees {seen:?}, committed are {expected:?}"));
    }
    Ok(())
}

/// Adds the offsets of one slice's records that are not in a transaction that was aborted.
fn consume(
    bytes: &[u8],
    start: Offset,
    mut told: Vec<AbortedTxn>,
    seen: &mut Vec<i64>,
) -> Result<Offset, logspine_protocol::batch::BatchError> {
    told.sort_by_key(|txn| std::cmp::Reverse(txn.first_offset));
    let (mut aborted, mut next) = (std::collections::BTreeSet::new(), start);
    for batch in iter_batches(bytes) {
        let batch = batch?;
        next = batch.next_offset();
        while told.last().is_some_and(|txn| txn.first_offset <= batch.last_offset()) {
            aborted.extend(told.pop().map(|txn| txn.producer_id));
        }
        if is_abort(&batch) {
            aborted.remove(&batch.producer_id());
        }
        if batch.is_control() || (batch.is_transactional() && aborted.contains(&batch.producer_id())) {
            continue;
        }
        for record in batch.records()?.iter() {
            seen.extend(Some(record?.offset).filter(|offset| *offset >= start).map(|offset| offset.0));
        }
    }
    Ok(next)
}

/// Offsets by time, compared with a walk over all records.
fn times(reader: &LogReader, records: &[Record]) -> Result<(), String> {
    for wanted in [0, 1, 250, 500, 750, 998].map(|after_ms| NOW_MS + after_ms) {
        let expected = records.iter().find(|record| record.timestamp >= wanted).map(|record| record.offset);
        let answer = reader.offset_for_timestamp(wanted).map_err(|error| format!("time: {error}"))?;
        if answer.map(|answer| answer.offset.0) != expected {
            return Err(format!("time: {wanted} leads to {answer:?}, a walk to {expected:?}"));
        }
    }
    Ok(())
}

/// Of each key the last value, from what is there and from all that was ever appended: a compaction does not show.
pub fn same_values(found: &Found, model: &Model) -> Result<(), String> {
    let is_sure = |batch: &&Batch| batch.next <= model.acknowledged && batch.next > found.log_start;
    let here: Vec<Batch> = found.batches.iter().filter(is_sure).cloned().collect();
    let there: Vec<Batch> = model.appended.values().filter(is_sure).cloned().collect();
    let (here, there) = (last_records(&here, found.log_start)?, last_records(&there, found.log_start)?);
    if here != there {
        let offsets = |last: &BTreeMap<Vec<u8>, Record>| -> Vec<i64> {
            last.values().map(|record| record.offset).collect()
        };
        let (here, there) = (offsets(&here), offsets(&there));
        return Err(format!("keys: their last records are {here:?}, appended {there:?}"));
    }
    Ok(())
}

/// The newest record of each key, unless that is a tombstone.
fn last_records(batches: &[Batch], log_start: i64) -> Result<BTreeMap<Vec<u8>, Record>, String> {
    let mut last = BTreeMap::new();
    for record in records(batches, log_start)? {
        if !record.is_aborted && !record.is_control {
            last.insert(record.key.clone(), record);
        }
    }
    last.retain(|_, record| record.value.is_some());
    Ok(last)
}
