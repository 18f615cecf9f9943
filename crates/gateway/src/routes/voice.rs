//! `/api/voice`: calls that people order, and what carriers tell of calls that we made. Nothing is read out of a callback before its signature is believed.
//!
//! The address that a callback comes to names the dial (`d`), under the signature. A callback that comes late, twice or in the wrong order changes nothing
//! that stands; one about a call that nobody knows is 204 and changes nothing.

use axum::extract::{OriginalUri, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use colloquy_actors::calls;
use colloquy_actors::campaign::hear::{self, Dialled};
use colloquy_actors::campaign::single::{self, Order};
use colloquy_actors::domain::call::{self, Carrier};
use colloquy_actors::domain::campaign::settings::Consent;
use colloquy_actors::domain::campaign::slice::Report;
use colloquy_actors::domain::principal::Role;
use colloquy_actors::telephony::error::Unverified;
use colloquy_actors::telephony::twilio::callbacks::{AmdCallback, StatusCallback};
use colloquy_actors::telephony::twilio::form::Form;
use colloquy_wire::campaigns as wire;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::conversations::word;
use super::messages::{Account, account_at, account_of, believe, form, malformed, unverified};
use super::numbers::agent_of;
use crate::accounts::fresh_id;
use crate::app::{App, AppState};
use crate::auth::Console;
use crate::body::{Json, Query};
use crate::problem::{Problem, Result};

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(order))
        .routes(routes!(status))
        .routes(routes!(status_of))
        .routes(routes!(detected))
        .routes(routes!(detected_of))
}

