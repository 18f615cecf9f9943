//! The letters entity: what one address of an organization is told of by mail. It waits a moment for what belongs together, keeps to so many letters
//! an hour and gathers the rest into one, and tells nothing twice.
//!
//! It holds no words and no address: both are looked up when a letter is written.

mod command;
mod state;
#[cfg(test)]
mod tests;

pub use command::{Command, Effect, Ended, Event, Reply};
pub use state::{Item, Letters, Open, Pass, Told};

use crate::bulletin::{About, Kind, News};
use crate::context::Context;
use crate::decision::Decision;
use crate::ids::{ConversationId, UserId};
use crate::principal::Actor;
use crate::rejection::Rejection;

/// The entity's kind in keys; its id is a keyed hash of the address.
pub const KIND: &str = "letters";

/// Letters to one address in an hour, alerts among them: more would be read by nobody. What is above waits and becomes one letter.
pub const PER_HOUR: usize = 10;
/// Letters about emergencies in an hour, beside the others: whoever floods a chat with calls for help must not keep a real one from being told.
pub const EMERGENCIES_PER_HOUR: usize = 20;
/// The hour both are counted in.
pub const HOUR_MS: i64 = 60 * 60 * 1000;
/// How long a notice waits for others, and for being read in the console, before it is mailed. An emergency does not wait.
pub const QUIET_MS: i64 = 30 * 1000;
/// What waits by name; of more only the number is kept.
pub const WAITING_MAX: usize = 200;
/// Conversations of which is remembered that somebody was called to them lately.
pub const TOLD_MAX: usize = 200;
/// Alerts whose answer is remembered: those of an hour, and as many again to be asked about anew.
pub const PASSED_MAX: usize = 2 * (PER_HOUR + EMERGENCIES_PER_HOUR);
/// A letter without news for this long is begun again: a mail server answers in seconds.
pub const DEADLINE_MS: i64 = 2 * 60 * 1000;
/// The pause after the first failure; each further one is twice as long.
pub const PAUSE_MS: i64 = 20 * 1000;
/// Failures before a letter is given up, about forty minutes of a mail server that is away: what it tells stands in the console.
pub const FAILURES_MAX: u32 = 8;

/// What a command leads to.
pub type Outcome = Result<Decision<Event, Reply>, Rejection>;

/// Decides a command.
///
/// # Errors
/// `NotFound` for anyone but the service itself, `Superseded` for the news of an older attempt.
pub fn decide(state: &Letters, cx: &Context, command: Command) -> Outcome {
    if cx.principal.actor != Actor::System {
        return Err(Rejection::not_found(KIND));
    }
    match command {
        Command::Notice { user, seq, at_ms, news } => {
            if seq <= state.heard {
                return Ok(Decision::reply(Reply::Done));
            }
            let mut events = addressed(state, cx, Some(user));
            // That somebody is needed there was told already, by an alert or for another reason.
            let told = state.was_told(&news, cx.now_ms);
            events.push(if told {
                Event::Heard { seq }
            } else {
                Event::Noticed { item: Item { news, at_ms, seq: Some(seq) } }
            });
            Ok(Decision::new(events, Reply::Done))
        }
        Command::Admit { id, about, urgent } => {
            if let Some(pass) = state.passed.iter().find(|pass| pass.id == id) {
                return Ok(Decision::reply(Reply::Admitted { now: !pass.held }));
            }
            let held = !state.has_room(urgent, cx.now_ms);
            let mut events = addressed(state, cx, None);
            events.push(Event::Admitted { id, about, urgent, held });
            Ok(Decision::new(events, Reply::Admitted { now: !held }))
        }
        Command::Ended { letter, attempt, how } => {
            let open = current(state, letter, attempt)?;
            let event = match how {
                Ended::Delivered => Event::Ended { delivered: true },
                Ended::Nothing => Event::Ended { delivered: false },
                Ended::Failed if open.failures + 1 >= FAILURES_MAX => Event::Ended { delivered: false },
                Ended::Failed => Event::Paused { until_ms: cx.now_ms + (PAUSE_MS << open.failures) },
            };
            Ok(Decision::event(event, Reply::Done))
        }
        Command::Tick => Ok(match (&state.open, timer(state)) {
            (_, Some(due)) if due > cx.now_ms => Decision::reply(Reply::Done),
            (_, None) => Decision::reply(Reply::Done),
            (Some(_), Some(_)) => retried(cx),
            (None, Some(_)) => {
                let deadline_ms = cx.now_ms + DEADLINE_MS;
                let urgent = state.ordinary_due_ms().is_none_or(|due| due > cx.now_ms);
                Decision::event(Event::Begun { urgent, deadline_ms }, Reply::Done)
            }
        }),
        // A lost task is nobody's failure.
        Command::Recovered => Ok(match &state.open {
            Some(open) if !open.waits => retried(cx),
            Some(_) | None => Decision::reply(Reply::Done),
        }),
    }
}

