//! A state machine over a log: decide, append, wait for commit, then replay and answer.
//!
//! Invariants: the machine's durable state changes only by `replay` of committed records, in log order,
//! through the same function that runs at start; a reply that waits for records leaves only after all of
//! them are committed and replayed; when the records are lost (the log refused them, leadership went away)
//! every waiting reply becomes a refusal, never success. Metadata, group offsets and later transactions run
//! on this. Synchronous; the log is handed in as a function, so a Raft log and a partition fit alike.

use std::collections::VecDeque;

use logspine_cluster::machine::{Effect, Machine};
use logspine_protocol::types::Offset;

use crate::planted::{Bug, Planted};

/// At most this many appends may wait for commit; beyond it inputs are answered as if the log were lost,
/// so that a stuck disk costs refusals and not memory.
pub const PENDING_APPENDS_MAX: usize = 10_000;

/// The log did not take the records: nothing of them was or will be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// These records alone are refused; what was appended before still commits.
    ThisAppend,
    /// The log takes nothing any more (poisoned, or no longer the leader's): all that waits is lost.
    Everything,
}

struct Pending<M: Machine> {
    /// The records are committed once the commit position is at or past this end.
    end: Offset,
    records: Vec<M::Record>,
    then: Vec<M::Reply>,
}

/// One machine and the appends that wait for commit.
pub struct StateLog<M: Machine> {
    machine: M,
    pending: VecDeque<Pending<M>>,
    planted: Planted,
}

impl<M: Machine> StateLog<M> {
    /// Takes a machine whose state is that of an empty log; `load` brings it up to date.
    pub fn new(machine: M) -> StateLog<M> {
        StateLog { machine, pending: VecDeque::new(), planted: Planted::default() }
    }

    /// Applies a committed record read back from the log. Only before the first `step`.
    pub fn load(&mut self, record: &M::Record) {
        assert!(self.pending.is_empty(), "records are loaded before the first append, never beside one");
        self.machine.replay(record);
    }

    pub fn machine(&self) -> &M {
        &self.machine
    }

    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.machine.next_deadline_ms()
    }

    /// How many appends wait for commit.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// Feeds one input. `append` writes one atomic batch of records and returns the log's end after it.
    /// The replies returned are free to leave now.
    pub fn step(
        &mut self,
        now_ms: i64,
        input: M::Input,
        mut append: impl FnMut(&[M::Record]) -> Result<Offset, Refused>,
    ) -> Vec<M::Reply> {
        let mut replies = Vec::new();
        for effect in self.machine.step(now_ms, input) {
            match effect {
                Effect::Reply(reply) => replies.push(reply),
                Effect::Append { records, then } => self.append(records, then, &mut append, &mut replies),
            }
        }
        replies
    }

    fn append(
        &mut self,
        records: Vec<M::Record>,
        then: Vec<M::Reply>,
        append: &mut impl FnMut(&[M::Record]) -> Result<Offset, Refused>,
        replies: &mut Vec<M::Reply>,
    ) {
        let outcome = if self.pending.len() >= PENDING_APPENDS_MAX {
            Err(Refused::ThisAppend)
        } else {
            append(&records)
        };
        match outcome {
            Ok(end) => {
                for record in &records {
                    self.machine.stage(record);
                }
                if self.planted.has(Bug::ResponseBeforeCommit) {
                    replies.extend(then);
                    self.pending.push_back(Pending { end, records, then: Vec::new() });
                    return;
                }
                self.pending.push_back(Pending { end, records, then });
            }
            Err(Refused::ThisAppend) => self.refuse(then, replies),
            Err(Refused::Everything) => {
                replies.extend(self.lost());
                self.refuse(then, replies);
            }
        }
    }

    /// One append failed: its replies are refused, and what else is in flight stays staged.
    fn refuse(&mut self, then: Vec<M::Reply>, replies: &mut Vec<M::Reply>) {
        replies.extend(self.machine.abandon(then));
        for pending in &self.pending {
            for record in &pending.records {
                self.machine.stage(record);
            }
        }
    }

    /// Everything below `commit` is committed: replays what became so and releases its replies.
    pub fn committed(&mut self, commit: Offset) -> Vec<M::Reply> {
        let mut replies = Vec::new();
        while self.pending.front().is_some_and(|pending| pending.end <= commit) {
            let pending = self.pending.pop_front().expect("the loop saw a front");
            for record in &pending.records {
                self.machine.replay(record);
            }
            replies.extend(pending.then);
        }
        replies
    }

    /// The log committed these records, whoever appended them; they end at `end`. Used where entries may come
    /// from another leader (Raft): what is in flight here is released when its own end comes by.
    pub fn apply(&mut self, end: Offset, records: &[M::Record]) -> Vec<M::Reply> {
        let own = self.pending.front().is_some_and(|pending| pending.end == end);
        let pending = if own { self.pending.pop_front() } else { None };
        if let Some(pending) = &pending {
            assert_eq!(pending.records, records, "what commits at {end} is what was appended there");
        }
        for record in records {
            self.machine.replay(record);
        }
        pending.map_or_else(Vec::new, |pending| pending.then)
    }

    /// Nothing that is in flight will be answered from here: leadership went away or the log is poisoned.
    pub fn lost(&mut self) -> Vec<M::Reply> {
        if self.planted.has(Bug::PendingKeptAfterLoss) {
            return self.pending.drain(..).flat_map(|pending| pending.then).collect();
        }
        let waiting = self.pending.drain(..).flat_map(|pending| pending.then).collect();
        self.machine.abandon(waiting)
    }

    /// Plants bugs for the checkers to find. Absent from release builds.
    #[cfg(feature = "planted")]
    pub fn plant(&mut self, planted: Planted) {
        self.planted = planted;
    }
}

#[cfg(test)]
mod tests;
