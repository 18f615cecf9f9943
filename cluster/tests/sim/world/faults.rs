//! The store as the world's activations meet it: slow, full, silent, late.

use colloquy_cluster::EntityKey;

use super::{Act, Event, World};
use crate::journal::StoreOp;

impl World {
    pub(super) fn request(&mut self, act: Act, key: EntityKey, op: StoreOp) {
        let slow = !self.calm() && self.random.chance(5);
        let ms = if slow { self.random.below(3_000) } else { self.random.below(20) };
        self.after(ms, Event::Store(act, key, op));
    }

    pub(super) fn store_op(&mut self, act: Act, key: &EntityKey, op: StoreOp) {
        // A crashed node's request may still reach the store; its answer reaches nobody.
        let (calm, epoch) = (self.calm(), self.epoch_of(act));
        let running = self.running.get(key).cloned().unwrap_or_default();
        let (input, late) = self.store.perform(&mut self.random, calm, key, epoch, running, op);
        if let Some((ms, apply)) = late {
            self.after(ms, Event::Late(apply));
        }
        let back = self.random.below(20);
        self.after(back, Event::Input(act, input));
    }

    /// The epoch an activation was started under: zombies keep theirs.
    pub(super) fn epoch_of(&self, act: Act) -> u64 {
        self.acts.get(&act).map_or(self.epoch, |alive| alive.machine.epoch())
    }
}
