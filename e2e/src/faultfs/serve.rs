//! FUSE's questions, answered by the tree after the faults had their say.
//!
//! Thin: each method takes the lock, asks `Faults`, asks `Tree`, replies. A held sync keeps its reply in `held`
//! and no thread. Nothing is cached by time, so that after a power cut the kernel asks for everything anew; pages
//! are cached as on any disk, and dropped when a file is opened.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenAccMode, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::content::{Content, PAGE_BYTES};
use super::faults::{Effect, Op};
use super::names::Names;
use super::tree::Body;
use super::{Disk, Shared};

const NOT_CACHED: Duration = Duration::ZERO;
const FALLOC_FL_KEEP_SIZE: i32 = 1;

/// The file system as FUSE sees it.
pub struct Served(pub Arc<Shared>);

type Answer<T> = Result<T, Errno>;

impl Served {
    /// Lets the faults have their say, waits if they want that, and then acts.
    fn act<T>(&self, op: Op, ino: u64, bytes: u64, act: impl FnOnce(&mut Disk) -> Answer<T>) -> Answer<T> {
        let mut disk = self.0.disk.lock().expect("no holder of the lock panics");
        let path = disk.tree.path(ino);
        let pause = match disk.faults.meet(op, &path) {
            Some(Effect::Fail(errno)) => return Err(errno),
            Some(Effect::Delay(pause)) => pause,
            Some(Effect::BytesPerSecond(rate)) => Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64),
            Some(Effect::Hold) => {
                disk.waiting += 1;
                self.0.changed.notify_all();
                let is_held = |disk: &mut Disk| disk.faults.holds(op, &path);
                disk = self.0.changed.wait_while(disk, is_held).expect("no holder of the lock panics");
                disk.waiting -= 1;
                Duration::ZERO
            }
            None => Duration::ZERO,
        };
        if !pause.is_zero() {
            drop(disk);
            std::thread::sleep(pause);
            disk = self.0.disk.lock().expect("no holder of the lock panics");
        }
        act(&mut disk)
    }

    fn look<T>(&self, look: impl FnOnce(&mut Disk) -> Answer<T>) -> Answer<T> {
        look(&mut self.0.disk.lock().expect("no holder of the lock panics"))
    }

    fn make(&self, parent: INodeNo, name: &OsStr, body: Body) -> Answer<FileAttr> {
        let name = text(name)?;
        self.act(Op::Names, parent.0, 0, |disk| {
            let ino = disk.tree.create(parent.0, name, body)?;
            disk.tree.remember(ino);
            attributes(disk, ino)
        })
    }

    fn sync(&self, ino: INodeNo, reply: ReplyEmpty) {
        let mut disk = self.0.disk.lock().expect("no holder of the lock panics");
        let path = disk.tree.path(ino.0);
        let pause = match disk.faults.meet(Op::Sync, &path) {
            Some(Effect::Hold) => {
                disk.held.push((ino.0, reply));
                return self.0.changed.notify_all();
            }
            Some(Effect::Fail(errno)) => {
                let _ = disk.tree.sync(ino.0, true);
                return reply.error(errno);
            }
            Some(Effect::Delay(pause)) => pause,
            Some(Effect::BytesPerSecond(_)) | None => Duration::ZERO,
        };
        if !pause.is_zero() {
            drop(disk);
            std::thread::sleep(pause);
            disk = self.0.disk.lock().expect("no holder of the lock panics");
        }
        let synced = disk.sync(ino.0);
        drop(disk);
        empty(synced, reply);
    }
}

fn text(name: &OsStr) -> Answer<&str> {
    name.to_str().ok_or(Errno::EINVAL)
}

