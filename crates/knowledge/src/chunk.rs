//! Cuts Markdown into chunks of about 500 tokens with 50 tokens of overlap that know under which headings they stand.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::words::is_unspaced;

/// The size aimed at, in estimated tokens.
pub const TARGET_TOKENS: usize = 500;
/// How much of a chunk's end the next one of the same section repeats, in estimated tokens.
pub const OVERLAP_TOKENS: usize = 50;
/// Sections smaller than this are joined with the next one, because a lone sentence loses its context.
const SMALL_SECTION_TOKENS: usize = 120;
/// The most headings of a path; deeper ones replace the last.
const MAX_PATH: usize = 6;

/// Sizes of chunks in estimated tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The most tokens of a chunk.
    pub target: usize,
    /// How many of them the next chunk repeats.
    pub overlap: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Sizes { target: TARGET_TOKENS, overlap: OVERLAP_TOKENS }
    }
}

/// A piece of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The Markdown of this piece.
    pub text: String,
    /// Where it stands in the document's Markdown, in bytes.
    pub range: Range<usize>,
    /// The position among the document's chunks, from 0.
    pub chunk_index: u32,
    /// Estimated tokens, see [`tokens`].
    pub token_count: u32,
    /// Where it comes from.
    pub metadata: Metadata,
}

impl Chunk {
    /// What is embedded and indexed for this chunk: title, headings, text.
    #[must_use]
    pub fn searchable(&self) -> String {
        searchable(&self.metadata.title, &self.metadata.section, &self.text)
    }
}

/// What a chunk's text needs beside it to be found by what its page is about.
#[must_use]
pub fn searchable(title: &str, section: &str, text: &str) -> String {
    let mut out = String::with_capacity(title.len() + section.len() + text.len() + 2);
    for part in [title, section] {
        if !part.is_empty() {
            out.push_str(part);
            out.push('\n');
        }
    }
    out.push_str(text);
    out
}

/// Where a chunk comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The page or file.
    pub source_url: String,
    /// The document's title.
    pub title: String,
    /// The headings above the chunk, outermost first, joined by ` > `.
    pub section: String,
}

/// Cuts a document with the usual sizes.
#[must_use]
pub fn chunks(markdown: &str, source_url: &str, title: &str) -> Vec<Chunk> {
    chunks_of(markdown, source_url, title, Sizes::default())
}

/// Cuts a document. Every character that is not white space is in at least one chunk; a chunk never exceeds the target.
#[must_use]
pub fn chunks_of(markdown: &str, source_url: &str, title: &str, sizes: Sizes) -> Vec<Chunk> {
    let target = sizes.target.max(1);
    let overlap = sizes.overlap.min(target / 2); // Otherwise a chunk could consist of what the last one said.
    let mut out: Vec<Chunk> = Vec::new();
    for section in sections(markdown, target) {
        let mut pieces = Vec::new();
        split(markdown, section.range.clone(), target - overlap, 0, &mut pieces);
        for range in pack(markdown, &pieces, target, overlap) {
            let range = trimmed(markdown, range);
            if range.is_empty() {
                continue;
            }
            let text = markdown[range.clone()].to_owned();
            out.push(Chunk {
                token_count: u32::try_from(tokens(&text)).unwrap_or(u32::MAX),
                chunk_index: u32::try_from(out.len()).unwrap_or(u32::MAX),
                metadata: Metadata {
                    source_url: source_url.to_owned(),
                    title: title.to_owned(),
                    section: section.path.join(" > "),
                },
                text,
                range,
            });
        }
    }
    out
}

