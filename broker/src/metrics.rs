//! What the broker counts, and the text that Prometheus scrapes.
//!
//! Process-wide counters and histograms are the `prometheus` crate's, with one cached child per API; series per
//! partition and per group are written at scrape straight from their owners' state, so that they cost nothing
//! in between and vanish with what they describe. Names are those of kafka_exporter and of the JMX exporter's
//! common rules, so that existing dashboards work. Called by `net/`, `api/` and `admin/`.

mod cleaner;
mod exposition;
pub mod families;
mod groups;
mod idle;
mod partitions;
mod process;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::error::ErrorCode;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};

use crate::api;
use crate::broker::Broker;

pub use cleaner::CleanerFigures;
pub use exposition::Exposition;
pub use idle::NetworkThreads;

/// Seconds: from the fastest answer to the longest poll.
const LATENCY_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The cached children of one API.
struct ApiMetrics {
    key: ApiKey,
    requests: IntCounter,
    latency: Histogram,
}

pub struct Metrics {
    registry: Registry,
    /// Indexed by API key.
    apis: Vec<Option<ApiMetrics>>,
    errors: IntCounterVec,
    connections: IntGauge,
    connections_opened: IntCounter,
    /// Connections closed for what they sent.
    pub refused_requests: IntCounter,
    response_bytes: IntCounter,
    sendfile_bytes: IntCounter,
    pub failed_produce_requests: IntCounter,
    pub failed_fetch_requests: IntCounter,
    pub scrub: ScrubMetrics,
    pub flush_rounds: IntCounter,
    pub flush_seconds: Histogram,
    pub cleaner: CleanerFigures,
    /// Known once they run.
    pub network_threads: OnceLock<NetworkThreads>,
}

/// What the scrubber counts.
#[derive(Clone)]
pub struct ScrubMetrics {
    pub bytes: IntCounter,
    pub passes: IntCounter,
    /// Of the pass that is under way.
    pub pass_bytes: IntGauge,
}

/// One open connection; counted until dropped.
pub struct CountedConnection(IntGauge);

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

const VALID: &str = "metric names and labels are constants and valid";

/// Name and help of a family of the table.
fn opts(name: &str) -> Opts {
    let family = families::family(name);
    Opts::new(family.name, family.help)
}

fn histogram_opts(name: &str) -> HistogramOpts {
    HistogramOpts { common_opts: opts(name), buckets: LATENCY_BUCKETS.to_vec() }
}

fn counter(registry: &Registry, name: &str) -> IntCounter {
    let counter = IntCounter::with_opts(opts(name)).expect(VALID);
    registry.register(Box::new(counter.clone())).expect(VALID);
    counter
}

fn gauge(registry: &Registry, name: &str) -> IntGauge {
    let gauge = IntGauge::with_opts(opts(name)).expect(VALID);
    registry.register(Box::new(gauge.clone())).expect(VALID);
    gauge
}

fn api_metrics(registry: &Registry) -> Vec<Option<ApiMetrics>> {
    let requests =
        IntCounterVec::new(opts("kafka_network_requestmetrics_requests_total"), &["request"]).expect(VALID);
    let latency =
        HistogramVec::new(histogram_opts("kafka_network_requestmetrics_total_time_seconds"), &["request"])
            .expect(VALID);
    registry.register(Box::new(requests.clone())).expect(VALID);
    registry.register(Box::new(latency.clone())).expect(VALID);
    let last = api::SERVED.iter().map(|row| row.key.key()).max().unwrap_or(0);
    let child = |key: i16| {
        let row = api::SERVED.iter().find(|row| row.key.key() == key)?;
        Some(ApiMetrics {
            key: row.key,
            requests: requests.with_label_values(&[row.name]),
            latency: latency.with_label_values(&[row.name]),
        })
    };
    (0..=last).map(child).collect()
}

