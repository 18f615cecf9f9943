//! The inbox over the real interface: searching messages, read marks of one's own, colleagues who are here, and what an erasure leaves of it.

mod support;

use rusqlite::Connection;
use serde_json::{Value, json};
use support::people::{Member, SOON, Visitor, number, text};
use support::socket::Socket;
use support::{Server, eventually};

/// An owner with an agent, and one conversation for each text.
async fn talked(server: &Server, texts: &[&str]) -> (Member, String, Vec<Visitor>) {
    let owner = Member::sign_up(server, "Oak").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
    let mut visitors = Vec::new();
    for said in texts {
        let mut visitor = Visitor::new(server, &agent);
        visitor.say(said).await;
        visitors.push(visitor);
    }
    (owner, agent, visitors)
}

/// The ids that a search finds.
async fn found(member: &Member, query: &str) -> Vec<String> {
    member.api.list(&format!("/api/conversations?{query}")).await.iter().map(|row| text(row, "id")).collect()
}

/// What the ranges of a match mark, as a browser cuts it out.
fn marked(found: &Value) -> Vec<String> {
    let units: Vec<u16> = text(found, "snippet").encode_utf16().collect();
    let ranges = found["ranges"].as_array().expect("ranges");
    let at = |range: &Value, n: usize| range[n].as_u64().expect("a place") as usize;
    ranges.iter().map(|range| String::from_utf16(&units[at(range, 0)..at(range, 1)]).expect("text")).collect()
}

#[tokio::test]
async fn a_search_finds_words_of_messages_in_any_writing_and_of_the_own_organization_only() {
    let server = Server::start().await;
    let said =
        ["My quaxfrobber at the Café Müller leaks", "Another quaxfrobber, <b>dry</b> as dust", "Nothing of the sort"];
    let (owner, agent, visitors) = talked(&server, &said).await;
    let (stranger, _, _) = talked(&server, &["The quaxfrobber of somebody else"]).await;
    let viewer = owner.invite(&server, "viewer", "Vera").await;
    let both: Vec<String> = [1, 0].map(|n: usize| visitors[n].talk().to_owned()).into();
    let all = eventually("both are found", SOON, || async {
        let ids = found(&viewer, "q=QUAXFROBBER").await;
        (ids.len() == 2).then_some(ids)
    })
    .await;
    assert_eq!(all, both, "newest first");
    assert_eq!(found(&owner, "q=quaxfr").await, both, "the last word may be a beginning");
    assert_eq!(found(&owner, "q=cafe%20muller").await, [both[1].clone()]);
    assert_eq!(found(&owner, "q=quaxfrobber%20dust").await, [both[0].clone()]);
    assert_eq!(found(&owner, "q=quaxf%20dust").await, Vec::<String>::new(), "only the last");
    assert_eq!(found(&owner, &format!("q=quaxfrobber&agent_id={agent}&status=resolved")).await, Vec::<String>::new());
    assert_eq!(found(&owner, "q=quaxfrobber&to=2020-01-01").await, Vec::<String>::new());
    assert_eq!(found(&stranger, "q=cafe").await, Vec::<String>::new());
    assert_eq!(found(&stranger, "q=quaxfrobber").await.len(), 1, "their own");
    let rows = owner.api.list("/api/conversations?q=dry").await;
    assert_eq!(marked(&rows[0]["match"]), ["dry"], "{rows:?}");
    assert!(text(&rows[0]["match"], "snippet").contains("<b>dry</b>"), "text stays text");
    let first = owner.api.get("/api/conversations?q=quaxfrobber&limit=1").await.expect(200);
    let cursor = text(&first, "next_cursor");
    let second = owner.api.get(&format!("/api/conversations?q=quaxfrobber&limit=1&cursor={cursor}")).await.expect(200);
    assert_eq!(text(&second["items"][0], "id"), both[1]);
    for wrong in ["q=a", "q=", "q=%20%20%20", "q=--", &format!("q={}", "x".repeat(201))] {
        owner.api.get(&format!("/api/conversations?{wrong}")).await.names("q");
    }
}

