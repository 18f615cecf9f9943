//! The parts of a node, and how a frame passes through them: router → transport → checks → admission → directory → entity.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use colloquy_store::journal::Record;
use colloquy_store::{EntityKey, Store};
use ractor::{ActorId, ActorRef};
use tokio::sync::{Notify, oneshot, watch as signal};
use tokio::time::Instant;

use super::admission::Admission;
use super::config::{Limits, NodeConfig};
use super::control::CONTROL_KIND;
use super::directory::Directory;
use super::effects::Effects;
use super::entity_actor::EntityMsg;
use super::node::Fate;
use super::ownership::Ownership;
use super::registry::{Kind, Registry};
use super::resident::Residents;
use super::shard::{NodeMsg, ShardMsg};
use super::timers::Timers;
use super::transport::{ReplyTo, Transport, TransportKind};
use super::watch::{Hub, WatchStream};
use super::{lease, watch};
use crate::core::activation::Input as EntityInput;
use crate::core::handoff::MOVING_RETRY_MS;
use crate::core::lease::{BEAT_EVERY_MS, SUSPENDED_RETRY_MS};
use crate::core::router::{Input, NOT_OWNER_RETRY_MS, Output, Router, shard_of};
use crate::core::view::{Incarnation, View};
use crate::entity::Message;
use crate::error::ClusterError;
use crate::frame::{Answer, FRAME_SCHEMA, Frame, MAX_COMMAND_BYTES, MAX_IDEMPOTENCY_KEY};
use crate::seal::Sealer;
use crate::telemetry;

/// The longest part of an entity's key, bytes.
pub(super) const MAX_KEY_PART: usize = 256;

/// What an overloaded node tells its senders to wait, milliseconds: a few batches.
const BUSY_RETRY_MS: u64 = 50;

/// What a draining node tells its senders to wait, milliseconds.
const DRAIN_RETRY_MS: u64 = 200;

/// How long an answer may be late before the sender gives up, milliseconds: the answerer counts the deadline too, and should win.
const ANSWER_GRACE_MS: u64 = 250;

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
    outbound: Outbound,
    lease_until_ms: AtomicU64,
    full_until_ms: AtomicU64,
    draining: AtomicBool,
    fate: signal::Sender<Option<Fate>>,
}

/// The sending side: one router, driven by whoever has something for it.
struct Outbound {
    inbox: Mutex<VecDeque<Input>>,
    driving: AtomicBool,
    router: Mutex<Router>,
    waiters: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
    next: AtomicU64,
}

/// What became of a command that was put before its entity.
pub(super) enum Placed {
    /// It waits there.
    In,
    /// It waits for the entity's actor, which is to be spawned.
    Spawn(u32, EntityKey),
    /// It is answered already.
    Refused(ReplyTo, Answer),
}

/// Gives the wheel back, also when the driver panics.
struct Driving<'a>(&'a AtomicBool);

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// A waiter that is forgotten with its ask.
struct Waiting<'a> {
    outbound: &'a Outbound,
    correlation: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.outbound.waiters).remove(&self.correlation);
    }
}

impl NodeInner {
    pub(super) fn new(config: NodeConfig, store: Store, registry: Registry) -> Self {
        let NodeConfig { id, shards, master_key, clock, limits, transport, .. } = config;
        let outbound = Outbound {
            inbox: Mutex::default(),
            driving: AtomicBool::new(false),
            router: Mutex::new(Router::new(shards)),
            waiters: Mutex::default(),
            next: AtomicU64::new(1),
        };
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
            outbound,
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
        self.outbound.next.fetch_add(1, Ordering::Relaxed)
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
    pub(super) fn activate(&self, key: &EntityKey) {
        if self.draining.load(Ordering::Acquire) {
            return;
        }
        let shard = self.shard_of(key);
        let tick = |_: &Arc<_>| {
            let tick = EntityMsg::Input(EntityInput::Tick);
            self.serves(shard).then_some(tick).ok_or(())
        };
        // If its shard went away, its new owner wakes it.
        if self.directory.send(shard, key, self.now_ms(), tick) == Ok(true) {
            self.spawn(shard, key);
        }
    }

    // --- sending ---

    /// Sends a frame and waits for its answer; retries what is safe to retry inside the deadline.
    pub(crate) async fn ask(self: &Arc<Self>, mut frame: Frame) -> Answer {
        if self.fate.borrow().is_some() {
            return Answer::Moving { retry_after_ms: DRAIN_RETRY_MS };
        }
        let settles_by_itself = frame.idempotency_key.is_some() || frame.source.is_some();
        let mut perhaps_done = false;
        loop {
            frame.correlation = self.outbound.next.fetch_add(1, Ordering::Relaxed);
            let answer = self.ask_once(frame.clone()).await;
            let wait_ms = match &answer {
                Answer::Busy { retry_after_ms } | Answer::Moving { retry_after_ms } => *retry_after_ms,
                Answer::NotOwner { .. } => NOT_OWNER_RETRY_MS,
                Answer::Unknown if settles_by_itself => BUSY_RETRY_MS,
                Answer::Ok(_)
                | Answer::Rejected(_)
                | Answer::Unknown
                | Answer::Expired
                | Answer::HandlerFailed
                | Answer::Unavailable { .. }
                | Answer::Erased
                | Answer::Malformed { .. } => return unless_done(perhaps_done, answer),
            };
            perhaps_done |= answer == Answer::Unknown;
            let left_ms = frame.deadline_ms.saturating_sub(self.now_ms());
            let wait_ms = wait_ms.max(1);
            if i64::try_from(wait_ms).map_or(true, |wait_ms| wait_ms >= left_ms) || self.fate.borrow().is_some() {
                return unless_done(perhaps_done, answer);
            }
            // Spread over half to one and a half of the wait, so that the refused do not return as one crowd.
            let spread = wait_ms / 2 + rand::random_range(0..=wait_ms);
            tokio::time::sleep(Duration::from_millis(spread)).await;
        }
    }

    async fn ask_once(self: &Arc<Self>, frame: Frame) -> Answer {
        let (sender, receiver) = oneshot::channel();
        let correlation = frame.correlation;
        let left_ms = u64::try_from(frame.deadline_ms.saturating_sub(self.now_ms())).unwrap_or(0);
        lock(&self.outbound.waiters).insert(correlation, sender);
        let _waiting = Waiting { outbound: &self.outbound, correlation };
        self.feed(Input::Send(frame));
        match tokio::time::timeout(Duration::from_millis(left_ms + ANSWER_GRACE_MS), receiver).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Answer::Unknown,
        }
    }