/// Estimates how many tokens a model counts in a text: words of up to 9 letters are one, longer ones one more per 9 letters;
/// digits one per 3; every sign one; letters outside ASCII one per 2, and each letter of unspaced scripts one.
///
/// Deterministic and cheap on purpose: the same text is cut the same way whichever embedder is in use. Measured on English
/// prose against `all-MiniLM-L6-v2`'s WordPiece it is within 15 % (a test of the local embedder checks this).
#[must_use]
pub fn tokens(text: &str) -> usize {
    let mut total = 0;
    let mut counter = Counter::default();
    for c in text.chars() {
        total += counter.step(c);
    }
    total + counter.end()
}

/// Counts tokens letter by letter: what it returns is what has become certain.
#[derive(Default)]
struct Counter {
    ascii: usize,
    digits: usize,
    other: usize,
}

impl Counter {
    fn step(&mut self, c: char) -> usize {
        if c.is_ascii_alphabetic() {
            let done = if self.digits + self.other > 0 { self.end() } else { 0 };
            self.ascii += 1;
            return done;
        }
        if c.is_ascii_digit() {
            let done = if self.ascii + self.other > 0 { self.end() } else { 0 };
            self.digits += 1;
            return done;
        }
        if c.is_alphanumeric() && !is_unspaced(c) {
            let done = if self.digits > 0 { self.end() } else { 0 };
            self.other += 1;
            return done;
        }
        self.end() + usize::from(!c.is_whitespace())
    }

    /// Tokens of the word that has not ended yet.
    fn open(&self) -> usize {
        self.ascii.div_ceil(9) + self.other.div_ceil(2) + self.digits.div_ceil(3)
    }

    fn end(&mut self) -> usize {
        let open = self.open();
        *self = Counter::default();
        open
    }
}

/// The level and text of a Markdown heading line (`# …`).
#[must_use]
pub fn heading(line: &str) -> Option<(u8, &str)> {
    let level = line.bytes().take_while(|byte| *byte == b'#').count();
    let rest = line.get(level..)?;
    if !(1..=6).contains(&level) || !rest.starts_with(' ') {
        return None;
    }
    let text = rest.trim().trim_end_matches('#').trim_end();
    (!text.is_empty()).then_some((u8::try_from(level).ok()?, text))
}

struct Section {
    range: Range<usize>,
    path: Vec<String>,
}

/// Cuts at headings and joins small neighbours under what their paths share.
fn sections(markdown: &str, target: usize) -> Vec<Section> {
    let mut raw: Vec<Section> = Vec::new();
    let mut path: Vec<(u8, String)> = Vec::new();
    let mut start = 0;
    let mut at = 0;
    let mut fenced = false;
    for line in markdown.split_inclusive('\n') {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if let Some((level, text)) = (!fenced).then(|| heading(line.trim_end())).flatten() {
            if !markdown[start..at].trim().is_empty() {
                raw.push(Section { range: start..at, path: names(&path) });
            }
            start = at;
            path.retain(|(above, _)| *above < level);
            path.truncate(MAX_PATH - 1);
            path.push((level, text.to_owned()));
        }
        at += line.len();
    }
    if !markdown[start..].trim().is_empty() {
        raw.push(Section { range: start..markdown.len(), path: names(&path) });
    }
    let mut joined: Vec<Section> = Vec::new();
    for section in raw {
        let size = tokens(&markdown[section.range.clone()]);
        if let Some(last) = joined.last_mut() {
            let before = tokens(&markdown[last.range.clone()]);
            if before.min(size) < SMALL_SECTION_TOKENS && before + size <= target {
                last.range.end = section.range.end;
                let shared = last.path.iter().zip(&section.path).take_while(|(a, b)| a == b).count();
                last.path.truncate(shared);
                continue;
            }
        }
        joined.push(section);
    }
    joined
}

fn names(path: &[(u8, String)]) -> Vec<String> {
    path.iter().map(|(_, name)| name.clone()).collect()
}

/// The order in which texts are cut: paragraphs, lines, sentences, words, letters.
const LEVELS: [fn(&str) -> Vec<usize>; 4] = [after_paragraphs, after_lines, after_sentences, after_words];

