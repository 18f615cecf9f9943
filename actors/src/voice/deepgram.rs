//! Deepgram: a caller's sound over a socket, and what was heard of it back. A connection that is lost is opened again; what is said meanwhile is lost.
//! A recording is written down at once.

use std::time::Duration;

use colloquy_telephony::deepgram::{
    CLOSE_STREAM, KEEP_ALIVE, KEEP_ALIVE_EVERY_MS, authorization, flux, nova, recorded,
};
use colloquy_telephony::error::Fault;
use colloquy_telephony::rest::{ANSWER_BYTES_MAX, Answer};
use colloquy_telephony::speech::Heard;
use futures::StreamExt as _;
use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, sleep};
use tokio_tungstenite::tungstenite::Message;

use super::socket::{self, Failed, Socket};

/// As the contract calls it.
pub(super) const NAME: &str = "deepgram";
/// Pieces of sound that wait while a connection is made: two seconds of them.
const WAITING_MAX: usize = 100;
/// Connections that may fail one after the other before nobody listens any more.
const FAILURES_MAX: u32 = 4;
/// Before the first of them is tried again; each further one waits as much longer.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// Silence that ends a piece of words, ms, and that surely ends a turn: for models that tell no turns.
const ENDPOINTING_MS: u32 = 300;
const UTTERANCE_END_MS: u32 = 1_000;
/// How sure a model that tells turns must be that a turn is over, and that it probably is: an answer is then prepared.
const SURE: f64 = 0.7;
const PROBABLY: f64 = 0.5;

/// How long a recording may take: three minutes are heard in a few seconds, and have to get there before.
const RECORDING_WITHIN: Duration = Duration::from_secs(60);

/// How to reach it.
#[derive(Clone)]
pub struct Ears {
    key: SecretString,
    /// Where its sockets are, `wss://…` or `ws://…`.
    url: String,
    /// Where recordings go, `https://…` or `http://…`.
    base: String,
    model: String,
    http: reqwest::Client,
}

/// A caller who is being listened to.
pub struct Listening {
    sound: mpsc::Sender<Vec<u8>>,
    heard: mpsc::Receiver<Heard>,
}

impl Listening {
    /// A piece of the caller's sound. What the service does not take in time is lost.
    pub fn sound(&self, bytes: Vec<u8>) {
        let _ = self.sound.try_send(bytes);
    }

    /// What was heard next; none when nobody listens any more. Nothing is lost when this is cancelled.
    pub async fn next(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }
}

/// Reads what the two kinds of models say.
enum Reader {
    Nova(nova::Listener),
    Flux(flux::Listener),
}

