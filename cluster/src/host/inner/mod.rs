//! The parts of a node and what holds for all of them; how a frame leaves is in `sending.rs`, how one arrives in `receiving.rs`.

mod receiving;
mod sending;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use colloquy_store::journal::Record;
use colloquy_store::{EntityKey, Store};
use ractor::{ActorId, ActorRef};
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch as signal};
use tokio::time::Instant;

pub(super) use self::receiving::Placed;
use super::admission::Admission;
use super::config::{Limits, NodeConfig};
use super::directory::Directory;
use super::effects::Effects;
use super::entity_actor::EntityMsg;
use super::node::Fate;
use super::ownership::Ownership;
use super::registry::{Kind, Registry};
use super::resident::Residents;
use super::shard::{NodeMsg, ShardMsg};
use super::timers::Timers;
use super::transport::{Transport, TransportKind};
use super::watch::{Hub, WatchStream};
use super::{lease, watch};
use crate::core::activation::Input as EntityInput;
use crate::core::lease::BEAT_EVERY_MS;
use crate::core::router::{Input, shard_of};
use crate::core::view::{Incarnation, View};
use crate::entity::Message;
use crate::error::ClusterError;
use crate::frame::{Answer, FRAME_SCHEMA, Frame};
use crate::seal::Sealer;

/// What a draining node tells its senders to wait, milliseconds.
const DRAIN_RETRY_MS: u64 = 200;

/// Large blobs sealed and written at once: more would keep processor and disk from the writes that are waited for, the lease's among them.
const LARGE_AT_ONCE: usize = 2;

/// How long a message to a resident is tried, milliseconds: as long as the resident may take for it.
const RESIDENT_DEADLINE_MS: i64 = 5_000;

/// For how long a refused write counts as a full storage, milliseconds: the renewal of the lease is a write too, and comes twice in this time.
const FULL_FOR_MS: u64 = 2 * BEAT_EVERY_MS + BEAT_EVERY_MS / 2;

/// Everything a node consists of.
pub(crate) struct NodeInner {
    id: String,
    shards: u32,
    store: Store,
    limits: Limits,
    clock: Arc<dyn crate::clock::Clock>,
    started: Instant,
    registry: Registry,
    sealer: Sealer,
    /// Turns of large blobs.
    large: Semaphore,
    admission: Admission,
    directory: Directory,
    effects: Effects,
    timers: Timers,
    hub: Arc<Hub>,
    /// How long ago each other node's beat was seen to move, at the last look, milliseconds.
    beats: Mutex<BTreeMap<String, u64>>,
    residents: Residents,
    ownership: Ownership,
    /// The cluster as last read.
    view: RwLock<Arc<View>>,
    look: Notify,
    alone: bool,
    supervisor: OnceLock<ActorRef<NodeMsg>>,
    shard_supervisors: Mutex<HashMap<u32, ActorRef<ShardMsg>>>,
    transport: OnceLock<Arc<dyn Transport>>,
    outbound: sending::Outbound,
    lease_until_ms: AtomicU64,
    full_until_ms: AtomicU64,
    draining: AtomicBool,
    fate: signal::Sender<Option<Fate>>,
}

impl NodeInner {
    pub(super) fn new(config: NodeConfig, store: Store, registry: Registry) -> Self {
        let NodeConfig { id, shards, master_key, clock, limits, transport, .. } = config;
        Self {
            ownership: Ownership::new(&id, shards),
            view: RwLock::default(),
            look: Notify::new(),
            alone: match transport {
                TransportKind::Local => true,
                TransportKind::Custom(_) => false,
            },
            id,
            shards,
            sealer: Sealer::new(&master_key, store.keys.clone()),
            large: Semaphore::new(LARGE_AT_ONCE),
            admission: Admission::new(shards, limits.clone()),
            effects: Effects::new(&limits),
            hub: Arc::new(Hub::new(&limits)),
            beats: Mutex::default(),
            store,
            limits,
            clock,
            started: Instant::now(),
            registry,
            directory: Directory::new(shards),
            timers: Timers::default(),
            residents: Residents::default(),
            supervisor: OnceLock::new(),
            shard_supervisors: Mutex::default(),
            transport: OnceLock::new(),
            outbound: sending::Outbound::new(shards),
            lease_until_ms: AtomicU64::new(0),
            full_until_ms: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            fate: signal::Sender::new(None),
        }
    }

