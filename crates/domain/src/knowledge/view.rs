//! An agent's knowledge as the API shows it, and what its tasks read.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::state::{Asked, Faq, FaqStatus, Knowledge, Source, Unanswered};
use crate::{
    ids::{AgentId, FaqId, SourceId},
    local_time::rfc3339,
    vocabulary::{ScrapeStatus, SourceType, SyncFrequency},
};

/// One of `GET /api/agents/:id/sources` (KB-1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceView {
    /// Which.
    pub id: SourceId,
    /// Which.
    pub source_id: SourceId,
    /// The agent.
    pub agent_id: AgentId,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: SourceType,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub url: Option<String>,
    /// Where the document or text is stored.
    pub file_path: Option<String>,
    /// How far it is.
    pub status: ScrapeStatus,
    /// Pages it has.
    pub page_count: usize,
    /// Characters of their texts.
    pub char_count: u64,
    /// Chunks of their texts.
    pub chunk_count: u64,
    /// Why it failed.
    pub error_message: Option<String>,
    /// What to know about the last reading.
    pub note: Option<String>,
    /// When it was last read, RFC 3339.
    pub last_synced_at: Option<String>,
    /// When it is read again by itself, RFC 3339.
    pub next_sync_at: Option<String>,
    /// Whether it is read again by itself.
    pub auto_sync: bool,
    /// How often.
    pub sync_frequency: SyncFrequency,
    /// The most pages to read.
    pub limit: Option<u32>,
    /// The caller's own notes.
    pub metadata: Map<String, Value>,
    /// When it was added, RFC 3339.
    pub created_at: String,
    /// When its settings last changed, RFC 3339.
    pub updated_at: String,
    /// Rises with each change by a person: send it as `If-Match` with the next one.
    pub version: u64,
}

/// `GET /api/agents/:id/scrape/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrapeView {
    /// The source.
    pub source_id: SourceId,
    /// How far; `completed` only once the new index answers.
    pub status: ScrapeStatus,
    /// Addresses found.
    pub pages_found: u32,
    /// Pages read.
    pub pages_done: u32,
    /// Pages that failed.
    pub pages_failed: u32,
    /// Chunks of all pages read.
    pub chunks: u64,
    /// When reading began, RFC 3339.
    pub started_at: Option<String>,
    /// When it ended, RFC 3339.
    pub finished_at: Option<String>,
    /// Why it failed, or what to know.
    pub error: Option<String>,
    /// The index that answers now.
    pub index_version: u64,
    /// Pages, failed ones with their reason.
    pub pages: Vec<ScrapedPage>,
}

/// How one page fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageStatus {
    /// Read.
    Done,
    /// Read; its text is the known one.
    Unchanged,
    /// Not read.
    Failed,
}

/// A page in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrapedPage {
    /// Its address.
    pub url: String,
    /// Its title.
    pub title: String,
    /// How it fared.
    pub status: PageStatus,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One of `GET …/sources/:sid/pages`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageView {
    /// Its address.
    pub url: String,
    /// Its title.
    pub title: String,
    /// Hash of its text.
    pub content_hash: String,
    /// Characters of its text.
    pub char_count: u64,
    /// Chunks of its text.
    pub chunk_count: u32,
    /// Where text, chunks and vectors are stored.
    pub blob: String,
    /// When it was last found changed, RFC 3339.
    pub updated_at: String,
}

/// One of `GET …/faqs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaqView {
    /// Which.
    pub id: FaqId,
    /// The question.
    pub question: String,
    /// The answer.
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
    /// When it was added, RFC 3339.
    pub created_at: String,
    /// When it last changed, RFC 3339.
    pub updated_at: String,
    /// Rises with each change by a person: send it as `If-Match` with the next one.
    pub version: u64,
}

/// One unanswered question, as its agent's knowledge keeps it: where it was asked, without its words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnansweredRef {
    /// What it is answered by.
    pub key: String,
    /// How often.
    pub count: u64,
    /// When first.
    pub first_ms: i64,
    /// When last.
    pub last_ms: i64,
    /// Where, the newest last.
    pub asked: Vec<Asked>,
}

