//! Whether words ask for an appointment: something is to be arranged ("book a viewing"), wanted ("I need an inspection"), or somebody is to come.
//!
//! Read as a small grammar rather than as a list of sentences, so that every trade's own words for a visit are heard in every way they are put.

mod words;

use std::ops::Range;

use self::words::{
    ARRANGE, ARRANGED, BETWEEN, ENDS, FOLLOWS, FRAMES, GET, OURS, OVER, OWNERS, PEOPLE, TOWARDS, VISITS, WANT,
};
use super::super::when;
use crate::text::Words;

pub(super) use self::words::WISHES;

/// Words from a verb to its thing, at most: "book a sixty minute deep tissue massage".
const REACH: usize = 6;
/// Words before a verb among which one of those stands that make it past.
const OVER_REACH: usize = 4;
/// Words from "can" or "need" to who comes.
const FRAME_REACH: usize = 4;
/// Ways to ask that begin like a question about how things are.
const POLITE: [&str; 9] = [
    "is it possible to",
    "is it possible for",
    "is it ok to",
    "would it be possible to",
    "would it be possible for",
    "is there any way to",
    "is there a way to",
    "are you able to",
    "is there any chance",
];
/// Asks for the time itself, which is the wish.
const WHEN: [&str; 6] = ["when", "what time", "what day", "which day", "what times", "what days"];

/// Where a message asks for an appointment, as indices of words; `None` where it does not.
pub(in crate::conversation::dialogue) fn place(words: &Words) -> Option<Range<usize>> {
    let reader = Reader { words, texts: words.all().iter().map(|word| word.text.as_str()).collect() };
    let plain = WISHES.iter().filter_map(|wish| words.place_meant(wish));
    let read = (0..words.len()).filter_map(|at| reader.at(at));
    let found = plain.chain(read).max_by_key(|place| (place.len(), std::cmp::Reverse(place.start)))?;
    // However politely it is put, it is still the wish.
    let before = POLITE.iter().filter_map(|polite| words.find(polite)).find(|polite| polite.end >= found.start);
    Some(before.map_or(found.clone(), |polite| polite.start.min(found.start)..found.end))
}

/// Whether a phrase of a template is such a wish itself, so that its intent is the trade's way to an appointment.
pub(in crate::conversation::dialogue) fn is_one(phrase: &str) -> bool {
    place(&Words::of(phrase)).is_some()
}

struct Reader<'a> {
    words: &'a Words,
    texts: Vec<&'a str>,
}

