//! `POST …/chat/completions`: what a caller said becomes a turn of the call's conversation, and its answer is streamed sentence by sentence.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use colloquy_actors::ActorError;
use colloquy_actors::calls::{self, Live};
use colloquy_actors::cluster::trace;
use colloquy_actors::domain::call::script::{self, Next};
use colloquy_actors::domain::call::{Call, Carrier, Direction, PROVIDER_CALL_CHARS_MAX};
use colloquy_actors::domain::conversation::Spoken;
use colloquy_actors::telephony::vapi::chat::{self as asked, Ask, END_CALL, TRANSFER_CALL};
use colloquy_actors::telephony::vapi::stream::{self, CONTENT_TYPE, Finish, KEEP_ALIVE, Stream};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, sleep_until};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::super::Place;
use super::super::{Line, Told};
use super::{SOCKET, answerer, answers, believed, known};
use crate::app::{App, AppState};
use crate::chat::{self, Reached};
use crate::problem::Problem;
use crate::tokens::hex;

/// A comment this often while an answer is made: a connection without bytes looks dead to what stands between.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(5);
/// The longest answer: a turn that is not answered by then was given up on long before, and said so.
const ANSWER_WITHIN: Duration = Duration::from_secs(150);
/// Pieces that wait for a slow reader; each is a sentence.
const WAITING_MAX: usize = 64;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(bare)).routes(routes!(of_agent))
}

/// Vapi's custom LLM, for an account with a server secret: the number that was called, or `agent_id` in the assistant's metadata, names the agent.
#[utoipa::path(post, path = "/api/voice/vapi/chat/completions", tag = "calls", responses((status = 200, content_type = "text/event-stream"), (status = 400), (status = 401)))]
async fn bare(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    let ask = match asked::read(&body) {
        Ok(ask) => ask,
        Err(problem) => return refused(StatusCode::BAD_REQUEST, &problem.to_string(), "invalid_request"),
    };
    match reached(&app, &ask, &headers, &body).await {
        Ok(Some(agent)) => answer(app, agent, ask).await,
        Ok(None) => refused(StatusCode::UNAUTHORIZED, "The server secret is missing or wrong.", "invalid_api_key"),
        Err(problem) => of(problem),
    }
}

/// Vapi's custom LLM for one agent: the part of the address after `vapi` is that of the agent's `voice_socket_url`, and a secret.
#[utoipa::path(post, path = "/api/voice/vapi/{agent_key}/chat/completions", tag = "calls", params(("agent_key" = String, Path)), responses((status = 200, content_type = "text/event-stream"), (status = 400), (status = 404)))]
async fn of_agent(State(app): State<App>, Path(key): Path<String>, body: Bytes) -> Response {
    // A key that is wrong tells no more than an agent that does not exist.
    let Some(agent) = calls::agent_of_key(&app.actors.tools, &key) else { return of(Problem::not_found("agent")) };
    let agent = match chat::reach(&app, agent.as_str()).await {
        Ok(agent) => agent,
        Err(problem) => return of(problem),
    };
    match asked::read(&body) {
        Ok(ask) => answer(app, agent, ask).await,
        Err(problem) => refused(StatusCode::BAD_REQUEST, &problem.to_string(), "invalid_request"),
    }
}

/// The agent that is asked, once the request is believed to come from its organization's account. What names it is in the request, and is looked at
/// only to know which secret it must prove.
async fn reached(app: &AppState, ask: &Ask, headers: &HeaderMap, body: &[u8]) -> Result<Option<Reached>, Problem> {
    let named = ask.metadata.get("agent_id").and_then(|id| id.as_str());
    let found = match (named, ask.phone_number.as_deref()) {
        (Some(agent), _) => Some(agent.to_owned()),
        (None, Some(number)) => answerer(app, number).await?.map(|(_, agent)| agent),
        (None, None) => None,
    };
    let Some(agent) = found else { return Ok(None) };
    let agent = match chat::reach(app, &agent).await {
        Ok(agent) => agent,
        Err(problem) if problem.body.status == StatusCode::NOT_FOUND.as_u16() => return Ok(None),
        Err(problem) => return Err(problem),
    };
    Ok(believed(app, &agent.tenant, headers, body).await?.then_some(agent))
}

