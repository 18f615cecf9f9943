//! All of the operators' listener, with the bounds on time and size that the public one has too.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutBody;

use crate::problem::Problem;
use crate::routes::{health, ops};
use crate::{BODY_SILENT_MAX, linger};

/// The longest an order or a question may take: what reads the tables waits for the CQL servers, which give up before.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// The largest body: an order names a node.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// Health and metrics for whoever reaches the listener, orders for who has the token.
pub fn router(orders: ops::Ops, token: String, health: Arc<dyn health::Health>) -> Router {
    bounded(ops::routes(orders, token).merge(health::routes(health)), ANSWER_WITHIN)
}

fn bounded(calls: Router, within: Duration) -> Router {
    calls
        .fallback(async || Problem::not_found("call of the operators"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This path does not take this method.")
        })
        .layer(middleware::from_fn(move |request: Request, next: Next| guard(within, request, next)))
        .layer(CatchPanicLayer::custom(|_| Problem::from(colloquy_actors::ActorError::Failed).into_response()))
}

async fn guard(within: Duration, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let unread = linger::Unread::default();
    let body = unread.lend(Body::new(Box::pin(TimeoutBody::new(BODY_SILENT_MAX, body))));
    let body = Body::new(http_body_util::Limited::new(body, BODY_BYTES_MAX));
    let mut response = match tokio::time::timeout(within, next.run(Request::from_parts(parts, body))).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable("timeout", "The request took too long.", 2).into_response(),
    };
    if response.status().as_u16() >= 400 {
        unread.drain().await;
    }
    let nosniff = (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    response.headers_mut().extend([nosniff]);
    response
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use axum::routing::{get, post};
    use tower::ServiceExt as _;

    use super::*;
    use crate::body::Json;

    fn request(method: Method, path: &str, body: impl Into<Body>) -> Request {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        request.body(body.into()).expect("a request")
    }

    fn calls() -> Router {
        let calls = Router::new()
            .route("/slow", get(async || std::future::pending::<()>().await))
            .route("/panics", get(async || -> () { panic!("as asked") }))
            .route("/takes", post(async |Json(value): Json<serde_json::Value>| Json(value)));
        bounded(calls, Duration::from_secs(60))
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_panics_or_is_not_there_is_answered() {
        for (path, status) in [("/slow", 503), ("/panics", 500), ("/nothing", 404)] {
            let answer = calls().oneshot(request(Method::GET, path, "")).await.expect("an answer");
            assert_eq!(answer.status().as_u16(), status, "{path}");
        }
        let answer = calls().oneshot(request(Method::DELETE, "/slow", "")).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 405);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_too_large_or_stops_half_way_is_refused() {
        let large = format!("\"{}\"", "x".repeat(BODY_BYTES_MAX));
        let answer = calls().oneshot(request(Method::POST, "/takes", large)).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 413);
        use futures::StreamExt as _;
        let half = futures::stream::iter([Ok::<_, std::io::Error>("\"ha")]).chain(futures::stream::pending());
        let answer =
            calls().oneshot(request(Method::POST, "/takes", Body::from_stream(half))).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 408);
    }
}
