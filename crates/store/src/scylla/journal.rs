//! The journal: claims and appends as conditional statements on one partition, loads across buckets.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use scylla::statement::prepared::PreparedStatement;
use uuid::Uuid;

use crate::{
    EntityKey, StoreError,
    checksum::Checksum,
    journal::{Append, Claim, Claimed, Journal, Record, Snapshot},
    limits,
    wake::WakeList,
};

use super::{
    fault,
    heads::{Head, Heads},
    session::{Cql, Values, contended},
    snapshots::Snapshots,
};

/// Events of a bucket at which it is closed: partitions stay small enough to be read, repaired and moved whole.
const BUCKET_EVENTS: i64 = 5_000;

/// Bytes of a bucket at which it is closed: ScyllaDB's and Cassandra's advice is below 100 MB a partition.
const BUCKET_BYTES: i64 = 32 << 20;

/// How often an append is tried whose condition did not hold although what is stored says that it should.
const APPEND_TRIES: usize = 4;

pub(super) struct EventJournal {
    cql: Arc<Cql>,
    heads: Arc<Heads>,
    snapshots: Snapshots,
}

impl EventJournal {
    pub(super) fn new(cql: Arc<Cql>, heads: Arc<Heads>, snapshots: Snapshots) -> Self {
        Self { cql, heads, snapshots }
    }

    /// One try to append behind `head`; `false` when `head` is not what is stored.
    async fn append_behind(
        &self,
        key: &EntityKey,
        head: Head,
        append: &Append,
        bytes: i64,
    ) -> Result<bool, StoreError> {
        let last_seq = head.last_seq + append.events.len() as i64;
        let size = head.size + bytes;
        let closed = last_seq - head.base >= BUCKET_EVENTS || size >= BUCKET_BYTES;
        let new = Head { stored: true, last_seq, size, closed, ..head };
        let statements = &self.cql.statements;
        let mut batch: Vec<(PreparedStatement, Values<'_>)> = Vec::with_capacity(append.events.len() + 1);
        batch.push((statements.head_swap.clone(), head.replaced(&new, key)));
        for (seq, event) in (head.last_seq + 1..).zip(&append.events) {
            let crc = event_checksum(key, seq, &append.id, head.epoch, event).end();
            let values =
                (&*key.tenant, &*key.kind, &*key.id, head.bucket, seq, append.id, head.epoch, crc, event.clone());
            batch.push((statements.event_insert.clone(), Box::new(values)));
        }
        let applied = self.cql.swap_all(batch).await?;
        if applied {
            self.heads.remember(key, if closed { new.next() } else { new });
        }
        Ok(applied)
    }

    /// Events behind `after` up to `limit`, and whether one is missing of those that must be there.
    async fn read(&self, key: &EntityKey, after: i64, limit: i64, serial: bool) -> Result<Read, StoreError> {
        let mut records = Vec::new();
        let mut head = self.heads.bucket_after(key, after, serial).await?;
        let mut at = after;
        let end = after.saturating_add(limit);
        while head.stored {
            let to = head.last_seq.min(end);
            if to > at {
                let place = (&*key.tenant, &*key.kind, &*key.id, head.bucket, at, to);
                type Event = (i64, Uuid, i64, i64, Bytes);
                for (seq, append_id, epoch, crc, bytes) in
                    self.cql.rows::<Event>(&self.cql.statements.events, place).await?
                {
                    if seq != at + 1 {
                        return Ok(Read::Gap { seq: at + 1, last_seq: head.last_seq });
                    }
                    let place = || fault::unequal(format!("{key} at {seq}"));
                    event_checksum(key, seq, &append_id, epoch, &bytes).check(crc, place)?;
                    records.push(Record { seq: seq.unsigned_abs(), append_id, epoch: epoch.unsigned_abs(), bytes });
                    at = seq;
                }
                if at < to {
                    return Ok(Read::Gap { seq: at + 1, last_seq: head.last_seq });
                }
            }
            if at >= end || !head.closed {
                break;
            }
            match self.heads.bucket(key, head.bucket + 1, serial).await? {
                Some(next) => head = next,
                None => break,
            }
        }
        Ok(Read::Whole(records))
    }
}

enum Read {
    Whole(Vec<Record>),
    /// The journal goes to `last_seq`, the event `seq` was not found.
    Gap {
        seq: i64,
        last_seq: i64,
    },
}

fn event_checksum(key: &EntityKey, seq: i64, append_id: &Uuid, epoch: i64, bytes: &[u8]) -> Checksum {
    Checksum::of("event").key(key).number(seq).bytes(append_id.as_bytes()).number(epoch).bytes(bytes)
}

#[async_trait]
impl Journal for EventJournal {
    async fn claim(&self, key: &EntityKey, epoch: u64) -> Result<Claimed, StoreError> {
        limits::key(key)?;
        let epoch = limits::signed("an epoch", epoch)?;
        let _alone = self.cql.alone(key).await;
        let mut tries = self.cql.tries();
        loop {
            // Each try brings a claim of its own, so an earlier one that takes effect late fences nobody but itself: its condition names
            // what this try has replaced by then.
            let claimed = async {
                let head = self.heads.open_bucket(key).await?;
                if head.epoch > epoch {
                    return Err(StoreError::Fenced(key.clone()));
                }
                let new = Head { stored: true, claim: Some(Uuid::new_v4()), epoch, ..head };
                let applied = self.cql.swap(&self.cql.statements.head_swap, head.replaced(&new, key)).await?;
                Ok(applied.then_some(new))
            };
            let error = match claimed.await {
                Ok(Some(head)) => {
                    self.heads.remember(key, head);
                    let claim = Claim(head.claim.unwrap_or_default());
                    return Ok(Claimed { claim, last_seq: head.last_seq.unsigned_abs() });
                }
                Ok(None) => contended(key),
                Err(error) => error,
            };
            self.heads.forget(key);
            tries.again(error).await?;
        }
    }

