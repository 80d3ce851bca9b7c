//! A file system in memory that fails on command, mounted by FUSE from inside the test's own process.
//!
//! It knows, for every file and directory, what programs see and what a power cut would leave. A power cut is a
//! SIGKILL of the broker followed by `cut`: all that was not synced is gone, or torn. Rules make operations fail,
//! wait or crawl by path; a rule ends when its guard is dropped. Needs root and `/dev/fuse`: `FUSE` says so as any
//! missing tool does. Used by the `power_cut*` and `disk_*` tests. It judges durability: its own tests come first.

mod content;
mod crash;
mod faults;
mod names;
mod serve;
#[cfg(test)]
mod tests;
mod tree;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Duration;

use fuser::{BackgroundSession, Config, Errno, INodeNo, MountOption, ReplyEmpty, Session, SessionACL};

pub use crash::{Cut, Lost};
pub use faults::{Counters, Effect, Op, Rule};
pub use fuser::Errno as DiskError;

use crate::foreign::Tool;
use faults::Faults;
use tree::Tree;

/// FUSE's own threads: more than a broker has syncs at a time, so that a slow one keeps no other waiting.
const THREADS: usize = 8;

const NAME: &str = "logspine-faultfs";

/// What the tests need besides the broker.
pub const FUSE: Tool = Tool { name: "FUSE", probe: can_mount, get: "run as root where /dev/fuse is" };

/// Tried once, by mounting.
fn can_mount() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    let dir = std::env::temp_dir().join(format!("{NAME}-probe-{}", std::process::id()));
    *CAN.get_or_init(|| {
        let mounted = std::fs::create_dir_all(&dir).and_then(|()| FaultFs::mount(&dir));
        if let Err(error) = &mounted {
            println!("cannot mount: {error}");
        }
        let can_mount = mounted.is_ok();
        drop(mounted);
        let _ = std::fs::remove_dir(&dir);
        can_mount
    })
}

/// What FUSE's threads and the test share.
struct Shared {
    disk: Mutex<Disk>,
    /// Told when something is held, and when a rule ends.
    changed: Condvar,
}

struct Disk {
    tree: Tree,
    faults: Faults,
    /// Syncs that are held.
    held: Vec<(u64, ReplyEmpty)>,
    /// Held operations of other kinds, each in its thread.
    waiting: usize,
}

impl Disk {
    fn sync(&mut self, ino: u64) -> Result<(), Errno> {
        if self.faults.lies {
            self.faults.counters.lies += 1;
            return Ok(());
        }
        self.tree.sync(ino, false)
    }

    /// Answers held syncs, of one path or of all; done, or failed.
    fn release(&mut self, path: &str, fails: bool) {
        for (ino, reply) in std::mem::take(&mut self.held) {
            if !self.tree.path(ino).contains(path) {
                self.held.push((ino, reply));
                continue;
            }
            let synced = if fails { Err(Errno::EIO) } else { self.sync(ino) };
            match synced {
                Ok(()) => reply.ok(),
                Err(errno) => reply.error(errno),
            }
        }
    }
}

/// A mounted file system; unmounted when dropped.
pub struct FaultFs {
    shared: Arc<Shared>,
    session: Option<BackgroundSession>,
    mount_point: PathBuf,
}

