//! Visitors who chat through every frontend, over HTTP and over sockets, and go to another frontend when theirs does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::history::{History, Told};
use crate::support::client::Api;
use crate::support::people::{number, text};
use crate::support::socket::Socket;
use crate::support::{eventually, random_id};

/// Messages of one conversation before its visitor starts another.
const MESSAGES: usize = 10;
/// When a client gives an attempt up and asks another frontend: a node that stands still holds the connection open.
const ATTEMPT: Duration = Duration::from_secs(6);
/// Between two attempts.
const RETRY: Duration = Duration::from_millis(100);
/// Between two messages of one visitor, so that many visitors are not many times the work.
const THINKING: Duration = Duration::from_millis(150);
/// How long an idle widget listens before it says something again, at least and at most.
const IDLE: std::ops::Range<u64> = 60_000..120_000;
/// How often an idle widget looks whether it is time to speak.
const LOOK: Duration = Duration::from_millis(500);
/// Idle widgets that say their first words at the same time.
const GREETING: usize = 12;
/// Until the messages that are waited for are answered, on a machine that does other things, too.
const TURNS_WITHIN: Duration = Duration::from_secs(120);

/// What a load consists of.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    /// Visitors that use `POST /api/chat`.
    pub(crate) http: usize,
    /// Visitors that use the chat socket.
    pub(crate) sockets: usize,
    /// Visitors whose chat socket is open, and who seldom say something.
    pub(crate) idle: usize,
    /// The longest that one message may need, whatever happens meanwhile.
    pub(crate) within: Duration,
}

/// Visitors at work.
pub(crate) struct Load {
    pub(crate) history: Arc<History>,
    stop: Arc<AtomicBool>,
    listening: Arc<AtomicUsize>,
    visitors: JoinSet<()>,
    web: Web,
    size: Size,
}

/// What all visitors know.
#[derive(Clone)]
pub(crate) struct Web {
    frontends: Arc<Vec<Api>>,
    agent: String,
    history: Arc<History>,
    stop: Arc<AtomicBool>,
    within: Duration,
    /// Lets idle widgets begin one after the other.
    greeting: Arc<Semaphore>,
    /// Idle widgets that have said their first words.
    listening: Arc<AtomicUsize>,
}

impl Load {
    /// Begins; with idle widgets those come first, see [`Self::listens`].
    pub(crate) fn start(frontends: Vec<Api>, agent: &str, size: Size) -> Self {
        let web = Web::new(frontends, agent, size.within);
        let (history, stop, listening) = (web.history.clone(), web.stop.clone(), web.listening.clone());
        let mut load = Self { history, stop, listening, visitors: JoinSet::new(), web, size };
        for n in 0..size.idle {
            load.visitors.spawn(listening_mostly(load.web.clone(), n));
        }
        if size.idle == 0 {
            load.talk();
        }
        load
    }

    /// Waits until every idle widget has begun its conversation; then the others begin to talk.
    pub(crate) async fn listens(&mut self) {
        let (listening, idle) = (self.listening.clone(), self.size.idle);
        eventually(&format!("{idle} idle widgets are there"), TURNS_WITHIN, async || {
            self.fine();
            (listening.load(Ordering::Relaxed) >= idle).then_some(())
        })
        .await;
        self.talk();
    }

    fn talk(&mut self) {
        for n in 0..self.size.http {
            self.visitors.spawn(over_http(self.web.clone(), n));
        }
        for n in 0..self.size.sockets {
            self.visitors.spawn(over_socket(self.web.clone(), n));
        }
    }

    /// Waits until so many more messages are answered.
    pub(crate) async fn goes_on(&mut self, more: usize) {
        let wanted = self.history.answered() + more;
        let history = self.history.clone();
        eventually(&format!("{more} more answers"), TURNS_WITHIN, async || {
            self.fine();
            (history.answered() >= wanted).then_some(())
        })
        .await;
    }

    /// Fails the test when a visitor has given up.
    pub(crate) fn fine(&mut self) {
        if let Some(ended) = self.visitors.try_join_next() {
            ended.expect("a visitor gets every answer");
            panic!("a visitor went away early");
        }
    }

    /// Lets every visitor finish its message.
    pub(crate) async fn end(mut self) -> Arc<History> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.visitors.join_next().await {
            ended.expect("a visitor gets every answer");
        }
        self.history
    }
}

