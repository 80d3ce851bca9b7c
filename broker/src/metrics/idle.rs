//! How idle the threads are that serve connections: the share of time in which they wait for sockets.
//!
//! The same threads read requests, handle them and write answers, so Kafka's two figures, network processors and
//! request handlers, are one here and exported under both names: dashboards and alerts for either work. The
//! figure is an average over the 15 to 30 seconds before the scrape, whoever else scrapes; it costs two readings
//! of counters that the runtimes keep anyway. Kafka: `SocketServer`, `KafkaRequestHandlerPool`.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::RuntimeMetrics;

use super::Exposition;

/// The shortest time that is averaged over, once the broker is older than that.
const WINDOW: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    /// Of all threads together, since they began.
    busy: Duration,
}

/// The threads, and what they had done when last asked.
pub struct NetworkThreads {
    runtimes: Vec<RuntimeMetrics>,
    window: Mutex<Window>,
}

/// Two samples at least `WINDOW` apart, unless the broker is younger.
#[derive(Debug, Clone, Copy)]
struct Window {
    older: Sample,
    newer: Sample,
}

impl Window {
    /// The share that `threads` threads were idle from the older sample until `now`.
    fn idle_ratio(&mut self, now: Sample, threads: usize) -> f64 {
        if now.at.saturating_duration_since(self.newer.at) >= WINDOW {
            *self = Window { older: self.newer, newer: now };
        }
        let available = now.at.saturating_duration_since(self.older.at).as_secs_f64() * threads as f64;
        if available <= 0.0 {
            return 1.0;
        }
        let busy = now.busy.saturating_sub(self.older.busy).as_secs_f64();
        (1.0 - busy / available).clamp(0.0, 1.0)
    }
}

impl NetworkThreads {
    /// Threads of one runtime each, from now on.
    pub fn new(runtimes: Vec<RuntimeMetrics>, now: Instant) -> NetworkThreads {
        let first = Sample { at: now, busy: busy(&runtimes) };
        NetworkThreads { runtimes, window: Mutex::new(Window { older: first, newer: first }) }
    }

    pub fn write(&self, page: &mut Exposition, now: Instant) {
        let now = Sample { at: now, busy: busy(&self.runtimes) };
        let ratio = self.window.lock().idle_ratio(now, self.runtimes.len());
        page.family("kafka_network_socketserver_networkprocessoravgidle_percent");
        page.sample(&[], ratio);
        page.family("kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent");
        page.sample(&[], ratio);
    }
}

fn busy(runtimes: &[RuntimeMetrics]) -> Duration {
    runtimes.iter().map(|runtime| runtime.worker_total_busy_duration(0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_of_the_last_seconds_and_not_of_all_time() {
        let start = Instant::now();
        let at = |seconds: u64, busy_ms: u64| Sample {
            at: start + Duration::from_secs(seconds),
            busy: Duration::from_millis(busy_ms),
        };
        let mut window = Window { older: at(0, 0), newer: at(0, 0) };
        assert_eq!(window.idle_ratio(at(0, 0), 2), 1.0, "no time has passed");
        assert_eq!(window.idle_ratio(at(10, 5_000), 2), 0.75);
        assert_eq!(window.idle_ratio(at(20, 10_000), 2), 0.75, "the second sample begins here");
        assert_eq!(window.idle_ratio(at(40, 10_000), 2), 1.0, "since the second sample nothing was done");
        assert_eq!(window.idle_ratio(at(50, 70_000), 2), 0.0, "never below");
    }

    #[test]
    fn a_thread_that_works_is_seen_and_one_that_sleeps_is_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let metrics = vec![runtime.metrics()];
        let (before, started) = (busy(&metrics), Instant::now());
        runtime.block_on(async {
            let until = Instant::now() + Duration::from_millis(30);
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            // Not to wait for anything: a thread that sleeps is what is measured.
            tokio::time::sleep(Duration::from_millis(50)).await;
        });
        let (busy, elapsed) = (busy(&metrics) - before, started.elapsed());
        assert!(busy >= Duration::from_millis(25), "{busy:?}");
        assert!(busy + Duration::from_millis(40) <= elapsed, "{busy:?} of {elapsed:?}");
    }
}
