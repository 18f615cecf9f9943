//! A town of nodes in virtual time: the real machines of several nodes over one failing store, one failing set of lease tables and a failing network.

mod checks;
mod clients;
mod entities;
mod frames;
mod nodes;
mod tables;

use std::collections::BTreeMap;

use colloquy_cluster::EntityKey;
use colloquy_cluster::core::activation::{Activation, Input, WakeRow};
use colloquy_cluster::core::lease::{Beat, Lease};
use colloquy_cluster::core::membership::Membership;
use colloquy_cluster::core::router::Router;
use colloquy_cluster::core::steward::plan_move;
use colloquy_cluster::core::view::{Incarnation, View};
use colloquy_cluster::core::{handoff, lease, steward};
use colloquy_cluster::frame::{Answer, Frame};
use colloquy_store::leases::{NodeRow, ShardRow, ShardState};
use colloquy_store::wake::Wake;

use self::clients::Client;
use self::tables::{Outcome, Tables, Write};
use crate::journal::{Late, SimStore, StoreOp};
use crate::ledger::{Command, Ledger, RunJob, key as ledger_key};
use crate::random::Random;

const NODES: usize = 3;
const SHARDS: u32 = 6;
const ENTITIES: u64 = 4;
/// Faults stop then.
const CALM_AT_MS: i64 = 40_000;
/// All nodes crash once more, when clients have long been answered: what is left must be found through the wake lists alone.
const LAST_CRASH_MS: i64 = 110_000;
/// How long before that crash every entity is given work once more, milliseconds: long enough to be acknowledged, not to be done.
const LAST_WORK_BEFORE_MS: u64 = 400;
/// By then everything must be at rest.
const END_MS: i64 = 190_000;
/// When a sender gives up on an answer, milliseconds: about when a transport ends a stalled session.
const SESSION_MS: u64 = 8_000;
/// When an operation of the store or the tables is given up, milliseconds.
const STORE_TIMEOUT_MS: u64 = 3_000;
/// The slowest and the fastest clock, in thousandths of real time. The margin allows for a fifth between two clocks.
const CLOCK_RATES: (u64, u64) = (900, 1_100);

/// What is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    None,
    /// Appends are taken whoever claims.
    NoClaimCheck,
    /// Answers go out before their append is acknowledged.
    AckBeforeAppend,
    /// A node is buried as soon as its lease would end if all clocks ran the same.
    NoLeaseMargin,
    /// A shard is taken over under the epoch it had.
    EpochNotRaised,
    /// Entities with work are to be brought into memory before their shard is served, once.
    WakesBeforeServing,
}

type Act = u64;

/// One life of a node's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    node: usize,
    nth: u64,
}

enum Event {
    /// Something happens to a process; a stopped one learns it late, a dead one never.
    At(Run, Happening),
    Frame {
        to: Run,
        from: Run,
        frame: Frame,
    },
    Store {
        by: Run,
        act: Act,
        key: EntityKey,
        epoch: u64,
        op: StoreOp,
    },
    StoreLate(Late),
    Table {
        by: Run,
        write: Write,
        then: Then,
    },
    TableLate(Write),
    ReadRest {
        by: Run,
        rows: Vec<ShardRow>,
    },
    Start(usize),
    Fault,
    LastCrash,
    LastWork,
    Client(usize),
    Again(usize, u64),
    Ask {
        through: Run,
        to: EntityKey,
        command: Command,
        idempotency_key: Option<String>,
        asker: Asker,
    },
    Impatient(usize, u64),
}

/// Who waits for a write to the tables.
enum Then {
    Beat {
        sent_ms: u64,
    },
    Buried(Incarnation),
    Swapped(u32),
    /// If it was done, this is written, too.
    Fact(Option<Box<Write>>),
}

