//! What a campaign is told: whom it speaks for, how fast, how often, when. Changed as one versioned whole.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};

use super::{limits::*, number::is_country, target::Outcome, window::Window};
use crate::{
    check::{Checks, is_bounded_json, merge_patch},
    contact_guard::{Cap, ConsentKind},
    ids::AgentId,
    local_time::rfc3339,
    rejection::Rejection,
    vocabulary::Channel,
};

/// Who calls first (CMP-1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CampaignType {
    /// Works through its list and is done.
    #[default]
    Outbound,
    /// Calls people back who came to us, such as web leads (LEAD-13): goes on until it is stopped.
    Inbound,
}

/// What is done when a machine answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Voicemail {
    /// Hang up; the target is done.
    #[default]
    Hangup,
    /// Speak the message after the beep; the target is done.
    Message,
    /// Hang up and try again as after no answer.
    Retry,
}

/// Which consent must stand in the ledger before a call (C25: an artificial voice needs its own).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// To being called by an artificial voice.
    #[default]
    AiCalls,
    /// To being called.
    Calls,
    /// None, because the law of the place asks for none; a withdrawn one still refuses.
    None,
}

impl Consent {
    /// As the guard asks for it.
    pub fn kind(self) -> Option<ConsentKind> {
        match self {
            Self::AiCalls => Some(ConsentKind::AiCalls),
            Self::Calls => Some(ConsentKind::Calls),
            Self::None => None,
        }
    }
}

/// How often it is tried again after an outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Again {
    /// Further calls after the first.
    pub attempts: u32,
    /// Minutes to wait before each; the last one stands for all that follow.
    pub delays_minutes: Vec<u32>,
}

impl Default for Again {
    fn default() -> Self {
        Self { attempts: 2, delays_minutes: vec![60, 240] }
    }
}

/// How often it is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// After no answer, and after a machine if the campaign retries those.
    pub no_answer: Again,
    /// After a busy line.
    pub busy: Again,
    /// After a failure.
    pub failed: Again,
}

impl Default for Retry {
    fn default() -> Self {
        let busy = Again { attempts: 3, delays_minutes: vec![10, 30, 60] };
        Self { no_answer: Again::default(), busy, failed: Again { attempts: 1, delays_minutes: vec![30] } }
    }
}

/// Calls per second in thousandths, so that pacing is exact. In JSON a number such as `0.5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate {
    /// Calls per 1,000 seconds.
    pub milli: u32,
}

impl Rate {
    /// So many a second.
    pub fn per_second(calls: u32) -> Self {
        Self { milli: calls.saturating_mul(1000) }
    }

    /// Time from one call to the next, microseconds, rounded up so that the rate is never exceeded.
    pub fn interval_us(self) -> i64 {
        let milli = i64::from(self.milli.max(1));
        (1_000_000_000 + milli - 1) / milli
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.milli) / 1000.0)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let calls = f64::deserialize(deserializer)?;
        if !(0.001..=1_000_000.0).contains(&calls) {
            return Err(D::Error::custom("must be a number of calls per second such as 2 or 0.5"));
        }
        Ok(Self { milli: (calls * 1000.0).round() as u32 })
    }
}

/// An amount of money in millionths of a US dollar. In JSON a number of dollars such as `25.5`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dollars {
    /// Millionths.
    pub micros: i64,
}

impl Serialize for Dollars {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.micros as f64 / 1e6)
    }
}

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(deserializer)?;
        if !(0.0..=1e9).contains(&dollars) {
            return Err(D::Error::custom("must be an amount in US dollars"));
        }
        Ok(Self { micros: (dollars * 1e6).round() as i64 })
    }
}

/// An instant; in JSON RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant {
    /// Unix milliseconds.
    pub ms: i64,
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(self.ms))
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at: jiff::Timestamp =
            text.parse().map_err(|_| D::Error::custom("must be a time such as 2026-11-30T17:00:00Z"))?;
        Ok(Self { ms: at.as_millisecond() })
    }
}

