//! AlterConfigs, v0 to v2: replaces all settings of a resource. Java's Admin client 4 no longer sends it; librdkafka
//! and sarama do. One result per resource, in the order asked.

use logspine_cluster::metadata::{ConfigAlteration, Outcome, Request, ResourceAlteration};
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterConfigsResourceResponse, AlterConfigsResponse,
};

use super::{RequestContext, config_resource, metadata_errors};

type Told = Result<(), (ErrorCode, String)>;

pub async fn handle(
    context: &RequestContext,
    request: AlterConfigsRequest<'_>,
) -> AlterConfigsResponse<'static> {
    let (resources, mut told) = accepted(&request.resources);
    let change = Request::AlterConfigs { resources, validate_only: request.validate_only };
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
    AlterConfigsResponse { responses: responses.collect(), ..AlterConfigsResponse::default() }
}

/// The resources that have settings, and for each one asked whether it is among them.
fn accepted(asked: &[AlterConfigsResource<'_>]) -> (Vec<ResourceAlteration>, Vec<Told>) {
    let mut resources = Vec::new();
    let told = asked.iter().map(|resource| {
        let parsed = config_resource::parse(resource.resource_type, &resource.resource_name)?;
        let configs = resource.configs.iter().map(|config| ConfigAlteration {
            name: config.name.to_string(),
            value: config.value.as_deref().map(str::to_owned),
        });
        resources.push(ResourceAlteration { resource: parsed, configs: configs.collect() });
        Ok(())
    });
    let told = told.collect();
    (resources, told)
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
    fn a_resource_without_settings_is_refused_and_the_others_go_on() {
        let resource = |resource_type, name: &'static str| AlterConfigsResource {
            resource_type,
            resource_name: name.into(),
            configs: vec![],
        };
        let (resources, told) = accepted(&[resource(2, "a"), resource(8, "0"), resource(4, "")]);
        assert_eq!(resources.iter().map(|part| part.resource.name.as_str()).collect::<Vec<_>>(), ["a", ""]);
        assert!(told[0].is_ok() && told[1].is_err() && told[2].is_ok());
    }
}
