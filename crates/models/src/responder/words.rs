//! Words as the responder compares them: folded, stemmed, related by a small table of everyday synonyms.

use rust_stemmers::{Algorithm, Stemmer};

/// Longer words are identifiers or noise.
const WORD_CHARS_MAX: usize = 40;
/// Two long words with the same beginning are forms of one word when they share this many letters …
const PREFIX_CHARS_MIN: usize = 5;
/// … and this part of the longer one, so that `electric` meets `electrician` but `inter` does not meet `international`.
const PREFIX_PART_MIN: f64 = 0.5;

/// How well the same stem matches.
pub(super) const SAME: f64 = 1.0;
/// How well another form of the word matches.
const FORM: f64 = 0.85;
/// How well a synonym matches.
const SYNONYM: f64 = 0.7;

/// Words that say nothing about what a question is about. Sorted.
const STOP_WORDS: &[&str] = &[
    "a",
    "about",
    "after",
    "again",
    "all",
    "also",
    "am",
    "an",
    "and",
    "any",
    "anybody",
    "anyone",
    "anything",
    "are",
    "arent",
    "as",
    "ask",
    "at",
    "be",
    "been",
    "before",
    "being",
    "between",
    "but",
    "by",
    "can",
    "cannot",
    "cant",
    "could",
    "did",
    "do",
    "does",
    "doesnt",
    "doing",
    "dont",
    "during",
    "else",
    "everything",
    "for",
    "from",
    "get",
    "give",
    "go",
    "going",
    "got",
    "had",
    "has",
    "have",
    "having",
    "he",
    "hello",
    "help",
    "her",
    "here",
    "heres",
    "hey",
    "hi",
    "him",
    "his",
    "how",
    "hows",
    "i",
    "id",
    "if",
    "ill",
    "im",
    "in",
    "information",
    "into",
    "is",
    "isnt",
    "it",
    "its",
    "ive",
    "just",
    "kind",
    "know",
    "let",
    "like",
    "looking",
    "lot",
    "make",
    "many",
    "may",
    "me",
    "might",
    "more",
    "much",
    "must",
    "my",
    "need",
    "no",
    "not",
    "of",
    "offer",
    "on",
    "one",
    "or",
    "our",
    "out",
    "over",
    "per",
    "please",
    "possible",
    "provide",
    "question",
    "really",
    "say",
    "see",
    "shall",
    "she",
    "should",
    "so",
    "some",
    "somebody",
    "someone",
    "something",
    "sort",
    "still",
    "tell",
    "than",
    "thank",
    "thanks",
    "that",
    "thats",
    "the",
    "their",
    "them",
    "there",
    "theres",
    "these",
    "they",
    "theyre",
    "thing",
    "things",
    "this",
    "those",
    "to",
    "too",
    "under",
    "up",
    "us",
    "use",
    "very",
    "want",
    "wanted",
    "was",
    "way",
    "we",
    "were",
    "weve",
    "what",
    "whats",
    "when",
    "where",
    "wheres",
    "which",
    "while",
    "who",
    "whom",
    "whos",
    "whose",
    "why",
    "will",
    "with",
    "wonder",
    "wondering",
    "wont",
    "would",
    "yes",
    "you",
    "your",
    "youre",
    "yours",
];

