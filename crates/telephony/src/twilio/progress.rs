//! Where a call stands, out of steps that arrive late, twice, in the wrong order or contradict each other.
//!
//! Rules: a step counts once; a call never goes back; the first end stands, whatever is said later. A sequence number decides which of two
//! steps is newer; where one is missing, how far along a step is decides.

use serde::{Deserialize, Serialize};

use super::callbacks::{AnsweredBy, CallStatus, StatusCallback};
use crate::call::CallEnd;

/// Sequence numbers that are remembered one by one. A call has four or five steps; one with more is not distinguished further.
const REMEMBERED: u64 = 64;

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It moved the call.
    Moved,
    /// It was here before.
    Repeated,
    /// It happened before what is already known.
    Late,
    /// The call had ended otherwise. Worth a line in a log: the provider contradicts itself.
    Contradicted,
    /// A word we do not know; it says nothing.
    Unknown,
}

/// A call as its steps tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    status: Option<CallStatus>,
    newest: Option<u64>,
    seen: u64,
    answered_by: Option<AnsweredBy>,
    sip_response: Option<i64>,
    /// Seconds that are paid for.
    pub duration_s: Option<i64>,
    /// Whether it was ever answered, also when that step came after the end.
    pub was_answered: bool,
}

impl Progress {
    /// A call that was just placed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a step.
    pub fn on_status(&mut self, step: &StatusCallback) -> Step {
        if let Some(sequence) = step.sequence.filter(|sequence| *sequence < REMEMBERED) {
            if self.seen & (1 << sequence) != 0 {
                return Step::Repeated;
            }
            self.seen |= 1 << sequence;
        }
        let Some(order) = step.status.order() else { return Step::Unknown };
        self.was_answered |= step.status == CallStatus::InProgress || step.status == CallStatus::Completed;
        // A finding that came with a step counts like one that came alone.
        if let Some(found) = &step.call.answered_by {
            self.on_answered_by(found.clone());
        }
        let here = self.status.as_ref().and_then(CallStatus::order);
        if let Some(status) = self.status.as_ref().filter(|status| status.is_terminal()) {
            return match (step.status == *status, step.status.is_terminal()) {
                (true, _) => Step::Repeated,
                (false, true) => Step::Contradicted,
                (false, false) => Step::Late,
            };
        }
        if self.status.as_ref() == Some(&step.status) {
            return Step::Repeated;
        }
        // An end needs no number to be believed: nothing follows it.
        let older_by_number = matches!((step.sequence, self.newest), (Some(new), Some(newest)) if new < newest);
        if !step.status.is_terminal() && (older_by_number || here.is_some_and(|here| order < here)) {
            return Step::Late;
        }
        self.newest = step.sequence.max(self.newest);
        self.status = Some(step.status.clone());
        if step.status.is_terminal() {
            self.duration_s = step.duration_s;
            self.sip_response = step.sip_response;
        }
        Step::Moved
    }

    /// Takes what machine detection found. The first finding that is sure stands.
    pub fn on_answered_by(&mut self, found: AnsweredBy) {
        let sure = |by: &AnsweredBy| by.is_surely_machine() || *by == AnsweredBy::Human;
        if !self.answered_by.as_ref().is_some_and(sure) {
            self.answered_by = Some(found);
        }
    }

    /// Where it stands.
    pub fn status(&self) -> Option<&CallStatus> {
        self.status.as_ref()
    }

    /// Who or what answered.
    pub fn answered_by(&self) -> Option<&AnsweredBy> {
        self.answered_by.as_ref()
    }

    /// What it came to; `None` while it goes on.
    pub fn end(&self) -> Option<CallEnd> {
        self.status.as_ref()?.end(self.answered_by.as_ref(), self.sip_response)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::twilio::form::Form;

    fn step(status: &str, sequence: Option<u64>) -> StatusCallback {
        let number = sequence.map_or_else(String::new, |number| number.to_string());
        let fields = [
            ("CallSid", "CA1"),
            ("AccountSid", "AC1"),
            ("CallStatus", status),
            ("SequenceNumber", &number),
            ("CallDuration", "9"),
        ];
        StatusCallback::read(&Form::of(&fields)).expect("a step")
    }

    fn told(steps: &[(&str, Option<u64>)]) -> (Vec<Step>, Progress) {
        let mut progress = Progress::new();
        let moves = steps.iter().map(|(status, sequence)| progress.on_status(&step(status, *sequence))).collect();
        (moves, progress)
    }

    #[test]
    fn steps_in_order_move_the_call_and_count_once() {
        let (moves, progress) = told(&[
            ("initiated", Some(0)),
            ("ringing", Some(1)),
            ("ringing", Some(1)),
            ("in-progress", Some(2)),
            ("completed", Some(3)),
            ("completed", Some(3)),
        ]);
        assert_eq!(moves, [Step::Moved, Step::Moved, Step::Repeated, Step::Moved, Step::Moved, Step::Repeated]);
        assert_eq!((progress.end(), progress.duration_s), (Some(CallEnd::Completed), Some(9)));
    }

    #[test]
    fn late_steps_change_nothing_but_that_it_was_answered() {
        let (moves, progress) = told(&[("completed", Some(3)), ("in-progress", Some(2)), ("initiated", Some(0))]);
        assert_eq!(moves, [Step::Moved, Step::Late, Step::Late]);
        assert!(progress.was_answered && progress.end() == Some(CallEnd::Completed));
        let (moves, _) = told(&[("in-progress", None), ("ringing", None), ("no-answer", None)]);
        assert_eq!(moves, [Step::Moved, Step::Late, Step::Moved], "without numbers how far along it is decides");
    }

    #[test]
    fn a_provider_that_contradicts_itself_is_believed_once() {
        let (moves, progress) =
            told(&[("busy", Some(2)), ("completed", Some(3)), ("no-answer", None), ("dreaming", Some(4))]);
        assert_eq!(moves, [Step::Moved, Step::Contradicted, Step::Contradicted, Step::Unknown]);
        assert_eq!(progress.end(), Some(CallEnd::Busy));
    }

    #[test]
    fn a_finding_that_is_sure_stands_and_makes_it_voicemail() {
        let (_, mut progress) = told(&[("in-progress", Some(2))]);
        for found in ["machine_start", "machine_end_beep", "human"] {
            progress.on_answered_by(found.into());
        }
        progress.on_status(&step("completed", Some(3)));
        assert_eq!(
            (progress.answered_by(), progress.end()),
            (Some(&AnsweredBy::MachineEndBeep), Some(CallEnd::Voicemail))
        );
    }

    proptest! {
        /// However the deliveries of one call are mixed, repeated and lost, the call ends as its end was.
        #[test]
        fn the_order_of_arrival_does_not_matter(
            order in Just(vec![0_usize, 1, 2, 3, 0, 1, 2, 3]).prop_shuffle(), end in prop_oneof![Just("completed"), Just("busy"), Just("no-answer")], numbered in any::<bool>(),
        ) {
            let steps = ["initiated", "ringing", "in-progress", end];
            let mut progress = Progress::new();
            let mut ended = false;
            let mut moved = 0;
            for at in order {
                let step = step(steps[at], numbered.then_some(at as u64));
                let outcome = progress.on_status(&step);
                prop_assert!(!(ended && outcome == Step::Moved), "nothing moves a call that is over");
                moved += usize::from(outcome == Step::Moved);
                ended |= at == 3;
                prop_assert_eq!(progress.end().is_some(), ended);
            }
            prop_assert!(moved <= 4);
            prop_assert_eq!(progress.status(), Some(&CallStatus::from(end)));
        }
    }
}
