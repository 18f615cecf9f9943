//! ConversationRelay: Twilio transcribes and speaks, we read and write text over a socket; and what it posts when that is over.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::form::Form;
use crate::error::{Malformed, Unfit};
use crate::json::{lenient, lenient_whole, object, or_default, typed};

/// After this many messages in a row that it does not know Twilio closes with 1007.
pub const UNKNOWN_IN_A_ROW_MAX: u32 = 10;
/// The most keys sent at once.
const DIGITS_MAX: usize = 64;

/// The first frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Setup {
    /// The session, `VX…`.
    #[serde(default, deserialize_with = "or_default")]
    pub session_id: String,
    /// The account.
    #[serde(default, deserialize_with = "or_default")]
    pub account_sid: String,
    /// The call.
    pub call_sid: String,
    /// Who calls.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Who is called.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The number that sent the call on to us.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub forwarded_from: Option<String>,
    /// `inbound` or `outbound…`.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// What our TwiML gave along.
    #[serde(default, deserialize_with = "or_default")]
    pub custom_parameters: Map<String, Value>,
}

impl Setup {
    /// A text our TwiML gave along, such as the ticket.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.custom_parameters.get(name).and_then(Value::as_str)
    }
}

/// A frame from Twilio.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Inbound {
    /// Who calls whom.
    Setup(Setup),
    /// The caller said something. Only one that is `last` is answered.
    Prompt {
        /// Words.
        voice_prompt: String,
        /// In which language.
        #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
        lang: Option<String>,
        /// Whether the turn is over. Partial prompts come only when asked for, so absent is over.
        #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
        last: Option<bool>,
    },
    /// A key was pressed.
    Dtmf {
        /// Which.
        digit: String,
    },
    /// The caller spoke over us.
    Interrupt {
        /// What of our words was spoken until then.
        #[serde(default, deserialize_with = "or_default")]
        utterance_until_interrupt: String,
        /// How long, ms; seen both as a number and as text.
        #[serde(default, deserialize_with = "lenient_whole", skip_serializing_if = "Option::is_none")]
        duration_until_interrupt_ms: Option<i64>,
    },
    /// Twilio could not use something we sent.
    Error {
        /// What it says about that.
        #[serde(default, deserialize_with = "or_default")]
        description: String,
    },
    /// `agentSpeaking`, `clientSpeaking` (`on`, `off`) or `tokensPlayed` (words), when `events` asks for them.
    Info {
        /// Which.
        #[serde(default, deserialize_with = "or_default")]
        name: String,
        /// What.
        #[serde(default, deserialize_with = "or_default")]
        value: String,
    },
    /// A type that is not documented.
    #[serde(other)]
    Unknown,
}

impl Inbound {
    /// The words of a turn that is over.
    pub fn turn(&self) -> Option<&str> {
        match self {
            Self::Prompt { voice_prompt, last, .. } if last.unwrap_or(true) => Some(voice_prompt),
            Self::Prompt { .. }
            | Self::Setup(_)
            | Self::Dtmf { .. }
            | Self::Interrupt { .. }
            | Self::Error { .. }
            | Self::Info { .. }
            | Self::Unknown => None,
        }
    }
}

/// Reads a frame from Twilio.
///
/// # Errors
/// When it is no object, or lacks what its type cannot do without. Such a frame is dropped.
pub fn read_inbound(text: &str) -> Result<Inbound, Malformed> {
    let object = object(text.as_bytes())?;
    if !object.get("type").is_some_and(Value::is_string) {
        return Err(Malformed::Field("type"));
    }
    typed(object, "callSid, voicePrompt or digit")
}

/// A frame to Twilio.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Outbound {
    /// Words to speak; pieces are joined as they are.
    Text {
        /// Words.
        token: String,
        /// Whether the turn is over.
        #[serde(default, deserialize_with = "or_default")]
        last: bool,
        /// In another language than agreed.
        #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
        lang: Option<String>,
        /// Whether the caller may interrupt.
        #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
        interruptible: Option<bool>,
        /// Whether later words push these aside.
        #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
        preemptible: Option<bool>,
    },
    /// A recording.
    Play {
        /// Where it is.
        source: String,
        /// How often; 0 without end.
        #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
        r#loop: Option<u32>,
        /// Whether later words push it aside.
        #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
        preemptible: Option<bool>,
        /// Whether the caller may interrupt.
        #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
        interruptible: Option<bool>,
    },
    /// Presses keys.
    SendDigits {
        /// `0` to `9`, `w`, `#`, `*`.
        digits: String,
    },
    /// Speaks and listens in another language from now on.
    Language {
        /// For speaking.
        #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
        tts_language: Option<String>,
        /// For listening.
        #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
        transcription_language: Option<String>,
    },
    /// Ends the session; the call goes on with the `action` of `<Connect>`.
    End {
        /// Comes back there.
        #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
        handoff_data: Option<String>,
    },
}

