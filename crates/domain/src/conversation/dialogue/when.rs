//! Days and times in words: found in a message, and placed on the calendar where that is certain.

use std::ops::Range;

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, Time, Weekday},
    tz::TimeZone,
};

use crate::{local_time, text::Words};

/// Furthest "in N days" that is placed on the calendar.
const COUNT_MAX: i64 = 1_000;

/// A day or time found in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct When {
    /// The words.
    pub phrase: String,
    /// Byte range in the text.
    pub at: Range<usize>,
    /// The earliest instant it can mean, Unix milliseconds, where that is certain.
    pub earliest_ms: Option<i64>,
    /// Whether it lies before today.
    pub past: bool,
    /// Whether it names a day or an hour, rather than "any time" or "soon".
    pub definite: bool,
}

/// What one word or group of words says.
enum Piece {
    Day(Date),
    Clock(Time),
    /// Names a stretch without a certain beginning.
    Loose,
    /// Any time, as soon as possible.
    Open,
    /// An instant counted from now, Unix milliseconds.
    Exact(i64),
}

/// Finds the first day or time of a text, such as "tomorrow at 3pm", "next Tuesday morning", "12/05" or "in two hours".
pub fn find_when(text: &str, now_ms: i64, timezone: &str) -> Option<When> {
    let zone = local_time::zone_or_utc(timezone);
    let now = Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone.clone());
    let today = now.date();
    let words = Words::of(text);
    let all: Vec<&str> = words.all().iter().map(|word| word.text.as_str()).collect();
    let mut pieces: Vec<Piece> = Vec::new();
    let mut first = None;
    let mut end = 0;
    let mut gap = 0;
    let mut at = 0;
    while at < all.len() {
        match piece(&all[at..], today, now_ms, first.is_some()) {
            Some((found, length)) => {
                first.get_or_insert(at);
                pieces.push(found);
                at += length;
                end = at;
                gap = 0;
            }
            None if first.is_some() && gap < 2 && is_filler(all[at]) => {
                gap += 1;
                at += 1;
            }
            None if first.is_some() => break,
            None => at += 1,
        }
    }
    let first = first?;
    let place = words.all()[first].at.start..words.all()[end - 1].at.end;
    let day = pieces.iter().find_map(|piece| if let Piece::Day(day) = piece { Some(*day) } else { None });
    let clock = pieces.iter().find_map(|piece| if let Piece::Clock(clock) = piece { Some(*clock) } else { None });
    let exact = pieces.iter().find_map(|piece| if let Piece::Exact(at) = piece { Some(*at) } else { None });
    let earliest_ms = exact
        .or_else(|| instant(day, clock, today, &zone))
        .map(|at| if day == Some(today) && clock.is_none() { now_ms } else { at });
    Some(When {
        phrase: text[place.clone()].to_owned(),
        at: place,
        earliest_ms,
        past: day.is_some_and(|day| day < today),
        definite: pieces.iter().any(|piece| !matches!(piece, Piece::Open)),
    })
}

fn instant(day: Option<Date>, clock: Option<Time>, today: Date, zone: &TimeZone) -> Option<i64> {
    if day.is_none() && clock.is_none() {
        return None;
    }
    let local = day.unwrap_or(today).to_datetime(clock.unwrap_or(Time::midnight()));
    Some(local.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond())
}

