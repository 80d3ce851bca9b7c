//! Which partitions a fetch reads, and how its answer is put together: with a session or without.
//!
//! Epoch -1 or 0 is a full request (0 asks for a session), anything else continues a session and names only
//! what changed (KIP-227). An incremental answer leaves out partitions without news. Borrowed by the answer,
//! so that topic names are not copied again. Kafka: FetchContext and its four kinds.

use std::sync::Arc;
use std::time::Instant;

use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::fetch::{
    AbortedTransaction, EpochEndOffset, FetchPartition, FetchRequest, FetchResponse, FetchableTopicResponse,
    PartitionData,
};
use logspine_protocol::types::TopicId;
use logspine_protocol::wire::{Records, Str};
use logspine_storage::{AbortedTxn, LogSlice};

use super::read::{PartitionRead, Target};
use super::sessions::{Continued, FetchSessionCache};
use crate::api::duplicates;
use crate::partition::Watch;

/// The first version that names topics by id.
const TOPIC_ID_VERSION_MIN: i16 = 13;

const FINAL_EPOCH: i32 = -1;
const INITIAL_EPOCH: i32 = 0;

/// How a request names a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TopicKey {
    Name(Arc<str>),
    Id(TopicId),
}

impl TopicKey {
    pub fn of(name: &str, id: TopicId, version: i16) -> TopicKey {
        if version >= TOPIC_ID_VERSION_MIN { TopicKey::Id(id) } else { TopicKey::Name(name.into()) }
    }
}

/// One partition that the client wants to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub topic: TopicKey,
    pub partition: i32,
    pub fetch_offset: i64,
    pub bytes_max: i32,
    pub current_leader_epoch: i32,
    pub last_fetched_epoch: i32,
}

impl Wanted {
    fn new(topic: TopicKey, partition: &FetchPartition) -> Wanted {
        Wanted {
            topic,
            partition: partition.partition,
            fetch_offset: partition.fetch_offset,
            bytes_max: partition.partition_max_bytes,
            current_leader_epoch: partition.current_leader_epoch,
            last_fetched_epoch: partition.last_fetched_epoch,
        }
    }
}

enum Kind {
    Sessionless,
    /// A full request that asks for a session; followers are preferred.
    New {
        privileged: bool,
    },
    Incremental {
        session_id: i32,
        watch: Arc<Watch>,
    },
}

pub struct Plan {
    /// In the order in which they are read and answered.
    pub targets: Vec<Target>,
    kind: Kind,
    now: Instant,
}

impl Plan {
    /// Looks the session up and brings it up to date. `Err` is the error of the whole answer.
    pub fn of(
        sessions: &FetchSessionCache,
        request: &FetchRequest<'_>,
        version: i16,
        now: Instant,
    ) -> Result<Plan, ErrorCode> {
        let (session_id, epoch) = (request.session_id, request.session_epoch);
        if matches!(epoch, FINAL_EPOCH | INITIAL_EPOCH) {
            sessions.close(session_id);
            let privileged = request.replica_id >= 0 || request.replica_state.replica_id >= 0;
            let kind = if epoch == INITIAL_EPOCH { Kind::New { privileged } } else { Kind::Sessionless };
            return Ok(Plan { targets: targets(request, version), kind, now });
        }
        let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| {
            let key = TopicKey::of(&topic.topic, topic.topic_id, version);
            topic.partitions.iter().map(move |partition| (key.clone(), *partition))
        });
        let uses_ids = version >= TOPIC_ID_VERSION_MIN;
        let named = named(request, version);
        let Continued { targets, watch } =
            sessions.continue_session(session_id, epoch, uses_ids, named, forgotten, now)?;
        let kind = watch.map_or(Kind::Sessionless, |watch| Kind::Incremental { session_id, watch });
        Ok(Plan { targets, kind, now })
    }

    /// What tells of all partitions of the request, if it is one of a session.
    pub fn watch(&self) -> Option<&Arc<Watch>> {
        match &self.kind {
            Kind::Incremental { watch, .. } => Some(watch),
            Kind::Sessionless | Kind::New { .. } => None,
        }
    }

    /// The partitions of its session that moved since it began, to be read as well.
    pub fn woken(&self, sessions: &FetchSessionCache) -> Vec<Target> {
        match self.kind {
            Kind::Incremental { session_id, .. } => sessions.woken(session_id),
            Kind::Sessionless | Kind::New { .. } => Vec::new(),
        }
    }

    /// The response and the slices that fill its holes, in order. Takes the slices out of the targets.
    pub fn answer(
        &mut self,
        sessions: &FetchSessionCache,
        is_read_committed: bool,
    ) -> (FetchResponse<'_>, Vec<LogSlice>) {
        let session_id = match self.kind {
            Kind::Sessionless => 0,
            Kind::New { privileged } => sessions.open(&self.targets, privileged, self.now),
            Kind::Incremental { session_id, .. } => {
                sessions.note_sent(session_id, &mut self.targets);
                session_id
            }
        };
        let mut slices = Vec::new();
        let mut responses: Vec<FetchableTopicResponse<'_>> = Vec::new();
        let mut last_topic = None;
        for Target { wanted, read, .. } in self.targets.iter_mut().filter(|target| target.has_news) {
            if last_topic != Some(&wanted.topic) {
                last_topic = Some(&wanted.topic);
                responses.push(topic_response(&wanted.topic));
            }
            let data = partition_data(wanted.partition, read, is_read_committed, &mut slices);
            if let Some(topic) = responses.last_mut() {
                topic.partitions.push(data);
            }
        }
        (FetchResponse { session_id, responses, ..FetchResponse::default() }, slices)
    }
}

