//! What sort of answer a question wants, and whether a sentence looks like one.

use super::words::Word;

/// The sort of answer a question wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// An amount of money.
    Price,
    /// A time or a date.
    Time,
    /// A span of time.
    Duration,
    /// A place.
    Place,
    /// A person.
    Person,
    /// A number.
    Number,
    /// A phone number or an address to write to.
    Contact,
    /// Anything.
    Statement,
}

/// Words that only say that a price is wanted, in stems. They are no subject.
const PRICE_STEMS: &[&str] = &[
    "afford", "bill", "charg", "cheap", "cost", "dollar", "euro", "expens", "fee", "free", "much", "pay", "pound",
    "price", "quot", "rate", "servic", "start", "tariff", "usd",
];
const WEEKDAYS_AND_MONTHS: &[&str] = &[
    "april",
    "august",
    "december",
    "february",
    "friday",
    "january",
    "july",
    "june",
    "march",
    "monday",
    "mon",
    "november",
    "october",
    "saturday",
    "september",
    "sunday",
    "thursday",
    "tuesday",
    "wednesday",
    "weekday",
    "weekdays",
    "weekend",
    "weekends",
    "daily",
    "tomorrow",
    "today",
];
const TIME_UNITS: &[&str] = &[
    "second", "seconds", "minute", "minutes", "hour", "hours", "day", "days", "week", "weeks", "month", "months",
    "year", "years",
];
const NUMBER_WORDS: &[&str] = &[
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "fifteen", "twenty",
    "thirty", "forty", "fifty", "hundred", "thousand", "million", "dozen",
];
const PLACE_WORDS: &[&str] = &[
    "street",
    "st",
    "avenue",
    "ave",
    "road",
    "rd",
    "boulevard",
    "blvd",
    "drive",
    "lane",
    "suite",
    "floor",
    "building",
    "square",
    "plaza",
    "located",
    "location",
    "address",
    "headquarters",
    "headquartered",
    "based",
    "downtown",
    "city",
    "county",
    "near",
    "across",
];
const PERSON_WORDS: &[&str] = &[
    "founder",
    "founded",
    "cofounder",
    "owner",
    "owned",
    "director",
    "ceo",
    "president",
    "manager",
    "partner",
    "attorney",
    "doctor",
    "dentist",
    "dr",
    "mr",
    "mrs",
    "ms",
    "professor",
    "chef",
    "author",
];
const CURRENCY_WORDS: &[&str] = &[
    "dollar", "dollars", "usd", "euro", "euros", "eur", "pound", "pounds", "gbp", "cents", "chf", "cad", "aud",
    "bucks", "yen",
];

/// What a question wants.
pub(super) fn wanted(words: &[Word]) -> Wanted {
    let folded: Vec<&str> = words.iter().map(|word| word.folded.as_str()).collect();
    let has = |word: &str| folded.contains(&word);
    let pair = |a: &str, b: &str| folded.windows(2).any(|pair| pair == [a, b]);
    let stem = |stems: &[&str]| words.iter().any(|word| stems.contains(&word.stem.as_str()));
    let uncountable = ["time", "notice", "space", "water", "experience", "memory", "data", "storage", "disk", "ram"];
    let how_much_of = folded.windows(3).any(|three| three[..2] == ["how", "much"] && uncountable.contains(&three[2]));
    if !how_much_of && (pair("how", "much") || stem(&["price", "cost", "fee", "tariff", "expens", "cheap"]))
        || (stem(&["charg"]) && has("you") && !stem(&["batteri"]))
        || has("rates")
        || pair("hourly", "rate")
    {
        return Wanted::Price;
    }
    if pair("how", "many")
        || how_much_of
        || pair("how", "big")
        || pair("how", "large")
        || pair("how", "far")
        || pair("how", "high")
    {
        return Wanted::Number;
    }
    if pair("how", "long")
        || pair("how", "fast")
        || pair("how", "quickly")
        || pair("how", "soon")
        || pair("how", "old")
        || pair("how", "often")
    {
        return Wanted::Duration;
    }
    if stem(&["phone", "telephon", "email", "mail"])
        || pair("contact", "you")
        || pair("reach", "you")
        || pair("call", "you")
        || (has("call") && has("number"))
    {
        return Wanted::Contact;
    }
    if has("where") || has("wheres") || stem(&["address", "locat"]) {
        return Wanted::Place;
    }
    if has("who") || has("whos") || has("whose") {
        return Wanted::Person;
    }
    let hours = stem(&["hour"]) && (has("what") || has("your") || stem(&["open"]));
    let open_on = (has("open") || has("opened") || has("closed"))
        && folded.iter().any(|word| WEEKDAYS_AND_MONTHS.contains(word) || *word == "are" || *word == "is");
    if has("when")
        || pair("what", "time")
        || pair("what", "day")
        || pair("what", "year")
        || pair("which", "year")
        || hours
        || open_on
    {
        return Wanted::Time;
    }
    Wanted::Statement
}

