//! Proves that bad input gets a named error and costs a bounded amount: bodies, frames, lists, versions, keys, floods, and websites that lie.

mod support;

/// The parts about bounds of callers, doors that are held open, repeated requests, and websites.
mod hostile {
    mod bounds;
    mod doors;
    mod repeats;
    mod sites;
}

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use support::client::{Answer, Api};
use support::people::{Member, PASSWORD, Visitor, text};
use support::socket::Socket;
use support::{Server, random_id};

/// A server with an owner and an agent that answers at once.
async fn place(settings: &[(&str, &str)]) -> (Server, Member, String) {
    let server = Server::start_with(settings).await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
    (server, owner, agent)
}

/// The server answers a visitor as if nothing had happened.
async fn still_well(server: &Server, agent: &str) {
    let answer = Visitor::new(server, agent).say("Do you offer emergency services?").await;
    assert!(!text(&answer, "response").is_empty(), "{answer}");
}

#[tokio::test]
async fn bodies_that_cannot_be_used_are_refused_by_name() {
    let (server, owner, agent) = place(&[]).await;
    let visitor = Visitor::new(&server, &agent);
    let chat = |change: Value| {
        let mut body = visitor.body("hello", "m-1");
        for (key, value) in change.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        body
    };
    let send = |bytes: Vec<u8>| {
        let api = server.api();
        async move { api.try_raw("POST", "/api/chat", "application/json", Some(bytes)).await.expect("an answer") }
    };
    // Sizes.
    // Whoever is refused before the body was read still hears why, every time.
    for _ in 0..20 {
        assert!(matches!(send(vec![b' '; 3 << 20]).await.refused(413)["code"].as_str(), Some("too_large")));
    }
    visitor.post(&chat(json!({ "message": "x".repeat(900_000) }))).await.names("message");
    visitor.post(&chat(json!({ "message": "x".repeat(8_001) }))).await.names("message");
    for (field, value) in [
        ("visitor_id", "v".repeat(100_000)),
        ("client_message_id", "m".repeat(100_000)),
        ("agent_id", "a".repeat(100_000)),
    ] {
        let answer = visitor.post(&chat(json!({ field: value }))).await;
        assert!(matches!(answer.status, 404 | 422), "{field}: {} {}", answer.status, answer.text);
    }
    for empty in ["", " \n\t"] {
        visitor.post(&chat(json!({ "message": empty }))).await.names("message");
    }
    // Types: the field is named.
    for (field, value) in [
        ("message", json!(5)),
        ("agent_id", json!([])),
        ("visitor_id", Value::Null),
        ("conversation_id", json!({})),
        ("client_message_id", json!(true)),
        ("metadata", json!("text")),
    ] {
        visitor.post(&chat(json!({ field: value }))).await.names(field);
    }
    for field in ["message", "agent_id", "visitor_id"] {
        let mut body = chat(json!({}));
        body.as_object_mut().expect("an object").remove(field);
        visitor.post(&body).await.names(field);
    }
    server.api().post("/api/auth/signup", json!({ "email": "a@example.com", "password": PASSWORD, "organization": { "name": "N", "timezone": "Mars/Olympus" } })).await.names("timezone");
    server
        .api()
        .post("/api/auth/signup", json!({ "email": "nobody", "password": "short", "organization": { "name": "N" } }))
        .await
        .names("email");
    owner.api.patch(&format!("/api/agents/{agent}"), json!({ "temperature": "hot" })).await.names("temperature");
    owner.api.patch(&format!("/api/agents/{agent}"), json!({ "no_such_field": 1 })).await.names("no_such_field");
    owner.api.post("/api/agents", json!({ "vertical": "space_travel" })).await.names("vertical");
    // Not JSON, not UTF-8, too deep, too much of it.
    for bytes in [
        b"{".to_vec(),
        b"[1,2".to_vec(),
        b"\xff\xfe\x00".to_vec(),
        b"{\"message\":\"\xc3\x28\"}".to_vec(),
        vec![b'['; 100_000],
        b"null".to_vec(),
        b"\"text\"".to_vec(),
        Vec::new(),
    ] {
        let answer = send(bytes.clone()).await;
        assert!(
            matches!(answer.status, 400 | 422),
            "{:?}…: {} {}",
            &bytes[..bytes.len().min(20)],
            answer.status,
            answer.text
        );
        answer.refused(answer.status);
    }
    let wide: Value = json!({ "agent_id": agent, "visitor_id": visitor.id, "message": "hi", "more": (0..50_000).collect::<Vec<u32>>() });
    assert!(matches!(visitor.post(&wide).await.status, 200 | 422), "unknown members are ignored or named");
    server
        .api()
        .try_raw("POST", "/api/chat", "text/plain", Some(b"hello".to_vec()))
        .await
        .expect("an answer")
        .refused(415);
    server.api().get("/api/no-such-thing").await.refused(404);
    let wrong_method = server.api().delete("/api/chat").await;
    assert_eq!(wrong_method.status, 405, "{}", wrong_method.text);
    // Characters that break terminals and databases come back as they were sent, or are refused.
    for odd in ["nul \u{0} nul", "\u{202e}gnirts desrever", "emoji 👩‍👩‍👧‍👦 zwj", "\u{feff}bom", "line\r\nbreaks\u{2028}"]
    {
        let mut guest = Visitor::new(&server, &agent);
        let body = guest.body(odd, "m-odd");
        let answer = guest.post(&body).await;
        if answer.status == 200 {
            guest.remember(&answer.body);
            let shown = guest.history().await;
            let kept = text(&shown["messages"][0], "content");
            assert_eq!(kept.trim(), odd.trim(), "kept as {kept:?}");
        } else {
            answer.names("message");
        }
    }
    still_well(&server, &agent).await;
}

