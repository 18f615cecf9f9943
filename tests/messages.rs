//! SMS and WhatsApp through the real binary, against a simulated carrier that speaks Twilio's and Meta's sides: what is signed is answered once, what is
//! not is nobody's, nobody is written to who said STOP, no message leaves twice whatever dies, and no number gets into a stranger's conversation.

mod support;

use serde_json::{Value, json};
use support::carrier::{
    ACCOUNT, APP_SECRET, Carrier, Mood, OURS, OURS_WHATSAPP, TOKEN, connect_twilio, connect_whatsapp, delivered,
    deliveries, message, only_conversation, post_form, receipt, text_from, text_with, whatsapp_posts,
};
use support::people::{Member, SOON, Visitor, text};
use support::{Server, eventually, random_id};

/// Somebody's telephone.
const ANN: &str = "+12175550133";
/// Somebody else's.
const BOB: &str = "+12175550144";

/// An owner with an agent that answers at our number.
async fn founded(server: &Server) -> (Member, String) {
    let owner = Member::sign_up(server, "Oak Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services", "name": "Oak" })).await, "id");
    connect_twilio(&owner, &agent).await;
    (owner, agent)
}

fn roles(shown: &Value) -> Vec<String> {
    shown["messages"].as_array().into_iter().flatten().map(|message| text(message, "role")).collect()
}

#[tokio::test]
async fn a_text_message_is_answered_once_and_its_receipts_may_come_in_any_order() {
    let carrier = Carrier::start().await;
    let server = carrier.server(&[]).await;
    let (owner, _) = founded(&server).await;

    let first = message(ANN, "Hello, are you there?");
    let heard = text_with(&server, "/api/messages/twilio", &first, TOKEN).await;
    assert_eq!((heard.status, heard.text.contains("<Response/>")), (200, true), "{heard:?}");
    let conversation = only_conversation(&owner, "sms").await;
    let sent = carrier.has_sent(ANN, 1).await.remove(0);
    assert_eq!(sent.from, OURS);
    let shown = owner.settled(&conversation, SOON).await;
    assert_eq!(shown["messages"][1]["content"], json!(sent.text), "what is sent is what stands there");
    assert_eq!(shown["messages"][1]["channel"], "sms");
    assert_eq!(shown["conversation"]["visitor_phone"], ANN);
    delivered(&owner, &conversation, "sent").await;

    // Read before delivered, and "sent" after both.
    for (status, stands) in [("delivered", "delivered"), ("sent", "delivered"), ("read", "read"), ("failed", "read")] {
        receipt(&server, &sent, status, None).await.expect(204);
        assert_eq!(deliveries(&owner, &conversation).await[0]["status"], stands, "after {status}");
    }

    // The same webhook again, at both addresses, changes nothing.
    let before = owner.conversation(&conversation).await["conversation"]["seq"].clone();
    for path in ["/api/messages/twilio".to_owned(), format!("/api/messages/twilio/twilio-{}", owner.organization)] {
        text_with(&server, &path, &first, TOKEN).await.expect(200);
    }
    assert_eq!(owner.conversation(&conversation).await["conversation"]["seq"], before);
    assert_eq!(carrier.asked(), 1);

    // The next message goes on in the same conversation.
    text_from(&server, ANN, "And on Sundays?").await.expect(200);
    carrier.has_sent(ANN, 2).await;
    assert_eq!(only_conversation(&owner, "sms").await, conversation);
    assert_eq!(roles(&owner.settled(&conversation, SOON).await), ["user", "assistant", "user", "assistant"]);
}

