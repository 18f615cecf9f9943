//! The heads of journals: which bucket of an entity is open, who holds it, where it ends. Heads this process wrote are remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use scylla::statement::prepared::PreparedStatement;
use uuid::Uuid;

use crate::{EntityKey, StoreError, checksum::Checksum};

use super::{
    fault,
    session::{Cql, Values},
};

/// Heads remembered at least, twice as many at most: a forgotten one costs its entity's next append a read.
const REMEMBERED: usize = 32_768;

/// The static columns of one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The bucket's number, from 0.
    pub(super) bucket: i32,
    /// Whether it is stored. One that is not is where the entity's next event goes; it carries what the bucket before ended with.
    pub(super) stored: bool,
    /// Who may append; nobody before the first claim.
    pub(super) claim: Option<Uuid>,
    pub(super) epoch: i64,
    /// The last event before this bucket.
    pub(super) base: i64,
    /// The last event.
    pub(super) last_seq: i64,
    /// Bytes of the bucket's events.
    pub(super) size: i64,
    /// Full: it never changes again, and the next bucket goes on.
    pub(super) closed: bool,
}

/// `claim, epoch, base, last_seq, size, closed, head_crc`.
type Columns = (Option<Uuid>, Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<bool>, Option<i64>);

impl Head {
    /// What an entity that nobody claimed begins with.
    const NONE: Self =
        Self { bucket: 0, stored: false, claim: None, epoch: 0, base: 0, last_seq: 0, size: 0, closed: false };

    /// The bucket behind this one, while it is not stored.
    pub(super) fn next(&self) -> Self {
        Self { bucket: self.bucket + 1, stored: false, base: self.last_seq, size: 0, closed: false, ..*self }
    }

    fn checksum(&self, key: &EntityKey) -> Checksum {
        let name = Checksum::of("journal").key(key).number(self.bucket.into());
        let claim = name.bytes(self.claim.unwrap_or_default().as_bytes()).number(self.epoch);
        claim.number(self.base).number(self.last_seq).number(self.size).number(self.closed.into())
    }

    /// The values of `head_swap` that put `new` in the place of this head.
    pub(super) fn replaced<'a>(&self, new: &Head, key: &'a EntityKey) -> Values<'a> {
        let condition = self.stored.then_some((self.claim, self.last_seq, self.closed));
        let (claim, last_seq, closed) = match condition {
            Some((claim, last_seq, closed)) => (claim, Some(last_seq), Some(closed)),
            None => (None, None, None),
        };
        Box::new((
            new.claim,
            new.epoch,
            new.base,
            new.last_seq,
            new.size,
            new.closed,
            new.checksum(key).end(),
            &*key.tenant,
            &*key.kind,
            &*key.id,
            new.bucket,
            claim,
            last_seq,
            closed,
        ))
    }
}

/// Reads heads and remembers those that this process wrote.
pub(super) struct Heads {
    cql: Arc<Cql>,
    remembered: Mutex<Remembered>,
}

/// Two generations: when the newer one is full, the older one is forgotten.
#[derive(Default)]
struct Remembered {
    newer: HashMap<EntityKey, Head>,
    older: HashMap<EntityKey, Head>,
}

impl Heads {
    pub(super) fn new(cql: Arc<Cql>) -> Self {
        Self { cql, remembered: Mutex::default() }
    }

    /// The head that this process wrote last, which may not be the newest.
    pub(super) fn remembered(&self, key: &EntityKey) -> Option<Head> {
        let remembered = self.lock();
        remembered.newer.get(key).or_else(|| remembered.older.get(key)).copied()
    }

    pub(super) fn remember(&self, key: &EntityKey, head: Head) {
        let mut remembered = self.lock();
        if remembered.newer.len() >= REMEMBERED && !remembered.newer.contains_key(key) {
            remembered.older = std::mem::take(&mut remembered.newer);
        }
        remembered.newer.insert(key.clone(), head);
    }

