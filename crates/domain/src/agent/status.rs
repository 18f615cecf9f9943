//! The life of an agent: draft, training until its first index answers, active, paused, error.

use super::{command::Event, state::Agent};
use crate::{rejection::Rejection, text::shorten, vocabulary::AgentStatus};

/// The longest reason shown for an error.
const REASON_CHARS_MAX: usize = 300;

/// Where a new agent begins: it answers at once unless it must read a website first.
pub(super) fn first(draft: bool, reads_website: bool) -> AgentStatus {
    match (draft, reads_website) {
        (true, _) => AgentStatus::Draft,
        (false, true) => AgentStatus::Training,
        (false, false) => AgentStatus::Active,
    }
}

/// What an owner's wish leads to; nothing if it is so already.
pub(super) fn wanted(state: &Agent, wish: AgentStatus) -> Result<Option<Event>, Rejection> {
    let target = match (wish, state.status) {
        (AgentStatus::Training | AgentStatus::Error, _) => {
            return Err(Rejection::invalid("status", "must be one of draft, active, paused"));
        }
        (AgentStatus::Paused, AgentStatus::Draft) => {
            return Err(Rejection::conflict(
                "invalid_status",
                "A draft is not live, so there is nothing to pause. Activate it first.",
            ));
        }
        (AgentStatus::Active, AgentStatus::Draft | AgentStatus::Paused) if state.awaits_index => AgentStatus::Training,
        // It becomes active by itself.
        (AgentStatus::Active, AgentStatus::Training) => AgentStatus::Training,
        (AgentStatus::Active, _) => AgentStatus::Active,
        (AgentStatus::Paused, _) => AgentStatus::Paused,
        (AgentStatus::Draft, _) => AgentStatus::Draft,
    };
    Ok((target != state.status).then_some(Event::StatusSet { status: target, reason: None }))
}

/// An index answers: an agent that waited for it becomes active once all it began with is read.
pub(super) fn index_ready(state: &Agent, index_version: u64, settled: bool) -> Vec<Event> {
    let waits = state.awaits_index && settled;
    if index_version <= state.index_version && !waits {
        return Vec::new();
    }
    let index_version = index_version.max(state.index_version);
    let mut events = vec![Event::IndexReady { index_version, settled }];
    match state.status {
        AgentStatus::Training | AgentStatus::Error if settled => {
            events.push(Event::StatusSet { status: AgentStatus::Active, reason: None });
        }
        AgentStatus::Training | AgentStatus::Error | AgentStatus::Draft | AgentStatus::Active | AgentStatus::Paused => {
        }
    }
    events
}

/// What it waits for could not be read: an agent in training says so. One that answers already goes on with its old index.
pub(super) fn index_failed(state: &Agent, reason: &str) -> Option<Event> {
    state.awaits_index.then(|| Event::IndexFailed { reason: shorten(reason, REASON_CHARS_MAX) })
}
