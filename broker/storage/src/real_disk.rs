//! `Disk` on Linux: positioned reads and vectored writes, fdatasync, directory fsync, flock.
//!
//! Short writes are continued; `EINTR` is retried. A relative path is fine. The lock is an advisory flock that
//! goes away with the process, so that a crash leaves nothing to clean up.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::FallocateFlags;

use crate::disk::{Access, Disk, DiskFile, DiskLock, Entry, Space};
use crate::page_cache;

/// The operating system's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile(File);

#[derive(Debug)]
struct RealLock(#[allow(dead_code, reason = "held for its lock, which ends when it is closed")] File);

impl DiskLock for RealLock {}

impl Disk for RealDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match access {
            Access::Read => {}
            Access::Update => drop(options.write(true)),
            Access::Write => drop(options.write(true).create(true).truncate(false)),
        }
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            result => result,
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let is_dir = entry.file_type()?.is_dir();
            // Asked of files only: a data directory holds a directory for each of its partitions.
            let len_bytes = if is_dir { 0 } else { entry.metadata()?.len() };
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(Entry { name, is_dir, len_bytes });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn names(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        File::open(path)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Box::new(RealLock(file)))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Space {
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            available_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }
}

impl DiskFile for RealFile {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        loop {
            match self.0.read_at(buffer, position) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn write_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut written = match rustix::io::pwritev(&self.0, slices, position) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => 0,
            Err(errno) => return Err(errno.into()),
        };
        if written == total {
            return Ok(());
        }
        // Rare: a signal, or a disk that is almost full. Continue slice by slice.
        let mut start = 0;
        for slice in slices {
            let end = start + slice.len();
            if written < end {
                self.0.write_all_at(&slice[written - start..], position + written as u64)?;
                written = end;
            }
            start = end;
        }
        Ok(())
    }

    fn allocate(&self, position: u64, len_bytes: u64) -> io::Result<()> {
        rustix::fs::fallocate(&self.0, FallocateFlags::KEEP_SIZE, position, len_bytes)
            .map_err(io::Error::from)
    }

    fn truncate(&self, len_bytes: u64) -> io::Result<()> {
        self.0.set_len(len_bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    fn is_resident(&self, position: u64, len: u64) -> bool {
        page_cache::is_resident(self.0.as_fd(), position, len)
    }

    fn evict(&self, position: u64, len: u64) {
        page_cache::evict(self.0.as_fd(), position, len);
    }

    fn read_only_what_is_asked(&self) {
        page_cache::read_only_what_is_asked(self.0.as_fd());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{read_exact_at, read_file, replace_file};

    #[test]
    fn slices_land_one_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let file = RealDisk.open(&dir.path().join("f"), Access::Write).unwrap();
        file.write_at(&[IoSlice::new(b"abc"), IoSlice::new(b""), IoSlice::new(b"def")], 2).unwrap();
        let mut read = [1; 8];
        read_exact_at(&*file, &mut read, 0).unwrap();
        assert_eq!(&read, b"\0\0abcdef");
        assert!(file.as_fd().is_some());
        file.truncate(3).unwrap();
        file.sync_data().unwrap();
        assert_eq!(file.len_bytes().unwrap(), 3);
    }

    #[test]
    fn a_lock_is_held_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".lock");
        let held = RealDisk.lock(&path).unwrap();
        assert!(held.is_some());
        assert!(RealDisk.lock(&path).unwrap().is_none());
        drop(held);
        assert!(RealDisk.lock(&path).unwrap().is_some());
    }

    #[test]
    fn a_replaced_file_leaves_no_temporary_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint");
        replace_file(&RealDisk, &path, b"first, and longer").unwrap();
        replace_file(&RealDisk, &path, b"second").unwrap();
        assert_eq!(read_file(&RealDisk, &path).unwrap().unwrap(), b"second");
        assert_eq!(RealDisk.list(dir.path()).unwrap().len(), 1);
        assert_eq!(read_file(&RealDisk, &dir.path().join("absent")).unwrap(), None);
    }
}
