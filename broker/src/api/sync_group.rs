//! SyncGroup: a member asks for its partitions; the leader hands in everybody's.
//!
//! From version 5 on the client repeats what it believes was chosen, and must (KIP-559).
//! Kafka: `KafkaApis.handleSyncGroupRequest`.

use logspine_cluster::group::request::Sync;
use logspine_cluster::group::{GroupRequest, GroupResponse};
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};

use super::RequestContext;

const PROTOCOL_VERSION: i16 = 5;

pub async fn handle(context: &RequestContext, request: SyncGroupRequest<'_>) -> SyncGroupResponse<'static> {
    let is_incomplete = request.protocol_type.is_none() || request.protocol_name.is_none();
    if context.api_version >= PROTOCOL_VERSION && is_incomplete {
        return refused(ErrorCode::InconsistentGroupProtocol);
    }
    let group_id = request.group_id.clone().into_owned();
    let assignments = request.assignments.into_iter();
    let sync = Sync {
        group_id: request.group_id.into_owned(),
        generation_id: request.generation_id,
        member_id: request.member_id.into_owned(),
        group_instance_id: request.group_instance_id.map(|id| id.into_owned()),
        protocol_type: request.protocol_type.map(|name| name.into_owned()),
        protocol_name: request.protocol_name.map(|name| name.into_owned()),
        assignments: assignments
            .map(|one| (one.member_id.into_owned(), one.assignment.into_owned()))
            .collect(),
    };
    match context.broker.coordinator.request(&group_id, GroupRequest::Sync(sync)).await {
        GroupResponse::Synced(synced) => SyncGroupResponse {
            protocol_type: synced.protocol_type.map(Into::into),
            protocol_name: synced.protocol_name.map(Into::into),
            assignment: synced.assignment.into(),
            ..SyncGroupResponse::default()
        },
        other => refused(other.refusal()),
    }
}

fn refused(error: ErrorCode) -> SyncGroupResponse<'static> {
    SyncGroupResponse { error_code: error.code(), ..SyncGroupResponse::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_can_be_written_in_every_version() {
        use logspine_protocol::wire::{Message, Writer};
        for version in 0..=PROTOCOL_VERSION {
            let synced = SyncGroupResponse {
                protocol_type: Some("consumer".into()),
                protocol_name: Some("range".into()),
                assignment: vec![1].into(),
                ..SyncGroupResponse::default()
            };
            for response in [synced, refused(ErrorCode::UnknownMemberId)] {
                response
                    .encode(&mut Writer::new(), version)
                    .unwrap_or_else(|error| panic!("v{version}: {error}"));
            }
        }
    }
}
