//! Metadata: brokers, topics, leaders; and, where it is allowed, creation of the topics that were asked for.
//!
//! v0 reads an empty list as "all topics", v1 and later read null so and an empty list as "none". v4 lets the
//! client forbid creation; v5 adds offline replicas, v7 leader epochs, v8 to v10 authorized operations, v10 topic
//! ids in answers, v12 in requests; v13 a code for the whole answer. Unlike Kafka, which creates a missing topic
//! behind the answer, the answer here waits for it and shows it. Kafka: `KafkaApis.handleTopicMetadataRequest`.

use std::collections::{BTreeMap, BTreeSet};

use logspine_cluster::metadata::{
    GROUP_METADATA_TOPIC_NAME, MetadataImage, NewTopic, Outcome, Request, RequestErrorCode, Topic,
    is_internal, validate_topic_name,
};
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::metadata::{
    MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use logspine_protocol::types::TopicId;

use super::topology::{self, CLUSTER_OPERATIONS, OPERATIONS_NOT_ASKED, TOPIC_OPERATIONS};
use super::{RequestContext, metadata_errors};
use crate::identity;

/// Topic ids in requests.
const TOPIC_IDS_VERSION: i16 = 12;

/// What a client asked for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Names(Vec<String>),
    Ids(Vec<TopicId>),
    /// Topic ids in a version that has them in the schema but not in its meaning.
    Refused,
}

pub async fn handle(context: &RequestContext, request: MetadataRequest<'_>) -> MetadataResponse<'static> {
    let wanted = wanted(&request, context.api_version);
    let created = match &wanted {
        Wanted::Names(names) if may_create(context, &request) => create_missing(context, names).await,
        _ => BTreeMap::new(),
    };
    let image = context.broker.metadata.image();
    let show = View { context, image: &image, with_operations: request.include_topic_authorized_operations };
    let topics = show.topics(&wanted, &created);
    let brokers =
        topology::brokers(&image, &context.connection.listener).filter(|(broker, _)| !broker.fenced);
    MetadataResponse {
        brokers: brokers
            .map(|(broker, endpoint)| MetadataResponseBroker {
                node_id: broker.id.0,
                host: endpoint.host.clone().into(),
                port: i32::from(endpoint.port),
                rack: broker.rack.clone().map(Into::into),
            })
            .collect(),
        cluster_id: Some(context.broker.identity.cluster_id.clone().into()),
        controller_id: context.broker.node_id(),
        topics,
        cluster_authorized_operations: match request.include_cluster_authorized_operations {
            true => CLUSTER_OPERATIONS,
            false => OPERATIONS_NOT_ASKED,
        },
        ..MetadataResponse::default()
    }
}

fn wanted(request: &MetadataRequest<'_>, version: i16) -> Wanted {
    let Some(topics) = &request.topics else { return Wanted::All };
    if topics.is_empty() && version == 0 {
        return Wanted::All;
    }
    let mut seen = BTreeSet::new();
    let ids: Vec<_> = topics.iter().map(|topic| topic.topic_id).filter(|id| !id.is_zero()).collect();
    if version < TOPIC_IDS_VERSION && (!ids.is_empty() || topics.iter().any(|topic| topic.name.is_none())) {
        return Wanted::Refused;
    }
    if !ids.is_empty() {
        return Wanted::Ids(ids.into_iter().filter(|id| seen.insert(id.to_string())).collect());
    }
    let names = topics.iter().filter_map(|topic| topic.name.as_deref()).map(str::to_owned);
    Wanted::Names(names.filter(|name| seen.insert(name.clone())).collect())
}

fn may_create(context: &RequestContext, request: &MetadataRequest<'_>) -> bool {
    request.allow_auto_topic_creation && context.broker.config.topics.auto_create_topics_enable
}

/// Creates what is missing; returns the code of each name that could not be created.
async fn create_missing(context: &RequestContext, names: &[String]) -> BTreeMap<String, ErrorCode> {
    let image = context.broker.metadata.image();
    let mut refused = BTreeMap::new();
    let mut topics = Vec::new();
    for name in names.iter().filter(|name| image.topic_by_name(name).is_none()) {
        if name == GROUP_METADATA_TOPIC_NAME {
            if let Err(code) = context.broker.coordinator.ensure_offsets_topic().await {
                refused.insert(name.clone(), code);
            }
        } else if validate_topic_name(name).is_ok() && !is_internal(name) {
            match identity::random_id() {
                Ok(topic_id) => topics.push(new_topic(name, topic_id)),
                Err(_) => drop(refused.insert(name.clone(), ErrorCode::UnknownServerError)),
            }
        }
    }
    if topics.is_empty() {
        return refused;
    }
    let asked: Vec<_> = topics.iter().map(|topic| topic.name.clone()).collect();
    match context.broker.metadata.propose(Request::CreateTopics { topics, validate_only: false }).await {
        Ok(Outcome::TopicsCreated(results)) => {
            let failed = asked.into_iter().zip(results).filter_map(|(name, result)| {
                let refusal = result.err().filter(|e| e.code != RequestErrorCode::TopicAlreadyExists)?;
                Some((name, metadata_errors::of_code(refusal.code)))
            });
            refused.extend(failed);
        }
        Ok(_) => {}
        // Retriable: the next broker to be asked may do it.
        Err(_) => refused.extend(asked.into_iter().map(|name| (name, ErrorCode::LeaderNotAvailable))),
    }
    refused
}

fn new_topic(name: &str, topic_id: TopicId) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        topic_id,
        num_partitions: -1,
        replication_factor: -1,
        ..NewTopic::default()
    }
}

