//! Shapes that every resource shares: lists, problems, money.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

/// One page of a list.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct Page<T: TS> {
    /// The rows, newest first unless said otherwise.
    pub items: Vec<T>,
    /// Send as `?cursor=` for what follows; null at the end.
    pub next_cursor: Option<String>,
}

impl<T: TS> Page<T> {
    /// A list that is whole: of things there are few of.
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, next_cursor: None }
    }
}

/// How a list is asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct ListQuery {
    /// At most this many rows: 50 by default, 200 at most.
    pub limit: Option<usize>,
    /// From the previous page's `next_cursor`.
    pub cursor: Option<String>,
}

/// Whether the same request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
#[ts(export, export_to = "api.ts")]
pub enum Retry {
    /// Yes: nothing happened.
    Safe,
    /// Yes, with the same idempotency key: it may have happened.
    SameKey,
    /// No: it would be refused again.
    Never,
}

/// One wrong field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct FieldError {
    /// The field's path, such as `organization.timezone`.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// An error (RFC 9457, `application/problem+json`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct Problem {
    /// A page about this kind of error.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short name.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// A stable code for programs.
    pub code: String,
    /// What is the matter and what to do.
    pub detail: String,
    /// The wrong fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[ts(optional, as = "Option<Vec<FieldError>>")]
    pub errors: Vec<FieldError>,
    /// Whether the same request may be sent again.
    pub retry: Retry,
    /// With 412: what is stored now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "unknown")]
    pub current: Option<serde_json::Value>,
}
