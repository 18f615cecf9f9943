//! What letters are asked, what happened to them, and the work they cause.

use serde::{Deserialize, Serialize};

use super::Item;
use crate::bulletin::News;
use crate::ids::{ConversationId, TenantId, UserId};

/// What may be asked; only by the service itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// A notice that a member wants by mail. They come in the order of their numbers; one that was heard is not heard again.
    Notice {
        /// The member whose address it is.
        user: UserId,
        /// The notice's number.
        seq: u64,
        /// When it was told, Unix milliseconds.
        at_ms: i64,
        /// What.
        news: News,
    },
    /// May an alert go to this address now? If not it becomes part of the next letter. The same alert always gets the same answer.
    Admit {
        /// The alert's id.
        id: String,
        /// The conversation it is about.
        about: ConversationId,
        /// Whether somebody is in danger.
        urgent: bool,
    },
    /// An attempt at a letter came to its end.
    Ended {
        /// Which letter.
        letter: u64,
        /// Which attempt.
        attempt: u32,
        /// How.
        how: Ended,
    },
    /// A deadline came.
    Tick,
    /// Tasks were lost.
    Recovered,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The letter was handed over.
    Delivered,
    /// There was nothing to tell any more, or the address takes no mail.
    Nothing,
    /// It may work later.
    Failed,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// Whose address this is.
    Addressed {
        /// The organization.
        tenant: TenantId,
        /// The member who has it; none for an agent's escalation contact.
        user: Option<UserId>,
    },
    /// Something waits to be told.
    Noticed {
        /// What.
        item: Item,
    },
    /// A notice was heard of what had been told already.
    Heard {
        /// Its number.
        seq: u64,
    },
    /// An alert may go, or is held for the next letter.
    Admitted {
        /// The alert's id.
        id: String,
        /// The conversation it is about.
        about: ConversationId,
        /// Whether somebody is in danger.
        urgent: bool,
        /// Whether it is held.
        held: bool,
    },
    /// A letter is written of what waits.
    Begun {
        /// Only of emergencies: the room for others is used up, or they still wait for more.
        urgent: bool,
        /// When it is begun again without news.
        deadline_ms: i64,
    },
    /// An attempt failed; the next one waits.
    Paused {
        /// For when.
        until_ms: i64,
    },
    /// The next attempt begins.
    Retried {
        /// When it is begun again without news.
        deadline_ms: i64,
    },
    /// The letter was handed over, or given up.
    Ended {
        /// Whether it was handed over.
        delivered: bool,
    },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Done.
    Done,
    /// Whether an alert may go now.
    Admitted {
        /// If not it is told with the next letter.
        now: bool,
    },
}

/// Work outside the core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Effect {
    /// Write one letter. Keyed: a letter keeps its key over all attempts.
    Send {
        /// Which letter.
        letter: u64,
        /// Which attempt.
        attempt: u32,
        /// The member who has it.
        user: Option<UserId>,
        /// What it tells, oldest first.
        items: Vec<Item>,
        /// How much more there was.
        more: u32,
    },
}
