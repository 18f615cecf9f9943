//! Values of fields read out of free text: phone, e-mail, name, address, choices, days; each checked and brought to its kept form.

use std::{collections::BTreeMap, ops::Range};

use super::{
    choices::{chosen_option, named_option},
    lines,
    names::{introduced_name, plain_name},
    streets::street_address,
    when,
};
use crate::{
    catalog::template::Field,
    text::{self, Words},
    vocabulary::FieldType,
};

/// Characters kept of one value; a description longer than this belongs into an e-mail.
pub(super) const VALUE_CHARS_MAX: usize = 2_000;

/// What reading depends on besides the text.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) text: &'a str,
    pub(super) words: &'a Words,
    pub(super) now_ms: i64,
    pub(super) timezone: &'a str,
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Extracted {
    /// Values by field name.
    pub(super) values: BTreeMap<String, String>,
    /// Stretches of the text that the values came from.
    pub(super) spans: Vec<Range<usize>>,
}

impl Extracted {
    fn take(&mut self, field: &Field, value: String, at: Range<usize>) {
        self.values.insert(field.name.clone(), value);
        self.spans.push(at);
    }

    /// The text without the stretches that values came from, and without what is left of "my number is".
    pub(super) fn remainder(&self, text: &str) -> String {
        let mut spans = self.spans.clone();
        spans.sort_by_key(|span| span.start);
        let mut rest = String::new();
        let mut from = 0;
        for span in spans {
            if span.start >= from {
                rest.push_str(&text[from..span.start]);
                rest.push(' ');
            }
            from = from.max(span.end);
        }
        rest.push_str(&text[from.min(text.len())..]);
        tidy(&rest)
    }
}

/// Whether a field holds the visitor's name.
pub(super) fn is_name(field: &Field) -> bool {
    field.kind == FieldType::Text
        && matches!(
            field.name.as_str(),
            "name" | "full_name" | "your_name" | "first_name" | "contact_name" | "client_name"
        )
}

/// Whether a field holds a street address.
pub(super) fn is_address(field: &Field) -> bool {
    matches!(field.kind, FieldType::Text | FieldType::Textarea)
        && field.name.contains("address")
        && !field.name.contains("email")
}

/// Whether a field holds a day or time in words.
pub(super) fn is_when(field: &Field) -> bool {
    field.kind == FieldType::Date
        || field.kind == FieldType::Text
            && (field.name.contains("preferred_time")
                || field.name.contains("preferred_date")
                || field.name.contains("showing_times"))
}

/// Whether a field describes the matter in the visitor's own words.
pub(super) fn is_description(field: &Field) -> bool {
    matches!(field.kind, FieldType::Textarea | FieldType::Text)
        && ["description", "details", "issue", "question", "message"].iter().any(|part| field.name.contains(part))
}

/// Reads what stands in a message without regard to what was asked: contact details, names with a marker, addresses, clear choices, days.
pub(super) fn volunteered(reading: &Reading<'_>, fields: &[Field], asked: Option<&Field>) -> Extracted {
    let mut found = Extracted::default();
    let by_kind = |kind: FieldType| {
        asked.filter(|field| field.kind == kind).or_else(|| fields.iter().find(|field| field.kind == kind))
    };
    if let (Some(field), Some(email)) = (by_kind(FieldType::Email), text::emails(reading.text).into_iter().next()) {
        found.take(field, email.value, email.at);
    }
    if let (Some(field), Some(phone)) = (by_kind(FieldType::Phone), text::phones(reading.text).into_iter().next()) {
        found.take(field, phone.value, phone.at);
    }
    if let Some(field) = fields.iter().find(|field| is_name(field))
        && let Some((name, at)) = introduced_name(reading, asked.is_some_and(is_name))
    {
        found.take(field, name, at);
    }
    let address_field =
        asked.filter(|field| is_address(field)).or_else(|| fields.iter().find(|field| is_address(field)));
    if let Some(field) = address_field
        && let Some(at) = street_address(reading, &found.spans)
    {
        let value = tidy(&reading.text[at.clone()]);
        found.take(field, value, at);
    }
    found
}

/// Choices and days that a message names for fields nobody asked about.
pub(super) fn unasked(
    reading: &Reading<'_>,
    fields: &[Field],
    known: &BTreeMap<String, String>,
    found: &mut Extracted,
) {
    for field in fields
        .iter()
        .filter(|field| !known.contains_key(&field.name) && !found.values.contains_key(&field.name))
        .cloned()
        .collect::<Vec<_>>()
    {
        if field.kind == FieldType::Select {
            if let Some((option, at)) = named_option(reading, &field) {
                found.take(&field, option, at);
            }
        } else if is_when(&field)
            && fields.iter().filter(|other| is_when(other)).count() == 1
            && let Some(when) = when::find_when(reading.text, reading.now_ms, reading.timezone)
                .filter(|when| when.definite && !when.past)
            && !found.spans.iter().any(|span| span.start < when.at.end && when.at.start < span.end)
        {
            // The words stay in the text: they may be part of a description.
            found.values.insert(field.name.clone(), when.phrase);
        }
    }
}

