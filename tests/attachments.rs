//! Files that people send, through the real binary: a carrier gets exactly one message with links that open for it without a login, and for nobody with another;
//! what is no picture or PDF is refused by its bytes, whatever dies nothing leaves twice, and with the conversation its files are gone.

mod support;

use colloquy_carrier::{Carrier as Simulated, Config};
use serde_json::{Value, json};
use support::carrier::{
    ACCOUNT, APP_SECRET, Carrier, Mood, OURS, TOKEN, connect_twilio, connect_whatsapp, delivered, message,
    only_conversation, receipt, text_from, text_with, whatsapp_posts,
};
use support::client::Answer;
use support::people::{Member, PASSWORD, SOON, Visitor, text};
use support::{Server, eventually};

/// Somebody's telephone, where pictures pass, and one where they do not.
const ANN: &str = "+12175550133";
const BERLIN: &str = "+4915112345678";

/// A picture of one point.
fn png() -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89".to_vec();
    bytes.extend_from_slice(b"\0\0\0\nIDATx\x9cc\0\x01\0\0\x05\0\x01\r\n-\xb4\0\0\0\0IEND\xaeB`\x82");
    bytes
}

fn pdf() -> Vec<u8> {
    b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF".to_vec()
}

async fn upload(member: &Member, conversation: &str, name: &str, bytes: Vec<u8>) -> Answer {
    let path = format!("/api/conversations/{conversation}/attachments?name={name}");
    member.api.try_raw("POST", &path, "application/octet-stream", Some(bytes)).await.expect("an answer")
}

/// A server whose owner talks with somebody over text messages.
struct Desk {
    carrier: Carrier,
    server: Server,
    owner: Member,
    talk: String,
}

impl Desk {
    async fn open(person: &str) -> Self {
        let carrier = Carrier::start().await;
        let server = carrier.server(&[]).await;
        let owner = Member::sign_up(&server, "Oak Plumbing").await;
        let agent = text(&owner.agent(json!({ "vertical": "home_services", "name": "Oak" })).await, "id");
        connect_twilio(&owner, &agent).await;
        text_from(&server, person, "Hello, are you there?").await.expect(200);
        carrier.has_sent(person, 1).await;
        let talk = only_conversation(&owner, "sms").await;
        delivered(&owner, &talk, "sent").await;
        Self { carrier, server, owner, talk }
    }

    async fn kept(&self, name: &str, bytes: Vec<u8>) -> String {
        text(&upload(&self.owner, &self.talk, name, bytes).await.expect(201), "id")
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/conversations/{}/{rest}", self.talk)
    }

    /// Opens an address as a stranger would.
    async fn opens(&self, url: &str) -> Answer {
        let path = url.strip_prefix(&self.server.url("")).unwrap_or_else(|| panic!("an address of ours: {url}"));
        self.server.api().get(path).await
    }

    fn last_message(shown: &Value) -> Value {
        shown["messages"].as_array().and_then(|all| all.last()).cloned().unwrap_or_default()
    }
}

