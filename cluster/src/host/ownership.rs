//! The node's shards: drives the hand-off machine, and keeps what every frame needs of it where it can be read without a lock.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use colloquy_store::StoreError;
use colloquy_store::leases::{SHARDS_TOGETHER, ShardRow};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::NodeInner;
use super::inner::{Placed, lock};
use super::transport::ReplyTo;
use crate::core::activation::Input as EntityInput;
use crate::core::handoff::{Admit, Holdings, Input, MOVING_RETRY_MS, Output};
use crate::core::router::Input as RouterInput;
use crate::frame::{Answer, Frame};
use crate::telemetry;

/// How long moves are gathered before the watchers of their entities are told: a drain moves many shards at once.
const TELL_MOVED_AFTER: Duration = Duration::from_millis(50);

/// Swaps and wake lists that are under way at once: enough to hide round trips, few enough for the store's other work.
const AT_ONCE: usize = 32;

/// Frames kept for a shard that is about to be served: what its admission would take in a burst.
const MAX_PARKED: usize = 1_024;

/// How long the entities of a shard may take to finish, milliseconds; then they are dropped where they are. A time-out of the store and some.
const STOP_WITHIN_MS: u64 = 15_000;

/// How often it is looked whether they have.
const STOP_LOOK_EVERY: Duration = Duration::from_millis(5);

/// After how many looks those that came meanwhile are told, too.
const LOOKS_PER_TELLING: u32 = 20;

/// Before a wake list that could not be read is read again.
const OPEN_RETRY: Duration = Duration::from_millis(500);

/// The node's shards.
pub(super) struct Ownership {
    machine: Mutex<Holdings>,
    inbox: Mutex<VecDeque<Input>>,
    driving: AtomicBool,
    /// The epoch each shard is served under, 0 when it is not.
    serving: Vec<AtomicU64>,
    /// The epoch each shard was last served under: that of its entities.
    held: Vec<AtomicU64>,
    parked: Mutex<HashMap<u32, Vec<(Frame, ReplyTo)>>>,
    stopping: Mutex<BTreeMap<u32, Instant>>,
    at_once: Arc<Semaphore>,
}