/// Words that stand in questions about anything: they count, but half. Sorted.
const GENERIC_WORDS: &[&str] = &[
    "able",
    "ago",
    "allow",
    "allowed",
    "already",
    "always",
    "amount",
    "away",
    "back",
    "become",
    "begin",
    "best",
    "better",
    "big",
    "biggest",
    "bring",
    "brought",
    "call",
    "called",
    "carry",
    "certain",
    "come",
    "common",
    "contain",
    "custom",
    "difference",
    "different",
    "done",
    "easy",
    "enough",
    "exactly",
    "exist",
    "exists",
    "expect",
    "explain",
    "fast",
    "faster",
    "find",
    "first",
    "full",
    "gave",
    "given",
    "gone",
    "good",
    "great",
    "handle",
    "happen",
    "happens",
    "important",
    "instead",
    "keep",
    "keeps",
    "kept",
    "large",
    "larger",
    "largest",
    "last",
    "later",
    "leave",
    "left",
    "listed",
    "log",
    "long",
    "longer",
    "look",
    "looked",
    "looks",
    "made",
    "main",
    "matter",
    "mean",
    "means",
    "moment",
    "name",
    "names",
    "new",
    "newest",
    "next",
    "normal",
    "number",
    "often",
    "old",
    "older",
    "onto",
    "particular",
    "people",
    "person",
    "place",
    "popular",
    "purpose",
    "put",
    "quick",
    "reach",
    "recommend",
    "remember",
    "run",
    "said",
    "second",
    "seem",
    "select",
    "selects",
    "separate",
    "set",
    "several",
    "short",
    "show",
    "similar",
    "simple",
    "since",
    "single",
    "small",
    "smaller",
    "smallest",
    "soon",
    "special",
    "start",
    "starts",
    "stay",
    "stop",
    "suggest",
    "sure",
    "switching",
    "take",
    "taken",
    "takes",
    "throw",
    "time",
    "times",
    "together",
    "took",
    "try",
    "turn",
    "type",
    "types",
    "upper",
    "useful",
    "usual",
    "whole",
    "within",
    "without",
    "work",
    "working",
    "works",
    "world",
    "worth",
    "write",
    "wrong",
    "year",
    "years",
];

/// Words visitors and websites use for the same thing, one group per line.
const SYNONYMS: &[&[&str]] = &[
    &["hours", "open", "opening", "opened", "closed", "close", "closing"],
    &["address", "location", "located", "situated", "directions"],
    &["phone", "telephone", "call", "tel"],
    &["email", "mail"],
    &["price", "cost", "fee", "rate", "charge", "pricing"],
    &["refund", "reimburse", "reimbursement"],
    &["warranty", "guarantee", "guaranteed"],
    &["buy", "purchase", "order"],
    &["fix", "repair", "mend"],
    &["delivery", "deliver", "shipping", "ship", "shipment"],
    &["job", "career", "hiring", "vacancy", "vacancies"],
    &["founded", "established", "founder", "founding"],
    &["staff", "team", "employees", "employee"],
    &["kids", "children", "child", "pediatric"],
    &["appointment", "booking", "book", "schedule", "reserve", "reservation"],
    &["pay", "payment"],
    &["free", "complimentary"],
    &["remove", "delete", "uninstall"],
    &["install", "setup", "installation"],
    &["emergency", "urgent"],
    &["insured", "insurance"],
    &["start", "begin"],
    &["maximum", "limit", "most", "max", "largest", "biggest", "highest", "upper"],
    &["minimum", "least", "min", "smallest", "lowest"],
    &["newest", "latest", "recent"],
    &["directory", "folder"],
    &["wrote", "written", "author", "created", "creator"],
    &["encrypted", "unencrypted", "encryption", "plaintext"],
    &["concurrent", "simultaneous"],
    &["version", "release"],
    &["saved", "stored", "save", "store"],
    &["introduced", "added"],
    &["lawyer", "attorney"],
    &["car", "vehicle"],
    &["area", "region", "neighborhood", "neighbourhood"],
];

/// One word of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// In lower case, without apostrophes.
    pub(super) folded: String,
    /// Without its ending.
    pub(super) stem: String,
}

/// Cuts texts into words and compares them.
pub(super) struct Words {
    stemmer: Stemmer,
    synonyms: Vec<Vec<String>>,
}

impl Words {
    pub(super) fn new() -> Self {
        let stemmer = Stemmer::create(Algorithm::English);
        let stems = |group: &&[&str]| group.iter().map(|word| stemmer.stem(word).into_owned()).collect();
        Self { synonyms: SYNONYMS.iter().map(stems).collect(), stemmer }
    }

