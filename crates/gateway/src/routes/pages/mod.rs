//! Server-rendered pages: home, accounts and what is said about privacy, which work without JavaScript and call what the JSON routes call, and the console's shell.

mod account;
mod app;
mod forms;
mod invitation;
mod legal;
pub(super) mod mailbox;

use std::sync::LazyLock;

use askama::Template;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use colloquy_actors::demo::ASKED;

use crate::app::App;
use crate::auth::{Address, access_of_cookie};
use crate::problem::Problem;
use crate::routes::dev::{at_this_machine, reads_mailbox};

/// A strict policy for pages without scripts and with one stylesheet.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// The stylesheet of all pages.
const STYLE: &str = include_str!("../../../templates/pages.css");
/// The script of the sign-up page, which works without it.
const ZONE: &str = include_str!("../../../templates/zone.js");
/// How many of the questions that the demonstration knows the page answers itself: the rest is for asking.
const ASKED_SHOWN: usize = 5;
/// Where `colloquy quickstart` looks for a server by itself.
const USUAL_URL: &str = "http://127.0.0.1:8080";
/// Its address changes with its content, so that browsers may keep it for ever.
static STYLE_HREF: LazyLock<String> =
    LazyLock::new(|| format!("/pages.css?{}", &blake3::hash(STYLE.as_bytes()).to_hex()[..16]));
/// Like the stylesheet's.
static ZONE_HREF: LazyLock<String> =
    LazyLock::new(|| format!("/zone.js?{}", &blake3::hash(ZONE.as_bytes()).to_hex()[..16]));

pub(crate) use account::nothing;

/// The routes of this folder. They are pages, not calls: OpenAPI does not list them.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/", get(home))
        .route("/pages.css", get(style))
        .route("/zone.js", get(zone))
        .merge(account::routes())
        .merge(invitation::routes())
        .merge(legal::routes())
        .merge(app::routes())
}

/// Where the stylesheet is; the layout asks.
pub fn style_href() -> &'static str {
    &STYLE_HREF
}

/// Where the script of the sign-up page is.
fn zone_href() -> &'static str {
    &ZONE_HREF
}

/// A page that may run scripts of this server, and nobody else's.
fn with_own_scripts(mut response: Response) -> Response {
    if let Ok(policy) = HeaderValue::from_str(&format!("{POLICY}; script-src 'self'")) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// A rendered page with its policy.
pub fn page<T: Template>(template: &T) -> Response {
    match template.render() {
        Ok(text) => served(text),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A page's text with its policy.
pub fn served(text: String) -> Response {
    let policy = (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    let sniff = (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    ([policy, sniff], Html(text)).into_response()
}

/// A page for one person: kept by nobody.
fn private<T: Template>(status: StatusCode, template: &T) -> Response {
    let mut response = page(template);
    if response.status() == StatusCode::OK {
        *response.status_mut() = status;
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Keeps what is in a page's address, such as a token, out of the `Referer` of whatever is opened from it.
fn without_referrer(mut response: Response) -> Response {
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// The status of a problem, and the seconds to wait, on a page that shows it in words.
fn with_status(mut response: Response, problem: &Problem) -> Response {
    *response.status_mut() = status_of(problem);
    if let Some(seconds) = problem.retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn status_of(problem: &Problem) -> StatusCode {
    StatusCode::from_u16(problem.body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A redirect after a form: the browser asks for the next page with GET, so that a reload sends nothing twice.
fn onward(to: &str) -> Response {
    let mut response = Redirect::to(to).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    signed_in: bool,
    mailbox: bool,
    quickstart: String,
    /// The page of the live agent, once there is one.
    demo: Option<String>,
    /// Questions and answers.
    asked: &'static [(&'static str, &'static str)],
}

async fn home(State(app): State<App>, Address(client): Address, headers: HeaderMap) -> Response {
    let signed_in = access_of_cookie(&app, &headers).is_some();
    let mailbox = reads_mailbox(&app, client, &headers);
    // Where the program is on this machine concerns nobody elsewhere.
    let program = if at_this_machine(client, &headers) { app.settings.program.as_str() } else { "colloquy" };
    let server = if app.settings.public_url == USUAL_URL {
        String::new()
    } else {
        format!(" --server {}", app.settings.public_url)
    };
    let quickstart = format!("{program} quickstart --url https://your.site --vertical home_services{server}");
    let demo = app.demo.get().map(|agent| format!("{}/widget/{agent}", app.settings.widget_url));
    let framed = demo.is_some();
    let mut response =
        private(StatusCode::OK, &Home { signed_in, mailbox, quickstart, demo, asked: &ASKED[..ASKED_SHOWN] });
    // The one page that frames something: our own chat.
    if framed && let Ok(policy) = HeaderValue::from_str(&format!("{POLICY}; frame-src {}", app.settings.widget_url)) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

async fn style(RawQuery(version): RawQuery) -> Response {
    versioned(&STYLE_HREF, version, "text/css; charset=utf-8", STYLE)
}

async fn zone(RawQuery(version): RawQuery) -> Response {
    versioned(&ZONE_HREF, version, "text/javascript; charset=utf-8", ZONE)
}

/// A file whose address changes with its content: kept for ever under the current one.
fn versioned(href: &str, version: Option<String>, kind: &'static str, text: &'static str) -> Response {
    let current = version.is_some_and(|version| href.ends_with(&format!("?{version}")));
    let keep = if current { "public, max-age=31536000, immutable" } else { "no-cache" };
    let sniff = (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    (
        [
            (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
            (header::CACHE_CONTROL, HeaderValue::from_static(keep)),
            sniff,
        ],
        text,
    )
        .into_response()
}
