//! What webhooks of providers tell of a call. Late, doubled or in any order: the slice sorts it out. What its conversation tells comes from the call entity.

use colloquy_cluster::Client;
use colloquy_domain::Principal;
use colloquy_domain::campaign::slice::{Command, Report};
use colloquy_domain::campaign::target::{Ending, Machine};
use colloquy_domain::ids::TenantId;
use colloquy_telephony::call::CallEnd;
use colloquy_telephony::twilio::callbacks::{AnsweredBy, CallStatus};

pub use colloquy_domain::campaign::dialled::{Dialled, name_of};

use super::SliceEntity;
use crate::ActorError;
use crate::core::ask;

/// Tells the slice. Whether it is a call of ours that was made: one that nobody knows changes nothing.
pub async fn tell(client: &Client, tenant: &TenantId, dialled: &Dialled, report: Report) -> Result<bool, ActorError> {
    let said = match &report {
        Report::Ringing { .. } => "ringing",
        Report::Answered => "answered",
        Report::Machine { .. } => "machine",
        Report::Abandoned => "abandoned",
        Report::Ended { .. } => "ended",
        Report::Talk { .. } | Report::Cost { .. } => "more",
    };
    metrics::counter!(crate::telemetry::CALL_REPORTS, "report" => said).increment(1);
    let command = Command::Heard { target: dialled.target, attempt: dialled.attempt, report };
    match ask::<SliceEntity>(client, &Principal::system(tenant.clone()), &dialled.slice_id(), command).await {
        Ok(_) => Ok(true),
        Err(ActorError::Rejected(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What a step at Twilio means; none for one that says nothing.
pub fn of_status(
    status: &CallStatus,
    call: &str,
    duration_s: Option<i64>,
    sip: Option<i64>,
    cost_micros: Option<i64>,
) -> Option<Report> {
    let call = || Some(call.to_owned()).filter(|call| !call.is_empty());
    match status {
        CallStatus::Queued | CallStatus::Initiated | CallStatus::Ringing => Some(Report::Ringing { call: call() }),
        CallStatus::InProgress => Some(Report::Answered),
        CallStatus::Completed | CallStatus::Busy | CallStatus::Failed | CallStatus::NoAnswer | CallStatus::Canceled => {
            let how = match status.end(None, sip)? {
                CallEnd::Completed | CallEnd::Voicemail | CallEnd::Transferred => Ending::Completed,
                CallEnd::NoAnswer => Ending::NoAnswer,
                CallEnd::Busy | CallEnd::Declined => Ending::Busy,
                CallEnd::Canceled => Ending::Canceled,
                CallEnd::InvalidNumber => Ending::InvalidNumber,
                CallEnd::Failed => Ending::Failed,
            };
            let talk_s = duration_s.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(0);
            Some(Report::Ended { how, talk_s, cost_micros })
        }
        CallStatus::Other(_) => None,
    }
}

/// What machine detection at Twilio means; none for what says nothing surely: who speaks a long sentence is taken for the start of a machine.
pub fn of_detection(answered_by: &AnsweredBy) -> Option<Report> {
    let machine = match answered_by {
        AnsweredBy::Human => return Some(Report::Answered),
        AnsweredBy::Fax => Machine::Fax,
        AnsweredBy::MachineEndBeep | AnsweredBy::MachineEndSilence | AnsweredBy::MachineEndOther => Machine::Ready,
        AnsweredBy::MachineStart | AnsweredBy::Unknown | AnsweredBy::Other(_) => return None,
    };
    Some(Report::Machine { machine })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_findings_are_read_for_what_they_surely_say() {
        let of = |status: &str, seconds, sip| of_status(&CallStatus::from(status), "CA1", seconds, sip, None);
        assert_eq!(of("queued", None, None), Some(Report::Ringing { call: Some("CA1".into()) }));
        assert_eq!(of("in-progress", None, None), Some(Report::Answered));
        let ended = |how, talk_s| Some(Report::Ended { how, talk_s, cost_micros: None });
        assert_eq!(of("completed", Some(61), None), ended(Ending::Completed, 61));
        assert_eq!(of("failed", None, Some(404)), ended(Ending::InvalidNumber, 0));
        assert_eq!(of("failed", None, Some(503)), ended(Ending::Failed, 0));
        assert_eq!(of("busy", Some(-4), None), ended(Ending::Busy, 0));
        assert_eq!(of("teleported", None, None), None);
        let found = |word: &str| of_detection(&AnsweredBy::from(word));
        assert_eq!(found("machine_end_beep"), Some(Report::Machine { machine: Machine::Ready }));
        assert_eq!((found("machine_start"), found("unknown")), (None, None), "it may be a person");
    }
}
