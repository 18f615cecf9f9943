//! Drives one crawl: start page, rules, site maps, then the frontier with a few requests under way.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::fetch::{Allowance, fetch};
use super::frontier::{Entry, Frontier};
use super::read::{Read, line_hashes, read};
use super::robots::{MAX_ROBOTS_BYTES, Rules};
use super::sitemap::{self, MAX_SITEMAP_BYTES};
use super::{CrawlEvent, CrawlJob, Crawler, Limits, Mode, Page, Reason, Skip, Stop, Summary, urls};
use crate::Result;

/// Site maps fetched in one crawl, those inside indices included.
const MAX_SITEMAPS: usize = 20;
/// Pages tried per page allowed: a site of dead links ends too.
const TRIES_PER_PAGE: usize = 3;
/// Tries that even the smallest crawl has.
const MIN_TRIES: usize = 30;
/// A server that says "too many requests" is asked at most this often from then on.
const THROTTLED_SPACING: Duration = Duration::from_secs(1);
/// Contacts kept of a whole site.
const MAX_CONTACTS: usize = 50;
/// The share of lines two pages must have in common for a canonical link to be believed. Some sites name their home page everywhere.
const CANONICAL_SHARE: f64 = 0.5;
/// Time to hand over pages that were held back when the crawl's time is up.
const SETTLE_TIME: Duration = Duration::from_secs(5);

pub(super) async fn crawl(
    crawler: &Crawler,
    job: CrawlJob,
    cancel: CancellationToken,
    sink: mpsc::Sender<CrawlEvent>,
) -> Result<Summary> {
    let start = urls::parse_start(&job.start)?;
    let deadline = Instant::now() + job.limits.max_time;
    let mut run = Run::new(crawler, job, start, sink);
    let ended = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Stop::Cancelled),
        () = tokio::time::sleep_until(deadline) => Err(Stop::TimeLimit),
        ended = run.drive() => ended,
    };
    let mut stop = ended.unwrap_or_else(|stop| stop);
    if !matches!(stop, Stop::Cancelled | Stop::SinkClosed)
        && let Ok(Err(closed)) = tokio::time::timeout(SETTLE_TIME, run.settle()).await
    {
        stop = closed;
    }
    Ok(run.summary(stop))
}

/// A page that names another as canonical and waits for it to be read.
struct Held {
    page: Page,
    target: String,
    target_key: String,
}

struct Run<'a> {
    crawler: &'a Crawler,
    limits: Limits,
    mode: Mode,
    /// Content hashes of the last crawl by [`urls::key`].
    known: HashMap<String, String>,
    sink: mpsc::Sender<CrawlEvent>,
    site: Url,
    typed_without_scheme: bool,
    rules: Arc<Rules>,
    frontier: Frontier,
    spacing: Duration,
    next_slot: Instant,
    /// Content hash → address, of every page taken.
    texts: HashMap<String, String>,
    /// Key → lines, of every page taken.
    lines: HashMap<String, HashSet<u64>>,
    held: Vec<Held>,
    contacts: Vec<String>,
    found: usize,
    tried: usize,
    changed: usize,
    unchanged: usize,
    skipped: usize,
    failed: usize,
    bytes: u64,
}

/// What became of one address.
struct Outcome {
    entry: Entry,
    read: Result<Read, Reason>,
}

impl<'a> Run<'a> {
    fn new(crawler: &'a Crawler, job: CrawlJob, start: Url, sink: mpsc::Sender<CrawlEvent>) -> Self {
        let key_of = |(address, hash): (String, String)| Url::parse(&address).ok().map(|url| (urls::key(&url), hash));
        Run {
            crawler,
            mode: job.mode,
            known: job.known.into_iter().filter_map(key_of).collect(),
            sink,
            site: start,
            typed_without_scheme: !job.start.contains("://"),
            rules: Arc::new(Rules::allow_all()),
            frontier: Frontier::new(job.limits.max_pages),
            spacing: job.limits.spacing,
            next_slot: Instant::now(),
            limits: job.limits,
            texts: HashMap::new(),
            lines: HashMap::new(),
            held: Vec::new(),
            contacts: Vec::new(),
            found: 0,
            tried: 0,
            changed: 0,
            unchanged: 0,
            skipped: 0,
            failed: 0,
            bytes: 0,
        }
    }

    fn summary(self, stop: Stop) -> Summary {
        Summary {
            start: self.site.into(),
            found: self.found,
            changed: self.changed,
            unchanged: self.unchanged,
            skipped: self.skipped,
            failed: self.failed,
            bytes: self.bytes,
            contacts: self.contacts,
            stop,
        }
    }

