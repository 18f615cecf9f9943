//! What visitors do besides writing: rate, fill in a form, say who they are, end it.

use std::collections::BTreeSet;

use super::{
    Decision, Event, Reply, State,
    command::SubmitLead,
    dialogue::{self, Facts, FormMove},
    event::Said,
    leads, own,
    state::{CloseReason, Floor, SEEN_MAX},
    turn,
};
use crate::{
    context::Context,
    ids::{LeadId, MessageId, VisitorId},
    rejection::Rejection,
    text,
    vocabulary::{ConversationStatus, MessageRole},
};

/// Characters of a rating's words.
const FEEDBACK_CHARS_MAX: usize = 2_000;
/// Characters of a name, address or id that a customer's site tells.
const IDENTITY_CHARS_MAX: usize = 320;
/// The best rating (CHAT-12).
const RATING_MAX: u8 = 5;

/// Rates the conversation; the last rating stands.
pub(super) fn rate(state: &State, cx: &Context, rating: u8, feedback: Option<String>) -> Result<Decision, Rejection> {
    own(state, cx)?;
    if !(1..=RATING_MAX).contains(&rating) {
        return Err(Rejection::invalid("rating", "1 to 5"));
    }
    let feedback = words(feedback)?;
    if state.rating == Some(rating) && state.rating_feedback == feedback {
        return Ok(Decision::reply(Reply::Done));
    }
    Ok(Decision::event(Event::Rated { rating, feedback }, Reply::Done))
}

/// Rates one answer.
pub(super) fn feedback(
    state: &State,
    cx: &Context,
    id: &MessageId,
    thumbs_up: bool,
    feedback: Option<String>,
) -> Result<Decision, Rejection> {
    own(state, cx)?;
    let answers = |role: MessageRole| matches!(role, MessageRole::Assistant | MessageRole::HumanAgent);
    let message = state
        .message(id)
        .filter(|message| answers(message.role) && !message.whisper)
        .ok_or_else(|| Rejection::not_found("message"))?;
    let feedback = words(feedback)?;
    if message.thumbs_up == Some(thumbs_up) && message.feedback == feedback {
        return Ok(Decision::reply(Reply::Done));
    }
    Ok(Decision::event(Event::MessageRated { message_id: id.clone(), thumbs_up, feedback }, Reply::Done))
}

/// Takes a filled form: checked field by field, then it is a lead.
/// Tells the id of what is said to a form apart from the decision's other ids.
const SAID: u8 = 9;

pub(super) fn submit_lead(state: &State, cx: &Context, form: SubmitLead) -> Result<Decision, Rejection> {
    own(state, cx)?;
    if let Some(seen) = form.client_id.as_ref().and_then(|id| state.seen.get(id)) {
        return Ok(Decision::reply(Reply::Lead { lead_id: LeadId(seen.id.clone()), seq: seen.seq }));
    }
    if !form.collect_leads {
        return Err(Rejection::conflict("leads_off", "this agent does not collect leads"));
    }
    if state.seen.len() >= SEEN_MAX {
        return Err(Rejection::conflict("conversation_full", "this conversation is too long; please start a new one"));
    }
    let values = dialogue::validate(&form.asked, &form.known, &form.fields, &state.dialogue.values)
        .map_err(|errors| Rejection::Invalid { errors })?;
    let held = state.dialogue.form.as_ref().map(|progress| progress.form.clone());
    let done = form.form.clone().or(held).unwrap_or_else(|| "lead".to_owned());
    let mut contact = form.contact;
    for (own, name) in [(&mut contact.name, "name"), (&mut contact.email, "email"), (&mut contact.phone, "phone")] {
        *own = values.get(name).cloned().or(own.take());
    }
    let facts = Facts {
        values,
        contact,
        form: FormMove::Done { form: done, complete: true },
        signals: BTreeSet::from(["form_completed".to_owned()]),
        urgency: form.urgency,
        ..Facts::default()
    };
    // While a person holds the floor only they speak.
    let speaks = matches!(state.floor, Floor::Assistant) && state.closed.is_none();
    let text = form.confirmation.filter(|text| speaks && !text.is_empty());
    let said = text.map(|text| Said { message_id: MessageId(cx.fresh_id(SAID)), text });
    // Told before apply: the lead's id is the conversation's own, or made here.
    let lead_id = leads::lead_id(state, cx);
    let mut events = vec![Event::FormSubmitted {
        client_id: form.client_id,
        lead_id: lead_id.clone(),
        facts: Box::new(facts),
        said,
    }];
    super::alerts::queue(state, cx, &form.alerts, &mut events);
    leads::follow(state, cx, &mut events);
    Ok(Decision::new(events, Reply::Lead { lead_id, seq: cx.seq + 1 }))
}

