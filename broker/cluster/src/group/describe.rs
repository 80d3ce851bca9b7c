//! DescribeGroups and ListGroups: what live groups look like from outside.
//!
//! Kafka's `describeGroups` and `listGroups`. Reads only.

use super::ClassicGroupState::*;
use super::classic::ClassicGroup;
use super::request::List;
use super::response::{DescribedGroup, DescribedMember, ListedGroup};
use super::shard::GroupShard;

/// Kafka's name for groups of the classic protocol.
const CLASSIC: &str = "Classic";

impl GroupShard {
    pub(super) fn describe(&self, group_id: &str) -> Option<DescribedGroup> {
        self.groups.get(group_id).map(describe)
    }

    pub(super) fn list(&self, list: &List) -> Vec<ListedGroup> {
        let passes = |filter: &[String], name: &str| {
            filter.is_empty() || filter.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(name))
        };
        if !passes(&list.types_filter, CLASSIC) {
            return Vec::new();
        }
        let groups = self.groups.values().filter(|group| passes(&list.states_filter, group.state.name()));
        let listed = groups.map(|group| ListedGroup {
            group_id: group.group_id.clone(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            state: group.state,
            group_type: CLASSIC,
        });
        listed.collect()
    }
}

fn describe(group: &ClassicGroup) -> DescribedGroup {
    // Before a group is stable its protocol may still change, so subscriptions mean nothing yet.
    let protocol = if group.is_in(Stable) { group.protocol_name.clone() } else { None };
    let members = group.members.values().map(|member| DescribedMember {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        metadata: protocol.as_deref().map(|name| member.metadata(name).to_vec()).unwrap_or_default(),
        assignment: member.assignment.clone(),
    });
    DescribedGroup {
        group_id: group.group_id.clone(),
        state: group.state,
        protocol_type: group.protocol_type.clone().unwrap_or_default(),
        members: members.collect(),
        protocol: protocol.unwrap_or_default(),
    }
}
