//! The campaign entity: settings as versions, what people order, imports, and how far its slices are. It calls nobody itself.

mod apply;
mod decide;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use apply::apply;
pub use decide::decide;

use super::{
    import::{LeadFilter, Rejected},
    settings::Settings,
    slice::{self, Orders, Run},
    target::SkipReason,
};
use crate::{
    decision,
    ids::{AgentId, CampaignId, LeadId, TenantId},
};

/// The entity's kind in keys.
pub const KIND: &str = "campaign";

/// What a command leads to.
pub type Decision = decision::Decision<Event, Reply>;

/// Where a campaign stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is being written.
    #[default]
    Draft,
    /// It begins by itself at `starts_at`.
    Scheduled,
    /// It calls.
    Running,
    /// It calls nobody for now.
    Paused,
    /// It calls nobody any more; the last calls are going on.
    Stopping,
    /// It was stopped.
    Stopped,
    /// Everybody on its list is done.
    Completed,
    /// It is being deleted; the last calls are going on.
    Deleting,
    /// It was deleted.
    Deleted,
}

/// Who or what paused or ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseReason {
    /// A person.
    Person,
    /// The budget is used up.
    Budget,
    /// Too many people were called and then heard nobody.
    Abandonment,
    /// The deadline passed.
    Deadline,
    /// Its agent does not work: whoever is called would hear nobody.
    Agent,
}

impl PauseReason {
    /// In a sentence, for the owner.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Person => "paused by a member of the team",
            Self::Budget => {
                "paused because the budget has no room for another call of full length; raise it, or the length lower, to go on"
            }
            Self::Abandonment => "paused because more than 3 % of the people who answered within 30 days heard nobody",
            Self::Deadline => "ended at its deadline",
            Self::Agent => {
                "paused because its agent is not active, so nobody would speak; activate the agent, or choose another, and resume"
            }
        }
    }
}

/// How far a slice is: its whole contribution, so that a newer one replaces an older one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// The slice's sequence number it is from.
    pub seq: u64,
    /// Its targets.
    pub targets: i64,
    /// Those being called.
    pub trying: i64,
    /// Those that are done.
    pub done: i64,
    /// Calls that a person answered.
    pub connected: i64,
    /// Of them, those who heard nobody.
    pub abandoned: i64,
    /// What its calls cost, millionths of a US dollar.
    pub cost_micros: i64,
    /// Calls whose cost is known.
    pub costed: i64,
    /// What its calls may cost at most whose cost is not known, millionths of a US dollar.
    pub owed_micros: i64,
}

/// Where targets come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum Source {
    /// A file that was stored.
    File {
        /// Where it lies.
        path: String,
        /// Whether it is CSV; else JSON lines or a JSON list.
        csv: bool,
    },
    /// Leads.
    Leads {
        /// Which.
        filter: Box<LeadFilter>,
    },
    /// One lead that has just come in (LEAD-13).
    Lead {
        /// Which.
        lead: LeadId,
        /// After this it is not called any more, Unix milliseconds.
        not_after_ms: i64,
    },
}

/// What an import came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Imported {
    /// Targets taken.
    pub accepted: u32,
    /// Lines refused.
    pub rejected: u32,
    /// The first of them, with the reason.
    pub told: Vec<Rejected>,
    /// Numbers that were there before, in the file or in the campaign.
    pub duplicates: u32,
    /// Why nothing was read at all.
    pub failed: Option<String>,
}

/// An import that is going on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Counts from 1.
    pub n: u32,
    /// Raised by every try.
    pub attempt: u32,
    /// Where the targets come from.
    pub source: Source,
    /// The slice that the first target goes into.
    pub first_slice: u32,
    /// Targets that slice has already.
    pub in_first: u32,
}

/// The folded state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Campaign {
    /// Its id; empty before it is created.
    pub id: CampaignId,
    /// The tenant.
    pub tenant: TenantId,
    /// Who created it.
    pub created_by: String,
    /// When, Unix milliseconds.
    pub created_ms: i64,
    /// When something was changed or ordered last, Unix milliseconds.
    pub updated_ms: i64,
    /// What people set.
    pub settings: Settings,
    /// Its version; counts from 1.
    pub settings_version: u64,
    /// The provider account that calls.
    pub account: String,
    /// Where it stands.
    pub status: Status,
    /// Who or what paused or ended it.
    pub paused_by: Option<PauseReason>,
    /// When it was started first, Unix milliseconds.
    pub started_ms: Option<i64>,
    /// When it ended, Unix milliseconds.
    pub ended_ms: Option<i64>,
    /// The version of the orders its slices were given.
    pub orders_version: u64,
    /// How far each slice is; the place is the slice's number.
    pub slices: Vec<Progress>,
    /// The import that is going on.
    pub import: Option<Import>,
    /// Imports so far.
    pub imports: u32,
    /// What the last ones came to, with their number, oldest first.
    pub imported: VecDeque<(u32, Imported)>,
    /// Connected and abandoned calls by day (days since 1970, UTC), oldest first, thirty of them.
    pub days: VecDeque<(i64, u64, u64)>,
    /// It was deleted and knows nobody any more.
    pub forgotten: bool,
    /// The sequence number of the last event.
    pub seq: u64,
}