fn empty(answer: Answer<()>, reply: ReplyEmpty) {
    match answer {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

fn entry(answer: Answer<FileAttr>, reply: ReplyEntry) {
    match answer {
        Ok(attr) => reply.entry(&NOT_CACHED, &attr, Generation(0)),
        Err(errno) => reply.error(errno),
    }
}

fn attributes(disk: &Disk, ino: u64) -> Answer<FileAttr> {
    let (kind, size, taken) = match &disk.tree.inode(ino)?.body {
        Body::File(content) => (FileType::RegularFile, content.len(), content.taken()),
        Body::Dir(_) => (FileType::Directory, 0, 0),
    };
    let now = UNIX_EPOCH;
    Ok(FileAttr {
        ino: INodeNo(ino),
        size,
        blocks: taken.div_ceil(512),
        atime: now,
        mtime: now,
        ctime: now,
        crtime: now,
        kind,
        perm: 0o755,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: PAGE_BYTES as u32,
        flags: 0,
    })
}

impl Filesystem for Served {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = text(name).and_then(|name| {
            self.look(|disk| {
                let ino = disk.tree.lookup(parent.0, name)?;
                disk.tree.remember(ino);
                attributes(disk, ino)
            })
        });
        entry(found, reply);
    }

    fn forget(&self, _: &Request, ino: INodeNo, count: u64) {
        let _ = self.look(|disk| {
            disk.tree.forget(ino.0, count);
            Ok(())
        });
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.look(|disk| attributes(disk, ino.0)) {
            Ok(attr) => reply.attr(&NOT_CACHED, &attr),
            Err(errno) => reply.error(errno),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = self.act(Op::Write, ino.0, 0, |disk| {
            if let Some(size) = size {
                disk.tree.set_len(ino.0, size)?;
            }
            attributes(disk, ino.0)
        });
        match set {
            Ok(attr) => reply.attr(&NOT_CACHED, &attr),
            Err(errno) => reply.error(errno),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        entry(self.make(parent, name, Body::Dir(Names::default())), reply);
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        match self.make(parent, name, Body::File(Content::default())) {
            Ok(attr) => {
                reply.created(&NOT_CACHED, &attr, Generation(0), FileHandle(0), FopenFlags::empty());
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = text(name)
            .and_then(|name| self.act(Op::Names, parent.0, 0, |disk| disk.tree.unlink(parent.0, name)));
        empty(done, reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = text(name)
            .and_then(|name| self.act(Op::Names, parent.0, 0, |disk| disk.tree.rmdir(parent.0, name)));
        empty(done, reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let done = text(name).and_then(|from| {
            let to = text(new_name)?;
            self.act(Op::Names, parent.0, 0, |disk| disk.tree.rename(parent.0, from, new_parent.0, to))
        });
        empty(done, reply);
    }

    /// A read-only file system is noticed here, as the kernel's own would.
    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let refused = self.look(|disk| {
            let writes = flags.acc_mode() != OpenAccMode::O_RDONLY;
            if writes && disk.faults.read_only {
                Err(Errno::EROFS)
            } else {
                disk.tree.file(ino.0).map(|_| ())
            }
        });
        match refused {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let size = u64::from(size);
        match self.act(Op::Read, ino.0, size, |disk| Ok(disk.tree.file(ino.0)?.read(offset, size).to_vec())) {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(errno),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let wanted = data.len();
        let written = self.act(Op::Write, ino.0, wanted as u64, |disk| {
            let written = disk.tree.write(ino.0, offset, data);
            disk.faults.counters.full += u64::from(written != Ok(wanted));
            written
        });
        match written {
            Ok(written) => reply.written(written as u32),
            Err(errno) => reply.error(errno),
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let keeps_size = mode == FALLOC_FL_KEEP_SIZE;
        if mode != 0 && !keeps_size {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let done =
            self.act(Op::Write, ino.0, 0, |disk| disk.tree.allocate(ino.0, offset + length, keeps_size));
        empty(done, reply);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok(); // Closing makes nothing durable.
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(ino, reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(ino, reply);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = self.look(|disk| {
            let names = disk.tree.dir(ino.0)?.seen().clone();
            Ok(names
                .into_iter()
                .map(|(name, ino)| (ino, disk.tree.file(ino).is_ok(), name))
                .collect::<Vec<_>>())
        });
        let names = match listed {
            Ok(names) => names,
            Err(errno) => return reply.error(errno),
        };
        let dots = [(ino.0, false, ".".to_owned()), (ino.0, false, "..".to_owned())];
        for (next, (ino, is_file, name)) in (1..).zip(dots.into_iter().chain(names)).skip(offset as usize) {
            let kind = if is_file { FileType::RegularFile } else { FileType::Directory };
            if reply.add(INodeNo(ino), next, kind, &name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let room = self.look(|disk| Ok((disk.tree.capacity(), disk.tree.free())));
        let (total, free) = room.unwrap_or_default();
        let block = PAGE_BYTES;
        reply.statfs(
            total / block,
            free / block,
            free / block,
            1 << 20,
            1 << 20,
            block as u32,
            255,
            block as u32,
        );
    }
}
