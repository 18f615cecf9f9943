//! The development mailbox: what would have been sent, kept in memory for a developer and for tests to read.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    error::Error,
    mail::{Mail, Mailer, Receipt, check},
};

/// The most messages kept: a day of development, some pages to look through.
pub const MESSAGES_MAX: usize = 500;
/// The most bytes kept, so that large letters cannot fill the memory either.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// One recorded message, as `GET /dev/mailbox` shows it.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// Rises with each message.
    pub seq: u64,
    /// Mail or SMS.
    pub kind: Kind,
    /// The id it would have carried.
    pub message_id: String,
    /// An address or a number.
    pub to: String,
    /// Empty for an SMS.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The HTML form of a letter.
    pub html: Option<String>,
    /// When it was recorded.
    pub at: Timestamp,
    /// Which message it is.
    pub idempotency_key: String,
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded").field("seq", &self.seq).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// What was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A letter.
    Mail,
    /// A text message that reached nobody.
    RecordedSms,
}

/// The last messages, newest last. Share it in an `Arc`.
pub struct Mailbox {
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    messages: VecDeque<Recorded>,
    bytes: usize,
    next_seq: u64,
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("messages", &self.kept().messages.len()).finish_non_exhaustive()
    }
}

/// A message to be kept.
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) message_id: String,
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: Option<String>,
    pub(crate) idempotency_key: String,
}

