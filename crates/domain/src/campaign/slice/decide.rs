//! How a slice decides: targets, orders, permits, the guard's answers, and the moment in which a call begins.

use super::{
    super::{
        limits::{ASKS_MAX, BUDGET_WAIT_MS, PERMIT_FRESH_MS, PROVIDER_REFUSALS_MAX, PROVIDER_WAIT_MS, SLICE_TARGETS},
        target::{Act, Attempt, Disposition, FailReason, SkipReason, Stage, Standing, Target, Why},
    },
    CallBrief, Command, Decision, Dial, DialAnswer, End, Event, Next, Refused, Reply, Run, Slice, due, heard,
};
use crate::{
    contact_guard::{Placed, Refusal, Verdict},
    context::Context,
    pacer::Health,
    principal::{Actor, Role},
    rejection::Rejection,
};

/// Decides a command.
///
/// # Errors
/// A [`Rejection`]; nothing changes then. `Superseded` for whatever concerns an attempt that is not open any more.
pub fn decide(state: &Slice, cx: &Context, command: Command) -> Result<Decision, Rejection> {
    if state.exists() {
        cx.bound_to(&state.tenant, "campaign")?;
    }
    if let Command::Get = command {
        return if state.exists() && cx.principal.at_least(Role::Viewer) {
            Ok(Decision::reply(Reply::State(Box::new(state.clone()))))
        } else {
            Err(Rejection::not_found("campaign"))
        };
    }
    match &cx.principal.actor {
        Actor::System => {}
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::Visitor { .. } | Actor::Platform { .. } => {
            return Err(Rejection::forbidden("this is done by the service itself"));
        }
    }
    let tenant = cx.principal.tenant.clone();
    match command {
        Command::Add { campaign, index, import, targets } => {
            belongs(state, &campaign, index)?;
            if targets.is_empty() || state.targets.iter().any(|target| target.import == import) {
                return Ok(Decision::reply(Reply::Done));
            }
            if state.targets.len() + targets.len() > SLICE_TARGETS {
                return Err(Rejection::invalid("targets", format!("a slice holds at most {SLICE_TARGETS}")));
            }
            Ok(Decision::event(Event::Added { campaign, tenant, index, import, targets }, Reply::Done))
        }
        Command::Order { campaign, index, orders } => {
            belongs(state, &campaign, index)?;
            if state.exists() && orders.version <= state.orders.version {
                return Ok(Decision::reply(Reply::Done));
            }
            Ok(Decision::event(Event::Ordered { campaign, tenant, index, orders }, Reply::Done))
        }
        Command::Grant { nth, lease } => {
            if nth <= state.grants {
                return Ok(Decision::reply(Reply::Done)); // Told before.
            }
            let event = match due::next_target(state, cx.now_ms) {
                Some(target) if lease.expires_ms > cx.now_ms => Event::Opened {
                    target,
                    attempt: state.target(target).map_or(0, |one| one.attempts) + 1,
                    lease,
                    settings_version: state.orders.settings_version,
                },
                Some(_) | None => Event::Spared { lease: lease.id },
            };
            Ok(Decision::event(event, Reply::Done))
        }
        Command::Authorized { target, attempt, verdict } => authorized(state, cx.now_ms, target, attempt, verdict),
        Command::Begin { target, attempt, minute_micros } => begin(state, cx.now_ms, target, attempt, minute_micros),
        Command::Dialed { target, attempt, answer } => dialed(state, cx.now_ms, target, attempt, answer),
        Command::Heard { target, attempt, report } => heard::heard(state, cx.now_ms, target, attempt, report),
        Command::LookedUp { target, attempt, found } => match found {
            Some(report) => heard::heard(state, cx.now_ms, target, attempt, report),
            None => {
                open(state, target, attempt)?;
                Ok(Decision::event(Event::NotFound { target, attempt }, Reply::Done))
            }
        },
        Command::Acted { target, attempt, act } => match open(state, target, attempt)?.1.act {
            Some((wanted, _)) if wanted == act => {
                Ok(Decision::event(Event::Acted { target, attempt, act }, Reply::Done))
            }
            Some(_) | None => Err(Rejection::Superseded),
        },
        Command::Forbidden { target, attempt } => forbidden(state, target, attempt),
        Command::Erase { targets } => Ok(erase(state, &targets)),
        Command::Rebook { book } if book > state.book => Ok(Decision::event(Event::Rebooked { book }, Reply::Done)),
        Command::Rebook { .. } => Ok(Decision::reply(Reply::Done)),
        Command::Brief { target, attempt } => brief(state, target, attempt),
        Command::Book => Ok(Decision::reply(Reply::Book { book: state.book })),
        Command::Tick => Ok(Decision::new(due::chores(state, cx.now_ms), Reply::Done)),
        Command::Get => Ok(Decision::reply(Reply::Done)),
    }
}

