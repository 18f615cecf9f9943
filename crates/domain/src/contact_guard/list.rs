//! The do-not-contact list and the consent ledger of one number or address.

use super::{
    ContactGuard, Decision, Reply,
    address::Masked,
    command::{Event, NewConsent, NewEntry},
    state::{Entry, Reach, STOP_REACHES, Source},
};
use crate::{
    check::Checks,
    context::Context,
    principal::{Actor, Role},
    rejection::Rejection,
    vocabulary::Channel,
};

/// Characters of a reason.
const REASON_CHARS_MAX: usize = 500;
/// Characters of the words that were agreed to: the longest consent texts of forms are below.
const CONSENT_CHARS_MAX: usize = 4_000;
/// Characters of where a consent was given.
const SOURCE_CHARS_MAX: usize = 500;
/// Who is named when an entry ended by itself.
const TIME: &str = "time";
/// Who is named when the person ordered it.
const PERSON: &str = "person";
/// How far in the future a consent may have been given, ms: clocks differ.
const CLOCKS_DIFFER_MS: i64 = 5 * 60 * 1000;

pub(super) fn add(state: &ContactGuard, cx: &Context, entry: NewEntry) -> Result<Decision, Rejection> {
    let by = worker(cx, Role::Rep, "write somebody down who must not be contacted")?;
    if entry.source.is_the_persons_to_lift() && cx.principal.actor != Actor::System {
        return Err(Rejection::invalid(
            "source",
            "must be staff, complaint or import: the others are found by the service itself",
        ));
    }
    let mut checks = Checks::default();
    checks.text("reason", &entry.reason, 1, REASON_CHARS_MAX);
    checks.ensure(
        entry.expires_ms.is_none_or(|end| end > cx.now_ms),
        "expires_at",
        "must be in the future; leave it out for an entry without an end",
    );
    checks.finish()?;
    let stands = state.entries.iter().find(|known| (known.reach, known.source) == (entry.reach, entry.source));
    if stands.is_some_and(|known| {
        known.holds(cx.now_ms) && known.reason == entry.reason && known.expires_ms == entry.expires_ms
    }) {
        return Ok(Decision::reply(Reply::Done));
    }
    Ok(Decision::event(
        Event::EntryAdded { tenant: cx.principal.tenant.clone(), entry: Box::new(entry), by },
        Reply::Done,
    ))
}

pub(super) fn order(
    state: &ContactGuard,
    cx: &Context,
    masked: Masked,
    message: String,
    stop: bool,
    channel: Channel,
) -> Result<Decision, Rejection> {
    let mut checks = Checks::default();
    checks.line("message", &message, 1, SOURCE_CHARS_MAX);
    checks.finish()?;
    if state.orders.contains(&message) {
        return Ok(Decision::reply(Reply::Done));
    }
    let mut events = vec![Event::Ordered { message, stop }];
    if stop {
        let reason = match channel {
            Channel::Whatsapp => "said STOP by WhatsApp",
            Channel::Chat | Channel::Voice | Channel::Sms | Channel::Email | Channel::Linkedin | Channel::Messenger => {
                "said STOP by text message"
            }
        };
        let entry = NewEntry {
            masked,
            reach: STOP_REACHES,
            source: Source::Keyword,
            reason: reason.to_owned(),
            expires_ms: None,
        };
        events.push(Event::EntryAdded {
            tenant: cx.principal.tenant.clone(),
            entry: Box::new(entry),
            by: PERSON.to_owned(),
        });
    } else {
        let own = |entry: &&Entry| entry.source.is_the_persons_to_lift() && entry.holds(cx.now_ms);
        events.extend(state.entries.iter().filter(own).map(|entry| Event::EntryLifted {
            reach: entry.reach,
            source: entry.source,
            by: PERSON.to_owned(),
        }));
    }
    Ok(Decision::new(events, Reply::Done))
}

