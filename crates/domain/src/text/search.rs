//! Words as a search sees them: case and accents folded, apostrophes dropped, with their places; and what a query finds in messages.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use super::is_apostrophe;
use crate::vocabulary::MessageRole;

/// The shortest query, characters: one letter finds everything.
pub const QUERY_CHARS_MIN: usize = 2;
/// The longest query, characters: a sentence that somebody remembers.
pub const QUERY_CHARS_MAX: usize = 200;
/// Words of a query that are looked for; as many as anybody types.
const QUERY_WORDS_MAX: usize = 16;
/// Characters of a snippet: two lines of a list.
const SNIPPET_CHARS: usize = 160;
/// Characters of a snippet before the first word found: enough to see what it is about.
const SNIPPET_BEFORE: usize = 40;
/// Words that are marked in a snippet.
const MARKED_MAX: usize = 32;
/// The longest word that is told apart to its end, characters: more is noise such as a pasted key.
const WORD_CHARS_MAX: usize = 40;

/// A word of a text as a search sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Folded, at most 40 characters.
    pub folded: String,
    /// Byte range in the text.
    pub at: Range<usize>,
}

/// The words of a text, in order.
pub fn terms(text: &str) -> impl Iterator<Item = Term> {
    let belongs = |c: char| c.is_alphanumeric() || is_combining_mark(c);
    let mut chars = text.char_indices().peekable();
    std::iter::from_fn(move || {
        loop {
            let (start, first) = chars.next()?;
            if !belongs(first) {
                continue;
            }
            let mut end = start + first.len_utf8();
            while let Some((at, c)) = chars.next_if(|(_, c)| belongs(*c) || is_apostrophe(*c)) {
                if belongs(c) {
                    end = at + c.len_utf8();
                }
            }
            let folded = fold(&text[start..end]);
            // A lone accent folds to nothing.
            if !folded.is_empty() {
                return Some(Term { folded, at: start..end });
            }
        }
    })
}

/// A word without case, accents and apostrophes, as people type it who have no key for them.
pub(crate) fn fold(word: &str) -> String {
    if word.is_ascii() {
        let kept = word.chars().filter(|c| !is_apostrophe(*c)).take(WORD_CHARS_MAX);
        return kept.map(|c| c.to_ascii_lowercase()).collect();
    }
    let plain = word.nfkd().filter(|c| !is_combining_mark(*c) && !is_apostrophe(*c));
    let mut folded = String::with_capacity(word.len());
    for c in plain.flat_map(char::to_lowercase).take(WORD_CHARS_MAX) {
        // Letters that are written otherwise where a keyboard has no key for them, and that do not come apart by themselves.
        match c {
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'ø' => folded.push('o'),
            'đ' | 'ð' => folded.push('d'),
            'ł' => folded.push('l'),
            'þ' => folded.push_str("th"),
            'ı' => folded.push('i'),
            // The dot that a lowered İ leaves behind.
            '\u{307}' => {}
            c => folded.push(c),
        }
    }
    folded
}

/// What somebody looks for: all words must occur, the last one as the beginning of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought {
    words: Vec<String>,
    last: String,
}

/// A message that is searched.
#[derive(Clone, Copy, Debug)]
pub struct Searched<'a> {
    /// Its place in the journal.
    pub seq: u64,
    /// Who wrote it.
    pub role: MessageRole,
    /// What it says.
    pub text: &'a str,
}

/// Where a query's words were found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// The message's place in the journal.
    pub seq: u64,
    /// Who wrote it.
    pub role: MessageRole,
    /// A stretch of it around the first word found.
    pub snippet: String,
    /// The found words, as `[start, end)` in UTF-16 units of the snippet.
    pub ranges: Vec<(u32, u32)>,
}

impl Sought {
    /// From what somebody typed; `None` if there is no word in it.
    pub fn parse(query: &str) -> Option<Self> {
        let mut words: Vec<String> = terms(query).map(|term| term.folded).take(QUERY_WORDS_MAX).collect();
        let last = words.pop()?;
        let mut known = BTreeSet::new();
        words.retain(|word| known.insert(word.clone()));
        Some(Self { words, last })
    }

    /// The words that must occur as they are.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// The beginning of a word that must occur.
    pub fn last(&self) -> &str {
        &self.last
    }

    fn is_sought(&self, folded: &str) -> bool {
        folded.starts_with(&self.last) || self.words.iter().any(|word| word == folded)
    }