/// One of `GET /api/analytics/unanswered`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnansweredView {
    /// What it is answered by.
    pub key: String,
    /// The agent.
    pub agent_id: AgentId,
    /// As it was last asked.
    pub question: String,
    /// How often.
    pub count: u64,
    /// When first, RFC 3339.
    pub first_asked_at: String,
    /// When last, RFC 3339.
    pub last_asked_at: String,
}

/// Totals of an agent's knowledge, and the line its live topic shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnowledgeView {
    /// The agent.
    pub agent_id: AgentId,
    /// Sources.
    pub sources: usize,
    /// Sources being read or waiting for it.
    pub reading: usize,
    /// Pages in all.
    pub pages: usize,
    /// Addresses found by readings under way.
    pub pages_found: u32,
    /// Pages read by readings under way.
    pub pages_done: u32,
    /// Pages failed in readings under way.
    pub pages_failed: u32,
    /// The most pages in all; none without limit.
    pub max_pages: Option<u32>,
    /// Questions that answer.
    pub faqs: usize,
    /// Questions waiting to be accepted.
    pub faqs_pending: usize,
    /// Whether questions are being looked for.
    pub generating_faqs: bool,
    /// Why the last search for questions failed.
    pub generation_error: Option<String>,
    /// Different unanswered questions.
    pub unanswered: usize,
    /// The index that answers; 0 before the first.
    pub index_version: u64,
    /// Chunks in it.
    pub chunks: u32,
    /// What embedded it.
    pub embedder: Option<String>,
    /// When it began to answer, RFC 3339.
    pub indexed_at: Option<String>,
    /// Whether the next index is being built.
    pub indexing: bool,
    /// Why the next index could not be built.
    pub index_error: Option<String>,
}

/// What the next index consists of: exactly this content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version the index will have.
    pub version: u64,
    /// To be repeated in `IndexBuilt`.
    pub content_version: u64,
    /// All pages.
    pub pages: Vec<ManifestPage>,
    /// All accepted questions, the most important first.
    pub faqs: Vec<ManifestFaq>,
}

/// A page of an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestPage {
    /// Its source.
    pub source: SourceId,
    /// Its address as the run reported it.
    pub url: String,
    /// Its title.
    pub title: String,
    /// Where text, chunks and vectors are stored.
    pub blob: String,
    /// Chunks in it.
    pub chunks: u32,
}

/// A question of an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFaq {
    /// Which.
    pub id: FaqId,
    /// The question.
    pub question: String,
    /// The answer; variables in double braces are filled when answering.
    pub answer: String,
    /// A heading.
    pub category: String,
    /// Its priority.
    pub priority: i32,
}

/// All sources, in the order they were added.
pub fn sources(state: &Knowledge) -> Vec<SourceView> {
    state.sources.keys().filter_map(|id| source(state, id)).collect()
}

/// One source.
pub fn source(state: &Knowledge, id: &SourceId) -> Option<SourceView> {
    let source = state.sources.get(id)?;
    let spec = &source.spec;
    Some(SourceView {
        id: id.clone(),
        source_id: id.clone(),
        agent_id: state.agent.clone(),
        kind: spec.kind,
        name: spec.name.clone(),
        url: spec.url.clone(),
        file_path: spec.content.as_ref().map(|content| content.path.clone()),
        status: source.status,
        page_count: source.pages.len(),
        char_count: source.chars(),
        chunk_count: source.chunks(),
        error_message: source.error.clone(),
        note: source.note.clone(),
        last_synced_at: source.synced_ms.map(rfc3339),
        next_sync_at: source.next_sync_ms.map(rfc3339),
        auto_sync: spec.auto_sync,
        sync_frequency: spec.sync_frequency.unwrap_or(SyncFrequency::Weekly),
        limit: spec.limit,
        metadata: spec.metadata.clone(),
        created_at: rfc3339(source.created_ms),
        updated_at: rfc3339(source.updated_ms),
        version: source.version,
    })
}

