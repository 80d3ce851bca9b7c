//! The one seam between a log and a disk: what storage needs of a file system, and no more.
//!
//! `RealDisk` is Linux; `SimDisk` keeps, for bytes and for directory entries alike, what is pending apart from
//! what is durable. Contract: written bytes are durable after `sync_data` of their file, a name is durable
//! after `sync_dir` of its directory; a rename is atomic. Nothing else may be relied on.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

use crate::names;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Existing, for reading.
    Read,
    /// Existing, for reading and writing.
    Update,
    /// For reading and writing; created if absent.
    Write,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The last component of its path; names that are not UTF-8 are not listed (none of ours are).
    pub name: String,
    /// Directory or file.
    pub is_dir: bool,
    /// Size of a file.
    pub len_bytes: u64,
}

/// Space of the file system that holds a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Size.
    pub total_bytes: u64,
    /// What an unprivileged process may still take.
    pub available_bytes: u64,
}

/// Held until dropped.
pub trait DiskLock: Debug + Send + Sync {}

/// A file system.
pub trait Disk: Debug + Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>>;
    /// Creates one directory in an existing one; an existing directory is fine.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Moves a name within the same file system, replacing a file that has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name; open handles keep the bytes.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, sorted.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;
    /// The names alone, which may cost less: a start asks for those of thousands of directories.
    fn names(&self, path: &Path) -> io::Result<Vec<String>> {
        Ok(self.list(path)?.into_iter().map(|entry| entry.name).collect())
    }
    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Takes an exclusive lock on a file, created if absent; `None` if another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>>;
    /// How much room there is.
    fn space(&self, path: &Path) -> io::Result<Space>;
}

/// An open file; all operations name their position.
pub trait DiskFile: Debug + Send + Sync {
    /// Current size.
    fn len_bytes(&self) -> io::Result<u64>;
    /// Reads up to `buffer.len()` bytes; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes all of `slices` one after the other; on an error any part may have been written.
    fn write_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()>;
    /// Takes room for the bytes up to `len_bytes` from the file system without changing the file's size, so that writes
    /// need not look for it. A hint: whoever cannot does nothing. `truncate` gives back what is behind the end.
    fn allocate(&self, _position: u64, _len_bytes: u64) -> io::Result<()> {
        Ok(())
    }
    /// Cuts the file.
    fn truncate(&self, len_bytes: u64) -> io::Result<()>;
    /// fdatasync: bytes and size are durable when it returns.
    fn sync_data(&self) -> io::Result<()>;
    /// The descriptor for sendfile, if there is a real file behind.
    fn as_fd(&self) -> Option<BorrowedFd<'_>>;
    /// Whether a read of this range would not wait for the disk. A disk without a page cache never waits.
    fn is_resident(&self, _position: u64, _len: u64) -> bool {
        true
    }
    /// Drops a range from the page cache; a hint.
    fn evict(&self, _position: u64, _len: u64) {}
    /// From here on reads bring in what they ask for and nothing behind it; a hint.
    fn read_only_what_is_asked(&self) {}
}

/// Fills `buffer` or fails with `UnexpectedEof`.
pub fn read_exact_at(file: &dyn DiskFile, buffer: &mut [u8], position: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], position + done as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => done += count,
        }
    }
    Ok(())
}

/// The whole content of a small file; `None` if there is no such file.
pub fn read_file(disk: &dyn Disk, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut content = vec![0; file.len_bytes()? as usize];
    read_exact_at(&*file, &mut content, 0)?;
    Ok(Some(content))
}

/// Creates a directory with its parents and makes each new name durable.
pub fn create_dir_all(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    if disk.list(path).is_ok() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_dir_all(disk, parent)?;
        disk.create_dir(path)?;
        return disk.sync_dir(parent);
    }
    disk.create_dir(path)
}

/// Replaces a small file so that a crash leaves either the old or the new content: temporary file, sync, rename,
/// sync of the directory.
pub fn replace_file(disk: &dyn Disk, path: &Path, content: &[u8]) -> io::Result<()> {
    rename_new_content(disk, path, content)?;
    disk.sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// The same without the last step: until the directory is synced, a crash leaves the old content or the new.
pub(crate) fn rename_new_content(disk: &dyn Disk, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(names::TEMPORARY);
    let temporary = path.with_file_name(name);
    let file = disk.open(&temporary, Access::Write)?;
    file.truncate(0)?;
    file.write_at(&[IoSlice::new(content)], 0)?;
    file.sync_data()?;
    disk.rename(&temporary, path)
}
