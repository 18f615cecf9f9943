//! What a crawl tells its caller.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::extract::Document;

/// Something happened.
#[derive(Clone, Debug, PartialEq)]
pub enum CrawlEvent {
    /// The start leads to another host, which is crawled instead.
    SiteMoved {
        /// The new start.
        to: String,
    },
    /// An address was found and may be read.
    PageFound {
        /// The address.
        url: String,
    },
    /// A page was read and is new or has changed.
    PageDone(Box<Page>),
    /// A page was read and is what it was.
    PageUnchanged {
        /// The address.
        url: String,
        /// Its title now.
        title: String,
        /// The hash that was known already.
        content_hash: String,
    },
    /// A page was read and is left out on purpose.
    PageSkipped {
        /// The address.
        url: String,
        /// Why.
        reason: Skip,
    },
    /// A page could not be read.
    PageFailed {
        /// The address.
        url: String,
        /// Why not.
        reason: Reason,
    },
    /// The counts after each page.
    Progress {
        /// Addresses found.
        found: usize,
        /// Pages read, unchanged ones included.
        done: usize,
        /// Pages that failed.
        failed: usize,
    },
}

/// A page that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Its address after redirects.
    pub url: String,
    /// Links away from the start.
    pub depth: u32,
    /// Bytes received.
    pub bytes: usize,
    /// What was served.
    pub kind: PageKind,
    /// Its text and what it says about itself.
    pub document: Document,
    /// [`Document::content_hash`], for the next crawl.
    pub content_hash: String,
}

/// What was served at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageKind {
    /// A web page.
    Html,
    /// A PDF.
    Pdf,
    /// Plain text or Markdown.
    Text,
}

/// Why a page that was read is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Skip {
    /// The page asks not to be indexed.
    NoIndex,
    /// The same text was read at another address.
    Duplicate {
        /// That address.
        of: String,
    },
    /// The page names another one as its proper address, and that one was read.
    Canonical {
        /// That address.
        of: String,
    },
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Skip::NoIndex => f.write_str("The page asks search engines not to use it."),
            Skip::Duplicate { of } => write!(f, "The page says the same as {of}."),
            Skip::Canonical { of } => write!(f, "The page names {of} as its proper address."),
        }
    }
}

/// Why a page could not be read. `Display` is a sentence for the owner of the site; the serialized `code` is for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Reason {
    /// `robots.txt` forbids it, or could not be read although it exists.
    RobotsDisallow,
    /// The server answered with an error.
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// It is not a page, whatever its label says.
    NotAPage {
        /// What it is labelled or looks like.
        content_type: String,
    },
    /// It is larger than allowed.
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// It did not arrive in time.
    Timeout {
        /// The limit in milliseconds.
        limit_ms: u64,
    },
    /// The host's name does not exist.
    UnknownHost,
    /// The address is inside a private network.
    PrivateAddress,
    /// The connection cannot be trusted: the certificate is wrong.
    Tls,
    /// The server does not answer.
    Unreachable,
    /// The answer broke off or is garbled.
    Broken,
    /// Redirects lead in a circle.
    RedirectLoop,
    /// More redirects than allowed.
    TooManyRedirects,
    /// A redirect without a usable target.
    BadRedirect,
    /// A redirect leads to another site.
    RedirectOffSite {
        /// That address.
        to: String,
    },
    /// The address does not begin with `http://` or `https://`.
    UnsupportedScheme,
    /// There is no text on it.
    NoText,
    /// It cannot be read as what it says it is.
    Unreadable {
        /// What is wrong with it.
        detail: String,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::RobotsDisallow => f.write_str("The site's robots.txt does not allow reading this page."),
            Reason::Status { status: 404 | 410 } => f.write_str("The page does not exist."),
            Reason::Status { status: 401 | 403 } => f.write_str("The page is not open to the public."),
            Reason::Status { status: 429 } => f.write_str("The server asked to slow down and still refused."),
            Reason::Status { status } => write!(f, "The server answered with error {status}."),
            Reason::NotAPage { content_type } => {
                write!(f, "This is not a page that can be read ({content_type}).")
            }
            Reason::TooLarge { limit } => write!(f, "The page is larger than {} KB.", limit >> 10),
            Reason::Timeout { limit_ms } => write!(f, "The page did not arrive within {} s.", limit_ms.div_ceil(1_000)),
            Reason::UnknownHost => f.write_str("There is no website under this name."),
            Reason::PrivateAddress => f.write_str("The address leads into a private network and is not fetched."),
            Reason::Tls => f.write_str("The site's certificate is not valid."),
            Reason::Unreachable => f.write_str("The server does not answer."),
            Reason::Broken => f.write_str("The server's answer broke off."),
            Reason::RedirectLoop => f.write_str("The page redirects in a circle."),
            Reason::TooManyRedirects => f.write_str("The page redirects too many times."),
            Reason::BadRedirect => f.write_str("The page redirects to nowhere."),
            Reason::RedirectOffSite { to } => {
                write!(f, "The page redirects to another site ({to}).")
            }
            Reason::UnsupportedScheme => f.write_str("Only addresses with http or https can be read."),
            Reason::NoText => f.write_str("There is no text on the page; it may need JavaScript to show any."),
            Reason::Unreadable { detail } => write!(f, "The page cannot be read: {detail}."),
        }
    }
}

/// Why a crawl ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// Everything that was found has been read.
    Finished,
    /// As many pages as allowed have been read.
    PageLimit,
    /// As many bytes as allowed have been read.
    ByteLimit,
    /// The time was up.
    TimeLimit,
    /// The caller cancelled it.
    Cancelled,
    /// Nobody listens any more.
    SinkClosed,
}

/// What a crawl came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Where the crawl really started, after redirects.
    pub start: String,
    /// Addresses found.
    pub found: usize,
    /// Pages read that are new or changed.
    pub changed: usize,
    /// Pages read that are as they were.
    pub unchanged: usize,
    /// Pages left out on purpose.
    pub skipped: usize,
    /// Pages that failed.
    pub failed: usize,
    /// Bytes received.
    pub bytes: u64,
    /// Telephone numbers and mail addresses found as links anywhere, without repeats.
    pub contacts: Vec<String>,
    /// Why it ended.
    pub stop: Stop,
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn reasons_are_sentences_with_a_code() {
        let reason = Reason::RedirectOffSite { to: "https://b.example/".into() };
        assert_eq!(reason.to_string(), "The page redirects to another site (https://b.example/).");
        let json = serde_json::to_string(&reason).expect("json");
        assert_eq!(json, r#"{"code":"redirect_off_site","to":"https://b.example/"}"#);
        assert_eq!(serde_json::from_str::<Reason>(&json).expect("reason"), reason);
        assert_eq!(Reason::Timeout { limit_ms: 300 }.to_string(), "The page did not arrive within 1 s.");
    }
}
