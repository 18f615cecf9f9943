//! The record of operators' calls: one entity a month, so that none grows without end.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{context::Context, decision::Decision, principal::Actor, rejection::Rejection};

/// The entity's kind in keys.
pub const KIND: &str = "ops_log";

/// The tenant under which the installation's own entities live; no organization has this id.
pub const TENANT: &str = "_installation";

/// Entries that are kept at hand; older ones are in the journal.
pub const SHOWN_MAX: usize = 1_000;

/// The longest detail of an entry, characters.
pub const DETAIL_MAX: usize = 500;

/// One call of an operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// When it was recorded, Unix milliseconds.
    pub at_ms: i64,
    /// Who: the holder of the token on a node's own listener, or an administrator's account.
    pub actor: String,
    /// Which call, such as `shards.move`.
    pub action: String,
    /// On what, such as `shard 17`.
    pub resource: String,
    /// With which arguments.
    pub detail: String,
    /// What became of it: `accepted`, or the problem's code.
    pub outcome: String,
    /// Through which node.
    pub node: String,
}

/// The newest entries of a month, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OpsLog {
    /// The entries.
    pub entries: VecDeque<Entry>,
}

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// A call was made.
    Record {
        /// The call; its time is set here.
        entry: Entry,
    },
    /// What is at hand?
    Read,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A call was made.
    Recorded {
        /// The call.
        entry: Entry,
    },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Done.
    Done,
    /// What is at hand.
    Entries {
        /// Newest first.
        entries: Vec<Entry>,
    },
}

/// Which entity holds the calls of a time: its month, `2026-11`.
pub fn id_at(now_ms: i64) -> String {
    crate::local_time::rfc3339(now_ms)[..7].to_owned()
}

/// Decides a command.
///
/// # Errors
/// `NotFound` for anyone but the service itself.
pub fn decide(state: &OpsLog, cx: &Context, command: Command) -> Result<Decision<Event, Reply>, Rejection> {
    if cx.principal.actor != Actor::System {
        return Err(Rejection::not_found("log"));
    }
    match command {
        Command::Record { mut entry } => {
            entry.at_ms = cx.now_ms;
            for text in [&mut entry.actor, &mut entry.action, &mut entry.resource, &mut entry.detail] {
                if let Some((end, _)) = text.char_indices().nth(DETAIL_MAX) {
                    text.truncate(end);
                }
            }
            Ok(Decision::event(Event::Recorded { entry }, Reply::Done))
        }
        Command::Read => Ok(Decision::reply(Reply::Entries { entries: state.entries.iter().rev().cloned().collect() })),
    }
}

/// Folds one event.
pub fn apply(state: &mut OpsLog, event: &Event, _seq: u64, _at_ms: i64) {
    match event {
        Event::Recorded { entry } => {
            if state.entries.len() >= SHOWN_MAX {
                state.entries.pop_front();
            }
            state.entries.push_back(entry.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_calls_are_kept_and_read_newest_first() {
        let mut state = OpsLog::default();
        for nth in 0..=SHOWN_MAX {
            let entry = Entry { at_ms: nth as i64, ..Entry::default() };
            apply(&mut state, &Event::Recorded { entry }, nth as u64 + 1, 0);
        }
        assert_eq!(state.entries.len(), SHOWN_MAX);
        assert_eq!((state.entries[0].at_ms, state.entries[SHOWN_MAX - 1].at_ms), (1, SHOWN_MAX as i64));
    }

    #[test]
    fn month_names_the_entity() {
        assert_eq!(id_at(1_795_219_200_000), "2026-11");
    }
}
