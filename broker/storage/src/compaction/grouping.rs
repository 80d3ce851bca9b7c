//! Which neighbouring segments become one: as many as fit into `segment.bytes`, so that compaction does not leave
//! ever smaller files.
//!
//! The index files are bounded too, and the offsets of a group must fit 32 bits relative to its first. Pure.
//! Kafka: `Cleaner.groupSegmentsBySize`.

use logspine_protocol::types::Offset;

/// What is asked of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    pub base: Offset,
    pub log_bytes: u64,
    pub index_bytes: u64,
    pub time_index_bytes: u64,
}

/// How large a group may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupMax {
    /// `segment.bytes`
    pub log_bytes: u64,
    /// `segment.index.bytes`
    pub index_bytes: u64,
}

/// How many segments each group has, in order. `end` is the offset behind the last of them.
pub(super) fn group(segments: &[Sizes], max: GroupMax, end: Offset) -> Vec<usize> {
    let mut groups = Vec::new();
    let mut rest = segments;
    while let Some(first) = rest.first() {
        let (mut sum, mut count) = (*first, 1);
        while let Some(next) = rest.get(count) {
            let last_offset = rest.get(count + 1).map_or(end, |after| after.base) + -1;
            let spans = next.log_bytes == 0 || last_offset - first.base <= i64::from(i32::MAX);
            sum.log_bytes += next.log_bytes;
            sum.index_bytes += next.index_bytes;
            sum.time_index_bytes += next.time_index_bytes;
            let fits = sum.log_bytes <= max.log_bytes
                && sum.index_bytes.max(sum.time_index_bytes) <= max.index_bytes;
            if !(spans && fits) {
                break;
            }
            count += 1;
        }
        groups.push(count);
        rest = &rest[count..];
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(of: &[(i64, u64)]) -> Vec<Sizes> {
        let size = |(base, log_bytes): &(i64, u64)| Sizes {
            base: Offset(*base),
            log_bytes: *log_bytes,
            index_bytes: log_bytes / 10,
            time_index_bytes: log_bytes / 5,
        };
        of.iter().map(size).collect()
    }

    #[test]
    fn neighbours_are_joined_up_to_the_size_of_a_segment() {
        let max = GroupMax { log_bytes: 100, index_bytes: 1_000 };
        let segments = sizes(&[(0, 40), (10, 60), (20, 1), (30, 0), (40, 120), (50, 20), (60, 20)]);
        assert_eq!(group(&segments, max, Offset(70)), [2, 2, 1, 2]);
        assert_eq!(group(&[], max, Offset(0)), [0_usize; 0]);
        assert_eq!(group(&segments, GroupMax { index_bytes: 10, ..max }, Offset(70)), [1, 1, 2, 1, 2]);
    }

    #[test]
    fn offsets_stay_within_32_bits_of_the_first() {
        let max = GroupMax { log_bytes: 100, index_bytes: 1_000 };
        let far = i64::from(i32::MAX);
        let segments = sizes(&[(0, 10), (100, 10), (far + 1, 10), (far + 2, 10)]);
        assert_eq!(group(&segments, max, Offset(far + 3)), [2, 2]);
        assert_eq!(group(&segments[..2], max, Offset(far + 1)), [2]);
        assert_eq!(group(&segments[..2], max, Offset(far + 2)), [1, 1]);
        let empty = sizes(&[(0, 10), (100, 0)]);
        assert_eq!(group(&empty, max, Offset(far + 2)), [2], "an empty segment has no offset to index");
    }
}
