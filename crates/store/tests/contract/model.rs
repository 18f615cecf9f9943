//! Random operations give the same answers from the durable store as from the one in memory, also after crashes.

use bytes::Bytes;
use colloquy_store::journal::{Append, Claim, Snapshot};
use colloquy_store::leases::{ShardRow, ShardState};
use colloquy_store::rows::{After, Range, Row};
use colloquy_store::wake::Wake;
use colloquy_store::{EntityKey, Store};
use proptest::prelude::*;
use uuid::Uuid;

use crate::fixture::{Fixture, Memory, Sqlite};

/// From, to, after and limit of a list.
type Stretch = (Option<i64>, Option<i64>, Option<(i64, u8)>, usize);

#[derive(Clone, Debug)]
enum Op {
    Claim {
        entity: u8,
        epoch: u64,
    },
    /// Appends under the `back`-th last claim, `ahead` of or behind the last known number.
    Append {
        entity: u8,
        back: usize,
        off: i64,
        events: u8,
        wake: bool,
    },
    Load {
        entity: u8,
        after: u64,
        limit: usize,
    },
    Snapshot {
        entity: u8,
        seq: u64,
    },
    LoadSnapshot {
        entity: u8,
    },
    Wake {
        entity: u8,
        epoch: u64,
        due_ms: i64,
    },
    RemoveWake {
        entity: u8,
        epoch: u64,
    },
    PutRow {
        id: u8,
        at_ms: i64,
        seq: u64,
        body: bool,
    },
    List {
        range: Stretch,
    },
    Scan {
        after: Option<u8>,
        limit: usize,
    },
    Reserve {
        value: u8,
        owner: u8,
        now_ms: i64,
    },
    Confirm {
        value: u8,
        owner: u8,
    },
    Release {
        value: u8,
        owner: u8,
    },
    Begin {
        key: u8,
        body: u8,
        now_ms: i64,
    },
    Finish {
        key: u8,
        expires_at_ms: i64,
    },
    Abandon {
        key: u8,
    },
    EndRun {
        key: u8,
        now_ms: i64,
    },
    Sweep {
        now_ms: i64,
    },
    DataKey {
        entity: u8,
    },
    Destroy {
        entity: u8,
    },
    Join {
        node: u8,
        replace: bool,
    },
    Beat {
        node: u8,
        incarnation: u64,
    },
    Bury {
        node: u8,
        incarnation: u64,
        beat: u64,
    },
    Swap {
        expected: Option<(u8, u64)>,
        new: (u8, u64),
    },
    TakeAll {
        shards: u32,
    },
    Crash,
}

fn op() -> impl Strategy<Value = Op> {
    let (e, small) = (0..3_u8, 0..4_u64);
    // Times around the minute after which a run counts as dead, and the day after which it is forgotten.
    let time = (0..4_i64, 0..2_i64).prop_map(|(n, days)| n * 40_000 + days * 86_400_000);
    prop_oneof![
        3 => (e.clone(), small.clone()).prop_map(|(entity, epoch)| Op::Claim { entity, epoch }),
        8 => (e.clone(), prop_oneof![4 => Just(0_usize), 1 => Just(1)], prop_oneof![6 => Just(0_i64), 1 => -1..=1_i64], 0..4_u8, any::<bool>())
            .prop_map(|(entity, back, off, events, wake)| Op::Append { entity, back, off, events, wake }),
        3 => (e.clone(), 0..6_u64, 0..5_usize).prop_map(|(entity, after, limit)| Op::Load { entity, after, limit }),
        1 => (e.clone(), small.clone()).prop_map(|(entity, seq)| Op::Snapshot { entity, seq }),
        1 => e.clone().prop_map(|entity| Op::LoadSnapshot { entity }),
        1 => (e.clone(), small.clone(), 0..3_i64).prop_map(|(entity, epoch, due_ms)| Op::Wake { entity, epoch, due_ms }),
        1 => (e.clone(), small.clone()).prop_map(|(entity, epoch)| Op::RemoveWake { entity, epoch }),
        4 => (0..5_u8, 0..3_i64, small.clone(), any::<bool>()).prop_map(|(id, at_ms, seq, body)| Op::PutRow { id, at_ms, seq, body }),
        3 => (proptest::option::of(0..4_i64), proptest::option::of(0..4_i64), proptest::option::of((0..4_i64, 0..5_u8)), 0..6_usize)
            .prop_map(|range| Op::List { range }),
        1 => (proptest::option::of(0..5_u8), 0..6_usize).prop_map(|(after, limit)| Op::Scan { after, limit }),
        2 => (e.clone(), 0..2_u8, 0..9_i64).prop_map(|(value, owner, now_ms)| Op::Reserve { value, owner, now_ms }),
        1 => (e.clone(), 0..2_u8).prop_map(|(value, owner)| Op::Confirm { value, owner }),
        1 => (e.clone(), 0..2_u8).prop_map(|(value, owner)| Op::Release { value, owner }),
        3 => (e.clone(), 0..2_u8, time.clone()).prop_map(|(key, body, now_ms)| Op::Begin { key, body, now_ms }),
        2 => (e.clone(), time.clone()).prop_map(|(key, expires_at_ms)| Op::Finish { key, expires_at_ms }),
        1 => e.clone().prop_map(|key| Op::Abandon { key }),
        1 => (e.clone(), time.clone()).prop_map(|(key, now_ms)| Op::EndRun { key, now_ms }),
        1 => time.prop_map(|now_ms| Op::Sweep { now_ms }),
        2 => e.clone().prop_map(|entity| Op::DataKey { entity }),
        1 => e.prop_map(|entity| Op::Destroy { entity }),
        1 => (0..2_u8, any::<bool>()).prop_map(|(node, replace)| Op::Join { node, replace }),
        1 => (0..2_u8, small.clone()).prop_map(|(node, incarnation)| Op::Beat { node, incarnation }),
        1 => (0..2_u8, small.clone(), 0..2_u64).prop_map(|(node, incarnation, beat)| Op::Bury { node, incarnation, beat }),
        1 => (proptest::option::of((0..2_u8, small.clone())), (0..2_u8, small)).prop_map(|(expected, new)| Op::Swap { expected, new }),
        1 => (0..3_u32).prop_map(|shards| Op::TakeAll { shards }),
        1 => Just(Op::Crash),
    ]
}