/// Reads the answer to a question: the value in its kept form, or what is wrong with it in words for the visitor.
pub(super) fn answer(
    reading: &Reading<'_>,
    field: &Field,
    found: &Extracted,
    confirms: bool,
    denies: bool,
) -> Result<String, String> {
    let rest = found.remainder(reading.text);
    match field.kind {
        FieldType::Phone => text::valid_phone(reading.text).map_err(|problem| format!("Sorry, {problem}.")),
        FieldType::Email => text::valid_email(reading.text).ok_or_else(|| lines::EMAIL_PROBLEM.to_owned()),
        FieldType::Select => {
            chosen_option(reading, field, confirms, denies).ok_or_else(|| lines::choose_one(&field.options))
        }
        FieldType::Date => match when::find_when(reading.text, reading.now_ms, reading.timezone) {
            Some(when) if when.past => Err(lines::DATE_PAST.to_owned()),
            Some(when) => Ok(when.phrase),
            None => Err(lines::DATE_PROBLEM.to_owned()),
        },
        FieldType::Text if is_name(field) => plain_name(&rest).ok_or_else(|| lines::NAME_PROBLEM.to_owned()),
        FieldType::Text | FieldType::Textarea if is_address(field) => {
            let words = Words::of(&rest);
            let full =
                words.len() >= 2 && words.all().iter().any(|word| word.text.bytes().any(|byte| byte.is_ascii_digit()));
            if full { Ok(rest) } else { Err(lines::ADDRESS_PROBLEM.to_owned()) }
        }
        FieldType::Text | FieldType::Textarea => {
            if rest.chars().any(char::is_alphanumeric) {
                Ok(text::shorten(&rest, VALUE_CHARS_MAX))
            } else {
                Err(lines::TEXT_PROBLEM.to_owned())
            }
        }
    }
}

/// Checks a value typed into a form's field: its kept form, or what would be right.
pub fn check_value(field: &Field, value: &str) -> Result<String, String> {
    let value = value.trim();
    if value.chars().count() > VALUE_CHARS_MAX {
        return Err(format!("at most {VALUE_CHARS_MAX} characters"));
    }
    match field.kind {
        FieldType::Phone => text::only_phone(value).map_err(|problem| problem.to_string()),
        FieldType::Email => text::valid_email(value)
            .filter(|email| email.len() == value.trim_end_matches('.').len())
            .ok_or_else(|| "an e-mail address such as name@example.com".to_owned()),
        FieldType::Select => field
            .options
            .iter()
            .find(|option| option.eq_ignore_ascii_case(value))
            .cloned()
            .ok_or_else(|| format!("one of: {}", field.options.join(", "))),
        FieldType::Text | FieldType::Date => Ok(text::one_line(value)),
        FieldType::Textarea => Ok(value.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()),
    }
}