/// Gives the wheel back, also when the driver panics.
struct Driving<'a>(&'a AtomicBool);

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Ownership {
    pub(super) fn new(me: &str, shards: u32) -> Self {
        let zeros = || (0..shards).map(|_| AtomicU64::new(0)).collect();
        Self {
            machine: Mutex::new(Holdings::new(me, shards)),
            inbox: Mutex::default(),
            driving: AtomicBool::new(false),
            serving: zeros(),
            held: zeros(),
            parked: Mutex::default(),
            stopping: Mutex::default(),
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// The epoch a shard is served under; 0 when it is not.
    pub(super) fn serving(&self, shard: u32) -> u64 {
        self.serving.get(shard as usize).map_or(0, |epoch| epoch.load(Ordering::SeqCst))
    }

    /// The epoch of a shard's entities in memory.
    pub(super) fn epoch(&self, shard: u32) -> u64 {
        self.held.get(shard as usize).map_or(0, |epoch| epoch.load(Ordering::SeqCst))
    }

    /// How many shards are ours or about to be.
    pub(super) fn held(&self) -> usize {
        lock(&self.machine).held()
    }

    /// Whether shards come or go.
    pub(super) fn is_moving(&self) -> bool {
        lock(&self.machine).is_moving()
    }

    fn set(&self, shard: u32, epoch: u64) {
        if let Some(serving) = self.serving.get(shard as usize) {
            serving.store(epoch, Ordering::SeqCst);
        }
    }
}

impl NodeInner {
    /// Gives the hand-off machine an input. Whoever finds nobody driving drives, so what it says is carried out in order.
    pub(super) fn feed_holdings(self: &Arc<Self>, input: Input) {
        let ownership = self.ownership();
        lock(&ownership.inbox).push_back(input);
        while !lock(&ownership.inbox).is_empty() {
            if ownership.driving.swap(true, Ordering::SeqCst) {
                return;
            }
            let driving = Driving(&ownership.driving);
            loop {
                let Some(input) = lock(&ownership.inbox).pop_front() else { break };
                let mut out = Vec::new();
                lock(&ownership.machine).on(self.monotonic_ms(), input, &mut out);
                self.hold_all(out);
            }
            drop(driving);
        }
    }

    /// Takes over what a single node swapped to itself in one step; the shards to be opened, with their epochs.
    pub(super) fn adopt(self: &Arc<Self>, rows: Vec<ShardRow>) -> Vec<(u32, u64)> {
        let mut out = Vec::new();
        lock(&self.ownership().machine).adopt(rows, &mut out);
        let mut opened = Vec::new();
        for output in out {
            match output {
                Output::Open { shard, epoch } => opened.push((shard, epoch)),
                other => self.hold(other),
            }
        }
        opened
    }

    /// Carries out what the machine said at once; of the rows to be swapped neighbours go together.
    fn hold_all(self: &Arc<Self>, out: Vec<Output>) {
        let mut swaps: BTreeMap<u32, Vec<(Option<ShardRow>, ShardRow)>> = BTreeMap::new();
        for output in out {
            match output {
                Output::Swap { expected, new } => {
                    swaps.entry(new.shard / SHARDS_TOGETHER).or_default().push((expected, new));
                }
                other => self.hold(other),
            }
        }
        swaps.into_values().for_each(|swaps| self.swap(swaps));
    }

    fn hold(self: &Arc<Self>, output: Output) {
        match output {
            Output::Swap { expected, new } => self.swap(vec![(expected, new)]),
            Output::Open { shard, epoch } => self.open(shard, epoch),
            Output::Serve { shard, epoch } => self.serve(shard, epoch),
            Output::Stop { shard, epoch } => {
                self.ownership().set(shard, 0);
                lock(&self.ownership().stopping).insert(shard, Instant::now());
                tokio::spawn(stop(self.clone(), shard, epoch));
            }
            Output::Abandon { shard } => {
                self.ownership().set(shard, 0);
                self.let_go(shard);
                metrics::counter!(telemetry::HANDOFFS, "outcome" => "abandoned").increment(1);
            }
            // It was never served here under that epoch, so this is no shard that left.
            Output::Missed { shard } => {
                self.let_go(shard);
                metrics::counter!(telemetry::HANDOFFS, "outcome" => "not_taken").increment(1);
            }
            Output::HandedOver { shard, to, planned } => {
                self.let_go(shard);
                if let Some(since) = lock(&self.ownership().stopping).remove(&shard) {
                    metrics::histogram!(telemetry::HANDOFF_SECONDS).record(since.elapsed().as_secs_f64());
                }
                metrics::counter!(telemetry::HANDOFFS, "outcome" => "handed_over").increment(1);
                tracing::debug!(shard, to, "a shard was handed over");
                self.tell_to_look(&to);
                if planned {
                    self.tell_steward(&to);
                }
            }
            Output::Route { shard, owner } => {
                self.feed(RouterInput::Owned { shard, owner });
                if self.hub().has_moved(shard) {
                    let node = self.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(TELL_MOVED_AFTER).await;
                        node.hub().tell_moved(|key| node.shard_of(key));
                    });
                }
            }
            Output::Look => self.look_soon(),
        }
    }

    /// A planned move has left its owner, so the steward may begin another one; without a word it would find out with its next look of its own. Whoever
    /// was told already is not told twice.
    fn tell_steward(self: &Arc<Self>, told: &str) {
        match &self.view().orders.steward {
            Some(steward) if steward.node == self.id() => self.look_soon(),
            Some(steward) if steward.node != told => self.tell_to_look(&steward.node),
            Some(_) | None => {}
        }
    }

    fn swap(self: &Arc<Self>, swaps: Vec<(Option<ShardRow>, ShardRow)>) {
        let node = self.clone();
        tokio::spawn(async move {
            let _turn = node.ownership().at_once.clone().acquire_owned().await;
            let limit = Duration::from_millis(node.limits().store_timeout_ms);
            let done = tokio::time::timeout(limit, node.store().leases.swap_each(&swaps)).await;
            let mut answers = done.into_iter().flatten();
            for (_, new) in &swaps {
                let shard = new.shard;
                let swapped = match answers.next() {
                    Some(Ok(swapped)) => Some(swapped),
                    Some(Err(error)) => {
                        tracing::warn!(shard, %error, "the outcome of taking or giving a shard is not known");
                        None
                    }
                    None => None,
                };
                node.feed_holdings(Input::Swapped { shard, swapped });
            }
        });
    }

    /// Reads what the shard has to do, and what other nodes run for it.
    fn open(self: &Arc<Self>, shard: u32, epoch: u64) {
        let node = self.clone();
        tokio::spawn(async move {
            let asked = node.living_peers().into_iter().map(|peer| {
                let node = &node;
                async move {
                    match node.ask_effects(&peer.node, shard).await {
                        Some(running) => node.effects().run_elsewhere(&peer, running),
                        // The attempt's number keeps an effect that runs there from counting twice.
                        None => tracing::warn!(shard, peer = peer.node, "a node does not say which effects it runs"),
                    }
                }
            });
            futures::future::join_all(asked).await;
            let _turn = node.ownership().at_once.clone().acquire_owned().await;
            let wakes = loop {
                if node.has_ended() {
                    return;
                }
                match node.store().wake.scan(shard).await {
                    Ok(wakes) => break wakes,
                    Err(error) => {
                        tracing::warn!(shard, %error, "a wake list could not be read; trying again");
                        tokio::time::sleep(OPEN_RETRY).await;
                    }
                }
            };
            node.timers().expect(shard, epoch, &wakes);
            node.feed_holdings(Input::Opened { shard, epoch });
        });
    }

    fn serve(self: &Arc<Self>, shard: u32, epoch: u64) {
        let ownership = self.ownership();
        if let Some(held) = ownership.held.get(shard as usize) {
            held.store(epoch, Ordering::SeqCst);
        }
        // Under the lock: whoever comes now waits until those that came before are in. Answers go out after it, since they may call back.
        let mut parked = lock(&ownership.parked);
        let mut placed = Vec::new();
        for (frame, reply) in parked.remove(&shard).unwrap_or_default() {
            if frame.epoch == epoch {
                placed.push(self.place(frame, reply, false));
            } else {
                placed.push(Placed::Refused(reply, Answer::NotOwner { owner: Some(self.id().to_owned()), epoch }));
            }
        }
        ownership.set(shard, epoch);
        drop(parked);
        placed.into_iter().for_each(|placed| self.finish(placed));
        self.timers().begin(shard);
        lock(&ownership.stopping).remove(&shard);
        self.count_shard(shard, Some(epoch));
    }

    /// The shard is no longer ours.
    fn let_go(self: &Arc<Self>, shard: u32) {
        self.count_shard(shard, None);
        if let Some(supervisor) = self.forget_shard(shard, None) {
            supervisor.kill();
        }
        self.directory().forget_shard(shard);
        let here = |key: &_| self.shard_of(key) == shard;
        self.timers().forget(shard);
        self.effects().forget_elsewhere(here);
        self.residents().stop(here);
        let parked = lock(&self.ownership().parked).remove(&shard).unwrap_or_default();
        for (frame, reply) in parked {
            self.refuse_or_park(frame, reply);
        }
    }

    fn count_shard(&self, shard: u32, epoch: Option<u64>) {
        if self.is_alone() {
            return;
        }
        let label = shard.to_string();
        metrics::gauge!(telemetry::SHARD_OWNED, "shard" => label.clone()).set(if epoch.is_some() { 1.0 } else { 0.0 });
        if let Some(epoch) = epoch {
            // Epochs rise with moves and boots, far below where a float loses count.
            metrics::gauge!(telemetry::SHARD_EPOCH, "shard" => label)
                .set(u32::try_from(epoch).map_or(f64::MAX, f64::from));
        }
    }

    /// Takes a frame that is not for a shard served under its epoch.
    pub(super) fn refuse_or_park(self: &Arc<Self>, frame: Frame, reply: ReplyTo) {
        let ownership = self.ownership();
        let mut parked = lock(&ownership.parked);
        if ownership.serving(frame.shard) == frame.epoch {
            // It began meanwhile.
            drop(parked);
            let placed = self.place(frame, reply, true);
            return self.finish(placed);
        }
        let admit = lock(&ownership.machine).admit(frame.shard, frame.epoch);
        let answer = match admit {
            Admit::Serve | Admit::Park => {
                let waiting = parked.entry(frame.shard).or_default();
                if waiting.len() < MAX_PARKED {
                    waiting.push((frame, reply));
                    return;
                }
                Answer::Moving { retry_after_ms: MOVING_RETRY_MS }
            }
            Admit::Refuse { answer, look } => {
                if look {
                    self.look_soon();
                }
                answer
            }
        };
        drop(parked);
        if matches!(answer, Answer::NotOwner { .. }) {
            metrics::counter!(telemetry::STALE_ROUTES).increment(1);
        }
        reply.send(answer);
    }
}

