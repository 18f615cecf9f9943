//! Notices by mail over the real interface: who asked for them gets each once, over a kill too, and not what they have read; one address gets so many
//! letters an hour.

mod support;

use std::net::TcpListener;

use colloquy_domain::letters::{PER_HOUR, QUIET_MS};
use serde_json::{Value, json};
use support::people::{Member, SOON, Visitor, mailbox, text};
use support::{Server, eventually};

/// Said by somebody in danger, as the trade's rules have it.
const DANGER: &str = "Help, a pipe burst and my basement is flooding!";

fn wish(kind: &str, email: bool) -> Value {
    json!({ "notifications": { kind: { "email": email } } })
}

/// The letters of notices that an address has.
async fn letters(server: &Server, to: &str) -> Vec<Value> {
    let all = mailbox(server, to).await;
    all.into_iter()
        .filter(|mail| mail["subject"].as_str().is_some_and(|subject| subject.starts_with("[Oak]")))
        .collect()
}

/// Somebody new who says one thing.
async fn says(server: &Server, agent: &str, words: &str) -> Visitor {
    let mut visitor = Visitor::new(server, agent);
    visitor.say(words).await;
    visitor
}

#[tokio::test]
async fn who_asked_for_it_is_told_once_by_mail_and_nobody_else_is() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
    let rep = owner.invite(&server, "rep", "Rita").await;
    let viewer = owner.invite(&server, "viewer", "Vera").await;
    let path = "/api/me/preferences";
    for member in [&rep, &viewer] {
        let told = member.api.patch(path, wish("emergency", true)).await.expect(200);
        assert_eq!(told["notifications"]["emergency"], json!({ "in_app": true, "email": true }), "{told}");
    }
    viewer.api.patch(path, wish("emergency", false)).await.expect(200);
    // An owner is told without asking for it, and may ask not to be.
    let own = owner.api.patch(path, wish("lead", false)).await.expect(200);
    assert_eq!(own["notifications"]["emergency"]["email"], true, "{own}");
    owner.api.patch(path, wish("emergency", false)).await.expect(200);
    owner.api.patch(path, wish("rain", true)).await.refused(422);

    let visitor = says(&server, &agent, DANGER).await;
    let first = eventually("the letter", SOON, || async { letters(&server, &rep.email).await.pop() }).await;
    assert!(text(&first, "subject").starts_with("[Oak] Emergency: "), "{first}");
    assert!(text(&first, "text").contains(&server.url(&format!("/app/conversations/{}", visitor.talk()))), "{first}");

    // The second one is another letter; the first is not told again, and nobody else is told at all.
    let second = says(&server, &agent, DANGER).await;
    eventually("the second letter", SOON, || async { (letters(&server, &rep.email).await.len() == 2).then_some(()) })
        .await;
    let newest = letters(&server, &rep.email).await.remove(0);
    let words = text(&newest, "text");
    assert!(words.contains(second.talk()) && !words.contains(visitor.talk()), "{newest}");
    for member in [&owner, &viewer] {
        assert!(letters(&server, &member.email).await.is_empty());
    }
}

#[tokio::test]
async fn what_was_read_in_the_console_is_not_mailed() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
    let rep = owner.invite(&server, "rep", "Rita").await;
    for member in [&owner, &rep] {
        member.api.patch("/api/me/preferences", wish("lead", true)).await.expect(200);
    }
    let visitor = says(&server, &agent, "Do you offer free estimates?").await;
    let lead = json!({ "agent_id": agent, "conversation_id": visitor.talk(),
        "fields": { "name": "Lea Lead", "phone": "(217) 555-0177", "email": "lea@example.com",
            "address": "9 Oak Lane, Chatham, IL 62629", "service_type": "Plumbing", "urgency": "This week" } });
    visitor.api().post("/api/leads/capture", lead).await.expect(201);
    eventually("the notice", SOON, || async {
        (!rep.api.list("/api/notifications?unread=true").await.is_empty()).then_some(())
    })
    .await;
    rep.api.post("/api/notifications/read", json!({ "all": true })).await.expect(204);
    let within = SOON + std::time::Duration::from_millis(QUIET_MS.unsigned_abs());
    let told = eventually("the owner's letter", within, || async { letters(&server, &owner.email).await.pop() }).await;
    assert!(text(&told, "subject").contains("Lea Lead"), "{told}");
    // Both letters were due at the same time: the other one was looked at and found to be read.
    eventually("the rep's letter was looked at", SOON, || async {
        let metrics = server.ops_api().get("/metrics").await;
        metrics.text.contains("colloquy_letters_total{outcome=\"read\"} 1").then_some(())
    })
    .await;
    assert!(letters(&server, &rep.email).await.is_empty());
}

