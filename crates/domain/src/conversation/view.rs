//! What others see of a conversation, with the names of the public contract. Visitors never see whispers, people's ids or other internals.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    State,
    attachment::{self, Attachment, FileView},
    command::Outcome,
    dialogue::Prompt,
    retrieved::SourceRef,
    spoken,
    state::{Floor, Message, Turn, TurnOutcome},
    trace::{RetrievedRef, Stages, Tokens},
    turn::calls_a_person,
};
use crate::{
    ids::{AgentId, CallId, ConversationId, LeadId, MessageId, TurnId, UserId, VisitorId},
    local_time::rfc3339,
    text,
    vocabulary::{Channel, ConversationStatus, MessageRole, Urgency},
};

/// Characters of the last message in a list.
const PREVIEW_CHARS_MAX: usize = 140;

/// Messages of the visitor that a list can tell apart as read and unread: a badge shows no higher number.
pub const UNREAD_MAX: usize = 99;

/// A place on earth, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// City.
    pub city: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Country.
    pub country: Option<String>,
}

/// What the visitor's browser told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisitorMetadata {
    /// The browser.
    pub user_agent: Option<String>,
    /// Where the visitor came from.
    pub referrer: Option<String>,
    /// The page it began on.
    pub page_url: Option<String>,
    /// BCP 47.
    pub locale: Option<String>,
}

/// A conversation as the console sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConversationView {
    /// Its id.
    pub id: ConversationId,
    /// The agent.
    pub agent_id: AgentId,
    /// The first channel.
    pub channel: Channel,
    /// All channels.
    pub channels: Vec<Channel>,
    /// Calls that belong to it.
    pub calls: Vec<String>,
    /// The contact, once there is one.
    pub contact_id: Option<String>,
    /// Where it stands.
    pub status: ConversationStatus,
    /// How pressing it is.
    pub urgency: Urgency,
    /// The browser's own id.
    pub visitor_id: VisitorId,
    /// Name, if known.
    pub visitor_name: Option<String>,
    /// E-mail address, if known.
    pub visitor_email: Option<String>,
    /// Phone number, if known.
    pub visitor_phone: Option<String>,
    /// The organization's own id of the person, where its server vouched for it (`identify`).
    #[serde(default)]
    pub visitor_external_id: Option<String>,
    /// The visitor said not to be contacted any more.
    pub no_contact: bool,
    /// Address the first message came from.
    pub visitor_ip: Option<String>,
    /// Where that is.
    pub visitor_location: Location,
    /// What the browser told.
    pub visitor_metadata: VisitorMetadata,
    /// Whether it became a lead.
    pub is_lead: bool,
    /// Which.
    pub lead_id: Option<LeadId>,
    /// When.
    pub lead_captured_at: Option<String>,
    /// Captured values by field.
    pub lead_fields: BTreeMap<String, String>,
    /// The same without name, phone and e-mail (CHAT-21).
    pub vertical_data: BTreeMap<String, String>,
    /// Whether a person was ever called.
    pub escalated: bool,
    /// When first.
    pub escalated_at: Option<String>,
    /// Whom.
    pub escalated_to: Option<String>,
    /// Why.
    pub escalation_reason: Option<String>,
    /// 1 to 5.
    pub satisfaction_rating: Option<u8>,
    /// In words.
    pub satisfaction_feedback: Option<String>,
    /// Messages of visitor, assistant and people.
    pub message_count: u32,
    /// Milliseconds to the first answer.
    pub first_response_time: Option<i64>,
    /// Seconds to the end.
    pub resolution_time: Option<i64>,
    /// Who works on it.
    pub assigned_to: Option<UserId>,
    /// Who may speak: `assistant` or a person.
    pub floor: Floor,
    /// Whether no further message is taken.
    pub closed: bool,
    /// A fork.
    pub sandbox: bool,
    /// Somebody of the organization tries the agent: nobody is told of it, and no figure counts it.
    #[serde(default)]
    pub trial: bool,
    /// When it began.
    pub started_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// The same as `started_at`.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
    /// The sequence number of its last event.
    pub seq: u64,
    /// Hash of the state at `seq`; filled in by whoever computes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_hash: Option<String>,
}

/// A conversation as its visitor sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisitorConversation {
    /// Its id.
    pub id: ConversationId,
    /// The agent.
    pub agent_id: AgentId,
    /// Where it stands.
    pub status: ConversationStatus,
    /// Whether no further message is taken.
    pub closed: bool,
    /// The name of the person who has the floor.
    pub person: Option<String>,
    /// 1 to 5.
    pub satisfaction_rating: Option<u8>,
    /// Beginning of the last message.
    pub last_message: String,
    /// When it began.
    pub started_at: String,
    /// When it last changed.
    pub updated_at: String,
    /// The sequence number of its last event.
    pub seq: u64,
}

