//! DOCX to a [`Document`]: a zip of XML, of which four parts are read and none beyond its limit.

use std::collections::HashMap;
use std::io::{Cursor, Read};

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use zip::ZipArchive;

use super::blocks::{Place, Writer, join};
use super::{Document, MAX_TITLE_CHARS, cap_markdown, charset, headings_of, one_line};
use crate::{Error, Result};

/// The largest file that is opened.
pub const MAX_DOCX_BYTES: usize = 32 << 20;
/// Files inside the archive; a long illustrated book has a few hundred.
const MAX_ENTRIES: u16 = 5_000;
/// One XML part once inflated. A 1,000-page book is about 20 MB.
const MAX_PART_BYTES: u64 = 48 << 20;
/// XML compresses to about a tenth; a part that inflates 200-fold is made to exhaust memory.
const MAX_RATIO: u64 = 200;
/// A part below this size may have any ratio.
const RATIO_FREE_BYTES: u64 = 1 << 20;
/// XML nested deeper is no text document.
const MAX_XML_DEPTH: usize = 512;
/// A style table with more entries is cut.
const MAX_STYLES: usize = 5_000;

const KIND: &str = "DOCX";

/// Reads a Word document: headings by style, lists, tables, text without deleted revisions.
///
/// # Errors
/// [`Error::TooLarge`], [`Error::Malformed`], [`Error::NoText`].
pub fn docx(bytes: &[u8]) -> Result<Document> {
    let mut archive = open(bytes)?;
    let body = part(&mut archive, "word/document.xml")?.ok_or_else(|| malformed("it has no word/document.xml"))?;
    let styles =
        part(&mut archive, "word/styles.xml")?.map(|xml| headings_by_style(&xml)).transpose()?.unwrap_or_default();
    let core =
        part(&mut archive, "docProps/core.xml")?.map(|xml| core_properties(&xml)).transpose()?.unwrap_or_default();
    let (mut markdown, styled_title) = read_body(&body, &styles)?;
    let truncated = cap_markdown(&mut markdown);
    if markdown.trim().is_empty() {
        return Err(Error::NoText { kind: KIND });
    }
    let headings = headings_of(&markdown);
    let first_heading = headings.first().map(|heading| heading.text.clone());
    let title = [core.title, styled_title, first_heading]
        .into_iter()
        .flatten()
        .find(|title| !title.is_empty())
        .unwrap_or_default();
    Ok(Document {
        title: one_line(&title, MAX_TITLE_CHARS),
        description: core.description.filter(|text| !text.is_empty()),
        language: core.language.map(|tag| tag.to_ascii_lowercase()).filter(|tag| !tag.is_empty()),
        headings,
        markdown,
        truncated,
        ..Document::default()
    })
}

/// Whether a zip archive is a Word document.
pub(super) fn is_docx(bytes: &[u8]) -> bool {
    open(bytes).is_ok_and(|mut archive| archive.by_name("word/document.xml").is_ok())
}

fn malformed(reason: impl Into<String>) -> Error {
    Error::Malformed { kind: KIND, reason: reason.into() }
}

fn open(bytes: &[u8]) -> Result<ZipArchive<Cursor<&[u8]>>> {
    if bytes.len() > MAX_DOCX_BYTES {
        return Err(Error::TooLarge { kind: KIND, limit: MAX_DOCX_BYTES as u64 });
    }
    // The directory is read into memory by the library, so its claimed size is looked at first (APPNOTE 4.3.16).
    let tail = &bytes[bytes.len().saturating_sub(22 + usize::from(u16::MAX))..];
    let end = tail
        .windows(4)
        .rposition(|window| window == b"PK\x05\x06")
        .ok_or_else(|| malformed("it is not a zip archive"))?;
    let count = tail.get(end + 10..end + 12).ok_or_else(|| malformed("its zip directory is cut off"))?;
    if u16::from_le_bytes([count[0], count[1]]) > MAX_ENTRIES {
        return Err(malformed(format!("it holds more than {MAX_ENTRIES} files")));
    }
    let archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| malformed(error.to_string()))?;
    if archive.len() > usize::from(MAX_ENTRIES) {
        return Err(malformed(format!("it holds more than {MAX_ENTRIES} files")));
    }
    Ok(archive)
}

