//! A journal in memory that fails the way real ones do: slow, dropped, late, full. Its one defect on purpose is behind a switch.

use std::collections::BTreeMap;

use colloquy_store::journal::{Append, Claim, Claimed, Record, Snapshot};
use colloquy_store::rows::Row;
use colloquy_store::wake::Wake;
use colloquy_store::{EntityKey, StoreError};
use uuid::Uuid;

/// One entity's journal.
#[derive(Default)]
struct Log {
    claim: Option<Claim>,
    epoch: u64,
    events: Vec<Record>,
    snapshot: Option<Snapshot>,
}

/// All of it.
#[derive(Default)]
pub(crate) struct SimStore {
    logs: BTreeMap<EntityKey, Log>,
    claims: u128,
    pub(crate) rows: BTreeMap<(String, String), Row>,
    pub(crate) wakes: BTreeMap<EntityKey, Wake>,
    /// The defect: appends are taken whoever claims.
    pub(crate) ignores_claims: bool,
    /// Appends that took effect although their claim was no longer the newest.
    pub(crate) unfenced: usize,
}

impl SimStore {
    pub(crate) fn claim(&mut self, key: &EntityKey, epoch: u64) -> Result<Claimed, StoreError> {
        let log = self.logs.entry(key.clone()).or_default();
        if log.epoch > epoch {
            return Err(StoreError::Fenced(key.clone()));
        }
        self.claims += 1;
        let claim = Claim(Uuid::from_u128(self.claims));
        log.epoch = epoch;
        log.claim = Some(claim);
        Ok(Claimed { claim, last_seq: log.events.len() as u64 })
    }

    pub(crate) fn append(
        &mut self,
        key: &EntityKey,
        claim: Claim,
        expected: u64,
        append: Append,
    ) -> Result<(), StoreError> {
        let log = self.logs.entry(key.clone()).or_default();
        let fenced = log.claim != Some(claim);
        if fenced && !self.ignores_claims {
            return Err(StoreError::Fenced(key.clone()));
        }
        let found = log.events.len() as u64;
        if found != expected && !self.ignores_claims {
            return Err(StoreError::Conflict { key: key.clone(), expected, found });
        }
        self.unfenced += usize::from(fenced);
        for (seq, bytes) in (found + 1..).zip(append.events) {
            log.events.push(Record { seq, append_id: append.id, epoch: log.epoch, bytes });
        }
        if let Some(wake) = append.wake {
            self.put_wake(wake);
        }
        Ok(())
    }

    pub(crate) fn load(&self, key: &EntityKey, also_after: Option<u64>) -> (Option<Snapshot>, Vec<Record>) {
        let Some(log) = self.logs.get(key) else {
            return (None, vec![]);
        };
        let covered = log.snapshot.as_ref().map_or(0, |snapshot| snapshot.seq);
        let after = also_after.map_or(covered, |also| also.min(covered));
        (log.snapshot.clone(), log.events.iter().filter(|record| record.seq > after).cloned().collect())
    }

    pub(crate) fn records(&self, key: &EntityKey) -> Vec<Record> {
        self.logs.get(key).map(|log| log.events.clone()).unwrap_or_default()
    }

    pub(crate) fn save_snapshot(&mut self, key: &EntityKey, snapshot: Snapshot) {
        let log = self.logs.entry(key.clone()).or_default();
        if log.snapshot.as_ref().is_none_or(|stored| stored.seq <= snapshot.seq) {
            log.snapshot = Some(snapshot);
        }
    }

    pub(crate) fn put_rows(&mut self, rows: Vec<Row>) {
        for row in rows {
            let place = (row.list.clone(), row.id.clone());
            if self.rows.get(&place).is_none_or(|stored| stored.version() < row.version()) {
                self.rows.insert(place, row);
            }
        }
    }

    pub(crate) fn put_wake(&mut self, wake: Wake) {
        if self.wakes.get(&wake.key).is_none_or(|stored| stored.epoch <= wake.epoch) {
            self.wakes.insert(wake.key.clone(), wake);
        }
    }

    pub(crate) fn remove_wake(&mut self, key: &EntityKey, epoch: u64) {
        if self.wakes.get(key).is_some_and(|stored| stored.epoch <= epoch) {
            self.wakes.remove(key);
        }
    }
}