impl FaultFs {
    /// Mounts an empty file system on an empty directory.
    pub fn mount(at: &Path) -> io::Result<FaultFs> {
        let disk = Disk { tree: Tree::new(), faults: Faults::default(), held: Vec::new(), waiting: 0 };
        let shared = Arc::new(Shared { disk: Mutex::new(disk), changed: Condvar::new() });
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName(NAME.to_owned())];
        config.acl = SessionACL::All;
        config.n_threads = Some(THREADS);
        config.clone_fd = true;
        let session = Session::new(serve::Served(Arc::clone(&shared)), at, &config)?.spawn()?;
        Ok(FaultFs { shared, session: Some(session), mount_point: at.to_path_buf() })
    }

    pub fn path(&self) -> &Path {
        &self.mount_point
    }

    fn disk(&self) -> std::sync::MutexGuard<'_, Disk> {
        self.shared.disk.lock().expect("no holder of the lock panics")
    }

    /// The power goes. Whoever wrote must be dead already, as a broker is after SIGKILL.
    pub fn cut(&self, cut: Cut) -> Lost {
        let mut disk = self.disk();
        disk.release("", true);
        crash::cut(&mut disk.tree, cut)
    }

    /// Every sync is answered and none is done, from now on.
    pub fn lie_about_syncs(&self, lies: bool) {
        self.disk().faults.lies = lies;
    }

    /// Leaves that much room for more from now on; `None` for plenty.
    pub fn leave_room(&self, bytes: Option<u64>) {
        self.disk().tree.leave_room(bytes);
    }

    /// Refuses every change with EROFS, from now on.
    pub fn read_only(&self, is_read_only: bool) {
        self.disk().faults.read_only = is_read_only;
    }

    /// Fails an operation on every path that contains `path`, until the guard is dropped.
    pub fn fail(&self, op: Op, path: &str, errno: Errno) -> RuleGuard<'_> {
        self.rule(Rule { op, path: path.to_owned(), effect: Effect::Fail(errno), times: None })
    }

    /// Holds every sync of matching paths; all of them end when the guard is dropped. A process that waits for one
    /// cannot even be killed: drop the guard before the broker.
    pub fn hold_syncs(&self, path: &str) -> RuleGuard<'_> {
        self.rule(Rule { op: Op::Sync, path: path.to_owned(), effect: Effect::Hold, times: None })
    }

    /// Holds every read of matching paths that asks the disk; all go on when the guard is dropped. As with syncs, drop it
    /// before the broker. At most as many as FUSE has threads.
    pub fn hold_reads(&self, path: &str) -> RuleGuard<'_> {
        self.rule(Rule { op: Op::Read, path: path.to_owned(), effect: Effect::Hold, times: None })
    }

    /// Any rule.
    pub fn rule(&self, rule: Rule) -> RuleGuard<'_> {
        let holds = (rule.effect == Effect::Hold).then(|| rule.path.clone());
        RuleGuard { disk: self, id: self.disk().faults.add(rule), holds }
    }

    /// Waits until `count` operations are held; false if that does not happen in time.
    pub fn wait_held(&self, count: usize, within: Duration) -> bool {
        let enough = |disk: &mut Disk| disk.held.len() + disk.waiting < count;
        let waited = self.shared.changed.wait_timeout_while(self.disk(), within, enough);
        waited.is_ok_and(|(_, timeout)| !timeout.timed_out())
    }

    /// Flips one bit of a file on the disk. Programs see it once the page is not in the kernel's cache.
    pub fn flip_bit(&self, path: &str, byte: u64, bit: u8) -> io::Result<()> {
        let (ino, flipped) = {
            let mut disk = self.disk();
            let ino = disk.tree.find(path).map_err(io_error)?;
            (ino, disk.tree.flip_bit(ino, byte, bit).map_err(io_error)?)
        };
        if !flipped {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{path} ends before {byte}")));
        }
        self.forget_cached(ino)
    }

    /// Has the kernel forget what it has cached of a file: the next read asks the disk.
    pub fn drop_cached(&self, path: &str) -> io::Result<()> {
        let ino = self.disk().tree.find(path).map_err(io_error)?;
        self.forget_cached(ino)
    }

    fn forget_cached(&self, ino: u64) -> io::Result<()> {
        let session = self.session.as_ref().expect("mounted until dropped");
        match session.notifier().inval_inode(INodeNo(ino), 0, 0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()), // Nothing of it is cached.
            done => done,
        }
    }

    /// What bit so far.
    pub fn counters(&self) -> Counters {
        self.disk().faults.counters
    }
}

impl Drop for FaultFs {
    fn drop(&mut self) {
        self.disk().release("", true);
        if let Some(session) = self.session.take()
            && let Err(error) = session.umount_and_join()
        {
            eprintln!("{} stays mounted: {error}", self.mount_point.display());
        }
    }
}

fn io_error(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.code())
}

/// A rule that holds until this is dropped.
#[must_use = "the rule ends when this is dropped"]
pub struct RuleGuard<'a> {
    disk: &'a FaultFs,
    id: u64,
    /// The path whose held syncs end with the rule.
    holds: Option<String>,
}

impl Drop for RuleGuard<'_> {
    fn drop(&mut self) {
        let mut disk = self.disk.disk();
        disk.faults.remove(self.id);
        if let Some(path) = &self.holds {
            disk.release(path, false);
        }
        self.disk.shared.changed.notify_all();
    }
}
