//! The appointment entity: who comes, when, why, and how it went. The slot itself is given by [`crate::calendar`].
//!
//! An appointment first stands here as a wish, then asks its calendar for the slot (an effect that may be repeated: the calendar answers the same wish
//! the same way), and what the calendar says settles it. Moving it is another wish. Giving a slot back is a message that is delivered for certain.

mod decide;
pub mod ics;
pub mod letter;
pub mod quiet;
#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use decide::{apply, decide, on_recovered, on_timer, pending, timer};
pub use view::{AppointmentView, numbers, view};

use crate::{
    calendar::{Slot, Want},
    decision,
    ids::{AgentId, AppointmentId, CalendarId, ConversationId, TenantId, VisitorId},
    vocabulary::{AppointmentStatus, Channel},
};

/// The entity's kind in keys.
pub const KIND: &str = "appointment";

/// How long asking the calendar may take before it is asked again, milliseconds: longer than a shard takes to find a new owner.
pub const SETTLE_AGAIN_MS: i64 = 30_000;
/// Pauses before a letter is tried again, milliseconds; after the last it is given up.
pub const LETTER_PAUSES_MS: [i64; 3] = [60_000, 5 * 60_000, 30 * 60_000];
/// A letter without news for this long is tried again, milliseconds: a mail server may take a minute to answer.
pub const LETTER_DEADLINE_MS: i64 = 3 * 60_000;
/// How often one appointment may be moved: nobody does it more often, and each time is a row in the agenda.
pub const MOVES_MAX: u32 = 50;
/// The longest title.
pub const TITLE_CHARS_MAX: usize = 200;
/// The longest description or reason.
pub const TEXT_CHARS_MAX: usize = 4_000;
/// The longest name.
pub const NAME_CHARS_MAX: usize = 200;
/// The most bytes of what only a trade has.
pub const DATA_BYTES_MAX: usize = 16 * 1024;

/// What a command leads to.
pub type Decision = decision::Decision<Event, Reply>;

/// Who comes and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// A line; made of kind and name where none is given.
    pub title: String,
    /// More of it.
    pub description: String,
    /// Name.
    pub name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Phone number, E.164.
    pub phone: Option<String>,
    /// What only a trade has.
    pub vertical_data: BTreeMap<String, serde_json::Value>,
}

/// Where an appointment comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Source {
    /// The agent that booked it, or that it is for.
    pub agent_id: Option<AgentId>,
    /// The conversation it was agreed in.
    pub conversation_id: Option<ConversationId>,
    /// Who booked it, in their own words' id.
    pub visitor_id: Option<VisitorId>,
    /// How.
    pub channel: Option<Channel>,
    /// Agreed with somebody of the organization who tried the agent: it takes its time, and nobody is to come.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub trial: bool,
}

/// What the calendar's settings said when it was booked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// The organization's name, as letters say it.
    pub business: String,
    /// The calendar's zone.
    pub timezone: String,
    /// People are reminded so long before, milliseconds; 0: never.
    pub remind_before_ms: i64,
    /// A cancellation with less notice is late, milliseconds.
    pub late_before_ms: i64,
}

/// A wish to have a slot, on its way to the calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Counts from 1.
    pub n: u32,
    /// Which slot.
    pub want: Want,
    /// Whose hold it uses.
    pub holder: Option<String>,
    /// How often the calendar was asked, from 1.
    pub attempt: u32,
    /// When it is asked again, Unix milliseconds.
    pub deadline_ms: i64,
}

/// Why the calendar did not give a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The number of the wish.
    pub n: u32,
    /// A stable code, such as `slot_taken`.
    pub code: String,
    /// In words.
    pub detail: String,
}

/// What is written to who comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterKind {
    /// That it is agreed.
    Confirmation,
    /// That it has another time.
    Moved,
    /// That it is given up.
    Canceled,
    /// That it is soon.
    Reminder,
}

