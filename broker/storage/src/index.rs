//! The offset index of one segment: from offsets to positions of batch starts, sparse.
//!
//! File: 8-byte entries, relative last offset of a batch i32 and position of its start i32, as Kafka's
//! `OffsetIndex`, written by append, no mmap and no preallocation. Entries made in this process stay in memory
//! with the batch's base offset too, so that the start of a slice is found without reading the `.log`; entries
//! of an earlier process are searched in the file. A file entry is a hint: whoever follows one compares the batch that
//! it leads to, and a wrong one costs a longer walk.

use std::io::{self, IoSlice};

use logspine_protocol::types::Offset;

use crate::disk::{DiskFile, read_exact_at};

/// Bytes of an entry in the file.
pub(crate) const ENTRY_LEN: u64 = 8;

/// A batch that is indexed: `base..=last` starts at `position`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    pub base: Offset,
    pub last: Offset,
    pub position: u32,
}

/// Entry in memory: relative offsets.
#[derive(Debug, Clone, Copy)]
struct Compact {
    base: u32,
    last: u32,
    position: u32,
}

/// The index of one segment.
#[derive(Debug)]
pub(crate) struct OffsetIndex {
    base_offset: Offset,
    /// Entries in the file that are not in memory: those of earlier processes.
    older: u32,
    memory: Vec<Compact>,
    /// How many of `memory` the file has as well.
    written: usize,
}

impl OffsetIndex {
    /// The index of a segment whose file holds `older` entries.
    pub fn new(base_offset: Offset, older: u32) -> OffsetIndex {
        OffsetIndex { base_offset, older, memory: Vec::new(), written: 0 }
    }

    /// What its offsets are relative to.
    pub fn base_offset(&self) -> Offset {
        self.base_offset
    }

    /// Entries in all.
    pub fn entries(&self) -> u64 {
        u64::from(self.older) + self.memory.len() as u64
    }

    /// Entries in memory, by which its memory is bounded.
    pub fn entries_in_memory(&self) -> usize {
        self.memory.len()
    }

    /// Adds the newest batch.
    pub fn append(&mut self, spot: Spot) {
        let relative = |offset: Offset| (offset - self.base_offset) as u32;
        self.memory.push(Compact {
            base: relative(spot.base),
            last: relative(spot.last),
            position: spot.position,
        });
    }

    fn spot(&self, entry: &Compact) -> Spot {
        let absolute = |relative: u32| self.base_offset + i64::from(relative);
        Spot { base: absolute(entry.base), last: absolute(entry.last), position: entry.position }
    }

    /// The last batch in memory that starts at or before `offset`.
    pub fn floor(&self, offset: Offset) -> Option<Spot> {
        let relative = offset - self.base_offset;
        let after = self.memory.partition_point(|entry| i64::from(entry.base) <= relative);
        self.memory[..after].last().map(|entry| self.spot(entry))
    }

    /// The last batch start in memory at or below `position` whose predecessors all lie below `limit`.
    pub fn boundary(&self, position: u64, limit: Offset) -> Option<Spot> {
        let relative = limit - self.base_offset;
        let after = self.memory.partition_point(|entry| {
            u64::from(entry.position) <= position && i64::from(entry.base) <= relative
        });
        self.memory[..after].last().map(|entry| self.spot(entry))
    }

    /// Whether the file has entries that memory has not.
    pub fn has_older(&self) -> bool {
        self.older > 0
    }

    /// In the file: the last indexed batch that ends below `offset`, its last offset and its position. Every batch before
    /// that position ends below `offset` as well. `None` if no such batch is indexed.
    pub fn floor_entry_in_file(
        &self,
        file: &dyn DiskFile,
        offset: Offset,
    ) -> io::Result<Option<(Offset, u32)>> {
        let relative = offset - self.base_offset;
        let found = self.search(file, |last, _| i64::from(last) < relative)?;
        Ok(found.map(|(last, position)| (self.base_offset + i64::from(last), position)))
    }

    /// In the file: its last entry.
    pub fn last_entry_in_file(&self, file: &dyn DiskFile) -> io::Result<Option<(Offset, u32)>> {
        let Some(number) = self.older.checked_sub(1) else { return Ok(None) };
        let mut entry = [0; ENTRY_LEN as usize];
        read_exact_at(file, &mut entry, u64::from(number) * ENTRY_LEN)?;
        let (last, position) = decode(entry);
        Ok(Some((self.base_offset + i64::from(last), position)))
    }

    /// In the file: the last batch start at or below `position` that belongs to a batch which ends below `limit`.
    pub fn boundary_in_file(
        &self,
        file: &dyn DiskFile,
        position: u64,
        limit: Offset,
    ) -> io::Result<Option<(Offset, u32)>> {
        let relative = limit - self.base_offset;
        let found =
            self.search(file, |last, start| u64::from(start) <= position && i64::from(last) < relative)?;
        Ok(found.map(|(last, position)| (self.base_offset + i64::from(last), position)))
    }

