//! Twilio's calls over ConversationRelay: Twilio transcribes and speaks, we read and write text. What leads to such a socket, and what follows it, is
//! in `webhooks`.

use std::time::Duration;

use axum::extract::ws::{Message as Frame, WebSocket};
use axum::extract::{OriginalUri, Path, State, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::response::Response;
use colloquy_actors::calls;
use colloquy_actors::campaign::hear::{self, Dialled};
use colloquy_actors::domain::call::script::{self, Next};
use colloquy_actors::domain::call::{Carrier, Direction, End};
use colloquy_actors::domain::campaign::slice::Report;
use colloquy_actors::domain::conversation::Spoken;
use colloquy_actors::domain::ids::{AgentId, TenantId};
use colloquy_actors::domain::lines::Provider;
use colloquy_actors::domain::vocabulary::AgentStatus;
use colloquy_actors::telephony::twilio::relay::{Inbound, Outbound, Setup, heard_of, read_inbound};
use colloquy_actors::telephony::twilio::twiml::{self, Relay};
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Place;
use super::keys::Keys;
use super::talker::RESUMED;
use super::{Line, Raw, Told, webhooks};
use crate::app::{App, AppState};
use crate::chat::{self, Reached};
use crate::problem::{Problem, Result};
use crate::routes::messages::{Account, account_of, believe_socket};

/// How long after its instructions a socket opens: at once, when all is well.
pub(super) const TICKET_MS: i64 = 60_000;
/// The first frame comes within this time.
pub(super) const SETUP_WITHIN: Duration = Duration::from_secs(10);
/// A peer that does not take a frame within this time is gone.
pub(super) const SEND_WITHIN: Duration = Duration::from_secs(5);
/// How long a voice takes for a word, and for a pause at the end: Twilio does not say when it has spoken.
const WORD: Duration = Duration::from_millis(400);
const PAUSE: Duration = Duration::from_millis(800);
/// Silence of the caller, once we have spoken, after which we ask.
const SILENT_AFTER: Duration = Duration::from_secs(10);
/// Frames that cannot be read before the socket is given up.
pub(super) const MALFORMED_MAX: u32 = 50;
/// The reason of an end that is ours.
pub(super) const AGENT_HANGUP: &str = "agent_hangup";
/// The parameter of a socket that names the dial its call comes of.
pub(super) const DIAL: &str = "dial";
/// Who is called by a machine and hears nothing for so long was abandoned, ms: the laws of the USA and the United Kingdom count two seconds.
const ABANDONED_AFTER_MS: i64 = 2_000;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(relay))
}

