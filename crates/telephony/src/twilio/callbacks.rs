//! What Twilio posts about a call: that it comes in, how it goes, who answered, what was pressed, recorded and dialled.

use super::form::Form;
use crate::call::CallEnd;
use crate::error::Malformed;
use crate::json::vocabulary;

vocabulary! {
    /// Where a call stands.
    CallStatus {
        /// Waits for its turn at Twilio.
        Queued = "queued",
        /// Being dialled.
        Initiated = "initiated",
        /// Rings.
        Ringing = "ringing",
        /// The two speak; the event `answered` arrives as this.
        InProgress = "in-progress",
        /// Over after it was answered.
        Completed = "completed",
        /// Busy.
        Busy = "busy",
        /// It could not be placed.
        Failed = "failed",
        /// Nobody answered.
        NoAnswer = "no-answer",
        /// Taken back before it was answered.
        Canceled = "canceled",
    }
}

impl CallStatus {
    /// Whether nothing follows.
    pub fn is_terminal(&self) -> bool {
        self.order() == Some(TERMINAL)
    }

    /// How far along it is; `None` for a word we do not know, which says nothing.
    pub(super) fn order(&self) -> Option<u8> {
        match self {
            Self::Queued => Some(0),
            Self::Initiated => Some(1),
            Self::Ringing => Some(2),
            Self::InProgress => Some(3),
            Self::Completed | Self::Busy | Self::Failed | Self::NoAnswer | Self::Canceled => Some(TERMINAL),
            Self::Other(_) => None,
        }
    }

    /// What the call came to; `None` while it goes on. `answered_by` is what machine detection found, `sip` the last response of the line.
    pub fn end(&self, answered_by: Option<&AnsweredBy>, sip: Option<i64>) -> Option<CallEnd> {
        match self {
            Self::Queued | Self::Initiated | Self::Ringing | Self::InProgress | Self::Other(_) => None,
            Self::Completed if answered_by.is_some_and(AnsweredBy::is_surely_machine) => Some(CallEnd::Voicemail),
            Self::Completed => Some(CallEnd::Completed),
            Self::Busy if sip == Some(SIP_DECLINE) => Some(CallEnd::Declined),
            Self::Busy => Some(CallEnd::Busy),
            Self::Failed if sip.is_some_and(|code| SIP_NO_SUCH_LINE.contains(&code)) => Some(CallEnd::InvalidNumber),
            Self::Failed => Some(CallEnd::Failed),
            Self::NoAnswer => Some(CallEnd::NoAnswer),
            Self::Canceled => Some(CallEnd::Canceled),
        }
    }
}

/// Behind everything that goes on.
pub(super) const TERMINAL: u8 = 4;
/// RFC 3261: the called person refuses.
const SIP_DECLINE: i64 = 603;
/// RFC 3261: not found, gone, incomplete.
const SIP_NO_SUCH_LINE: [i64; 3] = [404, 410, 484];

vocabulary! {
    /// What machine detection found.
    AnsweredBy {
        /// A person.
        Human = "human",
        /// A fax.
        Fax = "fax",
        /// It could not tell.
        Unknown = "unknown",
        /// Something that speaks like a machine. Also people who answer with a long sentence and wait.
        MachineStart = "machine_start",
        /// A voicemail box that has beeped.
        MachineEndBeep = "machine_end_beep",
        /// A voicemail box that has fallen silent.
        MachineEndSilence = "machine_end_silence",
        /// A voicemail box whose greeting is over.
        MachineEndOther = "machine_end_other",
    }
}

impl AnsweredBy {
    /// Whether it is safe to treat the other side as a machine. `machine_start` is not: it hangs up on people.
    pub fn is_surely_machine(&self) -> bool {
        match self {
            Self::MachineEndBeep | Self::MachineEndSilence | Self::MachineEndOther | Self::Fax => true,
            Self::Human | Self::Unknown | Self::MachineStart | Self::Other(_) => false,
        }
    }

    /// Whether a message may be left now.
    pub fn takes_a_message(&self) -> bool {
        matches!(self, Self::MachineEndBeep | Self::MachineEndSilence | Self::MachineEndOther)
    }
}

/// What stands in every request about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallWebhook {
    /// The call.
    pub call_sid: String,
    /// The account.
    pub account_sid: String,
    /// Where it stands.
    pub status: Option<CallStatus>,
    /// Who calls: a number, `client:…`, `sip:…` or a word such as `anonymous`.
    pub from: Option<String>,
    /// Who is called.
    pub to: Option<String>,
    /// `inbound`, `outbound-api` or `outbound-dial`.
    pub direction: Option<String>,
    /// The number that sent the call on to us.
    pub forwarded_from: Option<String>,
    /// The call this is a leg of.
    pub parent_call_sid: Option<String>,
    /// How sure the carriers are of the caller's number, such as `TN-Validation-Passed-A`.
    pub stir_verdict: Option<String>,
    /// What machine detection found, when the call waited for it.
    pub answered_by: Option<AnsweredBy>,
}

