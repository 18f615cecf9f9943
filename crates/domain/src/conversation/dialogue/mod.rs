//! The deterministic dialogue: reads a visitor's words, holds forms and escalation flows, and composes what to say. Pure functions over values.
//!
//! [`understand()`] turns words into [`Facts`] (to be journaled) and a [`Plan`] (what the answer must contain); [`compose()`] renders the plan with
//! what was found in the knowledge. A model, where there is one, gets the same plan as notes in its prompt.

mod alert;
mod area;
pub mod booking;
mod choices;
mod compose;
pub mod errand;
mod extract;
mod form;
mod hours;
mod lines;
mod mood;
mod names;
mod need;
mod phrases;
mod rules;
mod settle;
pub mod several;
mod streets;
mod understand;
mod when;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use alert::form_alerts;
pub(super) use alert::tool_alerts;
pub use compose::{Composed, compose, fallback_line, wrap};
pub use extract::check_value;
pub use form::{CONTACT_FORM, confirmation, contact, field_of, form_of, known_fields, lead_form, validate};
pub use mood::{Mood, names_tools_or_overrides};
pub(super) use need::add as add_need;
pub use understand::understand;
pub use when::{When, find_when};

use super::confidential::Confidential;
use super::errand::{Errand, Wish};
use super::state::{Contact, HistoryLine, Visitor};
use crate::{
    agent::config::{AgentConfig, BusinessHours},
    catalog::{
        scoring::Scoring,
        template::{AlertChannel, Field},
    },
    contact_guard::said::Contacting,
    ids::{AgentId, ConversationId, MessageId, TurnId},
    local_time,
    vocabulary::{Channel, ConversationStatus, EscalationAction, LeadIntent, Urgency},
};

/// Everything outside the conversation that the dialogue depends on.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The agent's configuration with its variables filled in (`agent::make::rendered`).
    pub config: &'a AgentConfig,
    /// What of it must not be quoted.
    pub confidential: &'a Confidential,
    /// How leads are scored.
    pub scoring: &'a Scoring,
    /// When the business is open; empty: nothing known, counts as open.
    pub hours: &'a BusinessHours,
    /// The business's IANA zone.
    pub timezone: &'a str,
    /// The wall clock, Unix milliseconds.
    pub now_ms: i64,
}

impl Setting<'_> {
    /// Whether the agent only takes messages now, because the business is closed (CHAT-11).
    pub fn closed(&self) -> bool {
        self.config.business_hours_only
            && !local_time::is_open(self.hours, &local_time::zone_or_utc(self.timezone), self.now_ms)
    }
}

/// What one turn is answered from: the conversation as its answer needs it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Brief {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The agent.
    pub agent_id: AgentId,
    /// The turn to answer.
    pub turn: TurnId,
    /// Its attempt.
    pub attempt: u32,
    /// The answer's message id, for streamed tokens.
    pub answer_id: MessageId,
    /// Which version of the agent's configuration the turn was posted under.
    pub config_version: u64,
    /// Where the visitor writes or speaks.
    pub channel: BriefChannel,
    /// A fork: nobody outside may be told anything.
    pub sandbox: bool,
    /// The visitor's words that nobody has understood yet.
    pub text: String,
    /// All words that the answer must cover.
    pub question: String,
    /// The same, message by message.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub posts: Vec<String>,
    /// A message that nobody has understood yet was files without words: no words are to be taken from it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_files: bool,
    /// The messages before, oldest first, at most ten (CHAT-5).
    pub history: Vec<HistoryLine>,
    /// How far forms, offers and rules are.
    pub dialogue: Dialogue,
    /// Who the visitor is.
    pub visitor: Visitor,
    /// What colleagues whispered and no answer has used.
    pub whispers: Vec<String>,
    /// The ids of those whispers, to be named in the answer.
    pub whisper_ids: Vec<MessageId>,
    /// Where the conversation stands.
    pub escalated: bool,
    /// No answer has been given yet.
    pub first_answer: bool,
    /// Whether the visitor gets the form itself instead of one question after another.
    pub prefers_form: bool,
    /// What an earlier attempt has understood and journaled: used again instead of understanding twice.
    pub understood: Option<Box<Understanding>>,
    /// What a turn that was replaced before its answer still owes the visitor.
    pub carried: Option<Box<Plan>>,
    /// A fork's own configuration, used instead of the agent's.
    pub config_override: Option<Box<AgentConfig>>,
}

