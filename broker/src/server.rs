//! Puts a broker together, in the order in which a start can fail cheaply, and runs it until it is told to stop.
//!
//! Sockets are bound first (a port in use stops the start before data is touched) but accept nothing yet; then
//! the data directory is locked and identified, metadata is replayed, and the listeners open: each partition is served
//! as soon as its log is. With the last of them `/readyz` turns true. `/livez` answers from the beginning. Every failure
//! is one sentence.

use std::sync::Arc;
use std::time::{Duration, Instant};

use logspine_protocol::types::BrokerId;
use logspine_storage::disk::Disk;
use logspine_storage::{LogDir, RealDisk, StorageError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;
use tokio::sync::Semaphore;
use tracing::{info, warn};

use crate::admin::{AdminError, AdminServer};
use crate::api::fetch::sessions::FetchSessionCache;
use crate::broker::Broker;
use crate::clock::{self, NotAllowed};
use crate::config::BrokerConfig;
use crate::controller::{self, ControllerThread, MetadataHandle, Started};
use crate::coordinator::Coordinator;
use crate::identity::{self, Identity, IdentityError};
use crate::lifecycle::{Lifecycle, State};
use crate::metrics::{Metrics, NetworkThreads};
use crate::net::{BindError, Listeners, Workers};
use crate::partition::{
    Checkpoints, Cleaner, ColdReads, Committer, CommitterThread, DiskHealth, Housekeeping, Recovery,
    Registry, Scrubber,
};
use crate::shutdown;

/// Why a broker does not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    Clock(#[from] NotAllowed),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Metadata(#[from] controller::StartError),
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
    #[error("the start was interrupted")]
    Interrupted,
}

/// What runs beside the connections, in the order in which it is taken down.
pub struct Running {
    pub broker: Arc<Broker>,
    pub controller: ControllerThread,
    pub recovery: Recovery,
    pub cleaner: Cleaner,
    pub housekeeping: Housekeeping,
    /// `None` if it is switched off.
    pub scrubber: Option<Scrubber>,
    pub committer: CommitterThread,
    pub log_dir: Arc<LogDir>,
}

/// The parts that exist before the broker does.
struct Opened {
    identity: Identity,
    metadata: MetadataHandle,
    partitions: Arc<Registry>,
    controller: ControllerThread,
    recovery: Recovery,
    committer: CommitterThread,
    log_dir: Arc<LogDir>,
}

/// So long the listeners wait for the last log. Behind it clients are told to try again, which costs them a backoff of
/// 100 ms each time.
const OPENING_GRACE: Duration = Duration::from_millis(200);

/// Starts a broker, serves, and stops it. Returns when everything is on disk.
pub async fn run(mut config: BrokerConfig) -> Result<(), StartError> {
    clock::establish()?;
    take_descriptors();
    let signals = shutdown::Signals::listen().map_err(StartError::Signals)?;
    let lifecycle = Arc::new(Lifecycle::new(clock::wall_ms()));
    let metrics = Arc::new(Metrics::new());
    warn_about(&config);
    let bound = Listeners::bind(&mut config.listeners, &config.network).await?;
    let config = Arc::new(config);
    let admin = AdminServer::start(Arc::clone(&config), Arc::clone(&lifecycle), Arc::clone(&metrics)).await?;
    lifecycle.advance(State::Recovering);
    let opening = {
        let (config, lifecycle, metrics) =
            (Arc::clone(&config), Arc::clone(&lifecycle), Arc::clone(&metrics));
        tokio::task::spawn_blocking(move || open(&config, &lifecycle, metrics))
    };
    let opened = opening.await.map_err(|_| StartError::Interrupted)??;
    let running = assemble(Arc::clone(&config), opened, Arc::clone(&lifecycle), metrics)?;
    let broker = Arc::clone(&running.broker);
    admin.serve_broker(Arc::clone(&broker));
    tokio::spawn(follow_metadata(Arc::clone(&broker)));
    // Few logs are open before a client could ask: none of them is then met half-way.
    let _ = tokio::time::timeout(OPENING_GRACE, running.recovery.finished()).await;
    let listening = bound.listen()?;
    let workers = Arc::new(Workers::start().map_err(StartError::Thread)?);
    let _ = broker.metrics.network_threads.set(NetworkThreads::new(workers.metrics(), Instant::now()));
    let serving = tokio::spawn(listening.serve(Arc::clone(&broker), Arc::clone(&workers)));
    tokio::spawn(become_ready(Arc::clone(&broker), running.recovery.finished()));
    shutdown::wait_and_stop(signals, running, serving, admin).await;
    // Not earlier: tasks on them may belong to the coordinator.
    tokio::task::spawn_blocking(move || drop(workers)).await.map_err(|_| StartError::Interrupted)
}

