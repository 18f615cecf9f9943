//! Which entities are in memory, and the one place where a command meets an activation that comes or goes.
//!
//! Sending and leaving happen under the same lock, so no command is lost between "still here" and "gone", and the order of a sender's commands holds.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use colloquy_store::EntityKey;
use ractor::{ActorId, ActorRef};

use super::entity_actor::EntityMsg;
use crate::core::activation::Input;

/// Locks of the directory: far more than cores, so that senders rarely meet.
const STRIPES: usize = 64;

/// An entity that is in memory or about to be.
struct Slot {
    shard: u32,
    stage: Stage,
    depth: Arc<AtomicUsize>,
    last_used_ms: i64,
}

enum Stage {
    /// Its actor is being spawned; messages wait here.
    Starting(Vec<EntityMsg>),
    /// Its actor takes messages.
    Live(ActorRef<EntityMsg>),
}

/// The entities in memory.
pub(super) struct Directory {
    stripes: Vec<Mutex<HashMap<EntityKey, Slot>>>,
    count: AtomicUsize,
    by_shard: Vec<AtomicUsize>,
}

impl Directory {
    pub(super) fn new(shards: u32) -> Self {
        Self {
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            count: AtomicUsize::new(0),
            by_shard: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
        }
    }

    /// How many entities of a shard are in memory or about to be.
    pub(super) fn len_of(&self, shard: u32) -> usize {
        self.by_shard.get(shard as usize).map_or(0, |count| count.load(Ordering::Acquire))
    }

