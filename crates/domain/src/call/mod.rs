//! The call entity: one telephone call, named by its provider and the provider's id of it, so that whoever hears of it anywhere finds the same one.
//!
//! What is said stands in the conversation that the call belongs to; here stands who called whom, how it went and how it ended. Nothing here ends a
//! call by mistake: a socket that is lost is waited for, and what a provider says twice, late or in the wrong order moves it forward only.
//!
//! Reading order: this file; `decide`, `apply`; `errands`, what is done outside and told to others; [`script`], what is said by situation; [`score`] and [`judge`], how it went; [`talk`], what it came to for the campaign that made it; `transfer` and [`whisper`], a person takes it; [`missed`], nobody does; [`words`], what they said to nobody; [`view`], what others see.

mod apply;
mod decide;
mod elsewhere;
mod errands;
pub mod judge;
pub mod missed;
pub mod score;
pub mod script;
pub mod talk;
#[cfg(test)]
mod tests;
mod transfer;
pub mod view;
pub mod whisper;
pub mod words;

use serde::{Deserialize, Serialize};

pub use apply::apply;
pub use decide::decide;
pub use elsewhere::Elsewhere;
pub use errands::{Effect, conversation_message, on_recovered, on_timer, pacer_message, pending, slice_message, timer};
pub use missed::{NoText, Sound, Texted, Voicemail};
pub use score::Review;
pub use transfer::{Stage, TRANSFERS_MAX, Transfer, TransferKind, Untaken};
pub use words::{NoWords, Words};

use crate::{
    campaign::{dialled::Dialled, target::Talk},
    decision,
    ids::{AgentId, CallId, ConversationId, TenantId, UserId},
};

/// The entity's kind in keys.
pub const KIND: &str = "call";
/// How long a call without a socket is waited for, ms: Retell comes back within a few seconds four times, a node that died is replaced in fifteen.
pub const LOST_AFTER_MS: i64 = 90_000;
/// How often who carries a call says that it still does, ms.
pub const CARRIED_EVERY_MS: i64 = 60_000;
/// How long a call that nobody says to carry any more goes on, ms: three beats. A node that dies says nothing, and not every provider comes back.
pub const CARRIED_WITHIN_MS: i64 = 3 * CARRIED_EVERY_MS;
/// The longest call, ms: Retell's own limit is two hours, and what nobody ended by then was lost with its node.
pub const CALL_MS_MAX: i64 = 2 * 3_600_000 + 10 * 60_000;
/// How long a call may ring, ms: every provider gives up within five minutes.
pub const RING_MS_MAX: i64 = 10 * 60_000;
/// Attempts at saying how a call went.
pub const REVIEW_ATTEMPTS_MAX: u32 = 3;
/// How long one such attempt may take, ms.
pub const REVIEW_DEADLINE_MS: i64 = 60_000;
/// A day, ms.
const DAY_MS: i64 = 86_400_000;
/// Characters of a provider's id of a call.
pub const PROVIDER_CALL_CHARS_MAX: usize = 128;
/// Characters of a provider's reason for an end.
const REASON_CHARS_MAX: usize = 200;

/// What a command leads to.
pub type Decision = decision::Decision<Event, Reply>;

/// Who carries the voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// Retell, over its custom-LLM socket.
    Retell,
    /// Twilio, over ConversationRelay.
    Twilio,
    /// A page of the console: a test, in which the caller types.
    Browser,
    /// Vapi, which asks for each turn as an OpenAI client would.
    Vapi,
}

impl Carrier {
    /// As in addresses and ids.
    pub fn word(self) -> &'static str {
        match self {
            Self::Retell => "retell",
            Self::Twilio => "twilio",
            Self::Browser => "browser",
            Self::Vapi => "vapi",
        }
    }
}

/// Who called whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Somebody called us.
    Inbound,
    /// We called somebody.
    Outbound,
}

