//! The shape of every state machine that lives in a log: metadata, group offsets, later transactions.
//!
//! A machine decides (`step`) without touching its durable state; the records it asks for are appended to a
//! log; when they are committed they are applied by `replay`, the same function that runs at start. So live
//! state equals replayed state by construction. Between append and commit the records are *staged*: later
//! decisions see them, and they are thrown away when leadership is lost. Driven by `replica::state_log`.
//! The idea is Kafka's `CoordinatorResult` (coordinator-common): records plus a response, reply after commit.

/// What a machine asks its driver to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect<Record, Reply> {
    /// Append these records as one atomic batch; release `then` only once they are committed.
    Append { records: Vec<Record>, then: Vec<Reply> },
    /// Answer now: nothing needs to become durable first.
    Reply(Reply),
}

/// A deterministic machine: no clock, no randomness, no I/O. `now_ms` is milliseconds since the Unix epoch.
pub trait Machine {
    type Input;
    type Record: Clone + PartialEq + std::fmt::Debug;
    /// Carries the token by which the driver knows whom to answer.
    type Reply;

    /// Decides about one input. May change soft state (members, timers), never durable state.
    fn step(&mut self, now_ms: i64, input: Self::Input) -> Vec<Effect<Self::Record, Self::Reply>>;

    /// Makes a record that was appended but is not yet committed visible to later decisions.
    fn stage(&mut self, record: &Self::Record);

    /// The staged records will never commit here (leadership lost, or the log refused them): forgets them
    /// and turns the replies that waited for them into refusals, never into success.
    fn abandon(&mut self, waiting: Vec<Self::Reply>) -> Vec<Self::Reply>;

    /// Applies one committed record. Total: a record that was committed is never refused.
    fn replay(&mut self, record: &Self::Record);

    /// When the driver must call `step` with a timer input at the latest, if ever.
    fn next_deadline_ms(&self) -> Option<i64>;
}
