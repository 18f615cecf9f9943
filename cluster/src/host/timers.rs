//! One timer queue per node: alarms of entities in memory, and the wake rows of those that are not.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use colloquy_store::EntityKey;
use colloquy_store::wake::Wake;
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

/// One alarm per entity: an earlier one replaces a later one, and whoever is woken arms the next. By shard, because shards come and go as a whole.
#[derive(Default)]
struct Queue {
    order: BTreeSet<(i64, u32, EntityKey)>,
    shards: HashMap<u32, HashMap<EntityKey, Known>>,
}

/// What is known of one entity; what has neither is forgotten.
#[derive(Default)]
struct Known {
    /// When its alarm goes off.
    armed_ms: Option<i64>,
    /// Its wake row while it is not in memory, and when that is due.
    wake: Option<(WakeRow, i64)>,
}

impl Timers {
    /// Wakes the entity at a time, if nothing earlier does.
    pub(super) fn arm(&self, shard: u32, key: &EntityKey, at_ms: i64) {
        if self.queue().arm(shard, key, at_ms) {
            self.changed.notify_one();
        }
    }

    /// The entity left memory with this wake row.
    pub(super) fn leave_wake(&self, shard: u32, key: &EntityKey, row: WakeRow, now_ms: i64) {
        let at_ms = match row {
            WakeRow::Absent => return,
            WakeRow::At(due_ms) => due_ms,
            WakeRow::Unsure => now_ms + UNSURE_AFTER_MS,
        };
        let mut queue = self.queue();
        queue.known(shard, key).wake = Some((row, at_ms));
        let first = queue.arm(shard, key, at_ms);
        drop(queue);
        if first {
            self.changed.notify_one();
        }
    }

    /// The entity is out of memory. Its alarm may have gone off between [`Timers::leave_wake`] and now, when it was there and did not listen any more.
    pub(super) fn left(&self, shard: u32, key: &EntityKey) {
        let mut queue = self.queue();
        let known = queue.shards.get(&shard).and_then(|known| known.get(key));
        let unheard = known.filter(|known| known.armed_ms.is_none()).and_then(|known| known.wake);
        let Some((_, at_ms)) = unheard else { return };
        let first = queue.arm(shard, key, at_ms);
        drop(queue);
        if first {
            self.changed.notify_one();
        }
    }

    /// These rows are in the wake list of a shard that is about to be served under an epoch; what was known of it before is forgotten. Nobody is
    /// woken before [`Timers::begin`]: what cannot be brought into memory yet would be tried once, and never again.
    pub(super) fn expect(&self, shard: u32, epoch: u64, wakes: &[Wake]) {
        let mut queue = self.queue();
        queue.forget(shard);
        for wake in wakes {
            // Whoever wrote the row of an earlier epoch may have asked for its removal before it lost the shard, and that may still arrive.
            let row = if wake.epoch < epoch { WakeRow::Unsure } else { WakeRow::At(wake.due_ms) };
            queue.known(shard, &wake.key).wake = Some((row, wake.due_ms));
        }
    }

    /// The shard is served: whoever has a wake row is woken when that is due.
    pub(super) fn begin(&self, shard: u32) {
        let mut queue = self.queue();
        let due: Vec<(EntityKey, i64)> = queue.shards.get(&shard).map_or_else(Vec::new, |known| {
            known.iter().filter_map(|(key, known)| Some((key.clone(), known.wake?.1))).collect()
        });
        let mut first = false;
        for (key, due_ms) in due {
            first |= queue.arm(shard, &key, due_ms);
        }
        drop(queue);
        if first {
            self.changed.notify_one();
        }
    }

    /// The entity comes into memory: what is known of its wake row.
    pub(super) fn take_wake(&self, shard: u32, key: &EntityKey) -> WakeRow {
        let mut queue = self.queue();
        let Some(of_shard) = queue.shards.get_mut(&shard) else { return WakeRow::Absent };
        let Some(known) = of_shard.get_mut(key) else { return WakeRow::Absent };
        let wake = known.wake.take();
        if known.armed_ms.is_none() {
            of_shard.remove(key);
        }
        wake.map_or(WakeRow::Absent, |(row, _)| row)
    }

    /// Forgets a shard's entities: they live on another node now.
    pub(super) fn forget(&self, shard: u32) {
        self.queue().forget(shard);
    }

