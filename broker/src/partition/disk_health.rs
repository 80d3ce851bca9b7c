//! Whether the data directory's disk takes writes, and the reserve that keeps a full one manageable.
//!
//! A file of `log.disk.reserve.bytes` holds room from the start. The first write that finds none gives it back: what
//! clients produce is refused from then on, while metadata, committed offsets and checkpoints have the reserve, so
//! that topics can be deleted, consumers go on and a restart succeeds. Once there is twice the reserve, it is
//! taken again and writes go on; nobody restarts anything. A healthy disk costs an append one relaxed load.
//! Told by `handle.rs`, the controller and housekeeping; asked by `handle.rs`, status and metrics. docs/decisions/0019.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use logspine_storage::LogDir;
use logspine_storage::disk::{Access, Space};
use parking_lot::Mutex;
use thiserror::Error;
use tracing::{error, info, warn};

/// The reserve's file in the data directory: no bytes, but room.
pub const RESERVE_FILE: &str = "logspine.reserve";

/// How often a refused append makes us look whether there is room again.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How the disk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum DiskState {
    Writable = 0,
    /// What clients produce is refused.
    Full = 1,
    /// The last write was refused because the file system is mounted read-only.
    ReadOnly = 2,
}

impl DiskState {
    /// The word of `/status`.
    pub fn name(self) -> &'static str {
        match self {
            DiskState::Writable => "writable",
            DiskState::Full => "full",
            DiskState::ReadOnly => "readOnly",
        }
    }
}

/// What a producer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the disk is full: {available_bytes} bytes are free, writes go on once there are {needed_bytes}; reads go on"
)]
pub struct DiskFull {
    pub available_bytes: u64,
    pub needed_bytes: u64,
}

/// One data directory's disk.
pub struct DiskHealth {
    log_dir: Arc<LogDir>,
    reserve_bytes: u64,
    state: AtomicU8,
    refused_appends: AtomicU64,
    /// When a refused append last looked for room, and what it found.
    looked: Mutex<(Instant, u64)>,
}

impl DiskHealth {
    /// Takes the reserve, or, on a disk that is full already, gives back the one that an earlier process took.
    pub fn open(log_dir: Arc<LogDir>, reserve_bytes: u64) -> DiskHealth {
        let health = DiskHealth {
            log_dir,
            reserve_bytes,
            state: AtomicU8::new(DiskState::Writable as u8),
            refused_appends: AtomicU64::new(0),
            looked: Mutex::new((Instant::now(), 0)),
        };
        if health.available() < reserve_bytes {
            health.become_full();
        } else if let Err(error) = health.take_reserve() {
            warn!("the disk gives no reserve of {reserve_bytes} bytes: {error}");
        }
        health
    }

    pub fn state(&self) -> DiskState {
        match self.state.load(Ordering::Relaxed) {
            0 => DiskState::Writable,
            1 => DiskState::Full,
            _ => DiskState::ReadOnly,
        }
    }

    /// Size and room of the file system; nothing if it does not say.
    pub fn space(&self) -> Option<Space> {
        self.log_dir.space().ok()
    }

    /// How many appends were refused because the disk is full.
    pub fn refused_appends(&self) -> u64 {
        self.refused_appends.load(Ordering::Relaxed)
    }

    /// Whether a client's append may be tried.
    pub fn admit(&self) -> Result<(), DiskFull> {
        if self.state() != DiskState::Full || self.look() {
            return Ok(());
        }
        self.refused_appends.fetch_add(1, Ordering::Relaxed);
        let available_bytes = self.looked.lock().1;
        Err(DiskFull { available_bytes, needed_bytes: self.needed_bytes() })
    }

