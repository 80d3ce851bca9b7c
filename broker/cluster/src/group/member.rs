//! One member of a classic group, and the requests it has parked here (Kafka's `ClassicGroupMember`).
//!
//! A parked request is a token; taking it out is the only way to answer it, so none is answered twice.

use std::collections::BTreeSet;

use super::request::{Join, Protocol};
use super::shard::Token;

#[derive(Debug)]
pub(super) struct Member {
    pub(super) member_id: String,
    pub(super) group_instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    /// In order of preference.
    pub(super) protocols: Vec<Protocol>,
    pub(super) assignment: Vec<u8>,
    pub(super) awaiting_join: Option<Token>,
    pub(super) awaiting_sync: Option<Token>,
    /// Joined without ever having been answered: it cannot heartbeat, so its join itself times out.
    pub(super) is_new: bool,
}

impl Member {
    pub(super) fn new(member_id: String, join: &Join, token: Token) -> Member {
        Member {
            member_id,
            group_instance_id: join.group_instance_id.clone(),
            client_id: join.client_id.clone(),
            client_host: join.client_host.clone(),
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            session_timeout_ms: join.session_timeout_ms,
            protocols: join.protocols.clone(),
            assignment: Vec::new(),
            awaiting_join: Some(token),
            awaiting_sync: None,
            is_new: true,
        }
    }

    pub(super) fn is_static(&self) -> bool {
        self.group_instance_id.is_some()
    }

    /// The member's subscription under one protocol; empty if it does not support it.
    pub(super) fn metadata(&self, protocol_name: &str) -> &[u8] {
        let protocol = self.protocols.iter().find(|protocol| protocol.name == protocol_name);
        protocol.map_or(&[], |protocol| &protocol.metadata)
    }

    pub(super) fn supports(&self, protocol_name: &str) -> bool {
        self.protocols.iter().any(|protocol| protocol.name == protocol_name)
    }

    /// The candidate this member likes best.
    pub(super) fn vote<'a>(&'a self, candidates: &BTreeSet<&str>) -> Option<&'a str> {
        self.protocols.iter().map(|protocol| protocol.name.as_str()).find(|name| candidates.contains(name))
    }

    /// Someone whose request is parked here is not late: the coordinator keeps it waiting, not the reverse.
    pub(super) fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }
}
