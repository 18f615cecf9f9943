//! People of an organization: nobody gives or takes a role above their own, and one owner stays.

use super::{
    Outcome, Person, Tenant, check_person,
    command::{Event, Reply},
    need, system, view,
};
use crate::{
    check::Checks,
    context::Context,
    decision::Decision,
    ids::UserId,
    principal::{Actor, Role},
    rejection::Rejection,
};

pub(super) fn list(state: &Tenant, cx: &Context) -> Outcome {
    need(cx, Role::Viewer, "see the members")?;
    Ok(Decision::reply(Reply::Members { items: view::members(state) }))
}

pub(super) fn set_role(state: &Tenant, cx: &Context, user: UserId, role: Role, if_version: Option<u64>) -> Outcome {
    let own = need(cx, Role::Admin, "change roles")?;
    let Some(member) = state.members.get(&user) else { return Err(Rejection::not_found("member")) };
    if if_version.is_some_and(|version| version != member.version) {
        let current = serde_json::to_value(view::member(&user, member)).unwrap_or_default();
        return Err(Rejection::Stale { current });
    }
    if member.role > own {
        return Err(Rejection::forbidden("You cannot change the role of someone above you."));
    }
    if role > own {
        return Err(Rejection::forbidden("You cannot give a role above your own."));
    }
    if member.role == Role::Owner && role != Role::Owner {
        another_owner(state)?;
    }
    let mut after = member.clone();
    if member.role != role {
        (after.role, after.version) = (role, cx.seq + 1);
    }
    let reply = Reply::Member(view::member(&user, &after));
    Ok(if member.role == role { Decision::reply(reply) } else { Decision::event(Event::RoleSet { user, role }, reply) })
}

pub(super) fn remove(state: &Tenant, cx: &Context, user: UserId) -> Outcome {
    let itself = matches!(&cx.principal.actor, Actor::User { id, .. } if *id == user);
    let own = if itself { None } else { Some(need(cx, Role::Admin, "remove members")?) };
    let Some(member) = state.members.get(&user) else { return Err(Rejection::not_found("member")) };
    if own.is_some_and(|own| member.role > own) {
        return Err(Rejection::forbidden("You cannot remove someone above you."));
    }
    if member.role == Role::Owner {
        another_owner(state)?;
    }
    Ok(Decision::event(Event::MemberLeft { user }, Reply::Done))
}

pub(super) fn changed(state: &Tenant, cx: &Context, mut person: Person) -> Outcome {
    system(cx)?;
    let Some(member) = state.members.get(&person.user) else { return Ok(Decision::reply(Reply::Done)) };
    let mut checks = Checks::default();
    check_person(&mut checks, &mut person);
    checks.finish()?;
    Ok(if member.name == person.name && member.email == person.email {
        Decision::reply(Reply::Done)
    } else {
        Decision::event(Event::PersonChanged(person), Reply::Done)
    })
}

fn another_owner(state: &Tenant) -> Result<(), Rejection> {
    if state.owners() > 1 {
        Ok(())
    } else {
        Err(Rejection::conflict("last_owner", "An organization needs an owner. Make somebody else an owner first."))
    }
}
