//! The contact guard: who may be contacted. One entity per organization and number or address; whatever reaches out asks it first.
//!
//! **How to ask.** Name the person by an [`Address`]; the entity's id is [`Address::id`] under the installation's key, so that no journal holds the
//! number. Then, as Colloquy itself (`Actor::System`):
//!
//! * [`Command::AuthorizeDial`] before a call and [`Command::AuthorizeMessage`] before a message. The answer is [`Reply::Verdict`]: a [`Permit`]
//!   or a [`Refusal`]. A permit is **one append** in this journal, adding a number to the list is another, so their sequence numbers prove which
//!   was first: a permit with a lower number than the entry was given before anybody said no.
//! * The same request again (same campaign, target and attempt; same message) is the same permit, not a second one. But it is looked at again: who
//!   asks twice with a do-not-contact entry in between is refused, because the call has not been placed yet.
//! * [`Command::Settle`] says what became of a dial. One that was never placed ([`Placed::No`]) no longer counts as an attempt.
//! * [`stopped`] names, for the event that adds an entry, the dials that were permitted and not settled: what may still be queued at a carrier.
//!
//! **What refuses.** In this order: the do-not-contact list, a withdrawn consent, a consent that is needed and was never given, too many attempts.
//! An answer to what the person has just written ([`Purpose::Answer`]) is refused only by what the person said (STOP) or the carrier enforces;
//! entries that others made forbid to reach out, not to answer.
//!
//! Reading order: [`address`], [`state`], [`command`]; then `list` (entries and consents), `authorize`, `apply`.

mod abroad;
pub mod address;
mod apply;
mod authorize;
pub mod command;
mod list;
pub mod said;
pub mod state;
#[cfg(test)]
mod tests;

pub use address::Address;
pub use apply::{apply, stopped};
pub use command::{
    Cap, Command, DialRequest, Event, MessageRequest, NewConsent, NewEntry, Permit, Placed, Purpose, Refusal, Reply,
    Verdict,
};
pub use state::{Attempt, Consent, ConsentKind, ContactGuard, DialKey, Entry, Reach, Source};

use crate::{context::Context, decision, principal::Actor, rejection::Rejection};

/// The entity's kind in keys.
pub const KIND: &str = "contact_guard";

/// What a command leads to.
pub type Decision = decision::Decision<Event, Reply>;

/// There is no work outside the core.
pub type Effect = std::convert::Infallible;

/// Decides a command.
///
/// # Errors
/// A [`Rejection`] in words for the user; nothing changes then. That somebody may not be contacted is no error but a [`Verdict`].
pub fn decide(state: &ContactGuard, cx: &Context, command: Command) -> Result<Decision, Rejection> {
    if matches!(cx.principal.actor, Actor::Visitor { .. }) {
        return Err(Rejection::not_found("contact"));
    }
    match command {
        Command::AddEntry(entry) => list::add(state, cx, *entry),
        Command::Lift { reach, source } => list::lift(state, cx, reach, source),
        Command::Order { masked, message, stop, channel } => {
            system(cx).and_then(|()| list::order(state, cx, masked, message, stop, channel))
        }
        Command::Wish { masked, reach, conversation, stop } => {
            system(cx).and_then(|()| list::wish(state, cx, masked, reach, &conversation, stop))
        }
        Command::RecordConsent(consent) => list::consent(state, cx, *consent),
        Command::AuthorizeDial(request) => system(cx).and_then(|()| authorize::dial(state, cx, *request)),
        Command::AuthorizeMessage(request) => system(cx).and_then(|()| authorize::message(state, cx, *request)),
        Command::Settle { dial, placed } => system(cx).and_then(|()| authorize::settle(state, &dial, placed)),
        Command::ForgetWords => system(cx).map(|()| list::forget_words(state)),
        Command::Tick => system(cx).map(|()| list::expired(state, cx.now_ms)),
        Command::Get => Ok(Decision::reply(Reply::State(Box::new(state.clone())))),
    }
}

/// Nothing is ever unfinished: whoever asked for a permit does the work.
pub fn pending(_state: &ContactGuard) -> Vec<(String, u32, Effect)> {
    Vec::new()
}

/// When the next entry ends, Unix milliseconds.
pub fn timer(state: &ContactGuard) -> Option<i64> {
    state.entries.iter().filter(|entry| entry.lifted_ms.is_none()).filter_map(|entry| entry.expires_ms).min()
}

/// The command that a due timer turns into.
pub fn on_timer(state: &ContactGuard, now_ms: i64) -> Option<Command> {
    timer(state).filter(|due| *due <= now_ms).map(|_| Command::Tick)
}

/// A crash leaves nothing to be done.
pub fn on_recovered(_state: &ContactGuard) -> Option<Command> {
    None
}

/// Only Colloquy itself contacts people.
fn system(cx: &Context) -> Result<(), Rejection> {
    match cx.principal.actor {
        Actor::System => Ok(()),
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::Visitor { .. } | Actor::Platform { .. } => {
            Err(Rejection::forbidden("this is done by the service itself"))
        }
    }
}