impl Reader<'_> {
    fn at(&self, at: usize) -> Option<Range<usize>> {
        if self.words.negated(at) {
            return None;
        }
        self.arranged(at).or_else(|| self.wanted(at)).or_else(|| self.coming(at)).or_else(|| self.sent(at))
    }

    /// "Book a visit", "set up a time", "book me in".
    fn arranged(&self, at: usize) -> Option<Range<usize>> {
        let verb = ARRANGE.iter().filter(|verb| self.stands(at, verb)).map(|verb| verb.len()).max()?;
        let before = at.checked_sub(1).filter(|before| self.same_clause(*before, at)).map(|before| self.texts[before]);
        if before.is_some_and(|before| OWNERS.contains(&before)) || self.is_over(at) || self.asks_what_is_done(at) {
            return None;
        }
        let mut from = at + verb;
        // "Put me down for Thursday afternoon."
        if self.text(from - 1, at) == Some("for") && self.text(from, at).is_some_and(names_time) {
            return Some(at..from + 1);
        }
        let for_whom = self.text(from, at).is_some_and(|word| matches!(word, "me" | "us" | "him" | "her"));
        if for_whom {
            from += 1;
            match self.text(from, at) {
                Some("in") => return Some(at..from + 1),
                Some("for" | "on") if self.text(from + 1, at).is_some_and(names_time) => return Some(at..from + 2),
                None => return Some(at..from),
                Some(_) => {}
            }
        }
        let end = self.thing(from, at, &[&VISITS, &ARRANGED])?;
        Some(at..end)
    }

    /// "I need an inspection", "can I get a consultation".
    fn wanted(&self, at: usize) -> Option<Range<usize>> {
        let frame = WANT.iter().filter(|frame| self.stands(at, frame)).map(|frame| frame.len()).max();
        let length = frame.or_else(|| {
            let before = at.checked_sub(1).filter(|before| self.same_clause(*before, at));
            let free = before.is_none_or(|before| matches!(self.texts[before], "to" | "please" | "lets" | "gotta"));
            (free && GET.contains(&self.texts[at])).then_some(1)
        })?;
        // "Do I need a visit?" asks whether; "I had to have one" tells.
        let asks_whether = at.checked_sub(1).is_some_and(|before| matches!(self.texts[before], "do" | "does" | "if"));
        if asks_whether || self.is_over(at) {
            return None;
        }
        let end = self.thing(at + length, at, &[&VISITS])?;
        Some(at..end)
    }

    /// "Can someone come out", "I need a technician to come by", "when could you come".
    fn coming(&self, at: usize) -> Option<Range<usize>> {
        let who = self.texts[at];
        let you = who == "you";
        if !you && !PEOPLE.contains(&who) {
            return None;
        }
        let mut verb = at + 1;
        while self.text(verb, at).is_some_and(|word| BETWEEN.contains(&word)) {
            verb += 1;
        }
        let end = self.comes(verb, at, you)?;
        let first = self.clause_start(at);
        let frame = (at.saturating_sub(FRAME_REACH).max(first)..at).find(|n| FRAMES.contains(&self.texts[*n]))?;
        let begins = self.texts[first];
        let status =
            matches!(self.texts[frame], "will" | "would") && !you && WHEN.iter().any(|w| self.is_asked(first, w));
        if matches!(begins, "how" | "who" | "why" | "where" | "if") || status || self.is_over(at) {
            return None;
        }
        let asked = WHEN.iter().any(|when| self.is_asked(first, when));
        Some(if asked { first } else { frame }..end)
    }

    /// "Send somebody round", "send out a technician".
    fn sent(&self, at: usize) -> Option<Range<usize>> {
        let mut who = at + 1;
        match self.texts[at] {
            "send" | "sending" => {}
            // "Set me up with a technician."
            "set" | "setting" => {
                for wanted in [&["me", "us"][..], &["up"], &["with", "w"]] {
                    self.text(who, at).filter(|word| wanted.contains(word))?;
                    who += 1;
                }
            }
            _ => return None,
        }
        if self.is_over(at) {
            return None;
        }
        while self.text(who, at).is_some_and(|word| {
            TOWARDS.contains(&word) || matches!(word, "me" | "us" | "a" | "an" | "your" | "one" | "of" | "the")
        }) {
            who += 1;
        }
        // "Send a heating technician": what kind of person stands before who it is.
        let person = (who..who + 2).find(|n| self.text(*n, at).is_some_and(|word| PEOPLE.contains(&word)))?;
        self.follows(person + 1, at).then_some(at..person + 1)
    }

    /// Behind the words from `verb` on that say that somebody comes.
    fn comes(&self, verb: usize, at: usize, you: bool) -> Option<usize> {
        let next = self.text(verb + 1, at);
        match self.text(verb, at)? {
            "come" | "coming" => match next {
                None => Some(verb + 1),
                Some(word) if TOWARDS.contains(&word) => {
                    // "Can you come out to Waverly?" asks about the place.
                    let place = self.text(verb + 2, at) == Some("to")
                        && !self.text(verb + 3, at).is_some_and(|whose| OURS.contains(&whose));
                    (!place).then_some(verb + 2)
                }
                Some("to") => self.text(verb + 2, at).filter(|whose| OURS.contains(whose)).map(|_| verb + 3),
                Some("and" | "look" | "at" | "as" | "asap" | "soon" | "now" | "please" | "fix" | "check" | "see") => {
                    Some(verb + 1)
                }
                Some("on" | "in" | "this" | "next") => Some(verb + 2),
                Some(word) => names_time(word).then_some(verb + 1),
            },
            "stop" | "drop" | "swing" | "pop" => {
                next.filter(|word| matches!(*word, "by" | "in" | "over" | "round" | "around")).map(|_| verb + 2)
            }
            "visit" => next.filter(|whose| matches!(*whose, "us" | "me" | "my" | "our")).map(|_| verb + 2),
            "out" | "over" | "here" if !you => Some(verb + 1),
            "look" if !you => next.filter(|word| *word == "at").map(|_| verb + 2),
            "take" if !you => (self.text(verb + 2, at) == Some("look")).then_some(verb + 3),
            "check" if !you => next.filter(|whose| matches!(*whose, "my" | "our" | "on" | "the")).map(|_| verb + 2),
            _ => None,
        }
    }

    /// Behind a thing that one may book, looked for from a word on.
    fn thing(&self, from: usize, at: usize, lists: &[&[&[&str]]]) -> Option<usize> {
        for start in from..from + REACH {
            let word = self.text(start, at)?;
            let named = lists
                .iter()
                .flat_map(|list| list.iter())
                .filter(|thing| self.names(start, thing))
                .map(|thing| thing.len())
                .max();
            if let Some(length) = named.filter(|length| self.follows(start + length, at)) {
                return Some(start + length);
            }
            if ENDS.contains(&word) {
                return None;
            }
        }
        None
    }

    /// Whether a thing stands at a word, in the singular or the plural.
    fn names(&self, start: usize, thing: &[&str]) -> bool {
        thing.iter().enumerate().all(|(n, wanted)| {
            self.text(start + n, start).is_some_and(|word| {
                word == *wanted || n + 1 == thing.len() && word.strip_suffix('s').is_some_and(|word| word == *wanted)
            })
        })
    }

    /// Whether what stands behind a thing leaves it that thing.
    fn follows(&self, next: usize, at: usize) -> bool {
        self.text(next, at)
            .is_none_or(|word| FOLLOWS.binary_search(&word).is_ok() || TOWARDS.contains(&word) || names_time(word))
    }

    /// Whether the clause speaks of what has happened, or asks whether it has.
    fn is_over(&self, at: usize) -> bool {
        (at.saturating_sub(OVER_REACH).max(self.clause_start(at))..at).any(|n| OVER.contains(&self.texts[n]))
    }

    /// "Do you schedule visits on Sundays?" asks what the business does.
    fn asks_what_is_done(&self, at: usize) -> bool {
        at >= 2 && self.texts[at - 1] == "you" && matches!(self.texts[at - 2], "do" | "dont" | "when")
    }

    fn is_asked(&self, first: usize, when: &str) -> bool {
        let begun = when.split(' ').collect::<Vec<_>>();
        self.stands(first, &begun)
    }

    fn stands(&self, at: usize, wanted: &[&str]) -> bool {
        wanted.iter().enumerate().all(|(n, word)| self.text(at + n, at) == Some(*word))
    }

    /// A word, if it stands in the clause of another.
    fn text(&self, n: usize, at: usize) -> Option<&str> {
        self.texts.get(n).copied().filter(|_| self.same_clause(n, at))
    }

    fn same_clause(&self, a: usize, b: usize) -> bool {
        let all = self.words.all();
        all.get(a).zip(all.get(b)).is_some_and(|(a, b)| a.clause == b.clause)
    }

    fn clause_start(&self, at: usize) -> usize {
        (0..at).rev().take_while(|n| self.same_clause(*n, at)).last().unwrap_or(at)
    }
}

