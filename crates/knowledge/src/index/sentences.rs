//! Where each chunk's sentences stand, as term numbers: finds how much of a question one sentence answers, without reading the text again.

use super::bm25::Bm25;
use super::{IndexedChunk, question::Question};
use crate::words::{Analyzer, Language};

/// Begins a sentence.
const SENTENCE: u32 = u32::MAX;
/// Begins a heading, or the term that a definition explains: it speaks for the sentences below it.
const LEAD: u32 = u32::MAX - 1;
/// Begins a question that the page asks and answers below: what is asked in its words is answered there.
const ASKED: u32 = u32::MAX - 2;
/// Set in the token of a term that is itself a number; term numbers stay far below.
const NUMBER: u32 = 1 << 31;
/// Terms between a number and what it counts, at most.
const NEAR: usize = 3;
/// What it adds that a number stands beside the thing that "how many" counts.
const COUNT_PREMIUM: f32 = 0.25;
/// A term with more words than this is a sentence in bold.
const LEAD_WORDS_MAX: usize = 16;
/// What a word counts that stands only in the lead, the title or the headings, beside 1 in the sentence.
const LEAD_PART: f32 = 0.75;
/// What a word counts that stands only in the sentence before or after.
const BESIDE_PART: f32 = 0.5;
/// What two neighbours of the question add that are neighbours in the sentence too.
const PAIR_PART: f32 = 0.15;
/// Sentences with more words that are the same in two chunks are the same statement.
const SAME_WORDS_MIN: usize = 6;

/// The sentences of all chunks. Immutable.
#[derive(Debug, Default)]
pub(super) struct Sentences {
    tokens: Vec<u32>,
    /// Where each chunk's tokens begin, and the end.
    starts: Vec<u32>,
}

/// How much of a question a chunk answers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Evidence {
    /// Part of the question's weight anywhere in the chunk, 0 to 1.
    pub chunk: f32,
    /// Part of it in its best sentence and what stands directly around it, 0 to 1.
    pub sentence: f32,
    /// The same with a premium for words that stand side by side; for ranking.
    pub rank: f32,
    /// The best sentence's tokens.
    best: (u32, u32),
}

/// One sentence and what it holds of a question.
struct Read {
    begin: u32,
    end: u32,
    /// How well each word of the question stands in it.
    found: Vec<f32>,
    /// What neighbours and numbers add to its rank.
    premium: f32,
    /// How well each word stands in the heading or term above it.
    lead: Vec<f32>,
}

/// How well each word of a question stands among these terms, and what their places add.
fn held(terms: &[u32], question: &Question) -> (Vec<f32>, f32) {
    let mut found = vec![0.0_f32; question.words()];
    let (mut pairs, mut counted) = (0_u64, false);
    let mut last: Option<(usize, usize)> = None;
    for (place, term) in terms.iter().enumerate() {
        for (word, likeness) in question.matching(term & !NUMBER) {
            counted |= question.counted() == Some(word)
                && terms[place.saturating_sub(NEAR)..place].iter().any(|term| term & NUMBER != 0);
            found[word] = found[word].max(likeness);
            if last.is_some_and(|(before, at)| before + 1 == word && at + 1 == place) {
                pairs |= 1 << word;
            }
            last = Some((word, place));
        }
    }
    let paired: f32 = (1..question.words())
        .filter(|word| pairs >> word & 1 == 1)
        .map(|word| question.weight(word - 1).min(question.weight(word)))
        .sum();
    (found, PAIR_PART * paired / question.total() + if counted { COUNT_PREMIUM } else { 0.0 })
}

fn is_number(term: &str) -> bool {
    const WORDS: [&str; 12] =
        ["billion", "eight", "five", "four", "hundr", "million", "nine", "six", "ten", "thousand", "three", "trillion"];
    term.chars().all(|c| c.is_ascii_digit()) || WORDS.binary_search(&term).is_ok()
}

