//! What a node knows of the cluster: members, shards and instructions, as last read from the lease tables.

use std::collections::{BTreeMap, BTreeSet};

use colloquy_store::leases::{Fact, NodeRow, NodeState, ShardRow, ShardState};
use serde::{Deserialize, Serialize};

/// The name of the fact that says who is steward.
pub const STEWARD: &str = "steward";

/// The name of the fact that stops all planned moves while it is there.
pub const PAUSED: &str = "paused";

/// The name of the fact that lists the members the shards were spread over.
pub const SPREAD: &str = "spread";

const CORDON: &str = "cordon/";
const DRAIN: &str = "drain/";
const PIN: &str = "pin/";
const MOVE: &str = "move/";

/// An incarnation of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incarnation {
    /// The node.
    pub node: String,
    /// Its incarnation.
    pub incarnation: u64,
}

/// Where a move stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveState {
    /// Waiting for its turn.
    Waiting,
    /// The owner finishes its work.
    Running,
    /// The new owner has it.
    Done,
    /// It stayed where it was, or went elsewhere.
    Failed,
    /// Somebody called it off.
    Cancelled,
}

impl MoveState {
    /// Whether the move is still to happen.
    pub fn is_active(self) -> bool {
        match self {
            Self::Waiting | Self::Running => true,
            Self::Done | Self::Failed | Self::Cancelled => false,
        }
    }
}

/// Who wanted a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveCause {
    /// An operator named shard and target.
    Asked,
    /// Its node is being emptied.
    Drain,
    /// The shards are being spread evenly.
    Balance,
}

/// One planned change of owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// `shard-epoch`: a shard moves at most once per epoch.
    pub id: String,
    /// The shard.
    pub shard: u32,
    /// Under which epoch it is owned before.
    pub epoch: u64,
    /// Its owner before.
    pub from: String,
    /// Its owner after.
    pub to: String,
    /// Where the move stands.
    pub state: MoveState,
    /// Who wanted it.
    pub cause: MoveCause,
    /// When it was asked for, Unix milliseconds.
    pub asked_ms: i64,
    /// When the owner was told, Unix milliseconds; 0 before.
    pub started_ms: i64,
    /// When it ended, Unix milliseconds; 0 before.
    pub ended_ms: i64,
    /// Why it failed.
    pub detail: Option<String>,
}

/// A fact to write if nobody else changed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactChange {
    /// The fact.
    pub name: String,
    /// What it must still be.
    pub expected: Option<String>,
    /// What it becomes; `None` removes it.
    pub new: Option<String>,
}

/// The facts, understood.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    /// Who is steward.
    pub steward: Option<Incarnation>,
    /// No planned move starts.
    pub paused: bool,
    /// Nodes that get nothing new.
    pub cordoned: BTreeSet<String>,
    /// Nodes that are being emptied, with the incarnation it was said of: a node that comes back is wanted again.
    pub draining: BTreeMap<String, u64>,
    /// Shards that stay where they are.
    pub pinned: BTreeSet<u32>,
    /// Moves, by id.
    pub moves: BTreeMap<String, Move>,
    /// The members that the shards were spread over.
    pub spread: BTreeMap<String, u64>,
    raw: BTreeMap<String, String>,
}

impl Orders {
    /// Understands facts. What a newer version wrote under other names or in another shape is left alone.
    pub fn read(facts: &[Fact]) -> Self {
        let mut orders = Self::default();
        for Fact { name, value } in facts {
            orders.raw.insert(name.clone(), value.clone());
            if name == STEWARD {
                orders.steward = serde_json::from_str(value).ok();
            } else if name == PAUSED {
                orders.paused = true;
            } else if name == SPREAD {
                orders.spread = serde_json::from_str(value).unwrap_or_default();
            } else if let Some(node) = name.strip_prefix(CORDON) {
                orders.cordoned.insert(node.to_owned());
            } else if let Some(node) = name.strip_prefix(DRAIN) {
                orders.draining.extend(value.parse().ok().map(|incarnation| (node.to_owned(), incarnation)));
            } else if let Some(shard) = name.strip_prefix(PIN) {
                orders.pinned.extend(shard.parse::<u32>().ok());
            } else if let Some(id) = name.strip_prefix(MOVE) {
                orders.moves.extend(serde_json::from_str(value).ok().map(|planned| (id.to_owned(), planned)));
            }
        }
        orders
    }

    /// The change that gives a fact a value, or takes it away.
    pub fn change(&self, name: &str, new: Option<String>) -> FactChange {
        FactChange { name: name.to_owned(), expected: self.raw.get(name).cloned(), new }
    }

