//! Alerts to people of the business: queued with the facts that cause them, attempted once, looked up when their outcome is unknown.

use super::{
    Decision, Effect, Event, Reply, State,
    dialogue::AlertDraft,
    state::{ALERT_ATTEMPTS_MAX, ALERT_RETRY_MS, ALERTS_MAX, Alert, AlertStatus},
};
use crate::{context::Context, rejection::Rejection, text};

/// Adds alerts to a decision. A sandbox tells nobody anything.
pub(super) fn queue(state: &State, cx: &Context, drafts: &[AlertDraft], events: &mut Vec<Event>) {
    if state.sandbox {
        return;
    }
    let already = events.iter().filter(|event| matches!(event, Event::AlertQueued { .. })).count();
    let room = ALERTS_MAX.saturating_sub(state.alerts.len() + already);
    for (n, draft) in drafts.iter().take(room).enumerate() {
        // Ids of one decision are told apart by their number; 16 and up, because messages use the low ones.
        let number = u8::try_from(16 + already + n).unwrap_or(u8::MAX);
        events.push(Event::AlertQueued { id: cx.fresh_id(number), draft: Box::new(draft.clone()) });
    }
}

/// An attempt begins: journaled before anything is sent.
pub(super) fn attempt(state: &State, id: &str, attempt: u32) -> Result<Decision, Rejection> {
    let alert = alert(state, id, attempt)?;
    match alert.status {
        AlertStatus::Queued => Ok(Decision::event(Event::AlertAttempted { id: id.to_owned(), attempt }, Reply::Done)),
        // The same attempt twice: whoever asks second must look up the outcome instead of sending.
        AlertStatus::Attempted | AlertStatus::Waiting { .. } | AlertStatus::Sent | AlertStatus::Failed => {
            Err(Rejection::Superseded)
        }
    }
}

/// It was delivered to the provider.
pub(super) fn done(state: &State, id: &str, attempt: u32) -> Result<Decision, Rejection> {
    let alert = alert(state, id, attempt)?;
    match alert.status {
        AlertStatus::Sent => Ok(Decision::reply(Reply::Done)),
        AlertStatus::Queued | AlertStatus::Attempted => {
            Ok(Decision::event(Event::AlertSent { id: id.to_owned() }, Reply::Done))
        }
        AlertStatus::Waiting { .. } | AlertStatus::Failed => Err(Rejection::Superseded),
    }
}

/// It was not delivered.
pub(super) fn failed(
    state: &State,
    cx: &Context,
    id: &str,
    attempt: u32,
    error: &str,
    retry: bool,
) -> Result<Decision, Rejection> {
    let alert = alert(state, id, attempt)?;
    match alert.status {
        AlertStatus::Queued | AlertStatus::Attempted => {}
        AlertStatus::Waiting { .. } | AlertStatus::Sent | AlertStatus::Failed => return Err(Rejection::Superseded),
    }
    let again = retry && attempt < ALERT_ATTEMPTS_MAX;
    let wait = ALERT_RETRY_MS.saturating_mul(1 << attempt.saturating_sub(1).min(16));
    let retry_at_ms = again.then(|| cx.now_ms.saturating_add(wait));
    Ok(Decision::event(
        Event::AlertFailed { id: id.to_owned(), error: text::shorten(&text::one_line(error), 300), retry_at_ms },
        Reply::Done,
    ))
}

/// Alerts to send, and alerts whose outcome must be looked up.
pub(super) fn pending(state: &State) -> Vec<(String, u32, Effect)> {
    let effect = |alert: &Alert| match alert.status {
        AlertStatus::Queued => Some(Effect::SendAlert { alert: Box::new(alert.clone()) }),
        AlertStatus::Attempted => Some(Effect::CheckAlert { alert: Box::new(alert.clone()) }),
        AlertStatus::Waiting { .. } | AlertStatus::Sent | AlertStatus::Failed => None,
    };
    state
        .alerts
        .values()
        .filter_map(|alert| effect(alert).map(|effect| (format!("alert:{}", alert.id), alert.attempt, effect)))
        .collect()
}

/// When the next waiting alert is due.
pub(super) fn timer(state: &State) -> Option<i64> {
    let due = |alert: &Alert| match alert.status {
        AlertStatus::Waiting { until_ms } => Some(until_ms),
        AlertStatus::Queued | AlertStatus::Attempted | AlertStatus::Sent | AlertStatus::Failed => None,
    };
    state.alerts.values().filter_map(due).min()
}

fn alert<'a>(state: &'a State, id: &str, attempt: u32) -> Result<&'a Alert, Rejection> {
    let alert = state.alerts.get(id).ok_or_else(|| Rejection::not_found("alert"))?;
    if alert.attempt == attempt { Ok(alert) } else { Err(Rejection::Superseded) }
}
