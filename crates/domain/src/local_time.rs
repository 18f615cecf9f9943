//! Local time from bundled zone rules: the same answer on every node and in every replay.

use std::sync::LazyLock;

use jiff::{
    Timestamp,
    civil::Weekday,
    tz::{TimeZone, TimeZoneDatabase},
};

use crate::agent::config::{BusinessHours, OpenHours};

/// The zone of an organization that names none (TEN-1).
pub const DEFAULT_TIMEZONE: &str = "America/New_York";

/// Keys of [`BusinessHours`], Monday first.
pub const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The longest zone name looked up; the longest of the IANA table has 32 characters.
const ZONE_NAME_MAX: usize = 64;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The rules of an IANA zone such as `Europe/Zurich`; `None` if there is no such zone.
pub fn zone(name: &str) -> Option<TimeZone> {
    if name.is_empty() || name.len() > ZONE_NAME_MAX { None } else { ZONES.get(name).ok() }
}

/// The names of all zones, in the order of the alphabet.
pub fn zone_names() -> Vec<String> {
    let mut names: Vec<String> = ZONES.available().map(|name| name.to_string()).collect();
    names.sort_unstable();
    names
}

/// The rules of a zone, or UTC if the name is unknown.
pub fn zone_or_utc(name: &str) -> TimeZone {
    zone(name).unwrap_or(TimeZone::UTC)
}

/// RFC 3339 in UTC with milliseconds.
pub fn rfc3339(at_ms: i64) -> String {
    format!("{:.3}", timestamp(at_ms))
}

/// `YYYY-MM-DD` of an instant in a zone.
pub fn local_date(zone: &TimeZone, at_ms: i64) -> String {
    zone.to_datetime(timestamp(at_ms)).date().to_string()
}

/// Hour of the day, 0 to 23, of an instant in a zone.
pub fn local_hour(zone: &TimeZone, at_ms: i64) -> u8 {
    u8::try_from(zone.to_datetime(timestamp(at_ms)).hour()).unwrap_or(0)
}

/// What clocks of a zone show at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The local day.
    pub date: jiff::civil::Date,
    /// 0 is Monday.
    pub weekday: usize,
    /// 0 to 23.
    pub hour: u8,
    /// Seconds ahead of UTC.
    pub offset_s: i32,
}

/// What clocks of a zone show at an instant.
pub fn local_clock(zone: &TimeZone, at_ms: i64) -> Clock {
    let at = timestamp(at_ms);
    let offset = zone.to_offset(at);
    let now = offset.to_datetime(at);
    Clock {
        date: now.date(),
        weekday: usize::try_from(now.weekday().to_monday_zero_offset()).unwrap_or(0),
        hour: u8::try_from(now.hour()).unwrap_or(0),
        offset_s: offset.seconds(),
    }
}

/// The local day after `YYYY-MM-DD`, `days` later or, below zero, earlier; `None` if it is no date or out of range.
pub fn days_after(date: &str, days: i32) -> Option<String> {
    let date: jiff::civil::Date = date.parse().ok()?;
    Some(date.checked_add(jiff::Span::new().try_days(days).ok()?).ok()?.to_string())
}

/// The instant a local day's hour begins, Unix milliseconds; where clocks skip it, when they have. `None` if it is no date or hour.
pub fn local_time_ms(zone: &TimeZone, date: &str, hour: i8) -> Option<i64> {
    let date: jiff::civil::Date = date.parse().ok()?;
    let time = jiff::civil::Time::new(hour, 0, 0, 0).ok()?;
    Some(date.to_datetime(time).to_zoned(zone.clone()).ok()?.timestamp().as_millisecond())
}

/// The instant a local month began that contains `at_ms`, Unix milliseconds.
pub fn month_start_ms(zone: &TimeZone, at_ms: i64) -> i64 {
    let date = zone.to_datetime(timestamp(at_ms)).date().first_of_month();
    date.to_zoned(zone.clone()).map_or(0, |start| start.timestamp().as_millisecond())
}