impl CallWebhook {
    /// Reads it.
    ///
    /// # Errors
    /// When it names no call.
    pub fn read(form: &Form) -> Result<Self, Malformed> {
        let text = |name| form.get(name).map(str::to_owned);
        Ok(Self {
            call_sid: form.need("CallSid")?.to_owned(),
            account_sid: form.need("AccountSid")?.to_owned(),
            status: form.get("CallStatus").map(CallStatus::from),
            from: text("From"),
            to: text("To"),
            direction: text("Direction"),
            forwarded_from: text("ForwardedFrom"),
            parent_call_sid: text("ParentCallSid"),
            stir_verdict: text("StirVerstat"),
            answered_by: form.get("AnsweredBy").map(AnsweredBy::from),
        })
    }
}

/// A step of a call. Steps arrive in any order, twice or not at all: see [`super::progress`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusCallback {
    /// The call.
    pub call: CallWebhook,
    /// The step.
    pub status: CallStatus,
    /// From 0, in the order in which things happened.
    pub sequence: Option<u64>,
    /// When, as Twilio wrote it (RFC 2822, UTC).
    pub timestamp: Option<String>,
    /// Seconds that are paid for, on the last step.
    pub duration_s: Option<i64>,
    /// The line's last word, on the last step.
    pub sip_response: Option<i64>,
    /// Where the recording is.
    pub recording_url: Option<String>,
}

impl StatusCallback {
    /// Reads it.
    ///
    /// # Errors
    /// When it names no call or no step.
    pub fn read(form: &Form) -> Result<Self, Malformed> {
        let call = CallWebhook::read(form)?;
        let status = call.status.clone().ok_or(Malformed::Field("CallStatus"))?;
        Ok(Self {
            call,
            status,
            sequence: form.number("SequenceNumber").and_then(|number| u64::try_from(number).ok()),
            timestamp: form.get("Timestamp").map(str::to_owned),
            duration_s: form.number("CallDuration").filter(|seconds| *seconds >= 0),
            sip_response: form.number("SipResponseCode"),
            recording_url: form.get("RecordingUrl").map(str::to_owned),
        })
    }

    /// When, Unix ms.
    pub fn at_ms(&self) -> Option<i64> {
        let text = self.timestamp.as_deref()?;
        jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok().map(|at| at.as_millisecond())
    }
}

/// What machine detection found, while the call went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmdCallback {
    /// The call.
    pub call_sid: String,
    /// Who or what answered.
    pub answered_by: AnsweredBy,
    /// How long it took to tell, ms.
    pub detection_ms: Option<i64>,
}

impl AmdCallback {
    /// Reads it.
    ///
    /// # Errors
    /// When it names no call or no finding.
    pub fn read(form: &Form) -> Result<Self, Malformed> {
        Ok(Self {
            call_sid: form.need("CallSid")?.to_owned(),
            answered_by: AnsweredBy::from(form.need("AnsweredBy")?),
            detection_ms: form.number("MachineDetectionDuration"),
        })
    }
}

/// A recording that began, is there, or was empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingCallback {
    /// The call.
    pub call_sid: String,
    /// The recording.
    pub recording_sid: String,
    /// `in-progress`, `completed` or `absent`.
    pub status: String,
    /// Where it is; fetching it takes the account's credentials.
    pub url: Option<String>,
    /// Its length, seconds.
    pub duration_s: Option<i64>,
    /// 1 or 2.
    pub channels: Option<i64>,
}

impl RecordingCallback {
    /// Reads it.
    ///
    /// # Errors
    /// When it names no call, no recording or no status.
    pub fn read(form: &Form) -> Result<Self, Malformed> {
        Ok(Self {
            call_sid: form.need("CallSid")?.to_owned(),
            recording_sid: form.need("RecordingSid")?.to_owned(),
            status: form.need("RecordingStatus")?.to_owned(),
            url: form.get("RecordingUrl").map(str::to_owned),
            duration_s: form.number("RecordingDuration").filter(|seconds| *seconds >= 0),
            channels: form.number("RecordingChannels"),
        })
    }

    /// Whether there is something to fetch.
    pub fn is_there(&self) -> bool {
        self.status == "completed" && self.url.is_some()
    }
}

/// What a caller pressed or said to `<Gather>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gathered {
    /// Keys.
    pub digits: Option<String>,
    /// Words.
    pub speech: Option<String>,
    /// How sure of the words, 0 to 1.
    pub confidence: Option<f64>,
}

impl Gathered {
    /// Reads it; nothing pressed and nothing said is also something.
    pub fn read(form: &Form) -> Self {
        let confidence = form.get("Confidence").and_then(|text| text.parse::<f64>().ok());
        Self {
            digits: form.get("Digits").map(str::to_owned),
            speech: form.get("SpeechResult").map(str::to_owned),
            confidence: confidence.filter(|value| (0.0..=1.0).contains(value)),
        }
    }
}

/// What came of a `<Dial>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialled {
    /// Where the other leg ended: `answered` counts as completed.
    pub status: CallStatus,
    /// The other leg.
    pub call_sid: Option<String>,
    /// How long the two spoke, seconds.
    pub duration_s: Option<i64>,
    /// Whether the two were connected.
    pub bridged: Option<bool>,
}

