//! Values at and above every limit.

use bytes::Bytes;
use colloquy_store::journal::{Append, Snapshot};
use colloquy_store::limits::{
    ANSWER_MAX_BYTES, APPEND_MAX_BYTES, APPEND_MAX_EVENTS, EVENT_MAX_BYTES, EVENT_OVERHEAD_BYTES, NAME_MAX_BYTES,
    ROW_MAX_BYTES, SEQ_MAX, SNAPSHOT_MAX_BYTES, WRAPPED_KEY_MAX_BYTES,
};
use colloquy_store::rows::Row;
use colloquy_store::wake::Wake;
use colloquy_store::{EntityKey, StoreError};

use crate::fixture::{Fixture, append, key};

fn zeros(size: usize) -> Bytes {
    Bytes::from(vec![0; size])
}

fn is_too_large<T>(result: Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::TooLarge { size, limit, .. }) if size > limit)
}

pub(crate) async fn too_large_values_are_refused_and_the_largest_are_taken(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let claim = store.journal.claim(&key("a"), 1).await.unwrap().claim;
    let with = |events| Append { events, ..append(&[]) };
    assert!(is_too_large(store.journal.append(&key("a"), claim, 0, with(vec![zeros(EVENT_MAX_BYTES + 1)])).await));
    let share = APPEND_MAX_BYTES / 5 - EVENT_OVERHEAD_BYTES;
    assert!(is_too_large(store.journal.append(&key("a"), claim, 0, with(vec![zeros(share + 1); 5])).await));
    // Events without bytes are not free.
    assert!(is_too_large(
        store
            .journal
            .append(&key("a"), claim, 0, with(vec![Bytes::new(); APPEND_MAX_BYTES / EVENT_OVERHEAD_BYTES + 1]))
            .await
    ));
    store.journal.append(&key("a"), claim, 0, with(vec![zeros(EVENT_MAX_BYTES)])).await.unwrap();
    store.journal.append(&key("a"), claim, 1, with(vec![zeros(share); 5])).await.unwrap();
    assert_eq!(store.journal.load(&key("a"), 0, 9).await.unwrap().len(), 6);

    let snapshot = |size| Snapshot { seq: 6, bytes: zeros(size) };
    assert!(is_too_large(store.journal.save_snapshot(&key("a"), snapshot(SNAPSHOT_MAX_BYTES + 1)).await));
    store.journal.save_snapshot(&key("a"), snapshot(SNAPSHOT_MAX_BYTES)).await.unwrap();

    let long = "n".repeat(NAME_MAX_BYTES + 1);
    assert!(is_too_large(store.journal.claim(&EntityKey::new(long.as_str(), "k", "i"), 1).await));
    assert!(is_too_large(store.journal.load(&EntityKey::new("t", "k", long.as_str()), 0, 1).await));
    assert!(is_too_large(store.unique.reserve("s", &long, "o", 0).await));
    assert!(is_too_large(store.answers.begin("s", &long, [0; 32], 0).await));
    assert!(is_too_large(store.answers.finish("s", "k", zeros(ANSWER_MAX_BYTES + 1), 0).await));
    assert!(is_too_large(store.keys.get_or_insert(&key("a"), zeros(WRAPPED_KEY_MAX_BYTES + 1)).await));
    assert!(is_too_large(store.rows.put(&[row(Some(zeros(ROW_MAX_BYTES + 1)), 1)]).await));
    store.rows.put(&[row(Some(zeros(ROW_MAX_BYTES)), 1)]).await.unwrap();
}

pub(crate) async fn an_append_without_events_or_with_too_many_is_refused(fixture: &mut impl Fixture) {
    let journal = &fixture.store().journal;
    let claim = journal.claim(&key("a"), 1).await.unwrap().claim;
    assert!(matches!(journal.append(&key("a"), claim, 0, append(&[])).await, Err(StoreError::Invalid(_))));
    let many = Append { events: vec![Bytes::new(); APPEND_MAX_EVENTS + 1], ..append(&[]) };
    assert!(matches!(journal.append(&key("a"), claim, 0, many).await, Err(StoreError::Invalid(_))));
    let most = Append { events: vec![Bytes::new(); APPEND_MAX_EVENTS], ..append(&[]) };
    journal.append(&key("a"), claim, 0, most).await.unwrap();
}

pub(crate) async fn numbers_beyond_the_columns_are_refused(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let is_invalid =
        |result: Result<(), StoreError>| assert!(matches!(result, Err(StoreError::Invalid(_))), "{result:?}");
    is_invalid(store.journal.claim(&key("a"), u64::MAX).await.map(|_| ()));
    let claim = store.journal.claim(&key("a"), i64::MAX as u64).await.unwrap().claim;
    is_invalid(store.journal.append(&key("a"), claim, SEQ_MAX, append(&["x"])).await);
    is_invalid(store.journal.append(&key("a"), claim, u64::MAX, append(&["x"])).await);
    is_invalid(store.rows.put(&[row(None, SEQ_MAX + 1)]).await);
    is_invalid(store.wake.put(&Wake { shard: 0, key: key("a"), epoch: u64::MAX, due_ms: 0 }).await);
}

fn row(body: Option<Bytes>, seq: u64) -> Row {
    Row {
        tenant: "t".to_owned(),
        list: "l".to_owned(),
        at_ms: 0,
        id: "i".to_owned(),
        seq,
        view_version: 0,
        body,
        numbers: None,
    }
}
