//! One data key per entity with personal data, wrapped by the caller: destroying it erases the entity's past.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{EntityKey, StoreError};

/// Wrapped data keys. The store never sees a key in the clear.
#[async_trait]
pub trait EntityKeys: Send + Sync {
    /// The wrapped key; inserts `fresh` when there is none and returns what is stored. [`StoreError::Erased`] after [`EntityKeys::destroy`].
    async fn get_or_insert(&self, key: &EntityKey, fresh: Bytes) -> Result<Bytes, StoreError>;
    /// The wrapped key if there is one. [`StoreError::Erased`] after [`EntityKeys::destroy`].
    async fn get(&self, key: &EntityKey) -> Result<Option<Bytes>, StoreError>;
    /// Destroys the key for good, leaves a mark, and blanks the entity's snapshot and list rows' bodies. Numbers stay.
    async fn destroy(&self, key: &EntityKey) -> Result<(), StoreError>;
}
