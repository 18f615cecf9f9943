//! `POST /api/ai/realtime-token`: what a page opens a session of OpenAI Realtime with. The key stays here.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use colloquy_actors::domain::local_time::rfc3339;
use colloquy_actors::domain::principal::Role;
use colloquy_actors::voice::SpeechError;
use colloquy_wire::voice as wire;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::numbers::agent_of;
use crate::app::App;
use crate::auth::Console;
use crate::body::Json;
use crate::problem::{Problem, Result};

/// What is missing where there is no key.
pub(crate) const NO_KEY: &str =
    "OpenAI Realtime needs a key of OpenAI: set `voice.openai.api_key` (COLLOQUY_VOICE__OPENAI__API_KEY).";
/// How long a page that came too early waits, seconds.
const AGAIN_S: u64 = 5;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(token))
}

/// There is no key here.
pub(crate) fn no_realtime() -> Problem {
    Problem::conflict("not_connected", NO_KEY)
}

/// A token with which a page opens one session of OpenAI Realtime for a test call. It is good for a minute, and the session answers nothing by itself.
#[utoipa::path(post, path = "/api/ai/realtime-token", tag = "calls", request_body = wire::NewRealtimeToken, responses((status = 201, body = wire::RealtimeToken), (status = 409)))]
async fn token(State(app): State<App>, console: Console, Json(body): Json<wire::NewRealtimeToken>) -> Result<Response> {
    console.need(Role::Rep, "make a test call")?;
    let agent = agent_of(&app, &console, &body.agent_id).await?;
    let openai = app.actors.tools.voices.openai().ok_or_else(no_realtime)?;
    let agent = app.actors.tools.agent(&app.actors.client, console.tenant(), &agent).await?;
    let token = openai.token(&agent.config).await.map_err(|error| match error {
        SpeechError::Key(_) => Problem::conflict(
            "account_refused",
            "OpenAI refuses the key in `voice.openai.api_key`: give it another one.",
        ),
        error => {
            tracing::warn!(%error, "no token of OpenAI Realtime");
            Problem::unavailable("provider_unavailable", "OpenAI gives no token at the moment.", AGAIN_S)
        }
    })?;
    let shown = wire::RealtimeToken {
        value: token.value,
        expires_at: rfc3339(token.expires_s.saturating_mul(1000)),
        model: token.model,
        voice: token.voice,
        calls_url: token.calls_url,
    };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(shown)).into_response())
}
