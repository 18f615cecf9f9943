//! What is said in a call: it begins and ends within the conversation, words that a caller goes on with replace what was taken for all of them, and of
//! our own words only those stand that the caller got to hear.
//!
//! A provider asks for an answer whenever the caller seems to have finished, and asks again when he goes on: the longer words **revise** the
//! shorter ones, and what these had led to in the dialogue is taken back. What has left for other places meanwhile stays done; each of those is
//! named after what it is for and is not done twice.

use serde::{Deserialize, Serialize};

use super::{
    Decision, Event, Reply, State,
    dialogue::{Dialogue, FormProgress},
    errand::{Errand, Wish},
    event::Said,
    state::{Contact, MESSAGE_CHARS_MAX, MESSAGES_MAX, Message, Terms, Visitor},
};
use crate::{
    context::Context,
    demo,
    ids::{AgentId, CallId, ConversationId, MessageId},
    rejection::Rejection,
    text,
    vocabulary::{Channel, MessageRole, Urgency},
};

/// Calls of one conversation: more than anybody makes about one thing.
pub const CALLS_MAX: usize = 200;

/// A call that belongs to a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallLink {
    /// Which.
    pub id: CallId,
    /// When it began, Unix milliseconds.
    pub began_ms: i64,
    /// When it ended, Unix milliseconds.
    pub ended_ms: Option<i64>,
    /// Appointments that stood when it began.
    pub agreed_before: usize,
    /// The number of the person, E.164, as the carrier says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// What it was made for and came to, once it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errand: Option<Box<Errand>>,
}

/// Words of a caller, as a provider heard them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spoken {
    /// In which call.
    pub call: CallId,
    /// How often the caller has had the floor, from 1. The same number again: the caller went on.
    pub turn: u32,
    /// What the caller heard of us since having the floor before, where the provider says so; all of it otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<String>,
    /// Typed on the page of a test call: whoever reads along does not wait for the voice, and talks over nobody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub typed: bool,
}

/// A call that begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallBegun {
    /// The conversation's id, if it begins with this call.
    pub conversation_id: ConversationId,
    /// The agent.
    pub agent_id: AgentId,
    /// Which call.
    pub call: CallId,
    /// Who; used if the conversation begins with it.
    pub visitor: Visitor,
    /// Under which configuration.
    pub terms: Terms,
    /// What is said first; nothing if the other side speaks first.
    #[serde(default)]
    pub greeting: Option<String>,
    /// The number of the person, E.164, as the carrier says.
    #[serde(default)]
    pub person: Option<String>,
    /// What it is made for, if we make it.
    #[serde(default)]
    pub errand: Option<Box<Errand>>,
}

/// What the caller's newest words may still turn out to be the beginning of: how the dialogue stood before them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewind {
    /// The caller's message.
    pub message: MessageId,
    /// In which call.
    pub call: CallId,
    /// Of which turn.
    pub turn: u32,
    /// The dialogue before.
    pub dialogue: Dialogue,
    /// What was known of the caller before.
    pub contact: Contact,
    /// How pressing it was before.
    pub urgency: Urgency,
}

/// A call begins: what was said before it goes on, or a new conversation does.
pub(super) fn began(state: &State, cx: &Context, call: CallBegun) -> Result<Decision, Rejection> {
    super::system(cx)?;
    if state.calls.iter().any(|known| known.id == call.call) {
        return Ok(Decision::reply(Reply::Done));
    }
    if state.closed.is_some() || state.messages.len() >= MESSAGES_MAX || state.calls.len() >= CALLS_MAX {
        return Err(Rejection::conflict("conversation_closed", "this conversation has ended; a new one begins"));
    }
    if call.call.0.is_empty() || call.conversation_id.0.is_empty() {
        return Err(Rejection::invalid("call", "missing"));
    }
    let mut events = Vec::new();
    if !state.exists() {
        events.push(Event::Started {
            id: call.conversation_id,
            tenant: cx.principal.tenant.clone(),
            agent_id: call.agent_id,
            visitor: Box::new(super::post::bounded(call.visitor)),
            channel: Channel::Voice,
            sandbox: demo::is_sandboxed(cx.principal.tenant.as_str()),
        });
    } else if !super::dialogue::goes_on(state.status) {
        events.push(Event::Reopened);
    }
    let greeting = call.greeting.map(|greeting| text::shorten(greeting.trim(), MESSAGE_CHARS_MAX));
    let said =
        greeting.filter(|text| !text.is_empty()).map(|text| Said { message_id: MessageId(cx.fresh_id(4)), text });
    // Whoever holds the floor in writing does not answer the telephone: the assistant greets, and is silent then.
    let errand = call.errand.map(|errand| Box::new(Errand { call: call.call.clone(), ..*errand }));
    let (person, terms) = (call.person, Box::new(call.terms));
    events.push(Event::CallJoined { call: call.call, greeting: said, terms, person, errand });
    Ok(Decision::new(events, Reply::Done))
}

