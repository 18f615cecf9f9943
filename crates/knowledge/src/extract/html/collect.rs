//! Follows the tokenizer with a stack of open elements and collects text, links and what the page says about itself.

use std::collections::HashSet;

use lol_html::html_content::Element;
use url::Url;

use super::MAX_DEPTH;
use super::choose::main_text;
use super::tags::{Role, ends_paragraph, hint, implied_end, role};
use crate::extract::blocks::{Place, Writer, join};
use crate::extract::business::Facts;
use crate::extract::{
    Document, Link, MAX_DESCRIPTION_CHARS, MAX_MARKDOWN_BYTES, MAX_TITLE_CHARS, Question, cap_markdown, entities,
    headings_of, one_line,
};

/// More links than this are not followed from one page.
const MAX_LINKS: usize = 5_000;
/// More pictures than this are not listed.
const MAX_IMAGES: usize = 200;
/// More telephone numbers and addresses than this are a directory.
const MAX_CONTACTS: usize = 50;
/// More marked-up questions than this are not taken.
const MAX_FAQS: usize = 200;
/// The most bytes of one JSON-LD script that are parsed.
const MAX_JSON_LD_BYTES: usize = 256 << 10;
/// The longest address that is kept.
const MAX_URL_BYTES: usize = 2_048;

#[derive(Debug)]
struct Open {
    id: u64,
    tag: String,
    role: Role,
    junk: bool,
    place: Place,
}

/// What captures raw text instead of the page.
#[derive(Debug, PartialEq, Eq)]
enum Capture {
    None,
    Title,
    JsonLd,
}

#[derive(Debug)]
pub(super) struct Collector {
    pub elements: usize,
    url: Url,
    base: Url,
    stack: Vec<Open>,
    next_id: u64,
    writer: Writer,
    /// Text not decoded yet: a reference may be cut between two chunks.
    pending: String,
    capture: Capture,
    captured: String,
    document: Document,
    seen_links: HashSet<String>,
    page_title: Option<String>,
    social_title: Option<String>,
}

impl Collector {
    pub(super) fn new(url: Url) -> Self {
        Collector {
            elements: 0,
            base: url.clone(),
            url,
            stack: Vec::new(),
            next_id: 0,
            writer: Writer::default(),
            pending: String::new(),
            capture: Capture::None,
            captured: String::new(),
            document: Document::default(),
            seen_links: HashSet::new(),
            page_title: None,
            social_title: None,
        }
    }

    /// A start tag. Returns the id under which its end is to be told.
    pub(super) fn start(&mut self, element: &Element<'_, '_>) -> Option<u64> {
        self.elements += 1;
        self.decode_pending();
        let tag = element.tag_name();
        self.close_implied(&tag);
        self.note(&tag, element);
        let parent = self.stack.last();
        let (mut junk, mut place) = parent.map_or((false, Place::default()), |open| (open.junk, open.place));
        let role = role(&tag);
        match role {
            Role::Junk => junk = true,
            Role::Button if !self.inside_question() => junk = true,
            _ => {}
        }
        if matches!(role, Role::Block | Role::List { .. } | Role::Table) {
            let get = |name: &str| element.get_attribute(name);
            let hint = hint(&tag, get("role").as_deref(), get("class").as_deref(), get("id").as_deref());
            junk |= hint.junk;
            place.soft |= hint.soft
                || matches!(tag.as_str(), "aside" | "form")
                || (tag == "footer" && !place.main && !place.article);
            place.header |= tag == "header" && !place.main && !place.article;
            place.main |= tag == "main" || hint.main;
            place.article |= tag == "article";
        }
        match tag.as_str() {
            "br" | "wbr" if !junk => {
                if tag == "br" {
                    self.writer.line_break();
                }
                return None;
            }
            "hr" if !junk => {
                self.writer.boundary(place);
                return None;
            }
            _ => {}
        }
        if !element.can_have_content() || self.stack.len() >= MAX_DEPTH {
            return None; // Void, or too deep: its text is read as its parent's.
        }
        match role {
            Role::Title if self.page_title.is_none() && !junk => self.begin_capture(Capture::Title),
            Role::Script if is_json_ld(element) => self.begin_capture(Capture::JsonLd),
            _ => {}
        }
        let junk = junk || matches!(role, Role::Title | Role::Script);
        if !junk {
            self.open_role(role, place, element);
        }
        let id = self.next_id;
        self.next_id += 1;
        self.stack.push(Open { id, tag, role, junk, place });
        Some(id)
    }

