//! The life of a node: join, renew, look, take, give, stop; the steward's rounds.

use std::collections::BTreeMap;

use colloquy_cluster::EntityKey;
use colloquy_cluster::core::activation::{Input as EntityInput, WakeRow};
use colloquy_cluster::core::handoff::{self, Holdings};
use colloquy_cluster::core::lease::{self, LEASE_TTL_MS, Lease};
use colloquy_cluster::core::membership::{self, LOOK_EVERY_MS, Membership, PATIENCE_MS};
use colloquy_cluster::core::router::{self, Router, shard_of};
use colloquy_cluster::core::steward::{MoveLimits, Step, candidacy, steps};
use colloquy_cluster::core::view::{Incarnation, View};
use colloquy_cluster::frame::Answer;
use colloquy_store::leases::NodeRow;

use super::{Asked, Defect, Event, Happening, Process, Run, SHARDS, Then, Town, Write};

/// Between two tries to join, milliseconds.
const JOIN_RETRY_MS: u64 = 500;

/// Looks at a shard that stops, and after how many its entities are told again or dropped.
const STOP_LOOK_MS: u64 = 5;
const LOOKS_PER_TELLING: u32 = 20;
const LOOKS_BEFORE_DROPPING: u32 = 3_000;

impl Town {
    /// A process begins; it joins once its predecessor is dead, which it sees to itself.
    pub(super) fn start(&mut self, number: usize) {
        if self.nodes[number].process.is_some() {
            return;
        }
        if self.nodes[number].waits_for.is_none() {
            self.nodes[number].started_ms = self.now_ms;
            self.nodes[number].paused_until_ms = 0;
        }
        let id = self.nodes[number].id.clone();
        let joined_ms = self.mono(number);
        let Some(incarnation) = self.tables.join(&id) else {
            let row = self.tables.nodes.get(&id).cloned();
            self.wait_for_predecessor(number, row, joined_ms);
            return;
        };
        let me = Incarnation { node: id.clone(), incarnation };
        let patience_ms = if self.defect == Defect::NoLeaseMargin { LEASE_TTL_MS } else { PATIENCE_MS };
        let mutation = match self.defect {
            Defect::EpochNotRaised => handoff::Defect::SameEpoch,
            Defect::None
            | Defect::NoClaimCheck
            | Defect::AckBeforeAppend
            | Defect::NoLeaseMargin
            | Defect::WakesBeforeServing => handoff::Defect::None,
        };
        self.nodes[number].waits_for = None;
        self.nodes[number].process = Some(Process {
            membership: Membership::with_patience(me.clone(), patience_ms),
            me,
            lease: Lease::new(joined_ms),
            holdings: Holdings::new(id, SHARDS).with_defect(mutation),
            router: Router::new(SHARDS),
            next_correlation: 1,
            asked: BTreeMap::new(),
            acts: BTreeMap::new(),
            current: BTreeMap::new(),
            known_wake: BTreeMap::new(),
            expected: BTreeMap::new(),
            running: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            serving: BTreeMap::new(),
            parked: BTreeMap::new(),
            looking: false,
        });
        let run = self.run_of(number);
        self.tell(run, 1, Happening::LeaseTick);
        self.tell(run, 1, Happening::Look { by_itself: true });
    }

    fn wait_for_predecessor(&mut self, number: usize, row: Option<NodeRow>, now_ms: u64) {
        let Some(row) = row else { return };
        let known = self.nodes[number].waits_for;
        let still = known.filter(|(incarnation, beat, _)| (*incarnation, *beat) == (row.incarnation, row.beat));
        match still {
            Some((_, beat, since_ms)) if now_ms.saturating_sub(since_ms) >= PATIENCE_MS => {
                self.tables.apply(&Write::Bury { node: row.id, incarnation: row.incarnation, beat });
            }
            Some(_) => {}
            // A beat that was sent before the crash may still arrive.
            None => self.nodes[number].waits_for = Some((row.incarnation, row.beat, now_ms)),
        }
        self.after(JOIN_RETRY_MS, Event::Start(number));
    }

