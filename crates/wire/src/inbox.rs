//! The inbox: matches of a search, read marks, presence, notifications and their preferences, answers in the making.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

/// Where a search found its words in a conversation: field `match` of a row of `GET /api/conversations?q=`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct SearchMatch {
    /// The message's place in the journal.
    #[ts(type = "number")]
    pub seq: u64,
    /// Who wrote it: `user`, `assistant`, `human_agent` or `system`.
    pub role: String,
    /// A stretch of the message around the first word found.
    pub snippet: String,
    /// The found words, as `[start, end)` in UTF-16 units of `snippet`.
    pub ranges: Vec<(u32, u32)>,
}

/// What a row of `GET /api/conversations` says beside the conversation itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct InboxRow {
    /// The place of the newest message: what is read when all of it is.
    #[ts(type = "number")]
    pub last_seq: u64,
    /// The place of the visitor's newest message: unread while it is above what was read.
    #[ts(type = "number")]
    pub last_visitor_seq: u64,
    /// The places of the visitor's newest messages, oldest first, at most 99: whoever knows how far was read can count.
    #[ts(type = "Array<number>")]
    pub visitor_seqs: Vec<u64>,
    /// Messages of the visitor above what the asking person has read, at most 99; 0 for API keys.
    pub unread: u32,
    /// With `q`: where the words were found.
    #[serde(rename = "match", default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub found: Option<SearchMatch>,
}

/// `POST /api/conversations/:id/read`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct ReadMark {
    /// Read up to here; a mark never goes back. 0 together with `unread`.
    #[ts(type = "number")]
    pub seq: u64,
    /// Marks the whole conversation unread again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub unread: Option<bool>,
}

/// A person's own read mark: value of the key `read:<conversation_id>` in the topic `conversations`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "sockets.ts")]
pub struct ReadAt {
    /// Read up to here.
    #[ts(type = "number")]
    pub seq: u64,
}

/// An unfinished answer as far as it was streamed: field `streaming` of a conversation and of its topic's snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct Streaming {
    /// The id the answer will have.
    pub message_id: String,
    /// A higher attempt replaces this text.
    pub attempt: u32,
    /// The position of the piece that comes next: pieces below it are in `text`.
    pub next_index: u32,
    /// What was streamed so far.
    pub text: String,
}

/// What a chunk of an answer's trace says: `GET /api/conversations/:id/chunks?ids=`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct ChunkText {
    /// The chunk.
    pub chunk_id: String,
    /// Its text; empty when it is gone.
    pub text: String,
    /// The page's title.
    pub title: String,
    /// Where it stands.
    pub url: Option<String>,
    /// It is in no index any more.
    pub gone: bool,
}

/// Those of `GET /api/conversations/:id/chunks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct ChunkTexts {
    /// In the order asked for.
    pub items: Vec<ChunkText>,
}

/// Whether somebody is at the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
#[ts(export, export_to = "sockets.ts")]
pub enum PresenceStatus {
    /// At the screen.
    #[default]
    Online,
    /// The console is open, nobody touches it.
    Away,
}

/// A colleague who has the console open: an entry of the topic `presence`, keyed by user id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "sockets.ts")]
pub struct PresencePerson {
    /// Who.
    pub user_id: String,
    /// The name.
    pub name: String,
    /// `online` if that is so on any of the person's screens.
    pub status: PresenceStatus,
    /// The conversation in view, on the screen that spoke last.
    pub viewing: Option<String>,
    /// Whether the person types into it.
    pub typing: bool,
    /// Since when somebody has been here without a break.
    pub since: String,
}

/// The snapshot of the topic `presence`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "sockets.ts")]
pub struct PresenceSnapshot {
    /// Who is here, by name.
    pub people: Vec<PresencePerson>,
}

/// What a notification tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
#[ts(export, export_to = "api.ts")]
pub enum NotificationKind {
    /// A conversation asks for a person.
    Escalation,
    /// Somebody is in danger.
    Emergency,
    /// A conversation or lead was given to the reader.
    Assigned,
    /// A new lead.
    Lead,
    /// A question that nobody could answer.
    Unanswered,
    /// An agent could not learn from a source.
    TrainingFailed,
    /// Somebody called, and nobody answered.
    MissedCall,
    /// Somebody joined by an invitation.
    InvitationAccepted,
    /// The daily summary.
    Summary,
}

/// A notification, as its reader sees it now: its words are read anew each time, so that they go with what they tell of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct NotificationView {
    /// Its id.
    pub id: String,
    /// What it tells of.
    pub kind: NotificationKind,
    /// In a few words.
    pub title: String,
    /// In a sentence.
    pub body: String,
    /// A path of the console.
    pub link: String,
    /// When.
    pub created_at: String,
    /// When it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub read_at: Option<String>,
}

/// `GET /api/notifications`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct NotificationPage {
    /// Newest first.
    pub items: Vec<NotificationView>,
    /// Send as `?cursor=` for what follows; null at the end.
    pub next_cursor: Option<String>,
    /// How many are unread in all.
    pub unread: u32,
}

/// The snapshot of the topic `notifications`; its deltas have a notification's id or `unread` as keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "sockets.ts")]
pub struct NotificationSnapshot {
    /// How many are unread in all.
    pub unread: u32,
    /// The newest twenty.
    pub items: Vec<NotificationView>,
}

/// `POST /api/notifications/read`: some, or all.
#[derive(Clone, Debug, Default, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct NotificationsRead {
    /// Which; at most 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub ids: Option<Vec<String>>,
    /// All of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub all: Option<bool>,
}

/// How somebody wants to hear of one kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct NotificationChannels {
    /// In the console.
    pub in_app: bool,
    /// By mail to the person's own address, unless it was read before. Alerts of an agent go to its `escalation_email` besides.
    pub email: bool,
}

/// Whether somebody gets the daily summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct SummaryChannels {
    /// By mail.
    pub email: bool,
}

/// Field `notifications` of `GET` and `PATCH /api/me/preferences`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct NotificationPreferences {
    /// A conversation asks for a person.
    pub escalation: NotificationChannels,
    /// Somebody is in danger.
    pub emergency: NotificationChannels,
    /// A conversation or lead was given to the reader.
    pub assigned: NotificationChannels,
    /// A new lead.
    pub lead: NotificationChannels,
    /// A question that nobody could answer.
    pub unanswered: NotificationChannels,
    /// An agent could not learn from a source.
    pub training_failed: NotificationChannels,
    /// Somebody called, and nobody answered.
    pub missed_call: NotificationChannels,
    /// The daily summary.
    pub daily_summary: SummaryChannels,
}