    /// All words, in order.
    pub(super) fn all(&self, text: &str) -> Vec<Word> {
        let mut words = Vec::new();
        let mut word = String::new();
        for c in text.chars() {
            match c {
                '\'' | '’' => {}
                _ if is_unspaced(c) => {
                    self.take(&mut word, &mut words);
                    word.push(c);
                    self.take(&mut word, &mut words);
                }
                _ if c.is_alphanumeric() => {
                    if word.len() < WORD_CHARS_MAX {
                        word.extend(c.to_lowercase());
                    }
                }
                _ => self.take(&mut word, &mut words),
            }
        }
        self.take(&mut word, &mut words);
        words
    }

    fn take(&self, word: &mut String, words: &mut Vec<Word>) {
        if !word.is_empty() {
            let folded = std::mem::take(word);
            words.push(Word { stem: self.stemmer.stem(&folded).into_owned(), folded });
        }
    }

    /// How well two words match, 0 to 1.
    pub(super) fn likeness(&self, a: &Word, b: &Word) -> f64 {
        if a.stem == b.stem {
            return SAME;
        }
        if is_form(&a.stem, &b.stem) {
            return FORM;
        }
        let related = self.synonyms.iter().any(|group| group.contains(&a.stem) && group.contains(&b.stem));
        if related { SYNONYM } else { 0.0 }
    }
}

/// Whether a word says nothing about what a question is about.
pub(super) fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.binary_search(&word).is_ok()
}

/// Whether a word may stand in a question about anything.
pub(super) fn is_generic(word: &str) -> bool {
    GENERIC_WORDS.binary_search(&word).is_ok()
}

fn is_form(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    // The shorter word must be the whole beginning of the longer one: `international` and `interview` are two things.
    let Some(ending) = long.strip_prefix(short) else {
        return false;
    };
    let letters = short.chars().count();
    if !long.chars().all(char::is_alphabetic) || letters < PREFIX_CHARS_MIN - 1 {
        return false;
    }
    let compared = matches!(ending, "r" | "er" | "st" | "est");
    compared || (letters >= PREFIX_CHARS_MIN && letters as f64 >= PREFIX_PART_MIN * long.chars().count() as f64)
}

/// Scripts that are written without blanks between words.
fn is_unspaced(c: char) -> bool {
    matches!(c as u32, 0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x3040..=0x30FF | 0x3400..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x2FA1F)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_words_are_sorted_because_they_are_searched_by_halves() {
        assert!(STOP_WORDS.is_sorted() && GENERIC_WORDS.is_sorted());
    }

    #[test]
    fn likeness_knows_forms_and_synonyms_and_not_more() {
        let words = Words::new();
        let cases = [
            ("open", "opens", SAME),
            ("repairs", "repaired", SAME),
            ("cancel", "cancellation", SAME),
            ("electric", "electrician", FORM),
            ("warranty", "guarantee", SYNONYM),
            ("hours", "open", SYNONYM),
            ("late", "later", FORM),
            ("plan", "plant", 0.0),
            ("international", "interview", 0.0),
            ("house", "hour", 0.0),
            ("2024", "20245", 0.0),
            ("pipe", "roof", 0.0),
        ];
        for (a, b, expected) in cases {
            let (left, right) = (&words.all(a)[0], &words.all(b)[0]);
            assert!((words.likeness(left, right) - expected).abs() < 1e-9, "{a} {b}: {}", words.likeness(left, right));
            assert!((words.likeness(right, left) - expected).abs() < 1e-9, "{b} {a}");
        }
    }

    #[test]
    fn words_of_all_scripts_are_found() {
        let words = Words::new();
        let folded = |text: &str| words.all(text).into_iter().map(|word| word.folded).collect::<Vec<_>>();
        assert_eq!(folded("We're OPEN 24/7, café!"), ["were", "open", "24", "7", "café"]);
        assert_eq!(folded("営業 time"), ["営", "業", "time"]);
    }
}
