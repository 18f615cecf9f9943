//! Proves with the real binary that uploads and indices live in a bucket: a node that has lost everything but its journal answers from it again, and
//! while the bucket is away what needs it is refused by name and nothing is lost.

#[path = "../crates/store/tests/s3/server.rs"]
#[expect(dead_code, reason = "the store's own tests use the rest of it")]
mod s3;
mod support;

use std::time::Duration;

use s3::{BUCKET, Fault};
use serde_json::{Value, json};
use support::client::Answer;
use support::people::{Member, Visitor, text};
use support::{Server, eventually, random_id};

/// A small document is read at once, also through a bucket.
const READ_WITHIN: Duration = Duration::from_secs(30);
/// The bucket is asked again for some seconds before a call that needs it is given up.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(25);
/// What is asked, and what only the document knows.
const QUESTION: &str = "What does snaking a blocked main drain cost?";
const FACT: &str = "285";
const DOCUMENT: &str = "# Prices\n\nSnaking a blocked main drain costs 285 dollars.\n";

/// A server whose blobs are in a bucket, and its owner with an agent.
struct Desk {
    bucket: s3::Server,
    server: Server,
    owner: Member,
    agent: String,
}

impl Desk {
    async fn open() -> Self {
        let bucket = s3::Server::start().await;
        let config = bucket.config();
        let (key, secret) = config.keys.expect("keys");
        let settings = [
            ("COLLOQUY_DATA__BLOBS", format!("s3://{}/{}", config.bucket, config.prefix)),
            ("COLLOQUY_DATA__S3__ENDPOINT", config.endpoint),
            ("COLLOQUY_DATA__S3__ACCESS_KEY", key),
            ("COLLOQUY_DATA__S3__SECRET_KEY", secret),
        ];
        let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let server = Server::start_with(&settings).await;
        let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
        let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
        Self { bucket, server, owner, agent }
    }

    fn sources(&self) -> String {
        format!("/api/agents/{}/sources", self.agent)
    }

    async fn upload(&self, name: &str, document: &str) -> Answer {
        let boundary = random_id();
        let body = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\ncontent-type: text/markdown\r\n\r\n{document}\r\n--{boundary}--\r\n"
        );
        let content_type = format!("multipart/form-data; boundary={boundary}");
        self.owner.api.try_raw("POST", &self.sources(), &content_type, Some(body.into())).await.expect("an answer")
    }

    /// The source once its reading has ended, one way or the other.
    async fn read(&self, source: &str) -> Value {
        eventually("the document is read", READ_WITHIN, async || {
            let all = self.owner.api.get(&self.sources()).await.expect(200);
            let found = all["items"].as_array()?.iter().find(|shown| shown["id"] == source)?.clone();
            (!matches!(found["status"].as_str(), Some("pending" | "in_progress"))).then_some(found)
        })
        .await
    }

    /// Has a source read again, and returns it once that has ended.
    async fn retrained(&self, source: &str) -> Value {
        let path = format!("/api/agents/{}/retrain", self.agent);
        self.owner.api.post(&path, json!({ "source_id": source })).await.expect(202);
        self.read(source).await
    }

    async fn asked(&self, question: &str) -> String {
        text(&Visitor::new(&self.server, &self.agent).say(question).await, "response")
    }

    /// Waits until an answer has what only a document knows: the index follows the reading.
    async fn knows(&self, question: &str, fact: &str) {
        eventually(&format!("{fact:?} is known"), READ_WITHIN, async || {
            self.asked(question).await.contains(fact).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_node_that_was_killed_answers_from_what_only_the_bucket_has() {
    let mut desk = Desk::open().await;
    let source = text(&desk.upload("prices.md", DOCUMENT).await.expect(201), "id");
    let read = desk.read(&source).await;
    assert_eq!(read["status"], "completed", "{read}");
    desk.knows(QUESTION, FACT).await;
    let objects = desk.bucket.objects();
    assert!(objects.len() >= 3, "an upload, its text and an index: {:?}", objects.keys());
    for (name, object) in &objects {
        let plain = object.windows(7).any(|window| window == b"blocked");
        assert!(!plain, "{name} can be read by whoever has the bucket");
    }
    let local = desk.server.data().join("blobs");
    let files = std::fs::read_dir(&local).map(|entries| entries.count()).unwrap_or_default();
    assert_eq!(files, 0, "blobs beside the bucket, in {}", local.display());

    desk.server.kill();
    desk.server.boot().await;
    assert!(desk.asked(QUESTION).await.contains(FACT), "the first answer of a node without an index in memory");
    let retrained = desk.retrained(&source).await;
    assert_eq!(retrained["status"], "completed", "the upload itself is there: {retrained}");
}

#[tokio::test]
async fn without_the_bucket_calls_that_need_it_are_refused_by_name_and_nothing_is_lost() {
    let mut desk = Desk::open().await;
    let source = text(&desk.upload("prices.md", DOCUMENT).await.expect(201), "id");
    desk.read(&source).await;
    desk.knows(QUESTION, FACT).await;

    desk.bucket.fail_always(Some(Fault::SlowDown));
    assert!(desk.asked(QUESTION).await.contains(FACT), "what is in memory is answered from");
    let begun = std::time::Instant::now();
    let warranty = "# Warranty\n\nThe warranty on drain work is fourteen months.\n";
    let problem = desk.upload("warranty.md", warranty).await.refused(503);
    assert_eq!(problem["code"], "unavailable", "{problem}");
    assert!(begun.elapsed() < GIVEN_UP_WITHIN, "refused after {:?}", begun.elapsed());
    assert!(desk.server.log().contains(&format!("bucket {BUCKET}")), "the operator is told which bucket");
    let listed = desk.owner.api.list(&desk.sources()).await;
    assert_eq!(listed.len(), 1, "what was refused is not there: {listed:?}");
    let failed = desk.retrained(&source).await;
    let why = text(&failed, "error_message");
    assert!(failed["status"] == "failed" && why.contains(BUCKET), "{failed}");
    assert!(desk.asked(QUESTION).await.contains(FACT), "a reading that failed takes nothing away");

    // With nothing in memory and no bucket a visitor is answered all the same, without what cannot be reached.
    desk.server.kill();
    desk.server.boot().await;
    let begun = std::time::Instant::now();
    let answer = desk.asked(QUESTION).await;
    assert!(!answer.contains(FACT) && !answer.is_empty(), "{answer}");
    assert!(begun.elapsed() < GIVEN_UP_WITHIN, "answered after {:?}", begun.elapsed());

    desk.bucket.fail_always(None);
    desk.knows(QUESTION, FACT).await;
    let again = text(&desk.upload("warranty.md", warranty).await.expect(201), "id");
    for source in [&again, &source] {
        let read = desk.retrained(source).await;
        assert_eq!(read["status"], "completed", "{read}");
    }
    desk.knows("How long is the warranty on drain work?", "fourteen months").await;
    assert!(desk.asked(QUESTION).await.contains(FACT));
}
