//! What a visitor is told: answers with their sources, the fallback, and what happens in an emergency.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::eventually;
use crate::support::people::{LEARNED_WITHIN, SOON, mailbox, number, text};
use crate::{ALERT_PHONE, Place};

#[tokio::test]
async fn a_crawl_reports_every_page_and_keeps_out_of_what_robots_txt_forbids() {
    let place = Place::open().await;
    let status = place.owner.learned(&place.agent, LEARNED_WITHIN).await;
    let pages = status["pages"].as_array().expect("a list of pages");
    let read: BTreeSet<String> =
        pages.iter().filter(|page| page["status"] == "done").map(|page| text(page, "url")).collect();
    for page in [
        "",
        "services.html",
        "drain-cleaning.html",
        "water-heaters.html",
        "emergency.html",
        "prices.html",
        "service-area.html",
        "about.html",
    ] {
        let (plain, index) = (place.site.url(&format!("/{page}")), place.site.url("/index.html"));
        assert!(read.contains(&plain) || page.is_empty() && read.contains(&index), "{plain} was not read: {status}");
    }
    assert_eq!(
        number(&status, "pages_done"),
        8,
        "the start page counts once, under whichever of its two names: {status}"
    );
    assert!(
        number(&status, "chunks") >= 8 && status["started_at"].is_string() && status["finished_at"].is_string(),
        "{status}"
    );
    assert!(
        !place.site.asked().iter().any(|path| path.starts_with("/office/")),
        "the crawler fetched what robots.txt forbids"
    );
    assert!(place.site.asked().iter().any(|path| path == "/robots.txt"));
    let answer = place.visitor().say("What is the garage door code for the spare van?").await;
    assert!(!text(&answer, "response").contains("7719"));
}

#[tokio::test]
async fn questions_are_answered_from_the_right_page_in_json_and_as_a_stream() {
    let place = Place::open().await;
    let cases = [
        ("How much does it cost to unclog a kitchen sink drain?", "129", "prices.html"),
        ("What does a sump pump replacement cost?", "640", "prices.html"),
        ("Who founded Oak Street Plumbing?", "Walter Oakes", "about.html"),
        ("Do you guarantee repairs?", "two years", "about.html"),
        ("What does a tankless heater need?", "gas line", "water-heaters.html"),
        ("At which pressure does hydro jetting scour the pipe?", "3,500", "drain-cleaning.html"),
        ("How many working days does a typical bathroom take?", "nine", "services.html"),
        ("Is there a travel fee in Logan county?", "35", "service-area.html"),
    ];
    let mut missed = Vec::new();
    for (question, fact, page) in cases {
        let answer = place.visitor().say(question).await;
        well_formed(&answer);
        let sources = answer["sources"].as_array().expect("sources");
        let right = sources.iter().any(|source| text(source, "url").ends_with(page));
        if !right || !text(&answer, "response").contains(fact) {
            missed
                .push(format!("{question} wants {fact} from {page}: {} {}", answer["confidence"], answer["response"]));
        }
        for source in sources {
            assert!(
                !text(source, "title").is_empty()
                    && !text(source, "chunk_id").is_empty()
                    && !text(source, "snippet").is_empty(),
                "{source}"
            );
            assert!((0.0..=1.0).contains(&source["score"].as_f64().expect("a score")), "{source}");
        }
        assert_eq!(answer["status"], "active", "{question}: a price question never escalates over an answer: {answer}");
    }
    assert!(missed.is_empty(), "{} of {} questions:\n{}", missed.len(), cases.len(), missed.join("\n"));
    let (question, fact, page) = cases[0];
    let visitor = place.visitor();
    let body = visitor.body(question, "m-1");
    let events = visitor.api().stream("/api/chat", &body).await;
    let last = events.last().expect("at least one event");
    assert_eq!(last.name, "message", "{events:?}");
    well_formed(&last.data);
    let streamed: String =
        events.iter().filter(|event| event.name == "token").map(|event| text(&event.data, "text")).collect();
    assert!(streamed.contains(fact) && text(&last.data, "response").contains(fact), "{events:?}");
    assert!(last.data["sources"].as_array().expect("sources").iter().any(|source| text(source, "url").ends_with(page)));
    let again = visitor.post(&body).await.expect(200);
    for same in ["conversation_id", "message_id", "response", "seq"] {
        assert_eq!(again[same], last.data[same], "asked again as JSON");
    }
}

