//! Proves `identify` on the chat socket: what the organization's server vouched for is believed and leads to that person's one conversation on every
//! device and channel; anything else is refused by name and changes nothing, and nobody reads along in any other way.

mod support;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use support::carrier::{Carrier, connect_twilio, text_from};
use support::people::{Member, SOON, Visitor, text};
use support::socket::Socket;
use support::{Server, eventually, random_id};

/// Somebody's telephone.
const ANN: &str = "+12175550133";
/// Somebody else's.
const BOB: &str = "+12175550144";

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

/// A person's conversation with an agent that also has a number, and what vouches for them.
struct Desk {
    server: Server,
    carrier: Carrier,
    owner: Member,
    agent: String,
    secret: String,
}

impl Desk {
    async fn open() -> Self {
        let carrier = Carrier::start().await;
        let server = carrier.server(&[]).await;
        let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
        let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
        connect_twilio(&owner, &agent).await;
        let secret = text(&owner.api.get("/api/organization/identity-secret").await.expect(200), "secret");
        Self { server, carrier, owner, agent, secret }
    }

    /// What the customer's page sends for a person, without a word of phone or end.
    fn proof(&self, id: &str) -> Value {
        json!({ "external_id": id, "hmac": sign(&self.secret, id) })
    }

    /// The same with a number that the customer's server vouches for.
    fn proof_with(&self, id: &str, phone: &str) -> Value {
        let hmac = sign(&self.secret, &format!("{id}\nphone={phone}"));
        json!({ "external_id": id, "hmac": hmac, "phone": phone, "phone_signed": true })
    }

    async fn talk(&self) -> Talk {
        Talk::open(&self.server, &self.agent).await
    }
}

impl Talk {
    /// Identifies, and learns where this person goes on.
    async fn becomes(&mut self, proof: &Value) -> Value {
        self.identify(proof.clone()).await;
        let identified = self.socket.until("who it is", |frame| frame["type"] == "identified").await;
        self.conversation = identified["conversation_id"].clone();
        self.token = identified["visitor_token"].clone();
        self.conversation.clone()
    }
}

#[tokio::test]
async fn a_vouched_person_goes_on_in_one_conversation_on_every_device_and_by_text_message() {
    let desk = Desk::open().await;
    let mut first = desk.talk().await;
    first.becomes(&desk.proof("user-42")).await;
    first.say("My boiler is a Vaillant from 2011").await;
    let id = first.conversation.clone();

    // Another browser: before its first word it is there, with what was said.
    let mut second = desk.talk().await;
    assert_eq!(second.becomes(&desk.proof("user-42")).await, id);
    second
        .socket
        .until("what was said elsewhere", |frame| {
            frame["type"] == "message" && frame.to_string().contains("Vaillant from 2011")
        })
        .await;
    second.say("And it drips").await;
    assert_eq!(second.conversation, id);
    first.socket.until("the other browser's words", |frame| frame.to_string().contains("And it drips")).await;

    // The customer's server vouches for the number: messages of it come here, and before it did they did not.
    let mut third = desk.talk().await;
    assert_eq!(third.becomes(&desk.proof_with("user-42", ANN)).await, id);
    text_from(&desk.server, ANN, "It drips more now").await.expect(200);
    third.socket.until("the text message", |frame| frame.to_string().contains("It drips more now")).await;
    desk.carrier.has_sent(ANN, 1).await;
    assert_eq!(desk.owner.api.list("/api/conversations").await.len(), 1);
    let shown = desk.owner.settled(&text(&json!({ "id": id }), "id"), SOON).await;
    assert_eq!(shown["conversation"]["channels"], json!(["chat", "sms"]));

    // The other way round: who wrote from their telephone first finds it in the widget.
    text_from(&desk.server, BOB, "Do you come on Sundays?").await.expect(200);
    desk.carrier.has_sent(BOB, 1).await;
    let bobs = only_conversation_of(&desk.owner, BOB).await;
    let mut bob = desk.talk().await;
    assert_eq!(bob.becomes(&desk.proof_with("user-7", BOB)).await, json!(bobs));
    bob.say("It is me, Bob").await;
    let listed = desk.server.api().visitor(&text(&json!({ "t": bob.token }), "t"));
    let listed = listed.get("/api/chat/conversations").await.expect(200);
    assert!(listed.to_string().contains(&bobs), "{listed}");
}

#[tokio::test]
async fn two_conversations_of_a_vouched_person_are_linked_and_never_merged() {
    let desk = Desk::open().await;
    let mut first = desk.talk().await;
    first.becomes(&desk.proof("user-42")).await;
    first.say("Do you offer emergency services?").await;
    let mut second = desk.talk().await;
    second.say("Are you licensed?").await;
    let theirs = second.conversation.clone();
    assert_eq!(second.becomes(&desk.proof("user-42")).await, theirs, "what has words goes on");
    let id = text(&json!({ "id": first.conversation }), "id");
    let shown = eventually("the link", SOON, async || {
        let shown = desk.owner.conversation(&id).await;
        shown["links"].as_array().is_some_and(|links| links.contains(&theirs)).then_some(shown)
    })
    .await;
    assert_eq!(shown["merged_into"], Value::Null);
    assert!(!shown["messages"].to_string().contains("licensed"));
}

