//! CreatePartitions, v0 to v3: more partitions for existing topics, one result per name.

use std::collections::BTreeSet;

use logspine_cluster::metadata::{NewPartitions, Outcome, Request};
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
};
use logspine_protocol::types::BrokerId;

use super::{RequestContext, metadata_errors};

pub async fn handle(
    context: &RequestContext,
    request: CreatePartitionsRequest<'_>,
) -> CreatePartitionsResponse<'static> {
    let names: Vec<String> = request.topics.iter().map(|topic| topic.name.to_string()).collect();
    let topics = request.topics.iter().map(new_partitions).collect();
    let change = Request::CreatePartitions { topics, validate_only: request.validate_only };
    let deadline = context.deadline(request.timeout_ms);
    let proposed = context.broker.metadata.propose_until(deadline, change).await;
    let results: Vec<(ErrorCode, Option<String>)> = match proposed {
        Ok(Outcome::PartitionsCreated(results)) => results
            .into_iter()
            .map(|result| match result {
                Ok(()) => (ErrorCode::None, None),
                Err(refusal) => told(metadata_errors::of_request(&refusal)),
            })
            .collect(),
        Ok(_) => vec![(ErrorCode::UnknownServerError, None); names.len()],
        Err(error) => vec![told(metadata_errors::of_propose(&error)); names.len()],
    };
    let mut seen = BTreeSet::new();
    let results = names.into_iter().zip(results).filter(|(name, _)| seen.insert(name.clone()));
    let results = results.map(|(name, (code, message))| CreatePartitionsTopicResult {
        name: name.into(),
        error_code: code.code(),
        error_message: message.map(Into::into),
    });
    CreatePartitionsResponse { results: results.collect(), ..CreatePartitionsResponse::default() }
}

fn told((code, message): (ErrorCode, String)) -> (ErrorCode, Option<String>) {
    (code, Some(message))
}

fn new_partitions(topic: &CreatePartitionsTopic<'_>) -> NewPartitions {
    let brokers = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect();
    NewPartitions {
        name: topic.name.to_string(),
        count: topic.count,
        assignments: topic
            .assignments
            .as_ref()
            .map(|all| all.iter().map(|assignment| brokers(&assignment.broker_ids)).collect()),
    }
}
