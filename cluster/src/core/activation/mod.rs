//! One entity's life in memory: claim, load, decide in batches, append, and only then let anything out.
//!
//! The output gate: a batch's events are applied to the live state at once, but its replies, pushes, rows, effects and messages
//! wait for the append. While an append is in flight everything queues, queries too, so nobody sees what is not durable. A failed append
//! throws the state away and loads it again, so no second copy of the state is ever kept.

mod batch;
mod close;
mod load;
mod messages;
mod settle;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use colloquy_store::EntityKey;
use colloquy_store::journal::Claim;
use colloquy_store::rows::Row;
use uuid::Uuid;

use crate::entity::{EffectId, Entity, Pending};
use crate::frame::Answer;
use crate::record::Memory;

pub use messages::{Command, Delivery, Gone, Input, Loaded, Mutation, Note, Output, Outputs, Start, Ticket, WakeRow};

/// Commands decided into one append: a burst becomes one disk write, and still answers within milliseconds.
pub const MAX_BATCH_COMMANDS: usize = 64;

/// Event bytes in one append: keeps a batch well under the limits of a CQL batch and a WAL frame group.
pub const MAX_BATCH_BYTES: usize = 256 * 1024;

/// The largest single event, bytes: what stores take (1 MB) less room for sealing. Larger values belong in blobs.
pub const MAX_EVENT_BYTES: usize = 1024 * 1024 - 1024;

/// The event bytes one command may cause: with a batch before it still under the 4 MB that stores take in one append.
pub const MAX_COMMAND_EVENT_BYTES: usize = 3 * 1024 * 1024;

/// How long a wake row outlives the work it stands for, milliseconds: a busy entity then writes it once, not twice per command.
pub const WAKE_LINGER_MS: i64 = 2_000;

/// How long commands that would write are refused after the store was full, milliseconds, before one is tried again.
pub const FULL_PAUSE_MS: i64 = 1_000;

/// Panics in a row before the entity backs off: one poisonous command must not take the others with it.
pub const FAILURES_BEFORE_BACKOFF: u32 = 3;

/// The longest back-off, milliseconds.
pub const MAX_BACKOFF_MS: i64 = 30_000;

/// The first back-off, milliseconds; it doubles with each failure.
pub const FIRST_BACKOFF_MS: i64 = 100;

/// Outbox messages of one entity on their way at once: one per receiver, so that order holds, and few receivers.
pub const MAX_DELIVERING: usize = 16;

/// When a due timer did not move although it fired, it fires again after this, milliseconds: a wrong entity must not spin.
pub const STUCK_TIMER_RETRY_MS: i64 = 30_000;

/// Where the activation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing was asked of the store yet.
    Cold,
    /// Waiting for the claim.
    Claiming,
    /// Waiting for snapshot and records.
    Loading,
    /// State is in memory; a batch may be in flight.
    Ready,
    /// Waiting before the next attempt to claim.
    Backoff {
        /// Until when.
        until_ms: i64,
        /// Whether commands are refused meanwhile (own failures) or wait (an unknown outcome is being settled).
        refuse: bool,
    },
    /// Out of service.
    Gone(Gone),
}

/// A command with its answer, waiting for the append.
#[derive(Debug)]
struct Gated {
    command: Command,
    answer: Answer,
}

/// A batch whose append is in flight or of unknown outcome.
#[derive(Debug)]
struct Batch<F> {
    append_id: Uuid,
    expected_seq: u64,
    gated: Vec<Gated>,
    events: Vec<Bytes>,
    bytes: usize,
    watched: Vec<(u64, Bytes)>,
    outbox: Vec<crate::record::Outgoing>,
    rows: Vec<Row>,
    pending: Vec<Pending<F>>,
    wake: Option<i64>,
    delivered: u64,
}

/// A reply that waits for rows.
#[derive(Debug)]
struct RowWaiter {
    seq: u64,
    ticket: Ticket,
    answer: Answer,
}

