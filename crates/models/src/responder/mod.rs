//! The built-in responder: answers from retrieved text alone, without a language model and without a key.
//!
//! It says only sentences that stand in the knowledge, in their order, and names where they stand. It is a function of its
//! input: the same question and passages give the same answer.

mod business;
mod hints;
mod plain;
mod score;
mod words;

use std::collections::BTreeSet;

use colloquy_domain::conversation::retrieved::{FaqHit, KnowledgeAnswer, Passage, Retrieved};

pub use self::business::AboutBusiness;
use self::{
    hints::Wanted,
    plain::Kind,
    score::{Candidate, Question},
    words::Words,
};
use crate::chat::Delta;

/// Longer questions are cut: a visitor's message may have thousands of characters, a question does not.
const QUESTION_CHARS_MAX: usize = 1_000;
/// Passages that are looked at; retrieval gives the best five (CHAT-5).
const PASSAGES_MAX: usize = 8;
/// Statements of one answer: more is reading, not answering.
const STATEMENTS_MAX: usize = 3;
/// List items of one answer.
const ITEMS_MAX: usize = 6;
/// A further statement must be nearly as good as the best one.
const FURTHER_SCORE_PART: f64 = 0.75;
/// Less is asked of a sentence that goes on about the one just chosen: "She speaks French."
const FOLLOWING_SCORE_PART: f64 = 0.5;
/// How the name of a prepared answer among the passages begins.
const PREPARED: &str = "faq:";
/// Part of the question's weight that the answer must cover when the search is just sure enough …
const COVERAGE_AT_GATE: f64 = 0.45;
/// … and when it is entirely sure: then the words may differ.
const COVERAGE_WHEN_SURE: f64 = 0.25;
/// A price must be that of the thing that was asked for: half of the subject's weight at least, however sure the search is.
const COVERAGE_FOR_PRICE: f64 = 0.5;

/// Things whose prices one question asks for; a longer list is another kind of question.
const THINGS_MAX: usize = 3;
/// Part of a thing's words that a chosen sentence must hold to be its price already.
const NAMED_PART: f64 = 0.9;

/// When and how much the responder says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Below this confidence of the search nothing is said from passages.
    pub min_confidence: f64,
    /// From this score on a prepared answer is given (CHAT-5: 0.8).
    pub faq_threshold: f64,
    /// The longest answer in characters, a little more when one sentence is longer.
    pub answer_chars_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { min_confidence: 0.5, faq_threshold: 0.8, answer_chars_max: 600 }
    }
}

/// Answers from retrieved text. Cheap to share.
pub struct Responder {
    options: Options,
    words: Words,
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Responder").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Default for Responder {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

impl Responder {
    /// What answers here, in one sentence.
    pub const DESCRIPTION: &'static str = "Built-in responder: answers from your own content only, no language model";

    /// A responder with these thresholds.
    pub fn new(options: Options) -> Self {
        Self { options, words: Words::new() }
    }

    /// What answers here, in one sentence.
    pub fn describe(&self) -> &'static str {
        Self::DESCRIPTION
    }

    /// The answer that the retrieved text gives; `None` when it gives none: then the fallback message is due.
    ///
    /// A question for a price is answered only with a sentence that names an amount for what was asked.
    pub fn answer(&self, question: &str, retrieved: &Retrieved) -> Option<KnowledgeAnswer> {
        if let Some(hit) = self.best_faq(retrieved) {
            let own = if hit.is_template && is_said_by_sites(&hit.question) {
                self.said_by_site(question, &hit.question, retrieved)
            } else {
                None
            };
            return own.or_else(|| {
                Some(KnowledgeAnswer {
                    text: shorten(&plain::text_of(&hit.answer), self.options.answer_chars_max),
                    sources: vec![hit.source()],
                    confidence: retrieved.confidence.max(hit.score).clamp(0.0, 1.0),
                })
            });
        }
        if !retrieved.confidence.is_finite() || retrieved.confidence < self.options.min_confidence {
            return None;
        }
        let passages = &retrieved.passages[..retrieved.passages.len().min(PASSAGES_MAX)];
        self.said_by_passages(question, passages, retrieved.confidence)
    }

