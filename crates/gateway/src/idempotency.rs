//! `Idempotency-Key` on any POST: the same key within a day gives the first answer again.
//!
//! Answers hold what visitors said. The store sees neither them nor who asked what: an answer is sealed with a key made from the caller's own, and an
//! erasure takes all answers of its organization away ([`colloquy_actors::answers`]).

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
use serde::{Deserialize, Serialize};

use crate::app::{App, AppState};
use crate::auth;
use crate::problem::Problem;
use crate::tokens::hex;

/// How long an answer is kept, milliseconds.
const KEPT_MS: i64 = 24 * 3600 * 1000;
/// Bytes of an AES-GCM nonce.
const NONCE_BYTES: usize = 12;
/// The longest key, bytes.
const KEY_MAX: usize = 200;
/// The largest answer kept, bytes; a larger one is not repeated but refused as done.
const ANSWER_MAX: usize = 256 * 1024;
/// Set by the router on answers that show a secret once: they are not kept.
const SECRETS: [&str; 7] = [
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
    match run(&app, &key, &scope, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn run(app: &AppState, key: &str, scope: &str, request: Request, next: Next) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let limit = if crate::takes_uploads(parts.uri.path()) {
        app.settings.upload_bytes_max.max(app.settings.body_bytes_max)
    } else {
        app.settings.body_bytes_max
    };
    let body = to_bytes(body, limit)
        .await
        .map_err(|_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The body is too large."))?;
    let sealing = app.tokens.answer_key(scope, key);
    // The caller's key may be any words, and a hash of a short body could be tried out: both are kept as only this installation can make them.
    let key = &hex(&app.tokens.answer_name(key.as_bytes()));
    let hash = app.tokens.answer_name(&body);
    let answers = &app.actors.client.store().answers;
    match answers.begin(scope, key, hash, app.now_ms()).await? {
        Begun::First => {}
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
    }
    let secret = SECRETS.contains(&parts.uri.path());
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let status = response.status();
    if status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::UNAUTHORIZED) {
        // Nothing stands: the same key may try again.
        if let Err(error) = answers.abandon(scope, key).await {
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
        let visitor = app.tokens.check_visitor(token)?;
        let who = format!("{}/v/{}/{}|{path}", visitor.tenant, visitor.agent, visitor.visitor);
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
