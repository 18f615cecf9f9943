//! What a slice tells others, as a function of what happened: the pacer, the guard, the campaign.

use super::{Event, Report, Slice};
use crate::{
    campaign::core::{self, Progress},
    contact_guard::{self, Placed},
    pacer::{self, Health, Holder},
};

/// A message to another entity.
#[derive(Clone, Debug, PartialEq)]
pub enum Tell {
    /// To the pacer of a provider account.
    Pacer {
        /// Which account.
        account: String,
        /// What.
        command: Box<pacer::Command>,
    },
    /// To the guard of a number.
    Guard {
        /// The guard's id.
        guard: String,
        /// What.
        command: Box<contact_guard::Command>,
    },
    /// To the campaign.
    Campaign(core::Command),
    /// To the call: its carrier says that it is over. Whoever carried it may have died with its node.
    Call {
        /// Its name at the provider.
        call: String,
        /// Seconds from the answer to the end.
        talk_s: u32,
        /// What it cost, where that is known already.
        cost_micros: Option<i64>,
    },
}

/// What one event makes it tell. `state` is the one after the event.
pub fn tells(state: &Slice, event: &Event) -> Vec<Tell> {
    let pacer = |command| Tell::Pacer { account: state.orders.account.clone(), command: Box::new(command) };
    let give_back = |lease: u64, health| pacer(pacer::Command::Return { lease, health });
    let settle = |target: u32, attempt: u32, placed| {
        let guard = state.target(target).map(|one| one.who.guard.clone()).unwrap_or_default();
        let command = contact_guard::Command::Settle { dial: state.dial(target, attempt), placed };
        Tell::Guard { guard, command: Box::new(command) }
    };
    match event {
        Event::Wanted { count } => {
            let settings = &state.orders.settings;
            vec![pacer(pacer::Command::Want(Box::new(pacer::Want {
                holder: holder(state),
                count: *count,
                seen: state.grants,
                settings_version: state.orders.settings_version,
                limits: pacer::Limits { concurrent: settings.max_concurrent, rate: settings.calls_per_second },
                numbers: settings.from_numbers.clone(),
            })))]
        }
        Event::Spared { lease } => vec![give_back(*lease, Health::Unused)],
        Event::Hung { target, attempt, lease, over, cost_micros } => {
            let call = state.target(*target).and_then(|one| one.attempt()).and_then(|open| open.call.clone());
            let call = call.map(|call| Tell::Call { call, talk_s: over.talk_s, cost_micros: *cost_micros });
            lease
                .map(|lease| give_back(lease, Health::Fine))
                .into_iter()
                .chain([settle(*target, *attempt, Placed::Yes), progress(state)])
                .chain(call)
                .collect()
        }
        Event::Void { target, attempt } => vec![settle(*target, *attempt, Placed::No)],
        // A call that is answered cannot be taken back any more; until then the list may still stop it.
        Event::Told { target, attempt, report: Report::Answered | Report::Machine { .. }, .. } => {
            vec![settle(*target, *attempt, Placed::Yes)]
        }
        Event::Placed { target, .. } => {
            let lease = state.target(*target).and_then(|one| one.attempt()).map(|open| open.lease.id);
            lease.map(|lease| pacer(pacer::Command::Reached { lease })).into_iter().collect()
        }
        Event::Renewed { leases } => {
            vec![pacer(pacer::Command::Renew { holder: holder(state), leases: leases.clone() })]
        }
        Event::Ended(end) => {
            let mut tells: Vec<Tell> = end.lease.map(|lease| give_back(lease, end.health)).into_iter().collect();
            tells.extend(end.settle.map(|placed| settle(end.target, end.attempt, placed)));
            tells.push(progress(state));
            tells
        }
        // Only who shares out a budget must know at once.
        Event::Dialing { .. } if state.orders.spend_micros.is_none() => Vec::new(),
        Event::Dialing { .. } => vec![progress(state)],
        Event::Short { need_micros } => {
            vec![Tell::Campaign(core::Command::Short { slice: state.index, need_micros: *need_micros })]
        }
        Event::Added { .. } | Event::Closed { .. } | Event::Costed { .. } => vec![progress(state)],
        Event::Ordered { .. }
        | Event::Opened { .. }
        | Event::Permitted { .. }
        | Event::Told { .. }
        | Event::LookUp { .. }
        | Event::NotFound { .. }
        | Event::Act { .. }
        | Event::Acted { .. }
        | Event::Rebooked { .. }
        | Event::Erased { .. } => Vec::new(),
    }
}

fn holder(state: &Slice) -> Holder {
    Holder { tenant: state.tenant.clone(), campaign: state.campaign.clone(), slice: state.index }
}

fn progress(state: &Slice) -> Tell {
    let counters = &state.counters;
    Tell::Campaign(core::Command::Progress {
        slice: state.index,
        progress: Progress {
            seq: state.seq,
            targets: counters.targets,
            trying: counters.trying,
            done: counters.done,
            connected: counters.connected,
            abandoned: counters.abandoned,
            cost_micros: counters.cost_micros,
            costed: counters.costed,
            owed_micros: state.owed_micros(),
        },
    })
}