    /// What the business's own pages say of its hours, areas and nights, before what its trade's template says; only where they surely do.
    fn said_by_site(&self, question: &str, prepared: &str, retrieved: &Retrieved) -> Option<KnowledgeAnswer> {
        let own = retrieved.passages.iter().filter(|passage| !passage.chunk_id.starts_with(PREPARED));
        let own: Vec<Passage> = own.take(PASSAGES_MAX).cloned().collect();
        let said = self.said_by_passages(question, &own, self.options.min_confidence)?;
        // Many sentences have hours in them; those that a business is open at have a day or a time of day.
        let tells =
            !is_about_hours(prepared) || hints::fit(&said.text, &self.words.all(&said.text), Wanted::Time, None) >= 1.0;
        tells.then_some(said)
    }

    /// The answer that passages give when the search is this sure.
    fn said_by_passages(&self, question: &str, passages: &[Passage], confidence: f64) -> Option<KnowledgeAnswer> {
        let cut = question.char_indices().nth(QUESTION_CHARS_MAX).map_or(question, |(at, _)| &question[..at]);
        let question = Question::new(&self.words, cut);
        let candidates = score::candidates(&self.words, &question, passages);
        let whole = self.choose(&question, &candidates, confidence);
        let chosen = match question.wanted {
            Wanted::Price => self.with_each_price(cut, whole, passages, confidence),
            Wanted::Time
            | Wanted::Duration
            | Wanted::Place
            | Wanted::Person
            | Wanted::Number
            | Wanted::Contact
            | Wanted::Statement => whole,
        }?;

        let used: BTreeSet<usize> = chosen.iter().map(|index| candidates[*index].passage).collect();
        let text = plain::join(chosen.iter().map(|index| &candidates[*index].part));
        Some(KnowledgeAnswer {
            text: shorten(&text, self.options.answer_chars_max),
            sources: used.into_iter().map(|passage| passages[passage].source()).collect(),
            confidence: confidence.clamp(0.0, 1.0),
        })
    }

    /// What a question asks of the business itself, unless its owner prepared an answer to this very question.
    pub fn asked_of_the_business(&self, question: &str, retrieved: &Retrieved) -> Option<AboutBusiness> {
        let prepared = retrieved.faqs.iter().any(|hit| !hit.is_template && hit.score >= self.options.faq_threshold);
        if prepared { None } else { business::asked(&self.words, question) }
    }

