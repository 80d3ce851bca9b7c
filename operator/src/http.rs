//! The operator's own HTTP port: `/livez`, `/readyz`, `/metrics`.
//!
//! Ready means that the API server has answered once: a process that waits for the lease is ready too, or
//! a rolling update of the operator would wait for itself. Alive means that this port answers; a leader
//! that lost its lease exits by itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::metrics::{Census, Metrics};

/// Counts what stands in the caches, when asked.
pub type Count = Arc<dyn Fn() -> Census + Send + Sync>;

/// What the port shows.
#[derive(Clone)]
pub struct Page {
    /// The metrics.
    pub metrics: Metrics,
    /// Whether the API server has answered.
    pub ready: Arc<AtomicBool>,
    /// The census, once there are caches to count.
    pub count: Arc<std::sync::OnceLock<Count>>,
}

/// Serve until the process ends.
pub async fn serve(address: SocketAddr, page: Page) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    tracing::info!(%address, "serving health and metrics");
    axum::serve(listener, router(page)).await
}

fn router(page: Page) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(page)
}

async fn readyz(State(page): State<Page>) -> (StatusCode, &'static str) {
    match page.ready.load(Ordering::Relaxed) {
        true => (StatusCode::OK, "ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "the API server has not answered yet\n"),
    }
}

async fn metrics(State(page): State<Page>) -> impl IntoResponse {
    if let Some(count) = page.count.get() {
        page.metrics.set_resources(&count());
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page.metrics.render())
}
