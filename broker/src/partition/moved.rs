//! Whether anything happened since housekeeping or the cleaner last looked, so that an idle broker neither walks its
//! partitions nor writes.
//!
//! Set by the partitions' handles whenever a position moves or a file is deleted, read and cleared by those who look.
//! A flag that is set stays unwritten: appends on many threads then only read it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shared by all partitions of a data directory.
#[derive(Debug, Default)]
pub struct Moved {
    watermark: AtomicBool,
    position: AtomicBool,
    dirt: AtomicBool,
    deleted: AtomicBool,
    bytes: AtomicU64,
}

impl Moved {
    /// Positions moved, by so many bytes of records.
    pub fn note(&self, bytes: u64) {
        for flag in [&self.watermark, &self.position, &self.dirt] {
            if !flag.load(Ordering::Relaxed) {
                flag.store(true, Ordering::Release);
            }
        }
        if bytes > 0 {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Whether a watermark may have moved since this was asked last.
    pub fn take_watermark(&self) -> bool {
        self.watermark.swap(false, Ordering::AcqRel)
    }

    /// The same for any position. The bytes count from here anew.
    pub fn take_position(&self) -> bool {
        self.bytes.store(0, Ordering::Relaxed);
        self.position.swap(false, Ordering::AcqRel)
    }

    /// There may be something to compact.
    pub fn note_dirt(&self) {
        self.dirt.store(true, Ordering::Release);
    }

    /// Whether anything moved, and so may be worth compacting, since this was asked last.
    pub fn take_dirt(&self) -> bool {
        self.dirt.swap(false, Ordering::AcqRel)
    }

    /// Some partition has files that are to be freed, now or later.
    pub fn note_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
    }

    /// Whether there may be such a partition.
    pub fn take_deleted(&self) -> bool {
        self.deleted.swap(false, Ordering::AcqRel)
    }

    /// Bytes appended since `take_position`: what a start after a crash would have to check.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}
