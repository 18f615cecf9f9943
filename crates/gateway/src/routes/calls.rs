//! `/api/voice/calls`: who called whom, what was said, how it went; and what people do to a call that goes on.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use colloquy_actors::calls::{self as actor, CallEntity, Live};
use colloquy_actors::core::ask_after_rows;
use colloquy_actors::domain::Principal;
use colloquy_actors::domain::audit::Entry;
use colloquy_actors::domain::call::view::{CallView, view};
use colloquy_actors::domain::call::{Call, Command, TransferKind};
use colloquy_actors::domain::contact_guard::Address;
use colloquy_actors::domain::conversation::view::message;
use colloquy_actors::domain::ids::CallId;
use colloquy_actors::domain::lines::Provider;
use colloquy_actors::domain::principal::Role;
use colloquy_actors::{ActorError, campaign, conversation};
use colloquy_wire::common::ListQuery;
use colloquy_wire::voice as wire;
use futures::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::agents::only_agent;
use super::wav;
use crate::app::{App, AppState};
use crate::audit;
use crate::auth::{Address as Caller, Console};
use crate::body::{Json, Query};
use crate::listing;
use crate::problem::{Problem, Result};
use crate::times;

/// Rows of other lists that are read at once for a page of calls.
const NAMES_AT_ONCE: usize = 16;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(hang_up))
        .routes(routes!(transfer))
        .routes(routes!(status))
        .routes(routes!(voices))
        .routes(routes!(recording))
}

#[derive(Debug, Deserialize)]
struct Filter {
    agent_id: Option<String>,
    status: Option<String>,
    from: Option<String>,
    to: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// Calls, newest first; `from` and `to` are times.
#[utoipa::path(get, path = "/api/voice/calls", tag = "calls", params(
    ("agent_id" = Option<String>, Query), ("status" = Option<String>, Query), ("from" = Option<String>, Query), ("to" = Option<String>, Query),
    ("limit" = Option<usize>, Query), ("cursor" = Option<String>, Query),
), responses((status = 200, body = Value)))]
async fn list(State(app): State<App>, console: Console, Query(filter): Query<Filter>) -> Result<Json<Value>> {
    let only = only_agent(&console).map(|id| id.0);
    let query = ListQuery { limit: filter.limit, cursor: filter.cursor.clone() };
    let (from, to) = (times::parse("from", filter.from.as_deref())?, times::parse("to", filter.to.as_deref())?);
    let mut page = listing::page(&app, console.tenant().as_str(), actor::LIST, &query, from, to, |row| {
        let same = |key: &str, wanted: Option<&str>| wanted.is_none_or(|wanted| row[key] == wanted);
        same("agent_id", filter.agent_id.as_deref())
            && same("agent_id", only.as_deref())
            && same("status", filter.status.as_deref())
    })
    .await?;
    named(&app, &console, &mut page.items).await?;
    Ok(page.body())
}

/// Adds what calls' own rows do not hold, because it is said in one place each: who was at the other end, as the conversation knows them, and the name of the
/// campaign. Who only watches sees of a campaign's calls how they go and not whom they reach, as on the campaign's own lists.
async fn named(app: &AppState, console: &Console, rows: &mut [Value]) -> Result<()> {
    let people = column(app, console, rows, "conversation_id", conversation::LIST, "visitor_name").await?;
    let campaigns = column(app, console, rows, "campaign_id", campaign::LIST, "name").await?;
    for row in rows {
        let of = |names: &BTreeMap<String, String>, key: &str| row[key].as_str().and_then(|id| names.get(id)).cloned();
        let (person, campaign) = (of(&people, "conversation_id"), of(&campaigns, "campaign_id"));
        row["name"] = json!(person);
        row["campaign_name"] = json!(campaign);
        hide_reached(console, row);
    }
    Ok(())
}

/// Takes from a campaign's call whom it reached, for who only watches.
pub(crate) fn hide_reached(console: &Console, row: &mut Value) {
    if !row["campaign_id"].is_string() || console.by.at_least(Role::Rep) {
        return;
    }
    row["name"] = Value::Null;
    let Some(number) = row["phone"].as_str().map(str::to_owned) else { return };
    let masked = json!(Address::of_carrier(&number).masked());
    for key in ["phone", "from", "to"] {
        if row[key] == number.as_str() {
            row[key] = masked.clone();
        }
    }
}

