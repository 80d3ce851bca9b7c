//! The loop: one thread, one epoll, any number of producing and fetching connections, one measured window.
//!
//! Invariants: counters start after the warm-up and stop at the first of the limits; what was due inside the window
//! and is unanswered at its end is waited for, then counted as it stands. An error of the broker ends the run.
//! Called by the commands of cli.rs.

mod consumer;
mod idle;
mod ledger;
mod link;
mod poll;
mod producer;

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::broker::Topic;
use crate::latency::Schedule;
use crate::observe::{Observed, Sample};
use crate::outcome::{Costs, Idle, Outcome};
use crate::payload::Payload;
pub use consumer::Reading;
use consumer::{Consumer, Route};
pub use idle::hold;
pub use ledger::Ledger;
use link::Link;
use poll::{Poll, Token};
use producer::Producer;

/// How long answers are waited for after the window.
const DRAIN: Duration = Duration::from_secs(10);

/// Producing connections.
pub struct Produce {
    pub connections: usize,
    pub in_flight_max: usize,
    pub acks: i16,
    pub payload: Payload,
    /// Requests a second of all connections together; without, as fast as the answers come.
    pub requests_per_s: Option<f64>,
    pub version: i16,
}

/// Fetching connections.
pub struct Fetch {
    pub connections: usize,
    pub bytes_max: u32,
    pub version: i16,
    pub reading: Reading,
    /// Records of each batch in the log, and its bytes: positions are computed from byte counts.
    pub batch_records: u32,
    pub batch_bytes: usize,
    /// Where each partition ends: reading from the beginning starts again there.
    pub ends: Vec<i64>,
}

/// When the measurement begins and ends.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub warm_up: Duration,
    pub length: Duration,
    pub bytes_max: u64,
    pub requests_max: u64,
}

/// Everything that a run needs to know.
pub struct Load {
    pub address: String,
    pub topic: Topic,
    pub produce: Option<Produce>,
    pub fetch: Option<Fetch>,
    pub window: Window,
    /// The broker's process, to be observed.
    pub broker_process: Option<u32>,
}

/// A connection with a part to play.
enum Lane {
    Producer(Producer),
    Consumer(Consumer),
}

impl Load {
    pub fn run(&self, idle: Option<Idle>) -> anyhow::Result<Outcome> {
        let mut run = Run::start(self)?;
        run.until_end()?;
        run.outcome(idle)
    }

    fn lanes(&self) -> anyhow::Result<Vec<Lane>> {
        let mut lanes = Vec::new();
        if let Some(produce) = &self.produce {
            for number in 0..produce.connections {
                let link = Link::connect(&self.address)?;
                let share = number as u32..self.topic.partitions;
                lanes.push(Lane::Producer(Producer::new(link, &self.topic, produce, share)?));
            }
        }
        if let Some(fetch) = &self.fetch {
            for number in 0..fetch.connections {
                let link = Link::connect(&self.address)?;
                let route = Route::of(number, fetch, self.topic.partitions);
                lanes.push(Lane::Consumer(Consumer::new(link, &self.topic, fetch, route)?));
            }
        }
        Ok(lanes)
    }

    /// Latencies from producer to consumer make sense when batches are due at known times and are read as they come.
    fn follows_batches(&self) -> bool {
        let is_paced = self.produce.as_ref().is_some_and(|produce| produce.requests_per_s.is_some());
        is_paced && self.fetch.as_ref().is_some_and(|fetch| fetch.reading == Reading::Tail)
    }
}

/// A load that runs.
struct Run<'a> {
    load: &'a Load,
    lanes: Vec<Lane>,
    producers: usize,
    poll: Poll,
    ledger: Ledger,
    schedule: Option<Schedule>,
    origin: Instant,
    begun: Option<Sample>,
    ended: Option<Sample>,
}

