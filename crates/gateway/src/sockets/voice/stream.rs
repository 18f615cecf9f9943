//! Twilio's calls over Media Streams: Twilio sends and plays sound, and everything between the two is ours. Chosen for agents whose `voice_provider` makes
//! its sound here; without speech-to-text, or while our sound fails, such a call goes over ConversationRelay like all others.

use std::time::Duration;

use axum::extract::ws::{Message as Frame, WebSocket};
use axum::extract::{OriginalUri, Path, State, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use colloquy_actors::calls::{self, recording};
use colloquy_actors::domain::call;
use colloquy_actors::domain::call::script::Next;
use colloquy_actors::domain::call::{Carrier, Direction, End};
use colloquy_actors::domain::campaign::dialled::Dialled;
use colloquy_actors::domain::ids::AgentId;
use colloquy_actors::telephony::twilio::callbacks::CallWebhook;
use colloquy_actors::telephony::twilio::media::{Inbound, Outbound, Start, in_frames, read_inbound};
use colloquy_actors::telephony::twilio::twiml;
use colloquy_actors::voice::Manner;
use tokio::time::{Instant, timeout};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Place;
use super::Line;
use super::mouth::Mouth;
use super::recorder::Recorder;
use super::talker::{Do, Talker};
use super::twilio::{
    AGENT_HANGUP, DIAL, MALFORMED_MAX, SEND_WITHIN, SETUP_WITHIN, TICKET_MS, is_outbound, needs_https, waited,
};
use super::webhooks::{About, Ending, follow_up, followed, patiently};
use crate::app::{App, AppState};
use crate::body::Query;
use crate::chat::{self, Reached};
use crate::problem::{Problem, Result};
use crate::routes::messages::{Account, account_of, believe, believe_socket, form, malformed};

/// The reason of an end by the caller.
const USER_HANGUP: &str = "user_hangup";
/// How long a goodbye may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
/// How a caller is heard on a telephone.
const ENCODING: &str = "mulaw";
const RATE_HZ: u32 = 8_000;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(stream)).routes(routes!(ended))
}

/// The two ends of a call.
pub(super) struct Ends {
    direction: Direction,
    /// The number of the person.
    person: Option<String>,
    /// Ours.
    line: Option<String>,
    /// The dial it comes of, if we made it.
    pub(super) dial: Option<Dialled>,
}

impl Ends {
    /// As Twilio names them.
    pub(super) fn of(direction: Option<&str>, from: Option<String>, to: Option<String>, dial: Option<Dialled>) -> Self {
        if is_outbound(direction) {
            Self { direction: Direction::Outbound, person: to, line: from, dial }
        } else {
            Self { direction: Direction::Inbound, person: from, line: to, dial }
        }
    }

    pub(super) fn of_call(call: &call::NewCall) -> Self {
        Self {
            direction: call.direction,
            person: call.person.clone(),
            line: call.line.clone(),
            dial: call.dial.clone(),
        }
    }

    /// The call, as it is first heard of.
    pub(super) fn heard(&self, agent: &AgentId, call_sid: &str, account: String) -> calls::Heard {
        calls::Heard {
            agent: agent.clone(),
            carrier: Carrier::Twilio,
            provider_call_id: call_sid.to_owned(),
            direction: self.direction,
            person: self.person.clone(),
            line: self.line.clone(),
            test: false,
            account: Some(account),
            dial: self.dial.clone(),
        }
    }

