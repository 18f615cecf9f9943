//! The thread of one number with one agent: which conversation its messages belong to, so that a person who changes the channel goes on where they
//! were, and nobody gets into a stranger's conversation.
//!
//! What joins, and what does not:
//! * A carrier signed the number into our webhook. The number's own conversation goes on for `within_ms` after the last word of either side.
//! * Without one, a conversation that wrote to this number itself and is answered now, or whose code was sent from it, becomes the number's own.
//! * If the number has a conversation of its own already, or several wrote to it, the others are **linked**, never merged: people decide.
//! * A number that somebody typed somewhere proves nothing and never gets here.
//!
//! Whom the organization's server vouches for has a thread too, by the keyed hash of the id that it vouched for: what that person says on any
//! device goes on in one conversation (`Belongs`), and a number that the same server vouched for leads there (`Vouch`).
//!
//! It knows numbers by keyed hashes only and holds no words, so an erasure needs to forget nothing but ids.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::{
    check::Checks,
    context::Context,
    decision,
    ids::{AgentId, ConversationId},
    principal::Actor,
    rejection::Rejection,
};

/// The entity's kind in keys; its id is a keyed hash of agent and number.
pub const KIND: &str = "thread";
/// How long a conversation goes on over another channel unless the organization says otherwise, hours.
pub const CONTINUE_WITHIN_HOURS: i64 = 72;
/// The longest that an organization may say, hours: a month.
pub const CONTINUE_WITHIN_HOURS_MAX: i64 = 31 * 24;
/// Vendor's message ids remembered: providers repeat a webhook within minutes to a day, and nobody writes a thousand messages in one.
pub const SEEN_MAX: usize = 1_000;
/// Conversations remembered that wrote to the number: more are no person's.
const WROTE_MAX: usize = 20;
/// Conversations linked by conflicts.
const LINKED_MAX: usize = 50;
/// Characters of a vendor's message id.
const MESSAGE_CHARS_MAX: usize = 200;

/// What a command leads to.
pub type Decision = decision::Decision<Event, Reply>;

/// The number's own conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Own {
    /// Which.
    pub id: ConversationId,
    /// The last word of either side, Unix milliseconds.
    pub active_ms: i64,
}

/// Why a conversation is the number's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// It began with this number.
    Began,
    /// The number answered a message of it.
    Answered,
    /// The number sent its code.
    Code,
    /// A person of the business said so.
    Staff,
    /// The organization's server vouched that the number is that of the conversation's person.
    Vouched,
}

/// The folded state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Thread {
    /// The agent; empty before the first message.
    pub agent: AgentId,
    /// The conversation that goes on.
    pub own: Option<Own>,
    /// Conversations that wrote to the number, with when, oldest first.
    pub wrote: Vec<Own>,
    /// Conversations that claim the same number; for people to look at.
    pub linked: BTreeSet<ConversationId>,
    /// Vendor's message ids and where they went, oldest first.
    pub seen: VecDeque<(String, ConversationId)>,
    /// The sequence number of the last event.
    pub seq: u64,
}

/// What one may ask. All of it is Colloquy's own to ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// The carrier brought a message from the number. Where does it go?
    Heard {
        /// The agent.
        agent: AgentId,
        /// The vendor's id of the message: the same id goes to the same conversation, whatever happened in between.
        message: String,
        /// The id of the conversation if a new one begins.
        fresh: ConversationId,
        /// The conversation whose code it holds.
        code: Option<ConversationId>,
        /// A conversation that turned out to be closed: it is not gone on with.
        closed: Option<ConversationId>,
        /// How long a conversation goes on, ms.
        within_ms: i64,
    },
    /// A conversation is about to write to the number.
    Wrote {
        /// The agent.
        agent: AgentId,
        /// Which conversation.
        conversation: ConversationId,
    },
    /// A person whom the organization's server vouches for is here. Where do they go on?
    Belongs {
        /// The agent.
        agent: AgentId,
        /// Conversations that are this person's by proof, the likeliest first; the first one is taken if there is none yet.
        claims: Vec<ConversationId>,
        /// A conversation that is over, too old or somebody else's: it is not gone on with.
        gone: Option<ConversationId>,
    },
    /// The organization's server vouched that this number is that of a conversation's person.
    Vouch {
        /// The agent.
        agent: AgentId,
        /// Which conversation.
        conversation: ConversationId,
        /// How long a conversation goes on, ms.
        within_ms: i64,
    },
    /// People merged a conversation into another.
    Moved {
        /// Which.
        from: ConversationId,
        /// Into which.
        into: ConversationId,
    },
    /// A conversation was erased.
    Forget {
        /// Which.
        conversation: ConversationId,
    },
    /// Query: the whole state.
    Get,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Where a message goes.
    Goes {
        /// Which conversation.
        conversation: ConversationId,
        /// Why it is the number's, if that is new.
        proof: Option<Proof>,
        /// Conversations that claim the same number and are only linked.
        link: Vec<ConversationId>,
    },
    /// Where a person goes on.
    Person {
        /// Which conversation; none yet.
        conversation: Option<ConversationId>,
        /// Others that are the same person's and are only linked.
        link: Vec<ConversationId>,
    },
    /// Done, or already so.
    Done,
    /// The whole state.
    State(Box<Thread>),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A message of the number went to a conversation.
    Heard {
        /// The agent.
        agent: AgentId,
        /// The vendor's id.
        message: String,
        /// Where it went.
        conversation: ConversationId,
        /// Why it is the number's, if that is new.
        proof: Option<Proof>,
        /// Conversations that claim the same number.
        link: Vec<ConversationId>,
    },
    /// A conversation wrote to the number.
    Wrote {
        /// The agent.
        agent: AgentId,
        /// Which.
        conversation: ConversationId,
    },
    /// A conversation became the one, because the organization's server vouched for its person.
    Vouched {
        /// The agent.
        agent: AgentId,
        /// Which.
        conversation: ConversationId,
        /// Conversations that claim the same person.
        link: Vec<ConversationId>,
    },
    /// People merged a conversation into another.
    Moved {
        /// Which.
        from: ConversationId,
        /// Into which.
        into: ConversationId,
    },
    /// A conversation was erased.
    Forgotten {
        /// Which.
        conversation: ConversationId,
    },
}

