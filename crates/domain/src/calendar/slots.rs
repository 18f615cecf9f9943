//! Which times are free: the local clock of the calendar's zone, hours, exceptions, buffers, notice and horizon, less what is taken. Pure and bounded.

use jiff::{
    Timestamp,
    civil::{Date, Time},
    tz::{AmbiguousOffset, TimeZone},
};
use serde::{Deserialize, Serialize};

use super::settings::{Kind, Organization, Provider, Settings, office_hours};
use crate::{
    agent::config::{BusinessHours, OpenHours},
    local_time::{WEEKDAYS, minute_of_day, zone_or_utc},
};

/// Days looked through by one question.
pub const DAYS_MAX: i64 = 62;
/// Slots given by one answer.
pub const SLOTS_MAX: usize = 500;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// A stretch of somebody's time, with what is kept free around it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Whose; empty: the calendar's own.
    pub provider: String,
    /// When it begins, Unix milliseconds.
    pub starts_ms: i64,
    /// When it ends, Unix milliseconds.
    pub ends_ms: i64,
    /// Kept free before, milliseconds.
    pub before_ms: i64,
    /// Kept free after, milliseconds.
    pub after_ms: i64,
}

impl Span {
    /// Whether both cannot be had: the same person, and their times with what is kept free around them overlap.
    pub fn collides(&self, other: &Self) -> bool {
        self.provider == other.provider
            && self.starts_ms - self.before_ms < other.ends_ms + other.after_ms
            && other.starts_ms - other.before_ms < self.ends_ms + self.after_ms
    }
}

/// A slot that can be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Its stretch.
    pub span: Span,
    /// The key of what is booked.
    pub kind: String,
    /// What people call it.
    pub kind_name: String,
    /// The provider's name, if somebody is booked.
    pub provider_name: Option<String>,
}

/// A slot that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// The key of what is booked; none: the calendar's first.
    pub kind: Option<String>,
    /// With whom; none: whoever is free.
    pub provider: Option<String>,
    /// When it begins, Unix milliseconds.
    pub starts_ms: i64,
}

/// Which slots are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Query {
    /// The key of what is to be booked; none: the calendar's first.
    pub kind: Option<String>,
    /// With whom; none: anybody.
    pub provider: Option<String>,
    /// From this instant, Unix milliseconds.
    pub from_ms: i64,
    /// Up to before this one.
    pub to_ms: i64,
    /// Only slots that begin at these local hours of the day, `[from, to)`.
    pub hours: Option<(u8, u8)>,
    /// A holder whose own hold is free to them.
    pub holder: Option<String>,
    /// One for each time instead of one for each provider and time.
    pub any_provider: bool,
    /// At most this many.
    pub limit: usize,
}

/// Why a slot cannot be had whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// There is no such kind.
    Kind,
    /// There is no such provider, or they do not do this.
    Provider,
    /// It lies behind, or too near.
    TooSoon,
    /// It lies too far ahead.
    TooFar,
    /// Nobody works then, or appointments do not begin then.
    Closed,
}

