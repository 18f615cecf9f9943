//! A journal in memory that fails the way real ones do: slow, dropped, late, full. Its one defect on purpose is behind a switch.

use std::collections::BTreeMap;

use colloquy_cluster::core::activation::{Input, Loaded};
use colloquy_store::journal::{Append, Claim, Claimed, Record, Snapshot};
use colloquy_store::rows::Row;
use colloquy_store::wake::Wake;
use colloquy_store::{EntityKey, StoreError};
use uuid::Uuid;

use crate::random::Random;

/// What an activation asks of the store.
pub(crate) enum StoreOp {
    Claim { even_if_new: bool },
    Load(Option<u64>),
    Append(Claim, u64, Append),
    Rows(Vec<Row>),
    Snapshot(Snapshot),
    PutWake(Wake),
    RemoveWake,
}

/// A write that takes effect after its outcome was given up.
pub(crate) type Late = Box<dyn FnOnce(&mut SimStore)>;

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
    /// When each wake row was put, in writes: a removal that was asked for before takes no row away that was put after.
    wakes_put: BTreeMap<EntityKey, u64>,
    wake_writes: u64,
    /// The defect: appends are taken whoever claims.
    pub(crate) ignores_claims: bool,
    /// Appends that took effect although their claim was no longer the newest.
    pub(crate) unfenced: usize,
}

impl SimStore {
    /// Does what an activation asks, or fails in one of the ways stores do: the answer, and what takes effect later.
    pub(crate) fn perform(
        &mut self,
        random: &mut Random,
        calm: bool,
        key: &EntityKey,
        epoch: u64,
        running: Vec<(String, u32)>,
        op: StoreOp,
    ) -> (Input, Option<(u64, Late)>) {
        let fault = if calm { 100 } else { random.below(100) };
        let unknown = || StoreError::Unknown("simulated".to_owned());
        let written = |fault| if fault < 10 { Err(unknown()) } else { Ok(()) };
        let mut late: Option<(u64, Late)> = None;
        let input = match op {
            StoreOp::Claim { even_if_new: false } if self.records(key).is_empty() => Input::NothingThere,
            StoreOp::Claim { .. } => Input::Claimed(match fault {
                0..3 => Err(StoreError::Unavailable("simulated".to_owned())),
                3..5 => Err(StoreError::Full("simulated".to_owned())),
                5..8 => self.claim(key, epoch).and(Err(unknown())),
                _ => self.claim(key, epoch),
            }),
            StoreOp::Load(_) if fault < 3 => Input::Loaded(Err(StoreError::Unavailable("simulated".to_owned()))),
            StoreOp::Load(also_after) => {
                let (snapshot, records) = self.load(key, also_after);
                Input::Loaded(Ok(Loaded { snapshot, records, running }))
            }
            StoreOp::Append(claim, expected, append) => Input::Appended(match fault {
                0..4 => Err(StoreError::Full("simulated".to_owned())),
                4..8 => Err(unknown()),
                8..12 => self.append(key, claim, expected, append).and(Err(unknown())),
                12..18 => {
                    let key_late = key.clone();
                    // Whether the journal still takes it is up to the claims.
                    let apply = move |store: &mut SimStore| drop(store.append(&key_late, claim, expected, append));
                    late = Some((random.below(4_000), Box::new(apply)));
                    Err(unknown())
                }
                _ => self.append(key, claim, expected, append),
            }),
            StoreOp::Rows(rows) => {
                if fault >= 5 {
                    self.put_rows(rows);
                }
                Input::RowsWritten(written(fault))
            }
            StoreOp::Snapshot(snapshot) => {
                if fault >= 5 {
                    self.save_snapshot(key, snapshot);
                }
                Input::SnapshotSaved(written(fault))
            }
            StoreOp::PutWake(wake) => {
                if fault >= 5 {
                    self.put_wake(wake);
                }
                Input::WakeStored(written(fault))
            }
            StoreOp::RemoveWake => {
                self.wake_writes += 1;
                let (asked, key) = (self.wake_writes, key.clone());
                match fault {
                    0..5 => {}
                    // Given up by whoever asked; by then the entity may live elsewhere, under another epoch.
                    5..10 => {
                        let apply = move |store: &mut SimStore| store.remove_wake(&key, epoch, asked);
                        late = Some((random.below(15_000), Box::new(apply)));
                    }
                    _ => self.remove_wake(&key, epoch, asked),
                }
                Input::WakeStored(written(fault))
            }
        };
        (input, late)
    }

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
            self.wake_writes += 1;
            self.wakes_put.insert(wake.key.clone(), self.wake_writes);
            self.wakes.insert(wake.key.clone(), wake);
        }
    }

    fn remove_wake(&mut self, key: &EntityKey, epoch: u64, asked: u64) {
        let put = self.wakes_put.get(key).copied().unwrap_or_default();
        if put < asked && self.wakes.get(key).is_some_and(|stored| stored.epoch <= epoch) {
            self.wakes.remove(key);
        }
    }
}
