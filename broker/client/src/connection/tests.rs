//! A connection against a broker that is played by the test: every byte it sends is the test's own.

use tokio::net::TcpListener;
use tokio::sync::mpsc;

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::frame::{RequestHeader, encode_response_header};
use logspine_protocol::messages::api_versions::ApiVersion;
use logspine_protocol::messages::metadata::{MetadataRequest, MetadataResponse};
use logspine_protocol::wire::{Reader, Writer};

use super::*;

const LIMIT: Duration = Duration::from_secs(5);

/// The broker's side of one connection.
struct PlayedBroker {
    stream: TcpStream,
}

struct Asked {
    api_key: i16,
    version: i16,
    correlation_id: i32,
}

impl PlayedBroker {
    async fn read(&mut self) -> Asked {
        let length = self.stream.read_i32().await.expect("a length");
        let mut frame = vec![0; length as usize];
        self.stream.read_exact(&mut frame).await.expect("a frame");
        let header = RequestHeader::decode(&mut Reader::new(&frame)).expect("a header");
        assert_eq!(header.client_id, Some("logspine-client"));
        Asked { api_key: header.api_key, version: header.api_version, correlation_id: header.correlation_id }
    }

    async fn answer<'a, M: Message<'a>>(&mut self, asked: &Asked, version: i16, message: &M) {
        let mut writer = Writer::frame(Vec::new());
        let api_key = ApiKey::from_i16(asked.api_key).expect("a known key");
        encode_response_header(&mut writer, api_key, asked.version, asked.correlation_id);
        message.encode(&mut writer, version).expect("an answer");
        self.send(&writer.finish().expect("a frame").bytes).await;
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the client listens");
    }

    /// Answers the first exchange: ApiVersions at its highest version, Metadata at 0 to 12.
    async fn agree(&mut self) {
        let asked = self.read().await;
        assert_eq!((asked.api_key, asked.version), (ApiKey::ApiVersions.key(), 4));
        self.answer(&asked, 4, &versions()).await;
    }
}

fn versions() -> ApiVersionsResponse<'static> {
    let served =
        |api_key: ApiKey, max_version| ApiVersion { api_key: api_key.key(), min_version: 0, max_version };
    let api_keys = vec![served(ApiKey::ApiVersions, 3), served(ApiKey::Metadata, 12)];
    ApiVersionsResponse { api_keys, ..ApiVersionsResponse::default() }
}

/// A listener whose first connection is handed to the test.
async fn listen() -> (String, mpsc::Receiver<PlayedBroker>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let _ = sender.send(PlayedBroker { stream }).await;
    });
    (address, receiver)
}

/// An open connection and its broker.
async fn connected(config: ClientConfig) -> (Arc<Connection>, PlayedBroker) {
    let (address, mut brokers) = listen().await;
    let broker = async {
        let mut broker = brokers.recv().await.expect("a connection");
        broker.agree().await;
        broker
    };
    let (connection, broker) = tokio::join!(Connection::open(&address, &config), broker);
    (Arc::new(connection.expect("agreed")), broker)
}

fn cluster(id: &str) -> MetadataResponse<'static> {
    MetadataResponse { cluster_id: Some(id.to_owned().into()), ..MetadataResponse::default() }
}

