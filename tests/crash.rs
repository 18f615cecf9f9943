//! Proves that no instant of `kill -9` under load loses an acknowledged message, doubles one, leaves a gap in a journal or a turn without an answer:
//! visitors over HTTP and over the chat socket write while the real binary is killed at random moments; a checker compares what they were told with what is stored.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use support::client::Api;
use support::people::{Member, Visitor, number, text};
use support::socket::Socket;
use support::{Server, eventually, random_id};

/// How often the server dies.
const KILLS: usize = 24;
/// Visitors that use `POST /api/chat`.
const OVER_HTTP: usize = 4;
/// Visitors that use the chat socket.
const OVER_SOCKET: usize = 3;
/// Messages of one conversation before its visitor starts another.
const MESSAGES: usize = 12;
/// Which of them makes a lead, over HTTP.
const LEAD_AT: usize = 2;
/// How a visitor becomes a lead.
const LEAD_WORDS: &str = "My name is Ann Lee and my number is 217-555-0133.";
/// The longest that one message may need, kills in between included.
const MESSAGE_WITHIN: Duration = Duration::from_secs(60);
/// By the issue: no turn is left unanswered.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);
/// Between two attempts while the server is down.
const RETRY: Duration = Duration::from_millis(20);
/// The environment variable that repeats a run.
const SEED: &str = "CRASH_SEED";

/// What visitors were told.
#[derive(Default)]
struct Ledger {
    /// Messages that were acknowledged, by client message id.
    acknowledged: Mutex<BTreeMap<String, Acknowledged>>,
    count: AtomicUsize,
    enough: AtomicBool,
}

#[derive(Clone, Debug)]
struct Acknowledged {
    conversation: String,
    text: String,
    /// The sequence number of the message, where the client was told.
    seq: Option<u64>,
    /// The answer's id, words and sequence number, where the client was told.
    answer: Option<(String, String, Option<u64>)>,
}