/// Free slots, the earliest first.
pub fn free(
    settings: &Settings,
    organization: &Organization,
    taken: &[&Span],
    query: &Query,
    now_ms: i64,
) -> Vec<Slot> {
    let Some(kind) = settings.kind(query.kind.as_deref()).filter(|_| settings.active) else { return Vec::new() };
    let zone = zone_or_utc(&settings.timezone);
    let from_ms = query.from_ms.max(now_ms + i64::from(settings.minimum_notice_minutes) * MINUTE_MS);
    let horizon_ms = now_ms + i64::from(settings.horizon_days) * DAY_MS;
    let to_ms = query.to_ms.min(horizon_ms).min(from_ms.saturating_add(DAYS_MAX * DAY_MS));
    let limit = query.limit.clamp(1, SLOTS_MAX);
    let mut slots: Vec<Slot> = Vec::new();
    let Some(mut date) = date_of(&zone, from_ms) else { return slots };
    let people = people(settings, kind, query.provider.as_deref());
    while from_ms < to_ms && slots.len() < limit {
        let mut day: Vec<Slot> = Vec::new();
        for provider in &people {
            for starts_ms in starts(settings, organization, *provider, kind, &zone, date) {
                let slot = slot(settings, kind, *provider, starts_ms);
                let hour = || crate::local_time::local_hour(&zone, starts_ms);
                let fits = (from_ms..to_ms).contains(&starts_ms)
                    && query.hours.is_none_or(|(first, last)| (first..last).contains(&hour()))
                    && !taken.iter().any(|other| other.collides(&slot.span));
                if fits {
                    day.push(slot);
                }
            }
        }
        day.sort_by(|a, b| (a.span.starts_ms, &a.span.provider).cmp(&(b.span.starts_ms, &b.span.provider)));
        if query.any_provider {
            // Whoever has least to do that day comes first, so that work is shared.
            let load =
                |provider: &str| taken.iter().filter(|span| span.provider == provider && near(span, &day)).count();
            let mut loads: Vec<(usize, Slot)> =
                day.iter().map(|slot| (load(&slot.span.provider), slot.clone())).collect();
            loads.sort_by(|(less, a), (more, b)| (a.span.starts_ms, less).cmp(&(b.span.starts_ms, more)));
            day = loads.into_iter().map(|(_, slot)| slot).collect();
            day.dedup_by_key(|slot| slot.span.starts_ms);
        }
        slots.extend(day);
        match date.tomorrow() {
            Ok(next) if start_of(&zone, next).is_some_and(|begins| begins < to_ms) => date = next,
            Ok(_) | Err(_) => break,
        }
    }
    slots.truncate(limit);
    slots
}

/// The slot that a wish names, if appointments begin then. Whether it is free is not asked here.
///
/// # Errors
/// Why nobody could have it.
pub fn named(
    settings: &Settings,
    organization: &Organization,
    want: &Want,
    provider: Option<&Provider>,
    now_ms: i64,
) -> Result<Slot, Unfit> {
    let kind = settings.kind(want.kind.as_deref()).ok_or(Unfit::Kind)?;
    if want.starts_ms < now_ms + i64::from(settings.minimum_notice_minutes) * MINUTE_MS {
        return Err(Unfit::TooSoon);
    }
    if want.starts_ms >= now_ms + i64::from(settings.horizon_days) * DAY_MS {
        return Err(Unfit::TooFar);
    }
    let zone = zone_or_utc(&settings.timezone);
    let date = date_of(&zone, want.starts_ms).ok_or(Unfit::Closed)?;
    let begins =
        settings.active && starts(settings, organization, provider, kind, &zone, date).contains(&want.starts_ms);
    if begins { Ok(slot(settings, kind, provider, want.starts_ms)) } else { Err(Unfit::Closed) }
}

/// Who may take an appointment of a kind: those named or all who do it; nobody in particular where a calendar has no providers.
pub fn people<'a>(settings: &'a Settings, kind: &Kind, wanted: Option<&str>) -> Vec<Option<&'a Provider>> {
    if settings.providers.is_empty() {
        // A wish for somebody who is not there fits nobody.
        return if wanted.is_none_or(str::is_empty) { vec![None] } else { Vec::new() };
    }
    settings
        .providers
        .iter()
        .filter(|provider| provider.active && provider.does(&kind.id) && wanted.is_none_or(|id| id == provider.id))
        .map(Some)
        .collect()
}

fn slot(settings: &Settings, kind: &Kind, provider: Option<&Provider>, starts_ms: i64) -> Slot {
    let minutes = |own: Option<u32>, all: u32| i64::from(own.unwrap_or(all)) * MINUTE_MS;
    Slot {
        span: Span {
            provider: provider.map(|provider| provider.id.clone()).unwrap_or_default(),
            starts_ms,
            ends_ms: starts_ms + i64::from(kind.duration_minutes) * MINUTE_MS,
            before_ms: minutes(kind.buffer_before_minutes, settings.buffer_before_minutes),
            after_ms: minutes(kind.buffer_after_minutes, settings.buffer_after_minutes),
        },
        kind: kind.id.clone(),
        kind_name: kind.name.clone(),
        provider_name: provider.map(|provider| provider.name.clone()),
    }
}

