//! Effect tasks. They belong to the node, not to an activation: an entity that leaves memory and comes back finds them running, and one whose
//! shard moved away finds them running on the node it came from, until they end or that node is dead.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use colloquy_store::EntityKey;
use futures::FutureExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::NodeInner;
use super::config::Limits;
use super::inner::lock;
use super::registry::EffectJob;
use crate::client::Client;
use crate::core::view::Incarnation;
use crate::effect::EffectHandle;
use crate::entity::EffectId;
use crate::telemetry;

/// How long a cancelled task may go on before it is dropped: time to close a provider's stream politely.
const CANCEL_GRACE: Duration = Duration::from_secs(10);

struct Running {
    id: EffectId,
    attempt: u32,
    cancel: CancellationToken,
}

/// An attempt that runs on another node, of an entity that lives here now.
struct Elsewhere {
    id: EffectId,
    attempt: u32,
    node: String,
}

/// What is known of other nodes' tasks.
#[derive(Default)]
struct Others {
    attempts: HashMap<EntityKey, Vec<Elsewhere>>,
    /// The newest incarnation of each node that is known to be dead: its answers may arrive after the news of its death.
    dead: HashMap<String, u64>,
}

/// Attempts by entity.
pub(super) type Attempts = Vec<(EntityKey, Vec<(EffectId, u32)>)>;

/// The tasks of a node.
pub(super) struct Effects {
    running: Mutex<HashMap<EntityKey, Vec<Running>>>,
    elsewhere: Mutex<Others>,
    turns: Arc<Semaphore>,
    all: CancellationToken,
}