/// One store, and the claims it gave: they differ between stores, and are named by entity and order.
struct Side<F> {
    fixture: F,
    claims: Vec<(u8, Claim)>,
    known: [u64; 3],
}

impl<F: Fixture> Side<F> {
    async fn open() -> Self {
        Self { fixture: F::open().await, claims: Vec::new(), known: [0; 3] }
    }

    /// The answer as text, without claims.
    async fn run(&mut self, op: &Op, id: Uuid) -> String {
        if let Op::Crash = op {
            self.fixture.crash().await;
            return String::new();
        }
        let store = self.fixture.store().clone();
        match *op {
            Op::Claim { entity, epoch } => {
                let claimed = store.journal.claim(&key(entity), epoch).await;
                if let Ok(claimed) = &claimed {
                    self.claims.push((entity, claimed.claim));
                    self.known[usize::from(entity)] = claimed.last_seq;
                }
                format!("{:?}", claimed.map(|claimed| claimed.last_seq))
            }
            Op::Append { entity, back, off, events, wake } => {
                let claim = self.claims.iter().rev().filter(|(of, _)| *of == entity).nth(back);
                let claim = claim.map_or(Claim(Uuid::nil()), |(_, claim)| *claim);
                let seq = self.known[usize::from(entity)].saturating_add_signed(off);
                let wake = wake.then(|| Wake { shard: 1, key: key(entity), epoch: 2, due_ms: i64::from(events) });
                let events: Vec<Bytes> = (0..events).map(|event| Bytes::from(format!("{id} {event}"))).collect();
                let count = events.len() as u64;
                let appended = store.journal.append(&key(entity), claim, seq, Append { id, events, wake }).await;
                if appended.is_ok() {
                    self.known[usize::from(entity)] = seq + count;
                }
                format!("{appended:?}")
            }
            _ => answer(&store, op, id).await,
        }
    }
}

