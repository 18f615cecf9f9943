//! What can happen to an agent's knowledge.

use serde::{Deserialize, Serialize};

use super::{
    command::{NewSource, PageOutcome, RunOutcome},
    state::{FaqStatus, Index, RunKind},
};
use crate::ids::{AgentId, ConversationId, FaqId, SourceId, TenantId};

/// What happened to an agent's knowledge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// It began.
    SetUp {
        /// The agent.
        agent: AgentId,
        /// The organization.
        tenant: TenantId,
        /// The most pages in all.
        max_pages: Option<u32>,
    },
    /// Everything was deleted.
    Deleted,
    /// The plan's limit changed.
    LimitsSet {
        /// The most pages in all.
        max_pages: Option<u32>,
    },
    /// A source was added.
    SourceAdded {
        /// Its id.
        source: SourceId,
        /// It, with name, frequency and limit resolved.
        new: NewSource,
    },
    /// A source changed.
    SourceUpdated {
        /// Which.
        source: SourceId,
        /// All that can change.
        new: NewSource,
        /// When it is read again by itself.
        next_sync_ms: Option<i64>,
    },
    /// A source was removed with its pages.
    SourceRemoved {
        /// Which.
        source: SourceId,
    },
    /// A run waits for its turn.
    RunQueued {
        /// The source.
        source: SourceId,
        /// What for.
        kind: RunKind,
    },
    /// A run began.
    RunStarted {
        /// The source.
        source: SourceId,
        /// The run.
        run: String,
        /// What for.
        kind: RunKind,
        /// When it is started again without news.
        deadline_ms: i64,
    },
    /// A run's task is at work.
    RunBegan {
        /// The source.
        source: SourceId,
        /// When it is started again without news.
        deadline_ms: i64,
    },
    /// Pages of a run.
    RunProgressed {
        /// The source.
        source: SourceId,
        /// Addresses found so far.
        found: u32,
        /// What became of some.
        pages: Vec<PageOutcome>,
        /// When it is started again without news.
        deadline_ms: i64,
    },
    /// A run is started again.
    RunRetried {
        /// The source.
        source: SourceId,
        /// The try.
        attempt: u32,
        /// When it is started again without news.
        deadline_ms: i64,
    },
    /// A run ended and its pages are the source's.
    RunFinished {
        /// The source.
        source: SourceId,
        /// How.
        outcome: RunOutcome,
        /// When it is read again by itself.
        next_sync_ms: Option<i64>,
    },
    /// The same content is to be embedded and indexed anew.
    RebuildAsked,
    /// The next index is due.
    BuildDue {
        /// Its version.
        version: u64,
        /// The try.
        attempt: u32,
        /// When it is started again without news.
        deadline_ms: i64,
    },
    /// A newer index answers.
    IndexBuilt {
        /// It.
        index: Index,
    },
    /// The next index could not be built; the old one goes on.
    BuildFailed {
        /// Why.
        reason: String,
        /// When it is tried again.
        retry_ms: i64,
    },
    /// A question was added or changed.
    FaqPut {
        /// Which.
        faq: FaqId,
        /// The question.
        question: String,
        /// The answer.
        answer: String,
        /// A heading.
        category: String,
        /// Its priority.
        priority: i32,
        /// Whether it was generated.
        is_auto: bool,
        /// Whether it answers.
        status: FaqStatus,
        /// The page it comes from.
        source_url: Option<String>,
    },
    /// A question was removed.
    FaqRemoved {
        /// Which.
        faq: FaqId,
    },
    /// Questions are looked for.
    GenerationStarted {
        /// The generation.
        run: String,
        /// The try.
        attempt: u32,
        /// When it is started again without news.
        deadline_ms: i64,
    },
    /// Questions were looked for; those found were put before this.
    GenerationEnded {
        /// Why it failed.
        failure: Option<String>,
    },
    /// What nothing names any more was deleted, up to an event.
    Swept {
        /// The event.
        mark: u64,
    },
    /// The key that questions are grouped by was drawn.
    GroupingSet {
        /// The key.
        key: [u8; 32],
    },
    /// A question got the fallback message. Its words stand in the conversation, so that they go when it is erased.
    UnansweredNoted {
        /// A keyed hash of its words.
        key: String,
        /// Where it was asked.
        conversation: ConversationId,
        /// The conversation's event that says so; 0 in what was noted before events said which.
        seq: u64,
        /// The key that made room.
        dropped: Option<String>,
    },
    /// An unanswered question was answered or dropped.
    UnansweredClosed {
        /// Its key.
        key: String,
    },
    /// A conversation's words went.
    ConversationForgotten {
        /// Which.
        conversation: ConversationId,
    },
}