impl Campaign {
    /// Whether it was created and not deleted.
    pub fn exists(&self) -> bool {
        !self.id.0.is_empty() && self.status != Status::Deleted
    }

    /// All slices added up.
    pub fn progress(&self) -> Progress {
        let mut sum = Progress { seq: self.seq, ..Progress::default() };
        for slice in &self.slices {
            sum.targets += slice.targets;
            sum.trying += slice.trying;
            sum.done += slice.done;
            sum.connected += slice.connected;
            sum.abandoned += slice.abandoned;
            sum.cost_micros += slice.cost_micros;
            sum.costed += slice.costed;
            sum.owed_micros += slice.owed_micros;
        }
        sum
    }

    /// What a slice may spend altogether, millionths of a US dollar; none without a budget. What it has spent and its calls under way may still cost, and of
    /// what the budget has left as much as it has of the targets that are open: each slice looks at its own share in the moment in which a call begins, and
    /// the shares come to the budget.
    pub fn share_micros(&self, slice: usize) -> Option<i64> {
        let budget = self.settings.budget?.micros;
        let sum = self.progress();
        let own = self.slices.get(slice).copied().unwrap_or_default();
        let spent = |of: &Progress| of.cost_micros.saturating_add(of.owed_micros);
        let left = i128::from(budget.saturating_sub(spent(&sum)).max(0));
        let open = |of: &Progress| i128::from((of.targets - of.done).max(0));
        let part = left * open(&own) / open(&sum).max(1);
        Some(spent(&own).saturating_add(i64::try_from(part).unwrap_or(i64::MAX)))
    }

    /// Connected and abandoned calls of the last thirty days.
    pub fn abandonment(&self) -> (u64, u64) {
        self.days.iter().fold((0, 0), |(connected, abandoned), day| (connected + day.1, abandoned + day.2))
    }

    /// What a slice is to do.
    pub fn orders(&self, slice: usize) -> Orders {
        let run = match self.status {
            Status::Draft | Status::Scheduled => Run::Idle,
            Status::Running => Run::Running,
            Status::Paused => Run::Held,
            Status::Stopping | Status::Stopped | Status::Completed if self.paused_by == Some(PauseReason::Deadline) => {
                Run::Ending { reason: SkipReason::Deadline }
            }
            Status::Stopping | Status::Stopped | Status::Completed => Run::Ending { reason: SkipReason::Stopped },
            Status::Deleting | Status::Deleted => Run::Ending { reason: SkipReason::Deleted },
        };
        Orders {
            version: self.orders_version,
            run,
            account: self.account.clone(),
            settings_version: self.settings_version,
            settings: Box::new(self.settings.clone()),
            spend_micros: self.share_micros(slice),
        }
    }
}

