//! Whether anything happened since housekeeping last wrote it down, so that an idle broker neither walks its partitions
//! nor writes.
//!
//! Set by the partitions' handles whenever a watermark moves, read and cleared by housekeeping. A flag that is set
//! stays unwritten: appends on many threads then only read it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shared by all partitions of a data directory.
#[derive(Debug, Default)]
pub struct Moved {
    watermark: AtomicBool,
    position: AtomicBool,
    bytes: AtomicU64,
}

impl Moved {
    /// Positions moved, by so many bytes of records.
    pub fn note(&self, bytes: u64) {
        for flag in [&self.watermark, &self.position] {
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

    /// Bytes appended since `take_position`: what a start after a crash would have to check.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}
