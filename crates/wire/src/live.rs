//! The console's live feed (`GET /api/live`, WebSocket).

use serde::{Deserialize, Serialize};
use serde_json::Value;
use ts_rs::TS;
use utoipa::ToSchema;

use crate::inbox::PresenceStatus;

/// What the console sends.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[ts(export, export_to = "sockets.ts")]
pub enum LiveClient {
    /// First frame of a client that has no cookie.
    Auth {
        /// An access token or a secret API key.
        token: String,
    },
    /// Follow a topic.
    Subscribe {
        /// `overview`, `conversations`, `conversation:<id>`, `leads`, `appointments`, `calls`, `campaigns`, `agent:<id>`, `campaign:<id>`, `presence`, `notifications`.
        topic: String,
        /// The last sequence number seen: continues from there where that is possible.
        #[serde(default)]
        since: Option<u64>,
    },
    /// Stop following.
    Unsubscribe {
        /// The topic.
        topic: String,
    },
    /// What this screen's person does now; what is left out is as it was. Repeated by the server while the socket lives.
    Presence {
        /// At the screen or away.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        status: Option<PresenceStatus>,
        /// The conversation in view; null for none.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        #[ts(optional, type = "string | null")]
        #[schema(value_type = Option<String>)]
        viewing: Option<Option<String>>,
        /// Whether something is being typed into it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        typing: Option<bool>,
    },
}

/// How one entry of a topic changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "sockets.ts")]
pub struct Change {
    /// `put` or `remove`.
    pub op: String,
    /// Which entry.
    pub key: String,
    /// Its new value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "unknown")]
    pub value: Option<Value>,
}

/// What the server sends.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[ts(export, export_to = "sockets.ts")]
pub enum LiveServer {
    /// The topic as a whole.
    Snapshot {
        /// The topic.
        topic: String,
        /// Where deltas go on from.
        seq: u64,
        /// Entries by key.
        #[ts(type = "unknown")]
        data: Value,
        /// For counters: the sequence number counted to, by source entity.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional, type = "Record<string, number>")]
        sources: Option<Value>,
    },
    /// What changed.
    Delta {
        /// The topic.
        topic: String,
        /// One above the last frame of this topic.
        seq: u64,
        /// The changes, in order.
        changes: Vec<Change>,
    },
    /// Something was missed: a snapshot follows.
    Gap {
        /// The topic.
        topic: String,
    },
    /// A topic cannot be followed.
    Error {
        /// The topic.
        topic: String,
        /// Why.
        code: String,
    },
}

/// Tells "not sent" from "sent as null".
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}
