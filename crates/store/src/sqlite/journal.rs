//! The journal: entities, events and snapshots.

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use crate::{
    EntityKey, StoreError,
    checksum::Checksum,
    journal::{Append, Claim, Claimed, Journal, Record, Snapshot},
    limits,
};

use super::{Sqlite, fault, wake};

/// One row of `entity`.
pub(super) struct Entity {
    pub(super) number: i64,
    claim: Uuid,
    epoch: i64,
    last_seq: i64,
}

impl Entity {
    fn checksum(&self, key: &EntityKey) -> i64 {
        let name = Checksum::of("entity").number(self.number).key(key);
        name.bytes(self.claim.as_bytes()).number(self.epoch).number(self.last_seq).end()
    }

    /// Finds an entity. That there is none must be known to both indexes: a damaged one would make a journal vanish and another begin in its place.
    pub(super) fn find(db: &Connection, key: &EntityKey) -> Result<Option<Self>, StoreError> {
        let found = db
            .prepare_cached(
                "SELECT number, claim, epoch, last_seq, crc FROM entity INDEXED BY entity_by_key WHERE tenant = ?1 AND kind = ?2 AND id = ?3",
            )?
            .query_row((&*key.tenant, &*key.kind, &*key.id), |row| {
                let entity = Self { number: row.get(0)?, claim: Uuid::from_bytes(row.get(1)?), epoch: row.get(2)?, last_seq: row.get(3)? };
                Ok((entity, row.get::<_, i64>(4)?))
            })
            .optional()
            .map_err(|error| fault::at(key, error))?;
        match found {
            Some((entity, crc)) if entity.checksum(key) == crc && entity.last_seq >= 0 => Ok(Some(entity)),
            Some(_) => Err(fault::corrupt(key.to_string(), "the checksum of its entity row does not match")),
            None if Self::is_hashed(db, key)? => Err(fault::corrupt(key.to_string(), "it is missing from an index")),
            None => Ok(None),
        }
    }