    /// The change that makes a node steward.
    pub fn make_steward(&self, node: &Incarnation) -> FactChange {
        self.change(STEWARD, encode(node))
    }

    /// The change that remembers whom the shards were spread over.
    pub fn remember_spread(&self, members: &BTreeMap<String, u64>) -> FactChange {
        self.change(SPREAD, encode(members))
    }

    /// The change that stops planned moves, or lets them go on.
    pub fn pause(&self, paused: bool) -> FactChange {
        self.change(PAUSED, paused.then(|| "true".to_owned()))
    }

    /// The change that cordons a node, or uncordons it.
    pub fn cordon(&self, node: &str, cordoned: bool) -> FactChange {
        self.change(&format!("{CORDON}{node}"), cordoned.then(|| "true".to_owned()))
    }

    /// The change that has a node emptied, or no longer.
    pub fn drain(&self, node: &str, incarnation: Option<u64>) -> FactChange {
        self.change(&format!("{DRAIN}{node}"), incarnation.map(|incarnation| incarnation.to_string()))
    }

    /// The change that pins a shard, or unpins it.
    pub fn pin(&self, shard: u32, pinned: bool) -> FactChange {
        self.change(&format!("{PIN}{shard}"), pinned.then(|| "true".to_owned()))
    }

    /// The change that writes a move.
    pub fn put_move(&self, planned: &Move) -> FactChange {
        self.change(&format!("{MOVE}{}", planned.id), encode(planned))
    }

    /// The change that forgets a move.
    pub fn forget_move(&self, id: &str) -> FactChange {
        self.change(&format!("{MOVE}{id}"), None)
    }

    /// Moves still to happen, by shard.
    pub fn moves_by_shard(&self) -> BTreeMap<u32, &Move> {
        let active = self.moves.values().filter(|planned| planned.state.is_active());
        active.map(|planned| (planned.shard, planned)).collect()
    }

    /// The move of a shard that is still to happen.
    pub fn active_move(&self, shard: u32) -> Option<&Move> {
        self.moves.values().find(|planned| planned.shard == shard && planned.state.is_active())
    }
}

fn encode(value: &impl Serialize) -> Option<String> {
    // Plain structs of numbers and strings always encode.
    serde_json::to_string(value).ok()
}

/// One node as the others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its incarnation.
    pub incarnation: u64,
    /// Whether it may own shards.
    pub alive: bool,
    /// Whether it may be given shards.
    pub usable: bool,
    /// Where it is reached.
    pub address: String,
}

/// The cluster as last read: shards first, nodes after, so that a row of a dead node is never of a later incarnation.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// How many shards there are.
    pub shards: u32,
    /// Those that ever had an owner.
    pub rows: BTreeMap<u32, ShardRow>,
    /// The nodes.
    pub members: BTreeMap<String, Member>,
    /// The instructions.
    pub orders: Orders,
}

impl View {
    /// Puts together what was read, in this order: shards, nodes, facts.
    pub fn new(shards: u32, rows: Vec<ShardRow>, nodes: &[NodeRow], orders: Orders) -> Self {
        let member = |node: &NodeRow| {
            let alive = node.state == NodeState::Alive;
            let emptied = orders.draining.get(&node.id) == Some(&node.incarnation);
            let usable = alive && !emptied && !orders.cordoned.contains(&node.id);
            Member { incarnation: node.incarnation, alive, usable, address: node.address.clone() }
        };
        let members = nodes.iter().map(|node| (node.id.clone(), member(node))).collect();
        let rows = rows.into_iter().filter(|row| row.shard < shards).map(|row| (row.shard, row)).collect();
        Self { shards, rows, members, orders }
    }

    /// Whether a node lives.
    pub fn is_alive(&self, node: &str) -> bool {
        self.members.get(node).is_some_and(|member| member.alive)
    }

    /// Whether a node may be given shards.
    pub fn is_usable(&self, node: &str) -> bool {
        self.members.get(node).is_some_and(|member| member.usable)
    }

    /// Whether a shard has no living owner.
    pub fn is_orphan(&self, shard: u32) -> bool {
        self.rows.get(&shard).is_none_or(|row| !self.is_alive(&row.owner))
    }

    /// Who will own each shard once everything planned has happened; those without a living owner are left out.
    pub fn eventual_owners(&self) -> impl Iterator<Item = (&ShardRow, &str)> {
        let moves = self.orders.moves_by_shard();
        self.rows.values().filter_map(move |row| {
            let planned = moves.get(&row.shard).copied().filter(|planned| planned.epoch == row.epoch);
            let target = match row.state {
                ShardState::Draining => row.target.as_deref(),
                ShardState::Owned => planned.map(|planned| planned.to.as_str()),
            };
            let mut owners = target.into_iter().chain([row.owner.as_str()]);
            owners.find(|node| self.is_alive(node)).map(|owner| (row, owner))
        })
    }

