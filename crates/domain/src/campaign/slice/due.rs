//! What a slice has to do at which time: whom it may call, what it asks the provider, when it gives up. The timer and the tick ask the same function.

use std::collections::BTreeMap;

use super::{
    super::{
        limits::{LOOK_UP_AFTER_MS, OVERTIME_MS, RENEW_EVERY_MS, SETTLE_MS, UNANSWERED_MAX_MS, UNCONFIRMED_AFTER_MS},
        settings::Settings,
        target::{Attempt, Disposition, FailReason, SkipReason, Stage, Standing, Target, Why},
        window::Hours,
    },
    Command, Effect, Event, Next, Run, Slice,
    decide::dropped,
    heard,
};
use crate::contact_guard::{DialRequest, address::Masked};

/// Openings of the window as seen from one instant, found once for each set of zones.
struct Openings<'a> {
    settings: &'a Settings,
    from_ms: i64,
    known: BTreeMap<Vec<String>, (Hours, Option<i64>)>,
}

impl<'a> Openings<'a> {
    fn new(state: &'a Slice, from_ms: i64) -> Self {
        Self { settings: &state.orders.settings, from_ms, known: BTreeMap::new() }
    }

    /// When somebody may be called who waits until `at_ms`, at the earliest from where we look; `None`: never within a week.
    fn next(&mut self, zones: &[String], at_ms: i64) -> Option<i64> {
        if !self.known.contains_key(zones) {
            let hours = self.settings.window.hours(zones);
            let next = hours.next(self.from_ms);
            self.known.insert(zones.to_vec(), (hours, next));
        }
        let (hours, next) = self.known.get(zones)?;
        if at_ms <= self.from_ms { *next } else { hours.next(at_ms) }
    }
}

/// Until when a target may be called, Unix milliseconds: the campaign's deadline or its own.
fn last_ms(state: &Slice, one: &Target) -> Option<i64> {
    [state.orders.settings.deadline.map(|end| end.ms), one.who.not_after_ms].into_iter().flatten().min()
}

/// Whom to call next; `None` if nobody may be called now. Who agreed on a time comes first, then who waits longest.
pub(super) fn next_target(state: &Slice, now_ms: i64) -> Option<u32> {
    let mut openings = Openings::new(state, now_ms);
    let waiting = (0_u32..).zip(&state.targets).filter_map(|(target, one)| match &one.standing {
        Standing::Waiting { at_ms, why } if is_due(state, one, *at_ms, now_ms, &mut openings) => {
            Some((*why != Why::Callback, *at_ms, target))
        }
        Standing::Waiting { .. } | Standing::Trying(_) | Standing::Done { .. } => None,
    });
    waiting.min().map(|(_, _, target)| target)
}

fn is_due(state: &Slice, one: &Target, at_ms: i64, now_ms: i64, openings: &mut Openings<'_>) -> bool {
    state.orders.run == Run::Running
        && at_ms <= now_ms
        && last_ms(state, one).is_none_or(|last| now_ms < last)
        && openings.next(&one.who.zones, at_ms) == Some(now_ms)
}

/// What keeps a call that is permitted from beginning now, and what becomes of its target; `None` inside: it waits as before.
pub(super) fn hindrance(state: &Slice, one: &Target, now_ms: i64) -> Option<Option<Next>> {
    let done = |reason| Some(Some(Next::Done { disposition: one.as_it_stands(reason) }));
    match state.orders.run {
        Run::Running => {}
        Run::Idle | Run::Held => return Some(None),
        Run::Ending { reason } => return done(reason),
    }
    if last_ms(state, one).is_some_and(|last| last <= now_ms) {
        return done(SkipReason::Deadline);
    }
    let open = Openings::new(state, now_ms).next(&one.who.zones, now_ms) == Some(now_ms);
    if open { None } else { Some(None) }
}

/// The next instant at which there is something to do, Unix milliseconds.
pub fn timer(state: &Slice) -> Option<i64> {
    plan(state, state.now_ms).into_iter().map(|(at_ms, _)| at_ms).min()
}

/// The command that a due timer turns into.
pub fn on_timer(state: &Slice, now_ms: i64) -> Option<Command> {
    timer(state).filter(|at_ms| *at_ms <= now_ms).map(|_| Command::Tick)
}

/// All that is due.
pub(super) fn chores(state: &Slice, now_ms: i64) -> Vec<Event> {
    let mut events = Vec::new();
    for (at_ms, chore) in plan(state, now_ms) {
        if at_ms <= now_ms {
            events.extend(chore.events(state, now_ms));
        }
    }
    events
}

