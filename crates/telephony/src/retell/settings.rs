//! Bodies of REST calls: agents, numbers, calls and batches. What is not named here goes into `more` as it is.

use std::collections::BTreeMap;

use colloquy_domain::check::is_e164;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Unfit;

/// Who answers what the caller says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ResponseEngine {
    /// We do, over our socket.
    CustomLlm {
        /// Its address, without the call id.
        llm_websocket_url: String,
    },
}

/// What a voicemail box hears.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum VoicemailAction {
    /// These words.
    StaticText {
        /// The words.
        text: String,
    },
    /// Nothing.
    Hangup,
}

/// How voicemail is treated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VoicemailOption {
    /// What happens.
    pub action: VoicemailAction,
}

/// How keys are collected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DtmfOptions {
    /// How many at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digit_limit: Option<u32>,
    /// The key that ends the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination_key: Option<String>,
    /// Silence that ends the input, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
}

/// An agent, to be made (engine and voice are required) or changed (what is absent stays).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AgentSettings {
    /// Who answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_engine: Option<ResponseEngine>,
    /// The voice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voice_id: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_name: Option<String>,
    /// Such as `en-US`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// 1 is normal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voice_speed: Option<f64>,
    /// 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responsiveness: Option<f64>,
    /// 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interruption_sensitivity: Option<f64>,
    /// "Mhm" while the caller speaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_backchannel: Option<bool>,
    /// Silence before a reminder, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reminder_trigger_ms: Option<u32>,
    /// How many reminders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reminder_max_count: Option<u32>,
    /// Words to expect, such as names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub boosted_keywords: Vec<String>,
    /// Whether keys are listened to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_user_dtmf: Option<bool>,
    /// How keys are collected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_dtmf_options: Option<DtmfOptions>,
    /// Silence that ends a call, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_call_after_silence_ms: Option<u32>,
    /// The longest call, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_call_duration_ms: Option<u32>,
    /// How long it rings, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ring_duration_ms: Option<u32>,
    /// How voicemail is treated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voicemail_option: Option<VoicemailOption>,
    /// Where events go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<String>,
    /// Which events.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub webhook_events: Vec<String>,
    /// How long we have to answer one, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_timeout_ms: Option<u32>,
    /// `everything`, `everything_except_pii` or `basic_attributes_only`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_storage_setting: Option<String>,
    /// 1 to 730.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_storage_retention_days: Option<u32>,
    /// IANA.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Every other field.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl AgentSettings {
    /// Checks the ranges Retell documents.
    ///
    /// # Errors
    /// Names the first field that is outside.
    pub fn check(&self, making: bool) -> Result<(), Unfit> {
        if making && self.response_engine.is_none() {
            return Err(Unfit::new("response_engine", "is required"));
        }
        if making && self.voice_id.as_deref().unwrap_or_default().is_empty() {
            return Err(Unfit::new("voice_id", "is required"));
        }
        if let Some(ResponseEngine::CustomLlm { llm_websocket_url }) = &self.response_engine
            && !["wss://", "https://", "ws://", "http://"].iter().any(|scheme| llm_websocket_url.starts_with(scheme))
        {
            return Err(Unfit::new("llm_websocket_url", "must be a socket address such as wss://host/path"));
        }
        let whole = [
            ("end_call_after_silence_ms", self.end_call_after_silence_ms, 10_000, u32::MAX, "must be at least 10000"),
            ("max_call_duration_ms", self.max_call_duration_ms, 60_000, 7_200_000, "must be 60000 to 7200000"),
            ("ring_duration_ms", self.ring_duration_ms, 5_000, 300_000, "must be 5000 to 300000"),
            ("data_storage_retention_days", self.data_storage_retention_days, 1, 730, "must be 1 to 730"),
            ("reminder_trigger_ms", self.reminder_trigger_ms, 1, u32::MAX, "must be above 0"),
        ];
        for (field, value, min, max, problem) in whole {
            if value.is_some_and(|value| !(min..=max).contains(&value)) {
                return Err(Unfit::new(field, problem));
            }
        }
        for (field, value) in
            [("responsiveness", self.responsiveness), ("interruption_sensitivity", self.interruption_sensitivity)]
        {
            if value.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
                return Err(Unfit::new(field, "must be between 0 and 1"));
            }
        }
        Ok(())
    }
}

/// An agent and its share of a number's calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightedAgent {
    /// Retell's id of the agent.
    pub agent_id: String,
    /// All weights of a number add up to 1.
    pub weight: f64,
    /// A version of it, by number or name; the newest if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<Value>,
}

