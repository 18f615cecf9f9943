//! Options of a select in free text: named without being asked, or chosen in an answer.

use std::ops::Range;

use super::extract::Reading;
use crate::{catalog::template::Field, text::Words};

/// The shortest option that is heard without having been asked for: "New" would be heard everywhere.
const UNASKED_OPTION_CHARS_MIN: usize = 4;

/// An option that a message names without having been asked.
pub(super) fn named_option(reading: &Reading<'_>, field: &Field) -> Option<(String, Range<usize>)> {
    const TOO_GENERAL: [&str; 8] = ["other", "none", "yes", "no", "something else", "question", "business", "quote"];
    let mut found: Option<(&String, Range<usize>)> = None;
    for option in &field.options {
        let lower = option.to_lowercase();
        if option.chars().count() < UNASKED_OPTION_CHARS_MIN || TOO_GENERAL.contains(&lower.as_str()) {
            continue;
        }
        if let Some(place) = reading.words.place_meant(option) {
            let longer = found.as_ref().is_none_or(|(_, other)| place.len() > other.len());
            if longer {
                found = Some((option, place));
            }
        }
    }
    // The words stay in the text: "my plumbing leaks" is a description as well as a choice. An empty span takes nothing.
    found.map(|(option, place)| {
        let start = reading.words.all()[place.start].at.start;
        (option.clone(), start..start)
    })
}

/// The option that an answer chooses: by name, by number, by a word that only one option has, or by yes and no.
pub(super) fn chosen_option(reading: &Reading<'_>, field: &Field, confirms: bool, denies: bool) -> Option<String> {
    let words = reading.words;
    let mut named: Vec<(&String, usize)> = field
        .options
        .iter()
        .filter_map(|option| words.place_meant(option).map(|place| (option, place.len())))
        .collect();
    named.sort_by_key(|(_, length)| std::cmp::Reverse(*length));
    if let Some((option, _)) = named.first() {
        return Some((*option).clone());
    }
    let starting = |start: &str| {
        field
            .options
            .iter()
            .find(|option| Words::of(option).all().first().is_some_and(|word| word.text == start))
            .cloned()
    };
    if confirms && let Some(option) = starting("yes") {
        return Some(option);
    }
    if denies && let Some(option) = starting("no").or_else(|| starting("not")) {
        return Some(option);
    }
    if let [only] = words.all()
        && let Ok(number) = only.text.trim_end_matches(|c: char| c.is_alphabetic()).parse::<usize>()
        && (1..=field.options.len()).contains(&number)
    {
        return field.options.get(number - 1).cloned();
    }
    let significant = |text: &str| {
        let words = Words::of(text);
        let single = words.all().iter().map(|word| stem(&word.text));
        // "checkup" is "Check-up" written together.
        let joined = words.all().windows(2).map(|pair| format!("{}{}", pair[0].text, pair[1].text));
        single
            .chain(joined)
            .filter(|word| word.chars().count() >= 3 && !SMALL_WORDS.contains(&word.as_str()))
            .collect::<Vec<_>>()
    };
    let said = significant(reading.text);
    let sharing: Vec<(&String, usize)> = field
        .options
        .iter()
        .map(|option| (option, significant(option).iter().filter(|word| said.contains(word)).count()))
        .filter(|(_, shared)| *shared > 0)
        .collect();
    let most = sharing.iter().map(|(_, shared)| *shared).max()?;
    let mut best = sharing.iter().filter(|(_, shared)| *shared == most);
    match (best.next(), best.next()) {
        (Some((option, _)), None) => Some((*option).clone()),
        (Some(_), Some(_)) | (None, _) => None,
    }
}

const SMALL_WORDS: [&str; 14] =
    ["the", "and", "for", "not", "you", "are", "can", "with", "this", "that", "have", "need", "want", "please"];

/// Enough of a stem to find "electrician" in "Electrical" and "plumber" in "Plumbing".
fn stem(word: &str) -> String {
    for ending in ["icians", "ician", "ical", "ings", "ing", "ers", "er", "ed", "es", "s"] {
        if let Some(stem) = word.strip_suffix(ending).filter(|stem| stem.chars().count() >= 3) {
            return stem.to_owned();
        }
    }
    word.to_owned()
}
