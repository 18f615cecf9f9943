//! Leases: which nodes are alive and which of them owns each shard.

use async_trait::async_trait;

use crate::{StoreError, limits};

/// What is fixed when a cluster is created and checked by every node that joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterInfo {
    /// The cluster's name.
    pub name: String,
    /// How many shards there are.
    pub shards: u32,
    /// The version of what the nodes write and say to each other; 1 for clusters founded before it was kept.
    pub schema: u32,
    /// Tells whether a node has the cluster's master key without saying anything about it; empty for clusters founded before it was kept.
    pub key_check: String,
}

/// Whether a node may still act. Death is final for an incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// Renewing its lease.
    Alive,
    /// Declared dead, or left on its own.
    Dead,
}

/// One node as the lease table sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// The node's configured id.
    pub id: String,
    /// A fresh number at each boot.
    pub incarnation: u64,
    /// Rises with each renewal.
    pub beat: u64,
    /// Alive or dead.
    pub state: NodeState,
    /// Where other nodes reach it; empty on a single node.
    pub address: String,
}

/// Whether a shard serves or is being handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardState {
    /// Served by its owner.
    Owned,
    /// Its owner finishes work and hands it to `target`.
    Draining,
}

/// One shard as the lease table sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardRow {
    /// The shard's number.
    pub shard: u32,
    /// The owner's node id; empty before the first owner.
    pub owner: String,
    /// Rises with every change of owner and with every boot of an owner.
    pub epoch: u64,
    /// Served or moving.
    pub state: ShardState,
    /// Where it is moving to.
    pub target: Option<String>,
}

/// Something the cluster remembers under a name: who is steward, what an operator ordered, how far a move is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The name.
    pub name: String,
    /// The value, JSON of whoever wrote it.
    pub value: String,
}

/// Shards with numbers next to each other that an adapter may change in one step. Few, so that nodes that take over shards at once rarely race
/// for the same step.
pub const SHARDS_TOGETHER: u32 = 16;

/// Compare-and-set tables for membership and ownership. Reads show every write that was acknowledged before they were sent.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Creates the cluster's fixed facts, or returns those it was created with.
    async fn found(&self, info: &ClusterInfo) -> Result<ClusterInfo, StoreError>;
    /// Registers a boot of `id`: a higher incarnation than any before, alive, beat 0. Fails while the previous incarnation is alive
    /// unless `replace` (a single node that holds the data folder's lock knows that no other lives).
    async fn join(&self, id: &str, address: &str, replace: bool) -> Result<NodeRow, StoreError>;
    /// Renews: `beat + 1` if this incarnation is still alive, else [`StoreError::Unavailable`] naming that it was declared dead. The number
    /// of before means that there was no room to write it down, and that the lease holds all the same.
    async fn beat(&self, id: &str, incarnation: u64) -> Result<u64, StoreError>;
    /// Declares an incarnation dead if its beat is still `seen_beat`; `false` when it moved on. Burying twice is `true` twice.
    async fn bury(&self, id: &str, incarnation: u64, seen_beat: u64) -> Result<bool, StoreError>;
    /// All nodes.
    async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError>;
    /// All shards that ever had an owner.
    async fn shards(&self) -> Result<Vec<ShardRow>, StoreError>;
    /// One shard's row, if it ever had an owner.
    async fn shard(&self, shard: u32) -> Result<Option<ShardRow>, StoreError>;
    /// Replaces a shard's row if it still equals `expected` (`None`: has no row yet); `false` when it does not.
    async fn swap(&self, expected: Option<&ShardRow>, new: &ShardRow) -> Result<bool, StoreError>;
    /// Several [`swap`](Self::swap)s of different shards, neighbours in one step where the adapter can: a node that dies leaves hundreds. Each
    /// is for itself, and the answers come in the order of the swaps.
    async fn swap_each(&self, swaps: &[(Option<ShardRow>, ShardRow)]) -> Vec<Result<bool, StoreError>> {
        let mut answers = Vec::with_capacity(swaps.len());
        for (expected, new) in swaps {
            answers.push(self.swap(expected.as_ref(), new).await);
        }
        answers
    }
    /// Takes many shards in one step where the adapter can (a single node's boot): rows as given, whatever stood there,
    /// with each epoch raised above the stored one. Returns the rows as stored.
    async fn take_all(&self, owner: &str, shards: u32) -> Result<Vec<ShardRow>, StoreError>;
    /// All facts, by name. They are few: instructions and the moves of the last hours.
    async fn facts(&self) -> Result<Vec<Fact>, StoreError>;
    /// Replaces a fact's value if it still equals `expected` (`None`: there is no such fact); `new` of `None` removes it. `false` when it
    /// does not equal it.
    async fn set_fact(&self, name: &str, expected: Option<&str>, new: Option<&str>) -> Result<bool, StoreError>;
}

pub(crate) fn refuse_join(before: &NodeRow) -> StoreError {
    StoreError::Unavailable(format!("node {} is still alive as incarnation {}", before.id, before.incarnation))
}

pub(crate) fn refuse_beat(id: &str, incarnation: u64) -> StoreError {
    StoreError::Unavailable(format!("incarnation {incarnation} of node {id} was declared dead"))
}

pub(crate) fn check_swap(expected: Option<&ShardRow>, new: &ShardRow) -> Result<(), StoreError> {
    limits::name("a node id", &new.owner)?;
    limits::name("a node id", new.target.as_deref().unwrap_or_default())?;
    limits::signed("an epoch", new.epoch)?;
    match expected {
        Some(expected) if expected.shard != new.shard => {
            Err(StoreError::Invalid(format!("shard {} cannot replace shard {}", new.shard, expected.shard)))
        }
        Some(_) | None => Ok(()),
    }
}

pub(crate) fn check_fact(name: &str, value: Option<&str>) -> Result<(), StoreError> {
    limits::name("a fact's name", name)?;
    limits::size("a fact", value.map_or(0, str::len), limits::FACT_MAX_BYTES)
}

pub(crate) fn check_take(owner: &str, shards: u32) -> Result<(), StoreError> {
    limits::name("a node id", owner)?;
    if shards > limits::SHARDS_MAX {
        return Err(StoreError::Invalid(format!("{shards} shards, above the limit of {}", limits::SHARDS_MAX)));
    }
    Ok(())
}
