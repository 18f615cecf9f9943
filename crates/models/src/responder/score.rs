//! How well each sentence of the retrieved passages answers a question.

use colloquy_domain::conversation::retrieved::Passage;

use super::{
    hints::{self, Wanted},
    plain::{self, Kind, Part},
    words::{self, Word, Words},
};

/// Words of a question that count; a longer one is a story with a question in it.
const TERMS_MAX: usize = 24;
/// What a word found only in the heading or the title counts, beside 1 in the sentence itself.
const HEADING_PART: f64 = 0.6;
/// What a word found only in the sentence before counts.
const PREVIOUS_PART: f64 = 0.4;
/// What a word that stands nowhere in the passages weighs, beside a word that stands there once: it may be a synonym of one that does.
const ABSENT_PART: f64 = 0.9;
/// What a word weighs that only says what sort of answer is wanted, or that stands in questions about anything.
const GENERIC_PART: f64 = 0.5;
/// How much of a sentence's rank comes from its own words; the rest also counts its heading and the sentence before.
const DIRECT_PART: f64 = 0.6;
/// How much the search's own opinion of the passage counts beside the words of the sentence.
const PASSAGE_WEIGHT: f64 = 0.3;
/// How much it counts that a sentence holds what was asked for: a time, a place, an amount.
const FIT_WEIGHT: f64 = 0.3;
/// How much it counts to be the first sentence of a passage, where pages say what they are about.
const FIRST_WEIGHT: f64 = 0.05;
/// How much it counts that a sentence says what to do when that is asked.
const INSTRUCTS_WEIGHT: f64 = 0.15;
/// How much it counts that a sentence begins with a condition when the question does.
const CONDITION_WEIGHT: f64 = 0.3;
/// What a sentence loses that is not about a thing the question calls by its name.
const NAME_MISSING: f64 = 0.25;
/// How much it counts that words that stand side by side in the question do so in the sentence.
const PAIR_WEIGHT: f64 = 0.2;
/// A word of the subject weighs at least this part of the rarest one: retrieval brings passages full of it, but one without it is about another thing.
const WEIGHT_FLOOR: f64 = 0.4;
/// A sentence longer than this loses: it says more than was asked.
const LONG_CHARS: usize = 320;
/// What it loses when it is just too long; three times as much when it is three times as long.
const LONG_FAULT: f64 = 0.25;
/// Two sentences that share this part of their words say the same.
const SAME_PART: f64 = 0.7;

/// What is asked.
pub(super) struct Question {
    pub(super) wanted: Wanted,
    /// What it is about, each word once.
    terms: Vec<Term>,
    /// The stem of what "how many" counts.
    counted: Option<String>,
    /// Whether it asks how something is done.
    is_how_to: bool,
    /// Whether it asks what follows from a condition.
    is_conditional: bool,
}

struct Term {
    word: Word,
    /// Whether it names the subject rather than the sort of answer.
    is_subject: bool,
    /// Whether it is written as names and identifiers are.
    is_name: bool,
}

impl Question {
    pub(super) fn new(words: &Words, question: &str) -> Self {
        let all = words.all(question);
        let wanted = hints::wanted(&all);
        let counted = all.windows(3).find(|three| three[0].folded == "how" && three[1].folded == "many");
        let counted = counted.map(|three| three[2].stem.clone());
        let is_how_to = all.windows(2).any(|pair| {
            pair[0].folded == "how"
                && matches!(pair[1].folded.as_str(), "do" | "can" | "to" | "should" | "does" | "could")
        });
        let is_conditional = all.first().is_some_and(|word| matches!(word.folded.as_str(), "if" | "when"));
        let names = names(question);
        let mut terms: Vec<Term> = Vec::new();
        for word in all {
            let sort = hints::is_sort_word(&word, wanted) || (wanted == Wanted::Price && hints::is_price_word(&word));
            let known = terms.iter().any(|term| term.word.stem == word.stem);
            if !known && !words::is_stop_word(&word.folded) && terms.len() < TERMS_MAX {
                let is_subject = !sort && !words::is_generic(&word.folded);
                let is_name = is_subject && names.contains(&word.folded);
                terms.push(Term { word, is_subject, is_name });
            }
        }
        if wanted == Wanted::Price && terms.iter().any(|term| term.is_subject) {
            // Every sentence about money holds such words; which money is meant, the subject alone says.
            terms.retain(|term| term.is_subject);
        }
        Self { wanted, terms, counted, is_how_to, is_conditional }
    }

    /// Whether it names a thing, beyond asking for a price or a time as such.
    pub(super) fn has_subject(&self) -> bool {
        self.terms.iter().any(|term| term.is_subject)
    }

    /// Whether it can be answered without a subject: "What are your hours?" is about the business itself.
    pub(super) fn is_about_the_business(&self) -> bool {
        match self.wanted {
            Wanted::Place => !self.has_subject(),
            Wanted::Price | Wanted::Time | Wanted::Contact => !self.has_subject() && !self.terms.is_empty(),
            Wanted::Duration | Wanted::Person | Wanted::Number | Wanted::Statement => false,
        }
    }
}

