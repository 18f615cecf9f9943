//! Many callers at once.

use bytes::Bytes;
use colloquy_store::StoreError;
use colloquy_store::journal::Append;
use colloquy_store::wake::Wake;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::fixture::{Fixture, append, key, read};

pub(crate) async fn many_tasks_on_many_entities_recount_exactly(fixture: &mut impl Fixture) {
    const ENTITIES: u64 = 40;
    const APPENDS: u64 = 25;
    let mut tasks = JoinSet::new();
    for entity in 0..ENTITIES {
        let store = fixture.store().clone();
        tasks.spawn(async move {
            let key = key(&entity.to_string());
            let claim = store.journal.claim(&key, 1).await.unwrap().claim;
            for seq in 0..APPENDS {
                let wake = Wake { shard: 0, key: key.clone(), epoch: 1, due_ms: seq as i64 };
                let event = Bytes::from(format!("{entity}:{seq}"));
                let append = Append { id: Uuid::new_v4(), events: vec![event], wake: Some(wake) };
                store.journal.append(&key, claim, seq, append).await.unwrap();
                // What was acknowledged is seen at once, by whichever connection reads.
                assert_eq!(store.journal.load(&key, seq, 9).await.unwrap().len(), 1);
                // Refusals in the same transaction as others' appends must not touch them.
                let refused = store.journal.append(&key, claim, seq, crate::fixture::append(&["x"])).await;
                assert!(matches!(refused, Err(StoreError::Conflict { .. })));
            }
        });
    }
    tasks.join_all().await;
    fixture.crash().await;
    for entity in 0..ENTITIES {
        let expected: Vec<String> = (0..APPENDS).map(|seq| format!("{entity}:{seq}")).collect();
        assert_eq!(read(fixture.store(), &key(&entity.to_string())).await, expected);
    }
    let wakes = fixture.store().wake.scan(0).await.unwrap();
    assert_eq!(wakes.len() as u64, ENTITIES);
    assert!(wakes.iter().all(|wake| wake.due_ms == APPENDS as i64 - 1));
}

pub(crate) async fn racing_claims_leave_one_writer(fixture: &mut impl Fixture) {
    let mut tasks = JoinSet::new();
    for task in 0..20_u32 {
        let store = fixture.store().clone();
        tasks.spawn(async move {
            let mut acknowledged = Vec::new();
            for round in 0..10 {
                let claimed = store.journal.claim(&key("a"), 1).await.unwrap();
                let event = format!("{task}.{round}");
                match store.journal.append(&key("a"), claimed.claim, claimed.last_seq, append(&[&event])).await {
                    Ok(()) => acknowledged.push(event),
                    Err(StoreError::Fenced(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            acknowledged
        });
    }
    let mut acknowledged = tasks.join_all().await.concat();
    fixture.crash().await;
    let mut stored = read(fixture.store(), &key("a")).await;
    acknowledged.sort();
    stored.sort();
    assert!(!stored.is_empty());
    assert_eq!(stored, acknowledged);
}