/// Whether a word of a price question only says that it is one.
pub(super) fn is_price_word(word: &Word) -> bool {
    PRICE_STEMS.contains(&word.stem.as_str())
}

/// Whether a word of a question about times, spans or places only says that it is one.
pub(super) fn is_sort_word(word: &Word, wanted: Wanted) -> bool {
    let words: &[&str] = match wanted {
        Wanted::Duration => &["long", "take", "takes", "last", "fast", "quickly", "soon", "old", "often"],
        Wanted::Time => &[
            "time", "times", "day", "days", "year", "date", "hour", "hours", "open", "opens", "opening", "close",
            "closes", "closed", "business", "now", "today", "tonight",
        ],
        Wanted::Number => &["number", "amount"],
        Wanted::Contact => {
            &["contact", "reach", "number", "best", "phone", "telephone", "email", "mail", "call", "address"]
        }
        Wanted::Place => &["find", "place", "address", "location", "located", "office", "shop", "store", "directions"],
        Wanted::Price | Wanted::Person | Wanted::Statement => &[],
    };
    words.contains(&word.folded.as_str())
}

/// How much a sentence looks like an answer of this sort: 0 not at all, 1 surely.
pub(super) fn fit(sentence: &str, words: &[Word], wanted: Wanted) -> f64 {
    let any = |list: &[&str]| words.iter().any(|word| list.contains(&word.folded.as_str()));
    let (sure, maybe) = match wanted {
        Wanted::Price => (has_money(sentence, words), false),
        Wanted::Time => (any(WEEKDAYS_AND_MONTHS) || has_clock(words), words.iter().any(|word| is_year(&word.folded))),
        Wanted::Duration => (
            has_span(words),
            any(&["daily", "weekly", "monthly", "annually", "yearly", "once", "immediately", "instantly"]),
        ),
        Wanted::Place => {
            let place = any(PLACE_WORDS);
            let name = has_name_after(sentence, &["in", "at", "near", "on"]);
            (place && (name || sentence.contains(|c: char| c.is_ascii_digit())), place || name)
        }
        Wanted::Person => (has_full_name(sentence), any(PERSON_WORDS)),
        Wanted::Number => {
            let number = |word: &Word| is_number(&word.folded);
            (words.iter().any(|word| number(word) && !is_year(&word.folded)), words.iter().any(number))
        }
        Wanted::Contact => {
            (sentence.contains('@') || sentence.chars().filter(char::is_ascii_digit).count() >= 7, false)
        }
        Wanted::Statement => (true, false),
    };
    if sure {
        1.0
    } else if maybe {
        0.5
    } else {
        0.0
    }
}

/// Whether a sentence names an amount of money, or says that there is nothing to pay.
pub(super) fn has_money(sentence: &str, words: &[Word]) -> bool {
    let symbol = |c: char| matches!(c, '$' | '€' | '£' | '¥' | '₹');
    let chars: Vec<char> = sentence.chars().filter(|c| !c.is_whitespace()).collect();
    let beside = chars
        .windows(2)
        .any(|pair| (symbol(pair[0]) && pair[1].is_ascii_digit()) || (pair[0].is_ascii_digit() && symbol(pair[1])));
    let named = words.windows(2).any(|pair| {
        let currency = |word: &Word| CURRENCY_WORDS.contains(&word.folded.as_str());
        (is_number(&pair[0].folded) && currency(&pair[1])) || (currency(&pair[0]) && is_number(&pair[1].folded))
    });
    beside || named || is_free(words)
}

/// Whether nothing in a sentence could be what an amount is for: "Prices start at $300 per session."
pub(super) fn names_only_a_price(words: &[Word]) -> bool {
    let unit = ["per", "session", "visit", "each", "person", "begin", "begins", "plus", "tax", "vat", "total"];
    words.iter().all(|word| {
        let folded = word.folded.as_str();
        is_number(folded)
            || super::words::is_stop_word(folded)
            || is_price_word(word)
            || CURRENCY_WORDS.contains(&folded)
            || TIME_UNITS.contains(&folded)
            || unit.contains(&folded)
    })
}

/// "Free" as a price, not as in "feel free", "toll-free", "smoke-free" or "free to choose".
fn is_free(words: &[Word]) -> bool {
    let at = |index: usize| words.get(index).map_or("", |word| word.folded.as_str());
    (0..words.len()).any(|index| match at(index) {
        "free" => {
            let before = if index == 0 { "" } else { at(index - 1) };
            let verb = matches!(
                before,
                "is" | "are"
                    | "for"
                    | "a"
                    | "and"
                    | "our"
                    | ""
                    | "offer"
                    | "offers"
                    | "provide"
                    | "with"
                    | "always"
                    | "completely"
                    | "totally"
                    | "of"
            );
            verb && !matches!(at(index + 1), "to" | "from" | "time" | "of")
                || (at(index + 1) == "of" && at(index + 2) == "charge")
        }
        "charge" | "cost" => index > 0 && at(index - 1) == "no",
        "complimentary" => true,
        _ => false,
    })
}