enum Happening {
    LeaseTick,
    Beat { sent_ms: u64, beat: Beat },
    Look { by_itself: bool },
    Seen(Box<View>, Vec<NodeRow>),
    Buried(Incarnation, Option<bool>),
    Swapped(u32, Option<bool>),
    Open { shard: u32, epoch: u64 },
    Opened { shard: u32, epoch: u64 },
    StopLook { shard: u32, epoch: u64, nth: u32 },
    Answer { correlation: u64, answer: Answer },
    RouterTick,
    Input(Act, Input),
    Boot(EntityKey),
    Effect { key: EntityKey, job: RunJob },
}

/// Who waits for an answer.
#[derive(Clone, Debug)]
enum Asker {
    Client { client: usize, nth: u64, member: usize },
    Outbox { act: Act, pos: u64 },
    Nobody,
}

struct Asked {
    asker: Asker,
    deadline_ms: i64,
    asked_ms: i64,
}

struct Alive {
    key: EntityKey,
    machine: Activation<Ledger>,
    /// Whom to answer, by ticket.
    tickets: BTreeMap<u64, (Run, u64)>,
}

/// A node: its process, if one runs.
struct Node {
    id: String,
    nth: u64,
    rate: u64,
    started_ms: i64,
    paused_until_ms: i64,
    resumed_ms: i64,
    /// Cut off from the lease tables until then.
    deaf_until_ms: i64,
    /// The beat of the incarnation before, and since when it stands still (own clock).
    waits_for: Option<(u64, u64, u64)>,
    process: Option<Process>,
}

struct Process {
    me: Incarnation,
    lease: Lease,
    membership: Membership,
    holdings: handoff::Holdings,
    router: Router,
    next_correlation: u64,
    asked: BTreeMap<u64, Asked>,
    acts: BTreeMap<Act, Alive>,
    current: BTreeMap<EntityKey, Act>,
    known_wake: BTreeMap<EntityKey, WakeRow>,
    /// The wake lists of shards that are not served yet.
    expected: BTreeMap<u32, Vec<Wake>>,
    running: BTreeMap<EntityKey, Vec<(String, u32)>>,
    elsewhere: BTreeMap<EntityKey, Vec<(String, u32, String)>>,
    serving: BTreeMap<u32, u64>,
    parked: BTreeMap<u32, Vec<(Run, Frame)>>,
    looking: bool,
}

pub(crate) struct Town {
    random: Random,
    defect: Defect,
    now_ms: i64,
    queue: BTreeMap<(i64, u64), Event>,
    events: u64,
    store: SimStore,
    tables: Tables,
    nodes: Vec<Node>,
    next_act: Act,
    next_ticket: u64,
    next_op: u64,
    /// When the last frame of an entity on a link arrives: links keep the order.
    links: BTreeMap<(Run, Run, EntityKey), i64>,
    /// Who served a shard under an epoch.
    served: BTreeMap<(u32, u64), Run>,
    clients: Vec<Client>,
    acked: BTreeMap<EntityKey, Vec<u64>>,
    bursts: Vec<(EntityKey, Vec<u64>)>,
    failures: Vec<String>,
    pub(crate) commands: u64,
    pub(crate) moves: u64,
    pub(crate) deaths: u64,
}

