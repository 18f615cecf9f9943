//! Deepgram Flux: a model that tells turns, also early.

use serde_json::{Value, json};

use crate::error::{Malformed, Unfit};
use crate::json::{clip, object};
use crate::speech::Heard;

/// Where the socket is opened.
pub const URL: &str = "wss://api.deepgram.com/v2/listen";
/// Ends the turn that is under way.
pub const FORCE_END: &str = r#"{"type":"ForceEndTurn"}"#;
/// The longest turn, characters.
const TURN_CHARS_MAX: usize = 16_000;

/// How to listen.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// `flux-general-en` or `flux-general-multi`.
    pub model: String,
    /// `mulaw` or `linear16`.
    pub encoding: &'static str,
    /// Hz.
    pub sample_rate: u32,
    /// How sure a turn must be over, 0.5 to 1.
    pub eot_threshold: Option<f64>,
    /// How sure for an early answer, 0.3 to 0.9; without it there are none.
    pub eager_eot_threshold: Option<f64>,
    /// Silence that ends a turn whatever the model thinks, 500 to 60000 ms.
    pub eot_timeout_ms: Option<u32>,
    /// Words to expect.
    pub keyterms: Vec<String>,
}

impl Options {
    /// The address to open.
    ///
    /// # Errors
    /// When a value is outside of what Deepgram takes.
    pub fn url(&self) -> Result<String, Unfit> {
        check_thresholds(self.eot_threshold, self.eager_eot_threshold, self.eot_timeout_ms)?;
        let mut query = vec![
            ("model", self.model.clone()),
            ("encoding", self.encoding.to_owned()),
            ("sample_rate", self.sample_rate.to_string()),
        ];
        query.extend(self.eot_threshold.map(|value| ("eot_threshold", value.to_string())));
        query.extend(self.eager_eot_threshold.map(|value| ("eager_eot_threshold", value.to_string())));
        query.extend(self.eot_timeout_ms.map(|value| ("eot_timeout_ms", value.to_string())));
        query.extend(self.keyterms.iter().map(|term| ("keyterm", term.clone())));
        Ok(format!("{URL}?{}", crate::rest::encode_form(&query)))
    }
}

fn check_thresholds(eot: Option<f64>, eager: Option<f64>, timeout_ms: Option<u32>) -> Result<(), Unfit> {
    if eot.is_some_and(|value| !(0.5..=1.0).contains(&value)) {
        return Err(Unfit::new("eot_threshold", "must be between 0.5 and 1"));
    }
    if eager.is_some_and(|value| !(0.3..=0.9).contains(&value)) {
        return Err(Unfit::new("eager_eot_threshold", "must be between 0.3 and 0.9"));
    }
    if timeout_ms.is_some_and(|value| !(500..=60_000).contains(&value)) {
        return Err(Unfit::new("eot_timeout_ms", "must be 500 to 60000"));
    }
    Ok(())
}

/// Changes thresholds while listening.
///
/// # Errors
/// When a value is outside of what Deepgram takes.
pub fn configure(eot: Option<f64>, eager: Option<f64>, timeout_ms: Option<u32>) -> Result<String, Unfit> {
    check_thresholds(eot, eager, timeout_ms)?;
    let mut thresholds = serde_json::Map::new();
    let values = [
        ("eot_threshold", eot.map(Value::from)),
        ("eager_eot_threshold", eager.map(Value::from)),
        ("eot_timeout_ms", timeout_ms.map(Value::from)),
    ];
    thresholds.extend(values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Ok(json!({ "type": "Configure", "thresholds": thresholds }).to_string())
}

/// What a frame said.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// About the caller's turn.
    Heard(Heard),
    /// The socket stands, a change was made, or something new.
    Other,
    /// A change was refused.
    ConfigureFailed,
    /// Deepgram gives up; the socket ends.
    Fatal {
        /// Its name for it.
        code: String,
    },
}

/// Reads frames; it remembers which turn is under way, because a late word about an older one is void.
#[derive(Clone, Debug, Default)]
pub struct Listener {
    turn: Option<u64>,
    ended: Option<u64>,
    eager: bool,
}

impl Listener {
    /// Nothing was heard yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a text frame and appends what it said.
    ///
    /// # Errors
    /// When it is no object or has no type; the socket goes on.
    pub fn on_text(&mut self, text: &str, events: &mut Vec<Event>) -> Result<(), Malformed> {
        let object = object(text.as_bytes())?;
        let string = |name: &str| object.get(name).and_then(Value::as_str);
        match string("type").ok_or(Malformed::Field("type"))? {
            "TurnInfo" => {
                let event = string("event").ok_or(Malformed::Field("event"))?;
                let index =
                    object.get("turn_index").and_then(crate::json::whole).and_then(|index| u64::try_from(index).ok());
                let words = clip(string("transcript").unwrap_or_default().trim(), TURN_CHARS_MAX);
                self.on_turn(event, index.unwrap_or(self.turn.unwrap_or(0)), words, events);
            }
            "ConfigureFailure" => events.push(Event::ConfigureFailed),
            "Error" => events.push(Event::Fatal { code: clip(string("code").unwrap_or_default(), 64) }),
            _ => events.push(Event::Other),
        }
        Ok(())
    }

