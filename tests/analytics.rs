//! Proves with the real binary what charts, days, the daily summary, the audit log and the list of models say: equal to a recount of the journals, in the
//! organization's own time zone, without anybody's secrets, and to nobody else.

mod support;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use support::client::Api;
use support::people::{Member, SOON, Visitor, text};
use support::{Server, eventually};

/// The secret of the manual triggers.
const CRON_SECRET: &str = "the-secret-of-the-clock";

fn total(series: &Value, field: &str) -> i64 {
    series["series"].as_array().into_iter().flatten().filter_map(|point| point[field].as_i64()).sum()
}

/// What the journals say: conversations, messages of anyone, resolved ones.
async fn recount(owner: &Member) -> (i64, i64, i64) {
    let mut sum = (0, 0, 0);
    for conversation in owner.api.list("/api/conversations").await {
        sum.0 += 1;
        for record in owner.journal(&text(&conversation, "id")).await {
            if let Some("posted" | "answered" | "said") = record["event"]["type"].as_str() {
                sum.1 += 1;
            }
        }
        sum.2 += i64::from(conversation["status"] == "resolved");
    }
    sum
}

async fn ask(server: &Server, agent: &str, words: &[&str]) -> Visitor {
    let mut visitor = Visitor::new(server, agent);
    for line in words {
        visitor.say(line).await;
    }
    visitor
}