    fn is_hashed(db: &Connection, key: &EntityKey) -> Result<bool, StoreError> {
        let mut statement =
            db.prepare_cached("SELECT tenant, kind, id FROM entity INDEXED BY entity_by_hash WHERE key_hash = ?1")?;
        let mut rows = statement.query([hash_of(key)])?;
        while let Some(row) = rows.next().map_err(|error| fault::at(key, error))? {
            let parts = (row.get_ref(0)?.as_str(), row.get_ref(1)?.as_str(), row.get_ref(2)?.as_str());
            if parts == (Ok(&*key.tenant), Ok(&*key.kind), Ok(&*key.id)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn insert(db: &Connection, key: &EntityKey, claim: Uuid, epoch: i64) -> Result<(), StoreError> {
        let number: i64 =
            db.prepare_cached("SELECT coalesce(max(number), 0) + 1 FROM entity")?.query_row([], |row| row.get(0))?;
        let entity = Self { number, claim, epoch, last_seq: 0 };
        db.prepare_cached("INSERT INTO entity (number, tenant, kind, id, key_hash, claim, epoch, last_seq, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8)")?
            .execute((number, &*key.tenant, &*key.kind, &*key.id, hash_of(key), claim.as_bytes(), epoch, entity.checksum(key)))?;
        Ok(())
    }

    fn update(&self, db: &Connection, key: &EntityKey) -> Result<(), StoreError> {
        let changed = db
            .prepare_cached("UPDATE entity SET claim = ?2, epoch = ?3, last_seq = ?4, crc = ?5 WHERE number = ?1")?
            .execute((self.number, self.claim.as_bytes(), self.epoch, self.last_seq, self.checksum(key)))
            .map_err(|error| fault::at(key, error))?;
        if changed == 1 { Ok(()) } else { Err(fault::corrupt(key.to_string(), "its entity row is missing")) }
    }
}

fn hash_of(key: &EntityKey) -> i64 {
    Checksum::of("key").key(key).end()
}

fn event_checksum(key: &EntityKey, seq: i64, append_id: &Uuid, epoch: i64, bytes: &[u8]) -> Checksum {
    Checksum::of("event").key(key).number(seq).bytes(append_id.as_bytes()).number(epoch).bytes(bytes)
}

fn snapshot_checksum(key: &EntityKey, seq: i64, bytes: &[u8]) -> Checksum {
    Checksum::of("snapshot").key(key).number(seq).bytes(bytes)
}

#[async_trait]
impl Journal for Sqlite {
    async fn claim(&self, key: &EntityKey, epoch: u64) -> Result<Claimed, StoreError> {
        limits::key(key)?;
        let epoch = limits::signed("an epoch", epoch)?;
        let key = key.clone();
        self.write(0, move |db| {
            let claim = Uuid::new_v4();
            let found = Entity::find(db, &key)?;
            let last_seq = found.as_ref().map_or(0, |entity| entity.last_seq);
            match found {
                Some(entity) if entity.epoch > epoch => {
                    return Err(StoreError::Fenced(key.clone()));
                }
                Some(entity) => Entity { claim, epoch, ..entity }.update(db, &key)?,
                None => Entity::insert(db, &key, claim, epoch)?,
            }
            Ok(Claimed { claim: Claim(claim), last_seq: last_seq.unsigned_abs() })
        })
        .await
    }

    async fn append(&self, key: &EntityKey, claim: Claim, expected_seq: u64, append: Append) -> Result<(), StoreError> {
        let bytes = limits::append(key, expected_seq, &append)?;
        let key = key.clone();
        self.write(bytes, move |db| {
            let entity = Entity::find(db, &key)?.filter(|entity| entity.claim == claim.0);
            let entity = entity.ok_or_else(|| StoreError::Fenced(key.clone()))?;
            if entity.last_seq.unsigned_abs() != expected_seq {
                let found = entity.last_seq.unsigned_abs();
                return Err(StoreError::Conflict { key: key.clone(), expected: expected_seq, found });
            }
            let mut insert = db.prepare_cached(
                "INSERT INTO event (entity, seq, append_id, epoch, crc, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            let mut last_seq = entity.last_seq;
            for event in &append.events {
                last_seq += 1;
                let crc = event_checksum(&key, last_seq, &append.id, entity.epoch, event).end();
                insert
                    .execute((entity.number, last_seq, append.id.as_bytes(), entity.epoch, crc, &event[..]))
                    .map_err(|error| fault::at(format_args!("{key} at {last_seq}"), error))?;
            }
            Entity { last_seq, ..entity }.update(db, &key)?;
            append.wake.as_ref().map_or(Ok(()), |wake| wake::put(db, wake))
        })
        .await
    }

    async fn load(&self, key: &EntityKey, after: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        limits::key(key)?;
        let key = key.clone();
        self.read(move |db| load(db, &key, after, limit)).await
    }

    async fn save_snapshot(&self, key: &EntityKey, snapshot: Snapshot) -> Result<(), StoreError> {
        limits::snapshot(key, &snapshot)?;
        let seq = limits::signed("a sequence number", snapshot.seq)?;
        let key = key.clone();
        self.write_sometime(snapshot.bytes.len(), move |db| {
            let Some(entity) = Entity::find(db, &key)? else {
                return Err(StoreError::Invalid(format!("a snapshot of {key}, which was never claimed")));
            };
            let crc = snapshot_checksum(&key, seq, &snapshot.bytes).end();
            db.prepare_cached(
                "INSERT INTO snapshot (entity, seq, crc, bytes) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (entity) DO UPDATE SET seq = excluded.seq, crc = excluded.crc, bytes = excluded.bytes WHERE excluded.seq >= seq",
            )?
            .execute((entity.number, seq, crc, &snapshot.bytes[..]))?;
            Ok(())
        })
        .await
    }

    async fn load_snapshot(&self, key: &EntityKey) -> Result<Option<Snapshot>, StoreError> {
        limits::key(key)?;
        let key = key.clone();
        self.read(move |db| {
            let Some(entity) = Entity::find(db, &key)? else {
                return Ok(None);
            };
            let mut statement = db.prepare_cached("SELECT seq, crc, bytes FROM snapshot WHERE entity = ?1")?;
            let mut rows = statement.query([entity.number])?;
            let Some(row) = rows.next().map_err(|error| fault::at(&key, error))? else {
                return Ok(None);
            };
            let (seq, crc): (i64, i64) = (row.get(0)?, row.get(1)?);
            let bytes = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
            snapshot_checksum(&key, seq, bytes).check(crc, || fault::unequal(format!("the snapshot of {key}")))?;
            Ok(Some(Snapshot { seq: seq.unsigned_abs(), bytes: Bytes::copy_from_slice(bytes) }))
        })
        .await
    }
}

fn load(db: &Connection, key: &EntityKey, after: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
    let Some(entity) = Entity::find(db, key)? else {
        return Ok(Vec::new());
    };
    let last_seq = entity.last_seq.unsigned_abs();
    // Asked for more than there is, SQLite would still look; asked for nothing, it need not.
    let wanted = last_seq.saturating_sub(after).min(limit as u64);
    let mut statement = db.prepare_cached(
        "SELECT seq, append_id, epoch, crc, bytes FROM event INDEXED BY event_by_seq WHERE entity = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
    )?;
    let at = |seq: u64| format!("{key} at {seq}");
    let mut records = Vec::with_capacity(usize::try_from(wanted.min(1024)).unwrap_or_default());
    if wanted == 0 {
        return Ok(records);
    }
    let mut rows = statement.query((entity.number, limits::signed("a sequence number", after)?, wanted as i64))?;
    for seq in after + 1..=after + wanted {
        let missing =
            || fault::corrupt(at(seq), format!("the event is missing, though the journal goes to {last_seq}"));
        let row = rows.next().map_err(|error| fault::at(at(seq), error))?.ok_or_else(missing)?;
        let read = || {
            let bytes = row.get_ref(4)?.as_blob()?;
            Ok::<_, rusqlite::Error>((
                row.get::<_, i64>(0)?,
                row.get::<_, [u8; 16]>(1)?,
                row.get(2)?,
                row.get(3)?,
                bytes,
            ))
        };
        let (found, append_id, epoch, crc, bytes): (_, _, i64, _, _) =
            read().map_err(|error| fault::at(at(seq), error))?;
        if found.unsigned_abs() != seq {
            return Err(missing());
        }
        let append_id = Uuid::from_bytes(append_id);
        event_checksum(key, found, &append_id, epoch, bytes).check(crc, || fault::unequal(at(seq)))?;
        records.push(Record { seq, append_id, epoch: epoch.unsigned_abs(), bytes: Bytes::copy_from_slice(bytes) });
    }
    Ok(records)
}