/// Who wrote, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorView {
    /// The name.
    pub name: String,
    /// Who; only in the console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<UserId>,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageView {
    /// Its id.
    pub id: MessageId,
    /// Its place in the journal.
    pub seq: u64,
    /// Who wrote it.
    pub role: MessageRole,
    /// The person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<AuthorView>,
    /// How it came or went.
    pub channel: Channel,
    /// What it says.
    pub content: String,
    /// What the answer is from.
    pub sources: Vec<SourceRef>,
    /// How sure it is, 0 to 1.
    pub confidence: Option<f64>,
    /// Buttons or a form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Prompt>,
    /// Files.
    pub attachments: Vec<String>,
    /// Files that a person sent with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileView>,
    /// When.
    pub created_at: String,
    /// The visitor's thumb.
    pub thumbs_up: Option<bool>,
    /// Only in the console: the rest.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub internal: Option<MessageInternals>,
}

/// What only the console sees of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageInternals {
    /// Never shown to the visitor.
    pub whisper: bool,
    /// The turn it belongs to.
    pub turn: Option<TurnId>,
    /// What the visitor wrote with the thumb.
    pub feedback_text: Option<String>,
    /// Tokens it took.
    pub tokens_used: Option<u64>,
    /// From question to answer, milliseconds.
    pub latency_ms: Option<i64>,
    /// Whether it says that nothing was known.
    pub fallback: bool,
    /// The call it was said in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<CallId>,
    /// What of it was made and never heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unheard: Option<String>,
    /// Whether it was said after the beep and written down from its recording.
    #[serde(default)]
    pub voicemail: bool,
    /// Whether it was typed in a call: whoever types has read what was being said, and interrupts nobody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub typed: bool,
}

/// Money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Millionths of the unit.
    pub amount_micros: u64,
    /// ISO 4217.
    pub currency: String,
}

/// How an answer came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceView {
    /// The turn.
    pub turn: TurnId,
    /// What became of it.
    pub outcome: TurnOutcome,
    /// Milliseconds by stage.
    pub stages: Stages,
    /// What the search gave.
    pub retrieved: Vec<RetrievedRef>,
    /// The model, or `built-in`.
    pub model: String,
    /// Tokens.
    pub tokens: Tokens,
    /// What it cost.
    pub cost: Money,
    /// The configuration it used.
    pub config_version: u64,
    /// The index it used.
    pub index_version: u64,
    /// Which attempt succeeded.
    pub attempt: u32,
    /// The search's confidence.
    pub confidence: f64,
    /// Tool calls, carried out or ignored.
    pub tools: Vec<String>,
    /// What was taken out, and failures on the way.
    pub problems: Vec<String>,
}

/// A line of the console's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationRow {
    /// Its id.
    pub id: ConversationId,
    /// The agent.
    pub agent_id: AgentId,
    /// The first channel.
    pub channel: Channel,
    /// All channels.
    pub channels: Vec<Channel>,
    /// Where it stands.
    pub status: ConversationStatus,
    /// How pressing it is.
    pub urgency: Urgency,
    /// The browser's own id.
    pub visitor_id: VisitorId,
    /// Name, if known.
    pub visitor_name: Option<String>,
    /// E-mail address, if known.
    pub visitor_email: Option<String>,
    /// Phone number, if known.
    pub visitor_phone: Option<String>,
    /// Beginning of the last message.
    pub last_message: String,
    /// Who wrote it.
    pub last_role: Option<MessageRole>,
    /// Messages of visitor, assistant and people.
    pub message_count: u32,
    /// Whether it became a lead.
    pub is_lead: bool,
    /// Whether a person was ever called.
    pub escalated: bool,
    /// Why.
    pub escalation_reason: Option<String>,
    /// Who works on it.
    pub assigned_to: Option<UserId>,
    /// The name of the person who has the floor.
    pub person: Option<String>,
    /// 1 to 5.
    pub satisfaction_rating: Option<u8>,
    /// A fork.
    pub sandbox: bool,
    /// Somebody of the organization tries the agent.
    #[serde(default)]
    pub trial: bool,
    /// When it began.
    pub started_at: String,
    /// When it last changed.
    pub updated_at: String,
    /// The sequence number of its last event.
    pub seq: u64,
    /// The place of the newest message of anyone; 0 without one.
    #[serde(default)]
    pub last_seq: u64,
    /// The place of the visitor's newest message; 0 without one.
    #[serde(default)]
    pub last_visitor_seq: u64,
    /// The places of the visitor's newest messages, oldest first.
    #[serde(default)]
    pub visitor_seqs: Vec<u64>,
    /// The call that goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_call: Option<CallId>,
}

