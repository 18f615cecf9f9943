//! The socket for several speeches at once, best where callers interrupt: each turn is a context, an interruption closes it, and audio that
//! still comes of it is thrown away.

use serde_json::json;

use super::single::{Piece, spaced};
use super::{Voice, VoiceSettings};
use crate::error::Unfit;
use crate::rest::{encode_form, segment};

/// How many contexts may be open at once: ElevenLabs allows five.
pub const CONTEXTS_MAX: usize = 5;
/// Ends the socket.
pub const CLOSE_SOCKET: &str = r#"{"close_socket":true}"#;

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
    Ok(format!("wss://api.elevenlabs.io/v1/text-to-speech/{}/multi-stream-input?{query}", segment(&voice.voice_id)))
}

/// Which speeches are open; drops the late audio of those that are not.
#[derive(Clone, Debug, Default)]
pub struct Contexts {
    open: Vec<String>,
}

impl Contexts {
    /// None is open.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens one; the frame to send.
    ///
    /// # Errors
    /// When too many are open or it is open already.
    pub fn open(&mut self, id: &str, settings: VoiceSettings) -> Result<String, Unfit> {
        if self.open.len() >= CONTEXTS_MAX {
            return Err(Unfit::new("context_id", "is one more than five at once"));
        }
        if self.is_open(id) {
            return Err(Unfit::new("context_id", "is open already"));
        }
        self.open.push(id.to_owned());
        Ok(json!({ "text": " ", "context_id": id, "voice_settings": settings }).to_string())
    }

    /// Words for one; `None` when it is not open any more.
    pub fn words(&self, id: &str, text: &str, flush: bool) -> Option<String> {
        let text = spaced(text);
        self.is_open(id).then(|| {
            if flush {
                json!({ "text": text, "context_id": id, "flush": true })
            } else {
                json!({ "text": text, "context_id": id })
            }
            .to_string()
        })
    }

    /// Keeps one open without making a sound.
    pub fn keep_alive(&self, id: &str) -> Option<String> {
        self.is_open(id).then(|| json!({ "text": "", "context_id": id }).to_string())
    }

    /// Closes one, because it was spoken or because the caller interrupts.
    pub fn close(&mut self, id: &str) -> Option<String> {
        let at = self.open.iter().position(|open| open == id)?;
        self.open.remove(at);
        Some(json!({ "context_id": id, "close_context": true }).to_string())
    }

    /// A piece that came, if it still belongs to anything. The last piece of a context ends it.
    pub fn take(&mut self, piece: Piece) -> Option<Piece> {
        let id = piece.context_id.as_deref()?;
        if !self.is_open(id) {
            return None;
        }
        if piece.last {
            let id = id.to_owned();
            self.open.retain(|open| *open != id);
        }
        Some(piece)
    }

    fn is_open(&self, id: &str) -> bool {
        self.open.iter().any(|open| open == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elevenlabs::single::read;

    fn piece(id: &str, last: bool) -> Piece {
        read(&format!(r#"{{"audio":"//4=","contextId":"{id}","isFinal":{last}}}"#)).expect("a piece")
    }

    #[test]
    fn an_interrupted_speech_falls_silent_and_the_next_one_is_heard() {
        let mut contexts = Contexts::new();
        assert_eq!(
            contexts.open("t1", VoiceSettings::default()).as_deref(),
            Ok(r#"{"context_id":"t1","text":" ","voice_settings":{}}"#)
        );
        assert_eq!(
            contexts.words("t1", "Hello", true).as_deref(),
            Some(r#"{"context_id":"t1","flush":true,"text":"Hello "}"#)
        );
        assert!(contexts.take(piece("t1", false)).is_some());
        assert_eq!(contexts.close("t1").as_deref(), Some(r#"{"close_context":true,"context_id":"t1"}"#));
        contexts.open("t2", VoiceSettings::default()).expect("room");
        assert!(contexts.take(piece("t1", false)).is_none(), "late audio");
        assert!(
            contexts.words("t1", "more", false).is_none()
                && contexts.close("t1").is_none()
                && contexts.keep_alive("t1").is_none()
        );
        assert!(
            contexts.take(piece("t2", true)).is_some() && contexts.take(piece("t2", false)).is_none(),
            "nothing follows the last"
        );
    }

    #[test]
    fn no_more_than_five_are_open_at_once() {
        let mut contexts = Contexts::new();
        let opened = (0..10).filter(|n| contexts.open(&n.to_string(), VoiceSettings::default()).is_ok()).count();
        assert_eq!(opened, CONTEXTS_MAX);
        contexts.close("0");
        assert!(
            contexts.open("1", VoiceSettings::default()).is_err()
                && contexts.open("0", VoiceSettings::default()).is_ok()
        );
    }
}
