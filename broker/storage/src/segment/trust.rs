//! Which bytes of a segment may be served without looking at them again, as long as they stay in memory.
//!
//! Everything from `from` to the end was appended by this process or has been verified since; below it, verified
//! ranges, at most `RANGES_MAX` of them: one that is dropped is verified once more, never believed. Nothing is
//! trusted of a file that was there before the process. Whether bytes are still in memory is asked of the page
//! cache with each read (`reader.rs`); what has left it may have rotted on the disk meanwhile.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

/// Sixteen bytes each.
const RANGES_MAX: usize = 64;

/// What is trusted of one `.log` file, by position.
#[derive(Debug)]
pub(crate) struct Trust {
    from: AtomicU64,
    /// Sorted, apart from each other, all below `from`.
    verified: RwLock<Vec<Range<u64>>>,
}

impl Trust {
    /// Trusts nothing.
    pub fn nothing() -> Trust {
        Trust { from: AtomicU64::new(u64::MAX), verified: RwLock::default() }
    }

    /// Bytes were appended at `position`, which is where the file ended.
    pub fn appended(&self, position: u64) {
        if position < self.from.load(Ordering::Relaxed) {
            self.from.fetch_min(position, Ordering::AcqRel);
        }
    }

    /// Whether all of the range may be served.
    pub fn covers(&self, range: Range<u64>) -> bool {
        let from = self.from.load(Ordering::Acquire);
        if range.start >= from {
            return true;
        }
        let verified = self.verified.read();
        let after = verified.partition_point(|known| known.start <= range.start);
        // `from` may have come down since: then everything above it counts.
        after > 0 && verified[after - 1].end >= range.end.min(from)
    }

    /// The range is about to come in from the disk, and who reads it may not look at all of it.
    pub fn forget(&self, range: Range<u64>) {
        let mut verified = self.verified.write();
        let from = self.from.load(Ordering::Acquire);
        let mut kept: Vec<Range<u64>> = Vec::with_capacity(verified.len() + 2);
        let mut keep = |known: Range<u64>| {
            let (before, behind) =
                (known.start..known.end.min(range.start), known.start.max(range.end)..known.end);
            kept.extend([before, behind].into_iter().filter(|part| !part.is_empty()));
        };
        verified.iter().cloned().for_each(&mut keep);
        if from < range.end {
            // What is appended from here on starts at or behind the end of a range that is read.
            keep(from..range.start.max(from));
            self.from.store(range.end.max(from), Ordering::Release);
        }
        *verified = kept;
    }

    /// Every batch of the range was found good.
    pub fn verified(&self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let mut verified = self.verified.write();
        let first = verified.partition_point(|known| known.end < range.start);
        let after = verified.partition_point(|known| known.start <= range.end);
        let merged = match verified.get(first..after) {
            Some([only]) => only.start.min(range.start)..only.end.max(range.end),
            Some([left, .., right]) => left.start.min(range.start)..right.end.max(range.end),
            _ => range,
        };
        if merged.end >= self.from.load(Ordering::Acquire) {
            self.from.fetch_min(merged.start, Ordering::AcqRel);
            verified.truncate(first);
            return;
        }
        verified.splice(first..after, [merged]);
        if verified.len() > RANGES_MAX {
            let shortest = (0..verified.len()).min_by_key(|at| verified[*at].end - verified[*at].start);
            shortest.map(|at| verified.remove(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim_disk::Rng;

    #[test]
    fn what_was_there_before_is_not_trusted_and_what_is_appended_is() {
        let trust = Trust::nothing();
        assert!(!trust.covers(0..1));
        trust.appended(100);
        trust.appended(150);
        assert!(trust.covers(100..1_000) && !trust.covers(99..1_000));
    }

    #[test]
    fn verified_ranges_grow_together_and_reach_up_to_what_was_appended() {
        let trust = Trust::nothing();
        trust.appended(100);
        trust.verified(0..10);
        trust.verified(20..30);
        assert!(!trust.covers(0..30) && trust.covers(22..30));
        trust.verified(10..20);
        assert!(trust.covers(0..30) && !trust.covers(0..31));
        trust.verified(25..100);
        assert!(trust.covers(0..5_000));
    }

    #[test]
    fn random_ranges_are_trusted_exactly_as_far_as_they_were_verified_and_not_forgotten() {
        let rng = &mut Rng::new(1);
        for _ in 0..200 {
            let trust = Trust::nothing();
            let mut known = [false; 200];
            if rng.percent(50) {
                let from = 100 + rng.below(100);
                trust.appended(from);
                known[from as usize..].fill(true);
            }
            for _ in 0..20 {
                let start = rng.below(199);
                let end = start + 1 + rng.below(200 - start);
                let is_good = rng.percent(60);
                if is_good {
                    trust.verified(start..end)
                } else {
                    trust.forget(start..end)
                }
                known[start as usize..end as usize].fill(is_good);
                let start = rng.below(199);
                let end = start + 1 + rng.below(200 - start);
                let expected = known[start as usize..end as usize].iter().all(|known| *known);
                assert_eq!(trust.covers(start..end), expected, "{start}..{end} of {known:?}");
            }
        }
    }

    #[test]
    fn memory_is_bounded_and_a_forgotten_range_is_not_trusted() {
        let trust = Trust::nothing();
        trust.verified(0..1);
        for at in 1..=RANGES_MAX as u64 {
            trust.verified(at * 10..at * 10 + 5);
        }
        assert_eq!(trust.verified.read().len(), RANGES_MAX);
        assert!(!trust.covers(0..1) && trust.covers(10..15));
    }
}