    /// The message that has most of the words, the newest of those, if all words occur in these messages. Messages are given oldest first.
    pub fn find<'a>(&self, messages: impl Iterator<Item = Searched<'a>>) -> Option<Match> {
        let mut missing: BTreeSet<&str> = self.words.iter().map(String::as_str).collect();
        let (mut last_missing, mut best): (bool, Option<(usize, Searched<'a>)>) = (true, None);
        for message in messages {
            let (mut here, mut last_here) = (BTreeSet::new(), false);
            for term in terms(message.text) {
                last_here |= term.folded.starts_with(&self.last);
                if let Some(word) = self.words.iter().find(|word| **word == term.folded) {
                    here.insert(word.as_str());
                }
            }
            let count = here.len() + usize::from(last_here);
            missing.retain(|word| !here.contains(word));
            last_missing &= !last_here;
            if count > 0 && best.is_none_or(|(most, _)| count >= most) {
                best = Some((count, message));
            }
        }
        if last_missing || !missing.is_empty() {
            return None;
        }
        best.map(|(_, message)| self.shown(message))
    }

    fn shown(&self, message: Searched<'_>) -> Match {
        let found: Vec<Range<usize>> = terms(message.text)
            .filter(|term| self.is_sought(&term.folded))
            .map(|term| term.at)
            .take(MARKED_MAX)
            .collect();
        let first = found.first().map_or(0, |at| at.start);
        let before: Vec<(usize, char)> = message.text[..first].char_indices().rev().take(SNIPPET_BEFORE).collect();
        // It begins with a whole word, unless there is none before.
        let start = if before.len() < SNIPPET_BEFORE {
            0
        } else {
            let gap = before.iter().rev().find(|(_, c)| c.is_whitespace());
            gap.map_or(first, |(at, c)| at + c.len_utf8())
        };
        let end =
            message.text[start..].char_indices().nth(SNIPPET_CHARS).map_or(message.text.len(), |(at, _)| start + at);
        let cut = (start > 0, end < message.text.len());
        let mut snippet = String::new();
        if cut.0 {
            snippet.push('…');
        }
        let offset = snippet.encode_utf16().count();
        // Line breaks are as wide as spaces: places stay what they are.
        snippet.extend(message.text[start..end].chars().map(|c| if c.is_control() { ' ' } else { c }));
        if cut.1 {
            snippet.push('…');
        }
        let units = |upto: usize| (offset + message.text[start..upto].encode_utf16().count()) as u32;
        let ranges = found.iter().filter(|at| at.start >= start && at.end <= end);
        let ranges = ranges.map(|at| (units(at.start), units(at.end))).collect();
        Match { seq: message.seq, role: message.role, snippet, ranges }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> Vec<String> {
        terms(text).map(|term| term.folded).collect()
    }

    fn message(seq: u64, text: &str) -> Searched<'_> {
        Searched { seq, role: MessageRole::User, text }
    }

    fn find(query: &str, texts: &[&str]) -> Option<Match> {
        let messages = texts.iter().zip(1..).map(|(text, seq)| message(seq, text));
        Sought::parse(query).and_then(|sought| sought.find(messages))
    }

    /// What the ranges mark, as a browser cuts it out.
    fn marked(found: &Match) -> Vec<String> {
        let units: Vec<u16> = found.snippet.encode_utf16().collect();
        let cut = |(from, to): &(u32, u32)| String::from_utf16(&units[*from as usize..*to as usize]).unwrap();
        found.ranges.iter().map(cut).collect()
    }

    #[test]
    fn case_accents_and_apostrophes_do_not_matter() {
        assert_eq!(folded("Don't CAFÉ, Müller-Straße"), ["dont", "cafe", "muller", "strasse"]);
        assert_eq!(folded("cafe\u{301} İstanbul Łódź ﬁne"), ["cafe", "istanbul", "lodz", "fine"]);
        assert_eq!(folded("jo@example.com 217-555-0133"), ["jo", "example", "com", "217", "555", "0133"]);
        assert_eq!(folded("' \u{301} --"), Vec::<String>::new());
        assert_eq!(terms(&"x".repeat(500)).next().unwrap().folded.len(), WORD_CHARS_MAX);
    }

    #[test]
    fn all_words_must_occur_and_the_last_may_be_a_beginning() {
        let texts = ["My boiler leaks", "We can come on Tuesday"];
        assert_eq!(find("boiler tues", &texts).unwrap().seq, 2, "the newest of two that have one word each");
        assert_eq!(find("BOILER lea", &texts).unwrap().seq, 1);
        assert!(find("boil leaks", &texts).is_none(), "only the last word may be a beginning");
        assert!(find("boiler monday", &texts).is_none());
        assert!(find("...", &texts).is_none());
    }

    #[test]
    fn ranges_are_places_in_the_snippet_also_behind_wide_characters() {
        let found = find("boiler", &["😀😀 the Bóiler\nis a boilermaker's"]).unwrap();
        assert_eq!(marked(&found), ["Bóiler", "boilermaker's"]);
        assert!(!found.snippet.contains('\n'));
        let long = format!("{} needle {}", "hay ".repeat(100), "hay ".repeat(100));
        let found = find("needle", &[&long]).unwrap();
        assert_eq!(marked(&found), ["needle"]);
        assert!(found.snippet.starts_with("…hay") && found.snippet.ends_with('…'), "{}", found.snippet);
        assert!(found.snippet.chars().count() <= SNIPPET_CHARS + 2);
    }

    #[test]
    fn text_that_is_all_markup_comes_back_as_text() {
        let found = find("script", &["<script>alert('x')</script>"]).unwrap();
        assert_eq!(found.snippet, "<script>alert('x')</script>");
        assert_eq!(marked(&found), ["script", "script"]);
    }
}
