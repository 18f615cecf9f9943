//! The conversation entity: one dialogue with one person, whatever the channels. It alone decides who may speak.
//!
//! Reading order: [`state`], [`command`], [`event`]; then the rules by who acts (`post`, `turn`, `people`, `visitor`, `alerts`, `leads`, `handed`, [`delivery`] with [`attachment`], [`spoken`] with [`errand`], [`merge`]); then
//! [`dialogue`], the pure functions an answer is made with; [`retrieved`], [`prompt`], [`confidential`] and [`guard`] for knowledge and models; [`view`], what others see.

pub mod alerts;
mod apply;
pub mod attachment;
pub mod command;
pub mod confidential;
pub mod contacting;
pub mod delivery;
#[cfg(test)]
mod delivery_tests;
pub mod dialogue;
pub mod errand;
pub mod event;
pub mod guard;
#[cfg(test)]
mod guard_tests;
mod handed;
#[cfg(test)]
mod invariants;
mod leads;
pub mod merge;
mod numbers;
mod people;
mod post;
pub mod prompt;
mod questions;
pub mod retrieved;
pub mod spoken;
#[cfg(test)]
mod spoken_tests;
pub mod state;
#[cfg(test)]
mod tests;
mod trace;
mod turn;
pub mod view;
mod visitor;

pub use apply::apply;
pub use attachment::{Attachment, FileType, FileView};
pub use command::{Answer, Command, Outcome, Post, Posted, Reply, SubmitLead};
pub use delivery::{Carried, Line, Order, Outgoing};
pub use dialogue::Prompt;
pub use errand::{Errand, Wish};
pub use event::{Event, Said};
pub use leads::{NEED, knowledge_message, lead_message, qualified};
pub use numbers::numbers;
pub use questions::{AskedQuestion, questions};
pub use retrieved::{FaqHit, KnowledgeAnswer, Passage, Retrieved, SourceRef};
pub use spoken::{CallBegun, CallLink, Spoken, never_again};
pub use state::{Alert, AlertLine, Floor, Message, MessageStatus, State, Terms, TurnOutcome, Visitor};
pub use trace::{RetrievedRef, Stages, Tokens, Trace};
pub(crate) use turn::calls_a_person;

use crate::{
    context::Context,
    decision,
    ids::{MessageId, TurnId},
    principal::{Actor, Role},
    rejection::Rejection,
};

/// The entity's kind in keys.
pub const KIND: &str = "conversation";

/// What a command leads to.
pub type Decision = decision::Decision<Event, Reply>;

/// Work outside the core.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Repeatable: understand, search, answer. Its result comes back as [`Command::Answered`] or [`Command::TurnFailed`].
    AnswerTurn {
        /// The turn.
        turn: TurnId,
        /// Which attempt.
        attempt: u32,
        /// The answer's id, for streamed tokens.
        answer_id: MessageId,
    },
    /// Keyed (e-mail, by the alert's id) or once only (SMS): [`Command::AlertAttempt`] comes first, then [`Command::AlertDone`] or [`Command::AlertFailed`].
    SendAlert {
        /// The alert.
        alert: Box<state::Alert>,
    },
    /// Once only: [`Command::SendAttempt`] comes first, then [`Command::HandedOver`] or [`Command::SendFailed`]. One whose attempt is journaled
    /// already is looked up at the provider, never repeated.
    Send {
        /// What is to be sent.
        outgoing: Box<delivery::Outgoing>,
    },
    /// An attempt whose outcome is unknown: looked up at the provider, never blindly repeated.
    CheckAlert {
        /// The alert.
        alert: Box<state::Alert>,
    },
}

