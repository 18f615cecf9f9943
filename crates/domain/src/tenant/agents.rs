//! The registry of an organization's agents: room is reserved before one is made, so that a plan's limit holds.

use super::{
    AgentSlot, Effect, Outcome, Tenant,
    command::{Event, Reply},
    limits::{AGENTS_MAX, RESERVATION_MS},
    need, system,
};
use crate::{
    context::Context, decision::Decision, ids::AgentId, principal::Role, rejection::Rejection, vocabulary::AgentStatus,
};

pub(super) fn reserve(state: &Tenant, cx: &Context, agent: AgentId, name: String) -> Outcome {
    need(cx, Role::Manager, "make agents")?;
    if state.agents.contains_key(&agent) {
        return Ok(Decision::reply(Reply::Done));
    }
    let plan_limit = state.plan.limits.max_agents.map_or(AGENTS_MAX, |limit| limit as usize);
    let limit = plan_limit.min(AGENTS_MAX);
    if state.agents.len() >= limit {
        return Err(Rejection::LimitReached {
            limit: "max_agents".to_owned(),
            detail: format!(
                "The plan \"{}\" allows {limit} agent{}. Delete one or choose a larger plan.",
                state.plan.id,
                if limit == 1 { "" } else { "s" }
            ),
        });
    }
    let until_ms = cx.now_ms + RESERVATION_MS;
    Ok(Decision::event(Event::AgentReserved { agent, name, until_ms }, Reply::Done))
}

pub(super) fn changed(state: &Tenant, cx: &Context, agent: AgentId, name: String, status: AgentStatus) -> Outcome {
    system(cx)?;
    let told = AgentSlot { name: name.clone(), status: Some(status), reserved_until_ms: None, asked: 0 };
    Ok(if state.agents.get(&agent) == Some(&told) {
        Decision::reply(Reply::Done)
    } else {
        Decision::event(Event::AgentChanged { agent, name, status }, Reply::Done)
    })
}

pub(super) fn gone(state: &Tenant, cx: &Context, agent: AgentId) -> Outcome {
    system(cx)?;
    Ok(if state.agents.contains_key(&agent) {
        Decision::event(Event::AgentGone { agent }, Reply::Done)
    } else {
        Decision::reply(Reply::Done)
    })
}

/// Reservations nobody confirmed are asked for, again and again until there is an answer.
pub(super) fn due(state: &Tenant, cx: &Context) -> Option<Event> {
    let due = state.agents.values().any(|slot| slot.reserved_until_ms.is_some_and(|until| until <= cx.now_ms));
    due.then(|| Event::ReservationsExtended { until_ms: cx.now_ms + RESERVATION_MS })
}

pub(super) fn pending(state: &Tenant) -> Vec<(String, u32, Effect)> {
    let asked = state.agents.iter().filter(|(_, slot)| slot.reserved_until_ms.is_some() && slot.asked > 0);
    asked
        .map(|(agent, slot)| {
            (format!("settle-agent:{agent}"), slot.asked, Effect::SettleAgent { agent: agent.clone() })
        })
        .collect()
}
