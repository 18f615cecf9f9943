//! The journal as the truth: replay, fork, and everything that outlives the process.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::people::{SOON, Visitor, mailbox, number, text};
use crate::{Place, quiet};

#[tokio::test]
async fn every_sequence_number_replays_to_the_live_hash_and_a_fork_goes_on_alone() {
    let place = Place::open().await;
    let mut visitor = place.visitor();
    let mut live: BTreeMap<u64, String> = BTreeMap::new();
    let steps = [
        "Who founded Oak Street Plumbing?",
        "My name is Ann Lee, 217-555-0133",
        "What is the capital of Mongolia?",
        "Help, a pipe burst and the basement is flooding!",
    ];
    for step in steps {
        visitor.say(step).await;
        let shown = place.owner.conversation(visitor.talk()).await;
        live.insert(number(&shown["conversation"], "seq"), text(&shown["conversation"], "state_hash"));
    }
    let path = format!("/api/conversations/{}", visitor.talk());
    place.owner.api.post(&format!("{path}/takeover"), json!({})).await.ok();
    place.owner.api.post(&format!("{path}/messages"), json!({ "content": "I am on my way." })).await.ok();
    place.owner.api.post(&format!("{path}/handback"), json!({})).await.ok();
    // Alerts go out in the background; the conversation is quiet once their outcomes are journaled.
    let shown = quiet(&place, visitor.talk()).await;
    let (seq, hash) = (number(&shown["conversation"], "seq"), text(&shown["conversation"], "state_hash"));
    live.insert(seq, hash.clone());

    let journal = place.owner.journal(visitor.talk()).await;
    let seqs: Vec<u64> = journal.iter().map(|event| number(event, "seq")).collect();
    assert_eq!(seqs, (1..=seq).collect::<Vec<_>>(), "a journal has no gap");
    let mut hashes = BTreeSet::new();
    for at in 1..=seq {
        let replayed = place.owner.api.get(&format!("{path}/replay?at={at}")).await.expect(200);
        assert_eq!(number(&replayed, "seq"), at);
        let replayed_hash = text(&replayed, "state_hash");
        if let Some(then) = live.get(&at) {
            assert_eq!(&replayed_hash, then, "the state rebuilt at {at} is not the state that was live at {at}");
        }
        assert!(replayed["state"].is_object());
        hashes.insert(replayed_hash);
    }
    assert_eq!(hashes.len() as u64, seq, "every event changes the state");
    assert!(hashes.contains(&hash));
    let beyond = place.owner.api.get(&format!("{path}/replay?at={}", seq + 1)).await;
    assert!(beyond.status >= 400 || number(&beyond.body, "seq") == seq, "nothing is after the end: {}", beyond.text);

    let at = *live.keys().next().expect("a first answer");
    let mails = mailbox(&place.server, &place.owner.email).await.len();
    let fork = place.owner.api.post(&format!("{path}/fork"), json!({ "at": at, "message": "Help, there is a gas leak and the house is flooding!", "agent_config": { "fallback_message": "In this world I do not know." } })).await.ok();
    let forked = fork["conversation_id"]
        .as_str()
        .or_else(|| fork["id"].as_str())
        .or_else(|| fork["conversation"]["id"].as_str())
        .unwrap_or_else(|| panic!("a fork names its conversation: {fork}"))
        .to_owned();
    assert_ne!(forked, visitor.talk());
    let sandbox = place.owner.settled(&forked, SOON).await;
    let messages: Vec<String> =
        sandbox["messages"].as_array().expect("messages").iter().map(|message| text(message, "content")).collect();
    assert!(
        messages[0].contains("Who founded")
            && messages.iter().any(|message| message.contains("gas leak"))
            && !messages.iter().any(|message| message.contains("Ann Lee")),
        "{messages:?}"
    );
    let after = place.owner.conversation(visitor.talk()).await;
    assert_eq!(
        (number(&after["conversation"], "seq"), text(&after["conversation"], "state_hash")),
        (seq, hash),
        "a fork leaves its original alone"
    );
    assert_eq!(mailbox(&place.server, &place.owner.email).await.len(), mails, "a fork never reaches a person");
    let listed = place.owner.api.list("/api/conversations").await;
    assert!(
        !listed.iter().any(|conversation| conversation["id"] == json!(forked)),
        "a sandbox is not among the conversations with visitors"
    );
}

