//! How many `.log` files are open at once: 100,000 partitions work with 20,000 descriptors.
//!
//! A segment keeps its file in a `Descriptor` that opens on demand. All descriptors stand in one queue for the process,
//! as `RLIMIT_NOFILE` is one; when there are more than the limit, the ones that nobody used since their last turn are
//! closed. Never closed is a file that anybody holds: a slice on its way to a socket, a flush, and above all the dirty
//! set, so that an error of writing back is seen by the sync that asks for it, through the handle that wrote. If dirty
//! files alone are too many, whoever opens one more waits until some were synced.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::disk::DiskFile;

/// Descriptors that are looked at before a new one joins them: the queue shrinks, and no open waits for long.
const LOOKS: usize = 8;

/// Of ten descriptors that the process may have; the others are for connections and small files.
const SHARE_OF_TEN: u64 = 4;

static OPEN_FILES: LazyLock<Queue> = LazyLock::new(|| {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit.map_or(usize::MAX, |limit| (limit / 10 * SHARE_OF_TEN) as usize);
    Queue::new(limit.max(LOOKS))
});

/// Whether more files are open than shall be: whoever has dirty ones had better flush them, so that they may close.
pub(crate) fn are_too_many() -> bool {
    OPEN_FILES.is_too_long()
}

/// Files were synced: they may close, if somebody waits for that.
pub(crate) fn were_synced() {
    OPEN_FILES.synced.notify_all();
}

/// How long an open waits for others to close. The rest of the descriptors is a reserve, not a wall.
const WAIT_MAX: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Queue {
    limit: usize,
    synced: Condvar,
    /// Read by every append, so apart from the lock.
    len: AtomicUsize,
    descriptors: Mutex<VecDeque<Weak<Descriptor>>>,
}

impl Queue {
    fn new(limit: usize) -> Queue {
        Queue { limit, synced: Condvar::new(), len: AtomicUsize::new(0), descriptors: Mutex::default() }
    }

    fn is_too_long(&self) -> bool {
        self.len.load(Ordering::Relaxed) > self.limit
    }

    /// Where opens begin to wait.
    fn length_max(&self) -> usize {
        // Without a limit of the process this one is as large as can be.
        self.limit.saturating_add(self.limit / 4)
    }

    /// Takes in one that is about to be opened, and closes a few if there are too many.
    fn join(&self, descriptor: &Arc<Descriptor>) {
        let mut descriptors = self.descriptors.lock();
        descriptors.push_back(Arc::downgrade(descriptor));
        self.close_some(&mut descriptors, LOOKS);
        let deadline = Instant::now() + WAIT_MAX;
        while descriptors.len() > self.length_max()
            && !self.synced.wait_until(&mut descriptors, deadline).timed_out()
        {
            let looks = descriptors.len();
            self.close_some(&mut descriptors, looks);
        }
        self.len.store(descriptors.len(), Ordering::Relaxed);
    }

    fn close_some(&self, descriptors: &mut VecDeque<Weak<Descriptor>>, looks: usize) {
        for _ in 0..looks {
            if descriptors.len() <= self.limit {
                return;
            }
            let Some(oldest) = descriptors.pop_front() else { return };
            if oldest.upgrade().is_some_and(|oldest| !oldest.leave()) {
                descriptors.push_back(oldest);
            }
        }
    }
}

/// The place of one segment's file.
#[derive(Debug, Default)]
pub(crate) struct Descriptor(Mutex<Place>);

#[derive(Debug, Default)]
struct Place {
    file: Option<Arc<dyn DiskFile>>,
    /// Slices and the dirty set may hold it still, so that no second one is opened beside.
    lent: Option<Weak<dyn DiskFile>>,
    /// The segment left the log: what bears its names now is not its own.
    is_retired: bool,
    /// The file does not bear its final name yet, so that it must not be closed.
    is_unnamed: bool,
    is_in_queue: bool,
    /// In the queue, and about to have a file.
    is_opening: bool,
    /// Since its last turn.
    was_used: bool,
}

impl Place {
    /// Opens it unless somebody did meanwhile, or still holds it.
    fn take_file(
        &mut self,
        open: impl FnOnce() -> io::Result<Arc<dyn DiskFile>>,
    ) -> io::Result<Arc<dyn DiskFile>> {
        self.is_opening = false;
        let held = self.file.clone().or_else(|| self.lent.as_ref().and_then(Weak::upgrade));
        let file = match held {
            Some(file) => file,
            None if self.is_retired => return Err(io::ErrorKind::NotFound.into()),
            None => open()?,
        };
        self.lent = Some(Arc::downgrade(&file));
        self.file = (!self.is_retired).then(|| file.clone());
        Ok(file)
    }
}

impl Descriptor {
    /// The file, by `open` if there is none. `NotFound` once retired, unless somebody still holds it.
    pub fn file(
        self: &Arc<Self>,
        open: impl FnOnce() -> io::Result<Arc<dyn DiskFile>>,
    ) -> io::Result<Arc<dyn DiskFile>> {
        self.file_in(&OPEN_FILES, open)
    }

