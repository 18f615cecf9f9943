//! Folds what happened into a slice. Cannot fail.

use super::{
    super::{
        counters::Counters,
        limits::PAST_MAX,
        target::{Attempt, Disposition, Past, Stage, Standing, Target},
    },
    End, Event, Next, Report, Slice,
};
use crate::pacer::LEASE_MS;

/// Folds one event.
pub fn apply(state: &mut Slice, event: &Event, seq: u64, at_ms: i64) {
    match event {
        Event::Added { campaign, tenant, index, import, targets } => {
            (state.campaign, state.tenant, state.index) = (campaign.clone(), tenant.clone(), *index);
            for who in targets {
                let target = Target::new(who.clone(), *import, at_ms);
                state.counters.add(&Counters::of(&target), 1);
                state.targets.push(target);
            }
        }
        Event::Ordered { campaign, tenant, index, orders } => {
            (state.campaign, state.tenant, state.index) = (campaign.clone(), tenant.clone(), *index);
            state.orders = (**orders).clone();
        }
        Event::Wanted { count } => state.wanted = *count,
        Event::Spared { .. } => granted(state),
        Event::Opened { target, attempt, lease, settings_version } => {
            granted(state);
            change(state, *target, |one| {
                one.attempts = *attempt;
                one.standing = Standing::Trying(Box::new(Attempt {
                    n: *attempt,
                    stage: Stage::Asked,
                    lease: lease.clone(),
                    lease_back: false,
                    settings_version: *settings_version,
                    opened_ms: at_ms,
                    permit: None,
                    permitted_ms: at_ms,
                    consent: None,
                    call: None,
                    dialed_ms: None,
                    heard_ms: at_ms,
                    looked_up: 0,
                    looks: 0,
                    looking: false,
                    cost_micros: None,
                    worst_micros: 0,
                    answered_ms: None,
                    machine: None,
                    act: None,
                    acted: None,
                    abandoned: false,
                    talk: None,
                    over: None,
                }));
            });
        }
        Event::Permitted { target, permit, permitted_ms, consent, .. } => open(state, *target, |open| {
            (open.stage, open.permit, open.consent) = (Stage::Permitted, Some(*permit), *consent);
            open.permitted_ms = *permitted_ms;
        }),
        Event::Void { .. } | Event::Short { .. } => {}
        Event::Dialing { target, worst_micros, .. } => {
            let version = state.orders.settings_version;
            open(state, *target, |open| {
                open.stage = Stage::Dialing;
                (open.dialed_ms, open.heard_ms, open.looking) = (Some(at_ms), at_ms, true);
                // The settings may have changed since the permit; these are the ones it was made with.
                open.settings_version = version;
                open.worst_micros = *worst_micros;
            });
        }
        Event::Placed { target, call, .. } => open(state, *target, |open| {
            if open.stage == Stage::Dialing {
                open.stage = Stage::Placed;
            }
            open.call = Some(call.clone());
            heard(open, at_ms);
        }),
        Event::Told { target, report, act, .. } => open(state, *target, |open| {
            told(open, report, at_ms);
            if let Some(act) = act {
                open.act = Some((*act, 1));
            }
        }),
        Event::LookUp { target, .. } => open(state, *target, |open| {
            open.looked_up += 1;
            // What was written before there was this count began with the other.
            open.looks = open.looks.max(open.looked_up - 1) + 1;
            open.looking = true;
        }),
        Event::NotFound { target, .. } => open(state, *target, |open| {
            open.looking = false;
            open.looked_up = open.looked_up.max(1);
        }),
        Event::Act { target, act, .. } => open(state, *target, |open| open.act = Some((*act, 1))),
        Event::Acted { target, act, .. } => open(state, *target, |open| {
            (open.act, open.acted) = (None, Some(*act));
        }),
        Event::Hung { target, over, cost_micros, lease, .. } => open(state, *target, |open| {
            open.stage = Stage::Over;
            open.answered_ms = open.answered_ms.or(Some(over.at_ms - i64::from(over.talk_s) * 1000));
            open.over = Some(*over);
            open.cost_micros = open.cost_micros.or(*cost_micros);
            open.lease_back |= lease.is_some();
            open.act = None;
            heard(open, at_ms);
        }),
        Event::Ended(end) => change(state, end.target, |one| ended(one, end, at_ms)),
        Event::Closed { target, disposition } => {
            change(state, *target, |one| one.standing = Standing::Done { disposition: *disposition, at_ms });
        }
        Event::Costed { target, attempt, micros } => change(state, *target, |one| {
            if let Some(past) = one.past.iter_mut().find(|past| past.n == *attempt) {
                past.cost_micros = Some(*micros);
            }
        }),
        Event::Renewed { leases } => {
            state.renewed_ms = at_ms;
            let open = state.targets.iter_mut().filter_map(Target::attempt_mut);
            for open in open.filter(|open| leases.contains(&open.lease.id)) {
                open.lease.expires_ms = at_ms + LEASE_MS;
            }
        }
        Event::Rebooked { book } => state.book = *book,
        Event::Erased { targets } => {
            for target in targets {
                change(state, *target, |one| {
                    one.erased = true;
                    (one.who.lead_id, one.who.contact_id) = (None, None);
                });
            }
        }
    }
    state.now_ms = state.now_ms.max(at_ms);
    state.seq = seq;
}