/// Words that were left after the beep stand in the conversation of who left them, once, as their own message of a call that is over.
pub(super) fn voicemail(state: &State, cx: &Context, call: CallBegun, said: &str) -> Result<Decision, Rejection> {
    super::system(cx)?;
    if state.calls.iter().any(|known| known.id == call.call) {
        return Ok(Decision::reply(Reply::Done));
    }
    let text = text::shorten(said.trim(), MESSAGE_CHARS_MAX);
    super::post::check_text("text", &text, MESSAGE_CHARS_MAX)?;
    let (id, person, terms) = (call.call.clone(), call.person.clone(), Box::new(call.terms.clone()));
    let mut events = began(state, cx, call)?.events;
    events.retain(|event| !matches!(event, Event::CallJoined { .. }));
    events.push(Event::VoicemailLeft { message_id: MessageId(cx.fresh_id(0)), call: id, terms, person, text });
    Ok(Decision::new(events, Reply::Done))
}

/// A call is over: nothing is being said in it any more.
pub(super) fn ended(state: &State, cx: &Context, call: &CallId) -> Result<Decision, Rejection> {
    super::system(cx)?;
    let Some(link) = state.calls.iter().find(|known| known.id == *call) else {
        return Ok(Decision::reply(Reply::Done));
    };
    if link.ended_ms.is_some() {
        return Ok(Decision::reply(Reply::Done));
    }
    // An answer in the making that nobody can hear any more does not stand as said.
    let silenced = state
        .open
        .as_ref()
        .filter(|open| {
            open.posts.last().and_then(|id| state.message(id)).is_some_and(|last| last.call.as_ref() == Some(call))
        })
        .map(|open| open.id.clone());
    Ok(Decision::event(Event::CallLeft { call: call.clone(), silenced }, Reply::Done))
}

/// Words of ours in a call that answer nothing: whether somebody is still there, that a call is being transferred.
pub(super) fn say(
    state: &State,
    cx: &Context,
    call: &CallId,
    client_id: String,
    words: &str,
) -> Result<Decision, Rejection> {
    super::system(cx)?;
    goes_on(state, call)?;
    if let Some(seen) = state.seen.get(&client_id) {
        return Ok(Decision::reply(Reply::Said { message_id: MessageId(seen.id.clone()), seq: seen.seq }));
    }
    super::post::check_text("text", words, MESSAGE_CHARS_MAX)?;
    if state.messages.len() >= MESSAGES_MAX {
        return Err(Rejection::conflict("conversation_full", "this conversation is too long; please start a new one"));
    }
    let said = Said { message_id: MessageId(cx.fresh_id(4)), text: words.to_owned() };
    let reply = Reply::Said { message_id: said.message_id.clone(), seq: cx.seq + 1 };
    Ok(Decision::event(Event::Spoke { said, call: call.clone(), client_id }, reply))
}

/// What a provider found out when nothing follows: of our last words the caller heard only these.
pub(super) fn heard(state: &State, cx: &Context, call: &CallId, heard: &str) -> Result<Decision, Rejection> {
    super::system(cx)?;
    if !state.calls.iter().any(|known| known.id == *call) {
        return Err(Rejection::not_found("call"));
    }
    let events = cut(ours(state, call), heard);
    Ok(Decision::new(events, Reply::Done))
}

