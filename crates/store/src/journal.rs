//! The journal: events of one entity in order, appended under a claim.

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use crate::{EntityKey, StoreError, wake::Wake};

/// What fences an activation: each activation takes a fresh claim, and only its holder may append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim(pub Uuid);

/// The answer to [`Journal::claim`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The claim to append under.
    pub claim: Claim,
    /// The sequence number of the last event; 0 for an entity that has none.
    pub last_seq: u64,
}

/// One stored event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Position in the entity's journal, from 1, without gaps.
    pub seq: u64,
    /// The append this event came with; tells after an unknown outcome whether it happened.
    pub append_id: Uuid,
    /// The epoch of the activation that appended it.
    pub epoch: u64,
    /// The event's bytes as given to [`Journal::append`].
    pub bytes: Bytes,
}

/// Events to be appended in one atomic step.
#[derive(Clone, Debug)]
pub struct Append {
    /// A fresh id of this append.
    pub id: Uuid,
    /// The events, in order; at least one.
    pub events: Vec<Bytes>,
    /// Unfinished work that this append leaves: durable no later than the events.
    pub wake: Option<Wake>,
}

/// A folded state up to a sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The last event folded into it.
    pub seq: u64,
    /// The state's bytes.
    pub bytes: Bytes,
}

/// The journal of all entities. `append` is the one atomic step that exists.
///
/// Contract (proved by the suite in `tests/`): an acknowledged append is durable; after a `claim` returned, no append under
/// an earlier claim can take effect, however late; sequence numbers have no gaps; `Unknown` means either.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Takes the entity over under `epoch`. Refuses with [`StoreError::Fenced`] when it was claimed under a later epoch.
    async fn claim(&self, key: &EntityKey, epoch: u64) -> Result<Claimed, StoreError>;

    /// Appends if `claim` still holds and the journal is at `expected_seq`; the first event gets `expected_seq + 1`.
    async fn append(&self, key: &EntityKey, claim: Claim, expected_seq: u64, append: Append) -> Result<(), StoreError>;

    /// Events with `seq > after`, in order, at most `limit`. Needs no claim; sees every acknowledged append.
    async fn load(&self, key: &EntityKey, after: u64, limit: usize) -> Result<Vec<Record>, StoreError>;

    /// Stores a snapshot of an entity that was claimed before; an older one than what is stored is ignored.
    async fn save_snapshot(&self, key: &EntityKey, snapshot: Snapshot) -> Result<(), StoreError>;

    /// The newest snapshot, if any.
    async fn load_snapshot(&self, key: &EntityKey) -> Result<Option<Snapshot>, StoreError>;
}
