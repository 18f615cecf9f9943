//! Picks from a text the sentences that answer a query.

use crate::words::{Analyzer, Language};

/// The length of a source's snippet, in characters (requirement KB-23).
pub const SNIPPET_CHARS: usize = 100;
/// A text with more sentences than this is cut here; chunks have some 30.
const MAX_SENTENCES: usize = 500;

/// Words before a full stop that do not end a sentence.
const ABBREVIATIONS: [&str; 48] = [
    "approx", "apr", "aug", "ave", "bldg", "blvd", "bzw", "ca", "co", "corp", "dec", "dept", "dr", "e.g", "etc", "ext",
    "feb", "fig", "fri", "hr", "hrs", "i.e", "inc", "jan", "jr", "ltd", "max", "min", "mon", "mr", "mrs", "ms", "mt",
    "no", "nov", "nr", "oct", "prof", "rd", "rev", "sat", "sep", "sept", "sr", "st", "ste", "tel", "vs",
];

/// A sentence of a text and how well it answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Sentence {
    /// Without Markdown.
    pub text: String,
    /// The weight of the query's words it holds: 0 to 1.
    pub score: f32,
    /// Its position in the text.
    pub index: usize,
}

/// The best sentences for a query, at most `count`, in reading order. Sentences without any word of the query are left out.
///
/// `idf` weighs a stemmed term by its rarity; `|_| 1.0` treats all alike.
#[must_use]
pub fn best_sentences(
    text: &str,
    query: &str,
    language: Language,
    count: usize,
    idf: impl Fn(&str) -> f32,
) -> Vec<Sentence> {
    let mut scored = scored(text, query, language, idf);
    scored.retain(|sentence| sentence.score > 0.0);
    scored.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.index.cmp(&b.index)));
    scored.truncate(count);
    scored.sort_by_key(|sentence| sentence.index);
    scored
}

/// One line of at most `max_chars` characters that shows why a text was found: its best sentence, else its first.
#[must_use]
pub fn snippet(text: &str, query: &str, language: Language, max_chars: usize) -> String {
    let scored = scored(text, query, language, |_| 1.0);
    // The first of equals: `max_by` would give the last.
    let best = scored.iter().rev().max_by(|a, b| a.score.total_cmp(&b.score));
    best.map(|sentence| shortened(&sentence.text, max_chars)).unwrap_or_default()
}

/// The sentences of a Markdown text without their Markdown. Headings, list items and table rows are sentences of their own.
#[must_use]
pub fn sentences(markdown: &str) -> Vec<String> {
    marked_sentences(markdown).into_iter().map(|sentence| sentence.text).collect()
}

/// A sentence and what it is to those after it.
pub(crate) struct Marked {
    pub(crate) text: String,
    /// Whether it is a heading, or a term in bold on a line of its own, which the text below explains.
    pub(crate) is_lead: bool,
}

/// As [`sentences`], with headings and terms told from the rest.
pub(crate) fn marked_sentences(markdown: &str) -> Vec<Marked> {
    let mut out = Vec::new();
    let mut fenced = false;
    let mut paragraph = String::new();
    let mut is_lead = false;
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            take_sentences(&mut paragraph, is_lead, &mut out);
            is_lead = false;
            continue;
        }
        if line.trim_start().starts_with('|') && line.bytes().all(|byte| b"|-: ".contains(&byte)) {
            continue; // The rule under a table's head.
        }
        let plain = if fenced { line.trim().to_owned() } else { plain_line(line) };
        // A line that goes on in lower case was wrapped by its editor and is the same sentence.
        let wrapped = !fenced && plain == line.trim() && plain.starts_with(char::is_lowercase) && !paragraph.is_empty();
        if wrapped {
            paragraph.push(' ');
        } else {
            take_sentences(&mut paragraph, is_lead, &mut out);
            is_lead = !fenced && leads(line.trim());
        }
        paragraph.push_str(&plain);
        if out.len() >= MAX_SENTENCES {
            break;
        }
    }
    take_sentences(&mut paragraph, is_lead, &mut out);
    out.truncate(MAX_SENTENCES);
    out
}

/// Whether a line is a heading or nothing but a term in bold.
fn leads(line: &str) -> bool {
    let bold = line.strip_prefix("**").and_then(|line| line.strip_suffix("**"));
    crate::chunk::heading(line).is_some() || bold.is_some_and(|term| !term.is_empty() && !term.contains("**"))
}

/// Moves the sentences of a paragraph to `out`.
fn take_sentences(paragraph: &mut String, is_lead: bool, out: &mut Vec<Marked>) {
    let mut start = 0;
    for end in sentence_ends(paragraph).into_iter().chain([paragraph.len()]) {
        let sentence = paragraph[start..end].trim();
        if sentence.chars().any(char::is_alphanumeric) {
            out.push(Marked { text: sentence.to_owned(), is_lead });
        }
        start = end;
    }
    paragraph.clear();
}

