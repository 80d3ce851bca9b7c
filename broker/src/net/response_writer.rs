//! Answers to the socket: small ones gathered into one write, record bytes by `sendfile`.
//!
//! What stands before a large slice is sent with MSG_MORE, so that it shares packets with the records; a
//! slice of at most `COPY_MAX_BYTES` is copied instead, because one write is cheaper than two calls. A fetch hands
//! out slices that are in the page cache; one that left it while its peer was slow is verified and brought back by
//! the pool first: sendfile would hold up a worker, and send what nobody checked. A peer that takes nothing for
//! `stall` is dropped.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::SendFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;

use logspine_storage::LogSlice;
use logspine_storage::disk::read_exact_at;

use crate::api::Answer;
use crate::partition::ColdReads;

/// Up to this size a slice is copied: at 16 to 64 KiB copying and sendfile cost the same.
const COPY_MAX_BYTES: usize = 32 * 1024;

/// Gathered answers are sent once they reach this.
const GATHER_MAX_BYTES: usize = 64 * 1024;

/// A socket that took a part of a slice is asked again after this, if the kernel says nothing before.
const ROOM_WITHIN: Duration = Duration::from_secs(1);

/// What left through which door; for the metrics.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    pub bytes: u64,
    pub by_sendfile: u64,
}

pub struct ResponseWriter {
    cold_reads: Arc<ColdReads>,
    gathered: Vec<u8>,
    stall: Duration,
    sent: Sent,
}

impl ResponseWriter {
    pub fn new(cold_reads: Arc<ColdReads>, stall: Duration) -> ResponseWriter {
        ResponseWriter { cold_reads, gathered: Vec::new(), stall, sent: Sent::default() }
    }

    /// What was sent since the last call.
    pub fn take_sent(&mut self) -> Sent {
        std::mem::take(&mut self.sent)
    }

    /// Sends an answer; with `more` following at once it may stay gathered until `flush`. `is_fresh` if its slices
    /// were seen in the page cache a moment ago.
    pub async fn send(
        &mut self,
        stream: &TcpStream,
        answer: &Answer,
        is_fresh: bool,
        more: bool,
    ) -> io::Result<()> {
        if answer.holes.is_empty() {
            return self.send_plain(stream, &answer.bytes, more).await;
        }
        let mut written = 0;
        for (hole, slice) in answer.holes.iter().zip(&answer.slices) {
            self.gathered.extend_from_slice(&answer.bytes[written..hole.position]);
            written = hole.position;
            self.send_slice(stream, slice, is_fresh).await?;
        }
        self.gathered.extend_from_slice(&answer.bytes[written..]);
        if more && self.gathered.len() < GATHER_MAX_BYTES {
            return Ok(());
        }
        self.flush(stream).await
    }

    async fn send_plain(&mut self, stream: &TcpStream, bytes: &[u8], more: bool) -> io::Result<()> {
        if self.gathered.is_empty() && !more {
            return self.send_all(stream, bytes, SendFlags::empty()).await;
        }
        self.gathered.extend_from_slice(bytes);
        if more && self.gathered.len() < GATHER_MAX_BYTES {
            return Ok(());
        }
        self.flush(stream).await
    }

    /// Sends what is gathered.
    pub async fn flush(&mut self, stream: &TcpStream) -> io::Result<()> {
        self.flush_with(stream, SendFlags::empty()).await
    }