/// Decides a command.
///
/// # Errors
/// `NotFound` for anyone but the service itself.
pub fn decide(state: &Thread, cx: &Context, command: Command) -> Result<Decision, Rejection> {
    if cx.principal.actor != Actor::System {
        return Err(Rejection::not_found("thread"));
    }
    match command {
        Command::Heard { agent, message, fresh, code, closed, within_ms } => {
            heard(state, cx, agent, message, fresh, code, closed.as_ref(), within_ms)
        }
        Command::Wrote { agent, conversation } => {
            Ok(Decision::event(Event::Wrote { agent, conversation }, Reply::Done))
        }
        Command::Belongs { agent, claims, gone } => Ok(belongs(state, agent, claims, gone.as_ref())),
        Command::Vouch { agent, conversation, within_ms } => Ok(vouch(state, cx, agent, conversation, within_ms)),
        Command::Moved { from, into } if concerns(state, &from) && from != into => {
            Ok(Decision::event(Event::Moved { from, into }, Reply::Done))
        }
        Command::Forget { conversation } if concerns(state, &conversation) => {
            Ok(Decision::event(Event::Forgotten { conversation }, Reply::Done))
        }
        Command::Moved { .. } | Command::Forget { .. } => Ok(Decision::reply(Reply::Done)),
        Command::Get => Ok(Decision::reply(Reply::State(Box::new(state.clone())))),
    }
}

/// Folds one event. Cannot fail.
pub fn apply(state: &mut Thread, event: &Event, seq: u64, at_ms: i64) {
    match event {
        Event::Heard { agent, message, conversation, link, .. } => {
            state.agent = agent.clone();
            state.own = Some(Own { id: conversation.clone(), active_ms: at_ms });
            state.wrote.retain(|wrote| wrote.id != *conversation && !link.contains(&wrote.id));
            let room = LINKED_MAX.saturating_sub(state.linked.len());
            state.linked.extend(link.iter().take(room).cloned());
            state.seen.retain(|(known, _)| known != message);
            if state.seen.len() >= SEEN_MAX {
                state.seen.pop_front();
            }
            state.seen.push_back((message.clone(), conversation.clone()));
        }
        Event::Wrote { agent, conversation } => {
            state.agent = agent.clone();
            match &mut state.own {
                Some(own) if own.id == *conversation => own.active_ms = at_ms,
                Some(_) | None => {
                    state.wrote.retain(|wrote| wrote.id != *conversation);
                    if state.wrote.len() >= WROTE_MAX {
                        state.wrote.remove(0);
                    }
                    state.wrote.push(Own { id: conversation.clone(), active_ms: at_ms });
                }
            }
        }
        Event::Vouched { agent, conversation, link } => {
            state.agent = agent.clone();
            state.own = Some(Own { id: conversation.clone(), active_ms: at_ms });
            state.wrote.retain(|wrote| wrote.id != *conversation);
            state.linked.remove(conversation);
            let room = LINKED_MAX.saturating_sub(state.linked.len());
            state.linked.extend(link.iter().take(room).cloned());
        }
        Event::Moved { from, into } => {
            for own in state.own.iter_mut().chain(&mut state.wrote).filter(|own| own.id == *from) {
                own.id = into.clone();
            }
            for (_, conversation) in state.seen.iter_mut().filter(|(_, conversation)| conversation == from) {
                *conversation = into.clone();
            }
            if state.linked.remove(from) {
                state.linked.insert(into.clone());
            }
        }
        Event::Forgotten { conversation } => {
            state.own = state.own.take().filter(|own| own.id != *conversation);
            state.wrote.retain(|wrote| wrote.id != *conversation);
            state.linked.remove(conversation);
            state.seen.retain(|(_, known)| known != conversation);
        }
    }
    state.seq = seq;
}