/// The text of one part, or `None` when there is none.
fn part(archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str) -> Result<Option<String>> {
    let file = match archive.by_name(name) {
        Ok(file) => file,
        Err(zip::result::ZipError::FileNotFound) => return Ok(None),
        Err(error) => return Err(malformed(error.to_string())),
    };
    let limit = MAX_PART_BYTES.min((file.compressed_size() * MAX_RATIO).max(RATIO_FREE_BYTES));
    let mut bytes = Vec::new();
    // What the directory claims is not trusted: reading stops at the limit whatever it says.
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| malformed(error.to_string()))?;
    if bytes.len() as u64 > limit {
        return Err(malformed(format!("{name} inflates to more than {limit} bytes")));
    }
    Ok(Some(charset::decode(&bytes, Some("application/xml; charset=utf-8")).into_owned()))
}

/// Calls `each` for every event with the depth at which it stands.
fn walk(xml: &str, mut each: impl FnMut(&Event<'_>) -> Result<()>) -> Result<()> {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = false; // Tolerant: depth is counted here.
    let mut depth = 0_usize;
    loop {
        let event = reader.read_event().map_err(|error| malformed(error.to_string()))?;
        match &event {
            Event::Eof => return Ok(()),
            Event::Start(_) => {
                depth += 1;
                if depth > MAX_XML_DEPTH {
                    return Err(malformed("its XML is nested too deeply"));
                }
            }
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::DocType(_) => {
                return Err(malformed("its XML has a document type, which Word never writes"));
            }
            _ => {}
        }
        each(&event)?;
    }
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    tag.attributes().with_checks(false).flatten().find(|found| found.key.local_name().as_ref() == name).map(|found| {
        found
            .normalized_value(XmlVersion::Implicit1_0)
            .map_or_else(|_| found.value.clone().into_owned(), std::borrow::Cow::into_owned)
    })
}

/// Style id → heading level; 0 is the title style.
fn headings_by_style(xml: &str) -> Result<HashMap<String, u8>> {
    let mut levels = HashMap::new();
    let mut current: Option<String> = None;
    walk(xml, |event| {
        if let Event::Start(tag) | Event::Empty(tag) = event {
            match tag.local_name().as_ref() {
                "style" => current = attribute(tag, "styleId"),
                "name" => {
                    // Ids are translated ("berschrift1"), names are not ("heading 1").
                    let name = attribute(tag, "val").unwrap_or_default().to_lowercase();
                    let level = match name.strip_prefix("heading ").and_then(|level| level.parse().ok()) {
                        Some(level @ 1..=9) => Some(level),
                        _ => (name == "title").then_some(0),
                    };
                    if let (Some(id), Some(level)) = (current.take(), level)
                        && levels.len() < MAX_STYLES
                    {
                        levels.insert(id, level);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    })?;
    Ok(levels)
}

#[derive(Default)]
struct Core {
    title: Option<String>,
    description: Option<String>,
    language: Option<String>,
}

fn core_properties(xml: &str) -> Result<Core> {
    let mut core = Core::default();
    let mut current = String::new();
    let mut text = String::new();
    walk(xml, |event| {
        match event {
            Event::Start(tag) => {
                current = tag.local_name().as_ref().to_owned();
                text.clear();
            }
            Event::Text(part) => text.push_str(&part.xml10_content()),
            Event::GeneralRef(reference) => text.extend(resolve(reference)),
            Event::End(_) => {
                let value = Some(one_line(&text, 1_000));
                match current.as_str() {
                    "title" => core.title = value,
                    "description" => core.description = value,
                    "language" => core.language = value,
                    _ => {}
                }
                current.clear();
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(core)
}

fn resolve(reference: &quick_xml::events::BytesRef<'_>) -> Option<char> {
    if let Ok(Some(letter)) = reference.resolve_char_ref() {
        return Some(letter);
    }
    match reference.xml10_content().as_ref() {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}

/// The Markdown of the body, and the paragraph in the title style.
fn read_body(xml: &str, styles: &HashMap<String, u8>) -> Result<(String, Option<String>)> {
    let place = Place { main: true, ..Place::default() };
    let mut writer = Writer::default();
    let mut in_text = false;
    // Alternate content repeats a drawing's text for old programs.
    let mut skip = 0_usize;
    let (mut level, mut listed) = (None, None::<usize>);
    let mut opened = false;
    let mut paragraph = String::new();
    let mut title = None;
    walk(xml, |event| {
        match event {
            Event::Start(tag) | Event::Empty(tag) => {
                let empty = matches!(event, Event::Empty(_));
                let name = tag.local_name();
                match name.as_ref() {
                    "Fallback" if !empty => skip += 1,
                    _ if skip > 0 => {}
                    "p" if !empty => {
                        (level, listed, opened) = (None, None, false);
                        paragraph.clear();
                        writer.boundary(place);
                    }
                    "pStyle" => {
                        let id = attribute(tag, "val").unwrap_or_default();
                        level = styles
                            .get(&id)
                            .copied()
                            .or_else(|| id.strip_prefix("Heading").and_then(|level| level.parse().ok()));
                    }
                    "numPr" => listed = listed.or(Some(0)),
                    "ilvl" => listed = attribute(tag, "val").and_then(|level| level.parse().ok()).or(listed),
                    "t" if !empty => {
                        in_text = true;
                        if !opened {
                            opened = true;
                            match (level, listed) {
                                (Some(level), _) => writer.open_heading(level.clamp(1, 6)),
                                (None, Some(depth)) => {
                                    for _ in 0..=depth.min(8) {
                                        writer.open_list(None);
                                    }
                                    writer.open_item();
                                }
                                (None, None) => {}
                            }
                        }
                    }
                    "tab" => writer.text(" "),
                    "br" | "cr" => writer.line_break(),
                    "tbl" if !empty => {
                        writer.boundary(place);
                        writer.open_table();
                    }
                    "tr" if !empty => writer.open_row(),
                    "tc" if !empty => writer.open_cell(),
                    _ => {}
                }
            }
            Event::Text(text) if in_text && skip == 0 => {
                let text = text.xml10_content();
                paragraph.push_str(&text);
                writer.text(&text);
            }
            Event::GeneralRef(reference) if in_text && skip == 0 => {
                if let Some(letter) = resolve(reference) {
                    paragraph.push(letter);
                    writer.text(letter.encode_utf8(&mut [0; 4]));
                }
            }
            Event::End(tag) => match tag.local_name().as_ref() {
                "Fallback" => skip = skip.saturating_sub(1),
                _ if skip > 0 => {}
                "t" => in_text = false,
                "p" => {
                    if level == Some(0) && title.is_none() {
                        title = Some(one_line(&paragraph, MAX_TITLE_CHARS));
                    }
                    if opened && level.is_some() {
                        writer.close_heading();
                    }
                    writer.boundary(place);
                    if let (true, None, Some(depth)) = (opened, level, listed) {
                        for _ in 0..=depth.min(8) {
                            writer.close_list();
                        }
                    }
                    (level, listed, opened) = (None, None, false);
                }
                "tc" => writer.close_cell(),
                "tbl" => {
                    writer.close_table();
                    writer.boundary(place);
                }
                _ => {}
            },
            _ => {}
        }
        Ok(())
    })?;
    writer.finish();
    Ok((join(writer.blocks.iter()), title))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use proptest::prelude::*;
    use zip::write::SimpleFileOptions;

    use super::docx;
    use crate::Error;
    use crate::extract::Kind;

    fn archive(parts: &[(&str, &str)]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in parts {
            zip.start_file(*name, SimpleFileOptions::default()).expect("entry");
            zip.write_all(content.as_bytes()).expect("content");
        }
        zip.finish().expect("archive").into_inner()
    }

    fn body(inner: &str) -> String {
        format!("<?xml version=\"1.0\"?><w:document xmlns:w=\"x\"><w:body>{inner}</w:body></w:document>")
    }

    #[test]
    fn headings_lists_tables_and_text_are_read() {
        let document = body(
            "<w:p><w:pPr><w:pStyle w:val=\"berschrift2\"/></w:pPr><w:r><w:t>Prices &amp; terms</w:t></w:r></w:p>\
             <w:p><w:r><w:t xml:space=\"preserve\">Call </w:t></w:r><w:r><w:t>us&#33;</w:t></w:r><w:del><w:r><w:delText>old</w:delText></w:r></w:del></w:p>\
             <w:p><w:pPr><w:numPr><w:ilvl w:val=\"0\"/></w:numPr></w:pPr><w:r><w:t>one</w:t></w:r></w:p>\
             <w:p><w:pPr><w:numPr><w:ilvl w:val=\"1\"/></w:numPr></w:pPr><w:r><w:t>two</w:t></w:r></w:p><w:p/>\
             <w:tbl><w:tr><w:tc><w:p><w:r><w:t>Job</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>$</w:t></w:r></w:p></w:tc></w:tr>\
             <w:tr><w:tc><w:p><w:r><w:t>Pipe</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>80</w:t></w:r></w:p></w:tc></w:tr></w:tbl>",
        );
        let styles = "<w:styles xmlns:w=\"x\"><w:style w:styleId=\"berschrift2\"><w:name w:val=\"heading 2\"/></w:style></w:styles>";
        let core = "<c:p xmlns:c=\"x\" xmlns:dc=\"y\"><dc:title>Our &lt;terms&gt;</dc:title><dc:language>en-US</dc:language></c:p>";
        let bytes =
            archive(&[("word/document.xml", &document), ("word/styles.xml", styles), ("docProps/core.xml", core)]);
        assert_eq!(Kind::of("upload", &bytes), Some(Kind::Docx));
        let read = docx(&bytes).expect("document");
        assert_eq!(read.title, "Our <terms>");
        assert_eq!(read.language.as_deref(), Some("en-us"));
        assert_eq!(
            read.markdown,
            "## Prices & terms\n\nCall us!\n\n- one\n  - two\n\n| Job | $ |\n| --- | --- |\n| Pipe | 80 |"
        );
    }

    #[test]
    fn a_zip_bomb_is_refused_before_it_is_inflated_whole() {
        let huge = body(&format!("<w:p><w:r><w:t>{}</w:t></w:r></w:p>", "0".repeat(8 << 20)));
        let error = docx(&archive(&[("word/document.xml", &huge)])).expect_err("bomb");
        assert!(matches!(&error, Error::Malformed { reason, .. } if reason.contains("inflates")), "{error}");
    }

    #[test]
    fn what_is_no_word_document_is_refused_by_name() {
        let cases = [
            (b"plain".to_vec(), "not a zip"),
            (archive(&[("other.xml", "<a/>")]), "no word/document.xml"),
            (archive(&[("word/document.xml", "<!DOCTYPE x [<!ENTITY a \"b\">]><a/>")]), "document type"),
            (archive(&[("word/document.xml", &"<a>".repeat(600))]), "nested too deeply"),
            (archive(&[("word/document.xml", "<a b=")]), ""),
        ];
        for (bytes, expected) in cases {
            let error = docx(&bytes).expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(matches!(docx(&archive(&[("word/document.xml", &body("<w:p/>"))])), Err(Error::NoText { .. })));
        let many: Vec<(String, &str)> = (0..5_001).map(|n| (format!("f{n}"), "")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(name, content)| (name.as_str(), *content)).collect();
        assert!(docx(&archive(&many)).expect_err("too many").to_string().contains("more than 5000 files"));
    }

    proptest! {
        #[test]
        fn a_damaged_document_is_read_or_refused(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()) {
            let mut bytes = archive(&[("word/document.xml", &body("<w:p><w:r><w:t>hello world</w:t></w:r></w:p>"))]);
            for (at, value) in flips {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            let _ = docx(&bytes);
            let cut = cut.index(bytes.len());
            let _ = docx(&bytes[..cut]);
        }

        #[test]
        fn any_xml_is_read_or_refused(parts in prop::collection::vec(prop::sample::select(vec![
            "<w:p>", "</w:p>", "<w:t>", "</w:t>", "<w:tbl>", "</w:tbl>", "<w:tr>", "<w:tc>", "</w:tc>", "<w:numPr/>", "<w:ilvl w:val=\"9\"/>",
            "<w:pStyle w:val=\"Heading1\"/>", "<mc:Fallback>", "</mc:Fallback>", "text", "&amp;", "&x;", "<w:br/>", "]]>", "<",
        ]), 0..40)) {
            let _ = docx(&archive(&[("word/document.xml", &body(&parts.concat()))]));
        }
    }
}
