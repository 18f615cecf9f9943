//! When people may be called: hours and days by their own clocks, whatever the clocks do.

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::{
    check::Checks,
    local_time::{WEEKDAYS, minute_of_day, zone},
};

/// The recipient's own time, taken from the number.
pub const RECIPIENT: &str = "recipient";
/// The earliest and latest minute of a day that a window may have: nobody is called by a machine at night, whatever is configured (C25).
const MINUTES: std::ops::RangeInclusive<u16> = 8 * 60..=21 * 60;
/// Days looked ahead for an opening: a week and the day it began on.
const DAYS_AHEAD: i32 = 8;
/// Steps of the search for an hour open in several zones: each moves on to an opening of one zone, and there are at most twelve zones.
const STEPS_MAX: u32 = 200;

/// When people may be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Window {
    /// `HH:MM`; not before 08:00.
    pub start: String,
    /// `HH:MM`; not after 21:00. The last call begins before it.
    pub end: String,
    /// `mon` to `sun`.
    pub days: Vec<String>,
    /// [`RECIPIENT`] or an IANA zone.
    pub timezone: String,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            start: "08:00".to_owned(),
            end: "21:00".to_owned(),
            days: WEEKDAYS.map(str::to_owned).to_vec(),
            timezone: RECIPIENT.to_owned(),
        }
    }
}

impl Window {
    /// Notes what is wrong with it.
    pub fn check(&self, checks: &mut Checks) {
        let (from, to) = (minute_of_day(&self.start), minute_of_day(&self.end));
        let within = |minute: Option<u16>| minute.is_some_and(|minute| MINUTES.contains(&minute));
        checks.ensure(within(from), "window.start", "must be a time such as 09:00, not before 08:00");
        checks.ensure(within(to), "window.end", "must be a time such as 20:00, not after 21:00");
        checks.ensure(from < to, "window.end", "must be after the start");
        checks.ensure(!self.days.is_empty(), "window.days", "must name at least one day");
        checks.ensure(
            self.days.iter().all(|day| WEEKDAYS.contains(&day.as_str())),
            "window.days",
            "are mon, tue, wed, thu, fri, sat and sun",
        );
        checks.ensure(
            self.timezone == RECIPIENT || zone(&self.timezone).is_some(),
            "window.timezone",
            "must be recipient or a zone such as Europe/Zurich",
        );
    }

    /// The window for a number that may be in these zones. One in a named zone holds besides the hours at which the recipient may be called at all.
    pub fn hours(&self, zones: &[String]) -> Hours {
        let mut days = [false; 7];
        for (day, open) in WEEKDAYS.iter().zip(&mut days) {
            *open = self.days.iter().any(|named| named == day);
        }
        let own = (minute_of_day(&self.start).unwrap_or(0), minute_of_day(&self.end).unwrap_or(0), days);
        let rules: Option<Vec<Rule>> = if self.timezone == RECIPIENT {
            zones.iter().map(|name| Rule::new(own, name)).collect()
        } else {
            let lawful = (*MINUTES.start(), *MINUTES.end(), [true; 7]);
            std::iter::once(Rule::new(own, &self.timezone))
                .chain(zones.iter().map(|name| Rule::new(lawful, name)))
                .collect()
        };
        // An unknown zone, or none, is never open rather than always.
        Hours { rules: rules.filter(|_| !zones.is_empty()).unwrap_or_default() }
    }
}

/// A window for certain zones, ready to be asked.
#[derive(Clone, Debug)]
pub struct Hours {
    rules: Vec<Rule>,
}

/// Hours and days in one zone.
#[derive(Clone, Debug)]
struct Rule {
    from: u16,
    to: u16,
    days: [bool; 7],
    zone: TimeZone,
}

impl Hours {
    /// Whether every rule is open.
    pub fn is_open(&self, at_ms: i64) -> bool {
        !self.rules.is_empty() && self.rules.iter().all(|rule| rule.open(at_ms))
    }

