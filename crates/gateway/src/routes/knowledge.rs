//! Sources, crawls, FAQs and search of an agent, the seeds' aliases, and the system-wide base.

use std::collections::BTreeMap;

use axum::extract::multipart::Multipart;
use axum::extract::{FromRequest as _, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use colloquy_actors::agent::AgentEntity;
use colloquy_actors::cluster::EntityKey;
use colloquy_actors::core::ask;
use colloquy_actors::domain::account;
use colloquy_actors::domain::agent;
use colloquy_actors::domain::ids::{AgentId, FaqId, SourceId};
use colloquy_actors::domain::knowledge::{Blob, Command, NewSource, Reply};
use colloquy_actors::domain::principal::{Actor, Principal, Role};
use colloquy_actors::domain::text::fill;
use colloquy_actors::domain::vocabulary::SourceType;
use colloquy_actors::knowledge::{Found, KnowledgeEntity, PLATFORM, unanswered as unanswered_questions};
use colloquy_wire::knowledge as wire;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accounts::fresh_id;
use crate::app::{App, AppState};
use crate::auth::{Console, PlatformAdmin};
use crate::body::{Json, OptionalJson, Query, parse};
use crate::problem::{Problem, Result};
use crate::{etag, listing};

/// Characters of a snippet in search results.
const SNIPPET: usize = 240;
/// Chunks a search gives unless the client says, and at most.
const SEARCH: usize = 5;
const SEARCH_MAX: usize = 50;
/// Characters of a query.
const QUERY_MAX: usize = 1000;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(scrape))
        .routes(routes!(scrape_status))
        .routes(routes!(sources, add_source))
        .routes(routes!(update_source, remove_source))
        .routes(routes!(pages))
        .routes(routes!(business))
        .routes(routes!(retrain))
        .routes(routes!(faqs, add_faq))
        .routes(routes!(update_faq, remove_faq))
        .routes(routes!(generate_faqs))
        .routes(routes!(search))
        .routes(routes!(unanswered))
        .routes(routes!(scrape_alias))
        .routes(routes!(status_alias))
        .routes(routes!(embed_alias))
        .routes(routes!(platform, add_platform))
}

#[derive(Debug, Deserialize)]
struct StatusQuery {
    source_id: Option<String>,
    agent_id: Option<String>,
}

/// Read a website into an agent's knowledge.
#[utoipa::path(post, path = "/api/agents/{id}/scrape", tag = "knowledge", params(("id" = String, Path)), request_body = wire::Scrape, responses((status = 202, body = Value)))]
async fn scrape(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    Json(body): Json<wire::Scrape>,
) -> Result<Response> {
    start_scrape(&app, &console, &id, body).await
}

/// How far reading is; `completed` only once the new index serves.
#[utoipa::path(get, path = "/api/agents/{id}/scrape/status", tag = "knowledge", params(("id" = String, Path), ("source_id" = Option<String>, Query)), responses((status = 200, body = Value)))]
async fn scrape_status(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    Query(query): Query<StatusQuery>,
) -> Result<Json<Value>> {
    status_of(&app, &console, &id, query.source_id).await
}

