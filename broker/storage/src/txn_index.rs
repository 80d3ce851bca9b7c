//! The `.txnindex` files of a log: which transactions were aborted, so that read_committed readers can leave
//! their records out.
//!
//! One file per segment that holds an abort marker, entries of 34 bytes in the order of the markers' offsets:
//! version i16 = 0, producer id, first offset, last offset (the marker's own), last stable offset as of the
//! marker, i64 each. Nothing is kept in memory but which segments have a file: a lookup is a binary search on
//! disk, and a log without aborted transactions pays one empty set. Written by `log/transactions.rs`, rebuilt by
//! recovery, read through `LogReader`. Kafka: `TransactionIndex`, `AbortedTxn`.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use logspine_protocol::types::{Offset, ProducerId};
use parking_lot::{Mutex, RwLock};

use crate::aside::{is_the_files, move_aside};
use crate::disk::{Access, Disk, DiskFile, read_exact_at};
use crate::error::{StorageError, io_at};
use crate::names;

const ENTRY_BYTES: u64 = 34;
const VERSION: i16 = 0;
/// Entries read at once by a lookup that found where to begin.
const CHUNK_ENTRIES: u64 = 128;

/// A transaction that was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTxn {
    /// Whose it was.
    pub producer_id: ProducerId,
    /// Offset of its first record.
    pub first_offset: Offset,
    /// Offset of its abort marker.
    pub last_offset: Offset,
    /// The last stable offset once the marker was in the log: every transaction below it is decided.
    pub last_stable_offset: Offset,
}

