//! The agent entity: a receptionist's configuration in versions, its status and its counters.
//!
//! In reading order: [`config`], [`limits`], [`problems`], [`patch`], [`make`] (templates and variables), the shapes, `status`, [`view`].

mod command;
pub mod config;
pub mod limits;
pub mod make;
pub mod patch;
pub mod problems;
mod state;
mod status;
#[cfg(test)]
mod tests;
pub mod view;

use serde_json::Value;

pub use command::{Command, Event, Reply, Totals};
pub use state::{Agent, SavedVersion};

use self::config::AgentConfig;
use crate::{
    catalog::template::SampleFaq,
    context::Context,
    decision::Decision,
    ids::AgentId,
    knowledge,
    principal::{Actor, Role},
    rejection::Rejection,
    tenant,
    vocabulary::AgentStatus,
};

/// The entity's kind in keys.
pub const KIND: &str = "agent";

/// What a command leads to.
pub type Outcome = Result<Decision<Event, Reply>, Rejection>;

/// What another entity must learn of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Tell {
    /// The organization's registry.
    Tenant(tenant::Command),
    /// The agent's knowledge, which has the agent's id.
    Knowledge(knowledge::Command),
}

/// Decides a command.
///
/// # Errors
/// `NotFound` for foreign principals and deleted agents, `Forbidden` below the needed role, `Invalid` for wrong fields,
/// `Stale` for an old version, `Conflict` with `invalid_status` or `already_done`.
pub fn decide(state: &Agent, cx: &Context, command: Command) -> Outcome {
    if let Command::Create { agent, config, faqs, draft, publishable_key, max_pages } = command {
        return create(state, cx, New { agent, config, faqs, draft, publishable_key, max_pages });
    }
    if !state.exists() {
        // An agent that is gone has nothing left to count or delete.
        let leftover = matches!(
            command,
            Command::Delete | Command::Count(_) | Command::IndexReady { .. } | Command::IndexFailed { .. }
        );
        let quiet = leftover && cx.principal.actor == Actor::System;
        return if quiet { Ok(Decision::reply(Reply::Done)) } else { Err(not_found()) };
    }
    cx.bound_to(&state.tenant, "agent")?;
    match command {
        Command::Create { agent, config, faqs, draft, publishable_key, max_pages } => {
            create(state, cx, New { agent, config, faqs, draft, publishable_key, max_pages })
        }
        Command::Update { patch, if_version } => update(state, cx, patch, if_version),
        Command::Restore { version } => restore(state, cx, version),
        Command::SetStatus { status } => {
            need(state, cx, Role::Manager, "change agents")?;
            let events: Vec<Event> = status::wanted(state, status)?.into_iter().collect();
            Ok(seen(state, cx, events))
        }
        Command::IndexReady { index_version, settled } => {
            system(cx)?;
            Ok(Decision::new(status::index_ready(state, index_version, settled), Reply::Done))
        }
        Command::IndexFailed { reason } => {
            system(cx)?;
            Ok(Decision::new(status::index_failed(state, &reason).into_iter().collect(), Reply::Done))
        }
        Command::Count(totals) => {
            system(cx)?;
            let nothing = totals == Totals::default();
            Ok(if nothing {
                Decision::reply(Reply::Done)
            } else {
                Decision::event(Event::Counted(totals), Reply::Done)
            })
        }
        Command::Delete => {
            need(state, cx, Role::Manager, "delete agents")?;
            Ok(Decision::event(Event::Deleted, Reply::Done))
        }
        Command::View => {
            need(state, cx, Role::Viewer, "see agents")?;
            Ok(seen(state, cx, Vec::new()))
        }
        Command::Public => {
            may_visit(state, cx)?;
            let public = view::public(state).ok_or_else(not_found)?;
            Ok(Decision::reply(Reply::Public(Box::new(public))))
        }
        Command::Config { version } => configuration(state, cx, version),
        Command::Versions => {
            need(state, cx, Role::Viewer, "see agents")?;
            Ok(Decision::reply(Reply::Versions { items: view::versions(state) }))
        }
        Command::Export => {
            need(state, cx, Role::Manager, "duplicate agents")?;
            let current = state.current().ok_or_else(not_found)?;
            let config = Box::new(make::copy_of(&current.config));
            Ok(Decision::reply(Reply::Config { version: current.version, status: state.status, config }))
        }
    }
}

