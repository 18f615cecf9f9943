//! A node's life: found or join the cluster, take shards, serve, hand them over, drain, stop.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use colloquy_store::Store;
use colloquy_store::leases::{ClusterInfo, NodeRow, ShardRow};
use futures::future::BoxFuture;
use ractor::Actor;
use tokio_util::sync::CancellationToken;

use super::config::{CLUSTER_SCHEMA, NodeConfig};
use super::fanout::Arrivals;
use super::registry::Registry;
use super::shard::NodeSupervisor;
use super::transport::{Inbound, LocalTransport, Peers, Transport, TransportKind, Wiring};
use super::{NodeInner, lease, members, ownership, passivate, timers};
use crate::client::Client;
use crate::core::handoff;
use crate::core::lease::Lease;
use crate::core::view::Incarnation;
use crate::error::ClusterError;
use crate::seal::key_check;

/// How often a drain looks whether all have left.
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(5);

/// Why a node ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was shut down.
    Stopped,
    /// Its lease was refused: another node may own its shards. The process must exit.
    LeaseLost(String),
    /// Its transport broke: it would hear nobody and keep its shards. The process must exit.
    TransportBroken(String),
}

/// How a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// Whether it may act.
    pub lease_valid: bool,
    /// Whether a write was refused in the last seconds because the storage is full.
    pub storage_full: bool,
    /// Shards it owns, or is about to.
    pub shards: usize,
    /// Entities in memory.
    pub resident: usize,
    /// Commands admitted and not yet answered.
    pub queued: usize,
    /// Effect tasks.
    pub effects: usize,
    /// Whether an operator has its shards moved away.
    pub draining: bool,
}

/// A running node. Dropping it does not stop it; [`Node::shutdown`] does.
pub struct Node {
    inner: Arc<NodeInner>,
    me: NodeRow,
    stop: CancellationToken,
}