/// Whether a word names a day or part of one.
fn names_time(word: &str) -> bool {
    const TIMES: [&str; 13] = [
        "today",
        "tomorrow",
        "tonight",
        "morning",
        "mornings",
        "afternoon",
        "afternoons",
        "evening",
        "weekend",
        "weekday",
        "noon",
        "sometime",
        "anytime",
    ];
    TIMES.contains(&word)
        || when::weekday(word).is_some()
        || when::month(word).is_some()
        || word.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_follow_is_sorted_because_it_is_searched_by_halves() {
        assert!(FOLLOWS.is_sorted());
    }

    #[test]
    fn every_trades_words_for_a_visit_are_a_wish() {
        for said in [
            // Whoever comes to people.
            "I would like to book a visit",
            "can someone come out on Tuesday?",
            "I need a technician to come by",
            "schedule a service call",
            "set up a time",
            "could you send somebody round?",
            "pls set me up w/ a technician on wednesday",
            "put me down for Thursday afternoon",
            "Could you please send out one of your technicians",
            "I want to arrange an inspection",
            "Hi, is it possible to book a visit for next week?",
            "when can you come out?",
            "Can you come to my house tomorrow",
            "I'd like someone to come and look at our furnace",
            "we need somebody to look at the boiler",
            "can I get a furnace tune-up on Friday",
            "please have a plumber stop by",
            "can you get someone out here today",
            // Practices.
            "I need a cleaning",
            "I'd like to schedule my next check-up",
            "can we get a checkup for my son",
            "book a teeth whitening please",
            // Lawyers.
            "I want to arrange a consultation",
            "we're looking for a free consultation",
            "can I set up a call with an attorney",
            // Houses.
            "I would like a viewing on Saturday",
            "we'd like to arrange a viewing of the house on Elm Street",
            "could we schedule a tour?",
            "request a showing",
            // Salons.
            "I'd like a haircut on Friday",
            "book me in for Thursday",
            "book me for tomorrow",
            "can I book a cut and color",
            "put me down for a sixty minute deep tissue massage",
            // Any business.
            "I want to reserve a table for four",
            "let's set up a meeting",
            "schedule a demo",
            "I need an appointment",
            "any availability this week?",
        ] {
            assert!(place(&Words::of(said)).is_some(), "{said}");
        }
    }

    #[test]
    fn what_was_booked_what_is_asked_and_what_nobody_here_books_is_none() {
        for said in [
            "I booked a visit yesterday, what is the address?",
            "book me a flight",
            "book me a flight to Boston for my consultation",
            "do you sell books",
            "Do you have a book about boilers?",
            "what is your schedule?",
            "did you book a visit for me?",
            "I already scheduled a cleaning",
            "we had a technician come out last week",
            "when will the technician come?",
            "how soon can you come out?",
            "do you come out to Waverly?",
            "can you come to Waverly?",
            "can you come out to Waverly?",
            "do I need a consultation?",
            "how much is a visit?",
            "what does a consultation cost?",
            "I don't want to book a visit",
            "I don't need an appointment",
            "is the inspection fee refundable?",
            "I need my visit moved",
            "I'd like a visit card",
            "can you send somebody an invoice?",
            "can you send me the price list?",
            "do you schedule inspections?",
            "who came to the house?",
            "I lost the confirmation for my viewing",
            "my table is broken",
            "I need a table",
            "set up a payment plan",
            "do you do haircuts?",
            "the cleaning was great",
            "",
        ] {
            assert_eq!(place(&Words::of(said)), None, "{said}");
        }
    }

    #[test]
    fn the_wish_is_the_question_however_politely_it_is_put() {
        for said in ["is it possible to book a visit", "when can someone come by?", "book a viewing"] {
            assert_eq!(place(&Words::of(said)).map(|place| place.start), Some(0), "{said}");
        }
        assert!(place(&Words::of("How long does it take to get an appointment?")).is_some_and(|place| place.start > 0));
    }
}
