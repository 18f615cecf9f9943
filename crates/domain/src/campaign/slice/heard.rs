//! What a slice makes of what it hears about a call: late, doubled, in any order, or contradicting itself.

use super::{
    super::{
        limits::{CALLBACK_AHEAD_MAX_MS, CALLBACKS_MAX},
        settings::Voicemail,
        target::{Act, Attempt, Disposition, Ending, FailReason, Machine, Over, SkipReason, Stage, Talk, Target, Why},
    },
    Decision, End, Event, Next, Reply, Report, Run, Slice,
};
use crate::{contact_guard::Placed, pacer::Health, rejection::Rejection};

/// The longest call that is believed, seconds: a day.
const TALK_S_MAX: u32 = 24 * 3600;
/// The highest cost of one call that is believed, millionths of a US dollar: a thousand dollars.
const COST_MICROS_MAX: i64 = 1_000_000_000;

pub(super) fn heard(
    state: &Slice,
    now_ms: i64,
    target: u32,
    attempt: u32,
    report: Report,
) -> Result<Decision, Rejection> {
    let one = state.target(target).ok_or(Rejection::Superseded)?;
    match one.attempt() {
        Some(open) if open.n == attempt => {
            let events = of_open(state, now_ms, target, one, open, believable(report))?;
            Ok(Decision::new(events, Reply::Done))
        }
        Some(_) | None => {
            let past = one.past.iter().find(|past| past.n == attempt).ok_or(Rejection::Superseded)?;
            let cost = match believable(report) {
                Report::Cost { micros } => Some(micros),
                Report::Ended { cost_micros, .. } => cost_micros,
                Report::Ringing { .. }
                | Report::Answered
                | Report::Machine { .. }
                | Report::Abandoned
                | Report::Talk { .. } => None,
            };
            let events = match cost {
                Some(micros) if past.cost_micros.is_none() => vec![Event::Costed { target, attempt, micros }],
                Some(_) | None => Vec::new(),
            };
            Ok(Decision::new(events, Reply::Done))
        }
    }
}

/// Numbers brought into the range in which they can be true.
fn believable(report: Report) -> Report {
    let money = |micros: i64| micros.clamp(0, COST_MICROS_MAX);
    match report {
        Report::Ended { how, talk_s, cost_micros } => {
            Report::Ended { how, talk_s: talk_s.min(TALK_S_MAX), cost_micros: cost_micros.map(money) }
        }
        Report::Cost { micros } => Report::Cost { micros: money(micros) },
        Report::Talk { mut talk } => {
            talk.score = talk.score.map(|score| score.min(100));
            Report::Talk { talk }
        }
        Report::Ringing { .. } | Report::Answered | Report::Machine { .. } | Report::Abandoned => report,
    }
}

fn of_open(
    state: &Slice,
    now_ms: i64,
    target: u32,
    one: &Target,
    open: &Attempt,
    report: Report,
) -> Result<Vec<Event>, Rejection> {
    let attempt = open.n;
    let told = |report: Report, act: Option<Act>| vec![Event::Told { target, attempt, report, act }];
    match open.stage {
        // Nothing can be told of a call that was not made.
        Stage::Asked | Stage::Permitted => return Err(Rejection::Superseded),
        Stage::Dialing | Stage::Placed | Stage::Answered | Stage::Over => {}
    }
    let on_the_way = matches!(open.stage, Stage::Dialing | Stage::Placed);
    let over = open.stage == Stage::Over;
    Ok(match report {
        Report::Ringing { .. } | Report::Answered if on_the_way => told(report, None),
        // Late, or twice; but what was looked up is known again.
        Report::Ringing { .. } | Report::Answered if open.looking => told(report, None),
        Report::Ringing { .. } | Report::Answered => Vec::new(),
        Report::Machine { machine } => {
            let known = match open.machine {
                None => false,
                Some(Machine::Speaking) => machine == Machine::Speaking,
                Some(Machine::Ready | Machine::Fax) => true,
            };
            if known || over { Vec::new() } else { told(report, act_on(state, open, machine)) }
        }
        Report::Abandoned if open.abandoned || open.machine.is_some() => Vec::new(),
        Report::Abandoned => told(report, None),
        Report::Cost { micros } if open.cost_micros.is_none() => told(Report::Cost { micros }, None),
        Report::Cost { .. } => Vec::new(),
        Report::Talk { talk } if over => {
            let result = result_of(open, open.over, Some(&talk));
            close(state, now_ms, target, one, open, Closing { result, talk: Some(talk), ..Closing::default() })
        }
        Report::Talk { .. } if open.talk.is_some() => Vec::new(),
        Report::Talk { .. } => told(report, None),
        Report::Ended { .. } if over => Vec::new(),
        Report::Ended { how, talk_s, cost_micros } => {
            let ended = Over { how, talk_s, at_ms: now_ms };
            let spoke = open.answered_ms.is_some() || (how == Ending::Completed && talk_s > 0);
            if spoke && open.machine.is_none() && open.talk.is_none() {
                vec![Event::Hung {
                    target,
                    attempt,
                    over: ended,
                    cost_micros,
                    lease: (!open.lease_back).then_some(open.lease.id),
                }]
            } else {
                let result = result_of(open, Some(ended), None);
                let closing = Closing { result, over: Some(ended), cost_micros, talk: None };
                close(state, now_ms, target, one, open, closing)
            }
        }
    })
}

