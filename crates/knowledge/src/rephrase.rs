//! A question in other words: what people call the same thing stands in `related.txt`, and a question that finds nothing is asked again with it.

use std::ops::Range;
use std::sync::LazyLock;

use rust_stemmers::{Algorithm, Stemmer};

/// Other words for one question, at most: each is a search of its own.
pub const VARIANTS_MAX: usize = 8;
/// Longer texts are stories with a question in them; other words would not be found in the right place.
const QUESTION_CHARS_MAX: usize = 300;
/// The groups, as written for people to read.
const RELATED: &str = include_str!("related.txt");

/// A phrase with its words without their endings.
#[derive(Debug)]
struct Phrase {
    text: &'static str,
    stems: Vec<String>,
}

/// What may stand in the place of what.
#[derive(Debug)]
struct Group {
    /// Whether the words mean something else than they say, so that what they find themselves is no answer yet.
    idiom: bool,
    /// What a question has, the longest first.
    asked: Vec<Phrase>,
    /// What it is asked with instead, in this order.
    said: Vec<Phrase>,
    /// Parts of words of which an answer has one; empty: any answer will do.
    tells: Vec<&'static str>,
}

impl Group {
    /// Whether what is asked stands as it is written: where an answer is held to it, "install" must not be taken for "installments".
    fn is_exact(&self) -> bool {
        !self.tells.is_empty()
    }
}

static GROUPS: LazyLock<Vec<Group>> = LazyLock::new(|| {
    let stemmer = Stemmer::create(Algorithm::English);
    RELATED
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| group(&stemmer, line))
        .collect()
});

fn group(stemmer: &Stemmer, line: &'static str) -> Group {
    let listed = |part: &'static str| part.split(',').map(str::trim).filter(|phrase| !phrase.is_empty());
    let (line, tells) = line.split_once('!').unwrap_or((line, ""));
    let tells: Vec<&'static str> = listed(tells).collect();
    let exact = !tells.is_empty();
    let phrases = |part: &'static str, exact: bool| -> Vec<Phrase> {
        let stems = |text| words(stemmer, text).into_iter().map(|word| if exact { word.plain } else { word.stem });
        listed(part).map(|text| Phrase { text, stems: stems(text).collect() }).collect()
    };
    let (asked, said) = line.split_once('>').unwrap_or((line, line));
    let (asked, idiom) = asked.strip_suffix('=').map_or((asked, false), |asked| (asked, true));
    let mut asked = phrases(asked, exact);
    // The longest first: "payment plan" is not a plan.
    asked.sort_by_key(|phrase| std::cmp::Reverse(phrase.stems.len()));
    Group { idiom, asked, said: phrases(said, false), tells }
}

/// A word of a text.
struct Word {
    at: Range<usize>,
    /// In lower case.
    plain: String,
    /// Without its ending.
    stem: String,
}

/// The words of a text with their places, as they are and without their endings.
fn words(stemmer: &Stemmer, text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut begins = None;
    let ends = text.char_indices().chain([(text.len(), ' ')]);
    for (at, c) in ends {
        if c.is_alphanumeric() || matches!(c, '\'' | '’') {
            begins.get_or_insert(at);
        } else if let Some(from) = begins.take() {
            let word: String =
                text[from..at].chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
            let stem = stemmer.stem(&word).into_owned();
            words.push(Word { at: from..at, plain: word, stem });
        }
    }
    words
}

/// The question in other words: one phrase of it replaced in each, those of longer phrases first. Empty where nothing is known for it.
#[must_use]
pub fn rephrased(question: &str) -> Vec<String> {
    replaced(question, |_| true)
}

/// What a question means that has a phrase whose words alone mean something else. Empty for nearly every question.
#[must_use]
pub fn meant(question: &str) -> Vec<String> {
    replaced(question, |group| group.idiom)
}

