//! Erasing a person everywhere: asked for, worked through in parts, started again until it is done.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Effect, Erasure, ErasureWho, Hidden, Outcome, Tenant, Whom,
    command::{Event, Reply},
    limits::{ERASURE_ATTEMPTS_MAX, ERASURE_DEADLINE_MS, ERASURES_OPEN_MAX},
    need, system, view,
};
use crate::{
    check::{Checks, is_e164, normal_email},
    contact_guard::Address,
    context::Context,
    decision::Decision,
    principal::Role,
    rejection::Rejection,
    text,
};

/// What the parts of a person are called in hashes.
const EMAIL: &str = "email";
const PHONE: &str = "phone";
const VISITOR: &str = "visitor_id";

/// Stands for the key where journals of version 1 are read.
const UNKEYED: [u8; 32] = [0; 32];

/// The longest reason kept of a failure.
const REASON_CHARS_MAX: usize = 300;

/// The installation's keys that hide whom an erasure is about.
pub(super) struct Keys<'a> {
    pub(super) erasure: &'a [u8; 32],
    pub(super) guard: &'a [u8; 32],
}

pub(super) fn request(state: &Tenant, cx: &Context, id: String, who: ErasureWho, keys: Keys<'_>) -> Outcome {
    need(cx, Role::Admin, "erase a person's data")?;
    if let Some(known) = state.erasures.get(&id) {
        return Ok(Decision::reply(Reply::Erasure(view::erasure(&id, known))));
    }
    let clean = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let phone = clean(who.phone);
    let as_written = phone.clone();
    let one = phone.as_deref().map(text::only_phone).transpose();
    let who = ErasureWho {
        email: clean(who.email).map(|email| normal_email(&email)),
        phone: one.clone().unwrap_or(phone),
        visitor_id: clean(who.visitor_id),
    };
    let mut checks = Checks::default();
    checks.line("id", &id, 1, 64);
    checks.ensure(who != ErasureWho::default(), "email", "or phone or visitor_id must say whom to erase");
    if let Some(email) = &who.email {
        checks.email("email", email);
    }
    if let Err(problem) = one {
        checks.ensure(false, "phone", problem.to_string());
    } else if let Some(phone) = &who.phone {
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
    let whom = Whom { guards: guards(&who, as_written.as_deref(), keys.guard), ..Whom::of(&who, keys.erasure) };
    let event = Event::ErasureRequested { id: id.clone(), whom, deadline_ms: cx.now_ms + ERASURE_DEADLINE_MS };
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
        .map(|(id, erasure)| {
            let effect = Effect::Erase { id: id.clone(), attempt: erasure.attempt, whom: erasure.whom.clone() };
            (format!("erase:{id}"), erasure.attempt, effect)
        })
        .collect()
}

/// Brings an event of version 1, which named the person, to today's shape: what is open then goes on, and nothing in memory names them.
pub(super) fn hide(mut event: Value) -> Result<Value, String> {
    if event["type"] != "erasure_requested" {
        return Ok(event);
    }
    let who: ErasureWho = serde_json::from_value(event["who"].take()).map_err(|error| error.to_string())?;
    // Those journals were written without a key. The words stand in them; so does nothing else of the hash.
    let whom = serde_json::to_value(Whom::of(&who, &UNKEYED)).map_err(|error| error.to_string())?;
    if let Some(event) = event.as_object_mut() {
        event.remove("who");
        event.insert("whom".to_owned(), whom);
    }
    Ok(event)
}

impl Whom {
    /// Hides whom an erasure is about. `key` is the installation's.
    pub fn of(who: &ErasureWho, key: &[u8; 32]) -> Self {
        let hide = |value: &Option<String>, field: &str, masked: fn(&str) -> String| {
            value.as_ref().map(|value| Hidden { masked: masked(value), hash: hash(key, field, value) })
        };
        Self {
            email: hide(&who.email, EMAIL, masked_email),
            phone: hide(&who.phone, PHONE, masked_phone),
            visitor_id: hide(&who.visitor_id, VISITOR, masked_id),
            guards: Vec::new(),
        }
    }

    /// Whether one of these hashes ([`hashes`]) is of the person's address or number.
    pub fn is_hashed<'a>(&self, mut hashes: impl Iterator<Item = &'a str>) -> bool {
        hashes.any(|hash| [&self.email, &self.phone].into_iter().flatten().any(|hidden| hidden.hash == hash))
    }

    /// Whether one of these is the person: addresses, numbers or visitors that something names.
    pub fn is(&self, named: &ErasureWho, key: &[u8; 32]) -> bool {
        let same = |hidden: &Option<Hidden>, field: &str, value: &str| {
            let known = |key: &[u8; 32]| hidden.as_ref().is_some_and(|hidden| hidden.hash == hash(key, field, value));
            known(key) || known(&UNKEYED)
        };
        let email = named.email.as_deref().is_some_and(|email| same(&self.email, EMAIL, email));
        let phone = named.phone.as_deref().is_some_and(|phone| same(&self.phone, PHONE, phone));
        let visitor = named.visitor_id.as_deref().is_some_and(|visitor| {
            // A visitor's id is the browser's own, a dot, and what tells apart two who claim the same one.
            let own = visitor.rsplit_once('.').map(|(own, _)| own);
            same(&self.visitor_id, VISITOR, visitor) || own.is_some_and(|own| same(&self.visitor_id, VISITOR, own))
        });
        email || phone || visitor
    }
}

/// The guards of a person's address and number. A number as it was written is one too: entries of earlier versions are under it.
fn guards(who: &ErasureWho, written: Option<&str>, key: &[u8; 32]) -> Vec<String> {
    let email = who.email.clone().map(Address::Email);
    let phone = who.phone.as_deref().map(Address::of_carrier);
    let written = written.filter(|written| is_e164(written)).map(|written| Address::Phone(written.to_owned()));
    let mut ids: Vec<String> = [email, phone, written].into_iter().flatten().map(|address| address.id(key)).collect();
    ids.dedup();
    ids
}

/// What recognises an address and a number without naming them. `key` is the installation's.
pub fn hashes(email: Option<&str>, phone: Option<&str>, key: &[u8; 32]) -> Vec<String> {
    [(EMAIL, email), (PHONE, phone)]
        .into_iter()
        .filter_map(|(field, value)| value.map(|value| hash(key, field, value)))
        .collect()
}

fn hash(key: &[u8; 32], field: &str, value: &str) -> String {
    let normal = match field {
        EMAIL => normal_email(value.trim()),
        PHONE => text::valid_phone(value).unwrap_or_else(|_| value.to_owned()),
        _ => value.to_owned(),
    };
    blake3::keyed_hash(key, format!("{field}\0{normal}").as_bytes()).to_hex().to_string()
}

fn masked_email(email: &str) -> String {
    let first = |text: &str| text.chars().next().map(String::from).unwrap_or_default();
    let (name, domain) = email.split_once('@').unwrap_or((email, ""));
    let end = domain.rsplit_once('.').map_or("", |(_, end)| end);
    format!("{}***@{}***.{end}", first(name), first(domain))
}

fn masked_phone(phone: &str) -> String {
    let digits = phone.chars().count();
    format!("***{}", phone.chars().skip(digits.saturating_sub(2)).collect::<String>())
}

fn masked_id(id: &str) -> String {
    // A short id would be shown as a whole.
    let shown = if id.chars().count() >= 8 { 2 } else { 0 };
    format!("{}***", id.chars().take(shown).collect::<String>())
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
