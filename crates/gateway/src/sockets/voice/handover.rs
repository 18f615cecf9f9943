//! A caller is handed to a person over Twilio. Cold: Twilio is told to dial. Warm: the colleague is dialled first and hears, before the two are
//! connected, who calls and why; pressing 1 takes the call. The caller hears it ring meanwhile, and comes back to the agent if nobody takes it.

use axum::extract::{OriginalUri, Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use colloquy_actors::ActorError;
use colloquy_actors::calls::{self, CallEntity, Live};
use colloquy_actors::core::ask;
use colloquy_actors::domain::Principal;
use colloquy_actors::domain::agent::config::AgentConfig;
use colloquy_actors::domain::call::whisper::{self, Phrases};
use colloquy_actors::domain::call::{Call, Command, Stage, Transfer, TransferKind, Untaken};
use colloquy_actors::domain::ids::CallId;
use colloquy_actors::telephony::twilio::callbacks::{CallStatus, CallWebhook, Dialled, Gathered};
use colloquy_actors::telephony::twilio::form::Form;
use colloquy_actors::telephony::twilio::twiml::{self, Element};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::webhooks::{About, end, gone_on, hung_up, patiently};
use crate::app::{App, AppState};
use crate::body::Query;
use crate::problem::{Problem, Result};
use crate::routes::messages::{Account, account_of, believe, form, malformed};

/// How long a colleague's telephone rings, seconds: shorter than until most voicemail boxes answer.
const RING_S: u32 = 25;
/// How long a colleague may think after the words, seconds; they are said twice.
const THINK_S: u32 = 7;
/// The keys that take the call, and send it back.
const TAKE: &str = "1";
const SEND_BACK: &str = "2";

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(whispered)).routes(routes!(pressed)).routes(routes!(dialled))
}

/// Instructions to put a caller through.
pub(super) fn put_through(transfer: &Transfer) -> twiml::Response {
    let dial = twiml::dial(None, None, None).with(twiml::number(&transfer.to));
    twiml::Response::new().then(dial)
}

/// Instructions for a call that is to be handed on now.
pub(super) async fn instructions(app: &AppState, account: &Account, call: &Call) -> Result<twiml::Response> {
    let Some(transfer) = call.handing_on() else { return Ok(hung_up()) };
    match transfer.kind {
        TransferKind::Cold => {
            // From here the call is the other person's.
            end(app, account, call, None).await?;
            Ok(put_through(transfer))
        }
        TransferKind::Warm => {
            tell(app, account, call, Command::TransferCalling).await?;
            let line = call.is.as_ref().and_then(|is| is.line.as_deref());
            let colleague =
                twiml::number(&transfer.to).set("url", at(app, account, call, "whisper")).set("method", "POST");
            let dial = twiml::dial(Some(&at(app, account, call, "transfer")), line, Some(RING_S)).set("method", "POST");
            Ok(twiml::Response::new().then(dial.with(colleague)))
        }
    }
}

/// An address of ours about a call.
fn at(app: &AppState, account: &Account, call: &Call, what: &str) -> String {
    format!("{}/api/voice/twilio/{what}/{}?c={}", app.settings.api_url, account.connection_id(), call.id)
}

