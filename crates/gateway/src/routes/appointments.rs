//! `/api/appointments`: free slots, holds, booking, moving, what became of it, and the file for one's own calendar.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use colloquy_actors::appointment as actor;
use colloquy_actors::calendar::{self as calendars, CalendarEntity};
use colloquy_actors::conversation::ConversationEntity;
use colloquy_actors::core::ask;
use colloquy_actors::domain::appointment::{AppointmentView, Details, Request, Source, Terms, Update, ics};
use colloquy_actors::domain::calendar::slots::{DAYS_MAX, SLOTS_MAX};
use colloquy_actors::domain::calendar::{Calendar, Command, Query as SlotQuery, Reply, Want, view};
use colloquy_actors::domain::conversation;
use colloquy_actors::domain::ids::{AgentId, AppointmentId, ConversationId};
use colloquy_actors::domain::local_time::zone_or_utc;
use colloquy_actors::domain::principal::{Principal, Role};
use colloquy_actors::domain::vocabulary::AppointmentStatus;
use colloquy_wire::appointments as wire;
use colloquy_wire::common::ListQuery;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::agents::only_agent;
use super::calendars::{Key, file, meant};
use super::conversations::word;
use crate::accounts::fresh_id;
use crate::app::{App, AppState};
use crate::auth::Console;
use crate::body::{Json, Query};
use crate::problem::{Problem, Result};
use crate::{etag, listing, times};

/// How far ahead slots are looked for when the caller names no end, milliseconds.
const SLOTS_AHEAD_MS: i64 = 14 * 24 * 3600 * 1000;
const MINUTE_MS: i64 = 60_000;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(slots))
        .routes(routes!(hold))
        .routes(routes!(show, update))
        .routes(routes!(invite))
}

#[derive(Debug, Deserialize)]
struct Filter {
    from: Option<String>,
    to: Option<String>,
    status: Option<String>,
    agent_id: Option<String>,
    calendar_id: Option<String>,
    provider_id: Option<String>,
    conversation_id: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// Appointments by when they begin, the latest first. `from` and `to` are about their beginning; days are days of the organization's zone.
#[utoipa::path(get, path = "/api/appointments", tag = "appointments", params(
    ("from" = Option<String>, Query), ("to" = Option<String>, Query), ("status" = Option<String>, Query), ("agent_id" = Option<String>, Query),
    ("calendar_id" = Option<String>, Query), ("provider_id" = Option<String>, Query), ("conversation_id" = Option<String>, Query),
    ("limit" = Option<usize>, Query), ("cursor" = Option<String>, Query),
), responses((status = 200, body = Value)))]
async fn list(State(app): State<App>, console: Console, Query(filter): Query<Filter>) -> Result<Json<Value>> {
    let only = only_agent(&console).map(|id| id.0);
    let status: Option<AppointmentStatus> = word("status", filter.status.clone())?;
    let status = status.map(|status| json!(status));
    let zone = zone_or_utc(&app.actors.organization(console.tenant()).await?.facts.timezone);
    let (from, to) = times::stretch(&zone, filter.from.as_deref(), filter.to.as_deref())?;
    let query = ListQuery { limit: filter.limit, cursor: filter.cursor.clone() };
    listing::list(&app, console.tenant().as_str(), actor::AGENDA, &query, from, to, |row| {
        let same = |key: &str, wanted: Option<&str>| wanted.is_none_or(|wanted| row[key] == wanted);
        status.as_ref().is_none_or(|status| row["status"] == *status)
            && same("agent_id", filter.agent_id.as_deref())
            && same("agent_id", only.as_deref())
            && same("calendar_id", filter.calendar_id.as_deref())
            && same("provider_id", filter.provider_id.as_deref())
            && same("conversation_id", filter.conversation_id.as_deref())
    })
    .await
}

#[derive(Debug, Deserialize)]
struct Asked {
    agent_id: Option<String>,
    calendar_id: Option<String>,
    provider_id: Option<String>,
    from: Option<String>,
    to: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    limit: Option<usize>,
}