#[tokio::test]
async fn a_picture_leaves_once_by_a_link_that_opens_for_the_carrier_and_nothing_else_does() {
    let desk = Desk::open(ANN).await;
    let stored = upload(&desk.owner, &desk.talk, "leak.png", png()).await.expect(201);
    let file = text(&stored, "id");
    assert_eq!((text(&stored, "name"), text(&stored, "media_type")), ("leak.png".into(), "image/png".into()));
    // The same file again is the same file.
    assert_eq!(desk.kept("leak.png", png()).await, file);
    let said = json!({ "content": "Is it this pipe?", "attachments": [file] });
    let keyed = desk.owner.api.header("idempotency-key", "picture-1");
    let first = keyed.post(&desk.path("messages"), said.clone()).await.expect(201);
    assert_eq!(keyed.post(&desk.path("messages"), said).await.expect(201), first, "repeated, it is the same message");
    let sent = desk.carrier.has_sent(ANN, 2).await.remove(1);
    assert_eq!((sent.text.as_str(), sent.media.len()), ("Is it this pipe?", 1), "{sent:?}");
    delivered(&desk.owner, &desk.talk, "sent").await;
    assert_eq!(desk.carrier.asked(), 2);

    let link = &sent.media[0];
    let fetched = desk.opens(link).await;
    assert_eq!((fetched.status, &fetched.bytes), (200, &png()));
    assert_eq!(fetched.header("content-type"), Some("image/png"));
    assert_eq!(fetched.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(fetched.header("set-cookie"), None);
    assert!(fetched.header("content-disposition").is_some_and(|value| value.contains("leak.png")));
    assert!(fetched.header("content-security-policy").is_some_and(|value| value.contains("sandbox")));

    // Any other part of it is another link, and an end of yesterday was never signed.
    let parts: Vec<&str> = link.rsplitn(6, '/').collect();
    let [signature, until, id, conversation, tenant, base] = parts.as_slice() else { panic!("{link}") };
    let until_s: i64 = until.parse().expect("an end");
    let flipped = format!("{}{}", &signature[..31], if signature.ends_with('0') { '1' } else { '0' });
    for tampered in [
        format!("{base}/{tenant}/{conversation}/{id}/{until}/{flipped}"),
        format!("{base}/{tenant}/{conversation}/{id}/{}/{signature}", until_s + 1),
        format!("{base}/{tenant}/{conversation}/{id}/{}/{signature}", until_s - 90_000),
        format!("{base}/{tenant}/{conversation}/0123456789abcdef/{until}/{signature}"),
        format!("{base}/{tenant}/elsewhere/{id}/{until}/{signature}"),
        format!("{base}/somebody/{conversation}/{id}/{until}/{signature}"),
        format!("{base}/{tenant}/{conversation}/{id}/soon/{signature}"),
        format!("{base}/{tenant}/{conversation}/{id}/{until}/"),
    ] {
        desk.opens(&tampered).await.refused(404);
    }

    // It stands with its message, for whoever may read the conversation.
    let shown = Desk::last_message(&desk.owner.conversation(&desk.talk).await);
    let bytes = png().len();
    assert_eq!(shown["files"], json!([{ "id": file, "name": "leak.png", "media_type": "image/png", "bytes": bytes }]));
    let own = desk.path(&format!("attachments/{file}"));
    let viewer = desk.owner.invite(&desk.server, "viewer", "Vera").await;
    assert_eq!(viewer.api.get(&own).await.bytes, png());
    // A fork shows what its conversation shows.
    let at = &desk.owner.conversation(&desk.talk).await["conversation"]["seq"];
    let fork = desk.owner.api.post(&desk.path("fork"), json!({ "at": at })).await.expect(201);
    let fork = text(&fork["conversation"], "id");
    let forked = Desk::last_message(&desk.owner.conversation(&fork).await);
    assert_eq!(forked["files"], shown["files"], "{forked}");
    let of_fork = format!("/api/conversations/{fork}/attachments/{file}");
    assert_eq!(viewer.api.get(&of_fork).await.bytes, png());
    upload(&viewer, &desk.talk, "x.png", png()).await.refused(403);
    viewer.api.delete(&own).await.refused(403);
    assert_eq!(desk.owner.api.delete(&own).await.refused(409)["code"], "file_sent");
    let other = Member::sign_up(&desk.server, "Another").await;
    other.api.get(&own).await.refused(404);
    other.api.delete(&own).await.refused(404);
    upload(&other, &desk.talk, "x.png", png()).await.refused(404);
    desk.server.api().get(&own).await.refused(401);
    desk.owner.api.get(&desk.path("attachments/0123456789abcdef")).await.refused(404);
    desk.owner.api.get(&desk.path("attachments/..%2f..%2fx")).await.refused(404);
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_with_the_reason() {
    let desk = Desk::open(ANN).await;
    let program = b"MZ\x90\0\x03 this program cannot be run in DOS mode".to_vec();
    let refused = upload(&desk.owner, &desk.talk, "holiday.png", program).await.names("file");
    assert!(refused.to_string().contains("no JPEG, PNG, GIF or PDF"), "{refused}");
    upload(&desk.owner, &desk.talk, "empty.png", Vec::new()).await.names("file");
    // What people may send is not what the team may.
    upload(&desk.owner, &desk.talk, "voice.ogg", b"OggS\0\x02 a voice message".to_vec()).await.names("file");
    let mut large = png();
    large.resize(5_000_001, 0);
    let refused = upload(&desk.owner, &desk.talk, "large.png", large.clone()).await.refused(413);
    assert!(text(&refused, "detail").contains("5 MB"), "{refused}");
    // Together they are too large, and more than five are too many.
    large.truncate(3_000_000);
    let one = desk.kept("one.png", large.clone()).await;
    let two = desk.kept("two.png", large).await;
    let say = async |ids: Vec<&str>| {
        desk.owner.api.post(&desk.path("messages"), json!({ "content": "", "attachments": ids })).await
    };
    say(vec![&one, &two]).await.names("attachments");
    say(vec![&one, &one]).await.names("attachments");
    say(vec!["0123456789abcdef"]).await.names("attachments");
    say(vec!["../../secrets"]).await.names("attachments");
    say(vec![&one; 6]).await.names("attachments");
    say(Vec::new()).await.names("content");
    let voice = json!({ "content": "", "channel": "voice", "attachments": [one] });
    assert_eq!(desk.owner.api.post(&desk.path("messages"), voice).await.refused(409)["code"], "no_files_here");
    assert_eq!(desk.carrier.sent_to(ANN).len(), 1, "nothing left");
    // What was not sent is taken back.
    let own = desk.path(&format!("attachments/{two}"));
    desk.owner.api.delete(&own).await.expect(204);
    desk.owner.api.get(&own).await.refused(404);
    say(vec![&two]).await.names("attachments");
    say(vec![&one]).await.expect(201);
    assert_eq!(desk.carrier.has_sent(ANN, 2).await[1].media.len(), 1, "a picture needs no words");
}

#[tokio::test]
async fn what_is_sent_and_taken_back_at_once_is_there_if_it_was_sent() {
    let desk = Desk::open(ANN).await;
    let path = desk.path("messages");
    for round in 0..12 {
        let mut picture = png();
        picture.extend_from_slice(format!("round {round}").as_bytes());
        let file = desk.kept("leak.png", picture.clone()).await;
        let own = desk.path(&format!("attachments/{file}"));
        let said = json!({ "content": "", "channel": "chat", "attachments": [file] });
        let (sent, _) = tokio::join!(desk.owner.api.post(&path, said), desk.owner.api.delete(&own));
        match sent.status {
            201 => assert_eq!(desk.owner.api.get(&own).await.status, 200, "round {round}"),
            status => assert_eq!(status, 422, "it was taken back before: {}", sent.text),
        }
    }
}

#[tokio::test]
async fn where_no_picture_passes_a_link_stands_in_the_words() {
    let desk = Desk::open(BERLIN).await;
    let shown = desk.owner.conversation(&desk.talk).await;
    assert_eq!(shown["lines"][0]["carries"]["image/png"], 0, "it is said before: {}", shown["lines"]);
    let file = desk.kept("leak.png", png()).await;
    let said = json!({ "content": "Is it this pipe?", "attachments": [file] });
    desk.owner.api.post(&desk.path("messages"), said).await.expect(201);
    let sent = desk.carrier.has_sent(BERLIN, 2).await.remove(1);
    let (words, link) = sent.text.split_once('\n').expect("words, then a link");
    assert_eq!((words, sent.media.len()), ("Is it this pipe?", 0));
    assert_eq!(desk.opens(link).await.bytes, png());
    let shown = Desk::last_message(&desk.owner.conversation(&desk.talk).await);
    assert_eq!(shown["content"], "Is it this pipe?", "for people it is a file");
}

#[tokio::test]
async fn a_server_that_dies_over_a_picture_sends_it_once() {
    let mut desk = Desk::open(ANN).await;
    let file = desk.kept("leak.png", png()).await;
    desk.carrier.mood(Mood::Holding);
    let said = json!({ "content": "", "attachments": [file] });
    desk.owner.api.post(&desk.path("messages"), said).await.expect(201);
    desk.carrier.has_sent(ANN, 2).await;
    desk.server.kill();
    desk.carrier.mood(Mood::Kind);
    desk.server.boot().await;
    delivered(&desk.owner, &desk.talk, "sent").await;
    assert_eq!((desk.carrier.asked(), desk.carrier.sent_to(ANN).len()), (2, 2), "found by looking, not by sending");
    // Killed before it may leave: it leaves after the restart, once, with its link.
    desk.carrier.mood(Mood::Busy);
    let said = json!({ "content": "Again", "attachments": [file] });
    desk.owner.api.post(&desk.path("messages"), said).await.expect(201);
    eventually("the carrier asked for a pause", SOON, || async {
        support::carrier::deliveries(&desk.owner, &desk.talk).await.last()?["retry_at"].as_str().map(str::to_owned)
    })
    .await;
    desk.server.kill();
    desk.carrier.mood(Mood::Kind);
    desk.server.boot().await;
    delivered(&desk.owner, &desk.talk, "sent").await;
    let sent = desk.carrier.sent_to(ANN);
    assert_eq!(sent.len(), 3);
    assert_eq!(desk.opens(&sent[2].media[0]).await.bytes, png());
}

#[tokio::test]
async fn with_the_conversation_its_files_and_their_links_are_gone() {
    let desk = Desk::open(ANN).await;
    let file = desk.kept("leak.png", png()).await;
    desk.kept("not-sent.pdf", pdf()).await;
    desk.owner.api.post(&desk.path("messages"), json!({ "content": "", "attachments": [file] })).await.expect(201);
    let link = desk.carrier.has_sent(ANN, 2).await[1].media[0].clone();
    assert_eq!(desk.opens(&link).await.status, 200);
    delivered(&desk.owner, &desk.talk, "sent").await;
    let found = || {
        let listed = std::process::Command::new("find")
            .arg(desk.server.data())
            .args(["-type", "f"])
            .output()
            .expect("find runs");
        String::from_utf8_lossy(&listed.stdout)
            .lines()
            .filter(|path| path.contains("/conversations/") && path.contains(&desk.talk))
            .count()
    };
    assert!(found() > 0, "the files are in the store");
    let erasure = desk.owner.api.post("/api/privacy/erasures", json!({ "phone": ANN })).await.expect(202);
    let path = format!("/api/privacy/erasures/{}", text(&erasure, "id"));
    eventually("the erasure is done", SOON, || async {
        (desk.owner.api.get(&path).await.body["status"] == "completed").then_some(())
    })
    .await;
    desk.opens(&link).await.refused(404);
    desk.owner.api.get(&desk.path(&format!("attachments/{file}"))).await.refused(404);
    assert_eq!(found(), 0, "and nothing is left in the store");
}

#[tokio::test]
async fn a_failure_over_a_file_is_told_in_words() {
    let desk = Desk::open(ANN).await;
    let file = desk.kept("leak.png", png()).await;
    desk.owner.api.post(&desk.path("messages"), json!({ "content": "", "attachments": [file] })).await.expect(201);
    let sent = desk.carrier.has_sent(ANN, 2).await.remove(1);
    delivered(&desk.owner, &desk.talk, "sent").await;
    receipt(&desk.server, &sent, "failed", Some("11200")).await.expect(204);
    let failed = delivered(&desk.owner, &desk.talk, "failed").await;
    let error = text(&failed, "error");
    assert!(error.contains("could not fetch the file") && error.contains("11200"), "{error}");
}

#[tokio::test]
async fn whatsapp_gets_a_picture_with_its_words_and_each_document_by_itself() {
    let carrier = Carrier::start().await;
    let server = carrier.server(&[]).await;
    let owner = Member::sign_up(&server, "Oak Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services", "name": "Oak" })).await, "id");
    connect_whatsapp(&owner, &agent, false).await;
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let heard = json!({ "messages": [{ "id": "wamid.1", "from": &BERLIN[1..], "timestamp": since.as_secs().to_string(), "type": "text", "text": { "body": "Hello, are you there?" } }] });
    whatsapp_posts(&server, heard, APP_SECRET).await.expect(200);
    carrier.has_sent(BERLIN, 1).await;
    let talk = only_conversation(&owner, "whatsapp").await;
    let mut files = Vec::new();
    for (name, bytes) in [("leak.png", png()), ("offer.pdf", pdf())] {
        files.push(text(&upload(&owner, &talk, name, bytes).await.expect(201), "id"));
    }
    let said = json!({ "content": "Our offer", "attachments": files });
    owner.api.post(&format!("/api/conversations/{talk}/messages"), said).await.expect(201);
    let sent = carrier.has_sent(BERLIN, 3).await;
    let texts: Vec<&str> = sent[1..].iter().map(|one| one.text.as_str()).collect();
    assert_eq!(texts, ["Our offer", ""]);
    for (sent, bytes) in sent[1..].iter().zip([png(), pdf()]) {
        let path = sent.media[0].strip_prefix(&server.url("")).expect("an address of ours");
        assert_eq!(server.api().get(path).await.bytes, bytes);
    }
    delivered(&owner, &talk, "sent").await;
    assert_eq!(carrier.sent_to(BERLIN).len(), 3);
}

