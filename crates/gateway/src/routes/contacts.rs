//! `/api/dnc` and `/api/consents`: who must not be contacted, and who agreed to what. Addresses are shown as masks; whoever knows one finds it.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use colloquy_actors::core::ask_after_rows;
use colloquy_actors::domain::contact_guard::{
    Address, Command, ConsentKind, NewConsent, NewEntry, Reach, Reply, Source,
};
use colloquy_actors::domain::principal::Role;
use colloquy_actors::guard::{self, ContactGuardEntity, read_entry_id};
use colloquy_wire::common::ListQuery;
use colloquy_wire::messages as wire;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::conversations::word;
use crate::app::{App, AppState};
use crate::auth::Console;
use crate::body::{Json, Query};
use crate::problem::{Problem, Result};
use crate::{listing, times};

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(lift)).routes(routes!(consents, record))
}

#[derive(Debug, Deserialize)]
struct Filter {
    address: Option<String>,
    channel: Option<String>,
    kind: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// The do-not-contact list, newest first; with `address` what stands there for one number or e-mail address.
#[utoipa::path(get, path = "/api/dnc", tag = "contacts", params(("address" = Option<String>, Query), ("channel" = Option<String>, Query), ("limit" = Option<usize>, Query), ("cursor" = Option<String>, Query)), responses((status = 200, body = Value)))]
async fn list(State(app): State<App>, console: Console, Query(filter): Query<Filter>) -> Result<Json<Value>> {
    console.need(Role::Rep, "see the do-not-contact list")?;
    console.unbound("see the do-not-contact list")?;
    let channel: Option<Reach> = word("channel", filter.channel.clone())?;
    let channel = channel.map(Reach::word);
    page(&app, &console, guard::LIST, filter, |row| channel.is_none_or(|channel| row["channel"] == channel)).await
}

/// Write somebody down who must not be contacted. It holds from the moment this is answered.
#[utoipa::path(post, path = "/api/dnc", tag = "contacts", request_body = wire::NewDoNotContact, responses((status = 201, body = Value)))]
async fn add(State(app): State<App>, console: Console, Json(body): Json<wire::NewDoNotContact>) -> Result<Response> {
    console.need(Role::Rep, "write somebody down who must not be contacted")?;
    let reach: Reach = word("channel", Some(body.channel))?.unwrap_or(Reach::Phone);
    let address = address(reach == Reach::Email, &body.address)?;
    let source: Source = word("source", body.source)?.unwrap_or(Source::Staff);
    let entry = NewEntry {
        masked: address.masked(),
        reach,
        source,
        reason: body.reason.trim().to_owned(),
        expires_ms: times::parse("expires_at", body.expires_at.as_deref())?,
    };
    let id = address.id(&app.actors.tools.contact_key);
    let command = Command::AddEntry(Box::new(entry));
    ask_after_rows::<ContactGuardEntity>(&app.actors.client, &console.by, &id, command).await?;
    let id = format!("{id}.{}.{}", reach.word(), source.word());
    let row = app.actors.client.get::<Value>(console.tenant().as_str(), guard::LIST, &id).await?;
    Ok((StatusCode::CREATED, Json(row.map_or_else(|| json!({ "id": id }), |row| row.body))).into_response())
}

/// Take an entry off. What a person put there by STOP only their START takes off.
#[utoipa::path(delete, path = "/api/dnc/{id}", tag = "contacts", params(("id" = String, Path)), responses((status = 204)))]
async fn lift(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<StatusCode> {
    console.need(Role::Manager, "take somebody off the do-not-contact list")?;
    console.unbound("take somebody off the do-not-contact list")?;
    let (guard, reach, source) = read_entry_id(&id).ok_or_else(|| Problem::not_found("entry"))?;
    let command = Command::Lift { reach, source };
    ask_after_rows::<ContactGuardEntity>(&app.actors.client, &console.by, guard, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The consent ledger, newest first.
#[utoipa::path(get, path = "/api/consents", tag = "contacts", params(("address" = Option<String>, Query), ("kind" = Option<String>, Query), ("limit" = Option<usize>, Query), ("cursor" = Option<String>, Query)), responses((status = 200, body = Value)))]
async fn consents(State(app): State<App>, console: Console, Query(filter): Query<Filter>) -> Result<Json<Value>> {
    console.need(Role::Rep, "see consents")?;
    console.unbound("see consents")?;
    let kind: Option<ConsentKind> = word("kind", filter.kind.clone())?;
    let kind = kind.map(|kind| json!(kind));
    page(&app, &console, guard::CONSENTS, filter, |row| kind.as_ref().is_none_or(|kind| row["kind"] == *kind)).await
}

/// Record that somebody agreed, or took it back. Records are never changed: the newest of a kind counts.
#[utoipa::path(post, path = "/api/consents", tag = "contacts", request_body = wire::NewConsent, responses((status = 201, body = Value)))]
async fn record(State(app): State<App>, console: Console, Json(body): Json<wire::NewConsent>) -> Result<Response> {
    console.need(Role::Rep, "record a consent")?;
    let kind: ConsentKind =
        word("kind", Some(body.kind))?.ok_or_else(|| Problem::field("kind", "must say what was agreed to"))?;
    let address = address(kind == ConsentKind::Email, &body.address)?;
    let consent = NewConsent {
        masked: address.masked(),
        kind,
        granted: body.granted.unwrap_or(true),
        text: body.text.unwrap_or_default().trim().to_owned(),
        source: body.source.trim().to_owned(),
        at_ms: times::parse("captured_at", body.captured_at.as_deref())?,
    };
    let id = address.id(&app.actors.tools.contact_key);
    let command = Command::RecordConsent(Box::new(consent));
    match ask_after_rows::<ContactGuardEntity>(&app.actors.client, &console.by, &id, command).await? {
        Reply::Consent { n } => {
            let id = format!("{id}.{n}");
            let row = app.actors.client.get::<Value>(console.tenant().as_str(), guard::CONSENTS, &id).await?;
            Ok((StatusCode::CREATED, Json(row.map_or_else(|| json!({ "id": id }), |row| row.body))).into_response())
        }
        Reply::Verdict { .. } | Reply::Done | Reply::State(_) => Err(Problem::not_found("consent")),
    }
}

async fn page(
    app: &AppState,
    console: &Console,
    list: &str,
    filter: Filter,
    keep: impl Fn(&Value) -> bool,
) -> Result<Json<Value>> {
    let guard = match filter.address.as_deref() {
        Some(text) => Some(format!("{}.", address(text.contains('@'), text)?.id(&app.actors.tools.contact_key))),
        None => None,
    };
    let of =
        |row: &Value| guard.as_deref().is_none_or(|guard| row["id"].as_str().is_some_and(|id| id.starts_with(guard)));
    let query = ListQuery { limit: filter.limit, cursor: filter.cursor };
    listing::list(app, console.tenant().as_str(), list, &query, None, None, |row| keep(row) && of(row)).await
}

fn address(email: bool, text: &str) -> Result<Address> {
    // A plus in a query is a space to whoever decodes it.
    let text = text.trim();
    Ok(if email { Address::email(text)? } else { Address::phone(text)? })
}
