//! What is said in calls that we make: each is about what it was made for, and ends as what the person said. And the checker finds what must never be.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use colloquy_actors::telephony::twilio::form::Form;
use colloquy_carrier::Troubles;
use colloquy_carrier::persona::{Manner, Persona};
use colloquy_domain::campaign::{number, window::Window};
use serde_json::{Value, json};

use crate::support::carrier::post_form;
use crate::support::eventually;
use crate::support::people::{Member, SOON, Visitor, text};
use crate::support::screen::Screen;
use crate::{
    ACCOUNT, ALL_DONE, OURS, SEED, TOKEN, World, all_targets, books, bring, checked, day, founded, numbers, order,
    stats, written,
};

/// Seconds of a talk that is long enough for all that somebody has to say.
const LONG_S: u32 = 60;
/// The questions of the tests.
const QUESTIONS: [&str; 3] = ["What is it about?", "By when?", "What budget do you have?"];

/// A number whose owner picks up, stays, and takes the call in this manner.
fn who(manner: Manner, but: &[String]) -> String {
    let picks_up = |to: &String| matches!(Persona::of(SEED, to, 1), Persona::Person { talk_s } if talk_s >= LONG_S);
    let all = numbers(day(), 3_000);
    let found = all.into_iter().find(|to| picks_up(to) && Manner::of(SEED, to, 1) == manner && !but.contains(to));
    found.expect("one of thousands")
}

/// A second agent, which no number belongs to.
async fn elm(owner: &Member) -> String {
    let body = json!({ "vertical": "custom", "name": "Elm", "voice_welcome_message": "Elm here." });
    text(&owner.agent(body).await, "id")
}

/// The calls of the organization by the number of the person.
async fn calls(owner: &Member) -> BTreeMap<String, Value> {
    let calls = owner.api.list("/api/voice/calls").await;
    calls.into_iter().map(|call| (text(&call, "phone"), call)).collect()
}

/// What was said in a call, with who said it.
async fn said(owner: &Member, call: &Value) -> Vec<(String, String)> {
    let shown = owner.api.get(&format!("/api/voice/calls/{}", text(call, "id"))).await.expect(200);
    let lines = shown["transcript"].as_array().expect("a transcript").iter();
    lines.map(|line| (text(line, "role"), text(line, "content"))).collect()
}

