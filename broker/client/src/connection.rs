//! One TCP connection to one broker: requests out in the order of their calls, answers matched to them.
//!
//! A broker answers the requests of a connection in order (Kafka's protocol guide), so what waits is a queue,
//! and a correlation id that does not fit its head means the stream is lost. Two tasks own the two halves of
//! the socket; a call that is dropped half-way therefore never tears a frame. Bounds: `max_in_flight` requests
//! without an answer, `max_response_bytes` per answer, buffers that grow with the bytes received, and one time
//! limit per request, after which the connection is given up since later answers could not be trusted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use logspine_protocol::wire::Message;

use crate::config::ClientConfig;
use crate::error::ClientError;
use crate::negotiate::{ServedVersions, highest_stable};
use crate::reply::{CORRELATION_ID_AT, Reply, encode_request};

/// An open connection whose versions are agreed. Dropping it closes the socket.
#[derive(Debug)]
pub(crate) struct Connection {
    broker: Arc<str>,
    client_id: String,
    outgoing: mpsc::Sender<Outgoing>,
    places: Arc<Semaphore>,
    waiting: Arc<Waiting>,
    reader: AbortHandle,
    served: ServedVersions,
}

#[derive(Debug)]
struct Outgoing {
    frame: Vec<u8>,
    /// None when the broker will not answer (Produce with acks=0).
    expected: Option<Expected>,
}

/// One request that was sent and not yet answered.
#[derive(Debug)]
struct Expected {
    correlation_id: i32,
    answer: oneshot::Sender<Result<Vec<u8>, Arc<str>>>,
    _place: OwnedSemaphorePermit,
}

/// The queue of unanswered requests, or why there can be no more of them.
#[derive(Debug, Default)]
struct Waiting(Mutex<WaitingState>);

#[derive(Debug, Default)]
struct WaitingState {
    queue: VecDeque<Expected>,
    closed: Option<Arc<str>>,
}

impl Connection {
    /// Connects and agrees on versions.
    pub(crate) async fn open(address: &str, config: &ClientConfig) -> Result<Self, ClientError> {
        let broker: Arc<str> = address.into();
        let refused = |source| ClientError::Connect { broker: broker.clone(), source: Arc::new(source) };
        let stream = timeout(config.connect_timeout, TcpStream::connect(address))
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        let mut connection = Self::over(stream, broker, config);
        connection.served = connection.agree_on_versions(config.request_timeout).await?;
        Ok(connection)
    }

    fn over(stream: TcpStream, broker: Arc<str>, config: &ClientConfig) -> Self {
        let (read_half, write_half) = stream.into_split();
        let (outgoing, queue) = mpsc::channel(config.max_in_flight);
        let waiting = Arc::new(Waiting::default());
        let reader = tokio::spawn(read_answers(read_half, waiting.clone(), config.max_response_bytes));
        tokio::spawn(write_requests(write_half, queue, waiting.clone()));
        Self {
            broker,
            client_id: config.client_id.clone(),
            outgoing,
            places: Arc::new(Semaphore::new(config.max_in_flight)),
            waiting,
            reader: reader.abort_handle(),
            served: ServedVersions::default(),
        }
    }

