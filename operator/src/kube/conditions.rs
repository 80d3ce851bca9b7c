//! Conditions: what holds now, since when, and why.
//!
//! A condition keeps its `lastTransitionTime` as long as its status stays the same, so that a pass that
//! finds nothing new produces the same value and writes nothing. The clock comes in as an argument.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// A condition without its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// `Some(true)` is True, `Some(false)` False, `None` Unknown.
    pub holds: Option<bool>,
    /// A word of the closed vocabulary.
    pub reason: &'static str,
    /// The same in a sentence.
    pub message: String,
}

impl Verdict {
    /// It holds.
    pub fn yes(reason: &'static str, message: impl Into<String>) -> Self {
        Self { holds: Some(true), reason, message: message.into() }
    }

    /// It does not hold.
    pub fn no(reason: &'static str, message: impl Into<String>) -> Self {
        Self { holds: Some(false), reason, message: message.into() }
    }

    /// It cannot be told.
    pub fn unknown(reason: &'static str, message: impl Into<String>) -> Self {
        Self { holds: None, reason, message: message.into() }
    }
}

/// The list of conditions after this pass, in the order of `types`.
///
/// A type without a verdict keeps what was said about it before. The order is fixed, so that equal
/// findings give an equal list.
pub fn merge(
    types: &[&str],
    before: &[Condition],
    now: Timestamp,
    generation: Option<i64>,
    verdicts: &[(&str, Verdict)],
) -> Vec<Condition> {
    let one = |type_: &&str| {
        let old = find(before, type_);
        let Some((_, verdict)) = verdicts.iter().find(|(judged, _)| judged == type_) else {
            return old.cloned();
        };
        let status = match verdict.holds {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        let since = old.filter(|old| old.status == status).map(|old| old.last_transition_time.clone());
        Some(Condition {
            type_: (*type_).into(),
            status: status.into(),
            reason: verdict.reason.into(),
            message: verdict.message.clone(),
            last_transition_time: since.unwrap_or(Time(whole_seconds(now))),
            observed_generation: generation,
        })
    };
    types.iter().filter_map(one).collect()
}

/// One condition by its type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether a condition is True.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}

/// Kubernetes stores seconds; anything finer would differ from what is read back.
fn whole_seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_moves_only_when_the_status_does() {
        let judge = |before: &[Condition], second, verdict| {
            merge(&["Ready", "Paused"], before, at(second), Some(1), &[("Ready", verdict)])
        };
        let first = judge(&[], 10, Verdict::no("Creating", "a"));
        assert_eq!(first, judge(&first, 20, Verdict::no("Creating", "a")));
        let reworded = judge(&first, 20, Verdict::no("RollingRestart", "b"));
        assert_eq!(reworded[0].last_transition_time, Time(at(10)));
        let ready = judge(&reworded, 30, Verdict::yes("Ready", ""));
        assert_eq!(ready[0].last_transition_time, Time(at(30)));
        assert!(is_true(&ready, "Ready"));
    }

    #[test]
    fn a_condition_without_a_verdict_stays_and_the_order_is_fixed() {
        let types = ["Ready", "Paused"];
        let first = merge(
            &types,
            &[],
            at(1),
            None,
            &[("Paused", Verdict::no("A", "")), ("Ready", Verdict::yes("B", ""))],
        );
        assert_eq!(first.iter().map(|condition| condition.type_.as_str()).collect::<Vec<_>>(), types);
        let second = merge(&types, &first, at(2), None, &[("Ready", Verdict::no("C", ""))]);
        assert_eq!(second[1], first[1]);
    }
}
