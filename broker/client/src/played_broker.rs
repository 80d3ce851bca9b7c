//! A broker played by a test: it listens on loopback, and a closure answers every request.
//!
//! Speaks ApiVersions (every key at the versions our messages have) and Metadata (one broker, one topic `t`)
//! by itself, so that a test tells only what is odd. Connections are served one after the other or side by
//! side; the closure sees requests in the order they came.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::frame::{RequestHeader, encode_response_header};
use logspine_protocol::messages::api_versions::{ApiVersion, ApiVersionsResponse};
use logspine_protocol::messages::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use logspine_protocol::types::TopicId;
use logspine_protocol::wire::{Message, Reader, Writer};

/// One request as it arrived.
pub(crate) struct Asked {
    pub api_key: ApiKey,
    pub version: i16,
    body: Vec<u8>,
}

impl Asked {
    pub(crate) fn decode<'a, M: Message<'a>>(&'a self) -> M {
        M::decode(&mut Reader::new(&self.body), self.version).expect("a readable request")
    }

    /// The answer to this request.
    pub(crate) fn with<'a, M: Message<'a>>(&self, message: &M) -> Play {
        let mut writer = Writer::new();
        message.encode(&mut writer, self.version).expect("a writable answer");
        Play::Answer(writer.into_bytes())
    }
}

/// What the broker does about a request.
pub(crate) enum Play {
    Answer(Vec<u8>),
    /// Closes the connection instead.
    HangUp,
    /// Says nothing, for ever.
    Ignore,
}

/// What the broker says about the cluster, and what it does about everything else.
struct Role {
    metadata: Box<dyn FnMut(u16) -> MetadataResponse<'static> + Send>,
    script: Box<dyn FnMut(&Asked) -> Play + Send>,
}

/// Starts playing; returns the address. Requests other than ApiVersions and Metadata go to the script.
pub(crate) async fn play(script: impl FnMut(&Asked) -> Play + Send + 'static) -> String {
    play_metadata(one_broker_and_one_topic, script).await
}

/// The same with other answers to Metadata; they are told the port that this broker listens on.
pub(crate) async fn play_metadata(
    metadata: impl FnMut(u16) -> MetadataResponse<'static> + Send + 'static,
    script: impl FnMut(&Asked) -> Play + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let role = Arc::new(Mutex::new(Role { metadata: Box::new(metadata), script: Box::new(script) }));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, address.port(), role.clone()));
        }
    });
    address.to_string()
}

impl Role {
    fn answer(&mut self, asked: &Asked, port: u16) -> Play {
        match asked.api_key {
            ApiKey::ApiVersions => asked.with(&every_version()),
            ApiKey::Metadata => asked.with(&(self.metadata)(port)),
            _ => (self.script)(asked),
        }
    }
}

async fn serve(mut stream: TcpStream, port: u16, role: Arc<Mutex<Role>>) {
    while let Ok(length) = stream.read_i32().await {
        let mut frame = vec![0; length as usize];
        stream.read_exact(&mut frame).await.expect("a whole frame");
        let mut reader = Reader::new(&frame);
        let header = RequestHeader::decode(&mut reader).expect("a header");
        let api_key = ApiKey::from_i16(header.api_key).expect("a known key");
        let asked = Asked { api_key, version: header.api_version, body: reader.rest().to_vec() };
        let play = role.lock().expect("no test has panicked").answer(&asked, port);
        let body = match play {
            Play::Answer(body) => body,
            Play::HangUp => return,
            Play::Ignore => continue,
        };
        let mut writer = Writer::frame(Vec::new());
        encode_response_header(&mut writer, api_key, header.api_version, header.correlation_id);
        writer.raw(&body);
        stream.write_all(&writer.finish().expect("a frame").bytes).await.expect("the client listens");
    }
}

fn every_version() -> ApiVersionsResponse<'static> {
    let served = |key: &ApiKey| ApiVersion {
        api_key: key.key(),
        min_version: *key.valid_versions().start(),
        max_version: *key.valid_versions().end(),
    };
    ApiVersionsResponse {
        api_keys: ApiKey::ALL.iter().map(served).collect(),
        ..ApiVersionsResponse::default()
    }
}

pub(crate) fn one_broker_and_one_topic(port: u16) -> MetadataResponse<'static> {
    let broker =
        MetadataResponseBroker { node_id: 1, host: "127.0.0.1".into(), port: port.into(), rack: None };
    let partition = MetadataResponsePartition {
        leader_id: 1,
        replica_nodes: vec![1],
        isr_nodes: vec![1],
        ..MetadataResponsePartition::default()
    };
    let topic = MetadataResponseTopic {
        name: Some("t".into()),
        topic_id: TopicId([7; 16]),
        partitions: vec![partition],
        ..MetadataResponseTopic::default()
    };
    MetadataResponse {
        brokers: vec![broker],
        controller_id: 1,
        topics: vec![topic],
        ..MetadataResponse::default()
    }
}
