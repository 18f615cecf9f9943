//! Plain text and Markdown uploads: decoded, tidied, otherwise left as their author wrote them.

use super::{Document, MAX_TITLE_CHARS, cap_markdown, charset, headings_of, looks_binary, one_line, within_size};
use crate::{Error, Result};

/// Reads plain text. Lines that look like Markdown headings stay text.
///
/// # Errors
/// [`Error::TooLarge`], [`Error::Malformed`] for bytes that are no text, [`Error::NoText`].
pub fn text(bytes: &[u8], content_type: Option<&str>) -> Result<Document> {
    let text = read("text", bytes, content_type)?;
    let mut escaped = String::with_capacity(text.len());
    for line in text.lines() {
        if crate::chunk::heading(line).is_some() || line.trim_start().starts_with("```") {
            escaped.push('\\');
        }
        escaped.push_str(line);
        escaped.push('\n');
    }
    let title = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    Ok(finish(escaped, title))
}

/// Reads Markdown; the first heading becomes the title.
///
/// # Errors
/// As [`text`].
pub fn markdown(bytes: &[u8], content_type: Option<&str>) -> Result<Document> {
    let text = read("Markdown", bytes, content_type)?;
    let title = headings_of(&text).into_iter().next().map(|heading| heading.text).unwrap_or_default();
    Ok(finish(text, &title))
}

fn read(kind: &'static str, bytes: &[u8], content_type: Option<&str>) -> Result<String> {
    within_size(kind, bytes)?;
    if looks_binary(bytes) {
        return Err(Error::Malformed { kind, reason: "its bytes are not text".to_owned() });
    }
    let decoded = charset::decode(bytes, content_type);
    let mut tidy = String::with_capacity(decoded.len());
    for line in decoded.lines() {
        tidy.extend(line.trim_end().chars().filter(|c| *c == '\t' || !c.is_control()));
        tidy.push('\n');
    }
    if tidy.trim().is_empty() {
        return Err(Error::NoText { kind });
    }
    Ok(tidy)
}

fn finish(mut markdown: String, title: &str) -> Document {
    let truncated = cap_markdown(&mut markdown);
    let markdown = markdown.trim_matches('\n').to_owned();
    let headings = headings_of(&markdown);
    Document { title: one_line(title, MAX_TITLE_CHARS), headings, markdown, truncated, ..Document::default() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{markdown, text};
    use crate::Error;

    #[test]
    fn plain_text_has_no_headings_and_markdown_has() {
        let document = text(b"Opening hours\n# 1 in town\n", None).expect("text");
        assert_eq!((document.title.as_str(), document.headings.len()), ("Opening hours", 0));
        let document = markdown(b"intro\n\n# Prices\n\n```\n# not one\n```\n", None).expect("markdown");
        assert_eq!((document.title.as_str(), document.headings.len()), ("Prices", 1));
    }

    #[test]
    fn pictures_and_blanks_are_refused_by_name() {
        assert!(matches!(text(b"\x89PNG\r\n\x1a\n", None), Err(Error::Malformed { .. })));
        assert!(matches!(text(b" \n\t\n", None), Err(Error::NoText { .. })));
        assert!(matches!(text(&vec![b'a'; super::super::MAX_TEXT_BYTES + 1], None), Err(Error::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_document_or_a_named_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for read in [text, markdown] {
                if let Ok(document) = read(&bytes, None) {
                    prop_assert!(!document.markdown.trim().is_empty());
                    prop_assert!(!document.markdown.contains('\0'));
                }
            }
        }
    }
}
