//! What is written to who comes: that it is agreed, moved, given up, soon.

use super::{Appointment, LetterKind};
use crate::calendar::view::label;

/// A letter in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// Subject line; unused by text messages.
    pub subject: String,
    /// Plain text.
    pub text: String,
}

/// The words of a letter; none if there is nothing to write about any more. `file` leads to the iCalendar file. What was only tried says so: whoever
/// tried it may have given somebody else's address.
pub fn words(state: &Appointment, kind: LetterKind, file: &str) -> Option<Words> {
    let written = written(state, kind, file)?;
    if !state.source.trial {
        return Some(written);
    }
    let business = &state.terms.business;
    Some(Words {
        subject: format!("Trial: {}", written.subject),
        text: format!(
            "This is a trial: somebody at {business} tried their assistant out and gave this address. Nobody is expected.\n\n{}",
            written.text
        ),
    })
}

fn written(state: &Appointment, kind: LetterKind, file: &str) -> Option<Words> {
    let slot = state.slot.as_ref()?;
    let business = &state.terms.business;
    let when = label(&state.terms.timezone, slot.span.starts_ms);
    let zone = &state.terms.timezone;
    let with = slot.provider_name.as_ref().map(|name| format!(" with {name}")).unwrap_or_default();
    let what = format!("{}{with}", slot.kind_name);
    let hello = state.details.name.as_ref().map_or_else(|| "Hello,".to_owned(), |name| format!("Hello {name},"));
    let (subject, said) = match kind {
        LetterKind::Confirmation => (
            format!("Your appointment at {business}: {when}"),
            format!("your appointment at {business} is booked: {what} on {when} ({zone})."),
        ),
        LetterKind::Moved => (
            format!("Your appointment at {business} has a new time: {when}"),
            format!("your appointment at {business} has a new time: {what} on {when} ({zone})."),
        ),
        LetterKind::Canceled => {
            return Some(Words {
                subject: format!("Your appointment at {business} on {when} is canceled"),
                text: format!("{hello}\n\nyour appointment at {business} on {when} ({zone}) is canceled: {what}."),
            });
        }
        LetterKind::Reminder => (
            format!("Reminder: your appointment at {business}, {when}"),
            format!("this is a reminder of your appointment at {business}: {what} on {when} ({zone})."),
        ),
    };
    let text = format!(
        "{hello}\n\n{said}\n\nAdd it to your calendar: {file}\n\nIf you cannot come, please let us know as early as you can."
    );
    Some(Words { subject, text })
}

/// A letter as a text message.
pub fn text_message(state: &Appointment, kind: LetterKind) -> Option<String> {
    let slot = state.slot.as_ref()?;
    let when = label(&state.terms.timezone, slot.span.starts_ms);
    let with = slot.provider_name.as_ref().map(|name| format!(" with {name}")).unwrap_or_default();
    let what = format!("{}{with}", slot.kind_name);
    let said = match kind {
        LetterKind::Confirmation => format!("your appointment on {when} is booked ({what})."),
        LetterKind::Moved => format!("your appointment has a new time: {when} ({what})."),
        LetterKind::Canceled => format!("your appointment on {when} is canceled ({what})."),
        LetterKind::Reminder => format!("reminder of your appointment on {when} ({what})."),
    };
    Some(format!("{}: {said} Reply STOP to get no more of these.", state.terms.business))
}
