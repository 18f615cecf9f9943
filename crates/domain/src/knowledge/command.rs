//! What may be asked of an agent's knowledge, and what it answers.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    state::{Blob, Index},
    view::{FaqView, KnowledgeView, Manifest, PageView, ScrapeView, SourceView, UnansweredRef},
};
use crate::{
    catalog::template::SampleFaq,
    ids::{AgentId, ConversationId, FaqId, SourceId},
    vocabulary::{SourceType, SyncFrequency},
};

/// A source about to be added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewSource {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: SourceType,
    /// Its name; made from the address or file without one.
    #[serde(default)]
    pub name: String,
    /// Where it is, for sites and sitemaps.
    #[serde(default)]
    pub url: Option<String>,
    /// The stored document or text, for everything else.
    #[serde(default)]
    pub content: Option<Blob>,
    /// Whether it is read again by itself.
    #[serde(default)]
    pub auto_sync: bool,
    /// How often.
    #[serde(default)]
    pub sync_frequency: Option<SyncFrequency>,
    /// The most pages to read.
    #[serde(default)]
    pub limit: Option<u32>,
    /// The caller's own notes.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

/// What became of one page of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum PageOutcome {
    /// Read and stored.
    Done {
        /// Its address.
        url: String,
        /// Its title.
        title: String,
        /// Hash of its text.
        hash: String,
        /// Characters of its text.
        chars: u64,
        /// Chunks it was cut into.
        chunks: u32,
        /// Where text, chunks and vectors are stored.
        blob: String,
    },
    /// Read; its text is the known one.
    Unchanged {
        /// Its address.
        url: String,
    },
    /// Could not be read.
    Failed {
        /// Its address.
        url: String,
        /// Why, for people.
        reason: String,
        /// Whether it is gone for good (404, 410, no longer allowed): what was known of it goes too.
        #[serde(default)]
        gone: bool,
    },
}

