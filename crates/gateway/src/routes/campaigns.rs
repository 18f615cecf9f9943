//! `/api/calling/campaigns`: outbound campaigns, their lists, their numbers, their calls, their audit.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use colloquy_actors::ActorError;
use colloquy_actors::campaign::{self as actor, CampaignEntity, import_folder};
use colloquy_actors::cluster::EntityKey;
use colloquy_actors::core::{ask, ask_after_rows};
use colloquy_actors::domain::campaign::core::{self as domain, Campaign, Command, Imported, Reply, Source};
use colloquy_actors::domain::campaign::import::LeadFilter;
use colloquy_actors::domain::campaign::slice::audit;
use colloquy_actors::domain::campaign::target::{Outcome, Standing, Target};
use colloquy_actors::domain::contact_guard::Address;
use colloquy_actors::domain::ids::CampaignId;
use colloquy_actors::domain::local_time::rfc3339;
use colloquy_actors::domain::principal::Role;
use colloquy_wire::campaigns as wire;
use colloquy_wire::common::ListQuery;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::agents::only_agent;
use super::conversations::word;
use super::numbers::agent_of;
use crate::accounts::fresh_id;
use crate::app::{App, AppState};
use crate::auth::Console;
use crate::body::{self, Json, Query};
use crate::problem::{Problem, Result};
use crate::tables::Table;
use crate::{etag, listing};

/// How long the answer to a list waits for its end; after that the campaign shows it.
const READ_WITHIN: Duration = Duration::from_secs(15);
/// Attempts of one page of targets.
const TARGETS_PAGE: usize = 100;
const TARGETS_PAGE_MAX: usize = 256;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, update, delete))
        .routes(routes!(start))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(stop))
        .routes(routes!(targets, add_targets))
        .routes(routes!(stats))
        .routes(routes!(calls))
        .routes(routes!(audit_csv))
}

/// Campaigns, the newest first.
#[utoipa::path(get, path = "/api/calling/campaigns", tag = "campaigns", params(("limit" = Option<usize>, Query), ("cursor" = Option<String>, Query)), responses((status = 200, body = Value)))]
async fn list(State(app): State<App>, console: Console, Query(query): Query<ListQuery>) -> Result<Json<Value>> {
    let only = only_agent(&console);
    listing::list(&app, console.tenant().as_str(), actor::LIST, &query, None, None, |row| {
        only.as_ref().is_none_or(|only| row["agent_id"] == only.as_str())
    })
    .await
}