pub(super) fn wish(
    state: &ContactGuard,
    cx: &Context,
    masked: Masked,
    reach: Reach,
    conversation: &str,
    stop: bool,
) -> Result<Decision, Rejection> {
    let mut checks = Checks::default();
    checks.line("conversation", conversation, 1, SOURCE_CHARS_MAX);
    checks.finish()?;
    let by = format!("conversation:{conversation}");
    let stands = state.entries.iter().find(|known| (known.reach, known.source) == (reach, Source::Person));
    let stands = stands.filter(|known| known.holds(cx.now_ms));
    let event = match (stop, stands) {
        // What another conversation said it keeps: nobody who types a number undoes what its owner wished.
        (true, Some(_)) => None,
        (true, None) => {
            let entry = NewEntry {
                masked,
                reach,
                source: Source::Person,
                reason: "asked in a conversation not to be contacted".to_owned(),
                expires_ms: None,
            };
            Some(Event::EntryAdded { tenant: cx.principal.tenant.clone(), entry: Box::new(entry), by })
        }
        (false, Some(known)) if known.by == by => Some(Event::EntryLifted { reach, source: Source::Person, by }),
        (false, _) => None,
    };
    Ok(Decision::new(event.into_iter().collect(), Reply::Done))
}

pub(super) fn lift(state: &ContactGuard, cx: &Context, reach: Reach, source: Source) -> Result<Decision, Rejection> {
    let by = worker(cx, Role::Manager, "take somebody off the do-not-contact list")?;
    let entry = state
        .entries
        .iter()
        .find(|entry| (entry.reach, entry.source) == (reach, source))
        .ok_or_else(|| Rejection::not_found("entry"))?;
    if !entry.holds(cx.now_ms) {
        return Ok(Decision::reply(Reply::Done));
    }
    if source.is_the_persons_to_lift() && cx.principal.actor != Actor::System {
        return Err(Rejection::conflict(
            "stopped_by_person",
            "This person asked not to be contacted. Only they themselves take it back, with START.",
        ));
    }
    Ok(Decision::event(Event::EntryLifted { reach, source, by }, Reply::Done))
}

pub(super) fn consent(state: &ContactGuard, cx: &Context, consent: NewConsent) -> Result<Decision, Rejection> {
    let by = worker(cx, Role::Rep, "record a consent")?;
    let given_ms = consent.at_ms.unwrap_or(cx.now_ms);
    let mut checks = Checks::default();
    // A withdrawal needs no words to be good; a consent without them proves nothing.
    checks.text("text", &consent.text, usize::from(consent.granted), CONSENT_CHARS_MAX);
    checks.text("source", &consent.source, 1, SOURCE_CHARS_MAX);
    checks.ensure(given_ms <= cx.now_ms.saturating_add(CLOCKS_DIFFER_MS), "captured_at", "must not be in the future");
    checks.finish()?;
    // What a fast clock dates ahead is said now: it must not outlive a withdrawal of the next minute.
    let given_ms = given_ms.min(cx.now_ms);
    let n = state.consents_ever + 1;
    let event = Event::ConsentRecorded { n, consent: Box::new(consent), given_ms, by };
    Ok(Decision::event(event, Reply::Consent { n }))
}

/// The words beside entries and consents go, if there are any.
pub(super) fn forget_words(state: &ContactGuard) -> Decision {
    let words = state.entries.iter().any(|entry| !entry.reason.is_empty())
        || state.consents.iter().any(|consent| !(consent.text.is_empty() && consent.source.is_empty()));
    if words { Decision::event(Event::WordsForgotten, Reply::Done) } else { Decision::reply(Reply::Done) }
}

/// Entries whose time is over leave the list.
pub(super) fn expired(state: &ContactGuard, now_ms: i64) -> Decision {
    let over = state
        .entries
        .iter()
        .filter(|entry| entry.lifted_ms.is_none() && entry.expires_ms.is_some_and(|end| end <= now_ms))
        .map(|entry| Event::EntryLifted { reach: entry.reach, source: entry.source, by: TIME.to_owned() });
    Decision::new(over.collect(), Reply::Done)
}

/// Who does it, if the role allows it.
fn worker(cx: &Context, role: Role, what: &str) -> Result<String, Rejection> {
    if !cx.principal.at_least(role) {
        return Err(Rejection::forbidden(format!(
            "to {what} you need a higher role: ask an admin of your organization"
        )));
    }
    Ok(match &cx.principal.actor {
        Actor::User { id, .. } | Actor::Platform { id } => id.0.clone(),
        Actor::ApiKey { id, .. } => format!("key:{id}"),
        Actor::System => "system".to_owned(),
        Actor::Visitor { .. } => return Err(Rejection::not_found("contact")),
    })
}
