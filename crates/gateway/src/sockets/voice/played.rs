//! What a page got to hear of what it was given to play: utterances of sentences with their lengths, and how much of each was played.

use colloquy_actors::telephony::elevenlabs::alignment::Alignment;
use colloquy_actors::telephony::twilio::playback::{Heard, Segment};

/// Utterances that are kept between two turns of the caller: more than anybody listens to without a word.
const UTTERANCES_MAX: usize = 32;
/// What may be missing of an utterance that was played, ms: pages round.
const NEARLY_MS: u64 = 50;

/// A sentence that was sent.
#[derive(Debug)]
struct Sentence {
    text: String,
    duration_ms: u64,
    alignment: Option<Alignment>,
}

/// One after the other.
#[derive(Debug)]
struct Utterance {
    id: u64,
    sentences: Vec<Sentence>,
    /// As far as the page says.
    played_ms: Option<u64>,
}

/// What was sent since the caller last had the floor.
#[derive(Debug, Default)]
pub(super) struct Played {
    /// What was said before this connection, and counts as heard.
    before: Vec<String>,
    utterances: Vec<Utterance>,
}

impl Utterance {
    fn whole_ms(&self) -> u64 {
        self.sentences.iter().map(|sentence| sentence.duration_ms).sum()
    }
}

impl Played {
    /// After what was said before.
    pub(super) fn after(before: Vec<String>) -> Self {
        Self { before, utterances: Vec::new() }
    }

    /// A sentence was sent.
    pub(super) fn sent(&mut self, id: u64, text: &str, duration_ms: u64, alignment: Option<Alignment>) {
        let sentence = Sentence { text: text.to_owned(), duration_ms, alignment };
        let room = self.utterances.len() < UTTERANCES_MAX;
        match self.utterances.iter_mut().find(|utterance| utterance.id == id) {
            Some(utterance) => utterance.sentences.push(sentence),
            None if room => self.utterances.push(Utterance { id, sentences: vec![sentence], played_ms: None }),
            None => {}
        }
    }

    /// The page played so much of an utterance. One that is not known changes nothing.
    pub(super) fn played(&mut self, id: u64, ms: u64) {
        if let Some(utterance) = self.utterances.iter_mut().find(|utterance| utterance.id == id) {
            utterance.played_ms = Some(ms);
        }
    }

    /// Whether some of an utterance is still to be played, as far as the page says. One that is not known is not.
    pub(super) fn is_playing(&self, id: u64) -> bool {
        let utterance = self.utterances.iter().find(|utterance| utterance.id == id);
        utterance
            .is_some_and(|utterance| utterance.played_ms.unwrap_or(0).saturating_add(NEARLY_MS) < utterance.whole_ms())
    }

    /// The words that were heard, in order; then the caller has the floor, and all begins anew.
    pub(super) fn take(&mut self) -> String {
        let mut heard = std::mem::take(&mut self.before);
        for utterance in std::mem::take(&mut self.utterances) {
            let whole_ms = utterance.whole_ms();
            let told_ms = utterance.played_ms.filter(|played| played.saturating_add(NEARLY_MS) < whole_ms);
            let mut left_ms = told_ms.unwrap_or(u64::MAX);
            for sentence in utterance.sentences {
                let played_ms = left_ms.min(sentence.duration_ms);
                left_ms -= played_ms;
                heard.push(words(sentence, played_ms));
            }
        }
        heard.retain(|words| !words.is_empty());
        heard.join(" ")
    }
}

fn words(sentence: Sentence, played_ms: u64) -> String {
    let whole = played_ms >= sentence.duration_ms;
    match sentence.alignment {
        // Only when it is about these very words: a voice may normalise what it was given.
        Some(alignment) if !whole && sentence.text.starts_with(alignment.text().trim_end()) => {
            alignment.heard(played_ms)
        }
        Some(_) | None => {
            let segment = Segment { mark: String::new(), text: sentence.text, duration_ms: sentence.duration_ms };
            Heard { segment, played_ms }.words().to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Played {
        let mut played = Played::after(vec!["Hello.".into()]);
        played.sent(1, "We are open from nine.", 1_000, None);
        played.sent(1, "On Sundays we are closed.", 1_000, None);
        played
    }

    #[test]
    fn what_was_played_was_heard_in_whole_words() {
        for (ms, expected) in [
            (0, "Hello."),
            (560, "Hello. We are open"),
            (1_000, "Hello. We are open from nine."),
            (1_600, "Hello. We are open from nine. On Sundays we"),
            // Pages round.
            (1_960, "Hello. We are open from nine. On Sundays we are closed."),
            (9_000, "Hello. We are open from nine. On Sundays we are closed."),
        ] {
            let mut played = two();
            played.played(1, ms);
            played.played(7, 0);
            assert_eq!(played.take(), expected, "{ms}");
            assert_eq!(played.take(), "", "and the next turn begins anew");
        }
    }

    #[test]
    fn an_utterance_is_playing_until_the_page_says_that_it_is_over() {
        let mut played = two();
        assert!(played.is_playing(1) && !played.is_playing(2));
        played.played(1, 1_900);
        assert!(played.is_playing(1));
        played.played(1, 1_960);
        assert!(!played.is_playing(1));
    }

    #[test]
    fn an_utterance_that_nobody_tells_about_was_heard_and_one_whose_place_was_taken_only_as_far_as_it_was_played() {
        assert!(two().take().ends_with("we are closed."));
        let mut played = two();
        played.sent(2, "Are you there?", 800, None);
        played.played(1, 1_000);
        played.played(2, 800);
        assert_eq!(played.take(), "Hello. We are open from nine. Are you there?");
    }
}
