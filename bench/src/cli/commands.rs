//! From options to a load: which connections there are and what they do.
//!
//! Invariant: a command only describes; the loop in load.rs does the work. Called by cli.rs.

use clap::Args;
use logspine_protocol::messages::fetch::FetchRequest;
use logspine_protocol::messages::produce::ProduceRequest;

use super::{Batches, Target};
use crate::broker::{Broker, Topic};
use crate::load::{self, Load, Reading, Window};
use crate::outcome::Outcome;
use crate::payload::Payload;

#[derive(Args)]
pub struct Produce {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    batches: Batches,
    #[arg(short, long, default_value_t = 1)]
    connections: usize,
    /// Unanswered requests of a connection
    #[arg(short = 'd', long, default_value_t = 8)]
    in_flight: usize,
    #[arg(short, long, default_value_t = 1, allow_negative_numbers = true)]
    acks: i16,
    /// Records a second of all connections together; without, as fast as the broker answers
    #[arg(short, long)]
    rate: Option<f64>,
}

#[derive(Args)]
pub struct Fetch {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    batches: Batches,
    #[arg(short, long, default_value_t = 1)]
    connections: usize,
    /// fetch.max.bytes and max.partition.fetch.bytes
    #[arg(short = 'm', long, default_value_t = 1 << 20)]
    max_bytes: u32,
    /// Bytes to write first, if the topic is empty
    #[arg(long, default_value_t = 0)]
    fill: u64,
}

#[derive(Args)]
pub struct Fanout {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    batches: Batches,
    /// Consumers, each on its own connection
    #[arg(short, long, default_value_t = 4)]
    connections: usize,
    /// Megabytes a second of the producer
    #[arg(short, long, default_value_t = 50.0)]
    rate: f64,
    #[arg(short, long, default_value_t = 1, allow_negative_numbers = true)]
    acks: i16,
}

#[derive(Args)]
pub struct E2e {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    batches: Batches,
    /// Records a second
    #[arg(short, long, default_value_t = 100.0)]
    rate: f64,
    #[arg(short, long, default_value_t = 1, allow_negative_numbers = true)]
    acks: i16,
}

#[derive(Args)]
pub struct Conns {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    batches: Batches,
    /// Connections that do nothing
    #[arg(long, default_value_t = 1000)]
    idle: usize,
    /// Connections that produce
    #[arg(short, long, default_value_t = 100)]
    connections: usize,
    /// Records a second of all producing connections together
    #[arg(short, long, default_value_t = 1000.0)]
    rate: f64,
    #[arg(short, long, default_value_t = 1, allow_negative_numbers = true)]
    acks: i16,
}

/// Requests on their way at a fixed rate: more than any broker that keeps up will ever see.
const IN_FLIGHT_PACED: usize = 64;
/// While a topic is filled.
const IN_FLIGHT_FILL: usize = 8;

/// A topic that is there, and what the batches for it are.
struct Prepared<'a> {
    target: &'a Target,
    broker: Broker,
    topic: Topic,
    payload: Payload,
}