/// What words of a caller mean for what stands before them.
pub(super) fn before(state: &State, cx: &Context, spoken: &Spoken, events: &mut Vec<Event>) -> Result<(), Rejection> {
    super::system(cx)?;
    goes_on(state, &spoken.call)?;
    if state.rewind.as_ref().is_some_and(|rewind| rewind.call == spoken.call && spoken.turn < rewind.turn) {
        // Brought late, by a connection that was lost: the caller has spoken since.
        return Err(Rejection::Superseded);
    }
    let revised = state.rewind.as_ref().filter(|rewind| rewind.call == spoken.call && rewind.turn == spoken.turn);
    if let Some(rewind) = revised {
        // The answer to half of the words was never spoken: the caller had the floor all the time.
        events.extend(cut(ours(state, &spoken.call), ""));
        events.push(Event::Revised { message_id: rewind.message.clone() });
        return Ok(());
    }
    let Some(heard) = spoken.heard.as_deref() else { return Ok(()) };
    let ours = ours(state, &spoken.call);
    if ours.is_empty() && state.open.is_some() && !heard.trim().is_empty() {
        // The caller talked into an answer in the making: what was heard of it is all there will be.
        let text = text::shorten(heard.trim(), MESSAGE_CHARS_MAX);
        let said = Said { message_id: MessageId(cx.fresh_id(5)), text };
        events.push(Event::SaidInPart { said, call: spoken.call.clone() });
        return Ok(());
    }
    events.extend(cut(ours, heard));
    Ok(())
}

/// A call that goes on in this conversation.
fn goes_on(state: &State, call: &CallId) -> Result<(), Rejection> {
    match state.calls.iter().find(|known| known.id == *call) {
        Some(link) if link.ended_ms.is_none() => Ok(()),
        Some(_) => Err(Rejection::conflict("call_ended", "this call has ended")),
        None => Err(Rejection::not_found("call")),
    }
}

/// What we said in a call since the caller last had the floor, oldest first.
fn ours<'a>(state: &'a State, call: &CallId) -> Vec<&'a Message> {
    let said = state.messages.iter().rev().filter(|message| message.call.as_ref() == Some(call) && !message.whisper);
    let mut ours: Vec<&Message> = said
        .take_while(|message| match message.role {
            MessageRole::Assistant | MessageRole::HumanAgent => true,
            MessageRole::User | MessageRole::System => false,
        })
        .collect();
    ours.reverse();
    ours
}

/// Which of our words were not heard, when only these were. Words are counted, not compared: a provider writes down what it hears of a voice, "24/7"
/// as "twenty-four seven", so that only how many there were can be trusted, and of those the last words only to be later.
fn cut(ours: Vec<&Message>, heard: &str) -> Vec<Event> {
    let mut left = heard.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).count();
    let mut events = Vec::new();
    for message in ours {
        let ends: Vec<usize> = word_ends(&message.content);
        if left >= ends.len() {
            left -= ends.len();
            continue;
        }
        let at = left.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(0);
        left = 0;
        let (heard, _) = message.content.split_at(at);
        events.push(Event::HeardInPart { message_id: message.id.clone(), heard: heard.trim_end().to_owned() });
    }
    events
}

/// Where each word of a text ends, bytes, its marks among it.
fn word_ends(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut at = 0;
    for piece in text.split_inclusive(char::is_whitespace) {
        at += piece.len();
        if piece.chars().any(char::is_alphanumeric) {
            ends.push(at - (piece.len() - piece.trim_end().len()));
        }
    }
    ends
}

/// Folds the beginning of a call.
pub(super) fn joined(
    state: &mut State,
    call: &CallId,
    terms: &Terms,
    person: Option<&String>,
    errand: Option<&Errand>,
    at_ms: i64,
) {
    state.terms = terms.clone();
    if let Some(errand) = errand {
        // Its questions come first: that is what we call for.
        if !errand.questions.is_empty() {
            state.dialogue.form = Some(FormProgress { form: errand.form(), ..FormProgress::default() });
        }
        state.dialogue.offer = None;
        state.dialogue.errand = Some(Box::new(errand.clone()));
    }
    state.channels.insert(Channel::Voice);
    let agreed_before = state.dialogue.agreed.iter().filter(|agreed| !agreed.canceled).count();
    let person = person.cloned();
    state.calls.push(CallLink {
        id: call.clone(),
        began_ms: at_ms,
        ended_ms: None,
        agreed_before,
        person,
        errand: None,
    });
    state.active_at_ms = at_ms;
}

