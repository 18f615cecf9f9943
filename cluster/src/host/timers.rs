//! One timer queue per node: alarms of entities in memory, and the wake rows of those that are not.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use colloquy_store::EntityKey;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::NodeInner;
use crate::core::activation::{Input, WakeRow};

/// The longest the queue sleeps, milliseconds: the wall clock may be set while it does.
const MAX_SLEEP_MS: i64 = 1_000;

/// Alarms handed out before others get a turn: after a boot thousands may be due at once.
const ALARMS_PER_ROUND: usize = 256;

/// Between two full rounds, milliseconds.
const ROUND_PAUSE_MS: u64 = 10;

/// When an entity whose wake row is not known for sure is looked at, milliseconds from when it left.
const UNSURE_AFTER_MS: i64 = 5_000;

/// The node's timer queue.
#[derive(Default)]
pub(super) struct Timers {
    inner: Mutex<Queue>,
    changed: Notify,
}

/// One alarm per entity: an earlier one replaces a later one, and whoever is woken arms the next.
#[derive(Default)]
struct Queue {
    order: BTreeSet<(i64, EntityKey)>,
    armed: HashMap<EntityKey, i64>,
    /// Wake rows of entities that are not in memory.
    wakes: HashMap<EntityKey, WakeRow>,
}

impl Timers {
    /// Wakes the entity at a time, if nothing earlier does.
    pub(super) fn arm(&self, key: &EntityKey, at_ms: i64) {
        let mut queue = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let first_was = queue.order.first().map(|(at, _)| *at);
        queue.arm(key, at_ms);
        if first_was.is_none_or(|first| at_ms < first) {
            self.changed.notify_one();
        }
    }

    /// The entity left memory with this wake row.
    pub(super) fn leave_wake(&self, key: &EntityKey, row: WakeRow, now_ms: i64) {
        let at_ms = match row {
            WakeRow::Absent => return,
            WakeRow::At(due_ms) => due_ms,
            WakeRow::Unsure => now_ms + UNSURE_AFTER_MS,
        };
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).wakes.insert(key.clone(), row);
        self.arm(key, at_ms);
    }

    /// The entity comes into memory: what is known of its wake row.
    pub(super) fn take_wake(&self, key: &EntityKey) -> WakeRow {
        let mut queue = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        queue.wakes.remove(key).unwrap_or(WakeRow::Absent)
    }

    /// Forgets the entities that `gone` picks: they live on another node now.
    pub(super) fn forget(&self, gone: impl Fn(&EntityKey) -> bool) {
        let mut queue = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        queue.order.retain(|(_, key)| !gone(key));
        queue.armed.retain(|key, _| !gone(key));
        queue.wakes.retain(|key, _| !gone(key));
    }

    fn due(&self, now_ms: i64) -> (Vec<(EntityKey, bool)>, i64) {
        let mut queue = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        while due.len() < ALARMS_PER_ROUND {
            match queue.order.first() {
                Some((at, _)) if *at <= now_ms => {}
                Some((at, _)) => return (due, at - now_ms),
                None => return (due, MAX_SLEEP_MS),
            }
            let Some((_, key)) = queue.order.pop_first() else {
                break;
            };
            queue.armed.remove(&key);
            let wanted = queue.wakes.contains_key(&key);
            due.push((key, wanted));
        }
        (due, 0)
    }
}

impl Queue {
    fn arm(&mut self, key: &EntityKey, at_ms: i64) {
        match self.armed.get_mut(key) {
            Some(armed) if *armed <= at_ms => return,
            Some(armed) => {
                let old = std::mem::replace(armed, at_ms);
                self.order.remove(&(old, key.clone()));
            }
            None => {
                self.armed.insert(key.clone(), at_ms);
            }
        }
        self.order.insert((at_ms, key.clone()));
    }
}

/// Hands out what is due until the node stops.
pub(super) async fn run(node: Arc<NodeInner>, stop: CancellationToken) {
    loop {
        let (due, wait_ms) = node.timers().due(node.now_ms());
        let full = due.len() >= ALARMS_PER_ROUND;
        for (key, wanted) in due {
            // An entity in memory gets its alarm; one that is not is loaded only for a wake row.
            if !node.directory().nudge(&key, Input::Tick) && wanted {
                node.activate(&key);
            }
        }
        let pause = if full {
            Duration::from_millis(ROUND_PAUSE_MS)
        } else {
            Duration::from_millis(u64::try_from(wait_ms.clamp(1, MAX_SLEEP_MS)).unwrap_or(1))
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = node.timers().changed.notified(), if !full => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alarm_per_entity_and_the_earliest_wins() {
        let timers = Timers::default();
        let (a, b) = (EntityKey::new("t", "k", "a"), EntityKey::new("t", "k", "b"));
        timers.arm(&a, 50);
        timers.arm(&a, 80);
        timers.arm(&a, 30);
        timers.arm(&b, 40);
        assert_eq!(timers.due(29), (vec![], 1));
        assert_eq!(timers.due(100), (vec![(a.clone(), false), (b, false)], MAX_SLEEP_MS));
        timers.leave_wake(&a, WakeRow::At(120), 100);
        assert_eq!(timers.due(120), (vec![(a.clone(), true)], MAX_SLEEP_MS));
        assert_eq!(timers.take_wake(&a), WakeRow::At(120));
        assert_eq!(timers.take_wake(&a), WakeRow::Absent);
    }
}
