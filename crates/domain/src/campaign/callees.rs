//! Who the targets of a slice are: numbers, names and values for the script, by target, apart from the calls to them.
//!
//! They are an entity of their own so that a person can be erased: the next generation is written without that person under another key, the slice is
//! told of it, and the key of this one is destroyed. Whatever else is journaled of a campaign names people by keyed hashes only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{limits::SLICE_TARGETS, target::NewTarget};
use crate::{
    context::Context,
    decision,
    ids::{ContactId, LeadId},
    principal::Actor,
    rejection::Rejection,
};

/// The entity's kind in keys.
pub const KIND: &str = "campaign_callees";

/// What a command leads to.
pub type Decision = decision::Decision<Event, Reply>;

/// The id of a slice's callees in a generation.
pub fn id(slice: &str, book: u32) -> String {
    format!("{slice}.{book}")
}

/// One line of a list as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// E.164.
    pub phone: String,
    /// The time zones the number may be in.
    pub zones: Vec<String>,
    /// Name.
    pub name: Option<String>,
    /// Further values for the script.
    pub fields: BTreeMap<String, String>,
    /// The lead it was selected from.
    pub lead_id: Option<LeadId>,
    /// The contact.
    pub contact_id: Option<ContactId>,
    /// After this it is not called any more, Unix milliseconds.
    pub not_after_ms: Option<i64>,
}

impl Listed {
    /// As the slice and as the callees keep it; `guard` is the id of the number's contact guard.
    pub fn split(self, guard: String, import: u32) -> (NewTarget, Callee) {
        let Self { phone, zones, name, fields, lead_id, contact_id, not_after_ms } = self;
        (NewTarget { guard, zones, lead_id, contact_id, not_after_ms }, Callee { phone, name, fields, import })
    }
}

/// One person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Callee {
    /// E.164.
    pub phone: String,
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Further values for the script.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// The import it came with.
    pub import: u32,
}

/// The folded state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Callees {
    /// By target; none for who was erased.
    pub people: Vec<Option<Callee>>,
    /// Imports it has had.
    pub imports: Vec<u32>,
    /// The next generation is being written: nobody is added to this one any more.
    pub closed: bool,
}

/// What one may ask it to do. All of it is Colloquy's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// People of an import. The same import again changes nothing.
    Add {
        /// Which import.
        import: u32,
        /// They.
        people: Vec<Callee>,
    },
    /// The next generation is to be written.
    Close,
    /// A generation as the one before has left it. A second time changes nothing.
    Open {
        /// Everybody.
        callees: Box<Callees>,
    },
    /// Query: one of them.
    One {
        /// Which target.
        target: u32,
    },
    /// Query: all of them.
    All,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// People came.
    Added {
        /// Which import.
        import: u32,
        /// They.
        people: Vec<Callee>,
    },
    /// Nobody is added any more.
    Closed,
    /// It began with these.
    Opened {
        /// Everybody.
        callees: Box<Callees>,
    },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Done, or already so.
    Done,
    /// One of them, unless erased.
    One {
        /// Who.
        who: Option<Callee>,
    },
    /// All of them.
    All(Box<Callees>),
}

/// There is no work outside the core.
pub type Effect = std::convert::Infallible;

/// Decides a command.
///
/// # Errors
/// A [`Rejection`]: `Forbidden` for people, a conflict for additions to a generation that is closed.
pub fn decide(state: &Callees, cx: &Context, command: Command) -> Result<Decision, Rejection> {
    match cx.principal.actor {
        Actor::System => {}
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::Visitor { .. } | Actor::Platform { .. } => {
            return Err(Rejection::forbidden("this is done by the service itself"));
        }
    }
    match command {
        Command::Add { import, people } => {
            if people.is_empty() || state.imports.contains(&import) {
                return Ok(Decision::reply(Reply::Done));
            }
            if state.closed {
                return Err(Rejection::conflict(
                    "callees_closed",
                    "the list is being rewritten; try again in a moment",
                ));
            }
            if state.people.len() + people.len() > SLICE_TARGETS {
                return Err(Rejection::invalid("people", format!("a slice holds at most {SLICE_TARGETS}")));
            }
            Ok(Decision::event(Event::Added { import, people }, Reply::Done))
        }
        Command::Close if !state.closed => Ok(Decision::event(Event::Closed, Reply::Done)),
        Command::Open { callees } if state.people.is_empty() && state.imports.is_empty() => {
            Ok(Decision::event(Event::Opened { callees }, Reply::Done))
        }
        Command::Close | Command::Open { .. } => Ok(Decision::reply(Reply::Done)),
        Command::One { target } => {
            let at = usize::try_from(target).unwrap_or(usize::MAX);
            Ok(Decision::reply(Reply::One { who: state.people.get(at).cloned().flatten() }))
        }
        Command::All => Ok(Decision::reply(Reply::All(Box::new(state.clone())))),
    }
}

