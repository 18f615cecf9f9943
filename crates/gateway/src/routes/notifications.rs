//! `/api/notifications`: what the signed-in person is told of, and what of it they have read.

use axum::extract::State;
use axum::http::StatusCode;
use colloquy_actors::bulletin::Own;
use colloquy_actors::domain::bulletin::Kind;
use colloquy_actors::domain::ids::UserId;
use colloquy_actors::domain::{Principal, Role, account};
use colloquy_actors::inbox;
use colloquy_wire::common::ListQuery;
use colloquy_wire::inbox::{NotificationPage, NotificationsRead};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::{App, AppState};
use crate::auth::Console;
use crate::body::{Json, Query};
use crate::listing;
use crate::problem::{Problem, Result};

/// Notifications named at once.
const IDS_MAX: usize = 200;
/// The kinds that somebody may want or not.
const WANTED: [&str; 7] =
    ["escalation", "emergency", "assigned", "lead", "unanswered", "training_failed", "missed_call"];

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read))
}

#[derive(Debug, Deserialize)]
struct Wanted {
    unread: Option<bool>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// What you are told of, newest first.
#[utoipa::path(get, path = "/api/notifications", tag = "notifications", params(("unread" = Option<bool>, Query), ("limit" = Option<usize>, Query), ("cursor" = Option<String>, Query)), responses((status = 200, body = NotificationPage)))]
async fn list(State(app): State<App>, console: Console, Query(wanted): Query<Wanted>) -> Result<Json<Value>> {
    let user = console.user()?.clone();
    let limit = listing::limit(&ListQuery { limit: wanted.limit, cursor: None })?;
    let before = match wanted.cursor.as_deref().map(str::parse::<u64>) {
        None => None,
        Some(Ok(before)) => Some(before),
        Some(Err(_)) => return Err(Problem::field("cursor", "must be the next_cursor of an earlier answer")),
    };
    let own = own(&app, &console.by, &user).await?;
    let mut notices = own.below(before, wanted.unread == Some(true), limit + 1);
    let more = notices.len() > limit;
    notices.truncate(limit);
    let next = notices.last().filter(|_| more).map(|notice| notice.seq.to_string());
    let items = app.actors.shown(console.tenant(), &own, notices).await?;
    Ok(Json(json!({ "items": items, "next_cursor": next, "unread": own.unread() })))
}

/// Note that you have read some of them, or all.
#[utoipa::path(post, path = "/api/notifications/read", tag = "notifications", request_body = NotificationsRead, responses((status = 204)))]
async fn read(State(app): State<App>, console: Console, Json(body): Json<NotificationsRead>) -> Result<StatusCode> {
    let user = console.user()?;
    let own = own(&app, &console.by, user).await?;
    let (seqs, upto) = match (body.ids, body.all) {
        (None, Some(true)) => (Vec::new(), own.newest()),
        (Some(ids), None | Some(false)) if ids.len() <= IDS_MAX => {
            // What is not the person's, or is gone, is nothing that could be read.
            let own = own.below(None, false, usize::MAX);
            let known = ids.iter().filter_map(|id| id.parse().ok());
            (known.filter(|seq| own.iter().any(|notice| notice.seq == *seq)).collect(), 0)
        }
        (Some(_), None | Some(false)) => return Err(Problem::field("ids", format!("must be at most {IDS_MAX}"))),
        _ => return Err(Problem::field("ids", "send either ids or all:true")),
    };
    inbox::see(&app.actors.client, &console.by, user, seqs, upto).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What somebody is told of, by role and preferences.
pub(crate) async fn own(app: &AppState, by: &Principal, user: &UserId) -> Result<Own> {
    let nothing = account::Command::SetPreferences { patch: json!({}) };
    let preferences = match app.actors.account(user, nothing).await? {
        account::Reply::Preferences { preferences } => preferences,
        _ => Map::new(),
    };
    let hidden = |kind: Kind| preferences.get("notifications").is_some_and(|all| all[kind.word()]["in_app"] == false);
    let role = by.role().ok_or_else(|| Problem::forbidden("This call is for members of the organization."))?;
    Ok(app.actors.notices(&by.tenant, user, role, |kind| !hidden(kind)).await?)
}

/// Preferences with what holds for notices where nothing was said: the role's own wishes first (`account::wishes`), then the same for all.
pub(crate) fn with_defaults(preferences: Map<String, Value>, role: Role) -> Map<String, Value> {
    let mut preferences = account::wishes::with_defaults(preferences, role);
    let said = preferences.remove("notifications").unwrap_or_default();
    let mut all = said.as_object().cloned().unwrap_or_default();
    for kind in WANTED {
        let channel = |name: &str, otherwise: bool| said[kind][name].as_bool().unwrap_or(otherwise);
        let channels = json!({ "in_app": channel("in_app", true), "email": channel("email", false) });
        all.insert(kind.to_owned(), channels);
    }
    preferences.insert("notifications".to_owned(), Value::Object(all));
    preferences
}

/// Refuses preferences for notifications that say nothing.
pub(crate) fn check(patch: &Value) -> Result<()> {
    let kinds = match patch.get("notifications") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(kinds)) => kinds,
        Some(_) => return Err(Problem::field("notifications", "must be an object")),
    };
    for (kind, channels) in kinds {
        let names: &[&str] = match kind.as_str() {
            kind if WANTED.contains(&kind) => &["in_app", "email"],
            "daily_summary" => &["email"],
            _ => return Err(Problem::field(&format!("notifications.{kind}"), "is not a kind of notification")),
        };
        let Some(channels) = channels.as_object() else {
            return Err(Problem::field(&format!("notifications.{kind}"), "must be an object"));
        };
        for (name, on) in channels {
            if !names.contains(&name.as_str()) || !(on.is_boolean() || on.is_null()) {
                let wanted = format!("must be {} with true or false", names.join(" or "));
                return Err(Problem::field(&format!("notifications.{kind}.{name}"), wanted));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_that_say_nothing_are_refused_by_name() {
        for (patch, field) in [
            (json!({ "notifications": 1 }), "notifications"),
            (json!({ "notifications": { "rain": {} } }), "notifications.rain"),
            (json!({ "notifications": { "lead": true } }), "notifications.lead"),
            (json!({ "notifications": { "lead": { "sms": true } } }), "notifications.lead.sms"),
            (json!({ "notifications": { "lead": { "in_app": "yes" } } }), "notifications.lead.in_app"),
            (json!({ "notifications": { "lead": { "email": 1 } } }), "notifications.lead.email"),
            (json!({ "notifications": { "daily_summary": { "in_app": true } } }), "notifications.daily_summary.in_app"),
        ] {
            let problem = check(&patch).expect_err("refused");
            assert_eq!(problem.body.errors[0].field, field);
        }
        assert!(check(&json!({ "theme": "dark", "notifications": { "lead": { "email": true } } })).is_ok());
    }

    #[test]
    fn what_was_not_said_has_a_default() {
        let said = json!({ "theme": "dark", "notifications": { "lead": { "email": true } } });
        let all = Value::Object(with_defaults(said.as_object().cloned().unwrap_or_default(), Role::Rep));
        assert_eq!(all["theme"], "dark");
        assert_eq!(all["notifications"]["lead"], json!({ "in_app": true, "email": true }));
        assert_eq!(all["notifications"]["emergency"], json!({ "in_app": true, "email": false }));
    }
}
