//! Effect tasks. They belong to the node, not to an activation: an entity that leaves memory and comes back finds them running.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use colloquy_store::EntityKey;
use futures::FutureExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::NodeInner;
use super::config::Limits;
use super::registry::EffectJob;
use crate::client::Client;
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

/// The tasks of a node.
pub(super) struct Effects {
    running: Mutex<HashMap<EntityKey, Vec<Running>>>,
    turns: Arc<Semaphore>,
    all: CancellationToken,
}

impl Effects {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            running: Mutex::default(),
            turns: Arc::new(Semaphore::new(limits.effects)),
            all: CancellationToken::new(),
        }
    }

    /// How many tasks there are, running or waiting for their turn.
    pub(super) fn len(&self) -> usize {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).values().map(Vec::len).sum()
    }

    /// The attempts of an entity that run here and are still wanted.
    pub(super) fn running(&self, key: &EntityKey) -> Vec<(EffectId, u32)> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = running.get(key).into_iter().flatten().filter(|task| !task.cancel.is_cancelled());
        wanted.map(|task| (task.id.clone(), task.attempt)).collect()
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
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// An attempt is no longer wanted.
    pub(super) fn cancel(&self, key: &EntityKey, id: &str, attempt: u32) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        for task in running.get(key).into_iter().flatten().filter(|task| task.id == id && task.attempt == attempt) {
            task.cancel.cancel();
        }
    }

    /// The node stops: nothing is wanted any more, and nothing new starts.
    pub(super) fn cancel_all(&self) {
        self.all.cancel();
    }

    fn forget_ended(&self, key: &EntityKey) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
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
