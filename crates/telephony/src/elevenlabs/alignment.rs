//! When which character is spoken, and so which words were heard until an interruption.

use serde_json::{Map, Value};

use crate::json::whole;

/// The most characters of one piece.
const CHARS_MAX: usize = 20_000;

/// Characters with the time at which each begins, ms from the beginning of the speech.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alignment {
    chars: Vec<(String, u64)>,
    end_ms: u64,
}

impl Alignment {
    /// Reads one out of a frame; `None` when there is none or its lists do not fit. Durations are spelled in two ways.
    pub fn read(value: &Value) -> Option<Self> {
        let object = value.as_object()?;
        let list = |object: &Map<String, Value>, names: &[&str]| {
            names.iter().find_map(|name| object.get(*name).and_then(Value::as_array).cloned())
        };
        let chars = list(object, &["chars", "characters"])?;
        let starts = list(object, &["charStartTimesMs", "charsStartTimesMs"])?;
        let durations = list(object, &["charDurationsMs", "charsDurationsMs"]).unwrap_or_default();
        if chars.len() != starts.len() || chars.len() > CHARS_MAX {
            return None;
        }
        let ms = |value: &Value| whole(value).and_then(|ms| u64::try_from(ms).ok());
        let mut read = Self::default();
        for (index, (c, start)) in chars.iter().zip(&starts).enumerate() {
            let (c, start) = (c.as_str()?, ms(start)?);
            let duration = durations.get(index).and_then(ms).unwrap_or(0);
            read.end_ms = read.end_ms.max(start.saturating_add(duration));
            read.chars.push((c.to_owned(), start));
        }
        Some(read)
    }

    /// Adds the alignment of the next piece of audio, whose times begin anew at `offset_ms`: where the audio before it ended.
    pub fn extend(&mut self, piece: &Self, offset_ms: u64) {
        let room = CHARS_MAX.saturating_sub(self.chars.len());
        self.chars.extend(piece.chars.iter().take(room).map(|(c, start)| (c.clone(), start.saturating_add(offset_ms))));
        self.end_ms = self.end_ms.max(piece.end_ms.saturating_add(offset_ms));
    }

    /// The text that had begun to be spoken after `played_ms`. A word that was begun is left out, unless all was spoken.
    pub fn heard(&self, played_ms: u64) -> String {
        let begun: Vec<&str> =
            self.chars.iter().take_while(|(_, start)| *start <= played_ms).map(|(c, _)| c.as_str()).collect();
        let text = begun.concat();
        if begun.len() == self.chars.len() && played_ms >= self.end_ms {
            return text;
        }
        let next_is_space = self.chars.get(begun.len()).is_none_or(|(c, _)| c.trim().is_empty());
        if next_is_space {
            return text.trim_end().to_owned();
        }
        let cut = text.rfind(char::is_whitespace).unwrap_or(0);
        text[..cut].trim_end().to_owned()
    }

    /// When the last character ends.
    pub fn end_ms(&self) -> u64 {
        self.end_ms
    }

    /// All characters.
    pub fn text(&self) -> String {
        self.chars.iter().map(|(c, _)| c.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn hello() -> Alignment {
        let chars: Vec<String> = "Hi there you".chars().map(String::from).collect();
        let starts: Vec<u64> = (0..12).map(|n| n * 100).collect();
        Alignment::read(&json!({"chars": chars, "charStartTimesMs": starts, "charsDurationsMs": vec![100; 12]}))
            .expect("an alignment")
    }

    #[test]
    fn heard_is_what_had_been_spoken_in_whole_words() {
        let alignment = hello();
        for (played_ms, expected) in [
            (0, ""),
            (100, "Hi"),
            (150, "Hi"),
            (350, "Hi"),
            (700, "Hi there"),
            (850, "Hi there"),
            (1100, "Hi there you"),
            (5000, "Hi there you"),
        ] {
            assert_eq!(alignment.heard(played_ms), expected, "{played_ms}");
        }
        assert_eq!((alignment.end_ms(), alignment.text().as_str()), (1200, "Hi there you"));
    }

    #[test]
    fn pieces_follow_each_other_and_both_spellings_are_read() {
        let mut all = hello();
        let piece = Alignment::read(
            &json!({"chars": [" ", "O", "K"], "charStartTimesMs": [0, 50, 100], "charDurationsMs": [50, 50, 50]}),
        )
        .expect("an alignment");
        all.extend(&piece, 1200);
        assert_eq!((all.heard(1310), all.end_ms()), ("Hi there you OK".into(), 1350));
        for wrong in [
            json!(null),
            json!({"chars": ["a"]}),
            json!({"chars": ["a"], "charStartTimesMs": []}),
            json!({"chars": [1], "charStartTimesMs": [0]}),
            json!({"chars": ["a"], "charStartTimesMs": [-5]}),
        ] {
            assert_eq!(Alignment::read(&wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn heard_only_grows_and_is_a_beginning(text in "[a-z ]{0,40}", step in 1_u64..200) {
            let chars: Vec<String> = text.chars().map(String::from).collect();
            let starts: Vec<u64> = (0..chars.len() as u64).map(|n| n * 100).collect();
            let alignment = Alignment::read(&json!({"chars": chars, "charStartTimesMs": starts})).expect("an alignment");
            let mut last = 0;
            for played_ms in (0..4500).step_by(usize::try_from(step).expect("small")) {
                let heard = alignment.heard(played_ms);
                prop_assert!(text.starts_with(&heard) && heard.len() >= last, "{heard:?}");
                last = heard.len();
            }
        }

        #[test]
        fn any_json_is_answered(value in crate::arbitrary::json()) {
            let _ = Alignment::read(&value).map(|alignment| alignment.heard(100));
        }
    }
}
