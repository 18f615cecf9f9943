//! Booking in a dialogue: from "can I come on Tuesday afternoon?" to an appointment that stands, moved or given up again. The same for every channel.
//!
//! Like the rest of the dialogue this is pure. [`prepared`] lets the forms ask for what a booking needs, [`step`] reads what the visitor wants of the
//! calendar, whoever runs the turn carries that out, and [`steer`] puts what came of it into what is said and journaled.

mod added;
mod read;
mod steer;
#[cfg(test)]
mod tests;
pub(super) mod wish;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use read::{Step, step};
pub use steer::{Outcome, Settled, details, steer};

use super::{Brief, Setting, extract, form};
use crate::{
    agent::config::AgentConfig,
    calendar::{Kind, Query, Settings, Slot},
    catalog::template::{Field, IntakeForm, Intent},
    ids::{AppointmentId, CalendarId},
    local_time::{local_date, zone_or_utc},
    text::Words,
    vocabulary::{FieldType, LeadIntent, Urgency},
};

/// The tool that lets an agent book: an owner who takes it away gets requests instead of appointments.
pub const TOOL: &str = "book_meeting";
/// The form that asks for what a booking needs.
pub const FORM: &str = "booking";
/// The field that says what is booked.
pub const KIND_FIELD: &str = "appointment_type";
/// Slots offered at once: more than three nobody keeps in mind on the phone.
pub const OFFERED_MAX: usize = 3;
/// Appointments of one conversation that are remembered; the newest is the one that "my appointment" means.
pub const REMEMBERED_MAX: usize = 20;

/// What gives an appointment up.
const CANCELS: [&str; 8] = [
    "cancel my appointment",
    "cancel the appointment",
    "cancel an appointment",
    "cancel my booking",
    "cancel my visit",
    "can't make my appointment",
    "can't come to my appointment",
    "need to cancel",
];
/// What moves one.
const MOVES: [&str; 11] = [
    "reschedule",
    "move my visit",
    "move the visit",
    "move my appointment",
    "change my appointment",
    "move my booking",
    "change my booking",
    "another time for my appointment",
    "move the appointment",
    "change the appointment",
    "postpone my appointment",
];

/// What gives up the appointment that was just spoken of; while another is being made it means that one.
const CANCELS_IT: [&str; 4] = ["cancel it", "cancel that", "cancel this", "call it off"];
/// The same for moving it.
const MOVES_IT: [&str; 8] = [
    "move it",
    "move that",
    "push it back",
    "change it to",
    "can we change it",
    "can i change it",
    "change the time",
    "change the day",
];

/// How far a booking is: kept in the dialogue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Booking {
    /// In which calendar.
    pub calendar: CalendarId,
    /// What was offered last.
    pub offered: Vec<Offered>,
    /// The slot that is held for the visitor while details are asked for.
    pub chosen: Option<Offered>,
    /// The appointment that is being moved.
    pub moving: Option<AppointmentId>,
    /// The appointment that the visitor was asked whether to give up.
    pub canceling: Option<AppointmentId>,
}

/// A slot as it was offered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Offered {
    /// When it begins, Unix milliseconds.
    pub starts_ms: i64,
    /// With whom; empty where nobody in particular is booked.
    pub provider: String,
    /// The key of what is booked.
    pub kind: String,
    /// Time and provider in words.
    pub label: String,
}

impl Offered {
    /// A free slot of a calendar, in its zone's words.
    pub fn of(slot: &Slot, settings: &Settings) -> Self {
        let when = crate::calendar::view::label(&settings.timezone, slot.span.starts_ms);
        let with = slot.provider_name.as_ref().filter(|_| settings.providers.len() > 1);
        Self {
            starts_ms: slot.span.starts_ms,
            provider: slot.span.provider.clone(),
            kind: slot.kind.clone(),
            label: with.map_or_else(|| when.clone(), |name| format!("{when} with {name}")),
        }
    }
}

/// An appointment that the conversation led to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Agreed {
    /// Which.
    pub id: AppointmentId,
    /// In which calendar.
    pub calendar: CalendarId,
    /// When it begins, in words.
    pub when: String,
    /// Given up again.
    pub canceled: bool,
}

