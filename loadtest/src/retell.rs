//! A call as Retell leads it: opens the custom-LLM socket, tells what it transcribed, asks, interrupts, loses its connection and comes back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

use crate::error::{Error, Result};
use crate::socket::Socket;
use crate::spread::Spread;
use crate::wording::question;

/// How often Retell pings.
const PING_EVERY: Duration = Duration::from_secs(2);
/// How long a greeting may take; Retell gives up after seven seconds.
const GREETED: Duration = Duration::from_secs(7);
/// How long an answer may take until the call is given up.
const ANSWERED: Duration = Duration::from_secs(20);
/// How far into an answer it is interrupted: behind its first sentence, long before its last.
const INTO_ANSWER: Duration = Duration::from_millis(60);
/// One turn of so many is interrupted, and one call of so many loses its connection.
const INTERRUPTS_EACH: u64 = 5;
const LOSES_EACH: u64 = 10;

/// When a call begins and how it goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    /// When the first question is due.
    pub(crate) first: Instant,
    /// From one question to the next.
    pub(crate) every: Duration,
    /// Questions.
    pub(crate) turns: u64,
    /// From a question to the first words at the earliest: the model's own.
    pub(crate) own: Duration,
}

/// What a call, or many, came to.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Calls that came to their end.
    pub(crate) ended: u64,
    /// Questions asked.
    pub(crate) asked: u64,
    /// Questions answered to the end, of those that were not interrupted.
    pub(crate) answered: u64,
    /// From a question to the first words, beyond the model's own.
    pub(crate) first: Spread,
    /// From an interruption to the last word of what was interrupted.
    pub(crate) silence: Spread,
    /// Words that came after all of an answer that had been interrupted: Retell drops them.
    pub(crate) late_words: u64,
    /// How long pings took.
    pub(crate) pings: Spread,
    /// Connections lost on purpose.
    pub(crate) lost: u64,
    /// Calls that broke, by kind.
    pub(crate) failures: BTreeMap<String, u64>,
}

impl Heard {
    /// Adds another's.
    pub(crate) fn add(&mut self, other: Self) {
        self.ended += other.ended;
        self.asked += other.asked;
        self.answered += other.answered;
        self.first.merge(&other.first);
        self.silence.merge(&other.silence);
        self.late_words += other.late_words;
        self.pings.merge(&other.pings);
        self.lost += other.lost;
        for (kind, count) in other.failures {
            *self.failures.entry(kind).or_default() += count;
        }
    }
}

/// A frame from the agent.
#[derive(Deserialize)]
#[serde(tag = "response_type", rename_all = "snake_case")]
enum Frame {
    Config {},
    PingPong {
        timestamp: i64,
    },
    Response {
        response_id: u64,
        content: String,
        content_complete: bool,
    },
    #[serde(other)]
    Other,
}

/// An answer that is under way.
struct Open {
    id: u64,
    due: Instant,
    words: String,
    begun: bool,
    /// Whether it is going to be interrupted, and when, once it has begun; one whose connection is lost is not.
    interrupt: bool,
    interrupt_at: Option<Instant>,
}

/// An answer that was interrupted.
struct Cut {
    id: u64,
    at: Instant,
    /// When its last word came after that.
    last: Option<Instant>,
}

/// A call.
pub(crate) struct Call {
    server: SocketAddr,
    /// The address without the call's id.
    path: String,
    number: u64,
    transcript: Vec<Value>,
    next_id: u64,
    open: Option<Open>,
    cut: Option<Cut>,
    heard: Heard,
}

/// The number somebody calls from: each a person of their own.
pub(crate) fn caller(number: u64) -> String {
    format!("+1646{:07}", 2_000_000 + number)
}

impl Call {
    /// A call to come.
    pub(crate) fn new(server: SocketAddr, path: &str, number: u64) -> Self {
        Self {
            server,
            path: path.to_owned(),
            number,
            transcript: Vec::new(),
            next_id: 1,
            open: None,
            cut: None,
            heard: Heard::default(),
        }
    }

    /// Leads it to its end.
    pub(crate) async fn lead(mut self, course: Course) -> Heard {
        match self.talk(course).await {
            Ok(()) => self.heard.ended += 1,
            Err(error) => *self.heard.failures.entry(error.kind()).or_default() += 1,
        }
        self.heard
    }

    /// Its id at Retell.
    fn id(&self) -> String {
        format!("call_loadtest_{}", self.number)
    }

