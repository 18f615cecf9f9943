//! Appointments over the real binary: one slot for hundreds of callers, booked in a chat, moved and given up, files and feeds, restarts and reminders.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use support::carrier::{Carrier, Mood, OURS, connect_twilio};
use support::people::{Member, SOON, Visitor, mailbox, text};
use support::{Server, eventually};

/// Callers at once for one slot.
const CALLERS: usize = 300;
/// A reminder is due at a full minute.
const REMINDED_WITHIN: Duration = Duration::from_secs(150);

/// A salon with two stylists that is open around the clock.
async fn salon(owner: &Member, more: Value) -> Value {
    let day = json!({ "open": "00:00", "close": "24:00" });
    let mut body = json!({
        "name": "Chairs", "slot_step_minutes": 30, "minimum_notice_minutes": 0,
        "business_hours": { "mon": day, "tue": day, "wed": day, "thu": day, "fri": day, "sat": day, "sun": day },
        "types": [{ "id": "cut", "name": "Haircut", "duration_minutes": 30 }],
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    owner.api.post("/api/calendars", body).await.expect(201)
}

async fn receptionist(owner: &Member) -> String {
    let body =
        json!({ "vertical": "salon_spa", "escalation_email": owner.email, "variables": { "business_name": "Snip" } });
    text(&owner.agent(body).await, "id")
}

async fn slots(owner: &Member, query: &str) -> Vec<Value> {
    let answer = owner.api.get(&format!("/api/appointments/slots?{query}")).await.expect(200);
    answer["items"].as_array().unwrap_or_else(|| panic!("slots are a list: {answer}")).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_hundreds_of_callers_for_one_slot_exactly_one_gets_it() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Snip").await;
    let calendar = salon(&owner, json!({})).await;
    let wanted = text(&slots(&owner, "limit=1").await[0], "starts_at");
    let mut callers = tokio::task::JoinSet::new();
    for n in 0..CALLERS {
        let (api, calendar, starts_at) = (owner.api.clone(), text(&calendar, "id"), wanted.clone());
        callers.spawn(async move {
            if n % 3 == 0 {
                let held = api
                    .post("/api/appointments/holds", json!({ "calendar_id": calendar, "starts_at": starts_at }))
                    .await;
                if held.status != 201 {
                    return held;
                }
                let hold = text(&held.expect(201), "hold_id");
                return api
                    .post(
                        "/api/appointments",
                        json!({ "calendar_id": calendar, "hold_id": hold, "name": format!("Caller {n}") }),
                    )
                    .await;
            }
            api.post(
                "/api/appointments",
                json!({ "calendar_id": calendar, "starts_at": starts_at, "name": format!("Caller {n}") }),
            )
            .await
        });
    }
    let (mut got, mut codes) = (0, BTreeSet::new());
    while let Some(answer) = callers.join_next().await {
        let answer = answer.expect("a caller");
        match answer.status {
            201 => got += 1,
            _ => {
                codes.insert(text(&answer.refused_as(&[409, 503]), "code"));
            }
        }
    }
    assert_eq!(got, 1, "of {CALLERS}; the others: {codes:?}");
    let listed = owner.api.list("/api/appointments").await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert!(slots(&owner, "limit=5").await.iter().all(|slot| slot["starts_at"] != wanted.as_str()));
    let funnel = eventually("it is counted", SOON, || async {
        let funnel = owner.api.get("/api/analytics/funnel?window=24h").await.expect(200);
        let stages = funnel["stages"].as_array().expect("stages").clone();
        stages.into_iter().find(|stage| stage["stage"] == "appointments" && stage["count"] != 0)
    })
    .await;
    assert_eq!(funnel["count"], 1, "{funnel}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_books_moves_and_gives_up_in_the_chat_and_the_team_hears_of_the_late_notice() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Snip").await;
    let agent = receptionist(&owner).await;
    let calendar =
        salon(&owner, json!({ "providers": [{ "id": "anna", "name": "Anna" }, { "id": "ben", "name": "Ben" }] })).await;
    let mut visitor = Visitor::new(&server, &agent);
    let offered = visitor.say("Can I come in tomorrow afternoon?").await;
    assert_eq!(offered["prompt"]["kind"], "slots", "{offered}");
    let choices = offered["prompt"]["slots"].as_array().expect("slots").clone();
    let free: BTreeSet<String> = slots(&owner, "limit=500").await.iter().map(|slot| text(slot, "starts_at")).collect();
    assert!(
        (2..=3).contains(&choices.len()) && choices.iter().all(|slot| free.contains(&text(slot, "starts_at"))),
        "real ones: {choices:?}"
    );
    let label = text(&choices[1], "label");
    let held = visitor.say(&label).await;
    assert!(text(&held, "response").contains("holding") && text(&held, "response").contains("name"), "{held}");
    // What is held is nobody else's.
    let taken = json!({ "calendar_id": calendar["id"], "starts_at": choices[1]["starts_at"], "provider_id": choices[1]["provider_id"] });
    assert_eq!(owner.api.post("/api/appointments", taken).await.refused(409)["code"], "slot_taken");
    visitor.say("My name is Jo Lee").await;
    let booked = visitor.say("217-555-0133").await;
    let said = text(&booked, "response");
    assert!(said.contains("You're booked: Haircut") && said.contains("/invite.ics?key="), "{booked}");
    let listed = owner.api.list("/api/appointments").await;
    let [appointment] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!(
        (&appointment["name"], &appointment["phone"], &appointment["starts_at"]),
        (&json!("Jo Lee"), &json!("+12175550133"), &choices[1]["starts_at"])
    );
    assert_eq!(
        (&appointment["conversation_id"], &appointment["channel"], &appointment["status"]),
        (&json!(visitor.talk()), &json!("chat"), &json!("scheduled"))
    );

    // The file opens with its address alone, and with no other key.
    assert!(said.contains("[Add it to your calendar](http"), "a link with a name: {said}");
    let address = said.split(['(', ')']).find(|word| word.contains("/invite.ics")).expect("an address").to_owned();
    let path = &address[address.find("/api/").expect("a path")..];
    let file = server.api().get(path).await;
    assert!(file.status == 200 && file.text.contains("SUMMARY:Haircut with"), "{}", file.text);
    let other = if path.ends_with('0') { '1' } else { '0' };
    server.api().get(&format!("{}{other}", &path[..path.len() - 1])).await.refused(401);

    let moved = visitor.say("Sorry, can we reschedule to tomorrow morning?").await;
    assert_eq!(moved["prompt"]["kind"], "slots", "{moved}");
    let moved = visitor.say("the first one").await;
    assert!(text(&moved, "response").contains("Your appointment now is on"), "{moved}");
    let listed = owner.api.list("/api/appointments").await;
    assert_eq!(listed.len(), 1, "it left its old place: {listed:?}");
    assert_ne!(listed[0]["starts_at"], choices[1]["starts_at"]);

    let asked = visitor.say("I have to cancel my appointment").await;
    assert!(text(&asked, "response").contains("Shall I cancel it?"), "{asked}");
    visitor.say("Yes, cancel it").await;
    let listed = owner.api.list("/api/appointments?status=canceled").await;
    // Tomorrow morning is not always less than a day away: what the record says is what the team hears.
    assert_eq!(listed.len(), 1, "{listed:?}");
    let late = listed[0]["late_cancellation"] == true;
    let shown = owner.conversation(visitor.talk()).await;
    assert_eq!(shown["conversation"]["urgency"] == "high", late, "{}", shown["conversation"]);
    if late {
        let told = || async {
            mailbox(&server, &owner.email)
                .await
                .into_iter()
                .find(|mail| text(mail, "subject").contains("Late cancellation"))
        };
        eventually("the team is told", SOON, told).await;
    }
    eventually("the slot is free again", SOON, || async {
        let free = slots(&owner, "limit=500").await;
        free.iter()
            .any(|slot| slot["starts_at"] == listed[0]["starts_at"] && slot["provider_id"] == listed[0]["provider_id"])
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_when_they_are_open_can_be_booked_at_once_until_they_set_up_calendars_of_their_own() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Snip").await;
    let agent = receptionist(&owner).await;
    assert!(
        owner.api.list("/api/calendars").await.is_empty(),
        "no times are promised before it is known when they are open"
    );
    let day = json!({ "open": "00:00", "close": "24:00" });
    let week = json!({ "mon": day, "tue": day, "wed": day, "thu": day, "fri": day, "sat": day, "sun": day });
    owner
        .api
        .patch("/api/organization", json!({ "timezone": "Europe/Zurich", "business_hours": week }))
        .await
        .expect(200);
    let starter = eventually("a calendar to begin with", SOON, || async {
        owner.api.list("/api/calendars").await.into_iter().next()
    })
    .await;
    assert_eq!((&starter["starter"], &starter["timezone"]), (&json!(true), &json!("Europe/Zurich")));
    let mut visitor = Visitor::new(&server, &agent);
    let offered = visitor.say("Can I come in tomorrow afternoon?").await;
    assert_eq!(offered["prompt"]["kind"], "slots", "{offered}");

    // The organization moves, and the calendar nobody has touched goes with it.
    owner.api.patch("/api/organization", json!({ "timezone": "Asia/Tokyo" })).await.expect(200);
    let path = format!("/api/calendars/{}", text(&starter, "id"));
    eventually("the other zone", SOON, || async {
        let shown = owner.api.get(&path).await.expect(200);
        (shown["timezone"] == "Asia/Tokyo").then_some(())
    })
    .await;

    // A calendar that somebody set up goes first, and is the one that is meant.
    let own = salon(&owner, json!({})).await;
    assert_eq!(slots(&owner, "limit=1").await[0]["calendar_id"], own["id"]);
    assert_eq!(slots(&owner, &format!("agent_id={agent}&limit=1")).await[0]["calendar_id"], own["id"]);
    // Whoever changes the first one makes it theirs: now there are two of a kind.
    owner.api.patch(&path, json!({ "name": "Front desk" })).await.expect(200);
    owner.api.get("/api/appointments/slots").await.names("calendar_id");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trade_that_comes_to_people_books_service_calls_and_asks_where() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services", "name": "Desk" })).await, "id");
    let day = json!({ "open": "08:00", "close": "18:00" });
    let week = json!({ "mon": day, "tue": day, "wed": day, "thu": day, "fri": day, "sat": day, "sun": day });
    owner.api.patch("/api/organization", json!({ "business_hours": week })).await.expect(200);
    eventually("a calendar to begin with", SOON, || async {
        owner.api.list("/api/calendars").await.into_iter().next()
    })
    .await;
    let mut visitor = Visitor::new(&server, &agent);
    visitor.say("My water heater leaks").await;
    let offered = visitor.say("Schedule a service call").await;
    let labels = |answer: &Value| -> Vec<String> {
        answer["prompt"]["slots"].as_array().expect("slots").iter().map(|slot| text(slot, "label")).collect()
    };
    let first = labels(&offered);
    let others = labels(&visitor.say("None of those work for me").await);
    let day = |label: &String| label.split(" at ").next().unwrap_or_default().to_owned();
    let days = |labels: &[String]| labels.iter().map(day).collect::<BTreeSet<String>>();
    assert!(days(&others).is_disjoint(&days(&first)), "other days: {first:?} {others:?}");
    assert_eq!(days(&others).len(), others.len(), "and several of them: {others:?}");
    let thursday = labels(&visitor.say("Thursday afternoon").await);
    assert!(thursday.iter().all(|label| label.starts_with("Thursday") && label.contains("PM")), "{thursday:?}");
    let held = visitor.say("the second one").await;
    assert!(text(&held, "response").contains(&thursday[1]), "{held}");
    visitor.say("Jo Lee").await;
    let asked = visitor.say("217-555-0133").await;
    assert!(text(&asked, "response").contains("address where you need service"), "{asked}");
    let booked = visitor.say("12 Oak Street, Springfield, IL 62704").await;
    assert!(text(&booked, "response").contains("You're booked: Service call"), "{booked}");
    let made = owner.api.list("/api/appointments").await;
    assert_eq!(made[0]["type"], "service_call", "{made:?}");
    let path = format!("/api/appointments/{}", text(&made[0], "id"));
    let made = owner.api.get(&path).await.expect(200);
    assert!(text(&made["vertical_data"], "address").starts_with("12 Oak Street"), "{made}");
    assert_eq!(made["vertical_data"]["need"], "My water heater leaks", "{made}");
    let lead = eventually("the lead", SOON, || async {
        let leads = owner.api.list("/api/leads").await;
        leads.into_iter().find(|lead| lead["fields"]["address"].is_string() && lead["suggested_team"].is_string())
    })
    .await;
    assert_eq!(lead["fields"]["need"], "My water heater leaks", "{lead}");
    assert_eq!(
        (&lead["team"], &lead["suggested_team"], &lead["assigned_to"]),
        (&json!("dispatch"), &json!("dispatch"), &Value::Null),
        "{lead}"
    );
    // What is added afterwards stands with the appointment, and is no question that nobody answered.
    for added in ["the gate code is 4411", "thanks, and there's a dog"] {
        let noted = visitor.say(added).await;
        assert!(text(&noted, "response").starts_with("Thanks, I've added that to your appointment."), "{noted}");
    }
    let made = owner.api.get(&path).await.expect(200);
    assert_eq!(made["description"], "the gate code is 4411\nthanks, and there's a dog", "{made}");
    let open = owner.api.get("/api/analytics/unanswered").await.text;
    assert!(!open.contains("4411") && !open.contains("dog"), "{open}");
    let asked = visitor.say("cancel it").await;
    assert!(text(&asked, "response").contains("Shall I cancel it?"), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn appointments_are_worked_on_by_people_with_versions_lists_and_a_feed() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Snip").await;
    let viewer = owner.invite(&server, "viewer", "Vera").await;
    let calendar = salon(&owner, json!({})).await;
    let free = slots(&owner, "limit=9").await;
    let new = |n: usize, name: &str| json!({ "starts_at": free[n]["starts_at"], "name": name, "email": "jo@example.com", "vertical_data": { "hair": "long" } });
    viewer.api.post("/api/appointments", new(0, "Jo")).await.refused(403);
    let made = owner.api.post("/api/appointments", new(0, "Jo")).await;
    let version = made.header("etag").expect("an ETag").to_owned();
    let made = made.expect(201);
    let path = format!("/api/appointments/{}", text(&made, "id"));
    owner.api.post("/api/appointments", new(0, "Second")).await.refused(409);
    owner.api.post("/api/appointments", json!({ "starts_at": "soon" })).await.names("starts_at");
    owner
        .api
        .post("/api/appointments", json!({ "starts_at": free[1]["starts_at"], "email": "nope" }))
        .await
        .names("email");
    // The confirmation has the way to the file.
    let mail =
        eventually("the confirmation", SOON, || async { mailbox(&server, "jo@example.com").await.first().cloned() })
            .await;
    assert!(text(&mail, "text").contains("/invite.ics?key="), "{mail}");

    owner.api.patch(&path, json!({ "status": "confirmed" })).await.expect(200);
    owner.api.header("if-match", &version).patch(&path, json!({ "status": "canceled" })).await.refused(412);
    let moved = owner.api.patch(&path, json!({ "starts_at": free[4]["starts_at"] })).await.expect(200);
    assert_eq!((&moved["starts_at"], &moved["status"]), (&free[4]["starts_at"], &json!("scheduled")));
    // To the old place somebody else may come.
    owner.api.post("/api/appointments", new(0, "Ann")).await.expect(201);
    owner.api.patch(&path, json!({ "starts_at": free[0]["starts_at"] })).await.refused(409);
    let from = text(&free[3], "starts_at");
    let later = owner.api.list(&format!("/api/appointments?from={from}")).await;
    assert_eq!(later.iter().map(|one| text(one, "name")).collect::<Vec<_>>(), ["Jo"]);

    let shown = owner.api.get(&format!("/api/calendars/{}", text(&calendar, "id"))).await.expect(200);
    let feed = text(&shown, "feed_url");
    let feed = feed[feed.find("/api/").expect("a path")..].to_owned();
    let file = server.api().get(&feed).await;
    assert!(
        file.status == 200
            && file.text.matches("BEGIN:VEVENT").count() == 2
            && file.text.contains("SUMMARY:Haircut: Jo"),
        "{}",
        file.text
    );
    let rotate = format!("/api/calendars/{}/rotate-feed", text(&calendar, "id"));
    viewer.api.post(&rotate, json!({})).await.refused(403);
    owner.api.post(&rotate, json!({})).await.expect(200);
    server.api().get(&feed).await.refused(401);
    let seen = viewer.api.get(&format!("/api/calendars/{}", text(&calendar, "id"))).await.expect(200);
    assert!(seen["feed_url"].is_null(), "the address lets anybody read: {seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_outlives_a_killed_server_and_a_reminder_goes_out_once_after_it() {
    let mut server = Server::start().await;
    let owner = Member::sign_up(&server, "Snip").await;
    let agent = receptionist(&owner).await;
    salon(&owner, json!({ "slot_step_minutes": 5 })).await;
    let mut visitor = Visitor::new(&server, &agent);
    visitor.say("I need an appointment").await;
    let held = visitor.say("the first one").await;
    assert!(text(&held, "response").contains("holding"), "{held}");
    server.kill();
    server.boot().await;
    let owner = owner.at(&server);
    visitor.say("My name is Jo Lee").await;
    let booked = visitor.say("217-555-0133").await;
    assert!(text(&booked, "response").contains("You're booked"), "{booked}");
    assert_eq!(owner.api.list("/api/appointments").await.len(), 1);

    // A second calendar whose reminders are due within a minute or two: the next slot but a few, reminded so many minutes before.
    let free = slots(&owner, "limit=6").await;
    let starts: jiff::Timestamp = text(&free[5], "starts_at").parse().expect("a time");
    let ahead = (starts.as_second() - jiff::Timestamp::now().as_second()) / 60;
    let quick = salon(&owner, json!({ "slot_step_minutes": 5, "name": "Quick", "reminder_minutes": ahead - 1 })).await;
    let body =
        json!({ "calendar_id": quick["id"], "starts_at": free[5]["starts_at"], "name": "Ann", "phone": awake() });
    let made = owner.api.post("/api/appointments", body).await.expect(201);
    assert_eq!(made["reminder_sent"], false);
    server.kill();
    server.boot().await;
    let owner = owner.at(&server);
    let path = format!("/api/appointments/{}", text(&made, "id"));
    eventually("the reminder is sent", REMINDED_WITHIN, || async {
        let shown = owner.api.get(&path).await.expect(200);
        (shown["reminder_sent"] == true).then_some(())
    })
    .await;
    let sent = mailbox(&server, awake()).await;
    assert!(sent.len() == 1 && sent[0]["kind"] == "recorded_sms", "{sent:?}");
    server.kill();
    server.boot().await;
    let owner = owner.at(&server);
    let shown = owner.api.get(&path).await.expect(200);
    assert_eq!(
        (&shown["reminder_sent"], &shown["reminder_recorded"]),
        (&json!(true), &json!(true)),
        "no mail server is set up"
    );
    assert!(mailbox(&server, awake()).await.is_empty(), "not a second time");
}

/// A number of somebody who is not asleep while this test runs.
fn awake() -> &'static str {
    match jiff::Timestamp::now().as_second() / 3600 % 24 {
        8..=18 => "+442079460123",
        3..=7 => "+81312345678",
        _ => "+14155550144",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_only_a_number_is_told_over_the_agents_line_once_and_not_against_their_will() {
    let carrier = Carrier::start().await;
    let mut server = carrier.server(&[]).await;
    let owner = Member::sign_up(&server, "Snip").await;
    let agent = receptionist(&owner).await;
    connect_twilio(&owner, &agent).await;
    salon(&owner, json!({ "slot_step_minutes": 5 })).await;
    let free = slots(&owner, "limit=20").await;
    let starts: jiff::Timestamp = text(&free[5], "starts_at").parse().expect("a time");
    let ahead = (starts.as_second() - jiff::Timestamp::now().as_second()) / 60;
    let quick = salon(&owner, json!({ "slot_step_minutes": 5, "name": "Quick", "reminder_minutes": ahead - 1 })).await;
    let book = async |slot: usize| {
        let body = json!({ "calendar_id": quick["id"], "starts_at": free[slot]["starts_at"], "name": "Ann", "phone": awake() });
        let made = owner.api.post("/api/appointments", body).await.expect(201);
        format!("/api/appointments/{}", text(&made, "id"))
    };
    let path = book(5).await;
    // A kill while the carrier has it and has not answered: it is not sent again.
    carrier.mood(Mood::Holding);
    let sent =
        eventually("the reminder at the carrier", REMINDED_WITHIN, || async { carrier.sent_to(awake()).pop() }).await;
    assert!(sent.text.starts_with("Snip: reminder of your appointment") && sent.from == OURS, "{sent:?}");
    server.kill();
    carrier.mood(Mood::Kind);
    server.boot().await;
    let owner = owner.at(&server);
    // Moved: who has only a number is told.
    let update = json!({ "starts_at": free[15]["starts_at"] });
    owner.api.patch(&path, update).await.expect(200);
    let told = carrier.has_sent(awake(), 2).await;
    assert!(told[1].text.contains("has a new time"), "{told:?}");
    // Who is on the list is told nothing.
    let listed = json!({ "channel": "sms", "address": awake(), "reason": "asked" });
    owner.api.post("/api/dnc", listed).await.expect(201);
    owner.api.patch(&path, json!({ "status": "canceled" })).await.expect(200);
    let other = json!({ "starts_at": free[5]["starts_at"], "name": "Bea", "email": "bea@example.com", "calendar_id": quick["id"] });
    owner.api.post("/api/appointments", other).await.expect(201);
    eventually("a later letter", SOON, || async {
        (!mailbox(&server, "bea@example.com").await.is_empty()).then_some(())
    })
    .await;
    assert_eq!(carrier.sent_to(awake()).len(), 2, "neither twice nor against their will");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_erased_has_no_appointment_any_more_and_the_slot_is_free() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Snip").await;
    salon(&owner, json!({})).await;
    let free = slots(&owner, "limit=2").await;
    let body = json!({ "starts_at": free[0]["starts_at"], "name": "Jo", "email": "jo@example.com" });
    let made = owner.api.post("/api/appointments", body.clone()).await.expect(201);
    // One that was refused holds a name too.
    owner.api.post("/api/appointments", body).await.refused(409);
    let erasure = owner.api.post("/api/privacy/erasures", json!({ "email": "jo@example.com" })).await.expect(202);
    let path = format!("/api/privacy/erasures/{}", text(&erasure, "id"));
    let done = eventually("the erasure", Duration::from_secs(30), || async {
        let shown = owner.api.get(&path).await.expect(200);
        (shown["status"] == "completed").then_some(shown)
    })
    .await;
    assert_eq!(
        (&done["counts"]["appointments"], &done["counts"]["refused_appointments"]),
        (&json!(1), &json!(1)),
        "{done}"
    );
    owner.api.get(&format!("/api/appointments/{}", text(&made, "id"))).await.refused(404);
    assert!(owner.api.list("/api/appointments").await.is_empty());
    assert_eq!(slots(&owner, "limit=1").await[0]["starts_at"], free[0]["starts_at"]);
}
