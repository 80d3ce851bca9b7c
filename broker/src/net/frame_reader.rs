//! Bytes of one connection to frames: length prefix, then that many bytes.
//!
//! The buffer grows with the bytes received: doubling, leased from `RequestMemory` before it is allocated, so
//! a prefix that promises 90 MiB and sends nothing costs nothing. Small frames arrive several at a time and
//! are taken out one by one; of a large frame next to nothing behind its end is read ahead. An idle connection holds
//! no buffer. Cancel safe: `fill` may be dropped at any await.

use std::io;
use std::time::Duration;

use bytes::BufMut;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::request_memory::{FREE_BYTES, Lease, RequestMemory};

const PREFIX_BYTES: usize = 4;

/// The first read of an idle connection, and the least that a read has room for.
const READ_BYTES: usize = 8 * 1024;

/// Room behind a large frame: a read that does not fill it is known to have emptied the socket.
const SLACK_BYTES: usize = 64;

/// A buffer up to this size is kept for the next frame.
const KEPT_BYTES: usize = 256 * 1024;

/// Why a connection cannot go on.
#[derive(Debug, Error)]
pub enum FrameError {
    #[error("closed by the peer")]
    Closed,
    #[error("closed by the peer in the middle of a request ({received} of {wanted} bytes)")]
    ClosedWithin { received: usize, wanted: usize },
    #[error("a request of {length} bytes, and socket.request.max.bytes is {limit}")]
    TooLong { length: i32, limit: u32 },
    #[error("waited {waited_ms} ms for request memory with {held} bytes of an unfinished request")]
    Starved { held: usize, waited_ms: u128 },
    #[error("sent nothing for {waited_ms} ms in the middle of a request")]
    Stalled { waited_ms: u128 },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// One whole request: its bytes and the memory they are charged to.
#[derive(Debug)]
pub struct Frame {
    bytes: Vec<u8>,
    lease: Lease,
}

impl Frame {
    /// Header and body, without the length prefix.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[PREFIX_BYTES..]
    }
}

pub struct FrameReader {
    memory: RequestMemory,
    max_bytes: u32,
    /// How long half a request may hold memory without going on.
    stall_max: Duration,
    /// Received and not yet handed out; a frame always starts at 0.
    received: Vec<u8>,
    lease: Lease,
    /// A buffer that came back from a finished request, empty.
    spare: Vec<u8>,
    spare_lease: Lease,
}

impl FrameReader {
    pub fn new(memory: RequestMemory, max_bytes: u32, stall_max: Duration) -> FrameReader {
        FrameReader {
            memory,
            max_bytes,
            stall_max,
            received: Vec::new(),
            lease: Lease::default(),
            spare: Vec::new(),
            spare_lease: Lease::default(),
        }
    }

    /// The next frame, if it has been received completely.
    pub fn take(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(total) = self.frame_bytes()? else { return Ok(None) };
        if self.received.len() < total {
            return Ok(None);
        }
        let behind = self.received.len() - total;
        // Copy whichever is smaller: the frame out, or what follows it into the next buffer.
        if behind > total {
            let bytes = self.received[..total].to_vec();
            self.received.drain(..total);
            return Ok(Some(Frame { bytes, lease: Lease::default() }));
        }
        let mut bytes = std::mem::replace(&mut self.received, std::mem::take(&mut self.spare));
        let lease = std::mem::replace(&mut self.lease, std::mem::take(&mut self.spare_lease));
        self.received.extend_from_slice(&bytes[total..]);
        bytes.truncate(total);
        Ok(Some(Frame { bytes, lease }))
    }

    /// Whether a part of the next frame is here.
    pub fn has_begun(&self) -> bool {
        !self.received.is_empty()
    }

    /// Takes back the buffer of a finished request.
    pub fn recycle(&mut self, frame: Frame) {
        let Frame { mut bytes, lease } = frame;
        if bytes.capacity() <= self.spare.capacity() || bytes.capacity() > KEPT_BYTES {
            return;
        }
        bytes.clear();
        if self.received.is_empty() && self.received.capacity() < bytes.capacity() {
            (self.received, self.lease) = (bytes, lease);
        } else {
            (self.spare, self.spare_lease) = (bytes, lease);
        }
    }

    /// Gives all memory back, unless a request is half received.
    pub fn shrink(&mut self) {
        (self.spare, self.spare_lease) = (Vec::new(), Lease::default());
        if self.received.is_empty() {
            (self.received, self.lease) = (Vec::new(), Lease::default());
        }
    }

    /// Receives some bytes: waits for the socket, then for memory, then reads once.
    pub async fn fill(&mut self, stream: &mut TcpStream) -> Result<(), FrameError> {
        self.wait_readable(stream).await?;
        let limit = self.make_room().await?;
        // `read_buf` and not `try_read_buf`: a read that leaves room tells tokio that the socket is empty, which
        // saves the call that would only find that out.
        match stream.read_buf(&mut (&mut self.received).limit(limit)).await? {
            0 if self.received.is_empty() => Err(FrameError::Closed),
            0 => {
                let wanted = self.frame_bytes()?.unwrap_or(PREFIX_BYTES);
                Err(FrameError::ClosedWithin { received: self.received.len(), wanted })
            }
            _ => Ok(()),
        }
    }

