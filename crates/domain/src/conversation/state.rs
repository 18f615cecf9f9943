//! What a conversation remembers: its messages, turns, floor, dialogue, alerts and traces.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    attachment::Attachment,
    delivery::{Delivery, Line},
    dialogue::{Dialogue, Plan, Prompt, Understanding},
    retrieved::SourceRef,
    spoken::{CallLink, Rewind},
    trace::Trace,
};
use crate::{
    agent::config::AgentConfig,
    catalog::template::AlertChannel,
    ids::{AgentId, CallId, ConversationId, LeadId, MessageId, TenantId, TurnId, UserId, VisitorId},
    lead,
    lines::Provider,
    vocabulary::{Channel, ConversationStatus, EscalationAction, MessageRole, Urgency},
};

/// Messages of one conversation, whatever the agent's own cap: a state that stays below a few megabytes.
pub const MESSAGES_MAX: usize = 2_000;
/// Lines of history that an answer may use (CHAT-5).
pub const HISTORY_LINES: usize = 10;
/// Silence after which a conversation is over (CHAT-18).
pub const IDLE_AFTER_MS: i64 = 30 * 60 * 1000;
/// How long one attempt at an answer may take.
pub const TURN_DEADLINE_MS: i64 = 60 * 1000;
/// Corrected addresses and numbers that are remembered: more than anybody mistypes, few enough for a row.
pub const FORMER_MAX: usize = 50;
/// Attempts that may fail or time out before the visitor gets the fallback message.
pub const TURN_FAILURES_MAX: u32 = 2;
/// Crashes in the middle of one turn before the visitor gets the fallback message: more are no coincidence.
pub const TURN_RECOVERIES_MAX: u32 = 5;
/// Characters of one message that are kept; the gateway refuses longer ones first.
pub const MESSAGE_CHARS_MAX: usize = 8_000;
/// Characters of one answer; a model's token limit is far below.
pub const ANSWER_CHARS_MAX: usize = 16_000;
/// Characters of a whisper.
pub const WHISPER_CHARS_MAX: usize = 2_000;
/// Whispers waiting for the next answer; more would drown the prompt.
pub const WHISPERS_MAX: usize = 20;
/// Alerts of one conversation, so that no dialogue can flood a phone.
pub const ALERTS_MAX: usize = 40;
/// Attempts to deliver one alert.
pub const ALERT_ATTEMPTS_MAX: u32 = 5;
/// Wait before the second attempt; each further one waits twice as long.
pub const ALERT_RETRY_MS: i64 = 30 * 1000;
/// Client ids remembered for repeats; each message has at most one.
pub const SEEN_MAX: usize = MESSAGES_MAX * 2;

