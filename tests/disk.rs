//! Proves what a full disk does to the running server: writes are refused by name, reads go on, the process and its lease live on, nothing acknowledged
//! is lost, and it works again by itself once there is space.

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::people::{Member, Visitor, text};
use support::{Server, eventually};

/// Room for the server's files and a few hundred turns.
const DISK_BYTES: u64 = 24 << 20;
/// What is left when the visitors begin: some dozen turns.
const SPARE_BYTES: u64 = 3 << 20;
/// Well past the eight seconds that a lease lasts without being renewed.
const FULL_FOR: Duration = Duration::from_secs(10);
/// From space to writing: the longest pause of an entity that found the disk full, and two beats.
const AGAIN_WITHIN: Duration = Duration::from_secs(15);
/// More turns than fit.
const TURNS_MAX: usize = 3_000;

#[tokio::test]
async fn a_full_disk_refuses_writes_by_name_and_keeps_everything_else() {
    let settings = [
        ("COLLOQUY_LIMITS__CHAT_PER_VISITOR_PER_MINUTE", "1000000"),
        ("COLLOQUY_LIMITS__CHAT_PER_ADDRESS_PER_MINUTE", "1000000"),
        ("COLLOQUY_LIMITS__API_PER_PRINCIPAL_PER_MINUTE", "1000000"),
        // A message that still fits and whose answer does not is told so soon.
        ("COLLOQUY_LIMITS__REQUEST_TIMEOUT_S", "3"),
    ];
    let mut server = Server::start_on_disk_of(DISK_BYTES, &settings).await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
    server.ops_api().get("/health/readyz").await.expect(200);

    // Somebody else's files leave little; visitors use up the rest.
    server.disk.as_mut().expect("a disk").fill(SPARE_BYTES);
    let mut told = Told::default();
    let mut visitors: Vec<Visitor> = (0..3).map(|_| Visitor::new(&server, &agent)).collect();
    for visitor in &mut visitors {
        assert!(told.ask(visitor).await.is_none(), "there is room for a first message");
    }
    let mut refusal = None;
    for turn in 0..TURNS_MAX {
        let visitor = turn % visitors.len();
        refusal = told.ask(&mut visitors[visitor]).await;
        if refusal.is_some() {
            break;
        }
    }
    storage_full(&refusal.expect("the disk becomes full"));
    assert!(told.all.len() > 10, "{}", told.all.len());

    // From here on there is no space at all, for longer than a lease lasts.
    let begun = Instant::now();
    let mut refused = 0;
    let mut unready = 0;
    while begun.elapsed() < FULL_FOR {
        server.disk.as_mut().expect("a disk").fill(0);
        for visitor in &mut visitors {
            if let Some(refusal) = told.ask(visitor).await {
                storage_full(&refusal);
                refused += 1;
            }
        }
        // Somebody new, and the console: whatever would write says the same.
        let mut stranger = Visitor::new(&server, &agent);
        if let Some(refusal) = told.ask(&mut stranger).await {
            storage_full(&refusal);
        }
        let ready = server.ops_api().get("/health/readyz").await;
        if ready.status == 503 {
            assert!(text(&ready.body, "reason").contains("full"), "{}", ready.text);
            unready += 1;
        }
        server.ops_api().get("/health/livez").await.expect(200);
        // Reading goes on.
        let listed = owner.api.list("/api/conversations").await;
        for visitor in &visitors {
            assert!(listed.iter().any(|row| row["id"] == visitor.talk()), "{} is listed", visitor.talk());
            told.compare(&visitor.history().await, visitor.talk());
        }
        owner.conversation(visitors[0].talk()).await;
        assert!(!owner.journal(visitors[0].talk()).await.is_empty());
        owner.api.get("/api/analytics/overview?window=24h").await.expect(200);
        assert!(server.runs(), "the process goes on");
    }
    assert!(refused > 10 && unready > 10, "{refused} refusals, {unready} times not ready");
    let not_ready = server.ops_api().get("/health/readyz").await;
    assert_eq!(not_ready.status, 503, "a node that cannot answer a chat turn is not ready: {}", not_ready.text);
    let console = owner.api.patch(&format!("/api/agents/{agent}"), json!({ "name": "Renamed" })).await;
    storage_full(&console.refused(503));
    let keyed = owner.api.header("idempotency-key", "k-1").post("/api/agents", json!({ "vertical": "custom" })).await;
    storage_full(&keyed.refused(503));
    let source = json!({ "type": "manual_text", "name": "Note", "content": "We close at noon. ".repeat(4_000) });
    storage_full(&owner.api.post(&format!("/api/agents/{agent}/sources"), source).await.refused(503));
    let login = json!({ "email": owner.email, "password": support::people::PASSWORD });
    storage_full(&server.api().post("/api/auth/login", login.clone()).await.refused(503));
    assert!(!server.log().contains("panicked"), "{}", server.log_tail());

    // Space comes back, and the same process goes on by itself.
    server.disk.as_mut().expect("a disk").free();
    for visitor in &mut visitors {
        eventually("a turn after there is space again", AGAIN_WITHIN, async || {
            told.ask(visitor).await.is_none().then_some(())
        })
        .await;
    }
    eventually("ready again", AGAIN_WITHIN, async || {
        (server.ops_api().get("/health/readyz").await.status == 200).then_some(())
    })
    .await;
    owner.api.header("idempotency-key", "k-1").post("/api/agents", json!({ "vertical": "custom" })).await.expect(201);
    server.api().post("/api/auth/login", login).await.expect(200);
    for visitor in &visitors {
        told.compare(&visitor.history().await, visitor.talk());
    }

    // Killed in the middle of a full disk: it says why it cannot start, and with space nothing is missing.
    server.disk.as_mut().expect("a disk").fill(0);
    eventually("full once more", AGAIN_WITHIN, async || told.ask(&mut visitors[0]).await).await;
    server.kill();
    server.disk.as_mut().expect("a disk").fill(0);
    let said = server.refuses_to_start();
    assert!(said.contains("space") && !said.contains("panicked"), "{said}");
    server.disk.as_mut().expect("a disk").free();
    server.boot().await;
    for visitor in &mut visitors {
        told.compare(&visitor.history().await, visitor.talk());
        assert!(told.ask(visitor).await.is_none());
        told.compare(&visitor.history().await, visitor.talk());
    }
    eprintln!("{} acknowledged turns, {refused} refused, none lost", told.all.len());
}

