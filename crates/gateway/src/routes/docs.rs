//! `/openapi.json`, `/schemas/sockets.json` and `/docs`: every call and every frame, for people and programs.

use std::sync::{Arc, OnceLock};

use askama::Template;
use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use colloquy_wire::live::{LiveClient, LiveServer};
use colloquy_wire::sockets::{ChatClient, ChatServer};
use colloquy_wire::voice::{VoiceClient, VoiceServer};
use serde_json::Value;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Description;

use super::pages;
use crate::app::App;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Colloquy",
        description = "The public contract over HTTP. Times are RFC 3339 in UTC, errors are problem+json (RFC 9457), lists are `{items,next_cursor}`."
    ),
    components(schemas(
        colloquy_wire::common::Problem,
        colloquy_wire::common::FieldError,
        colloquy_wire::common::Retry
    ))
)]
struct Contract;

#[derive(OpenApi)]
#[openapi(
    info(title = "Colloquy sockets"),
    components(schemas(ChatClient, ChatServer, LiveClient, LiveServer, VoiceClient, VoiceServer))
)]
struct Sockets;

/// The description that calls are collected into.
pub fn contract() -> Description {
    Contract::openapi()
}

/// The routes of this file, for a finished description.
pub fn routes(description: &Description) -> Router<App> {
    let calls: Arc<Value> = Arc::new(serde_json::to_value(description).unwrap_or_default());
    let served = calls.clone();
    let page = Arc::new(OnceLock::<String>::new());
    Router::new()
        .route("/openapi.json", get(move || async move { json(&served) }))
        .route("/schemas/sockets.json", get(|| async { json(&sockets()) }))
        .route("/docs", get(move || async move { rendered(&calls, &page) }))
}

struct Call {
    method: String,
    path: String,
    summary: String,
}

struct Group {
    name: String,
    calls: Vec<Call>,
}

struct FrameDoc {
    socket: &'static str,
    sender: &'static str,
    schema: String,
}

#[derive(Template)]
#[template(path = "docs.html")]
struct Docs {
    groups: Vec<Group>,
    frames: Vec<FrameDoc>,
}

fn sockets() -> Value {
    let description = serde_json::to_value(Sockets::openapi()).unwrap_or_default();
    description["components"]["schemas"].clone()
}

fn rendered(calls: &Value, page: &OnceLock<String>) -> Response {
    let text = page.get_or_init(|| {
        let mut groups: Vec<Group> = Vec::new();
        for (path, methods) in calls["paths"].as_object().into_iter().flatten() {
            for (method, call) in methods.as_object().into_iter().flatten() {
                let name = call["tags"][0].as_str().unwrap_or("other").to_owned();
                let call = Call {
                    method: method.to_uppercase(),
                    path: path.clone(),
                    summary: call["summary"].as_str().unwrap_or_default().to_owned(),
                };
                match groups.iter_mut().find(|group| group.name == name) {
                    Some(group) => group.calls.push(call),
                    None => groups.push(Group { name, calls: vec![call] }),
                }
            }
        }
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        let schemas = sockets();
        let frames = [
            ("chat", "client", "ChatClient"),
            ("chat", "server", "ChatServer"),
            ("live", "client", "LiveClient"),
            ("live", "server", "LiveServer"),
            ("voice", "client", "VoiceClient"),
            ("voice", "server", "VoiceServer"),
        ]
        .into_iter()
        .map(|(socket, sender, name)| FrameDoc {
            socket,
            sender,
            schema: serde_json::to_string_pretty(&schemas[name]).unwrap_or_default(),
        })
        .collect();
        Docs { groups, frames }.render().unwrap_or_default()
    });
    pages::served(text.clone())
}

fn json(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
