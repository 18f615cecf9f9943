//! Data keys and erasure.

use bytes::Bytes;
use colloquy_store::journal::Snapshot;
use colloquy_store::rows::{Range, Row};
use colloquy_store::{EntityKey, StoreError};

use crate::fixture::{Fixture, key, read, write};

pub(crate) async fn the_first_key_stays(fixture: &mut impl Fixture) {
    let keys = fixture.store().keys.clone();
    assert_eq!(keys.get(&key("a")).await.unwrap(), None);
    assert_eq!(keys.get_or_insert(&key("a"), Bytes::from_static(b"one")).await.unwrap(), "one");
    assert_eq!(keys.get_or_insert(&key("a"), Bytes::from_static(b"two")).await.unwrap(), "one");
    drop(keys);
    fixture.crash().await;
    assert_eq!(fixture.store().keys.get(&key("a")).await.unwrap(), Some(Bytes::from_static(b"one")));
    assert_eq!(fixture.store().keys.get(&key("b")).await.unwrap(), None);
}

pub(crate) async fn a_destroyed_key_stays_destroyed(fixture: &mut impl Fixture) {
    let keys = fixture.store().keys.clone();
    keys.get_or_insert(&key("a"), Bytes::from_static(b"one")).await.unwrap();
    // An entity without a key is marked too: what it would write later must not be readable again.
    for id in ["a", "never had one", "a"] {
        keys.destroy(&key(id)).await.unwrap();
    }
    drop(keys);
    fixture.crash().await;
    let keys = &fixture.store().keys;
    for id in ["a", "never had one"] {
        assert_eq!(keys.get(&key(id)).await, Err(StoreError::Erased(key(id))));
        assert_eq!(keys.get_or_insert(&key(id), Bytes::from_static(b"new")).await, Err(StoreError::Erased(key(id))));
    }
}

pub(crate) async fn destroying_blanks_the_entity_and_nothing_else(fixture: &mut impl Fixture) {
    let store = fixture.store();
    let row = |tenant: &str, list: &str, id: &str| Row {
        tenant: tenant.to_owned(),
        list: list.to_owned(),
        at_ms: 1,
        id: id.to_owned(),
        seq: 1,
        view_version: 1,
        body: Some(Bytes::from_static(b"personal")),
        numbers: Some(Bytes::from_static(b"1")),
    };
    let mine = [row("acme", "leads", "a"), row("acme", "calls", "a/1"), row("acme", "calls", "a/2")];
    let others = [
        row("acme", "calls", "a0"),
        row("acme", "calls", "a."),
        row("acme", "leads", "ab"),
        row("acme", "leads", "/a"),
        row("beta", "leads", "a"),
    ];
    store.rows.put(&[&mine[..], &others[..]].concat()).await.unwrap();
    let snapshot = |id| (key(id), Snapshot { seq: 1, bytes: Bytes::from_static(b"personal") });
    for (key, snapshot) in [snapshot("a"), snapshot("ab")] {
        write(store, &key, &["sealed"]).await;
        store.journal.save_snapshot(&key, snapshot).await.unwrap();
    }
    let same_id_of_another_tenant = EntityKey::new("beta", "conversation", "a");
    store.keys.get_or_insert(&same_id_of_another_tenant, Bytes::from_static(b"beta's")).await.unwrap();

    store.keys.destroy(&key("a")).await.unwrap();

    assert_eq!(store.journal.load_snapshot(&key("a")).await.unwrap(), None);
    assert!(store.journal.load_snapshot(&key("ab")).await.unwrap().is_some());
    assert_eq!(read(store, &key("a")).await, ["sealed"]);
    assert_eq!(store.keys.get(&same_id_of_another_tenant).await.unwrap(), Some(Bytes::from_static(b"beta's")));
    for (tenant, list) in [("acme", "leads"), ("acme", "calls"), ("beta", "leads")] {
        let kept = |row: &&Row| row.tenant == tenant && row.list == list;
        let mut expected: Vec<Row> = others.iter().filter(kept).cloned().collect();
        expected.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!(store.rows.list(tenant, list, &Range { limit: 9, ..Range::default() }).await.unwrap(), expected);
        expected.extend(mine.iter().filter(kept).map(|row| Row { body: None, ..row.clone() }));
        expected.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!(store.rows.scan(tenant, list, None, 9).await.unwrap(), expected);
    }
}
