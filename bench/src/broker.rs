//! The blocking side of the conversation: versions, topic creation, metadata, end offsets.
//!
//! Invariants: every API is spoken in the highest version that both sides know; a topic is handed out only when
//! all its partitions have a leader. Called before the load starts, never while it runs.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use logspine_protocol::api_key::ApiKey;
use logspine_protocol::error::ErrorCode;
use logspine_protocol::frame::{decode_response_header, encode_request};
use logspine_protocol::messages::api_versions::ApiVersionsRequest;
use logspine_protocol::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use logspine_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use logspine_protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use logspine_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use logspine_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use logspine_protocol::types::TopicId;
use logspine_protocol::wire::{Message, Reader, Request};

pub const CLIENT_ID: &str = "kblast";

/// How long a topic may take until every partition has a leader: ten thousand partitions take a Kafka a minute.
const TOPIC_WITHIN: Duration = Duration::from_secs(300);
/// Kafka refuses more than ten thousand metadata records at once.
const PARTITIONS_AT_ONCE: u32 = 5000;
const ANSWER_WITHIN: Duration = Duration::from_secs(300);
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// A topic that can be produced to.
#[derive(Debug, Clone)]
pub struct Topic {
    pub name: String,
    /// Zero where the broker does not know topic ids.
    pub id: TopicId,
    pub partitions: u32,
    /// From asking for it until each partition had a leader.
    pub ready_s: f64,
}

/// A connection for questions.
pub struct Broker {
    stream: TcpStream,
    versions: Vec<(i16, i16, i16)>,
}

