//! The store that forgets: every trait in process, for tests and simulations. It keeps the same contract as the durable adapters.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use crate::{
    EntityKey, Store, StoreError,
    answers::{Answers, BEGUN_KEPT_MS, Begun, DEAD_RUN_MS},
    blobs::{Blobs, check_path, folder_of},
    journal::{Append, Claim, Claimed, Journal, Record, Snapshot},
    keys::EntityKeys,
    leases::{ClusterInfo, Fact, Leases, NodeRow, NodeState, ShardRow, ShardState, refuse_beat, refuse_join},
    limits,
    rows::{Range, Row, Rows, belongs_to},
    unique::{Holder, Unique},
    wake::{Wake, WakeList},
};

/// An empty store that lives as long as its clones.
pub fn open() -> Store {
    let memory = Arc::new(Memory::default());
    Store {
        journal: memory.clone(),
        wake: memory.clone(),
        rows: memory.clone(),
        leases: memory.clone(),
        unique: memory.clone(),
        answers: memory.clone(),
        keys: memory.clone(),
        blobs: memory,
    }
}

#[derive(Default)]
struct Memory {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entities: HashMap<EntityKey, EntityState>,
    wakes: BTreeMap<(u32, EntityKey), (u64, i64)>,
    /// By tenant and list, then by id.
    rows: HashMap<(String, String), BTreeMap<String, Row>>,
    cluster: Option<ClusterInfo>,
    nodes: BTreeMap<String, NodeRow>,
    shards: BTreeMap<u32, ShardRow>,
    facts: BTreeMap<String, String>,
    unique: HashMap<(String, String), Holder>,
    answers: HashMap<(String, String), Run>,
    /// `None` once destroyed.
    keys: HashMap<EntityKey, Option<Bytes>>,
    blobs: BTreeMap<String, Bytes>,
}

#[derive(Default)]
struct EntityState {
    claim: Option<Claim>,
    epoch: u64,
    events: Vec<Record>,
    snapshot: Option<Snapshot>,
}

struct Run {
    body_hash: [u8; 32],
    started_ms: i64,
    /// From when a run without an answer counts as dead.
    dead_ms: i64,
    /// The answer and when it expires.
    done: Option<(Bytes, i64)>,
}

impl Run {
    fn is_over(&self, now_ms: i64) -> bool {
        match &self.done {
            Some((_, expires_at_ms)) => *expires_at_ms <= now_ms,
            None => self.dead_ms <= now_ms && self.started_ms <= now_ms.saturating_sub(BEGUN_KEPT_MS),
        }
    }
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock half way through a change, so a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn put_wake(wakes: &mut BTreeMap<(u32, EntityKey), (u64, i64)>, wake: &Wake) {
    let stored = wakes.entry((wake.shard, wake.key.clone())).or_insert((wake.epoch, wake.due_ms));
    if stored.0 <= wake.epoch {
        *stored = (wake.epoch, wake.due_ms);
    }
}

#[async_trait]
impl Journal for Memory {
    async fn claim(&self, key: &EntityKey, epoch: u64) -> Result<Claimed, StoreError> {
        limits::key(key)?;
        limits::signed("an epoch", epoch)?;
        let mut state = self.lock();
        let entity = state.entities.entry(key.clone()).or_default();
        if entity.epoch > epoch {
            return Err(StoreError::Fenced(key.clone()));
        }
        let claim = Claim(Uuid::new_v4());
        entity.epoch = epoch;
        entity.claim = Some(claim);
        Ok(Claimed { claim, last_seq: entity.events.len() as u64 })
    }

    async fn append(&self, key: &EntityKey, claim: Claim, expected_seq: u64, append: Append) -> Result<(), StoreError> {
        limits::append(key, expected_seq, &append)?;
        let mut state = self.lock();
        let state = &mut *state;
        let entity = state.entities.get_mut(key).filter(|entity| entity.claim == Some(claim));
        let entity = entity.ok_or_else(|| StoreError::Fenced(key.clone()))?;
        let found = entity.events.len() as u64;
        if found != expected_seq {
            return Err(StoreError::Conflict { key: key.clone(), expected: expected_seq, found });
        }
        for (seq, bytes) in (expected_seq + 1..).zip(append.events) {
            entity.events.push(Record { seq, append_id: append.id, epoch: entity.epoch, bytes });
        }
        if let Some(wake) = &append.wake {
            put_wake(&mut state.wakes, wake);
        }
        Ok(())
    }

    async fn load(&self, key: &EntityKey, after: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        limits::key(key)?;
        let state = self.lock();
        let Some(entity) = state.entities.get(key) else {
            return Ok(Vec::new());
        };
        let after = usize::try_from(after).unwrap_or(usize::MAX);
        Ok(entity.events.iter().skip(after).take(limit).cloned().collect())
    }

