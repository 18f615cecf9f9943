//! Opening hours: schema.org's two forms, and the ways in which people write them, such as `Mon–Fri 8am–6pm, Sat 9-1`.

use serde_json::{Map, Value};

use super::{OpenHours, Week, texts};

/// The keys of a week, Monday first.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Days that a text has to name an opening for. Fewer are a course, a market or a sale.
const DAYS_MIN: usize = 3;
/// Words between a day and its hours: `on Saturday we are open from …`.
const FILLERS_MAX: usize = 6;
/// Words between hours and the days they are for, where the days come second.
const HELD_FILLERS_MAX: usize = 2;
/// Line ends between a day and its hours: a cell, an item or a paragraph of their own.
const LINES_MAX: usize = 2;
/// Specifications of one business that are looked at: a week with breaks has fourteen.
const SPECS_MAX: usize = 50;
/// The last minute of a day that a form takes.
const LAST_MINUTE: u16 = 24 * 60 - 1;

/// A time as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Written {
    hour: u16,
    minute: u16,
    /// Whether it says am (false) or pm (true).
    half: Option<bool>,
    /// A number alone, which may be anything.
    bare: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// Days, as bits from Monday.
    Days(u8),
    Time(Written),
    /// A dash, or a word for one.
    Dash,
    /// A comma, or a word for one.
    And,
    Closed,
    AllDay,
    /// What makes a range of numbers something else: `3-5 days`, `12-15 May`.
    Unit,
    /// What makes hours those of something else: an emergency line, holidays.
    Aside,
    Word,
    Line,
    Stop,
}

/// What is known of each day: not said, closed, or open from minute to minute.
#[derive(Debug, Default)]
struct Known {
    days: [Option<Option<(u16, u16)>>; 7],
    breaks: bool,
}

impl Known {
    /// The first that is said of a day counts.
    fn say(&mut self, mask: u8, ranges: &[(u16, u16)]) {
        let whole = ranges.iter().copied().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let mut taken = false;
        for (at, day) in self.days.iter_mut().enumerate() {
            if mask & (1 << at) != 0 && day.is_none() {
                *day = Some(whole);
                taken = true;
            }
        }
        self.breaks |= taken && ranges.len() > 1;
    }

    /// Marked-up data says each stretch of a day by itself.
    fn add(&mut self, mask: u8, range: (u16, u16)) {
        for (at, day) in self.days.iter_mut().enumerate() {
            if mask & (1 << at) == 0 {
                continue;
            }
            match day {
                Some(Some(open)) => {
                    self.breaks |= range.0 > open.1 || range.1 < open.0;
                    *open = (open.0.min(range.0), open.1.max(range.1));
                }
                Some(None) | None => *day = Some(Some(range)),
            }
        }
    }

    fn week(self, least: usize) -> Option<Week> {
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let days = DAYS.iter().zip(&self.days).filter_map(|(name, day)| {
            let (open, close) = (*day)??;
            Some(((*name).to_owned(), OpenHours { open: clock(open), close: clock(close) }))
        });
        let week = Week { days: days.collect(), breaks: self.breaks };
        (week.days.len() >= least).then_some(week)
    }
}

/// `openingHoursSpecification`, else `openingHours`. What is valid for some time only, such as holidays, is not the week.
pub(super) fn of_marked(map: &Map<String, Value>) -> Option<Week> {
    let mut known = Known::default();
    let specs = one_or_many(map.get("openingHoursSpecification"));
    for spec in specs.iter().take(SPECS_MAX).filter_map(Value::as_object) {
        if spec.contains_key("validFrom") || spec.contains_key("validThrough") {
            continue;
        }
        let time = |key: &str| minute(spec.get(key).and_then(Value::as_str)?);
        let (Some(open), Some(close)) = (time("opens"), time("closes")) else { continue };
        // schema.org: midnight to midnight is closed.
        if let Some(range) = stretch(open, if close == 0 && open != 0 { 24 * 60 } else { close }) {
            known.add(days_of(spec.get("dayOfWeek")), range);
        }
    }
    for text in texts(map.get("openingHours")).take(SPECS_MAX) {
        let tokens = tokens(text, true);
        statements(&tokens, |mask, ranges| ranges.iter().for_each(|range| known.add(mask, *range)));
    }
    known.week(1)
}

