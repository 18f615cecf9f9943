//! Who follows which entity on this node. Watches live outside entities, so they survive passivation.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use colloquy_store::EntityKey;
use futures::Stream;

use super::config::Limits;
use super::fanout::Fanout;
use crate::telemetry;

/// How long a watch waits for other nodes' items to reach it before it goes on without: longer only when the fan-out is in trouble.
const FOLLOWED_WITHIN: Duration = Duration::from_millis(250);

/// What a watcher gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watch {
    /// What the entity shows for one journaled event.
    Event {
        /// The event's sequence number.
        seq: u64,
        /// The entity's bytes for it.
        bytes: Bytes,
    },
    /// A frame that is not journaled.
    Frame {
        /// The frame.
        bytes: Bytes,
    },
    /// The watcher fell behind and items were dropped: query the entity, then go on.
    Lagged,
}

/// All watches of a node.
pub(crate) struct Hub {
    watchers: Mutex<HashMap<EntityKey, Vec<Arc<Queue>>>>,
    fanout: OnceLock<Arc<dyn Fanout>>,
    /// Shards that have another owner since the watchers of their entities were last told.
    moved: Mutex<BTreeSet<u32>>,
    max_items: usize,
    max_bytes: usize,
}

/// One watcher's items. Empty it takes no room.
#[derive(Default)]
struct Queue {
    inner: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Watch>,
    bytes: usize,
    closed: bool,
    standing: Standing,
    waker: Option<Waker>,
}

/// Whether items from other nodes reach a watcher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    /// They do, or there are no other nodes.
    #[default]
    Followed,
    /// Not yet, and nobody waits for it: when they do, the watcher must re-sync.
    Unfollowed,
    /// Not yet, and the watcher does nothing until they do.
    Awaited,
}

/// The items of one watch, from the moment it was made. Ends when the node stops.
pub struct WatchStream {
    hub: Weak<Hub>,
    key: EntityKey,
    queue: Arc<Queue>,
}

impl Hub {
    pub(super) fn new(limits: &Limits) -> Self {
        let (max_items, max_bytes) = (limits.watch_items, limits.watch_bytes);
        Self { watchers: Mutex::default(), fanout: OnceLock::new(), moved: Mutex::default(), max_items, max_bytes }
    }

    /// Puts in the way to other nodes' watchers; before the first watch.
    pub(super) fn fan_out(&self, fanout: Arc<dyn Fanout>) {
        // A hub has one way out; a second is a mistake of the wiring that changes nothing.
        drop(self.fanout.set(fanout));
    }

    /// A new watch.
    pub(super) fn watch(self: &Arc<Self>, key: &EntityKey) -> WatchStream {
        let queue = Arc::new(Queue::default());
        let fanout = self.fanout.get();
        if fanout.is_some() {
            queue.lock().standing = Standing::Unfollowed;
        }
        self.lock().entry(key.clone()).or_default().push(queue.clone());
        if let Some(fanout) = fanout {
            fanout.changed(key);
        }
        WatchStream { hub: Arc::downgrade(self), key: key.clone(), queue }
    }

    /// Whether anybody watches.
    pub(super) fn is_watched(&self, key: &EntityKey) -> bool {
        self.lock().contains_key(key)
    }

    /// Gives an item to all watchers of an entity, on this node and on others.
    pub(crate) fn publish(&self, key: &EntityKey, item: Watch) {
        if let Some(fanout) = self.fanout.get() {
            fanout.publish(key, &item);
        }
        self.deliver(key, &item);
    }

    /// Gives an item to the watchers of an entity on this node.
    pub(super) fn deliver(&self, key: &EntityKey, item: &Watch) {
        let watchers = self.lock();
        for queue in watchers.get(key).into_iter().flatten() {
            queue.push(item.clone(), self.max_items, self.max_bytes);
        }
    }

    /// From now on items from other nodes reach the watchers of an entity.
    pub(super) fn followed(&self, key: &EntityKey) {
        let watchers = self.lock();
        for queue in watchers.get(key).into_iter().flatten() {
            let before = std::mem::take(&mut queue.lock().standing);
            match before {
                Standing::Followed => {}
                Standing::Unfollowed => queue.push(Watch::Lagged, self.max_items, self.max_bytes),
                Standing::Awaited => queue.wake(),
            }
        }
    }

    /// Has the watchers of a part of all entities re-sync; `wanted` says which entities at all.
    pub(super) fn missed(&self, part: u64, parts: u64, wanted: impl Fn(&EntityKey) -> bool) {
        let watchers = self.lock();
        let here = |key: &&EntityKey| part_of(key, parts) == part && wanted(key);
        for key in watchers.keys().filter(here) {
            for queue in watchers.get(key).into_iter().flatten() {
                queue.push(Watch::Lagged, self.max_items, self.max_bytes);
            }
        }
    }

    /// A shard has another owner; whether the watchers are to be told soon.
    pub(super) fn has_moved(&self, shard: u32) -> bool {
        // Without a fan-out there is one node, and whatever it says is heard.
        let mut moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        self.fanout.get().is_some() && moved.insert(shard) && moved.len() == 1
    }

