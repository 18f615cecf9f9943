//! Words of a text as the keyword index sees them: lower case, without stop words, stemmed by language.

use std::sync::LazyLock;

use rust_stemmers::{Algorithm, Stemmer};

/// Longer words are identifiers or noise; they are cut so that the vocabulary stays small.
const MAX_WORD_CHARS: usize = 40;

/// English words that say nothing about what a text is about.
const STOP_WORDS: [&str; 124] = [
    "a", "about", "above", "after", "again", "against", "all", "also", "am", "an", "and", "any", "are", "as", "at",
    "be", "because", "been", "before", "being", "below", "between", "both", "but", "by", "can", "could", "d", "did",
    "do", "does", "doing", "down", "during", "each", "few", "for", "from", "further", "had", "has", "have", "having",
    "he", "her", "here", "him", "his", "how", "i", "if", "in", "into", "is", "it", "its", "just", "ll", "me", "more",
    "most", "my", "no", "nor", "not", "now", "of", "off", "on", "once", "only", "or", "other", "our", "out", "over",
    "own", "please", "re", "s", "same", "she", "should", "so", "some", "such", "t", "tell", "than", "that", "the",
    "their", "them", "then", "there", "these", "they", "this", "those", "through", "to", "too", "under", "until", "up",
    "us", "ve", "very", "was", "we", "were", "what", "when", "where", "which", "while", "who", "whom", "why", "will",
    "with", "would", "you", "your",
];

/// A language with its own stemming rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the languages")]
pub enum Language {
    Arabic,
    Danish,
    Dutch,
    #[default]
    English,
    Finnish,
    French,
    German,
    Greek,
    Hungarian,
    Italian,
    Norwegian,
    Portuguese,
    Romanian,
    Russian,
    Spanish,
    Swedish,
    Tamil,
    Turkish,
}

impl Language {
    /// The language of a tag such as `de-AT`; English for what has no stemmer, because names and numbers match all the same.
    #[must_use]
    pub fn of_tag(tag: Option<&str>) -> Language {
        let primary = tag.unwrap_or_default().split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        match primary.as_str() {
            "ar" => Language::Arabic,
            "da" => Language::Danish,
            "nl" => Language::Dutch,
            "fi" => Language::Finnish,
            "fr" => Language::French,
            "de" => Language::German,
            "el" => Language::Greek,
            "hu" => Language::Hungarian,
            "it" => Language::Italian,
            "no" | "nb" | "nn" => Language::Norwegian,
            "pt" => Language::Portuguese,
            "ro" => Language::Romanian,
            "ru" => Language::Russian,
            "es" => Language::Spanish,
            "sv" => Language::Swedish,
            "ta" => Language::Tamil,
            "tr" => Language::Turkish,
            _ => Language::English,
        }
    }

    fn algorithm(self) -> Algorithm {
        match self {
            Language::Arabic => Algorithm::Arabic,
            Language::Danish => Algorithm::Danish,
            Language::Dutch => Algorithm::Dutch,
            Language::English => Algorithm::English,
            Language::Finnish => Algorithm::Finnish,
            Language::French => Algorithm::French,
            Language::German => Algorithm::German,
            Language::Greek => Algorithm::Greek,
            Language::Hungarian => Algorithm::Hungarian,
            Language::Italian => Algorithm::Italian,
            Language::Norwegian => Algorithm::Norwegian,
            Language::Portuguese => Algorithm::Portuguese,
            Language::Romanian => Algorithm::Romanian,
            Language::Russian => Algorithm::Russian,
            Language::Spanish => Algorithm::Spanish,
            Language::Swedish => Algorithm::Swedish,
            Language::Tamil => Algorithm::Tamil,
            Language::Turkish => Algorithm::Turkish,
        }
    }
}

/// Splits and stems words of one language.
pub struct Analyzer {
    stemmer: Stemmer,
}

impl std::fmt::Debug for Analyzer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Analyzer").finish_non_exhaustive()
    }
}

