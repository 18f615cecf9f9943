//! A polite crawler: walks one site within limits and hands over pages as they arrive.

mod engine;
mod fetch;
mod frontier;
mod guard;
mod read;
mod report;
mod robots;
mod sitemap;
mod urls;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::guard::{check_url, is_public};
pub use self::report::{CrawlEvent, Page, PageKind, Reason, Skip, Stop, Summary};
pub use self::urls::parse_start;
use crate::Result;

/// How this node crawls, the same for every site.
#[derive(Clone, Debug)]
pub struct CrawlConfig {
    /// Whether addresses inside private networks may be fetched. Only an operator turns this on.
    pub allow_private: bool,
    /// Where site owners read about this crawler; part of its `User-Agent`.
    pub about_url: String,
    /// A program that reads PDF when started with [`crate::extract::pdf::ARGUMENT`]; without it PDFs are reported as not readable.
    pub pdf_reader: Option<PathBuf>,
}

impl CrawlConfig {
    /// The `User-Agent` sent, for example `ColloquyBot/0.1.0 (+https://example.com/bot)`.
    #[must_use]
    pub fn user_agent(&self) -> String {
        // What cannot stand in a header is left out rather than making every request fail.
        let about: String =
            self.about_url.chars().filter(|c| c.is_ascii_graphic() && !matches!(c, '(' | ')')).take(200).collect();
        if about.is_empty() {
            format!("ColloquyBot/{}", env!("CARGO_PKG_VERSION"))
        } else {
            format!("ColloquyBot/{} (+{about})", env!("CARGO_PKG_VERSION"))
        }
    }
}

/// Where pages come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Site maps and links.
    Website,
    /// Only what the site map lists. The start may be the site map itself or the site.
    Sitemap,
}

/// The limits of one crawl.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Pages that are read. 100 unless a plan says otherwise (requirement KB-2).
    pub max_pages: usize,
    /// Bytes of one page after decompression. 5 MiB holds any page made for people.
    pub max_page_bytes: usize,
    /// Bytes of one PDF.
    pub max_pdf_bytes: usize,
    /// Bytes of all pages together.
    pub max_total_bytes: u64,
    /// Links away from the start.
    pub max_depth: u32,
    /// Wall time of the whole crawl.
    pub max_time: Duration,
    /// Wall time of one request with its redirects.
    pub request_timeout: Duration,
    /// Requests under way at once.
    pub concurrency: usize,
    /// The least time between two requests' beginnings, if `robots.txt` does not ask for more.
    pub spacing: Duration,
    /// The most that `robots.txt` can slow the crawl down; above it 100 pages would take hours.
    pub max_crawl_delay: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_pages: 100,
            max_page_bytes: 5 << 20,
            max_pdf_bytes: 20 << 20,
            max_total_bytes: 256 << 20,
            max_depth: 10,
            max_time: Duration::from_secs(15 * 60),
            request_timeout: Duration::from_secs(20),
            concurrency: 4,
            spacing: Duration::from_millis(50),
            max_crawl_delay: Duration::from_secs(10),
        }
    }
}

/// One crawl to be made.
#[derive(Clone, Debug)]
pub struct CrawlJob {
    /// What the person typed as the address.
    pub start: String,
    /// Where pages come from.
    pub mode: Mode,
    /// Its limits.
    pub limits: Limits,
    /// Addresses and content hashes of pages read before: those that have not changed are reported without their text.
    pub known: HashMap<String, String>,
}

impl CrawlJob {
    /// A first crawl of a website with the usual limits.
    #[must_use]
    pub fn website(start: impl Into<String>) -> Self {
        CrawlJob { start: start.into(), mode: Mode::Website, limits: Limits::default(), known: HashMap::new() }
    }
}

/// The crawler of a node. Cheap to share.
#[derive(Clone, Debug)]
pub struct Crawler {
    config: CrawlConfig,
    client: reqwest::Client,
}

impl Crawler {
    /// Sets up the HTTP client.
    ///
    /// # Errors
    /// [`crate::Error::Client`].
    pub fn new(config: CrawlConfig) -> Result<Self> {
        let client = fetch::client(&config)?;
        Ok(Crawler { config, client })
    }

    /// Crawls until the site is read, a limit is reached, `cancel` fires or `sink`'s receiver is dropped. Pages arrive on
    /// `sink` as they are read; a full channel slows the crawl down.
    ///
    /// What goes wrong with a page is an event, not an error.
    ///
    /// # Errors
    /// [`crate::Error::BadAddress`] when the start cannot be an address at all.
    pub async fn crawl(
        &self,
        job: CrawlJob,
        cancel: CancellationToken,
        sink: mpsc::Sender<CrawlEvent>,
    ) -> Result<Summary> {
        engine::crawl(self, job, cancel, sink).await
    }
}
