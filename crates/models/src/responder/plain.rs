//! Turns a passage's Markdown into plain sentences, list items and table rows; leaves out what nobody would say.

/// More parts than this are not looked at; a chunk of 500 tokens has some 40.
const PARTS_MAX: usize = 120;
/// A line of links this short is a menu.
const MENU_WORDS_MAX: usize = 8;
/// A line this short without a full stop and without a number is a crumb of the page, not a statement.
const CRUMB_WORDS_MAX: usize = 3;
/// A line in bold with more words than this is a statement, not a term that the text below explains.
const TERM_WORDS_MAX: usize = 8;
/// A question in bold, as lists of questions and answers have them, may be longer.
const ASKED_WORDS_MAX: usize = 20;
/// A list item longer than this is running text with a number before it.
const ITEM_CHARS_MAX: usize = 240;
/// Preformatted text with fewer words is code or a picture, whatever they look like.
const PROSE_WORDS_MIN: usize = 6;
/// The part of preformatted words that must be plain words for it to be prose.
const PROSE_PART: f64 = 0.6;
/// Words before a full stop that do not end a sentence.
const ABBREVIATIONS: &[&str] = &[
    "a.m", "approx", "apt", "ave", "bldg", "blvd", "ca", "co", "corp", "dept", "dr", "e.g", "est", "etc", "ext", "fig",
    "i.e", "inc", "jr", "ltd", "max", "min", "mr", "mrs", "ms", "no", "nr", "p.m", "prof", "rd", "sr", "st", "str",
    "vs",
];

/// What a part of a passage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A sentence of running text.
    Sentence,
    /// An item of a list, or a row of a table.
    Item,
}

/// One thing a passage says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) kind: Kind,
    pub(super) text: String,
    /// Parts of the same paragraph or list have the same number.
    pub(super) block: usize,
    /// The nearest heading above it.
    pub(super) heading: String,
}

/// What a passage says, in its order.
pub(super) fn parts(markdown: &str) -> Vec<Part> {
    let mut reader = Reader::default();
    let mut lines = markdown.lines().peekable();
    while let Some(line) = lines.next() {
        if reader.parts.len() >= PARTS_MAX {
            break;
        }
        let next = lines.peek().map(|next| next.trim());
        reader.line(line, next.unwrap_or_default());
    }
    reader.end_fenced();
    reader.end_table();
    reader.end_paragraph();
    reader.parts.truncate(PARTS_MAX);
    reader.parts
}

/// The same as running text: for prepared answers.
pub(super) fn text_of(markdown: &str) -> String {
    let parts = parts(markdown);
    if parts.is_empty() { strip_inline(markdown.trim()) } else { join(parts.iter()) }
}

/// Puts parts together: sentences on one line, items on lines of their own. A lone item needs no bullet.
pub(super) fn join<'a>(parts: impl Iterator<Item = &'a Part>) -> String {
    let parts: Vec<&Part> = parts.collect();
    let items = parts.iter().filter(|part| part.kind == Kind::Item).count();
    let mut text = String::new();
    let mut after_item = false;
    for (index, part) in parts.iter().enumerate() {
        let is_item = part.kind == Kind::Item;
        if !text.is_empty() {
            text.push(if is_item || after_item { '\n' } else { ' ' });
        }
        let next_is_item = parts.get(index + 1).is_some_and(|next| next.kind == Kind::Item);
        match part.text.strip_suffix(':') {
            // What the colon promised, code or a picture, is not said.
            Some(open) if !is_item && !next_is_item => {
                text.push_str(open);
                text.push('.');
            }
            _ => {
                if is_item && items > 1 {
                    text.push_str("• ");
                }
                text.push_str(&part.text);
            }
        }
        after_item = is_item;
    }
    text
}