/// Everything about a campaign that people set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// What people call it.
    pub name: String,
    /// Who calls first.
    #[serde(rename = "type")]
    pub kind: CampaignType,
    /// How people are reached; calls.
    pub channel: Channel,
    /// The agent that speaks (CMP-19).
    pub agent_id: AgentId,
    /// The voice it speaks with; the agent's own if none.
    pub voice_id: Option<String>,
    /// What a call is for (CMP-12).
    pub objective: String,
    /// What is said first, once somebody answers; `{{name}}` and the columns of the list are filled in. The first paragraph of the script if none.
    pub opening: Option<String>,
    /// What is said.
    pub script: Option<String>,
    /// What every call asks to qualify the person (CMP-4, LEAD-13).
    pub questions: Vec<String>,
    /// The numbers that calls come from, E.164; all of one provider account.
    pub from_numbers: Vec<String>,
    /// The country of numbers that are written without one, two letters.
    pub default_country: Option<String>,
    /// Calls at once.
    pub max_concurrent: u32,
    /// Calls begun per second.
    pub calls_per_second: Rate,
    /// What is tried again.
    pub retry: Retry,
    /// What is done when a machine answers.
    pub voicemail: Voicemail,
    /// What is spoken to a machine.
    pub voicemail_message: Option<String>,
    /// When people may be called.
    pub window: Window,
    /// Which consent must stand in the ledger.
    pub consent: Consent,
    /// Calls to one number a day, whatever the campaign.
    pub dials_per_day: u32,
    /// How long it rings.
    pub ring_seconds: u32,
    /// How long a call may last.
    pub max_call_minutes: u32,
    /// When it begins by itself.
    pub starts_at: Option<Instant>,
    /// After this nobody is called.
    pub deadline: Option<Instant>,
    /// What it may cost.
    pub budget: Option<Dollars>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: String::new(),
            kind: CampaignType::Outbound,
            channel: Channel::Voice,
            agent_id: AgentId::default(),
            voice_id: None,
            objective: String::new(),
            opening: None,
            script: None,
            questions: Vec::new(),
            from_numbers: Vec::new(),
            default_country: None,
            max_concurrent: 10,
            calls_per_second: Rate::per_second(1),
            retry: Retry::default(),
            voicemail: Voicemail::Hangup,
            voicemail_message: None,
            window: Window::default(),
            consent: Consent::AiCalls,
            dials_per_day: DIALS_PER_DAY,
            ring_seconds: 30,
            max_call_minutes: 15,
            starts_at: None,
            deadline: None,
            budget: None,
        }
    }
}

impl Settings {
    /// Everything that is wrong, by field.
    ///
    /// # Errors
    /// `Invalid` with each field.
    pub fn check(&self) -> Result<(), Rejection> {
        let mut checks = Checks::default();
        checks.line("name", &self.name, 1, crate::check::NAME_CHARS_MAX);
        checks.ensure(self.channel == Channel::Voice, "channel", "must be voice");
        checks.line("agent_id", self.agent_id.as_str(), 1, ID_CHARS_MAX);
        checks.line("voice_id", self.voice_id.as_deref().unwrap_or_default(), 0, ID_CHARS_MAX);
        checks.text("objective", &self.objective, 0, OBJECTIVE_CHARS_MAX);
        checks.text("opening", self.opening.as_deref().unwrap_or_default(), 0, OPENING_CHARS_MAX);
        checks.text("script", self.script.as_deref().unwrap_or_default(), 0, SCRIPT_CHARS_MAX);
        checks.count("questions", self.questions.len(), QUESTIONS_MAX);
        for question in &self.questions {
            checks.line("questions", question, 1, QUESTION_CHARS_MAX);
        }
        checks.count("from_numbers", self.from_numbers.len(), FROM_NUMBERS_MAX);
        for number in &self.from_numbers {
            checks.phone("from_numbers", number);
        }
        let country = self.default_country.as_deref();
        checks.ensure(country.is_none_or(is_country), "default_country", "must be two letters such as US");
        checks.ensure(
            (1..=CONCURRENT_MAX).contains(&self.max_concurrent),
            "max_concurrent",
            format!("must be 1 to {CONCURRENT_MAX}"),
        );
        let fast = Rate::per_second(RATE_PER_SECOND_MAX);
        checks.ensure(
            self.calls_per_second.milli > 0 && self.calls_per_second <= fast,
            "calls_per_second",
            format!("must be more than 0 and at most {RATE_PER_SECOND_MAX}"),
        );
        for (field, again) in [
            ("retry.no_answer", &self.retry.no_answer),
            ("retry.busy", &self.retry.busy),
            ("retry.failed", &self.retry.failed),
        ] {
            checks.ensure(again.attempts <= RETRIES_MAX, field, format!("at most {RETRIES_MAX} attempts"));
            checks.ensure(
                again.attempts == 0 || !again.delays_minutes.is_empty(),
                field,
                "needs delays_minutes, one for each attempt",
            );
            checks.ensure(
                again.delays_minutes.len() <= RETRIES_MAX as usize
                    && again.delays_minutes.iter().all(|minutes| (1..=DELAY_MINUTES_MAX).contains(minutes)),
                field,
                format!("delays are 1 to {DELAY_MINUTES_MAX} minutes"),
            );
        }
        let message = self.voicemail_message.as_deref().unwrap_or_default();
        checks.text("voicemail_message", message, 0, VOICEMAIL_CHARS_MAX);
        checks.ensure(
            self.voicemail != Voicemail::Message || !message.trim().is_empty(),
            "voicemail_message",
            "is needed when voicemail is message",
        );
        self.window.check(&mut checks);
        checks.ensure(
            (1..=DIALS_PER_DAY_MAX).contains(&self.dials_per_day),
            "dials_per_day",
            format!("must be 1 to {DIALS_PER_DAY_MAX}"),
        );
        checks.ensure(
            (5..=RING_SECONDS_MAX).contains(&self.ring_seconds),
            "ring_seconds",
            format!("must be 5 to {RING_SECONDS_MAX}"),
        );
        checks.ensure(
            (1..=CALL_MINUTES_MAX).contains(&self.max_call_minutes),
            "max_call_minutes",
            format!("must be 1 to {CALL_MINUTES_MAX}"),
        );
        let backwards = matches!((self.starts_at, self.deadline), (Some(start), Some(end)) if start >= end);
        checks.ensure(!backwards, "deadline", "must be after starts_at");
        checks.ensure(self.budget.is_none_or(|budget| budget.micros > 0), "budget", "must be more than 0");
        checks.finish()
    }

