//! Doors that are held open, names that are not ours, ids that are none.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::place;
use crate::support::people::{Visitor, text};

/// What is held open must be closed by then: somewhat longer than the server's own patience.
const CLOSED_WITHIN: Duration = Duration::from_secs(40);

/// Sends some bytes and reads until the server ends the connection.
async fn held(address: std::net::SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(bytes.as_bytes()).await.expect("sent");
    let mut heard = Vec::new();
    let read = tokio::time::timeout(CLOSED_WITHIN, stream.read_to_end(&mut heard)).await;
    // A reset ends it too.
    let _ = read.unwrap_or_else(|_| panic!("still open after {CLOSED_WITHIN:?}: {bytes:?}"));
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test]
async fn connections_that_say_nothing_or_stop_half_way_are_closed() {
    let (server, _owner, _agent) = place(&[]).await;
    let begun = Instant::now();
    let half_a_body = "POST /api/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                       connection: close\r\ncontent-length: 100\r\n\r\n{";
    let keyed = half_a_body.replace("host: x", "host: x\r\nidempotency-key: k");
    let (silent, half_a_head, body, keyed) = tokio::join!(
        held(server.http, ""),
        held(server.http, "GET / HTTP/1.1\r\nhost"),
        held(server.http, half_a_body),
        held(server.http, &keyed),
    );
    assert!(!silent.contains("200 OK") && !half_a_head.contains("200 OK"));
    assert!(body.starts_with("HTTP/1.1 408") && body.contains("body_stalled"), "{body}");
    assert!(keyed.starts_with("HTTP/1.1 408") && keyed.contains("body_stalled"), "{keyed}");
    assert!(begun.elapsed() < CLOSED_WITHIN);
}

#[tokio::test]
async fn the_mailbox_answers_to_names_of_this_machine_only() {
    let (server, _owner, _agent) = place(&[]).await;
    server.api().get("/dev/mailbox").await.expect(200);
    let port = server.http.port();
    server.api().header("host", &format!("localhost:{port}")).get("/dev/mailbox").await.expect(200);
    for name in ["evil.example", "127.0.0.1.evil.example", "192.168.1.7"] {
        server.api().header("host", &format!("{name}:{port}")).get("/dev/mailbox").await.refused(404);
    }
}

#[tokio::test]
async fn ids_that_nothing_can_have_are_not_found_and_never_an_error_of_ours() {
    let (server, owner, agent) = place(&[]).await;
    let mut visitor = Visitor::new(&server, &agent);
    visitor.say("Do you offer emergency services?").await;
    let talk = visitor.talk().to_owned();
    for length in [256, 257, 300, 1_100, 3_000] {
        let id = "a".repeat(length);
        for path in ["agents", "conversations", "leads"] {
            owner.api.get(&format!("/api/{path}/{id}")).await.refused(404);
            owner.api.patch(&format!("/api/{path}/{id}"), json!({ "name": "x" })).await.refused_as(&[404, 422]);
        }
        for path in [format!("/api/agents/{id}/sources"), format!("/api/conversations/{id}/replay")] {
            owner.api.get(&path).await.refused(404);
        }
        owner.api.delete(&format!("/api/agents/{id}")).await.refused(404);
        owner.api.delete(&format!("/api/team/members/{id}")).await.refused_as(&[404, 422]);
        owner.api.post("/api/auth/switch", json!({ "organization_id": id })).await.refused_as(&[404, 422]);
        owner
            .api
            .patch(&format!("/api/conversations/{talk}"), json!({ "assigned_to": id }))
            .await
            .refused_as(&[404, 422]);
        owner.api.post(&format!("/api/conversations/{id}/fork"), json!({ "at": 1 })).await.refused(404);
        let anybody = server.api();
        let say = json!({ "agent_id": id, "message": "x", "visitor_id": "v", "client_message_id": "m" });
        anybody.post("/api/chat", say).await.refused_as(&[404, 422]);
        let mut elsewhere = visitor.body("x", "m-long");
        elsewhere["conversation_id"] = json!(id);
        visitor.post(&elsewhere).await.refused_as(&[404, 422]);
        let refresh = json!({ "refresh_token": format!("{id}.b.c") });
        anybody.post("/api/auth/refresh", refresh).await.refused_as(&[401, 422, 429]);
        let reset = json!({ "token": format!("{id}.b"), "password": "three old boats" });
        anybody.post("/api/auth/reset-password", reset).await.refused_as(&[422, 429]);
        anybody
            .post("/api/team/invitations/decline", json!({ "code": format!("{id}.b") }))
            .await
            .refused_as(&[404, 422]);
        let login = json!({ "email": format!("{id}@b.co"), "password": "three old boats" });
        anybody.post("/api/auth/login", login).await.refused_as(&[401, 422, 429]);
        anybody.bearer(&format!("cq_sk_{id}_b_c")).get("/api/me").await.refused(401);
    }
    let seq = owner.api.get(&format!("/api/conversations/{talk}")).await.expect(200)["conversation"]["seq"].clone();
    for at in [json!(0), json!(seq.as_u64().expect("a number") + 1)] {
        owner.api.post(&format!("/api/conversations/{talk}/fork"), json!({ "at": at })).await.names("at");
    }
    let fork: Value = owner.api.post(&format!("/api/conversations/{talk}/fork"), json!({ "at": 1 })).await.expect(201);
    text(&fork["conversation"], "id");
}