impl Town {
    pub(crate) fn new(seed: u64, defect: Defect) -> Self {
        let mut store = SimStore::default();
        store.ignores_claims = defect == Defect::NoClaimCheck;
        let mut random = Random::new(seed ^ 0x70_77_6e);
        let node = |number: usize, rate| Node {
            id: format!("n{number}"),
            nth: 0,
            rate,
            started_ms: 0,
            paused_until_ms: 0,
            resumed_ms: 0,
            deaf_until_ms: 0,
            waits_for: None,
            process: None,
        };
        let (slowest, fastest) = CLOCK_RATES;
        // Half of the clocks are as bad as they may be.
        let mut rate = || match random.below(4) {
            0 => slowest,
            1 => fastest,
            _ => slowest + random.below(fastest - slowest),
        };
        let nodes = (0..NODES).map(|number| node(number, rate())).collect();
        let mut town = Self {
            random,
            defect,
            now_ms: 1_000,
            queue: BTreeMap::new(),
            events: 0,
            store,
            tables: Tables::default(),
            nodes,
            next_act: 1,
            next_ticket: 1,
            next_op: 1,
            links: BTreeMap::new(),
            served: BTreeMap::new(),
            clients: (0..clients::CLIENTS).map(|_| Client::default()).collect(),
            acked: BTreeMap::new(),
            bursts: Vec::new(),
            failures: Vec::new(),
            commands: 0,
            moves: 0,
            deaths: 0,
        };
        for node in 0..NODES {
            let at = town.random.below(2_000);
            town.after(at, Event::Start(node));
        }
        for client in 0..clients::CLIENTS {
            let at = town.random.below(3_000);
            town.after(at, Event::Client(client));
        }
        for _ in 0..4 + town.random.below(14) {
            let at = 2_000 + town.random.below(CALM_AT_MS as u64 - 4_000);
            town.after(at, Event::Fault);
        }
        town.after(LAST_CRASH_MS as u64 - LAST_WORK_BEFORE_MS, Event::LastWork);
        town.after(LAST_CRASH_MS as u64, Event::LastCrash);
        town
    }

    /// Lives until everything is at rest; what went wrong.
    pub(crate) fn run(mut self) -> Result<Self, String> {
        while let Some(((at_ms, order), event)) = self.queue.pop_first() {
            if at_ms > END_MS {
                break;
            }
            self.now_ms = at_ms;
            self.happen(order, event);
            if self.store.unfenced > 0 && self.defect == Defect::None {
                self.failures.push("an append took effect under an old claim".to_owned());
            }
            if !self.failures.is_empty() {
                break;
            }
        }
        self.check_at_rest();
        match self.failures.first() {
            Some(failure) => Err(format!("{failure} (at {} ms)", self.now_ms)),
            None => Ok(self),
        }
    }

    fn calm(&self) -> bool {
        self.now_ms >= CALM_AT_MS
    }

    fn fails(&mut self, percent: u64) -> bool {
        !self.calm() && self.random.chance(percent)
    }

    fn after(&mut self, ms: u64, event: Event) {
        self.events += 1;
        self.queue.insert((self.now_ms + ms as i64, self.events), event);
    }

    fn tell(&mut self, run: Run, ms: u64, happening: Happening) {
        self.after(ms, Event::At(run, happening));
    }

    /// The process of a run, if it still lives.
    fn process(&mut self, run: Run) -> Option<&mut Process> {
        let node = self.nodes.get_mut(run.node).filter(|node| node.nth == run.nth)?;
        node.process.as_mut()
    }

    fn run_of(&self, node: usize) -> Run {
        Run { node, nth: self.nodes[node].nth }
    }

    /// A node's own monotonic clock.
    fn mono(&self, node: usize) -> u64 {
        let node = &self.nodes[node];
        (self.now_ms - node.started_ms) as u64 * node.rate / 1_000
    }

    /// Real milliseconds until a node's clock shows a time.
    fn until_mono(&self, node: usize, at_ms: u64) -> u64 {
        at_ms.saturating_sub(self.mono(node)).saturating_mul(1_000) / self.nodes[node].rate + 1
    }

    fn is_leased(&self, run: Run) -> bool {
        let node = &self.nodes[run.node];
        let now_ms = self.mono(run.node);
        node.nth == run.nth && node.process.as_ref().is_some_and(|process| process.lease.is_valid(now_ms))
    }