    async fn flush_with(&mut self, stream: &TcpStream, flags: SendFlags) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut self.gathered);
        self.send_all(stream, &bytes, flags).await?;
        // Kept for the next answers, unless it grew beyond what they need.
        if bytes.capacity() <= 2 * GATHER_MAX_BYTES {
            bytes.clear();
            self.gathered = bytes;
        }
        Ok(())
    }

    async fn send_slice(&mut self, stream: &TcpStream, slice: &LogSlice, is_fresh: bool) -> io::Result<()> {
        if !is_fresh {
            self.bring_back(slice).await?;
        }
        let length = slice.len as usize;
        let Some(file) = slice.file.as_fd().filter(|_| length > COPY_MAX_BYTES) else {
            return self.copy_slice(stream, slice).await;
        };
        self.flush_with(stream, SendFlags::MORE).await?;
        let (mut offset, mut remaining, mut is_overdue) = (slice.position, length, false);
        while remaining > 0 {
            match send_from(stream, file, &mut offset, remaining, is_overdue)? {
                Took::All => break,
                Took::Part(0) => return Err(shorter_than_promised()),
                Took::Part(sent) => {
                    remaining -= sent;
                    let room = tokio::time::timeout(ROOM_WITHIN.min(self.stall), stream.writable());
                    is_overdue = room.await.map(|ready| ready.map(|()| false)).unwrap_or(Ok(true))?;
                }
                Took::Nothing => {
                    self.wait_writable(stream).await?;
                    is_overdue = false;
                }
            }
            self.bring_back(slice).await?;
        }
        self.sent.bytes += length as u64;
        self.sent.by_sendfile += length as u64;
        Ok(())
    }

    /// Makes sure that sending does not wait for the disk.
    async fn bring_back(&self, slice: &LogSlice) -> io::Result<()> {
        if slice.is_resident() { Ok(()) } else { self.cold_reads.bring_back(slice).await }
    }

    /// Reads a small slice, or one of a disk without file descriptors, into the gathered bytes.
    async fn copy_slice(&mut self, stream: &TcpStream, slice: &LogSlice) -> io::Result<()> {
        let (mut position, mut remaining) = (slice.position, slice.len as usize);
        while remaining > 0 {
            let piece = remaining.min(GATHER_MAX_BYTES);
            let start = self.gathered.len();
            self.gathered.resize(start + piece, 0);
            read_exact_at(&*slice.file, &mut self.gathered[start..], position)?;
            position += piece as u64;
            remaining -= piece;
            if self.gathered.len() >= GATHER_MAX_BYTES {
                self.flush_with(stream, SendFlags::MORE).await?;
            }
        }
        Ok(())
    }

    async fn send_all(&mut self, stream: &TcpStream, bytes: &[u8], flags: SendFlags) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let sent = stream.try_io(Interest::WRITABLE, || {
                Ok(rustix::net::send(stream, rest, flags | SendFlags::NOSIGNAL)?)
            });
            match sent {
                Ok(sent) => rest = &rest[sent..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_writable(stream).await?,
                Err(error) => return Err(error),
            }
        }
        self.sent.bytes += bytes.len() as u64;
        Ok(())
    }

    async fn wait_writable(&self, stream: &TcpStream) -> io::Result<()> {
        match tokio::time::timeout(self.stall, stream.writable()).await {
            Ok(ready) => ready,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes no bytes")),
        }
    }
}

/// What a socket took of a file.
enum Took {
    All,
    /// 0 at the end of the file.
    Part(usize),
    Nothing,
}

/// One `sendfile`. A socket that takes a part is full: asked again at once it would have the kernel look pages up for
/// nothing, so it counts as not writable until the kernel says otherwise. `is_overdue` asks it all the same: for once
/// it may have been something else that ended the call.
fn send_from(
    stream: &TcpStream,
    file: BorrowedFd<'_>,
    offset: &mut u64,
    length: usize,
    is_overdue: bool,
) -> io::Result<Took> {
    let mut part = None;
    let mut send = || {
        let sent = rustix::fs::sendfile(stream, file, Some(offset), length)?;
        part = Some(sent);
        if sent < length { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    };
    let sent = if is_overdue { send() } else { stream.try_io(Interest::WRITABLE, send) };
    match (sent, part) {
        (Ok(()), _) => Ok(Took::All),
        (Err(_), Some(sent)) => Ok(Took::Part(sent)),
        (Err(error), None) if error.kind() == io::ErrorKind::WouldBlock => Ok(Took::Nothing),
        (Err(error), None) => Err(error),
    }
}

fn shorter_than_promised() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "a segment file is shorter than the answer promised")
}
