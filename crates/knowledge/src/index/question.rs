//! A question as the second look at the candidates reads it: its words, what each weighs, and which terms of the index mean it.

use super::bm25::Bm25;
use crate::words::{asked_words, is_light};

/// Words that are read.
const WORDS_MAX: usize = 32;
/// A word weighs at most this much more than rare ones do: past that, rarity says how large the site is, not how much the word matters.
const WEIGHT_MAX: f32 = 5.0;
/// What a word weighs that may stand in questions about anything, beside one that names a thing.
const LIGHT_PART: f32 = 0.35;
/// What a name weighs: an answer about another product is wrong however well the rest fits.
const NAME_PART: f32 = 1.6;
/// How well a synonym matches.
const SYNONYM: f32 = 0.7;

/// A question in the terms of one index.
pub(super) struct Question {
    /// What each word weighs.
    weights: Vec<f32>,
    /// Term number, word, likeness; sorted.
    terms: Vec<(u32, u16, f32)>,
    total: f32,
    counted: Option<usize>,
}

impl Question {
    pub(super) fn new(index: &Bm25, text: &str) -> Self {
        let mut weights = Vec::new();
        let mut counted = None;
        let thing = counted_word(text);
        let mut terms: Vec<(u32, u16, f32)> = Vec::new();
        for (at, asked) in asked_words(index.languages(), text, WORDS_MAX).into_iter().enumerate() {
            if thing.as_deref() == Some(asked.folded.as_str()) {
                counted = Some(at);
            }
            let at = at as u16;
            let mut rarity = f32::INFINITY;
            for term in &asked.terms {
                rarity = rarity.min(index.rarity(term));
                terms.extend(index.number(term).map(|number| (number, at, 1.0)));
            }
            terms.extend(asked.related().filter_map(|term| index.number(term)).map(|number| (number, at, SYNONYM)));
            let mut weight = rarity.min(WEIGHT_MAX);
            if is_light(&asked.folded) {
                weight *= LIGHT_PART;
            } else if asked.is_name {
                weight *= NAME_PART;
            }
            weights.push(weight);
        }
        terms.sort_by(|a, b| a.0.cmp(&b.0).then(b.2.total_cmp(&a.2)));
        let total = weights.iter().sum();
        Question { weights, terms, total, counted }
    }

    pub(super) fn words(&self) -> usize {
        self.weights.len()
    }

    pub(super) fn weight(&self, word: usize) -> f32 {
        self.weights[word]
    }

    /// The word that "how many" counts.
    pub(super) fn counted(&self) -> Option<usize> {
        self.counted
    }

    pub(super) fn total(&self) -> f32 {
        self.total
    }

    /// The words that a term means, each with how well.
    pub(super) fn matching(&self, term: u32) -> impl Iterator<Item = (usize, f32)> + '_ {
        let from = self.terms.partition_point(|(known, _, _)| *known < term);
        self.terms[from..]
            .iter()
            .take_while(move |(known, _, _)| *known == term)
            .map(|(_, word, likeness)| (usize::from(*word), *likeness))
    }
}

/// What "how many" counts: the plural within the next two words, "tables" of "how many linked tables".
fn counted_word(text: &str) -> Option<String> {
    let words: Vec<String> =
        text.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()).collect();
    let at = words.windows(2).position(|pair| pair == ["how", "many"])?;
    words[at + 2..].iter().take(2).rfind(|word| word.ends_with('s') && word.len() > 3).cloned()
}

#[cfg(test)]
mod tests {
    use super::{Bm25, Question, counted_word};
    use crate::words::Language;

    fn weights(question: &str) -> Vec<f32> {
        let texts =
            ["pipes and boilers", "the boiler is a biggest", "red vans", "blue vans", "opening hours", "parking"];
        let index = Bm25::build(texts.into_iter().map(|text| (text, Language::English)));
        let question = Question::new(&index, question);
        (0..question.words()).map(|word| question.weight(word)).collect()
    }

    #[test]
    fn names_weigh_more_and_words_of_any_question_less() {
        let plain = weights("boiler viessmann")[1];
        assert!(weights("the boiler by Viessmann")[1] > plain, "a name");
        assert!(weights("remember boiler")[0] < plain, "a word of any question");
        assert_eq!(weights("Viessmann boiler")[0], plain, "every sentence begins with a capital");
        assert_eq!(weights("BOILER VIESSMANN"), weights("boiler viessmann"), "capitals throughout say nothing");
    }

    #[test]
    fn what_is_counted_is_the_plural_after_how_many() {
        let cases = [
            ("How many linked tables may I join?", Some("tables")),
            ("At how many pages is it full?", Some("pages")),
            ("How many people work there?", None),
            ("How much is it?", None),
        ];
        for (question, expected) in cases {
            assert_eq!(counted_word(question).as_deref(), expected, "{question}");
        }
    }
}
