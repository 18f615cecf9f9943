//! The HTTP and WebSocket front: authenticates, routes to the owning actor, speaks problem+json.
//!
//! Reading order: [`app`], [`problem`], [`body`], [`tokens`], [`auth`], [`proxies`], [`limits`], [`linger`], [`idempotency`], [`listen`], `accounts`; then
//! [`routes`], one file per resource,
//! [`chat`], what HTTP and socket share of a visitor's chat, [`sockets`], and [`operators`], the other listener.

mod accounts;
pub mod app;
pub mod audit;
pub mod auth;
pub mod body;
pub mod chat;
pub mod etag;
pub mod idempotency;
pub mod limits;
mod linger;
pub mod listen;
pub mod listing;
mod mails;
pub mod operators;
mod passwords;
pub mod problem;
pub mod proxies;
pub mod routes;
pub mod sockets;
mod spans;
mod tables;
pub mod telemetry;
mod times;
pub mod tokens;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use colloquy_actors::cluster::trace::{self, Trace};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutBody;
use tracing::Instrument as _;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;
use crate::problem::Problem;

/// The longest pause in a body.
const BODY_SILENT_MAX: Duration = Duration::from_secs(20);
/// Names the trace of an answer, so that somebody who reports a problem can be found in the log.
const TRACE_HEADER: HeaderName = HeaderName::from_static("x-trace-id");

/// The first wait before the demonstration is tried again, and the longest: a node of several begins before it owns anything.
const DEMO_AGAIN: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];

/// Makes what is missing of the demonstration on the landing page, and tries until it is there.
pub async fn demonstrate(app: App) {
    let mut wait = DEMO_AGAIN[0];
    loop {
        match colloquy_actors::demo::establish(&app.actors.client).await {
            Ok(agent) => {
                // Nobody else sets it.
                app.demo.set(agent).ok();
                return;
            }
            Err(error) => tracing::info!(%error, "the demonstration is not there yet"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(DEMO_AGAIN[1]);
    }
}

/// All of the public listener; `ops` is what administrators of the platform may ask of the cluster.
pub fn router(app: App, ops: routes::ops::Ops) -> Router {
    let (calls, mut description) = OpenApiRouter::with_openapi(routes::docs::contract())
        .merge(routes::auth::routes())
        .merge(routes::organization::routes())
        .merge(routes::agents::routes())
        .merge(routes::knowledge::routes())
        .merge(routes::chat::routes())
        .merge(routes::conversations::routes())
        .merge(routes::leads::routes())
        .merge(routes::appointments::routes())
        .merge(routes::calendars::routes())
        .merge(routes::numbers::routes())
        .merge(routes::messages::routes())
        .merge(routes::attachments::routes())
        .merge(routes::retell::routes())
        .merge(routes::campaigns::routes())
        .merge(routes::voice::routes())
        .merge(routes::contacts::routes())
        .merge(routes::notifications::routes())
        .merge(routes::analytics::routes())
        .merge(routes::charts::routes())
        .merge(routes::audit::routes())
        .merge(routes::models::routes())
        .merge(routes::privacy::routes())
        .merge(sockets::chat::routes())
        .merge(sockets::live::routes())
        .merge(sockets::voice::routes())
        .merge(routes::calls::routes())
        .merge(routes::realtime::routes())
        .split_for_parts();
    description.merge(routes::ops::description());
    let uploads = app.settings.upload_bytes_max;
    calls
        .nest("/api/ops", routes::ops::for_administrators(ops, app.clone()))
        .layer(middleware::from_fn_with_state(app.clone(), audit::recorded))
        .layer(middleware::from_fn_with_state(app.clone(), idempotency::idempotent))
        .merge(routes::widget::routes())
        .merge(routes::pages::routes())
        .merge(routes::dev::routes())
        .merge(routes::docs::routes(&description))
        .fallback(routes::pages::nothing)
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "This path does not take this method: see /docs.",
            )
        })
        .layer(middleware::from_fn_with_state(app.clone(), guard))
        .layer(DefaultBodyLimit::max(uploads))
        .layer(CatchPanicLayer::custom(|_| Problem::from(colloquy_actors::ActorError::Failed).into_response()))
        .with_state(app)
}

