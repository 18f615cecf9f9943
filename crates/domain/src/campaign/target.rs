//! One person on the list: what is known, what was tried, how it ended. Every target ends in exactly one disposition.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{ContactId, ConversationId, LeadId};

/// How a call or a target ended (CMP-6, and two more).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Somebody spoke with the agent.
    Answered,
    /// A machine answered.
    Voicemail,
    /// Nobody picked up.
    NoAnswer,
    /// The line was busy.
    Busy,
    /// Somebody booked a meeting.
    MeetingBooked,
    /// Somebody wants to be called back.
    Callback,
    /// Somebody does not want it.
    NotInterested,
    /// It did not work, with a reason.
    Failed,
    /// Nobody was called, with a reason.
    Skipped,
}

/// Why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailReason {
    /// The provider never said what became of it.
    Unconfirmed,
    /// The provider says that the number is none.
    InvalidNumber,
    /// The provider refused again and again.
    Provider,
    /// A fax answered.
    Fax,
    /// The carrier says that it failed.
    Carrier,
    /// It was taken back while it was queued at the carrier.
    Canceled,
}

/// Why nobody was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// On the do-not-contact list.
    DoNotContact,
    /// Withdrew the consent.
    ConsentWithdrawn,
    /// Never gave the consent that is needed.
    NoConsent,
    /// Called too often already.
    TooOften,
    /// No hour is open in all zones that the number may be in.
    NoHours,
    /// The deadline passed, the campaign's or its own.
    Deadline,
    /// The campaign was stopped.
    Stopped,
    /// The campaign was deleted.
    Deleted,
    /// The person's data was erased.
    Erased,
}

/// How a target ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Disposition {
    /// Somebody spoke with the agent.
    Answered,
    /// A machine answered.
    Voicemail,
    /// Nobody picked up.
    NoAnswer,
    /// The line was busy.
    Busy,
    /// Somebody booked a meeting.
    MeetingBooked,
    /// Somebody wants to be called back, and the campaign will not do it any more.
    Callback,
    /// Somebody does not want it.
    NotInterested,
    /// It did not work.
    Failed {
        /// Why.
        reason: FailReason,
    },
    /// Nobody was called.
    Skipped {
        /// Why.
        reason: SkipReason,
    },
}

impl Disposition {
    /// The word for it.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Answered => Outcome::Answered,
            Self::Voicemail => Outcome::Voicemail,
            Self::NoAnswer => Outcome::NoAnswer,
            Self::Busy => Outcome::Busy,
            Self::MeetingBooked => Outcome::MeetingBooked,
            Self::Callback => Outcome::Callback,
            Self::NotInterested => Outcome::NotInterested,
            Self::Failed { .. } => Outcome::Failed,
            Self::Skipped { .. } => Outcome::Skipped,
        }
    }

    /// Whether a person was on the line.
    pub fn connected(self) -> bool {
        match self {
            Self::Answered | Self::MeetingBooked | Self::Callback | Self::NotInterested => true,
            Self::Voicemail | Self::NoAnswer | Self::Busy | Self::Failed { .. } | Self::Skipped { .. } => false,
        }
    }
}

/// A target as it is brought.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NewTarget {
    /// The contact guard of its number: a keyed hash. Number and name stand in [`super::callees`], so that they can be erased.
    pub guard: String,
    /// The time zones the number may be in.
    pub zones: Vec<String>,
    /// The lead it was selected from.
    pub lead_id: Option<LeadId>,
    /// The contact.
    pub contact_id: Option<ContactId>,
    /// After this it is not called any more, Unix milliseconds: a web lead is called within minutes or not by a machine.
    pub not_after_ms: Option<i64>,
}

/// Why a target waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It was not called yet.
    First,
    /// It is tried again.
    Retry,
    /// It wants to be called then.
    Callback,
    /// It was called too often already, or the provider refused.
    Room,
}

/// A permit of the pacer as an attempt holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its number.
    pub id: u64,
    /// The number that the call comes from.
    pub from: String,
    /// Not to be dialled before, Unix milliseconds: that is how calls keep their distance.
    pub not_before_ms: i64,
    /// Good until, Unix milliseconds, unless renewed.
    pub expires_ms: i64,
}

