//! `/api/leads`: captured leads, their score with its reasons, export.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use colloquy_actors::core::{ask, ask_after_rows};
use colloquy_actors::domain::contact_guard::Address;
use colloquy_actors::domain::ids::UserId;
use colloquy_actors::domain::lead::{self, Command, LeadView, Reply, Update};
use colloquy_actors::domain::principal::Role;
use colloquy_actors::domain::vocabulary::Channel;
use colloquy_actors::guard;
use colloquy_actors::lead::{self as actor, LeadEntity};
use colloquy_wire::common::ListQuery;
use colloquy_wire::conversations as wire;
use colloquy_wire::messages as wire_messages;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::agents::only_agent;
use super::conversations::{say_over, word};
use crate::app::{App, AppState};
use crate::auth::Console;
use crate::body::{Json, Query};
use crate::problem::{Problem, Result};
use crate::tables::Table;
use crate::{etag, listing, times};

/// Rows of one export; more are exported by narrowing the time range.
const EXPORT_MAX: usize = 50_000;
/// Columns of the export that every lead has; vertical data follows as one JSON column.
const COLUMNS: [&str; 14] = [
    "id",
    "created_at",
    "status",
    "score",
    "name",
    "email",
    "phone",
    "intent",
    "channel",
    "source_page",
    "agent_id",
    "conversation_id",
    "assigned_to",
    "notes",
];

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(export))
        .routes(routes!(show, update))
        .routes(routes!(follow_up))
}

#[derive(Debug, Deserialize)]
struct Filter {
    status: Option<String>,
    from: Option<String>,
    to: Option<String>,
    min_score: Option<i64>,
    agent_id: Option<String>,
    assigned_to: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

impl Filter {
    fn keeps(&self, only: Option<&str>, row: &Value) -> bool {
        let same = |key: &str, wanted: Option<&str>| wanted.is_none_or(|wanted| row[key] == wanted);
        same("status", self.status.as_deref())
            && same("agent_id", self.agent_id.as_deref())
            && same("agent_id", only)
            && same("assigned_to", self.assigned_to.as_deref())
            && self.min_score.is_none_or(|least| row["score"].as_i64().unwrap_or(0) >= least)
    }
}

/// Leads, newest first.
#[utoipa::path(get, path = "/api/leads", tag = "leads", params(
    ("status" = Option<String>, Query), ("from" = Option<String>, Query), ("to" = Option<String>, Query), ("min_score" = Option<i64>, Query),
    ("agent_id" = Option<String>, Query), ("assigned_to" = Option<String>, Query), ("limit" = Option<usize>, Query), ("cursor" = Option<String>, Query),
), responses((status = 200, body = Value)))]
async fn list(State(app): State<App>, console: Console, Query(filter): Query<Filter>) -> Result<Json<Value>> {
    let only = only_agent(&console).map(|id| id.0);
    let query = ListQuery { limit: filter.limit, cursor: filter.cursor.clone() };
    let (from, to) = (times::parse("from", filter.from.as_deref())?, times::parse("to", filter.to.as_deref())?);
    listing::list(&app, console.tenant().as_str(), actor::LIST, &query, from, to, |row| {
        filter.keeps(only.as_deref(), row)
    })
    .await
}

