//! Reads one source: a site, a site map, a document or a text. Pages are stored as they come; the entity is told in batches.

use std::time::{Duration, Instant};

use bytes::Bytes;
use colloquy_cluster::effect::EffectHandle;
use colloquy_domain::Rejection;
use colloquy_domain::ids::SourceId;
use colloquy_domain::knowledge::{Command, PageOutcome, Reply, RunOutcome, RunPlan};
use colloquy_domain::text::counted;
use colloquy_domain::vocabulary::SourceType;
use colloquy_knowledge::crawl::{CrawlEvent, CrawlJob, Mode, Reason, Stop, Summary};
use colloquy_knowledge::extract::{self, Document, Kind};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::pages::{self, StoredPage};
use super::{command, report};
use crate::{ActorError, Tools};

/// Pages that may wait to be embedded while the crawl goes on.
const WAITING_PAGES: usize = 16;
/// Outcomes told at once: few enough that a board moves, many enough that a journal does not fill with single pages.
const BATCH: usize = 20;
/// What is known is told at least this often.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// Runs one try of a run until its end is told, or it is cancelled.
pub(super) async fn run(tools: &Tools, handle: &EffectHandle, source: SourceId, run: String, attempt: u32) {
    let cancel = CancellationToken::new();
    tokio::select! {
        outcome = read(tools, handle, &source, &run, attempt, &cancel) => {
            let Some(outcome) = outcome else { return };
            let label = match &outcome {
                RunOutcome::Complete => "complete",
                RunOutcome::Partial { .. } => "partial",
                RunOutcome::Failed { .. } => "failed",
            };
            metrics::counter!(crate::telemetry::CRAWLS, "outcome" => label).increment(1);
            report(handle, Command::RunFinished { source, run, attempt, outcome }).await;
        }
        () = handle.cancelled() => cancel.cancel(),
    }
}

/// `None`: a newer try has the run.
async fn read(
    tools: &Tools,
    handle: &EffectHandle,
    source: &SourceId,
    run: &str,
    attempt: u32,
    cancel: &CancellationToken,
) -> Option<RunOutcome> {
    let _turn = tools.knowledge.crawls.acquire().await.ok()?;
    let began = Command::RunBegan { source: source.clone(), run: run.to_owned(), attempt };
    command(handle, began).await.ok()?;
    let plan = match command(handle, Command::RunPlan { source: source.clone(), run: run.to_owned() }).await {
        Ok(Reply::Plan { plan }) => *plan,
        Ok(_) | Err(ActorError::Rejected(_)) => return None,
        Err(error) => return Some(RunOutcome::Failed { reason: error.to_string() }),
    };
    let mut teller = Teller { handle, source, run, attempt, found: 0, waiting: Vec::new(), told_at: Instant::now() };
    Some(match plan.kind {
        SourceType::WebsiteScrape => crawl(tools, handle, &mut teller, plan, Mode::Website, cancel).await,
        SourceType::Sitemap => crawl(tools, handle, &mut teller, plan, Mode::Sitemap, cancel).await,
        SourceType::FileUpload | SourceType::ManualText => document(tools, handle, &mut teller, plan).await,
        SourceType::Faq | SourceType::Youtube => {
            RunOutcome::Failed { reason: "Sources of this type cannot be read.".into() }
        }
    })
}

async fn crawl(
    tools: &Tools,
    handle: &EffectHandle,
    teller: &mut Teller<'_>,
    plan: RunPlan,
    mode: Mode,
    cancel: &CancellationToken,
) -> RunOutcome {
    let Some(start) = plan.url.clone() else {
        return RunOutcome::Failed { reason: "The source has no address.".into() };
    };
    let mut limits = tools.knowledge.limits.clone();
    limits.max_pages = limits.max_pages.min(plan.page_limit as usize);
    let job = CrawlJob { start, mode, limits, known: plan.known.into_iter().collect() };
    let (sink, mut events) = mpsc::channel(WAITING_PAGES);
    let crawling = tools.knowledge.crawler.crawl(job, cancel.clone(), sink);
    let taking = async {
        let mut last_reason = None;
        while let Some(event) = events.recv().await {
            if let Err(stop) = take(tools, handle, teller, event, &mut last_reason).await {
                cancel.cancel();
                return (Some(stop), last_reason);
            }
        }
        (teller.tell().await.err(), last_reason)
    };
    let (summary, (stopped, last_reason)) = tokio::join!(crawling, taking);
    if let Some(stop) = stopped {
        return stop;
    }
    match summary {
        Ok(summary) => ended(&summary, last_reason),
        Err(error) => RunOutcome::Failed { reason: error.to_string() },
    }
}

