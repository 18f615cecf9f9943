//! The console's live socket, folded as a console folds it and compared with a recount of the journals.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::people::{SOON, number, text};
use crate::support::socket::Socket;
use crate::{Place, kind_of};

#[tokio::test]
async fn the_live_screen_equals_a_recount_of_the_journals() {
    let place = Place::open().await;
    let mut live = Screen::open(&place, "overview").await;
    assert_eq!(live.count("total_conversations"), 0, "{}", live.data);
    let mut conversations = Screen::open(&place, "conversations").await;
    let mut leads = Screen::open(&place, "leads").await;

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
        recount.add(&place.owner.journal(visitor.talk()).await);
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
    let fresh = Screen::open(&place, "overview").await;
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
        let counted = fresh
            .sources
            .as_object()
            .into_iter()
            .flatten()
            .find(|(key, _)| key.contains(visitor.talk()))
            .and_then(|(_, seq)| seq.as_u64());
        assert_eq!(counted, Some(seq), "{sources}");
    }
    // One conversation, live.
    let one = Screen::open(&place, &format!("conversation:{}", talks[1].talk())).await;
    assert!(one.data.to_string().contains("flooding"), "{}", one.data);
    Screen::open(&place, &format!("agent:{}", place.agent)).await;
}

/// What the journals say, counted by hand.
#[derive(Debug, Default)]
struct Recount {
    conversations: i64,
    questions: i64,
    messages: i64,
    leads: i64,
    ratings: Vec<i64>,
}

impl Recount {
    fn add(&mut self, journal: &[Value]) {
        for entry in journal {
            match kind_of(entry) {
                "started" => self.conversations += 1,
                "posted" => {
                    self.questions += 1;
                    self.messages += 1;
                }
                "answered" | "human_said" => self.messages += 1,
                "lead_captured" => self.leads += 1,
                "rated" => {
                    let rating = entry["rating"]
                        .as_i64()
                        .or_else(|| entry["event"]["rating"].as_i64())
                        .or_else(|| entry["body"]["rating"].as_i64());
                    self.ratings.push(rating.expect("a rating"));
                    self.ratings.sort_unstable();
                }
                _ => {}
            }
        }
    }
}

/// A topic of the live socket, folded as a console folds it.
struct Screen {
    socket: Socket,
    topic: String,
    seq: u64,
    data: Value,
    sources: Value,
}

impl Screen {
    async fn open(place: &Place, topic: &str) -> Self {
        let mut socket = Socket::live(place.server.http, &place.owner.token).await;
        socket.send(&json!({ "type": "subscribe", "topic": topic })).await;
        let first = socket.until("the snapshot", |frame| frame["type"] == "snapshot" || frame["type"] == "error").await;
        assert_eq!((&first["type"], &first["topic"]), (&json!("snapshot"), &json!(topic)), "{first}");
        Self {
            socket,
            topic: topic.to_owned(),
            seq: number(&first, "seq"),
            sources: first["sources"].clone(),
            data: first["data"].clone(),
        }
    }

    /// Takes frames until the screen shows what is waited for.
    async fn until(&mut self, what: &str, shows: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !shows(self) {
            let left = SOON
                .checked_sub(begun.elapsed())
                .unwrap_or_else(|| panic!("{}: {what} is not shown after {SOON:?}: {}", self.topic, self.data));
            let frame = match self.socket.next_within(left.max(Duration::from_millis(1))).await {
                Ok(Some(frame)) => frame,
                other => panic!("{}: {other:?} before {what}; the screen shows {}", self.topic, self.data),
            };
            match frame["type"].as_str() {
                Some("snapshot") => {
                    self.seq = number(&frame, "seq");
                    self.data = frame["data"].clone();
                    self.sources = frame["sources"].clone();
                }
                Some("delta") => {
                    assert_eq!(number(&frame, "seq"), self.seq + 1, "deltas rise by one: {frame}");
                    self.seq += 1;
                    for change in frame["changes"].as_array().into_iter().flatten() {
                        let key = text(change, "key");
                        match change["op"].as_str() {
                            Some("put") => self.data[key] = change["value"].clone(),
                            Some("remove") => drop(self.data.as_object_mut().and_then(|data| data.remove(&key))),
                            Some(_) | None => panic!("an unknown change: {change}"),
                        }
                    }
                }
                Some(_) | None => {}
            }
        }
    }

    /// A card of the last day; the board has one entry for each window.
    fn card(&self, card: &str) -> &Value {
        &self.data["24h"][card]
    }

    fn number(&self, card: &str) -> Option<f64> {
        self.card(card).as_f64()
    }

    #[track_caller]
    fn count(&self, card: &str) -> i64 {
        self.card(card).as_i64().unwrap_or_else(|| panic!("no card `{card}` on {}: {}", self.topic, self.data))
    }
}