/// Folds a call in which something was said after the beep. One that goes on meanwhile is none of its business.
pub(super) fn left_a_message(state: &mut State, call: &CallId, terms: &Terms, person: Option<&String>, at_ms: i64) {
    state.terms = terms.clone();
    state.channels.insert(Channel::Voice);
    let agreed_before = state.dialogue.agreed.iter().filter(|agreed| !agreed.canceled).count();
    state.calls.push(CallLink {
        id: call.clone(),
        began_ms: at_ms,
        ended_ms: Some(at_ms),
        agreed_before,
        person: person.cloned(),
        errand: None,
    });
    state.active_at_ms = at_ms;
}

/// Folds the end of a call.
pub(super) fn left(state: &mut State, call: &CallId, at_ms: i64) {
    let errand = state.dialogue.errand.take_if(|errand| errand.call == *call);
    if let Some(errand) = &errand {
        let questions = errand.form();
        state.dialogue.form.take_if(|form| form.form == questions);
    }
    if let Some(link) = state.calls.iter_mut().find(|link| link.id == *call) {
        link.ended_ms = Some(at_ms);
        link.errand = errand;
    }
    state.rewind = None;
    state.active_at_ms = at_ms;
}

/// Folds that words were only the beginning of others: the dialogue is as it was before them.
pub(super) fn revised(state: &mut State, message_id: &MessageId) {
    let Some(rewind) = state.rewind.take_if(|rewind| rewind.message == *message_id) else { return };
    // An appointment that was made meanwhile is made: the dialogue goes on from there.
    if state.dialogue.agreed == rewind.dialogue.agreed {
        state.dialogue = rewind.dialogue;
        state.contact = rewind.contact;
        state.urgency = rewind.urgency;
    }
    let before = state.messages.len();
    state.messages.retain(|message| message.id != *message_id);
    if state.messages.len() < before {
        state.message_count = state.message_count.saturating_sub(1);
        state.visitor_messages = state.visitor_messages.saturating_sub(1);
    }
    if let Some(open) = &mut state.open {
        open.posts.retain(|post| post != message_id);
        open.understood_posts = open.understood_posts.min(open.posts.len());
        open.understood = None;
    }
}

/// Folds how much of a message was heard.
pub(super) fn heard_in_part(state: &mut State, message_id: &MessageId, heard: &str) {
    if let Some(message) = state.messages.iter_mut().find(|message| message.id == *message_id) {
        let whole = std::mem::replace(&mut message.content, heard.to_owned());
        let rest = whole.strip_prefix(heard).unwrap_or(&whole).trim();
        let rest = match message.unheard.take() {
            // Cut a second time, the end is that of the first.
            Some(known) => format!("{rest} {known}"),
            None => rest.to_owned(),
        };
        message.unheard = Some(rest);
    }
}

/// Notes how the dialogue stands before words that may turn out to be a beginning.
pub(super) fn note(state: &mut State, message_id: &MessageId, spoken: Option<&Spoken>) {
    state.rewind = spoken.map(|spoken| {
        Box::new(Rewind {
            message: message_id.clone(),
            call: spoken.call.clone(),
            turn: spoken.turn,
            dialogue: state.dialogue.clone(),
            contact: state.contact.clone(),
            urgency: state.urgency,
        })
    });
}

/// What a call was made for, and what it has come to so far.
pub fn errand<'a>(state: &'a State, call: &CallId) -> Option<&'a Errand> {
    let going = state.dialogue.errand.as_deref().filter(|errand| errand.call == *call);
    going.or_else(|| state.calls.iter().find(|link| link.id == *call).and_then(|link| link.errand.as_deref()))
}

/// The number that an event says is never to be called again: it was said by who speaks from there.
pub fn never_again<'a>(state: &'a State, event: &Event) -> Option<&'a str> {
    let facts = match event {
        Event::Understood { understanding, .. } => &understanding.facts,
        Event::Answered(given) => &given.understanding.as_ref()?.facts,
        _ => return None,
    };
    let said = matches!(facts.wish, Some(Wish::NeverAgain)) && !state.is_tried();
    going(state).filter(|_| said)?.person.as_deref()
}

/// The call that goes on, if one does.
pub fn going(state: &State) -> Option<&CallLink> {
    state.calls.iter().rev().find(|call| call.ended_ms.is_none())
}

/// Whether a message was made and nobody ever heard or saw it.
pub(super) fn never_heard(message: &Message) -> bool {
    message.content.is_empty() && message.unheard.is_some()
}
