//! What the console says to conversations and leads.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ts_rs::TS;
use utoipa::ToSchema;

/// `PATCH /api/conversations/:id`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct ConversationPatch {
    /// `active`, `resolved`, `escalated` or `abandoned`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub status: Option<String>,
    /// `low`, `normal`, `high` or `emergency`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub urgency: Option<String>,
    /// A member's user id; null for nobody.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[ts(optional, type = "string | null")]
    #[schema(value_type = Option<String>)]
    pub assigned_to: Option<Option<String>>,
}

/// `POST /api/conversations/:id/messages`, and `/whisper` without channel and attachments.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct PersonMessage {
    /// What the person says.
    pub content: String,
    /// The channel; the conversation's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub channel: Option<String>,
    /// Ids of files that were uploaded to this conversation; then `content` may be empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub attachments: Option<Vec<String>>,
}

/// A file that is kept with a conversation, as its upload answers.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct StoredFile {
    /// What a message names it by.
    pub id: String,
    /// Its name; ends as its type demands.
    pub name: String,
    /// Such as `image/png`; follows from its bytes.
    pub media_type: String,
    /// Its size.
    #[ts(type = "number")]
    pub bytes: u64,
}

/// `POST /api/conversations/:id/fork`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct Fork {
    /// The sequence number to continue from.
    pub at: u64,
    /// Fields of the agent's configuration to try instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "Record<string, unknown>")]
    pub agent_config: Option<Map<String, Value>>,
    /// What the visitor would say next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub message: Option<String>,
}

/// `PATCH /api/leads/:id`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct LeadPatch {
    /// `new`, `contacted`, `qualified`, `converted` or `lost`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub status: Option<String>,
    /// A member's user id; null for nobody.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[ts(optional, type = "string | null")]
    #[schema(value_type = Option<String>)]
    pub assigned_to: Option<Option<String>>,
    /// Free notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub notes: Option<String>,
    /// Whether somebody followed up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub followed_up: Option<bool>,
    /// Corrected fields by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "Record<string, string>")]
    pub fields: Option<Map<String, Value>>,
}

/// `POST /api/privacy/erasures`: at least one of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct ErasureRequest {
    /// The person's e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub email: Option<String>,
    /// The person's phone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub phone: Option<String>,
    /// The person's visitor id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub visitor_id: Option<String>,
}

/// Tells "not sent" from "sent as null".
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}
