//! A letter and who can send it.

pub mod letter;
pub mod smtp;
pub mod templates;

use std::fmt;

use async_trait::async_trait;
use lettre::{Address, message::Mailbox as NamedAddress};

use crate::error::Error;

/// The longest subject: longer ones are cut by every mail program.
const SUBJECT_CHARS_MAX: usize = 180;
/// The longest text of a letter: our longest quotes some messages of a conversation.
const TEXT_BYTES_MAX: usize = 100_000;
/// The longest HTML form of a letter.
const HTML_BYTES_MAX: usize = 200_000;
/// The longest e-mail address (RFC 5321, 4.5.3.1.3: a path of 256 with its brackets).
const ADDRESS_BYTES_MAX: usize = 254;

/// A letter. `Debug` shows neither recipient nor text.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// One address.
    pub to: String,
    /// One line; line ends and control characters become blanks.
    pub subject: String,
    /// The letter as plain text.
    pub text: String,
    /// The same as HTML.
    pub html: Option<String>,
    /// The same key is the same letter: it gets the same message id, however often it is sent.
    pub idempotency_key: String,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail")
            .field("text_bytes", &self.text.len())
            .field("html_bytes", &self.html.as_ref().map(String::len))
            .field("idempotency_key", &self.idempotency_key)
            .finish_non_exhaustive()
    }
}

/// Proof that a message was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The id it carries.
    pub message_id: String,
    /// Whether it was only recorded and reached nobody.
    pub recorded: bool,
}

/// Something that sends letters.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Hands the letter over.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::retryable`] tells whether it is worth trying again with the same letter.
    async fn send(&self, mail: &Mail) -> Result<Receipt, Error>;

    /// Drops what is kept here of letters that contain `words`. What was handed over is out of reach.
    fn forget(&self, words: &str) {
        let _ = words;
    }

    /// One sentence that says where letters go, for `/health` and the console.
    fn describe(&self) -> String;
}

/// The recipient, when it is one plain address that a mail server can take.
///
/// # Errors
/// [`Error::InvalidRecipient`].
pub fn parse_address(address: &str) -> Result<Address, Error> {
    let invalid = || Error::InvalidRecipient("e-mail address");
    let address = address.trim();
    if address.len() > ADDRESS_BYTES_MAX || address.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(invalid());
    }
    address.parse::<Address>().map_err(|_| invalid())
}

/// A sender such as `Colloquy <hello@example.com>`.
pub(crate) fn parse_sender(sender: &str) -> Result<NamedAddress, Error> {
    let invalid = || Error::Config {
        key: "mail.from",
        problem: "is not a sender such as Colloquy <hello@example.com>".to_owned(),
    };
    if sender.chars().any(char::is_control) {
        return Err(invalid());
    }
    sender.parse::<NamedAddress>().map_err(|_| invalid())
}

/// A letter that was looked over: its recipient is one, its subject is one line, its size is bounded.
pub(crate) struct Checked {
    pub(crate) to: Address,
    pub(crate) subject: String,
    pub(crate) digest: String,
}

pub(crate) fn check(mail: &Mail) -> Result<Checked, Error> {
    let to = parse_address(&mail.to)?;
    if mail.text.trim().is_empty() {
        return Err(Error::InvalidMessage("has no text"));
    }
    if mail.idempotency_key.is_empty() {
        return Err(Error::InvalidMessage("has no idempotency key"));
    }
    if mail.text.len() > TEXT_BYTES_MAX || mail.html.as_ref().is_some_and(|html| html.len() > HTML_BYTES_MAX) {
        return Err(Error::InvalidMessage("is too large"));
    }
    Ok(Checked {
        to,
        subject: one_line(&mail.subject, SUBJECT_CHARS_MAX),
        digest: digest("mail", &mail.idempotency_key),
    })
}

/// Blanks instead of line ends, control and direction characters, each run of blanks one, and no longer than told.
pub(crate) fn one_line(text: &str, chars_max: usize) -> String {
    let is_direction =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let clean: String = text.chars().map(|c| if c.is_control() || is_direction(c) { ' ' } else { c }).collect();
    let mut line = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = line.char_indices().nth(chars_max) {
        line.truncate(cut);
        line.push('…');
    }
    line
}

/// A stable id of a message, made from its key.
pub(crate) fn digest(kind: &str, idempotency_key: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(kind.as_bytes());
    hasher.update(&[0]);
    hasher.update(idempotency_key.as_bytes());
    hasher.finalize().to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_told_from_attempts_to_smuggle() {
        let cases = [
            ("jo@example.com", true),
            (" jo@example.com ", true),
            ("jo+tag@mail.example.co.uk", true),
            ("jo@example.com\r\nBcc: all@example.com", false),
            ("jo@example.com\nRCPT TO:<x@example.com>", false),
            ("jo@example.com,all@example.com", false),
            ("Jo <jo@example.com>", false),
            ("jo@", false),
            ("@example.com", false),
            ("jo", false),
            ("", false),
            ("jo @example.com", false),
        ];
        for (address, valid) in cases {
            assert_eq!(parse_address(address).is_ok(), valid, "{address:?}");
        }
        assert!(parse_address(&format!("{}@example.com", "a".repeat(300))).is_err());
    }

    #[test]
    fn a_letter_shows_nothing_when_debugged() {
        let mail = Mail {
            to: "jo@example.com".into(),
            subject: "Burst pipe".into(),
            text: "secret".into(),
            html: None,
            idempotency_key: "k".into(),
        };
        let shown = format!("{mail:?}");
        assert!(!shown.contains("jo@") && !shown.contains("Burst") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn a_line_holds_no_control_and_no_direction_characters() {
        let text = "a\r\nb\u{0}c\u{7f}d\u{85}e\u{202e}f\tg  h";
        assert_eq!(one_line(text, 80), "a b c d e f g h");
    }

    proptest! {
        #[test]
        fn a_subject_is_always_one_bounded_line(text in any::<String>()) {
            let line = one_line(&text, 20);
            prop_assert!(line.chars().count() <= 21);
            prop_assert!(!line.chars().any(char::is_control));
        }

        #[test]
        fn no_accepted_address_holds_a_line_end(text in ".{0,20}@.{0,20}\\.com") {
            if let Ok(address) = parse_address(&text) {
                prop_assert!(!address.to_string().chars().any(|c| c.is_control() || c.is_whitespace()));
            }
        }
    }
}
