//! The account entity: one person's login, sessions, memberships and preferences.
//!
//! Hashing and random tokens happen outside; the core sees hashes only. In reading order: [`limits`], the shapes below,
//! `login` (passwords, magic links, resets, throttling), `session` (refresh families), `profile` (memberships, preferences), [`view`].

mod command;
pub mod limits;
mod login;
mod profile;
mod session;
mod state;
#[cfg(test)]
mod tests;
pub mod view;
pub mod wishes;

pub use command::{Command, Event, MembershipChange, NewSession, Register, Reply, SessionEnd};
pub use state::{Account, Family, Membership, OneTime, Throttle};

use crate::{context::Context, decision::Decision, principal::Actor, rejection::Rejection};

/// The entity's kind in keys.
pub const KIND: &str = "account";
/// The tenant all accounts live in: a person may belong to several organizations.
pub const TENANT: &str = "platform";

/// What a command leads to.
pub type Outcome = Result<Decision<Event, Reply>, Rejection>;

/// Decides a command.
///
/// # Errors
/// `NotFound` for a foreign or unregistered account, `Conflict` with `invalid_credentials`, `login_locked`, `invalid_token`,
/// `suspended` or `already_registered`, `Invalid` for wrong fields.
pub fn decide(state: &Account, cx: &Context, command: Command) -> Outcome {
    if let Command::Register(new) = command {
        return profile::register(state, cx, new);
    }
    if !state.exists() {
        return Err(Rejection::not_found("account"));
    }
    authorize(state, cx, &command)?;
    match command {
        Command::Register(new) => profile::register(state, cx, new),
        Command::Credentials { from } => login::credentials(state, cx, &from),
        Command::LogIn { verified_hash, session } => login::log_in(state, cx, &verified_hash, session),
        Command::LoginFailed { from } => login::failed(state, cx, from),
        Command::RequestMagic { token_hash } => login::request_magic(state, cx, token_hash),
        Command::UseMagic { token_hash, session } => login::use_magic(state, cx, &token_hash, session),
        Command::RequestReset { token_hash } => login::request_reset(state, cx, token_hash),
        Command::UseReset { token_hash, password_hash } => login::use_reset(state, cx, &token_hash, password_hash),
        Command::SetPassword { verified_hash, password_hash, keep_family } => {
            login::set_password(state, cx, verified_hash.as_deref(), password_hash, keep_family)
        }
        Command::StartSession { session } => session::start(state, cx, session),
        Command::Refresh { family, token_hash, next_hash } => {
            session::refresh(state, cx, &family, &token_hash, next_hash)
        }
        Command::SwitchTenant { family, tenant } => session::switch(state, &family, tenant),
        Command::Logout { family } => Ok(session::log_out(state, &family)),
        Command::LogoutAll => Ok(session::log_out_all(state)),
        Command::SetMembership(membership) => profile::set_membership(state, membership),
        Command::SetName { name } => profile::set_name(state, &name),
        Command::SetPreferences { patch } => profile::set_preferences(state, &patch),
        Command::SetPlatformAdmin { on } => Ok(profile::set_platform_admin(state, on)),
        Command::SetSuspended { on } => Ok(profile::set_suspended(state, on)),
        Command::Sessions => {
            Ok(Decision::reply(Reply::Sessions { families: state.families.keys().cloned().collect() }))
        }
        Command::View => Ok(Decision::reply(Reply::Account(Box::new(view::account(state))))),
    }
}

/// Folds one event.
pub fn apply(state: &mut Account, event: &Event, seq: u64, at_ms: i64) {
    state.fold(event, seq, at_ms);
}

/// The gateway speaks as the system until somebody is signed in; a signed-in person reaches only their own account.
fn authorize(state: &Account, cx: &Context, command: &Command) -> Result<(), Rejection> {
    let own = match &cx.principal.actor {
        Actor::System => true,
        Actor::Platform { .. } => {
            matches!(command, Command::SetPlatformAdmin { .. } | Command::SetSuspended { .. } | Command::View)
        }
        Actor::User { id, .. } => {
            *id == state.id
                && matches!(
                    command,
                    Command::Credentials { .. }
                        | Command::SetPassword { .. }
                        | Command::SwitchTenant { .. }
                        | Command::Logout { .. }
                        | Command::LogoutAll
                        | Command::SetName { .. }
                        | Command::SetPreferences { .. }
                        | Command::View
                )
        }
        Actor::ApiKey { .. } | Actor::Visitor { .. } => false,
    };
    if own { Ok(()) } else { Err(Rejection::not_found("account")) }
}