/// The open attempt of that number.
pub(super) fn open(state: &Slice, target: u32, attempt: u32) -> Result<(&Target, &Attempt), Rejection> {
    let one = state.target(target).ok_or(Rejection::Superseded)?;
    match one.attempt() {
        Some(open) if open.n == attempt => Ok((one, open)),
        Some(_) | None => Err(Rejection::Superseded),
    }
}

/// An attempt that is given up before its call has begun: the target waits as before.
pub(super) fn dropped(one: &Target, target: u32, attempt: &Attempt, then: Option<Next>) -> Event {
    let as_before = if one.callbacks > 0 { Why::Callback } else { Why::First };
    let then = then.unwrap_or(Next::Wait { at_ms: attempt.opened_ms, why: as_before });
    Event::Ended(Box::new(End {
        target,
        attempt: attempt.n,
        over: None,
        cost_micros: None,
        talk: None,
        result: None,
        never_left: true,
        refused: false,
        then,
        lease: (!attempt.lease_back).then_some(attempt.lease.id),
        health: Health::Unused,
        // Also when the guard's answer is still on its way: it may have permitted by now.
        settle: Some(Placed::No),
    }))
}

fn belongs(state: &Slice, campaign: &crate::ids::CampaignId, index: u32) -> Result<(), Rejection> {
    if state.exists() && (state.campaign != *campaign || state.index != index) {
        return Err(Rejection::not_found("campaign"));
    }
    Ok(())
}

fn authorized(state: &Slice, now_ms: i64, target: u32, attempt: u32, verdict: Verdict) -> Result<Decision, Rejection> {
    let asked = open(state, target, attempt).ok().filter(|(_, open)| open.stage == Stage::Asked);
    let Some((one, open)) = asked else {
        let already = one_permit(state, target, attempt);
        return match verdict {
            // The guard counts what it permitted; it must learn that nobody calls.
            Verdict::Permitted(_) if !already => Ok(Decision::event(Event::Void { target, attempt }, Reply::Done)),
            Verdict::Permitted(_) | Verdict::Refused(_) => Err(Rejection::Superseded),
        };
    };
    let event = match verdict {
        Verdict::Permitted(permit) => Event::Permitted {
            target,
            attempt,
            permit: permit.seq,
            permitted_ms: permit.at_ms,
            consent: permit.consent,
        },
        Verdict::Refused(refusal) => {
            let skip = |reason| Next::Done { disposition: one.as_it_stands(reason) };
            let then = match refusal {
                Refusal::DoNotContact { .. } => skip(SkipReason::DoNotContact),
                Refusal::ConsentWithdrawn { .. } => skip(SkipReason::ConsentWithdrawn),
                Refusal::NoConsent { .. } => skip(SkipReason::NoConsent),
                // Who is to be called by then or not at all does not wait for another day.
                Refusal::TooOften { again_at_ms }
                    if one.attempts < ASKS_MAX
                        && again_at_ms < i64::MAX
                        && one.who.not_after_ms.is_none_or(|last_ms| again_at_ms <= last_ms) =>
                {
                    Next::Wait { at_ms: again_at_ms.max(now_ms + 1), why: Why::Room }
                }
                Refusal::TooOften { .. } => skip(SkipReason::TooOften),
            };
            dropped(one, target, open, Some(then))
        }
    };
    Ok(Decision::event(event, Reply::Done))
}