/// How far reading a source is; the one that was read or asked for last without an id.
pub fn scrape(state: &Knowledge, id: Option<&SourceId>) -> Option<ScrapeView> {
    let (id, source) = match id {
        Some(id) => state.sources.get_key_value(id)?,
        None => state.sources.iter().max_by_key(|(_, source)| {
            let run = source.run.as_ref().map(|run| run.started_ms);
            let last = source.last.as_ref().map(|last| last.started_ms);
            run.or(last).unwrap_or(source.created_ms).max(source.created_ms)
        })?,
    };
    let mut view = ScrapeView {
        source_id: id.clone(),
        status: source.status,
        pages_found: 0,
        pages_done: 0,
        pages_failed: 0,
        chunks: source.chunks(),
        started_at: None,
        finished_at: None,
        error: source.error.clone().or_else(|| source.note.clone()),
        index_version: state.index_version(),
        pages: Vec::new(),
    };
    match (&source.run, &source.last) {
        (Some(run), _) => {
            view.pages_done = run.done();
            view.pages_failed = run.failures();
            view.pages_found = run.found.max(run.done().saturating_add(run.failures()));
            view.started_at = Some(rfc3339(run.started_ms));
            let read = run.pages.values().flatten();
            view.chunks = read.map(|page| u64::from(page.chunks)).sum();
            view.pages = running_pages(source);
        }
        (None, Some(last)) => {
            view.pages_done = last.done;
            view.pages_failed = last.failed;
            view.pages_found = last.found;
            view.started_at = Some(rfc3339(last.started_ms));
            view.finished_at = last.finished_ms.map(rfc3339);
            let read = source.pages.iter().filter(|(url, _)| !last.errors.contains_key(*url));
            view.pages = read.map(|(url, page)| read_page(url, &page.title, PageStatus::Done)).collect();
            view.pages.extend(last.errors.iter().map(|(url, reason)| failed_page(source, url, reason)));
        }
        (None, None) => {}
    }
    Some(view)
}

/// Pages of a source.
pub fn pages(state: &Knowledge, id: &SourceId) -> Option<Vec<PageView>> {
    let source = state.sources.get(id)?;
    let pages = source.pages.iter().map(|(url, page)| PageView {
        url: url.clone(),
        title: page.title.clone(),
        content_hash: page.hash.clone(),
        char_count: page.chars,
        chunk_count: page.chunks,
        blob: page.blob.clone(),
        updated_at: rfc3339(page.updated_ms),
    });
    Some(pages.collect())
}

/// All questions: waiting ones first, then by importance.
pub fn faqs(state: &Knowledge) -> Vec<FaqView> {
    let mut all: Vec<FaqView> = state.faqs.iter().map(|(id, one)| faq(id, one)).collect();
    all.sort_by_key(|faq| (faq.status == FaqStatus::Accepted, std::cmp::Reverse(faq.priority), faq.id.clone()));
    all
}

/// One question.
pub fn faq(id: &FaqId, faq: &Faq) -> FaqView {
    FaqView {
        id: id.clone(),
        question: faq.question.clone(),
        answer: faq.answer.clone(),
        category: faq.category.clone(),
        priority: faq.priority,
        is_auto: faq.is_auto,
        status: faq.status,
        source_url: faq.source_url.clone(),
        created_at: rfc3339(faq.created_ms),
        updated_at: rfc3339(faq.updated_ms),
        version: faq.version,
    }
}

/// Unanswered questions, the most frequent first.
pub fn unanswered(state: &Knowledge) -> Vec<UnansweredRef> {
    let mut all: Vec<(&String, &Unanswered)> = state.unanswered.iter().collect();
    all.sort_by_key(|(_, entry)| std::cmp::Reverse((entry.count, entry.last_ms)));
    all.into_iter()
        .map(|(key, entry)| UnansweredRef {
            key: key.clone(),
            count: entry.count,
            first_ms: entry.first_ms,
            last_ms: entry.last_ms,
            asked: entry.asked.clone(),
        })
        .collect()
}

