//! Conversations, and the people on lists of campaigns, that are kept for a number of days, over the real binary whose clock is set ahead: at night what is
//! older is erased, and nothing else. And who only watches sees none of these people.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::carrier::{Carrier, OURS, connect_twilio};
use support::people::{Member, PASSWORD, SOON, Visitor, text};
use support::{Server, eventually};

/// Erasing begins when the server finds at its start that the hour has passed.
const ERASED_WITHIN: Duration = Duration::from_secs(60);
/// For how many days the organization keeps conversations.
const KEPT_DAYS: u32 = 30;

/// Ends the server and starts it again on the same data, so many days later.
async fn days_later(server: &mut Server, days: u32) {
    server.later(&format!("+{days}d")).await;
}

/// The same person, whose session has ended meanwhile.
async fn back(server: &Server, owner: &Member) -> Member {
    let login = json!({ "email": owner.email, "password": PASSWORD });
    let session = server.api().post("/api/auth/login", login).await.expect(200);
    Member { api: server.api().bearer(&text(&session, "access_token")), ..owner.clone() }
}

async fn talks(owner: &Member) -> Vec<String> {
    owner.api.list("/api/conversations").await.iter().map(|row| text(row, "id")).collect()
}

#[tokio::test]
async fn what_is_older_than_it_is_to_be_kept_is_erased_at_night_and_nothing_else() {
    let mut server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
    let mut old = Visitor::new(&server, &agent);
    old.say("Do you repair marmalade fountains?").await;
    let lead = json!({ "agent_id": agent, "conversation_id": old.talk(),
        "fields": { "name": "Lea Lead", "phone": "(217) 555-0177", "email": "lea@example.com",
            "address": "9 Oak Lane, Chatham, IL 62629", "service_type": "Plumbing", "urgency": "This week" } });
    let lead = text(&old.api().post("/api/leads/capture", lead).await.expect(201), "id");
    let mut returning = Visitor::new(&server, &agent);
    returning.say("Are you open on Saturday?").await;
    let keep = json!({ "settings": { "retention": { "conversations_days": KEPT_DAYS } } });
    owner.api.patch("/api/organization", keep).await.expect(200);

    // After half an hour of silence conversations end: that is the last that happens to them.
    days_later(&mut server, 1).await;
    let owner = back(&server, &owner).await;
    eventually("both have ended", SOON, || async {
        let rows = owner.api.list("/api/conversations").await;
        (rows.len() == 2 && rows.iter().all(|row| row["status"] != "active")).then_some(())
    })
    .await;

    // Twenty nights have passed: nothing is old enough. Somebody new comes.
    days_later(&mut server, 20).await;
    let owner = back(&server, &owner).await;
    let mut recent = Visitor::new(&server, &agent);
    recent.say("Where can I park?").await;
    eventually("all three", SOON, || async { (talks(&owner).await.len() == 3).then_some(()) }).await;
    let found = owner.api.list("/api/conversations?q=marmalade").await;
    assert_eq!(found.len(), 1, "it can be found: {found:?}");

    // Forty nights: the first two are gone, with every word of them.
    days_later(&mut server, 40).await;
    let owner = back(&server, &owner).await;
    eventually("what is old is erased", ERASED_WITHIN, || async {
        (talks(&owner).await == [recent.talk().to_owned()]).then_some(())
    })
    .await;
    // The log says what was done and by whom, when it is done.
    let noted = eventually("the log", SOON, || async {
        let entries: Vec<Value> = owner.api.list("/api/audit?action=conversation.expired").await;
        entries.into_iter().next()
    })
    .await;
    assert_eq!((&noted["actor"]["kind"], &noted["detail"]), (&json!("system"), &json!("2")), "{noted}");
    for gone in [old.talk(), returning.talk()] {
        owner.api.get(&format!("/api/conversations/{gone}")).await.refused(404);
        owner.api.get(&format!("/api/conversations/{gone}/journal")).await.refused(404);
    }
    assert!(owner.api.list("/api/conversations?q=marmalade").await.is_empty(), "its words are gone too");
    let kept = owner.conversation(recent.talk()).await;
    assert_eq!(kept["messages"][0]["content"], "Where can I park?", "{kept}");

    // Leads stay, and so do the numbers.
    let shown = owner.api.get(&format!("/api/leads/{lead}")).await.expect(200);
    assert_eq!(shown["name"], "Lea Lead");
    let counted = owner.api.get(&format!("/api/agents/{agent}")).await.expect(200);
    assert_eq!(counted["total_conversations"], 3, "{counted}");
    // A wish that is taken back erases nothing more.
    let ever = json!({ "settings": { "retention": { "conversations_days": null } } });
    owner.api.patch("/api/organization", ever).await.expect(200);
    days_later(&mut server, 400).await;
    let owner = back(&server, &owner).await;
    owner.conversation(recent.talk()).await;
}