/// Once every log is open, or known to be offline.
async fn become_ready(broker: Arc<Broker>, recovered: impl Future<Output = ()>) {
    let opening = broker.partitions.opening();
    if opening > 0 {
        info!(opening, "partitions are served as their logs are opened");
    }
    recovered.await;
    broker.coordinator.metadata_published();
    broker.lifecycle.advance(State::Running);
    info!(
        node_id = broker.node_id(),
        cluster_id = %broker.identity.cluster_id,
        data_dir = %broker.config.data_dir.display(),
        "broker is ready"
    );
}

/// As many descriptors as the process may have: the soft limit protects programs that use `select`.
fn take_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let taken = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    if let Err(error) = taken {
        warn!("the limit of open files stays at {:?}: {error}", limit.current);
    }
}

fn warn_about(config: &BrokerConfig) {
    for key in &config.unknown_keys {
        warn!(key, "unknown configuration key; it is ignored");
    }
}

/// Everything that blocks: lock, identify, replay.
fn open(
    config: &Arc<BrokerConfig>,
    lifecycle: &Arc<Lifecycle>,
    metrics: Arc<Metrics>,
) -> Result<Opened, StartError> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let log_dir = Arc::new(LogDir::open(disk, &config.data_dir)?);
    // First: a disk that is full gives its reserve back for what a start has to write.
    let disk_health = Arc::new(DiskHealth::open(Arc::clone(&log_dir), config.log_dir.reserve_bytes));
    let identity = identity::establish(&log_dir, config)?;
    let checkpoints = Checkpoints {
        recovery_points: log_dir.recovery_points()?,
        log_starts: log_dir.log_starts()?,
        high_watermarks: log_dir.high_watermarks()?,
        is_clean: log_dir.take_clean_shutdown()?.is_some(),
    };
    if !checkpoints.is_clean && !checkpoints.recovery_points.is_empty() {
        info!("the last stop was not clean; logs are recovered from their recovery points");
    }
    let committer = Committer::start(metrics).map_err(StartError::Thread)?;
    let registry = Registry::new(
        Arc::clone(&log_dir),
        committer.committer(),
        checkpoints,
        BrokerId(identity.node_id),
        config.log_dir.producer_id_expiration_ms,
    );
    let partitions = Arc::new(registry.with_disk(disk_health));
    let Started { metadata, controller, recovery } = controller::start(controller::Start {
        config: Arc::clone(config),
        identity: identity.clone(),
        partitions: Arc::clone(&partitions),
        lifecycle: Arc::clone(lifecycle),
    })?;
    Ok(Opened { identity, metadata, partitions, controller, recovery, committer, log_dir })
}

/// Tells the coordinator after every publication; ends with the controller.
async fn follow_metadata(broker: Arc<Broker>) {
    let mut publications = broker.metadata.publications();
    while publications.changed().await.is_ok() {
        broker.coordinator.metadata_published();
    }
}

fn assemble(
    config: Arc<BrokerConfig>,
    opened: Opened,
    lifecycle: Arc<Lifecycle>,
    metrics: Arc<Metrics>,
) -> Result<Running, StartError> {
    let Opened { identity, metadata, partitions, controller, recovery, committer, log_dir } = opened;
    let cleaner = Cleaner::start(Arc::clone(&partitions), &config.log_dir.cleaner, Arc::clone(&metrics))
        .map_err(StartError::Thread)?;
    let housekeeping =
        Housekeeping::start(Arc::clone(&partitions), &config.log_dir).map_err(StartError::Thread)?;
    let scrubber = Scrubber::start(Arc::clone(&partitions), config.cold_reads.scrub, metrics.scrub.clone())
        .map_err(StartError::Thread)?;
    let cold_reads =
        Arc::new(ColdReads::start(config.cold_reads.replay_cache_bytes).map_err(StartError::Thread)?);
    let coordinator = Coordinator::start(Arc::clone(&config), metadata.clone(), Arc::clone(&partitions));
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let broker = Arc::new(Broker {
        fetch_sessions: FetchSessionCache::new(config.fetch_session_slots),
        cold_reads,
        config,
        identity,
        metadata,
        partitions,
        coordinator,
        inflating: Arc::new(Semaphore::new(processors)),
        metrics,
        lifecycle,
    });
    Ok(Running { broker, controller, recovery, cleaner, housekeeping, scrubber, committer, log_dir })
}
