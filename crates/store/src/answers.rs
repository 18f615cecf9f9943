//! First answers to requests with an idempotency key, kept for a day.

use async_trait::async_trait;
use bytes::Bytes;

use crate::StoreError;

/// A begun request without an answer for this long counts as dead: its caller has long given up, its node may be gone.
pub const DEAD_RUN_MS: i64 = 60_000;
/// A begun request that was never answered is remembered this long: as long as its caller may repeat it.
pub const BEGUN_KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// What is known of an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Nobody used the key: the caller runs the request and calls [`Answers::finish`].
    First,
    /// The same request was begun before, and nobody knows what became of it: it died more than a minute ago, or was released. The caller runs it
    /// again and must make the same things, which `since_ms` names together with the key.
    Again {
        /// When it was begun first, Unix milliseconds.
        since_ms: i64,
    },
    /// The same request is still running (or died less than a minute ago).
    Running,
    /// It was answered.
    Done(Bytes),
    /// The key was used with another request body.
    Different,
}

/// Insert-if-not-exists memory of answers. `scope` binds principal and path.
#[async_trait]
pub trait Answers: Send + Sync {
    /// Begins a request, or tells what became of the first one. A run older than 60 s without an answer counts as dead: [`Begun::Again`].
    async fn begin(&self, scope: &str, key: &str, body_hash: [u8; 32], now_ms: i64) -> Result<Begun, StoreError>;
    /// Keeps the answer until `expires_at_ms`. The first answer stays; without a begun request nothing is kept.
    async fn finish(&self, scope: &str, key: &str, answer: Bytes, expires_at_ms: i64) -> Result<(), StoreError>;
    /// Forgets a begun request of which nothing stands.
    async fn abandon(&self, scope: &str, key: &str) -> Result<(), StoreError>;
    /// Ends the run of a request whose outcome nobody knows: its repeat is [`Begun::Again`] at once.
    async fn release(&self, scope: &str, key: &str, now_ms: i64) -> Result<(), StoreError>;
    /// Puts `instead` in the place of all answers kept under scopes that begin with `prefix`, for good: when it returns, the store's files do not
    /// hold them any more. Their keys stay used.
    async fn forget(&self, prefix: &str, instead: Bytes) -> Result<(), StoreError>;
    /// Drops expired answers, and runs of which nothing was heard for a day; returns how many.
    async fn sweep(&self, now_ms: i64) -> Result<u64, StoreError>;
}
