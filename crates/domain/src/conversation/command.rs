//! What one may ask a conversation to do, and what it answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    attachment::Attachment,
    delivery::{Carried, Line},
    dialogue::{AlertDraft, Brief, Facts, Prompt, Understanding},
    merge::Absorbed,
    retrieved::SourceRef,
    spoken::{CallBegun, Spoken},
    state::{AlertLine, Contact, Message, MessageStatus, State, Terms, TurnOutcome, Visitor},
    trace::Trace,
};
use crate::{
    call::Untaken,
    catalog::template::Field,
    ids::{AgentId, CallId, ConversationId, LeadId, MessageId, TurnId, UserId, VisitorId},
    vocabulary::{Channel, ConversationStatus, Urgency},
};

/// A visitor says something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// The conversation's id, used by the first message.
    pub conversation_id: ConversationId,
    /// The agent.
    pub agent_id: AgentId,
    /// The client's own id: a repeat gives the first answer again.
    #[serde(default)]
    pub client_message_id: Option<String>,
    /// What is said.
    pub text: String,
    /// Where.
    pub channel: Channel,
    /// Who; used by the first message, later ones only fill what is missing.
    #[serde(default)]
    pub visitor: Visitor,
    /// Under which configuration.
    pub terms: Terms,
    /// Whether the agent answers at all now (active, or tested by a console session).
    pub agent_live: bool,
    /// Whether the client named the conversation: then it must exist, because ids of new ones are not the client's to choose.
    #[serde(default)]
    pub continues: bool,
    /// How it came in over a carrier, whose signature was believed. Only the service itself says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried: Option<Box<Carried>>,
    /// Said in a call. Only the service itself says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spoken: Option<Box<Spoken>>,
}

/// The finished answer of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// The turn.
    pub turn: TurnId,
    /// Which attempt.
    pub attempt: u32,
    /// What it says.
    pub text: String,
    /// What it is from.
    pub sources: Vec<SourceRef>,
    /// How sure it is, 0 to 1.
    pub confidence: Option<f64>,
    /// Buttons or a form.
    pub prompt: Option<Prompt>,
    /// Whether nothing was known.
    pub fallback: bool,
    /// Whether the words were a question whose lack of an answer the owner should see.
    pub question: bool,
    /// Of several questions those that got no answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missed: Vec<String>,
    /// Whispers it used.
    pub whispers_used: Vec<MessageId>,
    /// What the words meant, unless sent before.
    pub understanding: Option<Box<Understanding>>,
    /// What a model's tools did.
    pub tool_facts: Option<Box<Facts>>,
    /// How it came about.
    pub trace: Trace,
}

/// A filled form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitLead {
    /// The client's own id: a repeat changes nothing.
    #[serde(default)]
    pub client_id: Option<String>,
    /// Values by field.
    pub fields: BTreeMap<String, String>,
    /// The form it was shown as.
    #[serde(default)]
    pub form: Option<String>,
    /// The fields asked for, from the agent's configuration (`dialogue::lead_form`).
    pub asked: Vec<Field>,
    /// Fields that may be given besides.
    #[serde(default)]
    pub known: Vec<Field>,
    /// Alerts of a form that alerts (`dialogue::form_alerts`).
    #[serde(default)]
    pub alerts: Vec<AlertDraft>,
    /// Which of the values say how to reach the visitor (`dialogue::contact`).
    #[serde(default)]
    pub contact: Contact,
    /// What is said once it is in (`dialogue::confirmation`).
    #[serde(default)]
    pub confirmation: Option<String>,
    /// The urgency the form gives.
    #[serde(default)]
    pub urgency: Option<Urgency>,
    /// Whether leads are collected.
    pub collect_leads: bool,
}

