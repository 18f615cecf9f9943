//! What nodes share through a real Redis server: watch items and counts; and what they do without it.

#[path = "../ledger/mod.rs"]
mod ledger;
mod server;
#[path = "../host/switchboard.rs"]
#[expect(dead_code, reason = "these nodes are never cut off from each other")]
mod switchboard;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use colloquy_cluster::client::{Watch, WatchStream};
use colloquy_cluster::host::transport::TransportKind;
use colloquy_cluster::redis::Redis;
use colloquy_cluster::{Ask, Client, EntityKey, Node, NodeConfig, Registry};
use colloquy_store::memory;
use futures::FutureExt as _;
use ledger::{Command, Ledger, Script};
use server::Server;
use switchboard::Switchboard;

/// How long anything may take on a busy machine before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node of its own store: what one publishes, the other's watchers get through Redis or not at all.
async fn node(id: &str, url: &str) -> Node {
    let redis = Redis::connect(url, "test").unwrap();
    let mut config = NodeConfig::new(id, [7; 32]);
    config.shards = 16;
    config.fanout = Some(redis.fanout());
    let registry = Registry::new().entity(Ledger { script: Arc::<Script>::default() });
    Node::start(config, memory::open(), registry).await.unwrap()
}

fn frame(text: &str) -> Watch {
    Watch::Frame { bytes: Bytes::copy_from_slice(text.as_bytes()) }
}

async fn next(watch: &mut WatchStream) -> Watch {
    tokio::time::timeout(PATIENCE, watch.next()).await.expect("an item comes").expect("the node runs")
}

