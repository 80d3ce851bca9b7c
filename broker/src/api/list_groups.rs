//! ListGroups: every group that this broker coordinates.
//!
//! Version 4 filters by state, 5 by type (KIP-518, KIP-848). Kafka: `KafkaApis.handleListGroupsRequest`.

use logspine_cluster::group::request::List;
use logspine_cluster::group::response;
use logspine_protocol::messages::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};

use super::RequestContext;

pub async fn handle(context: &RequestContext, request: ListGroupsRequest<'_>) -> ListGroupsResponse<'static> {
    let list = List {
        states_filter: request.states_filter.into_iter().map(|state| state.into_owned()).collect(),
        types_filter: request.types_filter.into_iter().map(|name| name.into_owned()).collect(),
    };
    match context.broker.coordinator.list(&list).await {
        Ok(groups) => ListGroupsResponse {
            groups: groups.into_iter().map(listed).collect(),
            ..ListGroupsResponse::default()
        },
        Err(error) => ListGroupsResponse { error_code: error.code(), ..ListGroupsResponse::default() },
    }
}

fn listed(group: response::ListedGroup) -> ListedGroup<'static> {
    ListedGroup {
        group_id: group.group_id.into(),
        protocol_type: group.protocol_type.into(),
        group_state: group.state.name().into(),
        group_type: group.group_type.into(),
    }
}
