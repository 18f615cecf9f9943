//! The audit log of an organization: every call of people and keys that changed something, or was refused. One entity a month, so that none grows
//! without end; its journal is the log.
//!
//! A call is noted before it is run and again when its outcome is known: one that nobody heard the end of is in the log as unknown.
//! An entry names its actor by id. Names are looked up when somebody reads, so that none stands here after its owner has gone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    context::Context, decision::Decision, ids::TenantId, principal::Actor, rejection::Rejection, text::shorten,
};

/// The entity's kind in keys; its ids are months, `2026-11`.
pub const KIND: &str = "audit";

/// The longest id, action or detail that is kept, characters: details list the names of changed fields.
const TEXT_CHARS_MAX: usize = 300;
/// A call that was begun this long ago will have no end any more: none may take that long.
pub const LOST_AFTER_MS: i64 = 10 * 60 * 1000;
/// Calls that are under way at the same time: one organization has a fraction of it. What is above is in the log when it has ended only.
const BEGUN_MAX: usize = 1_000;

/// What made a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A member.
    User,
    /// A program with a key.
    ApiKey,
    /// An administrator of the platform.
    Operator,
    /// Colloquy itself.
    #[default]
    System,
}

/// One call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// What called.
    pub actor_kind: ActorKind,
    /// Its id.
    pub actor_id: String,
    /// What was done to what, such as `agent.updated`.
    pub action: String,
    /// The kind of thing.
    pub resource_kind: String,
    /// Its id; empty for what a refused call would have made.
    pub resource_id: String,
    /// Whether it was done.
    pub done: bool,
    /// Whether nobody knows what became of it: a node ended in the middle.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unknown: bool,
    /// The names of changed fields, or the code it was refused with.
    pub detail: Option<String>,
    /// The network address it came from.
    pub address: Option<String>,
}

/// One month: only what is under way. The entries themselves are read from the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Month {
    /// The organization; empty in months from before calls were noted beforehand.
    pub tenant: TenantId,
    /// The place of the last event.
    pub count: u64,
    /// Calls without an end yet, with when they began.
    pub begun: BTreeMap<String, (i64, Entry)>,
}

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// A call is about to be run.
    Begin {
        /// Names it until its end.
        id: String,
        /// What is known of it.
        entry: Box<Entry>,
    },
    /// A call that was begun has ended; without an entry it stands in another log.
    End {
        /// Which.
        id: String,
        /// The call.
        entry: Option<Box<Entry>>,
    },
    /// A call was made.
    Record {
        /// The call.
        entry: Box<Entry>,
    },
    /// How far does the log go?
    Count,
    /// A deadline came.
    Tick,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A call is about to be run.
    Begun {
        /// The organization.
        tenant: TenantId,
        /// Names it until its end.
        id: String,
        /// What is known of it.
        entry: Box<Entry>,
    },
    /// A call was made.
    Recorded {
        /// The call.
        entry: Box<Entry>,
        /// Which of those that were begun it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        begun: Option<String>,
    },
    /// A call that was begun stands in another log.
    Dropped {
        /// Which.
        id: String,
    },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// How far the log goes.
    Count {
        /// The sequence number of the last event.
        entries: u64,
    },
}

/// Which entity holds the calls of an instant: its month, `2026-11`.
pub fn month_of(at_ms: i64) -> String {
    crate::local_time::rfc3339(at_ms)[..7].to_owned()
}

/// The month before `2026-11`; `None` for what is no month.
pub fn month_before(month: &str) -> Option<String> {
    let day = crate::local_time::days_after(&format!("{month}-01"), -1)?;
    day.get(..7).map(str::to_owned)
}

/// Decides a command.
///
/// # Errors
/// `NotFound` for anyone but the service itself.
pub fn decide(state: &Month, cx: &Context, command: Command) -> Result<Decision<Event, Reply>, Rejection> {
    if cx.principal.actor != Actor::System {
        return Err(Rejection::not_found("log"));
    }
    let events = match command {
        // Asked twice: it is begun already.
        Command::Begin { id, .. } if state.begun.contains_key(&id) || state.begun.len() >= BEGUN_MAX => Vec::new(),
        Command::Begin { id, entry } => {
            vec![Event::Begun { tenant: cx.principal.tenant.clone(), id, entry: cut(entry) }]
        }
        Command::End { id, entry: Some(entry) } => {
            vec![Event::Recorded { entry: cut(entry), begun: Some(id).filter(|id| state.begun.contains_key(id)) }]
        }
        Command::End { id, entry: None } if state.begun.contains_key(&id) => vec![Event::Dropped { id }],
        Command::End { .. } | Command::Count => Vec::new(),
        Command::Record { entry } => vec![Event::Recorded { entry: cut(entry), begun: None }],
        Command::Tick => {
            let lost = state.begun.iter().filter(|(_, (at_ms, _))| at_ms + LOST_AFTER_MS <= cx.now_ms);
            let lost = lost.map(|(id, (_, entry))| Event::Recorded {
                entry: Box::new(Entry { done: false, unknown: true, detail: None, ..entry.clone() }),
                begun: Some(id.clone()),
            });
            lost.collect()
        }
    };
    let entries = if events.is_empty() { state.count } else { cx.seq + events.len() as u64 };
    Ok(Decision::new(events, Reply::Count { entries }))
}

