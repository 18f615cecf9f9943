//! How a calendar is kept: zone, hours, buffers, who works in it, what can be booked, days that are otherwise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    agent::config::{BusinessHours, OpenHours},
    check::{Checks, is_key, merge_patch},
    ids::AgentId,
    local_time::{WEEKDAYS, minute_of_day, zone},
    rejection::Rejection,
};

/// People who work in one calendar.
pub const PROVIDERS_MAX: usize = 50;
/// Kinds of appointments of one calendar.
pub const KINDS_MAX: usize = 50;
/// Days that are otherwise: ten years of holidays.
pub const EXCEPTIONS_MAX: usize = 400;
/// Agents of one calendar.
pub const AGENTS_MAX: usize = 100;
/// The longest appointment, minutes: a working day.
pub const DURATION_MAX: u32 = 12 * 60;
/// The longest buffer, minutes.
pub const BUFFER_MAX: u32 = 4 * 60;
/// The longest notice, minutes: a month.
pub const NOTICE_MAX: u32 = 31 * 24 * 60;
/// The furthest that is booked ahead, days: two years.
pub const HORIZON_MAX: u32 = 730;
/// The longest stretch of days that are otherwise.
const EXCEPTION_DAYS_MAX: i32 = 366;
/// The longest name.
const NAME_CHARS_MAX: usize = 120;

/// The hours of a business that has set none anywhere: office hours are the safest guess, midnight is none.
pub fn office_hours() -> BusinessHours {
    let nine_to_five = OpenHours { open: "09:00".into(), close: "17:00".into() };
    WEEKDAYS[..5].iter().map(|day| ((*day).to_owned(), Some(nine_to_five.clone()))).collect()
}

/// What a calendar takes from its organization.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Organization {
    /// IANA zone.
    pub timezone: String,
    /// When it is open; empty if it never said.
    pub hours: BusinessHours,
}

/// How a calendar is kept. Field names are those of the public contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Its name.
    pub name: String,
    /// IANA zone; set from the organization's when the calendar is created.
    pub timezone: String,
    /// Whether appointments can be booked at all.
    pub active: bool,
    /// The agents that book here; empty: all.
    pub agent_ids: Vec<AgentId>,
    /// When it can be booked; none: when the organization is open.
    pub business_hours: Option<BusinessHours>,
    /// Kept free before each appointment, minutes.
    pub buffer_before_minutes: u32,
    /// Kept free after each appointment, minutes.
    pub buffer_after_minutes: u32,
    /// Appointments begin every so many minutes after opening.
    pub slot_step_minutes: u32,
    /// The shortest time from booking to appointment, minutes.
    pub minimum_notice_minutes: u32,
    /// How far ahead one may book, days.
    pub horizon_days: u32,
    /// People are reminded so long before, minutes; 0: never.
    pub reminder_minutes: u32,
    /// A cancellation with less notice than this is late and told to the team, minutes (APT-9).
    pub late_cancellation_minutes: u32,
    /// What can be booked.
    pub types: Vec<Kind>,
    /// Who works here; empty: the calendar itself is the one that is booked.
    pub providers: Vec<Provider>,
    /// Days that are otherwise.
    pub exceptions: Vec<Exception>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: String::new(),
            timezone: String::new(),
            active: true,
            agent_ids: Vec::new(),
            business_hours: None,
            buffer_before_minutes: 0,
            buffer_after_minutes: 0,
            slot_step_minutes: 30,
            minimum_notice_minutes: 60,
            horizon_days: 60,
            reminder_minutes: 24 * 60,
            late_cancellation_minutes: 24 * 60,
            types: vec![Kind {
                id: "consultation".into(),
                name: "Consultation".into(),
                duration_minutes: 30,
                buffer_before_minutes: None,
                buffer_after_minutes: None,
            }],
            providers: Vec::new(),
            exceptions: Vec::new(),
        }
    }
}

