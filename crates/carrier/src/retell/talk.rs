//! What is said in a call over Retell: its custom-LLM socket is opened as Retell does, loses its connection and comes back, text for voice in both directions.

use std::sync::Arc;
use std::time::Duration;

use colloquy_telephony::retell::frames::{Outbound, read_outbound};
use colloquy_telephony::retell::target::{AfterClose, RECONNECTS_MAX, after_close};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::Call;
use crate::persona::{Chance, Manner};
use crate::{World, now_ms};

/// How long a socket may take to open, the pause between two tries, and how many the first gets: Retell's own, in real time.
const OPEN_WITHIN: Duration = Duration::from_secs(7);
const OPEN_AGAIN: Duration = Duration::from_secs(3);
const OPENS_MAX: u32 = 3;
/// How often it pings.
const PING_EVERY: Duration = Duration::from_secs(2);
/// How long somebody thinks before they speak, ms, and listens to the last words before they hang up.
const THINKS_MS: u64 = 1_200;
const LISTENS_MS: u64 = 2_500;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// The time was over: they hung up in mid-word, or the machine was known for one.
    TimeOver,
    /// They had said all they had to say.
    HungUp,
    /// The other side ended it.
    Theirs,
    /// It was put through to somebody.
    PutThrough,
    /// It was stopped over the interface.
    Stopped,
    /// No socket could be opened.
    NeverOpened,
    /// The connection was lost too often.
    Lost,
    /// The other side sent something else than text.
    Corrupt,
}

/// What becomes of one session.
enum Session {
    /// The call is over.
    Over(How),
    /// The socket was lost.
    Lost,
}

/// What was said in a call.
pub(super) struct Talk {
    world: Arc<World>,
    call: Call,
    manner: Option<Manner>,
    chance: Chance,
    transcript: Vec<Value>,
    next_id: u64,
    /// Lines of theirs said so far.
    said: usize,
    /// How many of these were answered.
    answered: usize,
    /// What they heard.
    heard: Vec<String>,
}

impl Drop for Talk {
    // Whatever ends it: what was said is written down.
    fn drop(&mut self) {
        let manner = self.manner.map(Manner::word);
        let wished = self.manner.is_some_and(|manner| manner.is_understood(self.answered));
        self.world.log.line(json!({
            "event": "talk", "sid": self.call.id, "to": self.call.to, "manner": manner, "said": self.said, "answered": self.answered,
            "wished": wished, "heard": self.heard,
        }));
    }
}

impl Talk {
    pub(super) fn new(world: Arc<World>, call: Call, manner: Option<Manner>, luck: u32) -> Self {
        let chance = Chance::new(world.config.seed, &["socket", &call.id, &luck.to_string()]);
        Self {
            world,
            call,
            manner,
            chance,
            transcript: Vec::new(),
            next_id: 1,
            said: 0,
            answered: 0,
            heard: Vec::new(),
        }
    }

    pub(super) fn transcript(&self) -> Vec<Value> {
        self.transcript.clone()
    }

    /// Leads it to its end.
    pub(super) async fn lead(&mut self, until: Instant) -> How {
        let mut stop = self.call.end.subscribe();
        let (mut opened, mut failed, mut lost) = (false, 0, 0);
        loop {
            let open = async {
                let tried = timeout(OPEN_WITHIN, self.open()).await;
                tried.unwrap_or_else(|_| Err("it took too long".to_owned()))
            };
            let socket = tokio::select! {
                socket = open => socket,
                () = sleep_until(until) => return How::TimeOver,
                _ = stop.wait_for(|stopped| *stopped) => return How::Stopped,
            };
            match socket {
                Ok(socket) => {
                    opened = true;
                    match self.session(socket, until).await {
                        Session::Over(how) => return how,
                        Session::Lost => lost += 1,
                    }
                    self.world.log.line(json!({ "event": "lost", "sid": self.call.id, "times": lost }));
                }
                Err(why) => {
                    failed += 1;
                    self.world.log.line(json!({ "event": "socket", "sid": self.call.id, "refused": why }));
                }
            }
            if !opened && failed >= OPENS_MAX {
                return How::NeverOpened;
            }
            if opened && lost + failed > u32::from(RECONNECTS_MAX) {
                return How::Lost;
            }
            tokio::select! {
                () = sleep(if failed > 0 { OPEN_AGAIN } else { Duration::ZERO }) => {}
                () = sleep_until(until) => return How::TimeOver,
                _ = stop.wait_for(|stopped| *stopped) => return How::Stopped,
            }
        }
    }

