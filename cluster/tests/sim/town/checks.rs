//! What must hold in the town while it lives and when it is at rest.

use std::collections::{BTreeMap, BTreeSet};

use colloquy_cluster::EntityKey;
use colloquy_cluster::entity::Entity;
use colloquy_cluster::record::fold;
use colloquy_store::leases::{NodeState, ShardState};

use super::clients::OPS_PER_CLIENT;
use super::{ENTITIES, NODES, SHARDS, Town};
use crate::ledger::{Ledger, State, key};

impl Town {
    /// What a query shows is in the journal when it is shown.
    pub(super) fn check_shown(&mut self, key: &EntityKey, shown: &[u64]) {
        match fold::<Ledger>(key, &self.store.records(key), None) {
            Ok(folded) => {
                if let Some(ghost) = shown.iter().find(|op| !folded.state.applied.contains(op)) {
                    self.failures.push(format!("a query showed {ghost}, which is not durable in {key}"));
                }
            }
            Err(error) => self.failures.push(format!("{key} cannot be folded: {error}")),
        }
    }

    pub(super) fn check_at_rest(&mut self) {
        if !self.failures.is_empty() {
            return;
        }
        for (number, client) in self.clients.iter().enumerate() {
            if client.done < OPS_PER_CLIENT {
                let since = client.op.as_ref().map(|op| (op.to.clone(), op.asked_ms));
                self.failures.push(format!("client {number} never got an answer: {since:?}"));
                return;
            }
        }
        self.check_owners();
        let mut sent: BTreeMap<(EntityKey, u64), usize> = BTreeMap::new();
        let mut states = BTreeMap::new();
        for number in 0..ENTITIES {
            let key = key(&format!("e{number}"));
            let records = self.store.records(&key);
            if !records.is_sorted_by_key(|record| record.epoch) {
                self.failures.push(format!("the epochs of {key} are interleaved"));
            }
            let folded = match fold::<Ledger>(&key, &records, None) {
                Ok(folded) => folded,
                Err(error) => return self.failures.push(format!("{key} cannot be folded: {error}")),
            };
            for record in &records {
                let value: serde_json::Value = serde_json::from_slice(&record.bytes).expect("folded before");
                if let Some(event) = value["e"].get("Sent") {
                    let to: EntityKey = serde_json::from_value(event["to"].clone()).expect("a key");
                    *sent.entry((to, event["op"].as_u64().expect("a number"))).or_default() += 1;
                }
            }
            self.check_entity(&key, &folded.state, folded.seq);
            states.insert(key, folded.state);
        }
        for ((to, op), times) in sent {
            let received =
                states.get(&to).map_or(0, |state| state.applied.iter().filter(|applied| **applied == op).count());
            if times != 1 || received != 1 {
                self.failures.push(format!("transfer {op} was sent {times} times and received {received} times"));
            }
        }
    }

    /// In the end all nodes live and every shard is served by who owns it in the tables.
    fn check_owners(&mut self) {
        let alive = self.tables.nodes.values().filter(|row| row.state == NodeState::Alive).count();
        if alive != NODES || self.nodes.iter().any(|node| node.process.is_none()) {
            self.failures.push(format!("{alive} nodes live"));
        }
        for shard in 0..SHARDS {
            let row = self.tables.shards.get(&shard);
            let serves = |node: &super::Node| {
                node.process
                    .as_ref()
                    .and_then(|process| process.serving.get(&shard).copied())
                    .map(|epoch| (node.id.clone(), epoch))
            };
            let serving: Vec<_> = self.nodes.iter().filter_map(serves).collect();
            let owned = row.filter(|row| row.state == ShardState::Owned).map(|row| (row.owner.clone(), row.epoch));
            if owned.iter().ne(&serving) {
                self.failures.push(format!("shard {shard} is {row:?} and served by {serving:?}"));
            }
        }
        for node in &self.nodes {
            let asked = node.process.iter().flat_map(|process| process.asked.values());
            if let Some(asked) = asked.into_iter().find(|asked| asked.deadline_ms + 20_000 < self.now_ms) {
                self.failures.push(format!("a frame of {:?} has no answer since {}", asked.asker, asked.asked_ms));
                return;
            }
        }
    }

    fn check_entity(&mut self, key: &EntityKey, state: &State, seq: u64) {
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        for op in &state.applied {
            *counts.entry(*op).or_default() += 1;
        }
        if let Some((op, times)) = counts.iter().find(|(_, times)| **times > 1) {
            self.failures.push(format!("{op} was applied {times} times to {key}"));
        }
        if let Some(lost) = self.acked.get(key).into_iter().flatten().find(|op| !counts.contains_key(op)) {
            self.failures.push(format!("acknowledged {lost} is lost from {key}"));
        }
        let place = |op: &u64| state.applied.iter().position(|applied| applied == op);
        // What a client asked for after the answer to something else comes after it.
        for client in &self.clients {
            let acked: BTreeSet<u64> = client.acked.iter().filter(|(of, _)| of == key).map(|(_, op)| *op).collect();
            let bursts =
                self.bursts.iter().filter(|(of, ops)| of == key && ops.first().is_some_and(|op| acked.contains(op)));
            let places: Vec<_> = bursts.flat_map(|(_, ops)| ops.iter().map(place)).collect();
            if !places.is_sorted() {
                self.failures.push(format!("{key} holds a client's commands in another order: {places:?}"));
            }
        }
        if !state.jobs.is_empty() {
            self.failures.push(format!("{key} has unfinished jobs {:?}", state.jobs));
        }
        let done: BTreeSet<_> = state.jobs_done.iter().collect();
        if done.len() != state.jobs_done.len() {
            self.failures.push(format!("{key} finished a job twice: {:?}", state.jobs_done));
        }
        if !state.reminders.is_empty() {
            self.failures.push(format!("{key} has reminders that never fired: {:?}", state.reminders));
        }
        for row in Ledger::default().rows(key, state, seq) {
            let stored = self.store.rows.get(&(row.list.clone(), row.id.clone()));
            let same = stored.is_some_and(|stored| stored.body == row.body && stored.numbers == row.numbers);
            if !same {
                self.failures.push(format!("the row of {key} is {stored:?}, not {row:?}"));
            }
        }
        if let Some(wake) = self.store.wakes.get(key) {
            self.failures.push(format!("{key} is at rest and still has the wake row {wake:?}"));
        }
    }
}
