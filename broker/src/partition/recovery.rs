//! The threads that open and recover the logs of a start, while what is open is served already.
//!
//! num.recovery.threads.per.data.dir of them; they end when nothing is left. A stop does not wait for a queue: what is
//! not open yet stays as it is on disk. Started by the controller, waited for by `server.rs`. Kafka:
//! `LogManager.loadLogs`, which serves nothing before the last log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use tokio::sync::watch;
use tracing::error;

use super::registry::Registry;
use crate::clock;
use crate::lifecycle::Lifecycle;

/// The running threads.
pub struct Recovery {
    stops: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// Threads that are at work.
    at_work: watch::Receiver<usize>,
}

impl Recovery {
    /// Opens what the registry expects.
    pub fn start(
        registry: &Arc<Registry>,
        lifecycle: &Arc<Lifecycle>,
        threads: usize,
    ) -> std::io::Result<Recovery> {
        let stops = Arc::new(AtomicBool::new(false));
        let threads = threads.min(registry.opening());
        let (working, at_work) = watch::channel(threads);
        let working = Arc::new(working);
        let start = |number: usize| {
            let (registry, lifecycle) = (Arc::clone(registry), Arc::clone(lifecycle));
            let (stops, working) = (Arc::clone(&stops), Arc::clone(&working));
            std::thread::Builder::new().name(format!("recovery-{number}")).spawn(move || {
                while !stops.load(Ordering::Acquire) && registry.open_next(clock::steady_ms()) {
                    lifecycle.recovery_one_done();
                }
                working.send_modify(|count| *count -= 1);
            })
        };
        let threads = (0..threads).map(start).collect::<std::io::Result<_>>()?;
        Ok(Recovery { stops, threads, at_work })
    }

    /// Resolves when every log is open or known to be offline.
    pub fn finished(&self) -> impl Future<Output = ()> + use<> {
        let mut at_work = self.at_work.clone();
        async move {
            // The sender lives as long as a thread does.
            let _ = at_work.wait_for(|threads| *threads == 0).await;
        }
    }

    /// Ends the threads when each has opened what it is at. Blocks.
    pub fn stop(self) {
        self.stops.store(true, Ordering::Release);
        self.wait();
    }

    /// Waits until everything is open. Blocks.
    pub fn wait(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                error!("a recovery thread panicked");
            }
        }
    }
}