fn ended(summary: &Summary, last_reason: Option<String>) -> RunOutcome {
    let read = summary.changed + summary.unchanged;
    if read == 0 {
        let reason = last_reason.unwrap_or_else(|| "No page with text was found at this address.".into());
        return RunOutcome::Failed { reason };
    }
    match summary.stop {
        Stop::Finished => RunOutcome::Complete,
        Stop::PageLimit => {
            RunOutcome::Partial { reason: format!("Stopped at the limit of {}.", counted(read, "page")) }
        }
        Stop::ByteLimit => RunOutcome::Partial { reason: format!("Stopped after {} MB.", summary.bytes >> 20) },
        Stop::TimeLimit => {
            RunOutcome::Partial { reason: format!("Stopped after the allowed time, with {}.", counted(read, "page")) }
        }
        Stop::Cancelled | Stop::SinkClosed => {
            RunOutcome::Partial { reason: format!("Stopped early, with {}.", counted(read, "page")) }
        }
    }
}

/// Takes one event of the crawl. An error is how the run ends.
async fn take(
    tools: &Tools,
    handle: &EffectHandle,
    teller: &mut Teller<'_>,
    event: CrawlEvent,
    last_reason: &mut Option<String>,
) -> Result<(), RunOutcome> {
    match event {
        CrawlEvent::SiteMoved { .. } | CrawlEvent::PageFound { .. } => Ok(()),
        CrawlEvent::PageDone(page) => {
            let page_of = PageOf { run: teller.run, address: &page.url, shown: &page.url };
            let outcome = store(tools, handle, page_of, page.document, &page.content_hash).await?;
            teller.add(outcome).await
        }
        CrawlEvent::PageUnchanged { url, .. } => teller.add(PageOutcome::Unchanged { url }).await,
        CrawlEvent::PageSkipped { .. } => Ok(()), // Left out on purpose: the page it repeats is there.
        CrawlEvent::PageFailed { url, reason } => {
            let gone = matches!(reason, Reason::RobotsDisallow | Reason::Status { status: 404 | 410 });
            let reason = reason.to_string();
            *last_reason = Some(reason.clone());
            teller.add(PageOutcome::Failed { url, reason, gone }).await
        }
        CrawlEvent::Progress { found, .. } => {
            teller.found = u32::try_from(found).unwrap_or(u32::MAX);
            teller.tell_if_due().await
        }
    }
}

async fn document(tools: &Tools, handle: &EffectHandle, teller: &mut Teller<'_>, plan: RunPlan) -> RunOutcome {
    let Some(content) = plan.content else { return RunOutcome::Failed { reason: "The source has no content.".into() } };
    let bytes = match handle.client().get_blob(handle.key(), &content.path).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return RunOutcome::Failed { reason: "The stored document is missing: upload it again.".into() },
        Err(error) => return RunOutcome::Failed { reason: error.to_string() },
    };
    let name = if content.file_name.is_empty() { plan.name.clone() } else { content.file_name.clone() };
    let read = match plan.kind {
        SourceType::ManualText => extract::markdown(&bytes, Some("text/markdown; charset=utf-8")),
        SourceType::FileUpload
        | SourceType::WebsiteScrape
        | SourceType::Sitemap
        | SourceType::Faq
        | SourceType::Youtube => upload(tools, &name, &content.media_type, bytes).await,
    };
    let mut document = match read {
        Ok(document) => document,
        Err(error) => return RunOutcome::Failed { reason: error.to_string() },
    };
    if document.title.is_empty() {
        document.title.clone_from(&plan.name);
    }
    // A document has no address of its own: its page is named after the source.
    let address = format!("{}:{}", teller.source, name);
    let hash = document.content_hash();
    teller.found = 1;
    let page_of = PageOf { run: teller.run, address: &address, shown: "" };
    let outcome = match store(tools, handle, page_of, document, &hash).await {
        Ok(outcome) => outcome,
        Err(ended) => return ended,
    };
    if let Err(ended) = teller.add(outcome).await {
        return ended;
    }
    match teller.tell().await {
        Ok(()) => RunOutcome::Complete,
        Err(ended) => ended,
    }
}

