//! When a telephone may be written to about an appointment: never at night by its owner's clock, and a reminder rather the evening before than too late.

use crate::campaign::{number, window::Hours, window::Window};

/// How far back a better moment for a reminder is looked for, and in which steps, ms: the evening before is no further than a night.
const BACK_MAX_MS: i64 = 14 * 3_600_000;
const STEP_MS: i64 = 5 * 60_000;
/// News that would come later than this before the appointment, ms, leave at once, at night too: whoever was moved must know before leaving home.
pub const NEWS_BEFORE_MS: i64 = 3_600_000;

/// The hours of a number, else of the calendar's zone: 8 in the morning to 9 in the evening (C25).
fn hours(phone: &str, calendar_zone: &str) -> Hours {
    let zones = number::normal(phone, None).map(|number| number.zones).unwrap_or_default();
    let zones = if zones.is_empty() { vec![calendar_zone.to_owned()] } else { zones };
    Window::default().hours(&zones)
}

/// When a reminder that is due at `at_ms` leaves; none: there is no moment before the appointment at which it may.
pub fn reminder(phone: &str, calendar_zone: &str, at_ms: i64, now_ms: i64, starts_ms: i64) -> Option<i64> {
    let hours = hours(phone, calendar_zone);
    if hours.is_open(at_ms) {
        return Some(at_ms);
    }
    let before = (1..=BACK_MAX_MS / STEP_MS).map(|step| at_ms - step * STEP_MS).find(|at| hours.is_open(*at));
    before.filter(|at| *at > now_ms).or_else(|| hours.next(at_ms.max(now_ms)).filter(|at| *at < starts_ms))
}

/// Until when news of an appointment wait; none: they leave now.
pub fn news(phone: &str, calendar_zone: &str, now_ms: i64, starts_ms: i64) -> Option<i64> {
    let hours = hours(phone, calendar_zone);
    let next = hours.next(now_ms).filter(|_| !hours.is_open(now_ms))?;
    (next + NEWS_BEFORE_MS <= starts_ms).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_time::rfc3339;

    fn at(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    const CHICAGO: &str = "+12175550133";

    #[test]
    fn a_reminder_at_night_leaves_the_evening_before_by_the_persons_clock() {
        let leaves = |phone: &str, due: &str, now: &str, starts: &str| {
            reminder(phone, "Europe/Berlin", at(due), at(now), at(starts)).map(rfc3339)
        };
        // 14:00 in Chicago.
        let day = leaves(CHICAGO, "2026-11-23T20:00:00Z", "2026-11-20T00:00:00Z", "2026-11-24T20:00:00Z");
        assert_eq!(day.as_deref(), Some("2026-11-23T20:00:00.000Z"));
        // 06:30 in Chicago: before nine in the evening, which is 03:00 in Greenwich.
        let early = leaves(CHICAGO, "2026-11-23T12:30:00Z", "2026-11-20T00:00:00Z", "2026-11-23T14:30:00Z");
        assert_eq!(early.as_deref(), Some("2026-11-23T02:55:00.000Z"));
        // Booked at night: in the morning, if that is before it begins.
        let booked = leaves(CHICAGO, "2026-11-23T12:30:00Z", "2026-11-23T06:00:00Z", "2026-11-23T14:30:00Z");
        assert_eq!(booked.as_deref(), Some("2026-11-23T14:00:00.000Z"));
        assert_eq!(leaves(CHICAGO, "2026-11-23T12:30:00Z", "2026-11-23T06:00:00Z", "2026-11-23T13:30:00Z"), None);
        // A number of no known place keeps to the calendar's clock: half past one in Berlin.
        let elsewhere = leaves("12", "2026-11-23T00:30:00Z", "2026-11-20T00:00:00Z", "2026-11-24T00:00:00Z");
        assert_eq!(elsewhere.as_deref(), Some("2026-11-22T19:55:00.000Z"));
    }

    #[test]
    fn news_wait_for_the_morning_unless_that_would_be_too_late() {
        let waits = |now: &str, starts: &str| news(CHICAGO, "UTC", at(now), at(starts)).map(rfc3339);
        assert_eq!(waits("2026-11-23T20:00:00Z", "2026-11-24T20:00:00Z"), None);
        let night = waits("2026-11-23T06:00:00Z", "2026-11-23T16:00:00Z");
        assert_eq!(night.as_deref(), Some("2026-11-23T14:00:00.000Z"));
        assert_eq!(waits("2026-11-23T06:00:00Z", "2026-11-23T14:30:00Z"), None, "it begins soon after eight");
    }
}
