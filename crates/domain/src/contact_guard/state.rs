//! What the guard remembers: entries of the list, consents, attempts. No number, no name, no words of anybody.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{address::Masked, command::Permit};
use crate::{ids::TenantId, vocabulary::Channel};

/// Dials kept to count attempts and to know repeats: more than any cap of a month allows.
pub const DIALS_MAX: usize = 500;
/// How long a dial counts, ms: the longest window a cap may have.
pub const DIAL_KEPT_MS: i64 = 31 * 24 * 3600 * 1000;
/// Message permits kept to know repeats: a message is asked for again within minutes, and a long text has five parts.
pub const MESSAGES_MAX: usize = 200;
/// Orders remembered, so that a replayed STOP does not undo a START: nobody says either a hundred times in a day.
pub const ORDERS_MAX: usize = 100;
/// Consent records kept; the last given of a kind decides, the rest is for the record.
pub const CONSENTS_MAX: usize = 100;
/// How long a permitted dial that nobody settled may still be on its way, ms: after two minutes without a word it is given up.
pub const DIAL_OPEN_MS: i64 = 2 * 60 * 1000;

/// What a word such as STOP forbids: everything that goes to the number. Carriers block only the messages; who says stop means us.
pub const STOP_REACHES: Reach = Reach::Phone;

/// What an entry forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Everything that goes to a number.
    Phone,
    /// Calls.
    Voice,
    /// Text messages.
    Sms,
    /// WhatsApp.
    Whatsapp,
    /// E-mail.
    Email,
}

impl Reach {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Phone, Self::Voice, Self::Sms, Self::Whatsapp, Self::Email];

    /// As it stands in ids and in the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::Voice => "voice",
            Self::Sms => "sms",
            Self::Whatsapp => "whatsapp",
            Self::Email => "email",
        }
    }

    /// Whether it forbids a channel.
    pub fn covers(self, channel: Channel) -> bool {
        match channel {
            Channel::Voice => matches!(self, Self::Phone | Self::Voice),
            Channel::Sms => matches!(self, Self::Phone | Self::Sms),
            Channel::Whatsapp => matches!(self, Self::Phone | Self::Whatsapp),
            Channel::Email => self == Self::Email,
            // Nobody is reached there who did not come.
            Channel::Chat | Channel::Linkedin | Channel::Messenger => false,
        }
    }
}

/// Who said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Somebody of the business, or a program of it.
    Staff,
    /// The person, by a word such as STOP.
    Keyword,
    /// The carrier refuses to deliver because the person told it so.
    Carrier,
    /// The person complained, in a call or otherwise.
    Complaint,
    /// A list that was brought along, or a public registry.
    Import,
    /// The person, in their own words in a conversation where nothing proves the number.
    Person,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Staff, Self::Keyword, Self::Carrier, Self::Complaint, Self::Import, Self::Person];

    /// As it stands in ids and in the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Staff => "staff",
            Self::Keyword => "keyword",
            Self::Carrier => "carrier",
            Self::Complaint => "complaint",
            Self::Import => "import",
            Self::Person => "person",
        }
    }

    /// Whether the person said it to us: then not even a question of theirs is answered until they say START.
    pub fn is_the_persons_own(self) -> bool {
        match self {
            Self::Keyword | Self::Carrier => true,
            // Whose number it is nobody knows: they may write themselves, and are answered.
            Self::Staff | Self::Complaint | Self::Import | Self::Person => false,
        }
    }

    /// Whether only the person takes it back.
    pub fn is_the_persons_to_lift(self) -> bool {
        match self {
            Self::Keyword | Self::Carrier | Self::Person => true,
            Self::Staff | Self::Complaint | Self::Import => false,
        }
    }
}

