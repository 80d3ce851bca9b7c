//! Listening sockets: bind all before serving any, accept within the limits, one task per connection.
//!
//! `bind` fails with words if a port is in use, so that a start stops early. `max.connections` makes accepting
//! wait (the kernel's backlog holds the rest); `max.connections.per.ip` closes the newest. Called by
//! `server.rs`; ends when the broker stops.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::connection::Connection;
use super::request_memory::RequestMemory;
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

struct Bound {
    name: ListenerName,
    listener: TcpListener,
    local: SocketAddr,
}

/// All listeners of the broker, bound and not yet accepting.
pub struct Listeners {
    bound: Vec<Bound>,
    limits: Arc<Limits>,
    memory: RequestMemory,
}

struct Limits {
    total: Arc<Semaphore>,
    per_ip_max: u32,
    per_ip: Mutex<HashMap<IpAddr, u32>>,
}

impl Listeners {
    /// Binds every listener; writes the port that was given into listeners that asked for any (port 0).
    pub async fn bind(listeners: &mut [Listener], network: &NetworkConfig) -> Result<Listeners, BindError> {
        let mut bound = Vec::with_capacity(listeners.len());
        for listener in listeners {
            let host = if listener.host.is_empty() { "::" } else { &listener.host };
            let socket = match bind_one(host, listener.port).await {
                // A machine without IPv6.
                Err(_) if listener.host.is_empty() => bind_one("0.0.0.0", listener.port).await,
                other => other,
            };
            let address = format!("{}:{}", listener.host, listener.port);
            let name = listener.name.clone();
            let socket = socket.map_err(|source| match source.kind() {
                io::ErrorKind::AddrInUse => BindError::InUse { name: name.clone(), address: address.clone() },
                _ => BindError::Failed { name: name.clone(), address: address.clone(), source },
            })?;
            let local = socket.local_addr().map_err(|source| BindError::Failed {
                name: name.clone(),
                address,
                source,
            })?;
            listener.port = local.port();
            if listener.advertised_port == 0 {
                listener.advertised_port = local.port();
            }
            bound.push(Bound { name, listener: socket, local });
        }
        let total = (network.max_connections as usize).min(Semaphore::MAX_PERMITS);
        let limits = Limits {
            total: Arc::new(Semaphore::new(total)),
            per_ip_max: network.max_connections_per_ip,
            per_ip: Mutex::new(HashMap::new()),
        };
        Ok(Listeners {
            bound,
            limits: Arc::new(limits),
            memory: RequestMemory::new(network.queued_max_request_bytes),
        })
    }

    /// Accepts until the broker stops, then waits for the connections to finish what they have started.
    pub async fn serve(self, broker: Arc<Broker>) {
        let mut accepting = JoinSet::new();
        for bound in self.bound {
            info!(listener = %bound.name, address = %bound.local, "accepting connections");
            accepting.spawn(accept(
                bound,
                Arc::clone(&broker),
                self.memory.clone(),
                Arc::clone(&self.limits),
            ));
        }
        while accepting.join_next().await.is_some() {}
    }
}

async fn bind_one(host: &str, port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((host, port)).await
}

/// One listener's loop. Owns its connections, so that it can wait for them at the end.
async fn accept(bound: Bound, broker: Arc<Broker>, memory: RequestMemory, limits: Arc<Limits>) {
    let mut stop = broker.lifecycle.stop_signal();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept_one(&bound.listener, &limits) => accepted,
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
                let info = ConnectionInfo { listener: bound.name.clone(), peer, local };
                let connection = Connection::new(Arc::clone(&broker), info, stream, memory.clone());
                let counted = broker.metrics.connection_opened();
                connections.spawn(async move {
                    connection.run().await;
                    drop((permit, place, counted));
                });
            }
            Err(error) => {
                warn!(listener = %bound.name, "cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
    drop(bound.listener);
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
