//! Who follows which entity on this node. Watches live outside entities, so they survive passivation.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use colloquy_store::EntityKey;
use futures::Stream;

use super::config::Limits;
use crate::telemetry;

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
    waker: Option<Waker>,
}

/// The items of one watch, from the moment it was made. Ends when the node stops.
pub struct WatchStream {
    hub: Weak<Hub>,
    key: EntityKey,
    queue: Arc<Queue>,
}

impl Hub {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { watchers: Mutex::default(), max_items: limits.watch_items, max_bytes: limits.watch_bytes }
    }

    /// A new watch.
    pub(super) fn watch(self: &Arc<Self>, key: &EntityKey) -> WatchStream {
        let queue = Arc::new(Queue::default());
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.entry(key.clone()).or_default().push(queue.clone());
        WatchStream { hub: Arc::downgrade(self), key: key.clone(), queue }
    }

    /// Whether anybody watches.
    pub(super) fn is_watched(&self, key: &EntityKey) -> bool {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner).contains_key(key)
    }

    /// Everything that is watched.
    pub(super) fn watched(&self) -> Vec<EntityKey> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Gives an item to all watchers of an entity.
    pub(crate) fn publish(&self, key: &EntityKey, item: Watch) {
        let watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        for queue in watchers.get(key).into_iter().flatten() {
            queue.push(item.clone(), self.max_items, self.max_bytes);
        }
    }

    /// Ends all watches.
    pub(super) fn close(&self) {
        let watchers = std::mem::take(&mut *self.watchers.lock().unwrap_or_else(PoisonError::into_inner));
        for queue in watchers.into_values().flatten() {
            let mut waiting = queue.inner.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.closed = true;
            if let Some(waker) = waiting.waker.take() {
                waker.wake();
            }
        }
    }

    fn forget(&self, key: &EntityKey, queue: &Arc<Queue>) {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queues) = watchers.get_mut(key) {
            queues.retain(|known| !Arc::ptr_eq(known, queue));
            if queues.is_empty() {
                watchers.remove(key);
            }
        }
    }
}

impl Queue {
    fn push(&self, item: Watch, max_items: usize, max_bytes: usize) {
        let size = match &item {
            Watch::Event { bytes, .. } | Watch::Frame { bytes } => bytes.len(),
            Watch::Lagged => 0,
        };
        let mut waiting = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// The entity watched.
    pub fn key(&self) -> &EntityKey {
        &self.key
    }
}

impl Stream for WatchStream {
    type Item = Watch;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Watch>> {
        let mut waiting = self.queue.inner.lock().unwrap_or_else(PoisonError::into_inner);
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
