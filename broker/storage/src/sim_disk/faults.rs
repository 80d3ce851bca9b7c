//! The faults that a test asked the simulated disk for, and how each kind of operation meets them.
//!
//! Counted ones hit the next operations of their kind, placed ones the operation with that number, a full disk
//! every one that needs room until somebody makes some. Everything follows from the operations' numbers, so the
//! same run meets the same faults.

use std::collections::BTreeMap;
use std::io;

use super::{Op, Rng};

#[derive(Debug, Default)]
pub(super) struct Faults {
    pub failing_syncs: u64,
    pub failing_writes: u64,
    pub failing_reads: u64,
    /// By the number of the operation.
    pub placed: BTreeMap<u64, io::ErrorKind>,
    pub free_bytes: Option<u64>,
    pub short_reads: Option<Rng>,
}

impl Faults {
    /// How many bytes of a write arrive, if not all, and the error.
    pub fn of_write(&mut self, number: u64, len: u64, growth: u64) -> Option<(u64, io::Error)> {
        let part = Rng::new(number).below(len + 1);
        if let Some(kind) = self.placed.remove(&number) {
            return Some((part, kind.into()));
        }
        if take(&mut self.failing_writes) {
            return Some((part, io::Error::other("simulated write error")));
        }
        let free = self.free_bytes.as_mut()?;
        if *free >= growth {
            *free -= growth;
            return None;
        }
        let fits = len - growth.min(len) + std::mem::take(free);
        Some((fits.min(len), io::ErrorKind::StorageFull.into()))
    }

    pub fn of_sync(&mut self, number: u64) -> Option<io::Error> {
        if let Some(kind) = self.placed.remove(&number) {
            return Some(kind.into());
        }
        take(&mut self.failing_syncs).then(|| io::Error::other("simulated sync error"))
    }

    /// New names need room; renames too, on many file systems.
    pub fn of_naming(&mut self, number: u64, op: &Op) -> Option<io::Error> {
        if let Some(kind) = self.placed.remove(&number) {
            return Some(kind.into());
        }
        let needs_room = matches!(op, Op::Create { .. } | Op::CreateDir { .. } | Op::Rename { .. });
        (needs_room && self.free_bytes == Some(0)).then(|| io::ErrorKind::StorageFull.into())
    }

    /// How many bytes a read is given.
    pub fn of_read(&mut self, wanted: usize) -> io::Result<usize> {
        if take(&mut self.failing_reads) {
            return Err(io::Error::other("simulated read error"));
        }
        match &mut self.short_reads {
            Some(rng) if wanted > 1 => {
                let short = rng.percent(20);
                Ok(if short { 1 + rng.below(wanted as u64 - 1) as usize } else { wanted })
            }
            _ => Ok(wanted),
        }
    }
}

fn take(count: &mut u64) -> bool {
    let left = *count > 0;
    *count -= u64::from(left);
    left
}