/// An entry of the do-not-contact list. There is at most one for each pair of reach and source, so that nothing grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it forbids.
    pub reach: Reach,
    /// Who said so.
    pub source: Source,
    /// In words.
    pub reason: String,
    /// Who wrote it down: a person's id, `key:…`, or `system`.
    pub by: String,
    /// When it was added first, Unix milliseconds: its place in the list.
    pub listed_ms: i64,
    /// Since when it holds, Unix milliseconds.
    pub since_ms: i64,
    /// The sequence number it holds from.
    pub seq: u64,
    /// When it ends by itself, Unix milliseconds.
    pub expires_ms: Option<i64>,
    /// When it was taken off, Unix milliseconds.
    pub lifted_ms: Option<i64>,
}

impl Entry {
    /// Whether it holds.
    pub fn holds(&self, now_ms: i64) -> bool {
        self.lifted_ms.is_none() && self.expires_ms.is_none_or(|end| end > now_ms)
    }
}

/// To what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentKind {
    /// Being called.
    Calls,
    /// Being called by an artificial voice: that needs a consent of its own (C25).
    AiCalls,
    /// Text messages and WhatsApp.
    Messages,
    /// E-mail.
    Email,
    /// Being recorded.
    Recording,
}

/// One record of the consent ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// Counts from 1.
    pub n: u32,
    /// To what.
    pub kind: ConsentKind,
    /// Given, or withdrawn.
    pub granted: bool,
    /// The words that were agreed to, as the person saw or heard them.
    pub text: String,
    /// Where: a form's address, `call`, `import` …
    pub source: String,
    /// Who wrote it down.
    pub by: String,
    /// When it was given, Unix milliseconds.
    pub at_ms: i64,
    /// The sequence number it holds from.
    pub seq: u64,
}

/// Names a dial.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DialKey {
    /// The campaign; `manual` for a call somebody ordered.
    pub campaign: String,
    /// The target in it.
    pub target: String,
    /// Counts from 1.
    pub attempt: u32,
}

/// A permitted dial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which.
    pub dial: DialKey,
    /// Its permit.
    pub permit: Permit,
    /// The settings it was asked under.
    pub settings_version: u64,
    /// Whether it is settled.
    pub settled: bool,
}

/// The folded state of one number or address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContactGuard {
    /// The organization; empty before the first entry.
    pub tenant: TenantId,
    /// What people are shown; empty while nothing is known.
    pub masked: Masked,
    /// The list, one entry for each reach and source ever used.
    pub entries: Vec<Entry>,
    /// The ledger, oldest first.
    pub consents: Vec<Consent>,
    /// Consent records so far.
    pub consents_ever: u32,
    /// Permitted dials that count, oldest first.
    pub dials: VecDeque<Attempt>,
    /// Permitted messages by name, oldest first.
    pub messages: VecDeque<(String, Permit)>,
    /// Messages that were orders, oldest first.
    pub orders: VecDeque<String>,
    /// The sequence number of the last event.
    pub seq: u64,
}

impl ContactGuard {
    /// The entry that forbids a channel now, the person's own first.
    pub fn blocked(&self, channel: Channel, now_ms: i64) -> Option<&Entry> {
        let holding = self.entries.iter().filter(|entry| entry.holds(now_ms) && entry.reach.covers(channel));
        holding.min_by_key(|entry| (!entry.source.is_the_persons_own(), entry.seq))
    }

    /// The record that decides about a kind: what was said last, whenever it was written down. A consent of an old list does not undo a withdrawal
    /// that came after it.
    pub fn consent(&self, kind: ConsentKind) -> Option<&Consent> {
        let of_kind = self.consents.iter().filter(|consent| consent.kind == kind);
        of_kind.max_by_key(|consent| (consent.at_ms, consent.seq))
    }

    /// Whether the person said STOP to this channel and not START since.
    pub fn stopped_by_person(&self, channel: Channel, now_ms: i64) -> bool {
        self.blocked(channel, now_ms).is_some_and(|entry| entry.source.is_the_persons_own())
    }
}
