//! Deciding what queued up, in order, into one append.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use colloquy_store::journal::Append;
use colloquy_store::wake::Wake;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    Activation, Batch, Command, FAILURES_BEFORE_BACKOFF, FULL_PAUSE_MS, Gated, MAX_BATCH_BYTES, MAX_BATCH_COMMANDS,
    MAX_COMMAND_EVENT_BYTES, MAX_EVENT_BYTES, Mutation, Note, Output, Outputs, Phase, STUCK_TIMER_RETRY_MS, WakeRow,
    backoff_ms,
};
use crate::entity::{At, Cx, Decision, Entity};
use crate::frame::{Answer, Source};
use crate::record::{Envelope, OUTBOX_INDEX_BITS, Outgoing, RECORD_VERSION, outbox_pos};

/// What one command led to, before its answer is let out.
enum Step {
    /// An answer; with or without events in the batch.
    Answered(Answer),
    /// It must write, and this activation may not yet: it has no claim.
    NeedsClaim,
}

/// What came with a command besides the command.
#[derive(Clone, Copy, Default)]
struct Meta<'a> {
    key: Option<&'a str>,
    source: Option<&'a Source>,
}

impl<E: Entity> Activation<E> {
    pub(super) fn can_decide(&self) -> bool {
        // A wake row on its way must not overtake the one an append brings.
        self.phase == Phase::Ready && self.in_flight.is_none() && self.wake_storing.is_none()
    }

    /// Decides what is queued and sends the append, if this is the moment.
    pub(super) fn pump(&mut self, out: &mut Outputs<E>) {
        if self.mutation == Mutation::EarlyQueries && self.phase == Phase::Ready && self.in_flight.is_some() {
            self.answer_early(out);
        }
        if !self.can_decide() {
            return;
        }
        let mut batch = Box::new(self.new_batch());
        if self.guarded(out, |this, out| this.internal_work(&mut batch, out)).is_err() {
            return;
        }
        while batch.gated.len() < MAX_BATCH_COMMANDS && batch.bytes < MAX_BATCH_BYTES {
            let Some(command) = self.queue.pop_front() else {
                break;
            };
            if command.deadline_ms <= self.now_ms {
                out.push(Output::Reply { ticket: command.ticket, answer: Answer::Expired });
                continue;
            }
            match self.guarded(out, |this, _| this.decide_frame(&command, &mut batch)) {
                Ok(Step::Answered(answer)) if batch.events.is_empty() => {
                    self.failures = 0;
                    out.push(Output::Reply { ticket: command.ticket, answer });
                }
                Ok(Step::Answered(answer)) => {
                    if self.mutation == Mutation::AckBeforeAppend {
                        out.push(Output::Reply { ticket: command.ticket, answer: answer.clone() });
                    }
                    batch.gated.push(Gated { command, answer });
                }
                Ok(Step::NeedsClaim) => {
                    self.queue.push_front(command);
                    self.start_claim(true, out);
                    return;
                }
                Err(()) => {
                    out.push(Output::Reply { ticket: command.ticket, answer: Answer::HandlerFailed });
                    // The state may hold half of this command: what was decided before it is decided again.
                    for gated in batch.gated.into_iter().rev() {
                        self.queue.push_front(gated.command);
                    }
                    self.after_failure(out);
                    return;
                }
            }
        }
        if !batch.events.is_empty() {
            self.send(batch, out);
        }
    }

    /// Runs code of the entity; a panic becomes an error and a note.
    pub(super) fn guarded<T>(
        &mut self,
        out: &mut Outputs<E>,
        run: impl FnOnce(&mut Self, &mut Outputs<E>) -> T,
    ) -> Result<T, ()> {
        // The callers drop or reload the state after an error, so nothing half-changed is looked at again.
        catch_unwind(AssertUnwindSafe(|| run(self, out))).map_err(|_: Box<dyn Any + Send>| {
            out.push(Output::Note(Note::Panicked));
        })
    }