/// The instant a local day `YYYY-MM-DD` begins, Unix milliseconds; `None` if it is no date.
pub fn day_start_ms(zone: &TimeZone, date: &str) -> Option<i64> {
    let date: jiff::civil::Date = date.parse().ok()?;
    Some(date.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond())
}

/// Whether a business is open at an instant. Without any hours it counts as always open: nothing is known that would close it.
pub fn is_open(hours: &BusinessHours, zone: &TimeZone, at_ms: i64) -> bool {
    if hours.is_empty() {
        return true;
    }
    let now = zone.to_datetime(timestamp(at_ms));
    let minute = u16::try_from(i32::from(now.hour()) * 60 + i32::from(now.minute())).unwrap_or(0);
    let Some(Some(day)) = hours.get(weekday_key(now.weekday())) else { return false };
    match (minute_of_day(&day.open), minute_of_day(&day.close)) {
        (Some(open), Some(close)) => (open..close).contains(&minute),
        (None, _) | (_, None) => false,
    }
}

/// Minutes since midnight of `HH:MM`, `24:00` included; `None` if it is no time.
pub fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two_digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !two_digits(hour) || !two_digits(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    (minute < 60 && hour < 24 || (hour, minute) == (24, 0)).then_some(hour * 60 + minute)
}

/// How people write the time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DayClock {
    /// `4:00 PM`.
    Twelve,
    /// `16:00`.
    TwentyFour,
}

/// Zones of countries that write `4:00 PM` (CLDR's preferred hour formats), by the beginning of their names; everywhere else it is `16:00`.
const TWELVE_HOURS: [&str; 61] = [
    "America/New_York",
    "America/Detroit",
    "America/Kentucky/",
    "America/Indiana/",
    "America/Chicago",
    "America/Menominee",
    "America/North_Dakota/",
    "America/Denver",
    "America/Boise",
    "America/Phoenix",
    "America/Los_Angeles",
    "America/Anchorage",
    "America/Juneau",
    "America/Sitka",
    "America/Metlakatla",
    "America/Yakutat",
    "America/Nome",
    "America/Adak",
    "Pacific/Honolulu",
    "America/Toronto",
    "America/Vancouver",
    "America/Edmonton",
    "America/Winnipeg",
    "America/Regina",
    "America/Halifax",
    "America/St_Johns",
    "America/Moncton",
    "America/Whitehorse",
    "America/Puerto_Rico",
    "America/Jamaica",
    "America/Bogota",
    "America/Mexico_City",
    "America/Monterrey",
    "America/Tijuana",
    "America/Cancun",
    "America/Panama",
    "Australia/",
    "Pacific/Auckland",
    "Asia/Kolkata",
    "Asia/Calcutta",
    "Asia/Manila",
    "Asia/Karachi",
    "Asia/Dhaka",
    "Asia/Dubai",
    "Asia/Riyadh",
    "Asia/Kuwait",
    "Asia/Qatar",
    "Asia/Bahrain",
    "Asia/Amman",
    "Asia/Baghdad",
    "Asia/Singapore",
    "Asia/Kuala_Lumpur",
    "Asia/Hong_Kong",
    "Asia/Taipei",
    "Asia/Seoul",
    "Africa/Cairo",
    "Africa/Accra",
    "US/",
    "Canada/",
    "EST",
    "MST",
];

/// How people write the time of day in a zone. Where no zone is known they do as in the one it is taken for.
pub fn day_clock(timezone: &str) -> DayClock {
    let american = TWELVE_HOURS.iter().any(|zone| timezone.starts_with(zone));
    if american || matches!(timezone, "" | "UTC" | "CST6CDT" | "PST8PDT") {
        DayClock::Twelve
    } else {
        DayClock::TwentyFour
    }
}

/// Whether clocks of a zone show the same as those of another at an instant.
pub fn same_clock(own: &TimeZone, other: &str, at_ms: i64) -> bool {
    zone(other).is_some_and(|other| own.to_offset(timestamp(at_ms)) == other.to_offset(timestamp(at_ms)))
}