#[tokio::test]
async fn what_a_person_attaches_is_fetched_once_with_the_accounts_key_and_kept() {
    let desk = Desk::open(ANN).await;
    desk.carrier.records("ME1", png());
    desk.carrier.records("ME2", b"#!/bin/sh".to_vec());
    let mut fields = message(ANN, "");
    let at = |medium: &str| format!("https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages/MM1/Media/{medium}");
    for (n, url) in [at("ME1"), at("ME2"), at("ME3"), "https://evil.example/x.png".to_owned()].into_iter().enumerate() {
        fields.push((format!("MediaUrl{n}"), url));
    }
    fields.iter_mut().filter(|(name, _)| name == "NumMedia").for_each(|(_, count)| "4".clone_into(count));
    text_with(&desk.server, "/api/messages/twilio", &fields, TOKEN).await.expect(200);
    let heard = eventually("the picture's message", SOON, || async {
        let shown = desk.owner.conversation(&desk.talk).await;
        let all = shown["messages"].as_array()?.clone();
        all.into_iter().find(|message| message["attachments"].as_array().is_some_and(|files| files.len() == 4))
    })
    .await;
    let path = |n: &str| desk.path(&format!("messages/{}/attachments/{n}", text(&heard, "id")));
    let shown = desk.owner.api.get(&path("0")).await;
    assert_eq!((shown.status, &shown.bytes, shown.header("content-type")), (200, &png(), Some("image/png")));
    // No picture, gone at the carrier, an address that is not the account's, none at all.
    for n in ["1", "2", "3", "4", "x"] {
        desk.owner.api.get(&path(n)).await.refused(404);
    }
    let other = Member::sign_up(&desk.server, "Another").await;
    other.api.get(&path("0")).await.refused(404);
    desk.server.api().get(&path("0")).await.refused(401);
    // Kept from then on.
    desk.carrier.records("ME1", pdf());
    assert_eq!(desk.owner.api.get(&path("0")).await.bytes, png());
}

