//! PDF to a [`Document`], in a child process: a hostile file can exhaust or crash that process and nothing else.
//!
//! The parent starts `<exe> extract-pdf`, writes the file to its standard input and reads one frame from its standard output.
//! The child limits its own memory and processor time before it reads the first byte.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Document, MAX_MARKDOWN_BYTES, MAX_TITLE_CHARS, cap_markdown, headings_of, one_line};
use crate::{Error, Result};

/// The hidden argument with which a program becomes the child.
pub const ARGUMENT: &str = "extract-pdf";
/// The largest file that is opened.
pub const MAX_PDF_BYTES: usize = 48 << 20;
/// Wall time for one file, start of the process included.
pub const MAX_SECONDS: u64 = 30;

/// The child's address space. The library holds the file, its decoded objects and the text; 1 GiB reads everything real that was tried.
const MAX_MEMORY_BYTES: u64 = 1 << 30;
/// The child's processor time; below the wall time so that its own end is told apart from a stuck pipe.
const MAX_CPU_SECONDS: u64 = 25;
/// Pages after this many are not read.
const MAX_PAGES: usize = 2_000;
/// The answer may be longer than its text by what JSON escapes.
const MAX_ANSWER_BYTES: u64 = 4 * MAX_MARKDOWN_BYTES as u64;
/// What begins a frame: libraries may print before it. JSON escapes the first byte, so no text can forge it.
const FRAME: &[u8] = b"\x1ecolloquy-pdf ";

const KIND: &str = "PDF";

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Text { title: String, pages: Vec<String>, truncated: bool },
    Unreadable { reason: String },
}

/// Reads a PDF in a child process of `exe`, which must call [`child_main`] for [`ARGUMENT`].
///
/// # Errors
/// [`Error::TooLarge`], [`Error::Malformed`], [`Error::NoText`] (a scan), [`Error::PdfTimeout`], [`Error::PdfReader`].
pub async fn extract_via(exe: &Path, bytes: &[u8]) -> Result<Document> {
    extract_within(exe, bytes, Duration::from_secs(MAX_SECONDS)).await
}

/// As [`extract_via`] with another wall time.
///
/// # Errors
/// As [`extract_via`].
pub async fn extract_within(exe: &Path, bytes: &[u8], wall: Duration) -> Result<Document> {
    if bytes.len() > MAX_PDF_BYTES {
        return Err(Error::TooLarge { kind: KIND, limit: MAX_PDF_BYTES as u64 });
    }
    match tokio::time::timeout(wall, converse(exe, bytes)).await {
        Ok(answer) => document(answer?),
        // The child is killed when its handle is dropped.
        Err(_) => Err(Error::PdfTimeout { seconds: wall.as_secs() }),
    }
}

/// The child's side: limits itself, reads a PDF from standard input, writes one frame to standard output.
///
/// Call it before anything else starts threads, and return what it returns from `main`.
#[must_use]
pub fn child_main() -> ExitCode {
    if let Err(error) = limit_self() {
        eprintln!("cannot limit the PDF reader: {error}");
        return ExitCode::FAILURE; // Without limits a hostile file must not be opened.
    }
    let mut bytes = Vec::new();
    let input = std::io::stdin().lock().take(MAX_PDF_BYTES as u64 + 1).read_to_end(&mut bytes);
    let answer = match input {
        Ok(length) if length > MAX_PDF_BYTES => Answer::Unreadable { reason: "it is too large".to_owned() },
        Ok(_) => read(&bytes),
        Err(error) => Answer::Unreadable { reason: error.to_string() },
    };
    let Ok(body) = serde_json::to_vec(&answer) else {
        return ExitCode::FAILURE;
    };
    let mut out = std::io::stdout().lock();
    match out.write_all(FRAME).and_then(|()| out.write_all(&body)).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn limit_self() -> rustix::io::Result<()> {
    for (resource, limit) in
        [(Resource::As, MAX_MEMORY_BYTES), (Resource::Cpu, MAX_CPU_SECONDS), (Resource::Core, 0), (Resource::Fsize, 0)]
    {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    Ok(())
}

fn read(bytes: &[u8]) -> Answer {
    // The library panics on many damaged files; the message would only be noise.
    std::panic::set_hook(Box::new(|_| {}));
    let read = std::panic::catch_unwind(|| pages(bytes));
    match read {
        Ok(Ok(answer)) => answer,
        Ok(Err(reason)) => Answer::Unreadable { reason },
        Err(_) => Answer::Unreadable { reason: "its structure is damaged".to_owned() },
    }
}

fn pages(bytes: &[u8]) -> Result<Answer, String> {
    let mut file = pdf_extract::Document::load_mem(bytes).map_err(|error| error.to_string())?;
    // What opens with the empty password is open by now. The library itself looks only for a dictionary that stands apart, and would find no text.
    if file.trailer.has(b"Encrypt") {
        file.decrypt("").map_err(|_| "it is protected by a password".to_owned())?;
    }
    let title = title(&file).unwrap_or_default();
    let (mut pages, mut size, mut broken) = (Vec::new(), 0, 0);
    let numbers: Vec<u32> = file.get_pages().into_keys().collect();
    let mut truncated = numbers.len() > MAX_PAGES;
    for number in numbers.into_iter().take(MAX_PAGES) {
        let page = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut text = String::new();
            let mut output = pdf_extract::PlainTextOutput::new(&mut text);
            pdf_extract::output_doc_page(&file, &mut output, number).map(|()| text)
        }));
        // One page in a font the library cannot read does not lose the others.
        let Ok(Ok(text)) = page else {
            broken += 1;
            continue;
        };
        size += text.len();
        pages.push(text);
        if size > MAX_MARKDOWN_BYTES {
            truncated = true;
            break;
        }
    }
    if pages.is_empty() && broken > 0 {
        return Err("none of its pages can be read".to_owned());
    }
    Ok(Answer::Text { title, pages, truncated: truncated || broken > 0 })
}