/// Cuts a range into pieces of at most `max` tokens, as coarse as possible, without gaps.
fn split(text: &str, range: Range<usize>, max: usize, level: usize, out: &mut Vec<Range<usize>>) {
    let slice = &text[range.clone()];
    if tokens(slice) <= max {
        out.push(range);
        return;
    }
    let Some(cut) = LEVELS.get(level) else {
        let mut start = range.start;
        let mut count = Counter::default();
        let mut certain = 0;
        for (offset, c) in slice.char_indices() {
            certain += count.step(c);
            if certain + count.open() > max && range.start + offset > start {
                out.push(start..range.start + offset);
                start = range.start + offset;
                count = Counter::default();
                certain = count.step(c);
            }
        }
        out.push(start..range.end);
        return;
    };
    let mut start = range.start;
    for end in cut(slice).into_iter().map(|end| range.start + end).chain([range.end]) {
        if end > start {
            split(text, start..end, max, level + 1, out);
            start = end;
        }
    }
}

/// Joins neighbouring pieces up to `target` tokens; each chunk after the first begins with the end of the one before.
fn pack(text: &str, pieces: &[Range<usize>], target: usize, overlap: usize) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    let Some(first) = pieces.first() else {
        return out;
    };
    let mut current = first.clone();
    // A text has at most as many tokens as its parts together, so sums never let a chunk grow too long.
    let mut size = tokens(&text[current.clone()]);
    for piece in &pieces[1..] {
        let more = tokens(&text[piece.clone()]);
        if size + more <= target {
            current.end = piece.end;
            size += more;
            continue;
        }
        let start = overlap_start(text, &current, overlap);
        size = tokens(&text[start..current.end]) + more;
        out.push(current);
        current = start..piece.end;
    }
    out.push(current);
    out
}

/// Where the repeated end of a chunk begins: at a sentence if one fits, else at a word.
fn overlap_start(text: &str, chunk: &Range<usize>, overlap: usize) -> usize {
    if overlap == 0 {
        return chunk.end;
    }
    let slice = &text[chunk.clone()];
    for cut in [after_sentences, after_words] {
        let starts = cut(slice).into_iter().rev().map(|at| chunk.start + at).filter(|at| *at < chunk.end);
        let fits = starts.take_while(|at| tokens(&text[*at..chunk.end]) <= overlap).last();
        if let Some(at) = fits
            && !text[at..chunk.end].trim().is_empty()
        {
            return at;
        }
    }
    chunk.end
}

fn after_paragraphs(text: &str) -> Vec<usize> {
    text.match_indices("\n\n").map(|(at, found)| at + found.len()).collect()
}

fn after_lines(text: &str) -> Vec<usize> {
    text.match_indices('\n').map(|(at, _)| at + 1).collect()
}

fn after_sentences(text: &str) -> Vec<usize> {
    crate::snippet::sentence_ends(text)
}

fn after_words(text: &str) -> Vec<usize> {
    text.char_indices().filter(|(_, c)| c.is_whitespace()).map(|(at, c)| at + c.len_utf8()).collect()
}

fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let slice = &text[range.clone()];
    let start = range.start + (slice.len() - slice.trim_start().len());
    let end = range.end - (slice.len() - slice.trim_end().len());
    start..end.max(start)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Sizes, chunks, chunks_of, heading, tokens};

    #[test]
    fn tokens_are_estimated_by_kind_of_letter() {
        for (text, expected) in [
            ("", 0),
            ("a cat", 2),
            ("receptionist", 2),
            ("2026", 2),
            ("a,b.", 4),
            ("über", 2),
            ("東京", 2),
            ("x1y", 3),
            ("  \n", 0),
        ] {
            assert_eq!(tokens(text), expected, "{text}");
        }
    }

    #[test]
    fn heading_lines_are_told_from_hashtags() {
        assert_eq!(heading("## Prices ##"), Some((2, "Prices")));
        for line in ["#tag", "####### seven", "# ", "text", "#"] {
            assert_eq!(heading(line), None, "{line}");
        }
    }

    #[test]
    fn chunks_know_their_headings() {
        let body = "Sentence about pipes and boilers. ".repeat(40);
        let markdown =
            format!("# Acme\n\n{body}\n\n## Prices\n\n{body}\n\n### Call-out\n\n{body}\n\n## Hours\n\n{body}");
        let sections: Vec<String> =
            chunks(&markdown, "u", "t").into_iter().map(|chunk| chunk.metadata.section).collect();
        assert_eq!(sections, ["Acme", "Acme > Prices", "Acme > Prices > Call-out", "Acme > Hours"]);
    }

    #[test]
    fn small_sections_share_a_chunk_under_their_common_heading() {
        let chunks = chunks("# FAQ\n\n## One?\n\nYes.\n\n## Two?\n\nNo.", "u", "t");
        assert_eq!(chunks.len(), 1);
        assert_eq!(chunks[0].metadata.section, "FAQ");
        assert!(chunks[0].text.contains("## Two?\n\nNo."));
    }

    #[test]
    fn a_long_text_overlaps_at_sentences() {
        let markdown: String = (0..200).map(|n| format!("This is sentence number {n} of the long text. ")).collect();
        let chunks = chunks(&markdown, "u", "t");
        assert!(chunks.len() > 3);
        for pair in chunks.windows(2) {
            assert!(pair[1].range.start < pair[0].range.end, "chunks overlap");
            assert!(
                pair[1].text.starts_with("This is sentence"),
                "the overlap begins with a sentence: {}",
                &pair[1].text[..30]
            );
        }
        assert!(chunks.iter().all(|chunk| chunk.token_count as usize <= super::TARGET_TOKENS));
        assert!(chunks[..chunks.len() - 1].iter().all(|chunk| chunk.token_count > 400));
    }

    #[test]
    fn headings_inside_code_are_not_sections() {
        let filler = "words and more words here. ".repeat(60);
        let chunks = chunks(&format!("# A\n\n{filler}\n\n```\n# comment\n{filler}\n```\n"), "u", "t");
        assert!(chunks.iter().all(|chunk| chunk.metadata.section == "A"));
    }

    proptest! {
        #[test]
        fn every_visible_character_is_covered_and_no_chunk_is_too_long(
            parts in prop::collection::vec(prop_oneof![
                "[a-z]{1,30}", "[0-9]{1,12}", Just("\n".to_owned()), Just("\n\n".to_owned()), Just("\n# ".to_owned()), Just("```\n".to_owned()),
                Just(". ".to_owned()), Just(" ".to_owned()), "[äß東京👍🏽é]{1,8}",
            ], 0..200),
            target in 4usize..60, overlap in 0usize..20,
        ) {
            let markdown = parts.concat();
            let chunks = chunks_of(&markdown, "u", "t", Sizes { target, overlap });
            let mut covered = vec![false; markdown.len()];
            let mut last_start = 0;
            for (index, chunk) in chunks.iter().enumerate() {
                prop_assert_eq!(&markdown[chunk.range.clone()], &chunk.text);
                prop_assert_eq!(chunk.chunk_index as usize, index);
                prop_assert!(chunk.token_count as usize <= target, "{} > {}", chunk.token_count, target);
                prop_assert!(!chunk.text.trim().is_empty());
                prop_assert!(chunk.range.start >= last_start);
                last_start = chunk.range.start;
                covered[chunk.range.clone()].fill(true);
            }
            for (at, c) in markdown.char_indices() {
                prop_assert!(covered[at] || c.is_whitespace(), "lost {:?} at {}", c, at);
            }
            // The overlap must not multiply the text.
            let total: usize = chunks.iter().map(|chunk| chunk.text.len()).sum();
            prop_assert!(total <= markdown.len() * 3);
        }
    }
}