/// Sources of an agent.
#[utoipa::path(get, path = "/api/agents/{id}/sources", tag = "knowledge", params(("id" = String, Path)), responses((status = 200, body = Value)))]
async fn sources(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<Json<Value>> {
    match knows(&app, &console.by, &id, Command::Sources).await? {
        Reply::Sources { items } => Ok(listing::whole(items)),
        _ => Err(Problem::not_found("agent")),
    }
}

/// Add a source: JSON, or multipart with a `file` (PDF, DOCX, TXT, MD, HTML).
#[utoipa::path(post, path = "/api/agents/{id}/sources", tag = "knowledge", params(("id" = String, Path)), request_body = wire::NewSource, responses((status = 201, body = Value)))]
async fn add_source(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response> {
    console.need(Role::Manager, "add sources")?;
    need_agent(&app, &console, &id).await?;
    let new = new_source(&app, &console.by, &id, request).await?;
    source_added(&app, &console.by, &id, new).await
}

/// Change a source; `If-Match` with its `version` guards against overwriting.
#[utoipa::path(patch, path = "/api/agents/{id}/sources/{sid}", tag = "knowledge", params(("id" = String, Path), ("sid" = String, Path)), request_body = wire::SourcePatch, responses((status = 200, body = Value)))]
async fn update_source(
    State(app): State<App>,
    console: Console,
    Path((id, sid)): Path<(String, String)>,
    headers: HeaderMap,
    Json(mut body): Json<wire::SourcePatch>,
) -> Result<Response> {
    console.need(Role::Manager, "change sources")?;
    let if_version = etag::if_match(&headers)?;
    let content = match body.content.take() {
        None => None,
        Some(text) => {
            need_agent(&app, &console, &id).await?;
            Some(store(&app, &console.by, &id, Bytes::from(text), "text/markdown", "").await?)
        }
    };
    let command = Command::UpdateSource { source: SourceId(sid), patch: json!(body), content, if_version };
    match knows(&app, &console.by, &id, command).await? {
        Reply::Source { source } => Ok(etag::tagged(&source, source.version)),
        _ => Err(Problem::not_found("source")),
    }
}

/// Remove a source with its pages and chunks.
#[utoipa::path(delete, path = "/api/agents/{id}/sources/{sid}", tag = "knowledge", params(("id" = String, Path), ("sid" = String, Path)), responses((status = 204)))]
async fn remove_source(
    State(app): State<App>,
    console: Console,
    Path((id, sid)): Path<(String, String)>,
) -> Result<StatusCode> {
    console.need(Role::Manager, "remove sources")?;
    knows(&app, &console.by, &id, Command::RemoveSource { source: SourceId(sid) }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Pages of a source.
#[utoipa::path(get, path = "/api/agents/{id}/sources/{sid}/pages", tag = "knowledge", params(("id" = String, Path), ("sid" = String, Path)), responses((status = 200, body = Value)))]
async fn pages(
    State(app): State<App>,
    console: Console,
    Path((id, sid)): Path<(String, String)>,
) -> Result<Json<Value>> {
    match knows(&app, &console.by, &id, Command::Pages { source: SourceId(sid) }).await? {
        Reply::Pages { items } => Ok(listing::whole(items)),
        _ => Err(Problem::not_found("source")),
    }
}

/// What an agent's websites say about the business, for its owner to confirm: opening hours, address and telephone number, each with its page.
#[utoipa::path(get, path = "/api/agents/{id}/business", tag = "knowledge", params(("id" = String, Path)), responses((status = 200, body = wire::BusinessFacts)))]
async fn business(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
) -> Result<Json<wire::BusinessFacts>> {
    fn on<T>(found: Found<T>) -> (T, wire::FoundOn) {
        (found.is, wire::FoundOn { title: found.title, url: found.url })
    }
    let agent = need_agent(&app, &console, &id).await?;
    let found = colloquy_actors::knowledge::business(&app.actors.client, &console.by, &agent).await?;
    Ok(Json(wire::BusinessFacts {
        hours: found.hours.map(on).map(|((hours, breaks), found_on)| wire::FoundHours {
            business_hours: json!(hours),
            breaks,
            found_on,
        }),
        address: found
            .address
            .map(on)
            .map(|(address, found_on)| wire::FoundAddress { address: json!(address), found_on }),
        phone: found.phone.map(on).map(|(phone, found_on)| wire::FoundPhone { phone, found_on }),
    }))
}

/// Read and embed a source, or everything, again.
#[utoipa::path(post, path = "/api/agents/{id}/retrain", tag = "knowledge", params(("id" = String, Path)), request_body = wire::Retrain, responses((status = 202, body = Value)))]
async fn retrain(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    OptionalJson(body): OptionalJson<wire::Retrain>,
) -> Result<Response> {
    start_retrain(&app, &console, &id, body).await
}

/// Prepared questions and answers.
#[utoipa::path(get, path = "/api/agents/{id}/faqs", tag = "knowledge", params(("id" = String, Path)), responses((status = 200, body = Value)))]
async fn faqs(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<Json<Value>> {
    match knows(&app, &console.by, &id, Command::Faqs).await? {
        Reply::Faqs { items } => Ok(listing::whole(items)),
        _ => Err(Problem::not_found("agent")),
    }
}

/// Add a question with its answer.
#[utoipa::path(post, path = "/api/agents/{id}/faqs", tag = "knowledge", params(("id" = String, Path)), request_body = wire::FaqBody, responses((status = 201, body = Value)))]
async fn add_faq(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    Json(body): Json<wire::FaqBody>,
) -> Result<Response> {
    console.need(Role::Manager, "add questions")?;
    let command = Command::AddFaq {
        question: body.question.unwrap_or_default(),
        answer: body.answer.unwrap_or_default(),
        category: body.category.unwrap_or_default(),
        priority: body.priority.unwrap_or_default(),
    };
    match knows(&app, &console.by, &id, command).await? {
        Reply::Faq(faq) => Ok((StatusCode::CREATED, Json(faq)).into_response()),
        _ => Err(Problem::not_found("agent")),
    }
}

/// Change a question; `status: "accepted"` takes a generated one into service. `If-Match` with its `version` guards against overwriting.
#[utoipa::path(patch, path = "/api/agents/{id}/faqs/{fid}", tag = "knowledge", params(("id" = String, Path), ("fid" = String, Path)), request_body = wire::FaqBody, responses((status = 200, body = Value)))]
async fn update_faq(
    State(app): State<App>,
    console: Console,
    Path((id, fid)): Path<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<wire::FaqBody>,
) -> Result<Response> {
    console.need(Role::Manager, "change questions")?;
    let if_version = etag::if_match(&headers)?;
    let command = Command::UpdateFaq { faq: FaqId(fid), patch: json!(body), if_version };
    match knows(&app, &console.by, &id, command).await? {
        Reply::Faq(faq) => Ok(etag::tagged(&faq, faq.version)),
        _ => Err(Problem::not_found("question")),
    }
}

/// Remove a question.
#[utoipa::path(delete, path = "/api/agents/{id}/faqs/{fid}", tag = "knowledge", params(("id" = String, Path), ("fid" = String, Path)), responses((status = 204)))]
async fn remove_faq(
    State(app): State<App>,
    console: Console,
    Path((id, fid)): Path<(String, String)>,
) -> Result<StatusCode> {
    console.need(Role::Manager, "remove questions")?;
    knows(&app, &console.by, &id, Command::RemoveFaq { faq: FaqId(fid) }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Look for questions that the pages answer; they are pending until accepted.
#[utoipa::path(post, path = "/api/agents/{id}/faqs/generate", tag = "knowledge", params(("id" = String, Path)), responses((status = 202, body = Value)))]
async fn generate_faqs(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<Response> {
    console.need(Role::Manager, "generate questions")?;
    knows(&app, &console.by, &id, Command::GenerateFaqs).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "status": "pending" }))).into_response())
}

/// Search an agent's knowledge as its answers do.
#[utoipa::path(post, path = "/api/agents/{id}/search", tag = "knowledge", params(("id" = String, Path)), request_body = wire::SearchRequest, responses((status = 200, body = Value)))]
async fn search(
    State(app): State<App>,
    console: Console,
    Path(id): Path<String>,
    Json(body): Json<wire::SearchRequest>,
) -> Result<Json<Value>> {
    let agent = need_agent(&app, &console, &id).await?;
    if body.query.trim().is_empty() || body.query.chars().count() > QUERY_MAX {
        return Err(Problem::field("query", format!("must have 1 to {QUERY_MAX} characters")));
    }
    let limit = body.limit.unwrap_or(SEARCH);
    if !(1..=SEARCH_MAX).contains(&limit) {
        return Err(Problem::field("limit", format!("must be 1 to {SEARCH_MAX}")));
    }
    let library = &app.actors.tools.knowledge;
    let mut found = library.search(&app.actors.client, console.tenant(), &agent, false, &body.query, limit).await?;
    let variables = app.actors.tools.agent(&app.actors.client, console.tenant(), &agent).await?.variables;
    for passage in &mut found.passages {
        passage.text = fill(&passage.text, &variables);
        passage.title = fill(&passage.title, &variables);
    }
    for faq in &mut found.faqs {
        faq.question = fill(&faq.question, &variables);
        faq.answer = fill(&faq.answer, &variables);
    }
    let items: Vec<Value> = found
        .passages
        .iter()
        .map(|p| {
            json!({ "chunk_id": p.chunk_id, "text": p.text, "score": p.score, "section": p.section,
            "source": { "title": p.title, "url": p.url, "snippet": p.text.chars().take(SNIPPET).collect::<String>() } })
        })
        .collect();
    Ok(Json(json!({
        "items": items,
        "faqs": found.faqs,
        "confidence": found.confidence,
        "index_version": found.index_version,
        "took_us": found.took_us,
    })))
}

/// Questions that got the fallback message, the most frequent first.
#[utoipa::path(get, path = "/api/analytics/unanswered", tag = "analytics", params(("agent_id" = Option<String>, Query)), responses((status = 200, body = Value)))]
async fn unanswered(State(app): State<App>, console: Console, Query(query): Query<StatusQuery>) -> Result<Json<Value>> {
    let agents = match query.agent_id {
        Some(id) => vec![id],
        None => app.actors.agent_ids(console.tenant()).await?,
    };
    let only = super::agents::only_agent(&console);
    let mut all = Vec::new();
    for id in agents {
        if only.as_ref().is_some_and(|only| only.as_str() != id) {
            continue;
        }
        all.extend(unanswered_questions(&app.actors.client, &console.by, &AgentId(id)).await?);
    }
    all.sort_by_key(|item| std::cmp::Reverse(item.count));
    Ok(listing::whole(all))
}

/// The same as `POST /api/agents/{agent_id}/scrape`.
#[utoipa::path(post, path = "/api/scrape", tag = "knowledge", request_body = wire::Scrape, responses((status = 202, body = Value)))]
async fn scrape_alias(
    State(app): State<App>,
    console: Console,
    Json(mut body): Json<wire::Scrape>,
) -> Result<Response> {
    let id = body.agent_id.take().ok_or_else(|| Problem::field("agent_id", "must be given"))?;
    start_scrape(&app, &console, &id, body).await
}

/// The same as `GET /api/agents/{agent_id}/scrape/status`.
#[utoipa::path(get, path = "/api/scrape/status", tag = "knowledge", params(("agent_id" = String, Query), ("source_id" = Option<String>, Query)), responses((status = 200, body = Value)))]
async fn status_alias(
    State(app): State<App>,
    console: Console,
    Query(query): Query<StatusQuery>,
) -> Result<Json<Value>> {
    let id = query.agent_id.ok_or_else(|| Problem::field("agent_id", "must be given"))?;
    status_of(&app, &console, &id, query.source_id).await
}

/// The same as `POST /api/agents/{agent_id}/retrain`.
#[utoipa::path(post, path = "/api/embed", tag = "knowledge", request_body = wire::Retrain, responses((status = 202, body = Value)))]
async fn embed_alias(
    State(app): State<App>,
    console: Console,
    Json(mut body): Json<wire::Retrain>,
) -> Result<Response> {
    let id = body.agent_id.take().ok_or_else(|| Problem::field("agent_id", "must be given"))?;
    start_retrain(&app, &console, &id, body).await
}

/// Sources of the system-wide base.
#[utoipa::path(get, path = "/api/platform/knowledge", tag = "platform", responses((status = 200, body = Value)))]
async fn platform(State(app): State<App>, PlatformAdmin(admin): PlatformAdmin) -> Result<Json<Value>> {
    let by = platform_base(&app, admin).await?;
    match knows(&app, &by, PLATFORM, Command::Sources).await? {
        Reply::Sources { items } => Ok(listing::whole(items)),
        _ => Err(Problem::not_found("base")),
    }
}

/// Add a source to the system-wide base, which agents with `use_platform_knowledge` search too.
#[utoipa::path(post, path = "/api/platform/knowledge", tag = "platform", request_body = wire::NewSource, responses((status = 201, body = Value)))]
async fn add_platform(
    State(app): State<App>,
    PlatformAdmin(admin): PlatformAdmin,
    request: Request,
) -> Result<Response> {
    let by = platform_base(&app, admin).await?;
    let new = new_source(&app, &by, PLATFORM, request).await?;
    source_added(&app, &by, PLATFORM, new).await
}

/// The base exists from its first use.
async fn platform_base(app: &AppState, admin: colloquy_actors::domain::ids::UserId) -> Result<Principal> {
    let tenant = colloquy_actors::domain::ids::TenantId::from(account::TENANT);
    let setup = Command::Setup { agent: AgentId::from(PLATFORM), website_url: None, faqs: Vec::new(), max_pages: None };
    knows(app, &Principal::system(tenant.clone()), PLATFORM, setup).await?;
    Ok(Principal { tenant, actor: Actor::Platform { id: admin } })
}

async fn start_scrape(app: &AppState, console: &Console, id: &str, body: wire::Scrape) -> Result<Response> {
    console.need(Role::Manager, "read websites")?;
    match knows(app, &console.by, id, Command::Scrape { url: body.url, limit: body.limit }).await? {
        Reply::Source { source } => {
            Ok((StatusCode::ACCEPTED, Json(json!({ "source_id": source.id, "status": "pending" }))).into_response())
        }
        Reply::Queued { sources } => {
            Ok((StatusCode::ACCEPTED, Json(json!({ "source_id": sources.first(), "status": "pending" })))
                .into_response())
        }
        _ => Err(Problem::not_found("agent")),
    }
}

async fn status_of(app: &AppState, console: &Console, id: &str, source: Option<String>) -> Result<Json<Value>> {
    match knows(app, &console.by, id, Command::ScrapeStatus { source: source.map(SourceId) }).await? {
        Reply::Scrape(status) => Ok(Json(json!(status))),
        _ => Err(Problem::not_found("source")),
    }
}

async fn start_retrain(app: &AppState, console: &Console, id: &str, body: wire::Retrain) -> Result<Response> {
    console.need(Role::Manager, "retrain agents")?;
    match knows(app, &console.by, id, Command::Retrain { source: body.source_id.map(SourceId) }).await? {
        Reply::Queued { sources } => {
            Ok((StatusCode::ACCEPTED, Json(json!({ "source_ids": sources, "status": "pending" }))).into_response())
        }
        _ => Ok((StatusCode::ACCEPTED, Json(json!({ "status": "pending" }))).into_response()),
    }
}

async fn source_added(app: &AppState, by: &Principal, id: &str, new: NewSource) -> Result<Response> {
    match knows(app, by, id, Command::AddSource { new }).await? {
        Reply::Source { source } => Ok((StatusCode::CREATED, Json(source)).into_response()),
        _ => Err(Problem::not_found("agent")),
    }
}

/// Reads a new source from JSON or a form with a file.
async fn new_source(app: &AppState, by: &Principal, id: &str, request: Request) -> Result<NewSource> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    if kind.starts_with("multipart/form-data") {
        return uploaded(app, by, id, request).await;
    }
    let bytes = Bytes::from_request(request, &())
        .await
        .map_err(|_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The body is too large."))?;
    let body: wire::NewSource = parse(&bytes)?;
    let kind: SourceType = serde_json::from_value(json!(body.kind))
        .map_err(|_| Problem::field("type", "must be website_scrape, sitemap, manual_text, or a multipart upload"))?;
    let sync_frequency = match &body.sync_frequency {
        None => None,
        Some(text) => Some(
            serde_json::from_value(json!(text))
                .map_err(|_| Problem::field("sync_frequency", "must be daily, weekly or monthly"))?,
        ),
    };
    let content = match (kind, body.content) {
        (SourceType::ManualText, Some(text)) if !text.trim().is_empty() => {
            Some(store(app, by, id, Bytes::from(text), "text/markdown", "").await?)
        }
        (SourceType::ManualText, _) => return Err(Problem::field("content", "must not be empty")),
        (SourceType::WebsiteScrape | SourceType::Sitemap, _) => {
            if body.url.as_deref().unwrap_or_default().is_empty() {
                return Err(Problem::field("url", "must be given"));
            }
            None
        }
        (SourceType::FileUpload, _) => {
            return Err(Problem::field("type", "send files as multipart/form-data with a `file`"));
        }
        (SourceType::Faq | SourceType::Youtube, _) => {
            return Err(Problem::field("type", "must be website_scrape, sitemap, manual_text, or a multipart upload"));
        }
    };
    Ok(NewSource {
        kind,
        name: body.name.unwrap_or_default(),
        url: body.url,
        content,
        auto_sync: body.auto_sync.unwrap_or(false),
        sync_frequency,
        limit: body.limit,
        metadata: Default::default(),
    })
}

async fn uploaded(app: &AppState, by: &Principal, id: &str, request: Request) -> Result<NewSource> {
    let bad = |error: axum::extract::multipart::MultipartError| {
        if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                "The file is larger than `limits.upload_bytes_max` allows.",
            )
        } else {
            Problem::bad_request("bad_upload", error.body_text())
        }
    };
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|error| Problem::bad_request("bad_upload", error.body_text()))?;
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    let mut file: Option<(String, String, Bytes)> = None;
    while let Some(part) = form.next_field().await.map_err(bad)? {
        let name = part.name().unwrap_or_default().to_owned();
        if name == "file" {
            let file_name: String =
                part.file_name().unwrap_or("document").chars().filter(|c| !c.is_control()).take(200).collect();
            let media_type = part.content_type().unwrap_or_default().to_owned();
            file = Some((file_name, media_type, part.bytes().await.map_err(bad)?));
        } else if fields.len() < 20 {
            fields.insert(name, part.text().await.map_err(bad)?);
        }
    }
    let (file_name, media_type, bytes) = file.ok_or_else(|| Problem::field("file", "must be given"))?;
    if bytes.is_empty() {
        return Err(Problem::field("file", "is empty"));
    }
    if colloquy_actors::readable(&file_name, &bytes).is_none() {
        return Err(Problem::field("file", "must be a PDF, DOCX, HTML, Markdown or text document"));
    }
    let content = store(app, by, id, bytes, &media_type, &file_name).await?;
    Ok(NewSource {
        kind: SourceType::FileUpload,
        name: fields.remove("name").unwrap_or(file_name),
        url: None,
        content: Some(content),
        auto_sync: false,
        sync_frequency: None,
        limit: None,
        metadata: Default::default(),
    })
}