/// Free slots, the earliest first: of a calendar, or of the one an agent books in. Without `to` those of the next two weeks.
#[utoipa::path(get, path = "/api/appointments/slots", tag = "appointments", params(
    ("agent_id" = Option<String>, Query), ("calendar_id" = Option<String>, Query), ("provider_id" = Option<String>, Query),
    ("from" = Option<String>, Query), ("to" = Option<String>, Query), ("type" = Option<String>, Query), ("limit" = Option<usize>, Query),
), responses((status = 200, body = Value)))]
async fn slots(State(app): State<App>, console: Console, Query(asked): Query<Asked>) -> Result<Json<Value>> {
    let agent = agent_of(&console, asked.agent_id.clone())?;
    let calendar = meant(&app, &console, asked.calendar_id.as_deref(), agent.as_ref()).await?;
    let limit = asked.limit.unwrap_or(SLOTS_MAX);
    if !(1..=SLOTS_MAX).contains(&limit) {
        return Err(Problem::field("limit", format!("must be 1 to {SLOTS_MAX}")));
    }
    if calendar.settings.kind(asked.kind.as_deref()).is_none() {
        return Err(Problem::field("type", "this calendar has no such type of appointment"));
    }
    if asked.provider_id.as_deref().is_some_and(|id| calendar.settings.provider(id).is_none()) {
        return Err(Problem::field("provider_id", "nobody of that id takes appointments in this calendar"));
    }
    let zone = zone_or_utc(&calendar.settings.timezone);
    let (from, to) = times::stretch(&zone, asked.from.as_deref(), asked.to.as_deref())?;
    let from_ms = from.unwrap_or_else(|| app.actors.client.now_ms());
    let to_ms = to.unwrap_or(from_ms.saturating_add(SLOTS_AHEAD_MS));
    if to_ms.saturating_sub(from_ms) > DAYS_MAX * 24 * 60 * MINUTE_MS {
        return Err(Problem::field("to", format!("must be at most {DAYS_MAX} days after `from`")));
    }
    let query =
        SlotQuery { kind: asked.kind, provider: asked.provider_id, from_ms, to_ms, limit, ..SlotQuery::default() };
    let command = Command::Slots { query, organization: opening(&app, &console).await? };
    match ask::<CalendarEntity>(&app.actors.client, &console.by, calendar.id.as_str(), command).await? {
        Reply::Slots { items } => {
            let shown = |slot| view::slot(&calendar.id, &calendar.settings.timezone, slot);
            Ok(listing::whole(items.iter().map(shown).collect()))
        }
        Reply::Done | Reply::Calendar(_) | Reply::Hold { .. } | Reply::Booked { .. } => {
            Err(Problem::not_found("calendar"))
        }
    }
}

/// Keep a slot for ten minutes. A conversation has at most one: a new hold replaces its old one.
#[utoipa::path(post, path = "/api/appointments/holds", tag = "appointments", request_body = wire::NewHold, responses((status = 201, body = Value)))]
async fn hold(State(app): State<App>, console: Console, Json(body): Json<wire::NewHold>) -> Result<Response> {
    console.need(Role::Rep, "hold slots")?;
    let agent = agent_of(&console, body.agent_id)?;
    let calendar = meant(&app, &console, body.calendar_id.as_deref(), agent.as_ref()).await?;
    if let Some(id) = &body.conversation_id {
        known_conversation(&app, &console, id).await?;
    }
    let holder = body.conversation_id.unwrap_or_else(fresh_id);
    let want = Want { kind: body.kind, provider: body.provider_id, starts_ms: instant("starts_at", &body.starts_at)? };
    let command = Command::Hold { holder: holder.clone(), want, organization: opening(&app, &console).await? };
    match ask::<CalendarEntity>(&app.actors.client, &console.by, calendar.id.as_str(), command).await? {
        Reply::Hold { hold: Some(hold) } => {
            let shown = view::hold(&calendar.id, &calendar.settings.timezone, &holder, &hold);
            Ok((StatusCode::CREATED, Json(shown)).into_response())
        }
        Reply::Hold { hold: None } | Reply::Done | Reply::Calendar(_) | Reply::Slots { .. } | Reply::Booked { .. } => {
            Err(Problem::not_found("calendar"))
        }
    }
}

