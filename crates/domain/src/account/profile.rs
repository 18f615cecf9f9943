//! Sign-up, memberships, name, preferences and the platform's own switches.

use serde_json::Value;

use super::{
    Outcome,
    command::{Event, MembershipChange, Register, Reply, SessionEnd},
    limits::{MEMBERSHIPS_MAX, PREFERENCES_BYTES_MAX},
    login::check_hash,
    session,
    state::Account,
    wishes,
};
use crate::{
    check::{Checks, NAME_CHARS_MAX, is_bounded_json, merge_patch, normal_email},
    context::Context,
    decision::Decision,
    principal::Actor,
    rejection::Rejection,
};

pub(super) fn register(state: &Account, cx: &Context, mut new: Register) -> Outcome {
    if cx.principal.actor != Actor::System {
        return Err(Rejection::not_found("account"));
    }
    new.email = normal_email(&new.email);
    new.name = new.name.trim().to_owned();
    if state.exists() {
        return if state.id == new.id && state.email == new.email {
            Ok(Decision::reply(Reply::Registered { fresh: false }))
        } else {
            Err(Rejection::conflict("already_registered", "This account exists already."))
        };
    }
    let mut checks = Checks::default();
    checks.email("email", &new.email);
    checks.line("name", &new.name, 1, NAME_CHARS_MAX);
    checks.ensure(!new.id.0.is_empty(), "id", "must not be empty");
    checks.finish()?;
    if let Some(hash) = &new.password_hash {
        check_hash("password", hash)?;
    }
    Ok(Decision::event(Event::Registered(new), Reply::Registered { fresh: true }))
}

pub(super) fn set_membership(state: &Account, change: MembershipChange) -> Outcome {
    let known = state.memberships.get(&change.tenant);
    if known.is_some_and(|known| known.version >= change.version) {
        return Ok(Decision::reply(Reply::Done));
    }
    match (known, change.role) {
        (None, None) => Ok(Decision::reply(Reply::Done)),
        (None, Some(_)) if state.memberships.len() >= MEMBERSHIPS_MAX => Err(Rejection::LimitReached {
            limit: "memberships".to_owned(),
            detail: format!("A person can belong to at most {MEMBERSHIPS_MAX} organizations. Leave one first."),
        }),
        (None, Some(_)) | (Some(_), _) => Ok(Decision::event(Event::MembershipSet(change), Reply::Done)),
    }
}

pub(super) fn set_name(state: &Account, name: &str) -> Outcome {
    let name = name.trim().to_owned();
    let mut checks = Checks::default();
    checks.line("name", &name, 1, NAME_CHARS_MAX);
    checks.finish()?;
    Ok(if name == state.name {
        Decision::reply(Reply::Done)
    } else {
        Decision::event(Event::NameSet { name }, Reply::Done)
    })
}

pub(super) fn set_preferences(state: &Account, patch: &Value) -> Outcome {
    if !patch.is_object() || !is_bounded_json(patch, PREFERENCES_BYTES_MAX) {
        return Err(Rejection::invalid(
            "preferences",
            format!("must be an object of at most {PREFERENCES_BYTES_MAX} bytes"),
        ));
    }
    let mut merged = Value::Object(state.preferences.clone());
    merge_patch(&mut merged, patch);
    if !is_bounded_json(&merged, PREFERENCES_BYTES_MAX) {
        return Err(Rejection::invalid("preferences", format!("would exceed {PREFERENCES_BYTES_MAX} bytes in all")));
    }
    let Value::Object(preferences) = merged else { return Err(Rejection::invalid("preferences", "must be an object")) };
    wishes::check(&preferences)?;
    let reply = Reply::Preferences { preferences: preferences.clone() };
    Ok(if preferences == state.preferences {
        Decision::reply(reply)
    } else {
        Decision::event(Event::PreferencesSet { preferences }, reply)
    })
}

pub(super) fn set_platform_admin(state: &Account, on: bool) -> Decision<Event, Reply> {
    if state.platform_admin == on {
        Decision::reply(Reply::Done)
    } else {
        Decision::event(Event::PlatformAdminSet { on }, Reply::Done)
    }
}

pub(super) fn set_suspended(state: &Account, on: bool) -> Decision<Event, Reply> {
    if state.suspended == on {
        return Decision::reply(Reply::Done);
    }
    let mut events = vec![Event::SuspendedSet { on }];
    if on {
        events.extend(session::end_all(state, None, SessionEnd::Revoked));
    }
    Decision::new(events, Reply::Done)
}
