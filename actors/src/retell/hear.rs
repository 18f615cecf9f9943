//! What Retell tells of a call, in webhooks and lists: which dial it comes of, where it stands, how it ended.

use colloquy_domain::call::{CallStatus as Status, Command, End};
use colloquy_domain::campaign::dialled::Dialled;
use colloquy_domain::campaign::slice::Report;
use colloquy_domain::campaign::target::{Ending, Machine};
use colloquy_telephony::call::CallEnd;
use colloquy_telephony::retell::object::{Call, CallStatus, DisconnectionReason};

use crate::Tools;

/// Under which name a call's metadata hold the dial it comes of.
pub const DIAL: &str = "colloquy_dial";

/// The dial that a call comes of, if we made it.
pub fn dialled(call: &Call) -> Option<Dialled> {
    call.metadata_text(DIAL).and_then(Dialled::read)
}

/// What answered, if that was a machine. Retell tells when it is over.
pub(crate) fn machine(call: &Call) -> Option<Machine> {
    (call.end() == Some(CallEnd::Voicemail)).then_some(Machine::Ready)
}

/// Where it stands; none for what says nothing.
pub fn report(tools: &Tools, call: &Call) -> Option<Report> {
    if let Some(end) = call.end() {
        let talk_s = spoke_s(call).unwrap_or(0);
        let cost_micros = spoke_s(call).map(|seconds| crate::campaign::cost(tools, seconds));
        let how = if taken_back(call) { Ending::Canceled } else { ending(end) };
        return Some(Report::Ended { how, talk_s, cost_micros: paid(call).or(cost_micros) });
    }
    match call.call_status.as_ref()? {
        CallStatus::Registered => Some(Report::Ringing { call: Some(call.call_id.clone()) }),
        CallStatus::Ongoing => Some(Report::Answered),
        CallStatus::NotConnected | CallStatus::Ended | CallStatus::Error | CallStatus::Other(_) => None,
    }
}

/// All that a webhook tells the slice that made the call, in order: its name first, because the answer to its creation may have been lost.
pub fn reports(tools: &Tools, call: &Call) -> Vec<Report> {
    let named = Report::Ringing { call: Some(call.call_id.clone()) };
    let machine = machine(call).map(|machine| Report::Machine { machine });
    let stands = report(tools, call).filter(|report| !matches!(report, Report::Ringing { .. }));
    std::iter::once(named).chain(machine).chain(stands).collect()
}

/// What a webhook tells the call itself: nothing while it goes on.
pub fn news(tools: &Tools, call: &Call) -> Vec<Command> {
    let Some(end) = call.end() else { return Vec::new() };
    let status = match end {
        _ if taken_back(call) => Some(Status::Missed),
        // How it went decides.
        CallEnd::Completed => None,
        CallEnd::Voicemail => Some(Status::Voicemail),
        CallEnd::Transferred => Some(Status::Transferred),
        CallEnd::NoAnswer | CallEnd::Busy | CallEnd::Declined | CallEnd::Canceled => Some(Status::Missed),
        CallEnd::InvalidNumber | CallEnd::Failed => Some(Status::Failed),
    };
    let ours = dialled(call).is_some();
    let by_minute = spoke_s(call).filter(|_| ours).map(|seconds| crate::campaign::cost(tools, seconds));
    let end = End {
        status,
        reason: call.disconnection_reason.as_ref().map(ToString::to_string),
        spoke_ms: call.duration_ms,
        cost_micros: paid(call).or(by_minute),
    };
    let machine = machine(call).map(|_| Command::Machine);
    machine.into_iter().chain([Command::Ended(Box::new(end))]).collect()
}

/// Whether it is over and its sound can be fetched.
pub fn is_recorded(call: &Call) -> bool {
    call.end().is_some() && call.recording_url.as_deref().is_some_and(|url| !url.is_empty())
}

fn ending(end: CallEnd) -> Ending {
    match end {
        CallEnd::Completed | CallEnd::Voicemail | CallEnd::Transferred => Ending::Completed,
        CallEnd::NoAnswer => Ending::NoAnswer,
        CallEnd::Busy | CallEnd::Declined => Ending::Busy,
        CallEnd::Canceled => Ending::Canceled,
        CallEnd::InvalidNumber => Ending::InvalidNumber,
        CallEnd::Failed => Ending::Failed,
    }
}

/// Whether it was stopped before anybody answered.
fn taken_back(call: &Call) -> bool {
    call.call_status == Some(CallStatus::NotConnected)
        && call.disconnection_reason == Some(DisconnectionReason::ManualStopped)
}

/// How long the two spoke, seconds.
fn spoke_s(call: &Call) -> Option<u32> {
    let ms = call.duration_ms.or_else(|| Some(call.end_timestamp?.saturating_sub(call.start_timestamp?)))?;
    u32::try_from(ms.max(0).saturating_add(999) / 1000).ok()
}

/// What Retell says that it cost; zero is what it says of a call that has not been counted yet.
fn paid(call: &Call) -> Option<i64> {
    call.call_cost.and_then(|cost| cost.micros()).filter(|micros| *micros > 0)
}
