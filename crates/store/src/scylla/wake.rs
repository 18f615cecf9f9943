//! Unfinished work per shard: a row per entity and epoch, of which the latest epoch's counts.

use async_trait::async_trait;

use crate::{
    EntityKey, StoreError, limits,
    wake::{Wake, WakeList},
};

use super::session::Cql;

/// A shard's number as its column has it: the same bits.
pub(super) fn column(shard: u32) -> i32 {
    shard.cast_signed()
}

#[async_trait]
impl WakeList for Cql {
    async fn put(&self, wake: &Wake) -> Result<(), StoreError> {
        limits::key(&wake.key)?;
        let epoch = limits::signed("an epoch", wake.epoch)?;
        let key = &wake.key;
        let row = (column(wake.shard), &*key.tenant, &*key.kind, &*key.id, epoch, wake.due_ms);
        self.write(&self.statements.wake_put, row).await
    }

    async fn remove(&self, shard: u32, key: &EntityKey, epoch: u64) -> Result<(), StoreError> {
        limits::key(key)?;
        let epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
        let place = (column(shard), &*key.tenant, &*key.kind, &*key.id, epoch);
        self.write(&self.statements.wake_remove, place).await
    }

    async fn scan(&self, shard: u32) -> Result<Vec<Wake>, StoreError> {
        type Columns = (String, String, String, i64, i64);
        let mut wakes: Vec<Wake> = Vec::new();
        for (tenant, kind, id, epoch, due_ms) in self.rows::<Columns>(&self.statements.wakes, (column(shard),)).await? {
            let wake = Wake { shard, key: EntityKey::new(tenant, kind, id), epoch: epoch.unsigned_abs(), due_ms };
            // Rows of one entity are neighbours, in the order of their epochs.
            match wakes.last_mut().filter(|last| last.key == wake.key) {
                Some(last) => *last = wake,
                None => wakes.push(wake),
            }
        }
        Ok(wakes)
    }
}
