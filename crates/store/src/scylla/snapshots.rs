//! Snapshots: one row per entity; what exceeds a cell lies in parts under a stamp of their own.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use crate::{EntityKey, StoreError, checksum::Checksum, journal::Snapshot, limits};

use super::{fault, session::Cql};

/// Bytes in one cell: ScyllaDB advises cells below 1 MB.
const PART_BYTES: usize = 512 << 10;

/// How often a snapshot is looked at again that was replaced while it was read.
const LOOKS: usize = 4;

#[derive(Clone)]
pub(super) struct Snapshots {
    cql: Arc<Cql>,
}

fn checksum(key: &EntityKey, seq: i64, bytes: &[u8]) -> i64 {
    Checksum::of("snapshot").key(key).number(seq).bytes(bytes).end()
}

impl Snapshots {
    pub(super) fn new(cql: Arc<Cql>) -> Self {
        Self { cql }
    }

    /// Stores `snapshot` unless a newer one is stored. Only the entity's owner does this; one that was replaced and does not know it yet may
    /// put back an older snapshot, which costs reading more events.
    pub(super) async fn save(&self, key: &EntityKey, snapshot: Snapshot) -> Result<(), StoreError> {
        let seq = limits::signed("a sequence number", snapshot.seq)?;
        let statements = &self.cql.statements;
        let place = (&*key.tenant, &*key.kind, &*key.id);
        let stored = self.cql.row::<(i64, Uuid, i32)>(&statements.snapshot_place, place).await?;
        if stored.is_some_and(|(stored, ..)| stored > seq) {
            return Ok(());
        }
        let stamp = Uuid::new_v4();
        let first = snapshot.bytes.slice(..snapshot.bytes.len().min(PART_BYTES));
        let parts = snapshot.bytes.len().div_ceil(PART_BYTES).max(1) as i32;
        for part in 1..parts {
            let from = part as usize * PART_BYTES;
            let bytes = snapshot.bytes.slice(from..snapshot.bytes.len().min(from + PART_BYTES));
            let row = (&*key.tenant, &*key.kind, &*key.id, stamp, part, bytes);
            self.cql.write(&statements.part_put, row).await?;
        }
        let crc = checksum(key, seq, &snapshot.bytes);
        let row = (&*key.tenant, &*key.kind, &*key.id, seq, stamp, parts, crc, first);
        self.cql.write(&statements.snapshot_put, row).await?;
        if let Some((_, old, _)) = stored.filter(|(.., parts)| *parts > 1) {
            self.cql.write(&statements.parts_delete, (&*key.tenant, &*key.kind, &*key.id, old)).await?;
        }
        Ok(())
    }

    pub(super) async fn load(&self, key: &EntityKey) -> Result<Option<Snapshot>, StoreError> {
        let statements = &self.cql.statements;
        let mut seen = None;
        for _ in 0..LOOKS {
            let place = (&*key.tenant, &*key.kind, &*key.id);
            type Columns = (i64, Uuid, i32, i64, Bytes);
            let Some((seq, stamp, parts, crc, first)) = self.cql.row::<Columns>(&statements.snapshot, place).await?
            else {
                return Ok(None);
            };
            if let Some(bytes) = self.assemble(key, stamp, parts, first).await?
                && checksum(key, seq, &bytes) == crc
            {
                return Ok(Some(Snapshot { seq: seq.unsigned_abs(), bytes }));
            }
            if seen == Some(stamp) {
                break;
            }
            seen = Some(stamp);
        }
        Err(fault::unequal(format!("the snapshot of {key}")))
    }

    async fn assemble(
        &self,
        key: &EntityKey,
        stamp: Uuid,
        parts: i32,
        first: Bytes,
    ) -> Result<Option<Bytes>, StoreError> {
        if parts <= 1 {
            return Ok(Some(first));
        }
        let mut bytes = BytesMut::from(&first[..]);
        for part in 1..parts {
            let place = (&*key.tenant, &*key.kind, &*key.id, stamp, part);
            match self.cql.row::<(Bytes,)>(&self.cql.statements.part, place).await? {
                Some((part,)) if bytes.len() + part.len() <= limits::SNAPSHOT_MAX_BYTES => {
                    bytes.extend_from_slice(&part);
                }
                Some(_) | None => return Ok(None),
            }
        }
        Ok(Some(bytes.freeze()))
    }

    /// Removes the entity's snapshot; the bytes leave the servers' files with the next compactions.
    pub(super) async fn delete(&self, key: &EntityKey) -> Result<(), StoreError> {
        let place = (&*key.tenant, &*key.kind, &*key.id);
        self.cql.write(&self.cql.statements.snapshot_delete, place).await?;
        self.cql.write(&self.cql.statements.parts_delete_all, place).await
    }
}
