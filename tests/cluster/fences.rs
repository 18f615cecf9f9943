//! The last fence: an owner whose claim somebody else holds writes and acknowledges nothing, says so in its numbers, and nothing is lost.

use std::time::Duration;

use colloquy_store::{EntityKey, StoreError};
use serde_json::json;

use crate::load::{Load, Size};
use crate::nodes::{Cluster, NODES, Plan, node_id};
use crate::support::people::{Visitor, number, text};
use crate::support::random_id;

/// Claims taken from under a load.
const THEFTS: usize = 20;
/// A stolen claim costs another activation, not a take-over.
const SAID_WITHIN: Duration = Duration::from_secs(20);
/// Events read to copy one of them.
const EVENTS: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_stolen_under_load_are_noticed_and_cost_nothing() {
    let cluster = Cluster::start(Plan::usual()).await;
    let (owner, agent) = cluster.business().await;
    let size = Size { http: 3, sockets: 3, idle: 0, within: SAID_WITHIN };
    let mut load = Load::start(cluster.frontends(), &agent, size);
    load.goes_on(10).await;
    let thief = cluster.store().await;
    let mut stolen = 0;
    for n in 0..THEFTS {
        let listed = owner.api.get("/api/conversations?limit=6").await.expect(200);
        let all = listed["items"].as_array().expect("conversations");
        let id = text(&all[n % all.len()], "id");
        let place = cluster.place(n % NODES, &id).await;
        let key = EntityKey::new(text(&place, "tenant"), "conversation", id);
        // As an activation of the same owner would take it: the one in memory does not know.
        match thief.journal.claim(&key, number(&place, "epoch")).await {
            Ok(_) => stolen += 1,
            // It has moved since it was looked for.
            Err(StoreError::Fenced(_)) => {}
            Err(error) => panic!("{key}: {error}"),
        }
        load.goes_on(3).await;
    }
    let history = load.end().await;
    let mut fenced = 0.0;
    for place in 0..NODES {
        fenced += cluster.appends(place, "fenced").await;
    }
    eprintln!("{stolen} of {THEFTS} claims stolen, {fenced} appends refused for it");
    assert!(fenced > 0.0, "no owner noticed that its claim was gone");
    history.check(&cluster, &owner, &[0, 1, 2]).await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_was_replaced_without_knowing_it_writes_nothing_and_counts_its_refusals() {
    let cluster = Cluster::start(Plan::usual()).await;
    let (owner, agent) = cluster.business().await;
    let mut visitor = Visitor::new(&cluster.nodes[0], &agent);
    visitor.say("Do you offer emergency services?").await;
    let conversation = visitor.talk().to_owned();
    let at = cluster.owner_of(0, &conversation).await;
    let place = cluster.place(0, &conversation).await;
    let key = EntityKey::new(text(&place, "tenant"), "conversation", &*conversation);
    assert_eq!(cluster.metric(at, "colloquy_fenced_total").await, 0.0, "nobody was fenced before");
    let before = owner.journal(&conversation).await.len();

    // What the journal looks like once another node has taken the shard over: a claim of a higher epoch.
    let successor = cluster.store().await;
    successor.journal.claim(&key, number(&place, "epoch") + 1).await.expect("a higher epoch claims");
    let id = random_id();
    let body = visitor.body(&format!("Do you offer emergency services? My reference is {id}."), &id);
    let refused = visitor.post(&body).await;
    refused.refused(503);
    let fenced = cluster.metric(at, "colloquy_fenced_total").await;
    assert!(fenced > 0.0, "the refusals are counted");
    let stored = successor.journal.load(&key, 0, EVENTS).await.expect("a journal");
    assert_eq!(stored.len(), before, "an owner that was replaced has written");

    // The shard's next owner has an epoch above that.
    let to = node_id((at + 1) % NODES);
    let shard = number(&place, "shard");
    cluster.ordered(0, &format!("/ops/shards/{shard}/move"), json!({ "to": to })).await;
    let answer = visitor.post(&body).await.expect(200);
    assert_eq!(text(&answer, "conversation_id"), conversation);
    let epochs: Vec<u64> = owner.journal(&conversation).await.iter().map(|entry| number(entry, "epoch")).collect();
    assert!(epochs.is_sorted() && epochs.last() > Some(&(number(&place, "epoch") + 1)), "{epochs:?}");
    let shown = owner.conversation(&conversation).await;
    assert_eq!(shown["messages"].as_array().map(Vec::len), Some(4), "{shown}");
    eprintln!("{fenced} refusals counted by {}", node_id(at));
    cluster.end().await;
}
