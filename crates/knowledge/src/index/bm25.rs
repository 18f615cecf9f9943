//! A keyword index: BM25 over stemmed terms (Robertson and Zaragoza 2009), weights computed when it is built.

use std::collections::HashMap;

use crate::words::{Analyzer, Language, query_in};

/// How soon repeating a word stops counting; the usual value.
const K1: f32 = 1.2;
/// How much long texts are held back; the usual value.
const B: f32 = 0.75;
/// Words of a query that are looked up: as many as one machine word has bits, and more than a question has.
const MAX_QUERY_WORDS: usize = 64;
/// Languages of one index that a query is read in, the most frequent ones.
const MAX_LANGUAGES: usize = 3;

#[derive(Clone, Copy, Debug)]
struct Posting {
    document: u32,
    /// The whole BM25 term weight, inverse document frequency included.
    weight: f32,
}

/// The keyword index of one set of texts. Immutable.
#[derive(Debug, Default)]
pub(super) struct Bm25 {
    /// Term → where its postings begin and end.
    terms: HashMap<Box<str>, (u32, u32)>,
    postings: Vec<Posting>,
    documents: usize,
    languages: Vec<Language>,
}

/// What a query found.
#[derive(Debug, Default)]
pub(super) struct Scored {
    /// BM25 by document.
    pub scores: Vec<f32>,
    /// By document, which of the query's words it holds.
    found: Vec<u64>,
    /// Inverse document frequency by word.
    weights: Vec<f32>,
    total: f32,
}

impl Scored {
    /// The share of the query's words that a document holds, weighed by rarity; 0 for a query without words.
    pub(super) fn coverage(&self, document: usize) -> f32 {
        if self.total <= 0.0 {
            return 0.0;
        }
        let found = self.found.get(document).copied().unwrap_or(0);
        let weight: f32 =
            self.weights.iter().enumerate().filter(|(at, _)| found >> at & 1 == 1).map(|(_, weight)| weight).sum();
        weight / self.total
    }
}

impl Bm25 {
    pub(super) fn build<'a>(texts: impl Iterator<Item = (&'a str, Language)>) -> Self {
        let mut analyzers: HashMap<Language, (Analyzer, usize)> = HashMap::new();
        let mut counts: HashMap<Box<str>, Vec<(u32, u32)>> = HashMap::new();
        let mut lengths: Vec<u32> = Vec::new();
        for (document, (text, language)) in texts.enumerate() {
            let (analyzer, texts) = analyzers.entry(language).or_insert_with(|| (Analyzer::new(language), 0));
            *texts += 1;
            let document = u32::try_from(document).unwrap_or(u32::MAX);
            let mut length = 0_u32;
            analyzer.terms(text, |term| {
                length += 1;
                match counts.get_mut(term) {
                    Some(list) => match list.last_mut() {
                        Some((last, count)) if *last == document => *count += 1,
                        _ => list.push((document, 1)),
                    },
                    None => {
                        counts.insert(term.into(), vec![(document, 1)]);
                    }
                }
            });
            lengths.push(length);
        }
        let documents = lengths.len();
        let mean =
            (lengths.iter().map(|length| f64::from(*length)).sum::<f64>() / documents.max(1) as f64).max(1.0) as f32;
        let mut postings = Vec::with_capacity(counts.values().map(Vec::len).sum());
        let mut terms = HashMap::with_capacity(counts.len());
        for (term, list) in counts {
            let start = postings.len() as u32;
            let rarity = idf(documents, list.len());
            postings.extend(list.into_iter().map(|(document, count)| {
                let (count, length) = (count as f32, lengths[document as usize] as f32);
                Posting { document, weight: rarity * count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length / mean)) }
            }));
            terms.insert(term, (start, postings.len() as u32));
        }
        let mut languages: Vec<(Language, usize)> =
            analyzers.into_iter().map(|(language, (_, texts))| (language, texts)).collect();
        languages.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        Bm25 {
            terms,
            postings,
            documents,
            languages: languages.into_iter().take(MAX_LANGUAGES).map(|(language, _)| language).collect(),
        }
    }

    pub(super) fn search(&self, query: &str) -> Scored {
        let mut scored =
            Scored { scores: vec![0.0; self.documents], found: vec![0; self.documents], ..Scored::default() };
        for (bit, word) in query_in(&self.languages, query, MAX_QUERY_WORDS).iter().enumerate() {
            let mut most = 0;
            for term in word {
                let postings = self.of(term);
                most = most.max(postings.len());
                for posting in postings {
                    let document = posting.document as usize;
                    // A word counts once, in the language that finds it first.
                    if scored.found[document] >> bit & 1 == 0 {
                        scored.found[document] |= 1 << bit;
                        scored.scores[document] += posting.weight;
                    }
                }
            }
            let weight = idf(self.documents, most);
            scored.weights.push(weight);
            scored.total += weight;
        }
        scored
    }

    /// A number of its own for each stemmed term that stands here.
    pub(super) fn number(&self, term: &str) -> Option<u32> {
        self.terms.get(term).map(|(start, _)| *start)
    }

    /// The languages a query is read in.
    pub(super) fn languages(&self) -> &[Language] {
        &self.languages
    }

    /// How rare a stemmed term is here.
    pub(super) fn rarity(&self, term: &str) -> f32 {
        idf(self.documents, self.of(term).len())
    }

    pub(super) fn bytes_used(&self) -> usize {
        /// A hash table's entry with its allocation, roughly.
        const TERM_BYTES: usize = 56;
        self.postings.len() * size_of::<Posting>()
            + self.terms.keys().map(|term| term.len() + TERM_BYTES).sum::<usize>()
    }

    fn of(&self, term: &str) -> &[Posting] {
        self.terms.get(term).map_or(&[], |(start, end)| &self.postings[*start as usize..*end as usize])
    }
}