/// Decides a command.
///
/// # Errors
/// A [`Rejection`] in words for the user; nothing changes then.
pub fn decide(state: &State, cx: &Context, command: Command) -> Result<Decision, Rejection> {
    if state.exists() {
        cx.bound_to(&state.tenant, "conversation")?;
    } else if !matches!(
        command,
        Command::Post(_) | Command::CallBegan(_) | Command::Voicemail { .. } | Command::Fork { .. }
    ) {
        return Err(Rejection::not_found("conversation"));
    }
    match command {
        Command::Post(post) => post::post(state, cx, *post),
        Command::Brief { turn, attempt } => system(cx).and_then(|()| turn::brief(state, &turn, attempt)),
        Command::Understood { turn, attempt, understanding } => {
            system(cx).and_then(|()| turn::understood(state, cx, &turn, attempt, understanding))
        }
        Command::Answered(answer) => system(cx).and_then(|()| turn::answered(state, cx, *answer)),
        Command::TurnFailed { turn, attempt, reason } => {
            system(cx).and_then(|()| turn::failed(state, cx, &turn, attempt, &reason))
        }
        Command::Outcome { turn } => own(state, cx).and_then(|()| turn::outcome(state, &turn)),
        Command::Takeover => people::takeover(state, cx),
        Command::Handback => people::handback(state, cx),
        Command::HumanMessage { client_message_id, text, channel, files } => {
            people::say(state, cx, client_message_id, &text, channel, files)
        }
        Command::Whisper { text } => people::whisper(state, cx, &text),
        Command::Update { status, urgency, assigned_to } => people::update(state, cx, status, urgency, assigned_to),
        Command::MarkRead { seq } => people::mark_read(state, cx, seq),
        Command::Rate { rating, feedback } => visitor::rate(state, cx, rating, feedback),
        Command::Feedback { message_id, thumbs_up, feedback } => {
            visitor::feedback(state, cx, &message_id, thumbs_up, feedback)
        }
        Command::SubmitLead(form) => visitor::submit_lead(state, cx, *form),
        Command::Identify { external_id, name, email, phone } => {
            visitor::identify(state, cx, external_id, name, email, phone)
        }
        Command::Claim { person, external_id, number } => {
            visitor::claim(state, cx, person, &external_id, number.as_deref())
        }
        Command::Close => visitor::close(state, cx),
        Command::Voicemail { call, text } => spoken::voicemail(state, cx, *call, &text),
        Command::AlertAttempt { id, attempt, line } => {
            system(cx).and_then(|()| alerts::attempt(state, &id, attempt, line))
        }
        Command::AlertDone { id, attempt, recorded } => {
            system(cx).and_then(|()| alerts::done(state, &id, attempt, recorded))
        }
        Command::AlertFailed { id, attempt, error, retry } => {
            system(cx).and_then(|()| alerts::failed(state, cx, &id, attempt, &error, retry))
        }
        Command::OpenLine { channel, line } => {
            merge::worker(state, cx).map(|()| delivery::open_line(state, channel, *line))
        }
        Command::SendAttempt { message_id, part, of, attempt } => {
            system(cx).and_then(|()| delivery::attempt(state, &message_id, part, of, attempt))
        }
        Command::HandedOver { message_id, part, attempt, provider_id } => {
            system(cx).and_then(|()| delivery::handed_over(state, &message_id, part, attempt, provider_id))
        }
        Command::SendFailed { message_id, part, attempt, reason, retry_ms } => {
            system(cx).and_then(|()| delivery::failed(state, cx, &message_id, part, attempt, &reason, retry_ms))
        }
        Command::Receipt { message_id, part, provider_id, status, error } => {
            system(cx).and_then(|()| delivery::receipt(state, &message_id, part, provider_id, status, error))
        }
        Command::CallBegan(call) => spoken::began(state, cx, *call),
        Command::CallEnded { call } => spoken::ended(state, cx, &call),
        Command::TransferFailed { call, at_ms, to, why, phone } => {
            handed::untaken(state, cx, &call, at_ms, to, why, phone.as_deref())
        }
        Command::Speak { call, client_id, text } => spoken::say(state, cx, &call, client_id, &text),
        Command::HeardOnly { call, heard } => spoken::heard(state, cx, &call, &heard),
        Command::Link { with } => system(cx).map(|()| delivery::link(state, with)),
        Command::MakeJoinCode { code } => own(state, cx).and_then(|()| merge::make_code(state, cx, code)),
        Command::MergeInto { into } => merge::merge_into(state, cx, into),
        Command::Absorb(absorbed) => merge::absorb(state, cx, *absorbed),
        Command::Tick { due_ms: _ } => system(cx).and_then(|()| turn::tick(state, cx)),
        Command::Recovered => system(cx).and_then(|()| turn::recovered(state, cx)),
        Command::Fork { id, from, at, state: forked } => post::fork(state, cx, id, from, at, forked),
        Command::Get => own(state, cx).map(|()| Decision::reply(Reply::State(Box::new(state.clone())))),
    }
}

