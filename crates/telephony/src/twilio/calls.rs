//! Forms that place and change calls.

use colloquy_domain::check::is_e164;

use crate::error::Unfit;
use crate::rest::web;

/// The longest time it may ring, seconds.
const RING_S_MAX: u32 = 600;
/// The most keys pressed after the answer.
const SEND_DIGITS_MAX: usize = 32;
/// Fields of a form.
pub(super) type Fields = Vec<(String, String)>;

/// Where Twilio learns what to do with the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instructions {
    /// It asks this address.
    Url(String),
    /// This document, at most 4,000 characters.
    Twiml(String),
    /// A TwiML application of the account.
    Application(String),
}

/// Whether and how it is found out who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineDetection {
    /// At once, and unreliable.
    Enable,
    /// At the end of a greeting.
    DetectMessageEnd,
}

/// Machine detection with Twilio's tuning; `None` is Twilio's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amd {
    /// How.
    pub mode: MachineDetection,
    /// How long it may take, seconds (30).
    pub timeout_s: Option<u32>,
    /// Speech this long is a machine, ms (2400; 1000 to 6000).
    pub speech_threshold_ms: Option<u32>,
    /// Silence this long ends speech, ms (1200; 500 to 5000).
    pub speech_end_threshold_ms: Option<u32>,
    /// Silence this long at the start is unknown, ms (5000; 2000 to 10000).
    pub silence_timeout_ms: Option<u32>,
    /// Where the finding goes while the call goes on; without it the call waits in silence.
    pub async_callback: Option<String>,
}

/// How a call is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// A channel for each of the two.
    pub dual: bool,
    /// Where it is told that the recording is there.
    pub callback: Option<String>,
}

/// A call to be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateCall {
    /// E.164, or `sip:…`, `client:…`.
    pub to: String,
    /// A number of the account, E.164, or `client:…`.
    pub from: String,
    /// What to do with it.
    pub instructions: Instructions,
    /// Asked what to do with it when the address of the instructions does not answer.
    pub fallback: Option<String>,
    /// Where each step goes. The attempt's id is in this address.
    pub status_callback: Option<String>,
    /// Which steps: `initiated`, `ringing`, `answered`, `completed`.
    pub status_events: Vec<String>,
    /// How long it rings, seconds.
    pub timeout_s: Option<u32>,
    /// The longest call, seconds.
    pub time_limit_s: Option<u32>,
    /// Keys pressed after the answer. Twilio then does not detect machines.
    pub send_digits: Option<String>,
    /// Who answers.
    pub amd: Option<Amd>,
    /// Whether it is recorded.
    pub recording: Option<Recording>,
}

impl CreateCall {
    /// A call between two numbers, all else left to Twilio.
    pub fn new(from: impl Into<String>, to: impl Into<String>, instructions: Instructions) -> Self {
        Self {
            to: to.into(),
            from: from.into(),
            instructions,
            fallback: None,
            status_callback: None,
            status_events: Vec::new(),
            timeout_s: None,
            time_limit_s: None,
            send_digits: None,
            amd: None,
            recording: None,
        }
    }

