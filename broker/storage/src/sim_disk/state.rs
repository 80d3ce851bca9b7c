//! What is on the simulated disk: inodes with a live and a durable side, and the operations pending in between.
//!
//! Rules of survival. A file: any subset of its pending writes, the last one perhaps in part, but nothing behind a
//! truncation that did not survive; a hole reads as zeros. A directory: a prefix of its pending changes, as a
//! journal keeps them; a rename is one change. A file whose name did not survive is gone, whatever was synced.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::Rng;
use crate::disk::Entry;

/// One operation, as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // The fields are what the operation is about.
pub enum Op {
    Create {
        dir: u64,
        name: String,
        inode: u64,
    },
    CreateDir {
        dir: u64,
        name: String,
        inode: u64,
    },
    Rename {
        dir: u64,
        from: String,
        to: String,
    },
    Remove {
        dir: u64,
        name: String,
    },
    SyncDir {
        inode: u64,
    },
    Write {
        inode: u64,
        position: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        inode: u64,
        len_bytes: u64,
    },
    SyncFile {
        inode: u64,
    },
    /// Drops the writes that are pending: live bytes stay, durable ones never come.
    FailedSync {
        inode: u64,
    },
}

#[derive(Debug, Clone)]
enum Change {
    Write { position: u64, bytes: Vec<u8> },
    Truncate { len_bytes: u64 },
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Truncate { len_bytes } => content.resize(*len_bytes as usize, 0),
            Change::Write { position, bytes } => {
                let end = *position as usize + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*position as usize..end].copy_from_slice(bytes);
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Naming {
    Link { name: String, inode: u64 },
    Unlink { name: String },
    Rename { from: String, to: String },
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Naming::Link { name, inode } => {
                names.insert(name.clone(), *inode);
            }
            Naming::Unlink { name } => {
                names.remove(name);
            }
            Naming::Rename { from, to } => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
struct File {
    live: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Clone, Default)]
struct Dir {
    live: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    pending: Vec<Naming>,
}

#[derive(Debug, Clone)]
enum Inode {
    File(File),
    Dir(Dir),
}

/// Everything on the disk.
#[derive(Debug)]
pub(super) struct State {
    inodes: BTreeMap<u64, Inode>,
    next: u64,
}

const ROOT: u64 = 0;

impl Default for State {
    fn default() -> State {
        State { inodes: BTreeMap::from([(ROOT, Inode::Dir(Dir::default()))]), next: 1 }
    }
}

impl State {
    pub fn next_inode(&self) -> u64 {
        self.next
    }