/// Twilio's ConversationRelay (WebSocket). Opened with the signature of the account and a ticket of the call.
#[utoipa::path(get, path = "/api/voice/twilio/relay/{connection_id}", tag = "calls", params(("connection_id" = String, Path)), responses((status = 101), (status = 401)))]
async fn relay(
    State(app): State<App>,
    Path(connection): Path<String>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response> {
    let account = account_of(&app, &connection).await?;
    believe_socket(&app, &account, &uri, &headers)?;
    let place = app.sockets.place_of_provider().map_err(|limit| {
        Problem::unavailable("too_many_sockets", format!("Too many open connections (`{limit}`)."), 10)
    })?;
    let tasks = app.sockets.tasks.clone();
    Ok(super::super::slim(upgrade).on_upgrade(move |socket| {
        tasks.track_future(async move {
            let driver = Driver {
                app,
                account,
                socket,
                _place: place,
                line: None,
                turn: 0,
                reminded: 0,
                said: Vec::new(),
                complete: true,
                cut: None,
                speaks_until: Instant::now(),
                then: None,
                silent_at: None,
                keys: Keys::default(),
                malformed: 0,
            };
            driver.run().await;
        })
    }))
}

/// An agent that answers the telephone, or that calls people: for these it was ordered to speak, whether it answers or not.
pub(super) async fn reached(app: &AppState, agent: &AgentId, outbound: bool) -> Result<Option<Reached>> {
    match chat::reach(app, agent.as_str()).await {
        Ok(agent) => {
            let now = &agent.now;
            let live = (now.config.voice_enabled || outbound) && now.status == AgentStatus::Active && !now.suspended;
            Ok(live.then_some(agent))
        }
        Err(problem) if problem.body.status == 404 => Ok(None),
        Err(problem) => Err(problem),
    }
}

/// Tells a campaign of somebody who was called and heard nothing for too long.
pub(super) async fn waited(app: &AppState, tenant: &TenantId, dial: &Dialled, waited_ms: i64) {
    if waited_ms > ABANDONED_AFTER_MS {
        let told = hear::tell(&app.actors.client, tenant, dial, Report::Abandoned).await;
        tracing::warn!(waited_ms, told = told.is_ok(), "somebody who was called had to wait for a word");
    }
}

pub(super) fn is_outbound(direction: Option<&str>) -> bool {
    direction.is_some_and(|direction| direction.starts_with("outbound"))
}

/// Instructions to open our socket.
pub(super) fn connected(
    app: &AppState,
    account: &Account,
    agent: &Reached,
    call_sid: &str,
    dial: Option<&Dialled>,
    tries: u32,
) -> Result<twiml::Response> {
    let until_ms = app.now_ms() + TICKET_MS;
    let ticket = calls::ticket(&app.actors.tools, &agent.id, call_sid, dial, until_ms);
    let mut parameters = vec![("ticket", ticket.as_str())];
    let dial = dial.map(Dialled::name);
    parameters.extend(dial.iter().map(|dial| (DIAL, dial.as_str())));
    let connection = account.connection_id();
    let address = format!("{}/api/voice/twilio/relay/{connection}", app.settings.api_url.replacen("http", "ws", 1));
    let ended = format!("{}/api/voice/twilio/relay/{connection}/ended", app.settings.api_url);
    let action = webhooks::followed(&ended, tries, dial.as_deref());
    let relay = Relay {
        url: &address,
        language: Some(&agent.now.config.voice_language),
        interruptible: Some("speech"),
        ignore_backchannel: Some(true),
        dtmf_detection: Some(true),
        parameters: &parameters,
        // The simulated carrier runs on the same machine.
        unencrypted: account.provider == Provider::Simulated,
        ..Relay::default()
    };
    let element = twiml::connect_relay(&relay, Some(&action)).map_err(|_| needs_https())?;
    Ok(twiml::Response::new().then(element))
}

/// Twilio opens no other sockets.
pub(super) fn needs_https() -> Problem {
    Problem::conflict("needs_https", "Twilio opens sockets over TLS only: set `public.api_url` to an https address.")
}

/// How a socket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// We ended it.
    ByUs,
    /// The connection is gone; Twilio's other webhook says what that means.
    Lost,
    /// Nothing is to be noted.
    Nothing,
}

struct Driver {
    app: App,
    account: Account,
    socket: WebSocket,
    _place: Place,
    line: Option<Line>,
    /// How often the caller has had the floor.
    turn: u32,
    reminded: u32,
    /// What we said since the caller last had the floor.
    said: Vec<String>,
    /// Whether the last of that is complete.
    complete: bool,
    /// What of it was heard, when the caller spoke over it.
    cut: Option<String>,
    /// Until about when the voice is busy with what it was given.
    speaks_until: Instant,
    /// What follows once it has spoken.
    then: Option<Next>,
    /// When a silent caller is asked whether he is still there.
    silent_at: Option<Instant>,
    keys: Keys,
    malformed: u32,
}

impl Driver {
    async fn run(mut self) {
        let ended = match self.begin().await {
            Some(ended) => ended,
            None => self.talk().await,
        };
        let Some(line) = &self.line else { return };
        if let Some(cut) = &self.cut {
            line.heard_only(cut).await;
        }
        match ended {
            Ended::ByUs => line.end(End { reason: Some(AGENT_HANGUP.to_owned()), ..End::default() }).await,
            Ended::Lost => line.lost().await,
            Ended::Nothing => {}
        }
    }

