//! The chat socket (`GET /api/chat/socket?agent_id=`): text frames, one JSON object each, tagged by `type`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ts_rs::TS;
use utoipa::ToSchema;

use crate::chat::{ChatMetadata, Source};
use crate::common::{FieldError, Retry};

/// What a visitor's client sends.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[ts(export, export_to = "sockets.ts")]
pub enum ChatClient {
    /// First frame: who it is and what it has seen.
    Hello {
        /// The client's own id, at least 128 random bits.
        visitor_id: String,
        /// From an earlier `welcome`.
        #[serde(default)]
        visitor_token: Option<String>,
        /// The conversation to continue.
        #[serde(default)]
        conversation_id: Option<String>,
        /// The last sequence number seen: everything above it is sent again, in order, once.
        #[serde(default)]
        last_seq: Option<u64>,
        /// Facts about the page.
        #[serde(default)]
        metadata: Option<ChatMetadata>,
    },
    /// The host page vouches for who the visitor is.
    Identify {
        /// The host's id of the person.
        external_id: String,
        /// HMAC-SHA-256 under the tenant's identity secret, hexadecimal, of `external_id`; with `phone_signed` or `expires_at` also of the lines
        /// `phone=…` and `expires_at=…` after it.
        hmac: String,
        /// The person's name.
        #[serde(default)]
        name: Option<String>,
        /// The person's e-mail address.
        #[serde(default)]
        email: Option<String>,
        /// The person's phone number.
        #[serde(default)]
        phone: Option<String>,
        /// Whether the host's server vouches for the phone number too: then text messages and calls of it are the same conversation.
        #[serde(default)]
        phone_signed: bool,
        /// Until when the proof is good, Unix seconds: at most a day ahead.
        #[serde(default)]
        #[ts(type = "number | null")]
        expires_at: Option<i64>,
    },
    /// The visitor says something.
    Message {
        /// The client's id of the message.
        client_message_id: String,
        /// The text.
        text: String,
    },
    /// The visitor is typing.
    Typing,
    /// A filled form.
    Lead {
        /// The client's id of the request.
        client_id: String,
        /// The form's fields by name.
        #[ts(type = "Record<string, string>")]
        fields: Map<String, Value>,
    },
    /// How it was.
    Rating {
        /// The client's id of the request.
        client_id: String,
        /// 1 to 5.
        rating: u8,
        /// In the visitor's words.
        #[serde(default)]
        feedback: Option<String>,
    },
    /// The visitor ends the conversation.
    Close,
}

/// How the agent presents itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "sockets.ts")]
pub struct AgentFace {
    /// Its name.
    pub name: String,
    /// A picture.
    pub avatar_url: Option<String>,
    /// Its first words.
    pub welcome_message: String,
    /// Buttons below them.
    pub quick_prompts: Vec<String>,
    /// Colours and shapes.
    #[ts(type = "unknown")]
    pub chat_theme: Value,
}

/// What the server sends to a visitor's client.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[ts(export, export_to = "sockets.ts")]
pub enum ChatServer {
    /// Answer to `hello`.
    Welcome {
        /// The conversation that goes on, if any.
        conversation_id: Option<String>,
        /// Keep it: it opens this visitor's conversations.
        visitor_token: String,
        /// The conversation's sequence number.
        seq: u64,
        /// The agent.
        agent: AgentFace,
    },
    /// Answer to `identify`: who the visitor is from now on.
    Identified {
        /// The conversation that this person goes on in, if any. Another one than before: its messages follow.
        conversation_id: Option<String>,
        /// Keep it in place of the one before: it opens this person's conversations, for a day.
        visitor_token: String,
        /// The conversation's sequence number.
        seq: u64,
    },
    /// The visitor's message is stored.
    Ack {
        /// The client's id of it.
        client_message_id: String,
        /// Its sequence number.
        seq: u64,
        /// The conversation, which the first message opens.
        conversation_id: String,
    },
    /// A piece of an answer in the making.
    Token {
        /// The answer.
        message_id: String,
        /// A higher attempt replaces what was shown.
        attempt: u32,
        /// Position of the piece.
        index: u32,
        /// The piece.
        text: String,
    },
    /// The answer in the making will not come.
    Discard {
        /// The answer.
        message_id: String,
        /// Why.
        reason: String,
    },
    /// A journaled message.
    Message {
        /// Its id.
        id: String,
        /// Its sequence number.
        seq: u64,
        /// `user`, `assistant`, `system` or `human_agent`.
        role: String,
        /// The person's name, for `human_agent`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        author: Option<String>,
        /// The text.
        content: String,
        /// Where it comes from.
        sources: Vec<Source>,
        /// The client's id, for the visitor's own messages.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        client_message_id: Option<String>,
        /// When.
        created_at: String,
    },
    /// Somebody is typing.
    Typing {
        /// Who.
        role: String,
    },
    /// Something to show: a lead form, quick replies.
    Prompt {
        /// `lead_form`, `quick_replies` …
        kind: String,
        /// What it consists of.
        #[serde(flatten)]
        #[ts(skip)]
        body: Map<String, Value>,
    },
    /// The conversation's status changed.
    Status {
        /// The status.
        status: String,
        /// The person who has the floor.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        assigned_to: Option<String>,
    },
    /// A `lead` or `rating` is stored.
    Done {
        /// The client's id of the request.
        client_id: String,
        /// The id of what was made.
        id: String,
    },
    /// A request was refused.
    Error {
        /// The client's id of the request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        client_id: Option<String>,
        /// A stable code.
        code: String,
        /// What is the matter and what to do.
        detail: String,
        /// The wrong fields.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[ts(optional, as = "Option<Vec<FieldError>>")]
        errors: Vec<FieldError>,
        /// Whether the same request may be sent again.
        retry: Retry,
    },
    /// The server ends the connection.
    Bye {
        /// Why, such as `restarting`.
        reason: String,
    },
}
