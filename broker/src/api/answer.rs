//! What comes back from a request: bytes with holes for `sendfile`, nothing at all, or a closed connection.
//!
//! Made in `api/`, written out by `net/`. An answer's bytes start with the length prefix and the response
//! header; a hole stands at the position where record bytes belong that are still in a file.

use logspine_protocol::frame::encode_response_header;
use logspine_protocol::wire::{Hole, Message, Writer};
use logspine_storage::LogSlice;
use thiserror::Error;

use super::RequestContext;

/// A complete response: length prefix, header and body, with holes in ascending order of position. Each hole
/// is filled by the slice of the same place: record bytes that are still in a segment file.
pub struct Answer {
    pub bytes: Vec<u8>,
    pub holes: Vec<Hole>,
    pub slices: Vec<LogSlice>,
}

/// What the connection does next for this request.
pub enum Outcome {
    Answer(Answer),
    /// Produce with acks=0 that went well: the protocol has no answer for it.
    NoAnswer,
    /// Produce with acks=0 that failed: Kafka closes the connection, so that the client asks for metadata.
    Close,
}

/// Why a connection is closed instead of answered. One sentence for the log.
#[derive(Debug, Error)]
pub enum Refusal {
    #[error("{client}: {api} v{version} is not served here")]
    NotServed { client: String, api: &'static str, version: i16 },
    #[error("{client}: {api} v{version} cannot be read: {reason}")]
    Malformed { client: String, api: &'static str, version: i16, reason: String },
    #[error("{api} v{version}: the answer cannot be written: {reason}")]
    Unwritable { api: &'static str, version: i16, reason: String },
}

impl Refusal {
    pub(super) fn not_served(context: &RequestContext) -> Refusal {
        Refusal::NotServed {
            client: describe(context),
            api: context.api_key.name(),
            version: context.api_version,
        }
    }

    pub(super) fn malformed(context: &RequestContext, error: impl std::fmt::Display) -> Refusal {
        Refusal::Malformed {
            client: describe(context),
            api: context.api_key.name(),
            version: context.api_version,
            reason: error.to_string(),
        }
    }

    fn unwritable(context: &RequestContext, error: impl std::fmt::Display) -> Refusal {
        Refusal::Unwritable {
            api: context.api_key.name(),
            version: context.api_version,
            reason: error.to_string(),
        }
    }
}

fn describe(context: &RequestContext) -> String {
    format!("client {:?} at {}", context.client(), context.connection.peer)
}

/// Encodes a response without holes in the request's version.
pub fn encode_answer<'a>(context: &RequestContext, response: &impl Message<'a>) -> Result<Outcome, Refusal> {
    encode_answer_in(context, response, context.api_version, Vec::new())
}

/// Encodes a response in `version`; `slices` fill the holes that the encoder leaves, in order. Counts every error
/// that the response carries: the one place that does.
pub fn encode_answer_in<'a>(
    context: &RequestContext,
    response: &impl Message<'a>,
    version: i16,
    slices: Vec<LogSlice>,
) -> Result<Outcome, Refusal> {
    response.for_each_error(&mut |code| context.broker.metrics.error(context.api_key, code));
    let mut writer = Writer::frame(context.take_buffer());
    encode_response_header(&mut writer, context.api_key, version, context.correlation_id);
    response.encode(&mut writer, version).map_err(|error| Refusal::unwritable(context, error))?;
    let encoded = writer.finish().map_err(|error| Refusal::unwritable(context, error))?;
    assert_eq!(encoded.holes.len(), slices.len(), "each hole of the answer has one slice");
    Ok(Outcome::Answer(Answer { bytes: encoded.bytes, holes: encoded.holes, slices }))
}
