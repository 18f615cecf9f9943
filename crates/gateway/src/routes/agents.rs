//! `/api/templates` and `/api/agents`: receptionists, their configuration and its versions.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use colloquy_actors::agent::{self as actor, AgentEntity};
use colloquy_actors::core::{ask, ask_after_rows};
use colloquy_actors::domain::agent::{Command, Reply, make, view::AgentView};
use colloquy_actors::domain::catalog::template::{SampleFaq, Template};
use colloquy_actors::domain::ids::AgentId;
use colloquy_actors::domain::principal::Role;
use colloquy_actors::domain::vocabulary::Vertical;
use colloquy_actors::{feed, retell};
use colloquy_wire::agents as wire;
use colloquy_wire::common::ListQuery;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accounts::fresh_id;
use crate::app::{App, AppState};
use crate::auth::{Console, PUBLISHABLE_KEY_PREFIX};
use crate::body::{Json, Query};
use crate::problem::{Problem, Result};
use crate::tokens::fresh_secret;
use crate::{etag, listing};

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(templates))
        .routes(routes!(template))
        .routes(routes!(list, create))
        .routes(routes!(show, update, delete))
        .routes(routes!(duplicate))
        .routes(routes!(versions))
        .routes(routes!(restore))
}

/// Templates to make agents from.
#[utoipa::path(get, path = "/api/templates", tag = "agents", responses((status = 200, body = Value)))]
async fn templates(State(app): State<App>, _console: Console) -> Json<Value> {
    let all = &app.actors.tools.catalog.templates;
    listing::whole(all.values().filter(|template| template.is_active).map(shown).collect())
}

/// One template.
#[utoipa::path(get, path = "/api/templates/{id}", tag = "agents", params(("id" = String, Path)), responses((status = 200, body = Value)))]
async fn template(State(app): State<App>, _console: Console, Path(id): Path<String>) -> Result<Json<Value>> {
    let template = app.actors.tools.catalog.templates.get(&id).ok_or_else(|| Problem::not_found("template"))?;
    Ok(Json(shown(template)))
}

/// A template with the names of the contract.
fn shown(template: &Template) -> Value {
    let mut value = json!(template);
    value["quick_prompts"] = json!(template.agent.quick_prompts);
    value
}

/// The organization's agents.
#[utoipa::path(get, path = "/api/agents", tag = "agents", responses((status = 200, body = Value)))]
async fn list(State(app): State<App>, console: Console, Query(query): Query<ListQuery>) -> Result<Json<Value>> {
    let only = only_agent(&console);
    let mut page = listing::page(&app, console.tenant().as_str(), actor::LIST, &query, None, None, |row| {
        only.as_ref().is_none_or(|id| row["id"] == id.as_str())
    })
    .await?;
    let totals = feed::totals(&app.actors.client, console.tenant()).await.map_err(unavailable)?;
    for row in &mut page.items {
        let counted = row["id"].as_str().and_then(|id| totals.get(id)).copied().unwrap_or_default();
        row["total_conversations"] = json!(counted.conversations);
        row["total_messages"] = json!(counted.messages);
        row["total_calls"] = json!(counted.calls);
        row["avg_satisfaction"] = json!(counted.satisfaction);
    }
    Ok(page.body())
}

/// Make an agent from a template or trade.
#[utoipa::path(post, path = "/api/agents", tag = "agents", request_body = wire::NewAgent, responses((status = 201, body = Value)))]
async fn create(State(app): State<App>, console: Console, Json(body): Json<wire::NewAgent>) -> Result<Response> {
    let agent = make(&app, &console, body).await?;
    Ok((StatusCode::CREATED, tagged(&agent)).into_response())
}