/// What holds for every request: size of JSON bodies, time, cross-origin calls of customers' own front ends, measurements.
async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let begun = std::time::Instant::now();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let public = is_public(request.uri().path());
    if method == Method::OPTIONS && public {
        return cors(StatusCode::NO_CONTENT.into_response());
    }
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let upload = is_upload(request.uri().path(), kind);
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse::<usize>().ok());
    // Who asks before sending has sent nothing yet that would have to be read.
    let sends_at_once = !request.headers().contains_key(header::EXPECT);
    if !upload && length.is_some_and(|length| length > app.settings.body_bytes_max) {
        if sends_at_once {
            linger::drain(request.into_body()).await;
        }
        return Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!("The body is larger than {} bytes.", app.settings.body_bytes_max),
        )
        .into_response();
    }
    let (parts, body) = request.into_parts();
    let unread = linger::Unread::default();
    // A sender who stops half way is not waited for as long as the request may take.
    let body = unread.lend(Body::new(Box::pin(TimeoutBody::new(BODY_SILENT_MAX, body))));
    let body = if upload {
        Body::new(body)
    } else {
        Body::new(http_body_util::Limited::new(body, app.settings.body_bytes_max))
    };
    let request = Request::from_parts(parts, body);
    // Longer than the answer to a chat message may take, so that its own error comes first.
    let limit = Duration::from_secs(app.settings.request_timeout_s + 5);
    let trace = request.headers().get("traceparent").and_then(|header| header.to_str().ok()).and_then(Trace::parse);
    let trace = trace.unwrap_or_else(|| Trace::fresh(rand::random()));
    let span = tracing::info_span!("request", method = method_label(&method), path, trace = trace.id());
    let run = trace::within(trace.clone(), next.run(request).instrument(span));
    let response = match tokio::time::timeout(limit, run).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable("timeout", "The request took too long.", 2).into_response(),
    };
    if sends_at_once && response.status().as_u16() >= 400 {
        unread.drain().await;
    }
    let status = response.status().as_u16().to_string();
    metrics::histogram!(telemetry::HTTP_SECONDS, "method" => method_label(&method), "path" => path, "status" => status)
        .record(begun.elapsed());
    let mut response = if public { cors(response) } else { response };
    if let Ok(id) = HeaderValue::from_str(trace.id()) {
        response.headers_mut().insert(TRACE_HEADER, id);
    }
    response
        .headers_mut()
        .entry(HeaderName::from_static("x-content-type-options"))
        .or_insert(HeaderValue::from_static("nosniff"));
    response
        .headers_mut()
        .entry(header::REFERRER_POLICY)
        .or_insert(HeaderValue::from_static("strict-origin-when-cross-origin"));
    response
}

/// The calls whose body may be as large as an upload.
pub(crate) fn takes_uploads(path: &str) -> bool {
    path.starts_with("/api/agents/") && path.ends_with("/sources") || takes_whole(path)
}

/// Those that take a list or a file as it is.
fn takes_whole(path: &str) -> bool {
    path.starts_with("/api/calling/campaigns/") && path.ends_with("/targets")
        || path.starts_with("/api/conversations/") && path.ends_with("/attachments")
}

/// Whether a body of this kind may be as large as an upload there: a file, and no JSON document that is read as a whole.
pub(crate) fn is_upload(path: &str, kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if takes_whole(path) {
        essence != "application/json"
    } else {
        takes_uploads(path) && essence.starts_with("multipart/")
    }
}

/// A bounded label: a client may invent methods without end.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// Calls that a customer's own front end may make from any origin: they carry no cookies.
fn is_public(path: &str) -> bool {
    path == "/api/chat"
        || path.starts_with("/api/chat/")
        || path == "/api/leads/capture"
        || path.starts_with("/widget/")
}

fn cors(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("authorization, content-type, idempotency-key"),
    );
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}