/// A kind of appointment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kind {
    /// Its key, such as `service_call`.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// How long it takes, minutes.
    pub duration_minutes: u32,
    /// Kept free before, minutes; none: as the calendar says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffer_before_minutes: Option<u32>,
    /// Kept free after, minutes; none: as the calendar says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffer_after_minutes: Option<u32>,
}

impl Kind {
    /// A visit to somebody's home: an hour, because nobody knows before what is found there.
    #[must_use]
    pub fn service_call() -> Self {
        Self { id: "service_call".into(), name: "Service call".into(), duration_minutes: 60, ..Self::default() }
    }
}

/// Somebody who takes appointments: a stylist, a technician.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Provider {
    /// Their key.
    pub id: String,
    /// Their name.
    pub name: String,
    /// Whether they can be booked.
    pub active: bool,
    /// When they work, within the calendar's hours; none: as the calendar.
    pub business_hours: Option<BusinessHours>,
    /// Keys of what they do; empty: everything.
    pub types: Vec<String>,
}

impl Default for Provider {
    fn default() -> Self {
        Self { id: String::new(), name: String::new(), active: true, business_hours: None, types: Vec::new() }
    }
}

impl Provider {
    /// Whether they do this.
    pub fn does(&self, kind: &str) -> bool {
        self.types.is_empty() || self.types.iter().any(|own| own == kind)
    }
}

