//! What of a log may be cleaned, and whether it is time: pure, over the sizes and timestamps of its segments.
//!
//! Dirty is what lies behind the cleaner's checkpoint. Never cleaned are the active segment, what is at or above
//! the last stable offset, and what is younger than `min.compaction.lag.ms`. Due is a log whose dirty share exceeds
//! `min.cleanable.dirty.ratio`, or that holds dirty records older than `max.compaction.lag.ms`. Kafka:
//! `LogCleanerManager.cleanableOffsets`, `maxCompactionDelay`, `LogToClean`.

use logspine_protocol::types::Offset;

/// The answer for one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cleanable {
    /// Everything below was cleaned before.
    pub first_dirty: Offset,
    /// Cleaning ends here: the base offset of a segment.
    pub first_uncleanable: Offset,
    /// Bytes of the segments below `first_dirty`.
    pub clean_bytes: u64,
    /// Bytes of the segments that would be cleaned.
    pub cleanable_bytes: u64,
    /// By how much the oldest dirty segment exceeds `max.compaction.lag.ms`.
    pub overdue_ms: i64,
}

impl Cleanable {
    /// Whether there is anything to weigh.
    pub fn is_empty(&self) -> bool {
        self.clean_bytes + self.cleanable_bytes == 0
    }

    /// The dirty share of what could be cleaned, 0 to 1.
    pub fn dirty_ratio(&self) -> f64 {
        if self.is_empty() {
            return 0.0;
        }
        self.cleanable_bytes as f64 / (self.clean_bytes + self.cleanable_bytes) as f64
    }

    /// Whether it is time, given `min.cleanable.dirty.ratio`.
    pub fn is_due(&self, min_cleanable_dirty_ratio: f64) -> bool {
        self.cleanable_bytes > 0 && (self.overdue_ms > 0 || self.dirty_ratio() > min_cleanable_dirty_ratio)
    }
}

/// What is asked of one segment that is no longer appended to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub base: Offset,
    pub size_bytes: u64,
    /// Its largest timestamp, or when it was made if it has none.
    pub newest_ms: i64,
    /// The first batch's timestamp, if it is known and asked for.
    pub first_ms: Option<i64>,
}

/// Where the log stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub log_start: Offset,
    pub log_end: Offset,
    pub last_stable: Offset,
    pub active_base: Offset,
    /// From `cleaner-offset-checkpoint`.
    pub checkpoint: Option<Offset>,
    /// `min.compaction.lag.ms`
    pub min_lag_ms: i64,
    /// `max.compaction.lag.ms`
    pub max_lag_ms: i64,
}

/// Decides, over all segments but the active one, in order.
pub(crate) fn cleanable(sealed: &[Facts], bounds: Bounds, now_ms: i64) -> Cleanable {
    // A checkpoint outside of the log is one of an older log; all of it is dirty then.
    let checkpoint = bounds.checkpoint.unwrap_or(bounds.log_start);
    let is_valid = (bounds.log_start..=bounds.log_end).contains(&checkpoint);
    let first_dirty = if is_valid { checkpoint } else { bounds.log_start };

    let dirty = match first_dirty < bounds.active_base {
        true => &sealed[containing(sealed, first_dirty)..],
        false => &[],
    };
    let too_young = dirty
        .iter()
        .find(|segment| bounds.min_lag_ms > 0 && segment.newest_ms > now_ms.saturating_sub(bounds.min_lag_ms))
        .map(|segment| segment.base);
    let limit = bounds.last_stable.min(bounds.active_base).min(too_young.unwrap_or(bounds.active_base));
    let limit = limit.max(first_dirty);
    // Whole segments only: the one that holds the limit stays as it is.
    let first_uncleanable = match sealed.get(containing(sealed, limit)) {
        Some(segment) if limit < bounds.active_base => segment.base,
        _ => bounds.active_base,
    };
    let sum = |segments: &[Facts]| segments.iter().map(|segment| segment.size_bytes).sum();
    let below = |offset: Offset| sealed.partition_point(|segment| segment.base < offset);
    let cleanable = match first_dirty < first_uncleanable {
        true => &sealed[containing(sealed, first_dirty)..below(first_uncleanable)],
        false => &[],
    };
    Cleanable {
        first_dirty,
        first_uncleanable,
        clean_bytes: sum(&sealed[..below(first_dirty)]),
        cleanable_bytes: sum(cleanable),
        overdue_ms: overdue_ms(dirty, now_ms.saturating_sub(bounds.max_lag_ms)),
    }
}