    async fn session(&mut self, mut socket: WebSocketStream<TcpStream>, until: Instant) -> Session {
        let mut stop = self.call.end.subscribe();
        let details = json!({ "interaction_type": "call_details", "call": self.call.shown() });
        if socket.send(Message::text(details.to_string())).await.is_err() {
            return Session::Lost;
        }
        let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The greeting comes under 0; whoever was waiting for an answer asks again, under an id of this session.
        let mut open: Option<u64> = Some(0);
        let mut words = String::new();
        // What is done next, once they have thought or listened.
        let mut next_at: Option<Instant> = None;
        loop {
            let frame = tokio::select! {
                frame = socket.next() => frame,
                _ = pings.tick() => {
                    let ping = json!({ "interaction_type": "ping_pong", "timestamp": now_ms() });
                    if socket.send(Message::text(ping.to_string())).await.is_err() {
                        return Session::Lost;
                    }
                    continue;
                }
                () = sleep_until(next_at.unwrap_or(until)), if next_at.is_some() => {
                    next_at = None;
                    let line = self.manner.and_then(|manner| manner.line(self.said));
                    let Some(line) = line else {
                        return Session::Over(self.close(socket, How::HungUp).await);
                    };
                    self.said += 1;
                    self.transcript.push(json!({ "role": "user", "content": line }));
                    match self.ask(&mut socket).await {
                        Some(id) => open = Some(id),
                        None => return Session::Lost,
                    }
                    if self.chance.happens(self.world.config.troubles.dropped) {
                        // Without a close frame: it comes back and asks again.
                        return Session::Lost;
                    }
                    continue;
                }
                () = sleep_until(until) => return Session::Over(self.close(socket, How::TimeOver).await),
                // Its guard must not be held while the socket is closed.
                () = async { drop(stop.wait_for(|stopped| *stopped).await) } => {
                    return Session::Over(self.close(socket, How::Stopped).await);
                }
            };
            let text = match frame {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(frame))) => {
                    return match after_close(frame.map(|frame| frame.code.into())) {
                        AfterClose::HangsUp => Session::Over(How::Theirs),
                        AfterClose::FailsCorrupt => Session::Over(How::Corrupt),
                        AfterClose::FailsToOpen => Session::Over(How::NeverOpened),
                        AfterClose::Fails => Session::Over(How::Lost),
                        AfterClose::Reconnects => Session::Lost,
                    };
                }
                Some(Ok(Message::Binary(_))) => return Session::Over(self.close(socket, How::Corrupt).await),
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return Session::Lost,
            };
            match read_outbound(&text) {
                Ok(Outbound::Response { response_id, content, content_complete, actions, .. }) => {
                    // What is not open any more is dropped.
                    if open != Some(response_id) {
                        continue;
                    }
                    words.push_str(&content);
                    if !content_complete {
                        continue;
                    }
                    open = None;
                    let spoken = std::mem::take(&mut words);
                    let spoken = spoken.trim();
                    if !spoken.is_empty() {
                        self.heard.push(spoken.to_owned());
                        self.transcript.push(json!({ "role": "agent", "content": spoken }));
                    }
                    if response_id == 0 {
                        if self.said > self.answered {
                            // It was lost before the answer came.
                            match self.ask(&mut socket).await {
                                Some(id) => open = Some(id),
                                None => return Session::Lost,
                            }
                            continue;
                        }
                    } else if !spoken.is_empty() {
                        self.answered = self.said;
                    }
                    if let Some(to) = &actions.transfer_number {
                        self.world.log.line(json!({ "event": "transfer", "sid": self.call.id, "to": to }));
                        return Session::Over(self.close(socket, How::PutThrough).await);
                    }
                    if actions.end_call == Some(true) {
                        return Session::Over(self.close(socket, How::Theirs).await);
                    }
                    let Some(manner) = self.manner else { continue };
                    // Who has something to say and has said it hangs up; who is silent listens on.
                    let pause_ms = match (manner.line(self.said), self.said) {
                        (Some(_), _) => THINKS_MS,
                        (None, 0) => continue,
                        (None, _) => LISTENS_MS,
                    };
                    next_at = Some(Instant::now() + self.world.stretch(pause_ms));
                }
                Ok(Outbound::AgentInterrupt { content, content_complete: true, actions, .. }) => {
                    self.heard.push(content.clone());
                    self.transcript.push(json!({ "role": "agent", "content": content }));
                    if actions.end_call == Some(true) {
                        return Session::Over(self.close(socket, How::Theirs).await);
                    }
                }
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Asks for an answer to what was said.
    async fn ask(&mut self, socket: &mut WebSocketStream<TcpStream>) -> Option<u64> {
        let id = self.next_id;
        self.next_id += 1;
        let asked =
            json!({ "interaction_type": "response_required", "response_id": id, "transcript": self.transcript });
        socket.send(Message::text(asked.to_string())).await.ok().map(|()| id)
    }

    /// Ends the socket as Retell does when a call is over.
    async fn close(&self, mut socket: WebSocketStream<TcpStream>, how: How) -> How {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let _ = timeout(OPEN_WITHIN, socket.close(Some(frame))).await;
        how
    }

    /// Opens the socket of the call's agent: its address, and the call's id behind it.
    async fn open(&self) -> Result<WebSocketStream<TcpStream>, String> {
        let base = self.call.setting("response_engine")["llm_websocket_url"].as_str().unwrap_or_default();
        let address = format!("{}/{}", base.trim_end_matches('/'), self.call.id);
        let host = address.strip_prefix("ws://").and_then(|rest| rest.split('/').next());
        let host = host.ok_or_else(|| "it is no ws address: this carrier has no TLS".to_owned())?;
        let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let tcp = TcpStream::connect(host).await.map_err(|error| error.to_string())?;
        let (socket, _) = tokio_tungstenite::client_async(address, tcp).await.map_err(|error| error.to_string())?;
        Ok(socket)
    }
}