/// The title its author gave, from the document information dictionary.
fn title(file: &pdf_extract::Document) -> Option<String> {
    let info = file.trailer.get(b"Info").ok()?;
    let info = match info {
        pdf_extract::Object::Reference(id) => file.get_object(*id).ok()?,
        direct => direct,
    };
    let raw = info.as_dict().ok()?.get(b"Title").ok()?.as_str().ok()?;
    let text = match raw {
        [0xfe, 0xff, rest @ ..] => {
            let units: Vec<u16> = rest.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            String::from_utf16_lossy(&units)
        }
        raw => super::charset::decode(raw, None).into_owned(),
    };
    Some(one_line(&text, MAX_TITLE_CHARS))
}

async fn converse(exe: &Path, bytes: &[u8]) -> Result<Answer> {
    let failed = |reason: String| Error::PdfReader { reason };
    let mut child = tokio::process::Command::new(exe)
        .arg(ARGUMENT)
        .env_clear() // Keys of the server are none of a PDF's business.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("it could not be started: {error}")))?;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(failed("its pipes are missing".to_owned()));
    };
    let mut answer = Vec::new();
    let write = async {
        // A child that ends early closes its input; its own end says more than that.
        let _ = stdin.write_all(bytes).await;
        drop(stdin);
    };
    let mut limited = stdout.take(MAX_ANSWER_BYTES + 1);
    let ((), read) = tokio::join!(write, limited.read_to_end(&mut answer));
    read.map_err(|error| failed(error.to_string()))?;
    if answer.len() as u64 > MAX_ANSWER_BYTES {
        return Err(failed("its answer is too long".to_owned()));
    }
    let status = child.wait().await.map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        return Err(failed(format!("{status}; the file needs more memory or time than allowed, or is damaged")));
    }
    let start = answer
        .windows(FRAME.len())
        .rposition(|window| window == FRAME)
        .ok_or_else(|| failed("it said nothing".to_owned()))?;
    serde_json::from_slice(&answer[start + FRAME.len()..]).map_err(|error| failed(error.to_string()))
}

fn document(answer: Answer) -> Result<Document> {
    match answer {
        Answer::Unreadable { reason } => Err(Error::Malformed { kind: KIND, reason }),
        Answer::Text { title, pages, truncated } => {
            let mut markdown =
                pages.iter().map(|page| tidy(page)).filter(|page| !page.is_empty()).collect::<Vec<_>>().join("\n\n");
            if !markdown.chars().any(char::is_alphanumeric) {
                return Err(Error::NoText { kind: KIND });
            }
            let cut = cap_markdown(&mut markdown);
            let headings = headings_of(&markdown);
            Ok(Document { title, headings, markdown, truncated: truncated || cut, ..Document::default() })
        }
    }
}

/// The text of a page: white space tidied, words joined that were divided at a line's end, no accidental Markdown.
fn tidy(page: &str) -> String {
    let mut out = String::with_capacity(page.len());
    let mut blank = 0;
    for raw in page.lines() {
        let line = one_line(raw, usize::MAX / 8);
        if line.is_empty() {
            blank += 1;
            continue;
        }
        let divided = out.ends_with('-')
            && out[..out.len() - 1].ends_with(char::is_alphabetic)
            && line.starts_with(char::is_lowercase);
        if divided {
            out.pop();
        } else if !out.is_empty() {
            out.push_str(if blank > 0 { "\n\n" } else { "\n" });
            if crate::chunk::heading(&line).is_some() || line.starts_with("```") {
                out.push('\\');
            }
        }
        out.push_str(&line);
        blank = 0;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::tidy;

    #[test]
    fn lines_are_tidied_and_divided_words_joined() {
        assert_eq!(
            tidy("  Our   excel-\nlent team\n\n\n# 1 choice\nTop-\nQuality"),
            "Our excellent team\n\n\\# 1 choice\nTop-\nQuality"
        );
    }
}
