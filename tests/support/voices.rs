//! Simulated voice services on loopback: Deepgram's and ElevenLabs' sides of their own protocols. What is "heard" is what a test says; what is spoken is a
//! tone of fifty milliseconds for each character, with the times of all of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Server;
use super::site::Site;

/// The key of both services.
pub(crate) const KEY: &str = "key-of-the-simulated-voices";
/// How long a character takes.
pub(crate) const CHAR_MS: u64 = 50;

#[derive(Default)]
struct Inner {
    /// To the newest listener.
    ear: Mutex<Option<mpsc::UnboundedSender<Value>>>,
    turn: Mutex<u64>,
    bytes: Mutex<usize>,
    /// What a listener was asked with.
    query: Mutex<String>,
    spoken: Mutex<Vec<String>>,
    mute: Mutex<bool>,
    /// What recordings are answered with, the next one first; the last one stays. None: it is not answered at all.
    written: Mutex<VecDeque<Option<(u16, String)>>>,
    /// The sizes of recordings that were brought, bytes, and what for.
    recordings: Mutex<Vec<(usize, String)>>,
}

/// Both services.
pub(crate) struct Voices {
    inner: Arc<Inner>,
    site: Site,
}

impl Voices {
    pub(crate) async fn start() -> Self {
        let inner = Arc::new(Inner::default());
        let router = Router::new()
            .route("/v1/listen", post(write_down))
            .route("/v2/listen", get(listen))
            .route("/v1/voices", get(voices))
            .route("/v1/text-to-speech/{voice}/stream-input", get(speak))
            .with_state(inner.clone());
        Self { inner, site: Site::router(router).await }
    }

    /// The settings of a server that uses them.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = self.speaking();
        settings.push(("COLLOQUY_VOICE__DEEPGRAM__API_KEY", KEY.to_owned()));
        settings.push(("COLLOQUY_VOICE__DEEPGRAM__URL", self.site.url("")));
        settings
    }

    /// Those of one that only speaks with them.
    pub(crate) fn speaking(&self) -> Vec<(&'static str, String)> {
        vec![
            ("COLLOQUY_VOICE__ELEVENLABS__API_KEY", KEY.to_owned()),
            ("COLLOQUY_VOICE__ELEVENLABS__URL", self.site.url("")),
        ]
    }

    pub(crate) async fn server(&self, more: &[(&str, String)]) -> Server {
        let own = self.settings();
        let mut all: Vec<(&str, &str)> = own.iter().map(|(key, value)| (*key, value.as_str())).collect();
        all.extend(more.iter().map(|(key, value)| (*key, value.as_str())));
        Server::start_with(&all).await
    }

    /// Something about the caller's turn, as Flux says it.
    pub(crate) fn hears(&self, event: &str, words: &str) {
        let mut turn = lock(&self.inner.turn);
        let frame = json!({ "type": "TurnInfo", "event": event, "turn_index": *turn, "transcript": words });
        if event == "EndOfTurn" {
            *turn += 1;
        }
        let ear = lock(&self.inner.ear);
        ear.as_ref().expect("somebody listens").send(frame).expect("the listener is there");
    }

    /// The caller says something and has finished.
    pub(crate) fn says(&self, words: &str) {
        for event in ["StartOfTurn", "Update", "EndOfTurn"] {
            self.hears(event, words);
        }
    }

    /// Whether somebody listens.
    pub(crate) fn listens(&self) -> bool {
        lock(&self.inner.ear).as_ref().is_some_and(|ear| !ear.is_closed())
    }

    /// How much sound has been heard, bytes, and what was asked for.
    pub(crate) fn heard(&self) -> (usize, String) {
        (*lock(&self.inner.bytes), lock(&self.inner.query).clone())
    }

    /// All that was spoken, in order.
    pub(crate) fn spoken(&self) -> Vec<String> {
        lock(&self.inner.spoken).clone()
    }

    /// How recordings are answered from now on, one after the other: a status, and the words in it. Nothing: it is never answered.
    pub(crate) fn writes(&self, answers: &[Option<(u16, &str)>]) {
        let own = |answer: &Option<(u16, &str)>| answer.map(|(status, words)| (status, words.to_owned()));
        *lock(&self.inner.written) = answers.iter().map(own).collect();
    }

    /// The recordings that were brought: how long in bytes, and how they were to be read.
    pub(crate) fn recordings(&self) -> Vec<(usize, String)> {
        lock(&self.inner.recordings).clone()
    }

    /// Nothing is spoken from now on.
    pub(crate) fn fall_silent(&self) {
        *lock(&self.inner.mute) = true;
    }
}

