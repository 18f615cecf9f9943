//! The console's live socket, folded as a console folds it and compared with a recount of the journals.

use serde_json::json;

use crate::Place;
use crate::support::people::number;
use crate::support::screen::{Recount, Screen};

#[tokio::test]
async fn the_live_screen_equals_a_recount_of_the_journals() {
    let place = Place::open().await;
    let mut live = Screen::open(&place.server, &place.owner, "overview").await;
    assert_eq!(live.count("total_conversations"), 0, "{}", live.data);
    let mut conversations = Screen::open(&place.server, &place.owner, "conversations").await;
    let mut leads = Screen::open(&place.server, &place.owner, "leads").await;

    // Six visitors at once, three turns each; one leaves a lead, one escalates, two rate.
    let talks = futures::future::join_all((0..6).map(|n| {
        let mut visitor = place.visitor();
        async move {
            for question in ["Who founded Oak Street Plumbing?", "What does a sump pump replacement cost?"] {
                visitor.say(question).await;
            }
            match n {
                0 => drop(
                    visitor.say("My name is Ann Lee and my number is 217-555-0133, please call me about a quote").await,
                ),
                1 => drop(visitor.say("Help, my kitchen is flooding!").await),
                _ => drop(visitor.say("Who makes your tankless heaters?").await),
            }
            if n >= 4 {
                visitor.api().post(&format!("/api/chat/{}/rating", visitor.talk()), json!({ "rating": n })).await.ok();
            }
            visitor
        }
    }))
    .await;

    let mut recount = Recount::default();
    for visitor in &talks {
        recount.add(&place.owner.journal(visitor.talk()).await, u64::MAX);
    }
    assert_eq!(
        (recount.conversations, recount.questions, recount.ratings.as_slice()),
        (6, 18, [4, 5].as_slice()),
        "{recount:?}"
    );
    live.until("the recount", |live| {
        live.count("total_conversations") == 6
            && live.count("messages") == recount.messages
            && live.number("avg_satisfaction") == Some(4.5)
    })
    .await;
    live.until("the escalation and the lead", |live| {
        live.count("escalated") >= 1 && live.count("leads_captured") == recount.leads
    })
    .await;
    assert!(recount.leads >= 1, "{recount:?}");
    conversations
        .until("every conversation", |screen| {
            talks.iter().all(|visitor| screen.data.to_string().contains(visitor.talk()))
        })
        .await;
    leads.until("the lead", |screen| screen.data.to_string().contains("Ann Lee")).await;

    // Whoever looks now sees the same, and so does the page that is not live.
    let fresh = Screen::open(&place.server, &place.owner, "overview").await;
    assert_eq!(fresh.data, live.data);
    let page = place.owner.api.get("/api/analytics/overview?window=24h").await.expect(200);
    for card in ["total_conversations", "messages", "escalated", "leads_captured", "unanswered"] {
        assert_eq!(page[card].as_i64(), Some(live.count(card)), "{card}");
    }
    // The snapshot names how far it has counted each conversation, which is to its end.
    let sources = fresh.sources.to_string();
    for visitor in &talks {
        let seq = number(&place.owner.conversation(visitor.talk()).await["conversation"], "seq");
        assert!(sources.contains(visitor.talk()), "no source {} in {sources}", visitor.talk());
        assert_eq!(fresh.counted_to(visitor.talk()), Some(seq), "{sources}");
    }
    // One conversation, live.
    let one = Screen::open(&place.server, &place.owner, &format!("conversation:{}", talks[1].talk())).await;
    assert!(one.data.to_string().contains("flooding"), "{}", one.data);
    Screen::open(&place.server, &place.owner, &format!("agent:{}", place.agent)).await;
}