impl Web {
    /// These frontends, and how long one message may take.
    pub(crate) fn new(frontends: Vec<Api>, agent: &str, within: Duration) -> Self {
        Self {
            frontends: Arc::new(frontends),
            agent: agent.to_owned(),
            history: Arc::new(History::new()),
            stop: Arc::default(),
            within,
            greeting: Arc::new(Semaphore::new(GREETING)),
            listening: Arc::default(),
        }
    }

    /// What was done.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    fn done(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn in_time(&self, id: &str, begun: Instant) {
        assert!(
            begun.elapsed() < self.within,
            "message {id} was not answered within {:?}: {}",
            self.within,
            self.history.story(id)
        );
    }
}

/// A customer's program: one message after the other, each repeated with the same id until it is answered.
async fn over_http(web: Web, n: usize) {
    let mut at = n;
    while !web.done() {
        let (visitor, mut token, mut conversation) = (random_id(), None::<String>, None::<String>);
        for _ in 0..MESSAGES {
            if web.done() {
                return;
            }
            let id = random_id();
            let words = format!("Do you offer emergency services? My reference is {id}.");
            let mut body =
                json!({ "agent_id": web.agent, "visitor_id": visitor, "message": words, "client_message_id": id });
            if let Some(conversation) = &conversation {
                body["conversation_id"] = json!(conversation);
            }
            let begun = Instant::now();
            let answer = loop {
                web.in_time(&id, begun);
                let frontend = at % web.frontends.len();
                let api = &web.frontends[frontend];
                let api = token.as_ref().map_or_else(|| api.clone(), |token| api.visitor(token));
                web.history.invoke(&id, &words, frontend);
                match timeout(ATTEMPT, api.try_call("POST", "/api/chat", Some(&body))).await {
                    Ok(Ok(answer)) if answer.status == 200 => break answer.body,
                    Ok(Ok(answer)) => match answer.body["retry"].as_str() {
                        Some("safe") => web.history.fail(&id, &answer.text),
                        Some("same_key") => web.history.unknown(&id, &answer.text),
                        Some(_) | None => {
                            panic!("message {id}: {} {}\n{}", answer.status, answer.text, web.history.story(&id))
                        }
                    },
                    Ok(Err(error)) => web.history.unknown(&id, &error.to_string()),
                    Err(_) => web.history.unknown(&id, "no answer in time"),
                }
                at += 1;
                tokio::time::sleep(RETRY).await;
            };
            (token, conversation) = (Some(text(&answer, "visitor_token")), Some(text(&answer, "conversation_id")));
            let told = Told {
                conversation: text(&answer, "conversation_id"),
                seq: None,
                answer: Some((text(&answer, "message_id"), text(&answer, "response"))),
            };
            web.history.ok(&id, told);
            // The next one through another frontend: most frontends do not own the conversation.
            at += 1;
            tokio::time::sleep(THINKING).await;
        }
    }
}

/// The widget: acknowledged by sequence number, resumed by sequence number at any frontend.
async fn over_socket(web: Web, n: usize) {
    let mut at = n;
    while !web.done() {
        let mut widget = Widget::new();
        let mut socket = widget.connect(&web, &mut at).await;
        for _ in 0..MESSAGES {
            if web.done() {
                break;
            }
            widget.ask(&web, &mut at, &mut socket).await;
            tokio::time::sleep(THINKING).await;
        }
        socket.close().await;
    }
}

/// A widget that somebody left open: it reads what comes, comes back when its connection ends, and seldom says something.
async fn listening_mostly(web: Web, n: usize) {
    let mut at = n;
    let mut widget = Widget::new();
    let mut socket = {
        let _turn = web.greeting.acquire().await;
        let mut socket = widget.connect(&web, &mut at).await;
        widget.ask(&web, &mut at, &mut socket).await;
        socket
    };
    web.listening.fetch_add(1, Ordering::Relaxed);
    while !web.done() {
        let speaks = Instant::now() + Duration::from_millis(rand::random_range(IDLE));
        while !web.done() && Instant::now() < speaks {
            match timeout(LOOK, socket.next_within(ATTEMPT)).await {
                Ok(Ok(Some(frame))) if frame["type"] != "bye" => widget.take(&frame),
                Ok(Ok(_) | Err(_)) => socket = widget.connect_elsewhere(&web, &mut at).await,
                Err(_) => {}
            }
        }
        if !web.done() {
            widget.ask(&web, &mut at, &mut socket).await;
        }
    }
    socket.close().await;
}

