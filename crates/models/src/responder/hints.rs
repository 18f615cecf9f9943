//! What sort of answer a question wants, and whether a sentence looks like one.

use super::words::{Word, is_stop_word};

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
/// Units of how long a thing is rather than how long it lasts.
const LENGTH_UNITS: &[&str] = &[
    "character",
    "characters",
    "letter",
    "letters",
    "byte",
    "bytes",
    "digit",
    "digits",
    "word",
    "words",
    "line",
    "lines",
    "page",
    "pages",
    "inch",
    "inches",
    "foot",
    "feet",
    "yard",
    "yards",
    "mile",
    "miles",
    "meter",
    "meters",
    "metre",
    "metres",
    "cm",
    "mm",
    "km",
    "m",
    "ft",
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

/// Fewer digits are no telephone number.
const PHONE_DIGITS_MIN: usize = 7;

/// What a question wants.
pub(super) fn wanted(words: &[Word]) -> Wanted {
    let folded: Vec<&str> = words.iter().map(|word| word.folded.as_str()).collect();
    let has = |word: &str| folded.contains(&word);
    let pair = |a: &str, b: &str| folded.windows(2).any(|pair| pair == [a, b]);
    let stem = |stems: &[&str]| words.iter().any(|word| stems.contains(&word.stem.as_str()));
    let uncountable = ["time", "notice", "space", "water", "experience", "memory", "data", "storage", "disk", "ram"];
    // "How much faster" asks for a factor, not for money.
    let how_much_more = folded.windows(3).any(|three| {
        three[..2] == ["how", "much"]
            && (matches!(three[2], "more" | "less") || three[2].len() > 4 && three[2].ends_with("er"))
    });
    let how_much_of = folded.windows(3).any(|three| three[..2] == ["how", "much"] && uncountable.contains(&three[2]));
    if !how_much_of
        && (!how_much_more && pair("how", "much") || stem(&["price", "cost", "fee", "tariff", "expens", "cheap"]))
        || (stem(&["charg"]) && has("you") && !stem(&["batteri"]))
        || has("rates")
        || pair("hourly", "rate")
    {
        return Wanted::Price;
    }
    if pair("how", "many")
        || how_much_of
        || how_much_more
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
    if names_measure(&folded) { Wanted::Number } else { Wanted::Statement }
}

/// Whether what is asked for is a number by its name: "what is the maximum size", "which port".
fn names_measure(words: &[&str]) -> bool {
    const MEASURES: &[&str] = &[
        "size",
        "limit",
        "number",
        "port",
        "percentage",
        "length",
        "maximum",
        "minimum",
        "capacity",
        "width",
        "height",
        "weight",
    ];
    let begin = words.iter().position(|word| matches!(*word, "what" | "which"));
    begin.is_some_and(|begin| words[begin + 1..].iter().take(4).any(|word| MEASURES.contains(word)))
}

/// Whether a sentence says what to do.
pub(super) fn instructs(words: &[Word]) -> bool {
    const ORDERS: &[&str] =
        &["call", "choose", "click", "enter", "open", "press", "run", "select", "type", "use", "using", "visit"];
    words.iter().any(|word| ORDERS.contains(&word.folded.as_str()))
        || words.windows(2).any(|pair| {
            pair[0].folded == "you" && matches!(pair[1].folded.as_str(), "can" | "must" | "should" | "need")
        })
}

/// Whether a word of a price question only says that it is one.
pub(super) fn is_price_word(word: &Word) -> bool {
    PRICE_STEMS.contains(&word.stem.as_str())
}

/// Whether a word of a question about times, spans or places only says that it is one.
pub(super) fn is_sort_word(word: &Word, wanted: Wanted) -> bool {
    if wanted == Wanted::Time && WEEKDAYS_AND_MONTHS.contains(&word.folded.trim_end_matches('s')) {
        return true;
    }
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
///
/// `counted` is the stem of what is counted where the question is "how many …".
pub(super) fn fit(sentence: &str, words: &[Word], wanted: Wanted, counted: Option<&str>) -> f64 {
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
            let places = amounts(sentence);
            let beside = counted.is_none_or(|counted| {
                let things: Vec<usize> = (0..words.len()).filter(|at| words[*at].stem == counted).collect();
                let number = |at: usize| is_number(&words[at].folded) && !is_year(&words[at].folded);
                things.iter().any(|thing| (thing.saturating_sub(NEAR)..(thing + NEAR + 1).min(words.len())).any(number))
            });
            // Right before the thing that is counted, "one" is a number too.
            let one = words.windows(2).any(|pair| {
                matches!(pair[0].folded.as_str(), "one" | "single")
                    && counted.is_some_and(|counted| pair[1].stem == counted)
            });
            (
                places && beside || one,
                places || words.iter().any(|word| is_number(&word.folded) && is_year(&word.folded)),
            )
        }
        Wanted::Contact => (sentence.contains('@') || has_phone(sentence), false),
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

/// Whether digits stand together as in a telephone number: those of a street and a postal code do not.
fn has_phone(sentence: &str) -> bool {
    sentence
        .split(|c: char| !(c.is_ascii_digit() || matches!(c, ' ' | '\u{a0}' | '-' | '–' | '.' | '/' | '(' | ')' | '+')))
        .any(|run| run.chars().filter(char::is_ascii_digit).count() >= PHONE_DIGITS_MIN)
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
    let unit = |word: Option<&Word>| {
        word.is_some_and(|word| {
            TIME_UNITS.contains(&word.folded.as_str()) || LENGTH_UNITS.contains(&word.folded.as_str())
        })
    };
    words.iter().enumerate().any(|(index, word)| {
        counts(word) && (unit(words.get(index + 1)) || (is_number(&word.folded) && unit(words.get(index + 2))))
    })
}

/// Words between a number and what it counts, at most.
const NEAR: usize = 4;

/// Whether a text names a number that is an amount: no year, no date, no version such as 3.24.0.
fn amounts(sentence: &str) -> bool {
    sentence.split_whitespace().any(|token| {
        let token = token.trim_matches(|c: char| !c.is_alphanumeric());
        let folded = token.to_lowercase();
        let digits = token.chars().filter(char::is_ascii_digit).count();
        let dated = token.matches('.').count() > 1
            || (digits >= 6 && token.contains('-') && !token.contains(char::is_alphabetic));
        NUMBER_WORDS.contains(&folded.as_str())
            || (token.starts_with(|c: char| c.is_ascii_digit()) && !dated && !is_year(token))
            || folded.split('-').next().is_some_and(|first| NUMBER_WORDS.contains(&first))
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
            || (after_number && matches!(word, "am" | "pm" | "a" | "p" | "uhr"))
            // Around the clock; three hours are how long something takes.
            || (word == "hours" && index > 0 && words[index - 1].folded == "24")
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
    // "In Lemon" is no name, though both begin with a capital.
    let ordinary = |word: &str| is_stop_word(&word.to_lowercase());
    words.windows(2).any(|pair| {
        !ordinary(pair[0]) && pair.iter().all(|word| capital(&word.trim_matches(['“', '"', '('])) && !word.is_empty())
    })
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
            ("How much faster is the new one?", Wanted::Number),
            ("What is the maximum size of a parcel?", Wanted::Number),
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
            ("Call (512) 555-0142.", Wanted::Contact, 1.0),
            ("You can find us at 12 Oak Street, Austin, TX 78701.", Wanted::Contact, 0.0),
            ("We open at 8am.", Wanted::Time, 1.0),
            ("Founded in 1987 by two brothers.", Wanted::Time, 0.5),
            ("We repair pipes.", Wanted::Time, 0.0),
            ("Delivery takes 3 to 5 business days.", Wanted::Duration, 1.0),
            ("A visit takes one hour.", Wanted::Duration, 1.0),
            ("We deliver everywhere.", Wanted::Duration, 0.0),
            ("Keep it below 50 characters.", Wanted::Duration, 1.0),
            ("We have 40 vans.", Wanted::Number, 1.0),
            ("A pair of two-wheeled vans.", Wanted::Number, 1.0),
            ("Since version 3.24.0 of 2018-06-04.", Wanted::Number, 0.5),
            ("Find us at 12 Main Street.", Wanted::Place, 1.0),
            ("We love Austin.", Wanted::Place, 0.0),
            ("The firm was begun by Maria Lopez.", Wanted::Person, 1.0),
            ("In Austin we love pipes.", Wanted::Person, 0.0),
            ("Write to hello@ace.example.", Wanted::Contact, 1.0),
        ];
        for (sentence, wanted, expected) in cases {
            let fit = fit(sentence, &Words::new().all(sentence), wanted, None);
            assert!((fit - expected).abs() < 1e-9, "{sentence}: {fit}");
        }
    }
}