async fn upload(tools: &Tools, name: &str, media_type: &str, bytes: Bytes) -> colloquy_knowledge::Result<Document> {
    let media_type = Some(media_type).filter(|text| !text.is_empty());
    match Kind::of(name, &bytes) {
        Some(Kind::Pdf) => extract::pdf::extract_via(&tools.knowledge.pdf_reader, &bytes).await,
        Some(Kind::Docx) => blocking(move || extract::docx(&bytes)).await,
        Some(Kind::Html) => {
            let content_type = media_type.map(str::to_owned);
            blocking(move || {
                // Links of an uploaded page lead nowhere: it only needs some base to be read against.
                let base = Url::parse("https://upload.invalid/").map_err(|error| unreadable(&error))?;
                extract::html(&bytes, content_type.as_deref(), &base)
            })
            .await
        }
        Some(Kind::Markdown) => extract::markdown(&bytes, media_type),
        Some(Kind::Text) | None => extract::text(&bytes, media_type),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> colloquy_knowledge::Result<T> + Send + 'static,
) -> colloquy_knowledge::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(unreadable(&error)),
    }
}

fn unreadable(error: &dyn std::error::Error) -> colloquy_knowledge::Error {
    colloquy_knowledge::Error::Malformed { kind: "uploaded", reason: error.to_string() }
}

/// Whose page it is.
struct PageOf<'a> {
    run: &'a str,
    /// What it is known as.
    address: &'a str,
    /// What answers name as their source.
    shown: &'a str,
}

/// Cuts, embeds and stores a page. What cannot be stored ends the run.
async fn store(
    tools: &Tools,
    handle: &EffectHandle,
    page: PageOf<'_>,
    document: Document,
    hash: &str,
) -> Result<PageOutcome, RunOutcome> {
    let PageOf { run, address, shown } = page;
    let path = pages::path(handle.key(), run, address, hash, tools.knowledge.embedder_id());
    let failed = |reason: String| RunOutcome::Failed { reason };
    let (title, chars) = (document.title.clone(), document.markdown.chars().count() as u64);
    let begun = Instant::now();
    let page = StoredPage::make(shown, document, tools.knowledge.embedder.as_deref())
        .await
        .map_err(|error| failed(format!("The text could not be embedded: {error}")))?;
    metrics::histogram!(crate::telemetry::EMBED_PAGE_SECONDS).record(begun.elapsed());
    let chunks = u32::try_from(page.head.chunks.len()).unwrap_or(u32::MAX);
    handle
        .client()
        .put_blob(handle.key(), &path, &page.to_bytes())
        .await
        .map_err(|error| failed(format!("A page could not be stored: {error}")))?;
    Ok(PageOutcome::Done { url: address.to_owned(), title, hash: hash.to_owned(), chars, chunks, blob: path })
}

/// Tells the entity what became of pages, in batches.
struct Teller<'a> {
    handle: &'a EffectHandle,
    source: &'a SourceId,
    run: &'a str,
    attempt: u32,
    found: u32,
    waiting: Vec<PageOutcome>,
    told_at: Instant,
}

impl Teller<'_> {
    async fn add(&mut self, outcome: PageOutcome) -> Result<(), RunOutcome> {
        self.waiting.push(outcome);
        if self.waiting.len() >= BATCH { self.tell().await } else { self.tell_if_due().await }
    }

    async fn tell_if_due(&mut self) -> Result<(), RunOutcome> {
        if self.told_at.elapsed() >= TELL_EVERY { self.tell().await } else { Ok(()) }
    }

    async fn tell(&mut self) -> Result<(), RunOutcome> {
        self.told_at = Instant::now();
        let progress = Command::RunProgress {
            source: self.source.clone(),
            run: self.run.to_owned(),
            attempt: self.attempt,
            found: self.found,
            pages: std::mem::take(&mut self.waiting),
        };
        match command(self.handle, progress).await {
            Ok(_) => Ok(()),
            Err(ActorError::Rejected(Rejection::LimitReached { detail, .. })) => {
                Err(RunOutcome::Partial { reason: detail })
            }
            // A newer try has the run: how this one ends is refused too.
            Err(error) => Err(RunOutcome::Failed { reason: error.to_string() }),
        }
    }
}
