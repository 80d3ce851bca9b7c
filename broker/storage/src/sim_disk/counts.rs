//! How many faults of which kind a simulated disk has dealt out: a run that passes is worth as much as it passed.
//!
//! Counted where a fault happens (`faults.rs`, `survival.rs`); the tests add them up over many disks and print them.

/// Faults by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Times the power went.
    pub power_cuts: u64,
    /// Sectors that a cut, or a failed sync, left older than others of the same file; and writes torn in the middle.
    pub torn_sectors: u64,
    /// Changes of names that were not synced and are lost.
    pub lost_names: u64,
    /// Writes that failed after a part.
    pub short_writes: u64,
    /// Reads that returned less than was there.
    pub short_reads: u64,
    /// Writes that failed for a reason other than room.
    pub failed_writes: u64,
    /// Syncs of files and directories that failed.
    pub failed_syncs: u64,
    /// Changes of names, and truncations, that failed for a reason other than room.
    pub failed_names: u64,
    /// Operations that found no room.
    pub full_disks: u64,
    /// Files that were changed behind everybody's back.
    pub rotten_files: u64,
}

impl FaultCounts {
    /// Adds those of another disk.
    pub fn add(&mut self, other: FaultCounts) {
        let sums = self.fields().into_iter().zip(other.by_name());
        for ((_, sum), (_, count)) in sums {
            *sum += count;
        }
    }

    /// Each kind with its name, for a report.
    pub fn by_name(mut self) -> [(&'static str, u64); 10] {
        self.fields().map(|(name, count)| (name, *count))
    }

    fn fields(&mut self) -> [(&'static str, &mut u64); 10] {
        [
            ("power cuts", &mut self.power_cuts),
            ("torn sectors", &mut self.torn_sectors),
            ("lost names", &mut self.lost_names),
            ("short writes", &mut self.short_writes),
            ("short reads", &mut self.short_reads),
            ("EIO writes", &mut self.failed_writes),
            ("EIO syncs", &mut self.failed_syncs),
            ("EIO names", &mut self.failed_names),
            ("ENOSPC", &mut self.full_disks),
            ("rotten files", &mut self.rotten_files),
        ]
    }
}
