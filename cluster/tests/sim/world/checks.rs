//! What must hold while the world lives and when it is at rest.

use std::collections::{BTreeMap, BTreeSet};

use colloquy_cluster::EntityKey;
use colloquy_cluster::entity::Entity;
use colloquy_cluster::record::fold;

use super::{ENTITIES, OPS_PER_CLIENT, World};
use crate::ledger::{Ledger, key};

impl World {
    /// What a query shows is in the journal when it is shown.
    pub(super) fn check_shown(&mut self, key: &EntityKey, shown: &[u64]) {
        let durable = match fold::<Ledger>(key, &self.store.records(key), None) {
            Ok(folded) => folded.state.applied,
            Err(error) => {
                return self.failures.push(format!("{key} cannot be folded: {error}"));
            }
        };
        if let Some(ghost) = shown.iter().find(|op| !durable.contains(op)) {
            self.failures.push(format!("a query showed {ghost}, which is not durable in {key}"));
        }
    }

    pub(super) fn check_at_rest(&mut self) {
        if !self.failures.is_empty() {
            return;
        }
        for (number, client) in self.clients.iter().enumerate() {
            if client.done < OPS_PER_CLIENT {
                let op = client.op.as_ref().map(|op| format!("{:?} to {} since {}", op.command, op.to, op.asked_ms));
                self.failures.push(format!("client {number} never got an answer: {op:?}"));
                return;
            }
        }
        let mut sent: BTreeMap<(EntityKey, u64), usize> = BTreeMap::new();
        let mut states = BTreeMap::new();
        for number in 0..ENTITIES {
            let key = key(&format!("e{number}"));
            let records = self.store.records(&key);
            match fold::<Ledger>(&key, &records, None) {
                Ok(folded) => {
                    for record in &records {
                        let text = String::from_utf8_lossy(&record.bytes).into_owned();
                        let value: serde_json::Value = serde_json::from_str(&text).expect("folded before");
                        if let Some(event) = value["e"].get("Sent") {
                            let to: EntityKey = serde_json::from_value(event["to"].clone()).expect("a key");
                            *sent.entry((to, event["op"].as_u64().expect("a number"))).or_default() += 1;
                        }
                    }
                    states.insert(key, folded);
                }
                Err(error) => {
                    self.failures.push(format!("{key} cannot be folded: {error}"));
                    return;
                }
            }
        }
        for (key, folded) in &states {
            self.check_entity(key, &folded.state, folded.seq);
        }
        for ((to, op), times) in sent {
            let received = states
                .get(&to)
                .map_or(0, |folded| folded.state.applied.iter().filter(|applied| **applied == op).count());
            if times != 1 || received != 1 {
                self.failures.push(format!("transfer {op} was sent {times} times and received {received} times"));
            }
        }
    }

    pub(super) fn check_entity(&mut self, key: &EntityKey, state: &crate::ledger::State, seq: u64) {
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
        // A client asks for one thing after the other, so what it was acknowledged is in the journal in that order.
        for client in &self.clients {
            let acked = client.acked.iter().filter(|(of, _)| of == key);
            let places: Vec<_> = acked.map(|(_, op)| state.applied.iter().position(|applied| applied == op)).collect();
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
        let rows = Ledger::default().rows(key, state, seq);
        for row in rows {
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
