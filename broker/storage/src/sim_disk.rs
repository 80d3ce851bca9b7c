//! A disk in memory that forgets what was not synced, tears the last write, and fails on cue.
//!
//! Bytes of files and names in directories each have a live and a durable state with the operations in between
//! (`sim_disk/state.rs`). `power_cut` keeps, by a seed, any part of what was pending that a real disk may keep. A run
//! can be recorded as a list of operations and cut after each of them without running it again (`Replay`). A sync
//! that fails drops what was pending, as Linux does: a second one that succeeds makes nothing durable.

mod state;

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Access, Disk, DiskFile, DiskLock, Entry, Space};
pub use state::Op;
use state::State;

/// A small seeded generator (splitmix64); the tests of the crates above use it too.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// Any number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is at least 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound.max(1)
    }

    /// True in `percent` of the cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The simulated disk; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    state: State,
    /// Handles of an earlier power-on are dead.
    generation: u64,
    off: bool,
    operations: u64,
    reads: u64,
    cut_after: Option<u64>,
    record: Option<Vec<Op>>,
    failing_syncs: u64,
    failing_writes: u64,
    free_bytes: Option<u64>,
    locks: BTreeSet<PathBuf>,
}

impl SimDisk {
    /// An empty disk with the directory `/`.
    pub fn new() -> SimDisk {
        SimDisk::default()
    }

    /// Operations that changed something, or tried to, since the disk was made.
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// How often files were read, so that a test can say "without reading".
    pub fn reads(&self) -> u64 {
        self.0.lock().reads
    }

    /// After that many more operations the power goes: the last one may be torn, all later ones fail.
    pub fn cut_power_after(&self, operations: u64) {
        let mut inner = self.0.lock();
        inner.cut_after = Some(inner.operations + operations);
    }

    /// Whether the power went.
    pub fn is_off(&self) -> bool {
        self.0.lock().off
    }

    /// Cuts the power, if it is still on, and turns it on again: what was pending is kept in the part that `seed`
    /// says. All open handles and locks are void.
    pub fn power_cut(&self, seed: u64) {
        let mut inner = self.0.lock();
        let survived = inner.state.crash(&mut Rng::new(seed));
        let operations = inner.operations;
        *inner = Inner { state: survived, generation: inner.generation + 1, operations, ..Inner::default() };
    }

    /// The next `count` syncs of files fail, and drop what was pending.
    pub fn fail_syncs(&self, count: u64) {
        self.0.lock().failing_syncs = count;
    }

    /// The next `count` writes fail half-way.
    pub fn fail_writes(&self, count: u64) {
        self.0.lock().failing_writes = count;
    }

    /// From now on only so many bytes may be added; `None` lifts the bound.
    pub fn set_free_bytes(&self, free_bytes: Option<u64>) {
        self.0.lock().free_bytes = free_bytes;
    }

    /// Starts to record operations; to be called on an empty disk.
    pub fn record(&self) {
        self.0.lock().record = Some(Vec::new());
    }

    /// What was recorded.
    pub fn recorded(&self) -> Vec<Op> {
        self.0.lock().record.clone().unwrap_or_default()
    }

    /// Every file with its live content, for comparisons.
    pub fn dump(&self) -> Vec<(PathBuf, Vec<u8>)> {
        self.0.lock().state.dump()
    }
}

/// Plays a recording again, one operation at a time, and shows what would survive a power cut after each.
#[derive(Debug, Default)]
pub struct Replay {
    state: State,
}

impl Replay {
    /// Starts with an empty disk.
    pub fn new() -> Replay {
        Replay::default()
    }

    /// Plays one operation.
    pub fn apply(&mut self, op: &Op) {
        self.state.apply(op);
    }

    /// The disk as it would be found after a power cut here.
    pub fn power_cut(&self, seed: u64) -> SimDisk {
        let state = self.state.crash(&mut Rng::new(seed));
        SimDisk(Arc::new(Mutex::new(Inner { state, ..Inner::default() })))
    }
}