    /// Gives the router an input. Whoever finds nobody driving drives, so outputs happen in order and a transport may call back.
    pub(super) fn feed(self: &Arc<Self>, input: Input) {
        lock(&self.outbound.inbox).push_back(input);
        while !lock(&self.outbound.inbox).is_empty() {
            if self.outbound.driving.swap(true, Ordering::SeqCst) {
                return;
            }
            let driving = Driving(&self.outbound.driving);
            let mut out = Vec::new();
            loop {
                let Some(input) = lock(&self.outbound.inbox).pop_front() else {
                    break;
                };
                lock(&self.outbound.router).on(self.clock.now_ms(), input, &mut out);
                for output in out.drain(..) {
                    self.route(output);
                }
            }
            drop(driving);
        }
    }

    fn route(self: &Arc<Self>, output: Output) {
        match output {
            Output::Transmit { node, frame } => {
                let correlation = frame.correlation;
                let home = Arc::downgrade(self);
                let reply = ReplyTo::new(move |answer| {
                    if let Some(home) = home.upgrade() {
                        if matches!(answer, Answer::NotOwner { .. }) {
                            home.look_soon();
                        }
                        home.feed(Input::Answered { correlation, answer });
                    }
                });
                match self.transport.get() {
                    Some(transport) => transport.send(&node, frame, reply),
                    None => reply.send(Answer::Moving { retry_after_ms: DRAIN_RETRY_MS }),
                }
            }
            Output::Done { correlation, answer } => {
                if let Some(waiter) = lock(&self.outbound.waiters).remove(&correlation) {
                    // Nobody waits any more: the answer came after its deadline.
                    drop(waiter.send(answer));
                }
            }
            Output::Alarm { at_ms } => {
                let wait_ms = u64::try_from(at_ms.saturating_sub(self.now_ms())).unwrap_or(0).max(1);
                let home = Arc::downgrade(self);
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                    if let Some(home) = home.upgrade() {
                        home.feed(Input::Tick);
                    }
                });
            }
        }
    }

    // --- receiving ---

    /// Takes a frame from a transport.
    pub(super) fn receive(self: &Arc<Self>, frame: Frame, reply: ReplyTo) {
        if &*frame.key.kind == CONTROL_KIND {
            return reply.send(self.on_control(&frame));
        }
        // Only registered names become labels: what a sender makes up must not grow the metrics.
        let label = self.registry.kinds.get(&*frame.key.kind).map_or("unknown", |kind| kind.name());
        let refuse = |reply: ReplyTo, answer: Answer| {
            metrics::counter!(telemetry::ANSWERS, "kind" => label, "outcome" => answer.label()).increment(1);
            reply.send(answer);
        };
        if let Err(answer) = self.check(&frame) {
            return refuse(reply, answer);
        }
        if self.ownership.serving(frame.shard) != frame.epoch {
            return self.refuse_or_park(frame, reply);
        }
        let placed = self.place(frame, reply, true);
        self.finish(placed);
    }

    /// Puts a command before its entity. `look` asks once more whether the shard is served, where it cannot be missed by who stops it.
    pub(super) fn place(self: &Arc<Self>, frame: Frame, reply: ReplyTo, look: bool) -> Placed {
        if self.registry.residents.contains_key(&*frame.key.kind) {
            return self.place_at_resident(frame, reply);
        }
        let (shard, key) = (frame.shard, frame.key.clone());
        let sent = self.directory.send(shard, &key, self.now_ms(), |depth| {
            if look && self.ownership.serving(shard) != frame.epoch {
                return Err((reply, Answer::Moving { retry_after_ms: MOVING_RETRY_MS }));
            }
            match self.admission.admit(shard, depth, frame.bytes.len()) {
                Some(permit) => Ok(EntityMsg::Command { frame: Box::new(frame), reply, permit }),
                None => Err((reply, Answer::Busy { retry_after_ms: BUSY_RETRY_MS })),
            }
        });
        match sent {
            Ok(true) => Placed::Spawn(shard, key),
            Ok(false) => Placed::In,
            Err((reply, answer)) => Placed::Refused(reply, answer),
        }
    }

    /// Does what placing a command leads to.
    pub(super) fn finish(&self, placed: Placed) {
        match placed {
            Placed::In => {}
            Placed::Spawn(shard, key) => self.spawn(shard, &key),
            Placed::Refused(reply, answer) => reply.send(answer),
        }
    }

    /// Gives a resident a message from wherever it came.
    fn place_at_resident(self: &Arc<Self>, frame: Frame, reply: ReplyTo) -> Placed {
        if frame.note {
            if frame.bytes.is_empty() {
                self.residents.keep(self, &frame.key);
            } else {
                self.residents.note(&frame.key, frame.bytes);
            }
            return Placed::Refused(reply, Answer::Ok(Bytes::new()));
        }
        let node = self.clone();
        tokio::spawn(async move {
            reply.send(match node.residents.ask(&node, &frame.key, frame.bytes).await {
                Ok(answer) => Answer::Ok(answer),
                Err(error) => Answer::Unavailable { detail: error.to_string() },
            });
        });
        Placed::In
    }

    fn check(&self, frame: &Frame) -> Result<(), Answer> {
        let malformed = |detail: String| Answer::Malformed { detail };
        if frame.schema != FRAME_SCHEMA {
            return Err(malformed(format!("frame schema {} is not {FRAME_SCHEMA}", frame.schema)));
        }
        let kind = &*frame.key.kind;
        if !self.registry.kinds.contains_key(kind) && !self.registry.residents.contains_key(kind) {
            return Err(malformed(format!("no entity kind {:?} is registered", frame.key.kind)));
        }
        for (part, what) in [(&frame.key.tenant, "tenant"), (&frame.key.id, "id")] {
            if part.is_empty() || part.len() > MAX_KEY_PART {
                return Err(malformed(format!("the {what} has {} bytes, not 1 to {MAX_KEY_PART}", part.len())));
            }
        }
        if frame.bytes.len() > MAX_COMMAND_BYTES {
            let size = frame.bytes.len();
            return Err(malformed(format!("a command of {size} bytes is above the limit of {MAX_COMMAND_BYTES}")));
        }
        if frame.idempotency_key.as_ref().is_some_and(|key| key.len() > MAX_IDEMPOTENCY_KEY) {
            return Err(malformed(format!("the idempotency key is longer than {MAX_IDEMPOTENCY_KEY} bytes")));
        }
        if self.draining.load(Ordering::Acquire) {
            return Err(Answer::Moving { retry_after_ms: DRAIN_RETRY_MS });
        }
        if !self.holds_lease() {
            return Err(Answer::Busy { retry_after_ms: SUSPENDED_RETRY_MS });
        }
        if frame.shard != self.shard_of(&frame.key) {
            // A sender that counts shards differently: the epoch of none of ours.
            return Err(Answer::NotOwner { owner: None, epoch: 0 });
        }
        Ok(())
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

    pub(crate) async fn erase(&self, key: &EntityKey) -> Result<(), ClusterError> {
        if !self.kind(key)?.is_personal() {
            return Err(ClusterError::Node(format!("entities of kind {} hold no personal data", key.kind)));
        }
        // First the key: whatever is written from here on cannot be read again.
        self.store.keys.destroy(key).await?;
        self.sealer.forget(key);
        self.directory.nudge(key, EntityInput::Erase);
        self.hub.publish(key, watch::Watch::Lagged);
        Ok(())
    }
}

/// What a sender learns after several attempts: "nothing happened" is only true of all of them if it is true of each.
fn unless_done(perhaps_done: bool, answer: Answer) -> Answer {
    match answer {
        Answer::Busy { .. }
        | Answer::Moving { .. }
        | Answer::NotOwner { .. }
        | Answer::Expired
        | Answer::Unavailable { .. }
            if perhaps_done =>
        {
            Answer::Unknown
        }
        answer => answer,
    }
}

/// Locks, also after a panic elsewhere: every lock here guards data that is whole between statements.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