/// The answer of a turn (contract of `POST /api/chat`, without the token that the gateway adds).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatAnswer {
    /// What it says; empty while a person holds the floor.
    pub response: String,
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The answer's id.
    pub message_id: Option<MessageId>,
    /// Its place in the journal, else that of the visitor's message.
    pub seq: u64,
    /// What it is from.
    pub sources: Vec<SourceRef>,
    /// How sure it is, 0 to 1.
    pub confidence: Option<f64>,
    /// Where the conversation stands.
    pub status: ConversationStatus,
    /// How pressing it is.
    pub urgency: Urgency,
    /// Buttons or a form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Prompt>,
}

/// The conversation for the console.
pub fn conversation(state: &State) -> ConversationView {
    let first = state.escalations.iter().find(|escalation| calls_a_person(escalation.action));
    let visitor = &state.visitor;
    let or = |own: &Option<String>, known: &Option<String>| own.clone().or_else(|| known.clone());
    let contact = &state.contact;
    let reach = [&contact.name, &contact.email, &contact.phone];
    let vertical =
        state.dialogue.values.iter().filter(|(_, value)| !reach.iter().any(|own| own.as_ref() == Some(value)));
    ConversationView {
        id: state.id.clone(),
        agent_id: state.agent_id.clone(),
        channel: state.channel,
        channels: state.channels.iter().copied().collect(),
        calls: state.calls.iter().map(|call| call.id.0.clone()).collect(),
        contact_id: None,
        status: state.status,
        urgency: state.urgency,
        visitor_id: visitor.id.clone(),
        visitor_name: or(&contact.name, &visitor.name),
        visitor_email: or(&contact.email, &visitor.email),
        visitor_phone: or(&contact.phone, &visitor.phone),
        visitor_external_id: visitor.external_id.clone(),
        no_contact: state.dialogue.no_contact,
        visitor_ip: visitor.ip.clone(),
        visitor_location: Location {
            city: visitor.city.clone(),
            region: visitor.region.clone(),
            country: visitor.country.clone(),
        },
        visitor_metadata: VisitorMetadata {
            user_agent: visitor.user_agent.clone(),
            referrer: visitor.referrer.clone(),
            page_url: visitor.page_url.clone(),
            locale: visitor.locale.clone(),
        },
        is_lead: state.lead.is_some(),
        lead_id: state.lead.as_ref().map(|lead| lead.id.clone()),
        lead_captured_at: state.lead.as_ref().map(|lead| rfc3339(lead.captured_at_ms)),
        lead_fields: state.dialogue.values.clone(),
        vertical_data: vertical.map(|(name, value)| (name.clone(), value.clone())).collect(),
        escalated: first.is_some(),
        escalated_at: first.map(|escalation| rfc3339(escalation.at_ms)),
        escalated_to: first.and_then(|escalation| escalation.to.clone()),
        escalation_reason: first.map(|escalation| escalation.reason.clone()),
        satisfaction_rating: state.rating,
        satisfaction_feedback: state.rating_feedback.clone(),
        message_count: state.message_count,
        first_response_time: state.first_response_ms,
        resolution_time: state.resolution_s,
        assigned_to: state.assigned_to.clone(),
        floor: state.floor.clone(),
        closed: state.closed.is_some(),
        sandbox: state.sandbox,
        trial: state.visitor.trial,
        started_at: rfc3339(state.started_at_ms),
        ended_at: state.ended_at_ms.map(rfc3339),
        created_at: rfc3339(state.started_at_ms),
        updated_at: rfc3339(state.updated_at_ms),
        seq: state.seq,
        state_hash: None,
    }
}

/// The conversation for its visitor.
pub fn visitor_conversation(state: &State) -> VisitorConversation {
    VisitorConversation {
        id: state.id.clone(),
        agent_id: state.agent_id.clone(),
        status: state.status,
        closed: state.closed.is_some(),
        person: holder(state),
        satisfaction_rating: state.rating,
        last_message: preview(state.visible().last()),
        started_at: rfc3339(state.started_at_ms),
        updated_at: rfc3339(state.updated_at_ms),
        seq: state.seq,
    }
}

/// A message for the console.
pub fn message(message: &Message) -> MessageView {
    let internal = MessageInternals {
        whisper: message.whisper,
        turn: message.turn.clone(),
        feedback_text: message.feedback.clone(),
        tokens_used: message.tokens,
        latency_ms: message.latency_ms,
        fallback: message.fallback,
        call_id: message.call.clone(),
        unheard: message.unheard.clone(),
        voicemail: message.voicemail,
        typed: message.typed,
    };
    MessageView { internal: Some(internal), ..shown(message, true) }
}

/// A message for the visitor; `None` for whispers and whatever else is internal.
pub fn visitor_message(message: &Message) -> Option<MessageView> {
    match message.role {
        MessageRole::System => None,
        MessageRole::User | MessageRole::Assistant | MessageRole::HumanAgent if message.whisper => None,
        // What nobody heard was not said.
        MessageRole::User | MessageRole::Assistant | MessageRole::HumanAgent if spoken::never_heard(message) => None,
        MessageRole::User | MessageRole::Assistant | MessageRole::HumanAgent => Some(shown(message, false)),
    }
}