#[tokio::test]
async fn people_on_the_list_of_a_campaign_that_ended_are_erased_and_who_only_watches_never_saw_them() {
    let carrier = Carrier::start().await;
    let mut server = carrier.server(&[]).await;
    let owner = Member::sign_up(&server, "Oak").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
    connect_twilio(&owner, &agent).await;
    let watcher = owner.invite(&server, "viewer", "Vera").await;
    let campaign = async |name: &str| {
        let body = json!({ "name": name, "agent_id": agent, "from_numbers": [OURS], "consent": "none" });
        let id = text(&owner.api.post("/api/calling/campaigns", body).await.expect(201), "id");
        let list = format!("phone,name,company\n+12175550133,Ann Lee,{name}\n+12175550144,Bob Moe,{name}\n");
        let path = format!("/api/calling/campaigns/{id}/targets");
        owner.api.try_raw("POST", &path, "text/csv", Some(list.into_bytes())).await.expect("an answer").expect(200);
        path
    };
    let (over, draft) = (campaign("Acme over").await, campaign("Acme draft").await);
    let shown = owner.api.get(&over).await.expect(200);
    assert_eq!((&shown["items"][0]["phone"], &shown["items"][0]["name"]), (&json!("+12175550133"), &json!("Ann Lee")));
    let seen = watcher.api.get(&over).await.expect(200);
    assert_eq!((&seen["items"][0]["phone"], &seen["items"][0]["name"]), (&json!("***33"), &Value::Null), "{seen}");
    assert!(!seen.to_string().contains("Acme") && !seen.to_string().contains("Ann"), "{seen}");
    owner.api.post(&over.replace("/targets", "/stop"), json!({})).await.expect(200);
    let keep = json!({ "settings": { "retention": { "campaign_targets_days": 7 } } });
    owner.api.patch("/api/organization", keep).await.expect(200);
    owner
        .api
        .patch("/api/organization", json!({ "settings": { "retention": { "campaign_targets_days": 0 } } }))
        .await
        .refused(422);

    // Young enough: everything is there.
    days_later(&mut server, 5).await;
    let back_then = back(&server, &owner).await;
    assert_eq!(back_then.api.get(&over).await.expect(200)["items"][0]["name"], "Ann Lee");
    days_later(&mut server, 9).await;
    let owner = back(&server, &owner).await;
    let gone = eventually("the list is empty of people", ERASED_WITHIN, || async {
        let shown = owner.api.get(&over).await.expect(200);
        shown["items"][0]["name"].is_null().then_some(shown)
    })
    .await;
    let items = gone["items"].as_array().expect("targets");
    assert!(items.len() == 2 && items.iter().all(|one| one["phone"].is_null() && one["fields"].is_null()), "{gone}");
    assert_eq!(
        owner.api.get(&draft).await.expect(200)["items"][1]["name"],
        "Bob Moe",
        "one that has not ended keeps its list"
    );
    let noted = eventually("the log", SOON, || async {
        let entries: Vec<Value> = owner.api.list("/api/audit?action=campaign.targets_expired").await;
        entries.into_iter().next()
    })
    .await;
    assert_eq!(noted["detail"], "2", "{noted}");
}