/// The partitions that a request names, each once: the last mention counts.
fn targets(request: &FetchRequest<'_>, version: i16) -> Vec<Target> {
    let names = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| (&topic.topic, topic.topic_id, partition.partition))
    });
    let again = duplicates::named_again_later(names).unwrap_or_default();
    let is_last = |position: usize| !again.get(position).copied().unwrap_or_default();
    let named = named(request, version).enumerate().filter(|(position, _)| is_last(*position));
    named.map(|(_, wanted)| Target::new(wanted)).collect()
}

/// The partitions that a request names.
fn named(request: &FetchRequest<'_>, version: i16) -> impl Iterator<Item = Wanted> {
    request.topics.iter().flat_map(move |topic| {
        let key = TopicKey::of(&topic.topic, topic.topic_id, version);
        topic.partitions.iter().map(move |partition| Wanted::new(key.clone(), partition))
    })
}

fn topic_response(topic: &TopicKey) -> FetchableTopicResponse<'_> {
    match topic {
        TopicKey::Name(name) => {
            FetchableTopicResponse { topic: Str::Borrowed(name), ..FetchableTopicResponse::default() }
        }
        TopicKey::Id(topic_id) => {
            FetchableTopicResponse { topic_id: *topic_id, ..FetchableTopicResponse::default() }
        }
    }
}

fn aborted(read: &PartitionRead) -> Vec<AbortedTransaction> {
    let answer = |txn: &AbortedTxn| AbortedTransaction {
        producer_id: txn.producer_id.0,
        first_offset: txn.first_offset.0,
    };
    read.aborted.iter().map(answer).collect()
}

fn partition_data(
    partition_index: i32,
    read: &mut PartitionRead,
    is_read_committed: bool,
    slices: &mut Vec<LogSlice>,
) -> PartitionData<'static> {
    let records = match read.slice.take() {
        Some(slice) => {
            let hole = Records::Hole(slice.len);
            slices.push(slice);
            hole
        }
        None => Records::Bytes(Vec::new().into()),
    };
    PartitionData {
        partition_index,
        error_code: read.error.code(),
        high_watermark: read.high_watermark,
        last_stable_offset: read.last_stable_offset,
        log_start_offset: read.log_start_offset,
        diverging_epoch: read
            .diverging
            .map_or_else(EpochEndOffset::default, |(epoch, end_offset)| EpochEndOffset { epoch, end_offset }),
        aborted_transactions: is_read_committed.then(|| aborted(read)),
        records: Some(records),
        ..PartitionData::default()
    }
}
