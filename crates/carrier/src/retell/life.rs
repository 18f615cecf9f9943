//! The life of a call over Retell: rings, is answered by a persona or not, ends, and what is told of that, as well as it can be.

use std::sync::Arc;
use std::time::Duration;

use colloquy_telephony::retell::signature;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Call;
use super::talk::{How, Talk};
use crate::persona::{Chance, Manner, Persona};
use crate::{World, lock, now_ms};

/// How long it rings until somebody picks up, ms: from to.
const RING_MS: (u32, u32) = (1_500, 9_000);
/// How long it rings until nobody has, ms, unless the agent says so.
const PATIENCE_MS: u64 = 30_000;
/// How long it takes until a machine is known for one, ms, and until a line on which nobody speaks is given up.
const DETECTED_MS: u64 = 4_000;
const SILENT_MS: u64 = 25_000;
/// The longest call unless the agent says so, ms.
const CALL_MS: u64 = 3_600_000;
/// How long the analysis takes, ms.
const ANALYZED_MS: u64 = 3_000;
/// How late a late webhook is at most, ms of real time.
const LATE_MS: u32 = 4_000;
/// How often a webhook is sent until it is taken, and the pause between, ms of real time.
const TRIES: u32 = 3;
const AGAIN: Duration = Duration::from_millis(1_000);

/// Lives a call.
pub(super) async fn live(world: Arc<World>, call: Call) {
    let persona = Persona::of(world.config.seed, &call.to, call.nth);
    let chance = Chance::new(world.config.seed, &["luck", &call.id]);
    let mut ended = call.end.subscribe();
    let mut life = Life { world: world.clone(), chance, call };
    let (from, to) = RING_MS;
    let ring_ms = u64::from(from + life.chance.below(to - from));
    let patience_ms = life.call.setting("ring_duration_ms").as_u64().unwrap_or(PATIENCE_MS);
    life.note("ringing");
    let rings_ms = if persona == Persona::Away { patience_ms } else { ring_ms };
    let stopped = tokio::select! {
        () = tokio::time::sleep(world.stretch(rings_ms.min(patience_ms))) => false,
        _ = ended.wait_for(|over| *over) => true,
    };
    if stopped {
        return life.over("not_connected", "manual_stopped", "canceled", None).await;
    }
    match persona {
        Persona::Busy => life.over("not_connected", "dial_busy", "busy", None).await,
        Persona::NoLine => life.over("not_connected", "invalid_destination", "failed", None).await,
        Persona::Broken => life.over("not_connected", "dial_failed", "failed", None).await,
        Persona::Away => life.over("not_connected", "dial_no_answer", "no-answer", None).await,
        Persona::Person { .. } if ring_ms > patience_ms => {
            life.over("not_connected", "dial_no_answer", "no-answer", None).await;
        }
        Persona::Person { talk_s } => {
            let manner = Manner::of(world.config.seed, &life.call.to, life.call.nth);
            life.talk(u64::from(talk_s) * 1000, Some(manner), "user_hangup").await;
        }
        Persona::Machine => life.talk(DETECTED_MS, None, "voicemail_reached").await,
        Persona::Fax => life.talk(SILENT_MS, None, "inactivity").await,
    }
}

struct Life {
    world: Arc<World>,
    call: Call,
    chance: Chance,
}

