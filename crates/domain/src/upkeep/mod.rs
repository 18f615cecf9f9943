//! The upkeep entity: what an organization's stored conversations need beside anybody's asking. Those that are older than it wants to keep are erased
//! each night, and those that were stored before there was search get their words.
//!
//! Both are walks through many conversations: they begin where a crash interrupted them, and say from time to time how far they are.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::decision::Decision;
use crate::ids::TenantId;
use crate::local_time::{days_after, local_date, local_time_ms, zone_or_utc};
use crate::principal::Actor;
use crate::rejection::Rejection;

/// The entity's kind in keys; its id is the tenant's own.
pub const KIND: &str = "upkeep";
/// The hour of the local day at which old conversations are erased: hardly anybody is at work then.
pub const HOUR: i8 = 3;
/// The version of what search keeps of a conversation. What was stored under a lower one is walked through again.
pub const WORDS_VERSION: u32 = 1;
/// A walk without news for this long is begun again where it last was.
pub const DEADLINE_MS: i64 = 5 * 60 * 1000;
/// A day in milliseconds.
pub const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What is known of an organization's upkeep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Upkeep {
    /// The organization; empty before it is planned.
    pub tenant: TenantId,
    /// Its zone.
    pub timezone: String,
    /// For how many days conversations are kept; for ever if none.
    pub keep_days: Option<u32>,
    /// For how many days after its end the people on a campaign's list are kept; for ever if none.
    pub keep_targets_days: Option<u32>,
    /// The local day on which that was said last: nothing is erased on the same day, so that a slip can be taken back.
    pub since: String,
    /// The last day on which old conversations were erased.
    pub swept: String,
    /// The version of what search keeps of all conversations.
    pub words: u32,
    /// The walk that gives old conversations their words.
    pub indexing: Option<Walk>,
    /// The walk that erases.
    pub sweeping: Option<Sweep>,
}

/// Where a walk through a list stands, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// When the conversation began that was looked at last, Unix milliseconds.
    pub at_ms: i64,
    /// Its id.
    pub id: String,
}

/// A walk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Walk {
    /// Counts from 1.
    pub attempt: u32,
    /// What was looked at last.
    pub after: Option<Place>,
    /// When it is begun again without news, Unix milliseconds.
    pub deadline_ms: i64,
}

/// A walk that erases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sweep {
    /// The local day it belongs to.
    pub day: String,
    /// What nothing was said in since then is erased, Unix milliseconds; 0: nothing is.
    pub before_ms: i64,
    /// The lists of campaigns that ended before then lose their people, Unix milliseconds.
    pub targets_before_ms: Option<i64>,
    /// Counts from 1.
    pub attempt: u32,
    /// When it is begun again without news, Unix milliseconds.
    pub deadline_ms: i64,
}

/// What may be asked; only by the service itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// What the organization wants.
    Plan {
        /// An IANA name.
        timezone: String,
        /// For how many days conversations are kept; for ever if none.
        keep_days: Option<u32>,
        /// For how many days after its end the people on a campaign's list are kept; for ever if none.
        #[serde(default)]
        keep_targets_days: Option<u32>,
        /// Whether it was founded just now: then there are no conversations from before.
        fresh: bool,
    },
    /// The walk for search came so far.
    Indexed {
        /// Which attempt.
        attempt: u32,
        /// What was looked at last; none at the end.
        after: Option<Place>,
    },
    /// The walk that erases goes on, or has ended.
    Swept {
        /// Which attempt.
        attempt: u32,
        /// Whether it has ended.
        ended: bool,
    },
    /// A deadline came.
    Tick,
    /// Tasks were lost.
    Recovered,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// What the organization wants.
    Planned {
        /// The organization.
        tenant: TenantId,
        /// An IANA name.
        timezone: String,
        /// For how many days conversations are kept; for ever if none.
        keep_days: Option<u32>,
        /// For how many days after its end the people on a campaign's list are kept; for ever if none.
        #[serde(default)]
        keep_targets_days: Option<u32>,
    },
    /// Conversations from before get their words.
    IndexingBegun {
        /// When it is begun again without news.
        deadline_ms: i64,
    },
    /// The walk for search came so far, or begins again.
    IndexingWent {
        /// Which attempt goes on.
        attempt: u32,
        /// What was looked at last.
        after: Option<Place>,
        /// When it is begun again without news.
        deadline_ms: i64,
    },
    /// All conversations have what search keeps of them in this version.
    WordsKept {
        /// Which.
        version: u32,
    },
    /// Old conversations are erased.
    SweepBegun {
        /// The local day.
        day: String,
        /// What nothing was said in since then.
        before_ms: i64,
        /// Since when campaigns have ended that lose their people.
        #[serde(default)]
        targets_before_ms: Option<i64>,
        /// When it is begun again without news.
        deadline_ms: i64,
    },
    /// The walk that erases goes on, or begins again.
    SweepWent {
        /// Which attempt goes on.
        attempt: u32,
        /// When it is begun again without news.
        deadline_ms: i64,
    },
    /// The walk that erases has ended.
    SweepEnded,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Done.
    Done,
}

