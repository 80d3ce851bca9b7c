//! The broker's configuration: defaults, a `server.properties` file, `--override` and `--data-dir` on top.
//!
//! Without a file everything is on loopback: PLAINTEXT://127.0.0.1:9092, data in ./data, admin HTTP on
//! 127.0.0.1:9644. With a file Kafka's defaults count, and admin HTTP opens only where `admin.listeners` is
//! set. Keys that would weaken security if ignored stop the start; unknown keys warn. Values never reach a
//! log. Loaded once by `main.rs`; read by everybody. Kafka: KafkaConfig, KRaftConfigs, SocketServerConfigs.

mod admin_listener;
mod listeners;
mod memory;
pub mod properties;
mod roles;
mod security;
pub mod values;

use std::path::PathBuf;

use logspine_cluster::metadata::configs::broker_key;
use sha2::{Digest, Sha256};
use thiserror::Error;

pub use listeners::{Listener, ListenerName};
pub use properties::Properties;
use values::{boolean, list, number, text};

/// Why a configuration is refused. Each is one sentence for the person at the terminal.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{key}={value} is not valid: expected {expected}")]
    Invalid { key: String, value: String, expected: String },
    #[error("{key} stops the start: {why}")]
    Security { key: String, why: String },
    #[error("{key} stops the start: {why}")]
    NotSupported { key: String, why: String },
}

impl ConfigError {
    pub(crate) fn invalid(key: &str, value: &str, expected: impl Into<String>) -> ConfigError {
        ConfigError::Invalid { key: key.to_owned(), value: value.to_owned(), expected: expected.into() }
    }

    pub(crate) fn security(key: &str, why: impl Into<String>) -> ConfigError {
        ConfigError::Security { key: key.to_owned(), why: why.into() }
    }

    pub(crate) fn not_supported(key: &str, why: impl Into<String>) -> ConfigError {
        ConfigError::NotSupported { key: key.to_owned(), why: why.into() }
    }
}

/// What the command line says about configuration.
#[derive(Debug, Clone, Default)]
pub struct ConfigSources {
    pub file: Option<PathBuf>,
    pub data_dir: Option<PathBuf>,
    /// `key=value`, later ones win; stronger than the file.
    pub overrides: Vec<(String, String)>,
}

/// Sockets and memory.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    pub socket_request_max_bytes: u32,
    /// Memory of all request buffers together. Kafka's key; the default is a quarter of the memory limit.
    pub queued_max_request_bytes: u64,
    /// -1 = never.
    pub connections_max_idle_ms: i64,
    /// `connections.max.stall.ms`: how long half a request may hold memory without going on.
    pub connections_max_stall_ms: u64,
    pub max_connections: u32,
    pub max_connections_per_ip: u32,
}

/// Classic groups and their offsets.
#[derive(Debug, Clone)]
pub struct GroupConfig {
    pub min_session_timeout_ms: i32,
    pub max_session_timeout_ms: i32,
    pub initial_rebalance_delay_ms: i32,
    pub max_size: i32,
    pub offset_metadata_max_bytes: i32,
    pub offsets_topic_num_partitions: i32,
    /// Asked for; the number of brokers caps it.
    pub offsets_topic_replication_factor: i16,
    pub offsets_topic_segment_bytes: i32,
    pub offsets_retention_ms: i64,
    pub offsets_retention_check_interval_ms: i64,
}

/// What a topic gets that does not say otherwise, beside the synonyms of topic keys.
#[derive(Debug, Clone)]
pub struct TopicCreationConfig {
    pub num_partitions: i32,
    pub default_replication_factor: i16,
    pub auto_create_topics_enable: bool,
    pub delete_topic_enable: bool,
}

/// Background work of a data directory.
#[derive(Debug, Clone)]
pub struct LogDirConfig {
    pub retention_check_interval_ms: u64,
    pub flush_offset_checkpoint_interval_ms: u64,
    pub high_watermark_checkpoint_interval_ms: u64,
    pub num_recovery_threads: usize,
    pub producer_id_expiration_ms: i64,
    /// Room that what clients produce never takes.
    pub reserve_bytes: u64,
    pub cleaner: CleanerConfig,
}

/// Compaction.
#[derive(Debug, Clone, PartialEq)]
pub struct CleanerConfig {
    /// 0 = no compaction.
    pub threads: usize,
    /// Of all threads together.
    pub dedupe_buffer_bytes: u64,
    pub load_factor: f64,
    /// Of all threads together, read and written.
    pub io_max_bytes_per_second: f64,
    pub backoff_ms: u64,
}

/// Reads that go to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColdReadConfig {
    pub scrub: ScrubConfig,
    /// `fetch.replay.cache.bytes`.
    pub replay_cache_bytes: u64,
}

/// How the scrubber paces itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrubConfig {
    /// Every byte is read once in this time; 0 switches it off.
    pub interval_ms: u64,
    pub max_bytes_per_second: u64,
}

