//! The life of a call: rings, is answered by a persona or not, ends, and tells each step to the address it was given, as well as it can.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::persona::{Chance, Manner, Persona};
use crate::{World, lock, now_ms, relay};

/// How long it rings until somebody picks up, ms: from to.
const RING_MS: (u32, u32) = (1_500, 9_000);
/// How long it rings until nobody has, seconds, unless the call says so.
const TIMEOUT_S: u64 = 60;
/// How long a machine speaks before its beep, ms, and records after it.
const GREETING_MS: u64 = 4_000;
const RECORDS_MS: u64 = 25_000;
/// How long it takes to tell who answered, ms.
const DETECTED_MS: u64 = 1_200;
/// How late a late callback is at most, ms of real time.
const LATE_MS: u32 = 4_000;
/// SIP codes of lines that do not exist and of networks that fail (RFC 3261).
const SIP_NO_LINE: &str = "404";
const SIP_BROKEN: &str = "503";

/// All calls.
#[derive(Default)]
pub(crate) struct Calls {
    pub(crate) by_sid: BTreeMap<String, Call>,
    /// How often each number was called.
    called: HashMap<String, usize>,
    /// When the last calls were created, Unix milliseconds.
    recent: VecDeque<i64>,
    going_on: usize,
}

/// One call.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) sid: String,
    pub(crate) to: String,
    pub(crate) from: String,
    pub(crate) status: &'static str,
    created_ms: i64,
    duration_s: Option<u32>,
    nth: usize,
    pub(crate) wishes: Wishes,
    end: watch::Sender<bool>,
}

/// What was asked for with a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    /// Where it asks what to do once somebody answers.
    pub(crate) url: Option<String>,
    /// Where it asks when that one does not answer.
    pub(crate) fallback: Option<String>,
    pub(crate) status_callback: Option<String>,
    pub(crate) events: Vec<String>,
    pub(crate) amd_callback: Option<String>,
    pub(crate) timeout_s: Option<u64>,
    pub(crate) limit_s: Option<u64>,
}

/// Why a call is not taken.
pub(crate) enum Full {
    /// Too many at once or per second.
    TooFast,
}

impl Calls {
    /// Takes a call, if there is room.
    pub(crate) fn take(&mut self, world: &World, to: &str, from: &str, wishes: Wishes) -> Result<Call, Full> {
        let now = now_ms();
        while self.recent.front().is_some_and(|at| *at <= now - 1_000) {
            self.recent.pop_front();
        }
        let fast = self.recent.len() >= usize::try_from(world.config.calls_per_second).unwrap_or(usize::MAX);
        if fast || self.going_on >= world.config.concurrent {
            return Err(Full::TooFast);
        }
        self.recent.push_back(now);
        self.going_on += 1;
        let nth = self.called.entry(to.to_owned()).or_default();
        *nth += 1;
        let digest = blake3::hash(format!("{}/{to}/{nth}/{now}", world.config.seed).as_bytes()).to_hex();
        let call = Call {
            sid: format!("CA{}", &digest[..32]),
            to: to.to_owned(),
            from: from.to_owned(),
            status: "queued",
            created_ms: now,
            duration_s: None,
            nth: *nth,
            wishes,
            end: watch::channel(false).0,
        };
        self.by_sid.insert(call.sid.clone(), call.clone());
        Ok(call)
    }

    /// Ends a call from outside. Whether it went on.
    pub(crate) fn end(&mut self, sid: &str) -> bool {
        let Some(call) = self.by_sid.get(sid).filter(|call| !is_over(call.status)) else { return false };
        call.end.send_replace(true);
        true
    }
}

pub(crate) fn is_over(status: &str) -> bool {
    matches!(status, "completed" | "busy" | "failed" | "no-answer" | "canceled")
}

impl Call {
    /// When it was created, Unix milliseconds.
    pub(crate) fn created_ms(&self) -> i64 {
        self.created_ms
    }

    /// As the interface describes it.
    pub(crate) fn shown(&self) -> Value {
        let at = Timestamp::from_millisecond(self.created_ms).unwrap_or_default();
        json!({
            "sid": self.sid,
            "to": self.to,
            "from": self.from,
            "status": self.status,
            "duration": self.duration_s.map(|seconds| seconds.to_string()),
            "date_created": DateTimePrinter::new().timestamp_to_string(&at).unwrap_or_default(),
            "direction": "outbound-api",
        })
    }
}

/// Lives a call.
pub(crate) async fn live(world: Arc<World>, call: Call) {
    let persona = Persona::of(world.config.seed, &call.to, call.nth);
    let mut life =
        Life { world: world.clone(), steps: 0, chance: Chance::new(world.config.seed, &["luck", &call.sid]), call };
    let mut ended = life.call.end.subscribe();
    life.step("initiated", &[]).await;
    let (from, to) = RING_MS;
    let ring_ms = u64::from(from + life.chance.below(to - from));
    life.step("ringing", &[]).await;
    let patience_ms = life.call.wishes.timeout_s.unwrap_or(TIMEOUT_S) * 1000;
    let rings_ms = if persona == Persona::Away { patience_ms } else { ring_ms };
    let waited = tokio::select! {
        () = tokio::time::sleep(world.stretch(rings_ms.min(patience_ms))) => true,
        _ = ended.wait_for(|over| *over) => false,
    };
    if !waited {
        life.over("canceled", None, None).await;
        return;
    }
    match persona {
        Persona::Busy => life.over("busy", None, Some("486")).await,
        Persona::NoLine => life.over("failed", None, Some(SIP_NO_LINE)).await,
        Persona::Broken => life.over("failed", None, Some(SIP_BROKEN)).await,
        Persona::Away => life.over("no-answer", None, Some("487")).await,
        Persona::Person { .. } if ring_ms > patience_ms => life.over("no-answer", None, Some("487")).await,
        Persona::Person { talk_s } => {
            let manner = Manner::of(world.config.seed, &life.call.to, life.call.nth);
            life.answered("human", DETECTED_MS).await;
            life.talk(&mut ended, u64::from(talk_s) * 1000, Some(manner)).await;
        }
        Persona::Machine => {
            life.answered("machine_end_beep", GREETING_MS).await;
            life.talk(&mut ended, RECORDS_MS, None).await;
        }
        Persona::Fax => {
            life.answered("fax", DETECTED_MS).await;
            life.talk(&mut ended, RECORDS_MS, None).await;
        }
    }
}

