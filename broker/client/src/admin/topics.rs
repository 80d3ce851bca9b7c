//! Topics: create, delete, describe, add partitions.
//!
//! Changes go to the controller; descriptions come from Metadata, which every broker since Kafka 2.1 answers.
//! APIs: CreateTopics (KIP-4), DeleteTopics (by id: KIP-516), CreatePartitions (KIP-195).

use std::collections::BTreeMap;
use std::sync::Arc;

use logspine_protocol::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
};
use logspine_protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use logspine_protocol::messages::delete_topics::{
    DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use logspine_protocol::types::TopicId;

use super::Admin;
use crate::error::ClientError;
use crate::metadata::TopicDescription;

/// A topic by its name, or by the id that a later topic of the same name does not share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicRef<'a> {
    /// Whatever bears this name now.
    Name(&'a str),
    /// That topic and no later one.
    Id(TopicId),
}

impl std::fmt::Display for TopicRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => write!(f, "topic {name}"),
            Self::Id(id) => write!(f, "topic with id {id}"),
        }
    }
}

impl Admin {
    /// Creates a topic and returns its id. -1 partitions or replicas mean the broker's default. With
    /// `validate_only` nothing is created, and the id means nothing.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        replication_factor: i16,
        configs: &BTreeMap<String, String>,
        validate_only: bool,
    ) -> Result<TopicId, ClientError> {
        let config = |(name, value): (&String, &String)| CreatableTopicConfig {
            name: name.clone().into(),
            value: Some(value.clone().into()),
        };
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.into(),
                num_partitions: partitions,
                replication_factor,
                configs: configs.iter().map(config).collect(),
                ..CreatableTopic::default()
            }],
            timeout_ms: self.client.request_timeout_ms(),
            validate_only,
        };
        let topic_id = self.client.retrying(|| self.create_topic_once(&request)).await?;
        self.client.forget_topic(name);
        Ok(topic_id)
    }

    async fn create_topic_once(&self, request: &CreateTopicsRequest<'_>) -> Result<TopicId, ClientError> {
        let reply = self.client.call_controller(request).await?;
        let response = reply.decode::<CreateTopicsResponse<'_>>()?;
        let topic = response.topics.first().ok_or_else(|| reply.incomplete("the topic"))?;
        reply.check(topic.error_code, &format!("topic {}", topic.name), topic.error_message.as_deref())?;
        Ok(topic.topic_id)
    }

    /// Deletes a topic and its records.
    pub async fn delete_topic(&self, topic: TopicRef<'_>) -> Result<(), ClientError> {
        self.client.retrying(|| self.delete_topic_once(topic)).await?;
        if let TopicRef::Name(name) = topic {
            self.client.forget_topic(name);
        }
        Ok(())
    }

    async fn delete_topic_once(&self, topic: TopicRef<'_>) -> Result<(), ClientError> {
        let connection = self.client.controller_connection().await?;
        let version = connection.version_of::<DeleteTopicsRequest<'_>>(i16::MAX)?;
        let mut request =
            DeleteTopicsRequest { timeout_ms: self.client.request_timeout_ms(), ..Default::default() };
        match topic {
            TopicRef::Name(name) if version < 6 => request.topic_names = vec![name.into()],
            TopicRef::Name(name) => {
                request.topics = vec![DeleteTopicState { name: Some(name.into()), topic_id: TopicId::ZERO }]
            }
            TopicRef::Id(topic_id) => request.topics = vec![DeleteTopicState { name: None, topic_id }],
        }
        let reply = connection.call_at(&request, version, self.client.request_timeout()).await?;
        let response = reply.decode::<DeleteTopicsResponse<'_>>()?;
        let result = response.responses.first().ok_or_else(|| reply.incomplete("the topic"))?;
        reply.check(result.error_code, &topic.to_string(), result.error_message.as_deref())
    }

    /// Every topic of the cluster, in order of name.
    pub async fn list_topics(&self) -> Result<Vec<Arc<TopicDescription>>, ClientError> {
        let mut topics = self.client.all_topics().await?;
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// These topics, asked anew; the first that does not exist is the error.
    pub async fn describe_topics(&self, names: &[&str]) -> Result<Vec<Arc<TopicDescription>>, ClientError> {
        self.client.topics(names).await?.into_iter().collect()
    }

    /// Raises the number of partitions to `total`. Records stay where they are, so keys change partition.
    pub async fn create_partitions(&self, name: &str, total: i32) -> Result<(), ClientError> {
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic { name: name.into(), count: total, assignments: None }],
            timeout_ms: self.client.request_timeout_ms(),
            validate_only: false,
        };
        self.client.retrying(|| self.create_partitions_once(&request)).await?;
        self.client.forget_topic(name);
        Ok(())
    }

    async fn create_partitions_once(&self, request: &CreatePartitionsRequest<'_>) -> Result<(), ClientError> {
        let reply = self.client.call_controller(request).await?;
        let response = reply.decode::<CreatePartitionsResponse<'_>>()?;
        let result = response.results.first().ok_or_else(|| reply.incomplete("the topic"))?;
        reply.check(result.error_code, &format!("topic {}", result.name), result.error_message.as_deref())
    }
}
