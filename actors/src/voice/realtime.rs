//! The socket beside a session of OpenAI Realtime that a page has: what the caller says comes back as words, what the conversation answers is spoken
//! there sentence by sentence.

use std::collections::VecDeque;

use colloquy_telephony::openai_realtime::commands::{Command, SOCKET_URL, Target, socket_url};
use colloquy_telephony::openai_realtime::events::{self, Event};
use colloquy_telephony::speech::Heard;
use futures::StreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use super::socket::{self, Failed, Socket};

/// Orders and news that wait: more than a call has at once.
const WAITING_MAX: usize = 64;

/// What is heard there.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// About the caller's turn.
    Heard(Heard),
    /// The caller spoke over us: of the newest sentences so much was played, ms.
    Interrupted {
        /// Since the first of them began.
        ms: u64,
    },
    /// All that was given was played.
    Played,
}

enum Order {
    Say(String),
    Stop,
}

/// A session that is steered.
pub struct Sideband {
    orders: mpsc::Sender<Order>,
    told: mpsc::Receiver<Told>,
}

impl Sideband {
    /// Beside this session; `url` is where OpenAI is, `wss://…` or `ws://…`.
    pub(super) fn open(url: &str, call_id: &str, key: SecretString) -> Self {
        let address = socket_url(Target::Call(call_id));
        let own = format!("{url}/v1/realtime");
        let address = address.replacen(SOCKET_URL, &own, 1);
        let (orders, ordered) = mpsc::channel(WAITING_MAX);
        let (tell, told) = mpsc::channel(WAITING_MAX);
        // It ends when the other side of either channel is dropped.
        tokio::spawn(async move {
            let header = format!("Bearer {}", key.expose_secret());
            match socket::open(&address, ("authorization", &header)).await {
                Ok(socket) => Steering::new(socket, tell).run(ordered).await,
                Err(Failed::Key) => tracing::warn!("OpenAI refuses the key in `voice.openai.api_key`"),
                Err(Failed::Other(error)) => tracing::warn!(error, "a session of OpenAI Realtime cannot be joined"),
            }
        });
        Self { orders, told }
    }

    /// Speaks this behind what is being spoken. What is too much is not spoken: it stands in the conversation all the same.
    pub fn say(&self, words: &str) {
        let _ = self.orders.try_send(Order::Say(words.to_owned()));
    }

    /// Nothing of what is being spoken, or was to be, is wanted any more.
    pub fn stop(&self) {
        let _ = self.orders.try_send(Order::Stop);
    }

    /// What is heard next; none when the session is gone. Nothing is lost when this is cancelled.
    pub async fn next(&mut self) -> Option<Told> {
        self.told.recv().await
    }
}

struct Steering {
    socket: Socket,
    tell: mpsc::Sender<Told>,
    /// Sentences that wait: one answer at a time is all it takes.
    queue: VecDeque<String>,
    /// Whether an answer is being made there.
    busy: bool,
    /// Since when it is played.
    playing: Option<Instant>,
}

impl Steering {
    fn new(socket: Socket, tell: mpsc::Sender<Told>) -> Self {
        Self { socket, tell, queue: VecDeque::new(), busy: false, playing: None }
    }

    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            let goes_on = tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Say(words)) => {
                        self.queue.push_back(words);
                        self.begin().await
                    }
                    Some(Order::Stop) => self.stop().await,
                    None => return,
                },
                frame = self.socket.next() => match frame {
                    Some(Ok(Message::Text(text))) => self.heard(&text).await,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => false,
                    Some(Ok(_)) => true,
                },
            };
            if !goes_on {
                return;
            }
        }
    }

    async fn begin(&mut self) -> bool {
        if self.busy {
            return true;
        }
        let Some(words) = self.queue.pop_front() else { return true };
        self.busy = true;
        let order = format!("Say exactly the following to the caller, word for word, and nothing else:\n{words}");
        self.send(&Command::Respond(Some(&order))).await
    }

    async fn stop(&mut self) -> bool {
        self.queue.clear();
        let plays = self.playing.take().is_some();
        if !std::mem::replace(&mut self.busy, false) {
            return !plays || self.send(&Command::ClearOutput).await;
        }
        self.send(&Command::Cancel).await && self.send(&Command::ClearOutput).await
    }

    async fn send(&mut self, command: &Command<'_>) -> bool {
        match command.to_text() {
            Ok(text) => socket::send(&mut self.socket, Message::text(text)).await,
            Err(_) => true,
        }
    }

    async fn heard(&mut self, text: &str) -> bool {
        let event = match events::read(text) {
            Ok(event) => event,
            Err(problem) => {
                tracing::debug!(%problem, "a frame of OpenAI was passed over");
                return true;
            }
        };
        match event {
            Event::SpeechStarted { .. } => {
                // It cuts its own answer off; what waits is not spoken either.
                self.queue.clear();
                let played = self.playing.take().map(|since| since.elapsed().as_millis());
                if let Some(ms) = played {
                    let ms = u64::try_from(ms).unwrap_or(u64::MAX);
                    if self.tell.send(Told::Interrupted { ms }).await.is_err() {
                        return false;
                    }
                }
                self.tell.send(Told::Heard(Heard::Started)).await.is_ok()
            }
            Event::CallerSaid { text, .. } => self.tell.send(Told::Heard(Heard::Ended(text))).await.is_ok(),
            Event::ResponseDone { .. } => {
                self.busy = false;
                self.begin().await
            }
            Event::Playing(true) => {
                self.playing.get_or_insert_with(Instant::now);
                true
            }
            Event::Playing(false) if !self.busy && self.queue.is_empty() => {
                self.playing.take().is_none() || self.tell.send(Told::Played).await.is_ok()
            }
            Event::Error { code, .. } => {
                // Its words may quote what was said.
                tracing::info!(code, "OpenAI Realtime did not take a frame");
                true
            }
            Event::Playing(false)
            | Event::Session { .. }
            | Event::SpeechStopped { .. }
            | Event::CallerUnheard { .. }
            | Event::Dtmf { .. }
            | Event::Audio { .. }
            | Event::Words { .. }
            | Event::WordsDone { .. }
            | Event::ToolCall { .. }
            | Event::ResponseCreated { .. }
            | Event::Other => true,
        }
    }
}
