//! Moving a file that cannot be read out of the way, so that nothing is destroyed and the next start finds it gone.
//!
//! The file keeps its bytes as `<name>.unreadable-<n>` in the same directory, with the first n that is free; nobody
//! reads it but people. Only files that can be rebuilt, or done without, are moved: a log is cut by recovery
//! alone, and what it cuts is kept by rules of its own. What was moved since the process started is listed here,
//! for `/status` and metrics. Cannot be read: its bytes make no sense, or this very file refuses to be opened or
//! read. Want of memory or of descriptors says nothing about a file, and moves none.

use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::disk::{self, Disk};
use crate::error::{StorageError, io_at};

/// A file that was moved out of the way, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Where it was.
    pub path: PathBuf,
    /// Where its bytes are.
    pub kept: PathBuf,
    /// The first byte that cannot be read.
    pub position: u64,
    /// What stands there.
    pub reason: String,
}

/// Between the file's name and a number.
pub(crate) const SUFFIX: &str = ".unreadable-";

/// The list names so many; more are counted.
const LISTED_MAX: usize = 64;

/// One for the process, as its log is: files are moved at a start, hardly ever later.
static MOVED: Mutex<(u64, Vec<SetAside>)> = Mutex::new((0, Vec::new()));

/// How many files this process moved aside, and the first of them.
pub fn moved() -> (u64, Vec<SetAside>) {
    MOVED.lock().clone()
}

/// Adds to what `moved` tells; recovery does for the tails that it cuts.
pub(crate) fn note(aside: SetAside) {
    let mut moved = MOVED.lock();
    moved.0 += 1;
    if moved.1.len() < LISTED_MAX {
        moved.1.push(aside);
    }
}

/// Moves the file. The name is durable with the directory's next sync; until then a crash moves it again.
pub fn move_aside(
    disk: &dyn Disk,
    path: &Path,
    position: u64,
    reason: impl Into<String>,
) -> Result<SetAside, StorageError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let names = disk.list(dir).map_err(io_at("list", dir))?;
    let candidate = |number: usize| format!("{name}{SUFFIX}{number}");
    // At most one name for each file that is there.
    let free = (0..=names.len()).map(candidate).find(|free| names.iter().all(|entry| entry.name != *free));
    let kept = dir.join(free.unwrap_or_else(|| candidate(names.len() + 1)));
    disk.rename(path, &kept).map_err(io_at("set aside", path))?;
    let aside = SetAside { path: path.to_path_buf(), kept, position, reason: reason.into() };
    tracing::warn!(
        path = %aside.path.display(), kept = %aside.kept.display(), position, reason = aside.reason,
        "a file cannot be read; it is set aside, and what it told is rebuilt"
    );
    note(aside.clone());
    Ok(aside)
}

/// The content of a small file, `None` if it is not there; one that cannot be read is moved aside, and is not there.
pub(crate) fn read_or_move(
    disk: &dyn Disk,
    path: &Path,
) -> Result<(Option<Vec<u8>>, Option<SetAside>), StorageError> {
    match disk::read_file(disk, path) {
        Ok(content) => Ok((content, None)),
        Err(error) if is_the_files(&error) => Ok((None, Some(move_aside(disk, path, 0, error.to_string())?))),
        Err(error) => Err(io_at("read", path)(error)),
    }
}

/// Whether an error says something about the file that was opened or read, not about the process or the machine.
pub(crate) fn is_the_files(error: &io::Error) -> bool {
    use io::ErrorKind as E;
    const EIO: i32 = 5;
    matches!(error.kind(), E::PermissionDenied | E::IsADirectory | E::UnexpectedEof | E::InvalidData)
        || error.raw_os_error() == Some(EIO)
}
