//! The wake list: which entities of a shard have work left, so that a new owner finds them without traffic.

use async_trait::async_trait;

use crate::{EntityKey, StoreError};

/// One entity with unfinished work. A stale row is harmless: the entity wakes, finds nothing and removes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wake {
    /// The shard the entity lives in.
    pub shard: u32,
    /// The entity.
    pub key: EntityKey,
    /// The epoch that wrote the row.
    pub epoch: u64,
    /// When the work is due, Unix milliseconds; 0 for at once.
    pub due_ms: i64,
}

/// Rows of unfinished work by shard.
#[async_trait]
pub trait WakeList: Send + Sync {
    /// Writes or moves the row of `wake.key` under `wake.epoch`; a row of a later epoch stays.
    async fn put(&self, wake: &Wake) -> Result<(), StoreError>;
    /// Removes the row written under an epoch up to `epoch`.
    async fn remove(&self, shard: u32, key: &EntityKey, epoch: u64) -> Result<(), StoreError>;
    /// All rows of a shard in key order. A shard has few: only entities with unfinished work are here.
    async fn scan(&self, shard: u32) -> Result<Vec<Wake>, StoreError>;
}