/// Makes an agent from a template or trade.
pub(crate) async fn make(app: &AppState, console: &Console, body: wire::NewAgent) -> Result<AgentView> {
    console.need(Role::Manager, "make agents")?;
    let template = wanted_template(app, &body)?;
    let mut overrides = Value::Object(body.fields);
    let map = overrides.as_object_mut().ok_or_else(|| Problem::bad_request("not_an_object", "Send a JSON object."))?;
    let limit = match map.remove("crawl_limit") {
        None => None,
        Some(limit) => Some(
            limit
                .as_u64()
                .and_then(|n| u32::try_from(n).ok())
                .filter(|n| *n > 0)
                .ok_or_else(|| Problem::field("crawl_limit", "must be a number above 0"))?,
        ),
    };
    if let Some(url) = body.website_url {
        map.insert("website_url".into(), json!(url));
    }
    if let Some(variables) = body.variables {
        map.insert("variables".into(), json!(variables));
    }
    let draft = match body.status.as_deref() {
        None | Some("active" | "training") => false,
        Some("draft") => true,
        Some(other) => return Err(Problem::field("status", format!("must be draft or left out, not `{other}`"))),
    };
    let organization = app.actors.organization(console.tenant()).await?;
    if overrides.get("name").is_none_or(Value::is_null) {
        overrides["name"] = json!(make::usual_name(&organization.facts.name, &overrides));
    }
    let config = make::from_template(template, &overrides)?;
    let enabled = &organization.facts.enabled_verticals;
    if !enabled.is_empty() && !enabled.contains(&config.vertical) {
        return Err(Problem::field("vertical", "is not enabled for your organization"));
    }
    make_agent(app, console, config, template.faqs.clone(), draft, limit).await
}

