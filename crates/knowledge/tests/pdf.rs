//! PDF extraction through a real child process: this test program starts itself, as the server does.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use colloquy_knowledge::Error;
use colloquy_knowledge::crawl::{CrawlConfig, CrawlEvent, CrawlJob, Crawler, PageKind};
use colloquy_knowledge::extract::pdf;
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

/// Set by the wrapper script for the run that plays the child.
const CHILD: &str = "COLLOQUY_TEST_PDF_CHILD";

/// Plays the child when the wrapper script asks for it; in an ordinary test run it does nothing.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_some() {
        let code = pdf::child_main();
        // The harness must not print behind the answer.
        std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
    }
}

/// A program that becomes the PDF reader when started with its argument: a script around this test program.
fn reader(folder: &tempfile::TempDir) -> PathBuf {
    let this = std::env::current_exe().expect("test program");
    let path = folder.path().join("reader");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = {} ] || exit 9\n{CHILD}=1 exec '{}' --exact child --nocapture\n",
        pdf::ARGUMENT,
        this.display()
    );
    std::fs::write(&path, script).expect("script");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("permissions");
    path
}

/// A PDF with one page of text per entry, and a title.
fn document(title: &str, pages: &[&str]) -> Vec<u8> {
    let contents: Vec<Vec<u8>> = pages
        .iter()
        .map(|page| {
            let lines: String = page.lines().map(|line| format!("({line}) Tj 0 -14 Td ")).collect();
            format!("BT /F1 12 Tf 72 720 Td {lines}ET").into_bytes()
        })
        .collect();
    assemble(title, &contents, "")
}

fn assemble(title: &str, contents: &[Vec<u8>], filter: &str) -> Vec<u8> {
    let mut objects: Vec<Vec<u8>> = Vec::new();
    let kids: String = (0..contents.len()).map(|page| format!("{} 0 R ", 5 + page * 2)).collect();
    objects.push(b"<< /Type /Catalog /Pages 2 0 R >>".to_vec());
    objects.push(format!("<< /Type /Pages /Kids [{kids}] /Count {} >>", contents.len()).into_bytes());
    objects.push(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_vec());
    objects.push(format!("<< /Title ({title}) >>").into_bytes());
    for (page, content) in contents.iter().enumerate() {
        let stream = 6 + page * 2;
        let resources = "/Resources << /Font << /F1 3 0 R >> >>";
        objects.push(
            format!("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] {resources} /Contents {stream} 0 R >>")
                .into_bytes(),
        );
        let mut object = format!("<< /Length {} {filter} >>\nstream\n", content.len()).into_bytes();
        object.extend_from_slice(content);
        object.extend_from_slice(b"\nendstream");
        objects.push(object);
    }
    let mut out = b"%PDF-1.4\n".to_vec();
    let mut offsets = Vec::new();
    for (number, object) in objects.iter().enumerate() {
        offsets.push(out.len());
        out.extend(format!("{} 0 obj\n", number + 1).into_bytes());
        out.extend_from_slice(object);
        out.extend_from_slice(b"\nendobj\n");
    }
    let table = out.len();
    out.extend(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).into_bytes());
    for offset in offsets {
        out.extend(format!("{offset:010} 00000 n \n").into_bytes());
    }
    out.extend(
        format!("trailer\n<< /Size {} /Root 1 0 R /Info 4 0 R >>\nstartxref\n{table}\n%%EOF\n", objects.len() + 1)
            .into_bytes(),
    );
    out
}

#[tokio::test]
async fn text_and_title_of_every_page_are_read() {
    let folder = tempfile::tempdir().expect("folder");
    let bytes = document("Price list 2026", &["Call-out costs 80 dollars.\nEvenings cost 120.", "Second page here."]);
    let read = pdf::extract_via(&reader(&folder), &bytes).await.expect("document");
    assert_eq!(read.title, "Price list 2026");
    assert!(
        read.markdown.contains("Call-out costs 80 dollars.") && read.markdown.contains("Evenings cost 120."),
        "{}",
        read.markdown
    );
    assert!(read.markdown.contains("\n\nSecond page here."), "{}", read.markdown);
    assert!(!read.truncated);
}

