//! A client that says exactly what a test tells it to, right or wrong: bytes to a socket, frames back.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::frame::{decode_response_header, encode_request};
use logspine_protocol::wire::{Message, Reader};

pub struct RawClient {
    pub stream: TcpStream,
}

/// What came back when a frame or the end of the connection was expected.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Frame(Vec<u8>),
    Closed,
    Silence,
}

impl RawClient {
    pub fn connect(address: &str) -> RawClient {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_nodelay(true).unwrap();
        RawClient { stream }
    }

    pub fn patience(&self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).unwrap();
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// A frame of any content.
    pub fn send_frame(&mut self, payload: &[u8]) {
        let length = i32::try_from(payload.len()).unwrap();
        self.send_bytes(&[&length.to_be_bytes()[..], payload].concat());
    }

    pub fn send<'a>(&mut self, request: &impl Message<'a>, key: ApiKey, version: i16, correlation_id: i32) {
        let bytes = request_bytes(request, key, version, correlation_id);
        self.send_bytes(&bytes);
    }

    pub fn receive(&mut self) -> Answer {
        let mut prefix = [0_u8; 4];
        match self.stream.read_exact(&mut prefix) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Answer::Silence;
            }
            Err(_) => return Answer::Closed,
        }
        let mut payload = vec![0; usize::try_from(i32::from_be_bytes(prefix)).unwrap()];
        self.stream.read_exact(&mut payload).unwrap();
        Answer::Frame(payload)
    }

    /// Sends a request and decodes its answer.
    pub fn call<'a, Response: Message<'static, Static = Response>>(
        &mut self,
        request: &impl Message<'a>,
        key: ApiKey,
        version: i16,
    ) -> Response {
        self.send(request, key, version, 7);
        self.answer(key, version, 7)
    }

    /// Decodes the next answer, which must be the one to `correlation_id`.
    pub fn answer<Response: Message<'static, Static = Response>>(
        &mut self,
        key: ApiKey,
        version: i16,
        correlation_id: i32,
    ) -> Response {
        let Answer::Frame(payload) = self.receive() else { panic!("an answer to {key:?} is expected") };
        let mut reader = Reader::new(&payload);
        assert_eq!(decode_response_header(&mut reader, key, version).unwrap(), correlation_id);
        let response = Response::decode_static(&mut reader, version).unwrap();
        reader.finish("the response").unwrap();
        response
    }
}

pub fn request_bytes<'a>(
    request: &impl Message<'a>,
    _key: ApiKey,
    version: i16,
    correlation_id: i32,
) -> Vec<u8> {
    encode_request(Vec::new(), request, version, correlation_id, Some("raw")).unwrap()
}
