//! One vertical template: everything an agent of a trade starts from. The same shapes live on in the agent's configuration.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::vocabulary::{EscalationAction, FieldType, LeadIntent, Urgency, Vertical};

/// What a template is for (C8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateKind {
    /// Answers a business's visitors.
    Receptionist,
    /// Calls or writes to people.
    Outbound,
    /// Works for the organization's own team.
    Internal,
    /// A role to practise with.
    Persona,
}

/// A template file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Registry id, such as `home_services.receptionist`.
    pub id: String,
    /// What it is for.
    pub kind: TemplateKind,
    /// The trade.
    pub vertical: Vertical,
    /// Its name for people.
    pub name: String,
    /// One sentence.
    pub description: String,
    /// Icon name of the console's sprite.
    pub icon: String,
    /// Whether it is offered.
    #[serde(default = "yes")]
    pub is_active: bool,
    /// A voice that suits the trade.
    #[serde(default)]
    pub recommended_voice_id: Option<String>,
    /// Integrations people of the trade use.
    #[serde(default)]
    pub suggested_integrations: Vec<String>,
    /// What people search for.
    #[serde(default)]
    pub seo_keywords: Vec<String>,
    /// The agent's defaults.
    pub agent: TemplateAgent,
    /// Every variable the texts use, with a sentence that reads well until the owner fills it.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Settings only this trade has.
    #[serde(default)]
    pub vertical_config: serde_json::Map<String, serde_json::Value>,
    /// What a lead of this trade consists of.
    pub lead_fields: Vec<Field>,
    /// Definitions of form fields that are not lead fields.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// Forms held as a dialogue or shown in the widget.
    pub intake_forms: Vec<IntakeForm>,
    /// How free text becomes an intent.
    #[serde(default)]
    pub intents: Vec<Intent>,
    /// When a person is needed.
    pub escalation_rules: Vec<EscalationRule>,
    /// Who gets a lead.
    #[serde(default)]
    pub routing_rules: Vec<RoutingRule>,
    /// What must be said.
    #[serde(default)]
    pub compliance_notices: Vec<ComplianceNotice>,
    /// Questions every business of the trade gets.
    pub faqs: Vec<SampleFaq>,
    /// What is said on the phone, by situation.
    pub voice_scripts: BTreeMap<String, String>,
}

/// The agent part of a template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateAgent {
    /// The agent's name.
    pub name: String,
    /// Who it is and how it works; variables in double braces.
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
    pub after_hours_message: String,
    /// Buttons below the first message.
    pub quick_prompts: Vec<String>,
    /// How it sounds.
    pub personality_traits: PersonalityTraits,
    /// What it may do.
    pub tools: Vec<String>,
    /// Qualification frameworks its prompt may use.
    #[serde(default)]
    pub frameworks: Vec<String>,
}

/// How an agent sounds (AGT-9).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PersonalityTraits {
    /// Such as `warm_professional`.
    pub tone: String,
    /// `casual`, `neutral` or `formal`.
    pub formality: String,
    /// `low`, `medium` or `high`.
    pub empathy_level: String,
    /// `concise`, `balanced` or `detailed`.
    pub verbosity: String,
}

/// One typed field of a lead or form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Its key in data.
    pub name: String,
    /// Its label in forms.
    #[serde(default)]
    pub label: String,
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// Whether the form is incomplete without it.
    #[serde(default)]
    pub required: bool,
    /// The choices of a select.
    #[serde(default)]
    pub options: Vec<String>,
    /// How the assistant asks for it.
    #[serde(default)]
    pub ask: String,
}

/// A set of fields asked together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntakeForm {
    /// Its key.
    pub id: String,
    /// Its heading.
    #[serde(default)]
    pub title: String,
    /// What is said before the first question.
    #[serde(default)]
    pub intro: String,
    /// Names of lead fields or `fields`, in the order asked.
    pub fields: Vec<String>,
    /// The urgency of a conversation that fills it.
    pub urgency: Urgency,
    /// Whether people are alerted once it is complete.
    #[serde(default)]
    pub auto_alert: bool,
    /// How: `email`, `sms`.
    #[serde(default)]
    pub alert: Vec<AlertChannel>,
    /// Escalation rule or intent ids that start it.
    #[serde(default)]
    pub triggers: Vec<String>,
    /// What is said once it is complete; `{field}` is filled in.
    #[serde(default)]
    pub confirmation: String,
}