impl Analyzer {
    /// The analyzer of a language.
    #[must_use]
    pub fn new(language: Language) -> Self {
        Analyzer { stemmer: Stemmer::create(language.algorithm()) }
    }

    /// Calls `each` with every term of the text in order. Stop words are English ones whatever the language: they are
    /// rare words elsewhere, and other languages' frequent words weigh little by their own frequency.
    pub fn terms(&self, text: &str, mut each: impl FnMut(&str)) {
        for word in raw_words(text) {
            if STOP_WORDS.binary_search(&word.as_str()).is_err() {
                each(&self.stemmer.stem(&word));
            }
        }
    }

    /// The distinct terms of a query in order of appearance.
    #[must_use]
    pub fn query(&self, text: &str) -> Vec<String> {
        let mut terms: Vec<String> = Vec::new();
        self.terms(text, |term| {
            if !terms.iter().any(|known| known == term) {
                terms.push(term.to_owned());
            }
        });
        terms
    }
}

/// Words that may stand in questions about anything: what they say is how something is asked, rather than about what. Sorted.
const LIGHT_WORDS: &[&str] = &[
    "able", "actually", "ago", "allow", "allowed", "already", "always", "amount", "another", "ask", "away", "back",
    "become", "begin", "behave", "best", "better", "big", "biggest", "bring", "brought", "call", "called", "carry",
    "certain", "change", "choose", "come", "common", "contain", "count", "custom", "differ", "done", "easy", "else",
    "end", "enough", "ever", "every", "exactly", "exist", "exists", "expect", "explain", "fact", "fast", "faster",
    "find", "first", "follow", "for", "found", "full", "gave", "general", "get", "gets", "give", "given", "go", "goes",
    "gone", "good", "got", "great", "handle", "happen", "happens", "hard", "help", "hold", "instead", "invented",
    "keep", "keeps", "kept", "kind", "know", "known", "large", "larger", "largest", "last", "later", "leave", "left",
    "let", "like", "listed", "little", "long", "longer", "look", "looked", "looking", "looks", "lot", "made", "main",
    "make", "makes", "many", "matter", "may", "maybe", "mean", "means", "might", "moment", "much", "must", "name",
    "need", "needed", "needs", "never", "new", "newest", "next", "normal", "number", "offer", "often", "old", "older",
    "one", "ones", "onto", "part", "people", "person", "place", "point", "possible", "provide", "purpose", "put",
    "question", "quick", "quickly", "reach", "really", "remain", "remember", "right", "run", "said", "say", "second",
    "see", "seem", "select", "selects", "separate", "set", "several", "shall", "short", "show", "similar", "simple",
    "since", "single", "small", "smaller", "smallest", "soon", "sort", "special", "start", "starts", "stay", "still",
    "stop", "suggest", "support", "supports", "sure", "take", "taken", "takes", "tell", "tells", "thing", "things",
    "think", "throw", "time", "times", "together", "took", "tool", "true", "try", "turn", "type", "types", "upper",
    "use", "used", "useful", "user", "uses", "using", "usual", "usually", "want", "wants", "way", "ways", "well",
    "whole", "whose", "wish", "within", "without", "wonder", "work", "working", "works", "world", "worth", "would",
    "wrong", "year", "yes", "yet",
];

/// The longer ones of them. Sorted.
const LONG_LIGHT_WORDS: &[&str] = &[
    "available",
    "difference",
    "different",
    "important",
    "particular",
    "recommend",
    "recommended",
    "something",
    "supported",
    "switching",
];