impl Outbound {
    /// A piece of words.
    pub fn words(token: impl Into<String>, last: bool) -> Self {
        Self::Text { token: token.into(), last, lang: None, interruptible: None, preemptible: None }
    }

    /// Keys to press.
    ///
    /// # Errors
    /// When one of them is no key.
    pub fn digits(digits: &str) -> Result<Self, Unfit> {
        let known = |c: char| c.is_ascii_digit() || matches!(c, 'w' | '#' | '*');
        if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.chars().all(known) {
            return Err(Unfit::new("digits", "must be 0-9, w, # or *"));
        }
        Ok(Self::SendDigits { digits: digits.to_owned() })
    }

    /// The frame as text.
    pub fn to_text(&self) -> String {
        // Text keys only: always JSON.
        serde_json::to_string(self).expect("own frames are JSON")
    }
}

/// Reads one of our frames as Twilio does. For simulated carriers and tests.
///
/// # Errors
/// When Twilio would answer with error 64107.
pub fn read_outbound(text: &str) -> Result<Outbound, Malformed> {
    typed(object(text.as_bytes())?, "type")
}

/// What the history keeps of an answer that was interrupted: what was spoken until then. Twilio reports the words as it spoke them, which can
/// differ in spaces and punctuation; `None` when nothing was heard.
pub fn heard_of(utterance_until_interrupt: &str) -> Option<&str> {
    let heard = utterance_until_interrupt.trim();
    (!heard.is_empty()).then_some(heard)
}

/// How a session ended: what is posted to the `action` of `<Connect>`. The answer is TwiML; after `failed` it may begin a new session of the
/// same call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionEnd {
    /// The call.
    pub call_sid: String,
    /// The session.
    pub session_id: Option<String>,
    /// `completed` (the caller hung up), `ended` (we ended it) or `failed`.
    pub status: Option<String>,
    /// Seconds.
    pub duration_s: Option<i64>,
    /// What our `end` gave along.
    pub handoff_data: Option<String>,
    /// Twilio's number for what went wrong.
    pub error_code: Option<i64>,
}

impl SessionEnd {
    /// Reads it.
    ///
    /// # Errors
    /// When it names no call.
    pub fn read(form: &Form) -> Result<Self, Malformed> {
        Ok(Self {
            call_sid: form.need("CallSid")?.to_owned(),
            session_id: form.get("SessionId").map(str::to_owned),
            status: form.get("SessionStatus").map(str::to_owned),
            duration_s: form.number("SessionDuration").filter(|seconds| *seconds >= 0),
            handoff_data: form.get("HandoffData").map(str::to_owned),
            error_code: form.number("ErrorCode"),
        })
    }

