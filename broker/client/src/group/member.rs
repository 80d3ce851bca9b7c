//! One membership of one group: finding the coordinator, joining, assigning as leader, staying, leaving.
//!
//! Outside (generation -1) or inside. What ends a membership is told by the heartbeat task or by an error, and
//! judged in one place, `wants_rejoin`. The coordinator is asked over connections of its own, because JoinGroup
//! waits for the other members. Who calls: `group.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use logspine_protocol::messages::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use logspine_protocol::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use logspine_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use logspine_protocol::messages::sync_group::{
    SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse,
};
use logspine_protocol::types::{BrokerId, Offset};

use super::GroupConfig;
use super::assignor::{Candidate, range};
use super::subscription::{
    HIGHEST_VERSION, Subscription, decode_assignment, decode_subscription, encode_assignment,
    encode_subscription,
};
use crate::admin::{NAMED_TOPICS, check_committed, committed_offsets, find_coordinator};
use crate::client::Client;
use crate::error::ClientError;
use crate::metadata::TopicPartition;
use crate::retry::Backoff;

/// What Kafka's consumers call themselves in the classic protocol.
const PROTOCOL_TYPE: &str = "consumer";
const ASSIGNOR: &str = "range";
/// How often the leader looks whether its topics have other partitions than it assigned.
const WATCH_INTERVAL: Duration = Duration::from_secs(30);

/// True when the coordinator has gone on without this member, or asks it to join again.
pub(super) fn wants_rejoin(error: &ClientError) -> bool {
    matches!(
        error.code(),
        Some(ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration | ErrorCode::UnknownMemberId)
    )
}

/// True when the coordinator is elsewhere by now, or gone.
fn lost_coordinator(error: &ClientError) -> bool {
    error.is_unreachable()
        || matches!(error.code(), Some(ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable))
}

#[derive(Debug)]
pub(super) struct Member {
    client: Client,
    config: GroupConfig,
    coordinator: Option<BrokerId>,
    member_id: String,
    generation: i32,
    /// The heartbeat task of this generation and what ended it.
    heartbeat: Option<(AbortHandle, watch::Receiver<Option<ClientError>>)>,
    /// As leader: the partition counts that were assigned, and when they are compared next.
    assigned_counts: Option<(BTreeMap<String, i32>, Instant)>,
}

/// What the coordinator decided about this member's join.
struct Joined {
    member_id: String,
    generation: i32,
    protocol: String,
    /// The members to assign to; empty for a follower, or when the assignment stands (KIP-814).
    candidates: Vec<Candidate>,
}

impl Member {
    pub(super) fn new(client: Client, config: GroupConfig) -> Self {
        Self {
            client,
            config,
            coordinator: None,
            member_id: String::new(),
            generation: -1,
            heartbeat: None,
            assigned_counts: None,
        }
    }

    pub(super) fn generation(&self) -> i32 {
        self.generation
    }

    /// True when `join` comes next. An error that no join can heal (fenced, not allowed) is returned.
    pub(super) fn must_join(&mut self) -> Result<bool, ClientError> {
        let ended = self.heartbeat.as_ref().and_then(|(_, ended)| ended.borrow().clone());
        match ended {
            None => Ok(self.generation < 0),
            Some(error) if wants_rejoin(&error) || error.is_retriable() => {
                self.expelled_by(&error);
                Ok(true)
            }
            Some(error) => Err(error),
        }
    }

    /// Resolves when the heartbeat task has learnt that this generation is over.
    pub(super) async fn shaken(&mut self) {
        match &mut self.heartbeat {
            Some((_, ended)) => drop(ended.wait_for(Option::is_some).await),
            None => std::future::pending().await,
        }
    }

    /// As leader: true when the topics have other partitions than those assigned.
    pub(super) async fn topics_changed(&mut self) -> bool {
        let Some((assigned, next_look)) = &mut self.assigned_counts else { return false };
        if Instant::now() < *next_look {
            return false;
        }
        *next_look = Instant::now() + WATCH_INTERVAL;
        let topics = assigned.keys().cloned().collect();
        let assigned = assigned.clone();
        // While metadata cannot be had nothing is known to have changed.
        partition_counts(&self.client, &topics).await.is_ok_and(|now| now != assigned)
    }

