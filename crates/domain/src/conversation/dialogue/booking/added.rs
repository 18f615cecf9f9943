//! What a visitor adds to an appointment that stands: the code of the gate, that there is a dog, where to ring. It is no question and wants no answer.

use super::super::{Brief, FormMove, Mood, Understanding, lines, when};
use crate::text::{self, Words};

/// Characters of one addition that are kept.
const ADDITION_CHARS_MAX: usize = 400;
/// Words that say nothing to whoever comes: thanks, goodbyes, and what joins sentences.
const EMPTY: [&str; 175] = [
    "a",
    "about",
    "again",
    "all",
    "alright",
    "am",
    "amazing",
    "an",
    "and",
    "appreciate",
    "appreciated",
    "are",
    "as",
    "at",
    "awesome",
    "be",
    "best",
    "bet",
    "bye",
    "can",
    "cheers",
    "confirmed",
    "cool",
    "day",
    "did",
    "do",
    "doing",
    "done",
    "dont",
    "enough",
    "evening",
    "everything",
    "exactly",
    "excellent",
    "fantastic",
    "fine",
    "for",
    "forward",
    "from",
    "glad",
    "go",
    "good",
    "goodbye",
    "got",
    "gotcha",
    "great",
    "had",
    "happy",
    "has",
    "have",
    "he",
    "hello",
    "help",
    "helped",
    "helpful",
    "helping",
    "here",
    "hey",
    "hi",
    "hope",
    "how",
    "i",
    "id",
    "idea",
    "if",
    "ill",
    "im",
    "in",
    "indeed",
    "is",
    "it",
    "its",
    "ive",
    "just",
    "k",
    "know",
    "later",
    "lets",
    "like",
    "looking",
    "looks",
    "lot",
    "love",
    "lovely",
    "made",
    "make",
    "me",
    "morning",
    "much",
    "my",
    "need",
    "nice",
    "night",
    "no",
    "not",
    "nothing",
    "now",
    "of",
    "oh",
    "ok",
    "okay",
    "on",
    "one",
    "or",
    "our",
    "perfect",
    "perfectly",
    "please",
    "pleasure",
    "question",
    "quick",
    "really",
    "right",
    "see",
    "seeing",
    "set",
    "she",
    "should",
    "so",
    "soon",
    "sound",
    "sounds",
    "super",
    "sure",
    "talk",
    "talking",
    "thank",
    "thanks",
    "that",
    "thatll",
    "thats",
    "the",
    "them",
    "then",
    "there",
    "theres",
    "they",
    "thing",
    "think",
    "this",
    "time",
    "to",
    "today",
    "tomorrow",
    "tonight",
    "too",
    "understand",
    "understood",
    "us",
    "very",
    "wait",
    "want",
    "was",
    "we",
    "well",
    "were",
    "what",
    "whats",
    "when",
    "will",
    "wonderful",
    "wondering",
    "work",
    "works",
    "would",
    "wow",
    "yay",
    "yeah",
    "yep",
    "yes",
    "you",
    "your",
    "youre",
    "youve",
    "yup",
];
/// Words around a value that the lead has already.
const OF_CONTACT: [&str; 14] = [
    "address", "call", "called", "cell", "contact", "email", "mail", "mobile", "name", "number", "phone", "reach",
    "send", "text",
];
/// Says that we have misunderstood, which helps nobody who comes.
const MISUNDERSTOOD: [&str; 6] =
    ["not what i", "dont understand", "do not understand", "makes no sense", "you misunderstood", "didnt ask"];
/// What one may ask to have passed on: "can you tell him to ring?"
const PASSED_ON: [&str; 10] = ["ask", "tell", "let", "note", "add", "mention", "remind", "pass", "ring", "knock"];