/// How far an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The guard is being asked.
    Asked,
    /// The guard has permitted it; it waits for its moment.
    Permitted,
    /// It is journaled as dialled: from here on it may have reached the carrier.
    Dialing,
    /// The provider took it.
    Placed,
    /// Somebody or something answered.
    Answered,
    /// The call is over; its conversation may still tell how it went.
    Over,
}

/// What answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Machine {
    /// A machine that still speaks (`machine_start`).
    Speaking,
    /// A machine that has spoken: now is the moment for a message (`machine_end_beep`, `machine_end_silence`, `machine_end_other`).
    Ready,
    /// A fax.
    Fax,
}

/// What the provider is asked to do with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// End it, or take it back if it is still queued.
    HangUp,
    /// Speak the message for machines, then end it.
    LeaveMessage,
}

/// What a conversation says of its call. No words: those stand in the conversation, so that erasing it is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Talk {
    /// Which conversation.
    pub conversation: Option<ConversationId>,
    /// A meeting was booked.
    pub meeting: bool,
    /// The person does not want it.
    pub not_interested: bool,
    /// The person wants to be called back.
    pub callback: bool,
    /// When they agreed to that, Unix milliseconds.
    pub callback_ms: Option<i64>,
    /// 0 to 100 (CMP-10).
    pub score: Option<u8>,
}

/// An attempt that is not finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Counts from 1 for each target.
    pub n: u32,
    /// How far it is.
    pub stage: Stage,
    /// The pacer's permit.
    pub lease: Lease,
    /// Whether that was given back.
    pub lease_back: bool,
    /// The settings it uses.
    pub settings_version: u64,
    /// When it began, Unix milliseconds.
    pub opened_ms: i64,
    /// The guard's permit: its sequence number there.
    pub permit: Option<u64>,
    /// When it was given, Unix milliseconds.
    pub permitted_ms: i64,
    /// The consent it rests on.
    pub consent: Option<u32>,
    /// The provider's name of the call.
    pub call: Option<String>,
    /// When it was dialled, Unix milliseconds.
    pub dialed_ms: Option<i64>,
    /// When something was heard of it last, Unix milliseconds.
    pub heard_ms: i64,
    /// How often it was looked up at the provider since then.
    pub looked_up: u32,
    /// Look-ups of this attempt, all told: each has a number of its own, since what one brings home twice counts once.
    #[serde(default)]
    pub looks: u32,
    /// Whether the dial's answer is awaited or it is being looked up.
    pub looking: bool,
    /// What it cost, millionths of a US dollar, where that is known already.
    pub cost_micros: Option<i64>,
    /// What it may cost at most, millionths of a US dollar.
    #[serde(default)]
    pub worst_micros: i64,
    /// When it was answered, Unix milliseconds.
    pub answered_ms: Option<i64>,
    /// What answered, if no person.
    pub machine: Option<Machine>,
    /// What the provider is asked to do, with the number of the try; until it has done so.
    pub act: Option<(Act, u32)>,
    /// What was done last.
    pub acted: Option<Act>,
    /// A person answered and heard nothing in time.
    pub abandoned: bool,
    /// What the conversation told.
    pub talk: Option<Talk>,
    /// How it ended at the carrier, once it did.
    pub over: Option<Over>,
}

/// How a call ended at the carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Over {
    /// How.
    pub how: Ending,
    /// Seconds from the answer to the end.
    pub talk_s: u32,
    /// When, Unix milliseconds.
    pub at_ms: i64,
}

/// How a call ended in the carrier's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It was answered and is over.
    Completed,
    /// The line was busy.
    Busy,
    /// Nobody picked up.
    NoAnswer,
    /// It was taken back before it was answered.
    Canceled,
    /// It could not be made.
    Failed,
    /// The number is none.
    InvalidNumber,
}

