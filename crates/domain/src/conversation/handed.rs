//! A caller was to be handed to a person and nobody took the call: the matter becomes one for people, who are told to call back.

use super::{
    Decision, Event, Reply, State,
    dialogue::{AlertDraft, Escalation},
};
use crate::{
    call::Untaken,
    catalog::template::AlertChannel,
    context::Context,
    ids::CallId,
    rejection::Rejection,
    vocabulary::{EscalationAction, Urgency},
};

/// The rule that such an escalation stands under.
const RULE: &str = "transfer_not_taken";

/// Notes it once for each transfer; `at_ms` is since when that was asked for.
pub(super) fn untaken(
    state: &State,
    cx: &Context,
    call: &CallId,
    at_ms: i64,
    to: String,
    why: Untaken,
    phone: Option<&str>,
) -> Result<Decision, Rejection> {
    super::system(cx)?;
    if !state.calls.iter().any(|known| known.id == *call) {
        return Ok(Decision::reply(Reply::Done));
    }
    if state.escalations.iter().any(|known| known.rule == RULE && known.at_ms >= at_ms) {
        return Ok(Decision::reply(Reply::Done));
    }
    let back = phone.map_or_else(String::new, |phone| format!(" Please call {phone} back."));
    let reason = format!("was to be put through to {to}, and nobody took the call: {}.{back}", why.words());
    let escalation = Escalation {
        rule: RULE.to_owned(),
        // Not a transfer: that has just come to nothing.
        action: EscalationAction::ImmediateAlert,
        urgency: Some(Urgency::High),
        reason: reason.clone(),
        to: Some(to),
    };
    let mut events = vec![Event::Escalated { escalation }];
    let name = state.contact.name.as_deref().or(state.visitor.name.as_deref()).unwrap_or("A caller");
    let drafts = state.terms.alert_email.iter().map(|email| AlertDraft {
        channel: AlertChannel::Email,
        to: email.clone(),
        subject: format!("Call back: {name} could not be put through"),
        body: format!("{name} {reason}\n\nConversation: {}", state.id),
        about: RULE.to_owned(),
    });
    super::alerts::queue(state, cx, &drafts.collect::<Vec<_>>(), &mut events);
    Ok(Decision::new(events, Reply::Done))
}
