//! `/api/conversations`: watching, steering, explaining and rewinding conversations.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use colloquy_actors::cluster::EntityKey;
use colloquy_actors::cluster::store::rows::Range;
use colloquy_actors::conversation::{self as actor, ConversationEntity};
use colloquy_actors::core::{ask, ask_after_rows};
use colloquy_actors::domain::agent::patch;
use colloquy_actors::domain::contact_guard::Address;
use colloquy_actors::domain::conversation::alerts;
use colloquy_actors::domain::conversation::delivery::{deliveries, reach};
use colloquy_actors::domain::conversation::{self, Command, Reply, State as Talk, view};
use colloquy_actors::domain::ids::{ConversationId, TenantId, UserId};
use colloquy_actors::domain::inbox::Marks;
use colloquy_actors::domain::local_time::{local_clock, zone_or_utc};
use colloquy_actors::domain::principal::Role;
use colloquy_actors::domain::text::search::{self, Sought};
use colloquy_actors::domain::vocabulary::Channel;
use colloquy_actors::inbox;
use colloquy_wire::common::ListQuery;
use colloquy_wire::conversations as wire;
use colloquy_wire::inbox::{ChunkText, ChunkTexts, ReadMark, Streaming};
use colloquy_wire::messages as wire_messages;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::agents::only_agent;
use super::attachments;
use crate::accounts::fresh_id;
use crate::app::{App, AppState};
use crate::auth::Console;
use crate::body::{Json, Query};
use crate::problem::{Problem, Result};
use crate::{etag, listing, times};

/// Messages of one page.
const MESSAGES: usize = 200;
/// Chunks whose text is asked for at once: a trace names a handful.
const CHUNKS_MAX: usize = 50;
/// Events of one page of a journal.
const JOURNAL: usize = 500;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, update))
        .routes(routes!(takeover))
        .routes(routes!(handback))
        .routes(routes!(say))
        .routes(routes!(whisper))
        .routes(routes!(read))
        .routes(routes!(chunks))
        .routes(routes!(journal))
        .routes(routes!(replay))
        .routes(routes!(fork))
        .routes(routes!(merge))
}

#[derive(Debug, Deserialize)]
struct Filter {
    agent_id: Option<String>,
    channel: Option<String>,
    status: Option<String>,
    urgency: Option<String>,
    assigned_to: Option<String>,
    from: Option<String>,
    to: Option<String>,
    hour: Option<u8>,
    weekday: Option<u8>,
    q: Option<String>,
    unread: Option<bool>,
    trial: Option<bool>,
    limit: Option<usize>,
    cursor: Option<String>,
}

impl Filter {
    /// Whether a conversation began in the hour and on the weekday that are asked for, as clocks of the zone show them.
    fn in_hours(&self, zone: &TimeZone, row: &Value) -> bool {
        if self.hour.is_none() && self.weekday.is_none() {
            return true;
        }
        let Some(began) = row["started_at"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()) else {
            return false;
        };
        let clock = local_clock(zone, began.as_millisecond());
        self.hour.is_none_or(|hour| hour == clock.hour)
            && self.weekday.is_none_or(|weekday| usize::from(weekday) == clock.weekday)
    }
}

