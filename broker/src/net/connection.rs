//! One client: read frames, start their requests, answer in order, stop when told.
//!
//! A single task owns the socket. It takes every frame that is there, starts each request (polling it once, so
//! that appends keep the connection's order), writes what is done at the front, and only then waits: for more
//! bytes, for the oldest request, for the end of idleness, or for the broker to stop. A client that pipelines gets
//! several answers in one write. A request that waits (acks=all, long poll) does not keep the next one from
//! starting. One bad frame costs its connection only.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::frame::RequestHeader;
use logspine_protocol::wire::Reader;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Sleep, sleep_until};
use tracing::{debug, info, warn};

use super::frame_reader::{Frame, FrameError, FrameReader};
use super::in_flight::InFlight;
use super::request_memory::RequestMemory;
use super::response_writer::ResponseWriter;
use crate::api::{self, ConnectionInfo, Outcome, Refusal, RequestContext};
use crate::broker::Broker;
use crate::clock;

/// After this long without a request a connection gives its buffers back.
const SHRINK_AFTER: Duration = Duration::from_secs(5);

/// A larger buffer of an answer is not kept for the next.
const ANSWER_KEPT_BYTES: usize = 16 * 1024;

/// So often is the socket read again before the answers that are done are written: half of a small answer's cost is
/// its sending. A client that has five large requests in flight, the default, still has one on its way.
const READ_AGAIN_MAX: usize = 3;

/// What was in the page cache when an answer was made is taken to be there still.
const FRESH_FOR: Duration = Duration::from_millis(20);

/// "Never", for a timer that needs a moment.
const NEVER: Duration = Duration::from_secs(86_400 * 365);

/// Why a connection ends.
#[derive(Debug, Error)]
enum End {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("a request header that cannot be read: {0}")]
    Header(String),
    #[error("API key {0} is not known")]
    UnknownApi(i16),
    #[error("a produce request without answer failed")]
    FailedWithoutAnswer,
    #[error("cannot write: {0}")]
    Write(#[from] std::io::Error),
    #[error("idle for longer than connections.max.idle.ms")]
    Idle,
    #[error("the broker stops")]
    Stopping,
}

/// A request that was carried out, and what it was made of.
struct Finished {
    outcome: Result<Outcome, Refusal>,
    /// `None` once its buffer went back to the reader.
    frame: Option<Frame>,
    api_key: ApiKey,
    received_at: Instant,
}

pub struct Connection {
    broker: Arc<Broker>,
    info: Arc<ConnectionInfo>,
    stream: TcpStream,
    reader: FrameReader,
    writer: ResponseWriter,
    in_flight: InFlight<Finished>,
    /// The buffer of an answer that was sent, for the next one.
    spare_answer: Vec<u8>,
    /// The client id of the last request: the same for all requests of nearly every client.
    client_id: Option<Arc<str>>,
    stop: watch::Receiver<bool>,
    last_request: Instant,
    idle_max: Duration,
    /// Goes off when idleness may be over; set anew then, and not with every request.
    idle_timer: Pin<Box<Sleep>>,
}

impl Connection {
    pub fn new(
        broker: Arc<Broker>,
        info: ConnectionInfo,
        stream: TcpStream,
        memory: RequestMemory,
    ) -> Connection {
        let network = &broker.config.network;
        let idle_max = u64::try_from(network.connections_max_idle_ms).map_or(NEVER, Duration::from_millis);
        Connection {
            info: Arc::new(info),
            stream,
            reader: FrameReader::new(
                memory,
                network.socket_request_max_bytes,
                Duration::from_millis(network.connections_max_stall_ms),
            ),
            writer: ResponseWriter::new(Arc::clone(&broker.cold_reads), idle_max.min(NEVER)),
            in_flight: InFlight::new(),
            spare_answer: Vec::new(),
            client_id: None,
            stop: broker.lifecycle.stop_signal(),
            last_request: Instant::now(),
            idle_max: idle_max.min(NEVER),
            idle_timer: Box::pin(sleep_until((Instant::now() + SHRINK_AFTER.min(idle_max)).into())),
            broker,
        }
    }

    /// Serves until either side ends it; says why in the log.
    pub async fn run(mut self) {
        let end = self.serve().await;
        let (peer, listener) = (self.info.peer, &self.info.listener);
        match end {
            End::Frame(FrameError::Closed) | End::Stopping => {
                debug!(%peer, %listener, "connection ends: {end}")
            }
            End::Idle | End::Write(_) | End::FailedWithoutAnswer => {
                info!(%peer, %listener, "connection closed: {end}");
            }
            End::Frame(FrameError::Io(_)) => debug!(%peer, %listener, "connection ends: {end}"),
            _ => {
                self.broker.metrics.refused_requests.inc();
                warn!(%peer, %listener, "connection closed: {end}");
            }
        }
    }

    async fn serve(&mut self) -> End {
        loop {
            if let Err(end) = self.step().await {
                return end;
            }
        }
    }

