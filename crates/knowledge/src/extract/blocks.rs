//! Writes Markdown block by block while HTML streams past; remembers where each block stood, so that the main text can be chosen at the end.

/// The most columns a table keeps; wider ones are spreadsheets.
const MAX_COLUMNS: usize = 20;
/// A cell longer than this means the table was used for layout; it is then written as paragraphs.
const MAX_CELL_CHARS: usize = 600;
/// Lists nest this deep in Markdown; deeper items are written at this depth.
const MAX_INDENT: usize = 8;

/// Where in the page a block stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Inside `<main>`.
    pub main: bool,
    /// Inside `<article>`.
    pub article: bool,
    /// In a part that is rarely the text: footer, aside, form, share bar.
    pub soft: bool,
    /// In the page's header, where menus live beside the first heading.
    pub header: bool,
}

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockKind {
    Heading,
    Item,
    Other,
}

/// One block of Markdown.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub markdown: String,
    pub kind: BlockKind,
    pub place: Place,
    /// Letters of visible text.
    pub letters: usize,
    /// Those of them inside links.
    pub link_letters: usize,
}

#[derive(Debug)]
struct List {
    /// The number of the next item of an ordered list.
    next: Option<u64>,
}

#[derive(Debug, Default)]
struct Table {
    rows: Vec<Vec<String>>,
    in_cell: bool,
}

/// Collects inline text into blocks.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub blocks: Vec<Block>,
    /// Bytes of Markdown so far.
    pub bytes: usize,
    place: Place,
    inline: String,
    link_letters: usize,
    link_depth: usize,
    heading: Option<u8>,
    lists: Vec<List>,
    /// The bullet or number of the item that has just begun.
    marker: Option<String>,
    quotes: usize,
    pre: bool,
    table: Option<Table>,
    /// Tables inside a cell: their text joins the cell.
    nested_tables: usize,
    /// Where `**` and `` ` `` began in `inline`.
    spans: Vec<(usize, &'static str)>,
}

impl Writer {
    /// Adds decoded text.
    pub(super) fn text(&mut self, text: &str) {
        if self.link_depth > 0 {
            self.link_letters += text.chars().filter(|c| c.is_alphanumeric()).count();
        }
        if self.pre {
            self.inline.push_str(text);
            return;
        }
        for c in text.chars() {
            if c.is_whitespace() {
                self.space();
            } else if !c.is_control() && !matches!(c, '\u{ad}' | '\u{200b}' | '\u{feff}') {
                self.inline.push(c); // Soft hyphens and zero-width spaces would split words for the index.
            }
        }
    }

    /// A line break inside a block.
    pub(super) fn line_break(&mut self) {
        let in_cell = self.table.as_ref().is_some_and(|table| table.in_cell);
        if in_cell || self.heading.is_some() {
            self.space();
        } else if !self.inline.trim().is_empty() {
            while self.inline.ends_with(' ') {
                self.inline.pop();
            }
            self.inline.push('\n');
        }
    }

    /// Ends the current block; the next one stands at `place`.
    pub(super) fn boundary(&mut self, place: Place) {
        if self.table.as_ref().is_some_and(|table| table.in_cell) {
            self.space(); // Blocks inside a cell become words of the cell.
        } else {
            self.flush();
        }
        self.place = place;
    }

    pub(super) fn open_heading(&mut self, level: u8) {
        self.heading = Some(level);
    }

    pub(super) fn close_heading(&mut self) {
        self.flush();
        self.heading = None;
    }

    pub(super) fn open_list(&mut self, start: Option<u64>) {
        self.lists.push(List { next: start });
    }

    pub(super) fn close_list(&mut self) {
        self.marker = None;
        self.lists.pop();
    }

    pub(super) fn open_item(&mut self) {
        self.marker = Some(match self.lists.last_mut().and_then(|list| list.next.as_mut()) {
            Some(next) => {
                let marker = format!("{next}. ");
                *next += 1;
                marker
            }
            None => "- ".to_owned(),
        });
    }

    pub(super) fn open_quote(&mut self) {
        self.quotes += 1;
    }

    pub(super) fn close_quote(&mut self) {
        self.quotes = self.quotes.saturating_sub(1);
    }

    pub(super) fn open_pre(&mut self) {
        self.pre = true;
    }

    pub(super) fn close_pre(&mut self) {
        let code = std::mem::take(&mut self.inline);
        self.spans.clear();
        self.pre = false;
        let code = code.trim_matches('\n').trim_end();
        if code.trim().is_empty() {
            return;
        }
        if self.table.as_ref().is_some_and(|table| table.in_cell) {
            self.text(code);
            return;
        }
        let mut fence = "```".to_owned();
        while code.contains(&fence) {
            fence.push('`');
        }
        let letters = letters(code);
        self.push(format!("{fence}\n{code}\n{fence}"), BlockKind::Other, letters);
    }

    pub(super) fn open_link(&mut self) {
        self.link_depth += 1;
    }

    pub(super) fn close_link(&mut self) {
        self.link_depth = self.link_depth.saturating_sub(1);
    }

    pub(super) fn open_span(&mut self, mark: &'static str) {
        if !self.pre {
            self.spans.push((self.inline.len(), mark));
        }
    }

    pub(super) fn close_span(&mut self, mark: &'static str) {
        let Some(at) = self.spans.iter().rposition(|(_, open)| *open == mark) else {
            return;
        };
        let (start, _) = self.spans.remove(at);
        self.spans.retain(|(open, _)| *open <= start); // Spans left open inside end here too.
        if start > self.inline.len() || self.heading.is_some() {
            return; // The block ended inside the span, or all of it is strong anyway.
        }
        let inner = self.inline[start..].trim().to_owned();
        if inner.is_empty() || inner.contains(mark) || inner.contains('\n') {
            return;
        }
        let before = self.inline[start..].starts_with(' ');
        let after = self.inline.ends_with(' ');
        self.inline.truncate(start);
        for part in [if before { " " } else { "" }, mark, &inner, mark, if after { " " } else { "" }] {
            self.inline.push_str(part);
        }
    }