/// Inverse document frequency in the form that is never negative.
fn idf(documents: usize, with_term: usize) -> f32 {
    let (all, some) = (documents as f32, with_term as f32);
    (1.0 + (all - some + 0.5) / (some + 0.5)).ln()
}

#[cfg(test)]
mod tests {
    use super::Bm25;
    use crate::words::Language;

    fn index(texts: &[&str]) -> Bm25 {
        Bm25::build(texts.iter().map(|text| (*text, Language::English)))
    }

    #[test]
    fn weights_are_those_of_the_formula() {
        let index = index(&["pipe pipe boiler", "pipe", "garden tools"]);
        let scored = index.search("pipes");
        // idf = ln(1 + (3 - 2 + 0.5) / 2.5) = 0.470; mean length 2; tf parts 2·2.2/(2 + 1.2·1.375) and 2.2/(1 + 1.2·0.625).
        assert!((scored.scores[0] - 0.5666).abs() < 1e-3, "{}", scored.scores[0]);
        assert!((scored.scores[1] - 0.5909).abs() < 1e-3, "{}", scored.scores[1]);
        assert_eq!(scored.scores[2], 0.0);
    }

    #[test]
    fn rare_words_rank_and_coverage_counts_words_once() {
        let index = index(&["opening hours monday", "opening opening opening", "parking"]);
        let scored = index.search("What are the opening hours, the HOURS?");
        assert!(scored.scores[0] > scored.scores[1]);
        assert!((scored.coverage(0) - 1.0).abs() < 1e-6);
        assert!(scored.coverage(1) > 0.0 && scored.coverage(1) < 0.5);
        assert_eq!(scored.coverage(2), 0.0);
        let unknown = index.search("unicorn opening");
        assert!(unknown.coverage(0) < 0.5, "a word that no text holds lowers coverage");
        assert_eq!(index.search("the of and").coverage(0), 0.0, "a query of stop words covers nothing");
    }

    #[test]
    fn pages_of_two_languages_are_found_in_both() {
        let texts = [("Unsere Häuser sind offen", Language::German), ("our houses are open", Language::English)];
        let index = Bm25::build(texts.into_iter());
        assert!(index.search("Haus").scores[0] > 0.0);
        assert!(index.search("house").scores[1] > 0.0);
    }

    #[test]
    fn an_empty_index_finds_nothing() {
        assert!(index(&[]).search("anything").scores.is_empty());
    }
}
