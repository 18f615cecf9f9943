//! Nodes that die: at once, or by standing still for so long that the others bury them.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::history::Told;
use crate::load::{Load, Size};
use crate::nodes::{Cluster, NODES, Plan, node_id};
use crate::support::client::Api;
use crate::support::people::{Visitor, text};
use crate::support::{eventually, random_id};

/// By the issue: a dead node costs seconds. Ten of them until it is dead for sure.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(20);
/// A message that is said right then is repeated until it is answered, beside everything else that is taken over.
const SAID_WITHIN: Duration = Duration::from_secs(30);
/// From SIGCONT: what is left of a renewal that was under way, and the goodbyes.
const GONE_WITHIN: Duration = Duration::from_secs(30);
/// Visitors who said something before and come back afterwards.
const QUIET: usize = 12;
/// Of so many at least one lives on each node, also on one that has the fewest shards allowed.
const QUIET_MAX: usize = 60;
/// Requests to a node that stands still.
const LATE: usize = 8;

/// Says something until a frontend answers it; returns how long that took.
async fn answered_again(visitor: &mut Visitor, frontends: &[Api]) -> Duration {
    let (begun, id) = (Instant::now(), random_id());
    let body = visitor.body(&format!("Do you offer emergency services? My reference is {id}."), &id);
    let token = visitor.token.clone().expect("a visitor who was here before");
    eventually("an answer elsewhere", TAKEN_OVER_WITHIN, async || {
        for frontend in frontends {
            let call = frontend.visitor(&token);
            let call = call.try_call("POST", "/api/chat", Some(&body));
            if let Ok(Ok(answer)) = tokio::time::timeout(Duration::from_secs(6), call).await
                && answer.status == 200
            {
                visitor.remember(&answer.body);
                return Some(());
            }
        }
        None
    })
    .await;
    begun.elapsed()
}

/// Says something, as often as a busy cluster asks for it to be said again.
async fn first_words(visitor: &mut Visitor) {
    let id = random_id();
    let body = visitor.body(&format!("Do you offer emergency services? My reference is {id}."), &id);
    let answer = eventually("the first words are answered", TAKEN_OVER_WITHIN, async || {
        let answer = visitor.post(&body).await;
        (answer.status != 503).then(|| answer.expect(200))
    })
    .await;
    visitor.remember(&answer);
}

/// Visitors whose conversations rest, at least one of them on this node.
async fn quiet(cluster: &Cluster, agent: &str, place: usize) -> Vec<Visitor> {
    let mut quiet = Vec::new();
    let mut there = 0;
    while quiet.len() < QUIET || there == 0 {
        assert!(quiet.len() < QUIET_MAX, "none of {QUIET_MAX} conversations lives on {}", node_id(place));
        let mut visitor = Visitor::new(&cluster.nodes[0], agent);
        first_words(&mut visitor).await;
        there += usize::from(cluster.owner_of(0, visitor.talk()).await == place);
        quiet.push(visitor);
    }
    quiet
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_costs_seconds_and_nothing_that_was_acknowledged() {
    let mut cluster = Cluster::start(Plan::usual()).await;
    let (owner, agent) = cluster.business().await;
    let mut load = Load::start(cluster.frontends(), &agent, Size { http: 6, sockets: 6, idle: 0, within: SAID_WITHIN });
    let mut slowest = Duration::ZERO;
    // The second one is the steward by then, or was it from the beginning.
    for victim in [1, 0] {
        let mut quiet = quiet(&cluster, &agent, victim).await;
        load.goes_on(40).await;
        cluster.nodes[victim].kill();
        let survivors: Vec<Api> =
            (0..NODES).filter(|&place| place != victim).map(|place| cluster.nodes[place].api()).collect();
        let returning = quiet.iter_mut().map(|visitor| answered_again(visitor, &survivors));
        let took = futures::future::join_all(returning).await;
        slowest = slowest.max(took.into_iter().max().unwrap_or_default());
        load.goes_on(20).await;
        cluster.nodes[victim].boot().await;
        cluster.spread(&[0, 1, 2]).await;
    }
    load.goes_on(20).await;
    let history = load.end().await;
    eprintln!("conversations that rested were answered again within {slowest:?} of the kill");
    history.check(&cluster, &owner, &[0, 1, 2]).await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stood_still_past_its_lease_writes_and_acknowledges_nothing_and_ends() {
    let mut cluster = Cluster::start(Plan::usual()).await;
    let (owner, agent) = cluster.business().await;
    let sleeper = 1;
    let quiet = quiet(&cluster, &agent, sleeper).await;
    let mut load = Load::start(cluster.frontends(), &agent, Size { http: 6, sockets: 6, idle: 0, within: SAID_WITHIN });
    load.goes_on(40).await;
    cluster.nodes[sleeper].pause();
    // They reach it as soon as it goes on, when its conversations live elsewhere already.
    let mut late = tokio::task::JoinSet::new();
    for visitor in quiet.iter().cycle().take(LATE) {
        let id = random_id();
        let words = format!("Do you offer emergency services? My reference is {id}.");
        let body = visitor.body(&words, &id);
        let api = cluster.nodes[sleeper].api().visitor(visitor.token.as_deref().expect("a token"));
        load.history.invoke(&id, &words, sleeper);
        late.spawn(async move { (id, api.try_call("POST", "/api/chat", Some(&body)).await) });
    }
    eventually("the others own everything", TAKEN_OVER_WITHIN, async || {
        let owned = cluster.owned(0).await?;
        let gone = !owned.contains_key(&node_id(sleeper));
        (gone && owned.values().sum::<usize>() == cluster.shards).then_some(())
    })
    .await;
    load.goes_on(40).await;
    cluster.nodes[sleeper].go_on();
    let status = cluster.nodes[sleeper].ended(GONE_WITHIN).await;
    let said = cluster.nodes[sleeper].log();
    assert!(!status.success() && said.contains("this node lost its lease and stopped"), "{status}: {said}");
    let mut acknowledged = 0;
    while let Some(ended) = late.join_next().await {
        match ended.expect("a request ends") {
            (id, Ok(answer)) if answer.status == 200 => {
                acknowledged += 1;
                let told = Told {
                    conversation: text(&answer.body, "conversation_id"),
                    seq: None,
                    answer: Some((text(&answer.body, "message_id"), text(&answer.body, "response"))),
                };
                load.history.ok(&id, told);
            }
            (id, Ok(answer)) if answer.body["retry"] == json!("safe") => load.history.fail(&id, &answer.text),
            (id, Ok(answer)) => load.history.unknown(&id, &answer.text),
            (id, Err(error)) => load.history.unknown(&id, &error.to_string()),
        }
    }
    eprintln!("{acknowledged} of {LATE} late requests were passed on to the new owners before the end");
    cluster.nodes[sleeper].boot().await;
    cluster.spread(&[0, 1, 2]).await;
    load.goes_on(20).await;
    load.end().await.check(&cluster, &owner, &[0, 1, 2]).await;
    cluster.end().await;
}