/// Work outside the core. Both are repeatable: what has its words needs none, what is gone stays gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Effect {
    /// Give conversations their words.
    Index {
        /// Which attempt.
        attempt: u32,
        /// Where to go on.
        after: Option<Place>,
    },
    /// Erase conversations in which nothing was said since then.
    Sweep {
        /// Which attempt.
        attempt: u32,
        /// Since when, Unix milliseconds; 0: no conversation.
        before_ms: i64,
        /// Take the people off the lists of campaigns that ended before, Unix milliseconds.
        targets_before_ms: Option<i64>,
    },
}

/// What a command leads to.
pub type Outcome = Result<Decision<Event, Reply>, Rejection>;

/// Decides a command.
///
/// # Errors
/// `NotFound` for anyone but the service itself, `Superseded` for the news of an older attempt.
pub fn decide(state: &Upkeep, cx: &Context, command: Command) -> Outcome {
    if cx.principal.actor != Actor::System {
        return Err(Rejection::not_found(KIND));
    }
    let deadline_ms = cx.now_ms + DEADLINE_MS;
    let events = match command {
        Command::Plan { timezone, keep_days, keep_targets_days, fresh } => {
            let mut events = Vec::new();
            let kept = (state.keep_days, state.keep_targets_days);
            if (&state.tenant, &state.timezone, kept)
                != (&cx.principal.tenant, &timezone, (keep_days, keep_targets_days))
            {
                let tenant = cx.principal.tenant.clone();
                events.push(Event::Planned { tenant, timezone, keep_days, keep_targets_days });
            }
            if state.words < WORDS_VERSION && fresh {
                events.push(Event::WordsKept { version: WORDS_VERSION });
            } else if state.words < WORDS_VERSION && state.indexing.is_none() {
                events.push(Event::IndexingBegun { deadline_ms });
            }
            events
        }
        Command::Indexed { attempt, after } => {
            let current = state.indexing.as_ref().is_some_and(|walk| walk.attempt == attempt);
            match after {
                _ if !current => return Err(Rejection::Superseded),
                Some(_) => vec![Event::IndexingWent { attempt, after, deadline_ms }],
                None => vec![Event::WordsKept { version: WORDS_VERSION }],
            }
        }
        Command::Swept { attempt, ended } => {
            if state.sweeping.as_ref().is_none_or(|sweep| sweep.attempt != attempt) {
                return Err(Rejection::Superseded);
            }
            vec![if ended { Event::SweepEnded } else { Event::SweepWent { attempt, deadline_ms } }]
        }
        Command::Tick => {
            let mut events = again(state, cx, |deadline| deadline <= cx.now_ms);
            events.extend(begin(state, cx));
            events
        }
        Command::Recovered => again(state, cx, |_| true),
    };
    Ok(Decision::new(events, Reply::Done))
}

