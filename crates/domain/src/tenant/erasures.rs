//! Erasing a person everywhere: asked for, worked through in parts, started again until it is done.

use std::collections::BTreeMap;

use super::{
    Effect, Erasure, ErasureWho, Outcome, Tenant,
    command::{Event, Reply},
    limits::{ERASURE_ATTEMPTS_MAX, ERASURE_DEADLINE_MS, ERASURES_OPEN_MAX},
    need, system, view,
};
use crate::{
    check::{Checks, is_e164, normal_email},
    context::Context,
    decision::Decision,
    principal::Role,
    rejection::Rejection,
};

/// The longest reason kept of a failure.
const REASON_CHARS_MAX: usize = 300;

pub(super) fn request(state: &Tenant, cx: &Context, id: String, who: ErasureWho) -> Outcome {
    need(cx, Role::Admin, "erase a person's data")?;
    if let Some(known) = state.erasures.get(&id) {
        return Ok(Decision::reply(Reply::Erasure(view::erasure(&id, known))));
    }
    let clean = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let who = ErasureWho {
        email: clean(who.email).map(|email| normal_email(&email)),
        phone: clean(who.phone),
        visitor_id: clean(who.visitor_id),
    };
    let mut checks = Checks::default();
    checks.line("id", &id, 1, 64);
    checks.ensure(who != ErasureWho::default(), "email", "or phone or visitor_id must say whom to erase");
    if let Some(email) = &who.email {
        checks.email("email", email);
    }
    if let Some(phone) = &who.phone {
        checks.ensure(is_e164(phone), "phone", "must be an international number such as +15551234567");
    }
    if let Some(visitor) = &who.visitor_id {
        checks.line("visitor_id", visitor, 1, 200);
    }
    checks.finish()?;
    if open(state).count() >= ERASURES_OPEN_MAX {
        return Err(Rejection::LimitReached {
            limit: "erasures".to_owned(),
            detail: format!("{ERASURES_OPEN_MAX} erasures are running. Wait until one is done."),
        });
    }
    let event = Event::ErasureRequested { id: id.clone(), who, deadline_ms: cx.now_ms + ERASURE_DEADLINE_MS };
    let mut after = Tenant::default();
    super::apply(&mut after, &event, cx.seq + 1, cx.now_ms);
    let reply = after.erasures.get(&id).map_or(Reply::Done, |erasure| Reply::Erasure(view::erasure(&id, erasure)));
    Ok(Decision::event(event, reply))
}

pub(super) fn progress(
    state: &Tenant,
    cx: &Context,
    id: String,
    attempt: u32,
    counts: BTreeMap<String, u64>,
    done: bool,
) -> Outcome {
    current(state, cx, &id, attempt)?;
    let event = if done {
        Event::ErasureEnded { id, counts, failure: None }
    } else {
        Event::ErasureProgressed { id, counts, deadline_ms: cx.now_ms + ERASURE_DEADLINE_MS }
    };
    Ok(Decision::event(event, Reply::Done))
}

pub(super) fn failed(state: &Tenant, cx: &Context, id: &str, attempt: u32, reason: String) -> Outcome {
    let erasure = current(state, cx, id, attempt)?;
    Ok(Decision::event(again_or_end(id, erasure, cx, reason), Reply::Done))
}

pub(super) fn list(state: &Tenant, cx: &Context) -> Outcome {
    need(cx, Role::Admin, "see erasures")?;
    let items = state.erasures.iter().rev().map(|(id, erasure)| view::erasure(id, erasure)).collect();
    Ok(Decision::reply(Reply::Erasures { items }))
}

/// Erasures without news in time start again, or end.
pub(super) fn due(state: &Tenant, cx: &Context) -> Vec<Event> {
    let due = open(state).filter(|(_, erasure)| erasure.deadline_ms.is_some_and(|due| due <= cx.now_ms));
    due.map(|(id, erasure)| again_or_end(id, erasure, cx, "no progress in time".to_owned())).collect()
}

/// A lost task is nobody's failure, so it counts as a new try without an end.
pub(super) fn restart(state: &Tenant, cx: &Context) -> Vec<Event> {
    open(state).map(|(id, erasure)| again(id, erasure, cx)).collect()
}

pub(super) fn pending(state: &Tenant) -> Vec<(String, u32, Effect)> {
    open(state)
        .filter_map(|(id, erasure)| {
            let effect = Effect::Erase { id: id.clone(), attempt: erasure.attempt, who: erasure.who.clone()? };
            Some((format!("erase:{id}"), erasure.attempt, effect))
        })
        .collect()
}

fn open(state: &Tenant) -> impl Iterator<Item = (&String, &Erasure)> {
    state.erasures.iter().filter(|(_, erasure)| erasure.finished_ms.is_none())
}

fn current<'a>(state: &'a Tenant, cx: &Context, id: &str, attempt: u32) -> Result<&'a Erasure, Rejection> {
    system(cx)?;
    let erasure = state.erasures.get(id).ok_or_else(|| Rejection::not_found("erasure"))?;
    if erasure.finished_ms.is_some() || erasure.attempt != attempt {
        return Err(Rejection::Superseded);
    }
    Ok(erasure)
}

fn again(id: &str, erasure: &Erasure, cx: &Context) -> Event {
    Event::ErasureRetried {
        id: id.to_owned(),
        attempt: erasure.attempt.saturating_add(1),
        deadline_ms: cx.now_ms + ERASURE_DEADLINE_MS,
    }
}

fn again_or_end(id: &str, erasure: &Erasure, cx: &Context, reason: String) -> Event {
    if erasure.attempt < ERASURE_ATTEMPTS_MAX {
        return again(id, erasure, cx);
    }
    let failure = Some(reason.chars().take(REASON_CHARS_MAX).collect());
    Event::ErasureEnded { id: id.to_owned(), counts: erasure.counts.clone(), failure }
}
