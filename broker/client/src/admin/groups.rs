//! Consumer groups: which there are, who is in them and what they hold, delete.
//!
//! Each group lives at its coordinator; a list is therefore asked of every broker. What members hold is read
//! from their assignments (`group/subscription.rs`). A classic group that does not exist is described as
//! `Dead` by brokers before DescribeGroups 6, and by an error since (KIP-1043); here it is always an error.

use std::collections::BTreeMap;

use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
use logspine_protocol::messages::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use logspine_protocol::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use logspine_protocol::messages::list_groups::{ListGroupsRequest, ListGroupsResponse};
use logspine_protocol::types::BrokerId;

use super::Admin;
use crate::client::Client;
use crate::error::ClientError;
use crate::group::subscription::decode_assignment;
use crate::metadata::TopicPartition;

/// One line of the list of groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    /// The group's name.
    pub group_id: String,
    /// `consumer` for consumers; empty for a group that only ever committed offsets.
    pub protocol_type: String,
    /// Kafka's words: Stable, Empty, ...; empty from brokers before Kafka 2.6.
    pub state: String,
    /// `Classic` or `Consumer`; empty from brokers before Kafka 3.8.
    pub group_type: String,
    /// The broker that keeps it.
    pub coordinator: BrokerId,
}

/// A group and its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// The group's name.
    pub group_id: String,
    /// Kafka's words: Stable, Empty, PreparingRebalance, CompletingRebalance.
    pub state: String,
    /// `consumer` for consumers.
    pub protocol_type: String,
    /// The assignor in use.
    pub protocol: String,
    /// The broker that keeps it.
    pub coordinator: BrokerId,
    /// Nobody while the group is empty.
    pub members: Vec<GroupMember>,
}

/// One member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// Chosen by the coordinator.
    pub member_id: String,
    /// Set for static members (KIP-345).
    pub instance_id: Option<String>,
    /// What the member calls itself.
    pub client_id: String,
    /// The member's address as the coordinator sees it.
    pub client_host: String,
    /// What it reads.
    pub assignment: Vec<TopicPartition>,
}

impl Admin {
    /// Every group of the cluster, in order of name.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>, ClientError> {
        self.client.retrying(|| self.list_groups_once()).await
    }

    async fn list_groups_once(&self) -> Result<Vec<GroupListing>, ClientError> {
        let mut groups = BTreeMap::new();
        for broker in self.client.view().brokers.keys().copied() {
            let reply = self.client.call(broker, &ListGroupsRequest::default()).await?;
            let response = reply.decode::<ListGroupsResponse<'_>>()?;
            reply.check(response.error_code, "groups", None)?;
            for group in response.groups {
                let listing = GroupListing {
                    group_id: group.group_id.clone().into_owned(),
                    protocol_type: group.protocol_type.into_owned(),
                    state: group.group_state.into_owned(),
                    group_type: group.group_type.into_owned(),
                    coordinator: broker,
                };
                groups.insert(group.group_id.into_owned(), listing);
            }
        }
        Ok(groups.into_values().collect())
    }

    /// These groups; the first that does not exist is the error.
    pub async fn describe_groups(&self, group_ids: &[&str]) -> Result<Vec<GroupDescription>, ClientError> {
        let mut described = Vec::with_capacity(group_ids.len());
        for group_id in group_ids {
            described.push(self.client.retrying(|| self.describe_group_once(group_id)).await?);
        }
        Ok(described)
    }

    async fn describe_group_once(&self, group_id: &str) -> Result<GroupDescription, ClientError> {
        let coordinator = find_coordinator(&self.client, group_id).await?;
        let request = DescribeGroupsRequest { groups: vec![group_id.into()], ..Default::default() };
        let reply = self.client.call(coordinator, &request).await?;
        let response = reply.decode::<DescribeGroupsResponse<'_>>()?;
        let group = response.groups.first().ok_or_else(|| reply.incomplete("the group"))?;
        let subject = format!("group {group_id}");
        reply.check(group.error_code, &subject, group.error_message.as_deref())?;
        if group.group_state == "Dead" {
            reply.check(ErrorCode::GroupIdNotFound.code(), &subject, Some("there is no such group"))?;
        }
        Ok(GroupDescription::from_response(group, coordinator))
    }

    /// Deletes a group without members, and its committed offsets.
    pub async fn delete_group(&self, group_id: &str) -> Result<(), ClientError> {
        self.client.retrying(|| self.delete_group_once(group_id)).await
    }

    async fn delete_group_once(&self, group_id: &str) -> Result<(), ClientError> {
        let coordinator = find_coordinator(&self.client, group_id).await?;
        let request = DeleteGroupsRequest { groups_names: vec![group_id.into()] };
        let reply = self.client.call(coordinator, &request).await?;
        let response = reply.decode::<DeleteGroupsResponse<'_>>()?;
        let result = response.results.first().ok_or_else(|| reply.incomplete("the group"))?;
        reply.check(result.error_code, &format!("group {group_id}"), None)
    }
}

/// Which broker coordinates this group at present. One attempt; a coordinator that moves is found anew.
pub(crate) async fn find_coordinator(client: &Client, group_id: &str) -> Result<BrokerId, ClientError> {
    let connection = client.any_connection().await?;
    let version = connection.version_of::<FindCoordinatorRequest<'_>>(i16::MAX)?;
    let request = if version < 4 {
        FindCoordinatorRequest { key: group_id.into(), ..Default::default() }
    } else {
        FindCoordinatorRequest { coordinator_keys: vec![group_id.into()], ..Default::default() }
    };
    let reply = connection.call_at(&request, version, client.request_timeout()).await?;
    let response = reply.decode::<FindCoordinatorResponse<'_>>()?;
    let subject = format!("coordinator of group {group_id}");
    if version < 4 {
        reply.check(response.error_code, &subject, response.error_message.as_deref())?;
        return Ok(BrokerId(response.node_id));
    }
    let found = response.coordinators.first().ok_or_else(|| reply.incomplete("the coordinator"))?;
    reply.check(found.error_code, &subject, found.error_message.as_deref())?;
    Ok(BrokerId(found.node_id))
}

impl GroupDescription {
    fn from_response(group: &DescribedGroup<'_>, coordinator: BrokerId) -> Self {
        Self {
            group_id: group.group_id.clone().into_owned(),
            state: group.group_state.clone().into_owned(),
            protocol_type: group.protocol_type.clone().into_owned(),
            protocol: group.protocol_data.clone().into_owned(),
            coordinator,
            members: group.members.iter().map(GroupMember::from_response).collect(),
        }
    }
}

impl GroupMember {
    /// The assignment is the members' own affair and opaque to the broker: one that is not a consumer's
    /// (Kafka Connect's, say) is shown as holding nothing.
    fn from_response(member: &DescribedGroupMember<'_>) -> Self {
        Self {
            member_id: member.member_id.clone().into_owned(),
            instance_id: member.group_instance_id.clone().map(|id| id.into_owned()),
            client_id: member.client_id.clone().into_owned(),
            client_host: member.client_host.clone().into_owned(),
            assignment: decode_assignment(&member.member_assignment).unwrap_or_default(),
        }
    }
}