#[tokio::test]
async fn charts_equal_a_recount_of_the_journals_and_lead_to_what_is_behind_them() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    owner.api.patch("/api/organization", json!({ "timezone": "Asia/Kathmandu" })).await.expect(200);
    let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
    let other = text(&owner.agent(json!({ "vertical": "legal" })).await, "id");
    let first = ask(&server, &agent, &["Do you offer emergency services?", "Are you licensed?"]).await;
    let second = ask(&server, &agent, &["do you offer EMERGENCY services", "What is the capital of Mongolia?"]).await;
    ask(&server, &other, &["Do you offer a free consultation?"]).await;
    let path = format!("/api/conversations/{}", first.talk());
    owner.api.patch(&path, json!({ "status": "resolved" })).await.expect(200);
    server
        .api()
        .post(
            "/api/chat/visits",
            json!({ "agent_id": agent, "visitor_id": first.id, "page_url": "https://oak.example/" }),
        )
        .await
        .ok();

    let (conversations, messages, resolved) = recount(&owner).await;
    let hours = eventually("the chart has all of it", SOON, || async {
        let chart = owner.api.get("/api/analytics/timeseries?window=24h").await.expect(200);
        (total(&chart, "resolved") == resolved && total(&chart, "messages") == messages).then_some(chart)
    })
    .await;
    assert_eq!((total(&hours, "conversations"), hours["bucket"].as_str()), (conversations, Some("hour")), "{hours}");
    assert_eq!(hours["timezone"], "Asia/Kathmandu");
    let series = hours["series"].as_array().expect("points");
    assert!((24..=25).contains(&series.len()), "{}", series.len());
    assert!(series.windows(2).all(|pair| pair[0]["until"] == pair[1]["at"]), "points lie end to end");
    // The hours of this zone begin a quarter before or after those of UTC.
    assert!(series[1]["at"].as_str().is_some_and(|at| at.contains(":15:00") || at.contains(":45:00")), "{}", series[1]);
    // What the cards say, the chart says, and so do the days.
    let cards = owner.api.get("/api/analytics/overview?window=24h").await.expect(200);
    assert_eq!(cards["total_conversations"], json!(conversations), "{cards}");
    let days = owner.api.get("/api/analytics/timeseries?window=30d").await.expect(200);
    assert_eq!((total(&days, "conversations"), days["bucket"].as_str()), (conversations, Some("day")));

    // One agent's, and one channel's.
    let ones = owner.api.get(&format!("/api/analytics/timeseries?agent_id={other}")).await.expect(200);
    assert_eq!(total(&ones, "conversations"), 1);
    let calls = owner.api.get("/api/analytics/timeseries?channel=voice").await.expect(200);
    assert_eq!((total(&calls, "conversations"), &calls["series"][0]["leads"]), (0, &Value::Null));

    // The hour in which most began, and the conversations behind it.
    let week = owner.api.get("/api/analytics/heatmap?window=24h").await.expect(200);
    let cells = week["cells"].as_array().expect("cells");
    assert_eq!(cells.len(), 168);
    assert_eq!(cells.iter().filter_map(|cell| cell["conversations"].as_i64()).sum::<i64>(), conversations);
    let mut behind = 0;
    for cell in cells.iter().filter(|cell| cell["conversations"] != 0) {
        let path = format!("/api/conversations?weekday={}&hour={}", cell["weekday"], cell["hour"]);
        let found = owner.api.list(&path).await;
        assert_eq!(json!(found.len()), cell["conversations"], "{path}");
        behind += found.len();
    }
    assert_eq!(behind as i64, conversations);
    let hour = cells.iter().find(|cell| cell["conversations"] != 0).expect("a cell");
    let elsewhere = (hour["hour"].as_i64().expect("an hour") + 12) % 24;
    assert!(owner.api.list(&format!("/api/conversations?hour={elsewhere}")).await.is_empty());
    // A day of the organization's zone, the last one included.
    let daily = owner.api.get("/api/analytics/summary").await.expect(200);
    let yesterday = text(&daily, "date");
    assert!(owner.api.list(&format!("/api/conversations?from={yesterday}&to={yesterday}")).await.is_empty());
    assert_eq!(owner.api.list(&format!("/api/conversations?from={yesterday}")).await.len() as i64, conversations);
    let rest = owner.api.list(&format!("/api/conversations?from={yesterday}&status=resolved&channel=chat")).await;
    assert_eq!(rest.len() as i64, resolved);

    let funnel = owner.api.get("/api/analytics/funnel").await.expect(200);
    let counts: BTreeMap<String, i64> = funnel["stages"]
        .as_array()
        .expect("stages")
        .iter()
        .map(|stage| (text(stage, "stage"), stage["count"].as_i64().expect("a count")))
        .collect();
    assert_eq!((counts["conversations"], counts["appointments"], counts.len()), (conversations, 0, 4));
    // Whoever wrote was there, although only one page told of a visit; a page with the widget's line on it tells of another.
    assert_eq!(counts["visitors"], conversations, "{funnel}");
    for from in ["https://oak.example/", &server.url("/demo/somebody")] {
        for _ in 0..conversations {
            let script = server.api().header("referer", from).get(&format!("/widget/{agent}.js")).await;
            assert_eq!(script.status, 200);
        }
    }
    eventually("visits are counted, those of the sample page are not", SOON, || async {
        let funnel = owner.api.get("/api/analytics/funnel").await.expect(200);
        (funnel["stages"][0] == json!({ "stage": "visitors", "count": conversations + 1 })).then_some(())
    })
    .await;

    // The same question in other letters is one question; who asked is not in it.
    let top = eventually("what was asked", SOON, || async {
        let top = owner.api.get("/api/analytics/top-questions").await.expect(200);
        (top["items"][0]["count"] == 2).then_some(top)
    })
    .await;
    let asked = &top["items"][0];
    assert_eq!(
        asked["question"].as_str().map(str::to_lowercase),
        Some("do you offer emergency services".into()),
        "{top}"
    );
    assert_eq!(asked["conversations"], json!([second.talk(), first.talk()]));
    let mongolia = top["items"].as_array().expect("items").iter().find(|item| item.to_string().contains("Mongolia"));
    assert_eq!(mongolia.map(|item| &item["answered"]), Some(&json!(false)), "{top}");

    // Every one of them is a table too.
    for (path, columns) in [
        ("timeseries", "at,until,conversations"),
        ("funnel", "stage,count"),
        ("heatmap", "weekday,hour,conversations"),
        ("top-questions", "question,count,answered"),
    ] {
        let csv = owner.api.get(&format!("/api/analytics/{path}?format=csv")).await;
        assert_eq!(csv.status, 200, "{path}: {}", csv.text);
        assert!(csv.text.starts_with(columns), "{path}: {}", csv.text);
    }
    let range = format!("from={yesterday}&to={yesterday}");
    let csv = owner.api.get(&format!("/api/analytics/daily?{range}&format=csv")).await;
    assert!(csv.text.starts_with("date,agent_id,chat_conversations"), "{}", csv.text);

    for wrong in [
        "timeseries?window=1y",
        "timeseries?window=7d&from=2026-01-01",
        "timeseries?from=2026-01-01",
        "timeseries?from=2026-01-01&to=2026-06-01",
        "timeseries?channel=web",
        "timeseries?bucket=minute",
        "heatmap?format=xls",
        "funnel?channel=chat",
        "top-questions?limit=0",
        "summary?date=2999-01-01",
        "summary?date=soon",
    ] {
        owner.api.get(&format!("/api/analytics/{wrong}")).await.refused(422);
    }
    owner.api.get("/api/conversations?hour=24").await.refused(422);
    owner.api.get("/api/conversations?weekday=7").await.refused(422);
}