#[derive(Default)]
struct Reader {
    parts: Vec<Part>,
    paragraph: String,
    /// The list item that is being read.
    item: Option<String>,
    heading: String,
    /// The terms in bold that the text being read explains, as a dictionary does.
    term: String,
    header: Vec<String>,
    /// Whether no row has followed the table's first line yet.
    header_alone: bool,
    block: usize,
    fence: Option<&'static str>,
    /// A paragraph of preformatted text.
    fenced: Vec<String>,
    last_was_item: bool,
    /// How many parts stood before the last term.
    term_at: usize,
}

impl Reader {
    /// Begins a definition. The terms above one explanation count together.
    fn begin_term(&mut self, term: &str) {
        self.end_item();
        if self.explained() {
            self.term.clear();
        }
        self.term.push_str(&strip_inline(term));
        self.term.push(' ');
        self.term_at = self.parts.len();
    }

    /// Whether something has been said since the last term.
    fn explained(&self) -> bool {
        self.parts.len() > self.term_at
    }

    /// Preformatted text is said only where it is prose: a sentence that its author aligned by hand.
    fn end_fenced(&mut self) {
        let lines = std::mem::take(&mut self.fenced);
        if is_prose(&lines) {
            let text = lines.join(" ").replace(['*', '`', '_', '[', '<'], " ");
            self.paragraph.push_str(&text);
            self.end_paragraph();
        }
    }

    /// A table of one line is a note in a box: its text is running text.
    fn end_table(&mut self) {
        if std::mem::take(&mut self.header_alone)
            && let [_, note] = self.header.as_slice()
        {
            self.paragraph = note.clone();
            self.end_paragraph();
        }
    }

    fn line(&mut self, line: &str, next: &str) {
        let trimmed = line.trim_start_matches(['>', ' ', '\t']).trim_end();
        if let Some(fence) = self.fence {
            let ends = trimmed.starts_with(fence);
            if ends || trimmed.is_empty() {
                self.end_fenced();
            } else {
                self.fenced.push(trimmed.to_owned());
            }
            if ends {
                self.fence = None;
            }
            return;
        }
        if !trimmed.starts_with('|') {
            self.end_table();
        }
        if let Some(fence) = ["```", "~~~"].into_iter().find(|fence| trimmed.starts_with(fence)) {
            self.end_paragraph();
            self.fence = Some(fence);
            return;
        }
        if trimmed.is_empty() {
            self.end_paragraph();
            self.header.clear();
            return;
        }
        let underline = |mark: char| next.len() >= 3 && next.chars().all(|c| c == mark);
        let hashes = trimmed.chars().take_while(|c| *c == '#').count();
        if (1..=6).contains(&hashes) && trimmed[hashes..].starts_with([' ', '\t']) {
            self.end_paragraph();
            self.heading = strip_inline(trimmed[hashes..].trim().trim_end_matches('#'));
            self.term.clear();
        } else if let Some(term) = term(trimmed).filter(|_| self.paragraph.is_empty() && next.is_empty()) {
            // "-v" and "--version" stand on lines of their own above one explanation.
            self.begin_term(term);
        } else if self.paragraph.is_empty()
            && self.item.is_none()
            && !trimmed.starts_with('|')
            && (underline('=') || underline('-'))
        {
            self.heading = strip_inline(trimmed);
        } else if trimmed.len() >= 3
            && (trimmed.chars().all(|c| matches!(c, '-' | '*' | '_' | ' ')) || trimmed.chars().all(|c| c == '='))
        {
            self.end_paragraph();
        } else if trimmed.starts_with('|') && trimmed.len() > 1 {
            self.table_row(trimmed, next);
        } else if let Some(term) =
            list_item(trimmed).and_then(term).filter(|_| !next.is_empty() && list_item(next).is_none())
        {
            self.end_paragraph();
            self.begin_term(term);
        } else if let Some(item) = list_item(trimmed) {
            if !self.last_was_item {
                self.end_paragraph();
            }
            self.end_item();
            self.item = Some(item.to_owned());
            self.last_was_item = true;
        } else if let Some(item) = &mut self.item {
            item.push(' ');
            item.push_str(trimmed);
        } else {
            let line = trimmed.trim_start_matches(['>', ' ']);
            if !is_menu(line) {
                if !self.paragraph.is_empty() {
                    self.paragraph.push(' ');
                }
                self.paragraph.push_str(line);
            }
        }
    }