    /// The end tag of an element; what is still open inside it ends too.
    pub(super) fn end(&mut self, id: u64) {
        if let Some(at) = self.stack.iter().rposition(|open| open.id == id) {
            self.close_from(at);
        }
    }

    /// Text as it stands in the page. `literal` text has no character references.
    pub(super) fn text(&mut self, raw: &str, literal: bool) {
        if self.capture != Capture::None {
            let room = MAX_JSON_LD_BYTES.saturating_sub(self.captured.len());
            let end =
                raw.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= room).last().unwrap_or(0);
            self.captured.push_str(&raw[..end]);
            return;
        }
        if self.stack.last().is_some_and(|open| open.junk) || self.writer.bytes > MAX_MARKDOWN_BYTES {
            return;
        }
        if literal {
            self.decode_pending();
            self.writer.text(raw);
        } else {
            self.pending.push_str(raw);
        }
    }

    pub(super) fn finish(&mut self) -> Document {
        self.decode_pending();
        self.close_from(0);
        self.writer.finish();
        let mut document = std::mem::take(&mut self.document);
        document.markdown = main_text(&self.writer.blocks);
        // Footers have what the main text leaves out: where the business is and when it is open.
        document.business.said = Facts::of_text(&join(self.writer.blocks.iter()), &document.contacts);
        document.truncated = cap_markdown(&mut document.markdown) || self.writer.bytes > MAX_MARKDOWN_BYTES;
        document.headings = headings_of(&document.markdown);
        let first_heading =
            document.headings.iter().min_by_key(|heading| heading.level).map(|heading| heading.text.clone());
        document.title = [self.page_title.take(), self.social_title.take(), first_heading]
            .into_iter()
            .flatten()
            .find(|title| !title.is_empty())
            .unwrap_or_default();
        document
    }

    fn decode_pending(&mut self) {
        if !self.pending.is_empty() {
            let raw = std::mem::take(&mut self.pending);
            self.writer.text(&entities::decode(&raw));
        }
    }

    /// Whether a button here is the handle of an accordion, whose text is the question.
    fn inside_question(&self) -> bool {
        self.stack.iter().rev().take(4).any(|open| matches!(open.role, Role::Heading(_) | Role::Term))
    }

    fn close_implied(&mut self, tag: &str) {
        if ends_paragraph(tag)
            && let Some(at) = self.stack.iter().rposition(|open| open.tag == "p")
            // A paragraph is ended by a block inside it, but not through a cell, a button or another container.
            && self.stack[at + 1..].iter().all(|open| matches!(open.role, Role::Inline | Role::Strong | Role::Code | Role::Link))
        {
            self.close_from(at);
        }
        let Some((ends, stops)) = implied_end(tag) else {
            return;
        };
        let from = self.stack.iter().rposition(|open| stops.contains(&open.tag.as_str())).map_or(0, |at| at + 1);
        if let Some(at) = self.stack[from..].iter().position(|open| ends.contains(&open.tag.as_str())) {
            self.close_from(from + at);
        }
    }

    fn close_from(&mut self, at: usize) {
        self.decode_pending();
        while self.stack.len() > at {
            let Some(open) = self.stack.pop() else { return };
            match open.role {
                Role::Title if self.capture == Capture::Title => {
                    let raw = self.end_capture();
                    self.page_title = Some(one_line(&entities::decode(&raw), MAX_TITLE_CHARS));
                }
                Role::Script if self.capture == Capture::JsonLd => {
                    let raw = self.end_capture();
                    self.read_json_ld(&raw);
                }
                _ => {}
            }
            if !open.junk {
                let outside = self.stack.last().map(|parent| parent.place).unwrap_or_default();
                self.close_role(open.role, outside);
            }
        }
    }

    fn open_role(&mut self, role: Role, place: Place, element: &Element<'_, '_>) {
        let writer = &mut self.writer;
        match role {
            Role::Inline | Role::Button | Role::Junk | Role::Title | Role::Script => {}
            Role::Block => writer.boundary(place),
            Role::Heading(level) => {
                writer.boundary(place);
                writer.open_heading(level);
            }
            Role::List { ordered } => {
                writer.boundary(place);
                let start = element.get_attribute("start").and_then(|start| start.trim().parse().ok()).unwrap_or(1);
                writer.open_list(ordered.then_some(start));
            }
            Role::Item => {
                writer.boundary(place);
                writer.open_item();
            }
            Role::Term => {
                writer.boundary(place);
                writer.open_span("**");
            }
            Role::Quote => {
                writer.boundary(place);
                writer.open_quote();
            }
            Role::Pre => {
                writer.boundary(place);
                writer.open_pre();
            }
            Role::Strong => writer.open_span("**"),
            Role::Code => writer.open_span("`"),
            Role::Link => writer.open_link(),
            Role::Table => {
                writer.boundary(place);
                writer.open_table();
            }
            Role::Row => writer.open_row(),
            Role::Cell => writer.open_cell(),
        }
    }

    fn close_role(&mut self, role: Role, outside: Place) {
        let writer = &mut self.writer;
        match role {
            Role::Inline | Role::Button | Role::Junk | Role::Title | Role::Script | Role::Row => {}
            Role::Block | Role::Item => writer.boundary(outside),
            Role::Heading(_) => {
                writer.close_heading();
                writer.boundary(outside);
            }
            Role::List { .. } => {
                writer.boundary(outside);
                writer.close_list();
            }
            Role::Term => {
                writer.close_span("**");
                writer.boundary(outside);
            }
            Role::Quote => {
                writer.boundary(outside);
                writer.close_quote();
            }
            Role::Pre => {
                writer.close_pre();
                writer.boundary(outside);
            }
            Role::Strong => writer.close_span("**"),
            Role::Code => writer.close_span("`"),
            Role::Link => writer.close_link(),
            Role::Table => {
                writer.close_table();
                writer.boundary(outside);
            }
            Role::Cell => writer.close_cell(),
        }
    }

    fn begin_capture(&mut self, capture: Capture) {
        self.capture = capture;
        self.captured.clear();
    }

    fn end_capture(&mut self) -> String {
        self.capture = Capture::None;
        std::mem::take(&mut self.captured)
    }

    /// Notes what an element says about the page, whether or not its text counts.
    fn note(&mut self, tag: &str, element: &Element<'_, '_>) {
        let get = |name: &str| element.get_attribute(name).map(|value| entities::decode(&value).trim().to_owned());
        match tag {
            "html" => {
                self.document.language =
                    get("lang").map(|tag| one_line(&tag, 35).to_ascii_lowercase()).filter(|tag| !tag.is_empty());
            }
            "base" => {
                if let Some(base) = get("href").and_then(|href| self.url.join(&href).ok()) {
                    self.base = base;
                }
            }
            "meta" => self.note_meta(get("name").or_else(|| get("property")), get("content")),
            "link" => {
                let rel = get("rel").unwrap_or_default().to_ascii_lowercase();
                if rel.split_ascii_whitespace().any(|word| word == "canonical") && self.document.canonical.is_none() {
                    self.document.canonical = get("href").and_then(|href| self.resolve(&href));
                }
            }
            "a" | "area" => {
                let nofollow = get("rel").is_some_and(|rel| {
                    rel.to_ascii_lowercase().split_ascii_whitespace().any(|word| word == "nofollow")
                });
                if let Some(href) = get("href") {
                    self.note_link(&href, nofollow);
                }
            }
            "img" => {
                if let Some(url) = get("src").and_then(|src| self.resolve(&src))
                    && self.document.images.len() < MAX_IMAGES
                    && !self.document.images.contains(&url)
                {
                    self.document.images.push(url);
                }
            }
            _ => {}
        }
    }

    fn note_meta(&mut self, name: Option<String>, content: Option<String>) {
        let (Some(name), Some(content)) = (name, content) else {
            return;
        };
        match name.to_ascii_lowercase().as_str() {
            "description" => {
                self.document.description =
                    Some(one_line(&content, MAX_DESCRIPTION_CHARS)).filter(|text| !text.is_empty())
            }
            "og:description" if self.document.description.is_none() => {
                self.document.description =
                    Some(one_line(&content, MAX_DESCRIPTION_CHARS)).filter(|text| !text.is_empty());
            }
            "og:title" => self.social_title = Some(one_line(&content, MAX_TITLE_CHARS)),
            "robots" | "colloquybot" => {
                let (noindex, nofollow) = robots_directives(&content);
                self.document.noindex |= noindex;
                self.document.nofollow |= nofollow;
            }
            _ => {}
        }
    }

    fn note_link(&mut self, href: &str, nofollow: bool) {
        let lower = href.get(..7).unwrap_or(href).to_ascii_lowercase();
        if lower.starts_with("tel:") || lower == "mailto:" {
            let contact = one_line(href.split('?').next().unwrap_or(href), 200);
            if self.document.contacts.len() < MAX_CONTACTS && !self.document.contacts.contains(&contact) {
                self.document.contacts.push(contact);
            }
            return;
        }
        if self.document.links.len() < MAX_LINKS
            && let Some(url) = self.resolve(href)
            && self.seen_links.insert(url.clone())
        {
            self.document.links.push(Link { url, nofollow });
        }
    }

    /// The absolute address without fragment, if it is one that can be fetched.
    fn resolve(&self, href: &str) -> Option<String> {
        if href.is_empty() || href.starts_with('#') || href.len() > MAX_URL_BYTES {
            return None;
        }
        let mut url = self.base.join(href).ok()?;
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        url.set_fragment(None);
        Some(String::from(url)).filter(|url| url.len() <= MAX_URL_BYTES)
    }

    fn read_json_ld(&mut self, raw: &str) {
        let Ok(value) = serde_json::from_str::<serde_json::Value>(raw) else {
            return;
        };
        self.document.business.marked.take_marked(&value);
        let mut queue = vec![&value];
        let mut visited = 0;
        while let Some(value) = queue.pop() {
            visited += 1;
            if visited > 10_000 || self.document.faqs.len() >= MAX_FAQS {
                return; // serde_json bounds nesting; this bounds breadth.
            }
            match value {
                serde_json::Value::Array(items) => queue.extend(items.iter().rev()),
                serde_json::Value::Object(map) => {
                    if map.get("@type").is_some_and(|kind| kind == "Question") {
                        let answer = map
                            .get("acceptedAnswer")
                            .map(|answer| answer.as_array().and_then(|all| all.first()).unwrap_or(answer));
                        let question = map.get("name").and_then(|name| name.as_str());
                        let answer = answer.and_then(|answer| answer.get("text")).and_then(|text| text.as_str());
                        if let (Some(question), Some(answer)) = (question, answer) {
                            self.document
                                .faqs
                                .push(Question { question: plain(question, 500), answer: plain(answer, 4_000) });
                        }
                    } else {
                        queue.extend(["mainEntity", "@graph", "hasPart"].iter().filter_map(|key| map.get(*key)));
                    }
                }
                _ => {}
            }
        }
    }
}

/// What a robots meta tag or `X-Robots-Tag` header asks: (noindex, nofollow).
pub(crate) fn robots_directives(content: &str) -> (bool, bool) {
    let mut asks = (false, false);
    for word in content.to_ascii_lowercase().split([',', ' ', ':', ';']) {
        match word.trim() {
            "noindex" => asks.0 = true,
            "nofollow" => asks.1 = true,
            "none" => asks = (true, true),
            _ => {}
        }
    }
    asks
}

fn is_json_ld(element: &Element<'_, '_>) -> bool {
    element.get_attribute("type").is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/ld+json"))
}

/// The text of a marked-up answer, which may hold simple HTML.
fn plain(raw: &str, max_chars: usize) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut inside = false;
    for c in raw.chars() {
        match c {
            '<' => {
                inside = true;
                out.push(' ');
            }
            '>' if inside => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    one_line(&entities::decode(&out), max_chars)
}
