//! What the kernel's page cache holds of a file: asked, dropped, and kept from reading ahead on its own.
//!
//! `cachestat` (Linux 6.5) answers for a whole range in well under a microsecond, exactly, and starts no I/O. Where
//! it is not there (an older kernel, a seccomp filter) single bytes are probed by reads that refuse to wait; such a
//! probe looks at a few pages only and may start a read in the background. Called by `real_disk.rs`.
#![allow(unsafe_code, reason = "cachestat has no safe wrapper; the one call hands over two live structs")]

use std::io::IoSliceMut;
use std::num::NonZeroU64;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::Advice;
use rustix::io::{Errno, ReadWriteFlags, preadv2};

const PAGE_BYTES: u64 = 4096;

/// Number of the system call, the same on every architecture.
const SYS_CACHESTAT: libc::c_long = 451;

/// Distance of the bytes that are probed where `cachestat` is missing.
const PROBE_EVERY_BYTES: u64 = 128 << 10;

/// Set when the kernel refused `cachestat`: it will not change its mind.
static REFUSED: AtomicBool = AtomicBool::new(false);

#[repr(C)]
struct Range {
    offset: u64,
    len: u64,
}

#[repr(C)]
#[derive(Default)]
struct Counts {
    cache: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Whether every page of the range is in memory, as far as can be told.
pub(crate) fn is_resident(file: BorrowedFd<'_>, position: u64, len: u64) -> bool {
    if len == 0 {
        return true;
    }
    if !REFUSED.load(Ordering::Relaxed) {
        if let Some(pages) = resident_pages(file, position, len) {
            return pages > (position + len - 1) / PAGE_BYTES - position / PAGE_BYTES;
        }
        REFUSED.store(true, Ordering::Relaxed);
    }
    is_resident_by_probes(file, position, len)
}

/// Pages of the range that are in memory; `None` where the kernel does not say.
fn resident_pages(file: BorrowedFd<'_>, position: u64, len: u64) -> Option<u64> {
    let range = Range { offset: position, len };
    let mut counts = Counts::default();
    // SAFETY: both structs live through the call and are laid out as `struct cachestat_range` and `struct cachestat`.
    let result =
        unsafe { libc::syscall(SYS_CACHESTAT, file.as_raw_fd(), &raw const range, &raw mut counts, 0) };
    (result == 0).then_some(counts.cache)
}

fn is_resident_by_probes(file: BorrowedFd<'_>, position: u64, len: u64) -> bool {
    let last = position + len - 1;
    let probe = |at: u64| {
        let mut byte = [0_u8; 1];
        // Only EAGAIN means "not in memory"; a file system that does not know the flag never says it.
        let read = preadv2(file, &mut [IoSliceMut::new(&mut byte)], at, ReadWriteFlags::NOWAIT);
        read != Err(Errno::AGAIN)
    };
    (position..last).step_by(PROBE_EVERY_BYTES as usize).all(probe) && probe(last)
}

/// Drops the pages that hold a range; those that are dirty, or on their way to a socket, stay.
pub(crate) fn evict(file: BorrowedFd<'_>, position: u64, len: u64) {
    let start = position - position % PAGE_BYTES;
    // The kernel spares a page of which only a part is named.
    let end = position.saturating_add(len).next_multiple_of(PAGE_BYTES);
    if let Some(len) = NonZeroU64::new(end - start).filter(|_| len > 0) {
        let _ = rustix::fs::fadvise(file, start, Some(len), Advice::DontNeed);
    }
}

/// From here on a read brings in what it asks for and nothing behind it.
pub(crate) fn read_only_what_is_asked(file: BorrowedFd<'_>) {
    let _ = rustix::fs::fadvise(file, 0, None, Advice::Random);
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;

    use super::*;

    const LEN: u64 = 1 << 20;

    fn file() -> std::fs::File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&vec![7; LEN as usize], 0).unwrap();
        file.sync_all().unwrap();
        file
    }

    #[test]
    fn one_page_that_is_missing_is_noticed_and_a_read_brings_back_no_more_than_it_asks_for() {
        let file = file();
        let fd = file.as_fd();
        assert!(is_resident(fd, 0, LEN));
        read_only_what_is_asked(fd);
        evict(fd, 0, LEN);
        if is_resident(fd, 0, LEN) {
            println!("the temporary directory's file system drops nothing");
            return;
        }
        assert!(!is_resident(fd, LEN / 2, 1));
        file.read_exact_at(&mut [0; 10], LEN / 2).unwrap();
        assert!(is_resident(fd, LEN / 2, 10));
        assert!(!is_resident(fd, LEN / 2, LEN / 2), "read ahead");
        assert!(!is_resident(fd, LEN / 2 - 1, 2), "one page of two");
    }

    #[test]
    fn without_cachestat_single_bytes_tell_a_dropped_range_from_one_in_memory() {
        let file = file();
        assert!(is_resident_by_probes(file.as_fd(), 100, LEN - 100));
        evict(file.as_fd(), 0, LEN);
        if !is_resident(file.as_fd(), 0, LEN) {
            assert!(!is_resident_by_probes(file.as_fd(), 0, LEN));
        }
    }
}
