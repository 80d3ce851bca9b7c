//! Log compaction: of each key the last record stays, and nothing else changes (offsets, order, sequences).
//!
//! Four steps, between any two of which a crash may fall. `Log::compaction_scope` says what may be cleaned
//! (`cleanable.rs`); `Log::begin_compaction` takes the segments; `Compaction` maps the dirty keys and rewrites group
//! after group without any lock (`key_map.rs`, `grouping.rs`, `clean.rs`, `retain.rs`, `transactions.rs`); and
//! `Log::swap_step` puts each `Replacement` in place (`swap.rs`, `log/compaction.rs`). Driven by the shell's cleaner
//! thread. Kafka: `LogCleaner`, `LogCleanerManager`, `Cleaner`.

mod clean;
mod cleanable;
mod grouping;
mod key_map;
mod retain;
pub(crate) mod swap;
mod transactions;

pub use clean::{Compaction, CompactionStats, Replacement};
pub(crate) use clean::{LastRecord, Step};
pub use cleanable::Cleanable;
pub(crate) use cleanable::{Bounds, Facts, cleanable};
pub use swap::SyncDir;

use crate::error::{Damage, StorageError};

/// Why a log was not compacted this time.
#[derive(Debug, thiserror::Error)]
pub enum CompactionError {
    /// A batch does not read back: cleaning what is around it would hide that.
    #[error(transparent)]
    Damaged(Damage),
    /// The disk refused, for want of space perhaps. The log is as it was.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A directory could not be synced in the middle of a swap: the log refuses writes until a restart.
    #[error("a swap could not be made durable: {0}")]
    Sync(StorageError),
    /// The segments left the log meanwhile, by retention or truncation.
    #[error("the segments are no longer those that were cleaned")]
    Overtaken,
    /// `Pace` said so.
    #[error("the compaction was stopped")]
    Stopped,
}

/// Throttles a compaction and may stop it.
pub trait Pace {
    /// Called for every piece that was read or written; may wait. False: stop.
    fn io(&mut self, bytes: u64) -> bool;
}

/// As fast as the disk allows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unpaced;

impl Pace for Unpaced {
    fn io(&mut self, _bytes: u64) -> bool {
        true
    }
}

/// Memory that a compaction may take for its map of keys.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KeyMemory {
    /// `log.cleaner.dedupe.buffer.size` of one thread: 24 bytes for each key.
    pub bytes: u64,
    /// `log.cleaner.io.buffer.load.factor`: how full the map may get.
    pub load_factor: f64,
}