    /// The last entry of the file for which `keep` holds, given that it holds for a prefix.
    fn search(&self, file: &dyn DiskFile, keep: impl Fn(u32, u32) -> bool) -> io::Result<Option<(u32, u32)>> {
        let (mut low, mut high) = (0_u64, u64::from(self.older));
        let mut found = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let mut entry = [0; ENTRY_LEN as usize];
            read_exact_at(file, &mut entry, middle * ENTRY_LEN)?;
            let (last, position) = decode(entry);
            if keep(last, position) {
                found = Some((last, position));
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(found)
    }

    /// Bytes the file is still missing, and where they go. They count as written from here on.
    pub fn take_unwritten(&mut self) -> (u64, Vec<u8>) {
        let position = (u64::from(self.older) + self.written as u64) * ENTRY_LEN;
        let bytes = encode(&self.memory[self.written..]);
        self.written = self.memory.len();
        (position, bytes)
    }

    /// Writes what the file is missing.
    pub fn write_to(&mut self, file: &dyn DiskFile) -> io::Result<()> {
        let before = self.written;
        let (position, bytes) = self.take_unwritten();
        if bytes.is_empty() {
            return Ok(());
        }
        file.write_at(&[IoSlice::new(&bytes)], position).inspect_err(|_| self.written = before)
    }

    /// Moves everything to the file's side, once it is written: the memory of old segments is given back.
    pub fn forget_memory(&mut self) {
        if self.written == self.memory.len() {
            self.older += self.memory.len() as u32;
            self.memory = Vec::new();
            self.written = 0;
        }
    }
}

fn encode(entries: &[Compact]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY_LEN as usize);
    for entry in entries {
        bytes.extend_from_slice(&entry.last.to_be_bytes());
        bytes.extend_from_slice(&entry.position.to_be_bytes());
    }
    bytes
}

fn decode(entry: [u8; ENTRY_LEN as usize]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = entry;
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RealDisk;
    use crate::disk::{Access, Disk};

    fn spot(base: i64, last: i64, position: u32) -> Spot {
        Spot { base: Offset(base), last: Offset(last), position }
    }

    #[test]
    fn the_file_holds_last_offset_and_position_as_kafkas_does() {
        let mut index = OffsetIndex::new(Offset(100), 0);
        index.append(spot(150, 159, 4200));
        assert_eq!(index.take_unwritten(), (0, vec![0, 0, 0, 59, 0, 0, 0x10, 0x68]));
        index.append(spot(200, 209, 9000));
        assert_eq!(index.take_unwritten().0, 8);
        assert_eq!(index.entries(), 2);
    }

    #[test]
    fn memory_finds_batches_and_boundaries() {
        let mut index = OffsetIndex::new(Offset(100), 0);
        index.append(spot(150, 159, 4200));
        index.append(spot(200, 209, 9000));
        assert_eq!(index.floor(Offset(149)), None);
        assert_eq!(index.floor(Offset(150)), Some(spot(150, 159, 4200)));
        assert_eq!(index.floor(Offset(199)), Some(spot(150, 159, 4200)));
        assert_eq!(index.boundary(8999, Offset(500)), Some(spot(150, 159, 4200)));
        assert_eq!(index.boundary(9000, Offset(500)), Some(spot(200, 209, 9000)));
        assert_eq!(index.boundary(9000, Offset(200)), Some(spot(200, 209, 9000)));
        assert_eq!(index.boundary(9000, Offset(199)), Some(spot(150, 159, 4200)));
    }

    #[test]
    fn an_index_of_an_earlier_process_is_searched_in_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = RealDisk.open(&dir.path().join("i"), Access::Write).unwrap();
        let mut index = OffsetIndex::new(Offset(100), 0);
        for n in 0..50 {
            index.append(spot(100 + n * 10, 109 + n * 10, n as u32 * 5000));
        }
        index.write_to(&*file).unwrap();
        assert_eq!(file.len_bytes().unwrap(), 400);
        index.forget_memory();
        assert_eq!((index.entries(), index.entries_in_memory()), (50, 0));
        let floor = |offset| index.floor_entry_in_file(&*file, Offset(offset)).unwrap();
        assert_eq!(floor(105), None);
        assert_eq!(floor(110), Some((Offset(109), 0)));
        assert_eq!(floor(125), Some((Offset(119), 5000)));
        let boundary = |position, limit| index.boundary_in_file(&*file, position, Offset(limit)).unwrap();
        assert_eq!(boundary(12_000, 9999), Some((Offset(129), 10_000)));
        assert_eq!(boundary(12_000, 115), Some((Offset(109), 0)));
        assert_eq!(index.last_entry_in_file(&*file).unwrap(), Some((Offset(599), 245_000)));
    }
}
