//! Proves `identify` on the chat socket: what the organization's server vouched for is believed and shown to its people, anything else is refused by name
//! and changes nothing, and the id opens nobody else's conversation.

mod support;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use support::people::{Member, SOON, Visitor, text};
use support::socket::Socket;
use support::{Server, eventually, random_id};

/// As the guide computes it on a customer's server.
fn sign(secret: &str, external_id: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(external_id.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A visitor's open socket.
struct Talk {
    socket: Socket,
    visitor: String,
    token: Value,
    conversation: Value,
}

impl Talk {
    async fn open(server: &Server, agent: &str) -> Self {
        let visitor = random_id();
        let (socket, welcome) =
            Socket::chat(server.http, agent, json!({ "visitor_id": visitor })).await.expect("welcome");
        Self { socket, visitor, token: welcome["visitor_token"].clone(), conversation: Value::Null }
    }

    async fn say(&mut self, words: &str) {
        let id = random_id();
        self.socket.send(&json!({ "type": "message", "client_message_id": id, "text": words })).await;
        let ack = self
            .socket
            .until("an ack", |frame| frame["type"] == "ack" && frame["client_message_id"] == json!(id))
            .await;
        self.conversation = ack["conversation_id"].clone();
        self.socket.until("an answer", |frame| frame["type"] == "message" && frame["role"] == "assistant").await;
    }

    async fn identify(&mut self, fields: Value) {
        let mut frame =
            json!({ "type": "identify", "name": "Ada Lovelace", "email": "ada@example.com", "phone": "217-555-0188" });
        for (key, value) in fields.as_object().into_iter().flatten() {
            frame[key] = value.clone();
        }
        self.socket.send(&frame).await;
    }

    /// The server refuses the identification by name and keeps the connection.
    async fn refused(&mut self, code: &str) {
        let error = self.socket.until("a refusal", |frame| frame["type"] == "error").await;
        assert_eq!(error["code"], code, "{error}");
        assert!(!text(&error, "detail").is_empty() && error["retry"] == "never", "{error}");
    }
}

#[tokio::test]
async fn only_what_the_organizations_server_signed_is_believed() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
    let stranger = Member::sign_up(&server, "Elm Street Plumbing").await;
    let secret_of =
        async |member: &Member| text(&member.api.get("/api/organization/identity-secret").await.expect(200), "secret");
    let (secret, other) = (secret_of(&owner).await, secret_of(&stranger).await);
    assert_ne!(secret, other, "each organization has its own secret");
    assert_eq!(
        sign("test-secret", "user-42"),
        "86a7fc2883ace458e6fe1fb45d4672e7a35adc38383b0e1b0870cd6a42d1ddd8",
        "the check value of the guide"
    );
    // The secret is for administrators.
    owner.invite(&server, "manager", "Max").await.api.get("/api/organization/identity-secret").await.refused(403);
    server.api().get("/api/organization/identity-secret").await.refused(401);

    let mut talk = Talk::open(&server, &agent).await;
    talk.say("Do you offer emergency services?").await;
    let id = text(&json!({ "id": talk.conversation }), "id");
    let seen = async || owner.conversation(&id).await["conversation"].clone();
    let anonymous = seen().await;

    // Wrong in every way that is tried: nothing is believed, nothing changes, the connection stays.
    let right = sign(&secret, "user-42");
    for (hmac, why) in [
        (sign(&other, "user-42"), "another organization's secret"),
        (sign(&secret, "user-43"), "another id"),
        (format!("{}0", &right[..63]), "one digit"),
        (right[..62].to_owned(), "too short"),
        (format!("{right}00"), "too long"),
        (String::new(), "empty"),
        ("zz".repeat(32), "no digits"),
        ("é".repeat(32), "no ASCII"),
    ] {
        if hmac == right {
            continue; // The last digit was a zero already.
        }
        talk.identify(json!({ "external_id": "user-42", "hmac": hmac })).await;
        talk.refused("bad_hmac").await;
        assert_eq!(seen().await, anonymous, "{why}");
    }
    talk.identify(json!({ "external_id": "user-42" })).await;
    talk.refused("bad_frame").await;
    talk.identify(json!({ "external_id": 42, "hmac": right })).await;
    talk.refused("bad_frame").await;
    assert_eq!(seen().await, anonymous);

    // The right one: the organization's people see who is writing.
    talk.identify(json!({ "external_id": "user-42", "hmac": right })).await;
    let known = eventually("the identified visitor", SOON, async || {
        let shown = seen().await;
        shown.to_string().contains("Ada Lovelace").then_some(shown)
    })
    .await;
    for shown in ["user-42", "ada@example.com", "5550188"] {
        let digits: String = known.to_string().chars().filter(|c| *c != '-' && *c != ' ').collect();
        assert!(known.to_string().contains(shown) || digits.contains(shown), "{shown} is not shown: {known}");
    }
    // Said twice it is one event; and it is in the journal, so it outlives a restart.
    talk.identify(json!({ "external_id": "user-42", "hmac": right })).await;
    talk.say("Are you licensed?").await;
    let identified =
        |journal: &[Value]| journal.iter().filter(|event| support::screen::kind_of(event) == "identified").count();
    assert_eq!(identified(&owner.journal(&id).await), 1);

    // It names a person and opens nothing: on another connection with the same id the conversation is not theirs.
    let mut elsewhere = Talk::open(&server, &agent).await;
    elsewhere.say("Do you offer free estimates?").await;
    elsewhere.identify(json!({ "external_id": "user-42", "hmac": right })).await;
    elsewhere.say("Are you licensed?").await;
    assert_ne!(elsewhere.conversation, talk.conversation);
    let theirs = server.api().visitor(&text(&json!({ "t": elsewhere.token }), "t"));
    theirs.get(&format!("/api/chat/history?conversation_id={id}")).await.refused(404);
    let listed = theirs.get("/api/chat/conversations").await.expect(200);
    assert!(!listed.to_string().contains(&id), "{listed}");
    let resumed = json!({ "visitor_id": elsewhere.visitor, "visitor_token": elsewhere.token, "conversation_id": id });
    let (_, welcome) = Socket::chat(server.http, &agent, resumed).await.expect("welcome");
    assert!(welcome["conversation_id"].is_null(), "{welcome}");
    // And another organization's people see none of it.
    stranger.api.get(&format!("/api/conversations/{id}")).await.refused(404);
}

#[tokio::test]
async fn identify_before_the_first_message_is_checked_all_the_same_and_survives_a_kill_after_it() {
    let mut server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
    let secret = text(&owner.api.get("/api/organization/identity-secret").await.expect(200), "secret");
    let mut talk = Talk::open(&server, &agent).await;
    talk.identify(json!({ "external_id": "user-7", "hmac": "00" })).await;
    talk.refused("bad_hmac").await;
    let vouched = json!({ "external_id": "user-7", "hmac": sign(&secret, "user-7") });
    talk.identify(vouched.clone()).await;
    talk.say("Do you offer emergency services?").await;
    talk.identify(vouched).await;
    let id = text(&json!({ "id": talk.conversation }), "id");
    eventually("the identified visitor", SOON, async || {
        owner.conversation(&id).await["conversation"].to_string().contains("user-7").then_some(())
    })
    .await;
    server.kill();
    server.boot().await;
    assert!(owner.conversation(&id).await["conversation"].to_string().contains("user-7"));
    assert_eq!(text(&owner.api.get("/api/organization/identity-secret").await.expect(200), "secret"), secret);
    // Somebody who identifies before saying hello is told to.
    let mut rude = Socket::open(server.http, &format!("/api/chat/socket?agent_id={agent}")).await.expect("open");
    rude.send(&json!({ "type": "identify", "external_id": "user-7", "hmac": sign(&secret, "user-7") })).await;
    let error = rude.until("a refusal", |frame| frame["type"] == "error").await;
    assert_eq!(error["code"], "no_hello", "{error}");
    Visitor::new(&server, &agent).say("Do you offer emergency services?").await;
}
