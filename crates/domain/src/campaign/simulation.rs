//! A campaign with its slices, pacer, guards and a carrier that is late, repeats itself, loses messages and lies, in virtual time and in any order; tasks
//! die in the middle. Whatever happens, what is promised must hold.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;

use super::{
    core::{self, Campaign, Progress, Status},
    counters::Counters,
    slice::{self, Dial, DialAnswer, Effect, Refused, Report, Slice, Tell},
    target::{Act, Ending, Machine, NewTarget, Talk},
};
use crate::{
    contact_guard::{self, ContactGuard, DialKey, NewEntry, Reach, Source},
    context::Context,
    pacer::{self, Pacer},
    principal::Principal,
};

/// Monday, 2026-11-23, eleven in the morning in San Francisco.
const START: i64 = 1_795_460_400_000;
const SLICES: u32 = 2;
const TARGETS: u32 = 9;
/// Then the world has stood still for days and nothing has ended.
const STEPS_MAX: u32 = 60_000;

/// Something that happens at a time.
#[derive(Clone, Debug)]
enum Ev {
    Slice(u32, Box<slice::Command>),
    Guard(String, Box<contact_guard::Command>),
    Pacer(Box<pacer::Command>),
    Campaign(Box<core::Command>),
    /// An effect's task goes on, if it is still alive.
    Task {
        slice: u32,
        name: String,
        life: u64,
        effect: Box<Effect>,
    },
    /// And tells its result, if it is still alive.
    Result {
        slice: u32,
        name: String,
        life: u64,
        command: Box<slice::Command>,
    },
    /// The node dies with all tasks.
    Crash,
    /// Somebody is put on the list.
    Entry(String),
}

struct Call {
    dial: Dial,
    at_ms: i64,
    last: Option<Report>,
}

struct World {
    now_ms: i64,
    random: u64,
    queue: BTreeMap<(i64, u64), Ev>,
    events: u64,
    campaign: Campaign,
    slices: Vec<Slice>,
    pacer: Pacer,
    pacer_seq: u64,
    guards: BTreeMap<String, ContactGuard>,
    /// The last message on each way, so that none overtakes another.
    ways: BTreeMap<String, i64>,
    tasks: BTreeMap<(u32, String), (u32, u64)>,
    carrier: BTreeMap<DialKey, Call>,
    chaos: u64,
}

impl World {
    fn new(seed: u64, chaos: u64) -> Self {
        let mut world = Self {
            now_ms: START,
            random: seed | 1,
            queue: BTreeMap::new(),
            events: 0,
            campaign: Campaign::default(),
            slices: vec![Slice::default(); SLICES as usize],
            pacer: Pacer::default(),
            pacer_seq: 0,
            guards: BTreeMap::new(),
            ways: BTreeMap::new(),
            tasks: BTreeMap::new(),
            carrier: BTreeMap::new(),
            chaos,
        };
        let settings = json!({"name": "n", "agent_id": "a", "from_numbers": ["+14155550100", "+14155550101"], "max_concurrent": 5,
            "calls_per_second": 2, "consent": "none", "voicemail": "retry", "window": {"start": "09:00", "end": "17:00"},
            "retry": {"busy": {"attempts": 2, "delays_minutes": [5]}, "no_answer": {"attempts": 1, "delays_minutes": [30]}}});
        let limits = pacer::Limits { concurrent: 6, rate: super::settings::Rate::per_second(3) };
        let config = pacer::Config { account: limits, inbound_reserved: 2, tenant: limits, number: limits };
        world.pacer(pacer::Command::Configure { config });
        world.campaign(core::Command::Create { id: "c".into(), account: "acc".into(), settings });
        world.campaign(core::Command::Import { source: core::Source::File { path: "list".into(), csv: true } });
        let mut slices = BTreeMap::new();
        for index in 0..SLICES {
            let who = |n: u32| NewTarget {
                guard: phone(index, n),
                zones: vec![if n.is_multiple_of(3) { "America/New_York" } else { "America/Los_Angeles" }.into()],
                ..NewTarget::default()
            };
            let targets = (0..TARGETS).map(who).collect();
            world.slice(index, slice::Command::Add { campaign: "c".into(), index, import: 1, targets });
            slices.insert(index.to_string(), TARGETS);
        }
        world.campaign(core::Command::Imported { n: 1, attempt: 1, slices, result: Box::default() });
        world.campaign(core::Command::Start);
        let minutes = |world: &mut Self, upto: u64| START + world.upto(upto * 60_000) as i64;
        for _ in 0..world.upto(3) {
            let at = minutes(&mut world, 90);
            world.at(at, Ev::Crash);
            let (at, index, n) =
                (minutes(&mut world, 60), world.upto(u64::from(SLICES)) as u32, world.upto(u64::from(TARGETS)) as u32);
            world.at(at, Ev::Entry(phone(index, n)));
            let at = minutes(&mut world, 120);
            world.at(at, Ev::Campaign(Box::new(core::Command::Pause)));
            let after = at + world.upto(600_000) as i64;
            world.at(after, Ev::Campaign(Box::new(core::Command::Resume)));
            let (at, concurrent) = (minutes(&mut world, 120), 1 + world.upto(6));
            let patch = json!({"max_concurrent": concurrent, "max_call_minutes": 1 + world.upto(20)});
            world.at(
                at,
                Ev::Campaign(Box::new(core::Command::Update { patch, account: "acc".into(), if_version: None })),
            );
        }
        world
    }