    /// The whole crawl. `Err` is a stop from inside an event.
    async fn drive(&mut self) -> Result<Stop, Stop> {
        let map_given = self.mode == Mode::Sitemap && is_map(&self.site);
        self.load_rules().await;
        match self.mode {
            Mode::Website => {
                let Some(first) = self.read_start().await? else {
                    return Ok(Stop::Finished);
                };
                self.handle(first).await?;
                self.read_maps(Vec::new()).await?;
            }
            Mode::Sitemap => self.read_maps(if map_given { vec![self.site.clone()] } else { Vec::new() }).await?,
        }
        let mut under_way = FuturesUnordered::new();
        loop {
            let stop = loop {
                if let Some(stop) = self.limit(under_way.len()) {
                    break Some(stop);
                }
                if under_way.len() >= self.limits.concurrency.max(1) {
                    break None;
                }
                let Some(entry) = self.frontier.next() else {
                    break None;
                };
                self.tried += 1;
                let slot = self.slot();
                under_way.push(self.visit(entry, slot));
            };
            match under_way.next().await {
                Some(outcome) => self.handle(outcome).await?,
                None => return Ok(stop.unwrap_or(Stop::Finished)),
            }
        }
    }

    /// Whether a limit forbids another request while `under_way` are not answered yet.
    fn limit(&self, under_way: usize) -> Option<Stop> {
        if self.bytes >= self.limits.max_total_bytes {
            return Some(Stop::ByteLimit);
        }
        let taken = self.changed + self.unchanged + self.held.len();
        let tries = self.limits.max_pages.saturating_mul(TRIES_PER_PAGE).max(MIN_TRIES);
        let full = taken + under_way >= self.limits.max_pages || self.tried >= tries;
        (full && !self.frontier.is_empty()).then_some(Stop::PageLimit)
    }

    /// When the next request may begin.
    fn slot(&mut self) -> Instant {
        let slot = self.next_slot.max(Instant::now());
        self.next_slot = slot + self.spacing;
        slot
    }

    fn allowance(&self) -> Allowance {
        Allowance {
            max_bytes: self.limits.max_page_bytes,
            max_pdf_bytes: if self.crawler.config.pdf_reader.is_some() { self.limits.max_pdf_bytes } else { 0 },
            timeout: self.limits.request_timeout,
            allow_private: self.crawler.config.allow_private,
        }
    }

    /// Fetches and reads one address. Borrows nothing of the run, so that several can be under way.
    fn visit(&self, entry: Entry, slot: Instant) -> impl Future<Output = Outcome> + use<> {
        let (client, allowance) = (self.crawler.client.clone(), self.allowance());
        let (rules, site) = (Arc::clone(&self.rules), self.site.clone());
        let pdf_reader = self.crawler.config.pdf_reader.clone();
        async move {
            if !rules.allows(&entry.url) {
                return Outcome { entry, read: Err(Reason::RobotsDisallow) };
            }
            tokio::time::sleep_until(slot).await;
            let may = |next: &Url| {
                if !urls::same_site(next, &site) {
                    return Err(Reason::RedirectOffSite { to: next.to_string() });
                }
                if rules.allows(next) { Ok(()) } else { Err(Reason::RobotsDisallow) }
            };
            let read = match fetch(&client, &entry.url, allowance, may).await {
                Ok(fetched) => read(fetched, pdf_reader.as_deref()).await,
                Err(reason) => Err(reason),
            };
            Outcome { entry, read }
        }
    }

