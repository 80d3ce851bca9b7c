//! Room for the active segment, taken ahead of the writes: an append that finds its blocks there costs half.
//!
//! In steps that grow with the segment, so that thousands of small partitions take none, and without changing the
//! file's size. What was taken too much goes back when the segment is sealed or closed. A file system that cannot, or
//! that is nearly full, is not asked again for the same segment: the write itself will say what is wrong.

use super::Log;
use crate::disk::DiskFile;
use crate::error::{StorageError, io_at};
use crate::names;

/// Smaller segments are left to the file system's own delayed allocation.
const FROM_BYTES: u64 = 1 << 20;
/// The largest step.
const STEP_BYTES_MAX: u64 = 32 << 20;
/// "Do not ask": no segment is as large.
const NEVER_AGAIN: u64 = u64::MAX;

impl Log {
    /// Makes sure that there is room for a write, if the segment is large enough to be worth it.
    pub(super) fn allocate(&mut self, file: &dyn DiskFile, position: u64, len_bytes: u64) {
        let end = position + len_bytes;
        if end < FROM_BYTES || end <= self.allocated_bytes {
            return;
        }
        let step = position.next_power_of_two().clamp(FROM_BYTES, STEP_BYTES_MAX);
        // Not beyond the roll: what would be taken there is given back unused.
        let until = end.max((position + step).min(self.config.segment_bytes.max(1) as u64));
        self.allocated_bytes = match file.allocate(position, until - position) {
            Ok(()) => until,
            Err(error) => {
                tracing::debug!(dir = %self.dir.display(), %error, "no room is taken ahead");
                NEVER_AGAIN
            }
        };
    }

    /// Gives back what lies behind the active segment's end: it is about to be sealed or closed.
    pub(super) fn trim_active(&mut self) -> Result<(), StorageError> {
        self.allocated_bytes = 0;
        let size_bytes = self.active.size_bytes();
        if size_bytes < FROM_BYTES {
            return Ok(());
        }
        // Also without a step of this process: one before may have been killed.
        self.active.file()?.truncate(size_bytes).map_err(io_at("trim", &self.active.path(names::LOG)))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::sync::Arc;

    use logspine_protocol::batch::BatchBuilder;
    use logspine_protocol::compression::Codec;
    use logspine_protocol::types::{LeaderEpoch, Offset, PartitionIndex, TopicId};

    use crate::{Log, LogConfig, OpenLog, RealDisk};

    /// Room that a file takes on disk, in bytes.
    fn room(path: &std::path::Path) -> u64 {
        path.metadata().unwrap().blocks() * 512
    }

    #[test]
    fn a_large_segment_has_its_room_ahead_and_gives_the_rest_back_when_it_is_sealed() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("t-0");
        let config = LogConfig { segment_bytes: 64 << 20, ..LogConfig::default() };
        let mut log = Log::open(OpenLog {
            disk: Arc::new(RealDisk),
            dir: dir.clone(),
            topic: "t".to_owned(),
            topic_id: TopicId([1; 16]),
            partition: PartitionIndex(0),
            config,
            recovery_point: Offset(0),
            log_start: Offset(0),
            clean: false,
            now_ms: 0,
        })
        .unwrap()
        .0;
        let mut builder = BatchBuilder::new(Codec::None);
        builder.append(0, None, Some(&vec![7; 600_000]), &[]);
        let batch = builder.build();
        let path = dir.join("00000000000000000000.log");
        log.append_as_leader(&batch, LeaderEpoch(0), 0).unwrap();
        assert!(room(&path) < 1 << 20, "a small segment takes {} bytes", room(&path));
        for _ in 0..9 {
            log.append_as_leader(&batch, LeaderEpoch(0), 0).unwrap();
        }
        let size_bytes = path.metadata().unwrap().len();
        assert_eq!(size_bytes, 10 * batch.len() as u64, "room does not count as size");
        if room(&path) < size_bytes + (1 << 20) {
            println!("this file system takes no room ahead");
        }
        log.roll(0).unwrap();
        assert!(room(&path) <= size_bytes + 8192, "{} bytes of {size_bytes} are taken", room(&path));
    }
}