    pub(super) fn lease(&mut self, run: Run, input: lease::Input) {
        let now_ms = self.mono(run.node);
        let mut out = Vec::new();
        let Some(process) = self.process(run) else { return };
        process.lease.on(now_ms, input, &mut out);
        let me = process.me.clone();
        for output in out {
            match output {
                lease::Output::SendBeat => {
                    let write = Write::Beat { node: me.node.clone(), incarnation: me.incarnation };
                    self.ask_table(run, write, Then::Beat { sent_ms: now_ms });
                }
                lease::Output::Suspend | lease::Output::Resume => {}
                lease::Output::StopAll => return self.crash(run.node),
                lease::Output::Alarm { at_ms } => {
                    let ms = self.until_mono(run.node, at_ms);
                    self.tell(run, ms, Happening::LeaseTick);
                }
            }
        }
    }

    pub(super) fn look(&mut self, run: Run, by_itself: bool) {
        let Some(process) = self.process(run) else { return };
        let moving = process.holdings.is_moving();
        if by_itself {
            let every_ms = if moving { 200 } else { LOOK_EVERY_MS };
            let ms = self.until_mono(run.node, self.mono(run.node) + every_ms);
            self.tell(run, ms, Happening::Look { by_itself });
        } else {
            process.looking = false;
        }
        if self.nodes[run.node].deaf_until_ms > self.now_ms || self.fails(5) {
            self.watch(run, membership::Input::Unseen);
            return;
        }
        let rows = self.tables.rows();
        let ms = if self.fails(5) { self.random.below(2_000) } else { self.random.below(10) };
        self.after(ms, Event::ReadRest { by: run, rows });
    }

    pub(super) fn look_soon(&mut self, run: Run) {
        if let Some(process) = self.process(run)
            && !process.looking
        {
            process.looking = true;
            self.tell(run, 20, Happening::Look { by_itself: false });
        }
    }

    pub(super) fn seen(&mut self, run: Run, view: View, nodes: Vec<NodeRow>) {
        if !self.watch(run, membership::Input::Seen(nodes)) {
            return;
        }
        self.hold(run, handoff::Input::Seen(Box::new(view.clone())));
        if self.is_leased(run) {
            self.tend(run, &view);
        }
    }

    pub(super) fn buried(&mut self, run: Run, of: Incarnation, buried: Option<bool>) {
        if self.watch(run, membership::Input::Buried { of, buried }) {
            self.look_soon(run);
        }
    }

    fn watch(&mut self, run: Run, input: membership::Input) -> bool {
        let now_ms = self.mono(run.node);
        let mut out = Vec::new();
        let Some(process) = self.process(run) else { return false };
        process.membership.on(now_ms, input, &mut out);
        for output in out {
            match output {
                membership::Output::Bury { of, beat } => {
                    let write = Write::Bury { node: of.node.clone(), incarnation: of.incarnation, beat };
                    self.ask_table(run, write, Then::Buried(of));
                }
                membership::Output::Joined(_) => {}
                membership::Output::Died(of) => self.recover_effects(run, &of.node),
                membership::Output::StopAll => {
                    self.crash(run.node);
                    return false;
                }
            }
        }
        true
    }

    fn recover_effects(&mut self, run: Run, dead: &str) {
        let Some(process) = self.process(run) else { return };
        let mut lost = Vec::new();
        for (key, tasks) in &mut process.elsewhere {
            let died = tasks.iter().filter(|(_, _, node)| node == dead).map(|(id, attempt, _)| (id.clone(), *attempt));
            lost.push((key.clone(), died.collect::<Vec<_>>()));
            tasks.retain(|(_, _, node)| node != dead);
        }
        for (key, lost) in lost.into_iter().filter(|(_, lost)| !lost.is_empty()) {
            let current = self.process(run).and_then(|process| process.current.get(&key).copied());
            match current {
                Some(act) => self.input(run, act, EntityInput::EffectsLost(lost)),
                None => self.boot(run, &key),
            }
        }
    }

