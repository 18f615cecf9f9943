//! The operators' listener: health and metrics.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use crate::body::Json;

/// What the binary knows about this node's health.
pub trait Health: Send + Sync + 'static {
    /// Whether this node can answer a chat turn now; else why not.
    fn ready(&self) -> Result<(), String>;
    /// Metrics in the Prometheus text format.
    fn metrics(&self) -> String;
}

/// The routes of the operators' listener.
pub fn routes(health: Arc<dyn Health>) -> Router {
    Router::new()
        .route("/health/livez", get(|| async { Json(json!({ "status": "alive" })) }))
        .route("/health/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health)
}

async fn ready(State(health): State<Arc<dyn Health>>) -> Response {
    match health.ready() {
        Ok(()) => Json(json!({ "status": "ready" })).into_response(),
        Err(reason) => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "not_ready", "reason": reason }))).into_response()
        }
    }
}

async fn metrics(State(health): State<Arc<dyn Health>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], health.metrics()).into_response()
}
