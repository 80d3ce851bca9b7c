//! How a broker stops: signals, a grace period for what is in flight, then everything to disk.
//!
//! Order: stop accepting and reading, let started requests answer, stop opening logs, the coordinator and the controller, run
//! the last flush round, close every log, write the checkpoints, and last the clean-shutdown marker, which is
//! written only if every log closed well. A second signal ends the process at once, as a crash would.

use std::time::Duration;

use logspine_storage::CleanShutdown;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::admin::AdminServer;
use crate::lifecycle::State;
use crate::partition::Scrubber;
use crate::server::Running;

/// How long requests in flight may take. Kubernetes gives 30 s by default; the rest is for the disk.
const GRACE: Duration = Duration::from_secs(15);

/// SIGTERM and SIGINT, caught from the first moment of the start.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The name of the next signal.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Serves until a signal comes, then stops the broker.
pub async fn wait_and_stop(
    mut signals: Signals,
    running: Running,
    serving: JoinHandle<()>,
    admin: AdminServer,
) {
    let name = signals.next().await;
    info!("{name}: stopping");
    tokio::spawn(async move {
        let name = signals.next().await;
        error!("{name} again: ending at once");
        std::process::exit(1);
    });
    running.broker.lifecycle.advance(State::Stopping);
    // Before the grace period: who is parked in a group waits for others, not for us.
    running.broker.coordinator.stop();
    if tokio::time::timeout(GRACE, serving).await.is_err() {
        warn!("connections did not finish within {}s; closing them", GRACE.as_secs());
    }
    admin.stop();
    match tokio::task::spawn_blocking(move || close(running)).await {
        Ok(()) => info!("stopped"),
        Err(panic) => error!("the stop did not end well: {panic}"),
    }
}

/// Everything that blocks.
fn close(running: Running) {
    let Running { broker, controller, recovery, cleaner, housekeeping, scrubber, committer, log_dir } =
        running;
    recovery.stop();
    broker.coordinator.stop();
    controller.stop();
    cleaner.stop();
    housekeeping.stop();
    scrubber.into_iter().for_each(Scrubber::stop);
    committer.stop();
    let Some(positions) = broker.partitions.close_all() else {
        error!("not every log closed; the next start recovers them");
        return;
    };
    let written = log_dir
        .write_positions(|| positions)
        .and_then(|()| log_dir.write_clean_shutdown(CleanShutdown { broker_epoch: -1 }));
    if let Err(error) = written {
        error!("the clean-shutdown marker is not written: {error}");
    }
}