/// The activation machine of one entity.
pub struct Activation<E: Entity> {
    entity: Arc<E>,
    key: EntityKey,
    shard: u32,
    epoch: u64,
    seed: [u8; 32],
    seeds_used: u64,
    mutation: Mutation,

    phase: Phase,
    claim: Option<Claim>,
    /// The last time seen, so that time never goes back for the entity.
    now_ms: i64,
    queue: VecDeque<Command>,
    /// The batch whose append is in flight.
    in_flight: Option<Box<Batch<E::Effect>>>,
    /// A batch of unknown outcome: settled by claiming again and looking for its id.
    unsure: Option<Box<Batch<E::Effect>>>,
    fenced_once: bool,
    failures: u32,
    store_failures: u32,
    /// What everybody is told while what is stored cannot be read.
    unread: Option<Answer>,
    full_until_ms: i64,

    state: E::State,
    memory: Memory,
    /// The last event applied; while an append is in flight ahead of what is durable.
    seq: u64,
    /// The outbox cursor as the journal or a snapshot has it.
    delivered_journaled: u64,

    pending_rows: BTreeMap<(String, String), Row>,
    rows_writing: Option<u64>,
    rows_sent: Vec<Row>,
    rows_retry_ms: Option<i64>,
    row_hashes: BTreeMap<u64, u64>,
    row_waiters: Vec<RowWaiter>,

    running: Vec<(EffectId, u32)>,
    /// Attempts that died with the node they ran on, until the entity is asked what to do about it.
    lost: Vec<(EffectId, u32)>,
    has_pending: bool,
    recovering: bool,
    /// `on_recovered` was asked since the last append: one that panics must not be asked at every load.
    recover_tried: bool,
    /// The snapshot was of no use: read all records.
    fold_all: bool,
    /// The timer as of the durable state.
    timer_ms: Option<i64>,
    /// A due time that fired without moving, and when it may fire again.
    stuck_timer: Option<(i64, i64)>,

    delivering: Vec<u64>,
    delivered_early: Vec<u64>,
    delivery_backoff: Vec<(EntityKey, u32, i64)>,

    wake_row: WakeRow,
    wake_storing: Option<WakeRow>,
    wake_fix_ms: Option<i64>,

    snapshot_seq: u64,
    snapshot_saving: Option<u64>,
    memory_unsaved: bool,

    closing: bool,
    draining: bool,
    close_wake_tried: bool,
    close_snapshot_tried: bool,
    last_active_ms: i64,
    alarm_ms: Option<i64>,
}

impl<E: Entity> Activation<E> {
    /// A cold activation. Its first input makes it claim.
    pub fn new(entity: Arc<E>, start: Start) -> Self {
        Self {
            entity,
            key: start.key,
            shard: start.shard,
            epoch: start.epoch,
            seed: start.seed,
            seeds_used: 0,
            mutation: start.mutation,
            phase: Phase::Cold,
            claim: None,
            now_ms: 0,
            queue: VecDeque::new(),
            in_flight: None,
            unsure: None,
            fenced_once: false,
            failures: 0,
            store_failures: 0,
            unread: None,
            full_until_ms: 0,
            state: E::State::default(),
            memory: Memory::default(),
            seq: 0,
            delivered_journaled: 0,
            pending_rows: BTreeMap::new(),
            rows_writing: None,
            rows_sent: Vec::new(),
            rows_retry_ms: None,
            row_hashes: BTreeMap::new(),
            row_waiters: Vec::new(),
            running: Vec::new(),
            lost: Vec::new(),
            has_pending: false,
            recovering: false,
            recover_tried: false,
            fold_all: false,
            timer_ms: None,
            stuck_timer: None,
            delivering: Vec::new(),
            delivered_early: Vec::new(),
            delivery_backoff: Vec::new(),
            wake_row: start.wake_row,
            wake_storing: None,
            wake_fix_ms: None,
            snapshot_seq: 0,
            snapshot_saving: None,
            memory_unsaved: false,
            closing: false,
            draining: false,
            close_wake_tried: false,
            close_snapshot_tried: false,
            last_active_ms: 0,
            alarm_ms: None,
        }
    }