/// What visitors were told, by conversation: the words they sent and the answers they got.
#[derive(Default)]
struct Told {
    all: BTreeMap<String, (String, String)>,
    said: BTreeMap<String, Vec<String>>,
}

impl Told {
    /// Says something new; gives the problem where it was refused.
    async fn ask(&mut self, visitor: &mut Visitor) -> Option<Value> {
        let id = support::random_id();
        let words = format!("Do you offer emergency services? My reference is {id}.");
        let answer = visitor.post(&visitor.body(&words, &id)).await;
        if answer.status != 200 {
            let refusal = answer.refused(503);
            // The last message that fitted: it stands, and is answered when there is room for the answer.
            return (refusal["code"] != "answer_pending").then_some(refusal);
        }
        visitor.remember(&answer.body);
        self.said.entry(visitor.talk().to_owned()).or_default().push(words.clone());
        self.all.insert(words, (text(&answer.body, "message_id"), text(&answer.body, "response")));
        None
    }

    /// Everything this conversation was told is in its history, once, in order.
    #[track_caller]
    fn compare(&self, history: &Value, conversation: &str) {
        let messages = history["messages"].as_array().expect("messages");
        let kept: Vec<&str> = messages
            .iter()
            .filter(|message| message["role"] == "user")
            .filter_map(|message| message["content"].as_str())
            .collect();
        let mut rest = kept.iter();
        for words in &self.said[conversation] {
            assert!(rest.any(|kept| kept == words), "{words:?} is not in its place in {conversation}: {kept:?}");
            let (id, answer) = &self.all[words];
            assert!(
                messages.iter().any(|message| message["id"] == **id && message["content"] == **answer),
                "the answer {id} is not in {conversation}"
            );
        }
    }
}

/// A refusal that names the disk, says that nothing was stored, and may be repeated.
#[track_caller]
fn storage_full(problem: &Value) {
    assert_eq!(
        (problem["code"].as_str(), problem["retry"].as_str()),
        (Some("storage_full"), Some("safe")),
        "{problem}"
    );
    let detail = text(problem, "detail");
    assert!(detail.contains("full") && detail.contains("nothing was stored"), "{detail}");
}