/// A zone as people say it behind a time: `Eastern time`, `UK time`, where there is no such name that of its city.
pub fn zone_phrase(timezone: &str, at_ms: i64) -> String {
    let abbreviation = timestamp(at_ms).to_zoned(zone_or_utc(timezone)).strftime("%Z").to_string();
    let american = day_clock(timezone) == DayClock::Twelve
        && ["America/", "US/", "Canada/", "Pacific/Honolulu"].iter().any(|begins| timezone.starts_with(begins));
    let name = match abbreviation.as_str() {
        "EST" | "EDT" if american => "Eastern",
        "CST" | "CDT" if american => "Central",
        "MST" | "MDT" if american => "Mountain",
        "PST" | "PDT" if american => "Pacific",
        "AKST" | "AKDT" if american => "Alaska",
        "HST" if american => "Hawaii",
        "AST" | "ADT" if american => "Atlantic",
        "NST" | "NDT" if american => "Newfoundland",
        "CET" | "CEST" => "Central European",
        "EET" | "EEST" => "Eastern European",
        "UTC" => return "UTC".to_owned(),
        _ if timezone == "Europe/London" => "UK",
        _ => {
            let city = timezone.rsplit('/').next().unwrap_or(timezone).replace('_', " ");
            return format!("{city} time");
        }
    };
    format!("{name} time")
}

/// When a business is open on a weekday (0 is Monday), such as `8:00 AM to 2:00 PM`; `None` if it is closed then.
pub fn hours_of_day(hours: &BusinessHours, weekday: usize, clock: DayClock) -> Option<String> {
    let day = hours.get(*WEEKDAYS.get(weekday)?)?.as_ref()?;
    Some(match (minute_of_day(&day.open), minute_of_day(&day.close)) {
        (Some(0), Some(1440)) => "around the clock".to_owned(),
        (Some(from), Some(to)) => format!("{} to {}", spoken(from, clock), spoken(to, clock)),
        (None, _) | (_, None) => format!("{} to {}", day.open, day.close),
    })
}

/// When a business that is open closes today; `None` if that cannot be told.
pub fn closes_today(hours: &BusinessHours, zone: &TimeZone, at_ms: i64, clock: DayClock) -> Option<String> {
    let today = WEEKDAYS.get(local_clock(zone, at_ms).weekday)?;
    let to = minute_of_day(&hours.get(*today)?.as_ref()?.close)?;
    (to < 1440).then(|| spoken(to, clock))
}

/// When a business that is closed opens next: days from now, the weekday and the time. `None` if it never does.
pub fn opens_next(
    hours: &BusinessHours,
    zone: &TimeZone,
    at_ms: i64,
    clock: DayClock,
) -> Option<(usize, usize, String)> {
    let now = zone.to_datetime(timestamp(at_ms));
    let minute = u16::try_from(i32::from(now.hour()) * 60 + i32::from(now.minute())).unwrap_or(0);
    let today = local_clock(zone, at_ms).weekday;
    (0..=WEEKDAYS.len()).find_map(|ahead| {
        let weekday = (today + ahead) % WEEKDAYS.len();
        let from = minute_of_day(&hours.get(WEEKDAYS[weekday])?.as_ref()?.open)?;
        (ahead > 0 || from > minute).then(|| (ahead, weekday, spoken(from, clock)))
    })
}

/// Business hours in one readable phrase, such as `Monday to Friday 9:00 AM to 5:00 PM and Saturday 9:00 AM to noon`; `None` if none are set.
pub fn hours_phrase(hours: &BusinessHours, clock: DayClock) -> Option<String> {
    let day = |index: usize| hours.get(WEEKDAYS[index]).and_then(Option::as_ref);
    let mut spans = Vec::new();
    let mut index = 0;
    while index < WEEKDAYS.len() {
        let Some(open) = day(index) else {
            index += 1;
            continue;
        };
        let first = index;
        while index + 1 < WEEKDAYS.len() && day(index + 1) == Some(open) {
            index += 1;
        }
        spans.push(span(first, index, open, clock));
        index += 1;
    }
    match spans.as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        [head @ .., last] => Some(format!("{} and {last}", head.join(", "))),
    }
}

