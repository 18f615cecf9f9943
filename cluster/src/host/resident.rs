//! Residents: actors without a journal. Started by whoever watches or asks, gone when nobody has for a while.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use colloquy_store::EntityKey;
use futures::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::NodeInner;
use super::inner::lock;
use super::shard::{NodeMsg, ResidentRef};
use super::watch::Watch;
use crate::client::Client;
use crate::entity::Resident;
use crate::error::ClusterError;

/// Messages waiting for one resident: at a thousand facts a second four seconds' worth; above it notes are dropped, which
/// their rows make up for.
const MAX_WAITING: usize = 4_096;

/// How long an ask of a resident waits, milliseconds.
const ASK_MS: u64 = 5_000;

/// How many bits of a generation count the starts under one epoch.
const GENERATION_BITS: u32 = 32;

/// What a resident's actor is sent.
pub(crate) enum ResidentMsg {
    /// Start it: the first message.
    Begin,
    /// A message, with who waits for its answer, and its place in the queue.
    Message(Bytes, Option<oneshot::Sender<Bytes>>, Waiting),
    /// Time passed.
    Tick,
}

impl ractor::Message for ResidentMsg {}

/// A place in a resident's queue.
pub(crate) struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

enum Stage {
    Starting(Vec<ResidentMsg>),
    Live(ResidentRef),
}

struct Slot {
    stage: Stage,
    depth: Arc<AtomicUsize>,
    kept: AtomicBool,
}

/// The residents of a node.
#[derive(Default)]
pub(super) struct Residents {
    slots: Mutex<HashMap<EntityKey, Slot>>,
    generations: AtomicU64,
}

impl Residents {
    /// Gives a resident a note, if it is there.
    pub(super) fn note(&self, key: &EntityKey, message: Bytes) {
        if let Some(slot) = lock(&self.slots).get_mut(key)
            && let Some(place) = slot.place()
        {
            slot.send(ResidentMsg::Message(message, None, place));
        }
    }

    /// Starts a resident unless it is there, and keeps it: somebody follows it, maybe on another node.
    pub(super) fn keep(&self, node: &NodeInner, key: &EntityKey) {
        self.wake(node, key);
        if let Some(slot) = lock(&self.slots).get(key) {
            slot.kept.store(true, Ordering::Release);
        }
    }

    /// Stops the residents that `gone` picks: they live on another node now. Who waits learns that the outcome is not known.
    pub(super) fn stop(&self, gone: impl Fn(&EntityKey) -> bool) {
        lock(&self.slots).retain(|key, slot| {
            let gone = gone(key);
            if let (true, Stage::Live(actor)) = (gone, &slot.stage) {
                actor.stop(None);
            }
            !gone
        });
    }

    /// Whether somebody said to keep a resident since this was last asked.
    fn was_kept(&self, key: &EntityKey) -> bool {
        lock(&self.slots).get(key).is_some_and(|slot| slot.kept.swap(false, Ordering::AcqRel))
    }

    /// Starts a resident unless it is there.
    pub(super) fn wake(&self, node: &NodeInner, key: &EntityKey) {
        let mut slots = lock(&self.slots);
        if slots.get(key).is_none_or(Slot::is_dead) {
            let slot = Slot { stage: Stage::Starting(Vec::new()), depth: Arc::default(), kept: AtomicBool::new(false) };
            slots.insert(key.clone(), slot);
            let message = NodeMsg::StartResident { key: key.clone() };
            if node.supervisor().is_none_or(|supervisor| supervisor.send_message(message).is_err()) {
                slots.remove(key);
            }
        }
    }

    /// Asks a resident, started if needed.
    pub(super) async fn ask(&self, node: &NodeInner, key: &EntityKey, message: Bytes) -> Result<Bytes, ClusterError> {
        self.wake(node, key);
        let (sender, receiver) = oneshot::channel();
        {
            let mut slots = lock(&self.slots);
            let Some(slot) = slots.get_mut(key) else {
                return Err(ClusterError::Node("it is stopping".to_owned()));
            };
            let Some(place) = slot.place() else {
                return Err(ClusterError::Node(format!("{key} has too much to do")));
            };
            slot.send(ResidentMsg::Message(message, Some(sender), place));
        }
        match tokio::time::timeout(Duration::from_millis(ASK_MS), receiver).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(ClusterError::Node(format!("{key} could not start or failed"))),
            Err(_) => Err(ClusterError::Node(format!("{key} did not answer within {ASK_MS} ms"))),
        }
    }

    pub(super) fn started(&self, key: &EntityKey, actor: &ResidentRef) {
        let mut slots = lock(&self.slots);
        let Some(slot) = slots.get_mut(key) else {
            // Its shard moved away while it was being started.
            return actor.stop(None);
        };
        if let Stage::Starting(waiting) = &mut slot.stage {
            for message in std::iter::once(ResidentMsg::Begin).chain(std::mem::take(waiting)) {
                // A dead actor drops the message and with it its reply.
                drop(actor.send_message(message));
            }
            slot.stage = Stage::Live(actor.clone());
        }
    }

    pub(super) fn failed_to_start(&self, key: &EntityKey) {
        lock(&self.slots).remove(key);
    }

    /// The actor ended.
    pub(super) fn gone(&self, key: &EntityKey, actor: ActorId) {
        let mut slots = lock(&self.slots);
        if slots.get(key).is_some_and(|slot| slot.is(actor)) {
            slots.remove(key);
        }
    }

    /// The resident leaves, unless a message is on its way.
    fn leave(&self, key: &EntityKey, actor: ActorId) -> bool {
        let mut slots = lock(&self.slots);
        match slots.get(key) {
            Some(slot) if slot.is(actor) && slot.depth.load(Ordering::Acquire) > 0 => false,
            Some(slot) if slot.is(actor) => {
                slots.remove(key);
                true
            }
            Some(_) | None => true,
        }
    }
}