    fn table_row(&mut self, line: &str, next: &str) {
        self.end_paragraph();
        let cells: Vec<String> = line.trim_matches('|').split('|').map(|cell| strip_inline(cell.trim())).collect();
        let is_rule = |line: &str| line.contains('-') && line.chars().all(|c| matches!(c, '|' | '-' | ':' | ' '));
        if is_rule(line) {
            return;
        }
        if is_rule(next) {
            self.header = cells;
            self.header_alone = true;
            return;
        }
        self.header_alone = false;
        let filled: Vec<(usize, &String)> = cells.iter().enumerate().filter(|(_, cell)| !cell.is_empty()).collect();
        let text = match filled.as_slice() {
            [] | [_] => return,
            [(_, name), (_, value)] => format!("{name}: {value}"),
            [(_, name), values @ ..] => {
                let named = values.iter().map(|(column, value)| {
                    match self.header.get(*column).filter(|head| !head.is_empty()) {
                        Some(head) => format!("{head} {value}"),
                        None => (*value).clone(),
                    }
                });
                format!("{name}: {}", named.collect::<Vec<_>>().join(", "))
            }
        };
        // All rows of a table are one block: the paragraph before it has been ended above, so only the first row begins one.
        if !self.last_was_item {
            self.block += 1;
            self.last_was_item = true;
        }
        self.push(Kind::Item, text);
    }

    fn end_item(&mut self) {
        let Some(item) = self.item.take() else { return };
        let only_link = item.starts_with('[') && item.ends_with(')') && item.matches("](").count() == 1;
        let words = item.split_whitespace().count();
        let item = strip_inline(&item);
        if item.is_empty() || (only_link && words <= MENU_WORDS_MAX) {
            return;
        }
        if item.chars().count() > ITEM_CHARS_MAX {
            for sentence in sentences(&item) {
                self.push(Kind::Sentence, sentence.to_owned());
            }
            return;
        }
        self.push(Kind::Item, item);
    }

    fn end_paragraph(&mut self) {
        let was_list = self.item.is_some();
        self.end_item();
        let paragraph = strip_inline(&std::mem::take(&mut self.paragraph));
        if paragraph.is_empty() {
            // A blank line inside a list does not end it; whatever comes next decides.
            if !was_list && !self.last_was_item {
                self.block += 1;
            }
            return;
        }
        self.block += 1;
        self.last_was_item = false;
        for sentence in sentences(&paragraph) {
            let words = sentence.split_whitespace().count();
            let ends = sentence.ends_with(['.', '!', '?', ':', '。', '！', '？', '"', '”', ')']);
            if ends || words > CRUMB_WORDS_MAX || sentence.chars().any(|c| c.is_ascii_digit()) {
                self.push(Kind::Sentence, sentence.to_owned());
            }
        }
        self.block += 1;
    }

    fn push(&mut self, kind: Kind, text: String) {
        if text.chars().any(char::is_alphanumeric) {
            let heading = format!("{} {}", self.heading, self.term).trim().to_owned();
            self.parts.push(Part { kind, text, block: self.block, heading });
        }
    }
}

/// A line that is nothing but a few words in bold: the term of a definition.
fn term(line: &str) -> Option<&str> {
    let term = line.strip_prefix("**")?.strip_suffix("**")?;
    let words_max = if term.ends_with('?') { ASKED_WORDS_MAX } else { TERM_WORDS_MAX };
    let is_term = !term.contains("**") && term.split_whitespace().count() <= words_max && !term.ends_with(['.', '!']);
    is_term.then_some(term)
}