impl Dialled {
    /// Reads it.
    ///
    /// # Errors
    /// When there is no status.
    pub fn read(form: &Form) -> Result<Self, Malformed> {
        let status = match form.need("DialCallStatus")? {
            "answered" => CallStatus::Completed,
            word => CallStatus::from(word),
        };
        Ok(Self {
            status,
            call_sid: form.get("DialCallSid").map(str::to_owned),
            duration_s: form.number("DialCallDuration").filter(|seconds| *seconds >= 0),
            bridged: form.get("DialBridged").map(|word| word == "true"),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COMPLETED: &str = "CallSid=CA1&AccountSid=AC1&From=%2B14155550100&To=%2B14155550111&CallStatus=completed&Direction=outbound-api\
        &Timestamp=Tue%2C+14+Nov+2023+22%3A13%3A20+%2B0000&CallbackSource=call-progress-events&SequenceNumber=3&CallDuration=42&Duration=1\
        &SipResponseCode=200&Invented=1";

    fn form(text: &str) -> Form {
        Form::read(text.as_bytes()).expect("a form")
    }

    #[test]
    fn a_step_is_read_with_its_place_and_time() {
        let step = StatusCallback::read(&form(COMPLETED)).expect("a step");
        assert_eq!((step.status.clone(), step.sequence, step.duration_s), (CallStatus::Completed, Some(3), Some(42)));
        assert_eq!(step.at_ms(), Some(1_700_000_000_000));
        assert_eq!(step.status.end(None, step.sip_response), Some(CallEnd::Completed));
        for (text, missing) in [
            ("AccountSid=AC1&CallStatus=completed", "CallSid"),
            ("CallSid=CA1&AccountSid=AC1", "CallStatus"),
            ("CallSid=CA1", "AccountSid"),
        ] {
            assert_eq!(StatusCallback::read(&form(text)), Err(Malformed::Field(missing)));
        }
    }

    #[test]
    fn only_an_ended_greeting_counts_as_a_machine() {
        for (word, machine, message) in [
            ("human", false, false),
            ("unknown", false, false),
            ("machine_start", false, false),
            ("machine_end_beep", true, true),
            ("machine_end_silence", true, true),
            ("machine_end_other", true, true),
            ("fax", true, false),
            ("machine_dreamt", false, false),
        ] {
            let found = AnsweredBy::from(word);
            assert_eq!((found.is_surely_machine(), found.takes_a_message()), (machine, message), "{word}");
        }
    }

    #[test]
    fn the_end_of_a_call_follows_from_status_finding_and_line() {
        let end =
            |status: &str, by: Option<&str>, sip| CallStatus::from(status).end(by.map(AnsweredBy::from).as_ref(), sip);
        assert_eq!(end("completed", Some("machine_end_beep"), Some(200)), Some(CallEnd::Voicemail));
        assert_eq!(end("completed", Some("machine_start"), None), Some(CallEnd::Completed));
        assert_eq!(end("no-answer", None, Some(487)), Some(CallEnd::NoAnswer));
        assert_eq!(end("failed", None, Some(404)), Some(CallEnd::InvalidNumber));
        assert_eq!(end("failed", None, Some(503)), Some(CallEnd::Failed));
        assert_eq!(end("busy", None, Some(603)), Some(CallEnd::Declined));
        assert_eq!(end("in-progress", None, None), None);
        assert_eq!(end("resting", None, None), None, "an unknown word ends nothing");
    }

    #[test]
    fn the_smaller_callbacks_are_read() {
        let amd = AmdCallback::read(&form(
            "CallSid=CA1&AccountSid=AC1&AnsweredBy=machine_end_beep&MachineDetectionDuration=4300",
        ));
        assert_eq!(amd.expect("a finding").detection_ms, Some(4300));
        let recording =
            RecordingCallback::read(&form("CallSid=CA1&RecordingSid=RE1&RecordingStatus=absent")).expect("a recording");
        assert!(!recording.is_there());
        let gathered = Gathered::read(&form("Digits=&SpeechResult=book+it&Confidence=0.87"));
        assert_eq!(gathered, Gathered { digits: None, speech: Some("book it".into()), confidence: Some(0.87) });
        let dialled =
            Dialled::read(&form("DialCallStatus=answered&DialBridged=true&DialCallDuration=7")).expect("a result");
        assert_eq!((dialled.status, dialled.bridged), (CallStatus::Completed, Some(true)));
    }

    proptest! {
        #[test]
        fn any_form_is_answered(text in prop_oneof![crate::arbitrary::mutated(&[COMPLETED]), "[A-Za-z=&%+0-9]{0,80}"]) {
            let form = form(&text);
            if let Ok(step) = StatusCallback::read(&form) {
                let _ = (step.at_ms(), step.status.end(step.call.answered_by.as_ref(), step.sip_response));
            }
            let _ = (AmdCallback::read(&form), RecordingCallback::read(&form), Gathered::read(&form), Dialled::read(&form));
        }
    }
}
