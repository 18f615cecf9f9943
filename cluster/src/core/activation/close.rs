//! Leaving memory: when idle, when drained, when fenced, when erased.

use super::{Activation, Gone, Output, Outputs, Phase, WakeRow};
use crate::entity::Entity;
use crate::frame::Answer;

/// What a sender is told to wait while its entity's node drains, milliseconds: about as long as a hand-over takes.
pub(super) const DRAIN_RETRY_AFTER_MS: u64 = 200;

impl<E: Entity> Activation<E> {
    pub(super) fn on_drain(&mut self, out: &mut Outputs<E>) {
        self.draining = true;
        for command in std::mem::take(&mut self.queue) {
            let answer = Answer::Moving { retry_after_ms: DRAIN_RETRY_AFTER_MS };
            out.push(Output::Reply { ticket: command.ticket, answer });
        }
    }

    pub(super) fn on_erase(&mut self, out: &mut Outputs<E>) {
        for (id, attempt) in std::mem::take(&mut self.running) {
            out.push(Output::CancelEffect { id, attempt });
        }
        // An append in flight is sealed with a key that no longer exists: whatever its outcome, nobody will read it.
        for batch in self.in_flight.take().into_iter().chain(self.unsure.take()) {
            for gated in batch.gated {
                out.push(Output::Reply { ticket: gated.command.ticket, answer: Answer::Erased });
            }
        }
        out.push(Output::RemoveWake);
        self.timer_ms = None;
        self.wake_row = WakeRow::Absent;
        self.leave(Gone::Erased, out);
    }

    /// Goes out of service at once.
    pub(super) fn leave(&mut self, gone: Gone, out: &mut Outputs<E>) {
        let answer = self.answer_when_gone(gone);
        let gated = self.unsure.take().into_iter().flat_map(|batch| batch.gated);
        for gated in gated {
            out.push(Output::Reply { ticket: gated.command.ticket, answer: Answer::Unknown });
        }
        for waiter in std::mem::take(&mut self.row_waiters) {
            out.push(Output::Reply { ticket: waiter.ticket, answer: waiter.answer });
        }
        for command in std::mem::take(&mut self.queue) {
            out.push(Output::Reply { ticket: command.ticket, answer: answer.clone() });
        }
        self.phase = Phase::Gone(gone);
        out.push(Output::Retire { gone, wake_row: self.wake_row });
    }

    /// Goes on leaving, one step at a time: rows, wake row, snapshot, gone.
    pub(super) fn close(&mut self, out: &mut Outputs<E>) {
        if !self.closing && !self.draining {
            self.close_wake_tried = false;
            self.close_snapshot_tried = false;
            return;
        }
        match self.phase {
            Phase::Gone(_) => return,
            // Nothing was changed yet, so there is nothing to save.
            Phase::Cold | Phase::Claiming | Phase::Loading | Phase::Backoff { .. } => {
                if self.draining {
                    self.leave(Gone::Drained, out);
                }
                return;
            }
            Phase::Ready => {}
        }
        if self.in_flight.is_some() {
            return;
        }
        if self.closing && !self.draining && (self.has_work() || !self.queue.is_empty()) {
            self.closing = false;
            self.last_active_ms = self.now_ms;
            return;
        }
        if self.wake_storing.is_some() || self.snapshot_saving.is_some() || self.rows_writing.is_some() {
            return;
        }
        if !self.close_wake_tried {
            self.close_wake_tried = true;
            self.fix_wake(out);
            if self.wake_storing.is_some() {
                return;
            }
        }
        if !self.close_snapshot_tried {
            self.close_snapshot_tried = true;
            if self.seq > self.snapshot_seq || self.memory_unsaved {
                self.save_snapshot(out);
                if self.snapshot_saving.is_some() {
                    return;
                }
            }
        }
        let gone = if self.draining { Gone::Drained } else { Gone::Retired };
        self.phase = Phase::Gone(gone);
        for waiter in std::mem::take(&mut self.row_waiters) {
            out.push(Output::Reply { ticket: waiter.ticket, answer: waiter.answer });
        }
        out.push(Output::Retire { gone, wake_row: self.wake_row });
    }
}
