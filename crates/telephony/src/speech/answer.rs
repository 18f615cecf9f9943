//! An answer on its way from a model to a voice: sentence by sentence as it streams, and exactly once, however often its making begins anew.

use super::plain::Plain;
use super::sentences::Sentences;

/// What was let out of one answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    attempt: Option<u32>,
    next_index: u32,
    /// Pieces are missing: the rest comes with the finished text.
    broken: bool,
    plain: Plain,
    sentences: Sentences,
    /// What was let out so far, words separated by single spaces.
    said: String,
}

impl Answer {
    /// Nothing was said yet.
    pub fn new() -> Self {
        Self { plain: Plain::new(), ..Self::default() }
    }

    /// Whether anything was let out.
    pub fn began(&self) -> bool {
        !self.said.is_empty()
    }

    /// A piece as it streams. What can be spoken now. A higher attempt begins the text anew: if something was let out already, the finished text
    /// decides what is still to be said.
    pub fn on_piece(&mut self, attempt: u32, index: u32, text: &str) -> Vec<String> {
        if self.attempt.is_none_or(|known| attempt > known) {
            self.broken = self.began() || index > 0;
            self.attempt = Some(attempt);
            self.next_index = index;
            self.plain = Plain::new();
            self.sentences = Sentences::new();
        }
        if self.broken || self.attempt != Some(attempt) || index < self.next_index {
            return Vec::new();
        }
        if index > self.next_index {
            self.broken = true;
            return Vec::new();
        }
        self.next_index = index + 1;
        let plain = self.plain.push(text);
        let whole = self.sentences.push(&plain);
        self.note(&whole);
        whole
    }

    /// The answer in the making will not come; what follows is another one, or the finished text.
    pub fn on_discard(&mut self) {
        self.broken = true;
    }

    /// The text as it stands. What of it is still to be spoken: the rest, if what was let out is its beginning, else all of it, since that is
    /// what the caller is to know.
    pub fn on_finished(&mut self, text: &str) -> Vec<String> {
        let mut plain = Plain::new();
        let mut whole = plain.push(text);
        whole += &plain.finish();
        let rest = match after(&whole, &self.said) {
            // What was let out ended with the space behind its mark.
            Some(rest) => rest.trim_start(),
            None => whole.as_str(),
        };
        let mut sentences = Sentences::new();
        let mut out = sentences.push(rest);
        out.extend(sentences.finish());
        out.retain(|sentence| !sentence.trim().is_empty());
        self.note(&out);
        self.broken = true;
        out
    }

    fn note(&mut self, sentences: &[String]) {
        for word in sentences.iter().flat_map(|sentence| sentence.split_whitespace()) {
            if !self.said.is_empty() {
                self.said.push(' ');
            }
            self.said.push_str(word);
        }
    }
}

/// What follows in `text` after the words of `said`; `None` if it does not begin with them.
fn after<'a>(text: &'a str, said: &str) -> Option<&'a str> {
    let mut rest = text;
    for word in said.split_whitespace() {
        rest = rest.trim_start().strip_prefix(word)?;
        if rest.starts_with(|next: char| !next.is_whitespace()) {
            return None;
        }
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(sentences: &[String]) -> String {
        sentences.iter().flat_map(|sentence| sentence.split_whitespace()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_sentence_is_spoken_as_soon_as_it_is_whole() {
        let mut answer = Answer::new();
        assert!(answer.on_piece(100, 0, "We are **open** ").is_empty());
        assert_eq!(answer.on_piece(100, 1, "at 9. Any").concat().trim(), "We are open at 9.");
        assert!(answer.on_piece(100, 2, "thing else?").is_empty());
        assert_eq!(words(&answer.on_finished("We are **open** at 9. Anything else?")), "Anything else?");
        assert!(answer.on_finished("We are **open** at 9. Anything else?").is_empty(), "and never twice");
    }

    #[test]
    fn an_attempt_that_begins_anew_says_nothing_twice() {
        let mut answer = Answer::new();
        answer.on_piece(100, 0, "We are open at 9. On Sun");
        assert!(answer.on_piece(200, 0, "We are open at 9. On Sundays too. ").is_empty(), "it was said already");
        assert_eq!(words(&answer.on_finished("We are open at 9. On Sundays too.")), "On Sundays too.");
        let mut other = Answer::new();
        other.on_piece(100, 0, "It is free. Tr");
        other.on_discard();
        assert_eq!(words(&other.on_finished("I can't say.")), "I can't say.", "what stands is what is to be known");
    }

    #[test]
    fn whoever_comes_in_the_middle_says_the_finished_text() {
        let mut answer = Answer::new();
        assert!(answer.on_piece(100, 3, "late. More. ").is_empty());
        assert_eq!(words(&answer.on_finished("It is late. More.")), "It is late. More.");
        let mut gap = Answer::new();
        assert_eq!(gap.on_piece(100, 0, "One. ").len(), 1);
        assert!(gap.on_piece(100, 2, "Three. ").is_empty());
        assert_eq!(words(&gap.on_finished("One. Two. Three.")), "Two. Three.");
    }

    #[test]
    fn a_word_that_only_begins_like_what_was_said_is_no_beginning() {
        assert_eq!(after("We are opened. Yes", "We are open"), None);
        assert_eq!(after("We  are open. Yes", "We are open."), Some(" Yes"));
    }

    proptest! {
        #[test]
        fn all_words_of_the_text_are_spoken_once_however_it_is_cut(text in "([A-Za-z]{1,5}[.?!]? ){0,14}", size in 1_usize..7, lost in any::<Option<u8>>()) {
            let chars: Vec<char> = text.chars().collect();
            let mut answer = Answer::new();
            let mut out = Vec::new();
            for (index, piece) in (0_u32..).zip(chars.chunks(size)) {
                if lost.is_some_and(|lost| u32::from(lost % 9) == index) {
                    continue;
                }
                out.extend(answer.on_piece(1, index, &piece.iter().collect::<String>()));
            }
            out.extend(answer.on_finished(&text));
            prop_assert_eq!(words(&out), text.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
}
