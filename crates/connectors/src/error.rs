//! What can go wrong with a message to the outside, and whether trying again helps.

/// A failure of this crate. Never holds an address, a subject or a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The recipient cannot be written to.
    #[error("the recipient is not a valid {0}")]
    InvalidRecipient(&'static str),
    /// The message has no text, or is larger than any of ours.
    #[error("the message {0}")]
    InvalidMessage(&'static str),
    /// The settings cannot be used.
    #[error("{key}: {problem}")]
    Config {
        /// The setting's key, such as `mail.from`.
        key: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The other side refused for good.
    #[error("the mail server refused the message (code {code})")]
    Refused {
        /// Its SMTP reply code, 5xx; 0 when it gave none.
        code: u16,
    },
    /// The other side asked to try again later.
    #[error("the mail server cannot take the message now (code {code})")]
    Busy {
        /// Its SMTP reply code, 4xx; 0 when it gave none.
        code: u16,
    },
    /// No answer in time; the message may have arrived.
    #[error("the mail server did not answer in time")]
    Timeout,
    /// No connection, or it broke; the message may have arrived.
    #[error("the mail server cannot be reached")]
    Unreachable,
    /// The connection cannot be trusted or encrypted as required; nothing was sent.
    #[error("the mail server's encryption is not what mail.smtp.security asks for")]
    Insecure,
}

impl Error {
    /// Whether the same message may be sent again later with some hope. A repetition carries the same message id.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::Timeout | Self::Unreachable => true,
            Self::InvalidRecipient(_)
            | Self::InvalidMessage(_)
            | Self::Config { .. }
            | Self::Refused { .. }
            | Self::Insecure => false,
        }
    }
}
