//! Requests that are repeated because nobody knows what became of them: clients that hang up, answers that take too long.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Router;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::place;
use crate::support::people::{Member, SOON, Visitor, text};
use crate::support::site::Site;
use crate::support::{Server, eventually, random_id};

/// Requests that are cut off.
const CUT: u64 = 24;

#[tokio::test]
async fn a_request_whose_client_hung_up_is_done_once_and_its_repeat_hears_of_it() {
    let (server, owner, _agent) = place(&[]).await;
    let before = owner.api.list("/api/agents").await.len();
    let body = json!({ "vertical": "custom", "name": "Cut" });
    let keys: Vec<String> = (0..CUT).map(|_| random_id()).collect();
    for (at, key) in (0..).zip(&keys) {
        let mut stream = TcpStream::connect(server.http).await.expect("a connection");
        let text = body.to_string();
        let request = format!(
            "POST /api/agents HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             idempotency-key: {key}\r\ncontent-length: {}\r\n\r\n{text}",
            server.http,
            owner.token,
            text.len()
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        // Not a wait for anything: each client hangs up at another moment of its request.
        tokio::time::sleep(Duration::from_micros(300 * at)).await;
        stream.set_zero_linger().expect("it is cut off and not closed");
    }
    let mut made = BTreeSet::new();
    for key in &keys {
        let keyed = owner.api.header("idempotency-key", key);
        let agent = eventually("the repeat is answered", SOON, || async {
            let answer = keyed.post("/api/agents", body.clone()).await;
            assert!(matches!(answer.status, 201 | 409), "{} {}", answer.status, answer.text);
            (answer.status == 201).then(|| text(&answer.body, "id"))
        })
        .await;
        made.insert(agent);
    }
    assert_eq!(made.len() as u64, CUT);
    assert_eq!(owner.api.list("/api/agents").await.len(), before + keys.len(), "each once");
}

#[tokio::test]
async fn a_message_whose_answer_takes_too_long_stands_once_however_often_it_is_repeated() {
    // A model that never answers.
    let model = Site::router(Router::new().fallback(std::future::pending::<()>)).await;
    let server = Server::start_with(&[
        ("COLLOQUY_MODELS__OPENAI__BASE_URL", &model.url("/v1")),
        ("COLLOQUY_MODELS__OPENAI__API_KEY", "key"),
        ("COLLOQUY_LIMITS__REQUEST_TIMEOUT_S", "2"),
    ])
    .await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
    let visitor = Visitor::new(&server, &agent);
    let mut body = visitor.body("When do you open on Sundays in winter?", "unused");
    body.as_object_mut().expect("a body").remove("client_message_id");
    let keyed = server.api().header("idempotency-key", "the visitor's key");
    for _ in 0..3 {
        let answer = keyed.post("/api/chat", body.clone()).await.refused(503);
        assert_eq!((answer["code"].as_str(), answer["retry"].as_str()), (Some("answer_pending"), Some("same_key")));
    }
    let talks = owner.api.list("/api/conversations").await;
    assert_eq!(talks.len(), 1, "{talks:?}");
    let talk = owner.api.get(&format!("/api/conversations/{}", text(&talks[0], "id"))).await.expect(200);
    let said = talk["messages"].as_array().expect("messages").iter().filter(|message| message["role"] == "user");
    assert_eq!(said.count(), 1, "{talk}");
}