impl PageOutcome {
    /// The page's address.
    pub fn url(&self) -> &str {
        match self {
            Self::Done { url, .. } | Self::Unchanged { url } | Self::Failed { url, .. } => url,
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum RunOutcome {
    /// All pages that exist were visited: pages not seen any more go.
    Complete,
    /// It stopped early: pages not seen stay.
    Partial {
        /// Why, for people, such as "stopped at 100 pages".
        reason: String,
    },
    /// Nothing could be read.
    Failed {
        /// Why, for people.
        reason: String,
    },
}

/// A question that a generation found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneratedFaq {
    /// The question.
    pub question: String,
    /// The answer.
    pub answer: String,
    /// A heading.
    #[serde(default)]
    pub category: String,
    /// The page it comes from.
    #[serde(default)]
    pub source_url: Option<String>,
}

/// What may be asked of an agent's knowledge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// Begins an agent's knowledge. Repeating it succeeds.
    Setup {
        /// The agent, or `platform` for the system-wide base.
        agent: AgentId,
        /// A website to read at once.
        website_url: Option<String>,
        /// Questions it begins with; variables in double braces stay and are filled when answering.
        faqs: Vec<SampleFaq>,
        /// The most pages in all; none without limit.
        max_pages: Option<u32>,
    },
    /// Deletes everything.
    Delete,
    /// The plan's limit changed.
    SetLimits {
        /// The most pages in all; none without limit.
        max_pages: Option<u32>,
    },
    /// Adds a source and reads it.
    AddSource {
        /// It.
        new: NewSource,
    },
    /// Reads a website: a source of that address again, or a new one.
    Scrape {
        /// The address.
        url: String,
        /// The most pages to read.
        #[serde(default)]
        limit: Option<u32>,
    },
    /// Changes a source by a merge patch (`name`, `url`, `auto_sync`, `sync_frequency`, `limit`, `metadata`); another address or content is read at once.
    UpdateSource {
        /// Which.
        source: SourceId,
        /// The patch.
        patch: Value,
        /// New content, for documents and texts.
        #[serde(default)]
        content: Option<Blob>,
        /// The version it was made from; one that is not the newest is refused.
        #[serde(default)]
        if_version: Option<u64>,
    },
    /// Removes a source with all its pages.
    RemoveSource {
        /// Which.
        source: SourceId,
    },
    /// Reads a source again, or all of them, and indexes anew.
    Retrain {
        /// Which; all without one.
        #[serde(default)]
        source: Option<SourceId>,
    },
    /// Reads again what is due by its schedule.
    SyncDue,
    /// What a run needs to know (query by its effect).
    RunPlan {
        /// The source.
        source: SourceId,
        /// The run.
        run: String,
    },
    /// A run's task is at work.
    RunBegan {
        /// The source.
        source: SourceId,
        /// The run.
        run: String,
        /// The try.
        attempt: u32,
    },
    /// Pages of a run, at most 200 at once. Refused with `LimitReached` beyond the page limit: the task then ends the run as partial.
    RunProgress {
        /// The source.
        source: SourceId,
        /// The run.
        run: String,
        /// The try.
        attempt: u32,
        /// Addresses found so far.
        found: u32,
        /// What became of some.
        pages: Vec<PageOutcome>,
    },
    /// A run ended.
    RunFinished {
        /// The source.
        source: SourceId,
        /// The run.
        run: String,
        /// The try.
        attempt: u32,
        /// How.
        outcome: RunOutcome,
    },
    /// What the next index consists of (query by its effect).
    Manifest,
    /// The index that answers (query by nodes that serve it).
    Index,
    /// An index was built from a manifest.
    IndexBuilt {
        /// The try.
        attempt: u32,
        /// It; `built_ms` is set here.
        index: Index,
    },
    /// An index could not be built.
    IndexFailed {
        /// Its version.
        version: u64,
        /// The try.
        attempt: u32,
        /// Why, for people.
        reason: String,
    },
    /// Adds a question with its answer.
    AddFaq {
        /// The question.
        question: String,
        /// The answer.
        answer: String,
        /// A heading.
        #[serde(default)]
        category: String,
        /// Higher ones win between equals.
        #[serde(default)]
        priority: i32,
    },
    /// Changes a question by a merge patch (`question`, `answer`, `category`, `priority`, `status`).
    UpdateFaq {
        /// Which.
        faq: FaqId,
        /// The patch.
        patch: Value,
        /// The version it was made from; one that is not the newest is refused.
        #[serde(default)]
        if_version: Option<u64>,
    },
    /// Removes a question.
    RemoveFaq {
        /// Which.
        faq: FaqId,
    },
    /// Looks for questions that the pages answer; they wait to be accepted.
    GenerateFaqs,
    /// Questions were found.
    FaqsGenerated {
        /// The generation.
        run: String,
        /// The try.
        attempt: u32,
        /// Them.
        faqs: Vec<GeneratedFaq>,
    },
    /// No questions could be looked for.
    GenerationFailed {
        /// The generation.
        run: String,
        /// The try.
        attempt: u32,
        /// Why, for people.
        reason: String,
    },
    /// What stored things are named or being written (query).
    Stored,
    /// What nothing names any more was deleted.
    Swept {
        /// The event up to which.
        mark: u64,
    },
    /// A visitor's question got the fallback message.
    NoteUnanswered {
        /// The question. It is not journaled.
        question: String,
        /// Where it was asked.
        conversation: ConversationId,
        /// The conversation's event that says so.
        #[serde(default)]
        seq: u64,
    },
    /// Turns an unanswered question into one with an answer.
    AnswerUnanswered {
        /// Its key.
        key: String,
        /// The question as it shall stand.
        question: String,
        /// The answer.
        answer: String,
        /// A heading.
        #[serde(default)]
        category: String,
    },
    /// Drops an unanswered question.
    DismissUnanswered {
        /// Its key.
        key: String,
    },
    /// A conversation was erased: its words go.
    ForgetConversation {
        /// Which.
        conversation: ConversationId,
    },
    /// Sources (query).
    Sources,
    /// One source (query).
    Source {
        /// Which.
        source: SourceId,
    },
    /// Pages of a source (query).
    Pages {
        /// Which.
        source: SourceId,
    },
    /// How far reading is (query).
    ScrapeStatus {
        /// Which source; the last one asked for without one.
        #[serde(default)]
        source: Option<SourceId>,
    },
    /// Questions with answers (query).
    Faqs,
    /// Unanswered questions without their words, the most frequent first (query).
    Unanswered,
    /// Totals and the index (query).
    View,
    /// A deadline or a schedule came.
    Tick,
    /// Tasks were lost: what is under way begins again.
    Recovered,
}

/// What an agent's knowledge answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Done.
    Done,
    /// One source.
    Source {
        /// It.
        source: Box<SourceView>,
    },
    /// Sources.
    Sources {
        /// Them.
        items: Vec<SourceView>,
    },
    /// Runs were queued for these sources.
    Queued {
        /// Them.
        sources: Vec<SourceId>,
    },
    /// Pages.
    Pages {
        /// Them.
        items: Vec<PageView>,
    },
    /// How far reading is.
    Scrape(Box<ScrapeView>),
    /// What a run needs.
    Plan {
        /// It.
        plan: Box<RunPlan>,
    },
    /// What the next index consists of.
    Manifest(Box<Manifest>),
    /// What stored things are named or being written.
    Stored(Box<Stored>),
    /// One question.
    Faq(FaqView),
    /// Questions.
    Faqs {
        /// Them.
        items: Vec<FaqView>,
    },
    /// Unanswered questions.
    Unanswered {
        /// Them.
        items: Vec<UnansweredRef>,
    },
    /// The index that answers.
    Index {
        /// It; none before the first.
        index: Option<Index>,
    },
    /// Totals and the index.
    View(Box<KnowledgeView>),
}

