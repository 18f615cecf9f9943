//! `/api/analytics` and `/api/cron`: the live numbers by window and by day, the daily summary, and manual triggers of what timers do.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use colloquy_actors::core::ask;
use colloquy_actors::domain::Principal;
use colloquy_actors::domain::ids::TenantId;
use colloquy_actors::domain::knowledge::Command;
use colloquy_actors::domain::local_time::{days_after, local_date, zone_or_utc};
use colloquy_actors::domain::numbers::{QuestionCount, Window};
use colloquy_actors::knowledge::KnowledgeEntity;
use colloquy_actors::{days, digest, feed};
use colloquy_wire::analytics as wire;
use colloquy_wire::common::ListQuery;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::agents::only_agent;
use crate::app::{App, AppState};
use crate::auth::Console;
use crate::body::{Json, Query};
use crate::problem::{Problem, Result};
use crate::{listing, spans, tables, tokens};

/// Days of one answer: two years.
const DAYS_MAX: i32 = 731;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(overview))
        .routes(routes!(daily))
        .routes(routes!(summary))
        .routes(routes!(daily_summary))
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
    format: Option<String>,
}

/// One row per day of the tenant's own time zone.
#[utoipa::path(get, path = "/api/analytics/daily", tag = "analytics", params(("from" = String, Query), ("to" = String, Query), ("agent_id" = Option<String>, Query), ("format" = Option<String>, Query)), responses((status = 200, body = wire::Daily)))]
async fn daily(
    State(app): State<App>,
    console: Console,
    headers: HeaderMap,
    Query(query): Query<DailyQuery>,
) -> Result<Response> {
    let csv = tables::wanted(&headers, query.format.as_deref())?;
    let agent = only_agent(&console).map(|id| id.0).or(query.agent_id);
    let zone = zone_or_utc(&app.actors.organization(console.tenant()).await?.facts.timezone);
    spans::days(&zone, &query.from, &query.to, DAYS_MAX)?;
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    let rows = days::rows(client, tools, &console.by, agent, (&query.from, &query.to)).await?;
    let items: Vec<wire::DailyRow> = rows.into_iter().map(wire::DailyRow::from).collect();
    if csv {
        let rows = items.iter().map(|row| {
            let value = json!(row);
            DAILY_COLUMNS.iter().map(|column| value[*column].clone()).collect()
        });
        return tables::csv("daily", &DAILY_COLUMNS, rows);
    }
    Ok(Json(wire::Daily { items, next_cursor: None }).into_response())
}

/// The columns of days as a table; the two lists of questions are JSON in one cell.
const DAILY_COLUMNS: [&str; 20] = [
    "date",
    "agent_id",
    "chat_conversations",
    "chat_messages",
    "chat_resolved",
    "chat_escalated",
    "chat_avg_response_ms",
    "voice_calls",
    "voice_minutes",
    "voice_answered",
    "voice_missed",
    "voice_transferred",
    "voice_avg_duration",
    "leads_captured",
    "appointments_booked",
    "avg_satisfaction",
    "thumbs_up_count",
    "thumbs_down_count",
    "top_questions",
    "unanswered_questions",
];

#[derive(Debug, Deserialize)]
struct SummaryQuery {
    date: Option<String>,
}