/// What is done about a machine.
fn act_on(state: &Slice, open: &Attempt, machine: Machine) -> Option<Act> {
    if open.act.is_some() || open.acted.is_some() {
        return None;
    }
    match (machine, state.orders.settings.voicemail) {
        (Machine::Fax, _) | (Machine::Speaking | Machine::Ready, Voicemail::Hangup | Voicemail::Retry) => {
            Some(Act::HangUp)
        }
        // Who speaks before the beep is not recorded.
        (Machine::Speaking, Voicemail::Message) => None,
        (Machine::Ready, Voicemail::Message) => Some(Act::LeaveMessage),
    }
}

/// How a call ended, by what was heard of it.
pub(super) fn result_of(open: &Attempt, over: Option<Over>, talk: Option<&Talk>) -> Disposition {
    match open.machine {
        Some(Machine::Fax) => return Disposition::Failed { reason: FailReason::Fax },
        Some(Machine::Speaking | Machine::Ready) => return Disposition::Voicemail,
        None => {}
    }
    let person =
        open.answered_ms.is_some() || over.is_some_and(|over| over.how == Ending::Completed && over.talk_s > 0);
    if person {
        return match talk.or(open.talk.as_ref()) {
            Some(talk) if talk.meeting => Disposition::MeetingBooked,
            Some(talk) if talk.not_interested => Disposition::NotInterested,
            Some(talk) if talk.callback || talk.callback_ms.is_some() => Disposition::Callback,
            Some(_) | None => Disposition::Answered,
        };
    }
    match over.map(|over| over.how) {
        Some(Ending::Busy) => Disposition::Busy,
        // Completed without a second of talk: it was picked up by nobody.
        Some(Ending::NoAnswer | Ending::Completed) => Disposition::NoAnswer,
        Some(Ending::Canceled) => Disposition::Failed { reason: FailReason::Canceled },
        Some(Ending::Failed) => Disposition::Failed { reason: FailReason::Carrier },
        Some(Ending::InvalidNumber) => Disposition::Failed { reason: FailReason::InvalidNumber },
        None => Disposition::Failed { reason: FailReason::Unconfirmed },
    }
}

/// What closes an attempt.
pub(super) struct Closing {
    /// How it ended.
    pub(super) result: Disposition,
    /// How it ended at the carrier, if that was told now.
    pub(super) over: Option<Over>,
    /// What it cost, if that was told now.
    pub(super) cost_micros: Option<i64>,
    /// What its conversation told, if that was told now.
    pub(super) talk: Option<Box<Talk>>,
}

impl Default for Closing {
    fn default() -> Self {
        let result = Disposition::Failed { reason: FailReason::Unconfirmed };
        Self { result, over: None, cost_micros: None, talk: None }
    }
}

/// Closes an attempt whose call was made.
pub(super) fn close(
    state: &Slice,
    now_ms: i64,
    target: u32,
    one: &Target,
    open: &Attempt,
    closing: Closing,
) -> Vec<Event> {
    let Closing { result, over, cost_micros, talk } = closing;
    let agreed_ms = talk.as_deref().or(open.talk.as_ref()).and_then(|talk| talk.callback_ms);
    let end = Event::Ended(Box::new(End {
        target,
        attempt: open.n,
        over,
        cost_micros,
        talk,
        result: Some(result),
        never_left: false,
        refused: false,
        then: next(state, now_ms, one, result, agreed_ms),
        lease: (!open.lease_back).then_some(open.lease.id),
        health: Health::Fine,
        settle: Some(Placed::Yes),
    }));
    let rest = one.erased.then(|| Event::Erased { targets: vec![target] });
    std::iter::once(end).chain(rest).collect()
}

/// A target that is done with this result.
pub(super) fn done(one: &Target, result: Disposition) -> Next {
    // Who asked for a callback and was not reached again is left to a person.
    let agreed = one.callbacks > 0 && !result.connected();
    Next::Done { disposition: if agreed { Disposition::Callback } else { result } }
}

/// What becomes of a target after a call.
fn next(state: &Slice, now_ms: i64, one: &Target, result: Disposition, agreed_ms: Option<i64>) -> Next {
    if one.erased {
        return Next::Done { disposition: Disposition::Skipped { reason: SkipReason::Erased } };
    }
    match state.orders.run {
        Run::Ending { .. } => return done(one, result),
        Run::Idle | Run::Running | Run::Held => {}
    }
    let last_ms = state.orders.settings.deadline.map(|end| end.ms);
    let in_time = |at_ms: &i64| last_ms.is_none_or(|last| *at_ms < last);
    match result {
        Disposition::Callback if one.callbacks < CALLBACKS_MAX => {
            let ahead = now_ms.saturating_add(CALLBACK_AHEAD_MAX_MS);
            match agreed_ms.map(|at_ms| at_ms.max(now_ms)).filter(|at_ms| *at_ms <= ahead).filter(in_time) {
                Some(at_ms) => Next::Wait { at_ms, why: Why::Callback },
                None => done(one, result),
            }
        }
        Disposition::Failed {
            reason: FailReason::InvalidNumber | FailReason::Fax | FailReason::Canceled | FailReason::Provider,
        } => done(one, result),
        Disposition::Answered
        | Disposition::Voicemail
        | Disposition::NoAnswer
        | Disposition::Busy
        | Disposition::MeetingBooked
        | Disposition::Callback
        | Disposition::NotInterested
        | Disposition::Failed { reason: FailReason::Unconfirmed | FailReason::Carrier }
        | Disposition::Skipped { .. } => {
            let nth = one.tries.get(&result.outcome()).copied().unwrap_or(0) + 1;
            let again =
                state.orders.settings.again_in_ms(result.outcome(), nth).map(|wait| now_ms.saturating_add(wait));
            match again.filter(in_time) {
                Some(at_ms) => Next::Wait { at_ms, why: Why::Retry },
                None => done(one, result),
            }
        }
    }
}
