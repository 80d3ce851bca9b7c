//! A flush in three steps, so that a crash can fall between them and no lock is held while the disk works.
//!
//! `begin_flush` (owner): notes the log end and takes what is dirty. `FlushJob::run` (any thread, no lock): syncs
//! files, then the epoch checkpoint, then the directory. `end_flush` (owner): success moves the durable end; a sync
//! that failed poisons the log for good; a small file that the disk did not take (it is full) leaves everything as it
//! was, for the next flush. One flush of a log is in flight at a time.

use std::path::Path;
use std::sync::Arc;

use logspine_protocol::types::{Offset, TopicId};

use super::{Dirty, Log};
use crate::disk::{self, Disk, DiskFile};
use crate::error::{Poisoned, StorageError, io_at};
use crate::planted::{Bug, Planted};
use crate::{names, open_files, partition_metadata};

/// What a finished flush made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushMark {
    /// Everything below is on stable storage.
    pub offset: Offset,
}

/// The second step; owns all it needs.
#[derive(Debug)]
#[must_use = "the log takes no other flush until this one is run and handed to end_flush"]
pub struct FlushJob {
    disk: Arc<dyn Disk>,
    dir: Arc<Path>,
    files: Vec<Arc<dyn DiskFile>>,
    /// Apart from the others, so that the usual flush, which has only this one, allocates nothing.
    active_file: Option<Arc<dyn DiskFile>>,
    epochs: Option<String>,
    sync_dir: bool,
    /// The topic id of a partition that is flushed for the first time.
    created: Option<TopicId>,
    mark: FlushMark,
    planted: Planted,
}

/// What came of a flush; for `end_flush`.
#[derive(Debug)]
#[must_use = "the log takes no other flush until end_flush has this"]
pub struct FlushDone {
    mark: FlushMark,
    result: Result<(), Failure>,
    /// What the next flush has to do again if the disk refused a small file.
    again: Dirty,
    files: Vec<Arc<dyn DiskFile>>,
    active_file: Option<Arc<dyn DiskFile>>,
}

/// Why a flush did not make anything durable.
#[derive(Debug)]
enum Failure {
    /// A sync failed: the kernel may have dropped what it could not write.
    Sync(String),
    /// A small file could not be written; it is written whole the next time, so nothing is in doubt.
    Refused(StorageError),
}

impl FlushJob {
    /// Whether appends may have to wait for the disk while this runs: they write to a file that it syncs.
    pub fn holds_appends(&self) -> bool {
        self.active_file.is_some()
    }

    /// Syncs. Blocks; belongs on a thread that may.
    pub fn run(self) -> FlushDone {
        let result = self.sync_files().and_then(|()| self.sync_names());
        let again = Dirty {
            dir: self.sync_dir,
            epochs: self.epochs.is_some(),
            created: self.created.is_some(),
            ..Dirty::default()
        };
        FlushDone { mark: self.mark, result, again, files: self.files, active_file: self.active_file }
    }

    fn sync_files(&self) -> Result<(), Failure> {
        let mut files = self.files.iter().chain(&self.active_file);
        let synced = files.try_for_each(|file| file.sync_data());
        synced.map_err(io_at("sync the files in", &self.dir)).map_err(sync_failed)
    }

    /// Small files take their new content, then one sync of the directory has all names. A new directory's own name
    /// and topic id come with its first flush (`creation.rs`).
    fn sync_names(&self) -> Result<(), Failure> {
        if self.planted.has(Bug::DirectoryNotSynced) {
            return Ok(());
        }
        let (disk, dir) = (&*self.disk, &*self.dir);
        if let Some(topic_id) = self.created {
            partition_metadata::replace(disk, dir, topic_id).map_err(Failure::Refused)?;
        }
        if let Some(text) = &self.epochs {
            let path = dir.join(names::LEADER_EPOCH_CHECKPOINT);
            disk::rename_new_content(disk, &path, text.as_bytes())
                .map_err(io_at("write", &path))
                .map_err(Failure::Refused)?;
        }
        if self.sync_dir || self.epochs.is_some() {
            disk.sync_dir(dir).map_err(io_at("sync", dir)).map_err(sync_failed)?;
        }
        if self.created.is_some() {
            let data_dir = dir.parent().unwrap_or(Path::new("."));
            disk.sync_dir(data_dir).map_err(io_at("sync", data_dir)).map_err(sync_failed)?;
        }
        Ok(())
    }
}

