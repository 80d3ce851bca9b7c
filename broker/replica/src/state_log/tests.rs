//! Promises of the state log, told with a machine that hands out numbered tickets: each name once.

use std::collections::{BTreeMap, BTreeSet};

use logspine_cluster::machine::{Effect, Machine};
use logspine_protocol::types::Offset;
use proptest::prelude::*;

use super::{Refused, StateLog};

/// Grants a name to the first who asks; the staged set keeps a second asker from passing before commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Names {
    granted: BTreeMap<String, u32>,
    staged: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Granted {
    name: String,
    to: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Yours(u32),
    Taken(u32),
    TryElsewhere(u32),
}

impl Machine for Names {
    type Input = (u32, String);
    type Record = Granted;
    type Reply = Answer;

    fn step(&mut self, _now_ms: i64, (client, name): (u32, String)) -> Vec<Effect<Granted, Answer>> {
        if self.granted.contains_key(&name) || self.staged.contains(&name) {
            return vec![Effect::Reply(Answer::Taken(client))];
        }
        let records = vec![Granted { name, to: client }];
        vec![Effect::Append { records, then: vec![Answer::Yours(client)] }]
    }

    fn stage(&mut self, record: &Granted) {
        self.staged.insert(record.name.clone());
    }

    fn abandon(&mut self, waiting: Vec<Answer>) -> Vec<Answer> {
        self.staged.clear();
        waiting
            .into_iter()
            .map(|answer| match answer {
                Answer::Yours(client) => Answer::TryElsewhere(client),
                other => other,
            })
            .collect()
    }

    fn replay(&mut self, record: &Granted) {
        self.staged.remove(&record.name);
        let before = self.granted.insert(record.name.clone(), record.to);
        assert_eq!(before, None, "a name is granted once: {record:?}");
    }

    fn next_deadline_ms(&self) -> Option<i64> {
        None
    }
}

/// A log in memory that can be told to refuse.
#[derive(Default)]
struct Journal {
    records: Vec<Granted>,
    refuse: Option<Refused>,
}

impl Journal {
    fn append(&mut self, records: &[Granted]) -> Result<Offset, Refused> {
        if let Some(refused) = self.refuse {
            return Err(refused);
        }
        self.records.extend_from_slice(records);
        Ok(self.end())
    }

    fn end(&self) -> Offset {
        Offset(i64::try_from(self.records.len()).expect("a short test log"))
    }
}

fn ask(log: &mut StateLog<Names>, journal: &mut Journal, client: u32, name: &str) -> Vec<Answer> {
    log.step(0, (client, name.to_owned()), |records| journal.append(records))
}

#[test]
fn an_answer_waits_until_its_records_are_committed() {
    let (mut log, mut journal) = (StateLog::new(Names::default()), Journal::default());
    assert_eq!(ask(&mut log, &mut journal, 1, "a"), vec![]);
    assert_eq!(log.machine().granted, BTreeMap::new(), "durable state has not moved yet");
    assert_eq!(log.committed(Offset(0)), vec![]);
    assert_eq!(log.committed(Offset(1)), vec![Answer::Yours(1)]);
    assert_eq!(log.machine().granted.get("a"), Some(&1));
}

#[test]
fn a_second_asker_sees_what_is_in_flight() {
    let (mut log, mut journal) = (StateLog::new(Names::default()), Journal::default());
    ask(&mut log, &mut journal, 1, "a");
    assert_eq!(ask(&mut log, &mut journal, 2, "a"), vec![Answer::Taken(2)]);
}

#[test]
fn a_refused_append_refuses_its_own_asker_and_keeps_the_others_waiting() {
    let (mut log, mut journal) = (StateLog::new(Names::default()), Journal::default());
    ask(&mut log, &mut journal, 1, "a");
    journal.refuse = Some(Refused::ThisAppend);
    assert_eq!(ask(&mut log, &mut journal, 2, "b"), vec![Answer::TryElsewhere(2)]);
    journal.refuse = None;
    assert_eq!(ask(&mut log, &mut journal, 3, "a"), vec![Answer::Taken(3)], "a is still staged");
    assert_eq!(ask(&mut log, &mut journal, 4, "b"), vec![], "b is free again");
    assert_eq!(log.committed(journal.end()), vec![Answer::Yours(1), Answer::Yours(4)]);
}

