//! `Idempotency-Key` on any POST: the same key within a day gives the first answer again.
//!
//! A request whose first run has no answer (its node died, its outcome is unknown) is run again as the same request: what it makes has the same ids,
//! and entities remember what they did for it ([`colloquy_actors::once`]).
//!
//! Answers hold what visitors said. The store sees neither them nor who asked what: an answer is sealed with a key made from the caller's own, and an
//! erasure takes all answers of its organization away ([`colloquy_actors::answers`]).

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use aes_gcm::aead::{Aead as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use colloquy_actors::answers::{self, GONE};
use colloquy_actors::cluster::store::answers::Begun;
use colloquy_actors::cluster::trace;
use colloquy_actors::{ActorError, once};
use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use tracing::Instrument as _;

use crate::app::{App, AppState};
use crate::problem::Problem;
use crate::tokens::hex;
use crate::{auth, body};

/// How long an answer is kept, milliseconds.
const KEPT_MS: i64 = 24 * 3600 * 1000;
/// Bytes of an AES-GCM nonce.
const NONCE_BYTES: usize = 12;
/// The longest key, bytes.
const KEY_MAX: usize = 200;
/// The largest answer kept, bytes; a larger one is not repeated but refused as done.
const ANSWER_MAX: usize = 256 * 1024;
/// Set by the router on answers that show a secret once: they are not kept.
const SECRETS: [&str; 8] = [
    "/api/ai/realtime-token",
    "/api/auth/signup",
    "/api/auth/login",
    "/api/auth/refresh",
    "/api/auth/switch",
    "/api/auth/reset-password",
    "/api/api-keys",
    "/api/team/invitations",
];

#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    content_type: String,
    /// Base64; none where the answer showed a secret.
    body: Option<String>,
}

/// The middleware.
pub async fn idempotent(State(app): State<App>, request: Request, next: Next) -> Response {
    let streams = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.contains("text/event-stream"));
    let key = match request.headers().get("idempotency-key") {
        // A stream is repeated by its client_message_id.
        Some(key) if request.method() == Method::POST && !streams => key.to_str().unwrap_or_default().to_owned(),
        Some(_) | None => return next.run(request).await,
    };
    if key.is_empty() || key.len() > KEY_MAX {
        return Problem::bad_request(
            "bad_idempotency_key",
            format!("`Idempotency-Key` must have 1 to {KEY_MAX} printable characters."),
        )
        .into_response();
    }
    let (path, headers) = (request.uri().path().to_owned(), request.headers().clone());
    let Some(scope) = scope(&app, &path, &headers).await else { return next.run(request).await };
    match run(app, key, scope, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

/// The caller's own name of a request, as a conversation's journal may keep it: a key may be any words.
pub(crate) fn message_id(app: &AppState, headers: &HeaderMap) -> Option<String> {
    let key = headers.get("idempotency-key")?.to_str().ok()?;
    Some(format!("key-{}", hex(&app.tokens.answer_name(key.as_bytes()))))
}

/// Reads the body and runs the request in a task of its own: a caller who goes away does not leave it half done, or done without a kept answer.
async fn run(app: App, key: String, scope: String, request: Request, next: Next) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let limit = if crate::takes_uploads(parts.uri.path()) {
        app.settings.upload_bytes_max.max(app.settings.body_bytes_max)
    } else {
        app.settings.body_bytes_max
    };
    let body = to_bytes(body, limit).await.map_err(|error| {
        if body::stalled(&error) {
            body::too_slow()
        } else {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The body is too large.")
        }
    })?;
    let request = Request::from_parts(parts, Body::from(body.clone()));
    let tasks = app.sockets.tasks.clone();
    let work = async move { first(&app, &key, &scope, request, body, next).await }.in_current_span();
    // A drain waits for these tasks as it does for sockets.
    let running = match trace::current() {
        Some(trace) => tasks.spawn(trace::within(trace, work)),
        None => tasks.spawn(work),
    };
    running.await.unwrap_or_else(|_| Err(ActorError::Failed.into()))
}

