//! Control records: what brokers write into a log for each other, such as the end of a transaction.
//!
//! The key is version i16 and type i16; ABORT and COMMIT carry version i16 and the coordinator's epoch i32 as
//! value. They take an offset like any record and clients skip them. Kafka: `ControlRecordType`,
//! `EndTransactionMarker`.

use super::RecordView;

/// What a control record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlRecordType {
    /// The producer's transaction is void.
    Abort,
    /// The producer's transaction counts.
    Commit,
    /// A type of Kafka's that means nothing to a partition's log (KRaft's own).
    Other(i16),
}

/// A decoded control record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlRecord {
    /// What it says.
    pub kind: ControlRecordType,
    /// Epoch of the transaction coordinator that sent it; -1 where there is none.
    pub coordinator_epoch: i32,
}

impl ControlRecord {
    /// Decodes the only record of a control batch; `None` if key or value are too short.
    pub fn parse(record: &RecordView<'_>) -> Option<ControlRecord> {
        let key = record.key?;
        let kind = i16::from_be_bytes(*key.get(2..)?.first_chunk::<2>()?);
        let kind = match kind {
            0 => ControlRecordType::Abort,
            1 => ControlRecordType::Commit,
            other => {
                return Some(ControlRecord { kind: ControlRecordType::Other(other), coordinator_epoch: -1 });
            }
        };
        let epoch = record.value?.get(2..)?.first_chunk::<4>()?;
        Some(ControlRecord { kind, coordinator_epoch: i32::from_be_bytes(*epoch) })
    }

    /// Key and value as Kafka writes them.
    pub fn encode(&self) -> ([u8; 4], [u8; 6]) {
        let kind: i16 = match self.kind {
            ControlRecordType::Abort => 0,
            ControlRecordType::Commit => 1,
            ControlRecordType::Other(other) => other,
        };
        let [high, low] = kind.to_be_bytes();
        let [a, b, c, d] = self.coordinator_epoch.to_be_bytes();
        ([0, 0, high, low], [0, 0, a, b, c, d])
    }
}
