//! A test call from the console: the page shows and, where there is a voice, plays what is said; the caller speaks into the microphone where somebody
//! listens, and types otherwise. It is answered as any other, and a trial: whoever makes it is of the organization.

use std::time::Duration;

use axum::extract::ws::{Message as Frame, WebSocket};
use axum::extract::{State, WebSocketUpgrade};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use colloquy_actors::ActorError;
use colloquy_actors::calls;
use colloquy_actors::domain::call::script::{self, Next};
use colloquy_actors::domain::call::{Carrier, Direction, End};
use colloquy_actors::domain::conversation::Spoken;
use colloquy_actors::domain::principal::Role;
use colloquy_actors::telephony::speech::Heard;
use colloquy_actors::telephony::turn::words::is_backchannel;
use colloquy_actors::voice::{self as realtime, Listening, Manner, OPENAI, Sideband};
use colloquy_wire::voice::{VoiceClient, VoiceServer};
use serde::Deserialize;
use tokio::time::{Instant, interval_at, timeout};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Place;
use super::mouth::{self, Mouth, next_of};
use super::played::Played;
use super::{Line, Raw, Told};
use crate::app::App;
use crate::auth::{self, ACCESS_COOKIE, Address, Console};
use crate::body::Query;
use crate::chat::{self, Reached};
use crate::problem::Problem;
use crate::routes::agents::only_agent;
use crate::routes::realtime::no_realtime;
use crate::tokens::hex;

/// A page says what it wants within this time or is closed.
const START_WITHIN: Duration = Duration::from_secs(10);
/// A ping this often finds dead peers.
const PING_EVERY: Duration = Duration::from_secs(20);
/// A peer that answers no ping for this long is gone.
const SILENT_MAX: Duration = Duration::from_secs(50);
/// A peer that does not take a frame within this time is gone.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// What kind of call this is.
const NOTE: &str = "This is a test call in your browser, and a trial: it is answered like a real call, but makes no lead, alerts nobody and is in no figure. \
                    An appointment that it books takes its time in the calendar, marked as a trial, until you cancel it.";
/// How the caller is heard although there is speech-to-text.
const TYPED: &str = "You type what the caller says: this page sends no sound.";
/// Said when speech-to-text ends in the middle of a call.
const UNHEARD: &str =
    "The microphone is not heard any more: speech-to-text cannot be reached. Type what the caller says.";
/// Characters of a session's id at OpenAI.
const REALTIME_CHARS_MAX: usize = 200;
/// How long a character takes to be spoken where nobody says it, ms: fifteen a second.
const CHAR_MS: u64 = 65;
/// The rates that a microphone may have, Hz: those that speech-to-text takes.
const MICROPHONE_HZ: std::ops::RangeInclusive<u32> = 8_000..=48_000;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(open))
}

#[derive(Debug, Deserialize)]
struct Open {
    agent_id: String,
}

/// A test call in the browser (WebSocket): see /schemas/sockets.json.
#[utoipa::path(get, path = "/api/voice/browser", tag = "calls", params(("agent_id" = String, Query)), responses((status = 101)))]
async fn open(
    State(app): State<App>,
    Address(address): Address,
    headers: HeaderMap,
    Query(query): Query<Open>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Problem> {
    let token = match auth::bearer(&headers) {
        Some(token) => Some(token.to_owned()),
        // A browser sends its cookie with every upgrade, also for another site's page: only our own may use it.
        None => auth::cookie(&headers, ACCESS_COOKIE).filter(|_| own_origin(&app, &headers)).map(str::to_owned),
    };
    let place = app.sockets.place(address).map_err(|limit| {
        Problem::unavailable("too_many_sockets", format!("Too many open connections (`{limit}`)."), 10)
    })?;
    let tasks = app.sockets.tasks.clone();
    Ok(super::super::slim(upgrade).on_upgrade(move |socket| {
        tasks.track_future(async move {
            let mut session = Session {
                app,
                socket,
                _place: place,
                line: None,
                mouth: None,
                played: None,
                ears: None,
                realtime: None,
                turns: 0,
                unanswered: None,
                utterance: 0,
                then: None,
                heard: Instant::now(),
            };
            session.run(token, &query.agent_id).await;
        })
    }))
}

fn own_origin(app: &App, headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).and_then(|value| value.to_str().ok()) == Some(app.settings.public_url.as_str())
}

