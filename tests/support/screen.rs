//! The console's live socket, folded as a console folds it, and a recount of the journals to compare it with.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Server;
use super::people::{Member, SOON, number, text};
use super::socket::Socket;

/// What the journals say, counted by hand.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Recount {
    /// Conversations that began.
    pub(crate) conversations: i64,
    /// Messages of visitors.
    pub(crate) questions: i64,
    /// Messages of anyone.
    pub(crate) messages: i64,
    /// Leads that conversations made.
    pub(crate) leads: i64,
    /// Ratings, the lowest first.
    pub(crate) ratings: Vec<i64>,
}

impl Recount {
    /// Counts a conversation's events up to a sequence number.
    pub(crate) fn add(&mut self, journal: &[Value], upto: u64) {
        for entry in journal.iter().filter(|entry| number(entry, "seq") <= upto) {
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
pub(crate) struct Screen {
    socket: Socket,
    topic: String,
    /// The number of the last frame.
    pub(crate) seq: u64,
    /// What it shows.
    pub(crate) data: Value,
    /// How far the snapshot has counted each entity.
    pub(crate) sources: Value,
    /// How often the server said that something was missed.
    pub(crate) gaps: usize,
}

impl Screen {
    /// Follows a topic on a connection of its own.
    pub(crate) async fn open(server: &Server, member: &Member, topic: &str) -> Self {
        let mut socket = Socket::live(server.http, &member.token).await;
        socket.send(&json!({ "type": "subscribe", "topic": topic })).await;
        let first = socket.until("the snapshot", |frame| frame["type"] == "snapshot" || frame["type"] == "error").await;
        assert_eq!((&first["type"], &first["topic"]), (&json!("snapshot"), &json!(topic)), "{first}");
        Self {
            socket,
            topic: topic.to_owned(),
            seq: number(&first, "seq"),
            sources: first["sources"].clone(),
            gaps: 0,
            data: first["data"].clone(),
        }
    }

    /// Takes frames until the screen shows what is waited for.
    pub(crate) async fn until(&mut self, what: &str, shows: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !shows(self) {
            let left = SOON
                .checked_sub(begun.elapsed())
                .unwrap_or_else(|| panic!("{}: {what} is not shown after {SOON:?}: {}", self.topic, self.data));
            let frame = match self.socket.next_within(left.max(Duration::from_millis(1))).await {
                Ok(Some(frame)) => frame,
                other => panic!("{}: {other:?} before {what}; the screen shows {}", self.topic, self.data),
            };
            self.take(&frame);
        }
    }

    /// Takes the next frame, if there is one in this time; an error is one of the connection.
    pub(crate) async fn look(&mut self, within: Duration) -> Result<(), String> {
        match self.socket.next_within(within).await? {
            Some(frame) => {
                self.take(&frame);
                Ok(())
            }
            None => Err("closed".to_owned()),
        }
    }

    #[track_caller]
    fn take(&mut self, frame: &Value) {
        match frame["type"].as_str() {
            Some("snapshot") => {
                self.seq = number(frame, "seq");
                self.data = frame["data"].clone();
                self.sources = frame["sources"].clone();
            }
            Some("delta") => {
                assert_eq!(number(frame, "seq"), self.seq + 1, "deltas rise by one: {frame}");
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
            Some("gap") => self.gaps += 1,
            Some(_) | None => {}
        }
    }

    /// The sequence number up to which the snapshot has counted an entity.
    pub(crate) fn counted_to(&self, id: &str) -> Option<u64> {
        let sources = self.sources.as_object()?;
        sources.iter().find(|(key, _)| key.ends_with(id)).and_then(|(_, seq)| seq.as_u64())
    }

    /// The ids of one list's entities that the snapshot has counted.
    pub(crate) fn counted_of(&self, list: &str) -> Vec<String> {
        let sources = self.sources.as_object().into_iter().flatten();
        sources.filter_map(|(key, _)| key.strip_prefix(list)?.strip_prefix('/').map(str::to_owned)).collect()
    }

    /// A card of the last day; the board has one entry for each window.
    pub(crate) fn card(&self, card: &str) -> &Value {
        &self.data["24h"][card]
    }

    /// A card that is a number, if it has a value.
    pub(crate) fn number(&self, card: &str) -> Option<f64> {
        self.card(card).as_f64()
    }

    /// A card that counts.
    #[track_caller]
    pub(crate) fn count(&self, card: &str) -> i64 {
        self.card(card).as_i64().unwrap_or_else(|| panic!("no card `{card}` on {}: {}", self.topic, self.data))
    }
}

/// What kind of event a journal entry is.
pub(crate) fn kind_of(entry: &Value) -> &str {
    entry["type"]
        .as_str()
        .or_else(|| entry["event"]["type"].as_str())
        .or_else(|| entry["body"]["type"].as_str())
        .unwrap_or_else(|| panic!("an event without a type: {entry}"))
}