/// The instants at which appointments of a kind may begin on a local day. Times the clocks skip are none; times they show twice are two.
fn starts(
    settings: &Settings,
    organization: &Organization,
    provider: Option<&Provider>,
    kind: &Kind,
    zone: &TimeZone,
    date: Date,
) -> Vec<i64> {
    let Some((open, close)) = window(settings, organization, provider, date) else { return Vec::new() };
    let (Some(opens_ms), Some(closes_ms)) = (at(zone, date, open), at(zone, date, close)) else { return Vec::new() };
    let duration_ms = i64::from(kind.duration_minutes) * MINUTE_MS;
    let step = u16::try_from(settings.slot_step_minutes).unwrap_or(u16::MAX).max(1);
    let mut starts: Vec<i64> = (open..close)
        .step_by(usize::from(step))
        .flat_map(|minute| instants(zone, date, minute))
        .filter(|starts_ms| *starts_ms >= opens_ms && starts_ms + duration_ms <= closes_ms)
        .collect();
    starts.sort_unstable();
    starts
}

/// From which to which minute of a local day somebody can be booked.
fn window(
    settings: &Settings,
    organization: &Organization,
    provider: Option<&Provider>,
    date: Date,
) -> Option<(u16, u16)> {
    let day = date.to_string();
    let exception = |id: Option<&str>| {
        settings.exceptions.iter().find(|exception| {
            let last = exception.until.as_deref().unwrap_or(&exception.date);
            // Days as text are in order.
            exception.provider_id.as_deref() == id && (exception.date.as_str()..=last).contains(&day.as_str())
        })
    };
    let of = |hours: &BusinessHours| {
        let weekday = usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or(0);
        hours.get(WEEKDAYS[weekday]).and_then(Option::as_ref).and_then(minutes)
    };
    let business = match exception(None) {
        Some(exception) => exception.hours.as_ref().and_then(minutes)?,
        None => match &settings.business_hours {
            Some(own) => of(own)?,
            None if organization.hours.is_empty() => of(&office_hours())?,
            None => of(&organization.hours)?,
        },
    };
    let Some(provider) = provider else { return Some(business) };
    let own = match exception(Some(&provider.id)) {
        Some(exception) => exception.hours.as_ref().and_then(minutes)?,
        None => match &provider.business_hours {
            Some(own) => of(own)?,
            None => business,
        },
    };
    // Nobody is booked while the business is closed.
    let (open, close) = (own.0.max(business.0), own.1.min(business.1));
    (open < close).then_some((open, close))
}

fn minutes(hours: &OpenHours) -> Option<(u16, u16)> {
    minute_of_day(&hours.open).zip(minute_of_day(&hours.close)).filter(|(open, close)| open < close)
}

/// The instant of a local minute; where clocks skip it, when they have; where they show it twice, the first time.
fn at(zone: &TimeZone, date: Date, minute: u16) -> Option<i64> {
    Some(local(date, minute)?.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond())
}

fn instants(zone: &TimeZone, date: Date, minute: u16) -> Vec<i64> {
    let Some(local) = local(date, minute) else { return Vec::new() };
    let ms = |offset: jiff::tz::Offset| offset.to_timestamp(local).ok().map(Timestamp::as_millisecond);
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => ms(offset).into_iter().collect(),
        AmbiguousOffset::Gap { .. } => Vec::new(),
        AmbiguousOffset::Fold { before, after } => [ms(before), ms(after)].into_iter().flatten().collect(),
    }
}

fn local(date: Date, minute: u16) -> Option<jiff::civil::DateTime> {
    if minute == 24 * 60 {
        return Some(date.tomorrow().ok()?.to_datetime(Time::midnight()));
    }
    let time = Time::new(i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?, 0, 0).ok()?;
    Some(date.to_datetime(time))
}

fn date_of(zone: &TimeZone, at_ms: i64) -> Option<Date> {
    Some(zone.to_datetime(Timestamp::from_millisecond(at_ms).ok()?).date())
}

fn start_of(zone: &TimeZone, date: Date) -> Option<i64> {
    Some(date.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond())
}

/// Whether a stretch lies on the day of these slots.
fn near(span: &Span, day: &[Slot]) -> bool {
    match (day.first(), day.last()) {
        (Some(first), Some(last)) => {
            span.starts_ms > first.span.starts_ms - DAY_MS / 2 && span.starts_ms < last.span.starts_ms + DAY_MS / 2
        }
        (None, _) | (_, None) => false,
    }
}