#[tokio::test]
async fn what_the_organization_says_of_itself_comes_before_its_pages_and_its_trade() {
    let place = Place::open().await;
    let asked = [
        ("Where are you located?", "9 Elm Street"),
        ("What is your phone number?", "(217) 555-0199"),
        ("What are your hours?", "Tuesday"),
        ("Are you open on Saturday?", "Tuesday"),
    ];
    let before = place.visitor().say("Where are you located?").await;
    assert!(!text(&before, "response").contains("9 Elm Street"), "{before}");
    let day = json!({ "open": "07:30", "close": "17:00" });
    let facts = json!({
        "phone": "+12175550199",
        "address": { "street": "9 Elm Street", "city": "Springfield", "state": "IL", "zip": "62704", "country": "US" },
        "business_hours": { "tue": day, "wed": day, "thu": day },
    });
    place.owner.api.patch("/api/organization", facts).await.expect(200);
    for (question, expected) in asked {
        eventually(question, SOON, async || {
            let answer = place.visitor().say(question).await;
            text(&answer, "response").contains(expected).then_some(())
        })
        .await;
    }
    // A visitor's own number is no question for ours.
    let told = place.visitor().say("You can reach me by phone at 415 555 0123").await;
    assert!(!text(&told, "response").contains("0199"), "{told}");
}