    /// Names, with values, of what the socket is told about the call.
    fn parameters(&self) -> [(&'static str, &str); 3] {
        let direction = match self.direction {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        };
        [
            ("direction", direction),
            ("person", self.person.as_deref().unwrap_or_default()),
            ("line", self.line.as_deref().unwrap_or_default()),
        ]
    }

    fn read(start: &Start) -> Self {
        let number = |name| start.parameter(name).filter(|number| !number.is_empty()).map(str::to_owned);
        let direction =
            if start.parameter("direction") == Some("outbound") { Direction::Outbound } else { Direction::Inbound };
        let dial = start.parameter(DIAL).and_then(Dialled::read);
        Self { direction, person: number("person"), line: number("line"), dial }
    }

    /// What a ticket is about: this call between these two.
    fn subject(&self, call_sid: &str) -> String {
        let [(_, direction), (_, person), (_, line)] = self.parameters();
        format!("{call_sid} {direction} {person} {line}")
    }
}

/// Whether an agent's calls have our sound, now and here.
pub(super) fn is_ours(app: &AppState, agent: &Reached) -> bool {
    app.actors.tools.voices.of_line(&agent.now.config, app.now_ms()).is_some()
}

/// Instructions to open our socket for a call's sound.
pub(super) fn connected(
    app: &AppState,
    account: &Account,
    agent: &Reached,
    call_sid: &str,
    ends: &Ends,
    tries: u32,
) -> Result<twiml::Response> {
    let until_ms = app.now_ms() + TICKET_MS;
    let ticket = calls::ticket(&app.actors.tools, &agent.id, &ends.subject(call_sid), ends.dial.as_ref(), until_ms);
    let connection = account.connection_id();
    let address = format!("{}/api/voice/twilio/stream/{connection}", app.settings.api_url.replacen("http", "ws", 1));
    let ended = format!("{}/api/voice/twilio/stream/{connection}/ended", app.settings.api_url);
    let [direction, person, line] = ends.parameters();
    let mut parameters = vec![("ticket", ticket.as_str()), direction, person, line];
    let dial = ends.dial.as_ref().map(Dialled::name);
    parameters.extend(dial.iter().map(|dial| (DIAL, dial.as_str())));
    let action = followed(&ended, tries, dial.as_deref());
    let element = twiml::connect_stream(&address, &parameters, Some(&action)).map_err(|_| needs_https())?;
    Ok(twiml::Response::new().then(element))
}

/// Twilio: the sound of a call has ended. What follows: another socket if the connection was lost, the person the caller is put through to, or the end.
#[utoipa::path(post, path = "/api/voice/twilio/stream/{connection_id}/ended", tag = "calls", params(("connection_id" = String, Path), ("n" = Option<u32>, Query), ("d" = Option<String>, Query)), responses((status = 200, content_type = "text/xml"), (status = 401)))]
async fn ended(
    State(app): State<App>,
    Path(connection): Path<String>,
    Query(about): Query<About>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response> {
    let form = form(&body)?;
    patiently(about.to_voice(&app, &connection), || async {
        let account = account_of(&app, &connection).await?;
        believe(&app, &account, &uri, &headers, &form)?;
        let told = CallWebhook::read(&form).map_err(malformed)?;
        let gone = told.status.as_ref().is_some_and(|status| status.is_terminal());
        let how = if gone { Ending::Gone { reason: USER_HANGUP.to_owned() } } else { Ending::Lost };
        follow_up(&app, &account, &form, &about, how).await
    })
    .await
}

/// Twilio's Media Streams (WebSocket). Opened with the signature of the account and a ticket of the call.
#[utoipa::path(get, path = "/api/voice/twilio/stream/{connection_id}", tag = "calls", params(("connection_id" = String, Path)), responses((status = 101), (status = 401)))]
async fn stream(
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
                stream_sid: String::new(),
                sockets: 0,
                records: false,
                recorder: None,
                malformed: 0,
            };
            driver.run().await;
        })
    }))
}

/// How a socket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// We hung up.
    ByUs,
    /// The caller did.
    ByCaller,
    /// The connection is gone, or our sound is; Twilio's other webhook says what that means.
    Lost,
    /// The caller is to be put through: Twilio's other webhook does it.
    HandedOn,
    /// Nothing is to be noted.
    Nothing,
}

struct Driver {
    app: App,
    account: Account,
    socket: WebSocket,
    _place: Place,
    stream_sid: String,
    /// How many sockets the call has had, with this one.
    sockets: u32,
    /// Whether it is to be recorded once the caller was told.
    records: bool,
    recorder: Option<Recorder>,
    malformed: u32,
}

