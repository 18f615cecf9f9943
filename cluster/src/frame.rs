//! What crosses from a sender to the node that owns an entity, and what comes back.

use bytes::Bytes;
use colloquy_store::EntityKey;
use serde::{Deserialize, Serialize};

/// The version of the frame's own shape; a node answers frames of another version with [`Answer::Malformed`].
pub const FRAME_SCHEMA: u16 = 1;

/// The longest idempotency key, bytes: room for a UUID with a prefix, small enough to keep a thousand per entity.
pub const MAX_IDEMPOTENCY_KEY: usize = 128;

/// The largest command, bytes. Larger values belong in blobs, with their path in the command.
pub const MAX_COMMAND_BYTES: usize = 1024 * 1024;

/// Where an outbox message comes from: the receiver drops positions it has already seen from that sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The sending entity.
    pub entity: EntityKey,
    /// The message's place in the sender's outbox: `seq·2¹⁶ + index within the event`, so strictly rising.
    pub pos: u64,
}

/// One command on its way to the owner of its entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The shard the sender computed for the entity.
    pub shard: u32,
    /// The shard's epoch as the sender knows it; 0 when it does not.
    pub epoch: u64,
    /// The entity.
    pub key: EntityKey,
    /// [`FRAME_SCHEMA`] of the sender.
    pub schema: u16,
    /// The sender's number for this exchange.
    pub correlation: u64,
    /// A repeated key gets the first answer.
    pub idempotency_key: Option<String>,
    /// When the sender stops waiting, Unix milliseconds: not begun by then, it is answered [`Answer::Expired`].
    pub deadline_ms: i64,
    /// W3C trace context of the caller.
    pub trace: Option<String>,
    /// Set on outbox messages.
    pub source: Option<Source>,
    /// Answer only after the list rows that follow from the command are written.
    pub after_rows: bool,
    /// A best-effort note to a resident: answered at once, empty. One without content starts the resident and keeps it.
    pub note: bool,
    /// The command, JSON of its kind's `Command`.
    pub bytes: Bytes,
}

/// The answer to a frame. Every frame gets one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The kind's `Reply`, JSON; what it tells is durable. Empty for a repeated outbox message.
    Ok(Bytes),
    /// The kind's `Rejection`, JSON; nothing happened.
    Rejected(Bytes),
    /// This node does not serve the shard.
    NotOwner {
        /// The owner this node knows, if any.
        owner: Option<String>,
        /// Under which epoch.
        epoch: u64,
    },
    /// The shard or node is being handed over or drained; nothing happened.
    Moving {
        /// When to try again, milliseconds from now.
        retry_after_ms: u64,
    },
    /// Too much is queued, or the entity backs off after failures; nothing happened.
    Busy {
        /// When to try again, milliseconds from now.
        retry_after_ms: u64,
    },
    /// It may or may not have happened. A retry with the same idempotency key settles it.
    Unknown,
    /// The deadline passed before the command was begun; nothing happened.
    Expired,
    /// The entity's own code failed on this command; nothing happened.
    HandlerFailed,
    /// The store refuses or cannot be reached; nothing happened.
    Unavailable {
        /// Why, for the operator and the error page.
        detail: String,
    },
    /// The entity's personal data was erased.
    Erased,
    /// The frame cannot be understood: unknown kind, wrong shape, too large. Trying again is no use.
    Malformed {
        /// What is wrong, without the content.
        detail: String,
    },
}

/// The detail of [`Answer::Unavailable`] when the store has no room: nothing was written, reads go on.
pub const STORAGE_FULL: &str = "storage full";

/// What the detail of [`Answer::Unavailable`] begins with when stored bytes are not what was written. Trying again is no use.
pub const STORAGE_DAMAGED: &str = "storage damaged: ";

impl Answer {
    /// The store has no room.
    pub(crate) fn storage_full() -> Self {
        Self::Unavailable { detail: STORAGE_FULL.to_owned() }
    }

    /// What is stored cannot be read back.
    pub(crate) fn storage_damaged(error: &dyn std::error::Error) -> Self {
        Self::Unavailable { detail: format!("{STORAGE_DAMAGED}{error}") }
    }

    /// A newer version wrote it: not here, and not for ever.
    pub(crate) fn written_by_a_newer_version(error: &dyn std::error::Error) -> Self {
        Self::Unavailable { detail: error.to_string() }
    }

    /// A bounded label for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Ok(_) => "ok",
            Self::Rejected(_) => "rejected",
            Self::NotOwner { .. } => "not_owner",
            Self::Moving { .. } => "moving",
            Self::Busy { .. } => "busy",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::HandlerFailed => "handler_failed",
            Self::Unavailable { .. } => "unavailable",
            Self::Erased => "erased",
            Self::Malformed { .. } => "malformed",
        }
    }
}