#[tokio::test]
async fn lists_and_versions_refuse_what_they_cannot_use() {
    let (_server, owner, agent) = place(&[]).await;
    for query in ["cursor=%21%21", "cursor=AAAA", "limit=0", "limit=201", "limit=many", "limit=-1", "from=yesterday"] {
        let answer = owner.api.get(&format!("/api/conversations?{query}")).await;
        assert!(matches!(answer.status, 400 | 422), "{query}: {} {}", answer.status, answer.text);
        let problem = answer.refused(answer.status);
        let field = query.split('=').next().unwrap_or_default();
        assert!(problem.to_string().contains(field), "{query}: the answer names the field: {problem}");
    }
    for (path, change) in [
        (format!("/api/agents/{agent}"), json!({ "name": "Renamed" })),
        ("/api/organization".to_owned(), json!({ "name": "Renamed" })),
    ] {
        let read = owner.api.get(&path).await;
        let tag = read.header("etag").unwrap_or_else(|| panic!("{path} has no ETag")).to_owned();
        owner.api.header("if-match", &tag).patch(&path, change.clone()).await.expect(200);
        let stale =
            owner.api.header("if-match", &tag).patch(&path, json!({ "name": "Overwritten" })).await.refused(412);
        assert_eq!(stale["current"]["name"], "Renamed", "{stale}");
        assert_eq!(owner.api.get(&path).await.expect(200)["name"], "Renamed");
        let odd = owner.api.header("if-match", "not-a-tag").patch(&path, change).await;
        assert!(matches!(odd.status, 400 | 412), "{} {}", odd.status, odd.text);
    }
    // Cursors lead through a list once, in order.
    for name in ["one", "two", "three", "four", "five"] {
        owner.agent(json!({ "vertical": "custom", "name": name })).await;
    }
    let whole: Vec<String> = owner.api.list("/api/agents").await.iter().map(|agent| text(agent, "id")).collect();
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = owner.api.get(&format!("/api/agents?limit=2{cursor}")).await.expect(200);
        let items = page["items"].as_array().expect("items");
        pages.extend(items.iter().map(|agent| text(agent, "id")));
        match page["next_cursor"].as_str() {
            Some(next) if pages.len() < 20 => cursor = format!("&cursor={next}"),
            Some(_) | None => break,
        }
    }
    assert_eq!(pages, whole);
}