impl Driver {
    async fn run(mut self) {
        let Some((mut talker, doing)) = self.begin().await else { return };
        let ended = match self.carry_out(doing).await {
            Some(ended) => ended,
            None => self.talk(&mut talker).await,
        };
        if ended != Ended::Nothing {
            talker.leave().await;
        }
        let line = talker.line();
        let end = |reason: &str| End { reason: Some(reason.to_owned()), ..End::default() };
        match ended {
            Ended::ByUs => line.end(end(AGENT_HANGUP)).await,
            Ended::ByCaller => line.end(end(USER_HANGUP)).await,
            Ended::Lost => line.lost().await,
            Ended::HandedOn | Ended::Nothing => {}
        }
        self.recorder = None;
        self.close().await;
    }

    /// Says goodbye. What the telephone still sends is read meanwhile: a connection that is cut with something unread takes the goodbye along.
    async fn close(&mut self) {
        let close = async {
            if self.socket.send(Frame::Close(None)).await.is_ok() {
                while let Some(Ok(_)) = self.socket.recv().await {}
            }
        };
        let _ = timeout(CLOSE_WITHIN, close).await; // It is gone either way.
    }

    /// Waits for the call behind the socket, and takes it up.
    async fn begin(&mut self) -> Option<(Talker, Vec<Do>)> {
        let until = Instant::now() + SETUP_WITHIN;
        let start = loop {
            let left = until.saturating_duration_since(Instant::now());
            match timeout(left, self.socket.recv()).await {
                Ok(Some(Ok(Frame::Text(text)))) => match read_inbound(&text).map(|numbered| numbered.frame) {
                    Ok(Inbound::Start(start)) => break start,
                    Ok(Inbound::Connected | Inbound::Unknown) => {}
                    Ok(_) | Err(_) => return None,
                },
                Ok(_) | Err(_) => return None,
            }
        };
        if !start.is_mulaw_8k() {
            tracing::warn!("a telephone's sound is written in a way that cannot be read");
            return None;
        }
        let ends = Ends::read(&start);
        let ticket = start.parameter("ticket").unwrap_or_default();
        let tools = &self.app.actors.tools;
        let (subject, now_ms) = (ends.subject(&start.call_sid), self.app.now_ms());
        let (agent, until_ms) = calls::agent_of_ticket(tools, ticket, &subject, ends.dial.as_ref(), now_ms)?;
        let agent = chat::reach(&self.app, agent.as_str()).await.ok()?;
        if agent.tenant != self.account.tenant {
            return None;
        }
        let voices = &tools.voices;
        let (speech, ears) = voices.of_line(&agent.now.config, self.app.now_ms())?;
        let instead = voices.instead_of(speech.name());
        let mouth = Mouth::new(speech, instead, Manner::of(&agent.now.config, true));
        let listening = ears.listen(ENCODING, RATE_HZ, &agent.now.config.voice_language);
        self.stream_sid = start.stream_sid;
        let recorded = agent.now.config.voice_recording;
        let account = self.account.pacer().ok()?;
        let heard = ends.heard(&agent.id, &start.call_sid, account);
        match Line::open(&self.app, agent, heard).await {
            Ok((line, call)) => {
                let (talker, doing) = Talker::begin(line, mouth, listening, ears.tells_turns()).await;
                if let Some(dial) = ends.dial.filter(|_| call.sockets == 1) {
                    waited(&self.app, &self.account.tenant, &dial, self.app.now_ms() - (until_ms - TICKET_MS)).await;
                }
                self.sockets = call.sockets;
                // Gone on with, it is recorded if it was before: else nobody knows whether the caller heard that it is.
                self.records = recorded && (talker.greets() || call.recording.is_some());
                Some((talker, doing))
            }
            Err(error) => {
                tracing::warn!(%error, "a call could not begin here");
                None
            }
        }
    }

