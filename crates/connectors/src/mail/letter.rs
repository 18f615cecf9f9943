//! Writes a letter once and renders it as plain text and as HTML. Everything put in is escaped; links are http(s) only.

use url::Url;

use super::one_line;

/// The longest paragraph; a visitor's message can be this long.
const PARAGRAPH_CHARS_MAX: usize = 4000;
/// The most facts of one letter: a form has fewer fields.
const FACTS_MAX: usize = 40;
/// The longest value of a fact.
const FACT_CHARS_MAX: usize = 500;
/// The longest button.
const LABEL_CHARS_MAX: usize = 60;

/// A letter in the making.
#[derive(Clone, Debug, Default)]
pub struct Letter {
    text: Vec<String>,
    html: Vec<String>,
}

/// A letter that is written.
#[derive(Clone, PartialEq, Eq)]
pub struct Written {
    /// As plain text.
    pub text: String,
    /// As an HTML document without outside parts: no pictures, no fonts, no scripts, nothing that tells when it is read.
    pub html: String,
}

impl Letter {
    /// Begins with its heading.
    pub fn new(heading: &str) -> Self {
        let heading = one_line(heading, 200);
        let html = format!("<h1 style=\"font-size:20px;margin:0 0 16px\">{}</h1>", escape(&heading));
        Self { text: vec![heading], html: vec![html] }
    }

    /// A paragraph; its line ends stay.
    #[must_use]
    pub fn paragraph(mut self, text: &str) -> Self {
        let text = plain(text, PARAGRAPH_CHARS_MAX);
        if !text.is_empty() {
            self.html.push(format!("<p style=\"margin:0 0 16px\">{}</p>", escape(&text).replace('\n', "<br>")));
            self.text.push(text);
        }
        self
    }

    /// Somebody else's words.
    #[must_use]
    pub fn quote(mut self, text: &str) -> Self {
        let text = plain(text, PARAGRAPH_CHARS_MAX);
        if !text.is_empty() {
            let style = "margin:0 0 16px;padding:8px 12px;border-left:3px solid #c7ccd6;background:#f5f6f8";
            self.html
                .push(format!("<blockquote style=\"{style}\">{}</blockquote>", escape(&text).replace('\n', "<br>")));
            self.text.push(text.lines().map(|line| format!("> {line}")).collect::<Vec<_>>().join("\n"));
        }
        self
    }

    /// A table of names and values; empty values are left out.
    #[must_use]
    pub fn facts<'a>(mut self, facts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let facts: Vec<(String, String)> = facts
            .into_iter()
            .map(|(name, value)| (one_line(name, LABEL_CHARS_MAX), one_line(value, FACT_CHARS_MAX)))
            .filter(|(_, value)| !value.is_empty())
            .take(FACTS_MAX)
            .collect();
        if facts.is_empty() {
            return self;
        }
        let rows: String = facts
            .iter()
            .map(|(name, value)| {
                format!(
                    "<tr><th style=\"text-align:left;padding:2px 16px 2px 0;font-weight:600;vertical-align:top\">{}</th><td style=\"padding:2px 0\">{}</td></tr>",
                    escape(name),
                    escape(value)
                )
            })
            .collect();
        self.html.push(format!("<table style=\"margin:0 0 16px;border-collapse:collapse\">{rows}</table>"));
        self.text.push(facts.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n"));
        self
    }

    /// A link to follow. An address that is not http(s) becomes plain text.
    #[must_use]
    pub fn button(mut self, label: &str, url: &str) -> Self {
        let label = one_line(label, LABEL_CHARS_MAX);
        let link = Url::parse(url.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        match link {
            Some(link) => {
                let style = "display:inline-block;padding:10px 18px;border-radius:6px;background:#1d4ed8;color:#ffffff;text-decoration:none";
                let href = escape(link.as_str());
                self.html.push(format!(
                    "<p style=\"margin:0 0 16px\"><a href=\"{href}\" style=\"{style}\">{}</a></p>",
                    escape(&label)
                ));
                self.text.push(format!("{label}: {link}"));
            }
            None => {
                let shown = one_line(&format!("{label}: {url}"), FACT_CHARS_MAX);
                self.html.push(format!("<p style=\"margin:0 0 16px\">{}</p>", escape(&shown)));
                self.text.push(shown);
            }
        }
        self
    }

    /// The small print at the end, and done.
    pub fn sign(mut self, small_print: &str) -> Written {
        let small_print = one_line(small_print, 400);
        self.html
            .push(format!("<p style=\"margin:24px 0 0;font-size:12px;color:#5b6270\">{}</p>", escape(&small_print)));
        self.text.push(format!("-- \n{small_print}"));
        let html = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"></head>\
             <body style=\"margin:0;padding:24px;font:15px/1.5 system-ui,sans-serif;color:#1b1f27;background:#ffffff\">\
             <div style=\"max-width:560px;margin:0 auto\">{}</div></body></html>\n",
            self.html.concat()
        );
        Written { text: format!("{}\n", self.text.join("\n\n")), html }
    }
}

/// Lines without control characters, at most one empty line in a row, no longer than told.
fn plain(text: &str, chars_max: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().map(|line| one_line(line, chars_max)) {
        if !(line.is_empty() && lines.last().is_none_or(String::is_empty)) {
            lines.push(line);
        }
    }
    let mut plain = lines.join("\n").trim_end().to_owned();
    if let Some((cut, _)) = plain.char_indices().nth(chars_max) {
        plain.truncate(cut);
        plain.push('…');
    }
    plain
}

/// Makes text safe between tags and inside quoted attributes.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let written = Letter::new("A new lead")
            .paragraph("Jo wrote.\n\n\nTwice.")
            .facts([("Name", "Jo & Co"), ("E-mail", ""), ("Phone", "+1 415")])
            .quote("Help!\nNow.")
            .button("Open", "https://c.example/c/1?a=1&b=2")
            .sign("Colloquy");
        assert_eq!(
            written.text,
            "A new lead\n\nJo wrote.\n\nTwice.\n\nName: Jo & Co\nPhone: +1 415\n\n> Help!\n> Now.\n\nOpen: https://c.example/c/1?a=1&b=2\n\n-- \nColloquy\n"
        );
        for part in [
            "A new lead",
            "Jo wrote.<br><br>Twice.",
            "Jo &amp; Co",
            "Help!<br>Now.",
            "href=\"https://c.example/c/1?a=1&amp;b=2\"",
        ] {
            assert!(written.html.contains(part), "{part} is missing in {}", written.html);
        }
        assert!(!written.html.contains("E-mail"));
    }

    #[test]
    fn a_link_that_runs_code_is_no_link() {
        for url in ["javascript:alert(1)", "data:text/html,x", "not a link", " JaVaScRiPt:alert(1)"] {
            let written = Letter::new("x").button("Open", url).sign("y");
            assert!(!written.html.contains("href"), "{url}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_put_in_becomes_markup(text in "[<>\"'&a-z/ \n=]{0,60}") {
            let tags = |html: &str| html.matches('<').count() - html.matches("<br>").count();
            let build = |text: &str| Letter::new(text).paragraph(text).quote(text).facts([(text, text)]).button(text, text).sign(text);
            let plain: String = text.chars().map(|c| if "<>\"'&/=".contains(c) { 'x' } else { c }).collect();
            prop_assert_eq!(tags(&build(&text).html), tags(&build(&plain).html));
        }
    }
}