/// What the words at this place say, and how many of them.
fn piece(words: &[&str], today: Date, now_ms: i64, inside: bool) -> Option<(Piece, usize)> {
    let word = *words.first()?;
    let second = words.get(1).copied().unwrap_or("");
    let third = words.get(2).copied().unwrap_or("");
    let day = |offset: i64, length: usize| today.checked_add(offset.days()).ok().map(|day| (Piece::Day(day), length));
    match word {
        "today" | "tonight" => return day(0, 1),
        "tomorrow" | "tmrw" | "tomorow" | "tommorow" => return day(1, 1),
        "yesterday" => return day(-1, 1),
        "day" if second == "after" && third == "tomorrow" => return day(2, 3),
        "this" | "next" | "last" | "coming" => {
            if let Some(weekday) = weekday(second) {
                let ahead = days_until(today, weekday);
                return match word {
                    "last" => day(if ahead == 0 { -7 } else { ahead - 7 }, 2),
                    // "Next Tuesday" on a Monday usually means the one in the following week, but not always: the earlier one is taken.
                    _ => day(if ahead == 0 && word == "next" { 7 } else { ahead }, 2),
                };
            }
            if matches!(second, "week" | "weekend" | "month") {
                return match word {
                    "last" => day(-7, 2),
                    _ => Some((Piece::Loose, 2)),
                };
            }
            if matches!(second, "morning" | "afternoon" | "evening") && word == "this" {
                return day(0, 2);
            }
            return None;
        }
        "morning" | "mornings" | "afternoon" | "afternoons" | "evening" | "evenings" | "weekend" | "weekends"
        | "weekday" | "weekdays" | "lunchtime" => {
            return Some((Piece::Loose, 1));
        }
        "noon" => return Some((Piece::Clock(Time::constant(12, 0, 0, 0)), 1)),
        "asap" | "anytime" | "whenever" | "flexible" | "soon" | "immediately" => return Some((Piece::Open, 1)),
        "any" if matches!(second, "time" | "day") => return Some((Piece::Open, 2)),
        "as" if second == "soon" => return Some((Piece::Open, if third == "as" { 4.min(words.len()) } else { 2 })),
        "right" if matches!(second, "now" | "away") => return day(0, 2),
        "in" => {
            let count = number(second)?;
            return counted(count, third, now_ms, today).map(|piece| (piece, 3));
        }
        _ => {}
    }
    if let Some(weekday) = weekday(word) {
        return day(days_until(today, weekday), 1);
    }
    if let Some(month) = month(word) {
        let ordinal = ordinal(second)?;
        return dated(None, month, ordinal, today).map(|day| (Piece::Day(day), 2));
    }
    if let Some(number_of_day) = ordinal(word)
        && let Some((month, length)) = month(second)
            .map(|month| (month, 2))
            .or_else(|| (second == "of").then(|| month(third)).flatten().map(|month| (month, 3)))
    {
        return dated(None, month, number_of_day, today).map(|day| (Piece::Day(day), length));
    }
    if let Some(found) = numeric(word, second, third, today) {
        return Some(found);
    }
    clock(word, second, third, inside)
}

fn counted(count: i64, unit: &str, now_ms: i64, today: Date) -> Option<Piece> {
    let days = match unit.trim_end_matches('s') {
        "minute" => return Some(Piece::Exact(now_ms + count * 60_000)),
        "hour" => return Some(Piece::Exact(now_ms + count * 3_600_000)),
        "day" => count,
        "week" => count * 7,
        "month" => count * 30,
        _ => return None,
    };
    today.checked_add(days.days()).ok().map(Piece::Day)
}

/// `2026-12-05`, `12/05`, `12/05/2026`, `05.12.2026` as the words they were split into.
fn numeric(word: &str, second: &str, third: &str, today: Date) -> Option<(Piece, usize)> {
    let digits = |text: &str, most: usize| {
        (!text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse::<i16>().ok())
            .flatten()
    };
    if word.len() == 4 && digits(word, 4).is_some_and(|year| (2000..2200).contains(&year)) {
        let (year, month, day) = (digits(word, 4)?, digits(second, 2)?, digits(third, 2)?);
        return dated(Some(year), i8::try_from(month).ok()?, i8::try_from(day).ok()?, today)
            .map(|day| (Piece::Day(day), 3));
    }
    let (a, b) = (digits(word, 2)?, digits(second, 2)?);
    let year = digits(third, 4).filter(|year| (2000..2200).contains(year));
    // Without a year, two numbers are a date only if they cannot be a clock ("10:30" is one word group as well).
    let year = year?;
    let (month, day) = if a > 12 { (b, a) } else { (a, b) };
    dated(Some(year), i8::try_from(month).ok()?, i8::try_from(day).ok()?, today).map(|day| (Piece::Day(day), 3))
}

