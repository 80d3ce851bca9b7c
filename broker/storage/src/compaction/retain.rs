//! What stays of one batch: the rules, without any input or output.
//!
//! A record stays if it is the last of its key, or lies behind what the map has seen. A tombstone, and a marker of
//! a transaction that has nothing left, stay until the delete horizon that the first cleaning wrote into their batch
//! (KIP-534). Records without key go. A batch that lost all records stays as a header if it carries a live
//! producer's last sequence or ends the cleaned part, and as bare offsets if it ends its segment. Kafka: `Cleaner.cleanInto`, `Cleaner.shouldRetainRecord`.

use logspine_protocol::batch::{
    BatchError, BatchRewrite, BatchView, RecordView, offsets_alone, without_records,
};

use super::clean::LastRecord;
use super::key_map::KeyMap;

/// What is known about a batch beside its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances {
    /// See `Transactions::may_discard`.
    pub may_discard: bool,
    /// Of the batch's producer, if that is a live one.
    pub last_record: Option<LastRecord>,
    /// The batch ends its segment; without it the segment's end would be forgotten.
    pub ends_segment: bool,
    /// It ends the cleaned part.
    pub ends_round: bool,
    pub now_ms: i64,
    /// `delete.retention.ms`
    pub delete_retention_ms: i64,
}

/// What becomes of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It stays byte for byte.
    AsIs,
    /// It stays in part.
    Rewritten(Vec<u8>),
    /// Nothing of it stays.
    Gone,
}

impl Circumstances {
    fn is_past_horizon(&self, batch: &BatchView<'_>) -> bool {
        batch.delete_horizon_ms().is_some_and(|horizon_ms| horizon_ms <= self.now_ms)
    }

    /// The records are not even looked at.
    fn discards_records(&self, batch: &BatchView<'_>) -> bool {
        self.may_discard && (!batch.is_control() || self.is_past_horizon(batch))
    }

    fn keeps_header(&self, batch: &BatchView<'_>) -> bool {
        let is_last_of_producer = self.last_record.is_some_and(|last| match last.data_offset {
            Some(offset) => batch.last_offset() == offset,
            None => batch.is_control() && batch.producer_epoch() == last.epoch,
        });
        self.ends_round || (batch.has_producer_id() && is_last_of_producer)
    }

    fn keeps_record(&self, keys: &KeyMap, batch: &BatchView<'_>, record: &RecordView<'_>) -> bool {
        if batch.is_control() || record.offset > keys.latest() {
            return true;
        }
        let Some(key) = record.key else { return false };
        let is_latest = keys.get(key).is_none_or(|latest| record.offset >= latest);
        is_latest && (record.value.is_some() || !self.is_past_horizon(batch))
    }

    fn without_records(&self, batch: &BatchView<'_>) -> Outcome {
        let is_empty = batch.record_count() == 0;
        match (self.keeps_header(batch), self.ends_segment) {
            (true, _) if is_empty => Outcome::AsIs,
            (true, _) => Outcome::Rewritten(without_records(batch)),
            // Without its producer, so that no marker waits for a transaction of which only this is left.
            (false, true) if is_empty && !batch.has_producer_id() => Outcome::AsIs,
            (false, true) => Outcome::Rewritten(offsets_alone(batch)),
            (false, false) => Outcome::Gone,
        }
    }

    /// Applies the rules.
    pub fn retain(&self, keys: &KeyMap, batch: &BatchView<'_>) -> Result<Outcome, BatchError> {
        if self.discards_records(batch) || batch.record_count() == 0 {
            return Ok(self.without_records(batch));
        }
        let set = batch.records()?;
        let (mut kept, mut all, mut has_tombstone) = (Vec::new(), true, false);
        for record in &set {
            let record = record?;
            if self.keeps_record(keys, batch, &record) {
                has_tombstone |= record.value.is_none();
                kept.push(record);
            } else {
                all = false;
            }
        }
        if kept.is_empty() {
            return Ok(self.without_records(batch));
        }
        let is_marker_of_nothing = self.may_discard && batch.is_control();
        let wants_horizon = (has_tombstone || is_marker_of_nothing) && batch.delete_horizon_ms().is_none();
        if all && !wants_horizon {
            return Ok(Outcome::AsIs);
        }
        let horizon_ms = wants_horizon.then(|| self.now_ms.saturating_add(self.delete_retention_ms));
        let mut rewrite = BatchRewrite::new(*batch, horizon_ms);
        kept.iter().for_each(|record| rewrite.keep(record));
        Ok(Outcome::Rewritten(rewrite.build()?))
    }
}