async fn answer(store: &Store, op: &Op, id: Uuid) -> String {
    let text = id.to_string();
    match op.clone() {
        Op::Claim { .. } | Op::Append { .. } | Op::Crash => unreachable!("run by the side"),
        Op::Load { entity, after, limit } => format!("{:?}", store.journal.load(&key(entity), after, limit).await),
        Op::Snapshot { entity, seq } => {
            format!("{:?}", store.journal.save_snapshot(&key(entity), Snapshot { seq, bytes: text.into() }).await)
        }
        Op::LoadSnapshot { entity } => {
            format!("{:?}", store.journal.load_snapshot(&key(entity)).await)
        }
        Op::Wake { entity, epoch, due_ms } => {
            let put = store.wake.put(&Wake { shard: 1, key: key(entity), epoch, due_ms }).await;
            format!("{put:?} {:?}", store.wake.scan(1).await)
        }
        Op::RemoveWake { entity, epoch } => {
            format!("{:?} {:?}", store.wake.remove(1, &key(entity), epoch).await, store.wake.scan(1).await)
        }
        Op::PutRow { id, at_ms, seq, body } => {
            let body = body.then(|| Bytes::from(text));
            let row = Row {
                tenant: "t".into(),
                list: "l".into(),
                at_ms,
                id: row_id(id),
                seq,
                view_version: 0,
                body,
                numbers: None,
            };
            format!("{:?} {:?}", store.rows.put(&[row]).await, store.rows.get("t", "l", &row_id(id)).await)
        }
        Op::List { range: (from_ms, to_ms, after, limit) } => {
            let after = after.map(|(at_ms, id)| After { at_ms, id: row_id(id) });
            format!("{:?}", store.rows.list("t", "l", &Range { from_ms, to_ms, after, limit }).await)
        }
        Op::Scan { after, limit } => {
            format!("{:?}", store.rows.scan("t", "l", after.map(row_id).as_deref(), limit).await)
        }
        Op::Reserve { value, owner, now_ms } => {
            format!("{:?}", store.unique.reserve("s", &value.to_string(), &owner.to_string(), now_ms).await)
        }
        Op::Confirm { value, owner } => {
            format!("{:?}", store.unique.confirm("s", &value.to_string(), &owner.to_string()).await)
        }
        Op::Release { value, owner } => {
            let released = store.unique.release("s", &value.to_string(), &owner.to_string()).await;
            format!("{released:?} {:?}", store.unique.holder("s", &value.to_string()).await)
        }
        Op::Begin { key, body, now_ms } => {
            format!("{:?}", store.answers.begin("s", &key.to_string(), [body; 32], now_ms).await)
        }
        Op::Finish { key, expires_at_ms } => {
            format!("{:?}", store.answers.finish("s", &key.to_string(), text.into(), expires_at_ms).await)
        }
        Op::Abandon { key } => format!("{:?}", store.answers.abandon("s", &key.to_string()).await),
        Op::EndRun { key, now_ms } => format!("{:?}", store.answers.release("s", &key.to_string(), now_ms).await),
        Op::Sweep { now_ms } => format!("{:?}", store.answers.sweep(now_ms).await),
        Op::DataKey { entity } => {
            format!(
                "{:?} {:?}",
                store.keys.get(&key(entity)).await,
                store.keys.get_or_insert(&key(entity), text.into()).await
            )
        }
        Op::Destroy { entity } => {
            let destroyed = store.keys.destroy(&key(entity)).await;
            format!("{destroyed:?} {:?}", store.rows.scan("t", "l", None, 99).await)
        }
        Op::Join { node, replace } => format!("{:?}", store.leases.join(&node.to_string(), "a", replace).await),
        Op::Beat { node, incarnation } => format!("{:?}", store.leases.beat(&node.to_string(), incarnation).await),
        Op::Bury { node, incarnation, beat } => {
            format!(
                "{:?} {:?}",
                store.leases.bury(&node.to_string(), incarnation, beat).await,
                store.leases.nodes().await
            )
        }
        Op::Swap { expected, new } => {
            let row = |(owner, epoch): (u8, u64)| ShardRow {
                shard: 0,
                owner: owner.to_string(),
                epoch,
                state: if epoch == 2 { ShardState::Draining } else { ShardState::Owned },
                target: (epoch == 2).then(|| "x".to_owned()),
            };
            format!(
                "{:?} {:?}",
                store.leases.swap(expected.map(row).as_ref(), &row(new)).await,
                store.leases.shards().await
            )
        }
        Op::TakeAll { shards } => format!("{:?}", store.leases.take_all("n", shards).await),
    }
}

fn key(entity: u8) -> EntityKey {
    EntityKey::new("t", "k", row_id(entity))
}

/// Some ids are parts of others, as the rows of one entity are.
fn row_id(id: u8) -> String {
    ["a", "a/1", "b", "a0", "b/2"][usize::from(id)].to_owned()
}

async fn check_alike<F: Fixture>(ops: &[Op]) {
    let mut memory = Side::<Memory>::open().await;
    let mut durable = Side::<F>::open().await;
    for (step, op) in ops.iter().enumerate() {
        let id = Uuid::from_u128(step as u128);
        let (expected, found) = (memory.run(op, id).await, durable.run(op, id).await);
        assert_eq!(found, expected, "step {step}: {op:?}");
    }
}

fn block_on(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(work);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_stores_answer_alike(ops in proptest::collection::vec(op(), 1..80)) {
        block_on(check_alike::<Sqlite>(&ops));
    }
}

#[cfg(feature = "scylla")]
proptest! {
    // Fewer: each begins with an empty keyspace, and each conditional statement takes milliseconds.
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_cql_store_answers_alike(ops in proptest::collection::vec(op(), 40..120)) {
        block_on(check_alike::<crate::scylla::Scylla>(&ops));
    }
}
