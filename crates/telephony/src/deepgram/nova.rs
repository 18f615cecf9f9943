//! Deepgram Nova: pieces of words that become final one by one, and silence that ends a turn.

use serde::Deserialize;
use serde_json::Value;

use crate::error::Malformed;
use crate::json::{list, object, or_default, typed};
use crate::speech::Heard;

/// Where the socket is opened.
pub const URL: &str = "wss://api.deepgram.com/v1/listen";
/// Has Deepgram make final what it has heard so far.
pub const FINALIZE: &str = r#"{"type":"Finalize"}"#;
/// The longest turn, characters: ten minutes without a pause.
const TURN_CHARS_MAX: usize = 16_000;

/// How to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Such as `nova-3`.
    pub model: String,
    /// Such as `en-US`.
    pub language: String,
    /// `mulaw` or `linear16`.
    pub encoding: &'static str,
    /// Hz.
    pub sample_rate: u32,
    /// Silence that ends a piece, ms.
    pub endpointing_ms: u32,
    /// Silence that surely ends a turn, ms; at least 1000.
    pub utterance_end_ms: u32,
    /// Words to expect.
    pub keyterms: Vec<String>,
}

impl Options {
    /// The address to open.
    pub fn url(&self) -> String {
        let mut query = vec![
            ("model", self.model.clone()),
            ("language", self.language.clone()),
            ("encoding", self.encoding.to_owned()),
            ("sample_rate", self.sample_rate.to_string()),
            ("channels", "1".to_owned()),
            ("interim_results", "true".to_owned()),
            ("endpointing", self.endpointing_ms.to_string()),
            // Below a second interim results come too rarely for it.
            ("utterance_end_ms", self.utterance_end_ms.max(1000).to_string()),
            ("vad_events", "true".to_owned()),
            ("smart_format", "true".to_owned()),
        ];
        query.extend(self.keyterms.iter().map(|term| ("keyterm", term.clone())));
        format!("{URL}?{}", crate::rest::encode_form(&query))
    }
}

#[derive(Deserialize)]
struct Results {
    #[serde(default, deserialize_with = "or_default")]
    is_final: bool,
    #[serde(default, deserialize_with = "or_default")]
    speech_final: bool,
    channel: Channel,
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
}

/// Puts turns together.
#[derive(Clone, Debug, Default)]
pub struct Listener {
    finals: String,
    speaking: bool,
}

impl Listener {
    /// Nothing was heard yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a text frame and appends what was heard.
    ///
    /// # Errors
    /// When it is no object or has no type; the socket goes on.
    pub fn on_text(&mut self, text: &str, heard: &mut Vec<Heard>) -> Result<(), Malformed> {
        let object = object(text.as_bytes())?;
        match object.get("type").and_then(Value::as_str).ok_or(Malformed::Field("type"))? {
            "SpeechStarted" => self.start(heard),
            "Results" => {
                let results: Results = typed(object, "channel")?;
                let words =
                    results.channel.alternatives.into_iter().next().map(|best| best.transcript).unwrap_or_default();
                self.on_results(words.trim(), results.is_final, results.speech_final, heard);
            }
            // The backstop: noise can keep `speech_final` from ever coming.
            "UtteranceEnd" => self.end(heard),
            // `Metadata` and whatever is new.
            _ => {}
        }
        Ok(())
    }

    fn on_results(&mut self, words: &str, is_final: bool, speech_final: bool, heard: &mut Vec<Heard>) {
        if !words.is_empty() {
            self.start(heard);
            let mut so_far = self.finals.clone();
            append(&mut so_far, words);
            heard.push(Heard::Partial(so_far.clone()));
            if is_final {
                self.finals = so_far;
            }
        }
        if speech_final {
            self.end(heard);
        }
    }

    fn start(&mut self, heard: &mut Vec<Heard>) {
        if !std::mem::replace(&mut self.speaking, true) {
            heard.push(Heard::Started);
        }
    }

    fn end(&mut self, heard: &mut Vec<Heard>) {
        let words = std::mem::take(&mut self.finals);
        self.speaking = false;
        // Silence after noise is not a turn.
        if !words.is_empty() {
            heard.push(Heard::Ended(words));
        }
    }
}

fn append(text: &mut String, words: &str) {
    if text.len() + words.len() < TURN_CHARS_MAX {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(words);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary::{bent, mutated};

    const RESULTS: &str = r#"{"type":"Results","channel_index":[0,1],"start":0.0,"duration":1.5,"is_final":true,"speech_final":true,"from_finalize":false,
        "channel":{"alternatives":[{"transcript":"I need","confidence":0.98,"words":[{"word":"i","start":0.1,"end":0.2,"confidence":0.9,"punctuated_word":"I"}]}]},"metadata":{}}"#;

    fn results(words: &str, is_final: bool, speech_final: bool) -> String {
        RESULTS
            .replace("I need", words)
            .replace("\"is_final\":true", &format!("\"is_final\":{is_final}"))
            .replace("\"speech_final\":true", &format!("\"speech_final\":{speech_final}"))
    }

    fn feed(frames: &[String]) -> Vec<Heard> {
        let (mut listener, mut heard) = (Listener::new(), Vec::new());
        for frame in frames {
            listener.on_text(frame, &mut heard).expect("readable");
        }
        heard
    }

    #[test]
    fn final_pieces_are_joined_until_the_speech_is_final() {
        let heard = feed(&[
            r#"{"type":"SpeechStarted","channel":[0],"timestamp":0.1}"#.into(),
            results("I", false, false),
            results("I need", true, false),
            results("a plumber", true, true),
            r#"{"type":"UtteranceEnd","channel":[0,1],"last_word_end":1.4}"#.into(),
        ]);
        let partial = |text: &str| Heard::Partial(text.into());
        assert_eq!(
            heard,
            [
                Heard::Started,
                partial("I"),
                partial("I need"),
                partial("I need a plumber"),
                Heard::Ended("I need a plumber".into())
            ]
        );
    }

    #[test]
    fn the_backstop_ends_a_turn_that_noise_kept_open_and_silence_is_no_turn() {
        let heard = feed(&[
            results("Hello", true, false),
            r#"{"type":"UtteranceEnd","channel":[0,1],"last_word_end":1.4}"#.into(),
            results("", true, true),
        ]);
        assert_eq!(heard.last(), Some(&Heard::Ended("Hello".into())));
        assert_eq!(heard.len(), 3);
    }

    #[test]
    fn the_address_says_how_to_listen() {
        let options = Options {
            model: "nova-3".into(),
            language: "en-US".into(),
            encoding: "mulaw",
            sample_rate: 8000,
            endpointing_ms: 300,
            utterance_end_ms: 500,
            keyterms: vec!["Ace & Co".into()],
        };
        assert_eq!(
            options.url(),
            "wss://api.deepgram.com/v1/listen?model=nova-3&language=en-US&encoding=mulaw&sample_rate=8000&channels=1&interim_results=true&endpointing=300&utterance_end_ms=1000&vad_events=true&smart_format=true&keyterm=Ace+%26+Co"
        );
    }

    proptest! {
        #[test]
        fn any_frames_are_answered_and_stay_bounded(frames in proptest::collection::vec(prop_oneof![mutated(&[RESULTS]), bent(&[RESULTS])], 0..20)) {
            let (mut listener, mut heard) = (Listener::new(), Vec::new());
            for frame in frames {
                let _ = listener.on_text(&frame, &mut heard);
            }
            prop_assert!(listener.finals.len() <= TURN_CHARS_MAX);
        }
    }
}