    /// The form.
    ///
    /// # Errors
    /// Names the first field Twilio would refuse or silently ignore.
    pub fn fields(&self) -> Result<Fields, Unfit> {
        if !reaches(&self.to) {
            return Err(Unfit::new("To", "must be an international number such as +14155550100, sip: or client:"));
        }
        if !is_e164(&self.from) && !self.from.starts_with("client:") {
            return Err(Unfit::new("From", "must be an international number such as +14155550100"));
        }
        let mut fields = vec![field("To", &self.to), field("From", &self.from)];
        fields.push(match &self.instructions {
            Instructions::Url(url) => field("Url", web(url, "Url")?),
            Instructions::Twiml(xml) if xml.chars().count() > super::twiml::PARAMETER_CHARS_MAX => {
                return Err(Unfit::new("Twiml", "is longer than 4000 characters"));
            }
            Instructions::Twiml(xml) => field("Twiml", xml),
            Instructions::Application(sid) => field("ApplicationSid", sid),
        });
        if let Some(url) = &self.fallback {
            fields.push(field("FallbackUrl", web(url, "FallbackUrl")?));
        }
        if let Some(url) = &self.status_callback {
            fields.push(field("StatusCallback", web(url, "StatusCallback")?));
            for event in &self.status_events {
                if !["initiated", "ringing", "answered", "completed"].contains(&event.as_str()) {
                    return Err(Unfit::new("StatusCallbackEvent", "must be initiated, ringing, answered or completed"));
                }
                fields.push(field("StatusCallbackEvent", event));
            }
        }
        if let Some(seconds) = self.timeout_s {
            fields.push(field("Timeout", &ranged(seconds, 1, RING_S_MAX, "Timeout", "must be 1 to 600 seconds")?));
        }
        if let Some(seconds) = self.time_limit_s {
            fields.push(field("TimeLimit", &seconds.to_string()));
        }
        if let Some(digits) = &self.send_digits {
            check_digits(digits)?;
            if self.amd.is_some() {
                return Err(Unfit::new("SendDigits", "cannot be combined with machine detection"));
            }
            fields.push(field("SendDigits", digits));
        }
        if let Some(amd) = &self.amd {
            push_amd(amd, &mut fields)?;
        }
        if let Some(recording) = &self.recording {
            fields.push(field("Record", "true"));
            fields.push(field("RecordingChannels", if recording.dual { "dual" } else { "mono" }));
            if let Some(url) = &recording.callback {
                fields.push(field("RecordingStatusCallback", web(url, "RecordingStatusCallback")?));
                fields.push(field("RecordingStatusCallbackEvent", "completed absent"));
            }
        }
        Ok(fields)
    }
}

fn push_amd(amd: &Amd, fields: &mut Fields) -> Result<(), Unfit> {
    let mode = match amd.mode {
        MachineDetection::Enable => "Enable",
        MachineDetection::DetectMessageEnd => "DetectMessageEnd",
    };
    fields.push(field("MachineDetection", mode));
    let tuned = [
        ("MachineDetectionTimeout", amd.timeout_s, 3, 59, "must be 3 to 59 seconds"),
        ("MachineDetectionSpeechThreshold", amd.speech_threshold_ms, 1000, 6000, "must be 1000 to 6000 ms"),
        ("MachineDetectionSpeechEndThreshold", amd.speech_end_threshold_ms, 500, 5000, "must be 500 to 5000 ms"),
        ("MachineDetectionSilenceTimeout", amd.silence_timeout_ms, 2000, 10_000, "must be 2000 to 10000 ms"),
    ];
    for (name, value, min, max, problem) in tuned {
        if let Some(value) = value {
            fields.push(field(name, &ranged(value, min, max, name, problem)?));
        }
    }
    if let Some(url) = &amd.async_callback {
        fields.push(field("AsyncAmd", "true"));
        fields.push(field("AsyncAmdStatusCallback", web(url, "AsyncAmdStatusCallback")?));
    }
    Ok(())
}

/// What becomes of a running call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModifyCall {
    /// Taken back; only while it waits or rings.
    Cancel,
    /// Hung up.
    HangUp,
    /// Goes on with what this address says.
    Redirect(String),
    /// Goes on with this document.
    Instruct(String),
}

impl ModifyCall {
    /// The form.
    ///
    /// # Errors
    /// Names the field Twilio would refuse.
    pub fn fields(&self) -> Result<Fields, Unfit> {
        Ok(vec![match self {
            Self::Cancel => field("Status", "canceled"),
            Self::HangUp => field("Status", "completed"),
            Self::Redirect(url) => field("Url", web(url, "Url")?),
            Self::Instruct(xml) if xml.chars().count() > super::twiml::PARAMETER_CHARS_MAX => {
                return Err(Unfit::new("Twiml", "is longer than 4000 characters"));
            }
            Self::Instruct(xml) => field("Twiml", xml),
        }])
    }
}