    fn upto(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound.max(1)
    }

    /// Whether something goes wrong that goes wrong so often of a hundred times at most.
    fn happens(&mut self, percent: u64) -> bool {
        self.upto(100) < percent * self.chaos / 100
    }

    fn at(&mut self, at_ms: i64, event: Ev) {
        self.events += 1;
        self.queue.insert((at_ms.max(self.now_ms), self.events), event);
    }

    /// A message on a way, behind the ones before it; sometimes it comes twice.
    fn send(&mut self, way: String, event: Ev) {
        let delay = self.upto(200) as i64;
        let last = self.ways.get(&way).copied().unwrap_or(0);
        let at = (self.now_ms + delay).max(last);
        self.ways.insert(way, at);
        if self.happens(10) {
            self.at(at, event.clone());
        }
        self.at(at, event);
    }

    fn context(&self, seq: u64) -> Context {
        Context { now_ms: self.now_ms, seq, seed: [0; 32], principal: Principal::system("t".into()) }
    }

    fn campaign(&mut self, command: core::Command) {
        let Ok(decision) = core::decide(&self.campaign, &self.context(self.campaign.seq), command) else { return };
        for event in &decision.events {
            let seq = self.campaign.seq + 1;
            core::apply(&mut self.campaign, event, seq, self.now_ms);
            for (index, command) in core::tells(&self.campaign, event) {
                self.send(format!("campaign>{index}"), Ev::Slice(index, Box::new(command)));
            }
        }
    }

    fn pacer(&mut self, command: pacer::Command) {
        let Ok(decision) = pacer::decide(&self.pacer, &self.context(self.pacer_seq), command) else { return };
        for event in &decision.events {
            self.pacer_seq += 1;
            pacer::apply(&mut self.pacer, event, self.pacer_seq, self.now_ms);
            if let pacer::Event::Granted { .. } = event {
                assert!(self.pacer.used.out <= self.pacer.outbound());
            }
            for (holder, command) in pacer::tells(event) {
                self.send(format!("pacer>{}", holder.slice), Ev::Slice(holder.slice, Box::new(command)));
            }
        }
    }

    fn guard(&mut self, phone: &str, command: contact_guard::Command) -> Option<contact_guard::Reply> {
        let cx = self.context(self.guards.get(phone).map_or(0, |guard| guard.seq));
        let guard = self.guards.entry(phone.to_owned()).or_default();
        let decision = contact_guard::decide(guard, &cx, command).ok()?;
        let mut stopped = Vec::new();
        for event in &decision.events {
            let seq = guard.seq + 1;
            contact_guard::apply(guard, event, seq, cx.now_ms);
            stopped.extend(contact_guard::stopped(guard, event, cx.now_ms));
        }
        for dial in stopped {
            let (slice, target) = place(&dial);
            let command = slice::Command::Forbidden { target, attempt: dial.attempt };
            self.send(format!("guard {phone}>{slice}"), Ev::Slice(slice, Box::new(command)));
        }
        Some(decision.reply)
    }