    /// Joins until this member is part of a stable generation; returns what it was assigned.
    pub(super) async fn join(&mut self) -> Result<Vec<TopicPartition>, ClientError> {
        self.stop_heartbeat();
        let mut backoff = Backoff::new(self.client.config());
        loop {
            let error = match self.join_once().await {
                Ok(assignment) => return Ok(assignment),
                Err(error) => error,
            };
            self.expelled_by(&error);
            match error.code() {
                // Kafka hands out the id first, so that members which never return leave no trace (KIP-394).
                Some(ErrorCode::MemberIdRequired) => {}
                _ if wants_rejoin(&error) => tokio::time::sleep(self.client.config().retry_backoff).await,
                _ => backoff.pause(error).await?,
            }
        }
    }

    async fn join_once(&mut self) -> Result<Vec<TopicPartition>, ClientError> {
        let coordinator = match self.coordinator {
            Some(coordinator) => coordinator,
            None => *self.coordinator.insert(find_coordinator(&self.client, &self.config.group_id).await?),
        };
        let joined = self.send_join(coordinator).await?;
        self.member_id = joined.member_id;
        self.generation = joined.generation;
        let assignments = self.assign(&joined.candidates).await?;
        let assignment = self.send_sync(coordinator, &joined.protocol, assignments).await?;
        self.start_heartbeat(coordinator);
        Ok(assignment)
    }

    async fn send_join(&mut self, coordinator: BrokerId) -> Result<Joined, ClientError> {
        let subscription =
            Subscription { topics: self.config.topics.clone(), generation_id: -1, ..Subscription::default() };
        let metadata = encode_subscription(&subscription, HIGHEST_VERSION)
            .map_err(|error| ClientError::Invalid(format!("subscription: {error}")))?;
        let request = JoinGroupRequest {
            group_id: self.config.group_id.as_str().into(),
            session_timeout_ms: millis(self.config.session_timeout),
            rebalance_timeout_ms: millis(self.config.rebalance_timeout),
            member_id: self.member_id.as_str().into(),
            group_instance_id: self.config.instance_id.as_deref().map(Into::into),
            protocol_type: PROTOCOL_TYPE.into(),
            protocols: vec![JoinGroupRequestProtocol { name: ASSIGNOR.into(), metadata: metadata.into() }],
            ..JoinGroupRequest::default()
        };
        let limit = self.config.rebalance_timeout + self.client.request_timeout();
        let reply = self.client.connection(coordinator).await?.call(&request, limit).await?;
        let response = reply.decode::<JoinGroupResponse<'_>>()?;
        if response.error_code == ErrorCode::MemberIdRequired.code() {
            self.member_id = response.member_id.clone().into_owned();
        }
        reply.check(response.error_code, &self.subject(), None)?;
        let mut candidates = Vec::new();
        if response.leader == response.member_id && !response.skip_assignment {
            for member in &response.members {
                let subscription = decode_subscription(&member.metadata).map_err(|error| {
                    reply.incomplete(&format!(
                        "a readable subscription of member {}: {error}",
                        member.member_id
                    ))
                })?;
                candidates.push(Candidate {
                    member_id: member.member_id.clone().into_owned(),
                    instance_id: member.group_instance_id.clone().map(|id| id.into_owned()),
                    topics: subscription.topics,
                });
            }
        }
        Ok(Joined {
            member_id: response.member_id.into_owned(),
            generation: response.generation_id,
            protocol: response.protocol_name.map_or_else(|| ASSIGNOR.to_owned(), |name| name.into_owned()),
            candidates,
        })
    }