#[tokio::test]
async fn an_idempotency_key_gives_the_first_answer_and_refuses_another_body() {
    let (server, owner, agent) = place(&[]).await;
    let keyed = |key: &str| owner.api.header("idempotency-key", key);
    let body = json!({ "vertical": "custom", "name": "Once" });
    let first = keyed("k-1").post("/api/agents", body.clone()).await.expect(201);
    let again = keyed("k-1").post("/api/agents", body.clone()).await.expect(201);
    assert_eq!(first, again);
    keyed("k-1").post("/api/agents", json!({ "vertical": "custom", "name": "Twice" })).await.refused(422);
    // Scoped to the path and to the principal.
    keyed("k-1").post(&format!("/api/agents/{agent}/duplicate"), json!({})).await.expect(201);
    let stranger = Member::sign_up(&server, "Elm").await;
    let theirs = stranger.api.header("idempotency-key", "k-1").post("/api/agents", body.clone()).await.expect(201);
    assert_ne!(theirs["id"], first["id"]);
    // Eight at once are one.
    let racing = keyed("k-2");
    let answers: Vec<Answer> = futures::future::join_all(
        (0..8).map(|_| racing.post("/api/agents", json!({ "vertical": "custom", "name": "Race" }))),
    )
    .await;
    let made: BTreeSet<String> =
        answers.iter().filter(|answer| answer.status == 201).map(|answer| text(&answer.body, "id")).collect();
    assert_eq!(made.len(), 1, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.refused(409);
    }
    let names = owner.api.list("/api/agents").await.iter().filter(|agent| agent["name"] == "Race").count();
    assert_eq!(names, 1);
    // An error is not kept as an answer for ever: the corrected request is another body and says so.
    keyed("k-3").post("/api/agents", json!({ "vertical": "nonsense" })).await.names("vertical");
    // A secret is shown once.
    let key = json!({ "name": "once", "kind": "secret", "role": "viewer" });
    keyed("k-4").post("/api/api-keys", key.clone()).await.expect(201);
    let repeat = keyed("k-4").post("/api/api-keys", key).await.refused(409);
    assert_eq!(repeat["code"], "already_done", "{repeat}");
    let keys = owner.api.list("/api/api-keys").await;
    assert_eq!(keys.iter().filter(|key| key["name"] == "once").count(), 1);
    let long = keyed(&"k".repeat(10_000)).post("/api/agents", body.clone()).await;
    assert!(matches!(long.status, 400 | 422), "{}", long.text);
    // The first answer is for who asked: a token with the same claims and a forged signature gets none of it.
    let claims = owner.token.rsplit_once('.').map(|(claims, _)| claims).expect("a signed token");
    let forged = server.api().bearer(&format!("{claims}.AAAA")).header("idempotency-key", "k-1");
    forged.post("/api/agents", body.clone()).await.refused(401);
    let removed = owner.invite(&server, "manager", "Max").await;
    let once = removed.api.header("idempotency-key", "k-5");
    once.post("/api/agents", body.clone()).await.expect(201);
    owner.api.delete(&format!("/api/team/members/{}", removed.user)).await.expect(204);
    once.post("/api/agents", body).await.refused(401);
}