/// Twilio: a colleague has answered, whom a caller is to be handed to. They hear who calls and why.
#[utoipa::path(post, path = "/api/voice/twilio/whisper/{connection_id}", tag = "calls", params(("connection_id" = String, Path), ("c" = String, Query)), responses((status = 200, content_type = "text/xml"), (status = 401)))]
async fn whispered(
    State(app): State<App>,
    Path(connection): Path<String>,
    Query(about): Query<About>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response> {
    let form = form(&body)?;
    let again = about.again(&format!("{}/api/voice/twilio/whisper/{connection}", app.settings.api_url));
    patiently(again, || async {
        let account = account_of(&app, &connection).await?;
        believe(&app, &account, &uri, &headers, &form)?;
        let call = of(&app, &account, &about).await?;
        let config = config_of(&app, &account, &call).await?;
        let phrases = whisper::phrases(&config.voice_language);
        if call.status.over() || call.handing_on().is_none() {
            return Ok(said(phrases.gone, &config).then(twiml::hang_up()));
        }
        let Some(conversation) = call.conversation_id.clone() else { return Ok(hung_up()) };
        let live = Live { call: call.id.clone(), conversation };
        let by = Principal::system(account.tenant.clone());
        let state = calls::conversation_of(&app.actors.client, &by, &live).await?;
        let summary = whisper::summary(&config, &state, &call.id);
        let listen = |words: &str| gathered(&at(&app, &account, &call, "whisper/answer"), &config, words, phrases);
        // A voicemail box presses nothing, and is hung up on.
        Ok(twiml::Response::new().then(listen(&summary)).then(listen(&summary)).then(twiml::hang_up()))
    })
    .await
}

/// Twilio: which key a colleague pressed.
#[utoipa::path(post, path = "/api/voice/twilio/whisper/answer/{connection_id}", tag = "calls", params(("connection_id" = String, Path), ("c" = String, Query)), responses((status = 200, content_type = "text/xml"), (status = 401)))]
async fn pressed(
    State(app): State<App>,
    Path(connection): Path<String>,
    Query(about): Query<About>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response> {
    let form = form(&body)?;
    // Asked again the key is not said again: they hear it once more, and press once more.
    let again = about.again(&format!("{}/api/voice/twilio/whisper/{connection}", app.settings.api_url));
    patiently(again, || async {
        let account = account_of(&app, &connection).await?;
        believe(&app, &account, &uri, &headers, &form)?;
        let call = of(&app, &account, &about).await?;
        let config = config_of(&app, &account, &call).await?;
        let phrases = whisper::phrases(&config.voice_language);
        match Gathered::read(&form).digits.as_deref() {
            Some(TAKE) => Ok(match tell(&app, &account, &call, Command::TransferTaken).await? {
                // The end of these instructions connects the two.
                true => said(phrases.connecting, &config),
                false => said(phrases.gone, &config).then(twiml::hang_up()),
            }),
            Some(SEND_BACK) => {
                tell(&app, &account, &call, Command::TransferReturned { why: Untaken::Declined }).await?;
                Ok(said(phrases.taken_back, &config).then(twiml::hang_up()))
            }
            _ => Ok(twiml::Response::new().then(twiml::redirect(&at(&app, &account, &call, "whisper")))),
        }
    })
    .await
}

/// Twilio: the call to a colleague is over. Taken, so is the caller's; otherwise the caller comes back.
#[utoipa::path(post, path = "/api/voice/twilio/transfer/{connection_id}", tag = "calls", params(("connection_id" = String, Path), ("c" = String, Query)), responses((status = 200, content_type = "text/xml"), (status = 401)))]
async fn dialled(
    State(app): State<App>,
    Path(connection): Path<String>,
    Query(about): Query<About>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response> {
    let form = form(&body)?;
    let again = about.again(&format!("{}/api/voice/twilio/transfer/{connection}", app.settings.api_url));
    patiently(again, || async {
        let account = account_of(&app, &connection).await?;
        believe(&app, &account, &uri, &headers, &form)?;
        let call = of(&app, &account, &about).await?;
        let told = CallWebhook::read(&form).map_err(malformed)?;
        if call.status.over() {
            return Ok(hung_up());
        }
        if told.status.as_ref().is_some_and(|status| status.is_terminal()) {
            end(&app, &account, &call, None).await?;
            return Ok(hung_up());
        }
        tell(&app, &account, &call, Command::TransferReturned { why: why(&form) }).await?;
        let call = of(&app, &account, &about).await?;
        debug_assert!(call.transfer.as_ref().is_none_or(|transfer| transfer.stage != Stage::Calling));
        match gone_on(&app, &account, &call, &told.call_sid).await? {
            Some(back) => Ok(back),
            None => {
                end(&app, &account, &call, None).await?;
                Ok(hung_up())
            }
        }
    })
    .await
}

/// Why nobody took it, as far as Twilio says; asked again after a pause it says nothing.
fn why(form: &Form) -> Untaken {
    match Dialled::read(form).map(|dialled| dialled.status) {
        Ok(CallStatus::Busy) => Untaken::Busy,
        Ok(CallStatus::Failed) => Untaken::Failed,
        Ok(CallStatus::Canceled) => Untaken::CallerLeft,
        // Answered, and no key was pressed: a machine, or somebody who did not want to.
        Ok(_) | Err(_) => Untaken::NoAnswer,
    }
}

fn said(words: &str, config: &AgentConfig) -> twiml::Response {
    twiml::Response::new().then(twiml::say(words, None, Some(&config.voice_language)))
}

fn gathered(action: &str, config: &AgentConfig, words: &str, phrases: &Phrases) -> Element {
    let words = format!("{words} {}", phrases.keys);
    twiml::gather("dtmf", action).set("numDigits", 1).set("timeout", THINK_S).with(twiml::say(
        &words,
        None,
        Some(&config.voice_language),
    ))
}

/// Tells the call; `false` when it is not waiting for this any more.
async fn tell(app: &AppState, account: &Account, call: &Call, command: Command) -> Result<bool> {
    let by = Principal::system(account.tenant.clone());
    match ask::<CallEntity>(&app.actors.client, &by, call.id.as_str(), command).await {
        Ok(_) => Ok(true),
        Err(ActorError::Rejected(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The call that an address names; one of another account is none.
async fn of(app: &AppState, account: &Account, about: &About) -> Result<Call> {
    let id = CallId::from(about.c.as_deref().unwrap_or_default());
    let by = Principal::system(account.tenant.clone());
    let call = calls::find(&app.actors.client, &by, &id).await?;
    call.ok_or_else(|| Problem::not_found("call"))
}

async fn config_of(app: &AppState, account: &Account, call: &Call) -> Result<std::sync::Arc<AgentConfig>> {
    let agent = call.is.as_ref().map(|is| is.agent_id.clone()).ok_or_else(|| Problem::not_found("call"))?;
    Ok(app.actors.tools.agent(&app.actors.client, &account.tenant, &agent).await?.config.clone())
}
