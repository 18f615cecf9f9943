//! What is read out of and written into free text: words and phrases, contact details, money, and the variables of an agent's texts.

mod contact;
mod fill;
mod money;
pub mod search;
mod words;

pub(crate) use contact::of_today;
pub use contact::{
    Found, PhoneProblem, dialled_form, emails, only_phone, phones, pretty_phone, valid_email, valid_phone,
};
pub use fill::{fields_in, fill, fill_fields, is_own_value, own_value, variables_in};
pub use money::{Amount, amounts};
pub(crate) use words::is_apostrophe;
pub use words::{Phrases, Word, Words};

/// Cuts a text at a character boundary so that it has at most `max_chars` characters, with an ellipsis when something was cut.
pub fn shorten(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        None => text.to_owned(),
        Some(_) => {
            let keep: String = text.chars().take(max_chars.saturating_sub(1)).collect();
            format!("{}…", keep.trim_end())
        }
    }
}

/// A number with what it counts: "1 page", "2 pages". For words whose plural is an s.
pub fn counted(number: impl TryInto<u64>, thing: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// One line without control characters and without runs of spaces: what a typed value becomes before it is kept.
pub fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// A text split after `.`, `!`, `?` or a line's end, each sentence with its mark.
pub fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let end = at + c.len_utf8();
        let next = chars.peek().map(|(_, next)| *next);
        let stops = match c {
            '\n' => true,
            '.' | '!' | '?' => next.is_none_or(char::is_whitespace),
            _ => false,
        };
        if stops {
            found.push(text[start..end].trim());
            start = end;
        }
    }
    found.push(text[start..].trim());
    found.retain(|sentence| !sentence.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_not_said_in_the_plural() {
        assert_eq!(counted(0_u32, "page"), "0 pages");
        assert_eq!(counted(1_u32, "page"), "1 page");
        assert_eq!(counted(2_usize, "page"), "2 pages");
    }

    #[test]
    fn sentences_do_not_break_inside_numbers_or_addresses() {
        assert_eq!(sentences("It is 3.5 km. Write to a@b.com! Yes?"), ["It is 3.5 km.", "Write to a@b.com!", "Yes?"]);
    }

    #[test]
    fn shorten_counts_characters_not_bytes() {
        assert_eq!(shorten("äöü", 3), "äöü");
        assert_eq!(shorten("äöüß", 3), "äö…");
    }

    #[test]
    fn one_line_drops_control_characters() {
        assert_eq!(one_line(" a\u{0}b \n\t c "), "a b c");
    }
}
