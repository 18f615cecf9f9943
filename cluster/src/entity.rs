//! What an entity kind gives the runtime: a pure core, its projections, and how its effects are carried out.
//!
//! The runtime (activation, batching, output gate, timers, outbox, passivation) is the same for all kinds; see `core/`.

use std::sync::Arc;

use bytes::Bytes;
use colloquy_store::{EntityKey, rows::Row};
use serde::{Serialize, de::DeserializeOwned};

use crate::{client::Client, effect::EffectHandle};

/// The values `decide` may use besides state and command: clock, fresh randomness, position. Nothing ambient.
#[derive(Clone, Debug)]
pub struct Cx {
    /// The entity itself.
    pub key: EntityKey,
    /// Wall clock, Unix milliseconds. Never goes back between two decisions of one activation.
    pub now_ms: i64,
    /// Fresh randomness for ids: differs with every decision.
    pub seed: [u8; 32],
    /// The sequence number of the last applied event; the decision's first event gets `seq + 1`.
    pub seq: u64,
}

/// What a command leads to. No event means nothing changes and nothing is journaled.
#[derive(Clone, Debug)]
pub struct Decision<E, R> {
    /// Facts to journal, in order.
    pub events: Vec<E>,
    /// The answer, given once the facts are durable.
    pub reply: R,
}

/// A stable name of an unfinished effect within its entity, such as `answer:turn-7`.
pub type EffectId = String;

/// One unfinished effect, derived from state alone.
#[derive(Clone, Debug)]
pub struct Pending<F> {
    /// Its stable name. While it stays pending under this name and attempt, one task runs; when it is no longer pending, the task is cancelled.
    pub id: EffectId,
    /// Rises when the state machine decides to try again; results of older attempts are for `decide` to refuse.
    pub attempt: u32,
    /// What to do.
    pub effect: F,
}

/// A message to another entity, derived from a journaled event: delivered at least once, dropped by the receiver if it has seen it.
#[derive(Clone, Debug)]
pub struct Message {
    /// The receiver.
    pub to: EntityKey,
    /// Its command, encoded as its kind's `Command` (JSON).
    pub command: Bytes,
}

/// A journaled event with its place and time, as `apply` sees it.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// The event's sequence number.
    pub seq: u64,
    /// When it was decided, Unix milliseconds.
    pub at_ms: i64,
}