/// One image, shown to one client.
struct View<'a> {
    context: &'a RequestContext,
    image: &'a MetadataImage,
    with_operations: bool,
}

impl View<'_> {
    fn topics(
        &self,
        wanted: &Wanted,
        refused: &BTreeMap<String, ErrorCode>,
    ) -> Vec<MetadataResponseTopic<'static>> {
        match wanted {
            Wanted::All => self.image.topics().map(|topic| self.topic(topic)).collect(),
            Wanted::Names(names) => names.iter().map(|name| self.named(name, refused)).collect(),
            Wanted::Ids(ids) => ids.iter().map(|id| self.identified(*id)).collect(),
            Wanted::Refused => {
                let nameless = Some(String::new().into());
                vec![self.missing(nameless, TopicId::ZERO, ErrorCode::InvalidRequest)]
            }
        }
    }

    fn named(&self, name: &str, refused: &BTreeMap<String, ErrorCode>) -> MetadataResponseTopic<'static> {
        if let Some(topic) = self.image.topic_by_name(name) {
            return self.wanted_topic(topic);
        }
        let code = match refused.get(name) {
            Some(code) => *code,
            None if validate_topic_name(name).is_err() => ErrorCode::InvalidTopicException,
            None => ErrorCode::UnknownTopicOrPartition,
        };
        self.missing(Some(name.to_owned().into()), TopicId::ZERO, code)
    }

    fn identified(&self, topic_id: TopicId) -> MetadataResponseTopic<'static> {
        match self.image.topic_by_id(topic_id) {
            Some(topic) => self.wanted_topic(topic),
            None => self.missing(None, topic_id, ErrorCode::UnknownTopicId),
        }
    }

    fn missing(
        &self,
        name: Option<logspine_protocol::wire::Str<'static>>,
        topic_id: TopicId,
        code: ErrorCode,
    ) -> MetadataResponseTopic<'static> {
        let is_internal = name.as_deref().is_some_and(is_internal);
        let topic_authorized_operations = OPERATIONS_NOT_ASKED;
        MetadataResponseTopic {
            error_code: code.code(),
            name,
            topic_id,
            is_internal,
            partitions: Vec::new(),
            topic_authorized_operations,
        }
    }

    /// A client that asks for a topic by name is about to use it.
    fn wanted_topic(&self, topic: &Topic) -> MetadataResponseTopic<'static> {
        self.context
            .broker
            .partitions
            .want_topic(topic.topic_id, topic.partitions.keys().map(|index| index.0));
        self.topic(topic)
    }

    fn topic(&self, topic: &Topic) -> MetadataResponseTopic<'static> {
        let operations = if self.with_operations { TOPIC_OPERATIONS } else { OPERATIONS_NOT_ASKED };
        MetadataResponseTopic {
            error_code: ErrorCode::None.code(),
            name: Some(topic.name.to_string().into()),
            topic_id: topic.topic_id,
            is_internal: is_internal(&topic.name),
            partitions: self.partitions(topic),
            topic_authorized_operations: operations,
        }
    }

    fn partitions(&self, topic: &Topic) -> Vec<MetadataResponsePartition> {
        let broker = &self.context.broker;
        let local = (&*broker.partitions, broker.metadata.broker());
        let shown = topic.partitions.iter().map(|(index, partition)| {
            let key = (topic.topic_id, index.0);
            let code =
                topology::leader_error(self.image, &self.context.connection.listener, local, key, partition);
            MetadataResponsePartition {
                error_code: code.code(),
                partition_index: index.0,
                leader_id: if code.is_error() { -1 } else { partition.leader.0 },
                leader_epoch: partition.leader_epoch.0,
                replica_nodes: topology::ids(&partition.replicas),
                isr_nodes: topology::ids(&partition.isr),
                offline_replicas: topology::offline_replicas(self.image, local, key, partition),
            }
        });
        shown.collect()
    }
}

#[cfg(test)]
mod tests {
    use logspine_protocol::messages::metadata::MetadataRequestTopic;

    use super::*;

    fn named(names: &[&'static str]) -> MetadataRequest<'static> {
        let topic = |name: &&'static str| MetadataRequestTopic {
            name: Some((*name).into()),
            topic_id: TopicId::ZERO,
        };
        MetadataRequest { topics: Some(names.iter().map(topic).collect()), ..MetadataRequest::default() }
    }

    #[test]
    fn all_and_none_are_said_differently_in_v0_and_later() {
        assert_eq!(wanted(&named(&[]), 0), Wanted::All);
        assert_eq!(wanted(&named(&[]), 1), Wanted::Names(vec![]));
        assert_eq!(wanted(&MetadataRequest { topics: None, ..named(&[]) }, 1), Wanted::All);
    }

    #[test]
    fn a_name_asked_twice_is_answered_once() {
        assert_eq!(wanted(&named(&["b", "a", "b"]), 9), Wanted::Names(vec!["b".into(), "a".into()]));
    }

    #[test]
    fn topic_ids_count_from_v12_on() {
        let id = TopicId([4; 16]);
        let by_id = MetadataRequestTopic { name: None, topic_id: id };
        let request = MetadataRequest { topics: Some(vec![by_id]), ..MetadataRequest::default() };
        assert_eq!(wanted(&request, 12), Wanted::Ids(vec![id]));
        assert_eq!(wanted(&request, 11), Wanted::Refused);
    }
}
