//! A visitor's side of a conversation: people who take over, repeats, tokens, history, ratings.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::Place;
use crate::support::people::{SOON, Visitor, number, text};
use crate::support::socket::Socket;
use crate::support::{eventually, random_id};

#[tokio::test]
async fn a_person_takes_over_speaks_whispers_and_hands_back() {
    let place = Place::open().await;
    let visitor_id = random_id();
    let (mut socket, welcome) =
        Socket::chat(place.server.http, &place.agent, json!({ "visitor_id": visitor_id })).await.expect("a welcome");
    assert!(!text(&welcome["agent"], "welcome_message").contains("{{"), "variables are filled: {welcome}");
    socket
        .send(&json!({ "type": "message", "client_message_id": "m-1", "text": "Who founded Oak Street Plumbing?" }))
        .await;
    let ack = socket.until("the ack", |frame| frame["type"] == "ack").await;
    assert_eq!(ack["client_message_id"], "m-1");
    let id = text(&ack, "conversation_id");
    let answer = socket.until("the answer", |frame| frame["type"] == "message" && frame["role"] == "assistant").await;
    assert!(
        text(&answer, "content").contains("Walter Oakes") && number(&answer, "seq") > number(&ack, "seq"),
        "{answer}"
    );
    assert!(socket.seen.iter().any(|frame| frame["type"] == "token"), "the answer was streamed");
    let path = format!("/api/conversations/{id}");

    // A whisper steers the assistant; the visitor never sees it.
    place
        .owner
        .api
        .post(&format!("{path}/whisper"), json!({ "content": "WHISPER-MARKER mention the Oak Care plan" }))
        .await
        .ok();
    place.owner.api.post(&format!("{path}/takeover"), json!({})).await.ok();
    let status = socket.until("the takeover", |frame| frame["type"] == "status").await;
    assert!(!status["assigned_to"].is_null(), "{status}");

    socket.send(&json!({ "type": "message", "client_message_id": "m-2", "text": "How long do you guarantee your repairs?" })).await;
    socket.until("the second ack", |frame| frame["type"] == "ack" && frame["client_message_id"] == "m-2").await;
    let mut same = Visitor::new(&place.server, &place.agent);
    same.id.clone_from(&visitor_id);
    same.token = Some(text(&welcome, "visitor_token"));
    same.conversation = Some(id.clone());
    let silent = same.say("Hello? Who makes your tankless heaters?").await;
    assert_eq!(
        (&silent["response"], &silent["message_id"]),
        (&json!(""), &Value::Null),
        "a person holds the floor: {silent}"
    );
    place
        .owner
        .api
        .post(
            &format!("{path}/messages"),
            json!({ "content": "PERSON-MARKER Bernard here, two years on every repair." }),
        )
        .await
        .ok();
    let said = socket
        .until("the person's message", |frame| frame["type"] == "message" && frame["role"] == "human_agent")
        .await;
    assert!(text(&said, "content").contains("PERSON-MARKER") && said["author"].is_string(), "{said}");
    let silenced_from = number(&answer, "seq");
    assert!(
        !socket.seen.iter().any(|frame| frame["type"] == "message"
            && frame["role"] == "assistant"
            && number(frame, "seq") > silenced_from),
        "the assistant spoke while a person held the floor: {:?}",
        socket.seen
    );

    place.owner.api.post(&format!("{path}/handback"), json!({})).await.ok();
    socket.send(&json!({ "type": "message", "client_message_id": "m-3", "text": "And what does a sump pump replacement cost?" })).await;
    let back = socket
        .until("the assistant again", |frame| {
            frame["type"] == "message" && frame["role"] == "assistant" && text(frame, "content").contains("640")
        })
        .await;
    assert!(number(&back, "seq") > number(&said, "seq"));

    let seen = format!("{:?}{}", socket.seen, same.history().await);
    assert!(!seen.contains("WHISPER-MARKER"), "a whisper reached the visitor");
    let console = place.owner.conversation(&id).await;
    assert!(console.to_string().contains("WHISPER-MARKER"), "colleagues see the whisper");
    // A reconnect brings every visible message once, in order.
    let hello = json!({ "visitor_id": visitor_id, "visitor_token": welcome["visitor_token"], "conversation_id": id, "last_seq": 0 });
    let (mut again, welcome) = Socket::chat(place.server.http, &place.agent, hello).await.expect("a welcome");
    let last = number(&back, "seq");
    again.until("the last message", |frame| frame["type"] == "message" && frame["seq"] == json!(last)).await;
    let seqs: Vec<u64> =
        again.seen.iter().filter(|frame| frame["type"] == "message").map(|frame| number(frame, "seq")).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b) && seqs.len() >= 6, "{seqs:?}");
    assert_eq!(welcome["conversation_id"], json!(id));
    assert!(!format!("{:?}", again.seen).contains("WHISPER-MARKER"));
}