/// A mail server that takes connections and says nothing, and a server that sends by it.
async fn beside_a_silent_mail_server() -> (Server, TcpListener) {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    silent.set_nonblocking(true).expect("a plain socket");
    let port = silent.local_addr().expect("an address").port().to_string();
    let server = Server::start_with(&[
        ("COLLOQUY_MAIL__KIND", "smtp"),
        ("COLLOQUY_MAIL__SMTP__HOST", "127.0.0.1"),
        ("COLLOQUY_MAIL__SMTP__PORT", &port),
        ("COLLOQUY_MAIL__SMTP__SECURITY", "none"),
    ])
    .await;
    (server, silent)
}

/// Kills the server while it talks to the silent one, and starts it anew with the development mailbox.
async fn killed_while_sending(server: &mut Server, silent: &TcpListener) {
    let held = eventually("something is being handed over", SOON, || async { silent.accept().ok() }).await;
    server.kill();
    drop(held);
    server.set("COLLOQUY_MAIL__KIND", "mailbox");
    server.boot().await;
}

#[tokio::test]
async fn a_kill_while_the_mail_server_is_talked_to_loses_no_letter_and_writes_none_twice() {
    let (mut server, silent) = beside_a_silent_mail_server().await;
    let owner = Member::sign_up(&server, "Oak").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
    owner.api.patch("/api/me/preferences", wish("emergency", true)).await.expect(200);
    says(&server, &agent, DANGER).await;
    killed_while_sending(&mut server, &silent).await;
    eventually("the letter", SOON, || async { letters(&server, &owner.email).await.pop() }).await;
    eventually("it is noted that it has left", SOON, || async {
        server.ops_api().get("/metrics").await.text.contains("colloquy_effect_tasks 0").then_some(())
    })
    .await;
    // Once more: what has its letter has no work left.
    server.kill();
    server.boot().await;
    says(&server, &agent, DANGER).await;
    eventually("the next letter", SOON, || async { (!letters(&server, &owner.email).await.is_empty()).then_some(()) })
        .await;
    assert_eq!(letters(&server, &owner.email).await.len(), 1, "the first one is not written again");
}

#[tokio::test]
async fn a_kill_while_an_alert_is_sent_leaves_one_that_is_sent_and_settled() {
    let (mut server, silent) = beside_a_silent_mail_server().await;
    let owner = Member::sign_up(&server, "Oak").await;
    let desk = "desk@example.com";
    let agent = json!({ "vertical": "home_services", "escalation_enabled": true, "escalation_email": desk });
    let agent = text(&owner.agent(agent).await, "id");
    let visitor = says(&server, &agent, DANGER).await;
    killed_while_sending(&mut server, &silent).await;
    let owner = owner.at(&server);
    eventually("the alert is settled", SOON, || async {
        let journal = owner.journal(visitor.talk()).await;
        journal.iter().any(|event| event["event"]["type"] == "alert_sent").then_some(())
    })
    .await;
    assert_eq!(mailbox(&server, desk).await.len(), 1);
}

#[tokio::test]
async fn an_escalation_address_gets_so_many_alerts_an_hour() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak").await;
    let desk = "desk@example.com";
    let agent = json!({ "vertical": "home_services", "escalation_enabled": true, "escalation_email": desk });
    let agent = text(&owner.agent(agent).await, "id");
    let mut talks = Vec::new();
    for _ in 0..PER_HOUR + 3 {
        talks.push(says(&server, &agent, "I want to talk to a human, please").await);
    }
    for visitor in &talks {
        eventually("no alert is left to do", SOON, || async {
            let journal = owner.journal(visitor.talk()).await;
            journal.iter().any(|event| event["event"]["type"] == "alert_sent").then_some(())
        })
        .await;
    }
    assert_eq!(mailbox(&server, desk).await.len(), PER_HOUR);
    // Somebody in danger is told all the same.
    says(&server, &agent, DANGER).await;
    eventually("the emergency", SOON, || async { (mailbox(&server, desk).await.len() > PER_HOUR).then_some(()) }).await;
}
