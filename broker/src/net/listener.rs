//! Listening sockets: bind all before data is touched, listen when the broker is ready, accept within limits.
//!
//! `bind` fails with words if a port is in use, so that a start stops early; until `listen` the kernel refuses
//! clients. `max.connections` makes accepting wait (the kernel's backlog holds the rest);
//! `max.connections.per.ip` closes the newest. Called by `server.rs`; ends when the broker stops.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::connection::Connection;
use super::request_memory::RequestMemory;
use super::workers::Workers;
use crate::api::ConnectionInfo;
use crate::broker::Broker;
use crate::config::{Listener, ListenerName, NetworkConfig};

/// How long accepting rests after an error such as "too many open files".
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Why a listener cannot be opened.
#[derive(Debug, Error)]
pub enum BindError {
    #[error(
        "listener {name}: cannot listen on {address}: the port is in use by another process; stop it or set \
         another port in listeners"
    )]
    InUse { name: ListenerName, address: String },
    #[error("listener {name}: cannot listen on {address}: {source}")]
    Failed { name: ListenerName, address: String, source: io::Error },
}

/// Connections that the kernel holds for us before they are accepted.
const BACKLOG: u32 = 1024;

/// A socket that has its address; `S` says whether it listens already.
struct Bound<S> {
    name: ListenerName,
    socket: S,
    local: SocketAddr,
}

/// All listeners of the broker, bound; nobody can connect yet.
pub struct Listeners {
    bound: Vec<Bound<TcpSocket>>,
    memory: RequestMemory,
    limits: Arc<Limits>,
}

/// All listeners, open for connections.
pub struct Listening {
    bound: Vec<Bound<TcpListener>>,
    memory: RequestMemory,
    limits: Arc<Limits>,
}

struct Limits {
    total: Arc<Semaphore>,
    per_ip_max: u32,
    per_ip: Mutex<HashMap<IpAddr, u32>>,
}

impl BindError {
    fn of(name: &ListenerName, address: impl ToString, source: io::Error) -> BindError {
        let (name, address) = (name.clone(), address.to_string());
        match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { name, address },
            _ => BindError::Failed { name, address, source },
        }
    }
}

impl Listeners {
    /// Binds every listener; writes the port that was given into listeners that asked for any (port 0).
    pub async fn bind(listeners: &mut [Listener], network: &NetworkConfig) -> Result<Listeners, BindError> {
        let mut bound = Vec::with_capacity(listeners.len());
        for listener in listeners {
            let failed = |source| {
                BindError::of(&listener.name, format_args!("{}:{}", listener.host, listener.port), source)
            };
            let socket = bind_one(&listener.host, listener.port).await.map_err(failed)?;
            let local = socket.local_addr().map_err(failed)?;
            listener.port = local.port();
            if listener.advertised_port == 0 {
                listener.advertised_port = local.port();
            }
            bound.push(Bound { name: listener.name.clone(), socket, local });
        }
        let total = (network.max_connections as usize).min(Semaphore::MAX_PERMITS);
        let limits = Limits {
            total: Arc::new(Semaphore::new(total)),
            per_ip_max: network.max_connections_per_ip,
            per_ip: Mutex::new(HashMap::new()),
        };
        let memory = RequestMemory::new(network.queued_max_request_bytes);
        Ok(Listeners { bound, memory, limits: Arc::new(limits) })
    }

    /// Opens them: from here on clients can connect.
    pub fn listen(self) -> Result<Listening, BindError> {
        let Listeners { bound, memory, limits } = self;
        let listen = |Bound { name, socket, local }: Bound<TcpSocket>| {
            let socket = socket.listen(BACKLOG).map_err(|source| BindError::of(&name, local, source))?;
            Ok(Bound { name, socket, local })
        };
        let bound = bound.into_iter().map(listen).collect::<Result<_, _>>()?;
        Ok(Listening { bound, memory, limits })
    }
}

impl Listening {
    /// Accepts until the broker stops, then waits for the connections to finish what they have started.
    pub async fn serve(self, broker: Arc<Broker>, workers: Arc<Workers>) {
        let mut accepting = JoinSet::new();
        for bound in self.bound {
            info!(listener = %bound.name, address = %bound.local, "accepting connections");
            accepting.spawn(accept(
                bound,
                Arc::clone(&broker),
                Arc::clone(&workers),
                self.memory.clone(),
                Arc::clone(&self.limits),
            ));
        }
        while accepting.join_next().await.is_some() {}
    }
}

/// The first address of `host` that can be bound; an empty host is every interface, with IPv6 where there is one.
async fn bind_one(host: &str, port: u16) -> io::Result<TcpSocket> {
    let addresses: Vec<SocketAddr> = match host {
        "" => vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()],
        named => tokio::net::lookup_host((named, port)).await?.collect(),
    };
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the host has no address");
    for address in addresses {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        match socket.and_then(|socket| {
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            Ok(socket)
        }) {
            Ok(socket) => return Ok(socket),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// One listener's loop. Owns its connections, so that it can wait for them at the end.
async fn accept(
    bound: Bound<TcpListener>,
    broker: Arc<Broker>,
    workers: Arc<Workers>,
    memory: RequestMemory,
    limits: Arc<Limits>,
) {
    let mut stop = broker.lifecycle.stop_signal();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept_one(&bound.socket, &limits) => accepted,
        };
        match accepted {
            Ok((stream, peer, permit)) => {
                let Some(place) = Limits::take_place(&limits, peer.ip()) else {
                    warn!(%peer, listener = %bound.name, "refused: more than max.connections.per.ip");
                    continue;
                };
                // Answers are whole; waiting to fill a packet would only delay them.
                let _ = stream.set_nodelay(true);
                let local = stream.local_addr().unwrap_or(bound.local);
                let info = ConnectionInfo::new(bound.name.clone(), peer, local);
                let Ok(stream) = stream.into_std() else { continue };
                let (broker, memory) = (Arc::clone(&broker), memory.clone());
                let counted = broker.metrics.connection_opened();
                let serve = async move {
                    // Registered where it is served: with the reactor of its worker.
                    match TcpStream::from_std(stream) {
                        Ok(stream) => Connection::new(broker, info, stream, memory).run().await,
                        Err(error) => warn!(%peer, "cannot serve a connection: {error}"),
                    }
                    drop((permit, place, counted));
                };
                connections.spawn_on(serve, workers.next());
            }
            Err(error) => {
                warn!(listener = %bound.name, "cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
    drop(bound.socket);
    while connections.join_next().await.is_some() {}
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

async fn accept_one(listener: &TcpListener, limits: &Limits) -> io::Result<Accepted> {
    let permit = Arc::clone(&limits.total)
        .acquire_owned()
        .await
        .expect("the semaphore of connections is never closed");
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, permit))
}

/// One connection's place among those of its address.
struct Place {
    limits: Arc<Limits>,
    ip: IpAddr,
}

impl Limits {
    fn take_place(limits: &Arc<Limits>, ip: IpAddr) -> Option<Place> {
        let mut per_ip = limits.per_ip.lock();
        let count = per_ip.entry(ip).or_insert(0);
        if *count >= limits.per_ip_max {
            return None;
        }
        *count += 1;
        Some(Place { limits: Arc::clone(limits), ip })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut per_ip = self.limits.per_ip.lock();
        if let Some(count) = per_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                per_ip.remove(&self.ip);
            }
        }
    }
}
