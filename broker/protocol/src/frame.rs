//! What stands around a message on the wire: its size, then the header of a request or response.
//!
//! Header versions follow the API's (KIP-482): a request header is version 1, from the first flexible version
//! on version 2 (tagged fields after the client id, which itself is never compact); a response header is
//! version 0 or 1, and always 0 for ApiVersions, so that any client can read the answer (KIP-511).
//! Schemas: `RequestHeader.json`, `ResponseHeader.json`. Called by `net` of the broker and by the client.

use crate::api_key::ApiKey;
use crate::wire::{DecodeError, EncodeError, Message, Reader, Writer};

/// The header of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    /// Which API; may be one that nobody knows.
    pub api_key: i16,
    /// Which version of the API; may be one that is not served.
    pub api_version: i16,
    /// What the response has to repeat.
    pub correlation_id: i32,
    /// The client's own name for itself.
    pub client_id: Option<&'a str>,
}

impl<'a> RequestHeader<'a> {
    /// The header's version; an API key that nobody knows is read as version 1, up to the client id.
    pub fn version(&self) -> i16 {
        ApiKey::from_i16(self.api_key).map_or(1, |key| key.request_header_version(self.api_version))
    }

    /// Reads the header at the front of a frame; the body stays in the reader.
    pub fn decode(r: &mut Reader<'a>) -> Result<RequestHeader<'a>, DecodeError> {
        let (api_key, api_version, correlation_id) = (r.i16()?, r.i16()?, r.i32()?);
        let client_id = match r.i16()? {
            -1 => None,
            length => {
                let invalid = DecodeError::InvalidLength { what: "a client id", length: i32::from(length) };
                let bytes = r.take(usize::try_from(length).map_err(|_| invalid)?)?;
                Some(std::str::from_utf8(bytes).map_err(|e| DecodeError::InvalidUtf8 {
                    length: bytes.len(),
                    valid_up_to: e.valid_up_to(),
                })?)
            }
        };
        let header = RequestHeader { api_key, api_version, correlation_id, client_id };
        if header.version() >= 2 {
            r.skip_tags()?;
        }
        Ok(header)
    }

    /// Writes the header; the body follows.
    pub fn encode(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i16(self.api_key);
        w.i16(self.api_version);
        w.i32(self.correlation_id);
        w.nullable_str(false, self.client_id)?;
        if self.version() >= 2 {
            w.tag_count(&[]);
        }
        Ok(())
    }
}

/// Writes the header of a response to `api_key` in `api_version`; the body follows.
pub fn encode_response_header(w: &mut Writer, api_key: ApiKey, api_version: i16, correlation_id: i32) {
    w.i32(correlation_id);
    if api_key.response_header_version(api_version) >= 1 {
        w.tag_count(&[]);
    }
}

/// Reads the header of a response and returns its correlation id; the body stays in the reader.
pub fn decode_response_header(
    r: &mut Reader<'_>,
    api_key: ApiKey,
    api_version: i16,
) -> Result<i32, DecodeError> {
    let correlation_id = r.i32()?;
    if api_key.response_header_version(api_version) >= 1 {
        r.skip_tags()?;
    }
    Ok(correlation_id)
}

/// A whole request as a frame in `buffer`, which is emptied first: size, header, body.
pub fn encode_request<'a, M: Message<'a>>(
    buffer: Vec<u8>,
    message: &M,
    api_version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
) -> Result<Vec<u8>, EncodeError> {
    let mut w = Writer::frame(buffer);
    RequestHeader { api_key: M::API_KEY, api_version, correlation_id, client_id }.encode(&mut w)?;
    message.encode(&mut w, api_version)?;
    Ok(w.finish()?.bytes)
}

#[cfg(test)]
mod tests {
    use super::{RequestHeader, decode_response_header, encode_response_header};
    use crate::api_key::ApiKey;
    use crate::wire::{DecodeError, Reader, Writer};

    fn header(api_key: ApiKey, api_version: i16) -> RequestHeader<'static> {
        RequestHeader { api_key: api_key.key(), api_version, correlation_id: 7, client_id: Some("kcat") }
    }

    fn encoded(header: RequestHeader<'_>) -> Vec<u8> {
        let mut w = Writer::new();
        header.encode(&mut w).expect("a short client id");
        w.into_bytes()
    }

    #[test]
    fn the_client_id_is_classic_even_in_a_flexible_header() {
        let classic = encoded(header(ApiKey::Produce, 8));
        assert_eq!(classic, [0, 0, 0, 8, 0, 0, 0, 7, 0, 4, b'k', b'c', b'a', b't']);
        let flexible = encoded(header(ApiKey::Produce, 9));
        assert_eq!(flexible, [0, 0, 0, 9, 0, 0, 0, 7, 0, 4, b'k', b'c', b'a', b't', 0]);
        for bytes in [classic, flexible] {
            let mut r = Reader::new(&bytes);
            assert_eq!(RequestHeader::decode(&mut r).map(|h| h.client_id), Ok(Some("kcat")));
            assert!(r.is_empty());
        }
    }

    #[test]
    fn an_unknown_api_is_still_a_header() {
        let header = RequestHeader { api_key: 999, api_version: 3, correlation_id: 1, client_id: None };
        assert_eq!(RequestHeader::decode(&mut Reader::new(&encoded(header))), Ok(header));
    }

    #[test]
    fn a_negative_client_id_length_is_refused() {
        let bytes = [0, 0, 0, 8, 0, 0, 0, 7, 0xff, 0xfe];
        let refused = DecodeError::InvalidLength { what: "a client id", length: -2 };
        assert_eq!(RequestHeader::decode(&mut Reader::new(&bytes)), Err(refused));
    }

    #[test]
    fn the_answer_to_api_versions_has_the_oldest_header_in_every_version() {
        for (key, version, expected) in
            [(ApiKey::ApiVersions, 4, 4), (ApiKey::Produce, 8, 4), (ApiKey::Produce, 9, 5)]
        {
            let mut w = Writer::new();
            encode_response_header(&mut w, key, version, 42);
            assert_eq!(w.len(), expected, "{key} {version}");
            assert_eq!(decode_response_header(&mut Reader::new(w.as_bytes()), key, version), Ok(42));
        }
    }
}