    fn best_faq<'a>(&self, retrieved: &'a Retrieved) -> Option<&'a FaqHit> {
        let good = retrieved
            .faqs
            .iter()
            .filter(|hit| hit.score >= self.options.faq_threshold && !hit.answer.trim().is_empty());
        // The first of equals, so that the order of retrieval decides.
        good.reduce(|best, hit| if hit.score > best.score { hit } else { best })
    }

    /// The candidates to say, by index, in the order of the text.
    fn choose(&self, question: &Question, candidates: &[Candidate], confidence: f64) -> Option<Vec<usize>> {
        let required = self.required_coverage(question, confidence);
        let eligible = |candidate: &Candidate| {
            if question.is_about_the_business() {
                return candidate.fit >= 1.0;
            }
            // A price stands in the same sentence or row as the thing it is for, or names no other thing.
            let right_price = question.wanted != Wanted::Price
                || (candidate.fit >= 1.0 && (candidate.direct > 0.0 || candidate.is_bare_price));
            candidate.names_subject && candidate.coverage >= required && right_price
        };
        let mut ranked: Vec<usize> = (0..candidates.len()).filter(|index| eligible(&candidates[*index])).collect();
        ranked.sort_by(|a, b| candidates[*b].score.total_cmp(&candidates[*a].score).then(a.cmp(b)));
        let best = *ranked.first()?;

        let mut chosen = BTreeSet::new();
        let mut length = 0;
        let mut statements = 0;
        for index in ranked {
            let candidate = &candidates[index];
            if index != best {
                let follows = index == best + 1
                    && candidate.leans_on_previous()
                    && candidate.is_beside(&candidates[best])
                    && candidate.direct > 0.0;
                let part = if follows { FOLLOWING_SCORE_PART } else { FURTHER_SCORE_PART };
                let good = candidate.score >= part * candidates[best].score;
                let fresh = !chosen.iter().any(|other: &usize| candidates[*other].says_the_same(candidate));
                // Beside an answer of the sort that was asked for, a sentence of another sort only dilutes it.
                let same_sort = candidate.fit >= candidates[best].fit;
                // The opening hours stand in one place; times elsewhere are about something else.
                let same_place = !question.is_about_the_business() || candidate.is_beside(&candidates[best]);
                if !(good && fresh && same_sort && same_place) || chosen.contains(&index) {
                    continue;
                }
            }
            let mut group = with_context(question, candidates, index);
            if index == best {
                let beside = neighbour_that_fits(question, candidates, best);
                group.extend(beside.into_iter().flat_map(|beside| with_context(question, candidates, beside)));
            }
            let added: usize = group
                .iter()
                .filter(|index| !chosen.contains(*index))
                .map(|index| candidates[*index].part.text.chars().count() + 2)
                .sum();
            if index != best && length + added > self.options.answer_chars_max {
                continue;
            }
            length += added;
            statements += 1;
            chosen.extend(group);
            if statements >= STATEMENTS_MAX {
                break;
            }
        }
        Some(chosen.into_iter().collect())
    }

    /// What was chosen for a question about money, with the price of each further thing it names: "What do a drain cleaning and a camera
    /// inspection cost?" Where the whole question chose nothing, every one of the things must have its price.
    fn with_each_price(
        &self,
        question: &str,
        whole: Option<Vec<usize>>,
        passages: &[Passage],
        confidence: f64,
    ) -> Option<Vec<usize>> {
        let things = things_priced(question);
        if !(2..=THINGS_MAX).contains(&things.len()) {
            return whole;
        }
        let mut all: BTreeSet<usize> = whole.iter().flatten().copied().collect();
        for thing in things {
            let asked = Question::new(&self.words, &format!("price of {thing}"));
            if !asked.has_subject() {
                return whole;
            }
            // The same parts in the same order, so that an index means the same in each of them.
            let candidates = score::candidates(&self.words, &asked, passages);
            let named = |index: &usize| {
                candidates.get(*index).is_some_and(|candidate| candidate.direct >= NAMED_PART && candidate.fit >= 1.0)
            };
            if all.iter().any(named) {
                continue;
            }
            match self.choose(&asked, &candidates, confidence) {
                Some(found) => all.extend(found),
                None if whole.is_none() => return None,
                None => {}
            }
        }
        Some(all.into_iter().collect())
    }

    fn required_coverage(&self, question: &Question, confidence: f64) -> f64 {
        let span = (1.0 - self.options.min_confidence).max(f64::EPSILON);
        let sure = ((confidence - self.options.min_confidence) / span).clamp(0.0, 1.0);
        let required = COVERAGE_AT_GATE + (COVERAGE_WHEN_SURE - COVERAGE_AT_GATE) * sure;
        match question.wanted {
            Wanted::Price => required.max(COVERAGE_FOR_PRICE),
            Wanted::Time
            | Wanted::Duration
            | Wanted::Place
            | Wanted::Person
            | Wanted::Number
            | Wanted::Contact
            | Wanted::Statement => required,
        }
    }
}

/// An answer in the pieces in which it is shown: words with the blanks behind them.
pub fn deltas(text: &str) -> impl Iterator<Item = Delta> + '_ {
    text.split_inclusive(char::is_whitespace).map(|piece| Delta { attempt: 0, text: piece.to_owned() })
}

/// A candidate with what it needs to be understood: the sentence its pronoun means, the list its colon promises.
fn with_context(question: &Question, candidates: &[Candidate], index: usize) -> Vec<usize> {
    let candidate = &candidates[index];
    let same_passage = |other: usize| candidates.get(other).is_some_and(|other| other.passage == candidate.passage);
    let mut group = vec![index];
    match candidate.part.kind {
        Kind::Sentence => {
            if candidate.leans_on_previous() {
                group.extend(before(candidates, index));
            }
            if candidate.part.text.ends_with(':') {
                let items = (index + 1..candidates.len())
                    .take_while(|next| same_passage(*next) && candidates[*next].part.kind == Kind::Item);
                group.extend(items.take(ITEMS_MAX));
            }
        }
        Kind::Item => {
            let block: Vec<usize> = (0..candidates.len())
                .filter(|other| {
                    same_passage(*other)
                        && candidates[*other].part.block == candidate.part.block
                        && candidates[*other].part.kind == Kind::Item
                })
                .collect();
            let lead_in = block.first().and_then(|first| first.checked_sub(1)).filter(|lead_in| {
                same_passage(*lead_in)
                    && candidates[*lead_in].part.kind == Kind::Sentence
                    && candidates[*lead_in].part.text.ends_with(':')
            });
            // The whole list is the answer when the question is about what it lists, or all opening hours when times are asked for.
            // With a price of something else beside it, a price would be misread.
            let whole = question.is_about_the_business()
                || question.wanted != Wanted::Price
                    && lead_in.is_some_and(|lead_in| candidates[lead_in].direct >= candidate.direct);
            if whole {
                group.extend(block.into_iter().filter(|other| *other != index).take(ITEMS_MAX));
                group.extend(lead_in);
            }
        }
    }
    group
}

