//! The tenant entity: one organization with its profile, people, keys, plan and the registry of its agents.
//!
//! In reading order: [`limits`], [`plan`], [`profile`], the shapes, `members`, `invitations`, `keys`, `agents`, `routing`, `erasures`, [`view`].

mod agents;
mod command;
mod erasures;
mod invitations;
mod keys;
pub mod limits;
mod members;
pub mod plan;
pub mod profile;
mod routing;
mod state;
#[cfg(test)]
mod tests;
pub mod view;

use serde_json::Value;

pub use command::{Command, Effect, Event, Person, Reply};
pub use erasures::hashes;
pub use state::{
    AgentSlot, ApiKey, DeploymentMode, Erasure, ErasureStatus, ErasureWho, Hidden, Invitation, KeyKind, Member, Tenant,
    Whom,
};

use self::{plan::Plan, profile::Profile};
use crate::{
    account::{self, MembershipChange},
    check::{Checks, NAME_CHARS_MAX, normal_email},
    context::Context,
    decision::Decision,
    ids::UserId,
    principal::{Actor, Role},
    rejection::Rejection,
};

/// The entity's kind in keys; its id is the tenant's own.
pub const KIND: &str = "tenant";

/// What a command leads to.
pub type Outcome = Result<Decision<Event, Reply>, Rejection>;

/// Decides a command.
///
/// # Errors
/// `NotFound` for foreign principals and unknown ids, `Forbidden` below the needed role, `Invalid` for wrong fields, `Stale` for an old version,
/// `LimitReached`, and `Conflict` with `last_owner`, `already_member`, `invitation_void`, `organization_suspended` or `already_done`.
pub fn decide(state: &Tenant, cx: &Context, command: Command) -> Outcome {
    if let Command::Create { profile, owner, plan, deployment_mode } = command {
        return create(state, cx, &profile, owner, plan, deployment_mode);
    }
    if !state.exists() {
        return Err(Rejection::not_found("organization"));
    }
    cx.bound_to(&state.id, "organization")?;
    running(state, cx, &command)?;
    match command {
        Command::Create { profile, owner, plan, deployment_mode } => {
            create(state, cx, &profile, owner, plan, deployment_mode)
        }
        Command::Update { patch, if_version } => update(state, cx, &patch, if_version),
        Command::View => {
            need(cx, Role::Viewer, "see the organization")?;
            Ok(Decision::reply(Reply::Organization(Box::new(view::organization(state)))))
        }
        Command::Facts => {
            system(cx)?;
            Ok(Decision::reply(Reply::Facts(Box::new(view::facts(state)))))
        }
        Command::Members => members::list(state, cx),
        Command::SetRole { user, role, if_version } => members::set_role(state, cx, user, role, if_version),
        Command::RemoveMember { user } => members::remove(state, cx, user),
        Command::PersonChanged(person) => members::changed(state, cx, person),
        Command::Invitations => invitations::list(state, cx),
        Command::Invite { code_hash, email, role } => invitations::invite(state, cx, code_hash, email, role),
        Command::ShowInvitation { code_hash } => invitations::show(state, cx, &code_hash),
        Command::AcceptInvitation { code_hash, person } => invitations::accept(state, cx, &code_hash, person),
        Command::DeclineInvitation { code_hash } => invitations::decline(state, cx, &code_hash),
        Command::RevokeInvitation { id } => invitations::revoke(state, cx, id),
        Command::Keys => keys::list(state, cx),
        Command::CreateKey { id, hash, hint, kind, role, agent, name } => {
            keys::create(state, cx, keys::NewKey { id, hash, hint, kind, role, agent, name })
        }
        Command::UseKey { id, hash } => keys::check(state, cx, id, &hash),
        Command::RevokeKey { id } => keys::revoke(state, cx, id),
        Command::ReserveAgent { agent, name } => agents::reserve(state, cx, agent, name),
        Command::AgentChanged { agent, name, status } => agents::changed(state, cx, agent, name, status),
        Command::AgentGone { agent } => agents::gone(state, cx, agent),
        Command::Route { routes } => routing::route(state, cx, &routes),
        Command::RequestErasure { id, who, key, guard_key } => {
            erasures::request(state, cx, id, who, erasures::Keys { erasure: &key, guard: &guard_key })
        }
        Command::ErasureProgress { id, attempt, counts, done } => {
            erasures::progress(state, cx, id, attempt, counts, done)
        }
        Command::ErasureFailed { id, attempt, reason } => erasures::failed(state, cx, &id, attempt, reason),
        Command::Erasures => erasures::list(state, cx),
        Command::SetPlan { plan } => {
            platform(cx)?;
            Ok(changed(plan != state.plan, Event::PlanSet { plan }))
        }
        Command::SetDeploymentMode { mode } => {
            platform(cx)?;
            Ok(changed(mode != state.deployment_mode, Event::DeploymentModeSet { mode }))
        }
        Command::SetSuspended { reason } => {
            platform(cx)?;
            Ok(changed(reason != state.suspended, Event::SuspendedSet { reason }))
        }
        Command::Tick => tick(state, cx),
        Command::Recovered => {
            system(cx)?;
            Ok(Decision::new(erasures::restart(state, cx), Reply::Done))
        }
    }
}

