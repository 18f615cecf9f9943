//! A slice of a campaign: up to 256 targets, the calls to them, and the numbers they come to. Does the calling; the campaign only orders.
//!
//! **How a call comes about.** Targets that may be called now make the slice want permits ([`Event::Wanted`], told to the [`crate::pacer`]). A permit
//! ([`Command::Grant`]) opens an attempt; the contact guard is asked ([`Effect::Authorize`]); with its yes the task waits for the permit's moment
//! and says [`Command::Begin`]. Only that append, which looks at orders, window, deadline and permit once more, makes it a call: before it nothing has left,
//! after it everything may have. So an order that changes anything holds for every call that has not begun, and a crash leaves a
//! call that is looked up at the provider and never one that is made twice.
//!
//! **How it ends.** What the provider and the conversation say ([`Command::Heard`]) may come late, twice, in any order or never. An attempt nobody hears of
//! is looked up after a minute and given up as `failed(unconfirmed)` after two; each limit of time is in [`due`]. An ended attempt leads to a retry, an
//! agreed callback or the one disposition.
//!
//! Reading order: this file, [`command`], `decide`, `heard`, `due`, `apply`, `tells`, `audit`.

mod apply;
pub mod audit;
pub mod command;
mod decide;
mod due;
mod heard;
mod tells;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use apply::apply;
pub use command::{CallBrief, Command, Dial, DialAnswer, Effect, End, Event, Next, Refused, Reply, Report};
pub use decide::decide;
pub use due::{on_timer, timer};
pub use tells::{Tell, tells};

use super::{
    counters::Counters,
    settings::Settings,
    target::{Standing, Target},
};
use crate::{
    contact_guard::DialKey,
    decision,
    ids::{CampaignId, TenantId},
};

/// The entity's kind in keys.
pub const KIND: &str = "campaign_slice";

/// What a command leads to.
pub type Decision = decision::Decision<Event, Reply>;

/// The id of a campaign's slice.
pub fn id(campaign: &CampaignId, slice: u32) -> String {
    format!("{campaign}.{slice}")
}

/// What a slice is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "run", rename_all = "snake_case")]
pub enum Run {
    /// It has not begun.
    #[default]
    Idle,
    /// It calls.
    Running,
    /// It calls nobody for now; calls that have begun go on.
    Held,
    /// It calls nobody any more; who waits is done.
    Ending {
        /// Why.
        reason: super::target::SkipReason,
    },
}

/// The campaign's orders. A higher version replaces a lower one, whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Orders {
    /// Rises with every change.
    pub version: u64,
    /// What to do.
    #[serde(flatten)]
    pub run: Run,
    /// The provider account whose pacer gives the permits.
    pub account: String,
    /// The version of the settings; each call records it.
    pub settings_version: u64,
    /// The settings.
    pub settings: Box<Settings>,
    /// What its calls may cost altogether, millionths of a US dollar; none: without limit.
    pub spend_micros: Option<i64>,
}

/// The folded state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Slice {
    /// Of which campaign; empty before it is opened.
    pub campaign: CampaignId,
    /// The tenant.
    pub tenant: TenantId,
    /// Its number in the campaign.
    pub index: u32,
    /// The generation its callees stand under: a new one when somebody is erased.
    pub book: u32,
    /// What it is to do.
    pub orders: Orders,
    /// Its targets; a target's place never changes.
    pub targets: Vec<Target>,
    /// The sum of what they contribute.
    pub counters: Counters,
    /// Permits wanted that the pacer has not granted yet.
    pub wanted: u32,
    /// Permits granted so far; the pacer counts them too, so that a message on its way is not taken for a wish.
    pub grants: u64,
    /// When permits were renewed last, Unix milliseconds.
    pub renewed_ms: i64,
    /// When the last event happened, Unix milliseconds.
    pub now_ms: i64,
    /// The sequence number of the last event.
    pub seq: u64,
}

impl Slice {
    /// Whether it was opened.
    pub fn exists(&self) -> bool {
        !self.campaign.0.is_empty()
    }

    /// How the guard knows a dial.
    pub fn dial(&self, target: u32, attempt: u32) -> DialKey {
        DialKey { campaign: self.campaign.0.clone(), target: format!("{}.{target}", self.index), attempt }
    }

    /// What calls may cost at most whose cost is not known, millionths of a US dollar: those that go on, and those that ended without a word of it.
    pub fn owed_micros(&self) -> i64 {
        let past = self.targets.iter().flat_map(|one| &one.past);
        let untold: i64 = past.filter(|past| past.cost_micros.is_none()).map(|past| past.worst_micros).sum();
        self.under_way_micros().saturating_add(untold)
    }

    /// What calls that go on may cost at most, millionths of a US dollar.
    pub fn under_way_micros(&self) -> i64 {
        let open = self.targets.iter().filter_map(Target::attempt);
        open.filter(|open| open.dialed_ms.is_some() && open.cost_micros.is_none()).map(|open| open.worst_micros).sum()
    }

    fn target(&self, target: u32) -> Option<&Target> {
        usize::try_from(target).ok().and_then(|at| self.targets.get(at))
    }
}

/// What is still to be done, from state alone.
///
/// The task that makes a call runs under the same name before and after [`Event::Dialing`]: whoever finds that event in a journal without its task looks up
/// instead of dialling.
pub fn pending(state: &Slice) -> Vec<(String, u32, Effect)> {
    let mut effects = Vec::new();
    for (target, one) in (0_u32..).zip(&state.targets) {
        if let Standing::Trying(attempt) = &one.standing {
            due::effects(state, target, one, attempt, &mut effects);
        }
    }
    effects
}

/// A crash leaves nothing to be done: what was under way is looked up, and timers do the rest.
pub fn on_recovered(_state: &Slice) -> Option<Command> {
    None
}