/// Has the entities of a shard finish and leave; then says so.
async fn stop(node: Arc<NodeInner>, shard: u32, epoch: u64) {
    let started = Instant::now();
    let mut looks = 0;
    node.residents().stop(|key| node.shard_of(key) == shard);
    while node.directory().len_of(shard) > 0 {
        if looks % LOOKS_PER_TELLING == 0 {
            node.directory().broadcast(Some(shard), &EntityInput::Drain);
        }
        looks += 1;
        if started.elapsed() >= Duration::from_millis(STOP_WITHIN_MS) {
            // Their senders learn that the outcome is unknown; a late append meets the next owner's claim.
            tracing::warn!(
                shard,
                left = node.directory().len_of(shard),
                "entities did not finish in time; they are dropped"
            );
            if let Some(supervisor) = node.forget_shard(shard, None) {
                supervisor.kill();
            }
            node.directory().forget_shard(shard);
            break;
        }
        tokio::time::sleep(STOP_LOOK_EVERY).await;
    }
    node.feed_holdings(Input::Stopped { shard, epoch });
}

/// Reads the wake lists of many shards: a single node's boot.
pub(super) async fn read_wakes(node: &Arc<NodeInner>, shards: &[(u32, u64)]) -> Result<(), StoreError> {
    use futures::{StreamExt, TryStreamExt};
    futures::stream::iter(shards.iter().copied())
        .map(|(shard, epoch)| async move { Ok((shard, epoch, node.store().wake.scan(shard).await?)) })
        .buffer_unordered(AT_ONCE)
        .try_for_each(|(shard, epoch, wakes)| async move {
            node.timers().expect(shard, epoch, &wakes);
            Ok(())
        })
        .await
}