    /// Whose time has come, and whether it has a wake row; how long until the next one's comes.
    fn due(&self, now_ms: i64) -> (Vec<(u32, EntityKey, bool)>, i64) {
        let mut queue = self.queue();
        let mut due = Vec::new();
        while due.len() < ALARMS_PER_ROUND {
            match queue.order.first() {
                Some((at, _, _)) if *at <= now_ms => {}
                Some((at, _, _)) => return (due, at - now_ms),
                None => return (due, MAX_SLEEP_MS),
            }
            let Some((_, shard, key)) = queue.order.pop_first() else {
                break;
            };
            let known = queue.known(shard, &key);
            known.armed_ms = None;
            let wanted = known.wake.is_some();
            if !wanted && let Some(of_shard) = queue.shards.get_mut(&shard) {
                of_shard.remove(&key);
            }
            due.push((shard, key, wanted));
        }
        (due, 0)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn known(&mut self, shard: u32, key: &EntityKey) -> &mut Known {
        let of_shard = self.shards.entry(shard).or_default();
        of_shard.entry(key.clone()).or_default()
    }

    /// Whether it is the first one now, so that the queue's sleep is too long.
    fn arm(&mut self, shard: u32, key: &EntityKey, at_ms: i64) -> bool {
        let known = self.known(shard, key);
        if known.armed_ms.is_some_and(|armed| armed <= at_ms) {
            return false;
        }
        if let Some(later) = known.armed_ms.replace(at_ms) {
            self.order.remove(&(later, shard, key.clone()));
        }
        let first_was = self.order.first().map(|(at, _, _)| *at);
        self.order.insert((at_ms, shard, key.clone()));
        first_was.is_none_or(|first| at_ms < first)
    }

    fn forget(&mut self, shard: u32) {
        for (key, known) in self.shards.remove(&shard).unwrap_or_default() {
            if let Some(armed) = known.armed_ms {
                self.order.remove(&(armed, shard, key));
            }
        }
    }
}

/// Hands out what is due until the node stops.
pub(super) async fn run(node: Arc<NodeInner>, stop: CancellationToken) {
    loop {
        let (due, wait_ms) = node.timers().due(node.now_ms());
        let full = due.len() >= ALARMS_PER_ROUND;
        for (shard, key, wanted) in due {
            // An entity in memory gets its alarm; one that is not is loaded only for a wake row.
            if !node.directory().nudge(&key, Input::Tick) && wanted {
                node.activate(shard, &key);
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

    fn wake(id: &str, epoch: u64, due_ms: i64) -> Wake {
        Wake { shard: 3, key: EntityKey::new("t", "k", id), epoch, due_ms }
    }

    #[test]
    fn one_alarm_per_entity_and_the_earliest_wins() {
        let timers = Timers::default();
        let (a, b) = (EntityKey::new("t", "k", "a"), EntityKey::new("t", "k", "b"));
        timers.arm(3, &a, 50);
        timers.arm(3, &a, 80);
        timers.arm(3, &a, 30);
        timers.arm(5, &b, 40);
        assert_eq!(timers.due(29), (vec![], 1));
        assert_eq!(timers.due(100), (vec![(3, a.clone(), false), (5, b, false)], MAX_SLEEP_MS));
        timers.leave_wake(3, &a, WakeRow::At(120), 100);
        assert_eq!(timers.due(120), (vec![(3, a.clone(), true)], MAX_SLEEP_MS));
        assert_eq!(timers.take_wake(3, &a), WakeRow::At(120));
        assert_eq!(timers.take_wake(3, &a), WakeRow::Absent);
        assert!(timers.queue().shards[&3].is_empty(), "what is not known costs nothing");
    }

    #[test]
    fn nobody_is_woken_before_its_shard_is_served_and_everybody_with_work_is_after() {
        let timers = Timers::default();
        let (a, b) = (wake("a", 7, 0), wake("b", 7, 500));
        timers.expect(3, 7, &[a.clone(), b.clone()]);
        assert_eq!(timers.due(100), (vec![], MAX_SLEEP_MS), "it could not be brought into memory yet");
        // A command brought one into memory meanwhile.
        assert_eq!(timers.take_wake(3, &b.key), WakeRow::At(500));
        timers.begin(3);
        assert_eq!(timers.due(1_000), (vec![(3, a.key.clone(), true)], MAX_SLEEP_MS));
        assert_eq!(timers.take_wake(3, &a.key), WakeRow::At(0));
    }

    #[test]
    fn an_alarm_that_went_off_while_its_entity_was_leaving_goes_off_again() {
        let timers = Timers::default();
        let key = EntityKey::new("t", "k", "a");
        timers.leave_wake(3, &key, WakeRow::At(10), 10);
        assert_eq!(timers.due(10).0.len(), 1, "whoever hears it is about to go");
        timers.left(3, &key);
        assert_eq!(timers.due(10).0, [(3, key.clone(), true)]);
        // One that came back has taken its row along.
        timers.take_wake(3, &key);
        timers.left(3, &key);
        assert_eq!(timers.due(10).0, []);
    }

    #[test]
    fn a_row_of_an_epoch_before_is_not_relied_on_but_wakes_all_the_same() {
        let timers = Timers::default();
        let row = wake("a", 6, 40);
        timers.expect(3, 7, std::slice::from_ref(&row));
        timers.begin(3);
        assert_eq!(timers.due(40).0, [(3, row.key.clone(), true)]);
        assert_eq!(timers.take_wake(3, &row.key), WakeRow::Unsure, "whoever wrote it may still remove it");
    }

    #[test]
    fn a_shard_that_left_takes_its_alarms_along_and_a_look_at_its_list_replaces_what_was_known() {
        let timers = Timers::default();
        let (here, elsewhere) = (wake("a", 1, 0), EntityKey::new("t", "k", "b"));
        timers.arm(5, &elsewhere, 10);
        timers.expect(3, 1, std::slice::from_ref(&here));
        timers.begin(3);
        timers.forget(3);
        assert_eq!(timers.due(20).0, [(5, elsewhere, false)]);
        timers.leave_wake(3, &here.key, WakeRow::At(0), 20);
        timers.expect(3, 2, &[]);
        timers.begin(3);
        assert_eq!(timers.due(20).0, []);
        assert_eq!(timers.take_wake(3, &here.key), WakeRow::Absent);
    }
}