    /// As leader: who gets what, encoded. Nothing for a follower.
    async fn assign(&mut self, candidates: &[Candidate]) -> Result<BTreeMap<String, Vec<u8>>, ClientError> {
        self.assigned_counts = None;
        if candidates.is_empty() {
            return Ok(BTreeMap::new());
        }
        let topics: BTreeSet<String> =
            candidates.iter().flat_map(|member| member.topics.iter().cloned()).collect();
        let counts = partition_counts(&self.client, &topics).await?;
        let assignments = range(candidates, &counts).into_iter().map(|(member_id, partitions)| {
            // Version 0: the versions differ in nothing but their number, and old members know it.
            let bytes = encode_assignment(&partitions, 0);
            bytes
                .map(|bytes| (member_id, bytes))
                .map_err(|error| ClientError::Invalid(format!("assignment: {error}")))
        });
        let assignments = assignments.collect();
        self.assigned_counts = Some((counts, Instant::now() + WATCH_INTERVAL));
        assignments
    }

    async fn send_sync(
        &self,
        coordinator: BrokerId,
        protocol: &str,
        assignments: BTreeMap<String, Vec<u8>>,
    ) -> Result<Vec<TopicPartition>, ClientError> {
        let assignment = |(member_id, assignment): (String, Vec<u8>)| SyncGroupRequestAssignment {
            member_id: member_id.into(),
            assignment: assignment.into(),
        };
        let request = SyncGroupRequest {
            group_id: self.config.group_id.as_str().into(),
            generation_id: self.generation,
            member_id: self.member_id.as_str().into(),
            group_instance_id: self.config.instance_id.as_deref().map(Into::into),
            protocol_type: Some(PROTOCOL_TYPE.into()),
            protocol_name: Some(protocol.into()),
            assignments: assignments.into_iter().map(assignment).collect(),
        };
        let limit = self.config.rebalance_timeout + self.client.request_timeout();
        let reply = self.client.connection(coordinator).await?.call(&request, limit).await?;
        let response = reply.decode::<SyncGroupResponse<'_>>()?;
        reply.check(response.error_code, &self.subject(), None)?;
        decode_assignment(&response.assignment)
            .map_err(|error| reply.incomplete(&format!("an assignment: {error}")))
    }

    /// Commits positions under this generation; a coordinator that has gone on refuses them.
    pub(super) async fn commit(
        &mut self,
        positions: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), ClientError> {
        let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition<'_>>> = BTreeMap::new();
        for (TopicPartition { topic, partition }, offset) in positions {
            topics.entry(topic).or_default().push(OffsetCommitRequestPartition {
                partition_index: partition.0,
                committed_offset: offset.0,
                committed_metadata: Some("".into()),
                ..Default::default()
            });
        }
        let topic = |(name, partitions): (&str, Vec<_>)| OffsetCommitRequestTopic {
            name: name.to_owned().into(),
            partitions,
            ..Default::default()
        };
        let request = OffsetCommitRequest {
            group_id: self.config.group_id.as_str().into(),
            generation_id_or_member_epoch: self.generation,
            member_id: self.member_id.as_str().into(),
            group_instance_id: self.config.instance_id.as_deref().map(Into::into),
            topics: topics.into_iter().map(topic).collect(),
            ..Default::default()
        };
        let mut backoff = Backoff::new(self.client.config());
        loop {
            let error = match self.commit_once(&request).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if wants_rejoin(&error) {
                return Err(error);
            }
            if lost_coordinator(&error) {
                self.coordinator = None;
            }
            backoff.pause(error).await?;
        }
    }

    async fn commit_once(&self, request: &OffsetCommitRequest<'_>) -> Result<(), ClientError> {
        let connection = self.client.connection(self.coordinator().await?).await?;
        let version = connection.version_of::<OffsetCommitRequest<'_>>(NAMED_TOPICS)?;
        let reply = connection.call_at(request, version, self.client.request_timeout()).await?;
        check_committed(&reply, &self.config.group_id)
    }

