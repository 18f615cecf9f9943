//! `/dev/mailbox`: the development mailbox, only while the public listener is loopback.

use std::net::IpAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::json;

use crate::app::{App, AppState};
use crate::auth::Address;
use crate::body::{Json, Query};
use crate::problem::{Problem, Result};
use crate::proxies::is_forwarded;
use crate::routes::pages;

/// Where the development mailbox is.
pub(super) const MAILBOX: &str = "/dev/mailbox";
/// Letters shown at once.
const SHOWN: usize = 100;

/// The routes of this file.
pub fn routes() -> Router<App> {
    Router::new().route(MAILBOX, get(mailbox))
}

#[derive(Debug, Deserialize)]
struct To {
    to: Option<String>,
}

/// Whether somebody sits at this machine, and did not come through a proxy on it.
pub(super) fn at_this_machine(client: IpAddr, headers: &HeaderMap) -> bool {
    client.is_loopback() && !is_forwarded(headers)
}

/// Whether mail is only recorded, and this client may read it.
pub(super) fn reads_mailbox(app: &AppState, client: IpAddr, headers: &HeaderMap) -> bool {
    app.mailbox.is_some() && at_this_machine(client, headers)
}

/// Whether a request is for this machine by a name that only this machine has. A page that a browser on this machine shows may have made its own
/// name point here, and then reads whatever that name is answered.
fn names_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|value| value.to_str().ok()) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a person's browser asks, which names pages first; programs take what they get.
fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|kind| kind.split(';').next().unwrap_or_default().trim() == "text/html")
}

/// Letters and recorded text messages, newest first: a page for a browser, JSON for all others.
///
/// They hold sign-in links: they are for whoever sits at this machine, not for whom a proxy on it lets in.
async fn mailbox(
    State(app): State<App>,
    Address(client): Address,
    headers: HeaderMap,
    Query(query): Query<To>,
) -> Result<Response> {
    let mailbox = app
        .mailbox
        .as_ref()
        .filter(|_| at_this_machine(client, &headers) && names_loopback(&headers))
        .ok_or_else(|| Problem::not_found("mailbox"))?;
    let to = query.to.as_deref().map(str::trim).filter(|to| !to.is_empty());
    let items = mailbox.list(to, SHOWN);
    let mut answer = if wants_page(&headers) {
        pages::mailbox::shown(&items, to.unwrap_or_default(), SHOWN)
    } else {
        Json(json!({ "items": items })).into_response()
    };
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_this_machines_alone_open_the_mailbox() {
        let of = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            names_loopback(&headers)
        };
        for good in ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080", "[::1]"] {
            assert!(of(good), "{good}");
        }
        for bad in
            ["evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1:8080", "", "0.0.0.0"]
        {
            assert!(!of(bad), "{bad}");
        }
        assert!(!names_loopback(&HeaderMap::new()));
    }
    #[test]
    fn a_browser_gets_a_page_and_a_program_json() {
        let of = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            wants_page(&headers)
        };
        assert!(of("text/html,application/xhtml+xml,*/*;q=0.8") && of("application/xml, text/html;q=0.9"));
        assert!(!of("*/*") && !of("application/json") && !of("text/htmlx") && !wants_page(&HeaderMap::new()));
    }
}
