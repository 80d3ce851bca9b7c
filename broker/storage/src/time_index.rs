//! The time index of one segment: from timestamps to offsets, sparse and rising.
//!
//! File: 12-byte entries, timestamp i64 and relative offset i32; an entry says that everything up to that offset
//! is no younger than the timestamp. Written by append; the last entry, made when the segment is sealed, is the
//! segment's largest timestamp. An entry of the file is a hint: it is compared with the batch that it names before
//! anything follows from it (`segment/age.rs`, `lookup.rs`). Kafka: `TimeIndex`.

use std::io::{self, IoSlice};

use logspine_protocol::types::Offset;

use crate::disk::{DiskFile, read_exact_at};

/// Bytes of an entry in the file.
pub(crate) const ENTRY_LEN: u64 = 12;

/// A timestamp and the last offset of the batch that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub timestamp: i64,
    pub offset: Offset,
}

/// The time index of one segment.
#[derive(Debug)]
pub(crate) struct TimeIndex {
    base_offset: Offset,
    older: u32,
    memory: Vec<TimeEntry>,
    written: usize,
    last: Option<TimeEntry>,
}

impl TimeIndex {
    /// The index of a segment whose file holds `older` entries, the last of which is `last`.
    pub fn new(base_offset: Offset, older: u32, last: Option<TimeEntry>) -> TimeIndex {
        TimeIndex { base_offset, older, memory: Vec::new(), written: 0, last }
    }

    /// Entries in all.
    pub fn entries(&self) -> u64 {
        u64::from(self.older) + self.memory.len() as u64
    }

    /// Adds an entry unless time has not advanced.
    pub fn maybe_append(&mut self, entry: TimeEntry) {
        if entry.timestamp >= 0 && self.last.is_none_or(|last| entry.timestamp > last.timestamp) {
            self.memory.push(entry);
            self.last = Some(entry);
        }
    }

    /// The last entry with a timestamp below `timestamp`: records at or after it are to be walked from there.
    pub fn floor(
        &self,
        file: impl FnOnce() -> io::Result<std::sync::Arc<dyn DiskFile>>,
        timestamp: i64,
    ) -> io::Result<Option<TimeEntry>> {
        let after = self.memory.partition_point(|entry| entry.timestamp < timestamp);
        if let Some(entry) = self.memory[..after].last() {
            return Ok(Some(*entry));
        }
        if self.older == 0 {
            return Ok(None);
        }
        let file = file()?;
        let (mut low, mut high, mut found) = (0_u64, u64::from(self.older), None);
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = read_entry(&*file, middle, self.base_offset)?;
            if entry.timestamp < timestamp {
                found = Some(entry);
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(found)
    }

    /// Writes what the file is missing.
    pub fn write_to(&mut self, file: &dyn DiskFile) -> io::Result<()> {
        let position = (u64::from(self.older) + self.written as u64) * ENTRY_LEN;
        let bytes = self.encode(&self.memory[self.written..]);
        if !bytes.is_empty() {
            file.write_at(&[IoSlice::new(&bytes)], position)?;
        }
        self.written = self.memory.len();
        Ok(())
    }

    /// Moves everything to the file's side, once it is written.
    pub fn forget_memory(&mut self) {
        if self.written == self.memory.len() {
            self.older += self.memory.len() as u32;
            self.memory = Vec::new();
            self.written = 0;
        }
    }

    fn encode(&self, entries: &[TimeEntry]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(entries.len() * ENTRY_LEN as usize);
        for entry in entries {
            bytes.extend_from_slice(&entry.timestamp.to_be_bytes());
            bytes.extend_from_slice(&((entry.offset - self.base_offset) as u32).to_be_bytes());
        }
        bytes
    }
}

/// The n-th entry of a file.
pub(crate) fn read_entry(file: &dyn DiskFile, number: u64, base_offset: Offset) -> io::Result<TimeEntry> {
    let mut timestamp = [0; 8];
    let mut relative = [0; 4];
    read_exact_at(file, &mut timestamp, number * ENTRY_LEN)?;
    read_exact_at(file, &mut relative, number * ENTRY_LEN + 8)?;
    Ok(TimeEntry {
        timestamp: i64::from_be_bytes(timestamp),
        offset: base_offset + i64::from(u32::from_be_bytes(relative)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RealDisk;
    use crate::disk::{Access, Disk};

    #[test]
    fn entries_rise_and_the_file_is_kafkas() {
        let dir = tempfile::tempdir().unwrap();
        let file = RealDisk.open(&dir.path().join("t"), Access::Write).unwrap();
        let mut index = TimeIndex::new(Offset(10), 0, None);
        for (timestamp, offset) in [(-1, 11), (500, 12), (500, 13), (499, 14), (700, 15)] {
            index.maybe_append(TimeEntry { timestamp, offset: Offset(offset) });
        }
        assert_eq!(index.entries(), 2);
        index.write_to(&*file).unwrap();
        let mut bytes = [0; 24];
        read_exact_at(&*file, &mut bytes, 0).unwrap();
        assert_eq!(bytes[..12], [0, 0, 0, 0, 0, 0, 1, 0xf4, 0, 0, 0, 2]);
        assert_eq!(
            read_entry(&*file, 1, Offset(10)).unwrap(),
            TimeEntry { timestamp: 700, offset: Offset(15) }
        );

        let no_file = || -> io::Result<std::sync::Arc<dyn DiskFile>> { unreachable!("all is in memory") };
        let at = |entry: Option<TimeEntry>| entry.map(|entry| (entry.timestamp, entry.offset.0));
        assert_eq!(at(index.floor(no_file, 700).unwrap()), Some((500, 12)));
        assert_eq!(at(index.floor(no_file, 500).unwrap()), None);
        index.forget_memory();
        assert_eq!(at(index.floor(|| Ok(file.clone()), 701).unwrap()), Some((700, 15)));
        assert_eq!(at(index.floor(|| Ok(file.clone()), 500).unwrap()), None);
    }
}