/// Something that may be said.
pub(super) struct Candidate {
    pub(super) part: Part,
    /// The index of its passage.
    pub(super) passage: usize,
    /// Part of the question's weight found in it or around it, 0 to 1.
    pub(super) coverage: f64,
    /// The same for the sentence alone.
    pub(super) direct: f64,
    /// Whether a word of the subject stands in it, above it or before it; words like "work" alone make no answer.
    pub(super) names_subject: bool,
    /// Whether it names an amount and no thing, so that the amount belongs to what stands above or before it.
    pub(super) is_bare_price: bool,
    /// How surely it holds the sort of thing that was asked for, 0 to 1.
    pub(super) fit: f64,
    /// For ranking.
    pub(super) score: f64,
    words: Vec<Word>,
}

impl Candidate {
    /// Whether it cannot be understood without the sentence before.
    pub(super) fn leans_on_previous(&self) -> bool {
        let leaning = [
            "it",
            "its",
            "they",
            "their",
            "them",
            "this",
            "these",
            "that",
            "those",
            "he",
            "she",
            "his",
            "her",
            "both",
            "such",
            "however",
            "but",
            "otherwise",
            "instead",
            "then",
            "there",
            "so",
            "also",
            "additionally",
            "furthermore",
        ];
        self.words.first().is_some_and(|word| leaning.contains(&word.folded.as_str()))
    }

    /// Whether both stand in the same paragraph, list or table.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        self.passage == other.passage && self.part.block == other.part.block
    }

    /// Whether two candidates share nearly all of the shorter one's words, as overlapping chunks do.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        let (short, long) = if self.words.len() <= other.words.len() { (self, other) } else { (other, self) };
        if short.words.is_empty() {
            return true;
        }
        let shared =
            short.words.iter().filter(|word| long.words.iter().any(|other| other.folded == word.folded)).count();
        shared as f64 >= SAME_PART * short.words.len() as f64
    }
}

/// Everything the passages say, scored.
pub(super) fn candidates(words: &Words, question: &Question, passages: &[Passage]) -> Vec<Candidate> {
    if !question.has_subject() && !question.is_about_the_business() {
        return Vec::new();
    }
    let read: Vec<(usize, Part, Vec<Word>)> = passages
        .iter()
        .enumerate()
        .flat_map(|(passage, Passage { text, .. })| plain::parts(text).into_iter().map(move |part| (passage, part)))
        .map(|(passage, part)| {
            let part_words = words.all(&part.text);
            (passage, part, part_words)
        })
        .collect();
    let weights = weights(words, question, &read);
    let total: f64 = weights.iter().sum();
    let best_passage =
        passages.iter().map(|passage| passage.score).filter(|score| score.is_finite()).fold(f64::EPSILON, f64::max);
    let contexts: Vec<Vec<Word>> =
        passages.iter().map(|passage| words.all(&format!("{} {}", passage.title, passage.section))).collect();

    // What the business is asked about itself stands below a heading that says so.
    let heading_part = if question.is_about_the_business() { 1.0 } else { HEADING_PART };
    let found: Vec<Vec<f64>> = read.iter().map(|(_, _, part_words)| likenesses(words, question, part_words)).collect();
    let mut candidates: Vec<Candidate> = Vec::with_capacity(read.len());
    for (index, (passage, part, part_words)) in read.into_iter().enumerate() {
        let mut context = words.all(&part.heading);
        context.extend(contexts[passage].iter().cloned());
        let heading = likenesses(words, question, &context);
        // What stands below a question answers it.
        let heading_part = if part.heading.ends_with('?') { 1.0 } else { heading_part };
        let previous = candidates
            .last()
            .filter(|last| last.passage == passage && last.part.block + 1 >= part.block)
            .map(|_| &found[index - 1]);
        let share = |likeness: &dyn Fn(usize) -> f64| {
            weights.iter().enumerate().map(|(term, weight)| weight * likeness(term)).sum::<f64>()
                / total.max(f64::EPSILON)
        };
        let direct = share(&|term| found[index][term]);
        // "It costs $300." is the price of what the sentence before or the heading names.
        let is_bare_price = question.wanted == Wanted::Price && hints::names_only_a_price(&part_words);
        let previous_part = if is_bare_price { HEADING_PART } else { PREVIOUS_PART };
        let around = |term: usize| {
            let before = previous.map_or(0.0, |previous| previous[term]);
            found[index][term].max(heading_part * heading[term]).max(previous_part * before)
        };
        let coverage = share(&around);
        let names_subject =
            question.terms.iter().enumerate().any(|(term, asked)| asked.is_subject && around(term) > 0.0);
        let fit = hints::fit(&part.text, &part_words, question.wanted, question.counted.as_deref());
        let passage_score = passages[passage].score;
        let of_passage = if passage_score.is_finite() { (passage_score / best_passage).clamp(0.0, 1.0) } else { 0.0 };
        let direct_part = if question.is_about_the_business() { 0.0 } else { DIRECT_PART };
        let mut score = direct_part * direct + (1.0 - direct_part) * coverage + PASSAGE_WEIGHT * of_passage;
        if question.wanted != Wanted::Statement {
            score += FIT_WEIGHT * fit;
        }
        if candidates.last().is_none_or(|last| last.passage != passage) {
            score += FIRST_WEIGHT;
        }
        if question.is_conditional {
            score += CONDITION_WEIGHT * condition(&part_words);
        }
        if question.terms.iter().enumerate().any(|(term, asked)| asked.is_name && around(term) <= 0.0) {
            score -= NAME_MISSING;
        }
        if question.is_how_to && hints::instructs(&part_words) {
            score += INSTRUCTS_WEIGHT;
        }
        score += PAIR_WEIGHT * pairs(words, question, &part_words, &weights) / total.max(f64::EPSILON);
        score -= faults(&part, &part_words);
        candidates.push(Candidate {
            part,
            passage,
            coverage,
            direct,
            names_subject,
            is_bare_price,
            fit,
            score,
            words: part_words,
        });
    }
    candidates
}

