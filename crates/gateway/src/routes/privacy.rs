//! `/api/privacy/erasures`: erasing a person everywhere.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use colloquy_actors::domain::principal::Role;
use colloquy_actors::domain::tenant::{Command, ErasureWho, Reply};
use colloquy_wire::conversations as wire;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::accounts::fresh_id;
use crate::app::App;
use crate::auth::Console;
use crate::body::Json;
use crate::problem::{Problem, Result};

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(erase)).routes(routes!(show))
}

/// Erase a person: conversations and leads that name the address, number or visitor id. Counters stay.
#[utoipa::path(post, path = "/api/privacy/erasures", tag = "privacy", request_body = wire::ErasureRequest, responses((status = 202, body = Value)))]
async fn erase(State(app): State<App>, console: Console, Json(body): Json<wire::ErasureRequest>) -> Result<Response> {
    console.need(Role::Admin, "erase a person")?;
    let who = ErasureWho { email: body.email, phone: body.phone, visitor_id: body.visitor_id };
    let tools = &app.actors.tools;
    let (key, guard_key) = (tools.erasure_key, tools.contact_key);
    let command = Command::RequestErasure { id: fresh_id(), who, key, guard_key };
    match app.actors.tenant(&console.by, command).await? {
        Reply::Erasure(erasure) => Ok((StatusCode::ACCEPTED, Json(erasure)).into_response()),
        _ => Err(Problem::not_found("organization")),
    }
}

/// How far an erasure is.
#[utoipa::path(get, path = "/api/privacy/erasures/{id}", tag = "privacy", params(("id" = String, Path)), responses((status = 200, body = Value)))]
async fn show(State(app): State<App>, console: Console, Path(id): Path<String>) -> Result<Json<Value>> {
    console.need(Role::Admin, "see erasures")?;
    match app.actors.tenant(&console.by, Command::Erasures).await? {
        Reply::Erasures { items } => items
            .into_iter()
            .find(|erasure| erasure.id == id)
            .map(|erasure| Json(json!(erasure)))
            .ok_or_else(|| Problem::not_found("erasure")),
        _ => Err(Problem::not_found("erasure")),
    }
}