#[tokio::test]
async fn everything_is_still_there_after_kill_9_and_after_a_drain() {
    let mut place = Place::open().await;
    let mut visitor = place.visitor();
    visitor.say("Who founded Oak Street Plumbing?").await;
    visitor.say("My name is Ann Lee, my number is 217-555-0133 and I need a quote").await;
    visitor.say("Help, my kitchen is flooding!").await;
    let faq = place
        .owner
        .api
        .post(
            &format!("/api/agents/{}/faqs", place.agent),
            json!({ "question": "Do you sell boats?", "answer": "Only bath tubs that float." }),
        )
        .await
        .expect(201);
    let key = place
        .owner
        .api
        .post("/api/api-keys", json!({ "name": "program", "kind": "secret", "role": "viewer" }))
        .await
        .expect(201);
    let key = key["key"]
        .as_str()
        .or_else(|| key["secret"].as_str())
        .unwrap_or_else(|| panic!("a new key is shown once: {key}"))
        .to_owned();
    quiet(&place, visitor.talk()).await;
    eventually("the lead", SOON, || async { (place.owner.api.list("/api/leads").await.len() == 1).then_some(()) })
        .await;

    let messages = place.owner.conversation(visitor.talk()).await["conversation"]["message_count"].clone();
    place.owner.counted(json!({ "total_conversations": 1, "messages": messages, "leads_captured": 1 })).await;
    eventually("the agent's own counters", SOON, || async {
        (place.agent_view().await["total_messages"] == messages).then_some(())
    })
    .await;
    let before = everything(&place, &visitor).await;
    assert!(before["leads"].to_string().contains("Ann Lee") && before["faqs"].to_string().contains(&text(&faq, "id")));
    place.server.kill();
    place.server.boot().await;
    assert_same(&before, &everything(&place, &visitor).await, "after kill -9");
    place.server.api().bearer(&key).get("/api/agents").await.expect(200);
    let status = place.server.stop().await;
    assert!(status.success(), "SIGTERM drains and ends with success, not {status}");
    place.server.boot().await;
    assert_same(&before, &everything(&place, &visitor).await, "after SIGTERM");

    let answer = visitor.say("What does a sump pump replacement cost?").await;
    assert!(text(&answer, "response").contains("640"), "the index serves again: {answer}");
    assert_eq!(answer["conversation_id"], json!(visitor.talk()));
    let refreshed = place
        .server
        .api()
        .post("/api/auth/refresh", json!({ "refresh_token": place.owner.refresh_token }))
        .await
        .expect(200);
    place.server.api().bearer(&text(&refreshed, "access_token")).get("/api/me").await.expect(200);
}

/// Everything that must outlive the process.
async fn everything(place: &Place, visitor: &Visitor) -> BTreeMap<&'static str, Value> {
    let api = &place.owner.api;
    let agent = &place.agent;
    let mut all = BTreeMap::new();
    for (name, path) in [
        ("me", "/api/me".to_owned()),
        ("organization", "/api/organization".to_owned()),
        ("agent", format!("/api/agents/{agent}")),
        ("versions", format!("/api/agents/{agent}/versions")),
        ("sources", format!("/api/agents/{agent}/sources")),
        ("faqs", format!("/api/agents/{agent}/faqs")),
        ("scrape", format!("/api/agents/{agent}/scrape/status")),
        ("conversations", "/api/conversations".to_owned()),
        ("conversation", format!("/api/conversations/{}", visitor.talk())),
        ("journal", format!("/api/conversations/{}/journal?after=0", visitor.talk())),
        ("leads", "/api/leads".to_owned()),
        ("overview", "/api/analytics/overview?window=24h".to_owned()),
    ] {
        all.insert(name, api.get(&path).await.expect(200));
    }
    all.insert("history", visitor.history().await);
    all.insert("own", visitor.api().get("/api/chat/conversations").await.expect(200));
    all
}

#[track_caller]
fn assert_same(before: &BTreeMap<&'static str, Value>, after: &BTreeMap<&'static str, Value>, when: &str) {
    for (name, value) in before {
        let changed = differences(name, value, &after[name]);
        assert!(changed.is_empty(), "{when}, what was there is not the same:\n{}", changed.join("\n"));
    }
}

/// Where two values differ, by path.
fn differences(path: &str, before: &Value, after: &Value) -> Vec<String> {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            keys.into_iter().flat_map(|key| differences(&format!("{path}.{key}"), &before[key], &after[key])).collect()
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            let pairs = old.iter().zip(new).enumerate();
            pairs.flat_map(|(at, (old, new))| differences(&format!("{path}[{at}]"), old, new)).collect()
        }
        _ if before == after => Vec::new(),
        _ => vec![format!("{path}: {before} became {after}")],
    }
}