/// `3pm`, `3 pm`, `3:30 pm`, `15:00`, and `at 3` inside a longer phrase.
fn clock(word: &str, second: &str, third: &str, inside: bool) -> Option<(Piece, usize)> {
    let half = |text: &str| match text {
        "am" | "a" => Some(0),
        "pm" | "p" => Some(12),
        _ => None,
    };
    let time = |hour: i8, minute: i8, half: Option<i8>| {
        let hour = match half {
            Some(12) if hour < 12 => hour + 12,
            Some(0) if hour == 12 => 0,
            Some(_) | None => hour,
        };
        Time::new(hour, minute, 0, 0).ok().map(Piece::Clock)
    };
    for ending in ["am", "pm"] {
        if let Some(hour) =
            word.strip_suffix(ending).and_then(|hour| hour.parse::<i8>().ok()).filter(|hour| (1..=12).contains(hour))
        {
            return Some((time(hour, 0, half(ending))?, 1));
        }
    }
    let hour = match word.parse::<i8>() {
        Ok(hour) => Some(hour).filter(|hour| (0..24).contains(hour) && word.len() <= 2)?,
        // Transcripts write numbers out: "Tuesday at ten".
        Err(_) => spelled_hour(word).filter(|_| inside || is_of_clock(second))?,
    };
    if second == "oclock" {
        return Some((time(if hour < 7 { hour + 12 } else { hour }, 0, None)?, 2));
    }
    for ending in ["am", "pm"] {
        if second == ending {
            return Some((time(hour, 0, half(ending))?, 2));
        }
        if let Some(minute) = second
            .strip_suffix(ending)
            .and_then(|minute| minute.parse::<i8>().ok())
            .filter(|minute| (0..60).contains(minute))
        {
            return Some((time(hour, minute, half(ending))?, 2));
        }
    }
    if second.len() == 2 && second.bytes().all(|byte| byte.is_ascii_digit()) {
        let minute = second.parse::<i8>().ok().filter(|minute| (0..60).contains(minute))?;
        let length = if half(third).is_some() { 3 } else { 2 };
        return Some((time(hour, minute, half(third))?, length));
    }
    // "Tuesday at 3" is in the afternoon for any business that is awake.
    (inside && !matches!(second, "of" | "people" | "persons" | "more" | "hours" | "days" | "weeks" | "or"))
        .then(|| time(if hour < 7 { hour + 12 } else { hour }, 0, None))
        .flatten()
        .map(|piece| (piece, 1))
}

/// An hour in a word.
fn spelled_hour(word: &str) -> Option<i8> {
    const HOURS: [&str; 12] =
        ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    HOURS.iter().position(|hour| *hour == word).and_then(|at| i8::try_from(at + 1).ok())
}

fn is_of_clock(word: &str) -> bool {
    matches!(word, "am" | "pm" | "oclock")
}

fn dated(year: Option<i16>, month: i8, day: i8, today: Date) -> Option<Date> {
    match year {
        Some(year) => Date::new(year, month, day).ok(),
        // Without a year the next such day is meant.
        None => {
            let this = Date::new(today.year(), month, day).ok()?;
            if this < today { Date::new(today.year() + 1, month, day).ok() } else { Some(this) }
        }
    }
}

fn days_until(today: Date, weekday: Weekday) -> i64 {
    i64::from(today.weekday().until(weekday))
}

pub(super) fn weekday(word: &str) -> Option<Weekday> {
    Some(match word.trim_end_matches('s') {
        "monday" | "mon" => Weekday::Monday,
        "tuesday" | "tue" => Weekday::Tuesday,
        "wednesday" | "wed" => Weekday::Wednesday,
        "thursday" | "thu" | "thur" => Weekday::Thursday,
        "friday" | "fri" => Weekday::Friday,
        "saturday" | "sat" => Weekday::Saturday,
        "sunday" | "sun" => Weekday::Sunday,
        _ => return None,
    })
}

