//! Filling `{{variables}}` of an agent's texts and `{fields}` of a confirmation.

use std::collections::BTreeMap;

use super::sentences;

/// A variable's value may use variables itself, this deep; deeper nesting is left as a readable name, so a cycle ends.
const DEPTH_MAX: usize = 3;

/// The names between double braces, in order, each once.
pub fn variables_in(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    pieces(text, "{{", "}}", |piece| {
        if let Piece::Name(name) = piece
            && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
        }
    });
    names
}

/// The names between single braces, in order, each once.
pub fn fields_in(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    pieces(&text.replace("{{", "").replace("}}", ""), "{", "}", |piece| {
        if let Piece::Name(name) = piece
            && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
        }
    });
    names
}

/// Fills `{{name}}` from `variables`. A name without a value becomes readable words, so that a visitor never sees braces.
pub fn fill(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut filled = text.to_owned();
    let none = BTreeMap::new();
    // The last round knows no values, so that a cycle ends in readable names.
    for values in std::iter::repeat_n(variables, DEPTH_MAX).chain([&none]) {
        if !filled.contains("{{") {
            return filled;
        }
        let mut next = String::with_capacity(filled.len());
        pieces(&filled, "{{", "}}", |piece| match piece {
            Piece::Text(text) => next.push_str(text),
            Piece::Name(name) => match values.get(name) {
                Some(value) => next.push_str(value),
                None if values.is_empty() => next.push_str(&name.replace('_', " ")),
                None => next.push_str(&format!("{{{{{name}}}}}")),
            },
        });
        filled = next;
    }
    // What is left is no name: single braces stay, doubled ones would look like a broken template.
    while filled.contains("{{") {
        filled = filled.replace("{{", "{");
    }
    filled
}

/// Whether a text is nothing but one variable, and its value another than `usual`: then somebody said this very sentence.
pub fn is_own_value(text: &str, variables: &BTreeMap<String, String>, usual: &BTreeMap<String, String>) -> bool {
    let [name] = &variables_in(text)[..] else { return false };
    text.trim() == format!("{{{{{name}}}}}") && own_value(name, variables, usual).is_some()
}

/// A variable's value, if it is another than `usual`.
pub fn own_value<'a>(
    name: &str,
    variables: &'a BTreeMap<String, String>,
    usual: &BTreeMap<String, String>,
) -> Option<&'a str> {
    variables.get(name).filter(|value| usual.get(name) != Some(value)).map(String::as_str)
}

/// Fills `{field}` from `values`; a sentence that needs a value nobody gave is left out.
pub fn fill_fields(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut kept = Vec::new();
    for sentence in sentences(text) {
        let mut filled = String::new();
        let mut complete = true;
        pieces(sentence, "{", "}", |piece| match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Name(name) => match values.get(name).filter(|value| !value.is_empty()) {
                Some(value) => filled.push_str(value),
                None => complete = false,
            },
        });
        if complete {
            kept.push(filled);
        }
    }
    kept.join(" ")
}

enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

fn pieces<'a>(text: &'a str, open: &str, close: &str, mut take: impl FnMut(Piece<'a>)) {
    let mut rest = text;
    while let Some(start) = rest.find(open) {
        let inner = &rest[start + open.len()..];
        let name = inner.find(close).map(|end| (inner[..end].trim(), end));
        match name {
            Some((name, end)) if is_name(name) => {
                take(Piece::Text(&rest[..start]));
                take(Piece::Name(name));
                rest = &inner[end + close.len()..];
            }
            Some(_) | None => {
                take(Piece::Text(&rest[..start + open.len()]));
                rest = inner;
            }
        }
    }
    take(Piece::Text(rest));
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn variables_are_filled_also_inside_values() {
        let variables = map(&[("business_name", "Acme"), ("area", "{{city}} and around"), ("city", "Bern")]);
        assert_eq!(fill("{{business_name}} serves {{ area }}.", &variables), "Acme serves Bern and around.");
    }

    #[test]
    fn an_unknown_variable_becomes_words_and_a_cycle_ends() {
        assert_eq!(fill("Ask {{business_name}}", &BTreeMap::new()), "Ask business name");
        assert!(!fill("{{a}}", &map(&[("a", "{{b}}"), ("b", "{{a}}")])).contains('{'));
    }

    #[test]
    fn a_sentence_without_its_value_is_left_out() {
        let values = map(&[("name", "Ann")]);
        assert_eq!(fill_fields("Thanks, {name}. We call {phone}. Bye!", &values), "Thanks, Ann. Bye!");
    }

    #[test]
    fn names_are_listed_once() {
        assert_eq!(variables_in("{{a}} {{b}} {{a}} {{not a name!}}"), ["a", "b"]);
        assert_eq!(fields_in("{a} {{b}} {c}"), ["a", "c"]);
    }

    #[test]
    fn a_sentence_is_somebodys_own_when_it_is_one_variable_with_another_value() {
        let usual = map(&[("hours", "The team confirms them."), ("area", "the local area")]);
        let own = map(&[("hours", "We're open on Mondays."), ("area", "the Austin area")]);
        assert!(is_own_value(" {{hours}} ", &own, &usual));
        assert!(!is_own_value("{{hours}}", &usual, &usual));
        // The rest of the sentence is the template's.
        assert!(!is_own_value("We serve {{area}}.", &own, &usual));
        assert!(!is_own_value("{{hours}} {{area}}", &own, &usual) && !is_own_value("{{other}}", &own, &usual));
    }

    proptest! {
        #[test]
        fn filling_any_text_ends_and_leaves_no_double_braces(text in "[{}a-c ]{0,60}", value in "[{}a-c]{0,12}") {
            let filled = fill(&text, &map(&[("a", &value), ("b", "x")]));
            prop_assert!(!filled.contains("{{"));
        }
    }
}