/// Words people and pages use for the same thing, one group per line, as they are written.
const SYNONYMS: &[&[&str]] = &[
    &["biggest", "largest", "maximum", "max", "most", "highest", "greatest", "limit", "upper"],
    &["smallest", "minimum", "min", "least", "lowest"],
    &["newest", "latest", "recent"],
    &["begin", "start", "first", "beginning"],
    &["directory", "folder"],
    &["delete", "remove", "uninstall"],
    &["wrote", "written", "author", "creator", "created"],
    &["encrypted", "encryption", "unencrypted", "plaintext"],
    &["concurrent", "simultaneous"],
    &["version", "release"],
    &["saved", "stored", "save", "store"],
    &["password", "credential", "passwords", "credentials"],
    &["introduced", "added", "new"],
    &["fix", "repair"],
    &["price", "cost", "fee"],
    &["phone", "telephone"],
    &["buy", "purchase", "order"],
    &["hours", "open", "opening"],
];

/// Whether a word may stand in a question about anything.
pub(crate) fn is_light(word: &str) -> bool {
    LIGHT_WORDS.binary_search(&word).is_ok() || LONG_LIGHT_WORDS.binary_search(&word).is_ok()
}

/// A word of a question.
pub(crate) struct Asked {
    /// In lower case.
    pub(crate) folded: String,
    /// Its terms, one for each language.
    pub(crate) terms: Vec<String>,
    /// Whether it is written as a name is.
    pub(crate) is_name: bool,
}

/// The groups of [`SYNONYMS`] as terms.
static RELATED: LazyLock<Vec<Vec<String>>> = LazyLock::new(|| {
    let english = Analyzer::new(Language::English);
    SYNONYMS.iter().map(|group| group.iter().map(|word| english.stemmer.stem(word).into_owned()).collect()).collect()
});

impl Asked {
    /// Terms that mean about the same.
    pub(crate) fn related(&self) -> impl Iterator<Item = &'static str> + '_ {
        let groups = RELATED.iter().filter(|group| group.iter().any(|term| self.terms.contains(term)));
        groups.flatten().map(String::as_str).filter(|term| !self.terms.iter().any(|own| own == term))
    }
}

/// Words that a writer of English begins with a capital because they are names: not the first of a sentence, not a weekday or
/// month. A question written in capitals or with a capital for every word says nothing.
fn names(text: &str) -> Vec<String> {
    const CALENDAR: [&str; 19] = [
        "april",
        "august",
        "december",
        "february",
        "friday",
        "january",
        "july",
        "june",
        "march",
        "may",
        "monday",
        "november",
        "october",
        "saturday",
        "september",
        "sunday",
        "thursday",
        "tuesday",
        "wednesday",
    ];
    let mut names = Vec::new();
    let mut plain = 0;
    let mut begins = true;
    for token in text.split_whitespace() {
        for word in token.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().any(char::is_alphabetic)) {
            let capitals = word.chars().filter(|c| c.is_uppercase()).count();
            let folded = word.to_lowercase();
            let calendar = CALENDAR.contains(&folded.trim_end_matches('s'));
            if capitals > 0 && (!begins || capitals > 1) && word.len() > 1 && !calendar {
                names.push(folded);
            } else if capitals == 0 {
                plain += 1;
            }
            begins = false;
        }
        begins |= token.ends_with(['.', '!', '?', ':']);
    }
    if plain * 2 < names.len() { Vec::new() } else { names }
}

/// The words of a question, each once; at most `limit`.
pub(crate) fn asked_words(languages: &[Language], text: &str, limit: usize) -> Vec<Asked> {
    let names = if languages.first() == Some(&Language::English) { names(text) } else { Vec::new() };
    let analyzers: Vec<Analyzer> = languages.iter().map(|language| Analyzer::new(*language)).collect();
    let mut words: Vec<Asked> = Vec::new();
    for word in raw_words(text) {
        if words.len() >= limit {
            break;
        }
        if STOP_WORDS.binary_search(&word.as_str()).is_ok() {
            continue;
        }
        let mut terms: Vec<String> = Vec::with_capacity(analyzers.len());
        for analyzer in &analyzers {
            let term = analyzer.stemmer.stem(&word).into_owned();
            if !terms.contains(&term) {
                terms.push(term);
            }
        }
        if !words.iter().any(|known| known.terms.first() == terms.first()) {
            words.push(Asked { is_name: names.contains(&word), folded: word, terms });
        }
    }
    words
}

