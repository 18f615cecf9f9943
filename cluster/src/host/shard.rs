//! The supervision tree: node → shard → entity. No supervisor ends with a child.

use std::collections::HashMap;
use std::sync::Arc;

use colloquy_store::EntityKey;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::NodeInner;
use super::entity_actor::{EntityActor, EntityArgs};
use super::resident::ResidentMsg;
use crate::core::activation::{Mutation, Start, WakeRow};

/// How soon an entity whose actor died is looked at again, milliseconds: it may have work left.
const AFTER_DEATH_MS: i64 = 1_000;

/// What the top of the tree is sent.
pub(super) enum NodeMsg {
    /// Spawn an entity's actor, and its shard's supervisor if there is none yet.
    Activate { shard: u32, key: EntityKey },
    /// Spawn a resident's actor.
    StartResident { key: EntityKey },
}

impl ractor::Message for NodeMsg {}

/// The top of the tree.
pub(super) struct NodeSupervisor;

pub(super) struct NodeState {
    node: Arc<NodeInner>,
    shards: HashMap<ActorId, u32>,
    residents: HashMap<ActorId, EntityKey>,
}

impl Actor for NodeSupervisor {
    type Msg = NodeMsg;
    type State = NodeState;
    type Arguments = Arc<NodeInner>;

    async fn pre_start(
        &self,
        _myself: ActorRef<NodeMsg>,
        node: Arc<NodeInner>,
    ) -> Result<NodeState, ActorProcessingErr> {
        Ok(NodeState { node, shards: HashMap::new(), residents: HashMap::new() })
    }

    async fn handle(
        &self,
        myself: ActorRef<NodeMsg>,
        message: NodeMsg,
        state: &mut NodeState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            NodeMsg::Activate { shard, key } => {
                let Some(supervisor) = state.shard(&myself, shard).await else {
                    state.node.directory().failed_to_start(&key);
                    return Ok(());
                };
                if supervisor.send_message(ShardMsg { key: key.clone() }).is_err() {
                    state.node.directory().failed_to_start(&key);
                }
            }
            NodeMsg::StartResident { key } => {
                let spawned = state.node.spawn_resident(&key, myself.get_cell()).await;
                if let Some(actor) = spawned {
                    state.residents.insert(actor.get_id(), key.clone());
                    state.node.residents().started(&key, &actor);
                } else {
                    state.node.residents().failed_to_start(&key);
                }
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<NodeMsg>,
        event: SupervisionEvent,
        state: &mut NodeState,
    ) -> Result<(), ActorProcessingErr> {
        if let Some((actor, failure)) = ended(&event) {
            if let Some(shard) = state.shards.remove(&actor)
                && state.node.forget_shard(shard, Some(actor)).is_some()
            {
                tracing::error!(shard, failure, "a shard supervisor ended");
            }
            if let Some(key) = state.residents.remove(&actor) {
                state.node.residents().gone(&key, actor);
                if let Some(failure) = failure {
                    tracing::error!(resident = %key, failure, "a resident failed");
                }
            }
        }
        Ok(())
    }
}

impl NodeState {
    async fn shard(&mut self, myself: &ActorRef<NodeMsg>, shard: u32) -> Option<ActorRef<ShardMsg>> {
        if let Some(supervisor) = self.node.shard_supervisor(shard) {
            return Some(supervisor);
        }
        let args = (self.node.clone(), shard);
        match Actor::spawn_linked(None, ShardSupervisor, args, myself.get_cell()).await {
            Ok((supervisor, _)) => {
                self.shards.insert(supervisor.get_id(), shard);
                self.node.know_shard(shard, supervisor.clone());
                Some(supervisor)
            }
            Err(error) => {
                tracing::error!(shard, %error, "a shard supervisor could not be spawned");
                None
            }
        }
    }
}

/// What a shard's supervisor is sent: spawn this entity's actor.
pub(super) struct ShardMsg {
    pub(super) key: EntityKey,
}

impl ractor::Message for ShardMsg {}

/// The supervisor of one shard's entities.
pub(super) struct ShardSupervisor;

pub(super) struct ShardState {
    node: Arc<NodeInner>,
    shard: u32,
    entities: HashMap<ActorId, EntityKey>,
}

impl Actor for ShardSupervisor {
    type Msg = ShardMsg;
    type State = ShardState;
    type Arguments = (Arc<NodeInner>, u32);

    async fn pre_start(
        &self,
        _myself: ActorRef<ShardMsg>,
        (node, shard): (Arc<NodeInner>, u32),
    ) -> Result<ShardState, ActorProcessingErr> {
        Ok(ShardState { node, shard, entities: HashMap::new() })
    }

    async fn handle(
        &self,
        myself: ActorRef<ShardMsg>,
        ShardMsg { key }: ShardMsg,
        state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        let node = &state.node;
        let Ok(kind) = node.kind(&key) else {
            node.directory().failed_to_start(&key);
            return Ok(());
        };
        let start = Start {
            key: key.clone(),
            shard: state.shard,
            epoch: node.epoch(state.shard),
            seed: rand::random(),
            wake_row: node.timers().take_wake(state.shard, &key),
            mutation: Mutation::None,
        };
        let wake_row = start.wake_row;
        let args = EntityArgs { node: node.clone(), kind, start };
        // The entity loads after its start, so this does not hold the shard up.
        match Actor::spawn_linked(None, EntityActor, args, myself.get_cell()).await {
            Ok((actor, _)) => {
                state.entities.insert(actor.get_id(), key.clone());
                state.node.directory().started(&key, &actor);
            }
            Err(error) => {
                tracing::error!(entity = %key, %error, "an entity could not be spawned");
                state.node.timers().leave_wake(state.shard, &key, wake_row, state.node.now_ms());
                state.node.directory().failed_to_start(&key);
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<ShardMsg>,
        event: SupervisionEvent,
        state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        if let Some((actor, failure)) = ended(&event)
            && let Some(key) = state.entities.remove(&actor)
            && state.node.directory().gone(&key, actor)
        {
            // It did not leave by itself, so what it had left to do is not known.
            let node = &state.node;
            tracing::error!(entity = %key, failure, "an entity's actor ended");
            node.timers().leave_wake(state.shard, &key, WakeRow::Unsure, node.now_ms() + AFTER_DEATH_MS);
        }
        Ok(())
    }
}

/// The child that ended, and why if it failed.
fn ended(event: &SupervisionEvent) -> Option<(ActorId, Option<String>)> {
    match event {
        SupervisionEvent::ActorTerminated(cell, _, _) => Some((cell.get_id(), None)),
        SupervisionEvent::ActorFailed(cell, error) => Some((cell.get_id(), Some(error.to_string()))),
        SupervisionEvent::ActorStarted(_)
        | SupervisionEvent::ProcessGroupChanged(_)
        | SupervisionEvent::PidLifecycleEvent(_) => None,
    }
}

/// A resident's actor as the tree sees it.
pub(super) type ResidentRef = ActorRef<ResidentMsg>;