/// Days that are otherwise: closed, or open at other hours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Exception {
    /// The local day, `YYYY-MM-DD`.
    pub date: String,
    /// The last such day; none: only that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The hours of these days; none: closed.
    pub hours: Option<OpenHours>,
    /// Whom it is about; none: everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// Why, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Settings {
    /// Settings with a merge patch laid over them, checked.
    ///
    /// # Errors
    /// Every field that is wrong.
    pub fn patched(&self, patch: &Value) -> Result<Self, Rejection> {
        if !patch.is_object() {
            return Err(Rejection::invalid("body", "must be a JSON object"));
        }
        let mut value = serde_json::to_value(self).map_err(|error| Rejection::invalid("body", error.to_string()))?;
        merge_patch(&mut value, patch);
        // A field set to null is as it is by default.
        let settings: Self = serde_json::from_value(value).map_err(|error| {
            let message = error.to_string();
            let field = message.split('`').nth(1).unwrap_or("body").to_owned();
            Rejection::invalid(&field, message)
        })?;
        settings.checked()?;
        Ok(settings)
    }

    /// A kind by its key; the only one where none is named.
    pub fn kind(&self, id: Option<&str>) -> Option<&Kind> {
        match id {
            Some(id) => self.types.iter().find(|kind| kind.id == id),
            None => self.types.first(),
        }
    }

    /// A provider by key.
    pub fn provider(&self, id: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.id == id)
    }

    /// Whether an agent books here.
    pub fn serves(&self, agent: &AgentId) -> bool {
        self.active && (self.agent_ids.is_empty() || self.agent_ids.contains(agent))
    }

    fn checked(&self) -> Result<(), Rejection> {
        let mut checks = Checks::default();
        checks.line("name", &self.name, 1, NAME_CHARS_MAX);
        checks.ensure(zone(&self.timezone).is_some(), "timezone", "must be an IANA zone such as Europe/Zurich");
        checks.count("agent_ids", self.agent_ids.len(), AGENTS_MAX);
        let mut within = |field: &str, value: u32, least: u32, most: u32| {
            checks.ensure((least..=most).contains(&value), field, format!("must be {least} to {most}"));
        };
        within("buffer_before_minutes", self.buffer_before_minutes, 0, BUFFER_MAX);
        within("buffer_after_minutes", self.buffer_after_minutes, 0, BUFFER_MAX);
        within("slot_step_minutes", self.slot_step_minutes, 5, DURATION_MAX);
        within("minimum_notice_minutes", self.minimum_notice_minutes, 0, NOTICE_MAX);
        within("horizon_days", self.horizon_days, 1, HORIZON_MAX);
        within("reminder_minutes", self.reminder_minutes, 0, NOTICE_MAX);
        within("late_cancellation_minutes", self.late_cancellation_minutes, 0, NOTICE_MAX);
        if let Some(own) = &self.business_hours {
            hours(&mut checks, "business_hours", own);
        }
        checks.ensure(!self.types.is_empty(), "types", "needs at least one");
        checks.count("types", self.types.len(), KINDS_MAX);
        let mut keys = BTreeMap::new();
        for (n, kind) in self.types.iter().enumerate() {
            let field = |name: &str| format!("types.{n}.{name}");
            checks.ensure(is_key(&kind.id), field("id"), "must be lower-case letters, digits and underscores");
            checks.ensure(keys.insert(&kind.id, n).is_none(), field("id"), "is there twice");
            checks.line(&field("name"), &kind.name, 1, NAME_CHARS_MAX);
            let fits = (5..=DURATION_MAX).contains(&kind.duration_minutes);
            checks.ensure(fits, field("duration_minutes"), format!("must be 5 to {DURATION_MAX}"));
            for (name, buffer) in [
                ("buffer_before_minutes", kind.buffer_before_minutes),
                ("buffer_after_minutes", kind.buffer_after_minutes),
            ] {
                checks.ensure(
                    buffer.is_none_or(|own| own <= BUFFER_MAX),
                    field(name),
                    format!("must be 0 to {BUFFER_MAX}"),
                );
            }
        }
        checks.count("providers", self.providers.len(), PROVIDERS_MAX);
        let mut people = BTreeMap::new();
        for (n, provider) in self.providers.iter().enumerate() {
            let field = |name: &str| format!("providers.{n}.{name}");
            checks.ensure(is_key(&provider.id), field("id"), "must be lower-case letters, digits and underscores");
            checks.ensure(people.insert(&provider.id, n).is_none(), field("id"), "is there twice");
            checks.line(&field("name"), &provider.name, 1, NAME_CHARS_MAX);
            for kind in &provider.types {
                checks.ensure(keys.contains_key(kind), field("types"), format!("there is no type `{kind}`"));
            }
            if let Some(own) = &provider.business_hours {
                hours(&mut checks, &field("business_hours"), own);
            }
        }
        checks.count("exceptions", self.exceptions.len(), EXCEPTIONS_MAX);
        for (n, exception) in self.exceptions.iter().enumerate() {
            let field = |name: &str| format!("exceptions.{n}.{name}");
            let first = exception.date.parse::<jiff::civil::Date>();
            checks.ensure(first.is_ok(), field("date"), "must be a day such as 2026-12-24");
            if let Some(until) = &exception.until {
                let days = first
                    .ok()
                    .zip(until.parse::<jiff::civil::Date>().ok())
                    .and_then(|(first, last)| first.until((jiff::Unit::Day, last)).ok().map(|span| span.get_days()));
                let fits = days.is_some_and(|days| (0..=EXCEPTION_DAYS_MAX).contains(&days));
                checks.ensure(fits, field("until"), "must be a day within a year after `date`");
            }
            if let Some(open) = &exception.hours {
                open_hours(&mut checks, &field("hours"), open);
            }
            if let Some(id) = &exception.provider_id {
                checks.ensure(people.contains_key(id), field("provider_id"), format!("there is no provider `{id}`"));
            }
            if let Some(note) = &exception.note {
                checks.line(&field("note"), note, 0, NAME_CHARS_MAX);
            }
        }
        checks.finish()
    }
}

fn hours(checks: &mut Checks, field: &str, hours: &BusinessHours) {
    for (day, open) in hours {
        let known = WEEKDAYS.contains(&day.as_str());
        checks.ensure(known, format!("{field}.{day}"), "must be one of mon, tue, wed, thu, fri, sat, sun");
        if let Some(open) = open {
            open_hours(checks, &format!("{field}.{day}"), open);
        }
    }
}

fn open_hours(checks: &mut Checks, field: &str, hours: &OpenHours) {
    let right = match (minute_of_day(&hours.open), minute_of_day(&hours.close)) {
        (Some(open), Some(close)) => open < close,
        (None, _) | (_, None) => false,
    };
    checks.ensure(right, field, "must be times such as 09:00 to 17:00, the second later than the first");
}
