//! A partition that holds nothing yet: its directory, an empty `.log`, its topic id; and not one sync.
//!
//! What an empty partition is, the metadata knows; one that a power cut takes away is made again at the next start.
//! So names and topic id become durable with the first flush (`log/flush.rs`), before anything in the log counts.
//! Until then a start that finds a partition of this kind, whole or half-made, makes it again. Called by `recovery`.

use std::path::Path;
use std::sync::Arc;

use logspine_protocol::types::Offset;

use crate::disk::Entry;
use crate::epochs::Epochs;
use crate::error::{StorageError, io_at};
use crate::log::{OpenLog, Recovered};
use crate::planted::Bug;
use crate::producers::Producers;
use crate::recovery::Opened;
use crate::segment::Segment;
use crate::txn_index::TxnIndex;
use crate::{checkpoint, names, partition_metadata};

/// Makes the partition if the directory holds no more than a creation leaves; `None` if there is something to recover.
pub(crate) fn create(
    args: &OpenLog,
    dir: &Arc<Path>,
    entries: &[Entry],
) -> Result<Option<Opened>, StorageError> {
    if !entries.iter().all(is_left_by_a_creation) {
        return Ok(None);
    }
    let disk = &*args.disk;
    let has_points = args.recovery_point > Offset(0) || args.log_start > Offset(0);
    let has_metadata = entries.iter().any(|entry| entry.name == names::PARTITION_METADATA);
    let metadata = if has_metadata {
        partition_metadata::check(disk, dir, args.topic_id)?
    } else {
        partition_metadata::Found::Absent
    };
    let is_identified = metadata == partition_metadata::Found::Id(args.topic_id);
    if metadata == partition_metadata::Found::Unreadable || (is_identified && has_points) {
        return Ok(None);
    }
    if has_points && !args.config.planted.has(Bug::DeletedTopicRemembered) {
        // Checkpoints that know the name speak of an older partition that was deleted.
        let data_dir = dir.parent().unwrap_or(Path::new("."));
        checkpoint::forget(disk, data_dir, &args.topic, args.partition.0)?;
    }
    if !is_identified {
        partition_metadata::write(disk, dir, args.topic_id)?;
    }
    let active = Segment::create(&args.disk, dir, Offset(0), args.now_ms)?;
    if entries.iter().any(|entry| entry.name.ends_with(names::LOG)) {
        // Emptied by a truncation, perhaps, that a failed sync took with it: the first flush is to have it again.
        let path = active.path(names::LOG);
        active.file()?.truncate(0).map_err(io_at("truncate", &path))?;
    }
    // Opened again by the first append: most of many partitions are idle.
    active.close();
    Ok(Some(Opened {
        dir: dir.clone(),
        segments: vec![Arc::new(active)],
        log_start: Offset(0),
        epochs: Epochs::default(),
        producers: Producers::default(),
        txn_index: TxnIndex::open(&args.disk, dir, &[])?.0,
        unlinks: Vec::new(),
        dir_dirty: true,
        is_new: true,
        is_closed: true,
        is_unsynced: false,
        recovered: Recovered::default(),
    }))
}

fn is_left_by_a_creation(entry: &Entry) -> bool {
    match names::parse_segment_file(&entry.name) {
        Some((offset, suffix)) => offset == Offset(0) && suffix == names::LOG && entry.len_bytes == 0,
        None => entry.name.strip_suffix(names::TEMPORARY).unwrap_or(&entry.name) == names::PARTITION_METADATA,
    }
}