/// Folds one event.
pub fn apply(state: &mut Upkeep, event: &Event, _seq: u64, at_ms: i64) {
    match event {
        Event::Planned { tenant, timezone, keep_days, keep_targets_days } => {
            if (state.keep_days, state.keep_targets_days) != (*keep_days, *keep_targets_days) {
                state.since = local_date(&zone_or_utc(timezone), at_ms);
                // What is under way follows a wish of before.
                state.sweeping = None;
            }
            state.tenant.clone_from(tenant);
            state.timezone.clone_from(timezone);
            (state.keep_days, state.keep_targets_days) = (*keep_days, *keep_targets_days);
        }
        Event::IndexingBegun { deadline_ms } => {
            state.indexing = Some(Walk { attempt: 1, after: None, deadline_ms: *deadline_ms });
        }
        Event::IndexingWent { attempt, after, deadline_ms } => {
            state.indexing = Some(Walk { attempt: *attempt, after: after.clone(), deadline_ms: *deadline_ms });
        }
        Event::WordsKept { version } => {
            state.words = *version;
            state.indexing = None;
        }
        Event::SweepBegun { day, before_ms, targets_before_ms, deadline_ms } => {
            let (before_ms, targets_before_ms, deadline_ms) = (*before_ms, *targets_before_ms, *deadline_ms);
            state.sweeping = Some(Sweep { day: day.clone(), before_ms, targets_before_ms, attempt: 1, deadline_ms });
        }
        Event::SweepWent { attempt, deadline_ms } => {
            if let Some(sweep) = &mut state.sweeping {
                (sweep.attempt, sweep.deadline_ms) = (*attempt, *deadline_ms);
            }
        }
        Event::SweepEnded => {
            if let Some(sweep) = state.sweeping.take() {
                state.swept = sweep.day;
            }
        }
    }
}

/// What is still to be done.
pub fn pending(state: &Upkeep) -> Vec<(String, u32, Effect)> {
    let index = state.indexing.as_ref().map(|walk| {
        let effect = Effect::Index { attempt: walk.attempt, after: walk.after.clone() };
        ("index".to_owned(), walk.attempt, effect)
    });
    let sweep = state.sweeping.as_ref().map(|sweep| {
        let effect = Effect::Sweep {
            attempt: sweep.attempt,
            before_ms: sweep.before_ms,
            targets_before_ms: sweep.targets_before_ms,
        };
        (format!("sweep:{}", sweep.day), sweep.attempt, effect)
    });
    index.into_iter().chain(sweep).collect()
}

/// When it wants to be woken, Unix milliseconds.
pub fn timer(state: &Upkeep) -> Option<i64> {
    let indexing = state.indexing.as_ref().map(|walk| walk.deadline_ms);
    let sweeping = state.sweeping.as_ref().map(|sweep| sweep.deadline_ms).or_else(|| next_sweep_ms(state));
    [indexing, sweeping].into_iter().flatten().min()
}

/// The command a due timer turns into.
pub fn on_timer(state: &Upkeep, now_ms: i64) -> Option<Command> {
    timer(state).filter(|due| *due <= now_ms).map(|_| Command::Tick)
}

/// The command after tasks were lost.
pub fn on_recovered(state: &Upkeep) -> Option<Command> {
    (!pending(state).is_empty()).then_some(Command::Recovered)
}

/// The night on which old conversations are erased next; none while they are kept for ever.
fn next_sweep_ms(state: &Upkeep) -> Option<i64> {
    state.keep_days.or(state.keep_targets_days)?;
    // Days sort as their names do.
    let last = state.since.as_str().max(&state.swept);
    local_time_ms(&zone_or_utc(&state.timezone), &days_after(last, 1)?, HOUR)
}

fn begin(state: &Upkeep, cx: &Context) -> Option<Event> {
    next_sweep_ms(state).filter(|due| *due <= cx.now_ms && state.sweeping.is_none())?;
    let ago = |days: u32| cx.now_ms - i64::from(days) * DAY_MS;
    Some(Event::SweepBegun {
        day: local_date(&zone_or_utc(&state.timezone), cx.now_ms),
        before_ms: state.keep_days.map_or(0, ago),
        targets_before_ms: state.keep_targets_days.map(ago),
        deadline_ms: cx.now_ms + DEADLINE_MS,
    })
}

/// Walks that begin again: a lost task is nobody's failure, and a store that is away comes back.
fn again(state: &Upkeep, cx: &Context, is_due: impl Fn(i64) -> bool) -> Vec<Event> {
    let deadline_ms = cx.now_ms + DEADLINE_MS;
    let indexing = state.indexing.as_ref().filter(|walk| is_due(walk.deadline_ms));
    let sweeping = state.sweeping.as_ref().filter(|sweep| is_due(sweep.deadline_ms));
    let index =
        indexing.map(|walk| Event::IndexingWent { attempt: walk.attempt + 1, after: walk.after.clone(), deadline_ms });
    let sweep = sweeping.map(|sweep| Event::SweepWent { attempt: sweep.attempt + 1, deadline_ms });
    index.into_iter().chain(sweep).collect()
}
