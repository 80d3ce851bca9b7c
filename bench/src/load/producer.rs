//! A producing connection: one frame that is sent again and again, several of them unanswered at a time.
//!
//! Invariants: at most `in_flight_max` requests are unanswered; answers come in the order of the requests; a partition
//! is produced to by one connection when there are at least as many partitions as connections. Driven by the loop.

use std::collections::VecDeque;
use std::ops::Range;

use anyhow::ensure;

use super::link::Link;
use super::{Ledger, Produce};
use crate::broker::Topic;
use crate::frames::{ProduceFrame, announced_len};

/// An answer to one batch has a few dozen bytes; several may arrive at once.
const ANSWERS_BYTES: usize = 64 * 1024;
/// More requests than this waiting for their turn: the rate cannot be kept at all.
const DUE_MAX: usize = 10_000_000;

/// A request on its way.
struct Sent {
    correlation_id: i32,
    due_ns: u64,
}

pub struct Producer {
    pub link: Link,
    frame: ProduceFrame,
    /// Bytes of the current frame that are out; the frame's length between requests.
    sent: usize,
    in_flight: VecDeque<Sent>,
    in_flight_max: usize,
    /// Requests that wait for their turn, by the time they were due; `None` without a rate.
    due: Option<VecDeque<u64>>,
    next_id: i32,
    partitions: std::iter::Cycle<std::iter::StepBy<Range<u32>>>,
    answers: Vec<u8>,
    answered: usize,
    expects_answers: bool,
    records: u32,
    bytes: usize,
}

impl Producer {
    /// `share`: from the connection's own number to the number of partitions.
    pub fn new(link: Link, topic: &Topic, produce: &Produce, share: Range<u32>) -> anyhow::Result<Producer> {
        let frame = ProduceFrame::new(topic, produce.version, produce.acks, &produce.payload.batch)?;
        let share = if share.is_empty() { share.start % topic.partitions..topic.partitions } else { share };
        let sent = frame.bytes().len();
        Ok(Producer {
            link,
            sent,
            frame,
            in_flight: VecDeque::new(),
            in_flight_max: produce.in_flight_max,
            due: produce.requests_per_s.map(|_| VecDeque::new()),
            next_id: 0,
            partitions: share.step_by(produce.connections).cycle(),
            answers: vec![0; ANSWERS_BYTES],
            answered: 0,
            expects_answers: produce.acks != 0,
            records: produce.payload.records,
            bytes: produce.payload.batch.len(),
        })
    }

    pub fn push_due(&mut self, due_ns: u64) {
        if let Some(due) = &mut self.due {
            due.push_back(due_ns);
        }
    }

    pub fn send(&mut self, now_ns: u64, is_stopped: bool, ledger: &mut Ledger) -> anyhow::Result<bool> {
        loop {
            self.sent = self.link.send(self.frame.bytes(), self.sent)?;
            if self.sent < self.frame.bytes().len() {
                return Ok(true);
            }
            if self.in_flight.len() >= self.in_flight_max {
                return Ok(false);
            }
            let due_ns = match &mut self.due {
                Some(due) => due.pop_front(),
                None => (!is_stopped).then_some(now_ns),
            };
            let Some(due_ns) = due_ns else { return Ok(false) };
            ensure!(self.due.as_ref().is_none_or(|due| due.len() < DUE_MAX), "the rate cannot be kept");
            self.begin(due_ns, now_ns, ledger);
            if !self.expects_answers && self.due.is_none() {
                // Nothing limits such a load but the socket: let the loop look at the clock after each frame.
                self.sent = self.link.send(self.frame.bytes(), self.sent)?;
                return Ok(true);
            }
        }
    }

    fn begin(&mut self, due_ns: u64, now_ns: u64, ledger: &mut Ledger) {
        let correlation_id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let partition = self.partitions.next().unwrap_or_default();
        self.frame.patch(correlation_id, partition);
        self.sent = 0;
        ledger.sent(partition, due_ns);
        if self.expects_answers {
            self.in_flight.push_back(Sent { correlation_id, due_ns });
        } else {
            ledger.acknowledged(due_ns, now_ns, self.records, self.bytes);
        }
    }

    pub fn receive(&mut self, now_ns: u64, ledger: &mut Ledger) -> anyhow::Result<()> {
        let Some(count) = self.link.receive(&mut self.answers[self.answered..])? else { return Ok(()) };
        self.answered += count;
        let mut at = 0;
        while let Some(prefix) = self.answers[at..self.answered].first_chunk::<4>() {
            let length = announced_len(*prefix)?;
            ensure!(length + 4 <= ANSWERS_BYTES, "an answer of {length} bytes to a produce request");
            let Some(payload) = self.answers[at + 4..self.answered].get(..length) else { break };
            let correlation_id = self.frame.check(payload)?;
            let sent = self.in_flight.pop_front();
            let expected = sent.as_ref().map(|sent| sent.correlation_id);
            ensure!(expected == Some(correlation_id), "answer {correlation_id} instead of {expected:?}");
            let due_ns = sent.map_or(now_ns, |sent| sent.due_ns);
            ledger.acknowledged(due_ns, now_ns, self.records, self.bytes);
            at += 4 + length;
        }
        self.answers.copy_within(at..self.answered, 0);
        self.answered -= at;
        Ok(())
    }

    pub fn is_answered(&self) -> bool {
        self.in_flight.is_empty() && self.due.as_ref().is_none_or(VecDeque::is_empty)
    }

    pub fn give_up(&mut self, now_ns: u64, ledger: &mut Ledger) {
        if self.due.is_none() {
            return;
        }
        let waiting = self.in_flight.drain(..).map(|sent| sent.due_ns);
        for due_ns in waiting.chain(self.due.take().unwrap_or_default()) {
            ledger.waited(due_ns, now_ns);
        }
    }
}