impl Inner {
    fn check_power(&self) -> io::Result<()> {
        if self.off { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    /// Counts and applies one operation; the one that the power cut falls on may still happen.
    fn perform(&mut self, op: Op) -> io::Result<()> {
        self.check_power()?;
        self.operations += 1;
        let last = self.cut_after.is_some_and(|cut| self.operations >= cut);
        // A sync that does not return has made nothing durable.
        if !(last && matches!(op, Op::SyncFile { .. } | Op::SyncDir { .. })) {
            self.state.apply(&op);
            if let Some(record) = &mut self.record {
                record.push(op);
            }
        }
        self.off = last;
        self.check_power()
    }

    fn write(&mut self, inode: u64, position: u64, mut bytes: Vec<u8>) -> io::Result<()> {
        let end = position + bytes.len() as u64;
        let growth = end.saturating_sub(self.state.file_len(inode)?);
        let mut error = None;
        if self.free_bytes.is_some_and(|free| free < growth) {
            let fits = bytes.len() as u64 - growth.min(bytes.len() as u64) + self.free_bytes.unwrap_or(0);
            bytes.truncate(fits as usize);
            self.free_bytes = Some(0);
            error = Some(io::Error::from(io::ErrorKind::StorageFull));
        } else if self.failing_writes > 0 {
            self.failing_writes -= 1;
            bytes.truncate(bytes.len() / 2);
            error = Some(io::Error::other("simulated write error"));
        } else if let Some(free) = &mut self.free_bytes {
            *free -= growth;
        }
        self.perform(Op::Write { inode, position, bytes })?;
        error.map_or(Ok(()), Err)
    }

    fn sync_file(&mut self, inode: u64) -> io::Result<()> {
        if self.failing_syncs > 0 {
            self.failing_syncs -= 1;
            self.perform(Op::FailedSync { inode })?;
            return Err(io::Error::other("simulated sync error"));
        }
        self.perform(Op::SyncFile { inode })
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.0.lock();
        inner.check_power()?;
        let (dir, name) = inner.state.parent(path)?;
        let inode = match inner.state.lookup(dir, &name)? {
            Some(inode) => inode,
            None if access != Access::Write => return Err(io::ErrorKind::NotFound.into()),
            None => {
                let inode = inner.state.next_inode();
                inner.perform(Op::Create { dir, name, inode })?;
                inode
            }
        };
        inner.state.file_len(inode)?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode, generation: inner.generation }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.check_power()?;
        if inner.state.dir(path).is_ok() {
            return Ok(());
        }
        let (dir, name) = inner.state.parent(path)?;
        let inode = inner.state.next_inode();
        inner.perform(Op::CreateDir { dir, name, inode })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.check_power()?;
        let ((dir, from), (to_dir, to)) = (inner.state.parent(from)?, inner.state.parent(to)?);
        if dir != to_dir {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        inner.state.lookup(dir, &from)?.ok_or(io::ErrorKind::NotFound)?;
        inner.perform(Op::Rename { dir, from, to })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.check_power()?;
        let (dir, name) = inner.state.parent(path)?;
        inner.state.lookup(dir, &name)?.ok_or(io::ErrorKind::NotFound)?;
        inner.perform(Op::Remove { dir, name })
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        if !self.list(path)?.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.remove_file(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let inner = self.0.lock();
        inner.check_power()?;
        inner.state.list(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.check_power()?;
        let inode = inner.state.dir(path)?;
        inner.perform(Op::SyncDir { inode })
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        let mut inner = self.0.lock();
        inner.check_power()?;
        if !inner.locks.insert(path.to_path_buf()) {
            return Ok(None);
        }
        Ok(Some(Box::new(SimLock {
            disk: self.clone(),
            path: path.to_path_buf(),
            generation: inner.generation,
        })))
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        let available_bytes = self.0.lock().free_bytes.unwrap_or(1 << 40);
        Ok(Space { total_bytes: 1 << 40, available_bytes })
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    generation: u64,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut inner = self.disk.0.lock();
        if inner.generation == self.generation {
            inner.locks.remove(&self.path);
        }
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: u64,
    generation: u64,
}

impl SimFile {
    fn inner(&self) -> io::Result<parking_lot::MutexGuard<'_, Inner>> {
        let inner = self.disk.0.lock();
        if inner.generation != self.generation {
            return Err(io::Error::other("a handle from before the power cut"));
        }
        inner.check_power()?;
        Ok(inner)
    }
}

impl DiskFile for SimFile {
    fn len_bytes(&self) -> io::Result<u64> {
        self.inner()?.state.file_len(self.inode)
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut inner = self.inner()?;
        inner.reads += 1;
        inner.state.read(self.inode, buffer, position)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        let bytes = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.inner()?.write(self.inode, position, bytes)
    }

    fn truncate(&self, len_bytes: u64) -> io::Result<()> {
        self.inner()?.perform(Op::Truncate { inode: self.inode, len_bytes })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner()?.sync_file(self.inode)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

#[cfg(test)]
mod tests;
