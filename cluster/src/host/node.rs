//! A node's life: found or join the cluster, take its shards, serve, drain, stop.

use std::sync::Arc;
use std::time::Duration;

use colloquy_store::leases::{ClusterInfo, NodeRow};
use colloquy_store::{Store, StoreError};
use futures::{StreamExt, TryStreamExt};
use ractor::Actor;
use tokio_util::sync::CancellationToken;

use super::config::NodeConfig;
use super::fanout::Arrivals;
use super::registry::Registry;
use super::shard::NodeSupervisor;
use super::transport::LocalTransport;
use super::{NodeInner, lease, passivate, timers};
use crate::client::Client;
use crate::core::activation::WakeRow;
use crate::core::lease::Lease;
use crate::error::ClusterError;

/// Shards whose wake lists are read at once at boot: enough to hide a round trip, few enough for a pool of readers.
const WAKE_SCANS: usize = 16;

/// How often a drain looks whether all have left.
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(5);

/// Why a node ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was shut down.
    Stopped,
    /// Its lease was refused: another node may own its shards. The process must exit.
    LeaseLost(String),
}

/// How a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// Whether it may act.
    pub lease_valid: bool,
    /// Whether a write was refused in the last seconds because the storage is full.
    pub storage_full: bool,
    /// Entities in memory.
    pub resident: usize,
    /// Commands admitted and not yet answered.
    pub queued: usize,
    /// Effect tasks.
    pub effects: usize,
}

/// A running node. Dropping it does not stop it; [`Node::shutdown`] does.
pub struct Node {
    inner: Arc<NodeInner>,
    me: NodeRow,
    stop: CancellationToken,
}

impl Node {
    /// Starts a node: founds or checks the cluster, joins, takes all shards under new epochs, reads their wake lists, serves.
    pub async fn start(config: NodeConfig, store: Store, registry: Registry) -> Result<Self, ClusterError> {
        crate::telemetry::describe();
        let wanted = ClusterInfo { name: config.cluster.clone(), shards: config.shards };
        let found = store.leases.found(&wanted).await?;
        check_founded(&wanted, &found)?;
        let (id, address, replace, shards) = (config.id.clone(), config.address.clone(), config.replace, config.shards);
        let fanout = config.fanout.clone();
        let inner = Arc::new(NodeInner::new(config, store, registry));
        if let Some(fanout) = fanout {
            inner.hub().fan_out(fanout(Arrivals::new(&inner)));
        }
        // The lease runs from before it was asked for.
        let joined_ms = inner.monotonic_ms();
        let me = inner.store().leases.join(&id, &address, replace).await?;
        let epochs = take_all(&inner, &id, shards).await?;
        let lease = Lease::new(joined_ms);
        inner.lease_is_valid_until(lease.valid_until_ms());

        let (supervisor, _) = Actor::spawn(None, NodeSupervisor, inner.clone())
            .await
            .map_err(|error| ClusterError::Node(format!("the supervision tree could not start: {error}")))?;
        inner.complete(epochs, supervisor, Arc::new(LocalTransport { node: Arc::downgrade(&inner) }))?;
        inner.own_all();
        read_wakes(&inner, shards).await?;

        let stop = CancellationToken::new();
        tokio::spawn(lease::run(inner.clone(), me.clone(), lease, stop.clone()));
        tokio::spawn(timers::run(inner.clone(), stop.clone()));
        tokio::spawn(passivate::run(inner.clone(), stop.clone()));
        tracing::info!(node = id, incarnation = me.incarnation, shards, "the node serves");
        Ok(Self { inner, me, stop })
    }

    /// A client through this node.
    pub fn client(&self) -> Client {
        Client::new(self.inner.clone())
    }

    /// How it is doing.
    pub fn status(&self) -> NodeStatus {
        NodeStatus {
            lease_valid: self.inner.holds_lease(),
            storage_full: self.inner.storage_is_full(),
            resident: self.inner.directory().len(),
            queued: self.inner.queued(),
            effects: self.inner.effects().len(),
        }
    }

