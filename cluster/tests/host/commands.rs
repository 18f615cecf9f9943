//! Commands, keys, rows and messages between entities.

use super::*;

#[tokio::test(start_paused = true)]
async fn repeated_key_gets_the_first_reply_also_after_a_restart() {
    let place = Place::new();
    let node = place.node().await;
    let add = |op| Command::Add { op, amount: 5 };
    let first = node.client().ask::<Ledger>("acme", "a", add(1), Ask::keyed("k")).await;
    let second = node.client().ask::<Ledger>("acme", "a", add(2), Ask::keyed("k")).await;
    assert_eq!(first, second);
    assert!(node.shutdown(Duration::from_secs(5)).await, "all leave");
    let node = place.node().await;
    let third = node.client().ask::<Ledger>("acme", "a", add(3), Ask::keyed("k")).await;
    assert_eq!(first, third, "kept in the snapshot");
    assert_eq!(applied(&node.client(), "a").await, [1]);
    let too_long = node.client().ask::<Ledger>("acme", "a", add(4), Ask::keyed("k".repeat(129))).await;
    assert!(matches!(too_long, Err(AskError::Malformed(_))));
}

#[tokio::test(start_paused = true)]
async fn messages_to_other_entities_arrive_once_and_rows_follow() {
    let place = Place::new();
    let node = place.node().await;
    let client = node.client();
    for op in 1..=10 {
        let transfer = Command::Transfer { op, to: key("b"), amount: 3 };
        client.ask::<Ledger>("acme", "a", transfer, Ask::default().after_rows()).await.expect("sent");
    }
    let row = client.get::<serde_json::Value>("acme", "ledgers", "a").await.expect("reads").expect("written");
    assert_eq!(row.body, serde_json::json!({ "total": -30 }), "an answer after rows finds them written");
    until("delivered", || async { applied(&client, "b").await.len() == 10 }).await;
    let again = place.node().await;
    assert_eq!(applied(&again.client(), "b").await, (1..=10).collect::<Vec<_>>());
    let range = Range { limit: 10, ..Range::default() };
    let rows = again.client().list::<serde_json::Value>("acme", "ledgers", &range).await.expect("lists");
    assert_eq!(rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let numbers = again.client().numbers::<serde_json::Value>("acme", "ledgers", None, 10).await.expect("reads");
    assert_eq!(numbers[1].numbers, Some(serde_json::json!({ "operations": 10 })));
}
