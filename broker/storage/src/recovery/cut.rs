//! Cutting a tail that was never acknowledged, without destroying it: its bytes are moved aside first.
//!
//! The copy is `<base>.log.cut-<offset>-<n>`, with the first n that is free, in the same directory; nobody reads it
//! but people. Later segments, which continue what is no longer there, are renamed the same way. A crash in the
//! middle leaves a log that is cut again, at the same place.

use std::io::IoSlice;
use std::path::{Path, PathBuf};

use logspine_protocol::types::Offset;

use super::Found;
use crate::disk::{Access, read_exact_at};
use crate::error::{StorageError, io_at};
use crate::log::{OpenLog, Recovered};
use crate::names;
use crate::segment::Segment;

const COPY_BYTES: usize = 1 << 20;

/// Moves everything from `position` of the `number`-th segment on aside. False: nothing of that segment is left
/// and it is not the log's only one.
pub(super) fn tail(
    args: &OpenLog,
    dir: &Path,
    found: &Found,
    number: usize,
    segment: &Segment,
    position: u64,
    recovered: &mut Recovered,
) -> Result<bool, StorageError> {
    for (base, len_bytes) in found.logs[number + 1..].iter().rev() {
        aside_whole(args, dir, found, *base, *len_bytes, recovered)?;
    }
    let (base, len_bytes) = found.logs[number];
    if position == 0 && number > 0 {
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
    recovered.cut_files.push(target);
    Ok(true)
}

/// Renames a whole segment; its indexes go, they can be rebuilt.
fn aside_whole(
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