/// Folds one event.
pub fn apply(state: &mut Month, event: &Event, seq: u64, at_ms: i64) {
    state.count = seq;
    match event {
        Event::Begun { tenant, id, entry } => {
            state.tenant.clone_from(tenant);
            state.begun.insert(id.clone(), (at_ms, (**entry).clone()));
        }
        Event::Recorded { begun: Some(id), .. } | Event::Dropped { id } => {
            state.begun.remove(id);
        }
        Event::Recorded { begun: None, .. } => {}
    }
}

/// When it wants to be woken, Unix milliseconds.
pub fn timer(state: &Month) -> Option<i64> {
    state.begun.values().map(|(at_ms, _)| at_ms + LOST_AFTER_MS).min()
}

/// The command a due timer turns into.
pub fn on_timer(state: &Month, now_ms: i64) -> Option<Command> {
    timer(state).filter(|due| *due <= now_ms).map(|_| Command::Tick)
}

/// An entry with texts of bounded length.
fn cut(mut entry: Box<Entry>) -> Box<Entry> {
    let short = |text: &str| shorten(text, TEXT_CHARS_MAX);
    entry.actor_id = short(&entry.actor_id);
    entry.action = short(&entry.action);
    entry.resource_kind = short(&entry.resource_kind);
    entry.resource_id = short(&entry.resource_id);
    entry.detail = entry.detail.as_deref().map(short);
    entry.address = entry.address.as_deref().map(short);
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::Principal;

    fn context(actor: Actor) -> Context {
        Context { now_ms: 5, seq: 7, seed: [0; 32], principal: Principal { tenant: "t".into(), actor } }
    }

    #[test]
    fn only_the_service_writes_and_long_texts_are_cut() {
        let entry = Box::new(Entry { detail: Some("x".repeat(5_000)), ..Entry::default() });
        let stranger = Actor::Platform { id: "u".into() };
        let record = Command::Record { entry };
        assert!(decide(&Month::default(), &context(stranger), record.clone()).is_err());
        let decision = decide(&Month::default(), &context(Actor::System), record).unwrap();
        assert_eq!(decision.reply, Reply::Count { entries: 8 });
        let Event::Recorded { entry, .. } = &decision.events[0] else { panic!("{:?}", decision.events) };
        assert_eq!(entry.detail.as_deref().map(|text| text.chars().count()), Some(TEXT_CHARS_MAX));
        let mut state = Month::default();
        apply(&mut state, &decision.events[0], 8, 5);
        assert_eq!(state.count, 8);
    }

    #[test]
    fn a_call_without_an_end_is_in_the_log_as_unknown_and_one_with_an_end_is_there_once() {
        let mut state = Month::default();
        let mut log = Vec::new();
        let mut seq = 0;
        let mut ask = |state: &mut Month, now_ms: i64, command: Command| {
            let cx = Context { now_ms, seq, ..context(Actor::System) };
            for event in decide(state, &cx, command).unwrap().events {
                seq += 1;
                apply(state, &event, seq, now_ms);
                if let Event::Recorded { entry, .. } = event {
                    log.push((entry.action.clone(), entry.done, entry.unknown));
                }
            }
        };
        let call = |action: &str, done| Box::new(Entry { action: action.into(), done, ..Entry::default() });
        let begin = |id: &str| Command::Begin { id: id.into(), entry: call(id, false) };
        for id in ["ends", "dies", "elsewhere"] {
            ask(&mut state, 100, begin(id));
            ask(&mut state, 101, begin(id));
        }
        ask(&mut state, 200, Command::End { id: "ends".into(), entry: Some(call("ends", true)) });
        ask(&mut state, 200, Command::End { id: "elsewhere".into(), entry: None });
        assert_eq!(timer(&state), Some(100 + LOST_AFTER_MS));
        assert_eq!(on_timer(&state, 99 + LOST_AFTER_MS), None);
        let due = on_timer(&state, 100 + LOST_AFTER_MS).expect("due");
        ask(&mut state, 100 + LOST_AFTER_MS, due);
        assert_eq!(timer(&state), None);
        // Its end came after all, from a node that stood still: both stand there.
        ask(&mut state, 200 + LOST_AFTER_MS, Command::End { id: "dies".into(), entry: Some(call("dies", true)) });
        let told: Vec<_> = log.iter().map(|(action, done, unknown)| (action.as_str(), *done, *unknown)).collect();
        assert_eq!(told, [("ends", true, false), ("dies", false, true), ("dies", true, false)]);
        assert_eq!(state.count, seq);
    }

    #[test]
    fn months_go_back_over_the_turn_of_the_year() {
        assert_eq!(month_of(1_795_219_200_000), "2026-11");
        assert_eq!(month_before("2026-11").as_deref(), Some("2026-10"));
        assert_eq!(month_before("2026-01").as_deref(), Some("2025-12"));
        assert_eq!(month_before("nothing"), None);
    }
}
