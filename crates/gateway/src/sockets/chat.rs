//! The chat socket: a visitor's messages in, the conversation's events and tokens out. A reconnect resumes by sequence number.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::ws::{Message as Frame, WebSocket};
use axum::extract::{State, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use colloquy_actors::cluster::client::{Watch, WatchStream};
use colloquy_actors::conversation::{ConversationEntity, Streamed};
use colloquy_actors::core::ask;
use colloquy_actors::domain::conversation::{self, Command, Event, Prompt};
use colloquy_actors::domain::ids::ConversationId;
use colloquy_actors::domain::vocabulary::MessageRole;
use colloquy_actors::identity::{self, Vouched};
use colloquy_wire::chat::ChatMetadata;
use colloquy_wire::common::Retry;
use colloquy_wire::sockets::{AgentFace, ChatClient, ChatServer};
use serde::Deserialize;
use tokio::time::{Instant, interval_at, timeout};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Place;
use crate::app::App;
use crate::auth::Address;
use crate::body::Query;
use crate::chat::proof::Claim;
use crate::chat::trial::Tester;
use crate::chat::{self, Facts, Guest, Incoming, Reached, frames};
use crate::problem::Problem;
use crate::routes::chat::submit;
use crate::routes::organization::identity_secret_of;
use crate::tokens::{self, VouchedPerson};

/// A client says hello within this time or is closed.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// A ping this often keeps proxies from closing a silent socket and finds dead peers.
const PING_EVERY: Duration = Duration::from_secs(25);
/// A peer that answers no ping for this long is gone.
const SILENT_MAX: Duration = Duration::from_secs(70);
/// A peer that does not take a frame within this time is gone.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// A client for which nothing could be carried out for so long is sent to look elsewhere: another frontend may reach what this one does not.
/// Longer than one request may wait, so that a single one is just repeated; shorter than a take-over.
const ELSEWHERE_AFTER: Duration = Duration::from_secs(8);
/// Why a client is sent elsewhere.
const UNREACHABLE: &str = "unreachable";

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(open))
}

#[derive(Debug, Deserialize)]
struct Open {
    agent_id: String,
}

