//! What a page says about the business itself: when it is open, where it is, how it is called. Marked up for machines (schema.org) first, else as plain text.

mod address;
mod hours;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::one_line;

/// More values than this in one block of marked-up data are a catalogue; `serde_json` bounds its depth.
const MAX_VALUES: usize = 10_000;
/// More text than this of one page is not looked through.
const MAX_TEXT_BYTES: usize = 256 << 10;
/// The longest part of an address. What is longer is no street.
const MAX_PART_CHARS: usize = 120;
/// The longest telephone number as people write it.
const MAX_PHONE_CHARS: usize = 40;
/// Digits of a telephone number (E.164 allows 15; below seven it is an extension).
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// A number is this near to the word that says what it is, in bytes.
const PHONE_NEAR_BYTES: usize = 24;
/// Kinds of things that have a telephone number or an address and are not the business whose page it is.
const OTHERS: [&str; 11] = [
    "Person",
    "Event",
    "Product",
    "Offer",
    "JobPosting",
    "Review",
    "Article",
    "BlogPosting",
    "NewsArticle",
    "Recipe",
    "Residence",
];
/// Where marked-up data nests what belongs to the page.
const NESTED: [&str; 9] = [
    "@graph",
    "mainEntity",
    "mainEntityOfPage",
    "hasPart",
    "about",
    "publisher",
    "provider",
    "location",
    "contactPoint",
];

/// Opening and closing of one day, local time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenHours {
    /// `HH:MM`.
    pub open: String,
    /// `HH:MM`, later than `open`.
    pub close: String,
}

/// When a business is open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Week {
    /// By `mon` … `sun`; days that are missing are closed.
    pub days: BTreeMap<String, OpenHours>,
    /// A day had more than one stretch; it is shown from the first opening to the last closing.
    pub breaks: bool,
}

/// Where a business is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Postal {
    /// Street and number.
    pub street: String,
    /// City.
    pub city: String,
    /// State, province or canton.
    pub state: String,
    /// Postal code.
    pub zip: String,
    /// Country.
    pub country: String,
}

/// What was found in one way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// When it is open.
    pub hours: Option<Week>,
    /// Where it is.
    pub address: Option<Postal>,
    /// Its telephone number, as it is written there.
    pub phone: Option<String>,
}

/// What a page says about the business, by how sure it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Business {
    /// Marked up for machines.
    pub marked: Facts,
    /// Read from the text.
    pub said: Facts,
}

