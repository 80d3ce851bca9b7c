//! InitProducerId, v0 to v5: a producer id for an idempotent producer. v6 (two-phase commit) is unstable in Kafka
//! 4.3 and not advertised by it either.
//!
//! A producer that comes back with an id of its own (v3 and later) gets a new one, as in Kafka, when it has no
//! transactional id. Transactions are not served yet: a transactional id is refused, so that no client takes the
//! half of a transaction for one.

use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use super::{RequestContext, metadata_errors};

pub async fn handle(context: &RequestContext, request: InitProducerIdRequest<'_>) -> InitProducerIdResponse {
    let code = match refusal(&request) {
        Some(code) => code,
        None => match context.broker.metadata.producer_ids().next(&context.broker.metadata).await {
            Ok(id) => {
                return InitProducerIdResponse {
                    producer_id: id.0,
                    producer_epoch: 0,
                    ..InitProducerIdResponse::default()
                };
            }
            // Retriable for producers, unlike NOT_CONTROLLER.
            Err(error) => match metadata_errors::of_propose(&error).0 {
                ErrorCode::NotController => ErrorCode::CoordinatorNotAvailable,
                code => code,
            },
        },
    };
    InitProducerIdResponse {
        error_code: code.code(),
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdResponse::default()
    }
}

fn refusal(request: &InitProducerIdRequest<'_>) -> Option<ErrorCode> {
    match request.transactional_id.as_deref() {
        None => None,
        Some("") => Some(ErrorCode::InvalidRequest),
        Some(_) => Some(ErrorCode::UnsupportedVersion),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_idempotent_producers_are_served() {
        let ask = |id: Option<&'static str>| InitProducerIdRequest {
            transactional_id: id.map(Into::into),
            ..InitProducerIdRequest::default()
        };
        assert_eq!(refusal(&ask(None)), None);
        assert_eq!(refusal(&ask(Some(""))), Some(ErrorCode::InvalidRequest));
        assert_eq!(refusal(&ask(Some("payments"))), Some(ErrorCode::UnsupportedVersion));
    }
}