    async fn step(&mut self) -> Result<(), End> {
        // A frame that cannot be read ends the connection after the answers before it.
        let started = self.start_all_here().await;
        self.write_done().await?;
        if started? || !self.in_flight.has_room() {
            return self.wait().await;
        }
        // More frames are here than there was room for: go on, after others had their turn.
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Starts what was received, and what the socket has already; the answers to all of it leave together.
    async fn start_all_here(&mut self) -> Result<bool, End> {
        let mut all = self.start_received().await?;
        for _ in 0..READ_AGAIN_MAX {
            // A client that waits for its answer has sent nothing more: it is not asked.
            let has_more = self.reader.has_begun() && self.in_flight.has_done();
            if !all || !has_more || !self.fill_at_once().await? {
                break;
            }
            all = self.start_received().await?;
        }
        Ok(all)
    }

    /// Reads once what is there without waiting; false if there is nothing.
    async fn fill_at_once(&mut self) -> Result<bool, End> {
        let mut fill = pin!(self.reader.fill(&mut self.stream));
        let filled = poll_fn(|context| Poll::Ready(fill.as_mut().poll(context))).await;
        match filled {
            Poll::Ready(filled) => Ok(filled.map(|()| true)?),
            Poll::Pending => Ok(false),
        }
    }

    /// Starts every request that is here completely, as far as there is room. True if none is left.
    async fn start_received(&mut self) -> Result<bool, End> {
        while !*self.stop.borrow() {
            if !self.in_flight.has_room() {
                return Ok(false);
            }
            let Some(frame) = self.reader.take()? else { break };
            self.last_request = Instant::now();
            let request = Box::pin(self.request(frame)?);
            let mut request = Some(request);
            let in_flight = &mut self.in_flight;
            poll_fn(|context| {
                if let Some(request) = request.take() {
                    in_flight.start(request, context);
                }
                Poll::Ready(())
            })
            .await;
            // The next frame goes where this one was, also while its answer waits.
            if let Some(frame) = self.in_flight.newest_done().and_then(|finished| finished.frame.take()) {
                self.reader.recycle(frame);
            }
        }
        Ok(true)
    }

    /// Reads the header of a frame and makes the future that carries it out.
    fn request(&mut self, frame: Frame) -> Result<impl Future<Output = Finished> + Send + use<>, End> {
        let mut reader = Reader::new(frame.payload());
        let header = RequestHeader::decode(&mut reader).map_err(|error| End::Header(error.to_string()))?;
        let body_bytes = reader.remaining();
        let api_key = ApiKey::from_i16(header.api_key).ok_or(End::UnknownApi(header.api_key))?;
        if self.client_id.as_deref() != header.client_id {
            self.client_id = header.client_id.map(Arc::from);
        }
        let context = RequestContext {
            broker: Arc::clone(&self.broker),
            connection: Arc::clone(&self.info),
            api_key,
            api_version: header.api_version,
            correlation_id: header.correlation_id,
            client_id: self.client_id.clone(),
            received_ms: clock::wall_ms(),
            received_at: self.last_request,
            buffer: Mutex::new(std::mem::take(&mut self.spare_answer)),
        };
        Ok(async move {
            let payload = frame.payload();
            let outcome = api::dispatch(&context, &payload[payload.len() - body_bytes..]).await;
            Finished { outcome, frame: Some(frame), api_key, received_at: context.received_at }
        })
    }

    /// Writes the answers that are done, oldest first, as few calls as they fit in.
    async fn write_done(&mut self) -> Result<(), End> {
        let mut next = self.in_flight.pop_done();
        while let Some(finished) = next {
            next = self.in_flight.pop_done();
            let Finished { outcome, frame, api_key, received_at } = finished;
            if let Some(frame) = frame {
                self.reader.recycle(frame);
            }
            let written = match outcome {
                Ok(Outcome::Answer(answer)) => {
                    let is_fresh = received_at.elapsed() < FRESH_FOR;
                    let sent = self.writer.send(&self.stream, &answer, is_fresh, next.is_some()).await;
                    self.keep_buffer(answer.bytes);
                    sent.map_err(End::from)
                }
                Ok(Outcome::NoAnswer) => Ok(()),
                Ok(Outcome::Close) => Err(End::FailedWithoutAnswer),
                Err(refusal) => Err(End::from(refusal)),
            };
            self.broker.metrics.request_done(api_key, received_at.elapsed());
            if let Err(end) = written {
                self.writer.flush(&self.stream).await?;
                return Err(end);
            }
        }
        self.writer.flush(&self.stream).await?;
        let sent = self.writer.take_sent();
        self.broker.metrics.bytes_sent(sent.bytes, sent.by_sendfile);
        Ok(())
    }

    fn keep_buffer(&mut self, mut bytes: Vec<u8>) {
        if bytes.capacity() <= ANSWER_KEPT_BYTES && bytes.capacity() > self.spare_answer.capacity() {
            bytes.clear();
            self.spare_answer = bytes;
        }
    }

    /// Waits for the next thing to do.
    async fn wait(&mut self) -> Result<(), End> {
        let stopping = *self.stop.borrow();
        if stopping && self.in_flight.is_empty() {
            return Err(End::Stopping);
        }
        let may_read = self.in_flight.has_room() && !stopping;
        let idle = self.in_flight.is_empty();
        let in_flight = &mut self.in_flight;
        tokio::select! {
            biased;
            () = poll_fn(|context| in_flight.poll_oldest(context)), if !idle => Ok(()),
            filled = self.reader.fill(&mut self.stream), if may_read => Ok(filled?),
            _ = self.stop.changed(), if !stopping => Ok(()),
            () = self.idle_timer.as_mut(), if idle => self.idle_timer_went_off(),
        }
    }

    /// Gives buffers back, ends the connection, or neither: there may have been requests since it was set.
    fn idle_timer_went_off(&mut self) -> Result<(), End> {
        let idle_for = self.last_request.elapsed();
        if idle_for >= self.idle_max {
            return Err(End::Idle);
        }
        let shrinks = idle_for >= SHRINK_AFTER;
        if shrinks {
            self.reader.shrink();
            self.spare_answer = Vec::new();
        }
        let next = if shrinks { self.idle_max } else { SHRINK_AFTER.min(self.idle_max) };
        self.idle_timer.as_mut().reset((self.last_request + next).into());
        Ok(())
    }
}