/// The weekdays as they are written, Monday first.
pub const DAY_NAMES: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

fn span(first: usize, last: usize, open: &OpenHours, clock: DayClock) -> String {
    let days = match last - first {
        0 => DAY_NAMES[first].to_owned(),
        1 => format!("{} and {}", DAY_NAMES[first], DAY_NAMES[last]),
        6 => "every day".to_owned(),
        _ => format!("{} to {}", DAY_NAMES[first], DAY_NAMES[last]),
    };
    match (minute_of_day(&open.open), minute_of_day(&open.close)) {
        (Some(0), Some(1440)) => format!("{days} around the clock"),
        (Some(from), Some(to)) => format!("{days} {} to {}", spoken(from, clock), spoken(to, clock)),
        (None, _) | (_, None) => format!("{days} {} to {}", open.open, open.close),
    }
}

fn spoken(minute: u16, clock: DayClock) -> String {
    match minute {
        _ if clock == DayClock::TwentyFour => format!("{}:{:02}", minute / 60, minute % 60),
        0 | 1440 => "midnight".to_owned(),
        720 => "noon".to_owned(),
        _ => {
            let (hour, half) = (minute / 60, if minute < 720 { "AM" } else { "PM" });
            format!("{}:{:02} {half}", if hour % 12 == 0 { 12 } else { hour % 12 }, minute % 60)
        }
    }
}

fn weekday_key(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "mon",
        Weekday::Tuesday => "tue",
        Weekday::Wednesday => "wed",
        Weekday::Thursday => "thu",
        Weekday::Friday => "fri",
        Weekday::Saturday => "sat",
        Weekday::Sunday => "sun",
    }
}