    async fn begin(&mut self) -> Option<Ended> {
        let setup = match timeout(SETUP_WITHIN, self.socket.recv()).await {
            Ok(Some(Ok(Frame::Text(text)))) => match read_inbound(&text) {
                Ok(Inbound::Setup(setup)) => setup,
                Ok(_) | Err(_) => return Some(Ended::Nothing),
            },
            Ok(_) | Err(_) => return Some(Ended::Nothing),
        };
        let dial = setup.parameter(DIAL).and_then(Dialled::read);
        let Some((agent, issued_ms)) = self.ticketed(&setup, dial.as_ref()).await else { return Some(Ended::Nothing) };
        let Ok(account) = self.account.pacer() else { return Some(Ended::Nothing) };
        let direction = if is_outbound(setup.direction.as_deref()) { Direction::Outbound } else { Direction::Inbound };
        let (person, line) = match direction {
            Direction::Inbound => (setup.from, setup.to),
            Direction::Outbound => (setup.to, setup.from),
        };
        let heard = calls::Heard {
            agent: agent.id.clone(),
            carrier: Carrier::Twilio,
            provider_call_id: setup.call_sid,
            direction,
            person,
            line,
            test: false,
            account: Some(account),
            dial: dial.clone(),
        };
        let (mut line, call) = match Line::open(&self.app, agent, heard).await {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(%error, "a call could not begin here");
                return Some(Ended::Nothing);
            }
        };
        let greeting = line.greeting().await.ok().flatten();
        let taken_back = line.taken_back.take();
        self.turn = line.take_up().await.unwrap_or(0);
        self.line = Some(line);
        let ended = match greeting {
            Some(greeting) => self.say(&greeting, true, false).await,
            None => match taken_back {
                Some(words) => self.say(&words, true, true).await,
                None => self.resume(call.sockets).await,
            },
        };
        if let Some(dial) = dial.filter(|_| call.sockets == 1) {
            waited(&self.app, &self.account.tenant, &dial, self.app.now_ms() - issued_ms).await;
        }
        ended
    }

    /// A call goes on over another socket. Unless an answer is on its way, the caller may have been talking to nobody: who hears nothing waits for us.
    async fn resume(&mut self, socket: u32) -> Option<Ended> {
        let line = self.line.as_ref().filter(|line| !line.is_answering())?;
        line.note(&format!("resumed/{socket}"), RESUMED).await;
        self.say(RESUMED, true, true).await
    }

    /// The agent that the call's ticket names, and since when somebody has been waiting for it.
    async fn ticketed(&mut self, setup: &Setup, dial: Option<&Dialled>) -> Option<(Reached, i64)> {
        let (tools, now_ms) = (&self.app.actors.tools, self.app.now_ms());
        let ticket = setup.parameter("ticket").unwrap_or_default();
        let (agent, until_ms) = calls::agent_of_ticket(tools, ticket, &setup.call_sid, dial, now_ms)?;
        let agent = chat::reach(&self.app, agent.as_str()).await.ok()?;
        (agent.tenant == self.account.tenant).then_some((agent, until_ms - TICKET_MS))
    }

    async fn talk(&mut self) -> Ended {
        let stopping = self.app.sockets.stopping.clone();
        loop {
            let (then_at, silent_at) = (self.then.is_some().then_some(self.speaks_until), self.silent_at);
            let ended = tokio::select! {
                // Twilio's other webhook opens a session elsewhere.
                () = stopping.cancelled() => return Ended::Lost,
                () = at(then_at) => self.follow().await,
                () = at(silent_at) => self.remind().await,
                () = at(self.keys.until()) => {
                    if let Some(words) = self.keys.take() {
                        self.hear(words);
                    }
                    None
                }
                frame = self.socket.recv() => match frame {
                    Some(Ok(Frame::Text(text))) => self.take(&text).await,
                    Some(Ok(Frame::Binary(_) | Frame::Ping(_) | Frame::Pong(_))) => None,
                    Some(Ok(Frame::Close(_)) | Err(_)) | None => return Ended::Lost,
                },
                raw = listen(&mut self.line) => self.told(raw).await,
            };
            if let Some(ended) = ended {
                return ended;
            }
        }
    }

    async fn take(&mut self, text: &str) -> Option<Ended> {
        let frame = match read_inbound(text) {
            Ok(frame) => frame,
            Err(problem) => {
                tracing::debug!(%problem, "a frame of a voice provider was passed over");
                self.malformed += 1;
                return (self.malformed >= MALFORMED_MAX).then_some(Ended::Lost);
            }
        };
        if let Some(words) = frame.turn().map(str::trim).filter(|words| !words.is_empty()) {
            self.hear(words.to_owned());
            return None;
        }
        match frame {
            Inbound::Interrupt { utterance_until_interrupt, .. } => {
                // What came before the words that were interrupted was heard.
                self.said.pop();
                self.said.push(heard_of(&utterance_until_interrupt).unwrap_or_default().to_owned());
                self.complete = true;
                self.cut = Some(self.said.join(" ").trim().to_owned());
                (self.silent_at, self.then, self.speaks_until) = (None, None, Instant::now());
                if let Some(line) = &mut self.line {
                    line.drop_answer();
                }
            }
            Inbound::Error { description } => {
                tracing::warn!(description = description.len(), "a voice provider could not use a frame of ours");
            }
            // The caller is still speaking.
            Inbound::Prompt { .. } => self.silent_at = None,
            Inbound::Dtmf { digit } => {
                self.silent_at = None;
                let words = digit.chars().next().and_then(|key| self.keys.press(key));
                if let Some(words) = words {
                    self.hear(words);
                }
            }
            Inbound::Setup(_) | Inbound::Info { .. } | Inbound::Unknown => {}
        }
        None
    }

    /// The caller said this, or pressed it.
    fn hear(&mut self, words: String) {
        let Some(line) = &mut self.line else { return };
        (self.reminded, self.silent_at, self.then) = (0, None, None);
        self.turn += 1;
        let spoken = Spoken { call: line.live.call.clone(), turn: self.turn, heard: self.cut.take(), typed: false };
        line.hear(spoken, words);
        (self.said, self.complete) = (Vec::new(), true);
    }

    async fn told(&mut self, raw: Raw) -> Option<Ended> {
        let told = self.line.as_mut()?.take(raw).await?;
        match told {
            Told::Say(sentences) => self.say(&sentences.concat(), false, true).await,
            Told::Done(rest, next) => {
                let ended = self.say(&rest.concat(), true, true).await;
                match next {
                    Next::Listen | Next::Sorry { .. } => {}
                    Next::HangUp | Next::Transfer { .. } => (self.then, self.silent_at) = (Some(next), None),
                }
                ended
            }
            Told::Silent => self.say("", true, true).await,
            Told::Person(words) => self.say(&words, true, true).await,
            Told::Transfer { to, words } => {
                let ended = self.say(&words, true, false).await;
                (self.then, self.silent_at) = (Some(Next::Transfer { to, words }), None);
                ended
            }
            Told::HangUp | Told::Over => self.send(&Outbound::End { handoff_data: None }).await.or(Some(Ended::ByUs)),
            Told::Replaced => Some(Ended::Nothing),
        }
    }

    /// Ends the session as was decided, now that the words for it were spoken.
    async fn follow(&mut self) -> Option<Ended> {
        let handoff_data = match self.then.take()? {
            Next::Transfer { to, .. } => Some(json!({ "transfer": to }).to_string()),
            Next::HangUp | Next::Listen | Next::Sorry { .. } => None,
        };
        // A transfer is no end of the call yet: the other webhook notes it.
        let ended = if handoff_data.is_some() { Ended::Nothing } else { Ended::ByUs };
        self.send(&Outbound::End { handoff_data }).await.or(Some(ended))
    }

    async fn remind(&mut self) -> Option<Ended> {
        self.silent_at = None;
        let (words, goes_on) = script::reminder(self.reminded);
        self.reminded += 1;
        let name = format!("reminder/{}/{}", self.turn, self.reminded);
        if let Some(line) = &self.line {
            line.note(&name, words).await;
        }
        let ended = self.say(words, true, true).await;
        if !goes_on {
            (self.then, self.silent_at) = (Some(Next::HangUp), None);
        }
        ended
    }

    async fn say(&mut self, words: &str, last: bool, interruptible: bool) -> Option<Ended> {
        match self.said.last_mut().filter(|_| !self.complete) {
            Some(said) => said.push_str(words),
            None => self.said.push(words.to_owned()),
        }
        self.complete = last;
        let count = u32::try_from(words.split_whitespace().count()).unwrap_or(u32::MAX);
        self.speaks_until = self.speaks_until.max(Instant::now()) + WORD * count.min(2_000);
        if last {
            self.speaks_until += PAUSE;
            self.silent_at = Some(self.speaks_until + SILENT_AFTER);
        }
        let frame = Outbound::Text {
            token: words.to_owned(),
            last,
            lang: None,
            interruptible: (!interruptible).then_some(false),
            preemptible: None,
        };
        self.send(&frame).await
    }

    async fn send(&mut self, frame: &Outbound) -> Option<Ended> {
        match timeout(SEND_WITHIN, self.socket.send(Frame::Text(frame.to_text().into()))).await {
            Ok(Ok(())) => None,
            Ok(Err(_)) | Err(_) => Some(Ended::Lost),
        }
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// The next thing a call tells; never, before it has begun.
async fn listen(line: &mut Option<Line>) -> Raw {
    match line {
        Some(line) => line.listen().await,
        None => std::future::pending().await,
    }
}