/// A column of the rows of another list that these rows name, by id.
async fn column(
    app: &AppState,
    console: &Console,
    rows: &[Value],
    names: &str,
    list: &str,
    wanted: &str,
) -> Result<BTreeMap<String, String>> {
    let ids: BTreeSet<&str> = rows.iter().filter_map(|row| row[names].as_str()).collect();
    let read = |id: String| async move {
        let row = app.actors.client.get::<Value>(console.tenant().as_str(), list, &id).await;
        row.map(|row| row.and_then(|row| Some((id, row.body[wanted].as_str()?.to_owned()))))
    };
    let mut found = BTreeMap::new();
    let mut reading = stream::iter(ids.into_iter().map(str::to_owned).map(read)).buffer_unordered(NAMES_AT_ONCE);
    while let Some(row) = reading.next().await {
        match row {
            Ok(row) => found.extend(row),
            // The call itself is whole: it is shown without.
            Err(error) => tracing::warn!(list, %error, "a row that a call names cannot be read"),
        }
    }
    Ok(found)
}

/// One call with what was said in it, as far as it was heard.
#[utoipa::path(get, path = "/api/voice/calls/{id}", tag = "calls", params(("id" = String, Path)), responses((status = 200, body = Value)))]
async fn show(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<Json<Value>> {
    let (call, shown) = of(&app, &console, &id).await?;
    let mut body = json!(shown);
    named(&app, &console, std::slice::from_mut(&mut body)).await?;
    body["transcript"] = transcript(&app, &call).await?;
    if call.voicemail.is_some() {
        let text = match &call.conversation_id {
            Some(conversation) => actor::left_words(&app.actors.client, &call.tenant, &call.id, conversation).await?,
            None => None,
        };
        body["voicemail"]["transcript"] = json!(text);
    }
    Ok(Json(body))
}

/// End a call that goes on.
#[utoipa::path(post, path = "/api/voice/calls/{id}/hangup", tag = "calls", params(("id" = String, Path)), responses((status = 202, body = Value)))]
async fn hang_up(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Value>)> {
    of(&app, &console, &id).await?;
    console.need(Role::Rep, "end calls")?;
    ask_after_rows::<CallEntity>(&app.actors.client, &console.by, &id, Command::HangUp).await?;
    let (_, shown) = of(&app, &console, &id).await?;
    Ok((StatusCode::ACCEPTED, Json(json!(shown))))
}

/// Put a call that goes on through to a person.
#[utoipa::path(post, path = "/api/voice/calls/{id}/transfer", tag = "calls", params(("id" = String, Path)), request_body = wire::TransferCall, responses((status = 202, body = Value)))]
async fn transfer(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    Json(body): Json<wire::TransferCall>,
) -> Result<(StatusCode, Json<Value>)> {
    of(&app, &console, &id).await?;
    console.need(Role::Rep, "put calls through")?;
    let kind = match body.kind.as_deref() {
        None | Some("cold") => TransferKind::Cold,
        Some("warm") => TransferKind::Warm,
        Some(_) => return Err(Problem::field("kind", "must be cold or warm")),
    };
    let command = Command::Transfer { to: body.to.trim().to_owned(), kind };
    ask_after_rows::<CallEntity>(&app.actors.client, &console.by, &id, command).await?;
    let (_, shown) = of(&app, &console, &id).await?;
    Ok((StatusCode::ACCEPTED, Json(json!(shown))))
}

/// The recording of a call, as a WAV file with the caller on the left and the agent on the right. Who listened stands in the audit log.
#[utoipa::path(get, path = "/api/voice/calls/{id}/recording", tag = "calls", params(("id" = String, Path)), responses((status = 200, content_type = "audio/wav"), (status = 206, content_type = "audio/wav"), (status = 416)))]
async fn recording(
    State(app): State<App>,
    console: Console,
    Caller(address): Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let (call, shown) = of(&app, &console, &id).await?;
    console.need(Role::Rep, "listen to recordings")?;
    if shown.recording.is_none() {
        return Err(Problem::not_found("recording"));
    }
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let answer = wav::answer(&app, &call, range).await?;
    let entry = Entry {
        action: "call.listened".to_owned(),
        resource_kind: "call".to_owned(),
        resource_id: id,
        done: true,
        address: Some(address.to_string()),
        ..Entry::default()
    };
    audit::by(&app, &console.by, entry).await;
    Ok(answer)
}

/// What is set up for calls, and what is missing.
#[utoipa::path(get, path = "/api/voice/status", tag = "calls", responses((status = 200, body = Value)))]
async fn status(State(app): State<App>, console: Console) -> Result<Json<Value>> {
    let lines = app.actors.tools.lines(&app.actors.client, console.tenant()).await?;
    let only = only_agent(&console);
    let numbers = lines.numbers.values().filter(|number| only.as_ref().is_none_or(|only| *only == number.is.agent));
    let voices = &app.actors.tools.voices;
    let note =
        [&["Test calls from the console work without any account.".to_owned()], voices.missing().as_slice()].concat();
    Ok(Json(json!({
        "browser": { "available": true, "listening": voices.listening(), "speech": speaks(&app), "note": note.join(" ") },
        "twilio": { "sound": if voices.ears().is_some() { "ours" } else { "theirs" },
            "note": "Twilio listens and speaks, unless an agent's voice_provider is elevenlabs, openai or espeak-ng: then the sound is made here, which needs Deepgram." },
        "retell": { "available": true,
            "note": "Connect the account and register its numbers: they are set up there. Without that, enter an agent's voice_socket_url as the custom LLM address of its Retell agent." },
        "vapi": { "available": true, "connected": lines.connections.contains_key(&Provider::Vapi),
            "note": "Connect the account, register its number, and enter its webhook_url at Vapi as the number's server URL; or enter an agent's vapi_url as the custom LLM address of an assistant there." },
        "openai_realtime": { "available": voices.openai().is_some(), "note": if voices.openai().is_some() {
            "Test calls may be heard and spoken in a session of OpenAI Realtime, in the console and in pages of yours (POST /api/ai/realtime-token)."
        } else { crate::routes::realtime::NO_KEY } },
        "connected": lines.connections.keys().map(|provider| provider.word()).collect::<Vec<_>>(),
        "numbers": numbers.count(),
    })))
}

/// The voices that an agent can have where the sound is made here, and what is missing.
#[utoipa::path(get, path = "/api/voice/voices", tag = "calls", responses((status = 200, body = wire::VoiceList)))]
async fn voices(State(app): State<App>, _console: Console) -> Result<Json<wire::VoiceList>> {
    let voices = &app.actors.tools.voices;
    let (mut items, mut missing) = (Vec::new(), voices.missing());
    for speech in voices.all() {
        match speech.voices().await {
            Ok(all) => items.extend(all.into_iter().map(|voice| wire::Voice {
                provider: speech.name().to_owned(),
                id: voice.id,
                name: voice.name,
                language: voice.language,
            })),
            Err(error) => {
                tracing::warn!(%error, "voices cannot be listed");
                missing.push(format!("The voices of {} cannot be listed now.", speech.name()));
            }
        }
    }
    Ok(Json(wire::VoiceList {
        items,
        listening: voices.listening().to_owned(),
        speech: speaks(&app).to_owned(),
        missing,
    }))
}

/// Who speaks in test calls of agents that name nobody.
fn speaks(app: &AppState) -> &'static str {
    app.actors.tools.voices.all().next().map_or("none", |speech| speech.name())
}

/// One call, for this principal.
async fn of(app: &AppState, console: &Console, id: &str) -> Result<(Call, CallView)> {
    let gone = || Problem::not_found("call");
    let call = match actor::find(&app.actors.client, &console.by, &CallId::from(id)).await {
        Ok(call) => call.ok_or_else(gone)?,
        Err(ActorError::Rejected(_)) => return Err(gone()),
        Err(error) => return Err(error.into()),
    };
    let shown = view(&call).ok_or_else(gone)?;
    Ok((call, shown))
}

/// What was said, turn by turn.
async fn transcript(app: &AppState, call: &Call) -> Result<Value> {
    let Some(conversation) = call.conversation_id.clone() else { return Ok(json!([])) };
    let by = Principal::system(call.tenant.clone());
    let live = Live { call: call.id.clone(), conversation };
    match actor::conversation_of(&app.actors.client, &by, &live).await {
        Ok(state) => {
            let said = state.messages.iter().filter(|said| said.call.as_ref() == Some(&call.id) && !said.whisper);
            Ok(json!(said.map(message).collect::<Vec<_>>()))
        }
        // Erased since.
        Err(ActorError::Rejected(_)) => Ok(json!([])),
        Err(error) => Err(error.into()),
    }
}