/// What one may ask it to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// It is created. The same id again changes nothing.
    Create {
        /// Its id.
        id: CampaignId,
        /// The provider account of its numbers.
        account: String,
        /// What people set, as a merge patch of the defaults.
        settings: Value,
    },
    /// Settings are changed, in every state in which it may still call.
    Update {
        /// A merge patch.
        patch: Value,
        /// The provider account of the numbers after it.
        account: String,
        /// The version it was made from.
        if_version: Option<u64>,
    },
    /// It begins, now or at its time.
    Start,
    /// It calls nobody for now.
    Pause,
    /// It goes on.
    Resume,
    /// It ends.
    Stop,
    /// It ends and is gone.
    Delete,
    /// Targets are brought.
    Import {
        /// From where.
        source: Source,
    },
    /// An import has come to its end. Colloquy's own.
    Imported {
        /// Which.
        n: u32,
        /// Which try.
        attempt: u32,
        /// Targets that each slice it has put some into holds now, by the slice's number.
        slices: BTreeMap<String, u32>,
        /// What it came to.
        result: Box<Imported>,
    },
    /// How far a slice is. Colloquy's own.
    Progress {
        /// Which.
        slice: u32,
        /// How far.
        progress: Progress,
    },
    /// Its agent does not work any more. Colloquy's own.
    Unmanned {
        /// The agent that was found so.
        agent_id: AgentId,
    },
    /// A slice's share of the budget has no room for one more call, and none of its calls goes on. Colloquy's own.
    Short {
        /// Which.
        slice: u32,
        /// What one more call may cost, millionths of a US dollar.
        need_micros: i64,
    },
    /// The timer.
    Tick,
    /// Who was on the list of a deleted campaign is known no more. Colloquy's own.
    Forgotten,
    /// After a crash: an import that was going on is tried again.
    Recovered,
    /// Query: the whole state.
    Get,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// It was created.
    Created {
        /// Its id.
        id: CampaignId,
        /// The tenant.
        tenant: TenantId,
        /// By whom.
        by: String,
        /// The provider account.
        account: String,
        /// What was set.
        settings: Box<Settings>,
    },
    /// Settings were changed.
    Updated {
        /// By whom.
        by: String,
        /// The provider account.
        account: String,
        /// All of them.
        settings: Box<Settings>,
        /// Their version.
        version: u64,
    },
    /// It stands elsewhere now.
    Moved {
        /// Where.
        status: Status,
        /// Who or what paused or ended it.
        paused_by: Option<PauseReason>,
        /// By whom; `system` for what happens by itself.
        by: String,
    },
    /// An import began, or is tried again.
    Importing {
        /// It.
        import: Box<Import>,
    },
    /// It came to its end.
    Imported {
        /// Which.
        n: u32,
        /// Targets that each slice it has put some into holds now.
        slices: BTreeMap<String, u32>,
        /// What it came to.
        result: Box<Imported>,
    },
    /// How far a slice is.
    Progressed {
        /// Which.
        slice: u32,
        /// How far.
        progress: Progress,
    },
    /// What is left of the budget was shared out anew.
    Shared,
    /// Who was on its list is known no more.
    Forgotten,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Done, or already so.
    Done,
    /// Which import.
    Import {
        /// Counts from 1.
        n: u32,
    },
    /// The whole state.
    State(Box<Campaign>),
}

/// Work outside the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Repeatable: read the source with the numbers that slices before this import hold, send [`slice::Command::Add`] to slices from the first on, then
    /// [`Command::Imported`]. Slices know an import they have, so that a second try changes nothing that the first has done.
    Import(Box<Import>),
    /// Repeatable: it was deleted; erase the callees of its slices, so many, then tell [`Command::Forgotten`].
    Forget {
        /// How many.
        slices: u32,
    },
}

/// What is still to be done, from state alone.
pub fn pending(state: &Campaign) -> Vec<(String, u32, Effect)> {
    if state.status == Status::Deleted && !state.forgotten {
        let slices = u32::try_from(state.slices.len()).unwrap_or(u32::MAX);
        return vec![("forget".to_owned(), 1, Effect::Forget { slices })];
    }
    let import = state.import.iter().filter(|_| state.exists());
    import
        .map(|import| (format!("import:{}", import.n), import.attempt, Effect::Import(Box::new(import.clone()))))
        .collect()
}

/// When something happens by itself, Unix milliseconds: its begin or its deadline.
pub fn timer(state: &Campaign) -> Option<i64> {
    match state.status {
        Status::Scheduled => state.settings.starts_at.map(|at| at.ms),
        Status::Running | Status::Paused => state.settings.deadline.map(|at| at.ms),
        Status::Draft | Status::Stopping | Status::Stopped | Status::Completed | Status::Deleting | Status::Deleted => {
            None
        }
    }
}

/// The command that a due timer turns into.
pub fn on_timer(state: &Campaign, now_ms: i64) -> Option<Command> {
    timer(state).filter(|at_ms| *at_ms <= now_ms).map(|_| Command::Tick)
}

/// The command that follows a crash.
pub fn on_recovered(state: &Campaign) -> Option<Command> {
    state.import.as_ref().map(|_| Command::Recovered)
}

/// What one event makes it tell its slices: new orders, to all of them. `state` is the one after the event.
pub fn tells(state: &Campaign, event: &Event) -> Vec<(u32, slice::Command)> {
    let order = |index: u32| {
        let orders = Box::new(state.orders(usize::try_from(index).unwrap_or(usize::MAX)));
        (index, slice::Command::Order { campaign: state.id.clone(), index, orders })
    };
    match event {
        // New targets take part in the budget.
        Event::Imported { .. } if state.settings.budget.is_some() => {
            (0_u32..).zip(&state.slices).map(|(index, _)| order(index)).collect()
        }
        Event::Updated { .. } | Event::Moved { .. } | Event::Shared => {
            (0_u32..).zip(&state.slices).map(|(index, _)| order(index)).collect()
        }
        // Slices that were there have these orders already.
        Event::Imported { slices, .. } => slices.keys().filter_map(|index| index.parse().ok()).map(order).collect(),
        Event::Created { .. } | Event::Importing { .. } | Event::Progressed { .. } | Event::Forgotten => Vec::new(),
    }
}
