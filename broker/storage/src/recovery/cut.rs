//! Cutting a tail that was never acknowledged, without destroying it: its bytes are moved aside first.
//!
//! The copy is `<base>.log.cut-<offset>-<n>`, with the first n that is free, in the same directory; nobody reads it
//! but people. Later segments, which continue what is no longer there, are renamed the same way. A crash in the
//! middle leaves a log that is cut again, at the same place.

use std::io::IoSlice;
use std::path::{Path, PathBuf};

use logspine_protocol::types::Offset;

use super::Found;
use crate::aside::{self, SetAside};
use crate::disk::{Access, read_exact_at};
use crate::error::{StorageError, io_at};
use crate::log::{OpenLog, Recovered};
use crate::names;
use crate::segment::Segment;

const COPY_BYTES: usize = 1 << 20;

/// Where a log stops being believed.
#[derive(Debug, Clone, Copy)]
pub(super) struct CutAt {
    /// Which of the segments.
    pub number: usize,
    /// Where in its file.
    pub position: u64,
    /// Whether it was the first to be scanned, so that it stays even if it is empty.
    pub keep_empty: bool,
}

/// Moves everything from there on aside. False: the segment went as a whole.
pub(super) fn tail(
    args: &OpenLog,
    dir: &Path,
    found: &Found,
    segment: &Segment,
    cut: CutAt,
    recovered: &mut Recovered,
) -> Result<bool, StorageError> {
    let CutAt { number, position, keep_empty } = cut;
    for (base, len_bytes) in found.logs[number + 1..].iter().rev() {
        aside_whole(args, dir, found, *base, *len_bytes, recovered)?;
    }
    let (base, len_bytes) = found.logs[number];
    if position == 0 && !keep_empty {
        aside_whole(args, dir, found, base, len_bytes, recovered)?;
        return Ok(false);
    }
    let file = segment.file()?;
    let path = segment.path(names::LOG);
    let target = free_name(dir, found, base, segment.end_offset());
    let copy = args.disk.open(&target, Access::Write).map_err(io_at("open", &target))?;
    let mut at = position;
    while at < len_bytes {
        let mut chunk = vec![0; COPY_BYTES.min((len_bytes - at) as usize)];
        read_exact_at(&*file, &mut chunk, at).map_err(io_at("read", &path))?;
        copy.write_at(&[IoSlice::new(&chunk)], at - position).map_err(io_at("write", &target))?;
        at += chunk.len() as u64;
    }
    copy.sync_data().map_err(io_at("sync", &target))?;
    args.disk.sync_dir(dir).map_err(io_at("sync", dir))?;
    file.truncate(position).map_err(io_at("truncate", &path))?;
    recovered.truncated_bytes += len_bytes - position;
    let reason = "a tail that no recovery point vouches for".to_owned();
    aside::note(SetAside { path, kept: target.clone(), position, reason });
    recovered.cut_files.push(target);
    Ok(true)
}

/// Renames a whole segment; its indexes go, they can be rebuilt.
pub(super) fn aside_whole(
    args: &OpenLog,
    dir: &Path,
    found: &Found,
    base: Offset,
    len_bytes: u64,
    recovered: &mut Recovered,
) -> Result<(), StorageError> {
    let path = names::segment_file(dir, base, names::LOG);
    if len_bytes == 0 {
        args.disk.remove_file(&path).map_err(io_at("remove", &path))?;
    } else {
        let target = free_name(dir, found, base, base);
        args.disk.rename(&path, &target).map_err(io_at("rename", &path))?;
        let reason = "a segment behind the end of the log".to_owned();
        aside::note(SetAside { path, kept: target.clone(), position: 0, reason });
        recovered.cut_files.push(target);
        recovered.truncated_bytes += len_bytes;
    }
    for suffix in [names::INDEX, names::TIME_INDEX, names::TXN_INDEX] {
        let path = names::segment_file(dir, base, suffix);
        match args.disk.remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io_at("remove", &path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn free_name(dir: &Path, found: &Found, base: Offset, offset: Offset) -> PathBuf {
    let name = |n: usize| format!("{:020}.log.cut-{offset}-{n}", base.0);
    let taken = |candidate: &String| found.names.contains(candidate);
    // At most one name for each file that is there.
    let free = (0..=found.names.len()).map(name).find(|candidate| !taken(candidate));
    dir.join(free.unwrap_or_else(|| name(found.names.len() + 1)))
}