    fn slice(&mut self, index: u32, command: slice::Command) -> Option<slice::Reply> {
        let cx = self.context(self.slices[index as usize].seq);
        let decision = slice::decide(&self.slices[index as usize], &cx, command).ok()?;
        for event in &decision.events {
            let one = &mut self.slices[index as usize];
            let seq = one.seq + 1;
            slice::apply(one, event, seq, cx.now_ms);
            assert_eq!(one.counters, Counters::recount(&one.targets), "after {event:?}");
            for tell in slice::tells(&self.slices[index as usize], event) {
                match tell {
                    Tell::Pacer { command, .. } => self.send(format!("{index}>pacer"), Ev::Pacer(command)),
                    Tell::Guard { guard, command } => {
                        self.send(format!("{index}>guard {guard}"), Ev::Guard(guard, command))
                    }
                    Tell::Campaign(command) => self.send(format!("{index}>campaign"), Ev::Campaign(Box::new(command))),
                    // What was said is told whether the call hears of its end or not.
                    Tell::Call { .. } => {}
                }
            }
        }
        self.tasks_of(index);
        Some(decision.reply)
    }

    /// Starts the tasks of what is pending and forgets those of what is not any more.
    fn tasks_of(&mut self, index: u32) {
        let pending = slice::pending(&self.slices[index as usize]);
        let names: BTreeSet<String> = pending.iter().map(|(name, ..)| name.clone()).collect();
        self.tasks.retain(|(slice, name), _| *slice != index || names.contains(name));
        for (name, attempt, effect) in pending {
            if self.tasks.get(&(index, name.clone())).is_some_and(|(running, _)| *running == attempt) {
                continue;
            }
            let life = self.events;
            self.tasks.insert((index, name.clone()), (attempt, life));
            let at = match &effect {
                Effect::Dial { not_before_ms, .. } => (*not_before_ms).max(self.now_ms),
                Effect::Authorize { .. } | Effect::LookUp { .. } | Effect::Act { .. } => {
                    self.now_ms + self.upto(150) as i64
                }
            };
            self.at(at, Ev::Task { slice: index, name, life, effect: Box::new(effect) });
        }
    }

    fn alive(&self, slice: u32, name: &str, life: u64) -> bool {
        self.tasks.get(&(slice, name.to_owned())).is_some_and(|(_, running)| *running == life)
    }

    fn task(&mut self, index: u32, name: String, life: u64, effect: Effect) {
        let command = match effect {
            Effect::Authorize { target, attempt, guard, request } => {
                let asked = contact_guard::Command::AuthorizeDial(request);
                match self.guard(&guard, asked) {
                    Some(contact_guard::Reply::Verdict { verdict }) => {
                        slice::Command::Authorized { target, attempt, verdict }
                    }
                    _ => return,
                }
            }
            Effect::Dial { target, attempt, .. } => {
                let Some(slice::Reply::Dial(dial)) =
                    self.slice(index, slice::Command::Begin { target, attempt, minute_micros: 0 })
                else {
                    return;
                };
                if self.happens(8) {
                    // It dies in between; whoever finds what is pending looks up.
                    self.tasks.remove(&(index, name));
                    return self.tasks_of(index);
                }
                let answer = self.create(*dial);
                slice::Command::Dialed { target, attempt, answer }
            }
            Effect::LookUp { target, attempt, dial, .. } => {
                let found =
                    if self.happens(20) { None } else { self.carrier.get(&dial).and_then(|call| call.last.clone()) };
                slice::Command::LookedUp { target, attempt, found }
            }
            Effect::Act { target, attempt, dial, act, .. } => {
                if self.carrier.contains_key(&dial) {
                    let how = if act == Act::HangUp { Ending::Canceled } else { Ending::Completed };
                    self.reports(&dial, 500, Report::Ended { how, talk_s: 0, cost_micros: Some(1_000) });
                }
                slice::Command::Acted { target, attempt, act }
            }
        };
        let at = self.now_ms + self.upto(400) as i64;
        self.at(at, Ev::Result { slice: index, name, life, command: Box::new(command) });
    }

