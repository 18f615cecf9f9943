//! What each HTML element means for reading a page.

/// The part an element plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Its text flows with its surroundings.
    Inline,
    /// It begins and ends a block.
    Block,
    /// Nothing inside it is text of the page.
    Junk,
    Heading(u8),
    List {
        ordered: bool,
    },
    Item,
    /// A question-like line of its own: `<summary>`, `<dt>`.
    Term,
    Quote,
    Pre,
    Strong,
    Code,
    Link,
    Table,
    Row,
    Cell,
    Title,
    Script,
    Button,
}

/// The role of a tag name in lower case.
pub(super) fn role(tag: &str) -> Role {
    match tag {
        "h1" => Role::Heading(1),
        "h2" => Role::Heading(2),
        "h3" => Role::Heading(3),
        "h4" => Role::Heading(4),
        "h5" => Role::Heading(5),
        "h6" => Role::Heading(6),
        "ul" | "menu" | "dir" => Role::List { ordered: false },
        "ol" => Role::List { ordered: true },
        "li" => Role::Item,
        "summary" | "dt" => Role::Term,
        "blockquote" => Role::Quote,
        "pre" | "listing" | "xmp" => Role::Pre,
        "strong" | "b" => Role::Strong,
        "code" | "kbd" | "samp" => Role::Code,
        "a" => Role::Link,
        "table" => Role::Table,
        "tr" => Role::Row,
        "td" | "th" => Role::Cell,
        "title" => Role::Title,
        "script" => Role::Script,
        "button" => Role::Button,
        "style" | "noscript" | "template" | "iframe" | "object" | "embed" | "applet" | "svg" | "math" | "canvas"
        | "audio" | "video" | "map" | "nav" | "select" | "datalist" | "textarea" | "noframes" | "noembed"
        | "frameset" => Role::Junk,
        "address" | "article" | "aside" | "body" | "caption" | "center" | "dd" | "details" | "dialog" | "div"
        | "dl" | "fieldset" | "figcaption" | "figure" | "footer" | "form" | "header" | "hgroup" | "html" | "legend"
        | "main" | "p" | "search" | "section" | "tbody" | "tfoot" | "thead" => Role::Block,
        _ => Role::Inline,
    }
}

/// Which open elements a start tag ends without saying so, and where that stops (WHATWG HTML §13.1.2.4, optional tags).
pub(super) fn implied_end(tag: &str) -> Option<(&'static [&'static str], &'static [&'static str])> {
    match tag {
        "li" => Some((&["li"], &["ul", "ol", "menu", "dir"])),
        "dt" | "dd" => Some((&["dt", "dd"], &["dl"])),
        "td" | "th" => Some((&["td", "th"], &["table", "tr"])),
        "tr" => Some((&["tr", "td", "th"], &["table"])),
        "tbody" | "thead" | "tfoot" => Some((&["tbody", "thead", "tfoot", "tr", "td", "th"], &["table"])),
        "option" | "optgroup" => Some((&["option"], &["select"])),
        "body" => Some((&["head"], &["html"])),
        "a" => Some((&["a"], &["table", "td", "th"])),
        _ => None,
    }
}

/// Whether a start tag ends an open paragraph.
pub(super) fn ends_paragraph(tag: &str) -> bool {
    match role(tag) {
        Role::Block
        | Role::Heading(_)
        | Role::List { .. }
        | Role::Item
        | Role::Term
        | Role::Quote
        | Role::Pre
        | Role::Table => true,
        Role::Junk => tag == "nav",
        Role::Inline
        | Role::Strong
        | Role::Code
        | Role::Link
        | Role::Row
        | Role::Cell
        | Role::Title
        | Role::Script
        | Role::Button => tag == "hr",
    }
}

/// How a container's class, id and ARIA role speak about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hint {
    /// Never text: cookie banners, dialogs, menus.
    pub junk: bool,
    /// Rarely text: share bars, sidebars, related links.
    pub soft: bool,
    /// Says it is the main content.
    pub main: bool,
}

/// Class names (whole, or up to a `-` or `_`) of parts that are rarely the text.
const SOFT: [&str; 21] = [
    "sidebar",
    "breadcrumb",
    "breadcrumbs",
    "pagination",
    "pager",
    "share",
    "sharing",
    "social",
    "advert",
    "advertisement",
    "ad",
    "ads",
    "sponsor",
    "sponsored",
    "newsletter",
    "related",
    "comments",
    "skip-link",
    "navbar",
    "footer",
    "toc",
];

/// Names by which consent managers are known.
const CONSENT: [&str; 10] = [
    "onetrust",
    "cybotcookiebot",
    "cookieconsent",
    "cookiebanner",
    "cc-window",
    "cky-consent",
    "didomi",
    "usercentrics",
    "truste",
    "gdpr",
];

/// Reads the hints. `tag` matters because a whole page is never a banner, whatever its class says.
pub(super) fn hint(tag: &str, aria: Option<&str>, class: Option<&str>, id: Option<&str>) -> Hint {
    let mut hint = Hint::default();
    if matches!(tag, "html" | "body") {
        return hint;
    }
    match aria.map(str::trim) {
        Some("navigation" | "dialog" | "alertdialog" | "menu" | "menubar") => hint.junk = true,
        Some("contentinfo" | "complementary" | "search" | "banner") => hint.soft = true,
        Some("main") => hint.main = true,
        _ => {}
    }
    if matches!(tag, "main" | "article") || hint.main {
        return hint;
    }
    let names = [class, id].into_iter().flatten().flat_map(str::split_ascii_whitespace).take(30);
    for name in names {
        let name = name.to_ascii_lowercase();
        let cookie = name.contains("cookie")
            && ["consent", "banner", "notice", "bar", "popup", "law", "modal", "overlay"]
                .iter()
                .any(|part| name.contains(part));
        if cookie || CONSENT.iter().any(|known| name.starts_with(known)) {
            hint.junk = true;
        }
        if SOFT
            .iter()
            .any(|known| name.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_'])))
        {
            hint.soft = true;
        }
    }
    hint
}