    async fn agree_on_versions(&self, limit: Duration) -> Result<ServedVersions, ClientError> {
        let request = ApiVersionsRequest {
            client_software_name: "logspine".into(),
            client_software_version: env!("CARGO_PKG_VERSION").into(),
        };
        let mut version = highest_stable::<ApiVersionsRequest<'_>>();
        loop {
            let mut reply = self.call_at(&request, version, limit).await?;
            // A broker that does not know our version answers in version 0, whatever was asked (KIP-511).
            if reply.error_code_at_start() == ErrorCode::UnsupportedVersion.code() && version > 0 {
                reply.read_as(0);
                let served = ServedVersions::from_response(&reply.decode::<ApiVersionsResponse<'_>>()?);
                version = served.pick::<ApiVersionsRequest<'_>>(version - 1).unwrap_or(0);
                continue;
            }
            let response = reply.decode::<ApiVersionsResponse<'_>>()?;
            reply.check(response.error_code, "version negotiation", None)?;
            return Ok(ServedVersions::from_response(&response));
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.waiting.lock().closed.is_some()
    }

    /// The version of `M` that `call` would use, for requests whose shape depends on it.
    pub(crate) fn version_of<'a, M: Message<'a>>(&self, cap: i16) -> Result<i16, ClientError> {
        self.served.pick::<M>(cap).ok_or_else(|| ClientError::NoCommonVersion {
            broker: self.broker.clone(),
            api: M::NAME,
            ours_min: M::MIN_VERSION,
            ours_max: highest_stable::<M>().min(cap),
            theirs: self.served.describe(M::API_KEY),
        })
    }

    /// Sends a request at the highest common version and waits for its answer.
    pub(crate) async fn call<'a, M: Message<'a>>(
        &self,
        request: &M,
        limit: Duration,
    ) -> Result<Reply, ClientError> {
        self.call_at(request, self.version_of::<M>(i16::MAX)?, limit).await
    }

    /// The same at a version that `version_of` returned.
    pub(crate) async fn call_at<'a, M: Message<'a>>(
        &self,
        request: &M,
        version: i16,
        limit: Duration,
    ) -> Result<Reply, ClientError> {
        let frame = encode_request(request, version, &self.client_id)?;
        let exchange = async {
            let place = self.places.clone().acquire_owned().await.map_err(|_| self.lost(M::NAME))?;
            let (answer, answered) = oneshot::channel();
            let expected = Expected { correlation_id: 0, answer, _place: place };
            self.submit(Outgoing { frame, expected: Some(expected) }, M::NAME).await?;
            match answered.await {
                Ok(Ok(frame)) => Ok(frame),
                Ok(Err(_)) | Err(_) => Err(self.lost(M::NAME)),
            }
        };
        let frame = match timeout(limit, exchange).await {
            Ok(frame) => frame?,
            Err(_) => {
                self.waiting.close(&format!("{} was not answered in time", M::NAME));
                return Err(ClientError::Timeout { broker: self.broker.clone(), api: M::NAME, after: limit });
            }
        };
        Reply::new::<M>(self.broker.clone(), frame, version)
    }

    /// Sends a request that the broker will not answer; returns once it is queued behind those before it.
    pub(crate) async fn send_only<'a, M: Message<'a>>(
        &self,
        request: &M,
        version: i16,
    ) -> Result<(), ClientError> {
        let frame = encode_request(request, version, &self.client_id)?;
        self.submit(Outgoing { frame, expected: None }, M::NAME).await
    }

    async fn submit(&self, outgoing: Outgoing, api: &'static str) -> Result<(), ClientError> {
        if self.is_closed() {
            return Err(self.lost(api));
        }
        self.outgoing.send(outgoing).await.map_err(|_| self.lost(api))
    }

    fn lost(&self, api: &'static str) -> ClientError {
        let reason = self.waiting.lock().closed.clone().unwrap_or_else(|| "closed".into());
        ClientError::Disconnected { broker: self.broker.clone(), api, reason }
    }
}

impl Drop for Connection {
    /// The writer ends by itself once its queue is closed and empty; the reader might wait for ever.
    fn drop(&mut self) {
        self.waiting.close("closed by this client");
        self.reader.abort();
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, WaitingState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a request before its bytes leave, so that no answer can be early. False when closed.
    fn expect(&self, expected: Expected) -> bool {
        let mut state = self.lock();
        if state.closed.is_some() {
            return false;
        }
        state.queue.push_back(expected);
        true
    }

    /// Hands an answer to the request it belongs to; an error says why the stream cannot be trusted further.
    fn answer(&self, frame: Vec<u8>) -> Result<(), String> {
        let Some(correlation_id) = frame.first_chunk::<4>().map(|bytes| i32::from_be_bytes(*bytes)) else {
            return Err(format!("an answer of {} bytes has no correlation id", frame.len()));
        };
        let Some(expected) = self.lock().queue.pop_front() else {
            return Err(format!("an answer with correlation id {correlation_id} that nothing waits for"));
        };
        if expected.correlation_id != correlation_id {
            return Err(format!("correlation id {correlation_id} instead of {}", expected.correlation_id));
        }
        // The caller may have gone away; its answer is then of no interest.
        let _ = expected.answer.send(Ok(frame));
        Ok(())
    }

    /// Ends the connection for everybody who waits; the first reason is the one that is told.
    fn close(&self, reason: &str) {
        let mut state = self.lock();
        let reason = state.closed.get_or_insert_with(|| reason.into()).clone();
        for expected in state.queue.drain(..) {
            let _ = expected.answer.send(Err(reason.clone()));
        }
    }
}

/// Owns the sending half. Ends when the connection is dropped, closed, or a write fails.
async fn write_requests(
    mut socket: OwnedWriteHalf,
    mut queue: mpsc::Receiver<Outgoing>,
    waiting: Arc<Waiting>,
) {
    let mut correlation_id: i32 = 0;
    while let Some(Outgoing { mut frame, expected }) = queue.recv().await {
        correlation_id = correlation_id.wrapping_add(1);
        frame[CORRELATION_ID_AT..CORRELATION_ID_AT + 4].copy_from_slice(&correlation_id.to_be_bytes());
        if expected.is_some_and(|expected| !waiting.expect(Expected { correlation_id, ..expected })) {
            return;
        }
        if let Err(error) = socket.write_all(&frame).await {
            return waiting.close(&error.to_string());
        }
    }
    let _ = socket.shutdown().await;
}

/// Owns the receiving half. Ends when the broker closes, sends what cannot be trusted, or is aborted.
async fn read_answers(mut socket: OwnedReadHalf, waiting: Arc<Waiting>, max_bytes: usize) {
    let reason = loop {
        let frame = match read_frame(&mut socket, max_bytes).await {
            Ok(frame) => frame,
            Err(reason) => break reason,
        };
        if let Err(reason) = waiting.answer(frame) {
            break reason;
        }
    };
    waiting.close(&reason);
}

/// Reads one length-prefixed frame. The buffer grows with the bytes that arrive, not with what was announced.
async fn read_frame(socket: &mut OwnedReadHalf, max_bytes: usize) -> Result<Vec<u8>, String> {
    let announced = match socket.read_i32().await {
        Ok(announced) => announced,
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err("closed by the broker".into());
        }
        Err(error) => return Err(error.to_string()),
    };
    let length = usize::try_from(announced).ok().filter(|length| *length <= max_bytes);
    let Some(length) = length else {
        return Err(format!("an answer of {announced} bytes, the limit is {max_bytes}"));
    };
    let mut frame = Vec::with_capacity(length.min(64 << 10));
    let read = socket.take(length as u64).read_to_end(&mut frame).await.map_err(|error| error.to_string())?;
    if read < length {
        return Err(format!("closed by the broker after {read} of {length} bytes of an answer"));
    }
    Ok(frame)
}

#[cfg(test)]
mod tests;