/// What a turn does to the booking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "to", rename_all = "snake_case")]
pub enum Move {
    /// Nothing.
    #[default]
    Same,
    /// It began, or goes on.
    Going {
        /// Where it stands now.
        booking: Box<Booking>,
    },
    /// It ended, with or without an appointment that was made, moved or given up.
    Ended {
        /// Which.
        agreed: Option<Agreed>,
    },
}

/// Folds what a turn did.
pub fn absorb(booking: &mut Option<Box<Booking>>, agreed: &mut Vec<Agreed>, moved: &Move) {
    match moved {
        Move::Same => {}
        Move::Going { booking: now } => *booking = Some(now.clone()),
        Move::Ended { agreed: last } => {
            *booking = None;
            if let Some(last) = last {
                agreed.retain(|known| known.id != last.id);
                if agreed.len() >= REMEMBERED_MAX {
                    agreed.remove(0);
                }
                agreed.push(last.clone());
            }
        }
    }
}

/// A free slot to choose, as clients show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotChoice {
    /// When it begins.
    pub starts_at: String,
    /// Time and provider in words: sent back as text, it chooses the slot.
    pub label: String,
    /// With whom.
    pub provider_id: Option<String>,
}

/// Whether a message may be about appointments at all, so that calendars are worth looking at.
pub fn concerns(setting: &Setting<'_>, brief: &Brief) -> bool {
    if brief.sandbox || !setting.config.tools.iter().any(|tool| tool == TOOL) {
        return false;
    }
    let dialogue = &brief.dialogue;
    if dialogue.booking.is_some() || dialogue.form.as_ref().is_some_and(|form| form.form == FORM) {
        return true;
    }
    let words = Words::of(&brief.text);
    let own = setting.config.intents.iter().filter(|intent| intent.lead_intent == LeadIntent::BookAppointment);
    // What is added to an appointment is about it, too.
    standing(brief).is_some()
        || wish::place(&words).is_some()
        || own.flat_map(|intent| &intent.phrases).any(|phrase| words.means(phrase))
}

/// The configuration and brief of a turn that may book: what the agent's forms would only pass on as a request, the calendar answers.
pub fn prepared(setting: &Setting<'_>, brief: &Brief, settings: &Settings) -> (AgentConfig, Brief) {
    let (mut config, mut brief) = (setting.config.clone(), brief.clone());
    // Who books says who they are, also where nobody's address is collected otherwise.
    config.collect_leads = true;
    let words = Words::of(&brief.text);
    for intent in &mut config.intents {
        if intent.lead_intent == LeadIntent::BookAppointment {
            intent.form = Some(FORM.to_owned());
        }
    }
    // A form that passes a change on to the team is no use where the change can be made at once.
    if standing(&brief).is_some() && (gives_up(&words, &brief) || moves(&words, &brief)) {
        config.intents.retain(|intent| !intent.phrases.iter().any(|phrase| words.means(phrase)));
    }
    config.intents.push(Intent {
        id: FORM.to_owned(),
        lead_intent: LeadIntent::BookAppointment,
        phrases: wish::WISHES.iter().map(|phrase| (*phrase).to_owned()).collect(),
        form: Some(FORM.to_owned()),
    });
    let reach = form::form_of(&config, form::CONTACT_FORM).map(|form| form.fields).unwrap_or_default();
    let place = place_of(&config);
    let mut fields = Vec::new();
    if settings.types.len() > 1 {
        fields.push(KIND_FIELD.to_owned());
        let names: Vec<String> = settings.types.iter().map(|kind| kind.name.clone()).collect();
        config.form_fields.push(Field {
            name: KIND_FIELD.to_owned(),
            label: "Appointment".to_owned(),
            kind: FieldType::Select,
            required: true,
            ask: format!("What would you like to book: {}?", listed(&names)),
            options: names,
        });
    }
    fields.extend(reach.clone());
    fields.extend(place.filter(|place| !reach.contains(place)));
    config.intake_forms.push(IntakeForm {
        id: FORM.to_owned(),
        title: "Book an appointment".to_owned(),
        intro: String::new(),
        fields,
        urgency: Urgency::Normal,
        auto_alert: false,
        alert: Vec::new(),
        triggers: Vec::new(),
        confirmation: String::new(),
    });
    // A second appointment is as welcome as the first, and of a kind of its own.
    if brief.dialogue.completed.remove(FORM) {
        brief.dialogue.values.remove(KIND_FIELD);
    }
    brief.prefers_form = false;
    // What is known of the visitor is not asked for.
    for name in reach {
        let Some(field) = form::field_of(&config, &name) else { continue };
        let known = match field.kind {
            FieldType::Phone => &brief.visitor.phone,
            FieldType::Email => &brief.visitor.email,
            FieldType::Text | FieldType::Select | FieldType::Textarea | FieldType::Date => &brief.visitor.name,
        };
        if let Some(known) = known.clone().filter(|known| !known.is_empty()) {
            brief.dialogue.values.entry(name).or_insert(known);
        }
    }
    (config, brief)
}