impl Brief {
    /// What the answer must cover, message by message.
    pub fn messages(&self) -> Vec<String> {
        if self.posts.is_empty() { vec![self.question.clone()] } else { self.posts.clone() }
    }
}

/// A channel with chat as its default, for [`Brief`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BriefChannel(pub Channel);

impl Default for BriefChannel {
    fn default() -> Self {
        Self(Channel::Chat)
    }
}

/// How far the dialogue is: kept in the conversation's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dialogue {
    /// The form being held.
    pub form: Option<FormProgress>,
    /// Everything captured, by field.
    pub values: BTreeMap<String, String>,
    /// Forms that were completed.
    pub completed: BTreeSet<String>,
    /// Forms the visitor did not want to go on with.
    pub cancelled: BTreeSet<String>,
    /// Escalation rules that have fired.
    pub fired: BTreeSet<String>,
    /// Notices that were given.
    pub notices: BTreeSet<String>,
    /// What was offered with the last answer.
    pub offer: Option<Offer>,
    /// What the visitor is after.
    pub intent: Option<LeadIntent>,
    /// What the visitor said they need, in their own words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub need: String,
    /// Signals for the lead's score.
    pub signals: BTreeSet<String>,
    /// Whether the visitor was told that the business is closed.
    pub told_closed: bool,
    /// The form that a person of the business interrupted: it is offered once, not gone on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// Whether the last answer was the fallback, which invites the visitor to leave a name and number.
    pub invited: bool,
    /// The visitor does not want to be contacted any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_contact: bool,
    /// What the call that goes on was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errand: Option<Box<Errand>>,
    /// How far an appointment is from being made, moved or given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub booking: Option<Box<booking::Booking>>,
    /// Appointments that the conversation led to, the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub agreed: Vec<booking::Agreed>,
}

/// Where a form stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FormProgress {
    /// Which form.
    pub form: String,
    /// The field asked for last.
    pub asked: Option<String>,
    /// Answers to that question that did not fit.
    pub tries: u8,
    /// Whether the question was already repeated after the visitor asked something else.
    pub reminded: bool,
    /// Fields passed over: optional ones the visitor skipped, and those asked in vain.
    pub skipped: BTreeSet<String>,
}

/// Something offered that "yes" accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Offer {
    /// A person.
    Person,
    /// A form.
    Form {
        /// Which.
        form: String,
    },
}

/// What happened to the form in a turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "to", rename_all = "snake_case")]
pub enum FormMove {
    /// Nothing.
    #[default]
    Same,
    /// It began, or another field is asked.
    Going {
        /// Where it stands now.
        progress: FormProgress,
    },
    /// It ended.
    Done {
        /// Which.
        form: String,
        /// Whether every required field has its value.
        complete: bool,
    },
    /// The visitor broke it off.
    Cancelled {
        /// Which.
        form: String,
    },
}

/// What a turn's words mean for the conversation: journaled before or with the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Captured values by field, in their kept form.
    pub values: BTreeMap<String, String>,
    /// Those of them that say how to reach the visitor.
    pub contact: Contact,
    /// The form.
    pub form: FormMove,
    /// What the visitor is after.
    pub intent: Option<LeadIntent>,
    /// What they say they need, in their own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub need: Option<String>,
    /// Signals for the lead's score.
    pub signals: BTreeSet<String>,
    /// Rules that fired.
    pub escalations: Vec<Escalation>,
    /// Alerts to send.
    pub alerts: Vec<AlertDraft>,
    /// The least urgency from now on.
    pub urgency: Option<Urgency>,
    /// Kinds of notices that this answer gives.
    pub notices: BTreeSet<String>,
    /// What this answer offers; an offer not taken up is gone.
    pub offer: Option<Offer>,
    /// This answer says that the business is closed.
    pub told_closed: bool,
    /// The conversation has come to its end.
    pub ended: bool,
    /// What somebody who is called says to that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wish: Option<Wish>,
    /// What the visitor says of being contacted at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contacting: Option<Contacting>,
    /// What becomes of the appointment being made.
    #[serde(skip_serializing_if = "is_same")]
    pub booking: booking::Move,
}

