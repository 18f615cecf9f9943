//! Several conversations of one person: a code that proves it, links where two claim the same person, and merging by hand.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    Decision, Event, Reply, State,
    delivery::Line,
    person,
    state::{CloseReason, Contact, JoinCode, Visitor},
};
use crate::{
    context::Context,
    ids::ConversationId,
    principal::Actor,
    rejection::Rejection,
    vocabulary::{Channel, ConversationStatus},
};

/// How long a code is good, ms: long enough to take out a telephone, short enough that nobody finds it in a drawer.
pub const JOIN_CODE_MS: i64 = 30 * 60 * 1000;
/// Conversations linked with one: more are no person's.
pub(super) const LINKS_MAX: usize = 50;
/// Characters of a code, the hyphen among them.
const CODE_CHARS: usize = 9;

/// What a conversation brings along that is merged into another one. Its messages stay where they are, one link away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Absorbed {
    /// Which conversation.
    pub from: ConversationId,
    /// Where its person is reached.
    pub lines: BTreeMap<Channel, Line>,
    /// All its channels.
    pub channels: BTreeSet<Channel>,
    /// How to reach its person, from what was said.
    pub contact: Contact,
    /// Who its person is, as far as it is vouched for.
    pub visitor: Visitor,
    /// Values of forms by field: nothing is asked twice.
    pub values: BTreeMap<String, String>,
}

impl Absorbed {
    /// What a conversation brings along.
    pub fn of(state: &State) -> Self {
        Self {
            from: state.id.clone(),
            lines: state.lines.clone(),
            channels: state.channels.clone(),
            contact: state.contact.clone(),
            visitor: state.visitor.clone(),
            values: state.dialogue.values.clone(),
        }
    }
}

/// Gives the visitor a code to go on with over another channel. The newest one is good.
pub(super) fn make_code(state: &State, cx: &Context, code: String) -> Result<Decision, Rejection> {
    if state.closed.is_some() {
        return Err(Rejection::conflict("conversation_closed", "this conversation has ended; please start a new one"));
    }
    let shaped = code.chars().count() == CODE_CHARS
        && code.chars().all(|c| c == '-' || c.is_ascii_uppercase() || c.is_ascii_digit());
    if !shaped {
        return Err(Rejection::invalid("code", "must be two groups of four letters or digits"));
    }
    let join = JoinCode { code, until_ms: cx.now_ms.saturating_add(JOIN_CODE_MS) };
    Ok(Decision::event(Event::JoinCodeMade { join }, Reply::Done))
}

/// Ends this conversation: the person goes on in another one.
pub(super) fn merge_into(state: &State, cx: &Context, into: ConversationId) -> Result<Decision, Rejection> {
    let by = person(state, cx)?;
    if into == state.id || into.0.is_empty() {
        return Err(Rejection::invalid("into", "must be another conversation"));
    }
    match &state.merged_into {
        Some(done) if *done == into => return Ok(Decision::reply(Reply::Done)),
        Some(_) => return Err(Rejection::conflict("already_merged", "this conversation was merged into another one")),
        None => {}
    }
    if state.sandbox {
        return Err(Rejection::conflict("sandbox", "a sandbox is nobody's conversation and cannot be merged"));
    }
    let silenced = state.open.as_ref().map(|open| open.id.clone());
    let events = vec![
        Event::MergedInto { into, by: by.id },
        Event::Closed { reason: CloseReason::Merged, status: ConversationStatus::Resolved, silenced },
    ];
    Ok(Decision::new(events, Reply::Done))
}

/// Takes over what another conversation brings along.
pub(super) fn absorb(state: &State, cx: &Context, absorbed: Absorbed) -> Result<Decision, Rejection> {
    super::system(cx)?;
    if absorbed.from == state.id || state.sandbox {
        return Err(Rejection::conflict("sandbox", "these two cannot be merged"));
    }
    Ok(Decision::event(Event::Absorbed(Box::new(absorbed)), Reply::Done))
}

/// Folds what another conversation brought along: it fills what is not known here, and replaces nothing. The answer is what the person was known by
/// there, for whoever asks to be forgotten.
pub(super) fn absorbed(state: &mut State, absorbed: &Absorbed) -> Contact {
    for (channel, line) in &absorbed.lines {
        state.lines.entry(*channel).or_insert_with(|| line.clone());
    }
    state.channels.extend(absorbed.channels.iter().copied());
    for (name, value) in &absorbed.values {
        state.dialogue.values.entry(name.clone()).or_insert_with(|| value.clone());
    }
    let (contact, visitor) = (&mut state.contact, &mut state.visitor);
    for (own, new) in [
        (&mut contact.name, &absorbed.contact.name),
        (&mut contact.email, &absorbed.contact.email),
        (&mut contact.phone, &absorbed.contact.phone),
        (&mut visitor.name, &absorbed.visitor.name),
        (&mut visitor.email, &absorbed.visitor.email),
        (&mut visitor.phone, &absorbed.visitor.phone),
        (&mut visitor.external_id, &absorbed.visitor.external_id),
    ] {
        if own.is_none() {
            own.clone_from(new);
        }
    }
    state.links.insert(absorbed.from.clone());
    let vouched = &absorbed.visitor;
    Contact {
        name: None,
        email: absorbed.contact.email.clone().or_else(|| vouched.email.clone()),
        phone: vouched.phone.clone().or_else(|| absorbed.contact.phone.clone()),
    }
}

/// Colloquy itself, or a person who may work on conversations.
pub(super) fn worker(state: &State, cx: &Context) -> Result<(), Rejection> {
    match cx.principal.actor {
        Actor::System => Ok(()),
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::Visitor { .. } | Actor::Platform { .. } => {
            person(state, cx).map(|_| ())
        }
    }
}