/// The chat socket (WebSocket): see /schemas/sockets.json.
#[utoipa::path(get, path = "/api/chat/socket", tag = "chat", params(("agent_id" = String, Query)), responses((status = 101)))]
async fn open(
    State(app): State<App>,
    Address(address): Address,
    headers: HeaderMap,
    Query(query): Query<Open>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Problem> {
    let agent = chat::reach(&app, &query.agent_id).await?;
    let place = app.sockets.place(address).map_err(|limit| {
        Problem::unavailable("too_many_sockets", format!("Too many open connections (`{limit}`)."), 10)
    })?;
    let user_agent = headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let (tester, tasks) = (Tester::of(&app, &headers), app.sockets.tasks.clone());
    Ok(super::slim(upgrade).on_upgrade(move |socket| {
        tasks.track_future(async move {
            let mut session = Session {
                app,
                socket,
                place,
                agent,
                address,
                user_agent,
                tester,
                guest: None,
                conversation: None,
                watch: None,
                seq: 0,
                behind: false,
                asked: Instant::now(),
                unreached: None,
                metadata: ChatMetadata::default(),
                identity: None,
            };
            // However it ends, the socket is closed by dropping it.
            let _ = session.run().await;
        })
    }))
}

/// Why a socket ends.
enum End {
    Gone,
    Stopping,
    Refused(&'static str),
}

struct Session {
    app: App,
    socket: WebSocket,
    place: Place,
    agent: Reached,
    address: IpAddr,
    user_agent: Option<String>,
    /// Whether somebody of the organization tries the agent out.
    tester: Tester,
    guest: Option<Guest>,
    conversation: Option<ConversationId>,
    watch: Option<WatchStream>,
    /// The last sequence number sent.
    seq: u64,
    /// Whether something above it may be missing because the owner could not be asked.
    behind: bool,
    /// When the client asked for something last.
    asked: Instant,
    /// Since when nothing that it asked for could be carried out.
    unreached: Option<Instant>,
    metadata: ChatMetadata,
    /// The person whom the organization's server vouched for on this connection.
    identity: Option<Identity>,
}

impl Session {
    async fn run(&mut self) -> Result<(), End> {
        let outcome = self.talk().await;
        if let Err(End::Stopping) = &outcome {
            self.send(&ChatServer::Bye { reason: "restarting".into() }).await?;
        }
        if let Err(End::Refused(reason)) = &outcome {
            self.send(&ChatServer::Bye { reason: (*reason).to_owned() }).await?;
        }
        outcome
    }

    async fn talk(&mut self) -> Result<(), End> {
        let stopping = self.app.sockets.stopping.clone();
        let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        let begun = Instant::now();
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return Err(End::Stopping),
                _ = pings.tick() => {
                    if heard.elapsed() > SILENT_MAX {
                        return Err(End::Gone);
                    }
                    self.send_frame(Frame::Ping(Vec::new().into())).await?;
                    if self.behind {
                        Box::pin(self.resume()).await?;
                    }
                }
                () = tokio::time::sleep_until(begun + HELLO_WITHIN), if self.guest.is_none() => return Err(End::Refused("no_hello")),
                frame = self.socket.recv() => {
                    let frame = frame.ok_or(End::Gone)?.map_err(|_| End::Gone)?;
                    heard = Instant::now();
                    match frame {
                        // Boxed, here and below: a socket waits nearly always, and should not hold the room that work would need.
                        Frame::Text(text) => Box::pin(self.take(&text)).await?,
                        Frame::Binary(_) => self.refuse(None, "not_text", "Send text frames, one JSON object each.", Retry::Never).await?,
                        Frame::Ping(_) | Frame::Pong(_) => {}
                        Frame::Close(_) => return Err(End::Gone),
                    }
                }
                event = next(&mut self.watch) => match event {
                    Some(Watch::Event { seq, bytes }) => Box::pin(self.event(seq, &bytes)).await?,
                    Some(Watch::Frame { bytes }) => {
                        if let Ok(frame) = serde_json::from_slice::<Streamed>(&bytes) {
                            self.send(&frames::streamed(frame)).await?;
                        }
                    }
                    Some(Watch::Lagged) => Box::pin(self.resume()).await?,
                    None => {
                        self.follow().await;
                        Box::pin(self.resume()).await?;
                    }
                },
            }
        }
    }

    async fn take(&mut self, text: &str) -> Result<(), End> {
        let frame: ChatClient = match serde_json::from_str(text) {
            Ok(frame) => frame,
            // A frame of a newer client is ignored; one that is no frame at all is an error.
            Err(_) if is_unknown_type(text) => return Ok(()),
            Err(error) => return self.refuse(None, "bad_frame", &error.to_string(), Retry::Never).await,
        };
        if self.guest.is_none() && !matches!(frame, ChatClient::Hello { .. }) {
            return self.refuse(None, "no_hello", "Say hello first.", Retry::Never).await;
        }
        self.asked = Instant::now();
        match frame {
            ChatClient::Hello { visitor_id, visitor_token, conversation_id, last_seq, metadata } => {
                self.metadata = metadata.unwrap_or_default();
                self.hello(&visitor_id, visitor_token.as_deref(), conversation_id, last_seq).await
            }
            ChatClient::Identify { external_id, hmac, name, email, phone, phone_signed, expires_at } => {
                let claim = Claim { external_id, hmac, phone: phone.clone(), phone_signed, expires_at };
                match claim.check(&identity_secret_of(&self.app, &self.agent.tenant), self.app.now_ms() / 1000) {
                    Ok(vouched) => self.identify(Identity { vouched, name, email, phone }).await,
                    Err((code, detail)) => self.refuse(None, code, detail, Retry::Never).await,
                }
            }
            ChatClient::Message { client_message_id, text } => self.message(client_message_id, text).await,
            ChatClient::Typing => {
                self.typing();
                Ok(())
            }
            ChatClient::Lead { client_id, fields } => self.lead(client_id, fields).await,
            ChatClient::Rating { client_id, rating, feedback } => {
                let agent = &self.agent.id;
                let visitor = self.guest.as_ref().map_or("", |guest| guest.visitor.acting().as_str());
                if let Err(problem) = chat::limit(&self.app, self.address, agent, visitor) {
                    return self.problem(Some(client_id), problem).await;
                }
                let command = Command::Rate { rating, feedback };
                match self.ask(command).await {
                    Ok(_) => {
                        self.unreached = None;
                        self.send(&ChatServer::Done { id: client_id.clone(), client_id }).await
                    }
                    Err(problem) => self.problem(Some(client_id), problem).await,
                }
            }
            ChatClient::Close => match self.ask(Command::Close).await {
                Ok(_) => Ok(()),
                Err(problem) => self.problem(None, problem).await,
            },
        }
    }

    async fn hello(
        &mut self,
        visitor_id: &str,
        token: Option<&str>,
        conversation: Option<String>,
        last_seq: Option<u64>,
    ) -> Result<(), End> {
        // A token that is not valid any more makes a new visitor, as if there were none: the client learns the new one from `welcome`.
        let visitor = token
            .and_then(|token| self.app.tokens.check_visitor(token, self.app.now_ms() / 1000))
            .filter(|visitor| visitor.agent == self.agent.id && visitor.is(visitor_id));
        let known = visitor.is_some();
        let guest = match chat::guest(&self.app, self.agent.clone(), visitor_id, visitor.as_ref(), None) {
            Ok(guest) => guest,
            Err(problem) => return self.problem(None, problem).await,
        };
        self.tester.look(&self.app, &self.agent, self.metadata.page_url.as_deref()).await;
        if self.guest.is_none() && !self.place.of_visitor(guest.visitor.visitor.as_str()) {
            return Err(End::Refused("too_many_sockets"));
        }
        self.guest = Some(guest.clone());
        self.identity = None;
        self.conversation = None;
        self.watch = None;
        self.seq = last_seq.unwrap_or(0);
        let mut current_seq = 0;
        if let Some(id) = conversation.filter(|_| known) {
            let id = ConversationId(id);
            match chat::state(&self.app, &guest, &id).await {
                Ok(state) => {
                    current_seq = state.seq;
                    self.conversation = Some(id);
                    self.follow().await;
                }
                // Another's, erased or never stored: the client starts anew.
                Err(problem) if problem.body.status == 404 => {}
                Err(problem) => {
                    // Without a welcome there is nothing to wait for here.
                    let elsewhere = might_work_elsewhere(&problem);
                    self.problem(None, problem).await?;
                    return if elsewhere { Err(End::Refused(UNREACHABLE)) } else { Ok(()) };
                }
            }
        }
        let config = &guest.agent.now.config;
        let welcome = ChatServer::Welcome {
            conversation_id: self.conversation.as_ref().map(ToString::to_string),
            visitor_token: guest.token.clone(),
            seq: current_seq,
            agent: AgentFace {
                name: config.name.clone(),
                avatar_url: config.chat_avatar_url.clone(),
                welcome_message: config.welcome_message.clone(),
                quick_prompts: config.quick_prompts.clone(),
                chat_theme: serde_json::to_value(&config.chat_theme).unwrap_or_default(),
            },
        };
        self.send(&welcome).await?;
        if self.conversation.is_some() { self.resume().await } else { Ok(()) }
    }

    async fn message(&mut self, client_message_id: String, text: String) -> Result<(), End> {
        let Some(guest) = self.fresh_guest().await else { return Ok(()) };
        let live = chat::need_live(&guest.agent)
            .and_then(|()| chat::limit(&self.app, self.address, &guest.agent.id, guest.visitor.acting().as_str()));
        if let Err(problem) = live {
            return self.problem(Some(client_message_id), problem).await;
        }
        let incoming = Incoming {
            conversation: self.conversation.clone(),
            client_message_id: Some(client_message_id.clone()),
            text,
            facts: Facts {
                metadata: self.metadata.clone(),
                ip: Some(self.address.to_string()),
                user_agent: self.user_agent.clone(),
            },
        };
        match chat::post(&self.app, &guest, incoming).await {
            Ok(standing) => {
                self.unreached = None;
                let ack = ChatServer::Ack {
                    client_message_id,
                    seq: standing.posted.seq,
                    conversation_id: standing.conversation.to_string(),
                };
                let opened = self.conversation.is_none();
                if opened {
                    self.conversation = Some(standing.conversation);
                    self.watch = Some(standing.watch);
                }
                self.send(&ack).await?;
                match (opened, self.identity.clone()) {
                    // It is the first of this person: from now on other devices go on here.
                    (true, Some(identity)) => Box::pin(self.identify(identity)).await,
                    (true, None) => self.tell_status().await,
                    (false, _) => Ok(()),
                }
            }
            Err(problem) => self.problem(Some(client_message_id), problem).await,
        }
    }

    async fn lead(&mut self, client_id: String, fields: serde_json::Map<String, serde_json::Value>) -> Result<(), End> {
        let Some(guest) = self.fresh_guest().await else { return Ok(()) };
        let Some(conversation) = self.conversation.clone() else {
            return self.refuse(Some(client_id), "no_conversation", "Say something first.", Retry::Never).await;
        };
        match submit(&self.app, &guest, &conversation, Some(client_id.clone()), &fields).await {
            Ok((lead, _)) => {
                self.unreached = None;
                self.send(&ChatServer::Done { client_id, id: lead.0 }).await
            }
            Err(problem) => self.problem(Some(client_id), problem).await,
        }
    }

    /// Lets the vouched person go on where they are, on this or another device, and takes over what the host page knows of them.
    async fn identify(&mut self, identity: Identity) -> Result<(), End> {
        let Some(guest) = self.fresh_guest().await else { return Ok(()) };
        let (client, tools) = (&self.app.actors.client, &self.app.actors.tools);
        let current = self.conversation.clone();
        let joined =
            identity::join(client, tools, &guest.by(), &guest.agent.id, current.clone(), &identity.vouched).await;
        let joined = match joined {
            Ok(joined) => joined,
            Err(error) => return self.problem(None, error.into()).await,
        };
        let mut guest = guest;
        let until_s = self.app.now_ms() / 1000 + tokens::PERSON_TTL_S;
        guest.visitor.person = Some(VouchedPerson { id: joined.person, until_s });
        guest.token = self.app.tokens.sign_visitor(&guest.visitor);
        self.guest = Some(guest.clone());
        self.identity = Some(identity.clone());
        let moved = current != joined.conversation;
        if moved {
            (self.conversation, self.watch, self.seq) = (joined.conversation, None, 0);
            self.follow().await;
        }
        let seq = match &self.conversation {
            Some(conversation) => chat::state(&self.app, &guest, conversation).await.map_or(0, |state| state.seq),
            None => 0,
        };
        self.send(&ChatServer::Identified {
            conversation_id: self.conversation.as_ref().map(ToString::to_string),
            visitor_token: guest.token,
            seq,
        })
        .await?;
        if self.conversation.is_none() {
            return Ok(());
        }
        let Identity { vouched, name, email, phone } = identity;
        let command = Command::Identify { external_id: Some(vouched.external_id), name, email, phone };
        match self.ask(command).await {
            Ok(_) if moved => self.resume().await,
            Ok(_) => Ok(()),
            Err(problem) => self.problem(None, problem).await,
        }
    }

    fn typing(&self) {
        if let (Some(guest), Some(conversation)) = (&self.guest, &self.conversation) {
            let frame = Streamed::Typing { role: MessageRole::User };
            self.app
                .actors
                .client
                .publish(&chat::key(guest, conversation), serde_json::to_vec(&frame).unwrap_or_default().into());
        }
    }

    /// The guest with the agent as it is now: it may have been changed or switched off since.
    async fn fresh_guest(&mut self) -> Option<Guest> {
        let guest = self.guest.as_mut()?;
        if let Ok(agent) = chat::reach(&self.app, self.agent.id.as_str()).await {
            guest.agent = Reached { tested: self.tester.tries, ..agent };
        }
        Some(guest.clone())
    }

    async fn ask(&mut self, command: Command) -> Result<conversation::Reply, Problem> {
        let (Some(guest), Some(conversation)) = (&self.guest, &self.conversation) else {
            return Err(Problem::conflict("no_conversation", "Say something first."));
        };
        Ok(ask::<ConversationEntity>(&self.app.actors.client, &guest.by(), conversation.as_str(), command).await?)
    }

    async fn follow(&mut self) {
        if let (Some(guest), Some(conversation)) = (&self.guest, &self.conversation) {
            self.watch = Some(self.app.actors.client.watch(&chat::key(guest, conversation)).followed().await);
        }
    }

    /// Sends every message above what was sent, in order, once; then how things stand.
    async fn resume(&mut self) -> Result<(), End> {
        let (Some(guest), Some(conversation)) = (self.guest.clone(), self.conversation.clone()) else { return Ok(()) };
        let state = match chat::state(&self.app, &guest, &conversation).await {
            Ok(state) => state,
            Err(problem) => {
                // The next event must not hide what is missing before it.
                self.behind = true;
                self.asked = Instant::now();
                return self.problem(None, problem).await;
            }
        };
        (self.behind, self.unreached) = (false, None);
        let missed: Vec<_> = state.messages.iter().filter(|m| m.seq > self.seq && frames::visible(m)).collect();
        for message in missed {
            let frame = {
                let words = chat::words(&self.app, &guest.agent.tenant, &conversation);
                frames::message(message, frames::client_id_of(&state, message), &words)
            };
            self.send(&frame).await?;
        }
        // What the last answer showed is shown again to a client that has not seen it; a form only while it is not filled.
        let unseen = state
            .messages
            .iter()
            .rev()
            .find(|message| frames::visible(message))
            .filter(|message| message.seq > self.seq);
        let prompt = unseen.and_then(|message| message.prompt.as_ref());
        if let Some(frame) = prompt
            .filter(|prompt| state.lead.is_none() || !matches!(prompt, Prompt::LeadForm { .. }))
            .and_then(frames::prompt)
        {
            self.send(&frame).await?;
        }
        self.seq = self.seq.max(state.seq);
        self.send(&frames::status(&state)).await
    }

    /// One journaled event, as it becomes durable.
    async fn event(&mut self, seq: u64, bytes: &[u8]) -> Result<(), End> {
        if seq <= self.seq {
            return Ok(());
        }
        if self.behind {
            return self.resume().await; // With what came before it.
        }
        let Ok(event) = serde_json::from_slice::<Event>(bytes) else {
            return self.resume().await; // Of a newer version: the state says what it did.
        };
        if let (Event::Claimed { person }, Some(guest)) = (&event, &self.guest)
            && person != guest.visitor.acting()
        {
            // It is a vouched person's now: who knows only the visitor it began with does not read along.
            return Err(End::Refused("identified_elsewhere"));
        }
        let changes = frames::changes_status(&event);
        let frames = {
            let conversation = self.conversation.clone().unwrap_or_default();
            let words = chat::words(&self.app, &self.agent.tenant, &conversation);
            frames::of_event(seq, &event, self.app.now_ms(), &words)
        };
        for frame in frames {
            self.send(&frame).await?;
        }
        self.seq = seq;
        if changes {
            self.tell_status().await?;
        }
        Ok(())
    }

    /// How things stand: clients tell by the next one what happened.
    async fn tell_status(&mut self) -> Result<(), End> {
        let (Some(guest), Some(conversation)) = (self.guest.clone(), self.conversation.clone()) else { return Ok(()) };
        match chat::state(&self.app, &guest, &conversation).await {
            Ok(state) => self.send(&frames::status(&state)).await,
            // The next event says so again.
            Err(_) => Ok(()),
        }
    }

    /// Tells of a refusal; the end of the connection when this node has not been able to do anything for too long.
    async fn problem(&mut self, client_id: Option<String>, problem: Problem) -> Result<(), End> {
        let since = might_work_elsewhere(&problem).then(|| *self.unreached.get_or_insert(self.asked));
        let body = *problem.body;
        self.send(&ChatServer::Error {
            client_id,
            code: body.code,
            detail: body.detail,
            errors: body.errors,
            retry: body.retry,
        })
        .await?;
        match since {
            Some(since) if since.elapsed() >= ELSEWHERE_AFTER => Err(End::Refused(UNREACHABLE)),
            Some(_) | None => Ok(()),
        }
    }

    async fn refuse(&mut self, client_id: Option<String>, code: &str, detail: &str, retry: Retry) -> Result<(), End> {
        self.send(&ChatServer::Error { client_id, code: code.into(), detail: detail.into(), errors: Vec::new(), retry })
            .await
    }

    async fn send(&mut self, frame: &ChatServer) -> Result<(), End> {
        let text = serde_json::to_string(frame).map_err(|_| End::Gone)?;
        self.send_frame(Frame::Text(text.into())).await
    }

    async fn send_frame(&mut self, frame: Frame) -> Result<(), End> {
        match timeout(SEND_WITHIN, self.socket.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }
}

/// A person whom the organization's server vouched for, with what the host page says of them.
#[derive(Clone)]
struct Identity {
    vouched: Vouched,
    name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
}

/// The next thing a watched conversation tells; never, while none is watched.
async fn next(watch: &mut Option<WatchStream>) -> Option<Watch> {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
    }
}

