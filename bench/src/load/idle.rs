//! Connections that do nothing, and what each of them costs the broker's memory.
//!
//! Invariants: each one has asked for the broker's versions once, as every client does; source addresses go round
//! 127.0.0.0/8 so that ports do not run out; the resident bytes are read before the first and after the last.
//! Called before the load of `kblast conns`.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};

use anyhow::Context as _;
use logspine_protocol::frame::encode_request;
use logspine_protocol::messages::api_versions::ApiVersionsRequest;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::broker::CLIENT_ID;
use crate::observe::Memory;
use crate::outcome::Idle;

/// Below the number of ports that Linux gives out to one address.
const CONNECTIONS_PER_ADDRESS: usize = 20_000;

/// Opens the connections and keeps them open as long as the value lives.
pub fn hold(address: &str, count: usize, broker: Option<u32>) -> anyhow::Result<(Vec<TcpStream>, Idle)> {
    raise_file_limit()?;
    let SocketAddr::V4(to) = address.parse().with_context(|| format!("{address} is not ADDRESS:PORT"))?
    else {
        anyhow::bail!("{address} is not an IPv4 address");
    };
    let rss = || broker.map_or(Ok(0), |id| Memory::read(id).map(|memory| memory.rss_bytes));
    let hello = encode_request(Vec::new(), &ApiVersionsRequest::default(), 0, 0, Some(CLIENT_ID))?;
    let before = rss()?;
    let mut connections = Vec::with_capacity(count);
    for number in 0..count {
        let stream = connect_from(number, to).with_context(|| format!("idle connection {number}"))?;
        connections.push(greet(stream, &hello)?);
    }
    let after = rss()?;
    let each = after.saturating_sub(before) as f64 / count.max(1) as f64;
    let idle =
        Idle { connections: count, rss_bytes_before: before, rss_bytes_after: after, rss_bytes_each: each };
    Ok((connections, idle))
}

fn connect_from(number: usize, to: SocketAddrV4) -> anyhow::Result<TcpStream> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    let host = (number / CONNECTIONS_PER_ADDRESS) as u8;
    if to.ip().is_loopback() {
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::new(127, 0, 1, host + 1), 0))?;
    }
    connect(&socket, &to)?;
    Ok(TcpStream::from(socket))
}

fn greet(mut stream: TcpStream, hello: &[u8]) -> anyhow::Result<TcpStream> {
    stream.write_all(hello)?;
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix)?;
    let mut answer = vec![0; u32::from_be_bytes(prefix).min(1 << 20) as usize];
    stream.read_exact(&mut answer)?;
    Ok(stream)
}

fn raise_file_limit() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(())
}
