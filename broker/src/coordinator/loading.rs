//! Replays a partition of `__consumer_offsets` into its shard before that serves.
//!
//! Reads up to the log's end as of the moment this broker became its leader: everything that an earlier answer
//! may have promised lies below it. Reading (`replica::group_log`) blocks, so it happens on the blocking pool, a few
//! partitions at a time. A record that cannot be read means that offsets would be wrong: the shard does not serve then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use logspine_cluster::group::{DeletedTopic, Input};
use logspine_cluster::metadata::MetadataImage;
use logspine_replica::group_log::GroupLog;

use super::Coordinator;
use super::driver::Shard;

/// Patience with a watermark that does not come: the disk is stuck, and each round says so.
const WATERMARK_PATIENCE: Duration = Duration::from_secs(30);

impl Coordinator {
    /// Brings a new shard to life: at once when its log is empty, else in the background.
    pub(super) fn load(&self, shard: &Arc<Shard>) {
        let view = shard.partition().view();
        if view.log_start_offset() == view.log_end_offset() {
            shard.step(Input::Loaded);
            return;
        }
        tokio::spawn(self.clone().load_in_background(Arc::clone(shard)));
    }

    async fn load_in_background(self, shard: Arc<Shard>) {
        let Ok(_permit) = Arc::clone(&self.inner.loads).acquire_owned().await else { return };
        let started = Instant::now();
        let end = shard.partition().view().log_end_offset();
        while let Err(error) =
            shard.partition().wait_committed(end, Instant::now() + WATERMARK_PATIENCE).await
        {
            tracing::warn!(partition = shard.index(), "groups cannot be loaded yet: {error}");
            if !shard.partition().is_healthy() {
                return shard.resign();
            }
        }
        let reader = Arc::clone(&shard);
        let replay =
            move || GroupLog::new(reader.partition().view()).replay(end, |records| reader.replay(records));
        let loaded = tokio::task::spawn_blocking(replay).await;
        match loaded {
            Ok(Ok(records)) => {
                shard.step(Input::Loaded);
                self.drop_offsets_of_lost_topics(&shard);
                let elapsed_ms = started.elapsed().as_millis();
                tracing::info!(partition = shard.index(), records, elapsed_ms, "groups are loaded");
            }
            Ok(Err(error)) => {
                tracing::error!(partition = shard.index(), "__consumer_offsets cannot be loaded: {error}");
                shard.fail();
            }
            // The runtime is shutting down.
            Err(_) => shard.resign(),
        }
    }

    /// Topics that were deleted while nobody coordinated.
    fn drop_offsets_of_lost_topics(&self, shard: &Arc<Shard>) {
        let image = self.inner.metadata.image();
        let lost = shard.look(|machine| {
            let mut lost: Vec<DeletedTopic> = Vec::new();
            for (key, offset) in machine.offsets() {
                let topic = DeletedTopic { topic_id: offset.topic_id, name: key.topic.clone() };
                if is_lost(&image, &topic) && !lost.contains(&topic) {
                    lost.push(topic);
                }
            }
            lost
        });
        if !lost.is_empty() {
            shard.step(Input::TopicsDeleted(lost));
        }
    }
}

fn is_lost(image: &MetadataImage, topic: &DeletedTopic) -> bool {
    if topic.topic_id.is_zero() {
        image.topic_by_name(&topic.name).is_none()
    } else {
        image.topic_by_id(topic.topic_id).is_none()
    }
}