/// One agent.
#[utoipa::path(get, path = "/api/agents/{id}", tag = "agents", params(("id" = String, Path)), responses((status = 200, body = Value)))]
async fn show(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<Response> {
    let mut agent = view(ask::<AgentEntity>(&app.actors.client, &console.by, &id, Command::View).await?)?;
    let totals = feed::totals(&app.actors.client, console.tenant()).await.map_err(unavailable)?;
    let counted = totals.get(agent.id.as_str()).copied().unwrap_or_default();
    agent.total_conversations = counted.conversations;
    agent.total_messages = counted.messages;
    agent.total_calls = counted.calls;
    agent.avg_satisfaction = counted.satisfaction;
    let mut shown = json!(agent);
    if console.by.at_least(Role::Manager) {
        // Whoever knows it can answer calls in the agent's name: it is for those who set the telephone up.
        let key = colloquy_actors::calls::socket_key(&app.actors.tools, &agent.id);
        let address = app.settings.api_url.replacen("http", "ws", 1);
        shown["vapi_url"] = json!(format!("{}/api/voice/vapi/{key}", app.settings.api_url));
        shown["voice_socket_url"] = json!(format!("{address}/api/voice/retell/llm/{key}"));
    }
    Ok(etag::tagged(&shown, u64::from(agent.config_version)))
}

/// Change an agent by a JSON merge patch; `If-Match` guards against overwriting.
#[utoipa::path(patch, path = "/api/agents/{id}", tag = "agents", params(("id" = String, Path)), request_body = Value, responses((status = 200, body = Value)))]
async fn update(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(patch): Json<Value>,
) -> Result<Response> {
    let if_version = etag::if_match(&headers)?.map(|version| u32::try_from(version).unwrap_or(u32::MAX));
    // A voice that is not there is refused by name: nothing pretends to speak.
    let voices = &app.actors.tools.voices;
    if let Some(lacking) = patch["voice_provider"].as_str().and_then(|provider| voices.lacking(provider)) {
        return Err(Problem::field("voice_provider", lacking));
    }
    let command = Command::Update { patch, if_version };
    changed(&app, &console, &id, command).await
}

/// Delete an agent with its knowledge. Conversations and leads stay.
#[utoipa::path(delete, path = "/api/agents/{id}", tag = "agents", params(("id" = String, Path)), responses((status = 204)))]
async fn delete(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<StatusCode> {
    ask_after_rows::<AgentEntity>(&app.actors.client, &console.by, &id, Command::Delete).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Make a second agent with the same configuration.
#[utoipa::path(post, path = "/api/agents/{id}/duplicate", tag = "agents", params(("id" = String, Path)), responses((status = 201, body = Value)))]
async fn duplicate(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<Response> {
    console.need(Role::Manager, "duplicate agents")?;
    let Reply::Config { config, .. } =
        ask::<AgentEntity>(&app.actors.client, &console.by, &id, Command::Export).await?
    else {
        return Err(Problem::not_found("agent"));
    };
    let agent = make_agent(&app, &console, *config, Vec::new(), false, None).await?;
    Ok((StatusCode::CREATED, tagged(&agent)).into_response())
}

/// Every saved configuration, the newest first.
#[utoipa::path(get, path = "/api/agents/{id}/versions", tag = "agents", params(("id" = String, Path)), responses((status = 200, body = Value)))]
async fn versions(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<Json<Value>> {
    match ask::<AgentEntity>(&app.actors.client, &console.by, &id, Command::Versions).await? {
        Reply::Versions { items } => Ok(listing::whole(items)),
        _ => Err(Problem::not_found("agent")),
    }
}

/// Make an older configuration the newest.
#[utoipa::path(post, path = "/api/agents/{id}/versions/{n}/restore", tag = "agents", params(("id" = String, Path), ("n" = u32, Path)), responses((status = 200, body = Value)))]
async fn restore(State(app): State<App>, console: Console, Path((id, n)): Path<(String, u32)>) -> Result<Response> {
    changed(&app, &console, &id, Command::Restore { version: n }).await
}

/// Changes an agent's configuration. Whoever speaks for it at Retell hears of it without anybody waiting.
async fn changed(app: &App, console: &Console, id: &str, command: Command) -> Result<Response> {
    let agent = view(ask_after_rows::<AgentEntity>(&app.actors.client, &console.by, id, command).await?)?;
    let (app, tenant, id) = (app.clone(), console.tenant().clone(), agent.id.clone());
    tokio::spawn(async move { retell::setup::changed(&app.actors.client, &app.actors.tools, &tenant, &id).await });
    Ok(tagged(&agent))
}

/// The agent an API key is bound to, if any.
pub(crate) fn only_agent(console: &Console) -> Option<AgentId> {
    match &console.by.actor {
        colloquy_actors::domain::Actor::ApiKey { agent, .. } => agent.clone(),
        _ => None,
    }
}

async fn make_agent(
    app: &AppState,
    console: &Console,
    config: colloquy_actors::domain::agent::config::AgentConfig,
    faqs: Vec<SampleFaq>,
    draft: bool,
    crawl_limit: Option<u32>,
) -> Result<AgentView> {
    let organization = app.actors.organization(console.tenant()).await?;
    let plan_pages = organization.facts.limits.max_pages;
    let max_pages = match (plan_pages, crawl_limit) {
        (Some(plan), Some(wanted)) => Some(plan.min(wanted)),
        (plan, wanted) => plan.or(wanted),
    };
    let id = AgentId(fresh_id());
    let publishable_key = format!("{PUBLISHABLE_KEY_PREFIX}{}", fresh_secret());
    let command =
        Command::Create { agent: id.clone(), config: Box::new(config), faqs, draft, publishable_key, max_pages };
    Ok(actor::create(&app.actors.client, &console.by, &id, command).await?)
}

fn wanted_template<'a>(app: &'a AppState, body: &wire::NewAgent) -> Result<&'a Template> {
    let catalog = &app.actors.tools.catalog;
    match (&body.template_id, &body.vertical) {
        (Some(id), _) => catalog
            .templates
            .get(id)
            .filter(|t| t.is_active)
            .ok_or_else(|| Problem::field("template_id", format!("there is no template `{id}`"))),
        (None, Some(vertical)) => {
            let parsed: Vertical = serde_json::from_value(json!(vertical))
                .map_err(|_| Problem::field("vertical", format!("there is no trade `{vertical}`")))?;
            catalog
                .receptionist(parsed)
                .ok_or_else(|| Problem::field("vertical", format!("the trade `{vertical}` has no template")))
        }
        (None, None) => Err(Problem::field("template_id", "say template_id or vertical")),
    }
}

fn view(reply: Reply) -> Result<AgentView> {
    match reply {
        Reply::Agent(agent) => Ok(*agent),
        Reply::Created { agent, .. } => Ok(*agent),
        Reply::Done | Reply::Public(_) | Reply::Config { .. } | Reply::Versions { .. } => {
            Err(Problem::not_found("agent"))
        }
    }
}

fn tagged(agent: &AgentView) -> Response {
    etag::tagged(agent, u64::from(agent.config_version))
}

fn unavailable(error: String) -> Problem {
    colloquy_actors::ActorError::Unavailable(error).into()
}
