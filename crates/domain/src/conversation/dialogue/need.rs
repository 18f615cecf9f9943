//! What visitors say they need, in their own words: "My water heater leaks" is why they came, whether a form asks for it or not.

use super::{
    booking::wish,
    extract,
    understand::{Asked, Turn},
};
use crate::{
    catalog::template::Field,
    text::{self, Words},
};

/// Characters of all that is kept.
const NEED_CHARS_MAX: usize = 400;
/// Words that must be left of a message when wishes, greetings and small words are taken away.
const OWN_WORDS_MIN: usize = 2;
/// Whose matter it is, or that there is one: what reports something has one of these.
const REPORTS: &[&str] = &[
    "my", "our", "i", "im", "ive", "we", "were", "weve", "the", "theres", "there", "it", "its", "is", "are", "has",
    "wont", "doesnt", "a", "an",
];
/// Words that say nothing of the matter itself.
const EMPTY: &[&str] = &[
    "a",
    "about",
    "again",
    "am",
    "an",
    "and",
    "any",
    "appointment",
    "are",
    "asap",
    "at",
    "be",
    "book",
    "but",
    "call",
    "can",
    "come",
    "could",
    "day",
    "do",
    "estimate",
    "for",
    "get",
    "good",
    "have",
    "hello",
    "help",
    "hey",
    "hi",
    "i",
    "id",
    "if",
    "im",
    "in",
    "interested",
    "is",
    "it",
    "its",
    "ive",
    "just",
    "like",
    "looking",
    "make",
    "me",
    "my",
    "need",
    "of",
    "on",
    "or",
    "our",
    "out",
    "please",
    "question",
    "quote",
    "schedule",
    "service",
    "so",
    "some",
    "somebody",
    "someone",
    "something",
    "soon",
    "thank",
    "thanks",
    "that",
    "the",
    "there",
    "this",
    "time",
    "to",
    "today",
    "tomorrow",
    "very",
    "visit",
    "want",
    "we",
    "with",
    "would",
];
/// Words that ask somebody to do something about a matter of one's own: "can you fix my sink?" reports a sink.
const REQUESTS: [&str; 10] = [
    "can you",
    "could you",
    "can somebody",
    "can someone",
    "could somebody",
    "could someone",
    "would you",
    "will you",
    "are you able to",
    "do you fix my",
];

/// Adds a need to those known; one that is said again changes nothing.
pub(in crate::conversation) fn add(known: &mut String, need: &str) {
    if known.is_empty() {
        need.clone_into(known);
    } else if !known.contains(need) && known.chars().count() + need.chars().count() + 2 <= NEED_CHARS_MAX {
        known.push_str("; ");
        known.push_str(need);
    }
}

impl Turn<'_> {
    /// What this message says is needed, unless it answers a question or says nothing of its own.
    pub(super) fn need(&self) -> Option<String> {
        let mood = &self.mood;
        let small = mood.greeting || mood.thanks || mood.bye || mood.confirms || mood.denies || mood.skips;
        let elsewhere = mood.cancels || mood.wants_human || mood.wants_form || mood.injection || mood.informational;
        if small || elsewhere || self.asked != Asked::Aside || self.brief.dialogue.booking.is_some() {
            return None;
        }
        let rest = self.found.remainder(&self.brief.text);
        let words = Words::of(&rest);
        let request = mood.question
            && words.has_any(&["my", "our"])
            && REQUESTS.iter().any(|start| words.find(start).is_some_and(|place| place.start <= 1));
        if mood.question && !request || !words.has_any(REPORTS) {
            return None;
        }
        let same = |text: &String| Words::of(text).joined() == words.joined();
        if self.config.quick_prompts.iter().any(same) {
            return None;
        }
        let wishes = self.config.intents.iter().flat_map(|intent| &intent.phrases);
        let taken: Vec<_> = wishes.filter_map(|phrase| words.find(phrase)).chain(wish::place(&words)).collect();
        let own = words.all().iter().enumerate().filter(|(at, word)| {
            !taken.iter().any(|place| place.contains(at)) && EMPTY.binary_search(&word.text.as_str()).is_err()
        });
        (own.count() >= OWN_WORDS_MIN).then(|| text::shorten(&text::one_line(&rest), NEED_CHARS_MAX))
    }

    /// What was told before this message.
    pub(super) fn told_need(&self) -> Option<String> {
        Some(self.brief.dialogue.need.clone()).filter(|need| !need.is_empty())
    }

    /// Whether a field may be filled with what was told before: one in the visitor's own words, which needs no more than that.
    pub(super) fn may_tell_need(&self, field: &Field) -> bool {
        extract::is_description(field) && !field.required
    }
}

#[cfg(test)]
mod tests {
    use super::{EMPTY, NEED_CHARS_MAX, add};

    #[test]
    fn words_that_say_nothing_are_sorted_because_they_are_searched_by_halves() {
        assert!(EMPTY.is_sorted());
    }

    #[test]
    fn needs_are_kept_once_each_and_within_bounds() {
        let mut known = String::new();
        add(&mut known, "My water heater leaks");
        add(&mut known, "My water heater leaks");
        add(&mut known, "the sink is clogged too");
        assert_eq!(known, "My water heater leaks; the sink is clogged too");
        add(&mut known, &"x".repeat(NEED_CHARS_MAX));
        assert!(known.ends_with("too"), "what does not fit is not cut into");
    }
}
