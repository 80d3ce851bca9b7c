//! What the leader of a group does for all members: it assigns, and watches what it has assigned.
//!
//! The coordinator carries assignments but never reads them. A leader that sees other partitions than those it
//! assigned asks for a rebalance by joining again. Called by `member.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::assignor::{Candidate, range};
use super::subscription::encode_assignment;
use crate::client::Client;
use crate::error::ClientError;

/// How often the leader looks whether its topics have other partitions than it assigned.
const WATCH_INTERVAL: Duration = Duration::from_secs(30);

/// What was assigned, and when it is compared with the cluster next.
#[derive(Debug)]
pub(super) struct Assigned {
    partition_counts: BTreeMap<String, i32>,
    next_look: Instant,
}

impl Assigned {
    /// True when the topics have other partitions by now.
    pub(super) async fn is_outdated(&mut self, client: &Client) -> bool {
        if Instant::now() < self.next_look {
            return false;
        }
        self.next_look = Instant::now() + WATCH_INTERVAL;
        let topics = self.partition_counts.keys().cloned().collect();
        // While metadata cannot be had nothing is known to have changed.
        partition_counts(client, &topics).await.is_ok_and(|now| now != self.partition_counts)
    }
}

/// Who gets what, encoded for SyncGroup.
pub(super) async fn assign(
    client: &Client,
    candidates: &[Candidate],
) -> Result<(BTreeMap<String, Vec<u8>>, Assigned), ClientError> {
    let topics: BTreeSet<String> =
        candidates.iter().flat_map(|member| member.topics.iter().cloned()).collect();
    let partition_counts = partition_counts(client, &topics).await?;
    let assignments = range(candidates, &partition_counts).into_iter().map(|(member_id, partitions)| {
        // Version 0: the versions differ in nothing but their number, and old members know it.
        let bytes = encode_assignment(&partitions, 0);
        bytes
            .map(|bytes| (member_id, bytes))
            .map_err(|error| ClientError::Invalid(format!("assignment: {error}")))
    });
    let assignments = assignments.collect::<Result<_, _>>()?;
    Ok((assignments, Assigned { partition_counts, next_look: Instant::now() + WATCH_INTERVAL }))
}

/// How many partitions each topic has; a topic that does not exist has none.
async fn partition_counts(
    client: &Client,
    topics: &BTreeSet<String>,
) -> Result<BTreeMap<String, i32>, ClientError> {
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let mut counts: BTreeMap<String, i32> = topics.iter().map(|topic| (topic.clone(), 0)).collect();
    for described in client.topics(&names).await? {
        match described {
            Ok(topic) => drop(counts.insert(topic.name.clone(), topic.partitions.len() as i32)),
            Err(error) if error.is_unknown_topic() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(counts)
}
