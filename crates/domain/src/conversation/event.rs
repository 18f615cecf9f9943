//! What happens in a conversation: facts that need nothing but themselves to be folded.

use serde::{Deserialize, Serialize};

use super::{
    attachment::Attachment,
    delivery::Line,
    dialogue::{AlertDraft, Escalation, Facts, Prompt, Understanding},
    errand::Errand,
    merge::Absorbed,
    retrieved::SourceRef,
    spoken::Spoken,
    state::{AlertLine, Author, CloseReason, JoinCode, MessageStatus, State, Terms, Visitor},
    trace::Trace,
};
use crate::{
    ids::{AgentId, CallId, ConversationId, LeadId, MessageId, TenantId, TurnId, UserId, VisitorId},
    lead,
    vocabulary::{Channel, ConversationStatus, Urgency},
};

/// A turn that begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The turn.
    pub turn: TurnId,
    /// The id its answer will have.
    pub answer_id: MessageId,
    /// When its first attempt is given up, Unix milliseconds.
    pub deadline_ms: i64,
    /// The turn it replaces.
    pub supersedes: Option<TurnId>,
}

/// An answer that stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerGiven {
    /// The turn.
    pub turn: TurnId,
    /// Which attempt.
    pub attempt: u32,
    /// The message's id.
    pub message_id: MessageId,
    /// What it says.
    pub text: String,
    /// What it is from; empty for the fallback.
    pub sources: Vec<SourceRef>,
    /// How sure it is, 0 to 1.
    pub confidence: Option<f64>,
    /// Buttons or a form.
    pub prompt: Option<Prompt>,
    /// Whether nothing was known.
    pub fallback: bool,
    /// Whispers it used.
    pub whispers_used: Vec<MessageId>,
    /// What the words meant, unless journaled before.
    pub understanding: Option<Box<Understanding>>,
    /// What a model's tools did.
    pub tool_facts: Option<Box<Facts>>,
    /// How it came about.
    pub trace: Trace,
    /// From question to answer, milliseconds.
    pub latency_ms: i64,
}

