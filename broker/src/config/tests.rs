//! What a person may write into a configuration, and what the broker says to it.

use super::*;

fn load(text: &str) -> Result<BrokerConfig, ConfigError> {
    BrokerConfig::from_properties(properties::parse(text), true, "box.example")
}

#[test]
fn without_a_file_everything_is_on_loopback() {
    let config = BrokerConfig::from_properties(Properties::new(), false, "box").unwrap();
    assert_eq!(config.listeners[0].host, "127.0.0.1");
    assert_eq!(config.listeners[0].port, 9092);
    assert_eq!(config.admin_listeners, ["127.0.0.1:9644"]);
    assert_eq!(config.data_dir, PathBuf::from("./data"));
    assert!(config.unknown_keys.is_empty());
}

#[test]
fn with_a_file_admin_http_opens_only_where_the_file_says() {
    assert!(load("node.id=1").unwrap().admin_listeners.is_empty());
    let config = load("admin.listeners=http://0.0.0.0:9644").unwrap();
    assert_eq!(config.admin_listeners, ["0.0.0.0:9644"]);
}

#[test]
fn the_file_that_kafka_ships_for_combined_mode_starts_without_a_warning() {
    let config = load(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.bootstrap.servers=localhost:9093\n\
         listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n\
         advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL\n\
         num.network.threads=3\nnum.io.threads=8\nsocket.send.buffer.bytes=102400\n\
         socket.receive.buffer.bytes=102400\nsocket.request.max.bytes=104857600\n\
         log.dirs=/tmp/kraft-combined-logs\nnum.partitions=1\nnum.recovery.threads.per.data.dir=2\n\
         offsets.topic.replication.factor=1\nshare.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\ntransaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\nlog.retention.hours=168\nlog.segment.bytes=1073741824\n\
         log.retention.check.interval.ms=300000\n",
    )
    .unwrap();
    assert_eq!(config.node_id, 1);
    assert_eq!(config.data_dir, PathBuf::from("/tmp/kraft-combined-logs"));
    assert_eq!(config.unknown_keys, Vec::<String>::new());
}

#[test]
fn what_cannot_be_honoured_stops_the_start_in_words() {
    for (text, words) in [
        ("ssl.keystore.location=/k", "ssl.keystore.location"),
        ("listeners=SASL_SSL://:9092", "SASL_SSL"),
        ("log.dirs=/a,/b", "2 directories"),
        ("process.roles=broker", "broker,controller"),
        ("process.roles=broker,zookeeper", "zookeeper"),
        ("controller.quorum.voters=1@a:1,2@b:1", "2 voters"),
        ("node.id=3\ncontroller.quorum.voters=1@a:1", "node.id=3"),
        ("num.partitions=none", "num.partitions=none"),
        ("node.id=1\nbroker.id=2", "node.id=1"),
    ] {
        let sentence = load(text).expect_err(text).to_string();
        assert!(sentence.contains(words), "{sentence}");
    }
}

#[test]
fn unknown_keys_are_kept_for_one_warning_each() {
    assert_eq!(load("zookeeper.connect=z:2181").unwrap().unknown_keys, ["zookeeper.connect"]);
}

#[test]
fn the_hash_of_a_file_is_sixteen_hex_digits_and_follows_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("server.properties");
    let hash = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let sources = ConfigSources { file: Some(path.clone()), ..ConfigSources::default() };
        BrokerConfig::load(&sources).unwrap().file_hash
    };
    let first = hash("node.id=1\nlisteners=PLAINTEXT://127.0.0.1:9092\n");
    assert_eq!(first.len(), 16);
    assert_ne!(first, hash("node.id=1\nlisteners=PLAINTEXT://127.0.0.1:9093\n"));
}
