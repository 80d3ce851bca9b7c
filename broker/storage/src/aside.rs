//! Moving a file that cannot be read out of the way, so that nothing is destroyed and the next start finds it gone.
//!
//! The file keeps its bytes as `<name>.unreadable-<n>` in the same directory, with the first n that is free; nobody
//! reads it but people. Only files that can be rebuilt, or done without, are moved: a log is cut by recovery
//! alone, and what it cuts is kept by rules of its own.

use std::path::{Path, PathBuf};

use crate::disk::Disk;
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
    Ok(aside)
}
