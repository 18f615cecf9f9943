//! `/api/chat*` and `/api/leads/capture`: what visitors and customers' own front ends may call.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use colloquy_actors::cluster::client::ListRow;
use colloquy_actors::cluster::trace;
use colloquy_actors::conversation::{ConversationEntity, Streamed};
use colloquy_actors::core::ask;
use colloquy_actors::domain::conversation::dialogue::{self, Brief};
use colloquy_actors::domain::conversation::view::MessageView;
use colloquy_actors::domain::conversation::{Command, Reply, SubmitLead, merge};
use colloquy_actors::domain::ids::ConversationId;
use colloquy_actors::domain::vocabulary::Channel;
use colloquy_actors::messages::inbound;
use colloquy_actors::once;
use colloquy_wire::chat as wire;
use colloquy_wire::messages as wire_messages;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::{App, AppState};
use crate::auth::{Address, MaybeVisitor};
use crate::body::{Json, Query};
use crate::chat::{Facts, Guest, Incoming, Reached, Standing, frames};
use crate::problem::{Problem, Result};
use crate::tokens::Visitor;
use crate::{chat, idempotency};

/// A comment line this often keeps proxies from closing a silent stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Events of one answer that may wait for a slow reader.
const EVENTS_WAITING: usize = 1024;
/// Messages of one page of history.
const HISTORY: usize = 200;
/// A visitor's own conversations in one list.
const OWN_CONVERSATIONS: usize = 50;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(post))
        .routes(routes!(own))
        .routes(routes!(history))
        .routes(routes!(capture))
        .routes(routes!(rate))
        .routes(routes!(thumb))
        .routes(routes!(visit))
        .routes(routes!(go_on))
}

/// Say something to an agent. With `Accept: text/event-stream` the answer comes as it is made.
#[utoipa::path(post, path = "/api/chat", tag = "chat", request_body = wire::ChatRequest, responses((status = 200, body = wire::ChatResponse)))]
async fn post(
    State(app): State<App>,
    Address(address): Address,
    MaybeVisitor(token): MaybeVisitor,
    headers: HeaderMap,
    Json(body): Json<wire::ChatRequest>,
) -> Result<Response> {
    let agent = chat::reach(&app, &body.agent_id).await?;
    chat::limit(&app, address, &agent.id, &body.visitor_id)?;
    let tester = tester(&app, &headers, &agent).await;
    if !tester {
        chat::need_live(&agent)?;
    }
    if body.conversation_id.is_some() && token.is_none() {
        return Err(Problem::unauthorized(
            "Send `Authorization: Visitor` with the visitor_token of this conversation.",
        ));
    }
    // Whoever names the request names its message: the repeat of one whose answer took too long must not say it twice.
    let client_message_id = body.client_message_id.or_else(|| idempotency::message_id(&app, &headers));
    let mut guest = chat::guest(&app, agent, &body.visitor_id, token.as_ref(), client_message_id.as_deref())?;
    guest.agent.tested = tester;
    let incoming = Incoming {
        conversation: body.conversation_id.map(Into::into),
        client_message_id,
        text: body.message,
        facts: facts(&headers, address, body.metadata),
    };
    // The conversation knows a repeated message by its id, and says how far its answer has come since.
    let standing = once::apart(chat::post(&app, &guest, incoming)).await?;
    let streams =
        headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains("text/event-stream"));
    if streams { Ok(stream(app, guest, standing)) } else { whole(&app, &guest, standing).await }
}

async fn whole(app: &AppState, guest: &Guest, mut standing: Standing) -> Result<Response> {
    let outcome = chat::answer(app, guest, &mut standing, |_| {}).await?;
    Ok(Json(chat::response(guest, &standing, &outcome)).into_response())
}

