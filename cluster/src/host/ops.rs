//! What an operator may ask of the cluster, through any node: who is there, who owns what, and what is to move. Orders are written to the lease
//! tables, so they outlive the node that took them; the steward carries them out.

use colloquy_store::leases::{NodeState, ShardState};
use colloquy_store::{EntityKey, StoreError};
use futures::{StreamExt, TryStreamExt};

pub use super::control::Load;
pub use crate::core::steward::Refusal;
pub use crate::core::view::{Move, MoveCause, MoveState};

use super::NodeInner;
use super::members::{read_view, write_fact};
use super::node::Node;
use crate::core::router::shard_of;
use crate::core::steward;
use crate::core::view::{FactChange, View};

/// How often an order is tried while others change the same.
const TRIES: usize = 8;

/// Moves written at once.
const MOVES_AT_ONCE: usize = 16;

/// Why an order was not taken.
#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    /// It names what is not there, or contradicts something.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed; nothing or a part of it happened, and the order may be repeated.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// Others kept changing the same; the order may be repeated.
    #[error("others are changing the same, try again")]
    Crowded,
}

impl OpsError {
    /// Whether it names something that is not there.
    pub fn is_unknown(&self) -> bool {
        match self {
            Self::Refused(Refusal::UnknownNode(_) | Refusal::UnknownShard(_) | Refusal::UnknownMove(_)) => true,
            Self::Refused(Refusal::Contradiction(_)) | Self::Store(_) | Self::Crowded => false,
        }
    }

    /// Whether it contradicts how things are, or another order.
    pub fn is_contradiction(&self) -> bool {
        match self {
            Self::Refused(Refusal::Contradiction(_)) | Self::Crowded => true,
            Self::Refused(Refusal::UnknownNode(_) | Refusal::UnknownShard(_) | Refusal::UnknownMove(_))
            | Self::Store(_) => false,
        }
    }
}

/// A node, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its id.
    pub id: String,
    /// Its incarnation.
    pub incarnation: u64,
    /// Its last beat.
    pub beat: u64,
    /// Whether it lives.
    pub alive: bool,
    /// Where other nodes reach it.
    pub address: String,
    /// How many shards it owns.
    pub shards: usize,
    /// Whether it gets nothing new.
    pub cordoned: bool,
    /// Whether it is being emptied.
    pub draining: bool,
    /// Whether it plans the moves.
    pub steward: bool,
    /// Whether it is the node that answers.
    pub here: bool,
}

/// A shard, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardInfo {
    /// Its number.
    pub shard: u32,
    /// Its owner's id; empty before the first.
    pub owner: String,
    /// Whether its owner lives.
    pub owned: bool,
    /// Under which epoch.
    pub epoch: u64,
    /// Whether it is being handed over.
    pub draining: bool,
    /// To whom.
    pub target: Option<String>,
    /// Whether it stays where it is.
    pub pinned: bool,
    /// Entities in memory, if this node serves it.
    pub resident: Option<usize>,
}

/// Where an entity lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its shard.
    pub shard: u32,
    /// The shard's owner, if there is a living one.
    pub owner: Option<String>,
    /// Under which epoch.
    pub epoch: u64,
}

/// How shards are to be spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebalance {
    /// At most this many moves.
    pub max_moves: usize,
    /// Only say what would move.
    pub dry_run: bool,
}

impl Default for Rebalance {
    fn default() -> Self {
        Self { max_moves: usize::MAX, dry_run: false }
    }
}

impl Node {
    /// All nodes that ever joined.
    pub async fn nodes(&self) -> Result<Vec<NodeInfo>, OpsError> {
        let (view, rows) = read_view(self.inner().store(), self.inner().shards()).await?;
        let info = |row: colloquy_store::leases::NodeRow| NodeInfo {
            shards: view.rows.values().filter(|shard| shard.owner == row.id).count(),
            cordoned: view.orders.cordoned.contains(&row.id),
            draining: view.orders.draining.get(&row.id) == Some(&row.incarnation),
            steward: view
                .orders
                .steward
                .as_ref()
                .is_some_and(|steward| steward.node == row.id && steward.incarnation == row.incarnation),
            here: row.id == self.inner().id(),
            alive: row.state == NodeState::Alive,
            id: row.id,
            incarnation: row.incarnation,
            beat: row.beat,
            address: row.address,
        };
        Ok(rows.into_iter().map(info).collect())
    }

    /// What a node carries now; `None` when it does not say within a second.
    pub async fn load_of(&self, node: &str) -> Option<Load> {
        self.inner().load_of(node).await
    }