impl<'a> Prepared<'a> {
    fn new(target: &'a Target, batches: &Batches) -> anyhow::Result<Prepared<'a>> {
        target.pin()?;
        let mut broker = Broker::connect(&target.bootstrap)?;
        let topic = broker.ensure_topic(&target.topic, target.partitions, &target.config)?;
        Ok(Prepared { target, broker, topic, payload: batches.shape().build()? })
    }

    fn produce(&self, connections: usize, in_flight_max: usize, acks: i16) -> anyhow::Result<load::Produce> {
        Ok(load::Produce {
            connections,
            in_flight_max,
            acks,
            payload: self.payload.clone(),
            requests_per_s: None,
            version: self.broker.version::<ProduceRequest<'_>>()?,
        })
    }

    /// At so many records a second.
    fn paced(&self, connections: usize, acks: i16, rate: f64) -> anyhow::Result<load::Produce> {
        let requests_per_s = Some(rate / f64::from(self.payload.records));
        Ok(load::Produce { requests_per_s, ..self.produce(connections, IN_FLIGHT_PACED, acks)? })
    }

    fn fetch(&mut self, connections: usize, bytes_max: u32, reading: Reading) -> anyhow::Result<load::Fetch> {
        Ok(load::Fetch {
            connections,
            bytes_max,
            version: self.broker.version::<FetchRequest<'_>>()?,
            reading,
            batch_records: self.payload.records,
            batch_bytes: self.payload.batch.len(),
            ends: self.broker.end_offsets(&self.topic)?,
        })
    }

    fn load(&self, produce: Option<load::Produce>, fetch: Option<load::Fetch>) -> Load {
        Load {
            address: self.target.bootstrap.clone(),
            topic: self.topic.clone(),
            produce,
            fetch,
            window: self.target.window(),
            broker_process: self.target.pid,
        }
    }

    /// Writes so many bytes, unless the topic holds records already.
    fn fill(&mut self, bytes: u64) -> anyhow::Result<()> {
        let is_empty = self.broker.end_offsets(&self.topic)?.iter().all(|end| *end == 0);
        if bytes == 0 || !is_empty {
            return Ok(());
        }
        let window = Window {
            warm_up: Default::default(),
            length: std::time::Duration::from_secs(3600),
            bytes_max: bytes,
            requests_max: u64::MAX,
        };
        // acks=all: whoever asks for the end next must find what was written committed.
        let produce = self.produce(1, IN_FLIGHT_FILL, -1)?;
        let load = Load { window, broker_process: None, ..self.load(Some(produce), None) };
        load.run(None).map(drop)
    }
}

impl Produce {
    pub fn run(self) -> anyhow::Result<Outcome> {
        let prepared = Prepared::new(&self.target, &self.batches)?;
        let produce = match self.rate {
            Some(rate) => prepared.paced(self.connections, self.acks, rate)?,
            None => prepared.produce(self.connections, self.in_flight, self.acks)?,
        };
        prepared.load(Some(produce), None).run(None)
    }
}

impl Fetch {
    pub fn run(self) -> anyhow::Result<Outcome> {
        let mut prepared = Prepared::new(&self.target, &self.batches)?;
        prepared.fill(self.fill)?;
        let fetch = prepared.fetch(self.connections, self.max_bytes, Reading::Again)?;
        prepared.load(None, Some(fetch)).run(None)
    }
}

impl Fanout {
    pub fn run(self) -> anyhow::Result<Outcome> {
        let mut prepared = Prepared::new(&self.target, &self.batches)?;
        let batches_per_s = self.rate * 1e6 / prepared.payload.batch.len() as f64;
        let rate = batches_per_s * f64::from(prepared.payload.records);
        let produce = prepared.paced(1, self.acks, rate)?;
        let fetch = prepared.fetch(self.connections, 1 << 20, Reading::Tail)?;
        prepared.load(Some(produce), Some(fetch)).run(None)
    }
}

impl E2e {
    pub fn run(self) -> anyhow::Result<Outcome> {
        let mut prepared = Prepared::new(&self.target, &self.batches)?;
        let produce = prepared.paced(1, self.acks, self.rate)?;
        let consumers = prepared.topic.partitions as usize;
        let fetch = prepared.fetch(consumers, 1 << 20, Reading::Tail)?;
        prepared.load(Some(produce), Some(fetch)).run(None)
    }
}

impl Conns {
    pub fn run(self) -> anyhow::Result<Outcome> {
        let prepared = Prepared::new(&self.target, &self.batches)?;
        let produce = prepared.paced(self.connections, self.acks, self.rate)?;
        let (held, idle) = load::hold(&self.target.bootstrap, self.idle, self.target.pid)?;
        let outcome = prepared.load(Some(produce), None).run(Some(idle));
        drop(held);
        outcome
    }
}