    async fn connect(&self) -> Result<Socket> {
        let id = self.id();
        let mut socket = Socket::connect(self.server, &format!("{}/{id}", self.path), self.number).await?;
        let call = json!({
            "call_type": "phone_call", "call_id": id, "agent_id": "agent_loadtest", "call_status": "registered", "direction": "inbound",
            "from_number": caller(self.number), "to_number": "+12125550100",
        });
        socket.send(&json!({ "interaction_type": "call_details", "call": call })).await?;
        // What is said first, or nothing after a lost connection, ends with a complete response 0.
        socket
            .wait_for("the greeting", GREETED, |frame: Frame| {
                Ok(matches!(frame, Frame::Response { response_id: 0, content_complete: true, .. }).then_some(()))
            })
            .await?;
        Ok(socket)
    }

    async fn talk(&mut self, course: Course) -> Result<()> {
        let mut socket = self.connect().await?;
        let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let loses_at = self.number.is_multiple_of(LOSES_EACH).then_some(course.turns / 2);
        for turn in 0..course.turns {
            let due = course.first + course.every * turn as u32;
            self.until(&mut socket, &mut pings, due, course.own).await?;
            if self.open.is_some() {
                return Err(Error::unexpected("the call", "an answer that had not ended when the next was due"));
            }
            let interrupt = (self.number + turn).is_multiple_of(INTERRUPTS_EACH);
            let words = question(self.number * course.turns + turn);
            self.ask(&mut socket, words, due, interrupt).await?;
            if loses_at == Some(turn) {
                socket = self.lose(socket, &mut pings, course.own).await?;
            }
        }
        let end = course.first + course.every * course.turns as u32;
        self.until(&mut socket, &mut pings, end, course.own).await?;
        let last = Instant::now() + ANSWERED;
        while self.open.is_some() {
            if Instant::now() > last {
                return Err(Error::NotInTime { what: "the last answer".into(), after: ANSWERED });
            }
            self.until(&mut socket, &mut pings, Instant::now() + PING_EVERY, course.own).await?;
        }
        socket.close().await;
        Ok(())
    }

    /// Listens until then.
    async fn until(
        &mut self,
        socket: &mut Socket,
        pings: &mut tokio::time::Interval,
        then: Instant,
        own: Duration,
    ) -> Result<()> {
        loop {
            let interrupt_at = self.open.as_ref().and_then(|open| open.interrupt_at);
            tokio::select! {
                biased;
                text = socket.text() => {
                    let text = text?.ok_or_else(|| Error::unexpected("the call", "it was hung up"))?;
                    self.frame(&text, own);
                }
                () = sleep_until(interrupt_at.unwrap_or(then)), if interrupt_at.is_some() => self.interrupt(socket).await?,
                _ = pings.tick() => {
                    socket.send(&json!({ "interaction_type": "ping_pong", "timestamp": now_us() })).await?;
                }
                () = sleep_until(then) => return Ok(()),
            }
        }
    }

    fn frame(&mut self, text: &str, own: Duration) {
        let now = Instant::now();
        match serde_json::from_str(text) {
            Ok(Frame::PingPong { timestamp }) => {
                let took = u64::try_from(now_us() - timestamp).unwrap_or(0);
                self.heard.pings.add(Duration::from_micros(took));
            }
            Ok(Frame::Response { response_id, content, content_complete }) => {
                if let Some(cut) = self.cut.as_mut().filter(|cut| cut.id == response_id) {
                    if !content.is_empty() {
                        self.heard.late_words += 1;
                        cut.last = Some(now);
                    }
                    return;
                }
                let Some(open) = self.open.as_mut().filter(|open| open.id == response_id) else { return };
                if !open.begun && !content.is_empty() {
                    open.begun = true;
                    self.heard.first.add(now.saturating_duration_since(open.due).saturating_sub(own));
                    open.interrupt_at = open.interrupt.then_some(now + INTO_ANSWER);
                }
                open.words.push_str(&content);
                if content_complete {
                    let words = std::mem::take(&mut open.words);
                    self.open = None;
                    self.heard.answered += 1;
                    self.transcript.push(json!({ "role": "agent", "content": words }));
                    if let Some(cut) = self.cut.take() {
                        self.heard.silence.add(cut.last.map_or(Duration::ZERO, |last| last.duration_since(cut.at)));
                    }
                }
            }
            Ok(Frame::Config {} | Frame::Other) | Err(_) => {}
        }
    }