/// A finished attempt, as the audit shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// Counts from 1 for each target.
    pub n: u32,
    /// The settings it used.
    pub settings_version: u64,
    /// The number it came from.
    pub from: String,
    /// The guard's permit.
    pub permit: Option<u64>,
    /// The consent it rested on.
    pub consent: Option<u32>,
    /// The provider's name of the call.
    pub call: Option<String>,
    /// When it was dialled, Unix milliseconds; never, if absent.
    pub dialed_ms: Option<i64>,
    /// When it was answered, Unix milliseconds.
    pub answered_ms: Option<i64>,
    /// When it was closed, Unix milliseconds.
    pub ended_ms: i64,
    /// Seconds from the answer to the end.
    pub talk_s: u32,
    /// How it ended; absent if it was given up before the dial and nothing follows from it.
    pub result: Option<Disposition>,
    /// A person answered and heard nothing in time.
    pub abandoned: bool,
    /// What it cost, millionths of a US dollar, once the provider has said so.
    pub cost_micros: Option<i64>,
    /// What it cost at most, millionths of a US dollar; 0 if it never left.
    #[serde(default)]
    pub worst_micros: i64,
    /// The conversation.
    pub conversation: Option<ConversationId>,
    /// 0 to 100.
    pub score: Option<u8>,
}

/// Where a target stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "standing", rename_all = "snake_case")]
pub enum Standing {
    /// It waits to be called.
    Waiting {
        /// Not before, Unix milliseconds.
        at_ms: i64,
        /// Why.
        why: Why,
    },
    /// It is being called.
    Trying(Box<Attempt>),
    /// It is done.
    Done {
        /// How it ended.
        disposition: Disposition,
        /// When, Unix milliseconds.
        at_ms: i64,
    },
}

/// One person on the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// As it was brought.
    pub who: NewTarget,
    /// The import it came with.
    pub import: u32,
    /// Where it stands.
    pub standing: Standing,
    /// Attempts begun.
    pub attempts: u32,
    /// Outcomes so far that are tried again, counted by kind.
    pub tries: BTreeMap<Outcome, u32>,
    /// Times that the provider refused.
    pub refusals: u32,
    /// Callbacks agreed.
    pub callbacks: u32,
    /// Its data is to be erased: what is left of it goes when its call is over.
    pub erased: bool,
    /// Finished attempts, oldest first.
    pub past: Vec<Past>,
}

impl Target {
    /// One that was just brought.
    pub fn new(who: NewTarget, import: u32, at_ms: i64) -> Self {
        Self {
            who,
            import,
            standing: Standing::Waiting { at_ms, why: Why::First },
            attempts: 0,
            tries: BTreeMap::new(),
            refusals: 0,
            callbacks: 0,
            erased: false,
            past: Vec::new(),
        }
    }

    /// The open attempt.
    pub fn attempt(&self) -> Option<&Attempt> {
        match &self.standing {
            Standing::Trying(attempt) => Some(attempt),
            Standing::Waiting { .. } | Standing::Done { .. } => None,
        }
    }

    /// The open attempt, to be changed.
    pub fn attempt_mut(&mut self) -> Option<&mut Attempt> {
        match &mut self.standing {
            Standing::Trying(attempt) => Some(attempt),
            Standing::Waiting { .. } | Standing::Done { .. } => None,
        }
    }

    /// How it ended, once it did.
    pub fn disposition(&self) -> Option<Disposition> {
        match &self.standing {
            Standing::Done { disposition, .. } => Some(*disposition),
            Standing::Waiting { .. } | Standing::Trying(_) => None,
        }
    }

    /// How it ends if nobody may call it any more: what its calls have led to so far, or nothing.
    pub fn as_it_stands(&self, reason: SkipReason) -> Disposition {
        if self.callbacks > 0 && !matches!(reason, SkipReason::Erased) {
            return Disposition::Callback;
        }
        let last = self.past.iter().rev().filter(|past| past.dialed_ms.is_some()).find_map(|past| past.result);
        match (reason, last) {
            // Who must not be called is told as such, whatever was tried before.
            (
                SkipReason::DoNotContact | SkipReason::ConsentWithdrawn | SkipReason::NoConsent | SkipReason::Erased,
                _,
            )
            | (_, None) => Disposition::Skipped { reason },
            (
                SkipReason::TooOften
                | SkipReason::NoHours
                | SkipReason::Deadline
                | SkipReason::Stopped
                | SkipReason::Deleted,
                Some(result),
            ) => result,
        }
    }
}
