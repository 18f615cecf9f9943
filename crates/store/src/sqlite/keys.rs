//! Wrapped data keys, and their destruction.

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::Connection;

use crate::{EntityKey, StoreError, checksum::Checksum, keys::EntityKeys, limits};

use super::{Sqlite, fault, journal::Entity, rows};

fn checksum(key: &EntityKey, wrapped: Option<&Bytes>) -> Checksum {
    Checksum::of("entity_key").key(key).optional(wrapped)
}

fn get(db: &Connection, key: &EntityKey) -> Result<Option<Bytes>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT wrapped, crc FROM entity_key WHERE tenant = ?1 AND kind = ?2 AND id = ?3")?;
    let mut rows = statement.query((&*key.tenant, &*key.kind, &*key.id))?;
    let Some(row) = rows.next().map_err(|error| fault::at(key, error))? else {
        return Ok(None);
    };
    let wrapped = row.get_ref(0)?.as_blob_or_null().map_err(rusqlite::Error::from)?.map(Bytes::copy_from_slice);
    checksum(key, wrapped.as_ref()).check(row.get(1)?, || fault::unequal(format!("the data key of {key}")))?;
    wrapped.map(Some).ok_or_else(|| StoreError::Erased(key.clone()))
}

#[async_trait]
impl EntityKeys for Sqlite {
    async fn get_or_insert(&self, key: &EntityKey, fresh: Bytes) -> Result<Bytes, StoreError> {
        limits::key(key)?;
        limits::size("a wrapped key", fresh.len(), limits::WRAPPED_KEY_MAX_BYTES)?;
        let key = key.clone();
        self.write(0, move |db| {
            if let Some(stored) = get(db, &key)? {
                return Ok(stored);
            }
            db.prepare_cached("INSERT INTO entity_key (tenant, kind, id, wrapped, crc) VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute((&*key.tenant, &*key.kind, &*key.id, &fresh[..], checksum(&key, Some(&fresh)).end()))?;
            Ok(fresh.clone())
        })
        .await
    }

    async fn get(&self, key: &EntityKey) -> Result<Option<Bytes>, StoreError> {
        limits::key(key)?;
        let key = key.clone();
        self.read(move |db| get(db, &key)).await
    }

    async fn destroy(&self, key: &EntityKey) -> Result<(), StoreError> {
        limits::key(key)?;
        let key = key.clone();
        self.erase(move |db| {
            db.prepare_cached(
                "INSERT INTO entity_key (tenant, kind, id, wrapped, crc) VALUES (?1, ?2, ?3, NULL, ?4)
                 ON CONFLICT (tenant, kind, id) DO UPDATE SET wrapped = NULL, crc = excluded.crc",
            )?
            .execute((&*key.tenant, &*key.kind, &*key.id, checksum(&key, None).end()))?;
            if let Some(entity) = Entity::find(db, &key)? {
                db.prepare_cached("DELETE FROM snapshot WHERE entity = ?1")?.execute([entity.number])?;
            }
            rows::blank(db, &key)
        })
        .await
    }
}
