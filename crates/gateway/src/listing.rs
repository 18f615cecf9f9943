//! Lists: a page of projected rows, newest first, filtered here, continued by cursor.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use colloquy_actors::ActorError;
use colloquy_actors::cluster::client::Listed;
use colloquy_actors::cluster::store::rows::{After, Range};
use colloquy_wire::common::ListQuery;
use serde::Serialize;
use serde_json::{Value, json};

use crate::app::AppState;
use crate::body::Json;
use crate::problem::{Problem, Result};

/// Rows of a page unless the client says.
const LIMIT: usize = 50;
/// The most rows of a page.
const LIMIT_MAX: usize = 200;
/// Rows looked at for one page: with a filter that fits nothing the client continues by cursor instead of waiting.
const LOOKED_AT_MAX: usize = 5_000;
/// Rows fetched at once.
const BATCH: usize = 500;

/// A list that is always small enough to be whole.
pub fn whole<T: Serialize>(items: Vec<T>) -> Json<Value> {
    Json(json!({ "items": items, "next_cursor": null }))
}

/// One page of a tenant's list: rows within `[from_ms, to_ms)` that `keep` lets through.
pub async fn list(
    app: &AppState,
    tenant: &str,
    list: &str,
    query: &ListQuery,
    from_ms: Option<i64>,
    to_ms: Option<i64>,
    keep: impl Fn(&Value) -> bool,
) -> Result<Json<Value>> {
    Ok(page(app, tenant, list, query, from_ms, to_ms, keep).await?.body())
}

/// One page of a list.
pub struct Page {
    /// What is on it.
    pub items: Vec<Value>,
    /// The cursor for what follows.
    pub next: Option<String>,
    /// The ids of rows between these that cannot be read any more.
    pub damaged: Vec<String>,
}

impl Page {
    /// The contract's answer. Whoever reads it sees that something is missing, and what: the thing itself may be whole.
    pub fn body(self) -> Json<Value> {
        let mut body = json!({ "items": self.items, "next_cursor": self.next });
        if !self.damaged.is_empty() {
            body["damaged"] = json!(self.damaged);
        }
        Json(body)
    }

    /// For whoever must not miss anything, such as an export.
    pub fn sound(self) -> Result<Self> {
        match self.damaged.first() {
            None => Ok(self),
            Some(id) => Err(ActorError::Damaged(format!("row {id}")).into()),
        }
    }
}

/// One page of a tenant's list, and the cursor for what follows.
pub async fn page(
    app: &AppState,
    tenant: &str,
    list: &str,
    query: &ListQuery,
    from_ms: Option<i64>,
    to_ms: Option<i64>,
    keep: impl Fn(&Value) -> bool,
) -> Result<Page> {
    let limit = limit(query)?;
    let mut after = query.cursor.as_deref().map(decode).transpose()?;
    let (mut items, mut damaged) = (Vec::new(), Vec::new());
    let mut looked_at = 0;
    loop {
        let range = Range { from_ms, to_ms, after: after.clone(), limit: BATCH };
        let Listed { rows, damaged: unreadable } = app.actors.client.list_sound::<Value>(tenant, list, &range).await?;
        damaged.extend(unreadable);
        let last_batch = rows.len() < BATCH;
        for row in rows {
            looked_at += 1;
            after = Some(After { at_ms: row.at_ms, id: row.id.clone() });
            if keep(&row.body) {
                items.push(row.body);
            }
            if items.len() == limit {
                return Ok(Page { items, next: after.as_ref().map(encode), damaged });
            }
        }
        if last_batch {
            return Ok(Page { items, next: None, damaged });
        }
        if looked_at >= LOOKED_AT_MAX {
            return Ok(Page { items, next: after.as_ref().map(encode), damaged });
        }
    }
}

/// How many rows a page is to have.
pub(crate) fn limit(query: &ListQuery) -> Result<usize> {
    let limit = query.limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::field("limit", format!("must be 1 to {LIMIT_MAX}")));
    }
    Ok(limit)
}

/// A place in a list as a cursor.
pub(crate) fn encode(after: &After) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}:{}", after.at_ms, after.id))
}

/// The place that a cursor names.
pub(crate) fn decode(cursor: &str) -> Result<After> {
    let wrong = || Problem::field("cursor", "must be the next_cursor of an earlier answer");
    let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(wrong)?;
    let (at_ms, id) = text.split_once(':').ok_or_else(wrong)?;
    Ok(After { at_ms: at_ms.parse().map_err(|_| wrong())?, id: id.to_owned() })
}