    /// How many shards each node will have that may be given some.
    pub fn loads(&self) -> BTreeMap<String, usize> {
        let usable = self.members.iter().filter(|(_, member)| member.usable);
        let mut loads: BTreeMap<String, usize> = usable.map(|(id, _)| (id.clone(), 0)).collect();
        for (_, owner) in self.eventual_owners() {
            if let Some(load) = loads.get_mut(owner) {
                *load += 1;
            }
        }
        loads
    }

    /// Who should take each shard that has no living owner: the same answer on every node that sees the same. Whoever was to get it
    /// anyway, else who has least. When all are cordoned somebody has to.
    pub fn heirs(&self) -> Vec<(u32, String)> {
        let mut loads = self.loads();
        if loads.is_empty() {
            loads = self.members.iter().filter(|(_, member)| member.alive).map(|(id, _)| (id.clone(), 0)).collect();
        }
        let mut heirs = Vec::new();
        for shard in (0..self.shards).filter(|shard| self.is_orphan(*shard)) {
            let row = self.rows.get(&shard);
            let target = row.filter(|row| row.state == ShardState::Draining).and_then(|row| row.target.clone());
            let heir = match target.filter(|target| loads.contains_key(target)) {
                // It is counted there already.
                Some(target) => Some(target),
                None => {
                    let least = least_loaded(&loads, None);
                    if let Some(load) = least.as_ref().and_then(|least| loads.get_mut(least)) {
                        *load += 1;
                    }
                    least
                }
            };
            heirs.extend(heir.map(|heir| (shard, heir)));
        }
        heirs
    }
}

/// Who has least, the first by name among equals.
pub(super) fn least_loaded(loads: &BTreeMap<String, usize>, but: Option<&str>) -> Option<String> {
    let others = loads.iter().filter(|(id, _)| Some(id.as_str()) != but);
    others.min_by_key(|(id, load)| (**load, (*id).clone())).map(|(id, _)| id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, state: NodeState) -> NodeRow {
        NodeRow { id: id.to_owned(), incarnation: 1, beat: 0, state, address: String::new() }
    }

    fn row(shard: u32, owner: &str, target: Option<&str>) -> ShardRow {
        let state = if target.is_some() { ShardState::Draining } else { ShardState::Owned };
        ShardRow { shard, owner: owner.to_owned(), epoch: 1, state, target: target.map(str::to_owned) }
    }

    fn heirs(view: &View) -> Vec<(u32, &'static str)> {
        let known = ["a", "b", "c"];
        let name = |id: String| known.into_iter().find(|known| *known == id).expect("known");
        view.heirs().into_iter().map(|(shard, heir)| (shard, name(heir))).collect()
    }

    #[test]
    fn orphans_go_to_who_has_least_and_to_their_target() {
        let nodes = [node("a", NodeState::Alive), node("b", NodeState::Alive), node("c", NodeState::Dead)];
        let rows = vec![row(0, "a", None), row(1, "a", None), row(2, "c", Some("a")), row(3, "c", Some("c"))];
        let view = View::new(6, rows, &nodes, Orders::default());
        assert_eq!(heirs(&view), [(2, "a"), (3, "b"), (4, "b"), (5, "b")]);
    }

    #[test]
    fn cordoned_nodes_inherit_only_when_nobody_else_is_there() {
        let nodes = [node("a", NodeState::Alive), node("b", NodeState::Alive)];
        let cordon = |names: &[&str]| {
            let fact = |name: &&str| Fact { name: format!("cordon/{name}"), value: "true".to_owned() };
            Orders::read(&names.iter().map(fact).collect::<Vec<_>>())
        };
        assert_eq!(heirs(&View::new(2, vec![], &nodes, cordon(&["a"]))), [(0, "b"), (1, "b")]);
        assert_eq!(heirs(&View::new(2, vec![], &nodes, cordon(&["a", "b"]))), [(0, "a"), (1, "b")]);
    }

    #[test]
    fn facts_of_another_version_are_left_alone() {
        let fact = |name: &str, value: &str| Fact { name: name.to_owned(), value: value.to_owned() };
        let orders =
            Orders::read(&[fact("steward", "?"), fact("move/1-1", "{}"), fact("news", "1"), fact("pin/x", "")]);
        assert!(orders.steward.is_none() && orders.moves.is_empty() && orders.pinned.is_empty());
        let me = Incarnation { node: "a".to_owned(), incarnation: 1 };
        assert_eq!(orders.make_steward(&me).expected.as_deref(), Some("?"), "and replaced only as a whole");
    }
}
