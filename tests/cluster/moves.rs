//! What operators do while visitors chat: shards moved in a loop, a node drained, all nodes restarted one after the other.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::load::{Load, Size};
use crate::model::{Model, WORDS};
use crate::nodes::{Cluster, NODES, Plan, node_id};
use crate::support::people::{SOON, number, text};
use crate::support::socket::Socket;
use crate::support::{eventually, random_id};

/// Widgets that are open all the time: by the issue, 200 with those that talk.
const WIDGETS: usize = 192;
/// Widgets that talk all the time. More of them would only show how fast the machine is.
const TALKING: usize = 8;
/// Messages after which a step has been felt by some.
const FELT: usize = 24;
/// Moves of shards that have active conversations.
const MOVES: usize = 24;
/// A message that meets a restarting node goes to another one; nobody's death is waited for. Seconds where nothing else runs.
const SAID_WITHIN: Duration = Duration::from_secs(30);
/// Frames of a stream that moves: the words of two beginnings, and some room.
const STREAMED_WITHIN: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moves_a_drain_and_a_rolling_restart_are_not_noticed_by_visitors() {
    let mut cluster = Cluster::start(Plan::usual()).await;
    let (owner, agent) = cluster.business().await;
    let size = Size { http: 3, sockets: TALKING, idle: WIDGETS, within: SAID_WITHIN };
    let mut load = Load::start(cluster.frontends(), &agent, size);
    let begun = Instant::now();
    load.listens().await;
    eprintln!("{WIDGETS} idle widgets were there after {:?}", begun.elapsed());
    let begun = Instant::now();

    for n in 0..MOVES {
        // The newest conversations are those that somebody talks in.
        let listed = owner.api.get("/api/conversations?limit=20").await.expect(200);
        let all = listed["items"].as_array().expect("conversations");
        let place = cluster.place(n % NODES, &text(&all[n % all.len()], "id")).await;
        let from = text(&place, "owner");
        let to = (1..=2).map(|more| node_id((n + more) % NODES)).find(|to| *to != from).expect("another node");
        let shard = number(&place, "shard");
        cluster.ordered(n % NODES, &format!("/ops/shards/{shard}/move"), json!({ "to": to })).await;
        load.fine();
    }
    load.goes_on(FELT).await;
    eprintln!("{MOVES} moves one by one in {:?}", begun.elapsed());

    let mut handed = (0.0, 0.0);
    for place in 0..NODES {
        handed.0 += cluster.metric(place, "colloquy_handoff_seconds_sum").await;
        handed.1 += cluster.metric(place, "colloquy_handoff_seconds_count").await;
    }
    eprintln!("{} hand-overs took {:.3} s on average", handed.1, handed.0 / handed.1);

    // As an upgrade goes: one is emptied first, as the guide says; the others are just told to end.
    let drained = cluster.ordered(0, &format!("/ops/nodes/{}/drain", node_id(1)), json!({})).await;
    let owned = cluster.owned(0).await.expect("the shards");
    assert_eq!(owned.get(&node_id(1)), None, "nothing is left on the drained node: {owned:?}");
    let ready = cluster.nodes[1].ops_api().get("/health/readyz").await;
    assert_eq!(ready.status, 503, "a drained node asks for no visitors: {}", ready.text);
    // Its frontend serves all the same.
    load.goes_on(FELT).await;
    for place in [1, 2, 0] {
        let begun = Instant::now();
        let status = cluster.nodes[place].stop().await;
        assert!(status.success(), "SIGTERM under load ended with {status}");
        let stopped = begun.elapsed();
        load.goes_on(FELT).await;
        cluster.nodes[place].boot().await;
        eprintln!("{} stopped in {stopped:?}, was back after {:?}", node_id(place), begun.elapsed());
        // The drain was of the node's life before: it is given its share like any newcomer.
        cluster.spread(&[0, 1, 2]).await;
    }
    load.goes_on(FELT).await;
    let history = load.end().await;
    eprintln!(
        "{MOVES} moves one by one, {drained} by the drain, {NODES} restarts under {WIDGETS} idle and {TALKING} talking widgets"
    );
    history.check(&cluster, &owner, &[0, 1, 2]).await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_being_streamed_survives_the_move_of_its_conversation() {
    let model = Model::start().await;
    let mut plan = Plan::usual();
    plan.settings.extend(model.settings());
    let cluster = Cluster::start(plan).await;
    let (owner, agent) = cluster.business().await;
    let mut socket = {
        let hello = json!({ "visitor_id": random_id() });
        Socket::chat(cluster.nodes[0].http, &agent, hello).await.expect("a welcome").0
    };
    // To another node while the words come, once from each.
    for turn in 0..NODES {
        let id = random_id();
        let words = format!("Do you offer emergency services? My reference is {id}.");
        socket.send(&json!({ "type": "message", "client_message_id": id, "text": words })).await;
        let ack = socket.until("the acknowledgement", |frame| frame["type"] == "ack").await;
        let conversation = text(&ack, "conversation_id");
        socket.until("a word", |frame| frame["type"] == "token").await;
        let from = cluster.owner_of(1, &conversation).await;
        let shard = number(&cluster.place(1, &conversation).await, "shard");
        let asked = model.asked();
        cluster.ordered(1, &format!("/ops/shards/{shard}/move"), json!({ "to": node_id((from + 1) % NODES) })).await;
        let shown = owner.conversation(&conversation).await;
        let last = shown["messages"].as_array().and_then(|all| all.last()).expect("messages");
        assert_eq!(last["role"], "user", "turn {turn}: the move is over before the answer is");
        assert_ne!(cluster.owner_of(1, &conversation).await, from);
        let begun = Instant::now();
        let answer = loop {
            let frame = socket.next_within(STREAMED_WITHIN).await.expect("a frame").expect("the socket stays open");
            if frame["type"] == "message" && frame["role"] == "assistant" {
                break frame;
            }
            assert!(begun.elapsed() < STREAMED_WITHIN, "no answer after the move: {:?}", socket.seen.last());
        };
        let told: Vec<String> = text(&answer, "content").split_whitespace().map(str::to_owned).collect();
        let whole: Vec<String> = (0..WORDS).map(|n| format!("word{n}")).collect();
        assert_eq!(told, whole, "turn {turn}: the whole answer, once");
        let shown = owner.settled(&conversation, SOON).await;
        let roles: Vec<String> =
            shown["messages"].as_array().expect("messages").iter().map(|m| text(m, "role")).collect();
        assert_eq!(roles, ["user", "assistant"].repeat(turn + 1), "every turn is answered once");
        eprintln!(
            "turn {turn}: moved from {}, the model was asked {} time(s)",
            node_id(from),
            model.asked() - asked + 1
        );
    }
    let answers = socket.seen.iter().filter(|frame| frame["type"] == "message" && frame["role"] == "assistant");
    let ids: BTreeSet<String> = answers.clone().map(|frame| text(frame, "id")).collect();
    assert_eq!((answers.count(), ids.len()), (NODES, NODES), "{:?}", socket.seen);
    let quiet =
        eventually("nothing follows", SOON, async || Some(socket.next_within(Duration::from_millis(500)).await)).await;
    assert!(!matches!(quiet, Ok(Some(ref frame)) if frame["type"] == "message"), "{quiet:?}");
    cluster.end().await;
}