async fn is_done(owner: &Member, campaign: &str, targets: usize) {
    eventually("everybody is done", ALL_DONE, async || {
        (stats(owner, campaign).await["counts"]["done"] == json!(targets)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_a_campaign_is_about_the_campaign_and_counts_as_what_was_said() {
    let world = World::start(4.0, Troubles::default()).await;
    let server = world.server().await;
    let (owner, _) = founded(&server).await;
    let elm = elm(&owner).await;
    let manners = [Manner::Answers, Manner::NotInterested, Manner::NeverAgain, Manner::Later, Manner::Silent];
    let people: Vec<String> = manners.iter().map(|manner| who(*manner, &[])).collect();
    // A callback that is agreed for after the end is left to people.
    let deadline = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(30);
    let more = json!({
        "agent_id": elm, "objective": "Find out who needs a boiler", "opening": "Hello {{name}} of {{company}}. This is Elm about boilers.",
        "questions": QUESTIONS, "deadline": deadline.to_string(),
    });
    let campaign = written(&owner, &elm, more).await;
    let mut list = String::from("phone,name,company\n");
    for (n, phone) in people.iter().enumerate() {
        list.push_str(&format!("{phone},Person {n},Acme {n}\n"));
    }
    bring(&owner, &campaign, "text/csv", &list).await.expect(200);
    let viewer = owner.invite(&server, "viewer", "Vera").await;
    let mut board = Screen::open(&server, &viewer, "calls").await;
    order(&owner, &campaign, "start").await;
    is_done(&owner, &campaign, people.len()).await;
    let targets = all_targets(&owner, &campaign).await;
    let outcomes: Vec<String> = targets.iter().map(|target| text(target, "outcome")).collect();
    assert_eq!(
        outcomes,
        ["answered", "not_interested", "not_interested", "callback", "answered"],
        "{:#?}",
        world.lines()
    );

    let by_phone = calls(&owner).await;
    for (n, phone) in people.iter().enumerate() {
        let call = &by_phone[phone];
        assert_eq!((text(call, "campaign_id"), text(call, "agent_id")), (campaign.clone(), elm.clone()), "{call}");
        assert_eq!((text(call, "direction"), text(call, "status")), ("outbound".to_owned(), "completed".to_owned()));
        let lines = said(&owner, call).await;
        let opening = &lines[0].1;
        assert!(opening.starts_with(&format!("Hello Person {n} of Acme {n}. This is Elm about boilers.")), "{opening}");
    }
    // Who only watches sees how the calls went and not whom they reached, as on the campaign's own lists.
    let watched = viewer.api.list("/api/voice/calls").await;
    for (n, phone) in people.iter().enumerate() {
        let call = &by_phone[phone];
        let named = (&call["name"], &call["campaign_name"]);
        assert_eq!(named, (&json!(format!("Person {n}")), &json!("Webinar")), "{call}");
        let seen = watched.iter().find(|seen| seen["id"] == call["id"]).expect("the same call");
        assert!(seen["name"].is_null() && !seen.to_string().contains(phone.as_str()), "{seen}");
        assert_eq!((&seen["campaign_name"], &seen["score"]), (&json!("Webinar"), &call["score"]), "{seen}");
    }
    let ended = |board: &Screen| {
        people.len()
            == board.data.as_object().map_or(0, |rows| rows.values().filter(|row| row["ended_at"].is_string()).count())
    };
    board.until("every call's end", ended).await;
    let later = Screen::open(&server, &viewer, "calls").await;
    for shown in [&board.data, &later.data] {
        for phone in &people {
            assert!(!shown.to_string().contains(phone.as_str()), "the live board says a number: {shown}");
        }
    }
    // What they said was an answer to us, and is listed nowhere as a question that nobody could answer.
    let open = owner.api.list(&format!("/api/analytics/unanswered?agent_id={elm}")).await;
    assert!(open.is_empty(), "{open:?}");
    // The first was asked everything, one thing after the other, and what they answered is known of them.
    let lines = said(&owner, &by_phone[&people[0]]).await;
    let asked: Vec<usize> = QUESTIONS
        .iter()
        .map(|question| {
            lines.iter().position(|(role, words)| role == "assistant" && words.contains(question)).expect("asked")
        })
        .collect();
    assert!(asked.is_sorted() && asked[0] > 0, "{lines:?}");
    let leads = owner.api.list("/api/leads").await;
    let lead = leads.iter().find(|lead| lead["phone"] == json!(people[0])).expect("a lead");
    let fields = &lead["fields"];
    assert_eq!(
        (&fields["what_is_it_about"], &fields["by_when"]),
        (&json!("It is about the boiler."), &json!("Sometime next month.")),
        "{lead}"
    );
    // Who wants never to be called again is on the list, and no campaign calls them.
    let listed = owner.api.list("/api/dnc").await;
    assert_eq!((listed.len(), &listed[0]["source"]), (1, &json!("complaint")), "{listed:?}");
    let again = written(&owner, &elm, json!({})).await;
    bring(&owner, &again, "text/csv", &format!("phone\n{}\n", people[2])).await.expect(200);
    order(&owner, &again, "start").await;
    is_done(&owner, &again, 1).await;
    let refused = all_targets(&owner, &again).await.remove(0);
    assert_eq!(
        (text(&refused, "outcome"), text(&refused, "reason")),
        ("skipped".to_owned(), "do_not_contact".to_owned())
    );
    checked(&owner, &campaign, &world, &BTreeSet::new()).await;
    let log = owner.api.list(&format!("/api/calling/campaigns/{campaign}/calls")).await;
    assert!(log.iter().all(|call| call["score"].is_number() && call["conversation_id"].is_string()), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_somebody_orders_says_what_it_is_for() {
    let world = World::start(4.0, Troubles::default()).await;
    let server = world.server().await;
    let (owner, agent) = founded(&server).await;
    let phone = who(Manner::NotInterested, &[]);
    let call = json!({ "agent_id": agent, "to": phone, "consent": "none", "opening": "Oak Plumbing about your boiler.", "questions": ["When?"] });
    owner.api.post("/api/voice/calls", call).await.expect(201);
    let call = eventually("the call is over", SOON, async || {
        calls(&owner).await.remove(&phone).filter(|call| call["score"].is_number())
    })
    .await;
    assert_eq!((text(&call, "status"), &call["campaign_id"]), ("completed".to_owned(), &Value::Null));
    let lines = said(&owner, &call).await;
    assert!(lines[0].1.starts_with("Oak Plumbing about your boiler."), "{lines:?}");
    assert!(lines.last().is_some_and(|(_, words)| words.contains("Goodbye")), "{lines:?}");
    let long = json!({ "agent_id": agent, "to": phone, "consent": "none", "opening": "x".repeat(5_000) });
    owner.api.post("/api/voice/calls", long).await.names("opening");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_lead_that_is_called_back_gets_its_answers_and_no_second_lead() {
    let world = World::start(4.0, Troubles::default()).await;
    let server = world.server().await;
    let (owner, agent) = founded(&server).await;
    let phone = who(Manner::Answers, &[]);
    let campaign = written(&owner, &agent, json!({ "type": "inbound", "questions": QUESTIONS })).await;
    order(&owner, &campaign, "start").await;
    let mut visitor = Visitor::new(&server, &agent);
    visitor.say(&format!("My name is Ann Lee and my number is {phone}, I need a quote")).await;
    let lead = eventually("the lead has the answers", ALL_DONE, async || {
        let leads = owner.api.list("/api/leads").await;
        leads.into_iter().find(|lead| lead["fields"]["what_budget_do_you_have"].is_string())
    })
    .await;
    assert_eq!((text(&lead, "name"), text(&lead, "phone")), ("Ann Lee".to_owned(), phone.clone()), "{lead}");
    assert_eq!(lead["fields"]["by_when"], json!("Sometime next month."));
    assert_eq!(owner.api.list("/api/leads").await.len(), 1, "one person, one lead");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_calls_new_leads_by_itself_and_nobody_without_a_consent() {
    let world = World::start(4.0, Troubles::default()).await;
    let server = world.server().await;
    let (owner, agent) = founded(&server).await;
    let path = format!("/api/agents/{agent}");
    let wrong = json!({ "auto_call_leads": { "within_minutes": 0 } });
    owner.api.patch(&path, wrong).await.names("auto_call_leads.within_minutes");
    let nowhere = json!({ "auto_call_leads": { "countries": ["Utopia"] } });
    owner.api.patch(&path, nowhere).await.names("auto_call_leads.countries");
    owner.api.patch(&path, json!({ "auto_call_leads": { "questions": QUESTIONS } })).await.expect(200);
    let called = || {
        world.lines().iter().filter(|line| line["event"] == "create").map(|line| text(line, "to")).collect::<Vec<_>>()
    };
    let leaves = async |phone: &str| {
        let mut visitor = Visitor::new(&server, &agent);
        visitor.say(&format!("My name is Ann Lee and my number is {phone}, I need a quote")).await;
    };
    let first = who(Manner::Answers, &[]);
    let second = who(Manner::Answers, std::slice::from_ref(&first));
    // The first has given no consent to an artificial voice, and is never called.
    leaves(&first).await;
    eventually("the lead stands", SOON, async || {
        owner.api.list("/api/leads").await.iter().any(|lead| lead["phone"] == json!(first)).then_some(())
    })
    .await;
    owner
        .api
        .patch(&path, json!({ "auto_call_leads": { "questions": QUESTIONS, "consent": "none", "countries": ["US", "GB", "JP", "IN"] } }))
        .await
        .expect(200);
    leaves(&second).await;
    let lead = eventually("the lead has the answers", ALL_DONE, async || {
        let leads = owner.api.list("/api/leads").await;
        leads.into_iter().find(|lead| lead["fields"]["what_budget_do_you_have"].is_string())
    })
    .await;
    assert_eq!(lead["phone"], json!(second), "{lead}");
    assert_eq!(called(), std::slice::from_ref(&second), "once, and only who may be called");
    assert_eq!(owner.api.list("/api/leads").await.len(), 2, "one person, one lead");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checker_finds_a_doubled_call_a_call_at_night_and_one_to_a_listed_number() {
    let world = World::start(20.0, Troubles::default()).await;
    let server = world.server().await;
    let (owner, agent) = founded(&server).await;
    let people = numbers(day(), 12);
    let deadline = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(30);
    let campaign = written(&owner, &agent, json!({ "deadline": deadline.to_string() })).await;
    bring(&owner, &campaign, "text/csv", &format!("phone\n{}\n", people.join("\n"))).await.expect(200);
    order(&owner, &campaign, "start").await;
    is_done(&owner, &campaign, people.len()).await;
    let true_books = books(&owner, &campaign, &world, &BTreeSet::new()).await;
    assert_eq!(true_books.faults(), Vec::<String>::new());
    let place = |event: &str, with: &dyn Fn(&Value) -> bool| {
        true_books
            .log
            .iter()
            .position(|line| line["event"] == event && with(line))
            .unwrap_or_else(|| panic!("no {event}"))
    };
    let first = place("create", &|_| true);
    let found = |change: &dyn Fn(&mut Vec<Value>), forbidden: &[&str], says: &str| {
        let mut falsified = true_books.clone();
        change(&mut falsified.log);
        falsified.forbidden = forbidden.iter().map(|number| (*number).to_owned()).collect();
        let faults = falsified.faults();
        assert!(faults.iter().any(|fault| fault.contains(says)), "{says}: {faults:?}");
    };
    found(&|log| log.push(log[first].clone()), &[], "asked for twice");
    let zones = number::normal(&text(&true_books.log[first], "to"), None).expect("a number").zones;
    let hours = Window::default().hours(&zones);
    let made_ms = true_books.log[first]["at_ms"].as_i64().expect("a time");
    let night_ms =
        (1..24).map(|hour| made_ms - hour * 3_600_000).find(|at_ms| !hours.is_open(*at_ms)).expect("a night");
    found(&|log| log[first]["at_ms"] = json!(night_ms), &[], "outside of the hours");
    found(&|_| {}, &[&people[3]], "on the list and called");
    found(&|log| log[first]["dial"] = json!(format!("{campaign}.0.99.1")), &[], "not in the audit");
    found(&|log| log[first]["sid"] = json!("CA0"), &[], "another call in the audit");
    let over = place("step", &|line| line["status"] == "busy" || line["status"] == "no-answer");
    found(&|log| log[over]["status"] = json!("failed"), &[], "ended otherwise");
    let to = true_books.log[first]["to"].clone();
    let no = json!({ "event": "talk", "to": to, "sid": "CA0", "manner": "never_again", "wished": true, "at_ms": made_ms - 1 });
    found(&|log| log.push(no.clone()), &[], "never again");
    let mut counted = true_books.clone();
    counted.stats["cards"]["total_calls"] = json!(1);
    assert!(counted.faults().iter().any(|fault| fault.starts_with("counted 1")), "a wrong counter");
}

/// The signatures that Twilio's own package makes for requests.
fn signed_by_twilio(requests: &[(String, &[(&str, &str)])]) -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers");
    assert!(
        folder.join("node_modules").is_dir(),
        "the vendors' packages are not there: `make test` fetches them, or `npm ci` in tests/peers"
    );
    let requests: Vec<Value> = requests
        .iter()
        .map(|(url, fields)| {
            let params: BTreeMap<&str, &str> = fields.iter().copied().collect();
            json!({ "url": url, "params": params })
        })
        .collect();
    let task = json!({ "token": TOKEN, "requests": requests, "signatures": [] }).to_string();
    let mut node = Command::new("node")
        .arg(folder.join("twilio.mjs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs");
    node.stdin.take().expect("piped").write_all(task.as_bytes()).expect("taken");
    let output = node.wait_with_output().expect("it ends");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("an answer");
    answer["signed"].as_array().expect("signatures").iter().map(|one| one.as_str().expect("text").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_twilios_own_package_signs_is_believed_and_what_was_changed_afterwards_is_not() {
    let world = World::start(1.0, Troubles::default()).await;
    let server = world.server().await;
    let (owner, _) = founded(&server).await;
    let fields: [(&str, &str); 8] = [
        ("CallSid", "CA1"),
        ("AccountSid", ACCOUNT),
        ("From", "+14155552671"),
        ("To", OURS[0]),
        ("CallStatus", "completed"),
        ("CallDuration", "7"),
        ("AnsweredBy", "human"),
        ("CallerName", "Zo\u{eb} & S\u{f8}n <1>"),
    ];
    let paths = ["voice", "status", "amd"]
        .map(|what| format!("/api/voice/twilio/{what}/simulated-{}?d=a.0.0.1", owner.organization));
    let requests = paths.clone().map(|path| (server.url(&path), &fields[..]));
    let changed: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (*name, if *name == "CallDuration" { "9" } else { *value })).collect();
    for (path, signed) in paths.iter().zip(signed_by_twilio(&requests)) {
        let says = async |fields: &[(&str, &str)]| {
            post_form(&server.api().header("x-twilio-signature", &signed), path, Form::of(fields).to_body()).await
        };
        says(&changed).await.refused(401);
        let believed = says(&fields).await;
        assert!([200, 204].contains(&believed.status), "{path}: {believed:?}");
    }
}