/// The field for where somebody comes to, where the trade comes to people: its catalogue will not take a request without an address.
fn place_of(config: &AgentConfig) -> Option<String> {
    let place = config.lead_fields.iter().find(|field| field.required && extract::is_address(field));
    place.map(|field| field.name.clone())
}

/// What an agent's trade books where nobody has set up a calendar: who comes to people makes service calls (APT-1). None: what any business begins with.
pub fn kind_to_begin_with(config: &AgentConfig) -> Option<Kind> {
    place_of(config).map(|_| Kind::service_call())
}

/// Whether a message gives the appointment up that stands.
fn gives_up(words: &Words, brief: &Brief) -> bool {
    says(words, &CANCELS) || brief.dialogue.booking.is_none() && says(words, &CANCELS_IT)
}

/// Whether a message moves it.
fn moves(words: &Words, brief: &Brief) -> bool {
    says(words, &MOVES) || brief.dialogue.booking.is_none() && says(words, &MOVES_IT)
}

fn says(words: &Words, phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| words.means(phrase))
}

/// The newest appointment of the conversation that still stands.
pub fn standing(brief: &Brief) -> Option<&Agreed> {
    brief.dialogue.agreed.iter().rev().find(|agreed| !agreed.canceled)
}

/// Some of the free slots, apart from each other, so that there is something to choose.
pub fn spread(slots: Vec<Slot>) -> Vec<Slot> {
    /// Slots offered together begin at least this far apart where there are enough, milliseconds.
    const APART_MS: i64 = 90 * 60 * 1000;
    let mut chosen: Vec<Slot> = Vec::new();
    for slot in &slots {
        let apart = chosen.last().is_none_or(|last| slot.span.starts_ms - last.span.starts_ms >= APART_MS);
        if apart && chosen.len() < OFFERED_MAX {
            chosen.push(slot.clone());
        }
    }
    for slot in slots {
        let known = chosen.iter().any(|other| other.span.starts_ms == slot.span.starts_ms);
        if chosen.len() < OFFERED_MAX && !known {
            chosen.push(slot);
        }
    }
    chosen.sort_by_key(|slot| slot.span.starts_ms);
    chosen
}

/// One of the free slots of each of the first days that have any; where there are too few such days, more of them.
pub fn spread_over_days(slots: Vec<Slot>, timezone: &str) -> Vec<Slot> {
    let zone = zone_or_utc(timezone);
    let mut days: Vec<(String, Slot)> = Vec::new();
    for slot in &slots {
        let day = local_date(&zone, slot.span.starts_ms);
        if days.len() < OFFERED_MAX && !days.iter().any(|(known, _)| *known == day) {
            days.push((day, slot.clone()));
        }
    }
    if days.len() < OFFERED_MAX { spread(slots) } else { days.into_iter().map(|(_, slot)| slot).collect() }
}

/// `a, b or c`.
pub(super) fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [head @ .., last] => format!("{} or {last}", head.join(", ")),
    }
}

/// The kind that the values name.
fn kind_of<'a>(settings: &'a Settings, values: &BTreeMap<String, String>) -> Option<&'a crate::calendar::Kind> {
    if let [only] = settings.types.as_slice() {
        return Some(only);
    }
    let name = values.get(KIND_FIELD)?;
    settings.types.iter().find(|kind| kind.name.eq_ignore_ascii_case(name))
}

/// A question for slots with what it does not narrow left open.
fn query(kind: &str, provider: Option<String>, holder: &str) -> Query {
    Query {
        kind: Some(kind.to_owned()),
        any_provider: provider.is_none(),
        provider,
        holder: Some(holder.to_owned()),
        limit: 60,
        ..Query::default()
    }
}
