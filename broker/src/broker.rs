//! `Broker`: everything that a request may need, built once by `server.rs` and shared by reference count.
//!
//! It owns no logic. Handlers in `api/` reach the metadata, the local partitions, the group coordinator, the
//! fetch sessions and the counters through it; nothing in here knows sockets or versions of the protocol.
//! Fields are set before the first listener opens and never replaced.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::api::fetch::sessions::FetchSessionCache;
use crate::config::BrokerConfig;
use crate::controller::MetadataHandle;
use crate::coordinator::Coordinator;
use crate::identity::Identity;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::partition::{ColdReads, Registry};

/// One running broker.
pub struct Broker {
    pub config: Arc<BrokerConfig>,
    /// Who this data directory says we are: cluster id, node id, directory id.
    pub identity: Identity,
    /// The committed image of the cluster, and the only way to change it.
    pub metadata: MetadataHandle,
    /// The replicas that live in this process.
    pub partitions: Arc<Registry>,
    pub coordinator: Coordinator,
    pub fetch_sessions: FetchSessionCache,
    /// The threads that wait for the disk.
    pub cold_reads: Arc<ColdReads>,
    /// Bounds how many batches are inflated or compressed at the same time.
    pub inflating: Arc<Semaphore>,
    pub metrics: Arc<Metrics>,
    pub lifecycle: Arc<Lifecycle>,
}

impl Broker {
    /// The node id as Kafka's wire knows it.
    pub fn node_id(&self) -> i32 {
        self.identity.node_id
    }
}