impl Ears {
    /// With a key, its address (`http…` is read as `ws…` for sockets, and the other way round for recordings) and the model.
    ///
    /// # Errors
    /// When no TLS can be set up on this machine.
    pub fn new(key: SecretString, url: &str, model: &str) -> Result<Self, String> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(RECORDING_WITHIN)
            // A redirect would carry the key to somewhere the operator did not name.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| error.to_string())?;
        let base = if url.starts_with("ws") { url.replacen("ws", "http", 1) } else { url.to_owned() };
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self { key, url: url.replacen("http", "ws", 1), base, model: model.to_owned(), http })
    }

    /// Who listens.
    pub fn name(&self) -> &'static str {
        NAME
    }

    /// Writes down what is said in a recording of a telephone, 8,000 samples a second.
    ///
    /// # Errors
    /// What can be done about it says the fault: asking again does no harm.
    pub async fn write_down(&self, samples: &[i16], language: &str) -> Result<recorded::Written, Fault> {
        // What tells turns hears conversations only.
        let model = if self.tells_turns() { recorded::MODEL } else { &self.model };
        let request = recorded::request(&self.key, model, language, samples);
        let mut sending = self.http.post(format!("{}{}", self.base, request.path));
        for (name, value) in &request.headers {
            sending = sending.header(*name, value);
        }
        let away = |_| Fault::Unavailable { status: None };
        let response = sending.body(request.body_bytes().to_vec()).send().await.map_err(away)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(away)?;
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(Fault::Unreadable);
            }
            body.extend_from_slice(&piece);
        }
        recorded::read(&Answer { status, retry_after: None, body: &body, now_ms: 0 })
    }

    /// Listens to a caller: `encoding` is `mulaw` or `linear16`.
    pub fn listen(&self, encoding: &'static str, rate_hz: u32, language: &str) -> Listening {
        let (sound, sounds) = mpsc::channel(WAITING_MAX);
        let (told, heard) = mpsc::channel(WAITING_MAX);
        let address = self.address(encoding, rate_hz, language);
        let ears = self.clone();
        // It ends when the other side of either channel is dropped.
        tokio::spawn(async move { ears.keep_listening(&address, sounds, told).await });
        Listening { sound, heard }
    }

    fn address(&self, encoding: &'static str, rate_hz: u32, language: &str) -> String {
        let model = self.model.clone();
        let address = if self.tells_turns() {
            let options = flux::Options {
                model,
                encoding,
                sample_rate: rate_hz,
                eot_threshold: Some(SURE),
                eager_eot_threshold: Some(PROBABLY),
                eot_timeout_ms: None,
                keyterms: Vec::new(),
            };
            // Our own thresholds are within what it takes.
            options.url().unwrap_or_default()
        } else {
            let options = nova::Options {
                model,
                language: language.to_owned(),
                encoding,
                sample_rate: rate_hz,
                endpointing_ms: ENDPOINTING_MS,
                utterance_end_ms: UTTERANCE_END_MS,
                keyterms: Vec::new(),
            };
            options.url()
        };
        address.replacen("wss://api.deepgram.com", &self.url, 1)
    }

    /// Whether the model itself says when a caller has finished.
    pub fn tells_turns(&self) -> bool {
        self.model.starts_with("flux")
    }

    async fn keep_listening(&self, address: &str, mut sounds: mpsc::Receiver<Vec<u8>>, told: mpsc::Sender<Heard>) {
        let (name, key) = authorization(&self.key, false);
        let mut failures = 0;
        while failures < FAILURES_MAX {
            match socket::open(address, (name, &key)).await {
                Ok(socket) => {
                    let began = Instant::now();
                    match self.carry(socket, &mut sounds, &told).await {
                        Ended::Over => return,
                        // One that stood for a while was no failure.
                        Ended::Lost if began.elapsed() > Duration::from_secs(10) => failures = 0,
                        Ended::Lost => {}
                    }
                    tracing::info!("the connection to Deepgram was lost");
                }
                Err(Failed::Key) => {
                    tracing::warn!("Deepgram refuses the key in `voice.deepgram.api_key`");
                    return;
                }
                Err(Failed::Other(error)) => tracing::warn!(error, "Deepgram cannot be reached"),
            }
            failures += 1;
            sleep(AGAIN_AFTER * failures).await;
            // What was said meanwhile would be heard late.
            while sounds.try_recv().is_ok() {}
        }
    }

    async fn carry(
        &self,
        mut socket: Socket,
        sounds: &mut mpsc::Receiver<Vec<u8>>,
        told: &mpsc::Sender<Heard>,
    ) -> Ended {
        let mut reader =
            if self.tells_turns() { Reader::Flux(flux::Listener::new()) } else { Reader::Nova(nova::Listener::new()) };
        let every = Duration::from_millis(KEEP_ALIVE_EVERY_MS.unsigned_abs());
        let mut alive = interval_at(Instant::now() + every, every);
        let mut silent = true;
        loop {
            tokio::select! {
                sound = sounds.recv() => match sound {
                    Some(bytes) => {
                        silent = false;
                        if !socket::send(&mut socket, Message::binary(bytes)).await {
                            return Ended::Lost;
                        }
                    }
                    None => {
                        socket::send(&mut socket, Message::text(CLOSE_STREAM)).await;
                        return Ended::Over;
                    }
                },
                _ = alive.tick() => {
                    // Flux has no such frame, and ends a turn without sound by itself.
                    let wanted = std::mem::replace(&mut silent, true) && !self.tells_turns();
                    if wanted && !socket::send(&mut socket, Message::text(KEEP_ALIVE)).await {
                        return Ended::Lost;
                    }
                }
                frame = socket.next() => match frame {
                    Some(Ok(Message::Text(text))) => {
                        let Some(all) = reader.read(&text) else { return Ended::Lost };
                        for heard in all {
                            if told.send(heard).await.is_err() {
                                return Ended::Over;
                            }
                        }
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Ended::Lost,
                    Some(Ok(_)) => {}
                },
            }
        }
    }
}

/// How a connection ended.
enum Ended {
    /// Nobody is to be listened to any more.
    Over,
    /// The service is gone.
    Lost,
}

impl Reader {
    /// What a frame says; none when the service gives up. Frames that cannot be read are passed over.
    fn read(&mut self, text: &str) -> Option<Vec<Heard>> {
        let mut all = Vec::new();
        let read = match self {
            Self::Nova(listener) => listener.on_text(text, &mut all),
            Self::Flux(listener) => {
                let mut events = Vec::new();
                let read = listener.on_text(text, &mut events);
                for event in events {
                    match event {
                        flux::Event::Heard(heard) => all.push(heard),
                        flux::Event::Fatal { code } => {
                            tracing::warn!(code, "Deepgram gives up");
                            return None;
                        }
                        flux::Event::Other | flux::Event::ConfigureFailed => {}
                    }
                }
                read
            }
        };
        if let Err(problem) = read {
            tracing::debug!(%problem, "a frame of Deepgram was passed over");
        }
        Some(all)
    }
}