    /// How long ago another node's beat was seen to move, milliseconds; `None` for this node and those not seen yet.
    pub fn beat_age_ms(&self, node: &str) -> Option<u64> {
        self.inner().beat_age_ms(node)
    }

    /// All shards.
    pub async fn shards(&self) -> Result<Vec<ShardInfo>, OpsError> {
        let view = self.inner().fresh_view().await?;
        let info = |shard| {
            let row = view.rows.get(&shard);
            ShardInfo {
                shard,
                owner: row.map(|row| row.owner.clone()).unwrap_or_default(),
                owned: !view.is_orphan(shard),
                epoch: row.map_or(0, |row| row.epoch),
                draining: row.is_some_and(|row| row.state == ShardState::Draining),
                target: row.and_then(|row| row.target.clone()),
                pinned: view.orders.pinned.contains(&shard),
                resident: self.inner().serves(shard).then(|| self.inner().directory().len_of(shard)),
            }
        };
        Ok((0..view.shards).map(info).collect())
    }

    /// Where an entity lives, whether it exists or not.
    pub async fn place(&self, key: &EntityKey) -> Result<Place, OpsError> {
        let shard = shard_of(key, self.inner().shards());
        let row = self.inner().store().leases.shard(shard).await?;
        // A single node looks for no others, and knows of itself without looking.
        let lives = |owner: &String| owner == self.inner().id() || self.inner().view().is_alive(owner);
        let owner = row.as_ref().map(|row| row.owner.clone()).filter(lives);
        Ok(Place { shard, owner, epoch: row.map_or(0, |row| row.epoch) })
    }

    /// Moves of the last hours, by id.
    pub async fn moves(&self) -> Result<Vec<Move>, OpsError> {
        Ok(self.inner().fresh_view().await?.orders.moves.into_values().collect())
    }

    /// One move.
    pub async fn find_move(&self, id: &str) -> Result<Move, OpsError> {
        let mut moves = self.inner().fresh_view().await?.orders.moves;
        moves.remove(id).ok_or_else(|| Refusal::UnknownMove(id.to_owned()).into())
    }

    /// Has a shard moved. One that is already on its way there is the answer.
    pub async fn move_shard(&self, shard: u32, to: &str) -> Result<Move, OpsError> {
        let inner = self.inner();
        for _ in 0..TRIES {
            let view = inner.fresh_view().await?;
            let planned = steward::plan_move(&view, shard, to, inner.now_ms())?;
            let known = view.orders.moves.get(&planned.id) == Some(&planned);
            if known || write_fact(inner.store(), &view.orders.put_move(&planned)).await? {
                self.tell_steward(&view);
                return Ok(planned);
            }
        }
        Err(OpsError::Crowded)
    }

    /// Calls a move off. One that runs is taken back by its owner unless the new one has it already.
    pub async fn cancel_move(&self, id: &str) -> Result<Move, OpsError> {
        let inner = self.inner();
        for _ in 0..TRIES {
            let view = inner.fresh_view().await?;
            let (cancelled, swap) = steward::plan_cancel(&view, id, inner.now_ms())?;
            if let Some((expected, new)) = swap {
                if !inner.store().leases.swap(Some(&expected), &new).await? {
                    continue;
                }
                inner.tell_to_look(&new.owner);
            }
            if write_fact(inner.store(), &view.orders.put_move(&cancelled)).await? {
                return Ok(cancelled);
            }
        }
        Err(OpsError::Crowded)
    }

    /// Has everything moved away from a node. It lasts until the node is started again or [`Node::undrain`]ed.
    pub async fn drain(&self, node: &str) -> Result<Vec<Move>, OpsError> {
        let inner = self.inner();
        self.order(|view| {
            let incarnation = steward::check_drain(view, node)?;
            Ok(view.orders.drain(node, Some(incarnation)))
        })
        .await?;
        let view = inner.fresh_view().await?;
        let planned = steward::plan_drain(&view, node, inner.now_ms());
        self.write_moves(&view, planned).await
    }

    /// Lets a node have shards again, and calls off what has not begun of its drain.
    pub async fn undrain(&self, node: &str) -> Result<(), OpsError> {
        self.order(|view| {
            known(view, node)?;
            if !view.orders.draining.contains_key(node) {
                return Err(Refusal::Contradiction(format!("node {node} is not being emptied")));
            }
            Ok(view.orders.drain(node, None))
        })
        .await?;
        let inner = self.inner();
        let view = inner.fresh_view().await?;
        let waiting = view.orders.moves.values().filter(|planned| {
            planned.from == node && planned.cause == MoveCause::Drain && planned.state == MoveState::Waiting
        });
        for planned in waiting {
            let ended_ms = inner.now_ms();
            let detail = Some("the node is no longer emptied".to_owned());
            let cancelled = Move { state: MoveState::Cancelled, ended_ms, detail, ..planned.clone() };
            // One that began meanwhile goes on.
            write_fact(inner.store(), &view.orders.put_move(&cancelled)).await?;
        }
        Ok(())
    }