/// The number of the segment that holds `offset`; behind all of them that of the last.
fn containing(sealed: &[Facts], offset: Offset) -> usize {
    sealed.partition_point(|segment| segment.base <= offset).saturating_sub(1)
}

fn overdue_ms(dirty: &[Facts], clean_until_ms: i64) -> i64 {
    let first = dirty.iter().filter_map(|segment| segment.first_ms).filter(|first_ms| *first_ms > 0).min();
    first.map_or(0, |first_ms| clean_until_ms.saturating_sub(first_ms).max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_000_000;

    /// Segments of 100 offsets and 10 bytes each, a second apart; the last one is 2 s old.
    fn sealed(count: i64) -> Vec<Facts> {
        let segment = |n: i64| Facts {
            base: Offset(n * 100),
            size_bytes: 10,
            newest_ms: NOW_MS - (count - n + 1) * 1_000,
            first_ms: Some(NOW_MS - (count - n + 1) * 1_000 - 500),
        };
        (0..count).map(segment).collect()
    }

    fn bounds() -> Bounds {
        Bounds {
            log_start: Offset(0),
            log_end: Offset(450),
            last_stable: Offset(450),
            active_base: Offset(400),
            checkpoint: None,
            min_lag_ms: 0,
            max_lag_ms: i64::MAX,
        }
    }

    /// first dirty, first uncleanable, clean bytes, cleanable bytes, overdue.
    fn told(bounds: Bounds) -> (i64, i64, u64, u64, i64) {
        let it = cleanable(&sealed(4), bounds, NOW_MS);
        (it.first_dirty.0, it.first_uncleanable.0, it.clean_bytes, it.cleanable_bytes, it.overdue_ms)
    }

    #[test]
    fn the_table_of_what_is_cleanable() {
        let at = |offset: i64| Some(Offset(offset));
        for (what, bounds, expected) in [
            ("never cleaned: all but the active segment", bounds(), (0, 400, 0, 40, 0)),
            ("behind the checkpoint", Bounds { checkpoint: at(200), ..bounds() }, (200, 400, 20, 20, 0)),
            ("all clean", Bounds { checkpoint: at(400), ..bounds() }, (400, 400, 40, 0, 0)),
            (
                "a pass that ended inside of a segment counts it on both sides",
                Bounds { checkpoint: at(250), ..bounds() },
                (250, 400, 30, 20, 0),
            ),
            (
                "the checkpoint of an older log",
                Bounds { checkpoint: at(451), ..bounds() },
                (0, 400, 0, 40, 0),
            ),
            (
                "deleted below the log start",
                Bounds { checkpoint: at(100), log_start: Offset(200), ..bounds() },
                (200, 400, 20, 20, 0),
            ),
            ("an open transaction", Bounds { last_stable: Offset(250), ..bounds() }, (0, 200, 0, 20, 0)),
            ("one at a segment's start", Bounds { last_stable: Offset(200), ..bounds() }, (0, 200, 0, 20, 0)),
            ("one at the very start", Bounds { last_stable: Offset(0), ..bounds() }, (0, 0, 0, 0, 0)),
            (
                "one below what was cleaned",
                Bounds { last_stable: Offset(150), checkpoint: at(200), ..bounds() },
                (200, 200, 20, 0, 0),
            ),
            ("younger than the minimum", Bounds { min_lag_ms: 3_500, ..bounds() }, (0, 200, 0, 20, 0)),
            ("all of it is", Bounds { min_lag_ms: 60_000, ..bounds() }, (0, 0, 0, 0, 0)),
            ("older than the maximum", Bounds { max_lag_ms: 4_000, ..bounds() }, (0, 400, 0, 40, 1_500)),
            (
                "only dirty ones count for that",
                Bounds { max_lag_ms: 4_000, checkpoint: at(200), ..bounds() },
                (200, 400, 20, 20, 0),
            ),
        ] {
            assert_eq!(told(bounds), expected, "{what}");
        }
    }

    #[test]
    fn it_is_due_above_the_ratio_or_when_a_record_waited_too_long() {
        let it = cleanable(&sealed(4), Bounds { checkpoint: Some(Offset(200)), ..bounds() }, NOW_MS);
        assert_eq!(it.dirty_ratio(), 0.5);
        assert!(it.is_due(0.49) && !it.is_due(0.5));
        assert!(Cleanable { overdue_ms: 1, ..it }.is_due(1.0));
        assert!(!Cleanable { overdue_ms: 1, cleanable_bytes: 0, ..it }.is_due(0.0), "nothing to clean");
        let empty = cleanable(&[], Bounds { active_base: Offset(0), ..bounds() }, NOW_MS);
        assert!(empty.is_empty() && !empty.is_due(0.0));
    }
}