/// What a question asks for without the thing it is for, where the list knows how that is said: a site may say it of everything it sells. Only for
/// things that it has: "can I finance a car?" is no question to a plumber.
#[must_use]
pub fn alone(question: &str) -> Vec<String> {
    let said = held_to(question).into_iter().flat_map(|group| &group.said);
    said.take(VARIANTS_MAX).map(|said| format!("Do you offer {}?", said.text)).collect()
}

/// Whether an answer says what a question asks for, where the list knows how that is said: a sentence about furnaces is none on financing one.
#[must_use]
pub fn tells(question: &str, answer: &str) -> bool {
    let held = held_to(question);
    if held.is_empty() {
        return true;
    }
    let answer = answer.to_lowercase();
    held.iter().all(|group| group.tells.iter().any(|part| answer.contains(part)))
}

/// Whether answers to a question are held to what it asks for.
#[must_use]
pub fn is_held(question: &str) -> bool {
    !held_to(question).is_empty()
}

/// The groups of a question that hold an answer to their words.
fn held_to(question: &str) -> Vec<&'static Group> {
    if question.chars().nth(QUESTION_CHARS_MAX).is_some() {
        return Vec::new();
    }
    let own = words(&Stemmer::create(Algorithm::English), question);
    GROUPS.iter().filter(|group| group.is_exact() && place(group, &own).is_some()).collect()
}

/// Where a question has a phrase of a group, as numbers of its words.
fn place(group: &Group, own: &[Word]) -> Option<Range<usize>> {
    let said = |word: &Word, asked: &String| asked == if group.is_exact() { &word.plain } else { &word.stem };
    group.asked.iter().find_map(|phrase| {
        let stands = |window: &[Word]| window.iter().zip(&phrase.stems).all(|(word, asked)| said(word, asked));
        let at = own.windows(phrase.stems.len()).position(stands)?;
        Some(at..at + phrase.stems.len())
    })
}

fn replaced(question: &str, wanted: impl Fn(&Group) -> bool) -> Vec<String> {
    if question.chars().nth(QUESTION_CHARS_MAX).is_some() {
        return Vec::new();
    }
    let stemmer = Stemmer::create(Algorithm::English);
    let own = words(&stemmer, question);
    let mut found: Vec<(Range<usize>, usize, &Group)> = Vec::new();
    for group in GROUPS.iter().filter(|group| wanted(group)) {
        if let Some(place) = place(group, &own) {
            let length = place.len();
            found.push((own[place.start].at.start..own[place.end - 1].at.end, length, group));
        }
    }
    // A longer phrase says more surely what is meant, and its words are none of their own: a gift card is no credit card.
    found.sort_by_key(|(_, length, _)| std::cmp::Reverse(*length));
    let places: Vec<Range<usize>> = found.iter().map(|(place, _, _)| place.clone()).collect();
    let within = |place: &Range<usize>| {
        places.iter().any(|other| other != place && other.start <= place.start && place.end <= other.end)
    };
    found.retain(|(place, _, _)| !within(place));
    let mut variants: Vec<String> = Vec::new();
    let most = found.iter().map(|(_, _, group)| group.said.len()).max().unwrap_or(0);
    // In turn, so that each phrase gets a try before one gets all of them.
    for nth in 0..most {
        for (place, _, group) in &found {
            let Some(said) = group.said.get(nth) else { continue };
            let replaced = words(&stemmer, &question[place.clone()]).into_iter().map(|word| word.stem);
            if replaced.eq(said.stems.iter().cloned()) {
                continue;
            }
            let variant = format!("{}{}{}", &question[..place.start], said.text, &question[place.end..]);
            if variants.len() < VARIANTS_MAX && !variants.contains(&variant) {
                variants.push(variant);
            }
        }
    }
    variants
}

#[cfg(test)]
mod tests {
    use super::{GROUPS, VARIANTS_MAX, alone, meant, rephrased, tells};