/// Why a socket ends.
#[derive(Debug)]
enum Ended {
    /// The page is gone; it may come back for its call.
    Gone,
    /// This node stops.
    Stopping,
    /// The call is over; `noted` if that stands already.
    Over { noted: bool },
    /// Another connection carries the call.
    Replaced,
    /// It never began.
    Refused(Box<Problem>),
}

struct Session {
    app: App,
    socket: WebSocket,
    _place: Place,
    line: Option<Line>,
    /// Makes sound of words, where there is a voice.
    mouth: Option<Mouth>,
    /// What the page got to hear, where there is a voice.
    played: Option<Played>,
    /// Makes words of the caller's sound, where the page sends it.
    ears: Option<Listening>,
    /// A session of OpenAI Realtime that the page has, with its id there: it listens and speaks.
    realtime: Option<(Sideband, String)>,
    /// How often the caller has had the floor.
    turns: u32,
    /// What the caller said last by voice, until anything of the answer was spoken: whoever goes on before that has not finished.
    unanswered: Option<String>,
    /// The newest utterance.
    utterance: u64,
    /// What follows the sentences of it that are still being spoken.
    then: Option<Next>,
    heard: Instant,
}

impl Session {
    async fn run(&mut self, token: Option<String>, agent: &str) {
        let ended = match self.begin(token, agent).await {
            Ok(()) => self.talk().await,
            Err(ended) => ended,
        };
        let reason = match ended {
            Ended::Gone => None,
            Ended::Stopping => Some("restarting"),
            Ended::Over { .. } => Some("ended"),
            Ended::Replaced => Some("replaced"),
            Ended::Refused(problem) => {
                let body = *problem.body;
                let _ = self.send(&VoiceServer::Error { code: body.code, detail: body.detail }).await;
                return;
            }
        };
        let ended_for_good = matches!(ended, Ended::Over { .. });
        if let Some(line) = &self.line {
            match ended {
                Ended::Gone | Ended::Stopping => line.lost().await,
                Ended::Over { noted: false } => line.end(End::default()).await,
                Ended::Over { noted: true } | Ended::Replaced | Ended::Refused(_) => {}
            }
        }
        if let (true, Some((_, id)), Some(openai)) =
            (ended_for_good, self.realtime.take(), self.app.actors.tools.voices.openai())
        {
            openai.hang_up(&id).await;
        }
        if let Some(reason) = reason {
            let _ = self.send(&VoiceServer::Bye { reason: reason.to_owned() }).await;
        }
    }

