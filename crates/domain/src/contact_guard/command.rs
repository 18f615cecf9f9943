//! What one may ask the guard, what it answers, and what it writes down.

use serde::{Deserialize, Serialize};

use super::{
    address::Masked,
    state::{ConsentKind, ContactGuard, DialKey, Reach, Source},
};
use crate::{ids::TenantId, vocabulary::Channel};

/// A new entry of the do-not-contact list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEntry {
    /// Whom, as people are shown it.
    pub masked: Masked,
    /// What it forbids.
    pub reach: Reach,
    /// Who said so. [`Source::Keyword`] and [`Source::Carrier`] are Colloquy's own to use.
    pub source: Source,
    /// In words.
    pub reason: String,
    /// When it ends by itself, Unix milliseconds.
    pub expires_ms: Option<i64>,
}

/// A new record of the consent ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewConsent {
    /// Whom, as people are shown it.
    pub masked: Masked,
    /// To what.
    pub kind: ConsentKind,
    /// Given, or withdrawn.
    pub granted: bool,
    /// The words that were agreed to.
    pub text: String,
    /// Where.
    pub source: String,
    /// When, Unix milliseconds; now if not given.
    pub at_ms: Option<i64>,
}

/// At most so many dials within a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cap {
    /// The time, ms; at most 31 days.
    pub within_ms: i64,
    /// How many.
    pub dials: u32,
}

/// May this number be called?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialRequest {
    /// Whom, as people are shown it.
    pub masked: Masked,
    /// Which dial. The same one again is the same permit.
    pub dial: DialKey,
    /// The settings it is asked under, for the record.
    pub settings_version: u64,
    /// The consent that must stand in the ledger.
    pub needs: Option<ConsentKind>,
    /// How often this number may be called, whatever the campaign.
    pub caps: Vec<Cap>,
}

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Answers what the person has just written.
    Answer,
    /// Says that a STOP was heard: the one message that may follow it.
    Confirmation,
    /// About something the person wants from us: a reminder, a person's message, a follow-up.
    Service,
    /// Wants something from the person: needs a consent.
    Marketing,
    /// Tells one of the organization's own people what its settings ask for, such as an alert.
    Staff,
}

/// May this message be sent?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRequest {
    /// Whom, as people are shown it.
    pub masked: Masked,
    /// Names the message. The same one again is the same permit.
    pub message: String,
    /// How it goes.
    pub channel: Channel,
    /// What it is for.
    pub purpose: Purpose,
}

/// What became of a permitted dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placed {
    /// The carrier took it, or may have: it counts.
    Yes,
    /// It surely never left: it does not count.
    No,
}

/// What one may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// Somebody must not be contacted. What stands already changes nothing.
    AddEntry(Box<NewEntry>),
    /// An entry is taken off.
    Lift {
        /// What it forbids.
        reach: Reach,
        /// Who said so.
        source: Source,
    },
    /// The person ordered it by a word: STOP puts everything that goes to the number on the list, START takes off what STOP and the carrier put
    /// there. The same message again, also long after, changes nothing.
    Order {
        /// Whom, as people are shown it.
        masked: Masked,
        /// The provider's id of the message.
        message: String,
        /// STOP, or START.
        stop: bool,
        /// Over what.
        channel: Channel,
    },
    /// The person wished it in their own words, in a conversation of the website where nothing proves a number: whoever has it is not reached out to
    /// any more. What one conversation said only the same one takes back, or the person's own START.
    Wish {
        /// Whom, as people are shown it.
        masked: Masked,
        /// What it forbids.
        reach: Reach,
        /// In which conversation.
        conversation: String,
        /// Never again, or again.
        stop: bool,
    },
    /// A consent was given or withdrawn.
    RecordConsent(Box<NewConsent>),
    /// May this number be called?
    AuthorizeDial(Box<DialRequest>),
    /// May this message be sent?
    AuthorizeMessage(Box<MessageRequest>),
    /// What became of a permitted dial. Repeats change nothing.
    Settle {
        /// Which.
        dial: DialKey,
        /// What.
        placed: Placed,
    },
    /// The person was erased: the words that people wrote down beside entries and consents go. What they forbid or prove of itself stays, because
    /// without it the person would be called again.
    ForgetWords,
    /// The timer: an entry has ended.
    Tick,
    /// Query: the whole state.
    Get,
}