    /// The first instant at or after `from_ms` at which every rule is open, Unix milliseconds; `None` if there is none within a week.
    pub fn next(&self, from_ms: i64) -> Option<i64> {
        let mut at_ms = from_ms;
        for _ in 0..STEPS_MAX {
            match self.rules.iter().find(|rule| !rule.open(at_ms)) {
                None => return (!self.rules.is_empty()).then_some(at_ms),
                Some(rule) => at_ms = rule.next(at_ms)?,
            }
            if at_ms.saturating_sub(from_ms) > i64::from(DAYS_AHEAD) * 24 * 3_600_000 {
                return None;
            }
        }
        None
    }
}

impl Rule {
    fn new((from, to, days): (u16, u16, [bool; 7]), name: &str) -> Option<Self> {
        zone(name).map(|zone| Self { from, to, days, zone })
    }

    fn open(&self, at_ms: i64) -> bool {
        let Ok(at) = Timestamp::from_millisecond(at_ms) else { return false };
        let local = self.zone.to_datetime(at);
        let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap_or(0);
        self.on(local.date()) && (self.from..self.to).contains(&minute)
    }

    fn on(&self, date: jiff::civil::Date) -> bool {
        usize::try_from(date.weekday().to_monday_zero_offset()).is_ok_and(|day| self.days.get(day) == Some(&true))
    }