    /// After a panic of the entity's code: reload, and back off when it keeps happening.
    pub(super) fn after_failure(&mut self, out: &mut Outputs<E>) {
        self.failures = self.failures.saturating_add(1);
        if self.failures < FAILURES_BEFORE_BACKOFF {
            self.start_load(out);
            return;
        }
        let wait_ms = backoff_ms(self.failures - FAILURES_BEFORE_BACKOFF);
        self.phase = Phase::Backoff { until_ms: self.now_ms + wait_ms, refuse: true };
        let retry_after_ms = u64::try_from(wait_ms).unwrap_or(1);
        for command in std::mem::take(&mut self.queue) {
            out.push(Output::Reply { ticket: command.ticket, answer: Answer::Busy { retry_after_ms } });
        }
    }

    fn new_batch(&mut self) -> Batch<E::Effect> {
        let seed = self.fresh_seed();
        let mut id = [0; 16];
        id.copy_from_slice(&seed[..16]);
        Batch {
            append_id: uuid::Builder::from_random_bytes(id).into_uuid(),
            expected_seq: self.seq,
            gated: Vec::new(),
            events: Vec::new(),
            bytes: 0,
            watched: Vec::new(),
            outbox: Vec::new(),
            rows: Vec::new(),
            pending: Vec::new(),
            wake: None,
            delivered: self.delivered_journaled,
        }
    }

    /// The commands nobody sends: after a crash, and when the timer is due.
    fn internal_work(&mut self, batch: &mut Batch<E::Effect>, out: &mut Outputs<E>) {
        if self.claim.is_none() || self.now_ms < self.full_until_ms {
            return;
        }
        if self.recovering {
            self.recovering = false;
            self.recover_tried = true;
            let lost = std::mem::take(&mut self.lost);
            self.running.retain(|running| !lost.contains(running));
            out.push(Output::Note(Note::Recovered));
            if let Some(command) = E::on_recovered(&self.state) {
                self.decide(command, Meta::default(), batch);
            }
            if batch.events.is_empty() {
                let pending = E::pending(&self.state);
                self.reconcile(pending, out);
            }
        }
        if batch.events.is_empty()
            && let Some(due_ms) = self.timer_ms
            && self.next_timer_ms().is_some_and(|at| at <= self.now_ms)
        {
            out.push(Output::Note(Note::TimerFired));
            self.stuck_timer = Some((due_ms, self.now_ms + STUCK_TIMER_RETRY_MS));
            if let Some(command) = E::on_timer(&self.state, self.now_ms) {
                self.decide(command, Meta::default(), batch);
            }
        }
    }

    /// When the timer is to fire next: its due time, or later when it fired already and did not move.
    pub(super) fn next_timer_ms(&self) -> Option<i64> {
        let due_ms = self.timer_ms?;
        match self.stuck_timer {
            Some((fired_for, again_ms)) if fired_for == due_ms => Some(again_ms),
            Some(_) | None => Some(due_ms.max(self.full_until_ms)),
        }
    }

    fn decide_frame(&mut self, command: &Command, batch: &mut Batch<E::Effect>) -> Step {
        if let Some(key) = command.idempotency_key.as_deref()
            && self.mutation != Mutation::SkipIdempotency
            && let Some(reply) = self.memory.answered(key, self.now_ms)
        {
            return Step::Answered(Answer::Ok(reply.clone()));
        }
        if let Some(source) = &command.source
            && self.mutation != Mutation::ForgetSources
            && self.memory.has_heard(source)
        {
            return Step::Answered(Answer::Ok(Bytes::new()));
        }
        let decoded = match serde_json::from_slice::<E::Command>(&command.bytes) {
            Ok(decoded) => decoded,
            Err(error) => {
                // serde's message may quote the content, which is somebody's text.
                let detail = format!("{} command: {:?} error at byte {}", E::KIND, error.classify(), error.column());
                return Step::Answered(Answer::Malformed { detail });
            }
        };
        let meta = Meta { key: command.idempotency_key.as_deref(), source: command.source.as_ref() };
        self.decide(decoded, meta, batch)
    }

