//! One non-blocking connection: frames out in pieces, bytes in, bytes discarded by the kernel.
//!
//! Invariants: "would block" is a value, a closed connection an error. Discarding uses MSG_TRUNC, which on TCP drops
//! the bytes without copying them (tcp(7)). Called by the lanes.

use std::io::{Error, ErrorKind, Result, Write as _};
use std::net::TcpStream;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::net::{RecvFlags, recv, sockopt};

/// One connection.
pub struct Link {
    stream: TcpStream,
    /// Whether the poll was told that this one waits for room.
    pub waits_for_room: bool,
}

impl Link {
    pub fn connect(address: &str) -> anyhow::Result<Link> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Link { stream, waits_for_room: false })
    }

    /// Sends from `sent` on; returns how far it got.
    pub fn send(&mut self, frame: &[u8], mut sent: usize) -> Result<usize> {
        while sent < frame.len() {
            match self.stream.write(&frame[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// Bytes read into the buffer; `None` when there are none yet.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.take(buffer, RecvFlags::empty())
    }

    /// Bytes dropped, at most the buffer's length, which itself is not written to.
    pub fn discard(&mut self, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.take(buffer, RecvFlags::TRUNC)
    }

    fn take(&mut self, buffer: &mut [u8], flags: RecvFlags) -> Result<Option<usize>> {
        match recv(&self.stream, buffer, flags) {
            Ok((_, 0)) => Err(Error::new(ErrorKind::UnexpectedEof, "the broker closed the connection")),
            Ok((_, count)) => Ok(Some(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub fn congestion_control(&self) -> String {
        sockopt::tcp_congestion(&self.stream).unwrap_or_else(|_| "unknown".to_owned())
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