impl Sentences {
    pub(super) fn build(chunks: &[IndexedChunk], words: &Bm25) -> Self {
        let mut analyzers: Vec<(Language, Analyzer)> = Vec::new();
        let mut out = Sentences::default();
        for chunk in chunks {
            out.starts.push(out.tokens.len() as u32);
            let known = analyzers.iter().position(|(language, _)| *language == chunk.language);
            let at = known.unwrap_or_else(|| {
                analyzers.push((chunk.language, Analyzer::new(chunk.language)));
                analyzers.len() - 1
            });
            let analyzer = &analyzers[at].1;
            let mut push = |mark: u32, text: &str| {
                out.tokens.push(mark);
                analyzer.terms(text, |term| {
                    let flag = if is_number(term) { NUMBER } else { 0 };
                    out.tokens.extend(words.number(term).map(|number| number | flag));
                });
            };
            for sentence in crate::snippet::marked_sentences(&chunk.text) {
                let lead = sentence.is_lead && sentence.text.split_whitespace().count() <= LEAD_WORDS_MAX;
                let mark = match (lead, sentence.text.ends_with('?')) {
                    (true, true) => ASKED,
                    (true, false) => LEAD,
                    (false, _) => SENTENCE,
                };
                push(mark, &sentence.text);
            }
        }
        out.starts.push(out.tokens.len() as u32);
        out
    }

    pub(super) fn bytes_used(&self) -> usize {
        (self.tokens.len() + self.starts.len()) * size_of::<u32>()
    }

    /// How much of a question a chunk answers; `around` says how well each of its words stands in the chunk's title and headings.
    pub(super) fn evidence(&self, chunk: usize, around: &[f32], question: &Question) -> Evidence {
        let (Some(start), Some(end)) = (self.starts.get(chunk), self.starts.get(chunk + 1)) else {
            return Evidence::default();
        };
        let total = question.total();
        if total <= 0.0 {
            return Evidence::default();
        }
        let read = self.read(*start..*end, question);
        let share = |found: &dyn Fn(usize) -> f32| {
            (0..question.words()).map(|word| question.weight(word) * found(word)).sum::<f32>() / total
        };
        let anywhere =
            |word: usize| read.iter().map(|read| read.found[word].max(read.lead[word])).fold(around[word], f32::max);
        let mut evidence = Evidence { chunk: share(&anywhere), ..Evidence::default() };
        for (index, sentence) in read.iter().enumerate() {
            let before = index.checked_sub(1).and_then(|before| read.get(before));
            let after = read.get(index + 1);
            let window = share(&|word| {
                let beside = [before, after].into_iter().flatten().map(|beside| beside.found[word]).fold(0.0, f32::max);
                sentence.found[word].max(sentence.lead[word]).max(LEAD_PART * around[word]).max(BESIDE_PART * beside)
            });
            let rank = window + sentence.premium;
            if rank > evidence.rank {
                evidence = Evidence { sentence: window, rank, best: (sentence.begin, sentence.end), ..evidence };
            }
        }
        evidence
    }

    /// What each sentence of a chunk holds of a question.
    fn read(&self, range: std::ops::Range<u32>, question: &Question) -> Vec<Read> {
        let tokens = &self.tokens[range.start as usize..range.end as usize];
        let mut read = Vec::new();
        let mut lead = vec![0.0_f32; question.words()];
        let mut lead_premium = 0.0;
        let mut after_lead = false;
        let mut at = 0;
        while let Some(mark) = tokens.get(at).copied() {
            let begin = at + 1;
            at = begin + tokens[begin..].iter().take_while(|token| **token < ASKED).count();
            let (found, premium) = held(&tokens[begin..at], question);
            if mark == SENTENCE {
                after_lead = false;
                read.push(Read {
                    begin: range.start + begin as u32,
                    end: range.start + at as u32,
                    found,
                    premium: premium.max(lead_premium),
                    lead: lead.clone(),
                });
                continue;
            }
            let part = if mark == ASKED { 1.0 } else { LEAD_PART };
            if !after_lead {
                lead.fill(0.0);
                lead_premium = 0.0;
            }
            // Terms one below the other share their explanation.
            lead.iter_mut().zip(&found).for_each(|(all, here)| *all = all.max(part * here));
            if mark == ASKED {
                lead_premium = premium;
            }
            after_lead = true;
        }
        read
    }