    /// Decides one command on the state as the batch has left it, and applies what it led to.
    fn decide(&mut self, command: E::Command, meta: Meta<'_>, batch: &mut Batch<E::Effect>) -> Step {
        let seed = self.fresh_seed();
        let cx = Cx { key: self.key.clone(), now_ms: self.now_ms, seed, seq: self.seq };
        let Decision { events, reply } = match self.entity.decide(&self.state, &cx, command) {
            Ok(decision) => decision,
            Err(rejection) => {
                let answer = serde_json::to_vec(&rejection)
                    .map_or(Answer::HandlerFailed, |bytes| Answer::Rejected(Bytes::from(bytes)));
                return Step::Answered(answer);
            }
        };
        let Ok(reply) = serde_json::to_string(&reply) else {
            return Step::Answered(Answer::HandlerFailed);
        };
        if events.is_empty() {
            return Step::Answered(Answer::Ok(Bytes::from(reply)));
        }
        if self.now_ms < self.full_until_ms {
            return Step::Answered(Answer::storage_full());
        }
        if self.claim.is_none() {
            return Step::NeedsClaim;
        }
        let reply = Bytes::from(reply);
        match self.encode(&events, &reply, meta, batch) {
            Ok(encoded) => {
                for bytes in encoded {
                    batch.bytes += bytes.len();
                    batch.events.push(bytes);
                }
            }
            Err(answer) => return Step::Answered(answer),
        }
        if let Some(key) = meta.key {
            self.memory.remember(key, reply.clone(), self.now_ms);
        }
        if let Some(source) = meta.source {
            self.memory.hear(source, self.now_ms);
        }
        for event in &events {
            self.apply(event, batch);
        }
        Step::Answered(Answer::Ok(reply))
    }

