//! Turns outside bytes into one kind of document: HTML, PDF, DOCX, Markdown and plain text, each with its limits.

mod blocks;
pub mod business;
pub mod charset;
mod docx;
mod entities;
mod html;
pub mod pdf;
mod text;

use serde::{Deserialize, Serialize};

pub use self::docx::{MAX_DOCX_BYTES, docx};
pub(crate) use self::html::robots_directives;
pub use self::html::{MAX_DEPTH, MAX_ELEMENTS, html};
pub use self::text::{markdown, text};
use crate::{Error, Result};

/// The most bytes one HTML or text document may have once decoded. Long manuals are about 2 MB; what is larger is data, not prose.
pub const MAX_TEXT_BYTES: usize = 8 << 20;
/// The most Markdown kept of one document; what is longer is cut at a line and the document says so.
pub const MAX_MARKDOWN_BYTES: usize = 2 << 20;
/// The most characters of a title; longer ones are stuffed with keywords.
const MAX_TITLE_CHARS: usize = 300;
/// The most characters of a description.
const MAX_DESCRIPTION_CHARS: usize = 1_000;

/// What was read from a page or an upload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The title: of the page, else its first heading, else empty.
    pub title: String,
    /// The author's own summary.
    pub description: Option<String>,
    /// The language tag the document declares, in lower case, such as `en` or `de-at`.
    pub language: Option<String>,
    /// The address the page says is its proper one, resolved.
    pub canonical: Option<String>,
    /// The headings of the kept text in reading order.
    pub headings: Vec<Heading>,
    /// Addresses of pictures, resolved, without repeats.
    pub images: Vec<String>,
    /// Links anywhere on the page, menus included, resolved, without repeats.
    pub links: Vec<Link>,
    /// Telephone numbers and mail addresses the page offers as links, for example `tel:+15550100`.
    pub contacts: Vec<String>,
    /// Questions with answers that the page marks up for machines (schema.org `FAQPage`).
    pub faqs: Vec<Question>,
    /// What the page says about the business itself. Pages that were stored before there was such a thing have none.
    #[serde(default)]
    pub business: business::Business,
    /// The main text.
    pub markdown: String,
    /// The page asks not to be indexed.
    pub noindex: bool,
    /// The page asks that its links are not followed.
    pub nofollow: bool,
    /// A limit was reached and the rest of the document is missing.
    pub truncated: bool,
}

impl Document {
    /// A digest of what this document says, by which a later crawl knows whether it changed.
    #[must_use]
    pub fn content_hash(&self) -> String {
        content_hash(&self.title, &self.markdown)
    }
}

/// A heading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heading {
    /// 1 to 6.
    pub level: u8,
    /// Its text.
    pub text: String,
}

/// A link of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The absolute address.
    pub url: String,
    /// The author asks not to follow it.
    pub nofollow: bool,
}

/// A question and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The question.
    pub question: String,
    /// The answer.
    pub answer: String,
}

/// The kinds of file a person may upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Portable Document Format; read by [`pdf::extract_via`].
    Pdf,
    /// Office Open XML text.
    Docx,
    /// A web page.
    Html,
    /// Markdown.
    Markdown,
    /// Plain text.
    Text,
}

impl Kind {
    /// The kind of an upload by its first bytes, and by its name where bytes do not tell. `None` for what cannot be read.
    #[must_use]
    pub fn of(name: &str, bytes: &[u8]) -> Option<Kind> {
        // Writers may put up to 1,024 bytes before the header (ISO 32000-1, annex H, note 13).
        let head = &bytes[..bytes.len().min(1_024)];
        if head.windows(5).any(|window| window == b"%PDF-") {
            return Some(Kind::Pdf);
        }
        let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        match extension.as_deref() {
            Some("docx") if bytes.starts_with(b"PK") => return Some(Kind::Docx),
            Some("html" | "htm" | "xhtml") if !looks_binary(bytes) => return Some(Kind::Html),
            Some("md" | "markdown") if !looks_binary(bytes) => return Some(Kind::Markdown),
            Some("txt" | "text") if !looks_binary(bytes) => return Some(Kind::Text),
            _ => {}
        }
        if bytes.starts_with(b"PK") {
            return docx::is_docx(bytes).then_some(Kind::Docx);
        }
        (!looks_binary(bytes)).then_some(Kind::Text)
    }
}

