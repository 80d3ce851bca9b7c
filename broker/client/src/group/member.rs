//! One membership of one group: finding the coordinator, joining, assigning as leader, staying, leaving.
//!
//! Outside (generation -1) or inside. What ends a membership is told by the heartbeat task or by an error, and
//! judged in one place, `wants_rejoin`. The coordinator is asked over connections of its own, because JoinGroup
//! waits for the other members. Who calls: `group.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::heartbeat::HeartbeatRequest;
use logspine_protocol::messages::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use logspine_protocol::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use logspine_protocol::messages::offset_commit::OffsetCommitRequest;
use logspine_protocol::messages::sync_group::{
    SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse,
};
use logspine_protocol::types::{BrokerId, Offset};

use super::GroupConfig;
use super::assignor::Candidate;
use super::heartbeat::Heartbeat;
use super::leader::{Assigned, assign};
use super::subscription::{
    HIGHEST_VERSION, Subscription, decode_assignment, decode_subscription, encode_subscription,
};
use crate::admin::{NAMED_TOPICS, check_committed, committed_offsets, find_coordinator, topics_to_commit};
use crate::client::Client;
use crate::error::ClientError;
use crate::metadata::TopicPartition;
use crate::retry::Backoff;

/// What Kafka's consumers call themselves in the classic protocol.
const PROTOCOL_TYPE: &str = "consumer";
const ASSIGNOR: &str = "range";

/// True when the coordinator has gone on without this member, or asks it to join again.
pub(super) fn wants_rejoin(error: &ClientError) -> bool {
    matches!(
        error.code(),
        Some(ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration | ErrorCode::UnknownMemberId)
    )
}

/// True when the coordinator is elsewhere by now, or gone.
pub(super) fn lost_coordinator(error: &ClientError) -> bool {
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
    /// Of this generation.
    heartbeat: Option<Heartbeat>,
    /// What this member assigned, if it leads.
    assigned: Option<Assigned>,
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
            assigned: None,
        }
    }

    pub(super) fn generation(&self) -> i32 {
        self.generation
    }

    /// True when `join` comes next. An error that no join can heal (fenced, not allowed) is returned.
    pub(super) fn must_join(&mut self) -> Result<bool, ClientError> {
        let ended = self.heartbeat.as_ref().and_then(Heartbeat::ended);
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
            Some(heartbeat) => heartbeat.wait_ended().await,
            None => std::future::pending().await,
        }
    }

    /// As leader: true when the topics have other partitions than those assigned.
    pub(super) async fn topics_changed(&mut self) -> bool {
        match &mut self.assigned {
            Some(assigned) => assigned.is_outdated(&self.client).await,
            None => false,
        }
    }

    /// Joins until this member is part of a stable generation; returns what it was assigned.
    pub(super) async fn join(&mut self) -> Result<Vec<TopicPartition>, ClientError> {
        self.heartbeat = None;
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
        self.assigned = None;
        let mut assignments = BTreeMap::new();
        if !joined.candidates.is_empty() {
            let (decided, assigned) = assign(&self.client, &joined.candidates).await?;
            (assignments, self.assigned) = (decided, Some(assigned));
        }
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
        let request = OffsetCommitRequest {
            group_id: self.config.group_id.as_str().into(),
            generation_id_or_member_epoch: self.generation,
            member_id: self.member_id.as_str().into(),
            group_instance_id: self.config.instance_id.as_deref().map(Into::into),
            topics: topics_to_commit(positions),
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
        self.heartbeat = None;
        self.generation = -1;
        let member_id = std::mem::take(&mut self.member_id);
        if self.config.instance_id.is_some() || member_id.is_empty() {
            return Ok(());
        }
        match self.leave_once(member_id).await {
            // The group has noticed before we said so, or will by our silence.
            Err(error) if error.code() == Some(ErrorCode::UnknownMemberId) || error.is_retriable() => Ok(()),
            outcome => outcome,
        }
    }

    async fn leave_once(&self, member_id: String) -> Result<(), ClientError> {
        let connection = self.client.connection(self.coordinator().await?).await?;
        let version = connection.version_of::<LeaveGroupRequest<'_>>(i16::MAX)?;
        let group_id = self.config.group_id.as_str().into();
        let request = if version < 3 {
            LeaveGroupRequest { group_id, member_id: member_id.into(), ..Default::default() }
        } else {
            let members = vec![MemberIdentity { member_id: member_id.into(), ..Default::default() }];
            LeaveGroupRequest { group_id, members, ..Default::default() }
        };
        let reply = connection.call_at(&request, version, self.client.request_timeout()).await?;
        let response = reply.decode::<LeaveGroupResponse<'_>>()?;
        let code = response.members.first().map_or(response.error_code, |member| member.error_code);
        reply.check(code, &self.subject(), None)
    }

    fn start_heartbeat(&mut self, coordinator: BrokerId) {
        let request = HeartbeatRequest {
            group_id: self.config.group_id.clone().into(),
            generation_id: self.generation,
            member_id: self.member_id.clone().into(),
            group_instance_id: self.config.instance_id.clone().map(Into::into),
        };
        let (interval, session) = (self.config.heartbeat_interval, self.config.session_timeout);
        self.heartbeat = Some(Heartbeat::start(self.client.clone(), coordinator, request, interval, session));
    }

    /// Forgets what the error says is not true any more.
    fn expelled_by(&mut self, error: &ClientError) {
        self.heartbeat = None;
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

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