/// Most turns book nothing.
fn is_same(booking: &booking::Move) -> bool {
    *booking == booking::Move::Same
}

impl Facts {
    /// Whether these facts must be journaled before the answer is looked for: somebody is alerted, a value was given that must not be lost, somebody
    /// said that they will not be called, or a slot was taken.
    pub fn must_not_wait(&self) -> bool {
        !self.escalations.is_empty()
            || !self.alerts.is_empty()
            || !self.values.is_empty()
            || self.wish.is_some()
            || self.contacting.is_some()
            || self.books()
    }

    /// Whether a calendar had the word in this turn.
    pub fn books(&self) -> bool {
        !is_same(&self.booking)
    }
}

/// An escalation rule that fired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    /// Which rule; `human_request` and `frustration` exist without one.
    pub rule: String,
    /// What it does.
    pub action: EscalationAction,
    /// The urgency it gives.
    pub urgency: Option<Urgency>,
    /// Why, in words for the owner.
    pub reason: String,
    /// Who was called, an address or number.
    pub to: Option<String>,
}

/// An alert to people of the business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertDraft {
    /// How it goes.
    pub channel: AlertChannel,
    /// To which address or number.
    pub to: String,
    /// Subject line; unused by SMS.
    pub subject: String,
    /// Plain text.
    pub body: String,
    /// The rule or form it is about.
    pub about: String,
}

/// What the answer must contain besides an answer to the question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// First sentences: what was heard and is being done.
    pub acknowledge: Vec<String>,
    /// That people were alerted.
    pub alerted: Option<String>,
    /// What to do until help comes.
    pub advice: Vec<String>,
    /// Replies of rules that never replace an answer: said only when the knowledge has none.
    pub soft: Vec<String>,
    /// What happens only if the knowledge has no answer: the team is told of a question that nobody answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unless_answered: Option<Box<Facts>>,
    /// The offer of a person, said besides any answer.
    pub offer: Option<String>,
    /// That the business is closed.
    pub closed: Option<String>,
    /// What is wrong with a value, or good to know about it.
    pub remarks: Vec<String>,
    /// What is said when a form is complete.
    pub confirmation: Option<String>,
    /// What is said when a form begins.
    pub intro: Option<String>,
    /// Notices to give.
    pub notices: Vec<String>,
    /// What to ask, at most two things at once.
    pub asks: Vec<Ask>,
    /// What answers the message without knowledge or a model: whether the business is open on a day, that an addition was noted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direct: Option<String>,
    /// Small talk that answers the message by itself.
    pub small_talk: Option<String>,
    /// Whether an answer should be looked for in the knowledge.
    pub wants_knowledge: bool,
    /// Whether the dialogue itself takes care of what was asked, such as by a form that began.
    pub handled: bool,
    /// Whether advice comes before everything that is asked, as in an emergency.
    pub emergency: bool,
    /// Buttons or a form to show.
    pub prompt: Option<Prompt>,
}

/// One question of a form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The field.
    pub field: String,
    /// The question.
    pub text: String,
}

/// What is shown beside an answer (contract: `prompt`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Prompt {
    /// A form to fill in.
    LeadForm {
        /// The intake form's id, or `contact`.
        form: String,
        /// Its heading.
        title: String,
        /// Its fields.
        fields: Vec<Field>,
        /// Values already known.
        values: BTreeMap<String, String>,
        /// Notices to show with it.
        notices: Vec<String>,
    },
    /// Buttons.
    QuickReplies {
        /// What they say.
        options: Vec<String>,
        /// The field they answer.
        field: Option<String>,
    },
    /// Free slots to choose from.
    Slots {
        /// What the buttons say.
        options: Vec<String>,
        /// The same with their times.
        slots: Vec<booking::SlotChoice>,
    },
}

/// What a turn's words mean.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Understanding {
    /// What is journaled.
    pub facts: Facts,
    /// What the answer must contain.
    pub plan: Plan,
    /// The intent's id.
    pub intent: Option<String>,
    /// What the words sound like.
    pub mood: Mood,
}

/// Where a conversation stands, for readers that only need to know whether it goes on.
pub fn goes_on(status: ConversationStatus) -> bool {
    match status {
        ConversationStatus::Active | ConversationStatus::Escalated => true,
        ConversationStatus::Resolved | ConversationStatus::Abandoned => false,
    }
}