/// Have an agent call somebody, if nothing forbids it: the do-not-contact list, the consent, the hours there, how often the number was called.
#[utoipa::path(post, path = "/api/voice/calls", tag = "voice", request_body = wire::NewCall, responses((status = 201, body = wire::OrderedCall), (status = 409)))]
async fn order(State(app): State<App>, console: Console, Json(body): Json<wire::NewCall>) -> Result<Response> {
    console.need(Role::Rep, "have somebody called")?;
    let agent = agent_of(&app, &console, &body.agent_id).await?;
    let consent: Option<Consent> = word("consent", body.consent)?;
    let consent = consent.unwrap_or_default();
    if consent != Consent::AiCalls && !console.by.at_least(Role::Manager) {
        return Err(Problem::forbidden(
            "Calling without a consent to artificial voices needs the role manager or above.",
        ));
    }
    let order = Order {
        id: fresh_id(),
        agent: agent.clone(),
        to: body.to,
        consent,
        objective: body.objective.unwrap_or_default(),
        opening: body.opening,
        script: body.script,
        questions: body.questions.unwrap_or_default(),
    };
    let ordered = single::order(&app.actors.client, &app.actors.tools, &console.by, order).await?;
    let body = wire::OrderedCall {
        id: ordered.id,
        status: ordered.status.to_owned(),
        agent_id: agent.0,
        from_number: ordered.from,
        to: ordered.to,
        simulated: ordered.simulated,
    };
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// Which dial a callback is about; none for calls that were not made by us.
#[derive(Debug, Deserialize)]
pub(crate) struct About {
    #[serde(default)]
    d: Option<String>,
}

impl About {
    /// The dial.
    pub(crate) fn dialled(&self) -> Option<Dialled> {
        self.d.as_deref().and_then(Dialled::read)
    }
}

/// Twilio: a step of a call that we made. The number that called says whose it is.
#[utoipa::path(post, path = "/api/voice/twilio/status", tag = "voice", params(("d" = Option<String>, Query)), responses((status = 204), (status = 401)))]
async fn status(
    State(app): State<App>,
    Query(about): Query<About>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode> {
    let form = form(&body)?;
    let account = account_by_numbers(&app, &form).await?;
    step(&app, &account, &uri, &headers, &form, &about).await
}

/// Twilio: a step of a call that we made, for this account.
#[utoipa::path(post, path = "/api/voice/twilio/status/{connection_id}", tag = "voice", params(("connection_id" = String, Path), ("d" = Option<String>, Query)), responses((status = 204), (status = 401)))]
async fn status_of(
    State(app): State<App>,
    Path(connection): Path<String>,
    Query(about): Query<About>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode> {
    let account = account_of(&app, &connection).await?;
    step(&app, &account, &uri, &headers, &form(&body)?, &about).await
}

/// Twilio: who or what answered.
#[utoipa::path(post, path = "/api/voice/twilio/amd", tag = "voice", params(("d" = Option<String>, Query)), responses((status = 204), (status = 401)))]
async fn detected(
    State(app): State<App>,
    Query(about): Query<About>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode> {
    let form = form(&body)?;
    let account = account_by_numbers(&app, &form).await?;
    finding(&app, &account, &uri, &headers, &form, &about).await
}

/// Twilio: who or what answered, for this account.
#[utoipa::path(post, path = "/api/voice/twilio/amd/{connection_id}", tag = "voice", params(("connection_id" = String, Path), ("d" = Option<String>, Query)), responses((status = 204), (status = 401)))]
async fn detected_of(
    State(app): State<App>,
    Path(connection): Path<String>,
    Query(about): Query<About>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode> {
    let account = account_of(&app, &connection).await?;
    finding(&app, &account, &uri, &headers, &form(&body)?, &about).await
}

/// The account of whichever of the two numbers is ours.
async fn account_by_numbers(app: &AppState, form: &Form) -> Result<Account> {
    for name in ["From", "To"] {
        let Some(number) = form.get(name) else { continue };
        if let Ok(account) = account_at(app, number, form.get("AccountSid")).await {
            return Ok(account);
        }
    }
    Err(unverified(Unverified::NoKey))
}

async fn step(
    app: &AppState,
    account: &Account,
    uri: &Uri,
    headers: &HeaderMap,
    form: &Form,
    about: &About,
) -> Result<StatusCode> {
    believe(app, account, uri, headers, form)?;
    let callback = StatusCallback::read(form).map_err(malformed)?;
    let cost = callback.duration_s.and_then(|seconds| u32::try_from(seconds).ok());
    let cost = cost.map(|seconds| colloquy_actors::campaign::cost(&app.actors.tools, seconds));
    let report =
        hear::of_status(&callback.status, &callback.call.call_sid, callback.duration_s, callback.sip_response, cost);
    // The call itself hears of it too, whoever made it: when its socket is lost, only the carrier knows that it is over.
    if matches!(report, Some(Report::Ended { .. })) {
        let end = call::End {
            spoke_ms: callback.duration_s.map(|seconds| seconds.saturating_mul(1000)),
            cost_micros: cost.filter(|_| about.d.is_some()),
            ..call::End::default()
        };
        of_call(app, account, &callback.call.call_sid, call::Command::Ended(Box::new(end))).await?;
    }
    tell(app, account, about, report).await
}

/// Tells the call that a webhook is about.
async fn of_call(app: &AppState, account: &Account, sid: &str, news: call::Command) -> Result<()> {
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    Ok(calls::told(client, tools, &account.tenant, Carrier::Twilio, sid, news).await?)
}

async fn finding(
    app: &AppState,
    account: &Account,
    uri: &Uri,
    headers: &HeaderMap,
    form: &Form,
    about: &About,
) -> Result<StatusCode> {
    believe(app, account, uri, headers, form)?;
    let callback = AmdCallback::read(form).map_err(malformed)?;
    let report = hear::of_detection(&callback.answered_by);
    if matches!(report, Some(Report::Machine { .. })) {
        of_call(app, account, &callback.call_sid, call::Command::Machine).await?;
    }
    tell(app, account, about, report).await
}

/// Tells whoever made the call.
async fn tell(app: &AppState, account: &Account, about: &About, report: Option<Report>) -> Result<StatusCode> {
    let (Some(dialled), Some(report)) = (about.dialled(), report) else { return Ok(StatusCode::NO_CONTENT) };
    if !hear::tell(&app.actors.client, &account.tenant, &dialled, report).await? {
        tracing::info!(campaign = %dialled.campaign, "a callback about a call that is not open was passed over");
    }
    Ok(StatusCode::NO_CONTENT)
}
