//! The state of an agent's knowledge.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    command::NewSource,
    limits::{PAGE_LIMIT_DEFAULT, PAGES_MAX},
};
use crate::{
    ids::{AgentId, ConversationId, FaqId, SourceId, TenantId},
    vocabulary::{ScrapeStatus, SourceType, SyncFrequency},
};

/// What an agent knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Knowledge {
    /// The agent; empty before it begins.
    pub agent: AgentId,
    /// The organization.
    pub tenant: TenantId,
    /// When it began.
    pub created_ms: i64,
    /// When it was deleted.
    pub deleted_ms: Option<i64>,
    /// The most pages in all.
    pub max_pages: Option<u32>,
    /// Sources; ids sort by time.
    pub sources: BTreeMap<SourceId, Source>,
    /// Runs that wait for their turn.
    pub queue: Vec<(SourceId, RunKind)>,
    /// Questions with answers; ids sort by time.
    pub faqs: BTreeMap<FaqId, Faq>,
    /// Rises with each change of what an index would hold.
    pub content_version: u64,
    /// The index that answers.
    pub index: Option<Index>,
    /// The index being built.
    pub build: Option<Task>,
    /// Why the last build failed, until one succeeds.
    pub build_error: Option<String>,
    /// When a failed build is tried again.
    pub build_retry_ms: Option<i64>,
    /// The search for questions under way.
    pub generation: Option<(String, Task)>,
    /// Why the last search failed, until one succeeds.
    pub generation_error: Option<String>,
    /// The last event that may have left stored things which nothing names any more, until they were looked for.
    pub unswept: Option<u64>,
    /// Uploads that were named until then.
    pub dropped: BTreeSet<String>,
    /// What questions without an answer are grouped by: the key of their hashes, drawn with the first.
    pub grouping: Option<[u8; 32]>,
    /// Questions without an answer, by the hash of their normalised text.
    pub unanswered: BTreeMap<String, Unanswered>,
}

/// A task under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The try.
    pub attempt: u32,
    /// When it is started again without news.
    pub deadline_ms: i64,
}

/// A stored document or text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// Where it is stored.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Hash of its bytes.
    pub hash: String,
    /// Its media type.
    #[serde(default)]
    pub media_type: String,
    /// The name it was uploaded under.
    #[serde(default)]
    pub file_name: String,
}

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// Read for the first time, or because its address or content changed.
    Read,
    /// Read again by schedule: unchanged pages stay as they are.
    Sync,
    /// Read again on request: everything is embedded anew.
    Retrain,
}

/// A source of knowledge (KB-1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// What its owner said.
    pub spec: NewSource,
    /// Rises with each change by a person; its entity tag.
    #[serde(default)]
    pub version: u64,
    /// How far it is.
    pub status: ScrapeStatus,
    /// Why it failed.
    pub error: Option<String>,
    /// What to know about the last run, such as that it stopped at the limit.
    pub note: Option<String>,
    /// When it was added.
    pub created_ms: i64,
    /// When its settings last changed.
    pub updated_ms: i64,
    /// When it was last read successfully.
    pub synced_ms: Option<i64>,
    /// When it is read again by itself.
    pub next_sync_ms: Option<i64>,
    /// Its pages by address.
    pub pages: BTreeMap<String, Page>,
    /// The run under way.
    pub run: Option<Run>,
    /// The last run that ended.
    pub last: Option<RunSummary>,
    /// It is completed once an index of this content answers.
    pub waits_for: Option<u64>,
}

/// A page that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Its title.
    pub title: String,
    /// Hash of its text.
    pub hash: String,
    /// Characters of its text.
    pub chars: u64,
    /// Chunks it was cut into.
    pub chunks: u32,
    /// Where text, chunks and vectors are stored.
    pub blob: String,
    /// When it was last found changed.
    pub updated_ms: i64,
}

/// A run under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Which.
    pub id: String,
    /// What for.
    pub kind: RunKind,
    /// The try and its deadline.
    pub task: Task,
    /// When it was started.
    pub started_ms: i64,
    /// Whether its task is at work.
    pub began: bool,
    /// Addresses found so far.
    pub found: u32,
    /// Pages read, to become the source's once the run ends. None: the known page stands.
    pub pages: BTreeMap<String, Option<Page>>,
    /// Pages that failed, with the reason and whether they are gone.
    pub failed: BTreeMap<String, (String, bool)>,
    /// Further pages that failed.
    pub failed_more: u32,
}

/// A run that ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    /// When it was started.
    pub started_ms: i64,
    /// When it ended, or its index answered.
    pub finished_ms: Option<i64>,
    /// Addresses found.
    pub found: u32,
    /// Pages read, unchanged ones included.
    pub done: u32,
    /// Pages that failed.
    pub failed: u32,
    /// Of those some with their reason.
    pub errors: BTreeMap<String, String>,
}

