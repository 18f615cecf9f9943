//! Panics, floods, erasure, wrong keys and hostile frames.

use colloquy_store::leases::ClusterInfo;

use super::*;

#[tokio::test(start_paused = true)]
async fn panic_in_decide_is_answered_and_the_entity_and_its_shard_go_on() {
    let place = Place::new();
    let node = place.node().await;
    let client = node.client();
    ask(&client, "a", Command::Add { op: 1, amount: 1 }).await.expect("added");
    for _ in 0..2 {
        assert_eq!(ask(&client, "a", Command::Poison).await, Err(AskError::HandlerFailed));
    }
    assert_eq!(applied(&client, "a").await, [1]);
    for _ in 0..3 {
        assert_eq!(ask(&client, "a", Command::Poison).await, Err(AskError::HandlerFailed));
    }
    let now = client.ask_raw(&key("a"), look(), Ask::default().within_ms(1)).await;
    assert!(matches!(now, Answer::Busy { .. }), "backs off: {now:?}");
    assert_eq!(applied(&client, "a").await, [1], "and is back within the deadline");
}

#[tokio::test(start_paused = true)]
async fn flood_is_answered_busy_and_nothing_admitted_is_lost() {
    let place = Place::new();
    let mut config = place.config();
    config.limits.queued_per_entity = 4;
    let node = place.node_with(config).await;
    let client = node.client();
    let floods = (0..100).map(|op| {
        let client = client.clone();
        let command = Bytes::from(serde_json::to_vec(&Command::Add { op, amount: 1 }).expect("encodes"));
        async move { client.ask_raw(&key("a"), command, Ask::default().within_ms(1)).await }
    });
    let answers = futures::future::join_all(floods).await;
    let ok = answers.iter().filter(|answer| matches!(answer, Answer::Ok(_))).count();
    let busy = answers.iter().filter(|answer| matches!(answer, Answer::Busy { .. })).count();
    assert_eq!(ok + busy, 100, "{answers:?}");
    assert!(ok >= 4 && busy > 0, "{ok} of 100");
    assert_eq!(applied(&client, "a").await.len(), ok);
    assert_eq!(node.status().queued, 0, "permits came back");
    // Patient senders all get through.
    let patient = (200..300).map(|op| ask(&client, "a", Command::Add { op, amount: 1 }));
    for answer in futures::future::join_all(patient).await {
        answer.expect("within the deadline");
    }
}

#[tokio::test(start_paused = true)]
async fn erased_entity_answers_erased_and_its_past_cannot_be_read() {
    let place = Place::new();
    let node = place.node().await;
    let client = node.client();
    let add = Command::Add { op: 1, amount: 5 };
    client.ask::<Ledger>("acme", "a", add, Ask::default().after_rows()).await.expect("added");
    let stored = place.store.journal.load(&key("a"), 0, 10).await.expect("reads");
    assert!(!stored[0].bytes.windows(5).any(|window| window == b"Added"), "sealed at rest");
    client.erase(&key("a")).await.expect("erases");
    assert_eq!(ask(&client, "a", Command::Look).await, Err(AskError::Erased));
    assert_eq!(ask(&client, "a", Command::Add { op: 2, amount: 1 }).await, Err(AskError::Erased));
    assert!(client.journal(&key("a"), 0, 10).await.is_err());
    let range = Range { limit: 10, ..Range::default() };
    assert!(client.list::<serde_json::Value>("acme", "ledgers", &range).await.expect("lists").is_empty());
    let numbers = client.numbers::<serde_json::Value>("acme", "ledgers", None, 10).await.expect("reads");
    assert_eq!(numbers[0].numbers, Some(serde_json::json!({ "operations": 1 })), "counts stay");
    let again = place.node().await;
    assert_eq!(ask(&again.client(), "a", Command::Look).await, Err(AskError::Erased));
}

#[tokio::test(start_paused = true)]
async fn a_list_goes_on_behind_rows_of_erased_entities() {
    let place = Place::new();
    let node = place.node().await;
    let client = node.client();
    for id in ["a", "b", "c", "d"] {
        let add = Command::Add { op: 1, amount: 5 };
        client.ask::<Ledger>("acme", id, add, Ask::default().after_rows()).await.expect("added");
    }
    for id in ["a", "b"] {
        let row = place.store.rows.get("acme", "ledgers", id).await.expect("reads").expect("a row");
        client.erase(&key(id)).await.expect("erases");
        // One that was under way when its entity was erased.
        let late = colloquy_store::rows::Row { seq: row.seq + 1, ..row };
        place.store.rows.put(&[late]).await.expect("writes");
    }
    let range = Range { limit: 2, ..Range::default() };
    let listed = client.list::<serde_json::Value>("acme", "ledgers", &range).await.expect("lists");
    let ids: Vec<&str> = listed.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["c", "d"], "a page that is full of rows nobody can read is not the last one");
}

#[tokio::test(start_paused = true)]
async fn wrong_master_key_is_named_and_nothing_is_answered_from_nothing() {
    let place = Place::new();
    // Founded before keys were checked, so only the sealed data can tell.
    let founded = ClusterInfo { name: "colloquy".to_owned(), shards: 16, schema: 1, key_check: String::new() };
    place.store.leases.found(&founded).await.expect("founds");
    let node = place.node().await;
    ask(&node.client(), "a", Command::Add { op: 1, amount: 5 }).await.expect("added");
    let mut config = place.config();
    config.master_key = [8; 32];
    let other = place.node_with(config).await;
    match ask(&other.client(), "a", Command::Look).await {
        Err(AskError::Unavailable(detail)) => assert!(detail.contains("master key"), "{detail}"),
        wrong => panic!("{wrong:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_frames_get_a_named_error() {
    let place = Place::new();
    let node = place.node().await;
    let client = node.client();
    let cases: [(EntityKey, Bytes); 6] = [
        (EntityKey::new("acme", "nothing", "a"), look()),
        (EntityKey::new("acme", Ledger::KIND, ""), look()),
        (EntityKey::new("", Ledger::KIND, "a"), look()),
        (EntityKey::new("acme", Ledger::KIND, "x".repeat(257)), look()),
        (key("a"), Bytes::from_static(b"\xff\xfe{")),
        (key("a"), Bytes::from(vec![b' '; 1024 * 1024 + 1])),
    ];
    for (key, command) in cases {
        let answer = client.ask_raw(&key, command, Ask::default()).await;
        assert!(matches!(answer, Answer::Malformed { .. }), "{key}: {answer:?}");
    }
    let big = ask(&client, "a", Command::Big { op: 1, bytes: 2 * 1024 * 1024 }).await;
    assert!(matches!(big, Err(AskError::Malformed(_))), "{big:?}");
    assert_eq!(applied(&client, "a").await, Vec::<u64>::new());
    ask(&client, "a", Command::Big { op: 2, bytes: 900 * 1024 }).await.expect("a large one is fine");
}
