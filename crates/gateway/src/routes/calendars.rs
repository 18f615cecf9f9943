//! `/api/calendars`, `/api/providers`, `/api/services`: when and with whom appointments can be made, and the feed to subscribe to.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use colloquy_actors::appointment as appointments;
use colloquy_actors::calendar::{self as actor, CalendarEntity};
use colloquy_actors::core::ask_after_rows;
use colloquy_actors::domain::appointment::{AppointmentView, ics};
use colloquy_actors::domain::calendar::view::CalendarView;
use colloquy_actors::domain::calendar::{Calendar, Command, Reply, view};
use colloquy_actors::domain::ids::{AgentId, CalendarId};
use colloquy_actors::domain::principal::{Principal, Role};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::agents::only_agent;
use crate::accounts::fresh_id;
use crate::app::{App, AppState};
use crate::auth::Console;
use crate::body::{Json, Query};
use crate::problem::{Problem, Result};
use crate::{etag, listing};

/// How far back a feed goes, milliseconds: last month's appointments are still looked at.
const FEED_BEHIND_MS: i64 = 31 * 24 * 3600 * 1000;
/// How far ahead a feed goes, milliseconds: as far as anything can be booked.
const FEED_AHEAD_MS: i64 = 731 * 24 * 3600 * 1000;
/// Appointments of one feed: what calendar programs take without trouble.
const FEED_MAX: usize = 2_000;
/// Rows read at once for a feed.
const FEED_BATCH: usize = 500;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, update))
        .routes(routes!(rotate_feed))
        .routes(routes!(feed))
        .routes(routes!(providers))
        .routes(routes!(services))
}

/// The organization's calendars, the oldest first.
#[utoipa::path(get, path = "/api/calendars", tag = "appointments", responses((status = 200, body = Value)))]
async fn list(State(app): State<App>, console: Console) -> Result<Json<Value>> {
    Ok(listing::whole(visible(&app, &console).await?))
}

/// Set up a calendar. What is left out is taken from the organization or a default.
#[utoipa::path(post, path = "/api/calendars", tag = "appointments", request_body = Value, responses((status = 201, body = Value)))]
async fn create(State(app): State<App>, console: Console, Json(settings): Json<Value>) -> Result<Response> {
    console.need(Role::Manager, "set up calendars")?;
    if only_agent(&console).is_some() {
        return Err(Problem::forbidden("A key that is bound to one agent cannot set up calendars."));
    }
    known_agents(&app, &console, &settings).await?;
    if actor::all(&app.actors.client, console.tenant()).await?.len() >= actor::CALENDARS_MAX {
        return Err(Problem::conflict("too_many_calendars", format!("At most {} calendars.", actor::CALENDARS_MAX)));
    }
    let id = CalendarId(fresh_id());
    let organization = app.actors.tools.opening(&app.actors.client, console.tenant()).await?;
    let command = Command::Create { id: id.clone(), settings, organization };
    let reply = ask_after_rows::<CalendarEntity>(&app.actors.client, &console.by, id.as_str(), command).await?;
    Ok((StatusCode::CREATED, tagged(&app, &console, &calendar(reply)?)).into_response())
}

