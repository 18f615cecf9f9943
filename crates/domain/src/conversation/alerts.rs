//! Alerts to people of the business: queued with the facts that cause them, attempted once, looked up when their outcome is unknown.

use serde::{Deserialize, Serialize};

use super::{
    Decision, Effect, Event, Reply, State,
    dialogue::AlertDraft,
    state::{ALERT_ATTEMPTS_MAX, ALERT_RETRY_MS, ALERTS_MAX, Alert, AlertLine, AlertStatus},
};
use crate::{
    catalog::template::AlertChannel, context::Context, lines::Provider, local_time::rfc3339, rejection::Rejection, text,
};

/// What became of an alert, for the console. It names nobody whom it goes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertView {
    /// Its id.
    pub id: String,
    /// How it goes.
    pub channel: AlertChannel,
    /// The rule or form it is about.
    pub about: String,
    /// `queued`, `attempted`, `waiting`, `sent`, `recorded` (nothing that sends text messages is connected: it reached nobody) or `failed`.
    pub status: String,
    /// Who carries it, if it is a text message that leaves.
    pub provider: Option<Provider>,
    /// Whether that provider reaches nobody.
    pub simulated: bool,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// When the next attempt begins.
    pub retry_at: Option<String>,
}

/// What became of the alerts of a conversation, oldest first.
pub fn views(state: &State) -> Vec<AlertView> {
    let shown = |alert: &Alert| AlertView {
        id: alert.id.clone(),
        channel: alert.channel,
        about: alert.about.clone(),
        status: alert.status.word().to_owned(),
        provider: alert.line.as_ref().map(|line| line.provider),
        simulated: alert.line.as_ref().is_some_and(|line| line.provider.simulated()),
        error: alert.error.clone(),
        retry_at: match alert.status {
            AlertStatus::Waiting { until_ms } => Some(rfc3339(until_ms)),
            AlertStatus::Queued
            | AlertStatus::Attempted
            | AlertStatus::Sent
            | AlertStatus::Recorded
            | AlertStatus::Failed => None,
        },
    };
    state.alerts.values().map(shown).collect()
}

/// Adds alerts to a decision. What is only tried tells nobody anything.
pub(super) fn queue(state: &State, cx: &Context, drafts: &[AlertDraft], events: &mut Vec<Event>) {
    if state.is_tried() {
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
pub(super) fn attempt(state: &State, id: &str, attempt: u32, line: Option<AlertLine>) -> Result<Decision, Rejection> {
    let alert = alert(state, id, attempt)?;
    match alert.status {
        AlertStatus::Queued => {
            Ok(Decision::event(Event::AlertAttempted { id: id.to_owned(), attempt, line }, Reply::Done))
        }
        // The same attempt twice: whoever asks second must look up the outcome instead of sending.
        AlertStatus::Attempted
        | AlertStatus::Waiting { .. }
        | AlertStatus::Sent
        | AlertStatus::Recorded
        | AlertStatus::Failed => Err(Rejection::Superseded),
    }
}

/// It was delivered to the provider, or recorded where there is none.
pub(super) fn done(state: &State, id: &str, attempt: u32, recorded: bool) -> Result<Decision, Rejection> {
    let alert = alert(state, id, attempt)?;
    let id = id.to_owned();
    match alert.status {
        AlertStatus::Sent | AlertStatus::Recorded => Ok(Decision::reply(Reply::Done)),
        AlertStatus::Queued | AlertStatus::Attempted if recorded => {
            Ok(Decision::event(Event::AlertRecorded { id }, Reply::Done))
        }
        AlertStatus::Queued | AlertStatus::Attempted => Ok(Decision::event(Event::AlertSent { id }, Reply::Done)),
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
        AlertStatus::Waiting { .. } | AlertStatus::Sent | AlertStatus::Recorded | AlertStatus::Failed => {
            return Err(Rejection::Superseded);
        }
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
        AlertStatus::Waiting { .. } | AlertStatus::Sent | AlertStatus::Recorded | AlertStatus::Failed => None,
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
        AlertStatus::Queued
        | AlertStatus::Attempted
        | AlertStatus::Sent
        | AlertStatus::Recorded
        | AlertStatus::Failed => None,
    };
    state.alerts.values().filter_map(due).min()
}

fn alert<'a>(state: &'a State, id: &str, attempt: u32) -> Result<&'a Alert, Rejection> {
    let alert = state.alerts.get(id).ok_or_else(|| Rejection::not_found("alert"))?;
    if alert.attempt == attempt { Ok(alert) } else { Err(Rejection::Superseded) }
}