/// When a text says that its business is open.
pub(super) fn of_text(text: &str) -> Option<Week> {
    let mut known = Known::default();
    statements(&tokens(text, false), |mask, ranges| known.say(mask, ranges));
    known.week(DAYS_MIN)
}

/// Days of a `dayOfWeek`: names, addresses of names, or things that have a name.
fn days_of(value: Option<&Value>) -> u8 {
    let name = |item: &Value| {
        let text = item.as_str().or_else(|| ["@id", "name"].iter().find_map(|key| item.get(*key)?.as_str()))?;
        days_named(&text.rsplit(['/', ':', '#']).next()?.to_ascii_lowercase(), true)
    };
    one_or_many(value).iter().take(SPECS_MAX).filter_map(name).fold(0, |all, one| all | one)
}

/// A value that may stand alone or in a list.
fn one_or_many(value: Option<&Value>) -> &[Value] {
    match value {
        Some(Value::Array(all)) => all,
        Some(one) => std::slice::from_ref(one),
        None => &[],
    }
}

/// `08:00` or `08:00:00` as minutes.
fn minute(text: &str) -> Option<u16> {
    let mut parts = text.trim().split(':');
    let mut number = || {
        let part = parts.next()?;
        (part.len() == 2).then(|| part.parse::<u16>().ok())?
    };
    let (hour, minute) = (number()?, number()?);
    (minute < 60 && hour <= 24).then_some(hour * 60 + minute)
}

/// A stretch within one day; one that goes on behind midnight ends there.
fn stretch(open: u16, close: u16) -> Option<(u16, u16)> {
    if open == close {
        return None;
    }
    let close = if close < open { LAST_MINUTE } else { close.min(LAST_MINUTE) };
    (open < close).then_some((open, close))
}

/// Tells each statement of days with their stretches; none for closed days.
fn statements(tokens: &[Token], mut tell: impl FnMut(u8, &[(u16, u16)])) {
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token {
            Token::Days(_) => {
                let (mask, end) = days(tokens, at);
                match said(tokens, end) {
                    // `… on weekdays and from 8 to 2 on Saturday`: those hours are the next days' own.
                    Some((_, next)) if holds_days(tokens, next) => at = end,
                    Some((ranges, next)) => {
                        if !is_aside(tokens, at, next) {
                            tell(mask, &ranges);
                        }
                        at = next;
                    }
                    None => at = end,
                }
            }
            // The hours first: `8am to 6pm, Monday to Friday`, `from 7 to 6 on weekdays`.
            Token::Time(_) => match ranges(tokens, at, false)
                .or_else(|| ranges(tokens, at, true).filter(|(_, end)| holds_days(tokens, *end)))
            {
                Some((ranges, end)) => {
                    let begin = skip(tokens, end, HELD_FILLERS_MAX, 0);
                    at = end;
                    if matches!(tokens.get(begin), Some(Token::Days(_))) {
                        let (mask, next) = days(tokens, begin);
                        if !is_aside(tokens, end, next) {
                            tell(mask, &ranges);
                        }
                        at = next;
                    }
                }
                None => at += 1,
            },
            _ => at += 1,
        }
    }
}

/// Whether a single word, such as "on", stands between hours that end here and days.
fn holds_days(tokens: &[Token], at: usize) -> bool {
    matches!((tokens.get(at), tokens.get(at + 1)), (Some(Token::Word), Some(Token::Days(_))))
}

/// Whether what is said between two places, or shortly before, is about something else than the doors.
fn is_aside(tokens: &[Token], from: usize, to: usize) -> bool {
    let before =
        tokens[..from].iter().rev().take_while(|token| !matches!(token, Token::Stop | Token::Line)).take(FILLERS_MAX);
    let behind = tokens[to..].iter().take_while(|token| matches!(token, Token::Word | Token::Aside)).take(2);
    before.chain(&tokens[from..to]).chain(behind).any(|token| *token == Token::Aside)
}

