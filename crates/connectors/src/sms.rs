//! Text messages. Until a carrier is connected they are recorded, and say so.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use crate::{
    error::Error,
    mail::{Receipt, digest, one_line},
    mailbox::{Entry, Kind, Mailbox},
};

/// The longest text a carrier joins from segments (Twilio: 1,600 characters).
pub const SMS_CHARS_MAX: usize = 1600;
/// How much of a visitor's words an alert quotes: with the rest it stays within two segments.
const QUOTE_CHARS_MAX: usize = 120;
/// How much of a name an alert shows.
const NAME_CHARS_MAX: usize = 40;

/// A text message. `Debug` shows neither number nor text.
#[derive(Clone, PartialEq, Eq)]
pub struct Sms {
    /// E.164, such as `+14155550100`.
    pub to: String,
    /// What it says.
    pub text: String,
    /// The same key is the same message.
    pub idempotency_key: String,
}

impl fmt::Debug for Sms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sms").field("idempotency_key", &self.idempotency_key).finish_non_exhaustive()
    }
}

/// Something that sends text messages.
#[async_trait]
pub trait SmsSender: Send + Sync {
    /// Hands the message over.
    ///
    /// # Errors
    /// See [`Error`].
    async fn send(&self, sms: &Sms) -> Result<Receipt, Error>;

    /// Drops what is kept here of messages that contain `words`. What was handed over is out of reach.
    fn forget(&self, words: &str) {
        let _ = words;
    }

    /// One sentence that says where messages go, for `/health` and the console.
    fn describe(&self) -> String;
}

/// Records messages in the development mailbox; they reach nobody, and every receipt says so.
#[derive(Clone, Debug)]
pub struct RecordedSms {
    mailbox: Arc<Mailbox>,
}

impl RecordedSms {
    /// Records into this mailbox.
    pub fn new(mailbox: Arc<Mailbox>) -> Self {
        Self { mailbox }
    }
}

#[async_trait]
impl SmsSender for RecordedSms {
    async fn send(&self, sms: &Sms) -> Result<Receipt, Error> {
        let to = check_number(&sms.to)?;
        if sms.text.trim().is_empty() {
            return Err(Error::InvalidMessage("has no text"));
        }
        if sms.text.chars().count() > SMS_CHARS_MAX {
            return Err(Error::InvalidMessage("is too large"));
        }
        if sms.idempotency_key.is_empty() {
            return Err(Error::InvalidMessage("has no idempotency key"));
        }
        let message_id = format!("recorded-{}", digest("sms", &sms.idempotency_key));
        self.mailbox.record(Entry {
            kind: Kind::RecordedSms,
            message_id: message_id.clone(),
            to: to.to_owned(),
            subject: String::new(),
            text: sms.text.clone(),
            html: None,
            idempotency_key: sms.idempotency_key.clone(),
        });
        Ok(Receipt { message_id, recorded: true })
    }

    fn forget(&self, words: &str) {
        self.mailbox.drop_with(words);
    }

    fn describe(&self) -> String {
        "Text messages are only recorded in the development mailbox (/dev/mailbox) and reach nobody".to_owned()
    }
}

/// The text of an escalation or emergency alert, at most two segments or so: what happened, to whom, in which words, where to look.
pub fn alert_text(
    agent_name: &str,
    emergency: bool,
    reason: &str,
    contact: Option<&str>,
    quote: &str,
    url: &str,
) -> String {
    let label = if emergency { "EMERGENCY" } else { "Person needed" };
    let mut text = format!(
        "{label} – {}: {}.",
        one_line(agent_name, NAME_CHARS_MAX),
        one_line(reason, NAME_CHARS_MAX * 2).trim_end_matches('.')
    );
    let quote = one_line(quote, QUOTE_CHARS_MAX);
    if !quote.is_empty() {
        text.push_str(&format!(" “{quote}”"));
    }
    if let Some(contact) =
        contact.map(|contact| one_line(contact, NAME_CHARS_MAX)).filter(|contact| !contact.is_empty())
    {
        text.push_str(&format!(" Contact: {contact}."));
    }
    text.push_str(&format!(" {}", one_line(url, 200)));
    text
}

/// A plus, a country code that does not begin with 0, at most 15 digits (ITU-T E.164).
fn check_number(number: &str) -> Result<&str, Error> {
    let number = number.trim();
    let digits = number.strip_prefix('+').unwrap_or_default();
    let valid =
        (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    if valid { Ok(number) } else { Err(Error::InvalidRecipient("phone number such as +14155550100")) }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[tokio::test]
    async fn a_message_is_recorded_once_and_labelled_as_recorded() {
        let mailbox = Arc::new(Mailbox::new(|| Timestamp::UNIX_EPOCH));
        let sender = RecordedSms::new(Arc::clone(&mailbox));
        let sms = Sms { to: "+14155550100".into(), text: "EMERGENCY".into(), idempotency_key: "alert-1".into() };
        let receipt = sender.send(&sms).await.expect("recorded");
        assert_eq!(sender.send(&sms).await.expect("recorded"), receipt);
        assert!(receipt.recorded && receipt.message_id.starts_with("recorded-"));
        let list = mailbox.list(Some("+14155550100"), 10);
        assert_eq!((list.len(), list[0].kind), (1, Kind::RecordedSms));
    }

    #[test]
    fn only_whole_international_numbers_are_numbers() {
        let cases = [
            ("+14155550100", true),
            ("+4930123456", true),
            (" +14155550100 ", true),
            ("14155550100", false),
            ("+0155550100", false),
            ("+1415", false),
            ("+1415555010012345", false),
            ("+1 415 555 0100", false),
            ("+1415\r\n5550100", false),
            ("", false),
        ];
        for (number, valid) in cases {
            assert_eq!(check_number(number).is_ok(), valid, "{number:?}");
        }
    }

    #[test]
    fn an_alert_is_short_whatever_the_visitor_wrote() {
        let text = alert_text(
            "Ace Plumbing",
            true,
            "flooding.",
            Some("Jo, +14155550100"),
            &"water\neverywhere ".repeat(300),
            "https://c.example/c/1",
        );
        assert!(text.starts_with("EMERGENCY – Ace Plumbing: flooding. “water everywhere"), "{text}");
        assert!(text.ends_with("Contact: Jo, +14155550100. https://c.example/c/1"), "{text}");
        assert!(text.chars().count() < 320, "{}", text.len());
    }
}