/// Book an appointment.
#[utoipa::path(post, path = "/api/appointments", tag = "appointments", request_body = wire::NewAppointment, responses((status = 201, body = Value)))]
async fn create(State(app): State<App>, console: Console, Json(body): Json<wire::NewAppointment>) -> Result<Response> {
    console.need(Role::Rep, "book appointments")?;
    let agent = agent_of(&console, body.agent_id)?;
    if let Some(agent) = &agent
        && !app.actors.agent_ids(console.tenant()).await?.contains(&agent.0)
    {
        return Err(Problem::not_found("agent"));
    }
    let calendar = meant(&app, &console, body.calendar_id.as_deref(), agent.as_ref()).await?;
    if let Some(id) = &body.conversation_id {
        known_conversation(&app, &console, id).await?;
    }
    let held = match &body.hold_id {
        Some(holder) => Some(held(&app, &console, &calendar, holder).await?),
        None => None,
    };
    let want = match (&body.starts_at, held) {
        (Some(at), _) => Want { kind: body.kind, provider: body.provider_id, starts_ms: instant("starts_at", at)? },
        (None, Some(held)) => held,
        (None, None) => return Err(Problem::field("starts_at", "say when, or give a hold_id")),
    };
    let request = Request {
        id: AppointmentId(fresh_id()),
        calendar_id: calendar.id.clone(),
        want,
        holder: body.hold_id,
        details: Details {
            title: body.title.unwrap_or_default(),
            description: body.description.unwrap_or_default(),
            name: body.name,
            email: body.email,
            phone: body.phone,
            vertical_data: body.vertical_data.unwrap_or_default().into_iter().collect(),
        },
        source: Source {
            agent_id: agent,
            conversation_id: body.conversation_id.map(ConversationId),
            visitor_id: None,
            channel: None,
            trial: false,
        },
        terms: terms(&app, &console, &calendar).await?,
    };
    let made = actor::book(&app.actors.client, &console.by, request).await?;
    Ok((StatusCode::CREATED, etag::tagged(&shown(&app, &console, &made), made.seq)).into_response())
}

