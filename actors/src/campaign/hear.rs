//! What is told of a call from outside: webhooks of providers, and the conversation that was had. Late, doubled or in any order: the slice sorts it out.

use colloquy_cluster::Client;
use colloquy_domain::Principal;
use colloquy_domain::campaign::slice::{self, Command, Report};
use colloquy_domain::campaign::target::{Ending, Machine, Talk};
use colloquy_domain::contact_guard::DialKey;
use colloquy_domain::ids::{CampaignId, TenantId};
use colloquy_telephony::call::CallEnd;
use colloquy_telephony::twilio::callbacks::{AnsweredBy, CallStatus};

use super::SliceEntity;
use crate::ActorError;
use crate::core::ask;

/// Parts of a dial's name in callback addresses.
const PARTS: usize = 4;

/// A dial as it stands in callback addresses and metadata.
pub fn name_of(dial: &DialKey) -> String {
    format!("{}.{}.{}", dial.campaign, dial.target, dial.attempt)
}

/// What such a name says: campaign, slice, target, attempt.
pub fn read_name(name: &str) -> Option<Dialled> {
    if name.len() > crate::core::ID_BYTES_MAX {
        return None;
    }
    let mut parts = name.rsplitn(PARTS, '.');
    let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
    let (attempt, target, slice) = (number()?, number()?, number()?);
    let campaign = parts.next().filter(|campaign| !campaign.is_empty())?;
    Some(Dialled { campaign: campaign.into(), slice, target, attempt })
}

/// One attempt to call somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialled {
    /// Of which campaign, or `call-…` for a single call.
    pub campaign: CampaignId,
    /// Which slice of it.
    pub slice: u32,
    /// Which target in it.
    pub target: u32,
    /// Which attempt.
    pub attempt: u32,
}

/// Tells the slice. Whether it is a call of ours that was made: one that nobody knows changes nothing.
pub async fn tell(client: &Client, tenant: &TenantId, dialled: &Dialled, report: Report) -> Result<bool, ActorError> {
    let command = Command::Heard { target: dialled.target, attempt: dialled.attempt, report };
    let id = slice::id(&dialled.campaign, dialled.slice);
    match ask::<SliceEntity>(client, &Principal::system(tenant.clone()), &id, command).await {
        Ok(_) => Ok(true),
        Err(ActorError::Rejected(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the conversation of a call says when it is over: meeting, callback, score. For whoever leads that conversation.
pub async fn told_by_conversation(
    client: &Client,
    tenant: &TenantId,
    dialled: &Dialled,
    talk: Talk,
) -> Result<bool, ActorError> {
    tell(client, tenant, dialled, Report::Talk { talk: Box::new(talk) }).await
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
    fn a_dial_is_read_back_from_its_name_and_nothing_else_is() {
        let dial = DialKey { campaign: "0c.1-x".into(), target: "3.17".into(), attempt: 2 };
        let read = read_name(&name_of(&dial)).expect("its own name");
        assert_eq!((read.campaign.as_str(), read.slice, read.target, read.attempt), ("0c.1-x", 3, 17, 2));
        for bad in ["", "c", "c.1.2", ".1.2.3", "c.1.2.x", "c.-1.2.3", "c.1.2.99999999999", &"x".repeat(400)] {
            assert_eq!(read_name(bad), None, "{bad}");
        }
    }

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