impl Ledger {
    fn write(&self, client_message_id: &str, told: Acknowledged) {
        let mut all = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(client_message_id) {
            Some(known) => {
                assert_eq!(known.conversation, told.conversation, "one message, two conversations");
                assert!(
                    known.seq.is_none() || told.seq.is_none() || known.seq == told.seq,
                    "acknowledged twice with different numbers: {known:?}, {told:?}"
                );
                known.seq = known.seq.or(told.seq);
                known.answer = known.answer.take().or(told.answer);
            }
            None => drop(all.insert(client_message_id.to_owned(), told)),
        }
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn done(&self) -> bool {
        self.enough.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kill_loses_doubles_or_leaves_unanswered_what_was_acknowledged() {
    let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random::<u64>);
    eprintln!("{SEED}={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = Server::start_with(&[
        ("COLLOQUY_LIMITS__CHAT_PER_VISITOR_PER_MINUTE", "1000000"),
        ("COLLOQUY_LIMITS__CHAT_PER_ADDRESS_PER_MINUTE", "1000000"),
        ("COLLOQUY_LIMITS__API_PER_PRINCIPAL_PER_MINUTE", "1000000"),
    ])
    .await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let agent = text(
        &owner
            .agent(json!({ "vertical": "home_services", "variables": { "business_name": "Oak Street Plumbing" } }))
            .await,
        "id",
    );
    let ledger = Arc::new(Ledger::default());

    let mut visitors = tokio::task::JoinSet::new();
    for _ in 0..OVER_HTTP {
        visitors.spawn(over_http(
            Visitor::new(&server, &agent),
            ledger.clone(),
            StdRng::seed_from_u64(random.random()),
        ));
    }
    for _ in 0..OVER_SOCKET {
        visitors.spawn(over_socket(server.api(), agent.clone(), ledger.clone()));
    }

    let mut last_boot = Instant::now();
    for round in 0..KILLS {
        // A random number of acknowledgements later, at a random instant of whatever is happening then.
        let wanted = ledger.count.load(Ordering::Relaxed) + random.random_range(0..60);
        let begun = Instant::now();
        while ledger.count.load(Ordering::Relaxed) < wanted && begun.elapsed() < Duration::from_secs(10) {
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(visitors.try_join_next().is_none_or(|ended| ended.is_ok()), "a visitor gave up");
        }
        tokio::time::sleep(Duration::from_micros(random.random_range(0..20_000))).await;
        if round == KILLS - 1 {
            ledger.enough.store(true, Ordering::Relaxed);
        }
        if round % 6 == 5 && round < KILLS - 1 {
            let status = server.stop().await;
            assert!(status.success(), "SIGTERM under load ended with {status}");
        } else {
            server.kill();
        }
        if random.random_ratio(1, 4) {
            // Dying while it recovers is no different.
            server.spawn();
            tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await;
            server.kill();
        }
        server.boot().await;
        last_boot = Instant::now();
    }
    while let Some(ended) = visitors.join_next().await {
        ended.expect("a visitor got every answer");
    }
    eprintln!("{} acknowledgements over {KILLS} kills", ledger.count.load(Ordering::Relaxed));
    check(&owner, &ledger, last_boot).await;
}

/// A customer's program: one message after the other, each repeated with the same id until it is answered. Now and then one gives up and is never seen again.
async fn over_http(mut visitor: Visitor, ledger: Arc<Ledger>, mut random: StdRng) {
    let mut said = 0;
    while !ledger.done() {
        if said == MESSAGES {
            (visitor.id, visitor.token, visitor.conversation, said) = (random_id(), None, None, 0);
        }
        let id = random_id();
        let words = if said == LEAD_AT {
            format!("{LEAD_WORDS} My reference is {id}.")
        } else {
            format!("Do you offer emergency services? My reference is {id}.")
        };
        let body = visitor.body(&words, &id);
        let begun = Instant::now();
        let answer = loop {
            assert!(begun.elapsed() < MESSAGE_WITHIN, "message {id} was not answered within {MESSAGE_WITHIN:?}");
            match visitor.api().try_call("POST", "/api/chat", Some(&body)).await {
                Ok(answer) if answer.status == 200 => break Some(answer.body),
                Ok(answer) => {
                    let retry = answer.body["retry"].as_str().unwrap_or_default();
                    assert!(matches!(retry, "safe" | "same_key"), "message {id}: {} {}", answer.status, answer.text);
                }
                Err(_) if random.random_ratio(1, 40) => break None,
                Err(_) => {}
            }
            tokio::time::sleep(RETRY).await;
        };
        let Some(answer) = answer else {
            (visitor.id, visitor.token, visitor.conversation, said) = (random_id(), None, None, 0);
            continue;
        };
        visitor.remember(&answer);
        said += 1;
        // A newer message would cover this one; this visitor sends none before, so the answer is its own.
        let given = (text(&answer, "message_id"), text(&answer, "response"), answer["seq"].as_u64());
        ledger.write(
            &id,
            Acknowledged {
                conversation: text(&answer, "conversation_id"),
                text: words,
                seq: None,
                answer: Some(given),
            },
        );
    }
}

/// The widget: acknowledged by sequence number, resumed by sequence number.
async fn over_socket(api: Api, agent: String, ledger: Arc<Ledger>) {
    while !ledger.done() {
        let mut client =
            Widget { visitor: random_id(), token: Value::Null, conversation: Value::Null, seen: Vec::new() };
        let mut socket = client.connect(&api, &agent).await;
        for _ in 0..MESSAGES {
            if ledger.done() {
                break;
            }
            let id = random_id();
            let words = format!("Do you offer emergency services? My reference is {id}.");
            let message = json!({ "type": "message", "client_message_id": id, "text": words });
            let begun = Instant::now();
            let mut acknowledged = None;
            let mut sent = false;
            loop {
                assert!(
                    begun.elapsed() < MESSAGE_WITHIN,
                    "message {id} was not answered within {MESSAGE_WITHIN:?}; acknowledged: {acknowledged:?}"
                );
                if !sent && acknowledged.is_none() && socket.try_send(&message).await.is_err() {
                    socket = client.connect(&api, &agent).await;
                    continue;
                }
                sent = true;
                match socket.next_within(Duration::from_secs(20)).await {
                    Ok(Some(frame)) => {
                        client.take(&frame);
                        if frame["type"] == "error" {
                            assert!(frame["retry"] != "never", "message {id}: {frame}");
                            sent = false;
                            tokio::time::sleep(RETRY).await;
                        }
                        if frame["type"] == "ack" && frame["client_message_id"] == json!(id) {
                            acknowledged = Some(number(&frame, "seq"));
                            client.conversation = frame["conversation_id"].clone();
                            ledger.write(
                                &id,
                                Acknowledged {
                                    conversation: text(&frame, "conversation_id"),
                                    text: words.clone(),
                                    seq: acknowledged,
                                    answer: None,
                                },
                            );
                        }
                    }
                    Ok(None) | Err(_) => {
                        socket = client.connect(&api, &agent).await;
                        sent = false;
                    }
                }
                // The answer may have come with the resumed messages.
                let answer = acknowledged.and_then(|asked| {
                    client.seen.iter().find(|message| message["role"] == "assistant" && number(message, "seq") > asked)
                });
                if let Some(answer) = answer {
                    let given = (text(answer, "id"), text(answer, "content"), answer["seq"].as_u64());
                    ledger.write(
                        &id,
                        Acknowledged {
                            conversation: text(&client.conversation_frame(), "id"),
                            text: words,
                            seq: acknowledged,
                            answer: Some(given),
                        },
                    );
                    break;
                }
            }
        }
        socket.close().await;
    }
}

/// What a widget keeps between connections.
struct Widget {
    visitor: String,
    token: Value,
    conversation: Value,
    /// Every message, in order of arrival.
    seen: Vec<Value>,
}

impl Widget {
    async fn connect(&mut self, api: &Api, agent: &str) -> Socket {
        let begun = Instant::now();
        loop {
            let last_seq = self.seen.last().map_or(0, |message| number(message, "seq"));
            let hello = json!({ "visitor_id": self.visitor, "visitor_token": self.token, "conversation_id": self.conversation, "last_seq": last_seq });
            match Socket::chat(api.address, agent, hello).await {
                Ok((socket, welcome)) => {
                    self.token = welcome["visitor_token"].clone();
                    if !self.conversation.is_null() {
                        assert_eq!(
                            welcome["conversation_id"], self.conversation,
                            "the conversation goes on after a restart"
                        );
                    }
                    return socket;
                }
                Err(error) => {
                    assert!(begun.elapsed() < MESSAGE_WITHIN, "no connection within {MESSAGE_WITHIN:?}: {error}")
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Messages come in order and each once, over all connections.
    fn take(&mut self, frame: &Value) {
        if frame["type"] == "message" {
            let before = self.seen.last().map_or(0, |message| number(message, "seq"));
            assert!(number(frame, "seq") > before, "{frame} came after {before}");
            self.seen.push(frame.clone());
        }
    }

    fn conversation_frame(&self) -> Value {
        json!({ "id": self.conversation })
    }
}

/// Compares what visitors were told with what is stored.
async fn check(owner: &Member, ledger: &Ledger, last_boot: Instant) {
    let left = ANSWERED_WITHIN.saturating_sub(last_boot.elapsed()).max(Duration::from_secs(1));
    let listed = owner.api.list("/api/conversations").await;
    let ids: BTreeSet<String> = listed.iter().map(|conversation| text(conversation, "id")).collect();
    assert_eq!(ids.len(), listed.len(), "a conversation is listed twice");
    let acknowledged = ledger.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for told in acknowledged.values() {
        assert!(
            ids.contains(&told.conversation),
            "conversation {} was acknowledged and is not listed",
            told.conversation
        );
    }
    let deadline = Instant::now() + left;
    let mut posted: BTreeMap<String, (String, u64)> = BTreeMap::new();
    let mut messages = 0;
    for id in &ids {
        let shown =
            owner.settled(id, deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(500))).await;
        let journal = owner.journal(id).await;
        let seqs: Vec<u64> = journal.iter().map(|entry| number(entry, "seq")).collect();
        let seq = number(&shown["conversation"], "seq");
        assert!(
            seqs.iter().copied().eq(1..=seqs.len() as u64) && seqs.len() as u64 >= seq,
            "conversation {id}: a gap among {seqs:?}"
        );
        for entry in &journal {
            if let Some(client_message_id) = find(entry, "client_message_id").filter(|_| is_post(entry)) {
                let before = posted.insert(client_message_id.clone(), (id.clone(), number(entry, "seq")));
                assert!(
                    before.is_none(),
                    "message {client_message_id} is stored twice: {before:?} and {id} at {}",
                    entry["seq"]
                );
            }
        }
        messages += whole(id, &shown);
        let replayed = owner.api.get(&format!("/api/conversations/{id}/replay?at={seq}")).await.expect(200);
        assert_eq!(replayed["state_hash"], shown["conversation"]["state_hash"], "conversation {id}");
    }
    for (client_message_id, told) in &acknowledged {
        let (conversation, seq) =
            posted.get(client_message_id).unwrap_or_else(|| panic!("lost: {client_message_id}, {told:?}"));
        assert_eq!(conversation, &told.conversation, "{client_message_id}");
        assert!(
            told.seq.is_none_or(|told| told == *seq),
            "{client_message_id} was acknowledged as {:?} and is {seq}",
            told.seq
        );
        let shown = owner.conversation(conversation).await;
        let all = shown["messages"].as_array().expect("messages");
        assert!(
            all.iter().any(|message| message["seq"] == json!(seq) && message["content"] == json!(told.text)),
            "{client_message_id}: not its own words at {seq}"
        );
        if let Some((message_id, words, answer_seq)) = &told.answer {
            let same = all.iter().filter(|message| message["id"] == json!(message_id)).collect::<Vec<_>>();
            assert_eq!(same.len(), 1, "the answer {message_id} of {client_message_id} is there {} times", same.len());
            assert_eq!(
                same[0]["content"],
                json!(words),
                "the answer of {client_message_id} changed after it was given"
            );
            assert!(
                number(same[0], "seq") > *seq && answer_seq.is_none_or(|told| told >= number(same[0], "seq")),
                "{same:?}"
            );
        }
    }
    // The numbers on the screen are those of the journals, after all that.
    // What one entity tells another arrives, once: every conversation in which a name and number were given is one lead.
    let leaders: BTreeSet<&str> = acknowledged
        .values()
        .filter(|told| told.text.contains(LEAD_WORDS))
        .map(|told| told.conversation.as_str())
        .collect();
    let leads = eventually("every lead", ANSWERED_WITHIN, || async {
        let leads = owner.api.list("/api/leads").await;
        let from: BTreeSet<String> = leads.iter().map(|lead| text(lead, "conversation_id")).collect();
        assert_eq!(from.len(), leads.len(), "a conversation became two leads: {leads:?}");
        leaders.iter().all(|leader| from.contains(*leader)).then_some(leads.len())
    })
    .await;
    owner.counted(json!({ "total_conversations": ids.len(), "messages": messages, "leads_captured": leads })).await;
    eprintln!(
        "{} conversations, {messages} messages, {leads} leads, {} acknowledged messages: none lost, none doubled",
        ids.len(),
        acknowledged.len()
    );
}

/// A conversation whose visitor waits for each answer is question, answer, question, answer; returns how many messages that are.
fn whole(id: &str, shown: &Value) -> usize {
    let all = shown["messages"].as_array().expect("messages");
    let roles: Vec<&str> = all.iter().map(|message| message["role"].as_str().unwrap_or_default()).collect();
    assert!(
        roles.chunks(2).all(|pair| pair == ["user", "assistant"]),
        "conversation {id} is not question and answer in turn: {roles:?}"
    );
    let ids: BTreeSet<&str> = all.iter().filter_map(|message| message["id"].as_str()).collect();
    assert_eq!(ids.len(), all.len(), "conversation {id} shows a message twice");
    all.len()
}

fn is_post(entry: &Value) -> bool {
    find(entry, "type").is_some_and(|kind| kind == "posted")
}

/// The first text under a key, at any depth.
fn find(value: &Value, key: &str) -> Option<String> {
    match value {
        Value::Object(members) => match members.get(key) {
            Some(Value::String(text)) => Some(text.clone()),
            _ => members.values().find_map(|member| find(member, key)),
        },
        Value::Array(items) => items.iter().find_map(|item| find(item, key)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}