/// A letter that is owed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Names it for ever: the same id is the same letter, however often it is sent.
    pub id: String,
    /// Which.
    pub kind: LetterKind,
    /// Counts from 1.
    pub attempt: u32,
    /// Whether it waits for its next attempt.
    pub waits: bool,
    /// When the next attempt begins, Unix milliseconds.
    pub due_ms: i64,
    /// A text message that was handed to the carrier, or may have been: it is never sent again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left: bool,
}

/// The folded state. One that nobody asked for has an empty id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Appointment {
    /// Its id.
    pub id: AppointmentId,
    /// The tenant.
    pub tenant: TenantId,
    /// The calendar it is in.
    pub calendar_id: CalendarId,
    /// Who comes and why.
    pub details: Details,
    /// Where it comes from.
    pub source: Source,
    /// What was agreed.
    pub terms: Terms,
    /// The slot it has; none while it was never given one.
    pub slot: Option<Slot>,
    /// The number of the wish that gave it.
    pub n: u32,
    /// The wish on its way.
    pub wish: Option<Wish>,
    /// The last refusal.
    pub refusal: Option<Refusal>,
    /// Where it stands.
    pub status: AppointmentStatus,
    /// Why it was given up.
    pub cancel_reason: Option<String>,
    /// Given up with too little notice.
    pub late: bool,
    /// When the reminder is due, Unix milliseconds; none: it was sent, or none is.
    pub remind_at_ms: Option<i64>,
    /// When the reminder was sent, Unix milliseconds.
    pub reminded_at_ms: Option<i64>,
    /// The reminder was only recorded for developers: nobody got it.
    #[serde(default)]
    pub reminder_recorded: bool,
    /// Letters owed.
    pub letters: Vec<Letter>,
    /// When it was asked for, Unix milliseconds.
    pub created_at_ms: i64,
    /// When it last changed, Unix milliseconds.
    pub updated_at_ms: i64,
    /// The sequence number of the last event.
    pub seq: u64,
}

impl Default for Appointment {
    fn default() -> Self {
        Self {
            id: AppointmentId::default(),
            tenant: TenantId::default(),
            calendar_id: CalendarId::default(),
            details: Details::default(),
            source: Source::default(),
            terms: Terms::default(),
            slot: None,
            n: 0,
            wish: None,
            refusal: None,
            status: AppointmentStatus::Scheduled,
            cancel_reason: None,
            late: false,
            remind_at_ms: None,
            reminded_at_ms: None,
            reminder_recorded: false,
            letters: Vec::new(),
            created_at_ms: 0,
            updated_at_ms: 0,
            seq: 0,
        }
    }
}

impl Appointment {
    /// Whether somebody asked for it.
    pub fn exists(&self) -> bool {
        !self.id.0.is_empty()
    }

    /// Whether it still is to take place.
    pub fn stands(&self) -> bool {
        self.slot.is_some() && open(self.status)
    }
}

/// Whether an appointment of this status is still to take place.
pub fn open(status: AppointmentStatus) -> bool {
    match status {
        AppointmentStatus::Scheduled | AppointmentStatus::Confirmed => true,
        AppointmentStatus::Canceled | AppointmentStatus::Completed | AppointmentStatus::NoShow => false,
    }
}

/// An appointment that somebody wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Its id.
    pub id: AppointmentId,
    /// In which calendar.
    pub calendar_id: CalendarId,
    /// Which slot.
    pub want: Want,
    /// Whose hold it uses.
    pub holder: Option<String>,
    /// Who comes and why.
    pub details: Details,
    /// Where it comes from.
    pub source: Source,
    /// What the calendar's settings say.
    pub terms: Terms,
}

/// A change; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Update {
    /// Where it stands.
    pub status: Option<AppointmentStatus>,
    /// Another time, provider or kind.
    pub want: Option<Want>,
    /// Whose hold the move uses.
    pub holder: Option<String>,
    /// A line.
    pub title: Option<String>,
    /// More of it.
    pub description: Option<String>,
    /// Name; empty removes it.
    pub name: Option<String>,
    /// E-mail address; empty removes it.
    pub email: Option<String>,
    /// Phone number; empty removes it.
    pub phone: Option<String>,
    /// What only a trade has; null removes a key.
    pub vertical_data: BTreeMap<String, serde_json::Value>,
    /// Why it is given up.
    pub cancel_reason: Option<String>,
    /// The sequence number it was made from.
    pub if_seq: Option<u64>,
}

