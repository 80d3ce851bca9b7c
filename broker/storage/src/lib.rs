//! Partition logs on disk, in Kafka's file formats; synchronous, over the `Disk` seam.
//!
//! A `Log` is one partition with one owner (`&mut self`); a `LogReader` is an `Arc` through which everyone else
//! reads without the owner's lock. Durability moves only in `begin_flush` -> `FlushJob::run` -> `end_flush`;
//! a failed sync poisons the log for good. What is trusted after a crash is decided in `recovery`.
//! A data directory (`LogDir`) holds the lock file, `meta.properties`, the checkpoints and the clean marker.
#![deny(unsafe_code)] // One file has a system call without a safe wrapper: page_cache.rs.

pub mod aside;
pub mod checkpoint;
pub mod compaction;
pub mod config;
pub mod directory;
pub mod disk;
pub mod epochs;
pub mod error;
pub mod log;
pub mod names;
pub mod planted;
pub mod producers;
pub mod reader;
pub mod reclaim;
#[cfg(any(test, feature = "sim"))]
pub mod sim_disk;

mod clean_shutdown;
mod creation;
mod index;
mod lookup;
mod meta_properties;
mod open_files;
mod page_cache;
mod partition_metadata;
mod poison;
mod real_disk;
mod recovery;
mod segment;
mod time_index;
mod txn_index;
mod verify;
mod walk;

pub use aside::{SetAside, moved as files_set_aside};
pub use clean_shutdown::CleanShutdown;
pub use compaction::{Cleanable, Compaction, CompactionError, KeyMemory, Pace, Replacement, Unpaced};
pub use config::LogConfig;
pub use directory::LogDir;
pub use disk::{Disk, DiskFile};
pub use error::{AppendError, Damage, Misplaced, Poisoned, ReadError, StorageError};
pub use log::{
    AppendInfo, CompactionScope, DeletedLog, FlushDone, FlushJob, FlushMark, Log, OpenLog, Recovered,
    Retained,
};
pub use meta_properties::MetaProperties;
pub use reader::{LogReader, LogSlice, TimestampOffset};
pub use real_disk::RealDisk;
pub use reclaim::{Reclaimed, Unlink};
pub use txn_index::AbortedTxn;
pub use verify::{BroughtIn, Scrubbed, VerifiedRead};
