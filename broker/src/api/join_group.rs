//! JoinGroup: a consumer wants to be a member. Parked until the rebalance has gathered everybody.
//!
//! Version 1 adds the rebalance timeout, 4 the two-step join (KIP-394), 5 static members (KIP-345), 7 the
//! protocol type in the answer, 9 `skip_assignment`. Kafka: `KafkaApis.handleJoinGroupRequest`.

use logspine_cluster::group::request::{Join, Protocol};
use logspine_cluster::group::response::Joined;
use logspine_cluster::group::{GroupRequest, GroupResponse};
use logspine_protocol::messages::join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember};

use super::RequestContext;
use crate::coordinator::random_uuid;

const REBALANCE_TIMEOUT_VERSION: i16 = 1;
const KNOWN_MEMBER_ID_VERSION: i16 = 4;
/// From here on a protocol name may be null; before, none is the empty name.
const NULLABLE_PROTOCOL_NAME_VERSION: i16 = 7;
const SKIP_ASSIGNMENT_VERSION: i16 = 9;

pub async fn handle(context: &RequestContext, request: JoinGroupRequest<'_>) -> JoinGroupResponse<'static> {
    let (group_id, member_id) =
        (request.group_id.clone().into_owned(), request.member_id.clone().into_owned());
    let join = GroupRequest::Join(translate(context, request));
    let joined = match context.broker.coordinator.request(&group_id, join).await {
        GroupResponse::Joined(joined) => joined,
        refused => Joined::error(refused.refusal(), member_id),
    };
    answer(joined, context.api_version)
}

fn translate(context: &RequestContext, request: JoinGroupRequest<'_>) -> Join {
    let version = context.api_version;
    let has_rebalance_timeout = version >= REBALANCE_TIMEOUT_VERSION;
    let protocols = request.protocols.into_iter().map(|protocol| Protocol {
        name: protocol.name.into_owned(),
        metadata: protocol.metadata.into_owned(),
    });
    Join {
        group_id: request.group_id.into_owned(),
        member_id: request.member_id.into_owned(),
        group_instance_id: request.group_instance_id.map(|id| id.into_owned()),
        client_id: context.client().to_owned(),
        client_host: format!("/{}", context.connection.peer.ip()),
        rebalance_timeout_ms: if has_rebalance_timeout {
            request.rebalance_timeout_ms
        } else {
            request.session_timeout_ms
        },
        session_timeout_ms: request.session_timeout_ms,
        protocol_type: request.protocol_type.into_owned(),
        protocols: protocols.collect(),
        new_member_uuid: random_uuid(),
        requires_known_member_id: version >= KNOWN_MEMBER_ID_VERSION,
        supports_skipping_assignment: version >= SKIP_ASSIGNMENT_VERSION,
    }
}

fn answer(joined: Joined, version: i16) -> JoinGroupResponse<'static> {
    let protocol_name = match joined.protocol_name {
        None if version < NULLABLE_PROTOCOL_NAME_VERSION => Some(String::new()),
        name => name,
    };
    let members = joined.members.into_iter().map(|member| JoinGroupResponseMember {
        member_id: member.member_id.into(),
        group_instance_id: member.group_instance_id.map(Into::into),
        metadata: member.metadata.into(),
    });
    JoinGroupResponse {
        error_code: joined.error.code(),
        generation_id: joined.generation_id,
        protocol_type: joined.protocol_type.map(Into::into),
        protocol_name: protocol_name.map(Into::into),
        leader: joined.leader.into(),
        skip_assignment: joined.skip_assignment,
        member_id: joined.member_id.into(),
        members: members.collect(),
        ..JoinGroupResponse::default()
    }
}

#[cfg(test)]
mod tests {
    use logspine_protocol::error::ErrorCode;

    use super::*;

    #[test]
    fn a_refused_join_has_no_protocol_in_the_words_of_its_version() {
        let refused = || Joined::error(ErrorCode::UnknownMemberId, "m");
        assert_eq!(answer(refused(), 6).protocol_name.as_deref(), Some(""));
        assert_eq!(answer(refused(), 7).protocol_name, None);
    }

    #[test]
    fn an_answer_can_be_written_in_every_version() {
        use logspine_cluster::group::response::JoinedMember;
        use logspine_protocol::wire::{Message, Writer};
        let member =
            JoinedMember { member_id: "m".into(), group_instance_id: Some("i".into()), metadata: vec![1] };
        for version in 0..=SKIP_ASSIGNMENT_VERSION {
            let leader = Joined {
                generation_id: 1,
                protocol_type: Some("consumer".into()),
                protocol_name: Some("range".into()),
                leader: "m".into(),
                skip_assignment: version >= SKIP_ASSIGNMENT_VERSION,
                members: vec![member.clone()],
                ..Joined::error(ErrorCode::NONE, "m")
            };
            for joined in [leader, Joined::error(ErrorCode::MemberIdRequired, "m")] {
                let response = answer(joined, version);
                response
                    .encode(&mut Writer::new(), version)
                    .unwrap_or_else(|error| panic!("v{version}: {error}"));
            }
        }
    }
}