    /// Puts in what only exists after the node does.
    pub(super) fn complete(
        &self,
        supervisor: ActorRef<NodeMsg>,
        transport: Arc<dyn Transport>,
    ) -> Result<(), ClusterError> {
        let twice = || ClusterError::Node("it was started twice".to_owned());
        self.supervisor.set(supervisor).map_err(|_| twice())?;
        self.transport.set(transport).map_err(|_| twice())
    }

    // --- parts ---

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// Waits until another large blob may be sealed and written.
    pub(crate) async fn turn_of_large(&self) -> Option<SemaphorePermit<'_>> {
        self.large.acquire().await.ok()
    }

    pub(super) fn know_beats(&self, ages_ms: BTreeMap<String, u64>) {
        *lock(&self.beats) = ages_ms;
    }

    pub(super) fn beat_age_ms(&self, node: &str) -> Option<u64> {
        lock(&self.beats).get(node).copied()
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(super) fn timers(&self) -> &Timers {
        &self.timers
    }

    pub(super) fn admission(&self) -> &Admission {
        &self.admission
    }

    pub(super) fn effects(&self) -> &Effects {
        &self.effects
    }

    pub(super) fn residents(&self) -> &Residents {
        &self.residents
    }

    pub(super) fn ownership(&self) -> &Ownership {
        &self.ownership
    }

    pub(super) fn transport(&self) -> Option<&Arc<dyn Transport>> {
        self.transport.get()
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn shards(&self) -> u32 {
        self.shards
    }

    /// Whether there are no other nodes.
    pub(super) fn is_alone(&self) -> bool {
        self.alone
    }

    pub(super) fn has_ended(&self) -> bool {
        self.fate.borrow().is_some()
    }

    pub(super) fn next_correlation(&self) -> u64 {
        self.outbound.next()
    }

    /// The cluster as last read.
    pub(super) fn view(&self) -> Arc<View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn know_view(&self, view: View) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }

    /// The other nodes that live.
    pub(super) fn living_peers(&self) -> Vec<Incarnation> {
        let view = self.view();
        let others = view.members.iter().filter(|(id, member)| member.alive && **id != self.id);
        others.map(|(id, member)| Incarnation { node: id.clone(), incarnation: member.incarnation }).collect()
    }

    /// The tables have news.
    pub(super) fn look_soon(&self) {
        self.look.notify_one();
    }

    pub(super) fn looked_for(&self) -> &Notify {
        &self.look
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(super) fn supervisor(&self) -> Option<&ActorRef<NodeMsg>> {
        self.supervisor.get()
    }

    pub(super) fn started(&self) -> Instant {
        self.started
    }

    pub(super) fn monotonic_ms(&self) -> u64 {
        lease::since(self.started)
    }

    pub(super) fn queued(&self) -> usize {
        self.admission.queued()
    }

    /// The registered kind of an entity.
    pub(crate) fn kind(&self, key: &EntityKey) -> Result<Arc<dyn Kind>, ClusterError> {
        let kind = self.registry.kinds.get(&*key.kind).cloned();
        kind.ok_or_else(|| ClusterError::UnknownKind(key.kind.to_string()))
    }

    /// The epoch under which a shard's entities run here.
    pub(super) fn epoch(&self, shard: u32) -> u64 {
        self.ownership.epoch(shard)
    }

    /// Whether entities of a shard may act here now.
    pub(super) fn serves(&self, shard: u32) -> bool {
        self.ownership.serving(shard) > 0
    }

    pub(super) fn shard_of(&self, key: &EntityKey) -> u32 {
        shard_of(key, self.shards)
    }

    // --- lease and life ---

    pub(super) fn holds_lease(&self) -> bool {
        self.monotonic_ms() < self.lease_until_ms.load(Ordering::Acquire)
    }

    pub(super) fn lease_is_valid_until(&self, until_ms: u64) {
        self.lease_until_ms.store(until_ms, Ordering::Release);
    }

    /// Whether a write was refused lately for want of space.
    pub(super) fn storage_is_full(&self) -> bool {
        self.monotonic_ms() < self.full_until_ms.load(Ordering::Acquire)
    }

    /// A write was refused for want of space. Said once, not for every write: logs are often on the same disk.
    pub(super) fn storage_was_full(&self) {
        let now_ms = self.monotonic_ms();
        if self.full_until_ms.swap(now_ms + FULL_FOR_MS, Ordering::AcqRel) <= now_ms {
            tracing::error!("the storage is full: commands that would write are refused until there is space");
        }
    }

    pub(super) fn fate(&self) -> signal::Receiver<Option<Fate>> {
        self.fate.subscribe()
    }

    /// The first fate stands.
    pub(super) fn end(&self, fate: Fate) {
        self.fate.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                *known = Some(fate);
            }
            first
        });
    }

    /// The lease is lost: everything stops where it is, because another node may own it now.
    pub(super) fn lose(&self, fate: Fate) {
        self.draining.store(true, Ordering::Release);
        self.lease_is_valid_until(0);
        self.effects.cancel_all();
        if let Some(supervisor) = self.supervisor() {
            // Ends the whole tree; messages it held are dropped and their senders learn `Unknown`.
            supervisor.kill();
        }
        self.directory.clear();
        self.hub.close();
        self.end(fate);
    }

    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.effects.cancel_all();
        self.directory.broadcast(None, &EntityInput::Drain);
    }

    // --- supervisors ---

    pub(super) fn shard_supervisor(&self, shard: u32) -> Option<ActorRef<ShardMsg>> {
        lock(&self.shard_supervisors).get(&shard).cloned()
    }

    pub(super) fn know_shard(&self, shard: u32, supervisor: ActorRef<ShardMsg>) {
        lock(&self.shard_supervisors).insert(shard, supervisor);
    }

    /// Forgets a shard's supervisor, or only this one.
    pub(super) fn forget_shard(&self, shard: u32, only: Option<ActorId>) -> Option<ActorRef<ShardMsg>> {
        let mut supervisors = lock(&self.shard_supervisors);
        let known = supervisors.get(&shard)?;
        if only.is_some_and(|only| known.get_id() != only) {
            return None;
        }
        supervisors.remove(&shard)
    }

    /// Has an entity's actor spawned; its directory slot exists already.
    fn spawn(&self, shard: u32, key: &EntityKey) {
        if let Some(supervisor) = self.shard_supervisor(shard)
            && supervisor.send_message(ShardMsg { key: key.clone() }).is_ok()
        {
            return;
        }
        let message = NodeMsg::Activate { shard, key: key.clone() };
        if self.supervisor().is_none_or(|supervisor| supervisor.send_message(message).is_err()) {
            self.directory.failed_to_start(key);
        }
    }

    /// Brings an entity into memory that has work.
    pub(super) fn activate(&self, shard: u32, key: &EntityKey) {
        if self.draining.load(Ordering::Acquire) {
            return;
        }
        let tick = |_: &Arc<_>| {
            let tick = EntityMsg::Input(EntityInput::Tick);
            self.serves(shard).then_some(tick).ok_or(())
        };
        // If its shard went away, its new owner wakes it.
        if self.directory.send(shard, key, self.now_ms(), tick) == Ok(true) {
            self.spawn(shard, key);
        }
    }

    /// A best-effort note: to a resident if it is followed, to an entity as an ordinary command nobody waits for.
    pub(super) fn tell(self: &Arc<Self>, message: Message) {
        if self.registry.residents.contains_key(&*message.to.kind) {
            return self.note(&message.to, message.command);
        }
        let client = crate::client::Client::new(self.clone());
        tokio::spawn(async move {
            drop(client.ask_raw(&message.to, message.command, crate::client::Ask::default()).await);
        });
    }

    // --- beside the way of a frame ---

    pub(crate) fn watch(self: &Arc<Self>, key: &EntityKey) -> WatchStream {
        let stream = self.hub.watch(key);
        if self.registry.residents.contains_key(&*key.kind) {
            self.follow(key);
        }
        if self.fate.borrow().is_some() {
            self.hub.close();
        }
        stream
    }

    pub(crate) async fn resident_ask(self: &Arc<Self>, key: &EntityKey, message: Bytes) -> Result<Bytes, ClusterError> {
        if !self.registry.residents.contains_key(&*key.kind) {
            return Err(ClusterError::UnknownKind(key.kind.to_string()));
        }
        if self.draining.load(Ordering::Acquire) {
            return Err(ClusterError::Node("it is draining".to_owned()));
        }
        let mut frame = self.frame_to_resident(key, message);
        frame.note = false;
        match self.ask(frame).await {
            Answer::Ok(answer) => Ok(answer),
            Answer::Unavailable { detail } | Answer::Malformed { detail } => Err(ClusterError::Node(detail)),
            other => Err(ClusterError::Node(format!("{key} was asked and answered {}", other.label()))),
        }
    }

    /// Starts a resident that is followed from here, wherever it lives, and keeps it.
    pub(super) fn follow(self: &Arc<Self>, key: &EntityKey) {
        self.note(key, Bytes::new());
    }

    /// A note to a resident, wherever it lives.
    fn note(self: &Arc<Self>, key: &EntityKey, message: Bytes) {
        if self.serves(self.shard_of(key)) {
            match message.is_empty() {
                true => self.residents.keep(self, key),
                false => self.residents.note(key, message),
            }
        } else if !self.has_ended() {
            let mut frame = self.frame_to_resident(key, message);
            frame.correlation = self.next_correlation();
            self.feed(Input::Send(frame));
        }
    }

    fn frame_to_resident(&self, key: &EntityKey, message: Bytes) -> Frame {
        Frame {
            shard: 0,
            epoch: 0,
            key: key.clone(),
            schema: FRAME_SCHEMA,
            correlation: 0,
            idempotency_key: None,
            deadline_ms: self.now_ms().saturating_add(RESIDENT_DEADLINE_MS),
            trace: None,
            source: None,
            after_rows: false,
            note: true,
            bytes: message,
        }
    }

    pub(crate) async fn records(&self, key: &EntityKey, after: u64, limit: usize) -> Result<Vec<Record>, ClusterError> {
        let personal = self.kind(key)?.is_personal();
        Ok(self.read_records(key, personal, after, limit).await?)
    }

    pub(crate) async fn erase(self: &Arc<Self>, key: &EntityKey) -> Result<(), ClusterError> {
        if !self.kind(key)?.is_personal() {
            return Err(ClusterError::Node(format!("entities of kind {} hold no personal data", key.kind)));
        }
        // First the key: whatever is written from here on cannot be read again.
        self.store.keys.destroy(key).await?;
        self.forget_erased(key);
        self.hub.publish(key, watch::Watch::Lagged);
        self.tell_erased(key).await
    }

    /// Lets go of an entity whose key was destroyed: of the key that was read before, and of the entity in memory.
    pub(super) fn forget_erased(&self, key: &EntityKey) {
        self.sealer.forget(key);
        self.directory.nudge(key, EntityInput::Erase);
    }
}

/// Locks, also after a panic elsewhere: every lock here guards data that is whole between statements.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