/// Days that are named together from here on, and where what follows begins.
fn days(tokens: &[Token], mut at: usize) -> (u8, usize) {
    let mut mask = 0;
    while let Some(Token::Days(one)) = tokens.get(at) {
        let mut next = at + 1;
        match (tokens.get(next), tokens.get(next + 1)) {
            (Some(Token::Dash), Some(Token::Days(last))) if one.count_ones() == 1 && last.count_ones() == 1 => {
                let (first, last) = (one.trailing_zeros(), last.trailing_zeros());
                let length = (last + 7 - first) % 7;
                mask |= (0..=length).fold(0, |all, n| all | 1 << ((first + n) % 7));
                next += 2;
            }
            _ => mask |= *one,
        }
        at = next;
        let beyond = skip_ands(tokens, at);
        if beyond > at && matches!(tokens.get(beyond), Some(Token::Days(_))) {
            at = beyond;
        } else {
            break;
        }
    }
    (mask, at)
}

fn skip_ands(tokens: &[Token], at: usize) -> usize {
    at + tokens[at.min(tokens.len())..].iter().take(2).take_while(|token| **token == Token::And).count()
}

/// The next place behind a few words, commas and line ends.
fn skip(tokens: &[Token], mut at: usize, mut words: usize, mut lines: usize) -> usize {
    loop {
        let left = match tokens.get(at) {
            Some(Token::Word | Token::Aside | Token::And) => &mut words,
            Some(Token::Line) => &mut lines,
            _ => return at,
        };
        if *left == 0 {
            return at;
        }
        *left -= 1;
        at += 1;
    }
}

/// What is said of days whose names end here: stretches, or none if they are closed.
fn said(tokens: &[Token], at: usize) -> Option<(Vec<(u16, u16)>, usize)> {
    let at = skip(tokens, at, FILLERS_MAX, LINES_MAX);
    match tokens.get(at)? {
        Token::Closed => Some((Vec::new(), at + 1)),
        Token::AllDay => Some((vec![(0, LAST_MINUTE)], at + 1)),
        Token::Time(_) => ranges(tokens, at, true),
        _ => None,
    }
}

/// Stretches of time from here on. Numbers alone are times only behind a day.
fn ranges(tokens: &[Token], mut at: usize, bare: bool) -> Option<(Vec<(u16, u16)>, usize)> {
    let mut found = Vec::new();
    while let (Some(Token::Time(open)), Some(Token::Dash), Some(Token::Time(close))) =
        (tokens.get(at), tokens.get(at + 1), tokens.get(at + 2))
    {
        if matches!(tokens.get(at + 3), Some(Token::Unit)) || !bare && open.bare && close.bare {
            break;
        }
        let Some(range) = resolved(*open, *close) else { break };
        found.push(range);
        at += 3;
        let next = skip(tokens, at, 2, 0);
        if !matches!(tokens.get(next), Some(Token::Time(_))) || found.len() >= 4 || holds_days(tokens, next + 3) {
            break;
        }
        at = next;
    }
    (!found.is_empty()).then_some((found, at))
}

/// Which minutes two written times mean: nobody opens from five in the afternoon to nine in the morning.
fn resolved(open: Written, close: Written) -> Option<(u16, u16)> {
    let as_written = |time: Written| time.hour * 60 + time.minute;
    let half = |time: Written, pm: bool| (time.hour % 12 + if pm { 12 } else { 0 }) * 60 + time.minute;
    /// Nobody opens before that by the morning's clock without saying so.
    const EARLY: u16 = 5 * 60;
    let begin = match (open.half, close.half) {
        (Some(pm), _) => half(open, pm),
        (None, Some(true)) if open.hour == 12 => as_written(open),
        (None, Some(true)) if open.hour < 12 && half(open, false) < EARLY && half(open, true) < half(close, true) => {
            half(open, true)
        }
        (None, Some(false)) if open.hour <= 12 => half(open, false),
        (None, None) if open.bare && open.hour < 12 && as_written(open) < EARLY => half(open, true),
        (None, _) => as_written(open),
    };
    let end = match close.half {
        // Twelve at night ends a day.
        Some(false) if close.hour == 12 => 24 * 60,
        Some(pm) => half(close, pm),
        None if as_written(close) <= begin && close.hour < 12 && half(close, true) > begin => half(close, true),
        None => as_written(close),
    };
    stretch(begin, if end == 0 { 24 * 60 } else { end })
}

