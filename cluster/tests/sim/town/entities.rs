//! The entities of a node: their activations, and what these ask for.

use std::collections::BTreeMap;
use std::sync::Arc;

use colloquy_cluster::EntityKey;
use colloquy_cluster::core::activation::{Activation, Gone, Input, Mutation, Output, Start, WakeRow};
use colloquy_cluster::core::router::shard_of;
use colloquy_cluster::frame::{Answer, Source};

use super::{Act, Alive, Asker, Defect, Event, Happening, Run, SHARDS, StoreOp, Town};
use crate::ledger::{Command, Ledger, RunJob};

impl Town {
    pub(super) fn activate(&mut self, run: Run, key: &EntityKey) -> Option<Act> {
        let act = self.next_act;
        self.next_act += 1;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.random.next().to_be_bytes());
        let mutation = if self.defect == Defect::AckBeforeAppend { Mutation::AckBeforeAppend } else { Mutation::None };
        let shard = shard_of(key, SHARDS);
        let process = self.process(run)?;
        let epoch = process.holdings.epoch(shard)?;
        let wake_row = process.known_wake.remove(key).unwrap_or(WakeRow::Absent);
        let start = Start { key: key.clone(), shard, epoch, seed, wake_row, mutation };
        let machine = Activation::new(Arc::new(Ledger::default()), start);
        process.acts.insert(act, Alive { key: key.clone(), machine, tickets: BTreeMap::new() });
        process.current.insert(key.clone(), act);
        Some(act)
    }

    /// An entity with work left is brought into memory, if it lives here.
    pub(super) fn boot(&mut self, run: Run, key: &EntityKey) {
        let shard = shard_of(key, SHARDS);
        let Some(process) = self.process(run) else { return };
        if !process.serving.contains_key(&shard) || process.current.contains_key(key) {
            return;
        }
        if !process.known_wake.contains_key(key) {
            return;
        }
        if let Some(act) = self.activate(run, key) {
            self.input(run, act, Input::Tick);
        }
    }

    pub(super) fn input(&mut self, run: Run, act: Act, input: Input) {
        let now_ms = self.now_ms;
        let mut out = Vec::new();
        let Some(alive) = self.process(run).and_then(|process| process.acts.get_mut(&act)) else { return };
        alive.machine.on(now_ms, input, &mut out);
        for output in out {
            self.output(run, act, output);
        }
    }

    fn request(&mut self, run: Run, act: Act, key: EntityKey, op: StoreOp) {
        let Some(alive) = self.process(run).and_then(|process| process.acts.get(&act)) else { return };
        let epoch = alive.machine.epoch();
        let ms = if self.fails(5) { self.random.below(3_000) } else { self.random.below(20) };
        self.after(ms, Event::Store { by: run, act, key, epoch, op });
    }

    pub(super) fn store_op(&mut self, by: Run, act: Act, key: &EntityKey, epoch: u64, op: StoreOp) {
        // A dead node's request may still reach the store; its answer reaches nobody.
        let calm = self.calm();
        let running = self.process(by).map(|process| {
            let here = process.running.get(key).into_iter().flatten().cloned();
            let there = process.elsewhere.get(key).into_iter().flatten();
            here.chain(there.map(|(id, attempt, _)| (id.clone(), *attempt))).collect::<Vec<_>>()
        });
        let running = running.unwrap_or_default();
        let (input, late) = self.store.perform(&mut self.random, calm, key, epoch, running, op);
        if let Some((ms, apply)) = late {
            self.after(ms, Event::StoreLate(apply));
        }
        let back = self.random.below(20);
        self.tell(by, back, Happening::Input(act, input));
    }

    fn output(&mut self, run: Run, act: Act, output: Output<RunJob>) {
        let Some(process) = self.process(run) else { return };
        let Some(alive) = process.acts.get_mut(&act) else { return };
        let key = alive.key.clone();
        match output {
            Output::Claim { even_if_new } => self.request(run, act, key, StoreOp::Claim { even_if_new }),
            Output::Load { also_after } => self.request(run, act, key, StoreOp::Load(also_after)),
            Output::Append { claim, expected_seq, append } => {
                self.request(run, act, key, StoreOp::Append(claim, expected_seq, append));
            }
            Output::WriteRows(rows) => self.request(run, act, key, StoreOp::Rows(rows)),
            Output::SaveSnapshot(snapshot) => self.request(run, act, key, StoreOp::Snapshot(snapshot)),
            Output::PutWake(wake) => self.request(run, act, key, StoreOp::PutWake(wake)),
            Output::RemoveWake => self.request(run, act, key, StoreOp::RemoveWake),
            Output::Reply { ticket, answer } => match alive.tickets.remove(&ticket) {
                Some((from, correlation)) => {
                    // Past the lease somebody else may have changed what we say.
                    let leased = self.is_leased(run) || !matches!(answer, Answer::Ok(_));
                    self.answer(run, from, correlation, if leased { answer } else { Answer::Unknown });
                }
                None if self.defect == Defect::None => {
                    self.failures.push(format!("ticket {ticket} was answered twice"));
                }
                None => {}
            },
            Output::Deliver { pos, message } => {
                let source = Some(Source { entity: key, pos });
                let command: Command = serde_json::from_slice(&message.command).expect("a ledger's command");
                self.ask_through(run, &message.to, &command, None, source, Asker::Outbox { act, pos });
            }
            Output::StartEffect { id, attempt, effect } => {
                let running = process.running.entry(key.clone()).or_default();
                if !running.contains(&(id.clone(), attempt)) {
                    running.push((id, attempt));
                    // Some tasks die without a word: the deadline brings another attempt.
                    if self.calm() || self.random.chance(80) {
                        let ms = 10 + self.random.below(6_000);
                        self.tell(run, ms, Happening::Effect { key, job: effect });
                    }
                }
            }
            Output::CancelEffect { id, attempt } => {
                if let Some(running) = process.running.get_mut(&key) {
                    running.retain(|known| *known != (id.clone(), attempt));
                }
                if let Some(elsewhere) = process.elsewhere.get_mut(&key) {
                    elsewhere.retain(|(known, of, _)| (known, *of) != (&id, attempt));
                }
            }
            Output::Alarm { at_ms } => {
                let ms = (at_ms - self.now_ms).max(1) as u64;
                self.tell(run, ms, Happening::Input(act, Input::Tick));
            }
            Output::Retire { gone, wake_row } => self.retire(run, act, &key, gone, wake_row),
            Output::Tell(_) | Output::Watched { .. } | Output::Note(_) => {}
        }
    }

    fn retire(&mut self, run: Run, act: Act, key: &EntityKey, gone: Gone, wake_row: WakeRow) {
        let now_ms = self.now_ms;
        let Some(process) = self.process(run) else { return };
        let Some(alive) = process.acts.remove(&act) else { return };
        if process.current.get(key) == Some(&act) {
            process.current.remove(key);
        }
        let left = alive.tickets.len();
        let due_ms = match (gone, wake_row) {
            (Gone::Retired, WakeRow::Absent) | (Gone::Drained | Gone::Fenced | Gone::Erased, _) => None,
            (Gone::Retired, WakeRow::At(due_ms)) => Some(due_ms),
            (Gone::Retired, WakeRow::Unsure) => Some(now_ms + 5_000),
        };
        if let Some(due_ms) = due_ms {
            process.known_wake.insert(key.clone(), wake_row);
            let ms = (due_ms - now_ms).max(1) as u64;
            self.tell(run, ms, Happening::Boot(key.clone()));
        }
        if left > 0 {
            self.failures.push(format!("{key} left with {left} commands unanswered"));
        }
    }

    /// An effect's task brings its result home, from the node it runs on, wherever the entity lives now.
    pub(super) fn effect(&mut self, run: Run, key: EntityKey, job: RunJob) {
        let id = format!("job:{}", job.op);
        let again = self.fails(30);
        let Some(running) = self.process(run).and_then(|process| process.running.get_mut(&key)) else { return };
        let Some(at) = running.iter().position(|known| *known == (id.clone(), job.attempt)) else { return };
        if again {
            self.tell(run, 5_000, Happening::Effect { key: key.clone(), job: job.clone() });
        } else {
            running.swap_remove(at);
        }
        let command = Command::FinishJob { op: job.op, attempt: job.attempt };
        let idempotency = Some(format!("fx:{id}:{}", job.attempt));
        self.ask_through(run, &key, &command, idempotency, None, Asker::Nobody);
    }
}
