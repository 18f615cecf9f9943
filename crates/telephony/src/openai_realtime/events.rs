//! What OpenAI sends on a Realtime socket: first any JSON, then by `type`, because new types appear and old ones linger.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::error::Malformed;
use crate::json::{clip, object, whole};

/// How much of an error's explanation is kept, characters.
const MESSAGE_CHARS_MAX: usize = 300;

/// An event.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The session stands, or was changed.
    Session {
        /// Its id.
        id: Option<String>,
    },
    /// The caller began to speak.
    SpeechStarted {
        /// The item that will hold it.
        item_id: Option<String>,
        /// Ms into the caller's audio.
        audio_start_ms: Option<i64>,
    },
    /// The caller stopped.
    SpeechStopped {
        /// Ms into the caller's audio.
        audio_end_ms: Option<i64>,
    },
    /// What the caller said.
    CallerSaid {
        /// Its item.
        item_id: String,
        /// Words.
        text: String,
    },
    /// What the caller said could not be written down.
    CallerUnheard {
        /// Its item.
        item_id: String,
    },
    /// A key was pressed.
    Dtmf {
        /// Which.
        key: String,
    },
    /// A piece of our voice.
    Audio {
        /// The answer's item.
        item_id: String,
        /// In the session's output format.
        audio: Vec<u8>,
    },
    /// A piece of the words of our voice, or of a text answer.
    Words {
        /// The answer's item.
        item_id: String,
        /// Words.
        delta: String,
    },
    /// All words of an answer.
    WordsDone {
        /// The answer's item.
        item_id: String,
        /// Words.
        text: String,
    },
    /// The model calls a tool.
    ToolCall {
        /// Names it in the result.
        call_id: String,
        /// Which tool.
        name: String,
        /// JSON as text.
        arguments: String,
    },
    /// An answer begins.
    ResponseCreated {
        /// Its id.
        id: Option<String>,
    },
    /// An answer is over.
    ResponseDone {
        /// `completed`, `cancelled`, `failed`, `incomplete`.
        status: String,
        /// What it took, tokens in and out.
        tokens: Option<(i64, i64)>,
    },
    /// A browser or telephone began or stopped to play.
    Playing(bool),
    /// Something we sent was not understood, or something went wrong. The socket stays open.
    Error {
        /// Such as `invalid_value`.
        code: Option<String>,
        /// What OpenAI says about it, shortened.
        message: String,
    },
    /// Everything else.
    Other,
}

/// Reads an event.
///
/// # Errors
/// When it is no object, has no type, or lacks what its type cannot do without.
pub fn read(text: &str) -> Result<Event, Malformed> {
    // One frame of audio can be larger than any other: the shared bound is the bound here too.
    let event = object(text.as_bytes())?;
    let Some(Value::String(kind)) = event.get("type") else { return Err(Malformed::Field("type")) };
    let item_id = || string(&event, "item_id").ok_or(Malformed::Field("item_id"));
    let words = |name: &'static str| string(&event, name).ok_or(Malformed::Field(name));
    let number = |name: &str| event.get(name).and_then(whole);
    Ok(match kind.as_str() {
        "session.created" | "session.updated" => Event::Session { id: below(&event, "session", "id") },
        "input_audio_buffer.speech_started" => {
            Event::SpeechStarted { item_id: string(&event, "item_id"), audio_start_ms: number("audio_start_ms") }
        }
        "input_audio_buffer.speech_stopped" => Event::SpeechStopped { audio_end_ms: number("audio_end_ms") },
        "input_audio_buffer.dtmf_event_received" => Event::Dtmf { key: words("event")? },
        "conversation.item.input_audio_transcription.completed" => {
            Event::CallerSaid { item_id: item_id()?, text: words("transcript")? }
        }
        "conversation.item.input_audio_transcription.failed" => Event::CallerUnheard { item_id: item_id()? },
        "response.output_audio.delta" | "response.audio.delta" => {
            let audio = STANDARD.decode(words("delta")?).map_err(|_| Malformed::Audio)?;
            Event::Audio { item_id: item_id()?, audio }
        }
        "response.output_audio_transcript.delta"
        | "response.audio_transcript.delta"
        | "response.output_text.delta"
        | "response.text.delta" => Event::Words { item_id: item_id()?, delta: words("delta")? },
        "response.output_audio_transcript.done" | "response.audio_transcript.done" => {
            Event::WordsDone { item_id: item_id()?, text: words("transcript")? }
        }
        "response.output_text.done" | "response.text.done" => {
            Event::WordsDone { item_id: item_id()?, text: words("text")? }
        }
        "response.function_call_arguments.done" => {
            Event::ToolCall { call_id: words("call_id")?, name: words("name")?, arguments: words("arguments")? }
        }
        "response.created" => Event::ResponseCreated { id: below(&event, "response", "id") },
        "response.done" => {
            let response = event.get("response").ok_or(Malformed::Field("response"))?;
            let usage = |name: &str| response.get("usage").and_then(|usage| usage.get(name)).and_then(whole);
            Event::ResponseDone {
                status: below(&event, "response", "status").unwrap_or_default(),
                tokens: usage("input_tokens").zip(usage("output_tokens")),
            }
        }
        "output_audio_buffer.started" => Event::Playing(true),
        "output_audio_buffer.stopped" | "output_audio_buffer.cleared" => Event::Playing(false),
        "error" => Event::Error {
            code: below(&event, "error", "code"),
            message: clip(&below(&event, "error", "message").unwrap_or_default(), MESSAGE_CHARS_MAX),
        },
        _ => Event::Other,
    })
}

