//! Amounts of money in free text, so that a budget can be compared and a price can be traced to its source.

use super::Words;

/// Millionths per unit of a currency.
const MICROS: f64 = 1_000_000.0;
/// Larger figures than this are not amounts of money anybody types.
const UNITS_MAX: f64 = 1.0e12;
/// Digits of a figure; longer runs are numbers of something else.
const FIGURE_CHARS_MAX: usize = 24;

const SYMBOLS: [char; 5] = ['$', '€', '£', '¥', '₹'];
const CURRENCY_WORDS: [&str; 17] = [
    "dollar", "dollars", "usd", "bucks", "euro", "euros", "eur", "pound", "pounds", "gbp", "francs", "chf", "cad",
    "aud", "rupees", "inr", "yen",
];

/// An amount found in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    /// Millionths of the unit, whatever the currency.
    pub micros: u64,
    /// Whether a currency sign or word stands beside it.
    pub marked: bool,
    /// Byte range in the text.
    pub at: std::ops::Range<usize>,
}

/// All figures of a text that may be amounts, in order; `marked` ones are money for certain.
pub fn amounts(text: &str) -> Vec<Amount> {
    let mut found = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let end = figure_end(bytes, at);
        let part_of_word = text[..at].chars().next_back().is_some_and(char::is_alphabetic);
        if !part_of_word
            && end - at <= FIGURE_CHARS_MAX
            && let Some(value) = figure(&text[at..end])
        {
            let (factor, after) = scale(&text[end..]);
            let end = end + after;
            let units = value * factor;
            if units <= UNITS_MAX {
                let marked = marked_before(&text[..at]) || marked_after(&text[end..]);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "checked against UNITS_MAX above, and figures have no sign"
                )]
                let micros = (units * MICROS).round() as u64;
                found.push(Amount { micros, marked, at: at..end });
            }
        }
        at = end;
    }
    found.extend(spelled(text));
    found.sort_by_key(|amount| amount.at.start);
    found
}

/// Where digits, and separators between digits, end.
fn figure_end(bytes: &[u8], start: usize) -> usize {
    let mut end = start;
    while end < bytes.len() {
        let separator = matches!(bytes[end], b'.' | b',' | b'\'');
        if bytes[end].is_ascii_digit() || separator && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
            end += 1;
        } else {
            break;
        }
    }
    end
}

/// The value of `1,200.50`, `1.200,50`, `1'200` or `1200`.
fn figure(text: &str) -> Option<f64> {
    let last = text.rfind(['.', ',', '\'']);
    let decimal = last.filter(|&at| {
        let after = text.len() - at - 1;
        let separator = &text[at..=at];
        separator != "'" && after != 3 && text.matches(separator).count() == 1
    });
    let (whole, fraction) = match decimal {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, "0"),
    };
    let digits: String = whole.chars().filter(char::is_ascii_digit).collect();
    format!("{digits}.{fraction}").parse().ok()
}

/// A factor written behind a figure (`k`, `million`), and the bytes it takes.
fn scale(rest: &str) -> (f64, usize) {
    let trimmed = rest.trim_start_matches(' ');
    let spaces = rest.len() - trimmed.len();
    let word: String = trimmed.chars().take_while(|c| c.is_alphabetic()).collect();
    let factor = match word.to_lowercase().as_str() {
        "k" | "thousand" | "grand" => 1.0e3,
        "m" | "mm" | "mil" | "mio" | "million" | "millions" => 1.0e6,
        _ => return (1.0, 0),
    };
    // "5 m" is five metres; only "5m" is five million.
    if word.len() <= 2 && spaces > 0 { (1.0, 0) } else { (factor, spaces + word.len()) }
}

fn marked_before(before: &str) -> bool {
    let trimmed = before.trim_end();
    trimmed.ends_with(SYMBOLS) || last_word(trimmed).is_some_and(|word| CURRENCY_WORDS.contains(&word.as_str()))
}

fn marked_after(after: &str) -> bool {
    let trimmed = after.trim_start();
    let word: String = trimmed.chars().take_while(|c| c.is_alphabetic()).collect::<String>().to_lowercase();
    trimmed.starts_with(['€', '¥', '₹', '£', '$', '¢']) || CURRENCY_WORDS.contains(&word.as_str()) || word == "cents"
}

fn last_word(text: &str) -> Option<String> {
    let word: String = text.chars().rev().take_while(|c| c.is_alphabetic()).collect();
    if word.is_empty() { None } else { Some(word.chars().rev().collect::<String>().to_lowercase()) }
}

/// Amounts in words before a currency word: "forty-nine dollars".
fn spelled(text: &str) -> Vec<Amount> {
    let words = Words::of(text);
    let all = words.all();
    let mut found = Vec::new();
    for (index, word) in all.iter().enumerate() {
        if !CURRENCY_WORDS.contains(&word.text.as_str()) {
            continue;
        }
        let start = all[..index]
            .iter()
            .rposition(|before| number_word(&before.text).is_none() && before.text != "and")
            .map_or(0, |at| at + 1);
        let parts = &all[start..index];
        let (mut total, mut group, mut seen) = (0_u64, 0_u64, false);
        for value in parts.iter().filter_map(|part| number_word(&part.text)) {
            seen = true;
            match value {
                100 => group = group.max(1).saturating_mul(100),
                1_000 | 1_000_000 => {
                    total = total.saturating_add(group.max(1).saturating_mul(value));
                    group = 0;
                }
                _ => group = group.saturating_add(value),
            }
        }
        if seen {
            let units = total.saturating_add(group);
            found.push(Amount {
                micros: units.saturating_mul(1_000_000),
                marked: true,
                at: parts[0].at.start..word.at.end,
            });
        }
    }
    found
}

fn number_word(word: &str) -> Option<u64> {
    const SMALL: [&str; 20] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    if let Some(value) = SMALL.iter().position(|small| *small == word) {
        return Some(value as u64);
    }
    if let Some(tens) = TENS.iter().position(|tens| *tens == word) {
        return Some((tens as u64 + 2) * 10);
    }
    match word {
        "hundred" => Some(100),
        "thousand" => Some(1_000),
        "million" => Some(1_000_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_read_in_the_ways_people_write_them() {
        for (text, units, marked) in [
            ("$49", 49.0, true),
            ("around 750k", 750_000.0, false),
            ("1.2 million", 1_200_000.0, false),
            ("$1,200.50 a month", 1_200.5, true),
            ("1.200,50 €", 1_200.5, true),
            ("CHF 1'200", 1_200.0, true),
            ("20 dollars", 20.0, true),
            ("USD 500,000", 500_000.0, true),
            ("5 m of pipe", 5.0, false),
            ("forty-nine dollars", 49.0, true),
            ("two hundred and fifty bucks", 250.0, true),
        ] {
            let found = amounts(text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert_eq!(found[0].micros, (units * MICROS) as u64, "{text}");
            assert_eq!(found[0].marked, marked, "{text}");
        }
        assert!(amounts("room B12 has no price").is_empty());
    }

    proptest! {
        #[test]
        fn any_text_gives_places_inside_it(text in "[0-9$€.,'a-z k]{0,60}|\\PC{0,60}") {
            for amount in amounts(&text) {
                prop_assert!(text.get(amount.at.clone()).is_some());
            }
        }
    }
}
