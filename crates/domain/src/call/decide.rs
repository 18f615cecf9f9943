//! What becomes of what is asked of a call.

use super::{
    CARRIED_WITHIN_MS, Call, CallStatus, Command, Decision, End, Event, LOST_AFTER_MS, PROVIDER_CALL_CHARS_MAX,
    REASON_CHARS_MAX, REVIEW_ATTEMPTS_MAX, REVIEW_DEADLINE_MS, Reply, TransferKind, Untaken, elsewhere,
    errands::expires_ms, missed, timer, transfer, words,
};
use crate::{
    check::{Checks, is_e164},
    context::Context,
    ids::{ConversationId, UserId},
    principal::{Actor, Role},
    rejection::Rejection,
    text,
};

/// The reason of an end that nobody told us.
const CONNECTION_LOST: &str = "connection_lost";
/// The reason of an end by our own limit.
const TOO_LONG: &str = "max_duration_reached";
/// The reason of a call that nobody took.
const NOT_TAKEN: &str = "no_answer";

/// Decides a command.
///
/// # Errors
/// A [`Rejection`] in words for the user; nothing changes then.
pub fn decide(state: &Call, cx: &Context, command: Command) -> Result<Decision, Rejection> {
    if state.exists() {
        cx.bound_to(&state.tenant, "call")?;
    } else if !matches!(command, Command::Ring(_)) {
        return Err(Rejection::not_found("call"));
    }
    match command {
        Command::Ring(call) => {
            system(cx)?;
            if let Some(known) = &state.is {
                // The name of a call is its provider's word: whoever brings another agent's is not let in.
                if (&known.agent_id, known.carrier) != (&call.agent_id, call.carrier) {
                    return Err(Rejection::not_found("call"));
                }
                return Ok(told(state));
            }
            check(&call)?;
            Ok(Decision::event(Event::Rang { tenant: cx.principal.tenant.clone(), call }, Reply::Done))
        }
        Command::Join { conversation } => system(cx).and_then(|()| join(state, conversation)),
        Command::Attach { socket } => {
            system(cx)?;
            going(state)?;
            if state.socket.as_ref() == Some(&socket) && state.lost_ms.is_none() {
                return Ok(told(state));
            }
            Ok(Decision::event(Event::Attached { socket }, Reply::Done))
        }
        Command::Detach { socket } => {
            system(cx)?;
            // A socket whose place another has taken tells nothing any more.
            let event = Event::Detached { since_ms: None };
            Ok(if carries(state, &socket) { Decision::event(event, Reply::Done) } else { Decision::reply(Reply::Done) })
        }
        Command::Carried { socket } => {
            system(cx)?;
            Ok(if carries(state, &socket) {
                Decision::event(Event::Carried, Reply::Done)
            } else {
                Decision::reply(Reply::Done)
            })
        }
        Command::Transfer { to, kind } => transfer::ask(state, cx, &to, kind),
        Command::TransferCalling => system(cx).map(|()| transfer::calling(state)),
        Command::TransferTaken => system(cx).and_then(|()| transfer::taken(state, cx)),
        Command::TransferReturned { why } => system(cx).map(|()| transfer::untaken(state, why)),
        Command::HangUp => {
            let by = person(state, cx)?;
            going(state)?;
            Ok(match &state.hangup {
                Some(_) => told(state),
                None => Decision::event(Event::HangUpAsked { by }, Reply::Done),
            })
        }
        Command::Record { keep_days } => {
            system(cx)?;
            going(state)?;
            Ok(match &state.recording {
                Some(_) => Decision::reply(Reply::Done),
                None => Decision::event(Event::RecordingBegan { keep_days }, Reply::Done),
            })
        }
        Command::RecordingDeleted => {
            system(cx)?;
            let expired = state.recording.as_ref().is_some_and(|recording| recording.expired && !recording.deleted);
            Ok(if expired {
                Decision::event(Event::RecordingDeleted, Reply::Done)
            } else {
                Decision::reply(Reply::Done)
            })
        }
        Command::Texted { step } => system(cx).and_then(|()| missed::texted(state, step)),
        Command::VoicemailLeft { recording, seconds, keep_days } => {
            system(cx).and_then(|()| missed::left(state, cx, recording, seconds, keep_days))
        }
        Command::VoicemailFetched { here } => system(cx).and_then(|()| missed::fetched(state, here)),
        Command::Recorded { keep_days } => system(cx).and_then(|()| elsewhere::recorded(state, keep_days)),
        Command::RecordingFetched { here } => system(cx).and_then(|()| elsewhere::fetched(state, here)),
        Command::VoicemailWritten { words } => system(cx).and_then(|()| words::written(state, words)),
        Command::Ended(end) => system(cx).map(|()| ended(state, cx, &end)),
        Command::Machine => {
            system(cx)?;
            Ok(if state.machine { told(state) } else { Decision::event(Event::MachineFound, Reply::Done) })
        }
        Command::Reviewed { attempt, review, talk } => {
            system(cx)?;
            if !state.wants_review() || attempt != state.review_attempt {
                return Err(Rejection::Superseded);
            }
            Ok(Decision::event(Event::Reviewed { review, talk }, Reply::Done))
        }
        Command::Tick => system(cx).map(|()| tick(state, cx)),
        Command::Recovered => system(cx).map(|()| again(state, cx)),
        Command::Get => {
            reader(state, cx)?;
            Ok(told(state))
        }
    }
}

