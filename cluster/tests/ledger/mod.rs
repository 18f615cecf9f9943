//! A small ledger, the entity that the runtime is tested with: amounts, transfers by outbox, jobs that must be done once, reminders.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use colloquy_cluster::EntityKey;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::{At, Cx, Decision, Entity, Message, Pending};
use colloquy_store::rows::Row;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

/// How long a job may run before another attempt, milliseconds.
pub(crate) const JOB_DEADLINE_MS: i64 = 30_000;

/// The ledger's code. `script` steers its effects in host tests.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) script: Arc<Script>,
}

/// How effects behave: a permit lets one job finish.
pub(crate) struct Script {
    pub(crate) may_finish: Semaphore,
    pub(crate) panics: std::sync::atomic::AtomicU32,
    pub(crate) started: std::sync::atomic::AtomicU32,
    pub(crate) cancelled: std::sync::atomic::AtomicU32,
}

impl Default for Script {
    fn default() -> Self {
        Self { may_finish: Semaphore::new(0), panics: 0.into(), started: 0.into(), cancelled: 0.into() }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) total: i64,
    /// Operations applied, in order: each must be here at most once.
    pub(crate) applied: Vec<u64>,
    pub(crate) jobs: BTreeMap<u64, Job>,
    pub(crate) jobs_done: Vec<u64>,
    pub(crate) reminders: BTreeSet<(i64, u64)>,
    pub(crate) reminded: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) attempt: u32,
    pub(crate) deadline_ms: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    Add { op: u64, amount: i64 },
    Look,
    Transfer { op: u64, to: EntityKey, amount: i64 },
    Receive { op: u64, amount: i64 },
    StartJob { op: u64 },
    FinishJob { op: u64, attempt: u32 },
    CancelJob { op: u64 },
    Remind { op: u64, at_ms: i64 },
    Wake,
    Recover,
    Refuse,
    Poison,
    Big { op: u64, bytes: usize },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Event {
    Added { op: u64, amount: i64 },
    Sent { op: u64, to: EntityKey, amount: i64 },
    JobStarted { op: u64, deadline_ms: i64 },
    JobRetried { op: u64, deadline_ms: i64 },
    JobFinished { op: u64 },
    ReminderSet { op: u64, at_ms: i64 },
    Reminded { op: u64, at_ms: i64 },
    Padding { op: u64, text: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Reply {
    Done { total: i64 },
    Look { total: i64, applied: Vec<u64>, jobs_done: Vec<u64>, reminded: Vec<u64> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Rejection {
    Refused,
    UnknownJob,
    StaleAttempt,
}

#[derive(Clone, Debug)]
pub(crate) struct RunJob {
    pub(crate) op: u64,
    pub(crate) attempt: u32,
}

pub(crate) fn key(id: &str) -> EntityKey {
    EntityKey::new("acme", Ledger::KIND, id)
}

impl Entity for Ledger {
    const KIND: &'static str = "ledger";
    const STATE_VERSION: u32 = 1;
    const EVENT_VERSION: u32 = 1;
    const PERSONAL: bool = true;
    const IDLE_AFTER_MS: i64 = 60_000;
    const SNAPSHOT_EVERY: u64 = 10;

    type State = State;
    type Command = Command;
    type Event = Event;
    type Reply = Reply;
    type Rejection = Rejection;
    type Effect = RunJob;

    fn decide(&self, state: &State, cx: &Cx, command: Command) -> Result<Decision<Event, Reply>, Rejection> {
        let deadline_ms = cx.now_ms + JOB_DEADLINE_MS;
        let mut amount_of_this = 0;
        let events = match command {
            Command::Look => {
                let reply = Reply::Look {
                    total: state.total,
                    applied: state.applied.clone(),
                    jobs_done: state.jobs_done.clone(),
                    reminded: state.reminded.clone(),
                };
                return Ok(Decision { events: vec![], reply });
            }
            Command::Add { op, amount } | Command::Receive { op, amount } => {
                amount_of_this = amount;
                vec![Event::Added { op, amount }]
            }
            Command::Transfer { op, to, amount } => {
                amount_of_this = -amount;
                vec![Event::Sent { op, to, amount }]
            }
            Command::StartJob { op } => vec![Event::JobStarted { op, deadline_ms }],
            Command::FinishJob { op, attempt } => match state.jobs.get(&op) {
                Some(job) if job.attempt == attempt => vec![Event::JobFinished { op }],
                Some(_) => return Err(Rejection::StaleAttempt),
                None => return Err(Rejection::UnknownJob),
            },
            Command::CancelJob { op } if state.jobs.contains_key(&op) => {
                vec![Event::JobFinished { op }]
            }
            Command::CancelJob { .. } => return Err(Rejection::UnknownJob),
            Command::Remind { op, at_ms } => vec![Event::ReminderSet { op, at_ms }],
            Command::Wake => {
                let due = state.reminders.iter().filter(|(at_ms, _)| *at_ms <= cx.now_ms);
                let mut events: Vec<Event> =
                    due.map(|(at_ms, op)| Event::Reminded { op: *op, at_ms: *at_ms }).collect();
                let late = state.jobs.iter().filter(|(_, job)| job.deadline_ms <= cx.now_ms);
                events.extend(late.map(|(op, _)| Event::JobRetried { op: *op, deadline_ms }));
                events
            }
            Command::Recover => state.jobs.keys().map(|op| Event::JobRetried { op: *op, deadline_ms }).collect(),
            Command::Refuse => return Err(Rejection::Refused),
            Command::Poison => panic!("poison"),
            Command::Big { op, bytes } => vec![Event::Padding { op, text: "x".repeat(bytes) }],
        };
        Ok(Decision { events, reply: Reply::Done { total: state.total + amount_of_this } })
    }

    fn apply(state: &mut State, event: &Event, _at: At) {
        match event {
            Event::Added { op, amount } => {
                state.total += amount;
                state.applied.push(*op);
            }
            Event::Sent { op, amount, .. } => {
                state.total -= amount;
                state.applied.push(*op);
            }
            Event::JobStarted { op, deadline_ms } => {
                state.applied.push(*op);
                state.jobs.insert(*op, Job { attempt: 1, deadline_ms: *deadline_ms });
            }
            Event::JobRetried { op, deadline_ms } => {
                if let Some(job) = state.jobs.get_mut(op) {
                    job.attempt += 1;
                    job.deadline_ms = *deadline_ms;
                }
            }
            Event::JobFinished { op } => {
                state.jobs.remove(op);
                state.jobs_done.push(*op);
            }
            Event::ReminderSet { op, at_ms } => {
                state.applied.push(*op);
                state.reminders.insert((*at_ms, *op));
            }
            Event::Reminded { op, at_ms } => {
                state.reminders.remove(&(*at_ms, *op));
                state.reminded.push(*op);
            }
            Event::Padding { op, .. } => state.applied.push(*op),
        }
    }

    fn pending(state: &State) -> Vec<Pending<RunJob>> {
        let jobs = state.jobs.iter();
        jobs.map(|(op, job)| Pending {
            id: format!("job:{op}"),
            attempt: job.attempt,
            effect: RunJob { op: *op, attempt: job.attempt },
        })
        .collect()
    }

    fn timer(state: &State) -> Option<i64> {
        let reminder = state.reminders.first().map(|(at_ms, _)| *at_ms);
        let job = state.jobs.values().map(|job| job.deadline_ms).min();
        reminder.into_iter().chain(job).min()
    }

    fn on_timer(_state: &State, _now_ms: i64) -> Option<Command> {
        Some(Command::Wake)
    }

    fn on_recovered(_state: &State) -> Option<Command> {
        Some(Command::Recover)
    }

    fn rows(&self, key: &EntityKey, state: &State, seq: u64) -> Vec<Row> {
        if state.applied.is_empty() {
            return vec![];
        }
        vec![Row {
            tenant: key.tenant.to_string(),
            list: "ledgers".to_owned(),
            at_ms: 1,
            id: key.id.to_string(),
            seq,
            view_version: 1,
            body: Some(Bytes::from(serde_json::json!({ "total": state.total }).to_string())),
            numbers: Some(Bytes::from(serde_json::json!({ "operations": state.applied.len() }).to_string())),
        }]
    }

    fn tell(&self, key: &EntityKey, rows: &[Row]) -> Vec<Message> {
        let numbers = rows.iter().filter_map(|row| row.numbers.clone());
        let board = EntityKey::new(key.tenant.clone(), "board", "all");
        numbers.map(|command| Message { to: board.clone(), command }).collect()
    }

    fn outbox(&self, _key: &EntityKey, _state: &State, event: &Event, _at: At) -> Vec<Message> {
        let Event::Sent { op, to, amount } = event else {
            return vec![];
        };
        let command = Command::Receive { op: *op, amount: *amount };
        let command = Bytes::from(serde_json::to_vec(&command).expect("encodes"));
        vec![Message { to: to.clone(), command }]
    }

    fn watched(&self, _key: &EntityKey, state: &State, _event: &Event, at: At) -> Option<Bytes> {
        Some(Bytes::from(format!("{}:{}", at.seq, state.total)))
    }

    async fn run(self: Arc<Self>, effect: RunJob, handle: EffectHandle) {
        use std::sync::atomic::Ordering::SeqCst;
        self.script.started.fetch_add(1, SeqCst);
        handle.stream(Bytes::from(format!("job {} attempt {}", effect.op, effect.attempt)));
        if self.script.panics.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            panic!("the effect's provider sent nonsense");
        }
        tokio::select! {
            // First, so that a cancelled task never takes another one's permit.
            biased;
            () = handle.cancelled() => {
                self.script.cancelled.fetch_add(1, SeqCst);
                return;
            }
            permit = self.script.may_finish.acquire() => permit.expect("open").forget(),
        }
        let finish = Command::FinishJob { op: effect.op, attempt: effect.attempt };
        let _ = handle.command::<Self>(finish).await;
    }
}
