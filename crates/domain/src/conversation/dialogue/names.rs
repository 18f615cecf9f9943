//! Names in free text: introduced ("my name is …"), or the whole of an answer.

use std::ops::Range;

use super::{extract::Reading, when};
use crate::text;

/// Words of a name: "Maria del Carmen Gonzalez Lopez".
const NAME_WORDS_MAX: usize = 5;
/// Words of a name without capitals that is the whole of an answer.
const SHORT_NAME_WORDS: usize = 3;

/// A name after "my name is", "I'm" or "this is", and the stretch with its marker.
pub(super) fn introduced_name(reading: &Reading<'_>, asked: bool) -> Option<(String, Range<usize>)> {
    let all = reading.words.all();
    // "I'm" introduces anything ("I'm having trouble"), so there capitals are needed; "my name is" only introduces a name.
    let markers: [(&str, bool); 8] = [
        ("my name is", false),
        ("my names", false),
        ("name is", false),
        ("the names", false),
        ("call me", true),
        ("i am", true),
        ("im", true),
        ("this is", true),
    ];
    let asked_markers: [(&str, bool); 2] = [("its", true), ("it is", true)];
    for (marker, capitals) in markers.iter().chain(asked_markers.iter().filter(|_| asked)) {
        let Some(place) = reading.words.find(marker) else { continue };
        let Some(next) = all.get(place.end) else { continue };
        // "Please call me: Ann Lee": the colon begins a clause, and it introduces.
        let colon = reading.text[all[place.end - 1].at.end..next.at.start].trim() == ":";
        if !colon && next.clause != all[place.start].clause {
            continue;
        }
        let clause = next.clause;
        // "it's jane doe" as the whole answer to the question for a name needs no capitals.
        let whole = asked && place.start == 0 && all.len() - place.end <= SHORT_NAME_WORDS;
        let capitals = *capitals && !whole;
        let mut end = place.end;
        while end < all.len()
            && end - place.end < NAME_WORDS_MAX
            && all[end].clause == clause
            && name_word(&reading.text[all[end].at.clone()], capitals)
        {
            end += 1;
        }
        // "Call me: Monday at nine" is no name.
        let day = |text: &str| when::find_when(text, reading.now_ms, reading.timezone).is_some();
        if end > place.end && !(colon && day(&reading.text[next.at.start..all[end - 1].at.end])) {
            let span = all[place.start].at.start..all[end - 1].at.end;
            return Some((capitalised(&reading.text[all[place.end].at.start..span.end]), span));
        }
    }
    None
}

/// What people ask for and when they want it: an answer of such words is no name, however it is written.
const NOT_PEOPLE: [&str; 77] = [
    "asap",
    "now",
    "today",
    "tonight",
    "tomorrow",
    "soon",
    "immediately",
    "anytime",
    "whenever",
    "flexible",
    "morning",
    "afternoon",
    "evening",
    "weekend",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "quickly",
    "urgently",
    "appointment",
    "appointments",
    "booking",
    "quote",
    "quotes",
    "estimate",
    "estimates",
    "service",
    "services",
    "repair",
    "repairs",
    "install",
    "installation",
    "replacement",
    "maintenance",
    "inspection",
    "cleaning",
    "consultation",
    "checkup",
    "plumbing",
    "plumber",
    "electrical",
    "electrician",
    "roofing",
    "roofer",
    "hvac",
    "heating",
    "cooling",
    "furnace",
    "boiler",
    "toilet",
    "sink",
    "faucet",
    "drain",
    "drains",
    "pipe",
    "pipes",
    "leak",
    "leaks",
    "leaking",
    "leaky",
    "clogged",
    "broken",
    "water",
    "heater",
    "haircut",
    "manicure",
    "pedicure",
    "massage",
    "prices",
    "pricing",
    "cost",
    "costs",
    "help",
];

fn name_word(word: &str, capitals: bool) -> bool {
    const NOT_NAMES: [&str; 74] = [
        "a",
        "an",
        "the",
        "and",
        "or",
        "but",
        "from",
        "my",
        "your",
        "i",
        "im",
        "at",
        "in",
        "on",
        "with",
        "for",
        "to",
        "of",
        "phone",
        "number",
        "email",
        "address",
        "calling",
        "looking",
        "having",
        "not",
        "here",
        "interested",
        "trying",
        "sorry",
        "sure",
        "just",
        "very",
        "so",
        "really",
        "going",
        "it",
        "its",
        "is",
        "about",
        "wondering",
        "new",
        "happy",
        "glad",
        "fine",
        "good",
        "ok",
        "okay",
        "ready",
        "an emergency",
        "emergency",
        "urgent",
        "because",
        "also",
        "currently",
        "still",
        "already",
        "stuck",
        "worried",
        "scared",
        "frustrated",
        "angry",
        "done",
        "bleeding",
        "yes",
        "no",
        "hello",
        "hi",
        "thanks",
        "please",
        "we",
        "you",
        "can",
        "live",
    ];
    let first = word.chars().next();
    word.chars().all(|c| c.is_alphabetic() || matches!(c, '\'' | '’' | '-' | '.'))
        && first.is_some_and(char::is_alphabetic)
        && (!capitals || first.is_some_and(char::is_uppercase))
        && !NOT_NAMES.contains(&word.to_lowercase().as_str())
        && !NOT_PEOPLE.contains(&word.to_lowercase().replace('.', "").as_str())
}

/// A message that is nothing but a name.
pub(super) fn plain_name(rest: &str) -> Option<String> {
    let words: Vec<&str> = rest
        .split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_alphabetic() && c != '.'))
        .filter(|word| !word.is_empty())
        .collect();
    let fits = !words.is_empty()
        && words.len() <= NAME_WORDS_MAX
        && words.iter().all(|word| name_word(word, false))
        && rest.chars().all(|c| !c.is_ascii_digit());
    fits.then(|| capitalised(&words.join(" ")))
}

/// A message that is nothing but a name with capitals: "Ann Lee", not "sounds good".
pub(super) fn bare_name(text: &str) -> Option<String> {
    let capitals = text.split_whitespace().all(|word| word.chars().next().is_some_and(char::is_uppercase));
    if capitals { plain_name(text) } else { None }
}

/// "ann lee" and "ANN LEE" become "Ann Lee"; mixed capitals stay as typed.
fn capitalised(name: &str) -> String {
    let name = text::one_line(name);
    let lower = name.chars().all(|c| !c.is_uppercase());
    let upper = name.chars().all(|c| !c.is_lowercase()) && name.chars().filter(|c| c.is_alphabetic()).count() > 3;
    if !lower && !upper {
        return name;
    }
    let mut result = String::new();
    let mut letters = 0;
    for c in name.chars() {
        if letters == 0 {
            result.extend(c.to_uppercase());
        } else {
            result.extend(c.to_lowercase());
        }
        letters = match c {
            _ if c.is_alphabetic() => letters + 1,
            // "O'Neil" begins again after its apostrophe, "Jones's" does not.
            '\'' | '’' if letters > 1 => letters,
            _ => 0,
        };
    }
    result
}
