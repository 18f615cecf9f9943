//! Passwords, magic links, resets and the brake on guessing.

use super::{
    Outcome,
    command::{Event, NewSession, Reply, SessionEnd},
    limits::{
        ALL_FREE_FAILURES, FAILURES_FORGOTTEN_MS, FREE_FAILURES, HASH_CHARS_MAX, LOCK_FIRST_MS, LOCK_MAX_MS,
        MAGIC_TTL_MS, ONE_TIME_MAX, PROVEN_MS, RESET_TTL_MS,
    },
    session,
    state::{Account, OneTime, Throttle},
};
use crate::{context::Context, decision::Decision, rejection::Rejection};

pub(super) fn credentials(state: &Account, cx: &Context, from: &str) -> Outcome {
    let (password_hash, wait_ms) = (state.password_hash.clone(), wait_ms(state, cx, from));
    Ok(Decision::reply(Reply::Credentials { password_hash, wait_ms }))
}

pub(super) fn log_in(state: &Account, cx: &Context, verified_hash: &str, new: NewSession) -> Outcome {
    if wait_ms(state, cx, &new.from).is_some() {
        return Err(Rejection::conflict(
            "login_locked",
            "Too many wrong passwords. Try again later or use a magic link.",
        ));
    }
    // The password may have changed between the check and now.
    if state.password_hash.as_deref() != Some(verified_hash) {
        return Err(Rejection::conflict("invalid_credentials", "The e-mail address or the password is wrong."));
    }
    session::start(state, cx, new)
}

pub(super) fn failed(state: &Account, cx: &Context, from: String) -> Outcome {
    // While locked no password is looked at, so there is nothing to count, and a guesser cannot grow the journal.
    if let Some(wait_ms) = wait_ms(state, cx, &from) {
        return Ok(Decision::reply(Reply::Failed { wait_ms: Some(wait_ms) }));
    }
    let own = state.throttles.get(&from).copied().unwrap_or_default().after(cx.now_ms, FREE_FAILURES);
    let all = state.throttle.after(cx.now_ms, ALL_FREE_FAILURES);
    let until = |wait: Option<i64>| wait.map(|wait| cx.now_ms + wait);
    let event = Event::LoginFailed { from, locked_until_ms: until(own), all_locked_until_ms: until(all) };
    Ok(Decision::event(event, Reply::Failed { wait_ms: own.max(all) }))
}

pub(super) fn request_magic(state: &Account, cx: &Context, token_hash: String) -> Outcome {
    request(state, cx, &state.magics, token_hash, |token_hash| Event::MagicRequested {
        token_hash,
        expires_ms: cx.now_ms + MAGIC_TTL_MS,
    })
}

pub(super) fn use_magic(state: &Account, cx: &Context, token_hash: &str, new: NewSession) -> Outcome {
    good(&state.magics, cx, token_hash)?;
    let mut decision = session::start(state, cx, new)?;
    let mut events = vec![Event::MagicUsed { token_hash: token_hash.to_owned() }];
    if state.verified_ms.is_none() {
        // Nobody had shown that the address is theirs: a password and sessions from before may be somebody else's.
        events.extend(state.password_hash.is_some().then_some(Event::PasswordDropped));
        events.extend(session::end_all(state, None, SessionEnd::Revoked));
    }
    events.append(&mut decision.events);
    decision.events = events;
    if let Reply::Session { account, .. } = &mut decision.reply {
        account.user.email_verified = true;
        account.user.has_password &= state.verified_ms.is_some();
        account.user.platform_admin = state.platform_admin;
    }
    Ok(decision)
}

pub(super) fn request_reset(state: &Account, cx: &Context, token_hash: String) -> Outcome {
    request(state, cx, &state.resets, token_hash, |token_hash| Event::ResetRequested {
        token_hash,
        expires_ms: cx.now_ms + RESET_TTL_MS,
    })
}

pub(super) fn use_reset(state: &Account, cx: &Context, token_hash: &str, password_hash: String) -> Outcome {
    good(&state.resets, cx, token_hash)?;
    check_hash("password", &password_hash)?;
    let mut events = vec![Event::ResetUsed { token_hash: token_hash.to_owned() }, Event::PasswordSet { password_hash }];
    events.extend(session::end_all(state, None, SessionEnd::Revoked));
    Ok(Decision::new(events, Reply::Done))
}

pub(super) fn set_password(
    state: &Account,
    cx: &Context,
    verified_hash: Option<&str>,
    password_hash: String,
    keep_family: Option<String>,
) -> Outcome {
    if state.password_hash.as_deref() != verified_hash || wait_ms(state, cx, "").is_some() {
        return Err(Rejection::invalid("current_password", "is not the current password"));
    }
    check_hash("password", &password_hash)?;
    let mut events = vec![Event::PasswordSet { password_hash }];
    events.extend(session::end_all(state, keep_family.as_deref(), SessionEnd::Revoked));
    Ok(Decision::new(events, Reply::Done))
}

/// Hashes come from our own code; an empty or huge one is a mistake worth refusing before it is journaled.
pub(super) fn check_hash(field: &str, hash: &str) -> Result<(), Rejection> {
    if hash.is_empty() || hash.len() > HASH_CHARS_MAX {
        return Err(Rejection::invalid(field, format!("must have 1 to {HASH_CHARS_MAX} characters")));
    }
    Ok(())
}

/// How long no password from there is looked at: after wrong ones from there, and after many from anywhere unless somebody has signed in from there.
fn wait_ms(state: &Account, cx: &Context, from: &str) -> Option<i64> {
    let left = |throttle: &Throttle| throttle.locked_until_ms.map(|until| until - cx.now_ms).filter(|wait| *wait > 0);
    let proven = state.proven.get(from).is_some_and(|last_ms| cx.now_ms - last_ms <= PROVEN_MS);
    let all = if proven { None } else { left(&state.throttle) };
    all.max(state.throttles.get(from).and_then(left))
}

impl Throttle {
    /// How long to wait after one more wrong password, if `free` cost nothing.
    fn after(&self, now_ms: i64, free: u32) -> Option<i64> {
        let quiet = now_ms - self.failed_ms > FAILURES_FORGOTTEN_MS;
        let failures = if quiet { 1 } else { self.failures.saturating_add(1) };
        failures.checked_sub(free + 1).map(|extra| {
            let doubled = 2_i64.checked_pow(extra).and_then(|factor| LOCK_FIRST_MS.checked_mul(factor));
            doubled.unwrap_or(LOCK_MAX_MS).min(LOCK_MAX_MS)
        })
    }
}

fn request(
    state: &Account,
    cx: &Context,
    links: &[OneTime],
    token_hash: String,
    event: impl FnOnce(String) -> Event,
) -> Outcome {
    check_hash("token", &token_hash)?;
    let waiting = links.iter().filter(|link| link.expires_ms > cx.now_ms).count();
    let send = waiting < ONE_TIME_MAX && !state.suspended;
    let reply = Reply::Requested { send, email: state.email.clone(), name: state.name.clone() };
    Ok(if send { Decision::event(event(token_hash), reply) } else { Decision::reply(reply) })
}

fn good(links: &[OneTime], cx: &Context, token_hash: &str) -> Result<(), Rejection> {
    if links.iter().any(|link| link.token_hash == token_hash && link.expires_ms > cx.now_ms) {
        Ok(())
    } else {
        Err(Rejection::conflict("invalid_token", "This link has been used or is too old. Ask for a new one."))
    }
}
