//! Words of a text with their places, and phrases found on word boundaries with simple inflection and negation.

use std::ops::Range;

use compact_str::CompactString;

/// Words looked at in one text; a message that long is not a question any more, and matching stays linear.
const WORDS_MAX: usize = 4_000;

/// The shortest last word of a phrase that may be inflected: "flood" finds "flooding", "no" does not find "nos".
const INFLECTED_MIN_CHARS: usize = 4;

/// Words that turn what follows into its opposite. "can't" is not among them: "I can't stop the flood" is a flood.
const NEGATORS: [&str; 17] = [
    "not", "no", "isnt", "wasnt", "arent", "aint", "dont", "doesnt", "didnt", "never", "nothing", "without", "nor",
    "neither", "hardly", "werent", "havent",
];

/// Words that may stand between a negator and what it negates. Any other word ends its reach: "don't ignore this emergency" is one.
const NEGATION_FILLERS: [&str; 41] = [
    "want",
    "wanna",
    "a",
    "an",
    "any",
    "the",
    "really",
    "actually",
    "quite",
    "truly",
    "exactly",
    "such",
    "think",
    "believe",
    "it",
    "its",
    "is",
    "this",
    "that",
    "thats",
    "to",
    "be",
    "have",
    "there",
    "theres",
    "what",
    "id",
    "call",
    "on",
    "yet",
    "of",
    "kind",
    "sort",
    "say",
    "consider",
    "considered",
    "real",
    "been",
    "had",
    "about",
    "for",
];

/// Most words between a negator and what it negates.
const NEGATION_REACH: usize = 7;

/// One word: lower case, apostrophes dropped ("don't" is "dont"), with its place in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The word; nearly all are short enough to need no memory of their own.
    pub text: CompactString,
    /// Byte range in the text.
    pub at: Range<usize>,
    /// Which clause it is in; punctuation and "but" begin a new one.
    pub clause: usize,
}

/// The words of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    words: Vec<Word>,
}

impl Words {
    /// Splits a text. Letters and digits make words, everything else separates them; only the first 4,000 words are looked at.
    pub fn of(text: &str) -> Self {
        let mut words: Vec<Word> = Vec::new();
        let mut clause = 0;
        let mut current: Option<Word> = None;
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let next = chars.peek().map(|(_, next)| *next);
            if c.is_alphanumeric() {
                let word = current.get_or_insert_with(|| Word { text: CompactString::default(), at: at..at, clause });
                if c.is_ascii() {
                    word.text.push(c.to_ascii_lowercase());
                } else {
                    word.text.extend(c.to_lowercase());
                }
                word.at.end = at + c.len_utf8();
            } else if matches!(c, '\'' | '’' | '‘' | 'ʼ')
                && current.is_some()
                && next.is_some_and(char::is_alphanumeric)
            {
                // Inside a word: left out, so that "don't", "don’t" and "dont" are one word.
            } else {
                finish(&mut current, &mut words, &mut clause);
                let ends_clause = match c {
                    ',' | ';' | '!' | '?' | '\n' | '—' => !next.is_some_and(|next| next.is_ascii_digit()),
                    '.' | ':' => next.is_none_or(char::is_whitespace),
                    _ => false,
                };
                if ends_clause {
                    clause += 1;
                }
            }
            if words.len() >= WORDS_MAX {
                break;
            }
        }
        finish(&mut current, &mut words, &mut clause);
        Self { words }
    }

    /// All words in order.
    pub fn all(&self) -> &[Word] {
        &self.words
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether the word is there, not inflected.
    pub fn has(&self, word: &str) -> bool {
        self.words.iter().any(|own| own.text == word)
    }

    /// Whether any of the words is there, not inflected.
    pub fn has_any(&self, words: &[&str]) -> bool {
        self.words.iter().any(|own| words.contains(&own.text.as_str()))
    }

    /// The first place of a phrase, as indices of words. Its last word may be inflected (plural, -ing, -ed).
    pub fn find(&self, phrase: &str) -> Option<Range<usize>> {
        self.find_from(phrase, 0)
    }

    /// Whether a phrase occurs and at least one occurrence is meant, that is, not negated.
    pub fn means(&self, phrase: &str) -> bool {
        self.place_meant(phrase).is_some()
    }

    /// The first occurrence of a phrase that is not negated.
    pub fn place_meant(&self, phrase: &str) -> Option<Range<usize>> {
        let mut from = 0;
        while let Some(place) = self.find_from(phrase, from) {
            if !self.negated(place.start) {
                return Some(place);
            }
            from = place.start + 1;
        }
        None
    }

    /// Whether the word at `index` is negated by a word before it in the same clause.
    pub fn negated(&self, index: usize) -> bool {
        let Some(word) = self.words.get(index) else { return false };
        for before in self.words[..index].iter().rev().take(NEGATION_REACH) {
            if before.clause != word.clause {
                return false;
            }
            if NEGATORS.contains(&before.text.as_str()) {
                return true;
            }
            if !NEGATION_FILLERS.contains(&before.text.as_str()) {
                return false;
            }
        }
        false
    }

    /// The words of the clause that the word at `index` is in.
    pub fn clause_of(&self, index: usize) -> &[Word] {
        let Some(word) = self.words.get(index) else { return &[] };
        let start = self.words[..index].iter().rposition(|own| own.clause != word.clause).map_or(0, |at| at + 1);
        let end = self.words[index..]
            .iter()
            .position(|own| own.clause != word.clause)
            .map_or(self.words.len(), |at| index + at);
        &self.words[start..end]
    }

    /// The words joined by single spaces.
    pub fn joined(&self) -> String {
        self.words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
    }

    fn find_from(&self, phrase: &str, from: usize) -> Option<Range<usize>> {
        // Nearly all phrases are plain lower-case words, and nearly none of them occurs: no copy is made to find that out.
        if phrase.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b' ' | b'-'))
        {
            let wanted = || phrase.split([' ', '-']).filter(|word| !word.is_empty());
            return self.find_words(wanted, from);
        }
        let words = Self::of(phrase);
        self.find_words(|| words.words.iter().map(|word| word.text.as_str()), from)
    }

    fn find_words<'p, I: Iterator<Item = &'p str>>(&self, wanted: impl Fn() -> I, from: usize) -> Option<Range<usize>> {
        let length = wanted().count();
        if length == 0 {
            return None;
        }
        (from..=self.words.len().checked_sub(length)?).map(|at| at..at + length).find(|place| {
            let own = &self.words[place.clone()];
            own.iter().zip(wanted()).enumerate().all(|(n, (own, wanted))| {
                if n + 1 == length { inflects(&own.text, wanted) } else { own.text == wanted }
            }) && own.iter().all(|word| word.clause == own[0].clause)
        })
    }
}