/// Where a call stands (VOI-7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    /// Not taken yet.
    Ringing,
    /// The two are talking.
    InProgress,
    /// It was taken and is over.
    Completed,
    /// Nobody took it.
    Missed,
    /// A machine took it.
    Voicemail,
    /// It went on to a person.
    Transferred,
    /// Something stood in the way.
    Failed,
}

impl CallStatus {
    /// Whether it is over.
    pub fn over(self) -> bool {
        match self {
            Self::Ringing | Self::InProgress => false,
            Self::Completed | Self::Missed | Self::Voicemail | Self::Transferred | Self::Failed => true,
        }
    }
}

/// A call, as it is first heard of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewCall {
    /// Its id here.
    pub id: CallId,
    /// Who carries it.
    pub carrier: Carrier,
    /// The carrier's id of it.
    pub provider_call_id: String,
    /// Who answers.
    pub agent_id: AgentId,
    /// Who called whom.
    pub direction: Direction,
    /// The number of the person at the other end, E.164, where the carrier says so.
    #[serde(default)]
    pub person: Option<String>,
    /// Our number, E.164.
    #[serde(default)]
    pub line: Option<String>,
    /// A test from the console: it counts in no figure.
    #[serde(default)]
    pub test: bool,
    /// The provider account that carries it, as its pacer is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The dial it comes of, if a campaign or a person had it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dial: Option<Dialled>,
}

/// The sound of a call that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// Since when it is recorded, Unix milliseconds.
    pub began_ms: i64,
    /// For how many days it is kept after the call; for ever if none.
    pub keep_days: Option<u32>,
    /// Its time is over, and it is being deleted.
    #[serde(default)]
    pub expired: bool,
    /// It is deleted.
    #[serde(default)]
    pub deleted: bool,
}

impl Recording {
    /// When it is deleted, Unix milliseconds.
    pub fn until_ms(&self, ended_ms: i64) -> Option<i64> {
        self.keep_days.map(|days| ended_ms.saturating_add(i64::from(days) * DAY_MS))
    }

    /// Whether it can be listened to.
    pub fn stands(&self) -> bool {
        !self.expired
    }
}

/// How a call ended, as far as who says so knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct End {
    /// Where it ended; how it went decides if nothing is said.
    pub status: Option<CallStatus>,
    /// The provider's word for why.
    pub reason: Option<String>,
    /// How long the two spoke, ms; from first to last if not said.
    pub spoke_ms: Option<i64>,
    /// What it cost, millionths of a US dollar.
    pub cost_micros: Option<i64>,
}

/// The folded state. One that nobody heard of has an empty id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Call {
    /// Its id.
    pub id: CallId,
    /// The tenant.
    pub tenant: TenantId,
    /// As it was first heard of.
    pub is: Option<Box<NewCall>>,
    /// Where it stands.
    pub status: CallStatus,
    /// The conversation it belongs to.
    pub conversation_id: Option<ConversationId>,
    /// When it was first heard of, Unix milliseconds.
    pub rang_ms: i64,
    /// When it was taken, Unix milliseconds.
    pub answered_ms: Option<i64>,
    /// When it ended, Unix milliseconds.
    pub ended_ms: Option<i64>,
    /// How long the two spoke, seconds.
    pub duration_s: i64,
    /// Why it ended, in the provider's word.
    pub reason: Option<String>,
    /// What it cost, millionths of a US dollar.
    pub cost_micros: Option<i64>,
    /// Names the socket over which it is spoken; another takes its place.
    pub socket: Option<String>,
    /// How many sockets it has had.
    pub sockets: u32,
    /// Since when it has none, Unix milliseconds.
    pub lost_ms: Option<i64>,
    /// When its socket was last known to carry it, Unix milliseconds; not known of calls that began before this was asked for.
    pub carried_ms: Option<i64>,
    /// A person is asked for.
    pub transfer: Option<Transfer>,
    /// How often one was.
    pub transfers: u32,
    /// Somebody of the business wants it to end.
    pub hangup: Option<UserId>,
    /// A machine took it.
    pub machine: bool,
    /// Its sound, where it is recorded.
    pub recording: Option<Recording>,
    /// Whether who called is to be told that nobody answered.
    pub wants_text: bool,
    /// What became of that.
    pub texted: Option<Texted>,
    /// What the caller left after the beep.
    pub voicemail: Option<Voicemail>,
    /// What its provider recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<Elsewhere>,
    /// How it went.
    pub review: Option<Box<Review>>,
    /// Which attempt at saying so.
    pub review_attempt: u32,
    /// When that is given up, Unix milliseconds.
    pub review_deadline_ms: i64,
    /// The sequence number of the last event.
    pub seq: u64,
}