#[tokio::test]
async fn a_crawl_reads_the_pdfs_a_site_links_to() {
    let folder = tempfile::tempdir().expect("folder");
    let page = axum::response::Html("<main><p>See our <a href=/menu.pdf>menu</a>.</p></main>");
    let menu = document("Menu", &["Soup of the day costs 5 dollars."]);
    let app = axum::Router::new()
        .route("/", axum::routing::get(page))
        .route("/menu.pdf", axum::routing::get(([("content-type", "application/pdf")], menu)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
    let start = format!("http://{}/", listener.local_addr().expect("address"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let config = CrawlConfig { allow_private: true, about_url: String::new(), pdf_reader: Some(reader(&folder)) };
    let (sink, mut events) = tokio::sync::mpsc::channel(64);
    let crawler = Crawler::new(config).expect("crawler");
    let summary = crawler.crawl(CrawlJob::website(start), CancellationToken::new(), sink).await.expect("crawl");
    assert_eq!((summary.changed, summary.failed), (2, 0));
    let mut pdfs = Vec::new();
    while let Some(event) = events.recv().await {
        if let CrawlEvent::PageDone(page) = event
            && page.kind == PageKind::Pdf
        {
            pdfs.push((page.document.title, page.document.markdown));
        }
    }
    assert_eq!(pdfs, [("Menu".to_owned(), "Soup of the day costs 5 dollars.".to_owned())]);
}

#[tokio::test]
async fn a_scan_without_text_is_named() {
    let folder = tempfile::tempdir().expect("folder");
    let error = pdf::extract_via(&reader(&folder), &document("", &[""])).await.expect_err("no text");
    assert!(matches!(error, Error::NoText { kind: "PDF" }), "{error}");
}

#[tokio::test]
async fn damaged_files_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("folder");
    let reader = reader(&folder);
    for bytes in [&b"%PDF-1.4\nnonsense"[..], b"", b"no pdf at all"] {
        let error = pdf::extract_via(&reader, bytes).await.expect_err("damaged");
        assert!(matches!(error, Error::Malformed { kind: "PDF", .. }), "{error}");
    }
    let missing = pdf::extract_via(&folder.path().join("missing"), b"%PDF-").await.expect_err("missing");
    assert!(matches!(missing, Error::PdfReader { .. }), "{missing}");
    let large = pdf::extract_via(&reader, &vec![0; pdf::MAX_PDF_BYTES + 1]).await.expect_err("large");
    assert!(matches!(large, Error::TooLarge { .. }), "{large}");
}

#[tokio::test]
async fn a_file_that_inflates_without_end_ends_in_the_child() {
    let folder = tempfile::tempdir().expect("folder");
    // A stream of 1.5 GB of white space, packed twice: a few kilobytes in the file.
    let mut once = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let block = vec![b' '; 1 << 20];
    for _ in 0..1_536 {
        once.write_all(&block).expect("pack");
    }
    let mut twice = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    twice.write_all(&once.finish().expect("packed")).expect("pack");
    let bytes = assemble("bomb", &[twice.finish().expect("packed")], "/Filter [/FlateDecode /FlateDecode]");
    assert!(bytes.len() < 1 << 20);
    let error = pdf::extract_via(&reader(&folder), &bytes).await.expect_err("bomb");
    // Its memory limit ends the child; without one it would read the whole and find no text.
    assert!(matches!(error, Error::PdfReader { .. } | Error::Malformed { .. }), "{error}");
}

#[tokio::test]
async fn a_reader_that_never_answers_is_stopped() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("stuck");
    let pid_file = folder.path().join("pid");
    std::fs::write(&path, format!("#!/bin/sh\necho $$ > '{}'\nexec cat /dev/zero > /dev/null\n", pid_file.display()))
        .expect("script");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("permissions");
    let error = pdf::extract_within(&path, b"%PDF-", Duration::from_millis(700)).await.expect_err("stuck");
    assert!(matches!(error, Error::PdfTimeout { .. }), "{error}");
    let pid = std::fs::read_to_string(pid_file).expect("the reader had started");
    let process = PathBuf::from(format!("/proc/{}/stat", pid.trim()));
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    // Killed and reaped, or at least dead and waiting to be reaped.
    while std::fs::read_to_string(&process).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(std::time::Instant::now() < deadline, "the reader still runs");
        tokio::task::yield_now().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn flipped_bytes_end_in_a_document_or_a_named_error(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20), cut in any::<prop::sample::Index>()) {
        let folder = tempfile::tempdir().expect("folder");
        let reader = reader(&folder);
        let mut bytes = document("Title", &["Some text on a page.", "More text."]);
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        let end = bytes.len() - cut.index(bytes.len()) / 4;
        match runtime.block_on(pdf::extract_via(&reader, &bytes[..end])) {
            Ok(read) => prop_assert!(!read.markdown.is_empty()),
            Err(Error::Malformed { .. } | Error::NoText { .. } | Error::PdfReader { .. }) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}