    fn tend(&mut self, run: Run, view: &View) {
        let Some(process) = self.process(run) else { return };
        let me = process.me.clone();
        if let Some(change) = candidacy(view, &me) {
            return self.ask_table(run, Write::Fact(change), Then::Fact(None));
        }
        if view.orders.steward.as_ref() != Some(&me) {
            return;
        }
        for step in steps(view, MoveLimits { per_node: 2, in_all: 3 }, self.now_ms) {
            match step {
                Step::Fact(change) => self.ask_table(run, Write::Fact(change), Then::Fact(None)),
                Step::Begin { expected, new, then } => {
                    let write = Write::Swap { expected: Some(expected), new };
                    self.ask_table(run, write, Then::Fact(Some(Box::new(Write::Fact(then)))));
                }
            }
        }
    }

    pub(super) fn hold(&mut self, run: Run, input: handoff::Input) {
        let now_ms = self.mono(run.node);
        let mut out = Vec::new();
        let Some(process) = self.process(run) else { return };
        process.holdings.on(now_ms, input, &mut out);
        for output in out {
            self.held(run, output);
        }
    }

    fn held(&mut self, run: Run, output: handoff::Output) {
        match output {
            handoff::Output::Swap { expected, new } => {
                let shard = new.shard;
                self.ask_table(run, Write::Swap { expected, new }, Then::Swapped(shard));
            }
            handoff::Output::Open { shard, epoch } => {
                let ms = 2 + if self.fails(10) { self.random.below(2_000) } else { self.random.below(20) };
                self.tell(run, ms, Happening::Open { shard, epoch });
            }
            handoff::Output::Serve { shard, epoch } => self.serve(run, shard, epoch),
            handoff::Output::Stop { shard, epoch } => {
                if let Some(process) = self.process(run) {
                    process.serving.remove(&shard);
                }
                self.stop_look(run, shard, epoch, 0);
            }
            handoff::Output::Abandon { shard } | handoff::Output::Missed { shard } => self.let_go(run, shard),
            handoff::Output::HandedOver { shard, to, .. } => {
                self.let_go(run, shard);
                let to = (0..self.nodes.len()).find(|node| self.nodes[*node].id == to);
                if let Some(to) = to.filter(|_| self.random.chance(70)) {
                    let to = self.run_of(to);
                    self.look_soon(to);
                }
            }
            handoff::Output::Route { shard, owner } => self.route(run, router::Input::Owned { shard, owner }),
            handoff::Output::Look => self.look_soon(run),
        }
    }

    /// Reads what is left to do, and what other nodes run, as far as they say.
    pub(super) fn open(&mut self, run: Run, shard: u32, epoch: u64) {
        let here = |key: &EntityKey| shard_of(key, SHARDS) == shard;
        for other in (0..self.nodes.len()).filter(|other| *other != run.node) {
            let silent = self.nodes[other].paused_until_ms > self.now_ms || self.fails(10);
            let node = self.nodes[other].id.clone();
            let Some(theirs) = self.nodes[other].process.as_ref().filter(|_| !silent) else { continue };
            let told: Vec<_> = theirs
                .running
                .iter()
                .filter(|(key, _)| here(key))
                .map(|(k, tasks)| (k.clone(), tasks.clone()))
                .collect();
            let Some(process) = self.process(run) else { return };
            for (key, tasks) in told {
                let known = process.elsewhere.entry(key).or_default();
                known.extend(tasks.into_iter().map(|(id, attempt)| (id, attempt, node.clone())));
            }
        }
        let wakes: Vec<_> = self.store.wakes.values().filter(|wake| here(&wake.key)).cloned().collect();
        let early = self.defect == Defect::WakesBeforeServing;
        let Some(process) = self.process(run) else { return };
        process.known_wake.retain(|key, _| !here(key));
        for wake in &wakes {
            // Whoever wrote the row of an earlier epoch may still have it removed.
            let row = if wake.epoch < epoch { WakeRow::Unsure } else { WakeRow::At(wake.due_ms) };
            process.known_wake.insert(wake.key.clone(), row);
        }
        process.expected.insert(shard, wakes.clone());
        if early {
            self.wake(run, shard);
        }
        // Whoever gives the hand-off machine its inputs may be busy with others.
        let ms = self.random.below(20);
        self.tell(run, ms, Happening::Opened { shard, epoch });
    }