/// What one may ask it to do. A command that changes nothing journals nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// A visitor says something.
    Post(Box<Post>),
    /// Query of the answering task: what to answer from.
    Brief {
        /// The turn.
        turn: TurnId,
        /// Which attempt.
        attempt: u32,
    },
    /// What the words mean, sent ahead of the answer.
    Understood {
        /// The turn.
        turn: TurnId,
        /// Which attempt.
        attempt: u32,
        /// What they mean.
        understanding: Box<Understanding>,
    },
    /// The answer.
    Answered(Box<Answer>),
    /// The attempt failed for good.
    TurnFailed {
        /// The turn.
        turn: TurnId,
        /// Which attempt.
        attempt: u32,
        /// Why, for the owner.
        reason: String,
    },
    /// Query of an asker: what became of a turn.
    Outcome {
        /// The turn.
        turn: TurnId,
    },
    /// A person takes the floor.
    Takeover,
    /// A person gives the floor back.
    Handback,
    /// A person says something.
    HumanMessage {
        /// The client's own id.
        #[serde(default)]
        client_message_id: Option<String>,
        /// What.
        text: String,
        /// Where; the visitor's last channel by default.
        #[serde(default)]
        channel: Option<Channel>,
        /// Files, which are stored already.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        files: Vec<Attachment>,
    },
    /// A person tells the assistant something.
    Whisper {
        /// What.
        text: String,
    },
    /// A person changes how it is handled.
    Update {
        /// The new status.
        #[serde(default)]
        status: Option<ConversationStatus>,
        /// The new urgency.
        #[serde(default)]
        urgency: Option<Urgency>,
        /// Whose it is; an inner `None` is nobody's.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "double_option")]
        assigned_to: Option<Option<UserId>>,
    },
    /// The visitor rates it.
    Rate {
        /// 1 to 5.
        rating: u8,
        /// In words.
        #[serde(default)]
        feedback: Option<String>,
    },
    /// The visitor rates one answer.
    Feedback {
        /// Which.
        message_id: MessageId,
        /// Up or down.
        thumbs_up: bool,
        /// In words.
        #[serde(default)]
        feedback: Option<String>,
    },
    /// The visitor sends a filled form.
    SubmitLead(Box<SubmitLead>),
    /// The customer's site says who the visitor is (checked by the gateway).
    Identify {
        /// The customer's own id.
        external_id: Option<String>,
        /// Name.
        name: Option<String>,
        /// E-mail address.
        email: Option<String>,
        /// Phone number.
        phone: Option<String>,
    },
    /// A person whom the organization's server vouches for goes on in it (checked by the gateway).
    Claim {
        /// Who, as visitors are named.
        person: VisitorId,
        /// The customer's own id of the person.
        external_id: String,
        /// The number that the customer's server vouched for.
        number: Option<String>,
    },
    /// The visitor ends it.
    Close,
    /// A person has read up to here.
    MarkRead {
        /// Up to which sequence number.
        seq: u64,
    },
    /// Who called and reached nobody said something after the beep. Said again it stands once. Of the service itself.
    Voicemail {
        /// The call, which is over; where it belongs, and who called.
        call: Box<CallBegun>,
        /// What was understood of it.
        text: String,
    },
    /// An attempt to send an alert begins.
    AlertAttempt {
        /// Which.
        id: String,
        /// Which attempt.
        attempt: u32,
        /// Where a text message leaves from; none where it is only recorded.
        #[serde(default)]
        line: Option<AlertLine>,
    },
    /// An alert was delivered to the provider, or recorded for developers.
    AlertDone {
        /// Which.
        id: String,
        /// Which attempt.
        attempt: u32,
        /// It was only recorded, and reached nobody.
        #[serde(default)]
        recorded: bool,
    },
    /// An alert was not delivered.
    AlertFailed {
        /// Which.
        id: String,
        /// Which attempt.
        attempt: u32,
        /// Why.
        error: String,
        /// Whether another attempt may help.
        retry: bool,
    },
    /// A line for words of ours: a number to reach the person at, and one to write from.
    OpenLine {
        /// Over what.
        channel: Channel,
        /// From where to where.
        line: Box<Line>,
    },
    /// A part of a message is about to be sent.
    SendAttempt {
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
        /// Which attempt.
        attempt: u32,
        /// The provider's id of it.
        provider_id: String,
    },
    /// A part did not leave, or nobody can say that it did.
    SendFailed {
        /// Which message.
        message_id: MessageId,
        /// Which part, from 0.
        part: u32,
        /// Which attempt.
        attempt: u32,
        /// Why, for the owner.
        reason: String,
        /// It surely did not leave, and may after this many ms.
        #[serde(default)]
        retry_ms: Option<i64>,
    },
    /// The provider says what became of a part.
    Receipt {
        /// Which message.
        message_id: MessageId,
        /// Which part, from 0.
        part: u32,
        /// The provider's id of it.
        provider_id: String,
        /// Where it stands.
        status: MessageStatus,
        /// The provider's number for why it failed.
        #[serde(default)]
        error: Option<i64>,
    },
    /// A call begins; the first one begins the conversation.
    CallBegan(Box<CallBegun>),
    /// A call is over.
    CallEnded {
        /// Which.
        call: CallId,
    },
    /// Its caller was to be handed to a person, and nobody took the call.
    TransferFailed {
        /// Which.
        call: CallId,
        /// Since when that was asked for, Unix milliseconds.
        at_ms: i64,
        /// To whom, E.164.
        to: String,
        /// Why not.
        why: Untaken,
        /// The caller's number, as the carrier says.
        phone: Option<String>,
    },
    /// The assistant says something in a call that answers nothing.
    Speak {
        /// In which call.
        call: CallId,
        /// Names it: a repeat says nothing again.
        client_id: String,
        /// What.
        text: String,
    },
    /// Of the last words of ours in a call only these were heard.
    HeardOnly {
        /// In which call.
        call: CallId,
        /// As the provider heard them.
        heard: String,
    },
    /// Other conversations claim the same person; they are shown beside each other.
    Link {
        /// Which.
        with: Vec<ConversationId>,
    },
    /// The visitor wants to go on over another channel: this code, sent from there, proves that it is the same person.
    MakeJoinCode {
        /// The code.
        code: String,
    },
    /// A person merges this conversation into another one. It ends here.
    MergeInto {
        /// Which.
        into: ConversationId,
    },
    /// What another conversation brings along that was merged into this one.
    Absorb(Box<Absorbed>),
    /// The timer: an attempt's deadline, the end of silence, or an alert's next attempt has come.
    Tick {
        /// The time it was due, Unix milliseconds.
        due_ms: i64,
    },
    /// The activation after a crash or move: running attempts are gone.
    Recovered,
    /// Begins a sandbox from another conversation's state.
    Fork {
        /// The sandbox's id.
        id: ConversationId,
        /// From which.
        from: ConversationId,
        /// After which of its events.
        at: u64,
        /// The state to go on from.
        state: Box<State>,
    },
    /// Query: the whole state.
    Get,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// The message stands.
    Posted(Posted),
    /// What to answer from.
    Brief(Box<Brief>),
    /// What became of a turn.
    Outcome(Box<Outcome>),
    /// The lead that a form became.
    Lead {
        /// Which.
        lead_id: LeadId,
        /// Its sequence number.
        seq: u64,
    },
    /// A person's message stands.
    Said {
        /// Its id.
        message_id: MessageId,
        /// Its sequence number.
        seq: u64,
    },
    /// Done, or already so.
    Done,
    /// The whole state.
    State(Box<State>),
}

/// A message that stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// The message's id.
    pub message_id: MessageId,
    /// Its sequence number.
    pub seq: u64,
    /// The turn that answers it; none while a person holds the floor.
    pub turn: Option<TurnId>,
    /// The id of the answer to come.
    pub answer_id: Option<MessageId>,
    /// Whether this is a repeat.
    pub repeated: bool,
}

/// What became of a turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What.
    pub outcome: TurnOutcome,
    /// The answer, if it was answered, also under the turn that replaced it.
    pub answer: Option<Message>,
    /// Where the conversation stands.
    pub status: ConversationStatus,
    /// How pressing it is.
    pub urgency: Urgency,
}

/// Tells "not given" from "given as null".
mod double_option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::option_option, reason = "a PATCH tells absent from null")]
    pub(super) fn serialize<T: Serialize, S: Serializer>(
        value: &Option<Option<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().and_then(Option::as_ref).serialize(serializer)
    }

    #[expect(clippy::option_option, reason = "a PATCH tells absent from null")]
    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Option::<T>::deserialize(deserializer).map(Some)
    }
}