    /// A write failed. What follows from it is said once, however many fail the same way.
    pub fn failed(&self, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => self.become_full(),
            io::ErrorKind::ReadOnlyFilesystem => self.become_read_only(),
            _ => {}
        }
    }

    /// A write succeeded.
    pub fn succeeded(&self) {
        if self.state() == DiskState::ReadOnly && self.change(DiskState::ReadOnly, DiskState::Writable) {
            info!(dir = %self.log_dir.path().display(), "the disk takes writes again");
        }
    }

    fn change(&self, from: DiskState, to: DiskState) -> bool {
        self.state.compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn become_full(&self) {
        if !self.change(DiskState::Writable, DiskState::Full) {
            return;
        }
        let given = self.give_reserve();
        let available_bytes = self.available();
        error!(
            dir = %self.log_dir.path().display(),
            available_bytes,
            "the disk is full: produced records are refused until {} bytes are free, reads go on; free space, \
             enlarge the volume, or delete topics or records",
            self.needed_bytes()
        );
        if let Err(error) = given {
            warn!("the reserve could not be given back: {error}");
        }
    }

    fn become_read_only(&self) {
        if self.change(DiskState::Writable, DiskState::ReadOnly)
            || self.change(DiskState::Full, DiskState::ReadOnly)
        {
            error!(
                dir = %self.log_dir.path().display(),
                "the file system is read-only: writes are refused, reads go on; mount it for writing again"
            );
        }
    }

    /// Looks whether a full disk has room again, at most once per interval; true if writes go on.
    pub fn look(&self) -> bool {
        {
            let mut looked = self.looked.lock();
            if looked.0.elapsed() < LOOK_INTERVAL && looked.1 > 0 {
                return self.state() != DiskState::Full;
            }
            *looked = (Instant::now(), self.available());
            if looked.1 < self.needed_bytes() {
                return false;
            }
        }
        if self.state() != DiskState::Full {
            return true;
        }
        if let Err(error) = self.take_reserve() {
            warn!("there is room, but none for the reserve: {error}");
            return false;
        }
        if self.change(DiskState::Full, DiskState::Writable) {
            info!(dir = %self.log_dir.path().display(), "there is room on the disk again: writes go on");
        }
        true
    }

    /// Less than this, and a broker that went on would stop again at once.
    fn needed_bytes(&self) -> u64 {
        self.reserve_bytes.saturating_mul(2).max(1)
    }

    fn available(&self) -> u64 {
        self.space().map_or(u64::MAX, |space| space.available_bytes)
    }

    fn take_reserve(&self) -> io::Result<()> {
        if self.reserve_bytes == 0 {
            return Ok(());
        }
        let file = self.log_dir.disk().open(&self.reserve_path(), Access::Write)?;
        match file.allocate(0, self.reserve_bytes) {
            // A file system without fallocate has no reserve; the rest works as well.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
            taken => taken,
        }
    }

    fn give_reserve(&self) -> io::Result<()> {
        match self.log_dir.disk().remove_file(&self.reserve_path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn reserve_path(&self) -> std::path::PathBuf {
        self.log_dir.path().join(RESERVE_FILE)
    }
}

/// The disk's own words inside of an error, if a disk said any.
pub fn disk_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<io::Error>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use logspine_storage::{RealDisk, StorageError};

    use super::*;

    fn health(reserve_bytes: u64) -> (tempfile::TempDir, DiskHealth) {
        let dir = tempfile::tempdir().unwrap();
        let log_dir = Arc::new(LogDir::open(Arc::new(RealDisk), dir.path()).unwrap());
        (dir, DiskHealth::open(log_dir, reserve_bytes))
    }

    #[test]
    fn a_full_disk_gives_the_reserve_back_and_takes_it_again_when_there_is_room() {
        let (dir, health) = health(1 << 20);
        let reserve = dir.path().join(RESERVE_FILE);
        assert!(reserve.exists() && health.admit().is_ok());
        health.failed(&io::ErrorKind::StorageFull.into());
        assert_eq!(health.state(), DiskState::Full);
        assert!(!reserve.exists());
        // This machine's disk has room: the first refused append notices.
        assert!(health.admit().is_ok());
        assert_eq!(health.state(), DiskState::Writable);
        assert!(reserve.exists());
    }

    #[test]
    fn a_disk_without_the_reserves_room_is_full_from_the_start() {
        let (_dir, health) = health(u64::MAX / 2);
        assert_eq!(health.state(), DiskState::Full);
        let refused = health.admit().unwrap_err();
        assert_eq!(refused.needed_bytes, u64::MAX - 1);
        assert_eq!(health.refused_appends(), 1);
    }

    #[test]
    fn a_read_only_disk_is_writable_again_with_the_first_write_that_succeeds() {
        let (_dir, health) = health(0);
        health.failed(&io::ErrorKind::ReadOnlyFilesystem.into());
        assert_eq!(health.state(), DiskState::ReadOnly);
        assert!(health.admit().is_ok(), "it is tried");
        health.succeeded();
        assert_eq!(health.state(), DiskState::Writable);
    }

    #[test]
    fn the_disks_words_are_found_under_our_own() {
        let source = io::Error::from(io::ErrorKind::StorageFull);
        let error = StorageError::Io { action: "append to", path: "f".into(), source };
        assert_eq!(disk_error(&error).unwrap().kind(), io::ErrorKind::StorageFull);
        assert!(disk_error(&DiskFull { available_bytes: 0, needed_bytes: 0 }).is_none());
    }
}
