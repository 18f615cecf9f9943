//! What `GET /api/audit` answers: who changed what, when, from where.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::{IntoParams, ToSchema};

/// Which entries of the audit log.
#[derive(Clone, Debug, Default, Serialize, Deserialize, TS, ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
#[ts(export, export_to = "api.ts")]
pub struct AuditQuery {
    /// Only by this person or key: its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub actor: Option<String>,
    /// Only this action, such as `agent.updated`; or all of one kind of thing, such as `agent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub action: Option<String>,
    /// Only on this thing: its id, its kind, or `kind/id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub resource: Option<String>,
    /// From this day in the organization's time zone, or this instant (RFC 3339), on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub from: Option<String>,
    /// Up to this day, included, or up to this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub to: Option<String>,
    /// At most this many: 50 by default, 200 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub limit: Option<usize>,
    /// From the previous page's `next_cursor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub cursor: Option<String>,
}

/// One page of the audit log, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct AuditPage {
    /// The entries.
    pub items: Vec<AuditEntry>,
    /// Send as `?cursor=` for what follows; null at the end.
    pub next_cursor: Option<String>,
    /// Ids of entries that cannot be read any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[ts(optional, as = "Option<Vec<String>>")]
    pub damaged: Vec<String>,
}

/// One call that changed something, or was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct AuditEntry {
    /// Its id.
    pub id: String,
    /// When, RFC 3339.
    pub at: String,
    /// Who.
    pub actor: AuditActor,
    /// What: thing and what was done to it, such as `agent.updated`.
    pub action: String,
    /// On what.
    pub resource: AuditResource,
    /// Whether it was done.
    pub outcome: AuditOutcome,
    /// The names of changed fields, or the code it was refused with. Never values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub detail: Option<String>,
    /// The network address it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub address: Option<String>,
}

/// Who made a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct AuditActor {
    /// What they are.
    pub kind: AuditActorKind,
    /// The person's or key's id.
    pub id: String,
    /// The name they have today; of somebody who is gone, `former member`.
    pub name: String,
}

/// What made a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
#[ts(export, export_to = "api.ts")]
pub enum AuditActorKind {
    /// A member.
    User,
    /// A program with a key.
    ApiKey,
    /// An administrator of the platform.
    Operator,
    /// Colloquy itself.
    System,
}

/// What a call was on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct AuditResource {
    /// The kind of thing, such as `agent`.
    pub kind: String,
    /// Its id; empty for what a refused call would have made.
    pub id: String,
    /// Its name today, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub name: Option<String>,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
#[ts(export, export_to = "api.ts")]
pub enum AuditOutcome {
    /// Done.
    Ok,
    /// Not done.
    Refused,
    /// Nobody knows: a node ended in the middle of it.
    Unknown,
}
