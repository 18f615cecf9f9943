//! Street addresses in free text: a house number, a street, and what follows it.

use std::ops::Range;

use super::extract::Reading;

/// Words between a house number and "Street".
const STREET_WORDS_MAX: usize = 5;

/// A house number, some words and a street word, with unit, city, state and postal code behind it.
pub(super) fn street_address(reading: &Reading<'_>, taken: &[Range<usize>]) -> Option<Range<usize>> {
    const STREETS: [&str; 47] = [
        "st",
        "street",
        "ave",
        "avenue",
        "rd",
        "road",
        "dr",
        "drive",
        "ln",
        "lane",
        "blvd",
        "boulevard",
        "ct",
        "court",
        "way",
        "pl",
        "place",
        "ter",
        "terrace",
        "cir",
        "circle",
        "hwy",
        "highway",
        "pkwy",
        "parkway",
        "sq",
        "square",
        "trail",
        "trl",
        "close",
        "crescent",
        "row",
        "mews",
        "alley",
        "loop",
        "path",
        "pike",
        "plaza",
        "point",
        "ridge",
        "run",
        "walk",
        "expressway",
        "route",
        "crossing",
        "cove",
        "broadway",
    ];
    let all = reading.words.all();
    let free = |at: &Range<usize>| !taken.iter().any(|span| span.start < at.end && at.start < span.end);
    for (start, word) in all.iter().enumerate() {
        let number = word.text.len() <= 6 && word.text.as_bytes()[0].is_ascii_digit() && free(&word.at);
        if !number {
            continue;
        }
        let reach = all.len().min(start + 2 + STREET_WORDS_MAX);
        let street = (start + 1..reach).find(|&at| STREETS.contains(&all[at].text.as_str()));
        let Some(street) = street.filter(|&at| at > start + 1 || all[at].text == "broadway") else { continue };
        if all[start..=street].iter().any(|word| !free(&word.at)) {
            continue;
        }
        let mut end = street + 1;
        let mut next = end;
        while next < all.len() && next - street <= 8 && free(&all[next].at) && address_part(reading, next, end) {
            next += 1;
            end = next;
        }
        return Some(all[start].at.start..all[end - 1].at.end);
    }
    None
}

/// Whether the word belongs to what follows a street: unit, capitalised city, state, postal code.
fn address_part(reading: &Reading<'_>, index: usize, end: usize) -> bool {
    const UNITS: [&str; 13] = [
        "apt",
        "apartment",
        "unit",
        "suite",
        "ste",
        "floor",
        "fl",
        "north",
        "south",
        "east",
        "west",
        "bldg",
        "building",
    ];
    let all = reading.words.all();
    let word = &all[index];
    let original = &reading.text[word.at.clone()];
    let between = &reading.text[all[end - 1].at.end..word.at.start];
    // Within an address only commas, a full stop after "St" and spaces; a sentence or line that ends, ends it.
    if !between.chars().all(|c| matches!(c, ' ' | ',' | '#' | '.')) {
        return false;
    }
    let previous = all[index - 1].text.as_str();
    let digits = word.text.bytes().any(|byte| byte.is_ascii_digit()) && word.text.len() <= 7;
    UNITS.contains(&word.text.as_str())
        || digits && (UNITS.contains(&previous) || between.contains('#') || word.text.len() >= 4)
        || word.text.len() == 1 && UNITS.contains(&previous)
        || original.chars().next().is_some_and(char::is_uppercase)
            && !matches!(
                word.text.as_str(),
                "i" | "im"
                    | "my"
                    | "the"
                    | "it"
                    | "its"
                    | "please"
                    | "there"
                    | "we"
                    | "name"
                    | "phone"
                    | "email"
                    | "thanks"
            )
}
