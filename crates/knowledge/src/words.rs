//! Words of a text as the keyword index sees them: lower case, without stop words, stemmed by language.

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

/// The query's words, each with its terms in every given language, so that a word is found in pages of any of them. At most
/// `limit` words that differ in the first language.
#[must_use]
pub fn query_in(languages: &[Language], text: &str, limit: usize) -> Vec<Vec<String>> {
    let analyzers: Vec<Analyzer> = languages.iter().map(|language| Analyzer::new(*language)).collect();
    let mut words: Vec<Vec<String>> = Vec::new();
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
        if !words.iter().any(|known| known.first() == terms.first()) {
            words.push(terms);
        }
    }
    words
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
    use super::{Analyzer, Language, STOP_WORDS};

    #[test]
    fn stop_words_are_sorted_because_they_are_searched_by_halves() {
        assert!(STOP_WORDS.is_sorted());
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
    fn endless_words_are_cut() {
        let terms = Analyzer::new(Language::English).query(&"x".repeat(10_000));
        assert_eq!(terms[0].chars().count(), super::MAX_WORD_CHARS);
    }
}