/// Write a campaign. It calls nobody before it is started.
#[utoipa::path(post, path = "/api/calling/campaigns", tag = "campaigns", request_body = Value, responses((status = 201, body = Value)))]
async fn create(State(app): State<App>, console: Console, Json(body): Json<Map<String, Value>>) -> Result<Response> {
    console.need(Role::Manager, "write campaigns")?;
    let id = CampaignId(fresh_id());
    let settings = Value::Object(body);
    let agent = settings["agent_id"].as_str().unwrap_or_default().to_owned();
    agent_of(&app, &console, &agent).await?;
    let account = account(&app, &console, &numbers_of(&settings)?).await?;
    let command = Command::Create { id: id.clone(), account, settings };
    ask_after_rows::<CampaignEntity>(&app.actors.client, &console.by, id.as_str(), command).await?;
    let state = of(&app, &console, id.as_str()).await?;
    let mut response = etag::tagged(&detail(&state), state.settings_version);
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// One campaign with what its lists came to.
#[utoipa::path(get, path = "/api/calling/campaigns/{id}", tag = "campaigns", params(("id" = String, Path)), responses((status = 200, body = Value), (status = 404)))]
async fn show(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<Response> {
    let state = of(&app, &console, &id).await?;
    Ok(etag::tagged(&detail(&state), state.settings_version))
}

/// Change settings, also while it runs: every call that begins after the answer uses them.
#[utoipa::path(patch, path = "/api/calling/campaigns/{id}", tag = "campaigns", params(("id" = String, Path)), request_body = Value, responses((status = 200, body = Value), (status = 412)))]
async fn update(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Map<String, Value>>,
) -> Result<Response> {
    console.need(Role::Manager, "change campaigns")?;
    let state = of(&app, &console, &id).await?;
    let patch = Value::Object(body);
    if let Some(agent) = patch.get("agent_id") {
        agent_of(&app, &console, agent.as_str().unwrap_or_default()).await?;
    }
    let numbers = match patch.get("from_numbers") {
        Some(_) => numbers_of(&patch)?,
        None => state.settings.from_numbers,
    };
    let account = account(&app, &console, &numbers).await?;
    let command = Command::Update { patch, account, if_version: etag::if_match(&headers)? };
    ordered(&app, &console, &id, command).await
}

/// Delete a campaign: calls that go on are finished, then its list is erased.
#[utoipa::path(delete, path = "/api/calling/campaigns/{id}", tag = "campaigns", params(("id" = String, Path)), responses((status = 204), (status = 404)))]
async fn delete(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<StatusCode> {
    console.need(Role::Manager, "delete campaigns")?;
    of(&app, &console, &id).await?;
    ask_after_rows::<CampaignEntity>(&app.actors.client, &console.by, &id, Command::Delete).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Start it, now or at its `starts_at`.
#[utoipa::path(post, path = "/api/calling/campaigns/{id}/start", tag = "campaigns", params(("id" = String, Path)), responses((status = 200, body = Value), (status = 409)))]
async fn start(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<Response> {
    console.need(Role::Manager, "start campaigns")?;
    let state = of(&app, &console, &id).await?;
    // An account that was taken away since is named before anything begins.
    let account = account(&app, &console, &state.settings.from_numbers).await?;
    if state.status == domain::Status::Draft {
        let (client, tools) = (&app.actors.client, &app.actors.tools);
        actor::ready(client, tools, console.tenant(), &state.settings, &account).await?;
    }
    ordered(&app, &console, &id, Command::Start).await
}

/// Call nobody for now; calls that go on are finished.
#[utoipa::path(post, path = "/api/calling/campaigns/{id}/pause", tag = "campaigns", params(("id" = String, Path)), responses((status = 200, body = Value), (status = 409)))]
async fn pause(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<Response> {
    console.need(Role::Manager, "pause campaigns")?;
    of(&app, &console, &id).await?;
    ordered(&app, &console, &id, Command::Pause).await
}

/// Go on.
#[utoipa::path(post, path = "/api/calling/campaigns/{id}/resume", tag = "campaigns", params(("id" = String, Path)), responses((status = 200, body = Value), (status = 409)))]
async fn resume(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<Response> {
    console.need(Role::Manager, "resume campaigns")?;
    let state = of(&app, &console, &id).await?;
    if state.status == domain::Status::Paused {
        let (client, tools) = (&app.actors.client, &app.actors.tools);
        actor::ready(client, tools, console.tenant(), &state.settings, &state.account).await?;
    }
    ordered(&app, &console, &id, Command::Resume).await
}

/// End it: whoever waits is skipped, calls that go on are finished.
#[utoipa::path(post, path = "/api/calling/campaigns/{id}/stop", tag = "campaigns", params(("id" = String, Path)), responses((status = 200, body = Value), (status = 409)))]
async fn stop(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<Response> {
    console.need(Role::Manager, "stop campaigns")?;
    of(&app, &console, &id).await?;
    ordered(&app, &console, &id, Command::Stop).await
}

/// Who only watches sees how calls go and not whom they reach: numbers as masks, nothing else that the list says of people.
fn hide(console: &Console, shown: &mut Value) {
    if console.by.at_least(Role::Rep) {
        return;
    }
    if let Some(number) = shown["phone"].as_str() {
        shown["phone"] = json!(Address::of_carrier(number).masked());
    }
    for personal in ["name", "fields"] {
        if shown.get(personal).is_some() {
            shown[personal] = Value::Null;
        }
    }
}

/// Who is called, in the order of the lists, and how far each is. Who only watches sees numbers as masks.
#[utoipa::path(get, path = "/api/calling/campaigns/{id}/targets", tag = "campaigns", params(("id" = String, Path), ("limit" = Option<usize>, Query), ("cursor" = Option<String>, Query)), responses((status = 200, body = Value)))]
async fn targets(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>> {
    let state = of(&app, &console, &id).await?;
    let limit = query.limit.unwrap_or(TARGETS_PAGE);
    if !(1..=TARGETS_PAGE_MAX).contains(&limit) {
        return Err(Problem::field("limit", format!("must be 1 to {TARGETS_PAGE_MAX}")));
    }
    let wrong = || Problem::field("cursor", "must be the next_cursor of an earlier answer");
    let place = query.cursor.as_deref().map(|cursor| cursor.split_once('.').ok_or_else(wrong)).transpose()?;
    let (mut index, mut at) = match place {
        Some((index, at)) => (index.parse::<u32>().map_err(|_| wrong())?, at.parse::<usize>().map_err(|_| wrong())?),
        None => (0, 0),
    };
    let slices = u32::try_from(state.slices.len()).unwrap_or(u32::MAX);
    let mut items = Vec::new();
    while index < slices && items.len() < limit {
        let (slice, people) = actor::slice_of(&app.actors.client, console.tenant(), &state.id, index).await?;
        let known = slice.targets.len();
        for (place, target) in slice.targets.iter().enumerate().skip(at).take(limit - items.len()) {
            let who = people.get(place).and_then(Option::as_ref);
            let mut shown = standing(target);
            shown["id"] = json!(format!("{index}.{place}"));
            shown["phone"] = json!(who.map(|who| &who.phone));
            shown["name"] = json!(who.and_then(|who| who.name.as_ref()));
            shown["fields"] = json!(who.map(|who| &who.fields));
            hide(&console, &mut shown);
            items.push(shown);
            at = place + 1;
        }
        if at >= known {
            (index, at) = (index + 1, 0);
        }
    }
    let next = (index < slices).then(|| format!("{index}.{at}"));
    Ok(Json(json!({ "items": items, "next_cursor": next })))
}

/// Bring targets: a list as CSV (`text/csv`) or JSON lines (`application/x-ndjson`), a JSON array, or `{from_leads:{filter}}`. Lines that cannot be
/// used are named one by one; numbers that are there already are counted.
#[utoipa::path(post, path = "/api/calling/campaigns/{id}/targets", tag = "campaigns", params(("id" = String, Path)), request_body = wire::FromLeads, responses((status = 200, body = wire::TargetsRead), (status = 202, body = wire::TargetsRead), (status = 409)))]
async fn add_targets(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response> {
    console.need(Role::Manager, "bring targets")?;
    let state = of(&app, &console, &id).await?;
    if state.import.is_some() || actor::is_over(state.status) {
        // Refused by its own name, before anything is stored.
        ask::<CampaignEntity>(&app.actors.client, &console.by, &id, Command::Import { source: nothing() }).await?;
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let json = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let source = match kind.as_str() {
        "application/json" if json == Some(&b'{') => leads(&console, &body)?,
        "application/json" | "application/x-ndjson" | "application/jsonl" | "application/ndjson" => {
            file(&app, &console, &id, &body, false).await?
        }
        "text/csv" | "text/plain" | "text/tab-separated-values" => file(&app, &console, &id, &body, true).await?,
        _ => {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not_a_list",
                "Send a list with `Content-Type: text/csv` or `application/x-ndjson`, or JSON with `from_leads`.",
            ));
        }
    };
    let client = &app.actors.client;
    let key = EntityKey::new(console.tenant().as_str(), domain::KIND, id.as_str());
    let mut changes = client.watch(&key).followed().await;
    let n = match ask::<CampaignEntity>(client, &console.by, &id, Command::Import { source }).await? {
        Reply::Import { n } => n,
        Reply::Done | Reply::State(_) => return Err(ActorError::Failed.into()),
    };
    let deadline = tokio::time::Instant::now() + READ_WITHIN;
    loop {
        let state = of(&app, &console, &id).await?;
        if let Some(result) = actor::imported(&state, n) {
            return Ok(Json(read(n, result)?).into_response());
        }
        if tokio::time::timeout_at(deadline, changes.next()).await.is_err() {
            let running = wire::TargetsRead {
                import: n,
                status: "running".to_owned(),
                accepted: 0,
                rejected: Vec::new(),
                rejected_total: 0,
                duplicates: 0,
            };
            return Ok((StatusCode::ACCEPTED, Json(running)).into_response());
        }
    }
}

/// The six cards and every count by outcome and reason, with the sequence number of each slice that they were counted to.
#[utoipa::path(get, path = "/api/calling/campaigns/{id}/stats", tag = "campaigns", params(("id" = String, Path)), responses((status = 200, body = Value)))]
async fn stats(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<Json<Value>> {
    let state = of(&app, &console, &id).await?;
    Ok(Json(actor::stats(&app.actors.client, console.tenant(), &state).await?))
}

#[derive(Debug, Deserialize)]
struct CallFilter {
    outcome: Option<String>,
    status: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// Its calls, the newest first.
#[utoipa::path(get, path = "/api/calling/campaigns/{id}/calls", tag = "campaigns", params(("id" = String, Path), ("outcome" = Option<String>, Query), ("status" = Option<String>, Query), ("limit" = Option<usize>, Query), ("cursor" = Option<String>, Query)), responses((status = 200, body = Value)))]
async fn calls(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    Query(filter): Query<CallFilter>,
) -> Result<Json<Value>> {
    let state = of(&app, &console, &id).await?;
    let outcome: Option<Outcome> = word("outcome", filter.outcome)?;
    let outcome = outcome.map(|outcome| json!(outcome));
    let query = ListQuery { limit: filter.limit, cursor: filter.cursor };
    let list = actor::slice::calls_list(&state.id);
    let mut page = listing::page(&app, console.tenant().as_str(), &list, &query, None, None, |row| {
        outcome.as_ref().is_none_or(|outcome| row["outcome"] == *outcome)
            && filter.status.as_deref().is_none_or(|status| row["status"] == status)
    })
    .await?;
    actor::with_names(&app.actors.client, console.tenant(), &state.id, &mut page.items).await?;
    page.items.iter_mut().for_each(|call| hide(&console, call));
    Ok(page.body())
}

/// Who was called when, from which number, under which consent, permit and settings, and what became of it, as CSV.
#[utoipa::path(get, path = "/api/calling/campaigns/{id}/audit.csv", tag = "campaigns", params(("id" = String, Path)), responses((status = 200, content_type = "text/csv")))]
async fn audit_csv(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<Response> {
    console.need(Role::Manager, "read the audit of calls")?;
    let state = of(&app, &console, &id).await?;
    let mut table = Table::new("campaign-audit", &audit::COLUMNS)?;
    for index in 0..u32::try_from(state.slices.len()).unwrap_or(u32::MAX) {
        let (slice, people) = actor::slice_of(&app.actors.client, console.tenant(), &state.id, index).await?;
        for row in audit::rows(&slice, &people) {
            table.row(&row.map(Value::String))?;
        }
    }
    table.file()
}

/// A campaign, for this principal.
async fn of(app: &AppState, console: &Console, id: &str) -> Result<Campaign> {
    let state = actor::state(&app.actors.client, &console.by, id).await?;
    if only_agent(console).is_some_and(|only| only != state.settings.agent_id) {
        return Err(Problem::not_found("campaign"));
    }
    Ok(state)
}

/// Gives an order and shows what stands after it.
async fn ordered(app: &AppState, console: &Console, id: &str, command: Command) -> Result<Response> {
    ask_after_rows::<CampaignEntity>(&app.actors.client, &console.by, id, command).await?;
    let state = of(app, console, id).await?;
    Ok(etag::tagged(&detail(&state), state.settings_version))
}

fn detail(state: &Campaign) -> Value {
    let mut shown = actor::view(state);
    let imports: Vec<Value> = state
        .imported
        .iter()
        .map(|(n, result)| {
            json!({
                "import": n,
                "accepted": result.accepted,
                "rejected_total": result.rejected,
                "rejected": result.told,
                "duplicates": result.duplicates,
                "failed": result.failed,
            })
        })
        .collect();
    shown["imports"] = json!(imports);
    shown
}

async fn account(app: &AppState, console: &Console, numbers: &[String]) -> Result<String> {
    let lines = app.actors.tools.lines(&app.actors.client, console.tenant()).await?;
    // A number of another agent is no number of a key that speaks for one.
    if let Some(only) = only_agent(console) {
        let theirs = |number: &&String| {
            lines.numbers.values().any(|known| known.is.number == **number && known.is.agent != only)
        };
        if let Some(number) = numbers.iter().find(theirs) {
            return Err(Problem::field("from_numbers", format!("{number} is not a number of yours that can call")));
        }
    }
    Ok(actor::account_of(&lines, numbers)?)
}

fn numbers_of(settings: &Value) -> Result<Vec<String>> {
    match settings.get("from_numbers") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(numbers) => serde_json::from_value(numbers.clone())
            .map_err(|_| Problem::field("from_numbers", "must be a list of international numbers")),
    }
}

fn nothing() -> Source {
    Source::Leads { filter: Box::default() }
}

fn leads(console: &Console, body: &[u8]) -> Result<Source> {
    let wanted: wire::FromLeads = body::parse(body)?;
    let mut filter: LeadFilter = serde_json::from_value(Value::Object(wanted.from_leads.filter))
        .map_err(|error| Problem::field("from_leads.filter", error.to_string()))?;
    if let Some(only) = only_agent(console) {
        filter.agent_id = Some(only);
    }
    Ok(Source::Leads { filter: Box::new(filter) })
}

/// Keeps a list until it is read.
async fn file(app: &AppState, console: &Console, id: &str, body: &[u8], csv: bool) -> Result<Source> {
    if body.is_empty() {
        return Err(Problem::field("body", "the list is empty"));
    }
    let path = format!("{}/{}", import_folder(console.tenant().as_str(), id), fresh_id());
    let owner = EntityKey::new(console.tenant().as_str(), domain::KIND, id);
    app.actors.client.put_blob(&owner, &path, body).await?;
    Ok(Source::File { path, csv })
}

fn read(import: u32, result: &Imported) -> Result<wire::TargetsRead> {
    if let Some(why) = &result.failed {
        return Err(Problem::field("body", why.clone()));
    }
    Ok(wire::TargetsRead {
        import,
        status: "done".to_owned(),
        accepted: result.accepted,
        rejected: result
            .told
            .iter()
            .map(|told| wire::RefusedLine { line: told.line, reason: told.reason.clone() })
            .collect(),
        rejected_total: result.rejected,
        duplicates: result.duplicates,
    })
}

/// How far one person on the list is.
fn standing(target: &Target) -> Value {
    let (status, next_at, disposition) = match &target.standing {
        Standing::Waiting { at_ms, .. } => ("waiting", Some(rfc3339(*at_ms)), None),
        Standing::Trying(_) => ("calling", None, None),
        Standing::Done { disposition, .. } => ("done", None, serde_json::to_value(disposition).ok()),
    };
    json!({
        "status": status,
        "next_at": next_at,
        "outcome": disposition.as_ref().map(|of| of["outcome"].clone()),
        "reason": disposition.as_ref().map(|of| of["reason"].clone()),
        "attempts": target.past.iter().filter(|past| past.dialed_ms.is_some()).count(),
        "lead_id": target.who.lead_id,
        "contact_id": target.who.contact_id,
        "erased": target.erased,
    })
}
