//! HTML to a [`Document`]: one streaming pass with its own stack, so that neither nesting nor size can exhaust anything.

mod choose;
mod collect;
mod tags;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::rc::Rc;

use lol_html::html_content::{Element, TextChunk, TextType};
use lol_html::{HtmlRewriter, MemorySettings, Settings, doc_text, element};
use url::Url;

use self::collect::Collector;
pub(crate) use self::collect::robots_directives;
use super::{Document, MAX_TEXT_BYTES, charset, looks_binary};
use crate::{Error, Result};

/// Elements nested deeper than this are read as if they were not there; their text stays. Browsers stop at 512 as well.
pub const MAX_DEPTH: usize = 512;
/// Elements after this many are not read. The largest real pages have some 50,000.
pub const MAX_ELEMENTS: usize = 200_000;
/// What the tokenizer may hold: its open elements and one tag that is not closed yet.
const MAX_TOKENIZER_BYTES: usize = 32 << 20;

/// Reads a page. `url` is where it was found; links are resolved against it.
///
/// Broken HTML is read as far as it goes. Links keep their text in the Markdown and lose their address, which is noise to
/// search; addresses are in [`Document::links`].
///
/// # Errors
/// [`Error::Malformed`] for bytes that are no text at all. An empty page is a document with empty Markdown, because its
/// links still count.
pub fn html(bytes: &[u8], content_type: Option<&str>, url: &Url) -> Result<Document> {
    const KIND: &str = "HTML";
    if looks_binary(bytes) {
        return Err(Error::Malformed { kind: KIND, reason: "its bytes are not text".to_owned() });
    }
    let oversized = bytes.len() > MAX_TEXT_BYTES;
    let text = charset::decode(&bytes[..bytes.len().min(MAX_TEXT_BYTES)], content_type);
    let collector = Rc::new(RefCell::new(Collector::new(url.clone())));
    let complete = stream(&text, &collector);
    let mut collector = collector.borrow_mut();
    let mut document = collector.finish();
    document.truncated |= oversized || !complete;
    Ok(document)
}

/// Feeds the tokenizer; false when a limit ended it early.
fn stream(text: &str, collector: &Rc<RefCell<Collector>>) -> bool {
    let starts = Rc::clone(collector);
    let on_element = move |element: &mut Element<'_, '_>| {
        let mut this = starts.borrow_mut();
        if this.elements >= MAX_ELEMENTS {
            return Err("element limit".into()); // Ends the pass; what was read so far is kept.
        }
        let opened = this.start(element);
        drop(this);
        if let Some(id) = opened
            && let Some(handlers) = element.end_tag_handlers()
        {
            let ends = Rc::clone(&starts);
            handlers.push(Box::new(move |_| {
                ends.borrow_mut().end(id);
                Ok(())
            }));
        }
        Ok(())
    };
    let texts = Rc::clone(collector);
    let on_text = move |chunk: &mut TextChunk<'_>| {
        let literal = !matches!(chunk.text_type(), TextType::Data | TextType::RCData);
        texts.borrow_mut().text(chunk.as_str(), literal);
        Ok(())
    };
    let settings = Settings::new()
        .with_strict(false)
        .with_memory_settings(MemorySettings::new().with_max_allowed_memory_usage(MAX_TOKENIZER_BYTES))
        .append_element_content_handler(element!("*", on_element))
        .append_document_content_handler(doc_text!(on_text));
    let mut rewriter = HtmlRewriter::new(settings, |_: &[u8]| {});
    rewriter.write(text.as_bytes()).is_ok() && rewriter.end().is_ok()
}
