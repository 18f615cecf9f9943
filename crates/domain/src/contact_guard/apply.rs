//! Folds what happened into what is remembered. Cannot fail.

use super::{
    ContactGuard, Event,
    command::{Permit, Placed},
    state::{
        Attempt, CONSENTS_MAX, Consent, DIAL_KEPT_MS, DIAL_OPEN_MS, DIALS_MAX, DialKey, Entry, MESSAGES_MAX, ORDERS_MAX,
    },
};
use crate::vocabulary::Channel;

/// Folds one event.
pub fn apply(state: &mut ContactGuard, event: &Event, seq: u64, at_ms: i64) {
    match event {
        Event::EntryAdded { tenant, entry, by } => {
            state.tenant = tenant.clone();
            know(state, &entry.masked);
            let known =
                state.entries.iter().position(|known| (known.reach, known.source) == (entry.reach, entry.source));
            let listed_ms = known.and_then(|at| state.entries.get(at)).map_or(at_ms, |known| known.listed_ms);
            let added = Entry {
                reach: entry.reach,
                source: entry.source,
                reason: entry.reason.clone(),
                by: by.clone(),
                listed_ms,
                since_ms: at_ms,
                seq,
                expires_ms: entry.expires_ms,
                lifted_ms: None,
            };
            match known {
                Some(at) => state.entries[at] = added,
                None => state.entries.push(added),
            }
        }
        Event::Ordered { message, .. } => {
            if state.orders.len() >= ORDERS_MAX {
                state.orders.pop_front();
            }
            state.orders.push_back(message.clone());
        }
        Event::EntryLifted { reach, source, .. } => {
            for entry in state.entries.iter_mut().filter(|entry| (entry.reach, entry.source) == (*reach, *source)) {
                entry.lifted_ms = Some(at_ms);
            }
        }
        Event::ConsentRecorded { n, consent, given_ms, by } => {
            know(state, &consent.masked);
            state.consents_ever = *n;
            state.consents.push(Consent {
                n: *n,
                kind: consent.kind,
                granted: consent.granted,
                text: consent.text.clone(),
                source: consent.source.clone(),
                by: by.clone(),
                at_ms: *given_ms,
                seq,
            });
            if state.consents.len() > CONSENTS_MAX {
                // One of each kind decides; the oldest of the others may go.
                let decides = |one: &Consent| state.consent(one.kind).is_some_and(|record| record.n == one.n);
                let gone = state.consents.iter().position(|one| !decides(one)).unwrap_or(0);
                state.consents.remove(gone);
            }
        }
        Event::DialPermitted { request, consent } => {
            know(state, &request.masked);
            let permit = Permit { seq, at_ms, consent: *consent };
            state.dials.retain(|dial| dial.permit.at_ms > at_ms.saturating_sub(DIAL_KEPT_MS));
            if state.dials.len() >= DIALS_MAX {
                state.dials.pop_front();
            }
            state.dials.push_back(Attempt {
                dial: request.dial.clone(),
                permit,
                settings_version: request.settings_version,
                settled: false,
            });
        }
        Event::MessagePermitted { request, consent } => {
            know(state, &request.masked);
            if state.messages.len() >= MESSAGES_MAX {
                state.messages.pop_front();
            }
            state.messages.push_back((request.message.clone(), Permit { seq, at_ms, consent: *consent }));
        }
        Event::WordsForgotten => {
            for entry in &mut state.entries {
                entry.reason.clear();
            }
            for consent in &mut state.consents {
                consent.text.clear();
                consent.source.clear();
            }
        }
        Event::DialSettled { dial, placed } => match placed {
            Placed::Yes => {
                for known in state.dials.iter_mut().filter(|known| known.dial == *dial) {
                    known.settled = true;
                }
            }
            Placed::No => state.dials.retain(|known| known.dial != *dial),
        },
    }
    state.seq = seq;
}

/// The dials that were permitted before an entry which forbids calls, and not settled since: what may still be queued at a carrier and must be
/// taken back. `state` is the one after the event; empty for every other event.
pub fn stopped(state: &ContactGuard, event: &Event, at_ms: i64) -> Vec<DialKey> {
    match event {
        Event::EntryAdded { entry, .. } if entry.reach.covers(Channel::Voice) => state
            .dials
            .iter()
            .filter(|dial| !dial.settled && dial.permit.at_ms > at_ms.saturating_sub(DIAL_OPEN_MS))
            .map(|dial| dial.dial.clone())
            .collect(),
        Event::EntryAdded { .. }
        | Event::EntryLifted { .. }
        | Event::Ordered { .. }
        | Event::ConsentRecorded { .. }
        | Event::DialPermitted { .. }
        | Event::MessagePermitted { .. }
        | Event::WordsForgotten
        | Event::DialSettled { .. } => Vec::new(),
    }
}

fn know(state: &mut ContactGuard, masked: &super::address::Masked) {
    if state.masked.0.is_empty() {
        state.masked = masked.clone();
    }
}