/// The folded state. One that was never started has an empty id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Its id; empty before the first message.
    pub id: ConversationId,
    /// The tenant.
    pub tenant: TenantId,
    /// The agent.
    pub agent_id: AgentId,
    /// Who writes or calls.
    pub visitor: Visitor,
    /// The first channel.
    pub channel: Channel,
    /// All channels so far.
    pub channels: BTreeSet<Channel>,
    /// Where it stands.
    pub status: ConversationStatus,
    /// How pressing it is.
    pub urgency: Urgency,
    /// A fork: nobody outside is ever told anything.
    pub sandbox: bool,
    /// Of a fork: the conversation that it was taken from, which keeps the files of its messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<ConversationId>,
    /// When it began, Unix milliseconds.
    pub started_at_ms: i64,
    /// When it last changed.
    pub updated_at_ms: i64,
    /// When it ended.
    pub ended_at_ms: Option<i64>,
    /// Set once no further message is taken.
    pub closed: Option<CloseReason>,
    /// Who may speak for the business.
    pub floor: Floor,
    /// All messages, oldest first.
    pub messages: Vec<Message>,
    /// Messages of visitor, assistant and people.
    pub message_count: u32,
    /// Messages of the visitor.
    pub visitor_messages: u32,
    /// All turns, oldest first.
    pub turns: Vec<Turn>,
    /// The turn being answered.
    pub open: Option<OpenTurn>,
    /// Client ids that were carried out.
    pub seen: BTreeMap<String, Seen>,
    /// How far forms, offers and rules are.
    pub dialogue: Dialogue,
    /// The lead it became.
    pub lead: Option<LeadLink>,
    /// Every escalation, oldest first.
    pub escalations: Vec<EscalationRecord>,
    /// A person has written or taken over since the last escalation.
    pub escalation_handled: bool,
    /// Alerts by id.
    pub alerts: BTreeMap<String, Alert>,
    /// 1 to 5.
    pub rating: Option<u8>,
    /// What the visitor wrote with the rating.
    pub rating_feedback: Option<String>,
    /// When it was rated last.
    pub rated_at_ms: Option<i64>,
    /// Who works on it.
    pub assigned_to: Option<UserId>,
    /// How far each person has read.
    pub read: BTreeMap<UserId, u64>,
    /// Questions that got the fallback answer.
    pub unanswered: Vec<Unanswered>,
    /// The terms of the last post.
    pub terms: Terms,
    /// A fork's own configuration, tried instead of the agent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_override: Option<Box<AgentConfig>>,
    /// From the first message to the first answer, milliseconds (CHAT-16).
    pub first_response_ms: Option<i64>,
    /// From the beginning to the end, seconds (CHAT-16).
    pub resolution_s: Option<i64>,
    /// How to reach the visitor, from what was said.
    pub contact: Contact,
    /// Addresses and numbers that were corrected since, oldest first: whoever asks to be forgotten may name one of these.
    pub former: Vec<Contact>,
    /// Where the person is reached over carriers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lines: BTreeMap<Channel, Line>,
    /// What became of messages that leave over carriers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub deliveries: BTreeMap<MessageId, Delivery>,
    /// Messages whose sending is not finished, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outgoing: Vec<MessageId>,
    /// The code that lets the visitor go on over another channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<JoinCode>,
    /// The visitor it began with, since a person whom the organization's server vouches for goes on in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_from: Option<VisitorId>,
    /// Other conversations that claim the same person, or were merged into this one.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub links: BTreeSet<ConversationId>,
    /// The conversation that people merged this one into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<ConversationId>,
    /// Calls that belong to it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallLink>,
    /// How the dialogue stood before a caller's newest words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewind: Option<Box<Rewind>>,
    /// The last thing a visitor or person did.
    pub active_at_ms: i64,
    /// The sequence number of the last event.
    pub seq: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            id: ConversationId::default(),
            tenant: TenantId::default(),
            agent_id: AgentId::default(),
            visitor: Visitor::default(),
            channel: Channel::Chat,
            channels: BTreeSet::new(),
            status: ConversationStatus::Active,
            urgency: Urgency::Normal,
            sandbox: false,
            forked_from: None,
            started_at_ms: 0,
            updated_at_ms: 0,
            ended_at_ms: None,
            closed: None,
            floor: Floor::Assistant,
            messages: Vec::new(),
            message_count: 0,
            visitor_messages: 0,
            turns: Vec::new(),
            open: None,
            seen: BTreeMap::new(),
            dialogue: Dialogue::default(),
            lead: None,
            escalations: Vec::new(),
            escalation_handled: false,
            alerts: BTreeMap::new(),
            rating: None,
            rating_feedback: None,
            rated_at_ms: None,
            assigned_to: None,
            read: BTreeMap::new(),
            unanswered: Vec::new(),
            terms: Terms::default(),
            config_override: None,
            first_response_ms: None,
            resolution_s: None,
            contact: Contact::default(),
            former: Vec::new(),
            lines: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            outgoing: Vec::new(),
            join: None,
            claimed_from: None,
            links: BTreeSet::new(),
            merged_into: None,
            calls: Vec::new(),
            rewind: None,
            active_at_ms: 0,
            seq: 0,
        }
    }
}

/// Who writes or calls (CHAT-2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Visitor {
    /// The browser's own id.
    pub id: VisitorId,
    /// Somebody of the organization who tries the agent: no visitor, and counted as none.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub trial: bool,
    /// Name, if known.
    pub name: Option<String>,
    /// E-mail address, if known.
    pub email: Option<String>,
    /// Phone number, if known.
    pub phone: Option<String>,
    /// The customer's own id of a signed-in visitor.
    pub external_id: Option<String>,
    /// Address the first message came from.
    pub ip: Option<String>,
    /// City, if known.
    pub city: Option<String>,
    /// Region, if known.
    pub region: Option<String>,
    /// Country, if known.
    pub country: Option<String>,
    /// The page it began on.
    pub page_url: Option<String>,
    /// Where the visitor came from.
    pub referrer: Option<String>,
    /// BCP 47.
    pub locale: Option<String>,
    /// The browser.
    pub user_agent: Option<String>,
    /// Conversations with this agent including this one, 0 if not counted.
    pub visits: u32,
}

/// Who may speak for the business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "holder", rename_all = "snake_case")]
pub enum Floor {
    /// The agent answers.
    Assistant,
    /// A person does, and the agent is silent.
    Person {
        /// Who.
        user: UserId,
        /// The name visitors see.
        name: String,
    },
}