impl Facts {
    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What a text says, footer included, with the `tel:` links of its page. The first of each counts.
    #[must_use]
    pub fn of_text(text: &str, contacts: &[String]) -> Self {
        let mut end = text.len().min(MAX_TEXT_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = &text[..end];
        let linked = contacts.iter().find_map(|contact| phone(contact.strip_prefix("tel:")?));
        Self { hours: hours::of_text(text), address: address::of_text(text), phone: linked.or_else(|| phone_in(text)) }
    }

    /// Takes what one block of marked-up data says and is not known yet.
    pub(super) fn take_marked(&mut self, data: &Value) {
        let mut queue = std::collections::VecDeque::from([data]);
        let mut visited = 0;
        while let Some(value) = queue.pop_front() {
            visited += 1;
            if visited > MAX_VALUES {
                return;
            }
            match value {
                Value::Array(items) => queue.extend(items),
                Value::Object(map) => {
                    if OTHERS.iter().any(|other| is_a(map.get("@type"), other)) {
                        continue;
                    }
                    if self.hours.is_none() {
                        self.hours = hours::of_marked(map);
                    }
                    if self.address.is_none() {
                        self.address = map.get("address").and_then(address::of_marked);
                    }
                    if self.phone.is_none() {
                        self.phone = texts(map.get("telephone")).find_map(phone);
                    }
                    queue.extend(NESTED.iter().filter_map(|key| map.get(*key)));
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
    }
}

/// Whether a `@type` names this kind, alone or among others.
fn is_a(kind: Option<&Value>, wanted: &str) -> bool {
    texts(kind).any(|kind| kind.rsplit(['/', ':']).next() == Some(wanted))
}

/// A value that may be a text or a list of them.
fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let one = value.and_then(Value::as_str);
    let many = value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    one.into_iter().chain(many)
}

/// One line that a form would take: no control or direction characters, and nothing that a template or a page would take for its own.
fn line(raw: &str, max_chars: usize) -> Option<String> {
    let shown: String = raw.chars().filter(|c| !is_hidden(*c)).collect();
    let text = one_line(&shown, max_chars + 1);
    let text = text.trim_matches([' ', ',', ';', '|', '*']).to_owned();
    let foreign = text.contains(['<', '>', '{', '}', '\\', '`']) || text.contains("://");
    (!text.is_empty() && text.chars().count() <= max_chars && !foreign).then_some(text)
}

/// Characters that show nothing, or turn what stands beside them around.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A telephone number, if a text is one.
fn phone(raw: &str) -> Option<String> {
    let text = line(&raw.replace("%20", " "), MAX_PHONE_CHARS)?;
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let written = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | ' ' | '(' | ')' | '-' | '.' | '/'));
    (written && PHONE_DIGITS.contains(&digits)).then_some(text)
}

/// The first number that a text calls a telephone number.
fn phone_in(text: &str) -> Option<String> {
    // Bytes stay where they are in ASCII lower case.
    let lower = text.to_ascii_lowercase();
    let words = ["phone", "tel.", "tel:", "call", "telefon"];
    let mut at: Vec<usize> =
        words.iter().flat_map(|word| lower.match_indices(word).map(|(at, found)| at + found.len())).collect();
    at.sort_unstable();
    at.into_iter().find_map(|at| {
        let rest = &text[at..];
        let begin = rest.find(|c: char| c.is_ascii_digit() || matches!(c, '+' | '('))?;
        let between = &rest[..begin];
        if begin > PHONE_NEAR_BYTES || between.contains(['\n', '.', '?', '!']) && !between.starts_with('.') {
            return None;
        }
        let number = &rest[begin..];
        let written = |c: char| c.is_ascii_digit() || matches!(c, '+' | ' ' | '(' | ')' | '-' | '.' | '/');
        let end = number.find(|c| !written(c)).unwrap_or(number.len());
        phone(number[..end].trim_end_matches([' ', '.', '-', '(', '/', '+']))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn marked(data: Value) -> Facts {
        let mut facts = Facts::default();
        facts.take_marked(&data);
        facts
    }

    #[test]
    fn a_business_that_is_marked_up_is_read_wherever_it_nests() {
        let business = json!({
            "@type": ["Dentist", "LocalBusiness"], "name": "Oak Dental", "telephone": "(217) 555-0133",
            "address": {
                "@type": "PostalAddress", "streetAddress": "12 Elm Street", "addressLocality": "Springfield",
                "addressRegion": "IL", "postalCode": "62704", "addressCountry": {"@type": "Country", "name": "US"},
            },
            "openingHours": ["Mo-Fr 08:00-18:00", "Sa 09:00-13:00"],
            "employee": {"@type": "Person", "telephone": "+1 217 555 0199"},
        });
        for data in [
            business.clone(),
            json!([{"@type": "WebSite", "publisher": business}]),
            json!({"@context": "https://schema.org", "@graph": [
                {"@type": "Person", "telephone": "+1 217 555 0199", "address": "Elsewhere"}, business,
            ]}),
        ] {
            let facts = marked(data);
            assert_eq!(facts.phone.as_deref(), Some("(217) 555-0133"));
            let address = facts.address.expect("an address");
            assert_eq!(
                [&*address.street, &address.city, &address.state, &address.zip, &address.country],
                ["12 Elm Street", "Springfield", "IL", "62704", "US"]
            );
            let week = facts.hours.expect("hours");
            assert_eq!((week.days.len(), week.breaks), (6, false));
            assert_eq!(week.days["sat"], OpenHours { open: "09:00".into(), close: "13:00".into() });
        }
    }

    #[test]
    fn what_hides_or_is_too_long_is_no_fact() {
        for evil in
            ["<img src=x>", "{{system}}", "see https://evil.example/", &"9".repeat(400), "\u{202e}\u{200b}", "`x`"]
        {
            let facts = marked(json!({
                "@type": "LocalBusiness", "telephone": evil,
                "address": {"streetAddress": evil, "addressLocality": evil}, "openingHours": evil,
            }));
            assert_eq!(facts, Facts::default(), "{evil}");
        }
        let turned = marked(json!({"telephone": "217-555-\u{202e}0133\u{0}"}));
        assert_eq!(turned.phone.as_deref(), Some("217-555-0133"));
    }

    #[test]
    fn a_number_is_one_that_is_called_a_telephone_number() {
        for (text, found) in [
            ("Call us at (217) 555-0133 today.", Some("(217) 555-0133")),
            ("Tel. +41 44 668 18 00", Some("+41 44 668 18 00")),
            ("Phone: 217.555.0133.", Some("217.555.0133")),
            ("Order 2175550133 was shipped.", None),
            ("We call you back. 2175550133 is your order.", None),
            ("Call extension 12.", None),
        ] {
            assert_eq!(Facts::of_text(text, &[]).phone.as_deref(), found, "{text}");
        }
        let linked = Facts::of_text("Phone: 217.555.0133", &["mailto:a@b.example".into(), "tel:+12175550199".into()]);
        assert_eq!(linked.phone.as_deref(), Some("+12175550199"));
    }

    proptest! {
        #[test]
        fn no_text_and_no_data_make_it_panic(text in "\\PC{0,300}", days in "(Mon|Tu|Sat|8|9:30|am|-|–| |,|to|closed|\n|\\.){0,40}") {
            for text in [&text, &days] {
                let facts = Facts::of_text(text, &[]);
                for day in facts.hours.into_iter().flat_map(|week| week.days.into_values()) {
                    prop_assert!(day.open < day.close && day.close.as_str() < "24:00", "{day:?}");
                }
                let _ = marked(json!({"openingHours": text, "address": text, "telephone": text}));
            }
        }
    }
}
