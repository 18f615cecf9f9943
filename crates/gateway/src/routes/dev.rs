//! `/dev/mailbox`: the development mailbox, only while the public listener is loopback.

use std::net::IpAddr;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::{App, AppState};
use crate::auth::Address;
use crate::body::{Json, Query};
use crate::problem::{Problem, Result};
use crate::proxies::is_forwarded;

/// Letters shown at once.
const SHOWN: usize = 100;

/// The routes of this file.
pub fn routes() -> Router<App> {
    Router::new().route("/dev/mailbox", get(mailbox))
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

/// Letters and recorded text messages, newest first.
///
/// They hold sign-in links: they are for whoever sits at this machine, not for whom a proxy on it lets in.
async fn mailbox(
    State(app): State<App>,
    Address(client): Address,
    headers: HeaderMap,
    Query(query): Query<To>,
) -> Result<Json<Value>> {
    let mailbox = app
        .mailbox
        .as_ref()
        .filter(|_| at_this_machine(client, &headers))
        .ok_or_else(|| Problem::not_found("mailbox"))?;
    Ok(Json(json!({ "items": mailbox.list(query.to.as_deref(), SHOWN) })))
}