/// What is still to be done, from state alone: stable name, attempt, effect.
pub fn pending(state: &State) -> Vec<(String, u32, Effect)> {
    let mut pending = Vec::new();
    if let (Some(open), state::Floor::Assistant) = (&state.open, &state.floor) {
        let effect =
            Effect::AnswerTurn { turn: open.id.clone(), attempt: open.attempt, answer_id: open.answer_id.clone() };
        pending.push((format!("answer:{}", open.id), open.attempt, effect));
    }
    pending.extend(alerts::pending(state));
    pending.extend(delivery::pending(state));
    pending
}

/// When it wants to be woken, Unix milliseconds.
pub fn timer(state: &State) -> Option<i64> {
    if !state.exists() {
        return None;
    }
    let deadline = state.open.as_ref().map(|open| open.deadline_ms);
    let idle =
        (state.goes_on() && state.open.is_none()).then_some(state.active_at_ms.saturating_add(state::IDLE_AFTER_MS));
    [deadline, idle, alerts::timer(state), delivery::timer(state)].into_iter().flatten().min()
}

/// The command that a due timer turns into.
pub fn on_timer(state: &State, now_ms: i64) -> Option<Command> {
    timer(state).filter(|due| *due <= now_ms).map(|due_ms| Command::Tick { due_ms })
}

/// The command after an activation that follows a crash or a move with a turn open.
pub fn on_recovered(state: &State) -> Option<Command> {
    state.open.as_ref().map(|_| Command::Recovered)
}

/// Only Colloquy itself brings results back.
fn system(cx: &Context) -> Result<(), Rejection> {
    match cx.principal.actor {
        Actor::System => Ok(()),
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::Visitor { .. } | Actor::Platform { .. } => {
            Err(Rejection::forbidden("this is done by the service itself"))
        }
    }
}

/// A visitor reaches only the own conversation; everyone else of the tenant needs a role.
fn own(state: &State, cx: &Context) -> Result<(), Rejection> {
    match &cx.principal.actor {
        Actor::Visitor { id, agent } => {
            if *id == state.visitor.id && *agent == state.agent_id {
                Ok(())
            } else {
                Err(Rejection::not_found("conversation"))
            }
        }
        Actor::ApiKey { agent: Some(agent), .. } if *agent != state.agent_id => {
            Err(Rejection::not_found("conversation"))
        }
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::Platform { .. } | Actor::System => Ok(()),
    }
}

/// A person of the tenant who may work on conversations.
fn person(state: &State, cx: &Context) -> Result<state::Author, Rejection> {
    own(state, cx)?;
    let author = match &cx.principal.actor {
        Actor::User { id, name, .. } => state::Author { id: id.clone(), name: name.clone() },
        Actor::ApiKey { id, .. } => state::Author { id: format!("key:{id}").into(), name: "Team".to_owned() },
        Actor::Platform { id } => state::Author { id: id.clone(), name: "Support".to_owned() },
        Actor::Visitor { .. } => return Err(Rejection::not_found("conversation")),
        Actor::System => return Err(Rejection::forbidden("only a person can do this")),
    };
    if cx.principal.at_least(Role::Rep) {
        Ok(author)
    } else {
        Err(Rejection::forbidden("this needs the role rep or above"))
    }
}
