//! `/api/audit`: who changed what in an organization, for those who run it.

use std::collections::BTreeMap;

use axum::extract::State;
use colloquy_actors::audit::{self, Place, Reading, Recorded};
use colloquy_actors::domain::audit::{ActorKind, Entry};
use colloquy_actors::domain::ids::UserId;
use colloquy_actors::domain::local_time::{rfc3339, zone_or_utc};
use colloquy_actors::domain::principal::{Principal, Role};
use colloquy_actors::domain::tenant::{Command, Reply};
use colloquy_actors::{TenantCopy, agent};
use colloquy_wire::audit as wire;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::agents::only_agent;
use crate::app::{App, AppState};
use crate::auth::Console;
use crate::body::{Json, Query};
use crate::problem::{Problem, Result};
use crate::times;

/// Entries of a page unless the client says.
const LIMIT: usize = 50;
/// The most entries of a page.
const LIMIT_MAX: usize = 200;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Who changed what, newest first; calls that were refused too. For owners and admins.
#[utoipa::path(get, path = "/api/audit", tag = "accounts", params(wire::AuditQuery), responses((status = 200, body = wire::AuditPage)))]
async fn list(
    State(app): State<App>,
    console: Console,
    Query(query): Query<wire::AuditQuery>,
) -> Result<Json<wire::AuditPage>> {
    console.need(Role::Admin, "see the audit log")?;
    if only_agent(&console).is_some() {
        return Err(Problem::forbidden("This key belongs to one agent: the audit log is about all of them."));
    }
    let limit = query.limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::field("limit", format!("must be 1 to {LIMIT_MAX}")));
    }
    let before = match &query.cursor {
        Some(text) => Some(
            Place::parse(text)
                .ok_or_else(|| Problem::field("cursor", "must be the next_cursor of an earlier answer"))?,
        ),
        None => None,
    };
    let (client, tenant) = (&app.actors.client, console.tenant());
    let copy = app.actors.organization(tenant).await?;
    let zone = zone_or_utc(&copy.facts.timezone);
    let (from, to) = times::stretch(&zone, query.from.as_deref(), query.to.as_deref())?;
    let founded = founded_ms(&app, &Principal::system(tenant.clone())).await?;
    let now_ms = app.now_ms();
    let reading = Reading {
        from_ms: from.unwrap_or(founded).max(founded),
        // An entry that is written while this is read is part of it.
        to_ms: to.unwrap_or(i64::MAX).min(now_ms + 1_000),
        before,
        limit,
    };
    let (found, next) = audit::read(client, tenant, &reading, |entry| fits(&query, entry)).await?;
    let names = Names::of(&app, &console, &copy, &found).await?;
    let items = found.into_iter().map(|recorded| names.shown(recorded)).collect();
    Ok(Json(wire::AuditPage { items, next_cursor: next.map(|place| place.to_string()), damaged: Vec::new() }))
}

fn fits(query: &wire::AuditQuery, entry: &Entry) -> bool {
    let actor = query.actor.as_ref().is_none_or(|actor| *actor == entry.actor_id);
    let action = query.action.as_ref().is_none_or(|action| {
        *action == entry.action || entry.action.split_once('.').is_some_and(|(kind, _)| *action == kind)
    });
    let resource = query.resource.as_ref().is_none_or(|resource| {
        *resource == entry.resource_id
            || *resource == entry.resource_kind
            || resource.split_once('/') == Some((entry.resource_kind.as_str(), entry.resource_id.as_str()))
    });
    actor && action && resource
}

/// When the organization was founded: nothing of it is older.
async fn founded_ms(app: &AppState, by: &Principal) -> Result<i64> {
    match app.actors.tenant(by, Command::View).await? {
        Reply::Organization(view) => {
            let founded = view.created_at.parse::<jiff::Timestamp>();
            Ok(founded.map_or(0, |at| at.as_millisecond()))
        }
        _ => Err(Problem::not_found("organization")),
    }
}

/// The names that people, keys and agents have today: the log itself holds none.
struct Names<'a> {
    copy: &'a TenantCopy,
    keys: BTreeMap<String, String>,
    agents: BTreeMap<String, String>,
}

impl<'a> Names<'a> {
    async fn of(app: &AppState, console: &Console, copy: &'a TenantCopy, found: &[Recorded]) -> Result<Names<'a>> {
        let any = |kind: &str, actor: ActorKind| {
            found.iter().any(|one| one.entry.resource_kind == kind || one.entry.actor_kind == actor)
        };
        let keys = if any("api_key", ActorKind::ApiKey) {
            match app.actors.tenant(&console.by, Command::Keys).await? {
                Reply::Keys { items } => items.into_iter().map(|key| (key.id.0, key.name)).collect(),
                _ => BTreeMap::new(),
            }
        } else {
            BTreeMap::new()
        };
        let agents = agent::names(&app.actors.client, console.tenant()).await?;
        Ok(Self { copy, keys, agents })
    }

    fn member(&self, id: &str) -> Option<String> {
        self.copy.members.get(&UserId(id.to_owned())).map(|member| member.name.clone())
    }

    fn shown(&self, recorded: Recorded) -> wire::AuditEntry {
        let entry = recorded.entry;
        let (kind, name) = match entry.actor_kind {
            ActorKind::User => {
                let name = self.member(&entry.actor_id).unwrap_or_else(|| "former member".to_owned());
                (wire::AuditActorKind::User, name)
            }
            ActorKind::ApiKey => {
                let name = self.keys.get(&entry.actor_id).cloned().unwrap_or_else(|| "deleted key".to_owned());
                (wire::AuditActorKind::ApiKey, name)
            }
            ActorKind::Operator => (wire::AuditActorKind::Operator, "platform administrator".to_owned()),
            ActorKind::System => (wire::AuditActorKind::System, "Colloquy".to_owned()),
        };
        let thing = match entry.resource_kind.as_str() {
            "agent" => self.agents.get(&entry.resource_id).cloned(),
            "api_key" => self.keys.get(&entry.resource_id).cloned(),
            "member" | "user" => self.member(&entry.resource_id),
            _ => None,
        };
        wire::AuditEntry {
            id: recorded.place.to_string(),
            at: rfc3339(recorded.at_ms),
            actor: wire::AuditActor { kind, id: entry.actor_id, name },
            action: entry.action,
            resource: wire::AuditResource { kind: entry.resource_kind, id: entry.resource_id, name: thing },
            outcome: match (entry.unknown, entry.done) {
                (true, _) => wire::AuditOutcome::Unknown,
                (false, true) => wire::AuditOutcome::Ok,
                (false, false) => wire::AuditOutcome::Refused,
            },
            detail: entry.detail,
            address: entry.address,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_name_a_thing_or_a_kind() {
        let entry = Entry {
            actor_id: "u1".into(),
            action: "agent.updated".into(),
            resource_kind: "agent".into(),
            resource_id: "a1".into(),
            ..Entry::default()
        };
        let with = |field: &str, value: &str| {
            let mut query = wire::AuditQuery::default();
            *match field {
                "actor" => &mut query.actor,
                "action" => &mut query.action,
                _ => &mut query.resource,
            } = Some(value.to_owned());
            fits(&query, &entry)
        };
        assert!(with("actor", "u1") && !with("actor", "u2"));
        assert!(with("action", "agent.updated") && with("action", "agent") && !with("action", "agent.created"));
        assert!(with("resource", "a1") && with("resource", "agent") && with("resource", "agent/a1"));
        assert!(!with("resource", "agent/a2") && !with("resource", "lead"));
    }
}
