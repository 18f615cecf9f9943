//! Values that may exist only once: reserved, then confirmed by their owner.

use async_trait::async_trait;

use crate::StoreError;

/// Who holds a unique value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The owner given at reservation.
    pub owner: String,
    /// Confirmed, or only reserved so far.
    pub confirmed: bool,
    /// When it was reserved, Unix milliseconds: a reservation older than 60 s is settled by asking its owner.
    pub reserved_at_ms: i64,
}

/// Reserve → create → confirm, by insert-if-not-exists.
#[async_trait]
pub trait Unique: Send + Sync {
    /// Reserves `value` in `scope` for `owner`. `Ok(None)`: it is now (or was already) reserved for this owner; `Ok(Some(holder))`: taken.
    async fn reserve(&self, scope: &str, value: &str, owner: &str, now_ms: i64) -> Result<Option<Holder>, StoreError>;
    /// Makes the reservation permanent; `false` if `owner` does not hold it.
    async fn confirm(&self, scope: &str, value: &str, owner: &str) -> Result<bool, StoreError>;
    /// Gives the value back if `owner` holds it.
    async fn release(&self, scope: &str, value: &str, owner: &str) -> Result<(), StoreError>;
    /// Who holds the value.
    async fn holder(&self, scope: &str, value: &str) -> Result<Option<Holder>, StoreError>;
}
