//! The one JSON value that every load prints.
//!
//! Invariant: nothing is derived that a reader could not recompute from the counts beside it. Written by the load;
//! read by people, by scripts and by `cargo xtask bench`.

use serde::Serialize;

use crate::latency::Percentiles;
use crate::observe::Observed;

#[derive(Debug, Serialize)]
pub struct Outcome {
    pub command: String,
    /// The algorithm of the load's own connections, as the kernel says.
    pub congestion_control: String,
    pub seconds: f64,
    pub connections: usize,
    /// From asking for the topic until each of its partitions had a leader.
    pub topic_ready_s: f64,
    pub produced: Option<Flow>,
    pub fetched: Option<Flow>,
    /// From the time a request was due until its acknowledgement; for loads without a rate, from its sending.
    pub produce_latency_us: Option<Percentiles>,
    /// From the time a request was due until its batch reached a consumer.
    pub delivery_latency_us: Option<Percentiles>,
    pub idle: Option<Idle>,
    pub broker: Option<Costs>,
    pub observed: Observed,
}

/// What crossed the wire in one direction, acknowledged or received in the window.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Flow {
    pub requests: u64,
    pub records: u64,
    /// Of record batches, as on the wire.
    pub bytes: u64,
    pub requests_per_s: f64,
    pub records_per_s: f64,
    pub mb_per_s: f64,
}

/// Connections that do nothing.
#[derive(Debug, Serialize)]
pub struct Idle {
    pub connections: usize,
    pub rss_bytes_before: u64,
    pub rss_bytes_after: u64,
    pub rss_bytes_each: f64,
}

/// The broker's cost of what was moved (both directions together).
#[derive(Debug, Serialize)]
pub struct Costs {
    pub cpu_s_per_gb: f64,
    pub cpu_us_per_request: f64,
    pub cpu_us_per_record: f64,
    pub switches_per_1000_records: f64,
    pub machine_cpu_s_per_gb: f64,
}

impl Flow {
    pub fn rated(mut self, seconds: f64) -> Flow {
        self.requests_per_s = self.requests as f64 / seconds;
        self.records_per_s = self.records as f64 / seconds;
        self.mb_per_s = self.bytes as f64 / 1e6 / seconds;
        self
    }
}

impl Costs {
    pub fn of(observed: &Observed, flows: [&Option<Flow>; 2]) -> Option<Costs> {
        let broker = observed.broker.as_ref()?;
        let sum = |pick: fn(&Flow) -> u64| {
            flows.iter().filter_map(|flow| flow.as_ref()).map(pick).sum::<u64>() as f64
        };
        let (gigabytes, requests, records) =
            (sum(|flow| flow.bytes) / 1e9, sum(|flow| flow.requests), sum(|flow| flow.records));
        let switches = (broker.voluntary_switches + broker.involuntary_switches) as f64;
        Some(Costs {
            cpu_s_per_gb: broker.cpu_s / gigabytes,
            cpu_us_per_request: broker.cpu_s * 1e6 / requests,
            cpu_us_per_record: broker.cpu_s * 1e6 / records,
            switches_per_1000_records: switches * 1000.0 / records,
            machine_cpu_s_per_gb: (observed.machine_cpu_s - observed.client_cpu_s) / gigabytes,
        })
    }
}