/// How a turn was answered.
pub fn trace(turn: &Turn) -> Option<TraceView> {
    let trace = turn.trace.as_ref()?;
    Some(TraceView {
        turn: turn.id.clone(),
        outcome: turn.outcome.clone(),
        stages: trace.stages,
        retrieved: trace.retrieved.clone(),
        model: trace.model.clone(),
        tokens: trace.tokens,
        cost: Money { amount_micros: trace.cost_micros, currency: "USD".to_owned() },
        config_version: trace.config_version,
        index_version: trace.index_version,
        attempt: trace.attempt,
        confidence: trace.confidence,
        tools: trace.tools.clone(),
        problems: trace.problems.clone(),
    })
}

/// The line of the console's list; `None` before the first message.
pub fn list_row(state: &State) -> Option<ConversationRow> {
    if !state.exists() {
        return None;
    }
    let escalation = state.escalations.iter().find(|escalation| calls_a_person(escalation.action));
    let last = state.visible().last();
    let said = state.messages.iter().filter(|message| message.role == MessageRole::User).map(|message| message.seq);
    let mut visitor_seqs: Vec<u64> = said.rev().take(UNREAD_MAX).collect();
    visitor_seqs.reverse();
    Some(ConversationRow {
        id: state.id.clone(),
        agent_id: state.agent_id.clone(),
        channel: state.channel,
        channels: state.channels.iter().copied().collect(),
        status: state.status,
        urgency: state.urgency,
        visitor_id: state.visitor.id.clone(),
        visitor_name: state.contact.name.clone().or_else(|| state.visitor.name.clone()),
        visitor_email: state.contact.email.clone().or_else(|| state.visitor.email.clone()),
        visitor_phone: state.contact.phone.clone().or_else(|| state.visitor.phone.clone()),
        last_message: preview(last),
        last_role: last.map(|message| message.role),
        message_count: state.message_count,
        is_lead: state.lead.is_some(),
        escalated: escalation.is_some(),
        escalation_reason: escalation.map(|escalation| escalation.reason.clone()),
        assigned_to: state.assigned_to.clone(),
        person: holder(state),
        satisfaction_rating: state.rating,
        sandbox: state.sandbox,
        trial: state.visitor.trial,
        started_at: rfc3339(state.started_at_ms),
        updated_at: rfc3339(state.updated_at_ms),
        seq: state.seq,
        last_seq: state.messages.last().map_or(0, |message| message.seq),
        last_visitor_seq: visitor_seqs.last().copied().unwrap_or(0),
        visitor_seqs,
        on_call: spoken::going(state).map(|call| call.id.clone()),
    })
}

/// The answer of a turn; `posted_seq` is the place of the visitor's message, for turns that get none.
pub fn chat_answer(conversation_id: &ConversationId, outcome: &Outcome, posted_seq: u64) -> ChatAnswer {
    let answer = outcome.answer.as_ref();
    ChatAnswer {
        response: answer.map(|message| message.content.clone()).unwrap_or_default(),
        conversation_id: conversation_id.clone(),
        message_id: answer.map(|message| message.id.clone()),
        seq: answer.map_or(posted_seq, |message| message.seq),
        sources: answer.map(|message| message.sources.clone()).unwrap_or_default(),
        confidence: answer.and_then(|message| message.confidence),
        status: outcome.status,
        urgency: outcome.urgency,
        prompt: answer.and_then(|message| message.prompt.clone()),
    }
}

fn shown(message: &Message, console: bool) -> MessageView {
    MessageView {
        id: message.id.clone(),
        seq: message.seq,
        role: message.role,
        author: message
            .author
            .as_ref()
            .map(|author| AuthorView { name: author.name.clone(), id: console.then(|| author.id.clone()) }),
        channel: message.channel,
        content: message.content.clone(),
        sources: message.sources.clone(),
        confidence: message.confidence,
        prompt: message.prompt.clone(),
        attachments: message.attachments.clone(),
        files: message.files.iter().map(Attachment::view).collect(),
        created_at: rfc3339(message.at_ms),
        thumbs_up: message.thumbs_up,
        internal: None,
    }
}

fn holder(state: &State) -> Option<String> {
    match &state.floor {
        Floor::Assistant => None,
        Floor::Person { name, .. } => Some(name.clone()),
    }
}

fn preview(message: Option<&Message>) -> String {
    let words = |message: &Message| text::one_line(&attachment::in_words(&message.content, &message.files));
    message.map(|message| text::shorten(&words(message), PREVIEW_CHARS_MAX)).unwrap_or_default()
}
