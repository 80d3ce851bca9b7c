//! The client: finds brokers, keeps what it learns about the cluster, sends calls to who can answer them.
//!
//! Cheap to clone; clones share metadata. `with_own_connections` gives a clone that shares metadata only: a
//! broker answers one connection's requests in order, so whoever sends requests that wait (a long-polling
//! Fetch, a JoinGroup) must not hold up others. Retries: `retrying` repeats what may succeed, until the
//! deadline; what it repeats must be safe to repeat.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic,
};
use logspine_protocol::types::BrokerId;
use logspine_protocol::wire::Message;

use crate::admin::Admin;
use crate::config::ClientConfig;
use crate::connection::Connection;
use crate::connections::Connections;
use crate::consumer::{Consumer, ConsumerConfig};
use crate::error::ClientError;
use crate::group::{GroupConfig, GroupConsumer};
use crate::metadata::{ClusterView, Metadata, TopicDescription};
use crate::producer::{Producer, ProducerConfig};
use crate::reply::Reply;
use crate::retry::Backoff;

/// A client of one cluster.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
    connections: Arc<Connections>,
}

#[derive(Debug)]
struct Shared {
    config: ClientConfig,
    metadata: Metadata,
    /// Where the search for a broker that answers begins; moves on when one does not.
    first_candidate: AtomicUsize,
}

impl Client {
    /// Finds the cluster: returns once one broker has described it, or when `api_timeout` has passed.
    pub async fn connect(config: ClientConfig) -> Result<Self, ClientError> {
        if config.bootstrap.is_empty() {
            return Err(ClientError::Invalid(
                "the bootstrap list is empty: give host:port of a broker".into(),
            ));
        }
        if config.max_in_flight == 0 {
            return Err(ClientError::Invalid("max_in_flight must be at least 1".into()));
        }
        let shared = Shared { config, metadata: Metadata::default(), first_candidate: AtomicUsize::new(0) };
        let client = Self { shared: Arc::new(shared), connections: Arc::default() };
        client.retrying(|| client.fetch_metadata(Some(&[]))).await?;
        Ok(client)
    }

    /// The settings this client was made with.
    pub fn config(&self) -> &ClientConfig {
        &self.shared.config
    }

    /// A client of the same cluster and metadata whose waiting requests hold up nobody else's.
    pub fn with_own_connections(&self) -> Self {
        Self { shared: self.shared.clone(), connections: Arc::default() }
    }

    /// Administration: topics, configs, groups, offsets.
    pub fn admin(&self) -> Admin {
        Admin::new(self.clone())
    }

    /// A producer, idempotent and with acks=all unless told otherwise.
    pub fn producer(&self, config: ProducerConfig) -> Result<Producer, ClientError> {
        Producer::new(self.with_own_connections(), config)
    }

    /// A consumer of partitions that the caller chooses.
    pub fn consumer(&self, config: ConsumerConfig) -> Consumer {
        Consumer::new(self.with_own_connections(), config)
    }

    /// A consumer that shares the partitions of its topics with the other members of its group.
    pub fn group_consumer(&self, group: GroupConfig, config: ConsumerConfig) -> GroupConsumer {
        GroupConsumer::new(self.with_own_connections(), group, config)
    }

    // ---- calls ----

    /// Sends one request to this broker and waits for the answer. One attempt.
    pub async fn call<'a, M: Message<'a>>(
        &self,
        broker: BrokerId,
        request: &M,
    ) -> Result<Reply, ClientError> {
        self.connection(broker).await?.call(request, self.shared.config.request_timeout).await
    }

    /// The same to any broker that accepts a connection.
    pub async fn call_any<'a, M: Message<'a>>(&self, request: &M) -> Result<Reply, ClientError> {
        self.any_connection().await?.call(request, self.shared.config.request_timeout).await
    }

    /// The same for changes of metadata, to the controller as far as it is known. Every broker of a KRaft
    /// cluster forwards them, so any broker will do otherwise.
    pub async fn call_controller<'a, M: Message<'a>>(&self, request: &M) -> Result<Reply, ClientError> {
        self.controller_connection().await?.call(request, self.shared.config.request_timeout).await
    }

    pub(crate) async fn controller_connection(&self) -> Result<Arc<Connection>, ClientError> {
        match self.view().controller {
            Some(controller) => self.connection(controller).await,
            None => self.any_connection().await,
        }
    }

    /// An open connection to this broker, wherever it listens by now.
    pub(crate) async fn connection(&self, broker: BrokerId) -> Result<Arc<Connection>, ClientError> {
        let unknown = ClientError::UnknownBroker { id: broker.0 };
        let Some(address) = self.address_of(broker) else {
            self.fetch_metadata(Some(&[])).await?;
            let address = self.address_of(broker).ok_or(unknown)?;
            return self.connections.to(&address, &self.shared.config).await;
        };
        let unreachable = match self.connections.to(&address, &self.shared.config).await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        // Restarted elsewhere, as pods are? The others know.
        let moved = match self.fetch_metadata(Some(&[])).await {
            Ok(_) => self.address_of(broker).filter(|now| *now != address),
            Err(_) => None,
        };
        match moved {
            Some(now) => self.connections.to(&now, &self.shared.config).await,
            None => Err(unreachable),
        }
    }

