//! Deepgram for recordings: a whole file in one request, its words in the answer.

use secrecy::SecretString;
use serde::Deserialize;

use super::authorization;
use crate::audio::wav;
use crate::error::Fault;
use crate::json::{list, or_default};
use crate::rest::{Answer, Method, Repeat, Request, encode_form};

/// Who listens to recordings where the chosen model only tells turns of a conversation.
pub const MODEL: &str = "nova-3";
/// The longest text that is taken, characters: a quarter of an hour of fast talk.
const TEXT_CHARS_MAX: usize = 16_000;

/// What somebody said.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// In words; empty where there were none.
    pub text: String,
    /// How sure it is, 0 to 1, where it says so.
    pub confidence: Option<f64>,
}

/// Asks for the words of a telephone's sound, 8,000 samples a second. It changes nothing there, so it may be asked again.
pub fn request(key: &SecretString, model: &str, language: &str, samples: &[i16]) -> Request {
    let query = encode_form(&[("model", model), ("language", language), ("smart_format", "true")]);
    Request::new(Method::Post, format!("/v1/listen?{query}"), authorization(key, false), Repeat::Safe)
        .wav(wav::write(samples))
}

#[derive(Deserialize)]
struct Whole {
    results: Results,
}

#[derive(Deserialize)]
struct Results {
    #[serde(default, deserialize_with = "list")]
    channels: Vec<Channel>,
}

#[derive(Deserialize)]
struct Channel {
    #[serde(default, deserialize_with = "list")]
    alternatives: Vec<Alternative>,
}

#[derive(Deserialize)]
struct Alternative {
    #[serde(default, deserialize_with = "or_default")]
    transcript: String,
    #[serde(default, deserialize_with = "or_default")]
    confidence: Option<f64>,
}

/// The words in an answer; what it lists first is what it thinks was said.
///
/// # Errors
/// See [`Fault`].
pub fn read(answer: &Answer<'_>) -> Result<Written, Fault> {
    let whole: Whole = answer.read(Repeat::Safe)?;
    let first = whole.results.channels.into_iter().next();
    let Some(best) = first.and_then(|channel| channel.alternatives.into_iter().next()) else {
        return Ok(Written { text: String::new(), confidence: None });
    };
    let text = crate::json::clip(best.transcript.trim(), TEXT_CHARS_MAX);
    // It says 0 of what it heard no words in.
    let confidence = best.confidence.filter(|sure| (0.0..=1.0).contains(sure) && !text.is_empty());
    Ok(Written { text, confidence })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(status: u16, body: &[u8]) -> Result<Written, Fault> {
        read(&Answer { status, retry_after: None, body, now_ms: 0 })
    }

    #[test]
    fn a_recording_is_one_request_with_its_sound_as_a_file() {
        let request = request(&"k".to_owned().into(), MODEL, "en-US", &[1, -2, 300]);
        assert_eq!(request.path, "/v1/listen?model=nova-3&language=en-US&smart_format=true");
        assert_eq!(request.repeat, Repeat::Safe);
        for header in [("authorization", "Token k"), ("content-type", "audio/wav")] {
            assert!(request.headers.iter().any(|(name, value)| (*name, value.as_str()) == header), "{header:?}");
        }
        assert_eq!(wav::read(request.body_bytes()), Ok(vec![1, -2, 300]));
    }

    #[test]
    fn the_first_alternative_of_the_first_channel_is_what_was_said() {
        let body = br#"{"metadata":{"request_id":"r"},"results":{"channels":[{"alternatives":[{"transcript":" The boiler leaks. ","confidence":0.98,"words":[]},{"transcript":"other"}]}]}}"#;
        assert_eq!(answer(200, body), Ok(Written { text: "The boiler leaks.".into(), confidence: Some(0.98) }));
        let silent = br#"{"results":{"channels":[{"alternatives":[{"transcript":"","confidence":0.0,"words":[]}]}]}}"#;
        assert_eq!(answer(200, silent), Ok(Written { text: String::new(), confidence: None }));
        assert_eq!(
            answer(200, br#"{"results":{"channels":[]}}"#),
            Ok(Written { text: String::new(), confidence: None })
        );
        assert_eq!(answer(200, b"{}"), Err(Fault::Unreadable));
        assert_eq!(answer(401, br#"{"err_code":"INVALID_AUTH"}"#), Err(Fault::Credentials));
        assert_eq!(answer(500, b""), Err(Fault::Unavailable { status: Some(500) }));
        assert!(matches!(answer(400, b"{}"), Err(Fault::Refused { status: 400, .. })));
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,40}", sure in any::<f64>()) {
            let _ = answer(200, &body);
            let said = serde_json::json!({ "results": { "channels": [{ "alternatives": [{ "transcript": text, "confidence": sure }] }] } });
            let read = answer(200, said.to_string().as_bytes());
            prop_assert!(read.is_ok_and(|written| written.confidence.is_none_or(|sure| (0.0..=1.0).contains(&sure))));
        }
    }
}