#[cfg(test)]
mod tests {
    use logspine_protocol::batch::BatchBuilder;
    use logspine_protocol::compression::Codec;
    use logspine_protocol::types::{Offset, ProducerEpoch, ProducerId};

    use super::super::KeyMemory;
    use super::*;

    fn circumstances() -> Circumstances {
        Circumstances {
            may_discard: false,
            last_record: None,
            ends_segment: false,
            ends_round: false,
            now_ms: 1_000,
            delete_retention_ms: 500,
        }
    }

    /// Offsets 10 to 13: an old value, a tombstone, no key, a value.
    fn batch() -> Vec<u8> {
        let mut builder = BatchBuilder::new(Codec::Lz4).base_offset(Offset(10)).producer(
            ProducerId(1),
            ProducerEpoch(0),
            0,
        );
        builder.append(900, Some(b"a"), Some(b"old"), &[]);
        builder.append(901, Some(b"b"), None, &[]);
        builder.append(902, None, Some(b"no key"), &[]);
        builder.append(903, Some(b"c"), Some(b"value"), &[]);
        builder.build()
    }

    fn nothing_seen() -> KeyMap {
        KeyMap::new(KeyMemory { bytes: 1 << 12, load_factor: 0.9 }, 100)
    }

    fn all_seen() -> KeyMap {
        let mut keys = nothing_seen();
        for (key, offset) in [(b"b", 11), (b"c", 13), (b"a", 20)] {
            keys.put(key, Offset(offset));
        }
        keys
    }

    /// Offsets of what is left and the batch's horizon; `None` if it is gone.
    fn left(outcome: &Outcome) -> Option<(Vec<i64>, Option<i64>)> {
        let Outcome::Rewritten(bytes) = outcome else { return None };
        let batch = BatchView::parse(bytes).unwrap().0;
        let offsets = batch.records().unwrap().iter().map(|record| record.unwrap().offset.0).collect();
        Some((offsets, batch.delete_horizon_ms()))
    }

    #[test]
    fn the_last_of_each_key_stays_and_a_tombstone_until_its_horizon() {
        let bytes = batch();
        let first = BatchView::parse(&bytes).unwrap().0;
        let once = circumstances().retain(&all_seen(), &first).unwrap();
        assert_eq!(left(&once), Some((vec![11, 13], Some(1_500))));
        let Outcome::Rewritten(bytes) = once else { unreachable!("it was rewritten") };
        let again = BatchView::parse(&bytes).unwrap().0;
        let at = |now_ms| Circumstances { now_ms, ..circumstances() }.retain(&all_seen(), &again).unwrap();
        assert_eq!(at(1_499), Outcome::AsIs, "a second cleaning changes nothing");
        assert_eq!(left(&at(1_500)), Some((vec![13], Some(1_500))));
    }

    #[test]
    fn what_the_map_has_not_seen_stays_keyless_records_included() {
        let bytes = batch();
        let batch = BatchView::parse(&bytes).unwrap().0;
        // The tombstone gets its horizon at once.
        assert_eq!(
            left(&circumstances().retain(&nothing_seen(), &batch).unwrap()),
            Some((vec![10, 11, 12, 13], Some(1_500)))
        );
    }

    #[test]
    fn a_bare_header_is_kept_for_a_sequence_and_for_a_segments_end() {
        let bytes = batch();
        let batch = BatchView::parse(&bytes).unwrap().0;
        let aborted = Circumstances { may_discard: true, ..circumstances() };
        assert_eq!(aborted.retain(&all_seen(), &batch).unwrap(), Outcome::Gone);
        let last = |data_offset| Some(LastRecord { data_offset, epoch: ProducerEpoch(0) });
        for (kept, what) in [
            (true, Circumstances { ends_segment: true, ..aborted }),
            (true, Circumstances { last_record: last(Some(Offset(13))), ..aborted }),
            (false, Circumstances { last_record: last(Some(Offset(14))), ..aborted }),
            (false, Circumstances { last_record: last(None), ..aborted }),
        ] {
            let expected = kept.then(|| (Vec::new(), None));
            assert_eq!(left(&what.retain(&all_seen(), &batch).unwrap()), expected, "{what:?}");
        }
    }
}
