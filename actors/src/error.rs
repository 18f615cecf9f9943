//! Why a call to an actor did not give what was asked for.

use colloquy_cluster::frame::{STORAGE_DAMAGED, STORAGE_FULL};
use colloquy_cluster::store::StoreError;
use colloquy_cluster::{AskError, ClusterError};
use colloquy_domain::Rejection;

/// The outcome of a call that failed. The gateway turns it into problem+json.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActorError {
    /// The business rules refused it.
    #[error("refused")]
    Rejected(#[from] Rejection),
    /// Too much at once; nothing happened.
    #[error("busy")]
    Busy {
        /// When to try again, milliseconds.
        retry_after_ms: u64,
    },
    /// It may or may not have happened: repeat it with the same key.
    #[error("outcome unknown")]
    Unknown,
    /// The store has no room; nothing happened, and reads go on.
    #[error("the storage is full")]
    StorageFull,
    /// What is stored is not what was written; nothing happened, and trying again is no use.
    #[error("damaged: {0}")]
    Damaged(String),
    /// The owner could not be reached or could not store it; nothing happened.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The entity's own code failed on this command; nothing happened.
    #[error("the handler failed")]
    Failed,
}

impl From<AskError<Rejection>> for ActorError {
    fn from(error: AskError<Rejection>) -> Self {
        match error {
            AskError::Rejected(rejection) => Self::Rejected(rejection),
            AskError::Busy { retry_after_ms } => Self::Busy { retry_after_ms },
            AskError::Unknown => Self::Unknown,
            AskError::Expired => Self::Busy { retry_after_ms: 1000 },
            AskError::HandlerFailed => Self::Failed,
            AskError::Unavailable(detail) => match detail.strip_prefix(STORAGE_DAMAGED) {
                Some(what) => Self::Damaged(what.to_owned()),
                None if detail == STORAGE_FULL => Self::StorageFull,
                None => Self::Unavailable(detail),
            },
            // What was erased is gone: it tells no more than what never was.
            AskError::Erased => Self::Rejected(Rejection::not_found("what you asked for")),
            AskError::Malformed(detail) => Self::Unavailable(detail),
        }
    }
}

impl From<StoreError> for ActorError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full(_) => Self::StorageFull,
            StoreError::Corrupt { .. } | StoreError::Incompatible(_) => Self::Damaged(error.to_string()),
            StoreError::Unknown(_) => Self::Unknown,
            StoreError::Fenced(_)
            | StoreError::Conflict { .. }
            | StoreError::Unavailable(_)
            | StoreError::Erased(_)
            | StoreError::Invalid(_)
            | StoreError::TooLarge { .. } => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<ClusterError> for ActorError {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::Store(error) => error.into(),
            ClusterError::Unreadable { .. } => Self::Damaged(error.to_string()),
            ClusterError::UnknownKind(_)
            | ClusterError::Newer { .. }
            | ClusterError::Mismatch { .. }
            | ClusterError::Listen { .. }
            | ClusterError::PlainText { .. }
            | ClusterError::Certificate { .. }
            | ClusterError::Node(_) => Self::Unavailable(error.to_string()),
        }
    }
}
