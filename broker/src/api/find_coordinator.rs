//! FindCoordinator: which broker keeps a group's offsets and members.
//!
//! Versions 0 to 3 ask for one key, 4 and above for many (KIP-699). The first question for a group creates
//! `__consumer_offsets`. Transactions (key type 1) and share groups (2, from version 6) have no coordinator
//! here yet: the answer is final, so that clients say so at once. librdkafka, which asks in versions up to 2,
//! would go on for ever on any code but an authorization's; what it then shows holds our sentence. Kafka:
//! `KafkaApis.getCoordinator`.

use logspine_cluster::metadata::Endpoint;
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};

use super::RequestContext;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

/// From here on keys come in batches.
const BATCHED_VERSION: i16 = 4;
/// From here on share groups may be asked for.
const SHARE_VERSION: i16 = 6;

struct Node {
    id: i32,
    host: String,
    port: i32,
}

pub async fn handle(
    context: &RequestContext,
    request: FindCoordinatorRequest<'_>,
) -> FindCoordinatorResponse<'static> {
    if context.api_version < BATCHED_VERSION {
        let found = find(context, request.key_type, &request.key).await;
        return single(found);
    }
    let mut coordinators = Vec::with_capacity(request.coordinator_keys.len());
    for key in request.coordinator_keys {
        let found = find(context, request.key_type, &key).await;
        coordinators.push(batched(key.into_owned(), found));
    }
    FindCoordinatorResponse { coordinators, ..FindCoordinatorResponse::default() }
}

async fn find(context: &RequestContext, key_type: i8, key: &str) -> Result<Node, ErrorCode> {
    match key_type {
        GROUP => {
            let leader = context.broker.coordinator.find(key).await?;
            let image = context.broker.metadata.image();
            let broker = image.broker(leader).filter(|broker| !broker.fenced);
            let endpoint: Option<&Endpoint> =
                broker.and_then(|broker| broker.endpoint(&context.connection.listener.0));
            let endpoint = endpoint.ok_or(ErrorCode::CoordinatorNotAvailable)?;
            Ok(Node { id: leader.0, host: endpoint.host.clone(), port: i32::from(endpoint.port) })
        }
        TRANSACTION if context.api_version < BATCHED_VERSION => {
            Err(ErrorCode::TransactionalIdAuthorizationFailed)
        }
        TRANSACTION => Err(ErrorCode::UnsupportedVersion),
        SHARE if context.api_version >= SHARE_VERSION => Err(ErrorCode::UnsupportedVersion),
        _ => Err(ErrorCode::InvalidRequest),
    }
}

/// Kafka's `Node.noNode`.
fn nobody() -> Node {
    Node { id: -1, host: String::new(), port: -1 }
}

fn single(found: Result<Node, ErrorCode>) -> FindCoordinatorResponse<'static> {
    let (error, node) = split(found);
    FindCoordinatorResponse {
        error_code: error.code(),
        error_message: Some(message(error).into()),
        node_id: node.id,
        host: node.host.into(),
        port: node.port,
        ..FindCoordinatorResponse::default()
    }
}

fn batched(key: String, found: Result<Node, ErrorCode>) -> Coordinator<'static> {
    let (error, node) = split(found);
    Coordinator {
        key: key.into(),
        node_id: node.id,
        host: node.host.into(),
        port: node.port,
        error_code: error.code(),
        error_message: error.is_error().then(|| message(error).into()),
    }
}

fn split(found: Result<Node, ErrorCode>) -> (ErrorCode, Node) {
    match found {
        Ok(node) => (ErrorCode::NONE, node),
        Err(error) => (error, nobody()),
    }
}

fn message(error: ErrorCode) -> &'static str {
    match error {
        ErrorCode::CoordinatorNotAvailable => "The coordinator is not available.",
        ErrorCode::UnsupportedVersion | ErrorCode::TransactionalIdAuthorizationFailed => {
            "This version coordinates neither transactions nor share groups."
        }
        ErrorCode::InvalidRequest => "This kind of coordinator does not exist in this version.",
        other => other.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_can_be_written_in_every_version() {
        use logspine_protocol::wire::{Message, Writer};
        let found = || Ok(Node { id: 1, host: "h".into(), port: 9092 });
        for version in 0..=SHARE_VERSION {
            for found in [found(), Err(ErrorCode::CoordinatorNotAvailable)] {
                let response = if version < BATCHED_VERSION {
                    single(found)
                } else {
                    let coordinators = vec![batched("g".into(), found)];
                    FindCoordinatorResponse { coordinators, ..FindCoordinatorResponse::default() }
                };
                response
                    .encode(&mut Writer::new(), version)
                    .unwrap_or_else(|error| panic!("v{version}: {error}"));
            }
        }
    }
}