#[tokio::test]
async fn off_topic_questions_get_the_fallback_without_sources() {
    let place = Place::open().await;
    let fallback = text(&place.agent_view().await, "fallback_message");
    for question in [
        "What is the capital of Mongolia?",
        "Who won the chess world championship in 1972?",
        "Can you give me a recipe for pumpkin soup?",
    ] {
        let answer = place.visitor().say(question).await;
        assert_eq!(answer["sources"], json!([]), "{question}: {answer}");
        assert!(text(&answer, "response").contains(&fallback), "{question}: {answer}");
    }
    let unanswered = place.owner.api.get("/api/analytics/unanswered").await.expect(200);
    assert!(unanswered.to_string().contains("Mongolia"), "the owner sees what could not be answered: {unanswered}");

    place.visitor().say("what is the capital of MONGOLIA").await;
    let day = |past: i64| {
        let span = jiff::Span::new().days(past);
        jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).checked_add(span).expect("a day").date().to_string()
    };
    // Wherever the organization is, now is within these days there.
    let days = format!("/api/analytics/daily?from={}&to={}", day(-1), day(1));
    let listed = eventually("both askings on their day", SOON, || async {
        let rows = place.owner.api.get(&days).await.expect(200);
        let mut listed = rows["items"].as_array()?.iter().flat_map(|row| row["unanswered_questions"].as_array());
        listed.next().filter(|listed| listed[0]["count"] == 2).cloned()
    })
    .await;
    assert_eq!(listed.len(), 3, "{listed:?}");
    assert!(text(&listed[0], "question").to_lowercase().contains("mongolia"), "the most frequent first: {listed:?}");
    let long_ago = place.owner.api.get("/api/analytics/daily?from=2020-01-01&to=2020-01-02").await.expect(200);
    assert_eq!(long_ago["items"], json!([]));

    // Its answer, written under the question's own words, closes it.
    let answer =
        json!({ "question": "What is the capital of Mongolia?", "answer": "Ulaanbaatar, but we do not serve it." });
    place.owner.api.post(&format!("/api/agents/{}/faqs", place.agent), answer).await.expect(201);
    let open = place.owner.api.get("/api/analytics/unanswered").await.expect(200);
    assert!(!open.to_string().to_lowercase().contains("mongolia"), "{open}");
    assert_eq!(open["items"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn an_emergency_escalates_and_alerts_by_mail_and_text_message_once() {
    let place = Place::open().await;
    let mut visitor = place.visitor();
    let body = visitor.body("Help, a pipe burst and my basement is flooding! Call me at 217-555-0188.", "m-1");
    let answer = visitor.post(&body).await.expect(200);
    visitor.remember(&answer);
    assert_eq!((&answer["status"], &answer["urgency"]), (&json!("escalated"), &json!("emergency")), "{answer}");
    assert!(text(&answer, "response").contains("main valve"), "the trade's own advice comes with it: {answer}");
    let again = visitor.post(&body).await.expect(200);
    assert_eq!(again["message_id"], answer["message_id"]);

    for (to, kind) in [(place.owner.email.as_str(), "mail"), (ALERT_PHONE, "recorded_sms")] {
        let alerts = eventually(&format!("the {kind} alert"), SOON, || async {
            let alerts: Vec<Value> = mailbox(&place.server, to)
                .await
                .into_iter()
                // The owner's own notice of it has a link and no number.
                .filter(|message| message.to_string().contains("555-0188"))
                .collect();
            (!alerts.is_empty()).then_some(alerts)
        })
        .await;
        assert_eq!(alerts.len(), 1, "one alert although the message came twice: {alerts:?}");
        assert_eq!(alerts[0]["kind"], kind, "{alerts:?}");
        assert!(text(&alerts[0], "text").contains("555-0188"), "whoever is alerted knows whom to call: {alerts:?}");
    }
    let escalated = place.owner.api.list("/api/conversations?status=escalated").await;
    assert_eq!(escalated.len(), 1);
    assert_eq!(escalated[0]["id"], answer["conversation_id"]);
    assert_eq!(place.owner.api.list("/api/conversations?status=resolved").await.len(), 0);
    // Escalated does not mean silent.
    let more = visitor.say("What does a sump pump replacement cost?").await;
    assert!(text(&more, "response").contains("640"), "{more}");
    assert_eq!(more["status"], "escalated");
}

#[tokio::test]
async fn asking_for_a_person_escalates_and_alerts() {
    let place = Place::open().await;
    let answer = place.visitor().say("Let me talk to a person please").await;
    assert_eq!(answer["status"], "escalated", "{answer}");
    eventually("the mail", SOON, || async {
        let conversation = text(&answer, "conversation_id");
        mailbox(&place.server, &place.owner.email)
            .await
            .into_iter()
            .find(|message| message.to_string().contains(&conversation))
    })
    .await;
}

#[tokio::test]
async fn every_turn_leaves_a_trace_and_figures_for_operators() {
    let place = Place::open().await;
    let mut visitor = place.visitor();
    let answer = visitor.say("What does a sump pump replacement cost?").await;
    let shown = place.owner.conversation(visitor.talk()).await;
    let trace = &shown["trace"][0];
    for stage in ["queue_ms", "retrieve_ms", "model_first_token_ms", "model_ms", "append_ms"] {
        assert!(trace["stages"][stage].is_u64(), "no stage `{stage}` in {trace}");
    }
    let retrieved = trace["retrieved"].as_array().expect("what was retrieved");
    let used: Vec<&Value> = retrieved.iter().filter(|chunk| chunk["used"] == true).collect();
    assert!(used.iter().any(|chunk| chunk["chunk_id"] == answer["sources"][0]["chunk_id"]), "{trace}");
    assert!(retrieved.iter().all(|chunk| chunk["score"].is_number()), "{trace}");
    assert!(
        trace["model"].is_string() && trace["config_version"].is_u64() && trace["index_version"].is_u64(),
        "{trace}"
    );
    assert!(trace["turn"].is_string() && !trace["tokens"].is_null() && !trace["cost"].is_null(), "{trace}");

    let metrics = place.server.ops_api().get("/metrics").await;
    assert!(metrics.status == 200 && metrics.text.contains("# TYPE"), "{}", metrics.text);
    assert!(metrics.text.contains("conversation"), "figures by entity kind: {}", metrics.text);
    assert!(metrics.text.contains("stage=\"retrieve\""), "figures by turn stage: {}", metrics.text);
    let per_shard = |name: &str| -> Vec<f64> {
        let lines = metrics.text.lines().filter(|line| line.starts_with(name) && line.contains("shard=\""));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
    };
    let (commands, queued) = (per_shard("colloquy_shard_commands_total"), per_shard("colloquy_shard_queued_commands"));
    assert!(commands.len() > 1 && commands.iter().sum::<f64>() >= 10.0, "commands by shard: {commands:?}");
    assert!(queued.len() == commands.len() && queued.iter().all(|n| *n == 0.0), "nothing is queued: {queued:?}");
    assert!(per_shard("colloquy_shard_resident_entities").iter().sum::<f64>() >= 1.0, "{}", metrics.text);
    // Every answer names its trace; a caller's own trace goes on.
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let caller = place.server.api().header("traceparent", &format!("00-{id}-00f067aa0ba902b7-01"));
    let own = |answer: &Answer| answer.headers["x-trace-id"].to_str().expect("text").to_owned();
    assert_eq!(own(&caller.get("/api/templates").await), id);
    let fresh = own(&place.server.api().header("traceparent", "00-nonsense").get("/api/templates").await);
    assert!(fresh.len() == 32 && fresh != id, "{fresh}");
    // Nothing of what a visitor wrote is in the log.
    visitor.say("My name is Zacharias Quux and my number is 217-555-0147").await;
    let log = place.server.log();
    for personal in ["Quux", "555-0147", "5550147", "sump pump"] {
        assert!(!log.contains(personal), "`{personal}` is in the log:\n{log}");
    }
}

/// A chat answer with everything the contract names.
#[track_caller]
fn well_formed(answer: &Value) {
    for member in ["response", "conversation_id", "message_id", "visitor_token", "status", "urgency"] {
        assert!(answer[member].is_string(), "no text `{member}` in {answer}");
    }
    assert!(answer["seq"].is_u64() && answer["sources"].is_array() && answer["confidence"].is_number(), "{answer}");
}

#[tokio::test]
async fn only_questions_without_an_answer_are_listed_as_unanswered() {
    let place = Place::open().await;
    let mut visitor = place.visitor();
    let known = visitor.say("Who founded Oak Street Plumbing?").await;
    assert!(text(&known, "response").contains("Walter Oakes"), "{known}");
    visitor.say("Do you repair grand pianos in Montevideo?").await;
    let listed = eventually("the unanswered question", SOON, async || {
        let listed = place.owner.api.get("/api/analytics/unanswered").await.text;
        listed.contains("grand pianos").then_some(listed)
    })
    .await;
    assert!(!listed.contains("founded"), "{listed}");
}