/// What makes a sentence a bad thing to say.
fn faults(part: &Part, part_words: &[Word]) -> f64 {
    let mut faults = 0.0;
    let chars = part.text.chars().count();
    if chars > LONG_CHARS {
        faults += LONG_FAULT * (chars as f64 / LONG_CHARS as f64).min(3.0);
    }
    if part.kind == Kind::Sentence && part_words.len() < 4 {
        faults += 0.15;
    }
    // A question of the page is not an answer; a cut chunk begins in the middle of a sentence.
    if part.text.ends_with('?') {
        faults += 0.4;
    }
    if part.kind == Kind::Sentence && part.text.starts_with(char::is_lowercase) {
        faults += 0.1;
    }
    faults
}

/// Words that are written as names or identifiers: with a capital inside a sentence, or with letters and digits.
fn names(question: &str) -> Vec<String> {
    let mut begins = true;
    let mut names = Vec::new();
    for token in question.split_whitespace() {
        for word in token.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 1) {
            let capitals = word.chars().filter(|c| c.is_uppercase()).count();
            let letters = word.chars().any(char::is_alphabetic);
            if letters && (capitals > usize::from(begins) || word.contains(|c: char| c.is_ascii_digit())) {
                names.push(word.to_lowercase());
            }
            begins = false;
        }
        begins |= token.ends_with(['.', '!', '?', ':']);
    }
    names
}

/// How plainly a sentence says under which condition it holds: 1 when it begins with it.
fn condition(part_words: &[Word]) -> f64 {
    let place = part_words.iter().position(|word| matches!(word.folded.as_str(), "if" | "when" | "unless" | "without"));
    match place {
        Some(0) => 1.0,
        Some(_) => 0.5,
        None => 0.0,
    }
}

/// The weight of neighbours in the question that are neighbours in a sentence.
fn pairs(words: &Words, question: &Question, part_words: &[Word], weights: &[f64]) -> f64 {
    let same = |term: usize, word: &Word| words.likeness(&question.terms[term].word, word) >= words::SAME;
    (1..question.terms.len())
        .filter(|term| part_words.windows(2).any(|pair| same(term - 1, &pair[0]) && same(*term, &pair[1])))
        .map(|term| weights[term - 1].min(weights[term]))
        .sum()
}

/// How well each term of the question is found among these words, 0 to 1.
fn likenesses(words: &Words, question: &Question, among: &[Word]) -> Vec<f64> {
    let best = |term: &Term| among.iter().map(|word| words.likeness(&term.word, word)).fold(0.0, f64::max);
    question.terms.iter().map(best).collect()
}

/// The weight of each term: rare words of the passages weigh more (inverse document frequency over sentences).
fn weights(words: &Words, question: &Question, read: &[(usize, Part, Vec<Word>)]) -> Vec<f64> {
    let count = read.len() as f64;
    let idf = |holding: f64| (1.0 + (count - holding + 0.5) / (holding + 0.5)).ln();
    let mut weights: Vec<f64> = question
        .terms
        .iter()
        .map(|term| {
            let holds =
                |part_words: &[Word]| part_words.iter().any(|word| words.likeness(&term.word, word) >= words::SAME);
            let holding = read.iter().filter(|(_, _, part_words)| holds(part_words)).count();
            let weight = if holding == 0 { ABSENT_PART * idf(1.0_f64.min(count)) } else { idf(holding as f64) };
            if term.is_subject { weight } else { GENERIC_PART * weight }
        })
        .collect();
    let most = weights.iter().copied().fold(0.0, f64::max);
    for (term, weight) in question.terms.iter().zip(&mut weights) {
        if term.is_subject {
            *weight = weight.max(WEIGHT_FLOOR * most);
        }
    }
    weights
}
