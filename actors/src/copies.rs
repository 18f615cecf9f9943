//! Node-local copies of small, often read facts (an organization, an agent's configuration), dropped when their entity tells of a change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use colloquy_cluster::client::WatchStream;
use colloquy_cluster::{Client, EntityKey};
use futures::FutureExt as _;

use crate::ActorError;

/// Copies kept of one sort: ten thousand agents of a few kilobytes each (NFR-11) fit in memory without thought.
const COPIES_MAX: usize = 20_000;

/// Copies by entity.
pub(crate) struct Copies<T> {
    kept: Mutex<HashMap<EntityKey, Kept<T>>>,
}

struct Kept<T> {
    value: Arc<T>,
    changes: WatchStream,
    used: u64,
}

impl<T> Default for Copies<T> {
    fn default() -> Self {
        Self { kept: Mutex::default() }
    }
}

impl<T> Copies<T> {
    /// The copy of `key`, loaded when there is none or its entity has changed since.
    pub(crate) async fn get<F>(&self, client: &Client, key: &EntityKey, load: F) -> Result<Arc<T>, ActorError>
    where
        F: Future<Output = Result<T, ActorError>>,
    {
        if let Some(value) = self.current(key) {
            return Ok(value);
        }
        // Subscribed before it is loaded: a change in between is seen at the next read.
        let changes = client.watch(key).followed().await;
        let value = Arc::new(load.await?);
        let mut kept = self.lock();
        if kept.len() >= COPIES_MAX
            && let Some(oldest) = kept.iter().min_by_key(|(_, copy)| copy.used).map(|(key, _)| key.clone())
        {
            kept.remove(&oldest);
        }
        kept.insert(key.clone(), Kept { value: value.clone(), changes, used: 0 });
        Ok(value)
    }

    /// Drops the copy of `key`: it was just changed from here.
    pub(crate) fn drop(&self, key: &EntityKey) {
        self.lock().remove(key);
    }

    fn current(&self, key: &EntityKey) -> Option<Arc<T>> {
        let mut kept = self.lock();
        let copy = kept.get_mut(key)?;
        // Anything heard, also that something was missed, means that the copy may be old.
        if copy.changes.next().now_or_never().is_some() {
            kept.remove(key);
            return None;
        }
        copy.used += 1;
        Some(copy.value.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<EntityKey, Kept<T>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