/// Permission, given once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permit {
    /// The sequence number of its append in this journal.
    pub seq: u64,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// The consent record it rests on.
    pub consent: Option<u32>,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Refusal {
    /// It is on the list.
    DoNotContact {
        /// What the entry forbids.
        reach: Reach,
        /// Who said so.
        source: Source,
        /// The entry's sequence number.
        seq: u64,
    },
    /// A consent was withdrawn.
    ConsentWithdrawn {
        /// To what.
        kind: ConsentKind,
    },
    /// A consent is needed and was never given.
    NoConsent {
        /// To what.
        kind: ConsentKind,
    },
    /// Too many attempts.
    TooOften {
        /// From when on there is room again, Unix milliseconds.
        again_at_ms: i64,
    },
}

impl Refusal {
    /// A stable word for records and the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DoNotContact { .. } => "do_not_contact",
            Self::ConsentWithdrawn { .. } => "consent_withdrawn",
            Self::NoConsent { .. } => "no_consent",
            Self::TooOften { .. } => "too_often",
        }
    }

    /// In a sentence, for the owner.
    pub fn sentence(&self) -> String {
        match self {
            Self::DoNotContact { source: Source::Keyword, .. } => {
                "this person asked by STOP not to be contacted".to_owned()
            }
            Self::DoNotContact { source: Source::Carrier, .. } => {
                "the carrier does not deliver to this person, who told it to stop".to_owned()
            }
            Self::DoNotContact { source: Source::Person, .. } => {
                "this person asked in a conversation not to be contacted".to_owned()
            }
            Self::DoNotContact { source: Source::Staff | Source::Complaint | Source::Import, .. } => {
                "this number or address is on the do-not-contact list".to_owned()
            }
            Self::ConsentWithdrawn { .. } => "this person has withdrawn the consent".to_owned(),
            Self::NoConsent { .. } => "this needs a consent that was never recorded".to_owned(),
            Self::TooOften { .. } => "this number was called as often as is allowed".to_owned(),
        }
    }
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It may be done, once.
    Permitted(Permit),
    /// It must not be done.
    Refused(Refusal),
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Whether it may be done.
    Verdict {
        /// Whether.
        verdict: Verdict,
    },
    /// A consent record's number.
    Consent {
        /// Counts from 1.
        n: u32,
    },
    /// Done, or already so.
    Done,
    /// The whole state.
    State(Box<ContactGuard>),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// Somebody must not be contacted.
    EntryAdded {
        /// In which organization: its timer needs it.
        tenant: TenantId,
        /// Whom and why.
        entry: Box<NewEntry>,
        /// Who wrote it down.
        by: String,
    },
    /// A message with an order was heard.
    Ordered {
        /// The provider's id of it.
        message: String,
        /// STOP, or START.
        stop: bool,
    },
    /// An entry was taken off, or ended.
    EntryLifted {
        /// What it forbade.
        reach: Reach,
        /// Who had said so.
        source: Source,
        /// Who took it off; `time` when it ended by itself.
        by: String,
    },
    /// A consent was given or withdrawn.
    ConsentRecorded {
        /// Its number.
        n: u32,
        /// Which.
        consent: Box<NewConsent>,
        /// When it was given, Unix milliseconds.
        given_ms: i64,
        /// Who wrote it down.
        by: String,
    },
    /// A number may be called, once.
    DialPermitted {
        /// Which.
        request: Box<DialRequest>,
        /// The consent record it rests on.
        consent: Option<u32>,
    },
    /// A message may be sent, once.
    MessagePermitted {
        /// Which.
        request: Box<MessageRequest>,
        /// The consent record it rests on.
        consent: Option<u32>,
    },
    /// The words beside entries and consents are gone.
    WordsForgotten,
    /// What became of a dial.
    DialSettled {
        /// Which.
        dial: DialKey,
        /// What.
        placed: Placed,
    },
}