    async fn save_snapshot(&self, key: &EntityKey, snapshot: Snapshot) -> Result<(), StoreError> {
        limits::snapshot(key, &snapshot)?;
        let mut state = self.lock();
        let Some(entity) = state.entities.get_mut(key) else {
            return Err(StoreError::Invalid(format!("a snapshot of {key}, which was never claimed")));
        };
        if entity.snapshot.as_ref().is_none_or(|stored| stored.seq <= snapshot.seq) {
            entity.snapshot = Some(snapshot);
        }
        Ok(())
    }

    async fn load_snapshot(&self, key: &EntityKey) -> Result<Option<Snapshot>, StoreError> {
        limits::key(key)?;
        Ok(self.lock().entities.get(key).and_then(|entity| entity.snapshot.clone()))
    }
}

#[async_trait]
impl WakeList for Memory {
    async fn put(&self, wake: &Wake) -> Result<(), StoreError> {
        limits::key(&wake.key)?;
        limits::signed("an epoch", wake.epoch)?;
        put_wake(&mut self.lock().wakes, wake);
        Ok(())
    }

    async fn remove(&self, shard: u32, key: &EntityKey, epoch: u64) -> Result<(), StoreError> {
        limits::key(key)?;
        let mut state = self.lock();
        let place = (shard, key.clone());
        if state.wakes.get(&place).is_some_and(|(stored, _)| *stored <= epoch) {
            state.wakes.remove(&place);
        }
        Ok(())
    }

    async fn scan(&self, shard: u32) -> Result<Vec<Wake>, StoreError> {
        let state = self.lock();
        let rows = state.wakes.iter().filter(|((of, _), _)| *of == shard);
        Ok(rows
            .map(|((shard, key), (epoch, due_ms))| Wake {
                shard: *shard,
                key: key.clone(),
                epoch: *epoch,
                due_ms: *due_ms,
            })
            .collect())
    }
}

#[async_trait]
impl Rows for Memory {
    async fn put(&self, rows: &[Row]) -> Result<(), StoreError> {
        limits::rows(rows)?;
        let mut state = self.lock();
        for row in rows {
            let list = state.rows.entry((row.tenant.clone(), row.list.clone())).or_default();
            if list.get(&row.id).is_none_or(|stored| stored.version() < row.version()) {
                list.insert(row.id.clone(), row.clone());
            }
        }
        Ok(())
    }

    async fn list(&self, tenant: &str, list: &str, range: &Range) -> Result<Vec<Row>, StoreError> {
        let state = self.lock();
        let Some(rows) = state.rows.get(&(tenant.to_owned(), list.to_owned())) else {
            return Ok(Vec::new());
        };
        let inside = |row: &&Row| {
            let behind =
                |after: &crate::rows::After| row.at_ms < after.at_ms || (row.at_ms == after.at_ms && row.id > after.id);
            row.body.is_some()
                && range.from_ms.is_none_or(|from| row.at_ms >= from)
                && range.to_ms.is_none_or(|to| row.at_ms < to)
                && range.after.as_ref().is_none_or(behind)
        };
        let mut found: Vec<&Row> = rows.values().filter(inside).collect();
        found.sort_by(|a, b| b.at_ms.cmp(&a.at_ms).then_with(|| a.id.cmp(&b.id)));
        Ok(found.into_iter().take(range.limit).cloned().collect())
    }

    async fn get(&self, tenant: &str, list: &str, id: &str) -> Result<Option<Row>, StoreError> {
        let state = self.lock();
        let row = state.rows.get(&(tenant.to_owned(), list.to_owned())).and_then(|rows| rows.get(id));
        Ok(row.filter(|row| row.body.is_some()).cloned())
    }

    async fn scan(
        &self,
        tenant: &str,
        list: &str,
        after_id: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let state = self.lock();
        let Some(rows) = state.rows.get(&(tenant.to_owned(), list.to_owned())) else {
            return Ok(Vec::new());
        };
        let behind = rows.values().filter(|row| after_id.is_none_or(|after| row.id.as_str() > after));
        Ok(behind.take(limit).cloned().collect())
    }
}

#[async_trait]
impl Leases for Memory {
    async fn found(&self, info: &ClusterInfo) -> Result<ClusterInfo, StoreError> {
        limits::name("a cluster's name", &info.name)?;
        Ok(self.lock().cluster.get_or_insert_with(|| info.clone()).clone())
    }

    async fn join(&self, id: &str, address: &str, replace: bool) -> Result<NodeRow, StoreError> {
        limits::name("a node id", id)?;
        limits::name("a node address", address)?;
        let mut state = self.lock();
        let before = state.nodes.get(id);
        if let Some(before) = before.filter(|before| before.state == NodeState::Alive && !replace) {
            return Err(refuse_join(before));
        }
        let incarnation = before.map_or(1, |before| before.incarnation + 1);
        let row =
            NodeRow { id: id.to_owned(), incarnation, beat: 0, state: NodeState::Alive, address: address.to_owned() };
        state.nodes.insert(id.to_owned(), row.clone());
        Ok(row)
    }