/// The whole configuration, checked.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    pub node_id: i32,
    /// Start is refused if the data directory belongs to another cluster. None = whatever it says, or a new one.
    pub cluster_id: Option<String>,
    pub rack: Option<String>,
    pub data_dir: PathBuf,
    pub listeners: Vec<Listener>,
    /// `host:port` of each admin HTTP socket.
    pub admin_listeners: Vec<String>,
    pub network: NetworkConfig,
    pub fetch_max_bytes: i32,
    pub fetch_session_slots: usize,
    pub topics: TopicCreationConfig,
    pub group: GroupConfig,
    pub log_dir: LogDirConfig,
    pub cold_reads: ColdReadConfig,
    /// At most this many consumer-group series are exported.
    pub lag_series_max: usize,
    /// First 16 hex digits of the SHA-256 of the file's bytes; empty without a file.
    pub file_hash: String,
    /// Everything that file and overrides set: the lowest layer of what DescribeConfigs shows.
    pub properties: Properties,
    /// Keys that nobody here knows. Logged once, without values.
    pub unknown_keys: Vec<String>,
}

const DAY_MS: i64 = 86_400_000;

impl BrokerConfig {
    /// Reads the file, if any, and puts the command line on top.
    pub fn load(sources: &ConfigSources) -> Result<BrokerConfig, ConfigError> {
        let mut file_hash = String::new();
        let mut properties = Properties::new();
        if let Some(path) = &sources.file {
            let bytes = std::fs::read(path)
                .map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?;
            file_hash = Sha256::digest(&bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            properties = properties::parse(&String::from_utf8_lossy(&bytes));
        }
        properties.extend(sources.overrides.iter().cloned());
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let mut config = BrokerConfig::from_properties(properties, sources.file.is_some(), &hostname)?;
        if let Some(data_dir) = &sources.data_dir {
            config.data_dir = data_dir.clone();
        }
        config.file_hash = file_hash;
        Ok(config)
    }

    /// Pure part of `load`.
    pub fn from_properties(
        properties: Properties,
        has_file: bool,
        hostname: &str,
    ) -> Result<BrokerConfig, ConfigError> {
        security::refuse_unprotected(&properties)?;
        let (default_listeners, default_admin) = match has_file {
            true => ("PLAINTEXT://:9092", ""),
            false => ("PLAINTEXT://127.0.0.1:9092", "http://127.0.0.1:9644"),
        };
        let node_id = roles::node_id(&properties)?;
        roles::require_combined(&properties, node_id)?;
        let unknown_keys = properties.keys().filter(|key| !is_known(key)).cloned().collect();
        Ok(BrokerConfig {
            node_id,
            cluster_id: text(&properties, "cluster.id").map(str::to_owned),
            rack: text(&properties, "broker.rack").map(str::to_owned),
            data_dir: data_dir(&properties)?,
            listeners: listeners::resolve(&properties, default_listeners, hostname)?,
            admin_listeners: admin_listener::resolve(&properties, default_admin)?,
            network: network(&properties)?,
            fetch_max_bytes: number(&properties, "fetch.max.bytes", 57_671_680, 1024..=i32::MAX)?,
            fetch_session_slots: number(
                &properties,
                "max.incremental.fetch.session.cache.slots",
                1000,
                0..=1_000_000,
            )?,
            topics: topic_creation(&properties)?,
            group: group(&properties)?,
            log_dir: log_dir(&properties)?,
            cold_reads: cold_reads(&properties)?,
            lag_series_max: number(&properties, "metrics.lag.series.max", 50_000, 0..=10_000_000)?,
            file_hash: String::new(),
            properties,
            unknown_keys,
        })
    }
}

/// Families of stock configuration files that have nothing to act on here.
const ACCEPTED_PREFIXES: &[&str] = &["replica.", "group.consumer.", "group.share.", "share.coordinator."];

/// Whether a key needs no warning: it stands in THE table of keys, or nothing could follow from it.
fn is_known(key: &str) -> bool {
    broker_key(key).is_some() || ACCEPTED_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// One directory for now. A second one is refused rather than left unused.
fn data_dir(properties: &Properties) -> Result<PathBuf, ConfigError> {
    let mut dirs = list(properties, "log.dirs");
    if dirs.is_empty() {
        dirs = list(properties, "log.dir");
    }
    match dirs.as_slice() {
        [] => Ok(PathBuf::from("./data")),
        [one] => Ok(PathBuf::from(one)),
        more => Err(ConfigError::not_supported(
            "log.dirs",
            format!("it names {} directories and this version keeps its data in one", more.len()),
        )),
    }
}

fn network(properties: &Properties) -> Result<NetworkConfig, ConfigError> {
    let request_max = number(properties, "socket.request.max.bytes", 104_857_600, 1024..=i32::MAX as u32)?;
    let pool_default: i64 = -1;
    let pool = number(properties, "queued.max.request.bytes", pool_default, -1..=i64::MAX)?;
    let pool = if pool <= 0 { memory::default_request_pool_bytes() } else { pool as u64 };
    Ok(NetworkConfig {
        socket_request_max_bytes: request_max,
        // One request of the largest size must fit, or it could never be read.
        queued_max_request_bytes: pool.max(u64::from(request_max)),
        connections_max_idle_ms: number(properties, "connections.max.idle.ms", 600_000, -1..=i64::MAX)?,
        connections_max_stall_ms: number(
            properties,
            "connections.max.stall.ms",
            30_000,
            1..=i64::MAX as u64,
        )?,
        max_connections: number(properties, "max.connections", i32::MAX as u32, 0..=i32::MAX as u32)?,
        max_connections_per_ip: number(
            properties,
            "max.connections.per.ip",
            i32::MAX as u32,
            0..=i32::MAX as u32,
        )?,
    })
}

fn topic_creation(properties: &Properties) -> Result<TopicCreationConfig, ConfigError> {
    Ok(TopicCreationConfig {
        num_partitions: number(properties, "num.partitions", 1, 1..=100_000)?,
        default_replication_factor: number(properties, "default.replication.factor", 1, 1..=i16::MAX)?,
        auto_create_topics_enable: boolean(properties, "auto.create.topics.enable", true)?,
        delete_topic_enable: boolean(properties, "delete.topic.enable", true)?,
    })
}

fn group(properties: &Properties) -> Result<GroupConfig, ConfigError> {
    let retention_minutes: i64 =
        number(properties, "offsets.retention.minutes", 10_080, 1..=i64::from(i32::MAX))?;
    Ok(GroupConfig {
        min_session_timeout_ms: number(properties, "group.min.session.timeout.ms", 6_000, 1..=i32::MAX)?,
        max_session_timeout_ms: number(properties, "group.max.session.timeout.ms", 1_800_000, 1..=i32::MAX)?,
        initial_rebalance_delay_ms: number(
            properties,
            "group.initial.rebalance.delay.ms",
            3_000,
            0..=i32::MAX,
        )?,
        max_size: number(properties, "group.max.size", i32::MAX, 1..=i32::MAX)?,
        offset_metadata_max_bytes: number(properties, "offset.metadata.max.bytes", 4_096, 0..=i32::MAX)?,
        offsets_topic_num_partitions: number(properties, "offsets.topic.num.partitions", 50, 1..=10_000)?,
        offsets_topic_replication_factor: number(
            properties,
            "offsets.topic.replication.factor",
            3,
            1..=i16::MAX,
        )?,
        offsets_topic_segment_bytes: number(
            properties,
            "offsets.topic.segment.bytes",
            104_857_600,
            1_048_576..=i32::MAX,
        )?,
        offsets_retention_ms: retention_minutes * 60_000,
        offsets_retention_check_interval_ms: number(
            properties,
            "offsets.retention.check.interval.ms",
            600_000,
            1..=i64::MAX,
        )?,
    })
}

fn log_dir(properties: &Properties) -> Result<LogDirConfig, ConfigError> {
    let interval =
        |key: &str, default: u64| number(properties, key, default, 1..=(36_500 * DAY_MS).unsigned_abs());
    Ok(LogDirConfig {
        retention_check_interval_ms: interval("log.retention.check.interval.ms", 300_000)?,
        flush_offset_checkpoint_interval_ms: interval("log.flush.offset.checkpoint.interval.ms", 60_000)?,
        high_watermark_checkpoint_interval_ms: interval(
            "replica.high.watermark.checkpoint.interval.ms",
            5_000,
        )?,
        num_recovery_threads: number(properties, "num.recovery.threads.per.data.dir", 2, 1..=256)?,
        producer_id_expiration_ms: number(properties, "producer.id.expiration.ms", DAY_MS, 1..=i64::MAX)?,
        reserve_bytes: number(properties, "log.disk.reserve.bytes", 16_777_216, 0..=1_u64 << 40)?,
        cleaner: cleaner(properties)?,
    })
}

fn cleaner(properties: &Properties) -> Result<CleanerConfig, ConfigError> {
    let threads = number(properties, "log.cleaner.threads", 1, 0..=256)?;
    Ok(CleanerConfig {
        threads: if boolean(properties, "log.cleaner.enable", true)? { threads } else { 0 },
        dedupe_buffer_bytes: number(
            properties,
            "log.cleaner.dedupe.buffer.size",
            32 << 20,
            1 << 20..=1 << 40,
        )?,
        load_factor: number(properties, "log.cleaner.io.buffer.load.factor", 0.9, 0.1..=0.99)?,
        io_max_bytes_per_second: number(
            properties,
            "log.cleaner.io.max.bytes.per.second",
            f64::MAX,
            1.0..=f64::MAX,
        )?,
        backoff_ms: number(properties, "log.cleaner.backoff.ms", 15_000, 0..=86_400_000)?,
    })
}

fn cold_reads(properties: &Properties) -> Result<ColdReadConfig, ConfigError> {
    Ok(ColdReadConfig {
        scrub: ScrubConfig {
            interval_ms: number(properties, "log.scrub.interval.ms", 604_800_000, 0..=i64::MAX as u64)?,
            max_bytes_per_second: number(
                properties,
                "log.scrub.max.bytes.per.second",
                16_777_216,
                1..=i64::MAX as u64,
            )?,
        },
        replay_cache_bytes: number(properties, "fetch.replay.cache.bytes", 268_435_456, 0..=i64::MAX as u64)?,
    })
}

#[cfg(test)]
mod tests;
