//! DescribeCluster, v0 to v2: cluster id, controller and the brokers as this listener's clients reach them.
//!
//! v1 brought the type of endpoint (controllers answer on their own listener, which this broker has not), v2
//! fenced brokers.

use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};

use super::RequestContext;
use super::topology::{self, CLUSTER_OPERATIONS, OPERATIONS_NOT_ASKED};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub async fn handle(
    context: &RequestContext,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse<'static> {
    let endpoint_type = request.endpoint_type;
    let refusal = match endpoint_type {
        BROKERS => None,
        CONTROLLERS => Some((
            ErrorCode::MismatchedEndpointType,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER",
        )),
        _ => Some((ErrorCode::UnsupportedEndpointType, "This endpoint type is not supported.")),
    };
    if let Some((code, message)) = refusal {
        return DescribeClusterResponse {
            error_code: code.code(),
            error_message: Some(message.into()),
            endpoint_type,
            ..DescribeClusterResponse::default()
        };
    }
    let image = context.broker.metadata.image();
    let brokers = topology::brokers(&image, &context.connection.listener)
        .filter(|(broker, _)| request.include_fenced_brokers || !broker.fenced)
        .map(|(broker, endpoint)| DescribeClusterBroker {
            broker_id: broker.id.0,
            host: endpoint.host.clone().into(),
            port: i32::from(endpoint.port),
            rack: broker.rack.clone().map(Into::into),
            is_fenced: broker.fenced,
        });
    DescribeClusterResponse {
        endpoint_type,
        cluster_id: context.broker.identity.cluster_id.clone().into(),
        controller_id: context.broker.node_id(),
        brokers: brokers.collect(),
        cluster_authorized_operations: match request.include_cluster_authorized_operations {
            true => CLUSTER_OPERATIONS,
            false => OPERATIONS_NOT_ASKED,
        },
        ..DescribeClusterResponse::default()
    }
}
