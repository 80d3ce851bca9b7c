//! The file system without FUSE: inodes, names, bytes and room, with POSIX's answers.
//!
//! Invariants: `taken` is the room of all files that have a name; an inode lives as long as a name, durable or not,
//! or the kernel knows it. Renames stay in one directory (EXDEV otherwise): nobody needs more, and a crash between
//! two directories would need a rule of its own. Called by `serve.rs` under its lock; `crash.rs` takes it apart.

use std::collections::{BTreeMap, BTreeSet};

use fuser::Errno;

use super::content::Content;
use super::names::Names;

/// The mount point.
pub const ROOT: u64 = 1;

/// What an inode is.
#[derive(Debug)]
pub enum Body {
    File(Content),
    Dir(Names),
}

/// One file or directory.
#[derive(Debug)]
pub struct Inode {
    pub body: Body,
    /// Where it stands now, for rules about paths; the last place once it has no name.
    place: (u64, String),
    /// How often the kernel was told of it and has not forgotten it.
    lookups: u64,
}

/// All of it.
#[derive(Debug)]
pub struct Tree {
    inodes: BTreeMap<u64, Inode>,
    next: u64,
    taken: u64,
    capacity: Option<u64>,
    /// Inodes after the last sweep.
    swept_to: usize,
}

type Result<T> = std::result::Result<T, Errno>;

impl Tree {
    pub fn new() -> Tree {
        let root = Inode { body: Body::Dir(Names::default()), place: (0, String::new()), lookups: 1 };
        Tree { inodes: [(ROOT, root)].into(), next: ROOT + 1, taken: 0, capacity: None, swept_to: 1 }
    }

    pub fn inode(&self, ino: u64) -> Result<&Inode> {
        self.inodes.get(&ino).ok_or(Errno::ENOENT)
    }

    pub fn inodes_mut(&mut self) -> impl Iterator<Item = (u64, &mut Inode)> {
        self.inodes.iter_mut().map(|(ino, inode)| (*ino, inode))
    }

    pub fn file(&self, ino: u64) -> Result<&Content> {
        match &self.inode(ino)?.body {
            Body::File(content) => Ok(content),
            Body::Dir(_) => Err(Errno::EISDIR),
        }
    }

    fn file_mut(&mut self, ino: u64) -> Result<&mut Content> {
        match &mut self.inodes.get_mut(&ino).ok_or(Errno::ENOENT)?.body {
            Body::File(content) => Ok(content),
            Body::Dir(_) => Err(Errno::EISDIR),
        }
    }

    pub fn dir(&self, ino: u64) -> Result<&Names> {
        match &self.inode(ino)?.body {
            Body::Dir(names) => Ok(names),
            Body::File(_) => Err(Errno::ENOTDIR),
        }
    }

    fn dir_mut(&mut self, ino: u64) -> Result<&mut Names> {
        match &mut self.inodes.get_mut(&ino).ok_or(Errno::ENOENT)?.body {
            Body::Dir(names) => Ok(names),
            Body::File(_) => Err(Errno::ENOTDIR),
        }
    }

    /// From the mount point, without a slash in front.
    pub fn path(&self, ino: u64) -> String {
        let mut parts = Vec::new();
        let mut at = ino;
        while let Some(inode) = self.inodes.get(&at).filter(|_| at != ROOT) {
            parts.push(inode.place.1.as_str());
            at = inode.place.0;
        }
        parts.reverse();
        parts.join("/")
    }

    pub fn find(&self, path: &str) -> Result<u64> {
        path.split('/').filter(|part| !part.is_empty()).try_fold(ROOT, |at, name| self.lookup(at, name))
    }

    pub fn lookup(&self, parent: u64, name: &str) -> Result<u64> {
        self.dir(parent)?.get(name).ok_or(Errno::ENOENT)
    }

