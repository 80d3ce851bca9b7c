//! A request as bytes on the way out, and an answer as bytes that can be read where they are.
//!
//! Decoding borrows from the frame, so the frame is kept here for as long as anybody reads from it. Checks of
//! error codes go through `Reply::check`, which is what makes every error name its broker and API.

use std::sync::Arc;

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::error::ErrorCode;
use logspine_protocol::frame::{RequestHeader, decode_response_header};
use logspine_protocol::wire::{EncodeError, Message, Reader, Writer};

use crate::error::ClientError;

/// Where the correlation id stands in a frame: after the length, the API key and the version.
pub(crate) const CORRELATION_ID_AT: usize = 8;

/// Length, header and body of one request; the correlation id is left zero for the connection to fill in.
pub(crate) fn encode_request<'a, M: Message<'a>>(
    request: &M,
    version: i16,
    client_id: &str,
) -> Result<Vec<u8>, ClientError> {
    let failed =
        |error: EncodeError| ClientError::Unwritable { api: M::NAME, version, reason: error.to_string() };
    let mut writer = Writer::frame(Vec::new());
    let (api_key, client_id) = (M::API_KEY, Some(client_id));
    RequestHeader { api_key, api_version: version, correlation_id: 0, client_id }
        .encode(&mut writer)
        .map_err(failed)?;
    request.encode(&mut writer, version).map_err(failed)?;
    Ok(writer.finish().map_err(failed)?.bytes)
}

/// The answer to one request.
#[derive(Debug)]
pub struct Reply {
    broker: Arc<str>,
    api: &'static str,
    api_key: i16,
    version: i16,
    frame: Vec<u8>,
    body_at: usize,
}

impl Reply {
    /// `frame` is an answer to a request `M` of this version, without its length.
    pub(crate) fn new<'a, M: Message<'a>>(
        broker: Arc<str>,
        frame: Vec<u8>,
        version: i16,
    ) -> Result<Self, ClientError> {
        let mut reply = Self { broker, api: M::NAME, api_key: M::API_KEY, version, frame, body_at: 0 };
        reply.body_at = reply.skip_header()?;
        Ok(reply)
    }

    /// The position of the body. An API that we send requests of is one that we know the header of.
    fn skip_header(&self) -> Result<usize, ClientError> {
        let api_key = ApiKey::from_i16(self.api_key).expect("generated requests carry keys of the table");
        let mut reader = Reader::new(&self.frame);
        decode_response_header(&mut reader, api_key, self.version)
            .map_err(|error| self.unreadable(error.to_string()))?;
        Ok(self.frame.len() - reader.remaining())
    }

    /// The version that the request was sent at and the answer is written in.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Who answered, as `host:port`.
    pub fn broker(&self) -> &Arc<str> {
        &self.broker
    }

    /// From now on reads the body as this version; only ApiVersions answers in another version than asked.
    pub(crate) fn read_as(&mut self, version: i16) {
        self.version = version;
    }

    /// The first two bytes of the body; in ApiVersions answers of every version they are the error code.
    pub(crate) fn error_code_at_start(&self) -> i16 {
        let body = self.frame.get(self.body_at..).unwrap_or_default();
        body.first_chunk::<2>().map_or(0, |bytes| i16::from_be_bytes(*bytes))
    }

    /// Reads the body as `R`, borrowing from this reply.
    pub fn decode<'a, R: Message<'a>>(&'a self) -> Result<R, ClientError> {
        assert_eq!(R::API_KEY, self.api_key, "{} read as the answer to {}", R::NAME, self.api);
        let body = self.frame.get(self.body_at..).unwrap_or_default();
        R::decode(&mut Reader::new(body), self.version).map_err(|error| self.unreadable(error.to_string()))
    }

    /// Turns an error code of the answer into an error about `subject`, with Kafka's message where one was sent.
    pub fn check(&self, code: i16, subject: &str, message: Option<&str>) -> Result<(), ClientError> {
        if code == ErrorCode::NONE.code() {
            return Ok(());
        }
        // A code newer than our table is still an error, and keeps its number in the message.
        let (code, message) = match ErrorCode::from_code(code) {
            Some(code) => (code, message.map(str::to_owned)),
            None => (ErrorCode::UnknownServerError, Some(format!("unknown error code {code}"))),
        };
        let broker = self.broker.clone();
        Err(ClientError::Api { broker, api: self.api, code, subject: subject.to_owned(), message })
    }

    /// An answer that is well-formed but does not contain what was asked for.
    pub(crate) fn incomplete(&self, what: &str) -> ClientError {
        self.unreadable(format!("it does not contain {what}"))
    }

    fn unreadable(&self, reason: String) -> ClientError {
        ClientError::Unreadable { broker: self.broker.clone(), api: self.api, version: self.version, reason }
    }
}
