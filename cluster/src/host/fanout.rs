//! How watch items reach watchers on other nodes: what the hub asks of a way there, and what it offers back.

use std::sync::{Arc, Weak};

use colloquy_store::EntityKey;

use super::NodeInner;
use super::watch::{Hub, Watch};

/// A way to the watchers on other nodes. It may lose items, and says so through [`Arrivals::missed`]; nothing durable depends on it. No method may block.
pub trait Fanout: Send + Sync + 'static {
    /// Gives an item to the watchers of an entity on other nodes.
    fn publish(&self, key: &EntityKey, item: &Watch);
    /// The entity got its first watcher on this node, another one, or lost its last: [`Arrivals::is_watched`] tells which.
    fn changed(&self, key: &EntityKey);
}

/// Makes a node's fan-out when the node starts.
pub type FanoutFactory = Arc<dyn Fn(Arrivals) -> Arc<dyn Fanout> + Send + Sync>;

/// The receiving side: this node's watchers, as a fan-out sees them.
#[derive(Clone)]
pub struct Arrivals {
    hub: Weak<Hub>,
    node: Weak<NodeInner>,
}

impl Arrivals {
    pub(super) fn new(node: &Arc<NodeInner>) -> Self {
        Self { hub: Arc::downgrade(node.hub()), node: Arc::downgrade(node) }
    }

    /// Whether the node is still there; when not, the fan-out ends.
    pub fn is_open(&self) -> bool {
        self.hub.strong_count() > 0
    }

    /// Whether anybody on this node watches an entity.
    pub fn is_watched(&self, key: &EntityKey) -> bool {
        self.hub.upgrade().is_some_and(|hub| hub.is_watched(key))
    }

    /// All entities with watchers on this node.
    pub fn watched(&self) -> Vec<EntityKey> {
        self.hub.upgrade().map(|hub| hub.watched()).unwrap_or_default()
    }

    /// An item came from another node.
    pub fn deliver(&self, key: &EntityKey, item: &Watch) {
        if let Some(hub) = self.hub.upgrade() {
            hub.deliver(key, item);
        }
    }

    /// From now on items from other nodes arrive for this entity.
    pub fn followed(&self, key: &EntityKey) {
        if let Some(hub) = self.hub.upgrade() {
            hub.followed(key);
        }
    }

    /// Items may have been lost: the watchers of one of `parts` parts of all entities re-sync by asking the owner. Entities of this node's own shards
    /// are left out unless `own`, since what their owner says reaches them without a fan-out.
    pub fn missed(&self, part: u64, parts: u64, own: bool) {
        if let (Some(hub), Some(node)) = (self.hub.upgrade(), self.node.upgrade()) {
            hub.missed(part, parts, |key| own || !node.serves(node.shard_of(key)));
        }
    }
}
