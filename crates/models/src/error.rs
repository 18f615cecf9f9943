//! What can go wrong with a model: a kind for the owner's trace, a sentence that is safe to show a visitor.

use serde::{Deserialize, Serialize};

use crate::chat::AttemptTrace;

/// Why a model gave no usable answer. Stable names: they stand in traces and metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// No connection, no first token, no further token or no end in time.
    Timeout,
    /// The provider said 429, or the account's quota is used up.
    RateLimited,
    /// The stream ended before the model said that it was done.
    CutStream,
    /// What came was not an answer: broken events, an answer beyond its bounds, or only tool calls that cannot be read.
    Malformed,
    /// The model said nothing and called nothing.
    Empty,
    /// The model or its content filter declined.
    Refused,
    /// The key is missing, wrong or may not use this model.
    Auth,
    /// The provider does not know the model or does not take the request (too long, wrong parameters).
    Invalid,
    /// The provider cannot be reached or failed with a 5xx.
    Unavailable,
    /// The caller cancelled: a newer message, a takeover, a barge-in.
    Cancelled,
}

impl ErrorKind {
    /// The stable name, as in traces and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::RateLimited => "rate_limited",
            Self::CutStream => "cut_stream",
            Self::Malformed => "malformed",
            Self::Empty => "empty",
            Self::Refused => "refused",
            Self::Auth => "auth",
            Self::Invalid => "invalid",
            Self::Unavailable => "unavailable",
            Self::Cancelled => "cancelled",
        }
    }

    /// What a visitor may read: no provider, no status, no internals. An offer of a person is the caller's to add.
    pub fn visitor_sentence(self) -> &'static str {
        match self {
            Self::Timeout => "Sorry, that took me too long to look up.",
            Self::RateLimited => "Sorry, I have a lot of conversations at this moment and could not finish that one.",
            Self::CutStream => "Sorry, I was interrupted before I could finish my answer.",
            Self::Malformed | Self::Empty | Self::Invalid => "Sorry, I could not put together an answer to that.",
            Self::Refused => "Sorry, that is not something I can help with here.",
            Self::Auth | Self::Unavailable => "Sorry, I cannot look that up right now.",
            Self::Cancelled => "",
        }
    }

    /// What the owner should do about it.
    pub fn owner_hint(self) -> &'static str {
        match self {
            Self::Timeout => "The model answered too slowly. A smaller model or a fallback model helps.",
            Self::RateLimited => "The provider limits this key. Raise its limit or top up its credit.",
            Self::CutStream => "The provider closed the stream in the middle of an answer.",
            Self::Malformed => "The provider's answer could not be read.",
            Self::Empty => "The model returned nothing.",
            Self::Refused => "The model or its content filter declined to answer.",
            Self::Auth => "The provider rejected the key. Check models.openai.api_key.",
            Self::Invalid => "The provider rejected the request. Check the model's name and the length of the prompt.",
            Self::Unavailable => "The provider could not be reached or failed. Check models.openai.base_url.",
            Self::Cancelled => "The turn was cancelled by a newer message or a person.",
        }
    }
}

/// A failure of this crate. Never holds message text, answers or keys.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No usable answer, after all retries and the fallback model.
    #[error("the model gave no answer: {}", .0.kind.as_str())]
    Model(Box<ModelFailure>),
    /// The settings cannot be used.
    #[error("{key}: {problem}")]
    Config {
        /// The setting's key, such as `models.openai.base_url`.
        key: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
}

/// The end of a call that brought no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFailure {
    /// Why the last attempt failed.
    pub kind: ErrorKind,
    /// Every attempt, in order, for the owner's trace and for what was spent.
    pub attempts: Vec<AttemptTrace>,
    /// Whether some text had already been passed on, so that the caller must discard it.
    pub shown: bool,
}

impl Error {
    /// The kind of a model's failure; `None` for wrong settings.
    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Model(failure) => Some(failure.kind),
            Self::Config { .. } => None,
        }
    }
}