/// Stores a document or text before the source that names it.
async fn store(
    app: &AppState,
    by: &Principal,
    id: &str,
    bytes: Bytes,
    media_type: &str,
    file_name: &str,
) -> Result<Blob> {
    let path = format!("knowledge/{}/{id}/uploads/{}", by.tenant, fresh_id());
    let hash = colloquy_actors::digest(&bytes);
    let size = bytes.len() as u64;
    let owner = EntityKey::new(by.tenant.as_str(), colloquy_actors::domain::knowledge::KIND, id);
    app.actors.client.put_blob(&owner, &path, &bytes).await?;
    Ok(Blob { path, bytes: size, hash, media_type: media_type.to_owned(), file_name: file_name.to_owned() })
}

/// Asks an agent's knowledge. The principal is bound to its tenant, so another's agent is not found.
async fn knows(app: &AppState, by: &Principal, id: &str, command: Command) -> Result<Reply> {
    Ok(ask::<KnowledgeEntity>(&app.actors.client, by, id, command).await?)
}

/// Refuses agents that do not exist for this principal, before anything is stored for them.
async fn need_agent(app: &AppState, console: &Console, id: &str) -> Result<AgentId> {
    match ask::<AgentEntity>(&app.actors.client, &console.by, id, agent::Command::View).await? {
        agent::Reply::Agent(agent) => Ok(agent.id),
        _ => Err(Problem::not_found("agent")),
    }
}