    async fn ask(&mut self, socket: &mut Socket, words: String, due: Instant, interrupt: bool) -> Result<()> {
        let half: String = words.chars().take(words.chars().count() / 2).collect();
        self.transcript.push(json!({ "role": "user", "content": half }));
        let heard =
            json!({ "interaction_type": "update_only", "transcript": self.transcript, "turntaking": "user_turn" });
        socket.send(&heard).await?;
        if let Some(last) = self.transcript.last_mut() {
            last["content"] = words.into();
        }
        let id = self.next_id;
        self.next_id += 1;
        socket
            .send(&json!({ "interaction_type": "response_required", "response_id": id, "transcript": self.transcript }))
            .await?;
        self.heard.asked += 1;
        self.open = Some(Open { id, due, words: String::new(), begun: false, interrupt, interrupt_at: None });
        Ok(())
    }

    /// The connection is lost in the middle of an answer; over another one the same is asked under another id.
    async fn lose(&mut self, mut socket: Socket, pings: &mut tokio::time::Interval, own: Duration) -> Result<Socket> {
        if let Some(open) = &mut self.open {
            open.interrupt = false;
        }
        self.until(&mut socket, pings, Instant::now() + own + INTO_ANSWER, own).await?;
        drop(socket);
        self.heard.lost += 1;
        let mut socket = self.connect().await?;
        if let Some(open) = &mut self.open {
            open.id = self.next_id;
            // What is said again counts from its first word; how soon that came is another question than for the others.
            (open.begun, open.words) = (true, String::new());
            let asked = json!({ "interaction_type": "response_required", "response_id": open.id, "transcript": self.transcript });
            self.next_id += 1;
            socket.send(&asked).await?;
        }
        Ok(socket)
    }

    /// The caller talks over the answer: what was heard of it stands, and something else is asked.
    async fn interrupt(&mut self, socket: &mut Socket) -> Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        self.transcript.push(json!({ "role": "agent", "content": open.words.trim() }));
        let at = Instant::now();
        self.ask(socket, question(self.number + open.id + 7), at, false).await?;
        // An answer of which all words had come already can't be told apart from one that fell silent at once.
        self.cut = Some(Cut { id: open.id, at, last: None });
        Ok(())
    }
}

/// Microseconds of Unix time: whoever echoes a ping does not look at what its number means.
fn now_us() -> i64 {
    Timestamp::now().as_microsecond()
}

/// Leads many calls, each from its time on, and sums up.
pub(crate) async fn lead_all(calls: Vec<(Instant, Call, Course)>, within: Duration) -> Result<Heard> {
    let all = futures::future::join_all(calls.into_iter().map(|(begin, call, course)| {
        tokio::spawn(async move {
            sleep_until(begin).await;
            call.lead(course).await
        })
    }));
    let ended = timeout(within, all)
        .await
        .map_err(|_| Error::NotInTime { what: "the end of all calls".into(), after: within })?;
    let mut sum = Heard::default();
    for heard in ended {
        sum.add(heard.map_err(|error| Error::Setup(format!("a call broke: {error}")))?);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stand_in::{Pace, StandIn};

    #[tokio::test]
    async fn calls_to_the_floor_are_answered_interrupted_and_taken_up_again() {
        let pace = Pace { first: Duration::from_millis(20), gap: Duration::from_millis(10) };
        let stand_in = StandIn::start(pace).await.expect("a model server");
        let (listener, address) = crate::floor::listen().await.expect("a listener");
        let model = crate::http_client::Client::new(stand_in.address());
        tokio::spawn(crate::floor_calls::serve_on(listener, model));
        let now = Instant::now();
        let course = Course {
            first: now + Duration::from_millis(50),
            every: Duration::from_millis(700),
            turns: 2,
            own: pace.first,
        };
        let calls = (0..10).map(|number| (now, Call::new(address, "/calls", number), course)).collect();
        let heard = lead_all(calls, Duration::from_secs(20)).await.expect("calls");
        assert!(heard.failures.is_empty(), "{heard:?}");
        let interrupted = heard.silence.percentiles().expect("interruptions").count;
        assert_eq!((heard.ended, heard.lost, interrupted), (10, 1, 4));
        assert_eq!((heard.asked, heard.answered), (24, 20), "what was interrupted was not answered to its end");
        assert_eq!(heard.first.percentiles().expect("first words").count, 24);
    }

    #[tokio::test]
    async fn a_call_that_is_hung_up_is_counted_as_broken() {
        let (listener, address) = crate::floor::listen().await.expect("a listener");
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a connection");
            let socket = tokio_tungstenite::accept_async(stream).await.expect("a socket");
            drop(socket);
        });
        let now = Instant::now();
        let course = Course { first: now, every: Duration::from_secs(1), turns: 1, own: Duration::ZERO };
        let heard = Call::new(address, "/calls", 1).lead(course).await;
        assert_eq!((heard.ended, heard.failures.values().sum::<u64>()), (0, 1), "{heard:?}");
    }
}