    /// The start page decides which host is crawled. `None` when it cannot be read; that has been reported then.
    async fn read_start(&mut self) -> Result<Option<Outcome>, Stop> {
        self.frontier.add(self.site.clone(), 0);
        // A start that looks like a trap or a file was typed by a person and is tried all the same.
        let key = urls::key(&self.site);
        let mut entry = self.frontier.next().unwrap_or_else(|| Entry::start(self.site.clone(), key));
        self.found += 1;
        self.tried += 1;
        self.emit(CrawlEvent::PageFound { url: entry.url.to_string() }).await?;
        if !self.rules.allows(&entry.url) {
            self.fail(&entry.url, Reason::RobotsDisallow).await?;
            return Ok(None);
        }
        let anywhere = |_: &Url| Ok(());
        let slot = self.slot();
        tokio::time::sleep_until(slot).await;
        let mut fetched = fetch(&self.crawler.client, &entry.url, self.allowance(), anywhere).await;
        let no_https = matches!(&fetched, Err(Reason::Unreachable | Reason::Tls | Reason::Timeout { .. }));
        if self.typed_without_scheme && no_https && self.site.set_scheme("http").is_ok() {
            // Nobody typed "https": small sites may know only http.
            self.load_rules().await;
            entry.url = self.site.clone();
            fetched = fetch(&self.crawler.client, &entry.url, self.allowance(), anywhere).await;
        }
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(reason) => {
                self.fail(&entry.url, reason).await?;
                return Ok(None);
            }
        };
        if !urls::same_site(&fetched.url, &self.site) {
            self.site = fetched.url.clone();
            self.emit(CrawlEvent::SiteMoved { to: self.site.to_string() }).await?;
            self.load_rules().await;
            if !self.rules.allows(&self.site) {
                let url = self.site.clone();
                self.fail(&url, Reason::RobotsDisallow).await?;
                return Ok(None);
            }
        }
        let read = read(fetched, self.crawler.config.pdf_reader.as_deref()).await;
        Ok(Some(Outcome { entry, read }))
    }

    async fn load_rules(&mut self) {
        let Ok(url) = self.site.join("/robots.txt") else {
            return;
        };
        let allowance = Allowance { max_bytes: MAX_ROBOTS_BYTES * 2, ..self.allowance() };
        let site = self.site.clone();
        let may = |next: &Url| {
            if urls::same_site(next, &site) { Ok(()) } else { Err(Reason::RedirectOffSite { to: next.to_string() }) }
        };
        let rules = match fetch(&self.crawler.client, &url, allowance, may).await {
            // Compiling many rules takes a while, and other crawls share this thread.
            Ok(fetched) => tokio::task::spawn_blocking(move || Rules::parse(&fetched.bytes))
                .await
                .unwrap_or_else(|_| Rules::allow_all()),
            Err(Reason::Status { status: 500.. }) => Rules::allow_nothing(),
            Err(_) => Rules::allow_all(), // No file, or no server, which the start page will show.
        };
        self.spacing = self.limits.spacing.max(rules.delay.unwrap_or_default().min(self.limits.max_crawl_delay));
        self.next_slot = Instant::now();
        self.rules = Arc::new(rules);
    }

    /// Adds what site maps list: those given, else those named in `robots.txt`, else the usual place.
    async fn read_maps(&mut self, given: Vec<Url>) -> Result<(), Stop> {
        let named: Vec<Url> = self.rules.sitemaps.iter().filter_map(|map| self.site.join(map).ok()).collect();
        let usual = || self.site.join("/sitemap.xml").ok().into_iter().collect();
        let explicit = !given.is_empty();
        let mut queue = if explicit {
            given
        } else if named.is_empty() {
            usual()
        } else {
            named
        };
        let mut seen = HashSet::new();
        let allowance = Allowance { max_bytes: MAX_SITEMAP_BYTES, ..self.allowance() };
        while let Some(map) = queue.pop() {
            let known = seen.len() >= MAX_SITEMAPS || !seen.insert(map.clone());
            if known || !urls::same_site(&map, &self.site) || !self.rules.allows(&map) {
                continue;
            }
            let site = self.site.clone();
            let may = |next: &Url| {
                if urls::same_site(next, &site) {
                    Ok(())
                } else {
                    Err(Reason::RedirectOffSite { to: next.to_string() })
                }
            };
            let slot = self.slot();
            tokio::time::sleep_until(slot).await;
            let fetched = match fetch(&self.crawler.client, &map, allowance, may).await {
                Ok(fetched) => fetched,
                Err(reason) => {
                    if explicit || self.mode == Mode::Sitemap {
                        self.fail(&map, reason).await?;
                    }
                    continue; // A website needs no site map.
                }
            };
            self.bytes += fetched.bytes.len() as u64;
            let found = tokio::task::spawn_blocking(move || sitemap::parse(&fetched.bytes)).await.unwrap_or_default();
            queue.extend(found.maps.iter().rev().take(MAX_SITEMAPS).filter_map(|nested| map.join(nested).ok()));
            let depth = if self.mode == Mode::Sitemap { 0 } else { 1 };
            for page in found.pages {
                if let Ok(url) = map.join(&page) {
                    self.found_page(url, depth).await?;
                }
            }
        }
        Ok(())
    }

    /// Takes note of an address of this site.
    async fn found_page(&mut self, url: Url, depth: u32) -> Result<(), Stop> {
        let pdf = url.path().to_ascii_lowercase().ends_with(".pdf");
        if depth > self.limits.max_depth
            || !urls::same_site(&url, &self.site)
            || (pdf && self.crawler.config.pdf_reader.is_none())
        {
            return Ok(());
        }
        let text = url.to_string();
        if self.frontier.add(url, depth) {
            self.found += 1;
            self.emit(CrawlEvent::PageFound { url: text }).await?;
        }
        Ok(())
    }

    async fn handle(&mut self, outcome: Outcome) -> Result<(), Stop> {
        let Outcome { entry, read } = outcome;
        let read = match read {
            Ok(read) => read,
            Err(reason) => {
                if matches!(reason, Reason::Status { status: 429 | 503 }) {
                    self.spacing = self.spacing.max(THROTTLED_SPACING);
                }
                return self.fail(&entry.url, reason).await;
            }
        };
        self.bytes += read.bytes as u64;
        for contact in &read.document.contacts {
            if self.contacts.len() < MAX_CONTACTS && !self.contacts.contains(contact) {
                self.contacts.push(contact.clone());
            }
        }
        let key = urls::key(&read.url);
        if key != entry.key && !self.frontier.mark(&key) {
            // Where the redirect leads is, was or will be read by itself.
            return self.skip(entry.url.into(), Skip::Duplicate { of: read.url.into() }).await;
        }
        if self.mode == Mode::Website && !read.document.nofollow {
            for link in read.document.links.iter().filter(|link| !link.nofollow) {
                if let Ok(url) = Url::parse(&link.url) {
                    self.found_page(url, entry.depth + 1).await?;
                }
            }
        }
        if read.document.noindex {
            return self.skip(read.url.into(), Skip::NoIndex).await;
        }
        if !read.document.markdown.chars().any(char::is_alphanumeric) {
            return self.fail(&read.url, Reason::NoText).await;
        }
        let content_hash = read.document.content_hash();
        let canonical = read.document.canonical.as_deref().and_then(|canonical| Url::parse(canonical).ok());
        let page = Page {
            url: read.url.into(),
            depth: entry.depth,
            bytes: read.bytes,
            kind: read.kind,
            document: read.document,
            content_hash,
        };
        match canonical {
            Some(target) if urls::same_site(&target, &self.site) && urls::key(&target) != key => {
                self.found_page(target.clone(), entry.depth).await?;
                self.held.push(Held { page, target_key: urls::key(&target), target: target.into() });
                Ok(())
            }
            _ => self.take(page, key).await,
        }
    }

    /// A page that counts.
    async fn take(&mut self, page: Page, key: String) -> Result<(), Stop> {
        if let Some(of) = self.texts.get(&page.content_hash) {
            let of = of.clone();
            return self.skip(page.url, Skip::Duplicate { of }).await;
        }
        self.texts.insert(page.content_hash.clone(), page.url.clone());
        self.lines.insert(key.clone(), line_hashes(&page.document.markdown));
        if self.known.get(&key) == Some(&page.content_hash) {
            self.unchanged += 1;
            let Page { url, content_hash, document, .. } = page;
            self.emit(CrawlEvent::PageUnchanged { url, title: document.title, content_hash }).await?;
        } else {
            self.changed += 1;
            self.emit(CrawlEvent::PageDone(Box::new(page))).await?;
        }
        self.progress().await
    }

    /// Decides about pages that named another one as canonical: left out if that one was read and says much the same.
    async fn settle(&mut self) -> Result<(), Stop> {
        for Held { page, target, target_key } in std::mem::take(&mut self.held) {
            let own = line_hashes(&page.document.markdown);
            let alike = self.lines.get(&target_key).is_some_and(|other| {
                let shared = own.intersection(other).count();
                shared as f64 >= own.len() as f64 * CANONICAL_SHARE
            });
            if alike {
                self.skip(page.url, Skip::Canonical { of: target }).await?;
            } else {
                let key = Url::parse(&page.url).map(|url| urls::key(&url)).unwrap_or_default();
                self.take(page, key).await?;
            }
        }
        Ok(())
    }

    async fn fail(&mut self, url: &Url, reason: Reason) -> Result<(), Stop> {
        self.failed += 1;
        self.emit(CrawlEvent::PageFailed { url: url.to_string(), reason }).await?;
        self.progress().await
    }

    async fn skip(&mut self, url: String, reason: Skip) -> Result<(), Stop> {
        self.skipped += 1;
        self.emit(CrawlEvent::PageSkipped { url, reason }).await?;
        self.progress().await
    }

    async fn progress(&self) -> Result<(), Stop> {
        self.emit(CrawlEvent::Progress { found: self.found, done: self.changed + self.unchanged, failed: self.failed })
            .await
    }

    async fn emit(&self, event: CrawlEvent) -> Result<(), Stop> {
        self.sink.send(event).await.map_err(|_| Stop::SinkClosed)
    }
}

/// Whether a start is a site map itself.
fn is_map(url: &Url) -> bool {
    let path = url.path().to_ascii_lowercase();
    [".xml", ".xml.gz", ".txt"].iter().any(|ending| path.ends_with(ending))
}