/// How long words take to be spoken.
pub(crate) fn lasts_ms(words: &str) -> u64 {
    words.chars().count() as u64 * CHAR_MS
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn listen(
    State(inner): State<Arc<Inner>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if headers.get(header::AUTHORIZATION).is_none_or(|key| key != format!("Token {KEY}").as_str()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    *lock(&inner.query) = query.unwrap_or_default();
    upgrade.on_upgrade(move |socket| hear(inner, socket))
}

/// Deepgram's side for recordings.
async fn write_down(
    State(inner): State<Arc<Inner>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    file: Bytes,
) -> Response {
    if headers.get(header::AUTHORIZATION).is_none_or(|key| key != format!("Token {KEY}").as_str()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    assert!(file.starts_with(b"RIFF") && headers[header::CONTENT_TYPE] == "audio/wav", "a file of sound");
    lock(&inner.recordings).push((file.len(), query.unwrap_or_default()));
    let answer = {
        let mut written = lock(&inner.written);
        if written.len() > 1 { written.pop_front() } else { written.front().cloned() }
    };
    let Some((status, words)) = answer.expect("a recording is expected") else { return std::future::pending().await };
    let status = StatusCode::from_u16(status).expect("a status");
    let alternative = json!({ "transcript": words, "confidence": 0.978, "words": [] });
    let body = json!({ "metadata": {}, "results": { "channels": [{ "alternatives": [alternative] }] } });
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

async fn hear(inner: Arc<Inner>, mut socket: WebSocket) {
    let (send, mut says) = mpsc::unbounded_channel();
    *lock(&inner.ear) = Some(send);
    let connected = json!({ "type": "Connected", "request_id": "r", "sequence_id": 0 });
    if socket.send(Message::text(connected.to_string())).await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            frame = says.recv() => match frame {
                Some(frame) if socket.send(Message::text(frame.to_string())).await.is_ok() => {}
                Some(_) | None => return,
            },
            frame = socket.recv() => match frame {
                Some(Ok(Message::Binary(bytes))) => *lock(&inner.bytes) += bytes.len(),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
}

async fn voices(headers: HeaderMap) -> Response {
    if headers.get("xi-api-key").is_none_or(|key| key != KEY) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let voices = json!({ "voices": [{ "voice_id": "v1", "name": "Simone", "labels": { "language": "en" } }] });
    ([(header::CONTENT_TYPE, "application/json")], voices.to_string()).into_response()
}

async fn speak(
    State(inner): State<Arc<Inner>>,
    Path(_voice): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if headers.get("xi-api-key").is_none_or(|key| key != KEY) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if *lock(&inner.mute) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let query = query.unwrap_or_default();
    let rate = if query.contains("output_format=pcm_8000") { 8_000 } else { 24_000 };
    upgrade.on_upgrade(move |socket| voice(inner, socket, rate))
}

/// Speaks what it is given until it is told that nothing follows: a piece for each word, as the real one does.
async fn voice(inner: Arc<Inner>, mut socket: WebSocket, rate: u64) {
    let mut words = String::new();
    while let Some(Ok(Message::Text(text))) = socket.recv().await {
        let frame: Value = serde_json::from_str(&text).expect("JSON");
        match frame["text"].as_str().expect("text") {
            "" => break,
            " " => {}
            text => words += text,
        }
    }
    let words = words.trim_end().to_owned();
    lock(&inner.spoken).push(words.clone());
    for piece in words.split_inclusive(' ') {
        let chars: Vec<String> = piece.chars().map(String::from).collect();
        let samples = rate * CHAR_MS * chars.len() as u64 / 1000;
        let audio: Vec<u8> = (0..samples).flat_map(|n| (((n % 40) as i16 - 20) * 400).to_le_bytes()).collect();
        let starts: Vec<u64> = (0..chars.len() as u64).map(|n| n * CHAR_MS).collect();
        let frame = json!({
            "audio": STANDARD.encode(audio), "isFinal": null, "normalizedAlignment": null,
            "alignment": { "chars": chars, "charStartTimesMs": starts, "charDurationsMs": vec![CHAR_MS; starts.len()] },
        });
        if socket.send(Message::text(frame.to_string())).await.is_err() {
            return;
        }
    }
    let _ = socket.send(Message::text(json!({ "audio": null, "isFinal": true }).to_string())).await;
}
