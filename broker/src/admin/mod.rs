//! HTTP beside Kafka's protocol: health for Kubernetes, metrics for Prometheus, status for the operator.
//!
//! `/livez` is true as soon as the process runs, also during a long recovery; `/readyz` is true while all
//! partitions are served; `/metrics` and `/status` answer at any time with what is known then. Opened first, closed last.
//! Nothing here is authenticated, so with a configuration file it opens only where `admin.listeners` says.

mod status;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::broker::Broker;
use crate::config::BrokerConfig;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;

/// Why the admin sockets do not open.
#[derive(Debug, Error)]
#[error("admin.listeners: cannot listen on {address}: {source}")]
pub struct AdminError {
    address: String,
    source: std::io::Error,
}

/// What the handlers know. The broker comes later.
struct Shared {
    config: Arc<BrokerConfig>,
    lifecycle: Arc<Lifecycle>,
    metrics: Arc<Metrics>,
    broker: OnceLock<Arc<Broker>>,
}

/// The open sockets.
pub struct AdminServer {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
}

impl AdminServer {
    /// Binds every admin listener and answers from now on.
    pub async fn start(
        config: Arc<BrokerConfig>,
        lifecycle: Arc<Lifecycle>,
        metrics: Arc<Metrics>,
    ) -> Result<AdminServer, AdminError> {
        let addresses = config.admin_listeners.clone();
        let shared = Arc::new(Shared { config, lifecycle, metrics, broker: OnceLock::new() });
        let stop = watch::channel(false).0;
        for address in addresses {
            let listener = TcpListener::bind(&address)
                .await
                .map_err(|source| AdminError { address: address.clone(), source })?;
            tracing::info!(address, "admin HTTP is open");
            let mut stopped = stop.subscribe();
            let server =
                axum::serve(listener, router(Arc::clone(&shared))).with_graceful_shutdown(async move {
                    let _ = stopped.wait_for(|stopped| *stopped).await;
                });
            tokio::spawn(async move {
                if let Err(error) = server.await {
                    tracing::error!(address, "admin HTTP ended: {error}");
                }
            });
        }
        Ok(AdminServer { shared, stop })
    }

    /// From now on partitions, groups and status are known.
    pub fn serve_broker(&self, broker: Arc<Broker>) {
        let _ = self.shared.broker.set(broker);
    }

    pub fn stop(self) {
        self.stop.send_replace(true);
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .with_state(shared)
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let state = shared.lifecycle.state().name();
    let code = if shared.lifecycle.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{state}\n")).into_response()
}

/// On the blocking pool: ten thousand partitions are a few milliseconds of text.
async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let page = tokio::task::spawn_blocking(move || shared.metrics.render(shared.broker.get())).await;
    match page {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn status(State(shared): State<Arc<Shared>>) -> Response {
    let status = status::Status::of(&shared.config, &shared.lifecycle, shared.broker.get());
    axum::Json(status).into_response()
}
