//! `/widget/*` and `/demo/*`: the loader, the one-line form, the framed page, and a sample page that shows it.

use std::net::IpAddr;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use memory_serve::{CacheControl, load};
use serde_json::json;
use tower_http::compression::CompressionLayer;

use crate::app::App;
use crate::auth::Address;
use crate::chat::{self, Reached};
use crate::problem::{Problem, Result};

/// The page that is framed; `web/widget` builds it.
const FRAME: &str = include_str!("../../../../web/widget/dist/frame.html");
/// The one-line form.
const STUB: &str = include_str!("../../../../web/widget/dist/stub.js");

/// The routes of this file. They are pages and scripts, not calls: OpenAPI does not list them.
pub fn routes() -> Router<App> {
    let assets = load!("widget").index_file(None).cache_control(CacheControl::Long).into_router();
    Router::new()
        .route("/widget/loader.js", get(loader))
        .route("/widget/{agent}", get(by_agent))
        .route("/demo/{agent}", get(demo))
        .layer(CompressionLayer::new())
        .nest("/widget/assets", assets)
}

async fn loader() -> Response {
    const LOADER: &str = include_str!("../../../../web/widget/dist/loader.js");
    script(LOADER.to_owned())
}

/// `/widget/<id>` is the framed page, `/widget/<id>.js` the one-line form.
async fn by_agent(
    State(app): State<App>,
    Address(address): Address,
    method: Method,
    headers: HeaderMap,
    Path(agent): Path<String>,
) -> Result<Response> {
    match agent.strip_suffix(".js") {
        Some(id) => {
            let agent = chat::reach(&app, id).await?;
            if method == Method::GET && !is_ours(&app, &headers) {
                count_visit(&app, address, &agent);
            }
            stub(&app, &agent)
        }
        None => frame(&app, &agent).await,
    }
}

/// Whether a page of this server asks: its sample page, or the console. Who looks at those is no visitor.
fn is_ours(app: &App, headers: &HeaderMap) -> bool {
    let from = headers.get(header::REFERER).and_then(|from| from.to_str().ok()).unwrap_or_default();
    [&app.settings.public_url, &app.settings.widget_url]
        .iter()
        .any(|own| from.strip_prefix(own.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// A page with the widget on it was seen. Browsers keep the script for some minutes, so this counts a visit, not each page of it; the widget itself
/// has no byte to spare for telling. Nobody waits for it, and whoever asks too often is not counted.
fn count_visit(app: &App, address: IpAddr, agent: &Reached) {
    if !agent.now.live() || app.limits.chat_address.take(address, app.now_ms()).is_err() {
        return;
    }
    let (app, tenant, id) = (App::clone(app), agent.tenant.clone(), agent.id.clone());
    tokio::spawn(async move {
        if let Err(error) = app.actors.visited(&tenant, &id).await {
            tracing::debug!(agent = %id, %error, "a visit was not counted");
        }
    });
}

fn stub(app: &App, agent: &Reached) -> Result<Response> {
    let config = &agent.now.config;
    let colour = config.chat_theme.primary_color.clone().unwrap_or_default();
    let text = STUB
        .replace("__AGENT_ID__", agent.id.as_str())
        .replace("__BASE__", &app.settings.widget_url)
        .replace("__POSITION__", &config.chat_position)
        .replace("__PRIMARY_COLOR__", &colour);
    Ok(script(text))
}

async fn frame(app: &App, id: &str) -> Result<Response> {
    let agent = chat::reach(app, id).await?;
    let text = FRAME.replace("__AGENT_ID__", agent.id.as_str()).replace("__CONFIG_JSON__", &config_json(app, &agent));
    let mut response = Html(text).into_response();
    let headers = response.headers_mut();
    set(headers, header::CACHE_CONTROL, "no-store");
    set(headers, HeaderName::from_static("x-robots-tag"), "noindex");
    set(headers, header::CONTENT_SECURITY_POLICY, &policy(app, &agent.now.config.allowed_origins));
    Ok(response)
}

/// What the page needs to know, safe inside a script element.
fn config_json(app: &App, agent: &Reached) -> String {
    let config = &agent.now.config;
    let value = json!({
        "agent": {
            "name": config.name,
            "avatar_url": config.chat_avatar_url,
            "welcome_message": config.welcome_message,
            "quick_prompts": config.quick_prompts,
            "chat_theme": config.chat_theme,
            "position": config.chat_position,
            "show_branding": config.show_branding,
            "cookie_consent": config.cookie_consent,
            "locale": config.voice_language,
            "live": agent.now.live(),
        },
        "api_url": app.settings.api_url,
        "message_chars_max": app.settings.message_chars_max,
    });
    value.to_string().replace('<', "\\u003c")
}

/// The widget's own policy; who may frame it is the owner's list.
fn policy(app: &App, allowed: &[String]) -> String {
    let ancestors = if allowed.is_empty() { "*".to_owned() } else { format!("'self' {}", allowed.join(" ")) };
    let api = &app.settings.api_url;
    let socket = api.replacen("http", "ws", 1);
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: data:; connect-src 'self' {api} {socket}; base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
    )
}

#[derive(Template)]
#[template(path = "demo.html")]
struct Demo<'a> {
    business: &'a str,
    agent: &'a str,
    widget: String,
}

/// A sample page of a business with its widget on it.
async fn demo(State(app): State<App>, Path(id): Path<String>) -> Result<Response> {
    let agent = chat::reach(&app, &id).await?;
    let config = &agent.now.config;
    let business = agent.now.variables.get("business_name").map_or(config.name.as_str(), String::as_str);
    let page =
        Demo { business, agent: &config.name, widget: format!("{}/widget/{}.js", app.settings.widget_url, agent.id) };
    let text = page
        .render()
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string()))?;
    let mut response = Html(text).into_response();
    let headers = response.headers_mut();
    set(headers, header::CACHE_CONTROL, "no-store");
    let widget = &app.settings.widget_url;
    set(
        headers,
        header::CONTENT_SECURITY_POLICY,
        &format!(
            "default-src 'none'; script-src 'self' {widget}; frame-src 'self' {widget}; style-src 'self' 'unsafe-inline'; img-src 'self' https: data:; connect-src 'self' {widget}; base-uri 'none'; form-action 'none'"
        ),
    );
    Ok(response)
}

fn script(text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=300"),
        // Host pages load it from anywhere.
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ];
    (headers, text).into_response()
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
