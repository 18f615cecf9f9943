//! The store as the world's activations meet it: slow, full, silent, late.

use colloquy_cluster::EntityKey;
use colloquy_cluster::core::activation::{Input, Loaded};
use colloquy_store::StoreError;

use super::{Act, Event, StoreOp, World};
use crate::journal::SimStore;

impl World {
    pub(super) fn request(&mut self, act: Act, key: EntityKey, op: StoreOp) {
        let slow = !self.calm() && self.random.chance(5);
        let ms = if slow { self.random.below(3_000) } else { self.random.below(20) };
        self.after(ms, Event::Store(act, key, op));
    }

    pub(super) fn store_op(&mut self, act: Act, key: &EntityKey, op: StoreOp) {
        // A crashed node's request may still reach the store; its answer reaches nobody.
        let fault = if self.calm() { 100 } else { self.random.below(100) };
        let back = self.random.below(20);
        let unknown = || StoreError::Unknown("simulated".to_owned());
        match op {
            StoreOp::Claim { even_if_new: false } if self.store.records(key).is_empty() => {
                self.after(back, Event::Input(act, Input::NothingThere));
            }
            StoreOp::Claim { .. } => {
                let epoch = self.epoch_of(act);
                let result = match fault {
                    0..3 => Err(StoreError::Unavailable("simulated".to_owned())),
                    3..5 => Err(StoreError::Full("simulated".to_owned())),
                    5..8 => self.store.claim(key, epoch).and(Err(unknown())),
                    _ => self.store.claim(key, epoch),
                };
                self.after(back, Event::Input(act, Input::Claimed(result)));
            }
            StoreOp::Load(also_after) => {
                let result = if fault < 3 {
                    Err(StoreError::Unavailable("simulated".to_owned()))
                } else {
                    let (snapshot, records) = self.store.load(key, also_after);
                    let running = self.running.get(key).cloned().unwrap_or_default();
                    Ok(Loaded { snapshot, records, running })
                };
                self.after(back, Event::Input(act, Input::Loaded(result)));
            }
            StoreOp::Append(claim, expected, append) => {
                let result = match fault {
                    0..4 => Err(StoreError::Full("simulated".to_owned())),
                    4..8 => Err(unknown()),
                    8..12 => self.store.append(key, claim, expected, append).and(Err(unknown())),
                    12..18 => {
                        let (late_ms, key_late) = (self.random.below(4_000), key.clone());
                        let apply = move |store: &mut SimStore| {
                            // Whether the journal still takes it is up to the claims.
                            drop(store.append(&key_late, claim, expected, append));
                        };
                        self.after(late_ms, Event::Late(Box::new(apply)));
                        Err(unknown())
                    }
                    _ => self.store.append(key, claim, expected, append),
                };
                self.after(back, Event::Input(act, Input::Appended(result)));
            }
            StoreOp::Rows(rows) => {
                let lost = fault < 10;
                if fault >= 5 {
                    self.store.put_rows(rows);
                }
                let result = if lost { Err(unknown()) } else { Ok(()) };
                self.after(back, Event::Input(act, Input::RowsWritten(result)));
            }
            StoreOp::Snapshot(snapshot) => {
                let result = if fault < 10 { Err(unknown()) } else { Ok(()) };
                if fault >= 5 {
                    self.store.save_snapshot(key, snapshot);
                }
                self.after(back, Event::Input(act, Input::SnapshotSaved(result)));
            }
            StoreOp::PutWake(wake) => {
                let result = if fault < 10 { Err(unknown()) } else { Ok(()) };
                if fault >= 5 {
                    self.store.put_wake(wake);
                }
                self.after(back, Event::Input(act, Input::WakeStored(result)));
            }
            StoreOp::RemoveWake => {
                let result = if fault < 10 { Err(unknown()) } else { Ok(()) };
                let epoch = self.epoch_of(act);
                if fault >= 5 {
                    self.store.remove_wake(key, epoch);
                }
                self.after(back, Event::Input(act, Input::WakeStored(result)));
            }
        }
    }

    /// The epoch an activation was started under: zombies keep theirs.
    pub(super) fn epoch_of(&self, act: Act) -> u64 {
        self.acts.get(&act).map_or(self.epoch, |alive| alive.machine.epoch())
    }
}