/// The bits of a day's name, or of a word for several days.
fn days_named(word: &str, short: bool) -> Option<u8> {
    let one = |at: usize| Some(1 << at);
    match word {
        "mon" | "monday" | "mondays" => one(0),
        "tue" | "tues" | "tuesday" | "tuesdays" => one(1),
        "wed" | "weds" | "wednesday" | "wednesdays" => one(2),
        "thu" | "thur" | "thurs" | "thursday" | "thursdays" => one(3),
        "fri" | "friday" | "fridays" => one(4),
        "sat" | "saturday" | "saturdays" => one(5),
        "sun" | "sunday" | "sundays" => one(6),
        "weekday" | "weekdays" => Some(0b001_1111),
        "weekend" | "weekends" => Some(0b110_0000),
        "daily" | "everyday" => Some(0b111_1111),
        // Only where nothing else can be meant: `we` is a word.
        "mo" | "tu" | "we" | "th" | "fr" | "sa" | "su" if short => {
            one(["mo", "tu", "we", "th", "fr", "sa", "su"].iter().position(|day| *day == word)?)
        }
        _ => None,
    }
}

fn word_token(word: &str, short: bool) -> Token {
    if let Some(mask) = days_named(word, short) {
        return Token::Days(mask);
    }
    match word {
        "to" | "till" | "til" | "until" | "through" | "thru" => Token::Dash,
        "and" => Token::And,
        "closed" => Token::Closed,
        "noon" => Token::Time(Written { hour: 12, minute: 0, half: Some(true), bare: false }),
        "midnight" => Token::Time(Written { hour: 12, minute: 0, half: Some(false), bare: false }),
        "day" | "days" | "week" | "weeks" | "month" | "months" | "year" | "years" | "minute" | "minutes" | "min"
        | "business" | "people" | "person" | "persons" | "percent" | "times" | "january" | "february" | "march"
        | "april" | "may" | "june" | "july" | "august" | "september" | "october" | "november" | "december" | "jan"
        | "feb" | "mar" | "apr" | "jun" | "jul" | "aug" | "sep" | "sept" | "oct" | "nov" | "dec" => Token::Unit,
        "emergency" | "emergencies" | "holiday" | "holidays" | "christmas" | "easter" | "except" | "workshop"
        | "course" | "courses" | "class" | "classes" | "event" | "events" | "delivery" | "deliveries" => Token::Aside,
        _ => Token::Word,
    }
}

fn tokens(text: &str, short: bool) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        let token = if c.is_alphabetic() {
            length = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
            let word = rest[..length].to_lowercase();
            let token = word_token(&word, short);
            // The full stop of `Mon.` ends no sentence.
            if matches!(token, Token::Days(_)) && word.len() <= 5 && rest[length..].starts_with('.') {
                length += 1;
            }
            Some(token)
        } else if c.is_ascii_digit() {
            let (token, taken) = number(rest, before);
            length = taken;
            Some(token)
        } else {
            let next = rest[length..].chars().next().unwrap_or(' ');
            match c {
                '-' | '‐' | '‑' | '‒' | '–' | '—' | '−' | '~' => Some(Token::Dash),
                ',' | '&' | ';' | '/' | '+' => Some(Token::And),
                '\n' => Some(Token::Line),
                '#' => Some(Token::Stop),
                '.' | '!' | '?' if next.is_whitespace() => Some(Token::Stop),
                '%' => Some(Token::Unit),
                _ => None,
            }
        };
        // Line ends beside each other are one.
        found.extend(token.filter(|token| *token != Token::Line || found.last() != Some(&Token::Line)));
        before = rest[..length].chars().next_back().unwrap_or(c);
        rest = &rest[length..];
    }
    found
}