/// What stored things an agent's knowledge names at a moment. What is none of it may be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Pages, and the index that answers.
    pub named: BTreeSet<String>,
    /// Runs under way: what they stored is named once they tell of it.
    pub runs: BTreeSet<String>,
    /// The version that answers: nodes may still be loading the one before.
    pub index_version: u64,
    /// Uploads that were named before: no source waits for them.
    pub dropped: BTreeSet<String>,
    /// Nothing is named any more and nothing will be.
    pub deleted: bool,
}

/// What a run's task needs to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunPlan {
    /// What the source is.
    #[serde(rename = "type")]
    pub kind: SourceType,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub url: Option<String>,
    /// The stored document or text.
    pub content: Option<Blob>,
    /// The try this plan is for.
    pub attempt: u32,
    /// The most pages to read.
    pub page_limit: u32,
    /// Hashes of known texts by address; a page whose hash is the same is reported as unchanged. Empty for a retraining.
    pub known: BTreeMap<String, String>,
}

/// Work outside the core. Each is repeatable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Effect {
    /// Read a source: site, sitemap, document or text. Ask [`Command::RunPlan`], report [`Command::RunProgress`], end with [`Command::RunFinished`].
    Crawl {
        /// The source.
        source: SourceId,
        /// The run.
        run: String,
        /// The try.
        attempt: u32,
    },
    /// Build the next index from [`Command::Manifest`].
    BuildIndex {
        /// Its version.
        version: u64,
        /// The try.
        attempt: u32,
    },
    /// Delete stored things that [`Command::Stored`] does not name, tell [`Command::Swept`].
    Sweep {
        /// The event up to which.
        mark: u64,
    },
    /// Look for questions that the pages answer.
    GenerateFaqs {
        /// The generation.
        run: String,
        /// The try.
        attempt: u32,
    },
}