#[test]
fn losing_the_log_refuses_everybody_and_forgets_what_was_staged() {
    let (mut log, mut journal) = (StateLog::new(Names::default()), Journal::default());
    ask(&mut log, &mut journal, 1, "a");
    journal.refuse = Some(Refused::Everything);
    let replies = ask(&mut log, &mut journal, 2, "b");
    assert_eq!(replies, vec![Answer::TryElsewhere(1), Answer::TryElsewhere(2)]);
    assert_eq!(log.pending_len(), 0);
    assert_eq!(log.machine(), &Names::default());
}

#[derive(Debug, Clone)]
enum Op {
    Ask(u32, u8),
    Commit(u8),
    RefuseNext,
    Lose,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (any::<u32>(), 0u8..12).prop_map(|(client, name)| Op::Ask(client, name)),
        3 => any::<u8>().prop_map(Op::Commit),
        1 => Just(Op::RefuseNext),
        1 => Just(Op::Lose),
    ]
}

/// Runs the operations; returns the first broken promise.
fn check(ops: &[Op], mut log: StateLog<Names>) -> Result<(), String> {
    let (mut journal, mut commit, mut lost_tail) = (Journal::default(), 0usize, false);
    for op in ops {
        let replies = match op {
            Op::Ask(client, name) => ask(&mut log, &mut journal, *client, &name.to_string()),
            Op::Commit(share) => {
                commit += (journal.records.len() - commit) * usize::from(*share) / 255;
                log.committed(Offset(i64::try_from(commit).expect("short")))
            }
            Op::RefuseNext => {
                journal.refuse = Some(Refused::ThisAppend);
                let replies = ask(&mut log, &mut journal, 0, "refused");
                journal.refuse = None;
                replies
            }
            Op::Lose => {
                // What was not committed is cut from the log, as a new leader would.
                journal.records.truncate(commit);
                lost_tail = true;
                log.lost()
            }
        };
        let committed: BTreeMap<_, _> =
            journal.records[..commit].iter().map(|r| (r.name.clone(), r.to)).collect();
        for reply in &replies {
            if let Answer::Yours(client) = reply
                && !committed.values().any(|to| to == client)
            {
                return Err(format!("{client} was told yes before commit"));
            }
        }
        let mut replayed = StateLog::new(Names::default());
        for record in &journal.records[..commit] {
            replayed.load(record);
        }
        if log.machine().granted != replayed.machine().granted {
            return Err(format!("live {:?} is not replayed {:?}", log.machine(), replayed.machine()));
        }
        if lost_tail && log.pending_len() == 0 && !log.machine().staged.is_empty() {
            return Err(format!("staged after loss: {:?}", log.machine().staged));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn live_state_is_replayed_state_after_every_step(ops in prop::collection::vec(op(), 0..60)) {
        prop_assert_eq!(check(&ops, StateLog::new(Names::default())), Ok(()));
    }
}

#[cfg(feature = "planted")]
mod planted_bugs {
    use super::{Names, Op, StateLog, check};
    use crate::planted::{Bug, Planted};

    fn planted(bug: Bug) -> StateLog<Names> {
        let mut log = StateLog::new(Names::default());
        log.plant(Planted::bug(bug));
        log
    }

    #[test]
    fn a_response_before_commit_is_caught() {
        let log = planted(Bug::ResponseBeforeCommit);
        assert!(check(&[Op::Ask(7, 1)], log).is_err());
    }

    #[test]
    fn an_overlay_kept_after_losing_leadership_is_caught() {
        let log = planted(Bug::PendingKeptAfterLoss);
        assert!(check(&[Op::Ask(7, 1), Op::Lose], log).is_err());
    }
}