    /// Takes one input at `now_ms` (Unix milliseconds) and says what to do.
    pub fn on(&mut self, now_ms: i64, input: Input, out: &mut Outputs<E>) {
        self.now_ms = self.now_ms.max(now_ms);
        match input {
            Input::Command(command) => self.on_command(command, out),
            Input::Claimed(result) => self.on_claimed(result, out),
            Input::NothingThere => self.on_nothing_there(out),
            Input::Loaded(result) => self.on_loaded(result, out),
            Input::Appended(result) => self.on_appended(result, out),
            Input::RowsWritten(result) => self.on_rows_written(result, out),
            Input::SnapshotSaved(result) => self.on_snapshot_saved(result),
            Input::WakeStored(result) => self.on_wake_stored(result),
            Input::Delivered { pos, delivery } => self.on_delivered(pos, delivery),
            Input::Tick => self.on_tick(out),
            Input::EffectsLost(lost) => {
                self.lost.extend(lost);
                self.recovering = self.recovering || self.phase == Phase::Ready;
            }
            Input::Passivate => self.closing = true,
            Input::Drain => self.on_drain(out),
            Input::Erase => self.on_erase(out),
        }
        self.pump(out);
        self.deliver(out);
        self.write_rows(out);
        self.close(out);
        self.arm(out);
    }

    /// Whether state is in memory.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// The last durable sequence number this activation knows.
    pub fn durable_seq(&self) -> u64 {
        self.in_flight.as_ref().map_or(self.seq, |batch| batch.expected_seq)
    }

    /// The epoch it was started under.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The state, which is ahead of the journal while an append is in flight. For tests and diagnostics.
    pub fn state(&self) -> &E::State {
        &self.state
    }

    fn on_command(&mut self, command: Command, out: &mut Outputs<E>) {
        self.last_active_ms = self.now_ms;
        match self.phase {
            Phase::Gone(Gone::Retired) => {
                // It crossed with our leaving: stay.
                self.phase = Phase::Ready;
                self.closing = false;
                self.queue.push_back(command);
            }
            Phase::Gone(gone @ (Gone::Drained | Gone::Fenced | Gone::Erased)) => {
                let answer = self.answer_when_gone(gone);
                out.push(Output::Reply { ticket: command.ticket, answer });
                out.push(Output::Retire { gone, wake_row: self.wake_row });
            }
            Phase::Backoff { until_ms, refuse: true } => {
                let retry_after_ms = u64::try_from(until_ms - self.now_ms).unwrap_or(0).max(1);
                let answer = self.unread.clone().unwrap_or(Answer::Busy { retry_after_ms });
                out.push(Output::Reply { ticket: command.ticket, answer });
            }
            Phase::Cold | Phase::Claiming | Phase::Loading | Phase::Ready | Phase::Backoff { refuse: false, .. } => {
                self.closing = false;
                if self.draining {
                    out.push(Output::Reply {
                        ticket: command.ticket,
                        answer: Answer::Moving { retry_after_ms: close::DRAIN_RETRY_AFTER_MS },
                    });
                } else {
                    self.queue.push_back(command);
                }
            }
        }
        if self.phase == Phase::Cold {
            self.start_claim(false, out);
        }
    }

    fn on_tick(&mut self, out: &mut Outputs<E>) {
        self.alarm_ms = None;
        match self.phase {
            Phase::Cold => {
                self.last_active_ms = self.now_ms;
                self.start_claim(false, out);
            }
            Phase::Backoff { until_ms, .. } if until_ms <= self.now_ms => {
                self.start_claim(self.unsure.is_some(), out);
            }
            Phase::Backoff { .. } | Phase::Claiming | Phase::Loading | Phase::Ready | Phase::Gone(_) => {}
        }
        if self.phase == Phase::Ready && self.reads_only() && self.full_until_ms <= self.now_ms {
            // With room again, work goes on.
            self.start_claim(false, out);
        }
        self.expire(out);
        if self.idle_at_ms() <= self.now_ms {
            self.closing = true;
        }
        if self.rows_retry_ms.is_some_and(|at| at <= self.now_ms) {
            self.rows_retry_ms = None;
        }
        if self.phase == Phase::Ready && self.wake_fix_ms.is_some_and(|at| at <= self.now_ms) {
            self.fix_wake(out);
        }
    }

