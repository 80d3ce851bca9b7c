//! The operator's own metrics.
//!
//! kube-runtime exports none, so reconciliations, writes and admin calls are counted here. Every label
//! value comes from a closed set (kinds, verbs, reasons, results) or names a Cluster; nothing is labelled by
//! Topic, because there may be tens of thousands. Names after operator.md: `logspine_operator_*`.

use prometheus::core::Collector;
use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

const PREFIX: &str = "logspine_operator";

/// Handles to every metric. Clones share the same values.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    reconciliations: IntCounterVec,
    failed: IntCounterVec,
    steady: IntCounterVec,
    duration: HistogramVec,
    last_success: GaugeVec,
    api_writes: IntCounterVec,
    admin_calls: HistogramVec,
    admin_failed: IntCounterVec,
    resources: IntGaugeVec,
    not_ready: IntGaugeVec,
    paused: IntGaugeVec,
    brokers_desired: IntGaugeVec,
    brokers_ready: IntGaugeVec,
    conditions: IntGaugeVec,
    leader: IntGauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Fresh metrics in a registry of their own.
    pub fn new() -> Self {
        let metrics = Self {
            registry: Registry::new(),
            reconciliations: counter("reconciliations_total", "Passes, by kind.", &["kind"]),
            failed: counter(
                "reconciliations_failed_total",
                "Passes that ended in an error, by kind.",
                &["kind"],
            ),
            steady: counter(
                "reconcile_steady_state_total",
                "Passes that found nothing to do, by kind.",
                &["kind"],
            ),
            duration: histogram(
                "reconciliations_duration_seconds",
                "Duration of a pass, by kind.",
                &["kind"],
            ),
            last_success: last_success(),
            api_writes: counter(
                "api_writes_total",
                "Writes to the API server, without the operator's own Lease.",
                &["resource", "verb", "code"],
            ),
            admin_calls: histogram(
                "admin_call_duration_seconds",
                "Duration of a call to the brokers.",
                &["call"],
            ),
            admin_failed: counter("admin_calls_failed_total", "Calls to the brokers that failed.", &["call"]),
            resources: gauge("resources", "Custom resources seen.", &["kind", "namespace"]),
            not_ready: gauge(
                "resources_not_ready",
                "Custom resources that are not Ready, by reason.",
                &["kind", "namespace", "reason"],
            ),
            paused: gauge("resources_paused", "Custom resources that are paused.", &["kind", "namespace"]),
            brokers_desired: gauge(
                "brokers_desired",
                "Brokers that a Cluster wants.",
                &["namespace", "cluster"],
            ),
            brokers_ready: gauge(
                "brokers_ready",
                "Brokers of a Cluster that are ready.",
                &["namespace", "cluster"],
            ),
            conditions: gauge(
                "cluster_condition",
                "1 when the condition of the Cluster is True, 0 when it is False.",
                &["namespace", "cluster", "condition"],
            ),
            leader: IntGauge::with_opts(opts("leader", "1 when this process leads.")).expect(VALID),
        };
        metrics.register_all();
        metrics
    }

    fn register_all(&self) {
        let collectors: [Box<dyn Collector>; 15] = [
            Box::new(self.reconciliations.clone()),
            Box::new(self.failed.clone()),
            Box::new(self.steady.clone()),
            Box::new(self.duration.clone()),
            Box::new(self.last_success.clone()),
            Box::new(self.api_writes.clone()),
            Box::new(self.admin_calls.clone()),
            Box::new(self.admin_failed.clone()),
            Box::new(self.resources.clone()),
            Box::new(self.not_ready.clone()),
            Box::new(self.paused.clone()),
            Box::new(self.brokers_desired.clone()),
            Box::new(self.brokers_ready.clone()),
            Box::new(self.conditions.clone()),
            Box::new(self.leader.clone()),
        ];
        for collector in collectors {
            self.registry.register(collector).expect("each metric is registered once");
        }
    }

    /// A pass over an object of `kind` ended.
    pub fn reconciled(&self, kind: &str, seconds: f64, outcome: &Outcome, now_seconds: f64) {
        self.reconciliations.with_label_values(&[kind]).inc();
        self.duration.with_label_values(&[kind]).observe(seconds);
        match outcome {
            Outcome::Failed => self.failed.with_label_values(&[kind]).inc(),
            Outcome::Steady | Outcome::Changed => {
                self.last_success.with_label_values(&[kind]).set(now_seconds);
                if matches!(outcome, Outcome::Steady) {
                    self.steady.with_label_values(&[kind]).inc();
                }
            }
        }
    }

    /// A write reached the API server and was answered.
    pub fn api_write(&self, resource: &str, verb: &str, code: u16) {
        self.api_writes.with_label_values(&[resource, verb, &code.to_string()]).inc();
    }

    /// A call to the brokers ended.
    pub fn admin_call(&self, call: &str, seconds: f64, failed: bool) {
        self.admin_calls.with_label_values(&[call]).observe(seconds);
        if failed {
            self.admin_failed.with_label_values(&[call]).inc();
        }
    }

    /// This process leads, or no longer does.
    pub fn set_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// Replace everything that is said about the resources seen.
    pub fn set_resources(&self, census: &Census) {
        for gauge in [
            &self.resources,
            &self.not_ready,
            &self.paused,
            &self.brokers_desired,
            &self.brokers_ready,
            &self.conditions,
        ] {
            gauge.reset();
        }
        for seen in &census.resources {
            self.resources.with_label_values(&[seen.kind, &seen.namespace]).inc();
            if let Some(reason) = &seen.not_ready {
                self.not_ready.with_label_values(&[seen.kind, &seen.namespace, reason]).inc();
            }
            self.paused.with_label_values(&[seen.kind, &seen.namespace]).add(i64::from(seen.paused));
        }
        for brokers in &census.brokers {
            let labels = [brokers.namespace.as_str(), brokers.cluster.as_str()];
            self.brokers_desired.with_label_values(&labels).set(brokers.desired);
            self.brokers_ready.with_label_values(&labels).set(brokers.ready);
            for (condition, holds) in &brokers.conditions {
                self.conditions.with_label_values(&[labels[0], labels[1], condition]).set(i64::from(*holds));
            }
        }
    }

    /// Everything in Prometheus' text format.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::warn!(%error, "metrics could not be written");
        }
        text
    }
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing had to be written.
    Steady,
    /// Something was written.
    Changed,
    /// An error.
    Failed,
}

