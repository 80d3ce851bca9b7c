//! Two ways to read a segment's files with the page cache in mind.
//!
//! `Resident` only says what is in memory: a read that would wait for the disk fails with `WouldBlock` and starts no
//! I/O. Network threads look for slices through it, so that neither a cold header nor a cold index entry holds up
//! the connections beside. `Watched` may wait, and forgets to trust what it brings in: whole pages come from the
//! disk, and bytes that came in unseen would pass for verified ones later.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use super::trust::Trust;
use crate::disk::DiskFile;

const PAGE_BYTES: u64 = 4096;

/// Reads of `file`, as far as they need no disk.
#[derive(Debug)]
pub(crate) struct Resident<'f> {
    file: &'f dyn DiskFile,
    /// Asked for once, because most reads lie in it.
    known: Range<u64>,
}

impl<'f> Resident<'f> {
    /// Asks for `likely` in one go.
    pub fn new(file: &'f dyn DiskFile, likely: Range<u64>) -> Resident<'f> {
        let is_resident = file.is_resident(likely.start, likely.end.saturating_sub(likely.start));
        Resident { file, known: if is_resident { likely } else { 0..0 } }
    }
}

impl DiskFile for Resident<'_> {
    fn len_bytes(&self) -> io::Result<u64> {
        self.file.len_bytes()
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let len = buffer.len() as u64;
        let is_known = self.known.contains(&position) && position + len <= self.known.end;
        if is_known || self.file.is_resident(position, len) {
            return self.file.read_at(buffer, position);
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn write_at(&self, _slices: &[IoSlice<'_>], _position: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn truncate(&self, _len_bytes: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_fd()
    }
}

/// Reads of a `.log` file whose trust it keeps true.
#[derive(Debug)]
pub(crate) struct Watched<'f> {
    file: &'f dyn DiskFile,
    trust: &'f Trust,
    /// Where what came in from the disk starts and ends; nothing while they are the wrong way round.
    from: AtomicU64,
    to: AtomicU64,
}

impl<'f> Watched<'f> {
    pub fn new(file: &'f dyn DiskFile, trust: &'f Trust) -> Watched<'f> {
        Watched { file, trust, from: AtomicU64::new(u64::MAX), to: AtomicU64::new(0) }
    }

    /// What its reads brought in from the disk, in whole pages: the range from the first to the last of them.
    pub fn brought_in(&self) -> Option<Range<u64>> {
        let range = self.from.load(Ordering::Relaxed)..self.to.load(Ordering::Relaxed);
        (!range.is_empty()).then_some(range)
    }
}

impl DiskFile for Watched<'_> {
    fn len_bytes(&self) -> io::Result<u64> {
        self.file.len_bytes()
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        if !self.file.is_resident(position, buffer.len() as u64) {
            let end = (position + buffer.len() as u64).next_multiple_of(PAGE_BYTES);
            let start = position - position % PAGE_BYTES;
            self.trust.forget(start..end);
            self.from.fetch_min(start, Ordering::Relaxed);
            self.to.fetch_max(end, Ordering::Relaxed);
        }
        self.file.read_at(buffer, position)
    }

    fn write_at(&self, _slices: &[IoSlice<'_>], _position: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn truncate(&self, _len_bytes: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_fd()
    }
}