/// Whether a refusal tells of this node's way to the owner and not of the request; a full storage is full for every node.
fn might_work_elsewhere(problem: &Problem) -> bool {
    problem.body.status == StatusCode::SERVICE_UNAVAILABLE.as_u16() && problem.body.code != "storage_full"
}

/// Whether a text is a frame of a type that this version does not know.
fn is_unknown_type(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Tagged {
        r#type: String,
    }
    const KNOWN: [&str; 7] = ["hello", "identify", "message", "typing", "lead", "rating", "close"];
    serde_json::from_str::<Tagged>(text).is_ok_and(|tagged| !KNOWN.contains(&tagged.r#type.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_another_node_may_do_sends_a_client_away() {
        assert!(might_work_elsewhere(&Problem::unavailable("overloaded", "", 1)));
        assert!(!might_work_elsewhere(&Problem::unavailable("storage_full", "", 30)));
        assert!(!might_work_elsewhere(&Problem::too_many(1)));
        assert!(!might_work_elsewhere(&Problem::conflict("conversation_closed", "")));
    }

    #[test]
    fn frames_of_newer_clients_are_told_from_nonsense() {
        assert!(is_unknown_type(r#"{"type":"dance","steps":3}"#));
        assert!(!is_unknown_type(r#"{"type":"message","text":5}"#));
        assert!(!is_unknown_type("nonsense"));
    }
}