    /// These with a merge patch applied; null brings a field's default back.
    ///
    /// # Errors
    /// `Invalid` with each field that is unknown, of the wrong type or outside of its limits.
    pub fn patched(&self, patch: &Value) -> Result<Self, Rejection> {
        let Value::Object(fields) = patch else { return Err(Rejection::invalid("body", "must be a JSON object")) };
        if !is_bounded_json(patch, SETTINGS_BYTES_MAX) {
            return Err(Rejection::invalid("body", format!("must be at most {SETTINGS_BYTES_MAX} bytes")));
        }
        let (mut merged, defaults) = (as_object(self), as_object(&Self::default()));
        let mut checks = Checks::default();
        for (field, value) in fields {
            let Some(default) = defaults.get(field) else {
                checks.fail(field, "is not a field of a campaign that can be changed");
                continue;
            };
            let mut new = if value.is_null() { default.clone() } else { merged.get(field).unwrap_or(default).clone() };
            if !value.is_null() {
                merge_patch(&mut new, value);
            }
            match serde_json::from_value::<Self>(Value::Object(Map::from_iter([(field.clone(), new.clone())]))) {
                Ok(_) => {
                    merged.insert(field.clone(), new);
                }
                Err(error) => checks.fail(field, format!("is not understood: {error}")),
            }
        }
        checks.finish()?;
        let settings: Self = serde_json::from_value(Value::Object(merged))
            .map_err(|error| Rejection::invalid("body", error.to_string()))?;
        settings.check()?;
        Ok(settings)
    }

    /// How often the guard lets one number be called.
    pub fn caps(&self) -> Vec<Cap> {
        // The guard counts from its permits and a call may follow a little later, so that a day must be as much longer.
        vec![Cap { within_ms: 24 * 3_600_000 + PERMIT_FRESH_MS, dials: self.dials_per_day }]
    }

    /// How long to wait before it is tried again after an outcome that was the `nth` of its kind, ms; `None`: not again.
    pub fn again_in_ms(&self, outcome: Outcome, nth: u32) -> Option<i64> {
        let again = match outcome {
            Outcome::NoAnswer => &self.retry.no_answer,
            Outcome::Voicemail if self.voicemail == Voicemail::Retry => &self.retry.no_answer,
            Outcome::Busy => &self.retry.busy,
            Outcome::Failed => &self.retry.failed,
            Outcome::Voicemail
            | Outcome::Answered
            | Outcome::MeetingBooked
            | Outcome::Callback
            | Outcome::NotInterested
            | Outcome::Skipped => return None,
        };
        if nth == 0 || nth > again.attempts {
            return None;
        }
        let index = usize::try_from(nth - 1).unwrap_or(usize::MAX);
        let minutes = again.delays_minutes.get(index).or(again.delays_minutes.last())?;
        Some(i64::from(*minutes) * 60_000)
    }
}