/// Byte positions right after each sentence and its white space. Full stops in numbers, addresses, initials and abbreviations
/// do not end one.
#[must_use]
pub fn sentence_ends(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut letters = text.char_indices().peekable();
    while let Some((at, c)) = letters.next() {
        let wide = matches!(c, '。' | '！' | '？');
        if !wide && !matches!(c, '.' | '!' | '?' | '…') {
            continue;
        }
        // Closing quotes, brackets and emphasis belong to the sentence.
        while let Some((_, ')' | ']' | '"' | '\'' | '”' | '’' | '»' | '*' | '.' | '!' | '?')) = letters.peek() {
            letters.next();
        }
        let after = letters.peek().map_or(text.len(), |(next, _)| *next);
        let space = letters.peek().is_some_and(|(_, next)| next.is_whitespace());
        if !wide && !space {
            continue; // "3.5", "example.com", "v1.2": no space, no end. The text's end needs none.
        }
        if c == '.' && !ends_sentence(&text[..at], &text[after..]) {
            continue;
        }
        let mut end = after;
        while let Some((next, space)) = letters.peek().copied() {
            if !space.is_whitespace() {
                break;
            }
            end = next + space.len_utf8();
            letters.next();
        }
        ends.push(end);
    }
    ends
}

/// Whether a full stop between `before` and `after` ends a sentence.
fn ends_sentence(before: &str, after: &str) -> bool {
    let word =
        before.rsplit(|c: char| c.is_whitespace() || matches!(c, '(' | '[' | '"' | '*')).next().unwrap_or_default();
    let next = after.trim_start().chars().next();
    if next.is_some_and(char::is_lowercase) {
        return false; // A sentence begins with a capital, a number or a sign.
    }
    let mut letters = word.chars();
    let initial = matches!((letters.next(), letters.next()), (Some(only), None) if only.is_uppercase());
    if initial && word != "I" {
        return false; // "J. Smith".
    }
    let lower = word.to_lowercase();
    // "No. 5" is an abbreviation, "I said no. We left." is not.
    if ABBREVIATIONS.binary_search(&lower.as_str()).is_ok() {
        return !(next.is_some_and(|c| c.is_alphanumeric())
            && (lower != "no" || next.is_some_and(|c| c.is_ascii_digit())));
    }
    // "1. First" at a line's start is a list's number.
    let numbered = !word.is_empty() && word.len() <= 3 && word.bytes().all(|byte| byte.is_ascii_digit());
    !(numbered
        && before.trim_end_matches(word).trim_end_matches(' ').ends_with('\n') | (numbered && before.trim() == word))
}