#[tokio::test]
async fn what_its_own_people_try_is_no_conversation_of_the_organization() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let agent = owner.agent(json!({ "vertical": "home_services", "escalation_email": "alerts@oak.example" })).await;
    let agent = text(&agent, "id");
    let words = "There is a gas leak! I am Rosa Diaz, 217-555-0133. I want to talk to a person.";
    let said = json!({ "agent_id": agent, "visitor_id": support::random_id(), "message": words });
    let answer = owner.api.post("/api/chat", said).await.expect(200);
    let tried = text(&answer, "conversation_id");
    let ids = async |query: &str| -> Vec<String> {
        let rows = owner.api.list(&format!("/api/conversations{query}")).await;
        rows.iter().map(|row| text(row, "id")).collect()
    };
    let real = ask(&server, &agent, &[words]).await.talk().to_owned();
    eventually("both are on the list", SOON, || async {
        let all = ids("").await;
        (all.contains(&real) && all.contains(&tried)).then_some(())
    })
    .await;
    assert_eq!(ids("?trial=true").await, std::slice::from_ref(&tried));
    assert!(!ids("?trial=false").await.contains(&tried) && ids("").await.contains(&tried));
    let shown = async |id: &str| owner.api.get(&format!("/api/conversations/{id}")).await.expect(200);
    let (own, other) = (shown(&tried).await, shown(&real).await);
    assert_eq!((&own["conversation"]["trial"], &other["conversation"]["trial"]), (&json!(true), &json!(false)));
    let alerts = |shown: &Value| shown["alerts"].as_array().map_or(0, Vec::len);
    assert!(alerts(&own) == 0 && alerts(&other) > 0, "{own}");
    // What the visitor's conversation brought is there, so what the trial would have brought would be too.
    let news = eventually("the visitor's is told of", SOON, || async {
        let news = owner.api.get("/api/notifications").await.expect(200).to_string();
        (news.contains(&real) && owner.api.list("/api/leads").await.len() == 1).then_some(news)
    })
    .await;
    assert!(!news.contains(&tried), "{news}");
    let cards = owner.api.get("/api/analytics/overview?window=24h").await.expect(200);
    let listed = ids("?trial=false").await.len();
    assert_eq!((&cards["total_conversations"], &cards["leads_captured"]), (&json!(listed), &json!(1)), "{cards}");
}

#[tokio::test]
async fn who_is_erased_asks_nothing_any_more_and_the_numbers_stay() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
    let visitor = ask(&server, &agent, &["What is the capital of Mongolia?"]).await;
    let questions = || async { owner.api.get("/api/analytics/top-questions").await.expect(200).to_string() };
    eventually("the question", SOON, || async { questions().await.contains("Mongolia").then_some(()) }).await;
    let erasure = owner.api.post("/api/privacy/erasures", json!({ "visitor_id": visitor.id })).await.expect(202);
    let path = format!("/api/privacy/erasures/{}", text(&erasure, "id"));
    eventually("the erasure is done", SOON, || async {
        (owner.api.get(&path).await.expect(200)["status"] == "completed").then_some(())
    })
    .await;
    assert!(!questions().await.contains("Mongolia"));
    let summary = owner.api.get("/api/analytics/summary").await.expect(200);
    assert!(!summary.to_string().contains("Mongolia"), "{summary}");
    let chart = owner.api.get("/api/analytics/timeseries").await.expect(200);
    assert_eq!(total(&chart, "conversations"), 1, "{chart}");
}

/// The letters that the development mailbox has for an address.
async fn letters(server: &Server, to: &str) -> Vec<Value> {
    let all = server.api().get(&format!("/dev/mailbox?to={to}")).await.expect(200);
    let items = all["items"].as_array().cloned().unwrap_or_default();
    items.into_iter().filter(|mail| mail.to_string().contains("conversations,")).collect()
}