#[tokio::test]
async fn a_repeated_message_gives_the_first_answer() {
    let place = Place::open().await;
    let mut visitor = place.visitor();
    // The first message: the answer is lost, so the client knows neither conversation nor token.
    let first = visitor.body("Who makes your tankless heaters?", "m-1");
    let answer = visitor.post(&first).await.expect(200);
    let again = visitor.post(&first).await.expect(200);
    for same in ["conversation_id", "message_id", "response", "seq", "sources"] {
        assert_eq!(again[same], answer[same], "{same}");
    }
    visitor.remember(&answer);
    // Within the conversation, also twenty at once.
    let second = visitor.body("How long do you guarantee your repairs?", "m-2");
    let answers = futures::future::join_all((0..20).map(|_| visitor.post(&second))).await;
    let ids: BTreeSet<String> = answers.iter().map(|answer| text(&answer.expect(200), "message_id")).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let shown = visitor.history().await;
    assert_eq!(shown["messages"].as_array().map(Vec::len), Some(4), "{shown}");
    // Without a client_message_id each message is a new one.
    let mut plain = visitor.body("How long do you guarantee your repairs?", "");
    plain.as_object_mut().expect("an object").remove("client_message_id");
    let (one, two) = (visitor.post(&plain).await.expect(200), visitor.post(&plain).await.expect(200));
    assert_ne!(one["message_id"], two["message_id"]);
}

#[tokio::test]
async fn a_visitor_token_opens_the_visitors_own_conversations_and_nothing_else() {
    let place = Place::open().await;
    let (mut ann, mut bob) = (place.visitor(), place.visitor());
    ann.say("Who makes your tankless heaters?").await;
    bob.say("Who founded Oak Street Plumbing?").await;
    ann.conversation = None;
    ann.say("How long do you guarantee your repairs?").await;
    let own = ann.api().get("/api/chat/conversations").await.expect(200);
    assert_eq!(own["items"].as_array().map(Vec::len), Some(2), "{own}");
    assert_eq!(own["items"][0]["id"], json!(ann.talk()), "newest first: {own}");

    let bobs = format!("/api/chat/history?conversation_id={}", bob.talk());
    ann.api().get(&bobs).await.refused(404);
    place.server.api().get(&bobs).await.refused(401);
    let mut stolen = ann.body("hello", "x-1");
    stolen["conversation_id"] = json!(bob.talk());
    ann.post(&stolen).await.refused(404);
    place.server.api().post("/api/chat", stolen).await.refused(401);
    ann.api().post(&format!("/api/chat/{}/rating", bob.talk()), json!({ "rating": 1 })).await.refused(404);
    // A known visitor id without its token is a new visitor: nothing of the known one is shown.
    let mut again = place.visitor();
    again.id.clone_from(&bob.id);
    again.say("How many working days does a typical bathroom take?").await;
    assert_ne!(again.conversation, bob.conversation);
    let listed = again.api().get("/api/chat/conversations").await.expect(200);
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
    again.api().get(&bobs).await.refused(404);
    // A forged and a cut token are no tokens.
    let token = bob.token.clone().expect("a token");
    for bad in [&token[..token.len() - 3], "v1.e30.AAAA", "x"] {
        place.server.api().visitor(bad).get(&bobs).await.refused(401);
    }
}

#[tokio::test]
async fn ratings_feedback_and_visits_are_counted() {
    let place = Place::open().await;
    let mut visitor = place.visitor();
    let answer = visitor.say("Who makes your tankless heaters?").await;
    let (talk, message) = (visitor.talk().to_owned(), text(&answer, "message_id"));
    let api = visitor.api();
    for wrong in [0, 6] {
        api.post(&format!("/api/chat/{talk}/rating"), json!({ "rating": wrong })).await.names("rating");
    }
    api.post(&format!("/api/chat/{talk}/rating"), json!({ "rating": 4, "feedback": "quick" })).await.ok();
    api.post(&format!("/api/chat/{talk}/messages/{message}/feedback"), json!({ "thumbs_up": true })).await.ok();
    api.post(&format!("/api/chat/{talk}/messages/{}/feedback", random_id()), json!({ "thumbs_up": true }))
        .await
        .refused(404);
    api.post(
        "/api/chat/visits",
        json!({ "agent_id": place.agent, "visitor_id": visitor.id, "page_url": "https://oak-plumbing.example/" }),
    )
    .await
    .ok();
    place
        .owner
        .counted(json!({ "avg_satisfaction": 4.0, "thumbs_up_count": 1, "total_conversations": 1, "messages": 2 }))
        .await;
    let agent = eventually("the agent's own counters", SOON, || async {
        let agent = place.agent_view().await;
        (agent["avg_satisfaction"].as_f64() == Some(4.0)).then_some(agent)
    })
    .await;
    assert_eq!(agent["total_conversations"], 1, "{agent}");
}