    async fn append(&self, key: &EntityKey, claim: Claim, expected_seq: u64, append: Append) -> Result<(), StoreError> {
        let bytes = i64::try_from(limits::append(key, expected_seq, &append)?).unwrap_or(i64::MAX);
        let expected = limits::signed("a sequence number", expected_seq)?;
        let _alone = self.cql.alone(key).await;
        let mut is_awake = false;
        for _ in 0..APPEND_TRIES {
            let remembered = self.heads.remembered(key);
            let fits = |head: &Head| head.claim == Some(claim.0) && head.last_seq == expected;
            // Nothing is refused for what is only remembered: another process may have gone on.
            let head = match remembered.filter(fits) {
                Some(head) => head,
                None => self.heads.open_bucket(key).await?,
            };
            if head.claim != Some(claim.0) {
                return Err(StoreError::Fenced(key.clone()));
            }
            if head.last_seq != expected {
                let found = head.last_seq.unsigned_abs();
                return Err(StoreError::Conflict { key: key.clone(), expected: expected_seq, found });
            }
            if let Some(wake) = append.wake.as_ref().filter(|_| !is_awake) {
                // Before the append: work that an event leaves must be found by a new owner. A row too many is harmless.
                self.cql.put(wake).await?;
                is_awake = true;
            }
            match self.append_behind(key, head, &append, bytes).await {
                Ok(true) => return Ok(()),
                Ok(false) => self.heads.forget(key),
                Err(error) => {
                    self.heads.forget(key);
                    return Err(error);
                }
            }
        }
        Err(contended(key))
    }

    async fn load(&self, key: &EntityKey, after: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        limits::key(key)?;
        if after > limits::SEQ_MAX || limit == 0 {
            return Ok(Vec::new());
        }
        let after = limits::signed("a sequence number", after)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        match self.read(key, after, limit, false).await? {
            Read::Whole(records) => return Ok(records),
            // The replicas that told the head may know more than those that told the events. A serial read of the open bucket's head
            // completes what was agreed on and not yet written everywhere.
            Read::Gap { .. } => self.heads.open_bucket(key).await?,
        };
        match self.read(key, after, limit, true).await? {
            Read::Whole(records) => Ok(records),
            Read::Gap { seq, last_seq } => {
                let what = format!("the event is missing, though the journal goes to {last_seq}");
                Err(fault::corrupt(format!("{key} at {seq}"), what))
            }
        }
    }

    async fn save_snapshot(&self, key: &EntityKey, snapshot: Snapshot) -> Result<(), StoreError> {
        limits::snapshot(key, &snapshot)?;
        let known = self.heads.remembered(key).is_some() || self.heads.bucket(key, 0, false).await?.is_some();
        if !known {
            return Err(StoreError::Invalid(format!("a snapshot of {key}, which was never claimed")));
        }
        self.snapshots.save(key, snapshot).await
    }

    async fn load_snapshot(&self, key: &EntityKey) -> Result<Option<Snapshot>, StoreError> {
        limits::key(key)?;
        self.snapshots.load(key).await
    }
}
