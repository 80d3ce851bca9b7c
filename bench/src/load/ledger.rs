//! What the run counts: requests, records and bytes inside the window, and latencies of what was due inside it.
//!
//! Invariants: outside of the window nothing is counted. Batches of a partition arrive at consumers in the order
//! in which they were due, because one connection produces to it. Written by the lanes.

use crate::latency::Latencies;
use crate::outcome::Flow;

pub struct Ledger {
    pub produced: Flow,
    pub fetched: Flow,
    pub produce_latencies: Latencies,
    pub delivery_latencies: Latencies,
    /// By partition: when each batch was due. Empty unless latencies to the consumer are wanted.
    due_by_partition: Vec<Vec<u64>>,
    follows_batches: bool,
    began_ns: Option<u64>,
    ended_ns: Option<u64>,
}

impl Ledger {
    pub fn new(partitions: u32, follows_batches: bool) -> Ledger {
        Ledger {
            produced: Flow::default(),
            fetched: Flow::default(),
            produce_latencies: Latencies::new(),
            delivery_latencies: Latencies::new(),
            due_by_partition: vec![Vec::new(); if follows_batches { partitions as usize } else { 0 }],
            follows_batches,
            began_ns: None,
            ended_ns: None,
        }
    }

    pub fn begin(&mut self, now_ns: u64) {
        self.began_ns = Some(now_ns);
    }

    pub fn end(&mut self, now_ns: u64) {
        self.ended_ns = Some(now_ns);
    }

    pub fn ended_ns(&self) -> Option<u64> {
        self.ended_ns
    }

    pub fn bytes(&self) -> u64 {
        self.produced.bytes + self.fetched.bytes
    }

    pub fn requests(&self) -> u64 {
        self.produced.requests + self.fetched.requests
    }

    fn is_open(&self) -> bool {
        self.began_ns.is_some() && self.ended_ns.is_none()
    }

    fn counts(&self, due_ns: u64) -> bool {
        self.began_ns.is_some_and(|began_ns| due_ns >= began_ns)
            && self.ended_ns.is_none_or(|ended_ns| due_ns < ended_ns)
    }

    /// A batch goes out to a partition.
    pub fn sent(&mut self, partition: u32, due_ns: u64) {
        if self.follows_batches
            && let Some(due) = self.due_by_partition.get_mut(partition as usize)
        {
            due.push(due_ns);
        }
    }

    pub fn acknowledged(&mut self, due_ns: u64, now_ns: u64, records: u32, bytes: usize) {
        if self.is_open() {
            add(&mut self.produced, u64::from(records), bytes as u64);
        }
        self.waited(due_ns, now_ns);
    }

    /// A request was answered, or never will be.
    pub fn waited(&mut self, due_ns: u64, now_ns: u64) {
        if self.counts(due_ns) {
            self.produce_latencies.record(due_ns, now_ns);
        }
    }

    /// Whole batches of a partition reached a consumer; `first` counts since the run's beginning.
    pub fn delivered(
        &mut self,
        partition: u32,
        first: u64,
        batches: u64,
        now_ns: u64,
        records: u64,
        bytes: u64,
    ) {
        if self.is_open() {
            add(&mut self.fetched, records, bytes);
        }
        let Some(due) = self.due_by_partition.get(partition as usize) else { return };
        let wanted = due.iter().skip(first as usize).take(batches as usize).copied().collect::<Vec<_>>();
        for due_ns in wanted {
            if self.counts(due_ns) {
                self.delivery_latencies.record(due_ns, now_ns);
            }
        }
    }
}

fn add(flow: &mut Flow, records: u64, bytes: u64) {
    flow.requests += 1;
    flow.records += records;
    flow.bytes += bytes;
}
