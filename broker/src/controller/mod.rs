//! The controller inside this broker: it owns the metadata log, decides, publishes, and answers.
//!
//! `start` replays the log, registers this broker, has the local partitions opened, and hands the log to one
//! thread (`driver`). Everybody else holds a `MetadataHandle`: the committed image without a lock, and `propose`,
//! which returns once the change is durable *and* carried out here. `publisher` carries images out to the local
//! partitions; `strays` and `misplaced` look after directories that no topic claims or that have
//! another's name; `producer_ids` hands out producer ids.
//! Kafka: `QuorumController`, `BrokerMetadataPublisher`, `BrokerLifecycleManager`.

mod driver;
mod handle;
mod misplaced;
mod producer_ids;
mod publisher;
mod registration;
mod strays;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use logspine_cluster::metadata::configs::{ConfigError, validate_file};
use logspine_cluster::metadata::{
    CLUSTER_METADATA_TOPIC_NAME, Input, MetadataImage, Outcome, Request, RequestError, Settings,
};
use logspine_cluster::quorum::QuorumConfig;
use logspine_protocol::types::BrokerId;
use logspine_replica::metadata_log::{MetadataLog, MetadataLogError};
use logspine_replica::raft_log::OpenRaftLog;
use logspine_storage::StorageError;
use thiserror::Error;
use tracing::warn;

use crate::clock;
use crate::config::BrokerConfig;
use crate::identity::{self, Identity};
use crate::lifecycle::Lifecycle;
use crate::partition::{Recovery, Registry};

pub use driver::ControllerThread;
pub use handle::{MetadataHandle, ProposeError};
pub use producer_ids::ProducerIds;

/// The only partition of `__cluster_metadata`.
const METADATA_PARTITION: i32 = 0;

/// What the controller is started with.
pub struct Start {
    pub config: Arc<BrokerConfig>,
    pub identity: Identity,
    pub partitions: Arc<Registry>,
    pub lifecycle: Arc<Lifecycle>,
}

/// Why there is no controller, and so no broker.
#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    Log(#[from] MetadataLogError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("this broker cannot be registered: {0}")]
    Register(RequestError),
    #[error("the configuration is not valid: {0}")]
    Config(ConfigError),
    #[error("the only voter of the metadata quorum did not become its leader")]
    NotLeader,
    #[error(
        "{directory} holds {partitions} partition(s), but its metadata log is empty, so nobody can say whose they \
         are; restore __cluster_metadata-0 from a copy of the directory, or use an empty directory"
    )]
    MetadataMissing { directory: String, partitions: usize },
    #[error("cannot draw a random id: {0}")]
    Random(std::io::Error),
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// A running controller, and the threads that open the local partitions.
pub struct Started {
    pub metadata: MetadataHandle,
    pub controller: ControllerThread,
    pub recovery: Recovery,
}

/// Replays, registers, begins to open the local partitions, and starts the thread. Blocks until the metadata is there.
pub fn start(start: Start) -> Result<Started, StartError> {
    let Start { config, identity, partitions, lifecycle } = start;
    check_file(&config)?;
    let broker = BrokerId(identity.node_id);
    let open_log = opener(&config, &identity, &partitions);
    let durable_end = partitions.recovery_point_at_start(CLUSTER_METADATA_TOPIC_NAME, METADATA_PARTITION);
    let mut log = open_log(durable_end)?;
    if !log.is_leader() {
        return Err(StartError::NotLeader);
    }
    strays::check_metadata_is_there(log.image(), partitions.log_dir())?;
    let broker_epoch = register(&mut log, &config, &identity)?;
    strays::set_aside(log.image(), broker, &partitions)?;
    let publisher = publisher::Publisher::new(broker, &config, partitions);
    publisher.note_recovery_point(log.raft().recovery_point());
    let recovery = publisher.publish_first(log.image(), &lifecycle).map_err(StartError::Thread)?;
    let (metadata, controller) =
        driver::spawn(log, open_log, publisher, broker, broker_epoch).map_err(StartError::Thread)?;
    Ok(Started { metadata, controller, recovery })
}

/// How the metadata log is opened, at the start and whenever the disk had refused a write.
fn opener(config: &BrokerConfig, identity: &Identity, partitions: &Registry) -> driver::OpenLog {
    let disk = Arc::clone(partitions.log_dir().disk());
    let data_dir = partitions.log_dir().path().to_path_buf();
    let (node_id, file) = (identity.node_id, config.properties.clone());
    Box::new(move |recovery_point| {
        let open = OpenRaftLog {
            disk: Arc::clone(&disk),
            data_dir: data_dir.clone(),
            recovery_point,
            quorum: QuorumConfig::single(node_id),
            now_ms: clock::steady_ms(),
        };
        let mut log = MetadataLog::open(open, Settings { file: file.clone() })?;
        log.advance()?;
        Ok(log)
    })
}

/// A default of topics that cannot be read stops the start; one that is not acted on is told. Values of keys that may
/// hold secrets are not in this table.
fn check_file(config: &BrokerConfig) -> Result<(), StartError> {
    for finding in validate_file(&config.properties) {
        match finding {
            ConfigError::NotHonoured { .. } => warn!("{finding}"),
            _ => return Err(StartError::Config(finding)),
        }
    }
    Ok(())
}

/// A request before the driver's thread exists.
fn register(log: &mut MetadataLog, config: &BrokerConfig, identity: &Identity) -> Result<i64, StartError> {
    let incarnation_id = identity::random_id().map_err(StartError::Random)?;
    let request = Request::RegisterBroker(registration::registration(config, identity, incarnation_id));
    let mut replies = log.submit(clock::steady_ms(), Input { token: 0, request });
    replies.extend(log.advance()?);
    match replies.pop().map(|reply| reply.result) {
        Some(Ok(Outcome::BrokerRegistered { epoch })) => Ok(epoch),
        Some(Err(refusal)) => Err(StartError::Register(refusal)),
        _ => Err(StartError::NotLeader),
    }
}

/// Whether the image was ever written to: an empty one knows no broker.
fn is_new(image: &MetadataImage) -> bool {
    image.last_broker_epoch() == 0
}