/// A number as a time if it is one, and how many bytes it takes.
fn number(text: &str, before: char) -> (Token, usize) {
    let run = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let digits = run(text);
    let hour = text[..digits].parse::<u16>().ok().filter(|hour| digits <= 2 && *hour <= 24);
    let Some(hour) = hour.filter(|_| !matches!(before, '$' | '€' | '£' | '.' | ':' | '#')) else {
        return (Token::Word, digits);
    };
    let mut end = digits;
    if hour == 24 {
        let behind = text[end..].trim_start_matches([' ', '-']).to_ascii_lowercase();
        if behind.starts_with("/7") {
            return (Token::AllDay, text.len() - behind.len() + 2);
        }
        if behind.starts_with("hour") || behind.starts_with("hrs") {
            let word = behind.bytes().take_while(u8::is_ascii_alphabetic).count();
            return (Token::AllDay, text.len() - behind.len() + word);
        }
    }
    let mut minute = None;
    if text[end..].starts_with([':', '.', 'h']) && run(&text[end + 1..]) == 2 {
        minute = text[end + 1..end + 3].parse::<u16>().ok().filter(|minute| *minute < 60);
        if minute.is_none() {
            return (Token::Word, end);
        }
        end += 3;
        // `08:00:00`
        if text[end..].starts_with(':') && run(&text[end + 1..]) == 2 {
            end += 3;
        }
    }
    let (half, taken) = half_of(&text[end..]);
    end += taken;
    if hour > 12 && half.is_some() || text[end..].starts_with(|c: char| c.is_alphanumeric()) {
        return (Token::Word, end);
    }
    let written = Written { hour, minute: minute.unwrap_or(0), half, bare: minute.is_none() && half.is_none() };
    (Token::Time(written), end)
}