#[tokio::test]
async fn what_is_not_signed_or_not_ours_changes_nothing() {
    let carrier = Carrier::start().await;
    let server = carrier.server(&[]).await;
    let (owner, _) = founded(&server).await;
    let own = format!("/api/messages/twilio/twilio-{}", owner.organization);
    let fields = message(ANN, "hello");
    for path in ["/api/messages/twilio", own.as_str()] {
        text_with(&server, path, &fields, "another token").await.refused(401);
        post_form(&server.api(), path, "MessageSid=SM1&From=%2B12175550133".to_owned()).await.refused(401);
    }
    // Signed, but of another body.
    let mut forged = fields.clone();
    forged[4].1 = "other words".into();
    let pairs: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let form = colloquy_actors::telephony::twilio::form::Form::of(&pairs);
    let covered = colloquy_actors::telephony::twilio::signature::Covered::Form(&form);
    let signed =
        colloquy_actors::telephony::twilio::signature::sign(&TOKEN.to_owned().into(), &server.url(&own), covered);
    let forged: Vec<(&str, &str)> = forged.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let body = colloquy_actors::telephony::twilio::form::Form::of(&forged).to_body();
    post_form(&server.api().header("x-twilio-signature", &signed), &own, body).await.refused(401);
    // A number that nobody registered here: unknown without an account, and a named refusal with one.
    let mut unknown = fields.clone();
    unknown[3].1 = "+14155559999".into();
    text_with(&server, "/api/messages/twilio", &unknown, TOKEN).await.refused(401);
    text_with(&server, &own, &unknown, TOKEN).await.refused(404);
    // A connection that is none, and one whose provider speaks otherwise.
    for path in ["/api/messages/twilio/twilio-nobody", "/api/messages/twilio/whatsapp-nobody", "/api/messages/twilio/x"]
    {
        text_with(&server, path, &fields, TOKEN).await.refused(401);
    }
    assert!(owner.api.list("/api/conversations").await.is_empty());
    assert_eq!(carrier.asked(), 0);
    // Taken away, nothing is believed any more.
    owner.api.delete("/api/integrations/twilio/disconnect").await.expect(204);
    text_with(&server, &own, &fields, TOKEN).await.refused(401);
}

#[tokio::test]
async fn a_provider_without_keys_is_refused_by_the_name_of_the_key_and_no_key_is_ever_shown() {
    let carrier = Carrier::start().await;
    let server = carrier.server(&[]).await;
    let owner = Member::sign_up(&server, "Keyless").await;
    let agent = text(&owner.agent(json!({ "vertical": "custom", "name": "A" })).await, "id");
    let number = json!({ "number": OURS, "provider": "twilio", "agent_id": agent });
    let refused = owner.api.post("/api/voice/numbers", number.clone()).await.refused(409);
    assert_eq!(refused["code"], "not_connected");
    assert!(text(&refused, "detail").contains("auth_token"), "{refused}");
    let half = json!({ "account_sid": ACCOUNT });
    owner.api.post("/api/integrations/twilio/connect", half).await.names("auth_token");
    owner.api.post("/api/integrations/pigeon/connect", json!({})).await.refused(404);
    connect_twilio(&owner, &agent).await;
    connect_whatsapp(&owner, &agent, false).await;
    for path in ["/api/integrations", "/api/voice/numbers"] {
        let shown = owner.api.get(path).await;
        assert!(!shown.text.contains(TOKEN) && !shown.text.contains(APP_SECRET), "{}", shown.text);
    }
    let rep = owner.invite(&server, "rep", "Rita").await;
    rep.api.post("/api/integrations/twilio/connect", json!({})).await.refused(403);
    // A number is tried by a message: to whom may be written, by whom may write, once.
    let numbers = owner.api.list("/api/voice/numbers").await;
    let of = |provider: &str| numbers.iter().find(|one| one["provider"] == provider).map(|one| text(one, "id"));
    let (twilio, whatsapp) = (of("twilio").expect("a number"), of("whatsapp").expect("a number"));
    let path = format!("/api/voice/numbers/{twilio}/test");
    let told = rep.api.post(&path, json!({ "to": ANN })).await.expect(202);
    let sent = carrier.has_sent(ANN, 1).await.remove(0);
    assert!(sent.text.contains("test message") && text(&told, "text") == sent.text, "{told}");
    rep.api.post(&path, json!({ "to": "12" })).await.names("to");
    let viewer = owner.invite(&server, "viewer", "Vera").await;
    viewer.api.post(&path, json!({ "to": ANN })).await.refused(403);
    let other_path = format!("/api/voice/numbers/{whatsapp}/test");
    assert_eq!(rep.api.post(&other_path, json!({ "to": ANN })).await.refused(409)["code"], "no_text_message");
    let listed = json!({ "channel": "sms", "address": ANN, "reason": "asked" });
    owner.api.post("/api/dnc", listed).await.expect(201);
    assert_eq!(rep.api.post(&path, json!({ "to": ANN })).await.refused(409)["code"], "do_not_contact");
    assert_eq!(carrier.has_sent(ANN, 1).await.len(), 1, "and nothing left");
    // The account says which numbers it has, and a number belongs to one organization.
    let foreign = json!({ "number": "+14155557777", "provider": "twilio", "agent_id": agent });
    assert_eq!(owner.api.post("/api/voice/numbers", foreign).await.refused(409)["code"], "number_refused");
    let other = Member::sign_up(&server, "Another").await;
    let theirs = text(&other.agent(json!({ "vertical": "custom", "name": "B" })).await, "id");
    let keys = json!({ "account_sid": ACCOUNT, "auth_token": TOKEN });
    other.api.post("/api/integrations/twilio/connect", keys).await.expect(200);
    let same = json!({ "number": OURS, "provider": "twilio", "agent_id": theirs });
    assert_eq!(other.api.post("/api/voice/numbers", same.clone()).await.refused(409)["code"], "number_taken");
    owner.api.delete("/api/voice/release-number?number=%2B14155550100").await.expect(204);
    other.api.post("/api/voice/numbers", same).await.expect(201);
    // No file on disk holds a key in the clear.
    let found =
        std::process::Command::new("grep").args(["-rlF", TOKEN]).arg(server.data()).output().expect("grep runs");
    assert!(found.stdout.is_empty(), "{}", String::from_utf8_lossy(&found.stdout));
}