    /// Gives a node nothing new; what it has stays.
    pub async fn cordon(&self, node: &str) -> Result<(), OpsError> {
        self.order(|view| {
            known(view, node)?;
            Ok(view.orders.cordon(node, true))
        })
        .await
    }

    /// Lets a node have shards again.
    pub async fn uncordon(&self, node: &str) -> Result<(), OpsError> {
        self.order(|view| {
            known(view, node)?;
            Ok(view.orders.cordon(node, false))
        })
        .await
    }

    /// Keeps a shard where it is, unless its owner dies.
    pub async fn pin(&self, shard: u32) -> Result<(), OpsError> {
        self.order(|view| {
            if shard >= view.shards {
                return Err(Refusal::UnknownShard(shard));
            }
            let contradiction = |text: String| Err(Refusal::Contradiction(text));
            if let Some(active) = view.orders.active_move(shard) {
                return contradiction(format!("shard {shard} is moving to {}", active.to));
            }
            let owner = view.rows.get(&shard).map(|row| row.owner.as_str()).unwrap_or_default();
            if view.orders.draining.contains_key(owner) && !view.is_usable(owner) {
                return contradiction(format!("node {owner} is being emptied"));
            }
            Ok(view.orders.pin(shard, true))
        })
        .await
    }

    /// Lets a shard move again.
    pub async fn unpin(&self, shard: u32) -> Result<(), OpsError> {
        self.order(|view| {
            if shard >= view.shards {
                return Err(Refusal::UnknownShard(shard));
            }
            Ok(view.orders.pin(shard, false))
        })
        .await
    }

    /// Spreads the shards evenly, or says what would move.
    pub async fn rebalance(&self, how: Rebalance) -> Result<Vec<Move>, OpsError> {
        let view = self.inner().fresh_view().await?;
        let planned = steward::plan_balance(&view, how.max_moves, self.inner().now_ms());
        if how.dry_run { Ok(planned) } else { self.write_moves(&view, planned).await }
    }

    /// Starts no planned move any more; those that run go on.
    pub async fn pause(&self) -> Result<(), OpsError> {
        self.order(|view| Ok(view.orders.pause(true))).await
    }

    /// Lets planned moves start again.
    pub async fn resume(&self) -> Result<(), OpsError> {
        self.order(|view| Ok(view.orders.pause(false))).await
    }

    /// Whether planned moves are paused.
    pub async fn is_paused(&self) -> Result<bool, OpsError> {
        Ok(self.inner().fresh_view().await?.orders.paused)
    }

    async fn order(&self, plan: impl Fn(&View) -> Result<FactChange, Refusal>) -> Result<(), OpsError> {
        for _ in 0..TRIES {
            let view = self.inner().fresh_view().await?;
            let change = plan(&view)?;
            if change.expected == change.new || write_fact(self.inner().store(), &change).await? {
                self.tell_steward(&view);
                return Ok(());
            }
        }
        Err(OpsError::Crowded)
    }

    /// Writes planned moves; those that somebody else planned meanwhile are left out.
    async fn write_moves(&self, view: &View, planned: Vec<Move>) -> Result<Vec<Move>, OpsError> {
        let store = self.inner().store();
        let written: Vec<Option<Move>> = futures::stream::iter(planned)
            .map(|planned| async move {
                let written = write_fact(store, &view.orders.put_move(&planned)).await?;
                Ok::<_, StoreError>(written.then_some(planned))
            })
            .buffered(MOVES_AT_ONCE)
            .try_collect()
            .await?;
        self.tell_steward(view);
        Ok(written.into_iter().flatten().collect())
    }

    fn tell_steward(&self, view: &View) {
        match &view.orders.steward {
            Some(steward) if steward.node != self.inner().id() => self.inner().tell_to_look(&steward.node),
            Some(_) | None => self.inner().look_soon(),
        }
    }
}

impl NodeInner {
    async fn fresh_view(&self) -> Result<View, StoreError> {
        Ok(read_view(self.store(), self.shards()).await?.0)
    }
}

fn known(view: &View, node: &str) -> Result<(), Refusal> {
    if view.members.contains_key(node) { Ok(()) } else { Err(Refusal::UnknownNode(node.to_owned())) }
}