/// What is left of "and my number is" once the number is gone, and punctuation at both ends.
fn tidy(text: &str) -> String {
    const LEADS: [&str; 22] = [
        "my number is",
        "my phone number is",
        "my phone is",
        "my cell is",
        "phone number is",
        "number is",
        "my email is",
        "my e-mail is",
        "email is",
        "my email address is",
        "my address is",
        "the address is",
        "address is",
        "i live at",
        "we live at",
        "i'm at",
        "i am at",
        "located at",
        "you can reach me at",
        "reach me at",
        "call me at",
        "call me on",
    ];
    let mut kept = text::one_line(text);
    for lead in LEADS {
        while let Some(at) = kept.to_ascii_lowercase().find(lead) {
            kept.replace_range(at..at + lead.len(), " ");
            kept = text::one_line(&kept);
        }
    }
    let trim = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | ':' | '-' | '–' | '—' | '.' | '!' | '"' | '|');
    let mut trimmed = kept.trim_matches(trim);
    loop {
        let lower = trimmed.to_ascii_lowercase();
        let cut =
            ["and ", "it's at ", "it is at ", "at "].into_iter().find(|start| lower.starts_with(start)).map(str::len);
        let tail = [" and", " or", " at", " is"].into_iter().find(|end| lower.ends_with(end)).map(str::len);
        match (cut, tail) {
            (Some(cut), _) => trimmed = trimmed[cut..].trim_matches(trim),
            (None, Some(tail)) => trimmed = trimmed[..trimmed.len() - tail].trim_matches(trim),
            (None, None) => break,
        }
    }
    let mut result = trimmed.to_owned();
    while result.contains(" ,") {
        result = result.replace(" ,", ",");
    }
    while result.contains(",,") {
        result = result.replace(",,", ",");
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(name: &str, kind: FieldType, options: &[&str]) -> Field {
        Field {
            name: name.into(),
            label: String::new(),
            kind,
            required: true,
            options: options.iter().map(|&option| option.to_owned()).collect(),
            ask: String::new(),
        }
    }

    fn fields() -> Vec<Field> {
        vec![
            field("name", FieldType::Text, &[]),
            field("phone", FieldType::Phone, &[]),
            field("email", FieldType::Email, &[]),
            field("address", FieldType::Text, &[]),
            field("service_type", FieldType::Select, &["HVAC", "Plumbing", "Electrical", "Other"]),
            field("preferred_date", FieldType::Date, &[]),
        ]
    }

    fn read<'a>(text: &'a str, words: &'a Words) -> Reading<'a> {
        Reading { text, words, now_ms: 1_795_194_000_000, timezone: "America/New_York" }
    }

    #[test]
    fn several_values_in_one_message_are_told_apart() {
        for (text, expected) in [
            (
                "I'm Ann Lee, 555 201 3344, 12 Oak St",
                vec![("name", "Ann Lee"), ("phone", "+15552013344"), ("address", "12 Oak St")],
            ),
            (
                "my name is bob o'neil and my number is (555) 201-3344, email bob@oneil.com",
                vec![("name", "Bob O'Neil"), ("phone", "+15552013344"), ("email", "bob@oneil.com")],
            ),
            (
                "This is Maria. 4410 N. Main Street, Apt 4, Springfield, IL 62704",
                vec![("name", "Maria"), ("address", "4410 N. Main Street, Apt 4, Springfield, IL 62704")],
            ),
            ("Please call me: Ann Lee, 555 201 3344", vec![("name", "Ann Lee"), ("phone", "+15552013344")]),
            ("my name is: bob o'neil", vec![("name", "Bob O'Neil")]),
            ("call me: Monday at nine", vec![]),
            ("Please call me: it is urgent", vec![]),
            ("please call me. Ann's furnace is broken", vec![]),
            ("I'm having trouble with my furnace", vec![]),
            ("I'm looking for a plumber", vec![]),
            ("the street has 12 houses", vec![]),
        ] {
            let words = Words::of(text);
            let found = volunteered(&read(text, &words), &fields(), None);
            let expected: BTreeMap<String, String> =
                expected.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            assert_eq!(found.values, expected, "{text}");
        }
    }

    #[test]
    fn answers_are_read_by_what_was_asked() {
        let service = field("service_type", FieldType::Select, &["HVAC", "Plumbing", "Electrical", "Other"]);
        let consent = field("ok", FieldType::Select, &["Yes", "No"]);
        let plan = field("timeline", FieldType::Select, &["As soon as possible", "1 to 3 months", "3 to 6 months"]);
        for (text, field, expected) in [
            ("ann lee", &fields()[0], Ok("Ann Lee")),
            ("ANN O'NEIL-LEE", &fields()[0], Ok("Ann O'Neil-Lee")),
            ("it's Ann Lee thanks", &fields()[0], Err(())),
            ("555", &fields()[1], Err(())),
            ("call 555-201-3344 please", &fields()[1], Ok("+15552013344")),
            ("ann at lee", &fields()[2], Err(())),
            ("I live at 12 Oak, upstairs", &fields()[3], Ok("12 Oak, upstairs")),
            ("Springfield", &fields()[3], Err(())),
            ("a plumber", &service, Ok("Plumbing")),
            ("I need an electrician", &service, Ok("Electrical")),
            ("2", &service, Ok("Plumbing")),
            ("bananas", &service, Err(())),
            ("not plumbing, electrical", &service, Ok("Electrical")),
            ("yeah sure", &consent, Ok("Yes")),
            ("nope", &consent, Ok("No")),
            ("3 to 6 months", &plan, Ok("3 to 6 months")),
            ("soon", &plan, Ok("As soon as possible")),
            ("next Tuesday afternoon", &fields()[5], Ok("next Tuesday afternoon")),
            ("yesterday", &fields()[5], Err(())),
            ("purple", &fields()[5], Err(())),
        ] {
            let words = Words::of(text);
            let mood = super::super::Mood::of(text, &words);
            let read = read(text, &words);
            let found = answer(&read, field, &Extracted::default(), mood.confirms, mood.denies);
            assert_eq!(found.as_deref().map_err(|_| ()), expected, "{text}");
        }
    }

    #[test]
    fn typed_values_are_checked_by_kind() {
        assert_eq!(check_value(&fields()[1], " 555-201-3344 "), Ok("+15552013344".into()));
        assert!(check_value(&fields()[2], "ann@lee.com, bob@lee.com").is_err());
        assert_eq!(check_value(&fields()[4], "hvac"), Ok("HVAC".into()));
        assert!(check_value(&fields()[4], "cooking").is_err());
        assert!(check_value(&fields()[0], &"x".repeat(2_001)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "(I'm|Ann|12|Oak|St|,|555-201-3344|a@b\\.co|tomorrow|é|[ ]){0,15}|\\PC{0,100}") {
            let words = Words::of(&text);
            let read = read(&text, &words);
            let mut found = volunteered(&read, &fields(), None);
            unasked(&read, &fields(), &BTreeMap::new(), &mut found);
            let _ = found.remainder(&text);
            for field in fields() {
                let _ = answer(&read, &field, &found, false, false);
            }
        }
    }
}