/// Takes over what the customer's own site knows of a signed-in visitor.
pub(super) fn identify(
    state: &State,
    cx: &Context,
    external_id: Option<String>,
    name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
) -> Result<Decision, Rejection> {
    own(state, cx)?;
    let kept = |value: Option<String>| {
        value.map(|value| text::shorten(&text::one_line(&value), IDENTITY_CHARS_MAX)).filter(|value| !value.is_empty())
    };
    let (external_id, name) = (kept(external_id), kept(name));
    let email = kept(email).and_then(|email| text::valid_email(&email));
    let phone = kept(phone).and_then(|phone| text::only_phone(&phone).ok());
    let visitor = &state.visitor;
    if external_id.is_some() && visitor.external_id.is_some() && external_id != visitor.external_id {
        return Err(somebody_else());
    }
    let known = |new: &Option<String>, old: &Option<String>| new.is_none() || new == old;
    if known(&external_id, &visitor.external_id)
        && known(&name, &visitor.name)
        && known(&email, &visitor.email)
        && known(&phone, &visitor.phone)
    {
        return Ok(Decision::reply(Reply::Done));
    }
    let mut events = vec![Event::Identified { external_id, name, email, phone }];
    leads::follow(state, cx, &mut events);
    Ok(Decision::new(events, Reply::Done))
}

/// Gives the conversation to a person whom the organization's server vouches for. From now on nobody reaches it as the visitor it began with: whoever
/// left their browser to somebody else, or put their own visitor into that browser, does not read along.
pub(super) fn claim(
    state: &State,
    cx: &Context,
    person: VisitorId,
    external_id: &str,
    number: Option<&str>,
) -> Result<Decision, Rejection> {
    own(state, cx)?;
    if state.visitor.id == person {
        return Ok(Decision::reply(Reply::Done));
    }
    if state.closed.is_some() {
        return Err(Rejection::conflict("conversation_closed", "this conversation has ended; please start a new one"));
    }
    if state.sandbox {
        return Err(Rejection::conflict("sandbox", "a sandbox is nobody's conversation"));
    }
    if state.claimed_from.is_some() || state.visitor.external_id.as_deref().is_some_and(|known| known != external_id) {
        return Err(somebody_else());
    }
    if !reached_only_by(state, number) {
        return Err(Rejection::conflict(
            "other_number",
            "this conversation goes on over a number that nobody vouched for; people of the business may merge it",
        ));
    }
    Ok(Decision::event(Event::Claimed { person }, Reply::Done))
}

/// Whether no telephone but the vouched one goes on in it: whoever joined theirs before would go on hearing what the person says.
fn reached_only_by(state: &State, number: Option<&str>) -> bool {
    state.lines.values().all(|line| Some(line.to.as_str()) == number)
        && state.calls.iter().all(|call| call.person.is_some() && call.person.as_deref() == number)
}

fn somebody_else() -> Rejection {
    Rejection::conflict("identified_otherwise", "this conversation belongs to another person; please start a new one")
}

/// Ends it for good.
pub(super) fn close(state: &State, cx: &Context) -> Result<Decision, Rejection> {
    own(state, cx)?;
    if state.closed.is_some() {
        return Ok(Decision::reply(Reply::Done));
    }
    let status = if turn::escalated(state) {
        ConversationStatus::Escalated
    } else if turn::answered_last(state) {
        ConversationStatus::Resolved
    } else {
        ConversationStatus::Abandoned
    };
    let silenced = state.open.as_ref().map(|open| open.id.clone());
    Ok(Decision::event(Event::Closed { reason: CloseReason::Visitor, status, silenced }, Reply::Done))
}

fn words(feedback: Option<String>) -> Result<Option<String>, Rejection> {
    match feedback.map(|words| words.trim().to_owned()).filter(|words| !words.is_empty()) {
        Some(words) if words.chars().count() > FEEDBACK_CHARS_MAX => {
            Err(Rejection::invalid("feedback", format!("at most {FEEDBACK_CHARS_MAX} characters")))
        }
        words => Ok(words),
    }
}
