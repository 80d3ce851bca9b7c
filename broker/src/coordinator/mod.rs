//! The group coordinator: consumer groups and their offsets, kept in `__consumer_offsets`.
//!
//! `router` says which partition holds a group and whether it is led here; `driver` steps the machine of one
//! partition (`cluster::group::GroupShard`) through `replica::StateLog`; `loading` replays its log before that;
//! `timers` is the one task for all deadlines; `offsets_topic` creates the topic when it is first needed.
//! Called by the handlers of the group APIs, by the metrics, and by the controller after each publication.
//! Wall clock and randomness are read here and go inward as arguments.

mod driver;
mod figures;
mod loading;
mod offsets_topic;
mod router;
mod timers;
mod uuid;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use logspine_cluster::group::request::List;
use logspine_cluster::group::response::ListedGroup;
use logspine_cluster::group::{DeletedTopic, GroupRequest, GroupResponse, Input};
use logspine_cluster::metadata::MetadataImage;
use logspine_protocol::error::ErrorCode;
use logspine_protocol::types::BrokerId;
use parking_lot::Mutex;

use crate::config::{BrokerConfig, GroupConfig};
use crate::controller::MetadataHandle;
use crate::partition::Registry;

use driver::Shard;
use timers::Deadlines;

pub use figures::GroupFigures;
pub use uuid::random_uuid;

/// Cheap to clone; all clones are the same coordinator.
#[derive(Clone)]
pub struct Coordinator {
    inner: Arc<Inner>,
}

struct Inner {
    broker: BrokerId,
    config: Arc<BrokerConfig>,
    metadata: MetadataHandle,
    partitions: Arc<Registry>,
    /// By partition of `__consumer_offsets`. At most as many as the topic has.
    shards: Mutex<BTreeMap<i32, Arc<Shard>>>,
    deadlines: Arc<Deadlines>,
    /// Shards that may read their log at the same time.
    loads: Arc<tokio::sync::Semaphore>,
    /// One creation of the topic at a time.
    creation: tokio::sync::Mutex<()>,
    /// What was published when topics were last compared.
    seen: ArcSwap<MetadataImage>,
    stopped: AtomicBool,
}

/// Logs that are read at the same time at start: more would only contend for the disk.
const CONCURRENT_LOADS: usize = 4;

impl Coordinator {
    /// Starts the timer task and loads the groups of every partition that is open here; the others when they are
    /// asked for, or with the next publication. Call inside the runtime.
    pub fn start(
        config: Arc<BrokerConfig>,
        metadata: MetadataHandle,
        partitions: Arc<Registry>,
    ) -> Coordinator {
        let inner = Arc::new(Inner {
            broker: BrokerId(config.node_id),
            config,
            partitions,
            shards: Mutex::default(),
            deadlines: Arc::default(),
            loads: Arc::new(tokio::sync::Semaphore::new(CONCURRENT_LOADS)),
            creation: tokio::sync::Mutex::default(),
            seen: ArcSwap::new(metadata.image()),
            stopped: AtomicBool::new(false),
            metadata,
        });
        tokio::spawn(timers::run(Arc::clone(&inner.deadlines), Arc::downgrade(&inner)));
        let coordinator = Coordinator { inner };
        coordinator.open_shards();
        coordinator
    }

    /// Asks the shard that holds the group. A refusal by routing is `GroupResponse::Error`.
    pub async fn request(&self, group_id: &str, request: GroupRequest) -> GroupResponse {
        match self.shard_of(group_id) {
            Ok(shard) => shard.request(request).await,
            Err(error) => GroupResponse::Error(error),
        }
    }

    /// The groups of every shard that is led here.
    pub async fn list(&self, list: &List) -> Result<Vec<ListedGroup>, ErrorCode> {
        self.open_shards();
        self.all_open()?;
        let mut listed = Vec::new();
        for shard in self.shards() {
            match shard.request(GroupRequest::List(list.clone())).await {
                GroupResponse::Listed(groups) => listed.extend(groups),
                GroupResponse::Error(ErrorCode::NotCoordinator) => {}
                refused => return Err(refused.refusal()),
            }
        }
        Ok(listed)
    }

    /// To be called after each publication of metadata: opens shards whose partitions came here, lets go of
    /// those whose partitions went, and drops the offsets of topics that were deleted.
    pub fn metadata_published(&self) {
        let image = self.inner.metadata.image();
        let before = self.inner.seen.swap(Arc::clone(&image));
        self.open_shards();
        let removed = image.topics_since(&before).removed;
        if removed.is_empty() {
            return;
        }
        let deleted = |topic: &Arc<logspine_cluster::metadata::Topic>| DeletedTopic {
            topic_id: topic.topic_id,
            name: topic.name.to_string(),
        };
        let topics: Vec<DeletedTopic> = removed.iter().map(deleted).collect();
        for shard in self.shards() {
            shard.step(Input::TopicsDeleted(topics.clone()));
        }
    }

    /// The broker stops: who waits for other members is sent away, nobody new is served, and what is on its
    /// way to the disk is still answered when it is there. May be called twice.
    pub fn stop(&self) {
        self.inner.stopped.store(true, Ordering::Release);
        for shard in self.shards() {
            shard.step(Input::Resigned);
        }
    }

    fn shards(&self) -> Vec<Arc<Shard>> {
        self.inner.shards.lock().values().cloned().collect()
    }
}

/// The part of the configuration that decisions need.
fn decision_config(config: &GroupConfig) -> logspine_cluster::group::GroupConfig {
    logspine_cluster::group::GroupConfig {
        min_session_timeout_ms: config.min_session_timeout_ms,
        max_session_timeout_ms: config.max_session_timeout_ms,
        max_size: usize::try_from(config.max_size).unwrap_or(usize::MAX),
        initial_rebalance_delay_ms: config.initial_rebalance_delay_ms,
        offset_metadata_max_bytes: usize::try_from(config.offset_metadata_max_bytes).unwrap_or(0),
        offsets_retention_ms: config.offsets_retention_ms,
        offsets_retention_check_interval_ms: config.offsets_retention_check_interval_ms,
        ..logspine_cluster::group::GroupConfig::default()
    }
}