fn is_capitalised(word: &str) -> bool {
    word.starts_with(char::is_uppercase) && word.chars().skip(1).all(|c| c.is_lowercase() || c == ',')
}

/// Whether preformatted lines are sentences rather than code, output or a drawing.
fn is_prose(lines: &[String]) -> bool {
    let words: Vec<&str> = lines.iter().flat_map(|line| line.split_whitespace()).collect();
    let plain = |word: &&&str| {
        let word = word.trim_matches(|c: char| matches!(c, ',' | '.' | ';' | ':' | '(' | ')' | '"' | '\'' | '!' | '?'));
        !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '\'' | '’'))
    };
    let code = |line: &String| line.ends_with([';', '{', '}', '\\', ',']) && lines.len() == 1 || line.contains("://");
    words.len() >= PROSE_WORDS_MIN
        && (is_capitalised(words[0])
            || lines.first().is_some_and(|line| line.ends_with(':'))
            || lines.last().is_some_and(|line| line.ends_with('.')))
        && !lines.iter().any(code)
        && words.iter().filter(plain).count() as f64 >= PROSE_PART * words.len() as f64
}

fn list_item(line: &str) -> Option<&str> {
    for mark in ["- ", "* ", "+ ", "• "] {
        if let Some(item) = line.strip_prefix(mark) {
            let item = item.trim();
            return Some(item.strip_prefix("[ ] ").or_else(|| item.strip_prefix("[x] ")).unwrap_or(item));
        }
    }
    let digits = line.chars().take_while(char::is_ascii_digit).count();
    if (1..=2).contains(&digits) {
        return line[digits..].strip_prefix(". ").or_else(|| line[digits..].strip_prefix(") ")).map(str::trim);
    }
    None
}

/// A line of links or crumbs: `Home › Services › Drains`, `[Home](/) [About](/about)`.
fn is_menu(line: &str) -> bool {
    let links = line.matches("](").count();
    let plain = strip_inline(line);
    let words = plain.split_whitespace().count();
    let linked: usize = line
        .split('[')
        .skip(1)
        .filter_map(|rest| rest.split(']').next())
        .map(|text| text.split_whitespace().count())
        .sum();
    let ends = plain.ends_with(['.', '!', '?', ':']);
    let crumbs = ['›', '»', '→', '/', '|', '·']
        .iter()
        .any(|mark| line.split(*mark).filter(|piece| line.contains(*mark) && !piece.trim().is_empty()).count() >= 3);
    (links >= 2 && linked + links >= words && !ends)
        || (crumbs && words <= MENU_WORDS_MAX * 2 && !ends && !plain.chars().any(|c| c.is_ascii_digit()))
}

/// Text without Markdown: links and emphasis become their text, pictures and tags vanish, runs of blanks become one.
pub(super) fn strip_inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (taken, shown): (usize, &str) = match c {
            '\\' => match rest[1..].chars().next() {
                Some(escaped) if escaped.is_ascii_punctuation() => (2, &rest[1..2]),
                _ => (1, "\\"),
            },
            '!' if rest.starts_with("![") => match link(&rest[1..]) {
                Some((length, _)) => (1 + length, ""),
                None => (1, "!"),
            },
            '[' => match link(rest) {
                Some((length, text)) => {
                    out.push_str(&strip_inline(text));
                    rest = &rest[length..];
                    continue;
                }
                None => (1, "["),
            },
            '<' => match rest.find('>') {
                Some(end) if rest[1..].starts_with("http") || rest[1..].starts_with("mailto:") => {
                    (end + 1, rest[1..end].trim_start_matches("mailto:"))
                }
                Some(end) if rest[1..].starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!')) => {
                    (end + 1, " ")
                }
                _ => (1, "<"),
            },
            '&' => entity(rest),
            '*' | '`' => (1, ""),
            // Underscores inside words belong to the word.
            '_' if !out.ends_with(char::is_alphanumeric) || !rest[1..].starts_with(char::is_alphanumeric) => (1, ""),
            '~' if rest.starts_with("~~") => (2, ""),
            _ => (c.len_utf8(), &rest[..c.len_utf8()]),
        };
        out.push_str(shown);
        rest = &rest[taken..];
    }
    let visible: String = out
        .chars()
        .map(|c| if c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}') { ' ' } else { c })
        .collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `[text](address)` at the beginning: its length and its text.
