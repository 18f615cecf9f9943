//! Telephone numbers of a list, as people and spreadsheets write them, brought to E.164 or refused with the reason.

use std::str::FromStr as _;

use phonenumber::{Mode, Type, country, metadata::DATABASE};
use serde::{Deserialize, Serialize};

use super::zones;
use crate::text;

/// The longest text looked at: an international number with every separator has 30 characters.
const TEXT_CHARS_MAX: usize = 40;

/// A number that can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// In E.164.
    pub e164: String,
    /// The country's two letters.
    pub country: String,
    /// The time zones it may be in; never empty.
    pub zones: Vec<String>,
}

/// Why a text is no number that can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum NumberProblem {
    /// There is nothing.
    #[error("there is no phone number")]
    Missing,
    /// A spreadsheet has rounded it.
    #[error("a spreadsheet has rounded this number; format the column as text and export it again")]
    Rounded,
    /// It is no number.
    #[error("this is not a phone number")]
    NoNumber,
    /// It is written without its country, and no default country is set.
    #[error("the country is missing; write it as +15551234567 or set a default country")]
    NoCountry,
    /// It has an extension, which nobody could dial.
    #[error("a number with an extension cannot be called")]
    Extension,
    /// No such number was given out in its country.
    #[error("no such number exists in its country")]
    Invalid,
    /// Calls to it cost extra.
    #[error("premium-rate, shared-cost, personal, pager and company-wide numbers are not called")]
    Premium,
    /// It belongs to no country, so its hours are unknown.
    #[error("the number belongs to no country, so its calling hours are unknown")]
    NoZone,
}

/// Whether two letters name a country that numbers can be read with.
pub fn is_country(letters: &str) -> bool {
    letters.len() == 2
        && letters.bytes().all(|byte| byte.is_ascii_uppercase())
        && country::Id::from_str(letters).is_ok()
}

/// Reads a number. `default_country` (two letters) says what a number without its country means.
///
/// # Errors
/// A [`NumberProblem`] in words for whoever brought the list.
pub fn normal(text: &str, default_country: Option<&str>) -> Result<Number, NumberProblem> {
    // Spreadsheets put an apostrophe before what must stay text.
    let text = text.trim().trim_start_matches('\'').trim();
    if text.is_empty() {
        return Err(NumberProblem::Missing);
    }
    if text.chars().count() > TEXT_CHARS_MAX {
        return Err(NumberProblem::NoNumber);
    }
    if is_rounded(text) {
        return Err(NumberProblem::Rounded);
    }
    let default = default_country.and_then(|letters| country::Id::from_str(letters).ok());
    // 00 is how most of the world dials out; with a default country the library knows that country's own way.
    let text = match text.strip_prefix("00") {
        Some(rest) if default.is_none() => format!("+{rest}"),
        Some(_) | None => text.to_owned(),
    };
    if default.is_none() && !text.starts_with('+') && !text.starts_with("(+") {
        let digits = text.chars().filter(char::is_ascii_digit).count();
        return Err(if digits < 3 { NumberProblem::NoNumber } else { NumberProblem::NoCountry });
    }
    let number = text::of_today(phonenumber::parse(default, &text).map_err(|_| NumberProblem::NoNumber)?);
    if number.extension().is_some() {
        return Err(NumberProblem::Extension);
    }
    if !number.is_valid() {
        return Err(NumberProblem::Invalid);
    }
    match number.number_type(&DATABASE) {
        // What the last three cost is set by whoever owns them, far above a call to a telephone.
        Type::PremiumRate | Type::SharedCost | Type::PersonalNumber | Type::Pager | Type::Uan => {
            return Err(NumberProblem::Premium);
        }
        Type::FixedLine
        | Type::Mobile
        | Type::FixedLineOrMobile
        | Type::TollFree
        | Type::Voip
        | Type::Voicemail
        | Type::ShortCode
        | Type::StandardRate
        | Type::Carrier
        | Type::NoInternational
        | Type::Emergency
        | Type::Unknown => {}
    }
    let country = country_of(&number).ok_or(NumberProblem::NoZone)?;
    let e164 = number.format().mode(Mode::E164).to_string();
    let zones = zones::of(&e164, &country);
    if zones.is_empty() {
        return Err(NumberProblem::NoZone);
    }
    Ok(Number { e164, country, zones })
}