#[tokio::test]
async fn the_daily_summary_is_shown_and_sent_once_to_who_wants_it() {
    let server = Server::start_with(&[("COLLOQUY_CRON__SECRET", CRON_SECRET)]).await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let admin = owner.invite(&server, "admin", "Ada").await;
    let rep = owner.invite(&server, "rep", "Rita").await;
    let path = "/api/me/preferences";
    let wish = |email: Value| json!({ "notifications": { "daily_summary": { "email": email } } });
    let wants = |answer: &Value| answer["notifications"]["daily_summary"]["email"].clone();
    assert_eq!(wants(&admin.api.get(path).await.expect(200)), json!(true), "who runs the organization is told");
    assert_eq!(wants(&rep.api.get(path).await.expect(200)), json!(false));
    admin.api.patch(path, wish(json!(false))).await.expect(200);
    assert_eq!(wants(&rep.api.patch(path, wish(json!(true))).await.expect(200)), json!(true));
    rep.api.patch(path, wish(json!("often"))).await.refused(422);

    let shown = owner.api.get("/api/analytics/summary").await.expect(200);
    let mut readers = vec![owner.email.clone(), rep.email.clone()];
    readers.sort();
    let mut listed: Vec<String> = serde_json::from_value(shown["recipients"].clone()).expect("addresses");
    listed.sort();
    assert_eq!(listed, readers, "{shown}");
    assert!(text(&shown, "subject").starts_with("Oak Street Plumbing: 0 conversations, 0 leads on "), "{shown}");
    for (timezone, written) in [("America/Chicago", "Monday, March 2, 2026"), ("Europe/Zurich", "Monday, 2 March 2026")]
    {
        owner.api.patch("/api/organization", json!({ "timezone": timezone })).await.expect(200);
        eventually("dates are written as it is usual there", SOON, || async {
            let shown = owner.api.get("/api/analytics/summary?date=2026-03-02").await.expect(200);
            text(&shown, "subject").ends_with(written).then_some(())
        })
        .await;
    }
    assert!(text(&shown, "html").starts_with("<!doctype html>") && text(&shown, "text").contains("Appointments: 0"));

    let cron = |secret: &str| {
        let api = server.api().bearer(secret);
        async move { api.post("/api/cron/daily-summary", json!({})).await }
    };
    cron("guess").await.refused(401);
    server.api().post("/api/cron/daily-summary", json!({})).await.refused(401);
    owner.api.post("/api/cron/daily-summary", json!({})).await.refused(401);
    let begun = cron(CRON_SECRET).await.expect(202);
    assert_eq!((&begun["organizations"], &begun["begun"]), (&json!(1), &json!(1)), "{begun}");
    eventually("the letters", SOON, || async {
        (letters(&server, &owner.email).await.len() == 1 && letters(&server, &rep.email).await.len() == 1).then_some(())
    })
    .await;
    // The same day again: nothing more goes out, and who does not want it has nothing.
    let again = eventually("the run has ended", SOON, || async {
        let again = cron(CRON_SECRET).await.expect(202);
        (again["begun"] == 0).then_some(again)
    })
    .await;
    assert_eq!(again["organizations"], 1);
    assert_eq!(letters(&server, &owner.email).await.len(), 1);
    assert!(letters(&server, &admin.email).await.is_empty());
}

async fn log(api: &Api, query: &str) -> Vec<Value> {
    api.list(&format!("/api/audit{query}")).await
}