    #[test]
    fn a_question_is_asked_with_what_others_call_the_same_thing() {
        let asked = rephrased("Do you offer financing?");
        assert!(asked.contains(&"Do you offer installments?".to_owned()), "{asked:?}");
        let asked = rephrased("How soon can you be here?");
        for variant in
            ["How soon can you arrive?", "within how many minutes can you be here?", "on the same day can you be here?"]
        {
            assert!(asked.contains(&variant.to_owned()), "{asked:?}");
        }
        let asked = rephrased("do you work Weekends");
        assert_eq!(asked[0], "do you there on saturday");
        assert_eq!(meant("Can I pay monthly?")[0], "Can I installments?");
        assert!(meant("Do you work weekends?").is_empty());
        // Not the other way round: who asks for Saturday does not mean any weekend.
        assert!(rephrased("Are you open on Saturday?").is_empty());
    }

    #[test]
    fn the_longest_phrase_is_replaced_whole_and_each_phrase_gets_a_turn() {
        let asked = rephrased("Is there a payment plan?");
        assert!(asked.iter().all(|question| !question.contains("plan")), "{asked:?}");
        assert_eq!(rephrased("Do you sell gift cards?"), ["Do you sell gift certificate?", "Do you sell voucher?"]);
        let asked = rephrased("How much is a haircut for kids?");
        assert!(asked.contains(&"How much is a cut for kids?".to_owned()), "{asked:?}");
        assert!(asked.contains(&"How much is a haircut for children?".to_owned()), "{asked:?}");
    }

    #[test]
    fn what_is_unknown_too_long_or_in_another_writing_stays_as_it_is() {
        for question in
            ["What is the capital of Mongolia?", "", "?!", "料金はいくらですか", "Haben Sie Öffnungszeiten?"]
        {
            assert!(rephrased(question).is_empty(), "{question}");
        }
        assert!(rephrased(&"financing ".repeat(100)).is_empty());
        assert!(rephrased(&"financing weekend warranty card kids lawyer fix leak ".repeat(5)).len() <= VARIANTS_MAX);
    }

    #[test]
    fn an_answer_is_held_to_what_is_asked_for() {
        let furnaces = "We install and repair furnaces, boilers and air conditioning.";
        for question in [
            "can I pay monthly for a furnace?",
            "Do you offer financing for a new furnace?",
            "Can I finance a furnace?",
            "is there a payment plan for an air conditioner?",
        ] {
            assert!(!tells(question, furnaces), "{question}");
            assert!(tells(question, "A new system may be paid in 24 monthly payments."), "{question}");
            assert!(tells(question, "Jobs can be paid in twelve INSTALLMENTS."), "{question}");
            assert!(alone(question).contains(&"Do you offer monthly payments?".to_owned()), "{question}");
        }
        // What stands in the place of "how soon" is held to what it says itself.
        assert!(!tells("on the same day can you be here?", "A bathroom takes nine working days."));
        assert!(tells("on the same day can you be here?", "Calls before noon are served on the same day."));
        assert!(!tells("What areas do you serve?", "Calls before noon are served on the same day."));
        assert!(tells("which areas do you cover?", "We repair furnaces within thirty miles of Cedar Falls."));
        // "Install" is no installment.
        for question in ["Do you install furnaces?", "Have you experience in installing furnaces?", ""] {
            assert!(
                tells(question, furnaces) && meant(question).is_empty() && alone(question).is_empty(),
                "{question}"
            );
        }
    }

    #[test]
    fn every_line_of_the_list_says_something() {
        for group in GROUPS.iter() {
            assert!(!group.asked.is_empty() && !group.said.is_empty(), "{group:?}");
            assert!(group.asked.iter().chain(&group.said).all(|phrase| !phrase.stems.is_empty()), "{group:?}");
            assert!(
                group.said.iter().any(|said| group.asked.iter().any(|asked| asked.stems != said.stems)),
                "{group:?}"
            );
        }
    }
}
