//! Claiming, loading, and what a failed append leads to.

use colloquy_store::StoreError;
use colloquy_store::journal::{Claimed, Record, Snapshot};

use super::batch::holds_append;
use super::{Activation, Batch, FULL_PAUSE_MS, Gone, Loaded, Mutation, Note, Output, Outputs, Phase, backoff_ms};
use crate::entity::{At, Entity};
use crate::error::ClusterError;
use crate::frame::Answer;
use crate::record::{Memory, OpenedSnapshot, SNAPSHOT_VERSION, event_of, open};

impl<E: Entity> Activation<E> {
    /// Takes the claim (again): after it no earlier append of ours can still happen.
    pub(super) fn start_claim(&mut self, even_if_new: bool, out: &mut Outputs<E>) {
        self.claim = None;
        self.phase = Phase::Claiming;
        out.push(Output::Claim { even_if_new });
    }

    pub(super) fn on_nothing_there(&mut self, out: &mut Outputs<E>) {
        if self.phase == Phase::Claiming {
            self.start_load(out);
        }
    }

    /// Reads the state (again) under the claim held.
    pub(super) fn start_load(&mut self, out: &mut Outputs<E>) {
        self.phase = Phase::Loading;
        let also_after = if self.fold_all { Some(0) } else { self.unsure.as_ref().map(|batch| batch.expected_seq) };
        out.push(Output::Load { also_after });
    }

    pub(super) fn on_claimed(&mut self, result: Result<Claimed, StoreError>, out: &mut Outputs<E>) {
        if self.phase != Phase::Claiming {
            return;
        }
        match result {
            Ok(claimed) => {
                self.claim = Some(claimed.claim);
                self.start_load(out);
            }
            // A claim is a write. Without room for it the state can still be read and queries answered.
            Err(StoreError::Full(_)) if self.unsure.is_none() => {
                self.full_until_ms = self.now_ms + FULL_PAUSE_MS;
                self.start_load(out);
            }
            Err(error) => self.on_store_error(error, out),
        }
    }

    pub(super) fn on_loaded(&mut self, result: Result<Loaded, StoreError>, out: &mut Outputs<E>) {
        if self.phase != Phase::Loading {
            return;
        }
        let loaded = match result {
            Ok(loaded) => loaded,
            Err(error) => return self.on_store_error(error, out),
        };
        self.forget();
        let folded = self.guarded(out, |this, _| this.fold(&loaded));
        match folded {
            Ok(Ok(Fold::Done)) => {}
            Ok(Ok(Fold::NeedsAll)) => {
                self.fold_all = true;
                return self.start_load(out);
            }
            Ok(Err(error @ ClusterError::Newer { .. })) => {
                out.push(Output::Note(Note::Newer));
                return self.refuse_unread(Answer::written_by_a_newer_version(&error), out);
            }
            Ok(Err(error)) => {
                out.push(Output::Note(Note::Unreadable));
                return self.refuse_unread(Answer::storage_damaged(&error), out);
            }
            Err(()) => return self.refuse_all(&Answer::HandlerFailed, out),
        }
        self.fold_all = false;
        self.unread = None;
        self.store_failures = 0;
        if let Some(batch) = self.unsure.take() {
            self.settle_unsure(*batch, &loaded.records, out);
        }
        if self.reads_only() && self.now_ms >= self.full_until_ms {
            // Something came in since the journal was found empty.
            return self.start_claim(true, out);
        }
        self.phase = Phase::Ready;
        self.last_active_ms = self.now_ms;
        out.push(Output::Note(Note::Activated));
        if self.guarded(out, |this, out| this.wake_up(out)).is_err() {
            self.refuse_all(&Answer::HandlerFailed, out);
        }
    }