    fn came(&self, shard: u32) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if let Some(count) = self.by_shard.get(shard as usize) {
            count.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn went(&self, slot: Option<Slot>) {
        let Some(slot) = slot else { return };
        self.count.fetch_sub(1, Ordering::Relaxed);
        if let Some(count) = self.by_shard.get(slot.shard as usize) {
            count.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// How many entities are in memory or about to be.
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Sends a message made with the entity's queue counter; `true` when an actor must be spawned for it.
    /// `Err` is what `make` refused with.
    pub(super) fn send<R>(
        &self,
        shard: u32,
        key: &EntityKey,
        now_ms: i64,
        make: impl FnOnce(&Arc<AtomicUsize>) -> Result<EntityMsg, R>,
    ) -> Result<bool, R> {
        let mut stripe = self.stripe(key);
        if let Some(slot) = stripe.get_mut(key) {
            let message = make(&slot.depth)?;
            slot.last_used_ms = now_ms;
            return Ok(slot.send(message));
        }
        let depth = Arc::default();
        let message = make(&depth)?;
        let stage = Stage::Starting(vec![message]);
        stripe.insert(key.clone(), Slot { shard, stage, depth, last_used_ms: now_ms });
        self.came(shard);
        Ok(true)
    }

    /// Sends an input to an entity if it is in memory.
    pub(super) fn nudge(&self, key: &EntityKey, input: Input) -> bool {
        let mut stripe = self.stripe(key);
        match stripe.get_mut(key) {
            Some(Slot { stage: Stage::Live(actor), .. }) => actor.send_message(EntityMsg::Input(input)).is_ok(),
            Some(Slot { stage: Stage::Starting(queue), .. }) => {
                queue.push(EntityMsg::Input(input));
                true
            }
            None => false,
        }
    }

    /// The actor is there: it gets what waited, in order.
    pub(super) fn started(&self, key: &EntityKey, actor: &ActorRef<EntityMsg>) {
        let mut stripe = self.stripe(key);
        if let Some(slot) = stripe.get_mut(key)
            && let Stage::Starting(queue) = &mut slot.stage
        {
            for message in std::mem::take(queue) {
                // A dead actor drops the message, and with it its reply: the sender learns `Unknown`.
                drop(actor.send_message(message));
            }
            slot.stage = Stage::Live(actor.clone());
        }
    }

    /// No actor could be spawned: what waited is dropped, and its senders learn `Unknown`.
    pub(super) fn failed_to_start(&self, key: &EntityKey) {
        let mut stripe = self.stripe(key);
        if matches!(stripe.get(key), Some(Slot { stage: Stage::Starting(_), .. })) {
            self.went(stripe.remove(key));
        }
    }

    /// The entity leaves, unless a command is on its way to it.
    pub(super) fn leave(&self, key: &EntityKey, actor: ActorId) -> bool {
        let mut stripe = self.stripe(key);
        match stripe.get(key) {
            Some(slot) if !slot.is(actor) => true,
            Some(slot) if slot.depth.load(Ordering::Acquire) > 0 => false,
            Some(_) => {
                self.went(stripe.remove(key));
                true
            }
            None => true,
        }
    }

    /// The actor is gone, whatever the directory thinks.
    pub(super) fn gone(&self, key: &EntityKey, actor: ActorId) -> bool {
        let mut stripe = self.stripe(key);
        let was_here = stripe.get(key).is_some_and(|slot| slot.is(actor));
        if was_here {
            self.went(stripe.remove(key));
        }
        was_here
    }

    /// Sends an input to all entities in memory, or to those of one shard.
    pub(super) fn broadcast(&self, shard: Option<u32>, input: &Input) {
        for stripe in &self.stripes {
            let mut stripe = stripe.lock().unwrap_or_else(PoisonError::into_inner);
            for slot in stripe.values_mut().filter(|slot| shard.is_none_or(|shard| slot.shard == shard)) {
                slot.send(EntityMsg::Input(input.clone()));
            }
        }
    }

    /// Forgets the entities of a shard: their actors are gone.
    pub(super) fn forget_shard(&self, shard: u32) {
        for stripe in &self.stripes {
            let mut stripe = stripe.lock().unwrap_or_else(PoisonError::into_inner);
            let gone: Vec<EntityKey> =
                stripe.iter().filter(|(_, slot)| slot.shard == shard).map(|(key, _)| key.clone()).collect();
            for key in gone {
                self.went(stripe.remove(&key));
            }
        }
    }

    /// The `count` entities used least recently.
    pub(super) fn least_recent(&self, count: usize) -> Vec<EntityKey> {
        let mut used: Vec<(i64, EntityKey)> = Vec::with_capacity(self.len());
        for stripe in &self.stripes {
            let stripe = stripe.lock().unwrap_or_else(PoisonError::into_inner);
            used.extend(stripe.iter().map(|(key, slot)| (slot.last_used_ms, key.clone())));
        }
        if count < used.len() {
            used.select_nth_unstable(count);
            used.truncate(count);
        }
        used.into_iter().map(|(_, key)| key).collect()
    }

    /// Forgets everything: the node has stopped.
    pub(super) fn clear(&self) {
        for stripe in &self.stripes {
            let slots = std::mem::take(&mut *stripe.lock().unwrap_or_else(PoisonError::into_inner));
            slots.into_values().for_each(|slot| self.went(Some(slot)));
        }
    }

    fn stripe(&self, key: &EntityKey) -> MutexGuard<'_, HashMap<EntityKey, Slot>> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % STRIPES as u64).unwrap_or(0);
        self.stripes[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn is(&self, actor: ActorId) -> bool {
        match &self.stage {
            Stage::Starting(_) => false,
            Stage::Live(live) => live.get_id() == actor,
        }
    }

    /// Sends or keeps a message; `true` when a new actor must be spawned, because the old one died without a word.
    fn send(&mut self, message: EntityMsg) -> bool {
        match &mut self.stage {
            Stage::Starting(queue) => {
                queue.push(message);
                false
            }
            Stage::Live(actor) => match actor.send_message(message) {
                Ok(()) => false,
                Err(ractor::MessagingErr::SendErr(message)) => {
                    self.stage = Stage::Starting(vec![message]);
                    true
                }
                Err(ractor::MessagingErr::ChannelClosed | ractor::MessagingErr::InvalidActorType) => false,
            },
        }
    }
}
