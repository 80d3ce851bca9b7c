//! Seeds worth keeping: those that ever failed, and one for each planted bug with the promise that it breaks there.
//!
//! A seed is one life only until the workload changes: the first ones of `FAILED` found their bugs in poorer lives. What
//! can be done wrong again is planted below. Seeds in 250 to 499, 750 to 999 and so on live with compaction; odd ones
//! leave the syncs of a recovered tail to a flush.

use logspine_storage::planted::Bug;

/// Each found a mistake, in the log unless the checker is named.
pub const FAILED: [(u64, &str); 40] = [
    (8, "names lost in any order around retention, a roll or a first flush"),
    (30, "names lost in any order around retention, a roll or a first flush"),
    (194, "names lost in any order around retention, a roll or a first flush"),
    (102, "names lost in any order around retention, a roll or a first flush"),
    (14, "a never flushed partition without its topic id was served by the next topic of the name"),
    (2, "recovery let batches count whose topic id it had not made durable"),
    (54, "a truncation that could not lower its recovery point left the log shorter than its files"),
    (74, "half a truncation left a log that took appends behind what was to be cut"),
    (170, "as 54, with a sync that failed"),
    (211, "a truncation that a failed sync lost was not cut again before the next append"),
    (227, "as 74, in the index of aborted transactions"),
    (421, "a truncation into a gap that compaction left ended the log where no batch ends"),
    (476, "as 54, with compaction"),
    (855, "an unsound index of aborted transactions was rebuilt without what a snapshot knew"),
    (978, "the youngest record was looked for in a batch that compaction had emptied"),
    (1_221, "aborted transactions that were cut off hid committed records"),
    (794, "the checker: a batch that spans where a truncation ends"),
    (916, "the checker: batches below the log start after compaction"),
    (1_864, "the checker: producers whose last batch was cut off after compaction"),
    (1_795_640_000_001_549, "a deleted segment came back without its index of aborted transactions"),
    (1_795_640_000_002_566, "the checker: a truncation that failed and was never synced"),
    (1_795_650_000_000_113, "recovery relied on a recovery point whose name was not durable"),
    (1_795_650_000_006_910, "recovery relied on a recovery point whose name was not durable"),
    (1_795_650_000_003_309, "the checker: keys whose newer value was cut off"),
    (1_795_650_000_004_061, "the checker: a truncation that was never synced before the process died"),
    (1_795_650_000_004_832, "the youngest record was looked for below the log start"),
    (1_795_660_000_020_699, "a full truncation lost names in any order, and with them the middle of the log"),
    (1_795_660_000_018_908, "a read where no batch begins; not again since index files are checked"),
    (1_795_660_000_023_302, "a read where no batch begins; not again since index files are checked"),
    (1_795_660_000_029_328, "a read where no batch begins; not again since index files are checked"),
    (1_795_660_000_030_312, "no youngest record; not again since index files are checked"),
    (
        1_795_660_000_035_986,
        "a search by time where no batch begins; not again since index files are checked",
    ),
    (1_795_640_242_248_629, "as 211, where the syncs of a recovered tail were left to a flush"),
    (
        1_795_648_127,
        "names that a half-done truncation took came back behind a start that left its syncs to a flush",
    ),
    (1_795_655_878, "index files of a segment that was set aside stayed for the next start"),
    (1_795_675_331, "a truncation to nothing came back behind the first flush of an empty log"),
    (1_795_641_810_398_395, "the checker: as 1795643477, after a restart"),
    (1_795_677_904, "as 1795675331, with a sync that failed"),
    (1_795_643_477, "the checker: a truncation that took back the marker of what compaction had dropped"),
    (1_795_650_000_011_128, "the checker: a truncation that was never synced before the process died"),
];

/// Seeds that show each bug; found by `find_seeds_of_planted_bugs`.
pub const CAUGHT: [(Bug, u64, &str); 28] = [
    (Bug::SyncForgottenAtRoll, 8, "acknowledged"),
    (Bug::DirectoryNotSynced, 8, "acknowledged"),
    (Bug::CheckpointBeforeData, 194, "damage"),
    (Bug::FailedSyncRetried, 30, "acknowledged"),
    (Bug::DurableEndMovedInBeginFlush, 8, "acknowledged"),
    (Bug::IndexTrustedAfterCrash, 1_038, "from scratch"),
    (Bug::SnapshotNewerThanLog, 8, "producers"),
    (Bug::TruncationNotSynced, 194, "invented"),
    (Bug::RecoveryPointNotLowered, 194, "damage"),
    (Bug::FlushForgetsTruncation, 6, "reused"),
    (Bug::EpochsBehindData, 35, "contiguous"),
    (Bug::LogStartLost, 30, "log start"),
    (Bug::TornTailAccepted, 11, "rot"),
    (Bug::TailNotRewritten, 30, "acknowledged"),
    (Bug::DeletionBeforeNames, 233, "acknowledged"),
    (Bug::IndexGoneBeforeLog, 1_795_640_000_001_549, "transactions"),
    (Bug::JumpToNextSegment, 8, "contiguous"),
    (Bug::DeletedTopicRemembered, 194, "contiguous"),
    (Bug::HalfTruncation, 74, "reused"),
    (Bug::TruncationIntoGap, 421, "reused"),
    (Bug::NobodysServed, 118, "invented"),
    (Bug::TopicIdNotSynced, 2, "acknowledged"),
    (Bug::RecoveredNotSynced, 2, "acknowledged"),
    (Bug::RecoveredNotSynced, 1, "twice"),
    (Bug::SwapOverTruncation, 2_253, "keys"),
    (Bug::CleanedNotSynced, 285, "acknowledged"),
    (Bug::SwapNotSynced, 327, "acknowledged"),
    (Bug::AbortedTxnsKept, 1_221, "transactions"),
];