    pub(super) fn on_appended(&mut self, result: Result<(), StoreError>, out: &mut Outputs<E>) {
        let Some(batch) = self.in_flight.take() else {
            return;
        };
        match result {
            Ok(()) => {
                self.fenced_once = false;
                self.failures = 0;
                self.acknowledge(*batch, out);
            }
            Err(StoreError::Full(_)) => self.on_full(*batch, out),
            Err(StoreError::Erased(_)) => {
                self.answer_batch(*batch, &Answer::Erased, out);
                self.on_erase(out);
            }
            Err(StoreError::TooLarge { what, size, limit }) => {
                let detail = format!("{what} of {size} bytes is above the limit of {limit}");
                self.answer_batch(*batch, &Answer::Malformed { detail }, out);
                self.start_load(out);
            }
            Err(StoreError::Invalid(detail)) => {
                self.answer_batch(*batch, &Answer::Malformed { detail }, out);
                self.start_load(out);
            }
            Err(StoreError::Fenced(_)) if self.fenced_once => {
                out.push(Output::Note(Note::Fenced));
                self.answer_batch(*batch, &Answer::NotOwner { owner: None, epoch: self.epoch }, out);
                self.leave(Gone::Fenced, out);
            }
            // Nothing happened: load once more under a new claim and decide again.
            Err(StoreError::Fenced(_) | StoreError::Conflict { .. }) => {
                self.fenced_once = true;
                self.decide_again(*batch);
                self.start_claim(true, out);
            }
            // It may have happened, and may still: the new claim ends that, then its id tells.
            Err(
                StoreError::Unknown(_)
                | StoreError::Unavailable(_)
                | StoreError::Corrupt { .. }
                | StoreError::Incompatible(_),
            ) => {
                if self.mutation == Mutation::SkipLookup {
                    self.decide_again(*batch);
                } else {
                    self.unsure = Some(batch);
                }
                self.start_claim(true, out);
            }
        }
    }

    /// The claim holds, so a late append is impossible: the id is in the journal or never will be.
    fn settle_unsure(&mut self, batch: Batch<E::Effect>, records: &[Record], out: &mut Outputs<E>) {
        if holds_append(records, batch.append_id) {
            for (seq, bytes) in batch.watched {
                out.push(Output::Watched { seq, bytes });
            }
            for gated in batch.gated {
                out.push(Output::Reply { ticket: gated.command.ticket, answer: gated.answer });
            }
        } else {
            self.decide_again(batch);
        }
    }

    fn decide_again(&mut self, batch: Batch<E::Effect>) {
        for gated in batch.gated.into_iter().rev() {
            self.queue.push_front(gated.command);
        }
    }

    fn answer_batch(&mut self, batch: Batch<E::Effect>, answer: &Answer, out: &mut Outputs<E>) {
        for gated in batch.gated {
            out.push(Output::Reply { ticket: gated.command.ticket, answer: answer.clone() });
        }
    }

    fn on_store_error(&mut self, error: StoreError, out: &mut Outputs<E>) {
        match error {
            StoreError::Fenced(_) => {
                out.push(Output::Note(Note::Fenced));
                self.leave(Gone::Fenced, out);
            }
            StoreError::Erased(_) => self.leave(Gone::Erased, out),
            StoreError::Full(_) => self.refuse_all(&Answer::storage_full(), out),
            StoreError::Corrupt { .. } | StoreError::Incompatible(_) => {
                out.push(Output::Note(Note::Unreadable));
                self.refuse_unread(Answer::storage_damaged(&error), out);
            }
            StoreError::Conflict { .. }
            | StoreError::Unknown(_)
            | StoreError::Unavailable(_)
            | StoreError::TooLarge { .. }
            | StoreError::Invalid(_) => self.refuse_all(&Answer::Unavailable { detail: error.to_string() }, out),
        }
    }

    /// What is stored cannot be read: whoever asks is told why, not that it is busy, until a later look can read it.
    fn refuse_unread(&mut self, answer: Answer, out: &mut Outputs<E>) {
        self.refuse_all(&answer, out);
        self.unread = Some(answer);
    }