/// Folds one event.
pub fn apply(state: &mut Callees, event: &Event, _seq: u64, _at_ms: i64) {
    match event {
        Event::Added { import, people } => {
            state.people.extend(people.iter().cloned().map(Some));
            state.imports.push(*import);
        }
        Event::Closed => state.closed = true,
        Event::Opened { callees } => *state = Callees { closed: false, ..(**callees).clone() },
    }
}

/// Nothing is ever unfinished.
pub fn pending(_state: &Callees) -> Vec<(String, u32, Effect)> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::{Principal, Role};

    fn does(state: &mut Callees, command: Command) -> Result<Reply, Rejection> {
        as_actor(state, Actor::System, command)
    }

    fn as_actor(state: &mut Callees, actor: Actor, command: Command) -> Result<Reply, Rejection> {
        let principal = Principal { tenant: "t".into(), actor };
        let cx = Context { now_ms: 1, seq: 0, seed: [0; 32], principal };
        let decision = decide(state, &cx, command)?;
        decision.events.iter().for_each(|event| apply(state, event, 1, 1));
        Ok(decision.reply)
    }

    fn people(import: u32, count: usize) -> Vec<Callee> {
        (0..count).map(|n| Callee { phone: format!("+1415555{n:04}"), import, ..Callee::default() }).collect()
    }

    #[test]
    fn an_import_counts_once_and_a_full_slice_takes_nobody_more() {
        let mut state = Callees::default();
        for _ in 0..2 {
            does(&mut state, Command::Add { import: 1, people: people(1, 250) }).expect("added");
        }
        assert_eq!(state.people.len(), 250);
        assert!(does(&mut state, Command::Add { import: 2, people: people(2, 7) }).is_err());
        does(&mut state, Command::Add { import: 2, people: people(2, 6) }).expect("added");
        let who = does(&mut state, Command::One { target: 255 });
        assert!(matches!(who, Ok(Reply::One { who: Some(who) }) if who.import == 2));
        assert!(matches!(does(&mut state, Command::One { target: 256 }), Ok(Reply::One { who: None })));
    }

    #[test]
    fn the_next_generation_goes_on_without_who_was_erased() {
        let mut old = Callees::default();
        does(&mut old, Command::Add { import: 1, people: people(1, 3) }).expect("added");
        does(&mut old, Command::Close).expect("closed");
        let late = does(&mut old, Command::Add { import: 2, people: people(2, 1) });
        assert!(matches!(late, Err(Rejection::Conflict { .. })), "it would be lost");
        does(&mut old, Command::Add { import: 1, people: people(1, 3) }).expect("known");
        let mut next = Callees { people: old.people.clone(), imports: old.imports.clone(), closed: true };
        next.people[1] = None;
        let mut state = Callees::default();
        for _ in 0..2 {
            does(&mut state, Command::Open { callees: Box::new(next.clone()) }).expect("opened");
        }
        assert!(!state.closed && state.people[1].is_none() && state.people[2].is_some());
        does(&mut state, Command::Add { import: 2, people: people(2, 1) }).expect("added");
        does(&mut state, Command::Open { callees: Box::new(next) }).expect("known");
        assert_eq!(state.people.len(), 4, "opened late a second time it changes nothing");
    }

    #[test]
    fn nobody_but_the_service_itself_reads_it() {
        let user = Actor::User { id: "u".into(), role: Role::Owner, name: String::new() };
        for command in [Command::All, Command::One { target: 0 }, Command::Close] {
            let refused = as_actor(&mut Callees::default(), user.clone(), command);
            assert!(matches!(refused, Err(Rejection::Forbidden { .. })));
        }
    }
}
