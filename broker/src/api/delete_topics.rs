//! DeleteTopics, v1 to v6: by name, from v6 on also by topic id. v5 brought sentences. Kafka: `ControllerApis`.

use std::collections::BTreeMap;
use std::time::Instant;

use logspine_cluster::metadata::{Outcome, Request, TopicRef};
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};

use super::{RequestContext, metadata_errors};

/// Names and ids side by side.
const TOPIC_IDS_VERSION: i16 = 6;
/// Older clients do not know TOPIC_DELETION_DISABLED.
const DELETION_DISABLED_VERSION: i16 = 3;

pub async fn handle(
    context: &RequestContext,
    request: DeleteTopicsRequest<'_>,
) -> DeleteTopicsResponse<'static> {
    let deadline = context.deadline(request.timeout_ms);
    let asked = asked(request, context.api_version);
    let mut responses = Vec::with_capacity(asked.len());
    let mut topics = Vec::new();
    for (topic, refusal) in checked(asked, deletion_refusal(context)) {
        match refusal {
            Some((code, message)) => responses.push(failure(topic, code, message)),
            None => topics.push(topic),
        }
    }
    responses.extend(delete(context, deadline, topics).await);
    DeleteTopicsResponse { responses, ..DeleteTopicsResponse::default() }
}

fn asked(request: DeleteTopicsRequest<'_>, version: i16) -> Vec<DeleteTopicState<'static>> {
    if version >= TOPIC_IDS_VERSION {
        let owned = |topic: DeleteTopicState<'_>| DeleteTopicState {
            name: topic.name.map(|name| name.into_owned().into()),
            topic_id: topic.topic_id,
        };
        return request.topics.into_iter().map(owned).collect();
    }
    let named = |name: logspine_protocol::wire::Str<'_>| DeleteTopicState {
        name: Some(name.into_owned().into()),
        ..DeleteTopicState::default()
    };
    request.topic_names.into_iter().map(named).collect()
}

fn deletion_refusal(context: &RequestContext) -> Option<(ErrorCode, &'static str)> {
    if context.broker.config.topics.delete_topic_enable {
        return None;
    }
    let code = match context.api_version < DELETION_DISABLED_VERSION {
        true => ErrorCode::InvalidRequest,
        false => ErrorCode::TopicDeletionDisabled,
    };
    Some((code, "Topic deletion is disabled."))
}

type Checked = (DeleteTopicState<'static>, Option<(ErrorCode, &'static str)>);

/// Each topic once, with the reason why it is not even looked for.
fn checked(
    asked: Vec<DeleteTopicState<'static>>,
    disabled: Option<(ErrorCode, &'static str)>,
) -> Vec<Checked> {
    let key = |topic: &DeleteTopicState<'_>| (topic.name.as_deref().map(str::to_owned), topic.topic_id);
    let mut counts = BTreeMap::new();
    for topic in &asked {
        *counts.entry(key(topic)).or_insert(0) += 1;
    }
    let mut once = Vec::new();
    for topic in asked {
        let Some(count) = counts.remove(&key(&topic)) else { continue };
        let invalid = |message| Some((ErrorCode::InvalidRequest, message));
        let refusal = match (&topic.name, topic.topic_id.is_zero()) {
            _ if disabled.is_some() => disabled,
            (None, true) => invalid("Neither topic name nor id were specified."),
            (Some(_), false) => invalid("You may not specify both topic name and topic id."),
            (Some(_), true) if count > 1 => invalid("Duplicate topic name."),
            (None, false) if count > 1 => invalid("Duplicate topic id."),
            _ => None,
        };
        once.push((topic, refusal));
    }
    once
}

async fn delete(
    context: &RequestContext,
    deadline: Instant,
    topics: Vec<DeleteTopicState<'static>>,
) -> Vec<DeletableTopicResult<'static>> {
    if topics.is_empty() {
        return Vec::new();
    }
    let reference = |topic: &DeleteTopicState<'_>| match &topic.name {
        Some(name) => TopicRef::Name(name.to_string()),
        None => TopicRef::Id(topic.topic_id),
    };
    let request = Request::DeleteTopics { topics: topics.iter().map(reference).collect() };
    match context.broker.metadata.propose_until(deadline, request).await {
        Ok(Outcome::TopicsDeleted(results)) => {
            let shown = topics.into_iter().zip(results).map(|(topic, result)| match result {
                Ok(deleted) => DeletableTopicResult {
                    name: Some(deleted.name.into()),
                    topic_id: deleted.topic_id,
                    ..DeletableTopicResult::default()
                },
                Err(refusal) => {
                    let (code, message) = metadata_errors::of_request(&refusal);
                    failure(topic, code, &message)
                }
            });
            shown.collect()
        }
        Ok(_) => refuse_all(topics, ErrorCode::UnknownServerError, "the controller answered something else"),
        Err(error) => {
            let (code, message) = metadata_errors::of_propose(&error);
            refuse_all(topics, code, &message)
        }
    }
}

fn failure(
    topic: DeleteTopicState<'static>,
    code: ErrorCode,
    message: &str,
) -> DeletableTopicResult<'static> {
    DeletableTopicResult {
        name: topic.name,
        topic_id: topic.topic_id,
        error_code: code.code(),
        error_message: Some(message.to_owned().into()),
    }
}

fn refuse_all(
    topics: Vec<DeleteTopicState<'static>>,
    code: ErrorCode,
    message: &str,
) -> Vec<DeletableTopicResult<'static>> {
    topics.into_iter().map(|topic| failure(topic, code, message)).collect()
}

#[cfg(test)]
mod tests {
    use logspine_protocol::types::TopicId;

    use super::*;

    #[test]
    fn what_is_asked_twice_or_unclearly_is_refused_once() {
        let state = |name: Option<&'static str>, id: u8| DeleteTopicState {
            name: name.map(Into::into),
            topic_id: TopicId([id; 16]),
        };
        let asked = vec![
            state(Some("a"), 0),
            state(Some("a"), 0),
            state(None, 0),
            state(Some("b"), 7),
            state(None, 7),
            state(Some("c"), 0),
        ];
        let told: Vec<_> =
            checked(asked, None).into_iter().map(|(_, refusal)| refusal.map(|(_, m)| m)).collect();
        assert_eq!(
            told,
            [
                Some("Duplicate topic name."),
                Some("Neither topic name nor id were specified."),
                Some("You may not specify both topic name and topic id."),
                None,
                None,
            ]
        );
    }
}