/// Something to do.
enum Chore {
    /// Tell the pacer how many permits are wanted.
    Want,
    /// Renew the permits of calls that go on.
    Renew,
    /// A waiting target is done.
    Close { target: u32, disposition: Disposition },
    /// An attempt must not go on: its call has not begun.
    Drop { target: u32, then: Option<Next> },
    /// A call nobody hears of is looked up.
    LookUp { target: u32, attempt: u32 },
    /// A call nobody hears of is given up.
    GiveUp { target: u32 },
    /// A call is over and its conversation tells nothing more.
    Settle { target: u32 },
}

impl Chore {
    fn events(self, state: &Slice, now_ms: i64) -> Vec<Event> {
        let open = |target: u32| state.target(target).and_then(|one| one.attempt().map(|open| (one, open)));
        match self {
            Self::Want => vec![Event::Wanted { count: due_count(state, now_ms) }],
            Self::Renew => vec![Event::Renewed { leases: held(state).map(|open| open.lease.id).collect() }],
            Self::Close { target, disposition } => vec![Event::Closed { target, disposition }],
            Self::Drop { target, then } => {
                open(target).map(|(one, open)| dropped(one, target, open, then)).into_iter().collect()
            }
            Self::LookUp { target, attempt } => vec![Event::LookUp { target, attempt }],
            Self::GiveUp { target } => open(target).map_or_else(Vec::new, |(one, open)| {
                // Whoever spoke with a person has an answer, whatever was not told afterwards.
                let result = if open.answered_ms.is_some() {
                    heard::result_of(open, None, None)
                } else {
                    Disposition::Failed { reason: FailReason::Unconfirmed }
                };
                heard::close(state, now_ms, target, one, open, heard::Closing { result, ..heard::Closing::default() })
            }),
            Self::Settle { target } => open(target).map_or_else(Vec::new, |(one, open)| {
                let result = heard::result_of(open, open.over, None);
                heard::close(state, now_ms, target, one, open, heard::Closing { result, ..heard::Closing::default() })
            }),
        }
    }
}

/// Attempts whose permit is in use.
fn held(state: &Slice) -> impl Iterator<Item = &Attempt> {
    state.targets.iter().filter_map(Target::attempt).filter(|open| !open.lease_back)
}

fn due_count(state: &Slice, now_ms: i64) -> u32 {
    let mut openings = Openings::new(state, now_ms);
    let due = state.targets.iter().filter(|one| match &one.standing {
        Standing::Waiting { at_ms, .. } => is_due(state, one, *at_ms, now_ms, &mut openings),
        Standing::Trying(_) | Standing::Done { .. } => false,
    });
    u32::try_from(due.count()).unwrap_or(u32::MAX)
}

/// Everything that is to be done as far as it can be foreseen, with its time. Times before `now_ms` are now.
fn plan(state: &Slice, now_ms: i64) -> Vec<(i64, Chore)> {
    let mut plan = Vec::new();
    if !state.exists() {
        return plan;
    }
    // Seen from the last event, so that an opening since then is not missed.
    let mut openings = Openings::new(state, state.now_ms);
    let mut next_due: Option<i64> = None;
    let mut due_now = 0_u32;
    for (target, one) in (0_u32..).zip(&state.targets) {
        match &one.standing {
            Standing::Waiting { at_ms, .. } => match state.orders.run {
                Run::Ending { reason } => {
                    plan.push((state.now_ms, Chore::Close { target, disposition: one.as_it_stands(reason) }));
                }
                Run::Idle => {}
                Run::Held | Run::Running => {
                    let last = last_ms(state, one);
                    if let Some(last) = last {
                        let disposition = one.as_it_stands(SkipReason::Deadline);
                        plan.push((last, Chore::Close { target, disposition }));
                    }
                    if state.orders.run == Run::Running {
                        match openings.next(&one.who.zones, *at_ms) {
                            None => {
                                let disposition = one.as_it_stands(SkipReason::NoHours);
                                plan.push((state.now_ms, Chore::Close { target, disposition }));
                            }
                            Some(opens) if last.is_some_and(|last| last <= opens) => {}
                            Some(opens) if opens <= state.now_ms => due_now += 1,
                            Some(opens) => next_due = Some(next_due.map_or(opens, |known| known.min(opens))),
                        }
                    }
                }
            },
            Standing::Trying(open) => plan.extend(attempt_chores(state, target, one, open, now_ms)),
            Standing::Done { .. } => {}
        }
    }
    if due_now > state.wanted || (state.wanted > 0 && state.orders.run != Run::Running) {
        plan.push((state.now_ms, Chore::Want));
    } else if let Some(opens) = next_due {
        plan.push((opens, Chore::Want));
    }
    if let Some(oldest) = held(state).map(|open| open.opened_ms).min() {
        plan.push((oldest.max(state.renewed_ms) + RENEW_EVERY_MS, Chore::Renew));
    }
    plan
}