/// Folds one event.
pub fn apply(state: &mut Agent, event: &Event, seq: u64, at_ms: i64) {
    state.fold(event, seq, at_ms);
}

/// What the organization and the knowledge must learn of an event; `state` is the state right after it.
pub fn tells(state: &Agent, event: &Event) -> Vec<Tell> {
    let registry = || {
        let current = state.current()?;
        let name = current.config.name.clone();
        Some(Tell::Tenant(tenant::Command::AgentChanged { agent: state.id.clone(), name, status: state.status }))
    };
    match event {
        Event::Created { agent, config, faqs, max_pages, .. } => {
            let setup = knowledge::Command::Setup {
                agent: agent.clone(),
                website_url: config.website_url.clone(),
                faqs: faqs.clone(),
                max_pages: *max_pages,
            };
            registry().into_iter().chain([Tell::Knowledge(setup)]).collect()
        }
        Event::Saved { .. } | Event::StatusSet { .. } | Event::IndexFailed { .. } => registry().into_iter().collect(),
        Event::Deleted => vec![
            Tell::Tenant(tenant::Command::AgentGone { agent: state.id.clone() }),
            Tell::Knowledge(knowledge::Command::Delete),
        ],
        Event::IndexReady { .. } | Event::Counted(_) => Vec::new(),
    }
}

struct New {
    agent: AgentId,
    config: Box<AgentConfig>,
    faqs: Vec<SampleFaq>,
    draft: bool,
    publishable_key: String,
    max_pages: Option<u32>,
}

/// Questions and answers a template may bring; every template has fewer than thirty.
const TEMPLATE_FAQS_MAX: usize = 200;

fn create(state: &Agent, cx: &Context, new: New) -> Outcome {
    if !cx.principal.at_least(Role::Manager) {
        return Err(if cx.principal.role().is_some() {
            Rejection::forbidden("Only managers and above may make agents.")
        } else {
            not_found()
        });
    }
    if let Actor::ApiKey { agent: Some(only), .. } = &cx.principal.actor
        && *only != new.agent
    {
        return Err(Rejection::forbidden("This key belongs to one agent and cannot make another."));
    }
    if state.exists() {
        cx.bound_to(&state.tenant, "agent")?;
        let agent = Box::new(view::agent(state).ok_or_else(not_found)?);
        return Ok(Decision::reply(Reply::Created { fresh: false, agent }));
    }
    if state.deleted_ms.is_some() {
        return Err(Rejection::conflict("already_done", "This agent was deleted."));
    }
    if new.agent.0.is_empty() || new.faqs.len() > TEMPLATE_FAQS_MAX {
        return Err(Rejection::invalid("agent", "must have an id and a bounded number of questions"));
    }
    // The same checks as for a change: a caller may have built the configuration by hand.
    let config = Box::new(patch::patched(&new.config, &Value::Object(serde_json::Map::new()))?);
    let event = Event::Created {
        agent: new.agent,
        tenant: cx.principal.tenant.clone(),
        status: status::first(new.draft, config.website_url.is_some()),
        config,
        faqs: new.faqs,
        publishable_key: new.publishable_key,
        max_pages: new.max_pages,
        by: author(cx),
    };
    let after = folded(state, cx, std::slice::from_ref(&event));
    let agent = Box::new(view::agent(&after).ok_or_else(not_found)?);
    Ok(Decision::event(event, Reply::Created { fresh: true, agent }))
}