#[tokio::test]
async fn forks_are_not_searched_and_an_erased_person_is_found_no_more() {
    let server = Server::start().await;
    let (owner, _, visitors) = talked(&server, &["The word is vorpalblade"]).await;
    let id = visitors[0].talk().to_owned();
    eventually("it is found", SOON, || async { (found(&owner, "q=vorpalblade").await.len() == 1).then_some(()) }).await;
    let at = number(&owner.conversation(&id).await["conversation"], "seq");
    owner.api.post(&format!("/api/conversations/{id}/fork"), json!({ "at": at })).await.expect(201);
    assert_eq!(found(&owner, "q=vorpalblade").await, std::slice::from_ref(&id));
    let erasure = owner.api.post("/api/privacy/erasures", json!({ "visitor_id": visitors[0].id })).await.expect(202);
    let path = format!("/api/privacy/erasures/{}", text(&erasure, "id"));
    eventually("they are erased", SOON, || async {
        (owner.api.get(&path).await.expect(200)["status"] == "completed").then_some(())
    })
    .await;
    assert_eq!(found(&owner, "q=vorpalblade").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_message_is_found_after_a_restart_and_no_word_stands_in_the_files() {
    let mut server = Server::start().await;
    let (owner, _, visitors) = talked(&server, &["The word is jabberwock"]).await;
    eventually("it is found", SOON, || async { (found(&owner, "q=jabberwock").await.len() == 1).then_some(()) }).await;
    server.stop().await;
    for entry in std::fs::read_dir(server.data()).expect("the folder").flatten().filter(|entry| entry.path().is_file())
    {
        let bytes = std::fs::read(entry.path()).expect("a file");
        let lower = bytes.to_ascii_lowercase();
        assert!(!lower.windows(10).any(|window| window == b"jabberwock"), "{:?} shows the word", entry.path());
    }
    server.boot().await;
    assert_eq!(found(&owner.at(&server), "q=jabber").await, [visitors[0].talk()]);
}

#[tokio::test]
async fn what_somebody_has_read_is_their_own_and_reaches_their_other_screens() {
    let mut server = Server::start().await;
    let (owner, _, mut visitors) = talked(&server, &["Hello there"]).await;
    let viewer = owner.invite(&server, "viewer", "Vera").await;
    visitors[0].say("Are you open on Sunday?").await;
    let id = visitors[0].talk().to_owned();
    let row = |member: Member| async move { member.api.list("/api/conversations").await.first().cloned() };
    let unread = |member: &Member| {
        let member = member.clone();
        async move { row(member).await.map(|row| number(&row, "unread")) }
    };
    eventually("both messages are unread", SOON, || async { (unread(&owner).await == Some(2)).then_some(()) }).await;
    let shown = eventually("the answer's row is written", SOON, || async {
        let shown = row(owner.clone()).await?;
        (number(&shown, "last_seq") > number(&shown, "last_visitor_seq")).then_some(shown)
    })
    .await;
    let (last, last_visitor) = (number(&shown, "last_seq"), number(&shown, "last_visitor_seq"));
    assert!(last > last_visitor && last_visitor > 0, "{shown}");
    let path = format!("/api/conversations/{id}/read");
    for wrong in [json!({ "seq": 0 }), json!({ "seq": 9_999 }), json!({ "seq": 3, "unread": true })] {
        owner.api.post(&path, wrong).await.names("seq");
    }
    let mut others = Vec::new();
    for member in [&owner, &owner, &viewer] {
        let mut socket = Socket::live(member.api.address, &member.token).await;
        socket.send(&json!({ "type": "subscribe", "topic": "conversations" })).await;
        socket.until("the board", |frame| frame["type"] == "snapshot").await;
        others.push(socket);
    }
    owner.api.post(&path, json!({ "seq": last })).await.expect(204);
    assert_eq!(unread(&owner).await, Some(0));
    assert_eq!(unread(&viewer).await, Some(2), "a mark is one's own");
    assert_eq!(owner.api.list("/api/conversations?unread=true").await.len(), 0);
    assert_eq!(viewer.api.list("/api/conversations?unread=true").await.len(), 1);
    let key = format!("read:{id}");
    let tells = |frame: &Value| {
        let changes = frame["changes"].as_array().cloned().unwrap_or_default();
        changes.iter().any(|change| change["key"] == key.as_str() && change["value"]["seq"] == last)
    };
    for socket in &mut others[..2] {
        socket.until("the own mark", |frame| frame["type"] == "delta" && tells(frame)).await;
    }
    // The number has risen for the colleague too, and nothing but the number.
    visitors[0].say("And on Monday?").await;
    let seen_by_viewer = others[2]
        .until("the new message", |frame| {
            let changes = frame["changes"].as_array().cloned().unwrap_or_default();
            changes.iter().any(|change| change["value"]["last_visitor_seq"].as_u64().is_some_and(|seq| seq > last))
        })
        .await;
    assert!(!others[2].seen.iter().any(tells), "{seen_by_viewer}");
    let seqs: Vec<u64> =
        others[2].seen.iter().filter(|frame| frame["type"] == "delta").map(|frame| number(frame, "seq")).collect();
    assert!(seqs.windows(2).all(|two| two[1] == two[0] + 1), "{seqs:?}");
    viewer.api.post(&path, json!({ "seq": last })).await.expect(204);
    owner.api.post(&path, json!({ "seq": 1 })).await.expect(204);
    eventually("only the new message is unread", SOON, || async { (unread(&owner).await == Some(1)).then_some(()) })
        .await;
    owner.api.post(&path, json!({ "seq": 0, "unread": true })).await.expect(204);
    assert_eq!(unread(&owner).await, Some(3));
    server.kill();
    server.boot().await;
    assert_eq!(unread(&owner.at(&server)).await, Some(3), "marks are in the journal");
    assert_eq!(unread(&viewer.at(&server)).await, Some(1));
}

#[tokio::test]
async fn colleagues_see_who_is_here_and_where_and_strangers_see_nobody() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak").await;
    let viewer = owner.invite(&server, "viewer", "Vera").await;
    let stranger = Member::sign_up(&server, "Elm").await;
    let subscribe = json!({ "type": "subscribe", "topic": "presence" });
    let mut watching = Socket::live(owner.api.address, &owner.token).await;
    watching.send(&subscribe).await;
    let first = watching.until("who is here", |frame| frame["type"] == "snapshot").await;
    assert!(first["data"]["people"].is_array(), "{first}");
    let mut outside = Socket::live(stranger.api.address, &stranger.token).await;
    outside.send(&subscribe).await;
    outside.until("who is here", |frame| frame["type"] == "snapshot").await;
    // Two screens of one person are one entry.
    let mut screens = Vec::new();
    for _ in 0..2 {
        let mut screen = Socket::live(viewer.api.address, &viewer.token).await;
        screen.send(&json!({ "type": "presence", "status": "away" })).await;
        screens.push(screen);
    }
    let of_viewer = |frame: &Value| {
        let changes = frame["changes"].as_array().cloned().unwrap_or_default();
        changes.into_iter().find(|change| change["key"] == viewer.user.as_str()).map(|change| change["value"].clone())
    };
    watching.until("the viewer is away", |frame| of_viewer(frame).is_some_and(|value| value["status"] == "away")).await;
    screens[1].send(&json!({ "type": "presence", "status": "online", "viewing": "c-1", "typing": true })).await;
    let typing = |frame: &Value| of_viewer(frame).is_some_and(|value| value["typing"] == true);
    let frame = watching.until("the viewer types", typing).await;
    let shown = of_viewer(&frame).expect("the viewer");
    assert_eq!(
        (&shown["name"], &shown["status"], &shown["viewing"]),
        (&json!("Vera"), &json!("online"), &json!("c-1"))
    );
    drop(screens.pop());
    let away =
        |frame: &Value| of_viewer(frame).is_some_and(|value| value["viewing"].is_null() && value["status"] == "away");
    watching.until("the other screen is left", away).await;
    outside.send(&json!({ "type": "presence", "viewing": "c-2" })).await;
    let own = |frame: &Value| frame["changes"].to_string().contains("c-2");
    outside.until("the stranger's own", own).await;
    assert!(!outside.seen.iter().any(|frame| frame.to_string().contains(&viewer.user)), "{:?}", outside.seen);
}

#[tokio::test]
async fn people_are_told_of_what_concerns_them_and_of_nothing_that_was_erased() {
    let server = Server::start().await;
    let (owner, _, mut visitors) = talked(&server, &["Hello there"]).await;
    let rep = owner.invite(&server, "rep", "Rita").await;
    let told = |member: &Member, kind: &'static str| {
        let api = member.api.clone();
        async move { api.list("/api/notifications").await.into_iter().find(|item| item["kind"] == kind) }
    };
    let joined = eventually("the owner is told who joined", SOON, || told(&owner, "invitation_accepted")).await;
    assert!(text(&joined, "title").contains("Rita"), "{joined}");
    assert_eq!(told(&rep, "invitation_accepted").await, None, "that is for who may invite");
    let mut socket = Socket::live(rep.api.address, &rep.token).await;
    socket.send(&json!({ "type": "subscribe", "topic": "notifications" })).await;
    socket.until("what there is", |frame| frame["type"] == "snapshot" && frame["topic"] == "notifications").await;
    let id = visitors[0].talk().to_owned();
    owner.api.patch(&format!("/api/conversations/{id}"), json!({ "assigned_to": rep.user })).await.expect(200);
    let frame = socket.until("it is the rep's now", |frame| frame["changes"].to_string().contains("assigned")).await;
    assert!(frame["changes"].as_array().is_some_and(|all| all.iter().any(|one| one["key"] == "unread")), "{frame}");
    assert_eq!(told(&owner, "assigned").await, None, "nobody else's business");
    owner
        .api
        .patch("/api/me/preferences", json!({ "notifications": { "lead": { "in_app": false } } }))
        .await
        .expect(200);
    owner
        .api
        .patch("/api/me/preferences", json!({ "notifications": { "rain": {} } }))
        .await
        .names("notifications.rain");
    visitors[0].say("My name is Quillon Lee and my number is 217-555-0133, I need a quote").await;
    let lead = eventually("the rep is told of the lead", SOON, || told(&rep, "lead")).await;
    assert!(lead["read_at"].is_null() && lead.to_string().contains("Quillon"), "{lead}");
    assert_eq!(told(&owner, "lead").await, None, "who does not want it is not told");
    rep.api.post("/api/notifications/read", json!({ "ids": [lead["id"], "99999"] })).await.expect(204);
    let unread = || async { number(&rep.api.get("/api/notifications?unread=true").await.expect(200), "unread") };
    assert_eq!(unread().await, 1);
    rep.api.post("/api/notifications/read", json!({ "all": true })).await.expect(204);
    assert_eq!(unread().await, 0);
    let none_left = |frame: &Value| {
        let changes = frame["changes"].as_array().cloned().unwrap_or_default();
        changes.iter().any(|change| change["key"] == "unread" && change["value"] == 0)
    };
    socket.until("the screen knows", none_left).await;
    rep.api.post("/api/notifications/read", json!({})).await.names("ids");
    let erasure = owner.api.post("/api/privacy/erasures", json!({ "visitor_id": visitors[0].id })).await.expect(202);
    let path = format!("/api/privacy/erasures/{}", text(&erasure, "id"));
    eventually("they are erased", SOON, || async {
        (owner.api.get(&path).await.expect(200)["status"] == "completed").then_some(())
    })
    .await;
    let after = json!(rep.api.list("/api/notifications").await).to_string();
    assert!(after.contains("was erased") && !after.contains("Quillon") && !after.contains("555"), "{after}");
}

