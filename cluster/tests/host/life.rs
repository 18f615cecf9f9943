//! Boot, passivation, drain, lease: how a node and its entities come and go.

use colloquy_cluster::host::config::CLUSTER_SCHEMA;

use super::*;

#[tokio::test(start_paused = true)]
async fn commands_are_durable_across_a_restart_without_a_drain() {
    let place = Place::new();
    let node = place.node().await;
    let reply = ask(&node.client(), "a", Command::Add { op: 1, amount: 5 }).await;
    assert_eq!(reply, Ok(Reply::Done { total: 5 }));
    assert_eq!(ask(&node.client(), "a", Command::Refuse).await, Err(AskError::Rejected(Rejection::Refused)));
    let again = place.node().await;
    assert_eq!(ask(&again.client(), "a", Command::Add { op: 2, amount: 6 }).await, Ok(Reply::Done { total: 11 }));
    assert_eq!(applied(&again.client(), "a").await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn state_hash_is_the_same_live_replayed_and_reactivated() {
    let place = Place::new();
    let node = place.node().await;
    let client = node.client();
    for op in 1..=25 {
        ask(&client, "a", Command::Add { op, amount: 1 }).await.expect("added");
    }
    let before = client.replay::<Ledger>("acme", "a", None).await.expect("replays");
    assert_eq!((before.seq, before.state.total), (25, 25));
    let at_ten = client.replay::<Ledger>("acme", "a", Some(10)).await.expect("replays");
    assert_eq!((at_ten.seq, at_ten.state.total), (10, 10));
    assert_ne!(at_ten.hash, before.hash);
    // Idle long enough to leave memory, then back from the snapshot.
    until("passivated", || async { node.status().resident == 0 }).await;
    ask(&client, "a", Command::Add { op: 26, amount: 1 }).await.expect("added");
    let after = client.replay::<Ledger>("acme", "a", None).await.expect("replays");
    let snapshot = place.store.journal.load_snapshot(&key("a")).await.expect("reads").expect("kept");
    assert_eq!(snapshot.seq, 25);
    assert_eq!(after.hash, state_hash::<Ledger>(&after.state));
    assert_eq!(applied(&client, "a").await, after.state.applied);
    let journal = client.journal(&key("a"), 24, 10).await.expect("reads");
    assert_eq!(journal.iter().map(|record| record.seq).collect::<Vec<_>>(), [25, 26]);
    assert_eq!(journal[0].event, serde_json::json!({ "Added": { "op": 25, "amount": 1 } }));
}

#[tokio::test(start_paused = true)]
async fn drain_answers_what_is_in_flight_and_refuses_what_is_new() {
    let place = Place::new();
    let node = place.node().await;
    let client = node.client();
    let in_flight = (0..20).map(|op| {
        let client = client.clone();
        tokio::spawn(async move { ask(&client, "a", Command::Add { op, amount: 1 }).await })
    });
    let in_flight: Vec<_> = in_flight.collect();
    tokio::task::yield_now().await;
    let fate = node.fate();
    assert!(node.shutdown(Duration::from_secs(5)).await);
    let mut done = 0;
    for answer in in_flight {
        match answer.await.expect("no panic") {
            Ok(_) => done += 1,
            Err(AskError::Busy { .. } | AskError::Expired | AskError::Unknown) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(fate.await, Fate::Stopped);
    assert!(matches!(ask(&client, "a", Command::Look).await, Err(AskError::Busy { .. } | AskError::Unknown)));
    let again = place.node().await;
    assert!(applied(&again.client(), "a").await.len() >= done);
}

#[tokio::test(start_paused = true)]
async fn cap_on_residents_lets_the_least_recent_leave() {
    let place = Place::new();
    let mut config = place.config();
    config.limits.resident = 40;
    let node = place.node_with(config).await;
    let client = node.client();
    for id in 0..100 {
        ask(&client, &format!("e{id}"), Command::Add { op: 1, amount: 1 }).await.expect("added");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(node.status().resident <= 40, "{}", node.status().resident);
    assert!(node.status().resident >= 30, "{}", node.status().resident);
    assert_eq!(applied(&client, "e0").await, [1]);
}

#[tokio::test(start_paused = true)]
async fn refused_lease_stops_everything_and_tells() {
    let place = Place::new();
    let node = place.node().await;
    let client = node.client();
    ask(&client, "a", Command::Add { op: 1, amount: 1 }).await.expect("added");
    let row = place.store.leases.nodes().await.expect("reads").remove(0);
    assert!(place.store.leases.bury(&row.id, row.incarnation, row.beat).await.expect("buries"));
    assert!(matches!(node.fate().await, Fate::LeaseLost(_)));
    assert!(!node.status().lease_valid);
    let answer = client.ask_raw(&key("a"), look(), Ask::default()).await;
    assert!(!matches!(answer, Answer::Ok(_)), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn boot_takes_new_epochs_and_fences_the_node_before_it() {
    let place = Place::new();
    let old = place.node().await;
    ask(&old.client(), "a", Command::Add { op: 1, amount: 1 }).await.expect("added");
    let new = place.node().await;
    ask(&new.client(), "a", Command::Add { op: 2, amount: 1 }).await.expect("added");
    let add = Bytes::from(serde_json::to_vec(&Command::Add { op: 3, amount: 1 }).expect("encodes"));
    let zombie = old.client().ask_raw(&key("a"), add, Ask::default().within_ms(500)).await;
    assert!(!matches!(zombie, Answer::Ok(_)), "a zombie cannot append");
    assert_eq!(applied(&new.client(), "a").await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn other_facts_than_the_cluster_was_founded_with_are_refused() {
    let place = Place::new();
    place.node().await;
    let refused = async |change: &dyn Fn(&mut NodeConfig)| {
        let mut config = place.config();
        change(&mut config);
        let registry = Registry::new().entity(Ledger::default());
        Node::start(config, place.store.clone(), registry).await.err().expect("refused").to_string()
    };
    let error = refused(&|config| config.shards = 32).await;
    assert!(error.contains("number of shards 16") && error.contains("32"), "{error}");
    let error = refused(&|config| config.cluster = "other".to_owned()).await;
    assert!(error.contains("name colloquy") && error.contains("other"), "{error}");
    let error = refused(&|config| config.master_key = [8; 32]).await;
    assert!(error.contains("master key") && !error.contains("0808"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn cluster_of_another_schema_is_refused_by_name() {
    let place = Place::new();
    let newer = colloquy_store::leases::ClusterInfo {
        name: "colloquy".to_owned(),
        shards: 16,
        schema: CLUSTER_SCHEMA + 1,
        key_check: String::new(),
    };
    place.store.leases.found(&newer).await.expect("founds");
    let registry = Registry::new().entity(Ledger::default());
    let error = Node::start(place.config(), place.store.clone(), registry).await.err().expect("refused").to_string();
    assert!(error.contains("schema 2") && error.contains('1'), "{error}");
}

#[tokio::test(start_paused = true)]
async fn node_that_was_shut_down_lets_go_of_its_store() {
    let place = Place::new();
    let before = Arc::strong_count(&place.store.journal);
    let node = place.node().await;
    for id in ["a", "b"] {
        ask(&node.client(), id, Command::StartJob { op: 1 }).await.expect("started");
    }
    client_of_a_board(&node.client()).await;
    assert!(Arc::strong_count(&place.store.journal) > before);
    node.shutdown(Duration::from_secs(5)).await;
    drop(node);
    until("let go", || async { Arc::strong_count(&place.store.journal) == before }).await;
}

#[tokio::test(start_paused = true)]
async fn asking_for_an_entity_that_does_not_exist_leaves_nothing_in_the_store() {
    let place = Place::new();
    let node = place.node().await;
    assert_eq!(applied(&node.client(), "guess").await, Vec::<u64>::new());
    assert!(node.shutdown(Duration::from_secs(5)).await);
    // A claim would make the store know the entity, and only then does it take a snapshot of it.
    let snapshot = colloquy_store::journal::Snapshot { seq: 0, bytes: Bytes::new() };
    assert!(place.store.journal.save_snapshot(&key("guess"), snapshot).await.is_err());
    assert_eq!(place.store.keys.get(&key("guess")).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn late_lease_silences_the_node_until_it_is_renewed() {
    let mut place = Place::new();
    let (leases, _) = doubles::stalling(&mut place.store);
    let node = place.node().await;
    let client = node.client();
    ask(&client, "a", Command::Add { op: 1, amount: 1 }).await.expect("added");
    leases.stalled.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(!node.status().lease_valid);
    let add = Bytes::from(serde_json::to_vec(&Command::Add { op: 2, amount: 1 }).expect("encodes"));
    let silent = client.ask_raw(&key("a"), add, Ask::default().within_ms(1_000)).await;
    assert!(!matches!(silent, Answer::Ok(_)), "{silent:?}");
    leases.stalled.store(false, Ordering::SeqCst);
    until("renewed", || async { node.status().lease_valid }).await;
    assert_eq!(applied(&client, "a").await, [1], "nobody took over, so it goes on");
}

#[tokio::test(start_paused = true)]
async fn answer_that_is_ready_after_the_lease_ended_is_not_given() {
    let mut place = Place::new();
    let (leases, journal) = doubles::stalling(&mut place.store);
    let node = place.node().await;
    leases.stalled.store(true, Ordering::SeqCst);
    journal.slow_ms.store(9_000, Ordering::SeqCst);
    let add = Bytes::from(serde_json::to_vec(&Command::Add { op: 1, amount: 1 }).expect("encodes"));
    let answer = node.client().ask_raw(&key("a"), add, Ask::default().within_ms(30_000)).await;
    assert_eq!(answer, Answer::Unknown, "another node may have gone on from here");
}

#[tokio::test(start_paused = true)]
async fn large_blobs_take_turns_and_small_ones_wait_for_none() {
    let mut place = Place::new();
    let held = doubles::holding(&mut place.store);
    let node = place.node().await;
    let owner = key("a");
    ask(&node.client(), "a", Command::Add { op: 1, amount: 1 }).await.expect("there is one");
    let put = |path: String, bytes: usize| {
        let (client, owner) = (node.client(), owner.clone());
        tokio::spawn(async move { client.put_blob(&owner, &path, &vec![7; bytes]).await })
    };
    let large: Vec<_> = (0..6).map(|n| put(format!("large/{n}"), 300_000)).collect();
    let waiting = || held.waiting.lock().expect("no panic inside").clone();
    while waiting().len() < 2 {
        tokio::task::yield_now().await;
    }
    let small = put("small/0".to_owned(), 1_000);
    while !waiting().iter().any(|path| path == "small/0") {
        tokio::task::yield_now().await;
    }
    // Every task has gone as far as it can when the clock has to be moved.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(waiting().iter().filter(|path| path.starts_with("large/")).count(), 2, "{:?}", waiting());
    held.through.add_permits(7);
    for writes in large.into_iter().chain([small]) {
        writes.await.expect("no panic").expect("stored");
    }
    assert_eq!(node.client().store().blobs.list("large").await.expect("listed").len(), 6);
}
