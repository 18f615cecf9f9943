//! Appointments as iCalendar (RFC 5545): one as a file to add to one's own calendar, many as a feed to subscribe to.

use super::AppointmentView;
use crate::vocabulary::AppointmentStatus;

/// Octets of a line before it is folded (RFC 5545 §3.1).
const LINE_OCTETS_MAX: usize = 75;

/// How much a reader of the file may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For<'a> {
    /// Who comes: the business of this name is the title.
    Guest(&'a str),
    /// The business: who comes is the title. Its name heads the feed.
    Business(&'a str),
}

/// A calendar of appointments. `stamp_ms` is when the file is made, Unix milliseconds.
pub fn file<'a>(appointments: impl IntoIterator<Item = &'a AppointmentView>, reader: For<'_>, stamp_ms: i64) -> String {
    let mut text = String::new();
    line(&mut text, "BEGIN:VCALENDAR");
    line(&mut text, "VERSION:2.0");
    line(&mut text, "PRODID:-//Colloquy//Appointments//EN");
    line(&mut text, "CALSCALE:GREGORIAN");
    line(&mut text, "METHOD:PUBLISH");
    if let For::Business(name) = reader {
        line(&mut text, &format!("X-WR-CALNAME:{}", escaped(name)));
    }
    for appointment in appointments {
        event(&mut text, appointment, reader, stamp_ms);
    }
    line(&mut text, "END:VCALENDAR");
    text
}

fn event(text: &mut String, view: &AppointmentView, reader: For<'_>, stamp_ms: i64) {
    line(text, "BEGIN:VEVENT");
    line(text, &format!("UID:{}@colloquy", escaped(view.id.as_str())));
    line(text, &format!("DTSTAMP:{}", utc(jiff::Timestamp::from_millisecond(stamp_ms).unwrap_or_default())));
    line(text, &format!("DTSTART:{}", utc(view.starts_at.parse().unwrap_or_default())));
    line(text, &format!("DTEND:{}", utc(view.ends_at.parse().unwrap_or_default())));
    // Rises with each change, so that a calendar takes the newer of two.
    line(text, &format!("SEQUENCE:{}", view.seq));
    let status = match view.status {
        AppointmentStatus::Canceled => "STATUS:CANCELLED",
        AppointmentStatus::Scheduled
        | AppointmentStatus::Confirmed
        | AppointmentStatus::Completed
        | AppointmentStatus::NoShow => "STATUS:CONFIRMED",
    };
    line(text, status);
    let with = view.provider_name.as_ref().map(|name| format!(" with {name}")).unwrap_or_default();
    match reader {
        For::Guest(business) => {
            line(text, &format!("SUMMARY:{}", escaped(&format!("{}{with} at {business}", view.type_name))));
        }
        For::Business(_) => {
            let trial = if view.trial { "Trial: " } else { "" };
            line(text, &format!("SUMMARY:{}", escaped(&format!("{trial}{}{with}", view.title))));
            let reach: Vec<&str> =
                [&view.name, &view.phone, &view.email].into_iter().flatten().map(String::as_str).collect();
            let parts = [reach.join(", "), view.description.clone()];
            let about: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
            if !about.is_empty() {
                line(text, &format!("DESCRIPTION:{}", escaped(&about.join("\n"))));
            }
        }
    }
    line(text, "END:VEVENT");
}

/// `20261124T193000Z`.
fn utc(at: jiff::Timestamp) -> String {
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// TEXT of RFC 5545 §3.3.11; control characters, which it has no place for, are left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | ';' | ',' => {
                escaped.push('\\');
                escaped.push(letter);
            }
            '\n' => escaped.push_str("\\n"),
            other if other.is_control() => {}
            other => escaped.push(other),
        }
    }
    escaped
}

/// Adds a line, folded between characters.
fn line(text: &mut String, content: &str) {
    let mut octets = 0;
    for letter in content.chars() {
        if octets + letter.len_utf8() > LINE_OCTETS_MAX {
            text.push_str("\r\n ");
            octets = 1;
        }
        text.push(letter);
        octets += letter.len_utf8();
    }
    text.push_str("\r\n");
}
