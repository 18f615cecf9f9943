//! Proves uploads over HTTP against the real binary: a PDF and a Word document are read and answered from, with the file as the source, and files that are
//! made to hurt, locked, damaged or not what they say end in an error that names why, while the server goes on.

mod support;

use std::io::{Cursor, Write as _};
use std::time::Duration;

use serde_json::{Value, json};
use support::client::Answer;
use support::people::{Member, Visitor, text};
use support::{Server, eventually, random_id};
use zip::write::SimpleFileOptions;

/// A small document is read at once; the PDF reader is a process of its own, here unoptimized.
const READ_WITHIN: Duration = Duration::from_secs(30);
/// What the server may grow by while it refuses documents that inflate to gigabytes.
const GROWTH_MAX: u64 = 128 << 20;

/// A server whose owner has an agent that knows nothing yet.
struct Desk {
    server: Server,
    owner: Member,
    agent: String,
}

impl Desk {
    async fn open() -> Self {
        let server = Server::start().await;
        let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
        let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
        Self { server, owner, agent }
    }

    fn path(&self) -> String {
        format!("/api/agents/{}/sources", self.agent)
    }

    /// Sends a form with a file.
    async fn upload(&self, name: &str, media_type: &str, bytes: &[u8]) -> Answer {
        let boundary = random_id();
        let mut body = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\ncontent-type: {media_type}\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(bytes);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let content_type = format!("multipart/form-data; boundary={boundary}");
        self.owner.api.try_raw("POST", &self.path(), &content_type, Some(body)).await.expect("an answer")
    }

    /// Waits until a source was read, one way or the other.
    async fn read(&self, source: &Value) -> Value {
        let id = text(source, "id");
        eventually(&format!("{} is read", source["name"]), READ_WITHIN, async || {
            let all = self.owner.api.get(&self.path()).await.expect(200);
            let found = all["items"].as_array()?.iter().find(|source| source["id"] == *id)?.clone();
            (!matches!(found["status"].as_str(), Some("pending" | "in_progress"))).then_some(found)
        })
        .await
    }

    async fn ask(&self, question: &str) -> Value {
        Visitor::new(&self.server, &self.agent).say(question).await
    }
}