#[tokio::test]
async fn the_audit_log_tells_who_changed_what_and_shows_no_secret_and_no_words() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let rep = owner.invite(&server, "rep", "Rita Rep").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services", "name": "Front desk" })).await, "id");
    let path = format!("/api/agents/{agent}");
    owner
        .api
        .patch(&path, json!({ "fallback_message": "rosebud-words", "escalation_email": "x@example.com" }))
        .await
        .expect(200);
    rep.api.patch(&path, json!({ "name": "mine" })).await.refused(403);
    let key = owner
        .api
        .post("/api/api-keys", json!({ "name": "CRM", "kind": "secret", "role": "manager" }))
        .await
        .expect(201);
    let program = server.api().bearer(&text(&key, "key"));
    program.patch(&path, json!({ "name": "By a program" })).await.expect(200);
    program.delete("/api/agents/nobody-has-this-id").await.refused(404);
    let visitor = ask(&server, &agent, &["My secret is marigold"]).await;
    rep.api.post(&format!("/api/conversations/{}/takeover", visitor.talk()), json!({})).await.expect(200);
    let said = json!({ "content": "the marigold is yours" });
    rep.api.post(&format!("/api/conversations/{}/messages", visitor.talk()), said).await.ok();

    // It is there as soon as the call is answered.
    let all = log(&owner.api, "").await;
    let found = |action: &str| {
        let found = all.iter().find(|entry| entry["action"] == action);
        found.unwrap_or_else(|| panic!("no {action} in {all:?}")).clone()
    };
    let updated = found("agent.updated");
    assert_eq!(updated["actor"], json!({ "kind": "api_key", "id": key["id"], "name": "CRM" }), "{updated}");
    assert_eq!((&updated["outcome"], &updated["address"]), (&json!("ok"), &json!("127.0.0.1")), "{updated}");
    assert_eq!(updated["resource"], json!({ "kind": "agent", "id": agent, "name": "By a program" }));
    let by_owner = log(&owner.api, &format!("?action=agent.updated&actor={}", owner.user)).await;
    assert_eq!(by_owner.len(), 1);
    assert_eq!(by_owner[0]["detail"], "escalation_email, fallback_message", "names of fields, never values");
    let refused = log(&owner.api, &format!("?actor={}&resource=agent/{agent}", rep.user)).await;
    assert_eq!(
        (refused.len(), &refused[0]["outcome"], &refused[0]["detail"]),
        (1, &json!("refused"), &json!("forbidden"))
    );
    assert_eq!(refused[0]["actor"]["name"], "Rita Rep");
    let missing = found("agent.deleted");
    assert_eq!((&missing["outcome"], &missing["detail"]), (&json!("refused"), &json!("not_found")), "{missing}");
    assert_eq!(found("conversation.takeover")["resource"]["id"], visitor.talk());
    assert_eq!(found("api_key.created")["resource"]["id"], key["id"]);
    assert_eq!(found("account.created")["actor"]["id"], rep.user, "the newest one who signed up");
    let once: Vec<&Value> = all.iter().filter(|entry| entry["action"] == "api_key.created").collect();
    assert_eq!(once.len(), 1, "noted before and after, and told once: {once:?}");
    let whole = json!(all).to_string();
    let secret = text(&key, "key");
    for hidden in
        ["rosebud", "marigold", secret.as_str(), "x@example.com", support::people::PASSWORD, rep.email.as_str()]
    {
        assert!(!whole.contains(hidden), "{hidden} in {whole}");
    }

    // Page by page it is the same, newest first.
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = owner.api.get(&format!("/api/audit?limit=2{cursor}")).await.expect(200);
        paged.extend(page["items"].as_array().expect("items").iter().map(|entry| text(entry, "id")));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let ids: Vec<String> = all.iter().map(|entry| text(entry, "id")).collect();
    assert_eq!(paged, ids);
    assert!(all.windows(2).all(|pair| pair[0]["at"].as_str() >= pair[1]["at"].as_str()));
    assert!(log(&owner.api, "?to=2020-01-01").await.is_empty());
    owner.api.get("/api/audit?cursor=nonsense").await.refused(422);

    // Those who run the organization read it, nobody else; and who has left has no name in it.
    rep.api.get("/api/audit").await.refused(403);
    program.get("/api/audit").await.refused(403);
    let stranger = Member::sign_up(&server, "Elm").await;
    let theirs = json!(log(&stranger.api, "").await).to_string();
    assert!(!theirs.contains(&agent) && !theirs.contains(&owner.user), "{theirs}");
    owner.api.delete(&format!("/api/team/members/{}", rep.user)).await.expect(204);
    let left = log(&owner.api, &format!("?actor={}", rep.user)).await;
    assert!(!left.is_empty() && left.iter().all(|entry| entry["actor"]["name"] == "former member"), "{left:?}");
}