pub(super) fn field(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn ranged(value: u32, min: u32, max: u32, name: &'static str, problem: &'static str) -> Result<String, Unfit> {
    if (min..=max).contains(&value) { Ok(value.to_string()) } else { Err(Unfit::new(name, problem)) }
}

fn reaches(to: &str) -> bool {
    is_e164(to) || ["sip:", "client:"].iter().any(|scheme| to.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
}

fn check_digits(digits: &str) -> Result<(), Unfit> {
    let known = |c: char| c.is_ascii_digit() || matches!(c, 'A'..='D' | '#' | '*' | 'w' | 'W');
    if digits.is_empty() || digits.len() > SEND_DIGITS_MAX || !digits.chars().all(known) {
        return Err(Unfit::new("SendDigits", "must be at most 32 of 0-9, A-D, #, * and w"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> CreateCall {
        CreateCall::new("+14155550100", "+14155550111", Instructions::Url("https://h/voice?attempt=a1".into()))
    }

    fn amd() -> Amd {
        Amd {
            mode: MachineDetection::DetectMessageEnd,
            timeout_s: None,
            speech_threshold_ms: None,
            speech_end_threshold_ms: None,
            silence_timeout_ms: None,
            async_callback: Some("https://h/amd".into()),
        }
    }

    #[test]
    fn a_campaign_call_has_every_field_in_twilios_spelling() {
        let call = CreateCall {
            status_callback: Some("https://h/status?attempt=a1".into()),
            status_events: ["initiated", "answered", "completed"].map(str::to_owned).into(),
            timeout_s: Some(25),
            amd: Some(amd()),
            recording: Some(Recording { dual: true, callback: Some("https://h/rec".into()) }),
            ..call()
        };
        let fields = call.fields().expect("fits");
        let text: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            text,
            [
                "To=+14155550111",
                "From=+14155550100",
                "Url=https://h/voice?attempt=a1",
                "StatusCallback=https://h/status?attempt=a1",
                "StatusCallbackEvent=initiated",
                "StatusCallbackEvent=answered",
                "StatusCallbackEvent=completed",
                "Timeout=25",
                "MachineDetection=DetectMessageEnd",
                "AsyncAmd=true",
                "AsyncAmdStatusCallback=https://h/amd",
                "Record=true",
                "RecordingChannels=dual",
                "RecordingStatusCallback=https://h/rec",
                "RecordingStatusCallbackEvent=completed absent",
            ]
        );
    }

    #[test]
    fn what_twilio_would_refuse_or_ignore_is_refused_before_it_is_sent() {
        let field = |call: CreateCall| call.fields().expect_err("unfit").field;
        assert_eq!(field(CreateCall { to: "0800 1234".into(), ..call() }), "To");
        assert_eq!(field(CreateCall { to: "sip:".into(), ..call() }), "To");
        assert_eq!(field(CreateCall { from: "Acme".into(), ..call() }), "From");
        assert_eq!(field(CreateCall { instructions: Instructions::Twiml("x".repeat(4001)), ..call() }), "Twiml");
        assert_eq!(field(CreateCall { instructions: Instructions::Url("javascript:1".into()), ..call() }), "Url");
        assert_eq!(field(CreateCall { timeout_s: Some(601), ..call() }), "Timeout");
        assert_eq!(field(CreateCall { send_digits: Some("1x".into()), ..call() }), "SendDigits");
        assert_eq!(field(CreateCall { send_digits: Some("1".repeat(33)), ..call() }), "SendDigits");
        assert_eq!(field(CreateCall { send_digits: Some("ww1#".into()), amd: Some(amd()), ..call() }), "SendDigits");
        let tuned = Amd { speech_threshold_ms: Some(999), ..amd() };
        assert_eq!(field(CreateCall { amd: Some(tuned), ..call() }), "MachineDetectionSpeechThreshold");
        assert!(CreateCall { send_digits: Some("wwww1234#".into()), ..call() }.fields().is_ok());
    }

    #[test]
    fn a_running_call_is_changed_with_one_field() {
        let fields = |change: ModifyCall| change.fields().expect("fits");
        assert_eq!(fields(ModifyCall::Cancel), [field("Status", "canceled")]);
        assert_eq!(fields(ModifyCall::HangUp), [field("Status", "completed")]);
        assert_eq!(fields(ModifyCall::Redirect("https://h/x".into())), [field("Url", "https://h/x")]);
        assert!(ModifyCall::Redirect("x".into()).fields().is_err());
    }
}