impl Slot {
    fn place(&self) -> Option<Waiting> {
        let place = Waiting(self.depth.clone());
        (self.depth.fetch_add(1, Ordering::AcqRel) < MAX_WAITING).then_some(place)
    }

    fn send(&mut self, message: ResidentMsg) {
        match &mut self.stage {
            Stage::Starting(waiting) => waiting.push(message),
            Stage::Live(actor) => drop(actor.send_message(message)),
        }
    }

    fn is(&self, actor: ActorId) -> bool {
        match &self.stage {
            Stage::Starting(_) => false,
            Stage::Live(live) => live.get_id() == actor,
        }
    }

    fn is_dead(&self) -> bool {
        match &self.stage {
            Stage::Starting(_) => false,
            Stage::Live(live) => {
                matches!(live.get_status(), ractor::ActorStatus::Stopping | ractor::ActorStatus::Stopped)
            }
        }
    }
}

impl NodeInner {
    /// Spawns a resident's actor under the top of the tree.
    pub(super) async fn spawn_resident(
        self: &Arc<Self>,
        key: &EntityKey,
        supervisor: ActorCell,
    ) -> Option<ResidentRef> {
        let kind = self.registry().residents.get(&*key.kind)?.clone();
        let nth = self.residents().generations.fetch_add(1, Ordering::Relaxed);
        let epoch = (self.epoch(self.shard_of(key)) << GENERATION_BITS) | nth;
        kind.spawn(self.clone(), key.clone(), epoch, supervisor).await
    }
}

/// A resident kind, seen from the host.
pub(crate) trait ResidentKind: Send + Sync {
    fn spawn(
        &self,
        node: Arc<NodeInner>,
        key: EntityKey,
        epoch: u64,
        supervisor: ActorCell,
    ) -> BoxFuture<'static, Option<ResidentRef>>;
}

/// A resident kind with its type.
pub(crate) struct ResidentOf<R: Resident> {
    env: Arc<R::Env>,
}

impl<R: Resident> ResidentOf<R> {
    pub(crate) fn new(env: Arc<R::Env>) -> Self {
        Self { env }
    }
}

impl<R: Resident> ResidentKind for ResidentOf<R> {
    fn spawn(
        &self,
        node: Arc<NodeInner>,
        key: EntityKey,
        epoch: u64,
        supervisor: ActorCell,
    ) -> BoxFuture<'static, Option<ResidentRef>> {
        let state =
            ResidentState::<R> { env: self.env.clone(), node, key, epoch, resident: None, used: Instant::now() };
        Box::pin(async move {
            match Actor::spawn_linked(None, ResidentActor::<R>(PhantomData), state, supervisor).await {
                Ok((actor, _)) => Some(actor),
                Err(error) => {
                    tracing::error!(%error, "a resident could not be spawned");
                    None
                }
            }
        })
    }
}

struct ResidentActor<R>(PhantomData<fn() -> R>);

struct ResidentState<R: Resident> {
    env: Arc<R::Env>,
    node: Arc<NodeInner>,
    key: EntityKey,
    epoch: u64,
    resident: Option<Box<R>>,
    used: Instant,
}

impl<R: Resident> Actor for ResidentActor<R> {
    type Msg = ResidentMsg;
    type State = ResidentState<R>;
    type Arguments = ResidentState<R>;

    async fn pre_start(
        &self,
        _myself: ActorRef<ResidentMsg>,
        state: ResidentState<R>,
    ) -> Result<ResidentState<R>, ActorProcessingErr> {
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<ResidentMsg>,
        message: ResidentMsg,
        state: &mut ResidentState<R>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ResidentMsg::Begin => {
                let client = Client::new(state.node.clone());
                match R::start(state.env.clone(), client, state.key.clone(), state.epoch).await {
                    Ok(resident) => {
                        state.resident = Some(Box::new(resident));
                        state.used = Instant::now();
                        myself.send_after(Duration::from_millis(R::TICK_MS), || ResidentMsg::Tick);
                    }
                    // Its messages are dropped with it, so who asks learns that it could not start.
                    Err(error) => return Err(error.into()),
                }
            }
            ResidentMsg::Message(message, reply, place) => {
                if let Some(resident) = &mut state.resident {
                    let answer = resident.handle(message).await;
                    state.used = Instant::now();
                    if let Some(reply) = reply {
                        // Nobody waits any more: the asker's deadline passed.
                        drop(reply.send(answer));
                    }
                }
                drop(place);
            }
            ResidentMsg::Tick => {
                let now_ms = state.node.now_ms();
                let frames = match &mut state.resident {
                    Some(resident) => resident.tick(now_ms).await,
                    None => Vec::new(),
                };
                for bytes in frames {
                    state.node.hub().publish(&state.key, Watch::Frame { bytes });
                }
                let idle_after = Duration::from_millis(u64::try_from(R::IDLE_AFTER_MS).unwrap_or(0));
                if state.node.residents().was_kept(&state.key) || state.node.hub().is_watched(&state.key) {
                    state.used = Instant::now();
                }
                if state.used.elapsed() >= idle_after && state.node.residents().leave(&state.key, myself.get_id()) {
                    myself.stop(None);
                } else {
                    myself.send_after(Duration::from_millis(R::TICK_MS), || ResidentMsg::Tick);
                }
            }
        }
        Ok(())
    }
}
