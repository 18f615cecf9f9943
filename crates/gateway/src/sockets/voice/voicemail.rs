//! Callers outside of opening hours leave a message after a beep, where the owner wants that. Twilio records it; what it recorded is fetched from there,
//! kept as recordings of calls are, and deleted there.

use axum::extract::{OriginalUri, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use bytes::Bytes;
use colloquy_actors::calls::{self, missed};
use colloquy_actors::domain::call::missed::VOICEMAIL_SECONDS_MAX;
use colloquy_actors::domain::call::{Carrier, Command, Direction, script, whisper};
use colloquy_actors::domain::local_time::{is_open, zone_or_utc};
use colloquy_actors::telephony::error::Unverified;
use colloquy_actors::telephony::twilio::callbacks::{CallWebhook, RecordingCallback};
use colloquy_actors::telephony::twilio::form::Form;
use colloquy_actors::telephony::twilio::twiml;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::webhooks::{About, hung_up, patiently};
use crate::app::{App, AppState};
use crate::body::Query;
use crate::chat::Reached;
use crate::problem::Result;
use crate::routes::messages::{Account, account_at, account_of, believe, form, malformed, unverified};

/// The owner's words before the beep, among the `voice_scripts`.
const SCRIPT: &str = "voicemail";
/// Silence that ends a message, seconds.
const SILENCE_S: u32 = 6;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(recorded)).routes(routes!(recording)).routes(routes!(recording_of))
}

/// Instructions to take a message, where that is what the caller gets now.
pub(super) async fn instructions(
    app: &AppState,
    account: &Account,
    agent: &Reached,
) -> Result<Option<twiml::Response>> {
    let (now, config) = (&agent.now, &agent.now.config);
    if !config.voicemail || is_open(&now.hours, &zone_or_utc(&now.timezone), app.now_ms()) {
        return Ok(None);
    }
    if missed::keeps(&app.actors.client, &app.actors.tools, &account.tenant).await?.is_none() {
        // Nobody is asked for what is not kept.
        return Ok(None);
    }
    let own = config.voice_scripts.get(SCRIPT).map(|text| text.trim()).filter(|text| !text.is_empty());
    let words = match own {
        Some(own) => script::opening(config, Direction::Inbound, own),
        None => format!("{} {}", script::greeting(config, Direction::Inbound, false), whisper::leave_message(config)),
    };
    let at = |what: &str| format!("{}/api/voice/twilio/{what}/{}", app.settings.api_url, account.connection_id());
    let record = twiml::record(&at("voicemail"), VOICEMAIL_SECONDS_MAX)
        .set("playBeep", "true")
        .set("timeout", SILENCE_S)
        .set("finishOnKey", "#")
        .set("recordingStatusCallback", at("recording"))
        .set("recordingStatusCallbackMethod", "POST")
        .set("recordingStatusCallbackEvent", "completed absent");
    let said = twiml::say(words.trim(), None, Some(&config.voice_language));
    Ok(Some(twiml::Response::new().then(said).then(record).then(twiml::hang_up())))
}

/// Twilio: a caller has said what there was to say. The call is over; its sound is told of when it is there.
#[utoipa::path(post, path = "/api/voice/twilio/voicemail/{connection_id}", tag = "calls", params(("connection_id" = String, Path)), responses((status = 200, content_type = "text/xml"), (status = 401)))]
async fn recorded(
    State(app): State<App>,
    Path(connection): Path<String>,
    Query(about): Query<About>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response> {
    let form = form(&body)?;
    patiently(about.again(&format!("{}/api/voice/twilio/voicemail/{connection}", app.settings.api_url)), || async {
        let account = account_of(&app, &connection).await?;
        believe(&app, &account, &uri, &headers, &form)?;
        let told = CallWebhook::read(&form).map_err(malformed)?;
        let news = Command::Ended(Box::default());
        let (client, tools) = (&app.actors.client, &app.actors.tools);
        calls::told(client, tools, &account.tenant, Carrier::Twilio, &told.call_sid, news).await?;
        Ok(hung_up())
    })
    .await
}

/// Twilio: a recording is there, or was empty. The number that was called says whose it is.
#[utoipa::path(post, path = "/api/voice/twilio/recording", tag = "voice", responses((status = 204), (status = 401)))]
async fn recording(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode> {
    let form = form(&body)?;
    for name in ["To", "From"] {
        let Some(number) = form.get(name) else { continue };
        if let Ok(account) = account_at(&app, number, form.get("AccountSid")).await {
            return left(&app, &account, &uri, &headers, &form).await;
        }
    }
    Err(unverified(Unverified::NoKey))
}

/// Twilio: a recording is there, or was empty, for this account.
#[utoipa::path(post, path = "/api/voice/twilio/recording/{connection_id}", tag = "voice", params(("connection_id" = String, Path)), responses((status = 204), (status = 401)))]
async fn recording_of(
    State(app): State<App>,
    Path(connection): Path<String>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode> {
    let account = account_of(&app, &connection).await?;
    left(&app, &account, &uri, &headers, &form(&body)?).await
}

/// Notes what a caller left. The address in the callback is not looked at: what is fetched is named by its id, from the provider we know.
async fn left(app: &AppState, account: &Account, uri: &Uri, headers: &HeaderMap, form: &Form) -> Result<StatusCode> {
    believe(app, account, uri, headers, form)?;
    let callback = RecordingCallback::read(form).map_err(malformed)?;
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    let keep_days = missed::keeps(client, tools, &account.tenant).await?;
    let (true, Some(keep_days)) = (callback.is_there(), keep_days) else { return Ok(StatusCode::NO_CONTENT) };
    let seconds = callback.duration_s.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(0);
    let news = Command::VoicemailLeft { recording: callback.recording_sid, seconds, keep_days };
    calls::told(client, tools, &account.tenant, Carrier::Twilio, &callback.call_sid, news).await?;
    Ok(StatusCode::NO_CONTENT)
}
