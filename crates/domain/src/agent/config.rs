//! An agent's configuration: everything an owner may change, saved as numbered versions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::call::TransferKind;
use crate::campaign::settings::Consent;
use crate::catalog::template::{
    ComplianceNotice, EscalationRule, Field, IntakeForm, Intent, PersonalityTraits, RoutingRule,
};
use crate::vocabulary::Vertical;

/// Seconds of a business week are looked up in these: `mon` … `sun`, closed where missing or null.
pub type BusinessHours = BTreeMap<String, Option<OpenHours>>;

/// Opening hours of one day, local time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenHours {
    /// `HH:MM`.
    pub open: String,
    /// `HH:MM`, later than `open`; `24:00` for midnight.
    pub close: String,
}

/// How the widget looks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChatTheme {
    /// A CSS hex colour.
    #[serde(alias = "primaryColor")]
    pub primary_color: Option<String>,
    /// A font family name.
    #[serde(alias = "fontFamily")]
    pub font_family: Option<String>,
    /// Corner radius in CSS pixels.
    #[serde(alias = "borderRadius")]
    pub border_radius: Option<u16>,
    /// `auto`, `light` or `dark`.
    pub mode: Option<String>,
}

/// New leads that an agent calls by itself (LEAD-13).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AutoCall {
    /// How long after it came in a lead is called at the latest, minutes; later it is left to people.
    pub within_minutes: u32,
    /// What is asked; the answers are fields of the lead.
    pub questions: Vec<String>,
    /// Which consent must stand in the ledger.
    pub consent: Consent,
    /// Countries (two letters) whose numbers are called besides those that the organization has numbers in.
    pub countries: Vec<String>,
}

impl Default for AutoCall {
    fn default() -> Self {
        Self { within_minutes: 5, questions: Vec::new(), consent: Consent::AiCalls, countries: Vec::new() }
    }
}

/// Everything about an agent that its owner decides. Field names are those of the public contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentConfig {
    /// The agent's name.
    pub name: String,
    /// The trade.
    pub vertical: Vertical,
    /// The template it was made from.
    pub template_id: Option<String>,
    /// The business's website.
    pub website_url: Option<String>,
    /// What fills the variables of all texts below; where one is missing, facts of the organization or `variable_defaults` do.
    pub variables: BTreeMap<String, String>,
    /// The template's own sentences for its variables, until owner or organization say better.
    pub variable_defaults: BTreeMap<String, String>,

    /// Who it is and how it works.
    pub system_prompt: String,
    /// First words in chat.
    pub welcome_message: String,
    /// First words on the phone.
    pub voice_welcome_message: String,
    /// When nothing is known.
    pub fallback_message: String,
    /// When a person is called.
    pub escalation_message: String,
    /// When the business is closed.
    pub after_hours_message: Option<String>,
    /// Buttons below the first message.
    pub quick_prompts: Vec<String>,
    /// How it sounds.
    pub personality_traits: PersonalityTraits,
    /// Named things it must never do or say, one sentence each.
    pub guardrails: Vec<String>,
    /// What it may do: `capture_lead`, `escalate`, `end_conversation`, `book_meeting`, later `send_sms`, `transfer_to_human`.
    pub tools: Vec<String>,
    /// Qualification frameworks its prompt uses.
    pub frameworks: Vec<String>,

    /// Whether it answers the phone.
    pub voice_enabled: bool,
    /// The voice.
    pub voice_id: Option<String>,
    /// `retell` or `vapi`; `elevenlabs`, `openai` or `espeak-ng` where the sound is made here.
    pub voice_provider: String,
    /// The provider's agent.
    pub retell_agent_id: Option<String>,
    /// Its number, E.164.
    pub phone_number: Option<String>,
    /// The number's id at the carrier.
    pub phone_number_sid: Option<String>,
    /// BCP 47.
    pub voice_language: String,
    /// 0.5 to 2.
    pub voice_speed: f64,
    /// What is said on the phone, by situation.
    pub voice_scripts: BTreeMap<String, String>,
    /// Whether calls are recorded where the sound is made here; only with a notice of the kind `call_recording` or `recording_consent`, which is heard first.
    pub voice_recording: bool,
    /// How callers are handed to a person: `cold`, put through at once, or `warm`, the colleague hears first what it is about and takes the call by a key.
    pub transfer_kind: TransferKind,
    /// Whether callers outside of opening hours may leave a message after a beep; where the organization keeps no recordings, they cannot.
    pub voicemail: bool,
    /// The text message that somebody gets whose call nobody answered; none is sent without it.
    pub missed_call_text: Option<String>,

    /// Whether it chats.
    pub chat_enabled: bool,
    /// `bottom-right` or `bottom-left`.
    pub chat_position: String,
    /// How the widget looks.
    pub chat_theme: ChatTheme,
    /// A picture, https.
    pub chat_avatar_url: Option<String>,
    /// Whether the widget names Colloquy.
    pub show_branding: bool,
    /// Whether the widget asks before it stores an id.
    pub cookie_consent: bool,
    /// Origins that may frame the widget; empty: any.
    pub allowed_origins: Vec<String>,

    /// Whether leads are collected.
    pub collect_leads: bool,
    /// Whether and how new leads are called.
    pub auto_call_leads: Option<AutoCall>,
    /// What a lead consists of.
    pub lead_fields: Vec<Field>,
    /// Definitions of form fields that are not lead fields.
    pub form_fields: Vec<Field>,
    /// Forms held as a dialogue or shown in the widget.
    pub intake_forms: Vec<IntakeForm>,
    /// How free text becomes an intent.
    pub intents: Vec<Intent>,
    /// Whether rules may call a person.
    pub escalation_enabled: bool,
    /// Who is mailed.
    pub escalation_email: Option<String>,
    /// Who is texted, E.164.
    pub escalation_phone: Option<String>,
    /// When a person is needed.
    pub escalation_rules: Vec<EscalationRule>,
    /// Who gets a lead.
    pub routing_rules: Vec<RoutingRule>,
    /// What must be said.
    pub compliance_notices: Vec<ComplianceNotice>,
    /// Whether it only answers while the business is open.
    pub business_hours_only: bool,
    /// The most messages of one conversation (visitor's and agent's, AGT-12).
    pub max_messages_per_convo: u32,

    /// Registry id of the model; the built-in responder answers while no provider is configured.
    pub llm_model: String,
    /// 0 to 2.
    pub temperature: f64,
    /// Longest answer in tokens.
    pub max_tokens: u32,
    /// Whether the system-wide knowledge is searched too.
    pub use_platform_knowledge: bool,
    /// Settings only this trade has.
    pub vertical_config: Map<String, Value>,
}

