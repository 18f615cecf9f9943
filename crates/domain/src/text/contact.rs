//! Phone numbers and e-mail addresses in free text: found, checked and brought to one form.

use std::ops::Range;

use phonenumber::{Mode, PhoneNumber};

/// E.164 allows 15 digits; fewer than 8 with a country code is no number anywhere.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 8..=15;
/// National numbers have 9 to 11 digits with their leading zero.
const NATIONAL_DIGITS: std::ops::RangeInclusive<usize> = 9..=11;
/// So many digits beside a number are a second one; an extension or a house number has fewer.
const SECOND_NUMBER_DIGITS: usize = 7;
/// The calling code of Mexico, and the 1 that stood before its ten digits.
const MEXICO: u16 = 52;
const MEXICO_MOBILE: u64 = 10_000_000_000;
/// RFC 5321: 64 octets before the @, 254 in all.
const LOCAL_PART_MAX: usize = 64;
const EMAIL_MAX: usize = 254;

/// A value found in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The value in its kept form.
    pub value: String,
    /// Byte range in the text.
    pub at: Range<usize>,
}

/// Why a text is no phone number that can be called back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhoneProblem {
    /// Nothing like a number.
    #[error("that doesn't look like a phone number")]
    NoNumber,
    /// Too few digits.
    #[error("that number looks too short; please include the area code")]
    TooShort,
    /// Too many digits.
    #[error("that number has too many digits")]
    TooLong,
    /// The right length but not a number that exists.
    #[error("that doesn't look like a number we can call")]
    NotDialable,
    /// More than one number.
    #[error("there is more than one number; please give one at a time")]
    Several,
}

/// The phone numbers of a text, in order. Order numbers, dates, amounts and postal codes are left alone.
pub fn phones(text: &str) -> Vec<Found> {
    runs(text).into_iter().filter_map(|run| in_run(text, &run)).collect()
}

/// A phone number as an answer to the question for one: E.164 where the country is certain, else the national digits.
pub fn valid_phone(text: &str) -> Result<String, PhoneProblem> {
    if let Some(found) = phones(text).into_iter().next() {
        return Ok(found.value);
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    match digits.len() {
        0..=3 => Err(PhoneProblem::NoNumber),
        4..=8 => Err(PhoneProblem::TooShort),
        9..=15 => Err(PhoneProblem::NotDialable),
        _ => Err(PhoneProblem::TooLong),
    }
}

/// The one phone number of a field that holds nothing else, in the same form as [`valid_phone`].
///
/// # Errors
/// When there is none, or more than one: which of them is meant nobody can know.
pub fn only_phone(text: &str) -> Result<String, PhoneProblem> {
    let found = phones(text);
    let Some(first) = found.first() else { return valid_phone(text) };
    let beside = text[..first.at.start].chars().chain(text[first.at.end..].chars());
    if beside.filter(char::is_ascii_digit).count() >= SECOND_NUMBER_DIGITS {
        return Err(PhoneProblem::Several);
    }
    Ok(first.value.clone())
}

/// The form in which an international number (`+`, then digits) is dialled, if such numbers exist: without the trunk zero of "+44 (0)20 …" and in the
/// way its country writes it today. Whatever is kept of a number is kept in this form, so that lists and dials speak of the same one.
pub fn dialled_form(number: &str) -> Option<String> {
    let read = of_today(phonenumber::parse(None, number).ok()?);
    (read.extension().is_none() && read.is_valid()).then(|| read.format().mode(Mode::E164).to_string())
}

/// A number as its country writes it today. Mexico dropped the 1 before mobile numbers in 2019; WhatsApp and old lists still have it.
pub(crate) fn of_today(read: PhoneNumber) -> PhoneNumber {
    let national = read.national().value();
    if read.code().value() != MEXICO || !(MEXICO_MOBILE..2 * MEXICO_MOBILE).contains(&national) {
        return read;
    }
    phonenumber::parse(None, format!("+{MEXICO}{}", national - MEXICO_MOBILE)).unwrap_or(read)
}

/// The e-mail addresses of a text, in order, lower case behind the @.
pub fn emails(text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices('@') {
        let start =
            text[..at].char_indices().rev().take_while(|(_, c)| local_char(*c)).last().map_or(at, |(start, _)| start);
        let domain: usize = text[at + 1..]
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
            .map(char::len_utf8)
            .sum();
        let local = text[start..at].trim_start_matches(['.', '-', '\'']);
        let host = text[at + 1..at + 1 + domain].trim_end_matches(['.', '-']);
        let start = at - local.len();
        let end = at + 1 + host.len();
        if address_ok(local, host) {
            found.push(Found { value: format!("{local}@{}", host.to_ascii_lowercase()), at: start..end });
        }
    }
    found
}

/// An e-mail address as an answer to the question for one; `None` if there is none in it.
pub fn valid_email(text: &str) -> Option<String> {
    emails(text).into_iter().next().map(|found| found.value)
}

/// A number as people read it: `(555) 201-3344` for North America, else as kept.
pub fn pretty_phone(value: &str) -> String {
    match value.strip_prefix("+1") {
        Some(rest) if rest.len() == 10 && rest.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("({}) {}-{}", &rest[..3], &rest[3..6], &rest[6..])
        }
        Some(_) | None => value.to_owned(),
    }
}

