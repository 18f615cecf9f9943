//! How a conversation becomes a lead and keeps it told (LEAD-5, CHAT-23): one lead per conversation.

use super::{Errand, Event, State, apply};
use crate::{
    catalog::scoring::Evidence,
    context::Context,
    ids::LeadId,
    knowledge,
    lead::{self, Capture},
    vocabulary::{LeadIntent, Urgency},
};
use std::collections::BTreeMap;

/// The lead's value that says in the visitor's own words what they need.
pub const NEED: &str = "need";
/// Messages counted for the score; above this the lead is not told of each further one.
const COUNTED_MESSAGES_MAX: u32 = 10;

/// Adds the lead's event to a decision if the decision's facts change what the lead should know.
pub(super) fn follow(state: &State, cx: &Context, events: &mut Vec<Event>) {
    let mut after = state.clone();
    for (n, event) in events.iter().enumerate() {
        apply(&mut after, event, cx.seq + n as u64 + 1, cx.now_ms);
    }
    let Some(capture) = capture(&after) else { return };
    match &state.lead {
        None => events.push(Event::LeadCaptured { lead_id: lead_id(state, cx), lead: Box::new(capture) }),
        Some(link) if link.told != capture => {
            events.push(Event::LeadUpdated { lead_id: link.id.clone(), lead: Box::new(capture) })
        }
        Some(_) => {}
    }
}

/// The conversation's lead, or the id that a new one gets in this decision.
pub(super) fn lead_id(state: &State, cx: &Context) -> LeadId {
    state.lead.as_ref().map_or_else(|| LeadId(cx.fresh_id(8)), |link| link.id.clone())
}

/// The message to the lead that an event causes.
pub fn lead_message(state: &State, event: &Event) -> Option<(LeadId, lead::Command)> {
    if state.sandbox {
        return None;
    }
    match event {
        Event::LeadCaptured { lead_id, lead } | Event::LeadUpdated { lead_id, lead } => {
            Some((lead_id.clone(), lead::Command::Capture { id: lead_id.clone(), capture: lead.clone() }))
        }
        _ => None,
    }
}

/// What was answered to a campaign's questions, for the lead that was called: it stands elsewhere, where it came from.
pub fn qualified(state: &State, event: &Event) -> Option<(LeadId, lead::Command)> {
    let Event::CallLeft { call, .. } = event else { return None };
    let errand = super::spoken::errand(state, call).filter(|_| !state.sandbox)?;
    let lead = errand.lead.clone()?;
    let values = &state.dialogue.values;
    let answers: BTreeMap<String, String> = errand
        .asks()
        .into_iter()
        .filter_map(|ask| values.get(&ask.name).map(|value| (ask.name, value.clone())))
        .collect();
    (!answers.is_empty()).then_some((lead, lead::Command::Qualify { answers }))
}

/// Whether this is the conversation of a call to a lead that came from elsewhere: it becomes no second one.
fn is_about_another(state: &State) -> bool {
    errands(state).any(|errand| errand.lead.is_some())
}

/// Of this conversation's calls those that a campaign made.
fn errands(state: &State) -> impl Iterator<Item = &Errand> {
    let over = state.calls.iter().filter_map(|link| link.errand.as_deref());
    state.dialogue.errand.as_deref().into_iter().chain(over)
}

/// All a lead should know, once the visitor can be reached or has filled in a form.
fn capture(state: &State) -> Option<Capture> {
    let filled = !state.dialogue.completed.is_empty();
    if state.lead.is_none() && is_about_another(state) {
        return None;
    }
    // Somebody of the organization who tries the agent is no lead of it; one from before trials were told apart stays told.
    if state.sandbox || state.lead.is_none() && state.visitor.trial {
        return None;
    }
    if state.lead.is_none() && !(state.terms.collect_leads && (state.contact.reachable() || filled)) {
        return None;
    }
    let visitor = &state.visitor;
    let or = |own: &Option<String>, known: &Option<String>| own.clone().or_else(|| known.clone());
    let (name, email, phone) = (
        or(&state.contact.name, &visitor.name),
        or(&state.contact.email, &visitor.email),
        or(&state.contact.phone, &visitor.phone),
    );
    let mut signals = state.dialogue.signals.clone();
    let mut note = |holds: bool, signal: &str| {
        if holds {
            signals.insert(signal.to_owned());
        }
    };
    note(name.is_some(), "gave_name");
    note(email.is_some(), "gave_email");
    note(phone.is_some(), "gave_phone");
    note(state.urgency == Urgency::Emergency, "urgency_emergency");
    note(state.urgency >= Urgency::High, "urgency_high");
    let intent = state.dialogue.intent;
    note(intent == Some(LeadIntent::BookAppointment), "intent_book_appointment");
    note(intent == Some(LeadIntent::GetQuote), "intent_get_quote");
    let counts = BTreeMap::from([
        ("several_messages".to_owned(), state.visitor_messages.min(COUNTED_MESSAGES_MAX)),
        ("returned_visitor".to_owned(), visitor.visits),
    ]);
    Some(Capture {
        agent_id: state.agent_id.clone(),
        conversation_id: Some(state.id.clone()),
        visitor_id: visitor.id.clone(),
        channel: state.channel,
        source_page: visitor.page_url.clone(),
        referrer: visitor.referrer.clone(),
        name,
        email,
        phone,
        fields: fields(state),
        intent,
        urgency: state.urgency,
        evidence: Evidence { signals, counts },
        config_version: state.terms.config_version,
        called: errands(state).any(|errand| !errand.campaign.is_single_call()),
    })
}

/// Every value, with what the visitor said they need unless a form has it in the same words.
fn fields(state: &State) -> BTreeMap<String, String> {
    let mut fields = state.dialogue.values.clone();
    let need = &state.dialogue.need;
    if !need.is_empty() && !fields.values().any(|value| value.contains(need.as_str())) {
        fields.entry(NEED.to_owned()).or_insert_with(|| need.clone());
    }
    fields
}

/// What the agent's knowledge must learn of an event: a question that nobody could answer.
pub fn knowledge_message(state: &State, event: &Event, seq: u64) -> Option<knowledge::Command> {
    match event {
        Event::Unanswered { question } if !state.is_tried() => {
            let (question, conversation) = (question.clone(), state.id.clone());
            Some(knowledge::Command::NoteUnanswered { question, conversation, seq })
        }
        _ => None,
    }
}