struct Life {
    world: Arc<World>,
    call: Call,
    /// Steps told so far.
    steps: u32,
    chance: Chance,
}

impl Life {
    /// Somebody or something picked up; who is told a little later.
    async fn answered(&mut self, by: &'static str, after_ms: u64) {
        self.step("in-progress", &[]).await;
        let Some(url) = self.call.wishes.amd_callback.clone() else { return };
        let (world, call) = (self.world.clone(), self.call.clone());
        let luck = self.luck();
        tokio::spawn(async move {
            tokio::time::sleep(world.stretch(after_ms)).await;
            let ms = after_ms.to_string();
            let fields = [
                ("CallSid", call.sid.as_str()),
                ("AccountSid", world.config.account.as_str()),
                ("From", call.from.as_str()),
                ("To", call.to.as_str()),
                ("AnsweredBy", by),
                ("MachineDetectionDuration", ms.as_str()),
            ];
            tell(&world, &url, &fields, luck).await;
        });
    }

    /// They talk until the time is over or somebody hangs up: in the middle of a word, if need be.
    async fn talk(&mut self, ended: &mut watch::Receiver<bool>, ms: u64, manner: Option<Manner>) {
        let limit_ms = self.call.wishes.limit_s.map_or(u64::MAX, |seconds| seconds * 1000);
        let begun = tokio::time::Instant::now();
        tokio::select! {
            () = tokio::time::sleep(self.world.stretch(ms.min(limit_ms))) => {}
            _ = ended.wait_for(|over| *over) => {}
            () = relay::converse(self.world.clone(), self.call.clone(), manner) => {}
        }
        // Seconds of the life that is simulated.
        let seconds = (begun.elapsed().as_secs_f64() * self.world.config.speed).ceil().max(1.0) as u32;
        self.over("completed", Some(seconds), Some("200")).await;
    }

    async fn over(&mut self, status: &'static str, duration_s: Option<u32>, sip: Option<&str>) {
        self.call.duration_s = duration_s;
        {
            let mut calls = lock(&self.world.calls);
            calls.going_on = calls.going_on.saturating_sub(1);
            if let Some(known) = calls.by_sid.get_mut(&self.call.sid) {
                known.duration_s = duration_s;
            }
        }
        let seconds = duration_s.unwrap_or(0).to_string();
        let mut more = vec![("CallDuration", seconds.as_str())];
        more.extend(sip.map(|code| ("SipResponseCode", code)));
        self.step(status, &more).await;
    }

    /// The call stands there now, and whoever asked for it is told.
    async fn step(&mut self, status: &'static str, more: &[(&str, &str)]) {
        if let Some(known) = lock(&self.world.calls).by_sid.get_mut(&self.call.sid) {
            known.status = status;
        }
        self.call.status = status;
        self.world.log.line(
            json!({ "event": "step", "sid": self.call.sid, "status": status, "duration_s": self.call.duration_s }),
        );
        let Some(url) = self.call.wishes.status_callback.clone() else { return };
        let event = match status {
            "in-progress" => "answered",
            "initiated" | "ringing" => status,
            _ => "completed",
        };
        if !self.call.wishes.events.iter().any(|wanted| wanted == event) && event != "completed" {
            return;
        }
        let sequence = self.steps.to_string();
        self.steps += 1;
        let at = Timestamp::from_millisecond(now_ms()).unwrap_or_default();
        let at = DateTimePrinter::new().timestamp_to_string(&at).unwrap_or_default();
        let fields: Vec<(String, String)> = [
            ("CallSid", self.call.sid.as_str()),
            ("AccountSid", self.world.config.account.as_str()),
            ("From", self.call.from.as_str()),
            ("To", self.call.to.as_str()),
            ("CallStatus", status),
            ("Direction", "outbound-api"),
            ("CallbackSource", "call-progress-events"),
            ("SequenceNumber", sequence.as_str()),
            ("Timestamp", at.as_str()),
        ]
        .into_iter()
        .chain(more.iter().copied())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        let (world, luck) = (self.world.clone(), self.luck());
        tokio::spawn(async move {
            let fields: Vec<(&str, &str)> =
                fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            tell(&world, &url, &fields, luck).await;
        });
    }

    fn luck(&mut self) -> Luck {
        let troubles = self.world.config.troubles;
        Luck {
            lost: self.chance.happens(troubles.lost),
            doubled: self.chance.happens(troubles.doubled),
            late_ms: if self.chance.happens(troubles.late) { u64::from(self.chance.below(LATE_MS)) } else { 0 },
        }
    }
}

/// What happens to one callback.
#[derive(Clone, Copy)]
struct Luck {
    lost: bool,
    doubled: bool,
    late_ms: u64,
}

async fn tell(world: &World, url: &str, fields: &[(&str, &str)], luck: Luck) {
    if luck.lost {
        return;
    }
    tokio::time::sleep(std::time::Duration::from_millis(luck.late_ms)).await;
    for _ in 0..if luck.doubled { 2 } else { 1 } {
        world.post(url, fields).await;
    }
}