fn string(event: &Map<String, Value>, name: &str) -> Option<String> {
    event.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn below(event: &Map<String, Value>, part: &str, name: &str) -> Option<String> {
    event.get(part).and_then(|part| part.get(name)).and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary::{bent, mutated};

    const EVENTS: [&str; 8] = [
        r#"{"type":"session.created","session":{"type":"realtime","id":"sess_1","audio":{"input":{"noise_reduction":{"type":"near_field"}}}}}"#,
        r#"{"type":"input_audio_buffer.speech_started","audio_start_ms":1200,"item_id":"item_1"}"#,
        r#"{"type":"conversation.item.input_audio_transcription.completed","item_id":"item_1","transcript":"I need a plumber"}"#,
        r#"{"type":"response.output_audio.delta","item_id":"item_2","delta":"//4="}"#,
        r#"{"type":"response.output_audio_transcript.delta","item_id":"item_2","delta":"Sure"}"#,
        r#"{"type":"response.function_call_arguments.done","item_id":"item_3","call_id":"c1","name":"book","arguments":"{}"}"#,
        r#"{"type":"response.done","response":{"id":"r1","status":"completed","usage":{"input_tokens":10,"output_tokens":5}}}"#,
        r#"{"type":"error","error":{"type":"invalid_request_error","code":"invalid_value","message":"Audio content is already shorter","param":null}}"#,
    ];

    #[test]
    fn documented_events_are_read_also_those_a_strict_reader_refuses() {
        let read = |text: &str| read(text).expect("documented");
        assert_eq!(read(EVENTS[0]), Event::Session { id: Some("sess_1".into()) }, "with noise reduction");
        assert_eq!(
            read(EVENTS[1]),
            Event::SpeechStarted { item_id: Some("item_1".into()), audio_start_ms: Some(1200) }
        );
        assert_eq!(read(EVENTS[2]), Event::CallerSaid { item_id: "item_1".into(), text: "I need a plumber".into() });
        assert_eq!(read(EVENTS[3]), Event::Audio { item_id: "item_2".into(), audio: vec![0xff, 0xfe] });
        assert_eq!(read(EVENTS[4]), Event::Words { item_id: "item_2".into(), delta: "Sure".into() });
        assert_eq!(
            read(EVENTS[5]),
            Event::ToolCall { call_id: "c1".into(), name: "book".into(), arguments: "{}".into() }
        );
        assert_eq!(read(EVENTS[6]), Event::ResponseDone { status: "completed".into(), tokens: Some((10, 5)) });
        assert!(matches!(read(EVENTS[7]), Event::Error { code: Some(code), .. } if code == "invalid_value"));
        assert_eq!(read(r#"{"type":"conversation.item.created","item":{}}"#), Event::Other, "an old name");
        assert_eq!(read(r#"{"type":"response.hummed"}"#), Event::Other, "a new one");
    }

    #[test]
    fn unusable_events_are_named() {
        for (text, expected) in [
            ("[]", Malformed::NotJson),
            ("{}", Malformed::Field("type")),
            (r#"{"type":"response.output_audio.delta","item_id":"i","delta":"%"}"#, Malformed::Audio),
            (r#"{"type":"response.output_audio.delta","delta":"//4="}"#, Malformed::Field("item_id")),
            (
                r#"{"type":"response.function_call_arguments.done","call_id":"c1","arguments":"{}"}"#,
                Malformed::Field("name"),
            ),
        ] {
            assert_eq!(read(text), Err(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in prop_oneof![mutated(&EVENTS), bent(&EVENTS), "\\PC{0,80}"]) {
            let _ = read(&text);
        }
    }
}
