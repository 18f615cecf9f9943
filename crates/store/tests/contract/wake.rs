//! Unfinished work.

use colloquy_store::StoreError;
use colloquy_store::journal::Append;
use colloquy_store::wake::Wake;

use crate::fixture::{Fixture, append, key};

fn wake(id: &str, epoch: u64, due_ms: i64) -> Wake {
    Wake { shard: 7, key: key(id), epoch, due_ms }
}

pub(crate) async fn a_wake_row_is_as_durable_as_its_append(fixture: &mut impl Fixture) {
    let journal = &fixture.store().journal;
    let claim = journal.claim(&key("a"), 1).await.unwrap().claim;
    let with_wake = Append { wake: Some(wake("a", 1, 500)), ..append(&["1"]) };
    journal.append(&key("a"), claim, 0, with_wake).await.unwrap();
    fixture.crash().await;
    assert_eq!(fixture.store().wake.scan(7).await.unwrap(), [wake("a", 1, 500)]);
}

pub(crate) async fn a_refused_append_leaves_no_wake_row(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let claim = store.journal.claim(&key("a"), 1).await.unwrap().claim;
    let with_wake = || Append { wake: Some(wake("a", 1, 0)), ..append(&["1"]) };
    assert!(matches!(store.journal.append(&key("a"), claim, 5, with_wake()).await, Err(StoreError::Conflict { .. })));
    store.journal.claim(&key("a"), 2).await.unwrap();
    assert!(matches!(store.journal.append(&key("a"), claim, 0, with_wake()).await, Err(StoreError::Fenced(_))));
    assert_eq!(store.wake.scan(7).await.unwrap(), []);
}

pub(crate) async fn an_older_epoch_neither_moves_nor_removes_a_newer_row(fixture: &mut impl Fixture) {
    let list = &fixture.store().wake;
    list.put(&wake("a", 2, 100)).await.unwrap();
    list.put(&wake("a", 1, 999)).await.unwrap();
    list.remove(7, &key("a"), 1).await.unwrap();
    assert_eq!(list.scan(7).await.unwrap(), [wake("a", 2, 100)]);
    list.put(&wake("a", 2, 50)).await.unwrap();
    list.put(&wake("a", 3, 60)).await.unwrap();
    assert_eq!(list.scan(7).await.unwrap(), [wake("a", 3, 60)]);
    list.remove(7, &key("a"), u64::MAX).await.unwrap();
    list.remove(7, &key("a"), 9).await.unwrap();
    assert_eq!(list.scan(7).await.unwrap(), []);
}

pub(crate) async fn a_shard_shows_only_its_own_rows(fixture: &mut impl Fixture) {
    let list = &fixture.store().wake;
    for (shard, id) in [(7, "b"), (8, "c"), (7, "a")] {
        list.put(&Wake { shard, ..wake(id, 1, 0) }).await.unwrap();
    }
    let ids = |wakes: Vec<Wake>| wakes.into_iter().map(|wake| wake.key.id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(list.scan(7).await.unwrap()), ["a", "b"]);
    assert_eq!(ids(list.scan(8).await.unwrap()), ["c"]);
    assert_eq!(ids(list.scan(0).await.unwrap()), [""; 0]);
}
