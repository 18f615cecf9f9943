//! Invitations by e-mail, link or code (AUTH-12): open for seven days, accepted once.

use super::{
    Invitation, Outcome, Person, Tenant, check_person,
    command::{Event, Reply},
    limits::{INVITATION_TTL_MS, INVITATIONS_MAX, MEMBERS_MAX},
    need, system, view,
};
use crate::{
    check::{Checks, normal_email},
    context::Context,
    decision::Decision,
    ids::InvitationId,
    principal::{Actor, Role},
    rejection::Rejection,
};

pub(super) fn list(state: &Tenant, cx: &Context) -> Outcome {
    need(cx, Role::Admin, "see invitations")?;
    let open = state.invitations.iter().filter(|(_, open)| open.expires_ms > cx.now_ms);
    Ok(Decision::reply(Reply::Invitations {
        items: open.map(|(id, open)| view::invitation(state, id, open)).collect(),
    }))
}

pub(super) fn invite(state: &Tenant, cx: &Context, code_hash: String, email: Option<String>, role: Role) -> Outcome {
    let own = need(cx, Role::Admin, "invite people")?;
    if role > own {
        return Err(Rejection::forbidden("You cannot give a role above your own."));
    }
    let email = email.map(|email| normal_email(&email)).filter(|email| !email.is_empty());
    let mut checks = Checks::default();
    checks.line("code_hash", &code_hash, 1, 512);
    if let Some(email) = &email {
        checks.email("email", email);
        let member = state.members.values().any(|member| member.email == *email);
        checks.ensure(!member, "email", "belongs to a member already");
    }
    checks.finish()?;
    let open = state.invitations.values().filter(|open| open.expires_ms > cx.now_ms);
    if open.clone().any(|open| open.code_hash == code_hash) {
        return Err(Rejection::conflict("already_done", "This invitation exists already."));
    }
    if open.count() >= INVITATIONS_MAX {
        return Err(Rejection::LimitReached {
            limit: "invitations".to_owned(),
            detail: format!("{INVITATIONS_MAX} invitations are open. Take some back first."),
        });
    }
    let id = InvitationId(cx.fresh_id(0));
    let by = match &cx.principal.actor {
        Actor::User { id, .. } | Actor::Platform { id } => Some(id.clone()),
        Actor::ApiKey { .. } | Actor::Visitor { .. } | Actor::System => None,
    };
    let expires_ms = cx.now_ms + INVITATION_TTL_MS;
    let shown = Invitation {
        code_hash: code_hash.clone(),
        email: email.clone(),
        role,
        by: by.clone(),
        created_ms: cx.now_ms,
        expires_ms,
    };
    let reply = Reply::Invitation(view::invitation(state, &id, &shown));
    Ok(Decision::event(Event::Invited { id, code_hash, email, role, by, expires_ms }, reply))
}

pub(super) fn show(state: &Tenant, cx: &Context, code_hash: &str) -> Outcome {
    system(cx)?;
    let (id, open) = find(state, cx, code_hash)?;
    Ok(Decision::reply(Reply::Invitation(view::invitation(state, id, open))))
}

pub(super) fn accept(state: &Tenant, cx: &Context, code_hash: &str, mut person: Person) -> Outcome {
    system(cx)?;
    let (id, open) = find(state, cx, code_hash)?;
    let mut checks = Checks::default();
    check_person(&mut checks, &mut person);
    checks.finish()?;
    if open.email.as_ref().is_some_and(|invited| *invited != person.email) {
        return Err(Rejection::forbidden("This invitation was sent to another e-mail address."));
    }
    if state.members.contains_key(&person.user) {
        return Err(Rejection::conflict("already_member", "You belong to this organization already."));
    }
    if state.members.len() >= MEMBERS_MAX {
        return Err(Rejection::LimitReached {
            limit: "members".to_owned(),
            detail: format!("An organization can have at most {MEMBERS_MAX} members."),
        });
    }
    let reply = Reply::Joined { role: open.role, name: state.profile.name.clone(), slug: state.profile.slug.clone() };
    let event =
        Event::MemberJoined { person, role: open.role, invitation: id.clone(), invited_email: open.email.clone() };
    Ok(Decision::event(event, reply))
}

pub(super) fn decline(state: &Tenant, cx: &Context, code_hash: &str) -> Outcome {
    system(cx)?;
    let (id, _) = find(state, cx, code_hash)?;
    Ok(Decision::event(Event::InvitationEnded { id: id.clone(), declined: true }, Reply::Done))
}

pub(super) fn revoke(state: &Tenant, cx: &Context, id: InvitationId) -> Outcome {
    let own = need(cx, Role::Admin, "take invitations back")?;
    match state.invitations.get(&id) {
        None => Err(Rejection::not_found("invitation")),
        Some(open) if open.role > own => Err(Rejection::forbidden("This invitation gives a role above your own.")),
        Some(_) => Ok(Decision::event(Event::InvitationEnded { id, declined: false }, Reply::Done)),
    }
}

fn find<'a>(state: &'a Tenant, cx: &Context, code_hash: &str) -> Result<(&'a InvitationId, &'a Invitation), Rejection> {
    let mut open = state.invitations.iter();
    open.find(|(_, open)| open.code_hash == code_hash && open.expires_ms > cx.now_ms).ok_or_else(|| {
        Rejection::conflict(
            "invitation_void",
            "This invitation has been used, taken back or is too old. Ask for a new one.",
        )
    })
}
