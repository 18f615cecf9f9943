//! Retell's custom-LLM socket: Retell opens it for each call, and again for the same call when a connection is lost, here or on another frontend.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket};
use axum::extract::{Path, State, WebSocketUpgrade};
use axum::response::Response;
use colloquy_actors::calls;
use colloquy_actors::campaign::errand;
use colloquy_actors::domain::Principal;
use colloquy_actors::domain::call::script::{self, Next};
use colloquy_actors::domain::call::{Carrier, Direction, End, NewCall};
use colloquy_actors::domain::campaign::dialled::Dialled;
use colloquy_actors::domain::conversation::Spoken;
use colloquy_actors::domain::vocabulary::AgentStatus;
use colloquy_actors::retell::hear;
use colloquy_actors::telephony::retell::frames::{Transcript, UNINTELLIGIBLE};
use colloquy_actors::telephony::retell::object::{Call as Details, Direction as RetellDirection};
use colloquy_actors::telephony::retell::session::{Event, GREETING, Opening, Output, Session, Then};
use colloquy_actors::telephony::retell::target;
use tokio::time::{Instant, timeout};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Place;
use super::{Line, Raw, Told};
use crate::app::App;
use crate::chat::{self, Reached};
use crate::problem::Problem;

/// How long the details of a call are waited for; a call without them is one from an unknown number.
pub(super) const DETAILS_WITHIN: Duration = Duration::from_secs(3);
/// A peer that does not take a frame within this time is gone: Retell itself gives up after five seconds.
pub(super) const SEND_WITHIN: Duration = Duration::from_secs(5);
/// Said when nothing could be understood.
const AGAIN_PLEASE: &str = "I'm sorry, I didn't catch that. Could you say it again?";
/// The reason of an end that is ours, in Retell's word.
const AGENT_HANGUP: &str = "agent_hangup";
/// The reason of a call that Retell ended, until it says more.
const SOCKET_CLOSED: &str = "closed_by_provider";

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(open)).routes(routes!(open_alias))
}