    /// A peer that holds shared memory and sends nothing is not waited for as long as an idle one.
    async fn wait_readable(&self, stream: &TcpStream) -> Result<(), FrameError> {
        if self.lease.held_bytes() == 0 || self.received.is_empty() {
            return Ok(stream.readable().await?);
        }
        match tokio::time::timeout(self.stall_max, stream.readable()).await {
            Ok(ready) => Ok(ready?),
            Err(_) => Err(FrameError::Stalled { waited_ms: self.stall_max.as_millis() }),
        }
    }

    /// Grows the buffer if it is full; returns how many bytes the next read may take.
    async fn make_room(&mut self) -> Result<usize, FrameError> {
        let received = self.received.len();
        let total = self.frame_bytes()?;
        // Without a prefix, or within a small frame, whatever comes is read; a large frame is read to its end.
        let wanted = match total {
            Some(total) if total > READ_BYTES => total,
            _ => READ_BYTES.max(self.received.capacity()),
        };
        if received == self.received.capacity() {
            let doubled = (received * 2).max(READ_BYTES).min(wanted.max(received) + SLACK_BYTES);
            self.lease_for(doubled).await?;
            self.received.reserve_exact(doubled - received);
        }
        let room = self.received.capacity() - received;
        Ok(match total {
            Some(total) if total > READ_BYTES => room.min(total + SLACK_BYTES - received),
            _ => room,
        })
    }

    async fn lease_for(&mut self, capacity: usize) -> Result<(), FrameError> {
        if self.memory.try_grow(&mut self.lease, capacity) {
            return Ok(());
        }
        let held = self.received.len();
        let grow = self.memory.grow(&mut self.lease, capacity);
        if held <= FREE_BYTES {
            grow.await;
            return Ok(());
        }
        let waited_ms = self.stall_max.as_millis();
        let starved = |_| FrameError::Starved { held, waited_ms };
        tokio::time::timeout(self.stall_max, grow).await.map_err(starved)
    }

    /// Prefix and payload of the frame at the front, once its prefix is there.
    fn frame_bytes(&self) -> Result<Option<usize>, FrameError> {
        let Some(prefix) = self.received.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let length = i32::from_be_bytes(*prefix);
        match u32::try_from(length) {
            Ok(payload) if payload <= self.max_bytes => Ok(Some(PREFIX_BYTES + payload as usize)),
            _ => Err(FrameError::TooLong { length, limit: self.max_bytes }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    fn reader(pool_bytes: u64) -> FrameReader {
        FrameReader::new(RequestMemory::new(pool_bytes), 100 << 20, Duration::from_secs(30))
    }

    fn frame(payload: &[u8]) -> Vec<u8> {
        [&(payload.len() as i32).to_be_bytes()[..], payload].concat()
    }

    async fn next(reader: &mut FrameReader, stream: &mut TcpStream) -> Result<Frame, FrameError> {
        loop {
            if let Some(frame) = reader.take()? {
                return Ok(frame);
            }
            reader.fill(stream).await?;
        }
    }

    #[tokio::test]
    async fn frames_of_every_size_come_out_as_they_went_in() {
        let (mut client, mut server) = pair().await;
        let payloads: Vec<Vec<u8>> =
            [1, 3, 100, 9_000, 5, 70_000, 1_000_000, 2].iter().map(|&size| vec![size as u8; size]).collect();
        let bytes: Vec<u8> = payloads.iter().flat_map(|payload| frame(payload)).collect();
        let send = tokio::spawn(async move { client.write_all(&bytes).await.map(|()| client) });
        let mut reader = reader(8 << 20);
        for payload in &payloads {
            let frame = next(&mut reader, &mut server).await.unwrap();
            assert!(frame.payload() == payload, "a frame of {} bytes", payload.len());
            reader.recycle(frame);
        }
        drop(send.await.unwrap().unwrap());
        assert!(matches!(next(&mut reader, &mut server).await, Err(FrameError::Closed)));
    }

    #[tokio::test]
    async fn a_claimed_length_costs_nothing_until_bytes_arrive() {
        let (mut client, mut server) = pair().await;
        client.write_all(&(90_i32 << 20).to_be_bytes()).await.unwrap();
        client.write_all(&[7; 100]).await.unwrap();
        let mut reader = reader(1 << 20);
        while reader.received.len() < 104 {
            reader.fill(&mut server).await.unwrap();
        }
        assert!(reader.received.capacity() <= READ_BYTES);
        assert_eq!(reader.memory.available_bytes(), 1 << 20);
    }

    #[tokio::test]
    async fn too_long_and_negative_lengths_are_refused_with_the_limit() {
        for length in [-1_i32, i32::MIN, (100 << 20) + 1] {
            let (mut client, mut server) = pair().await;
            client.write_all(&length.to_be_bytes()).await.unwrap();
            let refused = next(&mut reader(1 << 20), &mut server).await;
            assert!(matches!(refused, Err(FrameError::TooLong { length: told, .. }) if told == length));
        }
    }

    #[tokio::test]
    async fn memory_is_back_in_the_pool_when_the_frame_is_gone() {
        let (mut client, mut server) = pair().await;
        let send = tokio::spawn(async move { client.write_all(&frame(&vec![1; 500_000])).await });
        let mut reader = reader(1 << 20);
        let frame = next(&mut reader, &mut server).await.unwrap();
        assert!(reader.memory.available_bytes() < (1 << 20) - 400_000);
        drop(frame);
        assert_eq!(reader.memory.available_bytes(), 1 << 20);
        send.await.unwrap().unwrap();
    }
}