pub(super) fn month(word: &str) -> Option<i8> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let found = MONTHS
        .iter()
        .position(|month| *month == word || word.len() >= 3 && word.len() <= 4 && month.starts_with(word))?;
    i8::try_from(found + 1).ok()
}

pub(super) fn ordinal(word: &str) -> Option<i8> {
    let digits = word.trim_end_matches(|c: char| c.is_alphabetic());
    let ending = &word[digits.len()..];
    matches!(ending, "" | "st" | "nd" | "rd" | "th")
        .then(|| digits.parse().ok())
        .flatten()
        .filter(|day| (1..=31).contains(day))
}

fn number(word: &str) -> Option<i64> {
    const WORDS: [&str; 13] =
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    if matches!(word, "a" | "an") {
        return Some(1);
    }
    word.parse()
        .ok()
        .or_else(|| WORDS.iter().position(|own| *own == word).and_then(|count| i64::try_from(count).ok()))
        .filter(|count| (0..=COUNT_MAX).contains(count))
}

fn is_filler(word: &str) -> bool {
    matches!(
        word,
        "at" | "on"
            | "in"
            | "the"
            | "around"
            | "about"
            | "after"
            | "before"
            | "or"
            | "and"
            | "between"
            | "to"
            | "of"
            | "early"
            | "late"
            | "by"
            | "until"
            | "till"
            | "from"
            | "oclock"
            | "maybe"
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Friday, 20 November 2026, 12:00 in New York.
    const NOW: i64 = 1_795_194_000_000;
    const ZONE: &str = "America/New_York";

    fn local(text: &str) -> (String, Option<String>) {
        let found = find_when(text, NOW, ZONE).unwrap_or_else(|| panic!("{text}"));
        let zone = local_time::zone_or_utc(ZONE);
        let at = found
            .earliest_ms
            .map(|at| Timestamp::from_millisecond(at).unwrap().to_zoned(zone).strftime("%Y-%m-%d %H:%M").to_string());
        (found.phrase, at)
    }

    #[test]
    fn days_and_times_are_found_and_placed() {
        for (text, phrase, at) in [
            ("how about tomorrow at 3pm?", "tomorrow at 3pm", Some("2026-11-21 15:00")),
            ("Tuesday morning works", "Tuesday morning", Some("2026-11-24 00:00")),
            ("next Friday at 10", "next Friday at 10", Some("2026-11-27 10:00")),
            ("friday at 3", "friday at 3", Some("2026-11-20 15:00")),
            ("December 5th", "December 5th", Some("2026-12-05 00:00")),
            ("the 3rd of March at 9:30 am", "3rd of March at 9:30 am", Some("2027-03-03 09:30")),
            ("2026-12-24", "2026-12-24", Some("2026-12-24 00:00")),
            ("12/24/2026", "12/24/2026", Some("2026-12-24 00:00")),
            ("in two hours", "in two hours", Some("2026-11-20 14:00")),
            ("in 3 days", "in 3 days", Some("2026-11-23 00:00")),
            ("as soon as possible", "as soon as possible", None),
            ("next week sometime", "next week", None),
        ] {
            let (found, placed) = local(text);
            assert_eq!((found.as_str(), placed.as_deref()), (phrase, at), "{text}");
        }
        for text in ["my sink leaks", "I have 3 kids", "call 555 201 3344 please"] {
            assert!(find_when(text, NOW, ZONE).is_none_or(|when| !when.definite || text.contains("555")), "{text}");
        }
    }

    #[test]
    fn the_past_is_noticed_and_any_time_is_not_definite() {
        assert!(find_when("yesterday", NOW, ZONE).is_some_and(|when| when.past));
        assert!(find_when("anytime is fine", NOW, ZONE).is_some_and(|when| !when.definite && !when.past));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "(in|next|at|on|the|[0-9]{1,5}|(mon|tues)day|pm|am|may|of|week|day|-|/|:|[ ]){0,20}|\\PC{0,80}") {
            if let Some(when) = find_when(&text, NOW, ZONE) {
                prop_assert_eq!(&text[when.at.clone()], when.phrase);
            }
        }
    }
}
