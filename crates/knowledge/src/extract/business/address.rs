//! A postal address, from marked-up data or from a line that reads as one.

use serde_json::Value;

use super::{MAX_PART_CHARS, Postal, line};

/// Longest stretch before a postal code that is looked at for street and city, in bytes.
const LINE_BYTES_MAX: usize = 200;

/// An address as schema.org has it: parts, or one text.
pub(super) fn of_marked(value: &Value) -> Option<Postal> {
    match value {
        Value::Array(all) => all.iter().take(4).find_map(of_marked),
        Value::String(text) => {
            of_text(text).or_else(|| Some(Postal { street: line(text, MAX_PART_CHARS)?, ..Postal::default() }))
        }
        Value::Object(map) => {
            let text = |key: &str| {
                let value = map.get(key)?;
                let named = value.as_str().or_else(|| value.get("name").and_then(Value::as_str))?;
                line(named, MAX_PART_CHARS)
            };
            let part = |key: &str| text(key).unwrap_or_default();
            let postal = Postal {
                street: part("streetAddress"),
                city: part("addressLocality"),
                state: part("addressRegion"),
                zip: part("postalCode"),
                country: part("addressCountry"),
            };
            // A country alone tells nobody where to go.
            (!postal.street.is_empty() || !postal.city.is_empty()).then_some(postal)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// The first `12 Elm Street, Springfield, IL 62704` of a text.
pub(super) fn of_text(text: &str) -> Option<Postal> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.iter().enumerate().find_map(|(at, here)| {
        american(here).or_else(|| {
            // Street and city often stand on lines of their own.
            let before = at.checked_sub(1).map(|at| lines[at])?;
            let begins = before.trim_start_matches(['-', '*', '|', ' ']).starts_with(|c: char| c.is_ascii_digit());
            (begins && before.len() + here.len() <= LINE_BYTES_MAX).then(|| american(&format!("{before}, {here}")))?
        })
    })
}

/// `… 12 Elm Street, Springfield, IL 62704 …` within one line.
fn american(text: &str) -> Option<Postal> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut from = 0;
    while let Some(found) = text[from..].find(' ') {
        let at = from + found;
        from = at + 1;
        // Two capital letters, a blank, five digits.
        let upper = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_uppercase);
        let state = at >= 3 && upper(at - 1) && upper(at - 2) && matches!(bytes[at - 3], b' ' | b',');
        if !state || !(1..=5).all(|n| digit(at + n)) || digit(at + 6) {
            continue;
        }
        let (before, zip) = (text[..at - 2].trim_end_matches([' ', ',']), &text[at + 1..at + 6]);
        let Some((rest, city)) = before.rsplit_once(',') else { continue };
        // A suite stands between street and city; what stands before the number is no part of it.
        let Some(street) = street(rest) else { continue };
        let (Some(street), Some(city)) = (line(street, MAX_PART_CHARS), line(city, MAX_PART_CHARS)) else { continue };
        if city.chars().any(|c| c.is_ascii_digit()) {
            continue;
        }
        let (state, zip) = (text[at - 2..at].to_owned(), zip.to_owned());
        return Some(Postal { street, city, state, zip, country: String::new() });
    }
    None
}

/// The end of a text that begins with a house number.
fn street(text: &str) -> Option<&str> {
    let mut begin = text.len().saturating_sub(LINE_BYTES_MAX);
    while !text.is_char_boundary(begin) {
        begin += 1;
    }
    let text = &text[begin..];
    let mut word = 0;
    let mut found = None;
    for part in text.split_inclusive([' ', '|', ',', ':', '*']) {
        let bare = part.trim_end_matches([' ', '|', ',', ':', '*']);
        let number = bare.len() <= 6 && bare.starts_with(|c: char| c.is_ascii_digit());
        let after = text[word + part.len()..].trim_start();
        // The first number before a name: later ones are suites and floors, and a small word follows a year.
        let named = after.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit());
        if number && found.is_none() && part.ends_with(' ') && named {
            found = Some(&text[word..]);
        }
        word += part.len();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_from_a_line_or_two_and_nothing_else_is_one() {
        for (text, found) in [
            (
                "Visit us at 12 Elm Street, Springfield, IL 62704.",
                Some(("12 Elm Street", "Springfield", "IL", "62704")),
            ),
            (
                "410 N. Main St, Suite 4, Round Rock, TX 78664",
                Some(("410 N. Main St, Suite 4", "Round Rock", "TX", "78664")),
            ),
            ("12 Elm Street\nSpringfield, IL 62704-1234", Some(("12 Elm Street", "Springfield", "IL", "62704"))),
            ("We looked after Springfield, IL 62704 since 1987", None),
            ("Since 1987 at 100 5th Avenue, New York, NY 10011", Some(("100 5th Avenue", "New York", "NY", "10011"))),
            ("Invoice 12, OK 123456", None),
            ("Elm Street, Springfield", None),
            ("", None),
        ] {
            let read = of_text(text);
            let parts = read.as_ref().map(|read| (&*read.street, &*read.city, &*read.state, &*read.zip));
            assert_eq!(parts, found, "{text}");
        }
    }
}
