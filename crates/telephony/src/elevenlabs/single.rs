//! The socket for one speech after the other: words in, audio with times out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Voice;
use super::alignment::Alignment;
use crate::error::{Malformed, Unfit};
use crate::json::object;
use crate::rest::{encode_form, segment};

/// How often a space is sent while there are no words, ms. After twenty seconds of silence ElevenLabs closes.
pub const KEEP_ALIVE_EVERY_MS: i64 = 10_000;
/// Keeps the socket open without making a sound.
pub const KEEP_ALIVE: &str = r#"{"text":" "}"#;
/// No more words: the rest is spoken, then `isFinal` comes.
pub const END: &str = r#"{"text":""}"#;

/// The address to open, with the key in a header.
///
/// # Errors
/// When ElevenLabs would refuse the voice's settings.
pub fn url(voice: &Voice) -> Result<String, Unfit> {
    voice.check()?;
    let query = encode_form(&[
        ("model_id", voice.model_id.as_str()),
        ("output_format", &voice.output_format),
        ("auto_mode", "true"),
    ]);
    Ok(format!("wss://api.elevenlabs.io/v1/text-to-speech/{}/stream-input?{query}", segment(&voice.voice_id)))
}

/// The first frame. The space is required.
pub fn open(voice: &Voice) -> String {
    json!({ "text": " ", "voice_settings": voice.settings }).to_string()
}

/// Words. A space is put behind them, without which the last word waits for its end. `flush` has everything spoken at once.
pub fn words(text: &str, flush: bool) -> String {
    let text = spaced(text);
    if flush { json!({ "text": text, "flush": true }) } else { json!({ "text": text }) }.to_string()
}

pub(super) fn spaced(text: &str) -> String {
    if text.ends_with(char::is_whitespace) { text.to_owned() } else { format!("{text} ") }
}

/// A piece of speech.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// The speech it belongs to; only on sockets for several.
    pub context_id: Option<String>,
    /// In the format asked for; may be empty.
    pub audio: Vec<u8>,
    /// When which character is spoken, from the beginning of this piece.
    pub alignment: Option<Alignment>,
    /// Whether nothing follows in this speech.
    pub last: bool,
}

/// Reads a frame of either socket.
///
/// # Errors
/// When it is no object or its audio cannot be decoded; an error that ElevenLabs reports is [`Malformed::Field`] `error`.
pub fn read(text: &str) -> Result<Piece, Malformed> {
    let frame = object(text.as_bytes())?;
    if frame.get("error").is_some_and(|error| !error.is_null()) {
        return Err(Malformed::Field("error"));
    }
    let audio = match frame.get("audio") {
        Some(Value::String(audio)) => STANDARD.decode(audio).map_err(|_| Malformed::Audio)?,
        // Null with the last piece, and absent.
        Some(_) | None => Vec::new(),
    };
    let id = frame.get("contextId").or_else(|| frame.get("context_id"));
    Ok(Piece {
        context_id: id.and_then(Value::as_str).map(str::to_owned),
        audio,
        alignment: frame.get("alignment").and_then(Alignment::read),
        last: frame.get("isFinal").or_else(|| frame.get("is_final")).and_then(Value::as_bool).unwrap_or(false),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary::{bent, mutated};
    use crate::elevenlabs::VoiceSettings;

    const PIECE: &str = r#"{"audio":"//4=","isFinal":null,"normalizedAlignment":null,"contextId":"turn-7",
        "alignment":{"chars":["H","i"],"charStartTimesMs":[0,100],"charDurationsMs":[100,80]}}"#;

    fn voice() -> Voice {
        Voice {
            voice_id: "v/1".into(),
            model_id: "eleven_flash_v2_5".into(),
            output_format: "ulaw_8000".into(),
            settings: VoiceSettings { stability: Some(0.5), ..VoiceSettings::default() },
        }
    }

    #[test]
    fn our_frames_are_written_as_documented() {
        assert_eq!(
            url(&voice()).as_deref(),
            Ok(
                "wss://api.elevenlabs.io/v1/text-to-speech/v%2F1/stream-input?model_id=eleven_flash_v2_5&output_format=ulaw_8000&auto_mode=true"
            )
        );
        assert_eq!(open(&voice()), r#"{"text":" ","voice_settings":{"stability":0.5}}"#);
        assert_eq!(
            (words("Hello", false), words("Hi ", true)),
            (r#"{"text":"Hello "}"#.into(), r#"{"flush":true,"text":"Hi "}"#.into())
        );
        assert!(url(&Voice { output_format: "mp3_44100".into(), ..voice() }).is_err());
        let loud = VoiceSettings { speed: Some(2.0), ..VoiceSettings::default() };
        assert!(url(&Voice { settings: loud, ..voice() }).is_err());
    }

    #[test]
    fn pieces_are_read_with_times_and_the_end_has_no_audio() {
        let piece = read(PIECE).expect("a piece");
        assert_eq!((piece.audio, piece.last, piece.context_id.as_deref()), (vec![0xff, 0xfe], false, Some("turn-7")));
        assert_eq!(piece.alignment.map(|alignment| (alignment.text(), alignment.end_ms())), Some(("Hi".into(), 180)));
        let end = read(r#"{"audio":null,"isFinal":true}"#).expect("a piece");
        assert!(end.last && end.audio.is_empty());
        assert_eq!(read(r#"{"audio":"%"}"#), Err(Malformed::Audio));
        assert_eq!(read(r#"{"error":"quota_exceeded","message":"x","code":1008}"#), Err(Malformed::Field("error")));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in prop_oneof![mutated(&[PIECE]), bent(&[PIECE]), "\\PC{0,80}"]) {
            let _ = read(&text);
        }
    }
}
