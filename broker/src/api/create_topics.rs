//! CreateTopics, v2 to v7: one result per name. v4 takes -1 for the broker's defaults, v5 answers with partitions,
//! replication factor and settings, v7 with topic ids. The decision is the controller's; this translates.

use std::collections::BTreeSet;

use logspine_cluster::metadata::configs::{ConfigMap, Layers, TOPIC_KEYS, resolve_topic};
use logspine_cluster::metadata::{CreatedTopic, MetadataImage, NewTopic, Outcome, Request};
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use logspine_protocol::types::{BrokerId, PartitionIndex, TopicId};

use super::{RequestContext, metadata_errors};
use crate::identity;

pub async fn handle(
    context: &RequestContext,
    request: CreateTopicsRequest<'_>,
) -> CreateTopicsResponse<'static> {
    let names: Vec<String> = request.topics.iter().map(|topic| topic.name.to_string()).collect();
    let topics = match request.topics.iter().map(new_topic).collect() {
        Ok(topics) => topics,
        Err(error) => {
            return respond(refuse_all(names, ErrorCode::UnknownServerError, &error.to_string()));
        }
    };
    let change = Request::CreateTopics { topics, validate_only: request.validate_only };
    let deadline = context.deadline(request.timeout_ms);
    let results = match context.broker.metadata.propose_until(deadline, change).await {
        Ok(Outcome::TopicsCreated(results)) => {
            let image = context.broker.metadata.image();
            let file = &context.broker.config.properties;
            let shown = names.into_iter().zip(results).map(|(name, result)| match result {
                Ok(created) => success(&image, BrokerId(context.broker.node_id()), file, created),
                Err(refusal) => {
                    let (code, message) = metadata_errors::of_request(&refusal);
                    failure(name, code, &message)
                }
            });
            shown.collect()
        }
        Ok(_) => refuse_all(names, ErrorCode::UnknownServerError, "the controller answered something else"),
        Err(error) => {
            let (code, message) = metadata_errors::of_propose(&error);
            refuse_all(names, code, &message)
        }
    };
    respond(results)
}

/// A name that was asked for twice is answered once: clients look results up by name.
fn respond(mut results: Vec<CreatableTopicResult<'static>>) -> CreateTopicsResponse<'static> {
    let mut seen = BTreeSet::new();
    results.retain(|result| seen.insert(result.name.to_string()));
    CreateTopicsResponse { topics: results, ..CreateTopicsResponse::default() }
}

fn new_topic(topic: &CreatableTopic<'_>) -> std::io::Result<NewTopic> {
    let assignments = topic.assignments.iter().map(|assignment| {
        let brokers = assignment.broker_ids.iter().copied().map(BrokerId).collect();
        (PartitionIndex(assignment.partition_index), brokers)
    });
    let config = topic
        .configs
        .iter()
        .map(|config| (config.name.to_string(), config.value.as_deref().map(str::to_owned)));
    Ok(NewTopic {
        name: topic.name.to_string(),
        topic_id: identity::random_id()?,
        num_partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: assignments.collect(),
        configs: config.collect(),
    })
}

fn success(
    image: &MetadataImage,
    broker: BrokerId,
    file: &ConfigMap,
    created: CreatedTopic,
) -> CreatableTopicResult<'static> {
    let layers = Layers { topic: &created.configs, ..image.broker_layers(broker, file) };
    let configs = TOPIC_KEYS.iter().map(|key| {
        let resolved = resolve_topic(key, &layers);
        CreatableTopicConfigs {
            name: key.name.into(),
            value: resolved.value.map(Into::into),
            read_only: false,
            config_source: resolved.source.code(),
            is_sensitive: key.is_sensitive(),
        }
    });
    CreatableTopicResult {
        configs: Some(configs.collect()),
        error_message: None,
        name: created.name.into(),
        topic_id: created.topic_id,
        num_partitions: created.num_partitions,
        replication_factor: created.replication_factor,
        ..CreatableTopicResult::default()
    }
}

fn failure(name: String, code: ErrorCode, message: &str) -> CreatableTopicResult<'static> {
    CreatableTopicResult {
        name: name.into(),
        topic_id: TopicId::ZERO,
        error_code: code.code(),
        error_message: Some(message.to_owned().into()),
        num_partitions: -1,
        replication_factor: -1,
        configs: None,
        ..CreatableTopicResult::default()
    }
}

fn refuse_all(names: Vec<String>, code: ErrorCode, message: &str) -> Vec<CreatableTopicResult<'static>> {
    names.into_iter().map(|name| failure(name, code, message)).collect()
}

#[cfg(test)]
mod tests {
    use logspine_cluster::metadata::configs::ConfigSource;

    use super::*;

    #[test]
    fn a_created_topic_shows_every_setting_with_its_source() {
        let created = CreatedTopic {
            name: "orders".to_owned(),
            topic_id: TopicId([1; 16]),
            num_partitions: 3,
            replication_factor: 1,
            configs: ConfigMap::from([("retention.ms".to_owned(), "5".to_owned())]),
        };
        let file = ConfigMap::from([("log.segment.bytes".to_owned(), "2000000".to_owned())]);
        let shown = success(&MetadataImage::default(), BrokerId(0), &file, created);
        let configs = shown.configs.unwrap();
        assert_eq!(configs.len(), TOPIC_KEYS.len());
        let of = |name: &str| {
            let config = configs.iter().find(|config| config.name == name).unwrap();
            (config.value.as_deref(), config.config_source)
        };
        assert_eq!(of("retention.ms"), (Some("5"), ConfigSource::DynamicTopicConfig.code()));
        assert_eq!(of("segment.bytes"), (Some("2000000"), ConfigSource::StaticBrokerConfig.code()));
        assert_eq!(of("flush.messages"), (Some("1"), ConfigSource::DefaultConfig.code()));
    }
}
