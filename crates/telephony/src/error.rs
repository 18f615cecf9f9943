//! What can be wrong with what a provider sent, with what we want to send, and with what it answered.

/// Why a request is not believed to come from the provider. To all of them the answer is 401, and nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// There is no key to check with.
    #[error("no key is configured to check signatures with")]
    NoKey,
    /// No signature came.
    #[error("the signature is missing")]
    Missing,
    /// What came is not in the form of a signature.
    #[error("the signature is not in its provider's form")]
    Malformed,
    /// It was made too long ago, or in the future.
    #[error("the signature's time is outside of the window")]
    Stale,
    /// It was made with another key or over something else.
    #[error("the signature does not fit")]
    Wrong,
}

/// A frame, webhook or form that cannot be read. Holds the reason, never what it said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Longer than anything the provider sends.
    #[error("it is longer than any the provider sends")]
    TooLong,
    /// No JSON object.
    #[error("it is not a JSON object")]
    NotJson,
    /// A field that everything depends on is not there or has another type.
    #[error("`{0}` is missing or has another type")]
    Field(&'static str),
    /// Audio that is not base64, or has another format than agreed.
    #[error("its audio cannot be read")]
    Audio,
}

/// Why something we want to send would be refused by the provider: found before it is sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct Unfit {
    /// The field in the provider's spelling.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl Unfit {
    pub(crate) fn new(field: &'static str, problem: &'static str) -> Self {
        Self { field, problem }
    }
}

/// What a REST call came to when it did not succeed, told apart by what the caller can do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The key is wrong, expired or may not do this: a person has to connect the account again.
    #[error("the provider refused the credentials")]
    Credentials,
    /// The account has no credit or no valid payment.
    #[error("the provider's account cannot pay for this")]
    Payment,
    /// Too many requests. Nothing was done; the same request may follow.
    #[error("the provider is asked too often")]
    RateLimited {
        /// How long it wants to be left alone.
        retry_after_ms: Option<u64>,
    },
    /// There is no such thing, or no longer.
    #[error("the provider knows no such thing")]
    NotFound,
    /// Refused for good; the same request will be refused again.
    #[error("the provider refused the request (status {status})")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The provider's own number for it, where it has one.
        code: Option<i64>,
        /// What the provider wrote, shortened. It may quote the request, so it is for the owner, not for logs.
        message: String,
    },
    /// The request asked for something that happens once (a call, a message), and it may have happened. It must be looked up, never repeated.
    #[error("it is not known whether the provider did it")]
    OutcomeUnknown {
        /// HTTP status, if an answer came at all.
        status: Option<u16>,
    },
    /// The provider is down or did not answer; asking again does no harm.
    #[error("the provider is not available")]
    Unavailable {
        /// HTTP status, if an answer came at all.
        status: Option<u16>,
    },
    /// It says that it succeeded, in a form we cannot read; it was a question, so nothing was changed.
    #[error("the provider's answer cannot be read")]
    Unreadable,
}

impl Fault {
    /// Whether the same request may be sent again without being done twice.
    pub fn may_repeat(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::Unavailable { .. } | Self::Unreadable => true,
            Self::Credentials | Self::Payment | Self::NotFound | Self::Refused { .. } | Self::OutcomeUnknown { .. } => {
                false
            }
        }
    }
}
