//! What can go wrong in a store, told apart by what the caller must do about it.

use crate::EntityKey;

/// An error of any store adapter.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum StoreError {
    /// Another activation holds the claim, or the entity was claimed under a later epoch: stop acting for it.
    #[error("another activation owns {0}")]
    Fenced(EntityKey),
    /// The journal is at another sequence number than expected: reload.
    #[error("{key} is at {found}, not at {expected}")]
    Conflict {
        /// The entity.
        key: EntityKey,
        /// The number the caller expected.
        expected: u64,
        /// The number the journal has.
        found: u64,
    },
    /// The write may or may not have happened: drop the activation, claim again, look for the append's id.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// The disk or quota is full: nothing was written; reads go on.
    #[error("no space left to write: {0}")]
    Full(String),
    /// Stored bytes are not what was written; nothing was dropped or repaired silently.
    #[error("corrupt data in {place}: {detail}")]
    Corrupt {
        /// The file, table row or entity.
        place: String,
        /// What is wrong and what to do.
        detail: String,
    },
    /// The data was written by a newer or different program, or a migration was changed.
    #[error("incompatible store: {0}")]
    Incompatible(String),
    /// The store cannot be reached now; trying again is safe.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// The personal data of this entity was erased.
    #[error("{0} was erased")]
    Erased(EntityKey),
    /// The caller gave a value that no adapter takes, such as a blob path that leaves its folder: a bug, or hostile input passed on unchecked.
    #[error("refused: {0}")]
    Invalid(String),
    /// A value exceeds a named limit.
    #[error("{what} is {size} bytes, above the limit of {limit}")]
    TooLarge {
        /// Which value.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
}
