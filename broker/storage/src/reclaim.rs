//! Freeing the bytes of files that left a log, a piece at a time.
//!
//! Unlinking 1 GiB blocks for a quarter of a second, and whoever holds the last descriptor pays: so a file is cut
//! down in pieces first, by a thread that may wait, and only when no reader has it any more. Before the first cut its
//! new name is made durable; otherwise a power cut could bring back the old name over half of the bytes.
//! Made by retention, compaction, truncation and deletion; run by the shell's housekeeping, never under a lock.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use crate::disk::{Access, Disk, DiskFile};
use crate::error::{StorageError, io_at};

/// What one step frees at most: some 20 ms of a local disk.
pub const STEP_BYTES: u64 = 64 << 20;

/// A file, or the directory of a deleted partition, that waits for its unlink.
#[derive(Debug, Clone)]
pub struct Unlink {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    is_dir: bool,
    due_ms: i64,
    /// Open descriptors of it that readers may still hold.
    readers: Vec<Weak<dyn DiskFile>>,
    /// Whether the name is known to be durable.
    is_named: bool,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reclaimed {
    /// A reader still has the file; nothing was done.
    Held,
    /// A piece was freed and there is more.
    Piece,
    /// All of it is gone.
    All,
}

impl Unlink {
    /// A renamed file, to go at `due_ms` at the earliest.
    pub(crate) fn file(disk: &Arc<dyn Disk>, path: PathBuf, due_ms: i64) -> Unlink {
        Unlink { disk: disk.clone(), path, is_dir: false, due_ms, readers: Vec::new(), is_named: false }
    }

    /// A renamed directory with its files; it may go at once.
    pub fn dir(disk: &Arc<dyn Disk>, path: PathBuf) -> Unlink {
        Unlink { is_dir: true, ..Unlink::file(disk, path, 0) }
    }

    /// Waits for these readers.
    pub(crate) fn held_by(mut self, readers: impl IntoIterator<Item = Weak<dyn DiskFile>>) -> Unlink {
        self.readers.extend(readers);
        self
    }

    /// Where it lies now.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_due(&self, now_ms: i64) -> bool {
        self.due_ms <= now_ms
    }

    /// Frees one piece. Blocks; a file that is gone already is fine.
    pub fn step(&mut self) -> Result<Reclaimed, StorageError> {
        self.readers.retain(|reader| reader.strong_count() > 0);
        if !self.readers.is_empty() {
            return Ok(Reclaimed::Held);
        }
        if !self.is_dir {
            let path = self.path.clone();
            return Ok(if self.free_piece_of(&path)? { Reclaimed::All } else { Reclaimed::Piece });
        }
        let entries = self.disk.list(&self.path).map_err(io_at("list", &self.path))?;
        if let Some(first) = entries.first() {
            self.free_piece_of(&self.path.join(&first.name))?;
            return Ok(Reclaimed::Piece);
        }
        self.disk.remove_dir(&self.path).map_err(io_at("remove", &self.path))?;
        self.sync_parent()?;
        Ok(Reclaimed::All)
    }

    /// All steps at once, whoever reads.
    pub fn run(mut self) -> Result<(), StorageError> {
        self.readers.clear();
        while self.step()? != Reclaimed::All {}
        Ok(())
    }

    /// True when the file's name is gone.
    fn free_piece_of(&mut self, path: &Path) -> Result<bool, StorageError> {
        let file = match self.disk.open(path, Access::Update) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            opened => opened.map_err(io_at("open", path))?,
        };
        let len_bytes = file.len_bytes().map_err(io_at("measure", path))?;
        if len_bytes <= STEP_BYTES {
            self.disk.remove_file(path).map_err(io_at("remove", path))?;
            return Ok(true);
        }
        if !self.is_named {
            self.sync_parent()?;
            self.is_named = true;
        }
        file.truncate(len_bytes - STEP_BYTES).map_err(io_at("truncate", path))?;
        Ok(false)
    }

    fn sync_parent(&self) -> Result<(), StorageError> {
        let parent = self.path.parent().unwrap_or(Path::new("."));
        self.disk.sync_dir(parent).map_err(io_at("sync", parent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RealDisk;

    /// A sparse file of `mib` MiB.
    fn file(path: &Path, mib: u64) -> Arc<dyn DiskFile> {
        let file = RealDisk.open(path, Access::Write).unwrap();
        file.truncate(mib << 20).unwrap();
        file
    }

    #[test]
    fn a_large_file_goes_in_pieces_and_waits_for_its_reader() {
        let root = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let path = root.path().join("0.log.deleted");
        let reader = file(&path, 150);
        let mut unlink = Unlink::file(&disk, path.clone(), 0).held_by([Arc::downgrade(&reader)]);
        assert_eq!(unlink.step().unwrap(), Reclaimed::Held);
        assert_eq!(reader.len_bytes().unwrap(), 150 << 20, "a reader sees the whole file");
        drop(reader);
        let len = || std::fs::metadata(&path).map(|metadata| metadata.len() >> 20).ok();
        let mut seen = Vec::new();
        while unlink.step().unwrap() == Reclaimed::Piece {
            seen.push(len());
        }
        assert_eq!(seen, [Some(86), Some(22)]);
        assert_eq!(len(), None);
        assert_eq!(unlink.step().unwrap(), Reclaimed::All, "gone is fine");
    }

    #[test]
    fn a_directory_goes_with_its_files() {
        let root = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let dir = root.path().join("t-0.x-delete");
        std::fs::create_dir(&dir).unwrap();
        file(&dir.join("0.log"), 100);
        file(&dir.join("0.index"), 1);
        let mut unlink = Unlink::dir(&disk, dir.clone());
        let mut pieces = 0;
        while unlink.step().unwrap() == Reclaimed::Piece {
            pieces += 1;
        }
        assert_eq!(pieces, 3);
        assert!(!dir.exists());
    }
}