/// Whether the permit of that attempt was heard before and used, so that it must not be taken back.
fn one_permit(state: &Slice, target: u32, attempt: u32) -> bool {
    let Some(one) = state.target(target) else { return true };
    let open = one.attempt().is_some_and(|open| open.n == attempt && open.permit.is_some());
    open || one.past.iter().any(|past| past.n == attempt && past.permit.is_some())
}

fn begin(state: &Slice, now_ms: i64, target: u32, attempt: u32, minute_micros: i64) -> Result<Decision, Rejection> {
    let (one, open) = open(state, target, attempt)?;
    if open.stage != Stage::Permitted {
        return Err(Rejection::Superseded); // Somebody else makes this call, or made it.
    }
    if let Some(then) = due::hindrance(state, one, now_ms) {
        return Ok(Decision::event(dropped(one, target, open, then), Reply::DoNotDial));
    }
    // A permit that had to wait is asked for again: the guard counts calls from when it gave it.
    if open.lease.expires_ms <= now_ms || now_ms - open.permitted_ms > PERMIT_FRESH_MS {
        return Ok(Decision::event(dropped(one, target, open, None), Reply::DoNotDial));
    }
    let settings = &state.orders.settings;
    let worst_micros = i64::from(settings.max_call_minutes).saturating_mul(minute_micros);
    if let Some(events) = too_dear(state, now_ms, one, target, open, worst_micros) {
        return Ok(Decision::new(events, Reply::DoNotDial));
    }
    let dial = Dial {
        dial: state.dial(target, attempt),
        guard: one.who.guard.clone(),
        from: open.lease.from.clone(),
        agent_id: settings.agent_id.clone(),
        voice_id: settings.voice_id.clone(),
        objective: settings.objective.clone(),
        script: settings.script.clone(),
        questions: settings.questions.clone(),
        voicemail: settings.voicemail,
        voicemail_message: settings.voicemail_message.clone(),
        ring_seconds: settings.ring_seconds,
        max_call_minutes: settings.max_call_minutes,
        settings_version: state.orders.settings_version,
    };
    Ok(Decision::event(Event::Dialing { target, attempt, worst_micros }, Reply::Dial(Box::new(dial))))
}

/// What becomes of a call that may cost more than what is left to spend, where every call that goes on is taken to last as long as it may.
fn too_dear(
    state: &Slice,
    now_ms: i64,
    one: &Target,
    target: u32,
    open: &Attempt,
    worst_micros: i64,
) -> Option<Vec<Event>> {
    let spend = state.orders.spend_micros?;
    let owed = state.owed_micros();
    if state.counters.cost_micros.saturating_add(owed).saturating_add(worst_micros) <= spend {
        return None;
    }
    // Calls that go on mostly end sooner; then there is room again.
    let why = if one.callbacks > 0 { Why::Callback } else { Why::Room };
    let wait = Next::Wait { at_ms: now_ms + BUDGET_WAIT_MS, why };
    let short = (state.under_way_micros() == 0).then_some(Event::Short { need_micros: worst_micros });
    Some([dropped(one, target, open, Some(wait))].into_iter().chain(short).collect())
}

/// What the agent must know of a call that was made: as the settings are now, so that a change holds for calls that ring.
fn brief(state: &Slice, target: u32, attempt: u32) -> Result<Decision, Rejection> {
    let (one, open) = open(state, target, attempt)?;
    match open.stage {
        Stage::Asked | Stage::Permitted => return Err(Rejection::Superseded),
        Stage::Dialing | Stage::Placed | Stage::Answered | Stage::Over => {}
    }
    let settings = &state.orders.settings;
    Ok(Decision::reply(Reply::Brief(Box::new(CallBrief {
        agent_id: settings.agent_id.clone(),
        title: settings.name.clone(),
        objective: settings.objective.clone(),
        opening: settings.opening.clone(),
        script: settings.script.clone(),
        questions: settings.questions.clone(),
        zones: one.who.zones.clone(),
        lead_id: one.who.lead_id.clone(),
    }))))
}

