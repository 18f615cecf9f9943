//! Turns what was fetched into a document, by what it is and not only by what it is called.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};

use url::Url;

use super::fetch::Fetched;
use super::{PageKind, Reason};
use crate::Error;
use crate::extract::{self, Document};

/// Lines remembered of a page to compare it with one that names it as canonical.
const MAX_COMPARED_LINES: usize = 500;

/// A page with its text.
pub(super) struct Read {
    pub url: Url,
    pub bytes: usize,
    pub kind: PageKind,
    pub document: Document,
}

/// Reads what was fetched, by what it is and not only by what it is called.
pub(super) async fn read(fetched: Fetched, pdf_reader: Option<&std::path::Path>) -> Result<Read, Reason> {
    let Fetched { url, content_type, robots_tag, bytes } = fetched;
    let size = bytes.len();
    let label =
        content_type.as_deref().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let not_a_page = |seen: &str| Reason::NotAPage {
        content_type: if label.is_empty() { seen.to_owned() } else { format!("{label}, {seen}") },
    };
    let is_pdf = bytes.starts_with(b"%PDF-");
    let (kind, mut document) = if is_pdf {
        let Some(reader) = pdf_reader else {
            return Err(not_a_page("a PDF"));
        };
        let document = extract::pdf::extract_via(reader, &bytes).await.map_err(unreadable)?;
        (PageKind::Pdf, document)
    } else if extract::looks_binary(&bytes) {
        return Err(not_a_page("binary data"));
    } else {
        let kind = match label.as_str() {
            "" | "text/html" | "application/xhtml+xml" => PageKind::Html,
            "text/plain" | "text/markdown" | "text/x-markdown" if !looks_like_html(&bytes) => PageKind::Text,
            // Some servers call every page plain text or XML.
            "text/plain" | "text/xml" | "application/xml" | "application/octet-stream" if looks_like_html(&bytes) => {
                PageKind::Html
            }
            _ => {
                return Err(Reason::NotAPage { content_type: label });
            }
        };
        let page_url = url.clone();
        let document = tokio::task::spawn_blocking(move || match kind {
            PageKind::Html | PageKind::Pdf => extract::html(&bytes, content_type.as_deref(), &page_url),
            PageKind::Text if label.ends_with("markdown") => extract::markdown(&bytes, content_type.as_deref()),
            PageKind::Text => extract::text(&bytes, content_type.as_deref()),
        })
        .await
        .map_err(|_| Reason::Unreadable { detail: "the reader stopped".to_owned() })?
        .map_err(unreadable)?;
        (kind, document)
    };
    let (noindex, nofollow) = extract::robots_directives(&robots_tag);
    document.noindex |= noindex;
    document.nofollow |= nofollow;
    if document.title.is_empty() {
        document.title =
            url.path_segments().and_then(|mut segments| segments.next_back().map(str::to_owned)).unwrap_or_default();
    }
    Ok(Read { url, bytes: size, kind, document })
}

fn unreadable(error: Error) -> Reason {
    match error {
        Error::NoText { .. } => Reason::NoText,
        Error::TooLarge { limit, .. } => Reason::TooLarge { limit: usize::try_from(limit).unwrap_or(usize::MAX) },
        other => Reason::Unreadable { detail: other.to_string() },
    }
}

fn looks_like_html(bytes: &[u8]) -> bool {
    let head = bytes[..bytes.len().min(1_024)].to_ascii_lowercase();
    [&b"<!doctype html"[..], b"<html", b"<head", b"<body"]
        .iter()
        .any(|mark| head.windows(mark.len()).any(|window| window == *mark))
}

/// The lines of a page, by which it is compared with others.
pub(super) fn line_hashes(markdown: &str) -> HashSet<u64> {
    let lines = markdown.lines().map(str::trim).filter(|line| !line.is_empty()).take(MAX_COMPARED_LINES);
    let hash = |line: &str| {
        let mut hasher = std::hash::DefaultHasher::new();
        line.hash(&mut hasher);
        hasher.finish()
    };
    lines.map(hash).collect()
}