/// The query's words, each with its terms in every given language, so that a word is found in pages of any of them. At most
/// `limit` words that differ in the first language.
#[must_use]
pub fn query_in(languages: &[Language], text: &str, limit: usize) -> Vec<Vec<String>> {
    asked_words(languages, text, limit).into_iter().map(|word| word.terms).collect()
}

/// Words in lower case. A run of letters and digits is a word; apostrophes inside vanish; letters of scripts written without
/// spaces are words of their own.
fn raw_words(text: &str) -> impl Iterator<Item = String> + '_ {
    let mut letters = text.chars().peekable();
    std::iter::from_fn(move || {
        let mut word = String::new();
        let mut count = 0;
        while let Some(&c) = letters.peek() {
            if c.is_alphanumeric() {
                if is_unspaced(c) {
                    if !word.is_empty() {
                        return Some(word);
                    }
                    letters.next();
                    return Some(c.to_string());
                }
                letters.next();
                count += 1;
                if count <= MAX_WORD_CHARS {
                    word.extend(c.to_lowercase());
                }
            } else if word.is_empty() {
                letters.next();
            } else if matches!(c, '\'' | '’') {
                // "don't" and "company's": what follows is a word of its own and a stop word.
                letters.next();
                return Some(word);
            } else {
                return Some(word);
            }
        }
        (!word.is_empty()).then_some(word)
    })
}

/// Scripts that are written without spaces between words: Han, kana, Thai, Lao, Khmer, Myanmar.
pub(crate) fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{2fa1f}')
}

#[cfg(test)]
mod tests {
    use super::{Analyzer, LIGHT_WORDS, LONG_LIGHT_WORDS, Language, STOP_WORDS, asked_words, names};

    #[test]
    fn stop_words_are_sorted_because_they_are_searched_by_halves() {
        assert!(STOP_WORDS.is_sorted() && LIGHT_WORDS.is_sorted() && LONG_LIGHT_WORDS.is_sorted());
    }

    #[test]
    fn words_are_folded_and_stemmed() {
        for (tag, text, expected) in [
            (
                "en",
                "The company's Opening-hours: 9am, don't run!",
                vec!["compani", "open", "hour", "9am", "don", "run"],
            ),
            ("de-AT", "Die Öffnungszeiten unserer Häuser", vec!["die", "offnungszeit", "uns", "haus"]),
            ("xx", "running", vec!["run"]),
            ("ja", "東京 tower", vec!["東", "京", "tower"]),
            ("en", "... — !", vec![]),
        ] {
            let analyzer = Analyzer::new(Language::of_tag(Some(tag)));
            assert_eq!(analyzer.query(text), expected, "{text}");
        }
    }

    #[test]
    fn names_are_told_by_their_capitals() {
        for (text, expected) in [
            ("Do you repair boilers by Viessmann?", vec!["viessmann"]),
            ("Are you open on Sunday in May? Where?", vec![]),
            ("SQL: does Postgres know WITHOUT ROWID?", vec!["sql", "postgres", "without", "rowid"]),
            ("What Are Your Hours", vec![]),
            ("I think so", vec![]),
        ] {
            let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
            assert_eq!(names(text), expected, "{text}");
        }
    }

    #[test]
    fn synonyms_are_related_by_their_stems() {
        let words = asked_words(&[Language::English], "biggest folders", 9);
        assert!(words[0].related().any(|term| term == "largest") && !words[0].related().any(|term| term == "biggest"));
        assert_eq!(words[1].related().collect::<Vec<_>>(), ["directori"]);
    }

    #[test]
    fn endless_words_are_cut() {
        let terms = Analyzer::new(Language::English).query(&"x".repeat(10_000));
        assert_eq!(terms[0].chars().count(), super::MAX_WORD_CHARS);
    }
}