impl<'a> Run<'a> {
    fn start(load: &'a Load) -> anyhow::Result<Run<'a>> {
        let lanes = load.lanes()?;
        ensure!(!lanes.is_empty(), "a load without connections");
        let poll = Poll::new()?;
        for (number, lane) in lanes.iter().enumerate() {
            poll.add(lane.link(), number)?;
        }
        let producers = lanes.iter().filter(|lane| matches!(lane, Lane::Producer(_))).count();
        let window_end_ns = (load.window.warm_up + load.window.length).as_nanos() as u64;
        let rate = load.produce.as_ref().and_then(|produce| produce.requests_per_s);
        Ok(Run {
            load,
            lanes,
            producers,
            poll,
            ledger: Ledger::new(load.topic.partitions, load.follows_batches()),
            schedule: rate.map(|rate| Schedule::new(rate, window_end_ns)),
            origin: Instant::now(),
            begun: None,
            ended: None,
        })
    }

    fn now_ns(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    fn until_end(&mut self) -> anyhow::Result<()> {
        let mut tokens = Vec::new();
        for number in 0..self.lanes.len() {
            self.pump(number)?;
        }
        while !self.is_over()? {
            self.hand_out_due()?;
            let alarm_ns = self.schedule.as_ref().and_then(Schedule::next_ns);
            self.poll.wait(alarm_ns.map(|due_ns| due_ns.saturating_sub(self.now_ns())), &mut tokens)?;
            for token in tokens.drain(..) {
                if let Token::Lane(number) = token {
                    let now_ns = self.now_ns();
                    self.lanes[number].receive(now_ns, &mut self.ledger)?;
                    self.pump(number)?;
                }
            }
        }
        Ok(())
    }

    /// Gives every request that is due to a connection, in turn.
    fn hand_out_due(&mut self) -> anyhow::Result<()> {
        while let Some((number, due_ns)) = {
            let now_ns = self.now_ns();
            self.schedule.as_mut().and_then(|schedule| schedule.take(now_ns))
        } {
            let lane = usize::try_from(number % self.producers as u64)?;
            if let Lane::Producer(producer) = &mut self.lanes[lane] {
                producer.push_due(due_ns);
            }
            self.pump(lane)?;
        }
        Ok(())
    }

    fn pump(&mut self, number: usize) -> anyhow::Result<()> {
        let now_ns = self.now_ns();
        let is_stopped = self.ended.is_some();
        let lane = &mut self.lanes[number];
        let is_blocked = lane.send(now_ns, is_stopped, &mut self.ledger)?;
        self.poll.interest(lane.link_mut(), number, is_blocked)
    }

    /// Opens and closes the window; true when nothing is left to wait for.
    fn is_over(&mut self) -> anyhow::Result<bool> {
        let now_ns = self.now_ns();
        let window = self.load.window;
        if self.begun.is_none() && now_ns >= window.warm_up.as_nanos() as u64 {
            self.begun = Some(Sample::take(self.load.broker_process)?);
            // What is due from here on counts, however long the reading of the counters took.
            self.ledger.begin(window.warm_up.as_nanos() as u64);
        }
        let is_full =
            self.ledger.bytes() >= window.bytes_max || self.ledger.requests() >= window.requests_max;
        let is_late = now_ns >= (window.warm_up + window.length).as_nanos() as u64;
        if self.begun.is_some() && self.ended.is_none() && (is_full || is_late) {
            self.ledger.end(now_ns);
            self.ended = Some(Sample::take(self.load.broker_process)?);
        }
        let Some(ended_ns) = self.ledger.ended_ns() else { return Ok(false) };
        let is_answered = self.schedule.is_none() || self.lanes.iter().all(Lane::is_answered);
        Ok(is_answered || now_ns > ended_ns + DRAIN.as_nanos() as u64)
    }

    fn outcome(mut self, idle: Option<Idle>) -> anyhow::Result<Outcome> {
        let now_ns = self.now_ns();
        for lane in &mut self.lanes {
            lane.give_up(now_ns, &mut self.ledger);
        }
        let process = self.load.broker_process;
        let (begun, ended) = self.begun.zip(self.ended).context("the window never opened")?;
        let observed: Observed = begun.until(&ended, process)?;
        let seconds = observed.seconds;
        let produced = self.load.produce.is_some().then(|| self.ledger.produced.clone().rated(seconds));
        let fetched = self.load.fetch.is_some().then(|| self.ledger.fetched.clone().rated(seconds));
        Ok(Outcome {
            command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
            congestion_control: self.lanes.first().context("no connection")?.link().congestion_control(),
            seconds,
            connections: self.lanes.len(),
            topic_ready_s: self.load.topic.ready_s,
            broker: Costs::of(&observed, [&produced, &fetched]),
            produce_latency_us: self.ledger.produce_latencies.percentiles(),
            delivery_latency_us: self.ledger.delivery_latencies.percentiles(),
            produced,
            fetched,
            idle,
            observed,
        })
    }
}

impl Lane {
    fn link(&self) -> &Link {
        match self {
            Lane::Producer(producer) => &producer.link,
            Lane::Consumer(consumer) => &consumer.link,
        }
    }

    fn link_mut(&mut self) -> &mut Link {
        match self {
            Lane::Producer(producer) => &mut producer.link,
            Lane::Consumer(consumer) => &mut consumer.link,
        }
    }

    /// Sends what may be sent; true when the socket takes no more. When stopped, begun requests are finished only.
    fn send(&mut self, now_ns: u64, is_stopped: bool, ledger: &mut Ledger) -> anyhow::Result<bool> {
        match self {
            Lane::Producer(producer) => producer.send(now_ns, is_stopped, ledger),
            Lane::Consumer(consumer) => consumer.send(),
        }
    }

    fn receive(&mut self, now_ns: u64, ledger: &mut Ledger) -> anyhow::Result<()> {
        match self {
            Lane::Producer(producer) => producer.receive(now_ns, ledger),
            Lane::Consumer(consumer) => consumer.receive(now_ns, ledger),
        }
    }

    fn is_answered(&self) -> bool {
        match self {
            Lane::Producer(producer) => producer.is_answered(),
            Lane::Consumer(_) => true,
        }
    }

    /// What is unanswered counts with the time it has waited.
    fn give_up(&mut self, now_ns: u64, ledger: &mut Ledger) {
        if let Lane::Producer(producer) = self {
            producer.give_up(now_ns, ledger);
        }
    }
}