    fn on_turn(&mut self, event: &str, index: u64, words: String, events: &mut Vec<Event>) {
        let mut tell = |heard| events.push(Event::Heard(heard));
        if self.ended.is_some_and(|ended| index <= ended) {
            return;
        }
        match event {
            "StartOfTurn" | "Update" | "EagerEndOfTurn" | "EndOfTurn"
                if self.turn != Some(index) && !words.is_empty() =>
            {
                self.turn = Some(index);
                self.eager = false;
                tell(Heard::Started);
            }
            _ => {}
        }
        match event {
            "StartOfTurn" | "Update" if !words.is_empty() => tell(Heard::Partial(words)),
            "EagerEndOfTurn" if !words.is_empty() => {
                self.eager = true;
                tell(Heard::Eager(words));
            }
            "TurnResumed" => {
                // Only what was begun early can be taken back.
                let was_eager = std::mem::take(&mut self.eager);
                if was_eager {
                    tell(Heard::Resumed);
                }
            }
            "EndOfTurn" => {
                self.ended = Some(index);
                self.eager = false;
                if !words.is_empty() {
                    tell(Heard::Ended(words));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary::{bent, mutated};

    const TURN: &str = r#"{"type":"TurnInfo","event":"EndOfTurn","turn_index":0,"transcript":"I need a plumber","words":[{"word":"I","confidence":0.9}],
        "end_of_turn_confidence":0.9,"audio_window_start":0.0,"audio_window_end":1.5,"sequence_id":3}"#;

    fn turn(event: &str, index: u64, words: &str) -> String {
        TURN.replace("EndOfTurn", event)
            .replace("\"turn_index\":0", &format!("\"turn_index\":{index}"))
            .replace("I need a plumber", words)
    }

    fn feed(frames: &[String]) -> Vec<Heard> {
        let (mut listener, mut events) = (Listener::new(), Vec::new());
        for frame in frames {
            listener.on_text(frame, &mut events).expect("readable");
        }
        events
            .into_iter()
            .filter_map(|event| match event {
                Event::Heard(heard) => Some(heard),
                Event::Other | Event::ConfigureFailed | Event::Fatal { .. } => None,
            })
            .collect()
    }

    #[test]
    fn an_early_end_may_be_taken_back_and_the_end_stands() {
        let heard = feed(&[
            r#"{"type":"Connected","request_id":"r"}"#.into(),
            turn("StartOfTurn", 0, "I"),
            turn("Update", 0, "I need"),
            turn("EagerEndOfTurn", 0, "I need"),
            turn("TurnResumed", 0, "I need a"),
            turn("EagerEndOfTurn", 0, "I need a plumber"),
            turn("EndOfTurn", 0, "I need a plumber"),
            turn("Update", 0, "late"),
            turn("TurnResumed", 0, "late"),
        ]);
        let partial = |text: &str| Heard::Partial(text.into());
        assert_eq!(
            heard,
            [
                Heard::Started,
                partial("I"),
                partial("I need"),
                Heard::Eager("I need".into()),
                Heard::Resumed,
                Heard::Eager("I need a plumber".into()),
                Heard::Ended("I need a plumber".into()),
            ]
        );
    }

    #[test]
    fn noise_without_words_is_no_turn_and_errors_are_fatal() {
        assert!(feed(&[turn("StartOfTurn", 0, ""), turn("TurnResumed", 0, ""), turn("EndOfTurn", 0, "")]).is_empty());
        let (mut listener, mut events) = (Listener::new(), Vec::new());
        listener.on_text(r#"{"type":"Error","code":"UNPARSABLE","description":"x"}"#, &mut events).expect("readable");
        listener.on_text(r#"{"type":"ConfigureFailure"}"#, &mut events).expect("readable");
        assert_eq!(events, [Event::Fatal { code: "UNPARSABLE".into() }, Event::ConfigureFailed]);
        assert_eq!(listener.on_text("{}", &mut events), Err(Malformed::Field("type")));
    }

    #[test]
    fn thresholds_are_checked_before_they_are_sent() {
        let options = Options {
            model: "flux-general-en".into(),
            encoding: "mulaw",
            sample_rate: 8000,
            eot_threshold: Some(0.7),
            eager_eot_threshold: Some(0.4),
            eot_timeout_ms: None,
            keyterms: vec![],
        };
        assert_eq!(
            options.url().as_deref(),
            Ok(
                "wss://api.deepgram.com/v2/listen?model=flux-general-en&encoding=mulaw&sample_rate=8000&eot_threshold=0.7&eager_eot_threshold=0.4"
            )
        );
        assert!(Options { eager_eot_threshold: Some(0.95), ..options.clone() }.url().is_err());
        assert!(configure(Some(0.4), None, None).is_err() && configure(None, None, Some(100)).is_err());
        assert_eq!(
            configure(Some(0.8), None, None).as_deref(),
            Ok(r#"{"thresholds":{"eot_threshold":0.8},"type":"Configure"}"#)
        );
    }

    proptest! {
        #[test]
        fn any_frames_are_answered(frames in proptest::collection::vec(prop_oneof![mutated(&[TURN]), bent(&[TURN])], 0..20)) {
            let (mut listener, mut events) = (Listener::new(), Vec::new());
            for frame in frames {
                let _ = listener.on_text(&frame, &mut events);
            }
            prop_assert!(events.len() <= 60);
        }
    }
}