impl AbortedTxn {
    pub(crate) fn encode(&self) -> [u8; ENTRY_BYTES as usize] {
        let mut bytes = [0; ENTRY_BYTES as usize];
        bytes[..2].copy_from_slice(&VERSION.to_be_bytes());
        let fields = [self.producer_id.0, self.first_offset.0, self.last_offset.0, self.last_stable_offset.0];
        for (field, place) in fields.iter().zip(bytes[2..].chunks_exact_mut(8)) {
            place.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    /// `None` for another version, or for offsets that do not follow each other.
    fn decode(bytes: &[u8]) -> Option<AbortedTxn> {
        let (version, fields) = bytes.split_first_chunk::<2>()?;
        let field = |number: usize| Some(i64::from_be_bytes(*fields.get(number * 8..)?.first_chunk()?));
        let entry = AbortedTxn {
            producer_id: ProducerId(field(0)?),
            first_offset: Offset(field(1)?),
            last_offset: Offset(field(2)?),
            last_stable_offset: Offset(field(3)?),
        };
        let is_sound = i16::from_be_bytes(*version) == VERSION && entry.first_offset <= entry.last_offset;
        is_sound.then_some(entry)
    }
}

/// The indexes of all segments of one log.
#[derive(Debug)]
pub(crate) struct TxnIndex {
    disk: Arc<dyn Disk>,
    dir: Arc<Path>,
    /// Base offsets of the segments that have entries.
    segments: RwLock<BTreeSet<Offset>>,
    writer: Mutex<Option<Writer>>,
}

/// The file that was written last.
#[derive(Debug)]
struct Writer {
    base_offset: Offset,
    file: Arc<dyn DiskFile>,
    len_bytes: u64,
}

impl TxnIndex {
    /// Takes the files that a directory with these names has. False: one of them cannot be believed.
    pub fn open(
        disk: &Arc<dyn Disk>,
        dir: &Arc<Path>,
        file_names: &[String],
    ) -> Result<(TxnIndex, bool), StorageError> {
        let index = TxnIndex {
            disk: disk.clone(),
            dir: dir.clone(),
            segments: RwLock::default(),
            writer: Mutex::default(),
        };
        let mut is_sound = true;
        for name in file_names {
            let Some((base_offset, names::TXN_INDEX)) = names::parse_segment_file(name) else { continue };
            let path = index.path(base_offset);
            let checked = match index.open_file(base_offset) {
                Ok(None) => continue,
                Ok(Some(file)) => index.check(&*file, base_offset),
                Err(error) => Err(error),
            };
            match checked {
                // Emptied: we write none without entries.
                Ok(None | Some(0)) => is_sound = false,
                Ok(Some(_)) => drop(index.segments.write().insert(base_offset)),
                Err(error) if is_the_files(&error) => {
                    move_aside(&**disk, &path, 0, error.to_string())?;
                    is_sound = false;
                }
                Err(error) => return Err(io_at("read", &path)(error)),
            }
        }
        Ok((index, is_sound))
    }

    /// How many entries a file has, if their markers follow each other from the segment's base offset on.
    fn check(&self, file: &dyn DiskFile, base_offset: Offset) -> io::Result<Option<u64>> {
        let len_bytes = file.len_bytes()?;
        let count = len_bytes / ENTRY_BYTES;
        let mut previous = base_offset + -1;
        for number in 0..count {
            match read_entry(file, number) {
                Ok(entry) if entry.last_offset > previous => previous = entry.last_offset,
                Err(error) if error.kind() != io::ErrorKind::InvalidData => return Err(error),
                _ => return Ok(None),
            }
        }
        Ok((len_bytes == count * ENTRY_BYTES).then_some(count))
    }

    /// Adds an entry behind all others. The file is to be synced, and its name if it is new.
    pub fn append(&self, base_offset: Offset, entry: &AbortedTxn) -> Result<Arc<dyn DiskFile>, StorageError> {
        let path = self.path(base_offset);
        let mut writer = self.writer.lock();
        let open = match writer.take() {
            Some(open) if open.base_offset == base_offset => open,
            _ => {
                let file = self.disk.open(&path, Access::Write).map_err(io_at("open", &path))?;
                let len_bytes = file.len_bytes().map_err(io_at("measure", &path))?;
                Writer { base_offset, file, len_bytes }
            }
        };
        let bytes = entry.encode();
        open.file.write_at(&[IoSlice::new(&bytes)], open.len_bytes).map_err(io_at("append to", &path))?;
        let file = open.file.clone();
        *writer = Some(Writer { len_bytes: open.len_bytes + ENTRY_BYTES, ..open });
        self.segments.write().insert(base_offset);
        Ok(file)
    }

    /// Writes the indexes of the segments from `from` on anew, durably; for recovery and after a truncation.
    /// Segments are given by their base offsets, entries by their markers.
    pub fn rebuild(
        &self,
        bases: &[Offset],
        from: Offset,
        entries: &[AbortedTxn],
    ) -> Result<(), StorageError> {
        *self.writer.lock() = None;
        let first = bases.partition_point(|base| *base < from);
        for (number, base_offset) in bases.iter().enumerate().skip(first) {
            let end = bases.get(number + 1).copied().unwrap_or(Offset(i64::MAX));
            let own = entries.iter().filter(|entry| (*base_offset..end).contains(&entry.last_offset));
            let bytes: Vec<u8> = own.flat_map(AbortedTxn::encode).collect();
            self.replace(*base_offset, &bytes)?;
        }
        Ok(())
    }

    /// Forgets transactions whose markers were cut off. Files of segments that went as a whole
    /// are gone already.
    pub fn truncate(&self, log_end: Offset) -> Result<(), StorageError> {
        *self.writer.lock() = None;
        // A segment that is left may begin there, and is empty now.
        let behind = self.segments.write().split_off(&log_end);
        for base_offset in behind {
            self.replace(base_offset, &[])?;
        }
        let Some(last) = self.segments.read().last().copied() else { return Ok(()) };
        let path = self.path(last);
        let Some(file) = self.open_file(last).map_err(io_at("open", &path))? else { return Ok(()) };
        let keep = first_at_or_above(&*file, log_end).map_err(io_at("read", &path))?;
        let mut bytes = vec![0; (keep * ENTRY_BYTES) as usize];
        read_exact_at(&*file, &mut bytes, 0).map_err(io_at("read", &path))?;
        self.replace(last, &bytes)
    }

    /// The content of one segment's index; an empty one has no file.
    fn replace(&self, base_offset: Offset, bytes: &[u8]) -> Result<(), StorageError> {
        let path = self.path(base_offset);
        if !bytes.is_empty() {
            crate::disk::replace_file(&*self.disk, &path, bytes).map_err(io_at("write", &path))?;
            self.segments.write().insert(base_offset);
            return Ok(());
        }
        self.segments.write().remove(&base_offset);
        match self.disk.remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_at("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    /// Compaction gave a segment a new file, or took the segment away.
    pub fn merge(&self, base_offset: Offset, has_entries: bool) {
        let mut segments = self.segments.write();
        if has_entries {
            segments.insert(base_offset);
        } else {
            segments.remove(&base_offset);
        }
    }

    /// Whether no transaction of this log was ever aborted, as far as its segments know.
    pub fn is_empty(&self) -> bool {
        self.segments.read().is_empty()
    }

    /// The aborted transactions that have records in `from .. upper`, by their markers. `first_segment` is the
    /// base offset of the segment that holds `from`; markers may lie in later ones.
    pub fn aborted(
        &self,
        first_segment: Offset,
        from: Offset,
        upper: Offset,
    ) -> Result<Vec<AbortedTxn>, StorageError> {
        let segments: Vec<Offset> = self.segments.read().range(first_segment..).copied().collect();
        let mut found = Vec::new();
        for base_offset in segments {
            // Retention may have been faster: what it took nobody reads.
            let path = self.path(base_offset);
            let Some(file) = self.open_file(base_offset).map_err(io_at("open", &path))? else { continue };
            let is_done = collect(&*file, from, upper, &mut found);
            if is_done.map_err(io_at("read", &path))? {
                break;
            }
        }
        Ok(found)
    }

    fn path(&self, base_offset: Offset) -> std::path::PathBuf {
        names::segment_file(&self.dir, base_offset, names::TXN_INDEX)
    }

    fn open_file(&self, base_offset: Offset) -> io::Result<Option<Arc<dyn DiskFile>>> {
        match self.disk.open(&self.path(base_offset), Access::Read) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn read_entry(file: &dyn DiskFile, number: u64) -> io::Result<AbortedTxn> {
    let mut bytes = [0; ENTRY_BYTES as usize];
    read_exact_at(file, &mut bytes, number * ENTRY_BYTES)?;
    AbortedTxn::decode(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The number of the first entry whose marker is not below `offset`.
fn first_at_or_above(file: &dyn DiskFile, offset: Offset) -> io::Result<u64> {
    let (mut low, mut high) = (0, file.len_bytes()? / ENTRY_BYTES);
    while low < high {
        let middle = (low + high) / 2;
        if read_entry(file, middle)?.last_offset < offset { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

/// Adds the entries of one file. True once a marker says that nothing below `upper` is decided later.
fn collect(
    file: &dyn DiskFile,
    from: Offset,
    upper: Offset,
    found: &mut Vec<AbortedTxn>,
) -> io::Result<bool> {
    let count = file.len_bytes()? / ENTRY_BYTES;
    let mut number = first_at_or_above(file, from)?;
    while number < count {
        let entries = (count - number).min(CHUNK_ENTRIES);
        let mut bytes = vec![0; (entries * ENTRY_BYTES) as usize];
        read_exact_at(file, &mut bytes, number * ENTRY_BYTES)?;
        for bytes in bytes.chunks_exact(ENTRY_BYTES as usize) {
            let entry = AbortedTxn::decode(bytes).ok_or(io::ErrorKind::InvalidData)?;
            if entry.first_offset < upper {
                found.push(entry);
            }
            if entry.last_stable_offset >= upper {
                return Ok(true);
            }
        }
        number += entries;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RealDisk;

    fn entry(producer_id: i64, first: i64, last: i64, stable: i64) -> AbortedTxn {
        AbortedTxn {
            producer_id: ProducerId(producer_id),
            first_offset: Offset(first),
            last_offset: Offset(last),
            last_stable_offset: Offset(stable),
        }
    }

    fn open(dir: &Path) -> (TxnIndex, bool) {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let names: Vec<String> = disk.list(dir).unwrap().into_iter().map(|entry| entry.name).collect();
        TxnIndex::open(&disk, &dir.into(), &names).unwrap()
    }

    /// Two segments; the transaction 1..=25 spans them, and 12..=14 was decided while 1 was still open.
    fn filled(dir: &Path) -> TxnIndex {
        let (index, _) = open(dir);
        index.append(Offset(0), &entry(7, 3, 5, 1)).unwrap();
        index.append(Offset(0), &entry(7, 12, 14, 1)).unwrap();
        index.append(Offset(20), &entry(8, 1, 25, 26)).unwrap();
        index.append(Offset(20), &entry(7, 30, 31, 32)).unwrap();
        index
    }

    fn found(index: &TxnIndex, segment: i64, from: i64, upper: i64) -> Vec<(i64, i64)> {
        let found = index.aborted(Offset(segment), Offset(from), Offset(upper)).unwrap();
        found.iter().map(|entry| (entry.producer_id.0, entry.first_offset.0)).collect()
    }

    #[test]
    fn the_bytes_are_kafkas() {
        let mut expected = vec![0, 0];
        for number in [7_i64, 3, 5, 1] {
            expected.extend_from_slice(&number.to_be_bytes());
        }
        assert_eq!(entry(7, 3, 5, 1).encode().as_slice(), expected);
        assert_eq!(AbortedTxn::decode(&expected), Some(entry(7, 3, 5, 1)));
        assert_eq!(AbortedTxn::decode(&entry(7, 6, 5, 1).encode()), None);
        expected[1] = 1;
        assert_eq!(AbortedTxn::decode(&expected), None);
    }

    #[test]
    fn a_range_names_every_transaction_that_has_records_in_it_across_segments() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let (index, is_sound) = open(dir.path());
        assert!(is_sound && !index.is_empty());
        assert_eq!(found(&index, 0, 0, 3), [(8, 1)]);
        assert_eq!(found(&index, 0, 0, 10), [(7, 3), (8, 1)]);
        assert_eq!(found(&index, 0, 6, 13), [(7, 12), (8, 1)]);
        assert_eq!(found(&index, 0, 15, 20), [(8, 1)]);
        assert_eq!(found(&index, 20, 26, 40), [(7, 30)]);
        assert_eq!(found(&index, 20, 32, 40), []);
    }

    #[test]
    fn a_truncation_forgets_what_it_cut_off_and_a_rebuild_brings_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let index = filled(dir.path());
        index.truncate(Offset(31)).unwrap();
        assert_eq!(found(&index, 20, 26, 40), []);
        index.truncate(Offset(14)).unwrap();
        assert_eq!(found(&index, 0, 0, 40), [(7, 3)]);
        let all = [entry(7, 3, 5, 1), entry(7, 12, 14, 1), entry(8, 1, 25, 26)];
        index.rebuild(&[Offset(0), Offset(20)], Offset(0), &all).unwrap();
        assert_eq!(found(&index, 0, 0, 40), [(7, 3), (7, 12), (8, 1)]);
        index.append(Offset(20), &entry(7, 30, 31, 32)).unwrap();
        assert_eq!(found(&open(dir.path()).0, 20, 26, 40), [(7, 30)]);
    }

    #[test]
    fn a_file_that_is_torn_or_out_of_order_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let index = filled(dir.path());
        let path = index.path(Offset(20));
        let whole = std::fs::read(&path).unwrap();
        let turned = [&whole[34..], &whole[..34]].concat();
        for bytes in [&whole[..60], &turned, &[9; 34]] {
            std::fs::write(&path, bytes).unwrap();
            assert!(!open(dir.path()).1);
        }
    }
}