    async fn beat(&self, id: &str, incarnation: u64) -> Result<u64, StoreError> {
        let mut state = self.lock();
        let node =
            state.nodes.get_mut(id).filter(|node| node.incarnation == incarnation && node.state == NodeState::Alive);
        let node = node.ok_or_else(|| refuse_beat(id, incarnation))?;
        node.beat += 1;
        Ok(node.beat)
    }

    async fn bury(&self, id: &str, incarnation: u64, seen_beat: u64) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let node = state.nodes.get_mut(id).filter(|node| node.incarnation == incarnation && node.beat == seen_beat);
        let Some(node) = node else { return Ok(false) };
        node.state = NodeState::Dead;
        Ok(true)
    }

    async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        Ok(self.lock().nodes.values().cloned().collect())
    }

    async fn shards(&self) -> Result<Vec<ShardRow>, StoreError> {
        Ok(self.lock().shards.values().cloned().collect())
    }

    async fn shard(&self, shard: u32) -> Result<Option<ShardRow>, StoreError> {
        Ok(self.lock().shards.get(&shard).cloned())
    }

    async fn swap(&self, expected: Option<&ShardRow>, new: &ShardRow) -> Result<bool, StoreError> {
        crate::leases::check_swap(expected, new)?;
        let mut state = self.lock();
        if state.shards.get(&new.shard) != expected {
            return Ok(false);
        }
        state.shards.insert(new.shard, new.clone());
        Ok(true)
    }

    async fn take_all(&self, owner: &str, shards: u32) -> Result<Vec<ShardRow>, StoreError> {
        crate::leases::check_take(owner, shards)?;
        let mut state = self.lock();
        for shard in 0..shards {
            let epoch = state.shards.get(&shard).map_or(1, |row| row.epoch + 1);
            state.shards.insert(
                shard,
                ShardRow { shard, owner: owner.to_owned(), epoch, state: ShardState::Owned, target: None },
            );
        }
        Ok(state.shards.range(..shards).map(|(_, row)| row.clone()).collect())
    }

    async fn facts(&self) -> Result<Vec<Fact>, StoreError> {
        let fact = |(name, value): (&String, &String)| Fact { name: name.clone(), value: value.clone() };
        Ok(self.lock().facts.iter().map(fact).collect())
    }

    async fn set_fact(&self, name: &str, expected: Option<&str>, new: Option<&str>) -> Result<bool, StoreError> {
        crate::leases::check_fact(name, new)?;
        let mut state = self.lock();
        if state.facts.get(name).map(String::as_str) != expected {
            return Ok(false);
        }
        match new {
            Some(value) => state.facts.insert(name.to_owned(), value.to_owned()),
            None => state.facts.remove(name),
        };
        Ok(true)
    }
}

#[async_trait]
impl Unique for Memory {
    async fn reserve(&self, scope: &str, value: &str, owner: &str, now_ms: i64) -> Result<Option<Holder>, StoreError> {
        for (what, part) in [("a scope", scope), ("a unique value", value), ("an owner", owner)] {
            limits::name(what, part)?;
        }
        let mut state = self.lock();
        let fresh = || Holder { owner: owner.to_owned(), confirmed: false, reserved_at_ms: now_ms };
        let holder = state.unique.entry((scope.to_owned(), value.to_owned())).or_insert_with(fresh);
        Ok((holder.owner != owner).then(|| holder.clone()))
    }

    async fn confirm(&self, scope: &str, value: &str, owner: &str) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let holder = state.unique.get_mut(&(scope.to_owned(), value.to_owned())).filter(|holder| holder.owner == owner);
        Ok(holder.map(|holder| holder.confirmed = true).is_some())
    }

    async fn release(&self, scope: &str, value: &str, owner: &str) -> Result<(), StoreError> {
        let mut state = self.lock();
        let place = (scope.to_owned(), value.to_owned());
        if state.unique.get(&place).is_some_and(|holder| holder.owner == owner) {
            state.unique.remove(&place);
        }
        Ok(())
    }

    async fn holder(&self, scope: &str, value: &str) -> Result<Option<Holder>, StoreError> {
        Ok(self.lock().unique.get(&(scope.to_owned(), value.to_owned())).cloned())
    }
}

