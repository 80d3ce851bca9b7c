//! The replicas that live in this process: who holds them, who waits for them, who flushes them.
//!
//! `registry` finds a replica by topic id or name, `opening` and `recovery` are those that a start has yet to open,
//! `handle` is the shell around one `replica::Partition`,
//! `waiters` are the requests that wait for an append, a flush or the watermark, `committer` is the one
//! thread per data directory that runs flush rounds, `housekeeping` does retention, and checkpoints of what `moved`.
//! `cleaner` compacts, `reclaim` frees what is deleted, `disk_health` says whether writes are possible, `scrubber`
//! looks for rot; `cold_reads` are the threads that wait for the disk in place of the network's.
//! The controller's publisher opens, configures and deletes; `api/` and the coordinator append and read.

mod cleaner;
mod cold_queue;
mod cold_reads;
mod committer;
mod disk_health;
mod flight;
mod handle;
mod housekeeping;
mod log_config;
mod moved;
mod opening;
mod reclaim;
mod recovery;
mod registry;
mod scrubber;
mod slow_lane;
mod waiters;
mod watch;

pub use cleaner::Cleaner;
pub use cold_reads::ColdReads;
pub use committer::{Committer, CommitterThread};
pub use disk_health::{DiskHealth, DiskState, disk_error};
pub use handle::{PartitionError, PartitionHandle, Produced, WaitError};
pub use housekeeping::Housekeeping;
pub use recovery::Recovery;
pub use registry::{Checkpoints, Lookup, PartitionSpec, Registry};
pub use scrubber::Scrubber;
pub use waiters::FetchWaiter;
pub use watch::Watch;