fn sync_failed(error: StorageError) -> Failure {
    Failure::Sync(error.to_string())
}

impl FlushDone {
    /// Why nothing became durable although no sync failed: the disk did not take a small file. The log goes on.
    pub fn refused(&self) -> Option<&StorageError> {
        match &self.result {
            Err(Failure::Refused(error)) => Some(error),
            _ => None,
        }
    }

    /// Whether every sync succeeded.
    pub fn is_ok(&self) -> bool {
        self.result.is_ok()
    }
}

impl Log {
    /// Step 1. `None`: nothing is dirty, or a flush is in flight (whose `end_flush` comes), or the log is poisoned.
    pub fn begin_flush(&mut self) -> Option<FlushJob> {
        let Dirty { files, active, dir, epochs, created } = &self.dirty;
        let created = *created;
        let clean = files.is_empty() && active.is_none() && !dir && !epochs && !created;
        if clean || self.flush_cap.is_some() || self.poison.check().is_err() {
            return None;
        }
        if created && self.dirty.active.is_none() {
            // Empty by a truncation, perhaps, which nobody synced.
            self.dirty.active = Some(self.active.file().ok()?);
        }
        let dirty = std::mem::take(&mut self.dirty);
        Some(self.flush_up_to(self.log_end(), dirty))
    }

    /// Step 1 of a flush for which nobody waits: what is sealed, up to where the active segment begins. That one goes
    /// on taking appends, which a sync of its own file would hold up. `None` as `begin_flush`.
    pub fn begin_flush_of_sealed(&mut self) -> Option<FlushJob> {
        if self.dirty.files.is_empty() || self.flush_cap.is_some() || self.poison.check().is_err() {
            return None;
        }
        let active = self.dirty.active.take();
        let dirty = std::mem::replace(&mut self.dirty, Dirty { active, ..Dirty::default() });
        let counts_all = self.config.planted.has(Bug::SealedFlushCountsAll);
        let end = if counts_all { self.log_end() } else { self.active.base_offset };
        Some(self.flush_up_to(end, dirty))
    }

    fn flush_up_to(&mut self, end: Offset, dirty: Dirty) -> FlushJob {
        let Dirty { files, active, dir, epochs, created } = dirty;
        let mark = FlushMark { offset: end };
        self.flush_cap = Some(mark.offset);
        if self.config.planted.has(Bug::DurableEndMovedInBeginFlush) {
            self.reader.publish_durable_end(mark.offset);
        }
        FlushJob {
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            files,
            active_file: active,
            epochs: (epochs && !self.config.planted.has(Bug::EpochsBehindData))
                .then(|| self.reader.epochs.read().format()),
            sync_dir: dir || created,
            created: created.then_some(self.topic_id),
            mark,
            planted: self.config.planted,
        }
    }

    /// Whether a flush had better come though nobody waits for it: sealed files are held open by the dirty set, and
    /// when too many files are open, dirty ones cannot be closed before they are synced.
    pub fn had_better_flush(&self) -> bool {
        !self.dirty.files.is_empty() || (self.dirty.active.is_some() && open_files::are_too_many())
    }

    /// Step 3. The mark returned is the durable end; below the one noted in step 1 if the log was truncated since, or
    /// if the flush was `refused`.
    pub fn end_flush(&mut self, done: FlushDone) -> Result<FlushMark, Poisoned> {
        let cap = self.flush_cap.take().unwrap_or(done.mark.offset);
        if let Err(Failure::Refused(_)) = &done.result {
            self.dirty.add(done.again);
            return Ok(FlushMark { offset: self.durable_end() });
        }
        if let Err(Failure::Sync(reason)) = done.result {
            if self.config.planted.has(Bug::FailedSyncRetried) {
                self.dirty.files.extend(done.files.into_iter().chain(done.active_file));
                return Ok(FlushMark { offset: self.durable_end() });
            }
            return Err(self.poison.set(&self.dir, reason));
        }
        self.poison.check()?;
        // They may close now.
        drop((done.files, done.active_file));
        open_files::were_synced();
        let offset = self.durable_end().max(done.mark.offset.min(cap));
        self.reader.publish_durable_end(offset);
        Ok(FlushMark { offset })
    }
}