    fn file_in(
        self: &Arc<Self>,
        queue: &Queue,
        open: impl FnOnce() -> io::Result<Arc<dyn DiskFile>>,
    ) -> io::Result<Arc<dyn DiskFile>> {
        let mut place = self.0.lock();
        place.was_used = true;
        if let Some(file) = &place.file {
            return Ok(file.clone());
        }
        if place.is_retired {
            return place.lent.as_ref().and_then(Weak::upgrade).ok_or(io::ErrorKind::NotFound.into());
        }
        if !std::mem::replace(&mut place.is_in_queue, true) {
            place.is_opening = true;
            drop(place);
            queue.join(self);
            place = self.0.lock();
        }
        place.take_file(open)
    }

    /// Opens by the segment's name while that is the segment's own.
    pub fn open_beside(
        &self,
        open: impl FnOnce() -> io::Result<Arc<dyn DiskFile>>,
    ) -> io::Result<Arc<dyn DiskFile>> {
        // Under the lock: from `retire` on the name may be that of another segment's file.
        let place = self.0.lock();
        if place.is_retired { Err(io::ErrorKind::NotFound.into()) } else { open() }
    }

    /// Opens nothing any more. Returns the file that somebody may still hold.
    pub fn retire(&self) -> Option<Weak<dyn DiskFile>> {
        let mut place = self.0.lock();
        place.is_retired = true;
        place.lent.take_if(|lent| lent.strong_count() == 0);
        place.lent.clone()
    }

    pub fn is_open(&self) -> bool {
        self.0.lock().file.is_some()
    }

    /// Takes a file that gets its name later, by `named`.
    pub fn adopt(&self, file: Arc<dyn DiskFile>) {
        let mut place = self.0.lock();
        place.lent = Some(Arc::downgrade(&file));
        place.file = Some(file);
        place.is_unnamed = true;
    }

    /// The file can be opened by its name.
    pub fn named(&self) {
        self.0.lock().is_unnamed = false;
    }

    /// Gives the file back; who holds it keeps it.
    pub fn close(&self) {
        let mut place = self.0.lock();
        if !place.is_unnamed {
            place.file = None;
        }
    }

    /// Its turn: true if it has no open file any more.
    fn leave(&self) -> bool {
        let Some(mut place) = self.0.try_lock() else { return false };
        let is_held = place.file.as_ref().is_some_and(|file| Arc::strong_count(file) > 1);
        if std::mem::take(&mut place.was_used) || is_held || place.is_opening || place.is_unnamed {
            return false;
        }
        place.file = None;
        place.is_in_queue = false;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::RealDisk;
    use crate::disk::{Access, Disk};

    fn open_fds(dir: &Path) -> usize {
        let fds = std::fs::read_dir("/proc/self/fd").unwrap();
        fds.flatten()
            .filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|path| path.starts_with(dir)))
            .count()
    }

    #[test]
    fn more_segments_than_descriptors_take_turns_and_what_is_held_stays_open() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::new(10);
        let descriptors: Vec<Arc<Descriptor>> = (0..100).map(|_| Arc::default()).collect();
        let get = |number: usize| {
            let path = dir.path().join(number.to_string());
            descriptors[number].file_in(&queue, || RealDisk.open(&path, Access::Write)).unwrap()
        };
        let dirty = get(0);
        for round in 0..3 {
            (1..100).for_each(|number| drop(get(number)));
            assert!(open_fds(dir.path()) <= 11, "round {round}: {} are open", open_fds(dir.path()));
            assert!(descriptors[0].is_open(), "a dirty file was closed");
        }
        assert!(Arc::ptr_eq(&dirty, &get(0)), "the handle that wrote is the one that syncs");
        assert!(!queue.is_too_long());
    }

    #[test]
    fn too_many_dirty_files_are_told_and_an_open_waits_for_a_sync() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::new(8);
        let descriptors: Vec<Arc<Descriptor>> = (0..11).map(|_| Arc::default()).collect();
        let get = |number: usize| {
            let path = dir.path().join(number.to_string());
            descriptors[number].file_in(&queue, || RealDisk.open(&path, Access::Write)).unwrap()
        };
        let mut dirty: Vec<_> = (0..10).map(get).collect();
        assert!(queue.is_too_long(), "they had better be flushed");
        let is_open = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                drop(get(10));
                is_open.store(1, Ordering::Release);
            });
            while queue.descriptors.lock().len() < 11 {
                std::thread::yield_now();
            }
            assert_eq!(is_open.load(Ordering::Acquire), 0, "nothing may close, and 11 are above 10");
            dirty.truncate(5);
            queue.synced.notify_all();
        });
        assert!(open_fds(dir.path()) <= 9, "{} are open", open_fds(dir.path()));
    }
}
