//! A world of ledgers, clients and faults in virtual time, and what must hold in it.

mod checks;
mod clients;
mod faults;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use colloquy_cluster::EntityKey;
use colloquy_cluster::core::activation::{Activation, Delivery, Gone, Input, Mutation, Output, Start, WakeRow};
use colloquy_cluster::frame::{Answer, Source};

use crate::journal::{Late, SimStore, StoreOp};
use crate::ledger::{Command, Ledger, RunJob};
use crate::random::Random;

const ENTITIES: u64 = 3;
const CLIENTS: usize = 5;
const OPS_PER_CLIENT: u64 = 14;
/// How long a client waits for an answer before it asks again, milliseconds.
const PATIENCE_MS: i64 = 20_000;
/// Faults stop then, so that everything must come to rest.
const CALM_AT_MS: i64 = 60_000;
/// The last boot, when clients have long been answered.
const LAST_BOOT_MS: i64 = 600_000;
/// By then everything must have.
const END_MS: i64 = 900_000;

/// What is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    None,
    Machine(Mutation),
    JournalIgnoresClaims,
}

type Act = u64;

enum Event {
    Input(Act, Input),
    Store(Act, EntityKey, StoreOp),
    Late(Late),
    Client(usize),
    Impatient(usize, u64),
    Again(usize, u64),
    Effect { key: EntityKey, job: RunJob },
    Crash,
    Reboot,
    Boot(EntityKey),
}

/// Who waits for a ticket.
enum Asker {
    Client { client: usize, nth: u64 },
    Outbox { act: Act, pos: u64 },
    Effect,
    Nobody,
}

struct Alive {
    key: EntityKey,
    machine: Activation<Ledger>,
    tickets: BTreeSet<u64>,
}

/// A client does one thing after the other and repeats itself until it is answered.
#[derive(Default)]
struct Client {
    /// The try under way; a higher one replaces it.
    nth: u64,
    op: Option<Op>,
    done: u64,
    acked: Vec<(EntityKey, u64)>,
}

#[derive(Clone)]
struct Op {
    id: u64,
    to: EntityKey,
    command: Command,
    asked_ms: i64,
    /// Without an idempotency key: never asked twice, since nobody could tell the second from the first.
    keyless: bool,
    /// What had been acknowledged for the entity when a query was asked.
    known: Vec<u64>,
}

pub(crate) struct World {
    random: Random,
    defect: Defect,
    now_ms: i64,
    queue: BTreeMap<(i64, u64), Event>,
    events: u64,
    store: SimStore,
    epoch: u64,
    acts: BTreeMap<Act, Alive>,
    current: BTreeMap<EntityKey, Act>,
    next_act: Act,
    known_wake: BTreeMap<EntityKey, WakeRow>,
    /// Entities whose actor died, so that nobody knows their wake row.
    unsure: BTreeSet<EntityKey>,
    running: BTreeMap<EntityKey, Vec<(String, u32)>>,
    clients: Vec<Client>,
    askers: BTreeMap<u64, Asker>,
    next_ticket: u64,
    next_op: u64,
    acked: BTreeMap<EntityKey, Vec<u64>>,
    failures: Vec<String>,
    pub(crate) commands: u64,
    pub(crate) crashes: u64,
}

impl World {
    pub(crate) fn new(seed: u64, defect: Defect) -> Self {
        let mut store = SimStore::default();
        store.ignores_claims = defect == Defect::JournalIgnoresClaims;
        let mut world = Self {
            random: Random::new(seed),
            defect,
            now_ms: 1_000,
            queue: BTreeMap::new(),
            events: 0,
            store,
            epoch: 1,
            acts: BTreeMap::new(),
            current: BTreeMap::new(),
            next_act: 1,
            known_wake: BTreeMap::new(),
            unsure: BTreeSet::new(),
            running: BTreeMap::new(),
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            askers: BTreeMap::new(),
            next_ticket: 1,
            next_op: 1,
            acked: BTreeMap::new(),
            failures: Vec::new(),
            commands: 0,
            crashes: 0,
        };
        for client in 0..CLIENTS {
            let at = world.random.below(500);
            world.after(at, Event::Client(client));
        }
        // In the end a last boot: what is left must be found through the wake list alone.
        world.after(LAST_BOOT_MS as u64, Event::Reboot);
        for _ in 0..world.random.below(6) {
            let at = world.random.below(CALM_AT_MS as u64);
            world.after(at, Event::Crash);
        }
        world
    }