fn link(text: &str) -> Option<(usize, &str)> {
    let middle = text.find("](")?;
    let inner = text.get(1..middle)?;
    if inner.contains('\n') {
        return None;
    }
    // A picture inside a link has brackets of its own; its text is not shown anyway.
    let (start, inner) = match inner.strip_prefix("![") {
        Some(_) => (middle + 2 + text[middle + 2..].find("](")?, ""),
        None if inner.contains('[') => return None,
        None => (middle, inner),
    };
    let end = start + 2 + text[start + 2..].find(')')?;
    Some((end + 1, inner))
}

fn entity(text: &str) -> (usize, &'static str) {
    let known = [
        ("&amp;", "&"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&apos;", "'"),
        ("&nbsp;", " "),
    ];
    known.into_iter().find(|(name, _)| text.starts_with(name)).map_or((1, "&"), |(name, shown)| (name.len(), shown))
}

/// Cuts running text into sentences.
pub(super) fn sentences(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let end = at + c.len_utf8();
        let ends = match c {
            '。' | '！' | '？' => true,
            '.' | '!' | '?' => {
                let after = text[end..].trim_start_matches(['"', '”', ')', '\'', '’', ']']);
                let blank = after.starts_with(char::is_whitespace);
                let upper = after.trim_start().starts_with(|c: char| {
                    c.is_uppercase() || c.is_numeric() || matches!(c, '"' | '“' | '(' | '$' | '€' | '£' | '¿' | '¡')
                });
                blank && (c != '.' || (upper && !is_abbreviation(&text[start..at])))
            }
            _ => false,
        };
        if ends {
            let mut end = end;
            while let Some((at, _)) = chars.next_if(|(_, c)| matches!(c, '"' | '”' | ')' | '’' | ']')) {
                end = at + text[at..].chars().next().map_or(0, char::len_utf8);
            }
            sentences.push(text[start..end].trim());
            start = end;
        }
    }
    sentences.push(text[start..].trim());
    sentences.retain(|sentence| !sentence.is_empty());
    sentences
}

