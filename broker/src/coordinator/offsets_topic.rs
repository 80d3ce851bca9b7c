//! `__consumer_offsets` comes to be when it is first needed, as in Kafka.
//!
//! Created through the metadata like any topic, once, with Kafka's settings; the replication factor asked for
//! is capped by the brokers that are there.

use logspine_cluster::metadata::{
    GROUP_METADATA_TOPIC_NAME, MetadataImage, NewTopic, Outcome, Request, RequestErrorCode,
};
use logspine_protocol::error::ErrorCode;
use logspine_protocol::types::TopicId;

use super::Coordinator;
use crate::identity::random_id;

impl Coordinator {
    /// Returns once the topic exists and its partitions are open.
    pub async fn ensure_offsets_topic(&self) -> Result<(), ErrorCode> {
        let exists = |image: &MetadataImage| image.topic_by_name(GROUP_METADATA_TOPIC_NAME).is_some();
        if exists(&self.inner.metadata.image()) {
            return Ok(());
        }
        let _one_at_a_time = self.inner.creation.lock().await;
        let image = self.inner.metadata.image();
        if exists(&image) {
            return Ok(());
        }
        let topic_id = random_id().map_err(|_| ErrorCode::CoordinatorNotAvailable)?;
        let topics = vec![self.offsets_topic(&image, topic_id)];
        let request = Request::CreateTopics { topics, validate_only: false };
        let created = match self.inner.metadata.propose(request).await {
            Ok(Outcome::TopicsCreated(results)) => results.into_iter().next(),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!("{GROUP_METADATA_TOPIC_NAME} cannot be created: {error}");
                None
            }
        };
        match created {
            Some(Ok(_)) => {
                self.open_shards();
                Ok(())
            }
            Some(Err(error)) if error.code == RequestErrorCode::TopicAlreadyExists => Ok(()),
            Some(Err(error)) => {
                tracing::warn!("{GROUP_METADATA_TOPIC_NAME} cannot be created: {error}");
                Err(ErrorCode::CoordinatorNotAvailable)
            }
            None => Err(ErrorCode::CoordinatorNotAvailable),
        }
    }

    fn offsets_topic(&self, image: &MetadataImage, topic_id: TopicId) -> NewTopic {
        let config = &self.inner.config.group;
        let brokers = image.brokers().filter(|broker| !broker.fenced).count();
        let brokers = i16::try_from(brokers).unwrap_or(i16::MAX).max(1);
        let set = |name: &str, value: String| (name.to_owned(), Some(value));
        NewTopic {
            name: GROUP_METADATA_TOPIC_NAME.to_owned(),
            topic_id,
            num_partitions: config.offsets_topic_num_partitions,
            replication_factor: config.offsets_topic_replication_factor.min(brokers),
            assignments: Vec::new(),
            configs: vec![
                set("cleanup.policy", "compact".to_owned()),
                set("compression.type", "producer".to_owned()),
                set("segment.bytes", config.offsets_topic_segment_bytes.to_string()),
            ],
        }
    }
}
