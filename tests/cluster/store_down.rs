//! The CQL servers of a cluster stand still or die: one of three is not missed; else a clear refusal in bounded time and memory, and everything
//! goes on when they do.

use std::time::{Duration, Instant};

use crate::cql::Cql;
use crate::load::{Load, Size};
use crate::nodes::{Cluster, NODES, Plan};
use crate::support::people::Visitor;
use crate::support::{eventually, random_id};
use futures::future::join_all;

/// By the issue: a clear 503, and not a hanging one. Some room for a machine that compiles something else.
const REFUSED_WITHIN: Duration = Duration::from_secs(6);
/// How long it stands still: longer than a lease, so that every node has lost its right to answer.
const STANDS_STILL: Duration = Duration::from_secs(15);
/// After it goes on: renewed leases or, where one was lost, a take-over.
const BACK_WITHIN: Duration = Duration::from_secs(30);
/// What a node may grow by while it refuses.
const GROWTH_MAX: u64 = 64 << 20;
/// Visitors who ask at the same time, again and again.
const ASKING: usize = 12;
/// Commands that wait on a node: those of the load, of those who ask, and the runtime's own.
const QUEUED_MAX: f64 = 100.0;
/// The load; how long each message may take depends on what is done to the store.
const VISITORS: Size = Size { http: 4, sockets: 4, idle: 0, within: Duration::ZERO };
/// A request that met the dying node is repeated with the same key.
const NOT_MISSED_WITHIN: Duration = Duration::from_secs(25);
/// Until two CQL servers have started again, on a busy machine.
const STARTED_WITHIN: Duration = Duration::from_secs(200);

/// Visitors who ask at every frontend until `over` says so; each must be refused clearly and soon. How many were, and the slowest.
async fn refused_until(cluster: &Cluster, agent: &str, load: &mut Load, over: impl Fn() -> bool) -> (usize, Duration) {
    let (mut refusals, mut slowest) = (0, Duration::ZERO);
    while !over() {
        let asked = (0..ASKING).map(|n| {
            let visitor = Visitor::new(&cluster.nodes[n % NODES], agent);
            async move {
                let begun = Instant::now();
                let body = visitor.body("Do you offer emergency services?", &random_id());
                (visitor.post(&body).await, begun.elapsed())
            }
        });
        for (answer, took) in join_all(asked).await {
            if !over() {
                answer.refused(503);
                let wait = answer.header("retry-after").and_then(|wait| wait.parse::<u64>().ok());
                assert!(wait.is_some_and(|wait| (1..=60).contains(&wait)), "{}: Retry-After {wait:?}", answer.text);
                assert!(took < REFUSED_WITHIN, "refused after {took:?}: {}", answer.text);
                slowest = slowest.max(took);
                refusals += 1;
            }
        }
        load.fine();
    }
    assert!(refusals > ASKING, "{refusals} refusals");
    (refusals, slowest)
}

/// Memory and queues are bounded while nothing can be stored.
async fn bounded(cluster: &Cluster, before: &[u64]) {
    for (place, before) in before.iter().enumerate() {
        let grown = cluster.nodes[place].resident_bytes().saturating_sub(*before);
        assert!(grown < GROWTH_MAX, "node {place} has grown by {grown} bytes while it could not store anything");
        let queued = cluster.metric(place, "colloquy_queued_commands").await;
        assert!(queued <= QUEUED_MAX, "{queued} commands wait on node {place}");
    }
}

/// Every frontend answers, and no node has ended.
async fn all_back(cluster: &mut Cluster, agent: &str) -> Duration {
    let begun = Instant::now();
    for place in 0..NODES {
        eventually(&format!("frontend {place} answers again"), BACK_WITHIN, async || {
            let visitor = Visitor::new(&cluster.nodes[place], agent);
            let body = visitor.body(&format!("Are you back, {}?", random_id()), &random_id());
            (visitor.post(&body).await.status == 200).then_some(())
        })
        .await;
    }
    for node in &mut cluster.nodes {
        assert!(node.runs(), "a node ended although only the store was away: {}", node.log_tail());
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stands_still_is_a_clear_refusal_and_nothing_is_lost() {
    let cql = Cql::start(1);
    let mut cluster = Cluster::start(Plan::over(cql.addresses.clone())).await;
    let (owner, agent) = cluster.business().await;
    let size = Size { within: STANDS_STILL + BACK_WITHIN, ..VISITORS };
    let mut load = Load::start(cluster.frontends(), &agent, size);
    load.goes_on(20).await;
    let before: Vec<u64> = cluster.nodes.iter().map(|node| node.resident_bytes()).collect();
    cql.pause();
    let paused = Instant::now();
    let (refusals, slowest) = refused_until(&cluster, &agent, &mut load, || paused.elapsed() >= STANDS_STILL).await;
    bounded(&cluster, &before).await;
    cql.resume();
    let back = all_back(&mut cluster, &agent).await;
    load.goes_on(20).await;
    let history = load.end().await;
    eprintln!(
        "{refusals} refusals, the slowest after {slowest:?}; all frontends answered {back:?} after the store went on"
    );
    history.check(&cluster, &owner, &[0, 1, 2]).await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_store_nodes_is_not_missed_and_without_two_there_is_a_clear_refusal() {
    let cql = Cql::start(3);
    let mut cluster = Cluster::start(Plan::over(cql.addresses.clone()).alone()).await;
    let (owner, agent) = cluster.business().await;
    let size = Size { within: STARTED_WITHIN + BACK_WITHIN, ..VISITORS };
    let mut load = Load::start(cluster.frontends(), &agent, size);
    load.goes_on(20).await;
    cql.kill(2);
    let killed = Instant::now();
    load.goes_on(40).await;
    let alone = all_back(&mut cluster, &agent).await;
    let slowest_of_two = load.history.slowest();
    assert!(slowest_of_two < NOT_MISSED_WITHIN, "a message took {slowest_of_two:?} because one of three was away");
    eprintln!(
        "40 messages within {:?} of the death of one of three; every frontend within {alone:?}",
        killed.elapsed()
    );

    let before: Vec<u64> = cluster.nodes.iter().map(|node| node.resident_bytes()).collect();
    cql.kill(3);
    let (killed, told) = (Instant::now(), load.history.answered());
    // What the third had acknowledged before its end may still arrive.
    eventually("the last one is noticed to be alone", REFUSED_WITHIN, async || {
        let visitor = Visitor::new(&cluster.nodes[0], &agent);
        let body = visitor.body("Do you offer emergency services?", &random_id());
        (visitor.post(&body).await.status == 503).then_some(())
    })
    .await;
    let (refusals, slowest) = refused_until(&cluster, &agent, &mut load, || killed.elapsed() >= STANDS_STILL).await;
    bounded(&cluster, &before).await;
    eprintln!(
        "{refusals} refusals, the slowest after {slowest:?}; {} answers meanwhile",
        load.history.answered() - told
    );
    cql.start_again().await;
    let back = all_back(&mut cluster, &agent).await;
    load.goes_on(20).await;
    eprintln!("all frontends answered {back:?} after two of three were back");
    load.end().await.check(&cluster, &owner, &[0, 1, 2]).await;
    cluster.end().await;
}