#[tokio::test]
async fn stop_silences_every_sender_until_start_and_a_replayed_stop_does_not_undo_it() {
    let carrier = Carrier::start().await;
    let server = carrier.server(&[]).await;
    let (owner, _) = founded(&server).await;
    text_from(&server, ANN, "Hello there").await.expect(200);
    carrier.has_sent(ANN, 1).await;
    let conversation = only_conversation(&owner, "sms").await;

    let stop = message(ANN, "Stop.");
    text_with(&server, "/api/messages/twilio", &stop, TOKEN).await.expect(200);
    let list = owner.api.list("/api/dnc?address=%2B12175550133").await;
    assert_eq!(
        (list.len(), list[0]["source"].as_str(), list[0]["address"].as_str()),
        (1, Some("keyword"), Some("***33"))
    );
    assert!(owner.api.list("/api/dnc?address=%2B12175550144").await.is_empty());
    // Neither the assistant nor a person reaches them, and what was said says why it did not leave.
    text_from(&server, ANN, "What do you charge?").await.expect(200);
    let said = json!({ "content": "Please come back", "channel": "sms" });
    owner.api.post(&format!("/api/conversations/{conversation}/messages"), said).await.expect(201);
    let failed = delivered(&owner, &conversation, "failed").await;
    assert!(text(&failed, "error").starts_with("do_not_contact"), "{failed}");
    assert_eq!(carrier.sent_to(ANN).len(), 1);
    let entry = text(&list[0], "id");
    let refused = owner.api.delete(&format!("/api/dnc/{entry}")).await.refused(409);
    assert_eq!(refused["code"], "stopped_by_person");

    text_from(&server, ANN, "START").await.expect(200);
    assert!(owner.api.list("/api/dnc?address=%2B12175550133").await.is_empty());
    text_with(&server, "/api/messages/twilio", &stop, TOKEN).await.expect(200);
    assert!(owner.api.list("/api/dnc").await.is_empty(), "a replay changes nothing");
    owner.api.post(&format!("/api/conversations/{conversation}/handback"), json!({})).await.expect(200);
    text_from(&server, ANN, "Do you come on Sundays?").await.expect(200);
    carrier.has_sent(ANN, 2).await;
}

