//! Permits: for each call and each message one append, in the same sequence as the entries that would forbid it.

use super::{
    ContactGuard, Decision, Reply,
    command::{Cap, DialRequest, Event, MessageRequest, Permit, Placed, Purpose, Refusal, Verdict},
    state::{ConsentKind, DIAL_KEPT_MS, DialKey, Source},
};
use crate::{check::Checks, context::Context, rejection::Rejection, vocabulary::Channel};

/// Characters of a campaign's, target's or message's name.
const NAME_CHARS_MAX: usize = 200;
/// Caps of one request; a day, a week and a month are three.
const CAPS_MAX: usize = 8;
/// How long after a STOP its confirmation may leave, ms: carriers allow five minutes.
const CONFIRMED_WITHIN_MS: i64 = 5 * 60 * 1000;

pub(super) fn dial(state: &ContactGuard, cx: &Context, request: DialRequest) -> Result<Decision, Rejection> {
    let mut checks = Checks::default();
    checks.line("campaign", &request.dial.campaign, 1, NAME_CHARS_MAX);
    checks.line("target", &request.dial.target, 1, NAME_CHARS_MAX);
    checks.ensure(request.dial.attempt > 0, "attempt", "counts from 1");
    checks.count("caps", request.caps.len(), CAPS_MAX);
    let fits = |cap: &Cap| (1..=DIAL_KEPT_MS).contains(&cap.within_ms);
    checks.ensure(request.caps.iter().all(fits), "caps", "count over at most 31 days");
    checks.finish()?;
    let consent = match allowed(state, cx, Channel::Voice, kinds(Channel::Voice), request.needs, Purpose::Service) {
        Ok(consent) => consent,
        Err(refusal) => return Ok(refused(refusal)),
    };
    if let Some(known) = state.dials.iter().find(|known| known.dial == request.dial) {
        return Ok(permitted(known.permit));
    }
    if let Some(again_at_ms) = request.caps.iter().filter_map(|cap| full(state, cx.now_ms, *cap)).max() {
        return Ok(refused(Refusal::TooOften { again_at_ms }));
    }
    let permit = Permit { seq: cx.seq + 1, at_ms: cx.now_ms, consent };
    Ok(Decision::event(
        Event::DialPermitted { request: Box::new(request), consent },
        verdict(Verdict::Permitted(permit)),
    ))
}

pub(super) fn message(state: &ContactGuard, cx: &Context, request: MessageRequest) -> Result<Decision, Rejection> {
    let mut checks = Checks::default();
    checks.line("message", &request.message, 1, NAME_CHARS_MAX);
    checks.ensure(
        matches!(request.channel, Channel::Sms | Channel::Whatsapp | Channel::Email),
        "channel",
        "must be sms, whatsapp or email",
    );
    checks.finish()?;
    let needs = match request.purpose {
        Purpose::Marketing if request.channel == Channel::Email => Some(ConsentKind::Email),
        Purpose::Marketing => Some(ConsentKind::Messages),
        Purpose::Answer | Purpose::Confirmation | Purpose::Service | Purpose::Staff => None,
    };
    let consent = match allowed(state, cx, request.channel, kinds(request.channel), needs, request.purpose) {
        Ok(consent) => consent,
        Err(refusal) => return Ok(refused(refusal)),
    };
    if let Some((_, permit)) = state.messages.iter().find(|(name, _)| *name == request.message) {
        return Ok(permitted(*permit));
    }
    let permit = Permit { seq: cx.seq + 1, at_ms: cx.now_ms, consent };
    let event = Event::MessagePermitted { request: Box::new(request), consent };
    Ok(Decision::event(event, verdict(Verdict::Permitted(permit))))
}

pub(super) fn settle(state: &ContactGuard, dial: &DialKey, placed: Placed) -> Result<Decision, Rejection> {
    match state.dials.iter().find(|known| known.dial == *dial) {
        Some(known) if !known.settled => {
            Ok(Decision::event(Event::DialSettled { dial: dial.clone(), placed }, Reply::Done))
        }
        // Told before, or so long ago that it no longer counts.
        Some(_) | None => Ok(Decision::reply(Reply::Done)),
    }
}

/// List and ledger. The record it rests on, if one is needed.
fn allowed(
    state: &ContactGuard,
    cx: &Context,
    channel: Channel,
    concerned: &[ConsentKind],
    needs: Option<ConsentKind>,
    purpose: Purpose,
) -> Result<Option<u32>, Refusal> {
    if let Some(entry) = state.blocked(channel, cx.now_ms) {
        let own = entry.source.is_the_persons_own();
        let may = match purpose {
            // What others wrote down about a number is about selling to it; its own STOP is about everything that goes there.
            Purpose::Answer | Purpose::Staff => !own,
            Purpose::Confirmation => {
                entry.source == Source::Keyword && cx.now_ms.saturating_sub(entry.since_ms) <= CONFIRMED_WITHIN_MS
            }
            Purpose::Service | Purpose::Marketing => false,
        };
        if !may {
            return Err(Refusal::DoNotContact { reach: entry.reach, source: entry.source, seq: entry.seq });
        }
    }
    let withdrawn = |kind: &ConsentKind| state.consent(*kind).is_some_and(|record| !record.granted);
    if matches!(purpose, Purpose::Service | Purpose::Marketing)
        && let Some(kind) = concerned.iter().find(|kind| withdrawn(kind))
    {
        return Err(Refusal::ConsentWithdrawn { kind: *kind });
    }
    match needs {
        None => Ok(None),
        Some(kind) => match state.consent(kind) {
            Some(record) if record.granted => Ok(Some(record.n)),
            Some(_) => Err(Refusal::ConsentWithdrawn { kind }),
            None => Err(Refusal::NoConsent { kind }),
        },
    }
}

/// The consents whose withdrawal ends a channel even where none was needed.
fn kinds(channel: Channel) -> &'static [ConsentKind] {
    match channel {
        Channel::Voice => &[ConsentKind::Calls, ConsentKind::AiCalls],
        Channel::Sms | Channel::Whatsapp => &[ConsentKind::Messages],
        Channel::Email => &[ConsentKind::Email],
        Channel::Chat | Channel::Linkedin | Channel::Messenger => &[],
    }
}

/// When a cap that is reached has room again.
fn full(state: &ContactGuard, now_ms: i64, cap: Cap) -> Option<i64> {
    let since_ms = now_ms.saturating_sub(cap.within_ms);
    let counted: Vec<i64> = state.dials.iter().map(|dial| dial.permit.at_ms).filter(|at| *at > since_ms).collect();
    let allowed = usize::try_from(cap.dials).unwrap_or(usize::MAX);
    if counted.len() < allowed {
        return None;
    }
    // Room comes when all but one less than allowed have left the window.
    match counted.get(counted.len() - allowed) {
        Some(at) => Some(at.saturating_add(cap.within_ms)),
        None => Some(i64::MAX), // None are allowed at all.
    }
}

fn verdict(verdict: Verdict) -> Reply {
    Reply::Verdict { verdict }
}

fn permitted(permit: Permit) -> Decision {
    Decision::reply(verdict(Verdict::Permitted(permit)))
}

fn refused(refusal: Refusal) -> Decision {
    Decision::reply(verdict(Verdict::Refused(refusal)))
}
