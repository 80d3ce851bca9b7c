//! The client of the API server, and the one place where every write passes.
//!
//! Each request that is not a read is counted for the metrics (kind of object, verb, status), which is how
//! "no writes at rest" can be seen. With the feature `fault-injection` the process exits right after its
//! N-th write (`LOGSPINE_EXIT_AFTER_WRITES`), which is how every crash point is visited by the end-to-end
//! tests. The operator's own Lease is not counted: it is renewed by the clock.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Method, Request, Response};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tower::{BoxError, Layer, Service};

use crate::metrics::Metrics;

/// Connect as configured by the environment: inside a pod or by kubeconfig.
pub async fn connect(metrics: Metrics) -> anyhow::Result<Client> {
    let mut config = Config::infer().await?;
    // A watch may be silent for long, an ordinary call may not.
    config.connect_timeout = Some(std::time::Duration::from_secs(10));
    Ok(ClientBuilder::try_from(config)?.with_layer(&CountWrites { metrics }).build())
}

/// Counts the writes that pass through it.
#[derive(Clone)]
pub struct CountWrites {
    metrics: Metrics,
}

impl<S> Layer<S> for CountWrites {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, metrics: self.metrics.clone() }
    }
}

/// The service with the counter around it.
#[derive(Clone)]
pub struct Counted<S> {
    inner: S,
    metrics: Metrics,
}

impl<S, B> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let write = Write::of(request.method(), request.uri().path());
        let metrics = self.metrics.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            if let (Some(write), Ok(response)) = (write, &answer) {
                metrics.api_write(write.resource, write.verb, response.status().as_u16());
                if response.status().is_success() {
                    exit_after_writes();
                }
            }
            answer
        })
    }
}

/// What a write changes, in words of a closed set.
#[derive(Debug, PartialEq, Eq)]
struct Write {
    resource: &'static str,
    verb: &'static str,
}

/// Plural names that may appear as a label; anything else is "other".
const RESOURCES: [&str; 11] = [
    "clusters",
    "topics",
    "statefulsets",
    "services",
    "configmaps",
    "serviceaccounts",
    "poddisruptionbudgets",
    "pods",
    "persistentvolumeclaims",
    "events",
    "leases",
];

impl Write {
    fn of(method: &Method, path: &str) -> Option<Self> {
        let verb = match *method {
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => return None,
        };
        let resource =
            RESOURCES.into_iter().find(|name| path.split('/').any(|part| part == *name)).unwrap_or("other");
        (resource != "leases").then_some(Self { resource, verb })
    }
}

/// With `fault-injection`: end the process when the number of writes so far reaches the one asked for.
///
/// Called after every successful write to the API server and to the brokers.
#[cfg(feature = "fault-injection")]
pub fn exit_after_writes() {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static WRITES: AtomicU64 = AtomicU64::new(0);
    static LIMIT: LazyLock<Option<u64>> =
        LazyLock::new(|| std::env::var("LOGSPINE_EXIT_AFTER_WRITES").ok()?.parse().ok());
    let count = WRITES.fetch_add(1, Ordering::SeqCst) + 1;
    if *LIMIT == Some(count) {
        eprintln!("fault injection: exit after write {count}");
        std::process::exit(86);
    }
}

/// Without `fault-injection` nothing happens here.
#[cfg(not(feature = "fault-injection"))]
pub fn exit_after_writes() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_the_lease_are_not_writes() {
        let pods = "/api/v1/namespaces/a/pods/b";
        assert_eq!(Write::of(&Method::GET, pods), None);
        assert_eq!(Write::of(&Method::DELETE, pods), Some(Write { resource: "pods", verb: "delete" }));
        assert_eq!(Write::of(&Method::PUT, "/apis/coordination.k8s.io/v1/namespaces/a/leases/b"), None);
        let status = Write::of(&Method::PATCH, "/apis/logspine.dev/v1alpha1/namespaces/a/topics/b/status");
        assert_eq!(status, Some(Write { resource: "topics", verb: "patch" }));
    }
}
