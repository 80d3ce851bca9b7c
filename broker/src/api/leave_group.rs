//! LeaveGroup: members go.
//!
//! Up to version 2 one member and one code; from 3 on a batch, each with its own (KIP-345).
//! Kafka: `KafkaApis.handleLeaveGroupRequest`, `LeaveGroupResponse`.

use logspine_cluster::group::request::{Leave, MemberIdentity};
use logspine_cluster::group::{GroupRequest, GroupResponse};
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberResponse};

use super::RequestContext;

const BATCH_VERSION: i16 = 3;

pub async fn handle(context: &RequestContext, request: LeaveGroupRequest<'_>) -> LeaveGroupResponse<'static> {
    let is_batch = context.api_version >= BATCH_VERSION;
    let group_id = request.group_id.into_owned();
    let members = if is_batch {
        let members = request.members.into_iter().map(|member| MemberIdentity {
            member_id: member.member_id.into_owned(),
            group_instance_id: member.group_instance_id.map(|id| id.into_owned()),
        });
        members.collect()
    } else {
        vec![MemberIdentity { member_id: request.member_id.into_owned(), group_instance_id: None }]
    };
    let leave = GroupRequest::Leave(Leave { group_id: group_id.clone(), members: members.clone() });
    match context.broker.coordinator.request(&group_id, leave).await {
        GroupResponse::Left(results) if is_batch => batch(members, results),
        GroupResponse::Left(results) => refused(results.first().copied().unwrap_or(ErrorCode::NONE)),
        other => refused(other.refusal()),
    }
}

fn batch(members: Vec<MemberIdentity>, results: Vec<ErrorCode>) -> LeaveGroupResponse<'static> {
    let members = members.into_iter().zip(results).map(|(member, result)| MemberResponse {
        member_id: member.member_id.into(),
        group_instance_id: member.group_instance_id.map(Into::into),
        error_code: result.code(),
    });
    LeaveGroupResponse { members: members.collect(), ..LeaveGroupResponse::default() }
}

fn refused(error: ErrorCode) -> LeaveGroupResponse<'static> {
    LeaveGroupResponse { error_code: error.code(), ..LeaveGroupResponse::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_can_be_written_in_every_version() {
        use logspine_protocol::wire::{Message, Writer};
        let member = MemberIdentity { member_id: "m".into(), group_instance_id: Some("i".into()) };
        for version in 0..=5 {
            let response = if version >= BATCH_VERSION {
                batch(vec![member.clone()], vec![ErrorCode::UnknownMemberId])
            } else {
                refused(ErrorCode::UnknownMemberId)
            };
            response
                .encode(&mut Writer::new(), version)
                .unwrap_or_else(|error| panic!("v{version}: {error}"));
        }
    }
}
