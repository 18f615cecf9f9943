//! Alerts to the organization's own people by text message, through the real binary and a simulated carrier: from their own number, once whatever dies, not to
//! who said STOP, and never called sent where nothing that sends is connected.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::carrier::{Carrier, Mood, OURS, connect_twilio, text_from};
use support::people::{Member, SOON, Visitor, mailbox, text};
use support::{Server, eventually};

/// Said by somebody in danger, as the trade's rules have it.
const DANGER: &str = "Help, a pipe burst and my basement is flooding!";
/// Who is on call.
const DESK: &str = "+12175550177";
/// Who is on call elsewhere.
const OTHER_DESK: &str = "+12175550188";
/// An attempt that failed is followed by another after half a minute.
const TRIED_AGAIN_WITHIN: Duration = Duration::from_secs(60);

async fn organization(server: &Server, name: &str, desk: &str) -> (Member, String) {
    let owner = Member::sign_up(server, name).await;
    let agent = json!({ "vertical": "home_services", "name": name, "escalation_phone": desk });
    let agent = text(&owner.agent(agent).await, "id");
    (owner, agent)
}

/// Somebody new in danger.
async fn danger(server: &Server, agent: &str) -> Visitor {
    let mut visitor = Visitor::new(server, agent);
    visitor.say(DANGER).await;
    visitor
}

/// The alert by text message of a conversation, once it stands so.
async fn alert(owner: &Member, visitor: &Visitor, status: &str, within: Duration) -> Value {
    eventually(&format!("the alert is {status}"), within, || async {
        let shown = owner.conversation(visitor.talk()).await;
        let alerts = shown["alerts"].as_array().cloned().unwrap_or_default();
        alerts.into_iter().find(|alert| alert["channel"] == "sms" && alert["status"] == status)
    })
    .await
}

/// The events of a kind in a conversation's journal.
async fn events(owner: &Member, visitor: &Visitor, kind: &str) -> usize {
    owner.journal(visitor.talk()).await.iter().filter(|event| event["event"]["type"] == kind).count()
}

#[tokio::test]
async fn an_alert_leaves_from_the_organizations_own_number_and_is_only_recorded_where_there_is_none() {
    let carrier = Carrier::start().await;
    let server = carrier.server(&[]).await;
    let (owner, agent) = organization(&server, "Oak", DESK).await;
    let (other, others_agent) = organization(&server, "Elm", OTHER_DESK).await;
    connect_twilio(&owner, &agent).await;

    let visitor = danger(&server, &agent).await;
    let sent = carrier.has_sent(DESK, 1).await.remove(0);
    assert_eq!(sent.from, OURS);
    let link = server.url(&format!("/app/conversations/{}", visitor.talk()));
    assert!(sent.text.contains("flooding") && sent.text.ends_with(&link), "{sent:?}");
    let shown = alert(&owner, &visitor, "sent", SOON).await;
    assert_eq!((&shown["provider"], &shown["simulated"]), (&json!("twilio"), &json!(false)), "{shown}");
    assert!(!shown.to_string().contains("555"), "nobody's number is shown: {shown}");
    assert!(mailbox(&server, DESK).await.is_empty(), "it is not recorded as well");

    // Nobody's account but their own is used.
    let visitor = danger(&server, &others_agent).await;
    let shown = alert(&other, &visitor, "recorded", SOON).await;
    assert!(shown["provider"].is_null(), "{shown}");
    let recorded = mailbox(&server, OTHER_DESK).await;
    assert!(recorded.len() == 1 && recorded[0]["kind"] == "recorded_sms", "{recorded:?}");
    assert_eq!(
        (events(&other, &visitor, "alert_recorded").await, events(&other, &visitor, "alert_sent").await),
        (1, 0)
    );

    // Without its account a number sends nothing, and nothing pretends to.
    owner.api.delete("/api/integrations/twilio/disconnect").await.expect(204);
    let visitor = danger(&server, &agent).await;
    alert(&owner, &visitor, "recorded", SOON).await;
    assert_eq!(mailbox(&server, DESK).await.len(), 1);
    assert_eq!((carrier.asked(), carrier.sent_to(DESK).len(), carrier.sent_to(OTHER_DESK).len()), (1, 1, 0));
}

