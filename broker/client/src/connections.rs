//! The open connections of one client, one per address, opened when first needed.
//!
//! Keyed by address, not by broker id, so that bootstrap addresses and brokers are one thing and a broker that
//! moves gets a new connection. Opening is single-flight: who comes second waits for the first. A closed
//! connection is replaced by the next call. Bound: one connection per address in the cluster's metadata.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::ClientConfig;
use crate::connection::Connection;
use crate::error::ClientError;

/// The place where one address's connection is kept; locked while it is being opened.
type Slot = Arc<tokio::sync::Mutex<Option<Arc<Connection>>>>;

#[derive(Debug, Default)]
pub(crate) struct Connections {
    slots: Mutex<BTreeMap<String, Slot>>,
}

impl Connections {
    /// An open connection to this address.
    pub(crate) async fn to(
        &self,
        address: &str,
        config: &ClientConfig,
    ) -> Result<Arc<Connection>, ClientError> {
        let slot = self.slot(address);
        let mut kept = slot.lock().await;
        if let Some(connection) = kept.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        *kept = None;
        let opened = Arc::new(Connection::open(address, config).await?);
        *kept = Some(opened.clone());
        Ok(opened)
    }

    /// Drops the connections to addresses that are not wanted any more.
    pub(crate) fn retain(&self, wanted: impl Fn(&str) -> bool) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).retain(|address, _| wanted(address));
    }

    fn slot(&self, address: &str) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(address.to_owned()).or_default().clone()
    }
}