/// What a widget keeps between connections.
pub(crate) struct Widget {
    visitor: String,
    token: Value,
    pub(crate) conversation: Value,
    /// Every message, in order of arrival.
    seen: Vec<Value>,
}

impl Widget {
    /// One of a new visitor.
    pub(crate) fn new() -> Self {
        Self { visitor: random_id(), token: Value::Null, conversation: Value::Null, seen: Vec::new() }
    }

    /// Says something that nobody else says.
    pub(crate) async fn ask(&mut self, web: &Web, at: &mut usize, socket: &mut Socket) {
        let id = random_id();
        let words = format!("Do you offer emergency services? My reference is {id}.");
        self.say(web, at, socket, &id, &words).await;
    }

    /// As a load balancer sends whoever comes back.
    async fn connect_elsewhere(&mut self, web: &Web, at: &mut usize) -> Socket {
        *at += 1;
        self.connect(web, at).await
    }

    /// Connects to the first frontend that welcomes it.
    pub(crate) async fn connect(&mut self, web: &Web, at: &mut usize) -> Socket {
        let begun = Instant::now();
        loop {
            let api = &web.frontends[*at % web.frontends.len()];
            let last_seq = self.seen.last().map_or(0, |message| number(message, "seq"));
            let hello = json!({ "visitor_id": self.visitor, "visitor_token": self.token, "conversation_id": self.conversation, "last_seq": last_seq });
            let told = match timeout(ATTEMPT, Socket::chat(api.address, &web.agent, hello)).await {
                Ok(Ok((socket, welcome))) => {
                    self.token = welcome["visitor_token"].clone();
                    if !self.conversation.is_null() {
                        assert_eq!(welcome["conversation_id"], self.conversation, "the conversation goes on elsewhere");
                    }
                    return socket;
                }
                Ok(Err(error)) => error,
                Err(_) => "no welcome in time".to_owned(),
            };
            assert!(begun.elapsed() < web.within, "no connection within {:?}: {told}", web.within);
            *at += 1;
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Says something and waits for its answer, over as many connections as it takes.
    async fn say(&mut self, web: &Web, at: &mut usize, socket: &mut Socket, id: &str, words: &str) {
        let message = json!({ "type": "message", "client_message_id": id, "text": words });
        let begun = Instant::now();
        let (mut acknowledged, mut sent) = (None, false);
        loop {
            web.in_time(id, begun);
            if !sent && acknowledged.is_none() {
                web.history.invoke(id, words, *at % web.frontends.len());
                if let Err(error) = socket.try_send(&message).await {
                    web.history.unknown(id, &error);
                    *at += 1;
                    *socket = self.connect(web, at).await;
                    continue;
                }
            }
            sent = true;
            match socket.next_within(ATTEMPT).await {
                Ok(Some(frame)) if frame["type"] != "bye" => {
                    self.take(&frame);
                    if frame["type"] == "error" {
                        assert!(frame["retry"] != "never", "message {id}: {frame}\n{}", web.history.story(id));
                        if acknowledged.is_none() {
                            web.history.unknown(id, &frame.to_string());
                        }
                        sent = false;
                        tokio::time::sleep(RETRY).await;
                    }
                    if frame["type"] == "ack" && frame["client_message_id"] == json!(id) {
                        acknowledged = Some(number(&frame, "seq"));
                        self.conversation = frame["conversation_id"].clone();
                        let conversation = text(&frame, "conversation_id");
                        web.history.ok(id, Told { conversation, seq: acknowledged, answer: None });
                    }
                }
                ended => {
                    if acknowledged.is_none() {
                        web.history.unknown(id, &format!("{ended:?}"));
                    }
                    *at += 1;
                    *socket = self.connect(web, at).await;
                    sent = false;
                }
            }
            // The answer may have come with the resumed messages.
            let answer = acknowledged.and_then(|asked| {
                self.seen.iter().find(|message| message["role"] == "assistant" && number(message, "seq") > asked)
            });
            if let Some(answer) = answer {
                let conversation = self.conversation.as_str().unwrap_or_default().to_owned();
                let answer = Some((text(answer, "id"), text(answer, "content")));
                return web.history.ok(id, Told { conversation, seq: acknowledged, answer });
            }
        }
    }

    /// Messages come in order and each once, over all connections and frontends.
    fn take(&mut self, frame: &Value) {
        if frame["type"] == "message" {
            let before = self.seen.last().map_or(0, |message| number(message, "seq"));
            assert!(number(frame, "seq") > before, "{frame} came after {before}");
            self.seen.push(frame.clone());
        }
    }
}
