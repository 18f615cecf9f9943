//! Who gets a lead (LEAD-12): the agent's rules over the lead's values, with turns shared fairly.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    catalog::template::{RouteTo, RoutingCondition, RoutingRule},
    ids::UserId,
    vocabulary::Urgency,
};

/// Named groups of an organization, each with user ids or e-mail addresses.
pub type Teams = BTreeMap<String, Vec<String>>;

/// A member who may get leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Who.
    pub user: UserId,
    /// By which address rules may name them.
    pub email: String,
    /// Leads they were given so far; whoever has the fewest is next.
    pub leads: u64,
}

/// Who a lead was given to, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Assignment {
    /// Which rule, counted from 0; none: no rule applies.
    pub rule: Option<usize>,
    /// The group it was given to, also one that has no members yet.
    pub team: Option<String>,
    /// The person, if there is one.
    pub user: Option<UserId>,
}

/// Asks the rules: the first that applies decides. `previous` keeps its person while the same rule applies and the person still can.
///
/// In turn means: whoever has been given the fewest leads so far, the lower id among equals. The result depends on these values alone.
pub fn choose(
    rules: &[RoutingRule],
    fields: &BTreeMap<String, String>,
    urgency: Urgency,
    members: &[Candidate],
    teams: &Teams,
    previous: Option<&Assignment>,
) -> Assignment {
    let Some((index, rule)) = rules
        .iter()
        .enumerate()
        .find(|(_, rule)| rule.condition.as_ref().is_none_or(|condition| applies(condition, fields, urgency)))
    else {
        return Assignment::default();
    };
    let team = rule.route_to.team.clone();
    let eligible = eligible(&rule.route_to, members, teams);
    let kept = previous.filter(|previous| previous.rule == Some(index)).and_then(|previous| previous.user.as_ref());
    let user = match kept.filter(|kept| eligible.iter().any(|candidate| candidate.user == **kept)) {
        Some(kept) => Some(kept.clone()),
        None => eligible
            .iter()
            .min_by(|a, b| (a.leads, &a.user).cmp(&(b.leads, &b.user)))
            .map(|candidate| candidate.user.clone()),
    };
    Assignment { rule: Some(index), team, user }
}

fn applies(condition: &RoutingCondition, fields: &BTreeMap<String, String>, urgency: Urgency) -> bool {
    let value = condition.field.as_ref().and_then(|field| fields.get(field)).map(|value| value.to_lowercase());
    let matches = |wanted: &Option<String>, test: fn(&str, &str) -> bool| match wanted {
        Some(wanted) => value.as_deref().is_some_and(|value| test(value, &wanted.to_lowercase())),
        None => true,
    };
    let says_something =
        condition.always || condition.urgency.is_some() || condition.equals.is_some() || condition.contains.is_some();
    says_something
        && condition.urgency.is_none_or(|wanted| wanted == urgency)
        && matches(&condition.equals, |value, wanted| value.trim() == wanted.trim())
        && matches(&condition.contains, |value, wanted| value.contains(wanted))
}

fn eligible<'a>(to: &RouteTo, members: &'a [Candidate], teams: &Teams) -> Vec<&'a Candidate> {
    let named =
        |name: &str| members.iter().find(|member| member.user.0 == name || member.email.eq_ignore_ascii_case(name));
    if let Some(user) = &to.user {
        return named(user).into_iter().collect();
    }
    match (&to.team, &to.strategy) {
        (Some(team), _) => teams.get(team).into_iter().flatten().filter_map(|name| named(name)).collect(),
        (None, Some(_)) => members.iter().collect(),
        (None, None) => Vec::new(),
    }
}