/// Conversations, newest first; with `trial` only those in which people of the organization try an agent (`true`) or all others (`false`). With `q` those in whose messages all its words occur, the last one also as the beginning of a word.
#[utoipa::path(get, path = "/api/conversations", tag = "conversations", params(
    ("agent_id" = Option<String>, Query), ("channel" = Option<String>, Query), ("status" = Option<String>, Query), ("urgency" = Option<String>, Query),
    ("assigned_to" = Option<String>, Query), ("from" = Option<String>, Query), ("to" = Option<String>, Query), ("hour" = Option<u8>, Query), ("weekday" = Option<u8>, Query),
    ("q" = Option<String>, Query), ("unread" = Option<bool>, Query), ("trial" = Option<bool>, Query),
    ("limit" = Option<usize>, Query), ("cursor" = Option<String>, Query),
), responses((status = 200, body = Value)))]
async fn list(State(app): State<App>, console: Console, Query(filter): Query<Filter>) -> Result<Json<Value>> {
    let only = only_agent(&console).map(|id| id.0);
    if filter.hour.is_some_and(|hour| hour > 23) {
        return Err(Problem::field("hour", "must be 0 to 23"));
    }
    if filter.weekday.is_some_and(|weekday| weekday > 6) {
        return Err(Problem::field("weekday", "must be 0 (Monday) to 6 (Sunday)"));
    }
    let zone = zone_or_utc(&app.actors.organization(console.tenant()).await?.facts.timezone);
    let (from, to) = times::stretch(&zone, filter.from.as_deref(), filter.to.as_deref())?;
    let query = ListQuery { limit: filter.limit, cursor: filter.cursor.clone() };
    let wanted = [
        ("agent_id", &filter.agent_id),
        ("agent_id", &only),
        ("channel", &filter.channel),
        ("status", &filter.status),
        ("urgency", &filter.urgency),
        ("assigned_to", &filter.assigned_to),
    ];
    // What programs have read is nobody's business: for them nothing is unread.
    let marks = match console.user() {
        Ok(user) => Some(inbox::marks(&app.actors.client, &app.actors.tools, console.tenant(), user).await?),
        Err(_) => None,
    };
    let only_unread = filter.unread == Some(true);
    let keep = |row: &Value| {
        wanted.iter().all(|(key, value)| value.as_ref().is_none_or(|value| row[*key] == value.as_str()))
            && filter.in_hours(&zone, row)
            && filter.trial.is_none_or(|trial| trial == (row["trial"] == true))
            && (!only_unread || unread(row, marks.as_deref()) > 0)
    };
    let mut page = match filter.q.as_deref() {
        None => listing::page(&app, console.tenant().as_str(), actor::LIST, &query, from, to, keep).await?,
        Some(text) => searched(&app, &console, text, &query, (from, to), keep).await?,
    };
    for row in &mut page.items {
        row["unread"] = json!(unread(row, marks.as_deref()));
    }
    Ok(page.body())
}

/// How many messages of the visitor somebody has not read, as far as a row can tell.
fn unread(row: &Value, marks: Option<&Marks>) -> usize {
    let Some(marks) = marks else { return 0 };
    let id = ConversationId(row["id"].as_str().unwrap_or_default().to_owned());
    let started_ms = times::parse("started_at", row["started_at"].as_str()).ok().flatten().unwrap_or(0);
    let read = marks.read(&id, started_ms);
    let seqs = row["visitor_seqs"].as_array().into_iter().flatten();
    seqs.filter(|seq| seq.as_u64().is_some_and(|seq| seq > read)).count()
}