/// A number and a unit of time, with at most one word between: `two hours`, `5 business days`.
fn has_span(words: &[Word]) -> bool {
    let counts = |word: &Word| {
        is_number(&word.folded) || matches!(word.folded.as_str(), "one" | "an" | "a" | "half" | "several" | "few")
    };
    let unit = |word: Option<&Word>| word.is_some_and(|word| TIME_UNITS.contains(&word.folded.as_str()));
    words.iter().enumerate().any(|(index, word)| {
        counts(word) && (unit(words.get(index + 1)) || (is_number(&word.folded) && unit(words.get(index + 2))))
    })
}

fn is_number(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_digit()) || NUMBER_WORDS.contains(&word)
}

fn is_year(word: &str) -> bool {
    word.len() == 4 && word.parse::<u32>().is_ok_and(|year| (1500..2200).contains(&year))
}

fn has_clock(words: &[Word]) -> bool {
    words.iter().enumerate().any(|(index, word)| {
        let word = word.folded.as_str();
        let after_number = index > 0 && is_number(&words[index - 1].folded);
        let fused = ["am", "pm"].iter().any(|half| {
            word.strip_suffix(half)
                .is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()))
        });
        fused
            || matches!(word, "noon" | "midnight" | "oclock")
            || (after_number && matches!(word, "am" | "pm" | "a" | "p" | "uhr" | "hours"))
            || (word == "7" && index > 0 && words[index - 1].folded == "24")
    })
}

fn has_name_after(sentence: &str, prepositions: &[&str]) -> bool {
    let words: Vec<&str> = sentence.split_whitespace().collect();
    words.windows(2).any(|pair| {
        prepositions.contains(&pair[0].to_lowercase().as_str())
            && pair[1].starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit())
    })
}

fn has_full_name(sentence: &str) -> bool {
    let capital = |word: &&str| word.starts_with(char::is_uppercase) && word.chars().skip(1).any(char::is_lowercase);
    let words: Vec<&str> = sentence.split_whitespace().collect();
    words
        .windows(2)
        .any(|pair| pair.iter().all(|word| capital(&word.trim_matches(['“', '"', '('])) && !word.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::responder::words::Words;

    #[test]
    fn questions_say_what_they_want() {
        let cases = [
            ("How much is a drain cleaning?", Wanted::Price),
            ("What do you charge for a visit?", Wanted::Price),
            ("What are your prices", Wanted::Price),
            ("How much notice do you need to cancel?", Wanted::Number),
            ("How many people work there?", Wanted::Number),
            ("How long does shipping take?", Wanted::Duration),
            ("What is your phone number?", Wanted::Contact),
            ("Where are you located?", Wanted::Place),
            ("Who founded the company?", Wanted::Person),
            ("When do you open on Monday?", Wanted::Time),
            ("What are your hours?", Wanted::Time),
            ("Are you open on Sundays?", Wanted::Time),
            ("Do you repair boilers?", Wanted::Statement),
        ];
        for (question, expected) in cases {
            assert_eq!(wanted(&Words::new().all(question)), expected, "{question}");
        }
    }

    #[test]
    fn amounts_of_money_are_told_from_other_numbers() {
        let cases = [
            ("It starts at $149.", true),
            ("Ab 20 € pro Stunde", true),
            ("It costs 40 euros.", true),
            ("USD 30 per seat", true),
            ("Estimates are free.", true),
            ("We offer free estimates.", true),
            ("Parking is free of charge.", true),
            ("There is no charge for pickup.", true),
            ("Feel free to call 555 0100.", false),
            ("Call our toll-free number.", false),
            ("Our rooms are smoke-free.", false),
            ("We have 40 vans.", false),
            ("Ask us for a quote.", false),
        ];
        for (sentence, expected) in cases {
            assert_eq!(has_money(sentence, &Words::new().all(sentence)), expected, "{sentence}");
        }
    }

    #[test]
    fn sentences_are_known_by_what_they_hold() {
        let cases = [
            ("We open at 8am.", Wanted::Time, 1.0),
            ("Founded in 1987 by two brothers.", Wanted::Time, 0.5),
            ("We repair pipes.", Wanted::Time, 0.0),
            ("Delivery takes 3 to 5 business days.", Wanted::Duration, 1.0),
            ("A visit takes one hour.", Wanted::Duration, 1.0),
            ("We deliver everywhere.", Wanted::Duration, 0.0),
            ("Find us at 12 Main Street.", Wanted::Place, 1.0),
            ("We love Austin.", Wanted::Place, 0.0),
            ("The firm was begun by Maria Lopez.", Wanted::Person, 1.0),
            ("Write to hello@ace.example.", Wanted::Contact, 1.0),
        ];
        for (sentence, wanted, expected) in cases {
            let fit = fit(sentence, &Words::new().all(sentence), wanted);
            assert!((fit - expected).abs() < 1e-9, "{sentence}: {fit}");
        }
    }
}