    /// The kernel was told of an inode.
    pub fn remember(&mut self, ino: u64) {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.lookups += 1;
        }
    }

    pub fn forget(&mut self, ino: u64, count: u64) {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.lookups = inode.lookups.saturating_sub(count);
        }
    }

    pub fn create(&mut self, parent: u64, name: &str, body: Body) -> Result<u64> {
        let ino = self.next;
        let dir = self.dir_mut(parent)?;
        if dir.get(name).is_some() {
            return Err(Errno::EEXIST);
        }
        dir.link(name, ino);
        self.next += 1;
        self.inodes.insert(ino, Inode { body, place: (parent, name.to_owned()), lookups: 0 });
        Ok(ino)
    }

    pub fn unlink(&mut self, parent: u64, name: &str) -> Result<()> {
        let ino = self.lookup(parent, name)?;
        let freed = self.file(ino)?.taken();
        self.dir_mut(parent)?.unlink(name);
        self.taken -= freed;
        self.sweep();
        Ok(())
    }

    pub fn rmdir(&mut self, parent: u64, name: &str) -> Result<()> {
        let ino = self.lookup(parent, name)?;
        if !self.dir(ino)?.seen().is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.dir_mut(parent)?.unlink(name);
        self.sweep();
        Ok(())
    }

    pub fn rename(&mut self, parent: u64, from: &str, new_parent: u64, to: &str) -> Result<()> {
        if parent != new_parent {
            return Err(Errno::EXDEV);
        }
        let ino = self.lookup(parent, from)?;
        match self.lookup(parent, to).map(|over| (over, self.inode(over))) {
            Ok((over, _)) if over == ino => return Ok(()),
            Ok((_, Ok(Inode { body: Body::File(content), .. }))) => self.taken -= content.taken(),
            Ok((_, Ok(Inode { body: Body::Dir(names), .. }))) if !names.seen().is_empty() => {
                return Err(Errno::ENOTEMPTY);
            }
            _ => {}
        }
        self.dir_mut(parent)?.rename(from, to);
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.place.1 = to.to_owned();
        }
        self.sweep();
        Ok(())
    }

    /// Writes as much as there is room for: a short write on a disk that becomes full, ENOSPC on a full one.
    pub fn write(&mut self, ino: u64, offset: u64, data: &[u8]) -> Result<usize> {
        let end = offset + data.len() as u64;
        let fits = self.grow(ino, end)?.saturating_sub(offset);
        let written = (data.len() as u64).min(fits) as usize;
        if written == 0 && !data.is_empty() {
            return Err(Errno::ENOSPC);
        }
        self.file_mut(ino)?.write(offset, &data[..written]);
        Ok(written)
    }

    pub fn set_len(&mut self, ino: u64, len: u64) -> Result<()> {
        // A hole takes no room, but nobody here makes one larger than the disk.
        if self.grow(ino, len)? < len {
            return Err(Errno::ENOSPC);
        }
        let before = self.file(ino)?.taken();
        let file = self.file_mut(ino)?;
        file.set_len(len);
        file.set_allocated(len);
        self.taken = self.taken - before + len;
        Ok(())
    }

    /// fallocate: all of it or nothing.
    pub fn allocate(&mut self, ino: u64, end: u64, keeps_size: bool) -> Result<()> {
        let before = self.file(ino)?.taken();
        if self.grow(ino, end)? < end {
            let after = self.file(ino)?.taken();
            self.file_mut(ino)?.set_allocated(before);
            self.taken -= after - before;
            return Err(Errno::ENOSPC);
        }
        if !keeps_size && self.file(ino)?.len() < end {
            self.file_mut(ino)?.set_len(end);
        }
        Ok(())
    }

    /// Takes room for a file up to `end` as far as there is any; returns up to where it has room.
    fn grow(&mut self, ino: u64, end: u64) -> Result<u64> {
        let has = self.file(ino)?.taken();
        let wants = end.saturating_sub(has);
        let grows = wants.min(self.free());
        if grows > 0 {
            self.file_mut(ino)?.set_allocated(has + grows);
            self.taken += grows;
        }
        Ok(has + grows)
    }

    /// Bytes that may still be taken.
    pub fn free(&self) -> u64 {
        self.capacity().saturating_sub(self.taken)
    }

    /// All the room there is.
    pub fn capacity(&self) -> u64 {
        const ROOMY: u64 = 1 << 40;
        self.capacity.unwrap_or(ROOMY)
    }

    /// Leaves that much room from now on; `None` for plenty.
    pub fn leave_room(&mut self, bytes: Option<u64>) {
        self.capacity = bytes.map(|bytes| self.taken + bytes);
    }

    /// Makes a file's bytes or a directory's names durable, or pretends to have tried (`fails`).
    pub fn sync(&mut self, ino: u64, fails: bool) -> Result<()> {
        match (&mut self.inodes.get_mut(&ino).ok_or(Errno::ENOENT)?.body, fails) {
            (Body::File(content), false) => content.sync(),
            (Body::File(content), true) => content.forget_dirty(),
            (Body::Dir(names), false) => names.sync(),
            (Body::Dir(names), true) => names.forget_pending(),
        }
        Ok(())
    }

    pub fn flip_bit(&mut self, ino: u64, byte: u64, bit: u8) -> Result<bool> {
        Ok(self.file_mut(ino)?.flip_bit(byte, bit))
    }

    /// After a power cut: names, places and room anew, from what is left.
    pub fn rebuild(&mut self) {
        let links: Vec<(u64, u64, String)> = self
            .inodes
            .iter()
            .filter_map(|(dir, inode)| match &inode.body {
                Body::Dir(names) => Some((*dir, names)),
                Body::File(_) => None,
            })
            .flat_map(|(dir, names)| names.seen().iter().map(move |(name, ino)| (*ino, dir, name.clone())))
            .collect();
        self.taken = 0;
        for (ino, dir, name) in links {
            if let Some(inode) = self.inodes.get_mut(&ino) {
                inode.place = (dir, name);
                if let Body::File(content) = &inode.body {
                    self.taken += content.taken();
                }
            }
        }
    }

    /// Frees inodes that nothing leads to, once there are many.
    fn sweep(&mut self) {
        const SPARE: usize = 256;
        if self.inodes.len() < 2 * self.swept_to + SPARE {
            return;
        }
        let mut known: BTreeSet<u64> = [ROOT].into();
        for inode in self.inodes.values() {
            if let Body::Dir(names) = &inode.body {
                known.extend(names.knows());
            }
        }
        self.inodes.retain(|ino, inode| inode.lookups > 0 || known.contains(ino));
        self.swept_to = self.inodes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(bytes: &[u8]) -> (Tree, u64) {
        let mut tree = Tree::new();
        let dir = tree.create(ROOT, "d", Body::Dir(Names::default())).unwrap();
        let ino = tree.create(dir, "f", Body::File(Content::default())).unwrap();
        assert_eq!(tree.write(ino, 0, bytes).unwrap(), bytes.len());
        (tree, ino)
    }

    #[test]
    fn a_disk_that_becomes_full_takes_a_part_and_then_nothing_until_there_is_room() {
        let (mut tree, ino) = with_file(b"12345");
        tree.leave_room(Some(3));
        assert_eq!(tree.write(ino, 5, b"67890"), Ok(3));
        assert_eq!(tree.write(ino, 8, b"90"), Err(Errno::ENOSPC));
        assert_eq!(tree.write(ino, 0, b"abc"), Ok(3), "overwriting takes no room");
        tree.leave_room(None);
        assert_eq!(tree.write(ino, 8, b"90"), Ok(2));
        assert_eq!(tree.file(ino).unwrap().read(0, 100), b"abc4567890");
    }

    #[test]
    fn room_comes_back_by_truncation_by_unlinking_and_by_renaming_over() {
        let (mut tree, ino) = with_file(b"12345");
        let dir = tree.find("d").unwrap();
        tree.leave_room(Some(0));
        tree.set_len(ino, 2).unwrap();
        assert_eq!(tree.free(), 3);
        let other = tree.create(dir, "g", Body::File(Content::default())).unwrap();
        assert_eq!(tree.write(other, 0, b"abcd"), Ok(3));
        tree.rename(dir, "g", dir, "f").unwrap();
        assert_eq!(tree.free(), 2);
        tree.unlink(dir, "f").unwrap();
        assert_eq!(tree.free(), 5);
    }

    #[test]
    fn room_taken_ahead_is_given_all_or_not_at_all() {
        let (mut tree, ino) = with_file(b"12345");
        tree.leave_room(Some(10));
        assert_eq!(tree.allocate(ino, 16, true), Err(Errno::ENOSPC));
        assert_eq!(tree.free(), 10);
        tree.allocate(ino, 15, true).unwrap();
        assert_eq!((tree.free(), tree.file(ino).unwrap().len()), (0, 5));
        assert_eq!(tree.write(ino, 5, &[0; 10]), Ok(10));
    }

    #[test]
    fn paths_follow_renames_and_names_that_are_taken_are_refused() {
        let (mut tree, ino) = with_file(b"");
        let dir = tree.find("d").unwrap();
        tree.rename(dir, "f", dir, "g").unwrap();
        assert_eq!(tree.path(ino), "d/g");
        assert_eq!(tree.rename(dir, "g", ROOT, "g"), Err(Errno::EXDEV));
        assert_eq!(tree.create(dir, "g", Body::Dir(Names::default())), Err(Errno::EEXIST));
        assert_eq!(tree.rmdir(ROOT, "d"), Err(Errno::ENOTEMPTY));
    }

    #[test]
    fn an_inode_that_a_power_cut_may_bring_back_is_kept() {
        let (mut tree, ino) = with_file(b"1");
        let dir = tree.find("d").unwrap();
        tree.sync(dir, false).unwrap();
        tree.unlink(dir, "f").unwrap();
        for number in 0..1000 {
            let name = number.to_string();
            tree.create(dir, &name, Body::File(Content::default())).unwrap();
            tree.unlink(dir, &name).unwrap();
        }
        assert!(tree.file(ino).is_ok());
    }
}
