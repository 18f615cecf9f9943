//! Lease tables in memory that fail the way real ones do: no answer although it was done, no answer and never done, done much later.

use std::collections::BTreeMap;

use colloquy_cluster::core::view::{FactChange, Orders, View};
use colloquy_store::leases::{Fact, NodeRow, NodeState, ShardRow};

use crate::random::Random;

/// A conditional write.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Beat { node: String, incarnation: u64 },
    Bury { node: String, incarnation: u64, beat: u64 },
    Swap { expected: Option<ShardRow>, new: ShardRow },
    Fact(FactChange),
}

/// The tables.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) nodes: BTreeMap<String, NodeRow>,
    pub(crate) shards: BTreeMap<u32, ShardRow>,
    facts: BTreeMap<String, String>,
}

impl Tables {
    /// Does it; whether the condition held.
    pub(crate) fn apply(&mut self, write: &Write) -> bool {
        match write {
            Write::Beat { node, incarnation } => match self.nodes.get_mut(node) {
                Some(row) if row.incarnation == *incarnation && row.state == NodeState::Alive => {
                    row.beat += 1;
                    true
                }
                Some(_) | None => false,
            },
            Write::Bury { node, incarnation, beat } => match self.nodes.get_mut(node) {
                Some(row) if row.incarnation == *incarnation && row.beat == *beat => {
                    row.state = NodeState::Dead;
                    true
                }
                Some(_) | None => false,
            },
            Write::Swap { expected, new } => {
                let holds = self.shards.get(&new.shard) == expected.as_ref();
                if holds {
                    self.shards.insert(new.shard, new.clone());
                }
                holds
            }
            Write::Fact(change) => {
                let holds = self.facts.get(&change.name) == change.expected.as_ref();
                match (&change.new, holds) {
                    (Some(value), true) => drop(self.facts.insert(change.name.clone(), value.clone())),
                    (None, true) => drop(self.facts.remove(&change.name)),
                    (_, false) => {}
                }
                holds
            }
        }
    }

    /// A new incarnation, unless the one before lives.
    pub(crate) fn join(&mut self, node: &str) -> Option<u64> {
        let before = self.nodes.get(node);
        if before.is_some_and(|row| row.state == NodeState::Alive) {
            return None;
        }
        let incarnation = before.map_or(1, |row| row.incarnation + 1);
        let row =
            NodeRow { id: node.to_owned(), incarnation, beat: 0, state: NodeState::Alive, address: String::new() };
        self.nodes.insert(node.to_owned(), row);
        Some(incarnation)
    }

    pub(crate) fn rows(&self) -> Vec<ShardRow> {
        self.shards.values().cloned().collect()
    }

    /// The rest of a look that read these shards before.
    pub(crate) fn view(&self, shards: u32, rows: Vec<ShardRow>) -> (View, Vec<NodeRow>) {
        let nodes: Vec<NodeRow> = self.nodes.values().cloned().collect();
        let fact = |(name, value): (&String, &String)| Fact { name: name.clone(), value: value.clone() };
        let facts: Vec<Fact> = self.facts.iter().map(fact).collect();
        (View::new(shards, rows, &nodes, Orders::read(&facts)), nodes)
    }
}

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done and answered.
    Answered,
    /// Done, and nobody learns it.
    Unheard,
    /// Never done, and nobody learns it.
    Lost,
    /// Done so much later, and nobody learns it.
    Late(u64),
}

impl Outcome {
    pub(crate) fn draw(random: &mut Random, calm: bool) -> Self {
        match if calm { 100 } else { random.below(100) } {
            0..4 => Self::Unheard,
            4..8 => Self::Lost,
            8..14 => Self::Late(100 + random.below(12_000)),
            _ => Self::Answered,
        }
    }
}
