//! What follows once a batch is durable: replies, pushes, rows, effects, messages, snapshots, the wake row.

use bytes::Bytes;
use colloquy_store::StoreError;
use colloquy_store::journal::Snapshot;
use colloquy_store::rows::Row;
use colloquy_store::wake::Wake;

use super::{
    Activation, Batch, Delivery, FIRST_BACKOFF_MS, MAX_DELIVERING, Mutation, Note, Output, Outputs, Phase, RowWaiter,
    WAKE_LINGER_MS, WakeRow, backoff_ms,
};
use crate::entity::{Entity, Message, Pending};
use crate::record::{SNAPSHOT_VERSION, SnapshotEnvelope, stable_hash};

impl<E: Entity> Activation<E> {
    /// The append is durable: let everything out.
    pub(super) fn acknowledge(&mut self, batch: Batch<E::Effect>, out: &mut Outputs<E>) {
        self.recover_tried = false;
        self.delivered_journaled = self.delivered_journaled.max(batch.delivered);
        if let Some(due_ms) = batch.wake {
            self.wake_row = WakeRow::At(due_ms);
        }
        for row in batch.rows {
            self.pending_rows.insert((row.list.clone(), row.id.clone()), row);
        }
        for gated in batch.gated {
            let (ticket, answer) = (gated.command.ticket, gated.answer);
            if gated.command.after_rows && !(self.pending_rows.is_empty() && self.rows_writing.is_none()) {
                self.row_waiters.push(RowWaiter { seq: self.seq, ticket, answer });
            } else if self.mutation != Mutation::AckBeforeAppend {
                out.push(Output::Reply { ticket, answer });
            }
        }
        for (seq, bytes) in batch.watched {
            out.push(Output::Watched { seq, bytes });
        }
        self.memory.outbox.extend(batch.outbox);
        self.reconcile(batch.pending, out);
        self.snapshot_if_due(out);
        self.plan_wake();
    }

    /// The first look at a loaded state: what is due, what was left undone.
    pub(super) fn wake_up(&mut self, out: &mut Outputs<E>) {
        if self.seq == 0 {
            // What has no events has nothing to do; a wake row it still has goes.
            (self.timer_ms, self.has_pending, self.recovering) = (None, false, false);
            return self.plan_wake();
        }
        self.timer_ms = E::timer(&self.state);
        let pending = E::pending(&self.state);
        self.has_pending = !pending.is_empty();
        let orphaned = pending
            .iter()
            .any(|effect| !self.running.iter().any(|(id, attempt)| *id == effect.id && *attempt == effect.attempt));
        let recover = (orphaned && !self.recover_tried) || !self.lost.is_empty();
        self.recovering = recover && self.claim.is_some();
        if !self.recovering && self.claim.is_some() {
            self.reconcile(pending, out);
        }
        self.plan_wake();
    }

    /// Starts what is pending and not running, cancels what runs and is no longer pending.
    pub(super) fn reconcile(&mut self, pending: Vec<Pending<E::Effect>>, out: &mut Outputs<E>) {
        self.has_pending = !pending.is_empty();
        self.running.retain(|(id, attempt)| {
            let wanted = pending.iter().any(|effect| effect.id == *id && effect.attempt == *attempt);
            if !wanted {
                out.push(Output::CancelEffect { id: id.clone(), attempt: *attempt });
            }
            wanted
        });
        for Pending { id, attempt, effect } in pending {
            if !self.running.iter().any(|(known, known_attempt)| *known == id && *known_attempt == attempt) {
                self.running.push((id.clone(), attempt));
                out.push(Output::StartEffect { id, attempt, effect });
            }
        }
    }

    /// Whether something is left that a crash must not lose sight of.
    pub(super) fn has_work(&self) -> bool {
        self.has_pending
            || !self.memory.outbox.is_empty()
            || !self.pending_rows.is_empty()
            || self.rows_writing.is_some()
            || self.in_flight.is_some()
            || self.unsure.is_some()
    }

    // --- rows ---

    /// The rows whose content differs from what was last written.
    pub(super) fn changed_rows(&mut self) -> Vec<Row> {
        let rows = self.entity.rows(&self.key, &self.state, self.seq);
        let mut changed = Vec::new();
        for row in rows {
            let (name, content) = row_hashes(&row);
            if self.row_hashes.insert(name, content) != Some(content) {
                changed.push(row);
            }
        }
        changed
    }

    /// After a load: if the snapshot says that exactly these rows are written, they are; else all are written again.
    pub(super) fn know_rows(&mut self, written: u64) {
        if self.seq == 0 {
            // Nobody ever wrote to it: it has no place in any list.
            return;
        }
        let rows = self.changed_rows();
        if self.rows_digest() != written {
            for row in rows {
                self.pending_rows.insert((row.list.clone(), row.id.clone()), row);
            }
        }
    }