    /// Has the watchers of entities of moved shards re-sync: what the old owner said last may have been lost with it.
    pub(super) fn tell_moved(&self, shard_of: impl Fn(&EntityKey) -> u32) {
        let moved = std::mem::take(&mut *self.moved.lock().unwrap_or_else(PoisonError::into_inner));
        self.missed(0, 1, |key| moved.contains(&shard_of(key)));
    }

    /// All entities with watchers.
    pub(super) fn watched(&self) -> Vec<EntityKey> {
        self.lock().keys().cloned().collect()
    }

    /// Ends all watches.
    pub(super) fn close(&self) {
        let watchers = std::mem::take(&mut *self.lock());
        for queue in watchers.into_values().flatten() {
            let mut waiting = queue.lock();
            waiting.closed = true;
            if let Some(waker) = waiting.waker.take() {
                waker.wake();
            }
        }
    }

    fn forget(&self, key: &EntityKey, queue: &Arc<Queue>) {
        let mut watchers = self.lock();
        if let Some(queues) = watchers.get_mut(key) {
            queues.retain(|known| !Arc::ptr_eq(known, queue));
            if queues.is_empty() {
                watchers.remove(key);
                drop(watchers);
                if let Some(fanout) = self.fanout.get() {
                    fanout.changed(key);
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<EntityKey, Vec<Arc<Queue>>>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which of so many parts an entity's watchers belong to.
fn part_of(key: &EntityKey, parts: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish() % parts.max(1)
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        if let Some(waker) = self.lock().waker.take() {
            waker.wake();
        }
    }

    fn push(&self, item: Watch, max_items: usize, max_bytes: usize) {
        let size = match &item {
            Watch::Event { bytes, .. } | Watch::Frame { bytes } => bytes.len(),
            Watch::Lagged => 0,
        };
        let mut waiting = self.lock();
        if matches!((waiting.items.back(), &item), (Some(Watch::Lagged), Watch::Lagged)) {
            return; // Once is enough.
        }
        if waiting.items.len() >= max_items || waiting.bytes.saturating_add(size) > max_bytes {
            // What is dropped is fetched again by a query; the newest item may already be in its answer.
            metrics::counter!(telemetry::WATCH_LAGGED).increment(1);
            waiting.items = VecDeque::from([Watch::Lagged]);
            waiting.bytes = 0;
        } else {
            waiting.items.push_back(item);
            waiting.bytes += size;
        }
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }
}

impl WatchStream {
    /// The next item; `None` when the node has stopped.
    pub async fn next(&mut self) -> Option<Watch> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The stream, once items from other nodes reach it. What is asked from then on misses nothing; a stream used without this hears
    /// [`Watch::Lagged`] when they do. When they do not in time it goes on without, and hears so later.
    pub async fn followed(self) -> Self {
        let reached = std::future::poll_fn(|cx| {
            let mut waiting = self.queue.lock();
            match waiting.standing {
                Standing::Followed => Poll::Ready(()),
                Standing::Unfollowed | Standing::Awaited if waiting.closed => Poll::Ready(()),
                Standing::Unfollowed | Standing::Awaited => {
                    waiting.standing = Standing::Awaited;
                    waiting.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        });
        if tokio::time::timeout(FOLLOWED_WITHIN, reached).await.is_err() {
            let mut waiting = self.queue.lock();
            if waiting.standing == Standing::Awaited {
                waiting.standing = Standing::Unfollowed;
            }
        }
        self
    }

    /// The entity watched.
    pub fn key(&self) -> &EntityKey {
        &self.key
    }
}

impl Stream for WatchStream {
    type Item = Watch;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Watch>> {
        let mut waiting = self.queue.lock();
        if let Some(item) = waiting.items.pop_front() {
            if let Watch::Event { bytes, .. } | Watch::Frame { bytes } = &item {
                waiting.bytes = waiting.bytes.saturating_sub(bytes.len());
            }
            if waiting.items.is_empty() {
                // An idle socket must not keep the room of its busiest moment.
                waiting.items = VecDeque::new();
            }
            return Poll::Ready(Some(item));
        }
        if waiting.closed {
            return Poll::Ready(None);
        }
        waiting.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.forget(&self.key, &self.queue);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(size: usize) -> Watch {
        Watch::Frame { bytes: Bytes::from(vec![0; size]) }
    }

    #[tokio::test]
    async fn slow_watcher_gets_lagged_and_then_what_follows() {
        let limits = Limits { watch_items: 3, watch_bytes: 100, ..Limits::default() };
        let hub = Arc::new(Hub::new(&limits));
        let key = EntityKey::new("t", "k", "a");
        let mut watch = hub.watch(&key);
        for _ in 0..4 {
            hub.publish(&key, frame(1));
        }
        assert_eq!(watch.next().await, Some(Watch::Lagged));
        hub.publish(&key, frame(2));
        assert_eq!(watch.next().await, Some(frame(2)));
        hub.publish(&key, frame(101));
        assert_eq!(watch.next().await, Some(Watch::Lagged), "bytes are bounded too");
        hub.close();
        assert_eq!(watch.next().await, None);
    }

    #[test]
    fn last_watcher_leaves_nothing_behind() {
        let hub = Arc::new(Hub::new(&Limits::default()));
        let key = EntityKey::new("t", "k", "a");
        let (one, two) = (hub.watch(&key), hub.watch(&key));
        drop(one);
        assert!(hub.is_watched(&key));
        drop(two);
        assert!(!hub.is_watched(&key));
    }
}
