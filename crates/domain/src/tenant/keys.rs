//! API keys: secret ones for programs, publishable ones for web pages (AUTH-6, AUTH-7).

use super::{
    ApiKey, KeyKind, Outcome, Tenant,
    command::{Event, Reply},
    limits::{KEY_USED_EVERY_MS, KEYS_MAX},
    need, system, view,
};
use crate::{
    check::{Checks, NAME_CHARS_MAX},
    context::Context,
    decision::Decision,
    ids::{AgentId, ApiKeyId},
    principal::Role,
    rejection::Rejection,
};

/// A key about to be made.
pub(super) struct NewKey {
    pub(super) id: ApiKeyId,
    pub(super) hash: String,
    pub(super) hint: String,
    pub(super) kind: KeyKind,
    pub(super) role: Role,
    pub(super) agent: Option<AgentId>,
    pub(super) name: String,
}

pub(super) fn list(state: &Tenant, cx: &Context) -> Outcome {
    need(cx, Role::Admin, "see API keys")?;
    Ok(Decision::reply(Reply::Keys { items: view::keys(state) }))
}

pub(super) fn create(state: &Tenant, cx: &Context, new: NewKey) -> Outcome {
    let own = need(cx, Role::Admin, "make API keys")?;
    if new.role > own {
        return Err(Rejection::forbidden("You cannot give a role above your own."));
    }
    let name = new.name.trim().to_owned();
    let mut checks = Checks::default();
    checks.line("name", &name, 1, NAME_CHARS_MAX);
    checks.line("id", &new.id.0, 1, 64);
    checks.line("hash", &new.hash, 1, 512);
    checks.line("hint", &new.hint, 0, 16);
    checks.ensure(new.role != Role::Owner, "role", "must be admin or below: an organization is owned by people");
    if new.kind == KeyKind::Publishable {
        checks.ensure(new.role == Role::Viewer, "role", "must be viewer: anyone can read a publishable key");
        checks.ensure(new.agent.is_some(), "agent_id", "must name the agent this publishable key is for");
    }
    if let Some(agent) = &new.agent {
        checks.ensure(state.agents.contains_key(agent), "agent_id", "is not an agent of this organization");
    }
    checks.finish()?;
    if state.keys.contains_key(&new.id) {
        return Err(Rejection::conflict("already_done", "This key exists already."));
    }
    if state.keys.values().filter(|key| key.revoked_ms.is_none()).count() >= KEYS_MAX {
        return Err(Rejection::LimitReached {
            limit: "api_keys".to_owned(),
            detail: format!("{KEYS_MAX} keys are in use. Revoke one first."),
        });
    }
    let shown = ApiKey {
        hash: new.hash.clone(),
        hint: new.hint.clone(),
        kind: new.kind,
        role: new.role,
        agent: new.agent.clone(),
        name: name.clone(),
        created_ms: cx.now_ms,
        used_ms: None,
        revoked_ms: None,
    };
    let reply = Reply::Key(view::key(&new.id, &shown));
    let NewKey { id, hash, hint, kind, role, agent, .. } = new;
    Ok(Decision::event(Event::KeyCreated { id, hash, hint, kind, role, agent, name }, reply))
}

pub(super) fn check(state: &Tenant, cx: &Context, id: ApiKeyId, hash: &str) -> Outcome {
    system(cx)?;
    let good = state.keys.get(&id).filter(|key| key.revoked_ms.is_none() && key.hash == hash);
    // A wrong, revoked or unknown key looks the same.
    let Some(key) = good else { return Err(Rejection::not_found("API key")) };
    let reply = Reply::KeyGood { kind: key.kind, role: key.role, agent: key.agent.clone() };
    let noted = key.used_ms.is_some_and(|used| cx.now_ms - used < KEY_USED_EVERY_MS);
    Ok(if noted { Decision::reply(reply) } else { Decision::event(Event::KeyUsed { id }, reply) })
}

pub(super) fn revoke(state: &Tenant, cx: &Context, id: ApiKeyId) -> Outcome {
    let own = need(cx, Role::Admin, "revoke API keys")?;
    match state.keys.get(&id) {
        None => Err(Rejection::not_found("API key")),
        Some(key) if key.role > own => Err(Rejection::forbidden("This key has a role above your own.")),
        Some(key) if key.revoked_ms.is_some() => Ok(Decision::reply(Reply::Done)),
        Some(_) => Ok(Decision::event(Event::KeyRevoked { id }, Reply::Done)),
    }
}
