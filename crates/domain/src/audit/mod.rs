//! The audit log of an organization: every call of people and keys that changed something, or was refused. One entity a month, so that none grows
//! without end; its journal is the log.
//!
//! An entry names its actor by id. Names are looked up when somebody reads, so that none stands here after its owner has gone.

use serde::{Deserialize, Serialize};

use crate::{context::Context, decision::Decision, principal::Actor, rejection::Rejection, text::shorten};

/// The entity's kind in keys; its ids are months, `2026-11`.
pub const KIND: &str = "audit";

/// The longest id, action or detail that is kept, characters: details list the names of changed fields.
const TEXT_CHARS_MAX: usize = 300;

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
    /// The names of changed fields, or the code it was refused with.
    pub detail: Option<String>,
    /// The network address it came from.
    pub address: Option<String>,
}

/// One month: only how many entries there are. The entries themselves are read from the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Month {
    /// Entries, which is the sequence number of the last one.
    pub count: u64,
}

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// A call was made.
    Record {
        /// The call.
        entry: Box<Entry>,
    },
    /// How many entries are there?
    Count,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A call was made.
    Recorded {
        /// The call.
        entry: Box<Entry>,
    },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// How many entries there are.
    Count {
        /// The sequence number of the last one.
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
    match command {
        Command::Record { mut entry } => {
            let short = |text: &str| shorten(text, TEXT_CHARS_MAX);
            entry.actor_id = short(&entry.actor_id);
            entry.action = short(&entry.action);
            entry.resource_kind = short(&entry.resource_kind);
            entry.resource_id = short(&entry.resource_id);
            entry.detail = entry.detail.as_deref().map(short);
            entry.address = entry.address.as_deref().map(short);
            Ok(Decision::event(Event::Recorded { entry }, Reply::Count { entries: cx.seq + 1 }))
        }
        Command::Count => Ok(Decision::reply(Reply::Count { entries: state.count })),
    }
}

/// Folds one event.
pub fn apply(state: &mut Month, event: &Event, seq: u64, _at_ms: i64) {
    match event {
        Event::Recorded { .. } => state.count = seq,
    }
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
        let Event::Recorded { entry } = &decision.events[0];
        assert_eq!(entry.detail.as_deref().map(|text| text.chars().count()), Some(TEXT_CHARS_MAX));
        let mut state = Month::default();
        apply(&mut state, &decision.events[0], 8, 5);
        assert_eq!(state.count, 8);
    }

    #[test]
    fn months_go_back_over_the_turn_of_the_year() {
        assert_eq!(month_of(1_795_219_200_000), "2026-11");
        assert_eq!(month_before("2026-11").as_deref(), Some("2026-10"));
        assert_eq!(month_before("2026-01").as_deref(), Some("2025-12"));
        assert_eq!(month_before("nothing"), None);
    }
}