    fn rows_digest(&self) -> u64 {
        let mut digest = 0_u64;
        for (name, content) in &self.row_hashes {
            digest = digest.rotate_left(5).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ name ^ content.rotate_left(17);
        }
        digest
    }

    /// Writes the rows that wait, one write at a time; replies that wait for rows go out when none are left.
    pub(super) fn write_rows(&mut self, out: &mut Outputs<E>) {
        if self.rows_writing.is_some() {
            return;
        }
        if self.pending_rows.is_empty() {
            for waiter in std::mem::take(&mut self.row_waiters) {
                out.push(Output::Reply { ticket: waiter.ticket, answer: waiter.answer });
            }
            return;
        }
        if self.rows_retry_ms.is_some() || !matches!(self.phase, Phase::Ready) {
            return;
        }
        let rows: Vec<Row> = std::mem::take(&mut self.pending_rows).into_values().collect();
        let upto = rows.iter().map(|row| row.seq).max().unwrap_or(self.seq);
        self.rows_writing = Some(upto);
        self.rows_sent.clone_from(&rows);
        out.push(Output::WriteRows(rows));
    }

    pub(super) fn on_rows_written(&mut self, result: Result<(), StoreError>, out: &mut Outputs<E>) {
        let Some(upto) = self.rows_writing.take() else {
            return;
        };
        let rows = std::mem::take(&mut self.rows_sent);
        match result {
            Ok(()) => {
                // A projection's code must not take the entity down; its notes are best effort anyway.
                let entity = self.entity.clone();
                let key = self.key.clone();
                let told = self.guarded(out, |_, _| entity.tell(&key, &rows)).unwrap_or_default();
                out.extend(told.into_iter().map(Output::Tell));
                let (ready, waiting) = self.row_waiters.drain(..).partition(|waiter: &RowWaiter| waiter.seq <= upto);
                self.row_waiters = waiting;
                let ready: Vec<RowWaiter> = ready;
                for waiter in ready {
                    out.push(Output::Reply { ticket: waiter.ticket, answer: waiter.answer });
                }
            }
            Err(StoreError::TooLarge { .. } | StoreError::Invalid(_)) => {
                out.push(Output::Note(Note::RowsRefused));
            }
            Err(
                StoreError::Fenced(_)
                | StoreError::Conflict { .. }
                | StoreError::Unknown(_)
                | StoreError::Full(_)
                | StoreError::Corrupt { .. }
                | StoreError::Incompatible(_)
                | StoreError::Unavailable(_)
                | StoreError::Erased(_),
            ) => {
                // The fact is durable and the rows will follow; who waited for them need not wait for the store to recover.
                for row in rows {
                    self.pending_rows.entry((row.list.clone(), row.id.clone())).or_insert(row);
                }
                self.rows_retry_ms = Some(self.now_ms + FIRST_BACKOFF_MS * 10);
                for waiter in std::mem::take(&mut self.row_waiters) {
                    out.push(Output::Reply { ticket: waiter.ticket, answer: waiter.answer });
                }
            }
        }
        self.plan_wake();
    }

    // --- outbox ---

    /// Sends what waits: in order per receiver, one message of each at a time.
    pub(super) fn deliver(&mut self, out: &mut Outputs<E>) {
        // Without a claim we may be reading another activation's past.
        if self.memory.outbox.is_empty() || self.phase != Phase::Ready || self.claim.is_none() {
            return;
        }
        let mut blocked: Vec<&colloquy_store::EntityKey> = Vec::new();
        let now_ms = self.now_ms;
        let mut begun = Vec::new();
        for message in &self.memory.outbox {
            if self.delivering.len() + begun.len() >= MAX_DELIVERING || blocked.len() >= MAX_DELIVERING {
                break;
            }
            if self.delivered_early.contains(&message.pos) || blocked.contains(&&message.to) {
                continue;
            }
            blocked.push(&message.to);
            let waits = self.delivery_backoff.iter().any(|(to, _, until)| *to == message.to && *until > now_ms);
            if !waits && !self.delivering.contains(&message.pos) {
                begun.push(message.pos);
                let message = Message { to: message.to.clone(), command: message.command.clone() };
                out.push(Output::Deliver { pos: *begun.last().unwrap_or(&0), message });
            }
        }
        self.delivering.extend(begun);
    }