fn attempt_chores(state: &Slice, target: u32, one: &Target, open: &Attempt, now_ms: i64) -> Vec<(i64, Chore)> {
    let attempt = open.n;
    match open.stage {
        Stage::Asked | Stage::Permitted => match state.orders.run {
            // Window, deadline and permit are looked at when it begins; the deadline also before, for a guard that does not answer.
            Run::Running => last_ms(state, one)
                .map(|last| {
                    let disposition = one.as_it_stands(SkipReason::Deadline);
                    (last, Chore::Drop { target, then: Some(Next::Done { disposition }) })
                })
                .into_iter()
                .collect(),
            Run::Idle | Run::Held | Run::Ending { .. } => {
                let then = hindrance(state, one, now_ms).flatten();
                vec![(state.now_ms, Chore::Drop { target, then })]
            }
        },
        Stage::Dialing | Stage::Placed => {
            let mut chores = Vec::new();
            if open.looked_up == 0 {
                chores.push((open.heard_ms + LOOK_UP_AFTER_MS, Chore::LookUp { target, attempt }));
            }
            let ringing = open.dialed_ms.unwrap_or(open.opened_ms) + UNANSWERED_MAX_MS;
            chores.push((ringing.min(open.heard_ms + UNCONFIRMED_AFTER_MS), Chore::GiveUp { target }));
            due_first(chores, now_ms)
        }
        Stage::Answered => {
            let limit_ms = i64::from(state.orders.settings.max_call_minutes) * 60_000;
            let over = open.answered_ms.unwrap_or(open.heard_ms) + limit_ms;
            let mut chores = Vec::new();
            if open.looked_up == 0 {
                chores.push((over + LOOK_UP_AFTER_MS, Chore::LookUp { target, attempt }));
            }
            chores.push((over + OVERTIME_MS, Chore::GiveUp { target }));
            due_first(chores, now_ms)
        }
        Stage::Over => {
            let over = open.over.map_or(open.heard_ms, |over| over.at_ms);
            vec![(over + SETTLE_MS, Chore::Settle { target })]
        }
    }
}

/// Of several things due for one attempt only the last: who gives up does not look up.
fn due_first(mut chores: Vec<(i64, Chore)>, now_ms: i64) -> Vec<(i64, Chore)> {
    if chores.last().is_some_and(|(at_ms, _)| *at_ms <= now_ms) {
        chores.drain(..chores.len() - 1);
    }
    chores
}

/// The effects of an open attempt.
pub(super) fn effects(
    state: &Slice,
    target: u32,
    one: &Target,
    open: &Attempt,
    effects: &mut Vec<(String, u32, Effect)>,
) {
    let (attempt, dial) = (open.n, state.dial(target, open.n));
    let dialed_ms = open.dialed_ms.unwrap_or(open.opened_ms);
    match open.stage {
        Stage::Asked => {
            let settings = &state.orders.settings;
            let guard = one.who.guard.clone();
            let request = Box::new(DialRequest {
                // The actor knows the number.
                masked: Masked::default(),
                dial,
                settings_version: open.settings_version,
                needs: settings.consent.kind(),
                caps: settings.caps(),
            });
            effects.push((format!("ask:{target}:{attempt}"), 1, Effect::Authorize { target, attempt, guard, request }));
            return;
        }
        Stage::Permitted => {
            let agent_id = state.orders.settings.agent_id.clone();
            let effect = Effect::Dial { target, attempt, not_before_ms: open.lease.not_before_ms, agent_id };
            effects.push((format!("dial:{target}:{attempt}"), 1, effect));
            return;
        }
        Stage::Dialing | Stage::Placed | Stage::Answered if open.looking => {
            let effect = Effect::LookUp {
                target,
                attempt,
                dial: dial.clone(),
                from: open.lease.from.clone(),
                dialed_ms,
                call: open.call.clone(),
            };
            effects.push((format!("dial:{target}:{attempt}"), open.looks.max(open.looked_up) + 1, effect));
        }
        Stage::Dialing | Stage::Placed | Stage::Answered | Stage::Over => {}
    }
    if let Some((act, nth)) = open.act {
        let message = state.orders.settings.voicemail_message.clone();
        let effect = Effect::Act {
            target,
            attempt,
            dial,
            from: open.lease.from.clone(),
            dialed_ms,
            call: open.call.clone(),
            act,
            message,
        };
        effects.push((format!("act:{target}:{attempt}"), nth, effect));
    }
}
