//! Unfinished work per shard.

use async_trait::async_trait;
use rusqlite::Connection;

use crate::{
    EntityKey, StoreError, limits,
    wake::{Wake, WakeList},
};

use super::Sqlite;

/// Writes a wake row as part of the caller's transaction.
pub(super) fn put(db: &Connection, wake: &Wake) -> Result<(), StoreError> {
    let epoch = limits::signed("an epoch", wake.epoch)?;
    db.prepare_cached(
        "INSERT INTO wake (shard, tenant, kind, id, epoch, due_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (shard, tenant, kind, id) DO UPDATE SET epoch = excluded.epoch, due_ms = excluded.due_ms WHERE excluded.epoch >= epoch",
    )?
    .execute((wake.shard, &*wake.key.tenant, &*wake.key.kind, &*wake.key.id, epoch, wake.due_ms))?;
    Ok(())
}

#[async_trait]
impl WakeList for Sqlite {
    async fn put(&self, wake: &Wake) -> Result<(), StoreError> {
        limits::key(&wake.key)?;
        limits::signed("an epoch", wake.epoch)?;
        let wake = wake.clone();
        self.write_sometime(0, move |db| put(db, &wake)).await
    }

    async fn remove(&self, shard: u32, key: &EntityKey, epoch: u64) -> Result<(), StoreError> {
        limits::key(key)?;
        let epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
        let key = key.clone();
        self.write_sometime(0, move |db| {
            db.prepare_cached(
                "DELETE FROM wake WHERE shard = ?1 AND tenant = ?2 AND kind = ?3 AND id = ?4 AND epoch <= ?5",
            )?
            .execute((shard, &*key.tenant, &*key.kind, &*key.id, epoch))?;
            Ok(())
        })
        .await
    }

    async fn scan(&self, shard: u32) -> Result<Vec<Wake>, StoreError> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(
                "SELECT tenant, kind, id, epoch, due_ms FROM wake WHERE shard = ?1 ORDER BY tenant, kind, id",
            )?;
            let rows = statement.query_map([shard], |row| {
                let key = EntityKey::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?);
                Ok(Wake { shard, key, epoch: row.get::<_, i64>(3)?.unsigned_abs(), due_ms: row.get(4)? })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}