#[tokio::test]
async fn floods_are_told_when_to_come_back() {
    let settings = [
        ("COLLOQUY_LIMITS__CHAT_PER_VISITOR_PER_MINUTE", "5"),
        ("COLLOQUY_LIMITS__CHAT_PER_ADDRESS_PER_MINUTE", "30"),
        ("COLLOQUY_LIMITS__LOGIN_PER_EMAIL_PER_MINUTE", "4"),
        ("COLLOQUY_LIMITS__LOGIN_PER_ADDRESS_PER_MINUTE", "12"),
    ];
    let (server, owner, agent) = place(&settings).await;
    let mut visitor = Visitor::new(&server, &agent);
    for _ in 0..5 {
        visitor.say("hello").await;
    }
    let refused = visitor.post(&visitor.body("hello", "m-6")).await;
    later(&refused);
    // Others are not touched, until the address as a whole is too much.
    Visitor::new(&server, &agent).say("hello").await;
    let mut full = None;
    for _ in 0..40 {
        let other = Visitor::new(&server, &agent);
        let answer = other.post(&other.body("hello", "m-1")).await;
        if answer.status != 200 {
            full = Some(answer);
            break;
        }
    }
    later(&full.expect("an address has its limit too"));

    let login = |email: String, password: &'static str| {
        let api = server.api();
        async move { api.post("/api/auth/login", json!({ "email": email, "password": password })).await }
    };
    // Unknown and wrong are told apart by nothing.
    let (wrong, unknown) = (
        login(owner.email.clone(), "not the password").await,
        login(format!("{}@example.com", random_id()), "not the password").await,
    );
    assert_eq!((wrong.refused(401), &wrong.status), (unknown.refused(401), &unknown.status));
    let mut locked = None;
    for _ in 0..6 {
        let answer = login(owner.email.clone(), "not the password").await;
        if answer.status == 429 {
            locked = Some(answer);
            break;
        }
    }
    later(&locked.expect("an e-mail address has its limit"));
    let mut closed = None;
    for _ in 0..20 {
        let answer = login(format!("{}@example.com", random_id()), "x").await;
        if answer.status == 429 {
            closed = Some(answer);
            break;
        }
    }
    later(&closed.expect("an address has its limit"));
}

/// A 429 that says when, and that the same request may come again.
#[track_caller]
fn later(answer: &Answer) {
    let problem = answer.refused(429);
    let seconds: u64 = answer
        .header("retry-after")
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or_else(|| panic!("no Retry-After: {problem}"));
    assert!((1..=120).contains(&seconds), "{seconds}");
    assert_eq!(problem["retry"], "safe");
}

#[tokio::test]
async fn sockets_are_bounded_by_visitor_and_address_and_survive_any_frame() {
    let (server, _owner, agent) =
        place(&[("COLLOQUY_LIMITS__SOCKETS_PER_VISITOR", "4"), ("COLLOQUY_LIMITS__SOCKETS_PER_ADDRESS", "12")]).await;
    let hello = |visitor: &str| json!({ "visitor_id": visitor });
    let visitor = random_id();
    let (first, welcome) = Socket::chat(server.http, &agent, hello(&visitor)).await.expect("the first socket");
    // The same visitor is one who has the token; without it each would be somebody else.
    let known = json!({ "visitor_id": visitor, "visitor_token": welcome["visitor_token"] });
    let mut open = vec![first];
    let mut refusals = Vec::new();
    for _ in 0..10 {
        match Socket::chat(server.http, &agent, known.clone()).await {
            Ok((socket, _)) => open.push(socket),
            Err(refusal) => refusals.push(refusal),
        }
    }
    assert_eq!(open.len(), 4, "one visitor has at most four sockets");
    assert!(refusals.iter().all(|refusal| refusal.contains("too_many_sockets")), "{refusals:?}");
    for _ in 0..20 {
        match Socket::chat(server.http, &agent, hello(&random_id())).await {
            Ok((socket, _)) => open.push(socket),
            Err(refusal) => refusals.push(refusal),
        }
    }
    assert!((8..=12).contains(&open.len()), "one address has at most twelve sockets, not {}", open.len());
    // Closed ones make room.
    for socket in open.drain(..) {
        socket.close().await;
    }
    let mut socket = support::eventually("room for a socket", Duration::from_secs(10), || async {
        Socket::chat(server.http, &agent, hello(&random_id())).await.ok()
    })
    .await
    .0;

    for frame in [
        "",
        "nonsense",
        "[]",
        "{}",
        "{\"type\":5}",
        "{\"type\":\"message\"}",
        "{\"type\":\"rating\",\"client_id\":\"r\",\"rating\":900}",
        "{\"type\":\"no_such_frame\",\"x\":1}",
    ] {
        socket.try_text(frame).await.expect("small frames are taken");
    }
    socket.try_text(&format!("{{\"type\":{}", "[".repeat(50_000))).await.expect("deep frames are taken");
    socket.send(&json!({ "type": "message", "client_message_id": "big", "text": "x".repeat(20_000) })).await;
    socket
        .until("the refusal of a long message", |frame| frame["type"] == "error" && frame["client_id"] == "big")
        .await;
    socket.try_bytes(vec![0xff; 100]).await.expect("binary frames are taken");
    socket
        .send(&json!({ "type": "message", "client_message_id": "fine", "text": "Do you offer emergency services?" }))
        .await;
    socket
        .until("the answer to a good message", |frame| frame["type"] == "message" && frame["role"] == "assistant")
        .await;
    assert!(
        socket
            .seen
            .iter()
            .filter(|frame| frame["type"] == "error")
            .all(|frame| frame["code"].is_string() && frame["detail"].is_string())
    );
    // A frame without end ends the connection, not the server.
    let _ = socket.try_text(&"x".repeat(4 << 20)).await;
    while let Ok(Some(_)) = socket.try_next().await {}
    // A client that says something before it says who it is.
    let mut rude = Socket::open(server.http, &format!("/api/chat/socket?agent_id={agent}")).await.expect("open");
    rude.send(&json!({ "type": "message", "client_message_id": "m", "text": "hi" })).await;
    let answer = rude.until("a refusal", |frame| frame["type"] == "error" || frame["type"] == "bye").await;
    assert!(answer["code"].is_string() || answer["reason"].is_string(), "{answer}");
    assert!(
        Socket::open(server.http, "/api/chat/socket?agent_id=nobody").await.is_err(),
        "an agent that does not exist has no socket"
    );
    still_well(&server, &agent).await;
}