    fn happen(&mut self, order: u64, event: Event) {
        let defer = |town: &mut Self, run: Run, event| {
            let until_ms = town.nodes[run.node].paused_until_ms;
            town.queue.insert((until_ms, order), event);
        };
        let paused = |town: &Self, run: Run| {
            let node = &town.nodes[run.node];
            node.nth == run.nth && node.paused_until_ms > town.now_ms
        };
        match event {
            Event::At(run, happening) if paused(self, run) => defer(self, run, Event::At(run, happening)),
            Event::Frame { to, from, frame } if paused(self, to) => defer(self, to, Event::Frame { to, from, frame }),
            Event::At(run, happening) => {
                if self.process(run).is_some() {
                    self.happen_at(run, happening);
                }
            }
            Event::Frame { to, from, frame } => self.arrive(to, from, frame),
            Event::Store { by, act, key, epoch, op } => self.store_op(by, act, &key, epoch, op),
            Event::StoreLate(apply) => apply(&mut self.store),
            Event::Table { by, write, then } => self.write(by, &write, then),
            Event::TableLate(write) => drop(self.tables.apply(&write)),
            Event::ReadRest { by, rows } => {
                let (view, nodes) = self.tables.view(SHARDS, rows);
                let ms = self.random.below(10);
                self.tell(by, ms, Happening::Seen(Box::new(view), nodes));
            }
            Event::Start(node) => self.start(node),
            Event::Fault => self.fault(),
            Event::LastCrash => {
                for node in 0..NODES {
                    self.crash(node);
                }
            }
            Event::LastWork => self.last_work(),
            Event::Client(client) => self.client_acts(client),
            Event::Again(client, nth) => {
                if self.clients[client].nth == nth {
                    self.ask_all(client);
                }
            }
            Event::Ask { through, to, command, idempotency_key, asker } => {
                self.commands += 1;
                self.ask_through(through, &to, &command, idempotency_key, None, asker);
            }
            Event::Impatient(client, nth) => self.impatient(client, nth),
        }
    }

    fn happen_at(&mut self, run: Run, happening: Happening) {
        match happening {
            Happening::LeaseTick => self.lease(run, lease::Input::Tick),
            Happening::Beat { sent_ms, beat } => self.lease(run, lease::Input::Beat { sent_ms, beat }),
            Happening::Look { by_itself } => self.look(run, by_itself),
            Happening::Seen(view, nodes) => self.seen(run, *view, nodes),
            Happening::Buried(of, buried) => self.buried(run, of, buried),
            Happening::Swapped(shard, swapped) => self.hold(run, handoff::Input::Swapped { shard, swapped }),
            Happening::Open { shard, epoch } => self.open(run, shard, epoch),
            Happening::Opened { shard, epoch } => self.hold(run, handoff::Input::Opened { shard, epoch }),
            Happening::StopLook { shard, epoch, nth } => self.stop_look(run, shard, epoch, nth),
            Happening::Answer { correlation, answer } => {
                self.route(run, colloquy_cluster::core::router::Input::Answered { correlation, answer });
            }
            Happening::RouterTick => self.route(run, colloquy_cluster::core::router::Input::Tick),
            Happening::Input(act, input) => self.input(run, act, input),
            Happening::Boot(key) => self.boot(run, &key),
            Happening::Effect { key, job } => self.effect(run, key, job),
        }
    }

    /// Something to do for every entity. Nobody asks for it again: it is found through the wake lists, or not at all.
    fn last_work(&mut self) {
        for number in 0..ENTITIES {
            let op = self.next_op;
            self.next_op += 1;
            let command = Command::StartJob { op };
            let node = self.random.below(NODES as u64) as usize;
            let asked = Event::Ask {
                through: self.run_of(node),
                to: ledger_key(&format!("e{number}")),
                command,
                idempotency_key: None,
                asker: Asker::Nobody,
            };
            self.after(0, asked);
        }
    }

    // --- what goes wrong, and what operators do ---

