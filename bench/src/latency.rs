//! Latencies in microseconds, free of coordinated omission, and the schedule that makes them so.
//!
//! Invariant: a request's latency counts from the time it was due, not from the time it could be sent. What is
//! still unanswered when the load ends counts with the time it has waited so far. Called by the load's loop.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longer than anything that is waited for.
const LONGEST_US: u64 = 600_000_000;

/// When requests are due: the first at once, then at equal distances, whatever the broker does.
#[derive(Debug, Clone)]
pub struct Schedule {
    interval_ns: f64,
    next: u64,
    /// None is due from this time on.
    end_ns: u64,
}

impl Schedule {
    pub fn new(requests_per_s: f64, end_ns: u64) -> Schedule {
        Schedule { interval_ns: 1e9 / requests_per_s, next: 0, end_ns }
    }

    /// When the next request is due.
    pub fn next_ns(&self) -> Option<u64> {
        let due_ns = (self.next as f64 * self.interval_ns) as u64;
        (due_ns < self.end_ns).then_some(due_ns)
    }

    /// Takes the next request if it is due by now: its number and its time.
    pub fn take(&mut self, now_ns: u64) -> Option<(u64, u64)> {
        let due_ns = self.next_ns().filter(|due_ns| *due_ns <= now_ns)?;
        self.next += 1;
        Some((self.next - 1, due_ns))
    }
}

/// What was measured, with three significant digits.
pub struct Latencies(Histogram<u64>);

/// Percentiles in microseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Percentiles {
    pub count: u64,
    pub min: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
}

impl Latencies {
    pub fn new() -> Latencies {
        let bounds = Histogram::new_with_bounds(1, LONGEST_US, 3);
        Latencies(bounds.expect("the bounds are constants that the crate accepts"))
    }

    pub fn record(&mut self, due_ns: u64, now_ns: u64) {
        self.0.saturating_record(now_ns.saturating_sub(due_ns).div_ceil(1000));
    }

    pub fn percentiles(&self) -> Option<Percentiles> {
        let at = |quantile| self.0.value_at_quantile(quantile);
        (!self.0.is_empty()).then(|| Percentiles {
            count: self.0.len(),
            min: self.0.min(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.0.max(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// A broker that answers in one millisecond and stands still for 100 ms once, asked 1000 times a second for a second,
    /// one request after the other. Returns what is measured from the due time and from the time of sending.
    fn stalled_second() -> (Percentiles, Percentiles) {
        let (mut from_due, mut from_sent) = (Latencies::new(), Latencies::new());
        let mut schedule = Schedule::new(1000.0, 1000 * MS);
        let mut now_ns = 0;
        while let Some(next_ns) = schedule.next_ns() {
            now_ns = now_ns.max(next_ns);
            let (number, due_ns) = schedule.take(now_ns).expect("it is due");
            let answered_ns = now_ns + if number == 500 { 100 * MS } else { MS / 2 };
            from_due.record(due_ns, answered_ns);
            from_sent.record(now_ns, answered_ns);
            now_ns = answered_ns;
        }
        (from_due.percentiles().expect("values"), from_sent.percentiles().expect("values"))
    }

    #[test]
    fn a_stall_is_seen_by_every_request_that_it_delayed() {
        let (from_due, from_sent) = stalled_second();
        assert_eq!((from_due.count, from_sent.count), (1000, 1000));
        // Coordinated omission: measured from the sending, one request in a thousand was slow, and p99 is blind.
        assert_eq!(from_sent.p99, 500);
        // About 100 ms / (1 ms - 0.5 ms) = 200 requests waited in the queue behind the stall.
        assert!((90_000..=100_000).contains(&from_due.p99), "{from_due:?}");
        assert!((45_000..=55_000).contains(&from_due.p90), "{from_due:?}");
        assert_eq!(from_due.p50, 500);
    }

    #[test]
    fn the_schedule_does_not_wait_for_answers() {
        let mut schedule = Schedule::new(1000.0, 10 * MS);
        let mut taken = Vec::new();
        // Nobody looked for five milliseconds: six are due at once, each with its own time.
        while let Some((_, due_ns)) = schedule.take(5 * MS) {
            taken.push(due_ns);
        }
        assert_eq!(taken, [0, MS, 2 * MS, 3 * MS, 4 * MS, 5 * MS]);
        assert_eq!(schedule.take(20 * MS), Some((6, 6 * MS)));
        while schedule.take(20 * MS).is_some() {}
        assert_eq!(schedule.next_ns(), None, "the end of the load is the end of the schedule");
    }

    #[test]
    fn percentiles_have_three_significant_digits() {
        let mut latencies = Latencies::new();
        for us in 1..=100_000 {
            latencies.record(0, us * 1000);
        }
        let found = latencies.percentiles().expect("values");
        for (value, exact) in [(found.p50, 50_000.0), (found.p99, 99_000.0), (found.p999, 99_900.0)] {
            assert!((value as f64 / exact - 1.0).abs() < 0.002, "{value} for {exact}");
        }
    }
}