    async fn begin(&mut self, token: Option<String>, agent: &str) -> Result<(), Ended> {
        let refused = |problem: Problem| Ended::Refused(Box::new(problem));
        let frame = match timeout(START_WITHIN, self.socket.recv()).await {
            Ok(Some(Ok(Frame::Text(text)))) => text,
            Ok(_) | Err(_) => return Err(Ended::Gone),
        };
        let (given, call_id, microphone_hz, realtime) = match serde_json::from_str::<VoiceClient>(&frame) {
            Ok(VoiceClient::Start { token, call_id, microphone_hz, realtime_call_id }) => {
                (token, call_id, microphone_hz, realtime_call_id)
            }
            Ok(
                VoiceClient::Said { .. }
                | VoiceClient::Played { .. }
                | VoiceClient::Silent { .. }
                | VoiceClient::Hangup,
            )
            | Err(_) => {
                return Err(refused(Problem::field("type", "the first frame must be `start`")));
            }
        };
        if microphone_hz.is_some_and(|hz| !MICROPHONE_HZ.contains(&hz)) {
            return Err(refused(Problem::field("microphone_hz", "must be 8000 to 48000")));
        }
        if realtime.as_ref().is_some_and(|id| id.is_empty() || id.chars().count() > REALTIME_CHARS_MAX) {
            let message = format!("must have 1 to {REALTIME_CHARS_MAX} characters");
            return Err(refused(Problem::field("realtime_call_id", message)));
        }
        if realtime.is_some() && self.app.actors.tools.voices.openai().is_none() {
            return Err(refused(no_realtime()));
        }
        let token = given.or(token).ok_or_else(|| refused(Problem::unauthorized("Sign in to make a test call.")))?;
        let console = auth::of_token(&self.app, &token).await.map_err(refused)?;
        let agent = reached(&self.app, &console, agent).await.map_err(refused)?;
        // A call that is gone on with must be a test of this agent: ids of others are derived from other names.
        let provider_call_id = match call_id {
            Some(known) => provider_id(&self.app, &console, &agent, &known).await.map_err(refused)?,
            None => hex(&rand::random::<[u8; 16]>()),
        };
        let heard = calls::Heard {
            agent: agent.id.clone(),
            carrier: Carrier::Browser,
            provider_call_id,
            direction: Direction::Inbound,
            person: None,
            line: None,
            test: true,
            account: None,
            dial: None,
        };
        let (line, _) = Line::open(&self.app, agent, heard).await.map_err(|error| refused(error.into()))?;
        let voices = &self.app.actors.tools.voices;
        let config = &line.agent.now.config;
        self.mouth = voices
            .of_page(config)
            .map(|speech| Mouth::new(speech.clone(), voices.instead_of(speech.name()), Manner::of(config, false)));
        let mut note = vec![NOTE.to_owned()];
        note.extend(voices.missing());
        let microphone_hz = microphone_hz.filter(|_| realtime.is_none());
        let mut listening = voices.ears().filter(|_| microphone_hz.is_some()).map_or("typed", |ears| ears.name());
        if let (Some(openai), Some(id)) = (voices.openai(), realtime) {
            listening = OPENAI;
            note = vec![NOTE.to_owned()];
            self.mouth = None;
            self.turns = line.turns().await.unwrap_or(0);
            self.realtime = Some((openai.beside(&id), id));
        }
        match (voices.ears().filter(|_| self.realtime.is_none()), microphone_hz) {
            (Some(ears), Some(hz)) => {
                self.ears = Some(ears.listen("linear16", hz, &config.voice_language));
                self.turns = line.turns().await.unwrap_or(0);
            }
            (Some(_), None) => note.push(TYPED.to_owned()),
            (None, _) => {}
        }
        let hello = VoiceServer::Call {
            call_id: line.live.call.to_string(),
            conversation_id: line.live.conversation.to_string(),
            agent: line.agent.now.config.name.clone(),
            listening: listening.to_owned(),
            speech: match (&self.realtime, &self.mouth) {
                (Some(_), _) => OPENAI.to_owned(),
                (None, mouth) => mouth.as_ref().map_or("none", Mouth::name).to_owned(),
            },
            note: note.join(" "),
        };
        let greeting = line.greeting().await.ok().flatten();
        if self.mouth.is_some() || self.realtime.is_some() {
            // A greeting that is said again is not heard twice.
            let before = if greeting.is_none() { line.said_since().await.unwrap_or_default() } else { Vec::new() };
            self.played = Some(Played::after(before));
        }
        self.line = Some(line);
        self.send(&hello).await?;
        if let Some(greeting) = greeting {
            self.next_utterance();
            self.say(&[greeting]).await?;
            self.done(&Next::Listen).await?;
        }
        Ok(())
    }

    async fn talk(&mut self) -> Ended {
        let stopping = self.app.sockets.stopping.clone();
        let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        loop {
            let outcome = tokio::select! {
                () = stopping.cancelled() => return Ended::Stopping,
                _ = pings.tick() => {
                    if self.heard.elapsed() > SILENT_MAX {
                        return Ended::Gone;
                    }
                    self.send_frame(Frame::Ping(Vec::new().into())).await
                }
                frame = self.socket.recv() => {
                    self.heard = Instant::now();
                    match frame {
                        Some(Ok(Frame::Text(text))) => self.take(&text).await,
                        Some(Ok(Frame::Binary(sound))) => match &self.ears {
                            Some(ears) => {
                                ears.sound(sound.to_vec());
                                Ok(())
                            }
                            None => self.refuse("not_text", "Send text frames, one JSON object each: nobody listens to sound here.").await,
                        },
                        Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => Ok(()),
                        Some(Ok(Frame::Close(_)) | Err(_)) | None => return Ended::Gone,
                    }
                }
                heard = hears(&mut self.ears) => self.hears(heard).await,
                beside = beside(&mut self.realtime) => self.beside(beside).await,
                spoken = next_of(&mut self.mouth) => self.spoken(spoken).await,
                raw = listen(&mut self.line) => self.told(raw).await,
            };
            if let Err(ended) = outcome {
                return ended;
            }
        }
    }

