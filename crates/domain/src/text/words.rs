//! Words of a text with their places, and phrases found on word boundaries with simple inflection and negation.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use compact_str::CompactString;

/// Words looked at in one text; a message that long is not a question any more, and matching stays linear.
const WORDS_MAX: usize = 4_000;

/// How much of a text is read at a time where the first part usually says enough.
const PART_CHARS: usize = 240;

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
        let mut current: Option<Range<usize>> = None;
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            if c.is_alphanumeric() {
                current.get_or_insert(at..at).end = at + c.len_utf8();
                continue;
            }
            if c == ' ' && current.is_none() {
                continue;
            }
            let next = chars.peek().map(|(_, next)| *next);
            if is_apostrophe(c) && current.is_some() && next.is_some_and(char::is_alphanumeric) {
                continue;
            }
            finish(text, &mut current, &mut words, &mut clause);
            let ends_clause = match c {
                ',' | ';' | '!' | '?' | '\n' | '—' => !next.is_some_and(|next| next.is_ascii_digit()),
                '.' | ':' => next.is_none_or(char::is_whitespace),
                _ => false,
            };
            if ends_clause {
                clause += 1;
            }
            if words.len() >= WORDS_MAX {
                break;
            }
        }
        finish(text, &mut current, &mut words, &mut clause);
        Self { words }
    }

    /// Whether `text` has at least `least` different words that are among `known`; reads no further than it must.
    pub(crate) fn shares(text: &str, known: &HashSet<&str>, least: usize) -> bool {
        let mut shared: Vec<&str> = Vec::with_capacity(least);
        let mut from = 0;
        // A part at a time, cut where no word can be: most texts that share words do so early.
        while from < text.len() && shared.len() < least {
            let end = text[from..]
                .char_indices()
                .skip(PART_CHARS)
                .find(|(_, c)| *c == ' ')
                .map_or(text.len(), |(at, _)| from + at);
            for word in &Self::of(&text[from..end]).words {
                if let Some(known) = known.get(word.text.as_str())
                    && !shared.contains(known)
                {
                    shared.push(known);
                }
            }
            from = end.max(from + 1);
        }
        shared.len() >= least
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
        let first = wanted().next()?;
        (from..=self.words.len().checked_sub(length)?).map(|at| at..at + length).find(|place| {
            let own = &self.words[place.clone()];
            // Nearly every place is none, and its first word says so.
            (length == 1 || own[0].text == first) && stands(own, wanted())
        })
    }
}

/// Whether `own`, as many words as are wanted, are the wanted ones: all in one clause, the last one perhaps inflected.
fn stands<'p>(own: &[Word], wanted: impl Iterator<Item = &'p str>) -> bool {
    own.iter()
        .zip(wanted)
        .enumerate()
        .all(|(n, (word, wanted))| if n + 1 == own.len() { inflects(&word.text, wanted) } else { word.text == wanted })
        && own.iter().all(|word| word.clause == own[0].clause)
}

/// Phrases that are looked for together in long texts: one look-up a word instead of one search a phrase.
#[derive(Debug)]
pub struct Phrases {
    by_first_word: HashMap<CompactString, Vec<Vec<CompactString>>>,
    /// They may be inflected, so they cannot be looked up.
    single_words: Vec<&'static str>,
}

impl Phrases {
    /// Of phrases in lower case.
    pub fn of(phrases: impl IntoIterator<Item = &'static str>) -> Self {
        let mut all = Self { by_first_word: HashMap::new(), single_words: Vec::new() };
        for phrase in phrases {
            let words: Vec<CompactString> = Words::of(phrase).words.into_iter().map(|word| word.text).collect();
            match words.as_slice() {
                [] => {}
                [_] => all.single_words.push(phrase),
                [first, ..] => all.by_first_word.entry(first.clone()).or_default().push(words),
            }
        }
        all
    }

    /// Whether a text contains any of them, as [`Words::find`] would find it.
    pub fn any_in(&self, words: &Words) -> bool {
        words.words.iter().enumerate().any(|(at, word)| {
            self.by_first_word.get(&word.text).is_some_and(|phrases| {
                phrases.iter().any(|phrase| {
                    words
                        .words
                        .get(at..at + phrase.len())
                        .is_some_and(|own| stands(own, phrase.iter().map(CompactString::as_str)))
                })
            })
        }) || self.single_words.iter().any(|word| words.find(word).is_some())
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

/// A mark that is no end of a word when letters follow.
pub(crate) fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’' | '‘' | 'ʼ')
}

/// A word is complete. Apostrophes inside are left out, so that "don't", "don’t" and "dont" are one word.
fn finish(text: &str, current: &mut Option<Range<usize>>, words: &mut Vec<Word>, clause: &mut usize) {
    let Some(at) = current.take() else { return };
    let written = text.get(at.clone()).unwrap_or_default();
    let text = if written.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let mut word = CompactString::new(written);
        word.make_ascii_lowercase();
        word
    } else {
        written.chars().filter(|c| !is_apostrophe(*c)).flat_map(char::to_lowercase).collect()
    };
    if matches!(text.as_str(), "but" | "however" | "although") {
        *clause += 1;
    }
    words.push(Word { text, at, clause: *clause });
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

    #[test]
    fn shared_words_are_counted_once_and_over_all_parts() {
        let known: HashSet<&str> = ["furnace", "tune", "hour"].into();
        let far = format!("Furnace, furnace! {} TUNE-up {} an hour", "word ".repeat(100), "é ".repeat(300));
        for (text, least, shares) in
            [("", 0, true), (far.as_str(), 3, true), (far.as_str(), 4, false), ("tune tune tune", 2, false)]
        {
            assert_eq!(Words::shares(text, &known, least), shares, "{least}");
        }
    }

    proptest! {
        #[test]
        fn phrases_looked_up_together_are_found_as_each_alone(
            text in "(ignore|ignoring|your|all|previous|jailbreaks?|but|rule|rules|the|[,. ]){0,12}( (ignore|your|all|previous|jailbreaking|rules)){0,6}"
        ) {
            let phrases = ["ignore all previous", "ignore your", "your rule", "jailbreak", "ignore previous"];
            let words = Words::of(&text);
            let alone = phrases.iter().any(|phrase| words.find(phrase).is_some());
            prop_assert_eq!(Phrases::of(phrases).any_in(&words), alone);
        }

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