#[tokio::test]
async fn an_alert_that_may_have_left_is_looked_up_and_one_that_never_left_leaves_later() {
    let carrier = Carrier::start().await;
    let mut server = carrier.server(&[("COLLOQUY_MESSAGES__UNCONFIRMED_AFTER_S", "3")]).await;
    let (owner, agent) = organization(&server, "Oak", DESK).await;
    connect_twilio(&owner, &agent).await;
    // The node dies while the carrier, which has it, has not answered.
    carrier.mood(Mood::Holding);
    let visitor = danger(&server, &agent).await;
    carrier.has_sent(DESK, 1).await;
    server.kill();
    carrier.mood(Mood::Kind);
    server.boot().await;
    let owner = owner.at(&server);
    alert(&owner, &visitor, "sent", SOON).await;
    assert_eq!((carrier.asked(), carrier.sent_to(DESK).len()), (1, 1), "found by looking, not by sending");
    // The answer of a carrier that has it is lost.
    carrier.mood(Mood::Forgetful);
    let visitor = danger(&server, &agent).await;
    alert(&owner, &visitor, "sent", SOON).await;
    assert_eq!((carrier.asked(), carrier.sent_to(DESK).len()), (2, 2));
    // A carrier that surely does not have it is asked once more.
    carrier.mood(Mood::Vague);
    let visitor = danger(&server, &agent).await;
    let waits = alert(&owner, &visitor, "waiting", SOON).await;
    assert!(text(&waits, "error").contains("never left") && waits["retry_at"].is_string(), "{waits}");
    carrier.mood(Mood::Kind);
    alert(&owner, &visitor, "sent", TRIED_AGAIN_WITHIN).await;
    assert_eq!((carrier.asked(), carrier.sent_to(DESK).len()), (4, 3));
}

#[tokio::test]
async fn who_is_on_call_is_told_until_they_say_stop_whatever_others_wrote_down() {
    let carrier = Carrier::start().await;
    let server = carrier.server(&[]).await;
    let (owner, agent) = organization(&server, "Oak", DESK).await;
    connect_twilio(&owner, &agent).await;
    // An entry that a colleague made keeps campaigns away, not the organization's own alerts.
    let entry = json!({ "channel": "phone", "address": DESK, "reason": "never to be sold to" });
    owner.api.post("/api/dnc", entry).await.expect(201);
    danger(&server, &agent).await;
    carrier.has_sent(DESK, 1).await;
    // What the carrier writes of a refusal quotes the number: it is neither shown nor logged.
    carrier.mood(Mood::Refusing);
    let visitor = danger(&server, &agent).await;
    let refused = text(&alert(&owner, &visitor, "failed", SOON).await, "error");
    assert!(refused.contains("error 21408") && !refused.contains("555"), "{refused}");
    assert!(server.log().contains("error 21408") && !server.log().contains(&DESK[1..]), "{}", server.log());
    carrier.mood(Mood::Kind);
    text_from(&server, DESK, "STOP").await.expect(200);
    let visitor = danger(&server, &agent).await;
    let refused = alert(&owner, &visitor, "failed", SOON).await;
    assert!(text(&refused, "error").starts_with("do_not_contact"), "{refused}");
    assert_eq!(carrier.asked(), 2, "nothing was asked of the carrier");
    text_from(&server, DESK, "START").await.expect(200);
    danger(&server, &agent).await;
    carrier.has_sent(DESK, 2).await;
    // The carrier knows of a STOP that we have not heard.
    carrier.mood(Mood::OptedOut);
    let visitor = danger(&server, &agent).await;
    let refused = alert(&owner, &visitor, "failed", SOON).await;
    assert!(text(&refused, "error").starts_with("do_not_contact"), "{refused}");
    carrier.mood(Mood::Kind);
    let visitor = danger(&server, &agent).await;
    alert(&owner, &visitor, "failed", SOON).await;
    assert_eq!(carrier.asked(), 4, "the carrier's word is kept");
}
