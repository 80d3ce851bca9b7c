//! Heartbeat: a member is alive and learns whether it must join again.
//!
//! Versions differ in encoding, and in the static member's instance id from 3 on.
//! Kafka: `KafkaApis.handleHeartbeatRequest`.

use logspine_cluster::group::GroupRequest;
use logspine_cluster::group::request::Heartbeat;
use logspine_protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};

use super::RequestContext;

pub async fn handle(context: &RequestContext, request: HeartbeatRequest<'_>) -> HeartbeatResponse {
    let group_id = request.group_id.clone().into_owned();
    let heartbeat = Heartbeat {
        group_id: request.group_id.into_owned(),
        generation_id: request.generation_id,
        member_id: request.member_id.into_owned(),
        group_instance_id: request.group_instance_id.map(|id| id.into_owned()),
    };
    let response = context.broker.coordinator.request(&group_id, GroupRequest::Heartbeat(heartbeat)).await;
    HeartbeatResponse { error_code: response.refusal().code(), ..HeartbeatResponse::default() }
}