    pub(super) fn on_delivered(&mut self, pos: u64, delivery: Delivery) {
        self.delivering.retain(|known| *known != pos);
        let Some(message) = self.memory.outbox.iter().find(|message| message.pos == pos) else {
            return;
        };
        let to = message.to.clone();
        match delivery {
            Delivery::Settled => {
                self.delivery_backoff.retain(|(receiver, _, _)| *receiver != to);
                self.delivered_early.push(pos);
                while let Some(front) = self.memory.outbox.front().map(|message| message.pos) {
                    let Some(at) = self.delivered_early.iter().position(|done| *done == front) else {
                        break;
                    };
                    self.delivered_early.swap_remove(at);
                    self.memory.delivered_to(front);
                    self.memory_unsaved = true;
                }
                self.plan_wake();
            }
            Delivery::Retry => {
                let known = self.delivery_backoff.iter().position(|(receiver, _, _)| *receiver == to);
                let failures = known.map_or(0, |at| self.delivery_backoff.swap_remove(at).1);
                let until_ms = self.now_ms + backoff_ms(failures);
                self.delivery_backoff.push((to, failures.saturating_add(1), until_ms));
            }
        }
    }

    // --- wake row ---

    /// When the entity must be woken if it is not in memory, as far as is durable.
    pub(super) fn wanted_wake_ms(&self) -> Option<i64> {
        if self.has_work() { Some(0) } else { self.timer_ms }
    }

    fn wake_differs(&self) -> bool {
        match (self.wanted_wake_ms(), self.wake_row) {
            (None, WakeRow::Absent) => false,
            (Some(wanted), WakeRow::At(stored)) => wanted != stored,
            (None, WakeRow::At(_) | WakeRow::Unsure) | (Some(_), WakeRow::Absent | WakeRow::Unsure) => true,
        }
    }

    /// Work has come or gone: put the wake row right a little later, if it is still wrong then.
    pub(super) fn plan_wake(&mut self) {
        if self.in_flight.is_none() && self.wake_differs() {
            if self.wake_fix_ms.is_none() {
                self.wake_fix_ms = Some(self.now_ms + WAKE_LINGER_MS);
            }
        } else {
            self.wake_fix_ms = None;
        }
    }

    /// Writes or removes the wake row so that it says what is wanted. Never while an append is in flight: it brings its own.
    pub(super) fn fix_wake(&mut self, out: &mut Outputs<E>) {
        self.wake_fix_ms = None;
        if self.in_flight.is_some() || self.wake_storing.is_some() || !self.wake_differs() {
            return;
        }
        match self.wanted_wake_ms() {
            Some(due_ms) => {
                self.wake_storing = Some(WakeRow::At(due_ms));
                let wake = Wake { shard: self.shard, key: self.key.clone(), epoch: self.epoch, due_ms };
                out.push(Output::PutWake(wake));
            }
            None => {
                self.wake_storing = Some(WakeRow::Absent);
                out.push(Output::RemoveWake);
            }
        }
    }

    pub(super) fn on_wake_stored(&mut self, result: Result<(), StoreError>) {
        let Some(stored) = self.wake_storing.take() else {
            return;
        };
        self.wake_row = if result.is_ok() { stored } else { WakeRow::Unsure };
        self.plan_wake();
    }

    // --- snapshots ---

    fn snapshot_if_due(&mut self, out: &mut Outputs<E>) {
        if self.seq.saturating_sub(self.snapshot_seq) >= E::SNAPSHOT_EVERY {
            self.save_snapshot(out);
        }
    }

    /// Keeps the state as it is. Only when nothing is in flight, so that it holds nothing that is not durable.
    pub(super) fn save_snapshot(&mut self, out: &mut Outputs<E>) {
        if self.snapshot_saving.is_some() || self.in_flight.is_some() {
            return;
        }
        let rows_written = self.pending_rows.is_empty() && self.rows_writing.is_none();
        let envelope = SnapshotEnvelope {
            v: SNAPSHOT_VERSION,
            sv: E::STATE_VERSION,
            m: &self.memory,
            rows: if rows_written { self.rows_digest() } else { !self.rows_digest() },
            s: &self.state,
        };
        // A state that JSON cannot express is folded from the journal each time.
        let Ok(bytes) = serde_json::to_vec(&envelope) else {
            return;
        };
        self.snapshot_saving = Some(self.seq);
        self.memory_unsaved = false;
        out.push(Output::SaveSnapshot(Snapshot { seq: self.seq, bytes: Bytes::from(bytes) }));
    }

    pub(super) fn on_snapshot_saved(&mut self, result: Result<(), StoreError>) {
        if let Some(seq) = self.snapshot_saving.take()
            && result.is_ok()
        {
            self.snapshot_seq = self.snapshot_seq.max(seq);
        }
    }
}

/// A row's name and content as two numbers.
fn row_hashes(row: &Row) -> (u64, u64) {
    let empty: &[u8] = &[];
    let name = stable_hash(&[row.list.as_bytes(), row.id.as_bytes()]);
    let content = stable_hash(&[
        &row.at_ms.to_be_bytes(),
        &row.view_version.to_be_bytes(),
        &[u8::from(row.body.is_some()), u8::from(row.numbers.is_some())],
        row.body.as_deref().unwrap_or(empty),
        row.numbers.as_deref().unwrap_or(empty),
    ]);
    (name, content)
}