impl Mailbox {
    /// An empty mailbox with the caller's clock, such as `Timestamp::now`.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { now: Box::new(now), kept: Mutex::default() }
    }

    /// The newest messages first, at most `limit`; `to` keeps only those of one recipient.
    pub fn list(&self, to: Option<&str>, limit: usize) -> Vec<Recorded> {
        let kept = self.kept();
        let newest = kept.messages.iter().rev();
        newest
            .filter(|message| to.is_none_or(|to| message.to.eq_ignore_ascii_case(to.trim())))
            .take(limit)
            .cloned()
            .collect()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut kept = self.kept();
        kept.messages.clear();
        kept.bytes = 0;
    }

    /// Drops messages that contain these words.
    pub fn drop_with(&self, words: &str) {
        let mut kept = self.kept();
        kept.messages.retain(|message| {
            let texts = [&message.subject, &message.text].into_iter().chain(&message.html);
            !texts.into_iter().any(|text| text.contains(words))
        });
        kept.bytes = kept.messages.iter().map(weight).sum();
    }

    /// Keeps a message; one with the same kind and key that is still here is not kept twice.
    pub(crate) fn record(&self, entry: Entry) {
        let mut kept = self.kept();
        let same = |message: &Recorded| message.kind == entry.kind && message.idempotency_key == entry.idempotency_key;
        if kept.messages.iter().any(same) {
            return;
        }
        kept.next_seq += 1;
        let message = Recorded {
            seq: kept.next_seq,
            kind: entry.kind,
            message_id: entry.message_id,
            to: entry.to,
            subject: entry.subject,
            text: entry.text,
            html: entry.html,
            at: (self.now)(),
            idempotency_key: entry.idempotency_key,
        };
        kept.bytes += weight(&message);
        kept.messages.push_back(message);
        while kept.messages.len() > MESSAGES_MAX || kept.bytes > BYTES_MAX {
            let Some(oldest) = kept.messages.pop_front() else {
                break;
            };
            kept.bytes -= weight(&oldest);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Every change leaves the list whole, so a panic elsewhere while it was held does no harm.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weight(message: &Recorded) -> usize {
    message.to.len()
        + message.subject.len()
        + message.text.len()
        + message.html.as_ref().map_or(0, String::len)
        + message.idempotency_key.len()
}

#[async_trait]
impl Mailer for Mailbox {
    async fn send(&self, mail: &Mail) -> Result<Receipt, Error> {
        let checked = check(mail)?;
        let message_id = format!("<{}@mailbox.invalid>", checked.digest);
        self.record(Entry {
            kind: Kind::Mail,
            message_id: message_id.clone(),
            to: checked.to.to_string(),
            subject: checked.subject,
            text: mail.text.clone(),
            html: mail.html.clone(),
            idempotency_key: mail.idempotency_key.clone(),
        });
        Ok(Receipt { message_id, recorded: true })
    }

    fn forget(&self, words: &str) {
        self.drop_with(words);
    }

    fn describe(&self) -> String {
        "Mail is only recorded in the development mailbox (/dev/mailbox) and reaches nobody".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(key: &str, to: &str, text: &str) -> Mail {
        Mail {
            to: to.into(),
            subject: "Hi\r\nBcc: x@example.com".into(),
            text: text.into(),
            html: None,
            idempotency_key: key.into(),
        }
    }

    fn mailbox() -> Mailbox {
        Mailbox::new(|| Timestamp::UNIX_EPOCH)
    }

    #[tokio::test]
    async fn the_newest_comes_first_and_a_repetition_is_not_kept_twice() {
        let mailbox = mailbox();
        let first = mailbox.send(&mail("a", "jo@example.com", "one")).await.expect("recorded");
        mailbox.send(&mail("b", "al@example.com", "two")).await.expect("recorded");
        let again = mailbox.send(&mail("a", "jo@example.com", "one")).await.expect("recorded");
        assert_eq!(first, again);
        assert!(first.recorded);
        let texts: Vec<String> = mailbox.list(None, 10).into_iter().map(|message| message.text).collect();
        assert_eq!(texts, ["two", "one"]);
        assert_eq!(mailbox.list(Some("JO@example.com"), 10).len(), 1);
        assert_eq!(mailbox.list(None, 1).len(), 1);
        assert_eq!(mailbox.list(None, 10)[0].subject, "Hi Bcc: x@example.com");
        mailbox.clear();
        assert!(mailbox.list(None, 10).is_empty());
    }

    #[tokio::test]
    async fn it_is_bounded_in_count_and_bytes() {
        let mailbox = mailbox();
        for n in 0..MESSAGES_MAX + 20 {
            mailbox.send(&mail(&n.to_string(), "jo@example.com", "text")).await.expect("recorded");
        }
        assert_eq!(mailbox.list(None, usize::MAX).len(), MESSAGES_MAX);
        assert_eq!(mailbox.list(None, 1)[0].seq, (MESSAGES_MAX + 20) as u64);
        let large = "x".repeat(90_000);
        for n in 0..400 {
            mailbox.send(&mail(&format!("large {n}"), "jo@example.com", &large)).await.expect("recorded");
        }
        let bytes: usize = mailbox.list(None, usize::MAX).iter().map(weight).sum();
        assert!(bytes <= BYTES_MAX && bytes > BYTES_MAX / 2, "{bytes}");
    }

    #[tokio::test]
    async fn what_smtp_would_refuse_is_refused_here_too() {
        let mailbox = mailbox();
        let cases = [
            (mail("a", "nobody", "x"), Error::InvalidRecipient("e-mail address")),
            (mail("a", "jo@example.com", " "), Error::InvalidMessage("has no text")),
            (mail("", "jo@example.com", "x"), Error::InvalidMessage("has no idempotency key")),
            (mail("a", "jo@example.com", &"x".repeat(100_001)), Error::InvalidMessage("is too large")),
        ];
        for (mail, expected) in cases {
            assert_eq!(mailbox.send(&mail).await, Err(expected));
        }
        assert!(mailbox.list(None, 10).is_empty());
    }

    #[tokio::test]
    async fn it_is_shown_as_json() {
        let mailbox = mailbox();
        mailbox.send(&mail("a", "jo@example.com", "one")).await.expect("recorded");
        let json = serde_json::to_value(mailbox.list(None, 1)).expect("json");
        assert_eq!(
            (&json[0]["kind"], &json[0]["at"], &json[0]["to"]),
            (&"mail".into(), &"1970-01-01T00:00:00Z".into(), &"jo@example.com".into())
        );
    }
}
