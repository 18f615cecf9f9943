//! What others see of a calendar and its slots, with the names of the public contract.

use serde::{Deserialize, Serialize};

use super::{Calendar, Hold, Settings, Slot};
use crate::{
    ids::CalendarId,
    local_time::{DayClock, day_clock, rfc3339, zone_or_utc},
};

/// A calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalendarView {
    /// Its id.
    pub id: CalendarId,
    /// How it is kept.
    #[serde(flatten)]
    pub settings: Settings,
    /// Made for the organization to begin with and touched by nobody since: it gives way to calendars that people set up.
    #[serde(default)]
    pub starter: bool,
    /// Rises with each change of the settings.
    pub version: u64,
    /// When it was created.
    pub created_at: String,
    /// When its settings changed last.
    pub updated_at: String,
}

/// The calendar.
pub fn view(state: &Calendar) -> CalendarView {
    CalendarView {
        id: state.id.clone(),
        settings: state.settings.clone(),
        starter: state.starter,
        version: state.version,
        created_at: rfc3339(state.created_at_ms),
        updated_at: rfc3339(state.updated_at_ms),
    }
}

/// A slot that can be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotView {
    /// The calendar.
    pub calendar_id: CalendarId,
    /// Who takes it, if somebody is booked.
    pub provider_id: Option<String>,
    /// Their name.
    pub provider_name: Option<String>,
    /// The key of what is booked.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it begins.
    pub starts_at: String,
    /// When it ends.
    pub ends_at: String,
    /// The zone its label is in.
    pub timezone: String,
    /// When it begins, in words and local time.
    pub label: String,
}

/// A slot of a calendar.
pub fn slot(calendar: &CalendarId, timezone: &str, slot: &Slot) -> SlotView {
    SlotView {
        calendar_id: calendar.clone(),
        provider_id: Some(slot.span.provider.clone()).filter(|id| !id.is_empty()),
        provider_name: slot.provider_name.clone(),
        kind: slot.kind.clone(),
        starts_at: rfc3339(slot.span.starts_ms),
        ends_at: rfc3339(slot.span.ends_ms),
        timezone: timezone.to_owned(),
        label: label(timezone, slot.span.starts_ms),
    }
}

/// A slot kept for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldView {
    /// What to name when booking.
    pub hold_id: String,
    /// Until when.
    pub expires_at: String,
    /// Which.
    pub slot: SlotView,
}

/// A hold of a calendar.
pub fn hold(calendar: &CalendarId, timezone: &str, holder: &str, hold: &Hold) -> HoldView {
    HoldView {
        hold_id: holder.to_owned(),
        expires_at: rfc3339(hold.expires_ms),
        slot: slot(calendar, timezone, &hold.slot),
    }
}

/// An instant in words and local time, such as `Tuesday, November 24 at 2:30 PM`. Where clocks show it twice, the zone's abbreviation tells which.
pub fn label(timezone: &str, at_ms: i64) -> String {
    let zone = zone_or_utc(timezone);
    let Ok(at) = jiff::Timestamp::from_millisecond(at_ms) else { return rfc3339(at_ms) };
    let local = at.to_zoned(zone.clone());
    let words = match day_clock(timezone) {
        DayClock::Twelve => local.strftime("%A, %B %-d at %-I:%M %p").to_string(),
        DayClock::TwentyFour => local.strftime("%A, %B %-d at %-H:%M").to_string(),
    };
    if zone.to_ambiguous_timestamp(local.datetime()).is_ambiguous() {
        return format!("{words} {}", local.strftime("%Z"));
    }
    words
}