#[tokio::test]
async fn an_agent_that_is_not_live_answers_nobody_but_its_own_console() {
    let (server, owner, agent) = place(&[]).await;
    let draft = text(&owner.agent(json!({ "vertical": "custom", "status": "draft" })).await, "id");
    owner.api.patch(&format!("/api/agents/{agent}"), json!({ "status": "paused" })).await.expect(200);
    for id in [&draft, &agent] {
        let visitor = Visitor::new(&server, id);
        let refused = visitor.post(&visitor.body("hello", "m-1")).await.refused(409);
        assert_eq!(refused["code"], "agent_not_live", "{refused}");
        owner.api.post("/api/chat", visitor.body("hello", "m-2")).await.expect(200);
    }
    owner
        .api
        .patch(&format!("/api/agents/{agent}"), json!({ "status": "active", "max_messages_per_convo": 4 }))
        .await
        .expect(200);
    let mut visitor = Visitor::new(&server, &agent);
    visitor.say("Do you offer emergency services?").await;
    let last = visitor.say("Do you offer free estimates?").await;
    assert!(
        matches!(last["status"].as_str(), Some("escalated" | "resolved")),
        "the message that reaches the limit: {last}"
    );
    let closed = visitor.post(&visitor.body("and one more", "m-3")).await.refused(409);
    assert_eq!(closed["code"], "conversation_closed", "{closed}");
    owner.api.delete(&format!("/api/agents/{draft}")).await.expect(204);
    let gone = Visitor::new(&server, &draft);
    gone.post(&gone.body("hello", "m-1")).await.refused(404);
}

#[tokio::test]
async fn the_development_mailbox_exists_only_on_loopback_and_addresses_come_from_the_settings() {
    let (server, _owner, agent) = place(&[]).await;
    server.api().get("/dev/mailbox").await.expect(200);
    let embed = server.api().header("host", "evil.example").get(&format!("/widget/{agent}.js")).await;
    assert_eq!(embed.status, 200, "{}", embed.text);
    assert!(
        !embed.text.contains("evil.example") && embed.text.contains(&server.url("")),
        "embed code is built from public.url"
    );
    let near = support::free_port();
    let _open = Server::start_with(&[("COLLOQUY_HTTP__LISTEN", &format!("0.0.0.0:{}", near.port()))]).await;
    assert_eq!(Api::at(near).get("/dev/mailbox").await.status, 404);
}
