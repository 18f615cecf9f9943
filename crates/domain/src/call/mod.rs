//! The call entity: one telephone call, named by its provider and the provider's id of it, so that whoever hears of it anywhere finds the same one.
//!
//! What is said stands in the conversation that the call belongs to; here stands who called whom, how it went and how it ended. Nothing here ends a
//! call by mistake: a socket that is lost is waited for, and what a provider says twice, late or in the wrong order moves it forward only.
//!
//! Reading order: this file; `decide`, `apply`; [`script`], what is said by situation; [`score`] and [`judge`], how it went; [`talk`], what it came to for the campaign that made it; `transfer` and [`whisper`], a person takes it; [`missed`], nobody does; [`words`], what they said to nobody; [`view`], what others see.

mod apply;
mod decide;
mod elsewhere;
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
pub use missed::{NoText, Sound, Texted, Voicemail};
pub use score::Review;
pub use transfer::{Stage, TRANSFERS_MAX, Transfer, TransferKind, Untaken};
pub use words::{NoWords, Words};

use crate::{
    campaign::{
        dialled::Dialled,
        slice::{self, Report},
        target::Talk,
    },
    conversation, decision,
    ids::{AgentId, CallId, ConversationId, TenantId, UserId},
    pacer,
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
    /// Its provider recorded it and says where.
    Recorded {
        /// Where.
        url: String,
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
        /// Where.
        url: String,
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

/// Work outside the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Repeatable: say how it went.
    Review {
        /// Which attempt.
        attempt: u32,
        /// The conversation it is about.
        conversation: ConversationId,
        /// Whether a campaign, or who ordered it, waits to hear what it came to.
        campaigns: bool,
    },
    /// Repeatable: delete its sound.
    DeleteRecording,
    /// Once only: tell who called that nobody answered. [`Texted::Begun`] comes first.
    TextBack,
    /// Repeatable: fetch the sound of a voicemail.
    FetchVoicemail {
        /// The provider's name of it.
        recording: String,
    },
    /// Repeatable: fetch the sound that its provider recorded.
    FetchRecording {
        /// Where the provider has it.
        url: String,
    },
    /// Repeatable: write down what was said in a voicemail. The conversation notes it once.
    WriteVoicemail,
}

/// What is still to be done, from state alone.
pub fn pending(state: &Call) -> Vec<(String, u32, Effect)> {
    let conversation = state.conversation_id.clone().filter(|_| state.wants_review());
    let review = conversation.map(|conversation| {
        let attempt = state.review_attempt;
        let campaigns = state.is.as_ref().is_some_and(|call| call.dial.is_some());
        ("review".to_owned(), attempt, Effect::Review { attempt, conversation, campaigns })
    });
    let delete = state.recording.as_ref().filter(|recording| recording.expired && !recording.deleted);
    let delete = delete.map(|_| ("recording".to_owned(), 1, Effect::DeleteRecording));
    review
        .into_iter()
        .chain(delete)
        .chain(missed::pending(state))
        .chain(elsewhere::pending(state))
        .chain(words::pending(state))
        .collect()
}

/// When it wants to be woken, Unix milliseconds.
pub fn timer(state: &Call) -> Option<i64> {
    if !state.exists() {
        return None;
    }
    if state.status.over() {
        let review = state.wants_review().then_some(state.review_deadline_ms);
        return review.into_iter().chain(expires_ms(state)).min();
    }
    let lost = match (state.lost_ms, state.carried_ms) {
        (Some(lost), _) => Some(lost.saturating_add(LOST_AFTER_MS)),
        (None, carried) => carried.map(|carried| carried.saturating_add(CARRIED_WITHIN_MS)),
    };
    let longest = match state.answered_ms {
        Some(answered) => answered.saturating_add(CALL_MS_MAX),
        None => state.rang_ms.saturating_add(RING_MS_MAX),
    };
    Some(lost.map_or(longest, |lost| lost.min(longest)))
}

/// When its sound is to be deleted, Unix milliseconds; none when it stays, or is deleted.
fn expires_ms(state: &Call) -> Option<i64> {
    let recording = state.recording.as_ref().filter(|recording| recording.stands())?;
    recording.until_ms(state.ended_ms?)
}

/// The command that a due timer turns into.
pub fn on_timer(state: &Call, now_ms: i64) -> Option<Command> {
    timer(state).filter(|due| *due <= now_ms).map(|_| Command::Tick)
}

/// The command after an activation that follows a crash or a move with work unfinished.
pub fn on_recovered(state: &Call) -> Option<Command> {
    state.wants_review().then_some(Command::Recovered)
}

/// What the conversation is told of an event.
pub fn conversation_message(state: &Call, event: &Event) -> Option<(ConversationId, conversation::Command)> {
    match event {
        Event::Ended { .. } => {
            let told = conversation::Command::CallEnded { call: state.id.clone() };
            state.conversation_id.clone().map(|conversation| (conversation, told))
        }
        Event::TransferReturned { .. } => transfer::conversation_message(state, event),
        Event::Rang { .. }
        | Event::Joined { .. }
        | Event::Attached { .. }
        | Event::Carried
        | Event::Detached { .. }
        | Event::TransferAsked { .. }
        | Event::TransferCalling
        | Event::TransferTaken
        | Event::HangUpAsked { .. }
        | Event::RecordingBegan { .. }
        | Event::RecordingExpired
        | Event::RecordingDeleted
        | Event::Texted { .. }
        | Event::VoicemailLeft { .. }
        | Event::VoicemailFetched { .. }
        | Event::RecordedElsewhere { .. }
        | Event::ElsewhereFetched { .. }
        | Event::VoicemailWritten { .. }
        | Event::EndTold { .. }
        | Event::MachineFound
        | Event::ReviewAgain { .. }
        | Event::Reviewed { .. } => None,
    }
}

/// What the slice that made a call is told of an event: what was said in it decides what it is counted as.
pub fn slice_message(state: &Call, event: &Event) -> Option<(String, slice::Command)> {
    let Event::Reviewed { talk: Some(talk), .. } = event else { return None };
    let dial = state.is.as_ref()?.dial.as_ref()?;
    let report = Report::Talk { talk: talk.clone() };
    Some((dial.slice_id(), slice::Command::Heard { target: dial.target, attempt: dial.attempt, report }))
}

/// What the pacer of the account is told of an event: calls that come in leave less room for those that go out.
pub fn pacer_message(state: &Call, event: &Event) -> Option<(String, pacer::Command)> {
    let is = state.is.as_deref().filter(|call| call.direction == Direction::Inbound && !call.test)?;
    let going_on = match event {
        Event::Rang { .. } => true,
        Event::Ended { .. } => false,
        _ => return None,
    };
    Some((is.account.clone()?, pacer::Command::Inbound { call: state.id.clone(), going_on }))
}