    /// Answers what waited too long while the store did not answer.
    fn expire(&mut self, out: &mut Outputs<E>) {
        let now_ms = self.now_ms;
        self.queue.retain(|command| {
            let expired = command.deadline_ms <= now_ms;
            if expired {
                out.push(Output::Reply { ticket: command.ticket, answer: Answer::Expired });
            }
            !expired
        });
        if let Some(unsure) = &mut self.unsure {
            unsure.gated.retain(|gated| {
                let expired = gated.command.deadline_ms <= now_ms;
                if expired {
                    out.push(Output::Reply { ticket: gated.command.ticket, answer: Answer::Unknown });
                }
                !expired
            });
        }
    }

    /// Loaded without a claim because the store had no room for one.
    fn reads_only(&self) -> bool {
        self.claim.is_none() && self.seq > 0
    }

    fn idle_at_ms(&self) -> i64 {
        self.last_active_ms.saturating_add(E::IDLE_AFTER_MS)
    }

    /// When something is to be done without another input.
    fn next_alarm_ms(&self) -> Option<i64> {
        let mut next: Option<i64> = None;
        let mut at = |when: Option<i64>| {
            if let Some(when) = when {
                next = Some(next.map_or(when, |next: i64| next.min(when)));
            }
        };
        match self.phase {
            Phase::Gone(_) => return None,
            Phase::Backoff { until_ms, .. } => at(Some(until_ms)),
            Phase::Cold | Phase::Claiming | Phase::Loading => {}
            Phase::Ready => {
                if !self.has_work() && !self.closing {
                    at(Some(self.idle_at_ms().max(self.now_ms + 1)));
                }
                if self.reads_only() {
                    at(Some(self.full_until_ms.max(self.now_ms + 1)));
                } else if self.can_decide() && self.claim.is_some() {
                    at(self.next_timer_ms());
                }
                if self.wake_storing.is_none() {
                    at(self.wake_fix_ms);
                }
                at(self.rows_retry_ms);
                at(self.delivery_backoff.iter().map(|(_, _, until)| *until).filter(|until| *until > self.now_ms).min());
            }
        }
        // Only what blocks us can make a queued command late.
        at(self.queue.iter().map(|command| command.deadline_ms).min());
        at(self.unsure.as_ref().and_then(|unsure| unsure.gated.iter().map(|gated| gated.command.deadline_ms).min()));
        next
    }

    fn arm(&mut self, out: &mut Outputs<E>) {
        if let Some(at_ms) = self.next_alarm_ms()
            && self.alarm_ms.is_none_or(|armed| at_ms < armed)
        {
            self.alarm_ms = Some(at_ms);
            out.push(Output::Alarm { at_ms });
        }
    }

    /// Randomness that differs with each call and can be replayed from the activation's seed.
    fn fresh_seed(&mut self) -> [u8; 32] {
        self.seeds_used += 1;
        *blake3::keyed_hash(&self.seed, &self.seeds_used.to_be_bytes()).as_bytes()
    }

    fn answer_when_gone(&self, gone: Gone) -> Answer {
        match gone {
            Gone::Retired | Gone::Drained => Answer::Moving { retry_after_ms: close::DRAIN_RETRY_AFTER_MS },
            Gone::Fenced => Answer::NotOwner { owner: None, epoch: self.epoch },
            Gone::Erased => Answer::Erased,
        }
    }
}

/// Exponential back-off: the first, then doubling, never above the longest.
fn backoff_ms(failures: u32) -> i64 {
    FIRST_BACKOFF_MS.saturating_mul(1_i64 << failures.min(20)).min(MAX_BACKOFF_MS)
}