/// Retell's custom-LLM socket (WebSocket). The address without the call's id is `voice_socket_url` of the agent; the part before it is a secret.
#[utoipa::path(get, path = "/api/voice/retell/llm/{agent_key}/{call_id}", tag = "calls", params(("agent_key" = String, Path), ("call_id" = String, Path)), responses((status = 101), (status = 404)))]
async fn open(
    State(app): State<App>,
    Path((key, call)): Path<(String, String)>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Problem> {
    upgraded(app, &key, &call, upgrade).await
}

/// The same at the place where Retell's own examples have it.
#[utoipa::path(get, path = "/llm-websocket/{agent_key}/{call_id}", tag = "calls", params(("agent_key" = String, Path), ("call_id" = String, Path)), responses((status = 101), (status = 404)))]
async fn open_alias(
    State(app): State<App>,
    Path((key, call)): Path<(String, String)>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Problem> {
    upgraded(app, &key, &call, upgrade).await
}

pub(super) fn call_id(call: &str) -> Result<String, Problem> {
    target::call_id(call, None).map_err(|_| Problem::field("call_id", "must be the id of a call at Retell"))
}

pub(super) fn place(app: &App, key: &str) -> Result<Place, Problem> {
    app.sockets.place_of_key(key).map_err(|limit| {
        Problem::unavailable("too_many_sockets", format!("Too many open connections (`{limit}`)."), 10)
    })
}

pub(super) fn sized(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    super::super::slim(upgrade).max_message_size(TRANSCRIPT_BYTES_MAX).max_frame_size(TRANSCRIPT_BYTES_MAX)
}

async fn upgraded(app: App, key: &str, call: &str, upgrade: WebSocketUpgrade) -> Result<Response, Problem> {
    // A key that is wrong tells no more than an agent that does not exist.
    let agent = calls::agent_of_key(&app.actors.tools, key).ok_or_else(|| Problem::not_found("agent"))?;
    let agent = chat::reach(&app, agent.as_str()).await?;
    let provider_call_id = call_id(call)?;
    let working = agent.now.status == AgentStatus::Active && !agent.now.suspended;
    if !working || !(agent.now.config.voice_enabled || calls_people(&app, &agent).await) {
        return Err(Problem::conflict("agent_not_live", "This agent does not answer the phone at the moment."));
    }
    let place = place(&app, agent.id.as_str())?;
    let tasks = app.sockets.tasks.clone();
    Ok(sized(upgrade).on_upgrade(move |socket| {
        tasks.track_future(async move {
            let mut out = Vec::new();
            let now_ms = app.now_ms();
            let known = known(&app, &agent, &provider_call_id).await;
            let opening = if known.is_some() { Opening::Resume } else { Opening::Greet };
            let session = Session::open(opening, now_ms, &mut out);
            Driver::new(app, socket, place, agent, provider_call_id, session, out).run(known).await;
        })
    }))
}

/// Whether an agent is set up at Retell: who was called by us is spoken with, whether it answers calls or not. Which of both it is stands in the call's details.
async fn calls_people(app: &App, agent: &Reached) -> bool {
    let lines = app.actors.tools.lines(&app.actors.client, &agent.tenant).await;
    lines.is_ok_and(|lines| lines.agents.values().any(|agents| agents.contains_key(&agent.id)))
}

/// The largest frame, bytes: each carries the whole transcript twice with the times of its words, an hour of which is a few hundred kilobytes.
const TRANSCRIPT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A call that has been going on before this socket.
async fn known(app: &App, agent: &Reached, provider_call_id: &str) -> Option<Is> {
    let call = calls::id(&app.actors.tools, &agent.tenant, Carrier::Retell, provider_call_id);
    let by = Principal::system(agent.tenant.clone());
    let found = calls::find(&app.actors.client, &by, &call).await.ok()??;
    let going = found.conversation_id.is_some() && found.sockets > 0;
    found.is.filter(|is| going && is.agent_id == agent.id).map(|is| Is::known(*is))
}

/// Who calls whom, and what for.
#[derive(Clone, Debug)]
pub(super) struct Is {
    direction: Direction,
    person: Option<String>,
    line: Option<String>,
    /// The dial it comes of, if we made it.
    dial: Option<Dialled>,
    /// Whether it has been going on before.
    before: bool,
}

impl Is {
    /// By what Retell says of it; a call without that is one from an unknown number.
    pub(super) fn of(details: Option<&Details>) -> Self {
        let direction = match details.and_then(|details| details.direction.as_ref()) {
            Some(RetellDirection::Outbound) => Direction::Outbound,
            Some(RetellDirection::Inbound | RetellDirection::Other(_)) | None => Direction::Inbound,
        };
        let (from, to) = details.map(|of| (of.from_number.clone(), of.to_number.clone())).unwrap_or_default();
        let (person, line) = match direction {
            Direction::Inbound => (from, to),
            Direction::Outbound => (to, from),
        };
        let dial = details.filter(|_| direction == Direction::Outbound).and_then(hear::dialled);
        Self { direction, person, line, dial, before: false }
    }

    /// As it was heard of first.
    fn known(call: NewCall) -> Self {
        let NewCall { direction, person, line, dial, .. } = call;
        Self { direction, person, line, dial, before: true }
    }
}

/// How a socket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// We hung up.
    ByUs,
    /// Retell closed it: the call is over.
    ByRetell,
    /// The connection was lost, or given to another frontend: Retell comes back.
    Lost,
    /// The call is over, or is somebody else's: nothing is to be noted.
    Nothing,
}

pub(super) struct Driver {
    /// Since when somebody has been waiting for a word.
    opened: Instant,
    app: App,
    socket: WebSocket,
    _place: Place,
    agent: Reached,
    provider_call_id: String,
    session: Session,
    line: Option<Line>,
    out: Vec<Output>,
    /// What is being answered.
    asked: Option<u64>,
    /// The newest transcript.
    last: Transcript,
    /// How often the caller has had the floor.
    turns: usize,
    /// How often the caller was reminded since last saying something.
    reminded: u32,
}

impl Driver {
    pub(super) fn new(
        app: App,
        socket: WebSocket,
        place: Place,
        agent: Reached,
        provider_call_id: String,
        session: Session,
        out: Vec<Output>,
    ) -> Self {
        Self {
            opened: Instant::now(),
            app,
            socket,
            _place: place,
            agent,
            provider_call_id,
            session,
            line: None,
            out,
            asked: None,
            last: Transcript::default(),
            turns: 0,
            reminded: 0,
        }
    }

    pub(super) async fn run(mut self, known: Option<Is>) {
        let begun = match known {
            Some(is) => self.begin(is).await,
            None => None,
        };
        let ended = match begun {
            Some(ended) => ended,
            None => self.talk().await,
        };
        let Some(line) = &self.line else { return };
        match ended {
            Ended::ByUs | Ended::ByRetell => {
                // What was being spoken when it ended was heard only as far as Retell wrote it down.
                if self.last.last_heard().is_some() {
                    let heard = match self.last.pending_words() {
                        Some(_) => String::new(),
                        None => self.last.heard_before(),
                    };
                    line.heard_only(&heard).await;
                }
                let reason = if ended == Ended::ByUs { AGENT_HANGUP } else { SOCKET_CLOSED };
                line.end(End { reason: Some(reason.to_owned()), ..End::default() }).await;
            }
            Ended::Lost => line.lost().await,
            Ended::Nothing => {}
        }
    }

    async fn talk(&mut self) -> Ended {
        let stopping = self.app.sockets.stopping.clone();
        let begun = Instant::now();
        loop {
            if let Some(ended) = self.carry_out().await {
                return ended;
            }
            let silent_ms = u64::try_from(self.session.deadline_ms() - self.app.now_ms()).unwrap_or(0);
            tokio::select! {
                () = stopping.cancelled() => self.session.let_go(&mut self.out),
                () = tokio::time::sleep(Duration::from_millis(silent_ms)) => {
                    let now_ms = self.app.now_ms();
                    self.session.on_tick(now_ms, &mut self.out);
                }
                () = tokio::time::sleep_until(begun + DETAILS_WITHIN), if self.line.is_none() => {
                    if let Some(ended) = self.begin(Is::of(None)).await {
                        return ended;
                    }
                }
                frame = self.socket.recv() => match frame {
                    Some(Ok(Frame::Text(text))) => {
                        let now_ms = self.app.now_ms();
                        self.session.on_text(now_ms, &text, &mut self.out);
                    }
                    Some(Ok(Frame::Binary(_))) => self.session.on_binary(&mut self.out),
                    Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => {}
                    Some(Ok(Frame::Close(_))) => return Ended::ByRetell,
                    Some(Err(_)) | None => return Ended::Lost,
                },
                raw = listen(&mut self.line) => {
                    if let Some(ended) = self.heard(raw).await {
                        return ended;
                    }
                }
            }
        }
    }

    /// Does what the session wants, in order, until nothing is left.
    async fn carry_out(&mut self) -> Option<Ended> {
        while !self.out.is_empty() {
            for output in std::mem::take(&mut self.out) {
                match output {
                    Output::Send(text) => {
                        match timeout(SEND_WITHIN, self.socket.send(Frame::Text(text.into()))).await {
                            Ok(Ok(())) => {}
                            Ok(Err(_)) | Err(_) => return Some(Ended::Lost),
                        }
                    }
                    Output::Close(code) => {
                        let close = CloseFrame { code, reason: "".into() };
                        let _ = timeout(SEND_WITHIN, self.socket.send(Frame::Close(Some(close)))).await;
                        return Some(Ended::ByUs);
                    }
                    Output::Drop => return Some(Ended::Lost),
                    Output::Tell(event) => {
                        if let Some(ended) = self.told(event).await {
                            return Some(ended);
                        }
                    }
                }
            }
        }
        None
    }

    async fn told(&mut self, event: Event) -> Option<Ended> {
        match event {
            Event::Details(details) if self.line.is_none() => return self.begin(Is::of(Some(&details))).await,
            Event::Details(_) => {}
            Event::Update { transcript, .. } => self.last = transcript,
            Event::Asked { response_id, reminder, transcript } => {
                if self.line.is_none()
                    && let Some(ended) = self.begin(Is::of(None)).await
                {
                    return Some(ended);
                }
                self.last = transcript;
                self.asked = Some(response_id);
                if reminder { self.remind(response_id).await } else { self.asked(response_id).await }
            }
            Event::Superseded { response_id } => {
                if self.asked == Some(response_id) {
                    self.asked = None;
                    if let Some(line) = &mut self.line {
                        line.drop_answer();
                    }
                }
            }
            Event::Ignored(problem) => {
                tracing::debug!(%problem, "a frame of a voice provider was passed over");
            }
        }
        None
    }

    /// Begins the call, or goes on with it.
    async fn begin(&mut self, is: Is) -> Option<Ended> {
        match self.wanted(&is).await {
            Ok(true) => {}
            Ok(false) => {
                self.session.hang_up(&mut self.out);
                self.carry_closing().await;
                return Some(Ended::Nothing);
            }
            Err(error) => {
                tracing::warn!(%error, "a call could not begin here; its provider tries elsewhere");
                return Some(Ended::Lost);
            }
        }
        let account = self.account(is.line.as_deref()).await;
        let Is { direction, person, line, dial, .. } = is;
        let heard = calls::Heard {
            agent: self.agent.id.clone(),
            carrier: Carrier::Retell,
            provider_call_id: self.provider_call_id.clone(),
            direction,
            person,
            line,
            test: false,
            account,
            dial: dial.clone(),
        };
        match Line::open(&self.app, self.agent.clone(), heard).await {
            Ok((line, call)) => {
                // Said by whichever socket comes first; one that only comes back says nothing until asked.
                if self.session.open_id() == Some(GREETING) {
                    let greeting = line.greeting().await.ok().flatten().unwrap_or_default();
                    // What must be heard is heard to its end.
                    self.session.keep_floor();
                    let _ = self.session.complete(GREETING, &greeting, &Then::Listen, &mut self.out);
                }
                self.line = Some(line);
                if let Some(dial) = dial.filter(|_| call.sockets == 1) {
                    let waited_ms = i64::try_from(self.opened.elapsed().as_millis()).unwrap_or(i64::MAX);
                    super::twilio::waited(&self.app, &self.agent.tenant, &dial, waited_ms).await;
                }
                None
            }
            Err(colloquy_actors::ActorError::Rejected(_)) => {
                // It is over: what comes for it late is sent away.
                self.session.hang_up(&mut self.out);
                self.carry_closing().await;
                Some(Ended::Nothing)
            }
            Err(error) => {
                tracing::warn!(%error, "a call could not begin here; its provider tries elsewhere");
                Some(Ended::Lost)
            }
        }
    }

    /// Whether anybody has something to say in it.
    async fn wanted(&mut self, is: &Is) -> Result<bool, colloquy_actors::ActorError> {
        if is.before {
            return Ok(true);
        }
        match &is.dial {
            // Settled, or taken back: nobody has anything to say any more.
            Some(dial) => Ok(errand::brief(&self.app.actors.client, &self.agent.tenant, dial).await?.is_some()),
            None => Ok(is.direction == Direction::Outbound || self.agent.now.config.voice_enabled),
        }
    }

    /// The account whose number it is, as its pacer is named; none for a number that is only entered at Retell.
    async fn account(&mut self, line: Option<&str>) -> Option<String> {
        let lines = self.app.actors.tools.lines(&self.app.actors.client, &self.agent.tenant).await.ok()?;
        let mut numbers = lines.numbers.values();
        let number = numbers.find(|known| known.is.provider.as_retell() && Some(known.is.number.as_str()) == line)?;
        let connection = lines.connections.get(&number.is.provider)?;
        Some(format!("{}:{}", number.is.provider.word(), connection.credentials.account))
    }

    async fn carry_closing(&mut self) {
        for output in std::mem::take(&mut self.out) {
            let frame = match output {
                Output::Send(text) => Frame::Text(text.into()),
                Output::Close(code) => Frame::Close(Some(CloseFrame { code, reason: "".into() })),
                Output::Drop | Output::Tell(_) => continue,
            };
            let _ = timeout(SEND_WITHIN, self.socket.send(frame)).await;
        }
    }

    async fn asked(&mut self, response_id: u64) {
        let turns = self.last.user_turns();
        if turns != self.turns {
            (self.turns, self.reminded) = (turns, 0);
        }
        let Some(line) = &mut self.line else { return };
        let words = match self.last.pending_words() {
            // Asked although nobody said anything: whoever listens is let go on.
            None => return self.complete(response_id, "", &Then::Listen),
            Some(words) if words == UNINTELLIGIBLE => {
                let name = format!("again/{response_id}/{turns}");
                line.note(&name, AGAIN_PLEASE).await;
                return self.complete(response_id, AGAIN_PLEASE, &Then::Listen);
            }
            Some(words) => words,
        };
        let spoken = Spoken {
            call: line.live.call.clone(),
            turn: u32::try_from(turns).unwrap_or(u32::MAX),
            heard: Some(self.last.heard_before()),
            typed: false,
        };
        line.hear(spoken, words);
    }

    async fn remind(&mut self, response_id: u64) {
        let (words, goes_on) = script::reminder(self.reminded);
        self.reminded += 1;
        let name = format!("reminder/{}/{}", self.last.user_turns(), self.reminded);
        if let Some(line) = &self.line {
            line.note(&name, words).await;
        }
        let then = if goes_on { Then::Listen } else { Then::HangUp };
        self.complete(response_id, words, &then);
    }

    async fn heard(&mut self, raw: Raw) -> Option<Ended> {
        let told = self.line.as_mut()?.take(raw).await?;
        match told {
            Told::Say(sentences) => {
                if let Some(asked) = self.asked {
                    for sentence in sentences {
                        // Superseded meanwhile: what is asked for now is under way.
                        let _ = self.session.say(asked, &sentence, &mut self.out);
                    }
                }
            }
            Told::Done(rest, next) => {
                let then = match next {
                    Next::Listen | Next::Sorry { .. } => Then::Listen,
                    Next::HangUp => Then::HangUp,
                    Next::Transfer { to, .. } => Then::Transfer { to, show_caller: false },
                };
                if let Some(asked) = self.asked {
                    self.complete(asked, &rest.concat(), &then);
                }
            }
            Told::Silent => {
                if let Some(asked) = self.asked {
                    self.complete(asked, "", &Then::Listen);
                }
            }
            Told::Person(words) => {
                let _ = self.session.interrupt(&words, true, &Then::Listen, &mut self.out);
            }
            Told::Transfer { to, words } => {
                let then = Then::Transfer { to, show_caller: false };
                if let Err(error) = self.session.interrupt(&words, true, &then, &mut self.out) {
                    tracing::warn!(%error, "a call could not be put through");
                }
            }
            Told::HangUp => self.session.hang_up(&mut self.out),
            Told::Over => {
                self.session.hang_up(&mut self.out);
                self.carry_closing().await;
                return Some(Ended::Nothing);
            }
            // Ours is a connection that Retell has given up.
            Told::Replaced => return Some(Ended::Nothing),
        }
        None
    }

    /// The last words of an answer. An ending that cannot be carried out is left out: the caller must not wait for ever.
    fn complete(&mut self, response_id: u64, words: &str, then: &Then) {
        self.asked = None;
        let done = self.session.complete(response_id, words, then, &mut self.out);
        if done.is_err() && *then != Then::Listen {
            let _ = self.session.complete(response_id, words, &Then::Listen, &mut self.out);
        }
    }
}

/// The next thing a call tells; never, before it has begun.
async fn listen(line: &mut Option<Line>) -> Raw {
    match line {
        Some(line) => line.listen().await,
        None => std::future::pending().await,
    }
}