    /// Resolves when the node has ended, with the reason.
    pub fn fate(&self) -> impl Future<Output = Fate> + Send + use<> {
        let mut fate = self.inner.fate();
        async move {
            match fate.wait_for(Option::is_some).await {
                Ok(known) => known.clone().unwrap_or(Fate::Stopped),
                Err(_) => Fate::Stopped,
            }
        }
    }

    /// Takes nothing new, lets appends in flight end and snapshots be kept, then stops. What is not done within `deadline` is dropped;
    /// it loses nothing that was acknowledged. Returns whether all entities left by themselves.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        self.inner.drain();
        let drained = tokio::time::timeout(deadline, async {
            while self.inner.directory().len() > 0 {
                tokio::time::sleep(DRAIN_LOOK_EVERY).await;
            }
        })
        .await
        .is_ok();
        if !drained {
            tracing::warn!(left = self.inner.directory().len(), "the drain's deadline passed");
        }
        self.stop.cancel();
        if let Some(supervisor) = self.inner.supervisor() {
            supervisor.stop(None);
        }
        self.inner.directory().clear();
        self.inner.hub().close();
        self.leave().await;
        self.inner.end(Fate::Stopped);
        drained
    }

    /// Ends the lease, so that a successor need not wait for it to run out. Failing is harmless.
    async fn leave(&self) {
        self.inner.lease_is_valid_until(0);
        let leases = &self.inner.store().leases;
        let left = async {
            let nodes = leases.nodes().await?;
            match nodes.iter().find(|row| row.id == self.me.id && row.incarnation == self.me.incarnation) {
                Some(row) => leases.bury(&row.id, row.incarnation, row.beat).await,
                None => Ok(false),
            }
        };
        if let Err(error) = left.await {
            tracing::warn!(%error, "the lease could not be given back; it runs out by itself");
        }
    }
}

fn check_founded(wanted: &ClusterInfo, found: &ClusterInfo) -> Result<(), ClusterError> {
    let mismatch = |what, found: String, configured: String| Err(ClusterError::Mismatch { what, found, configured });
    if wanted.shards == 0 {
        return Err(ClusterError::Node("a cluster has at least one shard".to_owned()));
    }
    if found.name != wanted.name {
        return mismatch("name", found.name.clone(), wanted.name.clone());
    }
    if found.shards != wanted.shards {
        return mismatch("number of shards", found.shards.to_string(), wanted.shards.to_string());
    }
    Ok(())
}

/// Takes all shards; the epoch of each, by its number.
async fn take_all(inner: &NodeInner, id: &str, shards: u32) -> Result<Vec<u64>, ClusterError> {
    let rows = inner.store().leases.take_all(id, shards).await?;
    let mut epochs = vec![0; shards as usize];
    for row in &rows {
        if let Some(epoch) = epochs.get_mut(row.shard as usize) {
            *epoch = row.epoch;
        }
    }
    match epochs.iter().position(|epoch| *epoch == 0) {
        Some(missing) => Err(ClusterError::Node(format!("shard {missing} could not be taken"))),
        None => Ok(epochs),
    }
}

/// Reads which entities have work left. The timer queue wakes them when it is due.
async fn read_wakes(inner: &Arc<NodeInner>, shards: u32) -> Result<(), ClusterError> {
    let now_ms = inner.now_ms();
    futures::stream::iter(0..shards)
        .map(|shard| async move { inner.store().wake.scan(shard).await })
        .buffer_unordered(WAKE_SCANS)
        .try_for_each(|wakes| async move {
            for wake in wakes {
                inner.timers().leave_wake(&wake.key, WakeRow::At(wake.due_ms), now_ms);
            }
            Ok::<(), StoreError>(())
        })
        .await?;
    Ok(())
}