    /// Nothing can be decided now: the queue is answered, and the next attempt waits. A batch of unknown outcome keeps waiting for its lookup.
    fn refuse_all(&mut self, answer: &Answer, out: &mut Outputs<E>) {
        for command in std::mem::take(&mut self.queue) {
            out.push(Output::Reply { ticket: command.ticket, answer: answer.clone() });
        }
        self.store_failures = self.store_failures.saturating_add(1);
        let until_ms = self.now_ms + backoff_ms(self.store_failures - 1);
        self.phase = Phase::Backoff { until_ms, refuse: self.unsure.is_none() };
    }

    /// Everything that came from the journal is read again.
    fn forget(&mut self) {
        self.state = E::State::default();
        self.memory = Memory::default();
        self.seq = 0;
        self.delivered_journaled = 0;
        self.snapshot_seq = 0;
        self.memory_unsaved = false;
        self.pending_rows.clear();
        self.row_hashes.clear();
        self.delivered_early.clear();
    }

    fn fold(&mut self, loaded: &Loaded) -> Result<Fold, ClusterError> {
        self.running.clone_from(&loaded.running);
        let mut rows_hash = 0;
        if let Some(snapshot) = &loaded.snapshot {
            let usable = match self.read_snapshot(snapshot) {
                Some((Some(state), memory, rows)) => {
                    self.memory = memory;
                    self.state = state;
                    self.seq = snapshot.seq;
                    self.snapshot_seq = snapshot.seq;
                    rows_hash = rows;
                    true
                }
                // Of a snapshot whose state has another shape only what was delivered still counts; the rest is folded anew.
                Some((None, memory, _)) => {
                    self.memory.delivered = memory.delivered;
                    false
                }
                None => false,
            };
            if !usable && snapshot.seq > 0 && loaded.records.first().is_none_or(|first| first.seq != 1) {
                return Ok(Fold::NeedsAll);
            }
        }
        for record in &loaded.records {
            if record.seq <= self.seq {
                continue;
            }
            if record.seq != self.seq + 1 {
                return Err(ClusterError::Unreadable {
                    place: format!("{} event {}", self.key, self.seq + 1),
                    detail: format!("missing, the next one stored is {}", record.seq),
                });
            }
            let opened = open(&self.key, record)?;
            let event = event_of::<E>(&self.key, record.seq, &opened)?;
            let at = At { seq: record.seq, at_ms: opened.at };
            E::apply(&mut self.state, &event, at);
            self.seq = record.seq;
            self.now_ms = self.now_ms.max(opened.at);
            self.memory.note(&opened);
            let delivered = self.memory.delivered;
            let outgoing = self.outgoing(&event, at);
            self.memory.outbox.extend(outgoing.into_iter().filter(|message| message.pos > delivered));
        }
        self.delivered_journaled = self.memory.delivered;
        self.know_rows(rows_hash);
        Ok(Fold::Done)
    }

    /// A snapshot's parts: state (unless its shape changed), what the runtime remembers, and the hash of its written rows. `None` when it
    /// cannot be read; a snapshot only saves folding, so the journal is folded from its start then.
    fn read_snapshot(&self, snapshot: &Snapshot) -> Option<(Option<E::State>, Memory, u64)> {
        let opened: OpenedSnapshot<'_> = serde_json::from_slice(&snapshot.bytes).ok()?;
        if opened.v != SNAPSHOT_VERSION {
            return None;
        }
        if opened.sv != E::STATE_VERSION {
            return Some((None, opened.m, 0));
        }
        let state = serde_json::from_str(opened.s.get()).ok()?;
        Some((Some(state), opened.m, opened.rows))
    }
}

/// Whether the records that were read are enough.
enum Fold {
    /// State, memory and place are those of the journal.
    Done,
    /// The snapshot is of no use, and the records before it were not read.
    NeedsAll,
}