    fn address_of(&self, broker: BrokerId) -> Option<String> {
        self.view().brokers.get(&broker).map(|endpoint| endpoint.address())
    }

    /// An open connection to some broker: those known from metadata first, then the bootstrap list.
    pub(crate) async fn any_connection(&self) -> Result<Arc<Connection>, ClientError> {
        let candidates = self.candidates();
        let first = self.shared.first_candidate.load(Ordering::Relaxed);
        let mut last = None;
        for step in 0..candidates.len() {
            let at = (first + step) % candidates.len();
            match self.connections.to(&candidates[at], &self.shared.config).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = Some(error),
            }
            self.shared.first_candidate.store(at + 1, Ordering::Relaxed);
        }
        let last = Box::new(last.expect("the bootstrap list is not empty, see connect"));
        Err(ClientError::NoBrokerAnswers { addresses: candidates.join(", "), last })
    }

    fn candidates(&self) -> Vec<String> {
        let mut candidates: Vec<_> = self.view().brokers.values().map(|broker| broker.address()).collect();
        for address in &self.shared.config.bootstrap {
            if !candidates.contains(address) {
                candidates.push(address.clone());
            }
        }
        candidates
    }

    /// Repeats an attempt until it succeeds, fails for good, or `api_timeout` has passed.
    pub(crate) async fn retrying<T, F, Fut>(&self, attempt: F) -> Result<T, ClientError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, ClientError>>,
    {
        let mut backoff = Backoff::new(&self.shared.config);
        loop {
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => {
                    let controller_moved = error.code() == Some(ErrorCode::NotController);
                    backoff.pause(error).await?;
                    if controller_moved {
                        // Should nobody tell who it is now, the next attempt says what is wrong.
                        let _ = self.fetch_metadata(Some(&[])).await;
                    }
                }
            }
        }
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.shared.config.request_timeout
    }

    pub(crate) fn request_timeout_ms(&self) -> i32 {
        i32::try_from(self.shared.config.request_timeout.as_millis()).unwrap_or(i32::MAX)
    }

    // ---- metadata ----

    /// The cluster as last seen; topics appear in it once somebody asked about them.
    pub fn view(&self) -> Arc<ClusterView> {
        self.shared.metadata.view()
    }

    /// This topic, from memory if it was asked for within `metadata_max_age`.
    pub async fn topic(&self, name: &str) -> Result<Arc<TopicDescription>, ClientError> {
        self.retrying(|| self.topic_once(name)).await
    }

    /// The same with a single attempt, for loops that have their own deadline.
    pub(crate) async fn topic_once(&self, name: &str) -> Result<Arc<TopicDescription>, ClientError> {
        let max_age = self.shared.config.metadata_max_age;
        if let Some(known) = self.shared.metadata.topic(name, max_age) {
            return Ok(known);
        }
        let _only_one = self.shared.metadata.refreshing.lock().await;
        if let Some(known) = self.shared.metadata.topic(name, max_age) {
            return Ok(known);
        }
        let mut described = self.fetch_metadata(Some(&[name])).await?;
        described
            .pop()
            .unwrap_or_else(|| Err(ClientError::Invalid(format!("topic {name} was not described"))))
    }

    /// Every topic that this client may see, asked anew.
    pub async fn all_topics(&self) -> Result<Vec<Arc<TopicDescription>>, ClientError> {
        let described = self.retrying(|| self.fetch_metadata(None)).await?;
        described.into_iter().collect()
    }

    /// These topics, asked anew, each with its own outcome.
    pub async fn topics(
        &self,
        names: &[&str],
    ) -> Result<Vec<Result<Arc<TopicDescription>, ClientError>>, ClientError> {
        self.retrying(|| self.fetch_metadata(Some(names))).await
    }

    /// What was remembered about the topic proved wrong.
    pub(crate) fn forget(&self, wrong: &Arc<TopicDescription>) {
        self.shared.metadata.forget(wrong);
    }

    pub(crate) fn forget_topic(&self, name: &str) {
        self.shared.metadata.forget_topic(name);
    }

    /// Asks any broker about these topics (`None`: all of them; empty: the brokers only) and remembers it.
    async fn fetch_metadata(
        &self,
        topics: Option<&[&str]>,
    ) -> Result<Vec<Result<Arc<TopicDescription>, ClientError>>, ClientError> {
        let topic = |name: &&str| MetadataRequestTopic {
            name: Some((*name).to_owned().into()),
            ..Default::default()
        };
        let request = MetadataRequest {
            topics: topics.map(|names| names.iter().map(topic).collect()),
            // A typing mistake must not create a topic.
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let reply = self.call_any(&request).await?;
        let response = reply.decode::<MetadataResponse<'_>>()?;
        reply.check(response.error_code, "cluster metadata", None)?;
        let describe = |topic: &MetadataResponseTopic<'_>| {
            let name = topic.name.as_deref().unwrap_or_default();
            reply.check(topic.error_code, &format!("topic {name}"), None)?;
            Ok(Arc::new(TopicDescription::from_response(topic)))
        };
        let described: Vec<Result<_, ClientError>> = response.topics.iter().map(describe).collect();
        self.shared.metadata.absorb(&response, described.iter().flatten());
        let candidates = self.candidates();
        self.connections.retain(|address| candidates.iter().any(|candidate| candidate == address));
        Ok(described)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_send<T: Send>(_: &T) {}

    /// The operator awaits these on a runtime that moves tasks between threads.
    #[tokio::test]
    async fn calls_may_be_awaited_on_any_thread() {
        let address = crate::played_broker::play(|asked| panic!("unexpected {}", asked.api_key.name())).await;
        let client = Client::connect(ClientConfig::new(&address)).await.expect("the played broker answers");
        let admin = client.admin();
        is_send(&admin.create_topic("t", 1, 1, &Default::default(), false));
        is_send(&admin.list_offsets(&Default::default()));
        is_send(&admin.group_offsets("g"));
        is_send(&admin.alter_group_offsets("g", &Default::default()));
        is_send(&client.producer(ProducerConfig::default()).expect("valid").flush());
        is_send(&client.consumer(ConsumerConfig::default()).poll(Duration::ZERO));
        is_send(
            &client
                .group_consumer(GroupConfig::new("g", ["t"]), ConsumerConfig::default())
                .poll(Duration::ZERO),
        );
    }

    #[tokio::test]
    async fn a_dead_bootstrap_address_is_passed_over() {
        let address = crate::played_broker::play(|asked| panic!("unexpected {}", asked.api_key.name())).await;
        let dead =
            tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound");
        let client = Client::connect(ClientConfig::new(&format!("{dead},{address}"))).await;
        assert_eq!(client.expect("the second answers").view().brokers.len(), 1);
    }

    #[tokio::test]
    async fn a_broker_that_moved_is_found_where_it_listens_now() {
        let gone =
            tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound");
        let mut told = vec![None, Some(gone.port())];
        let metadata =
            move |port| crate::played_broker::one_broker_and_one_topic(told.pop().flatten().unwrap_or(port));
        let never = |asked: &crate::played_broker::Asked| panic!("unexpected {}", asked.api_key.name());
        let address = crate::played_broker::play_metadata(metadata, never).await;
        let client = Client::connect(ClientConfig::new(&address)).await.expect("the played broker answers");
        assert_eq!(client.view().brokers[&BrokerId(1)].port, gone.port());
        client.connection(BrokerId(1)).await.expect("asked again where it is");
        assert_eq!(client.view().brokers[&BrokerId(1)].address(), address);
    }

    #[tokio::test]
    async fn a_controller_that_moved_is_asked_for() {
        use crate::played_broker::{one_broker_and_one_topic, play_metadata};
        use logspine_protocol::messages::create_topics::{CreatableTopicResult, CreateTopicsResponse};
        // The second answer to Metadata must come before the second attempt, or it would be refused for ever.
        let asked_for = Arc::new(AtomicUsize::new(0));
        let (counted, seen) = (asked_for.clone(), asked_for);
        let metadata = move |port| {
            counted.fetch_add(1, Ordering::Relaxed);
            one_broker_and_one_topic(port)
        };
        let address = play_metadata(metadata, move |asked| {
            let code =
                if seen.load(Ordering::Relaxed) < 2 { ErrorCode::NotController } else { ErrorCode::None };
            let topic =
                CreatableTopicResult { name: "t".into(), error_code: code.code(), ..Default::default() };
            asked.with(&CreateTopicsResponse { topics: vec![topic], ..Default::default() })
        })
        .await;
        let config = ClientConfig { api_timeout: Duration::from_secs(5), ..ClientConfig::new(&address) };
        let client = Client::connect(config).await.expect("the played broker answers");
        client.admin().create_topic("t", 1, 1, &Default::default(), false).await.expect("asked again");
    }

    #[tokio::test]
    async fn when_nobody_answers_every_address_is_named() {
        let config =
            ClientConfig { api_timeout: Duration::ZERO, ..ClientConfig::new("127.0.0.1:1,127.0.0.1:2") };
        let error = Client::connect(config).await.expect_err("nobody listens there").to_string();
        assert!(error.starts_with("no broker answers at 127.0.0.1:1, 127.0.0.1:2: "), "{error}");
    }
}