/// An `am` or `p.m.` that follows, and how many bytes it takes.
fn half_of(text: &str) -> (Option<bool>, usize) {
    let blanks = text.len() - text.trim_start_matches([' ', '\u{a0}', '\u{202f}']).len();
    let mut letters = String::new();
    let mut end = blanks;
    for (at, c) in text[blanks..].char_indices().take(4) {
        match c.to_ascii_lowercase() {
            letter @ ('a' | 'p' | 'm') if letters.len() < 2 => letters.push(letter),
            '.' if !letters.is_empty() && letters.len() <= 2 => {}
            _ => break,
        }
        end = blanks + at + c.len_utf8();
    }
    let whole = !text[end..].starts_with(|c: char| c.is_alphanumeric());
    match letters.as_str() {
        // The full stop behind `pm.` may end the sentence; a line end does too.
        "am" if whole => (Some(false), end),
        "pm" if whole => (Some(true), end),
        _ => (None, 0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As `mon 08:00-18:00, …`, days with the same hours one by one.
    fn shown(week: Option<Week>) -> String {
        let Some(week) = week else { return String::new() };
        let days =
            DAYS.iter().filter_map(|day| week.days.get(*day).map(|open| format!("{day} {}-{}", open.open, open.close)));
        let days: Vec<String> = days.collect();
        days.join(", ") + if week.breaks { " with breaks" } else { "" }
    }

    fn workdays(hours: &str) -> String {
        let days: Vec<String> = DAYS[..5].iter().map(|day| format!("{day} {hours}")).collect();
        days.join(", ")
    }

    #[test]
    fn hours_are_read_as_people_write_them() {
        let eight = workdays("08:00-18:00");
        let with_saturday = format!("{eight}, sat 09:00-13:00");
        for (text, found) in [
            ("Mon–Fri 8am–6pm, Sat 9-1", with_saturday.as_str()),
            (
                "Oak is open Monday to Friday from 8:00 to 18:00. On Saturday we are open from 9:00 to 13:00.",
                &with_saturday,
            ),
            ("Hours: Mon. - Fri. 8 a.m. - 6 p.m.; Sat. 9 a.m. - 1 p.m.; Sunday: closed", &with_saturday),
            ("8am to 6pm Monday to Friday, 9am to 1pm Saturdays", &with_saturday),
            (
                "| Monday - Friday | 8.00 – 18.00 |\n| --- | --- |\n| Saturday | 9.00 – 13.00 |\n| Sunday | Closed |",
                &with_saturday,
            ),
            ("Monday through Friday\n8:00 AM - 6:00 PM\n\nSaturday\n9:00 AM - 1:00 PM", &with_saturday),
            ("Weekdays 8–6", &eight),
            ("The office answers from 8 to 6 on weekdays and from 9 to 1 on Saturday.", &with_saturday),
            ("On weekdays our hours are 8 to 6, and 9 to 1 on Saturday.", &with_saturday),
            // Whose hours those are is not clear, and nothing is better than another day's.
            ("Somebody is there weekdays and, from 9 to 1 on Saturday, by appointment.", ""),
            ("Mon-Fri 8-12 and 13-18", &format!("{eight} with breaks")),
            ("Monday, Wednesday & Friday: noon to 5", "mon 12:00-17:00, wed 12:00-17:00, fri 12:00-17:00"),
            ("Fri-Sun 6pm-2am", "fri 18:00-23:59, sat 18:00-23:59, sun 18:00-23:59"),
            ("We are open 24/7. Mon-Fri 24 hours", &workdays("00:00-23:59")),
            // The first that is said of a day counts, and other hours than the doors' do not.
            ("Mon-Fri 8-18. Emergency line Monday to Sunday 24 hours. Holidays: Mon-Sun 10-12.", &eight),
            ("The workshop is Monday to Friday 9:00-12:00.", ""),
            // Not hours.
            ("Delivered Monday, 3-5 days later, Tuesday 12-15 May, Wednesday 2-4 people, Thursday 9 Elm Street", ""),
            ("Saturday 9-1", ""),
            ("Call 217-555-0133 or pay $8-18 Monday to Friday", ""),
            ("Monday 25:00-26:00, Tuesday 8:70-9:00, Wednesday 8-8", ""),
            ("", ""),
        ] {
            assert_eq!(shown(of_text(text)), found, "{text}");
        }
    }

    #[test]
    fn marked_up_hours_come_in_two_forms_and_holidays_are_not_the_week() {
        let week = |data: Value| shown(of_marked(data.as_object().expect("an object")));
        let spec =
            |days: Value, opens: &str, closes: &str| json!({"dayOfWeek": days, "opens": opens, "closes": closes});
        let all = json!(["Monday", "Tuesday", "https://schema.org/Wednesday", "http://schema.org/Thursday", {"name": "Friday"}]);
        let eight = workdays("08:00-18:00");
        assert_eq!(week(json!({"openingHoursSpecification": spec(all.clone(), "08:00", "18:00:00")})), eight);
        let split = json!({"openingHoursSpecification": [spec(all.clone(), "08:00", "12:00"), spec(all.clone(), "13:00", "18:00")]});
        assert_eq!(week(split), format!("{eight} with breaks"));
        let mut easter = spec(json!("Sunday"), "10:00", "12:00");
        easter["validFrom"] = json!("2026-04-05");
        let closed = spec(json!("Sunday"), "00:00", "00:00");
        let night = spec(json!("Saturday"), "20:00", "00:00");
        assert_eq!(week(json!({"openingHoursSpecification": [easter, closed, night]})), "sat 20:00-23:59");
        assert_eq!(week(json!({"openingHours": "Mo,Tu,We,Th,Fr 08:00-18:00"})), eight);
        assert_eq!(
            week(json!({"openingHours": ["Mo-Fr 08:00-12:00", "Mo-Fr 13:00-18:00"]})),
            format!("{eight} with breaks")
        );
        assert_eq!(week(json!({"openingHours": 7, "openingHoursSpecification": ["x", {"opens": []}]})), "");
    }
}