/// A run of digit groups with at most two separators between them.
struct Run {
    plus: bool,
    groups: Vec<Range<usize>>,
}

fn runs(text: &str) -> Vec<Run> {
    let bytes = text.as_bytes();
    let mut runs: Vec<Run> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let end = at + bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let before = &text[..at];
        let word_before =
            before.chars().next_back().is_some_and(|c| c.is_alphabetic() || matches!(c, '#' | '$' | '€' | '£'));
        let word_after = text[end..].chars().next().is_some_and(|c| c.is_alphabetic() || c == '@');
        let gap = runs.last().and_then(|run| run.groups.last()).map(|last| &text[last.end..at]);
        let joins = gap.is_some_and(|gap| {
            !gap.is_empty()
                && gap.len() <= 3
                && gap.chars().all(|c| matches!(c, ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}'))
        });
        if !word_before && !word_after {
            match runs.last_mut() {
                Some(run) if joins => run.groups.push(at..end),
                Some(_) | None => {
                    let sign = before.trim_end_matches(['(', ' ']);
                    runs.push(Run { plus: sign.ends_with('+'), groups: std::iter::once(at..end).collect() });
                }
            }
        }
        at = end;
    }
    runs
}

/// The best number within a run: with a plus the whole of it, else the first stretch of groups that is a number.
fn in_run(text: &str, run: &Run) -> Option<Found> {
    let digits = |groups: &[Range<usize>]| groups.iter().map(|group| &text[group.clone()]).collect::<String>();
    let place = |groups: &[Range<usize>]| groups.first().zip(groups.last()).map(|(first, last)| first.start..last.end);
    if run.plus {
        // Trailing groups may belong to something else ("+41 79 123 45 67 12 Oak St"), so shorten from the right: to a number that exists, else to
        // one that could.
        let fits = |count: &usize| PHONE_DIGITS.contains(&digits(&run.groups[..*count]).len());
        let counts = || (1..=run.groups.len()).rev().filter(fits);
        let exists =
            counts().find_map(|count| Some((count, dialled_form(&format!("+{}", digits(&run.groups[..count])))?)));
        let (count, value) =
            exists.or_else(|| counts().next().map(|count| (count, format!("+{}", digits(&run.groups[..count])))))?;
        let at = place(&run.groups[..count])?;
        return (!value.starts_with("+0"))
            .then(|| Found { value, at: text[..at.start].rfind('+').unwrap_or(at.start)..at.end });
    }
    let count = run.groups.len();
    for start in 0..count {
        for end in (start + 1..=count).rev() {
            let groups = &run.groups[start..end];
            let all = digits(groups);
            let lengths: Vec<usize> = groups.iter().map(ExactSizeIterator::len).collect();
            if let Some(value) = without_plus(&all, &lengths) {
                return place(groups).map(|at| Found { value, at });
            }
        }
    }
    None
}

fn without_plus(digits: &str, lengths: &[usize]) -> Option<String> {
    if let Some(rest) = digits.strip_prefix("00") {
        let number = format!("+{rest}");
        return (PHONE_DIGITS.contains(&rest.len()) && !rest.starts_with('0'))
            .then(|| dialled_form(&number).unwrap_or(number));
    }
    let shaped = matches!(lengths, [10] | [3, 7] | [3, 3, 4] | [6, 4] | [11] | [1, 10] | [1, 3, 7] | [1, 3, 3, 4]);
    let ten = match digits.len() {
        10 => Some(digits),
        11 => digits.strip_prefix('1'),
        _ => None,
    };
    if let Some(ten) = ten
        && shaped
        && north_american(ten)
    {
        return Some(format!("+1{ten}"));
    }
    // A national number with its trunk zero; a date such as 01.02.2026 has groups of one or two digits and a year.
    let date_like = matches!(lengths, [1 | 2, 1 | 2, 4] | [4, 1 | 2, 1 | 2]);
    (digits.starts_with('0') && NATIONAL_DIGITS.contains(&digits.len()) && !date_like).then(|| digits.to_owned())
}

/// The North American plan: area code and exchange begin with 2 to 9.
fn north_american(digits: &str) -> bool {
    let bytes = digits.as_bytes();
    bytes.len() == 10 && (b'2'..=b'9').contains(&bytes[0]) && (b'2'..=b'9').contains(&bytes[3])
}

fn local_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-' | '\'')
}