/// A permit came: the pacer takes it off what is wanted, and so does this.
fn granted(state: &mut Slice) {
    state.grants += 1;
    state.wanted = state.wanted.saturating_sub(1);
}

/// Changes a target and the counters with it.
fn change(state: &mut Slice, target: u32, with: impl FnOnce(&mut Target)) {
    let Some(one) = usize::try_from(target).ok().and_then(|at| state.targets.get_mut(at)) else { return };
    state.counters.add(&Counters::of(one), -1);
    with(one);
    state.counters.add(&Counters::of(one), 1);
}

/// Changes the open attempt of a target.
fn open(state: &mut Slice, target: u32, with: impl FnOnce(&mut Attempt)) {
    change(state, target, |one| {
        if let Some(open) = one.attempt_mut() {
            with(open);
        }
    });
}

fn heard(open: &mut Attempt, at_ms: i64) {
    (open.heard_ms, open.looked_up, open.looking) = (at_ms, 0, false);
}

fn told(open: &mut Attempt, report: &Report, at_ms: i64) {
    let answered = |open: &mut Attempt| {
        if matches!(open.stage, Stage::Dialing | Stage::Placed) {
            open.stage = Stage::Answered;
        }
        open.answered_ms = open.answered_ms.or(Some(at_ms));
    };
    match report {
        Report::Ringing { call } => {
            if open.stage == Stage::Dialing {
                open.stage = Stage::Placed;
            }
            if open.call.is_none() {
                open.call.clone_from(call);
            }
        }
        Report::Answered => answered(open),
        Report::Machine { machine } => {
            answered(open);
            open.machine = Some(*machine);
        }
        Report::Abandoned => {
            answered(open);
            open.abandoned = true;
        }
        Report::Talk { talk } => {
            answered(open);
            open.talk = Some((**talk).clone());
        }
        Report::Cost { micros } => open.cost_micros = Some(*micros),
        // Decided as `Hung` or `Ended`.
        Report::Ended { .. } => {}
    }
    heard(open, at_ms);
}

fn ended(one: &mut Target, end: &End, at_ms: i64) {
    let Some(open) = one.attempt().cloned() else { return };
    let talk = end.talk.as_deref().or(open.talk.as_ref());
    let over = end.over.or(open.over);
    let past = Past {
        n: open.n,
        settings_version: open.settings_version,
        from: open.lease.from.clone(),
        permit: open.permit,
        consent: open.consent,
        call: open.call.clone(),
        dialed_ms: open.dialed_ms.filter(|_| !end.never_left),
        answered_ms: open.answered_ms,
        ended_ms: at_ms,
        talk_s: over.map_or(0, |over| over.talk_s),
        result: end.result,
        abandoned: open.abandoned,
        cost_micros: open.cost_micros.or(end.cost_micros),
        worst_micros: if end.never_left { 0 } else { open.worst_micros },
        conversation: talk.and_then(|talk| talk.conversation.clone()),
        score: talk.and_then(|talk| talk.score),
    };
    one.refusals += u32::from(end.refused);
    if let Some(result) = end.result.filter(|_| !end.never_left) {
        *one.tries.entry(result.outcome()).or_default() += 1;
        one.callbacks += u32::from(result == Disposition::Callback);
    }
    // What never left and led to nothing would fill the audit of a campaign that is paused often.
    if past.dialed_ms.is_some() || past.result.is_some() {
        one.past.push(past);
        if one.past.len() > PAST_MAX {
            one.past.remove(0);
        }
    }
    one.standing = match &end.then {
        Next::Wait { at_ms, why } => Standing::Waiting { at_ms: *at_ms, why: *why },
        Next::Done { disposition } => Standing::Done { disposition: *disposition, at_ms },
    };
}
