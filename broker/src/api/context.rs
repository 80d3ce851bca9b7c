//! What a handler knows about its request beside the body: the broker, the connection, key and version.
//!
//! Made by `net/connection.rs` once per request; cheap to make (reference counts only). The clock was read
//! when the frame was complete: handlers take `received_ms` as their "now" and read no clock themselves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::compression::Codec;
use parking_lot::Mutex;

use crate::broker::Broker;
use crate::config::ListenerName;

/// What stays the same for all requests of one connection.
#[derive(Debug)]
pub struct ConnectionInfo {
    pub listener: ListenerName,
    pub peer: SocketAddr,
    /// The address the client reached us at.
    pub local: SocketAddr,
    /// Held by the produce request that appends now; those behind it wait in their order.
    pub produce_turn: tokio::sync::Mutex<()>,
    /// One bit for each codec that this client was seen to use rightly.
    trusted_codecs: AtomicU8,
}

impl ConnectionInfo {
    pub fn new(listener: ListenerName, peer: SocketAddr, local: SocketAddr) -> ConnectionInfo {
        let produce_turn = tokio::sync::Mutex::const_new(());
        ConnectionInfo { listener, peer, local, produce_turn, trusted_codecs: AtomicU8::new(0) }
    }

    /// Whether a batch of this codec was looked into and was right.
    pub fn trusts(&self, codec: Codec) -> bool {
        self.trusted_codecs.load(Ordering::Relaxed) & (1 << codec.id()) != 0
    }

    pub fn trust(&self, codec: Codec) {
        self.trusted_codecs.fetch_or(1 << codec.id(), Ordering::Relaxed);
    }
}

/// One request, its body apart.
pub struct RequestContext {
    pub broker: Arc<Broker>,
    pub connection: Arc<ConnectionInfo>,
    pub api_key: ApiKey,
    pub api_version: i16,
    pub correlation_id: i32,
    pub client_id: Option<Arc<str>>,
    /// Milliseconds since the Unix epoch when the frame was complete.
    pub received_ms: i64,
    /// The same moment on the monotonic clock; deadlines count from it.
    pub received_at: Instant,
    /// An empty buffer for the answer, lent by the connection.
    pub buffer: Mutex<Vec<u8>>,
}

impl RequestContext {
    /// The buffer to encode the answer into; a new one if it was taken already.
    pub fn take_buffer(&self) -> Vec<u8> {
        std::mem::take(&mut *self.buffer.lock())
    }

    /// When a request that may take this long is over; nothing and less is over at once.
    pub fn deadline(&self, timeout_ms: i32) -> Instant {
        self.received_at + Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
    }

    /// The client's id as logs and metrics print it.
    pub fn client(&self) -> &str {
        self.client_id.as_deref().unwrap_or("")
    }
}