/// The daily summary of a day as the mail says it; of yesterday unless another day is asked for.
#[utoipa::path(get, path = "/api/analytics/summary", tag = "analytics", params(("date" = Option<String>, Query)), responses((status = 200, body = wire::Summary)))]
async fn summary(
    State(app): State<App>,
    console: Console,
    Query(query): Query<SummaryQuery>,
) -> Result<Json<wire::Summary>> {
    if only_agent(&console).is_some() {
        return Err(Problem::forbidden("This key belongs to one agent: the summary is about all of them."));
    }
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    let facts = app.actors.organization(console.tenant()).await?.facts.clone();
    let zone = zone_or_utc(&facts.timezone);
    let today = local_date(&zone, app.now_ms());
    let date = match query.date {
        Some(date) => {
            spans::days(&zone, &date, &date, 1)
                .map_err(|_| Problem::field("date", "must be a day such as 2026-01-31"))?;
            // Days sort as their names do.
            if date > today {
                return Err(Problem::field("date", "must not be in the future"));
            }
            date
        }
        None => days_after(&today, -1).unwrap_or(today),
    };
    let told = digest::of(client, tools, console.tenant(), &facts.timezone, &date).await?;
    let mail = digest::letter(tools, &facts, &date, &told, "", "");
    let readers = digest::readers(client, tools, console.tenant()).await?;
    let questions = |given: Vec<QuestionCount>| given.into_iter().map(wire::QuestionCount::from).collect();
    Ok(Json(wire::Summary {
        date,
        timezone: facts.timezone,
        subject: mail.subject,
        html: mail.html.unwrap_or_default(),
        text: mail.text,
        recipients: readers.into_iter().map(|(_, address)| address).collect(),
        numbers: wire::SummaryNumbers {
            chat_conversations: told.chat_conversations,
            chat_resolved: told.chat_resolved,
            chat_resolved_percent: told.chat_resolved_percent,
            calls_answered: told.calls_answered,
            call_minutes: told.call_minutes,
            calls_transferred: told.calls_transferred,
            leads: told.leads,
            appointments: told.appointments,
            top_questions: questions(told.top_questions),
            unanswered_questions: questions(told.unanswered_questions),
        },
    }))
}

/// Sends yesterday's summary of all organizations now, where it has not gone out. Timers do this by themselves.
#[utoipa::path(post, path = "/api/cron/daily-summary", tag = "cron", responses((status = 202, body = Value)))]
async fn daily_summary(State(app): State<App>, headers: HeaderMap) -> Result<Response> {
    need_secret(&app, &headers)?;
    let (mut organizations, mut begun) = (0, 0);
    for tenant in every_tenant(&app).await? {
        organizations += 1;
        match digest::send_now(&app.actors.client, &app.actors.tools, &tenant).await {
            Ok(date) => begun += usize::from(date.is_some()),
            Err(error) => tracing::warn!(%tenant, %error, "a daily summary could not be begun"),
        }
    }
    Ok((StatusCode::ACCEPTED, Json(json!({ "organizations": organizations, "begun": begun }))).into_response())
}

/// All organizations.
async fn every_tenant(app: &AppState) -> Result<Vec<TenantId>> {
    let mut query = ListQuery { limit: Some(200), cursor: None };
    let mut all = Vec::new();
    loop {
        let page = listing::page(
            app,
            colloquy_actors::domain::account::TENANT,
            colloquy_actors::tenant::LIST,
            &query,
            None,
            None,
            |_| true,
        )
        .await?;
        all.extend(page.items.iter().filter_map(|row| row["id"].as_str()).map(TenantId::from));
        query.cursor = page.next;
        if query.cursor.is_none() {
            return Ok(all);
        }
    }
}

/// Reads again what is due by schedule, in all organizations. Timers do this by themselves.
#[utoipa::path(post, path = "/api/cron/auto-sync", tag = "cron", responses((status = 202, body = Value)))]
async fn auto_sync(State(app): State<App>, headers: HeaderMap) -> Result<Response> {
    need_secret(&app, &headers)?;
    let mut agents = 0;
    for tenant in every_tenant(&app).await? {
        let by = Principal::system(tenant.clone());
        for id in app.actors.agent_ids(&tenant).await? {
            match ask::<KnowledgeEntity>(&app.actors.client, &by, &id, Command::SyncDue).await {
                Ok(_) => agents += 1,
                Err(error) => tracing::warn!(agent = %id, %error, "an agent's schedule could not be looked at"),
            }
        }
    }
    Ok((StatusCode::ACCEPTED, Json(json!({ "agents": agents }))).into_response())
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
        return Err(Problem::unauthorized("Manual triggers are off: set `cron.secret`."));
    }
    let given = crate::auth::bearer(headers).unwrap_or_default();
    if tokens::same(given.as_bytes(), secret.as_bytes()) {
        Ok(())
    } else {
        Err(Problem::unauthorized("Send `Authorization: Bearer` with `cron.secret`."))
    }
}

pub(super) fn unavailable(error: String) -> Problem {
    colloquy_actors::ActorError::Unavailable(error).into()
}
