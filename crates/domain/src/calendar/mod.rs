//! The calendar entity: one per calendar of a business. It alone gives out its time, one decision after the other, so that no slot is ever given twice.
//!
//! It holds no personal data: what it knows of an appointment is its id and its stretch of time. Who comes, and why, stands in [`crate::appointment`].
//! Reading order: [`settings`], [`slots`] (which times are free), `decide` (who gets one), [`view`].

mod decide;
pub mod settings;
pub mod slots;
#[cfg(test)]
mod tests;
pub mod view;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use decide::{SLOT_CLOSED, SLOT_TAKEN, apply, decide, on_timer, timer};
pub use settings::{Exception, Kind, Organization, Provider, Settings};
pub use slots::{Query, Slot, Span, Want};

use crate::{
    decision,
    ids::{AppointmentId, CalendarId, TenantId},
};

/// The entity's kind in keys.
pub const KIND: &str = "calendar";

/// How long a slot is kept for somebody who was offered it, milliseconds: time enough to give a name and a number, in chat or on the phone.
pub const HOLD_MS: i64 = 10 * 60 * 1000;
/// Slots held at once: more people than this do not book with one business within ten minutes.
pub const HOLDS_MAX: usize = 500;
/// Stretches kept at once: two years of forty appointments a day are fewer.
pub const BOOKINGS_MAX: usize = 20_000;
/// How long a stretch that lies behind is kept, milliseconds: a late message about it still finds it. Its appointment stays by itself.
pub const BOOKINGS_KEPT_MS: i64 = 7 * 24 * 3600 * 1000;
/// The longest name of a holder, bytes: a conversation's id is shorter.
pub const HOLDER_BYTES_MAX: usize = 128;

/// What a command leads to.
pub type Decision = decision::Decision<Event, Reply>;

/// The folded state. One that was never created has an empty id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Calendar {
    /// Its id.
    pub id: CalendarId,
    /// The tenant.
    pub tenant: TenantId,
    /// How it is kept.
    pub settings: Settings,
    /// Made for the organization when it said when it is open, and touched by nobody since: it gives way to calendars that people set up.
    pub starter: bool,
    /// Rises with each change of the settings.
    pub version: u64,
    /// Rises each time the address of the feed is replaced; older ones open nothing.
    pub feed_version: u32,
    /// Slots kept for a while, by who holds them; each holder has at most one.
    pub holds: BTreeMap<String, Hold>,
    /// Stretches given to appointments.
    pub bookings: BTreeMap<AppointmentId, Booking>,
    /// When it was created, Unix milliseconds.
    pub created_at_ms: i64,
    /// When its settings changed last, Unix milliseconds.
    pub updated_at_ms: i64,
}

impl Calendar {
    /// Whether it was created.
    pub fn exists(&self) -> bool {
        !self.id.0.is_empty()
    }

    /// Every stretch that nobody else may have now; the holder's own hold and the appointment's own booking are left out.
    pub fn taken(&self, now_ms: i64, holder: Option<&str>, own: Option<&AppointmentId>) -> Vec<&Span> {
        let held = self
            .holds
            .iter()
            .filter(|(name, hold)| hold.expires_ms > now_ms && holder != Some(name.as_str()))
            .map(|(_, hold)| &hold.slot.span);
        let booked = self
            .bookings
            .iter()
            .filter(|(id, booking)| !booking.released && own != Some(*id))
            .map(|(_, booking)| &booking.span);
        held.chain(booked).collect()
    }
}

/// A slot kept for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Which.
    pub slot: Slot,
    /// Until when, Unix milliseconds.
    pub expires_ms: i64,
}

/// A stretch given to an appointment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booking {
    /// Which.
    pub span: Span,
    /// The number of the appointment's wish that this answers: it rises each time the appointment is moved.
    pub n: u32,
    /// Given back. Kept for a while, so that a late copy of the wish does not take it again.
    #[serde(default)]
    pub released: bool,
}

/// What one may ask it to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// A calendar is set up.
    Create {
        /// Its id.
        id: CalendarId,
        /// How it is kept, as a merge patch over the defaults.
        settings: Value,
        /// The organization's zone and hours.
        organization: Organization,
    },
    /// Its settings change.
    Update {
        /// A JSON merge patch.
        patch: Value,
        /// The version it was made from.
        if_version: Option<u64>,
    },
    /// The organization says what it wants of the calendar that it begins with; its id is the tenant's own.
    Plan {
        /// The organization's zone.
        timezone: String,
        /// Whether it says for the first time when it is open: only then the calendar is made.
        opened: bool,
    },
    /// The trade of an agent that books says what is booked in a calendar that the organization began with.
    Suit {
        /// What.
        kind: Kind,
    },
    /// The feed gets another address.
    RotateFeed,
    /// Query: free slots.
    Slots {
        /// Which.
        query: Query,
        /// The organization's zone and hours.
        organization: Organization,
    },
    /// Keep a slot for somebody. What the holder held before is free again.
    Hold {
        /// Who, such as a conversation's id.
        holder: String,
        /// Which slot.
        want: Want,
        /// The organization's zone and hours.
        organization: Organization,
    },
    /// A holder wants it no more.
    Unhold {
        /// Who.
        holder: String,
    },
    /// Query: what a holder holds.
    Held {
        /// Who.
        holder: String,
    },
    /// An appointment wants a slot. Repeating it gives the same answer.
    Book {
        /// Which appointment.
        appointment: AppointmentId,
        /// The number of its wish.
        n: u32,
        /// Whose hold it uses, if any.
        holder: Option<String>,
        /// Which slot.
        want: Want,
        /// The organization's zone and hours.
        organization: Organization,
    },
    /// An appointment gives its stretch back.
    Release {
        /// Which appointment.
        appointment: AppointmentId,
    },
    /// Holds may have run out.
    Tick,
    /// Query: the whole calendar.
    View,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// It was set up.
    Created {
        /// Its id.
        id: CalendarId,
        /// The tenant.
        tenant: TenantId,
        /// How it is kept.
        settings: Box<Settings>,
        /// Made for the organization to begin with.
        #[serde(default)]
        starter: bool,
    },
    /// The organization moved to another zone, and a calendar that nobody has touched goes with it.
    ZoneFollowed {
        /// The zone.
        timezone: String,
    },
    /// A calendar that nobody has touched books what the trade does.
    Suited {
        /// What.
        kind: Kind,
    },
    /// Its settings changed.
    Updated {
        /// How it is kept now.
        settings: Box<Settings>,
    },
    /// The feed got another address.
    FeedRotated,
    /// A slot is kept for somebody.
    Held {
        /// Who.
        holder: String,
        /// Which, and until when.
        hold: Hold,
    },
    /// Holds ended: given up, or run out.
    HoldsEnded {
        /// Whose.
        holders: Vec<String>,
    },
    /// An appointment has a stretch; one it had before is free again.
    Booked {
        /// Which appointment.
        appointment: AppointmentId,
        /// The number of its wish.
        n: u32,
        /// The hold that this used up.
        holder: Option<String>,
        /// The stretch.
        span: Span,
    },
    /// An appointment gave its stretch back.
    Released {
        /// Which appointment.
        appointment: AppointmentId,
    },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Done, or already so.
    Done,
    /// The calendar.
    Calendar(Box<Calendar>),
    /// Free slots, the earliest first.
    Slots {
        /// At most as many as asked for.
        items: Vec<Slot>,
    },
    /// A slot is held, or none is.
    Hold {
        /// Which.
        hold: Option<Hold>,
    },
    /// A slot is an appointment's.
    Booked {
        /// Which.
        slot: Slot,
    },
}