/// Whether `word` is `stem` or a simple inflection of it.
fn inflects(word: &str, stem: &str) -> bool {
    if word == stem {
        return true;
    }
    if stem.chars().count() < INFLECTED_MIN_CHARS || !stem.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return false;
    }
    match word.strip_prefix(stem) {
        Some(ending) => matches!(ending, "s" | "es" | "ing" | "ed"),
        None => stem.strip_suffix('y').is_some_and(|stem| word.strip_prefix(stem) == Some("ies")),
    }
}

fn finish(current: &mut Option<Word>, words: &mut Vec<Word>, clause: &mut usize) {
    if let Some(mut word) = current.take() {
        if matches!(word.text.as_str(), "but" | "however" | "although") {
            *clause += 1;
            word.clause = *clause;
        }
        words.push(word);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn phrases_match_on_word_boundaries_only() {
        for (text, phrase, found) in [
            ("There's a FIRE in the kitchen!", "fire", true),
            ("We have a fireplace", "fire", false),
            ("My basement is flooding", "flood", true),
            ("two emergencies", "emergency", true),
            ("there is no, heat", "no heat", false),
            ("I don’t think you take my insurance", "dont think", true),
            ("tune up please", "tune-up", true),
            ("", "x", false),
            ("x", "", false),
        ] {
            assert_eq!(Words::of(text).find(phrase).is_some(), found, "{text} / {phrase}");
        }
    }

    #[test]
    fn simple_negation_is_heard_and_nothing_more() {
        for (text, phrase, meant) in [
            ("this is not an emergency", "emergency", false),
            ("It isn't really an emergency", "emergency", false),
            ("I don't think it's an emergency", "emergency", false),
            ("no emergency, just a question", "emergency", false),
            ("there is no fire", "fire", false),
            ("please don't ignore this emergency", "emergency", true),
            ("I'm not sure if this is an emergency", "emergency", true),
            ("I can't stop the flood", "flood", true),
            ("not just a leak, it's a flood", "flood", true),
            ("not an emergency but the pipe burst, an emergency!", "emergency", true),
            ("there is no heat", "no heat", true),
        ] {
            assert_eq!(Words::of(text).means(phrase), meant, "{text}");
        }
    }

    #[test]
    fn clauses_are_told_apart() {
        let words = Words::of("It leaks, but there is no fire. Is it bad?");
        let place = words.find("fire").unwrap();
        let clause: Vec<_> = words.clause_of(place.start).iter().map(|word| word.text.as_str()).collect();
        assert_eq!(clause, ["but", "there", "is", "no", "fire"]);
    }

    proptest! {
        #[test]
        fn any_text_is_split_and_every_place_is_a_valid_slice(text in "\\PC{0,200}") {
            let words = Words::of(&text);
            for word in words.all() {
                prop_assert!(text.get(word.at.clone()).is_some());
                prop_assert!(!word.text.is_empty());
            }
            if let Some(first) = words.all().first() {
                prop_assert!(words.find(&first.text).is_some());
            }
        }
    }
}
