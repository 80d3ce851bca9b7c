//! A disk in memory that forgets what was not synced, tears and reorders writes, and fails on cue.
//!
//! Bytes of files and names in directories each have a live and a durable state with the operations in between
//! (`sim_disk/state.rs`); what a power cut keeps of those is drawn from a seed by the rules of `sim_disk/survival.rs`.
//! A run can be recorded as a list of operations and cut after each of them without running it again (`Replay`).
//! Faults are counted or placed at an operation's number, so a seed replays to the same trace. Tests only.

mod counts;
mod faults;
mod rng;
mod state;
mod survival;

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Access, Disk, DiskFile, DiskLock, Entry, Space};
pub use counts::FaultCounts;
use faults::Faults;
pub use rng::Rng;
pub use state::Op;
use state::State;

/// The simulated disk; clones are the same disk.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<Inner>>);

/// Logs hold their disk, and its whole content in a failure's words would hide them.
impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimDisk after {} operations", self.operations())
    }
}

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
    faults: Faults,
    counts: FaultCounts,
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
    /// says. All open handles and locks are void, all faults are over.
    pub fn power_cut(&self, seed: u64) {
        let mut inner = self.0.lock();
        let Inner { operations, generation, mut counts, .. } = *inner;
        let state = inner.state.crash(&mut Rng::new(seed), &mut counts);
        *inner = Inner { state, generation: generation + 1, operations, counts, ..Inner::default() };
    }

    /// The next `count` syncs of files fail and drop what was pending, as Linux does: a second sync that succeeds
    /// makes nothing durable.
    pub fn fail_syncs(&self, count: u64) {
        self.0.lock().faults.failing_syncs = count;
    }

    /// The next `count` writes fail after a part.
    pub fn fail_writes(&self, count: u64) {
        self.0.lock().faults.failing_writes = count;
    }

    /// The next `count` reads of files fail.
    pub fn fail_reads(&self, count: u64) {
        self.0.lock().faults.failing_reads = count;
    }

    /// The operation after `skip` more fails once with this error, whatever it is: a write after a part, a file's
    /// sync as `fail_syncs` says, a change of a name without effect.
    pub fn fail_operation(&self, skip: u64, error: io::ErrorKind) {
        let mut inner = self.0.lock();
        let number = inner.operations + skip + 1;
        inner.faults.placed.insert(number, error);
    }

    /// No fault that was asked for and has not come will come.
    pub fn clear_faults(&self) {
        self.0.lock().faults = Faults::default();
    }

    /// Reads return fewer bytes than asked for, as the seed says; never none where there are some.
    pub fn shorten_reads(&self, seed: u64) {
        self.0.lock().faults.short_reads = Some(Rng::new(seed));
    }

    /// From now on only so many bytes may be added, and without any no name can be made; `None` lifts the bound.
    pub fn set_free_bytes(&self, free_bytes: Option<u64>) {
        self.0.lock().faults.free_bytes = free_bytes;
    }

    /// Changes the content of a file, durable and live, as rot or a careless hand does.
    pub fn damage(&self, path: &Path, damage: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut inner = self.0.lock();
        let (dir, name) = inner.state.parent(path)?;
        let inode = inner.state.lookup(dir, &name)?.ok_or(io::ErrorKind::NotFound)?;
        inner.state.damage(inode, damage);
        inner.counts.rotten_files += 1;
        Ok(())
    }

    /// What it has dealt out so far.
    pub fn fault_counts(&self) -> FaultCounts {
        self.0.lock().counts
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

    /// Another disk with the same live content, nothing pending and no faults.
    pub fn copy(&self) -> SimDisk {
        let state = self.0.lock().state.settled();
        SimDisk(Arc::new(Mutex::new(Inner { state, ..Inner::default() })))
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
        let mut counts = FaultCounts::default();
        let state = self.state.crash(&mut Rng::new(seed), &mut counts);
        SimDisk(Arc::new(Mutex::new(Inner { state, counts, ..Inner::default() })))
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

    /// An operation on names: it happens or it does not.
    fn perform_naming(&mut self, op: Op) -> io::Result<()> {
        let Some(error) = self.faults.of_naming(self.operations + 1, &op) else { return self.perform(op) };
        *match (error.kind(), &op) {
            (io::ErrorKind::StorageFull, _) => &mut self.counts.full_disks,
            (_, Op::SyncDir { .. }) => &mut self.counts.failed_syncs,
            _ => &mut self.counts.failed_names,
        } += 1;
        self.perform(Op::Failed).and(Err(error))
    }

    fn write(&mut self, inode: u64, position: u64, mut bytes: Vec<u8>) -> io::Result<()> {
        let end = position + bytes.len() as u64;
        let growth = end.saturating_sub(self.state.file_len(inode)?);
        let fault = self.faults.of_write(self.operations + 1, bytes.len() as u64, growth);
        if let Some((kept, error)) = &fault {
            self.counts.short_writes += u64::from(*kept > 0 && *kept < bytes.len() as u64);
            *match error.kind() {
                io::ErrorKind::StorageFull => &mut self.counts.full_disks,
                _ => &mut self.counts.failed_writes,
            } += 1;
            bytes.truncate(*kept as usize);
        }
        self.perform(Op::Write { inode, position, bytes })?;
        fault.map_or(Ok(()), |(_, error)| Err(error))
    }

    fn sync_file(&mut self, inode: u64) -> io::Result<()> {
        match self.faults.of_sync(self.operations + 1) {
            None => self.perform(Op::SyncFile { inode }),
            Some(error) => {
                self.counts.failed_syncs += 1;
                let seed = self.operations;
                self.perform(Op::FailedSync { inode, seed }).and(Err(error))
            }
        }
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
                inner.perform_naming(Op::Create { dir, name, inode })?;
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
        inner.perform_naming(Op::CreateDir { dir, name, inode })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.check_power()?;
        let ((dir, from), (to_dir, to)) = (inner.state.parent(from)?, inner.state.parent(to)?);
        if dir != to_dir {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        inner.state.lookup(dir, &from)?.ok_or(io::ErrorKind::NotFound)?;
        inner.perform_naming(Op::Rename { dir, from, to })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.check_power()?;
        let (dir, name) = inner.state.parent(path)?;
        inner.state.lookup(dir, &name)?.ok_or(io::ErrorKind::NotFound)?;
        inner.perform_naming(Op::Remove { dir, name })
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
        inner.perform_naming(Op::SyncDir { inode })
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
        let available_bytes = self.0.lock().faults.free_bytes.unwrap_or(1 << 40);
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
        let wanted = inner.faults.of_read(buffer.len())?;
        inner.counts.short_reads += u64::from(wanted < buffer.len());
        inner.state.read(self.inode, &mut buffer[..wanted], position)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        let bytes = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.inner()?.write(self.inode, position, bytes)
    }

    fn truncate(&self, len_bytes: u64) -> io::Result<()> {
        self.inner()?.perform_naming(Op::Truncate { inode: self.inode, len_bytes })
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