/// How people of the business are alerted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertChannel {
    /// A text message.
    Sms,
    /// An e-mail.
    Email,
}

/// How free text becomes an intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// Its key.
    pub id: String,
    /// What a lead with it wants.
    pub lead_intent: LeadIntent,
    /// Lower-case phrases, matched on word boundaries.
    pub phrases: Vec<String>,
    /// The form it starts.
    #[serde(default)]
    pub form: Option<String>,
}

/// What sets an escalation rule off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Trigger {
    /// One of these words or phrases.
    Keywords {
        /// Lower-case phrases.
        any: Vec<String>,
    },
    /// The visitor's mood.
    Sentiment {
        /// `frustrated` or `distressed`.
        value: String,
        /// Lower-case phrases that show it besides the built-in ones.
        #[serde(default)]
        phrases: Vec<String>,
    },
    /// What the visitor is after.
    Intent {
        /// Its name.
        value: String,
        /// Lower-case phrases.
        phrases: Vec<String>,
    },
    /// "Let me talk to a person".
    HumanRequest {},
    /// A number in a field is above a threshold of the agent (`vertical_config`).
    FieldAbove {
        /// The field.
        field: String,
        /// The key in `vertical_config`.
        threshold_from: String,
    },
    /// A day or time in a field, or talked of beside one of `phrases`, lies within so many hours (from `vertical_config`).
    WithinHours {
        /// The field that holds the day or time.
        #[serde(default)]
        field: Option<String>,
        /// Lower-case phrases.
        #[serde(default)]
        phrases: Vec<String>,
        /// The key in `vertical_config`.
        hours_from: String,
    },
}

/// When a person is needed and what happens then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EscalationRule {
    /// Its key.
    pub id: String,
    /// What sets it off.
    pub trigger: Trigger,
    /// What happens.
    pub action: EscalationAction,
    /// Whom it alerts, by channel.
    #[serde(default)]
    pub notify: Vec<AlertChannel>,
    /// The urgency it gives the conversation.
    #[serde(default)]
    pub urgency: Option<Urgency>,
    /// The first sentence of the answer.
    #[serde(default)]
    pub reply: String,
    /// What to do until help comes.
    #[serde(default)]
    pub safety_advice: Vec<SafetyAdvice>,
}

/// Advice given when one of its words is in the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SafetyAdvice {
    /// Lower-case words.
    #[serde(rename = "match")]
    pub matches: Vec<String>,
    /// The advice.
    pub text: String,
}

/// Who gets a lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutingRule {
    /// When it applies; always without one.
    #[serde(default)]
    pub condition: Option<RoutingCondition>,
    /// Where the lead goes.
    pub route_to: RouteTo,
}

/// When a routing rule applies: every part that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoutingCondition {
    /// It always applies; said in full so that an empty condition is a mistake.
    pub always: bool,
    /// The lead has this urgency.
    pub urgency: Option<Urgency>,
    /// The field looked at by `equals` and `contains`.
    pub field: Option<String>,
    /// It equals this, ignoring case.
    pub equals: Option<String>,
    /// It contains this, ignoring case.
    pub contains: Option<String>,
}

/// Where a lead goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteTo {
    /// One person, by user id or e-mail address.
    pub user: Option<String>,
    /// A named group of the organization's settings (`routing_teams`), in turn.
    pub team: Option<String>,
    /// `round_robin` over all who take leads.
    pub strategy: Option<String>,
}

/// What must be said and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComplianceNotice {
    /// Such as `hipaa`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The notice.
    pub text: String,
    /// `first_message`, `form` or `always_available`.
    pub when: NoticeWhen,
}

/// When a notice is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeWhen {
    /// With the first answer.
    FirstMessage,
    /// Before a form asks for data.
    Form,
    /// On request and in the prompt.
    AlwaysAvailable,
}

/// A question with its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleFaq {
    /// The question.
    pub q: String,
    /// The answer; variables in double braces.
    pub a: String,
    /// A heading to group by.
    #[serde(default)]
    pub category: String,
}

fn yes() -> bool {
    true
}