impl Default for Call {
    fn default() -> Self {
        Self {
            id: CallId::default(),
            tenant: TenantId::default(),
            is: None,
            status: CallStatus::Ringing,
            conversation_id: None,
            rang_ms: 0,
            answered_ms: None,
            ended_ms: None,
            duration_s: 0,
            reason: None,
            cost_micros: None,
            socket: None,
            sockets: 0,
            lost_ms: None,
            carried_ms: None,
            transfer: None,
            transfers: 0,
            hangup: None,
            machine: false,
            recording: None,
            wants_text: false,
            texted: None,
            voicemail: None,
            elsewhere: None,
            review: None,
            review_attempt: 0,
            review_deadline_ms: 0,
            seq: 0,
        }
    }
}

impl Call {
    /// Whether anybody has heard of it.
    pub fn exists(&self) -> bool {
        self.is.is_some()
    }

    /// Whether how it went is still to be said.
    fn wants_review(&self) -> bool {
        self.status.over()
            && !self.machine
            && self.answered_ms.is_some()
            && self.conversation_id.is_some()
            && self.review.is_none()
    }
}

/// What one may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// A carrier tells of a call.
    Ring(Box<NewCall>),
    /// It belongs to a conversation.
    Join {
        /// Which.
        conversation: ConversationId,
    },
    /// A socket carries it from here; another that did does no more.
    Attach {
        /// Names the socket.
        socket: String,
    },
    /// The socket that carries it still does.
    Carried {
        /// Names the socket.
        socket: String,
    },
    /// A socket was lost, and nobody hung up.
    Detach {
        /// Which.
        socket: String,
    },
    /// It is to be handed to a person.
    Transfer {
        /// To whom, E.164.
        to: String,
        /// How.
        kind: TransferKind,
    },
    /// The carrier was told to call the person that it is handed to.
    TransferCalling,
    /// That person takes it.
    TransferTaken,
    /// Nobody takes it.
    TransferReturned {
        /// Why.
        why: Untaken,
    },
    /// It is to end.
    HangUp,
    /// Its carrier says that a machine took it.
    Machine,
    /// Its sound is recorded from here, for those told that it is.
    Record {
        /// For how many days it is kept after the call; for ever if none.
        keep_days: Option<u32>,
    },
    /// Its sound is deleted.
    RecordingDeleted,
    /// A step of the text message to who called and reached nobody.
    Texted {
        /// Which.
        step: Texted,
    },
    /// The caller left a message after the beep.
    VoicemailLeft {
        /// The provider's name of its sound.
        recording: String,
        /// Its length, seconds.
        seconds: u32,
        /// For how many days it is kept; for ever if none.
        keep_days: Option<u32>,
    },
    /// Its provider recorded it.
    Recorded {
        /// For how many days it is kept after the call; for ever if none.
        keep_days: Option<u32>,
    },
    /// What its provider recorded is here, or nowhere.
    RecordingFetched {
        /// Whether it is here.
        here: bool,
    },
    /// The sound of that message was fetched from the provider.
    VoicemailFetched {
        /// Whether it is here; otherwise it is nowhere.
        here: bool,
    },
    /// What became of writing down what was said in it.
    VoicemailWritten {
        /// What.
        words: Words,
    },
    /// It has ended.
    Ended(Box<End>),
    /// How it went.
    Reviewed {
        /// Which attempt.
        attempt: u32,
        /// What was found.
        review: Box<Review>,
        /// What it came to for the campaign that made it.
        #[serde(default)]
        talk: Option<Box<Talk>>,
    },
    /// Something is due.
    Tick,
    /// Work was cut off.
    Recovered,
    /// Query: the whole state.
    Get,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Done, or already so.
    Done,
    /// The whole state.
    State(Box<Call>),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// It was first heard of.
    Rang {
        /// The tenant.
        tenant: TenantId,
        /// What was heard.
        call: Box<NewCall>,
    },
    /// It belongs to a conversation.
    Joined {
        /// Which.
        conversation: ConversationId,
    },
    /// A socket carries it.
    Attached {
        /// Names the socket.
        socket: String,
    },
    /// Its socket still carries it.
    Carried,
    /// It has no socket.
    Detached {
        /// Since when, Unix milliseconds; since it was noted if nobody knows better.
        #[serde(default)]
        since_ms: Option<i64>,
    },
    /// It is to be handed to a person.
    TransferAsked {
        /// How and to whom.
        transfer: Transfer,
    },
    /// The person that it is handed to is being called.
    TransferCalling,
    /// That person took it.
    TransferTaken,
    /// Nobody took it.
    TransferReturned {
        /// Why.
        why: Untaken,
    },
    /// It is to end.
    HangUpAsked {
        /// Who wants it.
        by: UserId,
    },
    /// Its sound is recorded.
    RecordingBegan {
        /// For how many days it is kept.
        keep_days: Option<u32>,
    },
    /// The time of its sound is over.
    RecordingExpired,
    /// Its sound is deleted.
    RecordingDeleted,
    /// A step of the text message to who called and reached nobody.
    Texted {
        /// Which.
        step: Texted,
    },
    /// The caller left a message after the beep.
    VoicemailLeft {
        /// What is known of it.
        voicemail: Voicemail,
    },
    /// Its provider recorded it and says where.
    RecordedElsewhere {
        /// For how many days it is kept after the call; for ever if none.
        keep_days: Option<u32>,
    },
    /// What its provider recorded is here, or nowhere.
    ElsewhereFetched {
        /// Whether it is here.
        here: bool,
    },
    /// Its sound was fetched from the provider.
    VoicemailFetched {
        /// Whether it is here; otherwise it is nowhere.
        here: bool,
        /// Whether what was said in it is to be written down; not in journals from before anybody did.
        #[serde(default)]
        words: bool,
    },
    /// What became of writing down what was said in it.
    VoicemailWritten {
        /// What.
        words: Words,
    },
    /// It has ended.
    Ended {
        /// Where it stands.
        status: CallStatus,
        /// The provider's word for why.
        reason: Option<String>,
        /// How long the two spoke, seconds.
        duration_s: i64,
        /// What it cost.
        cost_micros: Option<i64>,
        /// Whether who called is to be told that nobody answered; not in journals from before anybody was.
        #[serde(default)]
        missed: bool,
    },
    /// More is known of how it ended.
    EndTold {
        /// Where it stands.
        status: CallStatus,
        /// The provider's word for why.
        reason: Option<String>,
        /// How long the two spoke, seconds.
        duration_s: i64,
        /// What it cost.
        cost_micros: Option<i64>,
    },
    /// Saying how it went begins once more.
    ReviewAgain {
        /// The attempt from now on.
        attempt: u32,
        /// When it is given up.
        deadline_ms: i64,
    },
    /// A machine took it.
    MachineFound,
    /// How it went.
    Reviewed {
        /// What was found.
        review: Box<Review>,
        /// What it came to for the campaign that made it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        talk: Option<Box<Talk>>,
    },
}