    fn fault(&mut self) {
        let node = self.random.below(NODES as u64) as usize;
        match self.random.below(100) {
            0..20 => self.crash(node),
            20..40 => {
                // Often beyond its lease.
                let until_ms = self.now_ms + self.random.below(16_000) as i64;
                self.nodes[node].paused_until_ms = until_ms;
                self.nodes[node].resumed_ms = until_ms;
            }
            40..60 => self.nodes[node].deaf_until_ms = self.now_ms + self.random.below(18_000) as i64,
            60..80 => {
                let (view, _) = self.tables.view(SHARDS, self.tables.rows());
                let (shard, to) = (self.random.below(u64::from(SHARDS)) as u32, format!("n{node}"));
                if let Ok(planned) = plan_move(&view, shard, &to, self.now_ms) {
                    self.tables.apply(&Write::Fact(view.orders.put_move(&planned)));
                }
            }
            80..90 => {
                let (view, _) = self.tables.view(SHARDS, self.tables.rows());
                let active = view.orders.moves.values().find(|planned| planned.state.is_active());
                let plan = active.and_then(|active| steward::plan_cancel(&view, &active.id, self.now_ms).ok());
                if let Some((cancelled, swap)) = plan {
                    if let Some((expected, new)) = swap {
                        self.tables.apply(&Write::Swap { expected: Some(expected), new });
                    }
                    self.tables.apply(&Write::Fact(view.orders.put_move(&cancelled)));
                }
            }
            _ => {
                // Somebody who believed to be steward marks a shard, or calls a mark off, much later.
                let shard = self.random.below(u64::from(SHARDS)) as u32;
                if let Some(row) = self.tables.shards.get(&shard).cloned() {
                    let target = match row.state {
                        ShardState::Owned => Some(format!("n{node}")),
                        ShardState::Draining => None,
                    };
                    let new = ShardRow { state: ShardState::Draining, target, ..row.clone() };
                    let ms = self.random.below(2_000);
                    self.after(ms, Event::TableLate(Write::Swap { expected: Some(row), new }));
                }
            }
        }
    }

    fn crash(&mut self, node: usize) {
        if self.nodes[node].process.take().is_some() {
            self.deaths += 1;
        }
        self.nodes[node].nth += 1;
        self.nodes[node].waits_for = None;
        let ms = 200 + self.random.below(15_000);
        self.after(ms, Event::Start(node));
    }

    /// A write reaches the tables, or not.
    fn write(&mut self, by: Run, write: &Write, then: Then) {
        let deaf = self.nodes[by.node].nth == by.nth && self.nodes[by.node].deaf_until_ms > self.now_ms;
        let calm = self.calm();
        let outcome = if deaf { Outcome::Lost } else { Outcome::draw(&mut self.random, calm) };
        let heard = match outcome {
            Outcome::Answered => Some(self.tables.apply(write)),
            Outcome::Unheard => {
                self.tables.apply(write);
                None
            }
            Outcome::Lost => None,
            Outcome::Late(ms) => {
                self.after(ms, Event::TableLate(write.clone()));
                None
            }
        };
        let ms = if heard.is_some() { self.random.below(15) } else { STORE_TIMEOUT_MS };
        match then {
            Then::Beat { sent_ms } => {
                let beat = match heard {
                    Some(true) => Beat::Renewed,
                    Some(false) => Beat::Refused,
                    None => Beat::Unanswered,
                };
                self.tell(by, ms, Happening::Beat { sent_ms, beat });
            }
            Then::Buried(of) => self.tell(by, ms, Happening::Buried(of, heard)),
            Then::Swapped(shard) => self.tell(by, ms, Happening::Swapped(shard, heard)),
            Then::Fact(next) => {
                if let (Some(true), Some(next)) = (heard, next) {
                    self.moves += u64::from(matches!(write, Write::Swap { .. }));
                    self.after(ms, Event::Table { by, write: *next, then: Then::Fact(None) });
                }
            }
        }
    }

    fn ask_table(&mut self, by: Run, write: Write, then: Then) {
        let ms = if self.fails(5) { self.random.below(2_000) } else { self.random.below(15) };
        self.after(ms, Event::Table { by, write, then });
    }
}