/// The digest that [`Document::content_hash`] gives: blake3 over title and Markdown, 64 hexadecimal digits.
#[must_use]
pub fn content_hash(title: &str, markdown: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(title.len() as u64).to_le_bytes());
    hasher.update(title.as_bytes());
    hasher.update(markdown.as_bytes());
    hasher.finalize().to_hex().to_string()
}

/// Whether bytes cannot be text of any charset but UTF-16: a picture, an archive, a program.
#[must_use]
pub fn looks_binary(bytes: &[u8]) -> bool {
    const SIGNATURES: [&[u8]; 10] = [
        b"\x89PNG",
        b"\xff\xd8\xff",
        b"GIF8",
        b"PK\x03\x04",
        b"\x1f\x8b",
        b"\x7fELF",
        b"RIFF",
        b"%PDF-",
        b"Rar!",
        b"\0\0\x01\0",
    ];
    if SIGNATURES.iter().any(|signature| bytes.starts_with(signature)) {
        return true;
    }
    let utf_16 = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
    !utf_16 && bytes.iter().take(1_024).any(|byte| *byte == 0)
}

/// Refuses documents above [`MAX_TEXT_BYTES`].
fn within_size(kind: &'static str, bytes: &[u8]) -> Result<()> {
    if bytes.len() > MAX_TEXT_BYTES {
        return Err(Error::TooLarge { kind, limit: MAX_TEXT_BYTES as u64 });
    }
    Ok(())
}

/// One line of text: white space collapsed, control characters gone, at most `max_chars`.
fn one_line(raw: &str, max_chars: usize) -> String {
    let mut out = String::new();
    for word in raw.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
        if out.len() > max_chars * 4 {
            break;
        }
    }
    match out.char_indices().nth(max_chars) {
        Some((end, _)) => {
            out.truncate(end);
            out
        }
        None => out,
    }
}

/// Cuts Markdown to [`MAX_MARKDOWN_BYTES`] at a line end; says whether it had to.
fn cap_markdown(markdown: &mut String) -> bool {
    if markdown.len() <= MAX_MARKDOWN_BYTES {
        return false;
    }
    let mut end = MAX_MARKDOWN_BYTES;
    while !markdown.is_char_boundary(end) {
        end -= 1;
    }
    let end = markdown[..end].rfind('\n').unwrap_or(end);
    markdown.truncate(end);
    true
}

/// The headings of Markdown, outside code fences.
fn headings_of(markdown: &str) -> Vec<Heading> {
    /// More headings than this are not an outline any more.
    const MAX_HEADINGS: usize = 500;
    let mut fenced = false;
    let mut headings = Vec::new();
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if let Some((level, text)) = (!fenced).then(|| crate::chunk::heading(line)).flatten()
            && headings.len() < MAX_HEADINGS
        {
            headings.push(Heading { level, text: text.to_owned() });
        }
    }
    headings
}

#[cfg(test)]
mod tests {
    use super::{Kind, content_hash, one_line};

    #[test]
    fn uploads_are_told_apart_by_content_first() {
        for (name, bytes, expected) in [
            ("price.pdf", &b"%PDF-1.7 ..."[..], Some(Kind::Pdf)),
            ("renamed.txt", b"%PDF-1.4", Some(Kind::Pdf)),
            ("a.md", b"# Hi", Some(Kind::Markdown)),
            ("a.HTM", b"<p>Hi", Some(Kind::Html)),
            ("a.txt", b"Hi", Some(Kind::Text)),
            ("noname", b"Hi", Some(Kind::Text)),
            ("photo.txt", b"\x89PNG\r\n", None),
            ("archive.docx", b"not a zip \0", None),
            ("x.zip", b"PK\x03\x04garbage", None),
        ] {
            assert_eq!(Kind::of(name, bytes), expected, "{name}");
        }
    }

    #[test]
    fn moving_text_between_title_and_body_changes_the_hash() {
        assert_ne!(content_hash("ab", "c"), content_hash("a", "bc"));
        assert_eq!(content_hash("a", "b").len(), 64);
    }

    #[test]
    fn one_line_collapses_and_cuts_at_characters() {
        assert_eq!(one_line(" a \n\t b\u{0} é ", 100), "a b é");
        assert_eq!(one_line("ééé", 2), "éé");
    }
}
