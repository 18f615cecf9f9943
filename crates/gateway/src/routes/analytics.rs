//! `/api/analytics` and `/api/cron`: the live numbers by window and by day, and manual triggers of what timers do.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use colloquy_actors::core::ask;
use colloquy_actors::domain::Principal;
use colloquy_actors::domain::ids::{AgentId, TenantId};
use colloquy_actors::domain::knowledge::Command;
use colloquy_actors::domain::local_time::zone_or_utc;
use colloquy_actors::domain::numbers::Window;
use colloquy_actors::feed;
use colloquy_actors::knowledge::{ByDay, KnowledgeEntity, unanswered_by_day};
use colloquy_wire::common::ListQuery;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::agents::only_agent;
use crate::app::{App, AppState};
use crate::auth::Console;
use crate::body::{Json, Query};
use crate::listing;
use crate::problem::{Problem, Result};
use crate::tokens;

/// Days of one answer: two years.
const DAYS_MAX: i32 = 731;

/// Questions listed for one day: what a person reads; all of them are in `/api/analytics/unanswered`.
const DAILY_QUESTIONS_MAX: usize = 20;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(overview))
        .routes(routes!(daily))
        .routes(routes!(auto_sync))
        .routes(routes!(aggregate))
}

#[derive(Debug, Deserialize)]
struct OverviewQuery {
    window: Option<Window>,
}

/// The six cards of the overview.
#[utoipa::path(get, path = "/api/analytics/overview", tag = "analytics", params(("window" = Option<String>, Query)), responses((status = 200, body = Value)))]
async fn overview(State(app): State<App>, console: Console, Query(query): Query<OverviewQuery>) -> Result<Json<Value>> {
    if only_agent(&console).is_some() {
        return Err(Problem::forbidden("This key belongs to one agent: ask for its days with /api/analytics/daily."));
    }
    let window = query.window.unwrap_or_default();
    let figures = feed::overview(&app.actors.client, console.tenant(), window).await.map_err(unavailable)?;
    Ok(Json(json!(figures)))
}

#[derive(Debug, Deserialize)]
struct DailyQuery {
    from: String,
    to: String,
    agent_id: Option<String>,
}

/// One row per day of the tenant's own time zone.
#[utoipa::path(get, path = "/api/analytics/daily", tag = "analytics", params(("from" = String, Query), ("to" = String, Query), ("agent_id" = Option<String>, Query)), responses((status = 200, body = Value)))]
async fn daily(State(app): State<App>, console: Console, Query(query): Query<DailyQuery>) -> Result<Json<Value>> {
    let day = |field: &str, text: &str| {
        text.parse::<jiff::civil::Date>().map_err(|_| Problem::field(field, "must be a day such as 2026-01-31"))
    };
    let (from, to) = (day("from", &query.from)?, day("to", &query.to)?);
    let days = from.until(to).map_err(|_| Problem::field("to", "is out of range"))?.get_days();
    if !(0..DAYS_MAX).contains(&days) {
        return Err(Problem::field("to", format!("must be from 0 to {DAYS_MAX} days after from")));
    }
    let agent = only_agent(&console).map(|id| id.0).or(query.agent_id);
    let mut rows = feed::daily(&app.actors.client, console.tenant(), &query.from, &query.to, agent.clone())
        .await
        .map_err(unavailable)?;
    let mut questions = unanswered(&app, &console, agent, (&query.from, &query.to)).await?;
    for row in &mut rows {
        row.unanswered_questions = questions.remove(&row.date).unwrap_or_default();
    }
    Ok(listing::whole(rows))
}

/// Each day's questions without an answer, of one agent or of all, the most frequent first.
async fn unanswered(app: &App, console: &Console, agent: Option<String>, days: (&str, &str)) -> Result<ByDay> {
    let zone = zone_or_utc(&app.actors.organization(console.tenant()).await?.facts.timezone);
    let agents = match agent {
        Some(id) => vec![id],
        None => app.actors.agent_ids(console.tenant()).await?,
    };
    let mut all = ByDay::new();
    for id in agents {
        let client = &app.actors.client;
        for (day, questions) in unanswered_by_day(client, &console.by, &AgentId(id), &zone, days).await? {
            all.entry(day).or_default().extend(questions);
        }
    }
    for questions in all.values_mut() {
        questions.sort_by_key(|question| std::cmp::Reverse(question.count));
        questions.truncate(DAILY_QUESTIONS_MAX);
    }
    Ok(all)
}

/// Reads again what is due by schedule, in all organizations. Timers do this by themselves.
#[utoipa::path(post, path = "/api/cron/auto-sync", tag = "cron", responses((status = 202, body = Value)))]
async fn auto_sync(State(app): State<App>, headers: HeaderMap) -> Result<Response> {
    need_secret(&app, &headers)?;
    let mut agents = 0;
    let mut query = ListQuery { limit: Some(200), cursor: None };
    loop {
        let listing::Page { items: tenants, next, .. } = listing::page(
            &app,
            colloquy_actors::domain::account::TENANT,
            colloquy_actors::tenant::LIST,
            &query,
            None,
            None,
            |_| true,
        )
        .await?;
        for tenant in tenants.iter().filter_map(|row| row["id"].as_str()) {
            let tenant = TenantId::from(tenant);
            for id in app.actors.agent_ids(&tenant).await? {
                match ask::<KnowledgeEntity>(
                    &app.actors.client,
                    &Principal::system(tenant.clone()),
                    &id,
                    Command::SyncDue,
                )
                .await
                {
                    Ok(_) => agents += 1,
                    Err(error) => tracing::warn!(agent = %id, %error, "an agent's schedule could not be looked at"),
                }
            }
        }
        query.cursor = next;
        if query.cursor.is_none() {
            return Ok((StatusCode::ACCEPTED, Json(json!({ "agents": agents }))).into_response());
        }
    }
}

/// Numbers are exact at any time: there is nothing to aggregate, and this says so.
#[utoipa::path(post, path = "/api/cron/analytics-aggregate", tag = "cron", responses((status = 200, body = Value)))]
async fn aggregate(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>> {
    need_secret(&app, &headers)?;
    Ok(Json(json!({ "status": "current" })))
}

fn need_secret(app: &AppState, headers: &HeaderMap) -> Result<()> {
    let secret = &app.settings.cron_secret;
    if secret.is_empty() {
        return Err(Problem::forbidden("Manual triggers are off: set `cron.secret`."));
    }
    let given = crate::auth::bearer(headers).unwrap_or_default();
    if tokens::same(given.as_bytes(), secret.as_bytes()) {
        Ok(())
    } else {
        Err(Problem::unauthorized("Send `Authorization: Bearer` with `cron.secret`."))
    }
}

fn unavailable(error: String) -> Problem {
    colloquy_actors::ActorError::Unavailable(error).into()
}