/// What was added, in the visitor's own words, and whether the message asks something besides; `None` if it adds nothing.
pub(super) fn find(brief: &Brief, understanding: &Understanding) -> Option<(String, bool)> {
    let (mood, plan, facts) = (&understanding.mood, &understanding.plan, &understanding.facts);
    let elsewhere = mood.wants_human
        || mood.wants_form
        || mood.injection
        || mood.frustrated
        || mood.distressed
        || mood.cancels
        || plan.emergency
        || plan.offer.is_some()
        || plan.prompt.is_some()
        || !facts.alerts.is_empty()
        || facts.form != FormMove::Same
        || brief.dialogue.form.is_some()
        || facts.wish.is_some()
        || facts.contacting.is_some();
    // Anything that is said back by a rule or an offer is about something else; that a value was noted is not.
    if elsewhere || plan.acknowledge.iter().any(|line| line != lines::NOTED) {
        return None;
    }
    let (mut added, mut asks) = (Vec::new(), false);
    for sentence in brief.text.lines().flat_map(text::sentences) {
        let words = Words::of(sentence);
        if Mood::of(sentence, &words).question && !is_passed_on(&words) {
            asks = true;
        } else if says_something(&words, understanding) {
            added.push(sentence.trim());
        }
    }
    let said = text::shorten(&text::one_line(&added.join(" ")), ADDITION_CHARS_MAX);
    (!said.is_empty()).then_some((said, asks))
}

/// Whether a sentence has anything for whoever comes.
fn says_something(words: &Words, understanding: &Understanding) -> bool {
    if MISUNDERSTOOD.iter().any(|phrase| words.find(phrase).is_some()) {
        return false;
    }
    let values = &understanding.facts.values;
    let known: Vec<String> = values
        .values()
        .flat_map(|value| Words::of(value).all().iter().map(|word| word.text.to_string()).collect::<Vec<_>>())
        .collect();
    words.all().iter().any(|word| {
        let said = word.text.as_str();
        let of_value = !values.is_empty()
            && (OF_CONTACT.contains(&said)
                || known.iter().any(|known| known == said)
                || said.bytes().all(|byte| byte.is_ascii_digit()));
        EMPTY.binary_search(&said).is_err() && when::weekday(said).is_none() && !of_value
    })
}

/// "Could you ask him to ring the side bell?" is put as a question, and is none.
fn is_passed_on(words: &Words) -> bool {
    let all: Vec<&str> = words.all().iter().map(|word| word.text.as_str()).filter(|word| *word != "please").collect();
    let Some(at) =
        all.windows(2).position(|pair| matches!(pair[0], "can" | "could" | "would" | "will") && pair[1] == "you")
    else {
        return false;
    };
    let next = |n: usize| all.get(at + 2 + n).copied().unwrap_or_default();
    let to_me = matches!(next(1), "me" | "us");
    match next(0) {
        "make" => next(1) == "sure",
        "call" | "text" => to_me && matches!(next(2), "before" | "when" | "first" | "once" | "on" | "if"),
        verb => PASSED_ON.contains(&verb) && !to_me,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<(String, bool)> {
        let brief = Brief { text: text.to_owned(), ..Brief::default() };
        let words = Words::of(text);
        find(&brief, &Understanding { mood: Mood::of(text, &words), ..Understanding::default() })
    }

    #[test]
    fn empty_words_are_sorted_because_they_are_searched_by_halves() {
        assert!(EMPTY.is_sorted());
    }

    #[test]
    fn what_helps_whoever_comes_is_an_addition() {
        for text in [
            "the gate code is 4411",
            "please ring the side bell",
            "thanks, and there's a dog",
            "My wife will be home, not me.",
            "I'm running late",
            "the unit is in the attic",
            "could you ask him to ring the side bell?",
            "can you please make sure they bring a ladder?",
            "can you call me before you come?",
            "I'll bring my daughter",
        ] {
            assert_eq!(found(text), Some((text.to_owned(), false)), "{text}");
        }
        assert_eq!(
            found("The gate code is 4411. Do you take cards?"),
            Some(("The gate code is 4411.".to_owned(), true)),
            "both are heard"
        );
    }

    #[test]
    fn thanks_goodbyes_and_questions_are_none() {
        for text in [
            "thanks!",
            "Thank you so much, see you then",
            "perfect, that works for me",
            "see you Tuesday",
            "great, looking forward to it",
            "ok",
            "no, that's all",
            "have a good day",
            "do you take cards?",
            "what should I bring?",
            "can you tell me the price?",
            "can you text me the address?",
            "that is not what I asked",
            "I want to talk to a person",
            "this is ridiculous",
            "never mind",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