    /// The carrier is asked to make a call: everything that was promised about it is looked at here.
    fn create(&mut self, dial: Dial) -> DialAnswer {
        let guard = &self.guards[&dial.guard];
        let permit = guard.dials.iter().find(|known| known.dial == dial.dial).expect("no dial without a permit");
        let entry = guard.entries.iter().map(|entry| entry.seq).min();
        assert!(entry.is_none_or(|seq| permit.permit.seq < seq), "permitted before anybody said no");
        let day = self.now_ms - 24 * 3_600_000;
        let before = self.carrier.values().filter(|call| call.dial.guard == dial.guard && call.at_ms > day).count();
        assert!(before < 3, "three calls a day");
        let (index, target) = place(&dial.dial);
        let one = &self.slices[index as usize];
        assert_eq!(one.orders.run, slice::Run::Running, "only while it runs");
        let zones = &one.targets[target as usize].who.zones;
        assert!(one.orders.settings.window.hours(zones).is_open(self.now_ms), "only at the recipient's hours");
        assert!(!self.carrier.contains_key(&dial.dial), "a call is created once");
        match self.upto(100) {
            0..4 => return DialAnswer::Refused { why: Refused::TooFast },
            4..6 => return DialAnswer::Refused { why: Refused::InvalidNumber },
            6..9 => return DialAnswer::Unknown,
            _ => {}
        }
        let key = dial.dial.clone();
        self.carrier.insert(
            key.clone(),
            Call { dial, at_ms: self.now_ms, last: Some(Report::Ringing { call: Some(format!("CA{}", self.events)) }) },
        );
        self.reports(&key, 1_000, Report::Ringing { call: None });
        let end = |how, talk_s| Report::Ended { how, talk_s, cost_micros: Some(10_000) };
        let talk_s = 5 + self.upto(200) as u32;
        let ms = 6_000 + i64::from(talk_s) * 1000;
        match self.upto(9) {
            0 => self.reports(&key, 4_000, end(Ending::Busy, 0)),
            1 => self.reports(&key, 30_000, end(Ending::NoAnswer, 0)),
            2 => self.reports(&key, 2_000, end(Ending::Failed, 0)),
            3 => {
                self.reports(&key, 6_000, Report::Machine { machine: Machine::Speaking });
                self.reports(&key, 12_000, Report::Machine { machine: Machine::Ready });
                self.reports(&key, 20_000, end(Ending::Completed, 14));
            }
            4 => {} // Nothing more is ever heard of it.
            5 => self.reports(&key, 6_000, Report::Answered),
            6 => {
                self.reports(&key, 6_000, Report::Answered);
                self.reports(&key, 9_000, Report::Abandoned);
                self.reports(&key, 12_000, end(Ending::Completed, 6));
            }
            _ => {
                self.reports(&key, 6_000, Report::Answered);
                let callback_ms = talk_s.is_multiple_of(5).then_some(self.now_ms + 1_200_000);
                let talk = Talk {
                    meeting: talk_s.is_multiple_of(3),
                    not_interested: talk_s.is_multiple_of(7),
                    callback_ms,
                    ..Talk::default()
                };
                self.reports(&key, ms, Report::Talk { talk: Box::new(talk) });
                self.reports(&key, ms, end(Ending::Completed, talk_s));
            }
        }
        if self.happens(15) { DialAnswer::Unknown } else { DialAnswer::Placed { call: format!("CA{}", self.events) } }
    }

    /// A callback: late, twice or never.
    fn reports(&mut self, dial: &DialKey, in_ms: i64, report: Report) {
        if let Some(call) = self.carrier.get_mut(dial) {
            call.last = Some(report.clone());
        }
        if self.happens(12) {
            return;
        }
        let (index, target) = place(dial);
        let heard = slice::Command::Heard { target, attempt: dial.attempt, report };
        let times = if self.happens(20) { 2 } else { 1 };
        for _ in 0..times {
            let late = if self.happens(20) { self.upto(300_000) } else { self.upto(500) };
            let at = self.now_ms + in_ms + late as i64;
            self.at(at, Ev::Slice(index, Box::new(heard.clone())));
        }
    }

    fn happen(&mut self, event: Ev) {
        match event {
            Ev::Slice(index, command) => {
                self.slice(index, *command);
            }
            Ev::Guard(phone, command) => {
                self.guard(&phone, *command);
            }
            Ev::Pacer(command) => self.pacer(*command),
            Ev::Campaign(command) => self.campaign(*command),
            Ev::Task { slice, name, life, effect } => {
                if self.alive(slice, &name, life) {
                    self.task(slice, name, life, *effect);
                }
            }
            Ev::Result { slice, name, life, command } => {
                // A guard's answer may be on its way when its task is not wanted any more.
                let authorized = matches!(*command, slice::Command::Authorized { .. });
                if self.alive(slice, &name, life) || (authorized && self.upto(2) == 0) {
                    self.slice(slice, *command);
                }
            }
            Ev::Crash => {
                self.tasks.clear();
                (0..SLICES).for_each(|index| self.tasks_of(index));
            }
            Ev::Entry(phone) => {
                let entry = NewEntry {
                    masked: contact_guard::Address::Phone(phone.clone()).masked(),
                    reach: Reach::Phone,
                    source: Source::Keyword,
                    reason: "STOP".into(),
                    expires_ms: None,
                };
                self.guard(&phone, contact_guard::Command::AddEntry(Box::new(entry)));
            }
        }
    }