    /// Whether the caller is still there and our socket was lost, so that a new session should begin.
    pub fn is_to_be_resumed(&self) -> bool {
        self.status.as_deref() == Some("failed")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::arbitrary::{bent, mutated};

    const FRAMES: [&str; 7] = [
        r#"{"type":"setup","sessionId":"VX1","accountSid":"AC1","parentCallSid":"","callSid":"CA1","from":"+14155550100","to":"+14155550111","forwardedFrom":null,"callType":"PSTN","callerName":"","direction":"inbound","callStatus":"RINGING","customParameters":{"ticket":"t1"}}"#,
        r#"{"type":"prompt","voicePrompt":"I need a plumber","lang":"en-US","last":true}"#,
        r#"{"type":"dtmf","digit":"1"}"#,
        r#"{"type":"interrupt","utteranceUntilInterrupt":"We are open from","durationUntilInterruptMs":460}"#,
        r#"{"type":"error","description":"Invalid message"}"#,
        r#"{"type":"info","name":"tokensPlayed","value":"We are"}"#,
        r#"{"type":"interrupt","utteranceUntilInterrupt":"We","durationUntilInterruptMs":"460"}"#,
    ];

    #[test]
    fn documented_frames_are_read() {
        let frames: Vec<Inbound> = FRAMES.iter().map(|text| read_inbound(text).expect("documented")).collect();
        let Inbound::Setup(setup) = &frames[0] else { panic!("setup") };
        assert_eq!(
            (setup.call_sid.as_str(), setup.parameter("ticket"), setup.forwarded_from.as_deref()),
            ("CA1", Some("t1"), None)
        );
        assert_eq!(frames[1].turn(), Some("I need a plumber"));
        assert_eq!(frames[2], Inbound::Dtmf { digit: "1".into() });
        for (frame, words) in [(&frames[3], "We are open from"), (&frames[6], "We")] {
            let Inbound::Interrupt { utterance_until_interrupt, duration_until_interrupt_ms } = frame else {
                panic!("interrupt")
            };
            assert_eq!(
                (utterance_until_interrupt.as_str(), *duration_until_interrupt_ms),
                (words, Some(460)),
                "as number and as text"
            );
        }
        assert_eq!(frames[5], Inbound::Info { name: "tokensPlayed".into(), value: "We are".into() });
        for frame in frames {
            assert_eq!(read_inbound(&serde_json::to_string(&frame).expect("JSON")), Ok(frame));
        }
    }

    #[test]
    fn only_the_last_piece_of_a_prompt_is_a_turn() {
        let turn = |text: &str| read_inbound(text).expect("a prompt").turn().map(str::to_owned);
        assert_eq!(turn(r#"{"type":"prompt","voicePrompt":"I need","last":false}"#), None);
        assert_eq!(turn(r#"{"type":"prompt","voicePrompt":"I need"}"#).as_deref(), Some("I need"));
        assert_eq!(read_inbound(r#"{"type":"mood","mood":1}"#), Ok(Inbound::Unknown));
        for (text, expected) in [
            ("{", Malformed::NotJson),
            ("{}", Malformed::Field("type")),
            (r#"{"type":"setup"}"#, Malformed::Field("callSid, voicePrompt or digit")),
            (r#"{"type":"prompt","last":true}"#, Malformed::Field("callSid, voicePrompt or digit")),
        ] {
            assert_eq!(read_inbound(text), Err(expected), "{text}");
        }
        assert_eq!((heard_of("  "), heard_of(" We are ")), (None, Some("We are")));
    }

    #[test]
    fn our_frames_have_exactly_the_documented_fields() {
        let cases = [
            (Outbound::words("Hello ", false), json!({"type": "text", "token": "Hello ", "last": false})),
            (
                Outbound::Play {
                    source: "https://h/a.mp3".into(),
                    r#loop: Some(1),
                    preemptible: None,
                    interruptible: Some(false),
                },
                json!({"type": "play", "source": "https://h/a.mp3", "loop": 1, "interruptible": false}),
            ),
            (Outbound::digits("1w#").expect("keys"), json!({"type": "sendDigits", "digits": "1w#"})),
            (
                Outbound::Language { tts_language: Some("es-MX".into()), transcription_language: Some("es-MX".into()) },
                json!({"type": "language", "ttsLanguage": "es-MX", "transcriptionLanguage": "es-MX"}),
            ),
            (
                Outbound::End { handoff_data: Some("{\"reason\":\"person\"}".into()) },
                json!({"type": "end", "handoffData": "{\"reason\":\"person\"}"}),
            ),
        ];
        for (frame, expected) in cases {
            assert_eq!(serde_json::from_str::<Value>(&frame.to_text()).expect("JSON"), expected);
            assert_eq!(read_outbound(&frame.to_text()), Ok(frame));
        }
        assert!(Outbound::digits("1a").is_err() && Outbound::digits("").is_err());
    }

    #[test]
    fn a_session_that_failed_is_resumed_and_others_are_not() {
        let read = |text: &str| SessionEnd::read(&Form::read(text.as_bytes()).expect("a form"));
        let end =
            read("CallSid=CA1&SessionId=VX1&SessionStatus=failed&SessionDuration=12&ErrorCode=64105").expect("an end");
        assert!(end.is_to_be_resumed() && end.error_code == Some(64_105));
        let end = read("CallSid=CA1&SessionStatus=ended&HandoffData=%7B%7D").expect("an end");
        assert!(!end.is_to_be_resumed() && end.handoff_data.as_deref() == Some("{}"));
        assert_eq!(read("SessionStatus=ended"), Err(Malformed::Field("CallSid")));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in prop_oneof![mutated(&FRAMES), bent(&FRAMES), "\\PC{0,80}"]) {
            if let Ok(frame) = read_inbound(&text) {
                let _ = frame.turn();
            }
            let _ = read_outbound(&text);
        }
    }
}
