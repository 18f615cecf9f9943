//! The traffic entity: how often pages with an agent's widget were seen in one day. One per agent and day, so that none grows.

use serde::{Deserialize, Serialize};

use crate::{
    context::Context, decision::Decision, ids::AgentId, numbers::Numbers, principal::Actor, rejection::Rejection,
};

/// The entity's kind in keys.
pub const KIND: &str = "traffic";

/// A day of an agent's traffic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// The agent; empty before the first visit.
    pub agent: AgentId,
    /// The first visit, Unix milliseconds.
    pub since_ms: i64,
    /// What it contributes.
    pub numbers: Numbers,
}

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// A page was seen.
    Visit {
        /// Of which agent.
        agent: AgentId,
    },
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A page was seen.
    Visited {
        /// Of which agent.
        agent: AgentId,
    },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Done.
    Done,
}

/// Decides a command.
///
/// # Errors
/// `NotFound` for anyone but the service itself.
pub fn decide(_state: &Traffic, cx: &Context, command: Command) -> Result<Decision<Event, Reply>, Rejection> {
    if cx.principal.actor != Actor::System {
        return Err(Rejection::not_found("traffic"));
    }
    match command {
        Command::Visit { agent } => Ok(Decision::event(Event::Visited { agent }, Reply::Done)),
    }
}

/// Folds one event.
pub fn apply(state: &mut Traffic, event: &Event, _seq: u64, at_ms: i64) {
    match event {
        Event::Visited { agent } => {
            if state.agent.0.is_empty() {
                state.agent = agent.clone();
                state.since_ms = at_ms;
            }
            state.numbers.at(at_ms).all.visits += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visits_are_counted() {
        let mut state = Traffic::default();
        for seq in 1..=3 {
            apply(&mut state, &Event::Visited { agent: "a".into() }, seq, 1_000);
        }
        assert_eq!(state.numbers.total().all.visits, 3);
        assert_eq!((state.agent.as_str(), state.since_ms), ("a", 1_000));
    }
}