/// Folds one event.
pub fn apply(state: &mut Tenant, event: &Event, seq: u64, at_ms: i64) {
    state.fold(event, seq, at_ms);
}

/// Brings an event as the journal has it to today's shape.
///
/// # Errors
/// The version is not known, or the event is not of it.
pub fn upgrade(version: u32, event: serde_json::Value) -> Result<serde_json::Value, String> {
    match version {
        2 => Ok(event),
        1 => erasures::hide(event),
        other => Err(format!("no upgrade from event version {other}")),
    }
}

/// What is still to be done: a stable name, the attempt, the work.
pub fn pending(state: &Tenant) -> Vec<(String, u32, Effect)> {
    let mut all = agents::pending(state);
    all.extend(erasures::pending(state));
    all
}

/// When the organization wants to be woken, Unix milliseconds.
pub fn timer(state: &Tenant) -> Option<i64> {
    let reserved = state.agents.values().filter_map(|slot| slot.reserved_until_ms);
    reserved.chain(state.erasures.values().filter_map(|erasure| erasure.deadline_ms)).min()
}

/// The command a due timer turns into.
pub fn on_timer(state: &Tenant, now_ms: i64) -> Option<Command> {
    timer(state).filter(|due| *due <= now_ms).map(|_| Command::Tick)
}

/// The command after tasks were lost.
pub fn on_recovered(state: &Tenant) -> Option<Command> {
    (!erasures::pending(state).is_empty()).then_some(Command::Recovered)
}

/// What members' accounts must learn of an event; `state` is the state right after it.
pub fn tells(state: &Tenant, event: &Event, seq: u64) -> Vec<(UserId, account::Command)> {
    let change = |user: &UserId, role: Option<Role>| {
        let change = MembershipChange {
            tenant: state.id.clone(),
            version: seq,
            role,
            name: state.profile.name.clone(),
            slug: state.profile.slug.clone(),
        };
        (user.clone(), account::Command::SetMembership(change))
    };
    match event {
        Event::Created { owner, .. } => vec![change(&owner.user, Some(Role::Owner))],
        Event::Updated { renamed: true, .. } => {
            state.members.iter().map(|(user, member)| change(user, Some(member.role))).collect()
        }
        Event::MemberJoined { person, role, .. } => vec![change(&person.user, Some(*role))],
        Event::RoleSet { user, role } => vec![change(user, Some(*role))],
        Event::MemberLeft { user } => vec![change(user, None)],
        Event::Updated { renamed: false, .. }
        | Event::PersonChanged(_)
        | Event::Invited { .. }
        | Event::InvitationEnded { .. }
        | Event::KeyCreated { .. }
        | Event::KeyUsed { .. }
        | Event::KeyRevoked { .. }
        | Event::AgentReserved { .. }
        | Event::AgentChanged { .. }
        | Event::AgentGone { .. }
        | Event::ReservationsExtended { .. }
        | Event::TurnTaken { .. }
        | Event::ErasureRequested { .. }
        | Event::ErasureProgressed { .. }
        | Event::ErasureRetried { .. }
        | Event::ErasureEnded { .. }
        | Event::PlanSet { .. }
        | Event::DeploymentModeSet { .. }
        | Event::SuspendedSet { .. } => Vec::new(),
    }
}