fn check(call: &super::NewCall) -> Result<(), Rejection> {
    let mut checks = Checks::default();
    checks.ensure(!call.id.0.is_empty(), "id", "missing");
    checks.line("provider_call_id", &call.provider_call_id, 1, PROVIDER_CALL_CHARS_MAX);
    checks.ensure(!call.agent_id.0.is_empty(), "agent_id", "must say who answers");
    for (field, number) in [("person", &call.person), ("line", &call.line)] {
        let fine = number.as_ref().is_none_or(|number| is_e164(number));
        checks.ensure(fine, field, "must be an international number such as +14155550100");
    }
    checks.finish()
}

fn join(state: &Call, conversation: ConversationId) -> Result<Decision, Rejection> {
    match &state.conversation_id {
        Some(known) if *known == conversation => Ok(told(state)),
        // Two sockets that found the call at once: the first says where it belongs.
        Some(_) => Ok(told(state)),
        None if conversation.0.is_empty() => Err(Rejection::invalid("conversation", "missing")),
        None => Ok(Decision::event(Event::Joined { conversation }, Reply::Done)),
    }
}

/// The first news of an end ends it; later ones only say more.
pub(super) fn ended(state: &Call, cx: &Context, end: &End) -> Decision {
    let status = end.status.filter(|status| status.over()).unwrap_or(match (state.answered_ms, &state.transfer) {
        (None, _) => CallStatus::Missed,
        (Some(_), _) if state.machine => CallStatus::Voicemail,
        (Some(_), Some(transfer)) if transfer.reached() => CallStatus::Transferred,
        (Some(_), Some(_) | None) => CallStatus::Completed,
    });
    let spoke_ms = end.spoke_ms.filter(|spoke| *spoke >= 0).unwrap_or_else(|| {
        let until = state.ended_ms.or(state.lost_ms).unwrap_or(cx.now_ms);
        state.answered_ms.map_or(0, |answered| until.saturating_sub(answered).max(0))
    });
    let reason = end.reason.as_ref().map(|reason| text::shorten(&text::one_line(reason), REASON_CHARS_MAX));
    let duration_s = (spoke_ms + 999) / 1000;
    if !state.status.over() {
        let event = Event::Ended {
            status,
            reason,
            duration_s,
            cost_micros: end.cost_micros,
            missed: missed::is_missed(state, status),
        };
        // Who hangs up while a colleague is being told about them has reached nobody, and is called back.
        let waited = state.handing_on().is_some_and(|transfer| transfer.kind == TransferKind::Warm);
        let left = Event::TransferReturned { why: Untaken::CallerLeft };
        let left = (waited && status != CallStatus::Transferred).then_some(left);
        return Decision::new(left.into_iter().chain([event]).collect(), Reply::Done);
    }
    // What was only guessed by a timer, or said with less, is put right by who knows; never the other way round.
    let knows = end.status.is_some() || end.reason.is_some() || end.spoke_ms.is_some() || end.cost_micros.is_some();
    let event = Event::EndTold {
        status: end.status.filter(|status| status.over()).unwrap_or(state.status),
        reason: reason.or_else(|| state.reason.clone()),
        duration_s: if end.spoke_ms.is_some() { duration_s } else { state.duration_s },
        cost_micros: end.cost_micros.or(state.cost_micros),
    };
    let same = matches!(&event, Event::EndTold { status, reason, duration_s, cost_micros }
        if *status == state.status && *reason == state.reason && *duration_s == state.duration_s && *cost_micros == state.cost_micros);
    if knows && !same { Decision::event(event, Reply::Done) } else { Decision::reply(Reply::Done) }
}