fn as_object(settings: &Settings) -> Map<String, Value> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn right() -> Settings {
        let patch = json!({"name": "Webinar", "agent_id": "a", "from_numbers": ["+14155550100"]});
        Settings::default().patched(&patch).expect("right")
    }

    #[test]
    fn a_patch_changes_what_it_names_and_nothing_else() {
        let patch = json!({"calls_per_second": 0.5, "budget": 25.5, "window": {"end": "18:00"}, "retry": {"busy": {"attempts": 1}},
            "deadline": "2026-12-01T12:00:00+01:00"});
        let settings = right().patched(&patch).expect("right");
        assert_eq!((settings.calls_per_second.milli, settings.calls_per_second.interval_us()), (500, 2_000_000));
        assert_eq!(settings.budget, Some(Dollars { micros: 25_500_000 }));
        assert_eq!((settings.window.start.as_str(), settings.window.end.as_str()), ("08:00", "18:00"));
        assert_eq!((settings.retry.busy.attempts, settings.retry.no_answer.attempts), (1, 2));
        assert_eq!(settings.deadline.map(|end| rfc3339(end.ms)).as_deref(), Some("2026-12-01T11:00:00.000Z"));
        assert_eq!(
            settings.patched(&json!({"budget": null, "deadline": null, "window": null})).expect("right").budget,
            None
        );
        let told = serde_json::to_value(&settings).expect("plain data");
        assert_eq!(serde_json::from_value::<Settings>(told).expect("it is read back"), settings);
    }

    #[test]
    fn each_wrong_field_is_named() {
        let cases = [
            (json!({"name": ""}), "name"),
            (json!({"agent_id": ""}), "agent_id"),
            (json!({"channel": "sms"}), "channel"),
            (json!({"type": "sideways"}), "type"),
            (json!({"from_numbers": ["12"]}), "from_numbers"),
            (json!({"max_concurrent": 0}), "max_concurrent"),
            (json!({"calls_per_second": 0}), "calls_per_second"),
            (json!({"calls_per_second": 1e9}), "calls_per_second"),
            (json!({"calls_per_second": "fast"}), "calls_per_second"),
            (json!({"retry": {"busy": {"attempts": 99}}}), "retry.busy"),
            (json!({"retry": {"busy": {"delays_minutes": []}}}), "retry.busy"),
            (json!({"retry": {"lazy": {}}}), "retry"),
            (json!({"voicemail": "message"}), "voicemail_message"),
            (json!({"window": {"start": "03:00"}}), "window.start"),
            (json!({"default_country": "us"}), "default_country"),
            (json!({"dials_per_day": 50}), "dials_per_day"),
            (json!({"deadline": "tomorrow"}), "deadline"),
            (json!({"starts_at": "2026-12-02T00:00:00Z", "deadline": "2026-12-01T00:00:00Z"}), "deadline"),
            (json!({"budget": -1}), "budget"),
            (json!({"budget": 0}), "budget"),
            (json!({"colour": "red"}), "colour"),
        ];
        for (patch, field) in cases {
            let Err(Rejection::Invalid { errors }) = right().patched(&patch) else { panic!("{patch} is wrong") };
            assert_eq!(errors[0].field, field, "{patch}: {errors:?}");
        }
        assert!(right().patched(&json!([])).is_err());
    }

    #[test]
    fn retries_follow_the_outcome_and_end() {
        let settings = right();
        let minutes = |outcome, nth| settings.again_in_ms(outcome, nth).map(|ms| ms / 60_000);
        assert_eq!([1, 2, 3].map(|nth| minutes(Outcome::NoAnswer, nth)), [Some(60), Some(240), None]);
        assert_eq!([1, 2, 3, 4].map(|nth| minutes(Outcome::Busy, nth)), [Some(10), Some(30), Some(60), None]);
        assert_eq!([1, 2].map(|nth| minutes(Outcome::Failed, nth)), [Some(30), None]);
        assert_eq!(minutes(Outcome::Voicemail, 1), None);
        let again = Settings { voicemail: Voicemail::Retry, ..settings };
        assert_eq!(again.again_in_ms(Outcome::Voicemail, 1), Some(3_600_000));
    }
}