fn update(state: &Agent, cx: &Context, mut patch: Value, if_version: Option<u32>) -> Outcome {
    need(state, cx, Role::Manager, "change agents")?;
    let current = state.current().ok_or_else(not_found)?;
    if if_version.is_some_and(|version| version != current.version) {
        let current = serde_json::to_value(view::agent(state)).unwrap_or(Value::Null);
        return Err(Rejection::Stale { current });
    }
    let status = patch.as_object_mut().and_then(|fields| fields.remove("status"));
    let mut events = Vec::new();
    let config = patch::patched(&current.config, &patch)?;
    if config != current.config {
        let version = current.version.saturating_add(1);
        events.push(Event::Saved { version, config: Box::new(config), restored: None, by: author(cx) });
    }
    if let Some(status) = status {
        let status: AgentStatus = serde_json::from_value(status)
            .map_err(|_| Rejection::invalid("status", "must be one of draft, active, paused"))?;
        events.extend(status::wanted(state, status)?);
    }
    Ok(seen(state, cx, events))
}

fn restore(state: &Agent, cx: &Context, version: u32) -> Outcome {
    need(state, cx, Role::Manager, "change agents")?;
    let current = state.current().ok_or_else(not_found)?;
    let Some(wanted) = state.version(version) else { return Err(Rejection::not_found("version")) };
    if wanted.config == current.config {
        return Ok(seen(state, cx, Vec::new()));
    }
    let event = Event::Saved {
        version: current.version.saturating_add(1),
        config: Box::new(wanted.config.clone()),
        restored: Some(version),
        by: author(cx),
    };
    Ok(seen(state, cx, vec![event]))
}

fn configuration(state: &Agent, cx: &Context, version: Option<u32>) -> Outcome {
    system(cx)?;
    let current = state.current().ok_or_else(not_found)?;
    // A version that is no longer kept is answered with the current one; the reply says which it is.
    let saved = version.and_then(|version| state.version(version)).unwrap_or(current);
    let config = Box::new(saved.config.clone());
    Ok(Decision::reply(Reply::Config { version: saved.version, status: state.status, config }))
}

/// The events and the agent as it is after them.
fn seen(state: &Agent, cx: &Context, events: Vec<Event>) -> Decision<Event, Reply> {
    let after = folded(state, cx, &events);
    let reply = view::agent(&after).map_or(Reply::Done, |agent| Reply::Agent(Box::new(agent)));
    Decision::new(events, reply)
}

fn folded(state: &Agent, cx: &Context, events: &[Event]) -> Agent {
    let mut after = state.clone();
    for (event, seq) in events.iter().zip(cx.seq + 1..) {
        apply(&mut after, event, seq, cx.now_ms);
    }
    after
}

/// Refuses roles that are too low and keys of other agents.
fn need(state: &Agent, cx: &Context, role: Role, what: &str) -> Result<(), Rejection> {
    match &cx.principal.actor {
        Actor::ApiKey { agent: Some(only), .. } if *only != state.id => Err(not_found()),
        Actor::Visitor { .. } => Err(not_found()),
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::Platform { .. } | Actor::System => {
            if cx.principal.at_least(role) {
                Ok(())
            } else {
                Err(Rejection::forbidden(format!("Your role does not allow you to {what}.")))
            }
        }
    }
}

/// Anyone of the organization, and visitors of this very agent.
fn may_visit(state: &Agent, cx: &Context) -> Result<(), Rejection> {
    match &cx.principal.actor {
        Actor::Visitor { agent, .. } if *agent == state.id => Ok(()),
        Actor::Visitor { .. } => Err(not_found()),
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::Platform { .. } | Actor::System => {
            need(state, cx, Role::Viewer, "see agents")
        }
    }
}

fn system(cx: &Context) -> Result<(), Rejection> {
    if cx.principal.actor == Actor::System { Ok(()) } else { Err(not_found()) }
}

fn author(cx: &Context) -> Option<String> {
    match &cx.principal.actor {
        Actor::User { id, .. } | Actor::Platform { id } => Some(id.0.clone()),
        Actor::ApiKey { .. } | Actor::Visitor { .. } | Actor::System => None,
    }
}

fn not_found() -> Rejection {
    Rejection::not_found("agent")
}