fn tick(state: &Call, cx: &Context) -> Decision {
    if timer(state).is_none_or(|due| due > cx.now_ms) {
        return Decision::reply(Reply::Done);
    }
    if state.status.over() {
        if expires_ms(state).is_some_and(|due| due <= cx.now_ms) {
            return Decision::event(Event::RecordingExpired, Reply::Done);
        }
        return again(state, cx);
    }
    let silent = state
        .carried_ms
        .filter(|carried| state.lost_ms.is_none() && carried.saturating_add(CARRIED_WITHIN_MS) <= cx.now_ms);
    if let Some(carried_ms) = silent {
        // Whoever carried it is gone and told nobody: it ended about then.
        let spoke_ms = state.answered_ms.map(|answered| carried_ms.saturating_sub(answered).max(0));
        let end = End { reason: Some(CONNECTION_LOST.to_owned()), spoke_ms, ..End::default() };
        let mut decision = ended(state, cx, &end);
        decision.events.insert(0, Event::Detached { since_ms: Some(carried_ms) });
        return decision;
    }
    let lost = state.lost_ms.is_some_and(|lost| lost.saturating_add(LOST_AFTER_MS) <= cx.now_ms);
    let reason = match (lost, state.answered_ms) {
        (true, _) => CONNECTION_LOST,
        (false, Some(_)) => TOO_LONG,
        (false, None) => NOT_TAKEN,
    };
    ended(state, cx, &End { reason: Some(reason.to_owned()), ..End::default() })
}

fn again(state: &Call, cx: &Context) -> Decision {
    if !state.wants_review() {
        return Decision::reply(Reply::Done);
    }
    if state.review_attempt >= REVIEW_ATTEMPTS_MAX {
        let review = Box::new(super::Review::none());
        return Decision::event(Event::Reviewed { review, talk: None }, Reply::Done);
    }
    let deadline_ms = cx.now_ms.saturating_add(REVIEW_DEADLINE_MS);
    Decision::event(Event::ReviewAgain { attempt: state.review_attempt + 1, deadline_ms }, Reply::Done)
}

/// Whether the call goes on over this socket.
fn carries(state: &Call, socket: &str) -> bool {
    state.socket.as_deref() == Some(socket) && state.lost_ms.is_none() && !state.status.over()
}

pub(super) fn told(state: &Call) -> Decision {
    Decision::reply(Reply::State(Box::new(state.clone())))
}

pub(super) fn going(state: &Call) -> Result<(), Rejection> {
    if state.status.over() { Err(Rejection::conflict("call_ended", "this call has ended")) } else { Ok(()) }
}

fn system(cx: &Context) -> Result<(), Rejection> {
    match cx.principal.actor {
        Actor::System => Ok(()),
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::Visitor { .. } | Actor::Platform { .. } => {
            Err(Rejection::forbidden("this is done by the service itself"))
        }
    }
}

/// Who may see a call: no visitor, and a key bound to an agent only calls of that agent.
fn reader(state: &Call, cx: &Context) -> Result<(), Rejection> {
    let agent = state.is.as_ref().map(|call| &call.agent_id);
    match &cx.principal.actor {
        Actor::Visitor { .. } => Err(Rejection::not_found("call")),
        Actor::ApiKey { agent: Some(own), .. } if Some(own) != agent => Err(Rejection::not_found("call")),
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::Platform { .. } | Actor::System => Ok(()),
    }
}

/// A person of the business who may work on calls.
pub(super) fn person(state: &Call, cx: &Context) -> Result<UserId, Rejection> {
    reader(state, cx)?;
    if !cx.principal.at_least(Role::Rep) {
        return Err(Rejection::forbidden("this needs the role rep or above"));
    }
    match &cx.principal.actor {
        Actor::User { id, .. } | Actor::Platform { id } => Ok(id.clone()),
        Actor::ApiKey { id, .. } => Ok(UserId(format!("key:{id}"))),
        Actor::System => Ok(UserId("system".to_owned())),
        Actor::Visitor { .. } => Err(Rejection::not_found("call")),
    }
}
