//! The HTTP port: `/metrics` for Prometheus, `/health/live` and `/health/ready` for whoever supervises the process.
//!
//! It listens on loopback unless told otherwise and has no authentication: nothing here changes anything.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// What the pages show. `ready` answers whether clients are served, and otherwise what is waited for.
struct Pages<F> {
    metrics: Arc<Metrics>,
    ready: F,
}

/// Listens on `wanted`, or on a free port of the same address when that one is taken; the second value tells which
/// happened. A broker does not stay down for its metrics.
///
/// # Errors
/// The address cannot be used at all.
pub async fn bind(wanted: SocketAddr) -> io::Result<(TcpListener, bool)> {
    match TcpListener::bind(wanted).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && wanted.port() != 0 => {
            let free = SocketAddr::new(wanted.ip(), 0);
            Ok((TcpListener::bind(free).await?, true))
        }
        bound => Ok((bound?, false)),
    }
}

/// Serves until `stop` is done.
///
/// # Errors
/// The listener fails.
pub async fn serve<F>(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    ready: F,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()>
where
    F: Fn() -> Result<(), String> + Send + Sync + 'static,
{
    let router = Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics_page::<F>))
        .route("/health/live", get(|| async { "live\n" }))
        .route("/health/ready", get(ready_page::<F>))
        .with_state(Arc::new(Pages { metrics, ready }));
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

async fn index() -> &'static str {
    "whimbrel: /metrics, /health/live, /health/ready\n"
}

async fn metrics_page<F: Send + Sync>(State(pages): State<Arc<Pages<F>>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], pages.metrics.scrape()).into_response()
}

async fn ready_page<F: Fn() -> Result<(), String> + Send + Sync>(State(pages): State<Arc<Pages<F>>>) -> Response {
    match (pages.ready)() {
        Ok(()) => "ready\n".into_response(),
        Err(waiting_for) => (StatusCode::SERVICE_UNAVAILABLE, format!("{waiting_for}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests;