    /// Lives until everything is at rest; what went wrong.
    pub(crate) fn run(mut self) -> Result<Self, String> {
        while let Some(((at_ms, _), event)) = self.queue.pop_first() {
            if at_ms > END_MS {
                break;
            }
            self.now_ms = at_ms;
            self.happen(event);
            if self.store.unfenced > 0 && self.defect == Defect::None {
                self.failures.push("an append took effect under an old claim".to_owned());
            }
            if !self.failures.is_empty() {
                break;
            }
        }
        self.check_at_rest();
        match self.failures.first() {
            Some(failure) => Err(failure.clone()),
            None => Ok(self),
        }
    }

    fn calm(&self) -> bool {
        self.now_ms >= CALM_AT_MS
    }

    fn after(&mut self, ms: u64, event: Event) {
        self.events += 1;
        self.queue.insert((self.now_ms + ms as i64, self.events), event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Input(act, input) => self.input(act, input),
            Event::Store(act, key, op) => self.store_op(act, &key, op),
            Event::Late(apply) => apply(&mut self.store),
            Event::Client(client) => self.client_acts(client),
            Event::Impatient(client, nth) => {
                let Client { nth: latest, op: Some(op), .. } = &self.clients[client] else {
                    return;
                };
                match (*latest == nth, op.keyless) {
                    (true, false) => self.ask(client),
                    (true, true) => self.next(client),
                    (false, _) => {}
                }
            }
            Event::Effect { key, job } => {
                let id = format!("job:{}", job.op);
                let calm = self.calm();
                let running = self.running.entry(key.clone()).or_default();
                let Some(at) = running.iter().position(|known| *known == (id.clone(), job.attempt)) else {
                    return;
                };
                let command = Command::FinishJob { op: job.op, attempt: job.attempt };
                let idempotency = format!("fx:{id}:{}", job.attempt);
                // The task tries until it is no longer running: answered tries are harmless repetitions.
                if self.random.chance(70) || calm {
                    running.swap_remove(at);
                } else {
                    self.after(5_000, Event::Effect { key: key.clone(), job });
                }
                self.send(&key, &command, Some(idempotency), None, Asker::Effect);
            }
            Event::Again(client, nth) => {
                if self.clients[client].nth == nth {
                    self.ask(client);
                }
            }
            Event::Crash => self.crash(),
            Event::Reboot => self.reboot(),
            Event::Boot(key) => {
                if !self.current.contains_key(&key) && self.store.wakes.contains_key(&key) {
                    let act = self.activate(&key);
                    self.input(act, Input::Tick);
                }
            }
        }
    }

    // --- activations ---