fn stream(app: App, guest: Guest, mut standing: Standing) -> Response {
    let (events, queue) = mpsc::channel(EVENTS_WAITING);
    let telling = async move {
        let send = |name: &str, data: Value| {
            // A reader who is this far behind gets the whole message at the end instead.
            let _ = events.try_send(axum::response::sse::Event::default().event(name).data(data.to_string()));
        };
        let outcome = chat::answer(&app, &guest, &mut standing, |frame| match frame {
            Streamed::Token { message_id, attempt, index, text } => {
                send("token", json!({ "text": text, "message_id": message_id, "attempt": attempt, "index": index }));
            }
            Streamed::Discard { message_id, reason } => {
                send("discard", json!({ "message_id": message_id, "reason": reason }))
            }
            Streamed::Typing { .. } => {}
        })
        .await;
        let last = match outcome {
            Ok(outcome) => axum::response::sse::Event::default()
                .event("message")
                .data(json!(chat::response(&guest, &standing, &outcome)).to_string()),
            Err(problem) => axum::response::sse::Event::default().event("error").data(json!(problem.body).to_string()),
        };
        let _ = events.send(last).await;
    };
    // The stream outlives the request, and belongs to its trace all the same.
    match trace::current() {
        Some(trace) => tokio::spawn(trace::within(trace, telling)),
        None => tokio::spawn(telling),
    };
    let events = futures::stream::unfold(queue, |mut queue| async move {
        queue.recv().await.map(|event| (Ok::<_, Infallible>(event), queue))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// The visitor's own conversations, newest first.
#[utoipa::path(get, path = "/api/chat/conversations", tag = "chat", responses((status = 200, body = Value)))]
async fn own(State(app): State<App>, MaybeVisitor(token): MaybeVisitor) -> Result<Json<Value>> {
    let visitor = need(token)?;
    let mut rows = Vec::new();
    for list in chat::own_lists(visitor.acting()) {
        let found = app
            .actors
            .client
            .list::<Value>(visitor.tenant.as_str(), &list, &chat::own_range(OWN_CONVERSATIONS))
            .await?;
        // A conversation that went on since its list was renamed stands in both; the first one has it as it is now.
        let known: Vec<String> = rows.iter().map(|row: &ListRow<Value>| row.id.clone()).collect();
        rows.extend(found.into_iter().filter(|row| !known.contains(&row.id)));
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.at_ms));
    rows.truncate(OWN_CONVERSATIONS);
    Ok(crate::listing::whole(rows.into_iter().map(|row| row.body).collect::<Vec<_>>()))
}

#[derive(Debug, Deserialize)]
struct HistoryQuery {
    conversation_id: String,
    cursor: Option<u64>,
}

/// A conversation's messages: the newest 200, older ones by cursor.
#[utoipa::path(get, path = "/api/chat/history", tag = "chat", params(("conversation_id" = String, Query), ("cursor" = Option<u64>, Query)), responses((status = 200, body = Value)))]
async fn history(
    State(app): State<App>,
    MaybeVisitor(token): MaybeVisitor,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<Value>> {
    let guest = of_token(&app, need(token)?).await?;
    let state = chat::state(&app, &guest, &query.conversation_id.into()).await?;
    let before = query.cursor.unwrap_or(u64::MAX);
    let shown: Vec<_> = state.messages.iter().filter(|m| frames::visible(m) && m.seq < before).collect();
    let from = shown.len().saturating_sub(HISTORY);
    let words = chat::words(&app, &guest.agent.tenant, &state.id);
    let messages: Vec<_> = shown[from..]
        .iter()
        .filter_map(|message| {
            let shown = colloquy_actors::domain::conversation::view::visitor_message(message)?;
            // As over the socket: files stand as links in the words.
            Some(MessageView { content: words(&message.content, &message.files), files: Vec::new(), ..shown })
        })
        .collect();
    let cursor = if from == 0 { None } else { shown.get(from).map(|m| m.seq) };
    Ok(Json(json!({
        "conversation": colloquy_actors::domain::conversation::view::visitor_conversation(&state),
        "messages": messages,
        "messages_cursor": cursor,
    })))
}

/// A filled lead form.
#[utoipa::path(post, path = "/api/leads/capture", tag = "chat", request_body = wire::LeadCapture, responses((status = 201, body = Value)))]
async fn capture(
    State(app): State<App>,
    Address(address): Address,
    MaybeVisitor(token): MaybeVisitor,
    headers: HeaderMap,
    Json(body): Json<wire::LeadCapture>,
) -> Result<Response> {
    let guest = of_token(&app, need(token)?).await?;
    if guest.agent.id.as_str() != body.agent_id {
        return Err(Problem::not_found("agent"));
    }
    chat::limit(&app, address, &guest.agent.id, guest.visitor.acting().as_str())?;
    let client_id = headers.get("idempotency-key").and_then(|v| v.to_str().ok()).map(str::to_owned);
    let (id, _) = submit(&app, &guest, &body.conversation_id.into(), client_id, &body.fields).await?;
    let lead = app.actors.lead_view(&guest.agent.tenant, &id).await?;
    Ok((StatusCode::CREATED, Json(lead)).into_response())
}

/// Sends a filled form to its conversation; returns the lead's id.
pub(crate) async fn submit(
    app: &AppState,
    guest: &Guest,
    conversation: &ConversationId,
    client_id: Option<String>,
    fields: &Map<String, Value>,
) -> Result<(colloquy_actors::domain::ids::LeadId, u64)> {
    let config = &guest.agent.now.config;
    let mut form = None;
    let mut values = std::collections::BTreeMap::new();
    for (name, value) in fields {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Null => continue,
            Value::Array(_) | Value::Object(_) => return Err(Problem::field(name, "must be text")),
        };
        if name == "form" {
            form = Some(text);
        } else {
            values.insert(name.clone(), text);
        }
    }
    let intake = form.as_deref().and_then(|id| dialogue::form_of(config, id));
    let brief = Brief {
        conversation_id: conversation.clone(),
        agent_id: guest.agent.id.clone(),
        visitor: colloquy_actors::domain::conversation::Visitor {
            id: guest.visitor.acting().clone(),
            ..Default::default()
        },
        ..Brief::default()
    };
    let submit = SubmitLead {
        client_id,
        alerts: form.as_deref().map(|id| dialogue::form_alerts(config, &brief, id, &values)).unwrap_or_default(),
        confirmation: intake.as_ref().map(|form| dialogue::confirmation(config, form, &values)),
        urgency: intake.map(|form| form.urgency),
        known: dialogue::known_fields(config),
        asked: dialogue::lead_form(config, form.as_deref()),
        contact: dialogue::contact(config, &values),
        fields: values,
        form,
        collect_leads: config.collect_leads,
    };
    match ask::<ConversationEntity>(
        &app.actors.client,
        &guest.by(),
        conversation.as_str(),
        Command::SubmitLead(Box::new(submit)),
    )
    .await?
    {
        Reply::Lead { lead_id, seq } => Ok((lead_id, seq)),
        _ => Err(Problem::conflict("leads_off", "This assistant does not collect contact data.")),
    }
}

/// Rate a conversation.
#[utoipa::path(post, path = "/api/chat/{conversation_id}/rating", tag = "chat", params(("conversation_id" = String, Path)), request_body = wire::Rating, responses((status = 200, body = Value)))]
async fn rate(
    State(app): State<App>,
    Address(address): Address,
    MaybeVisitor(token): MaybeVisitor,
    Path(conversation): Path<String>,
    Json(body): Json<wire::Rating>,
) -> Result<Json<Value>> {
    let guest = of_token(&app, need(token)?).await?;
    chat::limit(&app, address, &guest.agent.id, guest.visitor.acting().as_str())?;
    let command = Command::Rate { rating: body.rating, feedback: body.feedback };
    ask::<ConversationEntity>(&app.actors.client, &guest.by(), &conversation, command).await?;
    Ok(Json(json!({ "rating": body.rating })))
}

/// A thumb for one answer.
#[utoipa::path(post, path = "/api/chat/{conversation_id}/messages/{id}/feedback", tag = "chat", params(("conversation_id" = String, Path), ("id" = String, Path)), request_body = wire::Thumbs, responses((status = 200, body = Value)))]
async fn thumb(
    State(app): State<App>,
    Address(address): Address,
    MaybeVisitor(token): MaybeVisitor,
    Path((conversation, id)): Path<(String, String)>,
    Json(body): Json<wire::Thumbs>,
) -> Result<Json<Value>> {
    let guest = of_token(&app, need(token)?).await?;
    chat::limit(&app, address, &guest.agent.id, guest.visitor.acting().as_str())?;
    let command = Command::Feedback { message_id: id.into(), thumbs_up: body.thumbs_up, feedback: body.feedback };
    ask::<ConversationEntity>(&app.actors.client, &guest.by(), &conversation, command).await?;
    Ok(Json(json!({ "thumbs_up": body.thumbs_up })))
}

/// Go on by text message or WhatsApp: a code that, sent from a telephone to the agent's number, proves that both are the same person. It is good for
/// half an hour, once.
#[utoipa::path(post, path = "/api/chat/{conversation_id}/continue", tag = "chat", params(("conversation_id" = String, Path)), request_body = wire_messages::Continue, responses((status = 201, body = Value)))]
async fn go_on(
    State(app): State<App>,
    Address(address): Address,
    MaybeVisitor(token): MaybeVisitor,
    Path(conversation): Path<String>,
    Json(body): Json<wire_messages::Continue>,
) -> Result<Response> {
    let guest = of_token(&app, need(token)?).await?;
    chat::limit(&app, address, &guest.agent.id, guest.visitor.acting().as_str())?;
    let channel: Channel = super::conversations::word("channel", Some(body.channel))?.unwrap_or(Channel::Sms);
    let conversation = ConversationId(conversation);
    chat::state(&app, &guest, &conversation).await?;
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    let lines = tools.lines(client, &guest.agent.tenant).await?;
    let Some((_, number)) = lines.of_agent(&guest.agent.id, channel) else {
        return Err(Problem::conflict("no_line", "This assistant has no number for that channel."));
    };
    let code = inbound::make_code(client, &guest.by(), &guest.agent.id, &conversation, rand::random()).await?;
    let until = colloquy_actors::domain::local_time::rfc3339(app.now_ms() + merge::JOIN_CODE_MS);
    let text = inbound::code_text(&code);
    let answer =
        json!({ "channel": channel, "number": number.is.number, "code": code, "text": text, "expires_at": until });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// Count a page view with the widget on it.
#[utoipa::path(post, path = "/api/chat/visits", tag = "chat", request_body = wire::Visit, responses((status = 202)))]
async fn visit(State(app): State<App>, Address(address): Address, Json(body): Json<wire::Visit>) -> Result<StatusCode> {
    let agent = chat::reach(&app, &body.agent_id).await?;
    chat::limit(&app, address, &agent.id, &body.visitor_id)?;
    app.actors.visited(&agent.tenant, &agent.id).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Whether a console session of the agent's own organization is trying it out.
async fn tester(app: &AppState, headers: &HeaderMap, agent: &Reached) -> bool {
    let token = crate::auth::bearer(headers).or_else(|| crate::auth::cookie(headers, crate::auth::ACCESS_COOKIE));
    match token {
        Some(token) => chat::trial::is_of(app, token, agent).await,
        None => false,
    }
}

fn facts(headers: &HeaderMap, address: std::net::IpAddr, metadata: Option<wire::ChatMetadata>) -> Facts {
    let user_agent = headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).map(str::to_owned);
    Facts { metadata: metadata.unwrap_or_default(), ip: Some(address.to_string()), user_agent }
}

fn need(token: Option<Visitor>) -> Result<Visitor> {
    token.ok_or_else(|| Problem::unauthorized("Send `Authorization: Visitor` with your visitor_token."))
}

/// A visitor by token alone. Also of an agent that is switched off: what was said can still be read.
async fn of_token(app: &AppState, visitor: Visitor) -> Result<Guest> {
    let agent = chat::reach(app, visitor.agent.as_str()).await?;
    let token = app.tokens.sign_visitor(&visitor);
    Ok(Guest { agent, visitor, token })
}