impl Broker {
    pub fn connect(address: &str) -> anyhow::Result<Broker> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let mut broker = Broker { stream, versions: Vec::new() };
        // Version 0 is answered by every broker there is.
        let answer = broker.call_in_version(&ApiVersionsRequest::default(), 0)?;
        let keys = answer.api_keys.iter();
        broker.versions = keys.map(|api| (api.api_key, api.min_version, api.max_version)).collect();
        Ok(broker)
    }

    /// The highest version of `M`'s API that both sides know.
    pub fn version<'a, M: Message<'a>>(&self) -> anyhow::Result<i16> {
        let served = self.versions.iter().find(|(key, ..)| *key == M::API_KEY);
        let (_, min, max) =
            served.copied().with_context(|| format!("the broker does not serve {}", M::NAME))?;
        let version = max.min(M::MAX_VERSION);
        ensure!(version >= min.max(M::MIN_VERSION), "no common version of {}", M::NAME);
        Ok(version)
    }

    fn call<'a, M: Request<'a>>(&mut self, request: &M) -> anyhow::Result<M::Response> {
        let version = self.version::<M>()?;
        self.call_in_version(request, version)
    }

    fn call_in_version<'a, M: Request<'a>>(
        &mut self,
        request: &M,
        version: i16,
    ) -> anyhow::Result<M::Response> {
        let frame = encode_request(Vec::new(), request, version, 0, Some(CLIENT_ID))?;
        self.stream.write_all(&frame)?;
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix).with_context(|| format!("no answer to {}", M::NAME))?;
        let length = u32::from_be_bytes(prefix) as usize;
        ensure!(length <= ANSWER_BYTES_MAX, "an answer of {length} bytes to {}", M::NAME);
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload)?;
        let mut reader = Reader::with_budget(&payload, usize::MAX);
        let key = ApiKey::from_i16(M::API_KEY).with_context(|| format!("{} has no key", M::NAME))?;
        decode_response_header(&mut reader, key, version)?;
        Ok(M::Response::decode_static(&mut reader, version)?)
    }

    /// Makes a topic with one replica, unless it is there; returns it when it can be used.
    pub fn ensure_topic(
        &mut self,
        name: &str,
        partitions: u32,
        configs: &[(String, String)],
    ) -> anyhow::Result<Topic> {
        let config = |(name, value): &(String, String)| CreatableTopicConfig {
            name: name.clone().into(),
            value: Some(value.clone().into()),
        };
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: i32::try_from(partitions.min(PARTITIONS_AT_ONCE))?,
            replication_factor: 1,
            configs: configs.iter().map(config).collect(),
            ..CreatableTopic::default()
        };
        let asked = Instant::now();
        let answer = self.call(&CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: i32::try_from(TOPIC_WITHIN.as_millis())?,
            ..CreateTopicsRequest::default()
        })?;
        let result = answer.topics.first().context("no answer about the topic")?;
        match refusal(result.error_code) {
            ErrorCode::None => self.grow_topic(name, partitions)?,
            ErrorCode::TopicAlreadyExists => {}
            error => {
                bail!(
                    "topic {name}: {} {}",
                    error.name(),
                    result.error_message.as_deref().unwrap_or_default()
                )
            }
        }
        self.wait_for_topic(name, asked)
    }

    /// The rest of a topic's partitions, a few thousand at a time.
    fn grow_topic(&mut self, name: &str, partitions: u32) -> anyhow::Result<()> {
        let mut made = partitions.min(PARTITIONS_AT_ONCE);
        while made < partitions {
            made = partitions.min(made + PARTITIONS_AT_ONCE);
            let count = i32::try_from(made)?;
            let topic = CreatePartitionsTopic { name: name.into(), count, assignments: None };
            let answer = self.call(&CreatePartitionsRequest {
                topics: vec![topic],
                timeout_ms: i32::try_from(TOPIC_WITHIN.as_millis())?,
                ..CreatePartitionsRequest::default()
            })?;
            let result = answer.results.first().context("no answer about the partitions")?;
            let code = refusal(result.error_code);
            ensure!(code == ErrorCode::None, "topic {name}: {} at {made} partitions", code.name());
        }
        Ok(())
    }

    fn wait_for_topic(&mut self, name: &str, asked: Instant) -> anyhow::Result<Topic> {
        loop {
            let topic = MetadataRequestTopic { name: Some(name.into()), ..MetadataRequestTopic::default() };
            let request = MetadataRequest { topics: Some(vec![topic]), ..MetadataRequest::default() };
            let answer = self.call(&request)?;
            let topic = answer.topics.first().context("no metadata of the topic")?;
            let is_ready = topic.error_code == 0
                && !topic.partitions.is_empty()
                && topic.partitions.iter().all(|partition| partition.leader_id >= 0);
            if is_ready {
                let partitions = u32::try_from(topic.partitions.len())?;
                let id = topic.topic_id;
                let mut topic = Topic { name: name.to_owned(), id, partitions, ready_s: 0.0 };
                // A leader is named before it serves: its log is asked for until it answers.
                if self.end_offsets(&topic).is_ok() {
                    topic.ready_s = asked.elapsed().as_secs_f64();
                    return Ok(topic);
                }
            }
            ensure!(asked.elapsed() < TOPIC_WITHIN, "topic {name} has partitions without a leader");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Deletes a topic; one that is not there is as good.
    pub fn delete_topic(&mut self, name: &str) -> anyhow::Result<()> {
        let by_name = self.version::<DeleteTopicsRequest<'_>>()? < 6;
        let topic = DeleteTopicState { name: Some(name.into()), ..DeleteTopicState::default() };
        let answer = self.call(&DeleteTopicsRequest {
            topics: if by_name { Vec::new() } else { vec![topic] },
            topic_names: if by_name { vec![name.into()] } else { Vec::new() },
            timeout_ms: i32::try_from(TOPIC_WITHIN.as_millis())?,
        })?;
        let result = answer.responses.first().context("no answer about the topic")?;
        match refusal(result.error_code) {
            ErrorCode::None | ErrorCode::UnknownTopicOrPartition => Ok(()),
            error => bail!("topic {name}: {}", error.name()),
        }
    }

    /// The log end offset of each partition, by index.
    pub fn end_offsets(&mut self, topic: &Topic) -> anyhow::Result<Vec<i64>> {
        let partition = |index: u32| ListOffsetsPartition {
            partition_index: index.cast_signed(),
            current_leader_epoch: -1,
            timestamp: -1,
        };
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: topic.name.as_str().into(),
                partitions: (0..topic.partitions).map(partition).collect(),
            }],
            ..ListOffsetsRequest::default()
        };
        let answer = self.call(&request)?;
        let mut ends = vec![0; topic.partitions as usize];
        for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            ensure!(partition.error_code == 0, "offsets: {}", refusal(partition.error_code).name());
            let index = usize::try_from(partition.partition_index)?;
            *ends.get_mut(index).context("offsets of a partition that was not asked for")? = partition.offset;
        }
        Ok(ends)
    }
}

/// The code by its name; one that nobody knows is the broker's own failure.
pub fn refusal(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError)
}