#[expect(clippy::too_many_arguments, reason = "the fields of one command")]
fn heard(
    state: &Thread,
    cx: &Context,
    agent: AgentId,
    message: String,
    fresh: ConversationId,
    code: Option<ConversationId>,
    closed: Option<&ConversationId>,
    within_ms: i64,
) -> Result<Decision, Rejection> {
    let mut checks = Checks::default();
    checks.line("message", &message, 1, MESSAGE_CHARS_MAX);
    checks.ensure(!fresh.0.is_empty(), "fresh", "must name a conversation");
    checks.finish()?;
    if let Some((_, conversation)) = state.seen.iter().find(|(known, _)| *known == message)
        && Some(conversation) != closed
    {
        let goes = Reply::Goes { conversation: conversation.clone(), proof: None, link: Vec::new() };
        return Ok(Decision::reply(goes));
    }
    let recent = |own: &&Own| cx.now_ms.saturating_sub(own.active_ms) <= within_ms && Some(&own.id) != closed;
    let own = state.own.as_ref().filter(recent).map(|own| own.id.clone());
    let code = code.filter(|code| Some(code) != closed);
    // The same message asked about again, because where it went turned out to be closed, must not join anything else by being heard twice.
    let wrote: Vec<ConversationId> = state.wrote.iter().filter(recent).map(|wrote| wrote.id.clone()).collect();
    let (conversation, proof) = match (own, &code, wrote.as_slice()) {
        (Some(own), _, _) => (own, None),
        (None, Some(code), _) => (code.clone(), Some(Proof::Code)),
        (None, None, [only]) => (only.clone(), Some(Proof::Answered)),
        (None, None, _) => (fresh, Some(Proof::Began)),
    };
    let mut link: Vec<ConversationId> = code.into_iter().chain(wrote).filter(|other| *other != conversation).collect();
    link.dedup();
    let event = Event::Heard { agent, message, conversation: conversation.clone(), proof, link: link.clone() };
    Ok(Decision::event(event, Reply::Goes { conversation, proof, link }))
}

/// The person's own conversation stays the one; the first that is theirs by proof becomes it. All others are linked, once.
fn belongs(state: &Thread, agent: AgentId, claims: Vec<ConversationId>, gone: Option<&ConversationId>) -> Decision {
    let own = state.own.as_ref().map(|own| own.id.clone()).filter(|own| Some(own) != gone);
    let Some(conversation) = own.or_else(|| claims.first().cloned()) else {
        return Decision::reply(Reply::Person { conversation: None, link: Vec::new() });
    };
    let link = others(state, claims, &conversation);
    let reply = Reply::Person { conversation: Some(conversation.clone()), link: link.clone() };
    if link.is_empty() && state.own.as_ref().is_some_and(|own| own.id == conversation) {
        return Decision::reply(reply);
    }
    Decision::event(Event::Vouched { agent, conversation, link }, reply)
}

/// A number without a conversation of its own gets that of its person; one that has another stays where it is, and people are shown both.
fn vouch(state: &Thread, cx: &Context, agent: AgentId, conversation: ConversationId, within_ms: i64) -> Decision {
    let recent = |own: &&Own| cx.now_ms.saturating_sub(own.active_ms) <= within_ms;
    let own = state.own.as_ref().filter(recent).map(|own| own.id.clone());
    let claims = own.iter().cloned().chain([conversation]).collect::<Vec<_>>();
    let goes = claims[0].clone();
    let link = others(state, claims, &goes);
    let reply = Reply::Person { conversation: Some(goes.clone()), link: link.clone() };
    if link.is_empty() && own.is_some() {
        return Decision::reply(reply);
    }
    Decision::event(Event::Vouched { agent, conversation: goes, link }, reply)
}

/// Those of `claims` that are not the one and not linked yet.
fn others(state: &Thread, claims: Vec<ConversationId>, one: &ConversationId) -> Vec<ConversationId> {
    claims.into_iter().filter(|other| other != one && !state.linked.contains(other)).collect()
}

fn concerns(state: &Thread, conversation: &ConversationId) -> bool {
    state.own.iter().chain(&state.wrote).any(|own| own.id == *conversation)
        || state.linked.contains(conversation)
        || state.seen.iter().any(|(_, known)| known == conversation)
}