#[tokio::test]
async fn an_unknown_outcome_is_looked_up_and_never_repeated() {
    let carrier = Carrier::start().await;
    let server = carrier.server(&[("COLLOQUY_MESSAGES__UNCONFIRMED_AFTER_S", "3")]).await;
    let (owner, _) = founded(&server).await;
    // The carrier has it, its answer is lost.
    carrier.mood(Mood::Forgetful);
    text_from(&server, ANN, "Hello there").await.expect(200);
    let conversation = only_conversation(&owner, "sms").await;
    delivered(&owner, &conversation, "sent").await;
    assert_eq!((carrier.asked(), carrier.sent_to(ANN).len()), (1, 1));
    // The carrier does not have it, and does not say so.
    carrier.mood(Mood::Vague);
    text_from(&server, ANN, "Are you there?").await.expect(200);
    let failed = delivered(&owner, &conversation, "failed").await;
    assert!(text(&failed, "error").starts_with("unconfirmed"), "{failed}");
    assert_eq!((carrier.asked(), carrier.sent_to(ANN).len()), (2, 1), "it is never sent again");
    // A carrier that says STOP for the person is heard.
    carrier.mood(Mood::OptedOut);
    text_from(&server, ANN, "Still there?").await.expect(200);
    eventually("the carrier's word is on the list", SOON, || async {
        owner.api.list("/api/dnc").await.iter().any(|entry| entry["source"] == "carrier").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_killed_between_deciding_and_hearing_of_it_sends_nothing_twice() {
    let carrier = Carrier::start().await;
    let mut server = carrier.server(&[]).await;
    let (owner, _) = founded(&server).await;
    carrier.mood(Mood::Holding);
    text_from(&server, ANN, "Hello there").await.expect(200);
    carrier.has_sent(ANN, 1).await;
    server.kill();
    carrier.mood(Mood::Kind);
    server.boot().await;
    let conversation = only_conversation(&owner, "sms").await;
    delivered(&owner, &conversation, "sent").await;
    assert_eq!((carrier.asked(), carrier.sent_to(ANN).len()), (1, 1), "found by looking, not by sending");
    // Killed while it may not send yet: what was decided leaves after the restart, once.
    carrier.mood(Mood::Busy);
    text_from(&server, ANN, "And tomorrow?").await.expect(200);
    eventually("the carrier asked for a pause", SOON, || async {
        deliveries(&owner, &conversation).await.last()?["retry_at"].as_str().map(str::to_owned)
    })
    .await;
    server.kill();
    carrier.mood(Mood::Kind);
    server.boot().await;
    delivered(&owner, &conversation, "sent").await;
    assert_eq!(carrier.sent_to(ANN).len(), 2);
}

#[tokio::test]
async fn a_code_from_the_widget_takes_the_conversation_along_to_the_telephone() {
    let carrier = Carrier::start().await;
    let server = carrier.server(&[]).await;
    let (owner, agent) = founded(&server).await;
    let mut visitor = Visitor::new(&server, &agent);
    visitor.say("Hello, I need a plumber").await;
    let path = format!("/api/chat/{}/continue", visitor.talk());
    let code = visitor.api().post(&path, json!({ "channel": "sms" })).await.expect(201);
    assert_eq!(code["number"], OURS);
    let stranger = Visitor::new(&server, &agent);
    stranger.api().post(&path, json!({ "channel": "sms" })).await.refused(401);

    text_from(&server, ANN, &text(&code, "text")).await.expect(200);
    carrier.has_sent(ANN, 1).await;
    text_from(&server, ANN, "Can you come tomorrow?").await.expect(200);
    carrier.has_sent(ANN, 2).await;
    let shown = owner.settled(visitor.talk(), SOON).await;
    assert_eq!(shown["conversation"]["channels"], json!(["chat", "sms"]), "one conversation, two channels");
    assert_eq!(shown["conversation"]["visitor_phone"], ANN);
    assert_eq!(owner.api.list("/api/conversations").await.len(), 1);
    let seen = visitor.history().await;
    assert!(seen["messages"].to_string().contains("Can you come tomorrow?"), "the widget shows it too");
    // Used up: somebody who reads it over a shoulder gets a conversation of their own.
    text_from(&server, BOB, &text(&code, "text")).await.expect(200);
    eventually("Bob's own conversation", SOON, || async {
        (owner.api.list("/api/conversations").await.len() == 2).then_some(())
    })
    .await;
    assert!(!visitor.history().await.to_string().contains(BOB));
}

#[tokio::test]
async fn nobody_gets_into_a_strangers_conversation() {
    let carrier = Carrier::start().await;
    let server = carrier.server(&[]).await;
    let (owner, agent) = founded(&server).await;
    // Ann writes from her telephone.
    text_from(&server, ANN, "My secret is rosebud").await.expect(200);
    carrier.has_sent(ANN, 1).await;
    let anns = only_conversation(&owner, "sms").await;

    // A stranger types Ann's number in the widget: it proves nothing.
    let mut stranger = Visitor::new(&server, &agent);
    stranger.say("My name is Mallory Moe and my number is 217-555-0133, I need a quote").await;
    assert_ne!(stranger.talk(), anns);
    // The business writes to that number from the stranger's conversation, and Ann answers: she stays in her own.
    let said = json!({ "content": "Here is your quote", "channel": "sms" });
    owner.api.post(&format!("/api/conversations/{}/messages", stranger.talk()), said).await.expect(201);
    carrier.has_sent(ANN, 2).await;
    text_from(&server, ANN, "I did not ask for one").await.expect(200);
    let shown = eventually("Ann's answer", SOON, || async {
        let shown = owner.conversation(&anns).await;
        shown["messages"].to_string().contains("I did not ask").then_some(shown)
    })
    .await;
    let seen = stranger.history().await.to_string();
    assert!(!seen.contains("rosebud") && !seen.contains("I did not ask"), "{seen}");
    let linked = eventually("both are linked for people to look at", SOON, || async {
        let shown = owner.conversation(&anns).await;
        shown["links"].as_array().is_some_and(|links| links.contains(&json!(stranger.talk()))).then_some(shown)
    })
    .await;
    assert_eq!(linked["merged_into"], Value::Null);
    assert_eq!(shown["conversation"]["channels"], json!(["sms"]));

    // A code that the stranger made, sent by Ann because she was asked to, links and joins nothing either.
    let path = format!("/api/chat/{}/continue", stranger.talk());
    let code = stranger.api().post(&path, json!({ "channel": "sms" })).await.expect(201);
    text_from(&server, ANN, &text(&code, "code")).await.expect(200);
    text_from(&server, ANN, "My other secret is xanadu").await.expect(200);
    eventually("Ann's words", SOON, || async {
        owner.conversation(&anns).await["messages"].to_string().contains("xanadu").then_some(())
    })
    .await;
    assert!(!stranger.history().await.to_string().contains("xanadu"));
    // And codes cannot be guessed into: a made-up one is only words.
    text_from(&server, BOB, "ABCD-2345").await.expect(200);
    eventually("Bob's own conversation", SOON, || async {
        (owner.api.list("/api/conversations?channel=sms").await.len() == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_answer_to_our_own_message_joins_the_conversation_that_sent_it() {
    let carrier = Carrier::start().await;
    let server = carrier.server(&[]).await;
    let (owner, agent) = founded(&server).await;
    let mut visitor = Visitor::new(&server, &agent);
    visitor.say("My name is Ann Lee and my number is 217-555-0133, I need a quote").await;
    let said = json!({ "content": "Ann, we can come at nine. Does that work?", "channel": "sms" });
    owner.api.post(&format!("/api/conversations/{}/messages", visitor.talk()), said).await.expect(201);
    carrier.has_sent(ANN, 1).await;
    text_from(&server, ANN, "Nine is fine").await.expect(200);
    let shown = eventually("the answer", SOON, || async {
        let shown = owner.conversation(visitor.talk()).await;
        shown["messages"].to_string().contains("Nine is fine").then_some(shown)
    })
    .await;
    assert_eq!(shown["conversation"]["channels"], json!(["chat", "sms"]));
    assert_eq!(owner.api.list("/api/conversations").await.len(), 1);
}

#[tokio::test]
async fn people_merge_two_conversations_by_hand() {
    let carrier = Carrier::start().await;
    let server = carrier.server(&[]).await;
    let (owner, agent) = founded(&server).await;
    let mut visitor = Visitor::new(&server, &agent);
    visitor.say("Hello, I need a plumber").await;
    text_from(&server, ANN, "It is me, from the website").await.expect(200);
    carrier.has_sent(ANN, 1).await;
    let anns = only_conversation(&owner, "sms").await;
    let path = format!("/api/conversations/{anns}/merge");
    owner.api.post(&path, json!({ "into": random_id() })).await.names("into");
    owner.api.post(&path, json!({ "into": anns })).await.names("into");
    let viewer = owner.invite(&server, "viewer", "Vera").await;
    viewer.api.post(&path, json!({ "into": visitor.talk() })).await.refused(403);
    owner.api.post(&path, json!({ "into": visitor.talk() })).await.expect(200);
    let gone = owner.conversation(&anns).await;
    assert_eq!((&gone["merged_into"], &gone["conversation"]["closed"]), (&json!(visitor.talk()), &json!(true)));
    eventually("the number went along", SOON, || async {
        let shown = owner.conversation(visitor.talk()).await;
        (shown["conversation"]["visitor_phone"] == ANN).then_some(())
    })
    .await;
    text_from(&server, ANN, "Are you still there?").await.expect(200);
    eventually("the next message comes there", SOON, || async {
        owner.conversation(visitor.talk()).await["messages"].to_string().contains("still there").then_some(())
    })
    .await;
}

#[tokio::test]
async fn whatsapp_is_answered_within_its_rules() {
    let carrier = Carrier::start().await;
    let server = carrier.server(&[]).await;
    let owner = Member::sign_up(&server, "Oak Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services", "name": "Oak" })).await, "id");
    let connected = connect_whatsapp(&owner, &agent, false).await;

    let token = text(&connected, "verify_token");
    let own = format!("/api/messages/whatsapp/whatsapp-{}", owner.organization);
    for path in ["/api/messages/whatsapp", own.as_str()] {
        let asked = |token: &str| format!("{path}?hub.mode=subscribe&hub.verify_token={token}&hub.challenge=12345");
        let answer = server.api().get(&asked(&token)).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "12345"));
        server.api().get(&asked("nonsense")).await.refused(403);
    }

    let now_s = jiff_now_s();
    let words = |id: &str, at_s: i64, text: &str| json!({ "messages": [{ "id": id, "from": &ANN[1..], "timestamp": at_s.to_string(), "type": "text", "text": { "body": text } }] });
    whatsapp_posts(&server, words("wamid.1", now_s, "hello"), "another secret").await.refused(401);
    // Signed, and eight days old.
    whatsapp_posts(&server, words("wamid.0", now_s - 8 * 86_400, "old"), APP_SECRET).await.expect(200);
    assert!(owner.api.list("/api/conversations").await.is_empty());
    for _ in 0..2 {
        whatsapp_posts(&server, words("wamid.1", now_s, "Hello, are you there?"), APP_SECRET).await.expect(200);
    }
    let sent = carrier.has_sent(ANN, 1).await.remove(0);
    assert_eq!(sent.from, OURS_WHATSAPP.1);
    let conversation = only_conversation(&owner, "whatsapp").await;
    owner.settled(&conversation, SOON).await;
    for (status, stands) in [("read", "read"), ("delivered", "read"), ("sent", "read")] {
        let told =
            json!({ "statuses": [{ "id": sent.id, "status": status, "biz_opaque_callback_data": sent.reference }] });
        whatsapp_posts(&server, told, APP_SECRET).await.expect(200);
        assert_eq!(deliveries(&owner, &conversation).await[0]["status"], stands, "after {status}");
    }
    assert_eq!(carrier.asked(), 1, "the replay is answered once");

    // STOP is confirmed once, because no carrier does it here.
    whatsapp_posts(&server, words("wamid.2", now_s, "STOP"), APP_SECRET).await.expect(200);
    assert!(carrier.has_sent(ANN, 2).await[1].text.contains("START"));
    whatsapp_posts(&server, words("wamid.3", now_s, "hello?"), APP_SECRET).await.expect(200);
    whatsapp_posts(&server, words("wamid.4", now_s, "START"), APP_SECRET).await.expect(200);
    carrier.has_sent(ANN, 3).await;

    // Nobody is written to first without a template.
    let mut visitor = Visitor::new(&server, &agent);
    visitor.say("My name is Bob Lee and my number is 217-555-0144, I need a quote").await;
    let said = json!({ "content": "Hello Bob", "channel": "whatsapp" });
    let path = format!("/api/conversations/{}/messages", visitor.talk());
    let refused = owner.api.post(&path, said.clone()).await.refused(409);
    assert_eq!(refused["code"], "whatsapp_window_closed");
    let numbers = owner.api.list("/api/voice/numbers").await;
    let template = json!({ "whatsapp_template": { "name": "we_are_here", "language": "en_US" } });
    owner.api.patch(&format!("/api/voice/numbers/{}", text(&numbers[0], "id")), template).await.expect(200);
    owner.api.post(&path, said).await.expect(201);
    let sent = carrier.has_sent(BOB, 1).await.remove(0);
    assert_eq!((sent.template, sent.text.as_str()), (true, "Hello Bob"));
}

#[tokio::test]
async fn a_lead_is_followed_up_by_text_message_and_mail_unless_it_must_not_be() {
    let carrier = Carrier::start().await;
    let server = carrier.server(&[]).await;
    let (owner, agent) = founded(&server).await;
    let mut visitor = Visitor::new(&server, &agent);
    visitor.say("My name is Ann Lee, my number is 217-555-0133 and my mail is ann@lee.example, I need a quote").await;
    let lead = eventually("the lead", SOON, || async { owner.api.list("/api/leads").await.first().cloned() }).await;
    let path = format!("/api/leads/{}/follow-up", text(&lead, "id"));
    owner.api.post(&path, json!({ "channel": "pigeon", "content": "x" })).await.names("channel");
    owner.api.post(&path, json!({ "channel": "sms", "content": "Shall we come at nine?" })).await.expect(202);
    assert_eq!(carrier.has_sent(ANN, 1).await[0].text, "Shall we come at nine?");
    let mail = json!({ "channel": "email", "subject": "Your quote", "content": "It is 200 dollars." });
    owner.api.post(&path, mail.clone()).await.expect(202);
    eventually("the letter", SOON, || async {
        let mails = support::people::mailbox(&server, "ann@lee.example").await;
        mails.iter().any(|mail| mail["subject"] == "Your quote").then_some(())
    })
    .await;
    let shown = eventually("followed up", SOON, || async {
        let lead = owner.api.get(&format!("/api/leads/{}", text(&lead, "id"))).await.expect(200);
        (lead["followed_up"] == true && lead["follow_ups"][0]["status"] == "sent").then_some(lead)
    })
    .await;
    assert_eq!(shown["status"], "contacted", "{shown}");

    for (channel, address, sends) in
        [("email", "ANN@lee.example", mail), ("phone", "(217) 555-0133", json!({ "channel": "sms", "content": "?" }))]
    {
        let entry = json!({ "channel": channel, "address": address, "reason": "asked by telephone" });
        let entry = owner.api.post("/api/dnc", entry).await.expect(201);
        assert_eq!(owner.api.post(&path, sends.clone()).await.refused(409)["code"], "do_not_contact");
        owner.api.delete(&format!("/api/dnc/{}", text(&entry, "id"))).await.expect(204);
    }
    // The ledger keeps what was agreed to; the newest record counts.
    let consent =
        json!({ "kind": "messages", "address": ANN, "text": "Write to me.", "source": "https://oak.example/form" });
    owner.api.post("/api/consents", consent).await.expect(201);
    let withdrawn = json!({ "kind": "messages", "address": ANN, "granted": false, "source": "call" });
    owner.api.post("/api/consents", withdrawn).await.expect(201);
    owner.api.post("/api/consents", json!({ "kind": "messages", "address": ANN, "source": "x" })).await.names("text");
    assert_eq!(owner.api.list("/api/consents?address=%2B12175550133").await.len(), 2);
    owner.api.post(&path, json!({ "channel": "sms", "content": "One more" })).await.expect(202);
    let failed = delivered(&owner, visitor.talk(), "failed").await;
    assert!(text(&failed, "error").starts_with("consent_withdrawn"), "{failed}");
    assert_eq!(carrier.sent_to(ANN).len(), 1);
}

#[tokio::test]
async fn who_writes_on_the_website_not_to_be_contacted_is_left_alone_and_only_they_take_it_back() {
    let carrier = Carrier::start().await;
    let server = carrier.server(&[]).await;
    let (owner, agent) = founded(&server).await;
    let mut visitor = Visitor::new(&server, &agent);
    visitor.say("My name is Ann Lee and my number is 217-555-0133, I need a quote").await;
    let said = visitor.say("Bitte kontaktieren Sie mich nicht mehr").await;
    assert!(text(&said, "response").contains("Sperrliste"), "confirmed in their language: {said}");
    let listed = async || owner.api.list("/api/dnc?address=%2B12175550133").await;
    let entry = eventually("the entry", SOON, || async { listed().await.pop() }).await;
    assert_eq!((&entry["source"], &entry["channel"]), (&json!("person"), &json!("phone")));
    assert_eq!(owner.conversation(visitor.talk()).await["conversation"]["no_contact"], true, "people see it");
    let path = format!("/api/conversations/{}/messages", visitor.talk());
    owner.api.post(&path, json!({ "content": "Please come back", "channel": "sms" })).await.expect(201);
    let failed = delivered(&owner, visitor.talk(), "failed").await;
    assert!(text(&failed, "error").starts_with("do_not_contact"), "{failed}");
    // Nobody of the business takes it back, and nobody who types the number elsewhere.
    let removed = owner.api.delete(&format!("/api/dnc/{}", text(&entry, "id"))).await;
    assert_eq!(removed.refused(409)["code"], "stopped_by_person");
    let mut mallory = Visitor::new(&server, &agent);
    mallory.say("My number is 217-555-0133, don't contact me").await;
    mallory.say("START").await;
    assert_eq!(listed().await.len(), 1);
    // A number told afterwards is meant too.
    owner.api.post(&format!("/api/conversations/{}/handback", visitor.talk()), json!({})).await.expect(200);
    visitor.say("my other number is 217-555-0144").await;
    eventually("the other number", SOON, || async { owner.api.list("/api/dnc?address=%2B12175550144").await.pop() })
        .await;
    let again = visitor.say("START").await;
    assert!(text(&again, "response").contains("contact you again"), "{again}");
    eventually("off the list", SOON, || async { listed().await.is_empty().then_some(()) }).await;
    assert!(carrier.sent_to(ANN).is_empty());
}

/// The wall clock, Unix seconds.
fn jiff_now_s() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("a time")
}