/// An instant; one outside of jiff's range (years -9999 to 9999) becomes the epoch.
fn timestamp(at_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(days: &[(&str, &str, &str)]) -> BusinessHours {
        days.iter()
            .map(|(day, open, close)| {
                ((*day).to_owned(), Some(OpenHours { open: (*open).to_owned(), close: (*close).to_owned() }))
            })
            .collect()
    }

    #[test]
    fn zones_come_from_the_bundled_table() {
        assert!(zone("America/New_York").is_some());
        assert!(zone("Asia/Kathmandu").is_some());
        let names = zone_names();
        assert!(names.len() > 300 && names.iter().all(|name| zone(name).is_some()), "{} zones", names.len());
        for name in ["", "Mars/Olympus", "../../etc/passwd", "x".repeat(65).as_str()] {
            assert!(zone(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_local_day_follows_the_zone_and_its_summer_time() {
        let at = 1_719_792_000_000; // 2024-07-01T00:00:00Z
        assert_eq!(rfc3339(at), "2024-07-01T00:00:00.000Z");
        assert_eq!(local_date(&zone_or_utc("America/New_York"), at), "2024-06-30");
        assert_eq!(local_date(&zone_or_utc("Asia/Kolkata"), at), "2024-07-01");
        let new_york = zone_or_utc("America/New_York");
        assert_eq!(month_start_ms(&new_york, at), day_start_ms(&new_york, "2024-06-01").unwrap());
        assert_eq!(local_hour(&new_york, at), 20);
    }

    #[test]
    fn open_hours_are_half_open_and_local() {
        let hours = hours(&[("mon", "09:00", "17:00")]);
        let zurich = zone_or_utc("Europe/Zurich");
        let monday_nine = day_start_ms(&zurich, "2024-07-01").unwrap() + 9 * 3_600_000;
        assert!(!is_open(&hours, &zurich, monday_nine - 1));
        assert!(is_open(&hours, &zurich, monday_nine));
        assert!(is_open(&hours, &zurich, monday_nine + 8 * 3_600_000 - 1));
        assert!(!is_open(&hours, &zurich, monday_nine + 8 * 3_600_000));
        assert!(!is_open(&hours, &zurich, monday_nine + 24 * 3_600_000));
        assert!(is_open(&BusinessHours::new(), &zurich, monday_nine));
    }

    #[test]
    fn hours_read_like_a_sentence() {
        let week: Vec<_> = WEEKDAYS[..5].iter().map(|day| (*day, "09:00", "17:00")).collect();
        let mut all = week.clone();
        all.push(("sat", "09:00", "12:00"));
        assert_eq!(
            hours_phrase(&hours(&all), DayClock::Twelve).as_deref(),
            Some("Monday to Friday 9:00 AM to 5:00 PM and Saturday 9:00 AM to noon")
        );
        let always: Vec<_> = WEEKDAYS.iter().map(|day| (*day, "00:00", "24:00")).collect();
        assert_eq!(hours_phrase(&hours(&always), DayClock::Twelve).as_deref(), Some("every day around the clock"));
        assert_eq!(hours_phrase(&BusinessHours::new(), DayClock::Twelve), None);
    }

    #[test]
    fn a_zone_is_said_as_people_say_it_and_is_the_same_where_clocks_agree() {
        let at = 1_795_194_000_000;
        for (zone, said) in [
            ("America/New_York", "Eastern time"),
            ("America/Chicago", "Central time"),
            ("America/Phoenix", "Mountain time"),
            ("Pacific/Honolulu", "Hawaii time"),
            ("Europe/Zurich", "Central European time"),
            ("Europe/London", "UK time"),
            ("Australia/Sydney", "Sydney time"),
            ("America/Sao_Paulo", "Sao Paulo time"),
            ("UTC", "UTC"),
        ] {
            assert_eq!(zone_phrase(zone, at), said);
        }
        let (winter, summer) = (1_795_194_000_000, 1_783_000_000_000);
        let denver = zone_or_utc("America/Denver");
        assert!(same_clock(&denver, "America/Phoenix", winter) && !same_clock(&denver, "America/Phoenix", summer));
        assert!(!same_clock(&denver, "Mars/Olympus", winter));
    }

    #[test]
    fn a_single_day_and_the_next_opening_are_told() {
        let hours = hours(&[("mon", "08:00", "17:00"), ("sat", "08:00", "12:00")]);
        let new_york = zone_or_utc("America/New_York");
        let noon = 1_795_194_000_000; // A Friday.
        assert_eq!(hours_of_day(&hours, 5, DayClock::Twelve).as_deref(), Some("8:00 AM to noon"));
        assert_eq!(hours_of_day(&hours, 6, DayClock::Twelve), None);
        assert_eq!(hours_of_day(&hours, 9, DayClock::Twelve), None);
        assert_eq!(opens_next(&hours, &new_york, noon, DayClock::Twelve), Some((1, 5, "8:00 AM".to_owned())));
        let saturday = noon + 24 * 3_600_000;
        assert_eq!(closes_today(&hours, &new_york, saturday, DayClock::Twelve).as_deref(), Some("noon"));
        assert_eq!(opens_next(&hours, &new_york, saturday, DayClock::Twelve), Some((2, 0, "8:00 AM".to_owned())));
        assert_eq!(opens_next(&BusinessHours::new(), &new_york, noon, DayClock::Twelve), None);
    }

    #[test]
    fn only_real_times_are_times() {
        assert_eq!(minute_of_day("24:00"), Some(1440));
        for text in ["24:01", "9:00", "09:60", "25:00", "+9:00", "", "09-00", "０９:00"] {
            assert_eq!(minute_of_day(text), None, "{text}");
        }
    }

    #[test]
    fn the_time_of_day_is_written_as_the_organizations_country_does() {
        let hours =
            BusinessHours::from([("mon".to_owned(), Some(OpenHours { open: "08:00".into(), close: "16:00".into() }))]);
        for (zone, phrase) in [
            ("America/Chicago", "Monday 8:00 AM to 4:00 PM"),
            ("Australia/Sydney", "Monday 8:00 AM to 4:00 PM"),
            ("Europe/Berlin", "Monday 8:00 to 16:00"),
            ("America/Sao_Paulo", "Monday 8:00 to 16:00"),
        ] {
            assert!(super::zone(zone).is_some());
            assert_eq!(hours_phrase(&hours, day_clock(zone)).as_deref(), Some(phrase), "{zone}");
        }
    }
}