#[tokio::test]
async fn conversations_from_before_there_was_search_are_found_without_anybody_opening_them() {
    let mut server = Server::start().await;
    let said = ["An old quaxfrobber", "Another one: a quaxfrobber", "Nothing of the sort"];
    let (owner, agent, visitors) = talked(&server, &said).await;
    for (word, talks) in [("quaxfrobber", 2), ("sort", 1)] {
        let path = format!("q={word}");
        eventually("they are found while they are new", SOON, || async {
            (found(&owner, &path).await.len() == talks).then_some(())
        })
        .await;
    }
    server.kill();
    // The files as they were: no words of anything, and nobody who has looked after that.
    let db = Connection::open(server.data().join("colloquy.db")).expect("the journal");
    let gone = db
        .execute("DELETE FROM list_row WHERE list = 'words'", [])
        .and_then(|rows| {
            db.execute("DELETE FROM event WHERE entity IN (SELECT number FROM entity WHERE kind = 'upkeep')", [])?;
            db.execute("DELETE FROM entity WHERE kind = 'upkeep'", [])?;
            db.execute("DELETE FROM wake WHERE kind = 'upkeep'", [])?;
            Ok(rows)
        })
        .expect("plain tables");
    assert_eq!(gone, said.len(), "each conversation had its words");
    drop(db);
    server.boot().await;
    let owner = owner.at(&server);
    let ids = eventually("they are found", SOON, || async {
        let ids = found(&owner, "q=quaxfrobber").await;
        (ids.len() == 2).then_some(ids)
    })
    .await;
    assert_eq!(ids, [1, 0].map(|n: usize| visitors[n].talk().to_owned()), "newest first");
    // What is said from now on has its words by itself, once all old ones have theirs.
    let mut late = Visitor::new(&server, &agent);
    late.say("One more quaxfrobber").await;
    eventually("it is found too", SOON, || async { (found(&owner, "q=quaxfrobber").await.len() == 3).then_some(()) })
        .await;
}