    /// The next opening after `at_ms`, at which it is closed.
    fn next(&self, at_ms: i64) -> Option<i64> {
        let today = self.zone.to_datetime(Timestamp::from_millisecond(at_ms).ok()?).date();
        let (hour, minute) = (i8::try_from(self.from / 60).ok()?, i8::try_from(self.from % 60).ok()?);
        let start = jiff::civil::Time::new(hour, minute, 0, 0).ok()?;
        (0..=DAYS_AHEAD).find_map(|days| {
            let date = today.checked_add(jiff::Span::new().try_days(days).ok()?).ok()?;
            // Where clocks skip the hour the window opens when they have.
            let opens_ms = date.to_datetime(start).to_zoned(self.zone.clone()).ok()?.timestamp().as_millisecond();
            (self.on(date) && opens_ms > at_ms && self.open(opens_ms)).then_some(opens_ms)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::zones;
    use proptest::prelude::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("an instant").as_millisecond()
    }

    fn hours(window: &Window, number: &str, country: &str) -> Hours {
        window.hours(&zones::of(number, country))
    }

    #[test]
    fn calls_go_out_at_the_recipients_hours_and_not_at_ours() {
        let hours = hours(&Window::default(), "+14155550100", "US");
        assert!(!hours.is_open(at("2026-11-23T15:59:59.999Z")), "before eight in San Francisco");
        assert!(hours.is_open(at("2026-11-23T16:00:00Z")));
        assert!(hours.is_open(at("2026-11-24T04:59:59.999Z")));
        assert!(!hours.is_open(at("2026-11-24T05:00:00Z")), "nine in the evening");
        assert_eq!(hours.next(at("2026-11-24T05:00:00Z")), Some(at("2026-11-24T16:00:00Z")));
        assert_eq!(hours.next(at("2026-11-23T17:00:00Z")), Some(at("2026-11-23T17:00:00Z")), "open is now");
    }

    #[test]
    fn where_several_zones_are_possible_only_hours_open_in_all_of_them_count() {
        let idaho = hours(&Window::default(), "+12085550100", "US");
        assert!(
            !idaho.is_open(at("2026-11-23T15:30:00Z")),
            "half past eight in Boise, half past seven in Coeur d'Alene"
        );
        assert!(idaho.is_open(at("2026-11-23T16:00:00Z")));
        assert!(
            !idaho.is_open(at("2026-11-24T04:30:00Z")),
            "half past nine in Boise, half past eight in Coeur d'Alene"
        );
        let russia = hours(&Window::default(), "+79161234567", "RU");
        assert_eq!(russia.next(at("2026-11-23T00:00:00Z")), Some(at("2026-11-23T06:00:00Z")), "eight in Kaliningrad");
        let short = Window { start: "09:00".into(), end: "17:00".into(), ..Window::default() };
        let nobody = short.hours(&zones::of("+79161234567", "RU"));
        assert_eq!(nobody.next(at("2026-11-23T00:00:00Z")), None, "no hour is open from the Baltic to Kamchatka");
    }

    #[test]
    fn the_hours_follow_the_clocks_when_they_change() {
        let zurich = hours(&Window::default(), "+41446681800", "CH");
        assert_eq!(
            zurich.next(at("2026-03-28T21:00:00Z")),
            Some(at("2026-03-29T06:00:00Z")),
            "summer time since that night"
        );
        assert_eq!(
            zurich.next(at("2026-10-24T21:00:00Z")),
            Some(at("2026-10-25T07:00:00Z")),
            "winter time since that night"
        );
    }

    #[test]
    fn only_the_days_that_are_named_are_open() {
        let window = Window { days: vec!["mon".into(), "tue".into()], ..Window::default() };
        let zurich = hours(&window, "+41446681800", "CH");
        assert_eq!(zurich.next(at("2026-11-24T20:00:00Z")), Some(at("2026-11-30T07:00:00Z")));
        let fixed = Window { timezone: "Asia/Tokyo".into(), ..Window::default() };
        let tokyo = hours(&fixed, "+41446681800", "CH");
        assert_eq!(
            tokyo.next(at("2026-11-24T11:59:00Z")),
            Some(at("2026-11-24T11:59:00Z")),
            "evening in Tokyo, noon in Zurich"
        );
        assert_eq!(
            tokyo.next(at("2026-11-24T12:00:00Z")),
            Some(at("2026-11-25T07:00:00Z")),
            "and never at night in Zurich"
        );
    }

    #[test]
    fn a_window_at_night_or_of_no_day_is_refused() {
        let right = Window::default();
        let wrong = [
            Window { start: "07:59".into(), ..right.clone() },
            Window { end: "21:01".into(), ..right.clone() },
            Window { start: "12:00".into(), end: "12:00".into(), ..right.clone() },
            Window { start: "9:00".into(), ..right.clone() },
            Window { days: Vec::new(), ..right.clone() },
            Window { days: vec!["monday".into()], ..right.clone() },
            Window { timezone: "Mars/Olympus".into(), ..right.clone() },
        ];
        let fails = |window: &Window| {
            let mut checks = Checks::default();
            window.check(&mut checks);
            checks.finish().is_err()
        };
        assert!(!fails(&right));
        assert!(wrong.iter().all(fails));
        assert!(
            !Window { timezone: "Mars/Olympus".into(), ..right }.hours(&[]).is_open(0),
            "an unknown zone is never open"
        );
    }

    proptest! {
        #[test]
        fn the_next_opening_is_open_and_nothing_before_it_is(
            minutes in 0_i64..60 * 24 * 365 * 3, start in 8_u16..15, length in 2_u16..6,
            which in 0_usize..5, weekdays in 1_u8..128,
        ) {
            let (number, country) = [
                ("+14155550100", "US"), ("+12085550100", "US"), ("+61491570156", "AU"), ("+442070313000", "GB"), ("+34612345678", "ES"),
            ][which];
            let days = WEEKDAYS.iter().enumerate().filter(|(day, _)| weekdays & (1 << day) != 0).map(|(_, day)| (*day).to_owned());
            let window = Window {
                start: format!("{start:02}:00"), end: format!("{:02}:30", start + length), days: days.collect(), ..Window::default()
            };
            let hours = hours(&window, number, country);
            let from = at("2026-01-01T00:00:00Z") + minutes * 60_000;
            match hours.next(from) {
                Some(next) => {
                    prop_assert!(hours.is_open(next) && next >= from);
                    let mut between = from;
                    while between < next {
                        prop_assert!(!hours.is_open(between), "{between} is before {next}");
                        between += 15 * 60_000;
                    }
                }
                None => {
                    for quarter in 0..7 * 96 {
                        prop_assert!(!hours.is_open(from + quarter * 15 * 60_000));
                    }
                }
            }
        }
    }
}
