//! Speech over plain HTTP: for recordings, previews and greetings that are made once.

use secrecy::SecretString;
use serde_json::json;

use super::{Voice, key_header};
use crate::error::Unfit;
use crate::rest::{Method, Repeat, Request, encode_form, segment};

/// Where it is.
pub const BASE_URL: &str = "https://api.elevenlabs.io";
/// The longest text of one request, characters; the fast models take 40,000, and a greeting is below 1,000.
pub const TEXT_CHARS_MAX: usize = 5_000;

/// Asks for speech; the answer's body is audio in the voice's format, and arrives as it is made.
///
/// # Errors
/// When ElevenLabs would refuse it.
pub fn speak(key: &SecretString, voice: &Voice, text: &str) -> Result<Request, Unfit> {
    voice.check()?;
    if text.trim().is_empty() || text.chars().count() > TEXT_CHARS_MAX {
        return Err(Unfit::new("text", "must be 1 to 5000 characters"));
    }
    let query = encode_form(&[("output_format", voice.output_format.as_str())]);
    let path = format!("/v1/text-to-speech/{}/stream?{query}", segment(&voice.voice_id));
    let body = json!({ "text": text, "model_id": voice.model_id, "voice_settings": voice.settings });
    Ok(Request::new(Method::Post, path, key_header(key), Repeat::Safe).json(&body))
}

/// Lists the account's voices: tells whether the key is good.
pub fn voices(key: &SecretString) -> Request {
    Request::new(Method::Get, "/v1/voices".into(), key_header(key), Repeat::Safe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elevenlabs::VoiceSettings;
    use crate::rest::Body;

    #[test]
    fn speech_is_asked_for_in_the_lines_own_format() {
        let voice = Voice {
            voice_id: "v1".into(),
            model_id: "eleven_flash_v2_5".into(),
            output_format: "ulaw_8000".into(),
            settings: VoiceSettings::default(),
        };
        let request = speak(&"k".into(), &voice, "Hello").expect("fits");
        assert_eq!(request.path, "/v1/text-to-speech/v1/stream?output_format=ulaw_8000");
        assert_eq!(request.headers[0], ("xi-api-key", "k".to_owned()));
        assert!(
            request.body == Body::Json(r#"{"model_id":"eleven_flash_v2_5","text":"Hello","voice_settings":{}}"#.into())
        );
        assert!(speak(&"k".into(), &voice, " ").is_err() && speak(&"k".into(), &voice, &"x".repeat(5001)).is_err());
    }
}