/// What one may ask it to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// Somebody wants it.
    Request(Box<Request>),
    /// It changes.
    Update(Box<Update>),
    /// The calendar has answered a wish.
    Settled {
        /// Which.
        n: u32,
        /// What it said.
        outcome: Outcome,
    },
    /// A text message is about to be handed to the carrier. What becomes of it, it is not sent again.
    LetterLeaves {
        /// Which.
        id: String,
        /// Which attempt.
        attempt: u32,
    },
    /// A letter is on its way for certain.
    LetterSent {
        /// Which.
        id: String,
        /// Which attempt.
        attempt: u32,
        /// It was only recorded for developers: nobody got it.
        #[serde(default)]
        recorded: bool,
    },
    /// A letter could not be sent.
    LetterFailed {
        /// Which.
        id: String,
        /// Which attempt.
        attempt: u32,
        /// Whether it may go another time.
        retry: bool,
    },
    /// Something is due.
    Tick,
    /// Work was cut off.
    Recovered,
    /// Query: the whole state.
    Get,
}

/// What the calendar said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Outcome {
    /// The slot is theirs.
    Given {
        /// Which.
        slot: Slot,
    },
    /// It is not.
    Refused {
        /// A stable code.
        code: String,
        /// In words.
        detail: String,
    },
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// Somebody wants it.
    Requested {
        /// The tenant.
        tenant: TenantId,
        /// What.
        request: Box<Request>,
    },
    /// Somebody wants it at another time.
    MoveWanted {
        /// The number of the wish.
        n: u32,
        /// Which slot.
        want: Want,
        /// Whose hold it uses.
        holder: Option<String>,
    },
    /// The calendar is asked once more.
    AskedAgain {
        /// The wish's attempt from now on.
        attempt: u32,
    },
    /// The calendar gave the slot.
    Given {
        /// The number of the wish.
        n: u32,
        /// Which.
        slot: Slot,
    },
    /// The calendar did not.
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// Who comes or why has changed.
    Edited {
        /// How it is now.
        details: Box<Details>,
    },
    /// It stands elsewhere.
    StatusSet {
        /// Where.
        status: AppointmentStatus,
    },
    /// It was given up.
    Canceled {
        /// Why.
        reason: Option<String>,
        /// With too little notice.
        late: bool,
    },
    /// A letter is owed from now on.
    LetterOwed {
        /// Which.
        id: String,
        /// Which kind.
        kind: LetterKind,
    },
    /// A letter is tried once more.
    LetterAgain {
        /// Which.
        id: String,
        /// Its attempt from now on.
        attempt: u32,
    },
    /// A text message is being handed to the carrier.
    LetterLeft {
        /// Which.
        id: String,
    },
    /// A letter waits for its next attempt.
    LetterWaits {
        /// Which.
        id: String,
        /// Until when, Unix milliseconds.
        until_ms: i64,
    },
    /// A letter is settled.
    LetterEnded {
        /// Which.
        id: String,
        /// Whether it is on its way; given up if not.
        sent: bool,
        /// It was only recorded for developers.
        #[serde(default)]
        recorded: bool,
    },
    /// The reminder leaves at another time: it would have been night where the person is.
    ReminderPlanned {
        /// When, Unix milliseconds.
        at_ms: i64,
    },
    /// The time to remind has passed while nothing ran.
    ReminderMissed,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Done, or already so.
    Done,
    /// The whole state.
    State(Box<Appointment>),
}

/// Work outside the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Repeatable: ask the calendar for the slot of a wish.
    Settle {
        /// The wish.
        wish: Wish,
    },
    /// Keyed: write a letter. Whoever carries it out reads the newest state.
    Write {
        /// Which.
        letter: Letter,
    },
}