#[async_trait]
impl Answers for Memory {
    async fn begin(&self, scope: &str, key: &str, body_hash: [u8; 32], now_ms: i64) -> Result<Begun, StoreError> {
        limits::name("a scope", scope)?;
        limits::name("an idempotency key", key)?;
        let mut state = self.lock();
        let place = (scope.to_owned(), key.to_owned());
        let dead_ms = now_ms.saturating_add(DEAD_RUN_MS);
        if let Some(run) = state.answers.get_mut(&place).filter(|run| !run.is_over(now_ms)) {
            return Ok(match &run.done {
                _ if run.body_hash != body_hash => Begun::Different,
                Some((answer, _)) => Begun::Done(answer.clone()),
                None if run.dead_ms > now_ms => Begun::Running,
                None => {
                    run.dead_ms = dead_ms;
                    Begun::Again { since_ms: run.started_ms }
                }
            });
        }
        state.answers.insert(place, Run { body_hash, started_ms: now_ms, dead_ms, done: None });
        Ok(Begun::First)
    }

    async fn finish(&self, scope: &str, key: &str, answer: Bytes, expires_at_ms: i64) -> Result<(), StoreError> {
        limits::size("an answer", answer.len(), limits::ANSWER_MAX_BYTES)?;
        let mut state = self.lock();
        if let Some(run) = state.answers.get_mut(&(scope.to_owned(), key.to_owned())) {
            run.done.get_or_insert((answer, expires_at_ms));
        }
        Ok(())
    }

    async fn abandon(&self, scope: &str, key: &str) -> Result<(), StoreError> {
        let mut state = self.lock();
        let place = (scope.to_owned(), key.to_owned());
        if state.answers.get(&place).is_some_and(|run| run.done.is_none()) {
            state.answers.remove(&place);
        }
        Ok(())
    }

    async fn release(&self, scope: &str, key: &str, now_ms: i64) -> Result<(), StoreError> {
        let mut state = self.lock();
        if let Some(run) = state.answers.get_mut(&(scope.to_owned(), key.to_owned())) {
            run.dead_ms = run.dead_ms.min(now_ms);
        }
        Ok(())
    }

    async fn forget(&self, prefix: &str, instead: Bytes) -> Result<(), StoreError> {
        limits::size("an answer", instead.len(), limits::ANSWER_MAX_BYTES)?;
        let mut state = self.lock();
        for ((scope, _), run) in &mut state.answers {
            if let Some((answer, _)) = run.done.as_mut().filter(|_| scope.starts_with(prefix)) {
                answer.clone_from(&instead);
            }
        }
        Ok(())
    }

    async fn sweep(&self, now_ms: i64) -> Result<u64, StoreError> {
        let mut state = self.lock();
        let before = state.answers.len();
        state.answers.retain(|_, run| !run.is_over(now_ms));
        Ok((before - state.answers.len()) as u64)
    }
}

#[async_trait]
impl EntityKeys for Memory {
    async fn get_or_insert(&self, key: &EntityKey, fresh: Bytes) -> Result<Bytes, StoreError> {
        limits::key(key)?;
        limits::size("a wrapped key", fresh.len(), limits::WRAPPED_KEY_MAX_BYTES)?;
        let mut state = self.lock();
        let stored = state.keys.entry(key.clone()).or_insert(Some(fresh));
        stored.clone().ok_or_else(|| StoreError::Erased(key.clone()))
    }

    async fn get(&self, key: &EntityKey) -> Result<Option<Bytes>, StoreError> {
        match self.lock().keys.get(key) {
            None => Ok(None),
            Some(Some(wrapped)) => Ok(Some(wrapped.clone())),
            Some(None) => Err(StoreError::Erased(key.clone())),
        }
    }

    async fn destroy(&self, key: &EntityKey) -> Result<(), StoreError> {
        limits::key(key)?;
        let mut state = self.lock();
        let state = &mut *state;
        state.keys.insert(key.clone(), None);
        if let Some(entity) = state.entities.get_mut(key) {
            entity.snapshot = None;
        }
        let lists = state.rows.iter_mut().filter(|((tenant, _), _)| *tenant == *key.tenant);
        // Looked up by id in each list: an entity's rows follow each other.
        let theirs = lists.flat_map(|(_, rows)| rows.range_mut(key.id.to_string()..format!("{}0", key.id)));
        for (_, row) in theirs.filter(|(id, _)| belongs_to(id, key)) {
            row.body = None;
        }
        Ok(())
    }
}

#[async_trait]
impl Blobs for Memory {
    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StoreError> {
        check_path(path)?;
        limits::size("a blob", bytes.len(), limits::BLOB_MAX_BYTES)?;
        self.lock().blobs.insert(path.to_owned(), bytes);
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, StoreError> {
        check_path(path)?;
        Ok(self.lock().blobs.get(path).cloned())
    }

    async fn delete(&self, path: &str) -> Result<(), StoreError> {
        check_path(path)?;
        self.lock().blobs.remove(path);
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let folder = folder_of(prefix)?;
        let state = self.lock();
        Ok(state.blobs.keys().filter(|path| path.starts_with(&folder)).cloned().collect())
    }
}