    pub(super) fn forget(&self, key: &EntityKey) {
        let mut remembered = self.lock();
        remembered.newer.remove(key);
        remembered.older.remove(key);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Remembered> {
        // Nothing panics between two changes that belong together.
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The head that decides: everything that was agreed on is completed and seen.
    pub(super) async fn open_bucket(&self, key: &EntityKey) -> Result<Head, StoreError> {
        let hint = self.remembered(key).filter(|head| head.stored).map_or(0, |head| head.bucket);
        self.first(key, hint, &self.cql.statements.head_serial, |_| true).await
    }

    /// The head of the bucket that holds the event after `after`, or of the last one.
    pub(super) async fn bucket_after(&self, key: &EntityKey, after: i64, serial: bool) -> Result<Head, StoreError> {
        let hint = self.remembered(key).filter(|head| head.stored && head.base <= after).map_or(0, |head| head.bucket);
        self.first(key, hint, self.read(serial), |head| head.last_seq <= after).await
    }

    /// One bucket's head, if it is stored.
    pub(super) async fn bucket(&self, key: &EntityKey, bucket: i32, serial: bool) -> Result<Option<Head>, StoreError> {
        self.get(key, bucket, self.read(serial)).await
    }

    fn read(&self, serial: bool) -> &PreparedStatement {
        if serial { &self.cql.statements.head_serial } else { &self.cql.statements.head }
    }

    /// The first bucket from `hint` on that is not both closed and `passed`. Closed buckets are followed by nothing but closed ones up to
    /// the open one, so it is found in steps that double and then halve.
    async fn first(
        &self,
        key: &EntityKey,
        hint: i32,
        statement: &PreparedStatement,
        passed: impl Fn(&Head) -> bool,
    ) -> Result<Head, StoreError> {
        let mut before: Option<Head> = None;
        let (mut at, mut step) = (hint, 1);
        let mut found = loop {
            match self.get(key, at, statement).await? {
                Some(head) if head.closed && passed(&head) => {
                    before = Some(head);
                    at += step;
                    step *= 2;
                }
                found => break (at, found),
            }
        };
        while let Some(low) = before.filter(|low| found.0 - low.bucket > 1) {
            let middle = low.bucket + (found.0 - low.bucket) / 2;
            match self.get(key, middle, statement).await? {
                Some(head) if head.closed && passed(&head) => before = Some(head),
                head => found = (middle, head),
            }
        }
        match (found.1, before) {
            (Some(head), Some(before)) if head.base != before.last_seq => Err(fault::corrupt(
                format!("{key} in bucket {}", head.bucket),
                format!("it begins behind {}, the bucket before ends with {}", head.base, before.last_seq),
            )),
            (Some(head), _) => Ok(head),
            (None, Some(before)) => Ok(before.next()),
            (None, None) if found.0 == 0 => Ok(Head::NONE),
            (None, None) => Err(fault::corrupt(key.to_string(), format!("its bucket {} is missing", found.0))),
        }
    }

    async fn get(
        &self,
        key: &EntityKey,
        bucket: i32,
        statement: &PreparedStatement,
    ) -> Result<Option<Head>, StoreError> {
        let place = (&*key.tenant, &*key.kind, &*key.id, bucket);
        let Some((claim, epoch, base, last_seq, size, closed, crc)) = self.cql.row::<Columns>(statement, place).await?
        else {
            return Ok(None);
        };
        let whole = || {
            let (epoch, base, last_seq, size) = (epoch?, base?, last_seq?, size?);
            let head = Head { bucket, stored: true, claim: Some(claim?), epoch, base, last_seq, size, closed: closed? };
            Some((head, crc?))
        };
        let at = || format!("{key} in bucket {bucket}");
        let (head, crc) = whole().ok_or_else(|| fault::corrupt(at(), "its head is not whole"))?;
        head.checksum(key).check(crc, || fault::unequal(at()))?;
        Ok(Some(head))
    }
}