    pub(super) fn open_table(&mut self) {
        match self.table {
            Some(_) => self.nested_tables += 1,
            None => self.table = Some(Table::default()),
        }
    }

    pub(super) fn open_row(&mut self) {
        if self.nested_tables == 0
            && let Some(table) = &mut self.table
        {
            table.rows.push(Vec::new());
        }
    }

    pub(super) fn open_cell(&mut self) {
        if self.nested_tables == 0
            && let Some(table) = &mut self.table
        {
            table.in_cell = true;
        }
    }

    pub(super) fn close_cell(&mut self) {
        if self.nested_tables > 0 {
            self.space();
            return;
        }
        let Some(table) = &mut self.table else { return };
        if !std::mem::take(&mut table.in_cell) {
            return;
        }
        self.spans.clear();
        let cell = std::mem::take(&mut self.inline);
        if table.rows.is_empty() {
            table.rows.push(Vec::new());
        }
        self.bytes += cell.len();
        if let Some(row) = table.rows.last_mut()
            && row.len() < MAX_COLUMNS
        {
            row.push(cell.trim().to_owned());
        }
    }

    pub(super) fn close_table(&mut self) {
        if self.nested_tables > 0 {
            self.nested_tables -= 1;
            return;
        }
        let Some(mut table) = self.table.take() else {
            return;
        };
        table.rows.retain(|row| row.iter().any(|cell| !cell.is_empty()));
        let columns = table.rows.iter().map(Vec::len).max().unwrap_or(0);
        let layout = columns < 2 || table.rows.iter().flatten().any(|cell| cell.chars().count() > MAX_CELL_CHARS);
        if layout {
            for cell in table.rows.into_iter().flatten().filter(|cell| !cell.is_empty()) {
                let letters = letters(&cell);
                self.push(cell, BlockKind::Other, letters);
            }
            self.link_letters = 0;
            return;
        }
        let mut markdown = String::new();
        for (index, row) in table.rows.iter().enumerate() {
            markdown.push('|');
            for column in 0..columns {
                let cell = row.get(column).map_or("", String::as_str);
                markdown.push(' ');
                markdown.push_str(&cell.replace('|', "\\|").replace('\n', " "));
                markdown.push_str(" |");
            }
            markdown.push('\n');
            if index == 0 {
                markdown.push('|');
                markdown.push_str(&" --- |".repeat(columns));
                markdown.push('\n');
            }
        }
        let letters = table.rows.iter().flatten().map(|cell| letters(cell)).sum();
        self.push(markdown.trim_end().to_owned(), BlockKind::Other, letters);
    }

    /// Ends whatever is open at the end of the page.
    pub(super) fn finish(&mut self) {
        if self.pre {
            self.close_pre();
        }
        self.close_cell();
        while self.table.is_some() {
            self.close_table();
        }
        self.flush();
    }

    fn space(&mut self) {
        if !self.inline.is_empty() && !self.inline.ends_with([' ', '\n']) {
            self.inline.push(' ');
        }
    }

    fn flush(&mut self) {
        self.spans.clear();
        let inline = std::mem::take(&mut self.inline);
        let text = inline.trim();
        if text.is_empty() {
            return;
        }
        let letters = letters(text);
        if let Some(level) = self.heading {
            let line = format!("{} {text}", "#".repeat(usize::from(level.clamp(1, 6))));
            self.push(line, BlockKind::Heading, letters);
            return;
        }
        let depth = self.lists.len().min(MAX_INDENT);
        if depth == 0 && self.marker.is_none() {
            // Text that merely looks like a heading or a fence must not become one.
            let text =
                if text.starts_with('#') || text.starts_with("```") { format!("\\{text}") } else { text.to_owned() };
            self.push(text, BlockKind::Other, letters);
            return;
        }
        let indent = "  ".repeat(depth.saturating_sub(1));
        let lead = match self.marker.take() {
            Some(marker) => format!("{indent}{marker}"),
            None => format!("{indent}  "),
        };
        let under = " ".repeat(lead.len());
        let text = text.replace('\n', &format!("\n{under}"));
        self.push(format!("{lead}{text}"), BlockKind::Item, letters);
    }

    fn push(&mut self, markdown: String, kind: BlockKind, letters: usize) {
        let markdown = match self.quotes {
            0 => markdown,
            _ => format!("> {}", markdown.replace('\n', "\n> ")), // One level is enough for reading.
        };
        self.bytes += markdown.len() + 2;
        let link_letters = std::mem::take(&mut self.link_letters).min(letters);
        self.blocks.push(Block { markdown, kind, place: self.place, letters, link_letters });
    }
}

/// Joins blocks: list items line by line, everything else with an empty line between; a block repeated at once is kept once.
pub(super) fn join<'a>(blocks: impl Iterator<Item = &'a Block>) -> String {
    let mut out = String::new();
    let mut before: Option<&Block> = None;
    for block in blocks {
        if let Some(before) = before {
            if before.markdown == block.markdown {
                continue;
            }
            let tight = before.kind == BlockKind::Item && block.kind == BlockKind::Item;
            out.push_str(if tight { "\n" } else { "\n\n" });
        }
        out.push_str(&block.markdown);
        before = Some(block);
    }
    out
}

fn letters(text: &str) -> usize {
    text.chars().filter(|c| c.is_alphanumeric()).count()
}