/// One kind of sharded, journaled entity.
///
/// `State`, `Command`, `Event`, `Reply` and `Rejection` are JSON on the wire and in the journal. Every function but [`Entity::run`] is pure.
pub trait Entity: Send + Sync + Sized + 'static {
    /// The kind's name in keys, metrics and the journal.
    const KIND: &'static str;
    /// Version of `State`'s shape: a snapshot of another version is ignored and the journal folded anew.
    const STATE_VERSION: u32;
    /// Version of `Event`'s shape written now; older ones go through [`Entity::upgrade`].
    const EVENT_VERSION: u32;
    /// Whether events and snapshots are sealed with the entity's own data key, so that erasing destroys them.
    const PERSONAL: bool;
    /// How long an entity without work stays in memory, milliseconds.
    const IDLE_AFTER_MS: i64 = 10 * 60 * 1000;
    /// A snapshot is written each time this many events were appended since the last one, and at passivation.
    const SNAPSHOT_EVERY: u64 = 100;

    /// The folded state.
    type State: Clone + Default + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What one may ask it to do (or to tell: a command that decides no event is a query).
    type Command: Serialize + DeserializeOwned + Send + 'static;
    /// What happened.
    type Event: Clone + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// The answer to a command.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
    /// Why a command was refused, in words for the user.
    type Rejection: Serialize + DeserializeOwned + Send + 'static;
    /// Work outside the core.
    type Effect: Clone + Send + 'static;

    /// Decides a command. Never blocks, never does IO.
    fn decide(
        &self,
        state: &Self::State,
        cx: &Cx,
        command: Self::Command,
    ) -> Result<Decision<Self::Event, Self::Reply>, Self::Rejection>;

    /// Folds one event. Cannot fail.
    fn apply(state: &mut Self::State, event: &Self::Event, at: At);

    /// What is still to be done, from state alone.
    fn pending(state: &Self::State) -> Vec<Pending<Self::Effect>> {
        let _ = state;
        Vec::new()
    }

    /// When the entity wants to be woken, Unix milliseconds.
    fn timer(state: &Self::State) -> Option<i64> {
        let _ = state;
        None
    }

    /// The command a due timer turns into. It must move or clear [`Entity::timer`].
    fn on_timer(state: &Self::State, now_ms: i64) -> Option<Self::Command> {
        let _ = (state, now_ms);
        None
    }

    /// The command, if any, after an activation that follows a crash or a move with effects pending (their tasks are gone): usually raises attempts.
    fn on_recovered(state: &Self::State) -> Option<Self::Command> {
        let _ = state;
        None
    }

    /// The entity's list rows at this state: every row it has, each a whole contribution. Bodies are sealed by the runtime when [`Entity::PERSONAL`].
    /// Only rows whose content changed are written. A row that must vanish from its list is given with `body: None`, not left out.
    fn rows(&self, key: &EntityKey, state: &Self::State, seq: u64) -> Vec<Row> {
        let _ = (key, state, seq);
        Vec::new()
    }

    /// Whether the bodies of a list's rows are sealed when [`Entity::PERSONAL`]. Only what says nothing without a key of its own may stand in the
    /// clear, such as keyed hashes that many entities' rows are searched by: it is erased with its entity, but not made unreadable by the key.
    fn seals(list: &str) -> bool {
        let _ = list;
        true
    }

    /// Best-effort notes to residents (such as a tenant's live feed) after rows were written; lost ones must be recoverable from the rows.
    fn tell(&self, key: &EntityKey, rows: &[Row]) -> Vec<Message> {
        let _ = (key, rows);
        Vec::new()
    }

    /// Messages to other entities that one journaled event causes. `state` is the state right after the event; must be a pure function of both,
    /// because it is asked again when the journal is folded after a crash. At most 65,536 messages an event.
    fn outbox(&self, key: &EntityKey, state: &Self::State, event: &Self::Event, at: At) -> Vec<Message> {
        let _ = (key, state, event, at);
        Vec::new()
    }

    /// What watchers of the entity (sockets) get for one journaled event, after it is durable. `state` is the state right after the event.
    fn watched(&self, key: &EntityKey, state: &Self::State, event: &Self::Event, at: At) -> Option<Bytes> {
        let _ = (key, state, event, at);
        None
    }

    /// Brings an event of an older version to today's shape.
    fn upgrade(version: u32, event: serde_json::Value) -> Result<serde_json::Value, String> {
        if version == Self::EVENT_VERSION { Ok(event) } else { Err(format!("no upgrade from event version {version}")) }
    }

    /// Carries out one effect in a task of its own and brings the result back as a command through `handle`.
    fn run(self: Arc<Self>, effect: Self::Effect, handle: EffectHandle) -> impl Future<Output = ()> + Send;
}

/// An actor without a journal, addressed and sharded like an entity: a live board's feed, a presence list. Its state is rebuilt at activation.
///
/// It is started by a watcher or an ask, not by [`Entity::tell`]: a note to a resident nobody follows is dropped.
pub trait Resident: Send + Sized + 'static {
    /// The kind's name in keys.
    const KIND: &'static str;
    /// How long it stays without messages or watchers, milliseconds.
    const IDLE_AFTER_MS: i64;
    /// How often [`Resident::tick`] is called, milliseconds.
    const TICK_MS: u64;

    /// What all residents of the kind share, given at registration.
    type Env: Send + Sync + 'static;

    /// Starts it under `epoch`: its generation, higher at each start.
    fn start(
        env: Arc<Self::Env>,
        client: Client,
        key: EntityKey,
        epoch: u64,
    ) -> impl Future<Output = Result<Self, String>> + Send;
    /// Handles one message and answers it.
    fn handle(&mut self, message: Bytes) -> impl Future<Output = Bytes> + Send;
    /// Called at every tick; what it returns goes to the watchers.
    fn tick(&mut self, now_ms: i64) -> impl Future<Output = Vec<Bytes>> + Send;
}