/// Note how far you have read, or that it is to count as unread. It is your own mark: nobody else sees it.
#[utoipa::path(post, path = "/api/conversations/{id}/read", tag = "conversations", params(("id" = String, Path)), request_body = ReadMark, responses((status = 204)))]
async fn read(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    Json(body): Json<ReadMark>,
) -> Result<StatusCode> {
    let user = console.user()?;
    let state = whole(&app, &console, &id).await?;
    let upto = match (body.seq, body.unread.unwrap_or(false)) {
        (0, true) => None,
        (_, true) => return Err(Problem::field("seq", "must be 0 to mark a conversation unread")),
        (seq, false) if (1..=state.seq).contains(&seq) => Some(seq),
        (_, false) => return Err(Problem::field("seq", format!("must be 1 to {}", state.seq))),
    };
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    inbox::mark(client, tools, &console.by, user, ConversationId(id), state.started_at_ms, upto).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One page of what a search finds.
async fn searched(
    app: &AppState,
    console: &Console,
    text: &str,
    query: &ListQuery,
    (from_ms, to_ms): (Option<i64>, Option<i64>),
    keep: impl Fn(&Value) -> bool,
) -> Result<listing::Page> {
    let length = text.trim().chars().count();
    if !(search::QUERY_CHARS_MIN..=search::QUERY_CHARS_MAX).contains(&length) {
        let bounds = format!("must have {} to {} characters", search::QUERY_CHARS_MIN, search::QUERY_CHARS_MAX);
        return Err(Problem::field("q", bounds));
    }
    let sought = Sought::parse(text).ok_or_else(|| Problem::field("q", "must contain a word"))?;
    let after = query.cursor.as_deref().map(listing::decode).transpose()?;
    let range = Range { from_ms, to_ms, after, limit: listing::limit(query)? };
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    let found = colloquy_actors::search::find(client, tools, console.tenant(), &sought, &range, keep).await?;
    let items = found.items.into_iter().map(|(mut row, found)| {
        row["match"] = json!(found);
        row
    });
    Ok(listing::Page { items: items.collect(), next: found.next.as_ref().map(listing::encode), damaged: Vec::new() })
}

#[derive(Debug, Deserialize)]
struct Before {
    messages_cursor: Option<u64>,
}

/// One conversation with its messages and how each answer came about.
#[utoipa::path(get, path = "/api/conversations/{id}", tag = "conversations", params(("id" = String, Path), ("messages_cursor" = Option<u64>, Query)), responses((status = 200, body = Value)))]
async fn show(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    Query(before): Query<Before>,
) -> Result<Response> {
    let state = whole(&app, &console, &id).await?;
    let (shown, cursor) = newest(&state, before.messages_cursor);
    let body = json!({
        "conversation": with_hash(&state),
        "messages": shown.iter().map(|message| view::message(message)).collect::<Vec<_>>(),
        "messages_cursor": cursor,
        "trace": traces(&state),
        "deliveries": deliveries(&state),
        "alerts": alerts::views(&state),
        "lines": reach(&state, app.now_ms()),
        "links": state.links,
        "merged_into": state.merged_into,
        "streaming": streaming(&app, console.tenant(), &id, &state).await,
    });
    Ok(etag::tagged(&body, state.seq))
}

/// Change status, urgency or whose it is.
#[utoipa::path(patch, path = "/api/conversations/{id}", tag = "conversations", params(("id" = String, Path)), request_body = wire::ConversationPatch, responses((status = 200, body = Value)))]
async fn update(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<wire::ConversationPatch>,
) -> Result<Response> {
    let state = whole(&app, &console, &id).await?;
    if let Some(version) = etag::if_match(&headers)?
        && version != state.seq
    {
        return Err(colloquy_actors::domain::Rejection::Stale { current: with_hash(&state) }.into());
    }
    if let Some(Some(user)) = &body.assigned_to
        && app.actors.member(console.tenant(), &UserId(user.clone())).await?.is_none()
    {
        return Err(Problem::field("assigned_to", "must be a member of the organization"));
    }
    let command = Command::Update {
        status: word("status", body.status)?,
        urgency: word("urgency", body.urgency)?,
        assigned_to: body.assigned_to.map(|user| user.map(UserId)),
    };
    steer(&app, &console, &id, command).await?;
    let state = whole(&app, &console, &id).await?;
    Ok(etag::tagged(&with_hash(&state), state.seq))
}

/// Take the floor: the assistant is silent until it is handed back.
#[utoipa::path(post, path = "/api/conversations/{id}/takeover", tag = "conversations", params(("id" = String, Path)), responses((status = 200, body = Value)))]
async fn takeover(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<Json<Value>> {
    console.user()?;
    steer(&app, &console, &id, Command::Takeover).await?;
    Ok(Json(with_hash(&whole(&app, &console, &id).await?)))
}

/// Give the floor back to the assistant.
#[utoipa::path(post, path = "/api/conversations/{id}/handback", tag = "conversations", params(("id" = String, Path)), responses((status = 200, body = Value)))]
async fn handback(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<Json<Value>> {
    steer(&app, &console, &id, Command::Handback).await?;
    Ok(Json(with_hash(&whole(&app, &console, &id).await?)))
}

/// Say something to the visitor, as a person, in words, with files or both. What a carrier cannot take along goes as a link in the words.
#[utoipa::path(post, path = "/api/conversations/{id}/messages", tag = "conversations", params(("id" = String, Path)), request_body = wire::PersonMessage, responses((status = 201, body = Value)))]
async fn say(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<wire::PersonMessage>,
) -> Result<Response> {
    console.user()?;
    let channel: Option<Channel> = word("channel", body.channel)?;
    if let Some(channel @ (Channel::Sms | Channel::Whatsapp)) = channel {
        let state = whole(&app, &console, &id).await?;
        open_line(&app, &console, &state, channel, None).await?;
    }
    let named = attachments::named(&app, &console, &id, body.attachments.as_deref().unwrap_or_default()).await?;
    let files = named.iter().map(|(file, _)| file.clone()).collect();
    let client_message_id = idempotency(&headers);
    let command = Command::HumanMessage { client_message_id, text: body.content, channel, files };
    let reply = steer(&app, &console, &id, command).await?;
    attachments::stand(&app, &console, &id, &named).await?;
    said(reply)
}

/// Says something over a carrier to a number, as a person; the message's id.
pub(crate) async fn say_over(
    app: &AppState,
    console: &Console,
    id: &str,
    channel: Channel,
    text: String,
    headers: &HeaderMap,
    address: &Address,
) -> Result<String> {
    let state = whole(app, console, id).await?;
    open_line(app, console, &state, channel, Some(address)).await?;
    let client_message_id = idempotency(headers);
    let command = Command::HumanMessage { client_message_id, text, channel: Some(channel), files: Vec::new() };
    match steer(app, console, id, command).await? {
        Reply::Said { message_id, .. } => Ok(message_id.0),
        _ => Err(Problem::not_found("conversation")),
    }
}

/// Brings the line of a conversation up to date: the agent's number as it is now, and the person's, by proof before by what was said.
async fn open_line(
    app: &AppState,
    console: &Console,
    state: &Talk,
    channel: Channel,
    given: Option<&Address>,
) -> Result<()> {
    let proven = state.lines.get(&channel).map(|line| line.to.clone());
    let said = state.visitor.phone.clone().or_else(|| state.contact.phone.clone());
    let to = match (given, proven) {
        (Some(Address::Phone(number)), _) => number.clone(),
        (Some(Address::Email(_)) | None, Some(proven)) => proven,
        // Numbers are kept in international form; what is none reaches nobody.
        (Some(Address::Email(_)) | None, None) => match said {
            Some(number) => number,
            None => return Ok(()),
        },
    };
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    let Some(line) = tools.line_to(client, console.tenant(), &state.agent_id, channel, &to).await? else {
        return Ok(()); // The conversation itself refuses what has no line.
    };
    let command = Command::OpenLine { channel, line: Box::new(line) };
    steer(app, console, state.id.as_str(), command).await.map(|_| ())
}

/// Merge this conversation into another one of the same person: it ends, and its numbers, values and contact go along. Its messages stay here.
#[utoipa::path(post, path = "/api/conversations/{id}/merge", tag = "conversations", params(("id" = String, Path)), request_body = wire_messages::Merge, responses((status = 200, body = Value)))]
async fn merge(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    Json(body): Json<wire_messages::Merge>,
) -> Result<Json<Value>> {
    let from = whole(&app, &console, &id).await?;
    let into = match whole(&app, &console, &body.into).await {
        Ok(into) => into,
        Err(problem) if problem.body.status == 404 => {
            return Err(Problem::field("into", "must be a conversation of your organization"));
        }
        Err(problem) => return Err(problem),
    };
    if into.agent_id != from.agent_id {
        return Err(Problem::field("into", "must be a conversation with the same agent"));
    }
    if into.sandbox || into.closed.is_some() {
        return Err(Problem::conflict("conversation_closed", "The other conversation has ended or is a sandbox."));
    }
    let command = Command::MergeInto { into: ConversationId(body.into.clone()) };
    steer(&app, &console, &id, command).await?;
    Ok(Json(with_hash(&whole(&app, &console, &body.into).await?)))
}

/// Tell the assistant something that the visitor never sees; it steers the next answer.
#[utoipa::path(post, path = "/api/conversations/{id}/whisper", tag = "conversations", params(("id" = String, Path)), request_body = wire::PersonMessage, responses((status = 201, body = Value)))]
async fn whisper(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    Json(body): Json<wire::PersonMessage>,
) -> Result<Response> {
    console.user()?;
    said(steer(&app, &console, &id, Command::Whisper { text: body.content }).await?)
}

#[derive(Debug, Deserialize)]
struct ChunkQuery {
    #[serde(default)]
    ids: String,
}

/// What chunks say that this conversation's answers were made from, as far as the agent's index still has them.
#[utoipa::path(get, path = "/api/conversations/{id}/chunks", tag = "conversations", params(("id" = String, Path), ("ids" = String, Query)), responses((status = 200, body = ChunkTexts)))]
async fn chunks(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    Query(query): Query<ChunkQuery>,
) -> Result<Json<ChunkTexts>> {
    let state = whole(&app, &console, &id).await?;
    let ids: Vec<&str> = query.ids.split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
    if ids.is_empty() || ids.len() > CHUNKS_MAX {
        return Err(Problem::field("ids", format!("must name 1 to {CHUNKS_MAX} chunks, separated by commas")));
    }
    let known: BTreeSet<&str> = state
        .turns
        .iter()
        .filter_map(|turn| turn.trace.as_ref())
        .flat_map(|trace| trace.retrieved.iter().map(|retrieved| retrieved.chunk_id.as_str()))
        .collect();
    if let Some(id) = ids.iter().find(|id| !known.contains(*id)) {
        return Err(Problem::field("ids", format!("`{id}` is in no answer of this conversation")));
    }
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    let texts = tools.knowledge.texts(client, console.tenant(), &state.agent_id, &ids).await?;
    let items = ids.iter().map(|id| match texts.get(*id) {
        Some(passage) => ChunkText {
            chunk_id: (*id).to_owned(),
            text: passage.text.clone(),
            title: passage.title.clone(),
            url: passage.url.clone(),
            gone: false,
        },
        None => {
            ChunkText { chunk_id: (*id).to_owned(), text: String::new(), title: String::new(), url: None, gone: true }
        }
    });
    Ok(Json(ChunkTexts { items: items.collect() }))
}

#[derive(Debug, Deserialize)]
struct JournalQuery {
    after: Option<u64>,
    limit: Option<usize>,
}

/// The events of a conversation, in order.
#[utoipa::path(get, path = "/api/conversations/{id}/journal", tag = "conversations", params(("id" = String, Path), ("after" = Option<u64>, Query), ("limit" = Option<usize>, Query)), responses((status = 200, body = Value)))]
async fn journal(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    Query(query): Query<JournalQuery>,
) -> Result<Json<Value>> {
    whole(&app, &console, &id).await?;
    let limit = query.limit.unwrap_or(JOURNAL).clamp(1, JOURNAL);
    let records = app.actors.client.journal(&key(&console, &id), query.after.unwrap_or(0), limit).await?;
    let next = (records.len() == limit).then(|| records.last().map(|record| record.seq)).flatten();
    let items: Vec<Value> = records
        .into_iter()
        .map(|record| json!({ "seq": record.seq, "at": colloquy_actors::domain::local_time::rfc3339(record.at_ms), "epoch": record.epoch, "version": record.version, "event": record.event }))
        .collect();
    Ok(Json(json!({ "items": items, "next_cursor": next })))
}

#[derive(Debug, Deserialize)]
struct At {
    at: Option<u64>,
}

/// The state after an event, rebuilt from the journal.
#[utoipa::path(get, path = "/api/conversations/{id}/replay", tag = "conversations", params(("id" = String, Path), ("at" = Option<u64>, Query)), responses((status = 200, body = Value)))]
async fn replay(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    Query(query): Query<At>,
) -> Result<Json<Value>> {
    let (state, hash, seq) = rebuilt(&app, &console, &id, query.at).await?;
    Ok(Json(json!({ "state": state, "state_hash": hash, "seq": seq })))
}

/// A sandbox conversation that continues from an event, with other settings; it never reaches a person.
#[utoipa::path(post, path = "/api/conversations/{id}/fork", tag = "conversations", params(("id" = String, Path)), request_body = wire::Fork, responses((status = 201, body = Value)))]
async fn fork(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    Json(body): Json<wire::Fork>,
) -> Result<Response> {
    console.need(Role::Rep, "try a conversation differently")?;
    let (mut state, _, at) = rebuilt(&app, &console, &id, Some(body.at)).await?;
    if at == 0 || at != body.at {
        return Err(Problem::field("at", format!("must be 1 to {at}")));
    }
    let agent = app.actors.tools.agent(&app.actors.client, console.tenant(), &state.agent_id).await?;
    if let Some(fields) = body.agent_config {
        state.config_override = Some(Box::new(patch::patched(&agent.config, &Value::Object(fields))?));
    }
    let sandbox = ConversationId(fresh_id());
    let command = Command::Fork { id: sandbox.clone(), from: ConversationId(id), at, state: Box::new(state.clone()) };
    ask::<ConversationEntity>(&app.actors.client, &console.by, sandbox.as_str(), command).await?;
    if let Some(message) = body.message {
        app.actors.try_out(&console.by, &sandbox, &state, &agent, message).await?;
    }
    let state = whole(&app, &console, sandbox.as_str()).await?;
    let messages: Vec<Value> = state.messages.iter().map(|message| json!(view::message(message))).collect();
    Ok((
        StatusCode::CREATED,
        Json(json!({ "conversation": with_hash(&state), "messages": messages, "trace": traces(&state) })),
    )
        .into_response())
}

/// The newest messages of a page before a sequence number, and the cursor for older ones.
pub(crate) fn newest(state: &Talk, before: Option<u64>) -> (Vec<&conversation::Message>, Option<u64>) {
    let before = before.unwrap_or(u64::MAX);
    let mut shown: Vec<&conversation::Message> = state.messages.iter().filter(|message| message.seq < before).collect();
    let from = shown.len().saturating_sub(MESSAGES);
    let cursor = if from == 0 { None } else { shown.get(from).map(|message| message.seq) };
    (shown.split_off(from), cursor)
}

/// The whole state, for this principal.
pub(crate) async fn whole(app: &AppState, console: &Console, id: &str) -> Result<Talk> {
    match ask::<ConversationEntity>(&app.actors.client, &console.by, id, Command::Get).await? {
        Reply::State(state) => {
            if only_agent(console).is_some_and(|only| only != state.agent_id) {
                return Err(Problem::not_found("conversation"));
            }
            Ok(*state)
        }
        _ => Err(Problem::not_found("conversation")),
    }
}

/// Does something in a conversation, as a person.
pub(crate) async fn steer(app: &AppState, console: &Console, id: &str, command: Command) -> Result<Reply> {
    console.need(Role::Rep, "work on conversations")?;
    whole(app, console, id).await?;
    Ok(ask_after_rows::<ConversationEntity>(&app.actors.client, &console.by, id, command).await?)
}

async fn rebuilt(app: &AppState, console: &Console, id: &str, at: Option<u64>) -> Result<(Talk, String, u64)> {
    whole(app, console, id).await?;
    let folded = app.actors.client.replay::<ConversationEntity>(console.tenant().as_str(), id, at).await?;
    Ok((folded.state, folded.hash, folded.seq))
}

fn with_hash(state: &Talk) -> Value {
    let mut body = json!(view::conversation(state));
    body["seq"] = json!(state.seq);
    body["state_hash"] = json!(colloquy_actors::cluster::record::state_hash::<ConversationEntity>(state));
    body
}

/// What was shown of an answer that does not stand yet. The nodes are asked for it only while there is one.
pub(crate) async fn streaming(app: &AppState, tenant: &TenantId, id: &str, state: &Talk) -> Option<Streaming> {
    let open = state.open.as_ref()?;
    let key = EntityKey::new(tenant.as_str(), conversation::KIND, id);
    let shown = actor::streaming(&app.actors.client, &key, &open.answer_id).await?;
    Some(Streaming {
        message_id: shown.message_id.0,
        attempt: shown.attempt,
        next_index: shown.next_index,
        text: shown.text,
    })
}

/// How each answer came about, oldest first.
fn traces(state: &Talk) -> Vec<view::TraceView> {
    state.turns.iter().filter_map(view::trace).collect()
}

fn said(reply: Reply) -> Result<Response> {
    match reply {
        Reply::Said { message_id, seq } => {
            Ok((StatusCode::CREATED, Json(json!({ "id": message_id, "seq": seq }))).into_response())
        }
        _ => Err(Problem::not_found("conversation")),
    }
}

fn key(console: &Console, id: &str) -> EntityKey {
    EntityKey::new(console.tenant().as_str(), conversation::KIND, id)
}

fn idempotency(headers: &HeaderMap) -> Option<String> {
    headers.get("idempotency-key").and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// A word of an enumeration.
pub(crate) fn word<T: serde::de::DeserializeOwned>(field: &str, text: Option<String>) -> Result<Option<T>> {
    let Some(text) = text else { return Ok(None) };
    serde_json::from_value(json!(text)).map(Some).map_err(|error| Problem::field(field, error.to_string()))
}