    fn activate(&mut self, key: &EntityKey) -> Act {
        let act = self.next_act;
        self.next_act += 1;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.random.next().to_be_bytes());
        let mutation = match self.defect {
            Defect::Machine(mutation) => mutation,
            Defect::None | Defect::JournalIgnoresClaims => Mutation::None,
        };
        let stored = || match self.store.wakes.get(key) {
            Some(wake) if wake.epoch < self.epoch => WakeRow::Unsure,
            Some(wake) => WakeRow::At(wake.due_ms),
            None => WakeRow::Absent,
        };
        let wake_row =
            if self.unsure.remove(key) { WakeRow::Unsure } else { self.known_wake.remove(key).unwrap_or_else(stored) };
        let start = Start { key: key.clone(), shard: 0, epoch: self.epoch, seed, wake_row, mutation };
        let machine = Activation::new(Arc::new(Ledger::default()), start);
        self.acts.insert(act, Alive { key: key.clone(), machine, tickets: BTreeSet::new() });
        self.current.insert(key.clone(), act);
        act
    }

    fn input(&mut self, act: Act, input: Input) {
        let Some(alive) = self.acts.get_mut(&act) else {
            return;
        };
        let mut out = Vec::new();
        alive.machine.on(self.now_ms, input, &mut out);
        for output in out {
            self.output(act, output);
        }
    }

    fn output(&mut self, act: Act, output: Output<RunJob>) {
        let Some(alive) = self.acts.get_mut(&act) else {
            return;
        };
        let key = alive.key.clone();
        match output {
            Output::Claim { even_if_new } => self.request(act, key, StoreOp::Claim { even_if_new }),
            Output::Load { also_after } => self.request(act, key, StoreOp::Load(also_after)),
            Output::Append { claim, expected_seq, append } => {
                self.request(act, key, StoreOp::Append(claim, expected_seq, append));
            }
            Output::WriteRows(rows) => self.request(act, key, StoreOp::Rows(rows)),
            Output::SaveSnapshot(snapshot) => self.request(act, key, StoreOp::Snapshot(snapshot)),
            Output::PutWake(wake) => self.request(act, key, StoreOp::PutWake(wake)),
            Output::RemoveWake => self.request(act, key, StoreOp::RemoveWake),
            Output::Reply { ticket, answer } => {
                if alive.tickets.remove(&ticket) {
                    // A zombie's lease has ended, or nobody could have taken over: its host lets no success out any more.
                    let leased = alive.machine.epoch() == self.epoch || self.current.get(&key) == Some(&act);
                    let answer = if leased || !matches!(answer, Answer::Ok(_)) { answer } else { Answer::Unknown };
                    self.answered(ticket, answer);
                } else if self.defect == Defect::None {
                    self.failures.push(format!("ticket {ticket} was answered twice"));
                }
            }
            Output::Deliver { pos, message } => {
                let source = Some(Source { entity: key, pos });
                let command = serde_json::from_slice(&message.command).expect("a ledger's command");
                if self.calm() || self.random.chance(85) {
                    self.send(&message.to, &command, None, source, Asker::Outbox { act, pos });
                } else {
                    self.after(10_000, Event::Input(act, Input::Delivered { pos, delivery: Delivery::Retry }));
                }
            }
            Output::StartEffect { id, attempt, effect } => {
                let running = self.running.entry(key.clone()).or_default();
                if !running.contains(&(id.clone(), attempt)) {
                    running.push((id, attempt));
                    // Some tasks die without a word: the deadline brings another attempt.
                    if self.calm() || self.random.chance(80) {
                        let ms = 10 + self.random.below(3_000);
                        self.after(ms, Event::Effect { key, job: effect });
                    }
                }
            }
            Output::CancelEffect { id, attempt } => {
                if let Some(running) = self.running.get_mut(&key) {
                    running.retain(|known| *known != (id.clone(), attempt));
                }
            }
            Output::Alarm { at_ms } => {
                let ms = (at_ms - self.now_ms).max(1) as u64;
                self.after(ms, Event::Input(act, Input::Tick));
            }
            Output::Retire { gone, wake_row } => {
                if !alive.tickets.is_empty() {
                    let left = alive.tickets.len();
                    self.failures.push(format!("{key} left with {left} commands unanswered"));
                }
                self.acts.remove(&act);
                if self.current.get(&key) == Some(&act) {
                    self.current.remove(&key);
                    match (gone, wake_row) {
                        (Gone::Retired, WakeRow::Absent) => {
                            self.known_wake.insert(key, WakeRow::Absent);
                        }
                        (Gone::Retired, row @ WakeRow::At(due_ms)) => {
                            self.known_wake.insert(key.clone(), row);
                            let ms = (due_ms - self.now_ms).max(1) as u64;
                            self.after(ms, Event::Boot(key));
                        }
                        (Gone::Retired | Gone::Drained | Gone::Fenced | Gone::Erased, _) => {
                            self.after(5_000, Event::Boot(key));
                        }
                    }
                }
            }
            Output::Tell(_) | Output::Watched { .. } | Output::Note(_) => {}
        }
    }

    /// A crash of a node (its effects die with it), of one activation, or a zombie: an activation that goes on although another one begins.
    fn crash(&mut self) {
        let keys: Vec<EntityKey> = self.current.keys().cloned().collect();
        let Some(key) = keys.get(self.random.below(keys.len().max(1) as u64) as usize).cloned() else {
            return;
        };
        self.crashes += 1;
        match self.random.below(5) {
            0 => self.reboot(),
            1 | 2 => {
                if let Some(act) = self.current.remove(&key) {
                    self.acts.remove(&act);
                }
                self.unsure.insert(key.clone());
                self.after(50, Event::Boot(key));
            }
            3 => {
                // The zombie stays and does not know.
                self.current.remove(&key);
                self.epoch += 1;
                self.unsure.insert(key.clone());
                self.after(50, Event::Boot(key));
            }
            _ => {
                let input = if self.random.chance(50) { Input::Passivate } else { Input::Drain };
                if let Some(act) = self.current.get(&key).copied() {
                    self.input(act, input);
                }
            }
        }
    }

    /// The whole node crashes: everything is gone, and the next one has a higher epoch and reads the wake list.
    fn reboot(&mut self) {
        self.acts.clear();
        self.current.clear();
        self.running.clear();
        self.known_wake.clear();
        self.unsure.clear();
        self.epoch += 1;
        let wakes: Vec<_> = self.store.wakes.values().cloned().collect();
        for wake in wakes {
            let ms = (wake.due_ms - self.now_ms).max(50) as u64;
            self.after(ms, Event::Boot(wake.key));
        }
    }
}