/// One lead with its score's reasons.
#[utoipa::path(get, path = "/api/leads/{id}", tag = "leads", params(("id" = String, Path)), responses((status = 200, body = Value)))]
async fn show(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<Response> {
    let lead = of(&app, &console, &id).await?;
    Ok(etag::tagged(&lead, lead.seq))
}

/// Change a lead.
#[utoipa::path(patch, path = "/api/leads/{id}", tag = "leads", params(("id" = String, Path)), request_body = wire::LeadPatch, responses((status = 200, body = Value)))]
async fn update(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<wire::LeadPatch>,
) -> Result<Response> {
    console.need(Role::Rep, "work on leads")?;
    let before = of(&app, &console, &id).await?;
    if let Some(version) = etag::if_match(&headers)?
        && before.seq != version
    {
        return Err(colloquy_actors::domain::Rejection::Stale { current: json!(before) }.into());
    }
    let mut fields = std::collections::BTreeMap::new();
    for (name, value) in body.fields.unwrap_or_default() {
        let text = value.as_str().ok_or_else(|| Problem::field(&name, "must be text"))?;
        fields.insert(name, text.to_owned());
    }
    let update = Update {
        status: word("status", body.status)?,
        // An empty id is nobody.
        assigned_to: body.assigned_to.map(|user| UserId(user.unwrap_or_default())),
        notes: body.notes,
        followed_up: body.followed_up,
        fields,
    };
    ask_after_rows::<LeadEntity>(&app.actors.client, &console.by, &id, Command::Update(Box::new(update))).await?;
    let lead = of(&app, &console, &id).await?;
    Ok(etag::tagged(&lead, lead.seq))
}

/// Get back to a lead by text message, WhatsApp or mail. Who must not be contacted is refused here and again before anything leaves. It counts as
/// followed up once it was sent.
#[utoipa::path(post, path = "/api/leads/{id}/follow-up", tag = "leads", params(("id" = String, Path)), request_body = wire_messages::FollowUp, responses((status = 202, body = Value)))]
async fn follow_up(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<wire_messages::FollowUp>,
) -> Result<Response> {
    console.need(Role::Rep, "get back to a lead")?;
    let lead = of(&app, &console, &id).await?;
    let channel: Channel = word("channel", Some(body.channel))?.unwrap_or(Channel::Email);
    let missing = |what: &str| Problem::conflict("no_address", format!("This lead has no {what}."));
    let address = match channel {
        Channel::Email => Address::email(lead.email.as_deref().ok_or_else(|| missing("e-mail address"))?)?,
        Channel::Sms | Channel::Whatsapp => {
            Address::phone(lead.phone.as_deref().ok_or_else(|| missing("telephone number"))?)?
        }
        Channel::Chat | Channel::Voice | Channel::Linkedin | Channel::Messenger => {
            return Err(Problem::field("channel", "must be sms, whatsapp or email"));
        }
    };
    let (client, tools) = (&app.actors.client, &app.actors.tools);
    let known = guard::known(client, tools, console.tenant(), &address).await?;
    if known.blocked(channel, app.now_ms()).is_some() {
        return Err(Problem::conflict(
            "do_not_contact",
            "This person must not be contacted: see the do-not-contact list.",
        ));
    }
    let answer = if channel == Channel::Email {
        let subject = body.subject.unwrap_or_else(|| "Following up".to_owned());
        let command = Command::FollowUp { subject, content: body.content };
        match ask_after_rows::<LeadEntity>(client, &console.by, &id, command).await? {
            Reply::FollowUp { id: follow_up } => json!({ "id": follow_up, "lead_id": id, "channel": channel }),
            Reply::Done | Reply::State(_) => return Err(Problem::not_found("lead")),
        }
    } else {
        let conversation = lead.conversation_id.ok_or_else(|| {
            Problem::conflict("no_conversation", "This lead has no conversation that a message could belong to.")
        })?;
        let said = say_over(&app, &console, conversation.as_str(), channel, body.content, &headers, &address).await?;
        let update = Update { followed_up: Some(true), ..Update::default() };
        ask_after_rows::<LeadEntity>(client, &console.by, &id, Command::Update(Box::new(update))).await?;
        json!({ "id": said, "lead_id": id, "conversation_id": conversation, "channel": channel })
    };
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

/// Leads as CSV, newest first, filtered as the list.
#[utoipa::path(get, path = "/api/leads/export.csv", tag = "leads", responses((status = 200, content_type = "text/csv")))]
async fn export(State(app): State<App>, console: Console, Query(filter): Query<Filter>) -> Result<Response> {
    let only = only_agent(&console).map(|id| id.0);
    let (from, to) = (times::parse("from", filter.from.as_deref())?, times::parse("to", filter.to.as_deref())?);
    let columns: Vec<&str> = COLUMNS.iter().copied().chain(["vertical_data"]).collect();
    let mut query = ListQuery { limit: Some(200), cursor: None };
    let mut table = Table::new("leads", &columns)?;
    let mut written = 0;
    loop {
        let page = listing::page(&app, console.tenant().as_str(), actor::LIST, &query, from, to, |row| {
            filter.keeps(only.as_deref(), row)
        })
        .await?;
        let listing::Page { items: rows, next, .. } = page.sound()?;
        for row in &rows {
            table.row(columns.iter().map(|column| &row[*column]))?;
        }
        written += rows.len();
        query.cursor = next;
        if query.cursor.is_none() || written >= EXPORT_MAX {
            break;
        }
    }
    table.file()
}

/// One lead, for this principal.
pub(crate) async fn of(app: &AppState, console: &Console, id: &str) -> Result<LeadView> {
    let view = match ask::<LeadEntity>(&app.actors.client, &console.by, id, Command::Get).await? {
        Reply::State(state) => lead::view(&state),
        Reply::Done | Reply::FollowUp { .. } => None,
    };
    let lead = view.ok_or_else(|| Problem::not_found("lead"))?;
    if only_agent(console).is_some_and(|only| lead.agent_id != Some(only)) {
        return Err(Problem::not_found("lead"));
    }
    Ok(lead)
}