/// Everything that stands in the caches, counted when the metrics are scraped.
#[derive(Default)]
pub struct Census {
    /// One entry per custom resource.
    pub resources: Vec<Seen>,
    /// One entry per Cluster.
    pub brokers: Vec<Brokers>,
}

/// One custom resource.
pub struct Seen {
    /// Its kind.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// The reason, when it is not Ready.
    pub not_ready: Option<String>,
    /// Whether it is paused.
    pub paused: bool,
}

/// The brokers of one Cluster.
pub struct Brokers {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub cluster: String,
    /// Brokers wanted.
    pub desired: i64,
    /// Brokers ready.
    pub ready: i64,
    /// Conditions that are known, by type.
    pub conditions: Vec<(String, bool)>,
}

const VALID: &str = "names and labels are constants and valid";

fn counter(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(opts(name, help), labels).expect(VALID)
}

fn gauge(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    IntGaugeVec::new(opts(name, help), labels).expect(VALID)
}

fn histogram(name: &str, help: &str, labels: &[&str]) -> HistogramVec {
    HistogramVec::new(HistogramOpts::from(opts(name, help)), labels).expect(VALID)
}

fn last_success() -> GaugeVec {
    GaugeVec::new(opts("last_success_timestamp_seconds", "When a pass last succeeded, by kind."), &["kind"])
        .expect(VALID)
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("{PREFIX}_{name}"), help.to_owned())
}