/// One calendar, with the address of its feed for those who work with appointments.
#[utoipa::path(get, path = "/api/calendars/{id}", tag = "appointments", params(("id" = String, Path)), responses((status = 200, body = Value)))]
async fn show(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<Response> {
    Ok(tagged(&app, &console, &of(&app, &console, &id).await?))
}

/// Change a calendar by a JSON merge patch; `If-Match` guards against overwriting. Appointments that were made stay.
#[utoipa::path(patch, path = "/api/calendars/{id}", tag = "appointments", params(("id" = String, Path)), request_body = Value, responses((status = 200, body = Value)))]
async fn update(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(patch): Json<Value>,
) -> Result<Response> {
    console.need(Role::Manager, "change calendars")?;
    of(&app, &console, &id).await?;
    known_agents(&app, &console, &patch).await?;
    let command = Command::Update { patch, if_version: etag::if_match(&headers)? };
    let reply = ask_after_rows::<CalendarEntity>(&app.actors.client, &console.by, &id, command).await?;
    Ok(tagged(&app, &console, &calendar(reply)?))
}

/// Give the feed another address; the old one opens nothing any more.
#[utoipa::path(post, path = "/api/calendars/{id}/rotate-feed", tag = "appointments", params(("id" = String, Path)), responses((status = 200, body = Value)))]
async fn rotate_feed(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<Response> {
    console.need(Role::Manager, "replace the address of a feed")?;
    of(&app, &console, &id).await?;
    let reply = ask_after_rows::<CalendarEntity>(&app.actors.client, &console.by, &id, Command::RotateFeed).await?;
    Ok(tagged(&app, &console, &calendar(reply)?))
}

#[derive(Debug, Deserialize)]
pub(crate) struct Key {
    pub(crate) key: Option<String>,
}

/// A calendar's appointments as iCalendar, read-only, for whoever has its address.
#[utoipa::path(get, path = "/api/calendars/{id}/feed.ics", tag = "appointments", params(("id" = String, Path), ("key" = Option<String>, Query)), responses((status = 200, content_type = "text/calendar")))]
async fn feed(State(app): State<App>, Path(id): Path<String>, Query(query): Query<Key>) -> Result<Response> {
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    let key = query.key.unwrap_or_default();
    let gone = || Problem::unauthorized("This address is not, or no longer, the one of a feed.");
    let tenant = actor::tenant_of_key(&key).ok_or_else(gone)?;
    let id = CalendarId(id);
    let calendar = actor::of(client, &Principal::system(tenant.clone()), &id).await.map_err(|_| gone())?;
    if !actor::same_key(&key, &tools.feed_key(&tenant, &id, calendar.feed_version)) {
        return Err(gone());
    }
    let now_ms = client.now_ms();
    let query = |after| colloquy_actors::cluster::store::rows::Range {
        from_ms: Some(now_ms - FEED_BEHIND_MS),
        to_ms: Some(now_ms + FEED_AHEAD_MS),
        after,
        limit: FEED_BATCH,
    };
    let (mut shown, mut after): (Vec<AppointmentView>, _) = (Vec::new(), None);
    loop {
        let rows = client.list::<AppointmentView>(tenant.as_str(), appointments::AGENDA, &query(after.clone())).await?;
        let Some(last) = rows.last() else { break };
        after = Some(colloquy_actors::cluster::store::rows::After { at_ms: last.at_ms, id: last.id.clone() });
        shown.extend(rows.into_iter().map(|row| row.body).filter(|own| own.calendar_id == id));
        if shown.len() >= FEED_MAX {
            shown.truncate(FEED_MAX);
            break;
        }
    }
    Ok(file("calendar.ics", ics::file(&shown, ics::For::Business(&calendar.settings.name), now_ms)))
}

/// An iCalendar file. Nobody between here and its reader keeps it.
pub(crate) fn file(name: &str, text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/calendar; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::CACHE_CONTROL, "private, no-store".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
    ];
    (headers, text).into_response()
}

/// Everybody who takes appointments, over all calendars.
#[utoipa::path(get, path = "/api/providers", tag = "appointments", responses((status = 200, body = Value)))]
async fn providers(State(app): State<App>, console: Console) -> Result<Json<Value>> {
    let all = visible(&app, &console).await?;
    Ok(listing::whole(all.iter().flat_map(|own| own.settings.providers.iter().map(|part| within(own, part))).collect()))
}

/// Everything that can be booked, over all calendars.
#[utoipa::path(get, path = "/api/services", tag = "appointments", responses((status = 200, body = Value)))]
async fn services(State(app): State<App>, console: Console) -> Result<Json<Value>> {
    let all = visible(&app, &console).await?;
    Ok(listing::whole(all.iter().flat_map(|own| own.settings.types.iter().map(|part| within(own, part))).collect()))
}

/// A part of a calendar that names it.
fn within(calendar: &CalendarView, part: &impl serde::Serialize) -> Value {
    let mut value = json!(part);
    value["calendar_id"] = json!(calendar.id);
    value
}

/// The calendars that this principal may see.
async fn visible(app: &AppState, console: &Console) -> Result<Vec<CalendarView>> {
    let only = only_agent(console);
    let all = actor::all(&app.actors.client, console.tenant()).await?;
    Ok(all.into_iter().filter(|own| only.as_ref().is_none_or(|agent| own.settings.serves(agent))).collect())
}

/// Without the calendar that the organization began with, where there are others: it gives way to them.
fn preferred(all: Vec<CalendarView>) -> Vec<CalendarView> {
    if all.iter().all(|own| own.starter) {
        return all;
    }
    all.into_iter().filter(|own| !own.starter).collect()
}

/// One calendar, for this principal.
pub(crate) async fn of(app: &AppState, console: &Console, id: &str) -> Result<Calendar> {
    let calendar = actor::of(&app.actors.client, &console.by, &id.into()).await?;
    if only_agent(console).is_some_and(|only| !calendar.settings.serves(&only)) {
        return Err(Problem::not_found("calendar"));
    }
    Ok(calendar)
}

/// Refuses agents that the organization does not have.
async fn known_agents(app: &AppState, console: &Console, patch: &Value) -> Result<()> {
    let Some(wanted) = patch["agent_ids"].as_array().filter(|wanted| !wanted.is_empty()) else { return Ok(()) };
    let known = app.actors.agent_ids(console.tenant()).await?;
    match wanted.iter().find(|id| !id.as_str().is_some_and(|id| known.iter().any(|own| own == id))) {
        Some(_) => Err(Problem::field("agent_ids", "names an agent that your organization does not have")),
        None => Ok(()),
    }
}

fn calendar(reply: Reply) -> Result<Calendar> {
    match reply {
        Reply::Calendar(calendar) => Ok(*calendar),
        Reply::Done | Reply::Slots { .. } | Reply::Hold { .. } | Reply::Booked { .. } => {
            Err(Problem::not_found("calendar"))
        }
    }
}

fn tagged(app: &AppState, console: &Console, calendar: &Calendar) -> Response {
    let mut shown = json!(view::view(calendar));
    if console.by.at_least(Role::Rep) && only_agent(console).is_none() {
        let tools = &app.actors.tools;
        shown["feed_url"] = json!(tools.feed_address(console.tenant(), &calendar.id, calendar.feed_version));
    }
    etag::tagged(&shown, calendar.version)
}

/// The calendar that a call is about: the one it names, the one its agent books in, or the only one there is.
pub(crate) async fn meant(
    app: &AppState,
    console: &Console,
    calendar: Option<&str>,
    agent: Option<&AgentId>,
) -> Result<Calendar> {
    if let Some(id) = calendar {
        return of(app, console, id).await;
    }
    let client = &app.actors.client;
    let id = match agent {
        Some(agent) => actor::serving(client, console.tenant(), agent).await?.map(|own| own.id),
        None => match preferred(visible(app, console).await?).as_slice() {
            [only] => Some(only.id.clone()),
            [] => None,
            [_, ..] => return Err(Problem::field("calendar_id", "say which calendar: there are several")),
        },
    };
    let id = id.ok_or_else(|| {
        Problem::conflict(
            "no_calendar",
            "No calendar takes appointments for this: set one up with POST /api/calendars.",
        )
    })?;
    of(app, console, id.as_str()).await
}