    async fn take(&mut self, text: &str) -> Result<(), Ended> {
        let frame = match serde_json::from_str::<VoiceClient>(text) {
            Ok(frame) => frame,
            Err(error) => return self.refuse("bad_frame", &error.to_string()).await,
        };
        let Some(line) = &mut self.line else { return Ok(()) };
        match frame {
            VoiceClient::Start { .. } => self.refuse("already_started", "This call has begun.").await,
            VoiceClient::Said { turn, text, heard } => {
                let words = text.trim();
                let chars = words.chars().count();
                if turn == 0 || words.is_empty() || chars > self.app.settings.message_chars_max {
                    let detail = format!(
                        "`turn` counts from 1; `text` has 1 to {} characters.",
                        self.app.settings.message_chars_max
                    );
                    return self.refuse("bad_words", &detail).await;
                }
                let heard = heard.or_else(|| self.played.as_mut().map(Played::take));
                let spoken = Spoken { call: line.live.call.clone(), turn, heard, typed: true };
                line.hear(spoken, words.to_owned());
                self.turns = self.turns.max(turn);
                self.unanswered = None;
                self.next_utterance();
                Ok(())
            }
            VoiceClient::Played { utterance, ms } => {
                if let Some(played) = &mut self.played {
                    played.played(utterance, ms);
                }
                Ok(())
            }
            VoiceClient::Silent { count } => {
                let (words, goes_on) = script::reminder(count.saturating_sub(1));
                let name = format!("reminder/{}/{count}", self.utterance);
                line.note(&name, words).await;
                self.next_utterance();
                self.say(&[words.to_owned()]).await?;
                self.done(if goes_on { &Next::Listen } else { &Next::HangUp }).await
            }
            VoiceClient::Hangup => {
                if let Some(played) = &mut self.played {
                    line.heard_only(&played.take()).await;
                }
                Err(Ended::Over { noted: false })
            }
        }
    }

    async fn told(&mut self, raw: Raw) -> Result<(), Ended> {
        let Some(line) = &mut self.line else { return Ok(()) };
        match line.take(raw).await {
            None => Ok(()),
            Some(Told::Say(sentences)) => self.say(&sentences).await,
            Some(Told::Done(rest, next)) => {
                self.say(&rest).await?;
                self.done(&next).await
            }
            Some(Told::Silent) => self.done(&Next::Listen).await,
            Some(Told::Person(words)) => {
                self.next_utterance();
                self.say(&[words]).await?;
                self.done(&Next::Listen).await
            }
            Some(Told::Transfer { to, words }) => {
                self.next_utterance();
                self.say(std::slice::from_ref(&words)).await?;
                self.done(&Next::Transfer { to, words }).await
            }
            Some(Told::HangUp) => Err(Ended::Over { noted: false }),
            Some(Told::Over) => Err(Ended::Over { noted: true }),
            Some(Told::Replaced) => Err(Ended::Replaced),
        }
    }

    /// Something of the session that the page has.
    async fn beside(&mut self, told: Option<realtime::Told>) -> Result<(), Ended> {
        match told {
            None => {
                self.realtime = None;
                self.hears(None).await
            }
            Some(realtime::Told::Heard(heard)) => self.hears(Some(heard)).await,
            Some(realtime::Told::Interrupted { ms }) => {
                if let Some(played) = &mut self.played {
                    played.played(self.utterance, ms);
                }
                self.interrupt().await
            }
            Some(realtime::Told::Played) => {
                if let Some(played) = &mut self.played {
                    played.played(self.utterance, u64::MAX);
                }
                match self.then.take() {
                    Some(next) => self.done(&next).await,
                    None => Ok(()),
                }
            }
        }
    }

