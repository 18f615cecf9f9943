//! An estimate of token counts, for accounting where the provider gives no usage.

use crate::chat::{ChatMessage, Tool};

/// What the chat format adds to each message (role and separators), by OpenAI's cookbook on counting tokens.
const TOKENS_PER_MESSAGE: u64 = 4;
/// Letters of one token inside a long word: English averages about four characters per token.
const LETTERS_PER_TOKEN: u64 = 5;
/// Words up to this many letters are usually one token together with the space before them.
const SHORT_WORD_LETTERS: u64 = 7;
/// Digits are cut in groups of three by the tokenizers of the GPT-4 family.
const DIGITS_PER_TOKEN: u64 = 3;

/// Estimates the tokens of a text. Errs by some 15 % on English and counts one per character of scripts without spaces.
pub fn estimate(text: &str) -> u64 {
    let mut tokens = 0_u64;
    let mut letters = 0_u64;
    let mut digits = 0_u64;
    let mut blanks = 0_u64;
    for c in text.chars() {
        let latin = c.is_alphabetic() && (c as u32) < 0x2E80;
        if !latin {
            tokens += word_tokens(letters);
            letters = 0;
        }
        if !c.is_ascii_digit() {
            tokens += digits.div_ceil(DIGITS_PER_TOKEN);
            digits = 0;
        }
        if c.is_whitespace() {
            blanks += 1;
            continue;
        }
        // One space belongs to the word behind it; a longer run (indentation) is a token of its own.
        tokens += u64::from(blanks > 1);
        blanks = 0;
        if latin {
            letters += 1;
        } else if c.is_ascii_digit() {
            digits += 1;
        } else {
            tokens += 1;
        }
    }
    tokens + word_tokens(letters) + digits.div_ceil(DIGITS_PER_TOKEN)
}

/// Estimates the tokens of a prompt with its tools.
pub fn estimate_prompt(messages: &[ChatMessage], tools: &[Tool]) -> u64 {
    let messages: u64 = messages.iter().map(|message| TOKENS_PER_MESSAGE + estimate(message.text())).sum();
    let tools: u64 = tools
        .iter()
        .map(|tool| estimate(&tool.name) + estimate(&tool.description) + estimate(&tool.parameters.to_string()))
        .sum();
    messages + tools
}

fn word_tokens(letters: u64) -> u64 {
    match letters {
        0 => 0,
        1..=SHORT_WORD_LETTERS => 1,
        _ => letters.div_ceil(LETTERS_PER_TOKEN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ranges are what byte-pair vocabularies of the GPT-4 family give such text: one token per common word and per mark.
    #[test]
    fn an_estimate_is_in_the_range_of_real_tokenizers() {
        let cases = [
            ("", 0, 0),
            ("Hello, how can I help you today?", 8, 10),
            ("We are open Monday to Friday from 9 am to 5 pm.", 13, 16),
            ("The quick brown fox jumps over the lazy dog.", 9, 11),
            ("internationalization", 1, 4),
            ("1234567890", 3, 4),
        ];
        for (text, low, high) in cases {
            let tokens = estimate(text);
            assert!((low..=high).contains(&tokens), "{text:?}: {tokens} is outside {low}..={high}");
        }
    }

    #[test]
    fn scripts_without_spaces_count_by_character() {
        assert_eq!(estimate("営業時間"), 4);
    }

    #[test]
    fn a_prompt_counts_its_messages_and_tools() {
        let messages = [ChatMessage::System("Be kind.".into()), ChatMessage::User("Hi".into())];
        let tool =
            Tool { name: "escalate".into(), description: "Call a person".into(), parameters: serde_json::json!({}) };
        let without = estimate_prompt(&messages, &[]);
        assert_eq!(without, 2 * TOKENS_PER_MESSAGE + 3 + 1);
        assert!(estimate_prompt(&messages, &[tool]) > without);
    }
}
