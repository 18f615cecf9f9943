//! Sessions: families of refresh tokens, each used once. A copy that comes back ends the family.

use super::{
    Outcome,
    command::{Event, NewSession, Reply, SessionEnd},
    limits::{DEVICE_CHARS_MAX, ROTATION_GRACE_MS, SESSION_IDLE_MS, SESSIONS_MAX, SIBLINGS_MAX},
    login::check_hash,
    state::Account,
    view,
};
use crate::{context::Context, decision::Decision, ids::TenantId, rejection::Rejection};

pub(super) fn start(state: &Account, cx: &Context, mut new: NewSession) -> Outcome {
    if state.suspended {
        return Err(Rejection::conflict("suspended", "This account is suspended. Write to support."));
    }
    check_hash("token", &new.token_hash)?;
    check_hash("family", &new.family)?;
    if state.families.contains_key(&new.family) {
        return Err(Rejection::conflict("already_done", "This session has already begun."));
    }
    new.tenant = state.home(new.tenant.as_ref());
    new.device = new.device.chars().take(DEVICE_CHARS_MAX).collect();
    let mut events = make_room(state, cx.now_ms);
    let reply = Reply::Session {
        family: new.family.clone(),
        membership: new.tenant.as_ref().and_then(|tenant| state.memberships.get(tenant)).cloned(),
        account: Box::new(view::account(state)),
    };
    events.push(Event::SessionStarted { session: new, expires_ms: cx.now_ms + SESSION_IDLE_MS });
    Ok(Decision::new(events, reply))
}

pub(super) fn refresh(state: &Account, cx: &Context, family_id: &str, token_hash: &str, next_hash: String) -> Outcome {
    let Some(family) = state.families.get(family_id) else {
        return Err(Rejection::conflict("invalid_token", "This session has ended. Sign in again."));
    };
    check_hash("token", &next_hash)?;
    let current = family.current.iter().any(|hash| hash == token_hash);
    let in_grace =
        family.retired.iter().any(|hash| hash == token_hash) && cx.now_ms - family.retired_ms <= ROTATION_GRACE_MS;
    if in_grace && !current && family.expires_ms > cx.now_ms && family.current.len() >= SIBLINGS_MAX {
        // Many tabs, or a program that asks side by side: who holds the newest token goes on, and no session ends for it.
        let detail = "This session was renewed several times a moment ago. Use the token that was given last.";
        return Err(Rejection::conflict("renewed_elsewhere", detail));
    }
    let why = if family.expires_ms <= cx.now_ms {
        SessionEnd::Expired
    } else if state.suspended {
        SessionEnd::Revoked
    } else if !current && !in_grace {
        SessionEnd::Reused
    } else {
        let event = Event::SessionRefreshed {
            family: family_id.to_owned(),
            next_hash,
            sibling: !current,
            expires_ms: cx.now_ms + SESSION_IDLE_MS,
        };
        let reply = Reply::Session {
            family: family_id.to_owned(),
            membership: family.tenant.as_ref().and_then(|tenant| state.memberships.get(tenant)).cloned(),
            account: Box::new(view::account(state)),
        };
        return Ok(Decision::event(event, reply));
    };
    Ok(Decision::event(Event::SessionEnded { family: family_id.to_owned(), why }, Reply::SessionEnded { why }))
}

pub(super) fn switch(state: &Account, family: &str, tenant: TenantId) -> Outcome {
    let Some(membership) = state.memberships.get(&tenant) else {
        return Err(Rejection::not_found("organization"));
    };
    if !state.families.contains_key(family) {
        return Err(Rejection::conflict("invalid_token", "This session has ended. Sign in again."));
    }
    let mut account = Box::new(view::account(state));
    account.default_organization_id = Some(tenant.0.clone());
    let reply = Reply::Session { family: family.to_owned(), membership: Some(membership.clone()), account };
    Ok(Decision::event(Event::TenantSwitched { family: family.to_owned(), tenant }, reply))
}

pub(super) fn log_out(state: &Account, family: &str) -> Decision<Event, Reply> {
    if state.families.contains_key(family) {
        Decision::event(Event::SessionEnded { family: family.to_owned(), why: SessionEnd::Logout }, Reply::Done)
    } else {
        Decision::reply(Reply::Done)
    }
}

pub(super) fn log_out_all(state: &Account) -> Decision<Event, Reply> {
    Decision::new(end_all(state, None, SessionEnd::Logout), Reply::Done)
}

/// Ends every session but one.
pub(super) fn end_all(state: &Account, keep: Option<&str>, why: SessionEnd) -> Vec<Event> {
    let ended = state.families.keys().filter(|family| Some(family.as_str()) != keep);
    ended.map(|family| Event::SessionEnded { family: family.clone(), why }).collect()
}

/// Ends what has expired and, if there are still too many, the session unused longest.
fn make_room(state: &Account, now_ms: i64) -> Vec<Event> {
    let (expired, mut alive): (Vec<_>, Vec<_>) =
        state.families.iter().partition(|(_, family)| family.expires_ms <= now_ms);
    alive.sort_by_key(|(_, family)| family.used_ms);
    let crowded = (alive.len() + 1).saturating_sub(SESSIONS_MAX);
    let ended = |family: &String, why| Event::SessionEnded { family: family.clone(), why };
    let expired = expired.into_iter().map(|(family, _)| ended(family, SessionEnd::Expired));
    expired.chain(alive.into_iter().take(crowded).map(|(family, _)| ended(family, SessionEnd::Crowded))).collect()
}