fn address_ok(local: &str, host: &str) -> bool {
    let labels: Vec<&str> = host.split('.').collect();
    let label_ok =
        |label: &&str| !label.is_empty() && label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-');
    !local.is_empty()
        && local.len() <= LOCAL_PART_MAX
        && local.len() + 1 + host.len() <= EMAIL_MAX
        && !local.contains("..")
        && !local.ends_with('.')
        && labels.len() >= 2
        && labels.iter().all(label_ok)
        && labels.last().is_some_and(|top| top.len() >= 2 && top.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn phone_numbers_are_found_among_other_numbers() {
        for (text, value) in [
            ("call me at 555 201 3344", Some("+15552013344")),
            ("(555) 201-3344 works", Some("+15552013344")),
            ("1-555-201-3344", Some("+15552013344")),
            ("5552013344", Some("+15552013344")),
            ("+41 79 123 45 67", Some("+41791234567")),
            ("0041 79 123 45 67", Some("+41791234567")),
            ("020 7946 0958", Some("02079460958")),
            ("12 Oak St 97201, 555.201.3344", Some("+15552013344")),
            ("Unit 4 555-201-3344", Some("+15552013344")),
            ("555-201-3344 12 Oak St", Some("+15552013344")),
            ("order #5552013344", None),
            ("order AB5552013344", None),
            ("it costs $1200 since 2019", None),
            ("on 01.02.2026 at 10:30", None),
            ("2026-11-20", None),
            ("201-3344", None),
            ("123-456-7890", None),
        ] {
            assert_eq!(phones(text).first().map(|found| found.value.as_str()), value, "{text}");
        }
    }

    #[test]
    fn a_wrong_phone_number_says_what_is_wrong() {
        assert_eq!(valid_phone("later"), Err(PhoneProblem::NoNumber));
        assert_eq!(valid_phone("201-3344"), Err(PhoneProblem::TooShort));
        assert_eq!(valid_phone("123-456-7890"), Err(PhoneProblem::NotDialable));
        assert_eq!(valid_phone("12345678901234567890"), Err(PhoneProblem::TooLong));
    }

    #[test]
    fn a_number_is_kept_as_it_is_dialled_however_it_is_written() {
        for (text, value) in [
            ("+44 (0)20 7946 0123", "+442079460123"),
            ("+44-(0)-20-7946-0123", "+442079460123"),
            ("0044 (0)20 7946 0123", "+442079460123"),
            ("+49 (0)30 901820", "+4930901820"),
            ("+39 06 3600 1234", "+390636001234"),
            ("+41 79 123 45 67 12 Oak St", "+41791234567"),
            ("+41 44 668 18 00 / 012 34", "+41446681800"),
        ] {
            assert_eq!(valid_phone(text).as_deref(), Ok(value), "{text}");
        }
        for text in [
            "+5215512345678",
            "+52 1 55 1234 5678",
            "+525512345678",
            "+5491123456789",
            "+54 9 11 2345-6789",
            "+541123456789",
        ] {
            let dialled = crate::campaign::number::normal(text, None).unwrap_or_else(|no| panic!("{text}: {no}")).e164;
            assert_eq!(valid_phone(text).as_deref(), Ok(dialled.as_str()), "{text}");
            assert_eq!(dialled_form(&dialled).as_deref(), Some(dialled.as_str()), "{text}");
        }
        assert_eq!(valid_phone("+52 1 55 1234 5678"), valid_phone("+525512345678"), "one telephone in Mexico");
    }

    #[test]
    fn a_field_holds_one_number() {
        for text in [
            "+14155551234; +14155551235",
            "+14155551234/4155551235",
            "4155551234 4155551235",
            "+41 44 668 18 00 044 668 18 01",
            "4155551234 or +442079460123",
        ] {
            assert_eq!(only_phone(text), Err(PhoneProblem::Several), "{text}");
        }
        for text in ["+1 (415) 555-1239 x12", "+1 415 555 1239 / home", "tel:+14155551239", "(415) 555-1239"] {
            assert_eq!(only_phone(text).as_deref(), Ok("+14155551239"), "{text}");
        }
        assert_eq!(only_phone("12"), Err(PhoneProblem::NoNumber));
    }

    #[test]
    fn email_addresses_are_found_without_the_punctuation_around_them() {
        for (text, value) in [
            ("it's ann.lee+x@Example.COM.", Some("ann.lee+x@example.com")),
            ("(ann@lee.co.uk)", Some("ann@lee.co.uk")),
            ("ann@lee", None),
            ("ann@lee.c", None),
            ("@lee.com", None),
            ("a..b@lee.com", None),
            ("ann@-lee.com", None),
        ] {
            assert_eq!(valid_email(text).as_deref(), value, "{text}");
        }
    }

    #[test]
    fn numbers_read_nicely() {
        assert_eq!(pretty_phone("+15552013344"), "(555) 201-3344");
        assert_eq!(pretty_phone("+41791234567"), "+41791234567");
    }

    proptest! {
        #[test]
        fn any_text_gives_values_in_their_kept_form(text in "[0-9 +().@a-z-]{0,80}|\\PC{0,80}") {
            for found in phones(&text) {
                prop_assert!(text.get(found.at.clone()).is_some());
                prop_assert!(found.value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'+'));
                prop_assert!(found.value.len() <= 16);
            }
            for found in emails(&text) {
                prop_assert!(text.get(found.at.clone()).is_some());
                prop_assert_eq!(found.value.matches('@').count(), 1);
            }
        }
    }
}