/// An index that answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Index {
    /// Its version, from 1.
    pub version: u64,
    /// The content it holds.
    pub content_version: u64,
    /// Where its manifest is stored.
    pub blob: String,
    /// Pages in it.
    pub pages: u32,
    /// Chunks in it.
    pub chunks: u32,
    /// Questions in it.
    pub faqs: u32,
    /// What embedded it, such as `local/all-MiniLM-L6-v2` or `keyword`.
    pub embedder: String,
    /// When it began to answer.
    pub built_ms: i64,
}

/// Whether a question answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaqStatus {
    /// Waits to be accepted.
    Pending,
    /// Answers.
    Accepted,
}

/// A question with its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faq {
    /// The question.
    pub question: String,
    /// The answer; variables in double braces are filled when answering.
    pub answer: String,
    /// A heading.
    pub category: String,
    /// Higher ones win between equals.
    pub priority: i32,
    /// Whether it was generated.
    pub is_auto: bool,
    /// Whether it answers.
    pub status: FaqStatus,
    /// The page it comes from.
    pub source_url: Option<String>,
    /// When it was added.
    pub created_ms: i64,
    /// When it last changed.
    pub updated_ms: i64,
    /// Rises with each change by a person; its entity tag.
    #[serde(default)]
    pub version: u64,
}

/// A question that got the fallback message. Its words are read from the conversations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unanswered {
    /// How often.
    pub count: u64,
    /// When first.
    pub first_ms: i64,
    /// When last.
    pub last_ms: i64,
    /// Where, the newest last, a conversation once.
    pub asked: Vec<Asked>,
}

/// Where a question stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// In which conversation.
    pub conversation: ConversationId,
    /// In which of its events; 0: not known.
    pub seq: u64,
}

impl Source {
    /// Whether its run reads a site (else one document or text). Sites take minutes, so documents do not wait for them.
    pub fn is_site(&self) -> bool {
        is_site(self.spec.kind)
    }

    /// Chunks of all its pages.
    pub fn chunks(&self) -> u64 {
        self.pages.values().map(|page| u64::from(page.chunks)).sum()
    }

    /// Characters of all its pages.
    pub fn chars(&self) -> u64 {
        self.pages.values().map(|page| page.chars).sum()
    }
}

/// Whether a source of this kind is a site.
pub(super) fn is_site(kind: SourceType) -> bool {
    match kind {
        SourceType::WebsiteScrape | SourceType::Sitemap => true,
        SourceType::FileUpload | SourceType::ManualText | SourceType::Faq | SourceType::Youtube => false,
    }
}

/// Days between two readings.
pub(super) fn sync_days(frequency: SyncFrequency) -> i64 {
    match frequency {
        SyncFrequency::Daily => 1,
        SyncFrequency::Weekly => 7,
        SyncFrequency::Monthly => 30,
    }
}

impl Run {
    /// Pages read so far, unchanged ones included.
    pub fn done(&self) -> u32 {
        u32::try_from(self.pages.len()).unwrap_or(u32::MAX)
    }

    /// Pages that failed so far.
    pub fn failures(&self) -> u32 {
        u32::try_from(self.failed.len()).unwrap_or(u32::MAX).saturating_add(self.failed_more)
    }
}

impl Knowledge {
    /// Whether it began and was not deleted.
    pub fn exists(&self) -> bool {
        !self.agent.0.is_empty() && self.deleted_ms.is_none()
    }

    /// The version of the index that answers; 0 before the first.
    pub fn index_version(&self) -> u64 {
        self.index.as_ref().map_or(0, |index| index.version)
    }

    /// Whether the index lacks something.
    pub fn is_behind(&self) -> bool {
        self.content_version > self.index.as_ref().map_or(0, |index| index.content_version)
    }

    /// Whether no source waits for its first reading: what the agent began with is read, or was tried in vain.
    pub fn is_settled(&self) -> bool {
        let queued = |source: &SourceId| self.queue.iter().any(|(waiting, _)| waiting == source);
        self.sources.iter().all(|(id, source)| {
            let read = source.synced_ms.is_some() || (source.run.is_none() && !queued(id));
            read && source.waits_for.is_none()
        })
    }

    /// How many pages a source may have: its own limit, within what the plan leaves.
    pub fn page_limit(&self, id: &SourceId) -> u32 {
        let others: usize =
            self.sources.iter().filter(|(other, _)| *other != id).map(|(_, other)| other.pages.len()).sum();
        let left = self.max_pages.unwrap_or(PAGES_MAX).min(PAGES_MAX);
        let left = left.saturating_sub(u32::try_from(others).unwrap_or(u32::MAX));
        let own = self.sources.get(id).and_then(|source| source.spec.limit).unwrap_or(PAGE_LIMIT_DEFAULT);
        own.min(left)
    }
}
