//! Where each leader epoch of a partition starts: the base of truncation by epoch (KIP-101, KIP-279, KIP-320).
//!
//! Epochs and start offsets both rise strictly. The file `leader-epoch-checkpoint` is written by a flush, so that
//! it is durable no later than the recovery point that vouches for the batches it describes; what is newer is
//! found again by recovery in the batches themselves. Kafka: `LeaderEpochFileCache`, `LeaderEpochCheckpointFile`.

use std::fmt::Write;

use logspine_protocol::types::{LeaderEpoch, Offset};

use crate::checkpoint::{self, Malformed};

/// The start of one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochStart {
    /// Leader epoch.
    pub epoch: LeaderEpoch,
    /// Offset of the first batch appended in it.
    pub start_offset: Offset,
}

/// The answer to "where does epoch N end here?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest known epoch that is not above the one asked for.
    pub epoch: LeaderEpoch,
    /// The offset after its last batch.
    pub end_offset: Offset,
}

/// All epochs of one log, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Epochs(Vec<EpochStart>);

impl Epochs {
    /// The epochs, oldest first.
    pub fn entries(&self) -> &[EpochStart] {
        &self.0
    }

    /// The newest epoch.
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.0.last().map(|entry| entry.epoch)
    }

    /// Notes that a batch of `epoch` starts at `start_offset`; older or equal epochs are no news.
    /// Returns whether anything changed.
    pub fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> bool {
        if epoch.0 < 0 || self.latest().is_some_and(|latest| latest >= epoch) {
            return false;
        }
        self.0.retain(|entry| entry.start_offset < start_offset);
        self.0.push(EpochStart { epoch, start_offset });
        true
    }

    /// The epoch in which `offset` was appended.
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.0.partition_point(|entry| entry.start_offset <= offset);
        self.0[..after].last().map(|entry| entry.epoch)
    }

    /// Where `epoch`, or the largest one below it, ends; `None` for an epoch that is newer than all known ones.
    pub fn end_offset(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<EpochEnd> {
        if epoch.0 < 0 {
            return None;
        }
        if self.latest() == Some(epoch) {
            return Some(EpochEnd { epoch, end_offset: log_end });
        }
        let after = self.0.partition_point(|entry| entry.epoch <= epoch);
        let higher = self.0.get(after)?;
        // Below the oldest known epoch: everything that it had is gone, it ends where the oldest one starts.
        let floor = self.0[..after].last().map_or(epoch, |entry| entry.epoch);
        Some(EpochEnd { epoch: floor, end_offset: higher.start_offset })
    }

    /// Forgets what starts at or above a new log end. Returns whether anything changed.
    pub fn truncate_from_end(&mut self, log_end: Offset) -> bool {
        let before = self.0.len();
        self.0.retain(|entry| entry.start_offset < log_end);
        self.0.len() != before
    }

    /// Forgets epochs that lie below a new log start; the one that contains it now starts there.
    pub fn truncate_from_start(&mut self, log_start: Offset) -> bool {
        let before = self.0.clone();
        let after = self.0.partition_point(|entry| entry.start_offset <= log_start);
        if after > 0 {
            self.0.drain(..after - 1);
            self.0[0].start_offset = log_start;
        }
        self.0 != before
    }

    /// The file's text.
    pub(crate) fn format(&self) -> String {
        let mut text = format!("0\n{}\n", self.0.len());
        for entry in &self.0 {
            let _ = writeln!(text, "{} {}", entry.epoch, entry.start_offset);
        }
        text
    }

    /// Reads the file's text.
    pub(crate) fn parse(content: &[u8]) -> Result<Epochs, Malformed> {
        let mut epochs: Vec<EpochStart> = Vec::new();
        for (line, text) in checkpoint::entries(content)? {
            let parsed = text.split_once(' ').and_then(|(epoch, offset)| {
                let entry = EpochStart {
                    epoch: LeaderEpoch(epoch.parse().ok()?),
                    start_offset: Offset(offset.parse().ok()?),
                };
                let rises = epochs
                    .last()
                    .is_none_or(|last| last.epoch < entry.epoch && last.start_offset < entry.start_offset);
                rises.then_some(entry)
            });
            epochs.push(parsed.ok_or_else(|| (line, format!("{text:?} is not a rising `epoch offset`")))?);
        }
        Ok(Epochs(epochs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(starts: &[(i32, i64)]) -> Epochs {
        let mut epochs = Epochs::default();
        for (epoch, offset) in starts {
            assert!(epochs.assign(LeaderEpoch(*epoch), Offset(*offset)));
        }
        epochs
    }

    #[test]
    fn the_text_is_kafkas_to_the_byte() {
        let known = epochs(&[(0, 0), (2, 10), (5, 30)]);
        assert_eq!(known.format(), "0\n3\n0 0\n2 10\n5 30\n");
        assert_eq!(Epochs::parse(known.format().as_bytes()), Ok(known));
        assert_eq!(Epochs::parse(b"0\n2\n2 10\n1 20\n").unwrap_err().0, 3);
        assert_eq!(Epochs::parse(b"1\n0\n").unwrap_err().0, 0);
    }

    #[test]
    fn the_end_of_an_epoch_is_the_start_of_the_next_one() {
        let known = epochs(&[(1, 5), (3, 10), (5, 30)]);
        let end = |epoch| {
            known.end_offset(LeaderEpoch(epoch), Offset(99)).map(|end| (end.epoch.0, end.end_offset.0))
        };
        assert_eq!(end(-1), None);
        assert_eq!(end(0), Some((0, 5)));
        assert_eq!(end(1), Some((1, 10)));
        assert_eq!(end(2), Some((1, 10)));
        assert_eq!(end(4), Some((3, 30)));
        assert_eq!(end(5), Some((5, 99)));
        assert_eq!(end(6), None);
    }

    #[test]
    fn an_epoch_that_repeats_is_no_news_and_a_truncation_forgets() {
        let mut known = epochs(&[(1, 5), (3, 10), (5, 30)]);
        assert!(!known.assign(LeaderEpoch(5), Offset(40)));
        assert!(!known.assign(LeaderEpoch(4), Offset(40)));
        assert!(!known.truncate_from_end(Offset(31)));
        assert!(known.truncate_from_end(Offset(30)));
        assert_eq!(known, epochs(&[(1, 5), (3, 10)]));
        assert_eq!(known.epoch_of(Offset(9)), Some(LeaderEpoch(1)));
        assert_eq!(known.epoch_of(Offset(4)), None);
        assert!(known.truncate_from_start(Offset(12)));
        assert_eq!(known, epochs(&[(3, 12)]));
        assert!(!known.truncate_from_start(Offset(3)));
    }

    #[test]
    fn an_epoch_without_batches_is_replaced_by_the_next() {
        let mut known = epochs(&[(1, 5)]);
        known.assign(LeaderEpoch(2), Offset(5));
        assert_eq!(known, epochs(&[(2, 5)]));
    }
}