/// Something the assistant said without being asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The message's id.
    pub message_id: MessageId,
    /// What.
    pub text: String,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The first message came.
    Started {
        /// Its id.
        id: ConversationId,
        /// The tenant.
        tenant: TenantId,
        /// The agent.
        agent_id: AgentId,
        /// Who.
        visitor: Box<Visitor>,
        /// Where.
        channel: Channel,
        /// A sandbox: nobody outside is told anything.
        sandbox: bool,
    },
    /// The visitor said something.
    Posted {
        /// The message's id.
        message_id: MessageId,
        /// The client's own id.
        client_message_id: Option<String>,
        /// Where.
        channel: Channel,
        /// What.
        text: String,
        /// The turn that will answer; none while a person holds the floor.
        opening: Option<Opening>,
        /// Under which configuration.
        terms: Box<Terms>,
        /// Addresses of what was attached.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<String>,
        /// Said in a call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        spoken: Option<Box<Spoken>>,
    },
    /// Who called and reached nobody said this after the beep. It opens no turn: nobody hears an answer.
    VoicemailLeft {
        /// The message's id.
        message_id: MessageId,
        /// In which call, which is over.
        call: CallId,
        /// Under which configuration.
        terms: Box<Terms>,
        /// The number of the person, E.164, as the carrier says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        person: Option<String>,
        /// What was understood of it.
        text: String,
    },
    /// A call began.
    CallJoined {
        /// Which.
        call: CallId,
        /// What was said first.
        greeting: Option<Said>,
        /// Under which configuration.
        terms: Box<Terms>,
        /// The number of the person, E.164, as the carrier says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        person: Option<String>,
        /// What it was made for, if we made it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        errand: Option<Box<Errand>>,
    },
    /// A call is over.
    CallLeft {
        /// Which.
        call: CallId,
        /// The turn whose answer nobody would hear.
        silenced: Option<TurnId>,
    },
    /// The assistant said something in a call that answers nothing.
    Spoke {
        /// What.
        said: Said,
        /// In which call.
        call: CallId,
        /// Names it.
        client_id: String,
    },
    /// What was heard of an answer that will not be finished, because the caller spoke.
    SaidInPart {
        /// What.
        said: Said,
        /// In which call.
        call: CallId,
    },
    /// The caller heard only the beginning of a message.
    HeardInPart {
        /// Which.
        message_id: MessageId,
        /// The beginning.
        heard: String,
    },
    /// Words of a caller turned out to be the beginning of others, which follow.
    Revised {
        /// The message they were.
        message_id: MessageId,
    },
    /// A number to reach the person at, and one to write from.
    LineOpened {
        /// Over what.
        channel: Channel,
        /// From where to where.
        line: Box<Line>,
    },
    /// Something was said to an order such as STOP.
    OrderAnswered {
        /// What.
        said: Said,
        /// Over what.
        channel: Channel,
    },
    /// A part of a message is on its way; from here its outcome is looked up.
    SendAttempted {
        /// Which message.
        message_id: MessageId,
        /// Which part, from 0.
        part: u32,
        /// How many there are.
        of: u32,
        /// Which attempt.
        attempt: u32,
    },
    /// The provider has a part.
    HandedOver {
        /// Which message.
        message_id: MessageId,
        /// Which part, from 0.
        part: u32,
        /// The provider's id of it.
        provider_id: String,
    },
    /// A part did not leave, or nobody can say that it did.
    SendFailed {
        /// Which message.
        message_id: MessageId,
        /// Which part, from 0.
        part: u32,
        /// Why.
        reason: String,
        /// When the next attempt begins; none: given up.
        retry_at_ms: Option<i64>,
    },
    /// The wait before a message's next attempt is over.
    SendRetried {
        /// Which message.
        message_id: MessageId,
    },
    /// The provider said what became of a part.
    Receipted {
        /// Which message.
        message_id: MessageId,
        /// Which part, from 0.
        part: u32,
        /// The provider's id of it.
        provider_id: String,
        /// Where it stands.
        status: MessageStatus,
        /// The provider's number for why it failed.
        error: Option<i64>,
    },
    /// Other conversations claim the same person.
    Linked {
        /// Which.
        with: Vec<ConversationId>,
    },
    /// The visitor was given a code to go on with over another channel.
    JoinCodeMade {
        /// Which.
        join: JoinCode,
    },
    /// A person merged it into another conversation; the next event ends it.
    MergedInto {
        /// Which.
        into: ConversationId,
        /// Who.
        by: UserId,
    },
    /// What another conversation brought along.
    Absorbed(Box<Absorbed>),
    /// An ended conversation goes on.
    Reopened,
    /// What a turn's words mean, where that must not wait for the answer.
    Understood {
        /// The turn.
        turn: TurnId,
        /// Which attempt.
        attempt: u32,
        /// What they mean.
        understanding: Box<Understanding>,
    },
    /// The assistant answered.
    Answered(Box<AnswerGiven>),
    /// A real question got the fallback answer.
    Unanswered {
        /// The question.
        question: String,
    },
    /// An attempt ended without an answer and another begins.
    TurnRetried {
        /// The turn.
        turn: TurnId,
        /// The new attempt.
        attempt: u32,
        /// When it is given up.
        deadline_ms: i64,
        /// Whether a crash ended the old one, rather than a failure.
        recovered: bool,
        /// Why.
        reason: String,
    },
    /// A rule fired, a person was asked for, or a tool escalated.
    Escalated {
        /// What fired.
        escalation: Escalation,
    },
    /// An alert is to be sent.
    AlertQueued {
        /// Its id.
        id: String,
        /// What it says.
        draft: Box<AlertDraft>,
    },
    /// An attempt to send it begins; from here its outcome is looked up.
    AlertAttempted {
        /// Which.
        id: String,
        /// Which attempt.
        attempt: u32,
        /// Where a text message leaves from; none where it is only recorded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        line: Option<AlertLine>,
    },
    /// It was delivered to the provider.
    AlertSent {
        /// Which.
        id: String,
    },
    /// It was written into the development mailbox and reached nobody.
    AlertRecorded {
        /// Which.
        id: String,
    },
    /// It was not delivered.
    AlertFailed {
        /// Which.
        id: String,
        /// Why.
        error: String,
        /// When the next attempt begins; none: given up.
        retry_at_ms: Option<i64>,
    },
    /// The wait before an alert's next attempt is over.
    AlertRetried {
        /// Which.
        id: String,
    },
    /// It became a lead.
    LeadCaptured {
        /// Which.
        lead_id: LeadId,
        /// All that is known.
        lead: Box<lead::Capture>,
    },
    /// More is known of the lead.
    LeadUpdated {
        /// Which.
        lead_id: LeadId,
        /// All that is known.
        lead: Box<lead::Capture>,
    },
    /// The visitor sent a filled form.
    FormSubmitted {
        /// The client's own id.
        client_id: Option<String>,
        /// The lead it makes or adds to.
        lead_id: LeadId,
        /// What its values mean.
        facts: Box<Facts>,
        /// What the assistant said to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        said: Option<Said>,
    },
    /// A person took the floor.
    TakenOver {
        /// Who.
        by: Author,
        /// The turn that will not be answered.
        silenced: Option<TurnId>,
    },
    /// The assistant has the floor again.
    HandedBack {
        /// Who gave it back.
        by: UserId,
        /// The turn that answers what the visitor said last, if nobody did.
        opening: Option<Opening>,
    },
    /// A person said something.
    HumanSaid {
        /// The message's id.
        message_id: MessageId,
        /// The client's own id.
        client_message_id: Option<String>,
        /// Who.
        author: Author,
        /// Where.
        channel: Channel,
        /// What.
        text: String,
        /// Files sent with it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        files: Vec<Attachment>,
    },
    /// A person told the assistant something that visitors never see.
    Whispered {
        /// The message's id.
        message_id: MessageId,
        /// Who.
        author: Author,
        /// What.
        text: String,
    },
    /// A person set the status.
    StatusSet {
        /// The new one.
        status: ConversationStatus,
    },
    /// A person set the urgency.
    UrgencySet {
        /// The new one.
        urgency: Urgency,
    },
    /// A person gave it to somebody, or to nobody.
    Assigned {
        /// To whom.
        to: Option<UserId>,
    },
    /// The visitor rated it.
    Rated {
        /// 1 to 5.
        rating: u8,
        /// In words.
        feedback: Option<String>,
    },
    /// The visitor rated one answer.
    MessageRated {
        /// Which.
        message_id: MessageId,
        /// Up or down.
        thumbs_up: bool,
        /// In words.
        feedback: Option<String>,
    },
    /// The customer's site says who the visitor is.
    Identified {
        /// The customer's own id.
        external_id: Option<String>,
        /// Name.
        name: Option<String>,
        /// E-mail address.
        email: Option<String>,
        /// Phone number.
        phone: Option<String>,
    },
    /// It belongs to a person whom the organization's server vouches for. The browser it began in reaches it as that person only.
    Claimed {
        /// Who, as visitors are named.
        person: VisitorId,
    },
    /// A person has read up to here.
    Read {
        /// Who.
        user: UserId,
        /// Up to which sequence number.
        seq: u64,
    },
    /// No further message is taken.
    Closed {
        /// Why.
        reason: CloseReason,
        /// The status it ends with.
        status: ConversationStatus,
        /// The turn that will not be answered.
        silenced: Option<TurnId>,
    },
    /// Nobody said anything for half an hour.
    Idled {
        /// The status it ends with.
        status: ConversationStatus,
        /// The turn that will not be answered.
        silenced: Option<TurnId>,
    },
    /// A sandbox began from another conversation's state.
    Forked {
        /// From which.
        from: ConversationId,
        /// After which of its events.
        at: u64,
        /// The state to go on from.
        state: Box<State>,
    },
}