async fn answer(app: App, agent: Reached, ask: Ask) -> Response {
    let Some(id) = ask.call_id.clone().filter(|id| id.chars().count() <= PROVIDER_CALL_CHARS_MAX) else {
        let what = "`call.id` is missing: set the model's `metadataSendMode` to `variable`.";
        return refused(StatusCode::BAD_REQUEST, what, "missing_call");
    };
    let place = match app.sockets.place_of_key(agent.id.as_str()) {
        Ok(place) => place,
        Err(limit) => {
            let what = format!("Too many open connections (`{limit}`).");
            return of(Problem::unavailable("too_many_sockets", what, 10));
        }
    };
    let (line, call) = match opened(&app, agent, &ask, id).await {
        Ok(opened) => opened,
        // It is over: what comes for it late ends it at Vapi too.
        Err(Refusal::Over) => return over(&app, &ask).await,
        Err(Refusal::Is(problem)) => return of(*problem),
    };
    let (out, mut pieces) = mpsc::channel(WAITING_MAX);
    let name = hex(&rand::random::<[u8; 12]>());
    let (model, now_ms, streams) = (ask.model.clone(), app.now_ms(), ask.stream);
    let usage = ask.include_usage.then_some((0, 0));
    let speaker = Speaker { line, call, ask, out, stream: Stream::new(&name, &model, now_ms), usage, _place: place };
    // It outlives the request, and belongs to its trace all the same.
    match trace::current() {
        Some(trace) => app.sockets.tasks.spawn(trace::within(trace, speaker.run())),
        None => app.sockets.tasks.spawn(speaker.run()),
    };
    if streams {
        let pieces = futures::stream::unfold(pieces, |mut pieces| async move {
            pieces.recv().await.map(|Piece { event, .. }| (Ok::<_, Infallible>(Bytes::from(event)), pieces))
        });
        let headers = [(header::CONTENT_TYPE, CONTENT_TYPE), (header::CACHE_CONTROL, "no-cache")];
        return (headers, Body::from_stream(pieces)).into_response();
    }
    let mut words = String::new();
    while let Some(piece) = pieces.recv().await {
        words += &piece.words;
    }
    let body = stream::whole(&name, &model, now_ms, words.trim(), (0, 0));
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Why a call is not gone on with.
enum Refusal {
    /// It has ended.
    Over,
    /// Anything else.
    Is(Box<Problem>),
}

impl From<ActorError> for Refusal {
    fn from(error: ActorError) -> Self {
        match error {
            ActorError::Rejected(_) => Self::Over,
            error => Self::Is(Box::new(error.into())),
        }
    }
}

/// The call, begun or gone on with.
async fn opened(app: &App, agent: Reached, ask: &Ask, id: String) -> Result<(Line, Call), Refusal> {
    if let Some(call) = known(app, &agent.tenant, &id).await? {
        let theirs = call.is.as_ref().is_some_and(|is| is.agent_id == agent.id);
        if call.status.over() {
            return Err(Refusal::Over);
        }
        if theirs && let Some(conversation) = call.conversation_id.clone() {
            let live = Live { call: call.id.clone(), conversation };
            return Ok(Line::go_on(app, agent, live, SOCKET).await?);
        }
    }
    if !answers(&agent) {
        let problem = Problem::conflict("agent_not_live", "This agent does not answer the phone at the moment.");
        return Err(Refusal::Is(Box::new(problem)));
    }
    let heard = heard(&agent, ask.outbound, ask.customer_number.clone(), ask.phone_number.clone(), id);
    Ok(Line::begin(app, agent, heard, SOCKET).await?)
}

/// A call as Vapi tells of it.
pub(super) fn heard(
    agent: &Reached,
    outbound: bool,
    person: Option<String>,
    line: Option<String>,
    id: String,
) -> calls::Heard {
    calls::Heard {
        agent: agent.id.clone(),
        carrier: Carrier::Vapi,
        provider_call_id: id,
        direction: if outbound { Direction::Outbound } else { Direction::Inbound },
        person,
        line,
        test: false,
        account: None,
        dial: None,
    }
}

/// Words and the event that carries them; a comment has none.
struct Piece {
    words: String,
    event: String,
}

/// Answers one request.
struct Speaker {
    line: Line,
    call: Call,
    ask: Ask,
    out: mpsc::Sender<Piece>,
    stream: Stream,
    usage: Option<(u64, u64)>,
    _place: Place,
}

impl Speaker {
    async fn run(mut self) {
        self.line.hands_on = self.ask.tool(&TRANSFER_CALL).is_some();
        if self.call.hangup.is_some() {
            // Somebody of the business wants it to end.
            return self.finish(&Next::HangUp).await;
        }
        let Some(words) = self.ask.pending_words() else {
            // Nobody said anything yet: what is said first is ours, unless Vapi has said it.
            let silent = self.ask.messages.iter().any(|said| said.role == asked::Role::Assistant);
            let greeting = if silent { None } else { self.line.greeting().await.ok().flatten() };
            self.say(greeting.as_deref().unwrap_or_default()).await;
            return self.finish(&Next::Listen).await;
        };
        let turn = u32::try_from(self.ask.user_turns).unwrap_or(u32::MAX);
        let spoken =
            Spoken { call: self.line.live.call.clone(), turn, heard: Some(self.ask.heard_before()), typed: false };
        self.line.hear(spoken, words);
        let until = Instant::now() + ANSWER_WITHIN;
        let mut alive = interval_at(Instant::now() + KEEP_ALIVE_EVERY, KEEP_ALIVE_EVERY);
        loop {
            let raw = tokio::select! {
                raw = self.line.listen() => raw,
                // Vapi does not want this answer any more: the caller went on, or the call is over.
                () = self.out.closed() => return,
                _ = alive.tick() => {
                    let comment = Piece { words: String::new(), event: KEEP_ALIVE.to_owned() };
                    // Who is behind has bytes.
                    let _ = self.out.try_send(comment);
                    continue;
                }
                () = sleep_until(until) => return self.finish(&Next::Listen).await,
            };
            match self.line.take(raw).await {
                None => {}
                Some(Told::Say(sentences)) => self.say(&sentences.concat()).await,
                Some(Told::Done(rest, next)) => {
                    self.say(&rest.concat()).await;
                    return self.finish(&next).await;
                }
                Some(Told::Person(words)) => self.say(&format!("{words} ")).await,
                Some(Told::Transfer { to, words }) => {
                    self.say(&words).await;
                    return self.finish(&Next::Transfer { to, words }).await;
                }
                Some(Told::Silent | Told::Replaced) => return self.finish(&Next::Listen).await,
                Some(Told::HangUp | Told::Over) => return self.finish(&Next::HangUp).await,
            }
        }
    }

    async fn say(&mut self, words: &str) {
        let event = self.stream.text(words);
        if !event.is_empty() {
            // A reader that is gone is noticed by the loop.
            let _ = self.out.send(Piece { words: words.to_owned(), event }).await;
        }
    }

    async fn finish(&mut self, next: &Next) {
        let tool = match next {
            Next::HangUp => self.ask.tool(&END_CALL).map(|name| (name, json!({}))),
            Next::Transfer { .. } => self.ask.tool(&TRANSFER_CALL).map(|name| (name, json!({}))),
            Next::Listen | Next::Sorry { .. } => match &self.call.transfer {
                // The same turn once more, because its answer was lost: the call is handed on all the same.
                Some(_) if self.line.hands_on => {
                    let words = script::transfer(&self.line.agent.now.config).to_owned();
                    self.say(&format!(" {words}")).await;
                    self.ask.tool(&TRANSFER_CALL).map(|name| (name, json!({})))
                }
                Some(_) | None => None,
            },
        };
        let mut event = String::new();
        let end = match tool {
            Some((name, arguments)) => {
                event += &self.stream.tool_call(&format!("call_{name}"), name, &arguments);
                Finish::ToolCalls
            }
            None => Finish::Stop,
        };
        event += &self.stream.finish(end, self.usage);
        let _ = self.out.send(Piece { words: String::new(), event }).await;
    }
}

/// An answer that only ends the call.
async fn over(app: &AppState, ask: &Ask) -> Response {
    let mut stream = Stream::new("over", &ask.model, app.now_ms());
    let mut body = String::new();
    let end = match ask.tool(&END_CALL) {
        Some(name) => {
            body += &stream.tool_call("call_end", name, &json!({}));
            Finish::ToolCalls
        }
        None => Finish::Stop,
    };
    body += &stream.finish(end, None);
    if ask.stream {
        return ([(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response();
    }
    let body = stream::whole("over", &ask.model, app.now_ms(), "", (0, 0));
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// An error as OpenAI's clients read it.
fn refused(status: StatusCode, message: &str, code: &str) -> Response {
    let kind = if status.is_server_error() { "server_error" } else { "invalid_request_error" };
    (status, [(header::CONTENT_TYPE, "application/json")], stream::error(message, kind, code)).into_response()
}

fn of(problem: Problem) -> Response {
    let status = StatusCode::from_u16(problem.body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    refused(status, &problem.body.detail, &problem.body.code)
}