    async fn talk(&mut self, talker: &mut Talker) -> Ended {
        let stopping = self.app.sockets.stopping.clone();
        loop {
            let doing = tokio::select! {
                // Twilio's other webhook opens a socket elsewhere.
                () = stopping.cancelled() => return Ended::Lost,
                came = talker.listen() => talker.take(came).await,
                frame = self.socket.recv() => match frame {
                    Some(Ok(Frame::Text(text))) => match self.heard(talker, &text).await {
                        Ok(doing) => doing,
                        Err(ended) => return ended,
                    },
                    Some(Ok(Frame::Binary(_) | Frame::Ping(_) | Frame::Pong(_))) => Vec::new(),
                    Some(Ok(Frame::Close(_)) | Err(_)) | None => return Ended::Lost,
                },
            };
            if let Some(ended) = self.carry_out(doing).await {
                return ended;
            }
        }
    }

    async fn heard(&mut self, talker: &mut Talker, text: &str) -> std::result::Result<Vec<Do>, Ended> {
        let frame = match read_inbound(text) {
            Ok(numbered) => numbered.frame,
            Err(problem) => {
                tracing::debug!(%problem, "a frame of a voice provider was passed over");
                self.malformed += 1;
                return if self.malformed >= MALFORMED_MAX { Err(Ended::Lost) } else { Ok(Vec::new()) };
            }
        };
        Ok(match frame {
            // A copy of our own sound is not the caller's.
            Inbound::Media(media) if media.track == "inbound" => {
                if self.records && talker.has_greeted() {
                    self.records = false;
                    self.record(talker.line()).await;
                }
                if let Some(recorder) = &mut self.recorder {
                    recorder.heard(&media.audio);
                }
                talker.sound(media.audio).await
            }
            Inbound::Mark { name } => talker.mark(&name).await,
            Inbound::Dtmf { digit } => talker.key(digit).await,
            Inbound::Stop => return Err(Ended::ByCaller),
            Inbound::Media(_) | Inbound::Connected | Inbound::Start(_) | Inbound::Unknown => Vec::new(),
        })
    }

    async fn carry_out(&mut self, doing: Vec<Do>) -> Option<Ended> {
        for next in doing {
            let ended = match next {
                Do::Play { mark, sound } => {
                    // Voices speak at rates that can be made into a telephone's; another one would be silence.
                    let sound = sound.mulaw().unwrap_or_default();
                    if let Some(recorder) = &mut self.recorder {
                        recorder.plays(&sound);
                    }
                    for frame in in_frames(&sound) {
                        if let Some(ended) = self.send(&frame).await {
                            return Some(ended);
                        }
                    }
                    self.send(&Outbound::Mark(mark)).await
                }
                Do::Clear => {
                    if let Some(recorder) = &mut self.recorder {
                        recorder.clears();
                    }
                    self.send(&Outbound::Clear).await
                }
                Do::Follow(Next::HangUp) | Do::HangUp => Some(Ended::ByUs),
                Do::Follow(Next::Transfer { .. }) => Some(Ended::HandedOn),
                Do::Follow(Next::Listen | Next::Sorry { .. }) => None,
                Do::Over | Do::Replaced => Some(Ended::Nothing),
                Do::Lost => {
                    tracing::warn!("our own sound fails: calls go over Twilio's for a while");
                    self.app.actors.tools.voices.rest(self.app.now_ms());
                    Some(Ended::Lost)
                }
            };
            if ended.is_some() {
                return ended;
            }
        }
        None
    }

    async fn record(&mut self, line: &Line) {
        let (actors, tenant, call) = (&self.app.actors, &line.agent.tenant, &line.live.call);
        match recording::begin(&actors.client, &actors.tools, tenant, call).await {
            Ok(true) => {
                let recorder = Recorder::new(actors.client.clone(), tenant.clone(), call.clone(), self.sockets);
                self.recorder = Some(recorder);
            }
            Ok(false) => {}
            // Better not recorded than without anybody knowing of it.
            Err(error) => tracing::warn!(call = %call, %error, "a call is not recorded"),
        }
    }

    async fn send(&mut self, frame: &Outbound) -> Option<Ended> {
        let text = frame.to_text(&self.stream_sid);
        match timeout(SEND_WITHIN, self.socket.send(Frame::Text(text.into()))).await {
            Ok(Ok(())) => None,
            Ok(Err(_)) | Err(_) => Some(Ended::Lost),
        }
    }
}
