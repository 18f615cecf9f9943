//! A visitor says something; and the beginning of a sandbox.

use super::{
    Decision, Event, Reply, State,
    command::{Post, Posted},
    event::{Opening, Said},
    own,
    state::{Floor, MESSAGE_CHARS_MAX, MESSAGES_MAX, TURN_DEADLINE_MS, Visitor},
};
use crate::{
    context::Context,
    demo,
    ids::{ConversationId, MessageId, TurnId},
    principal::{Actor, Role},
    rejection::Rejection,
    text,
};

/// Characters of a page address, referrer or browser name that are kept.
const FACT_CHARS_MAX: usize = 2_000;
/// Characters of a client's own id.
const CLIENT_ID_CHARS_MAX: usize = 200;
/// Room left for the answer and a person's last words when the hard limit is near.
const MESSAGES_RESERVE: usize = 4;

pub(super) fn post(state: &State, cx: &Context, post: Post) -> Result<Decision, Rejection> {
    let staff = cx.principal.at_least(Role::Rep);
    if state.exists() {
        own(state, cx)?;
    } else if let Actor::Visitor { agent, .. } = &cx.principal.actor
        && (*agent != post.agent_id || post.continues)
    {
        return Err(Rejection::not_found("conversation"));
    }
    if let Some(seen) = post.client_message_id.as_ref().and_then(|id| state.seen.get(id)) {
        // A retried message has already happened.
        let answer_id = seen
            .turn
            .as_ref()
            .and_then(|turn| state.open.as_ref().filter(|open| open.id == *turn))
            .map(|open| open.answer_id.clone());
        let posted = Posted {
            message_id: MessageId(seen.id.clone()),
            seq: seen.seq,
            turn: seen.turn.clone(),
            answer_id,
            repeated: true,
        };
        return Ok(Decision::reply(Reply::Posted(posted)));
    }
    check_text("message", &post.text, MESSAGE_CHARS_MAX)?;
    if post.client_message_id.as_ref().is_some_and(|id| id.is_empty() || id.chars().count() > CLIENT_ID_CHARS_MAX) {
        return Err(Rejection::invalid("client_message_id", format!("1 to {CLIENT_ID_CHARS_MAX} characters")));
    }
    if state.closed.is_some() {
        return Err(Rejection::conflict("conversation_closed", "this conversation has ended; please start a new one"));
    }
    if state.messages.len() + MESSAGES_RESERVE >= MESSAGES_MAX {
        return Err(Rejection::conflict(
            "conversation_closed",
            "this conversation is too long; please start a new one",
        ));
    }
    if !post.agent_live && !staff {
        return Err(Rejection::conflict("agent_not_live", "this agent does not answer at the moment"));
    }
    let mut events = Vec::new();
    if !state.exists() {
        if post.conversation_id.0.is_empty() {
            return Err(Rejection::invalid("conversation_id", "missing"));
        }
        events.push(Event::Started {
            id: post.conversation_id.clone(),
            tenant: cx.principal.tenant.clone(),
            agent_id: post.agent_id.clone(),
            visitor: Box::new(bounded(post.visitor)),
            channel: post.channel,
            // What visitors say to the demonstration reaches nobody.
            sandbox: demo::is_sandboxed(cx.principal.tenant.as_str()),
        });
    } else if !super::dialogue::goes_on(state.status) {
        events.push(Event::Reopened);
    }
    if let Some(spoken) = &post.spoken {
        super::spoken::before(state, cx, spoken, &mut events)?;
    }
    let carried = post.carried.map(|carried| *carried);
    if let Some(carried) = &carried {
        // Who wrote is what the carrier signed; nobody else may say so.
        if cx.principal.actor != Actor::System {
            return Err(Rejection::forbidden("this is done by the service itself"));
        }
        super::delivery::line_events(state, post.channel, carried.line.clone(), &mut events);
    }
    let order = carried.as_ref().and_then(|carried| carried.order.clone());
    let opening = match state.floor {
        // An order such as STOP is obeyed, not discussed.
        Floor::Assistant if order.is_some() => None,
        Floor::Assistant => Some(opening(state, cx)),
        // While a person holds the floor the assistant is silent.
        Floor::Person { .. } => None,
    };
    let message_id = MessageId(cx.fresh_id(0));
    let posted = Posted {
        message_id: message_id.clone(),
        seq: cx.seq + events.len() as u64 + 1,
        turn: opening.as_ref().map(|opening| opening.turn.clone()),
        answer_id: opening.as_ref().map(|opening| opening.answer_id.clone()),
        repeated: false,
    };
    events.push(Event::Posted {
        message_id,
        client_message_id: post.client_message_id,
        channel: post.channel,
        text: post.text,
        opening,
        terms: Box::new(post.terms),
        attachments: carried.map(|carried| carried.attachments).unwrap_or_default(),
        spoken: post.spoken,
    });
    if let Some(reply) = order.and_then(|order| order.reply) {
        let said = Said { message_id: MessageId(cx.fresh_id(4)), text: reply };
        events.push(Event::OrderAnswered { said, channel: post.channel });
    }
    Ok(Decision::new(events, Reply::Posted(posted)))
}

/// Begins a sandbox from another conversation's state.
pub(super) fn fork(
    state: &State,
    cx: &Context,
    id: ConversationId,
    from: ConversationId,
    at: u64,
    forked: Box<State>,
) -> Result<Decision, Rejection> {
    if !cx.principal.at_least(Role::Rep) {
        return Err(Rejection::forbidden("this needs the role rep or above"));
    }
    if state.exists() {
        // A retried fork has already happened.
        return if state.id == id && state.sandbox {
            Ok(Decision::reply(Reply::Done))
        } else {
            Err(Rejection::conflict("exists", "this conversation already exists"))
        };
    }
    cx.bound_to(&forked.tenant, "conversation")?;
    if !forked.exists() || id.0.is_empty() {
        return Err(Rejection::not_found("conversation"));
    }
    // The new id travels in the state, so that the event needs nothing else.
    let mut forked = forked;
    forked.id = id;
    Ok(Decision::event(Event::Forked { from, at, state: forked }, Reply::Done))
}

/// A turn that begins now and replaces the open one, whose messages its answer will cover.
pub(super) fn opening(state: &State, cx: &Context) -> Opening {
    Opening {
        turn: TurnId(format!("turn-{}", state.turns.len() + 1)),
        answer_id: MessageId(cx.fresh_id(1)),
        deadline_ms: cx.now_ms.saturating_add(TURN_DEADLINE_MS),
        supersedes: state.open.as_ref().map(|open| open.id.clone()),
    }
}

/// Refuses an empty or too long text.
pub(super) fn check_text(field: &str, text: &str, max_chars: usize) -> Result<(), Rejection> {
    if text.trim().is_empty() {
        return Err(Rejection::invalid(field, "must not be empty"));
    }
    if text.chars().count() > max_chars {
        return Err(Rejection::invalid(field, format!("at most {max_chars} characters")));
    }
    Ok(())
}

pub(super) fn bounded(mut visitor: Visitor) -> Visitor {
    for fact in [
        &mut visitor.name,
        &mut visitor.email,
        &mut visitor.phone,
        &mut visitor.external_id,
        &mut visitor.ip,
        &mut visitor.city,
        &mut visitor.region,
        &mut visitor.country,
        &mut visitor.page_url,
        &mut visitor.referrer,
        &mut visitor.locale,
        &mut visitor.user_agent,
    ]
    .into_iter()
    .flatten()
    {
        *fact = text::shorten(&text::one_line(fact), FACT_CHARS_MAX);
    }
    visitor
}
