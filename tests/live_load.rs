//! Proves that the screen shows the truth at any moment: while visitors chat, every snapshot equals a recount of the journals up to the numbers it names,
//! deltas come without a gap, and after `kill -9` in the middle of it all the numbers are those of the journals again.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use support::people::{Member, SOON, Visitor, number, text};
use support::screen::{Recount, Screen, kind_of};
use support::{Server, eventually, random_id};
use tokio::sync::Semaphore;

/// Visitors at a time.
const VISITORS: usize = 6;
/// Messages of a conversation before its visitor rates it and another begins.
const MESSAGES: usize = 6;
/// Snapshots taken under load.
const INSTANTS: usize = 8;
/// Turns that may be taken for each of them, by all visitors together: some before it, the rest while the journals are counted.
const TURNS_EACH: usize = 40;
/// How many of them come before it.
const TURNS_BEFORE: usize = 15;
/// A turn of the built-in responder takes milliseconds, on a machine that compiles something else some more.
const TURNS_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_and_after_a_kill_every_snapshot_equals_a_recount() {
    let mut server = Server::start_with(&[
        ("COLLOQUY_LIMITS__CHAT_PER_VISITOR_PER_MINUTE", "1000000"),
        ("COLLOQUY_LIMITS__CHAT_PER_ADDRESS_PER_MINUTE", "1000000"),
        ("COLLOQUY_LIMITS__API_PER_PRINCIPAL_PER_MINUTE", "1000000"),
    ])
    .await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
    let mut followed = Screen::open(&server, &owner, "overview").await;
    let (turns, killed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let allowed = Arc::new(Semaphore::new(0));
    let mut visitors = tokio::task::JoinSet::new();
    for n in 0..VISITORS {
        visitors.spawn(chat(Visitor::new(&server, &agent), n, allowed.clone(), turns.clone(), killed.clone()));
    }
    // A dashboard that is open all the time; what it shows is compared once more at the end of its connection.
    let following = {
        let killed = killed.clone();
        tokio::spawn(async move {
            let mut frames = 0;
            while followed.look(Duration::from_secs(5)).await.is_ok() {
                frames += 1;
            }
            assert!(killed.load(Ordering::SeqCst), "the socket ended before the server did");
            (followed, frames)
        })
    };

    for instant in 0..=INSTANTS {
        let wanted = turns.load(Ordering::SeqCst) + TURNS_BEFORE;
        allowed.add_permits(TURNS_EACH);
        eventually("the visitors go on", TURNS_WITHIN, async || (turns.load(Ordering::SeqCst) >= wanted).then_some(()))
            .await;
        assert!(visitors.try_join_next().is_none(), "a visitor gave up");
        if instant == INSTANTS {
            break; // This is the load in which the server dies.
        }
        let snapshot = Screen::open(&server, &owner, "overview").await;
        compare(&owner, &snapshot).await;
        assert!(snapshot.count("messages") > 0, "instant {instant}: {}", snapshot.data);
    }

    killed.store(true, Ordering::SeqCst);
    server.kill();
    allowed.close();
    while let Some(ended) = visitors.join_next().await {
        ended.expect("a visitor is only stopped by the kill");
    }
    let (followed, frames) = following.await.expect("deltas rise by one");
    assert_eq!(followed.gaps, 0);
    assert!(frames > INSTANTS, "{frames}");
    let last_seen = followed.count("messages");

    server.boot().await;
    let listed = owner.api.list("/api/conversations").await;
    for conversation in &listed {
        owner.settled(&text(conversation, "id"), SOON).await;
    }
    let snapshot = eventually("the screen has counted every conversation to its end", SOON, async || {
        let snapshot = Screen::open(&server, &owner, "overview").await;
        for conversation in owner.api.list("/api/conversations").await {
            let id = text(&conversation, "id");
            let seq = number(&owner.conversation(&id).await["conversation"], "seq");
            if snapshot.counted_to(&id) != Some(seq) {
                return None;
            }
        }
        let leads = owner.api.list("/api/leads").await.len();
        (snapshot.counted_of("leads").len() == leads && snapshot.counted_of("conversations").len() == listed.len())
            .then_some(snapshot)
    })
    .await;
    let recount = compare(&owner, &snapshot).await;
    // Every lead that a conversation has made has arrived by now.
    assert_eq!(snapshot.count("leads_captured"), recount.leads, "{recount:?}");
    assert!(recount.leads > 0 && !recount.ratings.is_empty(), "{recount:?}");
    assert!(snapshot.count("messages") >= last_seen, "nothing that was shown is gone");
    eprintln!(
        "{frames} deltas without a gap, {INSTANTS} snapshots under load, then {} conversations",
        recount.conversations
    );
}

/// Talks until the server is killed: some messages, a lead among them, a rating, and again.
async fn chat(
    mut visitor: Visitor,
    n: usize,
    allowed: Arc<Semaphore>,
    turns: Arc<AtomicUsize>,
    killed: Arc<AtomicBool>,
) {
    loop {
        (visitor.id, visitor.token, visitor.conversation) = (random_id(), None, None);
        for message in 0..MESSAGES {
            let Ok(turn) = allowed.acquire().await else { return };
            turn.forget();
            let words = match message {
                2 => "My name is Ann Lee and my number is 217-555-0133, please call me about a quote",
                4 => "Who was the emperor of France in 1807?",
                _ => "Do you offer emergency services?",
            };
            let body = visitor.body(words, &random_id());
            match visitor.api().try_call("POST", "/api/chat", Some(&body)).await {
                Ok(answer) if answer.status == 200 => visitor.remember(&answer.body),
                other => return assert!(killed.load(Ordering::SeqCst), "{other:?}"),
            }
            turns.fetch_add(1, Ordering::SeqCst);
        }
        let path = format!("/api/chat/{}/rating", visitor.talk());
        let rating = json!({ "rating": n % 5 + 1 });
        match visitor.api().try_call("POST", &path, Some(&rating)).await {
            Ok(answer) if answer.status < 300 => {}
            other => return assert!(killed.load(Ordering::SeqCst), "{other:?}"),
        }
    }
}

/// Recounts the journals up to the numbers that the snapshot names, and compares every card with it.
async fn compare(owner: &Member, snapshot: &Screen) -> Recount {
    let mut recount = Recount::default();
    let ids = snapshot.counted_of("conversations");
    let journals = futures::future::join_all(ids.iter().map(|id| owner.journal(id))).await;
    for (id, journal) in ids.iter().zip(&journals) {
        let upto = snapshot.counted_to(id).expect("a source");
        assert!(journal.iter().any(|event| number(event, "seq") == upto), "{id} has no event {upto}");
        recount.add(journal, upto);
    }
    let sources = &snapshot.sources;
    assert_eq!(
        (snapshot.count("total_conversations"), snapshot.count("messages")),
        (recount.conversations, recount.messages),
        "the screen against the journals up to {sources}"
    );
    let mean = (!recount.ratings.is_empty()).then(|| {
        let mean = recount.ratings.iter().sum::<i64>() as f64 / recount.ratings.len() as f64;
        (mean * 100.0).round() / 100.0
    });
    assert_eq!(snapshot.number("avg_satisfaction"), mean, "{:?}", recount.ratings);
    // Leads are entities of their own: each counts from its first event.
    let leads = snapshot.counted_of("leads");
    assert_eq!(snapshot.count("leads_captured"), i64::try_from(leads.len()).expect("few"), "{sources}");
    for id in leads {
        let from = text(&owner.api.get(&format!("/api/leads/{id}")).await.expect(200), "conversation_id");
        let journal = owner.journal(&from).await;
        assert!(
            journal.iter().any(|event| kind_of(event) == "lead_captured"),
            "lead {id} comes from nothing in {from}"
        );
    }
    recount
}