#[tokio::test]
async fn a_pdf_and_a_word_document_are_answered_from_with_the_file_as_source() {
    let desk = Desk::open().await;
    let price = pdf(
        "",
        &[
            "Price list. Snaking a blocked main drain costs 285 dollars.",
            "The warranty on drain work is fourteen months.",
        ],
    );
    let terms = docx(
        "<w:p><w:pPr><w:pStyle w:val=\"Heading1\"/></w:pPr><w:r><w:t>Maintenance plan</w:t></w:r></w:p>\
         <w:p><w:r><w:t>The Copper maintenance plan includes two boiler inspections every year and costs 19 dollars a month.</w:t></w:r></w:p>",
    );
    let added = [
        desk.upload("price-list.pdf", "application/pdf", &price).await.expect(201),
        // Browsers do not know every type; the file itself tells.
        desk.upload("maintenance plan.docx", "application/octet-stream", &terms).await.expect(201),
    ];
    for source in &added {
        assert_eq!(source["type"], "file_upload", "{source}");
        let read = desk.read(source).await;
        assert_eq!((read["status"].as_str(), read["page_count"].as_u64()), (Some("completed"), Some(1)), "{read}");
        assert!(read["error_message"].is_null() && read["chunk_count"].as_u64() > Some(0), "{read}");
    }
    for (question, fact, title) in [
        ("What does snaking a blocked main drain cost?", "285", "price-list.pdf"),
        ("How long is the warranty on drain work?", "fourteen months", "price-list.pdf"),
        (
            "How many boiler inspections does the Copper maintenance plan include?",
            "two boiler inspections",
            "Maintenance plan",
        ),
    ] {
        let answer = eventually(question, READ_WITHIN, async || {
            let answer = desk.ask(question).await;
            text(&answer, "response").contains(fact).then_some(answer)
        })
        .await;
        let sources = answer["sources"].as_array().expect("sources");
        assert!(sources.iter().any(|source| source["title"] == title), "{question}: {title} is not among {sources:?}");
    }
    // Removed, it is not answered from any more.
    let first = text(&added[0], "id");
    desk.owner.api.delete(&format!("{}/{first}", desk.path())).await.expect(204);
    eventually("the price is forgotten", READ_WITHIN, async || {
        let answer = desk.ask("What does snaking a blocked main drain cost?").await;
        (!text(&answer, "response").contains("285")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn documents_made_to_hurt_are_named_on_their_source_and_the_server_goes_on() {
    let desk = Desk::open().await;
    let before = desk.server.resident_bytes();
    let bomb = docx(&format!("<w:p><w:r><w:t>{}</w:t></w:r></w:p>", "0".repeat(64 << 20)));
    assert!(bomb.len() < 1 << 20, "{} bytes", bomb.len());
    let many: Vec<(String, String)> = (0..5_100).map(|n| (format!("word/part{n}.xml"), String::new())).collect();
    let deep = archive(&[("word/document.xml", &"<w:p>".repeat(100_000))]);
    let mut cut = pdf("Cut", &["Nobody can read this."]);
    cut.truncate(cut.len() / 3);
    for (name, bytes, word) in [
        ("bomb.docx", bomb, "inflates"),
        (
            "many.docx",
            archive(&many.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect::<Vec<_>>()),
            "5000 files",
        ),
        ("deep.docx", deep, "nested"),
        ("empty.docx", docx("<w:p/>"), "no text"),
        // A spreadsheet that was given another name.
        ("sheet.docx", archive(&[("xl/workbook.xml", "<workbook/>")]), "word/document.xml"),
        ("cut.docx", docx("<w:p><w:r><w:t>Hello</w:t></w:r></w:p>")[..60].to_vec(), "DOCX"),
        ("locked.pdf", locked(true), "password"),
        ("locked-otherwise.pdf", locked(false), "password"),
        ("garbage.pdf", [b"%PDF-1.7\n".as_slice(), &[0xa5; 50_000]].concat(), "PDF"),
        ("cut.pdf", cut, "PDF"),
        ("scan.pdf", pdf("", &[""]), "no text"),
        // What it is decides, not what it is called.
        ("really-a-pdf.txt", b"%PDF-1.4\nnothing else".to_vec(), "PDF"),
    ] {
        let source = desk.upload(name, "application/octet-stream", &bytes).await.expect(201);
        let read = desk.read(&source).await;
        assert_eq!(read["status"], "failed", "{name}: {read}");
        let said = text(&read, "error_message");
        assert!(said.contains(word), "{name}: `{word}` is not in {said:?}");
        assert!(!said.contains("panicked") && !said.contains('\n'), "{name}: {said}");
    }
    // What can be told at once is refused at once, and leaves nothing behind.
    let listed = desk.owner.api.list(&desk.path()).await.len();
    for (name, bytes) in [
        ("photo.pdf", b"\x89PNG\r\n\x1a\n0000".to_vec()),
        ("program.docx", b"\x7fELF\x02\x01\x01\0\0\0".to_vec()),
        ("notes.txt", b"abc\0def".to_vec()),
        ("archive.zip", archive(&[("a.txt", "text")])),
        ("nothing.pdf", Vec::new()),
    ] {
        desk.upload(name, "application/pdf", &bytes).await.names("file");
    }
    desk.owner
        .api
        .try_raw("POST", &desk.path(), "multipart/form-data", Some(b"x".to_vec()))
        .await
        .expect("an answer")
        .refused(400);
    let broken = desk
        .owner
        .api
        .try_raw("POST", &desk.path(), "multipart/form-data; boundary=b", Some(b"--b\r\n".to_vec()))
        .await;
    broken.expect("an answer").refused(400);
    let large = vec![b'x'; 27 << 20];
    assert_eq!(desk.upload("large.txt", "text/plain", &large).await.refused(413)["code"], "too_large");
    assert_eq!(desk.owner.api.list(&desk.path()).await.len(), listed);
    // A name cannot leave its folder.
    let source = desk.upload("../../../etc/passwd", "text/plain", b"The Tin plan costs 7 dollars.").await.expect(201);
    assert_eq!(desk.read(&source).await["status"], "completed");
    let grown = desk.server.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_MAX, "grown by {grown} bytes");
    let fine = desk
        .upload("fine.md", "text/markdown", b"# Hours\n\nThe showroom in Elm Street opens at ten.")
        .await
        .expect(201);
    assert_eq!(desk.read(&fine).await["status"], "completed");
    eventually("an answer from the good one", READ_WITHIN, async || {
        let answer = desk.ask("When does the showroom in Elm Street open?").await;
        text(&answer, "response").contains("opens at ten").then_some(())
    })
    .await;
    assert!(!desk.server.log().contains("panicked"), "{}", desk.server.log_tail());
    eprintln!("memory grown by {} KiB", grown >> 10);
}

/// A Word document around a body.
fn docx(body: &str) -> Vec<u8> {
    let document = format!("<?xml version=\"1.0\"?><w:document xmlns:w=\"x\"><w:body>{body}</w:body></w:document>");
    let styles =
        "<w:styles xmlns:w=\"x\"><w:style w:styleId=\"Heading1\"><w:name w:val=\"heading 1\"/></w:style></w:styles>";
    archive(&[("word/document.xml", &document), ("word/styles.xml", styles)])
}

fn archive(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        zip.start_file(*name, SimpleFileOptions::default()).expect("a part");
        zip.write_all(content.as_bytes()).expect("its content");
    }
    zip.finish().expect("an archive").into_inner()
}

/// A PDF with a line of text on each page.
fn pdf(title: &str, pages: &[&str]) -> Vec<u8> {
    assemble(title, pages, &[], "")
}

fn assemble(title: &str, pages: &[&str], more: &[String], trailer: &str) -> Vec<u8> {
    let kids: String = (0..pages.len()).map(|page| format!("{} 0 R ", 5 + page * 2)).collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!("<< /Type /Pages /Kids [{kids}] /Count {} >>", pages.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_owned(),
        format!("<< /Title ({title}) >>"),
    ];
    for (page, line) in pages.iter().enumerate() {
        let content = format!("BT /F1 12 Tf 72 720 Td ({line}) Tj ET");
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> /Contents {} 0 R >>",
            6 + page * 2
        ));
        objects.push(format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()));
    }
    objects.extend_from_slice(more);
    let mut out = "%PDF-1.4\n".to_owned();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (number, object) in objects.iter().enumerate() {
        table.push_str(&format!("{:010} 00000 n \n", out.len()));
        out.push_str(&format!("{} 0 obj\n{object}\nendobj\n", number + 1));
    }
    let start = out.len();
    out.push_str(&table);
    out.push_str(&format!(
        "trailer\n<< /Size {} /Root 1 0 R /Info 4 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n",
        objects.len() + 1
    ));
    out.into_bytes()
}

/// A file with a standard password handler that nobody has the password of; the dictionary that says so stands in the trailer or apart.
fn locked(apart: bool) -> Vec<u8> {
    let handler = format!(
        "<< /Filter /Standard /V 2 /R 3 /Length 128 /P -3904 /O <{}> /U <{}> >>",
        "5a".repeat(32),
        "a5".repeat(32)
    );
    let id = format!("/ID [<{id}> <{id}>]", id = "07".repeat(16));
    let pages = ["Nobody may read this."];
    if apart {
        // The catalog, the pages, the font, the information, and two objects of the only page come before it.
        assemble("Locked", &pages, &[handler], &format!("/Encrypt 7 0 R {id}"))
    } else {
        assemble("Locked", &pages, &[], &format!("/Encrypt {handler} {id}"))
    }
}