#[tokio::test]
async fn nobody_gets_into_a_vouched_persons_conversation_in_any_other_way() {
    let desk = Desk::open().await;
    let mut ada = desk.talk().await;
    let anonymous = ada.token.clone();
    ada.becomes(&desk.proof("user-42")).await;
    ada.say("My secret is rosebud").await;
    let id = text(&json!({ "id": ada.conversation }), "id");

    // A proof of somebody else, of nobody, of another organization; an end that has passed, and one that was cut off.
    let past = "user-42\nexpires_at=1000";
    let later = now_s() + 600;
    let dated = sign(&desk.secret, &format!("user-42\nexpires_at={later}"));
    for (proof, code) in [
        (json!({ "external_id": "user-42", "hmac": sign(&desk.secret, "user-43") }), "bad_hmac"),
        (json!({ "external_id": "user-42", "hmac": sign("another secret", "user-42") }), "bad_hmac"),
        (json!({ "external_id": "user-42", "hmac": sign(&desk.secret, past), "expires_at": 1000 }), "expired_hmac"),
        (json!({ "external_id": "user-42", "hmac": dated }), "bad_hmac"),
        (json!({ "external_id": "user-42", "hmac": dated, "expires_at": later + 1 }), "bad_hmac"),
        // A number that nobody signed.
        (json!({ "external_id": "user-42", "hmac": sign(&desk.secret, "user-42"), "phone_signed": true }), "bad_hmac"),
    ] {
        let mut mallory = desk.talk().await;
        mallory.identify(proof.clone()).await;
        mallory.refused(code).await;
        mallory.say("Do you offer free estimates?").await;
        assert_ne!(mallory.conversation, ada.conversation, "{proof}");
    }
    // A good proof of another person opens that person's: in the same browser too.
    let mut other = desk.talk().await;
    assert_eq!(other.becomes(&desk.proof("user-43")).await, Value::Null);
    assert_eq!(ada.becomes(&desk.proof("user-43")).await, Value::Null, "the next at the same computer");
    ada.say("Who was here before me?").await;
    assert_ne!(ada.conversation, json!(id));
    // What the browser was before it was vouched for opens nothing.
    let before = desk.server.api().visitor(&text(&json!({ "t": anonymous }), "t"));
    before.get(&format!("/api/chat/history?conversation_id={id}")).await.refused(404);
    // A number that was typed leads nowhere.
    text_from(&desk.server, ANN, "Is this my conversation?").await.expect(200);
    desk.carrier.has_sent(ANN, 1).await;
    let mut typed = desk.talk().await;
    let mut proof = desk.proof("user-99");
    proof["phone"] = json!(ANN);
    assert_eq!(typed.becomes(&proof).await, Value::Null);
}

#[tokio::test]
async fn who_put_their_own_visitor_or_number_into_somebodys_browser_reads_nothing_along() {
    let desk = Desk::open().await;
    // Mallory opens a conversation, makes a code for a telephone, and leaves the token in Ada's browser.
    let mut mallory = desk.talk().await;
    mallory.say("Do you offer free estimates?").await;
    let planted = mallory.conversation.clone();
    let id = text(&json!({ "id": planted }), "id");
    let tokened = desk.server.api().visitor(&text(&json!({ "t": mallory.token }), "t"));
    let code = tokened.post(&format!("/api/chat/{id}/continue"), json!({ "channel": "sms" })).await.expect(201);
    let hello = json!({ "visitor_id": mallory.visitor, "visitor_token": mallory.token, "conversation_id": planted });
    let (socket, welcome) = Socket::chat(desk.server.http, &desk.agent, hello).await.expect("welcome");
    let mut ada = Talk {
        socket,
        visitor: mallory.visitor.clone(),
        token: welcome["visitor_token"].clone(),
        conversation: planted.clone(),
    };
    ada.becomes(&desk.proof("user-42")).await;
    ada.say("My secret is rosebud").await;
    // The open socket ends before it hears a word of it, the token opens nothing, the code joins nothing.
    let heard =
        mallory.socket.until("its end", |frame| frame["type"] == "bye" || frame.to_string().contains("rosebud"));
    assert_eq!(heard.await["reason"], "identified_elsewhere");
    let theirs = text(&json!({ "id": ada.conversation }), "id");
    tokened.get(&format!("/api/chat/history?conversation_id={theirs}")).await.refused(404);
    text_from(&desk.server, BOB, &text(&code, "text")).await.expect(200);
    let bobs = only_conversation_of(&desk.owner, BOB).await;
    assert_ne!(bobs, theirs);
    let own = tokened.get("/api/chat/conversations").await.expect(200);
    assert!(!own.to_string().contains(&theirs), "{own}");

    // A telephone that went on in it before keeps it from becoming the person's.
    let mut planted = desk.talk().await;
    planted.say("Do you offer free estimates?").await;
    let tokened = desk.server.api().visitor(&text(&json!({ "t": planted.token }), "t"));
    let path = format!("/api/chat/{}/continue", text(&json!({ "id": planted.conversation }), "id"));
    let code = tokened.post(&path, json!({ "channel": "sms" })).await.expect(201);
    text_from(&desk.server, ANN, &text(&code, "text")).await.expect(200);
    desk.carrier.has_sent(ANN, 1).await;
    let before = planted.conversation.clone();
    assert_ne!(planted.becomes(&desk.proof("user-77")).await, before);
}

/// The only conversation with a number, as soon as it is listed.
async fn only_conversation_of(owner: &Member, number: &str) -> String {
    eventually("a conversation of that number", SOON, async || {
        let items = owner.api.list("/api/conversations?channel=sms").await;
        items.iter().find(|item| item["visitor_phone"] == number).map(|item| text(item, "id"))
    })
    .await
}

fn now_s() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("a time")
}