impl Life {
    /// Somebody or something picked up: the socket is opened, and they talk until the time is over or one of them ends it.
    async fn talk(&mut self, ms: u64, manner: Option<Manner>, then: &'static str) {
        self.call.status = "ongoing";
        self.call.started_ms = Some(now_ms());
        self.note("in-progress");
        self.told("call_started").await;
        let limit_ms = self.call.setting("max_call_duration_ms").as_u64().unwrap_or(CALL_MS);
        let begun = Instant::now();
        let until = begun + self.world.stretch(ms.min(limit_ms));
        let mut talk = Talk::new(self.world.clone(), self.call.clone(), manner, self.chance.below(u32::MAX));
        let how = talk.lead(until).await;
        self.call.transcript = talk.transcript();
        // Its line in the log comes before that of the end.
        drop(talk);
        let spoke_ms = (begun.elapsed().as_secs_f64() * self.world.config.speed * 1000.0).ceil().max(1.0) as i64;
        let (status, reason, logged) = match how {
            How::TimeOver if ms > limit_ms => ("ended", "max_duration_reached", "completed"),
            How::TimeOver => ("ended", then, "completed"),
            How::HungUp => ("ended", "user_hangup", "completed"),
            How::Theirs => ("ended", "agent_hangup", "completed"),
            How::PutThrough => ("ended", "call_transfer", "completed"),
            How::Stopped => ("ended", "manual_stopped", "completed"),
            How::NeverOpened => ("error", "error_llm_websocket_open", "lost"),
            How::Lost => ("error", "error_llm_websocket_lost_connection", "lost"),
            How::Corrupt => ("error", "error_llm_websocket_corrupt_payload", "lost"),
        };
        if reason == "voicemail_reached" {
            let action = &self.call.setting("voicemail_option")["action"];
            self.world.log.line(json!({ "event": "voicemail", "sid": self.call.id, "left": action["text"] }));
        }
        self.over(status, reason, logged, Some(spoke_ms)).await;
    }

    async fn over(&mut self, status: &'static str, reason: &'static str, logged: &'static str, spoke_ms: Option<i64>) {
        self.call.status = status;
        self.call.reason = Some(reason);
        self.call.ended_ms = Some(now_ms());
        self.call.spoke_ms = spoke_ms;
        {
            let mut state = lock(&self.world.retell);
            state.going_on = state.going_on.saturating_sub(1);
        }
        self.note(logged);
        self.told("call_ended").await;
        tokio::time::sleep(self.world.stretch(ANALYZED_MS)).await;
        let machine = reason == "voicemail_reached";
        self.call.analysis = Some(json!({
            "in_voicemail": machine, "call_summary": "A simulated call.", "user_sentiment": "Neutral", "call_successful": spoke_ms.is_some() && !machine,
            "custom_analysis_data": {},
        }));
        self.keep();
        self.told("call_analyzed").await;
    }

    /// The call stands there now.
    fn note(&self, logged: &str) {
        self.keep();
        let duration_s = self.call.spoke_ms.map(|ms| (ms + 999) / 1000);
        self.world.log.line(json!({
            "event": "step", "sid": self.call.id, "status": logged, "reason": self.call.reason, "duration_s": duration_s,
        }));
    }

    fn keep(&self) {
        // One that was deleted stays so.
        if let Some(known) = lock(&self.world.retell).calls.get_mut(&self.call.id) {
            *known = self.call.clone();
        }
    }

    /// Whoever has the agent is told, if nothing goes wrong.
    async fn told(&mut self, event: &'static str) {
        let troubles = self.world.config.troubles;
        let lost = self.chance.happens(troubles.lost);
        let times = if self.chance.happens(troubles.doubled) { 2 } else { 1 };
        let late_ms = if self.chance.happens(troubles.late) { u64::from(self.chance.below(LATE_MS)) } else { 0 };
        let wanted = self.call.setting("webhook_events").as_array();
        let wanted = wanted.is_none_or(|events| events.iter().any(|wanted| wanted == event));
        let Some(url) = self.call.setting("webhook_url").as_str().map(str::to_owned).filter(|_| wanted && !lost) else {
            return;
        };
        let (world, body) = (self.world.clone(), json!({ "event": event, "call": self.call.shown() }));
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(late_ms)).await;
            for _ in 0..times {
                post(&world, &url, &body).await;
            }
        });
    }
}

/// Posts a signed webhook, again if it is not taken.
async fn post(world: &World, url: &str, body: &Value) {
    let body = body.to_string();
    for _ in 0..TRIES {
        let signed = signature::sign(&world.config.retell_key.clone().into(), body.as_bytes(), now_ms());
        let sending = world.http.post(url).header("content-type", "application/json").header(signature::HEADER, signed);
        match sending.body(body.clone()).send().await {
            Ok(answer) if answer.status().is_success() => return,
            Ok(_) | Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}
