//! How far a number is set up at a provider that has agents of its own: which agent there it is bound to, and what it was bound to before, so that
//! giving it up puts that back.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Decision, Event, Lines, Number, Provider, Reply};
use crate::{check::Checks, context::Context, ids::AgentId, principal::Actor, rejection::Rejection, text};

/// Characters of an agent's id at its provider.
const EXTERNAL_CHARS_MAX: usize = 200;
/// Characters of a provider's explanation.
const TROUBLE_CHARS_MAX: usize = 300;

/// An agent at the provider and its share of a number's calls, thousandths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The provider's id of it.
    pub agent_id: String,
    /// Its share, thousandths: fractions that compare.
    pub thousandths: u32,
    /// Which version of it, as the provider wrote it; the newest if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Value>,
}

/// Which agents of the provider a number is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bindings {
    /// Who answers.
    pub inbound: Vec<Share>,
    /// Who calls.
    pub outbound: Vec<Share>,
}

/// How a number is set up at its provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SetUp {
    /// The agent there that it is bound to.
    pub agent: String,
    /// What it was bound to before we came.
    pub before: Bindings,
    /// Whether the provider has confirmed it.
    pub ready: bool,
    /// What stood in the way the last time.
    pub trouble: Option<String>,
}

/// How far a number is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Calls come to us.
    #[default]
    Ready,
    /// The provider is not known to bring its calls to us.
    NotSetUp,
}

impl Number {
    /// How far it is.
    pub fn state(&self) -> State {
        match (self.is.provider.as_retell(), &self.set_up) {
            (false, _) => State::Ready,
            (true, Some(set_up)) if set_up.ready => State::Ready,
            (true, _) => State::NotSetUp,
        }
    }
}

/// A step, noted by the service itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// An agent was made at the provider, or found there.
    AgentMade {
        /// At whom.
        provider: Provider,
        /// Ours.
        agent: AgentId,
        /// The provider's id of it.
        external_id: String,
        /// The one it takes the place of, which the provider does not know any more.
        #[serde(default)]
        instead_of: Option<String>,
    },
    /// It was deleted there.
    AgentGone {
        /// At whom.
        provider: Provider,
        /// Ours.
        agent: AgentId,
    },
    /// A number is about to be bound: what it was bound to before is kept, the first time.
    Binding {
        /// Which number.
        id: String,
        /// To which agent of the provider.
        agent: String,
        /// What it is bound to now.
        before: Bindings,
    },
    /// The provider has confirmed it.
    Bound {
        /// Which number.
        id: String,
    },
    /// It could not be done.
    NotBound {
        /// Which number.
        id: String,
        /// Why.
        why: String,
    },
}

pub(super) fn decide(state: &Lines, cx: &Context, step: Step) -> Result<Decision, Rejection> {
    if !matches!(cx.principal.actor, Actor::System) {
        return Err(Rejection::forbidden("this is done by the service itself"));
    }
    let number = |id: &str| state.numbers.get(id).ok_or_else(|| Rejection::not_found("number"));
    let done = |step: Step| Ok(Decision::event(Event::SetUp(step), Reply::Done));
    let same = || Ok(Decision::reply(Reply::Done));
    match step {
        Step::AgentMade { provider, agent, external_id, instead_of } => {
            let mut checks = Checks::default();
            checks.line("external_id", &external_id, 1, EXTERNAL_CHARS_MAX);
            checks.finish()?;
            let known = state.agents.get(&provider).and_then(|agents| agents.get(&agent));
            match known {
                // Two made one at once: the first stands, and whoever made the second takes it away again.
                Some(known) if Some(known) != instead_of.as_ref() => {
                    Ok(Decision::reply(Reply::Agent { external_id: known.clone() }))
                }
                Some(_) | None => {
                    let reply = Reply::Agent { external_id: external_id.clone() };
                    Ok(Decision::event(
                        Event::SetUp(Step::AgentMade { provider, agent, external_id, instead_of }),
                        reply,
                    ))
                }
            }
        }
        Step::AgentGone { provider, agent } => {
            let known = state.agents.get(&provider).is_some_and(|agents| agents.contains_key(&agent));
            if known { done(Step::AgentGone { provider, agent }) } else { same() }
        }
        Step::Binding { id, agent, before } => {
            let known = number(&id)?;
            match &known.set_up {
                Some(set_up) if set_up.agent == agent => same(),
                Some(_) | None => done(Step::Binding { id, agent, before }),
            }
        }
        Step::Bound { id } => match &number(&id)?.set_up {
            None => Err(Rejection::conflict("not_binding", "this number is not being set up")),
            Some(set_up) if set_up.ready && set_up.trouble.is_none() => same(),
            Some(_) => done(Step::Bound { id }),
        },
        Step::NotBound { id, why } => {
            let why = text::shorten(&text::one_line(&why), TROUBLE_CHARS_MAX);
            match &number(&id)?.set_up {
                Some(set_up) if set_up.trouble.as_ref() == Some(&why) && !set_up.ready => same(),
                Some(_) | None => done(Step::NotBound { id, why }),
            }
        }
    }
}

pub(super) fn apply(state: &mut Lines, step: &Step) {
    let mut set_up = |id: &str, change: &dyn Fn(&mut SetUp)| {
        if let Some(number) = state.numbers.get_mut(id) {
            change(number.set_up.get_or_insert_default());
        }
    };
    match step {
        Step::AgentMade { provider, agent, external_id, .. } => {
            state.agents.entry(*provider).or_default().insert(agent.clone(), external_id.clone());
        }
        Step::AgentGone { provider, agent } => {
            if let Some(agents) = state.agents.get_mut(provider) {
                agents.remove(agent);
            }
        }
        Step::Binding { id, agent, before } => set_up(id, &|set_up| {
            // Later it is bound to an agent of ours: what was before us is what is put back.
            if set_up.agent.is_empty() {
                set_up.before = before.clone();
            }
            set_up.agent.clone_from(agent);
            set_up.ready = false;
        }),
        Step::Bound { id } => set_up(id, &|set_up| {
            set_up.ready = true;
            set_up.trouble = None;
        }),
        Step::NotBound { id, why } => set_up(id, &|set_up| {
            set_up.ready = false;
            set_up.trouble = Some(why.clone());
        }),
    }
}