async fn ask(connection: &Connection) -> Result<Option<String>, ClientError> {
    let reply = connection.call(&MetadataRequest::default(), LIMIT).await?;
    Ok(reply.decode::<MetadataResponse<'_>>()?.cluster_id.map(|id| id.into_owned()))
}

fn reason(error: ClientError) -> String {
    match error {
        ClientError::Disconnected { reason, .. } => reason.to_string(),
        other => panic!("not a lost connection: {other}"),
    }
}

#[tokio::test]
async fn pipelined_calls_get_their_own_answers() {
    let (connection, mut broker) = connected(ClientConfig::default()).await;
    let play = async {
        let asked = [broker.read().await, broker.read().await, broker.read().await];
        for (asked, id) in asked.iter().zip(["a", "b", "c"]) {
            assert_eq!(asked.version, 12);
            broker.answer(asked, 12, &cluster(id)).await;
        }
    };
    let (a, b, c, ()) = tokio::join!(ask(&connection), ask(&connection), ask(&connection), play);
    assert_eq!([a.unwrap(), b.unwrap(), c.unwrap()], ["a", "b", "c"].map(|id| Some(id.to_owned())));
}

#[tokio::test]
async fn a_broker_too_old_for_our_api_versions_is_asked_again_in_its_own() {
    let (address, mut brokers) = listen().await;
    let play = async {
        let mut broker = brokers.recv().await.expect("a connection");
        let asked = broker.read().await;
        let refusal = ApiVersionsResponse { error_code: ErrorCode::UnsupportedVersion.code(), ..versions() };
        broker.answer(&asked, 0, &refusal).await;
        let again = broker.read().await;
        assert_eq!(again.version, 3);
        broker.answer(&again, 3, &versions()).await;
        broker
    };
    let (connection, _broker) =
        tokio::join!(async { Connection::open(&address, &ClientConfig::default()).await }, play);
    assert_eq!(connection.unwrap().version_of::<MetadataRequest<'_>>(i16::MAX).unwrap(), 12);
}

#[tokio::test]
async fn an_api_that_the_broker_does_not_serve_is_refused_without_a_word_to_it() {
    use logspine_protocol::messages::delete_groups::DeleteGroupsRequest;
    let (connection, _broker) = connected(ClientConfig::default()).await;
    let refused = connection.call(&DeleteGroupsRequest::default(), LIMIT).await.unwrap_err();
    assert!(matches!(refused, ClientError::NoCommonVersion { api: "DeleteGroupsRequest", .. }), "{refused}");
}

#[tokio::test]
async fn a_wrong_correlation_id_ends_the_connection_for_everybody_who_waits() {
    let (connection, mut broker) = connected(ClientConfig::default()).await;
    let play = async {
        let first = broker.read().await;
        broker.read().await;
        broker.answer(&Asked { correlation_id: 77, ..first }, 12, &cluster("a")).await;
    };
    let (a, b, ()) = tokio::join!(ask(&connection), ask(&connection), play);
    for error in [a.unwrap_err(), b.unwrap_err()] {
        assert!(reason(error).contains("correlation id 77"));
    }
    assert!(connection.is_closed());
    assert!(ask(&connection).await.is_err());
}

#[tokio::test]
async fn an_answer_above_the_limit_ends_the_connection_before_it_is_read() {
    let config = ClientConfig { max_response_bytes: 1000, ..ClientConfig::default() };
    let (connection, mut broker) = connected(config).await;
    let play = async {
        broker.read().await;
        broker.send(&1001_i32.to_be_bytes()).await;
    };
    let (asked, ()) = tokio::join!(ask(&connection), play);
    assert!(reason(asked.unwrap_err()).contains("1001 bytes, the limit is 1000"));
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_not_taken_for_a_short_one() {
    let (connection, mut broker) = connected(ClientConfig::default()).await;
    let play = async {
        broker.read().await;
        broker.send(&[0, 0, 0, 100, 0, 0, 0, 2, 9, 9]).await;
        drop(broker);
    };
    let (asked, ()) = tokio::join!(ask(&connection), play);
    assert!(reason(asked.unwrap_err()).contains("after 6 of 100 bytes"));
}

#[tokio::test]
async fn a_request_without_an_answer_costs_the_connection_after_its_time() {
    let (connection, mut broker) = connected(ClientConfig::default()).await;
    let request = MetadataRequest::default();
    let call = connection.call(&request, Duration::from_millis(50));
    let (asked, _) = tokio::join!(call, broker.read());
    assert!(matches!(asked.unwrap_err(), ClientError::Timeout { api: "MetadataRequest", .. }));
    assert!(connection.is_closed());
}

#[tokio::test]
async fn a_caller_that_gives_up_does_not_shift_the_answers_of_the_others() {
    let (connection, mut broker) = connected(ClientConfig::default()).await;
    {
        let mut given_up = std::pin::pin!(ask(&connection));
        tokio::select! {
            biased;
            _ = &mut given_up => panic!("nothing has answered"),
            asked = broker.read() => {
                assert_eq!(asked.correlation_id, 2);
                broker.answer(&asked, 12, &cluster("nobody's")).await;
            }
        }
    }
    let play = async {
        let asked = broker.read().await;
        broker.answer(&asked, 12, &cluster("mine")).await;
    };
    let (asked, ()) = tokio::join!(ask(&connection), play);
    assert_eq!(asked.unwrap(), Some("mine".to_owned()));
}

#[tokio::test]
async fn no_more_requests_wait_for_answers_than_allowed() {
    let (connection, mut broker) =
        connected(ClientConfig { max_in_flight: 1, ..ClientConfig::default() }).await;
    let mut second = std::pin::pin!(async { (ask(&connection).await, ask(&connection).await) });
    let both = tokio::join!(ask(&connection), &mut second, async {
        for id in ["a", "b", "c"] {
            let asked = broker.read().await;
            // Nothing else may have been sent while this one waits.
            assert_eq!(
                broker.stream.try_read(&mut [0; 1]).unwrap_err().kind(),
                std::io::ErrorKind::WouldBlock
            );
            broker.answer(&asked, 12, &cluster(id)).await;
        }
    });
    assert!(both.0.is_ok() && both.1.0.is_ok() && both.1.1.is_ok());
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let refused = Connection::open(&address, &ClientConfig::default()).await.unwrap_err();
    assert!(refused.to_string().contains(&address), "{refused}");
    assert!(refused.is_unreachable() && refused.is_retriable());
}