    fn encode(
        &self,
        events: &[E::Event],
        reply: &Bytes,
        meta: Meta<'_>,
        batch: &mut Batch<E::Effect>,
    ) -> Result<Vec<Bytes>, Answer> {
        let reply: Option<&RawValue> = match meta.key {
            Some(_) => Some(serde_json::from_slice(reply).map_err(|_| Answer::HandlerFailed)?),
            None => None,
        };
        let cursor = (self.memory.delivered > batch.delivered).then_some(self.memory.delivered);
        let mut encoded = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            let first = index == 0;
            let envelope = Envelope {
                v: RECORD_VERSION,
                ev: E::EVENT_VERSION,
                at: self.now_ms,
                k: meta.key.filter(|_| first),
                r: reply.filter(|_| first),
                src: meta.source.filter(|_| first),
                o: cursor.filter(|_| first),
                e: event,
            };
            let bytes = serde_json::to_vec(&envelope).map_err(|_| Answer::HandlerFailed)?;
            if bytes.len() > MAX_EVENT_BYTES {
                let detail = format!("an event of {} bytes is above the limit of {MAX_EVENT_BYTES}", bytes.len());
                return Err(Answer::Malformed { detail });
            }
            encoded.push(Bytes::from(bytes));
        }
        let total: usize = encoded.iter().map(Bytes::len).sum();
        if total > MAX_COMMAND_EVENT_BYTES {
            let detail = format!("events of {total} bytes are above the limit of {MAX_COMMAND_EVENT_BYTES}");
            return Err(Answer::Malformed { detail });
        }
        batch.delivered = cursor.unwrap_or(batch.delivered);
        Ok(encoded)
    }

    fn apply(&mut self, event: &E::Event, batch: &mut Batch<E::Effect>) {
        self.seq += 1;
        let at = At { seq: self.seq, at_ms: self.now_ms };
        E::apply(&mut self.state, event, at);
        if let Some(bytes) = self.entity.watched(&self.key, &self.state, event, at) {
            batch.watched.push((self.seq, bytes));
        }
        batch.outbox.extend(self.outgoing(event, at));
    }

    /// The outbox messages of an event, with their places.
    pub(super) fn outgoing(&self, event: &E::Event, at: At) -> Vec<Outgoing> {
        self.entity
            .outbox(&self.key, &self.state, event, at)
            .into_iter()
            .take(1 << OUTBOX_INDEX_BITS)
            .enumerate()
            .map(|(index, message)| Outgoing {
                pos: outbox_pos(at.seq, index),
                to: message.to,
                command: message.command,
            })
            .collect()
    }

    /// Sends a batch to the journal, with what must be known before: the work it leaves.
    fn send(&mut self, mut batch: Box<Batch<E::Effect>>, out: &mut Outputs<E>) {
        let Some(claim) = self.claim else { return };
        let derived =
            self.guarded(out, |this, _| (this.changed_rows(), E::pending(&this.state), E::timer(&this.state)));
        let Ok((rows, pending, timer_ms)) = derived else {
            for gated in batch.gated {
                out.push(Output::Reply { ticket: gated.command.ticket, answer: Answer::HandlerFailed });
            }
            self.after_failure(out);
            return;
        };
        let leaves_work = !rows.is_empty()
            || !pending.is_empty()
            || !batch.outbox.is_empty()
            || !self.memory.outbox.is_empty()
            || !self.pending_rows.is_empty()
            || self.rows_writing.is_some();
        let wanted = if leaves_work { Some(0) } else { timer_ms };
        batch.wake = wanted.filter(|due_ms| match self.wake_row {
            WakeRow::Absent | WakeRow::Unsure => true,
            WakeRow::At(stored_ms) => stored_ms > *due_ms,
        });
        batch.rows = rows;
        batch.pending = pending;
        self.timer_ms = timer_ms;
        let wake =
            batch.wake.map(|due_ms| Wake { shard: self.shard, key: self.key.clone(), epoch: self.epoch, due_ms });
        let append = Append { id: batch.append_id, events: std::mem::take(&mut batch.events), wake };
        let expected_seq = batch.expected_seq;
        out.push(Output::Note(Note::Batch(batch.gated.len())));
        self.in_flight = Some(batch);
        out.push(Output::Append { claim, expected_seq, append });
    }

    /// The store has no room: nothing was written, reads go on.
    pub(super) fn on_full(&mut self, batch: Batch<E::Effect>, out: &mut Outputs<E>) {
        self.full_until_ms = self.now_ms + FULL_PAUSE_MS;
        for gated in batch.gated {
            out.push(Output::Reply { ticket: gated.command.ticket, answer: Answer::storage_full() });
        }
        self.start_load(out);
    }

    /// The mutant that lets queries see what is not durable.
    fn answer_early(&mut self, out: &mut Outputs<E>) {
        for command in std::mem::take(&mut self.queue) {
            let cx = Cx { key: self.key.clone(), now_ms: self.now_ms, seed: [0; 32], seq: self.seq };
            let decided = self.guarded(out, |this, _| {
                let decoded = serde_json::from_slice::<E::Command>(&command.bytes).ok()?;
                this.entity.decide(&this.state, &cx, decoded).ok()
            });
            match decided {
                Ok(Some(decision)) if decision.events.is_empty() => {
                    let reply = serde_json::to_vec(&decision.reply).unwrap_or_default();
                    out.push(Output::Reply { ticket: command.ticket, answer: Answer::Ok(Bytes::from(reply)) });
                }
                Ok(Some(_) | None) | Err(()) => self.queue.push_back(command),
            }
        }
    }
}

/// An id is found in a journal that was loaded after an unknown outcome.
pub(super) fn holds_append(records: &[colloquy_store::journal::Record], id: Uuid) -> bool {
    records.iter().any(|record| record.append_id == id)
}
