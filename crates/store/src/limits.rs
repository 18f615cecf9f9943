//! The size of everything a store takes, the same for every adapter, and the checks that refuse more.

use bytes::Bytes;

use crate::{
    EntityKey, StoreError,
    journal::{Append, Snapshot},
    rows::Row,
};

/// Longest part of an entity key, list name, scope or unique value. Names are ids of a few dozen bytes; e-mail addresses and URLs still fit.
pub const NAME_MAX_BYTES: usize = 1024;

/// Largest event. A chat message is at most tens of kilobytes; ScyllaDB advises cells below 1 MB.
pub const EVENT_MAX_BYTES: usize = 1 << 20;

/// Largest append: its events together with [`EVENT_OVERHEAD_BYTES`] each. A multiple of the largest event, and small enough that a group of
/// appends fits in memory and in one CQL batch of an operator who raised the server's warning threshold.
pub const APPEND_MAX_BYTES: usize = 4 << 20;

/// Most events of one append: a CQL batch counts its statements in 16 bits, and one of them is the journal's head.
pub const APPEND_MAX_EVENTS: usize = 32_768;

/// What an event costs beside its bytes (ids, checksum, index entry), so that a million empty events are not a small append.
pub const EVENT_OVERHEAD_BYTES: usize = 64;

/// Largest snapshot: a conversation of ten thousand messages folds to a few megabytes.
pub const SNAPSHOT_MAX_BYTES: usize = 16 << 20;

/// Largest body or numbers of one row: lists show previews, not documents.
pub const ROW_MAX_BYTES: usize = 256 << 10;

/// Largest sum of rows in one [`crate::rows::Rows::put`].
pub const ROWS_MAX_BYTES: usize = 8 << 20;

/// Largest kept answer to a request with an idempotency key: as large as the largest API response that is not a stream.
pub const ANSWER_MAX_BYTES: usize = 1 << 20;

/// Largest value of a fact about the cluster: an instruction or a move is a few hundred bytes.
pub const FACT_MAX_BYTES: usize = 64 << 10;

/// Largest wrapped data key: a 32-byte key with nonce, tag and the wrapping key's name is below 100 bytes.
pub const WRAPPED_KEY_MAX_BYTES: usize = 1024;

/// Largest blob: the vectors of one agent with 100,000 chunks are 150 MB; the value is held in memory once.
pub const BLOB_MAX_BYTES: usize = 1 << 30;

/// Most shards of a cluster: far above the 1,024 in use, and one transaction still writes all rows.
pub const SHARDS_MAX: u32 = 65_536;

/// Highest sequence number: a row's version is `seq·2¹⁶ + view_version` in a signed 64-bit column.
pub const SEQ_MAX: u64 = (1 << 47) - 1;

pub(crate) fn size(what: &'static str, size: usize, limit: usize) -> Result<(), StoreError> {
    if size > limit { Err(StoreError::TooLarge { what, size, limit }) } else { Ok(()) }
}

pub(crate) fn name(what: &'static str, value: &str) -> Result<(), StoreError> {
    size(what, value.len(), NAME_MAX_BYTES)
}

pub(crate) fn key(key: &EntityKey) -> Result<(), StoreError> {
    name("a tenant", &key.tenant)?;
    name("an entity kind", &key.kind)?;
    name("an entity id", &key.id)
}

/// A number that every adapter keeps as a signed 64-bit column.
pub(crate) fn signed(what: &'static str, value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::Invalid(format!("{what} {value} is above 2^63 - 1")))
}

/// Checks an append and returns its size with overhead.
pub(crate) fn append(entity: &EntityKey, expected_seq: u64, append: &Append) -> Result<usize, StoreError> {
    key(entity)?;
    if append.events.is_empty() {
        return Err(StoreError::Invalid(format!("an append to {entity} without events")));
    }
    let mut total = 0_usize;
    for event in &append.events {
        size("an event", event.len(), EVENT_MAX_BYTES)?;
        total += event.len() + EVENT_OVERHEAD_BYTES;
    }
    size("an append", total, APPEND_MAX_BYTES)?;
    if append.events.len() > APPEND_MAX_EVENTS {
        let count = append.events.len();
        return Err(StoreError::Invalid(format!("{count} events in an append to {entity}, above {APPEND_MAX_EVENTS}")));
    }
    if expected_seq > SEQ_MAX - append.events.len() as u64 {
        return Err(StoreError::Invalid(format!("{entity} has no sequence number left above {expected_seq}")));
    }
    if let Some(wake) = &append.wake {
        key(&wake.key)?;
        signed("an epoch", wake.epoch)?;
    }
    Ok(total)
}

pub(crate) fn snapshot(entity: &EntityKey, snapshot: &Snapshot) -> Result<(), StoreError> {
    key(entity)?;
    if snapshot.seq > SEQ_MAX {
        return Err(StoreError::Invalid(format!("a snapshot of {entity} at {}", snapshot.seq)));
    }
    size("a snapshot", snapshot.bytes.len(), SNAPSHOT_MAX_BYTES)
}

/// Checks rows and returns their size.
pub(crate) fn rows(rows: &[Row]) -> Result<usize, StoreError> {
    let mut total = 0_usize;
    for row in rows {
        name("a tenant", &row.tenant)?;
        name("a list", &row.list)?;
        name("a row id", &row.id)?;
        if row.seq > SEQ_MAX {
            return Err(StoreError::Invalid(format!("row {}/{}/{} at {}", row.tenant, row.list, row.id, row.seq)));
        }
        let of = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
        size("a row's body", of(&row.body), ROW_MAX_BYTES)?;
        size("a row's numbers", of(&row.numbers), ROW_MAX_BYTES)?;
        total += row.tenant.len() + row.list.len() + row.id.len() + of(&row.body) + of(&row.numbers);
    }
    size("a put of rows", total, ROWS_MAX_BYTES)?;
    Ok(total)
}