/// Why no further message is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// The agent's message cap is reached (CHAT-8).
    MessageCap,
    /// The visitor ended it.
    Visitor,
    /// People merged it into another one.
    Merged,
}

/// Where a message stands that left over a carrier, in the order in which it gets there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageStatus {
    /// It waits for its turn.
    Queued,
    /// It is on its way to the provider.
    Sending,
    /// The provider has it.
    Sent,
    /// It did not arrive. Carriers say so after "sent"; a telephone that has it has it all the same.
    Failed,
    /// The telephone has it.
    Delivered,
    /// It was read.
    Read,
}

/// A code that lets a visitor go on over another channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinCode {
    /// The code.
    pub code: String,
    /// How long it is good, Unix milliseconds.
    pub until_ms: i64,
}

/// A line of history for a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryLine {
    /// Who.
    pub role: MessageRole,
    /// What.
    pub text: String,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// The sequence number of its event.
    pub seq: u64,
    /// Who wrote it.
    pub role: MessageRole,
    /// Whether only colleagues and the assistant may see it.
    pub whisper: bool,
    /// The person, for messages of people.
    pub author: Option<Author>,
    /// How it came or went.
    pub channel: Channel,
    /// What it says.
    pub content: String,
    /// What the answer is from.
    pub sources: Vec<SourceRef>,
    /// How sure the answer is, 0 to 1.
    pub confidence: Option<f64>,
    /// Buttons or a form shown with it.
    pub prompt: Option<Prompt>,
    /// The turn it belongs to.
    pub turn: Option<TurnId>,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// The visitor's thumb.
    pub thumbs_up: Option<bool>,
    /// What the visitor wrote with it.
    pub feedback: Option<String>,
    /// Tokens it took.
    pub tokens: Option<u64>,
    /// From question to answer, milliseconds.
    pub latency_ms: Option<i64>,
    /// A whisper that an answer has used.
    pub used: bool,
    /// Whether it says that nothing was known.
    pub fallback: bool,
    /// Addresses of what was attached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<String>,
    /// Files that a person sent with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Attachment>,
    /// The call it was said in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// What of it was made and never heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unheard: Option<String>,
    /// Said after the beep, to nobody: written down from its recording.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub voicemail: bool,
    /// Typed in a call, not spoken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub typed: bool,
}

/// A person who wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// Who.
    pub id: UserId,
    /// The name visitors see.
    pub name: String,
}

/// One question and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Its id.
    pub id: TurnId,
    /// What became of it.
    pub outcome: TurnOutcome,
    /// How its answer came about.
    pub trace: Option<Trace>,
}

/// What became of a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum TurnOutcome {
    /// It is being answered.
    Open,
    /// It was answered.
    Answered {
        /// By this message.
        message_id: MessageId,
    },
    /// A newer message of the visitor came first; that turn's answer covers both.
    Superseded {
        /// The newer turn.
        by: TurnId,
    },
    /// A person spoke instead, or the conversation ended.
    Silenced,
}

/// The turn being answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OpenTurn {
    /// Its id.
    pub id: TurnId,
    /// The id its answer will have.
    pub answer_id: MessageId,
    /// Results of other attempts are refused.
    pub attempt: u32,
    /// Attempts that failed or timed out.
    pub failures: u32,
    /// Attempts that a crash or move ended.
    pub recoveries: u32,
    /// When the oldest of its messages came.
    pub asked_at_ms: i64,
    /// When this attempt is given up.
    pub deadline_ms: i64,
    /// The visitor's messages its answer covers.
    pub posts: Vec<MessageId>,
    /// How many of them were understood under an earlier turn.
    pub understood_posts: usize,
    /// What its words mean, once journaled.
    pub understood: Option<Box<Understanding>>,
    /// What a replaced turn still owes the visitor.
    pub carried: Option<Box<Plan>>,
}

/// What of the agent's configuration a post is taken under.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// The configuration's version.
    pub config_version: u64,
    /// The message cap; 0: none but the hard one.
    pub max_messages: u32,
    /// What is said when nothing else can be.
    pub fallback_message: String,
    /// Whether escalation is on and somebody can be told.
    pub reachable: bool,
    /// Whether leads are collected.
    pub collect_leads: bool,
    /// Whether forms are shown instead of asked.
    pub prefers_form: bool,
    /// Who is told when the message cap hands the conversation to people.
    pub alert_email: Option<String>,
}