impl UnansweredRef {
    /// With the words it was last asked in.
    pub fn shown(&self, agent: &AgentId, question: String) -> UnansweredView {
        UnansweredView {
            key: self.key.clone(),
            agent_id: agent.clone(),
            question,
            count: self.count,
            first_asked_at: rfc3339(self.first_ms),
            last_asked_at: rfc3339(self.last_ms),
        }
    }
}

/// Totals and the index.
pub fn knowledge(state: &Knowledge) -> KnowledgeView {
    let runs = || state.sources.values().filter_map(|source| source.run.as_ref());
    let accepted = state.faqs.values().filter(|faq| faq.status == FaqStatus::Accepted).count();
    let reading = state.sources.values().filter(|source| source.run.is_some()).count() + state.queue.len();
    KnowledgeView {
        agent_id: state.agent.clone(),
        sources: state.sources.len(),
        reading,
        pages: state.sources.values().map(|source| source.pages.len()).sum(),
        pages_found: runs().map(|run| run.found.max(run.done().saturating_add(run.failures()))).sum(),
        pages_done: runs().map(super::Run::done).sum(),
        pages_failed: runs().map(super::Run::failures).sum(),
        max_pages: state.max_pages,
        faqs: accepted,
        faqs_pending: state.faqs.len() - accepted,
        generating_faqs: state.generation.is_some(),
        generation_error: state.generation_error.clone(),
        unanswered: state.unanswered.len(),
        index_version: state.index_version(),
        chunks: state.index.as_ref().map_or(0, |index| index.chunks),
        embedder: state.index.as_ref().map(|index| index.embedder.clone()),
        indexed_at: state.index.as_ref().map(|index| rfc3339(index.built_ms)),
        indexing: state.build.is_some(),
        index_error: state.build_error.clone(),
    }
}

/// What the next index consists of.
pub fn manifest(state: &Knowledge) -> Manifest {
    let pages = state.sources.iter().flat_map(|(id, source)| {
        source.pages.iter().map(|(url, page)| ManifestPage {
            source: id.clone(),
            url: url.clone(),
            title: page.title.clone(),
            blob: page.blob.clone(),
            chunks: page.chunks,
        })
    });
    let accepted = state.faqs.iter().filter(|(_, faq)| faq.status == FaqStatus::Accepted);
    let mut faqs: Vec<ManifestFaq> = accepted
        .map(|(id, faq)| ManifestFaq {
            id: id.clone(),
            question: faq.question.clone(),
            answer: faq.answer.clone(),
            category: faq.category.clone(),
            priority: faq.priority,
        })
        .collect();
    faqs.sort_by_key(|faq| (std::cmp::Reverse(faq.priority), faq.id.clone()));
    Manifest {
        version: state.index_version() + 1,
        content_version: state.content_version,
        pages: pages.collect(),
        faqs,
    }
}

/// The line an agent's live topic shows; none for what is gone.
pub fn list_row(state: &Knowledge) -> Option<KnowledgeView> {
    state.exists().then(|| knowledge(state))
}

fn running_pages(source: &Source) -> Vec<ScrapedPage> {
    let Some(run) = &source.run else { return Vec::new() };
    let mut pages: Vec<ScrapedPage> = Vec::with_capacity(run.pages.len() + run.failed.len());
    for (url, read) in &run.pages {
        match read {
            Some(page) => pages.push(read_page(url, &page.title, PageStatus::Done)),
            None => {
                let title = source.pages.get(url).map_or("", |page| page.title.as_str());
                pages.push(read_page(url, title, PageStatus::Unchanged));
            }
        }
    }
    pages.extend(run.failed.iter().map(|(url, (reason, _))| failed_page(source, url, reason)));
    pages
}

fn read_page(url: &str, title: &str, status: PageStatus) -> ScrapedPage {
    ScrapedPage { url: url.to_owned(), title: title.to_owned(), status, error: None }
}

fn failed_page(source: &Source, url: &str, reason: &str) -> ScrapedPage {
    let title = source.pages.get(url).map_or_else(String::new, |page| page.title.clone());
    ScrapedPage { url: url.to_owned(), title, status: PageStatus::Failed, error: Some(reason.to_owned()) }
}
