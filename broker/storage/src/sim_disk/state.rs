//! What is on the simulated disk: inodes with a live and a durable side, and the operations pending in between.
//!
//! An `Op` is one thing that happened; a recording of them, applied again, gives the same disk. What a power cut
//! leaves of pending changes is decided in `survival.rs`. A sync that fails leaves on the disk what a cut at that
//! moment could have left and forgets the rest: the live bytes stay, and a later sync has nothing to write.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::{FaultCounts, Rng, survival};
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
    /// Forgets what is pending; `seed` says which part of it reached the disk.
    FailedSync {
        inode: u64,
        seed: u64,
    },
    /// Nothing happened, and an error was given: a name could not be made, changed or synced.
    Failed,
}

/// A change of a file's content.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Write { position: u64, bytes: Vec<u8> },
    Truncate { len_bytes: u64 },
}

impl Change {
    pub fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Truncate { len_bytes } => content.resize(*len_bytes as usize, 0),
            Change::Write { position, bytes } => {
                let end = self.end();
                if content.len() < end && !bytes.is_empty() {
                    content.resize(end, 0);
                }
                if !bytes.is_empty() {
                    content[*position as usize..end].copy_from_slice(bytes);
                }
            }
        }
    }

    /// The least size of a file after it.
    pub fn end(&self) -> usize {
        match self {
            Change::Write { position, bytes } => *position as usize + bytes.len(),
            Change::Truncate { len_bytes } => *len_bytes as usize,
        }
    }
}

/// A change of a directory; names are bound to inodes, so that a rename survives the loss of the creation.
#[derive(Debug, Clone)]
pub(super) enum Naming {
    Link { name: String, inode: u64 },
    Unlink { name: String },
    Rename { to: String, inode: u64 },
}

impl Naming {
    pub fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Naming::Link { name, inode } => {
                names.insert(name.clone(), *inode);
            }
            Naming::Unlink { name } => {
                names.remove(name);
            }
            // The inode moves: it has one name, even if the change that gave it `from` did not survive.
            Naming::Rename { to, inode } => {
                names.retain(|_, other| other != inode);
                names.insert(to.clone(), *inode);
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct File {
    pub live: Vec<u8>,
    pub durable: Vec<u8>,
    pub pending: Vec<Change>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Dir {
    pub live: BTreeMap<String, u64>,
    pub durable: BTreeMap<String, u64>,
    pub pending: Vec<Naming>,
}

#[derive(Debug, Clone)]
enum Inode {
    File(File),
    Dir(Dir),
}

/// Everything on the disk.
#[derive(Debug, Clone)]
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

    fn file_mut(&mut self, inode: u64) -> Option<&mut File> {
        match self.inodes.get_mut(&inode) {
            Some(Inode::File(file)) => Some(file),
            _ => None,
        }
    }

    fn dir_mut(&mut self, inode: u64) -> Option<&mut Dir> {
        match self.inodes.get_mut(&inode) {
            Some(Inode::Dir(dir)) => Some(dir),
            _ => None,
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
                if let Ok(Some(inode)) = self.lookup(*dir, from) {
                    self.rename(*dir, Naming::Rename { to: to.clone(), inode });
                }
            }
            Op::Remove { dir, name } => self.rename(*dir, Naming::Unlink { name: name.clone() }),
            Op::Write { inode, position, bytes } => {
                self.change(*inode, Change::Write { position: *position, bytes: bytes.clone() });
            }
            Op::Truncate { inode, len_bytes } => {
                self.change(*inode, Change::Truncate { len_bytes: *len_bytes })
            }
            Op::SyncDir { inode } => {
                if let Some(dir) = self.dir_mut(*inode) {
                    dir.durable = dir.live.clone();
                    dir.pending.clear();
                }
            }
            Op::SyncFile { inode } => {
                if let Some(file) = self.file_mut(*inode) {
                    // Not simply the live content: what a failed sync dropped stays dropped.
                    for change in file.pending.drain(..) {
                        change.apply(&mut file.durable);
                    }
                }
            }
            Op::FailedSync { inode, seed } => {
                if let Some(file) = self.file_mut(*inode) {
                    // Counted as a failed sync.
                    let counts = &mut FaultCounts::default();
                    file.durable = survival::of_file(file, &mut Rng::new(*seed), counts);
                    file.pending.clear();
                }
            }
            Op::Failed => {}
        }
    }

    fn create(&mut self, dir: u64, name: &str, inode: u64, content: Inode) {
        self.next = self.next.max(inode + 1);
        self.inodes.insert(inode, content);
        self.rename(dir, Naming::Link { name: name.to_owned(), inode });
    }

    fn rename(&mut self, dir: u64, naming: Naming) {
        if let Some(dir) = self.dir_mut(dir) {
            naming.apply(&mut dir.live);
            dir.pending.push(naming);
        }
    }

    fn change(&mut self, inode: u64, change: Change) {
        if let Some(file) = self.file_mut(inode) {
            change.apply(&mut file.live);
            file.pending.push(change);
        }
    }

    /// Changes a file behind everybody's back, live and durable alike: rot, not a write.
    pub fn damage(&mut self, inode: u64, damage: impl FnOnce(&mut Vec<u8>)) {
        if let Some(file) = self.file_mut(inode) {
            damage(&mut file.live);
            file.durable = file.live.clone();
            file.pending.clear();
        }
    }

    /// What a power cut leaves.
    pub fn crash(&self, rng: &mut Rng, counts: &mut FaultCounts) -> State {
        counts.power_cuts += 1;
        let mut survived = State { inodes: BTreeMap::new(), next: self.next };
        let mut reachable = vec![ROOT];
        while let Some(inode) = reachable.pop() {
            let kept = match &self.inodes[&inode] {
                Inode::Dir(dir) => {
                    let names = survival::of_dir(dir, rng, counts);
                    reachable.extend(names.values());
                    Inode::Dir(Dir { live: names.clone(), durable: names, pending: Vec::new() })
                }
                Inode::File(file) => {
                    let content = survival::of_file(file, rng, counts);
                    Inode::File(File { live: content.clone(), durable: content, pending: Vec::new() })
                }
            };
            survived.inodes.insert(inode, kept);
        }
        survived
    }

    /// The live content as if everything had been synced.
    pub fn settled(&self) -> State {
        let mut settled = self.clone();
        for inode in settled.inodes.values_mut() {
            match inode {
                Inode::Dir(dir) => {
                    (dir.durable, dir.pending) = (dir.live.clone(), Vec::new());
                }
                Inode::File(file) => {
                    (file.durable, file.pending) = (file.live.clone(), Vec::new());
                }
            }
        }
        settled
    }

    /// Every file with its live content.
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
