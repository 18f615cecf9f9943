//! Claims, appends, loads and snapshots.

use bytes::Bytes;
use colloquy_store::journal::{Claim, Snapshot};
use colloquy_store::{EntityKey, StoreError};
use uuid::Uuid;

use crate::fixture::{Fixture, append, key, read, write};

pub(crate) async fn events_come_back_in_order_without_gaps(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let claim = write(store, &key("a"), &["1", "2", "3"]).await;
    write(store, &key("b"), &["other"]).await;
    let second = append(&["4"]);
    store.journal.append(&key("a"), claim, 3, second.clone()).await.unwrap();
    assert_eq!(read(store, &key("a")).await, ["1", "2", "3", "4"]);

    let part = store.journal.load(&key("a"), 1, 2).await.unwrap();
    assert_eq!(part.iter().map(|record| record.seq).collect::<Vec<_>>(), [2, 3]);
    let last = store.journal.load(&key("a"), 3, 10).await.unwrap();
    assert_eq!((last.len(), last[0].append_id, last[0].epoch), (1, second.id, 1));
    for (after, limit) in [(4, 10), (u64::MAX, 10), (0, 0)] {
        assert_eq!(store.journal.load(&key("a"), after, limit).await.unwrap(), [], "after {after}, limit {limit}");
    }
    assert_eq!(store.journal.claim(&key("a"), 1).await.unwrap().last_seq, 4);
}

pub(crate) async fn an_entity_nobody_claimed_is_empty(fixture: &mut impl Fixture) {
    let journal = &fixture.store().journal;
    assert_eq!(journal.load(&key("a"), 0, 10).await.unwrap(), []);
    assert_eq!(journal.load_snapshot(&key("a")).await.unwrap(), None);
    assert_eq!(journal.claim(&key("a"), 7).await.unwrap().last_seq, 0);
    let snapshot = Snapshot { seq: 1, bytes: Bytes::new() };
    assert!(matches!(journal.save_snapshot(&key("b"), snapshot).await, Err(StoreError::Invalid(_))));
}

pub(crate) async fn entities_with_shifted_names_are_different(fixture: &mut impl Fixture) {
    let keys =
        [("ab", "c", "d"), ("a", "bc", "d"), ("a", "b", "cd"), ("a/b", "c", "d"), ("a", "b/c", "d"), ("", "abc", "d")];
    let keys = keys.map(|(tenant, kind, id)| EntityKey::new(tenant, kind, id));
    for (place, key) in keys.iter().enumerate() {
        write(fixture.store(), key, &[&place.to_string()]).await;
    }
    for (place, key) in keys.iter().enumerate() {
        assert_eq!(read(fixture.store(), key).await, [place.to_string()]);
    }
}

pub(crate) async fn another_expected_seq_is_a_conflict(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let claim = write(store, &key("a"), &["1", "2"]).await;
    for expected in [0, 1, 3] {
        let refused = store.journal.append(&key("a"), claim, expected, append(&["x"])).await;
        assert_eq!(refused, Err(StoreError::Conflict { key: key("a"), expected, found: 2 }));
    }
    assert_eq!(read(store, &key("a")).await, ["1", "2"]);
}

pub(crate) async fn a_newer_claim_fences_the_older_one(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let old = write(store, &key("a"), &["1"]).await;
    // Also under the same epoch: a node that activates an entity twice must fence its own first activation.
    let new = store.journal.claim(&key("a"), 1).await.unwrap().claim;
    assert_ne!(old, new);
    assert_eq!(store.journal.append(&key("a"), old, 1, append(&["x"])).await, Err(StoreError::Fenced(key("a"))));
    // A fence is told even where the number is wrong too: only "stop" is a safe answer.
    assert_eq!(store.journal.append(&key("a"), old, 9, append(&["x"])).await, Err(StoreError::Fenced(key("a"))));
    store.journal.append(&key("a"), new, 1, append(&["2"])).await.unwrap();
    assert_eq!(read(store, &key("a")).await, ["1", "2"]);
}

pub(crate) async fn a_later_epoch_refuses_an_earlier_one(fixture: &mut impl Fixture) {
    let journal = &fixture.store().journal;
    let claim = journal.claim(&key("a"), 5).await.unwrap().claim;
    assert_eq!(journal.claim(&key("a"), 4).await, Err(StoreError::Fenced(key("a"))));
    // The refused claim changed nothing.
    journal.append(&key("a"), claim, 0, append(&["1"])).await.unwrap();
    assert_eq!(journal.load(&key("a"), 0, 1).await.unwrap()[0].epoch, 5);
    journal.claim(&key("a"), 6).await.unwrap();
}

