//! Leads from dialogue and from forms: complete, scored with reasons, changed by version, exported.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::Place;
use crate::support::eventually;
use crate::support::people::{SOON, number, text};

#[tokio::test]
async fn a_lead_is_taken_in_dialogue_one_question_at_a_time() {
    let place = Place::open().await;
    let mut visitor = place.visitor();
    let mut answer = visitor.say("I would like to schedule a service call").await;
    // What is asked, by a word of the question, and what this visitor answers.
    let knows = [
        ("full name", "Maria Lopez"),
        ("number", "217-555-0166"),
        ("email", "maria.lopez@example.com"),
        ("address", "12 Elm Street, Springfield, IL 62704"),
        ("kind of work", "Plumbing"),
        ("what day", "next Tuesday"),
        ("about the problem", "The kitchen faucet drips all night"),
        ("how soon", "This week"),
    ];
    let mut asked = BTreeSet::new();
    for _ in 0..10 {
        let said = text(&answer, "response").to_lowercase();
        let question = said.rsplit("\n\n").find(|part| part.contains('?')).unwrap_or_default();
        let Some((about, reply)) = knows.iter().find(|(about, _)| question.contains(about)) else {
            break;
        };
        assert!(asked.insert(*about), "asked twice about {about}: {answer}");
        answer = visitor.say(reply).await;
    }
    assert!(asked.len() >= 4, "name, phone, address and kind of work are asked for: {asked:?}, then {answer}");
    assert!(text(&answer, "response").contains("Maria"), "a confirmation by name: {answer}");

    let lead = eventually("the lead with all it was told", SOON, || async {
        let leads = place.owner.api.list("/api/leads").await;
        assert!(leads.len() <= 1, "one conversation is one lead: {leads:?}");
        leads.into_iter().find(|lead| reasons(lead).contains("form_completed"))
    })
    .await;
    for told in ["Maria Lopez", "+12175550166", "12 Elm Street", "Plumbing"] {
        assert!(lead.to_string().contains(told), "{told} is not in {lead}");
    }
    assert_eq!(lead["intent"], "book_appointment", "{lead}");
    adds_up(&lead);
    assert!(reasons(&lead).contains("gave_phone"), "{lead}");
    let shown = place.owner.conversation(visitor.talk()).await;
    assert_eq!(shown["conversation"]["is_lead"], true, "{}", shown["conversation"]);
}

#[tokio::test]
async fn a_lead_form_names_what_is_missing_and_is_scored_filtered_changed_and_exported() {
    let place = Place::open().await;
    let mut visitor = place.visitor();
    visitor.say("Who makes your tankless heaters?").await;
    let form = |fields: Value| json!({ "agent_id": place.agent, "conversation_id": visitor.talk(), "fields": fields });

    let half = visitor.api().post("/api/leads/capture", form(json!({ "name": "Jo March" }))).await;
    for field in ["phone", "address", "service_type", "urgency"] {
        half.names(field);
    }
    visitor.api().post("/api/leads/capture", form(json!({ "name": "Jo March", "phone": "12", "address": "9 Oak Lane", "service_type": "Plumbing", "urgency": "Flexible" }))).await.names("phone");
    let full = json!({ "name": "Jo March", "phone": "(217) 555-0177", "email": "jo@example.com", "address": "9 Oak Lane, Chatham, IL 62629", "service_type": "Plumbing", "urgency": "This week" });
    let lead = visitor.api().post("/api/leads/capture", form(full.clone())).await.expect(201);
    let id = text(&lead, "id");

    let listed = eventually("the lead in the list", SOON, || async {
        place.owner.api.list("/api/leads").await.into_iter().find(|lead| lead["id"] == json!(id))
    })
    .await;
    adds_up(&listed);
    let score = number(&listed, "score");
    assert!(score > 0, "{listed}");
    assert_eq!(place.owner.api.list(&format!("/api/leads?min_score={score}")).await.len(), 1);
    assert_eq!(place.owner.api.list(&format!("/api/leads?min_score={}", score + 1)).await.len(), 0);
    assert_eq!(place.owner.api.list(&format!("/api/leads?agent_id={}&status=new", place.agent)).await.len(), 1);

    let one = place.owner.api.get(&format!("/api/leads/{id}")).await;
    let lead = one.expect(200);
    adds_up(&lead);
    assert_eq!(lead["conversation_id"], json!(visitor.talk()), "{lead}");
    let tag = one.header("etag").expect("one lead has an ETag").to_owned();
    let path = format!("/api/leads/{id}");
    place
        .owner
        .api
        .header("if-match", &tag)
        .patch(&path, json!({ "status": "contacted", "notes": "called back" }))
        .await
        .expect(200);
    let stale = place.owner.api.header("if-match", &tag).patch(&path, json!({ "status": "lost" })).await.refused(412);
    assert_eq!(stale["current"]["status"], "contacted", "{stale}");
    place.owner.api.patch(&path, json!({ "status": "nonsense" })).await.names("status");
    eventually("the changed row", SOON, || async {
        (place.owner.api.list("/api/leads?status=contacted").await.len() == 1).then_some(())
    })
    .await;

    let csv = place.owner.api.get("/api/leads/export.csv").await;
    csv.ok();
    assert!(csv.header("content-type").is_some_and(|kind| kind.starts_with("text/csv")));
    assert!(csv.text.contains("Jo March") && csv.text.contains("jo@example.com"), "{}", csv.text);
    // The same form again is the same lead.
    visitor.api().post("/api/leads/capture", form(full)).await.ok();
    assert_eq!(place.owner.api.list("/api/leads").await.len(), 1);
}

/// A score is the sum of its reasons.
#[track_caller]
fn adds_up(lead: &Value) {
    let reasons = lead["score_reasons"].as_array().unwrap_or_else(|| panic!("no reasons in {lead}"));
    let sum: i64 = reasons.iter().map(|reason| reason["points"].as_i64().unwrap_or_else(|| panic!("{reason}"))).sum();
    assert_eq!(lead["score"].as_i64(), Some(sum), "{lead}");
    assert!((0..=100).contains(&sum) && !reasons.is_empty(), "{lead}");
}

fn reasons(lead: &Value) -> BTreeSet<String> {
    lead["score_reasons"].as_array().into_iter().flatten().map(|reason| text(reason, "signal")).collect()
}

#[tokio::test]
async fn a_form_filled_in_at_once_is_confirmed_as_one_filled_in_by_talking_is() {
    let place = Place::open().await;
    let mut visitor = place.visitor();
    visitor.say("Hello").await;
    let fields = json!({
        "form": "service_request", "name": "Jo March", "phone": "(217) 555-0177", "email": "jo@example.com",
        "address": "9 Oak Lane, Chatham, IL 62629", "service_type": "Plumbing",
    });
    let form = json!({ "agent_id": place.agent, "conversation_id": visitor.talk(), "fields": fields });
    let keyed = visitor.api().header("idempotency-key", "one-form");
    for _ in 0..2 {
        keyed.post("/api/leads/capture", form.clone()).await.expect(201);
    }
    let history = visitor.history().await["messages"].to_string();
    assert_eq!(history.matches("passed your Plumbing request for 9 Oak Lane").count(), 1, "{history}");
}
