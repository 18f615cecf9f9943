//! What happens through one frontend is seen through all: colleagues who are here, and an answer that is half written when somebody comes to look.

use serde_json::{Value, json};

use crate::model::{Model, WORDS};
use crate::nodes::{Cluster, NODES, Plan, node_id};
use crate::support::people::{Member, SOON, number, text};
use crate::support::random_id;
use crate::support::screen::Screen;
use crate::support::socket::Socket;

/// The whole answer.
fn whole() -> String {
    (0..WORDS).map(|n| format!("word{n} ")).collect()
}

/// What is written of an answer that does not stand yet, as a console gets it: never nothing, once somebody has seen a word of it.
#[track_caller]
fn half(shown: &Value, place: usize) -> (String, u64) {
    assert!(shown.is_object(), "frontend {place} knows nothing of the answer in the making: {shown}");
    let written = text(shown, "text");
    assert!(!written.is_empty() && whole().starts_with(&written), "frontend {place}: {shown}");
    (written, number(shown, "next_index"))
}

/// A console that comes in the middle of an answer and follows it to its end.
struct Late {
    socket: Socket,
    written: String,
    next: u64,
}

impl Late {
    async fn comes(cluster: &Cluster, owner: &Member, place: usize, conversation: &str) -> Self {
        let mut socket = Socket::live(cluster.nodes[place].http, &owner.token).await;
        socket.send(&json!({ "type": "subscribe", "topic": format!("conversation:{conversation}") })).await;
        let snapshot = socket.until("the conversation", |frame| frame["type"] == "snapshot").await;
        let (written, next) = half(&snapshot["data"]["streaming"], place);
        Self { socket, written, next }
    }

    /// No word is missing and none comes twice.
    async fn sees_the_rest(mut self, place: usize) {
        loop {
            let delta = self.socket.until("the rest", |frame| frame["type"] == "delta").await;
            for change in delta["changes"].as_array().into_iter().flatten() {
                let value = &change["value"];
                if change["key"] == "stream" && value["type"] == "token" {
                    let index = number(value, "index");
                    assert!(index <= self.next, "frontend {place} waits for piece {}: {value}", self.next);
                    // What came between watching and looking is known twice.
                    if index == self.next {
                        self.written.push_str(&text(value, "text"));
                        self.next += 1;
                    }
                }
                if value["role"] == "assistant" && text(value, "content").trim() == whole().trim() {
                    assert_eq!(self.written.trim(), whole().trim(), "what frontend {place} was shown word by word");
                    return;
                }
            }
        }
    }
}

/// A visitor asks, and has seen a word of the answer. Which conversation it is, and on which node the answer is made.
async fn asked(cluster: &Cluster, socket: &mut Socket) -> (String, usize) {
    let id = random_id();
    let words = format!("Do you offer emergency services? My reference is {id}.");
    socket.send(&json!({ "type": "message", "client_message_id": id, "text": words })).await;
    let ack = socket.until("the acknowledgement", |frame| frame["type"] == "ack").await;
    let conversation = text(&ack, "conversation_id");
    socket.until("a word", |frame| frame["type"] == "token").await;
    let maker = cluster.owner_of(0, &conversation).await;
    (conversation, maker)
}

/// Every frontend tells what is written so far, also to those who come now.
async fn seen_half_written(cluster: &Cluster, owner: &Member, conversation: &str) -> Vec<Late> {
    let mut late = Vec::new();
    for place in 0..NODES {
        let shown = owner.at(&cluster.nodes[place]).conversation(conversation).await;
        half(&shown["streaming"], place);
        late.push(Late::comes(cluster, owner, place, conversation).await);
    }
    late
}

/// Takes frames until every screen shows a person like this.
async fn shown_by_all(screens: &mut [Screen], person: &str, what: &str, like: impl Fn(&Value) -> bool) {
    for (place, screen) in screens.iter_mut().enumerate() {
        screen.until(&format!("{what} at frontend {place}"), |screen| like(&screen.data[person])).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_written_answers_and_colleagues_who_are_here_are_seen_through_every_frontend() {
    let model = Model::start().await;
    let mut plan = Plan::usual();
    plan.settings.extend(model.settings());
    let cluster = Cluster::start(plan).await;
    let (owner, agent) = cluster.business().await;
    let hello = json!({ "visitor_id": random_id() });
    let mut socket = Socket::chat(cluster.nodes[0].http, &agent, hello).await.expect("a welcome").0;

    // While its conversation stays where the answer is made.
    let (conversation, _) = asked(&cluster, &mut socket).await;
    for (place, late) in seen_half_written(&cluster, &owner, &conversation).await.into_iter().enumerate() {
        late.sees_the_rest(place).await;
    }
    // And once it has moved away from there.
    owner.settled(&conversation, SOON).await;
    let (conversation, maker) = asked(&cluster, &mut socket).await;
    let shard = number(&cluster.place(0, &conversation).await, "shard");
    let to = node_id((maker + 1) % NODES);
    cluster.ordered(0, &format!("/ops/shards/{shard}/move"), json!({ "to": to })).await;
    for (place, late) in seen_half_written(&cluster, &owner, &conversation).await.into_iter().enumerate() {
        late.sees_the_rest(place).await;
    }
    let shown = owner.settled(&conversation, SOON).await;
    assert!(shown["streaming"].is_null(), "an answer that stands is not half written: {shown}");

    // A colleague looks at it through each frontend in turn; the others see it through all.
    let viewer = owner.invite(&cluster.nodes[0], "viewer", "Vera").await;
    let mut screens = Vec::new();
    for node in &cluster.nodes {
        screens.push(Screen::open(node, &owner, "presence").await);
    }
    for node in &cluster.nodes {
        let mut colleague = Socket::live(node.http, &viewer.token).await;
        let here = json!({ "type": "presence", "status": "online", "viewing": conversation, "typing": true });
        colleague.send(&here).await;
        shown_by_all(&mut screens, &viewer.user, "the colleague and what they do", |person| {
            person["viewing"] == conversation.as_str() && person["typing"] == true && person["name"] == "Vera"
        })
        .await;
        for place in &cluster.nodes {
            let late = Screen::open(place, &owner, "presence").await;
            let people = late.data["people"].as_array().expect("people");
            let vera = people.iter().find(|person| person["user_id"] == viewer.user.as_str());
            assert!(vera.is_some_and(|vera| vera["viewing"] == conversation.as_str()), "{people:?}");
        }
        colleague.close().await;
        shown_by_all(&mut screens, &viewer.user, "that the colleague has left it", |person| {
            person["viewing"].is_null()
        })
        .await;
    }
    cluster.end().await;
}
