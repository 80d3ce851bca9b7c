//! DeleteGroups: groups without members go, with their offsets.
//!
//! Each group has its own result. Versions differ in encoding only. Kafka: `KafkaApis.handleDeleteGroupsRequest`.

use std::collections::BTreeSet;

use logspine_cluster::group::GroupRequest;
use logspine_protocol::messages::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};

use super::RequestContext;

pub async fn handle(
    context: &RequestContext,
    request: DeleteGroupsRequest<'_>,
) -> DeleteGroupsResponse<'static> {
    // A group named twice is deleted once.
    let names: BTreeSet<String> = request.groups_names.into_iter().map(|name| name.into_owned()).collect();
    let results = names.into_iter().map(|group_id| delete(context, group_id));
    let results = futures::future::join_all(results).await;
    DeleteGroupsResponse { results, ..DeleteGroupsResponse::default() }
}

async fn delete(context: &RequestContext, group_id: String) -> DeletableGroupResult<'static> {
    let delete = GroupRequest::Delete { group_id: group_id.clone() };
    let deleted = context.broker.coordinator.request(&group_id, delete).await;
    DeletableGroupResult { group_id: group_id.into(), error_code: deleted.refusal().code() }
}
