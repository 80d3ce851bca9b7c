//! Faults planted into a genuine history, to show that the checker would have seen them.
//!
//! A verdict of "nothing lost" is worth what the checker can see; so every crash test first spoils a copy of its
//! own history in each of these ways and demands that the checker names the fault.

use super::{Anomaly, History, check};

/// A way to spoil a history that was sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The last acknowledged record is missing from the log (cut too much at recovery).
    AckedRecordCut,
    /// A retried batch was appended again (producer state forgotten at restart).
    RetryAppendedAgain,
    /// A record that a consumer saw was taken back, and its offset given to another.
    OffsetReused,
    /// Two neighbouring records of one writer changed places (pipelined appends overtook each other).
    NeighboursSwapped,
}

pub const FAULTS: [Fault; 4] =
    [Fault::AckedRecordCut, Fault::RetryAppendedAgain, Fault::OffsetReused, Fault::NeighboursSwapped];

/// The spoiled copy, or a sentence if the history is too small to be spoiled that way.
pub fn plant(history: &History, fault: Fault) -> Result<History, String> {
    let mut spoiled = history.clone();
    let read = &mut spoiled.read;
    match fault {
        Fault::AckedRecordCut => {
            let acked = history.acked.last().ok_or("nothing was acknowledged")?;
            read.retain(|placed| placed.value != acked.value);
        }
        Fault::RetryAppendedAgain => {
            let mut again = *read.last().ok_or("nothing was read")?;
            again.offset += 1;
            read.push(again);
        }
        Fault::OffsetReused => {
            let mut seen = *read.last().ok_or("nothing was read")?;
            seen.value.number += 1;
            spoiled.seen.push(seen);
        }
        Fault::NeighboursSwapped => {
            let same = |a: &super::Placed, b: &super::Placed| {
                a.partition == b.partition && a.value.writer == b.value.writer
            };
            let at = read.windows(2).position(|pair| same(&pair[0], &pair[1]));
            let at = at.ok_or("no two neighbours of one writer")?;
            let first = read[at].value;
            read[at].value = read[at + 1].value;
            read[at + 1].value = first;
        }
    }
    Ok(spoiled)
}

/// Demands that every planted fault is seen, as what it is.
pub fn prove_the_checker(history: &History) -> Result<(), String> {
    for fault in FAULTS {
        let anomalies = check(&plant(history, fault)?);
        let seen = anomalies.iter().any(|anomaly| match fault {
            Fault::AckedRecordCut => matches!(anomaly, Anomaly::Lost(_)),
            Fault::RetryAppendedAgain => matches!(anomaly, Anomaly::Duplicated { .. }),
            Fault::OffsetReused => matches!(anomaly, Anomaly::Reused { .. }),
            Fault::NeighboursSwapped => matches!(anomaly, Anomaly::Reordered { .. }),
        });
        if !seen {
            return Err(format!("the checker did not see {fault:?}: {anomalies:?}"));
        }
    }
    Ok(())
}
