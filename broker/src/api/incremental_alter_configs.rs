//! IncrementalAlterConfigs, v0 and v1: SET, DELETE, APPEND and SUBTRACT of single settings, one result per resource.

use logspine_cluster::metadata::{
    AlterOp, IncrementalAlteration, Outcome, Request, ResourceIncrementalAlteration,
};
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};

use super::{RequestContext, config_resource, metadata_errors};

type Told = Result<(), (ErrorCode, String)>;

pub async fn handle(
    context: &RequestContext,
    request: IncrementalAlterConfigsRequest<'_>,
) -> IncrementalAlterConfigsResponse<'static> {
    let (resources, mut told) = accepted(&request.resources);
    let change = Request::IncrementalAlterConfigs { resources, validate_only: request.validate_only };
    let mut decided =
        decided(context, change, told.iter().filter(|told| told.is_ok()).count()).await.into_iter();
    for part in told.iter_mut().filter(|told| told.is_ok()) {
        *part = decided.next().unwrap_or(Ok(()));
    }
    let responses = request.resources.iter().zip(told).map(|(resource, told)| {
        let (code, message) = told.err().map_or((ErrorCode::None, None), |(code, words)| (code, Some(words)));
        AlterConfigsResourceResponse {
            error_code: code.code(),
            error_message: message.map(Into::into),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.to_string().into(),
        }
    });
    IncrementalAlterConfigsResponse {
        responses: responses.collect(),
        ..IncrementalAlterConfigsResponse::default()
    }
}

/// The resources whose request can be read, and for each one asked whether it is among them.
fn accepted(asked: &[AlterConfigsResource<'_>]) -> (Vec<ResourceIncrementalAlteration>, Vec<Told>) {
    let mut resources = Vec::new();
    let told = asked.iter().map(|resource| {
        let parsed = config_resource::parse(resource.resource_type, &resource.resource_name)?;
        let configs = resource.configs.iter().map(alteration).collect::<Result<_, _>>()?;
        resources.push(ResourceIncrementalAlteration { resource: parsed, configs });
        Ok(())
    });
    let told = told.collect();
    (resources, told)
}

fn alteration(config: &AlterableConfig<'_>) -> Result<IncrementalAlteration, (ErrorCode, String)> {
    let op = match config.config_operation {
        0 => AlterOp::Set,
        1 => AlterOp::Delete,
        2 => AlterOp::Append,
        3 => AlterOp::Subtract,
        other => {
            let message = format!("Unknown operation type {other} for configuration {}", config.name);
            return Err((ErrorCode::InvalidRequest, message));
        }
    };
    Ok(IncrementalAlteration {
        name: config.name.to_string(),
        op,
        value: config.value.as_deref().map(str::to_owned),
    })
}

async fn decided(context: &RequestContext, change: Request, count: usize) -> Vec<Told> {
    if count == 0 {
        return Vec::new();
    }
    match context.broker.metadata.propose(change).await {
        Ok(Outcome::ConfigsAltered(results)) => {
            results.into_iter().map(|result| result.map_err(|e| metadata_errors::of_request(&e))).collect()
        }
        Ok(_) => {
            vec![Err((ErrorCode::UnknownServerError, "the controller answered something else".into())); count]
        }
        Err(error) => vec![Err(metadata_errors::of_propose(&error)); count],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_operation_refuses_its_resource_only() {
        let resource = |name: &'static str, config_operation| AlterConfigsResource {
            resource_type: 2,
            resource_name: name.into(),
            configs: vec![AlterableConfig {
                name: "cleanup.policy".into(),
                config_operation,
                value: Some("compact".into()),
            }],
        };
        let (resources, told) = accepted(&[resource("a", 2), resource("b", 9)]);
        assert_eq!(resources.len(), 1);
        assert_eq!(resources[0].configs[0].op, AlterOp::Append);
        assert_eq!(told[1].as_ref().unwrap_err().0, ErrorCode::InvalidRequest);
    }
}
