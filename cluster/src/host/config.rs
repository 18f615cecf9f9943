//! What a node is told at its start.

use std::sync::Arc;

use super::fanout::FanoutFactory;
use super::transport::TransportKind;
use crate::clock::{Clock, SystemClock};
use crate::core::steward::MoveLimits;

/// How many shards a cluster has unless it says otherwise: enough to spread over a hundred nodes evenly, few enough to scan at boot.
pub const DEFAULT_SHARDS: u32 = 1_024;

/// The version of what nodes write to the lease tables and say to each other. Nodes of another one are refused by name, so it rises only with
/// changes that an older node would misunderstand.
pub const CLUSTER_SCHEMA: u32 = 1;

/// The bounds of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Commands waiting for one entity: a few batches; more means that the entity cannot keep up.
    pub queued_per_entity: usize,
    /// Commands waiting in one shard: so that one hot shard cannot take the node's whole allowance.
    pub queued_per_shard: usize,
    /// Commands waiting on the node.
    pub queued_per_node: usize,
    /// Bytes of commands waiting on the node.
    pub queued_bytes: usize,
    /// Entities in memory; above it those used least recently leave.
    pub resident: usize,
    /// Effect tasks running at once; others wait for their turn.
    pub effects: usize,
    /// Store operations after which an answer is given up and counted as unknown, milliseconds.
    pub store_timeout_ms: u64,
    /// Items one watcher may be behind before it must re-sync.
    pub watch_items: usize,
    /// Bytes one watcher may be behind before it must re-sync.
    pub watch_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queued_per_entity: 256,
            queued_per_shard: 8_192,
            queued_per_node: 65_536,
            // A quarter of a gigabyte of commands is minutes of work: beyond it, waiting helps nobody.
            queued_bytes: 256 * 1024 * 1024,
            // At the goal of 12 KB and some state each, about two gigabytes.
            resident: 100_000,
            effects: 4_096,
            store_timeout_ms: 10_000,
            watch_items: 256,
            watch_bytes: 1024 * 1024,
        }
    }
}

/// What a node is started with.
#[derive(Clone)]
pub struct NodeConfig {
    /// The node's configured id.
    pub id: String,
    /// The cluster's name, fixed when it is created.
    pub cluster: String,
    /// The number of shards, fixed when the cluster is created.
    pub shards: u32,
    /// Where other nodes reach it; empty on a single node.
    pub address: String,
    /// Whether this boot replaces a previous incarnation at once: true for a single node, which holds the lock on its data folder.
    pub replace: bool,
    /// The key that wraps the entities' data keys.
    pub master_key: [u8; 32],
    /// How watch items reach watchers on other nodes; a single node needs none.
    pub fanout: Option<FanoutFactory>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The bounds.
    pub limits: Limits,
    /// How frames travel; with [`TransportKind::Local`] the node takes all shards at once and looks for no others.
    pub transport: TransportKind,
    /// How many planned moves run at once, when this node is steward.
    pub moves: MoveLimits,
}

impl NodeConfig {
    /// A single node with default bounds.
    pub fn new(id: impl Into<String>, master_key: [u8; 32]) -> Self {
        Self {
            id: id.into(),
            cluster: "colloquy".to_owned(),
            shards: DEFAULT_SHARDS,
            address: String::new(),
            replace: true,
            master_key,
            fanout: None,
            clock: Arc::new(SystemClock),
            limits: Limits::default(),
            transport: TransportKind::Local,
            moves: MoveLimits::default(),
        }
    }
}