/// A line without Markdown signs.
fn plain_line(line: &str) -> String {
    let mut rest = line.trim();
    loop {
        let shorter = rest.trim_start_matches('>').trim_start();
        let shorter = crate::chunk::heading(shorter).map_or(shorter, |(_, text)| text);
        let shorter =
            ["- ", "* ", "+ ", "\\"].iter().find_map(|mark| shorter.strip_prefix(mark)).unwrap_or(shorter).trim_start();
        let number = shorter.bytes().take_while(u8::is_ascii_digit).count();
        let shorter = match shorter.get(number..).and_then(|after| after.strip_prefix(". ")) {
            Some(item) if (1..=3).contains(&number) => item,
            _ => shorter,
        };
        if shorter.len() == rest.len() {
            break;
        }
        rest = shorter;
    }
    if let Some(row) = rest.strip_prefix('|') {
        let cells: Vec<&str> =
            row.trim_end_matches('|').split(" | ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        return cells.join(": ").replace("**", "").replace("\\|", "|");
    }
    let without_links = links_to_text(rest);
    without_links.replace("**", "").replace("__", "").replace('`', "")
}

/// `[text](address)` and `![text](address)` as their text.
fn links_to_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('[') {
        let found = rest[open..].find("](").and_then(|middle| {
            let close = rest[open + middle..].find(')')?;
            (!rest[open + 1..open + middle].contains('[')).then_some((open + middle, open + middle + close + 1))
        });
        match found {
            Some((middle, end)) => {
                out.push_str(rest[..open].strip_suffix('!').unwrap_or(&rest[..open]));
                out.push_str(&rest[open + 1..middle]);
                rest = &rest[end..];
            }
            None => {
                out.push_str(&rest[..=open]);
                rest = &rest[open + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn scored(text: &str, query: &str, language: Language, idf: impl Fn(&str) -> f32) -> Vec<Sentence> {
    let analyzer = Analyzer::new(language);
    let terms = analyzer.query(query);
    let weights: Vec<f32> = terms.iter().map(|term| idf(term).max(0.0)).collect();
    let all: f32 = weights.iter().sum();
    let mut found = vec![false; terms.len()];
    let sentences = sentences(text).into_iter().enumerate();
    sentences
        .map(|(index, text)| {
            found.fill(false);
            let mut words = 0_u16;
            analyzer.terms(&text, |term| {
                words = words.saturating_add(1);
                if let Some(at) = terms.iter().position(|known| known == term) {
                    found[at] = true;
                }
            });
            let weight: f32 = weights.iter().zip(&found).filter(|(_, found)| **found).map(|(weight, _)| weight).sum();
            let share = if all > 0.0 { weight / all } else { 0.0 };
            // Of two sentences with the same words the one that says more than the question is the answer; an endless one is a list.
            let length = match words {
                0..=2 => 0.7,
                3..=60 => 1.0,
                _ => 0.85,
            };
            // A question repeats the query without answering it.
            let asks = if text.ends_with('?') { 0.6 } else { 1.0 };
            Sentence { text, score: share * length * asks, index }
        })
        .collect()
}

/// At most `max_chars` characters, cut after a word, with an ellipsis when cut.
fn shortened(text: &str, max_chars: usize) -> String {
    if text.chars().count() <= max_chars {
        return text.to_owned();
    }
    let end = text.char_indices().nth(max_chars.saturating_sub(1)).map_or(text.len(), |(at, _)| at);
    let cut = &text[..end];
    let cut = match cut.rfind(' ') {
        Some(space) if space * 2 > cut.len() => &cut[..space],
        _ => cut,
    };
    format!("{}…", cut.trim_end_matches([' ', ',', ';', ':', '.']))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ABBREVIATIONS, SNIPPET_CHARS, best_sentences, sentence_ends, sentences, snippet};
    use crate::words::Language;

    #[test]
    fn abbreviations_are_sorted_because_they_are_searched_by_halves() {
        assert!(ABBREVIATIONS.is_sorted());
    }

    #[test]
    fn sentences_survive_stops_that_do_not_end_them() {
        for (text, expected) in [
            ("It costs $3.50. Call Dr. Smith.", vec!["It costs $3.50.", "Call Dr. Smith."]),
            (
                "Visit www.acme.example/a.b now! Really? Yes.",
                vec!["Visit www.acme.example/a.b now!", "Really?", "Yes."],
            ),
            (
                "We open at 9 a.m. on weekdays. J. Doe owns it.",
                vec!["We open at 9 a.m. on weekdays.", "J. Doe owns it."],
            ),
            ("Use tools, e.g. Wrenches. \"Quoted.\" Next.", vec!["Use tools, e.g. Wrenches.", "\"Quoted.\"", "Next."]),
            ("No. 5 Main St. Leeds. I said no. We left.", vec!["No. 5 Main St. Leeds.", "I said no.", "We left."]),
            ("今日は。元気？はい", vec!["今日は。", "元気？", "はい"]),
            (
                "# Head\n\n- one item\n- **two** items. Three\n1. First thing",
                vec!["Head", "one item", "two items.", "Three", "First thing"],
            ),
            ("| Job | Price |\n| --- | --- |\n| Call-out | $80 |", vec!["Job: Price", "Call-out: $80"]),
            ("See [our page](https://x.example/a.b) and ![pic](p.png).", vec!["See our page and pic."]),
            (
                "This line was wrapped\nin the middle. And\nNew line\n\nOther",
                vec!["This line was wrapped in the middle.", "And", "New line", "Other"],
            ),
            ("", vec![]),
        ] {
            assert_eq!(sentences(text), expected, "{text}");
        }
    }

    #[test]
    fn the_sentence_with_the_rare_word_wins() {
        let text = "We fix pipes. Our emergency line is open at night. We fix boilers. Do you have an emergency line?";
        let best = best_sentences(text, "is the emergency line open at night", Language::English, 1, |_| 1.0);
        assert_eq!(best[0].text, "Our emergency line is open at night.");
        let rare = |term: &str| if term == "boiler" { 5.0 } else { 0.5 };
        let best = best_sentences(text, "emergency boiler", Language::English, 1, rare);
        assert_eq!(best[0].text, "We fix boilers.");
        assert!(best_sentences(text, "unicorn", Language::English, 3, |_| 1.0).is_empty());
    }

    #[test]
    fn a_snippet_is_short_and_falls_back_to_the_beginning() {
        let text = format!("First sentence here. {} emergency {}.", "Many words".repeat(10), "more words".repeat(10));
        let found = snippet(&text, "emergency", Language::English, SNIPPET_CHARS);
        assert!(found.chars().count() <= SNIPPET_CHARS && found.ends_with('…'), "{found}");
        assert_eq!(snippet(&text, "unicorn", Language::English, SNIPPET_CHARS), "First sentence here.");
        assert_eq!(snippet("", "x", Language::English, SNIPPET_CHARS), "");
    }

    proptest! {
        #[test]
        fn any_text_is_cut_at_characters_in_order(text in "[a-zA-Z0-9é。.!?|#>*`\\[\\]() \n'\"]{0,200}") {
            let mut last = 0;
            for end in sentence_ends(&text) {
                prop_assert!(end > last && text.is_char_boundary(end));
                last = end;
            }
            for sentence in sentences(&text) {
                prop_assert!(sentence.chars().count() <= text.chars().count() * 2 + 2);
            }
            prop_assert!(snippet(&text, "a b", Language::English, 20).chars().count() <= 20);
        }
    }
}
