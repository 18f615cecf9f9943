//! Keeps a node's picture of the cluster: reads the lease tables, buries the dead, takes and gives shards, and is steward when it has to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use colloquy_store::leases::{NodeRow, NodeState};
use colloquy_store::{Store, StoreError};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::NodeInner;
use super::node::Fate;
use crate::core::activation::Input as EntityInput;
use crate::core::handoff;
use crate::core::membership::{Input, LOOK_EVERY_MS, Membership, Output, PATIENCE_MS};
use crate::core::steward::{self, MoveLimits, Step};
use crate::core::view::{FactChange, Incarnation, Orders, View};
use crate::error::ClusterError;
use crate::telemetry;

/// How often the tables are read while shards come or go, milliseconds.
const LOOK_WHILE_MOVING_MS: u64 = 200;

/// The least time between two looks, milliseconds: news often come in crowds.
const LOOK_AT_MOST_EVERY_MS: u64 = 20;

/// How often residents that are followed from here are kept alive where they live.
const FOLLOW_EVERY: Duration = Duration::from_secs(2);

/// Facts a steward writes at once.
const STEPS_AT_ONCE: usize = 16;

/// How often a node that may not join yet tries again.
const JOIN_RETRY: Duration = Duration::from_millis(500);

/// Reads the tables in the order that makes the picture safe: shards before nodes.
pub(super) async fn read_view(store: &Store, shards: u32) -> Result<(View, Vec<NodeRow>), StoreError> {
    let rows = store.leases.shards().await?;
    let nodes = store.leases.nodes().await?;
    let facts = store.leases.facts().await?;
    Ok((View::new(shards, rows, &nodes, Orders::read(&facts)), nodes))
}

/// Writes a fact unless somebody else changed it.
pub(super) async fn write_fact(store: &Store, change: &FactChange) -> Result<bool, StoreError> {
    store.leases.set_fact(&change.name, change.expected.as_deref(), change.new.as_deref()).await
}

/// Joins under a node's id. If its previous incarnation seems to live, watches that one's beat as everybody else does, and buries it: a cluster
/// whose nodes all crashed has nobody else to do it. `replace` skips the wait. Returns the row and when the lease began (own clock).
pub(super) async fn join(node: &NodeInner, address: &str, replace: bool) -> Result<(NodeRow, u64), ClusterError> {
    let leases = &node.store().leases;
    let mut seen: Option<(u64, u64, Instant)> = None;
    loop {
        // The lease runs from before it was asked for.
        let joined_ms = node.monotonic_ms();
        let refused = match leases.join(node.id(), address, replace).await {
            Ok(row) => return Ok((row, joined_ms)),
            Err(error @ StoreError::Unavailable(_)) => error,
            Err(error) => return Err(error.into()),
        };
        let nodes = leases.nodes().await?;
        let Some(before) = nodes.into_iter().find(|row| row.id == node.id() && row.state == NodeState::Alive) else {
            if seen.is_none() {
                return Err(refused.into());
            }
            continue;
        };
        match seen {
            Some((incarnation, beat, _)) if incarnation != before.incarnation || beat != before.beat => {
                let text = format!("node {} runs elsewhere: its lease is being renewed", before.id);
                return Err(ClusterError::Node(text));
            }
            Some((_, beat, since)) if since.elapsed() >= Duration::from_millis(PATIENCE_MS) => {
                leases.bury(&before.id, before.incarnation, beat).await?;
            }
            Some(_) => tokio::time::sleep(JOIN_RETRY).await,
            None => {
                tracing::info!(node = before.id, "waiting until the lease of this node's last run has ended");
                seen = Some((before.incarnation, before.beat, Instant::now()));
            }
        }
    }
}

struct Keeper {
    node: Arc<NodeInner>,
    me: Incarnation,
    limits: MoveLimits,
    membership: Membership,
    buried: mpsc::UnboundedSender<Input>,
    stewarding: Arc<AtomicBool>,
    beat_ages: BTreeMap<String, metrics::Gauge>,
}

/// Runs until the node stops or learns that it is dead.
pub(super) async fn run(node: Arc<NodeInner>, me: Incarnation, limits: MoveLimits, stop: CancellationToken) {
    // Burials under way are at most one per node.
    let (buried, mut burials) = mpsc::unbounded_channel();
    let membership = Membership::new(me.clone());
    let stewarding = Arc::default();
    let mut keeper =
        Keeper { node: node.clone(), me, limits, membership, buried, stewarding, beat_ages: BTreeMap::new() };
    let mut followed = Instant::now();
    loop {
        let looked = Instant::now();
        if !keeper.look().await {
            return;
        }
        if followed.elapsed() >= FOLLOW_EVERY {
            followed = Instant::now();
            keeper.follow();
        }
        let wait_ms = if node.ownership().is_moving() { LOOK_WHILE_MOVING_MS } else { LOOK_EVERY_MS };
        let mut next = looked + Duration::from_millis(wait_ms);
        if let Some(verdict_ms) = keeper.membership.next_verdict_ms() {
            let verdict = node.started() + Duration::from_millis(verdict_ms);
            // One that is overdue is tried at the usual pace.
            if verdict > looked {
                next = next.min(verdict);
            }
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(next) => break,
                () = node.looked_for().notified() => {
                    tokio::time::sleep(Duration::from_millis(LOOK_AT_MOST_EVERY_MS)).await;
                    break;
                }
                Some(input) = burials.recv() => {
                    if !keeper.watch(input) {
                        return;
                    }
                    node.look_soon();
                }
            }
        }
    }
}