/// A number to be bought or changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NumberSettings {
    /// Preferred area code, when buying.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area_code: Option<u32>,
    /// `US` or `CA`, when buying.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country_code: Option<String>,
    /// `twilio` or `telnyx`, when buying.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number_provider: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
    /// Who answers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbound_agents: Option<Vec<WeightedAgent>>,
    /// Who calls from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outbound_agents: Option<Vec<WeightedAgent>>,
    /// Whom Retell asks who answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbound_webhook_url: Option<String>,
    /// Every other field.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// A number of the customer's own carrier. `Debug` is not derived: it holds a password.
#[derive(Clone, PartialEq, Serialize)]
pub struct ImportNumber {
    /// E.164.
    pub phone_number: String,
    /// The trunk's address.
    pub termination_uri: String,
    /// The trunk's user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sip_trunk_auth_username: Option<String>,
    /// The trunk's password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sip_trunk_auth_password: Option<String>,
    /// As when buying.
    #[serde(flatten)]
    pub settings: NumberSettings,
}

/// A number as Retell knows it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Number {
    /// E.164.
    pub phone_number: String,
    /// For people to read.
    #[serde(default, deserialize_with = "crate::json::lenient")]
    pub phone_number_pretty: Option<String>,
    /// For people.
    #[serde(default, deserialize_with = "crate::json::lenient")]
    pub nickname: Option<String>,
    /// Who answers it.
    #[serde(default, deserialize_with = "crate::json::list")]
    pub inbound_agents: Vec<WeightedAgent>,
    /// Who calls from it.
    #[serde(default, deserialize_with = "crate::json::list")]
    pub outbound_agents: Vec<WeightedAgent>,
}

/// What of an agent is otherwise in one call.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AgentOverride {
    /// Settings that take the place of the agent's own.
    pub agent: AgentSettings,
}

/// A call to be placed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PhoneCall {
    /// One of our numbers, E.164.
    pub from_number: String,
    /// E.164.
    pub to_number: String,
    /// Another agent than the number's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub override_agent_id: Option<String>,
    /// Comes back in every event; the attempt's id is here, so that an unknown outcome can be looked up.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// Other settings of the agent, for this call only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_override: Option<AgentOverride>,
    /// What fills `{{variables}}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub retell_llm_dynamic_variables: BTreeMap<String, String>,
    /// For the customer's own trunk.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub custom_sip_headers: BTreeMap<String, String>,
}

impl PhoneCall {
    /// Checks both numbers, and what is otherwise in this call.
    ///
    /// # Errors
    /// Names the one that is none, or the setting that is outside of what Retell takes.
    pub fn check(&self) -> Result<(), Unfit> {
        for (field, number) in [("from_number", &self.from_number), ("to_number", &self.to_number)] {
            if !is_e164(number) {
                return Err(Unfit::new(field, "must be an international number such as +14155550100"));
            }
        }
        self.agent_override.as_ref().map_or(Ok(()), |other| other.agent.check(false))
    }
}

/// A call in a browser.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct WebCall {
    /// Retell's id of the agent.
    pub agent_id: String,
    /// Comes back in every event.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// What fills `{{variables}}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub retell_llm_dynamic_variables: BTreeMap<String, String>,
}

/// What a browser needs to join. `Debug` is not derived: the token opens the call.
#[derive(Clone, PartialEq, Deserialize)]
pub struct WebCallTicket {
    /// The call.
    pub call_id: String,
    /// Opens it.
    pub access_token: String,
    /// Until when, Unix ms.
    #[serde(default, deserialize_with = "crate::json::lenient_whole")]
    pub expires_at: Option<i64>,
    /// For WebRTC.
    #[serde(default, deserialize_with = "crate::json::list")]
    pub ice_servers: Vec<Value>,
    /// `gateway`.
    #[serde(default, deserialize_with = "crate::json::lenient")]
    pub transport: Option<String>,
}

/// A call that another carrier brings to Retell over SIP.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RegisterCall {
    /// Retell's id of the agent.
    pub agent_id: String,
    /// `inbound` or `outbound`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// E.164.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_number: Option<String>,
    /// E.164.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_number: Option<String>,
    /// Comes back in every event.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// Minutes of a day, half-open; no window crosses midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MinuteWindow {
    /// First minute.
    pub start: u16,
    /// The minute after the last, at most 1440.
    pub end: u16,
}

/// When a batch may call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallTimeWindow {
    /// At least one.
    pub windows: Vec<MinuteWindow>,
    /// `Monday` …; all days if empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub day: Vec<String>,
    /// IANA. Always sent, because Retell's default is a city.
    pub timezone: String,
}

