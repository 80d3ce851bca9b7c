//! The threads that serve connections: one single-threaded runtime each, and a connection stays on the one it got.
//!
//! Nothing is stolen between them, so an answer does not wake a second thread to look for work: that costs three
//! system calls a request. Connections are dealt out in turn. They live as long as the broker, because handlers may
//! leave tasks on them that outlive a connection. Called by `listener.rs`; started and ended by `server.rs`.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle, RuntimeMetrics};
use tokio::sync::watch;

/// More threads than this gain nothing for one broker's sockets.
const THREADS_MAX: usize = 16;

/// The running threads.
pub struct Workers {
    handles: Vec<Handle>,
    threads: Vec<JoinHandle<()>>,
    next: AtomicUsize,
    stop: watch::Sender<bool>,
}

impl Workers {
    /// Starts one thread per processor.
    pub fn start() -> io::Result<Workers> {
        let count = std::thread::available_parallelism().map_or(1, |count| count.get().min(THREADS_MAX));
        let stop = watch::channel(false).0;
        let (mut handles, mut threads) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for number in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            handles.push(runtime.handle().clone());
            let mut stopped = stop.subscribe();
            let thread = std::thread::Builder::new().name(format!("network-{number}")).spawn(move || {
                runtime.block_on(async {
                    let _ = stopped.wait_for(|stopped| *stopped).await;
                });
                // A task that blocks a thread of its own must not hold up the end.
                runtime.shutdown_background();
            })?;
            threads.push(thread);
        }
        Ok(Workers { handles, threads, next: AtomicUsize::new(0), stop })
    }

    /// What each thread's runtime counts about itself.
    pub fn metrics(&self) -> Vec<RuntimeMetrics> {
        self.handles.iter().map(Handle::metrics).collect()
    }

    /// The runtime whose turn it is.
    pub fn next(&self) -> &Handle {
        &self.handles[self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len()]
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a network thread panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_are_dealt_out_in_turn_and_each_stays_on_its_thread() {
        let workers = Workers::start().unwrap();
        let count = workers.handles.len();
        let mut names = Vec::new();
        for _ in 0..2 * count {
            let name = || std::thread::current().name().map(str::to_owned);
            let task = workers.next().spawn(async move {
                let before = name();
                tokio::task::yield_now().await;
                assert_eq!(before, name());
                before
            });
            names.push(task.await.unwrap());
        }
        assert_eq!(names[..count], names[count..]);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
