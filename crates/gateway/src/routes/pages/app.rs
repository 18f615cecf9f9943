//! `/app`: the console's shell and its files. What a page shows comes from the API; the shell is the same for everybody.

use axum::Router;
use axum::extract::{FromRequestParts, OriginalUri, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use memory_serve::{CacheControl, load};
use serde::Serialize;
use serde_json::json;
use tower_http::compression::CompressionLayer;

use super::account::{Page, renew, trouble};
use super::forms::{Browser, Form, Sent, next};
use super::{onward, status_of};
use crate::accounts::{self, account_of};
use crate::app::{App, AppState};
use crate::auth::{SESSION_COOKIE, access_of_cookie, cookie, of_access};
use crate::problem::Problem;
use crate::tokens::Access;

/// The page that loads the console; `web/console` builds it.
const SHELL: &str = include_str!("../../../../../web/console/dist/index.html");

/// The routes of this file.
pub(super) fn routes() -> Router<App> {
    let assets = load!("console").index_file(None).cache_control(CacheControl::Long).into_router();
    Router::new()
        .route("/app", get(shell))
        .route("/app/", get(shell))
        .route("/app/{*rest}", get(shell))
        .layer(CompressionLayer::new())
        .route("/app/switch", post(switch))
        // Their names have a hash of their content in them; what is not there is 404, never the shell.
        .route("/app/assets/{*gone}", get(async || Problem::not_found("file")))
        .nest("/app/assets", assets)
}

/// Who looks at a page, by the access token of the cookie. One that has ended while the session goes on is renewed first.
pub(super) struct Seen(pub(super) Option<Access>);

impl FromRequestParts<App> for Seen {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> std::result::Result<Self, Response> {
        let access = access_of_cookie(app, &parts.headers);
        if access.is_none() && cookie(&parts.headers, SESSION_COOKIE).is_some() {
            return Err(renew(&parts.method, &asked_for(parts)));
        }
        Ok(Self(access))
    }
}

/// The console's shell. Its session is renewed on the way; who belongs to no organization any more is told so here.
async fn shell(State(app): State<App>, Seen(access): Seen, headers: HeaderMap) -> Response {
    if let Some(access) = access {
        let user = access.sub.clone();
        match of_access(&app, access).await {
            Ok(_) => {}
            Err(problem) if status_of(&problem) == StatusCode::UNAUTHORIZED => {
                return belongs_nowhere(&app, &Browser::of(&headers), &user).await;
            }
            // The console itself says that the server cannot answer just now, and tries again.
            Err(_) => {}
        }
    }
    let widget = app.settings.widget_url.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let mut response = Html(SHELL.replace("__WIDGET_URL__", &widget)).into_response();
    let headers = response.headers_mut();
    let policy = policy(&app);
    let fields = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, policy.as_str()),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ];
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    response
}

/// Scripts and styles are our own files; what else the console shows are pictures of others and the widget in a frame. Where test calls may go through OpenAI the
/// page asks it, and nobody else.
fn policy(app: &AppState) -> String {
    let widget = &app.settings.widget_url;
    let socket = app.settings.public_url.replacen("http", "ws", 1);
    let openai = app.actors.tools.voices.openai().map(|openai| format!(" {}", openai.origin())).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: data:; media-src 'self'; connect-src 'self' {socket}{openai}; frame-src 'self' {widget}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
}

async fn switch(State(app): State<App>, Seen(access): Seen, headers: HeaderMap, sent: Sent) -> Response {
    let browser = Browser::of(&headers);
    let Some(access) = access else { return onward("/app") };
    let outcome = async {
        browser.check(&app, &headers, &sent)?;
        accounts::switch(&app, &access.sub, access.sid, sent.text("organization_id").into()).await
    };
    match outcome.await {
        Ok(session) => {
            let mut response = onward(next(sent.text("next")));
            accounts::set_access(&app, response.headers_mut(), &session);
            response
        }
        Err(problem) => trouble(&app, &browser, &problem),
    }
}

/// Said to a signed-in person who is no member of the organization the session is for.
async fn belongs_nowhere(app: &AppState, browser: &Browser, user: &colloquy_actors::domain::ids::UserId) -> Response {
    let account = match account_of(app, user).await {
        Ok(account) => account,
        Err(problem) => return trouble(app, browser, &problem),
    };
    let token = browser.token(app);
    let page = Page::new("No organization").words(format!(
        "You are logged in as {}, but do not belong to this organization any more. To join one, open the link of an invitation.",
        account.user.email
    ));
    account
        .organizations
        .into_iter()
        .fold(page, |page, other| {
            let form = Form::new("/app/switch", "Go to it", &token).hidden("organization_id", other.id).minor();
            page.words(format!("You belong to {}.", other.name)).form(form)
        })
        .form(Form::new("/logout", "Log out", &token).minor())
        .to(app, browser)
}

/// The path and query of a request.
fn asked_for(parts: &Parts) -> String {
    let uri: &Uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
    uri.path_and_query().map_or("/app", |path| path.as_str()).to_owned()
}

/// The word of an enumeration as JSON has it.
pub(super) fn word<T: Serialize>(value: &T) -> String {
    json!(value).as_str().unwrap_or_default().to_owned()
}