/// Whether a number may take text messages: a mobile, or in countries whose numbers do not tell, any that could be one.
pub fn takes_texts(e164: &str) -> bool {
    let Ok(number) = phonenumber::parse(None, e164) else { return false };
    let number = text::of_today(number);
    number.is_valid() && matches!(number.number_type(&DATABASE), Type::Mobile | Type::FixedLineOrMobile)
}

/// The country of a number of ours, which its provider says is one; none of a number that belongs to no country.
pub fn country(e164: &str) -> Option<String> {
    country_of(&phonenumber::parse(None, e164).ok()?)
}

/// The country's two letters. Where several share a calling code and the number begins with zeros that belong to it (Italy), the first of them.
fn country_of(number: &phonenumber::PhoneNumber) -> Option<String> {
    if let Some(country) = number.country().id() {
        return Some(country.as_ref().to_owned());
    }
    let shared = DATABASE.by_code(&number.country().code())?;
    shared.into_iter().next().map(|country| country.id().to_owned()).filter(|letters| is_country(letters))
}

/// Numbers such as `4.15555E+10`, which spreadsheets make of long digits: the last ones are lost.
fn is_rounded(text: &str) -> bool {
    let Some((head, tail)) = text.split_once(['E', 'e']) else { return false };
    let digits =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b','));
    digits(head) && digits(tail.trim_start_matches(['+', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        let cases = [
            ("+1 (415) 555-2671", None, "+14155552671", "US"),
            ("(415) 555-2671", Some("US"), "+14155552671", "US"),
            ("1-415-555-2671", Some("US"), "+14155552671", "US"),
            ("14155552671", Some("US"), "+14155552671", "US"),
            ("'+14155552671", None, "+14155552671", "US"),
            ("0041 44 668 18 00", None, "+41446681800", "CH"),
            ("044 668 18 00", Some("CH"), "+41446681800", "CH"),
            ("0041446681800", Some("CH"), "+41446681800", "CH"),
            ("+44 20 7031 3000", Some("US"), "+442070313000", "GB"),
            ("020 7031 3000", Some("GB"), "+442070313000", "GB"),
            ("+39 06 3600 1234", None, "+390636001234", "IT"),
            ("tel:+1-604-555-2671", Some("US"), "+16045552671", "CA"),
        ];
        for (text, default, e164, country) in cases {
            let number = normal(text, default).unwrap_or_else(|problem| panic!("{text}: {problem}"));
            assert_eq!((number.e164.as_str(), number.country.as_str()), (e164, country), "{text}");
            assert!(!number.zones.is_empty(), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused_by_its_own_name() {
        let cases = [
            ("", None, NumberProblem::Missing),
            ("  ' ", None, NumberProblem::Missing),
            ("4.15555E+10", Some("US"), NumberProblem::Rounded),
            ("1,41555E+10", Some("US"), NumberProblem::Rounded),
            ("call me", Some("US"), NumberProblem::NoNumber),
            ("415 555 2671", None, NumberProblem::NoCountry),
            ("+1 415 555 2671 ext. 12", None, NumberProblem::Extension),
            ("+1 415 555", None, NumberProblem::Invalid),
            ("+1 111 111 1111", None, NumberProblem::Invalid),
            ("+1 900 555 2671", None, NumberProblem::Premium),
            ("+44 909 8790 000", None, NumberProblem::Premium),
            ("+44 70 1234 5678", None, NumberProblem::Premium),
            ("+44 76 4012 3456", None, NumberProblem::Premium),
            ("+44 55 1234 5678", None, NumberProblem::Premium),
            ("+41 878 123 456", None, NumberProblem::Premium),
            ("+800 1234 5678", None, NumberProblem::NoZone),
            ("+999 1234 5678", None, NumberProblem::NoNumber),
        ];
        for (text, default, problem) in cases {
            assert_eq!(normal(text, default).err(), Some(problem), "{text}");
        }
        assert_eq!(normal(&"1".repeat(10_000), Some("US")).err(), Some(NumberProblem::NoNumber));
    }

    #[test]
    fn countries_have_two_letters() {
        assert!(is_country("US") && is_country("CH"));
        for letters in ["", "us", "USA", "XX", "1", "ÄÖ"] {
            assert!(!is_country(letters), "{letters}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "\\PC{0,60}", plus in "\\+[0-9 ()-]{0,20}") {
            for text in [text, plus] {
                for default in [None, Some("US"), Some("BR"), Some("IT")] {
                    if let Ok(number) = normal(&text, default) {
                        proptest::prop_assert!(crate::check::is_e164(&number.e164), "{}", number.e164);
                    }
                }
            }
        }
    }
}