    /// Until nothing is left to happen.
    fn run(&mut self) {
        for _ in 0..STEPS_MAX {
            let timers = [core::timer(&self.campaign), pacer::timer(&self.pacer)].into_iter();
            let timers = timers.chain(self.slices.iter().map(slice::timer)).flatten().min();
            let queued = self.queue.keys().next().map(|(at, _)| *at);
            match (timers, queued) {
                (None, None) => return,
                (Some(due), queued) if queued.is_none_or(|at| due < at) => {
                    self.now_ms = self.now_ms.max(due);
                    self.timers();
                }
                (_, _) => {
                    let Some(((at, _), event)) = self.queue.pop_first() else { return };
                    self.now_ms = self.now_ms.max(at);
                    self.happen(event);
                }
            }
        }
        panic!("it never ends: {:?}", self.campaign.status);
    }

    fn timers(&mut self) {
        if let Some(command) = core::on_timer(&self.campaign, self.now_ms) {
            self.campaign(command);
        }
        if let Some(command) = pacer::on_timer(&self.pacer, self.now_ms) {
            self.pacer(command);
        }
        for index in 0..SLICES {
            if let Some(command) = slice::on_timer(&self.slices[index as usize], self.now_ms) {
                let seq = self.slices[index as usize].seq;
                self.slice(index, command);
                assert!(self.slices[index as usize].seq > seq, "a timer that does nothing would fire for ever");
            }
        }
    }
}

fn phone(slice: u32, target: u32) -> String {
    format!("+1415555{:04}", 2000 + slice * 100 + target)
}

/// Slice and target of a dial.
fn place(dial: &DialKey) -> (u32, u32) {
    let (slice, target) = dial.target.split_once('.').expect("a dial of a campaign");
    (slice.parse().expect("a number"), target.parse().expect("a number"))
}

fn every_promise_holds(seed: u64, chaos: u64) {
    let mut world = World::new(seed, chaos);
    world.run();
    // Somebody pauses a campaign and never resumes it: that is the only other end.
    if world.campaign.status == Status::Paused {
        world.campaign(core::Command::Resume);
        world.run();
    }
    assert_eq!(world.campaign.status, Status::Completed);
    let mut sum = Counters::default();
    for slice in &world.slices {
        assert!(slice.targets.iter().all(|one| one.disposition().is_some()), "every target has one disposition");
        sum.add(&slice.counters, 1);
    }
    let all = i64::from(SLICES * TARGETS);
    assert_eq!((sum.targets, sum.done, sum.waiting, sum.trying), (all, all, 0, 0));
    assert_eq!(sum.outcomes.values().sum::<i64>(), all);
    let Progress { done, cost_micros, connected, .. } = world.campaign.progress();
    assert_eq!(
        (done, cost_micros, connected),
        (all, sum.cost_micros, sum.connected),
        "the campaign knows what its slices know"
    );
    assert_eq!((world.pacer.used.out, world.pacer.leases.len()), (0, 0), "every permit went back");
    // The carrier's own log against ours.
    let past: BTreeMap<DialKey, u64> = (0_u32..)
        .zip(&world.slices)
        .flat_map(|(index, slice)| {
            (0_u32..).zip(&slice.targets).flat_map(move |(target, one)| {
                one.past.iter().filter(|past| past.dialed_ms.is_some()).map(move |past| {
                    (
                        DialKey { campaign: "c".into(), target: format!("{index}.{target}"), attempt: past.n },
                        past.settings_version,
                    )
                })
            })
        })
        .collect();
    for (dial, call) in &world.carrier {
        assert_eq!(
            past.get(dial),
            Some(&call.dial.settings_version),
            "every call the carrier made is in the audit, with its settings"
        );
    }
    for guard in world.guards.values() {
        for dial in &guard.dials {
            let known = past.contains_key(&dial.dial);
            assert!(known || !dial.settled, "a dial that was never made does not count");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_the_carrier_does_every_target_ends_once_and_nobody_is_called_who_must_not_be(seed in any::<u64>(), chaos in 0_u64..=200) {
        every_promise_holds(seed, chaos);
    }
}

#[test]
fn without_any_fault_every_permit_is_used_or_given_back() {
    every_promise_holds(7, 0);
}
