//! Server-rendered pages of the public side: readable without JavaScript.

use askama::Template;
use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use crate::app::App;

/// A strict policy for pages without scripts; their style is in the page.
pub const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The routes of this file.
pub fn routes() -> Router<App> {
    Router::new().route("/", get(home))
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home {}

async fn home() -> Response {
    page(&Home {})
}

/// A rendered page with its policy.
pub fn page<T: Template>(template: &T) -> Response {
    match template.render() {
        Ok(text) => {
            let policy = (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
            let sniff = (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
            ([policy, sniff], Html(text)).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