    /// Whoever has work in a shard is brought into memory when that is due.
    fn wake(&mut self, run: Run, shard: u32) {
        let now_ms = self.now_ms;
        let Some(process) = self.process(run) else { return };
        for wake in process.expected.remove(&shard).unwrap_or_default() {
            let ms = (wake.due_ms - now_ms).max(1) as u64;
            self.tell(run, ms, Happening::Boot(wake.key));
        }
    }

    fn serve(&mut self, run: Run, shard: u32, epoch: u64) {
        let before = *self.served.entry((shard, epoch)).or_insert(run);
        if before != run {
            self.failures.push(format!("shard {shard} is served under epoch {epoch} by {before:?} and {run:?}"));
        }
        for other in (0..self.nodes.len()).filter(|other| *other != run.node) {
            let serves = self.nodes[other].process.as_ref().is_some_and(|other| other.serving.contains_key(&shard));
            if serves && self.is_leased(self.run_of(other)) && self.is_leased(run) {
                self.failures.push(format!("shard {shard} is served by node {other} and by node {}", run.node));
            }
        }
        let Some(process) = self.process(run) else { return };
        process.serving.insert(shard, epoch);
        for (from, frame) in process.parked.remove(&shard).unwrap_or_default() {
            self.receive(run, from, frame);
        }
        self.wake(run, shard);
    }

    pub(super) fn stop_look(&mut self, run: Run, shard: u32, epoch: u64, nth: u32) {
        let Some(process) = self.process(run) else { return };
        let acts = process.acts.iter().filter(|(_, alive)| shard_of(&alive.key, SHARDS) == shard);
        let acts: Vec<_> = acts.map(|(act, _)| *act).collect();
        if !acts.is_empty() && nth.is_multiple_of(LOOKS_PER_TELLING) {
            for act in &acts {
                self.input(run, *act, EntityInput::Drain);
            }
        }
        let Some(process) = self.process(run) else { return };
        let left = process.acts.values().any(|alive| shard_of(&alive.key, SHARDS) == shard);
        if left && nth < LOOKS_BEFORE_DROPPING {
            return self.tell(run, STOP_LOOK_MS, Happening::StopLook { shard, epoch, nth: nth + 1 });
        }
        self.drop_acts(run, shard);
        self.hold(run, handoff::Input::Stopped { shard, epoch });
    }

    fn drop_acts(&mut self, run: Run, shard: u32) {
        let Some(process) = self.process(run) else { return };
        let here = |alive: &super::Alive| shard_of(&alive.key, SHARDS) == shard;
        let (gone, stay) = std::mem::take(&mut process.acts).into_iter().partition(|(_, alive)| here(alive));
        let gone: BTreeMap<_, super::Alive> = gone;
        process.acts = stay;
        process.current.retain(|key, _| shard_of(key, SHARDS) != shard);
        for (_, alive) in gone {
            for (from, correlation) in alive.tickets.into_values() {
                self.answer(run, from, correlation, Answer::Unknown);
            }
        }
    }

    fn let_go(&mut self, run: Run, shard: u32) {
        self.drop_acts(run, shard);
        let Some(process) = self.process(run) else { return };
        process.serving.remove(&shard);
        process.known_wake.retain(|key, _| shard_of(key, SHARDS) != shard);
        process.expected.remove(&shard);
        process.elsewhere.retain(|key, _| shard_of(key, SHARDS) != shard);
        for (from, frame) in process.parked.remove(&shard).unwrap_or_default() {
            self.receive(run, from, frame);
        }
    }

    pub(super) fn check_answered_in_time(&mut self, run: Run, asked: &Asked) {
        let bound_ms = asked.deadline_ms + super::SESSION_MS as i64 + 1_000;
        let slept = self.nodes[run.node].resumed_ms >= asked.asked_ms;
        if self.now_ms > bound_ms && !slept {
            let late = self.now_ms - asked.deadline_ms;
            self.failures.push(format!("a frame was answered {late} ms after its deadline: {:?}", asked.asker));
        }
    }
}