impl Metrics {
    pub fn new() -> Metrics {
        let registry = Registry::new();
        let errors =
            IntCounterVec::new(opts("kafka_network_requestmetrics_errors_total"), &["request", "error"])
                .expect(VALID);
        registry.register(Box::new(errors.clone())).expect(VALID);
        let connections = gauge(&registry, "kafka_server_socketservermetrics_connection_count");
        let flush_seconds =
            Histogram::with_opts(histogram_opts("kafka_log_logflushstats_flush_time_seconds")).expect(VALID);
        registry.register(Box::new(flush_seconds.clone())).expect(VALID);
        let count = |name: &str| counter(&registry, name);
        Metrics {
            apis: api_metrics(&registry),
            errors,
            connections,
            connections_opened: count("kafka_server_socketservermetrics_connection_creation_total"),
            refused_requests: count("kafka_network_refused_requests_total"),
            response_bytes: count("kafka_network_response_bytes_total"),
            sendfile_bytes: count("kafka_network_sendfile_bytes_total"),
            failed_produce_requests: count("kafka_server_brokertopicmetrics_failedproducerequests_total"),
            failed_fetch_requests: count("kafka_server_brokertopicmetrics_failedfetchrequests_total"),
            scrub: ScrubMetrics {
                bytes: count("logspine_scrub_bytes_total"),
                passes: count("logspine_scrub_passes_total"),
                pass_bytes: gauge(&registry, "logspine_scrub_pass_bytes"),
            },
            flush_rounds: count("kafka_log_logflushstats_rounds_total"),
            flush_seconds,
            cleaner: CleanerFigures::default(),
            network_threads: OnceLock::new(),
            registry,
        }
    }

    /// Counts a request whose answer was handed to the socket, or that ended its connection.
    pub fn request_done(&self, key: ApiKey, latency: Duration) {
        if let Some(Some(api)) = usize::try_from(key.key()).ok().and_then(|key| self.apis.get(key)) {
            api.requests.inc();
            api.latency.observe(latency.as_secs_f64());
        }
    }

    /// Counts a code that stands in an answer, unless it says that there is no error.
    pub fn error(&self, key: ApiKey, code: i16) {
        if code != ErrorCode::None.code() {
            let code = ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError);
            self.errors.with_label_values(&[key.name(), code.name()]).inc();
        }
    }

    pub fn bytes_sent(&self, bytes: u64, by_sendfile: u64) {
        self.response_bytes.inc_by(bytes);
        self.sendfile_bytes.inc_by(by_sendfile);
    }

    pub fn connection_opened(&self) -> CountedConnection {
        self.connections_opened.inc();
        self.connections.inc();
        CountedConnection(self.connections.clone())
    }

    fn requests_of(&self, key: ApiKey) -> u64 {
        self.apis.iter().flatten().find(|api| api.key == key).map_or(0, |api| api.requests.get())
    }

    /// The whole page. `broker` is `None` until the broker serves; then only process figures are known.
    pub fn render(&self, broker: Option<&Arc<Broker>>) -> String {
        let mut bytes = Vec::with_capacity(64 * 1024);
        let families = self.registry.gather();
        TextEncoder::new().encode(&families, &mut bytes).expect("writing into memory does not fail");
        let mut page = Exposition::after(String::from_utf8(bytes).expect("the encoder writes UTF-8"));
        process::write(&mut page);
        self.cleaner.write(&mut page);
        if let Some(threads) = self.network_threads.get() {
            threads.write(&mut page, Instant::now());
        }
        #[cfg(feature = "count-allocations")]
        write_allocations(&mut page);
        page.family("kafka_server_brokertopicmetrics_totalproducerequests_total");
        page.sample(&[], self.requests_of(ApiKey::Produce));
        page.family("kafka_server_brokertopicmetrics_totalfetchrequests_total");
        page.sample(&[], self.requests_of(ApiKey::Fetch));
        if let Some(broker) = broker {
            partitions::write(&mut page, broker);
            groups::write(&mut page, broker);
        }
        page.finish()
    }
}

/// Only in a build that counts them.
#[cfg(feature = "count-allocations")]
fn write_allocations(page: &mut Exposition) {
    let (allocations, bytes) = crate::allocation_count::read();
    page.family("logspine_allocations_total");
    page.sample(&[], allocations);
    page.family("logspine_allocated_bytes_total");
    page.sample(&[], bytes);
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}