fn create(
    state: &Tenant,
    cx: &Context,
    profile: &Value,
    mut owner: Person,
    plan: Plan,
    deployment_mode: DeploymentMode,
) -> Outcome {
    match &cx.principal.actor {
        Actor::System | Actor::Platform { .. } => {}
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::Visitor { .. } => {
            return Err(Rejection::not_found("organization"));
        }
    }
    if state.exists() {
        let same = state.members.contains_key(&owner.user) && cx.principal.tenant == state.id;
        return if same {
            let organization = Box::new(view::organization(state));
            Ok(Decision::reply(Reply::Created { fresh: false, organization }))
        } else {
            Err(Rejection::conflict("already_done", "This organization exists already."))
        };
    }
    let mut checks = Checks::default();
    checks.ensure(!cx.principal.tenant.0.is_empty(), "id", "must not be empty");
    check_person(&mut checks, &mut owner);
    checks.finish()?;
    let event = Event::Created {
        id: cx.principal.tenant.clone(),
        profile: Box::new(Profile::default().patched(profile)?),
        owner,
        plan,
        deployment_mode,
    };
    let mut after = Tenant::default();
    apply(&mut after, &event, cx.seq + 1, cx.now_ms);
    let organization = Box::new(view::organization(&after));
    Ok(Decision::event(event, Reply::Created { fresh: true, organization }))
}

fn update(state: &Tenant, cx: &Context, patch: &Value, if_version: Option<u64>) -> Outcome {
    need(cx, Role::Admin, "change the organization")?;
    if if_version.is_some_and(|version| version != state.version) {
        let current = serde_json::to_value(view::organization(state)).unwrap_or(Value::Null);
        return Err(Rejection::Stale { current });
    }
    let profile = state.profile.patched(patch)?;
    if profile == state.profile {
        return Ok(Decision::reply(Reply::Organization(Box::new(view::organization(state)))));
    }
    let renamed = profile.name != state.profile.name || profile.slug != state.profile.slug;
    let opened = profile.is_open_sometime() && !state.profile.is_open_sometime();
    let event = Event::Updated { profile: Box::new(profile), renamed, opened };
    let mut after = state.clone();
    apply(&mut after, &event, cx.seq + 1, cx.now_ms);
    Ok(Decision::event(event, Reply::Organization(Box::new(view::organization(&after)))))
}

fn tick(state: &Tenant, cx: &Context) -> Outcome {
    system(cx)?;
    let mut events: Vec<Event> = agents::due(state, cx).into_iter().collect();
    events.extend(erasures::due(state, cx));
    Ok(Decision::new(events, Reply::Done))
}

/// A stopped organization can be looked at; only the platform changes it.
fn running(state: &Tenant, cx: &Context, command: &Command) -> Result<(), Rejection> {
    let Some(reason) = &state.suspended else { return Ok(()) };
    let free = matches!(cx.principal.actor, Actor::System | Actor::Platform { .. })
        || matches!(
            command,
            Command::View | Command::Members | Command::Invitations | Command::Keys | Command::Erasures
        );
    if free {
        Ok(())
    } else {
        Err(Rejection::conflict("organization_suspended", format!("This organization is suspended: {reason}")))
    }
}

fn changed(differs: bool, event: Event) -> Decision<Event, Reply> {
    if differs { Decision::event(event, Reply::Done) } else { Decision::reply(Reply::Done) }
}

/// The principal's role, refused below `role`. Visitors learn nothing of an organization.
fn need(cx: &Context, role: Role, what: &str) -> Result<Role, Rejection> {
    if role > Role::Viewer && matches!(cx.principal.actor, Actor::ApiKey { agent: Some(_), .. }) {
        return Err(Rejection::forbidden(format!("This key is for one agent only and may not {what}.")));
    }
    match cx.principal.role() {
        Some(own) if own >= role => Ok(own),
        Some(_) => Err(Rejection::forbidden(format!("Only {} and above may {what}.", role_name(role)))),
        None => Err(Rejection::not_found("organization")),
    }
}

/// Only Colloquy itself.
fn system(cx: &Context) -> Result<(), Rejection> {
    if cx.principal.actor == Actor::System { Ok(()) } else { Err(Rejection::not_found("organization")) }
}

/// Only Colloquy itself or a platform administrator.
fn platform(cx: &Context) -> Result<(), Rejection> {
    match cx.principal.actor {
        Actor::System | Actor::Platform { .. } => Ok(()),
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::Visitor { .. } => {
            Err(Rejection::forbidden("Only platform administrators may do this."))
        }
    }
}

fn check_person(checks: &mut Checks, person: &mut Person) {
    person.email = normal_email(&person.email);
    person.name = person.name.trim().to_owned();
    checks.ensure(!person.user.0.is_empty(), "user", "must not be empty");
    checks.email("email", &person.email);
    checks.line("name", &person.name, 1, NAME_CHARS_MAX);
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewers",
        Role::Rep => "reps",
        Role::Manager => "managers",
        Role::Admin => "admins",
        Role::Owner => "owners",
    }
}