/// Runs the request unless it was run before.
async fn first(
    app: &App,
    key: &str,
    scope: &str,
    request: Request,
    body: Bytes,
    next: Next,
) -> Result<Response, Problem> {
    let sealing = app.tokens.answer_key(scope, key);
    // The caller's key may be any words, and a hash of a short body could be tried out: both are kept as only this installation can make them.
    let key = &hex(&app.tokens.answer_name(key.as_bytes()));
    let hash = app.tokens.answer_name(&body);
    let answers = &app.actors.client.store().answers;
    let now_ms = app.now_ms();
    let since_ms = match answers.begin(scope, key, hash, now_ms).await? {
        Begun::First => now_ms,
        Begun::Again { since_ms } => since_ms,
        Begun::Running => {
            return Err(Problem::conflict(
                "in_progress",
                "The first request with this key is still running: repeat it shortly.",
            ));
        }
        Begun::Different => {
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "key_reused",
                "This `Idempotency-Key` was used with another body: use a fresh key.",
            ));
        }
        Begun::Done(kept) => return again(&kept, &sealing),
    };
    let secret = SECRETS.contains(&request.uri().path());
    let seed = app.tokens.answer_seed(scope, key, &hash, since_ms);
    // Longer than any answer may take; what is stuck by then may still happen, and its repeat is the same request.
    let limit = Duration::from_secs(app.settings.request_timeout_s + 5);
    let ran = once::within(seed, since_ms, AssertUnwindSafe(next.run(request)).catch_unwind());
    let response = match tokio::time::timeout(limit, ran).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => Problem::from(ActorError::Failed).into_response(),
        Err(_) => Problem::from(ActorError::Unknown).into_response(),
    };
    let status = response.status();
    let over = if status.is_server_error() {
        // It may have been done, in whole or in part: the same key runs it again as the same request.
        Some(answers.release(scope, key, app.now_ms()).await)
    } else if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::UNAUTHORIZED) {
        // Refused before anything was done: the key is free.
        Some(answers.abandon(scope, key).await)
    } else {
        None
    };
    if let Some(outcome) = over {
        if let Err(error) = outcome {
            // What was answered is still the truth; for a minute its repeats are told that it is running.
            tracing::warn!(%error, "a key could not be given back");
        }
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let content_type =
        parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let shown = !(secret && status.is_success()) && bytes.len() <= ANSWER_MAX;
    let kept = Kept { status: status.as_u16(), content_type, body: shown.then(|| STANDARD.encode(&bytes)) };
    let kept = seal(&sealing, &serde_json::to_vec(&kept).unwrap_or_default());
    if let Err(error) = answers.finish(scope, key, Bytes::from(kept), app.now_ms() + KEPT_MS).await {
        // It was done, and whoever asked must hear so; for the next minute its repeats are told that it is running.
        tracing::warn!(%error, "a first answer could not be kept");
    }
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

fn again(kept: &[u8], sealing: &[u8; 32]) -> Result<Response, Problem> {
    if kept == GONE {
        return Err(Problem::conflict(
            "already_done",
            "This was done before; its answer is not kept any more, because a person's data was erased since.",
        ));
    }
    let damaged = || Problem::unavailable("unavailable", "The first answer cannot be read back.", 2);
    let kept = open(sealing, kept).ok_or_else(damaged)?;
    let kept: Kept = serde_json::from_slice(&kept).map_err(|_| damaged())?;
    let Some(body) = kept.body else {
        return Err(Problem::conflict(
            "already_done",
            "This was done before; its answer showed a secret once and is not kept.",
        ));
    };
    let body = STANDARD.decode(body).map_err(|_| damaged())?;
    let status = StatusCode::from_u16(kept.status).map_err(|_| damaged())?;
    let mut response = (status, body).into_response();
    if let Ok(value) = HeaderValue::from_str(&kept.content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response.headers_mut().insert(HeaderName::from_static("idempotency-replayed"), HeaderValue::from_static("true"));
    Ok(response)
}

/// Whom and what a key is bound to: the checked principal and the path. `None`: no key is kept for this caller, and whoever handles the request
/// says why (a bad token), or repeats are told apart by other means (a visitor's first message has its `client_message_id`).
async fn scope(app: &AppState, path: &str, headers: &HeaderMap) -> Option<String> {
    let token = auth::bearer(headers).or_else(|| auth::cookie(headers, auth::ACCESS_COOKIE));
    if let Some(token) = token {
        let console = auth::of_token(app, token).await.ok()?;
        return Some(answers::scope(console.by.tenant.as_str(), &format!("{}|{path}", auth::who(&console.by))));
    }
    if let Some(token) = auth::visitor_token(headers) {
        let visitor = app.tokens.check_visitor(token, app.now_ms() / 1000)?;
        let who = format!("{}/v/{}/{}|{path}", visitor.tenant, visitor.agent, visitor.acting());
        return Some(answers::scope(visitor.tenant.as_str(), &who));
    }
    // Nobody uploads without a name: such a body is not even gathered.
    (path != "/api/chat" && !crate::takes_uploads(path)).then(|| answers::scope(answers::ANYBODY, path))
}

fn seal(key: &[u8; 32], plain: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE_BYTES] = rand::random();
    let mut sealed = nonce.to_vec();
    // AES-GCM refuses only plaintexts above 64 GB.
    if let Ok(text) = Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key)).encrypt(&Nonce::from(nonce), plain) {
        sealed.extend_from_slice(&text);
    }
    sealed
}

fn open(key: &[u8; 32], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, text) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key)).decrypt(&Nonce::from(*nonce), text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_answer_opens_only_with_the_callers_key_and_what_was_taken_away_never() {
        let sealed = seal(&[1; 32], b"words");
        assert!(!sealed.windows(5).any(|window| window == b"words"));
        assert_eq!(open(&[1; 32], &sealed).as_deref(), Some(&b"words"[..]));
        assert_eq!(open(&[2; 32], &sealed), None);
        assert_eq!(again(&sealed, &[2; 32]).err().map(|problem| problem.body.status), Some(503));
        assert_eq!(again(GONE, &[1; 32]).err().map(|problem| problem.body.status), Some(409));
    }
}