#[tokio::test]
async fn a_picture_from_whatsapp_is_asked_for_and_then_fetched_with_the_token_once_and_kept() {
    let carrier = Carrier::start().await;
    let server = carrier.server(&[]).await;
    let owner = Member::sign_up(&server, "Oak Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services", "name": "Oak" })).await, "id");
    connect_whatsapp(&owner, &agent, false).await;
    carrier.records("1013859600285441", png());
    carrier.records("1013859600285442", b"OggS it only says so".to_vec());
    let voice = [&b"OggS\0\x02"[..], &[7; 500]].concat();
    carrier.records("1013859600285444", voice.clone());
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let medium = |n: u8, kind: &str, id: &str| {
        let mut one = json!({ "id": format!("wamid.{n}"), "from": &BERLIN[1..], "timestamp": since.as_secs().to_string(), "type": kind });
        one[kind] = json!({ "id": id, "mime_type": "image/png", "sha256": "x" });
        one
    };
    let mut leak = medium(1, "image", "1013859600285441");
    leak["image"]["caption"] = json!("Is it this pipe?");
    // The third one is nothing that Meta has.
    let all = [
        leak,
        medium(2, "audio", "1013859600285442"),
        medium(3, "image", "1013859600285443"),
        medium(4, "audio", "1013859600285444"),
    ];
    for one in all {
        whatsapp_posts(&server, json!({ "messages": [one] }), APP_SECRET).await.expect(200);
    }
    let talk = only_conversation(&owner, "whatsapp").await;
    let heard = eventually("all four stand there", SOON, || async {
        let shown = owner.conversation(&talk).await;
        let all = shown["messages"].as_array()?.clone();
        let with: Vec<Value> = all
            .into_iter()
            .filter(|message| message["attachments"].as_array().is_some_and(|files| files.len() == 1))
            .collect();
        (with.len() == 4).then_some(with)
    })
    .await;
    assert_eq!(text(&heard[0], "content"), "Is it this pipe?");
    assert_eq!(carrier.fetched(), 0, "not before somebody looks");
    eventually("who sends files without words is told who looks at them", SOON, || async {
        let shown = owner.conversation(&talk).await;
        let said = shown["messages"].as_array()?.iter().any(|message| {
            message["role"] == "assistant"
                && message["content"].as_str().is_some_and(|said| said.contains("what you sent"))
        });
        said.then_some(())
    })
    .await;
    let asked = owner.api.list("/api/analytics/unanswered").await;
    assert!(asked.iter().all(|one| !one.to_string().contains("attached")), "a file is no question: {asked:?}");
    let path = |n: usize| format!("/api/conversations/{talk}/messages/{}/attachments/0", text(&heard[n], "id"));
    for _ in 0..2 {
        let shown = owner.api.get(&path(0)).await;
        assert_eq!((shown.status, &shown.bytes, shown.header("content-type")), (200, &png(), Some("image/png")));
    }
    assert_eq!(carrier.fetched(), 1, "kept from then on");
    // Nothing known, and one that Meta does not have.
    owner.api.get(&path(1)).await.refused(404);
    owner.api.get(&path(2)).await.refused(404);
    // A voice message can be listened to, from any place in it.
    let heard_voice = owner.api.get(&path(3)).await;
    let head = |name| heard_voice.header(name).map(str::to_owned);
    assert_eq!(
        (heard_voice.status, &heard_voice.bytes, head("content-type").as_deref()),
        (200, &voice, Some("audio/ogg"))
    );
    assert_eq!(head("accept-ranges").as_deref(), Some("bytes"));
    let from_the_middle = owner.api.header("range", "bytes=500-").get(&path(3)).await;
    assert_eq!((from_the_middle.status, from_the_middle.bytes.len()), (206, 6));
    assert_eq!(from_the_middle.header("content-range"), Some("bytes 500-505/506"));
    owner.api.header("range", "bytes=506-").get(&path(3)).await.refused(416);
    let other = Member::sign_up(&server, "Another").await;
    other.api.get(&path(0)).await.refused(404);
}