/// One call of a batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BatchTask {
    /// E.164.
    pub to_number: String,
    /// Another agent than the number's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub override_agent_id: Option<String>,
    /// What fills `{{variables}}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub retell_llm_dynamic_variables: BTreeMap<String, String>,
    /// Comes back in every event.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// Many calls that Retell paces itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BatchCall {
    /// E.164.
    pub from_number: String,
    /// Whom to call.
    pub tasks: Vec<BatchTask>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When to begin, Unix ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_timestamp: Option<i64>,
    /// Lines kept free for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_concurrency: Option<u32>,
    /// When it may call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_time_window: Option<CallTimeWindow>,
}

impl BatchCall {
    /// Checks numbers and windows.
    ///
    /// # Errors
    /// Names the first field that is wrong.
    pub fn check(&self) -> Result<(), Unfit> {
        if !is_e164(&self.from_number) || !self.tasks.iter().all(|task| is_e164(&task.to_number)) {
            return Err(Unfit::new("to_number", "must be an international number such as +14155550100"));
        }
        if self.tasks.is_empty() {
            return Err(Unfit::new("tasks", "must name at least one call"));
        }
        if let Some(times) = &self.call_time_window {
            let fits = |window: &MinuteWindow| window.start < window.end && window.end <= 1440;
            if times.windows.is_empty() || !times.windows.iter().all(fits) {
                return Err(Unfit::new(
                    "call_time_window.windows",
                    "must begin before they end, within one day of 1440 minutes",
                ));
            }
        }
        Ok(())
    }
}

/// How many calls the account may have at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Concurrency {
    /// Now.
    pub current_concurrency: u32,
    /// At most.
    pub concurrency_limit: u32,
    /// Kept free for those who call us.
    #[serde(default, deserialize_with = "crate::json::or_default")]
    pub reserved_inbound_concurrency: u32,
}

impl Concurrency {
    /// How many further calls may be placed, the lines for callers left free.
    pub fn free(&self) -> u32 {
        self.concurrency_limit
            .saturating_sub(self.current_concurrency)
            .saturating_sub(self.reserved_inbound_concurrency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> AgentSettings {
        AgentSettings {
            response_engine: Some(ResponseEngine::CustomLlm { llm_websocket_url: "wss://x/y".into() }),
            voice_id: Some("11labs-Adrian".into()),
            ..AgentSettings::default()
        }
    }

    #[test]
    fn an_agent_outside_of_documented_ranges_is_refused_by_field() {
        assert_eq!(agent().check(true), Ok(()));
        assert_eq!(AgentSettings::default().check(false), Ok(()), "a change may leave out everything");
        let field = |settings: AgentSettings| settings.check(true).expect_err("unfit").field;
        assert_eq!(field(AgentSettings { voice_id: None, ..agent() }), "voice_id");
        assert_eq!(field(AgentSettings { response_engine: None, ..agent() }), "response_engine");
        assert_eq!(field(AgentSettings { ring_duration_ms: Some(4_999), ..agent() }), "ring_duration_ms");
        assert_eq!(field(AgentSettings { max_call_duration_ms: Some(7_200_001), ..agent() }), "max_call_duration_ms");
        assert_eq!(field(AgentSettings { responsiveness: Some(-0.1), ..agent() }), "responsiveness");
        assert_eq!(
            field(AgentSettings { data_storage_retention_days: Some(0), ..agent() }),
            "data_storage_retention_days"
        );
    }

    #[test]
    fn a_batch_keeps_to_windows_within_a_day() {
        let batch = |start, end| BatchCall {
            from_number: "+14155550100".into(),
            tasks: vec![BatchTask { to_number: "+14155550111".into(), ..BatchTask::default() }],
            call_time_window: Some(CallTimeWindow {
                windows: vec![MinuteWindow { start, end }],
                day: vec![],
                timezone: "UTC".into(),
            }),
            ..BatchCall::default()
        };
        assert_eq!(batch(480, 1440).check(), Ok(()));
        for (start, end) in [(480, 480), (1200, 300), (0, 1441)] {
            assert!(batch(start, end).check().is_err(), "{start} {end}");
        }
    }

    #[test]
    fn free_lines_leave_those_for_callers() {
        let read = |text| serde_json::from_str::<Concurrency>(text).expect("readable").free();
        assert_eq!(
            read(r#"{"current_concurrency":5,"concurrency_limit":20,"reserved_inbound_concurrency":4,"new":1}"#),
            11
        );
        assert_eq!(read(r#"{"current_concurrency":25,"concurrency_limit":20}"#), 0);
    }
}
