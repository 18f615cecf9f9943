//! The entity kinds a node serves, with their types erased so that actors, router and store code are compiled once.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use colloquy_store::EntityKey;
use colloquy_store::journal::Record;
use futures::future::BoxFuture;

use super::resident::{ResidentKind, ResidentOf};
use crate::core::activation::{Activation, Input, Output, Start};
use crate::effect::EffectHandle;
use crate::entity::{At, Entity, Resident};
use crate::error::ClusterError;
use crate::record::{event_of, open};

/// An effect ready to run in a task.
pub(crate) type EffectJob = Box<dyn FnOnce(EffectHandle) -> BoxFuture<'static, ()> + Send>;

/// What a node knows of an entity beside its journal.
pub(crate) type Beside = Box<dyn Fn(&EntityKey) -> Option<Bytes> + Send + Sync>;

/// The kinds a node serves.
#[derive(Default)]
pub struct Registry {
    pub(crate) kinds: HashMap<&'static str, Arc<dyn Kind>>,
    pub(crate) residents: HashMap<&'static str, Arc<dyn ResidentKind>>,
    pub(crate) beside: Option<Beside>,
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entity kind; a second one of the same name replaces it.
    #[must_use]
    pub fn entity<E: Entity>(mut self, entity: E) -> Self {
        self.kinds.insert(E::KIND, Arc::new(KindOf { entity: Arc::new(entity) }));
        self
    }

    /// Adds a resident kind with what all its residents share.
    #[must_use]
    pub fn resident<R: Resident>(mut self, env: impl Into<Arc<R::Env>>) -> Self {
        self.residents.insert(R::KIND, Arc::new(ResidentOf::<R>::new(env.into())));
        self
    }

    /// Sets what this node answers to [`Client::beside`](crate::Client::beside), such as what an effect that runs here has shown so far. It is asked
    /// where frames arrive, so it looks into memory and never waits.
    #[must_use]
    pub fn beside(mut self, knows: impl Fn(&EntityKey) -> Option<Bytes> + Send + Sync + 'static) -> Self {
        self.beside = Some(Box::new(knows));
        self
    }
}

/// An entity kind, seen from the host.
pub(crate) trait Kind: Send + Sync {
    fn name(&self) -> &'static str;
    fn is_personal(&self) -> bool;
    fn seals(&self, list: &str) -> bool;
    fn activation(&self, start: Start) -> Box<dyn Machine>;
    fn watched(&self, key: &EntityKey, records: &[Record], after_seq: u64) -> Result<Vec<(u64, Bytes)>, ClusterError>;
}

/// An activation machine, seen from the host.
pub(crate) trait Machine: Send {
    fn on(&mut self, now_ms: i64, input: Input) -> Vec<Output<EffectJob>>;
}

struct KindOf<E> {
    entity: Arc<E>,
}

struct MachineOf<E: Entity> {
    entity: Arc<E>,
    activation: Activation<E>,
}

impl<E: Entity> Kind for KindOf<E> {
    fn name(&self) -> &'static str {
        E::KIND
    }

    fn is_personal(&self) -> bool {
        E::PERSONAL
    }

    fn seals(&self, list: &str) -> bool {
        E::seals(list)
    }

    fn activation(&self, start: Start) -> Box<dyn Machine> {
        let entity = self.entity.clone();
        Box::new(MachineOf { activation: Activation::new(entity.clone(), start), entity })
    }

    fn watched(&self, key: &EntityKey, records: &[Record], after_seq: u64) -> Result<Vec<(u64, Bytes)>, ClusterError> {
        let mut state = E::State::default();
        let mut seen = Vec::new();
        for record in records {
            let opened = open(key, record)?;
            let event = event_of::<E>(key, record.seq, &opened)?;
            let at = At { seq: record.seq, at_ms: opened.at };
            E::apply(&mut state, &event, at);
            if record.seq > after_seq
                && let Some(bytes) = self.entity.watched(key, &state, &event, at)
            {
                seen.push((record.seq, bytes));
            }
        }
        Ok(seen)
    }
}

impl<E: Entity> Machine for MachineOf<E> {
    fn on(&mut self, now_ms: i64, input: Input) -> Vec<Output<EffectJob>> {
        let mut out = Vec::new();
        self.activation.on(now_ms, input, &mut out);
        out.into_iter().map(|output| output.map_effect(|effect| job(&self.entity, effect))).collect()
    }
}

fn job<E: Entity>(entity: &Arc<E>, effect: E::Effect) -> EffectJob {
    let entity = entity.clone();
    Box::new(move |handle| Box::pin(E::run(entity, effect, handle)))
}