/// How to reach the visitor, whatever the agent calls its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Contact {
    /// Name.
    pub name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Phone number.
    pub phone: Option<String>,
}

impl Contact {
    /// Takes over what `newer` has.
    pub fn learn(&mut self, newer: &Self) {
        for (own, new) in
            [(&mut self.name, &newer.name), (&mut self.email, &newer.email), (&mut self.phone, &newer.phone)]
        {
            if new.is_some() {
                own.clone_from(new);
            }
        }
    }

    /// The address and number that `newer` puts another in the place of, if any.
    pub fn corrected_by(&self, newer: &Self) -> Option<Self> {
        let old = |own: &Option<String>, new: &Option<String>| own.clone().filter(|_| new.is_some() && own != new);
        let corrected =
            Self { name: None, email: old(&self.email, &newer.email), phone: old(&self.phone, &newer.phone) };
        corrected.reachable().then_some(corrected)
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the visitor can be reached.
    pub fn reachable(&self) -> bool {
        self.email.is_some() || self.phone.is_some()
    }
}

/// A client id that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The sequence number it led to.
    pub seq: u64,
    /// The message or lead it made.
    pub id: String,
    /// The turn it opened.
    pub turn: Option<TurnId>,
}

/// The lead that a conversation became (CHAT-23).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeadLink {
    /// Which lead.
    pub id: LeadId,
    /// When.
    pub captured_at_ms: i64,
    /// What the lead was told last.
    pub told: lead::Capture,
}

/// One escalation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EscalationRecord {
    /// Which rule.
    pub rule: String,
    /// What it did.
    pub action: EscalationAction,
    /// Why.
    pub reason: String,
    /// Who was called.
    pub to: Option<String>,
    /// When.
    pub at_ms: i64,
}

/// An alert to people of the business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Its id, also the provider's idempotency key.
    pub id: String,
    /// How it goes.
    pub channel: AlertChannel,
    /// To which address or number.
    pub to: String,
    /// Subject line.
    pub subject: String,
    /// Plain text.
    pub body: String,
    /// The rule or form it is about.
    pub about: String,
    /// Where it stands.
    pub status: AlertStatus,
    /// Counts from 1.
    pub attempt: u32,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// Where the last attempt as a text message leaves from; none where it is only recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<AlertLine>,
    /// When that attempt began, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempted_ms: Option<i64>,
}

/// The number of the organization that a text message to its own people leaves from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertLine {
    /// Who carries it.
    pub provider: Provider,
    /// The number, E.164.
    pub from: String,
}

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AlertStatus {
    /// To be sent.
    Queued,
    /// An attempt was journaled and is on its way; its outcome is looked up, never guessed.
    Attempted,
    /// Waits for its next attempt.
    Waiting {
        /// When, Unix milliseconds.
        until_ms: i64,
    },
    /// Delivered to the provider.
    Sent,
    /// Written into the development mailbox, and so to nobody: nothing that sends text messages is connected.
    Recorded,
    /// Given up.
    Failed,
}

impl AlertStatus {
    /// A stable word for records and the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Attempted => "attempted",
            Self::Waiting { .. } => "waiting",
            Self::Sent => "sent",
            Self::Recorded => "recorded",
            Self::Failed => "failed",
        }
    }
}

/// A question nobody could answer from the knowledge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unanswered {
    /// The question.
    pub question: String,
    /// When.
    pub at_ms: i64,
}

impl State {
    /// Whether a first message has come.
    pub fn exists(&self) -> bool {
        !self.id.0.is_empty()
    }

    /// Whether nobody is told of it and nothing is counted: a fork, the demonstration, or somebody of the organization who tries the agent.
    pub fn is_tried(&self) -> bool {
        self.sandbox || self.visitor.trial
    }

    /// A message by id.
    pub fn message(&self, id: &MessageId) -> Option<&Message> {
        self.messages.iter().find(|message| message.id == *id)
    }

    /// A turn by id.
    pub fn turn(&self, id: &TurnId) -> Option<&Turn> {
        self.turns.iter().rev().find(|turn| turn.id == *id)
    }

    /// Whether it still goes on.
    pub fn goes_on(&self) -> bool {
        self.closed.is_none() && super::dialogue::goes_on(self.status)
    }

    /// Messages that visitors see, oldest first.
    pub fn visible(&self) -> impl Iterator<Item = &Message> {
        let seen = |message: &&Message| !message.whisper && message.role != MessageRole::System;
        self.messages.iter().filter(seen).filter(|message| !super::spoken::never_heard(message))
    }
}