    /// Something about what the microphone hears.
    async fn hears(&mut self, heard: Option<Heard>) -> Result<(), Ended> {
        match heard {
            None => {
                self.ears = None;
                self.send(&VoiceServer::Hearing { text: String::new(), done: true, turn: None }).await?;
                self.refuse("not_heard", UNHEARD).await
            }
            // Words decide who has the floor: a cough begins no turn.
            Some(Heard::Started | Heard::Resumed) => Ok(()),
            Some(Heard::Partial(text) | Heard::Eager(text)) => {
                if text.trim().is_empty() || (self.is_heard() && is_backchannel(&text)) {
                    return Ok(());
                }
                self.interrupt().await?;
                self.send(&VoiceServer::Hearing { text, done: false, turn: None }).await
            }
            Some(Heard::Ended(text)) => {
                let words: String = text.trim().chars().take(self.app.settings.message_chars_max).collect();
                if words.is_empty() || (self.is_heard() && is_backchannel(&words)) {
                    return self.send(&VoiceServer::Hearing { text: String::new(), done: true, turn: None }).await;
                }
                self.interrupt().await?;
                let words = match self.unanswered.take() {
                    Some(before) => format!("{before} {words}"),
                    None => {
                        self.turns += 1;
                        words
                    }
                };
                let heard = self.played.as_mut().map(Played::take);
                if let Some(line) = &mut self.line {
                    let spoken = Spoken { call: line.live.call.clone(), turn: self.turns, heard, typed: false };
                    line.hear(spoken, words.clone());
                }
                self.next_utterance();
                self.unanswered = Some(words.clone());
                self.send(&VoiceServer::Hearing { text: words, done: true, turn: Some(self.turns) }).await
            }
        }
    }

    /// Whether the caller is hearing something of us.
    fn is_heard(&self) -> bool {
        self.played.as_ref().is_some_and(|played| played.is_playing(self.utterance))
    }

    /// The caller has the floor: what is being played stops, and what is being made for them is not spoken.
    async fn interrupt(&mut self) -> Result<(), Ended> {
        let Some(line) = &mut self.line else { return Ok(()) };
        let makes = line.is_answering() || self.mouth.as_ref().is_some_and(Mouth::is_busy) || self.then.is_some();
        if !makes && !self.played.as_ref().is_some_and(|played| played.is_playing(self.utterance)) {
            return Ok(());
        }
        match &self.unanswered {
            Some(_) => line.take_back(),
            None => line.let_go(),
        }
        // Noted already: whoever is to take the call is waiting for it. Who goes on talking is not hung up on.
        let follows = self.then.take().filter(|next| matches!(next, Next::Transfer { .. }));
        let cut = self.utterance;
        self.next_utterance();
        self.send(&VoiceServer::Stop { utterance: cut }).await?;
        match follows {
            Some(next) => self.done(&next).await,
            None => Ok(()),
        }
    }

    /// Another takes the place of what is being said.
    fn next_utterance(&mut self) {
        self.utterance += 1;
        self.then = None;
        if let Some(mouth) = &mut self.mouth {
            mouth.stop();
        }
        if let Some((beside, _)) = &self.realtime {
            beside.stop();
        }
    }

    async fn say(&mut self, sentences: &[String]) -> Result<(), Ended> {
        for sentence in sentences.iter().map(|sentence| sentence.trim()).filter(|sentence| !sentence.is_empty()) {
            match &mut self.mouth {
                Some(mouth) => mouth.say(self.utterance, sentence.to_owned()),
                None => {
                    let text = sentence.to_owned();
                    self.unanswered = None;
                    if let (Some((beside, _)), Some(played)) = (&self.realtime, &mut self.played) {
                        beside.say(sentence);
                        played.sent(self.utterance, sentence, sentence.chars().count() as u64 * CHAR_MS, None);
                    }
                    self.send(&VoiceServer::Say { utterance: self.utterance, text, audio: None }).await?;
                }
            }
        }
        Ok(())
    }