pub(crate) async fn an_append_without_a_claim_is_fenced(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let invented = Claim(Uuid::new_v4());
    assert_eq!(store.journal.append(&key("a"), invented, 0, append(&["x"])).await, Err(StoreError::Fenced(key("a"))));
    let of_another = write(store, &key("b"), &["1"]).await;
    store.journal.claim(&key("a"), 1).await.unwrap();
    assert_eq!(store.journal.append(&key("a"), of_another, 0, append(&["x"])).await, Err(StoreError::Fenced(key("a"))));
    assert_eq!(read(store, &key("a")).await, [""; 0]);
}

pub(crate) async fn a_late_append_has_no_effect_and_the_new_owner_goes_on(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let old = store.journal.claim(&key("a"), 1).await.unwrap().claim;
    let late = append(&["late"]);
    let new = store.journal.claim(&key("a"), 2).await.unwrap();
    // The old owner's append arrives before and after the new owner's, with the number that would fit.
    assert!(store.journal.append(&key("a"), old, 0, late.clone()).await.is_err());
    store.journal.append(&key("a"), new.claim, 0, append(&["1"])).await.unwrap();
    assert!(store.journal.append(&key("a"), old, 1, late).await.is_err());
    assert_eq!(read(store, &key("a")).await, ["1"]);
}

pub(crate) async fn an_unknown_outcome_is_settled_by_the_append_id(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let claim = store.journal.claim(&key("a"), 1).await.unwrap().claim;
    let (happened, never) = (append(&["1", "2"]), append(&["x"]));
    store.journal.append(&key("a"), claim, 0, happened.clone()).await.unwrap();
    // Whoever lost the answer claims again and looks for the id.
    let again = store.journal.claim(&key("a"), 1).await.unwrap();
    let records = store.journal.load(&key("a"), 0, 10).await.unwrap();
    assert_eq!(records.iter().filter(|record| record.append_id == happened.id).count(), 2);
    assert!(!records.iter().any(|record| record.append_id == never.id));
    assert_eq!(again.last_seq, 2);
}

pub(crate) async fn a_crash_keeps_every_acknowledged_append(fixture: &mut impl Fixture) {
    for round in 0..3_u32 {
        for id in ["a", "b"] {
            let events = [format!("{round}-1"), format!("{round}-2")];
            write(fixture.store(), &key(id), &[&events[0], &events[1]]).await;
        }
        fixture.crash().await;
        let expected: Vec<String> =
            (0..=round).flat_map(|round| [format!("{round}-1"), format!("{round}-2")]).collect();
        for id in ["a", "b"] {
            assert_eq!(read(fixture.store(), &key(id)).await, expected);
        }
    }
    fixture.reopen().await;
    assert_eq!(read(fixture.store(), &key("a")).await.len(), 6);
}

pub(crate) async fn a_crash_keeps_the_fence(fixture: &mut impl Fixture) {
    let old = fixture.store().journal.claim(&key("a"), 3).await.unwrap().claim;
    let new = fixture.store().journal.claim(&key("a"), 4).await.unwrap().claim;
    fixture.crash().await;
    let journal = &fixture.store().journal;
    assert_eq!(journal.append(&key("a"), old, 0, append(&["x"])).await, Err(StoreError::Fenced(key("a"))));
    assert_eq!(journal.claim(&key("a"), 3).await, Err(StoreError::Fenced(key("a"))));
    journal.append(&key("a"), new, 0, append(&["1"])).await.unwrap();
}

pub(crate) async fn the_newest_snapshot_wins_and_survives(fixture: &mut impl Fixture) {
    write(fixture.store(), &key("a"), &["1", "2", "3"]).await;
    let snapshot = |seq, text: &'static str| Snapshot { seq, bytes: Bytes::from_static(text.as_bytes()) };
    for (seq, text) in [(2, "two"), (1, "one"), (3, "three"), (2, "two again")] {
        fixture.store().journal.save_snapshot(&key("a"), snapshot(seq, text)).await.unwrap();
    }
    fixture.crash().await;
    let journal = &fixture.store().journal;
    assert_eq!(journal.load_snapshot(&key("a")).await.unwrap(), Some(snapshot(3, "three")));
    // A rebuilt one at the same number replaces: newer code may fold differently.
    journal.save_snapshot(&key("a"), snapshot(3, "rebuilt")).await.unwrap();
    assert_eq!(journal.load_snapshot(&key("a")).await.unwrap(), Some(snapshot(3, "rebuilt")));
    assert_eq!(journal.load_snapshot(&key("b")).await.unwrap(), None);
}