    /// The group's bookmarks in these partitions.
    pub(super) async fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let found = self.client.retrying(async || {
            committed_offsets(
                &self.client,
                self.coordinator().await?,
                &self.config.group_id,
                Some(partitions),
            )
            .await
        });
        Ok(found.await?.into_iter().map(|(partition, committed)| (partition, committed.offset)).collect())
    }

    async fn coordinator(&self) -> Result<BrokerId, ClientError> {
        match self.coordinator {
            Some(coordinator) => Ok(coordinator),
            None => find_coordinator(&self.client, &self.config.group_id).await,
        }
    }

    /// Tells the coordinator that this member is gone. A static member stays, so that it may return.
    pub(super) async fn leave(&mut self) -> Result<(), ClientError> {
        self.stop_heartbeat();
        self.generation = -1;
        if self.config.instance_id.is_some() || self.member_id.is_empty() {
            return Ok(());
        }
        let connection = self.client.connection(self.coordinator().await?).await?;
        let version = connection.version_of::<LeaveGroupRequest<'_>>(i16::MAX)?;
        let group_id = self.config.group_id.as_str().into();
        let member_id = std::mem::take(&mut self.member_id);
        let request = if version < 3 {
            LeaveGroupRequest { group_id, member_id: member_id.into(), ..Default::default() }
        } else {
            let members = vec![MemberIdentity { member_id: member_id.into(), ..Default::default() }];
            LeaveGroupRequest { group_id, members, ..Default::default() }
        };
        let reply = connection.call_at(&request, version, self.client.request_timeout()).await?;
        let response = reply.decode::<LeaveGroupResponse<'_>>()?;
        let code = response.members.first().map_or(response.error_code, |member| member.error_code);
        match reply.check(code, &self.subject(), None) {
            // The group has noticed before we said so.
            Err(error) if error.code() == Some(ErrorCode::UnknownMemberId) => Ok(()),
            outcome => outcome,
        }
    }

    fn start_heartbeat(&mut self, coordinator: BrokerId) {
        let request = HeartbeatRequest {
            group_id: self.config.group_id.clone().into(),
            generation_id: self.generation,
            member_id: self.member_id.clone().into(),
            group_instance_id: self.config.instance_id.clone().map(Into::into),
        };
        let (end, ended) = watch::channel(None);
        let client = self.client.clone();
        let (interval, session) = (self.config.heartbeat_interval, self.config.session_timeout);
        let task = tokio::spawn(async move {
            let error = beat(&client, coordinator, &request, interval, session).await;
            end.send_replace(Some(error));
        });
        self.heartbeat = Some((task.abort_handle(), ended));
    }

    fn stop_heartbeat(&mut self) {
        if let Some((task, _)) = self.heartbeat.take() {
            task.abort();
        }
    }

    /// Forgets what the error says is not true any more.
    fn expelled_by(&mut self, error: &ClientError) {
        self.stop_heartbeat();
        self.generation = -1;
        if error.code() == Some(ErrorCode::UnknownMemberId) {
            self.member_id.clear();
        }
        if lost_coordinator(error) {
            self.coordinator = None;
        }
    }

    fn subject(&self) -> String {
        format!("group {}", self.config.group_id)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop_heartbeat();
    }
}

/// Says every `interval` that the member is alive, until it is not wanted any more; returns why. Failures that
/// may pass are borne for as long as the coordinator would bear our silence.
async fn beat(
    client: &Client,
    mut coordinator: BrokerId,
    request: &HeartbeatRequest<'_>,
    interval: Duration,
    session: Duration,
) -> ClientError {
    let mut last_heard = Instant::now();
    loop {
        tokio::time::sleep(interval).await;
        let error = match beat_once(client, coordinator, request).await {
            Ok(()) => {
                last_heard = Instant::now();
                continue;
            }
            Err(error) => error,
        };
        if wants_rejoin(&error) || !error.is_retriable() || last_heard.elapsed() >= session {
            return error;
        }
        if lost_coordinator(&error) {
            coordinator = find_coordinator(client, &request.group_id).await.unwrap_or(coordinator);
        }
    }
}

async fn beat_once(
    client: &Client,
    coordinator: BrokerId,
    request: &HeartbeatRequest<'_>,
) -> Result<(), ClientError> {
    let reply = client.call(coordinator, request).await?;
    let response = reply.decode::<HeartbeatResponse>()?;
    reply.check(response.error_code, &format!("group {}", request.group_id), None)
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

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
