//! Effects, timers, watches and residents.

use super::*;

#[tokio::test(start_paused = true)]
async fn effect_brings_its_result_home_and_one_no_longer_pending_is_cancelled() {
    let place = Place::new();
    let node = place.node().await;
    let client = node.client();
    ask(&client, "a", Command::StartJob { op: 1 }).await.expect("started");
    ask(&client, "a", Command::StartJob { op: 2 }).await.expect("started");
    until("both run", || async { place.script.started.load(Ordering::SeqCst) == 2 }).await;
    ask(&client, "a", Command::CancelJob { op: 1 }).await.expect("cancelled");
    until("one cancelled", || async { place.script.cancelled.load(Ordering::SeqCst) == 1 }).await;
    place.script.may_finish.add_permits(1);
    until("the other done", || async { jobs_done(&client, "a").await == [1, 2] }).await;
    until("no task left", || async { node.status().effects == 0 }).await;
}

#[tokio::test(start_paused = true)]
async fn effect_that_panics_runs_again_at_its_deadline() {
    let place = Place::new();
    place.script.panics.store(1, Ordering::SeqCst);
    place.script.may_finish.add_permits(1);
    let node = place.node().await;
    let client = node.client();
    ask(&client, "a", Command::StartJob { op: 1 }).await.expect("started");
    until("done", || async { jobs_done(&client, "a").await == [1] }).await;
    assert!(place.clock_ms() - START_MS >= ledger::JOB_DEADLINE_MS, "not before its deadline");
    assert_eq!(place.script.started.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn effect_of_a_crashed_node_runs_again_under_a_higher_attempt_without_traffic() {
    let place = Place::new();
    let node = place.node().await;
    ask(&node.client(), "a", Command::StartJob { op: 1 }).await.expect("started");
    until("runs", || async { place.script.started.load(Ordering::SeqCst) == 1 }).await;
    // The first node is gone without a word; the second finds the work in the wake list.
    node.shutdown(Duration::ZERO).await;
    let mut watch = {
        let again = place.node().await;
        let watch = again.client().watch(&key("a"));
        place.script.may_finish.add_permits(1);
        until("done", || async { jobs_done(&again.client(), "a").await == [1] }).await;
        watch
    };
    let mut frames = vec![];
    while let Some(Watch::Event { bytes, .. } | Watch::Frame { bytes }) = watch.next().await {
        frames.push(String::from_utf8(bytes.to_vec()).expect("text"));
        if frames.len() == 3 {
            break;
        }
    }
    assert!(frames.contains(&"job 1 attempt 2".to_owned()), "{frames:?}");
}

#[tokio::test(start_paused = true)]
async fn timer_fires_after_a_restart_without_traffic() {
    let place = Place::new();
    let node = place.node().await;
    let at_ms = START_MS + 3_600_000;
    ask(&node.client(), "a", Command::Remind { op: 1, at_ms }).await.expect("set");
    assert!(node.shutdown(Duration::from_secs(5)).await);
    let node = place.node().await;
    assert_eq!(node.status().resident, 0);
    tokio::time::sleep(Duration::from_secs(3_590)).await;
    assert_eq!(node.status().resident, 0, "not loaded before it is due");
    until("fired", || async {
        let journal = node.client().journal(&key("a"), 1, 1).await.expect("reads");
        journal.first().is_some_and(|record| record.at_ms >= at_ms && record.event.get("Reminded").is_some())
    })
    .await;
    // With nothing left the row goes away.
    until("row removed", || async {
        let mut rows = 0;
        for shard in 0..16 {
            rows += place.store.wake.scan(shard).await.expect("scans").len();
        }
        rows == 0
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn watch_gets_events_in_order_across_passivation_and_can_catch_up() {
    let place = Place::new();
    let node = place.node().await;
    let client = node.client();
    let mut watch = client.watch(&key("a"));
    ask(&client, "a", Command::Add { op: 1, amount: 5 }).await.expect("added");
    until("passivated", || async { node.status().resident == 0 }).await;
    ask(&client, "a", Command::Add { op: 2, amount: 5 }).await.expect("added");
    for (seq, text) in [(1, "1:5"), (2, "2:10")] {
        assert_eq!(watch.next().await, Some(Watch::Event { seq, bytes: Bytes::from(text) }));
    }
    let missed = client.watched_since(&key("a"), 1).await.expect("folds");
    assert_eq!(missed, [(2, Bytes::from("2:10"))]);
    node.shutdown(Duration::from_secs(1)).await;
    assert_eq!(watch.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn resident_starts_for_a_watcher_gets_notes_and_leaves_when_nobody_cares() {
    let place = Place::new();
    let node = place.node().await;
    let client = node.client();
    let board = EntityKey::new("acme", "board", "all");
    ask(&client, "a", Command::Add { op: 1, amount: 1 }).await.expect("nobody follows: dropped");
    let mut watch = client.watch(&board);
    let first = client.resident_ask(&board, Bytes::new()).await.expect("answers");
    for op in 2..=4 {
        let add = Command::Add { op, amount: 1 };
        client.ask::<Ledger>("acme", "a", add, Ask::default().after_rows()).await.expect("added");
        let told = Some(Watch::Frame { bytes: Bytes::from(format!("told {}", op - 1)) });
        assert_eq!(watch.next().await, told);
    }
    drop(watch);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let second = client.resident_ask(&board, Bytes::new()).await.expect("answers");
    let number = |bytes: Bytes| String::from_utf8(bytes.to_vec()).expect("text").parse::<u64>().expect("number");
    assert!(number(second) > number(first), "a new generation");
    let broken = client.resident_ask(&EntityKey::new("acme", "board", "broken"), Bytes::new()).await;
    assert!(broken.is_err());
}