#[tokio::test]
async fn a_link_that_was_good_opens_until_its_end_and_not_after_it() {
    // A carrier's link ends after a day, one that stands in words after a week.
    for (person, before, after) in [(ANN, "+23h", "+25h"), (BERLIN, "+6d", "+8d")] {
        let mut desk = Desk::open(person).await;
        let file = desk.kept("leak.png", png()).await;
        let said = json!({ "content": "Look", "attachments": [file] });
        desk.owner.api.post(&desk.path("messages"), said).await.expect(201);
        let sent = desk.carrier.has_sent(person, 2).await.remove(1);
        let link = sent.media.first().cloned().or_else(|| sent.text.split_once('\n').map(|(_, link)| link.to_owned()));
        let link = link.expect("a link");
        delivered(&desk.owner, &desk.talk, "sent").await;
        assert_eq!(desk.opens(&link).await.bytes, png());
        desk.server.later(before).await;
        assert_eq!(desk.opens(&link).await.bytes, png(), "{before}");
        desk.server.later(after).await;
        desk.opens(&link).await.refused(404);
        // The file itself is still there for those who answer.
        let login = json!({ "email": desk.owner.email, "password": PASSWORD });
        let session = desk.server.api().post("/api/auth/login", login).await.expect(200);
        let member = desk.server.api().bearer(&text(&session, "access_token"));
        assert_eq!(member.get(&desk.path(&format!("attachments/{file}"))).await.bytes, png());
    }
}