impl Default for AgentConfig {
    /// The defaults of VB §3.1.
    fn default() -> Self {
        Self {
            name: "AI Receptionist".into(),
            vertical: Vertical::Custom,
            template_id: None,
            website_url: None,
            variables: BTreeMap::new(),
            variable_defaults: BTreeMap::new(),
            system_prompt: String::new(),
            welcome_message: "Hi! How can I help you today?".into(),
            voice_welcome_message: "Thank you for calling. How can I help you today?".into(),
            fallback_message: "I'm not sure about that. Let me connect you with someone who can help.".into(),
            escalation_message: "Let me transfer you to a team member.".into(),
            after_hours_message: None,
            quick_prompts: Vec::new(),
            personality_traits: PersonalityTraits::default(),
            guardrails: Vec::new(),
            tools: vec!["capture_lead".into(), "escalate".into(), "end_conversation".into()],
            frameworks: Vec::new(),
            voice_enabled: false,
            voice_id: None,
            voice_provider: "retell".into(),
            retell_agent_id: None,
            phone_number: None,
            phone_number_sid: None,
            voice_language: "en-US".into(),
            voice_speed: 1.0,
            voice_scripts: BTreeMap::new(),
            voice_recording: false,
            transfer_kind: TransferKind::Cold,
            voicemail: false,
            missed_call_text: None,
            chat_enabled: true,
            chat_position: "bottom-right".into(),
            chat_theme: ChatTheme::default(),
            chat_avatar_url: None,
            show_branding: true,
            cookie_consent: false,
            allowed_origins: Vec::new(),
            collect_leads: true,
            auto_call_leads: None,
            lead_fields: Vec::new(),
            form_fields: Vec::new(),
            intake_forms: Vec::new(),
            intents: Vec::new(),
            escalation_enabled: true,
            escalation_email: None,
            escalation_phone: None,
            escalation_rules: Vec::new(),
            routing_rules: Vec::new(),
            compliance_notices: Vec::new(),
            business_hours_only: false,
            max_messages_per_convo: 50,
            llm_model: "gpt-4o-mini".into(),
            temperature: 0.3,
            max_tokens: 500,
            use_platform_knowledge: false,
            vertical_config: Map::new(),
        }
    }
}

impl AgentConfig {
    /// The definition of a form or lead field by name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.form_fields.iter().chain(&self.lead_fields).find(|field| field.name == name)
    }
}
