//! Parts of a store that stall on demand, over the memory store.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use colloquy_store::blobs::Blobs;
use colloquy_store::journal::{Append, Claim, Claimed, Journal, Record, Snapshot};
use colloquy_store::leases::{ClusterInfo, Fact, Leases, NodeRow, ShardRow};
use colloquy_store::{EntityKey, Store, StoreError};
use tokio::sync::Semaphore;

/// Leases whose renewals get no answer while `stalled`.
pub(crate) struct StallingLeases {
    inner: Arc<dyn Leases>,
    pub(crate) stalled: AtomicBool,
}

/// A journal whose appends take `slow_ms` longer.
pub(crate) struct SlowJournal {
    inner: Arc<dyn Journal>,
    pub(crate) slow_ms: AtomicU64,
}

/// Puts both in front of a store.
pub(crate) fn stalling(store: &mut Store) -> (Arc<StallingLeases>, Arc<SlowJournal>) {
    let leases = Arc::new(StallingLeases { inner: store.leases.clone(), stalled: false.into() });
    let journal = Arc::new(SlowJournal { inner: store.journal.clone(), slow_ms: 0.into() });
    store.leases = leases.clone();
    store.journal = journal.clone();
    (leases, journal)
}

#[async_trait]
impl Leases for StallingLeases {
    async fn found(&self, info: &ClusterInfo) -> Result<ClusterInfo, StoreError> {
        self.inner.found(info).await
    }

    async fn join(&self, id: &str, address: &str, replace: bool) -> Result<NodeRow, StoreError> {
        self.inner.join(id, address, replace).await
    }

    async fn beat(&self, id: &str, incarnation: u64) -> Result<u64, StoreError> {
        if self.stalled.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("stalled".to_owned()));
        }
        self.inner.beat(id, incarnation).await
    }

    async fn bury(&self, id: &str, incarnation: u64, seen_beat: u64) -> Result<bool, StoreError> {
        self.inner.bury(id, incarnation, seen_beat).await
    }

    async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        self.inner.nodes().await
    }

    async fn shards(&self) -> Result<Vec<ShardRow>, StoreError> {
        self.inner.shards().await
    }

    async fn swap(&self, expected: Option<&ShardRow>, new: &ShardRow) -> Result<bool, StoreError> {
        self.inner.swap(expected, new).await
    }

    async fn swap_each(&self, swaps: &[(Option<ShardRow>, ShardRow)]) -> Vec<Result<bool, StoreError>> {
        self.inner.swap_each(swaps).await
    }

    async fn take_all(&self, owner: &str, shards: u32) -> Result<Vec<ShardRow>, StoreError> {
        self.inner.take_all(owner, shards).await
    }

    async fn shard(&self, shard: u32) -> Result<Option<ShardRow>, StoreError> {
        self.inner.shard(shard).await
    }

    async fn facts(&self) -> Result<Vec<Fact>, StoreError> {
        self.inner.facts().await
    }

    async fn set_fact(&self, name: &str, expected: Option<&str>, new: Option<&str>) -> Result<bool, StoreError> {
        self.inner.set_fact(name, expected, new).await
    }
}

#[async_trait]
impl Journal for SlowJournal {
    async fn claim(&self, key: &EntityKey, epoch: u64) -> Result<Claimed, StoreError> {
        self.inner.claim(key, epoch).await
    }

    async fn append(&self, key: &EntityKey, claim: Claim, expected_seq: u64, append: Append) -> Result<(), StoreError> {
        tokio::time::sleep(Duration::from_millis(self.slow_ms.load(Ordering::SeqCst))).await;
        self.inner.append(key, claim, expected_seq, append).await
    }

    async fn load(&self, key: &EntityKey, after: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.inner.load(key, after, limit).await
    }

    async fn save_snapshot(&self, key: &EntityKey, snapshot: Snapshot) -> Result<(), StoreError> {
        self.inner.save_snapshot(key, snapshot).await
    }

    async fn load_snapshot(&self, key: &EntityKey) -> Result<Option<Snapshot>, StoreError> {
        self.inner.load_snapshot(key).await
    }
}

/// Blobs whose writes wait until somebody lets them through.
pub(crate) struct HeldBlobs {
    inner: Arc<dyn Blobs>,
    /// Writes that wait now, by path.
    pub(crate) waiting: Mutex<Vec<String>>,
    pub(crate) through: Semaphore,
}

/// Puts it in front of a store.
pub(crate) fn holding(store: &mut Store) -> Arc<HeldBlobs> {
    let held = HeldBlobs { inner: store.blobs.clone(), waiting: Mutex::default(), through: Semaphore::new(0) };
    let held = Arc::new(held);
    store.blobs = held.clone();
    held
}

#[async_trait]
impl Blobs for HeldBlobs {
    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.waiting.lock().expect("no panic inside").push(path.to_owned());
        self.through.acquire().await.expect("never closed").forget();
        self.waiting.lock().expect("no panic inside").retain(|waits| waits != path);
        self.inner.put(path, bytes).await
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, StoreError> {
        self.inner.get(path).await
    }

    async fn delete(&self, path: &str) -> Result<(), StoreError> {
        self.inner.delete(path).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.inner.list(prefix).await
    }
}