fn dialed(state: &Slice, now_ms: i64, target: u32, attempt: u32, answer: DialAnswer) -> Result<Decision, Rejection> {
    let (one, open) = open(state, target, attempt)?;
    let event = match (open.stage, answer) {
        // A callback may be faster than the answer that the call was created.
        (Stage::Dialing | Stage::Placed | Stage::Answered, DialAnswer::Placed { call }) if open.call.is_none() => {
            Event::Placed { target, attempt, call }
        }
        (Stage::Dialing, DialAnswer::Unknown) => Event::LookUp { target, attempt },
        (Stage::Dialing, DialAnswer::Refused { why }) => refused(state, now_ms, one, target, open, why),
        (Stage::Asked | Stage::Permitted | Stage::Dialing | Stage::Placed | Stage::Answered | Stage::Over, _) => {
            return Err(Rejection::Superseded);
        }
    };
    Ok(Decision::event(event, Reply::Done))
}

fn refused(state: &Slice, now_ms: i64, one: &Target, target: u32, open: &Attempt, why: Refused) -> Event {
    let (reason, health) = match why {
        Refused::InvalidNumber => (Some(FailReason::InvalidNumber), Health::Fine),
        Refused::TooFast | Refused::Down | Refused::NotAllowed => {
            let given_up = one.refusals + 1 >= PROVIDER_REFUSALS_MAX;
            (given_up.then_some(FailReason::Provider), Health::Failed)
        }
    };
    let result = reason.map(|reason| Disposition::Failed { reason });
    let then = match (result, state.orders.run) {
        (Some(result), _) => heard::done(one, result),
        (None, Run::Ending { reason }) => Next::Done { disposition: one.as_it_stands(reason) },
        (None, Run::Idle | Run::Running | Run::Held) => Next::Wait { at_ms: now_ms + PROVIDER_WAIT_MS, why: Why::Room },
    };
    Event::Ended(Box::new(End {
        target,
        attempt: open.n,
        over: None,
        cost_micros: None,
        talk: None,
        result,
        never_left: true,
        refused: true,
        then,
        lease: (!open.lease_back).then_some(open.lease.id),
        health,
        settle: Some(Placed::No),
    }))
}

fn forbidden(state: &Slice, target: u32, attempt: u32) -> Result<Decision, Rejection> {
    let (one, open) = open(state, target, attempt)?;
    let event = match open.stage {
        Stage::Asked | Stage::Permitted => {
            let disposition = one.as_it_stands(SkipReason::DoNotContact);
            dropped(one, target, open, Some(Next::Done { disposition }))
        }
        Stage::Dialing | Stage::Placed if open.act.is_none() => Event::Act { target, attempt, act: Act::HangUp },
        // They talk already, or it is being taken back.
        Stage::Dialing | Stage::Placed | Stage::Answered | Stage::Over => return Ok(Decision::reply(Reply::Done)),
    };
    Ok(Decision::event(event, Reply::Done))
}

fn erase(state: &Slice, whose: &[u32]) -> Decision {
    let mut events = Vec::new();
    let mut targets = Vec::new();
    let theirs = |(target, one): &(u32, &Target)| whose.contains(target) && !one.erased;
    for (target, one) in (0_u32..).zip(&state.targets).filter(theirs) {
        let disposition = Disposition::Skipped { reason: SkipReason::Erased };
        match &one.standing {
            Standing::Waiting { .. } => events.push(Event::Closed { target, disposition }),
            Standing::Trying(open) if matches!(open.stage, Stage::Asked | Stage::Permitted) => {
                events.push(dropped(one, target, open, Some(Next::Done { disposition })));
            }
            Standing::Trying(_) | Standing::Done { .. } => {}
        }
        targets.push(target);
    }
    if !targets.is_empty() {
        events.push(Event::Erased { targets });
    }
    Decision::new(events, Reply::Done)
}