impl Effects {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            running: Mutex::default(),
            elsewhere: Mutex::default(),
            turns: Arc::new(Semaphore::new(limits.effects)),
            all: CancellationToken::new(),
        }
    }

    /// How many tasks there are, running or waiting for their turn.
    pub(super) fn len(&self) -> usize {
        lock(&self.running).values().map(Vec::len).sum()
    }

    /// The attempts of an entity that run, here or on another node, and are still wanted.
    pub(super) fn running(&self, key: &EntityKey) -> Vec<(EffectId, u32)> {
        let running = lock(&self.running);
        let wanted = running.get(key).into_iter().flatten().filter(|task| !task.cancel.is_cancelled());
        let here: Vec<(EffectId, u32)> = wanted.map(|task| (task.id.clone(), task.attempt)).collect();
        drop(running);
        let elsewhere = lock(&self.elsewhere);
        let there = elsewhere.attempts.get(key).into_iter().flatten().map(|task| (task.id.clone(), task.attempt));
        here.into_iter().chain(there).collect()
    }

    /// The attempts that run here for entities that `wanted` picks.
    pub(super) fn running_here(&self, wanted: impl Fn(&EntityKey) -> bool) -> Attempts {
        let running = lock(&self.running);
        let entities = running.iter().filter(|(key, _)| wanted(key));
        let attempts = |tasks: &Vec<Running>| {
            let wanted = tasks.iter().filter(|task| !task.cancel.is_cancelled());
            wanted.map(|task| (task.id.clone(), task.attempt)).collect()
        };
        entities.map(|(key, tasks)| (key.clone(), attempts(tasks))).collect()
    }

    /// Another node said that it runs these for entities that live here now. What a dead node said is not believed: nobody would say again that it
    /// ended.
    pub(super) fn run_elsewhere(&self, on: &Incarnation, attempts: Attempts) {
        let mut elsewhere = lock(&self.elsewhere);
        if elsewhere.dead.get(&on.node).is_some_and(|dead| *dead >= on.incarnation) {
            return;
        }
        for (key, attempts) in attempts {
            let tasks = elsewhere.attempts.entry(key).or_default();
            for (id, attempt) in attempts {
                if !tasks.iter().any(|task| task.id == id && task.attempt == attempt) {
                    tasks.push(Elsewhere { id, attempt, node: on.node.clone() });
                }
            }
        }
    }

    /// A node is dead, and with it what it ran for our entities.
    pub(super) fn died_with(&self, of: &Incarnation) -> Attempts {
        let mut elsewhere = lock(&self.elsewhere);
        let dead = elsewhere.dead.entry(of.node.clone()).or_default();
        *dead = of.incarnation.max(*dead);
        let mut died = Vec::new();
        elsewhere.attempts.retain(|key, tasks| {
            let (lost, left): (Vec<_>, Vec<_>) = tasks.drain(..).partition(|task| task.node == of.node);
            *tasks = left;
            if !lost.is_empty() {
                died.push((key.clone(), lost.into_iter().map(|task| (task.id, task.attempt)).collect()));
            }
            !tasks.is_empty()
        });
        died
    }

    /// Entities that `gone` picks live elsewhere now: what runs for them on other nodes is not ours to know.
    pub(super) fn forget_elsewhere(&self, gone: impl Fn(&EntityKey) -> bool) {
        lock(&self.elsewhere).attempts.retain(|key, _| !gone(key));
    }

    /// Runs an attempt in a task, unless it already does or the node is stopping.
    pub(super) fn start(
        &self,
        node: &Arc<NodeInner>,
        kind: &'static str,
        key: &EntityKey,
        id: EffectId,
        attempt: u32,
        job: EffectJob,
    ) {
        if self.all.is_cancelled() {
            return;
        }
        let cancel = self.all.child_token();
        {
            let mut running = lock(&self.running);
            let tasks = running.entry(key.clone()).or_default();
            if tasks.iter().any(|task| task.id == id && task.attempt == attempt && !task.cancel.is_cancelled()) {
                return;
            }
            tasks.push(Running { id: id.clone(), attempt, cancel: cancel.clone() });
        }
        metrics::gauge!(telemetry::EFFECTS).increment(1);
        let handle = EffectHandle::new(key.clone(), id, attempt, cancel.clone(), Client::new(node.clone()));
        let (node, key, turns) = (node.clone(), key.clone(), self.turns.clone());
        tokio::spawn(async move {
            let started = Instant::now();
            let outcome = run(job, handle, &cancel, &turns).await;
            if outcome == "panicked" {
                tracing::error!(entity = %key, "an effect's task panicked; its deadline or the next recovery decides");
            }
            metrics::histogram!(telemetry::EFFECT_SECONDS, "kind" => kind, "outcome" => outcome)
                .record(started.elapsed().as_secs_f64());
            metrics::gauge!(telemetry::EFFECTS).decrement(1);
            // Marks this very task, so that a later one of the same name stays.
            cancel.cancel();
            node.effects().forget_ended(&key);
        });
    }

    /// An attempt is no longer wanted. If it runs on another node, that one is to be told.
    pub(super) fn cancel(&self, key: &EntityKey, id: &str, attempt: u32) -> Option<String> {
        let running = lock(&self.running);
        for task in running.get(key).into_iter().flatten().filter(|task| task.id == id && task.attempt == attempt) {
            task.cancel.cancel();
        }
        drop(running);
        let mut elsewhere = lock(&self.elsewhere);
        let tasks = elsewhere.attempts.get_mut(key)?;
        let at = tasks.iter().position(|task| task.id == id && task.attempt == attempt)?;
        let node = tasks.swap_remove(at).node;
        if tasks.is_empty() {
            elsewhere.attempts.remove(key);
        }
        Some(node)
    }

    /// The node stops: nothing is wanted any more, and nothing new starts.
    pub(super) fn cancel_all(&self) {
        self.all.cancel();
    }

    fn forget_ended(&self, key: &EntityKey) {
        let mut running = lock(&self.running);
        if let Some(tasks) = running.get_mut(key) {
            tasks.retain(|task| !task.cancel.is_cancelled());
            if tasks.is_empty() {
                running.remove(key);
            }
        }
    }
}

async fn run(job: EffectJob, handle: EffectHandle, cancel: &CancellationToken, turns: &Semaphore) -> &'static str {
    let turn = tokio::select! {
        turn = turns.acquire() => turn,
        () = cancel.cancelled() => return "cancelled",
    };
    let given_up = async {
        cancel.cancelled().await;
        tokio::time::sleep(CANCEL_GRACE).await;
    };
    let work = AssertUnwindSafe(async move { job(handle).await }).catch_unwind();
    let outcome = tokio::select! {
        done = work => match done {
            Ok(()) if cancel.is_cancelled() => "cancelled",
            Ok(()) => "done",
            Err(_) => "panicked",
        },
        () = given_up => "cancelled",
    };
    drop(turn);
    outcome
}
