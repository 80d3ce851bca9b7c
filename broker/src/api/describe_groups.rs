//! DescribeGroups: a group's state, protocol and members in full.
//!
//! A group that does not exist is `Dead`; from version 6 on it is GROUP_ID_NOT_FOUND as well (KIP-1043).
//! Authorized operations are told from version 3 on, when asked for. Kafka: `KafkaApis.handleDescribeGroups`.

use logspine_cluster::group::response::{DescribedGroup as Described, DescribedMember};
use logspine_cluster::group::{ClassicGroupState, GroupRequest, GroupResponse};
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};

use super::RequestContext;

const NOT_FOUND_VERSION: i16 = 6;
const AUTHORIZED_OPERATIONS_VERSION: i16 = 3;
/// One bit per `AclOperation`: READ (3), DELETE (6), DESCRIBE (8), DESCRIBE_CONFIGS (10), ALTER_CONFIGS (11):
/// all that can be done to a group, since there is no authorizer yet.
const ALL_GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

pub async fn handle(
    context: &RequestContext,
    request: DescribeGroupsRequest<'_>,
) -> DescribeGroupsResponse<'static> {
    let with_operations =
        request.include_authorized_operations && context.api_version >= AUTHORIZED_OPERATIONS_VERSION;
    let mut groups = Vec::with_capacity(request.groups.len());
    for group_id in request.groups {
        let group_id = group_id.into_owned();
        let describe = GroupRequest::Describe { group_id: group_id.clone() };
        let described = context.broker.coordinator.request(&group_id, describe).await;
        let mut group = answer(group_id, described, context.api_version);
        if with_operations && group.error_code == ErrorCode::NONE.code() {
            group.authorized_operations = ALL_GROUP_OPERATIONS;
        }
        groups.push(group);
    }
    DescribeGroupsResponse { groups, ..DescribeGroupsResponse::default() }
}

fn answer(group_id: String, described: GroupResponse, version: i16) -> DescribedGroup<'static> {
    match described {
        GroupResponse::Described(Some(group)) => found(group),
        GroupResponse::Described(None) => not_found(group_id, version),
        refused => DescribedGroup {
            error_code: refused.refusal().code(),
            group_id: group_id.into(),
            ..DescribedGroup::default()
        },
    }
}

fn found(group: Described) -> DescribedGroup<'static> {
    DescribedGroup {
        group_id: group.group_id.into(),
        group_state: group.state.name().into(),
        protocol_type: group.protocol_type.into(),
        protocol_data: group.protocol.into(),
        members: group.members.into_iter().map(member).collect(),
        ..DescribedGroup::default()
    }
}

fn member(member: DescribedMember) -> DescribedGroupMember<'static> {
    DescribedGroupMember {
        member_id: member.member_id.into(),
        group_instance_id: member.group_instance_id.map(Into::into),
        client_id: member.client_id.into(),
        client_host: member.client_host.into(),
        member_metadata: member.metadata.into(),
        member_assignment: member.assignment.into(),
    }
}

fn not_found(group_id: String, version: i16) -> DescribedGroup<'static> {
    let has_error = version >= NOT_FOUND_VERSION;
    let error = if has_error { ErrorCode::GroupIdNotFound } else { ErrorCode::NONE };
    DescribedGroup {
        error_code: error.code(),
        error_message: has_error.then(|| format!("Group {group_id} not found.").into()),
        group_id: group_id.into(),
        group_state: ClassicGroupState::Dead.name().into(),
        ..DescribedGroup::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_does_not_exist_is_dead_and_from_version_6_on_an_error() {
        let old = answer("g".into(), GroupResponse::Described(None), 5);
        assert_eq!((old.error_code, &*old.group_state, old.error_message), (0, "Dead", None));
        let new = answer("g".into(), GroupResponse::Described(None), 6);
        assert_eq!((new.error_code, &*new.group_state), (69, "Dead"));
        assert_eq!(new.error_message.as_deref(), Some("Group g not found."));
    }

    #[test]
    fn an_answer_can_be_written_in_every_version() {
        use logspine_protocol::wire::{Message, Writer};
        let member = DescribedMember {
            member_id: "m".into(),
            group_instance_id: Some("i".into()),
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            metadata: vec![1],
            assignment: vec![2],
        };
        let group = Described {
            group_id: "g".into(),
            state: ClassicGroupState::Stable,
            protocol_type: "consumer".into(),
            protocol: "range".into(),
            members: vec![member],
        };
        for version in 0..=NOT_FOUND_VERSION {
            for described in [Some(group.clone()), None] {
                let groups = vec![answer("g".into(), GroupResponse::Described(described), version)];
                let response = DescribeGroupsResponse { groups, ..DescribeGroupsResponse::default() };
                response
                    .encode(&mut Writer::new(), version)
                    .unwrap_or_else(|error| panic!("v{version}: {error}"));
            }
        }
    }
}