    fn dir_at(&self, inode: u64) -> io::Result<&Dir> {
        match self.inodes.get(&inode) {
            Some(Inode::Dir(dir)) => Ok(dir),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn file_at(&self, inode: u64) -> io::Result<&File> {
        match self.inodes.get(&inode) {
            Some(Inode::File(file)) => Ok(file),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    /// The inode of a directory.
    pub fn dir(&self, path: &Path) -> io::Result<u64> {
        let mut inode = ROOT;
        for component in path.components() {
            if let Component::Normal(name) = component {
                let name = name.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
                inode = self.lookup(inode, name)?.ok_or(io::ErrorKind::NotFound)?;
            }
        }
        self.dir_at(inode).map(|_| inode)
    }

    /// The directory that holds, or would hold, the last component of a path, and that component.
    pub fn parent(&self, path: &Path) -> io::Result<(u64, String)> {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidFilename)?;
        Ok((self.dir(path.parent().unwrap_or(Path::new("")))?, name.to_owned()))
    }

    pub fn lookup(&self, dir: u64, name: &str) -> io::Result<Option<u64>> {
        Ok(self.dir_at(dir)?.live.get(name).copied())
    }

    pub fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let dir = self.dir_at(self.dir(path)?)?;
        let entry = |(name, inode): (&String, &u64)| match &self.inodes[inode] {
            Inode::Dir(_) => Entry { name: name.clone(), is_dir: true, len_bytes: 0 },
            Inode::File(file) => {
                Entry { name: name.clone(), is_dir: false, len_bytes: file.live.len() as u64 }
            }
        };
        Ok(dir.live.iter().map(entry).collect())
    }

    pub fn file_len(&self, inode: u64) -> io::Result<u64> {
        Ok(self.file_at(inode)?.live.len() as u64)
    }

    pub fn read(&self, inode: u64, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let live = &self.file_at(inode)?.live;
        let rest = live.get(position as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Create { dir, name, inode } => self.create(*dir, name, *inode, Inode::File(File::default())),
            Op::CreateDir { dir, name, inode } => self.create(*dir, name, *inode, Inode::Dir(Dir::default())),
            Op::Rename { dir, from, to } => {
                self.rename(*dir, Naming::Rename { from: from.clone(), to: to.clone() })
            }
            Op::Remove { dir, name } => self.rename(*dir, Naming::Unlink { name: name.clone() }),
            Op::Write { inode, position, bytes } => {
                self.change(*inode, Change::Write { position: *position, bytes: bytes.clone() });
            }
            Op::Truncate { inode, len_bytes } => {
                self.change(*inode, Change::Truncate { len_bytes: *len_bytes })
            }
            Op::SyncDir { inode } => {
                if let Some(Inode::Dir(dir)) = self.inodes.get_mut(inode) {
                    dir.durable = dir.live.clone();
                    dir.pending.clear();
                }
            }
            Op::SyncFile { inode } => {
                if let Some(Inode::File(file)) = self.inodes.get_mut(inode) {
                    // Not simply the live content: what a failed sync dropped stays dropped.
                    for change in file.pending.drain(..) {
                        change.apply(&mut file.durable);
                    }
                }
            }
            Op::FailedSync { inode } => {
                if let Some(Inode::File(file)) = self.inodes.get_mut(inode) {
                    // Pages are dropped; a size that shrank is in the journal, which a data error does not undo.
                    file.pending.retain(|change| matches!(change, Change::Truncate { .. }));
                }
            }
        }
    }

    fn create(&mut self, dir: u64, name: &str, inode: u64, content: Inode) {
        self.next = self.next.max(inode + 1);
        self.inodes.insert(inode, content);
        self.rename(dir, Naming::Link { name: name.to_owned(), inode });
    }

    fn rename(&mut self, dir: u64, naming: Naming) {
        if let Some(Inode::Dir(dir)) = self.inodes.get_mut(&dir) {
            naming.apply(&mut dir.live);
            dir.pending.push(naming);
        }
    }

    fn change(&mut self, inode: u64, change: Change) {
        if let Some(Inode::File(file)) = self.inodes.get_mut(&inode) {
            change.apply(&mut file.live);
            file.pending.push(change);
        }
    }

    /// What a power cut leaves, by the rules above.
    pub fn crash(&self, rng: &mut Rng) -> State {
        let mut survived = State { inodes: BTreeMap::new(), next: self.next };
        let mut reachable = vec![ROOT];
        while let Some(inode) = reachable.pop() {
            let kept = match &self.inodes[&inode] {
                Inode::Dir(dir) => {
                    let mut names = dir.durable.clone();
                    let keep = rng.below(dir.pending.len() as u64 + 1) as usize;
                    dir.pending[..keep].iter().for_each(|naming| naming.apply(&mut names));
                    reachable.extend(names.values());
                    Inode::Dir(Dir { live: names.clone(), durable: names, pending: Vec::new() })
                }
                Inode::File(file) => {
                    let content = file.crash(rng);
                    Inode::File(File { live: content.clone(), durable: content, pending: Vec::new() })
                }
            };
            survived.inodes.insert(inode, kept);
        }
        survived
    }

    pub fn dump(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut dirs = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, inode)) = dirs.pop() {
            match &self.inodes[&inode] {
                Inode::Dir(dir) => {
                    dirs.extend(dir.live.iter().map(|(name, inode)| (path.join(name), *inode)))
                }
                Inode::File(file) => files.push((path, file.live.clone())),
            }
        }
        files.sort();
        files
    }
}

impl File {
    fn crash(&self, rng: &mut Rng) -> Vec<u8> {
        let mut content = self.durable.clone();
        let mode = rng.below(4);
        for (number, change) in self.pending.iter().enumerate() {
            let last = number + 1 == self.pending.len();
            let keep = match mode {
                0 => false,
                1 => true,
                _ => rng.percent(60),
            };
            match change {
                Change::Truncate { .. } if !keep => break,
                Change::Write { position, bytes } if last && mode != 0 && rng.percent(50) => {
                    let torn = bytes[..rng.below(bytes.len() as u64 + 1) as usize].to_vec();
                    Change::Write { position: *position, bytes: torn }.apply(&mut content);
                }
                _ if keep => change.apply(&mut content),
                _ => {}
            }
        }
        content
    }
}