fn is_abbreviation(before: &str) -> bool {
    let word = before.rsplit([' ', '(']).next().unwrap_or_default().to_lowercase();
    let initial = word.chars().count() == 1 && word.chars().all(char::is_alphabetic);
    // "a.m." and "p.m." end a sentence as often as not; what follows is upper case here, so they do.
    (initial || ABBREVIATIONS.binary_search(&word.as_str()).is_ok())
        && !matches!(word.as_str(), "a.m" | "p.m" | "etc" | "inc" | "no" | "max" | "min")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(markdown: &str) -> Vec<String> {
        parts(markdown).into_iter().map(|part| part.text).collect()
    }

    #[test]
    fn a_page_becomes_what_it_says() {
        let page = "[Home](/) [Services](/s) [Contact us](/c)\n\nHome › Services › Drains\n\n# Drain cleaning\n\nWe clear **any** drain. \
            Dr. Smith approves!\nSee [our guide](https://x.example/g) for more.\n\n```sh\nrm -rf /\n```\n\nWhat we do:\n\n- Kitchen sinks\n- \
            Toilets,\n  also old ones\n\n* [About](/about)\n\n| Day | Hours |\n|---|---|\n| Monday | 9 am – 5 pm |\n| Sunday | closed |\n\nShare\n\n\
            Opening times\n-------------\n\n![A van](van.png) We drive <b>red</b> vans &amp; trucks.";
        assert_eq!(
            texts(page),
            [
                "We clear any drain.",
                "Dr. Smith approves!",
                "See our guide for more.",
                "What we do:",
                "Kitchen sinks",
                "Toilets, also old ones",
                "Monday: 9 am – 5 pm",
                "Sunday: closed",
                "We drive red vans & trucks.",
            ]
        );
        let parts = parts(page);
        assert_eq!(parts[0].heading, "Drain cleaning");
        assert_eq!(parts[8].heading, "Opening times");
        assert_eq!(parts[4].block, parts[5].block);
        assert_ne!(parts[0].block, parts[3].block);
    }

    #[test]
    fn sentences_survive_stops_that_do_not_end_them() {
        let cases: [(&str, &[&str]); 7] = [
            ("It costs $4.50. Call us.", &["It costs $4.50.", "Call us."]),
            ("Open at 9 a.m. Closed on Sunday.", &["Open at 9 a.m.", "Closed on Sunday."]),
            ("Mr. J. Doe is in. Really?! Yes.", &["Mr. J. Doe is in.", "Really?!", "Yes."]),
            ("See example.com for more", &["See example.com for more"]),
            ("He said \"Come.\" They came.", &["He said \"Come.\"", "They came."]),
            ("営業します。休みます。", &["営業します。", "休みます。"]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(sentences(text), expected, "{text}");
        }
    }

    #[test]
    fn definitions_notes_and_aligned_prose_are_read() {
        let page = "# Options\n\n**-t**\n\n**--timeout=<n>**\n\nSeconds to wait.\n\n**Is there a default?**\n\nIt is 30 seconds.\n\n\
            | Note | Passwords are kept as they are. Be careful. |\n| --- | --- |\n\n1. **Number of columns**\n  At most 2000 of them.\n\n\
            ```\n4-byte version:\n    We write version 2 only.\n```\n\n```\nrun --all x.y | sort -n;\n```\n\n\
            > ```\n> SELECT a FROM b WHERE c;\n> ```\n";
        let read: Vec<(String, String)> = parts(page).into_iter().map(|part| (part.heading, part.text)).collect();
        let expected = [
            ("Options -t --timeout=", "Seconds to wait."),
            ("Options Is there a default?", "It is 30 seconds."),
            ("Options Is there a default?", "Passwords are kept as they are."),
            ("Options Is there a default?", "Be careful."),
            ("Options Number of columns", "At most 2000 of them."),
            ("Options Number of columns", "4-byte version: We write version 2 only."),
        ];
        assert_eq!(read, expected.map(|(heading, text)| (heading.to_owned(), text.to_owned())));
    }

    #[test]
    fn a_long_item_is_told_sentence_by_sentence() {
        let item = format!("- {}The last one.", "This sentence is one of many that explain an item. ".repeat(6));
        let parts = parts(&item);
        assert_eq!(parts.len(), 7);
        assert!(parts.iter().all(|part| part.kind == Kind::Sentence && part.block == parts[0].block));
    }

    #[test]
    fn wide_tables_name_their_columns() {
        let table = "| Plan | Price | Seats |\n|:--|--:|---|\n| Basic | $10 | 3 |\n| Pro | $30 | |";
        assert_eq!(texts(table), ["Basic: Price $10, Seats 3", "Pro: $30"]);
    }

    #[test]
    fn abbreviations_are_sorted_because_they_are_searched_by_halves() {
        assert!(ABBREVIATIONS.is_sorted());
    }

    proptest! {
        #[test]
        fn any_text_gives_bounded_parts_made_of_its_own_letters(text in "[a-zA-Z0-9éß。.!?|#>*`~_\\\\<>&;=\\[\\]() \n'\"$-]{0,300}") {
            for part in parts(&text) {
                prop_assert!(!part.text.is_empty() && part.text.len() <= text.len() * 2 + 200);
                prop_assert!(!part.text.contains('\n'));
            }
            let _ = text_of(&text);
        }
    }
}
