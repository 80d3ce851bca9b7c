//! Decisions over committed metadata plus what is under way: the `Machine` of the metadata log.
//!
//! `committed` is what every record of the log adds up to; `staged` has the records on top that were appended but
//! not committed yet, so that two requests in flight cannot both create one topic. A reply never leaves before the
//! records that it rests on are committed: where a decision needs no records of its own but others are in flight,
//! a `NoOp` record carries the reply.

use super::image::MetadataImage;
use super::record::MetadataRecord;
use super::request::{Outcome, Request, RequestError, Settings};
use super::{alter_configs, brokers, create_topics, partitions};
use crate::machine::{Effect, Machine};

/// A request and the token that comes back with its reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    pub token: u64,
    pub request: Request,
}

/// The answer to the input with the same token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub token: u64,
    pub result: Result<Outcome, RequestError>,
}

/// What to write, and what to say once it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub records: Vec<MetadataRecord>,
    pub outcome: Outcome,
}

/// Decides about one request without changing anything.
pub fn decide(
    image: &MetadataImage,
    settings: &Settings,
    request: Request,
) -> Result<Decision, RequestError> {
    match request {
        Request::RegisterBroker(request) => brokers::register(image, request),
        Request::CreateTopics { topics, validate_only } => {
            Ok(create_topics::create(image, settings, topics, validate_only))
        }
        Request::DeleteTopics { topics } => Ok(create_topics::delete(image, topics)),
        Request::CreatePartitions { topics, validate_only } => {
            Ok(partitions::create(image, topics, validate_only))
        }
        Request::AlterConfigs { resources, validate_only } => {
            Ok(alter_configs::replace(image, resources, validate_only))
        }
        Request::IncrementalAlterConfigs { resources, validate_only } => {
            Ok(alter_configs::change(image, settings, resources, validate_only))
        }
        Request::AllocateProducerIds { broker_id, broker_epoch } => {
            brokers::allocate_producer_ids(image, broker_id, broker_epoch)
        }
    }
}

/// The metadata of one controller.
#[derive(Debug)]
pub struct MetadataMachine {
    settings: Settings,
    committed: MetadataImage,
    /// `None` while nothing is in flight. Not a second copy then: replaying a long log would copy every map once
    /// per record, because maps are shared between images.
    staged: Option<MetadataImage>,
    /// How many staged records wait for their commit.
    in_flight: usize,
}

impl MetadataMachine {
    pub fn new(settings: Settings) -> Self {
        Self { settings, committed: MetadataImage::default(), staged: None, in_flight: 0 }
    }

    /// The committed image: what the cluster agreed on.
    pub fn image(&self) -> &MetadataImage {
        &self.committed
    }

    /// The image with everything under way on top.
    pub fn staged_image(&self) -> &MetadataImage {
        self.staged.as_ref().unwrap_or(&self.committed)
    }
}

impl Machine for MetadataMachine {
    type Input = Input;
    type Record = MetadataRecord;
    type Reply = Reply;

    fn step(&mut self, _now_ms: i64, input: Input) -> Vec<Effect<MetadataRecord, Reply>> {
        let token = input.token;
        let (mut records, result) = match decide(self.staged_image(), &self.settings, input.request) {
            Ok(decision) => (decision.records, Ok(decision.outcome)),
            Err(refusal) => (Vec::new(), Err(refusal)),
        };
        let reply = Reply { token, result };
        if records.is_empty() && self.in_flight == 0 {
            return vec![Effect::Reply(reply)];
        }
        if records.is_empty() {
            records.push(MetadataRecord::NoOp);
        }
        vec![Effect::Append { records, then: vec![reply] }]
    }

    fn stage(&mut self, record: &MetadataRecord) {
        self.staged.get_or_insert_with(|| self.committed.clone()).replay(record);
        self.in_flight += 1;
    }

    fn abandon(&mut self, waiting: Vec<Reply>) -> Vec<Reply> {
        self.staged = None;
        self.in_flight = 0;
        let refuse = |reply: Reply| Reply { token: reply.token, result: Err(RequestError::not_controller()) };
        waiting.into_iter().map(refuse).collect()
    }

    fn replay(&mut self, record: &MetadataRecord) {
        // 0 in flight: a start, or a follower; the record was never staged here.
        self.in_flight = self.in_flight.saturating_sub(1);
        if self.in_flight == 0 {
            self.staged = None;
        }
        self.committed.replay(record);
    }

    fn next_deadline_ms(&self) -> Option<i64> {
        None
    }
}
