//! The public chat over HTTP.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ts_rs::TS;
use utoipa::ToSchema;

/// Facts about the page a visitor is on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct ChatMetadata {
    /// The page's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub page_url: Option<String>,
    /// Where the visitor came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub referrer: Option<String>,
    /// BCP 47.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub locale: Option<String>,
}

/// `POST /api/chat`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct ChatRequest {
    /// The agent.
    pub agent_id: String,
    /// The conversation; a new one without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub conversation_id: Option<String>,
    /// What the visitor says.
    pub message: String,
    /// The client's own id, at least 128 random bits.
    pub visitor_id: String,
    /// The client's id of this message: a repeat gets the first answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub client_message_id: Option<String>,
    /// Facts about the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub metadata: Option<ChatMetadata>,
}

/// A source of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct Source {
    /// The chunk.
    pub chunk_id: String,
    /// The page's title.
    pub title: String,
    /// The page's address; empty for typed text.
    pub url: String,
    /// 0 to 1.
    pub score: f64,
    /// About 100 characters of it.
    pub snippet: String,
}

/// The answer to `POST /api/chat`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct ChatResponse {
    /// The agent's answer; empty while a person holds the floor.
    pub response: String,
    /// The conversation.
    pub conversation_id: String,
    /// The answer's id; null while a person holds the floor.
    pub message_id: Option<String>,
    /// The conversation's sequence number after it.
    pub seq: u64,
    /// Opens all conversations of this visitor: keep it.
    pub visitor_token: String,
    /// Where the answer comes from; empty for the fallback.
    pub sources: Vec<Source>,
    /// 0 to 1.
    pub confidence: Option<f64>,
    /// `active`, `resolved`, `escalated` or `abandoned`.
    pub status: String,
    /// `low`, `normal`, `high` or `emergency`.
    pub urgency: String,
    /// Something to show with the answer: a lead form, quick replies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "Record<string, unknown>")]
    pub prompt: Option<Value>,
}

/// `POST /api/leads/capture`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct LeadCapture {
    /// The agent.
    pub agent_id: String,
    /// The conversation it belongs to.
    pub conversation_id: String,
    /// The form's fields by name.
    #[ts(type = "Record<string, string>")]
    pub fields: Map<String, Value>,
}

/// `POST /api/chat/:conversation_id/rating`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct Rating {
    /// 1 to 5.
    pub rating: u8,
    /// In the visitor's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub feedback: Option<String>,
}

/// `POST /api/chat/:conversation_id/messages/:id/feedback`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct Thumbs {
    /// Up, or down.
    pub thumbs_up: bool,
    /// In the visitor's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub feedback: Option<String>,
}

/// `POST /api/chat/visits`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct Visit {
    /// The agent on the page.
    pub agent_id: String,
    /// The visitor.
    pub visitor_id: String,
    /// The page.
    pub page_url: String,
}