#[tokio::test]
async fn in_the_web_chat_a_file_is_a_link_in_the_words() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services", "name": "Oak" })).await, "id");
    let mut visitor = Visitor::new(&server, &agent);
    visitor.say("Hello, I need a plumber").await;
    let file = text(&upload(&owner, visitor.talk(), "offer.pdf", pdf()).await.expect(201), "id");
    let said = json!({ "content": "Our offer", "attachments": [file] });
    owner.api.post(&format!("/api/conversations/{}/messages", visitor.talk()), said).await.expect(201);
    let shown = Desk::last_message(&visitor.history().await);
    let content = text(&shown, "content");
    let link = content.strip_prefix("Our offer\n[offer.pdf](").and_then(|rest| rest.strip_suffix(')')).expect("a link");
    let path = link.strip_prefix(&server.url("")).expect("an address of ours");
    assert_eq!(server.api().get(path).await.bytes, pdf());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulated_carrier_fetches_what_it_is_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("carrier.jsonl");
    let (account, token) = ("AC00000000000000000000000000000080", "auth-token-of-the-pictures");
    let config = Config {
        listen: "127.0.0.1:0".parse().expect("an address"),
        account: account.to_owned(),
        token: token.to_owned(),
        numbers: vec![OURS.to_owned()],
        log: Some(log.clone()),
        ..Config::default()
    };
    let simulated = Simulated::start(config).await.expect("a carrier");
    let server = Server::start_with(&[("COLLOQUY_MESSAGES__SIMULATED_URL", &simulated.url())]).await;
    let owner = Member::sign_up(&server, "Oak Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services", "name": "Oak" })).await, "id");
    let keys = json!({ "account_sid": account, "auth_token": token });
    owner.api.post("/api/integrations/simulated/connect", keys).await.expect(200);
    let number = json!({ "number": OURS, "provider": "simulated", "agent_id": agent });
    owner.api.post("/api/voice/numbers", number).await.expect(201);
    let mut visitor = Visitor::new(&server, &agent);
    visitor.say("My name is Ann Lee and my number is 217-555-0133, I need a quote").await;
    let file = text(&upload(&owner, visitor.talk(), "leak.png", png()).await.expect(201), "id");
    let said = json!({ "content": "Is it this?", "channel": "sms", "attachments": [file] });
    owner.api.post(&format!("/api/conversations/{}/messages", visitor.talk()), said).await.expect(201);
    delivered(&owner, visitor.talk(), "delivered").await;
    let written = std::fs::read_to_string(&log).expect("a log");
    let lines: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).cloned().collect::<Vec<_>>();
    let (messages, media) = (of("message"), of("media"));
    assert_eq!((messages.len(), media.len()), (1, 1), "{written}");
    assert_eq!((&media[0]["status"], &media[0]["content_type"]), (&json!(200), &json!("image/png")), "{written}");
    assert_eq!(media[0]["hash"], blake3::hash(&png()).to_hex().to_string(), "the same bytes");
}