#[tokio::test]
async fn the_audit_log_is_still_there_after_a_kill() {
    let mut server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
    owner.api.patch(&format!("/api/agents/{agent}"), json!({ "name": "New" })).await.expect(200);
    let before = log(&owner.api, "").await;
    server.kill();
    server.boot().await;
    let owner = owner.at(&server);
    assert_eq!(log(&owner.api, "").await, before);
    assert!(before.iter().any(|entry| entry["action"] == "agent.updated"), "{before:?}");
}

#[tokio::test]
async fn the_audit_log_tells_of_logins_by_call_and_by_form_and_of_those_that_were_refused() {
    let server = Server::start_with(&[("COLLOQUY_LIMITS__API_PER_PRINCIPAL_PER_MINUTE", "300")]).await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let key = owner
        .api
        .post("/api/api-keys", json!({ "name": "CRM", "kind": "secret", "role": "manager" }))
        .await
        .expect(201);
    let of = async |query: &str| log(&owner.api, query).await;

    // A wrong password, several times in a minute: told once, without what was typed.
    for _ in 0..3 {
        let wrong = json!({ "email": owner.email, "password": "rosebud-rosebud" });
        server.api().post("/api/auth/login", wrong).await.refused(401);
    }
    let nobody = json!({ "email": "nobody@example.com", "password": "rosebud-rosebud" });
    server.api().post("/api/auth/login", nobody).await.refused(401);
    let refused = eventually("the refused login", SOON, || async {
        let told = of("?action=session.started").await;
        told.into_iter().find(|entry| entry["outcome"] == "refused")
    })
    .await;
    assert_eq!((&refused["actor"]["id"], &refused["detail"]), (&json!(owner.user), &json!("invalid_credentials")));
    assert!(!refused.to_string().contains("rosebud"), "{refused}");
    let right = json!({ "email": owner.email, "password": support::people::PASSWORD });
    server.api().post("/api/auth/login", right).await.expect(200);
    let told = of("?action=session.started").await;
    assert_eq!(told.iter().filter(|entry| entry["outcome"] == "refused").count(), 1, "{told:?}");
    assert_eq!(told[0]["outcome"], "ok", "{told:?}");

    // A key that was revoked says whose it was; one that nobody made says nothing.
    let secret = text(&key, "key");
    owner.api.delete(&format!("/api/api-keys/{}", text(&key, "id"))).await.expect(204);
    let program = server.api().bearer(&secret);
    program.post("/api/agents", json!({ "vertical": "home_services" })).await.refused(401);
    program.get("/api/agents").await.refused(401);
    let made_up = format!("cq_sk_{}_{}_guess", owner.organization, "0".repeat(20));
    server.api().bearer(&made_up).post("/api/agents", json!({})).await.refused(401);
    let refused = of("?action=agent.created").await;
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!((&refused[0]["actor"]["id"], &refused[0]["detail"]), (&key["id"], &json!("unauthorized")));

    // Too many calls in a minute: the first of them is told.
    let rep = owner.invite(&server, "rep", "Rita Rep").await;
    let mut limited = 0;
    // However slowly they come here, they come faster than they are allowed again.
    for _ in 0..3_000 {
        if limited > 1 {
            break;
        }
        let answer = rep.api.patch("/api/me/preferences", json!({ "theme": "dark" })).await;
        limited += usize::from(answer.status == 429);
    }
    assert!(limited > 1, "{limited}");
    let told = of(&format!("?actor={}&action=preferences.updated", rep.user)).await;
    let refused: Vec<&Value> = told.iter().filter(|entry| entry["outcome"] == "refused").collect();
    assert_eq!((refused.len(), &refused[0]["detail"]), (1, &json!("rate_limited")), "{refused:?}");
}

#[tokio::test]
async fn models_are_listed_with_what_they_cost_and_why_they_cannot_answer() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let models = owner.api.list("/api/models").await;
    assert!(models.len() > 3, "{models:?}");
    let one = |id: &str| models.iter().find(|model| model["id"] == id).unwrap_or_else(|| panic!("{id} in {models:?}"));
    assert_eq!((&one("built-in")["available"], &one("built-in")["default"]), (&json!(true), &json!(true)));
    let small = one("gpt-4o-mini");
    assert_eq!((&small["available"], &small["price"]["input"]), (&json!(false), &json!(0.15)), "{small}");
    assert!(small["why_not"].as_str().is_some_and(|why| why.contains("models.openai.api_key")), "{small}");
    server.api().get("/api/models").await.refused(401);
}