/// One appointment.
#[utoipa::path(get, path = "/api/appointments/{id}", tag = "appointments", params(("id" = String, Path)), responses((status = 200, body = Value)))]
async fn show(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<Response> {
    let appointment = of(&app, &console, &id).await?;
    Ok(etag::tagged(&shown(&app, &console, &appointment), appointment.seq))
}

/// Confirm, move, cancel or close an appointment, or change who comes; `If-Match` guards against overwriting.
#[utoipa::path(patch, path = "/api/appointments/{id}", tag = "appointments", params(("id" = String, Path)), request_body = wire::AppointmentPatch, responses((status = 200, body = Value)))]
async fn update(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<wire::AppointmentPatch>,
) -> Result<Response> {
    console.need(Role::Rep, "work on appointments")?;
    let before = of(&app, &console, &id).await?;
    let moves = body.starts_at.is_some() || body.kind.is_some() || body.provider_id.is_some();
    let want = if moves {
        let starts_at = body.starts_at.as_deref().unwrap_or(&before.starts_at);
        Some(Want {
            kind: Some(body.kind.unwrap_or(before.kind)),
            // Another time with the same person, unless somebody else is named.
            provider: body.provider_id.or(before.provider_id),
            starts_ms: instant("starts_at", starts_at)?,
        })
    } else {
        None
    };
    let update = Update {
        status: word("status", body.status)?,
        want,
        holder: body.hold_id,
        title: body.title,
        description: body.description,
        name: body.name,
        email: body.email,
        phone: body.phone,
        vertical_data: body.vertical_data.unwrap_or_default().into_iter().collect(),
        cancel_reason: body.cancel_reason,
        if_seq: etag::if_match(&headers)?,
    };
    let made = actor::change(&app.actors.client, &console.by, &before.id, update).await?;
    Ok(etag::tagged(&shown(&app, &console, &made), made.seq))
}

/// An appointment as iCalendar, for whoever was given its address.
#[utoipa::path(get, path = "/api/appointments/{id}/invite.ics", tag = "appointments", params(("id" = String, Path), ("key" = Option<String>, Query)), responses((status = 200, content_type = "text/calendar")))]
async fn invite(State(app): State<App>, Path(id): Path<String>, Query(query): Query<Key>) -> Result<Response> {
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    let key = query.key.unwrap_or_default();
    let gone = || Problem::unauthorized("This is not the address that was given for the appointment.");
    let tenant = calendars::tenant_of_key(&key).ok_or_else(gone)?;
    if !calendars::same_key(&key, &tools.file_key(&tenant, &AppointmentId(id.clone()))) {
        return Err(gone());
    }
    let appointment = actor::of(client, &Principal::system(tenant.clone()), &id).await?;
    let business = app.actors.organization(&tenant).await?.facts.name.clone();
    Ok(file("appointment.ics", ics::file([&appointment], ics::For::Guest(&business), client.now_ms())))
}

/// One appointment, for this principal.
async fn of(app: &AppState, console: &Console, id: &str) -> Result<AppointmentView> {
    let appointment = actor::of(&app.actors.client, &console.by, id).await?;
    if only_agent(console).is_some_and(|only| appointment.agent_id != Some(only)) {
        return Err(Problem::not_found("appointment"));
    }
    Ok(appointment)
}

/// The appointment with the address of its file.
fn shown(app: &AppState, console: &Console, appointment: &AppointmentView) -> Value {
    let mut value = json!(appointment);
    value["ics_url"] = json!(app.actors.tools.file_address(console.tenant(), &appointment.id));
    value
}

/// The agent a call is about: a key that is bound to one is about no other.
fn agent_of(console: &Console, named: Option<String>) -> Result<Option<AgentId>> {
    match (only_agent(console), named.map(AgentId)) {
        (Some(only), Some(named)) if only != named => Err(Problem::not_found("agent")),
        (Some(only), _) => Ok(Some(only)),
        (None, named) => Ok(named),
    }
}

async fn known_conversation(app: &AppState, console: &Console, id: &str) -> Result<()> {
    let reply = ask::<ConversationEntity>(&app.actors.client, &console.by, id, conversation::Command::Get).await?;
    match reply {
        conversation::Reply::State(state)
            if state.exists() && only_agent(console).is_none_or(|only| only == state.agent_id) =>
        {
            Ok(())
        }
        _ => Err(Problem::not_found("conversation")),
    }
}

async fn held(app: &AppState, console: &Console, calendar: &Calendar, holder: &str) -> Result<Want> {
    let command = Command::Held { holder: holder.to_owned() };
    match ask::<CalendarEntity>(&app.actors.client, &console.by, calendar.id.as_str(), command).await? {
        Reply::Hold { hold: Some(hold) } => Ok(Want {
            kind: Some(hold.slot.kind),
            provider: Some(hold.slot.span.provider).filter(|provider| !provider.is_empty()),
            starts_ms: hold.slot.span.starts_ms,
        }),
        _ => Err(Problem::conflict("hold_gone", "This hold has run out or was used: look for free slots again.")),
    }
}

async fn opening(app: &AppState, console: &Console) -> Result<colloquy_actors::domain::calendar::Organization> {
    Ok(app.actors.tools.opening(&app.actors.client, console.tenant()).await?)
}

async fn terms(app: &AppState, console: &Console, calendar: &Calendar) -> Result<Terms> {
    Ok(app.actors.tools.terms(&app.actors.client, console.tenant(), &calendar.settings).await?)
}

fn instant(field: &str, text: &str) -> Result<i64> {
    match text.parse::<jiff::Timestamp>() {
        Ok(at) => Ok(at.as_millisecond()),
        Err(_) => Err(Problem::field(field, "must be a time with zone such as 2026-01-31T09:00:00Z")),
    }
}
