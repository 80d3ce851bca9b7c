//! Judges a history of sends, acknowledgements and reads of one topic: nothing acknowledged may be lost,
//! duplicated or reordered.
//!
//! The rules follow Jepsen's kafka workload, for producers that are idempotent: every value is unique and
//! carries its writer and number; a writer sends its numbers in order to one partition. An acknowledgement
//! names the offset. What was sent but not acknowledged may be there or not, but at most once and in order.
//! Pure; used by the crash tests, and shown planted faults before each verdict (`planted`).

use std::collections::BTreeMap;
use std::fmt;

pub mod planted;

/// One value as a writer numbered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    pub writer: u32,
    pub number: u64,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}-{}", self.writer, self.number)
    }
}

impl std::str::FromStr for Value {
    type Err = String;

    fn from_str(text: &str) -> Result<Value, String> {
        let parts = text.strip_prefix('w').and_then(|rest| rest.split_once('-'));
        let (writer, number) =
            parts.ok_or_else(|| format!("{text:?} is not of the form w<writer>-<number>"))?;
        match (writer.parse(), number.parse()) {
            (Ok(writer), Ok(number)) => Ok(Value { writer, number }),
            _ => Err(format!("{text:?} is not of the form w<writer>-<number>")),
        }
    }
}

/// Where a value stands, as an acknowledgement or a read says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    pub partition: i32,
    pub offset: i64,
    pub value: Value,
}

/// Everything that was observed of one topic.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// How many values each writer may have sent: its numbers are `0..sent`.
    pub sent: BTreeMap<u32, u64>,
    pub acked: Vec<Placed>,
    /// A read of every partition from the beginning to the end, in the order of delivery.
    pub read: Vec<Placed>,
    /// What a consumer was given while all this went on.
    pub seen: Vec<Placed>,
}

/// One broken promise, with the facts that show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anomaly {
    /// Acknowledged, but not in the log.
    Lost(Placed),
    /// Acknowledged at one offset, found at another.
    Moved { acked: Placed, found_at: i64 },
    /// A consumer was given this; now its offset holds something else, or nothing.
    Reused { seen: Placed, now: Option<Value> },
    /// Twice in the log.
    Duplicated { value: Value, offsets: (i64, i64) },
    /// A later number of the same writer stands before an earlier one.
    Reordered { before: Placed, after: Placed },
    /// In the log, but nobody sent it.
    Phantom(Placed),
    /// The same offset was delivered twice, or offsets went backwards within a partition.
    OffsetRepeated { partition: i32, offset: i64 },
    /// Offsets jump although nothing of this topic was ever deleted or aborted.
    Gap { partition: i32, from: i64, to: i64 },
}

/// Every anomaly of the history; empty means that all promises held.
pub fn check(history: &History) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    let mut found: BTreeMap<Value, Placed> = BTreeMap::new();
    let mut last_of_partition: BTreeMap<i32, i64> = BTreeMap::new();
    let mut last_of_writer: BTreeMap<(i32, u32), Placed> = BTreeMap::new();
    for &read in &history.read {
        check_offsets(&mut anomalies, &mut last_of_partition, read);
        if history.sent.get(&read.value.writer).is_none_or(|&sent| read.value.number >= sent) {
            anomalies.push(Anomaly::Phantom(read));
        }
        if let Some(first) = found.insert(read.value, read) {
            let offsets = (first.offset, read.offset);
            anomalies.push(Anomaly::Duplicated { value: read.value, offsets });
            continue;
        }
        if let Some(before) = last_of_writer.insert((read.partition, read.value.writer), read)
            && before.value.number > read.value.number
        {
            anomalies.push(Anomaly::Reordered { before, after: read });
        }
    }
    for &acked in &history.acked {
        match found.get(&acked.value) {
            None => anomalies.push(Anomaly::Lost(acked)),
            Some(read) if (read.partition, read.offset) != (acked.partition, acked.offset) => {
                anomalies.push(Anomaly::Moved { acked, found_at: read.offset });
            }
            Some(_) => {}
        }
    }
    check_seen(&mut anomalies, history);
    anomalies
}

/// What a consumer saw once stays where it was.
fn check_seen(anomalies: &mut Vec<Anomaly>, history: &History) {
    let now: BTreeMap<(i32, i64), Value> =
        history.read.iter().map(|read| ((read.partition, read.offset), read.value)).collect();
    for &seen in &history.seen {
        let now = now.get(&(seen.partition, seen.offset)).copied();
        if now != Some(seen.value) {
            anomalies.push(Anomaly::Reused { seen, now });
        }
    }
}

fn check_offsets(anomalies: &mut Vec<Anomaly>, last: &mut BTreeMap<i32, i64>, read: Placed) {
    let (partition, offset) = (read.partition, read.offset);
    let expected = last.insert(partition, offset).map_or(0, |last| last + 1);
    if offset < expected {
        anomalies.push(Anomaly::OffsetRepeated { partition, offset });
    } else if offset > expected {
        anomalies.push(Anomaly::Gap { partition, from: expected, to: offset });
    }
}

#[cfg(test)]
mod tests;