/// Folds one event.
pub fn apply(state: &mut Letters, event: &Event, seq: u64, at_ms: i64) {
    state.fold(event, seq, at_ms);
}

/// What is still to be done.
pub fn pending(state: &Letters) -> Vec<(String, u32, Effect)> {
    let Some(open) = state.open.as_ref().filter(|open| !open.waits) else { return Vec::new() };
    let effect = Effect::Send {
        letter: open.letter,
        attempt: open.attempt,
        user: state.user.clone(),
        items: open.items.clone(),
        more: open.more,
    };
    vec![(format!("send:{}", open.letter), open.attempt, effect)]
}

/// When it wants to be woken, Unix milliseconds.
pub fn timer(state: &Letters) -> Option<i64> {
    match &state.open {
        Some(open) => Some(open.deadline_ms),
        None => [state.ordinary_due_ms(), state.urgent_due_ms()].into_iter().flatten().min(),
    }
}

/// The command a due timer turns into.
pub fn on_timer(state: &Letters, now_ms: i64) -> Option<Command> {
    timer(state).filter(|due| *due <= now_ms).map(|_| Command::Tick)
}

/// The command after tasks were lost.
pub fn on_recovered(state: &Letters) -> Option<Command> {
    (!pending(state).is_empty()).then_some(Command::Recovered)
}

/// Notices that somebody is needed in a conversation.
fn calls_somebody(kind: Kind) -> bool {
    match kind {
        Kind::Escalation | Kind::Emergency => true,
        Kind::Assigned
        | Kind::Lead
        | Kind::Unanswered
        | Kind::TrainingFailed
        | Kind::MissedCall
        | Kind::InvitationAccepted
        | Kind::Summary => false,
    }
}

fn conversation(about: &About) -> Option<&ConversationId> {
    match about {
        About::Conversation(id) => Some(id),
        About::Lead(_) | About::Agent(_) | About::Member(_) | About::Call(_) => None,
    }
}

/// The news that an alert stands for when it is told later, together with others.
fn held_news(about: &ConversationId, urgent: bool) -> News {
    let kind = if urgent { Kind::Emergency } else { Kind::Escalation };
    News { kind, about: About::Conversation(about.clone()), to: None }
}

/// Whose address it is, where that is not known yet.
fn addressed(state: &Letters, cx: &Context, user: Option<UserId>) -> Vec<Event> {
    if state.tenant == cx.principal.tenant && (user.is_none() || state.user == user) {
        return Vec::new();
    }
    let user = user.or_else(|| state.user.clone());
    vec![Event::Addressed { tenant: cx.principal.tenant.clone(), user }]
}

fn retried(cx: &Context) -> Decision<Event, Reply> {
    Decision::event(Event::Retried { deadline_ms: cx.now_ms + DEADLINE_MS }, Reply::Done)
}

fn current(state: &Letters, letter: u64, attempt: u32) -> Result<&Open, Rejection> {
    let open = state.open.as_ref().filter(|open| open.letter == letter && open.attempt == attempt && !open.waits);
    open.ok_or(Rejection::Superseded)
}