/// The sentence before in the same paragraph.
fn before(candidates: &[Candidate], index: usize) -> Option<usize> {
    let previous = index.checked_sub(1)?;
    candidates[previous].is_beside(&candidates[index]).then_some(previous)
}

/// Whether a prepared question is about what a business's own pages say: its hours, its areas, where it is, whether it comes at night.
fn is_said_by_sites(question: &str) -> bool {
    const ABOUT: [&str; 15] = [
        "contact",
        "hours",
        "open",
        "close",
        "weekend",
        "weekends",
        "area",
        "areas",
        "serve",
        "24/7",
        "24",
        "emergency",
        "located",
        "office",
        "reach",
    ];
    let question = question.to_lowercase();
    let words = question.split(|c: char| !c.is_alphanumeric() && c != '/').filter(|word| !word.is_empty());
    words.into_iter().any(|word| ABOUT.contains(&word))
}

/// Whether a prepared question is about opening hours.
fn is_about_hours(question: &str) -> bool {
    let question = question.to_lowercase();
    let mut words = question.split(|c: char| !c.is_alphanumeric());
    words.any(|word| matches!(word, "hours" | "open" | "close" | "weekend" | "weekends"))
}

/// When the best sentence names the thing but not the time, place or person that was asked for, the sentence beside it may.
fn neighbour_that_fits(question: &Question, candidates: &[Candidate], best: usize) -> Option<usize> {
    if matches!(question.wanted, Wanted::Statement | Wanted::Price) || candidates[best].fit > 0.0 {
        return None;
    }
    let beside = [best.checked_sub(1), Some(best + 1)];
    beside.into_iter().flatten().find(|index| {
        candidates.get(*index).is_some_and(|other| {
            other.passage == candidates[best].passage
                && other.part.block == candidates[best].part.block
                && other.fit > 0.0
        })
    })
}

/// The things that a question for prices names, as the words between "and", "or" and commas.
fn things_priced(question: &str) -> Vec<String> {
    let mut things = vec![String::new()];
    for word in question.split_whitespace() {
        let joins = matches!(word.to_lowercase().as_str(), "and" | "or" | "plus" | "&");
        let (own, ends) = match word.strip_suffix(',') {
            Some(own) => (own, true),
            None => (word, joins),
        };
        if !joins && let Some(thing) = things.last_mut() {
            thing.push_str(own);
            thing.push(' ');
        }
        if ends {
            things.push(String::new());
        }
    }
    things.retain(|thing| !thing.is_empty());
    things
}

/// Cuts after a sentence or an item, else after a word.
fn shorten(text: &str, chars_max: usize) -> String {
    let Some((limit, _)) = text.char_indices().nth(chars_max) else {
        return text.to_owned();
    };
    let head = &text[..limit];
    if let Some((kept, _)) = head.rsplit_once('\n').filter(|(kept, _)| kept.chars().count() * 2 > chars_max) {
        return kept.trim_end().to_owned();
    }
    let mut end = 0;
    for sentence in plain::sentences(head) {
        let start = sentence.as_ptr() as usize - head.as_ptr() as usize;
        if start + sentence.len() < head.len() && sentence.ends_with(['.', '!', '?', '。', '”', '"']) {
            end = start + sentence.len();
        }
    }
    if end * 2 > head.len() {
        return head[..end].to_owned();
    }
    let word = head.rfind(char::is_whitespace).unwrap_or(head.len());
    format!("{}…", head[..word].trim_end_matches([',', ';', ' ']))
}