impl Node {
    /// Starts a node: founds or checks the cluster, joins, and takes shards under new epochs. A single node takes all of them at once and serves
    /// them when this returns; one of several takes what nobody has, and is given its share.
    pub async fn start(config: NodeConfig, store: Store, registry: Registry) -> Result<Self, ClusterError> {
        crate::telemetry::describe();
        let wanted = ClusterInfo {
            name: config.cluster.clone(),
            shards: config.shards,
            schema: CLUSTER_SCHEMA,
            key_check: key_check(&config.master_key),
        };
        let found = store.leases.found(&wanted).await?;
        check_founded(&wanted, &found)?;
        let (id, address, replace, shards) = (config.id.clone(), config.address.clone(), config.replace, config.shards);
        let (kind, limits, fanout) = (config.transport.clone(), config.moves, config.fanout.clone());
        let inner = Arc::new(NodeInner::new(config, store, registry));
        if let Some(fanout) = fanout {
            inner.hub().fan_out(fanout(Arrivals::new(&inner)));
        }
        let (me, joined_ms) = members::join(&inner, &address, replace).await?;
        let incarnation = Incarnation { node: id.clone(), incarnation: me.incarnation };
        let lease = Lease::new(joined_ms);
        inner.lease_is_valid_until(lease.valid_until_ms());

        let (supervisor, _) = Actor::spawn(None, NodeSupervisor, inner.clone())
            .await
            .map_err(|error| ClusterError::Node(format!("the supervision tree could not start: {error}")))?;
        let transport = match transport(&inner, kind, me.incarnation).await {
            Ok(transport) => transport,
            Err(error) => {
                supervisor.stop(None);
                return Err(error);
            }
        };
        let broken = transport.broken();
        inner.complete(supervisor, transport)?;

        let stop = CancellationToken::new();
        if inner.is_alone() {
            let opened = inner.adopt(take_all(&inner, &id, shards).await?);
            ownership::read_wakes(&inner, &opened).await?;
            for (shard, epoch) in opened {
                inner.feed_holdings(handoff::Input::Opened { shard, epoch });
            }
        } else {
            tokio::spawn(members::run(inner.clone(), incarnation, limits, stop.clone()));
        }
        tokio::spawn(end_with_transport(inner.clone(), broken, stop.clone()));
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
            shards: self.inner.ownership().held(),
            resident: self.inner.directory().len(),
            queued: self.inner.queued(),
            effects: self.inner.effects().len(),
            draining: self.inner.view().orders.draining.get(&self.me.id) == Some(&self.me.incarnation),
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

    /// Hands its shards to other nodes if there are any, takes nothing new, lets appends in flight end and snapshots be kept, then stops. What is
    /// not done within `deadline` is dropped; it loses nothing that was acknowledged. Returns whether all entities left by themselves.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        let deadline = deadline.saturating_sub(self.hand_over(deadline / 2).await);
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

    /// Gives the shards to those who stay, each as soon as its entities have finished. Returns how long it took.
    async fn hand_over(&self, deadline: Duration) -> Duration {
        let started = tokio::time::Instant::now();
        if self.inner.is_alone() || self.inner.has_ended() || self.inner.living_peers().is_empty() {
            return Duration::ZERO;
        }
        self.inner.feed_holdings(handoff::Input::Leave);
        let handed_over = tokio::time::timeout(deadline, async {
            while self.inner.ownership().held() > 0 {
                tokio::time::sleep(DRAIN_LOOK_EVERY).await;
            }
        });
        if handed_over.await.is_err() {
            let left = self.inner.ownership().held();
            tracing::warn!(left, "not all shards were handed over in time; others take them when this node is gone");
        }
        started.elapsed()
    }

    pub(super) fn inner(&self) -> &Arc<NodeInner> {
        &self.inner
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
        for peer in self.inner.living_peers() {
            self.inner.tell_to_look(&peer.node);
        }
    }
}

/// Ends the node when its transport breaks: it would go on renewing its lease, and what it owns would be out of reach for everybody else.
async fn end_with_transport(inner: Arc<NodeInner>, broken: BoxFuture<'static, String>, stop: CancellationToken) {
    tokio::select! {
        why = broken => inner.lose(Fate::TransportBroken(why)),
        () = stop.cancelled() => {}
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
    if found.schema != wanted.schema {
        return mismatch("schema", found.schema.to_string(), wanted.schema.to_string());
    }
    // A cluster of before keys were checked has none to compare with; its sealed data still tells a wrong key.
    if !found.key_check.is_empty() && found.key_check != wanted.key_check {
        return mismatch("master key", found.key_check.clone(), wanted.key_check.clone());
    }
    Ok(())
}

async fn transport(
    inner: &Arc<NodeInner>,
    kind: TransportKind,
    incarnation: u64,
) -> Result<Arc<dyn Transport>, ClusterError> {
    match kind {
        TransportKind::Local => Ok(Arc::new(LocalTransport { node: Inbound(Arc::downgrade(inner)) })),
        TransportKind::Custom(make) => {
            let wiring = Wiring {
                node: inner.id().to_owned(),
                incarnation,
                receiver: Arc::new(Inbound(Arc::downgrade(inner))),
                peers: Arc::new(Directory(Arc::downgrade(inner))),
            };
            make(wiring).await
        }
    }
}

/// Where nodes are, without keeping this one alive.
struct Directory(std::sync::Weak<NodeInner>);

impl Peers for Directory {
    fn address(&self, node: &str) -> Option<String> {
        let view = self.0.upgrade()?.view();
        view.members.get(node).filter(|member| member.alive).map(|member| member.address.clone())
    }
}

/// Takes all shards in one step.
async fn take_all(inner: &NodeInner, id: &str, shards: u32) -> Result<Vec<ShardRow>, ClusterError> {
    let rows = inner.store().leases.take_all(id, shards).await?;
    let taken: BTreeSet<u32> = rows.iter().map(|row| row.shard).collect();
    let missing = (0..shards).find(|shard| !taken.contains(shard));
    match missing {
        Some(missing) => Err(ClusterError::Node(format!("shard {missing} could not be taken"))),
        None => Ok(rows),
    }
}
