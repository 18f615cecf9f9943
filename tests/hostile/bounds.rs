//! What callers may not do however they ask: large bodies elsewhere than in uploads, more with a key than its agent, ratings without end, ids of their
//! own choice for conversations.

use serde_json::json;

use crate::place;
use crate::support::people::{Member, Visitor, text};
use crate::support::{Server, random_id};

/// A multipart body of so many bytes.
fn upload(bytes: usize) -> Vec<u8> {
    let mut body =
        b"--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\ncontent-type: text/plain\r\n\r\n"
            .to_vec();
    body.extend(std::iter::repeat_n(b"Oak Street Plumbing repairs boilers. ".as_slice(), bytes / 37).flatten());
    body.extend_from_slice(b"\r\n--x--\r\n");
    body
}

#[tokio::test]
async fn only_a_known_caller_uploads_and_no_other_call_takes_as_much() {
    let (server, owner, agent) = place(&[]).await;
    let large = || Some(upload(4 << 20));
    let multipart = "multipart/form-data; boundary=x";
    let path = format!("/api/agents/{agent}/sources");
    let keyed = |api: &crate::support::client::Api| api.header("idempotency-key", &random_id());
    for api in [server.api(), keyed(&server.api())] {
        let anybody = api.try_raw("POST", &path, multipart, large()).await.expect("an answer");
        anybody.refused(401);
        let elsewhere = api.try_raw("POST", "/api/auth/forgot-password", multipart, large()).await.expect("an answer");
        elsewhere.refused(413);
    }
    for api in [owner.api.clone(), keyed(&owner.api)] {
        api.try_raw("POST", &path, multipart, large()).await.expect("an answer").ok();
        api.try_raw("POST", "/api/agents", multipart, large()).await.expect("an answer").refused(413);
        api.try_raw("POST", &path, "application/json", large()).await.expect("an answer").refused(413);
    }
}

#[tokio::test]
async fn a_key_that_is_bound_to_an_agent_reaches_that_agent_and_nothing_else() {
    let (server, owner, own) = place(&[]).await;
    let other = text(&owner.agent(json!({ "vertical": "legal" })).await, "id");
    let mut visitors = Vec::new();
    for agent in [&own, &other] {
        let mut visitor = Visitor::new(&server, agent);
        visitor.say("Do you offer emergency services?").await;
        visitors.push(visitor);
    }
    let wanted = json!({ "name": "one agent", "kind": "secret", "role": "admin", "agent_id": own });
    let key = text(&owner.api.post("/api/api-keys", wanted).await.expect(201), "key");
    let bound = server.api().bearer(&key);
    bound.get(&format!("/api/agents/{own}")).await.expect(200);
    bound.get(&format!("/api/conversations/{}", visitors[0].talk())).await.expect(200);
    let listed = bound.list("/api/conversations").await;
    assert!(listed.len() == 1 && listed[0]["agent_id"] == json!(own), "{listed:?}");
    let agents = bound.list("/api/agents").await;
    assert!(agents.iter().all(|agent| agent["id"] == json!(own)), "{agents:?}");
    for (method, path, body) in [
        ("GET", format!("/api/agents/{other}"), None),
        ("PATCH", format!("/api/agents/{other}"), Some(json!({ "name": "mine" }))),
        ("DELETE", format!("/api/agents/{other}"), None),
        ("GET", format!("/api/agents/{other}/sources"), None),
        ("GET", format!("/api/agents/{other}/versions"), None),
        ("POST", format!("/api/agents/{other}/duplicate"), Some(json!({}))),
        ("POST", format!("/api/agents/{other}/faqs"), Some(json!({ "question": "q?", "answer": "a" }))),
        ("GET", format!("/api/conversations/{}", visitors[1].talk()), None),
        ("POST", "/api/agents".to_owned(), Some(json!({ "vertical": "legal" }))),
        ("POST", "/api/api-keys".to_owned(), Some(json!({ "name": "u", "kind": "secret", "role": "admin" }))),
        ("GET", "/api/api-keys".to_owned(), None),
        ("POST", "/api/team/invitations".to_owned(), Some(json!({ "role": "admin" }))),
        ("PATCH", "/api/organization".to_owned(), Some(json!({ "name": "Taken" }))),
        ("GET", "/api/organization/identity-secret".to_owned(), None),
        ("POST", "/api/privacy/erasures".to_owned(), Some(json!({ "email": "q@q.example" }))),
    ] {
        bound.call(method, &path, body.as_ref()).await.refused_as(&[403, 404]);
    }
}

#[tokio::test]
async fn ratings_and_thumbs_count_as_messages_do() {
    let (server, _owner, agent) = place(&[("COLLOQUY_LIMITS__CHAT_PER_VISITOR_PER_MINUTE", "6")]).await;
    let mut visitor = Visitor::new(&server, &agent);
    visitor.say("Do you offer emergency services?").await;
    let path = format!("/api/chat/{}/rating", visitor.talk());
    let mut refused = 0;
    for n in 0..12 {
        let rating = json!({ "rating": 1 + n % 5, "feedback": format!("words {n}") });
        refused += usize::from(visitor.api().post(&path, rating).await.status == 429);
    }
    assert!(refused >= 5, "{refused} of 12 were refused");
    let history = visitor.history().await;
    let answer =
        history["messages"].as_array().expect("messages").iter().find(|message| message["role"] == "assistant");
    let thumb = format!("/api/chat/{}/messages/{}/feedback", visitor.talk(), text(answer.expect("an answer"), "id"));
    visitor.api().post(&thumb, json!({ "thumbs_up": true })).await.refused(429);
}

#[tokio::test]
async fn a_visitor_continues_only_conversations_that_exist() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
    let mut visitor = Visitor::new(&server, &agent);
    visitor.say("Do you offer emergency services?").await;
    for id in [random_id(), "../../signup?invitation=X.Y".to_owned(), "a\"><b>x".to_owned()] {
        let mut made_up = visitor.body("hello", &random_id());
        made_up["conversation_id"] = json!(id);
        visitor.post(&made_up).await.refused(404);
    }
    let talks = owner.api.list("/api/conversations").await;
    assert!(talks.len() == 1 && talks[0]["id"] == json!(visitor.talk()), "{talks:?}");
}
