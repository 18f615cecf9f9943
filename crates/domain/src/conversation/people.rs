//! What people of the tenant do: take the floor and give it back, write, whisper, change status.

use super::{
    Decision, Event, Reply, State,
    attachment::{self, Attachment},
    delivery, person, post,
    state::{Author, Floor, MESSAGE_CHARS_MAX, MESSAGES_MAX, WHISPER_CHARS_MAX, WHISPERS_MAX},
};
use crate::{
    context::Context,
    ids::{MessageId, UserId},
    principal::Role,
    rejection::Rejection,
    vocabulary::{Channel, ConversationStatus, MessageRole, Urgency},
};

/// Takes the floor; the assistant is silent from here, also if its answer was half streamed.
pub(super) fn takeover(state: &State, cx: &Context) -> Result<Decision, Rejection> {
    let by = person(state, cx)?;
    match &state.floor {
        Floor::Person { user, .. } if *user == by.id => Ok(Decision::reply(Reply::Done)),
        Floor::Person { name, .. } if !cx.principal.at_least(Role::Manager) => {
            Err(Rejection::conflict("floor_taken", format!("{name} is already writing with this visitor")))
        }
        Floor::Person { .. } | Floor::Assistant => Ok(Decision::event(taken(state, by), Reply::Done)),
    }
}

/// Gives the floor back. What the visitor said meanwhile and nobody answered, the assistant answers.
pub(super) fn handback(state: &State, cx: &Context) -> Result<Decision, Rejection> {
    let by = person(state, cx)?;
    match &state.floor {
        Floor::Assistant => Ok(Decision::reply(Reply::Done)),
        Floor::Person { user, name } if *user != by.id && !cx.principal.at_least(Role::Manager) => {
            Err(Rejection::conflict("floor_taken", format!("only {name} or a manager can hand this back")))
        }
        Floor::Person { .. } => {
            let waiting =
                state.closed.is_none() && state.visible().last().is_some_and(|last| last.role == MessageRole::User);
            let opening = waiting.then(|| post::opening(state, cx));
            Ok(Decision::event(Event::HandedBack { by: by.id, opening }, Reply::Done))
        }
    }
}

/// Says something to the visitor; takes the floor if the assistant has it.
pub(super) fn say(
    state: &State,
    cx: &Context,
    client_message_id: Option<String>,
    text: &str,
    channel: Option<Channel>,
    files: Vec<Attachment>,
) -> Result<Decision, Rejection> {
    let author = person(state, cx)?;
    if let Some(seen) = client_message_id.as_ref().and_then(|id| state.seen.get(id)) {
        return Ok(Decision::reply(Reply::Said { message_id: MessageId(seen.id.clone()), seq: seen.seq }));
    }
    if files.is_empty() || !text.trim().is_empty() {
        post::check_text("content", text, MESSAGE_CHARS_MAX)?;
    }
    if state.messages.len() >= MESSAGES_MAX {
        return Err(Rejection::conflict("conversation_full", "this conversation is too long; please start a new one"));
    }
    let channel = channel.unwrap_or_else(|| state.messages.last().map_or(state.channel, |message| message.channel));
    delivery::sayable(state, cx, channel)?;
    attachment::sendable(state, &files, channel, cx.now_ms)?;
    let mut events = Vec::new();
    match state.floor {
        Floor::Assistant => events.push(taken(state, author.clone())),
        Floor::Person { .. } => {}
    }
    let message_id = MessageId(cx.fresh_id(2));
    let seq = cx.seq + events.len() as u64 + 1;
    events.push(Event::HumanSaid {
        message_id: message_id.clone(),
        client_message_id,
        author,
        channel,
        text: text.to_owned(),
        files,
    });
    Ok(Decision::new(events, Reply::Said { message_id, seq }))
}

/// Tells the assistant something for its next answer.
pub(super) fn whisper(state: &State, cx: &Context, text: &str) -> Result<Decision, Rejection> {
    let author = person(state, cx)?;
    post::check_text("content", text, WHISPER_CHARS_MAX)?;
    if state.messages.iter().filter(|message| message.whisper && !message.used).count() >= WHISPERS_MAX {
        return Err(Rejection::conflict("too_many_whispers", "the assistant has not used the earlier ones yet"));
    }
    if state.messages.len() >= MESSAGES_MAX {
        return Err(Rejection::conflict("conversation_full", "this conversation is too long; please start a new one"));
    }
    let message_id = MessageId(cx.fresh_id(3));
    let said = Reply::Said { message_id: message_id.clone(), seq: cx.seq + 1 };
    Ok(Decision::event(Event::Whispered { message_id, author, text: text.to_owned() }, said))
}

/// Changes how it is handled; what is already so changes nothing.
#[expect(clippy::option_option, reason = "a PATCH tells absent from null")]
pub(super) fn update(
    state: &State,
    cx: &Context,
    status: Option<ConversationStatus>,
    urgency: Option<Urgency>,
    assigned_to: Option<Option<UserId>>,
) -> Result<Decision, Rejection> {
    person(state, cx)?;
    let mut events = Vec::new();
    events.extend(status.filter(|status| *status != state.status).map(|status| Event::StatusSet { status }));
    events.extend(urgency.filter(|urgency| *urgency != state.urgency).map(|urgency| Event::UrgencySet { urgency }));
    events.extend(assigned_to.filter(|to| *to != state.assigned_to).map(|to| Event::Assigned { to }));
    Ok(Decision::new(events, Reply::Done))
}

/// Notes how far a person has read; never backwards, never ahead.
pub(super) fn mark_read(state: &State, cx: &Context, seq: u64) -> Result<Decision, Rejection> {
    let by = person(state, cx)?;
    let seq = seq.min(cx.seq);
    if state.read.get(&by.id).is_some_and(|read| *read >= seq) {
        return Ok(Decision::reply(Reply::Done));
    }
    Ok(Decision::event(Event::Read { user: by.id, seq }, Reply::Done))
}

fn taken(state: &State, by: Author) -> Event {
    Event::TakenOver { by, silenced: state.open.as_ref().map(|open| open.id.clone()) }
}
