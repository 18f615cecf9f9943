//! Who gets a lead: a person, or the next of a team in turn.

use super::{
    Outcome, Person, Tenant,
    command::{Event, Reply},
    need,
};
use crate::{
    catalog::template::RouteTo, context::Context, decision::Decision, ids::UserId, principal::Role,
    rejection::Rejection,
};

/// Routes looked at; rules are checked to be fewer.
const ROUTES_MAX: usize = 50;

pub(super) fn route(state: &Tenant, cx: &Context, routes: &[RouteTo]) -> Outcome {
    need(cx, Role::Rep, "route leads")?;
    if routes.len() > ROUTES_MAX {
        return Err(Rejection::invalid("routes", format!("has more than {ROUTES_MAX} entries")));
    }
    for route in routes {
        if let Some(user) = route.user.as_deref().and_then(|wish| member(state, wish)) {
            return Ok(Decision::reply(assigned(state, Some(user))));
        }
        let (team, people) = match (&route.team, route.strategy.as_deref()) {
            (Some(team), _) => {
                let people = state.profile.team(team).into_iter().filter_map(|wish| member(state, wish)).collect();
                (team.clone(), people)
            }
            (None, Some("round_robin")) => (String::new(), takers(state)),
            (None, Some(_) | None) => continue,
        };
        if let Some(user) = next(people, state.turns.get(&team)) {
            let reply = assigned(state, Some(&user));
            return Ok(Decision::event(Event::TurnTaken { team, user }, reply));
        }
    }
    Ok(Decision::reply(assigned(state, None)))
}

/// A member who may take leads, by user id or e-mail address.
fn member<'a>(state: &'a Tenant, wish: &str) -> Option<&'a UserId> {
    let fits = |(user, member): &(&UserId, &super::Member)| {
        (user.as_str() == wish || member.email.eq_ignore_ascii_case(wish)) && member.role >= Role::Rep
    };
    state.members.iter().find(fits).map(|(user, _)| user)
}

/// All who take leads: the reps; in an organization without reps its managers, then admins, then owners.
fn takers(state: &Tenant) -> Vec<&UserId> {
    let lowest = state.members.values().map(|member| member.role).filter(|role| *role >= Role::Rep).min();
    state.members.iter().filter(|(_, member)| Some(member.role) == lowest).map(|(user, _)| user).collect()
}

fn next(mut people: Vec<&UserId>, last: Option<&UserId>) -> Option<UserId> {
    people.sort();
    people.dedup();
    let after = last.and_then(|last| people.iter().find(|user| **user > last));
    after.or(people.first()).map(|user| (*user).clone())
}

fn assigned(state: &Tenant, user: Option<&UserId>) -> Reply {
    let person = user.and_then(|user| {
        let member = state.members.get(user)?;
        Some(Person { user: user.clone(), name: member.name.clone(), email: member.email.clone() })
    });
    Reply::Assignee { person }
}
