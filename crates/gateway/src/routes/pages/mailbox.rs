//! The development mailbox as a page: what would have been sent, as text, with its links to follow.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use colloquy_actors::connectors::mailbox::Recorded;

use super::{private, without_referrer};

/// A letter's words, or an address in them.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Words(&'a str),
    Link(&'a str),
}

struct Letter<'a> {
    to: &'a str,
    subject: &'a str,
    at: String,
    shown_at: String,
    parts: Vec<Part<'a>>,
}

#[derive(Template)]
#[template(path = "mailbox.html")]
struct Page<'a> {
    /// Whose letters are shown; empty: everybody's.
    to: &'a str,
    letters: Vec<Letter<'a>>,
    /// There may be more than are shown.
    full: bool,
}

/// The page with these letters, the newest first. Their links sign people in: they are kept by nobody and named to nobody.
pub(in crate::routes) fn shown(recorded: &[Recorded], to: &str, most: usize) -> Response {
    let letters = recorded.iter().map(|one| Letter {
        to: &one.to,
        subject: &one.subject,
        at: one.at.to_string(),
        shown_at: one.at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        parts: parts(&one.text),
    });
    let page = Page { to, letters: letters.collect(), full: recorded.len() >= most };
    without_referrer(private(StatusCode::OK, &page))
}

/// A text with its web addresses told apart. What ends a sentence is not part of an address.
fn parts(text: &str) -> Vec<Part<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = ["https://", "http://"].iter().filter_map(|scheme| rest.find(scheme)).min() {
        let (before, from) = rest.split_at(at);
        let end = from.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"')).unwrap_or(from.len());
        let link = from[..end].trim_end_matches(['.', ',', ';', ':', '!', '?', ')']);
        if !before.is_empty() {
            found.push(Part::Words(before));
        }
        found.push(Part::Link(link));
        rest = &from[link.len()..];
    }
    if !rest.is_empty() {
        found.push(Part::Words(rest));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Part::*, parts};

    #[test]
    fn addresses_are_links_and_nothing_of_the_text_is_lost() {
        for (text, expected) in [
            ("", vec![]),
            ("No link.", vec![Words("No link.")]),
            (
                "Open https://a.example/x?y=1. Bye",
                vec![Words("Open "), Link("https://a.example/x?y=1"), Words(". Bye")],
            ),
            ("http://b.example", vec![Link("http://b.example")]),
            (
                "(http://b.example/ and https://c.example)\nEnd",
                vec![Words("("), Link("http://b.example/"), Words(" and "), Link("https://c.example"), Words(")\nEnd")],
            ),
            ("javascript:alert(1) ftp://x", vec![Words("javascript:alert(1) ftp://x")]),
            ("<http://d.example>", vec![Words("<"), Link("http://d.example"), Words(">")]),
        ] {
            assert_eq!(parts(text), expected, "{text}");
        }
    }
}