/// Publishes until the other side hears it: how a test knows that the way stands.
async fn until_heard(from: &Client, key: &EntityKey, watch: &mut WatchStream) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut nth = 0_u64;
    loop {
        nth += 1;
        from.publish(key, Bytes::from(format!("try {nth}")));
        // Whatever else was on its way comes first.
        while let Ok(Some(item)) = tokio::time::timeout(Duration::from_millis(200), watch.next()).await {
            if item == frame(&format!("try {nth}")) {
                return;
            }
        }
        assert!(tokio::time::Instant::now() < deadline, "nothing was heard");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_reach_watchers_on_other_nodes_in_order_and_do_not_come_back() {
    let server = Server::start();
    let (a, b) = (node("a", &server.url()).await, node("b", &server.url()).await);
    let key = ledger::key("x");
    let mut here = a.client().watch(&key);
    let mut there = b.client().watch(&key).followed().await;
    until_heard(&a.client(), &key, &mut there).await;
    while here.next().now_or_never().is_some() {}
    for nth in 0..200 {
        a.client().publish(&key, Bytes::from(format!("{nth}")));
    }
    for nth in 0..200 {
        assert_eq!(next(&mut there).await, frame(&nth.to_string()), "in order at the other node");
    }
    a.client().publish(&key, Bytes::from_static(b"end"));
    assert_eq!(next(&mut there).await, frame("end"));
    // The own watcher got each item once: what came back from Redis would be a second one.
    let mut own = Vec::new();
    while let Some(Some(item)) = here.next().now_or_never() {
        own.push(item);
    }
    let ends = own.iter().filter(|item| **item == frame("end")).count();
    assert_eq!(ends, 1, "{own:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_an_entity_reach_the_other_node_with_their_numbers() {
    let server = Server::start();
    let (a, b) = (node("a", &server.url()).await, node("b", &server.url()).await);
    let key = ledger::key("x");
    let mut there = b.client().watch(&key).followed().await;
    until_heard(&a.client(), &key, &mut there).await;
    a.client().ask::<Ledger>(&key.tenant, &key.id, Command::Add { op: 1, amount: 5 }, Ask::default()).await.unwrap();
    match next(&mut there).await {
        Watch::Event { seq, .. } => assert_eq!(seq, 1),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_that_did_not_wait_is_told_to_ask_anew_once_items_reach_it() {
    let mut server = Server::start();
    let b = node("b", &server.url()).await;
    server.kill();
    let mut early = b.client().watch(&ledger::key("early"));
    // Nothing can follow it now: it goes on without.
    let mut patient = b.client().watch(&ledger::key("patient")).followed().await;
    server.restart();
    assert_eq!(next(&mut early).await, Watch::Lagged);
    assert_eq!(next(&mut patient).await, Watch::Lagged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_or_stalled_redis_costs_nothing_durable_and_heals_by_itself() {
    let mut server = Server::start();
    let (a, b) = (node("a", &server.url()).await, node("b", &server.url()).await);
    let key = ledger::key("x");
    let mut there = b.client().watch(&key).followed().await;
    until_heard(&a.client(), &key, &mut there).await;
    let op = AtomicU64::new(1);
    let add = || async {
        let asked = a.client();
        let ask = Ask::default().within_ms(2_000);
        asked
            .ask::<Ledger>(&key.tenant, &key.id, Command::Add { op: op.fetch_add(1, Ordering::SeqCst), amount: 1 }, ask)
            .await
            .unwrap();
    };
    server.kill();
    add().await;
    server.restart();
    until_heard(&a.client(), &key, &mut there).await;
    server.stop();
    for _ in 0..100 {
        add().await;
    }
    for _ in 0..20_000 {
        a.client().publish(&key, Bytes::from_static(b"more than waits for a server that is stalled"));
    }
    server.go_on();
    until_heard(&a.client(), &key, &mut there).await;
}

/// Two nodes of one cluster that share the shards, and an entity that the first owns.
async fn pair(url: &str) -> (Node, Node, EntityKey) {
    let (store, board) = (memory::open(), Switchboard::default());
    let start = async |id: &str| {
        let mut config = NodeConfig::new(id, [7; 32]);
        config.shards = 16;
        config.replace = false;
        config.transport = TransportKind::Custom(board.plug());
        config.fanout = Some(Redis::connect(url, "test").unwrap().fanout());
        let registry = Registry::new().entity(Ledger { script: Arc::<Script>::default() });
        Node::start(config, store.clone(), registry).await.unwrap()
    };
    let (a, b) = (start("a").await, start("b").await);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let nodes = a.nodes().await.unwrap();
        if nodes.len() == 2 && nodes.iter().all(|node| node.shards == 8) {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the shards are not shared: {nodes:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for nth in 0.. {
        let key = ledger::key(&format!("e{nth}"));
        if a.place(&key).await.unwrap().owner.as_deref() == Some("a") {
            return (a, b, key);
        }
    }
    unreachable!("half of all entities are the first node's")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_watchers_elsewhere_are_told_to_ask_the_owner_and_a_move_tells_them_too() {
    let mut server = Server::start();
    let (a, b, key) = pair(&server.url()).await;
    let mut there = b.client().watch(&key).followed().await;
    until_heard(&a.client(), &key, &mut there).await;
    while there.next().now_or_never().is_some() {}
    server.kill();
    let ask = Ask::default();
    // Asked through the other node: the way to the owner does not need Redis.
    b.client().ask::<Ledger>(&key.tenant, &key.id, Command::Add { op: 1, amount: 5 }, ask).await.unwrap();
    assert_eq!(next(&mut there).await, Watch::Lagged);
    server.restart();
    until_heard(&a.client(), &key, &mut there).await;
    while tokio::time::timeout(Duration::from_secs(3), there.next()).await.is_ok() {}
    let place = a.place(&key).await.unwrap();
    a.move_shard(place.shard, "b").await.unwrap();
    assert_eq!(next(&mut there).await, Watch::Lagged, "what the old owner said last may be lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_share_one_allowance_and_a_restarted_server_counts_again() {
    let mut server = Server::start();
    let counts: Vec<_> = (0..2).map(|_| Redis::connect(&server.url(), "test").unwrap().counts()).collect();
    let refused = Arc::new(AtomicU64::new(0));
    let spend = |nth: usize, key: &str| {
        let refused = refused.clone();
        let verdict = move |wait_ms: u64| {
            assert!((1..=60_000 / 30).contains(&wait_ms), "the wait is until the next is allowed: {wait_ms}");
            refused.fetch_add(1, Ordering::SeqCst);
        };
        counts[nth % 2].spend(key, 30, 60_000, Box::new(verdict));
    };
    let until_refused = async |key: &str| {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while refused.swap(0, Ordering::SeqCst) == 0 {
            for nth in 0..2 {
                spend(nth, key);
            }
            assert!(tokio::time::Instant::now() < deadline, "nobody counts");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    until_refused("one client").await;
    // A client nobody has heard of has its own allowance, one minute's worth for both nodes together.
    for nth in 0..40 {
        spend(nth, "another client");
    }
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while refused.load(Ordering::SeqCst) < 9 {
        assert!(tokio::time::Instant::now() < deadline, "{} refused", refused.load(Ordering::SeqCst));
        tokio::task::yield_now().await;
    }
    assert!(refused.load(Ordering::SeqCst) <= 10, "thirty of forty pass, and one that came due meanwhile");
    server.restart();
    until_refused("after the restart").await;
}

#[tokio::test]
async fn url_that_is_none_is_refused_without_being_told() {
    let error = Redis::connect("redis://user:s3cret@:port", "test").err().expect("refused").to_string();
    assert!(error.contains("redis.url") && !error.contains("s3cret"), "{error}");
}