    /// Whether two chunks' best sentences are the same words.
    pub(super) fn says_the_same(&self, a: &Evidence, b: &Evidence) -> bool {
        let words = |evidence: &Evidence| &self.tokens[evidence.best.0 as usize..evidence.best.1 as usize];
        words(a).len() >= SAME_WORDS_MIN && words(a) == words(b)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bm25, Evidence, IndexedChunk, Question, Sentences};
    use crate::words::Language;

    fn evidence(texts: &[&str], question: &str) -> (Sentences, Vec<Evidence>) {
        let chunk = |text: &&str| IndexedChunk {
            id: String::new(),
            text: (*text).to_owned(),
            title: String::new(),
            section: String::new(),
            source_url: String::new(),
            language: Language::English,
        };
        let chunks: Vec<IndexedChunk> = texts.iter().map(chunk).collect();
        let words = Bm25::build(texts.iter().map(|text| (*text, Language::English)));
        let sentences = Sentences::build(&chunks, &words);
        let question = Question::new(&words, question);
        let around = vec![0.0; question.words()];
        let found = (0..texts.len()).map(|chunk| sentences.evidence(chunk, &around, &question)).collect();
        (sentences, found)
    }

    #[test]
    fn words_in_one_sentence_prove_more_than_words_far_apart() {
        let apart = "Boilers are ours. Vans are blue. Vans are red. We repair pipes.";
        let (_, found) = evidence(&["We repair boilers.", apart], "Do you repair boilers?");
        assert!((found[0].sentence - 1.0).abs() < 1e-6 && (found[1].chunk - 1.0).abs() < 1e-6);
        assert!(found[1].sentence < 0.6, "{:?}", found[1]);
    }

    #[test]
    fn a_term_speaks_for_its_definition_until_the_next_one() {
        let text = "**--timeout**\n\n**--init-timeout**\n\nSeconds to wait.\n\n**--colour**\n\nHow it looks.";
        let (_, found) = evidence(&[text, "Something else."], "seconds of the timeout");
        assert!(found[0].sentence > 0.8, "{:?}", found[0]);
        let (_, found) = evidence(&[text, "Something else."], "timeout colour");
        assert!(found[0].sentence < 0.6, "the timeout is not above that sentence: {:?}", found[0]);
    }

    #[test]
    fn what_the_page_asks_itself_is_answered_below() {
        let texts = ["**How do I reset the clock?**\n\nHold the knob.", "**The clock, a reset**\n\nHold the knob."];
        let (_, found) = evidence(&texts, "How do I reset the clock?");
        assert!(found[0].rank > found[1].rank && (found[0].sentence - 1.0).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn order_and_numbers_beside_what_is_counted_decide_between_equals() {
        let (_, found) = evidence(&["red garden tools", "tools, garden red"], "red garden tools");
        assert!(found[0].rank > found[1].rank);
        let (_, found) =
            evidence(&["It joins 64 tables.", "It joins tables in 64 ways."], "How many tables are joined?");
        assert!(found[0].rank > found[1].rank);
    }

    #[test]
    fn the_same_statement_is_known_in_two_chunks() {
        let texts = [
            "Our engineers repair leaking copper pipes every single Monday. Call us.",
            "Our engineers repair leaking copper pipes every single Monday.",
            "We repair leaking pipes.",
        ];
        let (sentences, found) = evidence(&texts, "Who repairs leaking pipes?");
        assert!(sentences.says_the_same(&found[0], &found[1]));
        assert!(!sentences.says_the_same(&found[0], &found[2]));
        assert!(!sentences.says_the_same(&found[2], &found[2]), "too short to tell");
    }

    #[test]
    fn nothing_is_found_where_nothing_is_asked() {
        assert_eq!(evidence(&["We repair pipes."], "the of and").1, [Evidence::default()]);
        let (sentences, _) = evidence(&[], "pipes");
        let words = Bm25::default();
        assert_eq!(sentences.evidence(3, &[], &Question::new(&words, "pipes")), Evidence::default());
    }
}