    /// A sentence is sound, or could not be made into it: then its words are shown all the same.
    async fn spoken(&mut self, spoken: mouth::Spoken) -> Result<(), Ended> {
        let (duration_ms, alignment, audio) = match spoken.sound {
            Ok(sound) => {
                let audio = STANDARD.encode(sound.wav());
                (sound.duration_ms(), sound.alignment, Some(audio))
            }
            Err(error) => {
                tracing::warn!(%error, "a sentence of a test call was not spoken");
                (0, None, None)
            }
        };
        self.unanswered = None;
        if let Some(played) = &mut self.played {
            played.sent(spoken.of, &spoken.text, duration_ms, alignment);
        }
        self.send(&VoiceServer::Say { utterance: spoken.of, text: spoken.text, audio }).await?;
        match self.then.take() {
            Some(next) if !self.mouth.as_ref().is_some_and(Mouth::is_busy) => self.done(&next).await,
            then => {
                self.then = then;
                Ok(())
            }
        }
    }

    async fn done(&mut self, next: &Next) -> Result<(), Ended> {
        if self.mouth.as_ref().is_some_and(Mouth::is_busy) {
            self.then = Some(next.clone());
            return Ok(());
        }
        if self.realtime.is_some() && *next == Next::HangUp && self.is_heard() {
            // The session ends with the call: goodbye is heard first.
            self.then = Some(next.clone());
            return Ok(());
        }
        let (then, to) = match next {
            Next::Listen | Next::Sorry { .. } => ("listen", None),
            Next::HangUp => ("hang_up", None),
            Next::Transfer { to, .. } => ("transfer", Some(to.clone())),
        };
        self.send(&VoiceServer::Done { utterance: self.utterance, then: then.to_owned(), to }).await?;
        // Nobody waits for a page to have spoken: the words stand there, and the call is over.
        if *next == Next::HangUp { Err(Ended::Over { noted: false }) } else { Ok(()) }
    }

    async fn refuse(&mut self, code: &str, detail: &str) -> Result<(), Ended> {
        self.send(&VoiceServer::Error { code: code.to_owned(), detail: detail.to_owned() }).await
    }

    async fn send(&mut self, frame: &VoiceServer) -> Result<(), Ended> {
        let text = serde_json::to_string(frame).map_err(|_| Ended::Gone)?;
        self.send_frame(Frame::Text(text.into())).await
    }

    async fn send_frame(&mut self, frame: Frame) -> Result<(), Ended> {
        match timeout(SEND_WITHIN, self.socket.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Ended::Gone),
        }
    }
}

/// The agent, for whoever may try it out. Drafts too: a test call is how one hears them first.
async fn reached(app: &App, console: &Console, agent: &str) -> Result<Reached, Problem> {
    console.need(Role::Rep, "make a test call")?;
    let reached = chat::reach(app, agent).await?;
    let theirs = reached.tenant == *console.tenant() && only_agent(console).is_none_or(|only| only == reached.id);
    if theirs { Ok(reached) } else { Err(Problem::not_found("agent")) }
}

/// The provider's name of a test call that is gone on with.
async fn provider_id(app: &App, console: &Console, agent: &Reached, call: &str) -> Result<String, Problem> {
    let gone = || Problem::not_found("call");
    let found = calls::find(&app.actors.client, &console.by, &call.into()).await;
    let call = match found {
        Ok(call) => call.ok_or_else(gone)?,
        Err(ActorError::Rejected(_)) => return Err(gone()),
        Err(error) => return Err(error.into()),
    };
    let is = call.is.filter(|is| is.carrier == Carrier::Browser && is.agent_id == agent.id).ok_or_else(gone)?;
    Ok(is.provider_call_id)
}

/// What a session beside us tells next; never, where there is none.
async fn beside(realtime: &mut Option<(Sideband, String)>) -> Option<realtime::Told> {
    match realtime {
        Some((beside, _)) => beside.next().await,
        None => std::future::pending().await,
    }
}

/// What the microphone hears next; never, where nobody listens.
async fn hears(ears: &mut Option<Listening>) -> Option<Heard> {
    match ears {
        Some(ears) => ears.next().await,
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