impl Keeper {
    /// Reads the tables and does what follows; `false` when this incarnation is dead.
    async fn look(&mut self) -> bool {
        let limit = Duration::from_millis(self.node.limits().store_timeout_ms);
        let read = tokio::time::timeout(limit, read_view(self.node.store(), self.node.shards())).await;
        let Ok(Ok((view, nodes))) = read else {
            metrics::counter!(telemetry::LOOKS, "outcome" => "failed").increment(1);
            tracing::debug!("the lease tables could not be read");
            return self.watch(Input::Unseen);
        };
        metrics::counter!(telemetry::LOOKS, "outcome" => "read").increment(1);
        self.node.know_view(view.clone());
        if !self.watch(Input::Seen(nodes)) {
            return false;
        }
        self.node.feed_holdings(handoff::Input::Seen(Box::new(view.clone())));
        let now_ms = self.node.monotonic_ms();
        let ages = self.membership.beat_ages_ms(now_ms).map(|(id, age_ms)| (id.to_owned(), age_ms)).collect();
        self.node.know_beats(ages);
        for (id, age_ms) in self.membership.beat_ages_ms(now_ms) {
            let gauge = || metrics::gauge!(telemetry::BEAT_AGE, "node" => id.to_owned());
            let seconds = Duration::from_millis(age_ms).as_secs_f64();
            self.beat_ages.entry(id.to_owned()).or_insert_with(gauge).set(seconds);
        }
        if self.node.holds_lease() {
            self.tend(view).await;
        }
        true
    }

    fn watch(&mut self, input: Input) -> bool {
        let mut out = Vec::new();
        self.membership.on(self.node.monotonic_ms(), input, &mut out);
        for output in out {
            match output {
                Output::Bury { of, beat } => {
                    let (node, buried) = (self.node.clone(), self.buried.clone());
                    tokio::spawn(async move {
                        let done = node.store().leases.bury(&of.node, of.incarnation, beat).await.ok();
                        if done == Some(true) {
                            tracing::warn!(node = of.node, incarnation = of.incarnation, "a node is declared dead");
                        }
                        // The keeper has ended: nobody waits.
                        drop(buried.send(Input::Buried { of, buried: done }));
                    });
                }
                Output::Joined(of) => tracing::info!(node = of.node, incarnation = of.incarnation, "a node lives"),
                Output::Died(of) => {
                    tracing::info!(node = of.node, incarnation = of.incarnation, "a node is dead");
                    self.recover_effects(&of);
                }
                Output::StopAll => {
                    tracing::error!("this incarnation was declared dead");
                    self.node.lose(Fate::LeaseLost("this node was declared dead or replaced".to_owned()));
                    return false;
                }
            }
        }
        true
    }

    /// What a dead node ran for our entities is theirs to begin again.
    fn recover_effects(&self, of: &Incarnation) {
        for (key, lost) in self.node.effects().died_with(of) {
            if !self.node.directory().nudge(&key, EntityInput::EffectsLost(lost)) {
                self.node.activate(self.node.shard_of(&key), &key);
            }
        }
    }

    /// Residents that are followed from here are kept where they live.
    fn follow(&self) {
        for key in self.node.hub().watched() {
            if self.node.registry().residents.contains_key(&*key.kind) {
                self.node.follow(&key);
            }
        }
    }

    /// Is steward, if nobody else is.
    async fn tend(&self, view: View) {
        let store = self.node.store();
        if let Some(change) = steward::candidacy(&view, &self.me) {
            // Whoever is first; the next look shows it.
            match write_fact(store, &change).await {
                Ok(true) => self.node.look_soon(),
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "the steward's lease could not be asked for"),
            }
            return;
        }
        let mine = view.orders.steward.as_ref() == Some(&self.me);
        metrics::gauge!(telemetry::STEWARD).set(if mine { 1.0 } else { 0.0 });
        if !mine || self.stewarding.swap(true, Ordering::AcqRel) {
            return;
        }
        let steps = steward::steps(&view, self.limits, self.node.now_ms());
        let (node, stewarding) = (self.node.clone(), self.stewarding.clone());
        tokio::spawn(async move {
            let any = !steps.is_empty();
            futures::stream::iter(steps)
                .for_each_concurrent(STEPS_AT_ONCE, |step| {
                    let node = &node;
                    async move {
                        if let Err(error) = take_step(node, step).await {
                            tracing::debug!(%error, "a step of the steward failed; the next round sees to it");
                        }
                    }
                })
                .await;
            stewarding.store(false, Ordering::Release);
            if any {
                node.look_soon();
            }
        });
    }
}

async fn take_step(node: &Arc<NodeInner>, step: Step) -> Result<(), StoreError> {
    let store = node.store();
    match step {
        Step::Fact(change) => drop(write_fact(store, &change).await?),
        Step::Begin { expected, new, then } => {
            if store.leases.swap(Some(&expected), &new).await? {
                node.tell_to_look(&new.owner);
                write_fact(store, &then).await?;
            }
        }
    }
    Ok(())
}
